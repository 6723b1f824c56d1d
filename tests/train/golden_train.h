/* golden_train.h: the formula of tests/golden/make_training.py, and reading what it wrote. */
#ifndef LODE_TESTS_GOLDEN_TRAIN_H
#define LODE_TESTS_GOLDEN_TRAIN_H
#include "core/json.h"
#include "core/platform.h"
#include "support/support.h"

/* The i-th number of a stream, uniform in [-1, 1). */
static inline double golden_number(uint64_t stream, uint64_t i) {
    uint32_t x = (uint32_t)(i * 2654435761u + stream * 40503u);
    x = (x ^ x >> 16) * 0x7FEB352Du;
    x = (x ^ x >> 15) * 0x846CA68Bu;
    x ^= x >> 16;
    return (double)x / 2147483648.0 - 1;
}

static inline json_t *golden_read(const char *name) {
    json_t *j = NULL;
    char *path = lode_format("%s/golden/%s", LODE_TEST_DIR, name);
    assert_non_null(path);
    assert_ok(lode_json_read(path, &j));
    lode_free(path);
    return j;
}

/* A number member, or `none` when absent. */
static inline double golden_get(const json_t *o, const char *key, double none) {
    const json_t *v = json_object_get(o, key);
    return v != NULL ? json_number_value(v) : none;
}
#endif
