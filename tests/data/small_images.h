/* small_images.h: writes the JPEG and PNG files that the tests of data/ read back. */
#ifndef LODE_TESTS_SMALL_IMAGES_H
#define LODE_TESTS_SMALL_IMAGES_H
#include "data/small_files.h"

#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_WRITE_STATIC
#define STBI_WRITE_NO_STDIO
#if defined(__GNUC__)
#pragma GCC diagnostic ignored "-Wunused-function"
#endif
#include <stb/stb_image_write.h>

typedef struct small_bytes {
    uint8_t bytes[1 << 16];
    size_t n;
} small_bytes;

static inline void small_collect(void *context, void *data, int size) {
    small_bytes *b = context;
    assert_true(b->n + (size_t)size <= sizeof b->bytes);
    memcpy(b->bytes + b->n, data, (size_t)size);
    b->n += (size_t)size;
}

/* A smooth picture: JPEG keeps it nearly as it is. */
static inline uint8_t small_picture(int y, int x, int c) {
    return (uint8_t)(40 + 3 * y + 2 * x + 30 * c);
}

static inline void small_png(int height, int width, int channels, small_bytes *out) {
    uint8_t pixels[64 * 64 * 4];
    out->n = 0;
    assert_true(height * width * channels <= (int)sizeof pixels);
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++)
            for (int c = 0; c < channels; c++)
                pixels[(y * width + x) * channels + c] = small_picture(y, x, c);
    assert_int_equal(stbi_write_png_to_func(small_collect, out, width, height, channels, pixels, 0),
                     1);
}

/* The picture as a JPEG of 20 x 30 (quality 95, by Pillow; stb's writer does not stand up to the
   sanitizers). */
static inline void small_jpeg(small_bytes *out) {
    void *bytes;
    assert_ok(lode_file_read(LODE_TEST_DIR "/data/files/slope.jpg", &bytes, &out->n));
    assert_true(out->n <= sizeof out->bytes);
    memcpy(out->bytes, bytes, out->n);
    lode_free(bytes);
}

static inline void small_write_png(const char *dir, const char *file, int height, int width,
                                   int channels) {
    static small_bytes b;
    small_png(height, width, channels, &b);
    small_write(dir, file, b.bytes, b.n);
}

static inline void small_write_jpeg(const char *dir, const char *file) {
    static small_bytes b;
    small_jpeg(&b);
    small_write(dir, file, b.bytes, b.n);
}
#endif
