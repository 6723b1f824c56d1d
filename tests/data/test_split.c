/* Splits: every sample in one list, drawn by the seed, with the classes in proportion when asked.
 */
#include "data/split.h"
#include "support/support.h"

static lode_dataset *make(int n_classes) {
    lode_dataset *d;
    lode_dataset_request r = {.n_classes = n_classes, .size = 2};
    assert_ok(lode_dataset_open("synthetic", &r, &d)); /* 1024 train, 256 test */
    return d;
}

/* How often each train sample occurs in train, valid and arch. */
static void count_samples(const lode_splits *s, int count[1024]) {
    memset(count, 0, 1024 * sizeof *count);
    for (int k = 0; k < 3; k++)
        for (int64_t i = 0; i < s->split[k].n; i++) {
            assert_in_range(s->split[k].index[i], 0, 1023);
            if (i > 0) assert_true(s->split[k].index[i] > s->split[k].index[i - 1]);
            count[s->split[k].index[i]]++;
        }
}

static void nothing_asked_is_everything(void **state) {
    (void)state;
    lode_dataset *d = make(10);
    lode_splits s;
    lode_split_options o = {.seed = 1};
    const lode_data_split *found;
    assert_ok(lode_splits_init(d, &o, &s));
    assert_int_equal(s.split[0].n, 1024);
    for (int64_t i = 0; i < 1024; i++) assert_int_equal(s.split[0].index[i], i);
    assert_int_equal(s.split[3].n, 256);
    assert_ok(lode_splits_find(&s, "test", &found));
    assert_ptr_equal(found, &s.split[3]);
    assert_int_equal(found->part, LODE_PART_TEST);
    assert_fails(lode_splits_find(&s, "valid", &found), LODE_ERR_CONFIG, "data.valid");
    assert_fails(lode_splits_find(&s, "arch", &found), LODE_ERR_CONFIG, "data.arch_split");
    assert_fails(lode_splits_find(&s, "tset", &found), LODE_ERR_NOT_FOUND, "no split is called");
    assert_null(found);
    lode_splits_deinit(&s);
    lode_splits_deinit(&s); /* twice is fine */
    lode_dataset_close(d);
}

static void shares_and_counts_are_cut(void **state) {
    (void)state;
    lode_dataset *d = make(10);
    lode_splits s;
    int count[1024];
    lode_split_options o = {.valid = 124, .arch = 0.2, .seed = 1};
    assert_ok(lode_splits_init(d, &o, &s));
    assert_int_equal(s.split[1].n, 124);
    assert_int_equal(s.split[2].n, 180); /* of 900 */
    assert_int_equal(s.split[0].n, 720);
    count_samples(&s, count);
    for (int i = 0; i < 1024; i++) assert_int_equal(count[i], 1);
    assert_int_equal(s.split[1].part, LODE_PART_TRAIN);
    lode_splits_deinit(&s);
    lode_dataset_close(d);
}

static void a_limit_takes_a_random_part(void **state) {
    (void)state;
    lode_dataset *d = make(10);
    lode_splits s;
    int count[1024], n = 0, upper = 0;
    lode_split_options o = {.valid = 0.5, .limit = 200, .limit_test = 50, .seed = 1};
    assert_ok(lode_splits_init(d, &o, &s));
    assert_int_equal(s.split[0].n, 100);
    assert_int_equal(s.split[1].n, 100);
    assert_int_equal(s.split[3].n, 50);
    count_samples(&s, count);
    for (int i = 0; i < 1024; i++) {
        n += count[i];
        upper += i >= 512 ? count[i] : 0;
    }
    assert_int_equal(n, 200);
    assert_in_range(upper, 70, 130);
    lode_splits_deinit(&s);
    o = (lode_split_options){.limit = 5000, .limit_test = 5000};
    assert_ok(lode_splits_init(d, &o, &s));
    assert_int_equal(s.split[0].n, 1024);
    assert_int_equal(s.split[3].n, 256);
    lode_splits_deinit(&s);
    lode_dataset_close(d);
}

static void the_seed_decides(void **state) {
    (void)state;
    lode_dataset *d = make(10);
    lode_splits a, b, c;
    lode_split_options o = {.valid = 0.25, .seed = 7}, other = {.valid = 0.25, .seed = 8};
    assert_ok(lode_splits_init(d, &o, &a));
    assert_ok(lode_splits_init(d, &o, &b));
    assert_ok(lode_splits_init(d, &other, &c));
    assert_memory_equal(a.split[1].index, b.split[1].index, 256 * sizeof(int64_t));
    assert_memory_not_equal(a.split[1].index, c.split[1].index, 256 * sizeof(int64_t));
    lode_splits_deinit(&a);
    lode_splits_deinit(&b);
    lode_splits_deinit(&c);
    lode_dataset_close(d);
}

/* 1024 samples of 10 classes: 102 or 103 each. A tenth of them: 10 or 11 each, in any list. */
static void stratified_lists_have_all_classes(void **state) {
    (void)state;
    lode_dataset *d = make(10);
    lode_splits s;
    lode_split_options o = {.valid = 102, .arch = 102, .limit_test = 30, .stratified = true};
    assert_ok(lode_splits_init(d, &o, &s));
    for (int k = 0; k < LODE_N_SPLITS; k++) {
        int count[10] = {0};
        const lode_data_split *p = &s.split[k];
        for (int64_t i = 0; i < p->n; i++) count[lode_dataset_label(d, p->part, p->index[i])]++;
        for (int c = 0; c < 10; c++) assert_in_range(count[c], p->n / 10 - 1, p->n / 10 + 2);
    }
    assert_int_not_equal(s.split[1].index[101], 101); /* still a random choice */
    lode_splits_deinit(&s);
    lode_dataset_close(d);
}

static void a_dataset_may_bring_its_own_valid_part(void **state) {
    (void)state;
    const lode_dataset_plugin *plugin;
    lode_dataset *d;
    lode_splits s;
    assert_ok(lode_dataset_find("synthetic", &plugin));
    void *options = lode_calloc(1, plugin->options_size);
    assert_non_null(options);
    assert_ok(lode_options_default(plugin->options, options));
    assert_ok(lode_options_assign(plugin->options, "valid", "60", options));
    lode_dataset_request r = {.options = options};
    lode_split_options own = {0}, cut = {.valid = 100};
    assert_ok(lode_dataset_open("synthetic", &r, &d));
    assert_ok(lode_splits_init(d, &own, &s));
    assert_int_equal(s.split[1].part, LODE_PART_VALID);
    assert_int_equal(s.split[1].n, 60);
    assert_int_equal(s.split[0].n, 1024);
    lode_splits_deinit(&s);
    assert_ok(lode_splits_init(d, &cut, &s));
    assert_int_equal(s.split[1].part, LODE_PART_TRAIN);
    assert_int_equal(s.split[1].n, 100);
    lode_splits_deinit(&s);
    lode_dataset_close(d);
    lode_free(options);
}

static void cuts_must_leave_something(void **state) {
    (void)state;
    lode_dataset *d = make(10);
    lode_splits s;
    const lode_split_options bad[] = {
        {.valid = 1024}, {.valid = 2000}, {.valid = 500, .arch = 524}, {.valid = 0.5, .arch = 600},
        {.valid = -1},   {.arch = -0.5},  {.limit = 10, .valid = 10}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_fails(lode_splits_init(d, &bad[i], &s), LODE_ERR_CONFIG, "data.valid");
        assert_null(s.split[0].index);
    }
    lode_dataset_close(d);
}

static void no_memory_is_a_status(void **state) {
    (void)state;
    lode_dataset *d = make(10);
    lode_splits s;
    lode_status status = LODE_ERR_NO_MEMORY;
    lode_split_options o = {.valid = 0.1, .arch = 0.2, .stratified = true};
    int64_t before = lode_memory_get_stats().n_blocks;
    for (int64_t k = 0; status != LODE_OK && k < 100; k++) {
        test_fail_allocation(k);
        status = lode_splits_init(d, &o, &s);
        test_fail_allocation(-1);
        if (status != LODE_OK) assert_int_equal(status, LODE_ERR_NO_MEMORY);
        lode_splits_deinit(&s);
        assert_int_equal(lode_memory_get_stats().n_blocks, before);
    }
    assert_int_equal(status, LODE_OK);
    lode_dataset_close(d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_asked_is_everything),
        cmocka_unit_test(shares_and_counts_are_cut),
        cmocka_unit_test(a_limit_takes_a_random_part),
        cmocka_unit_test(the_seed_decides),
        cmocka_unit_test(stratified_lists_have_all_classes),
        cmocka_unit_test(a_dataset_may_bring_its_own_valid_part),
        cmocka_unit_test(cuts_must_leave_something),
        cmocka_unit_test(no_memory_is_a_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
