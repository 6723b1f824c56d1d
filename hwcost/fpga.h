/* fpga.h: cycles of a tiled convolution on an FPGA (Zhang et al. 2015; FNAS, Jiang et al. 2019;
   methods D3).

   A layer of M output and N input channels, R x C outputs, kernel K and stride S is computed in
   tiles of Tm x Tn channels and Tr x Tc outputs by Tm Tn multiply-accumulate units, buffers
   doubled:

     compute K K Tr Tc;  inputs Tn ((Tr-1) S + K) ((Tc-1) S + K) / B_I;  weights Tm Tn K K / B_W;
     outputs Tm Tr Tc / B_O  (B: words per cycle)
     L1 = max(compute, inputs, weights);  L2 = max(ceil(N/Tn) L1, outputs)
     L  = ceil(R/Tr) ceil(C/Tc) ceil(M/Tm) L2 + outputs + L1 */
#ifndef LODE_HWCOST_FPGA_H
#define LODE_HWCOST_FPGA_H
#include "core/status.h"

#include <stdint.h>

typedef struct lode_fpga_layer {
    int64_t m, n, r, c, kernel, stride;
} lode_fpga_layer;
typedef struct lode_fpga_tile {
    int64_t m, n, r, c;
} lode_fpga_tile;
typedef struct lode_fpga_ports {
    double input, weight, output; /* words per cycle */
} lode_fpga_ports;

typedef struct lode_fpga_times {
    double compute, inputs, weights, outputs, l1, l2; /* cycles, as above */
} lode_fpga_times;
LODE_API void lode_fpga_times_of(const lode_fpga_layer *l, const lode_fpga_tile *t,
                                 const lode_fpga_ports *b, lode_fpga_times *out);
LODE_API double lode_fpga_cycles(const lode_fpga_layer *l, const lode_fpga_tile *t,
                                 const lode_fpga_ports *b);
/* Which argument of the maxima wins: only more of that makes the layer faster (HotNAS, Jiang et al.
   2020: the bottleneck of a layer; methods C11). */
typedef enum lode_fpga_bound {
    LODE_FPGA_COMPUTE,
    LODE_FPGA_INPUTS,
    LODE_FPGA_WEIGHTS,
    LODE_FPGA_OUTPUTS
} lode_fpga_bound;
LODE_API lode_fpga_bound lode_fpga_bound_of(const lode_fpga_layer *l, const lode_fpga_tile *t,
                                            const lode_fpga_ports *b);
/* BRAM of 18 Kib: double buffers of inputs, outputs and weights, `bits` a word. */
LODE_API double lode_fpga_bram18k(const lode_fpga_layer *l, const lode_fpga_tile *t, double bits);
#endif
