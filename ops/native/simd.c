/* Chooses the widest instruction set once, at first use. */
#include "ops/native/simd.h"

#include "core/platform.h"

#include <stdatomic.h>
#include <string.h>

extern const lode_simd lode_simd_base;
#ifdef LODE_HAVE_ISA_AVX2
extern const lode_simd lode_simd_avx2;
#endif
#ifdef LODE_HAVE_ISA_AVX512
extern const lode_simd lode_simd_avx512;
#endif

/* Best first. */
static const lode_simd *const simd_copies[] = {
#ifdef LODE_HAVE_ISA_AVX512
    &lode_simd_avx512,
#endif
#ifdef LODE_HAVE_ISA_AVX2
    &lode_simd_avx2,
#endif
    &lode_simd_base};
static const char *const simd_names[] = {
#ifdef LODE_HAVE_ISA_AVX512
    "avx512",
#endif
#ifdef LODE_HAVE_ISA_AVX2
    "avx2",
#endif
    "base", NULL};
enum { SIMD_COPIES = sizeof simd_copies / sizeof *simd_copies };

static atomic_int simd_chosen; /* index + 1; 0: not chosen yet */

static bool simd_runs(const lode_simd *s, const lode_cpu *cpu) {
    if (strcmp(s->name, "avx512") == 0) return cpu->avx512 && cpu->fma;
    if (strcmp(s->name, "avx2") == 0) return cpu->avx2 && cpu->fma;
    return true;
}

const lode_simd *lode_simd_get(void) {
    int i = atomic_load_explicit(&simd_chosen, memory_order_relaxed);
    if (i == 0) {
        lode_cpu cpu = lode_cpu_get();
        while (!simd_runs(simd_copies[i], &cpu)) i++; /* base always runs */
        atomic_store_explicit(&simd_chosen, ++i, memory_order_relaxed);
    }
    return simd_copies[i - 1];
}

lode_status lode_simd_select(const char *name) {
    lode_cpu cpu = lode_cpu_get();
    if (!name) {
        atomic_store(&simd_chosen, 0);
        return LODE_OK;
    }
    for (int i = 0; i < SIMD_COPIES; i++) {
        if (strcmp(simd_copies[i]->name, name) != 0) continue;
        if (!simd_runs(simd_copies[i], &cpu))
            return LODE_FAIL(LODE_ERR_UNSUPPORTED, "simd: this processor (%s) has no %s", cpu.name,
                             name);
        atomic_store(&simd_chosen, i + 1);
        return LODE_OK;
    }
    return LODE_FAIL(LODE_ERR_NOT_FOUND, "simd: no kernels for '%s' in this build", name);
}

const char *const *lode_simd_names(void) { return simd_names; }
