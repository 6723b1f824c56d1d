/* strategy_gumbel.c: every decision mixes its options by Gumbel-softmax weights, and the logits
   behind them are trained like weights (FBNet, Wu et al. 2019; GDAS, Dong & Yang 2019).

   A decision with K options has logits alpha [K]. A step draws Gumbel noise G, the same in all
   cells that read the decision, and mixes by y = softmax((alpha + G) / tau). With c_k = <dL/do,
   o_k>, and i the largest y:

       soft       the mixture itself; all options run:  dL/dalpha_k = y_k (c_k - sum_j y_j c_j) /
   tau hard       one-hot forward, the gradient of y backward (straight-through). In a turn of the
                  weights only option i runs; in a turn of the architecture all do, for their c
       one_path   as hard, but only option i runs ever, and the others' c count as zero:
                  dL/dalpha_k = y_k (delta_ki - y_i) c_i / tau, the gradient of GDAS

   The code of GDAS' authors for NAS-Bench-201 adds the zero weights of what does not run to the
   map, as numbers; that gives these options the sum over dL/do as their c. `skipped: sum` does the
   same.

   The draws are finite: u is never 0 or 1 (ops/gumbel_noise.c), so none has to be drawn again.

   Without noise, soft is the softmax mixture of DARTS. The turn of the weights minimizes plain
   cross entropy on the split "train"; the turn of the architecture minimizes cross entropy joined
   with the expected costs (loss.h) on the split "arch". The cost is weighted by the same y as the
   outputs, so its gradient is D8's y_i (F_i - sum_k y_k F_k) / tau.

   Deviation from the FBNet paper: there the cost is also part of the loss in the weights' turn,
   where it can only scale the gradient; here that scale is 1. */
#include "core/memory.h"
#include "ops/relaxed.h"
#include "train/alpha_internal.h"
#include "train/schedule.h"

enum { GUMBEL_SOFT, GUMBEL_HARD, GUMBEL_ONE_PATH };
enum { GUMBEL_SKIPPED_ZERO, GUMBEL_SKIPPED_SUM };
enum { GUMBEL_NOISE_BATCH, GUMBEL_NOISE_SAMPLE, GUMBEL_NOISE_NONE };

typedef struct gumbel_options {
    lode_alpha_options alpha;
    int sample, skipped, noise, temperature;
    double tau, tau_end, tau_rate;
} gumbel_options;

#define ROW(name, type, field, def, min, max, words, help)                                         \
    { name, type, offsetof(gumbel_options, field), def, min, max, words, help }
/* clang-format off */
static const lode_option gumbel_rows[] = {
    LODE_ALPHA_ROWS(gumbel_options, alpha, "0.01", "5e-4", "0.9", "after", "1"),
    LODE_ALPHA_INIT_ROW(gumbel_options, alpha, "0"),
    ROW("sample", LODE_OPT_ENUM, sample, "soft", 0, 0, "soft|hard|one_path", "mixture, straight-through one-hot, or one path only"),
    ROW("skipped", LODE_OPT_ENUM, skipped, "zero", 0, 0, "zero|sum", "one_path: what an option that did not run counts as in the gradient: nothing, or the sum over the map's gradient (the code of GDAS' authors)"),
    ROW("noise", LODE_OPT_ENUM, noise, "batch", 0, 0, "batch|sample|none", "one Gumbel noise per batch, one per sample, or none"),
    ROW("temperature", LODE_OPT_ENUM, temperature, "exponential", 0, 0, LODE_TEMPERATURE_WORDS, "how tau goes from start to end"),
    ROW("tau", LODE_OPT_F64, tau, "5", 1e-3, 1e6, NULL, "temperature of the first epoch"),
    ROW("tau_end", LODE_OPT_F64, tau_end, "0.1", 1e-3, 1e6, NULL, "temperature of the last epoch, and the lowest"),
    ROW("tau_rate", LODE_OPT_F64, tau_rate, "0", 0, 1e3, "per epoch", "0.045 for FBNet's exp(-0.045 epoch); 0: reach tau_end in the last epoch"),
};
/* clang-format on */
static const lode_option_table gumbel_table = {"arch", gumbel_rows,
                                               sizeof gumbel_rows / sizeof *gumbel_rows};

typedef struct gumbel_strategy {
    lode_alpha alpha;
    gumbel_options options;
    lode_temperature temperature;
    lode_var **weights; /* [n] of the current pass */
} gumbel_strategy;

static void gumbel_destroy(void *self) {
    gumbel_strategy *s = self;
    if (s == NULL) return;
    lode_alpha_deinit(&s->alpha);
    lode_free(s->weights);
    lode_free(s);
}

static lode_status gumbel_create(const lode_strategy_setup *setup, void **out) {
    lode_status status = LODE_OK;
    *out = NULL;
    gumbel_strategy *s = LODE_NEW(gumbel_strategy);
    if (s == NULL) return LODE_ERR_NO_MEMORY;
    s->options = *(const gumbel_options *)setup->options;
    if (s->options.skipped == GUMBEL_SKIPPED_SUM && s->options.sample != GUMBEL_ONE_PATH) {
        status = LODE_FAIL(LODE_ERR_CONFIG, "arch.skipped: sum is for arch.sample: one_path, where "
                                            "options are left out of architecture steps");
        goto done;
    }
    s->temperature =
        (lode_temperature){(lode_temperature_kind)s->options.temperature, s->options.tau,
                           s->options.tau_end, s->options.tau_rate, setup->n_epochs};
    LODE_GOTO(lode_temperature_check(&s->temperature));
    LODE_GOTO(lode_alpha_init(&s->alpha, &s->options.alpha, setup));
    s->weights = LODE_NEW_ARRAY(lode_var *, s->alpha.n);
    LODE_GOTO(s->weights != NULL ? LODE_OK : LODE_ERR_NO_MEMORY);
    *out = s;
    return LODE_OK;
done:
    gumbel_destroy(s);
    return status;
}

static void gumbel_plan(void *self, int64_t epoch, lode_epoch_plan *out) {
    const gumbel_strategy *s = self;
    lode_alpha_plan(&s->alpha, epoch, out);
    out->temperature = lode_temperature_at(&s->temperature, epoch);
}

/* ---- one pass ---- */

/* y of decision d: [K], or [N,K] with noise per sample. */
static lode_var *gumbel_weights(gumbel_strategy *s, lode_tape *t, const lode_step *step, int d) {
    double tau = lode_temperature_at(&s->temperature, step->epoch);
    bool hard = s->options.sample != GUMBEL_SOFT;
    if (s->options.noise != GUMBEL_NOISE_NONE)
        return lode_alpha_gumbel(&s->alpha, t, step, d, tau,
                                 s->options.noise == GUMBEL_NOISE_SAMPLE, hard);
    lode_var *alpha = lode_parameter_var(t, s->alpha.p[d]);
    lode_var *y = lode_softmax(t, lode_scale(t, alpha, 1 / tau, 0));
    return hard ? lode_straight_through(t, lode_argmax_onehot(t, y), y) : y;
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
    for (int d = 0; d < s->alpha.n; d++) {
        int k = lode_space_decision(s->alpha.space, d)->n_options;
        lode_var *w = s->weights[d] = gumbel_weights(s, t, step, d);
        if (w == NULL) return lode_tape_status(t);
        choice[d] = (lode_choice){.active = (UINT64_C(1) << k) - 1, .weights = w};
        if (s->options.sample == GUMBEL_SOFT) continue;
        uint64_t chosen = gumbel_chosen(w->value, k);
        bool single = (chosen & (chosen - 1)) == 0;
        if (step->turn == LODE_TURN_WEIGHTS)
            choice[d] = (lode_choice){.active = chosen, .weights = single ? NULL : w};
        else if (s->options.sample == GUMBEL_ONE_PATH)
            choice[d].active = chosen, choice[d].ones = s->options.skipped == GUMBEL_SKIPPED_SUM;
    }
    return LODE_OK;
}

static lode_var *gumbel_loss(void *self, lode_tape *t, const lode_step *step, lode_var *logits,
                             lode_var *cross_entropy) {
    gumbel_strategy *s = self;
    (void)logits;
    if (step->turn == LODE_TURN_WEIGHTS) return cross_entropy;
    return lode_alpha_join_costs(&s->alpha, t, cross_entropy, s->weights);
}

static lode_status gumbel_after_step(void *self, const lode_step *step, double loss) {
    (void)loss;
    return lode_alpha_after_step(&((gumbel_strategy *)self)->alpha, step);
}

/* ---- parameters, report, state ---- */
static int gumbel_n_parameters(const void *self) {
    return ((const gumbel_strategy *)self)->alpha.n;
}
static lode_parameter *gumbel_parameter(const void *self, int i) {
    return ((const gumbel_strategy *)self)->alpha.p[i];
}
static void gumbel_optimizer(const void *self, lode_optimizer_options *options, double *lr) {
    lode_alpha_optimizer(&((const gumbel_strategy *)self)->alpha, options, lr);
}
static void gumbel_probabilities(const void *self, int decision, double *p) {
    lode_alpha_probabilities(&((const gumbel_strategy *)self)->alpha, decision, p);
}

/* E[cost] over the probabilities, and tau. */
static lode_status gumbel_report(void *self, const lode_step *step, json_t *line) {
    const gumbel_strategy *s = self;
    json_object_set_new(line, "tau",
                        lode_json_number(lode_temperature_at(&s->temperature, step->epoch)));
    return lode_alpha_report(&s->alpha, line);
}

static lode_status gumbel_save(const void *self, lode_state *s) {
    return lode_alpha_save(&((const gumbel_strategy *)self)->alpha, s);
}
static lode_status gumbel_load(void *self, lode_checkpoint *c) {
    return lode_alpha_load(&((gumbel_strategy *)self)->alpha, c);
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
    .after_step = gumbel_after_step,
    .n_parameters = gumbel_n_parameters,
    .parameter = gumbel_parameter,
    .optimizer = gumbel_optimizer,
    .watch = lode_alpha_own_watch,
    .probabilities = gumbel_probabilities,
    .mixture = lode_alpha_own_mixture,
    .report = gumbel_report,
    .save = gumbel_save,
    .load = gumbel_load,
};
