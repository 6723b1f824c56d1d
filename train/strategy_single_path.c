/* strategy_single_path.c: one architecture per step, drawn uniformly (SPOS, Guo et al. 2020).

   The draw is a function of (seed, step), so all ranks train the same path and a resumed run goes
   on with the paths it would have had. What is not on the path has no gradient and stays as it is.
 */
#include "core/memory.h"
#include "train/strategy.h"

typedef struct single_path {
    lode_space *space;
} single_path;

static lode_status single_path_create(const lode_strategy_setup *setup, void **out) {
    single_path *s = LODE_NEW(single_path);
    *out = s;
    if (s == NULL) return LODE_ERR_NO_MEMORY;
    s->space = lode_supernet_space(setup->net);
    return LODE_OK;
}

static void single_path_destroy(void *self) { lode_free(self); }

static lode_status single_path_choose(void *self, lode_tape *t, const lode_step *step,
                                      lode_choice *choice) {
    const single_path *s = self;
    lode_rng rng = lode_rng_stream(step->seed, LODE_RNG_SAMPLE_ARCH, (uint64_t)step->step);
    lode_arch arch;
    (void)t;
    LODE_TRY(lode_space_sample(s->space, &rng, &arch));
    lode_choice_from_arch(&arch, choice);
    return LODE_OK;
}

const lode_strategy_plugin lode_strategy_single_path = {
    .name = "single_path",
    .about = "Trains one uniformly drawn architecture per step (Guo et al. 2020).",
    .create = single_path_create,
    .destroy = single_path_destroy,
    .choose = single_path_choose,
};
