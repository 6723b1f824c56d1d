/* strategy_single_path.c: one architecture per step, drawn at random (SPOS, Guo et al. 2020).

   The paper draws uniformly. Its authors' code divides a range of MACs into bins, draws a bin, and
   then uniform architectures until one lies in it (290 M to 360 M in bins of 10 M, 500 attempts):
   cheap and dear networks of the range are then trained as often as those in between, of which a
   space has many more. `macs` and `bins` do the same.

   The draw is a function of (seed, step), so all ranks train the same path and a resumed run goes
   on with the paths it would have had. What is not on the path has no gradient and stays as it is.
 */
#include "core/memory.h"
#include "train/strategy.h"

#include <math.h>
#include <stddef.h>

enum { ATTEMPTS = 500, BINS_TRIED = 100 };

typedef struct single_path_options {
    lode_f64_list macs;
    int64_t bins;
} single_path_options;

static const lode_option single_path_rows[] = {
    {"macs", LODE_OPT_F64_LIST, offsetof(single_path_options, macs), NULL, 0, 0, "[FROM, TO]",
     "paths are drawn from these only, TO left out; none: from all, uniformly (the paper)"},
    {"bins", LODE_OPT_INT, offsetof(single_path_options, bins), "1", 1, 10000, "parts of macs",
     "drawn equally often, and a path within"},
};
static const lode_option_table single_path_table = {"arch", single_path_rows, 2};

typedef struct single_path {
    lode_space *space;
    single_path_options options;
    lode_cost *macs; /* NULL: from all */
} single_path;

static void single_path_destroy(void *self) {
    single_path *s = self;
    if (s == NULL) return;
    lode_cost_close(s->macs);
    lode_free(s);
}

static lode_status single_path_infeasible(const single_path *s) {
    return LODE_FAIL(LODE_ERR_INFEASIBLE,
                     "arch.macs: no path with %g to %g MACs came up in %d draws from each of %d of "
                     "the %lld bins; take a wider range, or fewer arch.bins",
                     s->options.macs.v[0], s->options.macs.v[1], (int)ATTEMPTS, (int)BINS_TRIED,
                     (long long)s->options.bins);
}

/* A bin without a path within reach is given up for another. */
static lode_status single_path_draw(const single_path *s, lode_rng *rng, lode_arch *arch) {
    if (s->macs == NULL) return lode_space_sample(s->space, rng, arch);
    const double from = s->options.macs.v[0];
    const double width = (s->options.macs.v[1] - from) / (double)s->options.bins;
    for (int i = 0; i < BINS_TRIED; i++) {
        const double least = from + width * (double)lode_rng_below(rng, s->options.bins);
        for (int k = 0; k < ATTEMPTS; k++) {
            double macs;
            LODE_TRY(lode_space_sample(s->space, rng, arch));
            LODE_TRY(lode_cost_hard(s->macs, arch, &macs));
            if (macs >= least && macs < least + width) return LODE_OK;
        }
    }
    return single_path_infeasible(s);
}

static lode_status single_path_create(const lode_strategy_setup *setup, void **out) {
    lode_status status = LODE_OK;
    lode_arch arch;
    *out = NULL;
    single_path *s = LODE_NEW(single_path);
    if (s == NULL) return LODE_ERR_NO_MEMORY;
    s->space = lode_supernet_space(setup->net);
    s->options = *(const single_path_options *)setup->options;
    const lode_f64_list *range = &s->options.macs;
    if (range->n == 0 && s->options.bins > 1)
        status = LODE_FAIL(LODE_ERR_CONFIG,
                           "arch.bins: %lld parts of what? Give arch.macs: [FROM, "
                           "TO]",
                           (long long)s->options.bins);
    else if (range->n != 0 && (range->n != 2 || !(range->v[0] >= 0 && range->v[0] < range->v[1]) ||
                               !isfinite(range->v[1])))
        status = LODE_FAIL(LODE_ERR_CONFIG, "arch.macs: two numbers [FROM, TO], 0 <= FROM < TO");
    LODE_GOTO(status);
    if (range->n > 0) {
        lode_rng rng = lode_rng_stream(1, LODE_RNG_SAMPLE_ARCH, 0);
        LODE_GOTO(lode_cost_open("macs", setup->net, 1, &s->macs));
        LODE_GOTO(single_path_draw(s, &rng, &arch)); /* whether there is any */
    }
    *out = s;
    return LODE_OK;
done:
    single_path_destroy(s);
    return status;
}

static lode_status single_path_choose(void *self, lode_tape *t, const lode_step *step,
                                      lode_choice *choice) {
    const single_path *s = self;
    lode_rng rng = lode_rng_stream(step->seed, LODE_RNG_SAMPLE_ARCH, (uint64_t)step->step);
    lode_arch arch;
    (void)t;
    LODE_TRY(single_path_draw(s, &rng, &arch));
    lode_choice_from_arch(&arch, choice);
    return LODE_OK;
}

const lode_strategy_plugin lode_strategy_single_path = {
    .name = "single_path",
    .about = "Trains one randomly drawn architecture per step (Guo et al. 2020).",
    .options = &single_path_table,
    .options_size = sizeof(single_path_options),
    .create = single_path_create,
    .destroy = single_path_destroy,
    .choose = single_path_choose,
};
