/* fuzz_cifar.c: any bytes are whole CIFAR rows with labels in range, or a story. */
#include "data/bytes_internal.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
    static const lode_cifar_layout layouts[3] = {{1, 0, 10}, {2, 1, 100}, {2, 0, 20}};
    for (int k = 0; k < 3; k++) {
        int64_t n_rows = 0;
        lode_status status = lode_cifar_count(n, "fuzz", &layouts[k], &n_rows);
        FUZZ_CHECK_STORY(status);
        if (status != LODE_OK) continue;
        uint8_t *pixels = lode_alloc((size_t)n_rows, LODE_CIFAR_PIXELS);
        uint8_t *labels = lode_alloc((size_t)n_rows, 1);
        FUZZ_CHECK(pixels != NULL && labels != NULL);
        status = lode_cifar_parse(bytes, n_rows, "fuzz", &layouts[k], pixels, labels);
        FUZZ_CHECK_STORY(status);
        for (int64_t i = 0; status == LODE_OK && i < n_rows; i++)
            FUZZ_CHECK(labels[i] < layouts[k].n_classes);
        lode_free(pixels);
        lode_free(labels);
    }
    return 0;
}
