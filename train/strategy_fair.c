/* strategy_fair.c: strict fairness (FairNAS, Chu et al. 2021).

   A step trains m paths on the same batch, m the largest number of options of a decision; their
   gradients are added and the weights are updated once. Within a step every option of a decision
   with m options is on exactly one path: the paths go through a random permutation of the options,
   drawn for each decision by itself. A decision with fewer options K goes on with its next
   permutation wherever the last one ended, also over steps, so that at any moment the counts of its
   options differ by one at most.

   Permutations are functions of (seed, decision, number of the permutation): all ranks train the
   same paths and a resumed run goes on with those it would have had. */
#include "core/memory.h"
#include "train/strategy.h"

#include <stddef.h>

typedef struct fair_options {
    int gradient;
} fair_options;

enum { FAIR_SUM, FAIR_MEAN };

static const lode_option fair_rows[] = {
    {"gradient", LODE_OPT_ENUM, offsetof(fair_options, gradient), "sum", 0, 0, "sum|mean",
     "gradients of a step's paths are added (the paper: mind the learning rate), or averaged"},
};
static const lode_option_table fair_table = {"arch", fair_rows, 1};

typedef struct fair_strategy {
    fair_options options;
    lode_space *space;
    int n_paths;
} fair_strategy;

static lode_status fair_create(const lode_strategy_setup *setup, void **out) {
    *out = NULL;
    if (lode_supernet_is_fixed(setup->net, NULL))
        return LODE_FAIL(LODE_ERR_CONFIG, "the network has no decision left: use strategy fixed");
    fair_strategy *s = LODE_NEW(fair_strategy);
    if (s == NULL) return LODE_ERR_NO_MEMORY;
    s->options = *(const fair_options *)setup->options;
    s->space = lode_supernet_space(setup->net);
    s->n_paths = 1;
    for (int d = 0; d < lode_space_n_decisions(s->space); d++) {
        int n = lode_space_decision(s->space, d)->n_options;
        if (n > s->n_paths) s->n_paths = n;
    }
    *out = s;
    return LODE_OK;
}

static void fair_destroy(void *self) { lode_free(self); }

static int fair_n_passes(void *self, const lode_step *step) {
    (void)step;
    return ((const fair_strategy *)self)->n_paths;
}

/* The option of decision d on the path-th path of all. */
static int fair_option(const fair_strategy *s, uint64_t seed, int d, int64_t path) {
    int64_t order[LODE_MAX_OPTIONS];
    int n = lode_space_decision(s->space, d)->n_options;
    lode_rng rng =
        lode_rng_stream(seed, LODE_RNG_SAMPLE_ARCH, (uint64_t)(path / n) | ((uint64_t)d + 1) << 44);
    lode_rng_permutation(&rng, order, n);
    return (int)order[path % n];
}

static lode_status fair_choose(void *self, lode_tape *t, const lode_step *step,
                               lode_choice *choice) {
    const fair_strategy *s = self;
    lode_arch arch = {.n = lode_space_n_decisions(s->space)};
    (void)t;
    for (int d = 0; d < arch.n; d++)
        arch.option[d] =
            (uint8_t)fair_option(s, step->seed, d, step->step * s->n_paths + step->pass);
    if (lode_space_check(s->space, &arch) != LODE_OK)
        return lode_error_context("strategy fair draws every decision by itself; this space ties "
                                  "decisions together, use single_path");
    lode_choice_from_arch(&arch, choice);
    return LODE_OK;
}

static lode_var *fair_loss(void *self, lode_tape *t, const lode_step *step, lode_var *logits,
                           lode_var *cross_entropy) {
    const fair_strategy *s = self;
    (void)logits;
    if (s->options.gradient == FAIR_SUM) return cross_entropy;
    return lode_scale(t, cross_entropy, 1.0 / step->n_passes, 0);
}

const lode_strategy_plugin lode_strategy_fair = {
    .name = "fair",
    .about = "Trains every option of every decision once per step (Chu et al. 2021, FairNAS).",
    .options = &fair_table,
    .options_size = sizeof(fair_options),
    .create = fair_create,
    .destroy = fair_destroy,
    .n_passes = fair_n_passes,
    .choose = fair_choose,
    .loss = fair_loss,
};
