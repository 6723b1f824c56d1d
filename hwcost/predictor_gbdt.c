/* predictor_gbdt.c   gradient-boosted trees, by the XGBoost library (Chen & Guestrin 2016).

       y = ridge(x) + sum over trees of a leaf's value,  or the sum alone

   Squared error, exact splits, one thread: the same rows give the same trees. How many there are,
   and whether a regression lies below them, is what validation says (predictor_gbdt_choose.c); then
   they learn from all rows. The library is optional (libxgboost-dev); a build without it knows the
   kind and says what is missing. The model is kept in the library's own bytes (UBJSON), as one
   tensor of the predictor's file. */
#include "core/memory.h"
#include "core/number.h"
#include "hwcost/predictor_gbdt_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define GBDT_NO_GRADIENT                                                                           \
    "it is made of trees, which are constant between their splits and so have no gradient"

#ifdef LODE_HAVE_XGBOOST
typedef struct gbdt {
    int n; /* features */
    BoosterHandle booster;
    lode_tensor *bytes; /* u8: the model as saved */
    lode_tensor *ridge; /* f64 [n + 1]; zeros: trees alone */
} gbdt;

lode_status gbdt_check(int code) {
    return code == 0 ? LODE_OK : LODE_FAIL(LODE_ERR_INTERNAL, "xgboost: %.400s", XGBGetLastError());
}

lode_status gbdt_stopped(const predictor_job *job, int64_t round) {
    return lode_progress_should_stop(job->progress)
               ? LODE_FAIL(LODE_ERR_STOPPED, "fit: stopped in epoch %lld of %lld",
                           (long long)round + 1, (long long)job->options->rounds)
               : LODE_OK;
}

static void gbdt_destroy(void *self) {
    gbdt *m = self;
    if (!m) return;
    if (m->booster) XGBoosterFree(m->booster);
    lode_tensor_release(m->bytes);
    lode_tensor_release(m->ridge);
    lode_free(m);
}

lode_status gbdt_matrix(const predictor_samples *s, int f, const double *ridge,
                        DMatrixHandle *out) {
    lode_status status = LODE_OK;
    const int64_t n = s->n;
    float *v = lode_alloc((size_t)(n * (f + 1)), sizeof *v);
    *out = NULL;
    if (!v) return LODE_ERR_NO_MEMORY;
    for (int64_t i = 0; i < n * f; i++) v[i] = (float)s->x[i];
    for (int64_t i = 0; s->y && i < n; i++)
        v[n * f + i] = (float)(s->y[i] - (ridge ? predictor_ridge_at(ridge, s->x + i * f, f) : 0));
    GBDT_GOTO(XGDMatrixCreateFromMat(v, (bst_ulong)n, (bst_ulong)f, NAN, out));
    if (s->y) GBDT_GOTO(XGDMatrixSetFloatInfo(*out, "label", v + n * f, (bst_ulong)n));
done:
    if (status != LODE_OK && *out) {
        XGDMatrixFree(*out);
        *out = NULL;
    }
    lode_free(v);
    return status;
}

lode_status gbdt_configure(BoosterHandle b, const predictor_job *job) {
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

/* ---- fitting ---- */

/* job->epochs trees of all rows. */
static lode_status gbdt_grow(gbdt *m, const predictor_job *job) {
    const predictor_samples all = {job->train.n + job->valid.n, job->train.x, job->train.y};
    DMatrixHandle rows = NULL;
    lode_status status = LODE_OK;
    LODE_GOTO(gbdt_matrix(&all, m->n, m->ridge->data, &rows));
    GBDT_GOTO(XGBoosterCreate(&rows, 1, &m->booster));
    LODE_GOTO(gbdt_configure(m->booster, job));
    for (int64_t round = 0; round < job->epochs; round++) {
        LODE_GOTO(gbdt_stopped(job, round));
        GBDT_GOTO(XGBoosterUpdateOneIter(m->booster, (int)round, rows));
    }
done:
    if (rows) XGDMatrixFree(rows);
    return status;
}

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

static lode_status gbdt_create(const lode_encoding *encoding, gbdt **out) {
    gbdt *m = *out = LODE_NEW(gbdt);
    if (!m) return LODE_ERR_NO_MEMORY;
    m->n = lode_encoding_n(encoding);
    return lode_tensor_zeros(NULL, LODE_F64, &LODE_SHAPE1((int64_t)m->n + 1), LODE_CONTIGUOUS,
                             &m->ridge);
}

static lode_status gbdt_fit(predictor_job *job, void **self) {
    gbdt *m = NULL;
    lode_status status = LODE_OK;
    bool ridge = false;
    *self = NULL;
    LODE_GOTO(gbdt_create(job->encoding, &m));
    LODE_GOTO(gbdt_choose(job, m->n, &ridge));
    if (ridge) LODE_GOTO(predictor_ridge_best(job, true, m->ridge->data));
    LODE_GOTO(gbdt_grow(m, job));
    LODE_GOTO(gbdt_keep(m));
    *self = m;
    m = NULL;
done:
    gbdt_destroy(m);
    return status;
}

/* ---- file and answers ---- */

static lode_status gbdt_load(const lode_encoding *encoding, const lode_predictor_options *options,
                             lode_tensor_file *file, void **self) {
    gbdt *m = NULL;
    lode_status status = LODE_OK;
    bst_ulong n = 0;
    (void)options;
    *self = NULL;
    LODE_GOTO(gbdt_create(encoding, &m));
    LODE_GOTO(lode_tensors_load_into(file, "ridge", m->ridge));
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
    const gbdt *m = self;
    items[0] = (lode_named_tensor){"ridge", m->ridge};
    items[1] = (lode_named_tensor){"xgboost", m->bytes};
    return 2;
}

static lode_status gbdt_predict(void *self, const double *x, int64_t n, double *y, double *dx) {
    gbdt *m = self;
    const predictor_samples asked = {n, x, NULL};
    const double *ridge = m->ridge->data;
    DMatrixHandle rows = NULL;
    bst_ulong length = 0;
    const float *out = NULL;
    lode_status status = LODE_OK;
    if (dx) return LODE_FAIL(LODE_ERR_UNSUPPORTED, "gbdt: %s", GBDT_NO_GRADIENT);
    if (n == 0) return LODE_OK;
    LODE_TRY(gbdt_matrix(&asked, m->n, NULL, &rows));
    GBDT_GOTO(XGBoosterPredict(m->booster, rows, 0, 0, 0, &length, &out));
    if ((int64_t)length != n)
        LODE_GOTO(LODE_FAIL(LODE_ERR_INTERNAL, "xgboost: %lld answers for %lld rows",
                            (long long)length, (long long)n));
    for (int64_t i = 0; i < n; i++)
        y[i] = (double)out[i] + predictor_ridge_at(ridge, x + i * m->n, m->n);
done:
    XGDMatrixFree(rows);
    return status;
}
#endif

const lode_predictor_plugin lode_predictor_gbdt = {
    .name = "gbdt",
    .about = "gradient-boosted trees by XGBoost (Chen & Guestrin 2016), on top of ridge regression "
             "where that is better; no gradient",
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
