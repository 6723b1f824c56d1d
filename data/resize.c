/* resize.c: a window of an image to any size, through stb_image_resize.

   The triangle filter, widened when shrinking, is what the field calls bilinear with antialiasing.
   A random crop of training is cut out first and resized then, as everybody does it; the centre
   crop of evaluation is a part of the resized whole. The resizer's workspace is the caller's
   scratch. */
#include "core/memory.h"
#include "data/transform.h"

#include <assert.h>
#include <math.h>
#include <stddef.h>

/* One block per call, given back when it returns: the scratch it is. */
static void *resize_allocate(size_t bytes, void *scratch) {
    return lode_scratch_reserve(scratch, bytes) == LODE_OK ? ((lode_scratch *)scratch)->bytes
                                                           : NULL;
}

#define STB_IMAGE_RESIZE_IMPLEMENTATION
#define STB_IMAGE_RESIZE_STATIC
#define STBIR_MALLOC(bytes, scratch) resize_allocate((bytes), (scratch))
#define STBIR_FREE(p, scratch)       ((void)(p), (void)(scratch))
/* It expects the weights of a pixel to add up to 0.9 to 1.1 before it makes them 1: strong
   reductions are outside, and as good afterwards. */
#define STBIR_ASSERT(x) ((void)0)
#if defined(__GNUC__)
#pragma GCC diagnostic ignored "-Wunused-function" /* its simpler entries */
#endif
#include <stb/stb_image_resize.h>

lode_status lode_image_resize(const lode_sample *in, const lode_window *window, int out_height,
                              int out_width, lode_scratch *scratch, uint8_t *out) {
    lode_window w = *window;
    const uint8_t *pixels = in->pixels;
    int height = in->height, width = in->width, channels = in->channels;
    int row = width * channels;
    assert(w.y >= 0 && w.x >= 0 && w.height > 0 && w.width > 0);
    assert(w.y + w.height <= height + 1e-6 && w.x + w.width <= width + 1e-6);
    if (w.cut) {
        pixels += (ptrdiff_t)w.y * row + (ptrdiff_t)w.x * channels;
        height = (int)w.height;
        width = (int)w.width;
        w = (lode_window){0, 0, w.height, w.width, true};
    }
    float s0 = (float)(w.x / width), s1 = (float)fmin(1, (w.x + w.width) / width);
    float t0 = (float)(w.y / height), t1 = (float)fmin(1, (w.y + w.height) / height);
    if (stbir_resize_region(pixels, width, height, row, out, out_width, out_height,
                            out_width * channels, STBIR_TYPE_UINT8, channels,
                            STBIR_ALPHA_CHANNEL_NONE, 0, STBIR_EDGE_CLAMP, STBIR_EDGE_CLAMP,
                            STBIR_FILTER_TRIANGLE, STBIR_FILTER_TRIANGLE, STBIR_COLORSPACE_LINEAR,
                            scratch, s0, t0, s1, t1))
        return LODE_OK;
    return LODE_FAIL(LODE_ERR_NO_MEMORY, "cannot resize an image of %dx%d to %dx%d", in->height,
                     in->width, out_height, out_width);
}
