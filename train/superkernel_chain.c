/* superkernel_chain.c: indicators in chains, on a tape and in numbers.

   An indicator looks at the norm of what its option has and the one before has not: a ring of taps,
   or rows of the kernel that the ring's indicators left. It counts only with all before it. */
#include "ops/ops.h"
#include "ops/relaxed.h"
#include "train/superkernel_internal.h"

#include <math.h>
#include <stdlib.h>

static const lode_decision *superkernel_decision(const superkernel_chains *c, int d) {
    return lode_space_decision(c->space, d);
}

/* ---- indicators on a tape ---- */
typedef struct superkernel_pass {
    const superkernel_chains *c;
    lode_tape *t;
} superkernel_pass;

/* 1(|x| - t_i) [1]. */
static lode_var *superkernel_indicator(superkernel_pass *p, int decision, int i, lode_var *x) {
    lode_var *t = lode_parameter_var(p->t, p->c->threshold[decision]);
    t = lode_slice(p->t, t, 0, i, i + 1, 1);
    lode_var *d = lode_indicator(p->t, lode_sub(p->t, lode_l2_norm(p->t, x), t));
    return p->c->dropout > 0 ? lode_dropout(p->t, d, p->c->dropout) : d;
}

/* A constant with ones on ring `i` of the kernels of a decision: the taps that option i has and
   option i - 1 has not. */
static bool superkernel_on_ring(const lode_decision *kernel, int i, int64_t side, int64_t tap) {
    const int64_t u = llabs(tap / side - side / 2), v = llabs(tap % side - side / 2);
    const int64_t reach = u > v ? u : v;
    return reach <= (int64_t)kernel->value[i] / 2 &&
           (i == 0 || reach > (int64_t)kernel->value[i - 1] / 2);
}

static lode_var *superkernel_ring(superkernel_pass *p, const lode_decision *kernel, int i,
                                  int64_t side) {
    const lode_shape shape = LODE_SHAPE4(1, 1, side, side);
    lode_tensor *mask;
    lode_status status = lode_tensor_zeros(NULL, p->c->dtype, &shape, LODE_CONTIGUOUS, &mask);
    if (status != LODE_OK) return lode_tape_fail(p->t, status);
    for (int64_t k = 0; k < side * side; k++)
        lode_put(mask, k, superkernel_on_ring(kernel, i, side, k));
    lode_var *v = lode_tape_constant(p->t, mask);
    lode_tensor_release(mask);
    return v;
}

/* Weights [n] of a chain: part[i] is d_1 .. d_i; part[0] NULL stands for 1. */
static lode_var *superkernel_weights(superkernel_pass *p, lode_var *const *part, int n) {
    lode_var *w[LODE_MAX_OPTIONS];
    const lode_shape one = LODE_SHAPE1(1);
    lode_tensor *ones;
    lode_status status = lode_tensor_zeros(NULL, p->c->dtype, &one, LODE_CONTIGUOUS, &ones);
    if (status == LODE_OK) status = lode_tensor_fill(ones, 1);
    if (status != LODE_OK) return lode_tape_fail(p->t, status);
    lode_var *first = lode_tape_constant(p->t, ones);
    lode_tensor_release(ones);
    for (int i = 0; i < n; i++) {
        w[i] = i == 0 ? first : part[i];
        if (i + 1 < n) w[i] = lode_sub(p->t, w[i], part[i + 1]);
    }
    return n == 1 ? w[0] : lode_concat(p->t, w, n, 0);
}

/* The masked kernel; fills the weights of the kernel's decision. */
static lode_var *superkernel_kernel(superkernel_pass *p, const superkernel_block *b, lode_var *w) {
    if (b->kernel < 0) return w;
    const lode_decision *kernel = superkernel_decision(p->c, b->kernel);
    lode_var *part[LODE_MAX_OPTIONS] = {NULL};
    lode_var *sum = lode_mul(p->t, w, superkernel_ring(p, kernel, 0, b->side));
    for (int i = 1; i < kernel->n_options; i++) {
        lode_var *ring = lode_mul(p->t, w, superkernel_ring(p, kernel, i, b->side));
        lode_var *d = superkernel_indicator(p, b->kernel, i - 1, ring);
        part[i] = i == 1 ? d : lode_mul(p->t, part[i - 1], d);
        sum = lode_add(p->t, sum, lode_mul(p->t, ring, part[i]));
    }
    p->c->weights[b->kernel] = superkernel_weights(p, part, kernel->n_options);
    return sum;
}

/* Rows of the kernel that expansion i has. */
static int64_t superkernel_rows_of(const superkernel_block *b, const lode_decision *expand, int i) {
    return (int64_t)llround(expand->value[i] * (double)b->rows /
                            expand->value[expand->n_options - 1]);
}

static void superkernel_expansion(superkernel_pass *p, const superkernel_block *b, lode_var *w) {
    const superkernel_chains *s = p->c;
    lode_var *part[LODE_MAX_OPTIONS] = {NULL}, *first = w;
    if (b->expand >= 0) {
        const lode_decision *expand = superkernel_decision(s, b->expand);
        first = lode_slice(p->t, w, 0, 0, superkernel_rows_of(b, expand, 0), 1);
        for (int i = 1; i < expand->n_options; i++) {
            const int64_t begin = superkernel_rows_of(b, expand, i - 1);
            lode_var *rows = lode_slice(p->t, w, 0, begin, superkernel_rows_of(b, expand, i), 1);
            lode_var *d = superkernel_indicator(p, b->expand, i - 1, rows);
            part[i] = i == 1 ? d : lode_mul(p->t, part[i - 1], d);
        }
        s->weights[b->expand] = superkernel_weights(p, part, expand->n_options);
    }
    if (b->choice < 0) return;
    const int n = superkernel_decision(s, b->choice)->n_options;
    if (n > 1) part[1] = superkernel_indicator(p, b->choice, 0, first);
    lode_var *both = superkernel_weights(p, part, n); /* [skip, block] */
    if (n > 1 && b->own == 0)
        both = lode_concat(
            p->t,
            (lode_var *[]){lode_slice(p->t, both, 0, 1, 2, 1), lode_slice(p->t, both, 0, 0, 1, 1)},
            2, 0);
    s->weights[b->choice] = both;
}

void superkernel_weigh(const superkernel_chains *c, lode_tape *t, const superkernel_block *b) {
    superkernel_pass p = {c, t};
    superkernel_expansion(&p, b, superkernel_kernel(&p, b, lode_parameter_var(t, b->depthwise)));
}

/* ---- the same in numbers ---- */
/* sqrt of the sum of squares over rows [begin, end) and the taps that option k of the kernel has;
   only: on its ring alone. */
static double superkernel_norm(const superkernel_chains *s, const superkernel_block *b,
                               int64_t begin, int64_t end, int k, bool only) {
    const lode_decision *kernel = b->kernel >= 0 ? superkernel_decision(s, b->kernel) : NULL;
    const int64_t taps = b->side * b->side;
    double sum = 0;
    for (int64_t i = begin * taps; i < end * taps; i++) {
        bool counts = kernel == NULL;
        for (int r = only ? k : 0; kernel != NULL && r <= k; r++)
            counts = counts || superkernel_on_ring(kernel, r, b->side, i % taps);
        const double v = lode_at(b->depthwise->value, i);
        if (counts) sum += v * v;
    }
    return sqrt(sum);
}

static bool superkernel_passes(const superkernel_chains *s, int decision, int i, double norm) {
    return norm - lode_at(s->threshold[decision]->value, i) >= 0;
}

void superkernel_settle(const superkernel_chains *s, const superkernel_block *b, int *kernel,
                        int *expand, int *choice) {
    const lode_decision *e = b->expand >= 0 ? superkernel_decision(s, b->expand) : NULL;
    *kernel = *expand = 0;
    *choice = b->own;
    if (b->kernel >= 0)
        while (*kernel + 1 < superkernel_decision(s, b->kernel)->n_options &&
               superkernel_passes(s, b->kernel, *kernel,
                                  superkernel_norm(s, b, 0, b->rows, *kernel + 1, true)))
            ++*kernel;
    while (e != NULL && *expand + 1 < e->n_options &&
           superkernel_passes(s, b->expand, *expand,
                              superkernel_norm(s, b, superkernel_rows_of(b, e, *expand),
                                               superkernel_rows_of(b, e, *expand + 1), *kernel,
                                               false)))
        ++*expand;
    if (b->choice < 0 || superkernel_decision(s, b->choice)->n_options < 2) return;
    const int64_t first = e != NULL ? superkernel_rows_of(b, e, 0) : b->rows;
    if (!superkernel_passes(s, b->choice, 0, superkernel_norm(s, b, 0, first, *kernel, false)))
        *choice = 1 - b->own;
}
