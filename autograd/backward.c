/* backward.c: the reverse walk.

   Nodes are popped from the last to the first. When a node's turn comes, every later use of its
   output has added to the output's gradient, which is complete then. Its kernel fills a fresh
   gradient for each input that wants one; then the activations the node kept and the output's
   gradient are let go, before the next node allocates. The first gradient that reaches a var is
   moved there, later ones are added to it. */
#include "autograd/tape_internal.h"

static lode_tensor **backward_place(lode_var *v) {
    return v->grad_slot != NULL ? v->grad_slot : &v->grad;
}

/* Takes over dx. */
static lode_status backward_accumulate(lode_tape *t, lode_var *v, lode_tensor *dx) {
    bool planned = tape_is_planned(t, dx);
    lode_tensor **place = backward_place(v);
    lode_status status = LODE_OK;
    if (*place == NULL) {
        *place = dx;
        if (planned && v->grad_slot != NULL) tape_plan_gradient(t, dx);
    } else {
        if (!planned) status = lode_tensor_add_into(*place, dx);
        lode_tensor_release(dx);
    }
    if (v->grad_slot != NULL && v->grad != *place) {
        lode_tensor_release(v->grad);
        v->grad = lode_tensor_retain(*place);
    }
    return status;
}

static void backward_done_with(lode_var *y) {
    if (y->retain_grad) return;
    lode_tensor_release(y->grad);
    y->grad = NULL;
}

static lode_status backward_check_finite(const lode_op_call *c, lode_tensor *const *dx) {
    for (int i = 0; i < c->n_x; i++)
        if (dx[i] != NULL && !lode_tensor_all_finite(dx[i]))
            return LODE_FAIL(LODE_ERR_NUMERIC, "%s: the gradient of input %d is not finite",
                             c->op->name, i);
    return LODE_OK;
}

/* Nodes move while the tape grows, so who made what is looked up now. A maker stands before its
   readers, so it is still there. */
static void backward_find_makers(lode_tape *t, tape_node *node) {
    lode_op_call *c = &node->call;
    for (int i = 0; node->made_by != NULL && i < c->n_x; i++) {
        bool gone = c->x[i] != NULL && c->x[i]->storage == NULL && node->x[i] != NULL;
        node->made_by[i] = gone && node->x[i]->node >= 0 ? &t->node[node->x[i]->node].call : NULL;
    }
    c->made_by = node->made_by;
}

static lode_status backward_call(lode_tape *t, tape_node *node) {
    lode_tensor *dx[LODE_MAX_INPUTS];
    lode_op_call *c = &node->call;
    lode_status status = LODE_OK;
    c->dry = tape_is_planned(t, node->y->grad);
    backward_find_makers(t, node);
    for (int i = 0; i < c->n_x; i++) dx[i] = NULL;
    for (int i = 0; i < c->n_x; i++)
        if (node->x[i] != NULL && node->x[i]->requires_grad)
            LODE_GOTO(
                lode_tensor_like_on(c->dry ? t->plan_device : c->x[i]->device, c->x[i], &dx[i]));
    LODE_GOTO(t->runner->backward(t->runner->self, c, node->y->grad, dx));
    if (c->dry) LODE_GOTO(tape_plan_call(t, c));
    if (t->check_finite && !c->dry) LODE_GOTO(backward_check_finite(c, dx));
    tape_node_release(node);
    backward_done_with(node->y);
    for (int i = 0; i < node->n_x; i++) {
        if (dx[i] == NULL) continue;
        lode_tensor *moved = dx[i];
        dx[i] = NULL;
        LODE_GOTO(backward_accumulate(t, node->x[i], moved));
    }
done:
    if (status != LODE_OK) {
        for (int i = 0; i < node->n_x; i++) lode_tensor_release(dx[i]);
        lode_error_context("backward");
        tape_context(node->label, node->call.op->name);
    }
    return status;
}

lode_status tape_walk(lode_tape *t, int base) {
    lode_status status = LODE_OK;
    while (t->n_nodes > base) {
        tape_node node = t->node[--t->n_nodes]; /* a copy: a region appends behind it */
        if (status == LODE_OK && node.y->grad != NULL) {
            if (node.region != NULL) {
                status = tape_region_backward(t, &node);
                backward_done_with(node.y);
            } else {
                status = backward_call(t, &node);
            }
        }
        tape_node_release(&node);
    }
    return status;
}

/* From here on forward code has no say: drop every value the vars still hold. The nodes have their
   own references to what they read. */
static void backward_spend(lode_tape *t, const lode_var *y) {
    for (int i = 0; i < t->n_vars; i++) {
        lode_var *v = tape_var(t, i);
        if (v->given) continue;
        v->spent = true;
        if (v != y) tape_forget_value(v);
    }
}

static lode_status backward_check(const lode_tape *t, const lode_var *y) {
    LODE_TRY(lode_tape_status(t));
    if (t->mode != LODE_TRAIN)
        return LODE_FAIL(LODE_ERR_INVALID, "backward: only a TRAIN tape remembers");
    if (y == NULL || y->tape != t)
        return LODE_FAIL(LODE_ERR_INVALID, "backward: the result does not belong to this tape");
    if (y->spent)
        return LODE_FAIL(LODE_ERR_INVALID,
                         "backward: the graph was consumed by an earlier backward; add losses up "
                         "and go back once");
    if (!y->requires_grad)
        return LODE_FAIL(LODE_ERR_INVALID,
                         "backward: the result does not depend on anything that requires a "
                         "gradient");
    return LODE_OK;
}

/* Takes over dy. */
static lode_status backward_run(lode_tape *t, lode_var *y, lode_tensor *dy) {
    backward_spend(t, y);
    t->walking = true;
    lode_status status = backward_accumulate(t, y, dy);
    if (status == LODE_OK) status = tape_walk(t, 0);
    t->walking = false;
    while (t->n_nodes > 0) tape_node_release(&t->node[--t->n_nodes]);
    if (status != LODE_OK) lode_tape_fail(t, status);
    return status;
}

lode_status lode_backward(lode_tape *t, lode_var *loss, double scale) {
    lode_tensor *dy = NULL;
    LODE_TRY(backward_check(t, loss));
    if (loss->value == NULL || lode_tensor_count(loss->value) != 1)
        return LODE_FAIL(LODE_ERR_SHAPE, "backward: the loss must be one element that is not "
                                         "forgotten; from more elements use lode_backward_from");
    LODE_TRY(lode_tensor_like(loss->value, &dy));
    lode_status status = lode_tensor_fill(dy, scale);
    if (status != LODE_OK) {
        lode_tensor_release(dy);
        return status;
    }
    return backward_run(t, loss, dy);
}

lode_status lode_backward_from(lode_tape *t, lode_var *y, const lode_tensor *dy) {
    lode_tensor *copy = NULL;
    LODE_TRY(backward_check(t, y));
    if (y->value != NULL && !lode_shape_equal(&y->value->shape, &dy->shape)) {
        char a[128], b[128];
        return LODE_FAIL(LODE_ERR_SHAPE, "backward: the result is %s, its gradient %s",
                         lode_shape_print(&y->value->shape, a), lode_shape_print(&dy->shape, b));
    }
    LODE_TRY(lode_tensor_clone(dy, &copy));
    return backward_run(t, y, copy);
}
