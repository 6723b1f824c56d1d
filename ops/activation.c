/* activation.c   y = f(x), element by element; any shape.

   Each operator is two functions: its value and its slope. The slope is written in terms of the one
   tensor the operator keeps for backward: y where y tells enough (relu, relu6, leaky_relu,
   hsigmoid, sigmoid, tanh), so that x can be freed or shared, else x (hswish, swish, gelu). At a
   kink the slope is that of the flat side (0 for relu at 0), as everybody does it.

   relu6, Sandler et al. 2018; hsigmoid, hswish, Howard et al. 2019; swish, Ramachandran et al. 2017
   (SiLU); gelu, Hendrycks & Gimpel 2016, the exact form by erf. */
#include "ops/example_internal.h"
#include "ops/op_util.h"
#include "ops/ops.h"

#include <math.h>
#include <stdio.h>

/* `p` is the operator's one parameter, 0 when it has none. */
typedef double (*activation_value)(double x, double p);
typedef double (*activation_slope)(double kept, double p);

static double activation_param(const lode_op_call *c) {
    return c->params ? ((const lode_leaky_relu_params *)c->params)->slope : 0;
}

static lode_status activation_forward(const lode_op_call *c, activation_value f) {
    lode_ref r = {0};
    const double *x = lode_ref_in(&r, c->x[0]), p = activation_param(c);
    double *y = lode_ref_out(&r, c->y);
    const int64_t n = lode_tensor_count(c->y);
    for (int64_t i = 0; i < n && lode_ref_ok(&r); i++) y[i] = f(x[i], p);
    return lode_ref_end(&r);
}

static lode_status activation_backward(const lode_op_call *c, const lode_tensor *dy_,
                                       lode_tensor *const *dx_, activation_slope f) {
    if (dx_[0] == NULL) return LODE_OK;
    lode_ref r = {0};
    const double *kept = lode_ref_in(&r, c->op->keeps & LODE_KEEP_Y ? c->y : c->x[0]);
    const double *dy = lode_ref_in(&r, dy_), p = activation_param(c);
    double *dx = lode_ref_out(&r, dx_[0]);
    const int64_t n = lode_tensor_count(dy_);
    for (int64_t i = 0; i < n && lode_ref_ok(&r); i++) dx[i] = dy[i] * f(kept[i], p);
    return lode_ref_end(&r);
}

/* ---- values and slopes; NaN in, NaN out ---- */
static double relu_value(double x, double p) { return (void)p, x < 0 ? 0 : x; }
static double relu_slope(double y, double p) { return (void)p, y > 0 ? 1 : 0; }

static double relu6_value(double x, double p) { return (void)p, x < 0 ? 0 : x > 6 ? 6 : x; }
static double relu6_slope(double y, double p) { return (void)p, y > 0 && y < 6 ? 1 : 0; }

/* slope >= 0, so y has the sign of x. */
static double leaky_relu_value(double x, double p) { return x > 0 ? x : p * x; }
static double leaky_relu_slope(double y, double p) { return y > 0 ? 1 : p; }

static double hsigmoid_value(double x, double p) { return relu6_value(x + 3, p) / 6; }
static double hsigmoid_slope(double y, double p) { return (void)p, y > 0 && y < 1 ? 1.0 / 6 : 0; }

static double hswish_value(double x, double p) { return x * hsigmoid_value(x, p); }
static double hswish_slope(double x, double p) {
    return (void)p, x <= -3 ? 0 : x >= 3 ? 1 : (2 * x + 3) / 6;
}

/* Neither branch lets exp overflow. */
static double sigmoid_value(double x, double p) {
    (void)p;
    if (x >= 0) return 1 / (1 + exp(-x));
    const double e = exp(x);
    return e / (1 + e);
}
static double sigmoid_slope(double y, double p) { return (void)p, y * (1 - y); }

static double swish_value(double x, double p) { return x * sigmoid_value(x, p); }
static double swish_slope(double x, double p) {
    const double s = sigmoid_value(x, p);
    return s * (1 + x * (1 - s));
}

static double tanh_value(double x, double p) { return (void)p, tanh(x); }
static double tanh_slope(double y, double p) { return (void)p, 1 - y * y; }

/* x P(Z <= x), Z standard normal. */
static double gelu_value(double x, double p) {
    (void)p;
    return 0.5 * x * erfc(-x * 0.70710678118654752440);
}
static double gelu_slope(double x, double p) {
    (void)p;
    const double below = 0.5 * erfc(-x * 0.70710678118654752440);
    const double density = 0.39894228040143267794 * exp(-0.5 * x * x);
    return below + x * density;
}

/* ---- the operators ---- */
/* Values from -8 to 8, so that every branch is met, away from all kinks: 0, 6, -3, 3. */
static lode_status activation_example(lode_op_example *e, lode_rng *rng, int k) {
    LODE_TRY(lode_example_any_shape(e, rng, k));
    lode_example_fill(e->x[0], rng, -8, 8);
    static const double kink[] = {-3, 0, 3, 6};
    for (int i = 0; i < 4; i++) lode_example_avoid(e->x[0], kink[i]);
    return LODE_OK;
}

#define ACTIVATION(NAME, KEEPS)                                                                    \
    static lode_status NAME##_forward(const lode_op_call *c) {                                     \
        return activation_forward(c, NAME##_value);                                                \
    }                                                                                              \
    static lode_status NAME##_backward(const lode_op_call *c, const lode_tensor *dy,               \
                                       lode_tensor *const *dx) {                                   \
        return activation_backward(c, dy, dx, NAME##_slope);                                       \
    }                                                                                              \
    const lode_op lode_op_##NAME = {                                                               \
        .name = #NAME,                                                                             \
        .n_inputs = 1,                                                                             \
        .n_required = 1,                                                                           \
        .keeps = KEEPS,                                                                            \
        .infer = lode_infer_same_shape,                                                            \
        .reference = {.forward = NAME##_forward, .backward = NAME##_backward},                     \
        .count = lode_count_pointwise,                                                             \
        .example = activation_example,                                                             \
    };                                                                                             \
    lode_var *lode_##NAME(lode_tape *t, lode_var *x) {                                             \
        return lode_apply(t, &lode_op_##NAME, &x, 1, NULL);                                        \
    }

ACTIVATION(relu, LODE_KEEP_Y)
ACTIVATION(relu6, LODE_KEEP_Y)
ACTIVATION(hsigmoid, LODE_KEEP_Y)
ACTIVATION(hswish, LODE_KEEP_X(0))
ACTIVATION(sigmoid, LODE_KEEP_Y)
ACTIVATION(swish, LODE_KEEP_X(0))
ACTIVATION(tanh, LODE_KEEP_Y)
ACTIVATION(gelu, LODE_KEEP_X(0))

static lode_status leaky_relu_infer(const lode_op_call *c, lode_inferred *out) {
    const double slope = activation_param(c);
    if (!(slope >= 0 && slope <= 1))
        return LODE_FAIL(LODE_ERR_INVALID, "leaky_relu: slope %g; wanted 0 <= slope <= 1", slope);
    return lode_infer_same_shape(c, out);
}
static lode_status leaky_relu_forward(const lode_op_call *c) {
    return activation_forward(c, leaky_relu_value);
}
static lode_status leaky_relu_backward(const lode_op_call *c, const lode_tensor *dy,
                                       lode_tensor *const *dx) {
    return activation_backward(c, dy, dx, leaky_relu_slope);
}
static lode_status leaky_relu_example(lode_op_example *e, lode_rng *rng, int k) {
    const lode_leaky_relu_params p = {k == 0 ? 0 : k == 1 ? 1 : k % 2 ? 0.01 : 0.2};
    lode_example_set_params(e, &p, sizeof p);
    return activation_example(e, rng, k);
}
static void leaky_relu_print(const void *params, char out[96]) {
    snprintf(out, 96, "slope %g", ((const lode_leaky_relu_params *)params)->slope);
}

const lode_op lode_op_leaky_relu = {
    .name = "leaky_relu",
    .n_inputs = 1,
    .n_required = 1,
    .params_size = sizeof(lode_leaky_relu_params),
    .keeps = LODE_KEEP_Y,
    .infer = leaky_relu_infer,
    .reference = {.forward = leaky_relu_forward, .backward = leaky_relu_backward},
    .count = lode_count_pointwise,
    .example = leaky_relu_example,
    .print_params = leaky_relu_print,
};

lode_var *lode_leaky_relu(lode_tape *t, lode_var *x, double slope) {
    const lode_leaky_relu_params p = {.slope = slope};
    return lode_apply(t, &lode_op_leaky_relu, &x, 1, &p);
}
