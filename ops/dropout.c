/* dropout.c   y = x / (1-p) with probability 1-p, else 0; per element, or per sample (drop-path).

   Srivastava et al. 2014; drop-path: Larsson et al. 2017. Whether an element stays is a function of
   the stream in the parameters and of the element's row-major position (drop-path: of its sample),
   not of memory order or threads: every provider gives the same mask, and backward draws it again
   instead of keeping it. */
#include "ops/example_internal.h"
#include "ops/op_util.h"
#include "ops/ops.h"

#include <stdio.h>

static lode_status dropout_infer(const lode_op_call *c, lode_inferred *out) {
    const lode_dropout_params *p = c->params;
    if (!(p->p >= 0 && p->p <= 1))
        return LODE_FAIL(LODE_ERR_INVALID, "dropout: p is %g; wanted 0 <= p <= 1", p->p);
    if (p->per_sample && c->x[0]->shape.n_dims < 1)
        return LODE_FAIL(LODE_ERR_SHAPE, "dropout: drop-path needs x [N, ...], x is a scalar");
    return lode_infer_same_shape(c, out);
}

/* Forward on x and backward on dy are the same: the operator is linear, its matrix diagonal. */
static lode_status dropout_apply(const lode_dropout_params *p, const lode_tensor *from,
                                 lode_tensor *to) {
    const lode_rng stream = {p->seed, p->index, (uint32_t)p->purpose, p->position};
    const double scale = p->p < 1 ? 1 / (1 - p->p) : 0;
    const int64_t n = lode_tensor_count(from);
    const int64_t per_draw = p->per_sample ? n / from->shape.dim[0] : 1;
    lode_ref r = {0};
    const double *in = lode_ref_in(&r, from);
    double *out = lode_ref_out(&r, to);
    for (int64_t i = 0; i < n && lode_ref_ok(&r); i++) {
        const uint64_t draw = p->position + (uint64_t)(i / per_draw);
        out[i] = lode_rng_uniform_at(&stream, draw) >= p->p ? in[i] * scale : 0;
    }
    return lode_ref_end(&r);
}

static lode_status dropout_forward(const lode_op_call *c) {
    return dropout_apply(c->params, c->x[0], c->y);
}

static lode_status dropout_backward(const lode_op_call *c, const lode_tensor *dy,
                                    lode_tensor *const *dx) {
    return dx[0] ? dropout_apply(c->params, dy, dx[0]) : LODE_OK;
}

static lode_status dropout_example(lode_op_example *e, lode_rng *rng, int k) {
    static const double corner[] = {0.5, 0, 1, 0.1};
    lode_dropout_params p = {.seed = lode_rng_u64(rng),
                             .index = (uint64_t)k,
                             .position = lode_rng_u32(rng),
                             .p = k < 4 ? corner[k] : lode_rng_uniform(rng),
                             .purpose = LODE_RNG_DROPOUT};
    LODE_TRY(lode_example_any_shape(e, rng, k));
    p.per_sample = e->x[0]->shape.n_dims > 0 && k % 3 == 2;
    lode_example_set_params(e, &p, sizeof p);
    return LODE_OK;
}

static void dropout_print(const void *params, char out[96]) {
    const lode_dropout_params *p = params;
    snprintf(out, 96, "p %g%s", p->p, p->per_sample ? " per sample" : "");
}

const lode_op lode_op_dropout = {
    .name = "dropout",
    .n_inputs = 1,
    .n_required = 1,
    .params_size = sizeof(lode_dropout_params),
    .stochastic = true,
    .infer = dropout_infer,
    .reference = {.forward = dropout_forward, .backward = dropout_backward},
    .count = lode_count_pointwise,
    .example = dropout_example,
    .print_params = dropout_print,
};

static lode_var *dropout_record(lode_tape *t, lode_var *x, double p, bool per_sample) {
    if (x == NULL || p == 0 || lode_tape_get_mode(t) != LODE_TRAIN) return x;
    const lode_rng stream = lode_tape_next_rng(t, LODE_RNG_DROPOUT);
    const lode_dropout_params params = {.seed = stream.seed,
                                        .index = stream.index,
                                        .position = stream.position,
                                        .p = p,
                                        .purpose = (int32_t)stream.purpose,
                                        .per_sample = per_sample};
    return lode_apply(t, &lode_op_dropout, &x, 1, &params);
}

lode_var *lode_dropout(lode_tape *t, lode_var *x, double p) {
    return dropout_record(t, x, p, false);
}

lode_var *lode_drop_path(lode_tape *t, lode_var *x, double p) {
    return dropout_record(t, x, p, true);
}
