/* trace.c: what a TRACE tape writes down instead of running.

   Values are numbered: a tensor given to the tape has one id however often it is given, a detached
   var has its origin's, every result a new one. A view shares its base's memory, so using the view
   counts as using the base; that makes last_use the moment the memory may go. */
#include "autograd/tape_internal.h"

#include <string.h>

static int trace_new_value(lode_tape *t) {
    if (lode_grow((void **)&t->value, &t->value_capacity, t->n_values + 1, sizeof *t->value) !=
        LODE_OK)
        return -1;
    t->value[t->n_values] = (tape_value){.last_use = -1, .view_of = -1};
    return t->n_values++;
}

int trace_value_id(lode_tape *t, lode_tensor *tensor) {
    for (int i = 0; tensor != NULL && i < t->n_given; i++)
        if (t->given[i].tensor == tensor) return t->given[i].id;
    if (tensor == NULL) return trace_new_value(t);
    if (lode_grow((void **)&t->given, &t->given_capacity, t->n_given + 1, sizeof *t->given) !=
        LODE_OK)
        return -1;
    int id = trace_new_value(t);
    /* Retained, so that no other tensor can come to have this address. */
    if (id >= 0) t->given[t->n_given++] = (tape_given){lode_tensor_retain(tensor), id};
    return id;
}

static void trace_use(lode_tape *t, int id, int call) {
    for (; id >= 0; id = t->value[id].view_of) t->value[id].last_use = call;
}

/* Everything that can fail comes before anything is retained. */
lode_status trace_record(lode_tape *t, const lode_op_call *call, lode_var *const *x, lode_var *y,
                         bool is_view) {
    const lode_op *op = call->op;
    int n = call->n_x;
    lode_trace_call *r = arena_allocate(&t->arena, sizeof *r);
    char *params = arena_allocate(&t->arena, op->params_size);
    lode_tensor **tensor = arena_allocate(&t->arena, (size_t)n * sizeof *tensor);
    int *x_id = arena_allocate(&t->arena, (size_t)n * sizeof *x_id);
    const char *label = tape_label_copy(t);
    LODE_TRY(lode_grow((void **)&t->trace, &t->trace_capacity, t->n_trace + 1, sizeof *t->trace));
    y->id = trace_value_id(t, NULL);
    if (r == NULL || params == NULL || tensor == NULL || x_id == NULL || label == NULL || y->id < 0)
        return LODE_ERR_NO_MEMORY;
    *r = (lode_trace_call){
        .call = *call, .x_id = x_id, .y_id = y->id, .label = label, .is_view = is_view};
    if (op->params_size > 0) memcpy(params, call->params, op->params_size);
    r->call.params = op->params_size > 0 ? params : NULL;
    r->call.x = tensor;
    for (int i = 0; i < n; i++) {
        tensor[i] = lode_tensor_retain(call->x[i]);
        x_id[i] = call->x[i] != NULL ? x[i]->id : -1;
        trace_use(t, x_id[i], t->n_trace);
    }
    lode_tensor_retain(r->call.y);
    for (int i = 0; i < LODE_MAX_AUX; i++) lode_tensor_retain(r->call.aux[i]);
    if (op->count != NULL) op->count(&r->call, &r->count);
    t->value[y->id] = (tape_value){.last_use = t->n_trace, .view_of = is_view ? x_id[0] : -1};
    t->trace[t->n_trace++] = r;
    return LODE_OK;
}

void trace_reset(lode_tape *t) {
    for (int i = 0; i < t->n_trace; i++) {
        lode_op_call *c = &t->trace[i]->call;
        for (int k = 0; k < c->n_x; k++) lode_tensor_release(c->x[k]);
        lode_tensor_release(c->y);
        for (int k = 0; k < LODE_MAX_AUX; k++) lode_tensor_release(c->aux[k]);
    }
    for (int i = 0; i < t->n_given; i++) lode_tensor_release(t->given[i].tensor);
    t->n_trace = t->n_given = t->n_values = 0;
}

int lode_trace_n(const lode_tape *t) { return t->n_trace; }
const lode_trace_call *lode_trace_get(const lode_tape *t, int i) {
    return i >= 0 && i < t->n_trace ? t->trace[i] : NULL;
}
int lode_trace_last_use(const lode_tape *t, int value_id) {
    return value_id >= 0 && value_id < t->n_values ? t->value[value_id].last_use : -1;
}
int lode_trace_n_values(const lode_tape *t) { return t->n_values; }
int lode_trace_id(const lode_var *v) { return v->id; }

lode_tensor *lode_trace_given(const lode_tape *t, int value_id) {
    for (int i = 0; i < t->n_given; i++)
        if (t->given[i].id == value_id) return t->given[i].tensor;
    return NULL;
}
