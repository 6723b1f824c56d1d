/* asic_internal.h: one array of elements with its memories, as the device files of one (asic.c) and
   of several (asic_group.c) have it. */
#ifndef LODE_HWCOST_ASIC_INTERNAL_H
#define LODE_HWCOST_ASIC_INTERNAL_H
#include "hwcost/asic.h"
#include "hwcost/hardware.h"
#include "hwcost/work.h"

typedef enum asic_dataflow { ASIC_ROW, ASIC_WEIGHT, ASIC_OUTPUT, ASIC_N_DATAFLOWS } asic_dataflow;

typedef struct asic {
    double bytes; /* of a value */
    asic_dataflow dataflow;
    double rows, columns, clock_mhz, buffer_kib;
    double dram_gbps, buffer_gbps;
    double mac_pj, rf, array, buffer, dram; /* energies of an access over a multiply-accumulate's */
    double static_w;
    double element_mm2, buffer_mm2_per_kib, wire_mm2_per_gbps, fixed_mm2;
    bool has_area;
} asic;

/* A positive number that must be there. */
lode_status asic_need(lode_yaml *root, const char *key, double max, double *out);
/* Of a map: dataflow, rows, columns, buffer_kib, dram_gbps, buffer_gbps. */
lode_status asic_read_array(lode_yaml *map, asic *m);
/* Of the file: clock_mhz, energy, area. */
lode_status asic_read_chip(lode_yaml *root, asic *m);
double asic_us(const asic *m, const lode_work *w); /* of a call */
double asic_pj(const asic *m, const lode_work *w);
double asic_area(const asic *m); /* mm2, fixed_mm2 in it */
const char *asic_unit_ms(const void *self);
const char *asic_unit_mj(const void *self);
const char *asic_unit_mm2(const void *self);
lode_form asic_form(const void *self);
#endif
