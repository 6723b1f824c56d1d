/* alpha_own.c: what a plug-in answers when its struct begins with a lode_alpha. */
#include "train/alpha_internal.h"

int lode_alpha_own_n_parameters(const void *self) { return ((const lode_alpha *)self)->n; }

lode_parameter *lode_alpha_own_parameter(const void *self, int i) {
    return ((const lode_alpha *)self)->p[i];
}

void lode_alpha_own_optimizer(const void *self, lode_optimizer_options *options, double *lr) {
    lode_alpha_optimizer(self, options, lr);
}

void lode_alpha_own_probabilities(const void *self, int decision, double *p) {
    lode_alpha_probabilities(self, decision, p);
}

lode_status lode_alpha_own_report(void *self, const lode_step *step, json_t *line) {
    (void)step;
    return lode_alpha_report(self, line);
}

lode_status lode_alpha_own_after_step(void *self, const lode_step *step, double loss) {
    (void)loss;
    return lode_alpha_after_step(self, step);
}

lode_status lode_alpha_own_save(const void *self, lode_state *s) {
    return lode_alpha_save(self, s);
}

lode_status lode_alpha_own_load(void *self, lode_checkpoint *c) { return lode_alpha_load(self, c); }

lode_status lode_alpha_own_mixture(void *self, lode_tape *t, lode_choice *choice) {
    return lode_alpha_mixture(self, t, choice);
}

const lode_watch_options *lode_alpha_own_watch(const void *self) {
    return &((const lode_alpha *)self)->options.watch;
}
