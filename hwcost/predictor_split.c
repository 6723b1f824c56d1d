/* predictor_split.c: which rows are learned from and which are held out.

   Rows of one network form a group. Groups are put into an order drawn from the seed; the first
   ones are held out. The others are put into an order of their own, from which rows are taken until
   there are enough; so fewer rows are always a part of more. (methods D5: duplicates leak) */
#include "core/memory.h"
#include "hwcost/predictor.h"

#include <math.h>
#include <stdlib.h>

enum { SPLIT_TEST_INDEX = 40, SPLIT_TRAIN_INDEX = 41 };

lode_predictor_split lode_predictor_split_defaults(void) {
    return (lode_predictor_split){.seed = 1, .test = 0.2, .valid = 0.15};
}

/* A row and the network it is about, ordered by network, then row. */
typedef struct split_row {
    uint64_t hash;
    int64_t row;
} split_row;

static int split_compare(const void *a, const void *b) {
    const split_row *x = a, *y = b;
    if (x->hash != y->hash) return x->hash < y->hash ? -1 : 1;
    return (x->row > y->row) - (x->row < y->row);
}

typedef struct split_groups {
    split_row *row; /* [n] groups one after the other */
    int64_t *begin; /* [n_groups + 1] into row */
    int64_t n_groups;
    int64_t *order; /* [n_groups] */
} split_groups;

static void split_deinit(split_groups *g) {
    lode_free(g->row);
    lode_free(g->begin);
    lode_free(g->order);
}

static lode_status split_init(const lode_predictor_rows *rows, split_groups *g) {
    g->row = LODE_NEW_ARRAY(split_row, rows->n);
    g->begin = LODE_NEW_ARRAY(int64_t, rows->n + 1);
    g->order = LODE_NEW_ARRAY(int64_t, rows->n);
    if (!g->row || !g->begin || !g->order) return LODE_ERR_NO_MEMORY;
    for (int64_t i = 0; i < rows->n; i++)
        g->row[i] = (split_row){lode_arch_hash(rows->space, &rows->arch[i]), i};
    qsort(g->row, (size_t)rows->n, sizeof *g->row, split_compare);
    for (int64_t i = 0; i < rows->n; i++)
        if (i == 0 || g->row[i].hash != g->row[i - 1].hash) g->begin[g->n_groups++] = i;
    g->begin[g->n_groups] = rows->n;
    return LODE_OK;
}

static int64_t split_mark(const split_groups *g, int64_t group, bool one, lode_predictor_part what,
                          lode_predictor_part *part) {
    int64_t begin = g->begin[group], end = one ? begin + 1 : g->begin[group + 1];
    for (int64_t i = begin; i < end; i++) part[g->row[i].row] = what;
    return end - begin;
}

/* Marks groups order[from..], one row of each or all, until `want` rows are marked; *next: the
 * group after them. */
static int64_t split_take(const split_groups *g, int64_t from, int64_t want, bool one,
                          lode_predictor_part what, lode_predictor_part *part, int64_t *next) {
    int64_t taken = 0;
    for (*next = from; *next < g->n_groups && taken < want; ++*next)
        taken += split_mark(g, g->order[*next], one, what, part);
    return taken;
}

static lode_status split_rows(const lode_predictor_rows *rows, const lode_predictor_split *split,
                              split_groups *g, lode_predictor_part *part) {
    lode_rng rng = lode_rng_stream(split->seed, LODE_RNG_SPLIT, SPLIT_TEST_INDEX);
    int64_t first = 0, after, held = 0;
    lode_rng_permutation(&rng, g->order, g->n_groups);
    if (split->test > 0)
        held = split_take(g, 0, (int64_t)ceil(split->test * (double)rows->n), false, LODE_PART_TEST,
                          part, &first);
    /* the rest in another order, of its own for every draw */
    rng = lode_rng_stream(split->seed, LODE_RNG_SPLIT, SPLIT_TRAIN_INDEX + split->draw);
    for (int64_t i = g->n_groups - 1; i > first; i--) {
        int64_t j = first + lode_rng_below(&rng, i - first + 1), kept = g->order[i];
        g->order[i] = g->order[j];
        g->order[j] = kept;
    }
    int64_t want = split->train > 0 ? split->train : rows->n - held;
    if (want > rows->n - held)
        return LODE_FAIL(LODE_ERR_DATA,
                         "%lld rows to learn from are wanted, %lld of %lld are not held out; ask "
                         "for fewer, or hold out less",
                         (long long)want, (long long)(rows->n - held), (long long)rows->n);
    int64_t valid = (int64_t)(split->valid * (double)want + 0.5);
    int64_t learned =
        split_take(g, first, want - valid, split->distinct, LODE_PART_TRAIN, part, &after);
    split_take(g, after, valid, split->distinct, LODE_PART_VALID, part, &first);
    return learned >= 2 ? LODE_OK
                        : LODE_FAIL(LODE_ERR_DATA, "%lld rows to learn from: want at least 2",
                                    (long long)learned);
}

lode_status lode_predictor_split_rows(const lode_predictor_rows *rows,
                                      const lode_predictor_split *split,
                                      lode_predictor_part *part) {
    split_groups g = {0};
    if (!(split->test >= 0 && split->test < 1 && split->valid >= 0 && split->valid < 1))
        return LODE_FAIL(LODE_ERR_CONFIG, "shares of rows: test %g and valid %g must be in [0, 1)",
                         split->test, split->valid);
    for (int64_t i = 0; i < rows->n; i++) part[i] = LODE_PART_UNUSED;
    lode_status status = split_init(rows, &g);
    if (status == LODE_OK) status = split_rows(rows, split, &g, part);
    split_deinit(&g);
    return status;
}
