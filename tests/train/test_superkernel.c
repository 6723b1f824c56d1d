/* labels: unit, property. Superkernels: thresholds become the one-hot weights of an architecture,
   their gradients are the closed formulas, the cost pushes them, and a run in pieces is a run. */
#include "ops/ops.h"
#include "pieces.h"

#include <math.h>

static const char super_space[] =
    "name: super\ninput: {channels: 3, size: 8}\nclasses: 4\n"
    "sets:\n  s:\n"
    "    mb: {op: mbconv, kernel: {choices: [3, 5]}, expand: {choices: [1, 2]}}\n"
    "    skip: {op: skip, at_shape_change: drop}\n"
    "layers:\n"
    "  - {name: stem, op: conv, kernel: 3, channels: 8}\n"
    "  - {choice: s, channels: 8}\n"
    "  - {choice: s, channels: 12, stride: 2}\n"
    "  - {name: last, op: mbconv, kernel: {choices: [1, 3, 5]}, expand: 2}\n"
    "  - {name: pool, op: global_pool}\n"
    "  - {name: classifier, op: linear}\n";

/* Late in the training: nothing is dropped, lambda is whole. */
static const lode_step late = {.n_epochs = 2, .epoch = 1, .turn_step = 20, .n_turn_steps = 20};

typedef struct world {
    fixture f;
    lode_space *space;
    lode_supernet *priced;
    lode_cost *cost;
    lode_tape *t;
    lode_choice choice[LODE_MAX_DECISIONS];
} world;

static void world_open(world *w, const char *arch) {
    memset(w, 0, sizeof *w);
    assert_ok(lode_space_parse(super_space, "super", NULL, &w->space));
    assert_ok(lode_supernet_create(w->space, NULL, LODE_F32, 1, &w->priced));
    assert_ok(lode_cost_open("macs", w->priced, 1, &w->cost));
    const lode_strategy_setup want = {.cost = &w->cost, .n_costs = 1};
    fixture_open_on(&w->f, super_space, LODE_F64, "{epochs: 2, strategy: superkernel}", arch, NULL,
                    &want);
    assert_ok(lode_tape_create(LODE_TRAIN, lode_reference_runner(), &w->t));
    lode_tape_set_step(w->t, 1, 0);
}

static void world_close(world *w) {
    lode_tape_destroy(w->t);
    fixture_close(&w->f);
    lode_cost_close(w->cost);
    lode_supernet_destroy(w->priced);
    lode_space_release(w->space);
}

static lode_parameter *threshold(world *w, const char *decision) {
    for (int i = 0; i < lode_strategy_n_parameters(w->f.strategy); i++) {
        lode_parameter *p = lode_strategy_parameter(w->f.strategy, i);
        if (strcmp(p->name + strlen("arch/"), decision) == 0) return p;
    }
    fail_msg("no threshold of %s", decision);
    return NULL;
}

/* The loss at lambda ln(R) alone. */
static lode_var *world_loss(world *w) {
    lode_tensor *zero;
    assert_ok(lode_tensor_zeros(NULL, LODE_F64, &LODE_SCALAR, LODE_CONTIGUOUS, &zero));
    assert_ok(lode_strategy_choose(w->f.strategy, w->t, &late, w->choice));
    lode_var *ce = lode_tape_constant(w->t, zero);
    lode_tensor_release(zero);
    lode_var *loss = lode_strategy_loss(w->f.strategy, w->t, &late, NULL, ce);
    assert_ok(lode_tape_status(w->t));
    return loss;
}

static double price_at(world *w, const lode_arch *a, int decision, int option) {
    lode_arch b = *a;
    double value;
    b.option[decision] = (uint8_t)option;
    assert_ok(lode_cost_hard(w->cost, &b, &value));
    return value;
}

/* The weights of every decision are one-hot at `a`, which is what the strategy ends in; the loss is
   lambda times the logarithm of its price. */
static void check_settled(world *w, const char *text) {
    lode_arch want, best;
    double value;
    assert_ok(lode_arch_parse(w->f.space, text, &want));
    lode_var *loss = world_loss(w);
    for (int d = 0; d < want.n; d++) {
        const lode_decision *decision = lode_space_decision(w->f.space, d);
        const lode_tensor *g = w->choice[d].weights->value;
        assert_int_equal(lode_tensor_count(g), decision->n_options);
        for (int k = 0; k < decision->n_options; k++)
            assert_true(lode_at(g, k) == (k == want.option[d]));
    }
    assert_ok(lode_strategy_best(w->f.strategy, &best));
    assert_true(lode_arch_equal(&best, &want));
    assert_ok(lode_cost_hard(w->cost, &want, &value));
    assert_near(lode_at(loss->value, 0), 0.5 * log(value), 1e-12);
    lode_tape_reset(w->t);
}

static void thresholds_choose(void **state) {
    (void)state;
    world w;
    world_open(&w, "{lambda: 0.5, start: -1}");
    assert_int_equal(lode_strategy_n_parameters(w.f.strategy), 6);
    check_settled(&w, "mb,k5,e2,mb,k5,e2,k5");
    for (int i = 0; i < 6; i++)
        assert_ok(lode_tensor_fill(lode_strategy_parameter(w.f.strategy, i)->value, 1e3));
    check_settled(&w, "skip,k3,e1,mb,k3,e1,k1");
    assert_ok(lode_tensor_fill(threshold(&w, "layer1.mb.expand")->value, -1));
    assert_ok(lode_tensor_fill(threshold(&w, "layer2.mb.kernel")->value, -1));
    lode_put(threshold(&w, "last.kernel")->value, 0, -1);
    check_settled(&w, "skip,k3,e2,mb,k5,e1,k3");
    /* A ring counts only with all rings within it. */
    lode_put(threshold(&w, "last.kernel")->value, 0, 1e3);
    lode_put(threshold(&w, "last.kernel")->value, 1, -1);
    check_settled(&w, "skip,k3,e2,mb,k5,e1,k1");
    world_close(&w);
}

/* ---- gradients ---- */
static double slope(double x) { /* of the sigmoid */
    const double s = 1 / (1 + exp(-x));
    return s * (1 - s);
}

/* Over rows [begin, end) of layer1's kernel: <all, ring>, and the norms of both. */
typedef struct sums {
    double all, ring, product;
} sums;
static sums sums_of(world *w, int64_t begin, int64_t end) {
    const lode_tensor *v = lode_supernet_find(w->f.net, "layer1.mb.depthwise.weight")->value;
    sums s = {0};
    assert_int_equal(lode_tensor_count(v), 16 * 25);
    for (int64_t i = begin * 25; i < end * 25; i++) {
        const int64_t u = i % 25 / 5, k = i % 5;
        const double x = lode_at(v, i);
        const bool ring = u == 0 || u == 4 || k == 0 || k == 4;
        s.all += x * x;
        s.ring += ring ? x * x : 0;
    }
    s.product = s.ring;
    s.all = sqrt(s.all);
    s.ring = sqrt(s.ring);
    return s;
}

/* With all indicators 1: each threshold loses what its part costs, and the kernel's also what its
   ring adds to the norms that the other two look at. */
static void gradients_are_the_formulas(void **state) {
    (void)state;
    world w;
    lode_arch a;
    world_open(&w, "{lambda: 0.5, start: 0.5}");
    assert_ok(lode_arch_parse(w.f.space, "mb,k5,e2,mb,k5,e2,k5", &a));
    lode_var *loss = world_loss(&w);
    assert_ok(lode_backward(w.t, loss, 1));
    const sums all = sums_of(&w, 0, 16), first = sums_of(&w, 0, 8), second = sums_of(&w, 8, 16);
    const double price = price_at(&w, &a, 0, 0), scale = 0.5 / price;
    const double block = price - price_at(&w, &a, 0, 1), ring = price - price_at(&w, &a, 1, 0),
                 half = price - price_at(&w, &a, 2, 0);
    assert_true(first.all > 0.5 && second.all > 0.5 && all.ring > 0.5 && ring > 0);
    const double at_block = slope(first.all - 0.5) * scale * block,
                 at_half = slope(second.all - 0.5) * scale * half,
                 at_ring =
                     slope(all.ring - 0.5) * (scale * ring + at_block * first.product / first.all +
                                              at_half * second.product / second.all);
    assert_near(lode_at(threshold(&w, "layer1")->grad, 0), -at_block, 1e-9);
    assert_near(lode_at(threshold(&w, "layer1.mb.expand")->grad, 0), -at_half, 1e-9);
    assert_near(lode_at(threshold(&w, "layer1.mb.kernel")->grad, 0), -at_ring, 1e-9);
    /* The weights get the other end: a tap of the ring in the first half. */
    const lode_parameter *v = lode_supernet_find(w.f.net, "layer1.mb.depthwise.weight");
    const double tap = lode_at(v->value, 0);
    assert_near(lode_at(v->grad, 0), at_ring * tap / all.ring + at_block * tap / first.all, 1e-9);
    world_close(&w);
}

/* ---- training ---- */
static void the_cost_pushes(void **state) {
    (void)state;
    const char *arch[2] = {"{lambda: 200, ramp: 0, dropout: 0, lr: 1, momentum: 0}",
                           "{lambda: 0, start: -1}"};
    const char *end[2] = {"skip,k3,e1,mb,k3,e1,k1", "mb,k5,e2,mb,k5,e2,k5"};
    for (int i = 0; i < 2; i++) {
        world w;
        fixture f;
        lode_train_result r;
        lode_arch best, want;
        world_open(&w, arch[i]);
        const lode_strategy_setup setup = {.cost = &w.cost, .n_costs = 1};
        fixture_open_on(&f, super_space, LODE_F32,
                        "{epochs: 2, strategy: superkernel, lr: 0.001, eval_every: 0}", arch[i],
                        NULL, &setup);
        assert_ok(lode_train(&f.setup, &r));
        assert_ok(lode_strategy_best(f.strategy, &best));
        assert_ok(lode_arch_parse(f.space, end[i], &want));
        want = lode_arch_canonical(f.space, &want);
        best = lode_arch_canonical(f.space, &best);
        char *text = lode_arch_text(f.space, &best);
        if (!lode_arch_equal(&best, &want)) fail_msg("ends in %s", text);
        lode_free(text);
        fixture_close(&f);
        world_close(&w);
    }
}

static void pieces_make_the_whole(void **state) {
    (void)state;
    world w;
    world_open(&w, "{}");
    const lode_strategy_setup want = {.cost = &w.cost, .n_costs = 1};
    const char *arch = "{lambda: 1, ramp: 1, dropout: 0.3, dropout_epochs: 2}";
    const char *train[2] = {"{epochs: 2, strategy: superkernel, eval_every: 1}",
                            "{epochs: 2, strategy: superkernel, eval_every: 1, remat: layer}"};
    char *lines[4];
    const uint64_t whole =
        run_in_pieces_on(super_space, train[0], arch, NULL, &want, 0, 1, &lines[0]);
    assert_true(run_in_pieces_on(super_space, train[0], arch, NULL, &want, 3, 2, &lines[1]) ==
                whole);
    assert_true(run_in_pieces_on(super_space, train[1], arch, NULL, &want, 0, 2, &lines[2]) ==
                whole);
    assert_true(run_in_pieces_on(super_space, train[0], arch, NULL, &want, 5, 1, &lines[3]) ==
                whole);
    for (int i = 0; i < 4; i++) assert_string_equal(lines[i], lines[0]);
    for (int i = 0; i < 4; i++) lode_free(lines[i]);
    world_close(&w);
}

/* Widths and the resolution, mixed by Gumbel weights. */
static const char wide_space[] =
    "name: wide\ninput: {channels: 3, size: {choices: [6, 8]}}\nclasses: 4\n"
    "sets:\n  s:\n"
    "    k3: {op: mbconv, kernel: 3, expand: 2}\n"
    "    skip: {op: skip, at_shape_change: drop}\n"
    "layers:\n"
    "  - {name: stem, op: conv, kernel: 3, channels: {choices: [4, 6]}}\n"
    "  - {choice: s, channels: {choices: [6, 8, 12]}, repeat: 2}\n"
    "  - {name: pool, op: global_pool}\n"
    "  - {name: classifier, op: linear}\n";

/* A space of widths mixed by Gumbel weights, in pieces and rematerialised, too. */
static void widths_in_pieces(void **state) {
    (void)state;
    lode_space *s;
    lode_supernet *net;
    lode_cost *cost;
    assert_ok(lode_space_parse(wide_space, "wide", NULL, &s));
    assert_ok(lode_supernet_create(s, NULL, LODE_F32, 1, &net));
    assert_ok(lode_cost_open("macs", net, 1, &cost));
    const lode_strategy_setup want = {.cost = &cost, .n_costs = 1};
    const char *arch[] = {"{warmup: 0}", "{warmup: 0, sample: hard}",
                          "{warmup: 0, sample: one_path}", "{warmup: 0, noise: sample}"};
    for (int i = 0; i < 4; i++) {
        char *lines[3];
        const char *train = "{epochs: 2, strategy: gumbel, eval_every: 1}";
        const char *remat = "{epochs: 2, strategy: gumbel, eval_every: 1, remat: layer}";
        const uint64_t whole =
            run_in_pieces_on(wide_space, train, arch[i], NULL, &want, 0, 1, lines);
        assert_true(run_in_pieces_on(wide_space, train, arch[i], NULL, &want, 4, 2, lines + 1) ==
                    whole);
        assert_true(run_in_pieces_on(wide_space, remat, arch[i], NULL, &want, 0, 2, lines + 2) ==
                    whole);
        for (int k = 0; k < 3; k++) assert_string_equal(lines[k], lines[0]);
        for (int k = 0; k < 3; k++) lode_free(lines[k]);
    }
    lode_cost_close(cost);
    lode_supernet_destroy(net);
    lode_space_release(s);
}

/* What such trainings hold is what was planned. */
static void memory_as_planned(void **state) {
    (void)state;
    static const struct {
        const char *space, *train, *arch;
    } runs[] = {
        {wide_space, "{epochs: 2, strategy: gumbel}", "{warmup: 0}"},
        {wide_space, "{epochs: 2, strategy: gumbel, remat: layer}", "{warmup: 0, noise: sample}"},
        {wide_space, "{epochs: 4, strategy: single_path}", "{}"},
        {super_space, "{epochs: 2, strategy: superkernel}", "{}"},
        {super_space, "{epochs: 2, strategy: superkernel, remat: layer}", "{}"},
    };
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++) {
        const lode_strategy_setup none = {0};
        fixture f;
        lode_train_result r;
        fixture_open_on(&f, runs[i].space, LODE_F32, runs[i].train, runs[i].arch, NULL, &none);
        assert_ok(lode_train(&f.setup, &r));
        const double off = (double)r.peak_bytes / (double)r.plan.total - 1;
        if (fabs(off) > 0.1) /* constants of a pass count at these sizes */
            fail_msg("%s: %+.1f %% off the plan", runs[i].train, 100 * off);
        fixture_close(&f);
    }
}

static void refused(void **state) {
    (void)state;
    static const struct {
        const char *layers, *words;
    } bad[] = {
        {"[{op: conv, channels: {choices: [2, 4]}}, {op: global_pool}, {op: linear}]",
         "is about channels"},
        {"[{choice: s}, {op: global_pool}, {op: linear}]", "one mbconv with choices"},
        {"[{choice: u}, {op: global_pool}, {op: linear}]", "one mbconv with choices"},
        {"[{op: mbconv, expand: {choices: [1.5, 2]}}, {op: global_pool}, {op: linear}]",
         "expansion 1.5 is no whole number"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        lode_space *s;
        lode_supernet *net;
        const lode_strategy_plugin *plugin;
        lode_strategy *strategy;
        char *text = lode_format(
            "name: t\ninput: {channels: 4, size: 8}\nclasses: 3\nsets: {s: {a: {op: mbconv}, b: "
            "{op: skip}}, u: {a: {op: mbconv, kernel: {choices: [3, 5]}}, b: {op: mbconv}}}\n"
            "layers: %s\n",
            bad[i].layers);
        assert_ok(lode_space_parse(text, "t", NULL, &s));
        assert_ok(lode_supernet_create(s, NULL, LODE_F32, 1, &net));
        assert_ok(lode_strategy_find("superkernel", &plugin));
        const lode_strategy_setup setup = {.net = net, .n_epochs = 1};
        assert_fails(lode_strategy_create(plugin, &setup, &strategy), LODE_ERR_CONFIG,
                     bad[i].words);
        lode_supernet_destroy(net);
        lode_space_release(s);
        lode_free(text);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(thresholds_choose), cmocka_unit_test(gradients_are_the_formulas),
        cmocka_unit_test(the_cost_pushes),   cmocka_unit_test(pieces_make_the_whole),
        cmocka_unit_test(widths_in_pieces),  cmocka_unit_test(memory_as_planned),
        cmocka_unit_test(refused),
    };
    return cmocka_run_group_tests_name("train/superkernel", tests, NULL, NULL);
}
