/* dataset.c: the table of plug-ins, and the thin layer every dataset is reached through: it knows
   the sizes, so a plug-in never sees an index that is out of range. */
#include "data/dataset.h"

#include "core/memory.h"

#include <math.h>
#include <string.h>

struct lode_dataset {
    const lode_dataset_plugin *plugin;
    void *self;
    lode_dataset_info info;
    int64_t n[LODE_N_PARTS];
};

static const lode_dataset_plugin *const dataset_plugins[] = {
#define DATASET(name) &lode_dataset_##name,
#include "data/datasets.def"
#undef DATASET
};
enum { DATASET_N_PLUGINS = sizeof dataset_plugins / sizeof dataset_plugins[0] };

const lode_dataset_plugin *const *lode_dataset_plugins(int *n) {
    *n = DATASET_N_PLUGINS;
    return dataset_plugins;
}

lode_status lode_dataset_find(const char *name, const lode_dataset_plugin **out) {
    const char *names[DATASET_N_PLUGINS];
    *out = NULL;
    for (int i = 0; i < DATASET_N_PLUGINS; i++) {
        names[i] = dataset_plugins[i]->name;
        if (strcmp(names[i], name) == 0) *out = dataset_plugins[i];
    }
    if (*out != NULL) return LODE_OK;
    const char *near = lode_nearest_word(name, names, DATASET_N_PLUGINS);
    lode_text known = {0};
    for (int i = 0; i < DATASET_N_PLUGINS; i++)
        lode_text_add(&known, "%s%s", i > 0 ? ", " : "", names[i]);
    LODE_FAIL(LODE_ERR_NOT_FOUND, "no dataset is called `%s`%s%s%s; there are %s", name,
              near != NULL ? ": did you mean `" : "", near != NULL ? near : "",
              near != NULL ? "`?" : "", lode_text_status(&known) == LODE_OK ? known.s : "others");
    lode_text_deinit(&known);
    return LODE_ERR_NOT_FOUND;
}

const char *lode_part_name(lode_part part) {
    static const char *const names[LODE_N_PARTS] = {"train", "valid", "test"};
    return names[part];
}

lode_status lode_scratch_reserve(lode_scratch *s, size_t bytes) {
    if (bytes <= s->capacity) return LODE_OK;
    uint8_t *p = lode_alloc_aligned(bytes, 64);
    if (p == NULL) return LODE_ERR_NO_MEMORY;
    lode_free(s->bytes);
    *s = (lode_scratch){p, bytes};
    return LODE_OK;
}

void lode_scratch_deinit(lode_scratch *s) {
    lode_free(s->bytes);
    *s = (lode_scratch){0};
}

/* A recipe's class count may be larger than what the labels show, never smaller. */
static lode_status dataset_check_classes(lode_dataset *d, int wanted) {
    if (wanted == 0 || wanted == d->info.n_classes) return LODE_OK;
    if (wanted < d->info.n_classes)
        return LODE_FAIL(LODE_ERR_CONFIG,
                         "dataset %s has %d classes, the recipe says %d: change data.classes",
                         d->plugin->name, d->info.n_classes, wanted);
    d->info.n_classes = wanted;
    d->info.class_name = NULL;
    return LODE_OK;
}

lode_status lode_dataset_open_plugin(const lode_dataset_plugin *plugin,
                                     const lode_dataset_request *request, lode_dataset **out) {
    lode_status status = LODE_OK;
    void *options = NULL;
    *out = NULL;
    lode_dataset *d = LODE_NEW(lode_dataset);
    if (d == NULL) return LODE_ERR_NO_MEMORY;
    lode_dataset_request r = request != NULL ? *request : (lode_dataset_request){0};
    d->plugin = plugin;
    if (r.options == NULL && plugin->options != NULL) {
        options = lode_calloc(1, plugin->options_size);
        if (options == NULL) {
            status = LODE_ERR_NO_MEMORY;
            goto done;
        }
        LODE_GOTO(lode_options_default(plugin->options, options));
        r.options = options;
    }
    LODE_GOTO(plugin->open(&r, &d->self, &d->info));
    for (int p = 0; p < LODE_N_PARTS; p++) d->n[p] = plugin->n_samples(d->self, (lode_part)p);
    LODE_GOTO(dataset_check_classes(d, r.n_classes));
    *out = d;
    d = NULL;
done:
    lode_free(options);
    lode_dataset_close(d);
    return status;
}

lode_status lode_dataset_open(const char *name, const lode_dataset_request *request,
                              lode_dataset **out) {
    const lode_dataset_plugin *plugin;
    *out = NULL;
    LODE_TRY(lode_dataset_find(name, &plugin));
    return lode_dataset_open_plugin(plugin, request, out);
}

void lode_dataset_close(lode_dataset *d) {
    if (d == NULL) return;
    if (d->self != NULL) d->plugin->close(d->self);
    lode_free(d);
}

const lode_dataset_info *lode_dataset_get_info(const lode_dataset *d) { return &d->info; }
const char *lode_dataset_name(const lode_dataset *d) { return d->plugin->name; }
int64_t lode_dataset_n_samples(const lode_dataset *d, lode_part part) { return d->n[part]; }

int lode_dataset_label(const lode_dataset *d, lode_part part, int64_t i) {
    return d->plugin->label(d->self, part, i);
}

lode_status lode_dataset_get(lode_dataset *d, lode_part part, int64_t i, lode_scratch *scratch,
                             lode_sample *out) {
    if (i < 0 || i >= d->n[part])
        return LODE_FAIL(LODE_ERR_INVALID, "sample %lld of part %s of dataset %s, which has %lld",
                         (long long)i, lode_part_name(part), d->plugin->name,
                         (long long)d->n[part]);
    return d->plugin->get(d->self, part, i, scratch, out);
}

/* Sums of bytes and of their squares are exact in 64 bits for 2^47 pixels, so the order of the
   samples cannot matter. */
lode_status lode_dataset_measure(lode_dataset *d, lode_part part, int64_t n,
                                 double mean[LODE_MAX_CHANNELS], double std[LODE_MAX_CHANNELS]) {
    lode_scratch scratch = {0};
    lode_status status = LODE_OK;
    uint64_t sum[LODE_MAX_CHANNELS] = {0}, squares[LODE_MAX_CHANNELS] = {0}, count = 0;
    if (n == 0 || n > d->n[part]) n = d->n[part];
    if (n == 0)
        return LODE_FAIL(LODE_ERR_INVALID, "part %s of dataset %s is empty: nothing to measure",
                         lode_part_name(part), d->plugin->name);
    for (int64_t i = 0; i < n; i++) {
        lode_sample s;
        LODE_GOTO(d->plugin->get(d->self, part, i, &scratch, &s));
        int64_t n_pixels = (int64_t)s.height * s.width;
        const uint8_t *p = s.pixels;
        for (int64_t k = 0; k < n_pixels; k++)
            for (int c = 0; c < s.channels; c++, p++) {
                sum[c] += *p;
                squares[c] += (uint64_t)*p * *p;
            }
        count += (uint64_t)n_pixels;
    }
    for (int c = 0; c < LODE_MAX_CHANNELS; c++) {
        double m = (double)sum[c] / (double)count;
        double v = (double)squares[c] / (double)count - m * m;
        mean[c] = m / 255;
        std[c] = sqrt(v > 0 ? v : 0) / 255;
    }
done:
    lode_scratch_deinit(&scratch);
    return status;
}
