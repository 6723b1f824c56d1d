/* nest.c: cases of steps, and what moves in each.

   Where a loop stands is a box per dimension: start and length of what all elements have of it
   together, and the part one unit has. A case is given by one step that stands for it: index 0 of a
   loop, 1 of the steady steps, the last one of an edge. The step before it is the same with the
   fastest loop that is not at 0 one back, and all loops inside that at their last. So what is new
   is a box without what it shares with another box (nest_words.c).

   Not as in MAESTRO: levels of clusters are one nest of loops with one network, so that what a
   cluster holds is kept from one step of the level above to the next (MAESTRO starts each level
   anew); incomplete sums come back and are counted; a word that several elements get is written in
   each; Y and X are those of outputs. */
#include "hwcost/nest_internal.h"

#include <math.h>
#include <string.h>

enum { D = LODE_N_NEST_DIMS };

typedef struct walk {
    const lode_nest_layer *layer;
    lode_nest_loop loop[LODE_NEST_MAX_LOOPS];
    int n;
    int64_t units[LODE_NEST_MAX_LEVELS];
    int64_t index[LODE_NEST_MAX_LOOPS];
    void (*visit)(void *self, const lode_nest_case *c);
    void *self;
} walk;

/* ---- loops ---- */

/* How many steps the loop has in this box, and how much one takes. */
static int64_t walk_steps(const walk *w, int i, const nest_box *b, int64_t *chunk) {
    const lode_nest_loop *l = &w->loop[i];
    int64_t part = l->size > 0 ? nest_min(l->size, b->length) : b->length;
    *chunk = l->spatial ? part * w->units[l->level] : part;
    return nest_ceil(b->length, *chunk);
}

static void walk_enter(const walk *w, int i, int64_t index, nest_box *b) {
    const lode_nest_loop *l = &w->loop[i];
    int64_t part = l->size > 0 ? nest_min(l->size, b->length) : b->length, chunk = 0;
    (void)walk_steps(w, i, b, &chunk);
    b->start += index * chunk;
    b->length = nest_min(chunk, b->length - index * chunk);
    b->part = nest_min(part, b->length);
}

static void walk_begin(const walk *w, nest_box *b) {
    for (int d = 0; d < D; d++) b[d] = (nest_box){0, w->layer->size[d], w->layer->size[d]};
}

/* Of the loops from i on: the last steps. */
static void walk_to_last(const walk *w, int i, nest_box *b) {
    for (; i < w->n; i++) {
        int64_t chunk = 0, steps = walk_steps(w, i, &b[w->loop[i].dim], &chunk);
        walk_enter(w, i, steps - 1, &b[w->loop[i].dim]);
    }
}

/* The step before; false: there is none. */
static bool walk_before(const walk *w, nest_box *b) {
    int at = w->n - 1;
    while (at >= 0 && w->index[at] == 0) at--;
    if (at < 0) return false;
    walk_begin(w, b);
    for (int i = 0; i <= at; i++) walk_enter(w, i, w->index[i] - (i == at), &b[w->loop[i].dim]);
    walk_to_last(w, at + 1, b);
    return true;
}

/* ---- cases ---- */

/* Have the outputs of this step been added to before? */
static bool walk_returns(const walk *w) {
    for (int i = 0; i < w->n; i++) {
        lode_nest_dim d = w->loop[i].dim;
        bool adds =
            d == LODE_NEST_R || d == LODE_NEST_S || (d == LODE_NEST_C && !w->layer->depthwise);
        if (adds && w->index[i] > 0) return true;
    }
    return false;
}

static void walk_leaf(const walk *w, const nest_box *now, double count) {
    nest_box before[D];
    bool any = walk_before(w, before);
    if (!any) memset(before, 0, sizeof before);
    nest_extent in = nest_words(w->layer, now, before, NEST_INPUTS, true);
    nest_extent weights = nest_words(w->layer, now, before, NEST_WEIGHTS, true);
    nest_extent out = nest_words(w->layer, now, before, NEST_OUTPUTS, true);
    nest_extent in_each = nest_words(w->layer, now, before, NEST_INPUTS, false);
    nest_extent weights_each = nest_words(w->layer, now, before, NEST_WEIGHTS, false);
    double left =
        any ? nest_words(w->layer, before, before, NEST_OUTPUTS, true).all - out.shared : 0;
    double real = w->layer->real;
    lode_nest_case c = {
        .count = count,
        .first = !any,
        .macs = 1,
        .element_macs = 1,
        .inputs = real * (in.all - in.shared),
        .weights = weights.all - weights.shared,
        .sums = walk_returns(w) ? out.all - out.shared : 0,
        .outputs = left,
        .fills = real * (in_each.all - in_each.shared) + weights_each.all - weights_each.shared,
    };
    for (int d = 0; d < D; d++) {
        c.macs *= (double)now[d].length;
        c.element_macs *= (double)now[d].part;
    }
    w->visit(w->self, &c);
}

/* Loop i at its first step, its steady ones, and an edge. */
static void walk_loop(walk *w, int i, const nest_box *at, double count) {
    nest_box b[D];
    if (i == w->n) {
        walk_leaf(w, at, count);
        return;
    }
    lode_nest_dim d = w->loop[i].dim;
    int64_t chunk = 0, steps = walk_steps(w, i, &at[d], &chunk);
    int64_t edge = steps > 1 && at[d].length % chunk != 0;
    const int64_t index[3] = {0, 1, steps - 1}, times[3] = {1, steps - 1 - edge, edge};
    for (int k = 0; k < 3; k++) {
        if (times[k] == 0) continue;
        memcpy(b, at, sizeof b);
        walk_enter(w, i, index[k], &b[d]);
        w->index[i] = index[k];
        walk_loop(w, i + 1, b, count * (double)times[k]);
    }
}

/* ---- set up ---- */

/* Units of each level: clusters that depend on the layer take at most what is left of the elements,
   the top level has the rest. */
static void walk_set_units(walk *w, const lode_nest *m, int64_t elements) {
    int64_t left = elements;
    for (int i = 1; i < m->n_levels; i++)
        if (m->cluster[i] > 0) left /= m->cluster[i];
    for (int i = 1; i < m->n_levels; i++) {
        w->units[i] =
            m->cluster[i] > 0 ? m->cluster[i] : nest_min(w->layer->size[m->cluster_dim[i]], left);
        if (m->cluster[i] == 0) left /= w->units[i];
    }
    w->units[0] = left;
}

static void walk_set_loops(walk *w, const lode_nest *m) {
    bool cuts_images = false;
    for (int i = 0; i < m->n_loops; i++) cuts_images |= m->loop[i].dim == LODE_NEST_N;
    if (!cuts_images) w->loop[w->n++] = (lode_nest_loop){.dim = LODE_NEST_N, .size = 1};
    for (int i = 0; i < m->n_loops; i++) w->loop[w->n++] = m->loop[i];
}

static double step_words(const lode_nest_layer *l, const nest_box *b, bool together) {
    nest_box one[D];
    double sum = 0;
    memcpy(one, b, sizeof one);
    if (!together)
        for (int d = 0; d < D; d++) one[d].length = one[d].part;
    for (int t = NEST_INPUTS; t <= NEST_OUTPUTS; t++) sum += nest_words(l, one, one, t, true).all;
    return sum;
}

void lode_nest_walk(const lode_nest *m, const lode_nest_layer *l, int64_t elements,
                    void (*visit)(void *self, const lode_nest_case *c), void *self,
                    lode_nest_tiles *tiles) {
    walk w = {.layer = l, .visit = visit, .self = self};
    nest_box b[D];
    walk_set_units(&w, m, elements);
    walk_set_loops(&w, m);
    walk_begin(&w, b);
    walk_loop(&w, 0, b, 1);
    for (int i = 0; i < w.n; i++) walk_enter(&w, i, 0, &b[w.loop[i].dim]);
    tiles->element_words = step_words(l, b, false);
    tiles->array_words = step_words(l, b, true);
    walk_begin(&w, b);
    walk_to_last(&w, 0, b);
    tiles->last_outputs = nest_words(l, b, b, NEST_OUTPUTS, true).all;
}

/* ---- cycles ---- */

double lode_nest_delay(const lode_nest_array *a, double words) {
    return words > 0 ? a->hops * a->cycles_per_hop + ceil(words / a->words_per_cycle) - 1 : 0;
}

typedef struct counting {
    const lode_nest_array *array;
    lode_nest_counts *out;
} counting;

static void count_case(void *self, const lode_nest_case *c) {
    const counting *k = self;
    lode_nest_counts *o = k->out;
    double send = lode_nest_delay(k->array, c->inputs + c->weights + c->sums);
    double compute = ceil(c->element_macs / k->array->macs_per_cycle);
    double collect = lode_nest_delay(k->array, c->outputs);
    double time = c->first ? send + compute + collect : fmax(compute, fmax(send, collect));
    o->cycles += c->count * time;
    o->compute += c->count * compute;
    o->macs += c->count * c->macs;
    o->steps += c->count;
    o->inputs += c->count * c->inputs;
    o->weights += c->count * c->weights;
    o->sums += c->count * c->sums;
    o->outputs += c->count * c->outputs;
    o->fills += c->count * c->fills;
}

void lode_nest_count(const lode_nest *m, const lode_nest_layer *l, const lode_nest_array *a,
                     lode_nest_counts *out) {
    counting k = {a, out};
    memset(out, 0, sizeof *out);
    lode_nest_walk(m, l, a->elements, count_case, &k, &out->tiles);
    out->outputs += out->tiles.last_outputs;
    out->cycles += lode_nest_delay(a, out->tiles.last_outputs);
}
