/* image_check_internal.h: whether a JPEG or PNG is sound enough to be handed to the decoder. */
#ifndef LODE_DATA_IMAGE_CHECK_INTERNAL_H
#define LODE_DATA_IMAGE_CHECK_INTERNAL_H
#include "core/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a file's header says. */
typedef struct lode_image_header {
    int64_t height, width;
    bool grey;
} lode_image_header;

/* Walks the whole file; what is wrong is told with its offset. `name` is for messages. */
lode_status lode_image_check(const uint8_t *bytes, size_t n, const char *name,
                             lode_image_header *out);
#endif
