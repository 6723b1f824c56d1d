/* nest_words.c: how many words of a tensor a step has, and how many it shares with the step
   before: products of lengths and of overlaps along the loops.

   Elements have equal parts but for the last along each spatial loop, so sums over elements are
   products of sums over a few classes of units. Rows of inputs are those of outputs times the
   stride plus those of the kernel: one interval, or a comb where the stride is longer than the part
   of the kernel. */
#include "hwcost/nest_internal.h"

enum { D = LODE_N_NEST_DIMS };

/* ---- lengths, and what two boxes share ---- */

/* Some units along one dimension, all alike: `count` of them. */
typedef struct span {
    double count;
    int64_t start, length, before, before_length; /* now, and in the step before */
} span;

static double span_shared(const span *s) {
    int64_t from = s->start > s->before ? s->start : s->before;
    int64_t to = nest_min(s->start + s->length, s->before + s->before_length);
    return to > from ? (double)(to - from) : 0;
}

/* Rows {y stride + r}: one interval, or a comb. */
typedef struct rows {
    int64_t y, n_y, r, n_r, stride;
} rows;

static bool rows_are_one(const rows *a) { return a->n_y == 1 || a->n_r >= a->stride; }

static int64_t rows_first(const rows *a) { return a->y * a->stride + a->r; }

static int64_t rows_count(const rows *a) {
    if (a->n_y == 0 || a->n_r == 0) return 0;
    return rows_are_one(a) ? (a->n_y - 1) * a->stride + a->n_r : a->n_y * a->n_r;
}

static bool rows_have(const rows *a, int64_t e) {
    int64_t offset = e - rows_first(a);
    if (rows_count(a) == 0 || offset < 0) return false;
    if (rows_are_one(a)) return offset < rows_count(a);
    return offset / a->stride < a->n_y && offset % a->stride < a->n_r;
}

static double rows_shared(const rows *a, const rows *b) {
    int64_t n = rows_count(a), shared = 0;
    if (rows_count(b) == 0) return 0;
    if (rows_are_one(a) && rows_are_one(b)) {
        span s = {1, rows_first(a), n, rows_first(b), rows_count(b)};
        return span_shared(&s);
    }
    for (int64_t i = 0; i < n; i++)
        shared += rows_have(b, rows_first(a) +
                                   (rows_are_one(a) ? i : i / a->n_r * a->stride + i % a->n_r));
    return (double)shared;
}

/* ---- words of a tensor ---- */

/* The units along a dimension in at most four spans; together: all units as one. */
typedef struct spans {
    int n;
    span s[4];
} spans;

static spans spans_of(const nest_box *now, const nest_box *before, bool together) {
    spans out = {.n = 0};
    int64_t part = together ? now->length : now->part;
    int64_t last = together ? before->length : before->part;
    int64_t units = nest_ceil(now->length, part),
            others = last > 0 ? nest_ceil(before->length, last) : 0;
    for (int64_t j = 0, next; j < units; j = next) {
        const int64_t edge[3] = {units - 1, others - 1, others};
        next = units;
        for (int k = 0; k < 3; k++)
            if (edge[k] > j && edge[k] < next) next = edge[k];
        out.s[out.n++] =
            (span){.count = (double)(next - j),
                   .start = now->start + j * part,
                   .length = nest_min(part, now->length - j * part),
                   .before = before->start + j * last,
                   .before_length = j < others ? nest_min(last, before->length - j * last) : 0};
    }
    return out;
}

static void words_times(nest_extent *w, double all, double shared) {
    w->all *= all;
    w->shared *= shared;
}

static void words_along(nest_extent *w, const spans *s, bool coupled) {
    double all = 0, shared = 0;
    for (int i = 0; i < s->n; i++) {
        all += s->s[i].count * (coupled ? (double)s->s[i].length : 1);
        shared += s->s[i].count * (coupled ? span_shared(&s->s[i]) : s->s[i].before_length > 0);
    }
    words_times(w, all, shared);
}

static void words_along_rows(nest_extent *w, const spans *y, const spans *r, int64_t stride) {
    double all = 0, shared = 0;
    for (int i = 0; i < y->n; i++)
        for (int k = 0; k < r->n; k++) {
            const span *a = &y->s[i], *b = &r->s[k];
            rows now = {a->start, a->length, b->start, b->length, stride};
            rows before = {a->before, a->before_length, b->before, b->before_length, stride};
            all += a->count * b->count * (double)rows_count(&now);
            shared += a->count * b->count * rows_shared(&now, &before);
        }
    words_times(w, all, shared);
}

nest_extent nest_words(const lode_nest_layer *l, const nest_box *now, const nest_box *before,
                       int tensor, bool together) {
    nest_extent w = {1, 1};
    spans s[D];
    for (int d = 0; d < D; d++) s[d] = spans_of(&now[d], &before[d], together);
    bool out = tensor == NEST_OUTPUTS, in = tensor == NEST_INPUTS;
    words_along(&w, &s[LODE_NEST_N], tensor != NEST_WEIGHTS);
    words_along(&w, &s[LODE_NEST_K], !in);
    words_along(&w, &s[LODE_NEST_C], !out || l->depthwise);
    if (in) {
        words_along_rows(&w, &s[LODE_NEST_Y], &s[LODE_NEST_R], l->stride);
        words_along_rows(&w, &s[LODE_NEST_X], &s[LODE_NEST_S], l->stride);
        return w;
    }
    words_along(&w, &s[LODE_NEST_Y], out);
    words_along(&w, &s[LODE_NEST_X], out);
    words_along(&w, &s[LODE_NEST_R], !out);
    words_along(&w, &s[LODE_NEST_S], !out);
    return w;
}
