/* image_io.h: JPEG and PNG to bytes. */
#ifndef LODE_DATA_IMAGE_IO_H
#define LODE_DATA_IMAGE_IO_H
#include "data/dataset.h"

/* Decodes a JPEG or PNG of at most 64 million pixels. channels 1, 3: converts (grey is copied to
   three, transparency dropped, 16 bits cut to 8); 0: 1 or 3, whichever the file is nearer to.
   out->pixels [height, width, channels] is fresh memory, lode_free(*pixels). Damaged or truncated
   files fail with `name`, what was seen and what was expected. */
LODE_API lode_status lode_image_decode(const uint8_t *bytes, size_t n, const char *name,
                                       int channels, uint8_t **pixels, lode_sample *out);
LODE_API lode_status lode_image_read(const char *path, int channels, uint8_t **pixels,
                                     lode_sample *out);
#endif
