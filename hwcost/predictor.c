/* predictor.c: kinds, fitting, answers. What is common to all kinds: the encoding, and targets that
   are standardized on the rows to learn from. */
#include "core/memory.h"
#include "core/platform.h"
#include "hwcost/predictor_file_internal.h"
#include "hwcost/predictor_internal.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

static const lode_predictor_plugin *const predictors[] = {
#define PREDICTOR(name) &lode_predictor_##name,
#include "hwcost/predictors.def"
#undef PREDICTOR
};
#define PREDICTOR_N ((int)(sizeof predictors / sizeof *predictors))

int lode_n_predictors(void) { return PREDICTOR_N; }
const char *lode_predictor_kind_at(int i) { return predictors[i]->name; }
const char *lode_predictor_about_at(int i) { return predictors[i]->about; }
const char *lode_predictor_missing_at(int i) { return predictors[i]->missing; }

lode_status predictor_find(const char *kind, const lode_predictor_plugin **out) {
    const char *names[PREDICTOR_N];
    *out = NULL;
    for (int i = 0; i < PREDICTOR_N; i++) {
        names[i] = predictors[i]->name;
        if (strcmp(kind, names[i]) == 0) *out = predictors[i];
    }
    if (!*out) {
        const char *near = lode_nearest_word(kind, names, PREDICTOR_N);
        lode_text list = {0};
        for (int i = 0; i < PREDICTOR_N; i++) lode_text_add(&list, "%s%s", i ? ", " : "", names[i]);
        lode_status status =
            LODE_FAIL(LODE_ERR_CONFIG, "predictor \"%s\": no such kind%s%s; there are %s", kind,
                      near ? "; nearest is " : "", near ? near : "", list.s ? list.s : "");
        lode_text_deinit(&list);
        return status;
    }
    if ((*out)->missing)
        return LODE_FAIL(LODE_ERR_UNSUPPORTED, "predictor %s: %s", kind, (*out)->missing);
    return LODE_OK;
}

static bool predictor_reads_options(const lode_predictor_options *o) {
    return o->encoding == LODE_READS_OPTIONS || o->encoding == LODE_READS_BOTH;
}

lode_status lode_predictor_check_kind(const char *kind, const lode_space *space,
                                      const lode_predictor_options *options) {
    const lode_predictor_plugin *plugin = NULL;
    LODE_TRY(predictor_find(kind, &plugin));
    if (plugin->needs_options && !predictor_reads_options(options))
        return LODE_FAIL(LODE_ERR_UNSUPPORTED,
                         "predictor %s: it reads options, which fit.encoding leaves out; set "
                         "fit.encoding to options or both",
                         kind);
    return plugin->check ? plugin->check(space) : LODE_OK;
}

#define FIT_ROW(name, type, def, lo, hi, words, help)                                              \
    { #name, type, offsetof(lode_predictor_options, name), def, lo, hi, words, help }
static const lode_option fit_rows[] = {
    FIT_ROW(hidden, LODE_OPT_INT, "128", 1, 4096, "units", "networks: width of hidden layers"),
    FIT_ROW(layers, LODE_OPT_INT, "2", 1, 16, NULL,
            "networks: number of hidden layers; gcn: twice as many"),
    FIT_ROW(epochs, LODE_OPT_INT, "200", 1, 100000, NULL, "networks: at most so many epochs"),
    FIT_ROW(patience, LODE_OPT_INT, "60", 1, 100000, "epochs",
            "stop after so many epochs, or trees, without a better validation"),
    FIT_ROW(batch, LODE_OPT_INT, "32", 1, 65536, "rows", "networks: rows a step"),
    FIT_ROW(rounds, LODE_OPT_INT, "2000", 1, 100000, NULL, "trees: at most so many"),
    FIT_ROW(depth, LODE_OPT_INT, "3", 1, 30, NULL, "trees: depth"),
    FIT_ROW(eta, LODE_OPT_F64, "0.1", 1e-6, 1, NULL, "trees: share of a tree that is added"),
    FIT_ROW(lr, LODE_OPT_F64, "0.003", 1e-8, 1, NULL, "networks: AdamW's rate, cosine to 0"),
    FIT_ROW(decay, LODE_OPT_F64, "1", 0, 10, NULL, "networks: AdamW's weight decay"),
    FIT_ROW(
        ridge, LODE_OPT_ENUM, "auto", 0, 0, "auto|true|false",
        "networks and trees learn what ridge regression leaves over, or all; auto: trees, and gcn "
        "if 50 rows validate, try both"),
    FIT_ROW(paths, LODE_OPT_BOOL, "true", 0, 0, NULL,
            "networks, trees: also features of what of a cell is reached (hwcost/encode.h)"),
    FIT_ROW(encoding, LODE_OPT_ENUM, "options", 0, 0, "options|counts|both|none",
            "what is read of an architecture; counts: MACs, parameters, activations, calls"),
    FIT_ROW(target, LODE_OPT_ENUM, "value", 0, 0, "value|rank",
            "what squared errors are of: the column, or its rank among the rows to learn from"),
    FIT_ROW(differences, LODE_OPT_BOOL, "false", 0, 0, NULL,
            "columns of --features are a learning curve: also its differences"),
    FIT_ROW(unlabeled, LODE_OPT_INT, "1000", 1, 1000000, NULL,
            "semigcn: architectures of the space that the auto-encoder learns from"),
    FIT_ROW(pretrain, LODE_OPT_INT, "30", 0, 100000, "epochs",
            "semigcn: over these, before the rows"),
    FIT_ROW(reconstruct, LODE_OPT_F64, "0.25", 0, 1000, NULL,
            "semigcn: weight of reconstruction beside the squared error"),
};
const lode_option_table lode_predictor_option_table = {"fit", fit_rows,
                                                       sizeof fit_rows / sizeof *fit_rows};

/* ---- life ---- */

void lode_predictor_destroy(lode_predictor *p) {
    if (!p) return;
    if (p->self) p->plugin->destroy(p->self);
    lode_encoding_destroy(p->encoding);
    lode_tensor_release(p->norm);
    lode_tensor_release(p->knots);
    lode_free(p->x);
    lode_free(p);
}

lode_status predictor_create(const lode_predictor_plugin *plugin, lode_space *space,
                             const lode_predictor_options *options, int n_given,
                             lode_predictor **out) {
    lode_predictor *p = LODE_NEW(lode_predictor);
    *out = NULL;
    if (!p) return LODE_ERR_NO_MEMORY;
    p->plugin = plugin;
    p->options = *options;
    p->n_given = n_given;
    bool reads = predictor_reads_options(options);
    p->options.paths = options->paths && reads && !plugin->plain;
    const lode_encoding_parts parts = {.options = reads,
                                       .paths = p->options.paths,
                                       .counts = options->encoding == LODE_READS_COUNTS ||
                                                 options->encoding == LODE_READS_BOTH,
                                       .given = predictor_n_given_features(options, n_given)};
    lode_status status = lode_encoding_create(space, &parts, &p->encoding);
    if (status == LODE_OK) {
        p->x = LODE_NEW_ARRAY(double, 2 * lode_encoding_n(p->encoding));
        if (!p->x) status = LODE_ERR_NO_MEMORY;
    }
    if (status == LODE_OK)
        *out = p;
    else
        lode_predictor_destroy(p);
    return status;
}

lode_predictor_info lode_predictor_get_info(const lode_predictor *p) { return p->info; }
const char *lode_predictor_unit(const lode_predictor *p) { return p->info.unit; }
const lode_encoding *lode_predictor_encoding(const lode_predictor *p) { return p->encoding; }
int lode_predictor_n_given(const lode_predictor *p) { return p->n_given; }
const char *lode_predictor_no_gradient(const lode_predictor *p) {
    if (p->n_given > 0) return "it also reads numbers that are measured";
    return p->plugin->no_gradient;
}
bool lode_predictor_is_exact(const lode_predictor *p) {
    return p->plugin->linear && !p->knots && lode_encoding_is_linear(p->encoding);
}

lode_status predictor_check_same_space(const lode_space *fitted, const lode_space *other) {
    int n = lode_space_n_decisions(fitted);
    if (lode_space_n_decisions(other) != n)
        return LODE_FAIL(LODE_ERR_CONFIG,
                         "the predictor was fitted to space %s with %d decisions; space %s has %d",
                         lode_space_name(fitted), n, lode_space_name(other),
                         lode_space_n_decisions(other));
    for (int d = 0; d < n; d++) {
        const lode_decision *a = lode_space_decision(fitted, d), *b = lode_space_decision(other, d);
        bool same = a->n_options == b->n_options && strcmp(a->name, b->name) == 0 &&
                    a->parent == b->parent && a->parent_option == b->parent_option;
        for (int k = 0; same && k < a->n_options; k++)
            same = strcmp(a->option[k], b->option[k]) == 0;
        if (!same)
            return LODE_FAIL(LODE_ERR_CONFIG,
                             "the predictor was fitted to space %s, whose decision %d (%s, %d "
                             "options) differs from that of space %s (%s, %d options)",
                             lode_space_name(fitted), d, a->name, a->n_options,
                             lode_space_name(other), b->name, b->n_options);
    }
    return LODE_OK;
}

lode_status lode_predictor_check_space(const lode_predictor *p, const lode_space *space) {
    return predictor_check_same_space(lode_encoding_space(p->encoding), space);
}

/* ---- fitting ---- */

/* Rows of some parts, encoded; x and y in one block each. */
typedef struct fit_data {
    int64_t n_train, n_valid, n_test, f;
    double *x, *y; /* train, then valid, in the order of the table */
} fit_data;

static const double *fit_given(const lode_predictor_rows *rows, int64_t i) {
    return rows->n_given > 0 ? rows->given + i * rows->n_given : NULL;
}

static lode_status fit_gather(lode_predictor *p, const lode_predictor_rows *rows,
                              const lode_predictor_part *part, fit_data *d) {
    int64_t at = 0;
    for (int64_t i = 0; i < rows->n; i++) {
        d->n_train += part[i] == LODE_PART_TRAIN;
        d->n_valid += part[i] == LODE_PART_VALID;
        d->n_test += part[i] == LODE_PART_TEST;
    }
    d->f = lode_encoding_n(p->encoding);
    if (d->n_train < 2)
        return LODE_FAIL(LODE_ERR_DATA, "%lld rows to learn from: want at least 2",
                         (long long)d->n_train);
    d->x = lode_alloc((size_t)((d->n_train + d->n_valid) * d->f), sizeof *d->x);
    d->y = LODE_NEW_ARRAY(double, d->n_train + d->n_valid);
    if (!d->x || !d->y) return LODE_ERR_NO_MEMORY;
    for (int which = LODE_PART_TRAIN; which <= LODE_PART_VALID; which++)
        for (int64_t i = 0; i < rows->n; i++) {
            if ((int)part[i] != which) continue;
            LODE_TRY(predictor_encode(p->encoding, &rows->arch[i], 1, d->x + at * d->f));
            predictor_features_given(p, fit_given(rows, i), d->x + at * d->f);
            d->y[at++] = rows->value[i];
        }
    LODE_TRY(predictor_features_fit(p, d->x, at));
    for (int64_t i = 0; i < at; i++) predictor_features_standardize(p, d->x + i * d->f);
    return LODE_OK;
}

lode_status predictor_judge(lode_predictor *p, const lode_predictor_rows *rows,
                            const lode_predictor_part *part) {
    lode_status status = LODE_OK;
    int64_t n = 0;
    lode_arch *arch = LODE_NEW_ARRAY(lode_arch, p->info.test + 1);
    double *v = LODE_NEW_ARRAY(double, (2 + rows->n_given) * p->info.test + 1);
    LODE_GOTO(arch && v ? LODE_OK : LODE_ERR_NO_MEMORY);
    double *given = v + 2 * p->info.test;
    for (int64_t i = 0; i < rows->n; i++) {
        if (part[i] != LODE_PART_TEST) continue;
        arch[n] = rows->arch[i];
        if (rows->n_given > 0)
            memcpy(given + n * rows->n_given, fit_given(rows, i),
                   (size_t)rows->n_given * sizeof *given);
        v[n++] = rows->value[i];
    }
    if (n == 0) goto done;
    LODE_GOTO(lode_predictor_predict_given(p, arch, given, n, v + n));
    LODE_GOTO(lode_agree(v + n, v, n, &p->info.held_out));
done:
    lode_free(arch);
    lode_free(v);
    return status;
}

lode_status lode_predictor_fit(const char *kind, const lode_predictor_rows *rows,
                               const lode_predictor_part *part,
                               const lode_predictor_options *options,
                               const lode_predictor_info *info, const lode_progress *progress,
                               lode_predictor **out) {
    const lode_predictor_plugin *plugin = NULL;
    lode_predictor *p = NULL;
    fit_data d = {0};
    lode_status status = LODE_OK;
    *out = NULL;
    LODE_TRY(lode_predictor_check_kind(kind, rows->space, options));
    LODE_TRY(predictor_find(kind, &plugin));
    LODE_TRY(predictor_create(plugin, rows->space, options, rows->n_given, &p));
    p->info = *info;
    snprintf(p->info.kind, sizeof p->info.kind, "%s", kind);
    lode_timestamp(p->info.created);
    LODE_GOTO(fit_gather(p, rows, part, &d));
    p->info.train = d.n_train;
    p->info.valid = d.n_valid;
    p->info.test = d.n_test;
    LODE_GOTO(predictor_target_fit(p, d.y, d.n_train + d.n_valid));
    predictor_job job = {.encoding = p->encoding,
                         .train = {d.n_train, d.x, d.y},
                         .valid = {d.n_valid, d.x + d.n_train * d.f, d.y + d.n_train},
                         .options = &p->options,
                         .outputs = 1,
                         .seed = info->seed,
                         .progress = progress};
    LODE_GOTO(plugin->fit(&job, &p->self));
    p->info.epochs = job.epochs;
    p->info.reconstructed = job.reconstructed;
    LODE_GOTO(predictor_judge(p, rows, part));
    *out = p;
    p = NULL;
done:
    lode_free(d.x);
    lode_free(d.y);
    lode_predictor_destroy(p);
    return status;
}

/* ---- answers ---- */

/* Are its options there? Constraints of the space (kept edges) are not asked. */
static lode_status predictor_check_arch(const lode_space *space, const lode_arch *arch) {
    int n = lode_space_n_decisions(space);
    if (arch->n != n)
        return LODE_FAIL(LODE_ERR_INVALID, "predictor: architecture has %d decisions, space %s %d",
                         arch->n, lode_space_name(space), n);
    for (int d = 0; d < n; d++)
        if (arch->option[d] >= lode_space_decision(space, d)->n_options)
            return LODE_FAIL(LODE_ERR_INVALID,
                             "predictor: decision %d has %d options, wanted option %d", d,
                             lode_space_decision(space, d)->n_options, arch->option[d]);
    return LODE_OK;
}

lode_status predictor_encode(const lode_encoding *e, const lode_arch *arch, int64_t n, double *x) {
    for (int64_t i = 0; i < n; i++) {
        LODE_TRY(predictor_check_arch(lode_encoding_space(e), &arch[i]));
        LODE_TRY(lode_encode_arch(e, &arch[i], x + i * lode_encoding_n(e)));
    }
    return LODE_OK;
}

lode_status lode_predictor_predict_given(lode_predictor *p, const lode_arch *arch,
                                         const double *given, int64_t n, double *out) {
    int64_t f = lode_encoding_n(p->encoding);
    double *x = lode_alloc((size_t)(n * f), sizeof *x), slope;
    lode_status status = x ? predictor_encode(p->encoding, arch, n, x) : LODE_ERR_NO_MEMORY;
    for (int64_t i = 0; i < n && status == LODE_OK; i++) {
        predictor_features_given(p, given ? given + i * p->n_given : NULL, x + i * f);
        predictor_features_standardize(p, x + i * f);
    }
    if (status == LODE_OK) status = p->plugin->predict(p->self, x, n, out, NULL);
    for (int64_t i = 0; i < n && status == LODE_OK; i++)
        out[i] = predictor_target_back(p, out[i], &slope);
    lode_free(x);
    return status;
}

lode_status lode_predictor_predict(lode_predictor *p, const lode_arch *arch, int64_t n,
                                   double *out) {
    if (p->n_given > 0)
        return LODE_FAIL(LODE_ERR_UNSUPPORTED,
                         "predictor %s of %s also reads %s, which has to be measured for each "
                         "architecture; an architecture alone is not enough",
                         p->info.kind, p->info.quantity, p->info.given);
    return lode_predictor_predict_given(p, arch, NULL, n, out);
}

static lode_status predictor_at_features(lode_predictor *p, const double *const *probability,
                                         double *value, double *const *gradient) {
    double *dx = gradient ? p->x + lode_encoding_n(p->encoding) : NULL, slope;
    LODE_TRY(lode_encode_relaxed(p->encoding, probability, p->x));
    predictor_features_standardize(p, p->x);
    LODE_TRY(p->plugin->predict(p->self, p->x, 1, value, dx));
    *value = predictor_target_back(p, *value, &slope);
    for (int i = 0; dx && i < lode_encoding_n(p->encoding); i++) dx[i] *= slope;
    if (!dx) return LODE_OK;
    predictor_features_pull(p, dx);
    return lode_encode_pull(p->encoding, probability, dx, gradient);
}

lode_status lode_predictor_relaxed(lode_predictor *p, const double *const *probability,
                                   double *value, double *const *gradient) {
    *value = 0;
    const char *none = lode_predictor_no_gradient(p);
    if (none)
        return LODE_FAIL(LODE_ERR_UNSUPPORTED, "predictor %s of %s: %s; use it as a hard target",
                         p->info.kind, p->info.quantity, none);
    return predictor_at_features(p, probability, value, gradient);
}

bool lode_predictor_prices(const lode_predictor *p, double *base,
                           double (*price)[LODE_MAX_OPTIONS]) {
    const lode_space *space = lode_encoding_space(p->encoding);
    if (!lode_predictor_is_exact(p)) return false;
    /* linear in the features: its value and slope at no feature at all are offset and prices */
    double *x = p->x, *dx = p->x + lode_encoding_n(p->encoding), y = 0;
    memset(x, 0, (size_t)lode_encoding_n(p->encoding) * sizeof *x);
    if (p->plugin->predict(p->self, x, 1, &y, dx) != LODE_OK) return false;
    *base = p->mean + p->scale * y;
    for (int d = 0; d < lode_space_n_decisions(space); d++)
        for (int k = 0; k < lode_space_decision(space, d)->n_options; k++)
            price[d][k] = p->scale * dx[lode_encoding_at(p->encoding, d) + k];
    return true;
}
