/* tape.h: records calls, owns what it made, walks backward.

   One forward function, three tapes. TRAIN remembers for backward, EVAL forgets as it goes, TRACE
   works out shapes and runs nothing: cost, peak memory, printing and export read the trace.

   Errors stick: an operator given NULL returns NULL, and the first failure stays in
   lode_tape_status, so that forward code reads like the paper and checks once at the end.

   Lifetime. A lode_var belongs to its tape until lode_tape_reset. Between lode_tape_enter and
   lode_tape_leave stands a scope (usually a block of a network): on leaving, the values made inside
   are forgotten, except the scope's result and what backward needs (op->keeps). That is how
   activations are freed as early as possible in every mode. A var whose value was forgotten may not
   be used any more. In a chain of blocks the value that goes from one to the next is nobody's
   inside; lode_tape_trim forgets the ones that have passed:

       lode_scope s = lode_tape_enter(t, "body");
       for (int i = 0; i < n; i++) {
           x = block(t, i, x);
           lode_tape_trim(t, &s, x);
       }
       x = lode_tape_leave(t, s, x);

   Backward consumes what was recorded: each activation and gradient is freed as soon as it was
   used, and afterwards the tape's vars hold no values other than those given to it (leaves and
   constants), the loss, and those under lode_take_value; gradients stay at leaves and under
   lode_retain_grad. A view keeps the storage it looks at alive. */
#ifndef LODE_AUTOGRAD_TAPE_H
#define LODE_AUTOGRAD_TAPE_H
#include "autograd/op.h"

typedef enum lode_tape_mode { LODE_TRAIN, LODE_EVAL, LODE_TRACE } lode_tape_mode;
typedef struct lode_tape lode_tape;

typedef struct lode_var {
    lode_tape *tape;
    lode_tensor *value; /* NULL once forgotten */
    lode_tensor *grad;  /* after backward, for leaves and retained vars; else NULL */
    bool requires_grad;
    /* private to this room */
    bool given;       /* leaf or constant: its value came from outside */
    bool retain_grad; /* lode_retain_grad */
    bool keep_value;  /* lode_take_value */
    bool spent;       /* backward consumed the graph it belongs to */
    int index;        /* position on the tape */
    int node;         /* recorded call that made it; -1: none */
    int id;           /* of its value, in traces */
    lode_tensor **grad_slot;
} lode_var;

/* runner NULL: the reference. It must outlive the tape. */
LODE_API lode_status lode_tape_create(lode_tape_mode mode, const lode_runner *runner,
                                      lode_tape **out);
LODE_API void lode_tape_destroy(lode_tape *t);
/* Forgets all vars, calls and the sticky error; keeps its memory for the next step. */
LODE_API void lode_tape_reset(lode_tape *t);
LODE_API lode_tape_mode lode_tape_get_mode(const lode_tape *t);
LODE_API lode_status lode_tape_status(const lode_tape *t);
/* Makes the tape fail (sticks, first one wins) with the story of lode_last_error(), which
   lode_tape_status brings back; returns NULL, for `return lode_tape_fail(t, status);`. */
LODE_API lode_var *lode_tape_fail(lode_tape *t, lode_status status);

/* (seed, step) of everything random this tape runs; set before each step. */
LODE_API void lode_tape_set_step(lode_tape *t, uint64_t seed, uint64_t step);
LODE_API uint64_t lode_tape_seed(const lode_tape *t);
LODE_API uint64_t lode_tape_step(const lode_tape *t);
/* A fresh stream for the next random call of this step: purpose's index = step; the n-th call with
   this purpose starts at position n * 2^40. Recomputation replays the counting; set_step and reset
   begin it again. */
LODE_API lode_rng lode_tape_next_rng(lode_tape *t, lode_rng_purpose purpose);

/* Vars from tensors; the tape retains them. `grad_slot` (may be NULL): where backward accumulates;
   *grad_slot is NULL for "absent" (and stays so when nothing flowed to the leaf) and becomes a
   tensor the slot's owner releases. The first gradient moves in, later ones are added in place,
   over several leaves of one slot and several backwards alike. Only float tensors on TRAIN tapes
   require gradients. */
LODE_API lode_var *lode_tape_constant(lode_tape *t, lode_tensor *value);
LODE_API lode_var *lode_tape_leaf(lode_tape *t, lode_tensor *value, lode_tensor **grad_slot);
/* Same value, no gradient: sg(x). */
LODE_API lode_var *lode_detach(lode_tape *t, lode_var *x);
/* Keep v->grad after backward although v is no leaf. */
LODE_API void lode_retain_grad(lode_var *v);
/* Keep v->value past its scope and backward (and, as the returned tensor, past reset: release it
   yourself). NULL when there is none. */
LODE_API lode_tensor *lode_take_value(lode_var *v);

/* v->value is not needed any more by forward code; backward keeps what it needs. */
LODE_API void lode_forget(lode_var *v);

/* Records and runs `op` on x[0..n_x). Optional inputs (from op->n_required on) may be NULL or left
   off; any other NULL means "something failed before" and NULL comes back. The call sees
   op->n_inputs inputs. Params are copied. */
LODE_API lode_var *lode_apply(lode_tape *t, const lode_op *op, lode_var *const *x, int n_x,
                              const void *params);

typedef struct lode_scope {
    int first_var;
    int label_length;
} lode_scope;
/* `label` names the scope in messages and traces ("layer3.k5_e6"); nested labels join with '/'. */
LODE_API lode_scope lode_tape_enter(lode_tape *t, const char *label);
/* Forgets what was made since, except `result` (which may be NULL), and returns it. */
LODE_API lode_var *lode_tape_leave(lode_tape *t, lode_scope s, lode_var *result);
/* The same without leaving; `s` moves on to `result`. */
LODE_API void lode_tape_trim(lode_tape *t, lode_scope *s, lode_var *result);
LODE_API const char *lode_tape_label(const lode_tape *t);

/* Recomputation (checkpointing): runs body on x without remembering, and again, remembering, in
   backward. Same bits: rng streams are replayed, running statistics are not touched twice. body
   must be a pure function of ctx and x; ctx must live until backward (lode_tape_allocate).
   Parameters are used inside through lode_tape_leaf and their slots. Regions may nest. In EVAL and
   TRACE it just runs body. */
typedef lode_var *(*lode_region_body)(lode_tape *t, void *ctx, lode_var *const *x, int n_x);
LODE_API lode_var *lode_recompute(lode_tape *t, lode_region_body body, void *ctx,
                                  lode_var *const *x, int n_x);

/* The same for a sum of up to 64 branches, such as the candidates of a mixture: y = join(o_0(x),
   .., x). Backward runs one branch after the other again, joins it alone, and walks that, so that
   one branch at a time holds activations. Therefore join must add up: what it passes back to o_k
   must not depend on the other branches, and what it passes back to x must be the sum of what it
   does for each branch alone. A branch may be absent: it then returns NULL, and join is given NULL.
 */
typedef struct lode_branches {
    int n;
    lode_var *(*branch)(lode_tape *t, void *ctx, int k, lode_var *const *x, int n_x);
    lode_var *(*join)(lode_tape *t, void *ctx, lode_var *const *o /* [n] */, lode_var *const *x,
                      int n_x);
} lode_branches;
LODE_API lode_var *lode_recompute_sum(lode_tape *t, const lode_branches *b, void *ctx,
                                      lode_var *const *x, int n_x);
/* Uninitialised memory that lives until the tape is reset, for the ctx of a region. NULL: the tape
   has failed. */
LODE_API void *lode_tape_allocate(lode_tape *t, size_t bytes);

/* dloss/d(everything that requires it); loss must have one element; its own gradient is `scale`.
   Each kept activation is freed as soon as its node is done. The recorded graph is consumed, all of
   it: add losses up before. New calls may be recorded afterwards. */
LODE_API lode_status lode_backward(lode_tape *t, lode_var *loss, double scale);
/* From a given gradient of `y` instead of a scalar. */
LODE_API lode_status lode_backward_from(lode_tape *t, lode_var *y, const lode_tensor *dy);

/* After each call, fail with LODE_ERR_NUMERIC naming op and label when the output is not finite; in
   backward, when a gradient is not. Off at first; stays over resets. */
LODE_API void lode_tape_check_finite(lode_tape *t, bool on);

/* ---- plans: what a step would hold ---- */
/* Makes a TRAIN or EVAL tape a plan: whatever depends on a tensor of `device` (a counting device)
   is made on that device and not computed; the rest runs. So the same code goes the same way, asks
   for the same blocks in the same order and gives them back at the same time, backward and
   recomputation included, and takes next to no time. Gradients, those in slots too, are the
   device's. device NULL: an ordinary tape again. Resets the tape; begin every step of a plan so,
   with the gradients gone and the device's peak reset. */
LODE_API void lode_tape_plan_on(lode_tape *t, lode_device *device);
/* The moment at which most was in use on the device since then. */
typedef struct lode_tape_plan {
    int64_t bytes;     /* all of it: peak_bytes of the device */
    int64_t gradients; /* of it, in slots of leaves */
    int64_t workspace; /* of it, for the kernels */
} lode_tape_plan;
LODE_API lode_tape_plan lode_tape_get_plan(const lode_tape *t);

/* ---- the trace: what a TRACE tape recorded ---- */
typedef struct lode_trace_call {
    lode_op_call call; /* tensors without storage */
    const int *x_id;   /* [n_x] value ids, -1 for NULL; ids of parameters and inputs too */
    int y_id;
    const char *label;
    bool is_view;
    lode_op_count count;
} lode_trace_call;
LODE_API int lode_trace_n(const lode_tape *t);
LODE_API const lode_trace_call *lode_trace_get(const lode_tape *t, int i);
/* Index of the last call that reads a value, directly or through a view of it: the value may be
   freed after that call. For a result nobody read the call that made it, for an input nobody read
   -1. */
LODE_API int lode_trace_last_use(const lode_tape *t, int value_id);
/* Value ids run from 0 to n - 1: given tensors (one id however often given) and results. */
LODE_API int lode_trace_n_values(const lode_tape *t);
LODE_API int lode_trace_id(const lode_var *v);
/* The tensor given under an id, with its contents (borrowed); NULL for results. */
LODE_API lode_tensor *lode_trace_given(const lode_tape *t, int value_id);
#endif
