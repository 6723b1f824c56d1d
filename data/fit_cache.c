/* fit_cache.c: one atomic pointer per sample. A thread that loses the race for a sample throws its
   copy away; one that finds the budget used does not even make it. */
#include "data/fit_cache.h"

#include "core/memory.h"

#include <stdatomic.h>
#include <string.h>

struct lode_fit_cache {
    int64_t n_samples, n_most;
    size_t image_bytes;
    atomic_llong n_kept;
    _Atomic(uint8_t *) image[]; /* [n_samples] */
};

lode_status lode_fit_cache_create(int64_t n_samples, size_t image_bytes, int64_t budget_bytes,
                                  lode_fit_cache **out) {
    lode_fit_cache *c = lode_calloc(1, sizeof *c + (size_t)n_samples * sizeof c->image[0]);
    *out = c;
    if (c == NULL) return LODE_ERR_NO_MEMORY;
    c->n_samples = n_samples;
    c->n_most = budget_bytes / (int64_t)image_bytes;
    c->image_bytes = image_bytes;
    for (int64_t i = 0; i < n_samples; i++) atomic_init(&c->image[i], NULL);
    return LODE_OK;
}

void lode_fit_cache_destroy(lode_fit_cache *c) {
    for (int64_t i = 0; c != NULL && i < c->n_samples; i++) lode_free(atomic_load(&c->image[i]));
    lode_free(c);
}

const uint8_t *lode_fit_cache_find(const lode_fit_cache *c, int64_t sample) {
    return atomic_load(&c->image[sample]);
}

void lode_fit_cache_keep(lode_fit_cache *c, int64_t sample, const uint8_t *pixels) {
    if (lode_fit_cache_find(c, sample) != NULL) return;
    uint8_t *nobody = NULL, *copy = NULL;
    if (atomic_fetch_add(&c->n_kept, 1) < c->n_most) copy = lode_alloc(c->image_bytes, 1);
    if (copy != NULL) {
        memcpy(copy, pixels, c->image_bytes);
        if (atomic_compare_exchange_strong(&c->image[sample], &nobody, copy)) return;
        lode_free(copy);
    }
    atomic_fetch_sub(&c->n_kept, 1);
}

int64_t lode_fit_cache_n_kept(const lode_fit_cache *c) { return atomic_load(&c->n_kept); }
