/* searcher.c: the list of searchers. */
#include "search/searcher.h"

#include <string.h>

#define SEARCHER(name) extern const lode_searcher lode_searcher_##name;
#include "search/searchers.def"
#undef SEARCHER

static const lode_searcher *const searchers[] = {
#define SEARCHER(name) &lode_searcher_##name,
#include "search/searchers.def"
#undef SEARCHER
};
#define SEARCHER_N ((int)(sizeof searchers / sizeof *searchers))

int lode_n_searchers(void) { return SEARCHER_N; }
const lode_searcher *lode_searcher_at(int i) {
    return i >= 0 && i < SEARCHER_N ? searchers[i] : NULL;
}

lode_status lode_searcher_find(const char *name, const lode_searcher **out) {
    const char *names[SEARCHER_N];
    for (int i = 0; i < SEARCHER_N; i++) {
        names[i] = searchers[i]->name;
        if (strcmp(name, names[i]) == 0) {
            *out = searchers[i];
            return LODE_OK;
        }
    }
    const char *near = lode_nearest_word(name, names, SEARCHER_N);
    *out = NULL;
    return LODE_FAIL(LODE_ERR_NOT_FOUND, "search.searcher: no searcher \"%s\"%s%s", name,
                     near ? "; nearest is " : "", near ? near : "");
}

const char *lode_trial_state_name(lode_trial_state s) {
    static const char *const names[] = {"asked", "done", "infeasible", "failed"};
    return s >= LODE_TRIAL_ASKED && s <= LODE_TRIAL_FAILED ? names[s] : "?";
}
