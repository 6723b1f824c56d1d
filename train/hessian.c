/* hessian.c: Lanczos with every new vector made orthogonal to all before (Golub & Van Loan,
   10.3.1); the few dozen vectors are short, so that costs nothing beside a gradient.

       w = H v_j;  a_j = v_j.w;  w -= a_j v_j + b_{j-1} v_{j-1};  b_j = |w|;  v_{j+1} = w / b_j

   T = tridiag(b, a, b) has the Ritz values; the one with eigenvector s lies within b_m |s_m| of an
   eigenvalue of H. When b vanishes the space is invariant and the values are exact. */
#include "train/hessian.h"

#include "core/memory.h"

#include <math.h>
#include <string.h>

typedef struct lanczos {
    const lode_hessian_setup *setup;
    int n_steps;
    double *v;     /* [max_steps + 1][n] */
    double *plus;  /* [n] */
    double *minus; /* [n] */
    double a[LODE_HESSIAN_MAX_STEPS], b[LODE_HESSIAN_MAX_STEPS];
} lanczos;

static double lanczos_dot(const double *x, const double *y, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += x[i] * y[i];
    return sum;
}

/* x -= (x.v_i) v_i for all i < count. */
static void lanczos_orthogonalize(const lanczos *l, double *x, int count) {
    int64_t n = l->setup->n;
    for (int i = 0; i < count; i++) {
        const double *v = l->v + i * n;
        double along = lanczos_dot(x, v, n);
        for (int64_t k = 0; k < n; k++) x[k] -= along * v[k];
    }
}

static lode_status lanczos_multiply(const lanczos *l, const double *v, double *out) {
    const lode_hessian_setup *s = l->setup;
    LODE_TRY(s->gradient(s->self, v, s->eps, l->plus));
    LODE_TRY(s->gradient(s->self, v, -s->eps, l->minus));
    for (int64_t i = 0; i < s->n; i++) out[i] = (l->plus[i] - l->minus[i]) / (2 * s->eps);
    return LODE_OK;
}

static lode_status lanczos_run(lanczos *l) {
    const lode_hessian_setup *s = l->setup;
    lode_rng rng = s->rng;
    double length, scale = 0;
    for (int64_t i = 0; i < s->n; i++) l->v[i] = lode_rng_normal(&rng);
    length = sqrt(lanczos_dot(l->v, l->v, s->n));
    for (int64_t i = 0; i < s->n; i++) l->v[i] /= length;
    for (int j = 0; j < s->max_steps && j < s->n; j++) {
        const double *v = l->v + j * s->n;
        double *w = l->v + (j + 1) * s->n;
        LODE_TRY(lanczos_multiply(l, v, w));
        l->a[j] = lanczos_dot(v, w, s->n);
        lanczos_orthogonalize(l, w, j + 1);
        lanczos_orthogonalize(l, w, j + 1); /* twice is enough */
        l->b[j] = sqrt(lanczos_dot(w, w, s->n));
        l->n_steps = j + 1;
        if (!isfinite(l->a[j]) || !isfinite(l->b[j]))
            return LODE_FAIL(LODE_ERR_NUMERIC, "Hessian: a gradient is not finite");
        scale = fmax(scale, fmax(fabs(l->a[j]), l->b[j]));
        if (l->b[j] <= 1e-8 * scale) break; /* what is left is rounding of the differences */
        for (int64_t i = 0; i < s->n; i++) w[i] /= l->b[j];
    }
    return LODE_OK;
}

/* One rotation of Jacobi's method: t[p][q] becomes 0. */
static void lanczos_rotate(double (*t)[LODE_HESSIAN_MAX_STEPS], double (*s)[LODE_HESSIAN_MAX_STEPS],
                           int n, int p, int q) {
    if (t[p][q] == 0) return;
    double theta = (t[q][q] - t[p][p]) / (2 * t[p][q]);
    double tan = copysign(1, theta) / (fabs(theta) + sqrt(theta * theta + 1));
    double cos = 1 / sqrt(tan * tan + 1), sin = tan * cos;
    for (int k = 0; k < n; k++) {
        double x = t[k][p], y = t[k][q];
        t[k][p] = cos * x - sin * y, t[k][q] = sin * x + cos * y;
    }
    for (int k = 0; k < n; k++) {
        double x = t[p][k], y = t[q][k];
        t[p][k] = cos * x - sin * y, t[q][k] = sin * x + cos * y;
        x = s[k][p], y = s[k][q];
        s[k][p] = cos * x - sin * y, s[k][q] = sin * x + cos * y;
    }
}

/* Eigenvalues end on the diagonal of t, eigenvectors in the columns of s. */
static void lanczos_solve(const lanczos *l, double (*t)[LODE_HESSIAN_MAX_STEPS],
                          double (*s)[LODE_HESSIAN_MAX_STEPS]) {
    enum { SWEEPS = 40 };
    int n = l->n_steps;
    for (int i = 0; i < n; i++) {
        t[i][i] = l->a[i];
        s[i][i] = 1;
        if (i + 1 < n) t[i][i + 1] = t[i + 1][i] = l->b[i];
    }
    for (int sweep = 0; sweep < SWEEPS; sweep++) {
        double off = 0, on = 0;
        for (int p = 0; p < n; p++)
            for (int q = 0; q < n; q++) *(p == q ? &on : &off) += t[p][q] * t[p][q];
        if (off <= 1e-30 * on) break;
        for (int p = 0; p < n; p++)
            for (int q = p + 1; q < n; q++) lanczos_rotate(t, s, n, p, q);
    }
}

static void lanczos_read_ends(const lanczos *l, double (*t)[LODE_HESSIAN_MAX_STEPS],
                              double (*s)[LODE_HESSIAN_MAX_STEPS], lode_hessian_ends *out) {
    int n = l->n_steps, largest = 0, smallest = 0;
    for (int i = 1; i < n; i++) {
        if (t[i][i] > t[largest][largest]) largest = i;
        if (t[i][i] < t[smallest][smallest]) smallest = i;
    }
    *out = (lode_hessian_ends){.largest = t[largest][largest],
                               .smallest = t[smallest][smallest],
                               .error = n < l->setup->n ? l->b[n - 1] * fabs(s[n - 1][largest]) : 0,
                               .steps = n};
}

lode_status lode_hessian_find_ends(const lode_hessian_setup *setup, lode_hessian_ends *out) {
    double(*t)[LODE_HESSIAN_MAX_STEPS] = NULL, (*s)[LODE_HESSIAN_MAX_STEPS] = NULL;
    lanczos l = {.setup = setup};
    lode_status status = LODE_OK;
    *out = (lode_hessian_ends){0};
    if (setup->n < 1 || setup->max_steps < 1 || setup->max_steps > LODE_HESSIAN_MAX_STEPS)
        return LODE_FAIL(LODE_ERR_INVALID, "Hessian: %lld variables, %d steps (1 to %d)",
                         (long long)setup->n, setup->max_steps, (int)LODE_HESSIAN_MAX_STEPS);
    l.v = LODE_NEW_ARRAY(double, (setup->max_steps + 1) * setup->n);
    l.plus = LODE_NEW_ARRAY(double, setup->n);
    l.minus = LODE_NEW_ARRAY(double, setup->n);
    t = lode_calloc(LODE_HESSIAN_MAX_STEPS, sizeof *t);
    s = lode_calloc(LODE_HESSIAN_MAX_STEPS, sizeof *s);
    LODE_GOTO(l.v && l.plus && l.minus && t && s ? LODE_OK : LODE_ERR_NO_MEMORY);
    LODE_GOTO(lanczos_run(&l));
    lanczos_solve(&l, t, s);
    lanczos_read_ends(&l, t, s, out);
done:
    lode_free(l.v);
    lode_free(l.plus);
    lode_free(l.minus);
    lode_free(t);
    lode_free(s);
    return status;
}
