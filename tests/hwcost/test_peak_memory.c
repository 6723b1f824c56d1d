/* test_peak_memory.c: the cost peak_memory_bytes is what inference really takes, byte for byte, on
   random networks of shipped spaces: as the allocator counts it, and as the addresses say that
   kernels write to. labels: unit, property */
#include "hwcost/cost.h"
#include "ops/replay.h"
#include "support/support.h"

#include <math.h>

static const char *const spaces[] = {"fbnet-cifar",    "fbnet-fashion",    "fbnetv2-cifar",
                                     "nasbench-macro", "nasbench201",      "darts",
                                     "mobilenetv2",    "single-path-cifar"};
enum { N_SPACES = sizeof spaces / sizeof *spaces, N_NETWORKS = 6 };

typedef struct fixture {
    lode_space *space;
    lode_supernet *net;
    lode_dispatch *fast, *plain; /* plain: kernels without workspace or packed weights */
} fixture;

static void fixture_open(fixture *f, const char *name) {
    const lode_space_options o = {.name = name};
    const lode_dispatch_options reference = {.providers = "reference"};
    assert_ok(lode_space_load(&o, &f->space));
    assert_ok(lode_supernet_create(f->space, NULL, LODE_F32, 1, &f->net));
    assert_ok(lode_dispatch_create(NULL, &f->fast));
    assert_ok(lode_dispatch_create(&reference, &f->plain));
}

static void fixture_close(fixture *f) {
    lode_dispatch_destroy(f->fast);
    lode_dispatch_destroy(f->plain);
    lode_supernet_destroy(f->net);
    lode_space_release(f->space);
}

static double priced_bytes(fixture *f, const char *what, const lode_arch *arch, int64_t batch) {
    lode_cost *cost = NULL;
    double bytes = 0;
    assert_ok(lode_cost_open(what, f->net, batch, &cost));
    assert_string_equal(lode_cost_unit(cost), "bytes");
    assert_non_null(lode_cost_no_gradient(cost));
    assert_ok(lode_cost_hard(cost, arch, &bytes));
    lode_cost_close(cost);
    return bytes;
}

static double predicted_bytes(fixture *f, const lode_arch *arch, int64_t batch) {
    return priced_bytes(f, "peak_memory_bytes", arch, batch);
}

static int64_t bytes_in_use(void) { return lode_device_get_stats(lode_cpu_device()).bytes_in_use; }

/* Input and what the executor asks the allocator for, batch 1. The reference's kernels take neither
   workspace nor weights of their own, so nothing else is asked for between the two readings. */
static int64_t allocated_bytes(fixture *f, const lode_arch *arch) {
    lode_supernet *sub = NULL;
    lode_tape *trace = NULL;
    lode_replay *replay = NULL;
    lode_var *x, *y;
    assert_ok(lode_supernet_extract(f->net, arch, &sub));
    assert_ok(lode_tape_create(LODE_TRACE, NULL, &trace));
    assert_ok(lode_supernet_trace_deployed(sub, NULL, 1, trace, &x, &y));
    const int64_t before = bytes_in_use();
    assert_ok(lode_replay_create(trace, x, y, f->plain, &replay));
    const int64_t held = bytes_in_use() - before;
    const int64_t input = (int64_t)lode_tensor_bytes(x->value);
    lode_replay_destroy(replay);
    assert_int_equal(bytes_in_use(), before);
    lode_tape_destroy(trace);
    lode_supernet_destroy(sub);
    return held + input;
}

/* Where calls write: from the lowest byte to the end of the highest value, in units of its
   alignment. Every value is overwritten with NaN as soon as its last reader ran: if two that are
   needed at once shared a byte, the logits would show it. */
typedef struct water {
    const lode_tape *trace;
    char *low, *high;
    lode_tensor **y; /* [calls] */
} water;

static void water_after(void *self, int lane, int i, const lode_op_call *c) {
    water *w = self;
    char *begin = c->y->data, *end = begin + (lode_tensor_bytes(c->y) + 63) / 64 * 64;
    assert_int_equal(lane, 0);
    if (!w->low || begin < w->low) w->low = begin;
    if (end > w->high) w->high = end;
    w->y[i] = c->y;
    for (int k = 0; k < i; k++) {
        if (w->y[k] == NULL) continue;
        if (lode_trace_last_use(w->trace, lode_trace_get(w->trace, k)->y_id) != i) continue;
        assert_ok(lode_tensor_fill(w->y[k], NAN));
        w->y[k] = NULL;
    }
}

static int64_t written_bytes(fixture *f, const lode_arch *arch) {
    lode_frozen *frozen = NULL;
    lode_space_options o = lode_space_resolved(f->space);
    lode_shape shape = LODE_SHAPE4(1, o.channels, o.size, o.size);
    lode_rng rng = lode_rng_stream(1, LODE_RNG_TEST, 3);
    lode_tensor *x = NULL, *y, *first = NULL;
    assert_ok(lode_tensor_create(NULL, LODE_F32, &shape, LODE_CHANNELS_LAST, &x));
    assert_ok(lode_tensor_fill_normal(x, &rng, 0, 1));
    assert_ok(lode_frozen_create(f->net, arch, 1, LODE_FORM_FOLDED, f->fast, &frozen));
    assert_ok(lode_frozen_run(frozen, x, NULL, &y));
    assert_ok(lode_tensor_clone(y, &first));
    water w = {.trace = lode_frozen_trace(frozen)};
    w.y = LODE_NEW_ARRAY(lode_tensor *, lode_trace_n(w.trace));
    const lode_replay_watch watch = {&w, water_after};
    assert_ok(lode_frozen_run(frozen, x, &watch, &y));
    assert_true(lode_tensor_all_finite(first) && lode_tensor_equal_bits(y, first));
    assert_int_equal(w.high - w.low, lode_frozen_bytes(frozen));
    const int64_t bytes = w.high - w.low + (int64_t)lode_tensor_bytes(x);
    lode_free(w.y);
    lode_tensor_release(first);
    lode_tensor_release(x);
    lode_frozen_destroy(frozen);
    return bytes;
}

static void predicted_is_what_is_measured(void **state) {
    (void)state;
    for (int s = 0; s < N_SPACES; s++) {
        fixture f;
        lode_rng rng = lode_rng_stream(5, LODE_RNG_TEST, (uint64_t)s);
        fixture_open(&f, spaces[s]);
        double least = INFINITY, most = 0, gaps = 0;
        for (int i = 0; i < N_NETWORKS; i++) {
            lode_arch arch;
            assert_ok(lode_space_sample(f.space, &rng, &arch));
            const double bytes = predicted_bytes(&f, &arch, 1);
            assert_int_equal((int64_t)bytes, allocated_bytes(&f, &arch));
            assert_int_equal((int64_t)bytes, written_bytes(&f, &arch));
            const double live = priced_bytes(&f, "peak_live_bytes", &arch, 1);
            assert_true(live > 0 && live <= bytes);
            gaps = fmax(gaps, bytes / live - 1);
            least = fmin(least, bytes);
            most = fmax(most, bytes);
        }
        print_message("%s: gaps %.1f %% at the most\n", spaces[s], 100 * gaps);
        assert_true(gaps < 0.25);
        if (strcmp(spaces[s], "fbnet-cifar") == 0) assert_true(most > least); /* says something */
        fixture_close(&f);
    }
}

/* A larger batch goes through in slices: one image's block, and input and logits of all. */
static void a_batch_in_slices(void **state) {
    (void)state;
    fixture f;
    lode_frozen *frozen = NULL;
    lode_rng rng = lode_rng_stream(6, LODE_RNG_TEST, 1);
    lode_arch arch;
    fixture_open(&f, "fbnet-cifar");
    assert_ok(lode_space_sample(f.space, &rng, &arch));
    for (int64_t batch = 1; batch <= 64; batch *= 4) {
        assert_ok(lode_frozen_create(f.net, &arch, batch, LODE_FORM_FOLDED, f.fast, &frozen));
        const int64_t input = batch * 3 * 32 * 32 * 4, logits = batch > 1 ? batch * 10 * 4 : 0;
        assert_int_equal((int64_t)predicted_bytes(&f, &arch, batch),
                         (int64_t)lode_frozen_bytes(frozen) + input + logits);
        assert_true(lode_frozen_slices(frozen) > 1 || batch == 1);
        lode_frozen_destroy(frozen);
    }
    fixture_close(&f);
}

/* A microcontroller's model of the same name is still there. */
static void devices_have_their_own(void **state) {
    (void)state;
    fixture f;
    lode_cost *cost = NULL;
    fixture_open(&f, "nasbench201");
    assert_ok(lode_cost_open("peak_memory_bytes=stm32f746-disco", f.net, 0, &cost));
    lode_cost_close(cost);
    assert_fails(lode_cost_open("macs=stm32f746-disco", f.net, 0, &cost), LODE_ERR_CONFIG,
                 "it has latency_ms");
    fixture_close(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(predicted_is_what_is_measured),
        cmocka_unit_test(a_batch_in_slices),
        cmocka_unit_test(devices_have_their_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
