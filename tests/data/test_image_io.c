/* JPEG and PNG: exact or near, converted, and refused when damaged. */
#include "data/image_io.h"
#include "data/small_images.h"

static small_bytes file;

static void encode(bool png) {
    if (png)
        small_png(16, 16, 3, &file);
    else
        small_jpeg(&file);
}

static void check(const lode_sample *s, int height, int width, int channels, int tolerance) {
    assert_int_equal(s->height, height);
    assert_int_equal(s->width, width);
    assert_int_equal(s->channels, channels);
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++)
            for (int c = 0; c < channels; c++) {
                int seen = s->pixels[(y * width + x) * channels + c];
                if (abs(seen - small_picture(y, x, c)) > tolerance)
                    fail_msg("pixel %d,%d,%d is %d, wanted %d", y, x, c, seen,
                             small_picture(y, x, c));
            }
}

static void png_is_exact(void **state) {
    (void)state;
    uint8_t *p;
    lode_sample s;
    small_png(9, 13, 3, &file);
    assert_ok(lode_image_decode(file.bytes, file.n, "a.png", 0, &p, &s));
    check(&s, 9, 13, 3, 0);
    lode_free(p);
    small_png(9, 13, 4, &file); /* transparency is dropped */
    assert_ok(lode_image_decode(file.bytes, file.n, "a.png", 0, &p, &s));
    check(&s, 9, 13, 3, 0);
    lode_free(p);
    small_png(9, 13, 1, &file);
    assert_ok(lode_image_decode(file.bytes, file.n, "a.png", 0, &p, &s));
    check(&s, 9, 13, 1, 0);
    lode_free(p);
}

static void jpeg_is_near(void **state) {
    (void)state;
    uint8_t *p;
    lode_sample s;
    small_jpeg(&file);
    assert_ok(lode_image_decode(file.bytes, file.n, "a.jpg", 0, &p, &s));
    check(&s, 20, 30, 3, 6);
    lode_free(p);
}

static void grey_is_copied_to_three(void **state) {
    (void)state;
    uint8_t *p;
    lode_sample s;
    small_png(5, 4, 1, &file);
    assert_ok(lode_image_decode(file.bytes, file.n, "a.png", 3, &p, &s));
    assert_int_equal(s.channels, 3);
    for (int i = 0; i < 20; i++)
        for (int c = 0; c < 3; c++) assert_int_equal(p[3 * i + c], small_picture(i / 4, i % 4, 0));
    lode_free(p);
}

static void files_are_read(void **state) {
    (void)state;
    char *dir = test_temp_dir(), *path = small_path(dir, "a.png"), *none = small_path(dir, "b.png");
    uint8_t *p;
    lode_sample s;
    small_write_png(dir, "a.png", 6, 7, 3);
    assert_ok(lode_image_read(path, 3, &p, &s));
    check(&s, 6, 7, 3, 0);
    lode_free(p);
    assert_fails(lode_image_read(none, 3, &p, &s), LODE_ERR_IO, "b.png");
    assert_null(p);
    lode_free(path);
    lode_free(none);
    test_remove_tree(dir);
    lode_free(dir);
}

static void every_truncation_is_noticed(void **state) {
    (void)state;
    uint8_t *p;
    lode_sample s;
    for (int png = 0; png < 2; png++) {
        encode(png);
        for (size_t n = 0; n < file.n; n++) {
            assert_int_equal(lode_image_decode(file.bytes, n, "cut", 3, &p, &s), LODE_ERR_DATA);
            assert_null(p);
        }
        assert_fails(lode_image_decode(file.bytes, file.n - 3, "cut", 3, &p, &s), LODE_ERR_DATA,
                     "truncated?");
    }
}

static void other_files_are_refused(void **state) {
    (void)state;
    uint8_t *p;
    lode_sample s;
    assert_fails(lode_image_decode((const uint8_t *)"GIF89a", 6, "a.jpg", 3, &p, &s), LODE_ERR_DATA,
                 "a.jpg: neither JPEG (ff d8) nor PNG (89 50 4e 47): starts with 47 49, 6 bytes");
    assert_fails(lode_image_decode((const uint8_t *)"", 0, "a.jpg", 3, &p, &s), LODE_ERR_DATA,
                 "0 bytes");
}

static void damaged_png_chunks_are_found(void **state) {
    (void)state;
    uint8_t *p;
    lode_sample s;
    small_png(16, 16, 3, &file);
    file.bytes[60] ^= 4;
    assert_fails(lode_image_decode(file.bytes, file.n, "a.png", 3, &p, &s), LODE_ERR_DATA,
                 "the PNG chunk at offset 33 has checksum");
}

/* Offset of the first segment with this marker. */
static size_t jpeg_segment(int marker) {
    for (size_t i = 2; i + 8 < file.n; i++)
        if (file.bytes[i] == 0xff && file.bytes[i + 1] == marker) return i;
    fail_msg("no segment ff %02x", marker);
    return 0;
}

static void broken_jpeg_segments_are_found(void **state) {
    (void)state;
    uint8_t *p;
    lode_sample s;
    small_jpeg(&file);
    assert_int_equal(file.bytes[2], 0xff); /* the first segment: JFIF, 16 bytes */
    file.bytes[4] = file.bytes[5] = 0;
    assert_fails(lode_image_decode(file.bytes, file.n, "a.jpg", 3, &p, &s), LODE_ERR_DATA,
                 "the JPEG segment ff e0 at offset 2 has length 0, wanted 2 to 750");
    file.bytes[4] = 0xff;
    assert_fails(lode_image_decode(file.bytes, file.n, "a.jpg", 3, &p, &s), LODE_ERR_DATA,
                 "the JPEG segment ff e0 at offset 2 has length 65280");
    small_jpeg(&file);
    size_t table = jpeg_segment(0xc4) + 4;
    file.bytes[table + 16] = 255; /* with the 12 there are: 267 codes */
    assert_fails(lode_image_decode(file.bytes, file.n, "a.jpg", 3, &p, &s), LODE_ERR_DATA,
                 "the JPEG Huffman table at offset");
    small_jpeg(&file);
    file.bytes[jpeg_segment(0xc0) + 1] = 0xfe; /* the frame header becomes a comment */
    assert_fails(lode_image_decode(file.bytes, file.n, "a.jpg", 3, &p, &s), LODE_ERR_DATA,
                 "before any frame header");
}

/* A header may promise any size: nothing is allocated for it. */
static void huge_sizes_are_refused(void **state) {
    (void)state;
    uint8_t *p;
    lode_sample s;
    small_png(16, 16, 3, &file);
    file.bytes[16 + 2] = file.bytes[20 + 2] = 0xff; /* 65296 x 65296 */
    uint32_t crc = lode_crc32(0, file.bytes + 12, 17);
    small_put_u32(file.bytes + 29, crc);
    int64_t before = lode_memory_get_stats().n_allocations;
    assert_fails(lode_image_decode(file.bytes, file.n, "a.png", 3, &p, &s), LODE_ERR_DATA,
                 "65296x65296 pixels");
    assert_true(lode_memory_get_stats().n_allocations - before < 8);
    small_jpeg(&file);
    size_t frame = jpeg_segment(0xc0);
    small_put_u32(file.bytes + frame + 5, 0xf000f000);
    assert_fails(lode_image_decode(file.bytes, file.n, "a.jpg", 3, &p, &s), LODE_ERR_DATA,
                 "61440x61440 pixels, wanted 1 to 64000000");
    small_put_u32(file.bytes + frame + 5, 0x04000400);
    assert_fails(lode_image_decode(file.bytes, file.n, "a.jpg", 3, &p, &s), LODE_ERR_DATA,
                 "1024x1024 pixels are more than 754 bytes can hold");
}

/* Whatever single byte is wrong, it ends in a status and without a leak. */
static void flipped_bytes_do_no_harm(void **state) {
    (void)state;
    uint8_t *p;
    lode_sample s;
    int64_t before = lode_memory_get_stats().n_blocks;
    for (int png = 0; png < 2; png++) {
        encode(png);
        for (size_t i = 0; i < file.n; i++)
            for (int bit = 0; bit < 8; bit += 3) {
                file.bytes[i] ^= (uint8_t)(1 << bit);
                lode_status status = lode_image_decode(file.bytes, file.n, "bad", 3, &p, &s);
                assert_true(status == LODE_OK || status == LODE_ERR_DATA);
                lode_free(p);
                file.bytes[i] ^= (uint8_t)(1 << bit);
            }
    }
    assert_int_equal(lode_memory_get_stats().n_blocks, before);
}

static void no_memory_is_a_status(void **state) {
    (void)state;
    int64_t before = lode_memory_get_stats().n_blocks;
    for (int png = 0; png < 2; png++) {
        lode_status status = LODE_ERR_NO_MEMORY;
        encode(png);
        for (int64_t k = 0; status != LODE_OK && k < 200; k++) {
            uint8_t *p;
            lode_sample s;
            test_fail_allocation(k);
            status = lode_image_decode(file.bytes, file.n, "x", 3, &p, &s);
            test_fail_allocation(-1);
            if (status != LODE_OK) assert_int_equal(status, LODE_ERR_NO_MEMORY);
            lode_free(p);
            assert_int_equal(lode_memory_get_stats().n_blocks, before);
        }
        assert_int_equal(status, LODE_OK);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(png_is_exact),
        cmocka_unit_test(jpeg_is_near),
        cmocka_unit_test(grey_is_copied_to_three),
        cmocka_unit_test(files_are_read),
        cmocka_unit_test(every_truncation_is_noticed),
        cmocka_unit_test(other_files_are_refused),
        cmocka_unit_test(damaged_png_chunks_are_found),
        cmocka_unit_test(broken_jpeg_segments_are_found),
        cmocka_unit_test(huge_sizes_are_refused),
        cmocka_unit_test(flipped_bytes_do_no_harm),
        cmocka_unit_test(no_memory_is_a_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
