/* gru_gates.c   what a GRU's step does behind its two products.   Cho et al. 2014, in the variant
   that resets after the product, as vendor libraries and PyTorch have it.

   With zx = W_ih x + b_ih, zh = W_hh h + b_hh, in PyTorch's order of the gates,

       r = sigmoid(zx_r + zh_r)   u = sigmoid(zx_u + zh_u)   n = tanh(zx_n + r zh_n)
       y = h' = (1 - u) n + u h

   (PyTorch calls u "z"), and backward

       dn = dy (1-u) (1-n^2)      dr = dn zh_n r(1-r)        du = dy (h-n) u(1-u)
       dzx = (dr, du, dn)         dzh = (dr, du, dn r)       dh = dy u

   aux = (r, u, n). The products stay calls of `linear`, as in lstm_gates.c. (methods G3, variant B)
 */
#include "ops/op_util.h"

#include <math.h>

enum { GRU_ZX, GRU_ZH, GRU_H };

static lode_status gru_gates_forward(const lode_op_call *c) {
    int64_t N = c->x[GRU_H]->shape.dim[0], H = c->x[GRU_H]->shape.dim[1];
    lode_ref ref = {0};
    const double *zx = lode_ref_in(&ref, c->x[GRU_ZX]), *zh = lode_ref_in(&ref, c->x[GRU_ZH]);
    const double *h = lode_ref_in(&ref, c->x[GRU_H]);
    double *y = lode_ref_out(&ref, c->y), *gates = lode_ref_out(&ref, c->aux[0]);
    for (int64_t row = 0; lode_ref_ok(&ref) && row < N; row++)
        for (int64_t j = 0; j < H; j++) {
            int64_t at = row * 3 * H + j;
            double r = lode_sigmoid_value(zx[at] + zh[at]);
            double u = lode_sigmoid_value(zx[at + H] + zh[at + H]);
            double n = tanh(zx[at + 2 * H] + r * zh[at + 2 * H]);
            y[row * H + j] = (1 - u) * n + u * h[row * H + j];
            if (gates == NULL) continue;
            gates[at] = r;
            gates[at + H] = u;
            gates[at + 2 * H] = n;
        }
    return lode_ref_end(&ref);
}

static lode_status gru_gates_backward(const lode_op_call *c, const lode_tensor *dy,
                                      lode_tensor *const *dx) {
    int64_t N = c->x[GRU_H]->shape.dim[0], H = c->x[GRU_H]->shape.dim[1];
    lode_ref ref = {0};
    const double *zh = lode_ref_in(&ref, c->x[GRU_ZH]), *h = lode_ref_in(&ref, c->x[GRU_H]);
    const double *gates = lode_ref_in(&ref, c->aux[0]), *d = lode_ref_in(&ref, dy);
    double *dzx = lode_ref_out(&ref, dx[GRU_ZX]), *dzh = lode_ref_out(&ref, dx[GRU_ZH]);
    double *dh = lode_ref_out(&ref, dx[GRU_H]);
    for (int64_t row = 0; lode_ref_ok(&ref) && row < N; row++)
        for (int64_t j = 0; j < H; j++) {
            int64_t at = row * 3 * H + j, one = row * H + j;
            double r = gates[at], u = gates[at + H], n = gates[at + 2 * H];
            double dn = d[one] * (1 - u) * (1 - n * n);
            double dr = dn * zh[at + 2 * H] * r * (1 - r), du = d[one] * (h[one] - n) * u * (1 - u);
            if (dzx != NULL) {
                dzx[at] = dr;
                dzx[at + H] = du;
                dzx[at + 2 * H] = dn;
            }
            if (dzh != NULL) {
                dzh[at] = dr;
                dzh[at + H] = du;
                dzh[at + 2 * H] = dn * r;
            }
            if (dh != NULL) dh[one] = d[one] * u;
        }
    return lode_ref_end(&ref);
}

static lode_status gru_gates_infer(const lode_op_call *c, lode_inferred *out) {
    static const char *const name[] = {"zx", "zh", "h"};
    for (int i = 0; i < 3; i++) {
        LODE_TRY(lode_check_float(c, i, name[i]));
        LODE_TRY(lode_check_dims(c, i, name[i], 2));
    }
    int64_t N = c->x[GRU_H]->shape.dim[0], H = c->x[GRU_H]->shape.dim[1];
    lode_shape z = LODE_SHAPE2(N, 3 * H);
    LODE_TRY(lode_check_shape(c, GRU_ZX, "zx (3 gates of h [N,H])", &z));
    LODE_TRY(lode_check_shape(c, GRU_ZH, "zh (3 gates of h [N,H])", &z));
    lode_infer_y(out, c->x[0]->dtype, &LODE_SHAPE2(N, H));
    if (c->train) lode_infer_aux(out, c->x[0]->dtype, &z);
    return LODE_OK;
}

/* Per unit: three sums and a product, two sigmoids of 4, a tanh of 6, and 4 to put them together.
 */
static void gru_gates_count(const lode_op_call *c, lode_op_count *out) {
    lode_count_copy(c, out);
    out->flops = 22.0 * (double)lode_tensor_count(c->y);
}

static lode_status gru_gates_example(lode_op_example *e, lode_rng *rng, int k) {
    static const int64_t corner[][2] = {{1, 1}, {3, 5}, {2, 16}, {1, 33}, {7, 2}};
    const int n_corner = (int)(sizeof corner / sizeof *corner);
    int64_t N = lode_example_between(rng, 1, 6), H = lode_example_between(rng, 1, 40);
    if (k < n_corner) {
        N = corner[k][0];
        H = corner[k][1];
    }
    for (int i = 0; i < 3; i++)
        LODE_TRY(lode_example_any_layout(e, rng, LODE_SHAPE2(N, i == GRU_H ? H : 3 * H), k + i));
    return LODE_OK;
}

const lode_op lode_op_gru_gates = {
    .name = "gru_gates",
    .n_inputs = 3,
    .n_required = 3,
    .keeps = LODE_KEEP_X(GRU_ZH) | LODE_KEEP_X(GRU_H),
    .infer = gru_gates_infer,
    .reference = {.forward = gru_gates_forward, .backward = gru_gates_backward},
    .count = gru_gates_count,
    .example = gru_gates_example,
};

lode_var *lode_gru_gates(lode_tape *t, lode_var *zx, lode_var *zh, lode_var *h) {
    return lode_apply(t, &lode_op_gru_gates, (lode_var *[]){zx, zh, h}, 3, NULL);
}
