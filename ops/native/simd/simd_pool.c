/* Windows of pools, all channels of them: the inner loops of native_pool.c. The value of a window
   stays in a register while its pixels go by; runs of windows share one list of pixels. */
#include "ops/native/simd/simd_internal.h"

enum { V = LODE_V, SQUARE = 9 /* pixels of a 3x3 window, which is worth a copy of its own */ };

#if LODE_V > 1
typedef int32_t pool_ints __attribute__((vector_size(4 * LODE_V)));
LODE_INLINE pool_ints pool_ints_set(int32_t v) {
    pool_ints zero = {0};
    return zero + v;
}
LODE_INLINE pool_ints pool_more(lode_v a, lode_v b) { return a > b; }
LODE_INLINE pool_ints pool_pick(pool_ints mask, pool_ints a, pool_ints b) {
    return (mask & a) | (~mask & b);
}
LODE_INLINE lode_v pool_pick_v(pool_ints mask, lode_v a, lode_v b) {
    return (lode_v)pool_pick(mask, (pool_ints)a, (pool_ints)b);
}
#else
typedef int32_t pool_ints;
LODE_INLINE pool_ints pool_ints_set(int32_t v) { return v; }
LODE_INLINE pool_ints pool_more(lode_v a, lode_v b) { return a > b; }
LODE_INLINE pool_ints pool_pick(pool_ints mask, pool_ints a, pool_ints b) { return mask ? a : b; }
LODE_INLINE lode_v pool_pick_v(pool_ints mask, lode_v a, lode_v b) { return mask ? a : b; }
#endif

LODE_INLINE lode_v pool_load(const float *p, int64_t lanes) {
    return lanes >= V ? lode_v_load(p) : lode_v_load_first(p, lanes);
}
LODE_INLINE void pool_store(float *p, lode_v v, int64_t lanes) {
    if (lanes >= V)
        lode_v_store(p, v);
    else
        lode_v_store_first(p, v, lanes);
}
static inline void pool_store_ints(int32_t *p, pool_ints v, int64_t lanes) {
    int32_t lane[V];
    memcpy(lanes >= V ? p : lane, &v, sizeof v);
    for (int64_t l = 0; lanes < V && l < lanes; l++) p[l] = lane[l];
}

/* One vector of channels; n may be a constant. The first of equals stays. */
LODE_INLINE void pool_max_of(int n, const float *const *in, const int32_t *index, int64_t from,
                             int32_t add, int64_t lanes, float *y, int32_t *at) {
    lode_v most = pool_load(in[0] + from, lanes);
    pool_ints where = pool_ints_set(index[0]);
    LODE_UNROLL for (int t = 1; t < n; t++) {
        lode_v x = pool_load(in[t] + from, lanes);
        pool_ints more = pool_more(x, most);
        most = pool_pick_v(more, x, most);
        where = pool_pick(more, pool_ints_set(index[t]), where);
    }
    pool_store(y, most, lanes);
    pool_store_ints(at, where + pool_ints_set(add), lanes);
}

void simd_run_pool_max(int64_t c, int n, const float *const *in, const int32_t *index,
                       int64_t count, int64_t pixels, float *y, int32_t *at) {
    for (int64_t k = 0; k < count; k++, y += c, at += c)
        for (int64_t i = 0; i < c; i += V) {
            int64_t from = k * pixels * c + i;
            int32_t add = (int32_t)(k * pixels);
            if (n == SQUARE && c - i >= V)
                pool_max_of(SQUARE, in, index, from, add, V, y + i, at + i);
            else
                pool_max_of(n, in, index, from, add, c - i, y + i, at + i);
        }
}

LODE_INLINE void pool_sum_of(int n, const float *const *in, const float *scale, int64_t from,
                             int64_t lanes, float *y) {
    lode_v sum = lode_v_zero();
    LODE_UNROLL for (int t = 0; t < n; t++) sum +=
        lode_v_set(scale[t]) * pool_load(in[t] + from, lanes);
    pool_store(y, sum, lanes);
}

void simd_run_pool_sum(int64_t c, int n, const float *const *in, const float *scale, int64_t count,
                       int64_t pixels, float *y) {
    for (int64_t k = 0; k < count; k++, y += c)
        for (int64_t i = 0; i < c; i += V) {
            int64_t from = k * pixels * c + i;
            if (n == SQUARE && c - i >= V)
                pool_sum_of(SQUARE, in, scale, from, V, y + i);
            else
                pool_sum_of(n, in, scale, from, c - i, y + i);
        }
}
