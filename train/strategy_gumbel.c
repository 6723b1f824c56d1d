/* strategy_gumbel.c: every decision mixes its options by Gumbel-softmax weights, and the logits
   behind them are trained like weights (FBNet, Wu et al. 2019; GDAS, Dong & Yang 2019).

   A decision with K options has logits alpha [K], all 0 at first. A step draws Gumbel noise G and
   mixes by y = softmax((alpha + G) / tau):

       soft      the mixture itself; all options run
       hard      one-hot of the largest y, gradient of y (straight-through). In a turn of the
   weights only the drawn option runs; in a turn of the architecture all do one_path  as hard, but
   in a turn of the architecture too only the drawn option runs: the others count as zero in the
   gradient (GDAS)

   Without noise, soft is the softmax mixture of DARTS. The turn of the weights minimizes plain
   cross entropy on the split "train"; the turn of the architecture minimizes cross entropy joined
   with the expected costs (loss.h) on the split "arch". The cost is weighted by the same y as the
   outputs, so its gradient is D8's y_i (F_i - sum_k y_k F_k) / tau.

   Deviation from the FBNet paper: there the cost is also part of the loss in the weights' turn,
   where it can only scale the gradient; here that scale is 1. */
#include "core/memory.h"
#include "ops/relaxed.h"
#include "train/loss.h"
#include "train/schedule.h"
#include "train/strategy.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>

enum { GUMBEL_SOFT, GUMBEL_HARD, GUMBEL_ONE_PATH };
enum { GUMBEL_NOISE_BATCH, GUMBEL_NOISE_SAMPLE, GUMBEL_NOISE_NONE };
enum { GUMBEL_AFTER, GUMBEL_ALTERNATE };
enum { GUMBEL_MAX_COSTS = 8 };

typedef struct gumbel_options {
    const char *optimizer;
    double lr, weight_decay, beta1, beta2;
    int sample, noise, turns, temperature;
    int64_t every, warmup;
    double tau, tau_end, tau_rate;
    lode_string_list loss;
    lode_f64_list a, b, target;
} gumbel_options;

#define ROW(name, type, field, def, min, max, words, help)                                         \
    { name, type, offsetof(gumbel_options, field), def, min, max, words, help }
/* clang-format off */
static const lode_option gumbel_rows[] = {
    ROW("optimizer", LODE_OPT_STRING, optimizer, "adam", 0, 0, NULL, "optimizer of the architecture parameters"),
    ROW("lr", LODE_OPT_F64, lr, "0.01", 0, 100, NULL, "its learning rate, constant"),
    ROW("weight_decay", LODE_OPT_F64, weight_decay, "5e-4", 0, 1, NULL, "its weight decay"),
    ROW("beta1", LODE_OPT_F64, beta1, "0.9", 0, 0.999999, NULL, "adam: decay of the first moment"),
    ROW("beta2", LODE_OPT_F64, beta2, "0.999", 0, 0.999999, NULL, "adam: decay of the second moment"),
    ROW("sample", LODE_OPT_ENUM, sample, "soft", 0, 0, "soft|hard|one_path", "mixture, straight-through one-hot, or one path only"),
    ROW("noise", LODE_OPT_ENUM, noise, "batch", 0, 0, "batch|sample|none", "one Gumbel noise per batch, one per sample, or none"),
    ROW("turns", LODE_OPT_ENUM, turns, "after", 0, 0, "after|alternate", "architecture steps after each epoch of the weights, or in between"),
    ROW("every", LODE_OPT_INT, every, "1", 1, 1000000, "steps", "turns alternate: weight steps per architecture step"),
    ROW("warmup", LODE_OPT_INT, warmup, "1", 0, 1000000, "epochs", "epochs with frozen architecture parameters"),
    ROW("temperature", LODE_OPT_ENUM, temperature, "exponential", 0, 0, LODE_TEMPERATURE_WORDS, "how tau goes from start to end"),
    ROW("tau", LODE_OPT_F64, tau, "5", 1e-3, 1e6, NULL, "temperature of the first epoch"),
    ROW("tau_end", LODE_OPT_F64, tau_end, "0.1", 1e-3, 1e6, NULL, "temperature of the last epoch, and the lowest"),
    ROW("tau_rate", LODE_OPT_F64, tau_rate, "0", 0, 1e3, "per epoch", "0.045 for FBNet's exp(-0.045 epoch); 0: reach tau_end in the last epoch"),
    ROW("loss", LODE_OPT_STRING_LIST, loss, NULL, 0, 0, NULL, "form per cost: additive, add_linear, hinge, fbnet, fbnet_log, mul_log; default fbnet"),
    ROW("a", LODE_OPT_F64_LIST, a, NULL, 0, 0, NULL, "factor of each cost in the loss; default 0.2"),
    ROW("b", LODE_OPT_F64_LIST, b, NULL, 0, 0, NULL, "exponent of each cost in the loss; default 0.6"),
    ROW("target", LODE_OPT_F64_LIST, target, NULL, 0, 0, "unit of the cost", "target of each cost in the loss, for add_linear, hinge, mul_log"),
};
/* clang-format on */
static const lode_option_table gumbel_table = {"arch", gumbel_rows,
                                               sizeof gumbel_rows / sizeof *gumbel_rows};

typedef struct gumbel_strategy {
    gumbel_options options;
    lode_temperature temperature;
    lode_space *space;
    int n;              /* decisions */
    lode_parameter **p; /* [n] logits */
    lode_var **weights; /* [n] of the current pass */
    lode_cost *const *cost;
    int n_costs;
    lode_cost_loss_params loss[GUMBEL_MAX_COSTS];
} gumbel_strategy;

static void gumbel_destroy(void *self) {
    gumbel_strategy *s = self;
    if (s == NULL) return;
    for (int d = 0; s->p != NULL && d < s->n; d++) lode_parameter_destroy(s->p[d]);
    lode_free(s->p);
    lode_free(s->weights);
    lode_free(s);
}

/* The i-th of a list whose last element stands for all that follow. */
static double gumbel_nth(const lode_f64_list *list, int i, double none) {
    return list->n > 0 ? list->v[i < list->n ? i : list->n - 1] : none;
}

static lode_status gumbel_read_costs(gumbel_strategy *s) {
    const gumbel_options *o = &s->options;
    if (s->n_costs > GUMBEL_MAX_COSTS)
        return LODE_FAIL(LODE_ERR_CONFIG, "%d costs in the loss; at most %d", s->n_costs,
                         (int)GUMBEL_MAX_COSTS);
    for (int i = 0; i < s->n_costs; i++) {
        lode_cost_loss_params *p = &s->loss[i];
        lode_cost_loss_kind kind = LODE_COST_LOSS_FBNET;
        if (!lode_cost_has_gradient(s->cost[i]))
            return LODE_FAIL(LODE_ERR_CONFIG,
                             "cost %s has no gradient: use it as a target, not in "
                             "the loss",
                             lode_cost_name(s->cost[i]));
        if (o->loss.n > 0)
            LODE_TRY(lode_cost_loss_find(o->loss.v[i < o->loss.n ? i : o->loss.n - 1], &kind));
        p->kind = (int32_t)kind;
        p->a = gumbel_nth(&o->a, i, 0.2);
        p->b = gumbel_nth(&o->b, i, 0.6);
        p->target = gumbel_nth(&o->target, i, 0);
        if (lode_cost_loss_check(p) != LODE_OK)
            return lode_error_context("cost %s", lode_cost_name(s->cost[i]));
    }
    return LODE_OK;
}

static lode_status gumbel_make_logits(gumbel_strategy *s, lode_dtype dtype) {
    s->p = LODE_NEW_ARRAY(lode_parameter *, s->n);
    s->weights = LODE_NEW_ARRAY(lode_var *, s->n);
    if (s->p == NULL || s->weights == NULL) return LODE_ERR_NO_MEMORY;
    for (int d = 0; d < s->n; d++) {
        const lode_decision *decision = lode_space_decision(s->space, d);
        char *name = lode_format("arch/%s", decision->name);
        if (name == NULL) return LODE_ERR_NO_MEMORY;
        lode_status status = lode_parameter_create(name, LODE_PARAM_LOGITS, dtype,
                                                   &LODE_SHAPE1(decision->n_options), &s->p[d]);
        lode_free(name);
        LODE_TRY(status);
        LODE_TRY(lode_tensor_fill(s->p[d]->value, 0));
    }
    return LODE_OK;
}

static lode_status gumbel_create(const lode_strategy_setup *setup, void **out) {
    lode_status status = LODE_OK;
    *out = NULL;
    if (lode_supernet_is_fixed(setup->net, NULL))
        return LODE_FAIL(LODE_ERR_CONFIG, "the network has no decision left: use strategy fixed");
    gumbel_strategy *s = LODE_NEW(gumbel_strategy);
    if (s == NULL) return LODE_ERR_NO_MEMORY;
    s->options = *(const gumbel_options *)setup->options;
    s->temperature =
        (lode_temperature){(lode_temperature_kind)s->options.temperature, s->options.tau,
                           s->options.tau_end, s->options.tau_rate, setup->n_epochs};
    s->space = lode_supernet_space(setup->net);
    s->n = lode_space_n_decisions(s->space);
    s->cost = setup->cost;
    s->n_costs = setup->n_costs;
    LODE_GOTO(lode_temperature_check(&s->temperature));
    if (s->options.warmup >= setup->n_epochs) {
        status = LODE_FAIL(LODE_ERR_CONFIG,
                           "arch.warmup is %lld epochs and the run has %lld: the "
                           "architecture parameters would never be trained",
                           (long long)s->options.warmup, (long long)setup->n_epochs);
        goto done;
    }
    LODE_GOTO(gumbel_read_costs(s));
    LODE_GOTO(gumbel_make_logits(s, lode_supernet_parameter(setup->net, 0)->value->dtype));
    *out = s;
    return LODE_OK;
done:
    gumbel_destroy(s);
    return status;
}

static void gumbel_plan(void *self, int64_t epoch, lode_epoch_plan *out) {
    const gumbel_strategy *s = self;
    bool trains = epoch >= s->options.warmup;
    out->arch_after = trains && s->options.turns == GUMBEL_AFTER;
    out->arch_every = trains && s->options.turns == GUMBEL_ALTERNATE ? s->options.every : 0;
    out->temperature = lode_temperature_at(&s->temperature, epoch);
}

/* ---- one pass ---- */

/* y of decision d: [K], or [N,K] with noise per sample. The stream's index is the step and its
   position says which decision and which sample, so that ranks agree and recomputing repeats it. */
static lode_var *gumbel_weights(gumbel_strategy *s, lode_tape *t, const lode_step *step, int d) {
    double tau = lode_temperature_at(&s->temperature, step->epoch);
    lode_var *alpha = lode_parameter_var(t, s->p[d]);
    bool hard = s->options.sample != GUMBEL_SOFT;
    if (s->options.noise == GUMBEL_NOISE_NONE) {
        lode_var *y = lode_softmax(t, lode_scale(t, alpha, 1 / tau, 0));
        return hard ? lode_straight_through(t, lode_argmax_onehot(t, y), y) : y;
    }
    lode_rng rng = lode_rng_stream(step->seed, LODE_RNG_GUMBEL, (uint64_t)step->step);
    int64_t samples = s->options.noise == GUMBEL_NOISE_SAMPLE ? step->batch : 0;
    rng.position = (uint64_t)step->pass << 52 | (uint64_t)d << 40;
    if (samples > 0)
        rng.position +=
            (uint64_t)(step->first_sample * lode_space_decision(s->space, d)->n_options);
    return lode_gumbel_softmax(t, alpha, tau, rng, samples, hard);
}

/* Options that some row of one-hot weights has chosen. */
static uint64_t gumbel_chosen(const lode_tensor *w, int n_options) {
    uint64_t chosen = 0;
    int64_t n = lode_tensor_count(w);
    for (int64_t i = 0; i < n; i++)
        if (lode_at(w, i) > 0.5) chosen |= UINT64_C(1) << (i % n_options);
    return chosen;
}

static lode_status gumbel_choose(void *self, lode_tape *t, const lode_step *step,
                                 lode_choice *choice) {
    gumbel_strategy *s = self;
    for (int d = 0; d < s->n; d++) {
        int k = lode_space_decision(s->space, d)->n_options;
        lode_var *w = s->weights[d] = gumbel_weights(s, t, step, d);
        if (w == NULL) return lode_tape_status(t);
        choice[d] = (lode_choice){(UINT64_C(1) << k) - 1, w};
        if (s->options.sample == GUMBEL_SOFT) continue;
        uint64_t chosen = gumbel_chosen(w->value, k);
        bool single = (chosen & (chosen - 1)) == 0;
        if (step->turn == LODE_TURN_WEIGHTS)
            choice[d] = (lode_choice){chosen, single ? NULL : w};
        else if (s->options.sample == GUMBEL_ONE_PATH)
            choice[d].active = chosen;
    }
    return LODE_OK;
}

static lode_var *gumbel_loss(void *self, lode_tape *t, const lode_step *step, lode_var *logits,
                             lode_var *cross_entropy) {
    gumbel_strategy *s = self;
    lode_var *loss = cross_entropy;
    (void)logits;
    for (int i = 0; i < s->n_costs && step->turn == LODE_TURN_ARCH; i++)
        loss = lode_cost_loss(t, loss, lode_cost_expected(t, s->cost[i], s->weights), &s->loss[i]);
    return loss;
}

/* ---- parameters and report ---- */
static int gumbel_n_parameters(const void *self) { return ((const gumbel_strategy *)self)->n; }
static lode_parameter *gumbel_parameter(const void *self, int i) {
    return ((const gumbel_strategy *)self)->p[i];
}
static void gumbel_optimizer(const void *self, lode_optimizer_options *options, double *lr) {
    const gumbel_options *o = &((const gumbel_strategy *)self)->options;
    *options = lode_optimizer_defaults();
    options->name = o->optimizer;
    options->weight_decay = o->weight_decay;
    options->beta1 = o->beta1;
    options->beta2 = o->beta2;
    *lr = o->lr;
}

static void gumbel_probabilities(const void *self, int decision, double *p) {
    const gumbel_strategy *s = self;
    const lode_tensor *alpha = s->p[decision]->value;
    int n = lode_space_decision(s->space, decision)->n_options;
    double max = -INFINITY, sum = 0;
    for (int k = 0; k < n; k++) max = fmax(max, lode_at(alpha, k));
    for (int k = 0; k < n; k++) sum += p[k] = exp(lode_at(alpha, k) - max);
    for (int k = 0; k < n; k++) p[k] /= sum;
}

/* E[cost] over the probabilities, and tau. */
static lode_status gumbel_report(void *self, const lode_step *step, json_t *line) {
    gumbel_strategy *s = self;
    json_object_set_new(line, "tau",
                        lode_json_number(lode_temperature_at(&s->temperature, step->epoch)));
    if (s->n_costs == 0) return LODE_OK;
    double(*p)[LODE_MAX_OPTIONS] = lode_calloc((size_t)s->n, sizeof *p);
    const double **row = LODE_NEW_ARRAY(const double *, s->n);
    lode_status status = p != NULL && row != NULL ? LODE_OK : LODE_ERR_NO_MEMORY;
    for (int d = 0; status == LODE_OK && d < s->n; d++) {
        gumbel_probabilities(s, d, p[d]);
        row[d] = p[d];
    }
    for (int i = 0; status == LODE_OK && i < s->n_costs; i++) {
        double value = 0;
        char key[96];
        status = lode_cost_expected_value(s->cost[i], row, &value, NULL);
        snprintf(key, sizeof key, "expected_%s", lode_cost_name(s->cost[i]));
        json_object_set_new(line, key, lode_json_number(value));
    }
    lode_free(p);
    lode_free(row);
    return status;
}

const lode_strategy_plugin lode_strategy_gumbel = {
    .name = "gumbel",
    .about = "Gumbel-softmax mixtures with the expected cost in the loss (Wu et al. 2019, FBNet).",
    .options = &gumbel_table,
    .options_size = sizeof(gumbel_options),
    .create = gumbel_create,
    .destroy = gumbel_destroy,
    .plan = gumbel_plan,
    .choose = gumbel_choose,
    .loss = gumbel_loss,
    .n_parameters = gumbel_n_parameters,
    .parameter = gumbel_parameter,
    .optimizer = gumbel_optimizer,
    .probabilities = gumbel_probabilities,
    .report = gumbel_report,
};
