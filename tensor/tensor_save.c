/* tensor_save.c: writing files of named tensors.

   The header holds the checksum of the data and stands before it, so it is made twice: once with a
   checksum of eight zeros, which tells where the data begins, and again when the data is there. */
#include "core/json.h"
#include "core/memory.h"
#include "core/platform.h"
#include "tensor/tensor_io.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

typedef struct save_plan {
    const lode_named_tensor *items;
    int64_t n;
    int64_t *order; /* [n] item at each place of the file */
    int64_t bytes;  /* of all tensors */
} save_plan;

/* Larger elements first, else as given. */
static lode_status save_plan_make(save_plan *p) {
    static const size_t sizes[] = {8, 4, 2, 1};
    int64_t at = 0;
    p->order = lode_alloc((size_t)p->n, sizeof *p->order);
    if (p->order == NULL) return LODE_ERR_NO_MEMORY;
    for (int s = 0; s < 4; s++)
        for (int64_t i = 0; i < p->n; i++)
            if (lode_dtype_size(p->items[i].tensor->dtype) == sizes[s]) p->order[at++] = i;
    for (int64_t i = 0; i < p->n; i++) p->bytes += (int64_t)lode_tensor_bytes(p->items[i].tensor);
    return LODE_OK;
}

/* Sets a fresh value; a name that is there already or no UTF-8 is an error. */
static lode_status save_set(json_t *o, const char *name, json_t *value) {
    bool again = json_object_get(o, name) != NULL;
    if (!again && value != NULL && json_object_set(o, name, value) == 0) {
        json_decref(value);
        return LODE_OK;
    }
    json_decref(value);
    return LODE_FAIL(LODE_ERR_INVALID, "cannot save \"%.80s\": %s", name,
                     again ? "the name is there twice" : "no UTF-8 text, or no memory");
}

static lode_status save_add_metadata(json_t *header, const char *const *pairs, uint32_t crc) {
    char text[16];
    json_t *all = json_object();
    snprintf(text, sizeof text, "%08" PRIx32, crc);
    lode_status status = save_set(all, "crc32", json_string(text));
    for (; status == LODE_OK && pairs != NULL && *pairs != NULL; pairs += 2)
        status = save_set(all, pairs[0], json_string(pairs[1]));
    if (status == LODE_OK) return save_set(header, "__metadata__", all);
    json_decref(all);
    return status;
}

static lode_status save_add_tensor(json_t *header, const lode_named_tensor *item, int64_t begin) {
    const lode_tensor *t = item->tensor;
    json_t *shape = json_array();
    for (int i = 0; i < t->shape.n_dims; i++)
        json_array_append_new(shape, json_integer((json_int_t)t->shape.dim[i]));
    json_int_t end = (json_int_t)begin + (json_int_t)lode_tensor_bytes(t);
    json_t *entry = json_pack("{s:s, s:o, s:[I, I]}", "dtype", lode_dtype_safetensors(t->dtype),
                              "shape", shape, "data_offsets", (json_int_t)begin, end);
    return save_set(header, item->name, entry);
}

static int save_append(const char *bytes, size_t n, void *text) {
    lode_text_add_bytes(text, bytes, n);
    return lode_text_status(text) == LODE_OK ? 0 : -1;
}

/* The header's length and JSON, padded so that the data is aligned to 8. */
static lode_status save_header(const save_plan *p, const char *const *metadata, uint32_t crc,
                               lode_text *out) {
    json_t *header = json_object();
    lode_text text = {0};
    lode_status status;
    int64_t at = 0;
    LODE_GOTO(save_add_metadata(header, metadata, crc));
    for (int64_t i = 0; i < p->n; i++) {
        const lode_named_tensor *item = &p->items[p->order[i]];
        LODE_GOTO(save_add_tensor(header, item, at));
        at += (int64_t)lode_tensor_bytes(item->tensor);
    }
    if (json_dump_callback(header, save_append, &text, JSON_COMPACT) != 0) {
        status = LODE_FAIL(LODE_ERR_NO_MEMORY, "no memory for a header of %lld tensors",
                           (long long)p->n);
        goto done;
    }
    while (text.length % 8 != 0) lode_text_add_bytes(&text, " ", 1);
    char length[8];
    for (int i = 0; i < 8; i++) length[i] = (char)((uint64_t)text.length >> 8 * i & 0xff);
    lode_text_add_bytes(out, length, sizeof length);
    lode_text_add_bytes(out, text.s != NULL ? text.s : "", text.length);
    status = lode_text_status(&text) != LODE_OK ? lode_text_status(&text) : lode_text_status(out);
done:
    lode_text_deinit(&text);
    json_decref(header);
    return status;
}

static lode_status save_data(const save_plan *p, char *data) {
    for (int64_t i = 0; i < p->n; i++) {
        lode_tensor *t = p->items[p->order[i]].tensor, *place = NULL;
        LODE_TRY(lode_tensor_wrap(data, t->dtype, &t->shape, &place));
        lode_status status = lode_tensor_copy(place, t);
        lode_tensor_release(place);
        if (status != LODE_OK)
            return lode_error_context("cannot save \"%.80s\"", p->items[p->order[i]].name);
        data += lode_tensor_bytes(t);
    }
    return LODE_OK;
}

lode_status lode_tensors_save(const char *path, const lode_named_tensor *items, int64_t n,
                              const char *const *metadata) {
    save_plan plan = {.items = items, .n = n};
    lode_text header = {0}, final = {0};
    char *file = NULL;
    lode_status status;
    LODE_GOTO(save_plan_make(&plan));
    LODE_GOTO(save_header(&plan, metadata, 0, &header));
    size_t size = header.length + (size_t)plan.bytes;
    file = lode_alloc(size, 1);
    if (file == NULL) {
        status = LODE_ERR_NO_MEMORY;
        goto done;
    }
    LODE_GOTO(save_data(&plan, file + header.length));
    uint32_t crc = lode_crc32(0, file + header.length, (size_t)plan.bytes);
    LODE_GOTO(save_header(&plan, metadata, crc, &final));
    memcpy(file, final.s, header.length);
    status = lode_file_write_atomic(path, file, size);
done:
    lode_free(plan.order);
    lode_text_deinit(&header);
    lode_text_deinit(&final);
    lode_free(file);
    return status;
}
