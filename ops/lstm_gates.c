/* lstm_gates.c   what an LSTM's step does behind its two products.   Hochreiter & Schmidhuber 1997;
   with the forget gate of Gers et al. 2000.

   With z = zx + zh, zx = W_ih x + b_ih, zh = W_hh h + b_hh, in PyTorch's order of the gates,

       i = sigmoid(z_i)   f = sigmoid(z_f)   g = tanh(z_g)   o = sigmoid(z_o)
       c' = f c + i g     h' = o tanh(c')                       y = [h', c']

   and backward, with t = tanh(c'), dc' what comes in plus dh' o (1 - t^2):

       dz = (dc' g i(1-i),  dc' c f(1-f),  dc' i (1-g^2),  dh' t o(1-o)),   dc = dc' f

   The products stay calls of `linear`, whose kernels are the fast ones and whose weights are shared
   by all steps; this call saves what would otherwise be eleven of a few microseconds each. It is
   recomputed from aux = (i, f, g, o), c and c', so zx and zh can be freed. (methods G3) */
#include "ops/op_util.h"

#include <math.h>

enum { LSTM_ZX, LSTM_ZH, LSTM_C };

static lode_status lstm_gates_forward(const lode_op_call *c) {
    int64_t N = c->x[LSTM_C]->shape.dim[0], H = c->x[LSTM_C]->shape.dim[1];
    lode_ref r = {0};
    const double *zx = lode_ref_in(&r, c->x[LSTM_ZX]), *zh = lode_ref_in(&r, c->x[LSTM_ZH]);
    const double *before = lode_ref_in(&r, c->x[LSTM_C]);
    double *y = lode_ref_out(&r, c->y), *gates = lode_ref_out(&r, c->aux[0]);
    for (int64_t n = 0; lode_ref_ok(&r) && n < N; n++)
        for (int64_t j = 0; j < H; j++) {
            int64_t at = n * 4 * H + j;
            double i = lode_sigmoid_value(zx[at] + zh[at]);
            double f = lode_sigmoid_value(zx[at + H] + zh[at + H]);
            double g = tanh(zx[at + 2 * H] + zh[at + 2 * H]);
            double o = lode_sigmoid_value(zx[at + 3 * H] + zh[at + 3 * H]);
            double after = f * before[n * H + j] + i * g;
            y[n * 2 * H + j] = o * tanh(after);
            y[n * 2 * H + H + j] = after;
            if (gates == NULL) continue;
            gates[at] = i;
            gates[at + H] = f;
            gates[at + 2 * H] = g;
            gates[at + 3 * H] = o;
        }
    return lode_ref_end(&r);
}

static lode_status lstm_gates_backward(const lode_op_call *c, const lode_tensor *dy,
                                       lode_tensor *const *dx) {
    int64_t N = c->x[LSTM_C]->shape.dim[0], H = c->x[LSTM_C]->shape.dim[1];
    lode_ref r = {0};
    const double *before = lode_ref_in(&r, c->x[LSTM_C]), *y = lode_ref_in(&r, c->y);
    const double *gates = lode_ref_in(&r, c->aux[0]), *d = lode_ref_in(&r, dy);
    double *dz[2] = {lode_ref_out(&r, dx[LSTM_ZX]), lode_ref_out(&r, dx[LSTM_ZH])};
    double *dbefore = lode_ref_out(&r, dx[LSTM_C]);
    for (int64_t n = 0; lode_ref_ok(&r) && n < N; n++)
        for (int64_t j = 0; j < H; j++) {
            int64_t at = n * 4 * H + j;
            double i = gates[at], f = gates[at + H], g = gates[at + 2 * H], o = gates[at + 3 * H];
            double t = tanh(y[n * 2 * H + H + j]), dh = d[n * 2 * H + j];
            double dc = d[n * 2 * H + H + j] + dh * o * (1 - t * t);
            for (int k = 0; k < 2; k++) {
                if (dz[k] == NULL) continue;
                dz[k][at] = dc * g * i * (1 - i);
                dz[k][at + H] = dc * before[n * H + j] * f * (1 - f);
                dz[k][at + 2 * H] = dc * i * (1 - g * g);
                dz[k][at + 3 * H] = dh * t * o * (1 - o);
            }
            if (dbefore != NULL) dbefore[n * H + j] = dc * f;
        }
    return lode_ref_end(&r);
}

static lode_status lstm_gates_infer(const lode_op_call *c, lode_inferred *out) {
    static const char *const name[] = {"zx", "zh", "c"};
    for (int i = 0; i < 3; i++) {
        LODE_TRY(lode_check_float(c, i, name[i]));
        LODE_TRY(lode_check_dims(c, i, name[i], 2));
    }
    int64_t N = c->x[LSTM_C]->shape.dim[0], H = c->x[LSTM_C]->shape.dim[1];
    lode_shape z = LODE_SHAPE2(N, 4 * H);
    LODE_TRY(lode_check_shape(c, LSTM_ZX, "zx (4 gates of c [N,H])", &z));
    LODE_TRY(lode_check_shape(c, LSTM_ZH, "zh (4 gates of c [N,H])", &z));
    lode_infer_y(out, c->x[0]->dtype, &LODE_SHAPE2(N, 2 * H));
    if (c->train) lode_infer_aux(out, c->x[0]->dtype, &z);
    return LODE_OK;
}

/* Per unit: four sums, three sigmoids of 4, two tanh of 6, and 4 to put them together. */
static void lstm_gates_count(const lode_op_call *c, lode_op_count *out) {
    lode_count_copy(c, out);
    out->flops = 32.0 * (double)lode_tensor_count(c->x[LSTM_C]);
}

static lode_status lstm_gates_example(lode_op_example *e, lode_rng *rng, int k) {
    static const int64_t corner[][2] = {{1, 1}, {3, 5}, {2, 16}, {1, 33}, {7, 2}};
    const int n_corner = (int)(sizeof corner / sizeof *corner);
    int64_t N = lode_example_between(rng, 1, 6), H = lode_example_between(rng, 1, 40);
    if (k < n_corner) {
        N = corner[k][0];
        H = corner[k][1];
    }
    for (int i = 0; i < 3; i++)
        LODE_TRY(lode_example_any_layout(e, rng, LODE_SHAPE2(N, i == LSTM_C ? H : 4 * H), k + i));
    return LODE_OK;
}

const lode_op lode_op_lstm_gates = {
    .name = "lstm_gates",
    .n_inputs = 3,
    .n_required = 3,
    .keeps = LODE_KEEP_X(LSTM_C) | LODE_KEEP_Y,
    .infer = lstm_gates_infer,
    .reference = {.forward = lstm_gates_forward, .backward = lstm_gates_backward},
    .count = lstm_gates_count,
    .example = lstm_gates_example,
};

lode_var *lode_lstm_gates(lode_tape *t, lode_var *zx, lode_var *zh, lode_var *c) {
    return lode_apply(t, &lode_op_lstm_gates, (lode_var *[]){zx, zh, c}, 3, NULL);
}
