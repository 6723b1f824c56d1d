/* test_gradients.c: the gradient of the expected cost against finite differences, and one-hot
   probabilities against hard costs: every cost model that has a gradient on every shipped space.
   Device files do the same in test_hardware.c, tables of others in test_import.c. labels: unit */
#include "core/platform.h"
#include "hwcost/predictor.h"
#include "hwcost/pricing.h"
#include "hwcost/table.h"
#include "ops/dispatch.h"

static void for_every_space(void (*check)(priced_space *f, const char *dir)) {
    char **space = NULL, *dir = test_temp_dir();
    int64_t n = 0;
    assert_ok(lode_space_names(&space, &n));
    assert_true(n >= 12);
    for (int64_t s = 0; s < n; s++) {
        priced_space f;
        priced_open(space[s], &f);
        check(&f, dir);
        priced_close(&f);
    }
    lode_names_free(space, n);
    test_remove_tree(dir);
    lode_free(dir);
}

/* ---- counting ---- */

static void check_counts(priced_space *f, const char *dir) {
    (void)dir;
    int checked = 0;
    for (int i = 0; i < lode_n_cost_models(); i++) {
        const lode_cost_model *m = lode_cost_model_at(i);
        lode_cost *cost = NULL;
        if (strcmp(m->name, "table") == 0 || strcmp(m->name, "predictor") == 0) continue;
        assert_ok(lode_cost_open(m->name, f->net, 1, &cost));
        if (m->trace_cost) { /* no sum: says why it has none */
            assert_false(lode_cost_has_gradient(cost));
            assert_non_null(lode_cost_no_gradient(cost));
            lode_cost_close(cost);
            continue;
        }
        assert_true(lode_cost_has_gradient(cost));
        priced_hard(f, cost, 3, true);
        priced_gradient(f, cost);
        lode_cost_close(cost);
        checked++;
    }
    assert_true(checked >= 3);
}
static void counts_on_every_space(void **state) {
    (void)state;
    for_every_space(check_counts);
}

/* ---- measured tables ---- */

/* Writes down every call it is asked for, as if it had been measured. */
typedef struct collector {
    lode_table *table;
    lode_rng rng;
} collector;

static const char *collector_unit(const void *self) {
    (void)self;
    return "ms";
}
static lode_form collector_form(const void *self) {
    return lode_table_get_info(((const collector *)self)->table).form;
}
static lode_status collector_price(void *self, const lode_trace_call *call, double *out) {
    collector *c = self;
    *out = 0;
    if (call->is_view) return LODE_OK; /* runs no kernel */
    char *text = lode_call_text(&call->call);
    if (!text) return LODE_ERR_NO_MEMORY;
    const lode_table_entry *known = lode_table_find(c->table, text);
    lode_table_entry e = {.call = text, .provider = "made up", .samples = 1};
    e.median = e.min = known ? known->median : 0.01 + lode_rng_uniform(&c->rng);
    *out = e.median;
    lode_status status = known ? LODE_OK : lode_table_add(c->table, &e);
    lode_free(text);
    return status;
}
static const lode_cost_model collecting = {.name = "latency_ms",
                                           .about = "collects calls",
                                           .unit = collector_unit,
                                           .op_cost = collector_price,
                                           .form = collector_form};

static void check_table(priced_space *f, const char *dir) {
    collector c = {.rng = lode_rng_stream(8, LODE_RNG_TEST, 3)};
    lode_cost *cost = NULL;
    char *path = lode_path_join(dir, "t.json"), *spec = lode_format("latency_ms=%s", path);
    lode_table_info info = {
        .quantity = "latency_ms", .unit = "ms", .form = LODE_FORM_FOLDED, .batch = 1, .threads = 1};
    snprintf(info.space, sizeof info.space, "%s", lode_space_name(f->space));
    info.slope = 1;
    info.fit_mape = -1;
    assert_ok(lode_table_create(&info, &c.table));
    assert_ok(lode_cost_from_model(&collecting, &c, f->net, 1, &cost));
    lode_cost_close(cost);
    cost = NULL;
    assert_true(lode_table_n(c.table) > 3);
    lode_table_set_fit(c.table, 0.3, 1.2, 4, 10); /* a constant and a slope of whole networks */
    assert_ok(lode_table_write(c.table, path));
    assert_ok(lode_cost_open(spec, f->net, 0, &cost));
    assert_true(lode_cost_has_gradient(cost));
    priced_hard(f, cost, 3, true);
    priced_gradient(f, cost);
    lode_cost_close(cost);
    lode_table_destroy(c.table);
    lode_free(spec);
    lode_free(path);
}
static void tables_on_every_space(void **state) {
    (void)state;
    for_every_space(check_table);
}

/* ---- predictors ---- */

enum { N_ROWS = 40 };

/* One of `kind`, fitted to made-up rows of the space in a few epochs, as a cost file. */
static void fit_file(priced_space *f, const char *kind, const char *path) {
    static lode_arch arch[N_ROWS];
    static double value[N_ROWS];
    static lode_predictor_part part[N_ROWS];
    lode_rng rng = lode_rng_stream(4, LODE_RNG_TEST, 6);
    lode_predictor_options o;
    lode_predictor *p = NULL;
    const lode_predictor_info info = {.quantity = "latency_ms", .unit = "ms", .seed = 2};
    for (int i = 0; i < N_ROWS; i++) {
        assert_ok(lode_space_sample(f->space, &rng, &arch[i]));
        value[i] = 40;
        for (int d = 0; d < arch[i].n; d++) value[i] += sin(3 * arch[i].option[d] + d);
        part[i] = i % 5 == 0 ? LODE_PART_VALID : LODE_PART_TRAIN;
    }
    const lode_predictor_rows rows = {.space = f->space, .n = N_ROWS, .arch = arch, .value = value};
    assert_ok(lode_options_default(&lode_predictor_option_table, &o));
    o.hidden = 8;
    o.layers = 1;
    o.epochs = 2;
    assert_ok(lode_predictor_fit(kind, &rows, part, &o, &info, NULL, &p));
    assert_ok(lode_predictor_write(p, path));
    lode_predictor_destroy(p);
}

static void check_predictors(priced_space *f, const char *dir) {
    char *path = lode_path_join(dir, "p"), *spec = lode_format("latency_ms=%s", path);
    lode_predictor_options o;
    int checked = 0;
    if (lode_space_n_decisions(f->space) == 0) goto done; /* a fixed network */
    assert_ok(lode_options_default(&lode_predictor_option_table, &o));
    for (int i = 0; i < lode_n_predictors(); i++) {
        const char *kind = lode_predictor_kind_at(i);
        lode_cost *cost = NULL;
        if (lode_predictor_check_kind(kind, f->space, &o) != LODE_OK) continue;
        fit_file(f, kind, path);
        assert_ok(lode_cost_open(spec, f->net, 0, &cost));
        if (lode_cost_has_gradient(cost)) {
            priced_hard(f, cost, 3, false);
            priced_gradient(f, cost);
            checked++;
        }
        lode_cost_close(cost);
    }
    assert_true(checked >= 2);
done:
    lode_free(spec);
    lode_free(path);
}
static void predictors_on_every_space(void **state) {
    (void)state;
    for_every_space(check_predictors);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_on_every_space),
        cmocka_unit_test(tables_on_every_space),
        cmocka_unit_test(predictors_on_every_space),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
