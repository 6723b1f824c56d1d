/* test_predictor_file.c: predictors are the same bits from the same seed, and from their files;
   damaged files. labels: unit */
#include "core/parallel.h"
#include "core/platform.h"
#include "hwcost/made.h"
#include "tensor/tensor_io.h"

#include <math.h>

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
        made_open("nasbench201", 150, 1, &m);
        lode_set_threads(1);
        p = made_fit(&m, kind, 0);
        assert_ok(lode_predictor_predict(p, m.arch, 50, a));
        lode_set_threads(2);
        q = made_fit(&m, kind, 0);
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
        made_close(&m);
    }
    lode_set_threads(threads);
    test_remove_tree(dir);
    lode_free(path);
    lode_free(other);
    lode_free(dir);
}

static void damaged_files_say_what(void **state) {
    (void)state;
    made m = {0};
    char *dir = test_temp_dir(), *path = lode_path_join(dir, "p");
    void *bytes = NULL;
    size_t n = 0;
    made_open("nasbench-macro", 60, 0, &m);
    lode_predictor *p = made_fit(&m, "mlp", 0), *q = NULL;
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
    made_close(&m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_seed_same_bits_and_files_keep_them),
        cmocka_unit_test(damaged_files_say_what),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
