/* replay_places.c: places by a walk over the calls. A value takes the lowest gap between the values
   that are alive, from the call that makes it to the last one that reads it (or a view of it). A
   call's own output never lies on its inputs, so kernels need not know. */
#include "core/memory.h"
#include "ops/replay_internal.h"

#include <string.h>

enum { REPLAY_ALIGNMENT = 64 };

typedef struct replay_place {
    size_t begin, bytes;
    int last_use; /* call */
} replay_place;

typedef struct replay_places {
    replay_place *place; /* those in use, by begin */
    int64_t n, capacity;
    size_t bytes; /* the most so far */
} replay_places;

static size_t places_bytes(const lode_tensor *t, int64_t slices) {
    const size_t bytes = lode_tensor_bytes(t) / (size_t)slices;
    return (bytes + REPLAY_ALIGNMENT - 1) / REPLAY_ALIGNMENT * REPLAY_ALIGNMENT;
}

static void places_end(replay_places *p, int before) {
    int64_t n = 0;
    for (int64_t i = 0; i < p->n; i++)
        if (p->place[i].last_use >= before) p->place[n++] = p->place[i];
    p->n = n;
}

static lode_status places_find(replay_places *p, size_t bytes, int last_use, size_t *begin) {
    size_t at = 0;
    int64_t i = 0;
    LODE_TRY(lode_grow((void **)&p->place, &p->capacity, p->n + 1, sizeof *p->place));
    for (; i < p->n && p->place[i].begin < at + bytes; i++)
        if (p->place[i].begin + p->place[i].bytes > at) at = p->place[i].begin + p->place[i].bytes;
    memmove(p->place + i + 1, p->place + i, (size_t)(p->n - i) * sizeof *p->place);
    p->place[i] = (replay_place){at, bytes, last_use};
    p->n++;
    if (at + bytes > p->bytes) p->bytes = at + bytes;
    *begin = at;
    return LODE_OK;
}

static lode_status places_of_call(replay_places *p, const lode_tape *trace, int y_id,
                                  int64_t slices, int i, size_t *offset) {
    const lode_trace_call *t = lode_trace_get(trace, i);
    int last = t->y_id == y_id ? lode_trace_n(trace) : lode_trace_last_use(trace, t->y_id);
    places_end(p, i);
    if (t->is_view) return LODE_OK;
    LODE_TRY(places_find(p, places_bytes(t->call.y, slices), last, &offset[0]));
    for (int k = 0; k < LODE_MAX_AUX && t->call.aux[k] != NULL; k++)
        LODE_TRY(places_find(p, places_bytes(t->call.aux[k], slices), i, &offset[1 + k]));
    return LODE_OK;
}

lode_status replay_give_places(const lode_tape *trace, int y_id, int64_t slices,
                               replay_offsets *offset, size_t *bytes) {
    replay_places p = {0};
    lode_status status = LODE_OK;
    for (int i = 0; status == LODE_OK && i < lode_trace_n(trace); i++)
        status = places_of_call(&p, trace, y_id, slices, i, offset[i]);
    *bytes = p.bytes;
    lode_free(p.place);
    return status;
}

lode_status lode_replay_plan(const lode_tape *trace, int64_t n_slices, size_t *bytes) {
    const int n = lode_trace_n(trace);
    replay_offsets *offset = LODE_NEW_ARRAY(replay_offsets, n + 1);
    *bytes = 0;
    if (offset == NULL) return LODE_ERR_NO_MEMORY;
    lode_status status = n == 0 ? LODE_OK
                                : replay_give_places(trace, lode_trace_get(trace, n - 1)->y_id,
                                                     n_slices, offset, bytes);
    lode_free(offset);
    return status;
}
