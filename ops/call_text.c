/* call_text.c: a call in words, which is also its key in cost tables (format: dispatch.h). */
#include "ops/dispatch.h"

static void text_tensor(lode_text *t, const lode_tensor *x, lode_dtype usual) {
    if (x == NULL) {
        lode_text_add(t, " -");
        return;
    }
    lode_text_add(t, " [");
    for (int d = 0; d < x->shape.n_dims; d++)
        lode_text_add(t, "%s%lld", d > 0 ? "," : "", (long long)x->shape.dim[d]);
    lode_text_add(t, "]");
    if (x->dtype != usual) lode_text_add(t, ":%s", lode_dtype_name(x->dtype));
}

/* The last absent inputs say nothing: a convolution without bias is one with two inputs. */
static int inputs_worth_showing(const lode_op_call *c) {
    int n = c->n_x;
    while (n > 0 && c->x[n - 1] == NULL) n--;
    return n;
}

char *lode_call_text(const lode_op_call *c) {
    lode_text t = {0};
    lode_dtype usual = c->y != NULL ? c->y->dtype : c->x[0]->dtype;
    lode_text_add(&t, "%s", c->op->name);
    if (c->op->print_params != NULL) {
        char params[96] = "";
        c->op->print_params(c->params, params);
        if (params[0] != '\0') lode_text_add(&t, " %s", params);
    }
    for (int i = 0, n = inputs_worth_showing(c); i < n; i++) text_tensor(&t, c->x[i], usual);
    lode_text_add(&t, " %s", lode_dtype_name(usual));
    return lode_text_take(&t);
}

uint64_t lode_call_hash(const lode_op_call *c) {
    char *text = lode_call_text(c);
    uint64_t hash = text != NULL ? lode_hash_text(text) : 0;
    lode_free(text);
    return hash;
}
