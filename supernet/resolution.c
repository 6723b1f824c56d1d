/* resolution.c: the side of the input as a decision (FBNetV2, Wan et al. 2020).

   One option chosen: the input is subsampled once, and the network runs on what is left. Several,
   mixed by weights: every layer runs at each of them, on a subsample of the mixture that came in,
   and its results go back to where their pixels came from before they are added up. So a pixel of
   the map stands for the same place of the image at every resolution, and with one-hot weights the
   subsample of the next layer is just what the last one put there. Where a layer's maps have one
   size whatever the resolution (behind a global pool), there is nothing to mix. */
#include "supernet/supernet_internal.h"

static int64_t resolution_scale(int64_t side, double value, double largest) {
    const int64_t n = (int64_t)((double)side * value / largest + 0.5);
    return n > 0 ? n : 1;
}

static lode_var *resolution_subsample(lode_pass *p, lode_var *x, int64_t height, int64_t width) {
    if (x == NULL || (x->value->shape.dim[2] == height && x->value->shape.dim[3] == width))
        return x;
    return lode_grid_subsample(p->tape, x, height, width);
}

lode_var *net_enter_resolution(lode_pass *p, const lode_choice *choice, lode_var *x,
                               net_resolution *r) {
    const space_size *side = &p->net->space->side;
    const space_layer reads = {.n_sizes = side->n > 0 ? 1 : 0, .size = {*side}};
    *r = (net_resolution){.top = -1};
    const lode_status status = net_read_sizes(p, &reads, choice);
    if (status != LODE_OK) return lode_tape_fail(p->tape, status);
    if (p->sizes.n == 0) return x;
    const uint64_t active = p->sizes.at[0].active;
    const double largest = space_size_largest(side);
    const int64_t H = x->value->shape.dim[2], W = x->value->shape.dim[3];
    int top = 0;
    for (int k = 0; k < side->n; k++) {
        r->height[k] = resolution_scale(H, side->value[k], largest);
        r->width[k] = resolution_scale(W, side->value[k], largest);
        if (active >> k & 1) top = k;
    }
    if (p->sizes.at[0].weights != NULL) {
        r->n = side->n;
        r->top = top;
        r->active = active;
        r->weights = p->sizes.at[0].weights;
    }
    p->sizes.n = 0;
    lode_scope scope = lode_tape_enter(p->tape, SPACE_INPUT_BLOCK);
    return lode_tape_leave(p->tape, scope,
                           resolution_subsample(p, x, r->height[top], r->width[top]));
}

bool net_mixes_resolutions(const net_resolution *r) {
    for (int k = 0; k < r->top; k++)
        if (r->active >> k & 1 &&
            (r->height[k] != r->height[r->top] || r->width[k] != r->width[r->top]))
            return true;
    return r->top >= 0 && (r->active & (r->active - 1)) == 0 && r->height[r->top] > 1;
}

/* One layer at resolution k; its maps' size goes to r. */
static lode_var *resolution_run(lode_pass *p, net_resolution *r, int k, lode_var *x,
                                net_layer_runner run, void *ctx) {
    lode_var *y = run(p, ctx, resolution_subsample(p, x, r->height[k], r->width[k]));
    if (y == NULL) return NULL;
    const lode_shape *s = &y->value->shape;
    r->height[k] = s->n_dims == 4 ? s->dim[2] : 1;
    r->width[k] = s->n_dims == 4 ? s->dim[3] : 1;
    if (k == r->top || (r->height[k] == r->height[r->top] && r->width[k] == r->width[r->top]))
        return y;
    return lode_grid_scatter(p->tape, y, r->height[r->top], r->width[r->top]);
}

lode_var *net_mix_resolutions(lode_pass *p, net_resolution *r, const char *name, lode_var *x,
                              net_layer_runner run, void *ctx) {
    lode_var *y[LODE_MAX_OPTIONS] = {NULL};
    lode_scope scope = lode_tape_enter(p->tape, name);
    for (int k = r->top; k >= 0; k--) { /* the largest tells where the others go */
        if (!(r->active >> k & 1)) continue;
        y[k] = resolution_run(p, r, k, x, run, ctx);
        if (y[k] == NULL) return lode_tape_leave(p->tape, scope, NULL);
    }
    return lode_tape_leave(p->tape, scope, lode_weighted_sum(p->tape, y, r->n, r->weights));
}
