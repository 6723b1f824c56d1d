/* The block of docs/add-a-space.md compiles as the page shows it, and minds what it says it minds.
   (The page's spaces are run by tests/supernet/test_space_docs.c.) */
#include "add-a-space/supernet/block_ghost.c"
#include "support/support.h"

static void test_options_and_check(void **state) {
    (void)state;
    const lode_block_kind *kind = &lode_block_ghost;
    block_ghost_params p = {.kernel = 5, .act = LODE_ACT_RELU};
    lode_site even = {.in = 8, .out = 16, .stride = 1}, odd = {.in = 8, .out = 15, .stride = 1};
    assert_string_equal(kind->name, "ghost");
    assert_int_equal(kind->n_rows, 2);
    assert_int_equal(kind->params_size, sizeof p);
    assert_non_null(kind->forward);
    assert_ok(kind->check(&p, &even));
    assert_fails(kind->check(&p, &odd), LODE_ERR_CONFIG, "an even number of channels");
    p.kernel = 4;
    assert_fails(kind->check(&p, &even), LODE_ERR_CONFIG, "an odd kernel");
}

/* The page asks for a new name: one that is taken would not link beside the shipped kinds. */
static void test_name_is_free(void **state) {
    (void)state;
    assert_null(lode_block_kind_find(lode_block_ghost.name));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_options_and_check),
        cmocka_unit_test(test_name_is_free),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
