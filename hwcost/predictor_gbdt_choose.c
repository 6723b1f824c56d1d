/* predictor_gbdt_choose.c: how many trees, and on top of what.

   Rounds are added until rows for validation have not been predicted better for a while. Few such
   rows say little, so then each fifth of all rows validates trees of the other four, and the five
   errors are added up. Trees alone need many of them to make a sum of prices, and cannot go beyond
   what they saw; on top of a regression they have less to do, unless it leads them astray. Both are
   tried. */
#include "hwcost/predictor_gbdt_internal.h"
#ifdef LODE_HAVE_XGBOOST
#include "core/memory.h"
#include "core/number.h"

#include <math.h>
#include <string.h>

enum { GBDT_FOLDS = 5, GBDT_MANY = 100 /* rows for validation that are enough */ };

/* Trees of some rows, judged by others. */
typedef struct gbdt_trial {
    DMatrixHandle train, valid;
    int64_t n_valid;
    BoosterHandle booster;
} gbdt_trial;

static void gbdt_trial_deinit(gbdt_trial *t) {
    if (t->booster) XGBoosterFree(t->booster);
    if (t->train) XGDMatrixFree(t->train);
    if (t->valid) XGDMatrixFree(t->valid);
}

/* Of job's rows. On a failure what is there is the caller's to free, too. */
static lode_status gbdt_trial_init(gbdt_trial *t, const predictor_job *job, int f, bool ridge) {
    double *w = ridge ? LODE_NEW_ARRAY(double, f + 1) : NULL;
    lode_status status = LODE_OK;
    if (ridge && w == NULL) return LODE_ERR_NO_MEMORY;
    t->n_valid = job->valid.n;
    if (ridge) LODE_GOTO(predictor_ridge_best(job, false, w));
    LODE_GOTO(gbdt_matrix(&job->train, f, w, &t->train));
    LODE_GOTO(gbdt_matrix(&job->valid, f, w, &t->valid));
    const DMatrixHandle both[] = {t->train, t->valid};
    GBDT_GOTO(XGBoosterCreate(both, 2, &t->booster));
    LODE_GOTO(gbdt_configure(t->booster, job));
done:
    lode_free(w);
    return status;
}

/* Rows i with i mod GBDT_FOLDS == fold validate. Train and valid are one block of rows. */
static lode_status gbdt_fold(const predictor_job *job, int f, bool ridge, int fold, gbdt_trial *t) {
    const int64_t n = job->train.n + job->valid.n;
    lode_status status = LODE_OK;
    int64_t count[2] = {0, 0}, at = 0;
    double *x = lode_alloc((size_t)(n * f), sizeof *x), *y = LODE_NEW_ARRAY(double, n);
    LODE_GOTO(x && y ? LODE_OK : LODE_ERR_NO_MEMORY);
    for (int valid = 0; valid < 2; valid++)
        for (int64_t i = 0; i < n; i++) {
            if ((i % GBDT_FOLDS == fold) != (valid == 1)) continue;
            memcpy(x + at * f, job->train.x + i * f, (size_t)f * sizeof *x);
            y[at++] = job->train.y[i];
            count[valid]++;
        }
    predictor_job of = *job;
    of.train = (predictor_samples){count[0], x, y};
    of.valid = (predictor_samples){count[1], x + count[0] * f, y + count[0]};
    LODE_GOTO(gbdt_trial_init(t, &of, f, ridge));
done:
    lode_free(x);
    lode_free(y);
    return status;
}

/* Root mean square error that the library prints: "[7]\tvalid-rmse:0.25". */
static lode_status gbdt_validate(const gbdt_trial *t, int round, double *rmse) {
    DMatrixHandle valid = t->valid;
    const char *name = "valid", *text = NULL, *colon;
    GBDT_TRY(XGBoosterEvalOneIter(t->booster, round, &valid, &name, 1, &text));
    colon = strrchr(text, ':');
    if (!colon || !lode_f64_parse(colon + 1, rmse))
        return LODE_FAIL(LODE_ERR_INTERNAL, "xgboost: no error in \"%.80s\"", text);
    return LODE_OK;
}

/* The least squared error over all trials, and after how many rounds. */
static lode_status gbdt_boost(const predictor_job *job, const gbdt_trial *t, int n, double *best,
                              int64_t *rounds) {
    const lode_predictor_options *o = job->options;
    double rmse = 0;
    *best = INFINITY;
    *rounds = 1;
    for (int round = 0; round < (int)o->rounds && round < *rounds + o->patience; round++) {
        double error = 0;
        LODE_TRY(gbdt_stopped(job, round));
        for (int k = 0; k < n; k++) {
            GBDT_TRY(XGBoosterUpdateOneIter(t[k].booster, round, t[k].train));
            LODE_TRY(gbdt_validate(&t[k], round, &rmse));
            error += rmse * rmse * (double)t[k].n_valid;
        }
        if (error < *best) {
            *best = error;
            *rounds = round + 1;
        }
        lode_progress_update(job->progress, "fit", round + 1, o->rounds, "");
    }
    return LODE_OK;
}

static lode_status gbdt_try(const predictor_job *job, int f, bool ridge, double *error,
                            int64_t *rounds) {
    gbdt_trial t[GBDT_FOLDS] = {{.booster = NULL}};
    const int n = job->valid.n >= GBDT_MANY ? 1 : GBDT_FOLDS;
    lode_status status = LODE_OK;
    for (int k = 0; status == LODE_OK && k < n; k++)
        status =
            n == 1 ? gbdt_trial_init(&t[k], job, f, ridge) : gbdt_fold(job, f, ridge, k, &t[k]);
    if (status == LODE_OK) status = gbdt_boost(job, t, n, error, rounds);
    for (int k = 0; k < n; k++) gbdt_trial_deinit(&t[k]);
    return status;
}

lode_status gbdt_choose(predictor_job *job, int f, bool *ridge) {
    double alone = 0, above = 0;
    int64_t rounds = 0;
    const int way = job->options->ridge;
    *ridge = way != LODE_RIDGE_FALSE;
    job->epochs = job->options->rounds;
    if (job->valid.n == 0 || job->train.n + job->valid.n < 2 * GBDT_FOLDS) return LODE_OK;
    if (way != LODE_RIDGE_TRUE) LODE_TRY(gbdt_try(job, f, false, &alone, &job->epochs));
    if (way == LODE_RIDGE_FALSE) return LODE_OK;
    LODE_TRY(gbdt_try(job, f, true, &above, &rounds));
    *ridge = way == LODE_RIDGE_TRUE || above < alone;
    if (*ridge) job->epochs = rounds;
    return LODE_OK;
}
#endif
