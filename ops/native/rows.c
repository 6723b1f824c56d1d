/* See rows.h. A piece is some 64 KiB of x, so that the partials of a wide matrix stay small beside
   it; within a piece sums run in float over 64 rows at most, then in double. */
#include "ops/native/rows.h"

#include "core/parallel.h"

#include <string.h>

enum { ROWS_PIECE_FLOATS = 1 << 14, ROWS_IN_FLOAT = 64 };

static int64_t rows_grain(int64_t m, int64_t n) {
    int64_t grain = ROWS_PIECE_FLOATS / n;
    if (grain < ROWS_IN_FLOAT) grain = ROWS_IN_FLOAT;
    return grain < m ? grain : m;
}

typedef struct sums_job {
    int64_t n;
    const float *x;
    double *partial; /* [pieces, n] */
    float *block;    /* [pieces, n] */
} sums_job;

size_t lode_column_sums_scratch(int64_t m, int64_t n) {
    if (m == 0 || n == 0) return 0;
    size_t pieces = (size_t)lode_parallel_pieces(m, rows_grain(m, n));
    return pieces * (size_t)n * (sizeof(double) + sizeof(float));
}

static void sums_piece(void *ctx, int64_t piece, int64_t begin, int64_t end) {
    const sums_job *j = ctx;
    int64_t n = j->n;
    double *restrict sum = j->partial + piece * n;
    float *restrict block = j->block + piece * n;
    for (int64_t i = 0; i < n; i++) sum[i] = 0;
    for (int64_t m = begin; m < end; m += ROWS_IN_FLOAT) {
        int64_t last = m + ROWS_IN_FLOAT < end ? m + ROWS_IN_FLOAT : end;
        memset(block, 0, (size_t)n * sizeof *block);
        for (int64_t r = m; r < last; r++) {
            const float *restrict x = j->x + r * n;
            for (int64_t i = 0; i < n; i++) block[i] += x[i];
        }
        for (int64_t i = 0; i < n; i++) sum[i] += (double)block[i];
    }
}

void lode_column_sums(int64_t m, int64_t n, const float *x, float *out, void *scratch) {
    if (n == 0) return;
    if (m == 0) {
        memset(out, 0, (size_t)n * sizeof *out);
        return;
    }
    int64_t grain = rows_grain(m, n), pieces = lode_parallel_pieces(m, grain);
    double *partial = scratch;
    sums_job j = {.n = n, .x = x, .partial = partial, .block = (float *)(partial + pieces * n)};
    lode_parallel_for(m, grain, sums_piece, &j);
    for (int64_t i = 0; i < n; i++) {
        double sum = 0;
        for (int64_t p = 0; p < pieces; p++) sum += partial[p * n + i];
        out[i] = (float)sum;
    }
}

typedef struct fill_job {
    int64_t n;
    const float *bias;
    float *x;
} fill_job;

static void fill_piece(void *ctx, int64_t piece, int64_t begin, int64_t end) {
    const fill_job *j = ctx;
    (void)piece;
    for (int64_t m = begin; m < end; m++)
        memcpy(j->x + m * j->n, j->bias, (size_t)j->n * sizeof *j->x);
}

void lode_fill_rows(int64_t m, int64_t n, const float *bias, float *x) {
    if (m == 0 || n == 0) return;
    fill_job j = {.n = n, .bias = bias, .x = x};
    lode_parallel_for(m, rows_grain(m, n), fill_piece, &j);
}
