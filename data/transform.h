/* transform.h: from a sample's bytes to the numbers a network sees.

   Everything here is a pure function of (sample, rng). A pipeline is a sample's whole way:

       fit      to height x width when the image is not: shorter side to `resize`, centre crop
                (or, when training with crop "resized", a random window of random shape)
       crop     `pad` black pixels around, then a random window of the original size
       flip     left to right with probability one half
       channels grey copied to 3, or RGB to grey by 0.299 R + 0.587 G + 0.114 B
       jitter   brightness, contrast, saturation, in this order, on values in [0, 1]
       normalize (x / 255 - mean) / std
       cutout   a square of zeros (the mean colour) around a uniform centre, clipped at the border
                (DeVries & Taylor 2017)

   The evaluation variant has only fit, channels and normalize. Each random step draws from its own
   place in the stream: turning flips on does not move the crops. For images that already have the
   right size all but jitter is one pass from bytes to floats through a table. */
#ifndef LODE_DATA_TRANSFORM_H
#define LODE_DATA_TRANSFORM_H
#include "core/rng.h"
#include "data/dataset.h"

#include <stdbool.h>

/* Section "data.augment" of a recipe; only for training. */
typedef enum lode_crop_kind { LODE_CROP_PAD, LODE_CROP_RESIZED, LODE_CROP_NONE } lode_crop_kind;
typedef struct lode_augment_options {
    int crop;             /* lode_crop_kind */
    int64_t pad;          /* pixels on each side, for crop: pad */
    lode_f64_list scale;  /* [2] share of the area, for crop: resized */
    lode_f64_list aspect; /* [2] width / height, for crop: resized */
    bool flip;
    int64_t cutout;                          /* side of the square in pixels; 0: none */
    double brightness, contrast, saturation; /* factor uniform in [1 - b, 1 + b]; 0: none */
} lode_augment_options;
LODE_API const lode_option_table *lode_augment_table(void);

/* What a pipeline makes. */
typedef struct lode_pipeline_options {
    int height, width, channels; /* of the result */
    int resize;                  /* shorter side before the centre crop; 0: just fits */
    double mean[LODE_MAX_CHANNELS], std[LODE_MAX_CHANNELS]; /* per channel of the result */
    const lode_augment_options *augment;                    /* NULL: the evaluation variant */
} lode_pipeline_options;

/* Immutable once made: any number of threads, each with its own scratch. */
typedef struct lode_pipeline lode_pipeline;
LODE_API lode_status lode_pipeline_create(const lode_pipeline_options *options,
                                          lode_pipeline **out);
LODE_API void lode_pipeline_destroy(lode_pipeline *p);
LODE_API void lode_pipeline_shape(const lode_pipeline *p, int *channels, int *height, int *width);
/* One thread's buffers for resizing. Init with {0}; another than the sample's own. */
typedef struct lode_pipeline_scratch {
    lode_scratch image, work;
} lode_pipeline_scratch;
LODE_API void lode_pipeline_scratch_deinit(lode_pipeline_scratch *s);
/* out: f32 [height, width, channels]. `rng` is the sample's stream, not moved; NULL is fine for the
   evaluation variant. */
LODE_API lode_status lode_pipeline_apply(const lode_pipeline *p, const lode_sample *sample,
                                         const lode_rng *rng, lode_pipeline_scratch *scratch,
                                         float *out);
/* The two halves of apply: to an image of bytes of the result's size (the sample itself when it has
   it, else in the scratch), and on from there. */
LODE_API lode_status lode_pipeline_fit(const lode_pipeline *p, const lode_sample *sample,
                                       const lode_rng *rng, lode_pipeline_scratch *scratch,
                                       lode_sample *fitted);
LODE_API void lode_pipeline_finish(const lode_pipeline *p, const lode_sample *fitted,
                                   const lode_rng *rng, float *out);

/* ---- the pieces ---- */

/* A rectangle of the source that becomes the image. */
typedef struct lode_window {
    double y, x, height, width; /* in source pixels; whole numbers when `cut` */
    bool cut; /* cut out first and then resized; else a part of the resized whole, whose
                 rim blends with what lies outside */
} lode_window;
/* The part of a height x width image that a resize of the shorter side to `resize` followed by a
   centre crop to out_height x out_width keeps. resize is raised until the crop fits. */
LODE_API lode_window lode_window_center(int height, int width, int out_height, int out_width,
                                        int resize);
/* Szegedy et al. 2015, as in common use: area share uniform in scale, aspect log-uniform; ten
   tries, then the largest centred window within the aspect range. */
LODE_API lode_window lode_window_random(int height, int width, const double scale[2],
                                        const double aspect[2], lode_rng *rng);
/* Bilinear with the filter widened when shrinking (no aliasing). out: [out_height, out_width, C].
 */
LODE_API lode_status lode_image_resize(const lode_sample *in, const lode_window *window,
                                       int out_height, int out_width, lode_scratch *scratch,
                                       uint8_t *out);
/* x: f32 [n_pixels, channels] in [0, 1], in place, clamped after each step. */
LODE_API void lode_color_jitter(float *x, int64_t n_pixels, int channels,
                                const lode_augment_options *options, lode_rng *rng);
/* x: f32 [height, width, channels], in place. */
LODE_API void lode_cutout(float *x, int height, int width, int channels, int side, lode_rng *rng);
#endif
