/* The plug-in table, the checks every dataset is behind, and the synthetic one. */
#include "data/dataset.h"
#include "support/support.h"

#include <math.h>

static void plugins_are_alphabetical_and_complete(void **state) {
    (void)state;
    int n;
    const lode_dataset_plugin *const *p = lode_dataset_plugins(&n);
    assert_int_equal(n, 4);
    for (int i = 0; i < n; i++) {
        const lode_dataset_plugin *found;
        if (i > 0) assert_true(strcmp(p[i - 1]->name, p[i]->name) < 0);
        assert_ok(lode_dataset_find(p[i]->name, &found));
        assert_ptr_equal(found, p[i]);
        assert_non_null(p[i]->help);
        assert_true((p[i]->options != NULL) == (p[i]->options_size > 0));
    }
}

static void unknown_names_get_a_hint(void **state) {
    (void)state;
    const lode_dataset_plugin *p;
    lode_dataset *d;
    assert_fails(lode_dataset_find("cifer", &p), LODE_ERR_NOT_FOUND, "did you mean `cifar`?");
    assert_fails(lode_dataset_find("?", &p), LODE_ERR_NOT_FOUND, "cifar, folder, idx, synthetic");
    assert_fails(lode_dataset_open("fodler", NULL, &d), LODE_ERR_NOT_FOUND, "folder");
    assert_null(d);
}

static void part_names(void **state) {
    (void)state;
    assert_string_equal(lode_part_name(LODE_PART_TRAIN), "train");
    assert_string_equal(lode_part_name(LODE_PART_VALID), "valid");
    assert_string_equal(lode_part_name(LODE_PART_TEST), "test");
}

static void scratch_grows_and_stays(void **state) {
    (void)state;
    lode_scratch s = {0};
    assert_ok(lode_scratch_reserve(&s, 100));
    assert_int_equal((uintptr_t)s.bytes % 64, 0);
    uint8_t *before = s.bytes;
    assert_ok(lode_scratch_reserve(&s, 50));
    assert_ptr_equal(s.bytes, before);
    assert_ok(lode_scratch_reserve(&s, 1000));
    assert_true(s.capacity >= 1000);
    test_fail_allocation(0);
    assert_int_equal(lode_scratch_reserve(&s, 2000), LODE_ERR_NO_MEMORY);
    test_fail_allocation(-1);
    assert_true(s.capacity >= 1000);
    lode_scratch_deinit(&s);
    assert_null(s.bytes);
}

static void synthetic_has_what_was_asked(void **state) {
    (void)state;
    lode_dataset *d;
    lode_scratch s = {0};
    lode_dataset_request r = {.n_classes = 7, .size = 12, .channels = 1, .seed = 3};
    assert_ok(lode_dataset_open("synthetic", &r, &d));
    const lode_dataset_info *info = lode_dataset_get_info(d);
    assert_string_equal(lode_dataset_name(d), "synthetic");
    assert_int_equal(info->n_classes, 7);
    assert_int_equal(info->height, 12);
    assert_int_equal(info->width, 12);
    assert_int_equal(info->channels, 1);
    assert_int_equal(lode_dataset_n_samples(d, LODE_PART_TRAIN), 1024);
    assert_int_equal(lode_dataset_n_samples(d, LODE_PART_VALID), 0);
    assert_int_equal(lode_dataset_n_samples(d, LODE_PART_TEST), 256);
    for (int64_t i = 0; i < 30; i++) {
        lode_sample x;
        assert_ok(lode_dataset_get(d, LODE_PART_TRAIN, i, &s, &x));
        assert_int_equal(x.label, i % 7);
        assert_int_equal(x.label, lode_dataset_label(d, LODE_PART_TRAIN, i));
        assert_int_equal(x.height, 12);
        assert_int_equal(x.channels, 1);
    }
    lode_scratch_deinit(&s);
    lode_dataset_close(d);
}

static void samples_out_of_range_are_refused(void **state) {
    (void)state;
    lode_dataset *d;
    lode_scratch s = {0};
    lode_sample x;
    assert_ok(lode_dataset_open("synthetic", NULL, &d));
    assert_fails(lode_dataset_get(d, LODE_PART_TEST, 256, &s, &x), LODE_ERR_INVALID,
                 "sample 256 of part test");
    assert_fails(lode_dataset_get(d, LODE_PART_TRAIN, -1, &s, &x), LODE_ERR_INVALID, "sample -1");
    assert_fails(lode_dataset_get(d, LODE_PART_VALID, 0, &s, &x), LODE_ERR_INVALID, "which has 0");
    lode_dataset_close(d);
}

/* Same bytes whenever and in whichever order it is read; other bytes for another seed or part. */
static void synthetic_is_a_function_of_seed_part_and_index(void **state) {
    (void)state;
    enum { N = 16 * 16 * 3 };
    lode_dataset *a, *b, *c;
    lode_scratch s = {0}, t = {0};
    lode_dataset_request r = {.seed = 5}, other = {.seed = 6};
    assert_ok(lode_dataset_open("synthetic", &r, &a));
    assert_ok(lode_dataset_open("synthetic", &r, &b));
    assert_ok(lode_dataset_open("synthetic", &other, &c));
    for (int64_t i = 40; i >= 0; i -= 8) {
        lode_sample x, y;
        assert_ok(lode_dataset_get(a, LODE_PART_TRAIN, i, &s, &x));
        assert_ok(lode_dataset_get(b, LODE_PART_TRAIN, i, &t, &y));
        assert_memory_equal(x.pixels, y.pixels, N);
        assert_ok(lode_dataset_get(b, LODE_PART_TEST, i, &t, &y));
        assert_memory_not_equal(x.pixels, y.pixels, N);
        assert_ok(lode_dataset_get(c, LODE_PART_TRAIN, i, &t, &y));
        assert_memory_not_equal(x.pixels, y.pixels, N);
    }
    lode_scratch_deinit(&s);
    lode_scratch_deinit(&t);
    lode_dataset_close(a);
    lode_dataset_close(b);
    lode_dataset_close(c);
}

/* The amplitude of an image's plane waves: what no shift changes, and so what tells the classes. */
static void spectrum(const lode_sample *x, double out[25]) {
    for (int fy = 0; fy < 5; fy++)
        for (int fx = 0; fx < 5; fx++) {
            double re = 0, im = 0;
            for (int i = 0; i < x->height * x->width; i++) {
                double turn =
                    6.283185307179586 * (fy * (i / x->width) + fx * (i % x->width)) / x->width;
                re += x->pixels[i * x->channels] * cos(turn);
                im += x->pixels[i * x->channels] * sin(turn);
            }
            out[fy * 5 + fx] = fx + fy == 0 ? 0 : sqrt(re * re + im * im);
        }
}

/* One example a class is enough for a nearest-neighbour rule that ignores shifts. */
static void synthetic_can_be_learnt(void **state) {
    (void)state;
    enum { CLASSES = 10 };
    lode_dataset *d;
    lode_scratch s = {0};
    double known[CLASSES][25];
    int right = 0;
    assert_ok(lode_dataset_open("synthetic", NULL, &d));
    for (int64_t i = 0; i < CLASSES + 100; i++) {
        lode_sample x;
        double f[25];
        assert_ok(lode_dataset_get(d, LODE_PART_TRAIN, i, &s, &x));
        spectrum(&x, f);
        if (i < CLASSES) {
            memcpy(known[i], f, sizeof f);
            continue;
        }
        int best = 0;
        double least = INFINITY;
        for (int c = 0; c < CLASSES; c++) {
            double distance = 0;
            for (int k = 0; k < 25; k++) distance += pow(f[k] - known[c][k], 2);
            if (distance < least) {
                least = distance;
                best = c;
            }
        }
        right += best == x.label;
    }
    if (right < 80) fail_msg("%d of 100 right", right);
    lode_scratch_deinit(&s);
    lode_dataset_close(d);
}

static void measured_moments_are_the_announced_ones(void **state) {
    (void)state;
    lode_dataset *d;
    double mean[LODE_MAX_CHANNELS], std[LODE_MAX_CHANNELS];
    assert_ok(lode_dataset_open("synthetic", NULL, &d));
    assert_ok(lode_dataset_measure(d, LODE_PART_TRAIN, 0, mean, std));
    const lode_dataset_info *info = lode_dataset_get_info(d);
    for (int c = 0; c < 3; c++) {
        assert_near(mean[c], info->mean[c], 0.02);
        assert_near(std[c], info->std[c], 0.05);
    }
    assert_fails(lode_dataset_measure(d, LODE_PART_VALID, 0, mean, std), LODE_ERR_INVALID,
                 "part valid");
    lode_dataset_close(d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plugins_are_alphabetical_and_complete),
        cmocka_unit_test(unknown_names_get_a_hint),
        cmocka_unit_test(part_names),
        cmocka_unit_test(scratch_grows_and_stays),
        cmocka_unit_test(synthetic_has_what_was_asked),
        cmocka_unit_test(samples_out_of_range_are_refused),
        cmocka_unit_test(synthetic_is_a_function_of_seed_part_and_index),
        cmocka_unit_test(synthetic_can_be_learnt),
        cmocka_unit_test(measured_moments_are_the_announced_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
