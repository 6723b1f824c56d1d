/* fpga_internal.h: what device files of FPGAs say, one engine or a pipeline of them. */
#ifndef LODE_HWCOST_FPGA_INTERNAL_H
#define LODE_HWCOST_FPGA_INTERNAL_H
#include "hwcost/fpga.h"
#include "hwcost/hardware.h"

enum { FPGA_MAX_CHOICES = 16 };

typedef struct fpga {
    lode_hardware_dtype dtype;
    double clock_mhz, dsp, bram18k;
    int64_t tm, tn, tr[FPGA_MAX_CHOICES], tc[FPGA_MAX_CHOICES];
    int n_tr, n_tc;
    lode_fpga_ports ports;
} fpga;

lode_status fpga_load(lode_yaml *root, lode_hardware_dtype dtype, void **self);
/* DSPs of one multiply-accumulate unit: 16-bit and shorter take one, f32 five. */
double fpga_dsp_per_unit(lode_hardware_dtype dtype);
const char *fpga_unit_ms(const void *self);
const char *fpga_unit_dsp(const void *self);
lode_form fpga_form(const void *self);
#endif
