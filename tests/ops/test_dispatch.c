/* test_dispatch.c: who runs a call, options, texts and hashes of calls, the verbose log. */
#include "core/log.h"
#include "support/hand.h"
#include "support/walk.h"

static lode_dispatch *dispatch_of(const char *providers, bool deterministic) {
    lode_dispatch *d = NULL;
    lode_dispatch_options options = {.providers = providers, .deterministic = deterministic};
    assert_ok(lode_dispatch_create(&options, &d));
    return d;
}

static const lode_provider *provider(const char *name) {
    for (int i = 0; i < lode_n_providers(); i++)
        if (strcmp(lode_provider_at(i)->name, name) == 0) return lode_provider_at(i);
    return NULL;
}

static void test_providers_end_with_the_reference(void **state) {
    (void)state;
    int n = lode_n_providers();
    assert_string_equal(lode_provider_at(n - 1)->name, "reference");
    assert_string_equal(lode_provider_at(0)->name, "native");
    assert_null(lode_provider_at(n));
    for (int i = 0; i < n; i++) {
        char text[128] = "";
        if (lode_provider_at(i)->describe != NULL) lode_provider_at(i)->describe(text);
        assert_true(strlen(text) < sizeof text);
    }
}

static void test_options_restrict_and_order(void **state) {
    (void)state;
    walk_call w;
    assert_true(walk_make(&w, lode_op_find("conv2d"), LODE_F32, 2)); /* 1x1, dense */
    walk_outputs(&w, 0);
    lode_dispatch *reference = dispatch_of("reference", false);
    lode_dispatch *native = dispatch_of(" native , reference", false);
    lode_dispatch *safe = dispatch_of(NULL, true);
    assert_ptr_equal(lode_dispatch_choose(reference, &w.c), provider("reference"));
    assert_true(lode_dispatch_choose(safe, &w.c)->same_bits_any_threads);
    assert_ptr_not_equal(lode_dispatch_choose(native, &w.c), provider("onednn"));
    if (provider("onednn") != NULL) {
        lode_dispatch *one = dispatch_of("onednn", false);
        lode_dispatch *one_safe = dispatch_of("onednn", true);
        assert_ptr_equal(lode_dispatch_choose(one, &w.c), provider("onednn"));
        assert_ptr_equal(
            lode_dispatch_choose(one_safe, &w.c),
            provider(provider("onednn")->same_bits_any_threads ? "onednn" : "reference"));
        lode_dispatch_destroy(one);
        lode_dispatch_destroy(one_safe);
    }
    lode_dispatch_destroy(reference);
    lode_dispatch_destroy(native);
    lode_dispatch_destroy(safe);
    walk_free(&w);
}

static void test_unknown_provider(void **state) {
    (void)state;
    lode_dispatch *d = (lode_dispatch *)(void *)&d;
    lode_dispatch_options options = {.providers = "native,abacus"};
    assert_fails(lode_dispatch_create(&options, &d), LODE_ERR_INVALID,
                 "no provider 'abacus' in this build; there are: native, ");
    assert_null(d);
}

static void test_no_memory(void **state) {
    (void)state;
    lode_dispatch *d = NULL;
    for (int64_t n = 0; n < 2; n++) {
        test_fail_allocation(n);
        lode_status status = lode_dispatch_create(NULL, &d);
        test_fail_allocation(-1);
        if (status == LODE_OK) break;
        assert_int_equal(status, LODE_ERR_NO_MEMORY);
        assert_null(d);
    }
    lode_dispatch_destroy(d);
    lode_dispatch_destroy(NULL);
}

/* One that is in no table: the reference takes it. */
static lode_status halve_forward(const lode_op_call *c) {
    for (int64_t i = 0; i < lode_tensor_count(c->y); i++)
        lode_put(c->y, i, lode_at(c->x[0], i) / 2);
    return LODE_OK;
}

static lode_status halve_infer(const lode_op_call *c, lode_inferred *out) {
    out->shape = c->x[0]->shape;
    out->dtype = c->x[0]->dtype;
    return LODE_OK;
}

static const lode_op halve = {.name = "halve",
                              .n_inputs = 1,
                              .n_required = 1,
                              .infer = halve_infer,
                              .reference = {.forward = halve_forward}};

static void test_an_operator_from_outside_runs(void **state) {
    (void)state;
    lode_dispatch *d = dispatch_of(NULL, false);
    lode_tape *t = NULL;
    assert_ok(lode_tape_create(LODE_TRAIN, lode_dispatch_runner(d), &t));
    lode_var *x = hand_leaf(t, LODE_SHAPE1(3), (double[]){2, 4, 6});
    lode_var *y = lode_apply(t, &halve, &x, 1, NULL);
    hand_check(y->value, LODE_SHAPE1(3), 1, 2, 3);
    lode_dispatch_stats stats = lode_dispatch_get_stats(d);
    assert_int_equal(stats.n_forward, 1);
    assert_int_equal(stats.n_reference, 1);
    lode_tensor *dy = lode_tensor_retain(x->value);
    assert_fails(lode_backward_from(t, y, dy), LODE_ERR_UNSUPPORTED, "halve has no gradient");
    lode_tensor_release(dy);
    lode_tape_destroy(t);
    lode_dispatch_destroy(d);
}

/* The format is the key of saved cost tables: a change here is a change of every file. */
static void check_text(const char *op, const void *params, int n, const lode_shape *shape,
                       const lode_dtype *dtype, const char *want) {
    lode_tensor *x[4] = {NULL}, *y = NULL;
    lode_inferred in = {0};
    lode_op_call c = {.op = lode_op_find(op), .params = params, .x = x, .n_x = n};
    for (int i = 0; i < n; i++)
        if (shape[i].n_dims >= 0)
            assert_ok(lode_tensor_shapeless_storage(dtype[i], &shape[i], LODE_CONTIGUOUS, &x[i]));
    assert_ok(c.op->infer(&c, &in));
    assert_ok(lode_tensor_shapeless_storage(in.dtype, &in.shape, in.layout, &y));
    c.y = y;
    char *text = lode_call_text(&c);
    assert_string_equal(text, want);
    assert_int_equal(lode_call_hash(&c), lode_hash_text(want));
    lode_free(text);
    lode_tensor_release(y);
    for (int i = 0; i < n; i++) lode_tensor_release(x[i]);
}

static void test_call_texts(void **state) {
    (void)state;
    const lode_dtype f32[4] = {LODE_F32, LODE_F32, LODE_F32, LODE_F32};
    const lode_shape absent = {-1, {0}};
    const lode_conv2d_params same = lode_conv2d_same(3, 1, 1, 1);
    const lode_conv2d_params odd = {{2, 1}, {0, 3}, {1, 2}, 4, 0};
    check_text("conv2d", &same, 3,
               (lode_shape[]){LODE_SHAPE4(64, 16, 28, 28), LODE_SHAPE4(24, 16, 3, 3), absent}, f32,
               "conv2d s1 p1 d1 g1 [64,16,28,28] [24,16,3,3] f32");
    check_text("conv2d", &odd, 3,
               (lode_shape[]){LODE_SHAPE4(1, 4, 9, 9), LODE_SHAPE4(4, 1, 3, 3), LODE_SHAPE1(4)},
               f32, "conv2d s2x1 p0x3 d1x2 g4 [1,4,9,9] [4,1,3,3] [4] f32");
    check_text("embedding", NULL, 2, (lode_shape[]){LODE_SHAPE2(100, 16), LODE_SHAPE2(8, 4)},
               (lode_dtype[]){LODE_F64, LODE_S32}, "embedding [100,16] [8,4]:s32 f64");
    const lode_batch_norm_params bn = {1e-5, 0.1, 1, 1, 0, 0};
    check_text("batch_norm", &bn, 3, (lode_shape[]){LODE_SHAPE2(8, 4), absent, LODE_SHAPE1(4)}, f32,
               "batch_norm batch [8,4] - [4] f32");
    check_text("reduce_sum", &(lode_reduce_params){0, 0}, 1, (lode_shape[]){LODE_SHAPE1(3)}, f32,
               "reduce_sum dims 0x0 [3] f32");
}

/* Different parameters that cost differently may not share a text. */
static void test_examples_with_equal_texts_cost_the_same(void **state) {
    (void)state;
    for (int o = 0; o < lode_n_ops(); o++) {
        walk_call w[24];
        char *text[24];
        lode_op_count count[24];
        int n = 0;
        while (n < 24 && walk_make(&w[n], lode_op_at(o), LODE_F32, n)) n++;
        for (int i = 0; i < n; i++) {
            w[i].c.x = w[i].e.x;
            walk_outputs(&w[i], i);
            text[i] = lode_call_text(&w[i].c);
            w[i].c.op->count(&w[i].c, &count[i]);
            for (int j = 0; j < i; j++)
                if (strcmp(text[i], text[j]) == 0 &&
                    memcmp(&count[i], &count[j], sizeof count[i]) != 0)
                    fail_msg("two calls of different cost read \"%s\"", text[i]);
        }
        for (int i = 0; i < n; i++) {
            lode_free(text[i]);
            walk_free(&w[i]);
        }
    }
}

static void collect(void *self, lode_log_level level, const char *text) {
    (void)level;
    lode_text_add(self, "%s\n", text);
}

static void test_verbose_logs_each_call(void **state) {
    (void)state;
    lode_text log = {0};
    lode_dispatch *d = NULL;
    walk_call w;
    assert_ok(lode_dispatch_create(&(lode_dispatch_options){"reference", false, true}, &d));
    assert_true(walk_make(&w, lode_op_find("conv2d"), LODE_F32, 2));
    walk_outputs(&w, 0);
    lode_set_log(collect, &log, LODE_LOG_INFO);
    walk_forward(&w, lode_dispatch_runner(d));
    walk_backward(&w, lode_dispatch_runner(d));
    lode_set_log(NULL, NULL, LODE_LOG_NONE);
    assert_non_null(strstr(log.s, "forward  reference"));
    assert_non_null(strstr(log.s, "backward reference"));
    assert_non_null(strstr(log.s, "conv2d s1 p0 d1 g1 [1,16,4,4] [24,16,1,1] f32"));
    lode_text_deinit(&log);
    walk_free(&w);
    lode_dispatch_destroy(d);
}

/* The workspace grows to the largest wish and stays. */
static void test_workspace_is_reused(void **state) {
    (void)state;
    lode_dispatch *d = dispatch_of(NULL, false);
    size_t most = 0;
    walk_call w;
    for (int o = 0; o < lode_n_ops(); o++)
        for (int k = 0; k < 12 && walk_make(&w, lode_op_at(o), LODE_F32, k); k++) {
            walk_outputs(&w, k);
            walk_forward(&w, lode_dispatch_runner(d));
            assert_null(w.c.workspace);
            size_t now = lode_dispatch_get_stats(d).workspace_bytes;
            assert_true(now >= most);
            most = now;
            walk_free(&w);
        }
    lode_dispatch_destroy(d);
}

/* After dry calls it has the size of the largest at once. */
static void test_dry_calls_size_the_workspace(void **state) {
    (void)state;
    lode_dispatch *d = dispatch_of(NULL, false);
    const lode_runner *r = lode_dispatch_runner(d);
    size_t most = 0;
    walk_call w;
    for (int dry = 1; dry >= 0; dry--)
        for (int k = 0; k < 8 && walk_make(&w, &lode_op_mbconv, LODE_F32, k); k++) {
            walk_outputs(&w, k);
            w.c.dry = dry;
            assert_ok(r->forward(r->self, &w.c));
            if (w.c.workspace_bytes > most) most = w.c.workspace_bytes;
            assert_int_equal(lode_dispatch_get_stats(d).workspace_bytes, dry ? 0 : most);
            walk_free(&w);
        }
    assert_true(most > 0);
    lode_dispatch_destroy(d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_providers_end_with_the_reference),
        cmocka_unit_test(test_options_restrict_and_order),
        cmocka_unit_test(test_unknown_provider),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_an_operator_from_outside_runs),
        cmocka_unit_test(test_call_texts),
        cmocka_unit_test(test_examples_with_equal_texts_cost_the_same),
        cmocka_unit_test(test_verbose_logs_each_call),
        cmocka_unit_test(test_workspace_is_reused),
        cmocka_unit_test(test_dry_calls_size_the_workspace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
