/* predictor_linear.c   y = x w + b: one price per option, by ridge regression.

   What a lookup table is, fitted to whole networks instead of measured layer by layer. As x is
   linear in probabilities (unless a size is read only with one option of another decision), so is
   the prediction, and its value at probabilities is the expectation. For that it does without the
   features of paths. */
#include "core/memory.h"
#include "hwcost/predictor_internal.h"

#include <string.h>

typedef struct linear {
    int n, outputs; /* n: features */
    lode_tensor *w; /* f64 [outputs (features + 1)]: of each output prices, then the offset */
} linear;

static void linear_destroy(void *self) {
    linear *m = self;
    if (!m) return;
    lode_tensor_release(m->w);
    lode_free(m);
}

static lode_status linear_create(int n, int outputs, linear **out) {
    linear *m = *out = LODE_NEW(linear);
    if (!m) return LODE_ERR_NO_MEMORY;
    m->n = n;
    m->outputs = outputs;
    lode_status status = lode_tensor_zeros(NULL, LODE_F64, &LODE_SHAPE1((int64_t)outputs * (n + 1)),
                                           LODE_CONTIGUOUS, &m->w);
    if (status != LODE_OK) linear_destroy(m);
    if (status != LODE_OK) *out = NULL;
    return status;
}

static lode_status linear_fit(predictor_job *job, void **self) {
    linear *m = NULL;
    LODE_TRY(linear_create(lode_encoding_n(job->encoding), job->outputs, &m));
    lode_status status = predictor_ridge_best(job, true, m->w->data);
    if (status != LODE_OK) linear_destroy(m);
    *self = status == LODE_OK ? m : NULL;
    return status;
}

static lode_status linear_load(const lode_encoding *encoding, const lode_predictor_options *options,
                               lode_tensor_file *file, void **self) {
    linear *m = NULL;
    lode_tensor *w = NULL;
    int n = lode_encoding_n(encoding);
    (void)options;
    LODE_TRY(lode_tensors_get(file, "linear", &w));
    int64_t outputs = w->shape.n_dims == 1 ? w->shape.dim[0] / (n + 1) : 1;
    lode_tensor_release(w);
    if (outputs < 1 || outputs > PREDICTOR_MAX_OUTPUTS) outputs = 1;
    LODE_TRY(linear_create(n, (int)outputs, &m));
    lode_status status = lode_tensors_load_into(file, "linear", m->w); /* checks the shape */
    if (status != LODE_OK) linear_destroy(m);
    *self = status == LODE_OK ? m : NULL;
    return status;
}

static int64_t linear_tensors(const void *self, lode_named_tensor items[PREDICTOR_MAX_TENSORS]) {
    items[0] = (lode_named_tensor){"linear", ((const linear *)self)->w};
    return 1;
}

static lode_status linear_predict(void *self, const double *x, int64_t n, double *y, double *dx) {
    const linear *m = self;
    const double *w = m->w->data;
    for (int64_t r = 0; r < n; r++) {
        for (int64_t o = 0; o < m->outputs; o++)
            y[r * m->outputs + o] = predictor_ridge_at(w + o * (m->n + 1), x + r * m->n, m->n);
        if (dx) memcpy(dx + r * m->n, w, (size_t)m->n * sizeof *dx);
    }
    return LODE_OK;
}

static int linear_outputs(const void *self) { return ((const linear *)self)->outputs; }

static lode_status linear_combine(const void *self, const lode_encoding *encoding, const double *a,
                                  const double *r, double b, void **out) {
    const linear *m = self;
    linear *one = NULL;
    *out = NULL;
    LODE_TRY(linear_create(lode_encoding_n(encoding), 1, &one));
    const double *from = m->w->data;
    double *to = one->w->data;
    for (int k = 0; k <= m->n; k++) {
        to[k] = k < m->n ? r[k] : b;
        for (int64_t o = 0; o < m->outputs; o++) to[k] += a[o] * from[o * (m->n + 1) + k];
    }
    *out = one;
    return LODE_OK;
}

const lode_predictor_plugin lode_predictor_linear = {
    .name = "linear",
    .about = "ridge regression: one price per option (Hoerl & Kennard 1970)",
    .linear = true,
    .plain = true,
    .fit = linear_fit,
    .load = linear_load,
    .tensors = linear_tensors,
    .destroy = linear_destroy,
    .predict = linear_predict,
    .outputs = linear_outputs,
    .combine = linear_combine,
};
