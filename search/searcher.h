/* searcher.h: who proposes architectures. Ask and tell; a const struct in its own file plus one
   line in searchers.def.

   A searcher proposes architectures of the space and learns from what came of them. It keeps no
   generator: ask gets the stream of its turn, (seed, SEARCH, turn), so a study replayed from its
   journal proposes the same again. Every trial that was asked is told, in any order, as DONE,
   INFEASIBLE or FAILED. Objectives are minimized. */
#ifndef LODE_SEARCH_SEARCHER_H
#define LODE_SEARCH_SEARCHER_H
#include "core/config.h"
#include "search/trial.h"
#include "supernet/space.h"

typedef struct lode_searcher_setup {
    lode_space *space;
    const void *options; /* [plugin->options_size]; NULL: the defaults */
    /* Draws an architecture from a trained policy (probabilities of a strategy); NULL: there is
     * none. */
    lode_status (*policy)(void *policy_self, lode_rng *rng, lode_arch *out);
    void *policy_self;
} lode_searcher_setup;

typedef struct lode_searcher {
    const char *name;
    const char *about;
    const lode_option_table *options; /* section "search.<name>"; NULL: none */
    size_t options_size;
    lode_status (*create)(const lode_searcher_setup *setup, void **self);
    void (*destroy)(void *self);
    /* Fills arch[n]. Proposing what is known already is allowed: the study answers at once. */
    lode_status (*ask)(void *self, lode_rng *rng, int n, lode_arch *arch);
    lode_status (*tell)(void *self, int n, const lode_trial *trial);
} lode_searcher;

LODE_API int lode_n_searchers(void);
LODE_API const lode_searcher *lode_searcher_at(int i);
/* LODE_ERR_NOT_FOUND names the nearest. */
LODE_API lode_status lode_searcher_find(const char *name, const lode_searcher **out);
#endif
