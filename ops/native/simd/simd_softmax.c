/* The softmax of a row: largest, exponentials with their sum, division. Exponentials are kept in p,
   so each is computed once. Sums of a few vectors are floats, then doubles: a row of many classes
   loses nothing. */
#include "ops/native/simd/simd_act.h"

#include <math.h>

enum { V = LODE_V, FLUSH = 16 /* vectors */ };

static double softmax_lanes(lode_v v, int64_t n) {
    float lane[V];
    double sum = 0;
    memcpy(lane, &v, sizeof lane);
    for (int64_t i = 0; i < n; i++) sum += (double)lane[i];
    return sum;
}

/* NaN where a value is NaN. */
static float softmax_top(int64_t k, const float *x) {
    float top = x[0], lane[V];
    int64_t i = 0;
    if (k >= V) {
        lode_v most = lode_v_load(x);
        for (i = V; i + V <= k; i += V) most = act_max(most, lode_v_load(x + i));
        memcpy(lane, &most, sizeof lane);
        for (int l = 0; l < V; l++) top = lane[l] > top || lane[l] != lane[l] ? lane[l] : top;
    }
    for (; i < k; i++) top = x[i] > top || x[i] != x[i] ? x[i] : top;
    return top;
}

double simd_run_softmax(int64_t k, const float *x, float *p) {
    const float top = softmax_top(k, x);
    const lode_v shift = lode_v_set(top);
    lode_v part = lode_v_zero();
    double sum = 0;
    int64_t i = 0;
    for (int64_t n = 0; i + V <= k; i += V) {
        lode_v e = act_exp(lode_v_load(x + i) - shift);
        lode_v_store(p + i, e);
        part += e;
        if (++n % FLUSH != 0) continue;
        sum += softmax_lanes(part, V);
        part = lode_v_zero();
    }
    sum += softmax_lanes(part, V);
    if (i < k) {
        lode_v e = act_exp(lode_v_load_first(x + i, k - i) - shift);
        lode_v_store_first(p + i, e, k - i);
        sum += softmax_lanes(e, k - i);
    }
    const float scale = (float)(1 / sum);
    for (i = 0; i < k; i++) p[i] *= scale;
    return (double)top + log(sum);
}
