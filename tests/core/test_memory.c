/* test_memory.c: blocks, alignment, overflow, statistics, the replaceable allocator; lode_text. */
#include "core/memory.h"
#include "support/support.h"

static void blocks_are_aligned_and_counted(void **state) {
    (void)state;
    lode_memory_stats before = lode_memory_get_stats();
    static const size_t sizes[] = {0, 1, 15, 16, 17, 4096, 1000003};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        char *p = lode_alloc(sizes[i], 1);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % 16, 0);
        memset(p, 0x5a, sizes[i]);
        lode_memory_stats now = lode_memory_get_stats();
        assert_int_equal(now.bytes_in_use - before.bytes_in_use, sizes[i]);
        assert_int_equal(now.n_blocks - before.n_blocks, 1);
        assert_true(now.peak_bytes >= now.bytes_in_use);
        lode_free(p);
    }
    lode_memory_stats after = lode_memory_get_stats();
    assert_int_equal(after.bytes_in_use, before.bytes_in_use);
    assert_int_equal(after.n_blocks, before.n_blocks);
    assert_int_equal(after.n_allocations - before.n_allocations, 7);
    lode_free(NULL);
}

static void any_alignment_is_given(void **state) {
    (void)state;
    for (size_t a = 1; a <= 4096; a *= 2) {
        char *p = lode_alloc_aligned(100, a);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % a, 0);
        memset(p, 1, 100);
        p = lode_realloc(p, 50, 10); /* keeps contents and alignment */
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % a, 0);
        for (int i = 0; i < 100; i++) assert_int_equal(p[i], 1);
        lode_free(p);
    }
}

static void calloc_zeroes_and_realloc_keeps(void **state) {
    (void)state;
    int *p = LODE_NEW_ARRAY(int, 1000);
    assert_non_null(p);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(p[i], 0);
        p[i] = i;
    }
    p = lode_realloc(p, 10, sizeof *p);
    assert_non_null(p);
    for (int i = 0; i < 10; i++) assert_int_equal(p[i], i);
    lode_free(p);
    p = lode_realloc(NULL, 3, sizeof *p);
    assert_non_null(p);
    lode_free(p);
}

static void impossible_sizes_are_refused(void **state) {
    (void)state;
    /* Volatile, or the compiler sees the sizes and warns. */
    volatile size_t huge = SIZE_MAX / 2 + 2, max = SIZE_MAX;
    int64_t blocks = lode_memory_get_stats().n_blocks;
    lode_error_clear();
    assert_null(lode_alloc(huge, 2)); /* the product wraps to 4 */
    assert_int_equal(lode_last_status(), LODE_ERR_NO_MEMORY);
    assert_non_null(strstr(lode_last_error(), "no memory for"));
    assert_null(lode_calloc(huge, 2));
    assert_null(lode_calloc(2, huge));
    assert_null(lode_alloc(max, 1));
    assert_null(lode_alloc(max - 15, 1)); /* the header would wrap */
    assert_null(lode_alloc_aligned(max - 64, 64));
    char *p = lode_strdup("kept");
    assert_null(lode_realloc(p, huge, 2));
    assert_string_equal(p, "kept");
    lode_free(p);
    assert_int_equal(lode_memory_get_stats().n_blocks, blocks);
}

static void the_peak_is_kept_and_reset(void **state) {
    (void)state;
    lode_memory_reset_peak();
    int64_t base = lode_memory_get_stats().bytes_in_use;
    assert_int_equal(lode_memory_get_stats().peak_bytes, base);
    void *a = lode_alloc(1000, 1), *b = lode_alloc(500, 1);
    lode_free(a);
    void *c = lode_alloc(100, 1);
    assert_int_equal(lode_memory_get_stats().peak_bytes, base + 1500);
    assert_int_equal(lode_memory_get_stats().bytes_in_use, base + 600);
    lode_memory_reset_peak();
    assert_int_equal(lode_memory_get_stats().peak_bytes, base + 600);
    lode_free(b);
    lode_free(c);
}

/* ---- an embedder's allocator ---- */

typedef struct counter {
    int64_t bytes, blocks;
    size_t alignment;
} counter;

static void *counter_allocate(void *self, size_t bytes, size_t alignment) {
    counter *c = self;
    c->bytes += (int64_t)bytes;
    c->blocks++;
    c->alignment = alignment;
    return aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
}

static void counter_release(void *self, void *p, size_t bytes) {
    counter *c = self;
    c->bytes -= (int64_t)bytes;
    c->blocks--;
    free(p);
}

static void an_allocator_gets_every_size_back(void **state) {
    (void)state;
    counter c = {0};
    const lode_allocator mine = {counter_allocate, counter_release, &c};
    lode_set_allocator(&mine);
    void *a = lode_alloc(10, 3), *b = lode_alloc_aligned(77, 256);
    assert_int_equal(c.alignment, 256);
    assert_int_equal(c.blocks, 2);
    assert_true(c.bytes >= 30 + 77);
    a = lode_realloc(a, 1000, 1);
    assert_int_equal(c.blocks, 2);
    lode_free(a);
    lode_free(b);
    assert_int_equal(c.blocks, 0);
    assert_int_equal(c.bytes, 0);
    lode_set_allocator(NULL);
    a = lode_alloc(1, 1);
    assert_int_equal(c.blocks, 0);
    lode_free(a);
}

static void the_nth_allocation_fails(void **state) {
    (void)state;
    test_fail_allocation(2);
    void *a = lode_alloc(1, 1), *b = lode_alloc(1, 1), *c = lode_alloc(1, 1), *d = lode_alloc(1, 1);
    assert_true(a != NULL && b != NULL && c == NULL && d != NULL);
    lode_free(a);
    lode_free(b);
    lode_free(d);
    assert_int_equal(test_fail_allocation(0), 4);
    assert_null(lode_strdup("x"));
    assert_int_equal(lode_last_status(), LODE_ERR_NO_MEMORY);
    assert_int_equal(test_fail_allocation(-1), 1);
    a = lode_alloc(1, 1);
    assert_non_null(a);
    lode_free(a);
}

/* ---- strings ---- */

static void strings_are_copied(void **state) {
    (void)state;
    char *a = lode_strdup(""), *b = lode_strndup("abcdef", 3), *c = lode_strndup("ab", 10);
    char *d = lode_format("%s-%05d", "x", 42);
    assert_string_equal(a, "");
    assert_string_equal(b, "abc");
    assert_string_equal(c, "ab");
    assert_string_equal(d, "x-00042");
    lode_free(a);
    lode_free(b);
    lode_free(c);
    lode_free(d);
    test_fail_allocation(0);
    assert_null(lode_format("%d", 1));
    test_fail_allocation(0);
    assert_null(lode_strndup("abc", 2));
    test_fail_allocation(-1);
}

static void arrays_grow_by_doubling(void **state) {
    (void)state;
    void *items = NULL;
    int64_t capacity = 0;
    assert_ok(lode_grow(&items, &capacity, 1, sizeof(int)));
    assert_int_equal(capacity, 8);
    memset(items, 7, 8 * sizeof(int));
    void *same = items;
    assert_ok(lode_grow(&items, &capacity, 8, sizeof(int)));
    assert_ptr_equal(items, same);
    assert_ok(lode_grow(&items, &capacity, 9, sizeof(int)));
    assert_int_equal(capacity, 16);
    assert_ok(lode_grow(&items, &capacity, 1000, sizeof(int)));
    assert_int_equal(capacity, 1024);
    assert_int_equal(((char *)items)[31], 7);
    same = items;
    assert_int_equal(lode_grow(&items, &capacity, INT64_MAX, sizeof(int)), LODE_ERR_NO_MEMORY);
    test_fail_allocation(0);
    assert_int_equal(lode_grow(&items, &capacity, 2000, sizeof(int)), LODE_ERR_NO_MEMORY);
    test_fail_allocation(-1);
    assert_ptr_equal(items, same);
    assert_int_equal(capacity, 1024);
    lode_free(items);
}

static void texts_grow(void **state) {
    (void)state;
    lode_text t = {0};
    for (int i = 0; i < 1000; i++) {
        lode_text_add(&t, "%d,", i % 10);
        lode_text_add_bytes(&t, "ab", 1);
    }
    assert_ok(lode_text_status(&t));
    assert_int_equal(t.length, 3000);
    assert_int_equal(strlen(t.s), 3000);
    assert_int_equal(strncmp(t.s, "0,a1,a2,a", 9), 0);
    char *s = lode_text_take(&t);
    assert_null(t.s);
    assert_int_equal(t.length, 0);
    assert_int_equal(strlen(s), 3000);
    lode_free(s);
    s = lode_text_take(&t); /* nothing added: still a string */
    assert_string_equal(s, "");
    lode_free(s);
    lode_text_add(&t, "%*s", 5000, "x"); /* more than a doubling */
    assert_int_equal(t.length, 5000);
    lode_text_deinit(&t);
    lode_text_deinit(&t);
}

static void a_failed_text_stays_failed(void **state) {
    (void)state;
    int64_t blocks = lode_memory_get_stats().n_blocks;
    for (int64_t n = 0; n < 3; n++) {
        lode_text t = {0};
        test_fail_allocation(n);
        for (int i = 0; i < 100; i++) lode_text_add(&t, "0123456789");
        test_fail_allocation(-1);
        lode_text_add(&t, "more");
        lode_text_add_bytes(&t, "more", 4);
        assert_int_equal(lode_text_status(&t), LODE_ERR_NO_MEMORY);
        assert_null(lode_text_take(&t));
        lode_text_deinit(&t);
        assert_ok(lode_text_status(&t));
    }
    assert_int_equal(lode_memory_get_stats().n_blocks, blocks);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_are_aligned_and_counted),
        cmocka_unit_test(any_alignment_is_given),
        cmocka_unit_test(calloc_zeroes_and_realloc_keeps),
        cmocka_unit_test(impossible_sizes_are_refused),
        cmocka_unit_test(the_peak_is_kept_and_reset),
        cmocka_unit_test(an_allocator_gets_every_size_back),
        cmocka_unit_test(the_nth_allocation_fails),
        cmocka_unit_test(strings_are_copied),
        cmocka_unit_test(arrays_grow_by_doubling),
        cmocka_unit_test(texts_grow),
        cmocka_unit_test(a_failed_text_stays_failed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
