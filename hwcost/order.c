/* order.c: the graph, and the peak of a given order. */
#include "core/memory.h"
#include "hwcost/order_internal.h"

#include <math.h>
#include <string.h>

lode_status lode_order_create(lode_order **out) {
    *out = LODE_NEW(lode_order);
    return *out ? LODE_OK : LODE_ERR_NO_MEMORY;
}

void lode_order_destroy(lode_order *s) {
    if (!s) return;
    for (int64_t i = 0; i < s->n_nodes; i++) lode_free(s->node[i].input);
    lode_free(s->node);
    lode_free(s->bytes);
    lode_free(s->producer);
    lode_free(s->n_readers);
    lode_free(s);
}

int lode_order_n_nodes(const lode_order *s) { return (int)s->n_nodes; }

lode_status lode_order_add_tensor(lode_order *s, double bytes, int *id) {
    int64_t n = s->n_tensors;
    LODE_TRY(lode_grow((void **)&s->bytes, &s->bytes_capacity, n + 1, sizeof *s->bytes));
    LODE_TRY(lode_grow((void **)&s->producer, &s->producer_capacity, n + 1, sizeof *s->producer));
    LODE_TRY(lode_grow((void **)&s->n_readers, &s->readers_capacity, n + 1, sizeof *s->n_readers));
    s->bytes[n] = bytes;
    s->producer[n] = -1;
    s->n_readers[n] = 0;
    *id = (int)n;
    s->n_tensors++;
    return LODE_OK;
}

bool order_is_repeat(const int *input, int i) {
    for (int k = 0; k < i; k++)
        if (input[k] == input[i]) return true;
    return false;
}

lode_status lode_order_add_node(lode_order *s, const lode_order_step *step) {
    if (step->n_inputs < 0 || step->n_inputs > 64 || step->output < 0 ||
        step->output >= s->n_tensors || s->producer[step->output] >= 0)
        return LODE_FAIL(LODE_ERR_INVALID, "order: node %lld: %d inputs, writes tensor %d",
                         (long long)s->n_nodes, step->n_inputs, step->output);
    for (int i = 0; i < step->n_inputs; i++)
        if (step->input[i] < 0 || step->input[i] >= s->n_tensors || step->input[i] == step->output)
            return LODE_FAIL(LODE_ERR_INVALID, "order: node %lld reads tensor %d",
                             (long long)s->n_nodes, step->input[i]);
    LODE_TRY(lode_grow((void **)&s->node, &s->node_capacity, s->n_nodes + 1, sizeof *s->node));
    int *input = LODE_NEW_ARRAY(int, step->n_inputs + 1);
    if (!input) return LODE_ERR_NO_MEMORY;
    for (int i = 0; i < step->n_inputs; i++) {
        input[i] = step->input[i];
        if (!order_is_repeat(input, i)) s->n_readers[input[i]]++;
    }
    s->producer[step->output] = (int)s->n_nodes;
    s->node[s->n_nodes++] = (order_node){.input = input,
                                         .n_inputs = step->n_inputs,
                                         .output = step->output,
                                         .workspace = step->workspace,
                                         .over = step->over,
                                         .over_scratch = step->over_scratch};
    return LODE_OK;
}

void lode_order_keep(lode_order *s, int tensor) { s->n_readers[tensor]++; }

/* ---- running ---- */

void order_run_reset(order_run *r) {
    const lode_order *s = r->s;
    r->live = 0;
    r->n_done = 0;
    memset(r->done, 0, (size_t)s->n_nodes * sizeof *r->done);
    for (int64_t t = 0; t < s->n_tensors; t++) {
        r->waiting[t] = s->n_readers[t];
        r->made[t] = s->producer[t] < 0;
        if (r->made[t] && r->waiting[t] > 0) r->live += s->bytes[t];
    }
}

lode_status order_run_init(const lode_order *s, order_run *r) {
    memset(r, 0, sizeof *r);
    r->s = s;
    r->done = LODE_NEW_ARRAY(bool, s->n_nodes + 1);
    r->waiting = LODE_NEW_ARRAY(int, s->n_tensors + 1);
    r->made = LODE_NEW_ARRAY(bool, s->n_tensors + 1);
    if (!r->done || !r->waiting || !r->made) {
        order_run_deinit(r);
        return LODE_ERR_NO_MEMORY;
    }
    order_run_reset(r);
    return LODE_OK;
}

void order_run_deinit(order_run *r) {
    lode_free(r->done);
    lode_free(r->waiting);
    lode_free(r->made);
    memset(r, 0, sizeof *r);
}

bool order_is_ready(const order_run *r, int node) {
    const order_node *n = &r->s->node[node];
    if (r->done[node]) return false;
    for (int i = 0; i < n->n_inputs; i++)
        if (!r->made[n->input[i]]) return false;
    return true;
}

void order_try(const order_run *r, int node, double *during, double *change) {
    const order_node *n = &r->s->node[node];
    double out = r->s->bytes[n->output], freed = 0;
    bool dead = r->s->n_readers[n->output] == 0; /* nobody reads it: gone after this step */
    *during = r->live + out + n->workspace;
    for (int i = 0; i < n->n_inputs; i++) {
        int t = n->input[i];
        bool last = r->waiting[t] == 1 && !order_is_repeat(n->input, i);
        if (!last) continue;
        freed += r->s->bytes[t];
        if (n->over >> i & 1 && out <= r->s->bytes[t])
            *during = fmin(*during, r->live + n->over_scratch);
    }
    *change = (dead ? 0 : out) - freed;
}

void order_do(order_run *r, int node) {
    const order_node *n = &r->s->node[node];
    double during, change;
    order_try(r, node, &during, &change);
    for (int i = 0; i < n->n_inputs; i++)
        if (!order_is_repeat(n->input, i)) r->waiting[n->input[i]]--;
    r->made[n->output] = true;
    r->done[node] = true;
    r->n_done++;
    r->live += change;
}

lode_status lode_order_peak(const lode_order *s, const int *order, double *peak) {
    order_run r;
    lode_status status = LODE_OK;
    LODE_TRY(order_run_init(s, &r));
    *peak = r.live;
    for (int64_t i = 0; i < s->n_nodes; i++) {
        int node = order ? order[i] : (int)i;
        double during, change;
        if (node < 0 || node >= s->n_nodes || !order_is_ready(&r, node)) {
            status = LODE_FAIL(LODE_ERR_INVALID, "order: node %d cannot run as number %lld", node,
                               (long long)i);
            goto done;
        }
        order_try(&r, node, &during, &change);
        *peak = fmax(*peak, during);
        order_do(&r, node);
    }
done:
    order_run_deinit(&r);
    return status;
}
