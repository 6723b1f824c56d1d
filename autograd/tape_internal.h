/* tape_internal.h: what the files of this room share. */
#ifndef LODE_AUTOGRAD_TAPE_INTERNAL_H
#define LODE_AUTOGRAD_TAPE_INTERNAL_H
#include "autograd/tape.h"

enum { TAPE_N_PURPOSES = 32, TAPE_VARS_PER_CHUNK = 256, TAPE_MESSAGE = 512 };

/* ---- memory that is given back all at once (arena.c) ---- */
typedef struct tape_block {
    char *bytes;
    size_t size;
} tape_block;
typedef struct tape_arena {
    tape_block *block; /* [n_blocks] */
    int64_t n_blocks, capacity;
    int64_t current; /* block in use */
    size_t used;     /* of the current block */
} tape_arena;
typedef struct tape_mark {
    int64_t current;
    size_t used;
} tape_mark;
/* 16-byte aligned, uninitialised; NULL when there is no memory. */
void *arena_allocate(tape_arena *a, size_t bytes);
tape_mark arena_mark(const tape_arena *a);
void arena_rewind(tape_arena *a, tape_mark m); /* forgets what came after the mark, keeps blocks */
void arena_deinit(tape_arena *a);

/* ---- what a tape holds ---- */
/* What makes random calls repeatable. */
typedef struct tape_chance {
    uint64_t seed, step;
    uint64_t n_calls[TAPE_N_PURPOSES];
} tape_chance;

/* A region run without remembering, to be run again in backward. In the arena. */
typedef struct tape_region {
    lode_region_body body; /* NULL: branches */
    lode_branches branches;
    void *ctx;
    int n_x;
    lode_tensor **value; /* [n_x] retained, NULL for NULL inputs */
    tape_chance *chance; /* as it was before the body; or [n + 1] before each branch and join */
    uint64_t present;    /* branches that are there */
    uint64_t outer;      /* branches whose result is a var from outside (identities) */
} tape_region;

/* One recorded step; backward walks them from the last to the first. x, and in `call` the tensors
   arrays and params, lie in the arena. Tensors with storage are retained, those without are
   descriptions in the arena. */
typedef struct tape_node {
    lode_op_call call;
    lode_var **x; /* [n_x] */
    int n_x;
    const lode_op_call **made_by; /* [n_x] room for call.made_by; NULL: all inputs are kept */
    lode_var *y;
    const char *label;
    tape_region *region; /* NULL for an operator */
} tape_node;

/* A tensor given to a TRACE tape and the id it got. */
typedef struct tape_given {
    lode_tensor *tensor;
    int id;
} tape_given;
typedef struct tape_value {
    int last_use;
    int view_of; /* value id, -1 for none */
} tape_value;

struct lode_tape {
    lode_tape_mode mode;
    const lode_runner *runner;
    lode_status status;
    char message[TAPE_MESSAGE]; /* of the first failure */
    bool check_finite;
    tape_chance chance;
    int n_unrecorded; /* depth of regions that run without remembering */
    bool repeated;    /* a region runs for the second time */
    bool walking;     /* backward is under way */

    lode_var **chunk; /* [n_chunks] of TAPE_VARS_PER_CHUNK vars: addresses stay */
    int64_t n_chunks, chunk_capacity;
    int n_vars;

    tape_node *node;
    int64_t node_capacity;
    int n_nodes;

    lode_device *plan_device; /* NULL: not a plan */
    lode_tape_plan plan;      /* at its peak */
    void *plan_workspace;
    size_t plan_workspace_bytes, plan_workspace_wish; /* wish: the largest of all plans */
    int64_t plan_gradients;                           /* in slots now */

    tape_arena arena;
    char *label; /* current, '/'-joined; NULL before the first */
    int64_t label_capacity;
    int label_length;
    const char *label_copy; /* of the current label in the arena; NULL when not made yet */

    /* TRACE */
    lode_trace_call **trace; /* [n_trace], in the arena */
    int64_t trace_capacity;
    int n_trace;
    tape_given *given;
    int64_t given_capacity;
    int n_given;
    tape_value *value; /* [n_values] */
    int64_t value_capacity;
    int n_values;
};

/* ---- tape.c ---- */
lode_var *tape_var(const lode_tape *t, int index);
/* A var that takes over `value`, also when it fails. NULL after lode_tape_fail. */
lode_var *tape_new_var(lode_tape *t, lode_tensor *value);
void tape_forget_value(lode_var *v); /* unless taken */
/* Forgets the vars from `first` on for good. */
void tape_drop_vars(lode_tape *t, int first);
const char *tape_label_copy(lode_tape *t); /* in the arena; NULL when there is no memory */
lode_status tape_set_label(lode_tape *t, const char *label);

/* ---- apply.c ---- */
/* Appends a node; fails only for memory. */
lode_status tape_push(lode_tape *t, const tape_node *node);
void tape_node_release(tape_node *node);
/* "label: op: " in front of the current story. */
lode_status tape_context(const char *label, const char *name);

/* ---- backward.c ---- */
/* Walks the nodes from the last down to `base` and removes them. */
lode_status tape_walk(lode_tape *t, int base);

/* ---- plan.c ---- */
/* Of a plan, and without contents. */
bool tape_is_planned(const lode_tape *t, const lode_tensor *x);
/* After the blocks of a dry call were made: the workspace it asks for, and whether this is the
   peak. */
lode_status tape_plan_call(lode_tape *t, const lode_op_call *c);
void tape_plan_gradient(lode_tape *t, const lode_tensor *grad); /* came to a slot */
void tape_plan_end(lode_tape *t);

/* ---- recompute.c ---- */
lode_status tape_region_backward(lode_tape *t, tape_node *node);

/* ---- trace.c ---- */
lode_status trace_record(lode_tape *t, const lode_op_call *call, lode_var *const *x, lode_var *y,
                         bool is_view);
/* The id of a given tensor or a fresh one (tensor NULL); -1 when there is no memory. */
int trace_value_id(lode_tape *t, lode_tensor *tensor);
void trace_reset(lode_tape *t);
#endif
