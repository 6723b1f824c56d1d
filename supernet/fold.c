/* fold.c: a trace of inference, folded (frozen.h says what that means and where it ends).

   The plain trace is walked in order. At a convolution the chain behind it is looked for: norm,
   activation, addition, each if the one before has no other reader and they lie in one block. The
   chain becomes one call at the convolution's place; all its other operands exist by then, since
   an addition is joined only when its other operand was made before the convolution. Everything
   else is recorded as it is. */
#include "supernet/frozen_internal.h"

#include <math.h>
#include <string.h>

typedef struct fold_value {
    lode_var *var; /* on the new tape; NULL: not there yet */
    int readers;   /* uses by calls */
    int reader;    /* the last of them */
} fold_value;

typedef struct fold {
    const lode_tape *plain;
    lode_tape *to;
    bool contents;
    fold_value *value; /* [values of plain] */
    bool *joined;      /* [calls of plain]: part of a chain that is recorded */
} fold;

/* A convolution and what is joined with it. */
typedef struct fold_chain {
    const lode_trace_call *conv, *norm;
    lode_act act;
    int r;    /* value that is added, -1: none */
    int y_id; /* of the last one's result */
} fold_chain;

/* ---- finding chains ---- */

static size_t fold_block_length(const char *label) { return strcspn(label, "/"); }

static bool fold_same_block(const char *a, const char *b) {
    size_t n = fold_block_length(a);
    return n == fold_block_length(b) && memcmp(a, b, n) == 0;
}

/* The one call that reads the chain's result; NULL: none, several, or one of another block. */
static const lode_trace_call *fold_next(const fold *f, const fold_chain *c, int *index) {
    const fold_value *v = &f->value[c->y_id];
    if (v->readers != 1) return NULL;
    const lode_trace_call *next = lode_trace_get(f->plain, v->reader);
    *index = v->reader;
    return fold_same_block(c->conv->label, next->label) ? next : NULL;
}

static void fold_join(fold *f, fold_chain *c, const lode_trace_call *call, int index) {
    f->joined[index] = true;
    c->y_id = call->y_id;
}

static bool fold_is_norm(const fold_chain *c, const lode_trace_call *call) {
    if (call->call.op != &lode_op_batch_norm || call->x_id[0] != c->y_id) return false;
    const lode_batch_norm_params *p = call->call.params;
    return !p->use_batch && call->call.x[3] != NULL && call->call.x[4] != NULL;
}

static lode_act fold_act_of(const lode_op *op) {
    static const lode_op *const of[] = {[LODE_ACT_NONE] = NULL,
                                        [LODE_ACT_RELU] = &lode_op_relu,
                                        [LODE_ACT_RELU6] = &lode_op_relu6,
                                        [LODE_ACT_HSWISH] = &lode_op_hswish,
                                        [LODE_ACT_SWISH] = &lode_op_swish};
    for (int act = LODE_ACT_RELU; act <= LODE_ACT_SWISH; act++)
        if (of[act] == op) return (lode_act)act;
    return LODE_ACT_NONE;
}

/* The other operand of an addition of equal shapes that is there already; -1: no such. */
static int fold_addend(const fold *f, const fold_chain *c, const lode_trace_call *call) {
    if (call->call.op != &lode_op_add || call->call.n_x != 2) return -1;
    int k = call->x_id[0] == c->y_id ? 1 : 0, other = call->x_id[k];
    if (other == c->y_id || f->value[other].var == NULL) return -1;
    return lode_shape_equal(&call->call.x[0]->shape, &call->call.x[1]->shape) ? other : -1;
}

static fold_chain fold_find(fold *f, const lode_trace_call *conv) {
    fold_chain c = {.conv = conv, .r = -1, .y_id = conv->y_id};
    int index;
    const lode_trace_call *next = fold_next(f, &c, &index);
    if (next != NULL && fold_is_norm(&c, next)) {
        c.norm = next;
        fold_join(f, &c, next, index);
        next = fold_next(f, &c, &index);
    }
    if (next != NULL && fold_act_of(next->call.op) != LODE_ACT_NONE) {
        c.act = fold_act_of(next->call.op);
        fold_join(f, &c, next, index);
        next = fold_next(f, &c, &index);
    }
    if (next != NULL && (c.r = fold_addend(f, &c, next)) >= 0) fold_join(f, &c, next, index);
    return c;
}

/* ---- folding a norm into weights ---- */

/* A parameter that the plain trace was given; NULL: absent. */
static const lode_tensor *fold_given(const fold *f, const lode_trace_call *c, int k) {
    return k < c->call.n_x && c->call.x[k] != NULL ? lode_trace_given(f->plain, c->x_id[k]) : NULL;
}

static double fold_at(const lode_tensor *t, int64_t i, double absent) {
    return t != NULL ? lode_at(t, i) : absent;
}

/* w' = s w, b' = s (b - mean) + beta, s = gamma / sqrt(var + eps), per output channel. */
static void fold_fill(const fold *f, const fold_chain *c, lode_tensor *w, lode_tensor *b) {
    const lode_tensor *weight = fold_given(f, c->conv, 1), *bias = fold_given(f, c->conv, 2);
    const lode_tensor *gamma = fold_given(f, c->norm, 1), *beta = fold_given(f, c->norm, 2);
    const lode_tensor *mean = fold_given(f, c->norm, 3), *var = fold_given(f, c->norm, 4);
    double eps = ((const lode_batch_norm_params *)c->norm->call.params)->eps;
    int64_t channels = lode_tensor_count(b), each = lode_tensor_count(w) / channels;
    for (int64_t o = 0; o < channels; o++) {
        double s = fold_at(gamma, o, 1) / sqrt(lode_at(var, o) + eps);
        for (int64_t i = o * each; i < (o + 1) * each; i++) lode_put(w, i, s * lode_at(weight, i));
        lode_put(b, o, s * (fold_at(bias, o, 0) - lode_at(mean, o)) + fold_at(beta, o, 0));
    }
}

static lode_status fold_make(const fold *f, lode_dtype dtype, const lode_shape *shape,
                             lode_tensor **out) {
    if (!f->contents) return lode_tensor_shapeless_storage(dtype, shape, LODE_CONTIGUOUS, out);
    return lode_tensor_create(NULL, dtype, shape, LODE_CONTIGUOUS, out);
}

static lode_status fold_weights(fold *f, const fold_chain *c, lode_var **w_var, lode_var **b_var) {
    const lode_tensor *old = c->conv->call.x[1];
    lode_shape channels = LODE_SHAPE1(old->shape.dim[0]);
    lode_tensor *w = NULL, *b = NULL;
    lode_status status = LODE_OK;
    LODE_GOTO(fold_make(f, old->dtype, &old->shape, &w));
    LODE_GOTO(fold_make(f, old->dtype, &channels, &b));
    if (f->contents) fold_fill(f, c, w, b);
    *w_var = lode_tape_constant(f->to, w);
    *b_var = lode_tape_constant(f->to, b);
    status = lode_tape_status(f->to);
done:
    lode_tensor_release(w);
    lode_tensor_release(b);
    return status;
}

/* ---- recording ---- */

/* Input k of a call on the new tape. */
static lode_var *fold_input(fold *f, const lode_trace_call *c, int k) {
    if (k >= c->call.n_x || c->call.x[k] == NULL) return NULL;
    fold_value *v = &f->value[c->x_id[k]];
    if (v->var == NULL) v->var = lode_tape_constant(f->to, lode_trace_given(f->plain, c->x_id[k]));
    return v->var;
}

static lode_var *fold_apply(fold *f, const char *label, const lode_op *op, lode_var *const *x,
                            int n_x, const void *params) {
    lode_scope scope = lode_tape_enter(f->to, label);
    return lode_tape_leave(f->to, scope, lode_apply(f->to, op, x, n_x, params));
}

static lode_var *fold_record_chain(fold *f, const fold_chain *c) {
    lode_conv_act_params p = {.act = c->act};
    lode_var *x[4] = {fold_input(f, c->conv, 0)};
    memcpy(&p.conv, c->conv->call.params, sizeof p.conv);
    if (c->norm != NULL) {
        lode_status status = fold_weights(f, c, &x[1], &x[2]);
        if (status != LODE_OK) return lode_tape_fail(f->to, status);
    } else {
        x[1] = fold_input(f, c->conv, 1);
        x[2] = fold_input(f, c->conv, 2);
    }
    if (c->r >= 0) x[3] = f->value[c->r].var;
    return fold_apply(f, c->conv->label, &lode_op_conv_act, x, 4, &p);
}

static lode_var *fold_record(fold *f, const lode_trace_call *c) {
    lode_var *x[LODE_MAX_INPUTS];
    for (int k = 0; k < c->call.n_x; k++) x[k] = fold_input(f, c, k);
    return fold_apply(f, c->label, c->call.op, x, c->call.n_x, c->call.params);
}

static void fold_call(fold *f, int i, lode_form form) {
    const lode_trace_call *c = lode_trace_get(f->plain, i);
    if (form == LODE_FORM_PLAIN || c->call.op != &lode_op_conv2d) {
        f->value[c->y_id].var = fold_record(f, c);
        return;
    }
    fold_chain chain = fold_find(f, c);
    f->value[chain.y_id].var = fold_record_chain(f, &chain);
}

/* Who reads what. The first call reads the input. */
static lode_status fold_read(fold *f, lode_var **input) {
    *input = NULL;
    for (int i = 0; i < lode_trace_n(f->plain); i++) {
        const lode_trace_call *c = lode_trace_get(f->plain, i);
        for (int k = 0; k < c->call.n_x; k++) {
            if (c->call.x[k] == NULL) continue;
            fold_value *v = &f->value[c->x_id[k]];
            v->readers++;
            v->reader = i;
        }
        if (i == 0) *input = fold_input(f, c, 0);
    }
    return lode_tape_status(f->to);
}

lode_status fold_trace(const lode_tape *plain, lode_form form, bool contents, lode_tape *to,
                       lode_var **x, lode_var **y) {
    fold f = {.plain = plain, .to = to, .contents = contents};
    lode_status status = LODE_OK;
    int n = lode_trace_n(plain);
    *x = *y = NULL;
    lode_tape_reset(to);
    f.value = LODE_NEW_ARRAY(fold_value, lode_trace_n_values(plain) + 1);
    f.joined = LODE_NEW_ARRAY(bool, n + 1);
    LODE_GOTO(f.value != NULL && f.joined != NULL ? LODE_OK : LODE_ERR_NO_MEMORY);
    LODE_GOTO(fold_read(&f, x));
    for (int i = 0; i < n; i++)
        if (!f.joined[i]) fold_call(&f, i, form);
    LODE_GOTO(lode_tape_status(to));
    *y = f.value[lode_trace_get(plain, n - 1)->y_id].var;
done:
    lode_free(f.value);
    lode_free(f.joined);
    return status;
}
