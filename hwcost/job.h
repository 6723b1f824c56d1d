/* job.h: a network, or one operator call, as a directory that a program for another device can
   measure. docs/your-own-device.md is the contract with that program:

       job.json              what to run: inputs, weights, the calls in order, the result
       tensors.safetensors   contents of inputs and weights, and the result that is expected
       result.json           what the program writes: {"latency_ms": [1.02, ...], "energy_mj": ...}

   Values are named v0, v1, ...; shapes are N,C,H,W and dense in that order, whatever the layout in
   memory was here. */
#ifndef LODE_HWCOST_JOB_H
#define LODE_HWCOST_JOB_H
#include "hwcost/statistics.h"
#include "supernet/frozen.h"

/* Nothing but the way to the device and back; one operator call; a whole network. */
typedef enum lode_job_kind { LODE_JOB_FLOOR, LODE_JOB_CALL, LODE_JOB_NETWORK } lode_job_kind;
LODE_API const char *lode_job_kind_name(lode_job_kind kind);

/* How it is to be measured. */
typedef struct lode_job_protocol {
    int64_t warmup;  /* passes that are not timed */
    int64_t repeats; /* passes that are */
    int threads;     /* to use there */
    bool energy;     /* wanted too */
} lode_job_protocol;

/* A network as it is deployed here: folded (arch NULL: a fixed network). */
LODE_API lode_status lode_job_write_network(const char *directory, lode_supernet *net,
                                            const lode_arch *arch, int64_t batch,
                                            lode_dispatch *dispatch, const char *name,
                                            const lode_job_protocol *protocol);
/* One call, with made-up contents of the same shapes. weights: bit k is set where x[k] is no result
   of another call. */
LODE_API lode_status lode_job_write_call(const char *directory, const lode_op_call *call,
                                         uint64_t weights, lode_dispatch *dispatch,
                                         const char *name, const lode_job_protocol *protocol);
/* The least there is: one relu of one number. */
LODE_API lode_status lode_job_write_floor(const char *directory, lode_dispatch *dispatch,
                                          const lode_job_protocol *protocol);

/* What came back. */
typedef struct lode_job_result {
    double *latency_ms; /* [n], lode_free by lode_job_result_deinit */
    int64_t n;
    double energy_mj; /* per pass; < 0: not told */
    char device[128]; /* as the program calls it; "" when it does not */
} lode_job_result;
/* DIRECTORY/result.json. LODE_ERR_DATA with file and key: missing, no list, fewer numbers than
   repeats, a number that is not positive and finite, no energy where it is wanted. */
LODE_API lode_status lode_job_read(const char *directory, const lode_job_protocol *protocol,
                                   lode_job_result *out);
LODE_API void lode_job_result_deinit(lode_job_result *r);
/* Removes the files in the directory, and it, unless the program left directories in it. */
LODE_API void lode_job_remove(const char *directory);
#endif
