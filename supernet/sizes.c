/* sizes.c: sizes that are decisions, in one pass.

   A layer reads at its start what was chosen for each size it has: one option, or a mixture with
   weights. Blocks ask for values (the largest that is active) and for masks. Everything a mask
   multiplies is linear in it, so that most masks go into weights instead of activations:
   - outputs: after the norm that ends a block, gamma M and beta M give M (gamma x^ + beta);
   - hidden channels: the convolution that reads them has columns, W diag(M);
   - taps: the kernel itself, w M, in which smaller kernels are the middle of the largest.
   The gradient of M is the same as that of a product behind the block: <dy, b(x)> per channel. Only
   where weights are drawn per sample, and behind activations, the product is computed. */
#include "supernet/supernet_internal.h"

/* ---- what was chosen ---- */
static lode_status sizes_check(const lode_supernet *net, const net_size *s) {
    const uint64_t options = (UINT64_C(1) << s->of->n) - 1;
    const char *name = net->space->decision[s->of->decision].name;
    if (s->active == 0 || (s->active & ~options) != 0)
        return LODE_FAIL(LODE_ERR_INVALID,
                         "supernet: decision `%s`: no option is active, or one that it does not "
                         "have",
                         name);
    if (s->weights == NULL && (s->active & (s->active - 1)) != 0)
        return LODE_FAIL(LODE_ERR_INVALID,
                         "supernet: decision `%s`: several options without weights", name);
    return LODE_OK;
}

lode_status net_read_sizes(lode_pass *p, const space_layer *l, const lode_choice *choice) {
    const lode_supernet *net = p->net;
    p->sizes.n = 0;
    if (p->building && !net->fixed) return LODE_OK;
    for (int i = 0; i < l->n_sizes; i++) {
        net_size *s = &p->sizes.at[i];
        const int d = l->size[i].decision;
        *s = (net_size){.of = &l->size[i]};
        if (net->fixed) {
            s->active = UINT64_C(1) << net->arch.option[d];
        } else {
            s->active = choice[d].active;
            s->weights = choice[d].weights;
        }
        LODE_TRY(sizes_check(net, s));
        p->sizes.n++;
    }
    return LODE_OK;
}

int net_size_inputs(const net_sizes *s, lode_var **out) {
    int n = 0;
    for (int i = 0; i < s->n; i++)
        if (s->at[i].weights != NULL) out[n++] = s->at[i].weights;
    return n;
}

static const net_size *sizes_find(const lode_pass *p, const space_size *of) {
    for (int i = 0; i < p->sizes.n && of->n > 0; i++)
        if (p->sizes.at[i].of->decision == of->decision) return &p->sizes.at[i];
    return NULL;
}

/* The same where it is a mixture, else NULL. */
static const net_size *sizes_find_mixed(const lode_pass *p, const space_size *of) {
    const net_size *s = sizes_find(p, of);
    return s != NULL && s->weights != NULL ? s : NULL;
}

static double sizes_value(const lode_pass *p, const space_size *of, double given) {
    const net_size *s = sizes_find(p, of);
    if (of->n == 0) return given;
    int k = of->n - 1;
    while (s != NULL && k > 0 && !(s->active >> k & 1)) k--;
    return of->value[k];
}

lode_site net_real_site(const lode_pass *p, const lode_site *site) {
    lode_site real = *site;
    real.in = (int64_t)sizes_value(p, &p->l->in_width, (double)site->in);
    real.out = (int64_t)sizes_value(p, &p->l->out_width, (double)site->out);
    return real;
}

double lode_pass_size(const lode_pass *p, lode_size which, double given) {
    return sizes_value(p, &p->op->size[which], given);
}

bool lode_pass_decides(const lode_pass *p, lode_size which) { return p->op->size[which].n > 0; }

/* ---- masks ---- */
static bool sizes_is_active(const net_size *s, int k) { return (s->active >> k & 1) != 0; }

lode_var *lode_pass_out_mask(lode_pass *p) {
    const net_size *s = sizes_find_mixed(p, &p->l->out_width);
    int64_t width[LODE_MAX_WIDTHS];
    if (s == NULL) return NULL;
    for (int k = 0; k < s->of->n; k++)
        width[k] = sizes_is_active(s, k) ? (int64_t)s->of->value[k] : 0;
    return lode_prefix_mask(p->tape, s->weights, width, s->of->n,
                            (int64_t)sizes_value(p, s->of, 0));
}

static bool sizes_per_sample(const net_size *s) {
    return s != NULL && s->weights->value->shape.n_dims == 2;
}

bool lode_pass_masks_samples(const lode_pass *p) {
    return sizes_per_sample(sizes_find_mixed(p, &p->l->out_width)) ||
           sizes_per_sample(sizes_find_mixed(p, &p->l->in_width)) ||
           sizes_per_sample(sizes_find_mixed(p, &p->op->size[LODE_SIZE_EXPAND])) ||
           sizes_per_sample(sizes_find_mixed(p, &p->op->size[LODE_SIZE_HIDDEN]));
}

lode_var *lode_pass_multiply(lode_pass *p, lode_var *y, lode_var *mask) {
    if (y == NULL || mask == NULL) return NULL;
    const lode_shape *m = &mask->value->shape;
    lode_shape s = {.n_dims = y->value->shape.n_dims};
    for (int d = 0; d < s.n_dims; d++) s.dim[d] = 1;
    s.dim[0] = m->n_dims == 2 ? m->dim[0] : 1;
    s.dim[1] = m->dim[m->n_dims - 1];
    return lode_mul(p->tape, y, lode_reshape(p->tape, mask, &s));
}

lode_var *lode_pass_mask(lode_pass *p, lode_var *y) {
    lode_var *mask = lode_pass_out_mask(p);
    if (mask == NULL) return lode_tape_status(p->tape) == LODE_OK ? y : NULL;
    return lode_pass_multiply(p, y, mask);
}

/* Over the widths of the input, at one value v of `own`; or over its values when `in` is no
 * mixture.
 */
static lode_var *sizes_hidden_row(lode_pass *p, const net_size *in, const net_size *own, double v,
                                  int64_t channels, int64_t total, lode_hidden_count count,
                                  const void *params) {
    const net_size *over = in != NULL ? in : own;
    int64_t width[LODE_MAX_WIDTHS];
    for (int k = 0; k < over->of->n; k++) {
        const double at = over->of->value[k];
        width[k] = in != NULL ? count(params, v, (int64_t)at) : count(params, at, channels);
        if (!sizes_is_active(over, k)) width[k] = 0;
    }
    return lode_prefix_mask(p->tape, over->weights, width, over->of->n, total);
}

lode_var *lode_pass_hidden_mask(lode_pass *p, lode_size which, double given, int64_t channels,
                                lode_hidden_count count, const void *params) {
    const net_size *in = which == LODE_SIZE_HIDDEN ? NULL : sizes_find_mixed(p, &p->l->in_width);
    const net_size *own = sizes_find_mixed(p, &p->op->size[which]);
    const double v = lode_pass_size(p, which, given);
    const int64_t total = count(params, v, channels);
    lode_var *row[LODE_MAX_WIDTHS] = {NULL};
    if (in == NULL && own == NULL) return NULL;
    if (in == NULL || own == NULL)
        return sizes_hidden_row(p, in, own, v, channels, total, count, params);
    for (int k = 0; k < own->of->n; k++) {
        if (!sizes_is_active(own, k)) continue;
        row[k] = sizes_hidden_row(p, in, NULL, own->of->value[k], channels, total, count, params);
        if (row[k] == NULL) return NULL;
    }
    return lode_weighted_sum(p->tape, row, own->of->n, own->weights);
}

/* Which ring of a k x k kernel a tap is on, 0 the middle: [k k]. */
static lode_var *sizes_rings(lode_pass *p, int64_t k) {
    lode_shape shape = LODE_SHAPE1(k * k);
    lode_tensor *ring;
    lode_status status =
        lode_tensor_zeros(lode_cpu_device(), LODE_S32, &shape, LODE_CONTIGUOUS, &ring);
    if (status != LODE_OK) return lode_tape_fail(p->tape, status);
    for (int64_t i = 0; i < k * k; i++) {
        const int64_t u = i / k - k / 2, v = i % k - k / 2;
        const int64_t a = u < 0 ? -u : u, b = v < 0 ? -v : v;
        lode_put(ring, i, (double)(a > b ? a : b));
    }
    lode_var *out = lode_tape_constant(p->tape, ring);
    lode_tensor_release(ring);
    return out;
}

lode_var *lode_pass_tap_mask(lode_pass *p) {
    const net_size *s = sizes_find_mixed(p, &p->op->size[LODE_SIZE_KERNEL]);
    lode_tape *t = p->tape;
    int64_t width[LODE_MAX_WIDTHS];
    if (s == NULL) return NULL;
    if (sizes_per_sample(s))
        return lode_tape_fail(t, LODE_FAIL(LODE_ERR_UNSUPPORTED,
                                           "supernet: decision `%s` mixes kernels, which one batch "
                                           "shares: use weights per batch (arch.noise: batch)",
                                           p->net->space->decision[s->of->decision].name));
    const int64_t k = (int64_t)sizes_value(p, s->of, 0), rings = (k + 1) / 2;
    for (int i = 0; i < s->of->n; i++)
        width[i] = sizes_is_active(s, i) ? ((int64_t)s->of->value[i] + 1) / 2 : 0;
    const lode_shape column = LODE_SHAPE2(rings, 1), taps = LODE_SHAPE4(1, 1, k, k);
    lode_var *ring = lode_prefix_mask(t, s->weights, width, s->of->n, rings);
    ring = lode_reshape(t, ring, &column);
    return lode_reshape(t, lode_embedding(t, ring, sizes_rings(p, k)), &taps);
}

/* ---- parts of weights ---- */
/* The first of channels (dims 0 and 1), the middle of taps (dims 2 and 3). */
static int64_t sizes_begin(const lode_shape *whole, const lode_shape *part, int d) {
    return d < 2 ? 0 : (whole->dim[d] - part->dim[d]) / 2;
}

bool net_is_part(const lode_shape *whole, const lode_shape *part) {
    bool fits = whole->n_dims == part->n_dims;
    for (int d = 0; fits && d < part->n_dims; d++)
        fits = part->dim[d] <= whole->dim[d] && (d < 2 || (whole->dim[d] - part->dim[d]) % 2 == 0);
    return fits;
}

lode_status net_part_of(lode_tensor *whole, const lode_shape *shape, lode_tensor **out) {
    lode_tensor *part = lode_tensor_retain(whole);
    for (int d = 0; d < shape->n_dims; d++) {
        lode_tensor *next;
        const int64_t begin = sizes_begin(&whole->shape, shape, d);
        lode_status status = lode_tensor_slice(part, d, begin, begin + shape->dim[d], 1, &next);
        lode_tensor_release(part);
        if (status != LODE_OK) return status;
        part = next;
    }
    *out = part;
    return LODE_OK;
}

lode_var *net_part_var(lode_pass *p, lode_parameter *q, const lode_shape *shape) {
    lode_tape *t = p->tape;
    lode_tensor *part = NULL;
    const bool trace = lode_tape_get_mode(t) == LODE_TRACE && p->options.fuse != LODE_FUSE_TRACE;
    if (q->kind == LODE_PARAM_RUNNING || trace) {
        /* Statistics are updated in place; a trace shows the network that would be extracted. */
        lode_status status =
            trace ? lode_tensor_shapeless_storage(q->value->dtype, shape, LODE_CONTIGUOUS, &part)
                  : net_part_of(q->value, shape, &part);
        if (status != LODE_OK) return lode_tape_fail(t, status);
        lode_var *v = lode_tape_constant(t, part);
        lode_tensor_release(part);
        return v;
    }
    lode_pad_params cut = {.value = 0};
    for (int d = 0; d < shape->n_dims; d++) {
        cut.before[d] = -sizes_begin(&q->value->shape, shape, d);
        cut.after[d] = shape->dim[d] - q->value->shape.dim[d] - cut.before[d];
    }
    return lode_pad(t, lode_parameter_var(t, q), &cut);
}
