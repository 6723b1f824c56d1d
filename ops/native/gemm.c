/* Two ways to cut a product into pieces of fixed size. Usually B is packed once and pieces are
   blocks of rows of C. When k is long and C small (weight gradients: k = all pixels) pieces are
   ranges of k with a partial C each, added in order; B is packed block by block then. */
#include "ops/native/gemm.h"

#include "core/parallel.h"
#include "ops/native/conv_shape.h"
#include "ops/native/simd.h"

enum {
    GEMM_ROWS = 48,             /* of C in a piece: a multiple of the tile */
    GEMM_K_BLOCK = 256,         /* rows of B packed at a time when k is split */
    GEMM_K_PIECES = 16,         /* at most */
    GEMM_SPLIT_FLOATS = 1 << 22 /* of all partials */
};

typedef struct gemm_job {
    const lode_simd *simd;
    int64_t m, n, k;
    const float *a, *b;
    int64_t a_rs, a_cs, b_rs, b_cs;
    bool add;
    float *c;
    int64_t ldc;
    int64_t padded; /* n rounded up to whole panels */
    int64_t piece;  /* rows of C, or of k when split */
    float *packed;  /* [k, padded], or [threads, GEMM_K_BLOCK, padded] */
    float *partial; /* [pieces, m, n] */
} gemm_job;

static int64_t gemm_padded(int64_t n) {
    int64_t panel = lode_simd_get()->gemm_panel();
    return (n + panel - 1) / panel * panel;
}

/* Rows of k in a piece; 0: do not split. */
static int64_t gemm_split(int64_t m, int64_t n, int64_t k) {
    int64_t pieces = GEMM_SPLIT_FLOATS / (m * n);
    if (pieces > GEMM_K_PIECES) pieces = GEMM_K_PIECES;
    if (pieces < 2 || k < 8 * GEMM_K_BLOCK || m > 4 * GEMM_ROWS * GEMM_K_PIECES) return 0;
    int64_t piece = (k + pieces - 1) / pieces;
    return (piece + GEMM_K_BLOCK - 1) / GEMM_K_BLOCK * GEMM_K_BLOCK;
}

static void gemm_take(gemm_job *j, workspace *ws) {
    j->padded = gemm_padded(j->n);
    j->piece = gemm_split(j->m, j->n, j->k);
    if (j->piece) {
        int64_t pieces = lode_parallel_pieces(j->k, j->piece);
        j->packed = workspace_floats(ws, (size_t)(lode_get_threads() * GEMM_K_BLOCK * j->padded));
        j->partial = workspace_floats(ws, (size_t)(pieces * j->m * j->n));
    } else {
        j->packed = workspace_floats(ws, (size_t)(j->k * j->padded));
        j->piece = GEMM_ROWS;
        j->partial = NULL;
    }
}

static size_t gemm_scratch(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k) {
    gemm_job j = {.m = m, .n = n, .k = k};
    workspace ws = {NULL, 0};
    (void)trans_a, (void)trans_b;
    gemm_take(&j, &ws);
    return ws.used;
}

/* Panels begin..end of B. */
static void gemm_pack_piece(void *ctx, int64_t piece, int64_t begin, int64_t end) {
    const gemm_job *j = ctx;
    int64_t panel = j->simd->gemm_panel(), first = begin * panel;
    int64_t n = end * panel < j->n ? (end - begin) * panel : j->n - first;
    (void)piece;
    j->simd->gemm_pack(j->k, n, j->b + first * j->b_cs, j->b_rs, j->b_cs, j->packed + first * j->k,
                       0, j->k);
}

static void gemm_rows_piece(void *ctx, int64_t piece, int64_t begin, int64_t end) {
    const gemm_job *j = ctx;
    (void)piece;
    j->simd->gemm(end - begin, j->n, j->k, j->a + begin * j->a_rs, j->a_rs, j->a_cs, j->packed,
                  j->k, j->c + begin * j->ldc, j->ldc, j->add);
}

static void gemm_split_piece(void *ctx, int64_t piece, int64_t begin, int64_t end) {
    const gemm_job *j = ctx;
    float *packed = j->packed + lode_parallel_thread() * GEMM_K_BLOCK * j->padded;
    float *c = j->partial + piece * j->m * j->n;
    for (int64_t p = begin; p < end; p += GEMM_K_BLOCK) {
        int64_t k = end - p < GEMM_K_BLOCK ? end - p : GEMM_K_BLOCK;
        j->simd->gemm_pack(k, j->n, j->b + p * j->b_rs, j->b_rs, j->b_cs, packed, 0, k);
        j->simd->gemm(j->m, j->n, k, j->a + p * j->a_cs, j->a_rs, j->a_cs, packed, k, c, j->n,
                      p > begin);
    }
}

static void gemm_sum_piece(void *ctx, int64_t piece, int64_t begin, int64_t end) {
    const gemm_job *j = ctx;
    int64_t pieces = lode_parallel_pieces(j->k, j->piece), size = j->m * j->n;
    (void)piece;
    for (int64_t i = begin; i < end; i++) {
        float *c = j->c + i * j->ldc;
        for (int64_t x = 0; x < j->n; x++) {
            double sum = j->add ? (double)c[x] : 0;
            for (int64_t p = 0; p < pieces; p++) sum += (double)j->partial[p * size + i * j->n + x];
            c[x] = (float)sum;
        }
    }
}

static lode_status gemm_run(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k,
                            const float *a, int64_t lda, const float *b, int64_t ldb, float beta,
                            float *c, int64_t ldc, void *scratch) {
    gemm_job j = {.simd = lode_simd_get(), .m = m, .n = n, .k = k, .a = a, .b = b, .c = c};
    workspace ws = {scratch, 0};
    j.a_rs = trans_a ? 1 : lda;
    j.a_cs = trans_a ? lda : 1;
    j.b_rs = trans_b ? 1 : ldb;
    j.b_cs = trans_b ? ldb : 1;
    j.ldc = ldc;
    j.add = beta != 0;
    gemm_take(&j, &ws);
    if (j.partial) {
        lode_parallel_for(k, j.piece, gemm_split_piece, &j);
        lode_parallel_for(m, 16, gemm_sum_piece, &j);
    } else {
        lode_parallel_for(j.padded / j.simd->gemm_panel(), 4, gemm_pack_piece, &j);
        lode_parallel_for(m, j.piece, gemm_rows_piece, &j);
    }
    return LODE_OK;
}

const lode_gemm lode_native_gemm = {gemm_run, gemm_scratch};
