/* simd_internal.h: the functions of one instruction set's copy, by their plain names. */
#ifndef LODE_OPS_NATIVE_SIMD_INTERNAL_H
#define LODE_OPS_NATIVE_SIMD_INTERNAL_H
#include "ops/native/simd.h"

#define simd_run_sgd                 LODE_ISA_NAME(simd_run_sgd)
#define simd_run_adam                LODE_ISA_NAME(simd_run_adam)
#define simd_run_rmsprop             LODE_ISA_NAME(simd_run_rmsprop)
#define simd_run_ema                 LODE_ISA_NAME(simd_run_ema)
#define simd_run_sum_squares         LODE_ISA_NAME(simd_run_sum_squares)
#define simd_run_dw_pack             LODE_ISA_NAME(simd_run_dw_pack)
#define simd_run_dw_plan             LODE_ISA_NAME(simd_run_dw_plan)
#define simd_run_dw_begin            LODE_ISA_NAME(simd_run_dw_begin)
#define simd_run_dw_forward          LODE_ISA_NAME(simd_run_dw_forward)
#define simd_run_dw_backward_data    LODE_ISA_NAME(simd_run_dw_backward_data)
#define simd_run_dw_backward_weights LODE_ISA_NAME(simd_run_dw_backward_weights)
#define simd_run_pointwise           LODE_ISA_NAME(simd_run_pointwise)
#define simd_run_fold_rows           LODE_ISA_NAME(simd_run_fold_rows)
#define simd_run_fma_peak            LODE_ISA_NAME(simd_run_fma_peak)
#define simd_run_triad               LODE_ISA_NAME(simd_run_triad)
#define simd_run_norm_stats          LODE_ISA_NAME(simd_run_norm_stats)
#define simd_run_norm_grad_sums      LODE_ISA_NAME(simd_run_norm_grad_sums)
#define simd_run_norm_apply          LODE_ISA_NAME(simd_run_norm_apply)
#define simd_run_norm_grad           LODE_ISA_NAME(simd_run_norm_grad)
#define simd_run_norm_act_apply      LODE_ISA_NAME(simd_run_norm_act_apply)
#define simd_run_norm_act_grad_sums  LODE_ISA_NAME(simd_run_norm_act_grad_sums)
#define simd_run_norm_act_grad       LODE_ISA_NAME(simd_run_norm_act_grad)
#define simd_run_mb_plan             LODE_ISA_NAME(simd_run_mb_plan)
#define simd_run_mb_begin            LODE_ISA_NAME(simd_run_mb_begin)
#define simd_run_mb_moments          LODE_ISA_NAME(simd_run_mb_moments)
#define simd_run_mb_quadratic        LODE_ISA_NAME(simd_run_mb_quadratic)
#define simd_run_mb_forward          LODE_ISA_NAME(simd_run_mb_forward)
#define simd_run_mb_pool             LODE_ISA_NAME(simd_run_mb_pool)
#define simd_run_mb_project          LODE_ISA_NAME(simd_run_mb_project)
#define simd_run_mb_project_gated    LODE_ISA_NAME(simd_run_mb_project_gated)
#define simd_run_mb_project_backward LODE_ISA_NAME(simd_run_mb_project_backward)
#define simd_run_mb_backward         LODE_ISA_NAME(simd_run_mb_backward)
#define simd_run_mb_sum_pieces       LODE_ISA_NAME(simd_run_mb_sum_pieces)
#define simd_run_mb_affine           LODE_ISA_NAME(simd_run_mb_affine)
#define simd_run_mb_finish           LODE_ISA_NAME(simd_run_mb_finish)
#define simd_run_mix                 LODE_ISA_NAME(simd_run_mix)
#define simd_run_mix_backward        LODE_ISA_NAME(simd_run_mix_backward)
#define simd_run_gemm_panel          LODE_ISA_NAME(simd_run_gemm_panel)
#define simd_run_gemm_pack           LODE_ISA_NAME(simd_run_gemm_pack)
#define simd_run_gemm                LODE_ISA_NAME(simd_run_gemm)
#define simd_run_shuffle             LODE_ISA_NAME(simd_run_shuffle)
#define simd_run_conv                LODE_ISA_NAME(simd_run_conv)
#define simd_run_softmax             LODE_ISA_NAME(simd_run_softmax)
#define simd_run_row_norm            LODE_ISA_NAME(simd_run_row_norm)
#define simd_run_row_norm_grad       LODE_ISA_NAME(simd_run_row_norm_grad)
#define simd_run_lstm_gates          LODE_ISA_NAME(simd_run_lstm_gates)
#define simd_run_lstm_gates_grad     LODE_ISA_NAME(simd_run_lstm_gates_grad)
#define simd_run_gru_gates           LODE_ISA_NAME(simd_run_gru_gates)
#define simd_run_gru_gates_grad      LODE_ISA_NAME(simd_run_gru_gates_grad)
#define simd_run_pool_max            LODE_ISA_NAME(simd_run_pool_max)
#define simd_run_pool_sum            LODE_ISA_NAME(simd_run_pool_sum)

/* simd_roofline.c */
float simd_run_fma_peak(int rounds);
void simd_run_triad(int64_t n, float *a, const float *b, const float *c, float s);

/* simd_optimizer.c */
void simd_run_sgd(int64_t n, float *w, const float *g, float *m, const simd_sgd *p);
void simd_run_adam(int64_t n, float *w, const float *g, float *m, float *v, const simd_adam *p);
void simd_run_rmsprop(int64_t n, float *w, const float *g, float *v, float *mean, float *buffer,
                      const simd_rmsprop *p);
void simd_run_ema(int64_t n, float *ema, const float *w, float keep);
double simd_run_sum_squares(int64_t n, const float *x);

/* simd_depthwise.c */
void simd_run_dw_pack(const simd_dw *d, int64_t block, const float *w, float *packed);
void simd_run_dw_plan(simd_dw *d);
void simd_run_dw_begin(const simd_dw *d, float *scratch);
void simd_run_dw_forward(const simd_dw *d, int64_t block, int64_t first, int64_t last,
                         const float *x, const float *packed, const float *bias, float *y,
                         float *scratch);
void simd_run_dw_backward_data(const simd_dw *d, int64_t block, const float *dy,
                               const float *packed, float *dx, float *scratch);
void simd_run_dw_backward_weights(const simd_dw *d, int64_t block, const float *x, const float *dy,
                                  float *partial, float *scratch);

/* simd_gemm.c */
int64_t simd_run_gemm_panel(void);
void simd_run_gemm_pack(int64_t k, int64_t n, const float *b, int64_t rs, int64_t cs, float *packed,
                        int64_t k_first, int64_t k_total);
void simd_run_gemm(int64_t m, int64_t n, int64_t k, const float *a, int64_t rs, int64_t cs,
                   const float *packed, int64_t k_total, float *c, int64_t ldc, bool add);

/* simd_shuffle.c */
void simd_run_shuffle(int64_t rows, int64_t c, int64_t groups, const float *x, float *y);

/* simd_conv.c */
void simd_run_conv(const simd_conv *c, int64_t m, const float *const *x, int64_t first,
                   int64_t last, const float *r, float *y);

/* simd_softmax.c */
double simd_run_softmax(int64_t k, const float *x, float *p);

/* simd_pool.c */
void simd_run_pool_max(int64_t c, int n, const float *const *in, const int32_t *index,
                       int64_t count, int64_t pixels, float *y, int32_t *at);
void simd_run_pool_sum(int64_t c, int n, const float *const *in, const float *scale, int64_t count,
                       int64_t pixels, float *y);

/* simd_norm.c */
void simd_run_norm_stats(int64_t rows, int64_t c, const float *x, float *mean, double *sum,
                         double *m2, double *off);
void simd_run_norm_grad_sums(int64_t rows, int64_t c, const float *x, const float *g,
                             const float *mean, double *sum, double *sum2);
void simd_run_norm_apply(int64_t rows, int64_t c, const float *x, const float *mean, const float *a,
                         const float *b, float *y);
void simd_run_norm_grad(int64_t rows, int64_t c, const float *x, const float *g, const float *mean,
                        const float *of_g, const float *of_x, const float *rest, float *dx);

/* simd_norm_act.c */
void simd_run_norm_act_apply(int64_t rows, int64_t c, const float *x, const simd_norm_act *n,
                             float *y);
void simd_run_norm_act_grad_sums(int64_t rows, int64_t c, const float *x, const float *g,
                                 const simd_norm_act *n, double *sum, double *sum2);
void simd_run_norm_act_grad(int64_t rows, int64_t c, const float *x, const float *g,
                            const simd_norm_act *n, const float *of_x, const float *rest,
                            float *dx);

/* simd_row_norm.c */
void simd_run_row_norm(int64_t rows, int64_t d, const float *x, const float *gamma,
                       const float *beta, double eps, float *y, float *mean, float *rstd);
void simd_run_row_norm_grad(int64_t rows, int64_t d, const float *x, const float *g,
                            const float *gamma, const float *mean, const float *rstd, float *dx,
                            double *dgamma, double *dbeta);

/* simd_recurrent.c */
void simd_run_lstm_gates(int64_t rows, int64_t h, const float *zx, const float *zh, const float *c,
                         float *y, float *gates);
void simd_run_lstm_gates_grad(int64_t rows, int64_t h, const float *c, const float *y,
                              const float *gates, const float *dy, float *dz, float *dc);
void simd_run_gru_gates(int64_t rows, int64_t h, const float *zx, const float *zh,
                        const float *before, float *y, float *gates);
void simd_run_gru_gates_grad(int64_t rows, int64_t h, const float *zh, const float *before,
                             const float *gates, const float *dy, float *dzx, float *dzh,
                             float *dh);

/* simd_mbconv.c */
void simd_run_mb_plan(simd_mb *m);
void simd_run_mb_begin(const simd_mb *m, float *scratch);
void simd_run_mb_forward(const simd_mb *m, const simd_mb_weights *w, int64_t pair, const float *x,
                         float *z2, double n_before, double *sum, double *m2, float *scratch);
void simd_run_mb_pool(const simd_mb *m, const simd_mb_weights *w, const float *z2, float *mean);
void simd_run_mb_project(const simd_mb *m, const simd_mb_weights *w, const float *z2,
                         const float *gate, float *z3, float *scratch);
void simd_run_mb_finish(int64_t rows, int64_t c, const float *x, const float *mean,
                        const float *scale, const float *shift, const float *r, float *y);

/* simd_moments.c */
void simd_run_mb_moments(int64_t rows, int64_t c, const float *x, double *sum, double *products,
                         double *work);
void simd_run_mb_quadratic(int64_t n, int64_t c, const double *cov, const float *w, double *out);

/* simd_mbconv_backward.c */
void simd_run_mb_project_backward(const simd_mb *m, const simd_mb_weights *w, const float *dz3,
                                  const float *z2, float *g2, float *dw, double *sum, double *sum_z,
                                  float *scratch);
void simd_run_mb_project_gated(const simd_mb *m, const simd_mb_weights *w, const float *gate,
                               const float *dz3, const float *z2, float *da, float *dw,
                               double *sums, float *scratch);
void simd_run_mb_backward(const simd_mb *m, const simd_mb_weights *w, const simd_mb_gate *gate,
                          int64_t pair, const float *x, const float *z2, const float *g2,
                          const float *dz3, float *dw, float *xg, double *sum, float *dx, bool add,
                          float *scratch);
void simd_run_mb_sum_pieces(int64_t n, int64_t stride, int64_t count, const float *from,
                            double *out);
void simd_run_mb_affine(int64_t rows, int64_t c, const float *x, const float *a, const float *b,
                        const float *r, float *y);

/* simd_pointwise.c */
extern const simd_kernel simd_run_pointwise[SIMD_N_POINTWISE];
void simd_run_fold_rows(int64_t rows, int64_t n, const float *x, const float *z, double *sum);

/* simd_mixture.c */
void simd_run_mix(int64_t n, int k, const float *const *o, const float *w, float *y);
double simd_run_mix_backward(int64_t n, float w, const float *o, const float *dy, float *dx);
#endif
