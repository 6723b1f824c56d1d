/* recurrent.c: LSTM and GRU layers out of `linear` and a call for the gates (lstm_gates.c,
   gru_gates.c).

   Steps come and go as an array of vars, not as one tensor: cutting steps out of a tensor would
   make a gradient as large as the whole sequence for each of them. */
#include "ops/ops.h"

/* The state before the first step: zeros [N, width]. */
static lode_var *recurrent_zeros(lode_tape *t, const lode_var *x, int64_t width) {
    lode_tensor *zeros = NULL;
    lode_var *state = NULL;
    lode_status status =
        lode_tensor_zeros(x->value->device, x->value->dtype,
                          &LODE_SHAPE2(x->value->shape.dim[0], width), LODE_CONTIGUOUS, &zeros);
    if (status == LODE_OK)
        state = lode_tape_constant(t, zeros);
    else
        lode_tape_fail(t, status);
    lode_tensor_release(zeros);
    return state;
}

/* H, or -1 with a message when the weights are not those of `gates` gates. */
static int64_t recurrent_units(lode_tape *t, const char *layer, const lode_recurrent *w,
                               int gates) {
    if (!w->w_ih || !w->w_hh) return -1; /* an earlier failure */
    const lode_shape *ih = &w->w_ih->value->shape, *hh = &w->w_hh->value->shape;
    char a[128], b[128];
    if (ih->n_dims == 2 && hh->n_dims == 2 && hh->dim[0] == gates * hh->dim[1] &&
        ih->dim[0] == hh->dim[0])
        return hh->dim[1];
    lode_tape_fail(t, LODE_FAIL(LODE_ERR_SHAPE,
                                "%s: w_ih is %s and w_hh %s, wanted [%dH,D] and [%dH,H]", layer,
                                lode_shape_print(ih, a), lode_shape_print(hh, b), gates, gates));
    return -1;
}

static lode_var *recurrent_x(lode_tape *t, lode_var *x, const lode_recurrent *w) {
    return lode_linear(t, x, w->w_ih, w->b_ih);
}

lode_var *lode_lstm(lode_tape *t, lode_var *const *x, int n, lode_var *state,
                    const lode_recurrent *w, lode_var **h) {
    int64_t H = recurrent_units(t, "lstm", w, 4);
    if (H < 0 || n < 1 || !x[0]) return NULL;
    if (!state) state = recurrent_zeros(t, x[0], 2 * H);
    for (int i = 0; i < n; i++) {
        lode_var *before = lode_slice(t, state, 1, 0, H, 1);
        lode_var *c = lode_slice(t, state, 1, H, 2 * H, 1);
        state = lode_lstm_gates(t, recurrent_x(t, x[i], w),
                                lode_linear(t, before, w->w_hh, w->b_hh), c);
        if (h) h[i] = lode_slice(t, state, 1, 0, H, 1);
    }
    return state;
}

lode_var *lode_gru(lode_tape *t, lode_var *const *x, int n, lode_var *state,
                   const lode_recurrent *w, lode_var **h) {
    int64_t H = recurrent_units(t, "gru", w, 3);
    if (H < 0 || n < 1 || !x[0]) return NULL;
    if (!state) state = recurrent_zeros(t, x[0], H);
    for (int i = 0; i < n; i++) {
        state = lode_gru_gates(t, recurrent_x(t, x[i], w), lode_linear(t, state, w->w_hh, w->b_hh),
                               state);
        if (h) h[i] = state;
    }
    return state;
}
