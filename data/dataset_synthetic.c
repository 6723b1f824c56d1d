/* dataset_synthetic.c: made-up images that a network can learn, for tests and benches: no files,
   any size, any number of classes.

   A class is a texture: three plane waves per channel with whole numbers of periods, so that it
   tiles. A sample is its class's texture shifted by a random vector and dimmed, under noise:

       pixel = 128 + contrast * texture[class][y + dy, x + dx] + noise * u,   u uniform in [-1, 1]

   The shift makes it a task for convolutions: the mean image of every class is grey. Sample i is a
   function of (seed, part, i); its label is i mod n_classes, so every class is as frequent. */
#include "core/memory.h"
#include "core/rng.h"
#include "data/dataset.h"

#include <math.h>
#include <stddef.h>

typedef struct synthetic_options {
    int64_t train, valid, test; /* samples */
    double contrast, noise;     /* of 255 */
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
};
static const lode_option_table synthetic_table = {"data.synthetic", synthetic_rows, 5};

typedef struct synthetic_dataset {
    synthetic_options options;
    uint64_t seed;
    int n_classes, size, channels;
    float *texture; /* [n_classes, size, size, channels], in [-1, 1] */
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
    lode_free(d->texture);
    lode_free(d);
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
    *info = (lode_dataset_info){
        .n_classes = d->n_classes, .height = d->size, .width = d->size, .channels = d->channels};
    for (int c = 0; c < LODE_MAX_CHANNELS; c++) { /* waves have mean 0 and variance 1/6 */
        info->mean[c] = 0.5;
        info->std[c] = sqrt(o->contrast * o->contrast / 6 + o->noise * o->noise / 3) / 255 + 0.01;
    }
    *self = d;
    return LODE_OK;
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

static lode_status synthetic_get(void *self, lode_part part, int64_t i, lode_scratch *scratch,
                                 lode_sample *out) {
    const synthetic_dataset *d = self;
    int size = d->size, row = size * d->channels, label = synthetic_label(self, part, i);
    LODE_TRY(lode_scratch_reserve(scratch, (size_t)size * (size_t)row));
    lode_rng rng =
        lode_rng_stream(d->seed, LODE_RNG_DATA, (uint64_t)i * LODE_N_PARTS + (uint64_t)part);
    int64_t dy = lode_rng_below(&rng, size), dx = lode_rng_below(&rng, size);
    float contrast = (float)(d->options.contrast * (0.6 + 0.4 * lode_rng_uniform(&rng)));
    float noise = (float)d->options.noise;
    const float *texture = d->texture + (int64_t)label * size * row;
    uint8_t *p = scratch->bytes;
    for (int y = 0; y < size; y++) {
        const float *t = texture + (y + dy) % size * row;
        for (int k = 0; k < row; k++) {
            float u = (float)lode_rng_u32(&rng) * (2.0f / 4294967296.0f) - 1;
            float v = 128 + contrast * t[(k + dx * d->channels) % row] + noise * u;
            *p++ = (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v + 0.5f);
        }
    }
    *out = (lode_sample){.pixels = scratch->bytes,
                         .height = size,
                         .width = size,
                         .channels = d->channels,
                         .label = label};
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
