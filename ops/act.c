/* act.c: the activations that stand within operators of several steps, in doubles. */
#include "ops/op_util.h"

#include <math.h>

double lode_sigmoid_value(double u) { return 1 / (1 + exp(-u)); } /* exp may be infinite */

double lode_act_value(lode_act act, double u) {
    switch (act) {
    case LODE_ACT_NONE:
        break;
    case LODE_ACT_RELU:
        return u < 0 ? 0 : u;
    case LODE_ACT_RELU6:
        return u < 0 ? 0 : u > 6 ? 6 : u;
    case LODE_ACT_HSWISH:
        return u * fmin(fmax(u + 3, 0), 6) / 6;
    case LODE_ACT_SWISH:
        return u * lode_sigmoid_value(u);
    }
    return u;
}

double lode_act_slope(lode_act act, double u) {
    double s = act == LODE_ACT_SWISH ? lode_sigmoid_value(u) : 0;
    switch (act) {
    case LODE_ACT_NONE:
        break;
    case LODE_ACT_RELU:
        return u > 0;
    case LODE_ACT_RELU6:
        return u > 0 && u < 6;
    case LODE_ACT_HSWISH:
        return u <= -3 ? 0 : u >= 3 ? 1 : (2 * u + 3) / 6;
    case LODE_ACT_SWISH:
        return s * (1 + u * (1 - s));
    }
    return 1;
}

double lode_act_kink_distance(lode_act act, double u) {
    switch (act) {
    case LODE_ACT_RELU:
        return fabs(u);
    case LODE_ACT_RELU6:
        return fmin(fabs(u), fabs(u - 6));
    case LODE_ACT_HSWISH:
        return fmin(fabs(u - 3), fabs(u + 3));
    case LODE_ACT_NONE:
    case LODE_ACT_SWISH:
        break;
    }
    return INFINITY;
}

const char *lode_act_name(int32_t act) {
    static const char *const name[] = {"none", "relu", "relu6", "hswish", "swish"};
    return act >= LODE_ACT_NONE && act <= LODE_ACT_SWISH ? name[act] : "?";
}
