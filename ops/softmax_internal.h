/* softmax_internal.h: the softmax of one row, for softmax.c and losses.c, and what kernels share
 * with them. */
#ifndef LODE_OPS_SOFTMAX_INTERNAL_H
#define LODE_OPS_SOFTMAX_INTERNAL_H
#include "core/status.h"

#include <stdint.h>

/* ln sum_k exp(x_k), shifted by the largest so that nothing overflows. */
double lode_softmax_log_sum_exp(const double *x, int64_t K);
/* p_k = exp(x_k/T - ln sum exp(x/T)); returns that logarithm. p may be x. */
double lode_softmax_row(const double *x, int64_t K, double temperature, double *p);
/* The error of a label that is no class, with its message. */
lode_status lode_cross_entropy_wrong_label(double label, int64_t row, int64_t K);
#endif
