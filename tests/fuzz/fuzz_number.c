/* fuzz_number.c: what reads as a number is written and read back to the same. */
#include "core/number.h"
#include "fuzz.h"

#include <math.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
    char *text = fuzz_text(bytes, n), s[32];
    double x = 0, y = 0;
    int64_t i = 0;
    bool real = lode_f64_parse(text, &x), whole = lode_i64_parse(text, &i);
    if (real) {
        FUZZ_CHECK(lode_f64_parse(lode_f64_format(x, s), &y));
        FUZZ_CHECK(x == y || (isnan(x) && isnan(y)));
    }
    if (whole && real) FUZZ_CHECK((double)i == x);
    FUZZ_CHECK(real || !whole);
    lode_free(text);
    return 0;
}
