/* bench_kernels: every provider's kernels side by side.

   usage: bench_kernels [words] [seconds] [threads]
   Runs the cases whose name contains `words` ("" for all), each pass for about `seconds` (0.2), and
   prints the least and the median time of every provider in turn, with GFLOP/s (GB/s for kernels
   that only move data) and their share of what this machine reached just before. Providers take
   turns call by call, so that a slow moment of the machine hits all alike. */
#include "core/memory.h"
#include "core/parallel.h"
#include "core/platform.h"
#include "ops/dispatch.h"
#include "ops/native/roofline.h"
#include "ops/ops.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_REPEATS = 400, MAX_PROVIDERS = 8, MAX_X = 6 };

/* One measured thing: forward, or backward for some gradients. */
typedef struct bench_pass {
    const char *name;
    bool backward;
    bool want[MAX_X];
} bench_pass;

typedef struct bench_case {
    const char *name;
    lode_op_call call;
    lode_tensor *x[MAX_X], *dx[MAX_X], *dy;
    double flops; /* 0: count bytes */
} bench_case;

static lode_roofline roof;
static const char *words = "";
static double seconds = 0.2;

static void need(lode_status s) {
    if (s == LODE_OK) return;
    fprintf(stderr, "%s: %s\n", lode_status_name(s), lode_last_error());
    exit(1);
}

static lode_tensor *bench_tensor(lode_shape s, lode_layout layout, uint64_t stream) {
    lode_tensor *t = NULL;
    lode_rng r = lode_rng_stream(1, LODE_RNG_TEST, stream);
    need(lode_tensor_create(NULL, LODE_F32, &s, layout, &t));
    need(lode_tensor_fill_uniform(t, &r, -1, 1));
    return t;
}

static int bench_compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static const lode_kernel *bench_kernel(const lode_provider *p, const lode_op_call *c) {
    for (int i = 0; i < p->n_kernels; i++)
        if (p->kernels[i].op == c->op && p->kernels[i].supports(c)) return &p->kernels[i];
    return NULL;
}

static double bench_once(const lode_kernel *k, bench_case *b, const bench_pass *pass, void *memory,
                         size_t bytes) {
    lode_tensor *dx[MAX_X];
    for (int i = 0; i < MAX_X; i++) dx[i] = pass->want[i] ? b->dx[i] : NULL;
    b->call.workspace = memory;
    b->call.workspace_bytes = bytes;
    double start = lode_clock();
    need(pass->backward ? k->backward(&b->call, b->dy, dx) : k->forward(&b->call));
    return lode_clock() - start;
}

/* Bytes a perfect kernel moves: what it reads and writes, once each. */
static double bench_bytes(const bench_case *b, const bench_pass *pass) {
    double bytes = (double)lode_tensor_bytes(b->call.y); /* or dy */
    for (int i = 0; i < b->call.n_x; i++) {
        if (!b->x[i]) continue;
        bytes += (double)lode_tensor_bytes(b->x[i]);
        if (pass->backward && pass->want[i]) bytes += (double)lode_tensor_bytes(b->x[i]);
    }
    return bytes;
}

static void bench_print(const bench_case *b, const bench_pass *pass, const char *provider,
                        double *times, int n) {
    qsort(times, (size_t)n, sizeof *times, bench_compare);
    printf("%-46s %-8s %-9s %9.3f %9.3f", b->name, pass->name, provider, 1e3 * times[0],
           1e3 * times[n / 2]);
    if (b->flops > 0)
        printf(" %8.1f GFLOP/s %3.0f%%\n", b->flops / times[0] * 1e-9,
               100e-9 * b->flops / times[0] / roof.gflops);
    else
        printf(" %8.1f GB/s\n", bench_bytes(b, pass) / times[0] * 1e-9);
}

static void bench_run(bench_case *b, const bench_pass *pass) {
    static double times[MAX_PROVIDERS][MAX_REPEATS];
    const lode_kernel *kernel[MAX_PROVIDERS] = {NULL};
    void *memory[MAX_PROVIDERS] = {NULL};
    size_t bytes[MAX_PROVIDERS] = {0};
    int n = lode_n_providers() < MAX_PROVIDERS ? lode_n_providers() : MAX_PROVIDERS, repeats = 0;
    for (int p = 0; p < n; p++) {
        const lode_kernel *k = bench_kernel(lode_provider_at(p), &b->call);
        if (!k || (pass->backward && !k->backward)) continue;
        bytes[p] = k->workspace ? k->workspace(&b->call, pass->backward) : 0;
        memory[p] = lode_alloc_aligned(bytes[p] ? bytes[p] : 64, 64);
        if (!memory[p]) need(lode_last_status());
        kernel[p] = k;
        bench_once(k, b, pass, memory[p], bytes[p]); /* warm */
    }
    double stop = lode_clock() + seconds;
    while (repeats < MAX_REPEATS && (repeats < 5 || lode_clock() < stop)) {
        for (int p = 0; p < n; p++)
            if (kernel[p]) times[p][repeats] = bench_once(kernel[p], b, pass, memory[p], bytes[p]);
        repeats++;
    }
    for (int p = 0; p < n; p++) {
        if (kernel[p]) bench_print(b, pass, lode_provider_at(p)->name, times[p], repeats);
        lode_free(memory[p]);
    }
}

/* Output, auxiliary outputs and gradients as infer says. */
static void bench_prepare(bench_case *b, const lode_op *op, const void *params, int n_x) {
    lode_inferred out;
    memset(&out, 0, sizeof out);
    b->call = (lode_op_call){.op = op, .params = params, .n_x = n_x, .x = b->x, .train = true};
    need(op->infer(&b->call, &out));
    lode_layout layout = out.shape.n_dims == 4 ? LODE_CHANNELS_LAST : LODE_CONTIGUOUS;
    b->call.y = bench_tensor(out.shape, layout, 8);
    b->dy = bench_tensor(out.shape, layout, 9);
    for (int i = 0; i < out.n_aux; i++)
        need(lode_tensor_create(NULL, out.aux[i].dtype, &out.aux[i].shape, out.aux[i].layout,
                                &b->call.aux[i]));
    for (int i = 0; i < n_x; i++)
        if (b->x[i]) need(lode_tensor_like(b->x[i], &b->dx[i]));
}

static void bench_free(bench_case *b) {
    for (int i = 0; i < MAX_X; i++) {
        lode_tensor_release(b->x[i]);
        lode_tensor_release(b->dx[i]);
    }
    lode_tensor_release(b->dy);
    lode_tensor_release(b->call.y);
    for (int i = 0; i < LODE_MAX_AUX; i++) lode_tensor_release(b->call.aux[i]);
}

/* ---- convolutions ---- */

typedef struct conv_row {
    int n, c, side, o, k, stride, groups; /* groups 0: depthwise */
} conv_row;

static const conv_row conv_rows[] = {
    {64, 96, 32, 96, 3, 1, 0},   {64, 96, 32, 96, 5, 1, 0},  {64, 96, 32, 96, 7, 1, 0},
    {64, 144, 16, 144, 5, 1, 0}, {64, 96, 32, 96, 3, 2, 0},  {64, 96, 32, 96, 5, 2, 0},
    {64, 384, 8, 384, 3, 1, 0},  {64, 384, 8, 384, 7, 1, 0}, {16, 384, 14, 384, 7, 1, 0},
    {64, 24, 28, 24, 3, 1, 0},   {64, 40, 14, 40, 5, 1, 0},  {64, 96, 7, 96, 3, 1, 0},
    {1, 96, 28, 96, 3, 1, 0},    {1, 96, 28, 96, 5, 1, 0},   {64, 16, 32, 96, 1, 1, 1},
    {64, 96, 32, 16, 1, 1, 1},   {64, 64, 8, 384, 1, 1, 1},  {64, 24, 14, 72, 1, 1, 1},
    {64, 16, 32, 96, 1, 1, 2},   {64, 64, 8, 384, 1, 1, 2},  {64, 32, 16, 32, 3, 1, 1},
    {64, 1, 28, 16, 3, 1, 1},    {64, 3, 32, 16, 3, 1, 1},   {1, 16, 28, 96, 1, 1, 1},
};

static void bench_conv(const conv_row *r) {
    static const bench_pass passes[] = {
        {"forward", false, {false}}, {"dx", true, {true}}, {"dw", true, {false, true}}};
    int groups = r->groups ? r->groups : r->c;
    lode_conv2d_params p = lode_conv2d_same(r->k, r->stride, 1, groups);
    bench_case b;
    char name[96];
    snprintf(name, sizeof name, "conv k%d s%d %s%d c%d>%d %dx%d n%d", r->k, r->stride,
             r->groups ? "g" : "depthwise g", groups, r->c, r->o, r->side, r->side, r->n);
    if (!strstr(name, words)) return;
    memset(&b, 0, sizeof b);
    b.name = name;
    b.x[0] = bench_tensor(LODE_SHAPE4(r->n, r->c, r->side, r->side), LODE_CHANNELS_LAST, 0);
    b.x[1] = bench_tensor(LODE_SHAPE4(r->o, r->c / groups, r->k, r->k), LODE_CONTIGUOUS, 1);
    bench_prepare(&b, &lode_op_conv2d, &p, 3);
    b.flops = 2.0 * (double)lode_tensor_count(b.call.y) * (r->c / groups) * r->k * r->k;
    for (int i = 0; i < 3; i++) bench_run(&b, &passes[i]);
    bench_free(&b);
}

/* ---- kernels that move data ---- */

typedef struct move_row {
    const lode_op *op;
    int n_images, n_channels; /* inputs: [N,C,H,W], then [C] */
    int n, c, side;
} move_row;

static const move_row move_rows[] = {
    {&lode_op_batch_norm, 1, 4, 64, 96, 32}, {&lode_op_batch_norm, 1, 4, 64, 16, 32},
    {&lode_op_batch_norm, 1, 4, 64, 384, 8}, {&lode_op_relu6, 1, 0, 64, 96, 32},
    {&lode_op_hswish, 1, 0, 64, 96, 32},     {&lode_op_swish, 1, 0, 64, 96, 32},
    {&lode_op_add, 2, 0, 64, 96, 32},        {&lode_op_global_avg_pool, 1, 0, 64, 320, 7},
    {&lode_op_max_pool, 1, 0, 64, 64, 32},   {&lode_op_avg_pool, 1, 0, 64, 64, 32},
    {&lode_op_layer_norm, 1, 0, 64, 96, 32}, {&lode_op_softmax, 1, 0, 64, 10, 1},
};

static void bench_move(const move_row *r) {
    static const bench_pass passes[] = {{"forward", false, {false}},
                                        {"backward", true, {true, true, true}}};
    lode_batch_norm_params norm = {1e-5, 0.1, 1, 0};
    lode_layer_norm_params layer = {1e-5};
    lode_pool_params pool = lode_pool_square(3, 1, 1);
    const void *params = r->op == &lode_op_batch_norm   ? (const void *)&norm
                         : r->op == &lode_op_layer_norm ? (const void *)&layer
                                                        : (const void *)&pool;
    bench_case b;
    char name[96];
    snprintf(name, sizeof name, "%s c%d %dx%d n%d", r->op->name, r->c, r->side, r->side, r->n);
    if (!strstr(name, words)) return;
    memset(&b, 0, sizeof b);
    b.name = name;
    for (int i = 0; i < r->n_images; i++)
        b.x[i] = bench_tensor(LODE_SHAPE4(r->n, r->c, r->side, r->side), LODE_CHANNELS_LAST,
                              (uint64_t)i);
    for (int i = 0; i < r->n_channels; i++)
        b.x[r->n_images + i] = bench_tensor(LODE_SHAPE1(r->c), LODE_CONTIGUOUS, 5);
    bench_prepare(&b, r->op, params, r->n_images + r->n_channels);
    for (int i = 0; i < 2; i++) bench_run(&b, &passes[i]);
    bench_free(&b);
}

int main(int argc, char **argv) {
    if (argc > 1) words = argv[1];
    if (argc > 2) seconds = strtod(argv[2], NULL);
    if (argc > 3) lode_set_threads((int)strtol(argv[3], NULL, 10));

    need(lode_roofline_measure(0, &roof));
    printf("%s, %d threads: %.0f GFLOP/s, %.0f GB/s in cache, %.0f GB/s in memory\n", roof.isa,
           roof.threads, roof.gflops, roof.cache_gbs, roof.memory_gbs);
    printf("%-46s %-8s %-9s %9s %9s\n", "", "", "", "least ms", "median");
    for (size_t i = 0; i < sizeof conv_rows / sizeof *conv_rows; i++) bench_conv(&conv_rows[i]);
    for (size_t i = 0; i < sizeof move_rows / sizeof *move_rows; i++) bench_move(&move_rows[i]);
    return 0;
}
