/* ema.c: the exponential moving average of weights and running statistics.

   The averages stand beside the values; evaluating means exchanging the two (whole contents, so
   that nobody who holds a parameter notices) and exchanging them back. */
#include "core/memory.h"
#include "ops/optimizer_step.h"
#include "train/optimizer.h"

#include <math.h>

struct lode_ema {
    double decay;
    int64_t count; /* updates so far */
    int n;
    lode_parameter **parameter; /* [n] borrowed */
    lode_tensor **average;      /* [n] */
};

lode_status lode_ema_create(double decay, lode_parameter *const *parameter, int n, lode_ema **out) {
    *out = NULL;
    if (!(decay > 0 && decay < 1))
        return LODE_FAIL(LODE_ERR_CONFIG, "ema: the decay must be in (0, 1), seen %g", decay);
    lode_status status = LODE_ERR_NO_MEMORY;
    lode_ema *e = LODE_NEW(lode_ema);
    if (e == NULL) return status;
    e->decay = decay;
    e->parameter = LODE_NEW_ARRAY(lode_parameter *, n);
    e->average = LODE_NEW_ARRAY(lode_tensor *, n);
    if (e->parameter == NULL || e->average == NULL) goto done;
    e->n = n;
    for (int i = 0; i < n; i++) {
        e->parameter[i] = parameter[i];
        LODE_GOTO(lode_tensor_like(parameter[i]->value, &e->average[i]));
        LODE_GOTO(lode_tensor_copy(e->average[i], parameter[i]->value));
    }
    *out = e;
    return LODE_OK;
done:
    lode_ema_destroy(e);
    return status;
}

void lode_ema_destroy(lode_ema *e) {
    if (e == NULL) return;
    for (int i = 0; i < e->n; i++) lode_tensor_release(e->average[i]);
    lode_free(e->parameter);
    lode_free(e->average);
    lode_free(e);
}

int64_t lode_ema_bytes(const lode_ema *e) {
    int64_t bytes = 0;
    for (int i = 0; i < e->n; i++)
        bytes += lode_device_rounded_bytes(lode_tensor_bytes(e->average[i]));
    return bytes;
}

lode_status lode_ema_update(lode_ema *e) {
    const double t = (double)e->count++, d = fmin(e->decay, (1 + t) / (10 + t));
    for (int i = 0; i < e->n; i++)
        LODE_TRY(lode_ema_step(e->average[i], e->parameter[i]->value, d));
    return LODE_OK;
}

lode_status lode_ema_swap(lode_ema *e) {
    for (int i = 0; i < e->n; i++) {
        lode_tensor *value = e->parameter[i]->value, *kept = NULL;
        LODE_TRY(lode_tensor_clone(value, &kept));
        lode_status status = lode_tensor_copy(value, e->average[i]);
        if (status == LODE_OK) status = lode_tensor_copy(e->average[i], kept);
        lode_tensor_release(kept);
        LODE_TRY(status);
    }
    return LODE_OK;
}

lode_status lode_ema_save(const lode_ema *e, lode_state *s, const char *prefix) {
    char *name = lode_format("%s.count", prefix);
    if (name == NULL) return LODE_ERR_NO_MEMORY;
    double count = (double)e->count;
    lode_status status = lode_state_add_numbers(s, name, &count, 1);
    lode_free(name);
    for (int i = 0; i < e->n && status == LODE_OK; i++)
        status = lode_state_add(s, e->average[i], "%s/%s", prefix, e->parameter[i]->name);
    return status;
}

lode_status lode_ema_load(lode_ema *e, lode_checkpoint *c, const char *prefix) {
    double count = 0;
    char *name = lode_format("%s.count", prefix);
    if (name == NULL) return LODE_ERR_NO_MEMORY;
    lode_status status = lode_checkpoint_load_numbers(c, name, &count, 1);
    lode_free(name);
    e->count = (int64_t)count;
    for (int i = 0; i < e->n && status == LODE_OK; i++) {
        name = lode_format("%s/%s", prefix, e->parameter[i]->name);
        if (name == NULL) return LODE_ERR_NO_MEMORY;
        status = lode_checkpoint_load(c, name, e->average[i]);
        lode_free(name);
    }
    return status;
}
