/* hypergradient.c: see hypergradient.h.

   Four gradients: of L_train by w for the step, of L_val by both at w', and of L_train by alpha at
   w + e v and w - e v. All moves start from the saved w, never from one another, so rounding does
   not add up and the last copy gives every bit back. */
#include "train/hypergradient.h"

#include "core/memory.h"
#include "ops/optimizer_step.h"

#include <math.h>

struct lode_hypergradient {
    int n_w, n_alpha;
    lode_tensor **saved;     /* [n_w] */
    lode_tensor **direction; /* [n_w] v; zero where L_val does not depend on w */
    lode_tensor **sum;       /* [n_alpha] the gradient as it grows */
};

void lode_hypergradient_destroy(lode_hypergradient *h) {
    if (h == NULL) return;
    for (int i = 0; i < h->n_w; i++) {
        if (h->saved != NULL) lode_tensor_release(h->saved[i]);
        if (h->direction != NULL) lode_tensor_release(h->direction[i]);
    }
    for (int i = 0; h->sum != NULL && i < h->n_alpha; i++) lode_tensor_release(h->sum[i]);
    lode_free(h->saved);
    lode_free(h->direction);
    lode_free(h->sum);
    lode_free(h);
}

lode_status lode_hypergradient_create(const lode_bilevel *p, lode_hypergradient **out) {
    lode_status status = LODE_OK;
    *out = NULL;
    lode_hypergradient *h = LODE_NEW(lode_hypergradient);
    if (h == NULL) return LODE_ERR_NO_MEMORY;
    h->n_w = p->n_w;
    h->n_alpha = p->n_alpha;
    h->saved = LODE_NEW_ARRAY(lode_tensor *, p->n_w + 1);
    h->direction = LODE_NEW_ARRAY(lode_tensor *, p->n_w + 1);
    h->sum = LODE_NEW_ARRAY(lode_tensor *, p->n_alpha + 1);
    if (h->saved == NULL || h->direction == NULL || h->sum == NULL) LODE_GOTO(LODE_ERR_NO_MEMORY);
    for (int i = 0; i < p->n_w; i++) {
        LODE_GOTO(lode_tensor_like(p->w[i]->value, &h->saved[i]));
        LODE_GOTO(lode_tensor_like(p->w[i]->value, &h->direction[i]));
    }
    for (int i = 0; i < p->n_alpha; i++)
        LODE_GOTO(lode_tensor_like(p->alpha[i]->value, &h->sum[i]));
    *out = h;
    return LODE_OK;
done:
    lode_hypergradient_destroy(h);
    return status;
}

/* to = from, or zeros. */
static lode_status hyper_keep(lode_tensor *to, const lode_tensor *from) {
    return from != NULL ? lode_tensor_copy(to, from) : lode_tensor_fill(to, 0);
}

static lode_status hyper_restore(const lode_hypergradient *h, const lode_bilevel *p) {
    for (int i = 0; i < h->n_w; i++) LODE_TRY(lode_tensor_copy(p->w[i]->value, h->saved[i]));
    return LODE_OK;
}

/* w' on the way there; v and the first term from there. */
static lode_status hyper_look_ahead(lode_hypergradient *h, const lode_bilevel *p, double xi,
                                    double *value, double *norm) {
    double squares = 0;
    LODE_TRY(p->gradient(p->self, LODE_TURN_WEIGHTS, LODE_GRADIENT_OF_WEIGHTS, NULL));
    LODE_TRY(p->unroll(p->self, xi));
    LODE_TRY(p->gradient(p->self, LODE_TURN_ARCH, LODE_GRADIENT_OF_BOTH, value));
    for (int i = 0; i < h->n_w; i++) {
        LODE_TRY(hyper_keep(h->direction[i], p->w[i]->grad));
        squares += lode_sum_squares(h->direction[i]);
    }
    for (int i = 0; i < h->n_alpha; i++) LODE_TRY(hyper_keep(h->sum[i], p->alpha[i]->grad));
    *norm = sqrt(squares);
    return isfinite(*norm) ? LODE_OK
                           : LODE_FAIL(LODE_ERR_NUMERIC,
                                       "the gradient of the held-out loss at the unrolled weights "
                                       "is not finite: lower lr, or set order: first");
}

/* sum += factor dL_train(w + e v, alpha)/dalpha. */
static lode_status hyper_add(lode_hypergradient *h, const lode_bilevel *p, double e,
                             double factor) {
    const lode_sgd_params along = {.lr = -e};
    LODE_TRY(hyper_restore(h, p));
    for (int i = 0; i < h->n_w; i++)
        LODE_TRY(lode_sgd_step(p->w[i]->value, h->direction[i], NULL, &along));
    LODE_TRY(p->gradient(p->self, LODE_TURN_WEIGHTS, LODE_GRADIENT_OF_ARCH, NULL));
    for (int i = 0; i < h->n_alpha; i++)
        for (int64_t k = 0; p->alpha[i]->grad != NULL && k < lode_tensor_count(h->sum[i]); k++)
            lode_put(h->sum[i], k, lode_at(h->sum[i], k) + factor * lode_at(p->alpha[i]->grad, k));
    return LODE_OK;
}

static lode_status hyper_second_order(lode_hypergradient *h, const lode_bilevel *p, double xi,
                                      double *value) {
    double norm = 0;
    LODE_TRY(hyper_look_ahead(h, p, xi, value, &norm));
    if (!(norm > 0)) return LODE_OK; /* L_val is flat: no second term */
    const double e = 0.01 / norm, factor = xi / (2 * e);
    LODE_TRY(hyper_add(h, p, e, -factor));
    return hyper_add(h, p, -e, factor);
}

/* The sum becomes the gradient. */
static lode_status hyper_hand_over(const lode_hypergradient *h, const lode_bilevel *p) {
    for (int i = 0; i < h->n_alpha; i++) {
        lode_tensor *grad = NULL;
        LODE_TRY(lode_tensor_like(h->sum[i], &grad));
        lode_parameter_clear_grad(p->alpha[i]);
        p->alpha[i]->grad = grad;
        LODE_TRY(lode_tensor_copy(grad, h->sum[i]));
    }
    return LODE_OK;
}

lode_status lode_hypergradient_run(lode_hypergradient *h, const lode_bilevel *p, double xi,
                                   double *value) {
    if (xi == 0) return p->gradient(p->self, LODE_TURN_ARCH, LODE_GRADIENT_OF_ARCH, value);
    for (int i = 0; i < h->n_w; i++) LODE_TRY(lode_tensor_copy(h->saved[i], p->w[i]->value));
    lode_status status = hyper_second_order(h, p, xi, value);
    lode_status restored = hyper_restore(h, p);
    LODE_TRY(status);
    LODE_TRY(restored);
    return hyper_hand_over(h, p);
}
