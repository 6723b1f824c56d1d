/* linear, matmul and batch_matmul over any product (matrix.h).

   Operands that are neither row- nor column-major are packed into workspace first: that is rare, so
   it is simply contiguous copies. linear y = x w^T + b with x [M,I], w [O,I] is
     dx = dy w,   dw = dy^T x,   db = column sums of dy. */
#include "ops/native/matrix.h"

#include "ops/native/conv_shape.h"
#include "ops/native/pack.h"
#include "ops/native/rows.h"
#include "ops/ops.h"

#include <limits.h>

/* A stored matrix [rows, cols]: row stride ld, or column stride ld when `trans`. */
typedef struct matrix {
    float *p;
    int64_t rows, cols, ld;
    bool trans;
} matrix;

static bool matrix_direct(int64_t rows, int64_t cols, int64_t stride_r, int64_t stride_c,
                          matrix *out) {
    bool unit_c = stride_c == 1 || cols == 1, unit_r = stride_r == 1 || rows == 1;
    if (unit_c && (rows == 1 || stride_r >= cols))
        *out = (matrix){NULL, rows, cols, rows == 1 ? cols : stride_r, false};
    else if (unit_r && (cols == 1 || stride_c >= rows))
        *out = (matrix){NULL, rows, cols, cols == 1 ? rows : stride_c, true};
    else
        return false;
    return true;
}

/* t [..., cols] seen as a matrix; false: it has to be packed. */
static bool matrix_of_rows(const lode_tensor *t, matrix *out) {
    int n = t->shape.n_dims;
    int64_t cols = t->shape.dim[n - 1], rows = lode_shape_count(&t->shape) / cols;
    bool ok;
    if (n == 2)
        ok = matrix_direct(rows, cols, t->stride[0], t->stride[1], out);
    else {
        ok = lode_is_packed(t, LODE_CONTIGUOUS);
        *out = (matrix){NULL, rows, cols, cols, false};
    }
    out->p = t->data;
    return ok;
}

static void matrix_reserve(workspace *ws, const lode_tensor *t) {
    matrix m;
    if (!matrix_of_rows(t, &m)) workspace_floats(ws, lode_pack_count(t));
}

static matrix matrix_in(workspace *ws, const lode_tensor *t) {
    matrix m;
    if (matrix_of_rows(t, &m)) return m;
    int64_t cols = t->shape.dim[t->shape.n_dims - 1];
    m = (matrix){workspace_floats(ws, lode_pack_count(t)), lode_shape_count(&t->shape) / cols, cols,
                 cols, false};
    lode_pack(t, LODE_CONTIGUOUS, m.p);
    return m;
}

/* Where to write t: row-major, its own memory or a buffer for lode_unpack. */
static matrix matrix_out(workspace *ws, lode_tensor *t, bool *unpack) {
    matrix m;
    *unpack = !matrix_of_rows(t, &m) || m.trans;
    int64_t cols = t->shape.dim[t->shape.n_dims - 1];
    if (*unpack)
        m = (matrix){workspace_floats(ws, lode_pack_count(t)), lode_shape_count(&t->shape) / cols,
                     cols, cols, false};
    return m;
}

static size_t gemm_scratch(const lode_gemm *g, bool ta, bool tb, int64_t m, int64_t n, int64_t k) {
    return g->scratch ? g->scratch(ta, tb, m, n, k) : 0;
}

/* out = op(a) op(b) + beta out, flags on top of how a and b are stored. */
static lode_status matrix_multiply(const lode_gemm *g, matrix a, bool ta, matrix b, bool tb,
                                   float beta, matrix out, void *scratch) {
    return g->run(a.trans != ta, b.trans != tb, out.rows, out.cols, ta ? a.rows : a.cols, a.p, a.ld,
                  b.p, b.ld, beta, out.p, out.ld, scratch);
}

static size_t max_size(size_t a, size_t b) { return a > b ? a : b; }

/* Scratch of a product whatever way its operands are stored. */
static size_t gemm_scratch_any(const lode_gemm *g, int64_t m, int64_t n, int64_t k) {
    size_t most = 0;
    for (int f = 0; f < 4; f++) most = max_size(most, gemm_scratch(g, f & 1, f & 2, m, n, k));
    return most;
}

/* ---- linear ---- */

bool lode_linear_fits(const lode_op_call *c) {
    if (!call_is_f32(c) || c->x[0]->shape.n_dims < 1 || c->x[1]->shape.n_dims != 2) return false;
    return lode_shape_count(&c->x[0]->shape) / c->x[1]->shape.dim[1] < INT_MAX;
}

static const lode_tensor *linear_bias(const lode_op_call *c) { return c->n_x > 2 ? c->x[2] : NULL; }

size_t lode_linear_workspace(const lode_gemm *g, const lode_op_call *c, bool backward) {
    int64_t o = c->x[1]->shape.dim[0], i = c->x[1]->shape.dim[1];
    int64_t m = lode_shape_count(&c->x[0]->shape) / i;
    workspace ws = {NULL, 0};
    for (int k = 0; k < 1 + backward; k++) { /* dx and dw lie as x and w do */
        matrix_reserve(&ws, c->x[0]);
        matrix_reserve(&ws, c->x[1]);
    }
    if (linear_bias(c)) matrix_reserve(&ws, c->x[2]);
    workspace_floats(&ws, (size_t)(m * o)); /* y or dy */
    size_t scratch = gemm_scratch_any(g, m, o, i);
    if (backward) {
        scratch = max_size(gemm_scratch_any(g, m, i, o), gemm_scratch_any(g, o, i, m));
        if (linear_bias(c)) scratch = max_size(scratch, lode_column_sums_scratch(m, o));
    }
    return ws.used + scratch;
}

lode_status lode_linear_forward(const lode_gemm *g, const lode_op_call *c) {
    workspace ws = {c->workspace, 0};
    const lode_tensor *bias = linear_bias(c);
    bool unpack;
    matrix x = matrix_in(&ws, c->x[0]), w = matrix_in(&ws, c->x[1]);
    matrix y = matrix_out(&ws, c->y, &unpack);
    if (y.ld != y.cols) return c->op->reference.forward(c);
    if (bias) {
        const float *b = bias->data;
        if (!lode_is_packed(bias, LODE_CONTIGUOUS)) {
            float *copy = workspace_floats(&ws, (size_t)y.cols);
            lode_pack(bias, LODE_CONTIGUOUS, copy);
            b = copy;
        }
        lode_fill_rows(y.rows, y.cols, b, y.p);
    }
    LODE_TRY(matrix_multiply(g, x, false, w, true, bias ? 1.0f : 0.0f, y, ws.base + ws.used));
    if (unpack) lode_unpack(y.p, LODE_CONTIGUOUS, c->y);
    return LODE_OK;
}

lode_status lode_linear_backward(const lode_gemm *g, const lode_op_call *c, const lode_tensor *dy,
                                 lode_tensor *const *dx) {
    workspace ws = {c->workspace, 0};
    bool unpack_x = false, unpack_w = false;
    matrix d = matrix_in(&ws, dy), dxm = {NULL, 0, 0, 0, false}, dwm = dxm;
    lode_tensor *db = c->n_x > 2 ? dx[2] : NULL;
    if (db && (d.ld != d.cols || d.trans)) { /* sums want dense rows */
        d = (matrix){workspace_floats(&ws, lode_pack_count(dy)), d.rows, d.cols, d.cols, false};
        lode_pack(dy, LODE_CONTIGUOUS, d.p);
    }
    if (dx[0]) dxm = matrix_out(&ws, dx[0], &unpack_x);
    if (dx[1]) dwm = matrix_out(&ws, dx[1], &unpack_w);
    workspace rest = ws;
    matrix_reserve(&rest, c->x[0]);
    matrix_reserve(&rest, c->x[1]);
    if (rest.used > c->workspace_bytes || (db && !lode_is_packed(db, LODE_CONTIGUOUS)))
        return c->op->reference.backward(c, dy, dx);
    if (dx[0]) {
        matrix w = matrix_in(&ws, c->x[1]);
        LODE_TRY(matrix_multiply(g, d, false, w, false, 0.0f, dxm, ws.base + ws.used));
        if (unpack_x) lode_unpack(dxm.p, LODE_CONTIGUOUS, dx[0]);
    }
    if (dx[1]) {
        matrix x = matrix_in(&ws, c->x[0]);
        LODE_TRY(matrix_multiply(g, d, true, x, false, 0.0f, dwm, ws.base + ws.used));
        if (unpack_w) lode_unpack(dwm.p, LODE_CONTIGUOUS, dx[1]);
    }
    if (db) lode_column_sums(d.rows, d.cols, d.p, db->data, ws.base + ws.used);
    return LODE_OK;
}

/* ---- matmul [M,K] [K,N] and batch_matmul [B,M,K] [B,K,N]; a batch of 1 is shared by all ---- */

typedef struct batch {
    matrix first;
    int64_t count, step; /* floats from one matrix to the next; 0 when shared */
} batch;

static bool batch_direct(const lode_tensor *t, batch *out) {
    int r = t->shape.n_dims - 2;
    out->count = r == 1 ? t->shape.dim[0] : 1;
    out->step = out->count > 1 ? t->stride[0] : 0;
    bool ok = matrix_direct(t->shape.dim[r], t->shape.dim[r + 1], t->stride[r], t->stride[r + 1],
                            &out->first);
    out->first.p = t->data;
    return ok;
}

static void batch_reserve(workspace *ws, const lode_tensor *t) {
    batch b;
    if (!batch_direct(t, &b)) workspace_floats(ws, lode_pack_count(t));
}

static batch batch_dense(workspace *ws, const lode_tensor *t) {
    int r = t->shape.n_dims - 2;
    int64_t rows = t->shape.dim[r], cols = t->shape.dim[r + 1];
    batch b = {{NULL, rows, cols, cols, false}, r == 1 ? t->shape.dim[0] : 1, 0};
    b.first.p = workspace_floats(ws, lode_pack_count(t));
    if (b.count > 1) b.step = rows * cols;
    return b;
}

static batch batch_in(workspace *ws, const lode_tensor *t) {
    batch b;
    if (batch_direct(t, &b)) return b;
    b = batch_dense(ws, t);
    lode_pack(t, LODE_CONTIGUOUS, b.first.p);
    return b;
}

static batch batch_out(workspace *ws, lode_tensor *t, bool *unpack) {
    batch b;
    *unpack = !batch_direct(t, &b) || b.first.trans;
    return *unpack ? batch_dense(ws, t) : b;
}

static matrix batch_at(const batch *b, int64_t i) {
    matrix m = b->first;
    m.p += b->step * i;
    return m;
}

static lode_matmul_params matmul_flags(const lode_op_call *c) {
    lode_matmul_params none = {0, 0};
    return c->op->params_size ? *(const lode_matmul_params *)c->params : none; /* batch: none */
}

bool lode_matmul_fits(const lode_op_call *c) {
    int n = c->x[0]->shape.n_dims;
    return call_is_f32(c) && n == c->x[1]->shape.n_dims && (n == 2 || n == 3) &&
           lode_shape_count(&c->x[0]->shape) < INT_MAX &&
           lode_shape_count(&c->x[1]->shape) < INT_MAX;
}

size_t lode_matmul_workspace(const lode_gemm *g, const lode_op_call *c, bool backward) {
    lode_matmul_params p = matmul_flags(c);
    const lode_tensor *a = c->x[0], *b = c->x[1];
    int r = a->shape.n_dims - 2;
    int64_t m = a->shape.dim[r + (p.transpose_a != 0)], k = a->shape.dim[r + !p.transpose_a];
    int64_t n = b->shape.dim[r + !p.transpose_b];
    int64_t count = r == 0                              ? 1
                    : a->shape.dim[0] > b->shape.dim[0] ? a->shape.dim[0]
                                                        : b->shape.dim[0];
    workspace ws = {NULL, 0};
    for (int i = 0; i < 1 + backward; i++) {
        batch_reserve(&ws, a);
        batch_reserve(&ws, b);
    }
    workspace_floats(&ws, (size_t)(count * m * n)); /* y or dy */
    size_t scratch = gemm_scratch_any(g, m, n, k);
    if (backward)
        scratch = max_size(max_size(gemm_scratch_any(g, m, k, n), gemm_scratch_any(g, k, m, n)),
                           max_size(gemm_scratch_any(g, k, n, m), gemm_scratch_any(g, n, k, m)));
    return ws.used + scratch;
}

lode_status lode_matmul_forward(const lode_gemm *g, const lode_op_call *c) {
    lode_matmul_params p = matmul_flags(c);
    workspace ws = {c->workspace, 0};
    bool unpack;
    batch a = batch_in(&ws, c->x[0]), b = batch_in(&ws, c->x[1]), y = batch_out(&ws, c->y, &unpack);
    for (int64_t i = 0; i < y.count; i++)
        LODE_TRY(matrix_multiply(g, batch_at(&a, i), p.transpose_a, batch_at(&b, i), p.transpose_b,
                                 0.0f, batch_at(&y, i), ws.base + ws.used));
    if (unpack) lode_unpack(y.first.p, LODE_CONTIGUOUS, c->y);
    return LODE_OK;
}

/* out = sum or each of op(l) op(r) over the batch, into a tensor of the same or a shared batch. */
static lode_status batch_gradient(const lode_gemm *g, workspace ws, const batch *l, bool tl,
                                  const batch *r, bool tr, int64_t count, lode_tensor *out) {
    bool unpack;
    batch o = batch_out(&ws, out, &unpack);
    for (int64_t i = 0; i < count; i++)
        LODE_TRY(matrix_multiply(g, batch_at(l, i), tl, batch_at(r, i), tr,
                                 o.count == 1 && i > 0 ? 1.0f : 0.0f, batch_at(&o, i),
                                 ws.base + ws.used));
    if (unpack) lode_unpack(o.first.p, LODE_CONTIGUOUS, out);
    return LODE_OK;
}

lode_status lode_matmul_backward(const lode_gemm *g, const lode_op_call *c, const lode_tensor *dy,
                                 lode_tensor *const *dx) {
    lode_matmul_params p = matmul_flags(c);
    workspace ws = {c->workspace, 0}, need = ws;
    for (int i = 0; i < 2; i++) {
        batch_reserve(&need, c->x[i]);
        if (dx[i]) batch_reserve(&need, dx[i]);
    }
    batch_reserve(&need, dy);
    if (need.used > c->workspace_bytes) return c->op->reference.backward(c, dy, dx);
    batch d = batch_in(&ws, dy), a = batch_in(&ws, c->x[0]), b = batch_in(&ws, c->x[1]);
    bool ta = p.transpose_a, tb = p.transpose_b;
    if (dx[0] && !ta) LODE_TRY(batch_gradient(g, ws, &d, false, &b, !tb, d.count, dx[0]));
    if (dx[0] && ta) LODE_TRY(batch_gradient(g, ws, &b, tb, &d, true, d.count, dx[0]));
    if (dx[1] && !tb) LODE_TRY(batch_gradient(g, ws, &a, !ta, &d, false, d.count, dx[1]));
    if (dx[1] && tb) LODE_TRY(batch_gradient(g, ws, &d, true, &a, ta, d.count, dx[1]));
    return LODE_OK;
}
