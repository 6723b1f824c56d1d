/* strategy_binary_gates.c: one path is active at a time, drawn from softmax(alpha), and alpha still
   learns from how the paths compare (ProxylessNAS, Cai et al. 2019).

   In a turn of the weights only the drawn option of a decision runs. In a turn of the architecture
   the output is that of the drawn option too, but the gradient is that of a mixture: with
   c_j = <dL/do, o_j> for the output o and candidate j,

       paths: all     p = softmax(alpha), all options run:   dL/dalpha_i = p_i (c_i - sum_j p_j c_j)
       paths: two     two options a != b are drawn from p, q = softmax(alpha_a, alpha_b), one of
                      them is active, drawn from q; only these two run, and only their alphas
   change: dL/dalpha_i = q_i (c_i - sum_j q_j c_j)

   After a two-path step both are shifted by the same amount, so that exp(alpha_a) + exp(alpha_b)
   is what it was: the probabilities of the options that were not drawn stay the same. That needs an
   optimizer without momentum (beta1 0, the default), or options drawn earlier would move too.

   Costs are expected under p, or under q with zeros elsewhere.

   An option that computes nothing (skip, none: the paper's Zero) is an option like any other here.
   The authors' code gives a decision no gradient at all, that of the costs included, in a step
   whose active option is Zero, and leaves out the shift; arch.zero: hold does so too. */
#include "train/strategy_binary_gates.h"

#include "core/memory.h"
#include "ops/relaxed.h"
#include "train/alpha_internal.h"

#include <math.h>

enum { GATES_ALL, GATES_TWO };

enum { GATES_ZERO_LEARN, GATES_ZERO_HOLD };

typedef struct gates_options {
    lode_alpha_options alpha;
    int paths, zero;
} gates_options;

static const lode_option gates_rows[] = {
    LODE_ALPHA_ROWS(gates_options, alpha, "0.001", "0", "0", "alternate", "5"),
    {"paths", LODE_OPT_ENUM, offsetof(gates_options, paths), "two", 0, 0, "all|two",
     "options that run in an architecture step: all of a decision, or two drawn ones"},
    {"zero", LODE_OPT_ENUM, offsetof(gates_options, zero), "learn", 0, 0, "learn|hold",
     "a decision whose active option is skip or none: learns as any, or is held for that step, as "
     "the authors' code does"},
};
static const lode_option_table gates_table = {"arch", gates_rows,
                                              sizeof gates_rows / sizeof *gates_rows};

/* What an architecture step has drawn at a decision. */
typedef struct gates_pair {
    int a, b;                /* b < 0: one option only */
    double alpha_a, alpha_b; /* before the step */
} gates_pair;

typedef struct gates_strategy {
    lode_alpha alpha;
    gates_options options;
    lode_var **mixture; /* [n] p or q of the current pass, what costs are expected under */
    gates_pair *pair;   /* [n] */
} gates_strategy;

static void gates_destroy(void *self) {
    gates_strategy *s = self;
    if (s == NULL) return;
    lode_alpha_deinit(&s->alpha);
    lode_free(s->mixture);
    lode_free(s->pair);
    lode_free(s);
}

static lode_status gates_create(const lode_strategy_setup *setup, void **out) {
    lode_status status = LODE_OK;
    *out = NULL;
    gates_strategy *s = LODE_NEW(gates_strategy);
    if (s == NULL) return LODE_ERR_NO_MEMORY;
    s->options = *(const gates_options *)setup->options;
    LODE_GOTO(lode_alpha_init(&s->alpha, &s->options.alpha, setup));
    s->mixture = LODE_NEW_ARRAY(lode_var *, s->alpha.n);
    s->pair = LODE_NEW_ARRAY(gates_pair, s->alpha.n);
    LODE_GOTO(s->mixture != NULL && s->pair != NULL ? LODE_OK : LODE_ERR_NO_MEMORY);
    *out = s;
    return LODE_OK;
done:
    gates_destroy(s);
    return status;
}

static void gates_plan(void *self, int64_t epoch, lode_epoch_plan *out) {
    lode_alpha_plan(&((const gates_strategy *)self)->alpha, epoch, out);
}

/* ---- drawing ---- */

/* An index drawn with probability p[k] / sum p. */
static int gates_draw(lode_rng *rng, const double *p, int n) {
    double sum = 0, u = lode_rng_uniform(rng);
    int last = 0;
    for (int k = 0; k < n; k++) sum += p[k];
    u *= sum;
    for (int k = 0; k < n; k++) {
        if (p[k] <= 0) continue;
        last = k;
        if ((u -= p[k]) < 0) return k;
    }
    return last;
}

/* Two different options from p; their probabilities are left in p, the others are zeroed. */
static gates_pair gates_draw_pair(const gates_strategy *s, lode_rng *rng, int d, double *p) {
    const lode_tensor *alpha = s->alpha.p[d]->value;
    int n = lode_space_decision(s->alpha.space, d)->n_options;
    double rest[LODE_MAX_OPTIONS];
    gates_pair pair = {.a = gates_draw(rng, p, n), .b = -1};
    pair.alpha_a = lode_at(alpha, pair.a);
    if (n > 1) {
        for (int k = 0; k < n; k++) rest[k] = k == pair.a ? 0 : fmax(p[k], 1e-300);
        pair.b = gates_draw(rng, rest, n);
        pair.alpha_b = lode_at(alpha, pair.b);
    }
    for (int k = 0; k < n; k++)
        p[k] = k != pair.a && k != pair.b ? 0 : exp(lode_at(alpha, k) - pair.alpha_a);
    return pair;
}

/* A constant [K] on the tape: `in` where chosen has a bit, `out` elsewhere. */
static lode_var *gates_constant(lode_tape *t, const lode_tensor *like, uint64_t chosen, double in,
                                double out) {
    lode_tensor *v = NULL;
    if (lode_tensor_create(NULL, like->dtype, &like->shape, LODE_CONTIGUOUS, &v) != LODE_OK)
        return lode_tape_fail(t, LODE_ERR_NO_MEMORY);
    for (int64_t k = 0; k < lode_tensor_count(v); k++) lode_put(v, k, chosen >> k & 1 ? in : out);
    lode_var *var = lode_tape_constant(t, v);
    lode_tensor_release(v);
    return var;
}

/* One decision of an architecture step: `p` its probabilities, changed on the way. */
static void gates_open(gates_strategy *s, lode_tape *t, lode_rng *rng, int d, double *p,
                       lode_choice *choice) {
    /* exp(-1e4) is 0 in every dtype, and stays finite where an infinity would not */
    enum { GATES_CLOSED = -10000 };
    const lode_tensor *value = s->alpha.p[d]->value;
    int n = lode_space_decision(s->alpha.space, d)->n_options;
    lode_var *alpha = lode_parameter_var(t, s->alpha.p[d]);
    choice->active = (UINT64_C(1) << n) - 1;
    if (s->options.paths == GATES_TWO) {
        gates_pair pair = s->pair[d] = gates_draw_pair(s, rng, d, p);
        choice->active = UINT64_C(1) << pair.a | (pair.b < 0 ? 0 : UINT64_C(1) << pair.b);
        alpha = lode_add(t, alpha, gates_constant(t, value, choice->active, 0, GATES_CLOSED));
    }
    int open = gates_draw(rng, p, n);
    lode_var *gate = gates_constant(t, value, UINT64_C(1) << open, 1, 0);
    s->mixture[d] = lode_softmax(t, alpha);
    if (s->options.zero == GATES_ZERO_HOLD && lode_space_option_is_empty(s->alpha.space, d, open)) {
        s->mixture[d] = lode_detach(t, s->mixture[d]);
        s->pair[d].b = -1; /* nothing moves: nothing to shift */
    }
    choice->weights = lode_straight_through(t, gate, s->mixture[d]);
}

static lode_status gates_choose(void *self, lode_tape *t, const lode_step *step,
                                lode_choice *choice) {
    gates_strategy *s = self;
    for (int d = 0; d < s->alpha.n; d++) {
        double p[LODE_MAX_OPTIONS];
        int n = lode_space_decision(s->alpha.space, d)->n_options;
        lode_rng rng = lode_rng_stream(step->seed, LODE_RNG_SAMPLE_ARCH, (uint64_t)step->step);
        rng.position = (uint64_t)d << 40;
        lode_alpha_probabilities(&s->alpha, d, p);
        if (step->turn == LODE_TURN_WEIGHTS)
            choice[d] = (lode_choice){.active = UINT64_C(1) << gates_draw(&rng, p, n)};
        else
            gates_open(s, t, &rng, d, p, &choice[d]);
    }
    return lode_tape_status(t);
}

static lode_var *gates_loss(void *self, lode_tape *t, const lode_step *step, lode_var *logits,
                            lode_var *cross_entropy) {
    gates_strategy *s = self;
    (void)logits;
    if (step->turn == LODE_TURN_WEIGHTS) return cross_entropy;
    return lode_alpha_join_costs(&s->alpha, t, cross_entropy, s->mixture);
}

/* ---- after the step ---- */

double lode_binary_gates_shift(double old_a, double old_b, double new_a, double new_b) {
    double before = fmax(old_a, old_b) + log1p(exp(-fabs(old_a - old_b)));
    double after = fmax(new_a, new_b) + log1p(exp(-fabs(new_a - new_b)));
    return after - before;
}

static lode_status gates_after_step(void *self, const lode_step *step, double loss) {
    gates_strategy *s = self;
    (void)loss;
    if (step->turn == LODE_TURN_WEIGHTS) return LODE_OK;
    if (s->options.paths != GATES_TWO) return lode_alpha_after_step(&s->alpha, step);
    for (int d = 0; d < s->alpha.n; d++) {
        const gates_pair *pair = &s->pair[d];
        lode_tensor *alpha = s->alpha.p[d]->value;
        if (pair->b < 0) continue;
        double a = lode_at(alpha, pair->a), b = lode_at(alpha, pair->b);
        double shift = lode_binary_gates_shift(pair->alpha_a, pair->alpha_b, a, b);
        lode_put(alpha, pair->a, a - shift);
        lode_put(alpha, pair->b, b - shift);
    }
    return lode_alpha_after_step(&s->alpha, step);
}

/* ---- parameters, report, state ---- */
static int gates_n_parameters(const void *self) { return ((const gates_strategy *)self)->alpha.n; }
static lode_parameter *gates_parameter(const void *self, int i) {
    return ((const gates_strategy *)self)->alpha.p[i];
}
static void gates_optimizer(const void *self, lode_optimizer_options *options, double *lr) {
    lode_alpha_optimizer(&((const gates_strategy *)self)->alpha, options, lr);
}
static void gates_probabilities(const void *self, int decision, double *p) {
    lode_alpha_probabilities(&((const gates_strategy *)self)->alpha, decision, p);
}
static lode_status gates_report(void *self, const lode_step *step, json_t *line) {
    (void)step;
    return lode_alpha_report(&((const gates_strategy *)self)->alpha, line);
}

static lode_status gates_save(const void *self, lode_state *s) {
    return lode_alpha_save(&((const gates_strategy *)self)->alpha, s);
}
static lode_status gates_load(void *self, lode_checkpoint *c) {
    return lode_alpha_load(&((gates_strategy *)self)->alpha, c);
}

const lode_strategy_plugin lode_strategy_binary_gates = {
    .name = "binary_gates",
    .about = "One drawn path at a time, alphas learn from two (Cai et al. 2019, ProxylessNAS).",
    .options = &gates_table,
    .options_size = sizeof(gates_options),
    .create = gates_create,
    .destroy = gates_destroy,
    .plan = gates_plan,
    .choose = gates_choose,
    .loss = gates_loss,
    .after_step = gates_after_step,
    .n_parameters = gates_n_parameters,
    .parameter = gates_parameter,
    .optimizer = gates_optimizer,
    .watch = lode_alpha_own_watch,
    .probabilities = gates_probabilities,
    .mixture = lode_alpha_own_mixture,
    .report = gates_report,
    .save = gates_save,
    .load = gates_load,
};
