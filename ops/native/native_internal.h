/* native_internal.h: Lode's own kernels, by file. See native_provider.c for what runs when. */
#ifndef LODE_OPS_NATIVE_INTERNAL_H
#define LODE_OPS_NATIVE_INTERNAL_H
#include "ops/backend.h"

extern const lode_provider lode_provider_native;

/* native_depthwise.c: supports says what it can do, pays where it is the best there is. */
bool native_depthwise_supports(const lode_op_call *c);
bool native_depthwise_pays(const lode_op_call *c);
lode_status native_depthwise_forward(const lode_op_call *c);
lode_status native_depthwise_backward(const lode_op_call *c, const lode_tensor *dy,
                                      lode_tensor *const *dx);
size_t native_depthwise_workspace(const lode_op_call *c, bool backward);
/* For repeated calls: w [C,1,kh,kw], dense, as the kernels want it; then c->prepared. */
size_t native_depthwise_packed_floats(const lode_op_call *c);
void native_depthwise_pack(const lode_op_call *c, const float *w, float *packed);

/* native_conv_act.c */
bool native_conv_act_supports(const lode_op_call *c);
lode_status native_conv_act_forward(const lode_op_call *c);
size_t native_conv_act_workspace(const lode_op_call *c, bool backward);
lode_status native_conv_act_prepare(const lode_op_call *c, uint64_t constant, void **out);
void native_conv_act_release(void *prepared);

/* native_batch_norm.c */
bool native_batch_norm_supports(const lode_op_call *c);
lode_status native_batch_norm_forward(const lode_op_call *c);
lode_status native_batch_norm_backward(const lode_op_call *c, const lode_tensor *dy,
                                       lode_tensor *const *dx);
size_t native_batch_norm_workspace(const lode_op_call *c, bool backward);

/* native_layer_norm.c */
lode_status native_layer_norm_forward(const lode_op_call *c);
lode_status native_layer_norm_backward(const lode_op_call *c, const lode_tensor *dy,
                                       lode_tensor *const *dx);
size_t native_layer_norm_workspace(const lode_op_call *c, bool backward);

/* native_recurrent.c */
lode_status native_lstm_gates_forward(const lode_op_call *c);
lode_status native_lstm_gates_backward(const lode_op_call *c, const lode_tensor *dy,
                                       lode_tensor *const *dx);
lode_status native_gru_gates_forward(const lode_op_call *c);
lode_status native_gru_gates_backward(const lode_op_call *c, const lode_tensor *dy,
                                      lode_tensor *const *dx);
size_t native_recurrent_workspace(const lode_op_call *c, bool backward);

/* native_pool.c */
bool native_pool_supports(const lode_op_call *c);
size_t native_pool_workspace(const lode_op_call *c, bool backward);
lode_status native_max_pool_forward(const lode_op_call *c);
lode_status native_max_pool_backward(const lode_op_call *c, const lode_tensor *dy,
                                     lode_tensor *const *dx);
lode_status native_avg_pool_forward(const lode_op_call *c);
lode_status native_avg_pool_backward(const lode_op_call *c, const lode_tensor *dy,
                                     lode_tensor *const *dx);
size_t native_global_avg_pool_workspace(const lode_op_call *c, bool backward);
lode_status native_global_avg_pool_forward(const lode_op_call *c);
lode_status native_global_avg_pool_backward(const lode_op_call *c, const lode_tensor *dy,
                                            lode_tensor *const *dx);

/* native_activation.c */
lode_status native_activation_forward(const lode_op_call *c);
lode_status native_activation_backward(const lode_op_call *c, const lode_tensor *dy,
                                       lode_tensor *const *dx);
lode_status native_scale_forward(const lode_op_call *c);
lode_status native_scale_backward(const lode_op_call *c, const lode_tensor *dy,
                                  lode_tensor *const *dx);

/* native_elementwise.c */
lode_status native_elementwise_forward(const lode_op_call *c);
lode_status native_elementwise_backward(const lode_op_call *c, const lode_tensor *dy,
                                        lode_tensor *const *dx);
size_t native_elementwise_workspace(const lode_op_call *c, bool backward);
lode_status native_scale_rows_forward(const lode_op_call *c);
lode_status native_scale_rows_backward(const lode_op_call *c, const lode_tensor *dy,
                                       lode_tensor *const *dx);
size_t native_scale_rows_workspace(const lode_op_call *c, bool backward);

/* native_cross_entropy.c */
bool native_cross_entropy_supports(const lode_op_call *c);
size_t native_cross_entropy_workspace(const lode_op_call *c, bool backward);
lode_status native_cross_entropy_forward(const lode_op_call *c);
lode_status native_cross_entropy_backward(const lode_op_call *c, const lode_tensor *dy,
                                          lode_tensor *const *dx);

/* native_reduce.c */
bool native_reduce_supports(const lode_op_call *c);
size_t native_reduce_workspace(const lode_op_call *c, bool backward);
lode_status native_reduce_forward(const lode_op_call *c);
lode_status native_reduce_backward(const lode_op_call *c, const lode_tensor *dy,
                                   lode_tensor *const *dx);

/* native_move.c */
lode_status native_concat_forward(const lode_op_call *c);
lode_status native_concat_backward(const lode_op_call *c, const lode_tensor *dy,
                                   lode_tensor *const *dx);
bool native_channel_shuffle_supports(const lode_op_call *c);
lode_status native_channel_shuffle_forward(const lode_op_call *c);
lode_status native_channel_shuffle_backward(const lode_op_call *c, const lode_tensor *dy,
                                            lode_tensor *const *dx);
lode_status native_pad_forward(const lode_op_call *c);
lode_status native_pad_backward(const lode_op_call *c, const lode_tensor *dy,
                                lode_tensor *const *dx);
lode_status native_identity_forward(const lode_op_call *c);
lode_status native_identity_backward(const lode_op_call *c, const lode_tensor *dy,
                                     lode_tensor *const *dx);
lode_status native_slice_forward(const lode_op_call *c);
lode_status native_slice_backward(const lode_op_call *c, const lode_tensor *dy,
                                  lode_tensor *const *dx);
lode_status native_transpose_forward(const lode_op_call *c);
lode_status native_transpose_backward(const lode_op_call *c, const lode_tensor *dy,
                                      lode_tensor *const *dx);
lode_status native_reshape_forward(const lode_op_call *c);
lode_status native_reshape_backward(const lode_op_call *c, const lode_tensor *dy,
                                    lode_tensor *const *dx);

/* native_grid.c */
bool native_grid_supports(const lode_op_call *c);
lode_status native_grid_subsample_forward(const lode_op_call *c);
lode_status native_grid_subsample_backward(const lode_op_call *c, const lode_tensor *dy,
                                           lode_tensor *const *dx);
lode_status native_grid_scatter_forward(const lode_op_call *c);
lode_status native_grid_scatter_backward(const lode_op_call *c, const lode_tensor *dy,
                                         lode_tensor *const *dx);

/* native_mixture.c */
bool native_mixture_supports(const lode_op_call *c);
lode_status native_mixture_forward(const lode_op_call *c);
lode_status native_mixture_backward(const lode_op_call *c, const lode_tensor *dy,
                                    lode_tensor *const *dx);
size_t native_mixture_workspace(const lode_op_call *c, bool backward);

/* native_mbconv.c, native_mbconv_backward.c; native_mbconv_again.c: y once more, bit by bit. */
bool native_mbconv_makes_again(const lode_op_call *c);
/* Floats that `prepared` and, for n elements, `buffer` take. */
int64_t native_mbconv_again_prepared(const lode_op_call *c);
int64_t native_mbconv_again_buffer(const lode_op_call *c, int64_t n);
void native_mbconv_again_prepare(const lode_op_call *c, float *prepared);
/* n elements from `begin` on as they lie in memory, somewhere in `buffer`. */
const float *native_mbconv_again(const lode_op_call *c, const float *prepared, int64_t begin,
                                 int64_t n, float *buffer);
bool native_mbconv_supports(const lode_op_call *c);
size_t native_mbconv_forward_workspace(const lode_op_call *c);
size_t native_mbconv_workspace(const lode_op_call *c, bool backward);
lode_status native_mbconv_forward(const lode_op_call *c);
lode_status native_mbconv_backward(const lode_op_call *c, const lode_tensor *dy,
                                   lode_tensor *const *dx);

/* native_dropout.c */
lode_status native_dropout_forward(const lode_op_call *c);
lode_status native_dropout_backward(const lode_op_call *c, const lode_tensor *dy,
                                    lode_tensor *const *dx);
size_t native_dropout_workspace(const lode_op_call *c, bool backward);
#endif
