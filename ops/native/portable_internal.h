/* portable_internal.h: conv2d and products of our own for builds and modes without a library. */
#ifndef LODE_OPS_NATIVE_PORTABLE_INTERNAL_H
#define LODE_OPS_NATIVE_PORTABLE_INTERNAL_H
#include "ops/backend.h"

extern const lode_provider lode_provider_portable;

/* portable_conv2d.c */
bool portable_conv2d_supports(const lode_op_call *c);
lode_status portable_conv2d_forward(const lode_op_call *c);
lode_status portable_conv2d_backward(const lode_op_call *c, const lode_tensor *dy,
                                     lode_tensor *const *dx);
size_t portable_conv2d_workspace(const lode_op_call *c, bool backward);
#endif
