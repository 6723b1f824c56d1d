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
    /* "native,onednn" restricts and orders, the reference stays the last resort; NULL: all that are
       available, by preference. An unknown or unavailable name is an error. */
    const char *providers;
    bool deterministic; /* only providers that promise same_bits_any_threads */
    bool verbose;       /* as LODE_VERBOSE=1 */
} lode_dispatch_options;

LODE_API lode_status lode_dispatch_create(const lode_dispatch_options *options,
                                          lode_dispatch **out);
LODE_API void lode_dispatch_destroy(lode_dispatch *d);
typedef struct lode_dispatch_stats {
    int64_t n_forward, n_backward; /* calls so far */
    int64_t n_reference;           /* of both, those that no faster kernel took */
    size_t workspace_bytes;        /* held now */
} lode_dispatch_stats;
LODE_API lode_dispatch_stats lode_dispatch_get_stats(const lode_dispatch *d);
/* For lode_tape_create; lives as long as the dispatch. */
LODE_API const lode_runner *lode_dispatch_runner(lode_dispatch *d);
/* Who would run this call. Never NULL (the reference at last). */
LODE_API const lode_provider *lode_dispatch_choose(const lode_dispatch *d, const lode_op_call *c);

/* A call that will be run many times: who runs it, what its kernel prepares of the inputs that
   `constant` has a bit for (absent ones count), and its workspace are settled once. *kernel NULL:
   the reference. Ended by lode_dispatch_forget. Workspace may be counted per thread: after
   lode_set_threads, forget and prepare again. */
LODE_API lode_status lode_dispatch_prepare(const lode_dispatch *d, lode_op_call *c,
                                           uint64_t constant, const lode_kernel **kernel);
LODE_API void lode_dispatch_forget(lode_op_call *c, const lode_kernel *kernel);
/* Before such calls run: how many will, and how many of them have no kernel. Providers follow
   lode_set_threads here. */
LODE_API void lode_dispatch_count(lode_dispatch *d, int64_t calls, int64_t reference_calls);
/* workspace: c->workspace_bytes of the caller's, NULL for none. Nothing of the dispatch changes, so
   calls may run in several threads at once, each with tensors and workspace of its own. */
LODE_API lode_status lode_dispatch_run(const lode_dispatch *d, lode_op_call *c,
                                       const lode_kernel *kernel, void *workspace);

/* The tables, for tests, benches, `lode ops`. */
LODE_API int lode_n_ops(void);
LODE_API const lode_op *lode_op_at(int i);
LODE_API const lode_op *lode_op_find(const char *name); /* NULL when absent */
LODE_API int lode_n_providers(void);
LODE_API const lode_provider *lode_provider_at(int i);

/* A call in words:

       conv2d s1 p1 d1 g1 [64,16,28,28] [24,16,3,3] f32
       embedding [100,16] [8,4]:s32 f32

   the operator, its parameters (op->print_params), the dims of each input in order ("-" for an
   absent one with others behind it), and y's dtype; an input of another dtype carries its own.
   Strides, seeds and values are left out: calls with equal texts cost the same. The hash is that of
   the text (lode_hash_text), stable between runs, builds and machines: keys of cost tables. Text:
   lode_free; NULL (and hash 0) when there is no memory. */
LODE_API uint64_t lode_call_hash(const lode_op_call *c);
LODE_API char *lode_call_text(const lode_op_call *c); /* lode_free */
#endif
