/* loss.c: the forms of a loss with a cost in it, as one operator of two scalars.

   Both gradients are closed formulas, so nothing is gained by composing them of logarithms and
   powers, and the one thing that goes wrong in practice, a logarithm of something not above one, is
   seen where the unit can still be named. */
#include "train/loss.h"

#include "core/config.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const char *const loss_names[LODE_N_COST_LOSSES + 1] = {
    "additive", "add_linear", "hinge", "fbnet", "fbnet_log", "mul_log", "power", "add_log", NULL};

const char *lode_cost_loss_name(lode_cost_loss_kind kind) { return loss_names[kind]; }

lode_status lode_cost_loss_find(const char *name, lode_cost_loss_kind *out) {
    for (int i = 0; i < LODE_N_COST_LOSSES; i++)
        if (strcmp(name, loss_names[i]) == 0) {
            *out = (lode_cost_loss_kind)i;
            return LODE_OK;
        }
    const char *near = lode_nearest_word(name, loss_names, LODE_N_COST_LOSSES);
    return LODE_FAIL(LODE_ERR_NOT_FOUND, "there is no cost loss `%s`%s%s%s", name,
                     near != NULL ? ": did you mean `" : "", near != NULL ? near : "",
                     near != NULL ? "`?" : "");
}

static bool loss_is_log(int kind) {
    return kind == LODE_COST_LOSS_FBNET || kind == LODE_COST_LOSS_FBNET_LOG ||
           kind == LODE_COST_LOSS_MUL_LOG;
}
static bool loss_has_target(int kind) {
    return kind == LODE_COST_LOSS_ADD_LINEAR || kind == LODE_COST_LOSS_HINGE ||
           kind == LODE_COST_LOSS_MUL_LOG || kind == LODE_COST_LOSS_POWER;
}

lode_status lode_cost_loss_check(const lode_cost_loss_params *p) {
    if (p->kind < 0 || p->kind >= LODE_N_COST_LOSSES)
        return LODE_FAIL(LODE_ERR_INVALID, "cost loss: no form number %d", (int)p->kind);
    const char *name = loss_names[p->kind];
    if (!(p->a >= 0) || isinf(p->a) || !isfinite(p->b))
        return LODE_FAIL(LODE_ERR_CONFIG,
                         "cost loss %s: a must be finite and not negative and b "
                         "finite, seen a %g, b %g",
                         name, p->a, p->b);
    if (loss_has_target(p->kind) && !(p->target > 0 && isfinite(p->target)))
        return LODE_FAIL(
            LODE_ERR_CONFIG,
            "cost loss %s: needs a target above 0 in the unit of the cost, seen %g: set "
            "arch.target",
            name, p->target);
    if (p->kind == LODE_COST_LOSS_MUL_LOG && !(p->target > 1))
        return LODE_FAIL(
            LODE_ERR_CONFIG,
            "cost loss mul_log: ln(target) divides, so the target must be above 1; seen "
            "%g: use a smaller unit or the form add_linear",
            p->target);
    return LODE_OK;
}

static lode_status loss_infer(const lode_op_call *c, lode_inferred *out) {
    for (int i = 0; i < 2; i++)
        if (lode_tensor_count(c->x[i]) != 1) {
            char text[128];
            return LODE_FAIL(LODE_ERR_SHAPE, "cost_loss: %s must have one element, seen %s",
                             i == 0 ? "the loss" : "the cost",
                             lode_shape_print(&c->x[i]->shape, text));
        }
    if (c->x[0]->dtype != c->x[1]->dtype)
        return LODE_FAIL(LODE_ERR_DTYPE, "cost_loss: the loss is %s and the cost %s",
                         lode_dtype_name(c->x[0]->dtype), lode_dtype_name(c->x[1]->dtype));
    LODE_TRY(lode_cost_loss_check(c->params));
    out->shape = LODE_SCALAR;
    out->dtype = c->x[0]->dtype;
    return LODE_OK;
}

/* The value at (l, c) with both partial derivatives. */
typedef struct loss_point {
    double value, d_loss, d_cost;
} loss_point;

lode_status lode_cost_loss_check_cost(const lode_cost_loss_params *p, double c) {
    if ((p->kind == LODE_COST_LOSS_POWER || p->kind == LODE_COST_LOSS_ADD_LOG) && !(c > 0))
        return LODE_FAIL(LODE_ERR_NUMERIC,
                         "cost loss %s: the expected cost is %g, and one above 0 is needed: use "
                         "the form add_linear",
                         loss_names[p->kind], c);
    if (loss_is_log(p->kind) && !(c > 1))
        return LODE_FAIL(LODE_ERR_NUMERIC,
                         "cost loss %s: the expected cost is %g, and its logarithm is only of use "
                         "above 1: use a table in a smaller unit (us instead of ms) or the form "
                         "additive",
                         loss_names[p->kind], c);
    return LODE_OK;
}

static lode_status loss_at(const lode_cost_loss_params *p, double l, double c, loss_point *out) {
    const double a = p->a, b = p->b, target = p->target;
    LODE_TRY(lode_cost_loss_check_cost(p, c));
    switch ((lode_cost_loss_kind)p->kind) {
    case LODE_COST_LOSS_ADDITIVE:
        *out = (loss_point){l + a * c, 1, a};
        break;
    case LODE_COST_LOSS_ADD_LINEAR:
        *out = (loss_point){l + a * (c / target - 1), 1, a / target};
        break;
    case LODE_COST_LOSS_HINGE:
        *out = (loss_point){l + a * fmax(0, c / target - 1), 1, c > target ? a / target : 0};
        break;
    case LODE_COST_LOSS_FBNET: {
        double g = a * pow(log(c), b);
        *out = (loss_point){l * g, g, l * a * b * pow(log(c), b - 1) / c};
        break;
    }
    case LODE_COST_LOSS_FBNET_LOG: {
        double g = a * b * log(c);
        *out = (loss_point){l * g, g, l * a * b / c};
        break;
    }
    case LODE_COST_LOSS_MUL_LOG: {
        double r = log(c) / log(target), g = a * pow(r, b);
        *out = (loss_point){l * g, g, l * a * b * pow(r, b - 1) / (c * log(target))};
        break;
    }
    case LODE_COST_LOSS_POWER: {
        double r = c / target, g = a * pow(r, b);
        *out = (loss_point){l * g, g, l * a * b * pow(r, b - 1) / target};
        break;
    }
    case LODE_COST_LOSS_ADD_LOG:
        *out = (loss_point){l + a * log(c), 1, a / c};
        break;
    case LODE_N_COST_LOSSES:
        break;
    }
    return LODE_OK;
}

static lode_status loss_forward(const lode_op_call *c) {
    loss_point at = {0};
    LODE_TRY(loss_at(c->params, lode_at(c->x[0], 0), lode_at(c->x[1], 0), &at));
    lode_put(c->y, 0, at.value);
    return LODE_OK;
}

static lode_status loss_backward(const lode_op_call *c, const lode_tensor *dy,
                                 lode_tensor *const *dx) {
    loss_point at = {0};
    LODE_TRY(loss_at(c->params, lode_at(c->x[0], 0), lode_at(c->x[1], 0), &at));
    if (dx[0] != NULL) lode_put(dx[0], 0, lode_at(dy, 0) * at.d_loss);
    if (dx[1] != NULL) lode_put(dx[1], 0, lode_at(dy, 0) * at.d_cost);
    return LODE_OK;
}

static void loss_count(const lode_op_call *c, lode_op_count *out) {
    size_t size = lode_dtype_size(c->y->dtype);
    *out =
        (lode_op_count){.flops = 4, .bytes_read = 2 * (double)size, .bytes_written = (double)size};
}

/* Every form once, then all again with other values; costs away from the kink of the hinge. */
static lode_status loss_example(lode_op_example *e, lode_rng *rng, int k) {
    e->n_x = 2;
    for (int i = 0; i < 2; i++) {
        LODE_TRY(lode_tensor_create(NULL, e->dtype, &LODE_SCALAR, LODE_CONTIGUOUS, &e->x[i]));
        e->differentiable[i] = true;
    }
    double target = 10, c = lode_rng_uniform(rng) * 6 + (k / LODE_N_COST_LOSSES % 2 ? 2 : 12);
    lode_put(e->x[0], 0, 0.5 + 2 * lode_rng_uniform(rng));
    lode_put(e->x[1], 0, c);
    lode_cost_loss_params p;
    memset(&p, 0, sizeof p);
    p.a = 0.2, p.b = 0.6, p.target = target, p.kind = k % LODE_N_COST_LOSSES;
    memcpy(e->params.bytes, &p, sizeof p);
    return LODE_OK;
}

static void loss_print(const void *params, char out[96]) {
    const lode_cost_loss_params *p = params;
    snprintf(out, 96, "%s a%g b%g T%g", loss_names[p->kind], p->a, p->b, p->target);
}

const lode_op lode_op_cost_loss = {
    .name = "cost_loss",
    .n_inputs = 2,
    .n_required = 2,
    .params_size = sizeof(lode_cost_loss_params),
    .keeps = LODE_KEEP_X(0) | LODE_KEEP_X(1),
    .infer = loss_infer,
    .reference = {.forward = loss_forward, .backward = loss_backward},
    .count = loss_count,
    .example = loss_example,
    .print_params = loss_print,
};

lode_var *lode_cost_loss(lode_tape *t, lode_var *loss, lode_var *cost,
                         const lode_cost_loss_params *p) {
    return lode_apply(t, &lode_op_cost_loss, (lode_var *[]){loss, cost}, 2, p);
}
