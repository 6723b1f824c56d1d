/* test_recompute.c: the same bits with and without regions, and less memory; whole training steps
   under failing allocations. */
#include "support/support.h"
#include "tests/autograd/tiny_ops.h"

enum { N = 1024, VECTOR = N * (int)sizeof(float), N_LAYERS = 6 };

/* A net of N_LAYERS layers y = drop(tanh(w x)) + x, and how to run it. */
typedef struct net net;
typedef struct layer {
    net *of;
    lode_tensor *w, *dw, *runs; /* [n] [n] [1]: how often drop counted itself */
} layer;
struct net {
    layer layer[N_LAYERS];
    lode_tensor *x, *dx;
    bool regions;   /* each layer in a region */
    bool pairs;     /* two layers in a region around */
    int64_t n_runs; /* of a layer's body */
};

static lode_status net_init(net *m, int64_t n) {
    lode_rng r = lode_rng_stream(1, LODE_RNG_TEST, 0);
    lode_shape s = LODE_SHAPE(n), one = LODE_SHAPE(1);
    LODE_TRY(lode_tensor_create(NULL, LODE_F32, &s, LODE_CONTIGUOUS, &m->x));
    LODE_TRY(lode_tensor_fill_uniform(m->x, &r, -1, 1));
    for (int i = 0; i < N_LAYERS; i++) {
        layer *l = &m->layer[i];
        l->of = m;
        LODE_TRY(lode_tensor_create(NULL, LODE_F32, &s, LODE_CONTIGUOUS, &l->w));
        LODE_TRY(lode_tensor_fill_uniform(l->w, &r, -1, 1));
        LODE_TRY(lode_tensor_zeros(NULL, LODE_F32, &one, LODE_CONTIGUOUS, &l->runs));
    }
    return LODE_OK;
}
static void net_zero_grad(net *m) {
    lode_tensor_release(m->dx);
    m->dx = NULL;
    for (int i = 0; i < N_LAYERS; i++) {
        lode_tensor_release(m->layer[i].dw);
        m->layer[i].dw = NULL;
    }
}
static void net_deinit(net *m) {
    net_zero_grad(m);
    lode_tensor_release(m->x);
    for (int i = 0; i < N_LAYERS; i++) {
        lode_tensor_release(m->layer[i].w);
        lode_tensor_release(m->layer[i].runs);
    }
}

static lode_var *layer_body(lode_tape *t, void *ctx, lode_var *const *x, int n_x) {
    layer *l = ctx;
    assert_int_equal(n_x, 2);
    assert_null(x[1]);
    l->of->n_runs++;
    lode_scope s = lode_tape_enter(t, "layer");
    lode_var *h = t_tanh(t, t_mul(t, lode_tape_leaf(t, l->w, &l->dw), x[0]));
    h = t_drop(t, h, lode_tape_constant(t, l->runs), 0.3);
    return lode_tape_leave(t, s, t_add(t, h, x[0]));
}
static lode_var *run_layer(lode_tape *t, layer *l, lode_var *x) {
    lode_var *in[2] = {x, NULL};
    return l->of->regions ? lode_recompute(t, layer_body, l, in, 2) : layer_body(t, l, in, 2);
}
static lode_var *pair_body(lode_tape *t, void *ctx, lode_var *const *x, int n_x) {
    layer *l = ctx;
    (void)n_x;
    return run_layer(t, l + 1, run_layer(t, l, x[0]));
}

static lode_status net_step(net *m, lode_tape *t, uint64_t step, double *loss) {
    lode_tape_reset(t);
    lode_tape_set_step(t, 9, step);
    lode_scope s = lode_tape_enter(t, "net");
    lode_var *x = lode_tape_leaf(t, m->x, &m->dx);
    for (int i = 0; i < N_LAYERS; i += 2) {
        x = m->pairs ? lode_recompute(t, pair_body, &m->layer[i], &x, 1)
                     : pair_body(t, &m->layer[i], &x, 1);
        lode_tape_trim(t, &s, x);
    }
    lode_var *half = t_half(t, x, false);
    lode_var *y = lode_tape_leave(t, s, t_sum(t, t_mul(t, half, half)));
    LODE_TRY(lode_tape_status(t));
    *loss = lode_at(y->value, 0);
    return lode_tape_get_mode(t) == LODE_TRAIN ? lode_backward(t, y, 1) : LODE_OK;
}

static lode_tape *new_tape(lode_tape_mode mode) {
    lode_tape *t = NULL;
    assert_ok(lode_tape_create(mode, NULL, &t));
    return t;
}

/* ---- the same bits ---- */
static void test_same_bits(void **state) {
    (void)state;
    lode_tape *t = new_tape(LODE_TRAIN);
    net plain = {0};
    double want = 0, loss = 0;
    assert_ok(net_init(&plain, N));
    assert_ok(net_step(&plain, t, 4, &want));
    assert_int_equal(plain.n_runs, N_LAYERS);
    for (int way = 1; way < 4; way++) {
        net m = {.regions = (way & 1) != 0, .pairs = (way & 2) != 0};
        assert_ok(net_init(&m, N));
        assert_ok(net_step(&m, t, 4, &loss));
        assert_true(loss == want);
        assert_true(lode_tensor_equal_bits(m.dx, plain.dx));
        for (int i = 0; i < N_LAYERS; i++) {
            assert_true(lode_tensor_equal_bits(m.layer[i].dw, plain.layer[i].dw));
            assert_true(lode_at(m.layer[i].runs, 0) == 1); /* statistics are touched once */
        }
        /* a region runs twice, one within another three times */
        assert_int_equal(m.n_runs, N_LAYERS * (way == 3 ? 3 : 2));
        net_deinit(&m);
    }
    /* another step draws other numbers, so the equality above means something */
    net_zero_grad(&plain);
    assert_ok(net_step(&plain, t, 5, &loss));
    assert_true(loss != want);
    lode_tape_destroy(t);
    net_deinit(&plain);
}

static void test_eval_and_trace(void **state) {
    (void)state;
    for (int mode = LODE_EVAL; mode <= LODE_TRACE; mode++) {
        lode_tape *t = new_tape((lode_tape_mode)mode);
        net m = {.regions = true, .pairs = true};
        double loss = 0;
        assert_ok(net_init(&m, N));
        if (mode == LODE_EVAL) {
            assert_ok(net_step(&m, t, 4, &loss));
        } else {
            lode_tape_set_step(t, 9, 4);
            lode_var *x = lode_tape_leaf(t, m.x, NULL);
            assert_non_null(lode_recompute(t, pair_body, &m.layer[0], &x, 1));
            assert_int_equal(lode_trace_n(t), 8);
        }
        assert_int_equal(m.n_runs, mode == LODE_EVAL ? N_LAYERS : 2);
        lode_tape_destroy(t);
        net_deinit(&m);
    }
}

/* ---- sums of branches ---- */
enum { N_BRANCHES = 5 };

/* Branch 1 hands x through, branch 2 is absent, the others are layers. */
static lode_var *sum_branch(lode_tape *t, void *ctx, int k, lode_var *const *x, int n_x) {
    net *m = ctx;
    lode_var *in[2] = {x[0], NULL};
    (void)n_x;
    if (k == 1) return x[0];
    return k == 2 ? NULL : layer_body(t, &m->layer[k], in, 2);
}
static lode_var *sum_join(lode_tape *t, void *ctx, lode_var *const *o, lode_var *const *x,
                          int n_x) {
    lode_var *y = x[1];
    (void)ctx;
    (void)n_x;
    for (int k = 0; k < N_BRANCHES; k++)
        if (o[k] != NULL) y = t_add(t, y, o[k]);
    return y;
}
static const lode_branches sum_branches = {N_BRANCHES, sum_branch, sum_join};

static lode_var *sum_run(net *m, lode_tape *t, bool region, lode_tensor *zero) {
    lode_var *in[2] = {lode_tape_leaf(t, m->x, &m->dx), lode_tape_constant(t, zero)};
    lode_var *o[N_BRANCHES];
    if (region) return lode_recompute_sum(t, &sum_branches, m, in, 2);
    for (int k = 0; k < N_BRANCHES; k++) o[k] = sum_branch(t, m, k, in, 2);
    return sum_join(t, m, o, in, 2);
}

static void test_sum(void **state) {
    (void)state;
    lode_tape *t = new_tape(LODE_TRAIN);
    net m[2] = {{.regions = false}, {.regions = false}};
    lode_tensor *zero = NULL;
    lode_shape s = LODE_SHAPE(N);
    int64_t peak[2];
    assert_ok(lode_tensor_zeros(NULL, LODE_F32, &s, LODE_CONTIGUOUS, &zero));
    for (int i = 0; i < 2; i++) {
        assert_ok(net_init(&m[i], N));
        for (int again = 0; again < 2; again++) { /* the gradients are there the second time */
            lode_tape_reset(t);
            lode_tape_set_step(t, 9, 4);
            lode_device_reset_peak(lode_cpu_device());
            int64_t before = lode_device_get_stats(lode_cpu_device()).bytes_in_use;
            lode_var *y = sum_run(&m[i], t, i == 1, zero);
            assert_ok(lode_backward(t, t_sum(t, t_mul(t, y, y)), 1));
            peak[i] = lode_device_get_stats(lode_cpu_device()).peak_bytes - before;
        }
        /* forward and, with the region, one replay of each, twice */
        assert_int_equal(m[i].n_runs, 2 * 3 * (i + 1));
    }
    assert_true(lode_tensor_equal_bits(m[0].dx, m[1].dx));
    for (int k = 0; k < N_BRANCHES; k++) {
        assert_true((m[0].layer[k].dw == NULL) == (k == 1 || k == 2));
        if (m[0].layer[k].dw == NULL) continue;
        assert_true(lode_tensor_equal_bits(m[0].layer[k].dw, m[1].layer[k].dw));
        assert_true(lode_at(m[1].layer[k].runs, 0) == 2); /* once a step */
    }
    assert_true(peak[1] + 2 * VECTOR < peak[0]);
    lode_tape_reset(t);
    const lode_branches none = {0, sum_branch, sum_join};
    lode_var *x = lode_tape_leaf(t, m[0].x, NULL);
    assert_null(lode_recompute_sum(t, &none, &m[0], &x, 1));
    assert_fails(lode_tape_status(t), LODE_ERR_INVALID, "0 branches");
    assert_null(lode_tape_allocate(t, 16));
    lode_tape_destroy(t);
    lode_tensor_release(zero);
    for (int i = 0; i < 2; i++) net_deinit(&m[i]);
}

/* ---- less memory ---- */
/* Peak of a step above what is there before and after it; parameter gradients are there. */
static int64_t peak_of(net *m, lode_tape *t) {
    double loss = 0;
    lode_device *cpu = lode_cpu_device();
    assert_ok(net_step(m, t, 1, &loss));
    lode_tape_reset(t);
    int64_t before = lode_device_get_stats(cpu).bytes_in_use;
    lode_device_reset_peak(cpu);
    assert_ok(net_step(m, t, 1, &loss));
    int64_t peak = lode_device_get_stats(cpu).peak_bytes - before;
    lode_tape_reset(t);
    assert_int_equal(lode_device_get_stats(cpu).bytes_in_use, before);
    return peak;
}

static void test_memory(void **state) {
    (void)state;
    lode_tape *t = new_tape(LODE_TRAIN);
    net m = {0};
    assert_ok(net_init(&m, N));
    int64_t plain = peak_of(&m, t);
    m.regions = true;
    int64_t regions = peak_of(&m, t);
    m.pairs = true;
    int64_t nested = peak_of(&m, t);
    /* Kept per layer: its input, tanh's y and the mask; with regions the input alone; with pairs
       around them every second input. On top comes what one layer needs while it runs. */
    const int64_t mask = N, one_layer = 5 * VECTOR + mask;
    assert_in_range(plain, N_LAYERS * (2 * VECTOR + mask),
                    N_LAYERS * (2 * VECTOR + mask) + one_layer);
    assert_in_range(regions, N_LAYERS * VECTOR, N_LAYERS * VECTOR + one_layer);
    assert_in_range(nested, N_LAYERS / 2 * VECTOR, (N_LAYERS / 2 + 1) * VECTOR + one_layer);
    lode_tape_destroy(t);
    net_deinit(&m);
}

/* The third step asks the system for nothing, in any manner of running. */
static void test_steady(void **state) {
    (void)state;
    for (int way = 0; way < 4; way++) {
        lode_tape *t = new_tape(LODE_TRAIN);
        net m = {.regions = (way & 1) != 0, .pairs = (way & 2) != 0};
        double loss = 0;
        assert_ok(net_init(&m, N));
        int64_t asked = 0, blocks = 0;
        for (uint64_t step = 0; step < 6; step++) {
            net_zero_grad(&m);
            assert_ok(net_step(&m, t, step, &loss));
            lode_device_stats s = lode_device_get_stats(lode_cpu_device());
            if (step == 2) {
                asked = s.n_system_allocations;
                blocks = lode_memory_get_stats().n_blocks;
            }
            if (step > 2) {
                assert_int_equal(s.n_system_allocations, asked);
                assert_int_equal(lode_memory_get_stats().n_blocks, blocks);
            }
        }
        lode_tape_destroy(t);
        net_deinit(&m);
    }
}

/* ---- no memory ---- */
static lode_status whole_life(int way) {
    net m = {.regions = (way & 1) != 0, .pairs = (way & 2) != 0};
    lode_tape *t = NULL;
    double loss = 0;
    lode_status status = net_init(&m, 16);
    if (status == LODE_OK)
        status = lode_tape_create(way < 4    ? LODE_TRAIN
                                  : way == 4 ? LODE_EVAL
                                             : LODE_TRACE,
                                  NULL, &t);
    for (uint64_t step = 0; step < 2 && way < 5 && status == LODE_OK; step++)
        status = net_step(&m, t, step, &loss);
    if (way == 5 && status == LODE_OK) {
        lode_var *x = lode_tape_leaf(t, m.x, NULL);
        lode_recompute(t, pair_body, &m.layer[0], &x, 1);
        status = lode_tape_status(t);
    }
    lode_tape_destroy(t);
    net_deinit(&m);
    return status;
}

/* Every single allocation of two training steps fails once: a status, or the device's cache gave
   way and all went well; never a leak. */
static void test_no_memory(void **state) {
    (void)state;
    for (int way = 0; way < 6; way++) {
        assert_ok(whole_life(way));        /* the classes of the device have their stacks */
        int64_t n_asked = 1, n_failed = 0; /* asked: n + 1 as long as the n-th was reached */
        for (int64_t n = 0; n_asked >= n; n++) {
            lode_device_empty_cache(lode_cpu_device());
            lode_memory_stats before = lode_memory_get_stats();
            test_fail_allocation(n);
            lode_status status = whole_life(way);
            n_asked = test_fail_allocation(-1);
            if (status != LODE_OK) {
                n_failed++;
                assert_int_equal(status, LODE_ERR_NO_MEMORY);
                assert_non_null(strstr(lode_last_error(), "memory"));
            }
            lode_device_empty_cache(lode_cpu_device());
            assert_int_equal(lode_memory_get_stats().n_blocks, before.n_blocks);
        }
        assert_true(n_failed > 45); /* the parameters alone are 39 */
    }
}

/* ---- odd regions ---- */
static lode_var *same_body(lode_tape *t, void *ctx, lode_var *const *x, int n_x) {
    (void)t;
    (void)ctx;
    (void)n_x;
    return x[0];
}
static lode_var *leaf_body(lode_tape *t, void *ctx, lode_var *const *x, int n_x) {
    layer *l = ctx;
    (void)x;
    (void)n_x;
    return lode_tape_leaf(t, l->w, &l->dw);
}
static lode_var *constant_body(lode_tape *t, void *ctx, lode_var *const *x, int n_x) {
    (void)ctx;
    (void)n_x;
    return t_tanh(t, lode_detach(t, x[0]));
}
static lode_var *twice_body(lode_tape *t, void *ctx, lode_var *const *x, int n_x) {
    (void)ctx;
    return n_x == 2 ? t_mul(t, x[0], x[1]) : NULL;
}
static lode_var *view_body(lode_tape *t, void *ctx, lode_var *const *x, int n_x) {
    (void)ctx;
    (void)n_x;
    return t_half(t, x[0], false);
}

static void test_odd_regions(void **state) {
    (void)state;
    lode_tape *t = new_tape(LODE_TRAIN);
    net m = {0};
    assert_ok(net_init(&m, 8));
    lode_var *x = lode_tape_leaf(t, m.x, &m.dx);
    assert_ptr_equal(lode_recompute(t, same_body, NULL, &x, 1), x);
    lode_var *w = lode_recompute(t, leaf_body, &m.layer[0], &x, 1);
    lode_var *c = lode_recompute(t, constant_body, NULL, &x, 1);
    assert_false(c->requires_grad);
    lode_var *square = lode_recompute(t, twice_body, NULL, (lode_var *[]){x, x}, 2);
    lode_var *y = t_sum(t, t_mul(t, t_add(t, square, w), c));
    lode_var *v = t_sum(t, lode_recompute(t, view_body, NULL, &square, 1));
    assert_ok(lode_backward(t, t_add(t, y, v), 1));
    for (int i = 0; i < 8; i++) {
        double a = lode_at(m.x, i);
        assert_near(lode_at(m.dx, i), 2 * a * tanh(a) + (i < 4 ? 2 * a : 0), 1e-6);
        assert_near(lode_at(m.layer[0].dw, i), tanh(a), 1e-6);
    }
    lode_tape_destroy(t);
    net_deinit(&m);
}

/* The gradient of a region's result can be kept, as any other. */
static void test_retain(void **state) {
    (void)state;
    lode_tape *t = new_tape(LODE_TRAIN);
    net m = {.regions = true};
    assert_ok(net_init(&m, 8));
    lode_var *x = lode_tape_leaf(t, m.x, &m.dx), *h = run_layer(t, &m.layer[0], x);
    lode_retain_grad(h);
    lode_tensor *taken = lode_take_value(h);
    assert_ok(lode_backward(t, t_sum(t, t_mul(t, h, h)), 1));
    for (int i = 0; i < 8; i++) assert_near(lode_at(h->grad, i), 2 * lode_at(taken, i), 1e-6);
    lode_tape_destroy(t);
    lode_tensor_release(taken);
    net_deinit(&m);
}

/* ---- refusals ---- */
static int impure_runs;
static lode_var *impure_body(lode_tape *t, void *ctx, lode_var *const *x, int n_x) {
    (void)n_x;
    impure_runs++;
    int way = *(int *)ctx;
    if (way == 0) return NULL;
    if (impure_runs == 1) return t_tanh(t, x[0]);
    if (way == 1) return t_sum(t, x[0]);     /* another shape */
    if (way == 2) return x[0];               /* not made inside */
    if (way == 3) return t_half(t, NULL, 0); /* fails */
    lode_tape_enter(t, "deep");
    return t_mul(t, x[0], lode_tape_constant(t, NULL));
}

static void test_refusals(void **state) {
    (void)state;
    const char *words[] = {"the region has no result", "another result the second time",
                           "another result the second time", "input 0 is NULL", "no tensor"};
    for (int way = 0; way < 5; way++) {
        lode_device_empty_cache(lode_cpu_device());
        lode_memory_stats before = lode_memory_get_stats();
        lode_tape *t = new_tape(LODE_TRAIN);
        net m = {0};
        assert_ok(net_init(&m, 8));
        impure_runs = 0;
        lode_var *x = lode_tape_leaf(t, m.x, &m.dx);
        lode_var *y = lode_recompute(t, impure_body, &way, &x, 1);
        if (way == 0) {
            assert_null(y);
            assert_fails(lode_tape_status(t), LODE_ERR_INVALID, words[way]);
        } else {
            assert_fails(lode_backward(t, t_sum(t, t_tanh(t, y)), 1), LODE_ERR_INVALID, words[way]);
            assert_fails(lode_tape_status(t), LODE_ERR_INVALID, words[way]);
        }
        assert_string_equal(lode_tape_label(t), "");
        lode_tape_destroy(t);
        net_deinit(&m);
        lode_device_empty_cache(lode_cpu_device());
        assert_int_equal(lode_memory_get_stats().n_blocks, before.n_blocks);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_bits),   cmocka_unit_test(test_eval_and_trace),
        cmocka_unit_test(test_sum),         cmocka_unit_test(test_memory),
        cmocka_unit_test(test_steady),      cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_odd_regions), cmocka_unit_test(test_retain),
        cmocka_unit_test(test_refusals)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
