/* dataset_folder.c: a tree of photographs, one folder a class:

       PATH/train/<class>/<image>.jpg     PATH/val/<class>/...     PATH/test/<class>/...

   JPEG and PNG, any size, grey ones expanded to RGB. Classes are the folders of `train` in byte
   order. With `val` and no `test`, `val` is the part that judges in the end, as ImageNet does it;
   with both, `val` is the valid part. Without `train`, PATH's own folders are the classes and
   everything is train.

   Decoding costs a hundred times what the rest does, so decoded images are kept until `cache` is
   full. Whoever decodes an image first publishes it; a thread that lost the race throws its copy
   away. What does not fit is decoded each time: the cache changes the speed and nothing else. */
#include "core/log.h"
#include "core/memory.h"
#include "core/platform.h"
#include "data/dataset.h"
#include "data/image_io.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

typedef struct folder_image {
    int height, width;
    uint8_t pixels[]; /* [height, width, 3] */
} folder_image;

typedef struct folder_item {
    char *name;
    int label;
    _Atomic(folder_image *) cached;
} folder_item;

typedef struct folder_part {
    char *path; /* NULL: no such part */
    folder_item *item;
    int64_t n, capacity;
} folder_part;

typedef struct folder_dataset {
    folder_part part[LODE_N_PARTS];
    char **class_name; /* [n_classes], sorted */
    int64_t n_classes;
    int64_t cache_bytes;
    atomic_llong cached_bytes;
} folder_dataset;

enum { FOLDER_CHANNELS = 3 };

/* ---- the tree ---- */

static bool folder_ends_with(const char *name, const char *end) {
    size_t n = strlen(name), m = strlen(end);
    if (n <= m) return false;
    for (size_t i = 0; i < m; i++) {
        char c = name[n - m + i];
        if (c >= 'A' && c <= 'Z') c = (char)(c - 'A' + 'a');
        if (c != end[i]) return false;
    }
    return true;
}

static bool folder_is_image(const char *name) {
    return name[0] != '.' && (folder_ends_with(name, ".jpg") || folder_ends_with(name, ".jpeg") ||
                              folder_ends_with(name, ".png"));
}

/* Keeps the names of folders, in order. */
static lode_status folder_list_folders(const char *path, char ***names, int64_t *n) {
    LODE_TRY(lode_list_directory(path, names, n));
    int64_t kept = 0;
    for (int64_t i = 0; i < *n; i++) {
        char *name = (*names)[i];
        char *full = lode_path_join(path, name);
        bool keep = full != NULL && name[0] != '.' && lode_is_directory(full);
        lode_free(full);
        if (keep)
            (*names)[kept++] = name;
        else
            lode_free(name);
        if (full == NULL) { /* drop the rest too: the caller frees what is kept */
            for (i++; i < *n; i++) lode_free((*names)[i]);
            *n = kept;
            return LODE_ERR_NO_MEMORY;
        }
    }
    *n = kept;
    return LODE_OK;
}

static int folder_find_class(const folder_dataset *d, const char *name) {
    int64_t low = 0, high = d->n_classes;
    while (low < high) {
        int64_t middle = (low + high) / 2;
        int order = strcmp(d->class_name[middle], name);
        if (order == 0) return (int)middle;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return -1;
}

static lode_status folder_add(folder_part *part, char *name, int label) {
    void *items = part->item;
    LODE_TRY(lode_grow(&items, &part->capacity, part->n + 1, sizeof *part->item));
    part->item = items;
    folder_item *item = &part->item[part->n++];
    item->name = name;
    item->label = label;
    atomic_init(&item->cached, NULL);
    return LODE_OK;
}

static lode_status folder_scan_class(folder_part *part, const char *class_name, int label) {
    lode_status status = LODE_OK;
    char **names = NULL;
    int64_t n = 0, found = 0;
    char *path = lode_path_join(part->path, class_name);
    if (path == NULL) return LODE_ERR_NO_MEMORY;
    LODE_GOTO(lode_list_directory(path, &names, &n));
    for (int64_t i = 0; i < n; i++) {
        if (!folder_is_image(names[i])) continue;
        LODE_GOTO(folder_add(part, names[i], label));
        names[i] = NULL; /* the item's now */
        found++;
    }
    if (found < n)
        lode_log(LODE_LOG_WARN, "%s: %lld of %lld files are not .jpg, .jpeg or .png: ignored", path,
                 (long long)(n - found), (long long)n);
    if (found == 0) lode_log(LODE_LOG_WARN, "%s: a class without images in this part", path);
done:
    lode_names_free(names, n);
    lode_free(path);
    return status;
}

static lode_status folder_scan_part(folder_dataset *d, folder_part *part) {
    lode_status status = LODE_OK;
    char **folders = NULL;
    int64_t n = 0;
    LODE_GOTO(folder_list_folders(part->path, &folders, &n));
    for (int64_t i = 0; i < n; i++) {
        int label = folder_find_class(d, folders[i]);
        if (label < 0) {
            status = LODE_FAIL(
                LODE_ERR_DATA, "%s/%s: a class that is not in %s, which has %lld classes",
                part->path, folders[i], d->part[LODE_PART_TRAIN].path, (long long)d->n_classes);
            goto done;
        }
        LODE_GOTO(folder_scan_class(part, folders[i], label));
    }
    if (part->n == 0)
        status = LODE_FAIL(LODE_ERR_DATA,
                           "%s: no .jpg, .jpeg or .png in its %lld class folders; wanted "
                           "%s/<class>/<image>.jpg",
                           part->path, (long long)n, part->path);
done:
    lode_names_free(folders, n);
    return status;
}

/* Which folder is which part; see the top of the file. */
static lode_status folder_place_parts(const char *path, folder_dataset *d) {
    static const char *const names[4] = {"train", "val", "valid", "test"};
    char *found[4] = {0};
    lode_status status = LODE_OK;
    for (int i = 0; i < 4; i++) {
        found[i] = lode_path_join(path, names[i]);
        if (found[i] == NULL) {
            status = LODE_ERR_NO_MEMORY;
            goto done;
        }
        if (lode_is_directory(found[i])) continue;
        lode_free(found[i]);
        found[i] = NULL;
    }
    int valid = found[1] != NULL ? 1 : 2, test = found[3] != NULL ? 3 : valid;
    if (found[0] == NULL && found[test] != NULL) {
        status = LODE_FAIL(LODE_ERR_DATA, "%s exists, but %s/train does not", found[test], path);
        goto done;
    }
    if (found[0] != NULL) {
        d->part[LODE_PART_TRAIN].path = found[0];
        d->part[LODE_PART_TEST].path = found[test];
        found[0] = found[test] = NULL;
        d->part[LODE_PART_VALID].path = found[valid];
        found[valid] = NULL;
    } else {
        d->part[LODE_PART_TRAIN].path = lode_strdup(path);
        if (d->part[LODE_PART_TRAIN].path == NULL) status = LODE_ERR_NO_MEMORY;
    }
done:
    for (int i = 0; i < 4; i++) lode_free(found[i]);
    return status;
}

static void folder_close(void *self) {
    folder_dataset *d = self;
    if (d == NULL) return;
    for (int p = 0; p < LODE_N_PARTS; p++) {
        folder_part *part = &d->part[p];
        for (int64_t i = 0; i < part->n; i++) {
            lode_free(part->item[i].name);
            lode_free(atomic_load(&part->item[i].cached));
        }
        lode_free(part->item);
        lode_free(part->path);
    }
    lode_names_free(d->class_name, d->n_classes);
    lode_free(d);
}

static lode_status folder_open(const lode_dataset_request *request, void **self,
                               lode_dataset_info *info) {
    lode_status status = LODE_OK;
    if (request->path == NULL)
        return LODE_FAIL(LODE_ERR_CONFIG, "dataset folder needs data.path: a folder with "
                                          "train/<class>/<image>.jpg and val/<class>/...");
    if (!lode_is_directory(request->path))
        return LODE_FAIL(LODE_ERR_IO,
                         "%s is not a folder; data.path must hold "
                         "train/<class>/<image>.jpg",
                         request->path);
    folder_dataset *d = LODE_NEW(folder_dataset);
    if (d == NULL) return LODE_ERR_NO_MEMORY;
    d->cache_bytes = request->cache_bytes;
    LODE_GOTO(folder_place_parts(request->path, d));
    const char *train = d->part[LODE_PART_TRAIN].path;
    LODE_GOTO(folder_list_folders(train, &d->class_name, &d->n_classes));
    for (int p = 0; p < LODE_N_PARTS; p++)
        if (d->part[p].path != NULL) LODE_GOTO(folder_scan_part(d, &d->part[p]));
    *info = (lode_dataset_info){
        .n_classes = (int)d->n_classes,
        .channels = FOLDER_CHANNELS,
        .mean = {0.485, 0.456, 0.406}, /* ImageNet's, as everybody uses for photographs */
        .std = {0.229, 0.224, 0.225},
        .class_name = (const char *const *)d->class_name,
    };
    *self = d;
    d = NULL;
done:
    folder_close(d);
    return status;
}

/* ---- samples ---- */

/* Keeps a copy while there is room. */
static void folder_keep(folder_dataset *d, folder_item *item, const lode_sample *s) {
    size_t bytes = (size_t)s->height * (size_t)s->width * FOLDER_CHANNELS;
    long long total = (long long)(sizeof(folder_image) + bytes);
    if (atomic_fetch_add(&d->cached_bytes, total) + total > d->cache_bytes) goto full;
    folder_image *image = lode_alloc(1, (size_t)total);
    if (image == NULL) goto full;
    image->height = s->height;
    image->width = s->width;
    memcpy(image->pixels, s->pixels, bytes);
    folder_image *nobody = NULL;
    if (atomic_compare_exchange_strong(&item->cached, &nobody, image)) return;
    lode_free(image); /* another thread was quicker */
full:
    atomic_fetch_sub(&d->cached_bytes, total);
}

static lode_status folder_decode(folder_dataset *d, const folder_part *part, folder_item *item,
                                 lode_scratch *scratch, lode_sample *out) {
    uint8_t *pixels = NULL;
    char *path = lode_format("%s/%s/%s", part->path, d->class_name[item->label], item->name);
    if (path == NULL) return LODE_ERR_NO_MEMORY;
    lode_status status = lode_image_read(path, FOLDER_CHANNELS, &pixels, out);
    if (status != LODE_OK) goto done;
    size_t bytes = (size_t)out->height * (size_t)out->width * FOLDER_CHANNELS;
    LODE_GOTO(lode_scratch_reserve(scratch, bytes));
    memcpy(scratch->bytes, pixels, bytes);
    out->pixels = scratch->bytes;
    if (d->cache_bytes > 0) folder_keep(d, item, out);
done:
    lode_free(pixels);
    lode_free(path);
    return status;
}

static lode_status folder_get(void *self, lode_part part, int64_t i, lode_scratch *scratch,
                              lode_sample *out) {
    folder_dataset *d = self;
    folder_item *item = &d->part[part].item[i];
    const folder_image *image = atomic_load(&item->cached);
    if (image == NULL)
        LODE_TRY(folder_decode(d, &d->part[part], item, scratch, out));
    else
        *out = (lode_sample){.pixels = image->pixels,
                             .height = image->height,
                             .width = image->width,
                             .channels = FOLDER_CHANNELS};
    out->label = item->label;
    return LODE_OK;
}

static int64_t folder_n_samples(const void *self, lode_part part) {
    return ((const folder_dataset *)self)->part[part].n;
}

static int folder_label(const void *self, lode_part part, int64_t i) {
    return ((const folder_dataset *)self)->part[part].item[i].label;
}

const lode_dataset_plugin lode_dataset_folder = {
    .name = "folder",
    .help = "JPEG and PNG files in PATH/train/<class>/, PATH/val/<class>/, PATH/test/<class>/",
    .open = folder_open,
    .n_samples = folder_n_samples,
    .label = folder_label,
    .get = folder_get,
    .close = folder_close,
};
