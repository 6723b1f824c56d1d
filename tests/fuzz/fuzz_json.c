/* fuzz_json.c: any text is a value or a story; what we write reads back to the same value. */
#include "core/json.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
    char *text = fuzz_text(bytes, n);
    json_t *v = NULL, *again = NULL;
    lode_status status = lode_json_parse(text, "fuzz.json", &v);
    FUZZ_CHECK_STORY(status);
    FUZZ_CHECK((v != NULL) == (status == LODE_OK));
    if (v != NULL) {
        char *line = lode_json_line(v);
        FUZZ_CHECK(line != NULL && strchr(line, '\n') == NULL);
        FUZZ_CHECK(lode_json_parse(line, "line", &again) == LODE_OK);
        FUZZ_CHECK(json_equal(v, again));
        lode_free(line);
    }
    json_decref(v);
    json_decref(again);
    lode_free(text);
    return 0;
}
