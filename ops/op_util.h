/* op_util.h: what operator files share: inference, counts, examples, and reference kernels.

   For writers of operators; users of operators include ops/ops.h. */
#ifndef LODE_OPS_OP_UTIL_H
#define LODE_OPS_OP_UTIL_H
#include "autograd/op.h"
#include "ops/ops.h"

/* ---- reference kernels ----
   A reference kernel must take every dtype and every stride, and still finish: reading each
   operand through lode_at inside a convolution's inner loop would cost 20 ns per element. So it
   asks for its operands as plain doubles in logical row-major order, once, and then reads like the
   equation:

       lode_ref r = {0};
       const double *x = lode_ref_in(&r, c->x[0]);
       double *y = lode_ref_out(&r, c->y);
       if (lode_ref_ok(&r))
           for (int64_t i = 0; i < lode_tensor_count(c->y); i++) y[i] = fmax(x[i], 0);
       return lode_ref_end(&r);

   A contiguous f64 tensor is used in place, anything else is converted to and fro. */
typedef struct lode_ref {
    struct lode_ref_buffer *first;
    lode_status status;
} lode_ref;
/* The tensor's elements; NULL for a NULL tensor, which is no failure. */
LODE_API const double *lode_ref_in(lode_ref *r, const lode_tensor *t);
/* Zeros to be filled; stored into t by lode_ref_end. NULL for a NULL tensor. */
LODE_API double *lode_ref_out(lode_ref *r, lode_tensor *t);
/* The tensor's elements, stored back by lode_ref_end. */
LODE_API double *lode_ref_inout(lode_ref *r, lode_tensor *t);
/* n zeros of scratch. */
LODE_API double *lode_ref_scratch(lode_ref *r, int64_t n);
LODE_API bool lode_ref_ok(const lode_ref *r);
/* Makes the kernel fail; lode_ref_end returns it and stores nothing more. */
LODE_API void lode_ref_fail(lode_ref *r, lode_status status);
/* Stores the outputs (unless something failed), frees the buffers, tells how it went. */
LODE_API lode_status lode_ref_end(lode_ref *r);

/* ---- activations within operators (act.c): value, slope, how far u is from the nearest place
   where the slope jumps, word ---- */
LODE_API double lode_sigmoid_value(double u);
LODE_API double lode_act_value(lode_act act, double u);
LODE_API double lode_act_slope(lode_act act, double u);
LODE_API double lode_act_kink_distance(lode_act act, double u);
LODE_API const char *lode_act_name(int32_t act); /* "?" when it is none of them */

/* ---- infer ---- */
/* y has this dtype and shape, channels-last for 4 dims; so has the next aux. */
LODE_API void lode_infer_y(lode_inferred *out, lode_dtype dtype, const lode_shape *shape);
LODE_API void lode_infer_aux(lode_inferred *out, lode_dtype dtype, const lode_shape *shape);
/* The layout of a result that follows x: channels-last for 4 dims, unless x stands in plain
   row-major order and in no other (weights); contiguous for the rest. */
LODE_API lode_layout lode_layout_like(const lode_tensor *x);
/* y as x[0], also its layout; x[0] must be of a float type. */
LODE_API lode_status lode_infer_same_shape(const lode_op_call *c, lode_inferred *out);
/* Input i must be of a float type, and of x[0]'s. NULL inputs pass. `what` names it: "w". */
LODE_API lode_status lode_check_float(const lode_op_call *c, int i, const char *what);
/* Input i must be s32 or s64. */
LODE_API lode_status lode_check_index(const lode_op_call *c, int i, const char *what);
/* Input i must have n_dims dims. NULL passes. */
LODE_API lode_status lode_check_dims(const lode_op_call *c, int i, const char *what, int n_dims);
/* Input i must have exactly this shape. NULL passes. */
LODE_API lode_status lode_check_shape(const lode_op_call *c, int i, const char *what,
                                      const lode_shape *want);

/* ---- count ---- */
/* Moves data, computes nothing: bytes read (every input once) and written; the rest is 0. */
LODE_API void lode_count_copy(const lode_op_call *c, lode_op_count *out);
/* The above and one flop per output element. */
LODE_API void lode_count_pointwise(const lode_op_call *c, lode_op_count *out);

/* ---- example: each adds the next input; 4 dims are channels-last unless said ---- */
/* Takes t over, also when it fails. */
LODE_API lode_status lode_example_add(lode_op_example *e, lode_tensor *t, bool differentiable);
LODE_API lode_status lode_example_absent(lode_op_example *e); /* a NULL input */
/* Contiguous whatever the number of dims: weights. */
LODE_API lode_status lode_example_weight(lode_op_example *e, lode_rng *rng, lode_shape shape,
                                         double std);
LODE_API lode_status lode_example_uniform(lode_op_example *e, lode_rng *rng, lode_shape shape,
                                          double lo, double hi);
/* Uniform in (lo, hi), but no nearer than 0.02 to any of the kinks. */
LODE_API lode_status lode_example_away(lode_op_example *e, lode_rng *rng, lode_shape shape,
                                       double lo, double hi, const double *kinks, int n_kinks);
/* Integers in lo..hi-1, dtype s32 or s64; not differentiable. */
LODE_API lode_status lode_example_index(lode_op_example *e, lode_rng *rng, lode_dtype dtype,
                                        lode_shape shape, int64_t lo, int64_t hi);
/* The last added input gets no gradient. */
LODE_API void lode_example_constant(lode_op_example *e);
/* Uniform over lo..hi, both included. */
LODE_API int64_t lode_example_between(lode_rng *rng, int64_t lo, int64_t hi);
LODE_API void lode_example_set_params(lode_op_example *e, const void *params, size_t bytes);
/* An input of any layout: dense for most k, now and then permuted or with gaps. */
LODE_API lode_status lode_example_any_layout(lode_op_example *e, lode_rng *rng, lode_shape shape,
                                             int k);
/* Most one-input elementwise operators: k = 0.. odd little shapes of 1 to 4 dims, then random ones;
   values as lode_example_away. */
LODE_API lode_status lode_example_pointwise(lode_op_example *e, lode_rng *rng, int k, double lo,
                                            double hi, const double *kinks, int n_kinks);
#endif
