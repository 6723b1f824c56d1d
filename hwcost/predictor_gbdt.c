/* predictor_gbdt.c   gradient-boosted trees, by the XGBoost library (Chen & Guestrin 2016).

   Squared error, exact splits, one thread: the same rows give the same trees. How many there are is
   what validation says: rounds are added until it has not improved for a while. Few rows for
   validation say little, so then each fifth of all rows validates trees of the other four, and the
   five are added up. The trees that are kept are of all rows, that many. The library is optional
   (libxgboost-dev); a build without it knows the kind and says what is missing. The model is kept
   in the library's own bytes (UBJSON), as one tensor of the predictor's file. */
#include "core/memory.h"
#include "core/number.h"
#include "hwcost/predictor_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define GBDT_NO_GRADIENT                                                                           \
    "it is made of trees, which are constant between their splits and so have no gradient"

#ifdef LODE_HAVE_XGBOOST
#include <xgboost/c_api.h>

typedef struct gbdt {
    int n; /* features */
    BoosterHandle booster;
    lode_tensor *bytes; /* u8: the model as saved */
} gbdt;

#define GBDT_TRY(expr)  LODE_TRY(gbdt_check(expr))
#define GBDT_GOTO(expr) LODE_GOTO(gbdt_check(expr))
static lode_status gbdt_check(int code) {
    return code == 0 ? LODE_OK : LODE_FAIL(LODE_ERR_INTERNAL, "xgboost: %.400s", XGBGetLastError());
}

static void gbdt_destroy(void *self) {
    gbdt *m = self;
    if (!m) return;
    if (m->booster) XGBoosterFree(m->booster);
    lode_tensor_release(m->bytes);
    lode_free(m);
}

/* The library's copy of x [n, f], with labels y unless NULL. */
static lode_status gbdt_matrix(const double *x, const double *y, int64_t n, int f,
                               DMatrixHandle *out) {
    lode_status status = LODE_OK;
    float *v = lode_alloc((size_t)(n * (f + 1)), sizeof *v);
    *out = NULL;
    if (!v) return LODE_ERR_NO_MEMORY;
    for (int64_t i = 0; i < n * f; i++) v[i] = (float)x[i];
    for (int64_t i = 0; y && i < n; i++) v[n * f + i] = (float)y[i];
    GBDT_GOTO(XGDMatrixCreateFromMat(v, (bst_ulong)n, (bst_ulong)f, NAN, out));
    if (y) GBDT_GOTO(XGDMatrixSetFloatInfo(*out, "label", v + n * f, (bst_ulong)n));
done:
    if (status != LODE_OK && *out) {
        XGDMatrixFree(*out);
        *out = NULL;
    }
    lode_free(v);
    return status;
}

static lode_status gbdt_configure(BoosterHandle b, const predictor_job *job) {
    char depth[32], eta[32], seed[32];
    snprintf(depth, sizeof depth, "%lld", (long long)job->options->depth);
    snprintf(seed, sizeof seed, "%d", (int)(job->seed & 0x7fffffff));
    const char *const set[][2] = {{"objective", "reg:squarederror"},
                                  {"tree_method", "exact"},
                                  {"nthread", "1"},
                                  {"verbosity", "0"},
                                  {"lambda", "1"},
                                  {"min_child_weight", "1"},
                                  {"base_score", "0"}, /* targets have mean 0 */
                                  {"eta", lode_f64_format(job->options->eta, eta)},
                                  {"max_depth", depth},
                                  {"seed", seed}};
    for (size_t i = 0; i < sizeof set / sizeof *set; i++)
        GBDT_TRY(XGBoosterSetParam(b, set[i][0], set[i][1]));
    return LODE_OK;
}

/* Root mean square error that the library prints: "[7]\tvalid-rmse:0.25". */
static lode_status gbdt_validate(BoosterHandle b, int round, DMatrixHandle valid, double *rmse) {
    const char *name = "valid", *text = NULL, *colon;
    GBDT_TRY(XGBoosterEvalOneIter(b, round, &valid, &name, 1, &text));
    colon = strrchr(text, ':');
    if (!colon || !lode_f64_parse(colon + 1, rmse))
        return LODE_FAIL(LODE_ERR_INTERNAL, "xgboost: no error in \"%.80s\"", text);
    return LODE_OK;
}

/* ---- how many trees ---- */

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

static lode_status gbdt_trial_init(gbdt_trial *t, const predictor_job *job, DMatrixHandle train,
                                   DMatrixHandle valid, int64_t n_valid) {
    const DMatrixHandle both[] = {train, valid};
    *t = (gbdt_trial){.train = train, .valid = valid, .n_valid = n_valid};
    GBDT_TRY(XGBoosterCreate(both, 2, &t->booster));
    return gbdt_configure(t->booster, job);
}

/* Rows i with i mod GBDT_FOLDS == fold validate. Train and valid are one block of rows. */
static lode_status gbdt_fold(const predictor_job *job, int f, int fold, gbdt_trial *t) {
    const int64_t n = job->train.n + job->valid.n;
    lode_status status = LODE_OK;
    double *x = lode_alloc((size_t)(n * f), sizeof *x), *y = LODE_NEW_ARRAY(double, n);
    DMatrixHandle part[2] = {NULL, NULL};
    int64_t count[2] = {0, 0}, at = 0;
    LODE_GOTO(x && y ? LODE_OK : LODE_ERR_NO_MEMORY);
    for (int valid = 0; valid < 2; valid++, at += count[valid - 1]) {
        for (int64_t i = 0; i < n; i++) {
            if ((i % GBDT_FOLDS == fold) != (valid == 1)) continue;
            const int64_t row = at + count[valid]++;
            memcpy(x + row * f, job->train.x + i * f, (size_t)f * sizeof *x);
            y[row] = job->train.y[i];
        }
        LODE_GOTO(gbdt_matrix(x + at * f, y + at, count[valid], f, &part[valid]));
    }
    LODE_GOTO(gbdt_trial_init(t, job, part[0], part[1], count[1]));
    part[0] = part[1] = NULL;
done:
    for (int k = 0; k < 2; k++)
        if (part[k]) XGDMatrixFree(part[k]);
    lode_free(x);
    lode_free(y);
    return status;
}

static lode_status gbdt_trials(const predictor_job *job, int f, gbdt_trial *t, int *n) {
    *n = 0;
    if (job->valid.n >= GBDT_MANY) {
        DMatrixHandle train = NULL, valid = NULL;
        LODE_TRY(gbdt_matrix(job->train.x, job->train.y, job->train.n, f, &train));
        lode_status status = gbdt_matrix(job->valid.x, job->valid.y, job->valid.n, f, &valid);
        if (status != LODE_OK) {
            XGDMatrixFree(train);
            return status;
        }
        return gbdt_trial_init(&t[(*n)++], job, train, valid, job->valid.n);
    }
    for (int fold = 0; fold < GBDT_FOLDS; fold++) {
        LODE_TRY(gbdt_fold(job, f, fold, &t[fold]));
        ++*n;
    }
    return LODE_OK;
}

static lode_status gbdt_stopped(const predictor_job *job, int round) {
    return lode_progress_should_stop(job->progress)
               ? LODE_FAIL(LODE_ERR_STOPPED, "fit: stopped in epoch %d of %lld", round + 1,
                           (long long)job->options->rounds)
               : LODE_OK;
}

/* job->epochs: the round with the least squared error over all trials. */
static lode_status gbdt_try(predictor_job *job, const gbdt_trial *t, int n) {
    const lode_predictor_options *o = job->options;
    double best = INFINITY, rmse = 0;
    for (int round = 0; round < (int)o->rounds; round++) {
        double error = 0;
        LODE_TRY(gbdt_stopped(job, round));
        for (int k = 0; k < n; k++) {
            GBDT_TRY(XGBoosterUpdateOneIter(t[k].booster, round, t[k].train));
            LODE_TRY(gbdt_validate(t[k].booster, round, t[k].valid, &rmse));
            error += rmse * rmse * (double)t[k].n_valid;
        }
        if (error < best) {
            best = error;
            job->epochs = round + 1;
        }
        if (round + 1 - job->epochs >= o->patience) break;
        lode_progress_update(job->progress, "fit", round + 1, o->rounds, "");
    }
    return LODE_OK;
}

/* Without rows for validation, as many as the options say. */
static lode_status gbdt_choose_rounds(predictor_job *job, int f) {
    gbdt_trial t[GBDT_FOLDS] = {{.booster = NULL}};
    int n = 0;
    job->epochs = job->options->rounds;
    if (job->valid.n == 0 || job->train.n + job->valid.n < 2 * GBDT_FOLDS) return LODE_OK;
    lode_status status = gbdt_trials(job, f, t, &n);
    if (status == LODE_OK) status = gbdt_try(job, t, n);
    for (int k = 0; k < GBDT_FOLDS; k++) gbdt_trial_deinit(&t[k]);
    return status;
}

/* ---- the trees ---- */

/* The model as bytes. */
static lode_status gbdt_keep(gbdt *m) {
    const char *bytes = NULL;
    bst_ulong n = 0;
    GBDT_TRY(XGBoosterSaveModelToBuffer(m->booster, "{\"format\": \"ubj\"}", &n, &bytes));
    LODE_TRY(
        lode_tensor_create(NULL, LODE_U8, &LODE_SHAPE1((int64_t)n), LODE_CONTIGUOUS, &m->bytes));
    memcpy(m->bytes->data, bytes, (size_t)n);
    return LODE_OK;
}

static lode_status gbdt_fit(predictor_job *job, void **self) {
    gbdt *m = LODE_NEW(gbdt);
    DMatrixHandle rows = NULL;
    lode_status status = LODE_OK;
    *self = NULL;
    if (!m) return LODE_ERR_NO_MEMORY;
    m->n = lode_encoding_n(job->encoding);
    LODE_GOTO(gbdt_choose_rounds(job, m->n));
    LODE_GOTO(gbdt_matrix(job->train.x, job->train.y, job->train.n + job->valid.n, m->n, &rows));
    GBDT_GOTO(XGBoosterCreate(&rows, 1, &m->booster));
    LODE_GOTO(gbdt_configure(m->booster, job));
    for (int round = 0; round < (int)job->epochs; round++) {
        LODE_GOTO(gbdt_stopped(job, round));
        GBDT_GOTO(XGBoosterUpdateOneIter(m->booster, round, rows));
    }
    LODE_GOTO(gbdt_keep(m));
    *self = m;
    m = NULL;
done:
    gbdt_destroy(m); /* before its rows */
    if (rows) XGDMatrixFree(rows);
    return status;
}

static lode_status gbdt_load(const lode_encoding *encoding, const lode_predictor_options *options,
                             lode_tensor_file *file, void **self) {
    gbdt *m = LODE_NEW(gbdt);
    lode_status status = LODE_OK;
    bst_ulong n = 0;
    (void)options;
    *self = NULL;
    if (!m) return LODE_ERR_NO_MEMORY;
    m->n = lode_encoding_n(encoding);
    LODE_GOTO(lode_tensors_get(file, "xgboost", &m->bytes));
    GBDT_GOTO(XGBoosterCreate(NULL, 0, &m->booster));
    if (XGBoosterLoadModelFromBuffer(m->booster, m->bytes->data,
                                     (bst_ulong)lode_tensor_bytes(m->bytes)) != 0)
        LODE_GOTO(
            LODE_FAIL(LODE_ERR_DATA, "xgboost cannot read its model: %.400s", XGBGetLastError()));
    GBDT_GOTO(XGBoosterSetParam(m->booster, "nthread", "1"));
    GBDT_GOTO(XGBoosterGetNumFeature(m->booster, &n));
    if ((int64_t)n != m->n)
        LODE_GOTO(LODE_FAIL(LODE_ERR_DATA, "the trees read %lld features, the space has %d",
                            (long long)n, m->n));
    *self = m;
    m = NULL;
done:
    gbdt_destroy(m);
    return status;
}

static int64_t gbdt_tensors(const void *self, lode_named_tensor items[PREDICTOR_MAX_TENSORS]) {
    items[0] = (lode_named_tensor){"xgboost", ((const gbdt *)self)->bytes};
    return 1;
}

static lode_status gbdt_predict(void *self, const double *x, int64_t n, double *y, double *dx) {
    gbdt *m = self;
    DMatrixHandle rows = NULL;
    bst_ulong length = 0;
    const float *out = NULL;
    lode_status status = LODE_OK;
    if (dx) return LODE_FAIL(LODE_ERR_UNSUPPORTED, "gbdt: %s", GBDT_NO_GRADIENT);
    if (n == 0) return LODE_OK;
    LODE_TRY(gbdt_matrix(x, NULL, n, m->n, &rows));
    GBDT_GOTO(XGBoosterPredict(m->booster, rows, 0, 0, 0, &length, &out));
    if ((int64_t)length != n)
        LODE_GOTO(LODE_FAIL(LODE_ERR_INTERNAL, "xgboost: %lld answers for %lld rows",
                            (long long)length, (long long)n));
    for (int64_t i = 0; i < n; i++) y[i] = (double)out[i];
done:
    XGDMatrixFree(rows);
    return status;
}
#endif

const lode_predictor_plugin lode_predictor_gbdt = {
    .name = "gbdt",
    .about = "gradient-boosted trees by XGBoost (Chen & Guestrin 2016); no gradient",
    .no_gradient = GBDT_NO_GRADIENT,
#ifdef LODE_HAVE_XGBOOST
    .fit = gbdt_fit,
    .load = gbdt_load,
    .tensors = gbdt_tensors,
    .destroy = gbdt_destroy,
    .predict = gbdt_predict,
#else
    .missing = "this build has no XGBoost; install libxgboost-dev and build again",
#endif
};
