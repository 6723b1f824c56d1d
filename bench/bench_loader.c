/* bench_loader: images per second from bytes to batches.

   usage: bench_loader [seconds] [CIFAR folder] [image folder]
   First the pipelines alone on one core, over random images in memory; then whole loaders with 0, 1
   and 2 workers over the datasets that are there. Each figure is the best of five rounds of about
   `seconds` / 5 (1 s in all), rounds of all cases taking turns. */
#include "core/memory.h"
#include "core/platform.h"
#include "data/data.h"

#include <stdio.h>
#include <stdlib.h>

enum { ROUNDS = 5, MAX_CASES = 32 };

static double seconds = 1;

static void need(lode_status s) {
    if (s == LODE_OK) return;
    fprintf(stderr, "%s: %s\n", lode_status_name(s), lode_last_error());
    exit(1);
}

/* One thing to be measured: run makes some images and says how many. */
typedef struct bench_case {
    char name[80];
    int64_t (*run)(void *self);
    void *self;
    double best; /* images per second */
} bench_case;

static bench_case cases[MAX_CASES];
static int n_cases;

static void add_case(const char *group, const char *name, int64_t (*run)(void *), void *self) {
    if (n_cases == MAX_CASES) return;
    bench_case *c = &cases[n_cases++];
    snprintf(c->name, sizeof c->name, "%s, %s", group, name);
    c->run = run;
    c->self = self;
    run(self); /* warm up: buffers, caches */
}

static void measure(void) {
    for (int round = 0; round < ROUNDS; round++)
        for (int i = 0; i < n_cases; i++) {
            int64_t n = 0;
            double begin = lode_clock(), now = begin;
            while (now - begin < seconds / ROUNDS) {
                n += cases[i].run(cases[i].self);
                now = lode_clock();
            }
            double rate = (double)n / (now - begin);
            if (rate > cases[i].best) cases[i].best = rate;
        }
    printf("%-60s %12s %10s\n", "", "images/s", "us/image");
    for (int i = 0; i < n_cases; i++)
        printf("%-60s %12.0f %10.2f\n", cases[i].name, cases[i].best, 1e6 / cases[i].best);
}

/* ---- pipelines ---- */

enum { N_IMAGES = 256 };

typedef struct bench_pipeline {
    lode_pipeline *pipeline;
    lode_pipeline_scratch scratch;
    uint8_t *pixels; /* [N_IMAGES, size, size, 3] */
    int size;
    float *out;
    uint64_t epoch;
} bench_pipeline;

static int64_t run_pipeline(void *self) {
    bench_pipeline *b = self;
    int64_t bytes = (int64_t)b->size * b->size * 3;
    b->epoch++;
    for (int64_t i = 0; i < N_IMAGES; i++) {
        lode_rng rng = lode_rng_stream(1, LODE_RNG_AUGMENT, b->epoch * N_IMAGES + (uint64_t)i);
        lode_sample s = {
            .pixels = b->pixels + i * bytes, .height = b->size, .width = b->size, .channels = 3};
        need(lode_pipeline_apply(b->pipeline, &s, &rng, &b->scratch, b->out));
    }
    return N_IMAGES;
}

static void add_pipeline(const char *name, int from, int to, const lode_augment_options *augment) {
    bench_pipeline *b = LODE_NEW(bench_pipeline);
    char group[32];
    lode_pipeline_options o = {.height = to,
                               .width = to,
                               .channels = 3,
                               .mean = {0.5, 0.5, 0.5},
                               .std = {0.25, 0.25, 0.25},
                               .augment = augment};
    if (b == NULL) need(LODE_ERR_NO_MEMORY);
    size_t n = (size_t)N_IMAGES * (size_t)from * (size_t)from * 3;
    b->size = from;
    b->pixels = lode_alloc(n, 1);
    b->out = lode_alloc((size_t)to * (size_t)to * 3, sizeof(float));
    if (b->pixels == NULL || b->out == NULL) need(LODE_ERR_NO_MEMORY);
    lode_rng rng = lode_rng_stream(1, LODE_RNG_TEST, 0);
    for (size_t i = 0; i < n; i += 4) {
        uint32_t v = lode_rng_u32(&rng);
        for (size_t k = 0; k < 4; k++) b->pixels[i + k] = (uint8_t)(v >> (8 * k));
    }
    need(lode_pipeline_create(&o, &b->pipeline));
    snprintf(group, sizeof group, "pipeline %d to %d", from, to);
    add_case(group, name, run_pipeline, b);
}

static void add_pipelines(void) {
    static const lode_augment_options usual = {.pad = 4, .flip = true},
                                      cut = {.pad = 4, .flip = true, .cutout = 16},
                                      jitter = {.pad = 4,
                                                .flip = true,
                                                .brightness = 0.4,
                                                .contrast = 0.4,
                                                .saturation = 0.4},
                                      resized = {.crop = LODE_CROP_RESIZED, .flip = true};
    add_pipeline("evaluation", 32, 32, NULL);
    add_pipeline("pad-crop, flip", 32, 32, &usual);
    add_pipeline("pad-crop, flip, cutout", 32, 32, &cut);
    add_pipeline("pad-crop, flip, colour jitter", 32, 32, &jitter);
    add_pipeline("centre crop", 300, 224, NULL);
    add_pipeline("random-resized-crop, flip", 300, 224, &resized);
}

/* ---- loaders ---- */

static int64_t run_loader(void *self) {
    lode_batch b;
    need(lode_loader_next(self, &b));
    return b.n;
}

/* A dataset that is not there is left out. */
static void add_loaders(lode_data_options *o) {
    lode_data *d;
    if (lode_data_open(o, 1, &d) != LODE_OK) {
        printf("left out: %s\n", lode_last_error());
        return;
    }
    char *what = lode_data_describe(d);
    printf("%s\n", what != NULL ? what : "");
    lode_free(what);
    for (int workers = 0; workers <= 2; workers++) {
        char name[32];
        lode_loader *l;
        need(lode_data_loader(d, "train", LODE_DATA_TRAIN, 64, workers, &l));
        for (int64_t i = 0; i < lode_loader_n_batches(l) && o->cache > 0; i++) run_loader(l);
        snprintf(name, sizeof name, "%d worker%s", workers, workers == 1 ? "" : "s");
        add_case(o->cache > 0 ? "folder, cached" : o->name, name, run_loader, l);
    }
}

int main(int argc, char **argv) {
    if (argc > 1) seconds = strtod(argv[1], NULL);
    if (!(seconds > 0)) {
        fprintf(stderr, "usage: bench_loader [seconds] [CIFAR folder] [image folder]\n");
        return 2;
    }
    lode_data_options o;
    need(lode_data_options_init(&o));
    o.augment.pad = 4;
    o.augment.flip = true;
    o.cache = 0;
    add_pipelines();
    add_loaders(&o);
    o.name = "cifar";
    o.path = argc > 2 ? argv[2] : NULL;
    add_loaders(&o);
    if (argc > 3) {
        o.name = "folder";
        o.path = argv[3];
        o.size = 128;
        o.augment.crop = LODE_CROP_RESIZED;
        add_loaders(&o);
        o.cache = 4096;
        add_loaders(&o);
    }
    measure();
    return 0;
}
