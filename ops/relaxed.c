/* relaxed.c: see relaxed.h. */
#include "ops/relaxed.h"

#include "ops/ops.h"

#include <math.h>

/* hard + (soft - sg(soft)): the bracket is exactly 0 and carries soft's gradient. The textbook's
   (hard - sg(soft)) + soft would leave rounding in the zeros of a one-hot. */
lode_var *lode_straight_through(lode_tape *t, lode_var *hard, lode_var *soft) {
    lode_var *nothing = lode_sub(t, soft, lode_detach(t, soft));
    return lode_add(t, lode_detach(t, hard), nothing);
}

lode_var *lode_indicator(lode_tape *t, lode_var *x) {
    return lode_straight_through(t, lode_step_at_zero(t, x), lode_sigmoid(t, x));
}

static lode_status relaxed_check(const lode_var *logits, double tau, int64_t n_samples) {
    const lode_shape *s = &logits->value->shape;
    char text[128];
    if (s->n_dims != 1 || s->dim[0] < 1)
        return LODE_FAIL(LODE_ERR_SHAPE, "gumbel_softmax: logits are %s; wanted [K]",
                         lode_shape_print(s, text));
    if (!(tau > 0) || !isfinite(tau))
        return LODE_FAIL(LODE_ERR_INVALID, "gumbel_softmax: temperature %g; wanted > 0", tau);
    if (n_samples < 0)
        return LODE_FAIL(LODE_ERR_INVALID, "gumbel_softmax: %lld samples; wanted >= 0",
                         (long long)n_samples);
    return LODE_OK;
}

lode_var *lode_gumbel_softmax(lode_tape *t, lode_var *logits, double tau, lode_rng stream,
                              int64_t n_samples, bool hard) {
    if (logits == NULL) return NULL;
    const lode_status status = relaxed_check(logits, tau, n_samples);
    if (status != LODE_OK) return lode_tape_fail(t, status);
    const int64_t k = logits->value->shape.dim[0];
    const lode_shape noise = n_samples > 0 ? LODE_SHAPE2(n_samples, k) : LODE_SHAPE1(k);
    lode_var *g = lode_gumbel_noise(t, logits, &noise, stream);
    lode_var *y = lode_softmax(t, lode_scale(t, lode_add(t, logits, g), 1 / tau, 0));
    return hard ? lode_straight_through(t, lode_argmax_onehot(t, y), y) : y;
}
