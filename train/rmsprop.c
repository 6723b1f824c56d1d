/* rmsprop.c: RMSprop, not centered, with or without momentum. */
#include "ops/optimizer_step.h"
#include "train/optimizer.h"

static int rmsprop_moments(const lode_optimizer_options *o, const char *names[LODE_MAX_MOMENTS]) {
    names[0] = "v";
    names[1] = "momentum";
    return o->momentum > 0 ? 2 : 1;
}

static lode_status rmsprop_step(const lode_optimizer_options *o, const lode_update *u) {
    const lode_rmsprop_params p = {.lr = u->lr,
                                   .alpha = o->rho,
                                   .eps = o->eps,
                                   .momentum = o->momentum,
                                   .weight_decay = u->decay,
                                   .grad_scale = u->grad_scale,
                                   .decoupled = o->decoupled,
                                   .eps_inside = o->eps_inside};
    return lode_rmsprop_step(u->value, u->grad, u->moment[0], NULL, u->moment[1], &p);
}

const lode_optimizer_plugin lode_optimizer_rmsprop = {
    .name = "rmsprop",
    .about = "RMSprop (Tieleman & Hinton 2012).",
    .moments = rmsprop_moments,
    .step = rmsprop_step,
};
