/* asic_mapping.c: accelerators that run layers by a mapping (nest.h) as a kind of device file:
   latency_ms, energy_mj, area_mm2, l1_bytes, l2_bytes (after MAESTRO, Kwon et al. 2019; methods
   D4).

   An array of elements, each with a first-level memory; a network; a second-level memory; DRAM. The
   file holds mappings by name and says which is used, so that a space may decide it.

   Latency is the mapping's cycles, or what DRAM needs if that is more. Energy, in multiply-
   accumulates: one for each, l1 per word read or written in an element (two operands, a sum read
   and written per multiply-accumulate, and what is sent or collected), l2 per word that
   the second level sends to elements or collects, dram per word that passes DRAM (and fills the
   second level or leaves it there). MAESTRO has no DRAM in it (dram: 0).

   Between layers everything is in DRAM. A tensor passes it once if all of it fits the second level
   beside the double buffer of a step, else as often as it is sent to the elements. What stays is
   chosen for the least traffic.

   The first level must hold two of an element's steps, the second two of the array's: with less the
   device cannot run the layer, which is an error.

   Grouped convolutions are one dense layer after another. Linear layers are 1 x 1 maps. What has no
   weights streams: a word of input or output a cycle and element, or what the network or DRAM
   needs.

   Area takes MAESTRO's constants of 28 nm with its own scaling of bus and arbiter. It does not say
   in which units; square micrometers are assumed. */
#include "core/memory.h"
#include "hwcost/asic_internal.h"
#include "hwcost/asic_mapping_internal.h"

#include <math.h>
#include <string.h>

/* ---- layers ---- */

/* How much of the rows that a layer reads is map and no padding. */
static double mapped_real(int64_t in, int64_t out, int64_t kernel, int64_t stride) {
    double read = (double)((out - 1) * stride + kernel);
    return fmin(1, (double)in / read);
}

static void mapped_layer_of(const lode_work *w, lode_nest_layer *l) {
    l->depthwise = w->what == LODE_WORK_DEPTHWISE;
    const int64_t size[LODE_N_NEST_DIMS] = {w->images,
                                            w->out_c / w->groups,
                                            l->depthwise ? w->in_c : w->in_c / w->groups,
                                            w->out_h,
                                            w->out_w,
                                            w->k_h,
                                            w->k_w};
    memcpy(l->size, size, sizeof size);
    l->stride = w->stride;
    l->real = mapped_real(w->in_h, w->out_h, w->k_h, w->stride) *
              mapped_real(w->in_w, w->out_w, w->k_w, w->stride);
}

/* Words through DRAM: of inputs, weights and sums those stay in the second level, after the first
   time, that save the most. */
static double mapped_dram_words(const mapped *m, const lode_nest_layer *l,
                                const lode_nest_counts *c, double inputs, double weights) {
    double outputs = (double)(l->size[LODE_NEST_N] * l->size[LODE_NEST_K] * l->size[LODE_NEST_Y] *
                              l->size[LODE_NEST_X]) *
                     (l->depthwise ? (double)l->size[LODE_NEST_C] : 1);
    const double size[3] = {inputs, weights, outputs};
    const double sent[3] = {c->inputs, c->weights, c->sums + c->outputs};
    double room = m->l2_bytes / m->bytes - 2 * c->tiles.array_words, best = INFINITY;
    for (int kept = 0; kept < 8; kept++) {
        double words = 0, taken = 0;
        for (int i = 0; i < 3; i++) {
            bool stays = kept >> i & 1;
            taken += stays ? size[i] : 0;
            words += stays ? fmin(size[i], sent[i]) : sent[i];
        }
        if (kept == 0 || taken <= room) best = fmin(best, words);
    }
    return best;
}

/* What a call costs. */
typedef struct mapped_price {
    double cycles, macs, l1, l2, dram; /* words */
    double l1_need, l2_need;           /* bytes */
} mapped_price;

static void mapped_price_layer(const mapped *m, const lode_work *w, mapped_price *p) {
    lode_nest_layer l;
    lode_nest_counts c;
    mapped_layer_of(w, &l);
    double layers = l.depthwise ? 1 : (double)w->groups;
    lode_nest_count(l.depthwise ? m->depthwise : m->dense, &l, &m->array, &c);
    p->cycles = layers * c.cycles;
    p->macs = layers * c.macs;
    p->l1 = layers * (4 * c.macs + c.fills + c.sums + c.outputs);
    p->l2 = layers * (c.inputs + c.weights + c.sums + c.outputs);
    p->dram = layers * mapped_dram_words(m, &l, &c, w->input / layers, w->weights / layers);
    p->l1_need = 2 * m->bytes * c.tiles.element_words;
    p->l2_need = 2 * m->bytes * c.tiles.array_words;
}

/* Pooling, sums, products of activations, and the residual and biases of a layer. */
static void mapped_add_stream(const mapped *m, double words, double macs, mapped_price *p) {
    double elements = (double)m->array.elements * m->array.macs_per_cycle;
    p->cycles += fmax(words / m->array.words_per_cycle, fmax(words, macs) / elements);
    p->macs += macs;
    p->l1 += 2 * words + 4 * macs;
    p->l2 += words;
    p->dram += words;
}

static lode_status mapped_check_memory(const mapped *m, const mapped_price *p, const char *label) {
    bool first = p->l1_need > m->l1_bytes;
    if (!first && p->l2_need <= m->l2_bytes) return LODE_OK;
    return LODE_FAIL(LODE_ERR_CONFIG,
                     "asic_mapping: two steps of %s take %.0f bytes of %s memory, the device has "
                     "%.0f; map less at a time, or set `%s`",
                     label, first ? p->l1_need : p->l2_need,
                     first ? "an element's first-level" : "the second-level",
                     first ? m->l1_bytes : m->l2_bytes, first ? "l1_bytes" : "l2_kib");
}

static void mapped_price_of(const mapped *m, const lode_trace_call *call, mapped_price *p) {
    lode_work w;
    lode_work_of(call, &w);
    *p = (mapped_price){0};
    if (w.images > 0 && w.weights > 0) {
        mapped_price_layer(m, &w, p);
        mapped_add_stream(m, w.residual + w.biases, 0, p);
    } else {
        mapped_add_stream(m, w.input + w.output + w.biases, w.macs, p);
    }
}

static double mapped_ms(const mapped *m, const mapped_price *p) {
    return fmax(p->cycles / (1e3 * m->clock_mhz), m->bytes * p->dram / (1e6 * m->dram_gbps));
}

/* ---- cost models ---- */

static const char *mapped_unit_bytes(const void *self) {
    (void)self;
    return "bytes";
}

static lode_status mapped_latency(void *self, const lode_trace_call *call, double *out) {
    const mapped *m = self;
    mapped_price p;
    mapped_price_of(m, call, &p);
    *out = mapped_ms(m, &p);
    return mapped_check_memory(m, &p, call->label);
}

static lode_status mapped_energy(void *self, const lode_trace_call *call, double *out) {
    const mapped *m = self;
    mapped_price p;
    mapped_price_of(m, call, &p);
    double macs = p.macs + m->l1 * p.l1 + m->l2 * p.l2 + m->dram * p.dram;
    *out = 1e-9 * m->mac_pj * macs + m->static_w * mapped_ms(m, &p);
    return mapped_check_memory(m, &p, call->label);
}

/* What the layer that needs most needs, whatever the device has. */
static double mapped_most(const mapped *m, const lode_tape *trace, bool first) {
    double most = 0;
    for (int i = 0; i < lode_trace_n(trace); i++) {
        mapped_price p;
        mapped_price_of(m, lode_trace_get(trace, i), &p);
        most = fmax(most, first ? p.l1_need : p.l2_need);
    }
    return most;
}

static lode_status mapped_l1(void *self, const lode_tape *trace, double *out) {
    *out = mapped_most(self, trace, true);
    return LODE_OK;
}

static lode_status mapped_l2(void *self, const lode_tape *trace, double *out) {
    *out = mapped_most(self, trace, false);
    return LODE_OK;
}

static lode_status mapped_no_more_area(void *self, const lode_trace_call *call, double *out) {
    const mapped *m = self;
    (void)call;
    *out = 0;
    if (m->has_area) return LODE_OK;
    return LODE_FAIL(LODE_ERR_CONFIG,
                     "area_mm2: the device file gives no area; add `area: {}` to it");
}

/* MAESTRO scales a bus by its ports and words, a matrix arbiter by the square of its ports. */
static double mapped_area(const void *self) {
    const mapped *m = self;
    double n = (double)m->array.elements;
    double arbiter = fmax(1, 1.2886 * n * n + 5.5814 * n - 23.711);
    double um2 = n * (m->mac_um2 * m->array.macs_per_cycle + m->sram_um2 * m->l1_bytes) +
                 m->sram_um2 * m->l2_bytes +
                 m->bus_um2 * (14.662 * n + 28.895) * m->array.words_per_cycle +
                 m->arbiter_um2 * arbiter;
    return m->has_area ? m->fixed_mm2 + 1e-6 * um2 : 0;
}

static const lode_cost_model mapped_latency_ms = {
    .name = "latency_ms",
    .about = "steps of the mapping with double buffers, or bandwidth of DRAM",
    .unit = asic_unit_ms,
    .op_cost = mapped_latency,
    .form = asic_form,
};

static const lode_cost_model mapped_energy_mj = {
    .name = "energy_mj",
    .about = "multiply-accumulates and words of both levels of memory and DRAM",
    .unit = asic_unit_mj,
    .op_cost = mapped_energy,
    .form = asic_form,
};

static const lode_cost_model mapped_area_mm2 = {
    .name = "area_mm2",
    .about = "of the chip",
    .unit = asic_unit_mm2,
    .op_cost = mapped_no_more_area,
    .constant = mapped_area,
    .form = asic_form,
};

static const lode_cost_model mapped_l1_bytes = {
    .name = "l1_bytes",
    .about = "first-level memory an element must have for the mapping",
    .unit = mapped_unit_bytes,
    .trace_cost = mapped_l1,
    .form = asic_form,
};

static const lode_cost_model mapped_l2_bytes = {
    .name = "l2_bytes",
    .about = "second-level memory the mapping must have",
    .unit = mapped_unit_bytes,
    .trace_cost = mapped_l2,
    .form = asic_form,
};

static const lode_cost_model *const mapped_quantities[] = {
    &mapped_latency_ms, &mapped_energy_mj, &mapped_area_mm2, &mapped_l1_bytes, &mapped_l2_bytes};

const lode_hardware_kind lode_hardware_asic_mapping = {
    .name = "asic_mapping",
    .about = "accelerators by a mapping of loops to elements and steps (MAESTRO)",
    .load = mapped_load,
    .close = lode_free,
    .quantity = mapped_quantities,
    .n_quantities = (int)(sizeof mapped_quantities / sizeof *mapped_quantities),
};
