/* plan.c: a tape that goes through a step without computing it.

   The tensors a plan starts from lie on a counting device: they have addresses and no memory. What
   is made of them is made there too, so scopes, nodes, regions and the walk back allocate and
   release as they do in earnest, and the device's statistics are the plan. Only the kernels do not
   run; the runner is asked who would, and what workspace that one wants. Calls that depend on no
   such tensor (a strategy's few numbers) run as ever, because what follows may hang on them. */
#include "autograd/tape_internal.h"

#include <assert.h>

void lode_tape_plan_on(lode_tape *t, lode_device *device) {
    assert(device == NULL || t->mode != LODE_TRACE);
    lode_tape_reset(t);
    if (device != t->plan_device) tape_plan_end(t);
    t->plan_device = device;
    t->plan = (lode_tape_plan){0};
    t->plan_gradients = 0;
}

lode_tape_plan lode_tape_get_plan(const lode_tape *t) { return t->plan; }

bool tape_is_planned(const lode_tape *t, const lode_tensor *x) {
    return t->plan_device != NULL && x != NULL && x->device == t->plan_device;
}

/* Like the runner's own: one buffer that grows to the largest wish, and begins with the largest
   that a plan has met. */
static lode_status plan_workspace(lode_tape *t, size_t bytes) {
    if (bytes <= t->plan_workspace_bytes) return LODE_OK;
    if (bytes > t->plan_workspace_wish) t->plan_workspace_wish = bytes;
    lode_device_release(t->plan_device, t->plan_workspace, t->plan_workspace_bytes);
    t->plan_workspace_bytes = 0;
    t->plan_workspace = lode_device_allocate(t->plan_device, t->plan_workspace_wish);
    if (t->plan_workspace == NULL) return LODE_ERR_NO_MEMORY;
    t->plan_workspace_bytes = t->plan_workspace_wish;
    return LODE_OK;
}

lode_status tape_plan_call(lode_tape *t, const lode_op_call *c) {
    LODE_TRY(plan_workspace(t, c->workspace_bytes));
    int64_t peak = lode_device_get_stats(t->plan_device).peak_bytes;
    if (peak <= t->plan.bytes) return LODE_OK;
    int64_t workspace =
        t->plan_workspace != NULL ? lode_device_rounded_bytes(t->plan_workspace_bytes) : 0;
    t->plan = (lode_tape_plan){peak, t->plan_gradients, workspace};
    return LODE_OK;
}

void tape_plan_gradient(lode_tape *t, const lode_tensor *grad) {
    t->plan_gradients += lode_device_rounded_bytes(lode_tensor_bytes(grad));
}

void tape_plan_end(lode_tape *t) {
    if (t->plan_workspace != NULL)
        lode_device_release(t->plan_device, t->plan_workspace, t->plan_workspace_bytes);
    t->plan_workspace = NULL;
    t->plan_workspace_bytes = 0;
}
