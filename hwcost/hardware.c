/* hardware.c: finds device files, reads what all of them have, and hands the rest to their kind. */
#include "hwcost/hardware.h"

#include "core/memory.h"
#include "core/platform.h"
#include "lode_build.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HARDWARE_KIND(name) extern const lode_hardware_kind lode_hardware_##name;
#include "hwcost/hardware_kinds.def"
#undef HARDWARE_KIND

static const lode_hardware_kind *const hardware_kinds[] = {
#define HARDWARE_KIND(name) &lode_hardware_##name,
#include "hwcost/hardware_kinds.def"
#undef HARDWARE_KIND
};
#define HARDWARE_N_KINDS ((int)(sizeof hardware_kinds / sizeof *hardware_kinds))

int lode_n_hardware_kinds(void) { return HARDWARE_N_KINDS; }

const lode_hardware_kind *lode_hardware_kind_at(int i) {
    return i >= 0 && i < HARDWARE_N_KINDS ? hardware_kinds[i] : NULL;
}

const lode_hardware_kind *lode_hardware_kind_find(const char *name) {
    for (int i = 0; i < HARDWARE_N_KINDS; i++)
        if (strcmp(hardware_kinds[i]->name, name) == 0) return hardware_kinds[i];
    return NULL;
}

static const char *const hardware_dtypes[] = {"f32", "f16", "bf16", "int8"};

const char *lode_hardware_dtype_name(lode_hardware_dtype t) { return hardware_dtypes[t]; }

double lode_hardware_dtype_bytes(lode_hardware_dtype t) {
    static const double bytes[] = {4, 2, 2, 1};
    return bytes[t];
}

/* ---- finding ---- */

/* The directories searched, in order; NULL after the last. */
static char *hardware_directory(int i) {
    const char *own = getenv("LODE_DEVICES");
    if (i == 0 && own && own[0] != '\0') return lode_strdup(own);
    if (!own || own[0] == '\0') i++;
    if (i == 1) return lode_path_join(LODE_SOURCE_DIR, "devices");
    return i == 2 ? lode_path_join(LODE_DATA_DIR, "devices") : NULL;
}

static bool hardware_ends_in(const char *s, const char *end) {
    size_t n = strlen(s), m = strlen(end);
    return n > m && strcmp(s + n - m, end) == 0;
}

static bool hardware_is_path(const char *name) {
    return strchr(name, '/') != NULL || hardware_ends_in(name, ".yaml");
}

/* Where ":DTYPE" begins, or NULL. */
static const char *hardware_find_dtype(const char *file) {
    const char *colon = strrchr(file, ':');
    return colon && !strchr(colon, '/') && !strchr(colon, '.') ? colon : NULL;
}

bool lode_hardware_is_file(const char *argument) {
    const char *colon = hardware_find_dtype(argument);
    size_t n = colon ? (size_t)(colon - argument) : strlen(argument);
    if (n > 5 && strncmp(argument + n - 5, ".yaml", 5) == 0) return true;
    if (memchr(argument, '/', n) || memchr(argument, '.', n)) return false;
    return !lode_file_exists(argument); /* a file here goes before a device of that name */
}

static lode_status hardware_not_found(const char *name) {
    char **names = NULL;
    int64_t n = 0;
    lode_text list = {0};
    LODE_TRY(lode_hardware_names(&names, &n));
    const char *near = lode_nearest_word(name, (const char *const *)names, (int)n);
    for (int64_t i = 0; i < n; i++) lode_text_add(&list, "%s%s", i > 0 ? ", " : "", names[i]);
    if (near)
        (void)LODE_FAIL(LODE_ERR_NOT_FOUND, "no device is called `%s`; did you mean `%s`?", name,
                        near);
    else
        (void)LODE_FAIL(LODE_ERR_NOT_FOUND,
                        "no device is called `%s`; there are %s, or give a path", name,
                        list.s ? list.s : "none");
    lode_text_deinit(&list);
    lode_names_free(names, n);
    return LODE_ERR_NOT_FOUND;
}

static lode_status hardware_find(const char *name, char **out) {
    char *directory;
    if (hardware_is_path(name)) {
        *out = lode_strdup(name);
        return *out ? LODE_OK : LODE_ERR_NO_MEMORY;
    }
    for (int i = 0; (directory = hardware_directory(i)) != NULL; i++) {
        *out = lode_format("%s/%s.yaml", directory, name);
        lode_free(directory);
        if (!*out) return LODE_ERR_NO_MEMORY;
        if (lode_file_exists(*out)) return LODE_OK;
        lode_free(*out);
        *out = NULL;
    }
    return hardware_not_found(name);
}

static int hardware_compare_names(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Adds the devices of one directory that are not in the list yet. */
static lode_status hardware_list_directory(const char *directory, char ***names, int64_t *n,
                                           int64_t *capacity) {
    char **files = NULL;
    int64_t n_files = 0;
    lode_status status = LODE_OK;
    if (!lode_is_directory(directory)) return LODE_OK;
    LODE_TRY(lode_list_directory(directory, &files, &n_files));
    for (int64_t i = 0; i < n_files; i++) {
        if (!hardware_ends_in(files[i], ".yaml")) continue;
        files[i][strlen(files[i]) - 5] = '\0';
        bool known = false;
        for (int64_t k = 0; k < *n; k++) known = known || strcmp((*names)[k], files[i]) == 0;
        if (known) continue;
        LODE_GOTO(lode_grow((void **)names, capacity, *n + 1, sizeof **names));
        char *copy = lode_strdup(files[i]);
        LODE_GOTO(copy ? LODE_OK : LODE_ERR_NO_MEMORY);
        (*names)[(*n)++] = copy;
    }
done:
    lode_names_free(files, n_files);
    return status;
}

lode_status lode_hardware_names(char ***names, int64_t *n) {
    int64_t capacity = 0;
    char *directory;
    *names = NULL;
    *n = 0;
    for (int i = 0; (directory = hardware_directory(i)) != NULL; i++) {
        lode_status status = hardware_list_directory(directory, names, n, &capacity);
        lode_free(directory);
        if (status != LODE_OK) {
            lode_names_free(*names, *n);
            *names = NULL;
            *n = 0;
            return status;
        }
    }
    if (*n > 1) qsort(*names, (size_t)*n, sizeof **names, hardware_compare_names);
    return LODE_OK;
}

/* ---- reading ---- */

static lode_status hardware_read_dtype(lode_yaml *root, const char *given,
                                       lode_hardware_dtype *out) {
    const char *text = NULL;
    LODE_TRY(lode_yaml_string(root, "dtype", "f32", &text));
    if (given) text = given;
    for (int i = 0; i < LODE_N_HARDWARE_DTYPES; i++)
        if (strcmp(text, hardware_dtypes[i]) == 0) {
            *out = (lode_hardware_dtype)i;
            return LODE_OK;
        }
    return LODE_FAIL(LODE_ERR_CONFIG, "%s: dtype is `%s`, want one of %s", lode_yaml_name(root),
                     text, LODE_HARDWARE_DTYPE_WORDS);
}

static lode_status hardware_read_kind(lode_yaml *root, const lode_hardware_kind **out) {
    const char *text = NULL, *names[HARDWARE_N_KINDS];
    LODE_TRY(lode_yaml_string(root, "kind", NULL, &text));
    for (int i = 0; i < HARDWARE_N_KINDS; i++) names[i] = hardware_kinds[i]->name;
    if (!text) return LODE_FAIL(LODE_ERR_CONFIG, "%s: key `kind` is missing", lode_yaml_name(root));
    *out = lode_hardware_kind_find(text);
    if (*out) return LODE_OK;
    const char *near = lode_nearest_word(text, names, HARDWARE_N_KINDS);
    return LODE_FAIL(LODE_ERR_CONFIG, "%s: no kind of device is called `%s`%s%s",
                     lode_yaml_name(root), text, near ? "; nearest is " : "", near ? near : "");
}

static lode_status hardware_read(lode_yaml *root, const char *dtype, lode_hardware *h) {
    const char *name = NULL, *about = NULL;
    if (root->kind != LODE_YAML_MAP)
        return LODE_FAIL(LODE_ERR_CONFIG, "%s: a device file is a map", lode_yaml_name(root));
    LODE_TRY(lode_yaml_string(root, "name", NULL, &name));
    LODE_TRY(lode_yaml_string(root, "about", "", &about));
    if (!name) return LODE_FAIL(LODE_ERR_CONFIG, "%s: key `name` is missing", lode_yaml_name(root));
    snprintf(h->name, sizeof h->name, "%s", name);
    snprintf(h->about, sizeof h->about, "%s", about);
    LODE_TRY(hardware_read_kind(root, &h->kind));
    LODE_TRY(hardware_read_dtype(root, dtype, &h->dtype));
    LODE_TRY(h->kind->load(root, h->dtype, &h->self));
    return lode_yaml_check_used(root, NULL);
}

/* The key of a map, or the item of a list by its number, that a path begins with. */
static lode_yaml *hardware_step(lode_yaml *node, const char *key, size_t n) {
    char word[64], *end = NULL;
    if (n == 0 || n >= sizeof word) return NULL;
    memcpy(word, key, n);
    word[n] = '\0';
    if (node->kind == LODE_YAML_MAP) return lode_yaml_get(node, word);
    long i = strtol(word, &end, 10);
    return node->kind == LODE_YAML_LIST && *end == '\0' && i >= 0 && i < node->n ? node->item[i]
                                                                                 : NULL;
}

/* The value of "rows", of "tile.m" in the map `tile`, of "parts.0.rows" in the first of a list. */
static lode_status hardware_set(lode_yaml *root, const lode_hardware_setting *s) {
    lode_yaml *node = root;
    for (const char *at = s->key; node && at;) {
        size_t n = strcspn(at, ".");
        node = hardware_step(node, at, n);
        at = at[n] == '.' ? at + n + 1 : NULL;
    }
    if (!node || node->kind != LODE_YAML_SCALAR)
        return LODE_FAIL(LODE_ERR_CONFIG,
                         "%s: the space decides `%s`, which must be a key of this file with one "
                         "value",
                         lode_yaml_name(root), s->key);
    return lode_yaml_set_scalar(node, s->value);
}

static lode_status hardware_parse(const char *text, const char *name, const char *dtype,
                                  const lode_hardware_setting *setting, int n,
                                  lode_hardware **out) {
    lode_yaml *root = NULL;
    lode_status status = LODE_OK;
    lode_hardware *h = NULL;
    *out = NULL;
    LODE_GOTO(lode_yaml_parse(text, name, &root));
    for (int i = 0; i < n; i++) LODE_GOTO(hardware_set(root, &setting[i]));
    h = LODE_NEW(lode_hardware);
    LODE_GOTO(h ? LODE_OK : LODE_ERR_NO_MEMORY);
    LODE_GOTO(hardware_read(root, dtype, h));
    *out = h;
    h = NULL;
done:
    lode_hardware_close(h);
    lode_yaml_destroy(root);
    return status;
}

lode_status lode_hardware_parse(const char *text, const char *name, const char *dtype,
                                lode_hardware **out) {
    return hardware_parse(text, name, dtype, NULL, 0, out);
}

lode_status lode_hardware_open_with(const char *file, const lode_hardware_setting *setting, int n,
                                    lode_hardware **out) {
    const char *colon = hardware_find_dtype(file);
    char *name = lode_strndup(file, colon ? (size_t)(colon - file) : strlen(file)), *path = NULL;
    void *text = NULL;
    size_t size = 0;
    lode_status status = name ? LODE_OK : LODE_ERR_NO_MEMORY;
    *out = NULL;
    LODE_GOTO(status);
    LODE_GOTO(hardware_find(name, &path));
    LODE_GOTO(lode_file_read(path, &text, &size));
    LODE_GOTO(hardware_parse(text, path, colon ? colon + 1 : NULL, setting, n, out));
done:
    lode_free(text);
    lode_free(path);
    lode_free(name);
    return status;
}

lode_status lode_hardware_open(const char *file, lode_hardware **out) {
    return lode_hardware_open_with(file, NULL, 0, out);
}

void lode_hardware_close(lode_hardware *h) {
    if (!h) return;
    if (h->self) h->kind->close(h->self);
    lode_free(h);
}

const lode_cost_model *lode_hardware_find_quantity(const lode_hardware *h, const char *quantity) {
    lode_text list = {0};
    for (int i = 0; i < h->kind->n_quantities; i++)
        if (strcmp(h->kind->quantity[i]->name, quantity) == 0)
            return h->kind->as_set ? h->kind->as_set(h->self, h->kind->quantity[i])
                                   : h->kind->quantity[i];
    for (int i = 0; i < h->kind->n_quantities; i++)
        lode_text_add(&list, "%s%s", i > 0 ? ", " : "", h->kind->quantity[i]->name);
    (void)LODE_FAIL(LODE_ERR_CONFIG, "device %s (%s) has no %s; it has %s", h->name, h->kind->name,
                    quantity, list.s ? list.s : "none");
    lode_text_deinit(&list);
    return NULL;
}
