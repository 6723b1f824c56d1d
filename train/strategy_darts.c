/* strategy_darts.c: every decision is the softmax mixture of its options, and the logits learn what
   helps on held-out data (DARTS, Liu et al. 2019).

   A decision with K options has logits alpha [K], normal(0, 0.001) at first, and the output
   sum_k softmax(alpha)_k o_k(x); all options run. Cells of one type read the same decisions, so
   they share their alphas. A step of the architecture comes before a step of the weights and
   minimizes the loss on the split "arch":

       order: first    at the weights as they are
       order: second   at the weights one step ahead, seen as a function of alpha (hypergradient.h):
                       the step is the coming one's, on its batch, at its rate, with momentum and
                       weight decay. It is not clipped, and plain where momentum is Nesterov's, as
   in the authors' code. Four forward and backward passes instead of one.

   The first order needs no gradients of the weights, and works out none. Costs join the loss of the
   architecture as in other strategies (loss.h), expected under softmax(alpha). */
#include "core/memory.h"
#include "train/alpha_internal.h"
#include "train/hypergradient.h"

enum { DARTS_FIRST, DARTS_SECOND };

typedef struct darts_options {
    lode_alpha_options alpha;
    int order;
} darts_options;

static const lode_option darts_rows[] = {
    LODE_ALPHA_TURN_ROWS(darts_options, alpha, "3e-4", "1e-3", "0.5", "before", "1", "0"),
    LODE_ALPHA_SEEK_ROWS(darts_options, alpha),
    LODE_ALPHA_LOSS_ROWS(darts_options, alpha),
    LODE_ALPHA_INIT_ROW(darts_options, alpha, "0.001"),
    {"order", LODE_OPT_ENUM, offsetof(darts_options, order), "first", 0, 0, "first|second",
     "look at the weights as they are, or through their coming step"},
};
static const lode_option_table darts_table = {"arch", darts_rows,
                                              sizeof darts_rows / sizeof *darts_rows};

typedef struct darts_strategy {
    lode_alpha alpha; /* first: alpha_internal.h */
    darts_options options;
    lode_var **mixture;          /* [n] of the current pass */
    lode_parameter **w;          /* [n_w] order second */
    lode_hypergradient *ahead;   /* order second */
    const lode_step_tools *lent; /* during arch_gradient */
    int n_w;
} darts_strategy;

/* ---- life ---- */
static void darts_destroy(void *self) {
    darts_strategy *s = self;
    if (s == NULL) return;
    lode_hypergradient_destroy(s->ahead);
    lode_alpha_deinit(&s->alpha);
    lode_free(s->mixture);
    lode_free(s->w);
    lode_free(s);
}

static lode_status darts_gradient(void *self, lode_turn of_loss, lode_gradient_of of,
                                  double *value) {
    const lode_step_tools *lent = ((const darts_strategy *)self)->lent;
    return lent->gradient(lent->self, of_loss, of, value);
}
static lode_status darts_unroll(void *self, double xi) {
    return lode_optimizer_unroll(((const darts_strategy *)self)->lent->weights, xi);
}

static lode_bilevel darts_bilevel(darts_strategy *s) {
    return (lode_bilevel){.self = s,
                          .w = s->w,
                          .n_w = s->n_w,
                          .alpha = s->alpha.p,
                          .n_alpha = s->alpha.n,
                          .gradient = darts_gradient,
                          .unroll = darts_unroll};
}

static lode_status darts_list_weights(darts_strategy *s, lode_supernet *net) {
    int n = lode_supernet_n_parameters(net);
    s->w = LODE_NEW_ARRAY(lode_parameter *, n + 1);
    if (s->w == NULL) return LODE_ERR_NO_MEMORY;
    for (int i = 0; i < n; i++) {
        lode_parameter *p = lode_supernet_parameter(net, i);
        if (p->kind != LODE_PARAM_RUNNING) s->w[s->n_w++] = p;
    }
    lode_bilevel problem = darts_bilevel(s);
    return lode_hypergradient_create(&problem, &s->ahead);
}

static lode_status darts_create(const lode_strategy_setup *setup, void **out) {
    lode_status status = LODE_OK;
    *out = NULL;
    darts_strategy *s = LODE_NEW(darts_strategy);
    if (s == NULL) return LODE_ERR_NO_MEMORY;
    s->options = *(const darts_options *)setup->options;
    LODE_GOTO(lode_alpha_init(&s->alpha, &s->options.alpha, setup));
    s->mixture = LODE_NEW_ARRAY(lode_var *, s->alpha.n);
    if (s->mixture == NULL) LODE_GOTO(LODE_ERR_NO_MEMORY);
    if (s->options.order == DARTS_SECOND) LODE_GOTO(darts_list_weights(s, setup->net));
    *out = s;
    return LODE_OK;
done:
    darts_destroy(s);
    return status;
}

static void darts_plan(void *self, int64_t epoch, lode_epoch_plan *out) {
    const darts_strategy *s = self;
    lode_alpha_plan(&s->alpha, epoch, out);
    out->arch_weights = s->options.order == DARTS_SECOND;
}

/* ---- one pass ---- */
static lode_status darts_choose(void *self, lode_tape *t, const lode_step *step,
                                lode_choice *choice) {
    darts_strategy *s = self;
    (void)step;
    for (int d = 0; d < s->alpha.n; d++) {
        int n = lode_space_decision(s->alpha.space, d)->n_options;
        s->mixture[d] = lode_softmax(t, lode_parameter_var(t, s->alpha.p[d]));
        choice[d] = (lode_choice){.active = (UINT64_C(1) << n) - 1, .weights = s->mixture[d]};
    }
    return lode_tape_status(t);
}

static lode_var *darts_loss(void *self, lode_tape *t, const lode_step *step, lode_var *logits,
                            lode_var *cross_entropy) {
    darts_strategy *s = self;
    (void)logits;
    if (step->turn == LODE_TURN_WEIGHTS) return cross_entropy;
    return lode_alpha_join_costs(&s->alpha, t, cross_entropy, s->mixture);
}

/* ---- a step of the architecture ---- */
static lode_status darts_arch_gradient(void *self, const lode_step *step,
                                       const lode_step_tools *tools, double *loss) {
    darts_strategy *s = self;
    (void)step;
    if (s->options.order == DARTS_FIRST)
        return tools->gradient(tools->self, LODE_TURN_ARCH, LODE_GRADIENT_OF_ARCH, loss);
    s->lent = tools;
    lode_bilevel problem = darts_bilevel(s);
    lode_status status = lode_hypergradient_run(s->ahead, &problem, tools->lr, loss);
    s->lent = NULL;
    return status;
}

const lode_strategy_plugin lode_strategy_darts = {
    .name = "darts",
    .about = "Softmax mixtures, first or second order (Liu et al. 2019, DARTS).",
    .options = &darts_table,
    .options_size = sizeof(darts_options),
    .create = darts_create,
    .destroy = darts_destroy,
    .plan = darts_plan,
    .choose = darts_choose,
    .loss = darts_loss,
    .arch_gradient = darts_arch_gradient,
    .after_step = lode_alpha_own_after_step,
    .n_parameters = lode_alpha_own_n_parameters,
    .parameter = lode_alpha_own_parameter,
    .optimizer = lode_alpha_own_optimizer,
    .watch = lode_alpha_own_watch,
    .probabilities = lode_alpha_own_probabilities,
    .mixture = lode_alpha_own_mixture,
    .report = lode_alpha_own_report,
    .save = lode_alpha_own_save,
    .load = lode_alpha_own_load,
};
