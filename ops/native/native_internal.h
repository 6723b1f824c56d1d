/* native_internal.h: Lode's own kernels, by file. See native_provider.c for what runs when. */
#ifndef LODE_OPS_NATIVE_INTERNAL_H
#define LODE_OPS_NATIVE_INTERNAL_H
#include "ops/backend.h"

extern const lode_provider lode_provider_native;

/* native_depthwise.c */
bool native_depthwise_supports(const lode_op_call *c);
lode_status native_depthwise_forward(const lode_op_call *c);
lode_status native_depthwise_backward(const lode_op_call *c, const lode_tensor *dy,
                                      lode_tensor *const *dx);
size_t native_depthwise_workspace(const lode_op_call *c, bool backward);
#endif
