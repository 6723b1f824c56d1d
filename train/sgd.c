/* sgd.c: stochastic gradient descent with momentum. The sweep is ops/optimizer_step.h's. */
#include "ops/optimizer_step.h"
#include "train/optimizer.h"

static int sgd_moments(const lode_optimizer_options *o, const char *names[LODE_MAX_MOMENTS]) {
    names[0] = "momentum";
    return o->momentum > 0 ? 1 : 0;
}

static lode_status sgd_step(const lode_optimizer_options *o, const lode_update *u) {
    const lode_sgd_params p = {.lr = u->lr,
                               .momentum = o->momentum,
                               .weight_decay = u->decay,
                               .grad_scale = u->grad_scale,
                               .nesterov = o->nesterov && o->momentum > 0,
                               .decoupled = o->decoupled,
                               .first = u->count == 1};
    return lode_sgd_step(u->value, u->grad, u->moment[0], &p);
}

const lode_optimizer_plugin lode_optimizer_sgd = {
    .name = "sgd",
    .about = "Stochastic gradient descent with (Nesterov) momentum (Sutskever et al. 2013).",
    .moments = sgd_moments,
    .step = sgd_step,
};
