/* order_search.c: the order with the least peak.

   Memory that is live depends only on which nodes are done, not on their order. So the question is
   a path through sets of done nodes, from none to all, whose worst step is smallest: Dijkstra's
   search with `max` for the sum. A heap holds the sets by (peak so far, fewest nodes left): among
   equals the one that is furthest goes first, so where some order meets the lower bound it is found
   in few steps. Two things keep it small.

   A lower bound: no order is below what its worst single node needs with nothing else around, so
   every peak below that counts as that.
   Free moves: a node that leaves no more live than before, and while it runs needs no more than the
   peak so far, is done at once. That is never worse: whatever order follows, with the node moved to
   its front there is at most as much live until where the node stood, and the same from there on
   (the others' inputs can only lose readers by it). */
#include "core/memory.h"
#include "core/rng.h"
#include "hwcost/order_internal.h"

#include <math.h>
#include <string.h>

typedef struct search_state {
    uint64_t *set; /* [words] */
    double peak;
    int64_t parent; /* -1: the start */
    int node;       /* what was done to get here, before free moves */
    int n_done;
} search_state;

/* As it was when it went into the heap; old news when the state has a smaller peak by now. */
typedef struct search_entry {
    double peak;
    int n_done;
    int64_t state;
} search_entry;

typedef struct search {
    const lode_order *s;
    int words;
    double floor, ceiling; /* lower bound; what the best known order has */
    order_run run;
    search_state *state;
    int64_t n, capacity;
    search_entry *heap;
    int64_t n_heap, heap_capacity;
    int64_t *slot, n_slots; /* hash table: index of a state, -1 empty */
} search;

/* ---- sets ---- */

static uint64_t search_hash(const search *q, const uint64_t *set) {
    return lode_hash_bytes(set, (size_t)q->words * sizeof *set, 0);
}

/* Index into slot where the set is, or would go. */
static int64_t search_find(const search *q, const uint64_t *set) {
    int64_t i = (int64_t)(search_hash(q, set) % (uint64_t)q->n_slots);
    while (q->slot[i] >= 0 &&
           memcmp(q->state[q->slot[i]].set, set, (size_t)q->words * sizeof *set) != 0)
        i = (i + 1) % q->n_slots;
    return i;
}

static lode_status search_grow_slots(search *q) {
    int64_t n = q->n_slots ? 2 * q->n_slots : 1024;
    int64_t *slot = LODE_NEW_ARRAY(int64_t, n);
    if (!slot) return LODE_ERR_NO_MEMORY;
    memset(slot, 0xff, (size_t)n * sizeof *slot);
    lode_free(q->slot);
    q->slot = slot;
    q->n_slots = n;
    for (int64_t i = 0; i < q->n; i++) q->slot[search_find(q, q->state[i].set)] = i;
    return LODE_OK;
}

/* ---- heap ---- */

static bool search_before(const search_entry *x, const search_entry *y) {
    if (x->peak != y->peak) return x->peak < y->peak;
    if (x->n_done != y->n_done) return x->n_done > y->n_done;
    return x->state < y->state;
}

static lode_status search_push(search *q, int64_t state) {
    search_entry item = {q->state[state].peak, q->state[state].n_done, state};
    LODE_TRY(lode_grow((void **)&q->heap, &q->heap_capacity, q->n_heap + 1, sizeof *q->heap));
    int64_t i = q->n_heap++;
    for (; i > 0 && search_before(&item, &q->heap[(i - 1) / 2]); i = (i - 1) / 2)
        q->heap[i] = q->heap[(i - 1) / 2];
    q->heap[i] = item;
    return LODE_OK;
}

static search_entry search_pop(search *q) {
    search_entry top = q->heap[0], item = q->heap[--q->n_heap];
    int64_t i = 0;
    for (;;) {
        int64_t child = 2 * i + 1;
        if (child >= q->n_heap) break;
        if (child + 1 < q->n_heap && search_before(&q->heap[child + 1], &q->heap[child])) child++;
        if (!search_before(&q->heap[child], &item)) break;
        q->heap[i] = q->heap[child];
        i = child;
    }
    q->heap[i] = item;
    return top;
}

/* ---- moves ---- */

static void search_goto(search *q, const uint64_t *set) {
    order_run_reset(&q->run);
    /* Nodes were added in an order in which they can run, and what is live depends on the set only.
     */
    for (int64_t i = 0; i < q->s->n_nodes; i++)
        if (set[i / 64] >> (i % 64) & 1) order_do(&q->run, (int)i);
}

/* Does all free moves at `peak`; notes them at order[*n] when order is given. */
static void search_free_moves(search *q, double peak, int *order, int64_t *n) {
    for (bool any = true; any;) {
        any = false;
        for (int i = 0; i < q->s->n_nodes; i++) {
            double during, change;
            if (!order_is_ready(&q->run, i)) continue;
            order_try(&q->run, i, &during, &change);
            if (change > 0 || during > peak) continue;
            order_do(&q->run, i);
            if (order) order[(*n)++] = i;
            any = true;
        }
    }
}

static void search_read_set(const search *q, uint64_t *set) {
    memset(set, 0, (size_t)q->words * sizeof *set);
    for (int64_t i = 0; i < q->s->n_nodes; i++)
        if (q->run.done[i]) set[i / 64] |= 1ull << (i % 64);
}

/* Adds the run's state as reached from `parent` by `node`, unless it is known with no larger peak.
   Peaks come out of the heap in rising order, so a state that was expanded is never improved. */
static lode_status search_add(search *q, double peak, int64_t parent, int node) {
    if (2 * (q->n + 1) > q->n_slots) LODE_TRY(search_grow_slots(q));
    uint64_t *set = LODE_NEW_ARRAY(uint64_t, q->words);
    if (!set) return LODE_ERR_NO_MEMORY;
    search_read_set(q, set);
    int64_t at = search_find(q, set);
    if (q->slot[at] >= 0) {
        search_state *known = &q->state[q->slot[at]];
        lode_free(set);
        if (known->peak <= peak) return LODE_OK;
        known->peak = peak;
        known->parent = parent;
        known->node = node;
        return search_push(q, q->slot[at]);
    }
    lode_status status = lode_grow((void **)&q->state, &q->capacity, q->n + 1, sizeof *q->state);
    if (status != LODE_OK) {
        lode_free(set);
        return status;
    }
    q->state[q->n] = (search_state){set, peak, parent, node, (int)q->run.n_done};
    q->slot[at] = q->n;
    return search_push(q, q->n++);
}

static lode_status search_expand(search *q, int64_t from) {
    uint64_t *set = q->state[from].set;
    double peak = q->state[from].peak;
    for (int i = 0; i < q->s->n_nodes; i++) {
        double during, change;
        search_goto(q, set);
        if (!order_is_ready(&q->run, i)) continue;
        order_try(&q->run, i, &during, &change);
        double after = fmax(peak, during);
        if (after >= q->ceiling) continue;
        order_do(&q->run, i);
        search_free_moves(q, after, NULL, NULL);
        LODE_TRY(search_add(q, after, from, i));
    }
    return LODE_OK;
}

/* The order that led to a state. */
static lode_status search_trace_back(search *q, int64_t to, int *order) {
    int64_t n_path = 0, n = 0;
    for (int64_t i = to; i >= 0; i = q->state[i].parent) n_path++;
    int64_t *path = LODE_NEW_ARRAY(int64_t, n_path);
    if (!path) return LODE_ERR_NO_MEMORY;
    for (int64_t i = to, k = n_path; i >= 0; i = q->state[i].parent) path[--k] = i;
    order_run_reset(&q->run);
    for (int64_t k = 0; k < n_path; k++) {
        const search_state *state = &q->state[path[k]];
        if (state->node >= 0) {
            order_do(&q->run, state->node);
            order[n++] = state->node;
        }
        search_free_moves(q, state->peak, order, &n);
    }
    lode_free(path);
    return LODE_OK;
}

/* ---- bounds ---- */

/* What the worst single node needs with nothing else around. */
static double search_floor(const lode_order *s) {
    double floor = 0;
    for (int64_t i = 0; i < s->n_nodes; i++) {
        const order_node *n = &s->node[i];
        double inputs = 0, least = s->bytes[n->output] + n->workspace;
        for (int k = 0; k < n->n_inputs; k++) {
            bool repeat = false;
            for (int j = 0; j < k; j++) repeat = repeat || n->input[j] == n->input[k];
            if (repeat) continue;
            inputs += s->bytes[n->input[k]];
            if (n->over >> k & 1 && s->bytes[n->output] <= s->bytes[n->input[k]])
                least = fmin(least, n->over_scratch);
        }
        floor = fmax(floor, inputs + least);
    }
    return floor;
}

/* Always the ready node that leaves least live; the first of equals. */
static void search_greedy(search *q, int *order) {
    order_run_reset(&q->run);
    for (int64_t n = 0; n < q->s->n_nodes; n++) {
        int best = -1;
        double least = 0;
        for (int i = 0; i < q->s->n_nodes; i++) {
            double during, change;
            if (!order_is_ready(&q->run, i)) continue;
            order_try(&q->run, i, &during, &change);
            if (best >= 0 && change >= least) continue;
            best = i;
            least = change;
        }
        order_do(&q->run, best);
        order[n] = best;
    }
}

/* The better of the given and the greedy order. */
static lode_status search_upper(search *q, int *order) {
    double greedy = 0;
    search_greedy(q, order);
    LODE_TRY(lode_order_peak(q->s, order, &greedy));
    LODE_TRY(lode_order_peak(q->s, NULL, &q->ceiling));
    if (greedy < q->ceiling)
        q->ceiling = greedy;
    else
        for (int64_t i = 0; i < q->s->n_nodes; i++) order[i] = (int)i;
    return LODE_OK;
}

static lode_status search_all(search *q, int64_t max_states, int *order, bool *exact) {
    *exact = true;
    if (q->ceiling <= q->floor) return LODE_OK;
    order_run_reset(&q->run);
    double start = fmax(q->floor, q->run.live);
    search_free_moves(q, start, NULL, NULL);
    LODE_TRY(search_add(q, start, -1, -1));
    while (q->n_heap > 0) {
        search_entry entry = search_pop(q);
        int64_t top = entry.state;
        if (entry.peak > q->state[top].peak) continue;
        if (q->state[top].n_done == q->s->n_nodes) {
            q->ceiling = q->state[top].peak;
            return search_trace_back(q, top, order);
        }
        if (q->n >= max_states) {
            *exact = false;
            return LODE_OK;
        }
        LODE_TRY(search_expand(q, top));
    }
    return LODE_OK; /* nothing is below the ceiling */
}

lode_status lode_order_best(const lode_order *s, int64_t max_states, int *order, double *peak,
                            bool *exact) {
    search q = {.s = s, .words = (int)(s->n_nodes / 64 + 1)};
    bool is_exact = true;
    int *found = LODE_NEW_ARRAY(int, s->n_nodes + 1);
    lode_status status = found ? LODE_OK : LODE_ERR_NO_MEMORY;
    LODE_GOTO(status);
    LODE_GOTO(order_run_init(s, &q.run));
    q.floor = search_floor(s);
    LODE_GOTO(search_upper(&q, found));
    LODE_GOTO(search_all(&q, max_states > 0 ? max_states : 1000000, found, &is_exact));
    *peak = q.ceiling;
    if (exact) *exact = is_exact;
    if (order) memcpy(order, found, (size_t)s->n_nodes * sizeof *order);
done:
    for (int64_t i = 0; i < q.n; i++) lode_free(q.state[i].set);
    lode_free(q.state);
    lode_free(q.heap);
    lode_free(q.slot);
    order_run_deinit(&q.run);
    lode_free(found);
    return status;
}
