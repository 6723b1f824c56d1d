/* order_place.c: addresses for what is in memory while an order runs. An order's peak counts bytes;
   whether an allocator that moves nothing gets by with them depends on where things lie. Each
   tensor, each workspace is a block from the step that makes it to its last reader; what is written
   over an input is a further part of that input's block. */
#include "core/memory.h"
#include "hwcost/order_internal.h"

#include <math.h>

typedef struct place {
    const lode_order *s;
    order_run run;
    lode_arena_part *part;
    int64_t n_parts, capacity;
    int64_t *at; /* [n_tensors] its part, -1: not in memory */
    int n_blocks;
} place;

static lode_status place_add(place *p, int block, int64_t begin, int64_t end, double bytes) {
    LODE_TRY(lode_grow((void **)&p->part, &p->capacity, p->n_parts + 1, sizeof *p->part));
    p->part[p->n_parts++] = (lode_arena_part){block, begin, end, (int64_t)ceil(bytes)};
    return LODE_OK;
}

/* What comes with the network is there from the start. */
static lode_status place_given(place *p) {
    for (int64_t t = 0; t < p->s->n_tensors; t++) {
        p->at[t] = -1;
        if (p->s->producer[t] >= 0 || p->s->n_readers[t] == 0) continue;
        p->at[t] = p->n_parts;
        LODE_TRY(place_add(p, p->n_blocks++, 0, p->s->n_nodes, p->s->bytes[t]));
    }
    return LODE_OK;
}

/* The input that the node's result takes the place of, or -1: as order_try decides it. */
static int place_over(const place *p, const order_node *n) {
    const double out = p->s->bytes[n->output];
    for (int i = 0; i < n->n_inputs; i++) {
        const int t = n->input[i];
        if (p->run.waiting[t] != 1 || !(n->over >> i & 1) || out > p->s->bytes[t]) continue;
        if (order_is_repeat(n->input, i)) continue;
        if (n->over_scratch <= out + n->workspace) return t;
    }
    return -1;
}

static lode_status place_node(place *p, int node, int64_t step) {
    const order_node *n = &p->s->node[node];
    const int over = place_over(p, n), y = n->output;
    const double buffer = over >= 0 ? n->over_scratch : n->workspace;
    const bool read = p->s->n_readers[y] > 0;
    order_do(&p->run, node);
    for (int i = 0; i < n->n_inputs; i++)
        if (p->run.waiting[n->input[i]] == 0) p->part[p->at[n->input[i]]].end = step + 1;
    if (over < 0 || read) {
        p->at[y] = p->n_parts;
        const int64_t begin = over >= 0 ? step + 1 : step;
        LODE_TRY(place_add(p, over >= 0 ? p->part[p->at[over]].block : p->n_blocks, begin,
                           read ? p->s->n_nodes : step + 1, p->s->bytes[y]));
        p->n_blocks += over < 0;
    }
    if (buffer > 0) LODE_TRY(place_add(p, p->n_blocks++, step, step + 1, buffer));
    return LODE_OK;
}

lode_status lode_order_place(const lode_order *s, const int *order, int64_t *offset,
                             lode_arena *out) {
    place p = {.s = s};
    int64_t *of_block = NULL;
    lode_status status = LODE_OK;
    *out = (lode_arena){0};
    LODE_GOTO(order_run_init(s, &p.run));
    p.at = LODE_NEW_ARRAY(int64_t, s->n_tensors + 1);
    LODE_GOTO(p.at ? LODE_OK : LODE_ERR_NO_MEMORY);
    LODE_GOTO(place_given(&p));
    for (int64_t i = 0; i < s->n_nodes; i++) {
        const int node = order ? order[i] : (int)i;
        if (node < 0 || node >= s->n_nodes || !order_is_ready(&p.run, node))
            LODE_GOTO(LODE_FAIL(LODE_ERR_INVALID, "order: node %d cannot run as number %lld", node,
                                (long long)i));
        LODE_GOTO(place_node(&p, node, i));
    }
    of_block = LODE_NEW_ARRAY(int64_t, p.n_blocks + 1);
    LODE_GOTO(of_block ? LODE_OK : LODE_ERR_NO_MEMORY);
    LODE_GOTO(lode_arena_plan(p.part, p.n_parts, p.n_blocks, of_block, out));
    for (int64_t t = 0; offset && t < s->n_tensors; t++)
        offset[t] = p.at[t] < 0 ? -1 : of_block[p.part[p.at[t]].block];
done:
    lode_free(of_block);
    lode_free(p.part);
    lode_free(p.at);
    order_run_deinit(&p.run);
    return status;
}
