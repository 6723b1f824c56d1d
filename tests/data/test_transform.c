/* The pieces of pipelines, against numbers worked out by hand. */
#include "data/transform.h"
#include "support/support.h"

#include <math.h>

static void centre_windows(void **state) {
    (void)state;
    lode_window w = lode_window_center(300, 200, 224, 224, 256); /* 200 -> 256: 224 is 175 wide */
    assert_near(w.height, 175, 1e-9);
    assert_near(w.width, 175, 1e-9);
    assert_near(w.y, 62.5, 1e-9);
    assert_near(w.x, 12.5, 1e-9);
    w = lode_window_center(28, 28, 32, 32, 0); /* enlarged whole */
    assert_near(w.y, 0, 1e-12);
    assert_near(w.width, 28, 1e-12);
    w = lode_window_center(100, 50, 10, 20, 5); /* resize too small: raised to 20 / 50 */
    assert_near(w.width, 50, 1e-9);
    assert_near(w.height, 25, 1e-9);
    assert_near(w.y, 37.5, 1e-9);
}

static void random_windows_stay_inside_and_keep_the_ranges(void **state) {
    (void)state;
    const double scale[2] = {0.25, 0.5}, aspect[2] = {0.75, 4.0 / 3};
    double least = 1, most = 0;
    lode_rng rng = lode_rng_stream(1, LODE_RNG_TEST, 0);
    for (int i = 0; i < 2000; i++) {
        lode_window w = lode_window_random(120, 160, scale, aspect, &rng);
        double share = w.height * w.width / (120.0 * 160), ratio = w.width / w.height;
        assert_true(w.y >= 0 && w.x >= 0 && w.y + w.height <= 120 && w.x + w.width <= 160);
        assert_true(share > 0.24 && share < 0.515);
        assert_true(ratio > 0.73 && ratio < 1.37);
        assert_true(w.y == floor(w.y) && w.width == floor(w.width));
        least = fmin(least, share);
        most = fmax(most, share);
    }
    assert_true(least < 0.26 && most > 0.49);
}

/* No window of that area and shape fits: the largest centred one of the allowed shape. */
static void impossible_windows_fall_back(void **state) {
    (void)state;
    const double whole[2] = {1, 1}, aspect[2] = {0.75, 4.0 / 3};
    lode_rng rng = lode_rng_stream(1, LODE_RNG_TEST, 0);
    lode_window w = lode_window_random(30, 300, whole, aspect, &rng);
    assert_near(w.height, 30, 0);
    assert_near(w.width, 40, 0);
    assert_near(w.x, 130, 0);
    w = lode_window_random(300, 30, whole, aspect, &rng);
    assert_near(w.width, 30, 0);
    assert_near(w.height, 40, 0);
    assert_near(w.y, 130, 0);
    w = lode_window_random(1, 1, whole, aspect, &rng);
    assert_near(w.height * w.width, 1, 0);
}

/* A linear picture stays linear, away from the rim, whatever the window. */
static void resizing_keeps_slopes(void **state) {
    (void)state;
    enum { H = 60, W = 80, OH = 24, OW = 20 };
    uint8_t in[H * W * 3], out[OH * OW * 3];
    for (int y = 0; y < H; y++)
        for (int x = 0; x < W; x++)
            for (int c = 0; c < 3; c++)
                in[(y * W + x) * 3 + c] = (uint8_t)(c == 0 ? 3 * y : c == 1 ? 2 * x : y + x);
    const lode_window windows[] = {{0, 0, H, W, false},
                                   {6, 20, 48, 40, true},
                                   {6, 20, 48, 40, false},
                                   {5.5, 17.25, 36, 50, false}};
    lode_sample s = {.pixels = in, .height = H, .width = W, .channels = 3};
    lode_scratch scratch = {0};
    for (int k = 0; k < 4; k++) {
        lode_window v = windows[k];
        assert_ok(lode_image_resize(&s, &v, OH, OW, &scratch, out));
        for (int y = 2; y < OH - 2; y++)
            for (int x = 2; x < OW - 2; x++) {
                /* centre of the output pixel in input coordinates */
                double iy = v.y + (y + 0.5) * v.height / OH - 0.5;
                double ix = v.x + (x + 0.5) * v.width / OW - 0.5;
                const uint8_t *p = out + (y * OW + x) * 3;
                assert_true(fabs(p[0] - 3 * iy) <= 1);
                assert_true(fabs(p[1] - 2 * ix) <= 1);
                assert_true(fabs(p[2] - (iy + ix)) <= 1);
            }
    }
    lode_scratch_deinit(&scratch);
}

static void resizing_to_the_same_size_changes_nothing(void **state) {
    (void)state;
    uint8_t in[7 * 5], out[7 * 5];
    lode_scratch scratch = {0};
    lode_window w = {0, 0, 7, 5, false};
    for (int i = 0; i < 35; i++) in[i] = (uint8_t)(i * 67);
    lode_sample s = {.pixels = in, .height = 7, .width = 5, .channels = 1};
    assert_ok(lode_image_resize(&s, &w, 7, 5, &scratch, out));
    assert_memory_equal(in, out, sizeof in);
    lode_scratch_deinit(&scratch);
}

/* Each out pixel is the mean of the four it covers, when the picture is halved (within the
   triangle's reach to the neighbours: a constant stays exactly constant). */
static void constants_stay_constant(void **state) {
    (void)state;
    uint8_t in[50 * 70 * 3], out[224 * 224 * 3];
    lode_scratch scratch = {0};
    memset(in, 177, sizeof in);
    lode_sample s = {.pixels = in, .height = 50, .width = 70, .channels = 3};
    const int sizes[] = {1, 2, 13, 49, 51, 224};
    for (int k = 0; k < 6; k++) {
        lode_window w = lode_window_center(50, 70, sizes[k], sizes[k], 0);
        assert_ok(lode_image_resize(&s, &w, sizes[k], sizes[k], &scratch, out));
        for (int i = 0; i < sizes[k] * sizes[k] * 3; i++) assert_int_equal(out[i], 177);
    }
    lode_scratch_deinit(&scratch);
}

static void jitter_keeps_its_ranges(void **state) {
    (void)state;
    lode_augment_options o = {.brightness = 0.4};
    double least = 9, most = 0;
    for (uint64_t i = 0; i < 500; i++) {
        lode_rng rng = lode_rng_stream(1, LODE_RNG_TEST, i);
        float x[3] = {0.2f, 0.4f, 0.6f};
        lode_color_jitter(x, 1, 3, &o, &rng);
        assert_near(x[1], 2 * x[0], 1e-6);
        assert_near(x[2], 3 * x[0], 1e-6);
        least = fmin(least, x[0] / 0.2);
        most = fmax(most, x[0] / 0.2);
    }
    assert_true(least > 0.6 - 1e-6 && least < 0.62);
    assert_true(most < 1.4 + 1e-6 && most > 1.38);
}

/* Contrast pulls towards the image's mean grey, saturation towards the pixel's own. */
static void jitter_keeps_what_it_should(void **state) {
    (void)state;
    lode_augment_options contrast = {.contrast = 0.5}, saturation = {.saturation = 0.5};
    for (uint64_t i = 0; i < 50; i++) {
        lode_rng rng = lode_rng_stream(1, LODE_RNG_TEST, i);
        float x[6] = {0.3f, 0.4f, 0.5f, 0.5f, 0.4f, 0.3f}, before = 0, after = 0;
        const float grey[3] = {0.299f, 0.587f, 0.114f};
        for (int k = 0; k < 6; k++) before += grey[k % 3] * x[k];
        lode_color_jitter(x, 2, 3, &contrast, &rng);
        for (int k = 0; k < 6; k++) after += grey[k % 3] * x[k];
        assert_near(after, before, 1e-6);
        assert_true(fabsf(x[0] - 0.3f) > 1e-6f);
        float y[3] = {0.3f, 0.4f, 0.5f}, was = 0.299f * 0.3f + 0.587f * 0.4f + 0.114f * 0.5f;
        lode_color_jitter(y, 1, 3, &saturation, &rng);
        assert_near(0.299f * y[0] + 0.587f * y[1] + 0.114f * y[2], was, 1e-6);
        float z[2] = {0.25f, 0.75f};
        lode_color_jitter(z, 2, 1, &saturation, &rng); /* grey has none */
        assert_true(z[0] == 0.25f && z[1] == 0.75f);
    }
}

static void jitter_stays_within_0_and_1(void **state) {
    (void)state;
    lode_augment_options o = {.brightness = 3, .contrast = 3, .saturation = 3};
    for (uint64_t i = 0; i < 200; i++) {
        lode_rng rng = lode_rng_stream(1, LODE_RNG_TEST, i);
        float x[6] = {0, 1, 0.5f, 0.9f, 0.1f, 0.3f};
        lode_color_jitter(x, 2, 3, &o, &rng);
        for (int k = 0; k < 6; k++) assert_true(x[k] >= 0 && x[k] <= 1);
    }
}

/* The hole is a rectangle around a uniform centre, clipped at the border. */
static void cutout_blanks_one_clipped_square(void **state) {
    (void)state;
    enum { H = 20, W = 16, SIDE = 8 };
    int hit[H * W] = {0}, whole = 0;
    for (uint64_t i = 0; i < 3000; i++) {
        float x[H * W * 2];
        lode_rng rng = lode_rng_stream(1, LODE_RNG_TEST, i);
        for (int k = 0; k < H * W * 2; k++) x[k] = 1;
        lode_cutout(x, H, W, 2, SIDE, &rng);
        int top = H, left = W, bottom = -1, right = -1, n = 0;
        for (int y = 0; y < H; y++)
            for (int c = 0; c < W; c++) {
                const float *p = x + (y * W + c) * 2;
                assert_true(p[0] == p[1]);
                if (p[0] != 0) continue;
                hit[y * W + c]++;
                n++;
                top = y < top ? y : top;
                bottom = y > bottom ? y : bottom;
                left = c < left ? c : left;
                right = c > right ? c : right;
            }
        assert_int_equal(n, (bottom - top + 1) * (right - left + 1));
        assert_in_range(bottom - top + 1, SIDE / 2, SIDE);
        assert_in_range(right - left + 1, SIDE / 2, SIDE);
        whole += n == SIDE * SIDE;
    }
    assert_true(hit[0] > 100 && hit[H * W - 1] > 50); /* corners too */
    assert_in_range(whole, 3000 * 13 * 9 / (H * W) - 150, 3000 * 13 * 9 / (H * W) + 150);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(centre_windows),
        cmocka_unit_test(random_windows_stay_inside_and_keep_the_ranges),
        cmocka_unit_test(impossible_windows_fall_back),
        cmocka_unit_test(resizing_keeps_slopes),
        cmocka_unit_test(resizing_to_the_same_size_changes_nothing),
        cmocka_unit_test(constants_stay_constant),
        cmocka_unit_test(jitter_keeps_its_ranges),
        cmocka_unit_test(jitter_keeps_what_it_should),
        cmocka_unit_test(jitter_stays_within_0_and_1),
        cmocka_unit_test(cutout_blanks_one_clipped_square),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
