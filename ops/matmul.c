/* matmul.c   linear, matmul, batch_matmul: three faces of C += A B.

   M rows, N columns, K the summed dim. Every product here, forward and backward, is one call of
   matmul_add on operands given by strides, so a transposed operand costs nothing:

       Y = A B      dA = dY B^T      dB = A^T dY

   linear is Y = X W^T + b with W [O,I]: dX = dY W, dW = dY^T X, db = column sums of dY. In a batch
   an operand of batch 1 is shared by all products, so its gradient is the sum of theirs. */
#include "ops/example_internal.h"
#include "ops/op_util.h"

#include <math.h>
#include <stdio.h>

/* A matrix inside a flat array; element (i,j) is v[i*row + j*col]. */
typedef struct matmul_operand {
    const double *v;
    int64_t row, col;
} matmul_operand;

static matmul_operand matmul_plain(const double *v, int64_t n_cols) {
    return (matmul_operand){v, n_cols, 1};
}

static matmul_operand matmul_transposed(const double *v, int64_t n_cols) {
    return (matmul_operand){v, 1, n_cols};
}

static matmul_operand matmul_flagged(const double *v, int64_t n_cols, int32_t transposed) {
    return transposed ? matmul_transposed(v, n_cols) : matmul_plain(v, n_cols);
}

/* c [M,N] += a [M,K] b [K,N]. The inner loop runs along b's rows or columns, whichever is dense. */
static void matmul_add(int64_t M, int64_t N, int64_t K, matmul_operand a, matmul_operand b,
                       double *c) {
    for (int64_t i = 0; i < M; i++) {
        const double *ai = a.v + i * a.row;
        double *ci = c + i * N;
        if (b.col == 1) {
            for (int64_t k = 0; k < K; k++)
                for (int64_t j = 0; j < N; j++) ci[j] += ai[k * a.col] * b.v[k * b.row + j];
        } else {
            for (int64_t j = 0; j < N; j++) {
                double sum = 0;
                for (int64_t k = 0; k < K; k++) sum += ai[k * a.col] * b.v[j * b.col + k * b.row];
                ci[j] += sum;
            }
        }
    }
}

static void matmul_count_product(const lode_op_call *c, int64_t K, bool bias, lode_op_count *out) {
    double n_out = (double)lode_tensor_count(c->y);
    lode_count_copy(c, out);
    out->macs = n_out * (double)K;
    out->flops = 2 * out->macs + (bias ? n_out : 0);
}

/* ---- linear: x [...,I], w [O,I], b [O] ---- */

static int64_t linear_rows(const lode_op_call *c) {
    int64_t rows = 1;
    for (int i = 0; i < c->x[0]->shape.n_dims - 1; i++) rows *= c->x[0]->shape.dim[i];
    return rows;
}

static lode_status linear_forward(const lode_op_call *c) {
    lode_ref r = {0};
    int64_t M = linear_rows(c), O = c->x[1]->shape.dim[0], I = c->x[1]->shape.dim[1];
    const double *x = lode_ref_in(&r, c->x[0]), *w = lode_ref_in(&r, c->x[1]);
    const double *b = lode_ref_in(&r, c->n_x > 2 ? c->x[2] : NULL);
    double *y = lode_ref_out(&r, c->y);
    if (lode_ref_ok(&r)) {
        for (int64_t i = 0; b != NULL && i < M * O; i++) y[i] = b[i % O];
        matmul_add(M, O, I, matmul_plain(x, I), matmul_transposed(w, I), y);
    }
    return lode_ref_end(&r);
}

static lode_status linear_backward(const lode_op_call *c, const lode_tensor *dy,
                                   lode_tensor *const *dx) {
    lode_ref r = {0};
    int64_t M = linear_rows(c), O = c->x[1]->shape.dim[0], I = c->x[1]->shape.dim[1];
    const double *g = lode_ref_in(&r, dy);
    const double *w = dx[0] != NULL ? lode_ref_in(&r, c->x[1]) : NULL;
    const double *x = dx[1] != NULL ? lode_ref_in(&r, c->x[0]) : NULL;
    double *gx = lode_ref_out(&r, dx[0]), *gw = lode_ref_out(&r, dx[1]);
    double *gb = lode_ref_out(&r, c->n_x > 2 ? dx[2] : NULL);
    if (lode_ref_ok(&r)) {
        if (gx != NULL) matmul_add(M, I, O, matmul_plain(g, O), matmul_plain(w, I), gx);
        if (gw != NULL) matmul_add(O, I, M, matmul_transposed(g, O), matmul_plain(x, I), gw);
        for (int64_t i = 0; gb != NULL && i < M * O; i++) gb[i % O] += g[i];
    }
    return lode_ref_end(&r);
}

static lode_status linear_infer(const lode_op_call *c, lode_inferred *out) {
    static const char *const input[] = {"x", "w", "b"};
    for (int i = 0; i < 3; i++) LODE_TRY(lode_check_float(c, i, input[i]));
    const lode_shape *x = &c->x[0]->shape, *w = &c->x[1]->shape;
    LODE_TRY(lode_check_dims(c, 1, "w", 2));
    if (x->n_dims < 1 || x->dim[x->n_dims - 1] != w->dim[1]) {
        char sx[128], sw[128];
        return LODE_FAIL(LODE_ERR_SHAPE,
                         "linear: the last dim of x %s must be w's second, but w is %s",
                         lode_shape_print(x, sx), lode_shape_print(w, sw));
    }
    LODE_TRY(lode_check_shape(c, 2, "b", &LODE_SHAPE1(w->dim[0])));
    lode_shape y = *x;
    y.dim[y.n_dims - 1] = w->dim[0];
    lode_infer_y(out, c->x[0]->dtype, &y);
    return LODE_OK;
}

static void linear_count(const lode_op_call *c, lode_op_count *out) {
    matmul_count_product(c, c->x[1]->shape.dim[1], c->n_x > 2 && c->x[2] != NULL, out);
}

static lode_status linear_example(lode_op_example *e, lode_rng *rng, int k) {
    static const struct {
        lode_shape x;
        int O, bias;
    } corner[] = {
        {{2, {3, 5}}, 4, 1},    {{2, {1, 7}}, 3, 0},    {{2, {4, 1}}, 1, 1},       {{1, {6}}, 5, 1},
        {{3, {2, 3, 4}}, 6, 0}, {{2, {17, 33}}, 10, 1}, {{4, {2, 2, 3, 5}}, 2, 1},
    };
    lode_shape x = LODE_SHAPE2(lode_example_between(rng, 1, 9), lode_example_between(rng, 1, 40));
    int64_t O = lode_example_between(rng, 1, 20);
    bool bias = lode_rng_below(rng, 2) == 0;
    if (k < (int)(sizeof corner / sizeof *corner)) {
        x = corner[k].x;
        O = corner[k].O;
        bias = corner[k].bias;
    }
    int64_t I = x.dim[x.n_dims - 1];
    LODE_TRY(lode_example_any_layout(e, rng, x, k));
    LODE_TRY(lode_example_weight(e, rng, LODE_SHAPE2(O, I), 1 / sqrt((double)I)));
    return bias ? lode_example_weight(e, rng, LODE_SHAPE1(O), 1) : lode_example_absent(e);
}

const lode_op lode_op_linear = {
    .name = "linear",
    .n_inputs = 3,
    .n_required = 2,
    .keeps = LODE_KEEP_X(0) | LODE_KEEP_X(1),
    .infer = linear_infer,
    .reference = {.forward = linear_forward, .backward = linear_backward},
    .count = linear_count,
    .example = linear_example,
};

lode_var *lode_linear(lode_tape *t, lode_var *x, lode_var *w, lode_var *b) {
    return lode_apply(t, &lode_op_linear, (lode_var *[]){x, w, b}, 3, NULL);
}

/* ---- matmul and batch_matmul: the same with a batch of one ---- */

typedef struct matmul_dims {
    int64_t B, M, N, K; /* B products [M,K] [K,N] */
    bool a_shared, b_shared;
    int32_t ta, tb;
} matmul_dims;

static matmul_dims matmul_dims_of(const lode_op_call *c) {
    const lode_matmul_params *p = c->params;
    const lode_shape *a = &c->x[0]->shape, *b = &c->x[1]->shape;
    int at = a->n_dims - 2; /* where the matrix dims begin */
    matmul_dims d = {.B = 1, .ta = p->transpose_a, .tb = p->transpose_b};
    d.M = a->dim[at + (d.ta ? 1 : 0)];
    d.K = a->dim[at + (d.ta ? 0 : 1)];
    d.N = b->dim[at + (d.tb ? 0 : 1)];
    if (at == 1) {
        d.B = a->dim[0] > b->dim[0] ? a->dim[0] : b->dim[0];
        if (a->dim[0] == 0 || b->dim[0] == 0) d.B = 0;
        d.a_shared = a->dim[0] == 1;
        d.b_shared = b->dim[0] == 1;
    }
    return d;
}

static lode_status matmul_forward(const lode_op_call *c) {
    lode_ref r = {0};
    matmul_dims d = matmul_dims_of(c);
    const double *a = lode_ref_in(&r, c->x[0]), *b = lode_ref_in(&r, c->x[1]);
    double *y = lode_ref_out(&r, c->y);
    for (int64_t i = 0; lode_ref_ok(&r) && i < d.B; i++)
        matmul_add(d.M, d.N, d.K,
                   matmul_flagged(a + (d.a_shared ? 0 : i * d.M * d.K), d.ta ? d.M : d.K, d.ta),
                   matmul_flagged(b + (d.b_shared ? 0 : i * d.K * d.N), d.tb ? d.K : d.N, d.tb),
                   y + i * d.M * d.N);
    return lode_ref_end(&r);
}

/* The gradient of a stored-transposed operand is the transposed product: dA^T = B dY^T. */
static void matmul_backward_one(const matmul_dims *d, const double *a, const double *b,
                                const double *dy, double *da, double *db) {
    matmul_operand g = matmul_plain(dy, d->N), gt = matmul_transposed(dy, d->N);
    if (da != NULL) {
        matmul_operand bk = matmul_flagged(b, d->tb ? d->K : d->N, d->tb);
        matmul_operand bt = {b, bk.col, bk.row};
        if (d->ta)
            matmul_add(d->K, d->M, d->N, bk, gt, da);
        else
            matmul_add(d->M, d->K, d->N, g, bt, da);
    }
    if (db != NULL) {
        matmul_operand ak = matmul_flagged(a, d->ta ? d->M : d->K, d->ta);
        matmul_operand at = {a, ak.col, ak.row};
        if (d->tb)
            matmul_add(d->N, d->K, d->M, gt, ak, db);
        else
            matmul_add(d->K, d->N, d->M, at, g, db);
    }
}

static lode_status matmul_backward(const lode_op_call *c, const lode_tensor *dy,
                                   lode_tensor *const *dx) {
    lode_ref r = {0};
    matmul_dims d = matmul_dims_of(c);
    const double *g = lode_ref_in(&r, dy);
    const double *a = dx[1] != NULL ? lode_ref_in(&r, c->x[0]) : NULL;
    const double *b = dx[0] != NULL ? lode_ref_in(&r, c->x[1]) : NULL;
    double *da = lode_ref_out(&r, dx[0]), *db = lode_ref_out(&r, dx[1]);
    for (int64_t i = 0; lode_ref_ok(&r) && i < d.B; i++) {
        int64_t at = d.a_shared ? 0 : i * d.M * d.K, bt = d.b_shared ? 0 : i * d.K * d.N;
        matmul_backward_one(&d, a != NULL ? a + at : NULL, b != NULL ? b + bt : NULL,
                            g + i * d.M * d.N, da != NULL ? da + at : NULL,
                            db != NULL ? db + bt : NULL);
    }
    return lode_ref_end(&r);
}

/* Both operators; n_dims 2 or 3. */
static lode_status matmul_infer_dims(const lode_op_call *c, int n_dims, lode_inferred *out) {
    LODE_TRY(lode_check_float(c, 0, "a"));
    LODE_TRY(lode_check_float(c, 1, "b"));
    LODE_TRY(lode_check_dims(c, 0, "a", n_dims));
    LODE_TRY(lode_check_dims(c, 1, "b", n_dims));
    const lode_shape *a = &c->x[0]->shape, *b = &c->x[1]->shape;
    matmul_dims d = matmul_dims_of(c);
    char sa[128], sb[128];
    if (b->dim[n_dims - 2 + (d.tb ? 1 : 0)] != d.K)
        return LODE_FAIL(LODE_ERR_SHAPE, "%s: inner dims differ: a %s%s, b %s%s", c->op->name,
                         lode_shape_print(a, sa), d.ta ? " transposed" : "",
                         lode_shape_print(b, sb), d.tb ? " transposed" : "");
    if (n_dims == 3 && a->dim[0] != b->dim[0] && !d.a_shared && !d.b_shared)
        return LODE_FAIL(LODE_ERR_SHAPE, "%s: batches differ and none is 1: a %s, b %s",
                         c->op->name, lode_shape_print(a, sa), lode_shape_print(b, sb));
    lode_shape y = n_dims == 2 ? LODE_SHAPE2(d.M, d.N) : LODE_SHAPE3(d.B, d.M, d.N);
    lode_infer_y(out, c->x[0]->dtype, &y);
    return LODE_OK;
}

static lode_status matmul_infer(const lode_op_call *c, lode_inferred *out) {
    return matmul_infer_dims(c, 2, out);
}

static lode_status batch_matmul_infer(const lode_op_call *c, lode_inferred *out) {
    return matmul_infer_dims(c, 3, out);
}

static void matmul_count(const lode_op_call *c, lode_op_count *out) {
    matmul_count_product(c, matmul_dims_of(c).K, false, out);
}

static void matmul_print(const void *params, char out[96]) {
    const lode_matmul_params *p = params;
    snprintf(out, 96, "%c%c", p->transpose_a ? 't' : 'n', p->transpose_b ? 't' : 'n');
}

/* k = 0..3: each combination of transposes; batch_matmul also shares a or b now and then. */
static lode_status matmul_example_dims(lode_op_example *e, lode_rng *rng, int k, int n_dims) {
    lode_matmul_params p = {k & 1, k >> 1 & 1};
    int64_t most = k < 8 ? 5 : 20, B = lode_example_between(rng, 1, 3);
    int64_t M = lode_example_between(rng, 1, most), N = lode_example_between(rng, 1, most);
    int64_t K = lode_example_between(rng, 1, most);
    int64_t share = k < 4 ? 0 : lode_rng_below(rng, 3);
    lode_shape a = LODE_SHAPE3(share == 1 ? 1 : B, p.transpose_a ? K : M, p.transpose_a ? M : K);
    lode_shape b = LODE_SHAPE3(share == 2 ? 1 : B, p.transpose_b ? N : K, p.transpose_b ? K : N);
    if (n_dims == 2) {
        a = LODE_SHAPE2(a.dim[1], a.dim[2]);
        b = LODE_SHAPE2(b.dim[1], b.dim[2]);
    }
    LODE_TRY(lode_example_any_layout(e, rng, a, k));
    LODE_TRY(lode_example_any_layout(e, rng, b, k + 1));
    lode_example_set_params(e, &p, sizeof p);
    return LODE_OK;
}

static lode_status matmul_example(lode_op_example *e, lode_rng *rng, int k) {
    return matmul_example_dims(e, rng, k, 2);
}

static lode_status batch_matmul_example(lode_op_example *e, lode_rng *rng, int k) {
    return matmul_example_dims(e, rng, k, 3);
}

const lode_op lode_op_matmul = {
    .name = "matmul",
    .n_inputs = 2,
    .n_required = 2,
    .params_size = sizeof(lode_matmul_params),
    .keeps = LODE_KEEP_X(0) | LODE_KEEP_X(1),
    .infer = matmul_infer,
    .reference = {.forward = matmul_forward, .backward = matmul_backward},
    .count = matmul_count,
    .example = matmul_example,
    .print_params = matmul_print,
};

const lode_op lode_op_batch_matmul = {
    .name = "batch_matmul",
    .n_inputs = 2,
    .n_required = 2,
    .params_size = sizeof(lode_matmul_params),
    .keeps = LODE_KEEP_X(0) | LODE_KEEP_X(1),
    .infer = batch_matmul_infer,
    .reference = {.forward = matmul_forward, .backward = matmul_backward},
    .count = matmul_count,
    .example = batch_matmul_example,
    .print_params = matmul_print,
};

lode_var *lode_matmul(lode_tape *t, lode_var *a, lode_var *b, lode_matmul_params p) {
    return lode_apply(t, &lode_op_matmul, (lode_var *[]){a, b}, 2, &p);
}

lode_var *lode_batch_matmul(lode_tape *t, lode_var *a, lode_var *b, lode_matmul_params p) {
    return lode_apply(t, &lode_op_batch_matmul, (lode_var *[]){a, b}, 2, &p);
}
