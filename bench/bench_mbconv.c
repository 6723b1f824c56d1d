/* bench_mbconv: a training step of an inverted residual, fused and as its parts.

   usage: bench_mbconv [words] [seconds] [threads]
   Forward and backward of one block, or of a mixture of nine (kernels 3, 5, 7; expansions 1, 3, 6),
   with ReLU6, or of a block with squeeze-and-excite ("se"), for about `seconds` (1) per case whose
   name contains `words`. Fused and unfused steps take turns, so that a slow moment of the machine
   hits both; printed are the least times: of the clock, or of the processor with one thread, which
   neighbors do not stop. */
#include "core/parallel.h"
#include "core/platform.h"
#include "ops/dispatch.h"
#include "ops/ops.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { BENCH_MOST = 9, BENCH_TENSORS = 20 };

/* Weights of one candidate: depthwise, project, expand, three norms, squeeze-and-excite. */
typedef struct bench_block {
    int kernel, expand, reduced; /* reduced: channels of squeeze-and-excite, 0 without */
    lode_tensor *value[BENCH_TENSORS], *grad[BENCH_TENSORS];
} bench_block;

typedef struct bench_layer {
    int64_t N, C, H;
    int stride, n;
    bench_block block[BENCH_MOST];
    lode_tensor *x, *dy, *mix, *mix_grad, *dx;
} bench_layer;

static void need(lode_status s) {
    if (s == LODE_OK) return;
    fprintf(stderr, "%s: %s\n", lode_status_name(s), lode_last_error());
    exit(1);
}

static lode_tensor *bench_tensor(lode_shape s, uint64_t stream, double mean, double std) {
    lode_tensor *t = NULL;
    lode_rng r = lode_rng_stream(1, LODE_RNG_TEST, stream);
    need(lode_tensor_create(NULL, LODE_F32, &s,
                            s.n_dims == 4 ? LODE_CHANNELS_LAST : LODE_CONTIGUOUS, &t));
    need(lode_tensor_fill_normal(t, &r, mean, std));
    return t;
}

static void bench_make_block(bench_block *b, int64_t C, int kernel, int expand, int reduced) {
    int64_t M = C * expand;
    const bool expands = expand > 1;
    *b = (bench_block){.kernel = kernel, .expand = expand, .reduced = reduced};
    b->value[0] = bench_tensor(LODE_SHAPE4(M, 1, kernel, kernel), 1, 0, 1.0 / kernel);
    b->value[1] = bench_tensor(LODE_SHAPE4(C, M, 1, 1), 2, 0, 0.1);
    if (expands) b->value[2] = bench_tensor(LODE_SHAPE4(M, C, 1, 1), 3, 0, 0.2);
    for (int i = expands ? 0 : 1; i < 3; i++)
        for (int k = 0; k < 4; k++)
            b->value[3 + 4 * i + k] =
                bench_tensor(LODE_SHAPE1(i < 2 ? M : C), 4, k % 3 == 0 ? 1 : 0, 0.0);
    if (reduced == 0) return;
    b->value[16] = bench_tensor(LODE_SHAPE4(reduced, M, 1, 1), 8, 0, 0.1);
    b->value[17] = bench_tensor(LODE_SHAPE1(reduced), 9, 0, 0);
    b->value[18] = bench_tensor(LODE_SHAPE4(M, reduced, 1, 1), 10, 0, 0.1);
    b->value[19] = bench_tensor(LODE_SHAPE1(M), 11, 0, 0);
}

static lode_var *bench_var(lode_tape *t, bench_block *b, int i) {
    if (b->value[i] == NULL) return NULL;
    const bool running = i >= 3 && i < 15 && (i - 3) % 4 >= 2;
    return running ? lode_tape_constant(t, b->value[i])
                   : lode_tape_leaf(t, b->value[i], &b->grad[i]);
}

static lode_var *bench_norm_act(lode_tape *t, lode_var *z, const lode_mbconv_norm *n, bool act) {
    lode_batch_norm_params p = {1e-5, 0.1, 1, 1, 0, 0};
    lode_var *y = lode_batch_norm(t, z, n->gamma, n->beta, n->mean_run, n->var_run, p);
    return act ? lode_relu6(t, y) : y;
}

static lode_var *bench_excite(lode_tape *t, const lode_mbconv_inputs *in, lode_var *x) {
    const lode_conv2d_params point = lode_conv2d_same(1, 1, 1, 1);
    lode_var *g = lode_conv2d(t, lode_global_avg_pool(t, x), in->reduce, in->reduce_bias, point);
    g = lode_conv2d(t, lode_relu(t, g), in->widen, in->widen_bias, point);
    return lode_mul(t, x, lode_hsigmoid(t, g));
}

static lode_var *bench_forward(lode_tape *t, bench_layer *l, bench_block *b, lode_var *x,
                               bool fused) {
    lode_scope scope = lode_tape_enter(t, "block");
    lode_mbconv_inputs in = {.x = x,
                             .depthwise = bench_var(t, b, 0),
                             .project = bench_var(t, b, 1),
                             .expand = bench_var(t, b, 2),
                             .reduce = bench_var(t, b, 16),
                             .reduce_bias = bench_var(t, b, 17),
                             .widen = bench_var(t, b, 18),
                             .widen_bias = bench_var(t, b, 19)};
    for (int i = 0; i < 3; i++)
        in.norm[i] = (lode_mbconv_norm){bench_var(t, b, 3 + 4 * i), bench_var(t, b, 4 + 4 * i),
                                        bench_var(t, b, 5 + 4 * i), bench_var(t, b, 6 + 4 * i)};
    if (fused) {
        lode_mbconv_params p = {1e-5, 0.1, l->stride, LODE_ACT_RELU6, 0, 1, 1, 0};
        return lode_tape_leave(t, scope, lode_mbconv(t, &in, p));
    }
    lode_var *y = x;
    if (in.expand != NULL)
        y = bench_norm_act(t, lode_conv2d(t, y, in.expand, NULL, lode_conv2d_same(1, 1, 1, 1)),
                           &in.norm[0], true);
    lode_conv2d_params depthwise =
        lode_conv2d_same(b->kernel, l->stride, 1, (int)(l->C * b->expand));
    y = bench_norm_act(t, lode_conv2d(t, y, in.depthwise, NULL, depthwise), &in.norm[1], true);
    if (in.reduce != NULL) y = bench_excite(t, &in, y);
    y = lode_conv2d(t, y, in.project, NULL, lode_conv2d_same(1, 1, 1, 1));
    return lode_tape_leave(t, scope, bench_norm_act(t, y, &in.norm[2], false));
}

static double bench_clock(void) {
    return lode_get_threads() == 1 ? (double)clock() / CLOCKS_PER_SEC : lode_clock();
}

/* Seconds of one step; those of forward too. */
static double bench_step(lode_tape *t, bench_layer *l, bool fused, double *forward) {
    double start = bench_clock();
    lode_tape_reset(t);
    lode_var *x = lode_tape_leaf(t, l->x, &l->dx), *o[BENCH_MOST], *y;
    for (int i = 0; i < l->n; i++) o[i] = bench_forward(t, l, &l->block[i], x, fused);
    y = l->n == 1 ? o[0] : lode_weighted_sum(t, o, l->n, lode_tape_leaf(t, l->mix, &l->mix_grad));
    need(lode_tape_status(t));
    *forward = bench_clock() - start;
    if (l->dy == NULL) l->dy = bench_tensor(y->value->shape, 6, 0, 1);
    need(lode_backward_from(t, y, l->dy));
    return bench_clock() - start;
}

static void bench_release(bench_layer *l) {
    for (int i = 0; i < l->n; i++)
        for (int k = 0; k < BENCH_TENSORS; k++) {
            lode_tensor_release(l->block[i].value[k]);
            lode_tensor_release(l->block[i].grad[k]);
        }
    lode_tensor_release(l->x);
    lode_tensor_release(l->dy);
    lode_tensor_release(l->mix);
    lode_tensor_release(l->mix_grad);
    lode_tensor_release(l->dx);
}

static void bench_run(const char *name, bench_layer *l, const lode_runner *runner, double seconds) {
    lode_tape *t = NULL;
    double best[2] = {1e9, 1e9}, first[2] = {1e9, 1e9}, forward, stop;
    l->x = bench_tensor(LODE_SHAPE4(l->N, l->C, l->H, l->H), 5, 0, 1);
    l->mix = bench_tensor(LODE_SHAPE1(l->n), 7, 1.0 / l->n, 0);
    need(lode_tape_create(LODE_TRAIN, runner, &t));
    for (int k = 0; k < 2; k++) bench_step(t, l, k == 0, &forward); /* warm */
    stop = lode_clock() + seconds;
    for (int round = 0; round < 3 || lode_clock() < stop; round++)
        for (int k = 0; k < 2; k++) {
            double s = bench_step(t, l, k == 0, &forward);
            if (s < best[k]) best[k] = s;
            if (forward < first[k]) first[k] = forward;
        }
    printf("%-28s %9.2f %9.2f %9.2f %9.2f %7.2f\n", name, 1e3 * first[0], 1e3 * best[0],
           1e3 * first[1], 1e3 * best[1], best[1] / best[0]);
    fflush(stdout);
    lode_tape_destroy(t);
    bench_release(l);
}

int main(int argc, char **argv) {
    static const struct {
        int64_t N, C, H;
    } size[] = {{64, 16, 32}, {64, 32, 16}, {64, 64, 8}, {16, 32, 28}, {16, 64, 14}, {16, 160, 7}};
    const char *words = argc > 1 ? argv[1] : "";
    double seconds = argc > 2 ? strtod(argv[2], NULL) : 1;
    lode_dispatch *d = NULL;
    char name[64];
    lode_set_threads(argc > 3 ? (int)strtol(argv[3], NULL, 10) : 0);
    need(lode_dispatch_create(NULL, &d));
    printf("%-28s %9s %9s %9s %9s %7s   (ms)\n", "", "forward", "step", "unfused", "step", "ratio");
    for (size_t s = 0; s < sizeof size / sizeof *size; s++) {
        for (int k = 3; k <= 9; k += 2) { /* the fourth: k5 with squeeze-and-excite */
            const int kernel = k < 8 ? k : 5, reduced = k < 8 ? 0 : (int)(6 * size[s].C / 4);
            bench_layer l = {size[s].N, size[s].C, size[s].H, 1, 1, {{0}}, 0, 0, 0, 0, 0};
            snprintf(name, sizeof name, "mbconv k%d e6%s N%lld C%lld %lldx%lld", kernel,
                     reduced > 0 ? " se" : "", (long long)l.N, (long long)l.C, (long long)l.H,
                     (long long)l.H);
            if (strstr(name, words) == NULL) continue;
            bench_make_block(&l.block[0], l.C, kernel, 6, reduced);
            bench_run(name, &l, lode_dispatch_runner(d), seconds);
        }
        bench_layer l = {size[s].N, size[s].C, size[s].H, 1, 0, {{0}}, 0, 0, 0, 0, 0};
        snprintf(name, sizeof name, "mixture of 9 N%lld C%lld %lldx%lld", (long long)l.N,
                 (long long)l.C, (long long)l.H, (long long)l.H);
        if (s >= 3 || strstr(name, words) == NULL) continue;
        for (int k = 3; k <= 7; k += 2)
            for (int e = 0; e <= 6; e += 3)
                bench_make_block(&l.block[l.n++], l.C, k, e > 0 ? e : 1, 0);
        bench_run(name, &l, lode_dispatch_runner(d), seconds);
    }
    lode_dispatch_destroy(d);
    return 0;
}
