/* op.c: the runner that knows nothing but the reference kernels. */
#include "autograd/op.h"

static lode_status reference_forward(void *self, lode_op_call *c) {
    (void)self;
    c->provider = NULL;
    return c->dry ? LODE_OK : c->op->reference.forward(c);
}

static lode_status reference_backward(void *self, lode_op_call *c, const lode_tensor *dy,
                                      lode_tensor *const *dx) {
    (void)self;
    if (c->op->reference.backward == NULL)
        return LODE_FAIL(LODE_ERR_UNSUPPORTED, "%s: has no backward", c->op->name);
    return c->dry ? LODE_OK : c->op->reference.backward(c, dy, dx);
}

const lode_runner *lode_reference_runner(void) {
    static const lode_runner runner = {.forward = reference_forward,
                                       .backward = reference_backward};
    return &runner;
}
