/* replay.c: see replay.h.

   Places are given out by a walk over the calls: a value takes the lowest gap between the values
   that are alive, from the call that makes it to the last one that reads it (or a view of it). A
   call's own output never lies on its inputs, so kernels need not know. */
#include "ops/replay.h"

#include "core/memory.h"
#include "core/parallel.h"

#include <string.h>

enum { REPLAY_ALIGNMENT = 64 };

typedef struct replay_place {
    size_t begin, bytes;
    int last_use; /* call */
} replay_place;

typedef struct replay_call {
    lode_op_call call; /* tensors are ours */
    const lode_kernel *kernel;
    int index; /* in the trace */
} replay_call;

struct lode_replay {
    const lode_tape *trace;
    lode_dispatch *dispatch;
    int x_id, y_id, n_values, n_calls, threads;
    replay_call *call;   /* [n_calls], views left out */
    lode_tensor **value; /* [n_values]; NULL: not made yet, or x */
    const lode_tensor *traced_x;
    char *memory;
    size_t bytes;
    replay_place *place; /* while places are given out: those in use, by begin */
    int64_t n_places, place_capacity;
};

/* ---- places ---- */

static size_t replay_round(size_t bytes) {
    return (bytes + REPLAY_ALIGNMENT - 1) / REPLAY_ALIGNMENT * REPLAY_ALIGNMENT;
}

static void replay_end_places(lode_replay *r, int before) {
    int64_t n = 0;
    for (int64_t i = 0; i < r->n_places; i++)
        if (r->place[i].last_use >= before) r->place[n++] = r->place[i];
    r->n_places = n;
}

static lode_status replay_find_place(lode_replay *r, size_t bytes, int last_use, size_t *begin) {
    size_t at = 0;
    int64_t i = 0;
    LODE_TRY(lode_grow((void **)&r->place, &r->place_capacity, r->n_places + 1, sizeof *r->place));
    for (; i < r->n_places && r->place[i].begin < at + bytes; i++)
        if (r->place[i].begin + r->place[i].bytes > at) at = r->place[i].begin + r->place[i].bytes;
    memmove(r->place + i + 1, r->place + i, (size_t)(r->n_places - i) * sizeof *r->place);
    r->place[i] = (replay_place){at, bytes, last_use};
    r->n_places++;
    if (at + bytes > r->bytes) r->bytes = at + bytes;
    *begin = at;
    return LODE_OK;
}

/* What one call's results need: y, then aux. A view needs nothing. */
typedef size_t replay_offsets[1 + LODE_MAX_AUX];

static lode_status replay_place_call(lode_replay *r, int i, size_t *offset) {
    const lode_trace_call *t = lode_trace_get(r->trace, i);
    int last = t->y_id == r->y_id ? lode_trace_n(r->trace) : lode_trace_last_use(r->trace, t->y_id);
    replay_end_places(r, i);
    if (t->is_view) return LODE_OK;
    LODE_TRY(replay_find_place(r, replay_round(lode_tensor_bytes(t->call.y)), last, &offset[0]));
    for (int k = 0; k < LODE_MAX_AUX && t->call.aux[k] != NULL; k++)
        LODE_TRY(replay_find_place(r, replay_round(lode_tensor_bytes(t->call.aux[k])), i,
                                   &offset[1 + k]));
    return LODE_OK;
}

/* ---- tensors ---- */

/* A tensor like `of`, at an offset of the memory. */
static lode_status replay_tensor(const lode_replay *r, const lode_tensor *of, size_t offset,
                                 lode_tensor **out) {
    lode_tensor *flat = NULL;
    lode_shape count = LODE_SHAPE1(lode_tensor_count(of));
    LODE_TRY(lode_tensor_wrap(r->memory + offset, of->dtype, &count, &flat));
    lode_status status = lode_tensor_view(flat, &of->shape, of->stride, 0, out);
    lode_tensor_release(flat);
    return status;
}

static lode_status replay_input(lode_replay *r, const lode_trace_call *t, int k,
                                lode_tensor **out) {
    int id = t->x_id[k];
    *out = NULL;
    if (t->call.x[k] == NULL) return LODE_OK;
    if (id == r->x_id) {
        r->traced_x = t->call.x[k];
        *out = lode_tensor_retain(t->call.x[k]); /* each run puts its own in */
        return LODE_OK;
    }
    lode_tensor *x = r->value[id] != NULL ? r->value[id] : lode_trace_given(r->trace, id);
    if (x == NULL || x->data == NULL)
        return LODE_FAIL(LODE_ERR_INVALID, "replay: %s: input %d of %s has no contents", t->label,
                         k, t->call.op->name);
    *out = lode_tensor_retain(x);
    return LODE_OK;
}

/* Inputs of the trace keep their values: those are what a kernel may prepare. */
static uint64_t replay_constants(const lode_replay *r, const lode_trace_call *t) {
    uint64_t constant = 0;
    for (int k = 0; k < t->call.n_x && k < 64; k++)
        if (t->call.x[k] != NULL && t->x_id[k] != r->x_id && r->value[t->x_id[k]] == NULL)
            constant |= (uint64_t)1 << k;
    return constant;
}

static void replay_release_call(replay_call *c) {
    lode_dispatch_forget(&c->call, c->kernel);
    for (int k = 0; c->call.x != NULL && k < c->call.n_x; k++) lode_tensor_release(c->call.x[k]);
    lode_free(c->call.x);
    lode_tensor_release(c->call.y);
    for (int k = 0; k < LODE_MAX_AUX; k++) lode_tensor_release(c->call.aux[k]);
    memset(c, 0, sizeof *c);
}

static lode_status replay_make_call(lode_replay *r, int i, const size_t *offset) {
    const lode_trace_call *t = lode_trace_get(r->trace, i);
    replay_call *c = &r->call[r->n_calls++];
    c->index = i;
    c->call = t->call;
    c->call.y = NULL;
    memset(c->call.aux, 0, sizeof c->call.aux);
    c->call.x = LODE_NEW_ARRAY(lode_tensor *, t->call.n_x);
    if (c->call.x == NULL) return LODE_ERR_NO_MEMORY;
    for (int k = 0; k < t->call.n_x; k++) LODE_TRY(replay_input(r, t, k, &c->call.x[k]));
    if (t->is_view && t->x_id[0] == r->x_id)
        return LODE_FAIL(LODE_ERR_UNSUPPORTED, "replay: %s: %s is a view of the input", t->label,
                         t->call.op->name);
    if (t->is_view)
        LODE_TRY(t->call.op->view(&c->call, &c->call.y));
    else
        LODE_TRY(replay_tensor(r, t->call.y, offset[0], &c->call.y));
    for (int k = 0; k < LODE_MAX_AUX && t->call.aux[k] != NULL; k++)
        LODE_TRY(replay_tensor(r, t->call.aux[k], offset[1 + k], &c->call.aux[k]));
    if (!t->is_view)
        LODE_TRY(lode_dispatch_prepare(r->dispatch, &c->call, replay_constants(r, t), &c->kernel));
    r->value[t->y_id] = lode_tensor_retain(c->call.y);
    if (t->is_view) replay_release_call(&r->call[--r->n_calls]);
    return LODE_OK;
}

/* ---- life ---- */

static lode_status replay_build(lode_replay *r) {
    int n = lode_trace_n(r->trace);
    lode_status status = LODE_OK;
    replay_offsets *offset = LODE_NEW_ARRAY(replay_offsets, n + 1);
    r->call = LODE_NEW_ARRAY(replay_call, n + 1);
    r->value = LODE_NEW_ARRAY(lode_tensor *, r->n_values);
    LODE_GOTO(offset && r->call && r->value ? LODE_OK : LODE_ERR_NO_MEMORY);
    for (int i = 0; i < n; i++) LODE_GOTO(replay_place_call(r, i, offset[i]));
    r->memory = lode_device_allocate(lode_cpu_device(), r->bytes);
    LODE_GOTO(r->memory ? LODE_OK : LODE_ERR_NO_MEMORY);
    for (int i = 0; i < n; i++) LODE_GOTO(replay_make_call(r, i, offset[i]));
    if (r->value[r->y_id] == NULL)
        LODE_GOTO(LODE_FAIL(LODE_ERR_INVALID, "replay: the result is none of the trace's calls'"));
done:
    lode_free(offset);
    return status;
}

lode_status lode_replay_create(const lode_tape *trace, const lode_var *x, const lode_var *y,
                               lode_dispatch *d, lode_replay **out) {
    *out = NULL;
    if (lode_tape_get_mode(trace) != LODE_TRACE)
        return LODE_FAIL(LODE_ERR_INVALID, "replay: the tape must be in mode LODE_TRACE");
    lode_replay *r = LODE_NEW(lode_replay);
    if (r == NULL) return LODE_ERR_NO_MEMORY;
    r->trace = trace;
    r->dispatch = d;
    r->x_id = lode_trace_id(x);
    r->y_id = lode_trace_id(y);
    r->n_values = lode_trace_n_values(trace);
    r->threads = lode_get_threads();
    lode_status status = replay_build(r);
    if (status == LODE_OK)
        *out = r;
    else
        lode_replay_destroy(r);
    return status;
}

void lode_replay_destroy(lode_replay *r) {
    if (r == NULL) return;
    for (int i = 0; i < r->n_calls; i++) replay_release_call(&r->call[i]);
    for (int i = 0; r->value != NULL && i < r->n_values; i++) lode_tensor_release(r->value[i]);
    if (r->memory != NULL) lode_device_release(lode_cpu_device(), r->memory, r->bytes);
    lode_free(r->place);
    lode_free(r->call);
    lode_free(r->value);
    lode_free(r);
}

size_t lode_replay_bytes(const lode_replay *r) { return r->bytes; }

/* ---- running ---- */

/* Workspace is counted per thread, and some kernels prepare for a number of threads. */
static lode_status replay_follow_threads(lode_replay *r) {
    if (r->threads == lode_get_threads()) return LODE_OK;
    for (int i = 0; i < r->n_calls; i++) {
        replay_call *c = &r->call[i];
        lode_dispatch_forget(&c->call, c->kernel);
        LODE_TRY(lode_dispatch_prepare(r->dispatch, &c->call,
                                       replay_constants(r, lode_trace_get(r->trace, c->index)),
                                       &c->kernel));
    }
    r->threads = lode_get_threads();
    return LODE_OK;
}

static void replay_bind(lode_replay *r, lode_tensor *x) {
    for (int i = 0; i < r->n_calls; i++) {
        replay_call *c = &r->call[i];
        const int *id = lode_trace_get(r->trace, c->index)->x_id;
        for (int k = 0; k < c->call.n_x; k++) {
            if (id[k] != r->x_id || c->call.x[k] == x) continue;
            lode_tensor_release(c->call.x[k]);
            c->call.x[k] = lode_tensor_retain(x);
        }
    }
}

lode_status lode_replay_run(lode_replay *r, lode_tensor *x, const lode_replay_watch *watch,
                            lode_tensor **y) {
    if (r->traced_x != NULL &&
        (x->dtype != r->traced_x->dtype || !lode_tensor_same_layout(x, r->traced_x))) {
        char got[128], want[128];
        return LODE_FAIL(LODE_ERR_SHAPE,
                         "replay: input %s %s, but %s %s was traced, or it lies "
                         "otherwise in memory",
                         lode_dtype_name(x->dtype), lode_shape_print(&x->shape, got),
                         lode_dtype_name(r->traced_x->dtype),
                         lode_shape_print(&r->traced_x->shape, want));
    }
    LODE_TRY(replay_follow_threads(r));
    replay_bind(r, x);
    for (int i = 0; i < r->n_calls; i++) {
        replay_call *c = &r->call[i];
        lode_status status = lode_dispatch_run(r->dispatch, &c->call, c->kernel);
        if (status != LODE_OK)
            return lode_error_context("%s", lode_trace_get(r->trace, c->index)->label);
        if (watch != NULL) watch->after(watch->self, c->index, &c->call);
    }
    *y = r->value[r->y_id];
    return LODE_OK;
}
