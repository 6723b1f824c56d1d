/* dispatch.h: infer, choose a kernel, give it workspace, run it.

   A dispatch is an object: it knows which providers may be used, holds workspace, and counts.
   Several may live side by side; one dispatch, one thread at a time. LODE_VERBOSE=1 in the
   environment (or options.verbose) logs each call with provider and time. */
#ifndef LODE_OPS_DISPATCH_H
#define LODE_OPS_DISPATCH_H
#include "autograd/tape.h"
#include "ops/backend.h"

typedef struct lode_dispatch lode_dispatch;
typedef struct lode_dispatch_options {
    const char
        *providers; /* "native,onednn,reference" restricts and orders; NULL: all, by preference */
    bool deterministic; /* only providers that promise same_bits_any_threads */
    bool verbose;
} lode_dispatch_options;

LODE_API lode_status lode_dispatch_create(const lode_dispatch_options *options,
                                          lode_dispatch **out);
LODE_API void lode_dispatch_destroy(lode_dispatch *d);
/* For lode_tape_create; lives as long as the dispatch. */
LODE_API const lode_runner *lode_dispatch_runner(lode_dispatch *d);
/* Who would run this call. Never NULL (the reference at last). */
LODE_API const lode_provider *lode_dispatch_choose(const lode_dispatch *d, const lode_op_call *c);

/* The tables, for tests, benches, `lode ops`. */
LODE_API int lode_n_ops(void);
LODE_API const lode_op *lode_op_at(int i);
LODE_API const lode_op *lode_op_find(const char *name); /* NULL when absent */
LODE_API int lode_n_providers(void);
LODE_API const lode_provider *lode_provider_at(int i);

/* Stable hash and "conv2d k3 s2 g1 x[64,16,28,28] w[24,16,3,3] f32" of a call: keys of cost tables.
 */
LODE_API uint64_t lode_call_hash(const lode_op_call *c);
LODE_API char *lode_call_text(const lode_op_call *c); /* lode_free */
#endif
