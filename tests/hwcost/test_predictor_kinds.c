/* test_predictor_kinds.c: what each kind of predictor learns of made-up rows. labels: unit */
#include "hwcost/made.h"

#include <math.h>

static void linear_finds_the_prices_of_a_sum(void **state) {
    (void)state;
    static double price[LODE_MAX_DECISIONS][LODE_MAX_OPTIONS];
    made m = {0};
    double base = 0;
    made_open("nasbench-macro", 200, 0, &m);
    lode_predictor *p = made_fit(&m, "linear", 0);
    lode_predictor_info info = lode_predictor_get_info(p);
    assert_true(info.held_out.rmse < 1e-6 && info.held_out.tau_b > 0.99);
    assert_true(info.train > 100 && info.valid > 10 && info.test >= 40);
    assert_true(lode_predictor_is_exact(p) && lode_predictor_no_gradient(p) == NULL);
    /* prices are known up to a constant per decision */
    assert_true(lode_predictor_prices(p, &base, price));
    for (int d = 0; d < 8; d++)
        for (int k = 1; k < 3; k++)
            assert_near(price[d][k] - price[d][0], m.price[d][k] - m.price[d][0], 1e-6);
    lode_predictor_destroy(p);
    made_close(&m);
}

static void mlp_learns_what_no_sum_can(void **state) {
    (void)state;
    made m = {0};
    made_open("nasbench-macro", 500, 4, &m);
    lode_predictor *linear = made_fit(&m, "linear", 0), *mlp = made_fit(&m, "mlp", 0);
    double a = lode_predictor_get_info(linear).held_out.rmse;
    double b = lode_predictor_get_info(mlp).held_out.rmse;
    if (!(a > 0.3 && b < 0.4 * a)) fail_msg("linear %g, mlp %g", a, b);
    assert_true(lode_predictor_get_info(mlp).epochs > 0);
    assert_false(lode_predictor_is_exact(mlp));
    lode_predictor_destroy(linear);
    lode_predictor_destroy(mlp);
    made_close(&m);
}

/* RMSE on held-out rows of trees, with or without a regression below them; -1: no XGBoost. */
static double trees_rmse(made *m, bool ridge) {
    lode_predictor *p = NULL;
    lode_predictor_split split = lode_predictor_split_defaults();
    lode_predictor_options o = made_options();
    o.ridge = ridge ? LODE_RIDGE_AUTO : LODE_RIDGE_FALSE;
    assert_ok(lode_predictor_split_rows(&m->rows, &split, m->part));
    lode_status status = lode_predictor_fit("gbdt", &m->rows, m->part, &o, &made_about, NULL, &p);
    if (status == LODE_ERR_UNSUPPORTED) return -1;
    assert_ok(status);
    const double rmse = lode_predictor_get_info(p).held_out.rmse;
    lode_predictor_destroy(p);
    return rmse;
}

/* A sum of prices takes trees many splits and a regression none; what no sum says, trees do say. */
static void trees_stand_on_a_regression_where_it_helps(void **state) {
    (void)state;
    made m = {0};
    made_open("nasbench-macro", 200, 0, &m);
    double alone = trees_rmse(&m, false), above = trees_rmse(&m, true);
    made_close(&m);
    if (above < 0) skip();
    if (!(above < 1e-5 && alone > 0.1)) fail_msg("of a sum: alone %g, above %g", alone, above);
    m = (made){0};
    made_open("nasbench-macro", 500, 4, &m);
    lode_predictor *linear = made_fit(&m, "linear", 0);
    const double line = lode_predictor_get_info(linear).held_out.rmse;
    alone = trees_rmse(&m, false), above = trees_rmse(&m, true);
    if (!(above < 0.4 * line && above < 1.1 * alone))
        fail_msg("of a product: linear %g, alone %g, above %g", line, alone, above);
    lode_predictor_destroy(linear);
    made_close(&m);
}

/* What an LSTM has to see is where an option stands: products of neighbours in a chain. */
static void lstm_learns_what_no_sum_can(void **state) {
    (void)state;
    made m = {0};
    made_open("nasbench-macro", 500, 4, &m);
    lode_predictor *linear = made_fit(&m, "linear", 0), *lstm = made_fit_longer(&m, "lstm", 0, 2);
    double a = lode_predictor_get_info(linear).held_out.rmse;
    double b = lode_predictor_get_info(lstm).held_out.rmse;
    if (!(a > 0.3 && b < 0.5 * a)) fail_msg("linear %g, lstm %g", a, b);
    lode_predictor_destroy(linear);
    lode_predictor_destroy(lstm);
    made_close(&m);
}

static void gcn_learns_cells_and_darts(void **state) {
    (void)state;
    made m = {0};
    double a, b;
    made_open("nasbench201", 400, 4, &m);
    lode_predictor *linear = made_fit(&m, "linear", 0), *gcn = made_fit_longer(&m, "gcn", 0, 3);
    a = lode_predictor_get_info(linear).held_out.rmse;
    b = lode_predictor_get_info(gcn).held_out.rmse;
    if (!(b < 0.6 * a)) fail_msg("linear %g, gcn %g", a, b);
    lode_predictor_destroy(linear);
    lode_predictor_destroy(gcn);
    made_close(&m);
    m = (made){0};
    made_open("darts", 60, 0, &m); /* two types of cells in one graph */
    gcn = made_fit(&m, "gcn", 0);
    assert_true(isfinite(lode_predictor_get_info(gcn).held_out.rmse));
    lode_predictor_destroy(gcn);
    made_close(&m);
}

/* ---- fit.ridge: auto ---- */

/* Prices of the edges that lie between input and output: what is left when a tool removes the rest.
   (Options 0: none; edges 1<-0, 2<-0, 2<-1, 3<-0, 3<-1, 3<-2.) */
static double live_value(const made *m, const lode_arch *a) {
    static const int to[6] = {1, 2, 2, 3, 3, 3}, from[6] = {0, 0, 1, 0, 1, 2};
    bool in[4] = {true}, out[4] = {false, false, false, true};
    double v = 5;
    for (int e = 0; e < 6; e++) in[to[e]] |= in[from[e]] && a->option[e] != 0;
    for (int e = 5; e >= 0; e--) out[from[e]] |= out[to[e]] && a->option[e] != 0;
    for (int e = 0; e < 6; e++)
        if (in[from[e]] && out[to[e]]) v += m->price[e][a->option[e]];
    return v;
}

/* Answers for all rows; *valid: their mean squared error on those for validation. */
static double *ridge_answers(made *m, const char *kind, int64_t train, int ridge, double *valid) {
    lode_predictor *p = NULL;
    lode_predictor_split split = lode_predictor_split_defaults();
    lode_predictor_options o = made_options();
    double *y = LODE_NEW_ARRAY(double, m->rows.n);
    o.ridge = ridge;
    o.unlabeled = 50;
    o.pretrain = 1;
    split.train = train;
    assert_non_null(y);
    assert_ok(lode_predictor_split_rows(&m->rows, &split, m->part));
    assert_ok(lode_predictor_fit(kind, &m->rows, m->part, &o, &made_about, NULL, &p));
    assert_ok(lode_predictor_predict(p, m->arch, m->rows.n, y));
    *valid = 0;
    for (int64_t i = 0; i < m->rows.n; i++)
        if (m->part[i] == LODE_PART_VALID) *valid += (y[i] - m->value[i]) * (y[i] - m->value[i]);
    lode_predictor_destroy(p);
    return y;
}

/* Auto is one of the two, bit for bit: from few rows, and for other kinds, the one with the
   regression, else the one that validates better. Returns whether that is the one without. */
static bool check_auto(made *m, const char *kind, int64_t train, bool tries) {
    double valid[3], *y[3];
    const size_t bytes = (size_t)m->rows.n * sizeof **y;
    for (int ridge = LODE_RIDGE_AUTO; ridge <= LODE_RIDGE_FALSE; ridge++)
        y[ridge] = ridge_answers(m, kind, train, ridge, &valid[ridge]);
    bool alone = tries && valid[LODE_RIDGE_FALSE] < valid[LODE_RIDGE_TRUE];
    assert_memory_not_equal(y[LODE_RIDGE_TRUE], y[LODE_RIDGE_FALSE], bytes);
    assert_memory_equal(y[LODE_RIDGE_AUTO], y[alone ? LODE_RIDGE_FALSE : LODE_RIDGE_TRUE], bytes);
    for (int i = 0; i < 3; i++) lode_free(y[i]);
    return alone;
}

static void networks_choose_what_is_below(void **state) {
    (void)state;
    made m = {0};
    made_open("nasbench201", 700, 0, &m);
    assert_false(check_auto(&m, "gcn", 400, true)); /* a sum is the regression's */
    assert_false(check_auto(&m, "gcn", 300, false));
    for (int64_t i = 0; i < m.rows.n; i++) m.value[i] = live_value(&m, &m.arch[i]);
    check_auto(&m, "gcn", 400, true);
    check_auto(&m, "semigcn", 400, true);
    check_auto(&m, "mlp", 400, false);
    made_close(&m);
}

/* What no sum says, a kernel does; it is nearer to rows it has learned from than to others. */
static void kernel_meets_its_rows(void **state) {
    (void)state;
    made m = {0};
    double at[300];
    made_open("nasbench-macro", 300, 4, &m);
    lode_predictor *linear = made_fit(&m, "linear", 0), *kernel = made_fit(&m, "kernel", 0);
    double a = lode_predictor_get_info(linear).held_out.rmse;
    double b = lode_predictor_get_info(kernel).held_out.rmse;
    if (!(b < 0.6 * a)) fail_msg("linear %g, kernel %g", a, b);
    assert_ok(lode_predictor_predict(kernel, m.arch, 300, at));
    double sum = 0, n = 0;
    for (int i = 0; i < 300; i++) {
        if (m.part[i] != LODE_PART_TRAIN) continue;
        sum += (at[i] - m.value[i]) * (at[i] - m.value[i]);
        n++;
    }
    assert_true(sqrt(sum / n) < 0.5 * b);
    lode_predictor_destroy(linear);
    lode_predictor_destroy(kernel);
    made_close(&m);
}

/* Without any target the auto-encoder finds nearly all options of cells it has not seen. */
static void auto_encoder_finds_options_again(void **state) {
    (void)state;
    made m = {0};
    lode_predictor *p = NULL;
    lode_predictor_split split = lode_predictor_split_defaults();
    lode_predictor_options o = made_options();
    o.hidden = 128;
    o.epochs = 1;
    made_open("nasbench201", 60, 0, &m);
    assert_ok(lode_predictor_split_rows(&m.rows, &split, m.part));
    assert_ok(lode_predictor_fit("semigcn", &m.rows, m.part, &o, &made_about, NULL, &p));
    double found = lode_predictor_get_info(p).reconstructed;
    if (!(found > 0.99)) fail_msg("the auto-encoder finds %g of the options", found);
    lode_predictor_destroy(p);
    made_close(&m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(linear_finds_the_prices_of_a_sum),
        cmocka_unit_test(mlp_learns_what_no_sum_can),
        cmocka_unit_test(trees_stand_on_a_regression_where_it_helps),
        cmocka_unit_test(lstm_learns_what_no_sum_can),
        cmocka_unit_test(gcn_learns_cells_and_darts),
        cmocka_unit_test(networks_choose_what_is_below),
        cmocka_unit_test(kernel_meets_its_rows),
        cmocka_unit_test(auto_encoder_finds_options_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
