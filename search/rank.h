/* rank.h: does a cheap score order architectures as their true accuracies do? (methods 0.4)

   Kendall's tau_b counts ties; its interval is a percentile bootstrap over architectures. A top-k
   regret is what is lost by training only the k architectures of the largest score and taking the
   best of them: the best truth of all minus the best among those k. */
#ifndef LODE_SEARCH_RANK_H
#define LODE_SEARCH_RANK_H
#include "core/status.h"

#include <stdint.h>

enum { LODE_RANK_TOPS = 3 };
static const int lode_rank_top[LODE_RANK_TOPS] = {1, 5, 10};

typedef struct lode_rank {
    double tau_b, tau_low, tau_high; /* with its 95 % interval */
    double spearman;                 /* correlation of ranks, equal values share the mean rank */
    double regret[LODE_RANK_TOPS];   /* in the unit of truth */
} lode_rank;

/* score[n], truth[n]: larger is better; n >= 2. Ties of the score are cut by index. A constant list
   has tau_b and spearman 0. The bootstrap draws from `seed`: the same numbers every time. */
LODE_API lode_status lode_rank_compare(const double *score, const double *truth, int64_t n,
                                       uint64_t seed, lode_rank *out);
LODE_API double lode_kendall_tau_b(const double *a, const double *b, int64_t n);
LODE_API lode_status lode_spearman(const double *a, const double *b, int64_t n, double *out);
#endif
