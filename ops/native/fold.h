/* fold.h: sums over a run of dims of a dense f32 tensor.

   Whatever is summed here looks like out[o,i] = scale * sum_r x[o,r,i] (z[o,r,i]) in memory: the
   gradient of a squeeze-excite gate has o = N, r = pixels, i = channels; that of a per-channel
   factor r = N and pixels; a full sum has r alone. Sums are in double, over fixed pieces of rows
   whose partials are added in order: same bits at any thread count. */
#ifndef LODE_OPS_NATIVE_FOLD_H
#define LODE_OPS_NATIVE_FOLD_H
#include "tensor/tensor.h"

typedef struct lode_fold {
    int64_t outer, rows, inner;
    int64_t piece; /* rows of a piece */
} lode_fold;

/* Plans the sum of a tensor that lies like `x` (dense) over the dims of `reduced` (a bit mask) into
   a tensor that lies like `out`, whose dim d is x's dim d + x.n_dims - out.n_dims, or, when
   `compact`, whose dims are x's other dims in order. False when it is not of the above form. */
bool lode_fold_plan(const lode_tensor *x, uint32_t reduced, const lode_tensor *out, bool compact,
                    lode_fold *plan);
/* Bytes of scratch, 64-byte aligned. */
size_t lode_fold_scratch(const lode_fold *plan);
/* z may be NULL. */
void lode_fold_run(const lode_fold *plan, const float *x, const float *z, double scale, float *out,
                   void *scratch);
#endif
