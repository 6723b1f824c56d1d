/* asic_assign.c: layers to arrays under a deadline. See asic.h. */
#include "hwcost/asic.h"

/* The array that minimizes `first`, then `second`. */
static int assign_least(int k, const double *first, const double *second) {
    int best = 0;
    for (int i = 1; i < k; i++)
        if (first[i] < first[best] || (first[i] == first[best] && second[i] < second[best]))
            best = i;
    return best;
}

/* The move that saves time for the least energy per millisecond; false: none saves any. */
static bool assign_faster(int n, int k, const double *ms, const double *mj, int *part) {
    int layer = -1, to = 0;
    double least = 0;
    for (int i = 0; i < n; i++)
        for (int j = 0; j < k; j++) {
            double saved = ms[i * k + part[i]] - ms[i * k + j];
            double rate = (mj[i * k + j] - mj[i * k + part[i]]) / saved;
            if (!(saved > 0) || (layer >= 0 && rate >= least)) continue;
            layer = i;
            to = j;
            least = rate;
        }
    if (layer >= 0) part[layer] = to;
    return layer >= 0;
}

static double assign_sum(int n, int k, const double *of, const int *part) {
    double sum = 0;
    for (int i = 0; i < n; i++) sum += of[i * k + part[i]];
    return sum;
}

/* The move that saves most energy and keeps the deadline; false: none. */
static bool assign_back(int n, int k, const double *ms, const double *mj, double deadline,
                        int *part) {
    int layer = -1, to = 0;
    double most = 0, now = assign_sum(n, k, ms, part);
    for (int i = 0; i < n; i++)
        for (int j = 0; j < k; j++) {
            double saved = mj[i * k + part[i]] - mj[i * k + j];
            if (!(saved > most) || now - ms[i * k + part[i]] + ms[i * k + j] > deadline) continue;
            layer = i;
            to = j;
            most = saved;
        }
    if (layer >= 0) part[layer] = to;
    return layer >= 0;
}

bool lode_asic_assign(int n, int k, const double *ms, const double *mj, double deadline, int *part,
                      double *ms_sum, double *mj_sum) {
    bool keeps = true;
    for (int i = 0; i < n; i++) part[i] = assign_least(k, mj + i * k, ms + i * k);
    while (keeps && assign_sum(n, k, ms, part) > deadline)
        keeps = assign_faster(n, k, ms, mj, part);
    while (keeps && assign_back(n, k, ms, mj, deadline, part)) {
    }
    for (int i = 0; !keeps && i < n; i++) part[i] = assign_least(k, ms + i * k, mj + i * k);
    *ms_sum = assign_sum(n, k, ms, part);
    *mj_sum = assign_sum(n, k, mj, part);
    return keeps;
}
