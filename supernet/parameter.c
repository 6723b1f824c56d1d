/* parameter.c: named tensors of a network. */
#include "supernet/parameter.h"

lode_status lode_parameter_create(const char *name, lode_parameter_kind kind, lode_dtype dtype,
                                  const lode_shape *shape, lode_parameter **out) {
    *out = NULL;
    lode_parameter *p = LODE_NEW(lode_parameter);
    if (p == NULL) return LODE_ERR_NO_MEMORY;
    p->kind = kind;
    p->name = lode_strdup(name);
    lode_status status = p->name != NULL ? LODE_OK : LODE_ERR_NO_MEMORY;
    if (status == LODE_OK)
        status = lode_tensor_zeros(lode_cpu_device(), dtype, shape, LODE_CONTIGUOUS, &p->value);
    if (status == LODE_OK)
        *out = p;
    else
        lode_parameter_destroy(p);
    return status;
}

void lode_parameter_destroy(lode_parameter *p) {
    if (p == NULL) return;
    lode_tensor_release(p->value);
    lode_tensor_release(p->grad);
    lode_free(p->name);
    lode_free(p);
}

void lode_parameter_clear_grad(lode_parameter *p) {
    lode_tensor_release(p->grad);
    p->grad = NULL;
}

lode_var *lode_parameter_var(lode_tape *t, lode_parameter *p) {
    if (p->kind == LODE_PARAM_RUNNING || p->frozen) return lode_tape_constant(t, p->value);
    return lode_tape_leaf(t, p->value, &p->grad);
}
