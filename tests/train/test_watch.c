/* labels: unit, property. The eigenvalue against known spectra and a dense Hessian, the rules that
   end a search, and that a stopped search resumes to the same bits. */
#include "core/json.h"
#include "train/hessian.h"
#include "train_fixture.h"

#include <math.h>

/* ---- a quadratic ---- */
enum { QUADRATIC = 30 };
typedef struct quadratic {
    double eigenvalue[QUADRATIC], u[QUADRATIC]; /* H = R diag R, R = I - 2 u u' */
    int calls;
} quadratic;

static void quadratic_reflect(const quadratic *q, const double *x, double *y) {
    double along = 0;
    for (int i = 0; i < QUADRATIC; i++) along += q->u[i] * x[i];
    for (int i = 0; i < QUADRATIC; i++) y[i] = x[i] - 2 * along * q->u[i];
}

/* g = H (x0 + shift v) with x0 = (1, 2, ...). */
static lode_status quadratic_gradient(void *self, const double *v, double shift, double *g) {
    quadratic *q = self;
    double x[QUADRATIC], y[QUADRATIC];
    for (int i = 0; i < QUADRATIC; i++) x[i] = i + 1 + shift * v[i];
    quadratic_reflect(q, x, y);
    for (int i = 0; i < QUADRATIC; i++) y[i] *= q->eigenvalue[i];
    quadratic_reflect(q, y, g);
    q->calls++;
    return LODE_OK;
}

static void the_ends_of_a_known_spectrum_are_found(void **state) {
    quadratic q = {.calls = 0};
    lode_hessian_ends ends;
    lode_rng rng = lode_rng_stream(1, LODE_RNG_TEST, 0);
    double length = 0;
    (void)state;
    for (int i = 0; i < QUADRATIC; i++) {
        q.eigenvalue[i] = i == 4 ? 7.5 : i == 9 ? -3.25 : sin(i);
        q.u[i] = lode_rng_normal(&rng);
        length += q.u[i] * q.u[i];
    }
    for (int i = 0; i < QUADRATIC; i++) q.u[i] /= sqrt(length);
    lode_hessian_setup setup = {.n = QUADRATIC,
                                .self = &q,
                                .gradient = quadratic_gradient,
                                .eps = 1e-2,
                                .max_steps = 12,
                                .rng = rng};
    assert_ok(lode_hessian_find_ends(&setup, &ends));
    assert_int_equal(ends.steps, 12);
    assert_int_equal(q.calls, 24);
    assert_near(ends.largest, 7.5, 1e-6);
    assert_near(ends.smallest, -3.25, 1e-4);
    assert_true(fabs(ends.largest - 7.5) <= ends.error + 1e-9);
    setup.max_steps = LODE_HESSIAN_MAX_STEPS;
    assert_ok(lode_hessian_find_ends(&setup, &ends));
    assert_near(ends.largest, 7.5, 1e-10);
    assert_near(ends.smallest, -3.25, 1e-10);
    for (int i = 0; i < QUADRATIC; i++) q.eigenvalue[i] = -2; /* one step spans all there is */
    assert_ok(lode_hessian_find_ends(&setup, &ends));
    assert_int_equal(ends.steps, 1);
    assert_near(ends.largest, -2, 1e-9);
    setup.max_steps = 0;
    assert_fails(lode_hessian_find_ends(&setup, &ends), LODE_ERR_INVALID, "0 steps");
}

/* ---- a network ---- */
static lode_loader *open_arch_loader(fixture *f) {
    lode_loader *loader = NULL;
    const lode_loader_options o = {
        .batch = 8, .shuffle = true, .drop_last = true, .seed = 5, .n_ranks = 1};
    assert_ok(lode_data_loader_with(f->data, "arch", LODE_DATA_TRAIN, &o, &loader));
    return loader;
}

/* The mixture's loss on the first two batches. */
static double mixture_loss(fixture *f, lode_loader *loader, lode_tape *t) {
    double sum = 0;
    for (int i = 0; i < 2; i++) {
        lode_batch batch;
        lode_choice choice[LODE_MAX_DECISIONS] = {{0}};
        const lode_forward_options options = {.bn = LODE_BN_BATCH};
        assert_ok(lode_loader_seek(loader, 0, i));
        assert_ok(lode_loader_next(loader, &batch));
        lode_tape_reset(t);
        assert_ok(lode_strategy_mixture(f->strategy, t, choice));
        lode_var *x = lode_batch_input(t, &batch, LODE_F64);
        lode_var *y = lode_supernet_forward(t, f->net, x, choice, &options);
        lode_var *l = lode_cross_entropy(t, y, lode_tape_constant(t, batch.labels), 0);
        assert_ok(lode_tape_status(t));
        sum += lode_at(l->value, 0) / 2;
    }
    return sum;
}

typedef struct place {
    lode_tensor *t;
    int64_t k;
} place;

static double at_shifted(fixture *f, lode_loader *l, lode_tape *t, place a, double x, place b,
                         double y) {
    double old_a = lode_at(a.t, a.k);
    lode_put(a.t, a.k, old_a + x);
    double old_b = lode_at(b.t, b.k);
    lode_put(b.t, b.k, old_b + y);
    double loss = mixture_loss(f, l, t);
    lode_put(b.t, b.k, old_b);
    lode_put(a.t, a.k, old_a);
    return loss;
}

/* Largest and smallest eigenvalue of h [n][n] by power iteration on h + shift. */
static double extreme(const double *h, int n, double shift) {
    double x[16], y[16], value = 0;
    for (int i = 0; i < n; i++) x[i] = 1 + 0.1 * i;
    for (int round = 0; round < 20000; round++) {
        double length = 0;
        for (int i = 0; i < n; i++) {
            y[i] = shift * x[i];
            for (int k = 0; k < n; k++) y[i] += h[i * n + k] * x[k];
            length += y[i] * y[i];
        }
        length = sqrt(length);
        value = length;
        for (int i = 0; i < n; i++) x[i] = y[i] / length;
    }
    return value - fabs(shift);
}

/* The member `key` of the last line about the Hessian. */
static double last_measured(const char *path, const char *key) {
    char *bytes = NULL;
    size_t n = 0;
    double value = NAN;
    assert_ok(lode_file_read(path, (void **)&bytes, &n));
    for (char *line = strtok(bytes, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        json_t *o = NULL;
        if (strstr(line, "\"hessian\"") == NULL) continue;
        assert_ok(lode_json_parse(line, path, &o));
        value = json_number_value(json_object_get(o, key));
        json_decref(o);
    }
    lode_free(bytes);
    return value;
}

/* Without kinks, at which second differences mean little. */
static const char smooth_space[] =
    "name: smooth\n"
    "input: {channels: 3, size: 8}\n"
    "classes: 4\n"
    "sets:\n"
    "  s:\n"
    "    k3: {op: mbconv, kernel: 3, expand: 2, act: swish}\n"
    "    k5: {op: mbconv, kernel: 5, expand: 1, act: swish}\n"
    "    skip: {op: skip, at_shape_change: drop}\n"
    "layers:\n"
    "  - {name: stem, op: conv, kernel: 3, channels: 8, act: swish}\n"
    "  - {choice: s, channels: 8}\n"
    "  - {choice: s, channels: 16, stride: 2}\n"
    "  - {name: pool, op: global_pool}\n"
    "  - {name: classifier, op: linear}\n";

static void the_eigenvalue_is_that_of_the_dense_hessian(void **state) {
    char *dir = test_temp_dir(), *path = lode_path_join(dir, "m.jsonl");
    fixture f;
    lode_train_result r;
    lode_tape *t = NULL;
    place p[16];
    double h[16 * 16];
    int n = 0;
    (void)state;
    const lode_strategy_setup none = {.net = NULL};
    fixture_open_on(
        &f, smooth_space, LODE_F64, "{epochs: 2, lr: 0.1, eval_every: 0, eval_split: ''}",
        "{warmup: 0, lr: 0.3, noise: none, hessian_every: 2, hessian_batches: 2}", NULL, &none);
    f.setup.metrics_path = path;
    assert_ok(lode_train(&f.setup, &r));
    assert_int_equal(r.stop.rule, LODE_STOP_NONE);
    for (int i = 0; i < lode_strategy_n_parameters(f.strategy); i++) {
        lode_tensor *v = lode_strategy_parameter(f.strategy, i)->value;
        for (int64_t k = 0; k < lode_tensor_count(v); k++) p[n++] = (place){v, k};
    }
    assert_int_equal(n, 5);
    lode_loader *loader = open_arch_loader(&f);
    assert_ok(lode_tape_create(LODE_EVAL, f.setup.runner, &t));
    const double d = 1e-3;
    for (int i = 0; i < n; i++)
        for (int k = 0; k < n; k++)
            h[i * n + k] = (at_shifted(&f, loader, t, p[i], d, p[k], d) -
                            at_shifted(&f, loader, t, p[i], d, p[k], -d) -
                            at_shifted(&f, loader, t, p[i], -d, p[k], d) +
                            at_shifted(&f, loader, t, p[i], -d, p[k], -d)) /
                           (4 * d * d);
    double largest = extreme(h, n, 1), smallest = -extreme(h, n, -2 * largest);
    double seen = last_measured(path, "eigenvalue");
    print_message("largest %.8f measured %.8f, smallest %.8f measured %.8f\n", largest, seen,
                  smallest, last_measured(path, "eigenvalue_smallest"));
    assert_true(largest > 1e-4);
    assert_near(seen / largest, 1, 1e-3);
    assert_near(last_measured(path, "eigenvalue_smallest"), smallest, 1e-5);
    lode_tape_destroy(t);
    lode_loader_destroy(loader);
    fixture_close(&f);
    test_remove_tree(dir);
    lode_free(path);
    lode_free(dir);
}

/* Watching changes nothing of what is watched. */
static void measuring_leaves_no_trace(void **state) {
    uint64_t hash[2];
    (void)state;
    for (int i = 0; i < 2; i++) {
        fixture f;
        lode_train_result r;
        fixture_open(&f, "{epochs: 3, lr: 0.05}",
                     i ? "{warmup: 1, hessian_every: 1, hessian_steps: 3}" : "{warmup: 1}", NULL,
                     NULL, 0);
        assert_ok(lode_train(&f.setup, &r));
        hash[i] = fixture_hash(&f);
        fixture_close(&f);
    }
    assert_true(hash[0] == hash[1]);
}

/* ---- rules ---- */
static void means_are_compared_as_the_authors_do(void **state) {
    const lode_watch_options o = {
        .stop_on = LODE_STOP_EIGENVALUE, .stop_ratio = 0.75, .stop_window = 3, .stop_lag = 2};
    const double epoch[] = {2, 4, 6, 8, 10}, value[] = {1, 2, 3, 4, 5};
    lode_watch_options late = o;
    double mean, ratio;
    (void)state;
    assert_int_equal(lode_watch_eigenvalues(&o, epoch, value, 1, &mean, &ratio), -1);
    assert_true(isnan(mean) && isnan(ratio));
    assert_int_equal(lode_watch_eigenvalues(&o, epoch, value, 2, &mean, &ratio), -1);
    assert_near(mean, 1.5, 1e-15); /* of 1 2, around the first */
    assert_true(isnan(ratio));
    assert_int_equal(lode_watch_eigenvalues(&o, epoch, value, 4, &mean, &ratio), 0);
    assert_near(mean, 3, 1e-15); /* of 2 3 4 */
    assert_near(ratio, 1.5 / 3, 1e-15);
    assert_int_equal(lode_watch_eigenvalues(&o, epoch, value, 5, &mean, &ratio), 1);
    assert_near(ratio, 2.0 / 4, 1e-15);
    late.stop_start = 3;
    assert_int_equal(lode_watch_eigenvalues(&late, epoch, value, 4, &mean, &ratio), -1);
    assert_int_equal(lode_watch_eigenvalues(&late, epoch, value, 5, &mean, &ratio), 1);
    late.stop_ratio = 0.5;
    assert_int_equal(lode_watch_eigenvalues(&late, epoch, value, 5, &mean, &ratio), -1);
    const double falling[] = {5, 4, -30, 2, 1};
    assert_int_equal(lode_watch_eigenvalues(&o, epoch, falling, 5, &mean, &ratio), -1);
    assert_true(isnan(ratio)); /* not of a mean below zero */
}

static const char stop_train[] = "{epochs: 12, lr: 0.1, eval_every: 0}";
static const char stop_arch[] = "{warmup: 0, lr: 0.1, noise: none, tau: 1, tau_end: 1, "
                                "hessian_every: 2, stop_on: eigenvalue, stop_window: 1, "
                                "stop_lag: 1, stop_ratio: 0.999, stop_start: 0}";

/* The parameters a stopped run ends with are those of the epoch it says. */
static void an_eigenvalue_that_grows_ends_the_search(void **state) {
    fixture f, g;
    lode_train_result r;
    lode_trainer *t = NULL;
    bool finished = false;
    (void)state;
    fixture_open(&f, stop_train, stop_arch, NULL, NULL, 0);
    assert_ok(lode_train(&f.setup, &r));
    print_message("stopped after epoch %lld, kept %lld, ratio %g\n", (long long)r.stop.epoch,
                  (long long)r.stop.kept_epoch, r.stop.value);
    assert_int_equal(r.stop.rule, LODE_STOP_EIGENVALUE);
    assert_true(r.stop.epoch < 12 && r.stop.kept_epoch == r.stop.epoch - 2);
    assert_true(r.stop.value < 0.999);
    assert_int_equal(r.epochs, r.stop.epoch);
    assert_true(r.eval.n > 0); /* the last evaluation is of the parameters kept */
    fixture_open(&g, stop_train, stop_arch, NULL, NULL, 0);
    assert_ok(lode_trainer_create(&g.setup, &t));
    assert_ok(lode_trainer_run_steps(t, 10 * r.stop.kept_epoch, &finished)); /* 6 + 4 an epoch */
    for (int i = 0; i < lode_strategy_n_parameters(g.strategy); i++)
        assert_true(lode_tensor_equal_bits(lode_strategy_parameter(f.strategy, i)->value,
                                           lode_strategy_parameter(g.strategy, i)->value));
    lode_trainer_destroy(t);
    fixture_close(&g);
    fixture_close(&f);
}

/* Interrupted anywhere and resumed, also after its end: the same bits, lines and reason. */
static void a_stopped_search_resumes_to_the_same_bits(void **state) {
    fixture f;
    lode_train_result want, seen;
    char *dir = test_temp_dir(), *path = lode_path_join(dir, "m.jsonl");
    (void)state;
    fixture_open(&f, stop_train, stop_arch, NULL, NULL, 0);
    f.setup.metrics_path = path;
    f.setup.checkpoint_directory = dir;
    assert_ok(lode_train(&f.setup, &want));
    uint64_t hash = fixture_hash(&f);
    char *lines = fixture_metrics(path);
    fixture_close(&f);
    test_remove_tree(dir);
    lode_free(path);
    lode_free(dir);
    dir = test_temp_dir(), path = lode_path_join(dir, "m.jsonl");
    for (bool finished = false, first = true; !finished; first = false) {
        lode_trainer *t = NULL;
        fixture_open(&f, stop_train, stop_arch, NULL, NULL, 0);
        f.setup.metrics_path = path;
        f.setup.checkpoint_directory = dir;
        f.setup.resume = !first;
        assert_ok(lode_trainer_create(&f.setup, &t));
        assert_ok(lode_trainer_run_steps(t, 7, &finished));
        assert_ok(lode_trainer_save(t));
        lode_trainer_destroy(t);
        if (!finished) fixture_close(&f);
    }
    assert_true(fixture_hash(&f) == hash);
    fixture_close(&f);
    fixture_open(&f, stop_train, stop_arch, NULL, NULL, 0); /* once more, when all is done */
    f.setup.metrics_path = path;
    f.setup.checkpoint_directory = dir;
    f.setup.resume = true;
    assert_ok(lode_train(&f.setup, &seen));
    assert_true(fixture_hash(&f) == hash);
    assert_int_equal(seen.stop.rule, want.stop.rule);
    assert_int_equal(seen.stop.epoch, want.stop.epoch);
    assert_int_equal(seen.stop.kept_epoch, want.stop.kept_epoch);
    assert_true(seen.stop.value == want.stop.value);
    char *again = fixture_metrics(path);
    /* lode_train writes the memory plan first, a bare trainer does not. */
    const char *after_plan = strchr(lines, '\n') + 1;
    assert_string_equal(after_plan, again);
    lode_free(lines);
    lode_free(again);
    fixture_close(&f);
    test_remove_tree(dir);
    lode_free(path);
    lode_free(dir);
}

static const char watch_cells[] =
    "name: cells\ninput: {channels: 3, size: 8}\nclasses: 4\n"
    "sets:\n  s:\n"
    "    none: {op: none}\n"
    "    skip: {op: skip, at_shape_change: {op: factorized_reduce}}\n"
    "    sep: {op: sep_conv}\n"
    "cells:\n"
    "  normal: {inputs: 2, nodes: 2, set: s, output: concat, keep: 2}\n"
    "  reduce: {inputs: 2, nodes: 2, set: s, output: concat, keep: 2}\n"
    "layers:\n"
    "  - {name: stem, op: conv, channels: 4}\n"
    "  - {cell: normal, channels: 2}\n"
    "  - {cell: reduce, channels: 4, stride: 2}\n"
    "  - {name: pool, op: global_pool}\n"
    "  - {name: classifier, op: linear}\n";

static void skips_in_a_normal_cell_end_the_search(void **state) {
    fixture f;
    lode_train_result r;
    int skips = -1;
    (void)state;
    const lode_strategy_setup none = {.net = NULL};
    fixture_open_on(&f, watch_cells, LODE_F32, "{epochs: 4, lr: 0.01, eval_every: 0}",
                    "{warmup: 1, lr: 0, stop_on: skips, stop_start: 3}", NULL, &none);
    for (int d = 0; d < 10; d++) { /* all of the reduction's edges, two of the normal cell's */
        lode_tensor *v = lode_strategy_parameter(f.strategy, d)->value;
        lode_put(v, 2, 1);
        if (d >= 5 || d == 1 || d == 4) lode_put(v, 1, 2);
    }
    assert_ok(lode_strategy_normal_skips(f.strategy, &skips));
    assert_int_equal(skips, 2);
    lode_shares s = lode_strategy_shares(f.strategy);
    assert_true(s.has_skip && s.has_none);
    assert_near(s.skip, 0.7, 1e-12);
    assert_near(s.none, 0, 1e-12);
    double few = 1 + exp(1) + 1, many = 1 + exp(2) + exp(1);
    assert_near(s.p_skip, (3 / few + 7 * exp(2) / many) / 10, 1e-6);
    assert_near(s.p_none, (3 / few + 7 / many) / 10, 1e-6);
    assert_true(s.entropy_min < s.entropy_max && s.entropy_max < 1);
    assert_ok(lode_train(&f.setup, &r));
    assert_int_equal(r.stop.rule, LODE_STOP_SKIPS);
    assert_int_equal(r.stop.epoch, 3);
    assert_int_equal(r.stop.kept_epoch, 3);
    assert_near(r.stop.value, 2, 0);
    fixture_close(&f);
}

static void refuse(const char *arch, const char *words) {
    fixture f;
    lode_trainer *t = NULL;
    fixture_open(&f, "{epochs: 4}", arch, NULL, NULL, 0);
    assert_fails(lode_trainer_create(&f.setup, &t), LODE_ERR_CONFIG, words);
    fixture_close(&f);
}

static void what_cannot_be_watched_is_refused(void **state) {
    (void)state;
    refuse("{stop_on: eigenvalue}", "arch.hessian_every");
    refuse("{stop_on: skips}", "do not halve");
    refuse("{hessian_every: 1, stop_window: 4}", "odd");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_ends_of_a_known_spectrum_are_found),
        cmocka_unit_test(the_eigenvalue_is_that_of_the_dense_hessian),
        cmocka_unit_test(measuring_leaves_no_trace),
        cmocka_unit_test(means_are_compared_as_the_authors_do),
        cmocka_unit_test(an_eigenvalue_that_grows_ends_the_search),
        cmocka_unit_test(a_stopped_search_resumes_to_the_same_bits),
        cmocka_unit_test(skips_in_a_normal_cell_end_the_search),
        cmocka_unit_test(what_cannot_be_watched_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
