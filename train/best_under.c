/* best_under.c: the most probable architecture within hard limits, by branch and bound.

   With one price per option, maximizing sum ln p under sum of prices <= limit is a multiple-choice
   knapsack. Every limit is a row: weights w[d][k], and a cap on their sum ("at least" is a row of
   negated prices). For one row and any mu >= 0

       sum ln p <= sum over decisions of max_k (ln p - mu w) + mu cap,

   and with the mu that makes the right side smallest the gap is at most about one decision's. The
   search fixes decisions one after another, options by falling ln p - sum mu w, and turns back
   where this bound for what is left cannot beat the best seen. Sums are formed in another order
   than lode_cost_hard does, so caps are taken a hair wider and every complete architecture is
   checked by the hard costs themselves. */
#include "core/memory.h"
#include "train/best_under_internal.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum { UNDER_MAX_ROWS = 2 * UNDER_MAX_LIMITS, UNDER_MAX_NODES = 4000000 };

typedef struct under_row {
    double w[LODE_MAX_DECISIONS][LODE_MAX_OPTIONS];
    double cap, mu;
    double
        least[LODE_MAX_DECISIONS + 1]; /* smallest sum that the decisions from here on can have */
    double bound[LODE_MAX_DECISIONS + 1]; /* sum of max_k (ln p - mu w) of them */
} under_row;

typedef struct under_tree {
    const under_problem *p;
    under_row *row; /* [n_rows] */
    int n_rows;
    double free_bound[LODE_MAX_DECISIONS + 1];        /* sum of max_k ln p */
    int order[LODE_MAX_DECISIONS];                    /* decisions as they are fixed */
    int option[LODE_MAX_DECISIONS][LODE_MAX_OPTIONS]; /* options as they are tried */
    lode_arch arch;
    int64_t nodes;
    lode_status status;
    under_answer *best;
} under_tree;

/* ---- preparing ---- */

/* Of one row alone: the sum of the options that are best at mu. */
static double tree_weight_at(const under_tree *t, const under_row *r, double mu) {
    double sum = 0;
    for (int d = 0; d < t->p->n; d++) {
        int best = 0;
        double most = -INFINITY;
        for (int k = 0; k < t->p->n_options[d]; k++) {
            double v = t->p->log_p[d][k] - mu * r->w[d][k];
            if (v > most || (v == most && r->w[d][k] < r->w[d][best])) {
                most = v;
                best = k;
            }
        }
        sum += r->w[d][best];
    }
    return sum;
}

/* The mu at which the options that are best just keep the cap. */
static void tree_find_mu(const under_tree *t, under_row *r) {
    double low = 0, high = 1e-9;
    r->mu = 0;
    if (tree_weight_at(t, r, 0) <= r->cap) return;
    while (tree_weight_at(t, r, high) > r->cap && high < 1e30) {
        low = high;
        high *= 4;
    }
    for (int i = 0; i < 100; i++) {
        double mid = (low + high) / 2;
        *(tree_weight_at(t, r, mid) > r->cap ? &low : &high) = mid;
    }
    r->mu = high;
}

static double tree_value(const under_tree *t, int d, int k) {
    double v = t->p->log_p[d][k];
    for (int r = 0; r < t->n_rows; r++) v -= t->row[r].mu * t->row[r].w[d][k];
    return v;
}

/* Those decisions first that change most, and in each the most promising option first. */
static void tree_sort(under_tree *t) {
    double spread[LODE_MAX_DECISIONS];
    for (int d = 0; d < t->p->n; d++) {
        double low = INFINITY, high = -INFINITY;
        for (int k = 0; k < t->p->n_options[d]; k++) {
            double v = tree_value(t, d, k);
            low = fmin(low, v), high = fmax(high, v);
            int at = k;
            for (; at > 0 && tree_value(t, d, t->option[d][at - 1]) < v; at--)
                t->option[d][at] = t->option[d][at - 1];
            t->option[d][at] = k;
        }
        spread[d] = high - low;
        int at = d;
        for (; at > 0 && spread[t->order[at - 1]] < spread[d]; at--)
            t->order[at] = t->order[at - 1];
        t->order[at] = d;
    }
}

static void tree_make_bounds(under_tree *t) {
    for (int i = t->p->n - 1; i >= 0; i--) {
        int d = t->order[i];
        double most = -INFINITY;
        for (int k = 0; k < t->p->n_options[d]; k++) most = fmax(most, t->p->log_p[d][k]);
        t->free_bound[i] = t->free_bound[i + 1] + most;
        for (int r = 0; r < t->n_rows; r++) {
            under_row *row = &t->row[r];
            double least = INFINITY, bound = -INFINITY;
            for (int k = 0; k < t->p->n_options[d]; k++) {
                least = fmin(least, row->w[d][k]);
                bound = fmax(bound, t->p->log_p[d][k] - row->mu * row->w[d][k]);
            }
            row->least[i] = row->least[i + 1] + least;
            row->bound[i] = row->bound[i + 1] + bound;
        }
    }
}

static void tree_add_row(under_tree *t, const double (*price)[LODE_MAX_OPTIONS], double sign,
                         double cap, double scale) {
    under_row *row = &t->row[t->n_rows++];
    memset(row, 0, sizeof *row);
    for (int d = 0; d < t->p->n; d++)
        for (int k = 0; k < t->p->n_options[d]; k++) row->w[d][k] = sign * price[d][k];
    row->cap = cap + 1e-11 * scale;
}

/* False when some cost is no sum over decisions. */
static bool tree_add_rows(under_tree *t, double (*price)[LODE_MAX_OPTIONS]) {
    for (int i = 0; i < t->p->n_limits; i++) {
        const lode_limit *limit = &t->p->limit[i];
        double base = 0;
        if (!lode_cost_separate(limit->cost, &base, price)) return false;
        double scale = fabs(base) + fabs(limit->most);
        tree_add_row(t, (const double(*)[LODE_MAX_OPTIONS])price, 1, limit->most - base, scale);
        if (limit->least > 0)
            tree_add_row(t, (const double(*)[LODE_MAX_OPTIONS])price, -1, base - limit->least,
                         scale);
    }
    return true;
}

/* ---- walking ---- */

static void tree_leaf(under_tree *t, double log_p) {
    double violation = 0;
    t->status = under_violation(t->p, &t->arch, &violation);
    if (t->status != LODE_OK || violation > 0) return;
    if (lode_space_check(t->p->space, &t->arch) != LODE_OK) {
        lode_error_clear();
        return;
    }
    t->best->found = true;
    t->best->log_p = log_p;
    t->best->arch = t->arch;
}

/* The i-th decision of the order and all after it; used[n_rows]: sums so far. */
static void tree_walk(under_tree *t, int i, double log_p, const double *used) {
    if (t->status != LODE_OK || ++t->nodes > UNDER_MAX_NODES) return;
    double hope = log_p + t->free_bound[i];
    for (int r = 0; r < t->n_rows; r++) {
        const under_row *row = &t->row[r];
        if (used[r] + row->least[i] > row->cap) return;
        hope = fmin(hope, log_p + row->bound[i] + row->mu * (row->cap - used[r]));
    }
    if (t->best->found && hope <= t->best->log_p + 1e-12 * fabs(t->best->log_p)) return;
    if (i == t->p->n) {
        tree_leaf(t, log_p);
        return;
    }
    int d = t->order[i];
    for (int j = 0; j < t->p->n_options[d]; j++) {
        int k = t->option[d][j];
        double with[UNDER_MAX_ROWS];
        for (int r = 0; r < t->n_rows; r++) with[r] = used[r] + t->row[r].w[d][k];
        t->arch.option[d] = (uint8_t)k;
        tree_walk(t, i + 1, log_p + t->p->log_p[d][k], with);
    }
}

/* Leaves the answer inexact where the tree does not apply or has no end. */
static lode_status tree_solve(const under_problem *p, under_answer *best) {
    lode_status status = LODE_OK;
    const double nothing[UNDER_MAX_ROWS] = {0};
    under_tree *t = LODE_NEW(under_tree);
    double(*price)[LODE_MAX_OPTIONS] = lode_calloc(LODE_MAX_DECISIONS, sizeof *price);
    LODE_GOTO(t != NULL && price != NULL ? LODE_OK : LODE_ERR_NO_MEMORY);
    t->p = p;
    t->best = best;
    t->arch.n = p->n;
    t->row = LODE_NEW_ARRAY(under_row, UNDER_MAX_ROWS);
    LODE_GOTO(t->row != NULL ? LODE_OK : LODE_ERR_NO_MEMORY);
    if (!tree_add_rows(t, price)) goto done;
    for (int r = 0; r < t->n_rows; r++) tree_find_mu(t, &t->row[r]);
    tree_sort(t);
    tree_make_bounds(t);
    tree_walk(t, 0, 0, nothing);
    LODE_GOTO(t->status);
    best->exact = t->nodes <= UNDER_MAX_NODES;
done:
    if (t != NULL) lode_free(t->row);
    lode_free(t);
    lode_free(price);
    return status;
}

/* ---- the whole ---- */

double under_log_p(const under_problem *p, const lode_arch *arch) {
    double sum = 0;
    for (int d = 0; d < p->n; d++) sum += p->log_p[d][arch->option[d]];
    return sum;
}

lode_status under_violation(const under_problem *p, const lode_arch *arch, double *out) {
    *out = 0;
    for (int i = 0; i < p->n_limits; i++) {
        const lode_limit *limit = &p->limit[i];
        double cost = 0;
        LODE_TRY(lode_cost_hard(limit->cost, arch, &cost));
        if (cost > limit->most) *out += (cost - limit->most) / fmax(fabs(limit->most), DBL_MIN);
        if (limit->least > 0 && cost < limit->least) *out += (limit->least - cost) / limit->least;
    }
    return LODE_OK;
}

static lode_status under_solve(const under_problem *p, under_answer *best) {
    *best = (under_answer){.log_p = -INFINITY};
    LODE_TRY(tree_solve(p, best));
    return best->exact ? LODE_OK : under_search(p, best);
}

static lode_status under_refuse(const under_problem *p) {
    const lode_limit *limit = &p->limit[0];
    double min = 0, max = 0;
    bool exact = false;
    if (p->n_limits != 1)
        return LODE_FAIL(LODE_ERR_INFEASIBLE, "no architecture of space %s keeps all %d limits",
                         lode_space_name(p->space), p->n_limits);
    LODE_TRY(lode_cost_range(limit->cost, &min, &max, NULL, NULL, &exact));
    return LODE_FAIL(LODE_ERR_INFEASIBLE,
                     "no architecture of space %s has %s <= %.6g; the smallest is %s%.6g",
                     lode_space_name(p->space), lode_cost_name(limit->cost), limit->most,
                     exact ? "" : "about ", min);
}

static void under_open(under_problem *p, const lode_strategy *s, const lode_limit *limit, int n) {
    p->space = lode_supernet_space(lode_strategy_net(s));
    p->seed = lode_supernet_seed(lode_strategy_net(s));
    p->n = lode_space_n_decisions(p->space);
    p->n_limits = n;
    if (n > 0) memcpy(p->limit, limit, (size_t)n * sizeof *limit);
    for (int d = 0; d < p->n; d++) {
        p->n_options[d] = lode_space_decision(p->space, d)->n_options;
        lode_strategy_probabilities(s, d, p->log_p[d]);
        for (int k = 0; k < p->n_options[d]; k++)
            p->log_p[d][k] = log(fmax(p->log_p[d][k], 1e-300));
    }
}

/* The answer; `least` gives way. */
static lode_status under_answer_or_refuse(under_problem *p, under_answer *best) {
    bool least = false;
    LODE_TRY(under_solve(p, best));
    for (int i = 0; i < p->n_limits; i++) {
        least = least || p->limit[i].least > 0;
        p->limit[i].least = 0;
    }
    if (!best->found && least) LODE_TRY(under_solve(p, best));
    return best->found ? LODE_OK : under_refuse(p);
}

static lode_status under_create(const lode_strategy *s, const lode_limit *limit, int n,
                                under_problem **out) {
    *out = NULL;
    if (n > UNDER_MAX_LIMITS)
        return LODE_FAIL(LODE_ERR_INVALID, "%d limits; at most %d", n, (int)UNDER_MAX_LIMITS);
    under_problem *p = LODE_NEW(under_problem);
    if (p == NULL) return LODE_ERR_NO_MEMORY;
    under_open(p, s, limit, n);
    *out = p;
    return LODE_OK;
}

lode_status lode_strategy_best_under(const lode_strategy *s, const lode_limit *limit, int n,
                                     lode_arch *out, bool *exact) {
    under_answer best;
    under_problem *p = NULL;
    LODE_TRY(under_create(s, limit, n, &p));
    lode_status status = under_answer_or_refuse(p, &best);
    if (status == LODE_OK) {
        *out = best.arch;
        if (exact != NULL) *exact = best.exact;
    }
    lode_free(p);
    return status;
}

lode_status lode_strategy_sample_under(const lode_strategy *s, lode_rng *rng,
                                       const lode_limit *limit, int n, lode_arch *out) {
    under_answer best;
    under_problem *p = NULL;
    LODE_TRY(under_create(s, limit, n, &p));
    p->drawn = true;
    for (int d = 0; d < p->n; d++)
        for (int k = 0; k < p->n_options[d]; k++) p->log_p[d][k] += lode_rng_gumbel(rng);
    lode_status status = under_answer_or_refuse(p, &best);
    if (status == LODE_OK) *out = best.arch;
    lode_free(p);
    return status;
}
