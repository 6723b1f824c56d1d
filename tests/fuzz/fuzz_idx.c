/* fuzz_idx.c: any bytes, packed or not, are an IDX array that fits them exactly, or a story. */
#include "data/bytes_internal.h"
#include "fuzz.h"

static void check(const uint8_t *bytes, size_t n) {
    for (int n_dims = 1; n_dims <= 3; n_dims += 2) {
        lode_idx_header h;
        lode_status status = lode_idx_parse(bytes, n, "fuzz", n_dims, &h);
        FUZZ_CHECK_STORY(status);
        if (status != LODE_OK) continue;
        int64_t count = 1;
        for (int i = 0; i < n_dims; i++) count *= h.dim[i];
        FUZZ_CHECK(h.offset + (size_t)count == n);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
    uint8_t *plain = NULL;
    size_t n_plain = 0;
    lode_status status = lode_gunzip(bytes, n, "fuzz.gz", &plain, &n_plain);
    FUZZ_CHECK_STORY(status);
    FUZZ_CHECK((plain != NULL) == (status == LODE_OK));
    if (status == LODE_OK) check(plain, n_plain);
    lode_free(plain);
    check(bytes, n);
    return 0;
}
