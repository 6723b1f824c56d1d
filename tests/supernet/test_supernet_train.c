/* test_supernet_train.c: gradients of mixtures, recomputation, drop-path, calibration. */
#include "supernet/tiny.h"

#include <math.h>

/* ---- a mixture of everything, in f64 ---- */
typedef struct mixture {
    lode_space *space;
    lode_supernet *net;
    lode_tensor *x;
    lode_tensor *w[LODE_MAX_DECISIONS], *w_grad[LODE_MAX_DECISIONS]; /* [K] or [N,K] */
    lode_forward_options options;
    uint64_t active; /* options that run at every decision, as far as it has them; 0: all */
    bool ones;       /* what is not active counts as ones */
} mixture;

enum { BATCH = 3 };

static void mixture_open(mixture *m, const char *text, bool per_sample) {
    *m = (mixture){.options.bn = LODE_BN_BATCH};
    m->space = tiny_space(text);
    assert_ok(lode_supernet_create(m->space, NULL, LODE_F64, 1, &m->net));
    m->x = tiny_input(m->space, LODE_F64, BATCH, 0);
    for (int d = 0; d < lode_space_n_decisions(m->space); d++) {
        int64_t k = lode_space_decision(m->space, d)->n_options;
        lode_shape shape = per_sample ? LODE_SHAPE2(BATCH, k) : LODE_SHAPE1(k);
        lode_rng rng = lode_rng_stream(9, LODE_RNG_TEST, (uint64_t)d);
        assert_ok(
            lode_tensor_create(lode_cpu_device(), LODE_F64, &shape, LODE_CONTIGUOUS, &m->w[d]));
        assert_ok(lode_tensor_fill_uniform(m->w[d], &rng, 0.1, 0.6));
    }
}

static void mixture_clear(mixture *m) {
    lode_supernet_clear_grads(m->net);
    for (int d = 0; d < lode_space_n_decisions(m->space); d++) {
        lode_tensor_release(m->w_grad[d]);
        m->w_grad[d] = NULL;
    }
}

static void mixture_close(mixture *m) {
    mixture_clear(m);
    for (int d = 0; d < lode_space_n_decisions(m->space); d++) lode_tensor_release(m->w[d]);
    lode_tensor_release(m->x);
    lode_supernet_destroy(m->net);
    lode_space_release(m->space);
}

/* Loss at step 5; gradients when `backward`. */
static double mixture_loss(mixture *m, bool backward) {
    lode_tape *t;
    lode_choice choice[LODE_MAX_DECISIONS] = {{0}};
    lode_tensor *labels;
    lode_shape shape = LODE_SHAPE1(BATCH);
    assert_ok(lode_tape_create(LODE_TRAIN, NULL, &t));
    lode_tape_set_step(t, 1, 5);
    assert_ok(lode_tensor_zeros(lode_cpu_device(), LODE_S64, &shape, LODE_CONTIGUOUS, &labels));
    for (int i = 0; i < BATCH; i++) lode_put(labels, i, i);
    for (int d = 0; d < lode_space_n_decisions(m->space); d++) {
        uint64_t options = (UINT64_C(1) << lode_space_decision(m->space, d)->n_options) - 1;
        choice[d].active = (m->active & options) != 0 ? m->active & options : options;
        choice[d].ones = m->ones;
        choice[d].weights = lode_tape_leaf(t, m->w[d], &m->w_grad[d]);
    }
    lode_var *y =
        lode_supernet_forward(t, m->net, lode_tape_constant(t, m->x), choice, &m->options);
    lode_var *loss = lode_cross_entropy(t, y, lode_tape_constant(t, labels), 0);
    assert_ok(lode_tape_status(t));
    double value = lode_at(loss->value, 0);
    if (backward) assert_ok(lode_backward(t, loss, 1));
    lode_tensor_release(labels);
    lode_tape_destroy(t);
    return value;
}

/* Moves `p` by h along a direction of its own; returns <grad, direction>. */
static double shift(lode_tensor *p, const lode_tensor *grad, uint64_t index, double h) {
    lode_rng rng = lode_rng_stream(13, LODE_RNG_TEST, index);
    double dot = 0;
    for (int64_t i = 0; i < lode_tensor_count(p); i++) {
        double r = lode_rng_normal(&rng);
        dot += grad != NULL ? lode_at(grad, i) * r : 0;
        lode_put(p, i, lode_at(p, i) + h * r);
    }
    return dot;
}

/* All parameters and mixture weights, or those of one tensor (`only` >= 0). */
static double shift_all(mixture *m, int only, double h) {
    double dot = 0;
    int n = lode_supernet_n_parameters(m->net);
    for (int i = 0; i < n; i++) {
        lode_parameter *p = lode_supernet_parameter(m->net, i);
        if (p->kind == LODE_PARAM_RUNNING || (only >= 0 && only != i)) continue;
        dot += shift(p->value, p->grad, (uint64_t)i, h);
    }
    for (int d = 0; d < lode_space_n_decisions(m->space); d++)
        if (only < 0 || only == n + d) dot += shift(m->w[d], m->w_grad[d], (uint64_t)(n + d), h);
    return dot;
}

static void check_direction(mixture *m, int only) {
    const double h = 1e-6;
    double want = shift_all(m, only, 0);
    shift_all(m, only, h);
    double up = mixture_loss(m, false);
    shift_all(m, only, -2 * h);
    double down = mixture_loss(m, false);
    shift_all(m, only, h);
    assert_near((up - down) / (2 * h), want, 2e-6);
}

static void test_gradients(void **state) {
    (void)state;
    const char *texts[] = {TINY_CHAIN, TINY_CELLS, TINY_WIDTHS, TINY_SIDES, TINY_KERNELS};
    for (int i = 0; i < 9; i++) { /* kernels are not mixed per sample */
        mixture m;
        mixture_open(&m, texts[i / 2], i % 2 == 1);
        mixture_loss(&m, true);
        int n = lode_supernet_n_parameters(m.net), reached = 0;
        for (int k = 0; k < n; k++) reached += lode_supernet_parameter(m.net, k)->grad != NULL;
        assert_true(reached > 20);
        check_direction(&m, -1);
        for (int k = 0; k < n + lode_space_n_decisions(m.space); k += 11) check_direction(&m, k);
        mixture_close(&m);
    }
}

static void check_same_gradients(const mixture *a, const mixture *b) {
    for (int k = 0; k < lode_supernet_n_parameters(a->net); k++) {
        lode_parameter *p = lode_supernet_parameter(a->net, k);
        lode_parameter *q = lode_supernet_parameter(b->net, k);
        assert_true((p->grad == NULL) == (q->grad == NULL));
        if (p->grad != NULL && !lode_tensor_equal_bits(p->grad, q->grad)) fail_msg("%s", p->name);
        assert_true(lode_tensor_equal_bits(p->value, q->value));
    }
    for (int d = 0; d < lode_space_n_decisions(a->space); d++) {
        assert_true((a->w_grad[d] == NULL) == (b->w_grad[d] == NULL));
        if (a->w_grad[d] != NULL) assert_true(lode_tensor_equal_bits(a->w_grad[d], b->w_grad[d]));
    }
}

/* Rematerialised layers: the same loss and the same gradients, bit for bit, with weights per batch
   and per sample, all candidates, some or one; also with drop-path, whose masks are drawn again.
   Running statistics move once. */
static void test_remat(void **state) {
    (void)state;
    const char *texts[] = {TINY_CHAIN, TINY_CELLS, TINY_WIDTHS, TINY_SIDES, TINY_KERNELS};
    const uint64_t active[] = {~UINT64_C(0), 6, 11, 0};
    for (int i = 0; i < 40; i++) {
        mixture a, b;
        if (i % 10 == 9) continue; /* kernels are not mixed per sample */
        mixture_open(&a, texts[i % 5], i % 10 >= 5);
        mixture_open(&b, texts[i % 5], i % 10 >= 5);
        a.options = b.options = (lode_forward_options){.bn = LODE_BN_TRAIN, .drop_path = 0.3};
        b.options.remat = LODE_REMAT_LAYER;
        a.active = b.active = active[i / 10];
        double loss = mixture_loss(&a, true);
        assert_true(mixture_loss(&b, true) == loss);
        check_same_gradients(&a, &b);
        mixture_close(&a);
        mixture_close(&b);
    }
}

/* Every decision of a mixture takes option `k` alone; the classifier is not 0. */
static void mixture_one_hot(mixture *m, int k) {
    lode_rng rng = lode_rng_stream(17, LODE_RNG_TEST, 0);
    lode_parameter *classifier = lode_supernet_find(m->net, "classifier.linear.weight");
    assert_non_null(classifier);
    assert_ok(lode_tensor_fill_normal(classifier->value, &rng, 0, 0.3));
    m->active = UINT64_C(1) << k;
    for (int d = 0; d < lode_space_n_decisions(m->space); d++) {
        const int n = lode_space_decision(m->space, d)->n_options, on = k < n ? k : n - 1;
        for (int i = 0; i < n; i++) lode_put(m->w[d], i, i == on);
        assert_true(k < n);
    }
}

/* Options that did not run as maps of ones: nothing changes forward, not even where only `none` is
   active, and every one of them has the same gradient, which is that of a number added to the map.
   Recomputed mixtures have the same bits. */
static void test_ones(void **state) {
    (void)state;
    const char *texts[] = {TINY_CHAIN, TINY_CELLS};
    for (int i = 0; i < 6; i++) {
        mixture a, b;
        mixture_open(&a, texts[i % 2], false);
        mixture_open(&b, texts[i % 2], false);
        const int k = i / 2; /* `none` of the cells is 0 */
        mixture_one_hot(&a, k), mixture_one_hot(&b, k);
        const double plain = mixture_loss(&a, false);
        mixture_clear(&a);
        a.ones = b.ones = true;
        b.options.remat = LODE_REMAT_LAYER;
        assert_near(mixture_loss(&a, true), plain, 1e-14);
        mixture_loss(&b, true);
        check_same_gradients(&a, &b);
        const bool varies = i != 1; /* constant maps, of which norms leave nothing */
        if (varies) check_direction(&a, -1);
        bool some = false;
        for (int d = 0; d < lode_space_n_decisions(a.space); d++) {
            const int n = lode_space_decision(a.space, d)->n_options;
            if (a.w_grad[d] == NULL) continue; /* its node is read by `none` alone */
            const double sum = lode_at(a.w_grad[d], k == 0);
            for (int j = 0; j < n; j++)
                if (j != k) assert_near(lode_at(a.w_grad[d], j), sum, 0);
            some = some || fabs(sum) > 1e-6;
        }
        assert_true(some == varies);
        mixture_close(&a);
        mixture_close(&b);
    }
}

/* With everything kept, the most in use grows with the candidates; with remat, it is about one
   candidate's, whatever their number. */
static int64_t mixture_peak(lode_remat remat, uint64_t active) {
    mixture m;
    mixture_open(&m, TINY_CHAIN, false);
    m.options = (lode_forward_options){.bn = LODE_BN_TRAIN, .remat = remat};
    m.active = active;
    mixture_loss(&m, true); /* gradients of the parameters are there */
    int64_t before = lode_device_get_stats(lode_cpu_device()).bytes_in_use;
    lode_device_reset_peak(lode_cpu_device());
    mixture_loss(&m, true);
    int64_t peak = lode_device_get_stats(lode_cpu_device()).peak_bytes - before;
    mixture_close(&m);
    return peak;
}

static void test_remat_memory(void **state) {
    (void)state;
    int64_t all = mixture_peak(LODE_REMAT_NONE, 7), one = mixture_peak(LODE_REMAT_NONE, 1);
    int64_t remat_all = mixture_peak(LODE_REMAT_LAYER, 7);
    int64_t remat_one = mixture_peak(LODE_REMAT_LAYER, 1);
    assert_true(2 * remat_all < all);
    assert_true(remat_one < one);
    assert_true(remat_all < one + one / 3);
}

/* A single path leaves the other candidates without gradients: absent, not zero. */
static void test_absent_gradients(void **state) {
    (void)state;
    lode_space *s = tiny_space(TINY_CHAIN);
    lode_supernet *net;
    lode_tape *t;
    lode_arch a;
    lode_choice choice[3] = {{0}};
    assert_ok(lode_supernet_create(s, NULL, LODE_F32, 1, &net));
    assert_ok(lode_arch_parse(s, "a,b,skip", &a));
    lode_choice_from_arch(&a, choice);
    assert_ok(lode_tape_create(LODE_TRAIN, NULL, &t));
    lode_tensor *x = tiny_input(s, LODE_F32, 2, 0);
    lode_supernet_find(net, "stem.conv.weight")->frozen = true;
    lode_var *y = lode_supernet_forward(t, net, lode_tape_constant(t, x), choice, NULL);
    assert_ok(
        lode_backward(t, lode_reduce_sum(t, lode_mul(t, y, y), (lode_reduce_params){0, 0}), 1));
    for (int i = 0; i < lode_supernet_n_parameters(net); i++) {
        lode_parameter *p = lode_supernet_parameter(net, i);
        bool on_path = strncmp(p->name, "layer1.a.", 9) == 0 ||
                       strncmp(p->name, "layer2.b.", 9) == 0 || strncmp(p->name, "stem", 4) == 0 ||
                       strncmp(p->name, "classifier", 10) == 0;
        bool trains = p->kind != LODE_PARAM_RUNNING && !p->frozen;
        if ((p->grad != NULL) != (on_path && trains)) fail_msg("%s", p->name);
    }
    lode_tensor_release(x);
    lode_tape_destroy(t);
    lode_supernet_destroy(net);
    lode_space_release(s);
}

/* ---- drop-path ---- */
/* The reference, counting drops. */
static lode_status counting_forward(void *self, lode_op_call *c) {
    *(int *)self += c->op == &lode_op_dropout;
    const lode_runner *r = lode_reference_runner();
    return r->forward(r->self, c);
}

static lode_status counting_backward(void *self, lode_op_call *c, const lode_tensor *dy,
                                     lode_tensor *const *dx) {
    (void)self;
    const lode_runner *r = lode_reference_runner();
    return r->backward(r->self, c, dy, dx);
}

static int count_drops(const char *text, const char *code, double p) {
    int n = 0;
    lode_runner runner = {.self = &n, .forward = counting_forward, .backward = counting_backward};
    lode_space *s = tiny_space(text);
    lode_supernet *net;
    lode_tape *t;
    lode_arch a;
    lode_forward_options options = {.bn = LODE_BN_TRAIN, .drop_path = p};
    assert_ok(lode_arch_parse(s, code, &a));
    assert_ok(lode_supernet_create(s, &a, LODE_F32, 1, &net));
    assert_ok(lode_tape_create(LODE_TRAIN, &runner, &t));
    lode_tensor *x = tiny_input(s, LODE_F32, 2, 0);
    lode_supernet_forward(t, net, lode_tape_constant(t, x), NULL, &options);
    assert_ok(lode_tape_status(t));
    lode_tensor_release(x);
    lode_tape_destroy(t);
    lode_supernet_destroy(net);
    lode_space_release(s);
    return n;
}

static void test_drop_path(void **state) {
    (void)state;
    assert_int_equal(count_drops(TINY_CHAIN, "a,a,a", 0.5), 2); /* layer2 has no residual */
    assert_int_equal(count_drops(TINY_CHAIN, "a,a,skip", 0.5), 1);
    assert_int_equal(count_drops(TINY_CHAIN, "a,a,a", 0), 0);
    /* In cells each edge but the skips; two normal cells, a reduction, two of the last type. */
    const char *code = "sep,skip,skip,none,dil,avg,none,none,sep,none,conv,skip,none";
    assert_int_equal(count_drops(TINY_CELLS, code, 0.5), 2 * 2 + 2 + 2 * 1);
}

/* ---- calibration ---- */
/* The statistics of the first BN equal the closed form over all images, whatever the batches. */
static void calibrate(lode_supernet *net, lode_tensor *x, const int *batches, int n) {
    lode_choice choice[3] = {{.active = 1}, {.active = 1}, {.active = 2}};
    lode_forward_options options = {.bn = LODE_BN_CALIBRATE};
    assert_ok(lode_supernet_calibrate_begin(net));
    for (int i = 0, from = 0; i < n; from += batches[i++]) {
        lode_tape *t;
        lode_tensor *part;
        assert_ok(lode_tensor_slice(x, 0, from, from + batches[i], 1, &part));
        assert_ok(lode_tape_create(LODE_EVAL, NULL, &t));
        lode_supernet_forward(t, net, lode_tape_constant(t, part), choice, &options);
        assert_ok(lode_tape_status(t));
        lode_tape_destroy(t);
        lode_tensor_release(part);
    }
    assert_ok(lode_supernet_calibrate_end(net));
}

/* Mean and biased variance of stem's convolution over x, channel c, in double. */
static void stem_statistics(lode_supernet *net, lode_tensor *x, int c, double *mean, double *var) {
    lode_tape *t;
    assert_ok(lode_tape_create(LODE_EVAL, NULL, &t));
    lode_var *w = lode_parameter_var(t, lode_supernet_find(net, "stem.conv.weight"));
    lode_var *y = lode_conv2d(t, lode_tape_constant(t, x), w, NULL, lode_conv2d_same(3, 1, 1, 1));
    assert_ok(lode_tape_status(t));
    double sum = 0, squares = 0, n = 0;
    for (int pass = 0; pass < 2; pass++)
        for (int64_t b = 0; b < y->value->shape.dim[0]; b++)
            for (int64_t i = 0; i < 7; i++)
                for (int64_t j = 0; j < 7; j++) {
                    double v = lode_at4(y->value, b, c, i, j);
                    if (pass == 0) {
                        sum += v;
                        n++;
                    } else {
                        squares += (v - sum / n) * (v - sum / n);
                    }
                }
    *mean = sum / n;
    *var = squares / n;
    lode_tape_destroy(t);
}

static void test_calibrate(void **state) {
    (void)state;
    lode_space *s = tiny_space(TINY_CHAIN);
    lode_supernet *net;
    assert_ok(lode_supernet_create(s, NULL, LODE_F64, 1, &net));
    lode_tensor *x = tiny_input(s, LODE_F64, 10, 0);
    for (int64_t i = 0; i < lode_tensor_count(x);
         i++) /* image means differ: between-batch spread */
        lode_put(x, i, lode_at(x, i) + (double)(i / 98));
    calibrate(net, x, (const int[]){4, 3, 2, 1}, 4);
    for (int c = 0; c < 4; c++) {
        double mean, var;
        stem_statistics(net, x, c, &mean, &var);
        assert_near(lode_at(lode_supernet_find(net, "stem.bn.mean")->value, c), mean, 1e-12);
        assert_near(lode_at(lode_supernet_find(net, "stem.bn.var")->value, c), var, 1e-12);
    }
    /* Only what was reached; twice gives the same bits. */
    lode_parameter *p = lode_supernet_find(net, "layer1.a.project.bn.var");
    lode_tensor *first;
    assert_ok(lode_tensor_clone(p->value, &first));
    assert_true(lode_at(first, 0) != 1);
    assert_true(lode_at(lode_supernet_find(net, "layer1.b.project.bn.var")->value, 0) == 1);
    calibrate(net, x, (const int[]){4, 3, 2, 1}, 4);
    assert_true(lode_tensor_equal_bits(first, p->value));
    lode_tensor_release(first);
    assert_fails(lode_supernet_calibrate_end(net), LODE_ERR_INVALID, "calibrate_begin");
    lode_tape *t;
    lode_choice choice[3] = {{.active = 1}, {.active = 1}, {.active = 1}};
    lode_forward_options options = {.bn = LODE_BN_CALIBRATE};
    assert_ok(lode_tape_create(LODE_EVAL, NULL, &t));
    assert_null(lode_supernet_forward(t, net, lode_tape_constant(t, x), choice, &options));
    assert_fails(lode_tape_status(t), LODE_ERR_INVALID, "calibrate_begin");
    lode_tape_destroy(t);
    lode_tensor_release(x);
    lode_supernet_destroy(net);
    lode_space_release(s);
}

/* One batch: the calibrated network in RUNNING mode is the network in BATCH mode. */
static void test_calibrated_logits(void **state) {
    (void)state;
    const char *texts[] = {TINY_CHAIN, TINY_CELLS};
    for (int i = 0; i < 2; i++) {
        lode_space *s = tiny_space(texts[i]);
        lode_supernet *net;
        lode_arch a;
        lode_rng rng = lode_rng_stream(6, LODE_RNG_TEST, 0);
        assert_ok(lode_supernet_create(s, NULL, LODE_F64, 1, &net));
        assert_ok(lode_space_sample(s, &rng, &a));
        lode_tensor *x = tiny_input(s, LODE_F64, 6, 0);
        lode_tensor *want = tiny_logits(NULL, net, &a, x, LODE_BN_BATCH);
        assert_ok(lode_supernet_calibrate_begin(net));
        lode_tensor *same = tiny_logits(NULL, net, &a, x, LODE_BN_CALIBRATE);
        assert_ok(lode_supernet_calibrate_end(net));
        lode_tensor *got = tiny_logits(NULL, net, &a, x, LODE_BN_RUNNING);
        for (int64_t e = 0; e < lode_tensor_count(want); e++) {
            assert_near(lode_at(same, e), lode_at(want, e), 0);
            assert_near(lode_at(got, e), lode_at(want, e), 1e-9);
        }
        lode_tensor_release(want);
        lode_tensor_release(same);
        lode_tensor_release(got);
        lode_tensor_release(x);
        lode_supernet_destroy(net);
        lode_space_release(s);
    }
}

/* ---- memory ---- */
/* Every allocation of a recomputed mixture's step fails once: a status, and nothing is lost. */
static void test_no_memory(void **state) {
    (void)state;
    mixture m;
    mixture_open(&m, TINY_CHAIN, false);
    m.options.remat = LODE_REMAT_LAYER;
    lode_device_empty_cache(lode_cpu_device());
    int64_t before = lode_memory_get_stats().n_blocks;
    int failures = 0;
    bool more = true;
    for (int64_t n = 0; more; n += 1 + n / 8) {
        lode_status status;
        lode_tape *t = NULL;
        lode_choice choice[LODE_MAX_DECISIONS] = {{0}};
        test_fail_allocation(n);
        status = lode_tape_create(LODE_TRAIN, NULL, &t);
        if (status == LODE_OK) {
            for (int d = 0; d < lode_space_n_decisions(m.space); d++) {
                choice[d].active = ((uint64_t)1 << lode_space_decision(m.space, d)->n_options) - 1;
                choice[d].weights = lode_tape_leaf(t, m.w[d], &m.w_grad[d]);
            }
            lode_var *y =
                lode_supernet_forward(t, m.net, lode_tape_constant(t, m.x), choice, &m.options);
            lode_var *loss = lode_reduce_mean(t, y, (lode_reduce_params){0, 0});
            status = lode_tape_status(t);
            if (status == LODE_OK) status = lode_backward(t, loss, 1);
        }
        more = test_fail_allocation(-1) > n; /* was the n-th asked for? */
        /* The device may find the memory at a second try. */
        if (status != LODE_OK) assert_int_equal(status, LODE_ERR_NO_MEMORY);
        failures += status != LODE_OK;
        lode_tape_destroy(t);
        mixture_clear(&m);
        lode_device_empty_cache(lode_cpu_device());
        assert_int_equal(lode_memory_get_stats().n_blocks, before);
    }
    assert_true(failures > 20);
    mixture_close(&m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gradients),
        cmocka_unit_test(test_remat),
        cmocka_unit_test(test_ones),
        cmocka_unit_test(test_remat_memory),
        cmocka_unit_test(test_absent_gradients),
        cmocka_unit_test(test_drop_path),
        cmocka_unit_test(test_calibrate),
        cmocka_unit_test(test_calibrated_logits),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests_name("supernet/supernet_train", tests, NULL, NULL);
}
