/* frozen.h: a network as inference runs it.

   Two steps lie between a network that is trained and one that is deployed. Folding: batch
   normalisation with running statistics is a scale and a shift per channel, so that of a
   convolution's result goes into its weights and bias (in double), and what follows it (activation,
   then the addition of a residual) is done before the result is written: one operator, conv_act,
   instead of up to four. And replaying: everything a pass works out anew each time is settled once
   (ops/replay.h).

   Folding reads a trace, so blocks know nothing of it. It stays within a block: a convolution is
   joined with what follows it only where that lies in the same block and nobody else reads what is
   in between. So prices of folded calls are sums over blocks too, and a table of them predicts a
   network the way it is measured. Norms that follow no convolution stay. Multiply-accumulates and
   parameters are counted on the trace that is not folded. */
#ifndef LODE_SUPERNET_FROZEN_H
#define LODE_SUPERNET_FROZEN_H
#include "ops/replay.h"
#include "supernet/supernet.h"

/* As it is deployed, and call by call as it was trained. */
typedef enum lode_form { LODE_FORM_FOLDED, LODE_FORM_PLAIN } lode_form;
#define LODE_FORM_WORDS "folded|plain"
LODE_API const char *lode_form_name(lode_form form);

/* lode_supernet_trace in inference, folded. Weights that were folded have no contents. */
LODE_API lode_status lode_supernet_trace_folded(lode_supernet *net, const lode_arch *arch,
                                                int64_t batch, lode_tape *trace);

/* The same with the contents of folded weights, of a network without decisions about sizes (else
   extract first); *x, *y: input and result, for a replay or a writer of files. */
LODE_API lode_status lode_supernet_trace_deployed(lode_supernet *net, const lode_arch *arch,
                                                  int64_t batch, lode_tape *trace, lode_var **x,
                                                  lode_var **y);

typedef struct lode_frozen lode_frozen;
/* arch NULL: a fixed network. Weights and statistics are those of now; where sizes are decisions
   the architecture is extracted first. Copies the folded and the packed ones and borrows the rest:
   the network and the dispatch must outlive the result, and a change of weights asks for a new one.
 */
LODE_API lode_status lode_frozen_create(lode_supernet *net, const lode_arch *arch, int64_t batch,
                                        lode_form form, lode_dispatch *d, lode_frozen **out);
LODE_API void lode_frozen_destroy(lode_frozen *f);
/* x [batch,C,H,W] of the network's dtype, any strides. *logits [batch,classes]: borrowed, holds
   until the next run. A batch goes through the network in slices (lode_replay_run_slices). watch
   (may be NULL) is told of every call of every slice; its index is that of the call in
   lode_frozen_trace. */
LODE_API lode_status lode_frozen_run(lode_frozen *f, lode_tensor *x, const lode_replay_watch *watch,
                                     lode_tensor **logits);
/* The calls of the whole batch, borrowed: what is priced. */
LODE_API const lode_tape *lode_frozen_trace(const lode_frozen *f);
LODE_API int64_t lode_frozen_slices(const lode_frozen *f);
LODE_API int lode_frozen_lanes(const lode_frozen *f);    /* slices at a time */
LODE_API size_t lode_frozen_bytes(const lode_frozen *f); /* of values between input and logits */
/* What a run of one lane holds of everything that depends on the image, from a trace of the whole
   batch (lode_supernet_trace_folded): the input, the block of lode_frozen_bytes, and the logits
   where slices leave theirs. Each further lane has a block more. Without weights and workspace.
   *live: the same with the most that is needed at a time in the block's stead, gaps left out. */
LODE_API lode_status lode_frozen_plan_bytes(const lode_tape *whole, size_t *bytes, size_t *live);
#endif
