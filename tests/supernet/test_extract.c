/* test_extract.c: a network carved out of a supernet is the supernet on that path, bit for bit, in
   memory and from disk. */
#include "core/parallel.h"
#include "core/platform.h"
#include "supernet/tiny.h"

static void check_extracted(lode_supernet *net, lode_space *s, const lode_runner *runner,
                            const char *dir, int n, int64_t batch) {
    lode_tensor *x = tiny_input(s, LODE_F32, batch, 0);
    lode_rng rng = lode_rng_stream(5, LODE_RNG_TEST, 0);
    for (int i = 0; i < n; i++) {
        lode_arch a, b;
        lode_supernet *sub, *loaded;
        assert_ok(lode_space_sample(s, &rng, &a));
        assert_ok(lode_supernet_extract(net, &a, &sub));
        assert_true(lode_supernet_is_fixed(sub, &b) && lode_arch_equal(&a, &b));
        assert_ok(lode_subnet_save(sub, dir));
        assert_ok(lode_subnet_load(dir, &loaded));
        assert_true(lode_supernet_is_fixed(loaded, &b) && lode_arch_equal(&a, &b));
        lode_tensor *want = tiny_logits(runner, net, &a, x, LODE_BN_RUNNING);
        lode_tensor *got = tiny_logits(runner, sub, NULL, x, LODE_BN_RUNNING);
        lode_tensor *read = tiny_logits(runner, loaded, NULL, x, LODE_BN_RUNNING);
        assert_true(lode_tensor_equal_bits(want, got));
        assert_true(lode_tensor_equal_bits(want, read));
        int64_t on_path, all;
        assert_ok(lode_supernet_count_parameters(net, &a, &on_path));
        assert_ok(lode_supernet_count_parameters(sub, NULL, &all));
        assert_int_equal(on_path, all);
        lode_tensor_release(want);
        lode_tensor_release(got);
        lode_tensor_release(read);
        lode_supernet_destroy(sub);
        lode_supernet_destroy(loaded);
    }
    lode_tensor_release(x);
}

static void test_extract(void **state) {
    (void)state;
    const char *texts[] = {TINY_CHAIN,   TINY_CELLS, TINY_WIDTHS,
                           TINY_KERNELS, TINY_SIDES, TINY_HIDDEN};
    char *dir = test_temp_dir();
    lode_dispatch *d;
    assert_ok(lode_dispatch_create(NULL, &d));
    for (int i = 0; i < 6; i++) {
        lode_supernet *net;
        lode_space *s = tiny_space(texts[i]);
        assert_ok(lode_supernet_create(s, NULL, LODE_F32, 3, &net));
        tiny_disturb(net);
        check_extracted(net, s, lode_dispatch_runner(d), dir, i < 2 ? 12 : 30, 3);
        lode_supernet_destroy(net);
        lode_space_release(s);
    }
    const char *shipped[] = {"fbnet-fashion", "nasbench-macro", "nasbench201",
                             "darts",         "fbnetv2-cifar",  "single-path-cifar"};
    for (int i = 0; i < 6; i++) {
        lode_space *s;
        lode_supernet *net;
        lode_space_options options = {.name = shipped[i]};
        assert_ok(lode_space_load(&options, &s));
        assert_ok(lode_supernet_create(s, NULL, LODE_F32, 3, &net));
        tiny_disturb(net);
        check_extracted(net, s, lode_dispatch_runner(d), dir, 2, 1);
        lode_supernet_destroy(net);
        lode_space_release(s);
    }
    lode_dispatch_destroy(d);
    test_remove_tree(dir);
    lode_free(dir);
}

/* A fixed network's fresh weights are the supernet's of the same seed; another seed's are not. */
static void test_fresh_weights(void **state) {
    (void)state;
    lode_space *s = tiny_space(TINY_CHAIN);
    lode_supernet *net, *fixed, *other;
    lode_arch a;
    assert_ok(lode_arch_parse(s, "b,skip,a", &a));
    assert_ok(lode_supernet_create(s, NULL, LODE_F32, 3, &net));
    assert_ok(lode_supernet_create(s, &a, LODE_F32, 3, &fixed));
    assert_ok(lode_supernet_create(s, &a, LODE_F32, 4, &other));
    assert_true(lode_supernet_n_parameters(fixed) < lode_supernet_n_parameters(net));
    assert_int_equal(lode_supernet_seed(other), 4);
    for (int i = 0; i < lode_supernet_n_parameters(fixed); i++) {
        lode_parameter *p = lode_supernet_parameter(fixed, i);
        lode_parameter *q = lode_supernet_find(net, p->name);
        lode_parameter *r = lode_supernet_find(other, p->name);
        assert_true(q != NULL && r != NULL && q->kind == p->kind);
        assert_true(lode_tensor_equal_bits(p->value, q->value));
        if (p->kind == LODE_PARAM_WEIGHT) assert_false(lode_tensor_equal_bits(p->value, r->value));
    }
    assert_non_null(lode_supernet_find(net, "layer1.b.expand.weight"));
    assert_non_null(lode_supernet_find(net, "layer1.b.expand.bn.gamma"));
    assert_null(lode_supernet_find(fixed, "layer1.a.expand.weight"));
    assert_null(lode_supernet_find(net, "layer1.skip.conv.weight"));
    assert_non_null(lode_supernet_find(net, "layer2.skip.conv.weight"));
    lode_supernet_destroy(net);
    lode_supernet_destroy(fixed);
    lode_supernet_destroy(other);
    lode_space_release(s);
}

static void test_files(void **state) {
    (void)state;
    char *dir = test_temp_dir();
    char *path = lode_path_join(dir, "net.safetensors");
    char *arch = lode_path_join(dir, "arch.json");
    lode_space *s = tiny_space(TINY_CHAIN);
    lode_supernet *net, *again, *fixed, *wider;
    lode_arch a;
    assert_ok(lode_arch_parse(s, "0,1,2", &a));
    assert_ok(lode_supernet_create(s, NULL, LODE_F32, 3, &net));
    assert_ok(lode_supernet_create(s, NULL, LODE_F32, 4, &again));
    assert_ok(lode_supernet_create(s, &a, LODE_F32, 5, &fixed));
    assert_ok(lode_supernet_save(net, path));
    assert_ok(lode_supernet_load(again, path));
    for (int i = 0; i < lode_supernet_n_parameters(net); i++)
        assert_true(lode_tensor_equal_bits(lode_supernet_parameter(net, i)->value,
                                           lode_supernet_parameter(again, i)->value));
    assert_ok(lode_supernet_load(fixed, path)); /* a part of the file */
    assert_ok(lode_supernet_save(fixed, path));
    assert_fails(lode_supernet_load(net, path), LODE_ERR_NOT_FOUND, "layer1.b.expand.weight");
    assert_fails(lode_subnet_save(net, dir), LODE_ERR_INVALID, "extract an architecture");
    lode_space_options options = {.width = 8};
    lode_space *wide;
    assert_ok(lode_space_parse(TINY_CHAIN, "wide", &options, &wide));
    assert_ok(lode_supernet_create(wide, &a, LODE_F32, 5, &wider));
    assert_fails(lode_supernet_load(wider, path), LODE_ERR_SHAPE, "stem.conv.weight");
    assert_ok(lode_subnet_save(wider, dir)); /* options travel with the subnet */
    lode_supernet *loaded;
    assert_ok(lode_subnet_load(dir, &loaded));
    assert_true(lode_space_resolved(lode_supernet_space(loaded)).width == 8);
    lode_supernet_destroy(loaded);
    assert_ok(lode_file_write_atomic(arch, "{\"space\": \"x\"}", 14));
    assert_fails(lode_subnet_load(dir, &loaded), LODE_ERR_DATA, "space_text");
    assert_fails(lode_subnet_load("/nowhere", &loaded), LODE_ERR_IO, "/nowhere/arch.json");
    assert_null(loaded);
    lode_supernet_destroy(net);
    lode_supernet_destroy(again);
    lode_supernet_destroy(fixed);
    lode_supernet_destroy(wider);
    lode_space_release(wide);
    lode_space_release(s);
    lode_free(arch);
    lode_free(path);
    test_remove_tree(dir);
    lode_free(dir);
}

/* Small maps: more threads would only wait for each other. */
int main(void) {
    lode_set_threads(1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_extract),
        cmocka_unit_test(test_fresh_weights),
        cmocka_unit_test(test_files),
    };
    return cmocka_run_group_tests_name("supernet/extract", tests, NULL, NULL);
}
