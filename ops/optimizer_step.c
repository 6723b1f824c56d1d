/* See optimizer_step.h. Each optimizer stands here twice: as coefficients for the vector kernel
   (ops/native/simd/simd_optimizer.c) and as the plain formula in double, which serves every other
   dtype and stride and is what the kernel is tested against. */
#include "ops/optimizer_step.h"

#include "core/parallel.h"
#include "ops/native/pack.h"
#include "ops/native/simd.h"

#include <math.h>

enum { STEP_GRAIN = 1 << 14, STEP_MAX = 5, SUM_PIECES = 64 };

/* The tensors of a step: w first, absent ones NULL. */
typedef struct step_job {
    float *p[STEP_MAX];
    const void *coefficients;
    void (*run)(const struct step_job *j, int64_t begin, int64_t n);
} step_job;

static lode_status step_check(const char *what, const lode_tensor *const *t, int n) {
    char a[128], b[128];
    for (int i = 1; i < n; i++) {
        if (!t[i]) continue;
        if (!lode_shape_equal(&t[0]->shape, &t[i]->shape))
            return LODE_FAIL(LODE_ERR_SHAPE, "%s: weights are %s, argument %d is %s", what,
                             lode_shape_print(&t[0]->shape, a), i,
                             lode_shape_print(&t[i]->shape, b));
        if (t[0]->dtype != t[i]->dtype)
            return LODE_FAIL(LODE_ERR_DTYPE, "%s: weights are %s, argument %d is %s", what,
                             lode_dtype_name(t[0]->dtype), i, lode_dtype_name(t[i]->dtype));
    }
    return LODE_OK;
}

/* f32, all dense in the same order: the step is flat. */
static bool step_is_flat(const lode_tensor *const *t, int n, step_job *job) {
    static const lode_layout layouts[] = {LODE_CONTIGUOUS, LODE_CHANNELS_LAST};
    for (int k = 0; k < 2; k++) {
        bool flat = t[0]->dtype == LODE_F32;
        for (int i = 0; i < n && flat; i++) flat = !t[i] || lode_is_packed(t[i], layouts[k]);
        for (int i = 0; i < n; i++) job->p[i] = t[i] ? t[i]->data : NULL;
        if (flat) return true;
    }
    return false;
}

static void step_piece(void *ctx, int64_t piece, int64_t begin, int64_t end) {
    const step_job *j = ctx;
    (void)piece;
    j->run(j, begin, end - begin);
}

static void step_run(const step_job *job, int64_t n) {
    step_job j = *job;
    lode_parallel_for(n, STEP_GRAIN, step_piece, &j);
}

static float *at(const step_job *j, int i, int64_t begin) {
    return j->p[i] ? j->p[i] + begin : NULL;
}
static double scale_of(double grad_scale) { return grad_scale == 0 ? 1 : grad_scale; }

/* ---- SGD ---- */

static void sgd_flat(const step_job *j, int64_t b, int64_t n) {
    lode_simd_get()->sgd(n, at(j, 0, b), at(j, 1, b), at(j, 2, b), j->coefficients);
}

lode_status lode_sgd_step(lode_tensor *w, const lode_tensor *grad, lode_tensor *m,
                          const lode_sgd_params *p) {
    const lode_tensor *t[] = {w, grad, p->momentum != 0 ? m : NULL};
    double damp = p->first ? 1 : 1 - p->dampening, keep = 1 - p->lr * p->weight_decay;
    double coupled = p->decoupled ? 0 : p->weight_decay, scale = scale_of(p->grad_scale);
    if (!p->decoupled) keep = 1;
    if (p->momentum != 0 && !m)
        return LODE_FAIL(LODE_ERR_INVALID, "sgd: momentum %g needs a buffer", p->momentum);
    LODE_TRY(step_check("sgd", t, 3));
    simd_sgd f = {(float)p->lr, (float)p->momentum, (float)damp, (float)coupled,
                  (float)keep,  (float)scale,       p->nesterov};
    step_job job = {.coefficients = &f, .run = sgd_flat};
    int64_t n = lode_tensor_count(w);
    if (step_is_flat(t, 3, &job)) {
        step_run(&job, n);
        return LODE_OK;
    }
    for (int64_t i = 0; i < n; i++) {
        double wi = lode_at(w, i), g = scale * lode_at(grad, i) + coupled * wi, d = g;
        if (t[2]) {
            double b = p->momentum * lode_at(m, i) + damp * g;
            lode_put(m, i, b);
            d = p->nesterov ? g + p->momentum * b : b;
        }
        lode_put(w, i, wi * keep - p->lr * d);
    }
    return LODE_OK;
}

/* ---- Adam ---- */

static void adam_flat(const step_job *j, int64_t b, int64_t n) {
    lode_simd_get()->adam(n, at(j, 0, b), at(j, 1, b), at(j, 2, b), at(j, 3, b), j->coefficients);
}

lode_status lode_adam_step(lode_tensor *w, const lode_tensor *grad, lode_tensor *m, lode_tensor *v,
                           const lode_adam_params *p) {
    const lode_tensor *t[] = {w, grad, m, v};
    if (!m || !v || p->step < 1)
        return LODE_FAIL(LODE_ERR_INVALID, "adam: needs both moments and step >= 1, got step %lld",
                         (long long)p->step);
    LODE_TRY(step_check("adam", t, 4));
    double step_size = p->lr / (1 - pow(p->beta1, (double)p->step));
    double root = sqrt(1 - pow(p->beta2, (double)p->step));
    double keep = p->decoupled ? 1 - p->lr * p->weight_decay : 1;
    double coupled = p->decoupled ? 0 : p->weight_decay, scale = scale_of(p->grad_scale);
    simd_adam f = {(float)p->beta1, (float)p->beta2, (float)p->eps, (float)step_size,
                   (float)root,     (float)coupled,  (float)keep,   (float)scale};
    step_job job = {.coefficients = &f, .run = adam_flat};
    int64_t n = lode_tensor_count(w);
    if (step_is_flat(t, 4, &job)) {
        step_run(&job, n);
        return LODE_OK;
    }
    for (int64_t i = 0; i < n; i++) {
        double wi = lode_at(w, i), g = scale * lode_at(grad, i) + coupled * wi;
        double mi = p->beta1 * lode_at(m, i) + (1 - p->beta1) * g;
        double vi = p->beta2 * lode_at(v, i) + (1 - p->beta2) * g * g;
        lode_put(m, i, mi);
        lode_put(v, i, vi);
        lode_put(w, i, wi * keep - step_size * mi / (sqrt(vi) / root + p->eps));
    }
    return LODE_OK;
}

/* ---- RMSprop ---- */

static void rmsprop_flat(const step_job *j, int64_t b, int64_t n) {
    lode_simd_get()->rmsprop(n, at(j, 0, b), at(j, 1, b), at(j, 2, b), at(j, 3, b), at(j, 4, b),
                             j->coefficients);
}

static double rmsprop_divisor(const lode_rmsprop_params *p, double variance) {
    return p->eps_inside ? sqrt(variance + p->eps) : sqrt(variance) + p->eps;
}

lode_status lode_rmsprop_step(lode_tensor *w, const lode_tensor *grad, lode_tensor *v,
                              lode_tensor *mean, lode_tensor *buffer,
                              const lode_rmsprop_params *p) {
    const lode_tensor *t[] = {w, grad, v, mean, p->momentum != 0 ? buffer : NULL};
    if (!v || (p->momentum != 0 && !buffer))
        return LODE_FAIL(LODE_ERR_INVALID, "rmsprop: needs v, and a buffer for momentum %g",
                         p->momentum);
    LODE_TRY(step_check("rmsprop", t, 5));
    double keep = p->decoupled ? 1 - p->lr * p->weight_decay : 1;
    double coupled = p->decoupled ? 0 : p->weight_decay, scale = scale_of(p->grad_scale);
    simd_rmsprop f = {(float)p->lr,   (float)p->alpha, (float)p->eps, (float)p->momentum,
                      (float)coupled, (float)keep,     (float)scale,  p->eps_inside};
    step_job job = {.coefficients = &f, .run = rmsprop_flat};
    int64_t n = lode_tensor_count(w);
    if (step_is_flat(t, 5, &job)) {
        step_run(&job, n);
        return LODE_OK;
    }
    for (int64_t i = 0; i < n; i++) {
        double wi = lode_at(w, i), g = scale * lode_at(grad, i) + coupled * wi;
        double vi = p->alpha * lode_at(v, i) + (1 - p->alpha) * g * g, variance = vi;
        lode_put(v, i, vi);
        if (mean) {
            double mi = p->alpha * lode_at(mean, i) + (1 - p->alpha) * g;
            lode_put(mean, i, mi);
            variance -= mi * mi;
        }
        double d = g / rmsprop_divisor(p, variance);
        if (t[4]) {
            d += p->momentum * lode_at(buffer, i);
            lode_put(buffer, i, d);
        }
        lode_put(w, i, wi * keep - p->lr * d);
    }
    return LODE_OK;
}

/* ---- moving average, norm ---- */

static void ema_flat(const step_job *j, int64_t b, int64_t n) {
    lode_simd_get()->ema(n, at(j, 0, b), at(j, 1, b), *(const float *)j->coefficients);
}

lode_status lode_ema_step(lode_tensor *ema, const lode_tensor *w, double decay) {
    const lode_tensor *t[] = {ema, w};
    float keep = (float)decay;
    step_job job = {.coefficients = &keep, .run = ema_flat};
    int64_t n = lode_tensor_count(ema);
    LODE_TRY(step_check("ema", t, 2));
    if (step_is_flat(t, 2, &job))
        step_run(&job, n);
    else
        for (int64_t i = 0; i < n; i++)
            lode_put(ema, i, decay * lode_at(ema, i) + (1 - decay) * lode_at(w, i));
    return LODE_OK;
}

typedef struct sum_job {
    const float *x;
    double partial[SUM_PIECES];
} sum_job;

static void sum_piece(void *ctx, int64_t piece, int64_t begin, int64_t end) {
    sum_job *j = ctx;
    j->partial[piece] = lode_simd_get()->sum_squares(end - begin, j->x + begin);
}

double lode_sum_squares(const lode_tensor *t) {
    const lode_tensor *one[] = {t};
    step_job flat;
    int64_t n = lode_tensor_count(t);
    double sum = 0;
    if (!step_is_flat(one, 1, &flat)) {
        for (int64_t i = 0; i < n; i++) sum += lode_at(t, i) * lode_at(t, i);
        return sum;
    }
    /* The cut depends on n alone: 64 pieces at most, of 16384 at least. */
    int64_t grain = (n + SUM_PIECES - 1) / SUM_PIECES;
    if (grain < STEP_GRAIN) grain = STEP_GRAIN;
    sum_job j = {.x = flat.p[0]};
    lode_parallel_for(n, grain, sum_piece, &j);
    for (int64_t i = 0; i < lode_parallel_pieces(n, grain); i++) sum += j.partial[i];
    return sum;
}
