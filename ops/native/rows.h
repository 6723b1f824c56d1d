/* rows.h: sums over the rows of a dense [M,N] matrix, as bias gradients and statistics need them.
   Same bits at any thread count: fixed pieces of rows, partials in double, added in order. */
#ifndef LODE_OPS_NATIVE_ROWS_H
#define LODE_OPS_NATIVE_ROWS_H
#include <stddef.h>
#include <stdint.h>

/* out[n] = sum_m x[m,n]. scratch: lode_column_sums_scratch(m, n) bytes, 64-byte aligned. */
size_t lode_column_sums_scratch(int64_t m, int64_t n);
void lode_column_sums(int64_t m, int64_t n, const float *x, float *out, void *scratch);
/* x[m,:] = bias, ready for a product to be added. */
void lode_fill_rows(int64_t m, int64_t n, const float *bias, float *x);
#endif
