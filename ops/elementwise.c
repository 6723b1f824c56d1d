/* elementwise.c   add, sub, mul, div of two tensors with NumPy's broadcasting.

   The shapes are aligned at their last dims; a dim of 1 (or a missing one) of one operand repeats
   along the dim of the other. So [N,C,H,W] * [N,C,1,1] is the squeeze-excite gate and [..., D] +
   [D] a bias. An element that was repeated collects the gradients of all its uses: the gradient of
   an operand is summed, in double, over the dims along which it was repeated.

   add and sub keep nothing for backward; mul and div keep both operands. */

#include "ops/example_internal.h"
#include "ops/index_internal.h"
#include "ops/op_util.h"
#include "ops/ops.h"

typedef double (*elementwise_value)(double a, double b);
/* d(dy * y)/d(operand). */
typedef double (*elementwise_gradient)(double a, double b, double dy);

/* A result that is 4-dimensional is an image, channels-last, unless an operand that fills it whole
   (a weight, say) stands in plain order. */
static lode_layout elementwise_layout(const lode_op_call *c, const lode_shape *y) {
    for (int k = 0; k < 2; k++)
        if (lode_shape_equal(&c->x[k]->shape, y)) return lode_layout_like(c->x[k]);
    return y->n_dims == 4 ? LODE_CHANNELS_LAST : LODE_CONTIGUOUS;
}

static lode_status elementwise_infer(const lode_op_call *c, lode_inferred *out) {
    const lode_tensor *a = c->x[0], *b = c->x[1];
    if (a->dtype != b->dtype)
        return LODE_FAIL(LODE_ERR_DTYPE, "%s: the operands are %s and %s; they must be the same",
                         c->op->name, lode_dtype_name(a->dtype), lode_dtype_name(b->dtype));
    if (lode_shape_broadcast(&a->shape, &b->shape, &out->shape) != LODE_OK)
        return lode_error_context("%s", c->op->name);
    out->dtype = a->dtype;
    out->layout = elementwise_layout(c, &out->shape);
    return LODE_OK;
}

/* Row-major steps of an operand of shape `x` along each dim of the result: 0 where it is repeated.
 */
static void elementwise_steps(const lode_shape *y, const lode_shape *x,
                              int64_t step[LODE_MAX_DIMS]) {
    const int missing = y->n_dims - x->n_dims;
    int64_t own[LODE_MAX_DIMS];
    lode_strides_contiguous(x, own);
    for (int d = 0; d < y->n_dims; d++)
        step[d] = d < missing || x->dim[d - missing] == 1 ? 0 : own[d - missing];
}

static int64_t elementwise_place(const int64_t *at, const int64_t *step, int n_dims) {
    int64_t i = 0;
    for (int d = 0; d < n_dims; d++) i += at[d] * step[d];
    return i;
}

static lode_status elementwise_forward(const lode_op_call *c, elementwise_value f) {
    const lode_shape *s = &c->y->shape;
    lode_ref r = {0};
    const double *a = lode_ref_in(&r, c->x[0]), *b = lode_ref_in(&r, c->x[1]);
    double *y = lode_ref_out(&r, c->y);
    int64_t at[LODE_MAX_DIMS] = {0}, step_a[LODE_MAX_DIMS], step_b[LODE_MAX_DIMS];
    elementwise_steps(s, &c->x[0]->shape, step_a);
    elementwise_steps(s, &c->x[1]->shape, step_b);
    const int64_t n = lode_shape_count(s);
    for (int64_t i = 0; i < n && lode_ref_ok(&r); i++) {
        lode_index_of(s, i, at);
        y[i] = f(a[elementwise_place(at, step_a, s->n_dims)],
                 b[elementwise_place(at, step_b, s->n_dims)]);
    }
    return lode_ref_end(&r);
}

/* The gradient of operand k: each element sums over its uses, in double. Operands that are not kept
   are not read. */
static lode_status elementwise_gradient_of(const lode_op_call *c, const lode_tensor *dy_,
                                           lode_tensor *dx_, elementwise_gradient g) {
    if (dx_ == NULL) return LODE_OK;
    const lode_shape *s = &dy_->shape;
    const bool reads = c->op->keeps != 0;
    lode_ref r = {0};
    const double *a = reads ? lode_ref_in(&r, c->x[0]) : NULL;
    const double *b = reads ? lode_ref_in(&r, c->x[1]) : NULL;
    const double *dy = lode_ref_in(&r, dy_);
    double *dx = lode_ref_out(&r, dx_);
    int64_t at[LODE_MAX_DIMS] = {0}, step[LODE_MAX_DIMS];
    int64_t step_a[LODE_MAX_DIMS] = {0}, step_b[LODE_MAX_DIMS] = {0};
    elementwise_steps(s, &dx_->shape, step);
    if (reads) elementwise_steps(s, &c->x[0]->shape, step_a);
    if (reads) elementwise_steps(s, &c->x[1]->shape, step_b);
    const int64_t n = lode_shape_count(s);
    for (int64_t i = 0; i < n && lode_ref_ok(&r); i++) {
        lode_index_of(s, i, at);
        const double va = reads ? a[elementwise_place(at, step_a, s->n_dims)] : 0;
        const double vb = reads ? b[elementwise_place(at, step_b, s->n_dims)] : 0;
        dx[elementwise_place(at, step, s->n_dims)] += g(va, vb, dy[i]);
    }
    return lode_ref_end(&r);
}

static lode_status elementwise_backward(const lode_op_call *c, const lode_tensor *dy,
                                        lode_tensor *const *dx, elementwise_gradient ga,
                                        elementwise_gradient gb) {
    LODE_TRY(elementwise_gradient_of(c, dy, dx[0], ga));
    return elementwise_gradient_of(c, dy, dx[1], gb);
}

static double add_value(double a, double b) { return a + b; }
static double add_gradient(double a, double b, double dy) { return (void)a, (void)b, dy; }
static double sub_value(double a, double b) { return a - b; }
static double sub_gradient_b(double a, double b, double dy) { return (void)a, (void)b, -dy; }
static double mul_value(double a, double b) { return a * b; }
static double mul_gradient_a(double a, double b, double dy) { return (void)a, dy * b; }
static double mul_gradient_b(double a, double b, double dy) { return (void)b, dy * a; }
static double div_value(double a, double b) { return a / b; }
static double div_gradient_a(double a, double b, double dy) { return (void)a, dy / b; }
static double div_gradient_b(double a, double b, double dy) { return -dy * a / (b * b); }

/* ---- examples: broadcasting of every kind ---- */
static lode_status elementwise_example(lode_op_example *e, lode_rng *rng, int k) {
    static const struct {
        lode_shape a, b;
        lode_example_layout layout_a, layout_b;
    } corner[] = {
        {{0, {0}}, {0, {0}}, LODE_EXAMPLE_DENSE, LODE_EXAMPLE_DENSE},
        {{0, {0}}, {2, {2, 3}}, LODE_EXAMPLE_DENSE, LODE_EXAMPLE_TRANSPOSED},
        {{1, {5}}, {0, {0}}, LODE_EXAMPLE_STRIDED, LODE_EXAMPLE_DENSE},
        {{1, {1}}, {1, {1}}, LODE_EXAMPLE_DENSE, LODE_EXAMPLE_DENSE},
        {{2, {4, 3}}, {1, {3}}, LODE_EXAMPLE_DENSE, LODE_EXAMPLE_STRIDED},
        {{2, {4, 1}}, {2, {1, 3}}, LODE_EXAMPLE_DENSE, LODE_EXAMPLE_DENSE},
        {{4, {2, 19, 3, 3}}, {4, {2, 19, 3, 3}}, LODE_EXAMPLE_DENSE, LODE_EXAMPLE_DENSE},
        {{4, {2, 19, 3, 3}}, {4, {2, 19, 1, 1}}, LODE_EXAMPLE_DENSE, LODE_EXAMPLE_DENSE},
        {{4, {2, 16, 1, 1}}, {4, {2, 16, 3, 2}}, LODE_EXAMPLE_DENSE, LODE_EXAMPLE_ROWS},
        {{4, {2, 20, 3, 2}}, {4, {1, 20, 1, 1}}, LODE_EXAMPLE_DENSE, LODE_EXAMPLE_DENSE},
        {{4, {2, 3, 3, 4}}, {3, {3, 1, 1}}, LODE_EXAMPLE_DENSE, LODE_EXAMPLE_DENSE},
        {{4, {2, 3, 4, 5}}, {4, {2, 3, 4, 5}}, LODE_EXAMPLE_CONTIGUOUS, LODE_EXAMPLE_DENSE},
        {{4, {2, 3, 4, 5}}, {4, {2, 3, 4, 5}}, LODE_EXAMPLE_CONTIGUOUS, LODE_EXAMPLE_CONTIGUOUS},
        {{4, {2, 5, 3, 4}}, {4, {2, 5, 3, 4}}, LODE_EXAMPLE_ROWS, LODE_EXAMPLE_STRIDED},
        {{4, {2, 3, 1, 4}}, {4, {1, 3, 5, 1}}, LODE_EXAMPLE_TRANSPOSED, LODE_EXAMPLE_DENSE},
        {{3, {1, 1, 1}}, {6, {1, 2, 1, 2, 1, 3}}, LODE_EXAMPLE_DENSE, LODE_EXAMPLE_DENSE},
    };
    const int n_corners = (int)(sizeof corner / sizeof corner[0]);
    if (k < n_corners) {
        LODE_TRY(lode_example_laid(e, rng, &corner[k].a, corner[k].layout_a));
        LODE_TRY(lode_example_laid(e, rng, &corner[k].b, corner[k].layout_b));
    } else {
        lode_shape a = lode_example_random_shape(rng, 0, 5), b = a;
        for (int d = 0; d < a.n_dims; d++) /* repeat a, b or none along each dim */
            switch (lode_rng_below(rng, 5)) {
            case 0:
                a.dim[d] = 1;
                break;
            case 1:
                b.dim[d] = 1;
                break;
            default:
                break;
            }
        LODE_TRY(lode_example_laid(e, rng, &a, lode_example_random_layout(rng)));
        LODE_TRY(lode_example_laid(e, rng, &b, lode_example_random_layout(rng)));
    }
    for (int64_t i = lode_tensor_count(e->x[1]) - 1; i >= 0; i--) { /* div: |b| >= 1/2 */
        const double b = lode_at(e->x[1], i);
        lode_put(e->x[1], i, b < 0 ? b - 0.5 : b + 0.5);
    }
    return LODE_OK;
}

#define ELEMENTWISE(NAME, KEEPS, GRADIENT_A, GRADIENT_B)                                           \
    static lode_status NAME##_forward(const lode_op_call *c) {                                     \
        return elementwise_forward(c, NAME##_value);                                               \
    }                                                                                              \
    static lode_status NAME##_backward(const lode_op_call *c, const lode_tensor *dy,               \
                                       lode_tensor *const *dx) {                                   \
        return elementwise_backward(c, dy, dx, GRADIENT_A, GRADIENT_B);                            \
    }                                                                                              \
    const lode_op lode_op_##NAME = {                                                               \
        .name = #NAME,                                                                             \
        .n_inputs = 2,                                                                             \
        .n_required = 2,                                                                           \
        .keeps = KEEPS,                                                                            \
        .infer = elementwise_infer,                                                                \
        .reference = {.forward = NAME##_forward, .backward = NAME##_backward},                     \
        .count = lode_count_pointwise,                                                             \
        .example = elementwise_example,                                                            \
    };                                                                                             \
    lode_var *lode_##NAME(lode_tape *t, lode_var *a, lode_var *b) {                                \
        return lode_apply(t, &lode_op_##NAME, (lode_var *[]){a, b}, 2, NULL);                      \
    }

ELEMENTWISE(add, 0, add_gradient, add_gradient)
ELEMENTWISE(sub, 0, add_gradient, sub_gradient_b)
ELEMENTWISE(mul, LODE_KEEP_X(0) | LODE_KEEP_X(1), mul_gradient_a, mul_gradient_b)
ELEMENTWISE(div, LODE_KEEP_X(0) | LODE_KEEP_X(1), div_gradient_a, div_gradient_b)
