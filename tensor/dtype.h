/* dtype.h: element types. */
#ifndef LODE_TENSOR_DTYPE_H
#define LODE_TENSOR_DTYPE_H
#include "core/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum lode_dtype {
    LODE_F32,
    LODE_F64,
    LODE_BF16, /* storage only: 16 high bits of a float, round to nearest even */
    LODE_S64,
    LODE_S32,
    LODE_S8,
    LODE_U8,
    LODE_N_DTYPES
} lode_dtype;

LODE_API size_t lode_dtype_size(lode_dtype t);             /* bytes */
LODE_API const char *lode_dtype_name(lode_dtype t);        /* "f32", ... */
LODE_API const char *lode_dtype_safetensors(lode_dtype t); /* "F32", "I64", ... */
LODE_API lode_status lode_dtype_from_name(const char *name, lode_dtype *out); /* both spellings */
LODE_API double lode_dtype_epsilon(lode_dtype t); /* of float types; 0 for integers */
LODE_API bool lode_dtype_is_float(lode_dtype t);  /* can carry a gradient */
/* One element to and from double. Integers round half away from zero and saturate;
   NaN becomes 0. `p` needs no alignment. */
LODE_API double lode_dtype_load(lode_dtype t, const void *p);
LODE_API void lode_dtype_store(lode_dtype t, void *p, double v);
/* bf16 bits to and from float, nearest even. */
LODE_API float lode_bf16_to_f32(uint16_t h);
LODE_API uint16_t lode_bf16_from_f32(float f);
#endif
