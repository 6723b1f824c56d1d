/* image_io.c: JPEG and PNG through stb_image.

   stb_image makes grey of whatever bits a truncated JPEG lacks and calls it a success, names no
   offsets, and trusts what it is given more than it should, so files are walked first
   (image_check.c). */
#include "data/image_io.h"

#include "core/memory.h"
#include "core/platform.h"
#include "data/image_check_internal.h"

#include <assert.h>

#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_ONLY_JPEG
#define STBI_ONLY_PNG
#define STBI_NO_STDIO
#define STBI_NO_LINEAR
#define STBI_NO_HDR
#define STBI_MAX_DIMENSIONS (1 << 16)
/* Zeroed, since a JPEG may use tables it never defined: all zeros decode to something harmless, and
   to the same each time; stale memory is neither. */
#define STBI_MALLOC(size)     lode_calloc(1, (size))
#define STBI_REALLOC(p, size) lode_realloc((p), 1, (size))
#define STBI_FREE(p)          lode_free(p)
#if defined(__GNUC__)
#pragma GCC diagnostic ignored                                                                     \
    "-Wunused-function" /* what is not asked for is declared all the same */
#endif
#include <stb/stb_image.h>

lode_status lode_image_decode(const uint8_t *bytes, size_t n, const char *name, int channels,
                              uint8_t **pixels, lode_sample *out) {
    int w = 0, h = 0, c = 0;
    lode_image_header header = {0};
    *pixels = NULL;
    assert(channels == 0 || channels == 1 || channels == 3);
    LODE_TRY(lode_image_check(bytes, n, name, &header));
    if (channels == 0) channels = header.grey ? 1 : 3;
    lode_error_clear();
    *pixels = stbi_load_from_memory(bytes, (int)n, &w, &h, &c, channels);
    if (*pixels == NULL && lode_last_status() == LODE_ERR_NO_MEMORY)
        return lode_error_context("decoding %s", name);
    if (*pixels == NULL)
        return LODE_FAIL(LODE_ERR_DATA, "%s: cannot be decoded: %s", name, stbi_failure_reason());
    *out = (lode_sample){.pixels = *pixels, .height = h, .width = w, .channels = channels};
    return LODE_OK;
}

lode_status lode_image_read(const char *path, int channels, uint8_t **pixels, lode_sample *out) {
    void *bytes = NULL;
    size_t n = 0;
    *pixels = NULL;
    LODE_TRY(lode_file_read(path, &bytes, &n));
    lode_status status = lode_image_decode(bytes, n, path, channels, pixels, out);
    lode_free(bytes);
    return status;
}
