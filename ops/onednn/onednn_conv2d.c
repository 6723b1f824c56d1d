/* conv2d through oneDNN, all groups, strides and dilations, in all three directions.

   Images go in as dense NHWC; the weights are reordered from OIHW to the primitive's own layout at
   each call (2 to 10 us; without it NHWC 1x1 convolutions fall to a reference kernel 100 times
   slower). Forward is always forward_inference: for convolution it computes the same.

   oneDNN would split sums by thread. A batch is therefore cut into pieces, whose number depends on
   the batch alone; each is one thread's, with a primitive made for one thread, and weight gradients
   of pieces are added in their order: the same bits with any number of threads. A single image, and
   images of a thread that runs a network of its own, go in one piece: its forward and data gradient
   are sums of one thread each, however many share the pixels. */
#include "core/parallel.h"
#include "ops/native/conv_shape.h"
#include "ops/native/rows.h"
#include "ops/onednn/onednn_internal.h"

#include <limits.h>
#include <stdatomic.h>

enum { CONV_PIECES = 8, SUM_GRAIN = 4096 };

bool onednn_conv2d_supports(const lode_op_call *c) {
    if (!call_is_f32(c) || c->x[0]->shape.n_dims != 4) return false;
    conv_shape s = conv_shape_of(c);
    return s.oh > 0 && s.ow > 0 && s.c * s.h * s.w < INT_MAX && s.o * s.oh * s.ow < INT_MAX &&
           s.o * s.cg * s.taps < INT_MAX;
}

static onednn_conv_key conv2d_key(const conv_shape *s, int64_t n, onednn_direction direction,
                                  bool bias, int threads) {
    onednn_conv_key k;
    memset(&k, 0, sizeof k);
    k.n = n;
    k.c = s->c;
    k.h = s->h;
    k.w = s->w;
    k.o = s->o;
    k.oh = s->oh;
    k.ow = s->ow;
    k.kernel[0] = (int32_t)s->kh;
    k.kernel[1] = (int32_t)s->kw;
    for (int i = 0; i < 2; i++) {
        k.stride[i] = (int32_t)s->stride[i];
        k.pad[i] = (int32_t)s->pad[i];
        k.dilation[i] = (int32_t)s->dilation[i];
    }
    k.groups = (int32_t)s->groups;
    k.has_bias = bias;
    k.direction = (int32_t)direction;
    k.threads = threads;
    return k;
}

/* ---- a call's pieces ---- */
typedef struct conv_pieces {
    conv_shape s;
    onednn_direction direction;
    int64_t grain, n;     /* images of a piece, pieces */
    onednn_plan *plan[2]; /* of a piece, and of the last (the same, or of fewer images) */
    int slots;            /* scratch areas: threads that may run pieces */
    size_t scratch_bytes; /* of one */
    size_t weights_bytes; /* inside, of either plan */
    /* in workspace */
    char *scratch;   /* [slots][scratch_bytes], then weights inside of the thread, for gradients */
    char *inside[2]; /* forward and data: the weights inside, by plan */
    float *parts;    /* weights: [n][O*Cg*taps], then [n][O] of the bias */
    /* operands */
    float *src, *w, *bias, *dst;
    atomic_int status;
} conv_pieces;

static size_t conv2d_round(size_t bytes) { return (bytes + 63) / 64 * 64; }

static void pieces_close(conv_pieces *p) {
    for (int i = 0; i < 2; i++) onednn_plan_release(p->plan[i]);
}

/* threads: of the primitive that runs all images in one piece; 0: pieces. */
static lode_status pieces_open(conv_pieces *p, const conv_shape *s, onednn_direction direction,
                               bool bias, int threads) {
    const bool whole = threads > 0;
    *p = (conv_pieces){.s = *s, .direction = direction};
    p->grain = whole ? s->n : (s->n + CONV_PIECES - 1) / CONV_PIECES;
    p->n = lode_parallel_pieces(s->n, p->grain);
    const int64_t last = s->n - (p->n - 1) * p->grain;
    p->slots = p->n == 1 ? 1 : lode_get_threads();
    for (int i = 0; i < 2; i++) {
        onednn_conv_key key =
            conv2d_key(s, i == 0 ? p->grain : last, direction, bias, whole ? threads : 1);
        lode_status status = onednn_plan_acquire(&key, &p->plan[i]);
        if (status != LODE_OK) {
            pieces_close(p);
            return status;
        }
        const onednn_plan *plan = p->plan[i];
        if (plan->scratch_bytes > p->scratch_bytes) p->scratch_bytes = plan->scratch_bytes;
        if (plan->weights_bytes > p->weights_bytes) p->weights_bytes = plan->weights_bytes;
    }
    p->scratch_bytes = conv2d_round(p->scratch_bytes);
    p->weights_bytes = conv2d_round(p->weights_bytes);
    if (direction == ONEDNN_BACKWARD_WEIGHTS) p->scratch_bytes += p->weights_bytes;
    return LODE_OK;
}

/* Takes what the pieces need from a workspace, whose base may be NULL to count only. */
static size_t pieces_place(conv_pieces *p, char *base) {
    const conv_shape *s = &p->s;
    size_t used = (size_t)p->slots * p->scratch_bytes;
    p->scratch = base;
    if (p->direction != ONEDNN_BACKWARD_WEIGHTS) {
        for (int i = 0; i < 2; i++) {
            p->inside[i] = i == 1 && p->plan[1] == p->plan[0] ? p->inside[0] : base + used;
            if (i == 0 || p->plan[1] != p->plan[0]) used += p->weights_bytes;
        }
        return used;
    }
    if (p->n == 1) return used;
    p->parts = (float *)(void *)(base + used);
    return used + conv2d_round((size_t)(p->n * (s->o * s->cg * s->taps + s->o)) * sizeof(float));
}

static lode_status piece_run(conv_pieces *p, int64_t piece) {
    const conv_shape *s = &p->s;
    const bool last = piece == p->n - 1, gradient = p->direction == ONEDNN_BACKWARD_WEIGHTS;
    const onednn_plan *plan = p->plan[last];
    const int64_t first = piece * p->grain, count = s->o * s->cg * s->taps;
    char *scratch =
        p->scratch + (size_t)(p->n == 1 ? 0 : lode_parallel_thread()) * p->scratch_bytes;
    float *src = p->src + first * s->c * s->h * s->w, *dst = p->dst + first * s->o * s->oh * s->ow;
    float *w = p->w, *bias = p->bias;
    char *inside = p->inside[last];
    if (gradient) {
        inside = scratch + p->scratch_bytes - p->weights_bytes;
        if (p->parts) {
            w = p->parts + piece * count;
            if (bias) bias = p->parts + p->n * count + piece * s->o;
        }
    }
    void *weights = onednn_plan_inside(plan, w, inside);
    LODE_TRY(onednn_plan_run(plan, p->direction, src, weights, bias, dst, scratch));
    return gradient ? onednn_plan_unpack(plan, inside, w) : LODE_OK;
}

static void piece_body(void *ctx, int64_t piece, int64_t begin, int64_t end) {
    conv_pieces *p = ctx;
    (void)begin;
    (void)end;
    lode_status status = piece_run(p, piece);
    if (status != LODE_OK) atomic_store(&p->status, (int)status);
}

typedef struct conv_sum {
    const float *part;
    int64_t n, step;
    float *out;
} conv_sum;

static void sum_body(void *ctx, int64_t piece, int64_t begin, int64_t end) {
    const conv_sum *s = ctx;
    (void)piece;
    for (int64_t i = begin; i < end; i++) s->out[i] = s->part[i];
    for (int64_t k = 1; k < s->n; k++)
        for (int64_t i = begin; i < end; i++) s->out[i] += s->part[k * s->step + i];
}

static void pieces_sum(const conv_pieces *p, int64_t offset, int64_t count, float *out) {
    conv_sum s = {p->parts + offset, p->n, count, out};
    lode_parallel_for(count, SUM_GRAIN, sum_body, &s);
}

static lode_status pieces_run(conv_pieces *p) {
    const int64_t count = p->s.o * p->s.cg * p->s.taps;
    if (p->direction != ONEDNN_BACKWARD_WEIGHTS)
        for (int i = 0; i < 1 + (p->plan[1] != p->plan[0]); i++)
            LODE_TRY(onednn_plan_pack(p->plan[i], p->w, p->inside[i]));
    lode_parallel_for(p->n, 1, piece_body, p);
    if (atomic_load(&p->status) != LODE_OK)
        return LODE_FAIL((lode_status)atomic_load(&p->status),
                         "onednn: cannot run a convolution; another provider may: see the option "
                         "providers");
    if (p->parts) {
        pieces_sum(p, 0, count, p->w);
        if (p->bias) pieces_sum(p, p->n * count, p->s.o, p->bias);
    }
    return LODE_OK;
}

/* ---- calls ---- */
/* Threads of the primitive that runs the batch whole; 0: it runs in pieces. */
static int conv2d_threads(const conv_shape *s, onednn_direction direction) {
    if (direction == ONEDNN_BACKWARD_WEIGHTS) return 0;
    if (lode_parallel_inside()) return 1;
    return s->n == 1 ? lode_get_threads() : 0;
}

/* Bytes of a direction, in pieces or whole; 0 when there is no such plan (running will say why). */
static size_t conv2d_bytes(const conv_shape *s, onednn_direction direction, bool bias,
                           int threads) {
    conv_pieces p;
    if (pieces_open(&p, s, direction, bias, threads) != LODE_OK) return 0;
    size_t bytes = pieces_place(&p, NULL);
    pieces_close(&p);
    return bytes;
}

static size_t conv2d_most(size_t a, size_t b) { return a > b ? a : b; }

size_t onednn_conv2d_workspace(const lode_op_call *c, bool backward) {
    conv_shape s = conv_shape_of(c);
    workspace ws = {NULL, 0};
    conv_operands_reserve(&ws, c, backward);
    if (!backward) /* a thread that runs a network of its own may run it whole */
        return ws.used + conv2d_most(conv2d_bytes(&s, ONEDNN_FORWARD, s.bias, 1),
                                     conv2d_bytes(&s, ONEDNN_FORWARD, s.bias,
                                                  conv2d_threads(&s, ONEDNN_FORWARD)));
    size_t data =
        conv2d_bytes(&s, ONEDNN_BACKWARD_DATA, false, conv2d_threads(&s, ONEDNN_BACKWARD_DATA));
    size_t weights = conv2d_bytes(&s, ONEDNN_BACKWARD_WEIGHTS, s.bias, 0);
    size_t sums = s.bias ? lode_column_sums_scratch(s.n * s.oh * s.ow, s.o) : 0;
    return ws.used + conv2d_most(conv2d_most(data, weights), sums);
}

/* Runs one direction in what is left of the workspace. */
static lode_status conv2d_run(const lode_op_call *c, const workspace *ws,
                              onednn_direction direction, float *src, float *w, float *bias,
                              float *dst) {
    conv_shape s = conv_shape_of(c);
    conv_pieces p;
    LODE_TRY(pieces_open(&p, &s, direction, bias != NULL, conv2d_threads(&s, direction)));
    size_t need = ws->used + pieces_place(&p, ws->base + ws->used);
    p.src = src, p.w = w, p.bias = bias, p.dst = dst;
    lode_status status =
        need > c->workspace_bytes
            ? LODE_FAIL(LODE_ERR_INTERNAL, "onednn: conv2d got %zu bytes of workspace, needs %zu",
                        c->workspace_bytes, need)
            : pieces_run(&p);
    pieces_close(&p);
    return status;
}

lode_status onednn_conv2d_forward(const lode_op_call *c) {
    workspace ws = {c->workspace, 0};
    conv_operands m = conv_operands_forward(&ws, c);
    LODE_TRY(conv2d_run(c, &ws, ONEDNN_FORWARD, m.x, m.w, m.bias, m.y));
    return conv_operands_finish(&m);
}

lode_status onednn_conv2d_backward(const lode_op_call *c, const lode_tensor *dy,
                                   lode_tensor *const *dx) {
    conv_shape s = conv_shape_of(c);
    workspace ws = {c->workspace, 0};
    conv_operands m;
    if (!conv_operands_backward(&ws, c->workspace_bytes, c, dy, dx, &m))
        return c->op->reference.backward(c, dy, dx);
    if (m.dx) LODE_TRY(conv2d_run(c, &ws, ONEDNN_BACKWARD_DATA, m.dx, m.w, NULL, m.y));
    if (m.dw)
        LODE_TRY(conv2d_run(c, &ws, ONEDNN_BACKWARD_WEIGHTS, m.x, m.dw, m.dbias, m.y));
    else if (m.dbias)
        lode_column_sums(s.n * s.oh * s.ow, s.o, m.y, m.dbias, ws.base + ws.used);
    return conv_operands_finish(&m);
}
