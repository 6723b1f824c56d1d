/* policy.c: draws from the probabilities a differentiable search ended in (FBNet: sample several
   architectures from softmax(theta), keep the best on the trade-off). */
#include "core/memory.h"
#include "search/searcher.h"

static lode_status policy_create(const lode_searcher_setup *setup, void **self) {
    if (!setup->policy)
        return LODE_FAIL(
            LODE_ERR_CONFIG,
            "search.searcher: policy needs a trained supernet (search.supernet: true); "
            "use random or evolution without one");
    lode_searcher_setup *s = LODE_NEW(lode_searcher_setup);
    if (!s) return LODE_ERR_NO_MEMORY;
    *s = *setup;
    *self = s;
    return LODE_OK;
}

static void policy_destroy(void *self) { lode_free(self); }

static lode_status policy_ask(void *self, lode_rng *rng, int n, lode_arch *arch) {
    const lode_searcher_setup *s = self;
    for (int i = 0; i < n; i++) LODE_TRY(s->policy(s->policy_self, rng, &arch[i]));
    return LODE_OK;
}

const lode_searcher lode_searcher_policy = {
    .name = "policy",
    .about = "samples the architecture distribution a differentiable search has learned",
    .create = policy_create,
    .destroy = policy_destroy,
    .ask = policy_ask,
};
