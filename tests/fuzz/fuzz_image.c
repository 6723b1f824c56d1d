/* fuzz_image.c: any bytes are an image of the size they announce, or a story. */
#include "data/image_io.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
    static const int kinds[3] = {0, 1, 3};
    for (int k = 0; k < 3; k++) {
        uint8_t *pixels = NULL;
        lode_sample s;
        lode_status status = lode_image_decode(bytes, n, "fuzz", kinds[k], &pixels, &s);
        FUZZ_CHECK_STORY(status);
        FUZZ_CHECK((pixels != NULL) == (status == LODE_OK));
        if (status == LODE_OK) {
            FUZZ_CHECK(s.height > 0 && s.width > 0 && s.pixels == pixels);
            FUZZ_CHECK(kinds[k] == 0 ? s.channels == 1 || s.channels == 3 : s.channels == kinds[k]);
            size_t size = (size_t)s.height * (size_t)s.width * (size_t)s.channels;
            volatile uint8_t last = pixels[size - 1]; /* all of it is there */
            (void)last;
        }
        lode_free(pixels);
    }
    return 0;
}
