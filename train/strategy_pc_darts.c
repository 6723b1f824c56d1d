/* strategy_pc_darts.c: DARTS that mixes on a part of the channels and weighs the edges into a node
   (PC-DARTS, Xu et al. 2020).

   An edge e of a cell, from state j, has logits alpha_e [K] and gives f_e = sum_k
   softmax(alpha_e)_k o_k(x_j). A node with n edges has logits beta [n] of its own, normal(0, 0.001)
   at first like alpha, and is sum_e softmax(beta)_e f_e: the mean of its edges while beta is equal.
   Since which channels take part changes from edge to edge, single alphas fluctuate; beta is shared
   by all of an edge's options and steadies the choice. DARTS' derivation compares softmax(alpha)
   softmax(beta).

   How many channels take part is the supernet's matter: space.partial (supernet/partial.c); the
   paper has 4. Alpha and beta learn in turns of the first order, on the split "arch", frozen in the
   first 15 epochs. */
#include "core/memory.h"
#include "ops/ops.h"
#include "train/alpha_internal.h"

#include <math.h>

typedef struct pc_options {
    lode_alpha_options alpha;
} pc_options;

static const lode_option pc_rows[] = {
    LODE_ALPHA_TURN_ROWS(pc_options, alpha, "6e-4", "1e-3", "0.5", "before", "1", "15"),
    LODE_ALPHA_SEEK_ROWS(pc_options, alpha),
    LODE_ALPHA_LOSS_ROWS(pc_options, alpha),
    LODE_ALPHA_INIT_ROW(pc_options, alpha, "0.001"),
};
static const lode_option_table pc_table = {"arch", pc_rows, sizeof pc_rows / sizeof *pc_rows};

typedef struct pc_strategy {
    lode_alpha alpha; /* first: alpha_internal.h */
    pc_options options;
    int n_nodes;
    lode_parameter **beta; /* [n_nodes], each [edges into it] */
    int *node;             /* [n] of a decision; -1: no edge of a cell */
    int *place;            /* [n] among the edges into its node */
    lode_var **mixture;    /* [n] of the current pass */
} pc_strategy;

/* ---- life ---- */
static void pc_destroy(void *self) {
    pc_strategy *s = self;
    if (s == NULL) return;
    for (int i = 0; i < s->n_nodes; i++) lode_parameter_destroy(s->beta[i]);
    lode_alpha_deinit(&s->alpha);
    lode_free(s->beta);
    lode_free(s->node);
    lode_free(s->place);
    lode_free(s->mixture);
    lode_free(s);
}

/* The logits of one node, named after its first edge. */
static lode_status pc_make_beta(pc_strategy *s, const lode_strategy_setup *setup, int first,
                                int n_edges) {
    char *name = lode_format("arch/beta.%s", lode_space_decision(s->alpha.space, first)->name);
    lode_parameter **beta = &s->beta[s->n_nodes];
    if (name == NULL) return LODE_ERR_NO_MEMORY;
    lode_status status = lode_parameter_create(
        name, LODE_PARAM_LOGITS, lode_supernet_dtype(setup->net), &LODE_SHAPE1(n_edges), beta);
    lode_rng rng =
        lode_rng_stream(lode_supernet_seed(setup->net), LODE_RNG_INIT, lode_hash_text(name));
    lode_free(name);
    LODE_TRY(status);
    s->n_nodes++;
    return lode_tensor_fill_normal((*beta)->value, &rng, 0, s->options.alpha.init);
}

static lode_status pc_make_nodes(pc_strategy *s, const lode_strategy_setup *setup) {
    for (int d = 0; d < s->alpha.n; d++) {
        int n_edges = 0, first = lode_space_node_of(s->alpha.space, d, &n_edges);
        s->node[d] = -1;
        if (first == d) LODE_TRY(pc_make_beta(s, setup, first, n_edges));
        if (first < 0) continue;
        s->node[d] = s->n_nodes - 1;
        s->place[d] = d - first;
    }
    return s->n_nodes > 0 ? LODE_OK
                          : LODE_FAIL(LODE_ERR_CONFIG,
                                      "space %s has no cells, whose edges could be weighed: use "
                                      "strategy darts",
                                      lode_space_name(s->alpha.space));
}

static lode_status pc_create(const lode_strategy_setup *setup, void **out) {
    lode_status status = LODE_OK;
    *out = NULL;
    pc_strategy *s = LODE_NEW(pc_strategy);
    if (s == NULL) return LODE_ERR_NO_MEMORY;
    s->options = *(const pc_options *)setup->options;
    LODE_GOTO(lode_alpha_init(&s->alpha, &s->options.alpha, setup));
    s->beta = LODE_NEW_ARRAY(lode_parameter *, s->alpha.n);
    s->node = LODE_NEW_ARRAY(int, s->alpha.n);
    s->place = LODE_NEW_ARRAY(int, s->alpha.n);
    s->mixture = LODE_NEW_ARRAY(lode_var *, s->alpha.n);
    if (!s->beta || !s->node || !s->place || !s->mixture) LODE_GOTO(LODE_ERR_NO_MEMORY);
    LODE_GOTO(pc_make_nodes(s, setup));
    *out = s;
    return LODE_OK;
done:
    pc_destroy(s);
    return status;
}

static void pc_plan(void *self, int64_t epoch, lode_epoch_plan *out) {
    lode_alpha_plan(self, epoch, out);
}

/* ---- one pass ---- */
static lode_status pc_mixture(void *self, lode_tape *t, lode_choice *choice) {
    pc_strategy *s = self;
    lode_var *share = NULL; /* of the node whose edges are walked through */
    LODE_TRY(lode_alpha_mixture(&s->alpha, t, choice));
    for (int d = 0; d < s->alpha.n; d++) {
        choice[d].scale = NULL;
        if (s->node[d] < 0) continue;
        if (s->place[d] == 0) share = lode_softmax(t, lode_parameter_var(t, s->beta[s->node[d]]));
        choice[d].scale = lode_slice(t, share, 0, s->place[d], s->place[d] + 1, 1);
    }
    return lode_tape_status(t);
}

static lode_status pc_choose(void *self, lode_tape *t, const lode_step *step, lode_choice *choice) {
    pc_strategy *s = self;
    (void)step;
    LODE_TRY(pc_mixture(self, t, choice));
    for (int d = 0; d < s->alpha.n; d++) s->mixture[d] = choice[d].weights;
    return LODE_OK;
}

static lode_var *pc_loss(void *self, lode_tape *t, const lode_step *step, lode_var *logits,
                         lode_var *cross_entropy) {
    pc_strategy *s = self;
    (void)logits;
    if (step->turn == LODE_TURN_WEIGHTS) return cross_entropy;
    return lode_alpha_join_costs(&s->alpha, t, cross_entropy, s->mixture);
}

/* ---- parameters, and what they say ---- */
static int pc_n_parameters(const void *self) {
    const pc_strategy *s = self;
    return s->alpha.n + s->n_nodes;
}
static lode_parameter *pc_parameter(const void *self, int i) {
    const pc_strategy *s = self;
    return i < s->alpha.n ? s->alpha.p[i] : s->beta[i - s->alpha.n];
}

static double pc_edge_share(const void *self, int decision) {
    const pc_strategy *s = self;
    double sum = 0;
    if (s->node[decision] < 0) return 1;
    const lode_tensor *beta = s->beta[s->node[decision]]->value;
    double own = lode_at(beta, s->place[decision]);
    for (int64_t e = 0; e < lode_tensor_count(beta); e++) sum += exp(lode_at(beta, e) - own);
    return 1 / sum;
}

const lode_strategy_plugin lode_strategy_pc_darts = {
    .name = "pc_darts",
    .about = "DARTS on a part of the channels, with weighed edges (Xu et al. 2020, PC-DARTS).",
    .options = &pc_table,
    .options_size = sizeof(pc_options),
    .create = pc_create,
    .destroy = pc_destroy,
    .plan = pc_plan,
    .choose = pc_choose,
    .loss = pc_loss,
    .after_step = lode_alpha_own_after_step,
    .n_parameters = pc_n_parameters,
    .parameter = pc_parameter,
    .optimizer = lode_alpha_own_optimizer,
    .watch = lode_alpha_own_watch,
    .probabilities = lode_alpha_own_probabilities,
    .edge_share = pc_edge_share,
    .mixture = pc_mixture,
    .report = lode_alpha_own_report,
    .save = lode_alpha_own_save,
    .load = lode_alpha_own_load,
};
