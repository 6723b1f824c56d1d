/* test_interpolate.c: prices between measured shapes: exact for power laws, never beyond, only when
   asked for, and told. labels: unit */
#include "core/platform.h"
#include "hwcost/interpolate.h"
#include "hwcost/pricing.h"
#include "ops/dispatch.h"

static void add(lode_table *t, const char *call, double median) {
    char text[160];
    snprintf(text, sizeof text, "%s", call);
    assert_ok(lode_table_add(t, &(lode_table_entry){.call = text, .median = median}));
}

static lode_table *small_table(void) {
    lode_table *t = NULL;
    lode_table_info info = {
        .quantity = "latency_ms", .unit = "ms", .slope = 1, .batch = 1, .fit_mape = -1};
    assert_ok(lode_table_create(&info, &t));
    add(t, "conv_act s1 p1 d1 g1 relu [1,16,8,8] [16,16,3,3] f32", 4);
    add(t, "conv_act s1 p1 d1 g1 relu [1,16,32,32] [16,16,3,3] f32", 64);
    add(t, "conv_act s1 p1 d1 g1 relu [1,64,8,8] [16,64,3,3] f32", 16);
    add(t, "conv_act s1 p2 d1 g1 relu [1,16,64,64] [16,16,5,5] f32", 999);
    add(t, "conv_act s2 p1 d1 g16 relu [1,16,8,8] [16,1,3,3] f32", 1);
    add(t, "conv_act s2 p1 d1 g64 relu [1,64,8,8] [64,1,3,3] f32", 9);
    add(t, "reshape [1,16,8,8] f32", 0);
    add(t, "reshape [1,16,32,32] f32", 1);
    return t;
}

static void between_and_never_beyond(void **state) {
    (void)state;
    lode_table *t = small_table();
    double v = 0;
    /* Area: 8 to 32, 16 is half way in logarithms: 4 (64/4)^(1/2). */
    assert_true(
        lode_table_interpolate(t, "conv_act s1 p1 d1 g1 relu [1,16,16,16] [16,16,3,3] f32", &v));
    assert_near(v, 16, 1e-12);
    /* Input channels, which stand in two places. */
    assert_true(
        lode_table_interpolate(t, "conv_act s1 p1 d1 g1 relu [1,32,8,8] [16,32,3,3] f32", &v));
    assert_near(v, 8, 1e-12);
    /* Depthwise: groups go with the channels. */
    assert_true(
        lode_table_interpolate(t, "conv_act s2 p1 d1 g32 relu [1,32,8,8] [32,1,3,3] f32", &v));
    assert_near(v, 3, 1e-12);
    /* A price of 0 has no logarithm: a straight line. */
    assert_true(lode_table_interpolate(t, "reshape [1,16,16,16] f32", &v));
    assert_near(v, 0.5, 1e-12);
    static const char *const not [] = {
        "conv_act s1 p1 d1 g1 relu [1,16,64,64] [16,16,3,3] f32", /* larger than all */
        "conv_act s1 p1 d1 g1 relu [1,16,4,4] [16,16,3,3] f32",   /* smaller */
        "conv_act s1 p2 d1 g1 relu [1,16,16,16] [16,16,5,5] f32", /* one of that kernel */
        "conv_act s2 p1 d1 g1 relu [1,16,16,16] [16,16,3,3] f32", /* none of that stride */
        "conv_act s1 p1 d1 g1 relu [1,32,12,12] [16,32,3,3] f32", /* no two on a line with it */
        "conv_act s1 p1 d1 g1 relu [1,16,16,8] [16,16,3,3] f32",  /* one side grows */
        "conv_act s1 p1 d1 g1 relu [1,16,16,16] [16,16,3,3] f64",
    };
    for (size_t i = 0; i < sizeof not / sizeof *not ; i++)
        if (lode_table_interpolate(t, not [i], &v)) fail_msg("%s got %g", not [i], v);
    lode_table_destroy(t);
}

#define SPACE(c)                                                                                   \
    "name: s\ninput: {channels: 8, size: 16}\nclasses: 4\nlayers:\n"                               \
    "  - {op: conv, kernel: 3, channels: " c "}\n  - {op: global_pool}\n  - {op: linear}\n"

static lode_supernet *net_of(const char *text) {
    lode_space *space = NULL;
    lode_supernet *net = NULL;
    assert_ok(lode_space_parse(text, "s", NULL, &space));
    assert_ok(lode_supernet_create(space, NULL, LODE_F32, 1, &net));
    lode_space_release(space);
    return net;
}

/* A table whose entries cost channels^2 of its networks with 8 and 32 channels prices the one with
   16 when asked to, and says of how many calls; else it fails and names the call. */
static void asked_for_and_told(void **state) {
    (void)state;
    char *dir = test_temp_dir(), *path = lode_path_join(dir, "t.json");
    char *plain = lode_format("latency_ms=%s", path),
         *asked = lode_format("latency_ms=%s:interpolate", path);
    lode_table_info info = {.quantity = "latency_ms",
                            .unit = "ms",
                            .space = "s",
                            .form = LODE_FORM_FOLDED,
                            .slope = 1,
                            .batch = 1,
                            .fit_mape = -1};
    lode_table *t = NULL;
    lode_tape *trace = NULL;
    lode_cost *cost = NULL;
    double v = 0;
    int n = 0;
    assert_ok(lode_table_create(&info, &t));
    assert_ok(lode_tape_create(LODE_TRACE, NULL, &trace));
    for (int k = 0; k < 2; k++) {
        lode_supernet *net = net_of(k ? SPACE("32") : SPACE("8"));
        assert_ok(lode_supernet_trace_folded(net, &(lode_arch){.n = 0}, 1, trace));
        n = 0;
        for (int i = 0; i < lode_trace_n(trace); i++) {
            const lode_trace_call *call = lode_trace_get(trace, i);
            if (call->is_view) continue;
            char *text = lode_call_text(&call->call);
            add(t, text, k ? 1024 : 64);
            lode_free(text);
            n++;
        }
        lode_supernet_destroy(net);
    }
    assert_ok(lode_table_write(t, path));
    lode_supernet *net = net_of(SPACE("16"));
    assert_fails(lode_cost_open(plain, net, 1, &cost), LODE_ERR_NOT_FOUND,
                 "no entry for \"conv_act");
    assert_ok(lode_cost_open(asked, net, 1, &cost));
    assert_ok(lode_cost_hard(cost, &(lode_arch){.n = 0}, &v));
    assert_near(v, 256.0 * n, 1e-12);
    assert_int_equal(lode_cost_n_interpolated(cost), n);
    lode_cost_close(cost);
    lode_supernet_destroy(net);
    net = net_of(SPACE("64"));
    assert_fails(lode_cost_open(asked, net, 1, &cost), LODE_ERR_NOT_FOUND, "no two entries around");
    lode_supernet_destroy(net);
    net = net_of(SPACE("32")); /* all measured */
    assert_ok(lode_cost_open(asked, net, 1, &cost));
    assert_int_equal(lode_cost_n_interpolated(cost), 0);
    lode_cost_close(cost);
    lode_supernet_destroy(net);
    lode_tape_destroy(trace);
    lode_table_destroy(t);
    test_remove_tree(dir);
    lode_free(plain);
    lode_free(asked);
    lode_free(path);
    lode_free(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(between_and_never_beyond),
        cmocka_unit_test(asked_for_and_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
