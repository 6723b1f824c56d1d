/* walk.h: pointwise kernels over f32 tensors of any strides.

   A pointwise kernel is a flat loop over n contiguous floats. The walk brings it there: it takes
   the operands' strides over one common index space (0 where an operand is repeated), drops dims of
   size 1, orders the rest as the output lies in memory, merges what is adjacent in all operands,
   and hands the kernel blocks. An operand that lies flat in a block is used in place; any other
   (a gate repeated over pixels, a slice with gaps) is gathered into a buffer of 2 KiB first. So one
   path serves equal dense tensors, every kind of broadcast, and whatever strides a gradient has.

   Blocks do not depend on the number of threads, so neither do results. */
#ifndef LODE_OPS_NATIVE_WALK_H
#define LODE_OPS_NATIVE_WALK_H
#include "autograd/op.h"
#include "ops/native/simd.h"

enum { LODE_WALK_MAX_IN = 2, LODE_WALK_MAX_DIMS = LODE_MAX_DIMS + 1 };

typedef struct lode_walk {
    int n_dims, n_in;
    int64_t dim[LODE_WALK_MAX_DIMS];
    const float *in[LODE_WALK_MAX_IN];
    int64_t in_stride[LODE_WALK_MAX_IN][LODE_WALK_MAX_DIMS];
    float *out;
    int64_t out_stride[LODE_WALK_MAX_DIMS];
} lode_walk;

/* Output `out` over its own shape. */
lode_walk lode_walk_to(lode_tensor *out);
/* One more input, broadcast to the output's shape as NumPy does. */
void lode_walk_from(lode_walk *w, const lode_tensor *in);
/* Runs the kernel over all elements; kernel NULL: copies the first input. params go to the kernel.
 */
void lode_walk_run(const lode_walk *w, simd_kernel kernel, const float *params);

/* Every input and the output are f32 in host memory (or in a trace). */
bool lode_native_f32(const lode_op_call *c);
#endif
