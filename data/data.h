/* data.h: the `data` section of a recipe, opened: dataset, splits, transforms, loaders.

       data:
         name: idx            # cifar, folder, idx, synthetic
         path: /somewhere     # default: where the dataset usually lies
         valid: 0.1           # cut from the train part: a fraction, or a count
         arch_split: 0.2
         batch: 128
         workers: 1
         size: 32
         augment: {pad: 4, flip: true, cutout: 16}

   Reading a recipe:
       lode_data_options options;
       LODE_TRY(lode_data_options_read(config, &options));
       LODE_GOTO(lode_data_open(&options, seed, &data));
       LODE_GOTO(lode_data_loader(data, "train", LODE_DATA_TRAIN, options.batch, options.workers,
                                  &loader));
   Without a recipe: lode_data_options_init, then set fields. */
#ifndef LODE_DATA_DATA_H
#define LODE_DATA_DATA_H
#include "core/config.h"
#include "data/dataset.h"
#include "data/loader.h"
#include "data/split.h"
#include "data/transform.h"

#include <stdbool.h>

typedef struct lode_data_options {
    const char *name;  /* of the dataset */
    const char *path;  /* NULL: the dataset's default */
    int64_t classes;   /* 0: what the dataset has */
    double valid;      /* lode_split_options */
    double arch_split; /* likewise */
    int64_t limit, limit_test;
    bool stratified;
    int64_t seed; /* of splits and made-up data; -1: the run's seed */
    int64_t batch;
    int64_t workers;
    int64_t size;            /* height and width of the network's input; 0: the dataset's own */
    int64_t resize;          /* shorter side before the evaluation's centre crop; 0: size */
    int64_t channels;        /* 1 or 3; 0: the dataset's own */
    lode_f64_list mean, std; /* per channel (or one for all); empty: the dataset's usual ones */
    int64_t cache;           /* MiB of decoded images kept in memory */
    lode_augment_options augment;
    void *dataset_options; /* the plug-in's own options, owned; NULL: its defaults */
} lode_data_options;

/* Section "data". `data.augment` is lode_augment_table(), `data.<name>` the plug-in's. */
LODE_API const lode_option_table *lode_data_table(void);
/* All of them, for help and manual: fills up to `capacity` and returns how many there are. */
LODE_API int lode_data_tables(const lode_option_table **out, int capacity);
/* The defaults. Nothing to free unless dataset_options is set. */
LODE_API lode_status lode_data_options_init(lode_data_options *o);
/* From a recipe: data, data.augment and the chosen dataset's own section. Strings and lists belong
   to the config, which must outlive `o`. */
LODE_API lode_status lode_data_options_read(lode_config *config, lode_data_options *o);
LODE_API void lode_data_options_deinit(lode_data_options *o);

typedef struct lode_data lode_data;
/* `seed` is the run's. Copies what it needs of the options. */
LODE_API lode_status lode_data_open(const lode_data_options *options, uint64_t seed,
                                    lode_data **out);
LODE_API void lode_data_close(lode_data *d); /* after its loaders */

typedef enum lode_data_mode {
    LODE_DATA_TRAIN, /* augmented, shuffled, incomplete last batch dropped (unless it is the only)
                      */
    LODE_DATA_EVAL   /* as is, in order, every sample once */
} lode_data_mode;
/* split: "train", "valid", "arch", "test". */
LODE_API lode_status lode_data_loader(lode_data *d, const char *split, lode_data_mode mode,
                                      int64_t batch, int workers, lode_loader **out);
/* The same with everything said (ranks, order, prefetch); options->seed is taken as it stands. */
LODE_API lode_status lode_data_loader_with(lode_data *d, const char *split, lode_data_mode mode,
                                           const lode_loader_options *options, lode_loader **out);

/* What a network must fit: [N, channels, height, width] in, n_classes out. */
LODE_API int lode_data_n_classes(const lode_data *d);
LODE_API void lode_data_input(const lode_data *d, int *channels, int *height, int *width);
LODE_API int64_t lode_data_n_samples(const lode_data *d,
                                     const char *split);                  /* 0: none or unknown */
LODE_API const char *lode_data_class_name(const lode_data *d, int label); /* NULL: unknown */
/* mean and std as used, [channels]: for exported models. */
LODE_API void lode_data_normalization(const lode_data *d, double mean[LODE_MAX_CHANNELS],
                                      double std[LODE_MAX_CHANNELS]);
LODE_API lode_dataset *lode_data_get_dataset(lode_data *d);
LODE_API const lode_splits *lode_data_get_splits(const lode_data *d);
/* "idx: 10 classes, 1x28x28; train 48000, valid 6000, arch 6000, test 10000"; lode_free. */
LODE_API char *lode_data_describe(const lode_data *d);
#endif
