/* predictor_gbdt.c   gradient-boosted trees, by the XGBoost library (Chen & Guestrin 2016).

   Squared error, exact splits, one thread: the same rows give the same trees. Rounds are added
   until validation has not improved for a while, and cut off at the best. The library is optional
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

static lode_status gbdt_boost(predictor_job *job, BoosterHandle b, DMatrixHandle train,
                              DMatrixHandle valid) {
    const lode_predictor_options *o = job->options;
    double best = INFINITY, rmse = 0;
    for (int round = 0; round < (int)o->rounds; round++) {
        if (lode_progress_should_stop(job->progress))
            return LODE_FAIL(LODE_ERR_STOPPED, "fit: stopped in epoch %d of %lld", round + 1,
                             (long long)o->rounds);
        GBDT_TRY(XGBoosterUpdateOneIter(b, round, train));
        if (valid) LODE_TRY(gbdt_validate(b, round, valid, &rmse));
        if (!valid || rmse < best) {
            best = rmse;
            job->epochs = round + 1;
        }
        if (round + 1 - job->epochs >= o->patience) break;
        lode_progress_update(job->progress, "fit", round + 1, o->rounds, "");
    }
    return LODE_OK;
}

/* Keeps the first `rounds` trees, as a model and as bytes. */
static lode_status gbdt_keep(gbdt *m, BoosterHandle whole, int rounds) {
    const char *bytes = NULL;
    bst_ulong n = 0;
    GBDT_TRY(XGBoosterSlice(whole, 0, rounds, 1, &m->booster));
    GBDT_TRY(XGBoosterSetParam(m->booster, "nthread", "1"));
    GBDT_TRY(XGBoosterSaveModelToBuffer(m->booster, "{\"format\": \"ubj\"}", &n, &bytes));
    LODE_TRY(
        lode_tensor_create(NULL, LODE_U8, &LODE_SHAPE1((int64_t)n), LODE_CONTIGUOUS, &m->bytes));
    memcpy(m->bytes->data, bytes, (size_t)n);
    return LODE_OK;
}

static lode_status gbdt_fit(predictor_job *job, void **self) {
    gbdt *m = LODE_NEW(gbdt);
    DMatrixHandle train = NULL, valid = NULL;
    BoosterHandle whole = NULL;
    lode_status status = LODE_OK;
    *self = NULL;
    if (!m) return LODE_ERR_NO_MEMORY;
    m->n = lode_encoding_n(job->encoding);
    LODE_GOTO(gbdt_matrix(job->train.x, job->train.y, job->train.n, m->n, &train));
    if (job->valid.n > 0)
        LODE_GOTO(gbdt_matrix(job->valid.x, job->valid.y, job->valid.n, m->n, &valid));
    const DMatrixHandle all[] = {train, valid};
    GBDT_GOTO(XGBoosterCreate(all, valid ? 2 : 1, &whole));
    LODE_GOTO(gbdt_configure(whole, job));
    LODE_GOTO(gbdt_boost(job, whole, train, valid));
    LODE_GOTO(gbdt_keep(m, whole, (int)job->epochs));
    *self = m;
    m = NULL;
done:
    if (whole) XGBoosterFree(whole);
    if (train) XGDMatrixFree(train);
    if (valid) XGDMatrixFree(valid);
    gbdt_destroy(m);
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
