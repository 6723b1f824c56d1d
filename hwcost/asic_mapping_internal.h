/* asic_mapping_internal.h: what a device file of the kind asic_mapping says. */
#ifndef LODE_HWCOST_ASIC_MAPPING_INTERNAL_H
#define LODE_HWCOST_ASIC_MAPPING_INTERNAL_H
#include "hwcost/hardware.h"
#include "hwcost/nest.h"

enum { MAPPED_MAX = 16 };

typedef struct mapped {
    double bytes; /* of a word */
    int n;
    lode_nest mapping[MAPPED_MAX];
    const lode_nest *dense, *depthwise; /* those used */
    lode_nest_array array;
    double clock_mhz, dram_gbps;
    double l1_bytes, l2_bytes; /* INFINITY: no limit */
    double mac_pj, l1, l2, dram, static_w;
    double fixed_mm2, mac_um2, sram_um2, bus_um2, arbiter_um2;
    bool has_area;
} mapped;

lode_status mapped_load(lode_yaml *root, lode_hardware_dtype dtype, void **self);
#endif
