/* test_patch.c: which part of each tensor a patch needs, and how much is computed: against marks on
   single pixels, against the network itself, and against MCUNetV2's figures.
   labels: unit, property */
#include "core/platform.h"
#include "hwcost/hardware.h"
#include "hwcost/patch.h"
#include "hwcost/pricing.h"
#include "ops/ops.h"
#include "supernet/frozen.h"

#define HEAD "name: p\ninput: {channels: 2, size: %d}\nclasses: 3\nlayers:\n"
#define TAIL "  - {op: global_pool}\n  - {op: linear}\n"

static const struct {
    const char *about, *layers;
    int size;
} nets[] = {
    {"strides and kernels",
     "  - {op: conv, kernel: 3, channels: 4, stride: 2, act: hswish}\n"
     "  - {op: conv, kernel: 5, channels: 4, act: hswish}\n"
     "  - {op: conv, kernel: 1, channels: 6, stride: 2, act: hswish}\n"
     "  - {op: conv, kernel: 7, channels: 6, groups: 6, act: hswish}\n",
     23},
    {"MBConv with and without residuals",
     "  - {op: conv, kernel: 3, channels: 4, stride: 2, act: hswish}\n"
     "  - {op: mbconv, expand: 3, channels: 4, act: hswish}\n"
     "  - {op: mbconv, expand: 3, kernel: 5, channels: 6, stride: 2, act: hswish}\n"
     "  - {op: mbconv, expand: 2, kernel: 7, channels: 6, act: hswish}\n",
     32},
    {"pooling",
     "  - {op: conv, kernel: 3, channels: 4, act: hswish}\n"
     "  - {op: max_pool, kernel: 3, stride: 2}\n"
     "  - {op: conv, kernel: 3, channels: 4, act: hswish}\n"
     "  - {op: avg_pool, kernel: 3, stride: 2}\n",
     19},
};
enum { N_NETS = sizeof nets / sizeof *nets };

static lode_supernet *open_net(int k) {
    lode_space *space = NULL;
    lode_supernet *net = NULL;
    char *head = lode_format(HEAD, nets[k].size),
         *text = lode_format("%s%s" TAIL, head, nets[k].layers);
    assert_ok(lode_space_parse(text, "p", NULL, &space));
    assert_ok(lode_supernet_create(space, NULL, LODE_F32, 1, &net));
    lode_space_release(space);
    lode_free(head);
    lode_free(text);
    return net;
}

/* ---- marks on pixels ---- */

enum { SIZE = 64 };
typedef struct marks {
    unsigned char at[SIZE][SIZE];
} marks;

/* The smallest rectangle around all marks: [y0, y1) x [x0, x1). */
typedef struct box {
    int y0, y1, x0, x1;
} box;

static box box_of(const marks *m) {
    box b = {SIZE, 0, SIZE, 0};
    for (int y = 0; y < SIZE; y++)
        for (int x = 0; x < SIZE; x++)
            if (m->at[y][x]) {
                b.y0 = y < b.y0 ? y : b.y0;
                b.y1 = y + 1 > b.y1 ? y + 1 : b.y1;
                b.x0 = x < b.x0 ? x : b.x0;
                b.x1 = x + 1 > b.x1 ? x + 1 : b.x1;
            }
    return b;
}

/* Computes the pixels of a rectangle one by one: marks what each reads, returns the
   multiply-accumulates. */
static double compute(const lode_trace_call *t, box b, marks *of_value) {
    const lode_op_call *c = &t->call;
    const lode_conv2d_params *conv = c->params;
    const lode_pool_params *pool = c->params;
    const bool is_conv = c->op == &lode_op_conv2d || c->op == &lode_op_conv_act;
    const bool is_pool = c->op == &lode_op_max_pool || c->op == &lode_op_avg_pool;
    const int k = is_conv ? (int)c->x[1]->shape.dim[2] : is_pool ? pool->kernel[0] : 1;
    const int s = is_conv ? conv->stride[0] : is_pool ? pool->stride[0] : 1;
    const int p = is_conv ? conv->pad[0] : is_pool ? pool->pad[0] : 0;
    const int h = (int)c->x[0]->shape.dim[2];
    double macs = 0;
    for (int y = b.y0; y < b.y1; y++)
        for (int x = b.x0; x < b.x1; x++) {
            for (int ky = 0; ky < k; ky++)
                for (int kx = 0; kx < k; kx++) {
                    const int iy = y * s - p + ky, ix = x * s - p + kx;
                    if (is_conv) macs += (double)(c->x[1]->shape.dim[0] * c->x[1]->shape.dim[1]);
                    if (iy >= 0 && iy < h && ix >= 0 && ix < h) of_value[t->x_id[0]].at[iy][ix] = 1;
                }
            for (int i = 1; i < c->n_x; i++)
                if (lode_patch_is_activation(c, i)) of_value[t->x_id[i]].at[y][x] = 1;
        }
    return macs;
}

typedef struct intervals {
    int64_t *low[2], *high[2];
} intervals;

static void intervals_open(const lode_tape *trace, int n, int grid, intervals *v) {
    for (int axis = 0; axis < 2; axis++) {
        v->low[axis] = LODE_NEW_ARRAY(int64_t, lode_trace_n_values(trace) * grid);
        v->high[axis] = LODE_NEW_ARRAY(int64_t, lode_trace_n_values(trace) * grid);
        assert_ok(lode_patch_intervals(trace, n, grid, axis, v->low[axis], v->high[axis]));
    }
}

static void intervals_close(intervals *v) {
    for (int axis = 0; axis < 2; axis++) {
        lode_free(v->low[axis]);
        lode_free(v->high[axis]);
    }
}

static void check_stage(const lode_tape *trace, int n, int grid) {
    const int n_values = lode_trace_n_values(trace);
    marks *of_value = LODE_NEW_ARRAY(marks, n_values);
    lode_patch_region *region = LODE_NEW_ARRAY(lode_patch_region, n_values);
    double macs = 0, expected = 0;
    intervals v;
    intervals_open(trace, n, grid, &v);
    const lode_trace_call *end = lode_trace_get(trace, n - 1);
    for (int gy = 0; gy < grid; gy++)
        for (int gx = 0; gx < grid; gx++) {
            memset(of_value, 0, (size_t)n_values * sizeof *of_value);
            const int h = (int)end->call.y->shape.dim[2];
            for (int y = h * gy / grid; y < h * (gy + 1) / grid; y++)
                for (int x = h * gx / grid; x < h * (gx + 1) / grid; x++)
                    of_value[end->y_id].at[y][x] = 1;
            for (int i = n - 1; i >= 0; i--) {
                const lode_trace_call *t = lode_trace_get(trace, i);
                macs += compute(t, box_of(&of_value[t->y_id]), of_value);
            }
            for (int value = 0; value < n_values; value++) {
                const box b = box_of(&of_value[value]);
                if (b.y1 == 0) continue;
                assert_int_equal(b.y0, v.low[0][value * grid + gy]);
                assert_int_equal(b.y1, v.high[0][value * grid + gy]);
                assert_int_equal(b.x0, v.low[1][value * grid + gx]);
                assert_int_equal(b.x1, v.high[1][value * grid + gx]);
            }
        }
    assert_ok(lode_patch_regions(trace, n, grid, region));
    for (int i = 0; i < n; i++) {
        const lode_trace_call *t = lode_trace_get(trace, i);
        const lode_patch_region *r = &region[t->y_id];
        expected += t->count.macs * (double)(r->sum[0] * r->sum[1]) /
                    (double)(t->call.y->shape.dim[2] * t->call.y->shape.dim[3]);
    }
    assert_near(expected, macs, 1e-9 * macs);
    intervals_close(&v);
    lode_free(region);
    lode_free(of_value);
}

static void against_marks(void **state) {
    (void)state;
    for (int k = 0; k < N_NETS; k++) {
        lode_supernet *net = open_net(k);
        lode_tape *trace = NULL;
        int stages = 0;
        assert_ok(lode_tape_create(LODE_TRACE, NULL, &trace));
        assert_ok(lode_supernet_trace_folded(net, NULL, 1, trace));
        for (int n = 1; n <= lode_trace_n(trace); n++) {
            if (!lode_patch_can(trace, n)) continue;
            const int64_t most = lode_trace_get(trace, n - 1)->call.y->shape.dim[2];
            for (int grid = 1; grid <= 6 && grid <= most; grid++) check_stage(trace, n, grid);
            stages++;
        }
        print_message("%s: %d stages\n", nets[k].about, stages);
        assert_true(stages >= 4);
        lode_tape_destroy(trace);
        lode_supernet_destroy(net);
    }
}

/* A cut within a residual block would leave the block's input to the rest; a global pooling or a
   linear layer needs the whole map. */
static void where_it_may_end(void **state) {
    (void)state;
    lode_supernet *net = open_net(1);
    lode_tape *trace = NULL;
    lode_patch_region region[1];
    assert_ok(lode_tape_create(LODE_TRACE, NULL, &trace));
    assert_ok(lode_supernet_trace_folded(net, NULL, 1, trace));
    /* conv | expand, depthwise, project + x | three without x | three with x | pool, linear */
    const bool can[] = {true, false, false, true, true, true, true, false, false, true, false};
    for (int n = 1; n <= (int)(sizeof can / sizeof *can); n++)
        assert_int_equal(lode_patch_can(trace, n), can[n - 1]);
    assert_fails(lode_patch_regions(trace, 2, 2, region), LODE_ERR_INVALID, "first 2 calls");
    assert_fails(lode_patch_regions(trace, 4, 17, region), LODE_ERR_INVALID, "16x16 in 17x17");
    lode_tape_destroy(trace);
    lode_supernet_destroy(net);
}

/* ---- the network itself ---- */

typedef struct watched {
    int call;
    lode_tensor *y;
} watched;

static void watch_after(void *self, int lane, int i, const lode_op_call *c) {
    watched *w = self;
    (void)lane;
    if (i == w->call) assert_ok(lode_tensor_clone(c->y, &w->y));
}

static lode_tensor *stage_result(lode_frozen *f, lode_tensor *x, int n) {
    watched w = {.call = n - 1};
    const lode_replay_watch watch = {&w, watch_after};
    lode_tensor *logits;
    assert_ok(lode_frozen_run(f, x, &watch, &logits));
    assert_non_null(w.y);
    return w.y;
}

static double pixel(const lode_tensor *t, int64_t c, int64_t y, int64_t x) {
    return lode_at(t, (c * t->shape.dim[2] + y) * t->shape.dim[3] + x);
}

/* Does the patch [y0, y1) x [x0, x1) differ between two results? */
static bool differs(const lode_tensor *a, const lode_tensor *b, const int64_t *at) {
    for (int64_t c = 0; c < a->shape.dim[1]; c++)
        for (int64_t y = at[0]; y < at[1]; y++)
            for (int64_t x = at[2]; x < at[3]; x++)
                if (pixel(a, c, y, x) != pixel(b, c, y, x)) return true;
    return false;
}

/* A copy of the image with other numbers where `inside` the rectangle, or outside of it. */
static lode_tensor *disturbed(const lode_tensor *x, const int64_t *at, bool inside) {
    lode_tensor *out = NULL;
    assert_ok(lode_tensor_clone(x, &out));
    for (int64_t c = 0; c < x->shape.dim[1]; c++)
        for (int64_t i = 0; i < x->shape.dim[2]; i++)
            for (int64_t j = 0; j < x->shape.dim[3]; j++) {
                const bool in = i >= at[0] && i < at[1] && j >= at[2] && j < at[3];
                if (in == inside)
                    lode_put(out, (c * x->shape.dim[2] + i) * x->shape.dim[3] + j,
                             3 + 0.37 * (double)(c + i + j));
            }
    return out;
}

static void check_patch(lode_frozen *f, lode_tensor *x, const lode_tensor *y, int n,
                        const int64_t *patch, const int64_t *need, bool dense) {
    lode_tensor *other = disturbed(x, need, false), *result = stage_result(f, other, n);
    assert_false(differs(y, result, patch));
    lode_tensor_release(other);
    lode_tensor_release(result);
    for (int side = 0; dense && side < 4;
         side++) { /* none of its border rows is there for nothing */
        int64_t row[4] = {need[0], need[1], need[2], need[3]};
        if (side % 2 == 0)
            row[side + 1] = row[side] + 1;
        else
            row[side - 1] = row[side] - 1;
        other = disturbed(x, row, true);
        result = stage_result(f, other, n);
        assert_true(differs(y, result, patch));
        lode_tensor_release(other);
        lode_tensor_release(result);
    }
}

/* The patch of the stage's result does not change with the image outside of what it is said to
   need, and does with each row and column at the border of it. */
static void against_the_network(void **state) {
    (void)state;
    for (int k = 0; k < N_NETS; k++) {
        lode_supernet *net = open_net(k);
        lode_dispatch *dispatch = NULL;
        lode_frozen *f = NULL;
        lode_tensor *x = NULL;
        lode_rng rng = lode_rng_stream(2, LODE_RNG_TEST, 4);
        const lode_shape shape = LODE_SHAPE4(1, 2, nets[k].size, nets[k].size);
        const lode_dispatch_options reference = {.providers = "reference"};
        assert_ok(lode_dispatch_create(&reference, &dispatch));
        assert_ok(lode_frozen_create(net, NULL, 1, LODE_FORM_FOLDED, dispatch, &f));
        assert_ok(lode_tensor_create(NULL, LODE_F32, &shape, LODE_CHANNELS_LAST, &x));
        assert_ok(lode_tensor_fill_normal(x, &rng, 0, 1));
        const lode_tape *trace = lode_frozen_trace(f);
        int n = lode_trace_n(trace);
        while (!lode_patch_can(trace, n)) n--;
        lode_tensor *y = stage_result(f, x, n);
        const int grid = 3, image = lode_trace_get(trace, 0)->x_id[0];
        const int64_t h = y->shape.dim[2];
        intervals v;
        intervals_open(trace, n, grid, &v);
        for (int g = 0; g < grid * grid; g++) {
            const int gy = g / grid, gx = g % grid;
            const int64_t patch[] = {h * gy / grid, h * (gy + 1) / grid, h * gx / grid,
                                     h * (gx + 1) / grid};
            const int64_t need[] = {v.low[0][image * grid + gy], v.high[0][image * grid + gy],
                                    v.low[1][image * grid + gx], v.high[1][image * grid + gx]};
            /* A maximum may not look at what is at the border. */
            check_patch(f, x, y, n, patch, need, k != 2);
        }
        intervals_close(&v);
        lode_tensor_release(y);
        lode_tensor_release(x);
        lode_frozen_destroy(f);
        lode_dispatch_destroy(dispatch);
        lode_supernet_destroy(net);
    }
}

/* ---- MCUNetV2 ---- */

static double price_patched(lode_supernet *net, const char *keys, const char *quantity) {
    lode_hardware *h = NULL;
    lode_cost *cost = NULL;
    double value = 0;
    char *text = lode_format("name: x\nkind: mcu\ndtype: int8\nclock_mhz: 100\n"
                             "cycles_per_mac: {conv: 1, pointwise: 1, depthwise: 1, linear: 1}\n"
                             "cycles_per_element: 0\n%s",
                             keys);
    assert_ok(lode_hardware_parse(text, "x", NULL, &h));
    assert_ok(
        lode_cost_from_model(lode_hardware_find_quantity(h, quantity), h->self, net, 1, &cost));
    assert_ok(lode_cost_hard(cost, &(lode_arch){.n = 0}, &value));
    lode_cost_close(cost);
    lode_hardware_close(h);
    lode_free(text);
    return value;
}

/* Lin et al. 2021, figure 1: MobileNetV2 at 224x224, int8, needs 1372 kB, and 172 kB with its first
   five blocks in 4x4 patches. Their kB are 1024 bytes, the image is not counted, and the
   convolution before a residual adds it. */
static void mobilenetv2_of_mcunetv2(void **state) {
    (void)state;
    lode_space_options options = {.name = "mobilenetv2", .width = 1, .size = 224};
    lode_space *space = NULL;
    lode_supernet *net = NULL;
    lode_tape *trace = NULL;
    assert_ok(lode_space_load(&options, &space));
    assert_ok(lode_supernet_create(space, NULL, LODE_F32, 1, &net));
    const char *patched = "fused_add: true\npatch: {layers: 12, grid: 4, image: streamed}\n";
    assert_near(price_patched(net, "", "peak_memory_bytes"), 224 * 224 * 28, 0);
    assert_near(price_patched(net, patched, "peak_memory_bytes"), 28 * 28 * (32 + 192 + 1),
                0); /* a channel of scratch */
    assert_int_equal((int)(price_patched(net, "", "peak_memory_bytes") / 1024), 1372);
    assert_int_equal((int)(price_patched(net, patched, "peak_memory_bytes") / 1024 + 0.5), 172);
    /* 7x7 of 28x28 need 15, 17, 35, 37 and at last 75 rows of the image. */
    assert_ok(lode_tape_create(LODE_TRACE, NULL, &trace));
    assert_ok(lode_supernet_trace_folded(net, NULL, 1, trace));
    lode_patch_region *region = LODE_NEW_ARRAY(lode_patch_region, lode_trace_n_values(trace));
    assert_ok(lode_patch_regions(trace, 12, 4, region));
    assert_int_equal(region[lode_trace_get(trace, 0)->x_id[0]].most[0], 75);
    const double before = price_patched(net, "", "patch_macs");
    const double after = price_patched(net, patched, "patch_macs");
    print_message("MACs %.1f M, with patches %.1f M: %+.1f %%\n", before / 1e6, after / 1e6,
                  100 * (after / before - 1));
    /* One cycle a MAC at 100 MHz, and nothing else costs any. */
    assert_near(price_patched(net, patched, "latency_ms"), after / 1e5, 1e-9 * after);
    assert_near(price_patched(net, "", "latency_ms"), before / 1e5, 1e-9 * before);
    lode_free(region);
    lode_tape_destroy(trace);
    lode_supernet_destroy(net);
    lode_space_release(space);
}

/* What is chosen is what the best of all plans, tried one by one, has. */
static void auto_is_the_best(void **state) {
    (void)state;
    lode_supernet *net = open_net(1);
    double least = price_patched(net, "", "peak_memory_bytes"), fastest = 1e30;
    const double whole = least;
    const double budget = 0.75 * whole / 1024;
    for (int n = 1; n <= 12; n++)
        for (int grid = 2; grid <= 8; grid++) {
            char *keys = lode_format("patch: {layers: %d, grid: %d}\n", n, grid);
            const double bytes = price_patched(net, keys, "peak_memory_bytes");
            const double ms = price_patched(net, keys, "latency_ms");
            assert_true(price_patched(net, keys, "peak_live_bytes") <= bytes);
            least = fmin(least, bytes);
            if (bytes <= 1024 * budget) fastest = fmin(fastest, ms);
            lode_free(keys);
        }
    print_message("least %.0f of %.0f bytes, %.0f calls by %.0fx\n", least, whole,
                  price_patched(net, "patch: auto\n", "patch_layers"),
                  price_patched(net, "patch: auto\n", "patch_grid"));
    assert_true(least < 0.75 * whole && fastest < 1e30);
    assert_near(price_patched(net, "patch: auto\n", "peak_memory_bytes"), least, 0);
    char *keys = lode_format("patch: {budget_kib: %.17g}\n", budget);
    assert_near(price_patched(net, keys, "latency_ms"), fastest, 1e-12);
    assert_true(price_patched(net, keys, "peak_memory_bytes") <= 1024 * budget);
    lode_free(keys);
    /* What is in memory anyway is not slower for it. */
    assert_near(price_patched(net, "patch: {budget_kib: 1000}\n", "latency_ms"),
                price_patched(net, "", "latency_ms"), 0);
    assert_near(price_patched(net, "patch: {grid: 1}\n", "peak_memory_bytes"), whole, 0);
    assert_near(price_patched(net, "patch: none\n", "peak_memory_bytes"), whole, 0);
    lode_supernet_destroy(net);
}

/* Layers and grid as decisions of a space: the network is priced for the device as decided. */
static void a_space_decides(void **state) {
    (void)state;
    static const char device[] =
        "name: x\nkind: mcu\ndtype: int8\nclock_mhz: 100\n"
        "cycles_per_mac: {conv: 1, pointwise: 1, depthwise: 1, linear: 1}\n"
        "cycles_per_element: 0\npatch: {layers: 4, grid: 1}\n";
    char *dir = test_temp_dir(), *path = lode_path_join(dir, "x.yaml");
    char *head = lode_format(HEAD, nets[1].size);
    char *text = lode_format("%s%s" TAIL "hardware: {patch.layers: [4, 7], patch.grid: [1, 4]}\n",
                             head, nets[1].layers);
    lode_space *space = NULL;
    lode_supernet *net = NULL, *plain = open_net(1);
    assert_ok(lode_file_write_atomic(path, device, strlen(device)));
    assert_ok(lode_space_parse(text, "p", NULL, &space));
    assert_ok(lode_supernet_create(space, NULL, LODE_F32, 1, &net));
    static const char *const quantities[] = {"peak_memory_bytes", "latency_ms", "patch_grid"};
    for (int q = 0; q < 3; q++) {
        char *spec = lode_format("%s=%s", quantities[q], path);
        lode_cost *cost = NULL;
        assert_ok(lode_cost_open(spec, net, 1, &cost));
        for (int k = 0; k < 4; k++) {
            const int layers = k / 2 ? 7 : 4, grid = k % 2 ? 4 : 1;
            const lode_arch arch = {.n = 2, .option = {(uint8_t)(k / 2), (uint8_t)(k % 2)}};
            double value = 0;
            char *keys = lode_format("patch: {layers: %d, grid: %d}\n", layers, grid);
            assert_ok(lode_cost_hard(cost, &arch, &value));
            assert_near(value, price_patched(plain, keys, quantities[q]), 0);
            if (q == 2) assert_near(value, grid, 0);
            lode_free(keys);
        }
        lode_cost_close(cost);
        lode_free(spec);
    }
    lode_supernet_destroy(net);
    lode_supernet_destroy(plain);
    lode_space_release(space);
    test_remove_tree(dir);
    lode_free(text);
    lode_free(head);
    lode_free(path);
    lode_free(dir);
}

static void bad_keys_say_what(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"patch: some\n", "want none, auto, or a map"},
        {"patch: {layers: 0}\n", "want auto or a number from 1"},
        {"patch: {grid: 65}\n", "from 1 to 64"},
        {"patch: {image: away}\n", "held or streamed"},
        {"patch: {rows: 2}\n", "rows"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lode_hardware *h = NULL;
        char *text = lode_format("name: x\nkind: mcu\nclock_mhz: 1\ncycles_per_mac: {conv: 1, "
                                 "pointwise: 1, depthwise: 1, linear: 1}\n%s",
                                 cases[i][0]);
        assert_fails(lode_hardware_parse(text, "x", NULL, &h), LODE_ERR_CONFIG, cases[i][1]);
        lode_free(text);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(against_marks),       cmocka_unit_test(where_it_may_end),
        cmocka_unit_test(against_the_network), cmocka_unit_test(mobilenetv2_of_mcunetv2),
        cmocka_unit_test(auto_is_the_best),    cmocka_unit_test(a_space_decides),
        cmocka_unit_test(bad_keys_say_what),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
