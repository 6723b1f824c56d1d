/* dataset_idx.c: MNIST's format, plain or gzip-packed: four files

       train-images-idx3-ubyte  train-labels-idx1-ubyte  t10k-images-idx3-ubyte
   t10k-labels-idx1-ubyte

   each a big-endian header (magic 00 00 08 n, n dims) and bytes. The images stay in memory as they
   are: [N, H, W] of bytes is what a grey sample looks like. Mean and deviation are measured on the
   train part (Fashion-MNIST 0.2860 and 0.3530, MNIST 0.1307 and 0.3081). */
#include "core/memory.h"
#include "core/platform.h"
#include "data/bytes_internal.h"
#include "data/dataset.h"

#include <math.h>
#include <string.h>

typedef struct idx_part {
    uint8_t *images, *labels; /* whole files */
    const uint8_t *pixels;    /* [n, height, width], within images */
    const uint8_t *label;     /* [n], within labels */
    int64_t n;
    char *labels_path;
} idx_part;

typedef struct idx_dataset {
    idx_part part[LODE_N_PARTS]; /* VALID stays empty */
    int height, width;
} idx_dataset;

static const char *const idx_fashion_names[10] = {"T-shirt/top", "Trouser",   "Pullover", "Dress",
                                                  "Coat",        "Sandal",    "Shirt",    "Sneaker",
                                                  "Bag",         "Ankle boot"};
static const char *const idx_default_path = "/usr/share/datasets/fashion-mnist";

/* ---- the format ---- */

static uint32_t idx_u32(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

lode_status lode_idx_parse(const uint8_t *bytes, size_t n, const char *name, int n_dims,
                           lode_idx_header *out) {
    size_t header = 4 + 4 * (size_t)n_dims;
    uint32_t wanted = 0x0800u + (uint32_t)n_dims;
    *out = (lode_idx_header){.offset = header};
    if (n < header)
        return LODE_FAIL(LODE_ERR_DATA, "%s: ends at offset %zu within its header of %zu bytes",
                         name, n, header);
    if (idx_u32(bytes) != wanted)
        return LODE_FAIL(LODE_ERR_DATA,
                         "%s: magic number 0x%08x at offset 0, wanted 0x%08x (IDX, bytes, %d "
                         "dimension%s)",
                         name, (unsigned)idx_u32(bytes), (unsigned)wanted, n_dims,
                         n_dims == 1 ? "" : "s");
    int64_t count = 1;
    for (int i = 0; i < n_dims; i++) {
        out->dim[i] = (int64_t)idx_u32(bytes + 4 + 4 * i);
        if (out->dim[i] == 0 || out->dim[i] > INT32_MAX || count > INT64_MAX / 4 / out->dim[i])
            return LODE_FAIL(LODE_ERR_DATA, "%s: dimension %d at offset %d is %lld", name, i,
                             4 + 4 * i, (long long)out->dim[i]);
        count *= out->dim[i];
    }
    if ((uint64_t)count != n - header)
        return LODE_FAIL(LODE_ERR_DATA,
                         "%s: the header promises %lld elements after offset %zu, there are "
                         "%zu: %s",
                         name, (long long)count, header, n - header,
                         (uint64_t)count > n - header ? "truncated?" : "what follows?");
    return LODE_OK;
}

/* ---- finding and reading the files ---- */

/* The usual spellings: with - or . before idx, packed or not, in a folder or after a prefix. */
static lode_status idx_find(const char *path, const char *stem, const char *kind, char **out) {
    static const char *const joints[] = {"/", "-"}, *const dashes[] = {"-", "."},
                             *const ends[] = {".gz", ""};
    for (int j = 0; j < 2; j++)
        for (int d = 0; d < 2; d++)
            for (int e = 0; e < 2; e++) {
                *out = lode_format("%s%s%s%sidx%s-ubyte%s", path, joints[j], stem, dashes[d], kind,
                                   ends[e]);
                if (*out == NULL) return LODE_ERR_NO_MEMORY;
                if (lode_file_exists(*out)) return LODE_OK;
                lode_free(*out);
                *out = NULL;
            }
    if (strcmp(path, idx_default_path) == 0 && !lode_is_directory(path))
        return LODE_FAIL(LODE_ERR_IO,
                         "Fashion-MNIST is not in %s: `apt install dataset-fashion-mnist`, or set "
                         "data.path to a folder with MNIST-like IDX files",
                         path);
    return LODE_FAIL(LODE_ERR_IO,
                     "%s: no file %s-idx%s-ubyte (nor .gz) there: data.path must be the folder of "
                     "the four IDX files",
                     path, stem, kind);
}

static lode_status idx_read_file(const char *path, const char *stem, const char *kind, int n_dims,
                                 uint8_t **bytes, lode_idx_header *header, char **name) {
    size_t n = 0;
    LODE_TRY(idx_find(path, stem, kind, name));
    LODE_TRY(lode_read_unpacked(*name, bytes, &n));
    return lode_idx_parse(*bytes, n, *name, n_dims, header);
}

static lode_status idx_read_part(const char *path, const char *images, const char *labels,
                                 idx_dataset *d, idx_part *part) {
    lode_status status = LODE_OK;
    lode_idx_header x, y;
    char *name = NULL;
    LODE_GOTO(idx_read_file(path, images, "3", 3, &part->images, &x, &name));
    LODE_GOTO(idx_read_file(path, labels, "1", 1, &part->labels, &y, &part->labels_path));
    if (x.dim[0] != y.dim[0]) {
        status = LODE_FAIL(LODE_ERR_DATA, "%s has %lld images, %s has %lld labels", name,
                           (long long)x.dim[0], part->labels_path, (long long)y.dim[0]);
        goto done;
    }
    if (d->height == 0) {
        d->height = (int)x.dim[1];
        d->width = (int)x.dim[2];
    }
    if (x.dim[1] != d->height || x.dim[2] != d->width) {
        status = LODE_FAIL(LODE_ERR_DATA, "%s: images of %lldx%lld, the train images have %dx%d",
                           name, (long long)x.dim[1], (long long)x.dim[2], d->height, d->width);
        goto done;
    }
    part->n = x.dim[0];
    part->pixels = part->images + x.offset;
    part->label = part->labels + y.offset;
done:
    lode_free(name);
    return status;
}

static void idx_close(void *self) {
    idx_dataset *d = self;
    if (d == NULL) return;
    for (int p = 0; p < LODE_N_PARTS; p++) {
        lode_free(d->part[p].images);
        lode_free(d->part[p].labels);
        lode_free(d->part[p].labels_path);
    }
    lode_free(d);
}

static lode_status idx_check_labels(const idx_part *part, int n_classes) {
    for (int64_t i = 0; i < part->n; i++)
        if (part->label[i] >= n_classes)
            return LODE_FAIL(LODE_ERR_DATA, "%s: label %d at offset %lld, wanted 0 to %d",
                             part->labels_path, part->label[i], (long long)(8 + i), n_classes - 1);
    return LODE_OK;
}

/* Through a histogram: exact, and quicker than squaring 47 million bytes. */
static void idx_measure(const idx_part *part, int64_t pixels, lode_dataset_info *info) {
    uint64_t histogram[256] = {0};
    int64_t n = part->n * pixels;
    for (int64_t i = 0; i < n; i++) histogram[part->pixels[i]]++;
    double sum = 0, squares = 0;
    for (int b = 0; b < 256; b++) {
        sum += b * (double)histogram[b];
        squares += (double)(b * b) * (double)histogram[b];
    }
    double mean = sum / (double)n, variance = squares / (double)n - mean * mean;
    info->mean[0] = mean / 255;
    info->std[0] = variance > 0 ? sqrt(variance) / 255 : 1;
}

static lode_status idx_open(const lode_dataset_request *request, void **self,
                            lode_dataset_info *info) {
    lode_status status = LODE_OK;
    const char *path = request->path != NULL ? request->path : idx_default_path;
    idx_dataset *d = LODE_NEW(idx_dataset);
    if (d == NULL) return LODE_ERR_NO_MEMORY;
    idx_part *train = &d->part[LODE_PART_TRAIN], *test = &d->part[LODE_PART_TEST];
    LODE_GOTO(idx_read_part(path, "train-images", "train-labels", d, train));
    LODE_GOTO(idx_read_part(path, "t10k-images", "t10k-labels", d, test));
    int n_classes = request->n_classes;
    if (n_classes == 0)
        for (int64_t i = 0; i < train->n; i++)
            if (train->label[i] >= n_classes) n_classes = train->label[i] + 1;
    LODE_GOTO(idx_check_labels(train, n_classes));
    LODE_GOTO(idx_check_labels(test, n_classes));
    *info = (lode_dataset_info){
        .n_classes = n_classes, .height = d->height, .width = d->width, .channels = 1};
    if (n_classes == 10 && strstr(path, "fashion") != NULL) info->class_name = idx_fashion_names;
    idx_measure(train, (int64_t)d->height * d->width, info);
    *self = d;
    d = NULL;
done:
    idx_close(d);
    return status;
}

/* ---- the contract ---- */

static int64_t idx_n_samples(const void *self, lode_part part) {
    return ((const idx_dataset *)self)->part[part].n;
}

static int idx_label(const void *self, lode_part part, int64_t i) {
    return ((const idx_dataset *)self)->part[part].label[i];
}

static lode_status idx_get(void *self, lode_part part, int64_t i, lode_scratch *scratch,
                           lode_sample *out) {
    const idx_dataset *d = self;
    (void)scratch;
    *out = (lode_sample){.pixels = d->part[part].pixels + i * d->height * d->width,
                         .height = d->height,
                         .width = d->width,
                         .channels = 1,
                         .label = d->part[part].label[i]};
    return LODE_OK;
}

const lode_dataset_plugin lode_dataset_idx = {
    .name = "idx",
    .help = "MNIST's IDX files, plain or .gz; without a path, Debian's Fashion-MNIST",
    .open = idx_open,
    .n_samples = idx_n_samples,
    .label = idx_label,
    .get = idx_get,
    .close = idx_close,
};
