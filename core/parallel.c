/* parallel.c: fixed pieces over OpenMP.

   Pieces are handed out dynamically: which thread computes one never shows in the result, and a
   core that is slow today does not hold up the rest. The team always has the same size, since
   libgomp ends and starts threads whenever the size changes; one piece runs right here. */
#include "core/parallel.h"

#include "core/platform.h"

#include <assert.h>
#include <stdatomic.h>

#ifdef _OPENMP
#include <omp.h>
#endif

static atomic_int n_threads; /* 0: not set yet */

void lode_set_threads(int n) {
    int cores = lode_cpu_get().n_cores;
    if (n <= 0) n = cores;
    atomic_store(&n_threads, n);
#ifdef _OPENMP
    omp_set_num_threads(n); /* what oneDNN and bare `omp parallel` look at */
#endif
}

int lode_get_threads(void) {
#ifdef _OPENMP
    int n = atomic_load_explicit(&n_threads, memory_order_relaxed);
    return n > 0 ? n : omp_get_max_threads();
#else
    return 1;
#endif
}

int lode_parallel_thread(void) {
#ifdef _OPENMP
    /* Inside a caller's own parallel region loops run serially; any slot then is as good. */
    return omp_get_thread_num() % lode_get_threads();
#else
    return 0;
#endif
}

bool lode_parallel_inside(void) {
#ifdef _OPENMP
    return omp_in_parallel();
#else
    return false;
#endif
}

int lode_alone_begin(void) {
#ifdef _OPENMP
    int before = omp_get_max_threads();
    if (before > 1) omp_set_num_threads(1);
    return before;
#else
    return 1;
#endif
}

void lode_alone_end(int before) {
#ifdef _OPENMP
    if (before > 1) omp_set_num_threads(before);
#else
    (void)before;
#endif
}

int64_t lode_parallel_pieces(int64_t n, int64_t grain) {
    assert(grain > 0);
    return n <= 0 ? 0 : (n - 1) / grain + 1;
}

static void parallel_piece(int64_t n, int64_t grain, int64_t piece, lode_parallel_body body,
                           void *ctx) {
    int64_t begin = piece * grain;
    body(ctx, piece, begin, n - begin < grain ? n : begin + grain);
}

void lode_parallel_for(int64_t n, int64_t grain, lode_parallel_body body, void *ctx) {
    int64_t pieces = lode_parallel_pieces(n, grain);
#ifdef _OPENMP
    int threads = lode_get_threads();
    if (threads > 1 && pieces > 1 && !omp_in_parallel()) {
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads)
        for (int64_t i = 0; i < pieces; i++) parallel_piece(n, grain, i, body, ctx);
        return;
    }
#endif
    for (int64_t i = 0; i < pieces; i++) parallel_piece(n, grain, i, body, ctx);
}

/* ---- sums: rounds of a few hundred pieces, whose partials fit on the stack ---- */

enum { PARALLEL_ROUND = 256 };

typedef struct parallel_round {
    lode_parallel_term term;
    void *ctx;
    int64_t offset; /* of the round's first element */
    double partial[PARALLEL_ROUND];
} parallel_round;

static void parallel_partial(void *ctx, int64_t piece, int64_t begin, int64_t end) {
    parallel_round *r = ctx;
    r->partial[piece] = r->term(r->ctx, r->offset + begin, r->offset + end);
}

double lode_parallel_sum(int64_t n, int64_t grain, lode_parallel_term term, void *ctx) {
    parallel_round r = {.term = term, .ctx = ctx};
    double sum = 0;
    while (r.offset < n) {
        int64_t left = n - r.offset;
        int64_t span = left / PARALLEL_ROUND >= grain ? PARALLEL_ROUND * grain : left;
        lode_parallel_for(span, grain, parallel_partial, &r);
        for (int64_t i = 0; i < lode_parallel_pieces(span, grain); i++) sum += r.partial[i];
        r.offset += span;
    }
    return sum;
}
