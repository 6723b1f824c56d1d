/* profile_cover.c: architectures that have every call of a space. */
#include "core/memory.h"
#include "hwcost/cost_internal.h"
#include "hwcost/profile_internal.h"

/* Nothing wherever there is such an option: a node that nothing reaches runs a call of its own.
   False when there is none. */
static bool profile_all_none(const lode_space *space, lode_arch *out) {
    bool any = false;
    *out = (lode_arch){.n = lode_space_n_decisions(space)};
    for (int d = 0; d < out->n; d++)
        for (int k = 0; k < lode_space_decision(space, d)->n_options; k++)
            if (lode_space_option_kind(space, d, k) == LODE_OPTION_NONE) {
                out->option[d] = (uint8_t)k;
                any = true;
            }
    return any;
}

/* As many architectures as the largest decision has options (times `squares`); in each group of
   n_options, every option of every decision occurs: architecture i takes option (i + shift_d) mod
   n_d. One more takes nothing everywhere. Constraints are not asked, as costs do not ask them. */
static lode_status profile_cover(const lode_space *space, uint64_t seed, int squares,
                                 lode_arch **out, int64_t *n_out) {
    int n_decisions = lode_space_n_decisions(space), widest = 1;
    for (int d = 0; d < n_decisions; d++) {
        int k = lode_space_decision(space, d)->n_options;
        if (k > widest) widest = k;
    }
    lode_arch *arch = LODE_NEW_ARRAY(lode_arch, widest * squares + 1);
    if (!arch) return LODE_ERR_NO_MEMORY;
    int64_t n = 0;
    for (int s = 0; s < squares; s++) {
        lode_rng rng = lode_rng_stream(seed, LODE_RNG_MEASURE, 100 + (uint64_t)s);
        int shift[LODE_MAX_DECISIONS];
        for (int d = 0; d < n_decisions; d++) shift[d] = (int)lode_rng_below(&rng, widest);
        for (int i = 0; i < widest; i++) {
            arch[n].n = n_decisions;
            for (int d = 0; d < n_decisions; d++)
                arch[n].option[d] =
                    (uint8_t)((i + shift[d]) % lode_space_decision(space, d)->n_options);
            n++;
        }
    }
    n += profile_all_none(space, &arch[n]);
    *out = arch;
    *n_out = n;
    return LODE_OK;
}

/* Hashes of calls that were met. */
typedef struct profile_met {
    uint64_t *hash;
    int64_t n, capacity;
} profile_met;

/* Traces an architecture; *news: it has calls that were not met before. */
static lode_status profile_meet(lode_supernet *net, const lode_arch *arch, lode_form form,
                                int64_t batch, lode_tape *trace, profile_met *met, bool *news) {
    LODE_TRY(form == LODE_FORM_FOLDED ? lode_supernet_trace_folded(net, arch, batch, trace)
                                      : lode_supernet_trace(net, arch, batch, false, trace));
    *news = false;
    for (int i = 0; i < lode_trace_n(trace); i++) {
        const uint64_t hash = lode_call_hash(&lode_trace_get(trace, i)->call);
        int64_t k = 0;
        while (k < met->n && met->hash[k] != hash) k++;
        if (k < met->n) continue;
        LODE_TRY(lode_grow((void **)&met->hash, &met->capacity, met->n + 1, sizeof *met->hash));
        met->hash[met->n++] = hash;
        *news = true;
    }
    return LODE_OK;
}

/* Where blocks read several decisions, some calls come with a combination of options only: adds
   architectures that have them to the n there are. */
static lode_status profile_cover_rest(lode_supernet *net, lode_form form, int64_t batch,
                                      lode_arch **arch, int64_t *n) {
    lode_status status = LODE_OK;
    lode_tape *trace = NULL;
    profile_met met = {0};
    lode_arch *more = NULL;
    int64_t n_more = 0, capacity = *n;
    bool news;
    LODE_GOTO(cost_cover(net, &more, &n_more));
    LODE_GOTO(lode_tape_create(LODE_TRACE, NULL, &trace));
    for (int64_t i = 0; i < *n; i++)
        LODE_GOTO(profile_meet(net, &(*arch)[i], form, batch, trace, &met, &news));
    for (int64_t i = 0; i < n_more; i++) {
        LODE_GOTO(profile_meet(net, &more[i], form, batch, trace, &met, &news));
        if (!news) continue;
        LODE_GOTO(lode_grow((void **)arch, &capacity, *n + 1, sizeof **arch));
        (*arch)[(*n)++] = more[i];
    }
done:
    lode_tape_destroy(trace);
    lode_free(met.hash);
    lode_free(more);
    return status;
}

lode_status profile_cover_space(lode_supernet *net, lode_form form, int64_t batch, uint64_t seed,
                                lode_arch **arch, int64_t *n) {
    lode_space *space = lode_supernet_space(net);
    *arch = NULL;
    *n = 1;
    if (lode_supernet_is_fixed(net, NULL)) return LODE_OK;
    LODE_TRY(profile_cover(space, seed, 2, arch, n));
    return lode_space_has_sizes(space) ? profile_cover_rest(net, form, batch, arch, n) : LODE_OK;
}
