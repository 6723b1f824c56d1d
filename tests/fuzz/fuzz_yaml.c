/* fuzz_yaml.c: any text is a tree or a story; a tree's dump reads back to a tree with that dump. */
#include "core/config.h"
#include "fuzz.h"

static void fuzz_walk(const lode_yaml *y) {
    FUZZ_CHECK(y->kind == LODE_YAML_SCALAR ? y->scalar != NULL && y->n == 0 : y->scalar == NULL);
    for (int i = 0; i < y->n; i++) {
        FUZZ_CHECK((y->kind == LODE_YAML_MAP) == (y->item[i]->key != NULL));
        FUZZ_CHECK(y->item[i]->line >= 1);
        fuzz_walk(y->item[i]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
    char *text = fuzz_text(bytes, n);
    lode_yaml *y = NULL, *again = NULL;
    lode_status status = lode_yaml_parse(text, "fuzz.yaml", &y);
    FUZZ_CHECK_STORY(status);
    FUZZ_CHECK((y != NULL) == (status == LODE_OK));
    if (y != NULL) {
        fuzz_walk(y);
        char *dump = lode_yaml_dump(y);
        FUZZ_CHECK(dump != NULL);
        FUZZ_CHECK(lode_yaml_parse(dump, "dump", &again) == LODE_OK);
        char *second = lode_yaml_dump(again);
        FUZZ_CHECK(second != NULL && strcmp(dump, second) == 0);
        lode_free(dump);
        lode_free(second);
    }
    lode_yaml_destroy(y);
    lode_yaml_destroy(again);
    lode_free(text);
    return 0;
}
