/* rng.c: Philox4x32-10, a block cipher made weak enough to be fast and strong enough to pass every
   statistical test (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3",
   SC 2011). Ten rounds of two 32x32->64 multiplications turn a 128-bit counter and a 64-bit key
   into four 32-bit draws:

       key      seed
       counter  block low 32 | purpose 8, block high 24 | index low 32 | index high 32

   where block = position / 4. So a stream has 2^58 draws, and no two streams share a counter. */
#include "core/rng.h"

#include <assert.h>
#include <math.h>
#include <string.h>

static void rng_philox(uint32_t c[4], uint32_t k0, uint32_t k1) {
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c[0];
        uint64_t p1 = (uint64_t)0xCD9E8D57u * c[2];
        uint32_t c0 = (uint32_t)(p1 >> 32) ^ c[1] ^ k0;
        uint32_t c2 = (uint32_t)(p0 >> 32) ^ c[3] ^ k1;
        c[1] = (uint32_t)p1;
        c[3] = (uint32_t)p0;
        c[0] = c0;
        c[2] = c2;
        k0 += 0x9E3779B9u; /* Weyl sequence of the golden ratio */
        k1 += 0xBB67AE85u; /* and of sqrt(3) - 1 */
    }
}

void lode_philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]) {
    uint32_t c[4] = {counter[0], counter[1], counter[2], counter[3]};
    rng_philox(c, key[0], key[1]);
    memcpy(out, c, sizeof c);
}

static void rng_block(const lode_rng *r, uint64_t block, uint32_t out[4]) {
    out[0] = (uint32_t)block;
    out[1] = r->purpose << 24 | (uint32_t)(block >> 32);
    out[2] = (uint32_t)r->index;
    out[3] = (uint32_t)(r->index >> 32);
    rng_philox(out, (uint32_t)r->seed, (uint32_t)(r->seed >> 32));
}

lode_rng lode_rng_stream(uint64_t seed, lode_rng_purpose purpose, uint64_t index) {
    return (lode_rng){.seed = seed, .index = index, .purpose = (uint32_t)purpose, .position = 0};
}

uint32_t lode_rng_u32_at(const lode_rng *r, uint64_t position) {
    uint32_t b[4];
    rng_block(r, position / 4, b);
    return b[position % 4];
}

void lode_rng_fill_at(const lode_rng *r, uint64_t position, uint32_t *out, int64_t n) {
    uint32_t b[4];
    for (int64_t i = 0; i < n;) {
        uint64_t at = position + (uint64_t)i;
        rng_block(r, at / 4, b);
        for (uint64_t j = at % 4; j < 4 && i < n; j++, i++) out[i] = b[j];
    }
}

uint32_t lode_rng_u32(lode_rng *r) { return lode_rng_u32_at(r, r->position++); }

uint64_t lode_rng_u64(lode_rng *r) {
    uint32_t w[2];
    lode_rng_fill_at(r, r->position, w, 2);
    r->position += 2;
    return (uint64_t)w[1] << 32 | w[0];
}

/* 52 bits in the middle of their cell: the ends 0 and 1 are out of reach. */
double lode_rng_uniform(lode_rng *r) { return ((double)(lode_rng_u64(r) >> 12) + 0.5) * 0x1p-52; }

double lode_rng_uniform_at(const lode_rng *r, uint64_t position) {
    return ((double)lode_rng_u32_at(r, position) + 0.5) * 0x1p-32;
}

/* Draws below the largest multiple of n are fair; the others (at most n / 2^64) are drawn again. */
int64_t lode_rng_below(lode_rng *r, int64_t n) {
    assert(n > 0);
    uint64_t m = (uint64_t)n;
    uint64_t excess = (UINT64_MAX % m + 1) % m; /* 2^64 mod n */
    uint64_t x;
    do x = lode_rng_u64(r);
    while (x > UINT64_MAX - excess);
    return (int64_t)(x % m);
}

/* Box and Muller 1958; the sine half is dropped so that a draw's place is always known. */
double lode_rng_normal(lode_rng *r) {
    const double two_pi = 6.283185307179586476925286766559;
    double u = lode_rng_uniform(r), v = lode_rng_uniform(r);
    return sqrt(-2 * log(u)) * cos(two_pi * v);
}

double lode_rng_gumbel(lode_rng *r) { return -log(-log(lode_rng_uniform(r))); }

int lode_rng_pick(lode_rng *r, const double *p, int n) {
    assert(n > 0);
    double sum = 0;
    for (int i = 0; i < n; i++) sum += p[i];
    double u = lode_rng_uniform(r) * sum;
    int last = n - 1; /* the last option that can be drawn at all guards against rounding */
    while (last > 0 && !(p[last] > 0)) last--;
    if (!(p[last] > 0)) return n - 1;
    double below = 0;
    for (int i = 0; i < last; i++) {
        below += p[i];
        if (u < below) return i;
    }
    return last;
}

void lode_rng_permutation(lode_rng *r, int64_t *perm, int64_t n) {
    for (int64_t i = 0; i < n; i++) perm[i] = i;
    for (int64_t i = n - 1; i > 0; i--) {
        int64_t j = lode_rng_below(r, i + 1);
        int64_t swap = perm[i];
        perm[i] = perm[j];
        perm[j] = swap;
    }
}

/* FNV-1a spreads the low bytes badly into the high ones; the mix of MurmurHash3 mends that. */
uint64_t lode_hash_bytes(const void *p, uint64_t n, uint64_t start) {
    const unsigned char *bytes = p;
    uint64_t h = 0xcbf29ce484222325u ^ start;
    for (uint64_t i = 0; i < n; i++) h = (h ^ bytes[i]) * 0x100000001b3u;
    h = (h ^ h >> 33) * 0xff51afd7ed558ccdu;
    h = (h ^ h >> 33) * 0xc4ceb9fe1a85ec53u;
    return h ^ h >> 33;
}

uint64_t lode_hash_text(const char *s) { return lode_hash_bytes(s, strlen(s), 0); }
