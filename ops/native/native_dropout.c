/* Dropout and drop-path: the factors (0 or 1/(1-p)) are drawn in logical order into workspace, then
   multiplied in, whatever the memory order of the tensors. Philox makes four draws at once, which
   asking for single positions would throw away. */
#include "core/parallel.h"
#include "ops/native/native_internal.h"
#include "ops/native/walk.h"
#include "ops/ops.h"

enum { DROPOUT_PIECE = 1 << 12, DROPOUT_DRAWS = 256 };

typedef struct dropout_job {
    lode_rng stream;
    double p;
    float *factor;
} dropout_job;

static void dropout_draw(void *ctx, int64_t piece, int64_t begin, int64_t end) {
    const dropout_job *j = ctx;
    const float scale = (float)(1 / (1 - j->p)); /* unused when p is 1: all are dropped */
    uint32_t draw[DROPOUT_DRAWS];
    (void)piece;
    for (int64_t i = begin; i < end; i += DROPOUT_DRAWS) {
        const int64_t n = end - i < DROPOUT_DRAWS ? end - i : DROPOUT_DRAWS;
        lode_rng_fill_at(&j->stream, j->stream.position + (uint64_t)i, draw, n);
        for (int64_t k = 0; k < n; k++) /* as lode_rng_uniform_at */
            j->factor[i + k] = ((double)draw[k] + 0.5) * 0x1p-32 >= j->p ? scale : 0;
    }
}

static int64_t dropout_count(const lode_op_call *c) {
    const lode_dropout_params *p = c->params;
    return p->per_sample ? c->y->shape.dim[0] : lode_tensor_count(c->y);
}

/* to = from * factors. */
static lode_status dropout_run(const lode_op_call *c, const lode_tensor *from, lode_tensor *to) {
    const lode_dropout_params *p = c->params;
    dropout_job j = {{p->seed, p->index, (uint32_t)p->purpose, p->position}, p->p, c->workspace};
    lode_parallel_for(dropout_count(c), DROPOUT_PIECE, dropout_draw, &j);
    lode_tensor factor = *to; /* contiguous over all elements, or one per sample */
    factor.data = j.factor;
    for (int d = 1; d < factor.shape.n_dims && p->per_sample; d++) factor.shape.dim[d] = 1;
    lode_strides_contiguous(&factor.shape, factor.stride);
    lode_walk w = lode_walk_to(to);
    lode_walk_from(&w, from);
    lode_walk_from(&w, &factor);
    lode_walk_run(&w, lode_simd_get()->pointwise[SIMD_MUL], NULL);
    return LODE_OK;
}

lode_status native_dropout_forward(const lode_op_call *c) { return dropout_run(c, c->x[0], c->y); }

lode_status native_dropout_backward(const lode_op_call *c, const lode_tensor *dy,
                                    lode_tensor *const *dx) {
    return dx[0] != NULL ? dropout_run(c, dy, dx[0]) : LODE_OK;
}

size_t native_dropout_workspace(const lode_op_call *c, bool backward) {
    (void)backward;
    return (size_t)dropout_count(c) * sizeof(float);
}
