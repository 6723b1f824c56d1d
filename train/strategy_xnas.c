/* strategy_xnas.c: the options of a decision are experts whose mixture predicts; those who can no
   longer become the best are dropped and run no more (XNAS, Nayman et al. 2019).

   Expert k of a decision has a weight v_k, 1 at first; the mixture is sum_k v_k o_k / sum_k v_k
   over those still there. A turn of the architecture sees c_k = dL/d(weight of k) on the split
   "arch", and with the reward R_k = -c_k, bounded by |R_k| <= bound,

       v_k <- v_k exp(eta R_k)
       k is dropped for good when   v_k < max_j v_j exp(-2 eta bound (T - t))

   after t of T rounds: in each round that is left k can gain at most 2 eta bound on the best. The
   rate is by default the one of least regret, eta = sqrt(2 ln K / (T bound^2)).

   What a round is. rounds: sample   every image is one in every layer that reads the decision: with
                    25,000 images, 50 epochs and 6 cells eta is 7.4e-4 for 8 options. Cells of a
   type share a decision, so their rewards arrive as a sum, which is bounded by cells * bound.
                    rounds: step     every batch is one (in every such layer), with the mean reward.
   So decisions of cell types that appear more often have more rounds and a smaller rate.

   Weights are kept as logarithms, the largest at 0. The paper's own search code is not public; the
   count of rounds follows what is reported of it. */
#include "train/strategy_xnas.h"

#include "core/memory.h"
#include "train/alpha_internal.h"
#include "train/comm.h"
#include "train/xnas_mixture.h"

#include <math.h>

enum { XNAS_SAMPLE, XNAS_STEP };

typedef struct xnas_options {
    lode_alpha_options alpha;
    double eta, bound;
    int rounds;
} xnas_options;

#define ROW(name, type, field, def, min, max, words, help)                                         \
    { name, type, offsetof(xnas_options, field), def, min, max, words, help }
/* clang-format off */
static const lode_option xnas_rows[] = {
    LODE_ALPHA_TIME_ROWS(xnas_options, alpha, "before", "1"),
    LODE_ALPHA_WARMUP_ROW(xnas_options, alpha, "0"),
    LODE_WATCH_ROWS(xnas_options, alpha.watch),
    LODE_ALPHA_SEEK_ROWS(xnas_options, alpha),
    LODE_ALPHA_LOSS_ROWS(xnas_options, alpha),
    ROW("eta", LODE_OPT_F64, eta, "0", 0, 1e3, NULL, "learning rate of the experts' weights; 0: the one of least regret"),
    ROW("bound", LODE_OPT_F64, bound, "1", 1e-6, 1e6, NULL, "largest reward of a round"),
    ROW("rounds", LODE_OPT_ENUM, rounds, "sample", 0, 0, "sample|step", "a round is an image, or a batch"),
};
/* clang-format on */
static const lode_option_table xnas_table = {"arch", xnas_rows,
                                             sizeof xnas_rows / sizeof *xnas_rows};

typedef struct xnas_strategy {
    lode_alpha alpha; /* first: alpha_internal.h; its logits are ln v */
    xnas_options options;
    lode_var **mixture; /* [n] of the current pass */
    int *layers;        /* [n] that read the decision */
} xnas_strategy;

/* ---- life ---- */
static void xnas_destroy(void *self) {
    xnas_strategy *s = self;
    if (s == NULL) return;
    lode_alpha_deinit(&s->alpha);
    lode_free(s->mixture);
    lode_free(s->layers);
    lode_free(s);
}

static void xnas_count_layers(xnas_strategy *s) {
    for (int i = 0; i < lode_space_n_layers(s->alpha.space); i++) {
        lode_layer_info l = lode_space_layer(s->alpha.space, i);
        for (int d = l.first_decision; d < l.first_decision + l.n_decisions; d++) s->layers[d]++;
    }
}

static lode_status xnas_create(const lode_strategy_setup *setup, void **out) {
    lode_status status = LODE_OK;
    *out = NULL;
    xnas_strategy *s = LODE_NEW(xnas_strategy);
    if (s == NULL) return LODE_ERR_NO_MEMORY;
    s->options = *(const xnas_options *)setup->options;
    LODE_GOTO(lode_alpha_init(&s->alpha, &s->options.alpha, setup));
    s->mixture = LODE_NEW_ARRAY(lode_var *, s->alpha.n);
    s->layers = LODE_NEW_ARRAY(int, s->alpha.n);
    if (s->mixture == NULL || s->layers == NULL) LODE_GOTO(LODE_ERR_NO_MEMORY);
    xnas_count_layers(s);
    *out = s;
    return LODE_OK;
done:
    xnas_destroy(s);
    return status;
}

static void xnas_plan(void *self, int64_t epoch, lode_epoch_plan *out) {
    lode_alpha_plan(self, epoch, out);
}

/* ---- one pass ---- */
static uint64_t xnas_active(const lode_tensor *log_v) {
    uint64_t active = 0;
    for (int64_t k = 0; k < lode_tensor_count(log_v); k++)
        if (lode_at(log_v, k) > -INFINITY) active |= UINT64_C(1) << k;
    return active;
}

static int xnas_ranks(const lode_step *step) { return step->comm != NULL ? step->comm->size : 1; }

/* The loss is the mean over images of a rank, and its gradients are divided by the ranks. */
static lode_xnas_mixture_params xnas_mixture_of(const xnas_strategy *s, const lode_step *step,
                                                int d) {
    const double ranks = xnas_ranks(step), bound = s->options.bound * s->layers[d];
    if (step->turn == LODE_TURN_WEIGHTS) return (lode_xnas_mixture_params){0, 1, 0, 1};
    if (s->options.rounds == XNAS_STEP)
        return (lode_xnas_mixture_params){0, ranks, bound, 1 / ranks};
    return (lode_xnas_mixture_params){step->batch, (double)step->batch * ranks, bound, 1};
}

static lode_status xnas_choose(void *self, lode_tape *t, const lode_step *step,
                               lode_choice *choice) {
    xnas_strategy *s = self;
    for (int d = 0; d < s->alpha.n; d++) {
        const lode_xnas_mixture_params p = xnas_mixture_of(s, step, d);
        s->mixture[d] = lode_xnas_mixture(t, lode_parameter_var(t, s->alpha.p[d]), &p);
        choice[d] =
            (lode_choice){.active = xnas_active(s->alpha.p[d]->value), .weights = s->mixture[d]};
    }
    return lode_tape_status(t);
}

static lode_var *xnas_loss(void *self, lode_tape *t, const lode_step *step, lode_var *logits,
                           lode_var *cross_entropy) {
    xnas_strategy *s = self;
    (void)logits;
    if (step->turn == LODE_TURN_WEIGHTS) return cross_entropy;
    return lode_alpha_join_costs(&s->alpha, t, cross_entropy, s->mixture);
}

/* ---- a round ---- */
double lode_xnas_eta(int n, double rounds, double bound) {
    return n > 1 ? sqrt(2 * log(n) / rounds) / bound : 0;
}

void lode_xnas_round(double *log_v, const double *reward, int n, double eta, double bound,
                     double remaining) {
    double max = -INFINITY;
    for (int k = 0; k < n; k++) max = fmax(max, log_v[k] += eta * reward[k]);
    /* who stands exactly at the threshold can still draw level, whatever was rounded on the way */
    const double least = -2 * eta * bound * remaining - 1e-9;
    for (int k = 0; k < n; k++) {
        log_v[k] -= max;
        if (log_v[k] < least) log_v[k] = -INFINITY;
    }
}

static lode_status xnas_update(void *self, const lode_step *step) {
    xnas_strategy *s = self;
    for (int d = 0; d < s->alpha.n; d++) {
        double log_v[LODE_MAX_OPTIONS], reward[LODE_MAX_OPTIONS];
        const lode_parameter *p = s->alpha.p[d];
        int n = lode_space_decision(s->alpha.space, d)->n_options;
        double each = s->layers[d]; /* rounds of a step */
        if (s->options.rounds == XNAS_SAMPLE) each *= (double)step->batch * xnas_ranks(step);
        double rounds = each * (double)step->n_turn_steps;
        double left = each * (double)(step->n_turn_steps - step->turn_step - 1);
        double eta =
            s->options.eta > 0 ? s->options.eta : lode_xnas_eta(n, rounds, s->options.bound);
        for (int k = 0; k < n; k++) {
            log_v[k] = lode_at(p->value, k);
            reward[k] = p->grad != NULL && log_v[k] > -INFINITY ? -lode_at(p->grad, k) : 0;
        }
        lode_xnas_round(log_v, reward, n, eta, s->options.bound, left);
        for (int k = 0; k < n; k++) lode_put(p->value, k, log_v[k]);
    }
    return LODE_OK;
}

/* Experts that are left, over all decisions. */
static lode_status xnas_report(void *self, const lode_step *step, json_t *line) {
    const xnas_strategy *s = self;
    int left = 0;
    (void)step;
    for (int d = 0; d < s->alpha.n; d++)
        for (uint64_t a = xnas_active(s->alpha.p[d]->value); a != 0; a &= a - 1) left++;
    json_object_set_new(line, "experts", json_integer(left));
    return lode_alpha_report(&s->alpha, line);
}

const lode_strategy_plugin lode_strategy_xnas = {
    .name = "xnas",
    .about = "Exponentiated gradient over experts, dropped for good (Nayman et al. 2019, XNAS).",
    .options = &xnas_table,
    .options_size = sizeof(xnas_options),
    .create = xnas_create,
    .destroy = xnas_destroy,
    .plan = xnas_plan,
    .choose = xnas_choose,
    .loss = xnas_loss,
    .update = xnas_update,
    .after_step = lode_alpha_own_after_step,
    .n_parameters = lode_alpha_own_n_parameters,
    .parameter = lode_alpha_own_parameter,
    .watch = lode_alpha_own_watch,
    .probabilities = lode_alpha_own_probabilities,
    .mixture = lode_alpha_own_mixture,
    .report = xnas_report,
    .save = lode_alpha_own_save,
    .load = lode_alpha_own_load,
};
