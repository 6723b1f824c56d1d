/* strategy_snas.c: one level: weights and logits minimize one loss, in one step, on one batch
   (SNAS, Xie et al. 2019).

   A decision with K options has logits alpha [K]. A step draws Gumbel noise G and mixes all options
   by Z = softmax((alpha + G) / tau): the concrete distribution, whose draws become one-hot as tau
   falls from 1 to 0.03. The gradient of the loss goes to weights and logits at once; no data is
   held back for the logits, so nothing but the cost speaks against options that fit best. The whole
   of the training data may be used: data.arch_split 0.

   The cost is that of the distribution, not of the draw: being linear in the Z of each decision,
   its expectation and its gradient are exact under softmax(alpha).

   Until arch.warmup is over the logits are frozen, and the loss is plain cross entropy. */
#include "core/memory.h"
#include "ops/ops.h"
#include "train/alpha_internal.h"
#include "train/schedule.h"

enum { SNAS_BATCH, SNAS_SAMPLE };

typedef struct snas_options {
    lode_alpha_options alpha;
    int noise, temperature;
    double tau, tau_end;
} snas_options;

#define ROW(name, type, field, def, min, max, words, help)                                         \
    { name, type, offsetof(snas_options, field), def, min, max, words, help }
/* clang-format off */
static const lode_option snas_rows[] = {
    LODE_ALPHA_OPTIMIZER_ROWS(snas_options, alpha, "3e-4", "1e-3", "0.5"),
    LODE_ALPHA_WARMUP_ROW(snas_options, alpha, "0"),
    LODE_WATCH_ROWS(snas_options, alpha.watch),
    LODE_ALPHA_SEEK_ROWS(snas_options, alpha),
    LODE_ALPHA_LOSS_ROWS(snas_options, alpha),
    LODE_ALPHA_INIT_ROW(snas_options, alpha, "0.01"),
    ROW("noise", LODE_OPT_ENUM, noise, "batch", 0, 0, "batch|sample", "one Gumbel noise per batch, or one per sample"),
    ROW("temperature", LODE_OPT_ENUM, temperature, "exponential", 0, 0, LODE_TEMPERATURE_WORDS, "how tau goes from start to end"),
    ROW("tau", LODE_OPT_F64, tau, "1", 1e-3, 1e6, NULL, "temperature of the first epoch"),
    ROW("tau_end", LODE_OPT_F64, tau_end, "0.03", 1e-3, 1e6, NULL, "temperature of the last epoch, and the lowest"),
};
/* clang-format on */
static const lode_option_table snas_table = {"arch", snas_rows,
                                             sizeof snas_rows / sizeof *snas_rows};

typedef struct snas_strategy {
    lode_alpha alpha; /* first: alpha_internal.h */
    snas_options options;
    lode_temperature temperature;
} snas_strategy;

static void snas_destroy(void *self) {
    snas_strategy *s = self;
    if (s == NULL) return;
    lode_alpha_deinit(&s->alpha);
    lode_free(s);
}

static lode_status snas_create(const lode_strategy_setup *setup, void **out) {
    lode_status status = LODE_OK;
    *out = NULL;
    snas_strategy *s = LODE_NEW(snas_strategy);
    if (s == NULL) return LODE_ERR_NO_MEMORY;
    s->options = *(const snas_options *)setup->options;
    s->temperature = (lode_temperature){(lode_temperature_kind)s->options.temperature,
                                        s->options.tau, s->options.tau_end, 0, setup->n_epochs};
    LODE_GOTO(lode_temperature_check(&s->temperature));
    LODE_GOTO(lode_alpha_init(&s->alpha, &s->options.alpha, setup));
    *out = s;
    return LODE_OK;
done:
    snas_destroy(s);
    return status;
}

/* The turns a strategy of two levels would have after the epoch are its weights' steps. */
static void snas_plan(void *self, int64_t epoch, lode_epoch_plan *out) {
    const snas_strategy *s = self;
    lode_alpha_plan(&s->alpha, epoch, out);
    out->temperature = lode_temperature_at(&s->temperature, epoch);
    if (out->arch_only) return;
    out->joint = out->arch_after;
    out->arch_after = false;
}

/* Do the logits learn in this step? */
static bool snas_learns(snas_strategy *s, const lode_step *step) {
    lode_epoch_plan plan = {0};
    snas_plan(s, step->epoch, &plan);
    return step->turn == LODE_TURN_ARCH || plan.joint;
}

static lode_status snas_choose(void *self, lode_tape *t, const lode_step *step,
                               lode_choice *choice) {
    snas_strategy *s = self;
    const double tau = lode_temperature_at(&s->temperature, step->epoch);
    const bool per_sample = s->options.noise == SNAS_SAMPLE;
    for (int d = 0; d < s->alpha.n; d++) {
        int n = lode_space_decision(s->alpha.space, d)->n_options;
        choice[d] = (lode_choice){
            .active = (UINT64_C(1) << n) - 1,
            .weights = lode_alpha_gumbel(&s->alpha, t, step, d, tau, per_sample, false)};
    }
    return lode_tape_status(t);
}

static lode_var *snas_loss(void *self, lode_tape *t, const lode_step *step, lode_var *logits,
                           lode_var *cross_entropy) {
    snas_strategy *s = self;
    lode_var *p[LODE_MAX_DECISIONS];
    (void)logits;
    if (!snas_learns(s, step) || (s->alpha.n_costs == 0 && s->alpha.n_seeks == 0))
        return cross_entropy;
    for (int d = 0; d < s->alpha.n; d++)
        p[d] = lode_softmax(t, lode_parameter_var(t, s->alpha.p[d]));
    return lode_alpha_join_costs(&s->alpha, t, cross_entropy, p);
}

/* Multipliers learn when the logits do. */
static lode_status snas_after_step(void *self, const lode_step *step, double loss) {
    snas_strategy *s = self;
    lode_step learned = *step;
    (void)loss;
    if (!snas_learns(s, step)) return LODE_OK;
    learned.turn = LODE_TURN_ARCH;
    return lode_alpha_after_step(&s->alpha, &learned);
}

static lode_status snas_report(void *self, const lode_step *step, json_t *line) {
    const snas_strategy *s = self;
    json_object_set_new(line, "tau",
                        lode_json_number(lode_temperature_at(&s->temperature, step->epoch)));
    return lode_alpha_report(&s->alpha, line);
}

const lode_strategy_plugin lode_strategy_snas = {
    .name = "snas",
    .about = "Concrete mixtures, weights and logits in one step on one batch (Xie et al. 2019).",
    .options = &snas_table,
    .options_size = sizeof(snas_options),
    .create = snas_create,
    .destroy = snas_destroy,
    .plan = snas_plan,
    .choose = snas_choose,
    .loss = snas_loss,
    .after_step = snas_after_step,
    .n_parameters = lode_alpha_own_n_parameters,
    .parameter = lode_alpha_own_parameter,
    .optimizer = lode_alpha_own_optimizer,
    .watch = lode_alpha_own_watch,
    .probabilities = lode_alpha_own_probabilities,
    .mixture = lode_alpha_own_mixture,
    .report = snas_report,
    .save = lode_alpha_own_save,
    .load = lode_alpha_own_load,
};
