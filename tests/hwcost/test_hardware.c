/* test_hardware.c: device files: every shipped one on every shipped space, and what a bad text is
   told. labels: unit */
#include "core/platform.h"
#include "hwcost/hardware.h"
#include "hwcost/pricing.h"

/* Hard and expected value and gradient of every quantity that is a sum, of every device, on every
   space. */
static void every_device_on_every_space(void **state) {
    (void)state;
    char **device = NULL, **space = NULL;
    int64_t n_devices = 0, n_spaces = 0;
    assert_ok(lode_hardware_names(&device, &n_devices));
    assert_ok(lode_space_names(&space, &n_spaces));
    assert_true(n_devices > 0 && n_spaces > 0);
    for (int64_t s = 0; s < n_spaces; s++) {
        priced_space f;
        priced_open(space[s], &f);
        for (int64_t i = 0; i < n_devices; i++) {
            lode_hardware *h = NULL;
            assert_ok(lode_hardware_open(device[i], &h));
            for (int q = 0; q < h->kind->n_quantities; q++) {
                lode_cost *cost = NULL;
                char *spec = lode_format("%s=%s", h->kind->quantity[q]->name, device[i]);
                lode_status status = lode_cost_open(spec, f.net, 0, &cost);
                if (status == LODE_ERR_CONFIG) { /* a file may leave energies out, a space decide
                                                    keys of other devices */
                    assert_true(strstr(lode_last_error(), "energ") ||
                                strstr(lode_last_error(), "the space decides"));
                } else {
                    assert_ok(status);
                    assert_string_equal(lode_cost_name(cost), h->kind->quantity[q]->name);
                    int n = lode_space_n_decisions(
                        f.space); /* hundreds of devices take long: test_codesign.c has few */
                    bool decided = n > 0 && lode_space_decision(f.space, n - 1)->kind ==
                                                LODE_DECISION_HARDWARE;
                    if (lode_cost_has_gradient(cost) && !decided) {
                        priced_hard(&f, cost, 3, true);
                        priced_gradient(&f, cost);
                    }
                    lode_cost_close(cost);
                }
                lode_free(spec);
            }
            lode_hardware_close(h);
        }
        priced_close(&f);
    }
    lode_names_free(device, n_devices);
    lode_names_free(space, n_spaces);
}

/* The name in a file is the name of the file, and it has sources: a comment before anything else.
 */
static void files_are_named_and_have_sources(void **state) {
    (void)state;
    char **device = NULL;
    int64_t n = 0;
    assert_ok(lode_hardware_names(&device, &n));
    for (int64_t i = 0; i < n; i++) {
        lode_hardware *h = NULL;
        void *text = NULL;
        size_t size = 0;
        char *path = lode_format("%s/../devices/%s.yaml", LODE_TEST_DIR, device[i]);
        assert_ok(lode_hardware_open(device[i], &h));
        assert_string_equal(h->name, device[i]);
        assert_true(strlen(h->about) > 10);
        assert_ok(lode_file_read(path, &text, &size));
        assert_int_equal(*(char *)text, '#');
        lode_free(text);
        lode_free(path);
        lode_hardware_close(h);
    }
    lode_names_free(device, n);
}

#define HEAD "name: x\nkind: roofline\n"
#define PEAK "peak_gflops: {f32: 100}\n"
#define DRAM "memory: [{level: DRAM, gbps: 10}]\n"

static void bad_files_say_what(void **state) {
    (void)state;
    static const struct {
        const char *text, *words;
    } bad[] = {
        {"kind: roofline\n", "`name` is missing"},
        {"name: x\n", "`kind` is missing"},
        {"name: x\nkind: roofling\n", "nearest is roofline"},
        {HEAD "dtype: f23\n", "f32|f16|bf16|int8"},
        {HEAD DRAM, "peak_gflops"},
        {HEAD "dtype: int8\n" PEAK DRAM, "no peak for int8"},
        {HEAD PEAK, "`memory` wants a list"},
        {HEAD PEAK "memory: [{level: L1, gbps: 10}, {level: DRAM, gbps: 1}]\n", "size (`kib`)"},
        {HEAD PEAK "memory: [{level: DRAM}]\n", "`gbps` is missing"},
        {HEAD PEAK DRAM "efficiency: {conf: 1}\n", "conv"},
        {HEAD PEAK DRAM "overhead: 3\n", "key `overhead`"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        lode_hardware *h = NULL;
        assert_fails(lode_hardware_parse(bad[i].text, "x.yaml", NULL, &h), LODE_ERR_CONFIG,
                     bad[i].words);
        assert_null(h);
    }
    lode_hardware *h = NULL;
    assert_fails(lode_hardware_open("rasberry-pi-4", &h), LODE_ERR_NOT_FOUND, "raspberry-pi-4");
    assert_fails(lode_hardware_open("v100:f61", &h), LODE_ERR_CONFIG, "f61");
    assert_ok(lode_hardware_open("v100:f16", &h));
    assert_int_equal(h->dtype, LODE_HARDWARE_F16);
    assert_null(lode_hardware_find_quantity(h, "latency_us"));
    assert_non_null(strstr(lode_last_error(), "it has latency_ms"));
    lode_hardware_close(h);
    assert_true(lode_hardware_is_file("v100") && lode_hardware_is_file("a/b.yaml"));
    assert_true(lode_hardware_is_file("a/b.yaml:int8"));
    assert_false(lode_hardware_is_file("t.json") || lode_hardware_is_file("dir/table"));
}

static void no_memory_is_a_status(void **state) {
    (void)state;
    for (int64_t k = 0; k < 10000; k++) {
        lode_hardware *h = NULL;
        test_fail_allocation(k);
        lode_status status = lode_hardware_parse(HEAD PEAK DRAM, "x", NULL, &h);
        test_fail_allocation(-1);
        if (status == LODE_OK) {
            lode_hardware_close(h);
            return;
        }
        assert_int_equal(status, LODE_ERR_NO_MEMORY);
        assert_null(h);
    }
    fail_msg("never succeeded");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_device_on_every_space),
        cmocka_unit_test(files_are_named_and_have_sources),
        cmocka_unit_test(bad_files_say_what),
        cmocka_unit_test(no_memory_is_a_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
