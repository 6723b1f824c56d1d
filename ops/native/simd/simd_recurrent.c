/* The gates of LSTM and GRU cells, a vector of units at a time. */
#include "ops/native/simd/simd_act.h"

enum { V = LODE_V };

/* `n` of V floats. */
LODE_INLINE lode_v gates_load(const float *p, int64_t n) {
    return n == V ? lode_v_load(p) : lode_v_load_first(p, n);
}
LODE_INLINE void gates_store(float *p, lode_v v, int64_t n) {
    if (n == V)
        lode_v_store(p, v);
    else
        lode_v_store_first(p, v, n);
}
LODE_INLINE int64_t gates_left(int64_t h, int64_t j) { return h - j < V ? h - j : V; }

void simd_run_lstm_gates(int64_t rows, int64_t h, const float *zx, const float *zh, const float *c,
                         float *y, float *gates) {
    for (int64_t r = 0; r < rows; r++) {
        const float *a = zx + r * 4 * h, *b = zh + r * 4 * h;
        for (int64_t j = 0; j < h; j += V) {
            int64_t n = gates_left(h, j);
            lode_v i = act_sigmoid(gates_load(a + j, n) + gates_load(b + j, n));
            lode_v f = act_sigmoid(gates_load(a + h + j, n) + gates_load(b + h + j, n));
            lode_v g = act_tanh(gates_load(a + 2 * h + j, n) + gates_load(b + 2 * h + j, n));
            lode_v o = act_sigmoid(gates_load(a + 3 * h + j, n) + gates_load(b + 3 * h + j, n));
            lode_v after = f * gates_load(c + r * h + j, n) + i * g;
            gates_store(y + r * 2 * h + j, o * act_tanh(after), n);
            gates_store(y + r * 2 * h + h + j, after, n);
            if (!gates) continue;
            float *k = gates + r * 4 * h + j;
            gates_store(k, i, n);
            gates_store(k + h, f, n);
            gates_store(k + 2 * h, g, n);
            gates_store(k + 3 * h, o, n);
        }
    }
}

void simd_run_lstm_gates_grad(int64_t rows, int64_t h, const float *c, const float *y,
                              const float *gates, const float *dy, float *dz, float *dc) {
    for (int64_t r = 0; r < rows; r++)
        for (int64_t j = 0; j < h; j += V) {
            int64_t n = gates_left(h, j);
            const float *k = gates + r * 4 * h + j;
            lode_v i = gates_load(k, n), f = gates_load(k + h, n), g = gates_load(k + 2 * h, n);
            lode_v o = gates_load(k + 3 * h, n),
                   t = act_tanh(gates_load(y + (2 * r + 1) * h + j, n));
            lode_v up = gates_load(dy + 2 * r * h + j, n);
            lode_v cell = gates_load(dy + (2 * r + 1) * h + j, n) + up * o * (1.0f - t * t);
            if (dz) {
                float *z = dz + r * 4 * h + j;
                gates_store(z, cell * g * i * (1.0f - i), n);
                gates_store(z + h, cell * gates_load(c + r * h + j, n) * f * (1.0f - f), n);
                gates_store(z + 2 * h, cell * i * (1.0f - g * g), n);
                gates_store(z + 3 * h, up * t * o * (1.0f - o), n);
            }
            if (dc) gates_store(dc + r * h + j, cell * f, n);
        }
}

void simd_run_gru_gates(int64_t rows, int64_t h, const float *zx, const float *zh,
                        const float *before, float *y, float *gates) {
    for (int64_t row = 0; row < rows; row++) {
        const float *a = zx + row * 3 * h, *b = zh + row * 3 * h;
        for (int64_t j = 0; j < h; j += V) {
            int64_t m = gates_left(h, j);
            lode_v r = act_sigmoid(gates_load(a + j, m) + gates_load(b + j, m));
            lode_v u = act_sigmoid(gates_load(a + h + j, m) + gates_load(b + h + j, m));
            lode_v n = act_tanh(gates_load(a + 2 * h + j, m) + r * gates_load(b + 2 * h + j, m));
            gates_store(y + row * h + j, n + u * (gates_load(before + row * h + j, m) - n), m);
            if (!gates) continue;
            float *k = gates + row * 3 * h + j;
            gates_store(k, r, m);
            gates_store(k + h, u, m);
            gates_store(k + 2 * h, n, m);
        }
    }
}

void simd_run_gru_gates_grad(int64_t rows, int64_t h, const float *zh, const float *before,
                             const float *gates, const float *dy, float *dzx, float *dzh,
                             float *dh) {
    for (int64_t row = 0; row < rows; row++)
        for (int64_t j = 0; j < h; j += V) {
            int64_t m = gates_left(h, j), at = row * 3 * h + j;
            lode_v r = gates_load(gates + at, m), u = gates_load(gates + at + h, m);
            lode_v n = gates_load(gates + at + 2 * h, m), up = gates_load(dy + row * h + j, m);
            lode_v dn = up * (1.0f - u) * (1.0f - n * n);
            lode_v dr = dn * gates_load(zh + at + 2 * h, m) * r * (1.0f - r);
            lode_v du = up * (gates_load(before + row * h + j, m) - n) * u * (1.0f - u);
            if (dzx) {
                gates_store(dzx + at, dr, m);
                gates_store(dzx + at + h, du, m);
                gates_store(dzx + at + 2 * h, dn, m);
            }
            if (dzh) {
                gates_store(dzh + at, dr, m);
                gates_store(dzh + at + h, du, m);
                gates_store(dzh + at + 2 * h, dn * r, m);
            }
            if (dh) gates_store(dh + row * h + j, up * u, m);
        }
}
