/* test_space_docs.c: the spaces in the documentation load, build and run, and the tables of
   docs/spaces.md name every block and key there is. */
#include "core/platform.h"
#include "supernet/block.h"
#include "supernet/tiny.h"

#include <math.h>

/* Both documents stay open for the whole run. */
static char *doc_recipe, *doc_reference;

static char *read_doc(const char *name) {
    void *bytes = NULL;
    size_t n;
    char *path = lode_format("%s/../docs/%s", LODE_TEST_DIR, name);
    assert_ok(lode_file_read(path, &bytes, &n));
    char *text = lode_strndup(bytes, n);
    lode_free(bytes);
    lode_free(path);
    return text;
}

static int open_docs(void **state) {
    (void)state;
    doc_recipe = read_doc("add-a-space.md");
    doc_reference = read_doc("spaces.md");
    return doc_recipe == NULL || doc_reference == NULL;
}

static int close_docs(void **state) {
    (void)state;
    lode_free(doc_recipe);
    lode_free(doc_reference);
    return 0;
}

/* The next block fenced as ```yaml, cut at its end; NULL after the last. */
static char *next_yaml(char **rest) {
    char *begin = strstr(*rest, "```yaml\n");
    if (begin == NULL) return NULL;
    begin += 8;
    char *end = strstr(begin, "```");
    assert_non_null(end);
    *end = '\0';
    *rest = end + 1;
    return begin;
}

static void check_space(const char *text, double log10_count) {
    lode_space *s = tiny_space(text);
    lode_supernet *net;
    lode_arch a;
    lode_rng rng = lode_rng_stream(1, LODE_RNG_TEST, 0);
    assert_near(lode_space_log10_count(s), log10_count, 1e-12);
    assert_ok(lode_space_sample(s, &rng, &a));
    assert_ok(lode_supernet_create(s, NULL, LODE_F32, 1, &net));
    lode_tensor *x = tiny_input(s, LODE_F32, 1, 0);
    lode_tensor *y = tiny_logits(NULL, net, &a, x, LODE_BN_RUNNING);
    assert_int_equal(y->shape.dim[1], 10);
    assert_true(lode_tensor_all_finite(y));
    lode_tensor_release(x);
    lode_tensor_release(y);
    lode_supernet_destroy(net);
    lode_space_release(s);
}

static void test_examples(void **state) {
    (void)state;
    char *rest = doc_recipe;
    const double counts[] = {192, 729};
    for (int i = 0; i < 2; i++) {
        char *text = next_yaml(&rest);
        assert_non_null(text);
        check_space(text, log10(counts[i]));
    }
    assert_null(next_yaml(&rest));
}

static void test_tables(void **state) {
    (void)state;
    char *doc = doc_reference;
    for (int i = 0; i < lode_n_block_kinds(); i++) {
        const lode_block_kind *kind = lode_block_kind_at(i);
        assert_ptr_equal(lode_block_kind_find(kind->name), kind);
        char *start = lode_format("\n| `%s` |", kind->name);
        char *row = strstr(doc, start);
        if (row == NULL) fail_msg("docs/spaces.md does not list block `%s`", kind->name);
        char *end = strchr(row + 1, '\n');
        assert_non_null(end);
        *end = '\0';
        for (int k = 0; k < kind->n_rows; k++) {
            char *key = lode_format("`%s` (%s", kind->rows[k].name, kind->rows[k].def);
            if (strstr(row, key) == NULL)
                fail_msg("docs/spaces.md, block `%s` lacks %s)", kind->name, key);
            lode_free(key);
        }
        *end = '\n';
        lode_free(start);
    }
    char **names;
    int64_t n;
    assert_ok(lode_space_names(&names, &n));
    for (int64_t i = 0; i < n; i++) {
        char *quoted = lode_format("`%s`", names[i]);
        if (strstr(doc, quoted) == NULL) fail_msg("docs/spaces.md lacks space %s", quoted);
        lode_free(quoted);
    }
    lode_names_free(names, n);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_examples),
        cmocka_unit_test(test_tables),
    };
    return cmocka_run_group_tests_name("supernet/space_docs", tests, open_docs, close_docs);
}
