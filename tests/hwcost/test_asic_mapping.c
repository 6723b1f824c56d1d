/* test_asic_mapping.c: mappings of layers to elements and steps: cases against every step of every
   element played through, numbers on paper, limits, and the device files that hold mappings.
   (Gradients and sums on all shipped spaces: test_hardware.c.) labels: unit */
#include "core/memory.h"
#include "core/platform.h"
#include "core/rng.h"
#include "hwcost/hardware.h"
#include "hwcost/nest.h"
#include "hwcost/pricing.h"

#include <math.h>
#include <stdio.h>

enum { N, K, C, Y, X, R, S, D, WORDS = 2500, ELEMENTS = 24 };

/* ---- every step of every element ---- */

/* Which words an element, or all of them, hold: of inputs, weights and outputs. */
typedef struct held {
    bool word[3][WORDS];
} held;

typedef struct play {
    const lode_nest_layer *l;
    lode_nest_loop loop[LODE_NEST_MAX_LOOPS];
    int n, n_levels;
    int64_t units[LODE_NEST_MAX_LEVELS];
    int64_t index[LODE_NEST_MAX_LOOPS];
    held element[ELEMENTS], last[ELEMENTS], all, all_last;
    bool seen[WORDS];
    bool begun;
    lode_nest_array array;
    lode_nest_counts sum;
} play;

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

/* What the element with these unit numbers has of a loop's dimension; length may be 0. */
static void play_cut(const lode_nest_loop *l, int64_t units, int64_t unit, int64_t index,
                     int64_t *start, int64_t *length) {
    int64_t part = l->size ? least(l->size, *length) : *length;
    int64_t offset = (l->spatial ? index * units + unit : index) * part;
    *start += offset;
    *length = least(part, *length - offset);
    if (*length < 0) *length = 0;
}

static void play_hold(const play *p, const int64_t *start, const int64_t *length, held *h,
                      int64_t *macs) {
    const int64_t *size = p->l->size;
    int64_t st = p->l->stride, i[D];
    int64_t rows = (size[Y] - 1) * st + size[R], columns = (size[X] - 1) * st + size[S];
    *macs = 1;
    for (int d = 0; d < D; d++) *macs *= length[d];
    for (int64_t code = 0; code < *macs; code++) {
        int64_t rest = code;
        for (int d = 0; d < D; d++) {
            i[d] = start[d] + rest % length[d];
            rest /= length[d];
        }
        int64_t in =
            ((i[N] * size[C] + i[C]) * rows + i[Y] * st + i[R]) * columns + i[X] * st + i[S];
        int64_t weight = ((i[K] * size[C] + i[C]) * size[R] + i[R]) * size[S] + i[S];
        int64_t c = p->l->depthwise ? i[C] : 0, out = i[N] * size[K] + i[K];
        out = ((out * (p->l->depthwise ? size[C] : 1) + c) * size[Y] + i[Y]) * size[X] + i[X];
        assert_true(in < WORDS && weight < WORDS && out < WORDS);
        h->word[0][in] = h->word[1][weight] = h->word[2][out] = true;
    }
}

static int64_t held_new(const bool *now, const bool *before) {
    int64_t n = 0;
    for (int i = 0; i < WORDS; i++) n += now[i] && !before[i];
    return n;
}

static void play_step(play *p) {
    int64_t elements = 1, most = 0, all_macs = 0;
    for (int i = 0; i < p->n_levels; i++) elements *= p->units[i];
    memset(&p->all, 0, sizeof p->all);
    memset(p->element, 0, sizeof p->element);
    for (int64_t e = 0; e < elements; e++) {
        int64_t start[D] = {0}, length[D], unit[LODE_NEST_MAX_LEVELS], rest = e, macs = 0;
        for (int i = 0; i < p->n_levels; i++) {
            unit[i] = rest % p->units[i];
            rest /= p->units[i];
        }
        memcpy(length, p->l->size, sizeof length);
        for (int i = 0; i < p->n; i++)
            play_cut(&p->loop[i], p->units[p->loop[i].level], unit[p->loop[i].level], p->index[i],
                     &start[p->loop[i].dim], &length[p->loop[i].dim]);
        play_hold(p, start, length, &p->element[e], &macs);
        all_macs += macs;
        if (macs > most) most = macs;
        for (int t = 0; t < 3; t++)
            for (int i = 0; i < WORDS; i++) p->all.word[t][i] |= p->element[e].word[t][i];
        for (int t = 0; t < 2; t++)
            p->sum.fills += (double)held_new(p->element[e].word[t], p->last[e].word[t]);
    }
    int64_t in = held_new(p->all.word[0], p->all_last.word[0]), sums = 0;
    int64_t weights = held_new(p->all.word[1], p->all_last.word[1]);
    int64_t left = held_new(p->all_last.word[2], p->all.word[2]);
    for (int i = 0; i < WORDS; i++) {
        if (!p->all.word[2][i]) continue;
        sums += p->seen[i] && !p->all_last.word[2][i];
        p->seen[i] = true;
    }
    double send = lode_nest_delay(&p->array, (double)(in + weights + sums));
    double collect = lode_nest_delay(&p->array, (double)left);
    double compute = ceil((double)most / p->array.macs_per_cycle);
    p->sum.cycles += p->begun ? fmax(compute, fmax(send, collect)) : send + compute + collect;
    p->sum.compute += compute;
    p->sum.macs += (double)all_macs;
    p->sum.steps++;
    p->sum.inputs += (double)in;
    p->sum.weights += (double)weights;
    p->sum.sums += (double)sums;
    p->sum.outputs += (double)left;
    p->begun = true;
    memcpy(p->last, p->element, sizeof p->last);
    p->all_last = p->all;
}

/* length [D]: of the longest unit, before loop i. */
static void play_loops(play *p, int i, const int64_t *length) {
    int64_t mine[D], start = 0;
    if (i == p->n) {
        play_step(p);
        return;
    }
    const lode_nest_loop *l = &p->loop[i];
    int64_t units = l->spatial ? p->units[l->level] : 1;
    for (p->index[i] = 0;; p->index[i]++) {
        memcpy(mine, length, sizeof mine);
        play_cut(l, units, 0, p->index[i], &start, &mine[l->dim]);
        if (mine[l->dim] == 0) break;
        play_loops(p, i + 1, mine);
    }
}

static void play_layer(const lode_nest *m, const lode_nest_layer *l, const lode_nest_array *a,
                       lode_nest_counts *out) {
    play *p = LODE_NEW(play);
    int64_t left = a->elements;
    assert_non_null(p);
    p->l = l;
    p->array = *a;
    p->n_levels = m->n_levels;
    p->loop[p->n++] = (lode_nest_loop){.dim = LODE_NEST_N, .size = 1};
    for (int i = 0; i < m->n_loops; i++) p->loop[p->n++] = m->loop[i];
    for (int i = 1; i < m->n_levels; i++) left /= p->units[i] = m->cluster[i];
    p->units[0] = left;
    play_loops(p, 0, l->size);
    double last = 0;
    for (int i = 0; i < WORDS; i++) last += p->all_last.word[2][i];
    p->sum.outputs += last;
    p->sum.cycles += lode_nest_delay(a, last);
    *out = p->sum;
    lode_free(p);
}

static void make(lode_nest *m, const char *name, const char *directives) {
    char text[64];
    lode_nest_init(m, name);
    while (*directives) {
        size_t n = strcspn(directives, ";");
        assert_true(n < sizeof text);
        memcpy(text, directives, n);
        text[n] = '\0';
        assert_ok(lode_nest_add(m, text));
        directives += directives[n] ? n + 1 : n;
    }
}

/* Loops in any order, cut anyhow, with one or two levels. */
static void draw_mapping(lode_rng *rng, lode_nest *m) {
    static const char letters[] = "KCYXRS";
    bool spatial[6] = {false};
    int levels = 1 + (int)lode_rng_below(rng, 2);
    lode_nest_init(m, "drawn");
    for (int level = 0; level < levels; level++) {
        int order[6] = {0, 1, 2, 3, 4, 5}, n = 0, aside;
        char text[32];
        if (level) {
            snprintf(text, sizeof text, "cluster %d", 1 + (int)lode_rng_below(rng, 4));
            assert_ok(lode_nest_add(m, text));
        }
        for (int i = 5; i > 0; i--) {
            int j = (int)lode_rng_below(rng, (uint32_t)i + 1), kept = order[i];
            order[i] = order[j];
            order[j] = kept;
        }
        do aside = (int)lode_rng_below(rng, 6);
        while (spatial[aside]);
        for (int i = 0; i < 6; i++) {
            int d = order[i];
            if (spatial[d] || (d != aside && lode_rng_below(rng, 3) == 0)) continue;
            snprintf(text, sizeof text, "%s %c %d", d == aside ? "spatial" : "temporal", letters[d],
                     1 + (int)lode_rng_below(rng, 3));
            assert_ok(lode_nest_add(m, text));
            n++;
        }
        spatial[aside] = true;
        assert_true(n > 0);
    }
}

static void assert_same(const lode_nest_counts *a, const lode_nest_counts *b) {
    assert_near(a->steps, b->steps, 0);
    assert_near(a->macs, b->macs, 0);
    assert_near(a->compute, b->compute, 0);
    assert_near(a->inputs, b->inputs, 0);
    assert_near(a->weights, b->weights, 0);
    assert_near(a->sums, b->sums, 0);
    assert_near(a->outputs, b->outputs, 0);
    assert_near(a->fills, b->fills, 0);
    assert_near(a->cycles, b->cycles, 0);
}

static void cases_against_every_step(void **state) {
    (void)state;
    lode_rng rng = lode_rng_stream(5, LODE_RNG_TEST, 11);
    int returning = 0, deep = 0, combs = 0;
    for (int trial = 0; trial < 300; trial++) {
        lode_nest m;
        lode_nest_counts found, played;
        lode_nest_layer l = {.stride = 1 + lode_rng_below(&rng, 3), .real = 1};
        for (int d = 0; d < D; d++)
            l.size[d] = 1 + lode_rng_below(&rng, d == N ? 2 : d >= R ? 3 : 5);
        l.depthwise = lode_rng_below(&rng, 4) == 0;
        draw_mapping(&rng, &m);
        lode_nest_array a = {.elements = 4 + lode_rng_below(&rng, ELEMENTS - 4),
                             .macs_per_cycle = (double)(1 + lode_rng_below(&rng, 2)),
                             .words_per_cycle = (double)(1 + lode_rng_below(&rng, 8)),
                             .hops = (double)lode_rng_below(&rng, 3),
                             .cycles_per_hop = 1};
        if (a.hops == 0) a.cycles_per_hop = 0;
        assert_ok(lode_nest_check(&m, a.elements));
        lode_nest_count(&m, &l, &a, &found);
        play_layer(&m, &l, &a, &played);
        assert_same(&found, &played);
        assert_near(found.macs,
                    (double)(l.size[N] * l.size[K] * l.size[C] * l.size[Y] * l.size[X] * l.size[R] *
                             l.size[S]),
                    0);
        returning += found.sums > 0;
        deep += l.depthwise;
        combs += l.stride > l.size[R];
    }
    assert_true(returning > 50 && deep > 30 && combs > 30);
}

/* The classical dataflows on layers with edges everywhere. */
static void dataflows_against_every_step(void **state) {
    (void)state;
    static const char *const text[] = {
        "spatial K 1;temporal C 4;temporal Y 1;temporal X 1;cluster 4;spatial C 1",
        "temporal K 1;spatial Y 1;temporal X 4;temporal C 1;cluster 4;spatial X 1",
        "spatial K 2;temporal C 2;cluster 3;spatial Y 1;temporal X 1;cluster 3;spatial R 1"};
    static const lode_nest_layer layers[] = {{{1, 5, 6, 7, 7, 3, 3}, 1, false, 1},
                                             {{2, 3, 5, 4, 5, 3, 3}, 2, false, 1},
                                             {{1, 1, 6, 7, 6, 3, 3}, 2, true, 1},
                                             {{1, 7, 9, 5, 5, 1, 1}, 2, false, 1},
                                             {{3, 10, 13, 1, 1, 1, 1}, 1, false, 1}};
    for (int i = 0; i < 3; i++)
        for (size_t k = 0; k < sizeof layers / sizeof *layers; k++) {
            lode_nest m;
            lode_nest_counts found, played;
            const lode_nest_array a = {20, 1, 4, 1, 2};
            make(&m, "flow", text[i]);
            assert_ok(lode_nest_check(&m, a.elements));
            lode_nest_count(&m, &layers[k], &a, &found);
            play_layer(&m, &layers[k], &a, &played);
            assert_same(&found, &played);
            /* What stays is sent once: weights with all of C in the array, sums with C innermost.
             */
            if (i == 1) assert_near(found.sums, 0, 0);
        }
}

/* ---- on paper ---- */

typedef struct listed {
    int n;
    lode_nest_case c[16];
} listed;

static void list_case(void *self, const lode_nest_case *c) {
    listed *l = self;
    assert_true(l->n < 16);
    l->c[l->n++] = *c;
}

/* A 3-tap filter over 5 outputs, 2 elements side by side: steps of outputs 0 1 | 2 3 | 4.
   4 inputs and 3 weights, then 2 new inputs (two stay), then 1; elements hold 3 inputs each. */
static void a_filter_on_paper(void **state) {
    (void)state;
    const lode_nest_layer l = {{1, 1, 1, 1, 5, 1, 3}, 1, false, 1};
    const lode_nest_array a = {2, 1, 1, 1, 4};
    lode_nest m;
    lode_nest_tiles tiles;
    lode_nest_counts c;
    listed cases = {0};
    make(&m, "row", "spatial X 1");
    lode_nest_walk(&m, &l, 2, list_case, &cases, &tiles);
    assert_int_equal(cases.n, 3);
    const lode_nest_case want[3] = {{1, true, 6, 3, 4, 3, 0, 0, 12},
                                    {1, false, 6, 3, 2, 0, 0, 2, 4},
                                    {1, false, 3, 3, 1, 0, 0, 2, 2}};
    for (int i = 0; i < 3; i++) {
        assert_near(cases.c[i].count, want[i].count, 0);
        assert_true(cases.c[i].first == want[i].first);
        assert_near(cases.c[i].macs, want[i].macs, 0);
        assert_near(cases.c[i].element_macs, want[i].element_macs, 0);
        assert_near(cases.c[i].inputs, want[i].inputs, 0);
        assert_near(cases.c[i].weights, want[i].weights, 0);
        assert_near(cases.c[i].sums, want[i].sums, 0);
        assert_near(cases.c[i].outputs, want[i].outputs, 0);
        assert_near(cases.c[i].fills, want[i].fills, 0);
    }
    assert_near(tiles.element_words, 3 + 3 + 1, 0);
    assert_near(tiles.array_words, 4 + 3 + 2, 0);
    assert_near(tiles.last_outputs, 1, 0);
    /* hops 1 x 4 + ceil(v / 1) - 1: first 10 + 3, then max(5, 3, 5), max(4, 3, 5), the last sum 4
     */
    lode_nest_count(&m, &l, &a, &c);
    assert_near(c.cycles, 13 + 5 + 5 + 4, 0);
    assert_near(lode_nest_delay(&a, 7), 10, 0);
    assert_near(lode_nest_delay(&(lode_nest_array){1, 1, 4, 2, 3}, 9), 6 + 3 - 1, 0);
    assert_near(lode_nest_delay(&a, 0), 0, 0);
}

static void steady_steps_are_one_case(void **state) {
    (void)state;
    const lode_nest_layer l = {{1, 1, 1, 1, 1000, 1, 3}, 1, false, 1};
    lode_nest m;
    lode_nest_tiles tiles;
    listed cases = {0};
    make(&m, "row", "spatial X 1");
    lode_nest_walk(&m, &l, 3, list_case, &cases, &tiles);
    assert_int_equal(cases.n, 3);
    assert_near(cases.c[1].count, 332, 0);
    assert_near(cases.c[1].inputs, 3, 0);
    assert_near(cases.c[2].count, 1, 0); /* 1000 = 333 x 3 + 1 */
    assert_near(cases.c[2].macs, 3, 0);
}

/* ---- limits ---- */

static void limits(void **state) {
    (void)state;
    static const char nvdla[] =
        "spatial K 1;temporal C 8;temporal Y 1;temporal X 1;cluster 8;spatial C 1";
    static const char alone[] = "spatial K 1;temporal C 1;temporal Y 1;temporal X 1";
    const lode_nest_layer l = {{1, 32, 16, 14, 14, 3, 3}, 1, false, 1};
    const double macs = 32 * 16 * 14 * 14 * 9;
    lode_nest m;
    lode_nest_counts c, last = {0};
    /* One element does everything; with words at no cost nothing else counts but the first and the
       last transfer. */
    make(&m, "one", alone);
    lode_nest_count(&m, &l, &(lode_nest_array){1, 1, 1e12, 1, 1}, &c);
    assert_near(c.compute, macs, 0);
    assert_near(c.cycles, macs + 2, 0);
    make(&m, "nvdla", nvdla);
    for (int e = 8; e <= 256; e *= 2) { /* elements that the layer divides: as much faster */
        lode_nest_count(&m, &l, &(lode_nest_array){e, 1, 1e12, 1, 1}, &c);
        assert_near(c.compute, macs / e, 0);
        assert_near(c.cycles, macs / e + 2, 0);
    }
    lode_nest_count(&m, &l, &(lode_nest_array){512, 1, 1e12, 1, 1}, &last);
    assert_near(last.compute, c.compute, 0); /* 32 x 8 are all that the mapping can use */
    /* Narrow: words decide, each sent once at most. */
    lode_nest_count(&m, &l, &(lode_nest_array){256, 1, 0.01, 1, 1}, &c);
    assert_true(c.cycles > 100 * (c.inputs + c.weights + c.sums) && c.cycles > 10 * c.compute);
    double before = INFINITY;
    for (double b = 0.125; b <= 1024; b *= 2) { /* wider is never slower */
        lode_nest_count(&m, &l, &(lode_nest_array){256, 1, b, 1, 1}, &c);
        assert_true(c.cycles <= before && c.cycles >= c.compute);
        before = c.cycles;
    }
    /* Weights are stationary: sent once. Sums come back once for the second half of C. */
    assert_near(c.weights, 32 * 16 * 9, 0);
    assert_near(c.sums, 32 * 14 * 14, 0);
    assert_near(c.outputs, 2 * 32 * 14 * 14, 0);
}

static void bad_directives_say_what(void **state) {
    (void)state;
    static const struct {
        const char *text, *words;
    } bad[] = {
        {"", "want `temporal DIM SIZE`"},       {"spatial K", "e.g. spatial K 1"},
        {"spatial K 1 2", "e.g. spatial K 1"},  {"special K 1", "e.g. spatial K 1"},
        {"spatial P 1", "a letter of NKCYXRS"}, {"spatial KC 1", "a letter of NKCYXRS"},
        {"temporal C 0", "a number or `all`"},  {"temporal C 1.5", "a number or `all`"},
        {"cluster all", "a number of units"},   {"cluster 0", "a number of units"},
        {"spatial C 1", "second `spatial`"},    {"temporal K 2", "has cut K before"},
    };
    lode_nest m;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        make(&m, "bad", "spatial K 1");
        assert_fails(lode_nest_add(&m, bad[i].text), LODE_ERR_CONFIG, bad[i].words);
    }
    make(&m, "bad", "spatial K 1;cluster 4");
    assert_fails(lode_nest_add(&m, "temporal K 1"), LODE_ERR_CONFIG, "cut it there");
    assert_fails(lode_nest_check(&m, 16), LODE_ERR_CONFIG, "after one of its `cluster`");
    assert_ok(lode_nest_add(&m, "spatial C 1"));
    assert_ok(lode_nest_check(&m, 4));
    assert_fails(lode_nest_check(&m, 3), LODE_ERR_CONFIG, "take 4 elements, the device has 3");
    make(&m, "bad", "temporal K 1");
    assert_fails(lode_nest_check(&m, 16), LODE_ERR_CONFIG, "at the top");
    make(&m, "bad", "spatial K 1;cluster 2;cluster R;cluster 2");
    assert_fails(lode_nest_add(&m, "cluster 2"), LODE_ERR_CONFIG, "one level too many");
}

/* ---- device files ---- */

#define CHIP                                                                                       \
    "name: x\nkind: asic_mapping\ndtype: int8\nelements: 64\nclock_mhz: 100\ndram_gbps: 1000\n"    \
    "noc: {words_per_cycle: 1000000, hops: 1, cycles_per_hop: 0}\nenergy: {mac_pj: 2}\n"           \
    "mappings: {ks: [spatial K 1, temporal C 8, temporal Y 1, temporal X 1, cluster 8, spatial C " \
    "1], "                                                                                         \
    "cs: [spatial C 1, temporal Y 1, temporal X 1]}\n"
#define KS CHIP "mapping: ks\n"
#define NET(layer)                                                                                 \
    "name: n\ninput: {channels: 32, size: 8}\nclasses: 10\nlayers:\n" layer                        \
    "  - {op: global_pool}\n  - {op: linear}\n"

static lode_status price_try(const char *net_text, const char *device, const char *quantity,
                             double *value) {
    lode_space *space = NULL;
    lode_supernet *net = NULL;
    lode_hardware *h = NULL;
    lode_cost *cost = NULL;
    assert_ok(lode_space_parse(net_text, "net", NULL, &space));
    assert_ok(lode_supernet_create(space, NULL, LODE_F32, 1, &net));
    assert_ok(lode_hardware_parse(device, "device", NULL, &h));
    const lode_cost_model *m = lode_hardware_find_quantity(h, quantity);
    assert_non_null(m);
    lode_status status = lode_cost_from_model(m, h->self, net, 1, &cost);
    if (status == LODE_OK) status = lode_cost_hard(cost, &(lode_arch){.n = 0}, value);
    lode_cost_close(cost);
    lode_hardware_close(h);
    lode_supernet_destroy(net);
    lode_space_release(space);
    return status;
}

static double price_on(const char *net_text, const char *device, const char *quantity) {
    double value = 0;
    assert_ok(price_try(net_text, device, quantity, &value));
    return value;
}

/* 1x1, 32 to 32 channels on 8x8 with 8 x 8 elements. The network costs nothing; pooling and
   classifier as without the layer. */
static void a_network_on_a_mapping(void **state) {
    (void)state;
    static const char conv[] = NET("  - {op: conv, kernel: 1, channels: 32}\n");
    double ms = price_on(conv, KS, "latency_ms") - price_on(NET(""), KS, "latency_ms");
    /* C is not cut in time: in 4 turns of 8 channels; 4 x 4 x 64 steps of one MAC. Biases stream.
     */
    double cycles = 4 * 4 * 64 + 32 / 64.0;
    assert_near(ms, cycles / 100e3, 1e-9);
    /* Weights once, inputs for each turn of K, sums for each turn of C but the first. */
    double macs = 32 * 32 * 64, weights = 32 * 32, in = 4 * 4 * 8 * 64, sums = 3 * 4 * 8 * 64;
    double outs = 4 * 4 * 8 * 64, fills = weights + 8 * in;
    double l1 = 4 * macs + fills + sums + outs + 2 * 32, l2 = weights + in + sums + outs + 32;
    double mj = price_on(conv, KS, "energy_mj") - price_on(NET(""), KS, "energy_mj");
    assert_near(mj * 1e9 / 2, macs + 1.68 * l1 + 18.61 * l2, 1e-6);
    /* DRAM, if it counts: everything once while the second level holds all, else as often as sent.
     */
    double once = 32 * 64 + weights + 32 * 64 + 32, all = in + weights + sums + outs + 32;
    char *dram = lode_format("%s", KS "l2_kib: 64\n"), *at = strstr(dram, "mac_pj: 2}");
    char *small = lode_format(
        "%s", KS "l2_kib: 0.1875\n"); /* 192 bytes: two steps of 80 words, and no room */
    char *with = lode_format("%.*smac_pj: 2, dram: 200}%s", (int)(at - dram), dram, at + 10);
    double more = price_on(conv, with, "energy_mj") - price_on(NET(""), with, "energy_mj") - mj;
    assert_near(more * 1e9 / 2, 200 * once, 1e-6);
    at = strstr(small, "mac_pj: 2}");
    char *with_small =
        lode_format("%.*smac_pj: 2, dram: 200}%s", (int)(at - small), small, at + 10);
    more =
        price_on(conv, with_small, "energy_mj") - price_on(NET(""), with_small, "energy_mj") - mj;
    assert_near(more * 1e9 / 2, 200 * all, 1e-6);
    lode_free(with_small);
    lode_free(with);
    lode_free(small);
    lode_free(dram);
}

/* Depthwise layers have one output channel for an input channel: K is 1, C is cut. */
static void depthwise_has_a_mapping_of_its_own(void **state) {
    (void)state;
    static const char deep[] = NET("  - {op: conv, kernel: 3, channels: 32, groups: 32}\n");
    double none = price_on(NET(""), KS, "latency_ms");
    double ks = price_on(deep, KS, "latency_ms") - none;
    double cs = price_on(deep, CHIP "mapping: ks\ndepthwise_mapping: cs\n", "latency_ms") - none;
    /* 8 of 64 elements, 4 turns of C, 64 pixels of 9; or 32 of 64 in one turn. */
    assert_near(ks, (4 * 64 * 9 + 0.5) / 100e3, 1e-9);
    assert_near(cs, (64 * 9 + 0.5) / 100e3, 1e-9);
    /* Groups of four: one dense layer after another, 4 channels of C on 8 units, 4 of K on 8. */
    double g =
        price_on(NET("  - {op: conv, kernel: 3, channels: 32, groups: 8}\n"), KS, "latency_ms");
    assert_near(g - none, (8 * 64 * 9 + 0.5) / 100e3, 1e-9);
}

/* Padding is not sent: a 3x3 layer reads each pixel of a map once per turn, no more. */
static void padding_is_not_sent(void **state) {
    (void)state;
    static const char conv[] = NET("  - {op: conv, kernel: 3, channels: 8}\n");
    static const char device[] = KS "l2_kib: 64\n";
    char *at = strstr(device, "mac_pj: 2}");
    char *free_macs =
        lode_format("%.*smac_pj: 1, l1: 0, l2: 1}%s", (int)(at - device), device, at + 10);
    double mj = price_on(conv, free_macs, "energy_mj") - price_on(NET(""), free_macs, "energy_mj");
    /* 8 channels go to pooling rather than 32. The classifier: weights, and inputs, which stay in
       the second turn of K where C is one turn. */
    double pool = (8 * 64 + 8) - (32 * 64 + 32), linear = (80 - 320) + (8 - 64);
    double linear_macs = 80 - 320;
    double rows = 8 * 3; /* each row of outputs sends three of inputs, without padding 8 / 10 */
    double in = 4 * 8 * rows * 10 * 0.64, w = 9 * 32 * 8, sums = 3 * 8 * 64, outs = 4 * 8 * 64;
    double macs = 9 * 32 * 8 * 64;
    double want = macs + in + w + sums + outs + 8 + pool + linear + linear_macs;
    assert_near(mj * 1e9, want, 1e-6);
    lode_free(free_macs);
}

static void memories_are_checked(void **state) {
    (void)state;
    static const char conv[] = NET("  - {op: conv, kernel: 3, channels: 32}\n");
    double v = 0;
    /* An element: 9 weights, 9 inputs, 1 sum. The array: 8 of K and C, 9 inputs of 8 channels. */
    assert_near(price_on(conv, KS, "l1_bytes"), 2 * 19, 0);
    assert_near(price_on(conv, KS, "l2_bytes"), 2 * (8 * 8 * 9 + 8 * 9 + 8), 0);
    assert_ok(price_try(conv, KS "l1_bytes: 38\nl2_kib: 1.28125\n", "latency_ms", &v));
    assert_fails(price_try(conv, KS "l1_bytes: 37\n", "latency_ms", &v), LODE_ERR_CONFIG,
                 "take 38 bytes of an element's first-level memory, the device has 37");
    assert_fails(price_try(conv, KS "l2_kib: 1.28\n", "energy_mj", &v), LODE_ERR_CONFIG, "l2_kib");
    assert_near(price_on(conv, KS "l1_bytes: 37\n", "l1_bytes"), 38, 0); /* says what it takes */
    /* 64 (283 + 0.104 64) + 0.104 2048 + 101.7938 (14.662 64 + 28.895) 1e6 + 395.473 (...) um2 */
    double um2 = 64 * (283 + 0.104 * 64) + 0.104 * 2048 + 101.7938 * (14.662 * 64 + 28.895) * 1e6 +
                 395.473 * (1.2886 * 4096 + 5.5814 * 64 - 23.711);
    assert_near(price_on(conv, KS "l1_bytes: 64\nl2_kib: 2\narea: {fixed_mm2: 1}\n", "area_mm2"),
                1 + 1e-6 * um2, 1e-6);
    assert_fails(price_try(conv, KS, "area_mm2", &v), LODE_ERR_CONFIG, "gives no area");
}

/* More of anything is never slower, and DRAM bounds from below. */
static void more_is_never_slower(void **state) {
    (void)state;
    static const char conv[] = NET("  - {op: conv, kernel: 3, channels: 32}\n");
    static const char *const key[] = {"dram_gbps: 1000", "words_per_cycle: 1000000",
                                      "clock_mhz: 100"};
    for (int k = 0; k < 3; k++) {
        double before = INFINITY, first = 0;
        for (double v = 0.25; v <= 64; v *= 2) {
            const char *device = KS, *at = strstr(device, key[k]);
            char *text = lode_format("%.*s%.*s: %g%s", (int)(at - device), device,
                                     (int)strcspn(key[k], ":"), key[k], v, at + strlen(key[k]));
            double ms = price_on(conv, text, "latency_ms");
            assert_true(ms <= before * (1 + 1e-12));
            if (v == 0.25) first = ms;
            before = ms;
            lode_free(text);
        }
        if (k > 0) assert_true(before < 0.5 * first);
    }
}

static void bad_files_say_what(void **state) {
    (void)state;
    static const struct {
        const char *text, *words;
    } bad[] = {
        {"name: x\nkind: asic_mapping\n", "`elements` is missing"},
        {"name: x\nkind: asic_mapping\nelements: 4\n", "`clock_mhz` is missing"},
        {"name: x\nkind: asic_mapping\nelements: 4\nclock_mhz: 1\ndram_gbps: 1\n",
         "`noc` wants a map"},
        {"name: x\nkind: asic_mapping\nelements: 4\nclock_mhz: 1\ndram_gbps: 1\nnoc: {hops: 1}\n",
         "`words_per_cycle` is missing"},
        {CHIP, "`mapping` is missing"},
        {CHIP "mapping: kss\n", "nearest is ks"},
        {KS "depthwise_mapping: all\n", "not one of `mappings`"},
        {KS "l1_kib: 3\n", "key `l1_kib`"},
        {KS "area: {}\n", "needs `l1_bytes` and `l2_kib`"},
    };
    static const char head[] =
        "name: x\nkind: asic_mapping\nelements: 4\nclock_mhz: 1\ndram_gbps: 1\n"
        "noc: {words_per_cycle: 1}\nenergy: {mac_pj: 1}\nmapping: m\n";
    static const struct {
        const char *text, *words;
    } lists[] = {
        {"", "`mappings` wants a map"},
        {"mappings: [m]\n", "`mappings` wants a map"},
        {"mappings: {m: spatial K 1}\n", "list of directives"},
        {"mappings: {m: []}\n", "list of directives"},
        {"mappings: {m: [[spatial K 1]]}\n", "want words"},
        {"mappings: {m: [spatial Q 1]}\n", "a letter of"},
        {"mappings: {m: [spatial K 1, cluster 8, spatial C 1]}\n", "the device has 4"},
    };
    lode_hardware *h = NULL;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_fails(lode_hardware_parse(bad[i].text, "x.yaml", NULL, &h), LODE_ERR_CONFIG,
                     bad[i].words);
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        char *text = lode_format("%s%s", head, lists[i].text);
        assert_fails(lode_hardware_parse(text, "x.yaml", NULL, &h), LODE_ERR_CONFIG,
                     lists[i].words);
        assert_non_null(strstr(lode_last_error(), "x.yaml"));
        lode_free(text);
    }
}

/* A space decides the mapping, the elements and the network of the shipped file. */
static void a_space_decides_the_mapping(void **state) {
    (void)state;
    static const char text[] =
        "name: net\ninput: {channels: 3, size: 16}\nclasses: 10\n"
        "sets: {s: {a: {op: mbconv, kernel: 3, expand: 3}, b: {op: mbconv, kernel: 5, expand: "
        "6}}}\n"
        "layers:\n  - {name: stem, op: conv, kernel: 3, channels: 16}\n"
        "  - {choice: s, channels: 24, stride: 2}\n  - {name: pool, op: global_pool}\n"
        "  - {name: classifier, op: linear}\n"
        "hardware: {mapping: [nvdla, shidiannao, row_stationary], elements: [128, 256], "
        "noc.words_per_cycle: [16, 64]}\n";
    static const char *const quantities[] = {"latency_ms", "energy_mj", "area_mm2"};
    priced_space f;
    double ms[2][3][2][2];
    assert_ok(lode_space_parse(text, "test", NULL, &f.space));
    assert_ok(lode_supernet_create(f.space, NULL, LODE_F32, 1, &f.net));
    assert_ok(lode_tape_create(LODE_TRACE, NULL, &f.trace));
    for (int q = 0; q < 3; q++) {
        lode_cost *cost = NULL;
        char *spec = lode_format("%s=maestro-256", quantities[q]);
        assert_ok(lode_cost_open(spec, f.net, 0, &cost));
        priced_hard(&f, cost, 6, true);
        priced_gradient(&f, cost);
        for (int code = 0; q == 0 && code < 24; code++) {
            int a = code / 12, m = code / 4 % 3, e = code / 2 % 2, b = code % 2;
            lode_arch arch = {.n = 4, .option = {(uint8_t)a, (uint8_t)m, (uint8_t)e, (uint8_t)b}};
            assert_ok(lode_cost_hard(cost, &arch, &ms[a][m][e][b]));
        }
        lode_cost_close(cost);
        lode_free(spec);
    }
    for (int m = 0; m < 3; m++) {
        assert_true(ms[0][m][1][1] < ms[1][m][1][1]); /* the smaller network is faster */
        assert_true(ms[0][m][1][1] <= ms[0][m][1][0]);
        assert_true(m == 0 || ms[0][m][1][1] != ms[0][0][1][1]);
    }
    priced_close(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cases_against_every_step),
        cmocka_unit_test(dataflows_against_every_step),
        cmocka_unit_test(a_filter_on_paper),
        cmocka_unit_test(steady_steps_are_one_case),
        cmocka_unit_test(limits),
        cmocka_unit_test(bad_directives_say_what),
        cmocka_unit_test(a_network_on_a_mapping),
        cmocka_unit_test(depthwise_has_a_mapping_of_its_own),
        cmocka_unit_test(padding_is_not_sent),
        cmocka_unit_test(memories_are_checked),
        cmocka_unit_test(more_is_never_slower),
        cmocka_unit_test(bad_files_say_what),
        cmocka_unit_test(a_space_decides_the_mapping),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
