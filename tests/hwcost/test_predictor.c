/* test_predictor.c: encodings, splits, fitted predictors, their files, and as costs: on made-up
   tables whose answer is known, and on published ones where they are. labels: unit */
#include "core/parallel.h"
#include "core/platform.h"
#include "hwcost/cost.h"
#include "hwcost/predictor.h"
#include "support/support.h"
#include "tensor/tensor_io.h"

#include <math.h>

static const char *const spaces[] = {"nasbench-macro", "nasbench201", "darts", "fbnetv2-cifar",
                                     "single-path-cifar"};

static lode_space *open_space(const char *name) {
    lode_space *s = NULL;
    assert_ok(lode_space_load(&(lode_space_options){.name = name}, &s));
    return s;
}

static const lode_encoding_parts with_paths = {.options = true, .paths = true},
                                 with_all = {.options = true, .paths = true, .counts = true};

typedef struct table {
    double value[LODE_MAX_DECISIONS][LODE_MAX_OPTIONS];
    double *row[LODE_MAX_DECISIONS];
} table;

static void fill_random(const lode_space *s, lode_rng *rng, table *t) {
    for (int d = 0; d < lode_space_n_decisions(s); d++) {
        double sum = 0;
        int n = lode_space_decision(s, d)->n_options;
        t->row[d] = t->value[d];
        for (int k = 0; k < n; k++) sum += t->value[d][k] = lode_rng_uniform(rng);
        for (int k = 0; k < n; k++) t->value[d][k] /= sum;
    }
}

static void fill_one_hot(const lode_arch *a, table *t) {
    memset(t->value, 0, sizeof t->value);
    for (int d = 0; d < a->n; d++) {
        t->row[d] = t->value[d];
        t->value[d][a->option[d]] = 1;
    }
}

/* Rows drawn from a space with a value that is made here. */
typedef struct made {
    lode_predictor_rows rows;
    lode_arch *arch;
    double *value;
    lode_predictor_part *part;
    double price[LODE_MAX_DECISIONS][LODE_MAX_OPTIONS];
} made;

/* 5 + one price per option, + curve * the product of the first two prices, + noise. */
static double make_value(const made *m, const lode_arch *a, double curve) {
    double v = 5;
    for (int d = 0; d < a->n; d++) v += m->price[d][a->option[d]];
    return v + curve * m->price[0][a->option[0]] * m->price[1][a->option[1]];
}

static void make_rows(const char *space, int64_t n, double curve, made *m) {
    lode_rng rng = lode_rng_stream(11, LODE_RNG_TEST, 1);
    lode_space *s = open_space(space);
    m->arch = LODE_NEW_ARRAY(lode_arch, n);
    m->value = LODE_NEW_ARRAY(double, n);
    m->part = LODE_NEW_ARRAY(lode_predictor_part, n);
    for (int d = 0; d < lode_space_n_decisions(s); d++)
        for (int k = 0; k < LODE_MAX_OPTIONS; k++) m->price[d][k] = 3 * lode_rng_uniform(&rng);
    for (int64_t i = 0; i < n; i++) {
        assert_ok(lode_space_sample(s, &rng, &m->arch[i]));
        m->value[i] = make_value(m, &m->arch[i], curve);
    }
    m->rows = (lode_predictor_rows){.space = s, .n = n, .arch = m->arch, .value = m->value};
}

static void free_rows(made *m) {
    lode_space_release(m->rows.space);
    lode_free(m->arch);
    lode_free(m->value);
    lode_free(m->part);
}

static lode_predictor_options options(void) {
    lode_predictor_options o;
    assert_ok(lode_options_default(&lode_predictor_option_table, &o));
    o.hidden = 24;
    o.epochs = 30;
    return o;
}

static const lode_predictor_info about = {.quantity = "latency_ms",
                                          .unit = "ms",
                                          .device = "made up",
                                          .table = "t.csv",
                                          .column = "ms",
                                          .seed = 3};

static lode_predictor *fit_longer(made *m, const char *kind, int64_t train, int64_t times) {
    lode_predictor *p = NULL;
    lode_predictor_split split = lode_predictor_split_defaults();
    lode_predictor_options o = options();
    o.epochs *= times;
    o.lr /= (double)times;
    o.hidden *= times;
    split.train = train;
    assert_ok(lode_predictor_split_rows(&m->rows, &split, m->part));
    assert_ok(lode_predictor_fit(kind, &m->rows, m->part, &o, &about, NULL, &p));
    return p;
}

static lode_predictor *fit_made(made *m, const char *kind, int64_t train) {
    return fit_longer(m, kind, train, 1);
}

static lode_predictor *fit_encoded(made *m, const char *kind, int encoding) {
    lode_predictor *p = NULL;
    lode_predictor_split split = lode_predictor_split_defaults();
    lode_predictor_options o = options();
    o.encoding = encoding;
    assert_ok(lode_predictor_split_rows(&m->rows, &split, m->part));
    assert_ok(lode_predictor_fit(kind, &m->rows, m->part, &o, &about, NULL, &p));
    return p;
}

/* ---- encodings ---- */

static void encoding_of_an_architecture_is_that_of_its_one_hot_probabilities(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof spaces / sizeof *spaces; i++) {
        static table p;
        lode_space *s = open_space(spaces[i]);
        lode_encoding *e = NULL;
        lode_rng rng = lode_rng_stream(1, LODE_RNG_TEST, 2);
        assert_ok(lode_encoding_create(s, &with_all, &e));
        int n = lode_encoding_n(e);
        double *x = LODE_NEW_ARRAY(double, 2 * n);
        for (int draw = 0; draw < 20; draw++) {
            lode_arch a;
            assert_ok(lode_space_sample(s, &rng, &a));
            fill_one_hot(&a, &p);
            lode_encode_arch(e, &a, x);
            lode_encode_relaxed(e, (const double *const *)p.row, x + n);
            assert_memory_equal(x, x + n, (size_t)n * sizeof *x);
            for (int k = 0; k < lode_encoding_n_binary(e); k++) assert_true(x[k] == 0 || x[k] == 1);
        }
        lode_free(x);
        lode_encoding_destroy(e);
        lode_space_release(s);
    }
}

static void encoding_pulls_gradients_as_finite_differences_do(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof spaces / sizeof *spaces; i++) {
        static table p, g;
        lode_space *s = open_space(spaces[i]);
        lode_encoding *e = NULL;
        lode_rng rng = lode_rng_stream(2, LODE_RNG_TEST, 3);
        assert_ok(lode_encoding_create(s, &with_all, &e));
        int n = lode_encoding_n(e);
        double *x = LODE_NEW_ARRAY(double, 3 * n), *up = x + n, *dx = x + 2 * n;
        for (int k = 0; k < n; k++) dx[k] = lode_rng_normal(&rng);
        fill_random(s, &rng, &p);
        fill_random(s, &rng, &g);
        lode_encode_pull(e, (const double *const *)p.row, dx, g.row);
        for (int d = 0; d < lode_space_n_decisions(s); d++)
            for (int k = 0; k < lode_space_decision(s, d)->n_options; k++) {
                double h = 1e-5, kept = p.value[d][k], slope = 0;
                p.value[d][k] = kept + h;
                lode_encode_relaxed(e, (const double *const *)p.row, up);
                p.value[d][k] = kept - h;
                lode_encode_relaxed(e, (const double *const *)p.row, x);
                p.value[d][k] = kept;
                for (int f = 0; f < n; f++) slope += dx[f] * (up[f] - x[f]) / (2 * h);
                assert_near(slope, g.value[d][k], 1e-8);
            }
        lode_free(x);
        lode_encoding_destroy(e);
        lode_space_release(s);
    }
}

/* NAS-Bench-201: edges 0->1, 0->2, 1->2, 0->3, 1->3, 2->3; the features after the 30 options are
   "reached" of nodes 1, 2, 3 and "reaches the output" of states 0, 1, 2. */
static void cells_say_what_is_reached(void **state) {
    (void)state;
    static const struct {
        const char *code;
        double reach[6];
    } cases[] = {
        {"333333", {1, 1, 1, 1, 1, 1}}, {"000000", {0, 0, 0, 0, 0, 0}},
        {"300030", {1, 0, 1, 1, 1, 0}}, /* 0 -> 1 -> 3 */
        {"003003", {0, 0, 0, 0, 1, 1}}, /* 1 -> 2 -> 3, but nothing leads to 1 */
        {"130000", {1, 1, 0, 0, 0, 0}}, /* two dead ends */
    };
    lode_space *s = open_space("nasbench201");
    lode_encoding *e = NULL, *plain = NULL;
    double x[36];
    assert_ok(lode_encoding_create(s, &with_paths, &e));
    assert_ok(lode_encoding_create(s, &(lode_encoding_parts){.options = true}, &plain));
    assert_int_equal(lode_encoding_n(e), 36);
    assert_int_equal(lode_encoding_n(plain), 30);
    assert_true(lode_encoding_has_paths(e) && !lode_encoding_is_linear(e));
    assert_true(!lode_encoding_has_paths(plain) && lode_encoding_is_linear(plain));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lode_arch a;
        assert_ok(lode_arch_parse(s, cases[i].code, &a));
        lode_encode_arch(e, &a, x);
        assert_memory_equal(x + 30, cases[i].reach, sizeof cases[i].reach);
    }
    lode_encoding_destroy(e);
    lode_encoding_destroy(plain);
    lode_space_release(s);
}

/* Counts are logarithms of costs; given numbers come last, behind their place. */
static void counts_are_those_of_costs(void **state) {
    (void)state;
    lode_space *s = open_space("nasbench201");
    lode_supernet *net = NULL;
    lode_encoding *e = NULL;
    lode_arch a;
    double x[8] = {[7] = 42}, v = 0;
    static const char *const cost[] = {"macs", "params", "activation_bytes"};
    assert_ok(lode_encoding_create(s, &(lode_encoding_parts){.counts = true, .given = 1}, &e));
    assert_int_equal(lode_encoding_n(e), 8);
    assert_int_equal(lode_encoding_n_binary(e), 0);
    assert_int_equal(lode_encoding_n_given(e), 1);
    assert_false(lode_encoding_is_linear(e));
    assert_ok(lode_arch_parse(s, "333132", &a)); /* four of six edges are 3x3, one is 1x1 */
    assert_ok(lode_encode_arch(e, &a, x));
    assert_ok(lode_supernet_create(s, NULL, LODE_F32, 1, &net));
    for (int i = 0; i < 3; i++) {
        lode_cost *c = NULL;
        assert_ok(lode_cost_open(cost[i], net, 1, &c));
        assert_ok(lode_cost_hard(c, &a, &v));
        assert_near(x[i], log1p(v), 1e-12);
        lode_cost_close(c);
    }
    /* 15 cells; a stem and two residual blocks of two 3x3 and one 1x1 each */
    assert_near(expm1(x[3]), 15 * 4 + 1 + 2 * 2, 1e-6);
    assert_near(expm1(x[4]), 15 + 2, 1e-6);
    assert_true(x[5] == 0 && x[7] == 42);
    lode_encoding_destroy(e);
    lode_supernet_destroy(net);
    assert_fails(lode_encoding_create(s, &(lode_encoding_parts){.paths = false}, &e),
                 LODE_ERR_INVALID, "no features");
    lode_space_release(s);
}

/* ---- splits ---- */

static void splits_keep_networks_together_and_grow(void **state) {
    (void)state;
    made m = {0};
    make_rows("nasbench201", 600, 0, &m); /* many isomorphic cells */
    lode_predictor_split split = lode_predictor_split_defaults();
    lode_predictor_part *first = LODE_NEW_ARRAY(lode_predictor_part, 600);
    split.train = 100;
    assert_ok(lode_predictor_split_rows(&m.rows, &split, first));
    split.train = 300;
    assert_ok(lode_predictor_split_rows(&m.rows, &split, m.part));
    int64_t n[4] = {0};
    for (int i = 0; i < 600; i++) {
        n[m.part[i]]++;
        assert_true((first[i] == LODE_PART_TEST) == (m.part[i] == LODE_PART_TEST));
        if (first[i] == LODE_PART_TRAIN || first[i] == LODE_PART_VALID)
            assert_true(m.part[i] == LODE_PART_TRAIN || m.part[i] == LODE_PART_VALID);
        for (int j = 0; j < i; j++)
            if (lode_arch_hash(m.rows.space, &m.arch[i]) ==
                lode_arch_hash(m.rows.space, &m.arch[j]))
                assert_int_equal(m.part[i], m.part[j]);
    }
    assert_true(n[LODE_PART_TEST] >= 120 && n[LODE_PART_TEST] < 140);
    assert_true(n[LODE_PART_TRAIN] + n[LODE_PART_VALID] >= 300);
    assert_true(n[LODE_PART_VALID] >= 45 && n[LODE_PART_VALID] < 70);
    split.seed = 2; /* another seed holds out others */
    assert_ok(lode_predictor_split_rows(&m.rows, &split, first));
    int different = 0;
    for (int i = 0; i < 600; i++) different += first[i] != m.part[i];
    assert_true(different > 100);
    split.train = 599;
    assert_fails(lode_predictor_split_rows(&m.rows, &split, first), LODE_ERR_DATA, "599 rows");
    lode_free(first);
    free_rows(&m);
}

/* ---- fitting ---- */

static void linear_finds_the_prices_of_a_sum(void **state) {
    (void)state;
    static double price[LODE_MAX_DECISIONS][LODE_MAX_OPTIONS];
    made m = {0};
    double base = 0;
    make_rows("nasbench-macro", 200, 0, &m);
    lode_predictor *p = fit_made(&m, "linear", 0);
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
    free_rows(&m);
}

static void mlp_learns_what_no_sum_can(void **state) {
    (void)state;
    made m = {0};
    make_rows("nasbench-macro", 500, 4, &m);
    lode_predictor *linear = fit_made(&m, "linear", 0), *mlp = fit_made(&m, "mlp", 0);
    double a = lode_predictor_get_info(linear).held_out.rmse;
    double b = lode_predictor_get_info(mlp).held_out.rmse;
    if (!(a > 0.3 && b < 0.4 * a)) fail_msg("linear %g, mlp %g", a, b);
    assert_true(lode_predictor_get_info(mlp).epochs > 0);
    assert_false(lode_predictor_is_exact(mlp));
    lode_predictor_destroy(linear);
    lode_predictor_destroy(mlp);
    free_rows(&m);
}

static bool never(void *self) {
    (void)self;
    return true;
}

static void same_seed_same_bits_and_files_keep_them(void **state) {
    (void)state;
    char *dir = test_temp_dir(), *path = lode_path_join(dir, "p"),
         *other = lode_path_join(dir, "q");
    int threads = lode_get_threads();
    for (int i = 0; i < lode_n_predictors(); i++) {
        const char *kind = lode_predictor_kind_at(i);
        if (lode_predictor_missing_at(i)) continue;
        made m = {0};
        lode_predictor *p = NULL, *q = NULL;
        double a[50], b[50];
        make_rows("nasbench201", 150, 1, &m);
        lode_set_threads(1);
        p = fit_made(&m, kind, 0);
        assert_ok(lode_predictor_predict(p, m.arch, 50, a));
        lode_set_threads(2);
        q = fit_made(&m, kind, 0);
        assert_ok(lode_predictor_predict(q, m.arch, 50, b));
        assert_memory_equal(a, b, sizeof a);
        lode_predictor_destroy(q);
        for (int k = 0; k < 50; k++) { /* a row's answer does not depend on its company */
            assert_ok(lode_predictor_predict(p, &m.arch[k], 1, &b[k]));
            assert_true(a[k] == b[k]);
        }
        assert_ok(lode_predictor_write(p, path));
        assert_true(lode_predictor_is_file(path));
        assert_ok(lode_predictor_read(path, &q));
        assert_ok(lode_predictor_predict(q, m.arch, 50, b));
        assert_memory_equal(a, b, sizeof a);
        lode_predictor_info x = lode_predictor_get_info(p), y = lode_predictor_get_info(q);
        assert_string_equal(x.kind, y.kind);
        assert_string_equal(y.device, "made up");
        assert_string_equal(x.created, y.created);
        assert_int_equal(x.train, y.train);
        assert_int_equal(y.seed, 3);
        assert_true(x.held_out.rmse == y.held_out.rmse && x.held_out.tau_b == y.held_out.tau_b);
        assert_true(x.smallest == y.smallest && x.largest == y.largest);
        assert_ok(lode_predictor_write(q, other)); /* written again: the same file */
        void *one = NULL, *two = NULL;
        size_t n = 0, n2 = 0;
        assert_ok(lode_file_read(path, &one, &n));
        assert_ok(lode_file_read(other, &two, &n2));
        assert_int_equal(n, n2);
        assert_memory_equal(one, two, n);
        lode_free(one);
        lode_free(two);
        lode_predictor_destroy(p);
        lode_predictor_destroy(q);
        free_rows(&m);
    }
    lode_set_threads(threads);
    test_remove_tree(dir);
    lode_free(path);
    lode_free(other);
    lode_free(dir);
}

static void wrong_requests_are_refused(void **state) {
    (void)state;
    made m = {0};
    lode_predictor *p = NULL;
    lode_predictor_split split = lode_predictor_split_defaults();
    lode_predictor_options o = options();
    const lode_progress stop = {.should_stop = never};
    make_rows("nasbench-macro", 60, 0, &m);
    assert_ok(lode_predictor_split_rows(&m.rows, &split, m.part));
    assert_fails(lode_predictor_fit("lineer", &m.rows, m.part, &o, &about, NULL, &p),
                 LODE_ERR_CONFIG, "nearest is linear");
    assert_null(p);
    assert_fails(lode_predictor_fit("mlp", &m.rows, m.part, &o, &about, &stop, &p),
                 LODE_ERR_STOPPED, "stopped in epoch 1");
    for (int i = 0; i < 60; i++) m.part[i] = LODE_PART_TEST;
    assert_fails(lode_predictor_fit("linear", &m.rows, m.part, &o, &about, NULL, &p), LODE_ERR_DATA,
                 "at least 2");
    split.test = 1;
    assert_fails(lode_predictor_split_rows(&m.rows, &split, m.part), LODE_ERR_CONFIG, "[0, 1)");
    assert_fails(lode_predictor_check_kind("gcn", m.rows.space, &o), LODE_ERR_UNSUPPORTED,
                 "no edge of a cell");
    p = fit_made(&m, "linear", 0);
    double v;
    lode_arch wrong = {.n = 3}, high = {.n = 8, .option = {7}};
    assert_fails(lode_predictor_predict(p, &wrong, 1, &v), LODE_ERR_INVALID, "3 decisions");
    assert_fails(lode_predictor_predict(p, &high, 1, &v), LODE_ERR_INVALID, "option 7");
    lode_space *other = open_space("nasbench201");
    assert_fails(lode_predictor_check_space(p, other), LODE_ERR_CONFIG, "nasbench201 has 6");
    lode_space_release(other);
    lode_predictor_destroy(p);
    free_rows(&m);
}

static void damaged_files_say_what(void **state) {
    (void)state;
    made m = {0};
    char *dir = test_temp_dir(), *path = lode_path_join(dir, "p");
    void *bytes = NULL;
    size_t n = 0;
    make_rows("nasbench-macro", 60, 0, &m);
    lode_predictor *p = fit_made(&m, "mlp", 0), *q = NULL;
    assert_ok(lode_predictor_write(p, path));
    lode_predictor_destroy(p);
    assert_ok(lode_file_read(path, &bytes, &n));
    for (size_t cut = 0; cut < n; cut += 1 + n / 37) { /* cut off anywhere */
        assert_ok(lode_file_write_atomic(path, bytes, cut));
        assert_int_not_equal(lode_predictor_read(path, &q), LODE_OK);
        assert_null(q);
        assert_non_null(strstr(lode_last_error(), path));
    }
    lode_tensor *t = NULL;
    assert_ok(lode_tensor_zeros(NULL, LODE_F32, &LODE_SHAPE1(3), LODE_CONTIGUOUS, &t));
    const lode_named_tensor item = {"t", t};
    assert_ok(lode_tensors_save(path, &item, 1, NULL));
    assert_false(lode_predictor_is_file(path));
    assert_fails(lode_predictor_read(path, &q), LODE_ERR_DATA, "lode cost fit");
    const char *bad[] = {"format", "lode-predictor-2", "info", "{\"kind\": \"oracle\"}", NULL};
    assert_ok(lode_tensors_save(path, &item, 1, bad));
    assert_fails(lode_predictor_read(path, &q), LODE_ERR_CONFIG, "oracle");
    bad[3] = "{\"kind\": \"mlp\", \"hidden\": 1000000}";
    assert_ok(lode_tensors_save(path, &item, 1, bad));
    assert_fails(lode_predictor_read(path, &q), LODE_ERR_DATA, "hidden");
    assert_false(lode_predictor_is_file("/nowhere"));
    lode_tensor_release(t);
    lode_free(bytes);
    test_remove_tree(dir);
    lode_free(path);
    lode_free(dir);
    free_rows(&m);
}

/* ---- as a cost ---- */

typedef struct priced {
    made m;
    lode_supernet *net;
    lode_cost *cost;
    char *dir, *path, *spec;
} priced;

static void open_priced(const char *space, const char *kind, int encoding, priced *c) {
    make_rows(space, 150, 1, &c->m);
    lode_predictor *p = fit_encoded(&c->m, kind, encoding);
    c->dir = test_temp_dir();
    c->path = lode_path_join(c->dir, "p");
    c->spec = lode_format("latency_ms=%s", c->path);
    assert_ok(lode_predictor_write(p, c->path));
    lode_predictor_destroy(p);
    assert_ok(lode_supernet_create(c->m.rows.space, NULL, LODE_F32, 1, &c->net));
    assert_ok(lode_cost_open(c->spec, c->net, 0, &c->cost));
    assert_string_equal(lode_cost_name(c->cost), "latency_ms");
    assert_string_equal(lode_cost_unit(c->cost), "ms");
}

static void close_priced(priced *c) {
    lode_cost_close(c->cost);
    lode_supernet_destroy(c->net);
    test_remove_tree(c->dir);
    lode_free(c->path);
    lode_free(c->spec);
    lode_free(c->dir);
    free_rows(&c->m);
}

/* In f64: expected at one-hot is hard, and gradients are finite differences. */
static void check_gradient(const char *space, const char *kind, int encoding) {
    priced c = {0};
    static table p, g;
    double value = 0, hard = 0;
    lode_rng rng = lode_rng_stream(5, LODE_RNG_TEST, 4);
    open_priced(space, kind, encoding, &c);
    const lode_space *s = c.m.rows.space;
    fill_random(s, &rng, &p);
    fill_random(s, &rng, &g);
    if (!lode_cost_has_gradient(c.cost)) {
        assert_fails(lode_cost_expected_value(c.cost, (const double *const *)p.row, &value, NULL),
                     LODE_ERR_UNSUPPORTED, lode_cost_no_gradient(c.cost));
        assert_ok(lode_cost_hard(c.cost, &c.m.arch[0], &hard));
        close_priced(&c);
        return;
    }
    assert_ok(lode_cost_expected_value(c.cost, (const double *const *)p.row, &value, g.row));
    for (int d = 0; d < lode_space_n_decisions(s); d++)
        for (int k = 0; k < lode_space_decision(s, d)->n_options; k++) {
            double up = 0, down = 0, h = 1e-5, kept = p.value[d][k];
            p.value[d][k] = kept + h;
            assert_ok(lode_cost_expected_value(c.cost, (const double *const *)p.row, &up, NULL));
            p.value[d][k] = kept - h;
            assert_ok(lode_cost_expected_value(c.cost, (const double *const *)p.row, &down, NULL));
            p.value[d][k] = kept;
            assert_near((up - down) / (2 * h), g.value[d][k], 1e-6);
        }
    for (int r = 0; r < 20; r++) {
        fill_one_hot(&c.m.arch[r], &p);
        assert_ok(lode_cost_hard(c.cost, &c.m.arch[r], &hard));
        assert_ok(lode_cost_expected_value(c.cost, (const double *const *)p.row, &value, NULL));
        assert_true(hard == value);
    }
    close_priced(&c);
}

static void expectation_meets_hard_costs_and_finite_differences(void **state) {
    (void)state;
    for (int i = 0; i < lode_n_predictors(); i++) {
        if (lode_predictor_missing_at(i)) continue;
        check_gradient("nasbench201", lode_predictor_kind_at(i), LODE_READS_OPTIONS);
        check_gradient("nasbench201", lode_predictor_kind_at(i), LODE_READS_BOTH);
    }
    check_gradient("nasbench-macro", "lstm", LODE_READS_OPTIONS); /* a chain, then elastic layers */
    check_gradient("single-path-cifar", "lstm", LODE_READS_OPTIONS);
    check_gradient("nasbench-macro", "linear", LODE_READS_COUNTS);
}

/* `linear`: the mean over architectures drawn from p, which for a sum is the sum of means. */
static void linear_expectation_is_exact(void **state) {
    (void)state;
    priced c = {0};
    static table p;
    double expected = 0, sum = 0;
    lode_rng rng = lode_rng_stream(6, LODE_RNG_TEST, 5);
    open_priced("nasbench-macro", "linear", LODE_READS_OPTIONS, &c);
    fill_random(c.m.rows.space, &rng, &p);
    assert_ok(lode_cost_expected_value(c.cost, (const double *const *)p.row, &expected, NULL));
    for (int code = 0; code < 6561; code++) { /* every architecture with its probability */
        lode_arch a = {.n = 8};
        double chance = 1, hard = 0;
        for (int d = 0, rest = code; d < 8; d++, rest /= 3) {
            a.option[d] = (uint8_t)(rest % 3);
            chance *= p.value[d][rest % 3];
        }
        assert_ok(lode_cost_hard(c.cost, &a, &hard));
        sum += chance * hard;
    }
    assert_near(expected, sum, 1e-10);
    /* decisions are independent, so the range is exact, and prices per option are known */
    double min = 0, max = 0, base = 0;
    static double price[LODE_MAX_DECISIONS][LODE_MAX_OPTIONS];
    bool exact = false;
    assert_ok(lode_cost_range(c.cost, &min, &max, NULL, NULL, &exact));
    assert_true(exact && min < max);
    assert_true(lode_cost_separate(c.cost, &base, price));
    for (int d = 0; d < 8; d++) base += fmin(price[d][0], fmin(price[d][1], price[d][2]));
    assert_near(base, min, 1e-9);
    close_priced(&c);
}

static void costs_say_what_does_not_fit(void **state) {
    (void)state;
    priced c = {0};
    lode_cost *cost = NULL;
    lode_supernet *net = NULL;
    double value = 0, fixed = 0;
    open_priced("nasbench-macro", "mlp", LODE_READS_OPTIONS, &c);
    char *wrong = lode_format("energy_mj=%s", c.path);
    assert_fails(lode_cost_open(wrong, c.net, 0, &cost), LODE_ERR_CONFIG, "is of latency_ms");
    assert_null(cost);
    lode_space *other = open_space("nasbench201");
    assert_ok(lode_supernet_create(other, NULL, LODE_F32, 1, &net));
    assert_fails(lode_cost_open(c.spec, net, 0, &cost), LODE_ERR_CONFIG, "nasbench201 has 6");
    assert_null(cost);
    lode_supernet_destroy(net);
    lode_space_release(other);
    lode_tape *trace = NULL;
    assert_ok(lode_tape_create(LODE_TRACE, NULL, &trace));
    assert_fails(lode_cost_of_trace(c.cost, trace, &value), LODE_ERR_UNSUPPORTED, "not traces");
    lode_tape_destroy(trace);
    /* a network without decisions costs what its architecture costs */
    assert_ok(lode_supernet_create(c.m.rows.space, &c.m.arch[3], LODE_F32, 1, &net));
    assert_ok(lode_cost_open(c.spec, net, 0, &cost));
    assert_ok(lode_cost_hard(cost, NULL, &fixed));
    assert_ok(lode_cost_hard(c.cost, &c.m.arch[3], &value));
    assert_true(fixed == value);
    lode_cost_close(cost);
    lode_supernet_destroy(net);
    lode_free(wrong);
    close_priced(&c);
}

static void gcn_learns_cells_and_darts(void **state) {
    (void)state;
    made m = {0};
    double a, b;
    make_rows("nasbench201", 400, 4, &m);
    lode_predictor *linear = fit_made(&m, "linear", 0), *gcn = fit_longer(&m, "gcn", 0, 3);
    a = lode_predictor_get_info(linear).held_out.rmse;
    b = lode_predictor_get_info(gcn).held_out.rmse;
    if (!(b < 0.6 * a)) fail_msg("linear %g, gcn %g", a, b);
    lode_predictor_destroy(linear);
    lode_predictor_destroy(gcn);
    free_rows(&m);
    m = (made){0};
    make_rows("darts", 60, 0, &m); /* two types of cells in one graph */
    gcn = fit_made(&m, "gcn", 0);
    assert_true(isfinite(lode_predictor_get_info(gcn).held_out.rmse));
    lode_predictor_destroy(gcn);
    free_rows(&m);
}

/* What an LSTM has to see is where an option stands: products of neighbours in a chain. */
static void lstm_learns_what_no_sum_can(void **state) {
    (void)state;
    made m = {0};
    make_rows("nasbench-macro", 500, 4, &m);
    lode_predictor *linear = fit_made(&m, "linear", 0), *lstm = fit_longer(&m, "lstm", 0, 2);
    double a = lode_predictor_get_info(linear).held_out.rmse;
    double b = lode_predictor_get_info(lstm).held_out.rmse;
    if (!(a > 0.3 && b < 0.5 * a)) fail_msg("linear %g, lstm %g", a, b);
    lode_predictor_destroy(linear);
    lode_predictor_destroy(lstm);
    free_rows(&m);
}

/* Values are 3 y_4 + 5 (y_4 - y_3): a line in the curve, whatever the architecture. */
static void given_numbers_are_read_and_needed(void **state) {
    (void)state;
    made m = {0};
    lode_predictor *p = NULL, *q = NULL;
    lode_predictor_split split = lode_predictor_split_defaults();
    lode_predictor_options o = options();
    lode_predictor_info info = about;
    lode_rng rng = lode_rng_stream(12, LODE_RNG_TEST, 1);
    double given[4 * 120], a[2], b[2];
    char *dir = test_temp_dir(), *path = lode_path_join(dir, "p");
    make_rows("nasbench-macro", 120, 0, &m);
    for (int i = 0; i < 120; i++) {
        for (int k = 0; k < 4; k++) given[4 * i + k] = k + lode_rng_uniform(&rng);
        m.value[i] = 3 * given[4 * i + 3] + 5 * (given[4 * i + 3] - given[4 * i + 2]);
    }
    m.rows.n_given = 4;
    m.rows.given = given;
    snprintf(info.given, sizeof info.given, "y1,y2,y3,y4");
    o.encoding = LODE_READS_NONE;
    o.differences = true;
    assert_ok(lode_predictor_split_rows(&m.rows, &split, m.part));
    assert_fails(lode_predictor_fit("lstm", &m.rows, m.part, &o, &info, NULL, &p),
                 LODE_ERR_UNSUPPORTED, "fit.encoding");
    assert_ok(lode_predictor_fit("linear", &m.rows, m.part, &o, &info, NULL, &p));
    assert_int_equal(lode_predictor_n_given(p), 4);
    assert_int_equal(lode_encoding_n(lode_predictor_encoding(p)), 4 + 3 + 2);
    assert_true(lode_predictor_get_info(p).held_out.rmse < 1e-5);
    assert_fails(lode_predictor_predict(p, m.arch, 2, a), LODE_ERR_UNSUPPORTED, "y1,y2,y3,y4");
    assert_false(lode_predictor_is_exact(p));
    assert_ok(lode_predictor_predict_given(p, m.arch, given, 2, a));
    assert_near(a[1], m.value[1], 1e-4);
    assert_ok(lode_predictor_write(p, path));
    assert_ok(lode_predictor_read(path, &q));
    assert_ok(lode_predictor_predict_given(q, m.arch, given, 2, b));
    assert_memory_equal(a, b, sizeof a);
    lode_supernet *net = NULL;
    lode_cost *cost = NULL;
    char *spec = lode_format("latency_ms=%s", path);
    assert_ok(lode_supernet_create(m.rows.space, NULL, LODE_F32, 1, &net));
    assert_fails(lode_cost_open(spec, net, 0, &cost), LODE_ERR_UNSUPPORTED, "is no cost");
    lode_supernet_destroy(net);
    lode_predictor_destroy(p);
    lode_predictor_destroy(q);
    test_remove_tree(dir);
    lode_free(spec);
    lode_free(path);
    lode_free(dir);
    free_rows(&m);
}

/* What no sum says, a kernel does; it is nearer to rows it has learned from than to others. */
static void kernel_meets_its_rows(void **state) {
    (void)state;
    made m = {0};
    double at[300];
    make_rows("nasbench-macro", 300, 4, &m);
    lode_predictor *linear = fit_made(&m, "linear", 0), *kernel = fit_made(&m, "kernel", 0);
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
    free_rows(&m);
}

/* Ranks are met through any rising function: of a sum that is bent, prices are found in order. */
static void ranks_do_not_mind_a_rising_function(void **state) {
    (void)state;
    made m = {0};
    lode_predictor *p[2] = {NULL}, *q = NULL;
    lode_predictor_split split = lode_predictor_split_defaults();
    lode_predictor_options o = options();
    double value[400], a[2][400], b[5];
    char *dir = test_temp_dir(), *path = lode_path_join(dir, "p");
    make_rows("nasbench-macro", 400, 0, &m);
    o.target = LODE_TARGET_RANK;
    assert_ok(lode_predictor_split_rows(&m.rows, &split, m.part));
    for (int bent = 0; bent < 2; bent++) {
        for (int i = 0; i < 400; i++) value[i] = bent ? exp(m.value[i]) : m.value[i];
        m.rows.value = value;
        assert_ok(lode_predictor_fit("kernel", &m.rows, m.part, &o, &about, NULL, &p[bent]));
        assert_ok(lode_predictor_predict(p[bent], m.arch, 400, a[bent]));
        lode_predictor_info info = lode_predictor_get_info(p[bent]);
        assert_true(info.held_out.tau_b > 0.8);
        assert_false(lode_predictor_is_exact(p[bent]));
        /* predictions are within what was seen, but for the little that keeps the order */
        for (int i = 0; i < 400; i++)
            assert_true(a[bent][i] > info.smallest - 0.05 * (info.largest - info.smallest) &&
                        a[bent][i] < info.largest + 0.05 * (info.largest - info.smallest));
    }
    assert_true(lode_predictor_get_info(p[0]).held_out.tau_b ==
                lode_predictor_get_info(p[1]).held_out.tau_b);
    assert_ok(lode_predictor_write(p[1], path));
    assert_ok(lode_predictor_read(path, &q));
    assert_ok(lode_predictor_predict(q, m.arch, 5, b));
    assert_memory_equal(a[1], b, sizeof b);
    for (int bent = 0; bent < 2; bent++) lode_predictor_destroy(p[bent]);
    lode_predictor_destroy(q);
    test_remove_tree(dir);
    lode_free(path);
    lode_free(dir);
    free_rows(&m);
}

/* Without any target the auto-encoder finds nearly all options of cells it has not seen. */
static void auto_encoder_finds_options_again(void **state) {
    (void)state;
    made m = {0};
    lode_predictor *p = NULL;
    lode_predictor_split split = lode_predictor_split_defaults();
    lode_predictor_options o = options();
    o.hidden = 128;
    o.epochs = 1;
    make_rows("nasbench201", 60, 0, &m);
    assert_ok(lode_predictor_split_rows(&m.rows, &split, m.part));
    assert_ok(lode_predictor_fit("semigcn", &m.rows, m.part, &o, &about, NULL, &p));
    double found = lode_predictor_get_info(p).reconstructed;
    if (!(found > 0.99)) fail_msg("the auto-encoder finds %g of the options", found);
    lode_predictor_destroy(p);
    free_rows(&m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(encoding_of_an_architecture_is_that_of_its_one_hot_probabilities),
        cmocka_unit_test(encoding_pulls_gradients_as_finite_differences_do),
        cmocka_unit_test(cells_say_what_is_reached),
        cmocka_unit_test(counts_are_those_of_costs),
        cmocka_unit_test(lstm_learns_what_no_sum_can),
        cmocka_unit_test(kernel_meets_its_rows),
        cmocka_unit_test(ranks_do_not_mind_a_rising_function),
        cmocka_unit_test(auto_encoder_finds_options_again),
        cmocka_unit_test(given_numbers_are_read_and_needed),
        cmocka_unit_test(splits_keep_networks_together_and_grow),
        cmocka_unit_test(linear_finds_the_prices_of_a_sum),
        cmocka_unit_test(mlp_learns_what_no_sum_can),
        cmocka_unit_test(gcn_learns_cells_and_darts),
        cmocka_unit_test(same_seed_same_bits_and_files_keep_them),
        cmocka_unit_test(wrong_requests_are_refused),
        cmocka_unit_test(damaged_files_say_what),
        cmocka_unit_test(expectation_meets_hard_costs_and_finite_differences),
        cmocka_unit_test(linear_expectation_is_exact),
        cmocka_unit_test(costs_say_what_does_not_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
