/* gumbel_noise.c   G = -ln(-ln u), u uniform in (0,1): standard Gumbel noise of shape [K] or [N,K].

   argmax(alpha + G) is an exact draw from softmax(alpha) (Gumbel 1954), and softmax((alpha +
   G)/tau) its smooth stand-in (Jang et al. 2017, Maddison et al. 2017). Element i is the draw at
   `position`
   + i of the stream, whoever computes it. u never is 0 or 1, so G is finite: between -3.2 and 23.

   x lends dtype and device only; no gradient flows. */
#include "ops/example_internal.h"
#include "ops/op_util.h"
#include "ops/ops.h"

#include <math.h>
#include <stdio.h>

static lode_status gumbel_noise_infer(const lode_op_call *c, lode_inferred *out) {
    const lode_gumbel_params *p = c->params;
    if (p->n_dims < 1 || p->n_dims > 2)
        return LODE_FAIL(LODE_ERR_SHAPE, "gumbel_noise: %d dims; wanted [K] or [N, K]", p->n_dims);
    out->shape.n_dims = p->n_dims;
    for (int d = 0; d < p->n_dims; d++) {
        if (p->dim[d] < 1)
            return LODE_FAIL(LODE_ERR_SHAPE, "gumbel_noise: dim %d is %lld; wanted at least 1", d,
                             (long long)p->dim[d]);
        out->shape.dim[d] = p->dim[d];
    }
    out->dtype = c->x[0]->dtype;
    out->layout = LODE_CONTIGUOUS;
    LODE_TRY(lode_check_float(c, 0, "x"));
    return lode_shape_check(&out->shape);
}

static lode_status gumbel_noise_forward(const lode_op_call *c) {
    const lode_gumbel_params *p = c->params;
    const lode_rng stream = {p->seed, p->index, (uint32_t)p->purpose, p->position};
    const int64_t n = lode_tensor_count(c->y);
    lode_ref r = {0};
    double *y = lode_ref_out(&r, c->y);
    for (int64_t i = 0; i < n && lode_ref_ok(&r); i++)
        y[i] = -log(-log(lode_rng_uniform_at(&stream, p->position + (uint64_t)i)));
    return lode_ref_end(&r);
}

static void gumbel_noise_count(const lode_op_call *c, lode_op_count *out) {
    *out = (lode_op_count){0};
    out->flops = 2 * (double)lode_tensor_count(c->y);
    out->bytes_written = (double)lode_tensor_bytes(c->y);
}

static void gumbel_noise_print(const void *params, char out[96]) {
    const lode_gumbel_params *p = params;
    if (p->n_dims == 1)
        snprintf(out, 96, "%lld", (long long)p->dim[0]);
    else
        snprintf(out, 96, "%lldx%lld", (long long)p->dim[0], (long long)p->dim[1]);
}

static lode_status gumbel_noise_example(lode_op_example *e, lode_rng *rng, int k) {
    lode_gumbel_params p = {.seed = lode_rng_u64(rng),
                            .index = (uint64_t)k,
                            .position = lode_rng_u32(rng),
                            .dim = {1 + lode_rng_below(rng, 40), 0},
                            .purpose = LODE_RNG_GUMBEL,
                            .n_dims = 1 + k % 2};
    if (p.n_dims == 2) p.dim[1] = 1 + lode_rng_below(rng, 12);
    if (k == 0) p.dim[0] = 1;
    const lode_shape shape = LODE_SHAPE1(p.dim[p.n_dims - 1]);
    lode_example_set_params(e, &p, sizeof p);
    LODE_TRY(lode_example_laid(e, rng, &shape, LODE_EXAMPLE_DENSE));
    e->differentiable[0] = false;
    return LODE_OK;
}

const lode_op lode_op_gumbel_noise = {
    .name = "gumbel_noise",
    .n_inputs = 1,
    .n_required = 1,
    .params_size = sizeof(lode_gumbel_params),
    .stochastic = true,
    .not_differentiable = true,
    .infer = gumbel_noise_infer,
    .reference = {.forward = gumbel_noise_forward},
    .count = gumbel_noise_count,
    .example = gumbel_noise_example,
    .print_params = gumbel_noise_print,
};

lode_var *lode_gumbel_noise(lode_tape *t, lode_var *x, const lode_shape *shape, lode_rng stream) {
    lode_gumbel_params p = {.seed = stream.seed,
                            .index = stream.index,
                            .position = stream.position,
                            .purpose = (int32_t)stream.purpose,
                            .n_dims = shape->n_dims};
    for (int d = 0; d < shape->n_dims && d < 2; d++) p.dim[d] = shape->dim[d];
    return lode_apply(t, &lode_op_gumbel_noise, &x, 1, &p);
}
