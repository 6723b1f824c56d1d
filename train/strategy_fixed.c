/* strategy_fixed.c: nothing to choose: a fixed network, or one architecture within a supernet. */
#include "core/memory.h"
#include "train/strategy.h"

typedef struct fixed_strategy {
    lode_space *space;
    lode_arch arch;
} fixed_strategy;

static lode_status fixed_create(const lode_strategy_setup *setup, void **out) {
    lode_arch arch = {0};
    *out = NULL;
    if (!lode_supernet_is_fixed(setup->net, &arch)) {
        if (setup->arch == NULL)
            return LODE_FAIL(LODE_ERR_CONFIG, "the network still has decisions: say which "
                                              "architecture to train, or choose another strategy");
        arch = *setup->arch;
        LODE_TRY(lode_space_check(lode_supernet_space(setup->net), &arch));
    }
    fixed_strategy *s = LODE_NEW(fixed_strategy);
    if (s == NULL) return LODE_ERR_NO_MEMORY;
    s->space = lode_supernet_space(setup->net);
    s->arch = arch;
    *out = s;
    return LODE_OK;
}

static void fixed_destroy(void *self) { lode_free(self); }

static lode_status fixed_choose(void *self, lode_tape *t, const lode_step *step,
                                lode_choice *choice) {
    const fixed_strategy *s = self;
    (void)t, (void)step;
    lode_choice_from_arch(&s->arch, choice);
    return LODE_OK;
}

static void fixed_probabilities(const void *self, int decision, double *p) {
    const fixed_strategy *s = self;
    int n = lode_space_decision(s->space, decision)->n_options;
    for (int k = 0; k < n; k++) p[k] = k == s->arch.option[decision];
}

const lode_strategy_plugin lode_strategy_fixed = {
    .name = "fixed",
    .about = "Trains one architecture.",
    .create = fixed_create,
    .destroy = fixed_destroy,
    .choose = fixed_choose,
    .probabilities = fixed_probabilities,
};
