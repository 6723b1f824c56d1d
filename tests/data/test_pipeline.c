/* Pipelines: the one pass against the same steps written out one by one. */
#include "data/transform.h"
#include "support/support.h"

#include <math.h>

enum { H = 11, W = 9 };

static uint8_t pixels[H * W * 3];

static lode_sample sample_of(int channels) {
    for (int i = 0; i < H * W * channels; i++) pixels[i] = (uint8_t)(i * 89 + i / 7);
    return (lode_sample){.pixels = pixels, .height = H, .width = W, .channels = channels};
}

static lode_pipeline_options plain_options(int channels) {
    lode_pipeline_options o = {.height = H, .width = W, .channels = channels};
    for (int c = 0; c < channels; c++) {
        o.mean[c] = 0.2 + 0.1 * c;
        o.std[c] = 0.3 + 0.05 * c;
    }
    return o;
}

static double source(const lode_sample *s, int y, int x, int c, int channels) {
    if (y < 0 || x < 0 || y >= H || x >= W) return 0;
    const uint8_t *p = s->pixels + (y * W + x) * s->channels;
    if (s->channels == channels) return p[c];
    if (s->channels == 1) return p[0];
    return floor(0.299 * p[0] + 0.587 * p[1] + 0.114 * p[2] + 0.5 + 1e-9);
}

/* Whether out is the sample moved by (dy, dx) and perhaps mirrored. */
static bool is_moved(const lode_pipeline_options *o, const lode_sample *s, int dy, int dx,
                     bool flip, const float *out) {
    for (int y = 0; y < H; y++)
        for (int x = 0; x < W; x++)
            for (int c = 0; c < o->channels; c++) {
                int from = (flip ? W - 1 - x : x) + dx;
                double v = source(s, y + dy, from, c, o->channels) / 255;
                double wanted = (v - o->mean[c]) / o->std[c];
                if (fabs(out[(y * W + x) * o->channels + c] - wanted) > 1e-5) return false;
            }
    return true;
}

static void evaluation_only_normalizes(void **state) {
    (void)state;
    float out[H * W * 3];
    lode_pipeline_scratch scratch = {0};
    for (int from = 1; from <= 3; from += 2)
        for (int to = 1; to <= 3; to += 2) {
            lode_sample s = sample_of(from);
            lode_pipeline_options o = plain_options(to);
            lode_pipeline *p;
            int c, h, w;
            assert_ok(lode_pipeline_create(&o, &p));
            lode_pipeline_shape(p, &c, &h, &w);
            assert_int_equal(c, to);
            assert_int_equal(h, H);
            assert_int_equal(w, W);
            assert_ok(lode_pipeline_apply(p, &s, NULL, &scratch, out));
            assert_true(is_moved(&o, &s, 0, 0, false, out));
            assert_null(scratch.image.bytes); /* nothing was resized */
            lode_pipeline_destroy(p);
        }
    lode_pipeline_scratch_deinit(&scratch);
}

/* Every stream gives one of the moves that are possible, and all of them come about as often. */
static void check_moves(int channels, int pad, bool flip) {
    enum { DRAWS = 1500, MOST = 15 };
    static int seen[2 * MOST + 1][2 * MOST + 1][2];
    float out[H * W * 3];
    lode_pipeline_scratch scratch = {0};
    lode_sample s = sample_of(channels);
    lode_augment_options a = {.pad = pad, .flip = flip};
    lode_pipeline_options o = plain_options(channels);
    lode_pipeline *p;
    o.augment = &a;
    assert_ok(lode_pipeline_create(&o, &p));
    memset(seen, 0, sizeof seen);
    for (uint64_t i = 0; i < DRAWS; i++) {
        lode_rng rng = lode_rng_stream(3, LODE_RNG_TEST, i);
        bool found = false;
        assert_ok(lode_pipeline_apply(p, &s, &rng, &scratch, out));
        for (int dy = -pad; dy <= pad && !found; dy++)
            for (int dx = -pad; dx <= pad && !found; dx++)
                for (int f = 0; f <= flip && !found; f++) {
                    found = is_moved(&o, &s, dy, dx, f == 1, out);
                    if (found) seen[dy + MOST][dx + MOST][f]++;
                }
        if (!found) fail_msg("draw %d is no move of the image", (int)i);
    }
    int kinds = (2 * pad + 1) * (2 * pad + 1) * (flip ? 2 : 1);
    for (int dy = -pad; dy <= pad && kinds < 60; dy++)
        for (int dx = -pad; dx <= pad; dx++)
            for (int f = 0; f <= flip; f++) {
                double expected = (double)DRAWS / kinds;
                assert_true(fabs(seen[dy + MOST][dx + MOST][f] - expected) < 6 * sqrt(expected));
            }
    lode_pipeline_destroy(p);
    lode_pipeline_scratch_deinit(&scratch);
}

static void crops_and_flips_are_uniform(void **state) {
    (void)state;
    check_moves(3, 0, true);
    check_moves(3, 2, false);
    check_moves(3, 2, true);
    check_moves(1, 1, true);
}

/* Padding wider than the image: all black now and then, and nothing read from outside. */
static void large_padding_is_harmless(void **state) {
    (void)state;
    check_moves(3, 14, true);
}

/* Switching one step on leaves the draws of the others where they are. */
static void steps_do_not_disturb_each_other(void **state) {
    (void)state;
    float a[H * W * 3], b[H * W * 3];
    lode_pipeline_scratch scratch = {0};
    lode_sample s = sample_of(3);
    lode_augment_options crop = {.pad = 3}, both = {.pad = 3, .cutout = 4};
    lode_pipeline_options o = plain_options(3);
    lode_pipeline *p, *q;
    o.augment = &crop;
    assert_ok(lode_pipeline_create(&o, &p));
    o.augment = &both;
    assert_ok(lode_pipeline_create(&o, &q));
    for (uint64_t i = 0; i < 100; i++) {
        lode_rng rng = lode_rng_stream(3, LODE_RNG_TEST, i);
        int different = 0;
        assert_ok(lode_pipeline_apply(p, &s, &rng, &scratch, a));
        assert_ok(lode_pipeline_apply(q, &s, &rng, &scratch, b));
        for (int k = 0; k < H * W * 3; k++)
            if (a[k] != b[k]) {
                assert_true(b[k] == 0);
                different++;
            }
        assert_in_range(different, 1, 4 * 4 * 3);
    }
    lode_pipeline_destroy(p);
    lode_pipeline_destroy(q);
    lode_pipeline_scratch_deinit(&scratch);
}

/* With a factor range so small that it does nothing, jitter gives what the table gives. */
static void jitter_normalizes_too(void **state) {
    (void)state;
    float out[H * W * 3];
    lode_pipeline_scratch scratch = {0};
    lode_sample s = sample_of(3);
    lode_augment_options a = {.brightness = 1e-9};
    lode_pipeline_options o = plain_options(3);
    lode_pipeline *p;
    lode_rng rng = lode_rng_stream(3, LODE_RNG_TEST, 0);
    o.augment = &a;
    assert_ok(lode_pipeline_create(&o, &p));
    assert_ok(lode_pipeline_apply(p, &s, &rng, &scratch, out));
    assert_true(is_moved(&o, &s, 0, 0, false, out));
    lode_pipeline_destroy(p);
    lode_pipeline_scratch_deinit(&scratch);
}

/* Other sizes are fitted: what comes out is the resized centre, or a random window. */
static void other_sizes_are_fitted(void **state) {
    (void)state;
    enum { SIZE = 8, IH = 40, IW = 30 };
    static uint8_t in[IH * IW];
    for (int i = 0; i < IH * IW; i++) in[i] = (uint8_t)(3 * (i / IW) + 2 * (i % IW));
    lode_sample s = {.pixels = in, .height = IH, .width = IW, .channels = 1};
    lode_pipeline_options o = {.height = SIZE, .width = SIZE, .channels = 1, .std = {1}};
    lode_augment_options resized = {.crop = LODE_CROP_RESIZED}, pad = {.pad = 2};
    lode_pipeline_scratch scratch = {0};
    lode_pipeline *p;
    lode_window w = lode_window_center(IH, IW, SIZE, SIZE, 0);
    uint8_t expected[SIZE * SIZE];
    float out[SIZE * SIZE], other[SIZE * SIZE];
    assert_ok(lode_image_resize(&s, &w, SIZE, SIZE, &scratch.work, expected));
    assert_ok(lode_pipeline_create(&o, &p));
    assert_ok(lode_pipeline_apply(p, &s, NULL, &scratch, out));
    for (int i = 0; i < SIZE * SIZE; i++) assert_near(out[i], expected[i] / 255.0, 1e-6);
    lode_pipeline_destroy(p);
    o.augment = &pad;
    assert_ok(lode_pipeline_create(&o, &p));
    lode_rng rng = lode_rng_stream(1, LODE_RNG_TEST, 0),
             second = lode_rng_stream(1, LODE_RNG_TEST, 1);
    assert_ok(lode_pipeline_apply(p, &s, &rng, &scratch, out));
    lode_pipeline_destroy(p);
    o.augment = &resized;
    assert_ok(lode_pipeline_create(&o, &p));
    assert_ok(lode_pipeline_apply(p, &s, &rng, &scratch, out));
    for (int i = 0; i + 1 < SIZE; i++) assert_true(out[i] <= out[i + 1]); /* still a slope */
    assert_ok(lode_pipeline_apply(p, &s, &second, &scratch, other));
    assert_memory_not_equal(out, other, sizeof out);
    assert_ok(lode_pipeline_apply(p, &s, &rng, &scratch, other));
    assert_memory_equal(out, other, sizeof out);
    lode_pipeline_destroy(p);
    lode_pipeline_scratch_deinit(&scratch);
}

/* resize above the size crops the centre, also of an image that has the size already. */
static void resize_zooms_in(void **state) {
    (void)state;
    static uint8_t in[32 * 32];
    for (int i = 0; i < 32 * 32; i++) in[i] = (uint8_t)(7 * (i % 32));
    lode_sample s = {.pixels = in, .height = 32, .width = 32, .channels = 1};
    lode_pipeline_options o = {
        .height = 32, .width = 32, .channels = 1, .resize = 64, .std = {1.0 / 255}};
    lode_pipeline_scratch scratch = {0};
    lode_pipeline *p;
    float out[32 * 32];
    assert_ok(lode_pipeline_create(&o, &p));
    assert_ok(lode_pipeline_apply(p, &s, NULL, &scratch, out));
    for (int x = 0; x < 32; x++) /* column x shows 8 + x / 2 */
        assert_true(fabs(out[16 * 32 + x] - 7 * (7.75 + x / 2.0)) <= 1);
    lode_pipeline_destroy(p);
    lode_pipeline_scratch_deinit(&scratch);
}

static void bad_options_are_refused(void **state) {
    (void)state;
    lode_pipeline *p;
    lode_pipeline_options o = plain_options(3);
    o.height = 0;
    assert_fails(lode_pipeline_create(&o, &p), LODE_ERR_INVALID, "data.size");
    o = plain_options(3);
    o.channels = 2;
    assert_fails(lode_pipeline_create(&o, &p), LODE_ERR_INVALID, "data.channels");
    o = plain_options(3);
    o.std[1] = 0;
    assert_fails(lode_pipeline_create(&o, &p), LODE_ERR_INVALID, "data.std of channel 1");
    const double reversed[2] = {0.9, 0.1}, one[1] = {0.5};
    lode_augment_options a = {.scale = {2, reversed}};
    o = plain_options(3);
    o.augment = &a;
    assert_fails(lode_pipeline_create(&o, &p), LODE_ERR_CONFIG, "data.augment.scale");
    a = (lode_augment_options){.aspect = {1, one}};
    assert_fails(lode_pipeline_create(&o, &p), LODE_ERR_CONFIG, "data.augment.aspect");
    assert_null(p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(evaluation_only_normalizes),
        cmocka_unit_test(crops_and_flips_are_uniform),
        cmocka_unit_test(large_padding_is_harmless),
        cmocka_unit_test(steps_do_not_disturb_each_other),
        cmocka_unit_test(jitter_normalizes_too),
        cmocka_unit_test(other_sizes_are_fitted),
        cmocka_unit_test(resize_zooms_in),
        cmocka_unit_test(bad_options_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
