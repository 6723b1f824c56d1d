/* data.c: the `data` section of a recipe and what it opens: dataset, splits and the two pipelines
   (augmented, and as is), from which loaders are made. */
#include "data/data.h"

#include "core/memory.h"

#include <stddef.h>
#include <string.h>

/* ---- options ---- */

static const lode_option data_rows[] = {
    {"name", LODE_OPT_STRING, offsetof(lode_data_options, name), "idx", 0, 0, NULL,
     "dataset: cifar, folder, idx or synthetic"},
    {"path", LODE_OPT_STRING, offsetof(lode_data_options, path), NULL, 0, 0, NULL,
     "where it lies; without, the place where this dataset usually is"},
    {"classes", LODE_OPT_INT, offsetof(lode_data_options, classes), "0", 0, 1000000, NULL,
     "number of classes; 0: as many as the dataset has"},
    {"valid", LODE_OPT_F64, offsetof(lode_data_options, valid), "0", 0, 1e12, NULL,
     "cut from the training images to judge while searching: a share below 1, or a count"},
    {"arch_split", LODE_OPT_F64, offsetof(lode_data_options, arch_split), "0", 0, 1e12, NULL,
     "cut from the remaining training images for the architecture parameters: a share below 1, or "
     "a "
     "count"},
    {"limit", LODE_OPT_INT, offsetof(lode_data_options, limit), "0", 0, 1e12, "images",
     "use only so many of the training images (valid and arch_split are cut from these); 0: all"},
    {"limit_test", LODE_OPT_INT, offsetof(lode_data_options, limit_test), "0", 0, 1e12, "images",
     "use only so many of the test images; 0: all"},
    {"stratified", LODE_OPT_BOOL, offsetof(lode_data_options, stratified), "false", 0, 0, NULL,
     "every split has the classes in proportion"},
    {"seed", LODE_OPT_INT, offsetof(lode_data_options, seed), "-1", -1, 9.0e18, NULL,
     "of the splits and of made-up data; -1: the run's seed"},
    {"batch", LODE_OPT_INT, offsetof(lode_data_options, batch), "128", 1, 1000000, "images",
     "images per step"},
    {"workers", LODE_OPT_INT, offsetof(lode_data_options, workers), "1", 0, 1024, "threads",
     "threads that prepare batches ahead; 0: none, the training thread does it"},
    {"size", LODE_OPT_INT, offsetof(lode_data_options, size), "0", 0, 16384, "pixels",
     "height and width of the network's input; 0: the dataset's own"},
    {"resize", LODE_OPT_INT, offsetof(lode_data_options, resize), "0", 0, 16384, "pixels",
     "shorter side before the centre crop to size, e.g. 256 for 224; 0: size"},
    {"channels", LODE_OPT_INT, offsetof(lode_data_options, channels), "0", 0, 3, NULL,
     "1: grey, 3: RGB; 0: the dataset's own"},
    {"mean", LODE_OPT_F64_LIST, offsetof(lode_data_options, mean), NULL, 0, 1, NULL,
     "subtracted from pixels / 255, per channel or one for all; without, the dataset's usual"},
    {"std", LODE_OPT_F64_LIST, offsetof(lode_data_options, std), NULL, 1e-6, 1e6, NULL,
     "then divided by, likewise"},
    {"cache", LODE_OPT_INT, offsetof(lode_data_options, cache), "1024", 0, 1e9, "MiB",
     "memory for decoded images, and as much for resized ones of each part that is judged (dataset "
     "folder)"},
};
static const lode_option_table data_table = {"data", data_rows,
                                             sizeof data_rows / sizeof data_rows[0]};

const lode_option_table *lode_data_table(void) { return &data_table; }

int lode_data_tables(const lode_option_table **out, int capacity) {
    int n_plugins, n = 0;
    const lode_dataset_plugin *const *plugins = lode_dataset_plugins(&n_plugins);
    const lode_option_table *first[] = {&data_table, lode_augment_table()};
    for (int i = 0; i < 2; i++, n++)
        if (n < capacity) out[n] = first[i];
    for (int i = 0; i < n_plugins; i++) {
        if (plugins[i]->options == NULL) continue;
        if (n < capacity) out[n] = plugins[i]->options;
        n++;
    }
    return n;
}

lode_status lode_data_options_init(lode_data_options *o) {
    *o = (lode_data_options){0};
    LODE_TRY(lode_options_default(&data_table, o));
    return lode_options_default(lode_augment_table(), &o->augment);
}

lode_status lode_data_options_read(lode_config *config, lode_data_options *o) {
    const lode_dataset_plugin *plugin;
    *o = (lode_data_options){0};
    LODE_TRY(lode_config_read(config, &data_table, o));
    LODE_TRY(lode_config_read(config, lode_augment_table(), &o->augment));
    if (lode_dataset_find(o->name, &plugin) != LODE_OK) {
        lode_error_context("data.name");
        return LODE_ERR_CONFIG;
    }
    if (plugin->options == NULL) return LODE_OK;
    o->dataset_options = lode_calloc(1, plugin->options_size);
    if (o->dataset_options == NULL) return LODE_ERR_NO_MEMORY;
    lode_status status = lode_config_read(config, plugin->options, o->dataset_options);
    if (status != LODE_OK) lode_data_options_deinit(o);
    return status;
}

void lode_data_options_deinit(lode_data_options *o) {
    lode_free(o->dataset_options);
    o->dataset_options = NULL;
}

/* ---- opening ---- */

struct lode_data {
    lode_dataset *dataset;
    lode_splits splits;
    lode_pipeline_options image; /* what a network sees; without augment */
    lode_pipeline *train, *eval;
    lode_fit_cache *fitted[LODE_N_PARTS]; /* of eval, where fitting costs something */
    uint64_t seed;                        /* the run's */
};

static double data_grey(const double v[LODE_MAX_CHANNELS]) {
    return 0.299 * v[0] + 0.587 * v[1] + 0.114 * v[2];
}

/* The dataset's usual numbers for as many channels as wanted. Of grey made from RGB the mean is
   exact; its deviation is taken as that of the channels, which move together in photographs. */
static void data_usual(const lode_dataset_info *info, lode_pipeline_options *image) {
    for (int c = 0; c < image->channels; c++) {
        bool grey = info->channels == 3 && image->channels == 1;
        image->mean[c] = grey ? data_grey(info->mean) : info->mean[info->channels == 1 ? 0 : c];
        image->std[c] = grey ? data_grey(info->std) : info->std[info->channels == 1 ? 0 : c];
    }
}

static lode_status data_take_list(const char *name, const lode_f64_list *list, int channels,
                                  double out[LODE_MAX_CHANNELS]) {
    if (list->n == 0) return LODE_OK;
    if (list->n != 1 && list->n != channels)
        return LODE_FAIL(LODE_ERR_CONFIG, "data.%s has %d numbers for %d channels: wanted %d or 1",
                         name, list->n, channels, channels);
    for (int c = 0; c < channels; c++) out[c] = list->v[list->n == 1 ? 0 : c];
    return LODE_OK;
}

static lode_status data_choose_image(const lode_data_options *o, const lode_dataset *dataset,
                                     lode_pipeline_options *image) {
    const lode_dataset_info *info = lode_dataset_get_info(dataset);
    if (o->size == 0 && info->height == 0)
        return LODE_FAIL(LODE_ERR_CONFIG,
                         "the images of dataset %s differ in size: set data.size, e.g. 224",
                         lode_dataset_name(dataset));
    if (o->channels != 0 && o->channels != 1 && o->channels != 3)
        return LODE_FAIL(LODE_ERR_CONFIG, "data.channels is %lld, wanted 1 or 3",
                         (long long)o->channels);
    image->height = o->size > 0 ? (int)o->size : info->height;
    image->width = o->size > 0 ? (int)o->size : info->width;
    image->channels = o->channels > 0 ? (int)o->channels : info->channels;
    image->resize = (int)o->resize;
    data_usual(info, image);
    LODE_TRY(data_take_list("mean", &o->mean, image->channels, image->mean));
    return data_take_list("std", &o->std, image->channels, image->std);
}

/* Datasets of images that differ in size decode and resize them. Each part may use the whole
   budget: what is judged in one run is one part, and now and then the test. */
static lode_status data_make_caches(const lode_data_options *o, lode_data *d) {
    const lode_dataset_info *info = lode_dataset_get_info(d->dataset);
    if (info->height > 0 || o->cache == 0) return LODE_OK;
    size_t bytes = (size_t)d->image.height * (size_t)d->image.width * (size_t)info->channels;
    for (int p = 0; p < LODE_N_PARTS; p++)
        LODE_TRY(lode_fit_cache_create(lode_dataset_n_samples(d->dataset, (lode_part)p), bytes,
                                       o->cache * 1024 * 1024, &d->fitted[p]));
    return LODE_OK;
}

static lode_status data_make(const lode_data_options *o, lode_data *d) {
    uint64_t seed = o->seed >= 0 ? (uint64_t)o->seed : d->seed;
    lode_dataset_request request = {
        .path = o->path,
        .n_classes = (int)o->classes,
        .cache_bytes = o->cache * 1024 * 1024,
        .seed = seed,
        .size = (int)o->size,
        .channels = (int)o->channels,
        .options = o->dataset_options,
    };
    lode_split_options split = {
        .valid = o->valid,
        .arch = o->arch_split,
        .limit = o->limit,
        .limit_test = o->limit_test,
        .stratified = o->stratified,
        .seed = seed,
    };
    LODE_TRY(lode_dataset_open(o->name, &request, &d->dataset));
    LODE_TRY(lode_splits_init(d->dataset, &split, &d->splits));
    LODE_TRY(data_choose_image(o, d->dataset, &d->image));
    LODE_TRY(lode_pipeline_create(&d->image, &d->eval));
    LODE_TRY(data_make_caches(o, d));
    lode_pipeline_options train = d->image;
    train.augment = &o->augment;
    return lode_pipeline_create(&train, &d->train);
}

lode_status lode_data_open(const lode_data_options *options, uint64_t seed, lode_data **out) {
    *out = NULL;
    lode_data *d = LODE_NEW(lode_data);
    if (d == NULL) return LODE_ERR_NO_MEMORY;
    d->seed = seed;
    lode_status status = data_make(options, d);
    if (status == LODE_OK)
        *out = d;
    else
        lode_data_close(d);
    return status;
}

void lode_data_close(lode_data *d) {
    if (d == NULL) return;
    lode_pipeline_destroy(d->train);
    lode_pipeline_destroy(d->eval);
    for (int p = 0; p < LODE_N_PARTS; p++) lode_fit_cache_destroy(d->fitted[p]);
    lode_splits_deinit(&d->splits);
    lode_dataset_close(d->dataset);
    lode_free(d);
}

/* ---- loaders ---- */

lode_status lode_data_loader_with(lode_data *d, const char *split, lode_data_mode mode,
                                  const lode_loader_options *options, lode_loader **out) {
    const lode_data_split *s;
    *out = NULL;
    LODE_TRY(lode_splits_find(&d->splits, split, &s));
    lode_loader_options o = *options;
    o.fitted = mode == LODE_DATA_EVAL ? d->fitted[s->part] : NULL;
    return lode_loader_create(d->dataset, s, mode == LODE_DATA_TRAIN ? d->train : d->eval, &o, out);
}

lode_status lode_data_loader(lode_data *d, const char *split, lode_data_mode mode, int64_t batch,
                             int workers, lode_loader **out) {
    lode_loader_options o = {.batch = batch, .workers = workers, .seed = d->seed};
    o.shuffle = mode == LODE_DATA_TRAIN;
    o.drop_last = o.shuffle && lode_data_n_samples(d, split) >= batch;
    return lode_data_loader_with(d, split, mode, &o, out);
}

/* ---- questions ---- */

int lode_data_n_classes(const lode_data *d) { return lode_dataset_get_info(d->dataset)->n_classes; }

void lode_data_input(const lode_data *d, int *channels, int *height, int *width) {
    *channels = d->image.channels;
    *height = d->image.height;
    *width = d->image.width;
}

int64_t lode_data_n_samples(const lode_data *d, const char *split) {
    for (int i = 0; i < LODE_N_SPLITS; i++)
        if (strcmp(d->splits.split[i].name, split) == 0) return d->splits.split[i].n;
    return 0;
}

const char *lode_data_class_name(const lode_data *d, int label) {
    const lode_dataset_info *info = lode_dataset_get_info(d->dataset);
    bool known = info->class_name != NULL && label >= 0 && label < info->n_classes;
    return known ? info->class_name[label] : NULL;
}

void lode_data_normalization(const lode_data *d, double mean[LODE_MAX_CHANNELS],
                             double std[LODE_MAX_CHANNELS]) {
    memcpy(mean, d->image.mean, sizeof d->image.mean);
    memcpy(std, d->image.std, sizeof d->image.std);
}

lode_dataset *lode_data_get_dataset(lode_data *d) { return d->dataset; }
const lode_splits *lode_data_get_splits(const lode_data *d) { return &d->splits; }

char *lode_data_describe(const lode_data *d) {
    lode_text t = {0};
    lode_text_add(&t, "%s: %d classes, %dx%dx%d;", lode_dataset_name(d->dataset),
                  lode_data_n_classes(d), d->image.channels, d->image.height, d->image.width);
    const char *comma = "";
    for (int i = 0; i < LODE_N_SPLITS; i++) {
        const lode_data_split *s = &d->splits.split[i];
        if (s->n == 0) continue;
        lode_text_add(&t, "%s %s %lld", comma, s->name, (long long)s->n);
        comma = ",";
    }
    return lode_text_take(&t);
}
