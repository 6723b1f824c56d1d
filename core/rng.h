/* rng.h: randomness as a function of (seed, purpose, index, position), never as hidden state.

   Philox4x32-10 (Salmon et al., SC 2011): key = seed, counter = (position, purpose, index). Two
   streams with different (seed, purpose, index) are independent; a stream's n-th draw does not
   depend on who asks, in which order or on which thread. A checkpoint stores (seed, step) and
   no generator. */
#ifndef LODE_CORE_RNG_H
#define LODE_CORE_RNG_H
#include "core/status.h"

#include <stdint.h>

/* What a stream is for. Append only: the numbers are part of every saved result. */
typedef enum lode_rng_purpose {
    LODE_RNG_INIT = 1,    /* index: parameter's hash of name */
    LODE_RNG_SHUFFLE,     /* index: epoch */
    LODE_RNG_AUGMENT,     /* index: epoch * n_samples + sample */
    LODE_RNG_DROPOUT,     /* index: step; position by call */
    LODE_RNG_SAMPLE_ARCH, /* index: step */
    LODE_RNG_SEARCH,      /* index: trial or generation */
    LODE_RNG_GUMBEL,      /* index: step; position by decision */
    LODE_RNG_SPLIT,       /* index: part of the dataset */
    LODE_RNG_DATA,        /* synthetic data; index: sample */
    LODE_RNG_TEST,        /* tests and benches */
    LODE_RNG_MEASURE      /* order of measurements */
} lode_rng_purpose;

typedef struct lode_rng {
    uint64_t seed, index;
    uint32_t purpose;
    uint64_t position; /* next 32-bit draw */
} lode_rng;

LODE_API lode_rng lode_rng_stream(uint64_t seed, lode_rng_purpose purpose, uint64_t index);
LODE_API uint32_t lode_rng_u32(lode_rng *r);
LODE_API uint64_t lode_rng_u64(lode_rng *r);
/* The 32-bit draw at an absolute position, without moving the stream. */
LODE_API uint32_t lode_rng_u32_at(const lode_rng *r, uint64_t position);
/* out[i] = lode_rng_u32_at(r, position + i), four draws for the price of one. */
LODE_API void lode_rng_fill_at(const lode_rng *r, uint64_t position, uint32_t *out, int64_t n);
/* Uniform in the open interval (0,1): never 0, never 1. One draw of 64 bits. */
LODE_API double lode_rng_uniform(lode_rng *r);
/* Uniform in (0,1) from the 32-bit draw at `position`. */
LODE_API double lode_rng_uniform_at(const lode_rng *r, uint64_t position);
/* Uniform over 0..n-1 without modulo bias, n > 0. */
LODE_API int64_t lode_rng_below(lode_rng *r, int64_t n);
LODE_API double lode_rng_normal(lode_rng *r); /* mean 0, variance 1; always two uniforms */
LODE_API double lode_rng_gumbel(lode_rng *r); /* -ln(-ln u) */
/* Index drawn with probability p[i] / sum(p), p >= 0; n-1 guards against rounding. */
LODE_API int lode_rng_pick(lode_rng *r, const double *p, int n);
/* Fisher-Yates: fills perm with a permutation of 0..n-1. */
LODE_API void lode_rng_permutation(lode_rng *r, int64_t *perm, int64_t n);

/* The bare generator, as published: ten rounds over a 128-bit counter with a 64-bit key. */
LODE_API void lode_philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

/* A stable 64-bit hash of bytes (FNV-1a, then a finalising mix): for names, archs, calls. */
LODE_API uint64_t lode_hash_bytes(const void *p, uint64_t n, uint64_t start);
LODE_API uint64_t lode_hash_text(const char *s);
#endif
