/* tape.c: the tape as an owner: vars, labels, scopes, chance.

   Vars live in chunks, so their addresses hold while the tape grows. A var holds one reference to
   its value; a recorded node holds further references to exactly the tensors its backward will
   read. Forgetting a value therefore only drops the var's reference: what backward needs survives,
   everything else is freed on the spot, in every mode by the same few lines. */
#include "autograd/tape_internal.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* ---- life ---- */
lode_status lode_tape_create(lode_tape_mode mode, const lode_runner *runner, lode_tape **out) {
    *out = NULL;
    lode_tape *t = LODE_NEW(lode_tape);
    if (t == NULL) return LODE_ERR_NO_MEMORY;
    t->mode = mode;
    t->runner = runner != NULL ? runner : lode_reference_runner();
    *out = t;
    return LODE_OK;
}

void lode_tape_destroy(lode_tape *t) {
    if (t == NULL) return;
    lode_tape_reset(t);
    tape_plan_end(t);
    for (int64_t i = 0; i < t->n_chunks; i++) lode_free(t->chunk[i]);
    lode_free(t->chunk);
    lode_free(t->node);
    arena_deinit(&t->arena);
    lode_free(t->label);
    lode_free(t->trace);
    lode_free(t->given);
    lode_free(t->value);
    lode_free(t);
}

void lode_tape_reset(lode_tape *t) {
    assert(!t->walking);
    while (t->n_nodes > 0) tape_node_release(&t->node[--t->n_nodes]);
    trace_reset(t);
    tape_drop_vars(t, 0);
    arena_rewind(&t->arena, (tape_mark){0});
    t->label_copy = NULL;
    t->label_length = 0;
    if (t->label != NULL) t->label[0] = '\0';
    t->status = LODE_OK;
    t->message[0] = '\0';
    memset(t->chance.n_calls, 0, sizeof t->chance.n_calls);
}

lode_tape_mode lode_tape_get_mode(const lode_tape *t) { return t->mode; }
void lode_tape_check_finite(lode_tape *t, bool on) { t->check_finite = on; }

/* ---- sticky failure ---- */
lode_status lode_tape_status(const lode_tape *t) {
    if (t == NULL) return LODE_FAIL(LODE_ERR_INVALID, "tape: there is none");
    if (t->status != LODE_OK && strcmp(lode_last_error(), t->message) != 0)
        return LODE_FAIL(t->status, "%s", t->message);
    return t->status;
}

lode_var *lode_tape_fail(lode_tape *t, lode_status status) {
    if (t == NULL || t->status != LODE_OK) return NULL;
    t->status = status != LODE_OK ? status : LODE_ERR_INTERNAL;
    snprintf(t->message, sizeof t->message, "%s", lode_last_error());
    return NULL;
}

/* ---- chance ---- */
void lode_tape_set_step(lode_tape *t, uint64_t seed, uint64_t step) {
    t->chance = (tape_chance){.seed = seed, .step = step};
}
uint64_t lode_tape_seed(const lode_tape *t) { return t->chance.seed; }
uint64_t lode_tape_step(const lode_tape *t) { return t->chance.step; }

lode_rng lode_tape_next_rng(lode_tape *t, lode_rng_purpose purpose) {
    assert((unsigned)purpose < TAPE_N_PURPOSES);
    lode_rng r = lode_rng_stream(t->chance.seed, purpose, t->chance.step);
    r.position = t->chance.n_calls[purpose]++ << 40;
    return r;
}

/* ---- vars ---- */
lode_var *tape_var(const lode_tape *t, int index) {
    return &t->chunk[index / TAPE_VARS_PER_CHUNK][index % TAPE_VARS_PER_CHUNK];
}

static lode_status tape_room_for_var(lode_tape *t) {
    if (t->n_vars < t->n_chunks * TAPE_VARS_PER_CHUNK) return LODE_OK;
    LODE_TRY(lode_grow((void **)&t->chunk, &t->chunk_capacity, t->n_chunks + 1, sizeof *t->chunk));
    t->chunk[t->n_chunks] = LODE_NEW_ARRAY(lode_var, TAPE_VARS_PER_CHUNK);
    if (t->chunk[t->n_chunks] == NULL) return LODE_ERR_NO_MEMORY;
    t->n_chunks++;
    return LODE_OK;
}

lode_var *tape_new_var(lode_tape *t, lode_tensor *value) {
    lode_status status = tape_room_for_var(t);
    if (status != LODE_OK) {
        lode_tensor_release(value);
        return lode_tape_fail(t, status);
    }
    lode_var *v = tape_var(t, t->n_vars);
    *v = (lode_var){.tape = t, .value = value, .index = t->n_vars++, .node = -1, .id = -1};
    return v;
}

void tape_forget_value(lode_var *v) {
    if (v->keep_value) return;
    lode_tensor_release(v->value);
    v->value = NULL;
}

void tape_drop_vars(lode_tape *t, int first) {
    while (t->n_vars > first) {
        lode_var *v = tape_var(t, --t->n_vars);
        lode_tensor_release(v->value);
        lode_tensor_release(v->grad);
        *v = (lode_var){0};
    }
}

static lode_var *tape_give(lode_tape *t, lode_tensor *value) {
    lode_tensor *held = NULL;
    if (t == NULL || t->status != LODE_OK) return NULL;
    if (value == NULL)
        return lode_tape_fail(t, LODE_FAIL(LODE_ERR_INVALID, "tape: was given no tensor"));
    if (t->mode != LODE_TRACE) {
        held = lode_tensor_retain(value);
    } else {
        lode_status status = lode_tensor_shape_only(value, &held);
        if (status != LODE_OK) return lode_tape_fail(t, status);
    }
    lode_var *v = tape_new_var(t, held);
    if (v == NULL) return NULL;
    v->given = true;
    if (t->mode == LODE_TRACE) {
        v->id = trace_value_id(t, value);
        if (v->id < 0) return lode_tape_fail(t, LODE_ERR_NO_MEMORY);
    }
    return v;
}

lode_var *lode_tape_constant(lode_tape *t, lode_tensor *value) { return tape_give(t, value); }

lode_var *lode_tape_leaf(lode_tape *t, lode_tensor *value, lode_tensor **grad_slot) {
    lode_var *v = tape_give(t, value);
    if (v == NULL) return NULL;
    v->requires_grad = t->mode == LODE_TRAIN && lode_dtype_is_float(value->dtype);
    v->grad_slot = grad_slot;
    return v;
}

lode_var *lode_detach(lode_tape *t, lode_var *x) {
    if (t == NULL || x == NULL || t->status != LODE_OK) return NULL;
    if (x->value == NULL)
        return lode_tape_fail(t, LODE_FAIL(LODE_ERR_INVALID,
                                           "detach: the value was forgotten; detach it inside its "
                                           "scope or keep it with lode_take_value"));
    lode_var *v = tape_new_var(t, lode_tensor_retain(x->value));
    if (v != NULL) v->id = x->id;
    return v;
}

void lode_retain_grad(lode_var *v) {
    if (v != NULL) v->retain_grad = true;
}

lode_tensor *lode_take_value(lode_var *v) {
    if (v == NULL || v->value == NULL) return NULL;
    v->keep_value = true;
    return lode_tensor_retain(v->value);
}

void lode_forget(lode_var *v) {
    if (v != NULL) tape_forget_value(v);
}

void *lode_tape_allocate(lode_tape *t, size_t bytes) {
    if (t == NULL || t->status != LODE_OK) return NULL;
    void *p = arena_allocate(&t->arena, bytes);
    if (p == NULL) lode_tape_fail(t, LODE_ERR_NO_MEMORY);
    return p;
}

/* ---- labels ---- */
static lode_status tape_append_label(lode_tape *t, const char *label) {
    size_t n = strlen(label);
    bool slash = t->label_length > 0 && n > 0;
    LODE_TRY(
        lode_grow((void **)&t->label, &t->label_capacity, t->label_length + (int64_t)n + 2, 1));
    if (slash) t->label[t->label_length++] = '/';
    memcpy(t->label + t->label_length, label, n + 1);
    t->label_length += (int)n;
    t->label_copy = NULL;
    return LODE_OK;
}

static void tape_cut_label(lode_tape *t, int length) {
    if (length >= t->label_length) return;
    t->label_length = length;
    t->label[length] = '\0';
    t->label_copy = NULL;
}

lode_status tape_set_label(lode_tape *t, const char *label) {
    tape_cut_label(t, 0);
    return tape_append_label(t, label);
}

const char *lode_tape_label(const lode_tape *t) { return t->label != NULL ? t->label : ""; }

const char *tape_label_copy(lode_tape *t) {
    if (t->label_length == 0) return "";
    if (t->label_copy != NULL) return t->label_copy;
    char *copy = arena_allocate(&t->arena, (size_t)t->label_length + 1);
    if (copy != NULL) memcpy(copy, t->label, (size_t)t->label_length + 1);
    t->label_copy = copy;
    return copy;
}

/* ---- scopes ---- */
lode_scope lode_tape_enter(lode_tape *t, const char *label) {
    lode_scope s = {0};
    if (t == NULL) return s;
    s = (lode_scope){t->n_vars, t->label_length};
    lode_status status = label != NULL ? tape_append_label(t, label) : LODE_OK;
    if (status != LODE_OK) lode_tape_fail(t, status);
    return s;
}

static void tape_forget_since(lode_tape *t, int first, const lode_var *result) {
    for (int i = first; i < t->n_vars; i++) {
        lode_var *v = tape_var(t, i);
        if (v != result) tape_forget_value(v);
    }
}

void lode_tape_trim(lode_tape *t, lode_scope *s, lode_var *result) {
    if (t == NULL) return;
    tape_forget_since(t, s->first_var, result);
    s->first_var = result != NULL && result->index >= s->first_var ? result->index : t->n_vars;
}

lode_var *lode_tape_leave(lode_tape *t, lode_scope s, lode_var *result) {
    if (t == NULL) return NULL;
    tape_cut_label(t, s.label_length);
    tape_forget_since(t, s.first_var, result);
    return t->status == LODE_OK ? result : NULL;
}
