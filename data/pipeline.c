/* pipeline.c: a sample's way from bytes to numbers (transform.h has the list of steps).

   An image that has the right size takes one pass: the crop decides where a row is read, the flip
   in which direction it is written, and a table of 256 floats per channel does the division, the
   mean and the deviation. Only then come the steps that need the whole image. Others are resized
   into the scratch first, and then take the same pass.

   Every random step draws from its own place in the sample's stream. */
#include "core/memory.h"
#include "data/transform.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

/* Where each step's draws begin; the window may need 10 tries of 8 draws and some rejections. */
enum { PLACE_CROP = 0, PLACE_FLIP = 16, PLACE_JITTER = 32, PLACE_CUTOUT = 48, PLACE_WINDOW = 64 };

struct lode_pipeline {
    lode_pipeline_options options;
    bool augments;
    lode_augment_options augment; /* its lists are scale and aspect below */
    double scale[2], aspect[2];
    bool jitters;
    float table[LODE_MAX_CHANNELS][256]; /* byte to number: normalized, or in [0, 1] with jitter */
};

static const lode_option pipeline_augment_rows[] = {
    {"crop", LODE_OPT_ENUM, offsetof(lode_augment_options, crop), "pad", 0, 0, "pad|resized|none",
     "pad: `pad` black pixels around, then a random window of the original size; resized: a random "
     "window of random size, resized; none: the evaluation's centre"},
    {"pad", LODE_OPT_INT, offsetof(lode_augment_options, pad), "0", 0, 1024, "pixels",
     "padding on each side for crop: pad"},
    {"scale", LODE_OPT_F64_LIST, offsetof(lode_augment_options, scale), NULL, 0, 1, NULL,
     "smallest and largest share of the area for crop: resized; default [0.08, 1]"},
    {"aspect", LODE_OPT_F64_LIST, offsetof(lode_augment_options, aspect), NULL, 0.01, 100, NULL,
     "smallest and largest width / height for crop: resized; default [3/4, 4/3]"},
    {"flip", LODE_OPT_BOOL, offsetof(lode_augment_options, flip), "false", 0, 0, NULL,
     "mirror left to right with probability 1/2"},
    {"cutout", LODE_OPT_INT, offsetof(lode_augment_options, cutout), "0", 0, 4096, "pixels",
     "side of the square that is blanked; 0: none"},
    {"brightness", LODE_OPT_F64, offsetof(lode_augment_options, brightness), "0", 0, 10, NULL,
     "brightness factor uniform in [1 - b, 1 + b]"},
    {"contrast", LODE_OPT_F64, offsetof(lode_augment_options, contrast), "0", 0, 10, NULL,
     "contrast factor likewise"},
    {"saturation", LODE_OPT_F64, offsetof(lode_augment_options, saturation), "0", 0, 10, NULL,
     "saturation factor likewise"},
};
static const lode_option_table pipeline_augment_table = {"data.augment", pipeline_augment_rows,
                                                         sizeof pipeline_augment_rows /
                                                             sizeof pipeline_augment_rows[0]};

const lode_option_table *lode_augment_table(void) { return &pipeline_augment_table; }

/* ---- making one ---- */

static lode_status pipeline_take_range(const char *option, const lode_f64_list *list, double low,
                                       double high, double out[2]) {
    out[0] = low;
    out[1] = high;
    if (list->n == 0) return LODE_OK;
    if (list->n != 2 || !(list->v[0] > 0) || !(list->v[0] <= list->v[1]))
        return LODE_FAIL(LODE_ERR_CONFIG,
                         "data.augment.%s wants two numbers [smallest, largest] above 0, e.g. "
                         "[%g, %g]",
                         option, low, high);
    out[0] = list->v[0];
    out[1] = list->v[1];
    return LODE_OK;
}

static lode_status pipeline_check(const lode_pipeline_options *o) {
    enum { MOST = 1 << 14 };
    if (o->height < 1 || o->width < 1 || o->height > MOST || o->width > MOST)
        return LODE_FAIL(LODE_ERR_INVALID, "images of %dx%d: data.size must be 1 to %d", o->height,
                         o->width, MOST);
    if (o->channels != 1 && o->channels != 3)
        return LODE_FAIL(LODE_ERR_INVALID, "images of %d channels: data.channels must be 1 or 3",
                         o->channels);
    for (int c = 0; c < o->channels; c++)
        if (!(o->std[c] > 0))
            return LODE_FAIL(LODE_ERR_INVALID, "data.std of channel %d is %g, wanted above 0", c,
                             o->std[c]);
    if (o->augment != NULL && o->augment->pad > MOST)
        return LODE_FAIL(LODE_ERR_INVALID, "data.augment.pad %lld, wanted at most %d",
                         (long long)o->augment->pad, MOST);
    return LODE_OK;
}

lode_status lode_pipeline_create(const lode_pipeline_options *options, lode_pipeline **out) {
    *out = NULL;
    LODE_TRY(pipeline_check(options));
    lode_pipeline *p = LODE_NEW(lode_pipeline);
    if (p == NULL) return LODE_ERR_NO_MEMORY;
    lode_status status = LODE_OK;
    p->options = *options;
    p->options.augment = NULL; /* the caller's; what is needed of it is copied */
    if (options->augment != NULL) {
        const lode_augment_options *a = options->augment;
        p->augments = true;
        p->augment = *a;
        p->jitters = a->brightness > 0 || a->contrast > 0 || a->saturation > 0;
        LODE_GOTO(pipeline_take_range("scale", &a->scale, 0.08, 1, p->scale));
        LODE_GOTO(pipeline_take_range("aspect", &a->aspect, 3.0 / 4, 4.0 / 3, p->aspect));
    }
    for (int c = 0; c < options->channels; c++)
        for (int b = 0; b < 256; b++)
            p->table[c][b] =
                (float)(p->jitters ? b / 255.0 : (b / 255.0 - options->mean[c]) / options->std[c]);
    *out = p;
    p = NULL;
done:
    lode_pipeline_destroy(p);
    return status;
}

void lode_pipeline_destroy(lode_pipeline *p) { lode_free(p); }

void lode_pipeline_shape(const lode_pipeline *p, int *channels, int *height, int *width) {
    *channels = p->options.channels;
    *height = p->options.height;
    *width = p->options.width;
}

/* ---- the one pass ---- */

/* `n` pixels of a row, from `in` forwards to `out`, which steps by out_step floats. */
static void pipeline_row(const lode_pipeline *p, const uint8_t *in, int in_channels, int n,
                         float *out, ptrdiff_t out_step) {
    const float *t0 = p->table[0], *t1 = p->table[1], *t2 = p->table[2];
    if (p->options.channels == 1 && in_channels == 1) {
        for (int i = 0; i < n; i++, out += out_step) *out = t0[in[i]];
    } else if (p->options.channels == 1) {
        for (int i = 0; i < n; i++, in += 3, out += out_step)
            *out = t0[(299 * in[0] + 587 * in[1] + 114 * in[2] + 500) / 1000];
    } else if (in_channels == 1) {
        for (int i = 0; i < n; i++, out += out_step) {
            out[0] = t0[in[i]];
            out[1] = t1[in[i]];
            out[2] = t2[in[i]];
        }
    } else {
        for (int i = 0; i < n; i++, in += 3, out += out_step) {
            out[0] = t0[in[0]];
            out[1] = t1[in[1]];
            out[2] = t2[in[2]];
        }
    }
}

static void pipeline_black(const lode_pipeline *p, int n, float *out) {
    for (int i = 0; i < n; i++)
        for (int c = 0; c < p->options.channels; c++) *out++ = p->table[c][0];
}

/* The image moved by (dy, dx), black where nothing comes from, mirrored or not. */
static void pipeline_pass(const lode_pipeline *p, const lode_sample *s, int dy, int dx, bool flip,
                          float *out) {
    int height = p->options.height, width = p->options.width, channels = p->options.channels;
    int first = dx < 0 ? -dx : 0, end = dx > 0 ? width - dx : width; /* columns with a source */
    if (first > width) first = width;
    if (end < first) end = first;
    for (int y = 0; y < height; y++) {
        float *row = out + (ptrdiff_t)y * width * channels;
        if (y + dy < 0 || y + dy >= height || first == end) {
            pipeline_black(p, width, row);
            continue;
        }
        const uint8_t *in = s->pixels + ((ptrdiff_t)(y + dy) * width + first + dx) * s->channels;
        if (flip) {
            pipeline_black(p, width - end, row);
            pipeline_row(p, in, s->channels, end - first,
                         row + (ptrdiff_t)(width - 1 - first) * channels, -channels);
            pipeline_black(p, first, row + (ptrdiff_t)(width - first) * channels);
        } else {
            pipeline_black(p, first, row);
            pipeline_row(p, in, s->channels, end - first, row + (ptrdiff_t)first * channels,
                         channels);
            pipeline_black(p, width - end, row + (ptrdiff_t)end * channels);
        }
    }
}

/* ---- a sample's way ---- */

static lode_rng *pipeline_at(lode_rng *rng, uint64_t place) {
    rng->position = place;
    return rng;
}

lode_status lode_pipeline_fit(const lode_pipeline *p, const lode_sample *sample,
                              const lode_rng *rng, lode_pipeline_scratch *scratch,
                              lode_sample *fitted) {
    const lode_pipeline_options *o = &p->options;
    bool random = p->augments && p->augment.crop == LODE_CROP_RESIZED;
    lode_rng r = rng != NULL ? *rng : (lode_rng){0};
    assert(rng != NULL || !p->augments);
    *fitted = *sample;
    if (!random && sample->height == o->height && sample->width == o->width &&
        o->resize <= o->height && o->resize <= o->width)
        return LODE_OK;
    lode_window window =
        random ? lode_window_random(sample->height, sample->width, p->scale, p->aspect,
                                    pipeline_at(&r, PLACE_WINDOW))
               : lode_window_center(sample->height, sample->width, o->height, o->width, o->resize);
    size_t bytes = (size_t)o->height * (size_t)o->width * (size_t)sample->channels;
    LODE_TRY(lode_scratch_reserve(&scratch->image, bytes));
    LODE_TRY(lode_image_resize(sample, &window, o->height, o->width, &scratch->work,
                               scratch->image.bytes));
    fitted->pixels = scratch->image.bytes;
    fitted->height = o->height;
    fitted->width = o->width;
    return LODE_OK;
}

static void pipeline_jitter(const lode_pipeline *p, lode_rng *rng, float *x) {
    const lode_pipeline_options *o = &p->options;
    int64_t n_pixels = (int64_t)o->height * o->width;
    lode_color_jitter(x, n_pixels, o->channels, &p->augment, pipeline_at(rng, PLACE_JITTER));
    for (int c = 0; c < o->channels; c++) {
        float a = (float)(1 / o->std[c]), b = (float)(-o->mean[c] / o->std[c]);
        for (int64_t i = 0; i < n_pixels; i++)
            x[i * o->channels + c] = a * x[i * o->channels + c] + b;
    }
}

void lode_pipeline_finish(const lode_pipeline *p, const lode_sample *fitted, const lode_rng *rng,
                          float *out) {
    const lode_pipeline_options *o = &p->options;
    const lode_augment_options *a = &p->augment;
    lode_rng r = rng != NULL ? *rng : (lode_rng){0};
    int dy = 0, dx = 0;
    bool flip = false;
    assert(rng != NULL || !p->augments);
    assert(fitted->channels == 1 || fitted->channels == 3);
    assert(fitted->height == o->height && fitted->width == o->width);
    if (p->augments && a->crop == LODE_CROP_PAD && a->pad > 0) {
        pipeline_at(&r, PLACE_CROP);
        dy = (int)(lode_rng_below(&r, 2 * a->pad + 1) - a->pad);
        dx = (int)(lode_rng_below(&r, 2 * a->pad + 1) - a->pad);
    }
    if (p->augments && a->flip) flip = lode_rng_below(pipeline_at(&r, PLACE_FLIP), 2) == 1;
    pipeline_pass(p, fitted, dy, dx, flip, out);
    if (p->jitters) pipeline_jitter(p, &r, out);
    if (p->augments && a->cutout > 0)
        lode_cutout(out, o->height, o->width, o->channels, (int)a->cutout,
                    pipeline_at(&r, PLACE_CUTOUT));
}

lode_status lode_pipeline_apply(const lode_pipeline *p, const lode_sample *sample,
                                const lode_rng *rng, lode_pipeline_scratch *scratch, float *out) {
    lode_sample fitted;
    LODE_TRY(lode_pipeline_fit(p, sample, rng, scratch, &fitted));
    lode_pipeline_finish(p, &fitted, rng, out);
    return LODE_OK;
}

void lode_pipeline_scratch_deinit(lode_pipeline_scratch *s) {
    lode_scratch_deinit(&s->image);
    lode_scratch_deinit(&s->work);
}
