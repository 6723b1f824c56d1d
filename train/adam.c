/* adam.c: Adam and AdamW: one step, two ways to decay.

   The bias correction counts the steps of the parameter at hand, not of the run, so that a
   candidate that was seldom on the path is corrected for the steps it had. */
#include "ops/optimizer_step.h"
#include "train/optimizer.h"

static int adam_moments(const lode_optimizer_options *o, const char *names[LODE_MAX_MOMENTS]) {
    (void)o;
    names[0] = "m";
    names[1] = "v";
    return 2;
}

static lode_status adam_run(const lode_optimizer_options *o, const lode_update *u, bool decoupled) {
    const lode_adam_params p = {.lr = u->lr,
                                .beta1 = o->beta1,
                                .beta2 = o->beta2,
                                .eps = o->eps,
                                .weight_decay = u->decay,
                                .grad_scale = u->grad_scale,
                                .step = u->count,
                                .decoupled = decoupled};
    return lode_adam_step(u->value, u->grad, u->moment[0], u->moment[1], &p);
}

static lode_status adam_step(const lode_optimizer_options *o, const lode_update *u) {
    return adam_run(o, u, o->decoupled);
}
static lode_status adamw_step(const lode_optimizer_options *o, const lode_update *u) {
    return adam_run(o, u, true);
}

const lode_optimizer_plugin lode_optimizer_adam = {
    .name = "adam",
    .about = "Adam (Kingma & Ba 2015); weight decay is added to the gradient.",
    .moments = adam_moments,
    .step = adam_step,
};
const lode_optimizer_plugin lode_optimizer_adamw = {
    .name = "adamw",
    .about = "Adam with decoupled weight decay (Loshchilov & Hutter 2019).",
    .moments = adam_moments,
    .step = adamw_step,
};
