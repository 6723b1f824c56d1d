/* xnas_mixture.c: see xnas_mixture.h. An operator of its own, because what it sends back is a
   reward for each expert and bounded for each sample, which no composition of derivatives gives. */
#include "train/xnas_mixture.h"

#include "autograd/op.h"

#include <math.h>
#include <string.h>

static lode_status mixture_infer(const lode_op_call *c, lode_inferred *out) {
    const lode_xnas_mixture_params *p = c->params;
    const lode_shape *s = &c->x[0]->shape;
    char text[128];
    if (s->n_dims != 1 || s->dim[0] < 1)
        return LODE_FAIL(LODE_ERR_SHAPE, "xnas_mixture: log_v is %s; wanted [K]",
                         lode_shape_print(s, text));
    if (p->samples < 0 || !(p->bound >= 0))
        return LODE_FAIL(LODE_ERR_INVALID, "xnas_mixture: %lld samples, bound %g",
                         (long long)p->samples, p->bound);
    out->shape = p->samples > 0 ? LODE_SHAPE2(p->samples, s->dim[0]) : LODE_SHAPE1(s->dim[0]);
    out->dtype = c->x[0]->dtype;
    out->layout = LODE_CONTIGUOUS;
    return LODE_OK;
}

static lode_status mixture_forward(const lode_op_call *c) {
    const int64_t k = lode_tensor_count(c->x[0]), n = lode_tensor_count(c->y);
    double max = -INFINITY, sum = 0;
    for (int64_t i = 0; i < k; i++) max = fmax(max, lode_at(c->x[0], i));
    for (int64_t i = 0; i < k; i++) sum += exp(lode_at(c->x[0], i) - max);
    for (int64_t i = 0; i < n; i++) lode_put(c->y, i, exp(lode_at(c->x[0], i % k) - max) / sum);
    return LODE_OK;
}

static lode_status mixture_backward(const lode_op_call *c, const lode_tensor *dy,
                                    lode_tensor *const *dx) {
    const lode_xnas_mixture_params *p = c->params;
    const int64_t k = lode_tensor_count(c->x[0]), n = lode_tensor_count(c->y);
    for (int64_t i = 0; dx[0] != NULL && i < k; i++) {
        double sum = 0;
        for (int64_t j = i; j < n; j += k) {
            double g = p->scale * lode_at(dy, j);
            if (p->bound > 0) g = fmax(-p->bound, fmin(g, p->bound));
            sum += p->share * g;
        }
        lode_put(dx[0], i, sum);
    }
    return LODE_OK;
}

static void mixture_count(const lode_op_call *c, lode_op_count *out) {
    *out = (lode_op_count){.flops = 3 * (double)lode_tensor_count(c->y),
                           .bytes_read = (double)lode_tensor_bytes(c->x[0]),
                           .bytes_written = (double)lode_tensor_bytes(c->y)};
}

static const lode_op mixture_op = {
    .name = "xnas_mixture",
    .n_inputs = 1,
    .n_required = 1,
    .params_size = sizeof(lode_xnas_mixture_params),
    .keeps = LODE_KEEP_X(0),
    .infer = mixture_infer,
    .reference = {.forward = mixture_forward, .backward = mixture_backward},
    .count = mixture_count,
};

lode_var *lode_xnas_mixture(lode_tape *t, lode_var *log_v, const lode_xnas_mixture_params *p) {
    return lode_apply(t, &mixture_op, &log_v, 1, p);
}
