/* cost_expected.c: the expectation of a cost over decision probabilities, with its gradient.

   E = c0 + sum_terms sum_combos (prod_r P_r(class)) T[combo], P_r(class) = sum of the weights of
   the options in that class. The derivative with respect to one weight leaves its factor out of the
   product. Weights per sample [N,K] are averaged first: E is multilinear in each decision, and
   samples of different decisions are drawn together, so per-sample costs are computed row by row
   and averaged. (methods D8) A model with a relaxed_cost of its own answers that instead. */
#include "hwcost/cost.h"
#include "hwcost/cost_internal.h"

#include <string.h>

/* One term at given probabilities; adds to *value and, when wanted, to gradient[d][k]. */
static void expected_term(const cost_term *term, const int *n_options, const double *const *p,
                          double *value, double *const *gradient) {
    double mass[COST_MAX_READS][LODE_MAX_OPTIONS];
    for (int r = 0; r < term->n_reads; r++) {
        const lode_block_read *read = &term->reads[r];
        memset(mass[r], 0, sizeof mass[r]);
        for (int k = 0; k < n_options[read->decision]; k++)
            mass[r][read->class_of[k]] += p[read->decision][k];
    }
    double slope[COST_MAX_READS][LODE_MAX_OPTIONS] = {{0}};
    for (int combo = 0; combo < term->n_combos; combo++) {
        int classes[COST_MAX_READS];
        cost_combo_classes(term, combo, classes);
        double product = 1;
        for (int r = 0; r < term->n_reads; r++) product *= mass[r][classes[r]];
        *value += product * term->price[combo];
        for (int r = 0; gradient && r < term->n_reads; r++) {
            double others = 1;
            for (int s = 0; s < term->n_reads; s++)
                if (s != r) others *= mass[s][classes[s]];
            slope[r][classes[r]] += others * term->price[combo];
        }
    }
    for (int r = 0; gradient && r < term->n_reads; r++) {
        const lode_block_read *read = &term->reads[r];
        for (int k = 0; k < n_options[read->decision]; k++)
            gradient[read->decision][k] += slope[r][read->class_of[k]];
    }
}

lode_status lode_cost_expected_value(lode_cost *c, const double *const *p, double *value,
                                     double *const *gradient) {
    const char *none = lode_cost_no_gradient(c);
    *value = 0;
    if (none)
        return LODE_FAIL(LODE_ERR_UNSUPPORTED,
                         "cost %s has no expectation and no gradient: %s; use it as a hard target",
                         c->name, none);
    if (c->model->relaxed_cost) return c->model->relaxed_cost(c->self, p, value, gradient);
    *value = c->constant;
    for (int d = 0; gradient && d < c->n_decisions; d++)
        memset(gradient[d], 0, (size_t)c->n_options[d] * sizeof(double));
    for (int i = 0; i < c->n_terms; i++)
        expected_term(&c->term[i], c->n_options, p, value, gradient);
    return LODE_OK;
}

/* ---- the same as an operator on a tape ----

   Inputs: one weight tensor per decision, [K] or [N,K]; output: a scalar. The cost object travels
   as a pointer in the parameters: this operator is private, lives only within one tape, and is
   never hashed or saved. */
typedef struct expected_params {
    lode_cost *cost;
} expected_params;

static int64_t expected_rows(const lode_op_call *call) {
    int64_t rows = 1;
    for (int d = 0; d < call->n_x; d++)
        if (call->x[d] && call->x[d]->shape.n_dims == 2 && call->x[d]->shape.dim[0] > rows)
            rows = call->x[d]->shape.dim[0];
    return rows;
}

static lode_status expected_infer(const lode_op_call *call, lode_inferred *out) {
    const lode_cost *c = ((const expected_params *)call->params)->cost;
    if (call->n_x != c->n_decisions)
        return LODE_FAIL(LODE_ERR_SHAPE, "expected cost: %d weights for %d decisions", call->n_x,
                         c->n_decisions);
    int64_t rows = expected_rows(call);
    out->dtype = LODE_F32;
    for (int d = 0; d < call->n_x; d++) {
        const lode_shape *s = &call->x[d]->shape;
        bool fits = (s->n_dims == 1 || (s->n_dims == 2 && s->dim[0] == rows)) &&
                    s->dim[s->n_dims - 1] == c->n_options[d];
        char text[128];
        if (!fits)
            return LODE_FAIL(
                LODE_ERR_SHAPE,
                "expected cost: weights of decision %d are %s, want [%d] or [%lld, %d]", d,
                lode_shape_print(s, text), c->n_options[d], (long long)rows, c->n_options[d]);
        if (call->x[d]->dtype == LODE_F64) out->dtype = LODE_F64;
    }
    out->shape = LODE_SCALAR;
    return LODE_OK;
}

/* Room for the probabilities of one row and their gradient. */
typedef struct expected_room {
    double *values;
    double *p[LODE_MAX_DECISIONS], *g[LODE_MAX_DECISIONS];
} expected_room;

static lode_status expected_room_init(const lode_cost *c, expected_room *room) {
    room->values = LODE_NEW_ARRAY(double, 2 * c->n_decisions * LODE_MAX_OPTIONS + 1);
    if (!room->values) return LODE_ERR_NO_MEMORY;
    for (int d = 0; d < c->n_decisions; d++) {
        room->p[d] = room->values + (size_t)(2 * d) * LODE_MAX_OPTIONS;
        room->g[d] = room->p[d] + LODE_MAX_OPTIONS;
    }
    return LODE_OK;
}

static void expected_load_row(const lode_op_call *call, int64_t row, expected_room *room) {
    for (int d = 0; d < call->n_x; d++) {
        const lode_shape *s = &call->x[d]->shape;
        int64_t k_count = s->dim[s->n_dims - 1], start = s->n_dims == 2 ? row * k_count : 0;
        for (int64_t k = 0; k < k_count; k++) room->p[d][k] = lode_at(call->x[d], start + k);
    }
}

static lode_status expected_forward(const lode_op_call *call) {
    lode_cost *c = ((const expected_params *)call->params)->cost;
    expected_room room;
    lode_status status = LODE_OK;
    int64_t rows = expected_rows(call);
    double sum = 0;
    LODE_TRY(expected_room_init(c, &room));
    for (int64_t row = 0; row < rows; row++) {
        double value = 0;
        expected_load_row(call, row, &room);
        LODE_GOTO(lode_cost_expected_value(c, (const double *const *)room.p, &value, NULL));
        sum += value;
    }
    lode_put(call->y, 0, sum / (double)rows);
done:
    lode_free(room.values);
    return status;
}

static lode_status expected_backward(const lode_op_call *call, const lode_tensor *dy,
                                     lode_tensor *const *dx) {
    lode_cost *c = ((const expected_params *)call->params)->cost;
    expected_room room;
    lode_status status = LODE_OK;
    int64_t rows = expected_rows(call);
    double u = lode_at(dy, 0) / (double)rows;
    LODE_TRY(expected_room_init(c, &room));
    for (int d = 0; d < call->n_x; d++)
        if (dx[d]) LODE_GOTO(lode_tensor_fill(dx[d], 0));
    for (int64_t row = 0; row < rows; row++) {
        double value = 0;
        expected_load_row(call, row, &room);
        LODE_GOTO(lode_cost_expected_value(c, (const double *const *)room.p, &value, room.g));
        for (int d = 0; d < call->n_x; d++) {
            if (!dx[d]) continue;
            const lode_shape *s = &call->x[d]->shape;
            int64_t k_count = s->dim[s->n_dims - 1], start = s->n_dims == 2 ? row * k_count : 0;
            for (int64_t k = 0; k < k_count; k++)
                lode_put(dx[d], start + k, lode_at(dx[d], start + k) + u * room.g[d][k]);
        }
    }
done:
    lode_free(room.values);
    return status;
}

static void expected_count(const lode_op_call *call, lode_op_count *out) {
    (void)call;
    memset(out, 0, sizeof *out);
}

static const lode_op expected_cost_op = {
    .name = "expected_cost",
    .n_inputs = -1,
    .params_size = sizeof(expected_params),
    .keeps = LODE_KEEP_ALL_X,
    .infer = expected_infer,
    .reference = {.forward = expected_forward, .backward = expected_backward},
    .count = expected_count,
};

lode_var *lode_cost_expected(lode_tape *t, lode_cost *c, lode_var *const *weights) {
    expected_params params = {c};
    const char *none = lode_cost_no_gradient(c);
    if (c->n_decisions == 0 || none)
        return lode_tape_fail(t, LODE_FAIL(LODE_ERR_UNSUPPORTED,
                                           "cost %s has no expectation here: %s%s", c->name,
                                           c->n_decisions ? none : "the network has no decisions",
                                           c->n_decisions ? "; use it as a hard target" : ""));
    return lode_apply(t, &expected_cost_op, weights, c->n_decisions, &params);
}
