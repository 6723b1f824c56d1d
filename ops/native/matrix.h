/* matrix.h: f32 matrices as products want them: pointer, leading stride, transposed or not.

   lode_gemm_fn is the shape of a product, C = op(A) op(B) + beta C, row-major. Providers differ in
   who multiplies only, so linear, matmul and batch_matmul are written once (matrix.c) and take the
   product as an argument. */
#ifndef LODE_OPS_NATIVE_MATRIX_H
#define LODE_OPS_NATIVE_MATRIX_H
#include "ops/backend.h"

/* C [M,N] = op(A) [M,K] op(B) [K,N] + beta C, beta 0 or 1; lda, ldb, ldc strides between rows as
   stored. op is the transpose when the flag is set. scratch: what lode_gemm_scratch_fn asked. */
typedef lode_status (*lode_gemm_fn)(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k,
                                    const float *a, int64_t lda, const float *b, int64_t ldb,
                                    float beta, float *c, int64_t ldc, void *scratch);
typedef size_t (*lode_gemm_scratch_fn)(bool trans_a, bool trans_b, int64_t m, int64_t n,
                                       int64_t k); /* bytes; NULL: none */

typedef struct lode_gemm {
    lode_gemm_fn run;
    lode_gemm_scratch_fn scratch;
} lode_gemm;

/* f32 products of nonzero size with at most 32-bit dims. */
bool lode_linear_fits(const lode_op_call *c);
size_t lode_linear_workspace(const lode_gemm *g, const lode_op_call *c, bool backward);
lode_status lode_linear_forward(const lode_gemm *g, const lode_op_call *c);
lode_status lode_linear_backward(const lode_gemm *g, const lode_op_call *c, const lode_tensor *dy,
                                 lode_tensor *const *dx);

/* matmul and batch_matmul: a matmul is a batch of one. */
bool lode_matmul_fits(const lode_op_call *c);
size_t lode_matmul_workspace(const lode_gemm *g, const lode_op_call *c, bool backward);
lode_status lode_matmul_forward(const lode_gemm *g, const lode_op_call *c);
lode_status lode_matmul_backward(const lode_gemm *g, const lode_op_call *c, const lode_tensor *dy,
                                 lode_tensor *const *dx);
#endif
