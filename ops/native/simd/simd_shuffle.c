/* Channels dealt out: the one move of elements that networks do often and a general walk does
   badly, since neither side is read or written in a line. */
#include "ops/native/simd/simd_internal.h"

LODE_INLINE void shuffle_row(int64_t groups, int64_t each, const float *restrict x,
                             float *restrict y) {
    for (int64_t j = 0; j < each; j++) {
        LODE_UNROLL for (int64_t i = 0; i < groups; i++) y[j * groups + i] = x[i * each + j];
    }
}

void simd_run_shuffle(int64_t rows, int64_t c, int64_t groups, const float *x, float *y) {
    const int64_t each = c / groups;
    for (int64_t r = 0; r < rows; r++, x += c, y += c) {
        switch (groups) {
        case 2:
            shuffle_row(2, each, x, y);
            break;
        case 4:
            shuffle_row(4, each, x, y);
            break;
        default:
            for (int64_t i = 0; i < groups; i++)
                for (int64_t j = 0; j < each; j++) y[j * groups + i] = x[i * each + j];
            break;
        }
    }
}
