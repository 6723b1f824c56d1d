/* backend.h: the contract of a kernel provider.

   A provider is a const struct plus one line in ops/backends.def (by preference). For each call the
   first provider whose kernel says `supports` runs it, and runs its backward too. The reference
   comes last and never refuses. Blocked layouts and vendor handles stay inside the provider. */
#ifndef LODE_OPS_BACKEND_H
#define LODE_OPS_BACKEND_H
#include "autograd/op.h"

typedef struct lode_kernel {
    const lode_op *op;
    /* From shapes, dtypes, strides and params alone (TRACE asks too). */
    bool (*supports)(const lode_op_call *c);
    lode_forward_fn forward;
    lode_backward_fn backward; /* NULL: the reference's backward runs */
    /* Bytes wanted in c->workspace for forward (backward false) or backward; NULL: none. */
    size_t (*workspace)(const lode_op_call *c, bool backward);
    /* For calls that are repeated with the same weights (ops/replay.h): what follows from shapes
       and from the inputs that `constant` has a bit for, such as packed weights, made once. It
       comes back as c->prepared, for workspace and forward. *out NULL: nothing this time. Both
       functions NULL: never. */
    lode_status (*prepare)(const lode_op_call *c, uint64_t constant, void **out);
    void (*release)(void *prepared);
    /* Plans and workspace are those of the number of threads at hand: not to be called from within
       a parallel loop, where that is one. */
    bool follows_threads;
} lode_kernel;

struct lode_provider {
    const char *name;        /* "native", "onednn", "reference" */
    bool (*available)(void); /* compiled in and usable on this machine; NULL: yes */
    const lode_kernel *kernels;
    int n_kernels;
    /* An activation need not be kept: backward of `c` finds this input's value again, bit by bit,
       in what its maker keeps (c->made_by). Both are calls of this provider, after forward. NULL:
       no. */
    bool (*makes_again)(const lode_op_call *c, const lode_op_call *maker);
    bool same_bits_any_threads;      /* promises thread-count-independent results */
    void (*describe)(char out[128]); /* version, features; may be NULL */
    void (*set_threads)(int n);      /* may be NULL */
};
#endif
