/* test_nest.c: mappings of a layer to elements, against every step of every element played through,
   on paper, at limits (methods D4). labels: unit */
#include "core/memory.h"
#include "core/platform.h"
#include "core/rng.h"
#include "hwcost/nest.h"
#include "support/support.h"

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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cases_against_every_step),
        cmocka_unit_test(dataflows_against_every_step),
        cmocka_unit_test(a_filter_on_paper),
        cmocka_unit_test(steady_steps_are_one_case),
        cmocka_unit_test(limits),
        cmocka_unit_test(bad_directives_say_what),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
