/* dataset_cifar.c: CIFAR-10 and CIFAR-100 in their binary version (Krizhevsky 2009).

   A file is rows of labels and three 32x32 planes: 1 + 3072 bytes (CIFAR-10: data_batch_1.bin to
   _5.bin and test_batch.bin) or 2 + 3072 (CIFAR-100: train.bin and test.bin, coarse label then
   fine). Which one it is, the files' names tell. All rows are turned into interleaved pixels once,
   when opened: 184 MB, and reading a sample costs nothing afterwards. */
#include "core/log.h"
#include "core/memory.h"
#include "core/platform.h"
#include "data/bytes_internal.h"
#include "data/dataset.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

typedef struct cifar_options {
    int labels; /* of CIFAR-100: 0 fine, 1 coarse */
} cifar_options;

static const lode_option cifar_rows[] = {
    {"labels", LODE_OPT_ENUM, offsetof(cifar_options, labels), "fine", 0, 0, "fine|coarse",
     "which labels of CIFAR-100 to learn: 100 fine or 20 coarse classes"},
};
static const lode_option_table cifar_table = {"data.cifar", cifar_rows, 1};

typedef struct cifar_part {
    uint8_t *pixels; /* [n, 32, 32, 3] */
    uint8_t *labels; /* [n] */
    int64_t n;
} cifar_part;

typedef struct cifar_dataset {
    cifar_part part[LODE_N_PARTS]; /* VALID stays empty */
    char *names_text;              /* the class names' file, cut into lines */
    const char **names;            /* [n_classes], within names_text; or NULL */
} cifar_dataset;

/* One of the two datasets. */
typedef struct cifar_kind {
    const char *folder; /* as the archive unpacks */
    const char *train[5];
    int n_train;
    const char *test;
    int64_t rows_per_file[2]; /* officially, train and test */
    const char *url;
} cifar_kind;

static const cifar_kind cifar_kinds[2] = {
    {"cifar-10-batches-bin",
     {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin",
      "data_batch_5.bin"},
     5,
     "test_batch.bin",
     {10000, 10000},
     "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"},
    {"cifar-100-binary",
     {"train.bin"},
     1,
     "test.bin",
     {50000, 10000},
     "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz"},
};

/* ---- the format ---- */

lode_status lode_cifar_count(size_t n, const char *name, const lode_cifar_layout *layout,
                             int64_t *n_rows) {
    size_t row = (size_t)layout->label_bytes + LODE_CIFAR_PIXELS;
    *n_rows = (int64_t)(n / row);
    if (n == 0 || n % row != 0)
        return LODE_FAIL(LODE_ERR_DATA,
                         "%s: %zu bytes are not whole rows of %zu: the last one begins at offset "
                         "%zu and lacks %zu bytes: truncated?",
                         name, n, row, n - n % row, row - n % row);
    return LODE_OK;
}

lode_status lode_cifar_parse(const uint8_t *bytes, int64_t n_rows, const char *name,
                             const lode_cifar_layout *layout, uint8_t *pixels, uint8_t *labels) {
    enum { PLANE = 32 * 32 };
    int64_t row = layout->label_bytes + LODE_CIFAR_PIXELS;
    for (int64_t i = 0; i < n_rows; i++) {
        const uint8_t *in = bytes + i * row;
        if (in[layout->label_at] >= layout->n_classes)
            return LODE_FAIL(LODE_ERR_DATA, "%s: label %d at offset %lld, wanted 0 to %d", name,
                             in[layout->label_at], (long long)(i * row + layout->label_at),
                             layout->n_classes - 1);
        labels[i] = in[layout->label_at];
        in += layout->label_bytes;
        uint8_t *out = pixels + i * LODE_CIFAR_PIXELS;
        for (int k = 0; k < PLANE; k++) {
            out[3 * k] = in[k];
            out[3 * k + 1] = in[PLANE + k];
            out[3 * k + 2] = in[2 * PLANE + k];
        }
    }
    return LODE_OK;
}

/* ---- finding and reading the files ---- */

static bool cifar_has(const char *folder, const char *file) {
    char *path = lode_path_join(folder, file);
    bool found = path != NULL && lode_file_exists(path);
    lode_free(path);
    return found;
}

/* The folder with the files of either kind: `path` itself or the archive's folder within it. NULL
 *in folder when there is none. */
static lode_status cifar_look(const char *path, char **folder, const cifar_kind **kind) {
    *folder = NULL;
    for (int k = 0; k < 2; k++)
        for (int within = 0; within < 2; within++) {
            char *f = lode_path_join(path, within ? cifar_kinds[k].folder : "");
            if (f == NULL) return LODE_ERR_NO_MEMORY;
            if (cifar_has(f, cifar_kinds[k].train[0]) || cifar_has(f, cifar_kinds[k].test)) {
                *folder = f;
                *kind = &cifar_kinds[k];
                return LODE_OK;
            }
            lode_free(f);
        }
    return LODE_OK;
}

static lode_status cifar_find(const char *path, char **folder, const cifar_kind **kind) {
    const char *places[] = {getenv("LODE_DATA"), ".", "/usr/share/datasets"};
    *folder = NULL;
    if (path != NULL) {
        LODE_TRY(cifar_look(path, folder, kind));
        if (*folder != NULL) return LODE_OK;
        if (cifar_has(path, "data_batch_1") || cifar_has(path, "train"))
            return LODE_FAIL(LODE_ERR_DATA,
                             "%s holds the Python version of CIFAR: Lode reads the binary version, "
                             "%s",
                             path, cifar_kinds[0].url);
    }
    for (int i = 0; path == NULL && i < 3; i++) {
        if (places[i] == NULL) continue;
        LODE_TRY(cifar_look(places[i], folder, kind));
        if (*folder != NULL) return LODE_OK;
    }
    return LODE_FAIL(LODE_ERR_IO,
                     "no CIFAR files (%s, %s, ...) in %s: download and unpack %s and set data.path "
                     "to its folder",
                     cifar_kinds[0].train[0], cifar_kinds[1].train[0],
                     path != NULL ? path : "$LODE_DATA, . and /usr/share/datasets",
                     cifar_kinds[0].url);
}

static lode_status cifar_read_part(const char *folder, const char *const *files, int n_files,
                                   int64_t official, const lode_cifar_layout *layout,
                                   cifar_part *part) {
    enum { MOST_FILES = 5 };
    lode_status status = LODE_OK;
    lode_mapping map[MOST_FILES] = {{0}};
    char *name[MOST_FILES] = {0};
    int64_t n_rows[MOST_FILES], done = 0;
    for (int i = 0; i < n_files; i++) {
        name[i] = lode_path_join(folder, files[i]);
        if (name[i] == NULL) {
            status = LODE_ERR_NO_MEMORY;
            goto done;
        }
        LODE_GOTO(lode_map_file(name[i], &map[i]));
        LODE_GOTO(lode_cifar_count(map[i].n, name[i], layout, &n_rows[i]));
        if (n_rows[i] != official)
            lode_log(LODE_LOG_WARN, "%s has %lld images, the original %lld", name[i],
                     (long long)n_rows[i], (long long)official);
        part->n += n_rows[i];
    }
    part->pixels = lode_alloc((size_t)part->n, LODE_CIFAR_PIXELS);
    part->labels = lode_alloc((size_t)part->n, 1);
    if (part->pixels == NULL || part->labels == NULL) {
        status = lode_error_context("reading %s", folder);
        goto done;
    }
    for (int i = 0; i < n_files; i++) {
        LODE_GOTO(lode_cifar_parse(map[i].bytes, n_rows[i], name[i], layout,
                                   part->pixels + done * LODE_CIFAR_PIXELS, part->labels + done));
        done += n_rows[i];
    }
done:
    for (int i = 0; i < n_files; i++) {
        lode_unmap_file(&map[i]);
        lode_free(name[i]);
    }
    return status;
}

/* One name a line; unless there are just as many as classes the names stay unknown. */
static lode_status cifar_read_names(const char *folder, const char *file, int n_classes,
                                    cifar_dataset *d) {
    lode_status status = LODE_OK;
    void *text = NULL;
    size_t size;
    int n = 0;
    if (!cifar_has(folder, file)) return LODE_OK;
    char *path = lode_path_join(folder, file);
    d->names = LODE_NEW_ARRAY(const char *, n_classes);
    if (path == NULL || d->names == NULL) {
        status = LODE_ERR_NO_MEMORY;
        goto done;
    }
    LODE_GOTO(lode_file_read(path, &text, &size));
    d->names_text = text;
    for (char *line = d->names_text; *line != '\0';) {
        size_t length = strcspn(line, "\r\n");
        char *next = line + length + strspn(line + length, "\r\n");
        line[length] = '\0';
        if (length > 0 && n < n_classes) d->names[n] = line;
        n += length > 0;
        line = next;
    }
    if (n != n_classes) {
        lode_log(LODE_LOG_WARN, "%s has %d names for %d classes: not used", path, n, n_classes);
        lode_free(d->names);
        d->names = NULL;
    }
done:
    lode_free(path);
    return status;
}

static void cifar_close(void *self) {
    cifar_dataset *d = self;
    if (d == NULL) return;
    for (int p = 0; p < LODE_N_PARTS; p++) {
        lode_free(d->part[p].pixels);
        lode_free(d->part[p].labels);
    }
    lode_free(d->names_text);
    lode_free(d->names);
    lode_free(d);
}

static lode_status cifar_open(const lode_dataset_request *request, void **self,
                              lode_dataset_info *info) {
    lode_status status = LODE_OK;
    const cifar_options *o = request->options;
    const cifar_kind *kind = NULL;
    char *folder = NULL;
    cifar_dataset *d = LODE_NEW(cifar_dataset);
    if (d == NULL) return LODE_ERR_NO_MEMORY;
    LODE_GOTO(cifar_find(request->path, &folder, &kind));
    bool hundred = kind == &cifar_kinds[1], coarse = hundred && o->labels == 1;
    lode_cifar_layout layout = {.label_bytes = hundred ? 2 : 1,
                                .label_at = hundred && !coarse ? 1 : 0,
                                .n_classes = coarse    ? 20
                                             : hundred ? 100
                                                       : 10};
    LODE_GOTO(cifar_read_part(folder, kind->train, kind->n_train, kind->rows_per_file[0], &layout,
                              &d->part[LODE_PART_TRAIN]));
    LODE_GOTO(cifar_read_part(folder, &kind->test, 1, kind->rows_per_file[1], &layout,
                              &d->part[LODE_PART_TEST]));
    LODE_GOTO(cifar_read_names(folder,
                               coarse    ? "coarse_label_names.txt"
                               : hundred ? "fine_label_names.txt"
                                         : "batches.meta.txt",
                               layout.n_classes, d));
    *info = (lode_dataset_info){
        .n_classes = layout.n_classes,
        .height = 32,
        .width = 32,
        .channels = 3,
        .mean = {0.49139968, 0.48215841, 0.44653091},
        .std = {0.24703223, 0.24348513, 0.26158784},
        .class_name = d->names,
    };
    if (hundred) {
        memcpy(info->mean, (double[3]){0.50707516, 0.48654887, 0.44091784}, 3 * sizeof(double));
        memcpy(info->std, (double[3]){0.26733429, 0.25643846, 0.27615047}, 3 * sizeof(double));
    }
    *self = d;
    d = NULL;
done:
    lode_free(folder);
    cifar_close(d);
    return status;
}

/* ---- the contract ---- */

static int64_t cifar_n_samples(const void *self, lode_part part) {
    return ((const cifar_dataset *)self)->part[part].n;
}

static int cifar_label(const void *self, lode_part part, int64_t i) {
    return ((const cifar_dataset *)self)->part[part].labels[i];
}

static lode_status cifar_get(void *self, lode_part part, int64_t i, lode_scratch *scratch,
                             lode_sample *out) {
    const cifar_part *p = &((const cifar_dataset *)self)->part[part];
    (void)scratch;
    *out = (lode_sample){.pixels = p->pixels + i * LODE_CIFAR_PIXELS,
                         .height = 32,
                         .width = 32,
                         .channels = 3,
                         .label = p->labels[i]};
    return LODE_OK;
}

const lode_dataset_plugin lode_dataset_cifar = {
    .name = "cifar",
    .help = "CIFAR-10 or CIFAR-100, binary version: a folder with data_batch_1.bin or train.bin",
    .options = &cifar_table,
    .options_size = sizeof(cifar_options),
    .open = cifar_open,
    .n_samples = cifar_n_samples,
    .label = cifar_label,
    .get = cifar_get,
    .close = cifar_close,
};
