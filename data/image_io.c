/* image_io.c: JPEG and PNG through stb_image.

   stb_image makes grey of whatever bits a truncated JPEG lacks and calls it a success, so whole
   files are asked for first: a JPEG must hold an end-of-image marker, and a PNG its last chunk.
   Sizes are looked at before anything is allocated: 64 million pixels are the most. */
#include "data/image_io.h"

#include "core/memory.h"
#include "core/platform.h"

#include <assert.h>
#include <string.h>

#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_ONLY_JPEG
#define STBI_ONLY_PNG
#define STBI_NO_STDIO
#define STBI_NO_LINEAR
#define STBI_NO_HDR
#define STBI_MAX_DIMENSIONS   (1 << 16)
#define STBI_MALLOC(size)     lode_alloc(1, (size))
#define STBI_REALLOC(p, size) lode_realloc((p), 1, (size))
#define STBI_FREE(p)          lode_free(p)
#if defined(__GNUC__)
#pragma GCC diagnostic ignored                                                                     \
    "-Wunused-function" /* what is not asked for is declared all the same */
#endif
#include <stb/stb_image.h>

enum { IMAGE_MOST_PIXELS = 64 * 1000 * 1000 };

/* What a file's header says. */
typedef struct image_header {
    int64_t height, width;
    bool grey;
} image_header;

static uint32_t image_u32(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static int image_u16(const uint8_t *p) { return p[0] << 8 | p[1]; }

/* ---- PNG: chunks of length, type, data, checksum ---- */

static const uint8_t image_png_magic[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};

static lode_status image_check_png(const uint8_t *bytes, size_t n, const char *name,
                                   image_header *header) {
    size_t at = sizeof image_png_magic;
    while (n - at >= 12) {
        const uint8_t *c = bytes + at;
        size_t length = image_u32(c);
        if (length > n - at - 12) break;
        uint32_t crc = lode_crc32(0, c + 4, length + 4), stored = image_u32(c + 8 + length);
        if (crc != stored)
            return LODE_FAIL(LODE_ERR_DATA,
                             "%s: the PNG chunk at offset %zu has checksum %08x, its bytes give "
                             "%08x: damaged",
                             name, at, (unsigned)stored, (unsigned)crc);
        bool first = at == sizeof image_png_magic;
        if (first && (length != 13 || memcmp(c + 4, "IHDR", 4) != 0))
            return LODE_FAIL(LODE_ERR_DATA,
                             "%s: the PNG chunk at offset %zu must be IHDR of 13 bytes", name, at);
        if (first) *header = (image_header){image_u32(c + 12), image_u32(c + 8), (c[17] & 2) == 0};
        if (memcmp(c + 4, "IEND", 4) == 0) return LODE_OK;
        at += length + 12;
    }
    return LODE_FAIL(LODE_ERR_DATA,
                     "%s: its %zu bytes end within the PNG chunk at offset %zu: truncated?", name,
                     n, at);
}

/* ---- JPEG: segments of ff, marker, length, data ---- */

/* The end marker, searched from the end: some cameras write more after it. */
static bool image_has_jpeg_end(const uint8_t *bytes, size_t n) {
    for (size_t i = n - 1; i > 2; i--)
        if (bytes[i] == 0xd9 && bytes[i - 1] == 0xff) return true;
    return false;
}

/* To the frame header (markers c0 to cf but for c4, c8, cc), which comes before any pixel. */
static lode_status image_check_jpeg(const uint8_t *bytes, size_t n, const char *name,
                                    image_header *header) {
    size_t at = 2;
    if (!image_has_jpeg_end(bytes, n))
        return LODE_FAIL(LODE_ERR_DATA,
                         "%s: its %zu bytes hold no JPEG end marker (ff d9): truncated?", name, n);
    while (n - at >= 10) {
        const uint8_t *c = bytes + at;
        if (c[0] != 0xff || c[1] == 0xff || c[1] == 0) { /* filling, as every decoder allows */
            at++;
            continue;
        }
        size_t length = (size_t)image_u16(c + 2);
        if (length < 2)
            return LODE_FAIL(
                LODE_ERR_DATA,
                "%s: the JPEG segment ff %02x at offset %zu has length %zu, wanted 2 or "
                "more",
                name, c[1], at, length);
        bool frame = c[1] >= 0xc0 && c[1] <= 0xcf && c[1] != 0xc4 && c[1] != 0xc8 && c[1] != 0xcc;
        if (frame) {
            *header = (image_header){image_u16(c + 5), image_u16(c + 7), c[9] == 1};
            return LODE_OK;
        }
        if (length + 2 > n - at) break;
        at += length + 2;
    }
    return LODE_FAIL(LODE_ERR_DATA, "%s: no JPEG frame header before offset %zu of its %zu bytes",
                     name, at, n);
}

/* ---- both ---- */

static lode_status image_check(const uint8_t *bytes, size_t n, const char *name,
                               image_header *header) {
    if (n >= 4 && bytes[0] == 0xff && bytes[1] == 0xd8)
        LODE_TRY(image_check_jpeg(bytes, n, name, header));
    else if (n >= sizeof image_png_magic &&
             memcmp(bytes, image_png_magic, sizeof image_png_magic) == 0)
        LODE_TRY(image_check_png(bytes, n, name, header));
    else
        return LODE_FAIL(LODE_ERR_DATA,
                         "%s: neither JPEG (ff d8) nor PNG (89 50 4e 47): starts with %02x %02x, "
                         "%zu bytes",
                         name, n > 0 ? bytes[0] : 0, n > 1 ? bytes[1] : 0, n);
    if (header->width < 1 || header->height < 1 ||
        header->width > IMAGE_MOST_PIXELS / header->height)
        return LODE_FAIL(LODE_ERR_DATA, "%s: %lldx%lld pixels, wanted 1 to %d in all", name,
                         (long long)header->height, (long long)header->width, IMAGE_MOST_PIXELS);
    if (n > INT32_MAX) return LODE_FAIL(LODE_ERR_DATA, "%s: %zu bytes are too many", name, n);
    return LODE_OK;
}

lode_status lode_image_decode(const uint8_t *bytes, size_t n, const char *name, int channels,
                              uint8_t **pixels, lode_sample *out) {
    int w = 0, h = 0, c = 0;
    image_header header = {0};
    *pixels = NULL;
    assert(channels == 0 || channels == 1 || channels == 3);
    LODE_TRY(image_check(bytes, n, name, &header));
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
