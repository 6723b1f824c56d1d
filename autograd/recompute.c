/* recompute.c: regions that trade a second forward for their activations.

   First time the body runs unrecorded: its values are forgotten when it is done, only the inputs
   and the result stay. In backward the body runs again on the same vars, whose values are put back
   for the while, with the random streams set back to where they were and call->repeated set. This
   time its calls are recorded, behind all nodes still to be walked; then the walk goes on through
   them. Gradients flow straight to the outer vars and to the leaves' slots, in the order in which
   they would have without a region: the result has the same bits. A region within a region does the
   same one level deeper.

   A sum of branches goes through this once per branch, from the last to the first, which is the
   order of a walk without a region. Only a branch that hands an outer var through (the identity)
   has no nodes of its own: its gradient comes straight from the join, before those of all others,
   so such branches take the first turn, together. */
#include "autograd/tape_internal.h"

/* ---- the first time ---- */
static tape_region *region_open(lode_tape *t, void *ctx, int n_chances, lode_var *const *x,
                                int n_x) {
    tape_region *r = arena_allocate(&t->arena, sizeof *r);
    if (r == NULL) return NULL;
    *r = (tape_region){.ctx = ctx, .n_x = n_x};
    r->chance = arena_allocate(&t->arena, (size_t)n_chances * sizeof *r->chance);
    r->value = arena_allocate(&t->arena, (size_t)n_x * sizeof(lode_tensor *));
    if (r->value == NULL || r->chance == NULL) return NULL;
    r->chance[0] = t->chance;
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

/* Branches and join; `r` (may be NULL) remembers what to do again. */
static lode_var *region_run_sum(lode_tape *t, tape_region *r, const lode_branches *b, void *ctx,
                                lode_var *const *x, int n_x) {
    lode_var *o[LODE_MAX_INPUTS];
    int first_var = t->n_vars;
    for (int k = 0; k < b->n; k++) {
        if (r != NULL) r->chance[k] = t->chance;
        o[k] = b->branch(t, ctx, k, x, n_x);
        if (t->status != LODE_OK) return NULL;
        if (r == NULL || o[k] == NULL) continue;
        r->present |= UINT64_C(1) << k;
        if (o[k]->index < first_var) r->outer |= UINT64_C(1) << k;
    }
    if (r != NULL) r->chance[b->n] = t->chance;
    return b->join(t, ctx, o, x, n_x);
}

static lode_var *region_first_run(lode_tape *t, tape_region *r, lode_var *const *x, int n_x) {
    lode_scope s = lode_tape_enter(t, NULL);
    t->n_unrecorded++;
    lode_var *y = r->body != NULL ? r->body(t, r->ctx, x, n_x)
                                  : region_run_sum(t, r, &r->branches, r->ctx, x, n_x);
    t->n_unrecorded--;
    if (y == NULL && t->status == LODE_OK)
        lode_tape_fail(t, LODE_FAIL(LODE_ERR_INVALID, "recompute: the region has no result"));
    bool made_inside = y != NULL && y->index >= s.first_var && !y->given;
    y = lode_tape_leave(t, s, y);

    if (y != NULL && made_inside && y->requires_grad) {
        lode_status status = region_record(t, r, x, y);
        if (status == LODE_OK) return y;
        y = lode_tape_fail(t, status);
    }
    tape_node_release(&(tape_node){.region = r});
    return y;
}

lode_var *lode_recompute(lode_tape *t, lode_region_body body, void *ctx, lode_var *const *x,
                         int n_x) {
    if (t == NULL || t->status != LODE_OK) return NULL;
    if (t->mode != LODE_TRAIN || t->n_unrecorded > 0) return body(t, ctx, x, n_x);
    tape_region *r = region_open(t, ctx, 1, x, n_x);
    if (r == NULL) return lode_tape_fail(t, LODE_ERR_NO_MEMORY);
    r->body = body;
    return region_first_run(t, r, x, n_x);
}

lode_var *lode_recompute_sum(lode_tape *t, const lode_branches *b, void *ctx, lode_var *const *x,
                             int n_x) {
    if (t == NULL || t->status != LODE_OK) return NULL;
    if (b->n < 1 || b->n > LODE_MAX_INPUTS)
        return lode_tape_fail(t, LODE_FAIL(LODE_ERR_INVALID, "recompute: %d branches, not 1 to %d",
                                           b->n, LODE_MAX_INPUTS));
    if (t->mode != LODE_TRAIN || t->n_unrecorded > 0)
        return region_run_sum(t, NULL, b, ctx, x, n_x);
    tape_region *r = region_open(t, ctx, b->n + 1, x, n_x);
    if (r == NULL) return lode_tape_fail(t, LODE_ERR_NO_MEMORY);
    r->branches = *b;
    return region_first_run(t, r, x, n_x);
}

/* ---- the second time ---- */
/* The body, or the branches of `mask` and their join. */
static lode_var *region_second_run(lode_tape *t, const tape_region *r, uint64_t mask,
                                   lode_var *const *x) {
    lode_var *o[LODE_MAX_INPUTS] = {NULL};
    t->chance = r->chance[0];
    if (r->body != NULL) return r->body(t, r->ctx, x, r->n_x);
    for (int k = 0; k < r->branches.n; k++) {
        if (!(mask >> k & 1)) continue;
        t->chance = r->chance[k];
        o[k] = r->branches.branch(t, r->ctx, k, x, r->n_x);
        if (o[k] == NULL) return NULL;
    }
    t->chance = r->chance[r->branches.n];
    return r->branches.join(t, r->ctx, o, x, r->n_x);
}

/* Runs it on the outer vars; the nodes it records hold what they need of the inputs. */
static lode_var *region_replay(lode_tape *t, tape_node *node, uint64_t mask) {
    tape_region *r = node->region;
    bool *lent = arena_allocate(&t->arena, (size_t)r->n_x * sizeof(bool));
    if (lent == NULL) return lode_tape_fail(t, LODE_ERR_NO_MEMORY);
    for (int i = 0; i < r->n_x; i++) {
        lode_var *x = node->x[i];
        lent[i] = x != NULL && x->value == NULL;
        if (lent[i]) x->value = r->value[i];
        if (x != NULL) x->spent = false;
    }
    lode_var *y = region_second_run(t, r, mask, node->x);
    for (int i = 0; i < r->n_x; i++) {
        lode_var *x = node->x[i];
        if (lent[i]) x->value = NULL;
        if (x != NULL) x->spent = !x->given;
    }
    return y;
}

/* A branch alone, unlike a body, may have nothing to pass on to. */
static lode_status region_check(const lode_tape *t, const tape_node *node, const lode_var *y,
                                int first_var) {
    if (t->status != LODE_OK) return lode_tape_status(t);
    if (y == NULL || y->index < first_var || !(y->requires_grad || node->region->body == NULL) ||
        !lode_shape_equal(&y->value->shape, &node->y->grad->shape))
        return LODE_FAIL(LODE_ERR_INVALID, "recompute: the region gave another result the second "
                                           "time; its body must depend on ctx and x alone");
    return LODE_OK;
}

/* One replay and the walk through it. After the last one nobody needs the inputs and the result's
   gradient any more: the new nodes have references of their own. */
static lode_status region_turn(lode_tape *t, tape_node *node, uint64_t mask, bool last) {
    tape_mark mark = arena_mark(&t->arena);
    tape_chance chance = t->chance;
    int first_var = t->n_vars, base = t->n_nodes;
    lode_tensor *dy = lode_tensor_retain(node->y->grad);
    lode_var *y = region_replay(t, node, mask);
    t->chance = chance;
    lode_status status = region_check(t, node, y, first_var);
    if (last) {
        tape_node_release(node);
        if (status == LODE_OK && !node->y->retain_grad) {
            lode_tensor_release(node->y->grad);
            node->y->grad = NULL;
        }
    }
    if (status == LODE_OK && y->requires_grad) {
        y->grad = dy;
        dy = NULL;
        for (int i = first_var; i < t->n_vars; i++) tape_forget_value(tape_var(t, i));
        status = tape_walk(t, base);
    }
    lode_tensor_release(dy);
    while (t->n_nodes > base) tape_node_release(&t->node[--t->n_nodes]);
    tape_drop_vars(t, first_var);
    arena_rewind(&t->arena, mark);
    t->label_copy = NULL;
    return status;
}

static lode_status region_turns(lode_tape *t, tape_node *node) {
    const tape_region *r = node->region;
    uint64_t rest = r->present & ~r->outer;
    if (r->body != NULL) return region_turn(t, node, 0, true);
    if (r->outer != 0) LODE_TRY(region_turn(t, node, r->outer, rest == 0));
    for (int k = r->branches.n - 1; k >= 0; k--) {
        uint64_t bit = UINT64_C(1) << k;
        if (!(rest & bit)) continue;
        rest &= ~bit;
        LODE_TRY(region_turn(t, node, bit, rest == 0));
    }
    return LODE_OK;
}

lode_status tape_region_backward(lode_tape *t, tape_node *node) {
    const char *outer_label = tape_label_copy(t);
    if (outer_label == NULL) return LODE_ERR_NO_MEMORY;
    bool repeated = t->repeated;
    LODE_TRY(tape_set_label(t, node->label));
    t->repeated = true;
    lode_status status = region_turns(t, node);
    t->repeated = repeated;
    lode_status restored = tape_set_label(t, outer_label);
    return status != LODE_OK ? status : restored;
}
