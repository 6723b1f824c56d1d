/* support.c: what the tests share (see support.h). */
#include "support/support.h"

#include "core/platform.h"

#include <math.h>
#include <stdatomic.h>

void test_assert_near(double a, double b, double tolerance, const char *what, const char *file,
                      int line) {
    double scale = fmax(1, fmax(fabs(a), fabs(b)));
    if (a == b || fabs(a - b) <= tolerance * scale) return; /* NaN goes on to fail */
    print_error("%s is %.17g, wanted %.17g: off by %.3g, allowed %.3g\n", what, a, b, fabs(a - b),
                tolerance * scale);
    _fail(file, line);
}

char *test_temp_dir(void) {
    char *dir = NULL;
    assert_ok(lode_make_temp_directory("test-tmp", &dir));
    return dir;
}

void test_remove_tree(const char *dir) {
    char **names = NULL;
    int64_t n = 0;
    assert_ok(lode_list_directory(dir, &names, &n));
    for (int64_t i = 0; i < n; i++) {
        char *path = lode_path_join(dir, names[i]);
        assert_non_null(path);
        if (lode_is_directory(path))
            test_remove_tree(path);
        else
            assert_ok(lode_file_remove(path));
        lode_free(path);
    }
    lode_names_free(names, n);
    assert_ok(lode_file_remove(dir));
}

char *test_shared(const char *relative) {
    const char *root = getenv("LODE_SHARED");
    char *path = root != NULL ? lode_path_join(root, relative) : NULL;
    if (path != NULL && lode_file_exists(path)) return path;
    print_message("[  SKIP  ] $LODE_SHARED/%s is not here: the test that needs it does not run\n",
                  relative);
    lode_free(path);
    return NULL;
}

/* The hook allocates as the default allocator does, so it may be put in and taken out while blocks
   live. */
static atomic_llong asked, fail_at = -1;

static void *support_allocate(void *self, size_t bytes, size_t alignment) {
    (void)self;
    if (atomic_fetch_add(&asked, 1) == atomic_load(&fail_at)) return NULL;
    if (alignment <= _Alignof(max_align_t)) return malloc(bytes);
    return aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
}

static void support_release(void *self, void *p, size_t bytes) {
    (void)self;
    (void)bytes;
    free(p);
}

int64_t test_fail_allocation(int64_t n) {
    static const lode_allocator hook = {support_allocate, support_release, NULL};
    int64_t count = atomic_exchange(&asked, 0);
    atomic_store(&fail_at, n);
    lode_set_allocator(n >= 0 ? &hook : NULL);
    return count;
}
