/* transform.c: the pieces pipelines are made of. Each is a pure function of its arguments and of
   the draws it takes from `rng`. */
#include "data/transform.h"

#include <math.h>

static double transform_min(double a, double b) { return a < b ? a : b; }

lode_window lode_window_center(int height, int width, int out_height, int out_width, int resize) {
    double scale = (double)resize / (height < width ? height : width);
    if (scale * height < out_height) scale = (double)out_height / height;
    if (scale * width < out_width) scale = (double)out_width / width;
    /* A quotient of quotients may exceed the image by a rounding. */
    double h = transform_min(out_height / scale, height),
           w = transform_min(out_width / scale, width);
    return (lode_window){(height - h) / 2, (width - w) / 2, h, w, false};
}

lode_window lode_window_random(int height, int width, const double scale[2], const double aspect[2],
                               lode_rng *rng) {
    enum { TRIES = 10 };
    double area = (double)height * width, low = log(aspect[0]), high = log(aspect[1]);
    for (int i = 0; i < TRIES; i++) {
        double a = area * (scale[0] + (scale[1] - scale[0]) * lode_rng_uniform(rng));
        double ratio = exp(low + (high - low) * lode_rng_uniform(rng));
        double w = floor(sqrt(a * ratio) + 0.5), h = floor(sqrt(a / ratio) + 0.5);
        if (w < 1 || h < 1 || w > width || h > height) continue;
        double y = (double)lode_rng_below(rng, height - (int64_t)h + 1);
        double x = (double)lode_rng_below(rng, width - (int64_t)w + 1);
        return (lode_window){y, x, h, w, true};
    }
    double h = height, w = width, ratio = w / h;
    if (ratio < aspect[0]) h = fmax(1, floor(w / aspect[0] + 0.5));
    if (ratio > aspect[1]) w = fmax(1, floor(h * aspect[1] + 0.5));
    h = transform_min(h, height);
    w = transform_min(w, width);
    return (lode_window){floor((height - h) / 2), floor((width - w) / 2), h, w, true};
}

/* ---- colour ---- */

static float transform_clamp(float v) { return v < 0 ? 0 : v > 1 ? 1 : v; }

/* ITU-R BT.601, as everybody's grey. */
static float transform_grey(const float *p) {
    return 0.299f * p[0] + 0.587f * p[1] + 0.114f * p[2];
}

static float transform_factor(double range, lode_rng *rng) {
    double low = range < 1 ? 1 - range : 0;
    return (float)(low + (1 + range - low) * lode_rng_uniform(rng));
}

/* Towards one grey level for the whole image: its mean. */
static void transform_contrast(float *x, int64_t n_pixels, int channels, float factor) {
    double sum = 0;
    for (int64_t i = 0; i < n_pixels; i++)
        sum += channels == 3 ? transform_grey(x + 3 * i) : x[i * channels];
    float rest = (1 - factor) * (float)(sum / (double)n_pixels);
    for (int64_t i = 0; i < n_pixels * channels; i++) x[i] = transform_clamp(factor * x[i] + rest);
}

/* Towards each pixel's own grey. */
static void transform_saturation(float *x, int64_t n_pixels, float factor) {
    for (int64_t i = 0; i < n_pixels; i++) {
        float *p = x + 3 * i, rest = (1 - factor) * transform_grey(p);
        for (int c = 0; c < 3; c++) p[c] = transform_clamp(factor * p[c] + rest);
    }
}

/* All three factors are drawn whatever is on, so that one does not move the others. */
void lode_color_jitter(float *x, int64_t n_pixels, int channels,
                       const lode_augment_options *options, lode_rng *rng) {
    float brightness = transform_factor(options->brightness, rng);
    float contrast = transform_factor(options->contrast, rng);
    float saturation = transform_factor(options->saturation, rng);
    if (options->brightness > 0)
        for (int64_t i = 0; i < n_pixels * channels; i++) x[i] = transform_clamp(brightness * x[i]);
    if (options->contrast > 0) transform_contrast(x, n_pixels, channels, contrast);
    if (options->saturation > 0 && channels == 3) transform_saturation(x, n_pixels, saturation);
}

void lode_cutout(float *x, int height, int width, int channels, int side, lode_rng *rng) {
    int cy = (int)lode_rng_below(rng, height), cx = (int)lode_rng_below(rng, width);
    int y0 = cy - side / 2, y1 = y0 + side, x0 = cx - side / 2, x1 = x0 + side;
    if (y0 < 0) y0 = 0;
    if (x0 < 0) x0 = 0;
    if (y1 > height) y1 = height;
    if (x1 > width) x1 = width;
    for (int y = y0; y < y1; y++)
        for (int k = x0 * channels; k < x1 * channels; k++)
            x[(int64_t)y * width * channels + k] = 0;
}
