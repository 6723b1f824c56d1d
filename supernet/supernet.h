/* supernet.h: a network built from a space. All candidates of every decision hold weights of their
   own; a fixed network is a supernet with no decision left: one class to train, evaluate, price and
   export.

   One forward serves training, evaluation and tracing (see autograd/tape.h). Every operator call of
   a forward lies in the scope of exactly one block, whose name is the first component of the call's
   label; a block says which decisions it reads. Cost models are built on that. */
#ifndef LODE_SUPERNET_SUPERNET_H
#define LODE_SUPERNET_SUPERNET_H
#include "ops/ops.h"
#include "supernet/arch.h"
#include "supernet/parameter.h"
#include "supernet/space.h"

typedef struct lode_supernet lode_supernet;

/* What to do at one decision. weights NULL: exactly one bit of `active` is set and that option
   alone runs. Otherwise the active options run and are mixed by weights [K] or [N,K] (weighted_sum
   over all K; options not active count as zero). ones: they count as maps of ones instead, so that
   where weights are 0 the mixture stays what it is and their gradient is the sum over its own.
   scale (NULL: 1) [1]: of an edge of a cell, what it gives is multiplied by it. */
typedef struct lode_choice {
    uint64_t active;
    bool ones;
    lode_var *weights;
    lode_var *scale;
} lode_choice;
LODE_API void lode_choice_from_arch(const lode_arch *a, lode_choice *out /* [a->n] */);

typedef enum lode_bn_mode {
    LODE_BN_TRAIN,    /* batch statistics, running statistics updated */
    LODE_BN_BATCH,    /* batch statistics, running ones untouched */
    LODE_BN_RUNNING,  /* running statistics */
    LODE_BN_CALIBRATE /* batch statistics, also pooled for lode_supernet_calibrate_end */
} lode_bn_mode;

/* What is computed again in backward instead of being kept: with LODE_REMAT_LAYER every layer and
   every edge of a cell, of which only input and output stay; a mixture's candidates come one after
   another. The bits are the same. */
typedef enum lode_remat { LODE_REMAT_NONE, LODE_REMAT_LAYER } lode_remat;
#define LODE_REMAT_WORDS "none|layer"

/* Which tapes run inverted residuals with batch statistics as one operator (mbconv) that keeps less
   and is faster: TRAIN tapes; none, so that the parts can be compared; TRACE tapes as well, to plan
   the memory of training. Other traces, and EVAL tapes, have the parts. */
typedef enum lode_fuse { LODE_FUSE_TRAIN, LODE_FUSE_NEVER, LODE_FUSE_TRACE } lode_fuse;

typedef struct lode_forward_options {
    lode_bn_mode bn;
    double drop_path; /* probability of dropping a residual branch, per sample; 0: never */
    lode_remat remat;
    lode_fuse fuse;
} lode_forward_options;

/* fixed NULL: the supernet, every candidate. Otherwise only the blocks on that path. Weights are
   drawn from (seed, INIT, hash of the parameter's name), so a fixed network's fresh weights equal
   the supernet's. Retains the space. dtype F32 or F64. */
LODE_API lode_status lode_supernet_create(lode_space *space, const lode_arch *fixed,
                                          lode_dtype dtype, uint64_t seed, lode_supernet **out);
LODE_API void lode_supernet_destroy(lode_supernet *net);
LODE_API lode_space *lode_supernet_space(const lode_supernet *net); /* borrowed */
LODE_API bool lode_supernet_is_fixed(const lode_supernet *net, lode_arch *arch /* may be NULL */);
LODE_API uint64_t lode_supernet_seed(const lode_supernet *net);
LODE_API lode_dtype lode_supernet_dtype(const lode_supernet *net);

/* x [N,C,H,W]; choice[n_decisions] (ignored, may be NULL, for a fixed network). Returns logits [N,
 * classes]. */
LODE_API lode_var *lode_supernet_forward(lode_tape *t, lode_supernet *net, lode_var *x,
                                         const lode_choice *choice,
                                         const lode_forward_options *options);

/* Parameters in a fixed order (borrowed). */
LODE_API int lode_supernet_n_parameters(const lode_supernet *net);
LODE_API lode_parameter *lode_supernet_parameter(const lode_supernet *net, int i);
LODE_API lode_parameter *lode_supernet_find(const lode_supernet *net, const char *name);
LODE_API void lode_supernet_clear_grads(lode_supernet *net);
/* Trainable elements on the path of one architecture (all of a fixed network: arch is ignored). */
LODE_API lode_status lode_supernet_count_parameters(const lode_supernet *net, const lode_arch *arch,
                                                    int64_t *out);

/* ---- blocks: which part of the network reads which decisions ---- */
#define LODE_MAX_READS 8
typedef struct lode_block_read {
    int decision;
    int n_classes;                      /* options this block cannot tell apart share a class */
    uint8_t class_of[LODE_MAX_OPTIONS]; /* [n_options] -> class */
} lode_block_read;
typedef struct lode_block {
    const char *name; /* label of its scope */
    int n_reads;      /* 0: always the same */
    lode_block_read reads[LODE_MAX_READS];
} lode_block;
LODE_API int lode_supernet_n_blocks(const lode_supernet *net);
LODE_API const lode_block *lode_supernet_block(const lode_supernet *net, int i);

/* Traces one architecture at a batch size: shapes and costs only. `trace` is a TRACE tape, reset
   first. BN runs as in inference (LODE_BN_RUNNING) unless `train`. The space's constraints (kept
   edges) are not asked, so that every combination of what a block reads can be traced. */
LODE_API lode_status lode_supernet_trace(lode_supernet *net, const lode_arch *arch, int64_t batch,
                                         bool train, lode_tape *trace);

/* ---- what `lode space show` prints ---- */
typedef struct lode_layer_info {
    const char *name; /* "stem", "layer3", "cell2" */
    const char *what; /* kind of block, "choice", or the cell's type */
    int64_t in, out, stride;
    int first_decision, n_decisions; /* n 0: fixed */
} lode_layer_info;
LODE_API int lode_space_n_layers(const lode_space *s);
LODE_API lode_layer_info lode_space_layer(const lode_space *s, int i);

/* Exact over all valid architectures, because MACs and parameters are sums over decisions. */
typedef struct lode_space_summary {
    double log10_count;
    double min_macs, max_macs, min_params, max_params;
    lode_arch smallest, largest; /* by MACs */
} lode_space_summary;
LODE_API lode_status lode_space_summarize(lode_space *s, lode_space_summary *out);

/* ---- extraction (methods B3) ---- */
/* The fixed network of one architecture with copies of the supernet's weights. LODE_ERR_CONFIG from
   a supernet of partial channels (space.partial): its candidates are narrower than the network's.
 */
LODE_API lode_status lode_supernet_extract(lode_supernet *net, const lode_arch *arch,
                                           lode_supernet **out);

/* BN recalibration: begin clears the pools; forward in LODE_BN_CALIBRATE mode pools E[x], E[x^2] in
   double; end writes pooled mean and (biased) variance into the running statistics of every BN that
   was reached. */
LODE_API lode_status lode_supernet_calibrate_begin(lode_supernet *net);
LODE_API lode_status lode_supernet_calibrate_end(lode_supernet *net);

/* ---- files ---- */
LODE_API lode_status lode_supernet_save(const lode_supernet *net, const char *safetensors_path);
LODE_API lode_status lode_supernet_load(lode_supernet *net, const char *safetensors_path);
/* A directory with arch.json (space text included) and weights.safetensors: all a fixed network
 * needs. */
LODE_API lode_status lode_subnet_save(const lode_supernet *net, const char *directory);
LODE_API lode_status lode_subnet_load(const char *directory, lode_supernet **out);
#endif
