/* cost_separate.c: a cost as one price per option, where it is that simple. */
#include "hwcost/cost_internal.h"

#include <string.h>

bool lode_cost_separate(const lode_cost *c, double *base, double (*price)[LODE_MAX_OPTIONS]) {
    if (c->model->separate != NULL && c->n_decisions > 0)
        return c->model->separate(c->self, base, price);
    if (!cost_is_sum(c)) return false;
    for (int i = 0; i < c->n_terms; i++)
        if (c->term[i].n_reads > 1) return false;
    *base = c->constant;
    memset(price, 0, (size_t)c->n_decisions * sizeof *price);
    for (int i = 0; i < c->n_terms; i++) {
        const cost_term *term = &c->term[i];
        if (term->n_reads == 0) {
            *base += term->price[0];
            continue;
        }
        const lode_block_read *read = &term->reads[0];
        for (int k = 0; k < c->n_options[read->decision]; k++)
            price[read->decision][k] += term->price[read->class_of[k]];
    }
    return true;
}
