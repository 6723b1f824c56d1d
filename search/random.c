/* random.c: uniform over the valid architectures: the control every other searcher must beat. */
#include "search/searcher.h"

static lode_status random_create(const lode_searcher_setup *setup, void **self) {
    *self = setup->space;
    return LODE_OK;
}

static lode_status random_ask(void *self, lode_rng *rng, int n, lode_arch *arch) {
    for (int i = 0; i < n; i++) LODE_TRY(lode_space_sample(self, rng, &arch[i]));
    return LODE_OK;
}

const lode_searcher lode_searcher_random = {
    .name = "random",
    .about = "uniform over the valid architectures of the space",
    .create = random_create,
    .ask = random_ask,
};
