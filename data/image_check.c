/* image_check.c: walks a JPEG or PNG from end to end before it is decoded.

   It finds what decoders overlook or survive badly: files that end early (stb_image fills in grey),
   PNG chunks whose checksums are wrong, sizes beyond reason (known before memory is taken), and
   Huffman tables with more codes than there are symbols (stb_image 2.27, Debian 12's, writes past
   its tables). The walk follows the standards where stb_image is more lenient and stops where
   stb_image would, so the decoder meets no table that was not looked at. */
#include "core/platform.h"
#include "data/image_check_internal.h"

#include <string.h>

enum { IMAGE_MOST_PIXELS = 64 * 1000 * 1000 };

typedef struct image_file {
    const uint8_t *bytes;
    size_t n;
    const char *name;
} image_file;

static uint32_t image_u32(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static int image_u16(const uint8_t *p) { return p[0] << 8 | p[1]; }

/* ---- PNG: chunks of length, type, data, checksum ---- */

static const uint8_t image_png_magic[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};

static lode_status image_check_png(const image_file *f, lode_image_header *header) {
    size_t at = sizeof image_png_magic;
    while (f->n - at >= 12) {
        const uint8_t *c = f->bytes + at;
        size_t length = image_u32(c);
        if (length > f->n - at - 12) break;
        uint32_t crc = lode_crc32(0, c + 4, length + 4), stored = image_u32(c + 8 + length);
        if (crc != stored)
            return LODE_FAIL(LODE_ERR_DATA,
                             "%s: the PNG chunk at offset %zu has checksum %08x, its bytes give "
                             "%08x: damaged",
                             f->name, at, (unsigned)stored, (unsigned)crc);
        bool first = at == sizeof image_png_magic;
        if (first && (length != 13 || memcmp(c + 4, "IHDR", 4) != 0))
            return LODE_FAIL(LODE_ERR_DATA,
                             "%s: the PNG chunk at offset %zu must be IHDR of 13 bytes", f->name,
                             at);
        if (first)
            *header = (lode_image_header){image_u32(c + 12), image_u32(c + 8), (c[17] & 2) == 0};
        if (memcmp(c + 4, "IEND", 4) == 0) return LODE_OK;
        at += length + 12;
    }
    return LODE_FAIL(LODE_ERR_DATA,
                     "%s: its %zu bytes end within the PNG chunk at offset %zu: truncated?",
                     f->name, f->n, at);
}

/* ---- JPEG: segments of ff, marker, length, data; coded pixels follow a scan's header ---- */

enum { JPEG_HUFFMAN = 0xc4, JPEG_END = 0xd9, JPEG_SCAN = 0xda };

static bool image_is_frame(int marker) {
    return marker >= 0xc0 && marker <= 0xcf && marker != JPEG_HUFFMAN && marker != 0xc8 &&
           marker != 0xcc;
}

/* Fill bytes, restarts and the ff that coded pixels escape: no segment begins there. */
static bool image_is_bare(int marker) {
    return marker == 0 || marker == 1 || marker == 0xff || (marker >= 0xd0 && marker <= 0xd7);
}

/* Tables of one byte of class and number, 16 counts of codes by length, and a symbol for each. */
static lode_status image_check_huffman(const image_file *f, size_t at, size_t end) {
    while (at < end) {
        size_t n_codes = 0;
        for (size_t i = 1; i <= 16 && at + i < end; i++) n_codes += f->bytes[at + i];
        if (end - at < 17 || n_codes > 256 || end - at - 17 < n_codes)
            return LODE_FAIL(LODE_ERR_DATA,
                             "%s: the JPEG Huffman table at offset %zu has %zu codes, wanted at "
                             "most 256 and as many as its %zu bytes hold",
                             f->name, at, n_codes, end - at);
        at += 17 + n_codes;
    }
    return LODE_OK;
}

static lode_status image_check_frame(const image_file *f, size_t at, size_t length,
                                     lode_image_header *header) {
    const uint8_t *c = f->bytes + at;
    if (length < 9)
        return LODE_FAIL(LODE_ERR_DATA, "%s: the JPEG frame header at offset %zu has %zu bytes",
                         f->name, at, length);
    if (header->height > 0)
        return LODE_FAIL(LODE_ERR_DATA, "%s: a second JPEG frame header at offset %zu", f->name,
                         at);
    *header = (lode_image_header){image_u16(c + 3), image_u16(c + 5), c[7] == 1};
    return LODE_OK;
}

static lode_status image_check_jpeg(const image_file *f, lode_image_header *header) {
    size_t at = 2;
    while (f->n - at >= 2) {
        const uint8_t *c = f->bytes + at;
        if (c[0] != 0xff || image_is_bare(c[1])) {
            at++;
            continue;
        }
        if (c[1] == JPEG_END) {
            if (header->height > 0) return LODE_OK;
            return LODE_FAIL(LODE_ERR_DATA, "%s: no JPEG frame header before its end at offset %zu",
                             f->name, at);
        }
        at += 2;
        size_t left = f->n - at, length = left >= 2 ? (size_t)image_u16(c + 2) : 0;
        if (length < 2 || length > left)
            return LODE_FAIL(LODE_ERR_DATA,
                             "%s: the JPEG segment ff %02x at offset %zu has length %zu, wanted 2 "
                             "to %zu: truncated?",
                             f->name, c[1], at - 2, length, left);
        if (c[1] == JPEG_HUFFMAN) LODE_TRY(image_check_huffman(f, at + 2, at + length));
        if (image_is_frame(c[1])) LODE_TRY(image_check_frame(f, at, length, header));
        if (c[1] == JPEG_SCAN && header->height == 0)
            return LODE_FAIL(LODE_ERR_DATA, "%s: JPEG pixels at offset %zu before any frame header",
                             f->name, at);
        at += length;
    }
    return LODE_FAIL(LODE_ERR_DATA, "%s: its %zu bytes hold no JPEG end marker (ff d9): truncated?",
                     f->name, f->n);
}

/* ---- both ---- */

lode_status lode_image_check(const uint8_t *bytes, size_t n, const char *name,
                             lode_image_header *out) {
    image_file f = {bytes, n, name};
    bool jpeg = n >= 4 && bytes[0] == 0xff && bytes[1] == 0xd8;
    *out = (lode_image_header){0};
    if (jpeg)
        LODE_TRY(image_check_jpeg(&f, out));
    else if (n >= sizeof image_png_magic &&
             memcmp(bytes, image_png_magic, sizeof image_png_magic) == 0)
        LODE_TRY(image_check_png(&f, out));
    else
        return LODE_FAIL(LODE_ERR_DATA,
                         "%s: neither JPEG (ff d8) nor PNG (89 50 4e 47): starts with %02x %02x, "
                         "%zu bytes",
                         name, n > 0 ? bytes[0] : 0, n > 1 ? bytes[1] : 0, n);
    if (out->width < 1 || out->height < 1 || out->width > IMAGE_MOST_PIXELS / out->height)
        return LODE_FAIL(LODE_ERR_DATA, "%s: %lldx%lld pixels, wanted 1 to %d in all", name,
                         (long long)out->height, (long long)out->width, IMAGE_MOST_PIXELS);
    /* One bit for a block of 8x8 in a progressive JPEG; deflate's 1032 to 1 over bits in a PNG. */
    if (out->width * out->height > (int64_t)n * (jpeg ? 512 : 1032 * 8))
        return LODE_FAIL(LODE_ERR_DATA, "%s: %lldx%lld pixels are more than %zu bytes can hold",
                         name, (long long)out->height, (long long)out->width, n);
    if (n > INT32_MAX) return LODE_FAIL(LODE_ERR_DATA, "%s: %zu bytes are too many", name, n);
    return LODE_OK;
}
