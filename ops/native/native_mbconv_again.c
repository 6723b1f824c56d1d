/* native_mbconv_again.c: an mbconv's y out of what its backward keeps.

   y = norm3(z3) (+ x) is a few operations per value, and z3 stands beside it anyway. A weighted sum
   of mbconvs reads each y once more in backward, for <dy, y>: it makes it again piece by piece in
   cache, for the price of reading z3 instead, and no y is kept. */
#include "ops/native/native_mbconv.h"
#include "ops/native/pack.h"

bool native_mbconv_makes_again(const lode_op_call *c) {
    const lode_mbconv_params *p = c->params;
    return lode_is_packed(c->y, LODE_CHANNELS_LAST) &&
           (!p->residual || lode_is_packed(c->x[MBCONV_X], LODE_CHANNELS_LAST));
}

int64_t native_mbconv_again_prepared(const lode_op_call *c) { return 3 * mbconv_dims_of(c).O; }

int64_t native_mbconv_again_buffer(const lode_op_call *c, int64_t n) {
    return n + 2 * mbconv_dims_of(c).O; /* whole pixels */
}

void native_mbconv_again_prepare(const lode_op_call *c, float *prepared) {
    mb_job j = {.c = c, .d = mbconv_dims_of(c), .stats = c->aux[MBCONV_STATS]->data};
    int64_t O = j.d.O;
    for (int64_t i = 0; i < O; i++) {
        prepared[i] = (float)mb_mean(&j, 2, i);
        prepared[O + i] = (float)mb_scale(&j, 2, i);
        prepared[2 * O + i] = (float)mb_channel(&j, 2, MBCONV_BETA, i, 0);
    }
}

const float *native_mbconv_again(const lode_op_call *c, const float *prepared, int64_t begin,
                                 int64_t n, float *buffer) {
    const lode_mbconv_params *p = c->params;
    int64_t O = mbconv_dims_of(c).O, first = begin / O, last = (begin + n + O - 1) / O;
    const float *z3 = c->aux[MBCONV_Z3]->data, *x = c->x[MBCONV_X]->data;
    lode_simd_get()->mb_finish(last - first, O, z3 + first * O, prepared, prepared + O,
                               prepared + 2 * O, p->residual ? x + first * O : NULL, buffer);
    return buffer + (begin - first * O);
}
