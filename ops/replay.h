/* replay.h: a traced forward pass, made ready to be run again and again.

   A tape works out the same shapes, asks the same providers and allocates the same tensors in every
   pass. In inference nothing of that changes from one image to the next, so a replay settles it
   once: every call of a TRACE tape with the provider that runs it, with what its kernel prepares of
   the weights (packed, reordered), and with a fixed place in one block of memory for every value,
   which values that are not alive at the same time share. A run is then a loop over kernels. The
   results are those of an EVAL tape with the same calls, bit for bit.

   Everything given to the trace but x must have contents (the weights) and is read by each run,
   except for what a kernel prepared: after a change of weights, make a new replay. */
#ifndef LODE_OPS_REPLAY_H
#define LODE_OPS_REPLAY_H
#include "core/arena.h"
#include "ops/dispatch.h"

typedef struct lode_replay lode_replay;

/* `x` and `y` are vars of `trace`: the one input without contents, and the result. Both the tape
   (not reset) and the dispatch are borrowed until lode_replay_destroy. */
LODE_API lode_status lode_replay_create(const lode_tape *trace, const lode_var *x,
                                        const lode_var *y, lode_dispatch *d, lode_replay **out);
LODE_API void lode_replay_destroy(lode_replay *r);

/* Is told of every call after it ran; i counts the trace's calls, views are left out. Calls of
   different lanes (below) may be told at the same time. */
typedef struct lode_replay_watch {
    void *self;
    void (*after)(void *self, int lane, int i, const lode_op_call *c);
} lode_replay_watch;
/* x: as traced in shape, dtype and strides. *y (borrowed) holds until the next run. watch may be
   NULL. */
LODE_API lode_status lode_replay_run(lode_replay *r, lode_tensor *x, const lode_replay_watch *watch,
                                     lode_tensor **y);

/* A batch in n slices: x has n times as many rows (first dimension) as traced, else its shape,
   dtype and strides, and so has y of the result; any strides.

   Where there are at least as many slices as threads, each thread takes whole slices through all
   calls, in a lane of its own: the same calls, one block of memory and one workspace more, the same
   prepared weights. Nobody waits for the others between two calls. Otherwise, or where a kernel
   does not allow it (lode_kernel.follows_threads), slices run one after another in lane 0. */
LODE_API lode_status lode_replay_run_slices(lode_replay *r, lode_tensor *x, int64_t n,
                                            const lode_replay_watch *watch, lode_tensor *y);
/* Lanes that n slices run in with the present number of threads. */
LODE_API int lode_replay_lanes(const lode_replay *r, int64_t n);

/* Of the values between input and result in one lane, without weights and workspace. */
LODE_API size_t lode_replay_bytes(const lode_replay *r);
/* The same before there is a replay, from a trace whose last call makes the result; of one of n
   slices of it. arena->live: what the values need at the most, without gaps. */
LODE_API lode_status lode_replay_plan(const lode_tape *trace, int64_t n_slices, lode_arena *arena);
#endif
