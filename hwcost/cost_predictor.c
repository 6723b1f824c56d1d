/* cost_predictor.c: a learned predictor as a cost model (predictor.h). */
#include "hwcost/cost.h"
#include "hwcost/predictor.h"

#include <string.h>

static lode_status cost_predictor_open(const char *argument, void **self) {
    lode_predictor *p = NULL;
    *self = NULL;
    if (!argument)
        return LODE_FAIL(LODE_ERR_CONFIG, "cost predictor: want predictor=FILE, made by `lode cost "
                                          "fit`");
    LODE_TRY(lode_predictor_read(argument, &p));
    if (lode_predictor_n_given(p) > 0) {
        const lode_predictor_info info = lode_predictor_get_info(p);
        lode_predictor_destroy(p);
        return LODE_FAIL(LODE_ERR_UNSUPPORTED,
                         "%s: it also reads %s, which has to be measured for each architecture, so "
                         "it is no cost; fit one without --features",
                         argument, info.given);
    }
    *self = p;
    return LODE_OK;
}

static void cost_predictor_close(void *self) { lode_predictor_destroy(self); }

static const char *cost_predictor_unit(const void *self) {
    return lode_predictor_unit((const lode_predictor *)self);
}

static lode_status cost_predictor_bind(void *self, const lode_space *space) {
    return lode_predictor_check_space(self, space);
}

static lode_status cost_predictor_arch(void *self, const lode_arch *arch, double *out) {
    return lode_predictor_predict(self, arch, 1, out);
}

static lode_status cost_predictor_relaxed(void *self, const double *const *p, double *out,
                                          double *const *gradient) {
    return lode_predictor_relaxed(self, p, out, gradient);
}

static const char *cost_predictor_no_gradient(const void *self) {
    return lode_predictor_no_gradient(self);
}

static bool cost_predictor_separate(const void *self, double *base,
                                    double (*price)[LODE_MAX_OPTIONS]) {
    return lode_predictor_prices(self, base, price);
}

const lode_cost_model lode_cost_model_predictor = {
    .name = "predictor",
    .about = "learned from measured architectures (lode cost fit)",
    .open = cost_predictor_open,
    .close = cost_predictor_close,
    .unit = cost_predictor_unit,
    .bind = cost_predictor_bind,
    .arch_cost = cost_predictor_arch,
    .relaxed_cost = cost_predictor_relaxed,
    .no_gradient = cost_predictor_no_gradient,
    .separate = cost_predictor_separate,
};
