/* labels: unit, property. PC-DARTS: edges that see a part of the channels, weighed edges, what
   networks become of such supernets, and both gradients in f64. */
#include "train_fixture.h"

#include <math.h>

#define PC_SPACE(ops, keep)                                                                        \
    "name: pc\n"                                                                                   \
    "input: {channels: 3, size: 8}\n"                                                              \
    "classes: 8\n"                                                                                 \
    "sets:\n"                                                                                      \
    "  s:\n" ops "cells:\n"                                                                        \
    "  cell: {inputs: 1, nodes: 2, set: s, output: last" keep "}\n"                                \
    "layers:\n"                                                                                    \
    "  - {name: stem, op: conv, kernel: 3, channels: 8, act: swish}\n"                             \
    "  - {cell: cell, channels: 8}\n"                                                              \
    "  - {name: pool, op: global_pool}\n"                                                          \
    "  - {name: classifier, op: linear}\n"

static const char skips[] = PC_SPACE("    none: {op: none}\n    skip: {op: skip}\n", "");
static const char smooth[] = PC_SPACE("    none: {op: none}\n"
                                      "    skip: {op: skip}\n"
                                      "    conv: {op: sep_conv, kernel: 3, act: swish}\n"
                                      "    pool: {op: avg_pool, kernel: 3, bn: true}\n",
                                      ", keep: 1");
static const char plain[] = "name: plain\n"
                            "input: {channels: 3, size: 8}\n"
                            "classes: 8\n"
                            "layers:\n"
                            "  - {name: stem, op: conv, kernel: 3, channels: 8, act: swish}\n"
                            "  - {name: pool, op: global_pool}\n"
                            "  - {name: classifier, op: linear}\n";

/* A network in f64 whose classifier shows the channels as they are: logits = pooled channels. */
typedef struct shown {
    lode_space *space;
    lode_supernet *net;
    lode_dispatch *dispatch;
    lode_tape *t;
} shown;

static void shown_open(shown *s, const char *text, int64_t partial) {
    const lode_space_options o = {.partial = partial};
    assert_ok(lode_space_parse(text, "pc", &o, &s->space));
    assert_ok(lode_supernet_create(s->space, NULL, LODE_F64, 3, &s->net));
    assert_ok(lode_dispatch_create(&(lode_dispatch_options){.deterministic = true}, &s->dispatch));
    assert_ok(lode_tape_create(LODE_EVAL, lode_dispatch_runner(s->dispatch), &s->t));
    lode_parameter *w = lode_supernet_find(s->net, "classifier.weight");
    if (w == NULL) w = lode_supernet_find(s->net, "classifier.linear.weight");
    assert_non_null(w);
    assert_ok(lode_tensor_fill(w->value, 0));
    for (int64_t i = 0; i < 8; i++) lode_put(w->value, 9 * i, 1);
    for (int i = 0; i < lode_supernet_n_parameters(s->net); i++) {
        lode_parameter *p = lode_supernet_parameter(s->net, i);
        if (p->kind == LODE_PARAM_BIAS) assert_ok(lode_tensor_fill(p->value, 0));
    }
}

static void shown_close(shown *s) {
    lode_tape_destroy(s->t);
    lode_dispatch_destroy(s->dispatch);
    lode_supernet_destroy(s->net);
    lode_space_release(s->space);
}

static lode_var *constant(lode_tape *t, const double *v, int n) {
    lode_tensor *x = NULL;
    assert_ok(lode_tensor_zeros(NULL, LODE_F64, &LODE_SHAPE1(n), LODE_CONTIGUOUS, &x));
    for (int i = 0; i < n; i++) lode_put(x, i, v[i]);
    lode_var *var = lode_tape_constant(t, x);
    lode_tensor_release(x);
    return var;
}

/* The channels of one image. p[e]: weight of `skip` on each of 3 edges (NULL: no cell); share[e].
 */
static void shown_run(shown *s, const double *p, const double *share, double out[8]) {
    const lode_forward_options options = {.bn = LODE_BN_RUNNING};
    lode_shape shape = LODE_SHAPE4(1, 3, 8, 8);
    lode_choice choice[3] = {{0}};
    lode_tensor *x = NULL;
    lode_rng rng = lode_rng_stream(4, LODE_RNG_TEST, 0);
    lode_tape_reset(s->t);
    assert_ok(lode_tensor_zeros(NULL, LODE_F64, &shape, LODE_CHANNELS_LAST, &x));
    assert_ok(lode_tensor_fill_normal(x, &rng, 0, 1));
    for (int e = 0; p != NULL && e < 3; e++) {
        choice[e].active = 3;
        choice[e].weights = constant(s->t, (double[]){1 - p[e], p[e]}, 2);
        if (share != NULL) choice[e].scale = constant(s->t, &share[e], 1);
    }
    lode_var *y = lode_supernet_forward(s->t, s->net, lode_tape_constant(s->t, x),
                                        p != NULL ? choice : NULL, &options);
    assert_ok(lode_tape_status(s->t));
    for (int i = 0; i < 8; i++) out[i] = lode_at(y->value, i);
    lode_tensor_release(x);
}

/* With K = 1 a cell of skips passes on: the sum of paths without shares, the mean with equal ones,
   and with any others that add up to one per node again the input itself. */
static void equal_shares_give_the_mean(void **state) {
    static const double all[3] = {1, 1, 1}, equal[3] = {1, 0.5, 0.5}, other[3] = {1, 0.2, 0.8};
    double x[8], sum[8], mean[8], any[8];
    shown bare, cell;
    (void)state;
    shown_open(&bare, plain, 0);
    shown_open(&cell, skips, 1);
    shown_run(&bare, NULL, NULL, x);
    shown_run(&cell, all, NULL, sum);
    shown_run(&cell, all, equal, mean);
    shown_run(&cell, all, other, any);
    for (int i = 0; i < 8; i++) {
        assert_near(sum[i], 2 * x[i], 1e-12); /* 2<-0 and 2<-1, both x */
        assert_near(mean[i], x[i], 1e-12);
        assert_near(any[i], x[i], 1e-12);
    }
    shown_close(&bare);
    shown_close(&cell);
}

/* K = 4 of 8 channels: two are mixed, six pass by; then place g * n + j moves to j * 4 + g. */
static void a_part_is_mixed_and_all_are_shuffled(void **state) {
    static const double some[3] = {0.25, 0.5, 1};
    static const double only_first[3] = {1, 1, 0}; /* node 2 is what edge 2<-0 gives */
    double x[8], y[8];
    shown bare, cell;
    (void)state;
    shown_open(&bare, plain, 0);
    shown_open(&cell, skips, 4);
    shown_run(&bare, NULL, NULL, x);
    shown_run(&cell, some, only_first, y);
    for (int g = 0; g < 4; g++)
        for (int j = 0; j < 2; j++) {
            double want = x[2 * g + j] * (g == 0 ? 0.5 : 1); /* 2<-0 has weight 0.5 */
            assert_near(y[4 * j + g], want, 1e-12);
        }
    shown_close(&bare);
    shown_close(&cell);
}

/* ---- what becomes of it ---- */
static int64_t count(lode_space *space, const lode_arch *arch) {
    lode_supernet *net = NULL;
    int64_t n = 0;
    assert_ok(lode_supernet_create(space, arch, LODE_F32, 3, &net));
    for (int i = 0; i < lode_supernet_n_parameters(net); i++)
        n += lode_tensor_count(lode_supernet_parameter(net, i)->value);
    lode_supernet_destroy(net);
    return n;
}

/* The supernet is narrow, a network of it the ordinary one, and weights are not handed on. */
static void networks_have_all_channels(void **state) {
    lode_space *part = NULL, *whole = NULL;
    lode_supernet *net = NULL, *sub = NULL;
    lode_arch a;
    int64_t n = 0, m = 0;
    (void)state;
    assert_ok(lode_space_parse(smooth, "pc", &(lode_space_options){.partial = 4}, &part));
    assert_ok(lode_space_parse(smooth, "pc", NULL, &whole));
    assert_ok(lode_arch_parse(part, "conv,none,conv", &a));
    assert_int_equal(count(part, &a), count(whole, &a));
    assert_true(count(part, NULL) < count(whole, NULL));
    assert_ok(lode_supernet_create(part, NULL, LODE_F32, 3, &net));
    assert_ok(lode_supernet_count_parameters(net, &a, &n));
    assert_fails(lode_supernet_extract(net, &a, &sub), LODE_ERR_CONFIG, "from scratch");
    assert_null(sub);
    lode_supernet_destroy(net);
    assert_ok(lode_supernet_create(whole, NULL, LODE_F32, 3, &net));
    assert_ok(lode_supernet_count_parameters(net, &a, &m));
    assert_true(n < m);
    lode_supernet_destroy(net);
    lode_space_release(part);
    lode_space_release(whole);
    assert_fails(lode_space_parse(smooth, "pc", &(lode_space_options){.partial = 3}, &part),
                 LODE_ERR_CONFIG, "space.partial 3");
}

/* ---- the strategy ---- */
static void pc_open(fixture *f, const char *space, int64_t partial, const char *arch) {
    char *text = lode_strdup(space), *classes = strstr(text, "classes: 8");
    classes[9] = '4'; /* as the fixture's data have */
    fixture_open_as(f, text, &(lode_space_options){.partial = partial}, LODE_F64,
                    "{epochs: 2, strategy: pc_darts, lr: 0.05, clip: 5, eval_every: 0}", arch, NULL,
                    &(lode_strategy_setup){0});
    lode_free(text);
}

static double pc_loss(const lode_step_tools *tools) {
    double loss = 0;
    assert_ok(tools->gradient(tools->self, LODE_TURN_ARCH, LODE_GRADIENT_OF_ARCH, &loss));
    return loss;
}

/* Alphas (3 edges of 4) and betas (1 and 2 edges) against central differences. */
static void both_gradients_are_the_measured_ones(void **state) {
    static const int64_t parts[2] = {1, 4};
    (void)state;
    for (int i = 0; i < 2; i++) {
        fixture f;
        lode_trainer *t = NULL;
        double got[15], gap = 0, size = 0, beta = 0;
        int n = 0;
        pc_open(&f, smooth, parts[i], "{warmup: 0, init: 0.5}");
        assert_int_equal(lode_strategy_n_parameters(f.strategy), 5);
        assert_ok(lode_trainer_create(&f.setup, &t));
        const lode_step_tools tools = lode_trainer_tools(t);
        pc_loss(&tools);
        for (int k = 0; k < 5; k++) {
            const lode_tensor *g = lode_strategy_parameter(f.strategy, k)->grad;
            double rows = 0;
            for (int64_t j = 0; j < lode_tensor_count(g); j++) rows += got[n++] = lode_at(g, j);
            assert_near(rows, 0, 1e-13); /* rows sum to zero */
        }
        assert_int_equal(n, 15);
        for (int k = 0, at = 0; k < 5; k++) {
            lode_tensor *v = lode_strategy_parameter(f.strategy, k)->value;
            for (int64_t j = 0; j < lode_tensor_count(v); j++, at++) {
                const double a = lode_at(v, j), h = 1e-4;
                lode_put(v, j, a + h);
                double want = pc_loss(&tools);
                lode_put(v, j, a - h);
                want = (want - pc_loss(&tools)) / (2 * h);
                lode_put(v, j, a);
                gap += (got[at] - want) * (got[at] - want);
                size += want * want;
                beta += k >= 3 ? fabs(want) : 0;
            }
        }
        assert_true(beta > 1e-6);
        assert_true(sqrt(gap / size) < 1e-6);
        lode_trainer_destroy(t);
        fixture_close(&f);
    }
}

/* top2 asks softmax(alpha) softmax(beta): a share turns the choice of the edge around. */
static void shares_decide_between_edges(void **state) {
    fixture f;
    lode_arch a;
    (void)state;
    pc_open(&f, smooth, 1, "{warmup: 0, init: 0}");
    lode_put(lode_strategy_parameter(f.strategy, 1)->value, 2, 1);   /* 2<-0: conv */
    lode_put(lode_strategy_parameter(f.strategy, 2)->value, 1, 0.8); /* 2<-1: skip, a bit less */
    assert_ok(lode_strategy_top_edges(f.strategy, &a));
    assert_int_equal(a.option[1], 2);
    assert_int_equal(a.option[2], 0);
    lode_put(lode_strategy_parameter(f.strategy, 4)->value, 1, log(3)); /* shares 1/4 and 3/4 */
    assert_near(lode_strategy_edge_share(f.strategy, 1), 0.25, 1e-12);
    assert_near(lode_strategy_edge_share(f.strategy, 2), 0.75, 1e-12);
    assert_near(lode_strategy_edge_share(f.strategy, 0), 1, 1e-12);
    assert_ok(lode_strategy_top_edges(f.strategy, &a));
    assert_int_equal(a.option[1], 0);
    assert_int_equal(a.option[2], 1);
    fixture_close(&f);
}

/* Frozen until the warm-up is over, then both kinds move. */
static void alpha_and_beta_wait(void **state) {
    fixture f;
    lode_trainer *t = NULL;
    bool finished = false;
    (void)state;
    pc_open(&f, smooth, 4, "{warmup: 1, lr: 0.1, init: 0}");
    assert_ok(lode_trainer_create(&f.setup, &t));
    assert_ok(lode_trainer_run_steps(t, 6, &finished));
    for (int k = 0; k < 5; k++)
        assert_true(lode_at(lode_strategy_parameter(f.strategy, k)->value, 0) == 0);
    assert_ok(lode_trainer_run_steps(t, 100, &finished));
    assert_true(finished);
    assert_true(lode_at(lode_strategy_parameter(f.strategy, 0)->value, 0) != 0);
    assert_true(lode_at(lode_strategy_parameter(f.strategy, 4)->value, 0) != 0);
    lode_trainer_destroy(t);
    fixture_close(&f);
}

/* Computing layers again in backward keeps every bit, and drop-path goes on working. */
static void computed_again_it_is_the_same(void **state) {
    static const char *const train[2] = {
        "{epochs: 2, strategy: pc_darts, lr: 0.05, eval_every: 0, drop_path: 0.2}",
        "{epochs: 2, strategy: pc_darts, lr: 0.05, eval_every: 0, drop_path: 0.2, remat: layer}"};
    uint64_t hash[2];
    (void)state;
    for (int i = 0; i < 2; i++) {
        fixture f;
        lode_train_result r;
        char *text = lode_strdup(smooth);
        strstr(text, "classes: 8")[9] = '4';
        fixture_open_as(&f, text, &(lode_space_options){.partial = 2}, LODE_F32, train[i],
                        "{warmup: 0}", NULL, &(lode_strategy_setup){0});
        assert_ok(lode_train(&f.setup, &r));
        assert_true(isfinite(r.loss));
        hash[i] = fixture_hash(&f);
        fixture_close(&f);
        lode_free(text);
    }
    assert_true(hash[0] == hash[1]);
}

static void a_space_without_cells_is_refused(void **state) {
    fixture f;
    lode_strategy *s = NULL;
    const lode_strategy_plugin *plugin = NULL;
    (void)state;
    fixture_open(&f, "{epochs: 20}", "{}", NULL, NULL, 0);
    assert_ok(lode_strategy_find("pc_darts", &plugin));
    const lode_strategy_setup setup = {.net = f.net, .n_epochs = 20};
    assert_fails(lode_strategy_create(plugin, &setup, &s), LODE_ERR_CONFIG, "strategy darts");
    fixture_close(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_shares_give_the_mean),
        cmocka_unit_test(a_part_is_mixed_and_all_are_shuffled),
        cmocka_unit_test(networks_have_all_channels),
        cmocka_unit_test(both_gradients_are_the_measured_ones),
        cmocka_unit_test(shares_decide_between_edges),
        cmocka_unit_test(alpha_and_beta_wait),
        cmocka_unit_test(computed_again_it_is_the_same),
        cmocka_unit_test(a_space_without_cells_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
