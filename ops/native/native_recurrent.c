/* lstm_gates and gru_gates on dense rows; operands that lie otherwise (the halves of a state) are
   copied first. */
#include "core/parallel.h"
#include "ops/native/conv_shape.h"
#include "ops/native/native_internal.h"
#include "ops/native/pack.h"
#include "ops/native/simd.h"
#include "ops/ops.h"

#include <string.h>

enum { GATES_ZX, GATES_ZH, GATES_STATE, GATES_PIECE_UNITS = 1 << 12 };

typedef struct gates_job {
    const lode_simd *simd;
    bool lstm;
    int64_t rows, h, z; /* z: columns of zx */
    const float *zx, *zh, *state, *dy;
    float *y, *gates;          /* y: forward's output; backward reads it */
    float *dzx, *dzh, *dstate; /* an LSTM's dzx is copied to dzh */
} gates_job;

static gates_job gates_job_of(const lode_op_call *c) {
    const int64_t *dim = c->x[GATES_STATE]->shape.dim;
    bool lstm = c->op == &lode_op_lstm_gates;
    return (gates_job){.simd = lode_simd_get(),
                       .lstm = lstm,
                       .rows = dim[0],
                       .h = dim[1],
                       .z = (lstm ? 4 : 3) * dim[1]};
}

static int64_t gates_grain(const gates_job *j) { return 1 + GATES_PIECE_UNITS / j->h; }

/* As if no operand were dense: zx, zh, state and y; or these with dy and all gradients. */
size_t native_recurrent_workspace(const lode_op_call *c, bool backward) {
    gates_job j = gates_job_of(c);
    size_t z = (size_t)(j.rows * j.z), h = (size_t)(j.rows * j.h);
    workspace ws = {NULL, 0};
    for (int side = 0; side < (backward ? 2 : 1); side++) {
        workspace_floats(&ws, z);
        workspace_floats(&ws, z);
        workspace_floats(&ws, h);
        workspace_floats(&ws, 2 * h);
    }
    return ws.used;
}

static const float *gates_in(workspace *ws, const lode_tensor *t) {
    if (lode_is_packed(t, LODE_CONTIGUOUS)) return t->data;
    float *copy = workspace_floats(ws, lode_pack_count(t));
    lode_pack(t, LODE_CONTIGUOUS, copy);
    return copy;
}

/* Where to write what goes into t; NULL for NULL. */
static float *gates_out(workspace *ws, lode_tensor *t) {
    if (!t) return NULL;
    return lode_is_packed(t, LODE_CONTIGUOUS) ? t->data : workspace_floats(ws, lode_pack_count(t));
}
static void gates_put(const float *from, lode_tensor *t) {
    if (t && from != (const float *)t->data) lode_unpack(from, LODE_CONTIGUOUS, t);
}

static void gates_forward_piece(void *ctx, int64_t piece, int64_t begin, int64_t end) {
    const gates_job *j = ctx;
    int64_t z = begin * j->z, h = begin * j->h;
    float *gates = j->gates ? j->gates + z : NULL;
    (void)piece;
    if (j->lstm)
        j->simd->lstm_gates(end - begin, j->h, j->zx + z, j->zh + z, j->state + h, j->y + 2 * h,
                            gates);
    else
        j->simd->gru_gates(end - begin, j->h, j->zx + z, j->zh + z, j->state + h, j->y + h, gates);
}

static lode_status gates_forward(const lode_op_call *c) {
    gates_job j = gates_job_of(c);
    workspace ws = {c->workspace, 0};
    j.zx = gates_in(&ws, c->x[GATES_ZX]);
    j.zh = gates_in(&ws, c->x[GATES_ZH]);
    j.state = gates_in(&ws, c->x[GATES_STATE]);
    j.y = gates_out(&ws, c->y);
    if (c->aux[0]) j.gates = c->aux[0]->data;
    lode_parallel_for(j.rows, gates_grain(&j), gates_forward_piece, &j);
    gates_put(j.y, c->y);
    return LODE_OK;
}

static void gates_backward_piece(void *ctx, int64_t piece, int64_t begin, int64_t end) {
    const gates_job *j = ctx;
    int64_t z = begin * j->z, h = begin * j->h;
    float *dzx = j->dzx ? j->dzx + z : NULL, *dzh = j->dzh ? j->dzh + z : NULL;
    float *dstate = j->dstate ? j->dstate + h : NULL;
    (void)piece;
    if (!j->lstm) {
        j->simd->gru_gates_grad(end - begin, j->h, j->zh + z, j->state + h, j->gates + z, j->dy + h,
                                dzx, dzh, dstate);
        return;
    }
    j->simd->lstm_gates_grad(end - begin, j->h, j->state + h, j->y + 2 * h, j->gates + z,
                             j->dy + 2 * h, dzx ? dzx : dzh, dstate);
    if (dzx && dzh) memcpy(dzh, dzx, (size_t)((end - begin) * j->z) * sizeof *dzh);
}

static lode_status gates_backward(const lode_op_call *c, const lode_tensor *dy,
                                  lode_tensor *const *dx) {
    gates_job j = gates_job_of(c);
    workspace ws = {c->workspace, 0};
    float *y = NULL;
    if (j.lstm) { /* y is kept dense, as it was made, or copied */
        y = gates_out(&ws, c->y);
        if (y != c->y->data) lode_pack(c->y, LODE_CONTIGUOUS, y);
    } else
        j.zh = gates_in(&ws, c->x[GATES_ZH]);
    j.y = y;
    j.state = gates_in(&ws, c->x[GATES_STATE]);
    j.gates = c->aux[0]->data;
    j.dy = gates_in(&ws, dy);
    j.dzx = gates_out(&ws, dx[GATES_ZX]);
    j.dzh = gates_out(&ws, dx[GATES_ZH]);
    j.dstate = gates_out(&ws, dx[GATES_STATE]);
    lode_parallel_for(j.rows, gates_grain(&j), gates_backward_piece, &j);
    gates_put(j.dzx, dx[GATES_ZX]);
    gates_put(j.dzh, dx[GATES_ZH]);
    gates_put(j.dstate, dx[GATES_STATE]);
    return LODE_OK;
}

lode_status native_lstm_gates_forward(const lode_op_call *c) { return gates_forward(c); }
lode_status native_lstm_gates_backward(const lode_op_call *c, const lode_tensor *dy,
                                       lode_tensor *const *dx) {
    return gates_backward(c, dy, dx);
}
lode_status native_gru_gates_forward(const lode_op_call *c) { return gates_forward(c); }
lode_status native_gru_gates_backward(const lode_op_call *c, const lode_tensor *dy,
                                      lode_tensor *const *dx) {
    return gates_backward(c, dy, dx);
}
