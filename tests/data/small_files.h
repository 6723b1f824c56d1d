/* small_files.h: writes the small dataset files that the tests of data/ read back. */
#ifndef LODE_TESTS_SMALL_FILES_H
#define LODE_TESTS_SMALL_FILES_H
#include "core/platform.h"
#include "support/support.h"

#include <zlib.h>

static inline char *small_path(const char *dir, const char *file) {
    char *path = lode_path_join(dir, file);
    assert_non_null(path);
    return path;
}

static inline void small_write(const char *dir, const char *file, const void *bytes, size_t n) {
    char *path = small_path(dir, file);
    assert_ok(lode_file_write_atomic(path, bytes, n));
    lode_free(path);
}

static inline void small_write_gz(const char *dir, const char *file, const void *bytes, size_t n) {
    char *path = small_path(dir, file);
    gzFile f = gzopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(gzwrite(f, bytes, (unsigned)n), (int)n);
    assert_int_equal(gzclose(f), Z_OK);
    lode_free(path);
}

static inline void small_folder(const char *dir, const char *folder) {
    char *path = small_path(dir, folder);
    assert_ok(lode_make_directories(path));
    lode_free(path);
}

/* ---- IDX ---- */

enum { SMALL_IDX_HEIGHT = 4, SMALL_IDX_WIDTH = 6, SMALL_IDX_PIXELS = 24 };

/* Pixel k of image i, and its label, of every small IDX dataset. */
static inline uint8_t small_idx_pixel(int64_t i, int k) { return (uint8_t)(i * 37 + k * 5); }
static inline uint8_t small_idx_label(int64_t i) { return (uint8_t)(i * 7 % 5); }

static inline void small_put_u32(uint8_t *p, uint32_t v) {
    for (int i = 0; i < 4; i++) p[i] = (uint8_t)(v >> (24 - 8 * i));
}

/* lode_free; *size bytes. */
static inline uint8_t *small_idx_images(int n, size_t *size) {
    *size = 16 + (size_t)n * SMALL_IDX_PIXELS;
    uint8_t *b = lode_alloc(*size, 1);
    assert_non_null(b);
    small_put_u32(b, 0x803);
    small_put_u32(b + 4, (uint32_t)n);
    small_put_u32(b + 8, SMALL_IDX_HEIGHT);
    small_put_u32(b + 12, SMALL_IDX_WIDTH);
    for (int i = 0; i < n; i++)
        for (int k = 0; k < SMALL_IDX_PIXELS; k++)
            b[16 + i * SMALL_IDX_PIXELS + k] = small_idx_pixel(i, k);
    return b;
}

static inline uint8_t *small_idx_labels(int n, size_t *size) {
    *size = 8 + (size_t)n;
    uint8_t *b = lode_alloc(*size, 1);
    assert_non_null(b);
    small_put_u32(b, 0x801);
    small_put_u32(b + 4, (uint32_t)n);
    for (int i = 0; i < n; i++) b[8 + i] = small_idx_label(i);
    return b;
}

/* The four files, plain: n_train and n_test images, 5 classes. */
static inline void small_write_idx(const char *dir, int n_train, int n_test) {
    static const char *const images[] = {"train-images-idx3-ubyte", "t10k-images-idx3-ubyte"};
    static const char *const labels[] = {"train-labels-idx1-ubyte", "t10k-labels-idx1-ubyte"};
    for (int p = 0; p < 2; p++) {
        size_t nx, ny;
        int n = p == 0 ? n_train : n_test;
        uint8_t *x = small_idx_images(n, &nx), *y = small_idx_labels(n, &ny);
        small_write(dir, images[p], x, nx);
        small_write(dir, labels[p], y, ny);
        lode_free(x);
        lode_free(y);
    }
}

/* ---- CIFAR ---- */

static inline uint8_t small_cifar_pixel(int64_t i, int channel, int k) {
    return (uint8_t)(i * 11 + channel * 80 + k % 251);
}

/* n rows with label bytes labels(i), one or two. */
static inline uint8_t *small_cifar_rows(int64_t first, int n, int label_bytes, int n_classes,
                                        size_t *size) {
    size_t row = (size_t)label_bytes + 3072;
    *size = (size_t)n * row;
    uint8_t *b = lode_alloc(*size, 1);
    assert_non_null(b);
    for (int i = 0; i < n; i++) {
        uint8_t *p = b + (size_t)i * row;
        if (label_bytes == 2) *p++ = (uint8_t)((first + i) % 20);
        *p++ = (uint8_t)((first + i) % n_classes);
        for (int c = 0; c < 3; c++)
            for (int k = 0; k < 1024; k++) *p++ = small_cifar_pixel(first + i, c, k);
    }
    return b;
}

/* CIFAR-10's six files with `n` rows each. */
static inline void small_write_cifar10(const char *dir, int n) {
    for (int f = 0; f < 6; f++) {
        char name[32];
        size_t size;
        uint8_t *b = small_cifar_rows((int64_t)f * n, n, 1, 10, &size);
        snprintf(name, sizeof name, f < 5 ? "data_batch_%d.bin" : "test_batch.bin", f + 1);
        small_write(dir, name, b, size);
        lode_free(b);
    }
}
#endif
