/* strategy_xnas.h: one round of prediction with expert advice that tests look at by itself. */
#ifndef LODE_TRAIN_STRATEGY_XNAS_H
#define LODE_TRAIN_STRATEGY_XNAS_H
#include "core/status.h"

/* The rate with the least bound of regret: sqrt(2 ln n / (rounds bound^2)). */
LODE_API double lode_xnas_eta(int n, double rounds, double bound);
/* Experts with logarithms of weights log_v[n] (-inf: dropped) and rewards of some rounds, each
   between -bound and bound: log_v += eta reward, the largest becomes 0, and who cannot catch up
   with it in the `remaining` rounds is dropped: log_v < max - 2 eta bound remaining. */
LODE_API void lode_xnas_round(double *log_v, const double *reward, int n, double eta, double bound,
                              double remaining);
#endif
