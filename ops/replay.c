/* replay.c: see replay.h. A lane is what one run needs to itself: the calls with tensors in its own
   memory, and workspace. Lane 0 is always there and owns what kernels prepared. */
#include "core/memory.h"
#include "core/parallel.h"
#include "ops/replay_internal.h"

#include <string.h>

typedef struct replay_call {
    lode_op_call call; /* tensors are the lane's */
    const lode_kernel *kernel;
    int index; /* in the trace */
} replay_call;

typedef struct replay_lane {
    replay_call *call;   /* [n_calls], views left out */
    lode_tensor **value; /* [n_values]; NULL: not made yet, or x */
    char *memory;
    void *workspace; /* NULL: none is needed */
    int n_calls;
} replay_lane;

struct lode_replay {
    const lode_tape *trace;
    lode_dispatch *dispatch;
    int x_id, y_id, n_values, threads;
    replay_offsets *offset; /* of the trace's calls */
    const lode_tensor *traced_x;
    size_t bytes, workspace_bytes; /* of a lane */
    int64_t reference_calls;       /* of a run */
    bool serial;                   /* a kernel does not run in lanes */
    replay_lane *lane;
    int64_t n_lanes, lane_capacity;
};

/* ---- tensors ---- */

/* A tensor like `of`, at an offset of the memory. */
static lode_status replay_tensor(const replay_lane *l, const lode_tensor *of, size_t offset,
                                 lode_tensor **out) {
    lode_tensor *flat = NULL;
    lode_shape count = LODE_SHAPE1(lode_tensor_count(of));
    LODE_TRY(lode_tensor_wrap(l->memory + offset, of->dtype, &count, &flat));
    lode_status status = lode_tensor_view(flat, &of->shape, of->stride, 0, out);
    lode_tensor_release(flat);
    return status;
}

static lode_status replay_input(lode_replay *r, const replay_lane *l, const lode_trace_call *t,
                                int k, lode_tensor **out) {
    int id = t->x_id[k];
    *out = NULL;
    if (t->call.x[k] == NULL) return LODE_OK;
    if (id == r->x_id) {
        r->traced_x = t->call.x[k];
        *out = lode_tensor_retain(t->call.x[k]); /* each run puts its own in */
        return LODE_OK;
    }
    lode_tensor *x = l->value[id] != NULL ? l->value[id] : lode_trace_given(r->trace, id);
    if (x == NULL || x->data == NULL)
        return LODE_FAIL(LODE_ERR_INVALID, "replay: %s: input %d of %s has no contents", t->label,
                         k, t->call.op->name);
    *out = lode_tensor_retain(x);
    return LODE_OK;
}

static void replay_release_call(replay_call *c, bool owner) {
    if (owner) lode_dispatch_forget(&c->call, c->kernel);
    for (int k = 0; c->call.x != NULL && k < c->call.n_x; k++) lode_tensor_release(c->call.x[k]);
    lode_free(c->call.x);
    lode_tensor_release(c->call.y);
    for (int k = 0; k < LODE_MAX_AUX; k++) lode_tensor_release(c->call.aux[k]);
    memset(c, 0, sizeof *c);
}

static lode_status replay_make_call(lode_replay *r, replay_lane *l, int i) {
    const lode_trace_call *t = lode_trace_get(r->trace, i);
    const size_t *offset = r->offset[i];
    replay_call *c = &l->call[l->n_calls++];
    c->index = i;
    c->call = t->call;
    c->call.y = NULL;
    memset(c->call.aux, 0, sizeof c->call.aux);
    c->call.x = LODE_NEW_ARRAY(lode_tensor *, t->call.n_x);
    if (c->call.x == NULL) return LODE_ERR_NO_MEMORY;
    for (int k = 0; k < t->call.n_x; k++) LODE_TRY(replay_input(r, l, t, k, &c->call.x[k]));
    if (t->is_view && t->x_id[0] == r->x_id)
        return LODE_FAIL(LODE_ERR_UNSUPPORTED, "replay: %s: %s is a view of the input", t->label,
                         t->call.op->name);
    if (t->is_view)
        LODE_TRY(t->call.op->view(&c->call, &c->call.y));
    else
        LODE_TRY(replay_tensor(l, t->call.y, offset[0], &c->call.y));
    for (int k = 0; k < LODE_MAX_AUX && t->call.aux[k] != NULL; k++)
        LODE_TRY(replay_tensor(l, t->call.aux[k], offset[1 + k], &c->call.aux[k]));
    l->value[t->y_id] = lode_tensor_retain(c->call.y);
    if (t->is_view) replay_release_call(&l->call[--l->n_calls], false);
    return LODE_OK;
}

/* ---- kernels ---- */

/* Inputs of the trace keep their values: those are what a kernel may prepare. */
static uint64_t replay_constants(const lode_replay *r, const lode_trace_call *t) {
    uint64_t constant = 0;
    for (int k = 0; k < t->call.n_x && k < 64; k++)
        if (t->call.x[k] != NULL && t->x_id[k] != r->x_id && lode_trace_given(r->trace, t->x_id[k]))
            constant |= (uint64_t)1 << k;
    return constant;
}

/* Lane 0's calls find their kernels anew. Workspace is counted per thread, and some kernels prepare
   for a number of threads. */
static lode_status replay_settle(lode_replay *r) {
    r->workspace_bytes = 0;
    r->reference_calls = 0;
    r->serial = false;
    for (int i = 0; i < r->lane[0].n_calls; i++) {
        replay_call *c = &r->lane[0].call[i];
        lode_dispatch_forget(&c->call, c->kernel);
        LODE_TRY(lode_dispatch_prepare(r->dispatch, &c->call,
                                       replay_constants(r, lode_trace_get(r->trace, c->index)),
                                       &c->kernel));
        if (c->call.workspace_bytes > r->workspace_bytes)
            r->workspace_bytes = c->call.workspace_bytes;
        r->reference_calls += c->kernel == NULL;
        r->serial = r->serial || (c->kernel != NULL && c->kernel->follows_threads);
    }
    r->threads = lode_get_threads();
    return LODE_OK;
}

/* ---- lanes ---- */

static void replay_lane_destroy(const lode_replay *r, replay_lane *l, bool owner) {
    for (int i = 0; i < l->n_calls; i++) replay_release_call(&l->call[i], owner);
    for (int i = 0; l->value != NULL && i < r->n_values; i++) lode_tensor_release(l->value[i]);
    if (l->memory != NULL) lode_device_release(lode_cpu_device(), l->memory, r->bytes);
    if (l->workspace != NULL)
        lode_device_release(lode_cpu_device(), l->workspace, r->workspace_bytes);
    lode_free(l->call);
    lode_free(l->value);
}

static void replay_keep_lanes(lode_replay *r, int64_t n) {
    while (r->n_lanes > n) {
        r->n_lanes--;
        replay_lane_destroy(r, &r->lane[r->n_lanes], r->n_lanes == 0);
    }
}

static lode_status replay_lane_workspace(const lode_replay *r, replay_lane *l) {
    if (r->workspace_bytes == 0) return LODE_OK;
    l->workspace = lode_device_allocate(lode_cpu_device(), r->workspace_bytes);
    return l->workspace != NULL ? LODE_OK : lode_last_status();
}

static lode_status replay_add_lane(lode_replay *r) {
    int n = lode_trace_n(r->trace);
    LODE_TRY(lode_grow((void **)&r->lane, &r->lane_capacity, r->n_lanes + 1, sizeof *r->lane));
    replay_lane *l = &r->lane[r->n_lanes++];
    *l = (replay_lane){.call = LODE_NEW_ARRAY(replay_call, n + 1),
                       .value = LODE_NEW_ARRAY(lode_tensor *, r->n_values)};
    if (l->call == NULL || l->value == NULL) return LODE_ERR_NO_MEMORY;
    l->memory = lode_device_allocate(lode_cpu_device(), r->bytes);
    if (l->memory == NULL) return lode_last_status();
    for (int i = 0; i < n; i++) LODE_TRY(replay_make_call(r, l, i));
    if (l->value[r->y_id] == NULL)
        return LODE_FAIL(LODE_ERR_INVALID, "replay: the result is none of the trace's calls'");
    if (r->n_lanes == 1) LODE_TRY(replay_settle(r));
    for (int i = 0; i < l->n_calls && r->n_lanes > 1; i++) {
        const replay_call *first = &r->lane[0].call[i];
        l->call[i].kernel = first->kernel;
        l->call[i].call.provider = first->call.provider;
        l->call[i].call.prepared = first->call.prepared;
        l->call[i].call.workspace_bytes = first->call.workspace_bytes;
    }
    return replay_lane_workspace(r, l);
}

/* As many lanes as are wanted, or as before; after a change of threads, new ones. */
static lode_status replay_ready(lode_replay *r, int64_t lanes) {
    if (r->threads != lode_get_threads()) replay_keep_lanes(r, 0);
    while (r->n_lanes < lanes) {
        int64_t before = r->n_lanes;
        lode_status status = replay_add_lane(r);
        if (status == LODE_OK) continue;
        replay_keep_lanes(r, before);
        return status;
    }
    return LODE_OK;
}

int lode_replay_lanes(const lode_replay *r, int64_t n) {
    int threads = lode_get_threads();
    return threads > 1 && n >= threads && !r->serial ? threads : 1;
}

/* ---- life ---- */

static lode_status replay_build(lode_replay *r) {
    r->offset = LODE_NEW_ARRAY(replay_offsets, lode_trace_n(r->trace) + 1);
    if (r->offset == NULL) return LODE_ERR_NO_MEMORY;
    lode_arena arena;
    LODE_TRY(replay_give_places(r->trace, r->y_id, 1, r->offset, &arena));
    r->bytes = (size_t)arena.bytes;
    return replay_ready(r, 1);
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
    replay_keep_lanes(r, 0);
    lode_free(r->lane);
    lode_free(r->offset);
    lode_free(r);
}

size_t lode_replay_bytes(const lode_replay *r) { return r->bytes; }

/* ---- running ---- */

static lode_status replay_check(const lode_replay *r, const lode_tensor *x) {
    char got[128], want[128];
    if (r->traced_x == NULL ||
        (x->dtype == r->traced_x->dtype && lode_tensor_same_layout(x, r->traced_x)))
        return LODE_OK;
    return LODE_FAIL(
        LODE_ERR_SHAPE, "replay: input %s %s, but %s %s was traced, or it lies otherwise in memory",
        lode_dtype_name(x->dtype), lode_shape_print(&x->shape, got),
        lode_dtype_name(r->traced_x->dtype), lode_shape_print(&r->traced_x->shape, want));
}

static void replay_bind(const lode_replay *r, replay_lane *l, lode_tensor *x) {
    for (int i = 0; i < l->n_calls; i++) {
        replay_call *c = &l->call[i];
        const int *id = lode_trace_get(r->trace, c->index)->x_id;
        for (int k = 0; k < c->call.n_x; k++) {
            if (id[k] != r->x_id || c->call.x[k] == x) continue;
            lode_tensor_release(c->call.x[k]);
            c->call.x[k] = lode_tensor_retain(x);
        }
    }
}

static lode_status replay_run_lane(lode_replay *r, int lane, lode_tensor *x,
                                   const lode_replay_watch *watch) {
    replay_lane *l = &r->lane[lane];
    replay_bind(r, l, x);
    for (int i = 0; i < l->n_calls; i++) {
        replay_call *c = &l->call[i];
        lode_status status = lode_dispatch_run(r->dispatch, &c->call, c->kernel, l->workspace);
        if (status != LODE_OK)
            return lode_error_context("%s", lode_trace_get(r->trace, c->index)->label);
        if (watch != NULL) watch->after(watch->self, lane, c->index, &c->call);
    }
    return LODE_OK;
}

static void replay_count(lode_replay *r, int64_t runs) {
    lode_dispatch_count(r->dispatch, runs * r->lane[0].n_calls, runs * r->reference_calls);
}

lode_status lode_replay_run(lode_replay *r, lode_tensor *x, const lode_replay_watch *watch,
                            lode_tensor **y) {
    LODE_TRY(replay_check(r, x));
    LODE_TRY(replay_ready(r, 1));
    replay_count(r, 1);
    LODE_TRY(replay_run_lane(r, 0, x, watch));
    *y = r->lane[0].value[r->y_id];
    return LODE_OK;
}

/* ---- slices ---- */

typedef struct replay_slices {
    lode_replay *r;
    const lode_replay_watch *watch;
    lode_tensor **x, **y; /* [n] each */
    lode_status *status;  /* [n] */
    bool lanes;
} replay_slices;

static void replay_slice(void *ctx, int64_t piece, int64_t begin, int64_t end) {
    replay_slices *s = ctx;
    int lane = s->lanes ? lode_parallel_thread() : 0;
    (void)begin, (void)end;
    s->status[piece] = replay_run_lane(s->r, lane, s->x[piece], s->watch);
    if (s->status[piece] == LODE_OK)
        s->status[piece] = lode_tensor_copy(s->y[piece], s->r->lane[lane].value[s->r->y_id]);
}

static lode_status replay_cut(lode_tensor *t, int64_t n, lode_tensor **out) {
    int64_t rows = t->shape.dim[0] / n;
    for (int64_t i = 0; i < n; i++)
        LODE_TRY(lode_tensor_slice(t, 0, i * rows, (i + 1) * rows, 1, &out[i]));
    return LODE_OK;
}

/* A message is kept per thread: what failed in another one is run again here, for its message. */
static lode_status replay_run_cut(replay_slices *s, int64_t n) {
    lode_replay *r = s->r;
    for (int64_t i = 0; i < n; i++) LODE_TRY(replay_check(r, s->x[i]));
    int lanes = lode_replay_lanes(r, n);
    LODE_TRY(replay_ready(r, lanes));
    s->lanes = lanes > 1;
    replay_count(r, n);
    if (s->lanes) lode_parallel_for(n, 1, replay_slice, s);
    for (int64_t i = 0; i < n; i++) {
        if (s->lanes && s->status[i] == LODE_OK) continue;
        s->lanes = false;
        replay_slice(s, i, i, i + 1);
        if (s->status[i] != LODE_OK) return s->status[i];
    }
    return LODE_OK;
}

lode_status lode_replay_run_slices(lode_replay *r, lode_tensor *x, int64_t n,
                                   const lode_replay_watch *watch, lode_tensor *y) {
    replay_slices s = {.r = r,
                       .watch = watch,
                       .x = LODE_NEW_ARRAY(lode_tensor *, n),
                       .y = LODE_NEW_ARRAY(lode_tensor *, n),
                       .status = LODE_NEW_ARRAY(lode_status, n)};
    lode_status status = s.x && s.y && s.status ? LODE_OK : LODE_ERR_NO_MEMORY;
    if (status == LODE_OK) status = replay_cut(x, n, s.x);
    if (status == LODE_OK) status = replay_cut(y, n, s.y);
    if (status == LODE_OK) status = replay_run_cut(&s, n);
    for (int64_t i = 0; i < n; i++) {
        if (s.x != NULL) lode_tensor_release(s.x[i]);
        if (s.y != NULL) lode_tensor_release(s.y[i]);
    }
    lode_free(s.x);
    lode_free(s.y);
    lode_free(s.status);
    return status;
}
