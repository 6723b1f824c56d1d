/* bench_call.c: one operator call on one kernel.

   Backward is asked for the gradients that training asks for: those of every float input that the
   operator's examples call differentiable. Its work is counted as forward's once per gradient of a
   multiplied operand (two for a convolution), its bytes as: dy and all inputs read, all gradients
   written. */
#include "core/memory.h"
#include "ops/dispatch.h"
#include "tools/bench_ops.h"

#include <string.h>

/* Which of n inputs have gradients, as the examples say; those they do not show have them. */
static void call_differentiable(const lode_op *op, int n, bool out[LODE_MAX_INPUTS]) {
    for (int i = 0; i < n; i++) out[i] = !op->not_differentiable;
    for (int k = 0; op->example && k < 8; k++) {
        lode_op_example e;
        lode_rng rng = lode_rng_stream(1, LODE_RNG_TEST, (uint64_t)k);
        memset(&e, 0, sizeof e);
        e.dtype = LODE_F32;
        bool end = op->example(&e, &rng, k) != LODE_OK;
        for (int i = 0; i < e.n_x; i++) {
            if (!end && i < n && e.x[i] && !e.differentiable[i]) out[i] = false;
            lode_tensor_release(e.x[i]);
        }
        if (end) break;
    }
}

static int64_t call_smallest_dim(const lode_op_call *c) {
    int64_t least = INT64_MAX;
    for (int i = 0; i < c->n_x; i++)
        for (int d = 0; c->x[i] && d < c->x[i]->shape.n_dims; d++)
            if (c->x[i]->shape.dim[d] > 1 && c->x[i]->shape.dim[d] < least)
                least = c->x[i]->shape.dim[d];
    return least == INT64_MAX ? 1 : least;
}

/* Images and weights around 0; vectors, which may be variances, around 1; whole numbers that are
   legal labels and indices. */
static lode_status call_fill(lode_tensor *t, uint64_t stream, int64_t most) {
    lode_rng rng = lode_rng_stream(1, LODE_RNG_TEST, stream);
    if (lode_dtype_is_float(t->dtype))
        return t->shape.n_dims > 1 ? lode_tensor_fill_uniform(t, &rng, -1, 1)
                                   : lode_tensor_fill_uniform(t, &rng, 0.5, 1.5);
    for (int64_t i = 0; i < lode_tensor_count(t); i++) lode_put(t, i, (double)(i % most));
    return LODE_OK;
}

static lode_status call_make(const lode_tensor *like, uint64_t stream, int64_t most,
                             lode_tensor **out) {
    LODE_TRY(lode_tensor_like(like, out));
    return call_fill(*out, stream, most);
}

static lode_status call_outputs(bench_call *b) {
    lode_inferred out;
    memset(&out, 0, sizeof out);
    LODE_TRY(b->call.op->infer(&b->call, &out));
    LODE_TRY(lode_tensor_create(NULL, out.dtype, &out.shape, out.layout, &b->call.y));
    LODE_TRY(call_make(b->call.y, 1000, 1, &b->dy));
    for (int i = 0; i < out.n_aux; i++)
        LODE_TRY(lode_tensor_zeros(NULL, out.aux[i].dtype, &out.aux[i].shape, out.aux[i].layout,
                                   &b->call.aux[i]));
    return LODE_OK;
}

static void call_count(bench_call *b, const lode_op_count *count) {
    int multiplied = 0;
    b->bytes[0] = count->bytes_read + count->bytes_written;
    b->bytes[1] = (double)lode_tensor_bytes(b->dy);
    for (int i = 0; i < b->call.n_x; i++) {
        if (!b->x[i]) continue;
        b->bytes[1] += (double)lode_tensor_bytes(b->x[i]);
        if (!b->dx[i]) continue;
        b->bytes[1] += (double)lode_tensor_bytes(b->dx[i]);
        multiplied += i < 2;
    }
    b->flops[0] = count->flops;
    b->flops[1] = count->macs > 0 ? multiplied * count->flops : count->flops;
}

lode_status bench_call_open(const lode_trace_call *from, bench_call *b) {
    bool differentiable[LODE_MAX_INPUTS];
    lode_status status = LODE_OK;
    const lode_op *op = from->call.op;
    int n = from->call.n_x;
    memset(b, 0, sizeof *b);
    b->call = (lode_op_call){.op = op, .n_x = n, .x = b->x, .train = true};
    b->text = lode_call_text(&from->call);
    b->params = lode_alloc(op->params_size ? op->params_size : 1, 1);
    LODE_GOTO(b->text && b->params ? LODE_OK : LODE_ERR_NO_MEMORY);
    if (op->params_size) memcpy(b->params, from->call.params, op->params_size);
    b->call.params = b->params;
    b->reference = (lode_kernel){
        .op = op, .forward = op->reference.forward, .backward = op->reference.backward};
    call_differentiable(op, n, differentiable);
    int64_t most = call_smallest_dim(&from->call);
    for (int i = 0; i < n; i++) {
        if (!from->call.x[i]) continue;
        LODE_GOTO(call_make(from->call.x[i], (uint64_t)i, most, &b->x[i]));
        if (differentiable[i] && lode_dtype_is_float(b->x[i]->dtype))
            LODE_GOTO(lode_tensor_like(b->x[i], &b->dx[i]));
    }
    LODE_GOTO(call_outputs(b));
    call_count(b, &from->count);
done:
    if (status != LODE_OK) bench_call_close(b);
    return status;
}

void bench_call_close(bench_call *b) {
    for (int i = 0; i < LODE_MAX_INPUTS; i++) {
        lode_tensor_release(b->x[i]);
        lode_tensor_release(b->dx[i]);
    }
    for (int i = 0; i < LODE_MAX_AUX; i++) lode_tensor_release(b->call.aux[i]);
    lode_tensor_release(b->call.y);
    lode_tensor_release(b->dy);
    lode_free(b->params);
    lode_free(b->text);
    memset(b, 0, sizeof *b);
}

static bool call_has_gradient(const bench_call *b) {
    for (int i = 0; i < b->call.n_x; i++)
        if (b->dx[i]) return true;
    return false;
}

bool bench_is_reference(const lode_provider *p) {
    return p == lode_provider_at(lode_n_providers() - 1); /* ops/backends.def: it comes last */
}

const lode_kernel *bench_call_kernel(const bench_call *b, const lode_provider *p, bool backward) {
    if (p->available && !p->available()) return NULL;
    if (backward && !call_has_gradient(b)) return NULL;
    if (bench_is_reference(p)) return &b->reference;
    for (int i = 0; i < p->n_kernels; i++) {
        const lode_kernel *k = &p->kernels[i];
        if (k->op == b->call.op && k->supports(&b->call))
            return !backward || k->backward ? k : NULL;
    }
    return NULL;
}

lode_status bench_call_run(bench_call *b, const lode_kernel *k, bool backward, void *workspace,
                           size_t bytes) {
    b->call.workspace = workspace;
    b->call.workspace_bytes = bytes;
    return backward ? k->backward(&b->call, b->dy, b->dx) : k->forward(&b->call);
}
