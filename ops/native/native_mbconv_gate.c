/* Squeeze-and-excite within mbconv: gate = hsigmoid(widen relu(reduce mean(a2))), [N,M].

   The products are small, but not nothing beside a block of small images: a piece's images go
   through them at once, by the packed product that other kernels use. Weight gradients are products
   over all images when all are done. */
#include "core/parallel.h"
#include "ops/native/native_mbconv.h"

enum { GATE_ROWS = 24 /* of a weight gradient that a piece takes */ };

/* Floats of a packed [k, n]. */
static size_t gate_packed(const mb_job *j, int64_t k, int64_t n) {
    int64_t panel = j->simd->gemm_panel();
    return (size_t)(k * ((n + panel - 1) / panel * panel));
}

void mb_take_gates(mb_job *j, workspace *ws, bool backward) {
    const mbconv_dims *d = &j->d;
    if (d->R == 0) return;
    size_t reduce = gate_packed(j, d->M, d->R), widen = gate_packed(j, d->R, d->M);
    j->packed_reduce = workspace_floats(ws, backward ? widen : reduce);
    j->packed_widen = workspace_floats(ws, backward ? reduce : widen);
    if (!backward) return;
    int64_t sums = lode_get_threads() * j->images * SIMD_MB_GATE_SUMS * j->wide;
    j->d_gate = workspace_floats(ws, (size_t)(d->N * j->wide));
    j->spread = workspace_floats(ws, (size_t)(d->N * j->wide));
    j->d_reduced = workspace_floats(ws, (size_t)(d->N * d->R));
    j->packed_gates = workspace_floats(ws, gate_packed(j, d->N, d->M > d->R ? d->M : d->R));
    j->gate_sums = workspace_take(ws, (size_t)sums * sizeof(double));
}

static lode_tensor *gate_input(const mb_job *j, int what) { return j->c->x[MBCONV_SE + what]; }
static float gate_bias(const mb_job *j, int what, int64_t i) {
    const lode_tensor *t = gate_input(j, what);
    return t != NULL ? ((const float *)t->data)[i * t->stride[0]] : 0;
}

/* Forward: reduce^T [M,R] and widen^T [R,M]; backward: reduce [R,M] and widen [M,R]. */
void mb_pack_gates(mb_job *j, bool backward) {
    int64_t M = j->d.M, R = j->d.R;
    if (R == 0) return;
    const float *reduce = gate_input(j, MBCONV_REDUCE)->data;
    const float *widen = gate_input(j, MBCONV_WIDEN)->data;
    if (backward) {
        j->simd->gemm_pack(R, M, reduce, M, 1, j->packed_reduce, 0, R);
        j->simd->gemm_pack(M, R, widen, R, 1, j->packed_widen, 0, M);
    } else {
        j->simd->gemm_pack(M, R, reduce, 1, M, j->packed_reduce, 0, M);
        j->simd->gemm_pack(R, M, widen, 1, R, j->packed_widen, 0, R);
    }
}

const float *mb_gate(const mb_job *j, int64_t image) {
    return j->d.R > 0 ? j->gates + image * j->row.size + j->row.gate : NULL;
}
double *mb_gate_sums(const mb_job *j, int64_t k) {
    return j->gate_sums + (lode_parallel_thread() * j->images + k) * SIMD_MB_GATE_SUMS * j->wide;
}

void mb_make_gates(const mb_job *j, int64_t begin, int64_t end) {
    int64_t M = j->d.M, R = j->d.R, n = end - begin, size = j->row.size;
    int64_t Q = j->d.OH * j->d.OW, padded = j->row.gate - j->row.pooled;
    if (R == 0) return;
    float *rows = j->gates + begin * size;
    for (int64_t i = 0; i < n; i++) {
        float *pooled = rows + i * size + j->row.pooled;
        j->simd->mb_pool(&j->m, &j->w, j->z2 + (begin + i) * j->wide * Q, pooled);
        for (int64_t k = M; k < padded; k++) pooled[k] = 0;
    }
    j->simd->gemm(n, R, M, rows + j->row.pooled, size, 1, j->packed_reduce, M,
                  rows + j->row.reduced, size, false);
    for (int64_t i = 0; i < n; i++)
        for (int64_t r = 0; r < R; r++) {
            float *at = rows + i * size + j->row.reduced + r;
            float u = *at + gate_bias(j, MBCONV_REDUCE_BIAS, r);
            *at = u < 0 ? 0 : u;
        }
    j->simd->gemm(n, M, R, rows + j->row.reduced, size, 1, j->packed_widen, R, rows + j->row.gate,
                  size, false);
    for (int64_t i = 0; i < n; i++) {
        float *gate = rows + i * size + j->row.gate;
        for (int64_t k = 0; k < M; k++) {
            float u = gate[k] + gate_bias(j, MBCONV_WIDEN_BIAS, k) + 3;
            gate[k] = (u < 0 ? 0 : u > 6 ? 6 : u) * (1.0f / 6);
        }
        for (int64_t k = M; k < padded; k++) gate[k] = 0;
    }
}

/* ---- backward ---- */

void mb_gates_backward(const mb_job *j, int64_t begin, int64_t end, double *sum, double *sum_z) {
    int64_t M = j->d.M, R = j->d.R, n = end - begin, wide = j->wide;
    float pixels = (float)(j->d.OH * j->d.OW);
    if (R == 0) return;
    float *d_gate = j->d_gate + begin * wide, *spread = j->spread + begin * wide;
    float *d_reduced = j->d_reduced + begin * R;
    for (int64_t i = 0; i < n; i++) {
        const float *gate = mb_gate(j, begin + i);
        const double *da_a = mb_gate_sums(j, i);
        for (int64_t k = 0; k < wide; k++)
            d_gate[i * wide + k] = gate[k] > 0 && gate[k] < 1 ? (float)(da_a[k] / 6) : 0;
    }
    j->simd->gemm(n, R, M, d_gate, wide, 1, j->packed_widen, M, d_reduced, R, false);
    for (int64_t i = 0; i < n; i++) {
        const float *reduced = j->gates + (begin + i) * j->row.size + j->row.reduced;
        for (int64_t r = 0; r < R; r++)
            if (!(reduced[r] > 0)) d_reduced[i * R + r] = 0;
    }
    j->simd->gemm(n, M, R, d_reduced, R, 1, j->packed_reduce, R, spread, wide, false);
    for (int64_t i = 0; i < n; i++, spread += wide) {
        const float *gate = mb_gate(j, begin + i);
        const double *of = mb_gate_sums(j, i);
        for (int64_t k = 0; k < wide; k++) {
            spread[k] = k < M ? spread[k] / pixels : 0;
            double g = (double)gate[k], s = (double)spread[k];
            sum[k] += g * of[wide + k] + s * of[3 * wide + k];
            sum_z[k] += g * of[2 * wide + k] + s * of[4 * wide + k];
        }
    }
}

/* The gradient of a weight: [rows, n] = left^T right over images. */
typedef struct gate_product {
    const mb_job *j;
    const float *left; /* [N, rows], `stride` apart */
    int64_t stride, n;
    float *out;
} gate_product;

static void gate_product_piece(void *ctx, int64_t piece, int64_t begin, int64_t end) {
    const gate_product *p = ctx;
    const mb_job *j = p->j;
    (void)piece;
    j->simd->gemm(end - begin, p->n, j->d.N, p->left + begin, 1, p->stride, j->packed_gates, j->d.N,
                  p->out + begin * p->n, p->n, false);
}

static void gate_weight(mb_job *j, int what, int64_t rows, const float *left, int64_t stride,
                        int64_t n, const float *right) {
    lode_tensor *w = j->grad[MBCONV_SE + what], *bias = j->grad[MBCONV_SE + what + 1];
    if (w != NULL) {
        gate_product p = {j, left, stride, n, w->data};
        j->simd->gemm_pack(j->d.N, n, right, j->row.size, 1, j->packed_gates, 0, j->d.N);
        lode_parallel_for(rows, GATE_ROWS, gate_product_piece, &p);
    }
    for (int64_t i = 0; bias != NULL && i < rows; i++) {
        double sum = 0;
        for (int64_t image = 0; image < j->d.N; image++) sum += (double)left[image * stride + i];
        mb_put(bias, i, sum);
    }
}

void mb_gate_weights(mb_job *j) {
    int64_t M = j->d.M, R = j->d.R;
    if (R == 0) return;
    gate_weight(j, MBCONV_WIDEN, M, j->d_gate, j->wide, R, j->gates + j->row.reduced);
    gate_weight(j, MBCONV_REDUCE, R, j->d_reduced, R, M, j->gates + j->row.pooled);
}
