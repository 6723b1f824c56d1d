/* roofline.h: time of a call as the longest of what arithmetic and each level of memory need, plus
   an overhead (Williams, Waterman & Patterson 2009; methods D2):

       t = max(a, m) + (1 - v) min(a, m) + t0,  a = flops / (P u),  m = max_l bytes_l / B_l

   v says how much of the shorter of the two is hidden behind the longer: 1, the roofline proper,
   where arithmetic and memory do not wait for each other, 0 where they take turns.

   P is the peak for the device's dtype, u what share of it a class of work reaches, times the share
   of vector lanes in use, C_out / (ceil(C_out / l) l) of l lanes. bytes_l is what crosses level l:
   all inputs, weights and results once (the first level), or, of a level whose next inner one holds
   them all, nothing; otherwise the traffic of the better of two blockings, with half of the inner
   level for the operand that stays:

       O + min( I ceil(W / (S/2)) + W,  W ceil(I / (S/2)) + I )

   Depthwise convolutions and calls without weights are streams: I + W + O. */
#ifndef LODE_HWCOST_ROOFLINE_H
#define LODE_HWCOST_ROOFLINE_H
#include "hwcost/hardware.h"
#include "hwcost/work.h"

#define LODE_ROOFLINE_LEVELS 6

typedef struct lode_roofline_level {
    char name[16];
    double kib;         /* capacity; 0: of the outermost, without end */
    double gbps;        /* 1e9 bytes per second between this level and the units inside it */
    double pj_per_byte; /* energy of that traffic */
} lode_roofline_level;

typedef struct lode_roofline {
    lode_hardware_dtype dtype;
    double peak_gflops;                      /* for the dtype */
    double vector;                           /* channels a vector holds; 1: any number is as good */
    double efficiency[LODE_N_WORK_CLASSES];  /* share of the peak */
    double overlap[LODE_N_WORK_CLASSES];     /* 1: all hidden, a file's default */
    double overhead_us[LODE_N_WORK_CLASSES]; /* per call */
    double network_us;                       /* once per network */
    int n_levels;
    lode_roofline_level level[LODE_ROOFLINE_LEVELS]; /* innermost first */
    bool has_energy;
    double mac_pj, static_w; /* energy of a multiply-accumulate; power at rest */
} lode_roofline;

LODE_API double lode_roofline_us(const lode_roofline *r, const lode_work *w); /* of a call */
/* pJ of a call: E = mac_pj MACs + sum_l pj_per_byte_l bytes_l + static_w t. */
LODE_API double lode_roofline_pj(const lode_roofline *r, const lode_work *w);
/* bytes[n_levels] that cross each level. */
LODE_API void lode_roofline_bytes(const lode_roofline *r, const lode_work *w, double *bytes);
/* The device file's keys of this kind, without name, about and sources. lode_free. */
LODE_API char *lode_roofline_text(const lode_roofline *r);
#endif
