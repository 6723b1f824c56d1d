/* fit_cache.h: fitted images of evaluation, kept as bytes.

   Fitting (decode, resize, centre crop) is the same every time an image is judged, and costs a
   hundred times what the rest does; a search judges the same images again and again. What is kept
   is [height, width, channels] of bytes per sample, until the budget is used. Thread-safe: whoever
   fits an image first publishes it. A cache changes the speed and nothing else. */
#ifndef LODE_DATA_FIT_CACHE_H
#define LODE_DATA_FIT_CACHE_H
#include "core/status.h"

#include <stddef.h>
#include <stdint.h>

typedef struct lode_fit_cache lode_fit_cache;
/* For sample numbers 0..n_samples-1 with images of image_bytes each, budget_bytes in all. */
LODE_API lode_status lode_fit_cache_create(int64_t n_samples, size_t image_bytes,
                                           int64_t budget_bytes, lode_fit_cache **out);
LODE_API void lode_fit_cache_destroy(lode_fit_cache *c); /* NULL is fine */
/* The kept image, valid as long as the cache, or NULL. */
LODE_API const uint8_t *lode_fit_cache_find(const lode_fit_cache *c, int64_t sample);
/* Keeps a copy unless it is kept already or there is no room. */
LODE_API void lode_fit_cache_keep(lode_fit_cache *c, int64_t sample, const uint8_t *pixels);
LODE_API int64_t lode_fit_cache_n_kept(const lode_fit_cache *c);
#endif
