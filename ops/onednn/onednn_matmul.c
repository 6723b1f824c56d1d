/* linear, matmul and batch_matmul: dnnl_sgemm, which takes strides and transposes as they are and
   needs no primitive. It would split sums by thread, so the longer side of the result is cut into
   pieces by its length alone, each multiplied by one thread: the same bits with any number. */
#include "core/parallel.h"
#include "ops/native/matrix.h"
#include "ops/onednn/onednn_internal.h"

#include <stdatomic.h>

enum { MATMUL_PIECES = 8, MATMUL_LEAST = 32 }; /* rows or columns of a piece */

typedef struct matmul_job {
    bool trans_a, trans_b, by_rows;
    int64_t m, n, k, lda, ldb, ldc;
    const float *a, *b;
    float beta, *c;
    atomic_int status;
} matmul_job;

static void matmul_piece(void *ctx, int64_t piece, int64_t begin, int64_t end) {
    matmul_job *j = ctx;
    const int64_t rows = j->by_rows ? begin : 0, cols = j->by_rows ? 0 : begin;
    (void)piece;
    const int before = lode_alone_begin();
    dnnl_status_t s = dnnl_sgemm(j->trans_a ? 'T' : 'N', j->trans_b ? 'T' : 'N',
                                 j->by_rows ? end - begin : j->m, j->by_rows ? j->n : end - begin,
                                 j->k, 1.0f, j->a + rows * (j->trans_a ? 1 : j->lda), j->lda,
                                 j->b + cols * (j->trans_b ? j->ldb : 1), j->ldb, j->beta,
                                 j->c + rows * j->ldc + cols, j->ldc);
    lode_alone_end(before);
    if (s != dnnl_success) atomic_store(&j->status, (int)s);
}

static lode_status matmul_sgemm(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k,
                                const float *a, int64_t lda, const float *b, int64_t ldb,
                                float beta, float *c, int64_t ldc, void *scratch) {
    matmul_job j = {trans_a, trans_b, m >= n, m, n, k, lda, ldb, ldc, a, b, beta, c, 0};
    const int64_t length = j.by_rows ? m : n, share = (length + MATMUL_PIECES - 1) / MATMUL_PIECES;
    (void)scratch;
    lode_parallel_for(length, share > MATMUL_LEAST ? share : MATMUL_LEAST, matmul_piece, &j);
    return onednn_check((dnnl_status_t)atomic_load(&j.status), "multiply matrices");
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
