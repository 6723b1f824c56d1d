/* fpga_pipeline.c: FPGAs with an engine for every layer as a kind of device file: latency_ms, dsp,
   bram18k (FNAS, Jiang et al. 2019; methods D3).

   All engines have the file's tile, cut to what the layer has: a layer of 8 channels gets no tile
   of 16. Layers overlap: each starts when the first tiles that it reads are written
   (fpga_overlap.h), and with weights they take turns in what they reuse, outputs first. What has no
   weights (pooling, sums, activations) is a stage that streams tiles through the ports and takes no
   DSP. So latency is a matter of the whole network, no sum over calls, and has no gradient; DSP and
   BRAM are sums, so that a larger network needs a larger device. */
#include "core/memory.h"
#include "hwcost/fpga_internal.h"
#include "hwcost/fpga_overlap.h"
#include "hwcost/work.h"
#include "ops/ops.h"

#include <math.h>
#include <string.h>

/* ---- one call as a stage ---- */

/* Channels, rows, columns of an image; of vectors the features are channels. */
static void pipeline_dims(const lode_tensor *t, int64_t out[3]) {
    const lode_shape *s = &t->shape;
    out[0] = s->n_dims > 1 ? s->dim[1] : lode_tensor_count(t);
    out[1] = s->n_dims > 2 ? s->dim[2] : 1;
    out[2] = s->n_dims > 3 ? s->dim[3] : 1;
}

static int64_t pipeline_least(int64_t a, int64_t b) { return a < b ? a : b; }

typedef struct pipeline_net {
    const fpga *f;
    lode_overlap_stage *stage; /* [n] */
    int n;
    int *made_by; /* [values] the stage a value comes from, -1: it is given. Views share theirs. */
    lode_overlap_reuse *reuse; /* [n] of the last stage with weights on the way to it */
    bool *any;                 /* [n] is there one? */
} pipeline_net;

/* Which part of value `id` (a tensor of shape t) the call reads. */
static void pipeline_read(const pipeline_net *p, const lode_trace_call *call, int i,
                          lode_overlap_stage *s) {
    const lode_op_call *c = &call->call;
    int from = p->made_by[call->x_id[i]];
    if (from < 0 || s->n_inputs == LODE_OVERLAP_MAX_INPUTS) return;
    const lode_overlap_stage *source = &p->stage[from];
    lode_overlap_input in = {.from = from, .kernel = {1, 1}, .stride = {1, 1}};
    lode_work w;
    int64_t dims[3];
    lode_work_of(call, &w);
    pipeline_dims(c->x[i], dims);
    /* A view with another shape: nothing can be told of where its parts come from. */
    bool same =
        dims[0] == source->channels && dims[1] == source->rows && dims[2] == source->columns;
    bool conv = c->op == &lode_op_conv2d || c->op == &lode_op_conv_act;
    if (conv && i == 0) {
        const lode_conv2d_params *q = c->params;
        const int64_t k[2] = {w.k_h, w.k_w};
        for (int d = 0; d < 2; d++) {
            in.kernel[d] = (k[d] - 1) * q->dilation[d] + 1;
            in.stride[d] = q->stride[d];
            in.pad[d] = q->pad[d];
        }
        in.own_channels = w.what == LODE_WORK_DEPTHWISE && w.out_c == w.in_c;
        in.all_channels = !in.own_channels && w.groups > 1;
    } else if (c->op == &lode_op_max_pool || c->op == &lode_op_avg_pool) {
        const lode_pool_params *q = c->params;
        for (int d = 0; d < 2; d++) {
            in.kernel[d] = q->kernel[d];
            in.stride[d] = q->stride[d];
            in.pad[d] = q->pad[d];
        }
        in.own_channels = true;
    } else if (c->op == &lode_op_linear) {
        in.whole_map = true;
    } else { /* element by element where the map is the same, else all of it */
        in.whole_map = source->rows != s->rows || source->columns != s->columns;
        in.own_channels = source->channels == s->channels && c->op != &lode_op_channel_shuffle &&
                          c->op != &lode_op_concat;
        in.all_channels = !in.own_channels;
    }
    if (!same) {
        in.whole_map = in.all_channels = true;
        in.own_channels = false;
    }
    s->input[s->n_inputs++] = in;
}

static void pipeline_layer_of(const lode_work *w, lode_fpga_layer *l) {
    bool deep = w->what == LODE_WORK_DEPTHWISE;
    *l = (lode_fpga_layer){w->out_c, deep ? 1 : w->in_c / (w->groups > 0 ? w->groups : 1),
                           w->out_h, w->out_w,
                           w->k_h,   w->stride};
}

static lode_fpga_tile pipeline_tile(const fpga *f, const lode_fpga_layer *l) {
    return (lode_fpga_tile){pipeline_least(f->tm, l->m), pipeline_least(f->tn, l->n),
                            pipeline_least(f->tr[0], l->r), pipeline_least(f->tc[0], l->c)};
}

static void pipeline_with_weights(const fpga *f, const lode_work *w, lode_overlap_stage *s) {
    lode_fpga_layer l;
    lode_fpga_times x;
    pipeline_layer_of(w, &l);
    s->depth = l.n;
    s->tile = pipeline_tile(f, &l);
    lode_fpga_times_of(&l, &s->tile, &f->ports, &x);
    double deep = ceil((double)l.n / (double)s->tile.n);
    s->task = x.l2 / deep;
    s->fill = x.l1;
    s->drain = x.outputs;
}

/* Streams: as many words in as one part of the result needs on average, and its words out. */
static void pipeline_without(const fpga *f, const lode_work *w, lode_overlap_stage *s) {
    s->depth = 1;
    s->tile =
        (lode_fpga_tile){pipeline_least(f->tm, s->channels), 1, pipeline_least(f->tr[0], s->rows),
                         pipeline_least(f->tc[0], s->columns)};
    double share = 1 / (double)lode_overlap_n_tasks(s);
    s->fill = (w->input + w->residual) * share / f->ports.input;
    s->drain = w->output * share / f->ports.output;
    s->task = fmax(s->fill, s->drain);
}

static lode_status pipeline_add(pipeline_net *p, const lode_trace_call *call) {
    const lode_op_call *c = &call->call;
    lode_overlap_stage *s = &p->stage[p->n];
    lode_work w;
    int64_t dims[3];
    int first = call->x_id[0] >= 0 ? p->made_by[call->x_id[0]] : -1;
    if (call->is_view) {
        p->made_by[call->y_id] = first;
        return LODE_OK;
    }
    if (c->y->shape.dim[0] != 1)
        return LODE_FAIL(LODE_ERR_UNSUPPORTED,
                         "fpga_pipeline: latency is of one image, not of a batch of %lld",
                         (long long)c->y->shape.dim[0]);
    lode_work_of(call, &w);
    pipeline_dims(c->y, dims);
    *s = (lode_overlap_stage){.channels = dims[0], .rows = dims[1], .columns = dims[2]};
    if (w.weights > 0)
        pipeline_with_weights(p->f, &w, s);
    else
        pipeline_without(p->f, &w, s);
    bool after = first >= 0 && p->any[first];
    lode_overlap_reuse before = after ? p->reuse[first] : LODE_OVERLAP_INPUTS;
    bool turn = w.weights > 0;
    s->reuse = turn == (before == LODE_OVERLAP_INPUTS) ? LODE_OVERLAP_OUTPUTS : LODE_OVERLAP_INPUTS;
    p->any[p->n] = after || turn;
    p->reuse[p->n] = s->reuse;
    for (int i = 0; i < c->n_x; i++)
        if (c->x[i] && call->x_id[i] >= 0) pipeline_read(p, call, i, s);
    p->made_by[call->y_id] = p->n++;
    return LODE_OK;
}

/* ---- cost models ---- */

static lode_status fpga_pipeline_latency(void *self, const lode_tape *trace, double *out) {
    const fpga *f = self;
    int n = lode_trace_n(trace), n_values = lode_trace_n_values(trace);
    pipeline_net p = {.f = f};
    double cycles = 0;
    lode_status status = LODE_OK;
    *out = 0;
    p.stage = LODE_NEW_ARRAY(lode_overlap_stage, n + 1);
    p.made_by = LODE_NEW_ARRAY(int, n_values + 1);
    p.reuse = LODE_NEW_ARRAY(lode_overlap_reuse, n + 1);
    p.any = LODE_NEW_ARRAY(bool, n + 1);
    LODE_GOTO(p.stage && p.made_by && p.reuse && p.any ? LODE_OK : LODE_ERR_NO_MEMORY);
    memset(p.made_by, 0xff, (size_t)n_values * sizeof *p.made_by);
    for (int i = 0; i < n; i++) LODE_GOTO(pipeline_add(&p, lode_trace_get(trace, i)));
    LODE_GOTO(lode_overlap_run(p.stage, p.n, false, NULL, NULL, &cycles));
    *out = cycles / (1e3 * f->clock_mhz);
done:
    lode_free(p.any);
    lode_free(p.reuse);
    lode_free(p.made_by);
    lode_free(p.stage);
    return status;
}

/* The engine of a call; false: it has no weights and needs none. */
static bool pipeline_engine(const fpga *f, const lode_trace_call *call, lode_fpga_layer *layer,
                            lode_fpga_tile *tile) {
    lode_work w;
    lode_work_of(call, &w);
    if (!(w.weights > 0)) return false;
    pipeline_layer_of(&w, layer);
    *tile = pipeline_tile(f, layer);
    return true;
}

static lode_status fpga_pipeline_dsp_of(void *self, const lode_trace_call *call, double *out) {
    const fpga *f = self;
    lode_fpga_layer l;
    lode_fpga_tile t;
    *out = pipeline_engine(f, call, &l, &t) ? (double)(t.m * t.n) * fpga_dsp_per_unit(f->dtype) : 0;
    return LODE_OK;
}

static lode_status fpga_pipeline_bram_of(void *self, const lode_trace_call *call, double *out) {
    const fpga *f = self;
    lode_fpga_layer l;
    lode_fpga_tile t;
    *out = pipeline_engine(f, call, &l, &t)
               ? lode_fpga_bram18k(&l, &t, 8 * lode_hardware_dtype_bytes(f->dtype))
               : 0;
    return LODE_OK;
}

static const char *fpga_pipeline_unit_bram(const void *self) {
    (void)self;
    return "BRAM18K";
}

static const lode_cost_model fpga_pipeline_latency_ms = {
    .name = "latency_ms",
    .about = "cycles of an engine per layer, layers overlapping tile by tile",
    .unit = fpga_unit_ms,
    .trace_cost = fpga_pipeline_latency,
    .form = fpga_form,
};

static const lode_cost_model fpga_pipeline_dsp = {
    .name = "dsp",
    .about = "multipliers all engines take",
    .unit = fpga_unit_dsp,
    .op_cost = fpga_pipeline_dsp_of,
    .form = fpga_form,
};

static const lode_cost_model fpga_pipeline_bram18k = {
    .name = "bram18k",
    .about = "double buffers of all engines",
    .unit = fpga_pipeline_unit_bram,
    .op_cost = fpga_pipeline_bram_of,
    .form = fpga_form,
};

static const lode_cost_model *const fpga_pipeline_quantities[] = {
    &fpga_pipeline_latency_ms, &fpga_pipeline_dsp, &fpga_pipeline_bram18k};

static lode_status fpga_pipeline_load(lode_yaml *root, lode_hardware_dtype dtype, void **self) {
    LODE_TRY(fpga_load(root, dtype, self));
    const fpga *f = *self;
    if (f->n_tr == 1 && f->n_tc == 1) return LODE_OK;
    lode_free(*self);
    *self = NULL;
    return LODE_FAIL(LODE_ERR_CONFIG,
                     "%s: a pipeline's tile.r and tile.c are one number each, of all engines",
                     lode_yaml_name(root));
}

const lode_hardware_kind lode_hardware_fpga_pipeline = {
    .name = "fpga_pipeline",
    .about = "FPGAs with an engine per layer: overlapping layers, multipliers, buffers",
    .load = fpga_pipeline_load,
    .close = lode_free,
    .quantity = fpga_pipeline_quantities,
    .n_quantities = (int)(sizeof fpga_pipeline_quantities / sizeof *fpga_pipeline_quantities),
};
