/* replay_internal.h: where the values of a replay lie, for replay.c. */
#ifndef LODE_OPS_REPLAY_INTERNAL_H
#define LODE_OPS_REPLAY_INTERNAL_H
#include "ops/replay.h"

/* What one call's results need: y, then aux. A view needs nothing. */
typedef size_t replay_offsets[1 + LODE_MAX_AUX];

/* Offsets into one block of arena->bytes for all calls of a trace, offset[lode_trace_n(trace)] (may
   be NULL). y_id's value stays to the end. Values are a `slices`-th of what was traced. */
lode_status replay_give_places(const lode_tape *trace, int y_id, int64_t slices,
                               replay_offsets *offset, lode_arena *arena);
#endif
