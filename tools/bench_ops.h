/* bench_ops.h: operator calls on their own: where they come from, and one call on one kernel. */
#ifndef LODE_TOOLS_BENCH_OPS_H
#define LODE_TOOLS_BENCH_OPS_H
#include "ops/backend.h"
#include "ops/dispatch.h"

/* Records every operator at the sizes of real networks on a TRACE tape. */
lode_status bench_record_operators(lode_tape *trace);

/* A call with memory of its own, made after a traced one. */
typedef struct bench_call {
    lode_op_call call;
    lode_tensor *x[LODE_MAX_INPUTS];
    lode_tensor *dx[LODE_MAX_INPUTS]; /* NULL: no gradient goes there */
    lode_tensor *dy;
    lode_kernel reference; /* the operator's own functions */
    void *params;
    char *text;      /* lode_call_text */
    double flops[2]; /* of forward, of backward */
    double bytes[2]; /* that must move, once each */
} bench_call;
lode_status bench_call_open(const lode_trace_call *from, bench_call *out);
void bench_call_close(bench_call *b);
bool bench_is_reference(const lode_provider *p);
/* The provider's kernel for this call and pass; NULL when it has none. */
const lode_kernel *bench_call_kernel(const bench_call *b, const lode_provider *p, bool backward);
/* Runs it once. A function that stays one, so that a profiler can count what happens within. */
lode_status bench_call_run(bench_call *b, const lode_kernel *k, bool backward, void *workspace,
                           size_t bytes);
#endif
