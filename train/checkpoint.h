/* checkpoint.h: the whole state of a piece of work on disk, so that a run killed at any moment goes
   on as if nothing had happened.

   A checkpoint directory holds up to two checkpoints. Each is a pair:
       <phase>-<step>.safetensors   named tensors (weights, moments, counters)
       <phase>-<step>.json          manifest: format, version, seed, phase, epoch, step, size and
                                    CRC-32 of the tensor file, and whatever the writer adds
   Both are written beside their place, synced and renamed; the manifest comes last and is what
   makes the checkpoint exist. The one before is removed only after that. A reader takes the newest
   pair that is whole; when the newest is damaged it says so in the log and takes the previous one.
 */
#ifndef LODE_TRAIN_CHECKPOINT_H
#define LODE_TRAIN_CHECKPOINT_H
#include "core/json.h"
#include "tensor/tensor_io.h"

/* ---- a growing list of named tensors: what goes into a checkpoint ---- */
typedef struct lode_state {
    lode_named_tensor *item; /* names are the list's, tensors are retained */
    int64_t n, capacity;
} lode_state; /* init with {0} */
LODE_API lode_status lode_state_add(lode_state *s, lode_tensor *tensor, const char *name_fmt, ...)
    LODE_PRINTF(3, 4);
/* n numbers as one f64 tensor: counters and sums that must come back bit for bit. */
LODE_API lode_status lode_state_add_numbers(lode_state *s, const char *name, const double *v,
                                            int n);
LODE_API void lode_state_deinit(lode_state *s);

/* ---- writing ---- */
typedef struct lode_checkpoint_info {
    char phase[32]; /* "supernet", "train": letters, digits, '_' */
    uint64_t seed;
    int64_t epoch, step; /* step orders the checkpoints of a directory */
    bool finished;       /* nothing left to do in this phase */
} lode_checkpoint_info;
/* `extra` (may be NULL; not consumed) becomes the manifest's member "extra". Creates `directory`.
 */
LODE_API lode_status lode_checkpoint_save(const char *directory, const lode_checkpoint_info *info,
                                          const lode_state *state, const json_t *extra);

/* ---- reading ---- */
typedef struct lode_checkpoint lode_checkpoint;
/* The newest whole checkpoint of `phase`. LODE_ERR_NOT_FOUND: there is none; LODE_ERR_DATA: there
   are some, and all are damaged (the message says how). */
LODE_API lode_status lode_checkpoint_open(const char *directory, const char *phase,
                                          lode_checkpoint **out);
LODE_API void lode_checkpoint_close(lode_checkpoint *c);
LODE_API const lode_checkpoint_info *lode_checkpoint_get_info(const lode_checkpoint *c);
LODE_API const json_t *lode_checkpoint_extra(const lode_checkpoint *c); /* NULL: none */
LODE_API bool lode_checkpoint_has(const lode_checkpoint *c, const char *name);
LODE_API lode_status lode_checkpoint_load(lode_checkpoint *c, const char *name, lode_tensor *dst);
LODE_API lode_status lode_checkpoint_load_numbers(lode_checkpoint *c, const char *name, double *v,
                                                  int n);
/* A fresh tensor (release it). */
LODE_API lode_status lode_checkpoint_get(lode_checkpoint *c, const char *name, lode_tensor **out);
LODE_API lode_tensor_file *lode_checkpoint_tensors(lode_checkpoint *c); /* borrowed */
/* Removes all checkpoints of a phase (a run that starts afresh). */
LODE_API lode_status lode_checkpoint_remove(const char *directory, const char *phase);
#endif
