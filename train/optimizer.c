/* optimizer.c: walks the parameters that have a gradient and hands each to the plug-in.

   Moments come to life at a parameter's first step: a supernet trained along single paths, stopped
   early, holds none for what it never reached. */
#include "train/optimizer.h"

#include "core/memory.h"
#include "ops/optimizer_step.h"

#include <assert.h>
#include <math.h>
#include <string.h>

/* ---- the table ---- */
static const lode_optimizer_plugin *const optimizer_table[] = {
#define OPTIMIZER(name) &lode_optimizer_##name,
#include "train/optimizers.def"
#undef OPTIMIZER
};
enum { OPTIMIZER_N = sizeof optimizer_table / sizeof optimizer_table[0] };

const lode_optimizer_plugin *const *lode_optimizer_plugins(int *n) {
    *n = OPTIMIZER_N;
    return optimizer_table;
}

lode_status lode_optimizer_find(const char *name, const lode_optimizer_plugin **out) {
    const char *names[OPTIMIZER_N];
    for (int i = 0; i < OPTIMIZER_N; i++) {
        names[i] = optimizer_table[i]->name;
        if (strcmp(name, names[i]) == 0) {
            *out = optimizer_table[i];
            return LODE_OK;
        }
    }
    const char *near = lode_nearest_word(name, names, OPTIMIZER_N);
    return LODE_FAIL(LODE_ERR_NOT_FOUND, "there is no optimizer `%s`; the nearest is `%s`", name,
                     near != NULL ? near : names[OPTIMIZER_N - 1]);
}

lode_optimizer_options lode_optimizer_defaults(void) {
    return (lode_optimizer_options){.name = "sgd",
                                    .decay_all = true,
                                    .momentum = 0.9,
                                    .nesterov = true,
                                    .beta1 = 0.9,
                                    .beta2 = 0.999,
                                    .rho = 0.99,
                                    .eps = 1e-8};
}

/* ---- the object ---- */
typedef struct optimizer_slot {
    lode_parameter *parameter;
    lode_tensor *moment[LODE_MAX_MOMENTS]; /* NULL until the first step */
    int64_t count;
} optimizer_slot;

struct lode_optimizer {
    lode_optimizer_options options;
    const lode_optimizer_plugin *plugin;
    int n_moments;
    const char *moment_name[LODE_MAX_MOMENTS];
    int n;
    optimizer_slot *slot; /* [n] */
};

static lode_status optimizer_check(const lode_optimizer_options *o) {
    if (!(o->weight_decay >= 0) || !(o->clip >= 0))
        return LODE_FAIL(LODE_ERR_CONFIG,
                         "optimizer: weight_decay and clip may not be negative, seen %g and %g",
                         o->weight_decay, o->clip);
    if (!(o->momentum >= 0 && o->momentum < 1))
        return LODE_FAIL(LODE_ERR_CONFIG, "optimizer: momentum must be in [0, 1), seen %g",
                         o->momentum);
    if (!(o->beta1 >= 0 && o->beta1 < 1) || !(o->beta2 >= 0 && o->beta2 < 1))
        return LODE_FAIL(LODE_ERR_CONFIG, "optimizer: betas must be in [0, 1), seen %g and %g",
                         o->beta1, o->beta2);
    if (!(o->rho >= 0 && o->rho < 1) || !(o->eps > 0))
        return LODE_FAIL(LODE_ERR_CONFIG,
                         "optimizer: rho must be in [0, 1) and eps above 0, seen %g and %g", o->rho,
                         o->eps);
    return LODE_OK;
}

static lode_status optimizer_add(lode_optimizer *o, lode_parameter *p) {
    if (p->kind == LODE_PARAM_RUNNING) return LODE_OK;
    if (p->value->dtype != LODE_F32 && p->value->dtype != LODE_F64)
        return LODE_FAIL(LODE_ERR_DTYPE,
                         "optimizer: parameter %s is %s; f32 and f64 can be trained", p->name,
                         lode_dtype_name(p->value->dtype));
    assert(lode_tensor_is_dense(p->value));
    o->slot[o->n++].parameter = p;
    return LODE_OK;
}

lode_status lode_optimizer_create(const lode_optimizer_options *options,
                                  lode_parameter *const *parameter, int n, lode_optimizer **out) {
    lode_status status = LODE_OK;
    lode_optimizer *o = NULL;
    *out = NULL;
    LODE_TRY(optimizer_check(options));
    o = LODE_NEW(lode_optimizer);
    if (o == NULL) return LODE_ERR_NO_MEMORY;
    o->options = *options;
    LODE_GOTO(lode_optimizer_find(options->name, &o->plugin));
    o->options.name = o->plugin->name;
    o->n_moments = o->plugin->moments(options, o->moment_name);
    status = LODE_ERR_NO_MEMORY;
    o->slot = LODE_NEW_ARRAY(optimizer_slot, n);
    if (o->slot == NULL) goto done;
    for (int i = 0; i < n; i++) LODE_GOTO(optimizer_add(o, parameter[i]));
    *out = o;
    return LODE_OK;
done:
    lode_optimizer_destroy(o);
    return status;
}

void lode_optimizer_destroy(lode_optimizer *o) {
    if (o == NULL) return;
    for (int i = 0; i < o->n; i++)
        for (int m = 0; m < o->n_moments; m++) lode_tensor_release(o->slot[i].moment[m]);
    lode_free(o->slot);
    lode_free(o);
}

void lode_optimizer_clear_grads(lode_optimizer *o) {
    for (int i = 0; i < o->n; i++) lode_parameter_clear_grad(o->slot[i].parameter);
}

int lode_optimizer_n_moments(const lode_optimizer *o) { return o->n_moments; }

int64_t lode_optimizer_state_bytes(const lode_optimizer *o) {
    int64_t bytes = 0;
    for (int i = 0; i < o->n; i++)
        for (int m = 0; m < o->n_moments; m++)
            if (o->slot[i].moment[m] != NULL)
                bytes += lode_device_rounded_bytes(lode_tensor_bytes(o->slot[i].moment[m]));
    return bytes;
}

/* ---- one step ---- */
static lode_status optimizer_norm(lode_optimizer *o, double *norm) {
    double total = 0;
    for (int i = 0; i < o->n; i++) {
        const lode_parameter *p = o->slot[i].parameter;
        if (p->grad == NULL) continue;
        const double sum = lode_sum_squares(p->grad);
        if (!isfinite(sum) && !lode_tensor_all_finite(p->grad))
            return LODE_FAIL(LODE_ERR_NUMERIC, "the gradient of %s is not finite", p->name);
        total += sum;
    }
    *norm = sqrt(total);
    return LODE_OK;
}

/* Kernels give gradients in the memory order they like; the loops want the parameter's. */
static lode_status optimizer_align_grad(lode_parameter *p) {
    bool same = p->grad->dtype == p->value->dtype;
    for (int d = 0; same && d < p->value->shape.n_dims; d++)
        same = p->value->shape.dim[d] <= 1 || p->grad->stride[d] == p->value->stride[d];
    if (same) return LODE_OK;
    lode_tensor *copy = NULL;
    LODE_TRY(lode_tensor_like(p->value, &copy));
    lode_status status = lode_tensor_copy(copy, p->grad);
    if (status != LODE_OK) {
        lode_tensor_release(copy);
        return status;
    }
    lode_tensor_release(p->grad);
    p->grad = copy;
    return LODE_OK;
}

static lode_status optimizer_moments_ready(lode_optimizer *o, optimizer_slot *s) {
    for (int m = 0; m < o->n_moments; m++) {
        if (s->moment[m] != NULL) continue;
        LODE_TRY(lode_tensor_like(s->parameter->value, &s->moment[m]));
        LODE_TRY(lode_tensor_fill(s->moment[m], 0));
    }
    return LODE_OK;
}

static double optimizer_decay(const lode_optimizer_options *o, const lode_parameter *p) {
    bool decays = o->decay_all || p->kind == LODE_PARAM_WEIGHT || p->kind == LODE_PARAM_LOGITS;
    return decays ? o->weight_decay : 0;
}

lode_status lode_optimizer_step(lode_optimizer *o, double lr, double *grad_norm) {
    double scale = 1, norm = 0;
    for (int i = 0; i < o->n; i++)
        if (o->slot[i].parameter->grad != NULL)
            LODE_TRY(optimizer_align_grad(o->slot[i].parameter));
    if (o->options.clip > 0 || grad_norm != NULL) LODE_TRY(optimizer_norm(o, &norm));
    if (grad_norm != NULL) *grad_norm = norm;
    if (o->options.clip > 0) scale = fmin(1, o->options.clip / (norm + 1e-6));
    for (int i = 0; i < o->n; i++) {
        optimizer_slot *s = &o->slot[i];
        if (s->parameter->grad == NULL) continue;
        LODE_TRY(optimizer_moments_ready(o, s));
        lode_update u = {.value = s->parameter->value,
                         .grad = s->parameter->grad,
                         .count = ++s->count,
                         .lr = lr,
                         .decay = optimizer_decay(&o->options, s->parameter),
                         .grad_scale = scale};
        memcpy(u.moment, s->moment, sizeof u.moment);
        LODE_TRY(o->plugin->step(&o->options, &u));
    }
    return LODE_OK;
}

lode_status lode_optimizer_unroll(lode_optimizer *o, double lr) {
    if (o->plugin != &lode_optimizer_sgd || o->options.decoupled)
        return LODE_FAIL(LODE_ERR_CONFIG,
                         "a step of %s%s cannot be unrolled: use optimizer sgd, decoupled false",
                         o->plugin->name, o->options.decoupled ? " with decoupled decay" : "");
    for (int i = 0; i < o->n; i++) {
        lode_parameter *p = o->slot[i].parameter;
        const lode_tensor *moment = o->n_moments > 0 ? o->slot[i].moment[0] : NULL;
        if (p->grad == NULL) continue;
        LODE_TRY(optimizer_align_grad(p));
        const lode_sgd_params now = {.lr = lr, .weight_decay = optimizer_decay(&o->options, p)};
        const lode_sgd_params before = {.lr = lr * o->options.momentum};
        LODE_TRY(lode_sgd_step(p->value, p->grad, NULL, &now));
        if (moment != NULL) LODE_TRY(lode_sgd_step(p->value, moment, NULL, &before));
    }
    return LODE_OK;
}

/* ---- on disk ---- */
lode_status lode_optimizer_save(const lode_optimizer *o, lode_state *s, const char *prefix) {
    double *count = LODE_NEW_ARRAY(double, o->n);
    char *name = lode_format("%s.count", prefix);
    lode_status status = LODE_ERR_NO_MEMORY;
    if (count == NULL || name == NULL) goto done;
    for (int i = 0; i < o->n; i++) {
        count[i] = (double)o->slot[i].count;
        for (int m = 0; m < o->n_moments; m++)
            if (o->slot[i].moment[m] != NULL)
                LODE_GOTO(lode_state_add(s, o->slot[i].moment[m], "%s.%s/%s", prefix,
                                         o->moment_name[m], o->slot[i].parameter->name));
    }
    status = lode_state_add_numbers(s, name, count, o->n);
done:
    lode_free(count);
    lode_free(name);
    return status;
}

static lode_status optimizer_load_slot(lode_optimizer *o, optimizer_slot *s, lode_checkpoint *c,
                                       const char *prefix) {
    for (int m = 0; m < o->n_moments; m++) {
        lode_tensor_release(s->moment[m]);
        s->moment[m] = NULL;
    }
    if (s->count == 0) return LODE_OK;
    LODE_TRY(optimizer_moments_ready(o, s));
    for (int m = 0; m < o->n_moments; m++) {
        char *name = lode_format("%s.%s/%s", prefix, o->moment_name[m], s->parameter->name);
        if (name == NULL) return LODE_ERR_NO_MEMORY;
        lode_status status = lode_checkpoint_load(c, name, s->moment[m]);
        lode_free(name);
        LODE_TRY(status);
    }
    return LODE_OK;
}

lode_status lode_optimizer_load(lode_optimizer *o, lode_checkpoint *c, const char *prefix) {
    double *count = LODE_NEW_ARRAY(double, o->n);
    char *name = lode_format("%s.count", prefix);
    lode_status status = LODE_ERR_NO_MEMORY;
    if (count == NULL || name == NULL) goto done;
    LODE_GOTO(lode_checkpoint_load_numbers(c, name, count, o->n));
    for (int i = 0; i < o->n; i++) {
        o->slot[i].count = (int64_t)count[i];
        LODE_GOTO(optimizer_load_slot(o, &o->slot[i], c, prefix));
    }
done:
    lode_free(count);
    lode_free(name);
    return status;
}
