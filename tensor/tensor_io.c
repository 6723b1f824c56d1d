/* tensor_io.c: reading files of named tensors. Nothing in a file is believed before it was checked;
   the checks stand in the order in which a hostile file would hurt: header length, JSON, each
   entry by itself, then all ranges together (sorted they must cover the data exactly once), then
   the checksum. After that, getting a tensor cannot fail for what the file says. */
#include "tensor/tensor_io.h"

#include "core/config.h"
#include "core/json.h"
#include "core/memory.h"
#include "core/platform.h"

#include <stdlib.h>
#include <string.h>

typedef struct io_entry {
    const char *name; /* belongs to the header */
    lode_dtype dtype;
    lode_shape shape;
    int64_t begin, end; /* bytes of the data */
} io_entry;

struct lode_tensor_file {
    char *name; /* for messages */
    lode_mapping mapping;
    const uint8_t *data; /* [data_size] */
    int64_t data_size;
    json_t *header;
    io_entry *entry;   /* [n] by begin */
    io_entry *by_name; /* [n] */
    int64_t n;
};

enum { IO_MAX_HEADER = 100 << 20 }; /* 100 MiB, as other readers of the format */

/* ---- one entry ---- */
static lode_status io_read_ints(const lode_tensor_file *f, const char *name, const json_t *entry,
                                const char *key, int most, int64_t *out, int *n) {
    const json_t *list = json_object_get(entry, key);
    if (!json_is_array(list) || json_array_size(list) > (size_t)most)
        return LODE_FAIL(LODE_ERR_DATA,
                         "%s: tensor \"%.80s\": %s must be a list of up to %d "
                         "numbers",
                         f->name, name, key, most);
    *n = (int)json_array_size(list);
    for (int i = 0; i < *n; i++) {
        const json_t *v = json_array_get(list, (size_t)i);
        if (!json_is_integer(v) || json_integer_value(v) < 0)
            return LODE_FAIL(LODE_ERR_DATA, "%s: tensor \"%.80s\": %s[%d] is no number >= 0",
                             f->name, name, key, i);
        out[i] = (int64_t)json_integer_value(v);
    }
    return LODE_OK;
}

/* Retells a failure of dtype or shape as one of the file. */
static lode_status io_bad_entry(const lode_tensor_file *f, const char *name) {
    return LODE_FAIL(LODE_ERR_DATA, "%s: tensor \"%.80s\": %s", f->name, name, lode_last_error());
}

static lode_status io_read_entry(const lode_tensor_file *f, const char *name, const json_t *entry,
                                 io_entry *out) {
    int64_t range[2] = {0};
    int n_range = 0;
    *out = (io_entry){.name = name};
    const char *dtype = json_string_value(json_object_get(entry, "dtype"));
    if (dtype == NULL)
        return LODE_FAIL(LODE_ERR_DATA, "%s: tensor \"%.80s\" has no dtype", f->name, name);
    if (lode_dtype_from_name(dtype, &out->dtype) != LODE_OK) return io_bad_entry(f, name);
    LODE_TRY(
        io_read_ints(f, name, entry, "shape", LODE_MAX_DIMS, out->shape.dim, &out->shape.n_dims));
    LODE_TRY(io_read_ints(f, name, entry, "data_offsets", 2, range, &n_range));
    if (lode_shape_check(&out->shape) != LODE_OK) return io_bad_entry(f, name);
    if (n_range != 2 || range[1] < range[0] || range[1] > f->data_size)
        return LODE_FAIL(LODE_ERR_DATA,
                         "%s: tensor \"%.80s\" stands at bytes %lld to %lld of %lld: the file is "
                         "truncated or damaged",
                         f->name, name, (long long)range[0], (long long)range[1],
                         (long long)f->data_size);
    int64_t size = (int64_t)lode_dtype_size(out->dtype), count = lode_shape_count(&out->shape);
    if (count > INT64_MAX / size || count * size != range[1] - range[0]) {
        char text[128];
        return LODE_FAIL(LODE_ERR_DATA,
                         "%s: tensor \"%.80s\" of shape %s and dtype %s has %lld "
                         "bytes in the file",
                         f->name, name, lode_shape_print(&out->shape, text), dtype,
                         (long long)(range[1] - range[0]));
    }
    out->begin = range[0];
    out->end = range[1];
    return LODE_OK;
}

/* ---- all entries ---- */
static int io_by_begin(const void *a, const void *b) {
    const io_entry *x = a, *y = b;
    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    if (x->end != y->end) return x->end < y->end ? -1 : 1;
    return strcmp(x->name, y->name);
}
static int io_by_name(const void *a, const void *b) {
    const io_entry *x = a, *y = b;
    return strcmp(x->name, y->name);
}

static lode_status io_check_cover(const lode_tensor_file *f) {
    int64_t at = 0;
    for (int64_t i = 0; i < f->n; i++) {
        if (f->entry[i].begin != at)
            return LODE_FAIL(
                LODE_ERR_DATA,
                "%s: tensor \"%.80s\" begins at byte %lld, the one before ends at %lld", f->name,
                f->entry[i].name, (long long)f->entry[i].begin, (long long)at);
        at = f->entry[i].end;
    }
    if (at != f->data_size)
        return LODE_FAIL(LODE_ERR_DATA,
                         "%s: the tensors have %lld bytes, the file has %lld: it is truncated or "
                         "damaged",
                         f->name, (long long)at, (long long)f->data_size);
    return LODE_OK;
}

static lode_status io_read_entries(lode_tensor_file *f) {
    const char *name = NULL;
    json_t *value = NULL;
    size_t n = json_object_size(f->header);
    f->entry = LODE_NEW_ARRAY(io_entry, n);
    f->by_name = LODE_NEW_ARRAY(io_entry, n);
    if (f->entry == NULL || f->by_name == NULL) return LODE_ERR_NO_MEMORY;
    json_object_foreach(f->header, name, value) {
        if (strcmp(name, "__metadata__") == 0) continue;
        LODE_TRY(io_read_entry(f, name, value, &f->entry[f->n]));
        f->n++;
    }
    qsort(f->entry, (size_t)f->n, sizeof *f->entry, io_by_begin);
    memcpy(f->by_name, f->entry, (size_t)f->n * sizeof *f->entry);
    qsort(f->by_name, (size_t)f->n, sizeof *f->by_name, io_by_name);
    return io_check_cover(f);
}

/* ---- header ---- */
static lode_status io_read_header(lode_tensor_file *f, const uint8_t *bytes, size_t n) {
    uint64_t length = 0;
    if (n < 8)
        return LODE_FAIL(LODE_ERR_DATA, "%s: %zu bytes are too short for a file of tensors",
                         f->name, n);
    for (int i = 7; i >= 0; i--) length = length << 8 | bytes[i];
    if (length > n - 8 || length > IO_MAX_HEADER)
        return LODE_FAIL(LODE_ERR_DATA,
                         "%s: the header should have %llu bytes, the file has %zu: it is truncated "
                         "or no file of tensors",
                         f->name, (unsigned long long)length, n);
    json_error_t error;
    f->header = json_loadb((const char *)bytes + 8, (size_t)length, JSON_REJECT_DUPLICATES, &error);
    if (!json_is_object(f->header))
        return LODE_FAIL(LODE_ERR_DATA, "%s: the header is no JSON object: %s", f->name,
                         f->header == NULL ? error.text : "another kind of value");
    f->data = bytes + 8 + length;
    f->data_size = (int64_t)(n - 8 - (size_t)length);
    return LODE_OK;
}

static lode_status io_check_metadata(const lode_tensor_file *f) {
    const char *key = NULL;
    json_t *value = NULL, *all = json_object_get(f->header, "__metadata__");
    if (all != NULL && !json_is_object(all))
        return LODE_FAIL(LODE_ERR_DATA, "%s: __metadata__ is no JSON object", f->name);
    json_object_foreach(all, key, value) {
        if (!json_is_string(value))
            return LODE_FAIL(LODE_ERR_DATA, "%s: metadata \"%.80s\" is no text", f->name, key);
    }
    const char *text = lode_tensors_metadata(f, "crc32");
    if (text == NULL) return LODE_OK;
    char *end = NULL;
    unsigned long wanted = strtoul(text, &end, 16);
    uint32_t seen = lode_crc32(0, f->data, (size_t)f->data_size);
    if (strlen(text) != 8 || *end != '\0' || wanted != seen)
        return LODE_FAIL(
            LODE_ERR_DATA,
            "%s: the checksum is %08lx, the header says \"%.16s\": the file is damaged", f->name,
            (unsigned long)seen, text);
    return LODE_OK;
}

/* ---- open and close ---- */
static lode_status io_new(const char *name, lode_tensor_file **out) {
    lode_tensor_file *f = LODE_NEW(lode_tensor_file);
    if (f == NULL) return LODE_ERR_NO_MEMORY;
    f->name = lode_strdup(name);
    if (f->name == NULL) {
        lode_free(f);
        return LODE_ERR_NO_MEMORY;
    }
    *out = f;
    return LODE_OK;
}

static lode_status io_read_all(lode_tensor_file *f, const uint8_t *bytes, size_t n) {
    LODE_TRY(io_read_header(f, bytes, n));
    LODE_TRY(io_read_entries(f));
    return io_check_metadata(f);
}

lode_status lode_tensors_open_bytes(const void *bytes, size_t n, const char *name,
                                    lode_tensor_file **out) {
    lode_tensor_file *f = NULL;
    *out = NULL;
    LODE_TRY(io_new(name, &f));
    lode_status status = io_read_all(f, bytes, n);
    if (status != LODE_OK) {
        lode_tensors_close(f);
        return status;
    }
    *out = f;
    return LODE_OK;
}

lode_status lode_tensors_open(const char *path, lode_tensor_file **out) {
    lode_tensor_file *f = NULL;
    lode_status status;
    *out = NULL;
    LODE_TRY(io_new(path, &f));
    LODE_GOTO(lode_map_file(path, &f->mapping));
    LODE_GOTO(io_read_all(f, f->mapping.bytes, f->mapping.n));
    *out = f;
    f = NULL;
done:
    lode_tensors_close(f);
    return status;
}

void lode_tensors_close(lode_tensor_file *f) {
    if (f == NULL) return;
    json_decref(f->header);
    lode_free(f->entry);
    lode_free(f->by_name);
    lode_unmap_file(&f->mapping);
    lode_free(f->name);
    lode_free(f);
}

/* ---- asking ---- */
int64_t lode_tensors_n(const lode_tensor_file *f) { return f->n; }
const char *lode_tensors_name(const lode_tensor_file *f, int64_t i) {
    return i >= 0 && i < f->n ? f->entry[i].name : NULL;
}
const char *lode_tensors_metadata(const lode_tensor_file *f, const char *key) {
    return json_string_value(json_object_get(json_object_get(f->header, "__metadata__"), key));
}

static lode_status io_not_found(const lode_tensor_file *f, const char *name) {
    const char *nearest = NULL;
    const char **names = LODE_NEW_ARRAY(const char *, f->n);
    if (names != NULL) {
        for (int64_t i = 0; i < f->n; i++) names[i] = f->entry[i].name;
        nearest = lode_nearest_word(name, names, (int)f->n);
    }
    lode_status status = LODE_FAIL(LODE_ERR_NOT_FOUND, "%s: has no tensor \"%.80s\"%s%.80s%s",
                                   f->name, name, nearest != NULL ? "; the nearest is \"" : "",
                                   nearest != NULL ? nearest : "", nearest != NULL ? "\"" : "");
    lode_free((void *)(uintptr_t)names);
    return status;
}

static const io_entry *io_find(const lode_tensor_file *f, const char *name) {
    return f->n > 0 ? bsearch(&(io_entry){.name = name}, f->by_name, (size_t)f->n,
                              sizeof *f->by_name, io_by_name)
                    : NULL;
}

/* Elements in the file may stand anywhere: lode_tensor_copy reads them without alignment. */
static lode_status io_load(const lode_tensor_file *f, const io_entry *e, lode_tensor *dst) {
    lode_tensor *stored = NULL;
    LODE_TRY(lode_tensor_wrap((void *)(uintptr_t)(f->data + e->begin), e->dtype, &e->shape,
                              &stored)); /* only read */
    lode_status status = lode_tensor_copy(dst, stored);
    lode_tensor_release(stored);
    return status;
}

lode_status lode_tensors_get(lode_tensor_file *f, const char *name, lode_tensor **out) {
    *out = NULL;
    const io_entry *e = io_find(f, name);
    if (e == NULL) return io_not_found(f, name);
    LODE_TRY(lode_tensor_create(NULL, e->dtype, &e->shape, LODE_CONTIGUOUS, out));
    lode_status status = io_load(f, e, *out);
    if (status != LODE_OK) {
        lode_tensor_release(*out);
        *out = NULL;
    }
    return status;
}

lode_status lode_tensors_load_into(lode_tensor_file *f, const char *name, lode_tensor *dst) {
    const io_entry *e = io_find(f, name);
    if (e == NULL) return io_not_found(f, name);
    if (!lode_shape_equal(&e->shape, &dst->shape)) {
        char a[128], b[128];
        return LODE_FAIL(LODE_ERR_SHAPE, "%s: tensor \"%.80s\" is %s, wanted is %s", f->name, name,
                         lode_shape_print(&e->shape, a), lode_shape_print(&dst->shape, b));
    }
    return io_load(f, e, dst);
}
