/* test_transfer.c: models of many devices, and what they become for a new one: on made-up devices
   whose answer is known. labels: unit */
#include "core/parallel.h"
#include "core/platform.h"
#include "hwcost/cost.h"
#include "hwcost/transfer.h"
#include "support/support.h"

#include <math.h>

enum { N_DEVICES = 7, N_LATENT = 3 };

/* Devices that mix three latent price lists, each with its own unit and offset; the last three
   columns are new devices: 0 a mixture as the others are, 1 the third device in another unit, 2
   with prices of its own. */
typedef struct world {
    lode_space *space;
    int64_t n;
    lode_arch *arch;
    double *known;    /* [n, N_DEVICES] */
    double *fresh[3]; /* [n] each */
    lode_predictor_part *part;
} world;

/* Kinds that learn several devices at once. */
static const char *const kinds[] = {"linear", "mlp", "lstm", "gcn"};
enum { N_KINDS = sizeof kinds / sizeof *kinds };

static const char *const names[] = {"a_ms", "b_ms", "c_ms", "d_ms", "e_ms", "f_ms", "g_ms"};

/* A sum of prices, and a product of two, so that no sum is enough. */
static double price(const double table[][LODE_MAX_OPTIONS], const lode_arch *a) {
    double v = 0;
    for (int d = 0; d < a->n; d++) v += table[d][a->option[d]];
    return v + 2 * table[0][a->option[0]] * table[1][a->option[1]];
}

static void make_world(const char *space, int64_t n, world *w) {
    static double latent[N_LATENT + 1][LODE_MAX_DECISIONS][LODE_MAX_OPTIONS];
    lode_rng rng = lode_rng_stream(21, LODE_RNG_TEST, 1);
    double mix[N_DEVICES + 1][N_LATENT];
    assert_ok(lode_space_load(&(lode_space_options){.name = space}, &w->space));
    w->n = n;
    w->arch = LODE_NEW_ARRAY(lode_arch, n);
    w->known = LODE_NEW_ARRAY(double, n *N_DEVICES);
    w->part = LODE_NEW_ARRAY(lode_predictor_part, n);
    for (int i = 0; i < 3; i++) w->fresh[i] = LODE_NEW_ARRAY(double, n);
    for (int l = 0; l <= N_LATENT; l++)
        for (int d = 0; d < lode_space_n_decisions(w->space); d++)
            for (int k = 0; k < LODE_MAX_OPTIONS; k++) latent[l][d][k] = lode_rng_uniform(&rng);
    for (int s = 0; s <= N_DEVICES; s++)
        for (int l = 0; l < N_LATENT; l++) mix[s][l] = lode_rng_uniform(&rng);
    for (int64_t i = 0; i < n; i++) {
        double v[N_LATENT + 1], sum[N_DEVICES + 1];
        assert_ok(lode_space_sample(w->space, &rng, &w->arch[i]));
        for (int l = 0; l <= N_LATENT; l++)
            v[l] = price((const double(*)[LODE_MAX_OPTIONS])latent[l], &w->arch[i]);
        for (int s = 0; s <= N_DEVICES; s++) {
            sum[s] = 0;
            for (int l = 0; l < N_LATENT; l++) sum[s] += mix[s][l] * v[l];
        }
        for (int s = 0; s < N_DEVICES; s++) w->known[i * N_DEVICES + s] = s + pow(3, s) * sum[s];
        w->fresh[0][i] = 7 + 20 * sum[N_DEVICES];
        w->fresh[1][i] = 100 + 5 * sum[2];
        w->fresh[2][i] = v[N_LATENT];
    }
}

static void free_world(world *w) {
    lode_space_release(w->space);
    lode_free(w->arch);
    lode_free(w->known);
    lode_free(w->part);
    for (int i = 0; i < 3; i++) lode_free(w->fresh[i]);
}

static lode_transfer *fit_world(world *w, const char *kind) {
    const lode_transfer_rows rows = {w->space, w->n, w->arch, N_DEVICES, names, w->known};
    const lode_transfer_info info = {.unit = "ms", .table = "t.csv", .seed = 3};
    const lode_predictor_split split = lode_predictor_split_defaults();
    const lode_predictor_rows one = {
        .space = w->space, .n = w->n, .arch = w->arch, .value = w->known};
    lode_predictor_options o;
    lode_transfer *t = NULL;
    assert_ok(lode_options_default(&lode_predictor_option_table, &o));
    o.hidden = 32;
    o.epochs = 60;
    assert_ok(lode_predictor_split_rows(&one, &split, w->part));
    assert_ok(lode_transfer_fit(kind, &rows, w->part, &o, &info, NULL, &t));
    return t;
}

static const lode_predictor_info about = {.quantity = "latency_ms",
                                          .unit = "ms",
                                          .device = "new",
                                          .table = "new.csv",
                                          .column = "ms",
                                          .adapted_from = "old.devices",
                                          .seed = 5};

/* `samples` rows of those the model learned from, chosen by `draw`; the test rows judge. */
static lode_predictor *adapt(world *w, const lode_transfer *t, int fresh, int64_t samples,
                             uint64_t draw, lode_transfer_report *report) {
    lode_predictor_split split = lode_predictor_split_defaults();
    const lode_predictor_rows rows = {
        .space = w->space, .n = w->n, .arch = w->arch, .value = w->fresh[fresh]};
    lode_predictor *p = NULL;
    split.train = samples;
    split.valid = 0;
    split.draw = draw;
    split.distinct = true;
    assert_ok(lode_predictor_split_rows(&rows, &split, w->part));
    assert_ok(lode_transfer_adapt(t, &rows, w->part, &about, report, &p));
    return p;
}

static double deviation(const double *v, int64_t n) {
    double mean = 0, square = 0;
    for (int64_t i = 0; i < n; i++) mean += v[i] / (double)n;
    for (int64_t i = 0; i < n; i++) square += (v[i] - mean) * (v[i] - mean) / (double)n;
    return sqrt(square);
}

/* The same samples alone say far less. */
static void check_ten_samples(world *w, const char *kind) {
    lode_transfer_report report;
    lode_predictor *scratch = NULL;
    lode_predictor_options o;
    const lode_predictor_rows rows = {
        .space = w->space, .n = w->n, .arch = w->arch, .value = w->fresh[0]};
    double sd = deviation(w->fresh[0], w->n);
    lode_transfer *t = fit_world(w, kind);
    for (uint64_t draw = 0; draw < 3; draw++) {
        lode_predictor *p = adapt(w, t, 0, 10, draw, &report);
        lode_predictor_info i = lode_predictor_get_info(p);
        assert_int_equal(i.train, 10);
        assert_string_equal(i.kind, kind);
        assert_ok(lode_options_default(&lode_predictor_option_table, &o));
        assert_ok(lode_predictor_fit("linear", &rows, w->part, &o, &about, NULL, &scratch));
        double error = i.held_out.rmse / sd;
        double alone = lode_predictor_get_info(scratch).held_out.rmse / sd;
        if (!(error < 0.2 && alone > 0.5 && i.held_out.tau_b > 0.85))
            fail_msg("%s: adapted %g (tau_b %g), from scratch %g", kind, error, i.held_out.tau_b,
                     alone);
        lode_predictor_destroy(scratch);
        lode_predictor_destroy(p);
    }
    lode_transfer_destroy(t);
}

static void ten_samples_of_a_mixture_are_enough(void **state) {
    (void)state;
    world w = {0};
    make_world("nasbench-macro", 600, &w);
    check_ten_samples(&w, "mlp");
    check_ten_samples(&w, "lstm");
    free_world(&w);
}

/* The third device in another unit, by a linear model, which is exact for it but for its product
   term: the regression must find that device's answers, whatever their unit. */
static void another_unit_of_a_known_device_is_found(void **state) {
    (void)state;
    world w = {0};
    lode_transfer_report report;
    lode_predictor *known = NULL;
    make_world("nasbench-macro", 600, &w);
    lode_transfer *t = fit_world(&w, "mlp");
    assert_ok(lode_transfer_known(t, 2, &about, &known));
    lode_predictor *p = adapt(&w, t, 1, 40, 0, &report);
    double *a = LODE_NEW_ARRAY(double, w.n), *b = LODE_NEW_ARRAY(double, w.n), error = 0;
    assert_ok(lode_predictor_predict(p, w.arch, w.n, a));
    assert_ok(lode_predictor_predict(known, w.arch, w.n, b));
    const lode_transfer_device *d = lode_transfer_device_at(t, 2);
    for (int64_t i = 0; i < w.n; i++) { /* known = 2 + 9 s, new = 100 + 5 s */
        double e = a[i] - (100 + 5 * (b[i] - 2) / 9);
        error += e * e / (double)w.n;
    }
    assert_true(sqrt(error) < 0.1 * 5.0 / 9 * d->scale);
    int best = 0;
    for (int k = 1; k < N_DEVICES; k++)
        if (report.share[k] > report.share[best]) best = k;
    assert_int_equal(report.n_devices, N_DEVICES);
    assert_true(report.share[2] > 0.05);
    /* what the samples left out say is what the test rows say, roughly */
    double rmse = lode_predictor_get_info(p).held_out.rmse;
    if (!(report.left_out > 0.4 * rmse && report.left_out < 2.5 * rmse))
        fail_msg("left out %g, held out %g", report.left_out, rmse);
    lode_free(a);
    lode_free(b);
    lode_predictor_destroy(p);
    lode_predictor_destroy(known);
    lode_transfer_destroy(t);
    free_world(&w);
}

/* With prices that no known device has, the term of its own takes over as samples come in. */
static void a_device_of_its_own_is_learned(void **state) {
    (void)state;
    world w = {0};
    lode_transfer_report few, many;
    make_world("nasbench-macro", 600, &w);
    lode_transfer *t = fit_world(&w, "linear");
    lode_predictor *p = adapt(&w, t, 2, 10, 0, &few), *q = adapt(&w, t, 2, 300, 0, &many);
    double sd = deviation(w.fresh[2], w.n);
    double a = lode_predictor_get_info(p).held_out.rmse / sd;
    double b = lode_predictor_get_info(q).held_out.rmse / sd;
    if (!(b < 0.5 * a && b < 0.35)) fail_msg("10 samples %g, 300 samples %g", a, b);
    assert_true(many.own >= 1e-2);
    lode_predictor_destroy(p);
    lode_predictor_destroy(q);
    lode_transfer_destroy(t);
    free_world(&w);
}

static void check_known(world *w, const lode_transfer *t, int k) {
    lode_predictor *p = NULL;
    lode_agreement found;
    double predicted[200], measured[200], all[200];
    int64_t n = 0;
    assert_ok(lode_transfer_known(t, k, &about, &p));
    assert_ok(lode_predictor_predict(p, w->arch, w->n, all));
    for (int i = 0; i < 200; i++) {
        if (w->part[i] != LODE_PART_TEST) continue;
        predicted[n] = all[i];
        measured[n++] = w->known[i * N_DEVICES + k];
    }
    assert_ok(lode_agree(predicted, measured, n, &found));
    const lode_transfer_device *d = lode_transfer_device_at(t, k);
    assert_string_equal(d->name, names[k]);
    assert_near(found.rmse, d->held_out.rmse, 1e-5 * d->scale);
    assert_near(found.tau_b, d->held_out.tau_b, 1e-3);
    assert_true(d->held_out.pearson > 0.9);
    lode_predictor_destroy(p);
}

static void known_devices_come_out_as_they_were_judged(void **state) {
    (void)state;
    world w = {0};
    make_world("nasbench201", 200, &w);
    for (int i = 0; i < N_KINDS; i++) {
        lode_transfer *t = fit_world(&w, kinds[i]);
        const lode_transfer_info info = lode_transfer_get_info(t);
        assert_string_equal(info.kind, kinds[i]);
        assert_int_equal(info.n_devices, N_DEVICES);
        assert_int_equal(info.train + info.valid + info.test, 200);
        for (int k = 0; k < N_DEVICES; k++) check_known(&w, t, k);
        lode_transfer_destroy(t);
    }
    free_world(&w);
}

/* An LSTM knows what no sum of prices says, of every device. */
static void lstm_learns_devices_better_than_sums(void **state) {
    (void)state;
    world w = {0};
    make_world("nasbench-macro", 600, &w);
    lode_transfer *linear = fit_world(&w, "linear"), *lstm = fit_world(&w, "lstm");
    for (int k = 0; k < N_DEVICES; k++) {
        double a = lode_transfer_device_at(linear, k)->held_out.rmse;
        double b = lode_transfer_device_at(lstm, k)->held_out.rmse;
        if (!(b < 0.7 * a)) fail_msg("%s: linear %g, lstm %g", names[k], a, b);
    }
    lode_transfer_destroy(linear);
    lode_transfer_destroy(lstm);
    free_world(&w);
}

static void assert_same_file(const char *a, const char *b) {
    void *one = NULL, *two = NULL;
    size_t n = 0, m = 0;
    assert_ok(lode_file_read(a, &one, &n));
    assert_ok(lode_file_read(b, &two, &m));
    assert_int_equal(n, m);
    assert_memory_equal(one, two, n);
    lode_free(one);
    lode_free(two);
}

static void files_keep_bits_and_threads_do_not_matter(void **state) {
    (void)state;
    char *dir = test_temp_dir(), *path = lode_path_join(dir, "t"),
         *other = lode_path_join(dir, "u");
    int threads = lode_get_threads();
    for (int i = 0; i < N_KINDS; i++) {
        world w = {0};
        lode_transfer_report report;
        lode_transfer *u = NULL;
        lode_predictor *r = NULL;
        double a[60], b[60];
        make_world("nasbench201", 60, &w);
        lode_set_threads(1);
        lode_transfer *t = fit_world(&w, kinds[i]);
        lode_predictor *p = adapt(&w, t, 0, 12, 0, &report);
        assert_ok(lode_predictor_predict(p, w.arch, 60, a));
        assert_ok(lode_transfer_write(t, path));
        assert_true(lode_transfer_is_file(path) && !lode_predictor_is_file(path));
        assert_fails(lode_predictor_read(path, &r), LODE_ERR_DATA, "lode cost fit");
        assert_ok(lode_transfer_read(path, &u));
        assert_ok(lode_transfer_write(u, other)); /* written again: the same file */
        assert_same_file(path, other);
        lode_predictor *q = adapt(&w, u, 0, 12, 0, &report);
        assert_ok(lode_predictor_predict(q, w.arch, 60, b));
        assert_memory_equal(a, b, sizeof a);
        lode_transfer_destroy(u);
        lode_predictor_destroy(q);
        lode_set_threads(2);
        u = fit_world(&w, kinds[i]);
        q = adapt(&w, u, 0, 12, 0, &report);
        assert_ok(lode_predictor_predict(q, w.arch, 60, b));
        assert_memory_equal(a, b, sizeof a);
        /* the new device has a file like any predictor */
        assert_ok(lode_predictor_write(p, path));
        assert_true(lode_predictor_is_file(path) && !lode_transfer_is_file(path));
        lode_transfer_destroy(t);
        assert_fails(lode_transfer_read(path, &t), LODE_ERR_DATA, "--columns");
        assert_null(t);
        assert_ok(lode_predictor_read(path, &r));
        assert_ok(lode_predictor_predict(r, w.arch, 60, b));
        assert_memory_equal(a, b, sizeof a);
        assert_string_equal(lode_predictor_get_info(r).adapted_from, "old.devices");
        assert_int_equal(lode_predictor_get_info(r).train, lode_predictor_get_info(p).train);
        lode_predictor_destroy(p);
        lode_predictor_destroy(q);
        lode_predictor_destroy(r);
        lode_transfer_destroy(u);
        free_world(&w);
    }
    lode_set_threads(threads);
    test_remove_tree(dir);
    lode_free(path);
    lode_free(other);
    lode_free(dir);
}

/* Gradients at probabilities are finite differences, and one-hot probabilities give the hard cost.
 */
static void adapted_predictors_have_gradients(void **state) {
    (void)state;
    for (int i = 0; i < N_KINDS; i++) {
        world w = {0};
        lode_transfer_report report;
        double value, up, down, hard, p[6][5], g[6][5];
        const double *row[6];
        double *slope[6];
        lode_rng rng = lode_rng_stream(5, LODE_RNG_TEST, 9);
        make_world("nasbench201", 60, &w);
        lode_transfer *t = fit_world(&w, kinds[i]);
        lode_predictor *q = adapt(&w, t, 0, 20, 0, &report);
        for (int d = 0; d < 6; d++) {
            row[d] = p[d];
            slope[d] = g[d];
            for (int k = 0; k < 5; k++) p[d][k] = 0.1 + 0.3 * lode_rng_uniform(&rng);
        }
        assert_ok(lode_predictor_relaxed(q, row, &value, slope));
        for (int d = 0; d < 6; d++)
            for (int k = 0; k < 5; k++) {
                double h = 1e-5, kept = p[d][k];
                p[d][k] = kept + h;
                assert_ok(lode_predictor_relaxed(q, row, &up, NULL));
                p[d][k] = kept - h;
                assert_ok(lode_predictor_relaxed(q, row, &down, NULL));
                p[d][k] = kept;
                assert_near((up - down) / (2 * h), g[d][k], 1e-6 * (1 + fabs(g[d][k])));
            }
        for (int d = 0; d < 6; d++)
            for (int k = 0; k < 5; k++) p[d][k] = k == w.arch[0].option[d];
        assert_ok(lode_predictor_relaxed(q, row, &value, NULL));
        assert_ok(lode_predictor_predict(q, w.arch, 1, &hard));
        assert_true(value == hard);
        assert_true(lode_predictor_is_exact(q) == (i == 0));
        lode_predictor_destroy(q);
        lode_transfer_destroy(t);
        free_world(&w);
    }
}

static double error_of_rows(world *w, const lode_transfer *t, const int64_t *row, int n) {
    lode_predictor *p = NULL;
    lode_transfer_report report;
    const lode_predictor_rows rows = {
        .space = w->space, .n = w->n, .arch = w->arch, .value = w->fresh[0]};
    for (int64_t i = 0; i < w->n; i++) w->part[i] = LODE_PART_TEST;
    for (int i = 0; i < n; i++) w->part[row[i]] = LODE_PART_TRAIN;
    assert_ok(lode_transfer_adapt(t, &rows, w->part, &about, &report, &p));
    double error = lode_predictor_get_info(p).held_out.rmse;
    lode_predictor_destroy(p);
    return error;
}

static void suggested_samples_say_more_than_others(void **state) {
    (void)state;
    world w = {0};
    int64_t chosen[6], drawn[400];
    double others = 0;
    make_world("nasbench-macro", 400, &w);
    lode_transfer *t = fit_world(&w, "mlp");
    assert_ok(lode_transfer_suggest(t, w.arch, 400, 6, chosen));
    for (int i = 0; i < 6; i++)
        for (int j = 0; j < i; j++) assert_int_not_equal(chosen[i], chosen[j]);
    double best = error_of_rows(&w, t, chosen, 6);
    for (int draw = 0; draw < 10; draw++) {
        lode_rng rng = lode_rng_stream(9, LODE_RNG_TEST, (uint64_t)draw);
        lode_rng_permutation(&rng, drawn, 400);
        others += error_of_rows(&w, t, drawn, 6) / 10;
    }
    if (!(best < others)) fail_msg("suggested %g, drawn %g", best, others);
    assert_fails(lode_transfer_suggest(t, w.arch, 3, 6, chosen), LODE_ERR_CONFIG, "out of 3");
    lode_transfer_destroy(t);
    free_world(&w);
}

static void wrong_requests_say_what(void **state) {
    (void)state;
    world w = {0}, other = {0};
    lode_transfer *t = NULL;
    lode_predictor *p = NULL;
    lode_transfer_report report;
    lode_predictor_options o;
    const lode_transfer_info info = {.unit = "ms"};
    make_world("nasbench-macro", 60, &w);
    lode_transfer_rows rows = {w.space, w.n, w.arch, N_DEVICES, names, w.known};
    assert_ok(lode_options_default(&lode_predictor_option_table, &o));
    for (int i = 0; i < 60; i++) w.part[i] = LODE_PART_TRAIN;
    for (int i = 0; i < lode_n_predictors(); i++)
        if (strcmp(lode_predictor_kind_at(i), "gbdt") == 0 && !lode_predictor_missing_at(i))
            assert_fails(lode_transfer_fit("gbdt", &rows, w.part, &o, &info, NULL, &t),
                         LODE_ERR_UNSUPPORTED, "one device at a time");
    rows.n_devices = 1;
    assert_fails(lode_transfer_fit("mlp", &rows, w.part, &o, &info, NULL, &t), LODE_ERR_CONFIG,
                 "want 2 to 256");
    assert_null(t);
    t = fit_world(&w, "linear");
    lode_predictor_rows few = {.space = w.space, .n = 2, .arch = w.arch, .value = w.fresh[0]};
    w.part[0] = w.part[1] = LODE_PART_TRAIN;
    assert_fails(lode_transfer_adapt(t, &few, w.part, &about, &report, &p), LODE_ERR_DATA,
                 "at least 3");
    assert_null(p);
    for (int i = 0; i < 60; i++) w.fresh[0][i] = 4;
    few.n = 10;
    for (int i = 0; i < 60; i++) w.part[i] = LODE_PART_TRAIN;
    assert_fails(lode_transfer_adapt(t, &few, w.part, &about, &report, &p), LODE_ERR_DATA,
                 "all 10 samples cost 4");
    make_world("nasbench201", 20, &other);
    lode_predictor_rows wrong = {
        .space = other.space, .n = 20, .arch = other.arch, .value = other.fresh[0]};
    assert_fails(lode_transfer_adapt(t, &wrong, w.part, &about, &report, &p), LODE_ERR_CONFIG,
                 "nasbench201 has 6");
    lode_transfer_destroy(t);
    assert_fails(lode_transfer_read("/nowhere", &t), LODE_ERR_IO, "/nowhere");
    assert_null(t);
    free_world(&w);
    free_world(&other);
}

static void damaged_files_are_refused(void **state) {
    (void)state;
    world w = {0};
    lode_transfer *t = NULL;
    void *bytes = NULL;
    size_t n = 0;
    char *dir = test_temp_dir(), *path = lode_path_join(dir, "t");
    make_world("nasbench-macro", 60, &w);
    lode_transfer *made = fit_world(&w, "mlp");
    assert_ok(lode_transfer_write(made, path));
    lode_transfer_destroy(made);
    assert_ok(lode_file_read(path, &bytes, &n));
    for (size_t cut = 0; cut < n; cut += 1 + n / 37) {
        assert_ok(lode_file_write_atomic(path, bytes, cut));
        assert_int_not_equal(lode_transfer_read(path, &t), LODE_OK);
        assert_null(t);
    }
    /* one device less than the tensors have: the list's last entry renamed away */
    char *name = NULL;
    for (size_t i = 0; i + 8 < n && !name; i++)
        if (memcmp((char *)bytes + i, "\"devices", 8) == 0 ||
            memcmp((char *)bytes + i, "devices\\\"", 9) == 0)
            name = (char *)bytes + i;
    assert_non_null(name);
    name[name[0] == '"'] = 'D';
    assert_ok(lode_file_write_atomic(path, bytes, n));
    assert_fails(lode_transfer_read(path, &t), LODE_ERR_DATA, "0 devices");
    lode_free(bytes);
    free_world(&w);
    test_remove_tree(dir);
    lode_free(path);
    lode_free(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ten_samples_of_a_mixture_are_enough),
        cmocka_unit_test(another_unit_of_a_known_device_is_found),
        cmocka_unit_test(a_device_of_its_own_is_learned),
        cmocka_unit_test(known_devices_come_out_as_they_were_judged),
        cmocka_unit_test(lstm_learns_devices_better_than_sums),
        cmocka_unit_test(files_keep_bits_and_threads_do_not_matter),
        cmocka_unit_test(adapted_predictors_have_gradients),
        cmocka_unit_test(suggested_samples_say_more_than_others),
        cmocka_unit_test(wrong_requests_say_what),
        cmocka_unit_test(damaged_files_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
