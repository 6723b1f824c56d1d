/* recompute.c: regions that trade a second forward for their activations.

   First time the body runs unrecorded: its values are forgotten when it is done, only the inputs
   and the result stay. In backward the body runs again on the same vars, whose values are put back
   for the while, with the random streams set back to where they were and call->repeated set. This
   time its calls are recorded, behind all nodes still to be walked; then the walk goes on through
   them. Gradients flow straight to the outer vars and to the leaves' slots, in the order in which
   they would have without a region: the result has the same bits. A region within a region does the
   same one level deeper. */
#include "autograd/tape_internal.h"

/* ---- the first time ---- */
static tape_region *region_open(lode_tape *t, lode_region_body body, void *ctx, lode_var *const *x,
                                int n_x) {
    tape_region *r = arena_allocate(&t->arena, sizeof *r);
    if (r == NULL) return NULL;
    *r = (tape_region){.body = body, .ctx = ctx, .n_x = n_x, .chance = t->chance};
    r->value = arena_allocate(&t->arena, (size_t)n_x * sizeof(lode_tensor *));
    if (r->value == NULL) return NULL;
    for (int i = 0; i < n_x; i++)
        r->value[i] = x[i] != NULL ? lode_tensor_retain(x[i]->value) : NULL;
    return r;
}

static lode_status region_record(lode_tape *t, tape_region *r, lode_var *const *x, lode_var *y) {
    tape_node node = {.n_x = r->n_x, .y = y, .region = r, .label = tape_label_copy(t)};
    node.x = arena_allocate(&t->arena, (size_t)r->n_x * sizeof(lode_var *));
    if (node.label == NULL || node.x == NULL) return LODE_ERR_NO_MEMORY;
    for (int i = 0; i < r->n_x; i++) node.x[i] = x[i];
    return tape_push(t, &node);
}

lode_var *lode_recompute(lode_tape *t, lode_region_body body, void *ctx, lode_var *const *x,
                         int n_x) {
    if (t == NULL || t->status != LODE_OK) return NULL;
    if (t->mode != LODE_TRAIN || t->n_unrecorded > 0) return body(t, ctx, x, n_x);
    tape_region *r = region_open(t, body, ctx, x, n_x);
    if (r == NULL) return lode_tape_fail(t, LODE_ERR_NO_MEMORY);

    lode_scope s = lode_tape_enter(t, NULL);
    t->n_unrecorded++;
    lode_var *y = body(t, ctx, x, n_x);
    t->n_unrecorded--;
    if (y == NULL && t->status == LODE_OK)
        lode_tape_fail(t, LODE_FAIL(LODE_ERR_INVALID, "recompute: the region has no result"));
    bool made_inside = y != NULL && y->index >= s.first_var && !y->given;
    y = lode_tape_leave(t, s, y);

    lode_status status = LODE_OK;
    if (y != NULL && made_inside && y->requires_grad) {
        status = region_record(t, r, x, y);
        if (status == LODE_OK) return y;
        y = lode_tape_fail(t, status);
    }
    tape_node_release(&(tape_node){.region = r});
    return y;
}

/* ---- the second time ---- */
/* Runs the body again on the outer vars; the nodes it records hold what they need of the inputs. */
static lode_var *region_replay(lode_tape *t, tape_node *node) {
    tape_region *r = node->region;
    bool *lent = arena_allocate(&t->arena, (size_t)r->n_x * sizeof(bool));
    if (lent == NULL) return lode_tape_fail(t, LODE_ERR_NO_MEMORY);
    for (int i = 0; i < r->n_x; i++) {
        lode_var *x = node->x[i];
        lent[i] = x != NULL && x->value == NULL;
        if (lent[i]) x->value = r->value[i];
        if (x != NULL) x->spent = false;
    }
    lode_var *y = r->body(t, r->ctx, node->x, r->n_x);
    for (int i = 0; i < r->n_x; i++) {
        lode_var *x = node->x[i];
        if (lent[i]) x->value = NULL;
        if (x != NULL) x->spent = !x->given;
    }
    return y;
}

static lode_status region_check(const lode_tape *t, const tape_node *node, const lode_var *y,
                                int first_var) {
    if (t->status != LODE_OK) return lode_tape_status(t);
    if (y == NULL || y->index < first_var || !y->requires_grad ||
        !lode_shape_equal(&y->value->shape, &node->y->grad->shape))
        return LODE_FAIL(LODE_ERR_INVALID, "recompute: the region gave another result the second "
                                           "time; its body must depend on ctx and x alone");
    return LODE_OK;
}

lode_status tape_region_backward(lode_tape *t, tape_node *node) {
    const char *outer_label = tape_label_copy(t);
    if (outer_label == NULL) return LODE_ERR_NO_MEMORY;
    LODE_TRY(tape_set_label(t, node->label));
    tape_mark mark = arena_mark(&t->arena);
    tape_chance chance = t->chance;
    bool repeated = t->repeated;
    int first_var = t->n_vars, base = t->n_nodes;

    t->chance = node->region->chance;
    t->repeated = true;
    lode_var *y = region_replay(t, node);
    t->chance = chance;

    lode_status status = region_check(t, node, y, first_var);
    tape_node_release(node); /* the inputs: the new nodes have their own references */
    if (status == LODE_OK) {
        y->grad = lode_tensor_retain(node->y->grad);
        for (int i = first_var; i < t->n_vars; i++) tape_forget_value(tape_var(t, i));
        if (!node->y->retain_grad) {
            lode_tensor_release(node->y->grad);
            node->y->grad = NULL;
        }
        status = tape_walk(t, base);
    }
    while (t->n_nodes > base) tape_node_release(&t->node[--t->n_nodes]);
    t->repeated = repeated;
    tape_drop_vars(t, first_var);
    arena_rewind(&t->arena, mark);
    t->label_copy = NULL;
    lode_status restored = tape_set_label(t, outer_label);
    return status != LODE_OK ? status : restored;
}
