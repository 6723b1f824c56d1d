/* fuzz_space.c: any text is a space or a story. A space's samples are valid and survive their
   codes; a small one can be built and traced, and every call of the trace lies in a block. */
#include "fuzz.h"
#include "supernet/supernet.h"

static void check_arch(const lode_space *s, const lode_arch *a) {
    lode_arch b;
    char *text = lode_arch_text(s, a), *code = lode_arch_code(s, a);
    FUZZ_CHECK(text != NULL && code != NULL);
    FUZZ_CHECK(lode_space_check(s, a) == LODE_OK);
    FUZZ_CHECK(lode_arch_parse(s, text, &b) == LODE_OK && lode_arch_equal(a, &b));
    FUZZ_CHECK(lode_arch_parse(s, code, &b) == LODE_OK && lode_arch_equal(a, &b));
    lode_arch c = lode_arch_canonical(s, a);
    FUZZ_CHECK(lode_space_check(s, &c) == LODE_OK);
    FUZZ_CHECK(lode_arch_hash(s, a) == lode_arch_hash(s, &c));
    lode_free(text);
    lode_free(code);
}

static bool in_a_block(const lode_supernet *net, const char *label) {
    size_t n = strcspn(label, "/");
    for (int i = 0; i < lode_supernet_n_blocks(net); i++) {
        const char *name = lode_supernet_block(net, i)->name;
        if (strlen(name) == n && strncmp(name, label, n) == 0) return true;
    }
    return false;
}

static bool is_small(const lode_space *s) {
    lode_space_options r = lode_space_resolved(s);
    bool small = r.size <= 32 && r.channels <= 16 && lode_space_n_layers(s) <= 24;
    for (int i = 0; small && i < lode_space_n_layers(s); i++)
        small = lode_space_layer(s, i).out <= 32;
    return small;
}

static void check_network(lode_space *s, const lode_arch *a) {
    lode_supernet *net;
    lode_tape *trace;
    lode_status status = lode_supernet_create(s, NULL, LODE_F32, 1, &net);
    FUZZ_CHECK_STORY(status);
    if (status != LODE_OK) return;
    FUZZ_CHECK(lode_tape_create(LODE_TRACE, NULL, &trace) == LODE_OK);
    FUZZ_CHECK(lode_supernet_trace(net, a, 1, false, trace) == LODE_OK);
    for (int i = 0; i < lode_trace_n(trace); i++)
        FUZZ_CHECK(in_a_block(net, lode_trace_get(trace, i)->label));
    lode_tape_destroy(trace);
    lode_supernet_destroy(net);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
    char *text = fuzz_text(bytes, n);
    lode_space *s = NULL;
    lode_status status = lode_space_parse(text, "fuzz.yaml", NULL, &s);
    FUZZ_CHECK_STORY(status);
    FUZZ_CHECK((s != NULL) == (status == LODE_OK));
    if (s != NULL) {
        lode_rng rng = lode_rng_stream(n, LODE_RNG_TEST, 0);
        lode_arch a;
        FUZZ_CHECK(lode_space_log10_count(s) >= 0);
        FUZZ_CHECK(lode_space_sample(s, &rng, &a) == LODE_OK);
        check_arch(s, &a);
        if (is_small(s)) check_network(s, &a);
    }
    lode_space_release(s);
    lode_device_empty_cache(lode_cpu_device());
    lode_free(text);
    return 0;
}
