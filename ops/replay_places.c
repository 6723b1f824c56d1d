/* replay_places.c: places of values in one block of memory (core/arena.h: first fit, by begin or by
   size). A value holds its place from the call that makes it to the last one that reads it (or a
   view of it). A call's own output never lies on its inputs, so kernels need not know. */
#include "core/arena.h"
#include "core/memory.h"
#include "ops/replay_internal.h"

#include <string.h>

enum { REPLAY_ALIGNMENT = 64, REPLAY_RESULTS = 1 + LODE_MAX_AUX };

static int64_t places_bytes(const lode_tensor *t, int64_t slices) {
    const int64_t bytes = (int64_t)lode_tensor_bytes(t) / slices;
    return (bytes + REPLAY_ALIGNMENT - 1) / REPLAY_ALIGNMENT * REPLAY_ALIGNMENT;
}

/* The results of call i, as blocks of those numbers. Returns how many. */
static int places_of_call(const lode_tape *trace, int y_id, int64_t slices, int i,
                          lode_arena_part *part) {
    const lode_trace_call *t = lode_trace_get(trace, i);
    const int last = t->y_id == y_id ? lode_trace_n(trace) : lode_trace_last_use(trace, t->y_id);
    const int first = i * REPLAY_RESULTS;
    int n = 0;
    if (t->is_view) return 0;
    part[n++] = (lode_arena_part){first, i, last + 1, places_bytes(t->call.y, slices)};
    for (int k = 0; k < LODE_MAX_AUX && t->call.aux[k] != NULL; k++)
        part[n++] =
            (lode_arena_part){first + 1 + k, i, i + 1, places_bytes(t->call.aux[k], slices)};
    return n;
}

lode_status replay_give_places(const lode_tape *trace, int y_id, int64_t slices,
                               replay_offsets *offset, lode_arena *arena) {
    const int n = lode_trace_n(trace);
    int64_t n_parts = 0;
    lode_arena_part *part = LODE_NEW_ARRAY(lode_arena_part, n * REPLAY_RESULTS + 1);
    int64_t *at = LODE_NEW_ARRAY(int64_t, n * REPLAY_RESULTS + 1);
    lode_status status = part && at ? LODE_OK : LODE_ERR_NO_MEMORY;
    for (int i = 0; status == LODE_OK && i < n; i++)
        n_parts += places_of_call(trace, y_id, slices, i, part + n_parts);
    if (status == LODE_OK) status = lode_arena_plan(part, n_parts, n * REPLAY_RESULTS, at, arena);
    for (int i = 0; offset && status == LODE_OK && i < n * REPLAY_RESULTS; i++)
        offset[i / REPLAY_RESULTS][i % REPLAY_RESULTS] = (size_t)at[i];
    lode_free(part);
    lode_free(at);
    return status;
}

lode_status lode_replay_plan(const lode_tape *trace, int64_t n_slices, lode_arena *arena) {
    const int n = lode_trace_n(trace);
    *arena = (lode_arena){0};
    return n == 0 ? LODE_OK
                  : replay_give_places(trace, lode_trace_get(trace, n - 1)->y_id, n_slices, NULL,
                                       arena);
}
