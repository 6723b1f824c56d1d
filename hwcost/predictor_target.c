/* predictor_target.c: targets as a kind sees them, and back.

   value: (v - mean) / deviation. rank: where among the rows to learn from a value stands, (r - 1/2)
   / n, brought to mean 0 and variance 1; equal values share their mean rank. Squared error of ranks
   is about order, which is what is asked of an accuracy, and does not listen to the few networks
   that did not train. Between the values of the rows the way back is a line, and so it is beyond
   them: it rises everywhere, so order is not changed. */
#include "core/memory.h"
#include "hwcost/predictor_file_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double LEVEL = 0.01;

static int target_compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* knots [2, k]: ascending values and what they become. */
static lode_status target_fit_ranks(lode_predictor *p, const double *v, int64_t n) {
    double *sorted = LODE_NEW_ARRAY(double, 2 * n);
    int64_t k = 0;
    lode_status status = LODE_OK;
    if (!sorted) return LODE_ERR_NO_MEMORY;
    double *score = sorted + n;
    memcpy(sorted, v, (size_t)n * sizeof *v);
    qsort(sorted, (size_t)n, sizeof *sorted, target_compare);
    for (int64_t i = 0, j; i < n; i = j) {
        for (j = i; j < n && sorted[j] <= sorted[i]; j++) {
        }
        sorted[k] = sorted[i];
        score[k++] = ((double)(i + j) / 2 / (double)n - 0.5) * sqrt(12);
    }
    if (k > 1) { /* else all are the same: nothing to learn */
        LODE_GOTO(
            lode_tensor_create(NULL, LODE_F64, &LODE_SHAPE2(2, k), LODE_CONTIGUOUS, &p->knots));
        memcpy(p->knots->data, sorted, (size_t)k * sizeof *sorted);
        memcpy((double *)p->knots->data + k, score, (size_t)k * sizeof *score);
    }
done:
    lode_free(sorted);
    return status;
}

lode_status predictor_target_fit(lode_predictor *p, double *v, int64_t n) {
    double variance = 0;
    p->mean = 0;
    p->info.smallest = p->info.largest = v[0];
    for (int64_t i = 0; i < n; i++) {
        p->mean += v[i] / (double)n;
        p->info.smallest = fmin(p->info.smallest, v[i]);
        p->info.largest = fmax(p->info.largest, v[i]);
    }
    for (int64_t i = 0; i < n; i++) variance += (v[i] - p->mean) * (v[i] - p->mean) / (double)n;
    p->scale = variance > 0 ? sqrt(variance) : 1; /* all the same: nothing to learn */
    if (p->options.target == LODE_TARGET_RANK) LODE_TRY(target_fit_ranks(p, v, n));
    for (int64_t i = 0; i < n; i++) v[i] = predictor_target_of(p, v[i]);
    return LODE_OK;
}

/* A broken line through (from[i], to[i]), i < k, at x. `level`: the slope beyond its ends. */
static double target_line(const double *from, const double *to, int64_t k, double x, double level,
                          double *slope) {
    int64_t low = 0, high = k - 1; /* from[low] <= x < from[high], unless beyond */
    *slope = level;
    if (x < from[0]) return to[0] + (x - from[0]) * level;
    if (x > from[k - 1]) return to[k - 1] + (x - from[k - 1]) * level;
    while (high - low > 1) {
        int64_t middle = (low + high) / 2;
        if (x < from[middle])
            high = middle;
        else
            low = middle;
    }
    *slope = (to[high] - to[low]) / (from[high] - from[low]);
    return to[low] + (x - from[low]) * *slope;
}

double predictor_target_of(const lode_predictor *p, double v) {
    if (!p->knots) return (v - p->mean) / p->scale;
    int64_t k = p->knots->shape.dim[1];
    const double *value = p->knots->data, *score = value + k;
    double slope, mean = (value[k - 1] - value[0]) / (score[k - 1] - score[0]);
    return target_line(value, score, k, v, 1 / (LEVEL * mean), &slope);
}

double predictor_target_back(const lode_predictor *p, double y, double *slope) {
    *slope = p->scale;
    if (!p->knots) return p->mean + p->scale * y;
    int64_t k = p->knots->shape.dim[1];
    const double *value = p->knots->data, *score = value + k;
    double mean = (value[k - 1] - value[0]) / (score[k - 1] - score[0]);
    return target_line(score, value, k, y, LEVEL * mean, slope);
}

lode_status predictor_target_load(lode_predictor *p, lode_tensor_file *file) {
    bool there = false;
    for (int64_t i = 0; i < lode_tensors_n(file); i++)
        there = there || strcmp(lode_tensors_name(file, i), "target") == 0;
    if (!there) return LODE_OK;
    LODE_TRY(lode_tensors_get(file, "target", &p->knots));
    const lode_tensor *t = p->knots;
    bool good =
        t->dtype == LODE_F64 && t->shape.n_dims == 2 && t->shape.dim[0] == 2 && t->shape.dim[1] > 1;
    for (int64_t i = 0; good && i < 2 * t->shape.dim[1]; i++)
        good = i % t->shape.dim[1] == 0 || lode_at(t, i) > lode_at(t, i - 1);
    return good ? LODE_OK : LODE_FAIL(LODE_ERR_DATA, "target: want [2, n] ascending numbers");
}
