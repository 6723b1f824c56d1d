/* mcu_internal.h: what the files of the microcontroller's model share: the device file (mcu.c), the
   trace as a schedule in memory (mcu_memory.c), and which part of it runs by patches (mcu_patch.c).
 */
#ifndef LODE_HWCOST_MCU_INTERNAL_H
#define LODE_HWCOST_MCU_INTERNAL_H
#include "core/arena.h"
#include "hwcost/hardware.h"
#include "hwcost/patch.h"
#include "hwcost/work.h"

/* The file's `patch`. */
typedef struct mcu_patch {
    bool on;           /* false: networks run call by call */
    int layers, grid;  /* 0: whichever is best */
    bool streamed;     /* of the image there is only what a patch needs */
    double budget_kib; /* 0: least memory; else the fastest that needs no more than this */
} mcu_patch;

typedef struct mcu {
    lode_hardware_dtype dtype;
    double clock_mhz;
    double cycles_per_mac[LODE_N_WORK_CLASSES];
    double cycles_per_element, cycles_per_call, cycles_per_network;
    bool in_place_depthwise, in_place_elementwise, fused_add, reorder;
    double im2col_columns;
    mcu_patch patch;
    double bias_bytes, scale_bytes, code_kib, runtime_kib;
} mcu;

/* How a network runs: the first n calls in grid x grid patches; n 0: none. */
typedef struct mcu_plan {
    int n, grid;
    lode_patch_region *region; /* [n_values] NULL when n is 0 */
    lode_arena arena;          /* without the runtime's own memory */
    double cycles, macs;       /* of all calls, overlaps included */
} mcu_plan;

/* mcu.c: cycles of a call, whose result is computed `of_output` times over, whose first input is
   read `of_input` times, in `times` goes. */
double mcu_cycles(const mcu *m, const lode_trace_call *call, double of_output, double of_input,
                  double times);
/* mcu_memory.c: fills plan->arena. */
lode_status mcu_place(const mcu *m, const lode_tape *trace, mcu_plan *plan);
/* mcu_patch.c */
lode_status mcu_patch_read(lode_yaml *root, mcu_patch *out);
/* The plan that the file asks for; mcu_plan_deinit either way. */
lode_status mcu_choose(const mcu *m, const lode_tape *trace, mcu_plan *out);
void mcu_plan_deinit(mcu_plan *plan);
#endif
