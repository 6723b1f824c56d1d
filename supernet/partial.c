/* partial.c: edges of a supernet that choose for a part of the channels only (PC-DARTS, Xu et al.
   2020).

   With space.partial K the first C/K channels of what enters an edge go through its options, which
   are built that narrow; the others pass by, through a 2x2 max pooling where the edge halves the
   map. Both lie side by side again, and a channel shuffle of K groups sees to it that the next edge
   has others in front: without it the same channels would pass by everywhere.

   A network that is fixed to an architecture has no such edges: it is the ordinary one. */
#include "supernet/supernet_internal.h"

lode_var *net_partial_edge(lode_pass *p, const net_mixed *m, const lode_choice *choice,
                           int64_t stride, lode_var *x, bool *dead) {
    lode_tape *t = p->tape;
    *dead = false;
    if (x == NULL) return NULL;
    const int64_t parts = p->net->partial, c = x->value->shape.dim[1], narrow = c / parts;
    lode_var *side[2];
    side[0] = net_mixture(p, m, choice, lode_slice(t, x, 1, 0, narrow, 1), dead);
    if (side[0] == NULL) return NULL;
    side[1] = lode_slice(t, x, 1, narrow, c, 1);
    if (stride > 1) {
        lode_pool_params window = lode_pool_square(2, (int)stride, 0);
        window.ceil_mode = 1; /* sides are rounded up */
        side[1] = lode_max_pool(t, side[1], window);
    }
    return lode_channel_shuffle(t, lode_concat(t, side, 2, 1), (int)parts);
}
