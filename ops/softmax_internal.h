/* softmax_internal.h: the softmax of one row, for softmax.c and losses.c. */
#ifndef LODE_OPS_SOFTMAX_INTERNAL_H
#define LODE_OPS_SOFTMAX_INTERNAL_H
#include <stdint.h>

/* ln sum_k exp(x_k), shifted by the largest so that nothing overflows. */
double lode_softmax_log_sum_exp(const double *x, int64_t K);
/* p_k = exp(x_k/T - ln sum exp(x/T)); returns that logarithm. p may be x. */
double lode_softmax_row(const double *x, int64_t K, double temperature, double *p);
#endif
