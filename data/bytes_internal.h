/* bytes_internal.h: readers of dataset files that work on bytes in memory, so that tests and
   fuzzing reach them without files. `name` is for messages only. */
#ifndef LODE_DATA_BYTES_INTERNAL_H
#define LODE_DATA_BYTES_INTERNAL_H
#include "core/status.h"

#include <stddef.h>
#include <stdint.h>

/* Unpacks gzip (RFC 1952, any number of members). lode_free(*out). */
LODE_API lode_status lode_gunzip(const uint8_t *bytes, size_t n, const char *name, uint8_t **out,
                                 size_t *n_out);
/* A whole file, unpacked when it is gzip. lode_free(*out). */
LODE_API lode_status lode_read_unpacked(const char *path, uint8_t **out, size_t *n_out);

/* An IDX file of bytes: magic 00 00 08 n_dims, dims as 32-bit big endian, then the elements. */
typedef struct lode_idx_header {
    int64_t dim[3];
    size_t offset; /* of the first element */
} lode_idx_header;
LODE_API lode_status lode_idx_parse(const uint8_t *bytes, size_t n, const char *name, int n_dims,
                                    lode_idx_header *out);

/* CIFAR binary rows: `label_bytes` labels (the one at label_at counts), then 32x32 planes R, G, B.
 */
typedef struct lode_cifar_layout {
    int label_bytes, label_at, n_classes;
} lode_cifar_layout;
enum { LODE_CIFAR_PIXELS = 32 * 32 * 3 };
/* How many rows `n` bytes hold; fails unless they are whole. */
LODE_API lode_status lode_cifar_count(size_t n, const char *name, const lode_cifar_layout *layout,
                                      int64_t *n_rows);
/* pixels: [n_rows, 32, 32, 3]; labels: [n_rows]. Sizes were checked by lode_cifar_count. */
LODE_API lode_status lode_cifar_parse(const uint8_t *bytes, int64_t n_rows, const char *name,
                                      const lode_cifar_layout *layout, uint8_t *pixels,
                                      uint8_t *labels);
#endif
