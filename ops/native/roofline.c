/* See roofline.h. Bytes are counted as STREAM does: two reads and one write, not the read that a
   write-allocate cache adds. */
#include "ops/native/roofline.h"

#include "core/memory.h"
#include "core/parallel.h"
#include "core/platform.h"
#include "ops/native/simd.h"

enum {
    ROOF_CACHE_FLOATS = 1 << 15,  /* an array of a thread */
    ROOF_MEMORY_FLOATS = 1 << 24, /* an array of all */
    ROOF_FMA_ROUNDS = 20000,
    ROOF_CACHE_ROUNDS = 200
};

typedef struct roof_job {
    const lode_simd *simd;
    float *a, *b, *c;
    float sink[256]; /* keeps the compiler from leaving the work out */
    int rounds;
} roof_job;

static void roof_fma(void *ctx, int64_t piece, int64_t begin, int64_t end) {
    roof_job *j = ctx;
    (void)begin, (void)end;
    j->sink[piece % 256] = j->simd->fma_peak(j->rounds);
}

static void roof_triad(void *ctx, int64_t piece, int64_t begin, int64_t end) {
    roof_job *j = ctx;
    (void)piece;
    for (int r = 0; r < j->rounds; r++)
        j->simd->triad(end - begin, j->a + begin, j->b + begin, j->c + begin, 0.5f);
}

/* Best units per second of body over n in pieces, for about `seconds`. */
static double roof_best(double seconds, double units, int64_t n, int64_t grain,
                        lode_parallel_body body, roof_job *j) {
    double best = 0, stop = lode_clock() + seconds;
    do {
        double start = lode_clock();
        lode_parallel_for(n, grain, body, j);
        double rate = units / (lode_clock() - start);
        if (rate > best) best = rate;
    } while (lode_clock() < stop);
    return best;
}

lode_status lode_roofline_measure(double seconds, lode_roofline *out) {
    const lode_simd *simd = lode_simd_get();
    int threads = lode_get_threads();
    size_t bytes = ROOF_MEMORY_FLOATS * sizeof(float);
    roof_job j = {.simd = simd, .rounds = ROOF_FMA_ROUNDS};
    double third = (seconds > 0 ? seconds : 0.3) / 3;
    if (threads > ROOF_MEMORY_FLOATS / ROOF_CACHE_FLOATS)
        threads = ROOF_MEMORY_FLOATS / ROOF_CACHE_FLOATS;
    *out = (lode_roofline){.isa = simd->name, .threads = threads};
    float *arrays = lode_alloc_aligned(3 * bytes, 64);
    if (!arrays) return lode_last_status();
    j.a = arrays;
    j.b = arrays + ROOF_MEMORY_FLOATS;
    j.c = arrays + 2 * (int64_t)ROOF_MEMORY_FLOATS;
    for (int64_t i = 0; i < 3 * (int64_t)ROOF_MEMORY_FLOATS; i++) arrays[i] = 1;

    double flops = 2.0 * simd->lanes * SIMD_FMA_CHAINS * ROOF_FMA_ROUNDS * threads;
    out->gflops = roof_best(third, flops, threads, 1, roof_fma, &j) * 1e-9;
    j.rounds = ROOF_CACHE_ROUNDS;
    double cache = 3.0 * sizeof(float) * ROOF_CACHE_FLOATS * ROOF_CACHE_ROUNDS * threads;
    out->cache_gbs = roof_best(third, cache, (int64_t)threads * ROOF_CACHE_FLOATS,
                               ROOF_CACHE_FLOATS, roof_triad, &j) *
                     1e-9;
    j.rounds = 1;
    out->memory_gbs = roof_best(third, 3.0 * (double)bytes, ROOF_MEMORY_FLOATS,
                                ROOF_MEMORY_FLOATS / threads + 1, roof_triad, &j) *
                      1e-9;
    lode_free(arrays);
    return LODE_OK;
}
