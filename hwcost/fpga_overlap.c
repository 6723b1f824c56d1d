/* fpga_overlap.c: times of tiles, stage by stage. See fpga_overlap.h.

   A stage's tasks have a fixed order, so nothing need be simulated: with ready_j the time from
   which task j can begin, the earliest end of task j is max over i <= j of ready_i + (j - i + 1)
   task, and a gapless stage begins at max over j of ready_j - j task. */
#include "hwcost/fpga_overlap.h"

#include "core/memory.h"

#include <math.h>

typedef struct pipeline_grid {
    int64_t r, c, m, n; /* tiles each way */
} pipeline_grid;

static int64_t pipeline_ceil(int64_t a, int64_t b) { return (a + b - 1) / b; }

static pipeline_grid pipeline_grid_of(const lode_overlap_stage *s) {
    return (pipeline_grid){pipeline_ceil(s->rows, s->tile.r), pipeline_ceil(s->columns, s->tile.c),
                           pipeline_ceil(s->channels, s->tile.m),
                           pipeline_ceil(s->depth, s->tile.n)};
}

int64_t lode_overlap_n_tasks(const lode_overlap_stage *s) {
    pipeline_grid g = pipeline_grid_of(s);
    return g.r * g.c * g.m * g.n;
}

/* Tiles [first, last] of size t that elements [begin, end) of `size` lie in; elements outside are
   padding. */
static void pipeline_tiles(int64_t begin, int64_t end, int64_t size, int64_t t, int64_t *first,
                           int64_t *last) {
    begin = begin < 0 ? 0 : begin;
    end = end > size ? size : end;
    *first = begin / t;
    *last = end > begin ? (end - 1) / t : *first - 1; /* none */
}

/* When the tiles of one input are written that output rows [r0, r1), columns [c0, c1) and channels
   [k0, k1) of the producer need. */
static double pipeline_ready(const lode_overlap_input *in, const lode_overlap_stage *from,
                             const double *written, const int64_t r[2], const int64_t c[2],
                             const int64_t k[2]) {
    pipeline_grid g = pipeline_grid_of(from);
    int64_t r0 = 0, r1 = g.r - 1, c0 = 0, c1 = g.c - 1, k0 = 0, k1 = g.m - 1;
    double latest = 0;
    if (!in->whole_map) {
        pipeline_tiles(r[0] * in->stride[0] - in->pad[0],
                       (r[1] - 1) * in->stride[0] - in->pad[0] + in->kernel[0], from->rows,
                       from->tile.r, &r0, &r1);
        pipeline_tiles(c[0] * in->stride[1] - in->pad[1],
                       (c[1] - 1) * in->stride[1] - in->pad[1] + in->kernel[1], from->columns,
                       from->tile.c, &c0, &c1);
    }
    if (!in->all_channels) pipeline_tiles(k[0], k[1], from->channels, from->tile.m, &k0, &k1);
    for (int64_t i = r0; i <= r1; i++)
        for (int64_t j = c0; j <= c1; j++)
            for (int64_t q = k0; q <= k1; q++)
                latest = fmax(latest, written[(i * g.c + j) * g.m + q]);
    return latest;
}

/* When what part (row, column) needs of input tile n and of output tile m is written. */
static double pipeline_needs(const lode_overlap_stage *stage, int at, double *const *written,
                             int64_t row, int64_t column, int64_t m, int64_t n, bool own) {
    const lode_overlap_stage *s = &stage[at];
    int64_t r[2] = {row * s->tile.r, row * s->tile.r + s->tile.r};
    int64_t c[2] = {column * s->tile.c, column * s->tile.c + s->tile.c};
    int64_t mine[2] = {m * s->tile.m, m * s->tile.m + s->tile.m};
    int64_t theirs[2] = {n * s->tile.n, n * s->tile.n + s->tile.n};
    double latest = 0;
    if (r[1] > s->rows) r[1] = s->rows;
    if (c[1] > s->columns) c[1] = s->columns;
    if (mine[1] > s->channels) mine[1] = s->channels;
    if (theirs[1] > s->depth) theirs[1] = s->depth;
    for (int i = 0; i < s->n_inputs; i++) {
        const lode_overlap_input *in = &s->input[i];
        if (in->from < 0 || in->own_channels != own) continue;
        latest = fmax(latest, pipeline_ready(in, &stage[in->from], written[in->from], r, c,
                                             own ? mine : theirs));
    }
    return latest;
}

/* When each task can begin, in the stage's order: ready [n_tasks]. */
static lode_status pipeline_list_ready(const lode_overlap_stage *stage, int at,
                                       double *const *written, double *ready) {
    const lode_overlap_stage *s = &stage[at];
    pipeline_grid g = pipeline_grid_of(s);
    double *own = LODE_NEW_ARRAY(double, g.m + g.n);
    if (!own) return LODE_ERR_NO_MEMORY;
    double *theirs = own + g.m;
    int64_t j = 0;
    for (int64_t row = 0; row < g.r; row++)
        for (int64_t column = 0; column < g.c; column++) {
            for (int64_t m = 0; m < g.m; m++)
                own[m] = pipeline_needs(stage, at, written, row, column, m, 0, true);
            for (int64_t n = 0; n < g.n; n++)
                theirs[n] = pipeline_needs(stage, at, written, row, column, 0, n, false);
            for (int64_t k = 0; k < g.m * g.n; k++) {
                bool outputs = s->reuse == LODE_OVERLAP_OUTPUTS;
                int64_t m = outputs ? k / g.n : k % g.m, n = outputs ? k % g.n : k / g.m;
                ready[j++] = fmax(own[m], theirs[n]) + s->fill;
            }
        }
    lode_free(own);
    return LODE_OK;
}

/* Times of one stage: written [tiles] of its result. */
static lode_status pipeline_stage(const lode_overlap_stage *stage, int at, bool gapless,
                                  double *const *written, double *start, double *end) {
    const lode_overlap_stage *s = &stage[at];
    pipeline_grid g = pipeline_grid_of(s);
    int64_t n_tasks = lode_overlap_n_tasks(s);
    double *ready = LODE_NEW_ARRAY(double, n_tasks), now = 0;
    if (!ready) return LODE_ERR_NO_MEMORY;
    lode_status status = pipeline_list_ready(stage, at, written, ready);
    *start = status == LODE_OK ? ready[0] : 0;
    *end = 0;
    for (int64_t j = 0; gapless && status == LODE_OK && j < n_tasks; j++)
        *start = fmax(*start, ready[j] - (double)j * s->task);
    now = *start;
    for (int64_t j = 0; status == LODE_OK && j < n_tasks; j++) {
        int64_t part = j / (g.m * g.n), k = j % (g.m * g.n);
        bool outputs = s->reuse == LODE_OVERLAP_OUTPUTS;
        int64_t m = outputs ? k / g.n : k % g.m, n = outputs ? k % g.n : k / g.m;
        now = gapless ? *start + (double)(j + 1) * s->task : fmax(now, ready[j]) + s->task;
        if (n == g.n - 1) written[at][part * g.m + m] = now + s->drain;
    }
    *end = now + s->drain;
    lode_free(ready);
    return status;
}

lode_status lode_overlap_run(const lode_overlap_stage *stage, int n, bool gapless, double *start,
                             double *end, double *cycles) {
    enum { MOST = 100000000 };
    lode_status status = LODE_OK;
    int64_t n_tasks = 0;
    double **written = LODE_NEW_ARRAY(double *, n + 1);
    *cycles = 0;
    LODE_GOTO(written ? LODE_OK : LODE_ERR_NO_MEMORY);
    for (int i = 0; i < n; i++) {
        pipeline_grid g = pipeline_grid_of(&stage[i]);
        double first = 0, last = 0;
        n_tasks += lode_overlap_n_tasks(&stage[i]);
        if (n_tasks > MOST)
            LODE_GOTO(LODE_FAIL(LODE_ERR_UNSUPPORTED,
                                "fpga_pipeline: more than %d tasks up to stage %d; larger tiles",
                                (int)MOST, i));
        for (int k = 0; k < stage[i].n_inputs; k++)
            if (stage[i].input[k].from >= i)
                LODE_GOTO(LODE_FAIL(LODE_ERR_INVALID, "fpga_pipeline: stage %d reads stage %d", i,
                                    stage[i].input[k].from));
        written[i] = LODE_NEW_ARRAY(double, g.r *g.c *g.m);
        LODE_GOTO(written[i] ? LODE_OK : LODE_ERR_NO_MEMORY);
        LODE_GOTO(pipeline_stage(stage, i, gapless, written, &first, &last));
        if (start) start[i] = first;
        if (end) end[i] = last;
        *cycles = fmax(*cycles, last);
    }
done:
    for (int i = 0; written && i < n; i++) lode_free(written[i]);
    lode_free(written);
    return status;
}
