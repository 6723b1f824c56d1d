/* profile_speed.c: the machine's own speed.

   A processor slows down when its clock does, or when somebody uses the other half of its core. On
   a virtual machine nobody tells when; here it lasts from a tenth of a second to minutes, and makes
   a depthwise convolution 1.6 times slower and a 1x1 one 1.2 times. So times of two such states do
   not mix, and one factor does not turn one into the other. What can be compared between a table
   and what is measured a minute or a day later is the fast state, the machine's own. A reference
   network that runs every few passes tells which state they fell into, without a look at their own
   times: choosing the fastest of these would favor what scatters most. */
#include "core/memory.h"
#include "hwcost/profile_internal.h"

#include <math.h>
#include <stdlib.h>

/* How far the reference scatters within a state, and how much of the time makes a state. On a
   virtual machine with neighbors the fast state may be rare: a table that met it and networks that
   did not would differ by 1.2 to 1.4. */
static const double speed_window = 0.08, speed_state = 0.03;

static int speed_compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

bool lode_profile_at_speed(double before, double after, double own) {
    return fabs(before / own - 1) <= speed_window && fabs(after / own - 1) <= speed_window;
}

lode_status lode_profile_own_speed(const double *before, const double *after, int64_t n,
                                   double *own) {
    double *t = LODE_NEW_ARRAY(double, n + 1);
    int64_t k = 0;
    if (t == NULL) return LODE_ERR_NO_MEMORY;
    for (int64_t i = 0; i < n; i++) /* those during which nothing changed */
        if (fabs(before[i] / after[i] - 1) <= speed_window) t[k++] = 0.5 * (before[i] + after[i]);
    for (int64_t i = 0; k == 0 && i < n; i++) t[i] = 0.5 * (before[i] + after[i]);
    if (k == 0) k = n;
    qsort(t, (size_t)k, sizeof *t, speed_compare);
    const double fast = t[(int64_t)(speed_state * (double)k)];
    int64_t first = 0, end = k;
    while (t[first] < fast * (1 - speed_window)) first++;
    while (t[end - 1] > fast * (1 + speed_window)) end--;
    *own = t[first + (end - first - 1) / 2];
    lode_free(t);
    return LODE_OK;
}
