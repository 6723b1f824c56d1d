/* apply.c: one call: check, infer, run, remember.

   The three modes part here and nowhere else. All of them check the inputs and ask the operator for
   the shape. TRACE writes that down. TRAIN and EVAL make the output and run the kernel; TRAIN then
   pushes a node when a gradient can flow through it. The node keeps what op->keeps names and, of
   the rest, descriptions without storage, so that backward still knows every shape. */
#include "autograd/tape_internal.h"

#include <stdatomic.h>
#include <string.h>

lode_status tape_context(const char *label, const char *name) {
    const char *story = lode_last_error();
    size_t n = strlen(name);
    bool named = strncmp(story, name, n) == 0 && story[n] == ':';
    if (label[0] == '\0') return named ? lode_last_status() : lode_error_context("%s", name);
    return named ? lode_error_context("%s", label) : lode_error_context("%s: %s", label, name);
}

/* ---- nodes ---- */
lode_status tape_push(lode_tape *t, const tape_node *node) {
    LODE_TRY(lode_grow((void **)&t->node, &t->node_capacity, t->n_nodes + 1, sizeof *t->node));
    t->node[t->n_nodes++] = *node;
    return LODE_OK;
}

static void apply_drop(lode_tensor **held) {
    if (*held != NULL && (*held)->storage != NULL) lode_tensor_release(*held);
    *held = NULL;
}

void tape_node_release(tape_node *node) {
    for (int i = 0; i < node->call.n_x; i++) apply_drop(&node->call.x[i]);
    apply_drop(&node->call.y);
    for (int i = 0; i < LODE_MAX_AUX; i++) apply_drop(&node->call.aux[i]);
    if (node->region == NULL) return;
    for (int i = 0; i < node->region->n_x; i++) {
        lode_tensor_release(node->region->value[i]);
        node->region->value[i] = NULL;
    }
}

/* Shape, dtype and strides in the arena; never released, so its count never reaches zero. */
static lode_tensor *apply_describe(lode_tape *t, const lode_tensor *of) {
    lode_tensor *d = arena_allocate(&t->arena, sizeof *d);
    if (d == NULL) return NULL;
    d->dtype = of->dtype;
    d->shape = of->shape;
    memcpy(d->stride, of->stride, sizeof d->stride);
    d->device = of->device;
    d->storage = NULL;
    d->data = NULL;
    atomic_init(&d->refs, 1);
    return d;
}

/* Backward of `call` can do without the value of x: its maker, still on the tape then, keeps what
   it takes to make it again. */
static bool apply_made_again(const lode_tape *t, const lode_op_call *call, const lode_var *x) {
    if (t->runner->makes_again == NULL || x == NULL || x->node < 0 || x->keep_value) return false;
    return t->runner->makes_again(t->runner->self, call, &t->node[x->node].call);
}

static lode_status apply_keep(lode_tape *t, bool keep, lode_tensor **held) {
    if (*held == NULL) return LODE_OK;
    *held = keep ? lode_tensor_retain(*held) : apply_describe(t, *held);
    return *held != NULL ? LODE_OK : LODE_ERR_NO_MEMORY;
}

static bool apply_keeps_x(const lode_op *op, int i) {
    if ((op->keeps & LODE_KEEP_ALL_X) == LODE_KEEP_ALL_X) return true;
    return i < 31 && (op->keeps >> i & 1u) != 0;
}

static lode_status apply_makers(lode_tape *t, tape_node *node, size_t n) {
    if (node->made_by != NULL) return LODE_OK;
    node->made_by = arena_allocate(&t->arena, n * sizeof *node->made_by);
    return node->made_by != NULL ? LODE_OK : LODE_ERR_NO_MEMORY;
}

/* Remembers the call. Takes over `call`'s aux when it succeeds; y stays the caller's. */
static lode_status apply_record(lode_tape *t, const lode_op_call *call, lode_var *const *x, int n_x,
                                lode_var *y) {
    const lode_op *op = call->op;
    tape_node node = {.call = *call, .n_x = call->n_x, .y = y};
    size_t params_size = op->params_size, n = (size_t)call->n_x;
    lode_status status = LODE_ERR_NO_MEMORY;
    char *params = arena_allocate(&t->arena, params_size);
    node.label = tape_label_copy(t);
    node.x = arena_allocate(&t->arena, n * sizeof *node.x);
    node.call.x = arena_allocate(&t->arena, n * sizeof *node.call.x);
    node.made_by = NULL;
    node.call.n_x = 0; /* as many as are held so far */
    node.call.y = NULL;
    if (params == NULL || node.label == NULL || node.x == NULL || node.call.x == NULL)
        return status;
    if (params_size > 0) memcpy(params, call->params, params_size);
    node.call.params = params_size > 0 ? params : NULL;
    node.call.workspace = NULL;
    node.call.twin = NULL;
    node.call.workspace_bytes = 0;
    for (int i = 0; i < call->n_x; i++) {
        node.x[i] = i < n_x ? x[i] : NULL;
        node.call.x[i] = call->x[i];
        bool keep = apply_keeps_x(op, i);
        if (keep && node.call.x[i] != NULL && apply_made_again(t, call, node.x[i])) {
            keep = false;
            LODE_GOTO(apply_makers(t, &node, n));
        }
        LODE_GOTO(apply_keep(t, keep, &node.call.x[i]));
        node.call.n_x = i + 1;
    }
    node.call.y = call->y;
    LODE_GOTO(apply_keep(t, (op->keeps & LODE_KEEP_Y) != 0, &node.call.y));
    status = tape_push(t, &node);
    if (status == LODE_OK) y->node = t->n_nodes - 1;
done:
    if (status != LODE_OK) {
        memset(node.call.aux, 0, sizeof node.call.aux); /* still the caller's */
        tape_node_release(&node);
    }
    return status;
}

/* ---- checks ---- */
static lode_status apply_check(lode_tape *t, const lode_op *op, lode_var *const *x, int n_x,
                               const void *params) {
    bool any_number = op->n_inputs < 0;
    int most = any_number ? LODE_MAX_INPUTS : op->n_inputs;
    int required = any_number ? (n_x > 1 ? n_x : 1) : op->n_required;
    if (n_x > most || n_x < required)
        return LODE_FAIL(LODE_ERR_INVALID, "%s: got %d inputs, wants %d to %d", op->name, n_x,
                         required, most);
    if (op->params_size > 0 && params == NULL)
        return LODE_FAIL(LODE_ERR_INVALID, "%s: needs parameters", op->name);
    for (int i = 0; i < n_x; i++) {
        if (x[i] == NULL && i >= required) continue;
        if (x[i] == NULL) return LODE_FAIL(LODE_ERR_INVALID, "%s: input %d is NULL", op->name, i);
        if (x[i]->tape != t)
            return LODE_FAIL(LODE_ERR_INVALID,
                             "%s: input %d belongs to another tape, or to this "
                             "one before its reset",
                             op->name, i);
        if (x[i]->spent)
            return LODE_FAIL(LODE_ERR_INVALID,
                             "%s: input %d belongs to a graph that backward "
                             "consumed; lode_detach it first",
                             op->name, i);
        if (x[i]->value == NULL)
            return LODE_FAIL(LODE_ERR_INVALID,
                             "%s: the value of input %d was forgotten when its "
                             "scope was left",
                             op->name, i);
    }
    return LODE_OK;
}

static bool apply_wants_grad(const lode_tape *t, const lode_op *op, lode_var *const *x, int n_x) {
    if (t->mode != LODE_TRAIN || op->not_differentiable) return false;
    for (int i = 0; i < n_x; i++)
        if (x[i] != NULL && x[i]->requires_grad) return true;
    return false;
}

enum { APPLY_TWIN_NODES = 32 }; /* how far back: a mixture's candidates are not far apart */

static const lode_op_call *apply_twin(const lode_tape *t, const lode_op *op, const lode_var *x) {
    if (op->is_twin == NULL) return NULL;
    for (int i = t->n_nodes - 1; i >= 0 && i >= t->n_nodes - APPLY_TWIN_NODES; i--) {
        const tape_node *node = &t->node[i];
        if (node->call.op == op && node->x[0] == x && op->is_twin(&node->call)) return &node->call;
    }
    return NULL;
}

/* ---- running ---- */
static lode_status apply_make(const lode_tape *t, lode_device *device, lode_dtype dtype,
                              const lode_shape *shape, lode_layout layout, lode_tensor **out) {
    if (t->mode == LODE_TRACE) return lode_tensor_shapeless_storage(dtype, shape, layout, out);
    return lode_tensor_create(device, dtype, shape, layout, out);
}

static lode_device *apply_device(const lode_op_call *c) {
    for (int i = 0; i < c->n_x; i++)
        if (c->x[i] != NULL) return c->x[i]->device;
    return NULL;
}

static lode_status apply_make_outputs(const lode_tape *t, lode_op_call *c,
                                      const lode_inferred *in) {
    lode_device *device = c->dry ? t->plan_device : apply_device(c);
    LODE_TRY(apply_make(t, device, in->dtype, &in->shape, in->layout, &c->y));
    for (int i = 0; i < in->n_aux; i++)
        LODE_TRY(apply_make(t, device, in->aux[i].dtype, &in->aux[i].shape, in->aux[i].layout,
                            &c->aux[i]));
    return LODE_OK;
}

/* Fills c->y and c->aux, which are the caller's to release also when it fails. */
static lode_status apply_run(lode_tape *t, lode_op_call *c, bool *is_view) {
    lode_inferred in = {0};
    *is_view = false;
    LODE_TRY(c->op->infer(c, &in));
    if (c->op->view != NULL) {
        lode_status status = c->op->view(c, &c->y);
        *is_view = status == LODE_OK;
        if (status != LODE_ERR_UNSUPPORTED) return status;
    }
    LODE_TRY(apply_make_outputs(t, c, &in));
    if (t->mode == LODE_TRACE) return LODE_OK;
    LODE_TRY(t->runner->forward(t->runner->self, c));
    if (c->dry) return tape_plan_call(t, c);
    if (t->check_finite && !lode_tensor_all_finite(c->y))
        return LODE_FAIL(LODE_ERR_NUMERIC, "%s: the output is not finite", c->op->name);
    return LODE_OK;
}

static lode_var *apply_finish(lode_tape *t, lode_op_call *c, lode_var *const *x, int n_x,
                              bool is_view, bool record) {
    lode_var *y = tape_new_var(t, lode_tensor_retain(c->y));
    if (y == NULL) return NULL;
    y->requires_grad = c->train;
    lode_status status = LODE_OK;
    if (t->mode == LODE_TRACE) {
        status = trace_record(t, c, x, y, is_view);
    } else if (record) {
        status = apply_record(t, c, x, n_x, y);
        if (status == LODE_OK) memset(c->aux, 0, sizeof c->aux);
    }
    return status == LODE_OK ? y : lode_tape_fail(t, status);
}

lode_var *lode_apply(lode_tape *t, const lode_op *op, lode_var *const *x, int n_x,
                     const void *params) {
    lode_tensor *value[LODE_MAX_INPUTS];
    bool is_view = false;
    if (t == NULL || t->status != LODE_OK) return NULL;
    lode_status status = apply_check(t, op, x, n_x, params);
    if (status != LODE_OK) {
        tape_context(lode_tape_label(t), op->name);
        return lode_tape_fail(t, status);
    }
    lode_op_call call = {
        .op = op,
        .params = op->params_size > 0 ? params : NULL,
        .n_x = op->n_inputs > 0 ? op->n_inputs : n_x,
        .x = value,
        .train = apply_wants_grad(t, op, x, n_x),
        .repeated = t->repeated,
        .twin = apply_twin(t, op, x[0]),
    };
    for (int i = 0; i < call.n_x; i++) {
        value[i] = i < n_x && x[i] != NULL ? x[i]->value : NULL;
        call.dry = call.dry || tape_is_planned(t, value[i]);
    }

    tape_mark mark = arena_mark(&t->arena);
    lode_var *y = NULL;
    status = apply_run(t, &call, &is_view);
    if (status != LODE_OK) {
        tape_context(lode_tape_label(t), op->name);
        lode_tape_fail(t, status);
    } else {
        y = apply_finish(t, &call, x, n_x, is_view, call.train && t->n_unrecorded == 0);
    }
    if (y == NULL) {
        arena_rewind(&t->arena, mark);
        t->label_copy = NULL;
    }
    lode_tensor_release(call.y);
    for (int i = 0; i < LODE_MAX_AUX; i++) lode_tensor_release(call.aux[i]);
    return y;
}
