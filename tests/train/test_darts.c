/* labels: unit, property. DARTS: the gradient through a step of the weights, where it is known and
   where it can be measured; what is lent to a strategy leaves no trace; who goes first. */
#include "train/hypergradient.h"
#include "train_fixture.h"

#include <math.h>

/* ---- two parabolas (methods A1) ---- */

/* L_val = alpha w - 2 alpha + 1, L_train = (w - alpha)^2. */
typedef struct parabolas {
    lode_parameter *w, *alpha;
    int gradients; /* asked for */
} parabolas;

static void put_grad(lode_parameter *p, double g) {
    lode_parameter_clear_grad(p);
    assert_ok(lode_tensor_like(p->value, &p->grad));
    lode_put(p->grad, 0, g);
}

static lode_status parabolas_gradient(void *self, lode_turn of_loss, lode_gradient_of of,
                                      double *value) {
    parabolas *q = self;
    double w = lode_at(q->w->value, 0), alpha = lode_at(q->alpha->value, 0);
    bool train = of_loss == LODE_TURN_WEIGHTS;
    q->gradients++;
    lode_parameter_clear_grad(q->w);
    lode_parameter_clear_grad(q->alpha);
    if (of & LODE_GRADIENT_OF_WEIGHTS) put_grad(q->w, train ? 2 * (w - alpha) : alpha);
    if (of & LODE_GRADIENT_OF_ARCH) put_grad(q->alpha, train ? -2 * (w - alpha) : w - 2);
    if (value != NULL) *value = train ? (w - alpha) * (w - alpha) : alpha * w - 2 * alpha + 1;
    return LODE_OK;
}

static lode_status parabolas_unroll(void *self, double xi) {
    parabolas *q = self;
    lode_put(q->w->value, 0, lode_at(q->w->value, 0) - xi * lode_at(q->w->grad, 0));
    return LODE_OK;
}

static void parabolas_open(parabolas *q, lode_bilevel *p, double alpha, double w) {
    *q = (parabolas){0};
    assert_ok(lode_parameter_create("w", LODE_PARAM_WEIGHT, LODE_F64, &LODE_SHAPE1(1), &q->w));
    assert_ok(
        lode_parameter_create("alpha", LODE_PARAM_LOGITS, LODE_F64, &LODE_SHAPE1(1), &q->alpha));
    lode_put(q->w->value, 0, w);
    lode_put(q->alpha->value, 0, alpha);
    *p = (lode_bilevel){q, &q->w, 1, &q->alpha, 1, parabolas_gradient, parabolas_unroll};
}

static void parabolas_close(parabolas *q) {
    lode_parameter_destroy(q->w);
    lode_parameter_destroy(q->alpha);
}

/* At (alpha, w) = (2, -2): w' = w - 2 xi (w - alpha), and with it the derivative of
   L_val(w'(alpha), alpha) is w' - 2 + alpha dw'/dalpha = w' - 2 + 2 xi alpha. */
static void the_gradient_is_the_formula(void **state) {
    static const double rates[] = {0, 0.01, 0.1, 0.5, 1};
    (void)state;
    for (size_t i = 0; i < sizeof rates / sizeof *rates; i++) {
        parabolas q;
        lode_bilevel p;
        lode_hypergradient *h = NULL;
        double xi = rates[i], ahead = -2 + 8 * xi, value = 0;
        parabolas_open(&q, &p, 2, -2);
        assert_ok(lode_hypergradient_create(&p, &h));
        assert_ok(lode_hypergradient_run(h, &p, xi, &value));
        assert_near(lode_at(q.alpha->grad, 0), ahead - 2 + 4 * xi, 1e-9);
        assert_near(value, 2 * ahead - 4 + 1, 1e-12);
        assert_true(lode_at(q.w->value, 0) == -2);
        assert_int_equal(q.gradients, xi > 0 ? 4 : 1);
        lode_hypergradient_destroy(h);
        parabolas_close(&q);
    }
}

/* With w relaxed before every step alpha = w goes to 2 / (1 + 2 xi): the first order ends at 2, the
   true optimum is 1. */
static void the_second_order_finds_the_optimum(void **state) {
    static const struct { double xi, end; } cases[] = {{0, 2}, {0.1, 2 / 1.2}, {0.5, 1}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        parabolas q;
        lode_bilevel p;
        lode_hypergradient *h = NULL;
        parabolas_open(&q, &p, 2, -2);
        lode_put(q.alpha->value, 0, 0.3);
        assert_ok(lode_hypergradient_create(&p, &h));
        for (int step = 0; step < 400; step++) {
            double alpha = lode_at(q.alpha->value, 0);
            lode_put(q.w->value, 0, alpha);
            assert_ok(lode_hypergradient_run(h, &p, cases[i].xi, NULL));
            lode_put(q.alpha->value, 0, alpha - 0.1 * lode_at(q.alpha->grad, 0));
        }
        assert_near(lode_at(q.alpha->value, 0), cases[i].end, 1e-6);
        lode_hypergradient_destroy(h);
        parabolas_close(&q);
    }
}

/* ---- the unrolled step ---- */
static void unrolling_is_a_step_without_a_trace(void **state) {
    lode_optimizer_options o = lode_optimizer_defaults();
    lode_parameter *p = NULL, *still = NULL;
    lode_optimizer *opt = NULL;
    (void)state;
    o.nesterov = false;
    o.weight_decay = 0.1;
    assert_ok(lode_parameter_create("p", LODE_PARAM_WEIGHT, LODE_F64, &LODE_SHAPE1(3), &p));
    assert_ok(lode_parameter_create("q", LODE_PARAM_WEIGHT, LODE_F64, &LODE_SHAPE1(1), &still));
    for (int k = 0; k < 3; k++) lode_put(p->value, k, k - 0.5);
    lode_put(still->value, 0, 7);
    assert_ok(lode_optimizer_create(&o, (lode_parameter *[]){p, still}, 2, &opt));
    for (int i = 0; i < 3; i++) {
        double before[3], ahead[3];
        lode_parameter_clear_grad(p);
        assert_ok(lode_tensor_like(p->value, &p->grad));
        for (int k = 0; k < 3; k++) {
            lode_put(p->grad, k, 0.3 * i - k);
            before[k] = lode_at(p->value, k);
        }
        for (int again = 0; again < 2; again++) { /* the second time too: nothing was remembered */
            assert_ok(lode_optimizer_unroll(opt, 0.2));
            for (int k = 0; k < 3; k++) {
                ahead[k] = lode_at(p->value, k);
                lode_put(p->value, k, before[k]);
            }
        }
        assert_ok(lode_optimizer_step(opt, 0.2, NULL));
        for (int k = 0; k < 3; k++) assert_near(lode_at(p->value, k), ahead[k], 1e-14);
        assert_true(lode_at(still->value, 0) == 7);
    }
    lode_optimizer_destroy(opt);
    o.name = "adam";
    assert_ok(lode_optimizer_create(&o, &p, 1, &opt));
    assert_fails(lode_optimizer_unroll(opt, 0.1), LODE_ERR_CONFIG, "optimizer sgd");
    lode_optimizer_destroy(opt);
    lode_parameter_destroy(p);
    lode_parameter_destroy(still);
}

/* ---- a network ---- */
static const char tiny_train[] = "{epochs: 3, strategy: darts, lr: 0.05, momentum: 0.9, "
                                 "weight_decay: 0.01, clip: 5, eval_every: 0}";

/* Without kinks, over which both differences would have to jump; 3 and 2 options. */
static const char smooth_space[] = "name: smooth\n"
                                   "input: {channels: 3, size: 8}\n"
                                   "classes: 4\n"
                                   "sets:\n"
                                   "  s:\n"
                                   "    k3: {op: mbconv, kernel: 3, expand: 2, act: swish}\n"
                                   "    k5: {op: mbconv, kernel: 5, expand: 1, act: swish}\n"
                                   "    skip: {op: skip, at_shape_change: drop}\n"
                                   "layers:\n"
                                   "  - {name: stem, op: conv, channels: 8, act: swish}\n"
                                   "  - {choice: s, channels: 8}\n"
                                   "  - {choice: s, channels: 16, stride: 2}\n"
                                   "  - {name: pool, op: global_pool}\n"
                                   "  - {name: classifier, op: linear}\n";

/* L_val at the weights one step ahead. */
static double look_ahead(fixture *f, const lode_step_tools *tools, double xi) {
    int n = lode_supernet_n_parameters(f->net);
    lode_tensor **saved = calloc((size_t)n, sizeof *saved);
    double value = 0;
    assert_non_null(saved);
    for (int i = 0; i < n; i++)
        assert_ok(lode_tensor_clone(lode_supernet_parameter(f->net, i)->value, &saved[i]));
    assert_ok(tools->gradient(tools->self, LODE_TURN_WEIGHTS, LODE_GRADIENT_OF_WEIGHTS, NULL));
    assert_ok(lode_optimizer_unroll(tools->weights, xi));
    assert_ok(tools->gradient(tools->self, LODE_TURN_ARCH, LODE_GRADIENT_OF_ARCH, &value));
    for (int i = 0; i < n; i++) {
        assert_ok(lode_tensor_copy(lode_supernet_parameter(f->net, i)->value, saved[i]));
        lode_tensor_release(saved[i]);
    }
    free(saved);
    return value;
}

/* The derivative of L_val(w'(alpha), alpha), measured: momentum and decay are in w'. */
static void the_gradient_is_the_measured_one(void **state) {
    fixture f;
    lode_trainer *t = NULL;
    bool finished = false;
    double got[5], want[5], first[5], gap = 0, size = 0, first_gap = 0, loss = 0;
    (void)state;
    fixture_open_on(&f, smooth_space, LODE_F64, tiny_train, "{order: second, init: 0.5}", NULL,
                    &(lode_strategy_setup){0});
    assert_ok(lode_trainer_create(&f.setup, &t));
    assert_ok(lode_trainer_run_steps(t, 4, &finished)); /* momentum has something to say */
    const lode_step_tools tools = lode_trainer_tools(t);
    const lode_step step = {.turn = LODE_TURN_ARCH};
    const uint64_t before = fixture_hash(&f);
    assert_ok(tools.gradient(tools.self, LODE_TURN_ARCH, LODE_GRADIENT_OF_ARCH, NULL));
    for (int i = 0; i < 5; i++)
        first[i] = lode_at(lode_strategy_parameter(f.strategy, i / 3)->grad, i % 3);
    assert_ok(f.plugin->arch_gradient(lode_strategy_self(f.strategy), &step, &tools, &loss));
    assert_true(fixture_hash(&f) == before);
    for (int i = 0; i < 5; i++)
        got[i] = lode_at(lode_strategy_parameter(f.strategy, i / 3)->grad, i % 3);
    assert_near(loss, look_ahead(&f, &tools, tools.lr), 1e-12);
    for (int i = 0; i < 5; i++) {
        lode_tensor *alpha = lode_strategy_parameter(f.strategy, i / 3)->value;
        const double a = lode_at(alpha, i % 3), h = 1e-4;
        lode_put(alpha, i % 3, a + h);
        want[i] = look_ahead(&f, &tools, tools.lr);
        lode_put(alpha, i % 3, a - h);
        want[i] = (want[i] - look_ahead(&f, &tools, tools.lr)) / (2 * h);
        lode_put(alpha, i % 3, a);
        gap += (got[i] - want[i]) * (got[i] - want[i]);
        first_gap += (first[i] - want[i]) * (first[i] - want[i]);
        size += want[i] * want[i];
    }
    print_message("relative error of the second order %.2e, of the first %.2e\n", sqrt(gap / size),
                  sqrt(first_gap / size));
    assert_true(sqrt(gap / size) < 1e-2);
    assert_true(first_gap > 9 * gap); /* the second term is there */
    lode_trainer_destroy(t);
    fixture_close(&f);
}

/* ---- turns ---- */

/* Looking at gradients between steps changes no later bit, and both orders differ. */
static void what_is_lent_leaves_no_trace(void **state) {
    static const char *const arch[2] = {"{order: first}", "{order: second}"};
    uint64_t hash[2][2];
    (void)state;
    for (int order = 0; order < 2; order++)
        for (int look = 0; look < 2; look++) {
            fixture f;
            lode_trainer *t = NULL;
            bool finished = false;
            fixture_open(&f, tiny_train, arch[order], NULL, NULL, 0);
            assert_ok(lode_trainer_create(&f.setup, &t));
            while (!finished) {
                const lode_step_tools tools = lode_trainer_tools(t);
                for (int turn = 0; look && turn < 2; turn++)
                    assert_ok(tools.gradient(t, (lode_turn)turn, LODE_GRADIENT_OF_BOTH, NULL));
                assert_ok(lode_trainer_run_steps(t, 1, &finished));
            }
            hash[order][look] = fixture_hash(&f);
            lode_trainer_destroy(t);
            fixture_close(&f);
        }
    assert_true(hash[0][0] == hash[0][1]);
    assert_true(hash[1][0] == hash[1][1]);
    assert_true(hash[0][0] != hash[1][0]);
}

static void the_architecture_goes_first(void **state) {
    static const struct {
        const char *arch, *turns; /* of the first epoch's 6 weight steps */
    } cases[] = {{"{every: 1}", "awawawawawaw"},
                 {"{every: 4}", "awwwwaww"},
                 {"{every: 4, turns: alternate}", "wwwwaww"}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fixture f;
        lode_trainer *t = NULL;
        bool finished = false;
        fixture_open(&f, "{epochs: 1, strategy: darts, lr: 0.05}", cases[i].arch, NULL, NULL, 0);
        assert_ok(lode_trainer_create(&f.setup, &t));
        assert_int_equal(lode_trainer_total_steps(t), strlen(cases[i].turns));
        for (const char *turn = cases[i].turns; *turn != '\0'; turn++) {
            assert_ok(lode_trainer_run_steps(t, 1, &finished));
            assert_int_equal(lode_trainer_last_step(t).turn,
                             *turn == 'a' ? LODE_TURN_ARCH : LODE_TURN_WEIGHTS);
        }
        assert_ok(lode_trainer_run_steps(t, 1, &finished));
        assert_true(finished);
        lode_trainer_destroy(t);
        fixture_close(&f);
    }
}

/* The architecture's gradient does not take the weights along, nor their running statistics. */
static void only_its_own_half_moves(void **state) {
    fixture f;
    lode_trainer *t = NULL;
    bool finished = false;
    (void)state;
    fixture_open(&f, tiny_train, "{order: second}", NULL, NULL, 0);
    assert_ok(lode_trainer_create(&f.setup, &t));
    for (int i = 0; i < 4; i++) { /* a w a w */
        uint64_t net = 0, now = 0;
        for (int k = 0; k < lode_supernet_n_parameters(f.net); k++) {
            const lode_tensor *v = lode_supernet_parameter(f.net, k)->value;
            net = lode_hash_bytes(v->data, lode_tensor_bytes(v), net);
        }
        assert_ok(lode_trainer_run_steps(t, 1, &finished));
        for (int k = 0; k < lode_supernet_n_parameters(f.net); k++) {
            const lode_tensor *v = lode_supernet_parameter(f.net, k)->value;
            now = lode_hash_bytes(v->data, lode_tensor_bytes(v), now);
            assert_null(lode_supernet_parameter(f.net, k)->grad);
        }
        assert_true((net == now) == (i % 2 == 0));
    }
    lode_trainer_destroy(t);
    fixture_close(&f);
}

/* In DARTS' space 6 normal and 2 reduction cells read 14 + 14 rows of 8 alphas, drawn with the
   deviation 0.001 from the seed. */
static void cells_of_a_type_share_their_alphas(void **state) {
    const lode_space_options o = {.name = "darts"};
    const lode_strategy_plugin *plugin = NULL;
    lode_space *space = NULL;
    lode_supernet *net = NULL;
    lode_strategy *s = NULL;
    double sum = 0, squares = 0;
    int cells = 0;
    (void)state;
    assert_ok(lode_space_load(&o, &space));
    for (int i = 0; i < lode_space_n_layers(space); i++)
        cells += lode_space_layer(space, i).n_decisions > 0;
    assert_int_equal(cells, 8);
    assert_ok(lode_supernet_create(space, NULL, LODE_F32, 5, &net));
    assert_ok(lode_strategy_find("darts", &plugin));
    const lode_strategy_setup setup = {.net = net, .n_epochs = 1};
    assert_ok(lode_strategy_create(plugin, &setup, &s));
    assert_int_equal(lode_strategy_n_parameters(s), 28);
    for (int i = 0; i < 28; i++) {
        const lode_tensor *v = lode_strategy_parameter(s, i)->value;
        assert_int_equal(lode_tensor_count(v), 8);
        for (int k = 0; k < 8; k++) {
            sum += lode_at(v, k);
            squares += lode_at(v, k) * lode_at(v, k);
        }
    }
    assert_near(1e3 * sum / 224, 0, 4 / sqrt(224)); /* 4 sigma */
    assert_near(1e3 * sqrt(squares / 224), 1, 4 / sqrt(2 * 224));
    lode_strategy_destroy(s);
    lode_supernet_destroy(net);
    lode_space_release(space);
}

/* ---- refusals ---- */
static void what_cannot_be_unrolled_is_refused(void **state) {
    fixture f;
    lode_train_result r;
    (void)state;
    fixture_open(&f, "{epochs: 1, strategy: darts, optimizer: adam}", "{order: second}", NULL, NULL,
                 0);
    assert_fails(lode_train(&f.setup, &r), LODE_ERR_CONFIG, "optimizer sgd");
    fixture_close(&f);
    lode_trainer *t = NULL;
    fixture_open(&f, "{epochs: 1, strategy: single_path}", "{}", NULL, NULL, 0);
    assert_ok(lode_trainer_create(&f.setup, &t));
    const lode_step_tools tools = lode_trainer_tools(t);
    assert_fails(tools.gradient(t, LODE_TURN_ARCH, LODE_GRADIENT_OF_WEIGHTS, NULL), LODE_ERR_CONFIG,
                 "plans no turns");
    lode_trainer_destroy(t);
    fixture_close(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_gradient_is_the_formula),
        cmocka_unit_test(the_second_order_finds_the_optimum),
        cmocka_unit_test(unrolling_is_a_step_without_a_trace),
        cmocka_unit_test(the_gradient_is_the_measured_one),
        cmocka_unit_test(what_is_lent_leaves_no_trace),
        cmocka_unit_test(the_architecture_goes_first),
        cmocka_unit_test(only_its_own_half_moves),
        cmocka_unit_test(cells_of_a_type_share_their_alphas),
        cmocka_unit_test(what_cannot_be_unrolled_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
