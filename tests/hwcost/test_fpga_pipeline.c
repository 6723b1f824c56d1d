/* test_fpga_pipeline.c: layers that overlap: against closed forms, and against every task of small
   graphs played one by one; the device that is priced so. labels: unit */
#include "core/memory.h"
#include "core/platform.h"
#include "core/rng.h"
#include "hwcost/fpga_overlap.h"
#include "hwcost/hardware.h"
#include "hwcost/pricing.h"

#include <math.h>

/* ---- closed forms ---- */

static lode_overlap_stage layer(const lode_fpga_layer *l, const lode_fpga_tile *t,
                                lode_overlap_reuse reuse, int from) {
    lode_fpga_times x;
    lode_fpga_times_of(l, t, &(lode_fpga_ports){4, 4, 4}, &x);
    lode_overlap_stage s = {
        l->r, l->c,      l->m, l->n, *t, reuse, x.l2 / ceil((double)l->n / (double)t->n),
        x.l1, x.outputs, 1,    {{0}}};
    s.input[0] = (lode_overlap_input){from,
                                      false,
                                      false,
                                      false,
                                      {l->kernel, l->kernel},
                                      {l->stride, l->stride},
                                      {l->kernel / 2, l->kernel / 2}};
    return s;
}

/* A stage alone is the layer of methods D3: 115 444 cycles. */
static void one_layer_is_the_engines(void **state) {
    (void)state;
    lode_fpga_layer l = {64, 32, 28, 28, 3, 1};
    lode_fpga_tile t = {16, 8, 14, 14};
    for (int gapless = 0; gapless < 2; gapless++)
        for (int reuse = 0; reuse < 2; reuse++) {
            double cycles = 0, start = 0, end = 0;
            lode_overlap_stage s = layer(&l, &t, (lode_overlap_reuse)reuse, -1);
            assert_ok(lode_overlap_run(&s, 1, gapless, &start, &end, &cycles));
            assert_near(cycles, 115444, 0);
            assert_near(start, 1764, 0);
            assert_near(end, cycles, 0);
        }
    lode_overlap_stage s = layer(&l, &t, LODE_OVERLAP_OUTPUTS, 0);
    double cycles = 0;
    assert_fails(lode_overlap_run(&s, 1, false, NULL, NULL, &cycles), LODE_ERR_INVALID,
                 "stage 0 reads stage 0");
}

/* Two layers of one part, tasks of a and b cycles, no fill, no drain. The first has n1 input and m1
   output tiles, the second n2 = m1 input and m2 output tiles.

   Outputs reused, then inputs: tile k is there at (k+1) n1 a; the second may begin with it. Is it
   the slower, m2 b >= n1 a, its tiles are always there: n1 a + m1 m2 b. Else the last tile decides:
   m1 n1 a + m2 b.
   Inputs reused, then outputs: the first's tiles come a apart at the end, tile k at
   ((n1-1) m1 + k+1) a; the second wants one per b. */
static void two_layers(void **state) {
    (void)state;
    static const int shape[][3] = {{3, 4, 2}, {1, 4, 5}, {4, 1, 3}, {2, 6, 1}};
    static const double speed[][2] = {{1, 5}, {5, 1}, {2, 2}, {3, 1}};
    for (int i = 0; i < 4; i++)
        for (int k = 0; k < 4; k++) {
            int n1 = shape[i][0], m1 = shape[i][1], m2 = shape[i][2];
            double a = speed[k][0], b = speed[k][1], cycles = 0, gapless = 0, start[2];
            lode_overlap_input whole = {0, false, false, false, {1, 1}, {1, 1}, {0, 0}};
            lode_overlap_stage s[2] = {
                {1, 1, m1, n1, {1, 1, 1, 1}, LODE_OVERLAP_OUTPUTS, a, 0, 0, 0, {{0}}},
                {1, 1, m2, m1, {1, 1, 1, 1}, LODE_OVERLAP_INPUTS, b, 0, 0, 1, {whole}}};
            double last = m1 * n1 * a + m2 * b, slow = n1 * a + m1 * m2 * b;
            assert_ok(lode_overlap_run(s, 2, false, NULL, NULL, &cycles));
            assert_near(cycles, m2 * b >= n1 * a ? slow : last, 0);
            assert_ok(lode_overlap_run(s, 2, true, start, NULL, &gapless));
            assert_near(gapless, cycles, 0); /* of two layers the last ends the same */
            assert_near(start[1], cycles - m1 * m2 * b, 0);
            /* The other way round. */
            s[0].reuse = LODE_OVERLAP_INPUTS;
            s[1].reuse = LODE_OVERLAP_OUTPUTS;
            double want = 0; /* all m1 input tiles for each of m2 outputs */
            for (int j = 0; j < m1; j++)
                want = fmax(want, ((n1 - 1) * m1 + j + 1) * a + (m1 * m2 - j) * b);
            assert_ok(lode_overlap_run(s, 2, false, NULL, NULL, &cycles));
            assert_near(cycles, want, 0);
        }
}

/* ---- every task, one by one ---- */

typedef struct task {
    int stage;
    int64_t row, column, m, n;
    double end;
} task;

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

/* Does task `b` read an element of the output tile that task `a` is the last of? Element by
   element: rows, columns and channels of b's windows against a's tile. */
static bool reads(const lode_overlap_stage *s, const task *b, const task *a) {
    const lode_overlap_stage *to = &s[b->stage], *from = &s[a->stage];
    if (a->n != (from->depth + from->tile.n - 1) / from->tile.n - 1) return false;
    for (int i = 0; i < to->n_inputs; i++) {
        const lode_overlap_input *in = &to->input[i];
        if (in->from != a->stage) continue;
        bool map = in->whole_map, channels = in->all_channels;
        for (int64_t r = b->row * to->tile.r; r < least(to->rows, (b->row + 1) * to->tile.r); r++)
            for (int64_t c = b->column * to->tile.c;
                 c < least(to->columns, (b->column + 1) * to->tile.c); c++)
                for (int64_t u = 0; u < in->kernel[0]; u++)
                    for (int64_t v = 0; v < in->kernel[1]; v++) {
                        int64_t y = r * in->stride[0] - in->pad[0] + u;
                        int64_t x = c * in->stride[1] - in->pad[1] + v;
                        if (y < 0 || y >= from->rows || x < 0 || x >= from->columns) continue;
                        map = map || (y / from->tile.r == a->row && x / from->tile.c == a->column);
                    }
        int64_t k = in->own_channels ? b->m : b->n, t = in->own_channels ? to->tile.m : to->tile.n;
        int64_t all = in->own_channels ? to->channels : to->depth;
        for (int64_t c = k * t; c < least(all, (k + 1) * t); c++)
            channels = channels || (c < from->channels && c / from->tile.m == a->m);
        if (map && channels) return true;
    }
    return false;
}

static double play(const lode_overlap_stage *s, int n) {
    static task all[20000];
    int count = 0;
    double last = 0;
    for (int i = 0; i < n; i++) {
        int64_t gr = (s[i].rows + s[i].tile.r - 1) / s[i].tile.r;
        int64_t gc = (s[i].columns + s[i].tile.c - 1) / s[i].tile.c;
        int64_t gm = (s[i].channels + s[i].tile.m - 1) / s[i].tile.m;
        int64_t gn = (s[i].depth + s[i].tile.n - 1) / s[i].tile.n;
        double now = 0;
        for (int64_t p = 0; p < gr * gc; p++)
            for (int64_t k = 0; k < gm * gn; k++) {
                bool outputs = s[i].reuse == LODE_OVERLAP_OUTPUTS;
                task t = {i, p / gc, p % gc, outputs ? k / gn : k % gm, outputs ? k % gn : k / gm,
                          0};
                double begin = 0;
                for (int q = 0; q < count; q++)
                    if (all[q].stage < i && reads(s, &t, &all[q]))
                        begin = fmax(begin, all[q].end + s[all[q].stage].drain);
                now = fmax(now, begin + s[i].fill) + s[i].task;
                t.end = now;
                assert_true(count < 20000);
                all[count++] = t;
            }
        last = fmax(last, now + s[i].drain);
    }
    return last;
}

static int64_t draw(lode_rng *rng, int64_t from, int64_t to) {
    return from + lode_rng_below(rng, to - from + 1);
}

/* Chains with windows, strides, depthwise layers, a residual, a pooled map. */
static void small_graphs_task_by_task(void **state) {
    (void)state;
    lode_rng rng = lode_rng_stream(5, LODE_RNG_TEST, 1);
    int faster = 0;
    for (int trial = 0; trial < 60; trial++) {
        lode_overlap_stage s[4];
        int64_t side = draw(&rng, 3, 9), channels = draw(&rng, 1, 6);
        double cycles = 0, gapless = 0, start[4], end[4], alone = 0;
        for (int i = 0; i < 4; i++) {
            int64_t k = 2 * draw(&rng, 0, 2) + 1, stride = i == 2 ? draw(&rng, 1, 2) : 1;
            int64_t in = channels;
            bool deep = i == 1,
                 same = i == 3; /* the last adds what stage 2 made, by own channels */
            if (!deep && !same) channels = draw(&rng, 1, 6);
            side = (side - 1) / stride + 1;
            s[i] = (lode_overlap_stage){
                side,
                side,
                channels,
                deep || same ? 1 : in,
                {draw(&rng, 1, 3), draw(&rng, 1, 3), draw(&rng, 1, 4), draw(&rng, 1, 4)},
                (lode_overlap_reuse)draw(&rng, 0, 1),
                (double)draw(&rng, 1, 9),
                (double)draw(&rng, 0, 5),
                (double)draw(&rng, 0, 5),
                1,
                {{0}}};
            s[i].input[0] = (lode_overlap_input){
                i - 1, false, false, deep || same, {k, k}, {stride, stride}, {k / 2, k / 2}};
            if (same) { /* a branch of its own, the whole of stage 0's map, and channels */
                s[i].input[1] = (lode_overlap_input){0, true, true, false, {1, 1}, {1, 1}, {0, 0}};
                s[i].n_inputs = 2;
            }
        }
        assert_ok(lode_overlap_run(s, 4, false, start, end, &cycles));
        assert_near(cycles, play(s, 4), 0);
        for (int i = 0; i < 4; i++)
            alone += s[i].fill + (double)lode_overlap_n_tasks(&s[i]) * s[i].task + s[i].drain;
        assert_true(cycles <= alone); /* one after another is a schedule, too */
        if (cycles < alone) faster++;
        assert_ok(lode_overlap_run(s, 4, true, start, end, &gapless));
        assert_true(gapless >= cycles && gapless <= alone);
        for (int i = 0; i < 4; i++)
            assert_near(end[i],
                        start[i] + (double)lode_overlap_n_tasks(&s[i]) * s[i].task + s[i].drain,
                        1e-9);
    }
    assert_true(faster > 50);
}

/* What wins the maximum is what more of it helps, and nothing else does (methods C11). */
static void bottlenecks(void **state) {
    (void)state;
    lode_rng rng = lode_rng_stream(6, LODE_RNG_TEST, 2);
    int seen[4] = {0};
    for (int trial = 0; trial < 400; trial++) {
        lode_fpga_layer l = {draw(&rng, 1, 64), draw(&rng, 1, 64),        draw(&rng, 7, 28),
                             draw(&rng, 7, 28), 2 * draw(&rng, 0, 2) + 1, 1};
        lode_fpga_tile t = {draw(&rng, 1, 32), draw(&rng, 1, 16), draw(&rng, 1, 14),
                            draw(&rng, 1, 14)};
        lode_fpga_ports b = {0.25 * (double)draw(&rng, 1, 32), 0.25 * (double)draw(&rng, 1, 32),
                             0.25 * (double)draw(&rng, 1, 32)};
        lode_fpga_times x, y;
        lode_fpga_bound bound = lode_fpga_bound_of(&l, &t, &b);
        lode_fpga_times_of(&l, &t, &b, &x);
        seen[bound]++;
        double *port[] = {NULL, &b.input, &b.weight, &b.output};
        for (int k = 1; k < 4; k++) {
            *port[k] *= 1.01;
            lode_fpga_times_of(&l, &t, &b, &y);
            *port[k] /= 1.01;
            if (k == (int)bound)
                assert_true(y.l2 <= x.l2);
            else
                assert_near(y.l2, x.l2, 1e-12);
            if (k == (int)bound && x.inputs != x.weights && x.inputs != x.compute &&
                x.weights != x.compute)
                assert_true(y.l2 < x.l2);
        }
    }
    for (int k = 0; k < 4; k++) assert_true(seen[k] > 10);
}

/* ---- the device ---- */

#define DEVICE(m, n)                                                                               \
    "name: p\nkind: fpga_pipeline\ndtype: f16\nclock_mhz: 100\ntile: {m: " m ", n: " n             \
    ", r: 7, c: 14}\n"
#define NET(layers)                                                                                \
    "name: n\ninput: {channels: 8, size: 14}\nclasses: 10\nlayers:\n" layers                       \
    "  - {op: global_pool}\n  - {op: linear}\n"

static double price_on(const char *net_text, const char *device, const char *quantity) {
    lode_space *space = NULL;
    lode_supernet *net = NULL;
    lode_hardware *h = NULL;
    lode_cost *cost = NULL;
    double value = 0;
    assert_ok(lode_space_parse(net_text, "net", NULL, &space));
    assert_ok(lode_supernet_create(space, NULL, LODE_F32, 1, &net));
    assert_ok(lode_hardware_parse(device, "device", NULL, &h));
    assert_ok(
        lode_cost_from_model(lode_hardware_find_quantity(h, quantity), h->self, net, 1, &cost));
    assert_ok(lode_cost_hard(cost, &(lode_arch){.n = 0}, &value));
    lode_cost_close(cost);
    lode_hardware_close(h);
    lode_supernet_destroy(net);
    lode_space_release(space);
    return value;
}

/* Two convolutions, pooling, a classifier, worked out as four stages. */
static void a_network_overlaps(void **state) {
    (void)state;
    static const char net[] = NET("  - {op: conv, kernel: 3, channels: 16}\n"
                                  "  - {op: conv, kernel: 3, channels: 32}\n");
    lode_fpga_layer a = {16, 8, 14, 14, 3, 1}, b = {32, 16, 14, 14, 3, 1},
                    fc = {10, 32, 1, 1, 1, 1};
    lode_fpga_tile ta = {8, 4, 7, 14}, tc = {8, 4, 1, 1};
    lode_overlap_stage s[4] = {layer(&a, &ta, LODE_OVERLAP_OUTPUTS, -1),
                               layer(&b, &ta, LODE_OVERLAP_INPUTS, 0),
                               {0},
                               layer(&fc, &tc, LODE_OVERLAP_OUTPUTS, 2)};
    s[2] = (lode_overlap_stage){1,
                                1,
                                32,
                                1,
                                {8, 1, 1, 1},
                                LODE_OVERLAP_INPUTS,
                                32 * 196 / 4.0 / 4,
                                32 * 196 / 4.0 / 4,
                                8 / 4.0,
                                1,
                                {{0}}};
    s[2].input[0] = (lode_overlap_input){1, true, false, true, {1, 1}, {1, 1}, {0, 0}};
    double cycles = 0;
    assert_ok(lode_overlap_run(s, 4, false, NULL, NULL, &cycles));
    double ms = price_on(net, DEVICE("8", "4"), "latency_ms");
    assert_near(ms, cycles / 100e3, 1e-9);
    /* Sooner than one after another, later than the slowest. */
    double alone = lode_fpga_cycles(&a, &ta, &(lode_fpga_ports){4, 4, 4});
    double slowest = lode_fpga_cycles(&b, &ta, &(lode_fpga_ports){4, 4, 4});
    assert_true(100e3 * ms < alone + slowest && 100e3 * ms > slowest);
    assert_near(price_on(net, DEVICE("8", "4"), "dsp"), 3 * 32, 0);
    /* Engines are cut to their layers: 16 x 8, 20 x 16, 10 x 16. */
    assert_near(price_on(net, DEVICE("20", "16"), "dsp"), 128 + 320 + 160, 0);
    assert_near(price_on(net, DEVICE("8", "4"), "bram18k"),
                lode_fpga_bram18k(&a, &ta, 16) + lode_fpga_bram18k(&b, &ta, 16) +
                    lode_fpga_bram18k(&fc, &tc, 16),
                0);
}

/* A residual waits for both; a depthwise layer follows its input tile by tile. */
static void blocks_of_mobilenet(void **state) {
    (void)state;
    static const char with[] = NET("  - {op: mbconv, kernel: 3, expand: 4, channels: 8}\n");
    static const char strided[] =
        NET("  - {op: mbconv, kernel: 5, expand: 4, channels: 8, se: 0.25,"
            " stride: 2}\n");
    double residual = price_on(with, DEVICE("8", "4"), "latency_ms");
    double se = price_on(strided, DEVICE("8", "4"), "latency_ms");
    assert_true(residual > 0 && se > 0);
    assert_near(price_on(with, DEVICE("8", "4"), "dsp"), 32 + 8 + 32 + 32, 0);
    /* Larger engines are never slower here, where all channels are multiples. */
    assert_true(price_on(with, DEVICE("16", "8"), "latency_ms") < residual);
}

/* Tiles are decided by a space; every design is the file with those values. */
static void tiles_are_decisions(void **state) {
    (void)state;
    static const char space[] =
        "name: tiles\ninput: {channels: 3, size: 16}\nclasses: 10\n"
        "sets: {s: {a: {op: mbconv, kernel: 3, expand: 3}, b: {op: mbconv, kernel: 5, expand: "
        "6}}}\n"
        "layers:\n  - {name: stem, op: conv, kernel: 3, channels: 16}\n"
        "  - {choice: s, channels: 16}\n  - {choice: s, channels: 24, stride: 2}\n"
        "  - {name: pool, op: global_pool}\n  - {name: classifier, op: linear}\n"
        "hardware: {tile.m: [8, 16], tile.n: [4, 8], tile.r: [2, 8]}\n";
    char *dir = test_temp_dir(), *path = lode_path_join(dir, "p.yaml");
    priced_space f;
    assert_ok(lode_file_write_atomic(path, DEVICE("8", "4"), strlen(DEVICE("8", "4"))));
    assert_ok(lode_space_parse(space, "test", NULL, &f.space));
    assert_ok(lode_supernet_create(f.space, NULL, LODE_F32, 1, &f.net));
    assert_ok(lode_tape_create(LODE_TRACE, NULL, &f.trace));
    for (int q = 0; q < 3; q++) {
        static const char *const names[] = {"latency_ms", "dsp", "bram18k"};
        char *spec = lode_format("%s=%s", names[q], path);
        lode_cost *cost = NULL;
        double v[2];
        assert_ok(lode_cost_open(spec, f.net, 0, &cost));
        assert_true(lode_cost_has_gradient(cost) == (q != 0));
        for (int small = 0; small < 2; small++) {
            lode_arch arch = {.n = 5, .option = {0, 1, 1, 1, (uint8_t)!small}};
            assert_ok(lode_cost_hard(cost, &arch, &v[small]));
        }
        assert_true(q == 0 ? v[0] != v[1] : v[0] == v[1]); /* rows take no multipliers */
        if (q > 0) priced_hard(&f, cost, 6, true);
        if (q > 0) priced_gradient(&f, cost);
        lode_cost_close(cost);
        lode_free(spec);
    }
    priced_close(&f);
    test_remove_tree(dir);
    lode_free(path);
    lode_free(dir);
}

static void bad_files_say_what(void **state) {
    (void)state;
    lode_hardware *h = NULL;
    assert_fails(lode_hardware_parse("name: x\nkind: fpga_pipeline\ntile: {m: 1, n: 1, r: [1, 2], "
                                     "c: 1}\n",
                                     "x.yaml", NULL, &h),
                 LODE_ERR_CONFIG, "one number each");
    lode_space *space = NULL;
    lode_supernet *net = NULL;
    lode_cost *cost = NULL;
    double v = 0;
    assert_ok(lode_space_parse(NET("  - {op: conv, channels: 8}\n"), "net", NULL, &space));
    assert_ok(lode_supernet_create(space, NULL, LODE_F32, 1, &net));
    assert_ok(lode_hardware_parse(DEVICE("8", "4"), "device", NULL, &h));
    assert_ok(
        lode_cost_from_model(lode_hardware_find_quantity(h, "latency_ms"), h->self, net, 2, &cost));
    assert_fails(lode_cost_hard(cost, &(lode_arch){.n = 0}, &v), LODE_ERR_UNSUPPORTED, "one image");
    lode_cost_close(cost);
    lode_hardware_close(h);
    lode_supernet_destroy(net);
    lode_space_release(space);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_layer_is_the_engines),  cmocka_unit_test(two_layers),
        cmocka_unit_test(small_graphs_task_by_task), cmocka_unit_test(bottlenecks),
        cmocka_unit_test(a_network_overlaps),        cmocka_unit_test(blocks_of_mobilenet),
        cmocka_unit_test(tiles_are_decisions),       cmocka_unit_test(bad_files_say_what),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
