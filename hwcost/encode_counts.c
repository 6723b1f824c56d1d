/* encode_counts.c: what follows from shapes alone, as features.

   Each is a cost (cost.h), so that it has an expectation at probabilities and a gradient, and no
   second description of a network: v = ln(1 + E c), dv/dp = (dE c/dp) / (1 + E c). The logarithm
   because networks of one space differ in these by factors. */
#include "core/memory.h"
#include "hwcost/cost.h"
#include "hwcost/encode_internal.h"
#include "hwcost/work.h"

#include <math.h>

static const char *const counts_named[] = {"macs", "params", "activation_bytes"};
static const lode_work_class counts_class[] = {LODE_WORK_CONV, LODE_WORK_POINTWISE,
                                               LODE_WORK_DEPTHWISE, LODE_WORK_OTHER};
enum { COUNTS_N_NAMED = sizeof counts_named / sizeof *counts_named };

struct encode_counts {
    lode_supernet *net; /* that costs look at */
    lode_cost *cost[ENCODE_N_COUNTS];
    lode_work_class what[ENCODE_N_COUNTS]; /* that calls are counted of */
    int n_options[LODE_MAX_DECISIONS], n_decisions;
};

static const char *counts_unit(const void *self) {
    (void)self;
    return "calls";
}

/* One for each call of the class. */
static lode_status counts_call(void *self, const lode_trace_call *call, double *out) {
    lode_work work;
    lode_work_of(call, &work);
    *out = !call->is_view && work.what == *(const lode_work_class *)self;
    return LODE_OK;
}

static const lode_cost_model counts_calls = {
    .name = "calls", .about = "calls of one class", .unit = counts_unit, .op_cost = counts_call};

void encode_counts_destroy(encode_counts *c) {
    if (!c) return;
    for (int i = 0; i < ENCODE_N_COUNTS; i++) lode_cost_close(c->cost[i]);
    lode_supernet_destroy(c->net);
    lode_free(c);
}

lode_status encode_counts_create(lode_space *space, encode_counts **out) {
    encode_counts *c = LODE_NEW(encode_counts);
    lode_status status = LODE_OK;
    *out = NULL;
    if (!c) return LODE_ERR_NO_MEMORY;
    c->n_decisions = lode_space_n_decisions(space);
    for (int d = 0; d < c->n_decisions; d++)
        c->n_options[d] = lode_space_decision(space, d)->n_options;
    LODE_GOTO(lode_supernet_create(space, NULL, LODE_F32, 0, &c->net));
    for (int i = 0; i < ENCODE_N_COUNTS; i++) {
        if (i < COUNTS_N_NAMED) {
            LODE_GOTO(lode_cost_open(counts_named[i], c->net, 1, &c->cost[i]));
            continue;
        }
        c->what[i] = counts_class[i - COUNTS_N_NAMED];
        LODE_GOTO(lode_cost_from_model(&counts_calls, &c->what[i], c->net, 1, &c->cost[i]));
    }
    *out = c;
    c = NULL;
done:
    encode_counts_destroy(c);
    return status;
}

lode_status encode_counts_fill(const encode_counts *c, const double *const *p, double *x) {
    for (int i = 0; i < ENCODE_N_COUNTS; i++) {
        LODE_TRY(lode_cost_expected_value(c->cost[i], p, &x[i], NULL));
        x[i] = log1p(x[i]);
    }
    return LODE_OK;
}

lode_status encode_counts_pull(const encode_counts *c, const double *const *p, const double *dx,
                               double *const *dp) {
    double slope[LODE_MAX_DECISIONS][LODE_MAX_OPTIONS], *row[LODE_MAX_DECISIONS], value = 0;
    for (int d = 0; d < c->n_decisions; d++) row[d] = slope[d];
    for (int i = 0; i < ENCODE_N_COUNTS; i++) {
        LODE_TRY(lode_cost_expected_value(c->cost[i], p, &value, row));
        for (int d = 0; d < c->n_decisions; d++)
            for (int k = 0; k < c->n_options[d]; k++) dp[d][k] += dx[i] / (1 + value) * slope[d][k];
    }
    return LODE_OK;
}
