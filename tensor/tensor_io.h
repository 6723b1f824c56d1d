/* tensor_io.h: named tensors in one file, in the safetensors layout: 8 bytes of header length
   (little endian), a JSON header {name: {dtype, shape, data_offsets}}, then the bytes. Written
   whole or not at all; a "crc32" of the data stands in __metadata__ (eight hexadecimal digits) and
   is checked when present. A file is believed only as far as it can be checked: every range within
   the file, none overlapping, none left over, sizes as shape and dtype say; else LODE_ERR_DATA with
   file, tensor, and what was expected. */
#ifndef LODE_TENSOR_TENSOR_IO_H
#define LODE_TENSOR_TENSOR_IO_H
#include "tensor/tensor.h"

typedef struct lode_named_tensor {
    const char *name;
    lode_tensor *tensor;
} lode_named_tensor;

/* metadata: NULL-terminated pairs key, value, or NULL; "crc32" is ours. Tensors are stored
   contiguous (row-major of their logical shape), those with larger elements first, so that all are
   aligned. */
LODE_API lode_status lode_tensors_save(const char *path, const lode_named_tensor *items, int64_t n,
                                       const char *const *metadata);

typedef struct lode_tensor_file lode_tensor_file;
LODE_API lode_status lode_tensors_open(const char *path, lode_tensor_file **out);
/* The same from memory, which must stay until close; `name` is for messages. */
LODE_API lode_status lode_tensors_open_bytes(const void *bytes, size_t n, const char *name,
                                             lode_tensor_file **out);
LODE_API void lode_tensors_close(lode_tensor_file *f);
LODE_API int64_t lode_tensors_n(const lode_tensor_file *f);
/* In the order of their bytes. */
LODE_API const char *lode_tensors_name(const lode_tensor_file *f, int64_t i);
/* By name: a fresh tensor (release it). LODE_ERR_NOT_FOUND names the nearest. */
LODE_API lode_status lode_tensors_get(lode_tensor_file *f, const char *name, lode_tensor **out);
/* Copies into an existing tensor; shapes must be equal, dtypes convert. */
LODE_API lode_status lode_tensors_load_into(lode_tensor_file *f, const char *name,
                                            lode_tensor *dst);
/* Value of a metadata key or NULL. */
LODE_API const char *lode_tensors_metadata(const lode_tensor_file *f, const char *key);
#endif
