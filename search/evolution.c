/* evolution.c: regularized (aging) evolution. Real et al. 2019, algorithm 1.

   A queue of the P youngest architectures. Each proposal: draw S of them with replacement, take the
   best, change one decision to another option. The oldest leaves when a new one enters, however
   good it is. The first P proposals are uniform. Infeasible and failed children do not enter.
   (methods C4) */
#include "core/memory.h"
#include "search/searcher.h"

#include <stddef.h>
#include <string.h>

typedef struct evolution_options {
    int64_t population, sample;
} evolution_options;

static const lode_option evolution_rows[] = {
    {"population", LODE_OPT_INT, offsetof(evolution_options, population), "50", 2, 100000, NULL,
     "architectures alive at a time"},
    {"sample", LODE_OPT_INT, offsetof(evolution_options, sample), "10", 1, 100000, NULL,
     "drawn per tournament; the best of them becomes the parent"},
};
static const lode_option_table evolution_table = {"search.evolution", evolution_rows, 2};

typedef struct evolution {
    evolution_options o;
    lode_space *space;
    int64_t n, next; /* alive; slot of the oldest once the queue is full */
    lode_trial *alive;
} evolution;

static void evolution_destroy(void *self) {
    evolution *e = self;
    if (!e) return;
    lode_free(e->alive);
    lode_free(e);
}

static lode_status evolution_create(const lode_searcher_setup *setup, void **self) {
    evolution *e = LODE_NEW(evolution);
    if (!e) return LODE_ERR_NO_MEMORY;
    lode_status status = LODE_OK;
    e->space = setup->space;
    if (setup->options)
        e->o = *(const evolution_options *)setup->options;
    else
        LODE_GOTO(lode_options_default(&evolution_table, &e->o));
    e->alive = LODE_NEW_ARRAY(lode_trial, e->o.population);
    LODE_GOTO(e->alive ? LODE_OK : LODE_ERR_NO_MEMORY);
    *self = e;
    return LODE_OK;
done:
    evolution_destroy(e);
    return status;
}

/* One decision to another option; drawn again while the space forbids the result. */
static lode_status evolution_mutate(const evolution *e, lode_rng *rng, const lode_arch *parent,
                                    lode_arch *child) {
    for (int tries = 0; tries < 1000; tries++) {
        *child = *parent;
        int d = (int)lode_rng_below(rng, parent->n);
        int n_options = lode_space_decision(e->space, d)->n_options;
        if (n_options < 2) continue;
        int64_t k = lode_rng_below(rng, n_options - 1);
        child->option[d] = (uint8_t)(k + (k >= parent->option[d]));
        if (lode_space_check(e->space, child) == LODE_OK) return LODE_OK;
    }
    lode_error_clear();
    return lode_space_sample(e->space, rng, child);
}

static lode_status evolution_ask(void *self, lode_rng *rng, int n, lode_arch *arch) {
    evolution *e = self;
    for (int i = 0; i < n; i++) {
        if (e->n < e->o.population) {
            LODE_TRY(lode_space_sample(e->space, rng, &arch[i]));
            continue;
        }
        const lode_trial *best = NULL;
        for (int64_t s = 0; s < e->o.sample; s++) {
            const lode_trial *t = &e->alive[lode_rng_below(rng, e->n)];
            if (!best || t->objective[0] < best->objective[0]) best = t;
        }
        LODE_TRY(evolution_mutate(e, rng, &best->arch, &arch[i]));
    }
    return LODE_OK;
}

static lode_status evolution_tell(void *self, int n, const lode_trial *trial) {
    evolution *e = self;
    for (int i = 0; i < n; i++) {
        if (trial[i].state != LODE_TRIAL_DONE) continue;
        e->alive[e->next] = trial[i];
        e->next = (e->next + 1) % e->o.population;
        if (e->n < e->o.population) e->n++;
    }
    return LODE_OK;
}

const lode_searcher lode_searcher_evolution = {
    .name = "evolution",
    .about = "regularized evolution: tournament, one mutation, the oldest dies (Real et al. 2019)",
    .options = &evolution_table,
    .options_size = sizeof(evolution_options),
    .create = evolution_create,
    .destroy = evolution_destroy,
    .ask = evolution_ask,
    .tell = evolution_tell,
};
