/* op.h: the contract of an operator and of a kernel.

   An operator is a const struct in its own file plus one line in ops/ops.def. It has any number of
   inputs and one output, plus auxiliary outputs that only its own backward reads (saved statistics,
   masks, indices). Parameters are a plain struct, copied into the call, without pointers and with
   padding zeroed, so that a call can be hashed, compared, printed and priced. */
#ifndef LODE_AUTOGRAD_OP_H
#define LODE_AUTOGRAD_OP_H
#include "core/memory.h"
#include "core/rng.h"
#include "tensor/tensor.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LODE_MAX_AUX    5
#define LODE_MAX_INPUTS 64

typedef struct lode_op lode_op;
typedef struct lode_op_call lode_op_call;
typedef struct lode_provider lode_provider; /* ops/backend.h */

/* One use of an operator. Inputs that are optional and absent are NULL. */
struct lode_op_call {
    const lode_op *op;
    const void *params; /* op->params_size bytes */
    int n_x;
    lode_tensor **x; /* [n_x] */
    lode_tensor *y;
    lode_tensor *aux[LODE_MAX_AUX];
    bool train;    /* backward will follow: fill aux */
    bool repeated; /* second forward of a recomputed region: do not touch running statistics */
    bool dry;      /* a plan: a runner chooses the provider and sets workspace_bytes, no more */
    const lode_provider *provider; /* who ran forward; runs backward too */
    const void *prepared;          /* what its kernel made of weights that stay; NULL: nothing */
    /* In backward: of inputs that were not kept because their values can be made again, the calls
       that made them; other entries are NULL. [n_x], or NULL when there are none. */
    const lode_op_call *const *made_by;
    /* In forward, for operators with is_twin: an earlier call of the same operator on the same x[0]
       whose aux, still on the tape, has something that this call needs too. NULL: none. */
    const lode_op_call *twin;
    void *workspace; /* workspace_bytes, 64-byte aligned, contents undefined */
    size_t workspace_bytes;
};

/* A kernel: fills y and aux (forward), or overwrites every dx[i] that is not NULL (backward). dx[i]
   has x[i]'s shape and dtype, dense; its contents are undefined before. dy may have any strides and
   is only read. In backward the x and y that `keeps` names have their values, the others have
   shape, dtype and strides but no data; aux is all there. */
typedef lode_status (*lode_forward_fn)(const lode_op_call *c);
typedef lode_status (*lode_backward_fn)(const lode_op_call *c, const lode_tensor *dy,
                                        lode_tensor *const *dx);

/* What infer answers. It may ask for fewer aux when !c->train; the tape makes exactly these. */
typedef struct lode_inferred {
    lode_shape shape;
    lode_dtype dtype;
    lode_layout layout; /* dispatch default: channels-last for 4 dims, else contiguous */
    int n_aux;
    struct {
        lode_shape shape;
        lode_dtype dtype;
        lode_layout layout;
    } aux[LODE_MAX_AUX];
} lode_inferred;

/* Work of one forward call, from shapes alone. */
typedef struct lode_op_count {
    double macs;          /* multiply-accumulates of conv and linear operators; 0 for the rest */
    double flops;         /* all floating-point operations; 1 MAC = 2 */
    double bytes_read;    /* inputs and weights, once each */
    double bytes_written; /* the output */
} lode_op_count;

/* A legal call for tests, benches, fuzzing and `lode selftest`. */
#define LODE_EXAMPLE_MAX_INPUTS 24
typedef struct lode_op_example {
    lode_dtype dtype; /* in: wanted dtype of the float inputs (f64 or f32) */
    int n_x;
    lode_tensor *x[LODE_EXAMPLE_MAX_INPUTS]; /* made by example; released by the caller */
    bool differentiable[LODE_EXAMPLE_MAX_INPUTS];
    union {
        unsigned char bytes[128];
        double align;
    } params;
} lode_op_example;

/* Which tensors backward reads. The tape frees the rest as soon as nobody needs them. */
enum {
    LODE_KEEP_Y = 1u << 31,
    LODE_KEEP_ALL_X = 0x7fffffffu
#define LODE_KEEP_X(i) (1u << (i)) /* i < 31; ops with more inputs use LODE_KEEP_ALL_X */
};

struct lode_op {
    const char *name;
    int n_inputs;   /* required + optional; -1: any number >= 1 */
    int n_required; /* inputs that may not be NULL (the first ones); ignored when n_inputs is -1 */
    size_t params_size; /* 0 when there are none */
    uint32_t keeps;
    bool stochastic;         /* output depends on an rng stream in params, not only on inputs */
    bool not_differentiable; /* no gradient flows to any input (argmax, noise) */

    /* Shapes and dtypes of y and aux; LODE_ERR_SHAPE says which dims clash. Runs on tensors without
       storage: looks at shape, dtype and strides only. `out` is zeroed before. */
    lode_status (*infer)(const lode_op_call *c, lode_inferred *out);

    /* May `earlier`, on the same x[0], be call.twin? NULL: never. */
    bool (*is_twin)(const lode_op_call *earlier);

    /* When set, y is a view of x[0] and no forward kernel runs. LODE_ERR_UNSUPPORTED (without a
       message) means "not this time": forward runs instead. */
    lode_status (*view)(const lode_op_call *c, lode_tensor **y);

    struct {
        lode_forward_fn forward;
        lode_backward_fn backward; /* NULL when not_differentiable */
    } reference; /* written to be read: doubles through lode_at/lode_put, any dtype, any stride */

    void (*count)(const lode_op_call *c, lode_op_count *out); /* from shapes alone */

    /* The k-th example, k = 0, 1, ...: corner cases first; LODE_ERR_NOT_FOUND after the last corner
       case unless random ones follow (then any k works). Values away from kinks. */
    lode_status (*example)(lode_op_example *e, lode_rng *rng, int k);

    /* "k5 s2 g96" for messages and cost tables; NULL: no parameters worth showing. */
    void (*print_params)(const void *params, char out[96]);
};

/* Runs calls: ops/dispatch.h implements it, the tape only calls it. Of dry calls the tensors have
   no contents: nothing is run, only provider and workspace_bytes are answered. */
typedef struct lode_runner {
    void *self;
    /* Chooses a provider, makes workspace, runs forward. */
    lode_status (*forward)(void *self, lode_op_call *c);
    lode_status (*backward)(void *self, lode_op_call *c, const lode_tensor *dy,
                            lode_tensor *const *dx);
    /* After both ran forward: can the backward of `c` do without an input's value, out of what the
       call that made it keeps (made_by)? NULL: no. */
    bool (*makes_again)(void *self, const lode_op_call *c, const lode_op_call *maker);
    /* Bytes of workspace that it holds on the CPU between calls and gives to the next. NULL: none.
     */
    size_t (*holds)(void *self);
} lode_runner;

/* The runner that always runs the reference; for tests and as a fallback. */
LODE_API const lode_runner *lode_reference_runner(void);
#endif
