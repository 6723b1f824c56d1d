/* systolic.h: cycles of a weight-stationary systolic array (NASCaps, Marchisio et al. 2020: its
   model of CapsAcc; methods D4).

   rows x columns elements of `width` inputs and `stages` pipeline stages. Weights are loaded as
   often as they fill the array; data stream through once:

     weights = (C_in k k + 1) C_out c_out c_in            c: capsules, 1 in layers without
     sums    = (k k + 1) C_in c_in                        that an output adds up
     data    = H_out W_out C_in c_in                      1 in layers without a map
     cycles  = (rows + stages - 1) ceil(weights / (columns min(rows width, sums))) + data

   The formula is theirs: `data` is added once, however often weights are loaded, so that the array
   may take fewer cycles than its elements need for the multiply-accumulates. */
#ifndef LODE_HWCOST_SYSTOLIC_H
#define LODE_HWCOST_SYSTOLIC_H
#include "core/status.h"

typedef struct lode_systolic_array {
    double rows, columns, width, stages;
} lode_systolic_array;

typedef struct lode_systolic_layer {
    double in_c, out_c, taps; /* taps: k k */
    double pixels;            /* H_out W_out; 0: no map, data is 1 */
    double in_capsules, out_capsules;
} lode_systolic_layer;

LODE_API double lode_systolic_weights(const lode_systolic_layer *l);
LODE_API double lode_systolic_cycles(const lode_systolic_array *a, const lode_systolic_layer *l);
/* Accumulators at the feet of the columns that a layer keeps: one a column, or as many as sums of
   an output that the rows do not add up at once, less one. */
LODE_API double lode_systolic_accumulators(const lode_systolic_array *a,
                                           const lode_systolic_layer *l);
#endif
