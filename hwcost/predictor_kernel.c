/* predictor_kernel.c   kernel ridge regression with a Gaussian kernel, which is the mean of a
   Gaussian process.

       y(x) = sum_i a_i k(x, x_i),   k(x, x') = exp(-g |x - x'|^2 / s),   a = (K + l I)^-1 y

   s is the mean squared distance of the rows. Width g and penalty l are those of a grid with the
   smallest leave-one-out error, which has a closed form, e_i = a_i / [(K + l I)^-1]_ii (Rasmussen &
   Williams 2006, sec. 5.4.2), so that rows for validation are learned from as well. On the columns
   of --features with their differences and on counts this is the sequential regression of learning
   curves of Baker et al. 2017, with squared error instead of their nu-SVR.

   Work grows with the cube of the rows: at most KERNEL_MAX_ROWS are kept, and the grid is searched
   on KERNEL_GRID_ROWS, drawn from the seed. (methods F3) */
#include "core/memory.h"
#include "hwcost/predictor_internal.h"

#include <math.h>
#include <string.h>

enum { KERNEL_MAX_ROWS = 2000, KERNEL_GRID_ROWS = 300 };

typedef struct kernel {
    int f;
    int64_t n;
    lode_tensor *x, *a, *width; /* f64 [n, f], [n], [1]: g / s */
} kernel;

static void kernel_destroy(void *self) {
    kernel *m = self;
    if (!m) return;
    lode_tensor_release(m->x);
    lode_tensor_release(m->a);
    lode_tensor_release(m->width);
    lode_free(m);
}

static double kernel_distance(const double *a, const double *b, int f) {
    double sum = 0;
    for (int i = 0; i < f; i++) sum += (a[i] - b[i]) * (a[i] - b[i]);
    return sum;
}

/* Rows for fitting: at most so many, drawn from the seed. */
static lode_status kernel_gather(kernel *m, const predictor_job *job, double *y) {
    int64_t all = job->train.n + job->valid.n, *order = LODE_NEW_ARRAY(int64_t, all);
    lode_rng rng = lode_rng_stream(job->seed, LODE_RNG_SHUFFLE, 0);
    if (!order) return LODE_ERR_NO_MEMORY;
    lode_rng_permutation(&rng, order, all);
    for (int64_t i = 0; i < m->n; i++) {
        memcpy((double *)m->x->data + i * m->f, job->train.x + order[i] * m->f,
               (size_t)m->f * sizeof(double));
        y[i] = job->train.y[order[i]];
    }
    lode_free(order);
    return LODE_OK;
}

/* distance [n, n] of the first n rows; their mean. */
static double kernel_distances(const kernel *m, int64_t n, double *distance) {
    const double *x = m->x->data;
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j <= i; j++) {
            double d = kernel_distance(x + i * m->f, x + j * m->f, m->f);
            distance[i * n + j] = d;
            sum += 2 * d;
        }
    return n > 1 && sum > 0 ? sum / (double)(n * (n - 1)) : 1;
}

static void kernel_matrix(int64_t n, const double *distance, double width, double lambda,
                          double *k) {
    for (int64_t i = 0; i < n; i++) {
        for (int64_t j = 0; j <= i; j++) k[i * n + j] = exp(-width * distance[i * n + j]);
        k[i * n + i] += lambda;
    }
}

/* Mean squared leave-one-out error; INFINITY where there is no solution. a, inverse: [n]. */
static double kernel_left_out(int64_t n, double *k, const double *y, double *room, double *a,
                              double *inverse) {
    double sum = 0;
    if (!predictor_factor(k, (int)n)) return INFINITY;
    memcpy(a, y, (size_t)n * sizeof *a);
    predictor_substitute(k, a, (int)n);
    predictor_inverse_diagonal(k, room, inverse, (int)n);
    for (int64_t i = 0; i < n; i++) sum += a[i] / inverse[i] * (a[i] / inverse[i]);
    return sum / (double)n;
}

static lode_status kernel_search(kernel *m, const predictor_job *job, const double *y,
                                 double *best_width, double *best_lambda) {
    static const double widths[] = {0.03, 0.1, 0.3, 1, 3};
    static const double lambdas[] = {1e-4, 1e-3, 1e-2, 0.1, 1};
    const int n_widths = (int)(sizeof widths / sizeof *widths);
    const int n_lambdas = (int)(sizeof lambdas / sizeof *lambdas);
    int64_t n = m->n < KERNEL_GRID_ROWS ? m->n : KERNEL_GRID_ROWS;
    double *room = LODE_NEW_ARRAY(double, 3 * n * n + 2 * n), best = INFINITY;
    lode_status status = LODE_OK;
    if (!room) return LODE_ERR_NO_MEMORY;
    double *distance = room, *k = room + n * n, *inverse = room + 2 * n * n;
    double scale = kernel_distances(m, n, distance);
    for (int i = 0; i < n_widths * n_lambdas; i++) {
        double width = widths[i / n_lambdas] / scale, lambda = lambdas[i % n_lambdas];
        if (lode_progress_should_stop(job->progress))
            LODE_GOTO(LODE_FAIL(LODE_ERR_STOPPED, "fit: stopped in epoch %d of %d", i + 1,
                                n_widths * n_lambdas));
        kernel_matrix(n, distance, width, lambda, k);
        double error = kernel_left_out(n, k, y, inverse, room + 3 * n * n, room + 3 * n * n + n);
        if (!(error < best)) continue;
        best = error;
        *best_width = width;
        *best_lambda = lambda;
    }
    if (!isfinite(best))
        status = LODE_FAIL(LODE_ERR_NUMERIC,
                           "kernel regression of %lld rows: no solution in double", (long long)n);
done:
    lode_free(room);
    return status;
}

static lode_status kernel_create(int f, int64_t n, kernel **out) {
    kernel *m = LODE_NEW(kernel);
    lode_status status = LODE_OK;
    *out = NULL;
    if (!m) return LODE_ERR_NO_MEMORY;
    m->f = f;
    m->n = n;
    LODE_GOTO(lode_tensor_zeros(NULL, LODE_F64, &LODE_SHAPE2(n, f), LODE_CONTIGUOUS, &m->x));
    LODE_GOTO(lode_tensor_zeros(NULL, LODE_F64, &LODE_SHAPE1(n), LODE_CONTIGUOUS, &m->a));
    LODE_GOTO(lode_tensor_zeros(NULL, LODE_F64, &LODE_SHAPE1(1), LODE_CONTIGUOUS, &m->width));
    *out = m;
    m = NULL;
done:
    kernel_destroy(m);
    return status;
}

static lode_status kernel_fit(predictor_job *job, void **self) {
    kernel *m = NULL;
    double *k = NULL, *distance = NULL, width = 1, lambda = 1;
    int64_t n = job->train.n + job->valid.n;
    lode_status status = LODE_OK;
    *self = NULL;
    if (n > KERNEL_MAX_ROWS) n = KERNEL_MAX_ROWS;
    LODE_GOTO(kernel_create(lode_encoding_n(job->encoding), n, &m));
    LODE_GOTO(kernel_gather(m, job, m->a->data));
    LODE_GOTO(kernel_search(m, job, m->a->data, &width, &lambda));
    k = LODE_NEW_ARRAY(double, n *n);
    distance = LODE_NEW_ARRAY(double, n *n);
    LODE_GOTO(k && distance ? LODE_OK : LODE_ERR_NO_MEMORY);
    kernel_distances(m, n, distance);
    kernel_matrix(n, distance, width, lambda, k);
    if (!predictor_factor(k, (int)n))
        LODE_GOTO(LODE_FAIL(LODE_ERR_NUMERIC,
                            "kernel regression of %lld rows: no solution in double at penalty %g",
                            (long long)n, lambda));
    predictor_substitute(k, m->a->data, (int)n);
    lode_put(m->width, 0, width);
    *self = m;
    m = NULL;
done:
    lode_free(k);
    lode_free(distance);
    kernel_destroy(m);
    return status;
}

static lode_status kernel_load(const lode_encoding *encoding, const lode_predictor_options *options,
                               lode_tensor_file *file, void **self) {
    kernel *m = NULL;
    lode_tensor *a = NULL;
    lode_status status = LODE_OK;
    (void)options;
    *self = NULL;
    LODE_GOTO(lode_tensors_get(file, "kernel.weights", &a));
    if (a->shape.n_dims != 1)
        LODE_GOTO(LODE_FAIL(LODE_ERR_DATA, "kernel.weights has %d dims, want 1", a->shape.n_dims));
    LODE_GOTO(kernel_create(lode_encoding_n(encoding), a->shape.dim[0], &m));
    LODE_GOTO(lode_tensors_load_into(file, "kernel.weights", m->a));
    LODE_GOTO(lode_tensors_load_into(file, "kernel.rows", m->x));
    LODE_GOTO(lode_tensors_load_into(file, "kernel.width", m->width));
    *self = m;
    m = NULL;
done:
    lode_tensor_release(a);
    kernel_destroy(m);
    return status;
}

static int64_t kernel_tensors(const void *self, lode_named_tensor items[PREDICTOR_MAX_TENSORS]) {
    const kernel *m = self;
    items[0] = (lode_named_tensor){"kernel.rows", m->x};
    items[1] = (lode_named_tensor){"kernel.weights", m->a};
    items[2] = (lode_named_tensor){"kernel.width", m->width};
    return 3;
}

static lode_status kernel_predict(void *self, const double *x, int64_t n, double *y, double *dx) {
    const kernel *m = self;
    const double *rows = m->x->data, *a = m->a->data, width = lode_at(m->width, 0);
    if (dx) memset(dx, 0, (size_t)(n * m->f) * sizeof *dx);
    for (int64_t r = 0; r < n; r++) {
        const double *here = x + r * m->f;
        y[r] = 0;
        for (int64_t i = 0; i < m->n; i++) {
            const double *row = rows + i * m->f;
            double k = a[i] * exp(-width * kernel_distance(here, row, m->f));
            y[r] += k;
            for (int j = 0; dx && j < m->f; j++)
                dx[r * m->f + j] -= 2 * width * k * (here[j] - row[j]);
        }
    }
    return LODE_OK;
}

const lode_predictor_plugin lode_predictor_kernel = {
    .name = "kernel",
    .about =
        "kernel ridge regression, Gaussian kernel, leave-one-out choice of its width (Baker et "
        "al. 2017 for learning curves)",
    .fit = kernel_fit,
    .load = kernel_load,
    .tensors = kernel_tensors,
    .destroy = kernel_destroy,
    .predict = kernel_predict,
};
