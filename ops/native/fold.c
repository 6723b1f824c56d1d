/* fold.c: see fold.h. */
#include "ops/native/fold.h"

#include "core/parallel.h"
#include "ops/native/pack.h"
#include "ops/native/simd.h"

#include <string.h>

enum { FOLD_PIECE = 1 << 14 }; /* floats of x in a piece, at least */

/* ---- the plan ---- */

/* x's dims as they follow each other in memory, outermost first; false when x is not dense. */
static bool fold_order(const lode_tensor *x, int order[LODE_MAX_DIMS]) {
    static const int last[4] = {0, 2, 3, 1};
    const bool plain = lode_is_packed(x, LODE_CONTIGUOUS);
    if (!plain && !(x->shape.n_dims == 4 && lode_is_packed(x, LODE_CHANNELS_LAST))) return false;
    for (int d = 0; d < x->shape.n_dims; d++) order[d] = plain ? d : last[d];
    return true;
}

/* The dim of `out` that x's dim d becomes; -1 when out lacks it. */
static int fold_out_dim(const lode_tensor *x, uint32_t reduced, const lode_tensor *out,
                        bool compact, int d) {
    if (!compact) return d - (x->shape.n_dims - out->shape.n_dims);
    if (reduced >> d & 1u) return -1;
    int n = 0;
    for (int k = 0; k < d; k++) n += !(reduced >> k & 1u);
    return n;
}

bool lode_fold_plan(const lode_tensor *x, uint32_t reduced, const lode_tensor *out, bool compact,
                    lode_fold *plan) {
    int order[LODE_MAX_DIMS] = {0};
    if (lode_tensor_count(x) == 0 || !fold_order(x, order)) return false;
    *plan = (lode_fold){1, 1, 1, 1};
    int64_t want = 1; /* stride in `out` of the next kept dim, from the innermost */
    enum { INNER, ROWS, OUTER } part = INNER;
    for (int k = x->shape.n_dims - 1; k >= 0; k--) {
        const int d = order[k], o = fold_out_dim(x, reduced, out, compact, d);
        const int64_t n = x->shape.dim[d];
        if (n == 1) continue;
        if (reduced >> d & 1u) {
            if (part == OUTER) return false;
            part = ROWS;
            plan->rows *= n;
            continue;
        }
        if (part == ROWS) part = OUTER;
        if (o < 0 || out->stride[o] != want) return false;
        want *= n;
        *(part == INNER ? &plan->inner : &plan->outer) *= n;
    }
    if (part == INNER) { /* nothing is summed: every element is its own row */
        plan->outer = plan->inner;
        plan->inner = 1;
    }
    plan->piece = (FOLD_PIECE + plan->inner - 1) / plan->inner;
    if (plan->piece > plan->rows) plan->piece = plan->rows;
    return true;
}

/* ---- the run ---- */

typedef struct fold_job {
    lode_fold plan;
    int64_t pieces; /* of one o */
    const float *x, *z;
    double scale, *partial; /* [outer, pieces, inner] */
    float *out;
    void (*rows)(int64_t rows, int64_t n, const float *x, const float *z, double *sum);
} fold_job;

static int64_t fold_pieces(const lode_fold *p) { return lode_parallel_pieces(p->rows, p->piece); }

size_t lode_fold_scratch(const lode_fold *p) {
    return (size_t)(p->outer * fold_pieces(p) * p->inner) * sizeof(double);
}

static void fold_sum(void *ctx, int64_t piece, int64_t begin, int64_t end) {
    const fold_job *j = ctx;
    const lode_fold *p = &j->plan;
    (void)piece;
    for (int64_t i = begin; i < end; i++) {
        const int64_t first = i % j->pieces * p->piece, left = p->rows - first;
        const int64_t at = (i / j->pieces * p->rows + first) * p->inner;
        double *sum = j->partial + i * p->inner;
        memset(sum, 0, (size_t)p->inner * sizeof *sum);
        j->rows(left < p->piece ? left : p->piece, p->inner, j->x + at, j->z ? j->z + at : NULL,
                sum);
    }
}

static void fold_finish(void *ctx, int64_t piece, int64_t begin, int64_t end) {
    const fold_job *j = ctx;
    const int64_t inner = j->plan.inner;
    (void)piece;
    for (int64_t i = begin; i < end; i++) {
        const double *partial = j->partial + i / inner * j->pieces * inner + i % inner;
        double sum = 0;
        for (int64_t p = 0; p < j->pieces; p++) sum += partial[p * inner];
        j->out[i] = (float)(sum * j->scale);
    }
}

void lode_fold_run(const lode_fold *plan, const float *x, const float *z, double scale, float *out,
                   void *scratch) {
    fold_job j = {.plan = *plan,
                  .pieces = fold_pieces(plan),
                  .x = x,
                  .z = z,
                  .scale = scale,
                  .partial = scratch,
                  .out = out,
                  .rows = lode_simd_get()->fold_rows};
    const int64_t work = plan->piece * plan->inner;
    lode_parallel_for(plan->outer * j.pieces, work < FOLD_PIECE ? FOLD_PIECE / work : 1, fold_sum,
                      &j);
    lode_parallel_for(plan->outer * plan->inner, FOLD_PIECE, fold_finish, &j);
}
