/* parallel.h: loops over fixed grains, so that results are the same bits at any thread count.

   The range 0..n is cut into pieces of `grain` whatever the number of threads; a piece is always
   computed by one thread from start to end. A reduction keeps one partial per piece and adds the
   partials in index order. OpenMP underneath; serial when built without it. */
#ifndef LODE_CORE_PARALLEL_H
#define LODE_CORE_PARALLEL_H
#include "core/status.h"

#include <stdbool.h>
#include <stdint.h>

/* Threads used by Lode's loops and by the math libraries; 0 = one per core. OpenMP keeps the number
   for bare `omp parallel` regions (and oneDNN) per calling thread, so call this from the thread
   that runs the networks; a kernel with a region of its own says num_threads(lode_get_threads()).
 */
LODE_API void lode_set_threads(int n);
LODE_API int lode_get_threads(void);

/* body(ctx, piece, begin, end): elements begin..end of piece number `piece`. */
typedef void (*lode_parallel_body)(void *ctx, int64_t piece, int64_t begin, int64_t end);
LODE_API void lode_parallel_for(int64_t n, int64_t grain, lode_parallel_body body, void *ctx);
/* Within a body: which thread runs it, 0 .. lode_get_threads() - 1, to find scratch memory. Results
   must not depend on it. 0 outside. */
LODE_API int lode_parallel_thread(void);
/* Is this thread within a loop already? Then loops that it starts are its alone. */
LODE_API bool lode_parallel_inside(void);
/* Work of a library that brings its own OpenMP loops, in this thread alone: begin, the call, end
   with what begin gave. */
LODE_API int lode_alone_begin(void);
LODE_API void lode_alone_end(int before);
/* Sum over pieces of term(ctx, begin, end), added in index order. Allocates nothing. */
typedef double (*lode_parallel_term)(void *ctx, int64_t begin, int64_t end);
LODE_API double lode_parallel_sum(int64_t n, int64_t grain, lode_parallel_term term, void *ctx);
/* Number of pieces lode_parallel_for will make. */
LODE_API int64_t lode_parallel_pieces(int64_t n, int64_t grain);
#endif
