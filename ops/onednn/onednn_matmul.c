/* linear, matmul and batch_matmul: dnnl_sgemm, which takes strides and transposes as they are and
   needs no primitive. */
#include "ops/native/matrix.h"
#include "ops/onednn/onednn_internal.h"

static lode_status matmul_sgemm(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k,
                                const float *a, int64_t lda, const float *b, int64_t ldb,
                                float beta, float *c, int64_t ldc, void *scratch) {
    (void)scratch;
    return onednn_check(dnnl_sgemm(trans_a ? 'T' : 'N', trans_b ? 'T' : 'N', m, n, k, 1.0f, a, lda,
                                   b, ldb, beta, c, ldc),
                        "multiply matrices");
}
static const lode_gemm matmul_gemm = {matmul_sgemm, NULL};

bool onednn_linear_supports(const lode_op_call *c) { return lode_linear_fits(c); }
size_t onednn_linear_workspace(const lode_op_call *c, bool backward) {
    return lode_linear_workspace(&matmul_gemm, c, backward);
}
lode_status onednn_linear_forward(const lode_op_call *c) {
    return lode_linear_forward(&matmul_gemm, c);
}
lode_status onednn_linear_backward(const lode_op_call *c, const lode_tensor *dy,
                                   lode_tensor *const *dx) {
    return lode_linear_backward(&matmul_gemm, c, dy, dx);
}

bool onednn_matmul_supports(const lode_op_call *c) { return lode_matmul_fits(c); }
size_t onednn_matmul_workspace(const lode_op_call *c, bool backward) {
    return lode_matmul_workspace(&matmul_gemm, c, backward);
}
lode_status onednn_matmul_forward(const lode_op_call *c) {
    return lode_matmul_forward(&matmul_gemm, c);
}
lode_status onednn_matmul_backward(const lode_op_call *c, const lode_tensor *dy,
                                   lode_tensor *const *dx) {
    return lode_matmul_backward(&matmul_gemm, c, dy, dx);
}
