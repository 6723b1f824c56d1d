/* dataset_synthetic.c: made-up images that a network can learn, for tests and benches: no files,
   any size, any number of classes.

   A class is a texture: three plane waves per channel with whole numbers of periods, so that it
   tiles. A sample is its class's texture shifted by a random vector and dimmed, under noise:

       pixel = 128 + contrast * texture[class][y + dy, x + dx] + noise * u,   u uniform in [-1, 1]

   The shift makes it a task for convolutions: the mean image of every class is grey. Sample i is a
   function of (seed, part, i); its label is i mod n_classes, so every class is as frequent.
   `stored` makes all samples at opening, so that a bench of training does not measure their making.
 */
#include "core/memory.h"
#include "core/rng.h"
#include "data/dataset.h"

#include <math.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct synthetic_options {
    int64_t train, valid, test; /* samples */
    double contrast, noise;     /* of 255 */
    bool stored;
} synthetic_options;

static const lode_option synthetic_rows[] = {
    {"train", LODE_OPT_INT, offsetof(synthetic_options, train), "1024", 1, 1e9, "images",
     "training images to make"},
    {"valid", LODE_OPT_INT, offsetof(synthetic_options, valid), "0", 0, 1e9, "images",
     "validation images to make; usually 0, data.valid cuts them from the training images"},
    {"test", LODE_OPT_INT, offsetof(synthetic_options, test), "256", 0, 1e9, "images",
     "test images to make"},
    {"contrast", LODE_OPT_F64, offsetof(synthetic_options, contrast), "60", 0, 127, "grey levels",
     "height of the class's texture"},
    {"noise", LODE_OPT_F64, offsetof(synthetic_options, noise), "40", 0, 127, "grey levels",
     "height of the uniform noise upon it"},
    {"stored", LODE_OPT_BOOL, offsetof(synthetic_options, stored), "false", 0, 0, NULL,
     "make all images at opening and keep them, instead of each when it is asked for"},
};
static const lode_option_table synthetic_table = {
    "data.synthetic", synthetic_rows, (int)(sizeof synthetic_rows / sizeof *synthetic_rows)};

typedef struct synthetic_dataset {
    synthetic_options options;
    uint64_t seed;
    int n_classes, size, channels;
    float *texture;                /* [n_classes, size, size, channels], in [-1, 1] */
    uint8_t *stored[LODE_N_PARTS]; /* [n_samples, size, size, channels]; NULL: made when asked */
} synthetic_dataset;

enum { SYNTHETIC_WAVES = 3 };

/* Textures and samples share the purpose; samples count from 0, textures from 2^63. */
static void synthetic_make_texture(synthetic_dataset *d, int label) {
    const double turn = 6.283185307179586;
    lode_rng rng = lode_rng_stream(d->seed, LODE_RNG_DATA, (UINT64_C(1) << 63) + (uint64_t)label);
    int size = d->size, most = size < 8 ? size / 2 + 1 : 4; /* periods across the image */
    float *texture = d->texture + (int64_t)label * size * size * d->channels;
    for (int c = 0; c < d->channels; c++) {
        double fy[SYNTHETIC_WAVES], fx[SYNTHETIC_WAVES], phase[SYNTHETIC_WAVES];
        for (int k = 0; k < SYNTHETIC_WAVES; k++) {
            fy[k] = (double)lode_rng_below(&rng, most);
            fx[k] = (double)(1 + lode_rng_below(&rng, most));
            phase[k] = turn * lode_rng_uniform(&rng);
        }
        for (int y = 0; y < size; y++)
            for (int x = 0; x < size; x++) {
                double v = 0;
                for (int k = 0; k < SYNTHETIC_WAVES; k++)
                    v += sin(turn * (fy[k] * y + fx[k] * x) / size + phase[k]);
                texture[((int64_t)y * size + x) * d->channels + c] = (float)(v / SYNTHETIC_WAVES);
            }
    }
}

static void synthetic_close(void *self) {
    synthetic_dataset *d = self;
    if (d == NULL) return;
    for (int part = 0; part < LODE_N_PARTS; part++) lode_free(d->stored[part]);
    lode_free(d->texture);
    lode_free(d);
}

static int64_t synthetic_n_samples(const void *self, lode_part part) {
    const synthetic_dataset *d = self;
    return part == LODE_PART_TRAIN   ? d->options.train
           : part == LODE_PART_VALID ? d->options.valid
                                     : d->options.test;
}

static int synthetic_label(const void *self, lode_part part, int64_t i) {
    (void)part;
    return (int)(i % ((const synthetic_dataset *)self)->n_classes);
}

/* Sample i of a part: [size, size, channels]. */
static void synthetic_make(const synthetic_dataset *d, lode_part part, int64_t i, uint8_t *p) {
    int size = d->size, row = size * d->channels, label = synthetic_label(d, part, i);
    lode_rng rng =
        lode_rng_stream(d->seed, LODE_RNG_DATA, (uint64_t)i * LODE_N_PARTS + (uint64_t)part);
    int64_t dy = lode_rng_below(&rng, size), dx = lode_rng_below(&rng, size);
    float contrast = (float)(d->options.contrast * (0.6 + 0.4 * lode_rng_uniform(&rng)));
    float noise = (float)d->options.noise;
    const float *texture = d->texture + (int64_t)label * size * row;
    for (int y = 0; y < size; y++) {
        const float *t = texture + (y + dy) % size * row;
        for (int k = 0; k < row; k++) {
            float u = (float)lode_rng_u32(&rng) * (2.0f / 4294967296.0f) - 1;
            float v = 128 + contrast * t[(k + dx * d->channels) % row] + noise * u;
            *p++ = (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v + 0.5f);
        }
    }
}

static int64_t synthetic_sample_bytes(const synthetic_dataset *d) {
    return (int64_t)d->size * d->size * d->channels;
}

static lode_status synthetic_store(synthetic_dataset *d) {
    int64_t bytes = synthetic_sample_bytes(d);
    for (int part = 0; part < LODE_N_PARTS; part++) {
        int64_t n = synthetic_n_samples(d, (lode_part)part);
        if (n == 0) continue;
        d->stored[part] = lode_alloc((size_t)n, (size_t)bytes);
        if (d->stored[part] == NULL) return LODE_ERR_NO_MEMORY;
        for (int64_t i = 0; i < n; i++)
            synthetic_make(d, (lode_part)part, i, d->stored[part] + i * bytes);
    }
    return LODE_OK;
}

static lode_status synthetic_open(const lode_dataset_request *request, void **self,
                                  lode_dataset_info *info) {
    const synthetic_options *o = request->options;
    synthetic_dataset *d = LODE_NEW(synthetic_dataset);
    if (d == NULL) return LODE_ERR_NO_MEMORY;
    d->options = *o;
    d->seed = request->seed;
    d->n_classes = request->n_classes > 0 ? request->n_classes : 10;
    d->size = request->size > 0 ? request->size : 16;
    d->channels = request->channels > 0 ? request->channels : 3;
    d->texture = lode_alloc((size_t)d->n_classes * (size_t)d->size * (size_t)d->size,
                            (size_t)d->channels * sizeof(float));
    if (d->texture == NULL) {
        synthetic_close(d);
        return lode_error_context("textures of %d classes of %dx%d", request->n_classes,
                                  request->size, request->size);
    }
    for (int label = 0; label < d->n_classes; label++) synthetic_make_texture(d, label);
    if (o->stored && synthetic_store(d) != LODE_OK) {
        synthetic_close(d);
        return lode_error_context("storing images of %dx%d (data.synthetic.stored)", request->size,
                                  request->size);
    }
    *info = (lode_dataset_info){
        .n_classes = d->n_classes, .height = d->size, .width = d->size, .channels = d->channels};
    for (int c = 0; c < LODE_MAX_CHANNELS; c++) { /* waves have mean 0 and variance 1/6 */
        info->mean[c] = 0.5;
        info->std[c] = sqrt(o->contrast * o->contrast / 6 + o->noise * o->noise / 3) / 255 + 0.01;
    }
    *self = d;
    return LODE_OK;
}

static lode_status synthetic_get(void *self, lode_part part, int64_t i, lode_scratch *scratch,
                                 lode_sample *out) {
    const synthetic_dataset *d = self;
    int64_t bytes = synthetic_sample_bytes(d);
    const uint8_t *pixels;
    if (d->stored[part] != NULL) {
        pixels = d->stored[part] + i * bytes;
    } else {
        LODE_TRY(lode_scratch_reserve(scratch, (size_t)bytes));
        synthetic_make(d, part, i, scratch->bytes);
        pixels = scratch->bytes;
    }
    *out = (lode_sample){.pixels = pixels,
                         .height = d->size,
                         .width = d->size,
                         .channels = d->channels,
                         .label = synthetic_label(self, part, i)};
    return LODE_OK;
}

const lode_dataset_plugin lode_dataset_synthetic = {
    .name = "synthetic",
    .help = "made-up textures of data.size, one per class: nothing to download",
    .options = &synthetic_table,
    .options_size = sizeof(synthetic_options),
    .open = synthetic_open,
    .n_samples = synthetic_n_samples,
    .label = synthetic_label,
    .get = synthetic_get,
    .close = synthetic_close,
};
