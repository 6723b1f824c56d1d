/* strategy_binary_gates.h: the arithmetic of binary gates that tests look at by itself. */
#ifndef LODE_TRAIN_STRATEGY_BINARY_GATES_H
#define LODE_TRAIN_STRATEGY_BINARY_GATES_H
#include "core/status.h"

/* What both new alphas have to be lowered by for exp(a) + exp(b) to be what it was. */
LODE_API double lode_binary_gates_shift(double old_a, double old_b, double new_a, double new_b);
#endif
