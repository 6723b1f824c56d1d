/* gradcheck.c: does backward say what differences say?

   The function's result y is weighed with a fixed random r, so that one number s = sum(r y) stands
   for all of it; backward from dy = r gives ds/dx at once. Differences are taken at single elements
   drawn at random (which a message can name) and along one random direction through all inputs
   (which misses no element). Every evaluation runs on one TRAIN tape at the same (seed, step),
   so random operators draw the same numbers each time. */
#include "autograd/gradcheck.h"

#include <math.h>

typedef struct gradcheck {
    lode_gradcheck_fn f;
    void *ctx;
    lode_tensor *const *x;
    const bool *differentiable;
    int n_x;
    lode_gradcheck_options options;
    lode_tape *tape;
    lode_tensor *r;                      /* like y */
    lode_tensor *start[LODE_MAX_INPUTS]; /* x as it was given */
    lode_tensor *grad[LODE_MAX_INPUTS];  /* NULL: nothing flowed */
} gradcheck;

static lode_status gradcheck_run(gradcheck *g, lode_var **y) {
    lode_var *v[LODE_MAX_INPUTS];
    lode_tape_reset(g->tape);
    lode_tape_set_step(g->tape, g->options.seed, 0);
    for (int i = 0; i < g->n_x; i++) {
        v[i] = NULL;
        if (g->x[i] == NULL) continue;
        v[i] = g->differentiable[i] ? lode_tape_leaf(g->tape, g->x[i], &g->grad[i])
                                    : lode_tape_constant(g->tape, g->x[i]);
    }
    *y = g->f(g->tape, g->ctx, v, g->n_x);
    LODE_TRY(lode_tape_status(g->tape));
    if (*y == NULL) return LODE_FAIL(LODE_ERR_INVALID, "gradcheck: the function has no result");
    if ((*y)->value->dtype != LODE_F64)
        return LODE_FAIL(LODE_ERR_DTYPE, "gradcheck: the result is %s, wanted is f64",
                         lode_dtype_name((*y)->value->dtype));
    return LODE_OK;
}

/* s at the present x. */
static lode_status gradcheck_value(gradcheck *g, double *s) {
    lode_var *y = NULL;
    LODE_TRY(gradcheck_run(g, &y));
    if (!lode_shape_equal(&y->value->shape, &g->r->shape))
        return LODE_FAIL(LODE_ERR_INVALID, "gradcheck: the shape of the result depends on values");
    long double sum = 0;
    for (int64_t i = 0; i < lode_tensor_count(y->value); i++)
        sum += (long double)lode_at(y->value, i) * (long double)lode_at(g->r, i);
    *s = (double)sum;
    return LODE_OK;
}

/* Makes r and runs backward once. */
static lode_status gradcheck_backward(gradcheck *g) {
    lode_var *y = NULL;
    lode_rng rng = lode_rng_stream(g->options.seed, LODE_RNG_TEST, 0);
    LODE_TRY(gradcheck_run(g, &y));
    LODE_TRY(lode_tensor_like(y->value, &g->r));
    for (int64_t i = 0; i < lode_tensor_count(g->r); i++) {
        double sign = lode_rng_uniform(&rng) < 0.5 ? -1 : 1;
        lode_put(g->r, i, sign * (0.5 + lode_rng_uniform(&rng)));
    }
    return lode_backward_from(g->tape, y, g->r);
}

/* The value, not its complement, is tested: NaN on either side is a difference. */
static bool gradcheck_agree(const gradcheck *g, double a, double n) {
    return fabs(a - n) <= g->options.tolerance * fmax(1, fmax(fabs(a), fabs(n)));
}

static lode_status gradcheck_element(gradcheck *g, int input, int64_t i) {
    lode_tensor *x = g->x[input];
    double h = g->options.step, at = lode_at(x, i), above = 0, below = 0;
    lode_put(x, i, at + h);
    lode_status status = gradcheck_value(g, &above);
    lode_put(x, i, at - h);
    if (status == LODE_OK) status = gradcheck_value(g, &below);
    lode_put(x, i, at);
    LODE_TRY(status);
    double a = g->grad[input] != NULL ? lode_at(g->grad[input], i) : 0;
    double n = (above - below) / (2 * h);
    if (gradcheck_agree(g, a, n)) return LODE_OK;
    return LODE_FAIL(LODE_ERR_NUMERIC,
                     "gradcheck: input %d element %lld: backward says %.10g, differences say %.10g",
                     input, (long long)i, a, n);
}

static lode_status gradcheck_elements(gradcheck *g) {
    for (int k = 0; k < g->n_x; k++) {
        if (g->x[k] == NULL || !g->differentiable[k]) continue;
        int64_t count = lode_tensor_count(g->x[k]);
        lode_rng rng = lode_rng_stream(g->options.seed, LODE_RNG_TEST, 2 + (uint64_t)k);
        if (count <= g->options.n_elements) {
            for (int64_t i = 0; i < count; i++) LODE_TRY(gradcheck_element(g, k, i));
        } else {
            for (int i = 0; i < g->options.n_elements; i++)
                LODE_TRY(gradcheck_element(g, k, lode_rng_below(&rng, count)));
        }
    }
    return LODE_OK;
}

/* x = start + h v with v uniform in (-1, 1); returns grad . v */
static double gradcheck_move(gradcheck *g, double h) {
    lode_rng rng = lode_rng_stream(g->options.seed, LODE_RNG_TEST, 1);
    long double dot = 0;
    for (int k = 0; k < g->n_x; k++) {
        if (g->x[k] == NULL || !g->differentiable[k]) continue;
        for (int64_t i = 0; i < lode_tensor_count(g->x[k]); i++) {
            double v = 2 * lode_rng_uniform(&rng) - 1;
            lode_put(g->x[k], i, lode_at(g->start[k], i) + h * v);
            if (g->grad[k] != NULL) dot += (long double)v * (long double)lode_at(g->grad[k], i);
        }
    }
    return (double)dot;
}

static lode_status gradcheck_direction(gradcheck *g) {
    double h = g->options.step, above = 0, below = 0;
    double a = gradcheck_move(g, h);
    LODE_TRY(gradcheck_value(g, &above));
    gradcheck_move(g, -h);
    LODE_TRY(gradcheck_value(g, &below));
    double n = (above - below) / (2 * h);
    if (gradcheck_agree(g, a, n)) return LODE_OK;
    return LODE_FAIL(LODE_ERR_NUMERIC,
                     "gradcheck: along a random direction through all inputs: backward says %.10g, "
                     "differences say %.10g",
                     a, n);
}

static lode_status gradcheck_begin(gradcheck *g, const lode_runner *runner) {
    if (g->options.step <= 0) g->options.step = 1e-5;
    if (g->options.tolerance <= 0) g->options.tolerance = 1e-6;
    if (g->options.n_elements <= 0) g->options.n_elements = 8;
    if (g->n_x > LODE_MAX_INPUTS)
        return LODE_FAIL(LODE_ERR_INVALID, "gradcheck: %d inputs, at most %d are possible", g->n_x,
                         LODE_MAX_INPUTS);
    for (int i = 0; i < g->n_x; i++) {
        if (g->x[i] == NULL) continue;
        if (g->differentiable[i] && g->x[i]->dtype != LODE_F64)
            return LODE_FAIL(LODE_ERR_DTYPE, "gradcheck: input %d is %s, wanted is f64", i,
                             lode_dtype_name(g->x[i]->dtype));
        LODE_TRY(lode_tensor_clone(g->x[i], &g->start[i]));
    }
    return lode_tape_create(LODE_TRAIN, runner, &g->tape);
}

static void gradcheck_end(gradcheck *g, bool restore) {
    lode_tape_destroy(g->tape);
    lode_tensor_release(g->r);
    for (int i = 0; i < g->n_x && i < LODE_MAX_INPUTS; i++) {
        if (restore && g->start[i] != NULL) lode_tensor_copy(g->x[i], g->start[i]);
        lode_tensor_release(g->start[i]);
        lode_tensor_release(g->grad[i]);
    }
}

lode_status lode_gradcheck(const lode_runner *runner, lode_gradcheck_fn f, void *ctx,
                           lode_tensor *const *x, const bool *differentiable, int n_x,
                           const lode_gradcheck_options *options) {
    gradcheck g = {.f = f, .ctx = ctx, .x = x, .differentiable = differentiable, .n_x = n_x};
    if (options != NULL) g.options = *options;
    lode_status status = gradcheck_begin(&g, runner);
    bool begun = status == LODE_OK;
    if (status == LODE_OK) status = gradcheck_backward(&g);
    if (status == LODE_OK) status = gradcheck_elements(&g);
    if (status == LODE_OK) status = gradcheck_direction(&g);
    gradcheck_end(&g, begun);
    return status;
}

/* ---- one operator ---- */
typedef struct gradcheck_call {
    const lode_op *op;
    const void *params;
} gradcheck_call;

static lode_var *gradcheck_apply(lode_tape *t, void *ctx, lode_var *const *x, int n_x) {
    const gradcheck_call *c = ctx;
    return lode_apply(t, c->op, x, n_x, c->params);
}

lode_status lode_gradcheck_op(const lode_runner *runner, const lode_op *op,
                              lode_op_example *example, const lode_gradcheck_options *options) {
    gradcheck_call call = {op, op->params_size > 0 ? example->params.bytes : NULL};
    lode_status status = lode_gradcheck(runner, gradcheck_apply, &call, example->x,
                                        example->differentiable, example->n_x, options);
    return status == LODE_OK ? LODE_OK : lode_error_context("%s", op->name);
}
