/* dtype.c: sizes, names and single-element conversion. The slow road every reference operator
   takes; bulk conversion in tensor_copy.c uses the same rules. */
#include "tensor/dtype.h"

#include <math.h>
#include <string.h>

typedef struct dtype_info {
    const char *name, *safetensors;
    size_t size;
    double epsilon;
} dtype_info;

static const dtype_info dtype_table[LODE_N_DTYPES] = {
    [LODE_F32] = {"f32", "F32", 4, 0x1p-23},
    [LODE_F64] = {"f64", "F64", 8, 0x1p-52},
    [LODE_BF16] = {"bf16", "BF16", 2, 0x1p-7},
    [LODE_S64] = {"s64", "I64", 8, 0},
    [LODE_S32] = {"s32", "I32", 4, 0},
    [LODE_S8] = {"s8", "I8", 1, 0},
    [LODE_U8] = {"u8", "U8", 1, 0},
};

static bool dtype_is_known(lode_dtype t) { return (unsigned)t < LODE_N_DTYPES; }

size_t lode_dtype_size(lode_dtype t) { return dtype_is_known(t) ? dtype_table[t].size : 0; }
const char *lode_dtype_name(lode_dtype t) { return dtype_is_known(t) ? dtype_table[t].name : "?"; }
const char *lode_dtype_safetensors(lode_dtype t) {
    return dtype_is_known(t) ? dtype_table[t].safetensors : "?";
}
double lode_dtype_epsilon(lode_dtype t) { return dtype_is_known(t) ? dtype_table[t].epsilon : 0; }
bool lode_dtype_is_float(lode_dtype t) { return lode_dtype_epsilon(t) > 0; }

lode_status lode_dtype_from_name(const char *name, lode_dtype *out) {
    for (int i = 0; i < LODE_N_DTYPES; i++) {
        if (strcmp(name, dtype_table[i].name) != 0 && strcmp(name, dtype_table[i].safetensors) != 0)
            continue;
        *out = (lode_dtype)i;
        return LODE_OK;
    }
    return LODE_FAIL(LODE_ERR_DTYPE,
                     "dtype \"%.40s\" is unknown; known are f32 f64 bf16 s64 s32 s8 u8 "
                     "(in files F32 F64 BF16 I64 I32 I8 U8)",
                     name);
}

float lode_bf16_to_f32(uint16_t h) {
    uint32_t bits = (uint32_t)h << 16;
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

uint16_t lode_bf16_from_f32(float f) {
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return (uint16_t)(bits >> 16 | 0x40u); /* quiet NaN */
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

/* Rounding twice, to float and then to bf16, errs when the float lands exactly on a tie that the
   double missed: the float is moved one unit off the tie, to the side where the double is. */
static uint16_t bf16_from_f64(double v) {
    float f = (float)v;
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    if ((bits & 0xffffu) == 0x8000u && (double)f != v) {
        bits += fabs(v) > fabs((double)f) ? 1u : UINT32_MAX;
        memcpy(&f, &bits, sizeof f);
    }
    return lode_bf16_from_f32(f);
}

/* Rounds half away from zero, saturates; NaN becomes 0. */
static int64_t integer_from_f64(double v, double min, double max) {
    if (!(v == v)) return 0;
    v = round(v);
    if (v <= min) return (int64_t)min;
    if (v >= max) return max >= 0x1p63 ? INT64_MAX : (int64_t)max;
    return (int64_t)v;
}

double lode_dtype_load(lode_dtype t, const void *p) {
    switch (t) {
    case LODE_F32: {
        float v;
        memcpy(&v, p, sizeof v);
        return (double)v;
    }
    case LODE_F64: {
        double v;
        memcpy(&v, p, sizeof v);
        return v;
    }
    case LODE_BF16: {
        uint16_t v;
        memcpy(&v, p, sizeof v);
        return (double)lode_bf16_to_f32(v);
    }
    case LODE_S64: {
        int64_t v;
        memcpy(&v, p, sizeof v);
        return (double)v;
    }
    case LODE_S32: {
        int32_t v;
        memcpy(&v, p, sizeof v);
        return (double)v;
    }
    case LODE_S8: {
        int8_t v;
        memcpy(&v, p, sizeof v);
        return (double)v;
    }
    case LODE_U8: {
        uint8_t v;
        memcpy(&v, p, sizeof v);
        return (double)v;
    }
    case LODE_N_DTYPES:
        break;
    }
    return NAN;
}

void lode_dtype_store(lode_dtype t, void *p, double v) {
    switch (t) {
    case LODE_F32: {
        float x = (float)v;
        memcpy(p, &x, sizeof x);
        break;
    }
    case LODE_F64:
        memcpy(p, &v, sizeof v);
        break;
    case LODE_BF16: {
        uint16_t x = bf16_from_f64(v);
        memcpy(p, &x, sizeof x);
        break;
    }
    case LODE_S64: {
        int64_t x = integer_from_f64(v, -0x1p63, 0x1p63);
        memcpy(p, &x, sizeof x);
        break;
    }
    case LODE_S32: {
        int32_t x = (int32_t)integer_from_f64(v, INT32_MIN, INT32_MAX);
        memcpy(p, &x, sizeof x);
        break;
    }
    case LODE_S8: {
        int8_t x = (int8_t)integer_from_f64(v, INT8_MIN, INT8_MAX);
        memcpy(p, &x, sizeof x);
        break;
    }
    case LODE_U8: {
        uint8_t x = (uint8_t)integer_from_f64(v, 0, UINT8_MAX);
        memcpy(p, &x, sizeof x);
        break;
    }
    case LODE_N_DTYPES:
        break;
    }
}
