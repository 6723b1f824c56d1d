/* strategy_reinforce.c: architectures are drawn, their accuracy is the reward, and the policy
   gradient moves the probabilities (ProxylessNAS-R, Cai et al. 2019; REINFORCE, Williams 1992).

   The weights are trained on one drawn path per step. A turn of the architecture draws M networks
   from p = softmax(alpha) and runs each forward on one validation batch; nothing goes backward
   through a network. With acc the share of right answers and R_m the reward of network m,

       b     <- b + baseline (mean R - b)          the first time: b <- mean R
       dL/dalpha_d = (1/M) sum_m (R_m - b) (p_d - onehot(a_m,d)) + entropy p (ln p + H)

   which is the gradient of -E[R] - entropy H. As in the authors' code b takes in the rewards before
   it is compared with them: that scales the first term by exactly 1 - baseline / M, and changes no
   direction; `baseline_first: false` does it the other way round. A reward joins acc with the costs
   C of the drawn network, target T and strength w:

       accuracy   acc
       product    acc prod (T / C)^w           (ProxylessNAS: w 0.1; MnasNet, soft: w 0.07)
       penalty    acc prod min(1, T / C)^w     (MnasNet, hard: w 1)
       additive   acc - sum w (C / T - 1)
       absolute   acc - sum w |C / T - 1|      (TuNAS, Bender et al. 2020: w 0.07)
       fnas       acc + C / T; above T, 1 - C / T whatever acc is; of several costs the worst
                                               (FNAS, Jiang et al. 2019: using up T is rewarded)
       nasaic     acc - sum w max(0, C - T) / (B - T), B the bound: the largest cost there is
                                               (NASAIC, Yang et al. 2020: w 10)

   Costs are those of drawn networks, so any cost model will do, one without gradient too. With
   arch.seek the reward loses pull (C / T - 1) for every limit (alpha_internal.h); where a cost has
   no expectation, the mean over the M networks stands for it.

   Draws do not ask for the space's constraints: drawing anew would change the distribution whose
   gradient this is. */
#include "core/memory.h"
#include "ops/ops.h"
#include "ops/relaxed.h"
#include "train/alpha_internal.h"
#include "train/comm.h"
#include "train/evaluate.h"

#include <math.h>
#include <string.h>

enum {
    REWARD_ACCURACY,
    REWARD_PRODUCT,
    REWARD_PENALTY,
    REWARD_ADDITIVE,
    REWARD_ABSOLUTE,
    REWARD_FNAS,
    REWARD_NASAIC
};

typedef struct reinforce_options {
    lode_alpha_options alpha;
    int64_t samples;
    int reward;
    lode_f64_list strength, target, bound;
    double baseline, entropy;
    bool baseline_first;
} reinforce_options;

#define ROW(name, type, field, def, min, max, words, help)                                         \
    { name, type, offsetof(reinforce_options, field), def, min, max, words, help }
/* clang-format off */
static const lode_option reinforce_rows[] = {
    LODE_ALPHA_TURN_ROWS(reinforce_options, alpha, "0.001", "0", "0", "alternate", "5", "1"),
    LODE_ALPHA_SEEK_ROWS(reinforce_options, alpha),
    ROW("samples", LODE_OPT_INT, samples, "10", 1, 1000, "networks", "drawn in an architecture step, all judged on its batch"),
    ROW("reward", LODE_OPT_ENUM, reward, "product", 0, 0, "accuracy|product|penalty|additive|absolute|fnas|nasaic", "acc; acc (T/C)^w; acc min(1,T/C)^w; acc - w (C/T - 1); acc - w |C/T - 1|; acc + C/T, or 1 - C/T above T; acc - w max(0, C - T)/(B - T)"),
    ROW("strength", LODE_OPT_F64_LIST, strength, NULL, 0, 0, NULL, "w of each cost in the reward; default 0.1"),
    ROW("target", LODE_OPT_F64_LIST, target, NULL, 0, 0, "unit of the cost", "T of each cost in the reward"),
    ROW("bound", LODE_OPT_F64_LIST, bound, NULL, 0, 0, "unit of the cost", "reward nasaic: B of each cost, where the penalty is its full strength; default: the largest in the space"),
    ROW("baseline", LODE_OPT_F64, baseline, "0.99", 0, 1, NULL, "share of the way the baseline goes to a step's mean reward; 0: no baseline"),
    ROW("baseline_first", LODE_OPT_BOOL, baseline_first, "true", 0, 0, NULL, "the baseline moves before a step's rewards are compared with it, as in the authors' code; false: after"),
    ROW("entropy", LODE_OPT_F64, entropy, "0", 0, 1e6, NULL, "weight of the entropy, which is to be large"),
};
/* clang-format on */
static const lode_option_table reinforce_table = {"arch", reinforce_rows,
                                                  sizeof reinforce_rows / sizeof *reinforce_rows};

typedef struct reinforce_drawn {
    lode_arch arch;
    double accuracy;
} reinforce_drawn;

/* What a step learns, kept until after_step: a pass that is done again finds the old state. */
typedef struct reinforce_numbers {
    double known; /* a baseline has been set */
    double baseline, reward;
} reinforce_numbers;
enum { REINFORCE_NUMBERS = sizeof(reinforce_numbers) / sizeof(double) };

typedef struct reinforce_strategy {
    lode_alpha alpha;
    reinforce_options options;
    double strength[LODE_ALPHA_MAX_COSTS], target[LODE_ALPHA_MAX_COSTS];
    double bound[LODE_ALPHA_MAX_COSTS]; /* reward nasaic */
    reinforce_drawn *drawn;             /* [samples] of the current step */
    double *reward;                     /* [samples] */
    int64_t summed; /* the step whose accuracies are those of all ranks; -1: none */
    reinforce_numbers now, next;
    double seen[LODE_ALPHA_MAX_COSTS]; /* [n_seeks] costs that the multipliers learn from */
} reinforce_strategy;

static void reinforce_destroy(void *self) {
    reinforce_strategy *s = self;
    if (s == NULL) return;
    lode_alpha_deinit(&s->alpha);
    lode_free(s->drawn);
    lode_free(s->reward);
    lode_free(s);
}

static double reinforce_nth(const lode_f64_list *list, int i, double none) {
    return list->n > 0 ? list->v[i < list->n ? i : list->n - 1] : none;
}

/* NASAIC measures a broken limit by what could be the worst. */
static lode_status reinforce_read_bound(reinforce_strategy *s, const lode_strategy_setup *setup,
                                        int i) {
    double min = 0;
    s->bound[i] = reinforce_nth(&s->options.bound, i, 0);
    if (!(s->bound[i] > 0))
        LODE_TRY(lode_cost_range(setup->cost[i], &min, &s->bound[i], NULL, NULL, NULL));
    if (s->bound[i] > s->target[i]) return LODE_OK;
    return LODE_FAIL(
        LODE_ERR_CONFIG,
        "reward nasaic: the bound of cost %s is %.5g, not above its target %.5g; lower "
        "arch.target, or give arch.bound",
        lode_cost_name(setup->cost[i]), s->bound[i], s->target[i]);
}

static lode_status reinforce_read_costs(reinforce_strategy *s, const lode_strategy_setup *setup) {
    if (s->options.reward == REWARD_ACCURACY) return LODE_OK;
    if (setup->n_costs > LODE_ALPHA_MAX_COSTS)
        return LODE_FAIL(LODE_ERR_CONFIG, "%d costs in the reward; at most %d", setup->n_costs,
                         (int)LODE_ALPHA_MAX_COSTS);
    for (int i = 0; i < setup->n_costs; i++) {
        s->strength[i] = reinforce_nth(&s->options.strength, i, 0.1);
        s->target[i] = reinforce_nth(&s->options.target, i, 0);
        if (!(s->target[i] > 0) || isinf(s->target[i]) || !isfinite(s->strength[i]))
            return LODE_FAIL(
                LODE_ERR_CONFIG,
                "the reward compares cost %s with a target, which must be above 0 (%s):"
                " seen %g; set arch.target, or arch.reward accuracy",
                lode_cost_name(setup->cost[i]), lode_cost_unit(setup->cost[i]), s->target[i]);
        if (s->options.reward == REWARD_NASAIC) LODE_TRY(reinforce_read_bound(s, setup, i));
    }
    return LODE_OK;
}

static lode_status reinforce_create(const lode_strategy_setup *setup, void **out) {
    lode_status status = LODE_OK;
    *out = NULL;
    reinforce_strategy *s = LODE_NEW(reinforce_strategy);
    if (s == NULL) return LODE_ERR_NO_MEMORY;
    s->options = *(const reinforce_options *)setup->options;
    s->summed = -1;
    LODE_GOTO(lode_alpha_init_drawn(&s->alpha, &s->options.alpha, setup));
    LODE_GOTO(reinforce_read_costs(s, setup));
    s->drawn = LODE_NEW_ARRAY(reinforce_drawn, s->options.samples);
    s->reward = LODE_NEW_ARRAY(double, s->options.samples);
    LODE_GOTO(s->drawn != NULL && s->reward != NULL ? LODE_OK : LODE_ERR_NO_MEMORY);
    *out = s;
    return LODE_OK;
done:
    reinforce_destroy(s);
    return status;
}

static void reinforce_plan(void *self, int64_t epoch, lode_epoch_plan *out) {
    lode_alpha_plan(&((const reinforce_strategy *)self)->alpha, epoch, out);
}

static int reinforce_n_passes(void *self, const lode_step *step) {
    const reinforce_strategy *s = self;
    return step->turn == LODE_TURN_ARCH ? (int)s->options.samples : 1;
}

static lode_status reinforce_choose(void *self, lode_tape *t, const lode_step *step,
                                    lode_choice *choice) {
    reinforce_strategy *s = self;
    lode_arch arch = {.n = s->alpha.n};
    (void)t;
    for (int d = 0; d < arch.n; d++) {
        double p[LODE_MAX_OPTIONS];
        lode_rng rng = lode_rng_stream(step->seed, LODE_RNG_SAMPLE_ARCH, (uint64_t)step->step);
        rng.position = (uint64_t)step->pass << 20 | (uint64_t)d << 4;
        lode_alpha_probabilities(&s->alpha, d, p);
        arch.option[d] =
            (uint8_t)lode_rng_pick(&rng, p, lode_space_decision(s->alpha.space, d)->n_options);
    }
    if (step->turn == LODE_TURN_ARCH) s->drawn[step->pass].arch = arch;
    lode_choice_from_arch(&arch, choice);
    return LODE_OK;
}

/* ---- rewards ---- */

static lode_status reinforce_join_cost(const reinforce_strategy *s, int i, const lode_arch *arch,
                                       double *reward) {
    double cost = 0;
    LODE_TRY(lode_cost_hard(s->alpha.cost[i], arch, &cost));
    double w = s->strength[i], over = cost / s->target[i] - 1;
    bool is_power = s->options.reward == REWARD_PRODUCT || s->options.reward == REWARD_PENALTY;
    if (is_power && !(cost > 0))
        return LODE_FAIL(LODE_ERR_NUMERIC,
                         "cost %s of a drawn network is %g, and this reward divides by it: use "
                         "arch.reward additive or absolute",
                         lode_cost_name(s->alpha.cost[i]), cost);
    switch (s->options.reward) {
    case REWARD_PRODUCT:
        *reward *= pow(s->target[i] / cost, w);
        break;
    case REWARD_PENALTY:
        *reward *= pow(fmin(1, s->target[i] / cost), w);
        break;
    case REWARD_ADDITIVE:
        *reward -= w * over;
        break;
    case REWARD_ABSOLUTE:
        *reward -= w * fabs(over);
        break;
    case REWARD_FNAS: /* below 0: a limit is broken already */
        *reward = over > 0 ? fmin(*reward, -over) : *reward < 0 ? *reward : *reward + over + 1;
        break;
    case REWARD_NASAIC:
        *reward -= w * fmax(0, cost - s->target[i]) / (s->bound[i] - s->target[i]);
        break;
    default:
        break;
    }
    return LODE_OK;
}

/* Every rank has judged its own part of the batch; all parts are of one size. */
static lode_status reinforce_sum_ranks(reinforce_strategy *s, const lode_step *step) {
    int n = step->n_passes;
    if (s->summed == step->step || step->comm == NULL || step->comm->size == 1) return LODE_OK;
    for (int m = 0; m < n; m++) s->reward[m] = s->drawn[m].accuracy;
    LODE_TRY(lode_comm_sum(step->comm, s->reward, n));
    for (int m = 0; m < n; m++) s->drawn[m].accuracy = s->reward[m] / step->comm->size;
    s->summed = step->step;
    return LODE_OK;
}

/* The cost a limit is compared with: expected where that is known, else the mean of the draws. */
static lode_status reinforce_see(reinforce_strategy *s, int i, int n) {
    lode_cost *cost = s->alpha.seek[i].cost;
    if (lode_cost_has_gradient(cost)) return lode_alpha_expected(&s->alpha, cost, &s->seen[i]);
    double sum = 0;
    for (int m = 0; m < n; m++) {
        double value = 0;
        LODE_TRY(lode_cost_hard(cost, &s->drawn[m].arch, &value));
        sum += value;
    }
    s->seen[i] = sum / n;
    return LODE_OK;
}

static lode_status reinforce_reward(const reinforce_strategy *s, int m) {
    const reinforce_drawn *drawn = &s->drawn[m];
    double reward = drawn->accuracy;
    int n_costs = s->options.reward == REWARD_ACCURACY ? 0 : s->alpha.n_costs;
    for (int i = 0; i < n_costs; i++) LODE_TRY(reinforce_join_cost(s, i, &drawn->arch, &reward));
    for (int i = 0; i < s->alpha.n_seeks; i++) {
        double cost = 0;
        const lode_limit *limit = &s->alpha.seek[i];
        LODE_TRY(lode_cost_hard(limit->cost, &drawn->arch, &cost));
        reward -= lode_alpha_pull(&s->alpha, i, s->seen[i]) * (cost / limit->most - 1);
    }
    s->reward[m] = reward;
    return LODE_OK;
}

/* Rewards of all networks of the step, and the baseline that comes of them. */
static lode_status reinforce_judge(reinforce_strategy *s, const lode_step *step) {
    int n = step->n_passes;
    double mean = 0;
    LODE_TRY(reinforce_sum_ranks(s, step));
    for (int i = 0; i < s->alpha.n_seeks; i++) LODE_TRY(reinforce_see(s, i, n));
    for (int m = 0; m < n; m++) {
        LODE_TRY(reinforce_reward(s, m));
        mean += s->reward[m] / n;
    }
    double b = s->now.known > 0 ? s->now.baseline : mean;
    s->next = (reinforce_numbers){1, b + s->options.baseline * (mean - b), mean};
    if (!(s->options.baseline > 0)) s->next.baseline = 0;
    return LODE_OK;
}

/* ---- the gradient ---- */

/* g[n_options] of decision d; all zero where there is nothing to learn from. */
static void reinforce_gradient(const reinforce_strategy *s, const lode_step *step, int d,
                               double *g) {
    double p[LODE_MAX_OPTIONS], h = 0;
    int n = lode_space_decision(s->alpha.space, d)->n_options;
    bool before = s->options.baseline_first || s->now.known == 0;
    double b = before ? s->next.baseline : s->now.baseline;
    memset(g, 0, (size_t)n * sizeof *g);
    if (step->labels == NULL) return;
    lode_alpha_probabilities(&s->alpha, d, p);
    for (int k = 0; k < n; k++) h -= p[k] > 0 ? p[k] * log(p[k]) : 0;
    for (int m = 0; m < step->n_passes; m++) {
        double advantage = (s->reward[m] - b) / step->n_passes;
        for (int k = 0; k < n; k++) g[k] += advantage * (p[k] - (k == s->drawn[m].arch.option[d]));
    }
    for (int k = 0; k < n; k++)
        if (p[k] > 0) g[k] += s->options.entropy * p[k] * (log(p[k]) + h);
}

/* sum over decisions of <alpha, g>: what has the gradient g. */
static lode_var *reinforce_surrogate(const reinforce_strategy *s, lode_tape *t,
                                     const lode_step *step) {
    lode_var *sum = NULL;
    for (int d = 0; d < s->alpha.n; d++) {
        double g[LODE_MAX_OPTIONS];
        const lode_tensor *alpha = s->alpha.p[d]->value;
        lode_tensor *v = NULL;
        reinforce_gradient(s, step, d, g);
        if (lode_tensor_create(NULL, alpha->dtype, &alpha->shape, LODE_CONTIGUOUS, &v) != LODE_OK)
            return lode_tape_fail(t, LODE_ERR_NO_MEMORY);
        for (int64_t k = 0; k < lode_tensor_count(v); k++) lode_put(v, k, g[k]);
        lode_var *product =
            lode_mul(t, lode_parameter_var(t, s->alpha.p[d]), lode_tape_constant(t, v));
        lode_tensor_release(v);
        lode_var *one = lode_reduce_sum(t, product, (lode_reduce_params){.dims = 1});
        sum = sum == NULL ? one : lode_add(t, sum, one);
    }
    return sum;
}

/* The mean cross entropy to look at, with the policy gradient behind it. */
static lode_var *reinforce_loss(void *self, lode_tape *t, const lode_step *step, lode_var *logits,
                                lode_var *cross_entropy) {
    reinforce_strategy *s = self;
    lode_status status = LODE_OK;
    if (step->turn == LODE_TURN_WEIGHTS) return cross_entropy;
    lode_var *part = lode_scale(t, cross_entropy, 1.0 / step->n_passes, 0);
    if (part == NULL) return NULL;
    bool last = step->pass == step->n_passes - 1;
    if (step->labels != NULL && s->summed != step->step) {
        double rows = (double)logits->value->shape.dim[0];
        s->drawn[step->pass].accuracy =
            (double)lode_count_correct(logits->value, step->labels) / rows;
    }
    if (!last) return part;
    if (step->labels != NULL) status = reinforce_judge(s, step);
    if (status != LODE_OK) return lode_tape_fail(t, status);
    return lode_straight_through(t, part, reinforce_surrogate(s, t, step));
}

static lode_status reinforce_after_step(void *self, const lode_step *step, double loss) {
    reinforce_strategy *s = self;
    (void)loss;
    if (step->turn != LODE_TURN_ARCH) return LODE_OK;
    s->now = s->next;
    s->summed = -1;
    lode_alpha_learn(&s->alpha, s->seen);
    return LODE_OK;
}

/* ---- parameters, report, state ---- */
static int reinforce_n_parameters(const void *self) {
    return ((const reinforce_strategy *)self)->alpha.n;
}
static lode_parameter *reinforce_parameter(const void *self, int i) {
    return ((const reinforce_strategy *)self)->alpha.p[i];
}
static void reinforce_optimizer(const void *self, lode_optimizer_options *options, double *lr) {
    lode_alpha_optimizer(&((const reinforce_strategy *)self)->alpha, options, lr);
}
static void reinforce_probabilities(const void *self, int decision, double *p) {
    lode_alpha_probabilities(&((const reinforce_strategy *)self)->alpha, decision, p);
}

static lode_status reinforce_report(void *self, const lode_step *step, json_t *line) {
    const reinforce_strategy *s = self;
    (void)step;
    json_object_set_new(line, "reward", lode_json_number(s->now.reward));
    json_object_set_new(line, "baseline", lode_json_number(s->now.baseline));
    return lode_alpha_report(&s->alpha, line);
}

static lode_status reinforce_save(const void *self, lode_state *state) {
    const reinforce_strategy *s = self;
    double numbers[REINFORCE_NUMBERS];
    memcpy(numbers, &s->now, sizeof numbers);
    LODE_TRY(lode_state_add_numbers(state, "arch_reinforce", numbers, REINFORCE_NUMBERS));
    return lode_alpha_save(&s->alpha, state);
}

static lode_status reinforce_load(void *self, lode_checkpoint *c) {
    reinforce_strategy *s = self;
    double numbers[REINFORCE_NUMBERS];
    LODE_TRY(lode_checkpoint_load_numbers(c, "arch_reinforce", numbers, REINFORCE_NUMBERS));
    memcpy(&s->now, numbers, sizeof numbers);
    return lode_alpha_load(&s->alpha, c);
}

const lode_strategy_plugin lode_strategy_reinforce = {
    .name = "reinforce",
    .about = "Drawn paths, probabilities by policy gradient (Cai et al. 2019, ProxylessNAS-R).",
    .options = &reinforce_table,
    .options_size = sizeof(reinforce_options),
    .create = reinforce_create,
    .destroy = reinforce_destroy,
    .plan = reinforce_plan,
    .n_passes = reinforce_n_passes,
    .choose = reinforce_choose,
    .loss = reinforce_loss,
    .after_step = reinforce_after_step,
    .n_parameters = reinforce_n_parameters,
    .parameter = reinforce_parameter,
    .optimizer = reinforce_optimizer,
    .watch = lode_alpha_own_watch,
    .probabilities = reinforce_probabilities,
    .mixture = lode_alpha_own_mixture,
    .report = reinforce_report,
    .save = reinforce_save,
    .load = reinforce_load,
};
