/* dataset.h: where samples come from. A dataset is a plug-in: a const struct in dataset_<name>.c
   plus one line in datasets.def.

   A sample is an image of bytes and a label. Reading one is thread-safe and always gives the same
   bytes, so that loaders may have any number of workers. What is done to a sample afterwards
   (crops, flips, numbers instead of bytes) is transform.h's business; which samples train and which
   judge is split.h's. A recipe does all of it at once: data.h. */
#ifndef LODE_DATA_DATASET_H
#define LODE_DATA_DATASET_H
#include "core/config.h"
#include "core/status.h"

#include <stddef.h>
#include <stdint.h>

#define LODE_MAX_CHANNELS 4

/* The parts a dataset comes in. VALID is empty for most: then one is cut from TRAIN (split.h). */
typedef enum lode_part { LODE_PART_TRAIN, LODE_PART_VALID, LODE_PART_TEST, LODE_N_PARTS } lode_part;
LODE_API const char *lode_part_name(lode_part part); /* "train", "valid", "test" */

/* A growing buffer that one thread reuses from sample to sample. Init with {0}. */
typedef struct lode_scratch {
    uint8_t *bytes; /* 64-byte aligned */
    size_t capacity;
} lode_scratch;
/* At least `bytes` bytes; what it held before is lost. */
LODE_API lode_status lode_scratch_reserve(lode_scratch *s, size_t bytes);
LODE_API void lode_scratch_deinit(lode_scratch *s);

typedef struct lode_sample {
    const uint8_t *pixels; /* [height, width, channels], dense: the dataset's own, or in scratch */
    int height, width, channels;
    int label; /* 0 .. n_classes-1 */
} lode_sample;

typedef struct lode_dataset_info {
    int n_classes;
    int height, width; /* of every image; 0 when they vary */
    int channels;      /* of every image: 1 grey, 3 RGB */
    /* Of the pixels / 255, per channel: the usual numbers of this dataset (docs/data.md). */
    double mean[LODE_MAX_CHANNELS], std[LODE_MAX_CHANNELS];
    const char *const *class_name; /* [n_classes], NULL when unknown; the dataset's */
} lode_dataset_info;

/* What a dataset is opened with. */
typedef struct lode_dataset_request {
    const char *path; /* folder or file prefix; NULL: where this dataset usually lies */
    int n_classes;    /* what the recipe expects, checked against the labels; 0: whatever it has */
    int64_t cache_bytes; /* decoded images that may be kept in memory, for datasets that decode */
    uint64_t seed;       /* of datasets that are made rather than read */
    int size, channels;  /* likewise: what the recipe wants; 0: the dataset's own choice */
    const void *options; /* [plugin.options_size]; NULL: the defaults of plugin.options */
} lode_dataset_request;

typedef struct lode_dataset_plugin {
    const char *name;                 /* as in `data: {name: ...}` */
    const char *help;                 /* one sentence */
    const lode_option_table *options; /* own options, section "data.<name>"; NULL: none */
    size_t options_size;
    /* Fills *self and *info, or fails with file, offset and what was expected. */
    lode_status (*open)(const lode_dataset_request *request, void **self, lode_dataset_info *info);
    int64_t (*n_samples)(const void *self, lode_part part);
    /* 0 <= i < n_samples. Both from any thread, always the same; label without reading pixels. */
    int (*label)(const void *self, lode_part part, int64_t i);
    lode_status (*get)(void *self, lode_part part, int64_t i, lode_scratch *scratch,
                       lode_sample *out);
    void (*close)(void *self); /* NULL is fine */
} lode_dataset_plugin;

#define DATASET(name) extern const lode_dataset_plugin lode_dataset_##name;
#include "data/datasets.def"
#undef DATASET

/* The table of all plug-ins, in the order of datasets.def. */
LODE_API const lode_dataset_plugin *const *lode_dataset_plugins(int *n);
/* LODE_ERR_NOT_FOUND names the nearest. */
LODE_API lode_status lode_dataset_find(const char *name, const lode_dataset_plugin **out);

typedef struct lode_dataset lode_dataset;
LODE_API lode_status lode_dataset_open(const char *name, const lode_dataset_request *request,
                                       lode_dataset **out);
/* The same for a plug-in that is not in the table, such as a program's own. */
LODE_API lode_status lode_dataset_open_plugin(const lode_dataset_plugin *plugin,
                                              const lode_dataset_request *request,
                                              lode_dataset **out);
LODE_API void lode_dataset_close(lode_dataset *d);
LODE_API const lode_dataset_info *lode_dataset_get_info(const lode_dataset *d);
LODE_API const char *lode_dataset_name(const lode_dataset *d);
LODE_API int64_t lode_dataset_n_samples(const lode_dataset *d, lode_part part);
LODE_API int lode_dataset_label(const lode_dataset *d, lode_part part, int64_t i);
/* Thread-safe, each thread with its own scratch. LODE_ERR_INVALID when i is out of range. */
LODE_API lode_status lode_dataset_get(lode_dataset *d, lode_part part, int64_t i,
                                      lode_scratch *scratch, lode_sample *out);
/* Pixel mean and deviation (/ 255) of the first n samples of a part (n 0: all), per channel. */
LODE_API lode_status lode_dataset_measure(lode_dataset *d, lode_part part, int64_t n,
                                          double mean[LODE_MAX_CHANNELS],
                                          double std[LODE_MAX_CHANNELS]);
#endif
