/* space.c: a space's life: finding its text, compiling it, answering for its decisions. */
#include "core/platform.h"
#include "lode_build.h"
#include "supernet/space_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const lode_option space_rows[] = {
    {"name", LODE_OPT_STRING, offsetof(lode_space_options, name), NULL, 0, 0, NULL,
     "a shipped space or the path of a YAML file"},
    {"classes", LODE_OPT_INT, offsetof(lode_space_options, classes), "0", 0, 1 << 20, NULL,
     "outputs of the classifier, 0: as the data or the space says"},
    {"channels", LODE_OPT_INT, offsetof(lode_space_options, channels), "0", 0, 4096, NULL,
     "channels of the input image, 0: as the data or the space says"},
    {"size", LODE_OPT_INT, offsetof(lode_space_options, size), "0", 0, 8192, "pixels",
     "side of the input image, 0: as the data or the space says"},
    {"width", LODE_OPT_F64, offsetof(lode_space_options, width), "0", 0, 64, NULL,
     "multiplies the channels of all layers, made divisible by 8; 0: as they are"},
    {"repeats", LODE_OPT_INT, offsetof(lode_space_options, repeats), "0", 0, 256, NULL,
     "cells per stage, in spaces of cells; 0: as the space says"},
    {"cell_channels", LODE_OPT_INT, offsetof(lode_space_options, cell_channels), "0", 0, 4096, NULL,
     "channels of the first cell, in spaces of cells; all others follow; 0: as the space says"},
    {"partial", LODE_OPT_INT, offsetof(lode_space_options, partial), "0", 0, 64, NULL,
     "supernets of cells: one channel of so many goes through an edge's options (PC-DARTS); 0: "
     "all"},
};
const lode_option_table lode_space_option_table = {"space", space_rows,
                                                   sizeof space_rows / sizeof space_rows[0]};

/* ---- life ---- */
static void space_destroy(lode_space *s) {
    if (s == NULL) return;
    for (int64_t i = 0; i < s->n_owned; i++) lode_free(s->owned[i]);
    lode_free(s->owned);
    lode_free(s->layer);
    lode_free(s->decision);
    lode_free(s->group);
    lode_free(s->canonical_of);
    lode_yaml_destroy(s->root);
    lode_free(s->text);
    lode_free(s);
}

lode_space *lode_space_retain(lode_space *s) {
    if (s != NULL) atomic_fetch_add(&s->refs, 1);
    return s;
}

void lode_space_release(lode_space *s) {
    if (s != NULL && atomic_fetch_sub(&s->refs, 1) == 1) space_destroy(s);
}

void *space_own(lode_space *s, void *p) {
    if (p == NULL) return NULL;
    if (lode_grow((void **)&s->owned, &s->owned_capacity, s->n_owned + 1, sizeof *s->owned) !=
        LODE_OK) {
        lode_free(p);
        return NULL;
    }
    s->owned[s->n_owned++] = p;
    return p;
}

lode_status space_add_decision(lode_space *s, const char *name, int *index) {
    if (s->n_decisions == LODE_MAX_DECISIONS)
        return LODE_FAIL(LODE_ERR_CONFIG, "a space has at most %d decisions", LODE_MAX_DECISIONS);
    LODE_TRY(lode_grow((void **)&s->decision, &s->decision_capacity, s->n_decisions + 1,
                       sizeof *s->decision));
    *index = (int)s->n_decisions;
    s->decision[s->n_decisions++] = (lode_decision){.name = name, .parent = -1};
    return LODE_OK;
}

bool space_op_equal(const space_op *a, const space_op *b) {
    bool same = a->kind == b->kind && memcmp(a->params, b->params, a->kind->params_size) == 0;
    for (int i = 0; i < LODE_N_SIZES; i++) same = same && space_size_same(&a->size[i], &b->size[i]);
    return same;
}

/* ---- compiling ---- */
/* `size: {choices: [16, 24, 32]}`; space.size is the new largest, the others follow. */
static lode_status space_read_side(lode_space *s, lode_yaml *node, int64_t *largest) {
    LODE_TRY(space_read_size(s, node, 1, 8192, true, &s->side));
    double *value = space_own(s, LODE_NEW_ARRAY(double, s->side.n));
    if (value == NULL) return LODE_ERR_NO_MEMORY;
    *largest = (int64_t)space_size_largest(&s->side);
    const double scale = s->resolved.size > 0 ? (double)s->resolved.size / (double)*largest : 1;
    for (int k = 0; k < s->side.n; k++) {
        value[k] = floor(s->side.value[k] * scale + 0.5);
        if (value[k] < 1 || (k > 0 && !(value[k] > value[k - 1])))
            return lode_yaml_fail(node, "space.size %lld leaves no room for %d choices",
                                  (long long)s->resolved.size, s->side.n);
    }
    s->side.value = value;
    const lode_decision like = {
        .name = lode_strdup(SPACE_INPUT_BLOCK), .kind = LODE_DECISION_RESOLUTION, .parent = -1};
    return space_add_size(s, node, like, &s->side);
}

static lode_status space_read_input(lode_space *s) {
    lode_space_options *r = &s->resolved;
    lode_yaml *input = lode_yaml_get(s->root, "input");
    if (input == NULL || input->kind != LODE_YAML_MAP)
        return LODE_FAIL(LODE_ERR_CONFIG, "%s: a space has `input: {channels: ..., size: ...}`",
                         lode_yaml_name(s->root));
    int64_t channels, size, classes;
    LODE_TRY(lode_yaml_int(input, "channels", 3, 1, 4096, &channels));
    lode_yaml *side = lode_yaml_get(input, "size");
    LODE_TRY(side != NULL && side->kind == LODE_YAML_MAP
                 ? space_read_side(s, side, &size)
                 : lode_yaml_int(input, "size", 32, 1, 8192, &size));
    LODE_TRY(lode_yaml_int(s->root, "classes", 10, 1, 1 << 20, &classes));
    if (r->channels == 0) r->channels = channels;
    if (r->size == 0) r->size = size;
    if (r->classes == 0) r->classes = classes;
    if (r->width == 0) r->width = 1;
    return LODE_OK;
}

static lode_status space_read_settings(lode_space *s) {
    lode_yaml *bn = lode_yaml_get(s->root, "bn");
    lode_yaml *init = lode_yaml_get(s->root, "init");
    s->bn_eps = 1e-5;
    s->bn_momentum = 0.1;
    s->bn_affine = true;
    s->linear_std = 0.01;
    if (bn != NULL && bn->kind != LODE_YAML_MAP)
        return lode_yaml_fail(bn, "should be a section: {eps: ..., momentum: ..., affine: ...}");
    if (init != NULL && init->kind != LODE_YAML_MAP)
        return lode_yaml_fail(init, "should be a section: {conv: ..., linear_std: ...}");
    if (bn != NULL) {
        LODE_TRY(lode_yaml_f64(bn, "eps", s->bn_eps, 1e-12, 1, &s->bn_eps));
        LODE_TRY(lode_yaml_f64(bn, "momentum", s->bn_momentum, 0, 1, &s->bn_momentum));
        LODE_TRY(lode_yaml_bool(bn, "affine", s->bn_affine, &s->bn_affine));
    }
    if (init != NULL) {
        LODE_TRY(
            space_read_word(init, "conv", "fan_out|fan_in|uniform", SPACE_FAN_OUT, &s->conv_init));
        LODE_TRY(lode_yaml_f64(init, "linear_std", s->linear_std, 0, 10, &s->linear_std));
    }
    LODE_TRY(space_read_word(s->root, "code", "text|digits|cell", SPACE_CODE_TEXT, &s->code));
    return space_read_word(s->root, "canonical", "plain|skips_last|cell", SPACE_CANONICAL_PLAIN,
                           &s->canonical);
}

/* What `code` and `canonical` promise must hold in this space. */
static lode_status space_check_promises(const lode_space *s) {
    const char *file = lode_yaml_name(s->root);
    for (int64_t i = 0; i < s->n_decisions && s->code == SPACE_CODE_DIGITS; i++)
        if (s->decision[i].n_options > 10)
            return LODE_FAIL(LODE_ERR_CONFIG, "%s: code: digits, but `%s` has %d options", file,
                             s->decision[i].name, s->decision[i].n_options);
    bool one_cell = s->n_cells == 1 && s->cell[0].n_inputs == 1 && !s->cell[0].concat &&
                    s->n_decisions == s->cell[0].n_edges;
    if (!one_cell && (s->code == SPACE_CODE_CELL || s->canonical == SPACE_CANONICAL_CELL))
        return LODE_FAIL(LODE_ERR_CONFIG,
                         "%s: `code: cell` and `canonical: cell` are for spaces of one cell with "
                         "one input and `output: last`",
                         file);
    return LODE_OK;
}

static lode_status space_compile(lode_space *s, const char *file) {
    LODE_TRY(lode_yaml_parse(s->text, file, &s->root));
    if (s->root->kind != LODE_YAML_MAP)
        return LODE_FAIL(LODE_ERR_CONFIG, "%s: a space is a map of keys (docs/spaces.md)", file);
    LODE_TRY(lode_yaml_string(s->root, "name", NULL, &s->name));
    LODE_TRY(lode_yaml_string(s->root, "about", "", &s->about));
    if (s->name == NULL) return LODE_FAIL(LODE_ERR_CONFIG, "%s: key `name` is missing", file);
    s->resolved.name = s->name;
    LODE_TRY(space_read_input(s));
    LODE_TRY(space_read_settings(s));
    LODE_TRY(space_read_sets(s, s->root));
    LODE_TRY(space_read_cells(s, s->root));
    LODE_TRY(space_read_layers(s, s->root));
    LODE_TRY(space_read_hardware(s, s->root));
    LODE_TRY(lode_yaml_check_used(s->root, NULL));
    LODE_TRY(space_check_promises(s));
    return s->canonical == SPACE_CANONICAL_CELL ? space_list_canonical(s) : LODE_OK;
}

lode_status lode_space_parse(const char *text, const char *name, const lode_space_options *options,
                             lode_space **out) {
    *out = NULL;
    lode_space *s = LODE_NEW(lode_space);
    if (s == NULL) return LODE_ERR_NO_MEMORY;
    atomic_init(&s->refs, 1);
    if (options != NULL) s->resolved = *options;
    s->text = lode_strdup(text);
    lode_status status = s->text != NULL ? space_compile(s, name) : LODE_ERR_NO_MEMORY;
    if (status == LODE_OK)
        *out = s;
    else
        space_destroy(s);
    return status;
}

/* ---- finding ---- */
/* The directories searched, in order; NULL after the last. */
static char *space_directory(int i) {
    const char *own = getenv("LODE_SPACES");
    if (i == 0 && own != NULL && own[0] != '\0') return lode_strdup(own);
    if (own == NULL || own[0] == '\0') i++;
    if (i == 1) return lode_path_join(LODE_SOURCE_DIR, "spaces");
    return i == 2 ? lode_path_join(LODE_DATA_DIR, "spaces") : NULL;
}

static bool space_is_path(const char *name) {
    size_t n = strlen(name);
    return strchr(name, '/') != NULL || (n > 5 && strcmp(name + n - 5, ".yaml") == 0);
}

static lode_status space_not_found(const char *name) {
    char **names;
    int64_t n;
    lode_text list = {0};
    LODE_TRY(lode_space_names(&names, &n));
    const char *near = lode_nearest_word(name, (const char *const *)names, (int)n);
    for (int64_t i = 0; i < n; i++) lode_text_add(&list, "%s%s", i > 0 ? ", " : "", names[i]);
    if (near != NULL)
        (void)LODE_FAIL(LODE_ERR_NOT_FOUND, "no space is called `%s`; did you mean `%s`?", name,
                        near);
    else
        (void)LODE_FAIL(LODE_ERR_NOT_FOUND, "no space is called `%s`; there are %s, or give a path",
                        name, list.s != NULL ? list.s : "none");
    lode_text_deinit(&list);
    lode_names_free(names, n);
    return LODE_ERR_NOT_FOUND;
}

/* Path of the text of a space. */
static lode_status space_find(const char *name, char **out) {
    if (space_is_path(name)) {
        *out = lode_strdup(name);
        return *out != NULL ? LODE_OK : LODE_ERR_NO_MEMORY;
    }
    char *directory;
    for (int i = 0; (directory = space_directory(i)) != NULL; i++) {
        char *path = lode_format("%s/%s.yaml", directory, name);
        lode_free(directory);
        if (path == NULL) return LODE_ERR_NO_MEMORY;
        if (lode_file_exists(path)) {
            *out = path;
            return LODE_OK;
        }
        lode_free(path);
    }
    return space_not_found(name);
}

lode_status lode_space_load(const lode_space_options *options, lode_space **out) {
    *out = NULL;
    if (options == NULL || options->name == NULL)
        return LODE_FAIL(LODE_ERR_INVALID, "no space given; say which with space.name");
    char *path = NULL;
    void *text = NULL;
    size_t n;
    lode_status status;
    LODE_GOTO(space_find(options->name, &path));
    LODE_GOTO(lode_file_read(path, &text, &n));
    LODE_GOTO(lode_space_parse(text, path, options, out));
done:
    lode_free(text);
    lode_free(path);
    return status;
}

static int space_compare_names(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Adds the spaces of one directory that are not in the list yet. */
static lode_status space_list_directory(const char *directory, char ***names, int64_t *n,
                                        int64_t *capacity) {
    char **files;
    int64_t n_files;
    if (!lode_is_directory(directory)) return LODE_OK;
    LODE_TRY(lode_list_directory(directory, &files, &n_files));
    lode_status status = LODE_OK;
    for (int64_t i = 0; i < n_files; i++) {
        size_t length = strlen(files[i]);
        if (length <= 5 || strcmp(files[i] + length - 5, ".yaml") != 0) continue;
        files[i][length - 5] = '\0';
        bool known = false;
        for (int64_t k = 0; k < *n; k++) known = known || strcmp((*names)[k], files[i]) == 0;
        if (known) continue;
        LODE_GOTO(lode_grow((void **)names, capacity, *n + 1, sizeof **names));
        char *copy = lode_strdup(files[i]);
        if (copy == NULL) LODE_GOTO(LODE_ERR_NO_MEMORY);
        (*names)[(*n)++] = copy;
    }
done:
    lode_names_free(files, n_files);
    return status;
}

lode_status lode_space_names(char ***names, int64_t *n) {
    char **list = NULL, *directory;
    int64_t count = 0, capacity = 0;
    lode_status status = LODE_OK;
    *names = NULL;
    *n = 0;
    for (int i = 0; status == LODE_OK && (directory = space_directory(i)) != NULL; i++) {
        status = space_list_directory(directory, &list, &count, &capacity);
        lode_free(directory);
    }
    if (status != LODE_OK) {
        lode_names_free(list, count);
        return status;
    }
    if (count > 1) qsort(list, (size_t)count, sizeof *list, space_compare_names);
    *names = list;
    *n = count;
    return LODE_OK;
}

/* ---- answers ---- */
const char *lode_space_name(const lode_space *s) { return s->name; }
const char *lode_space_about(const lode_space *s) { return s->about; }
const char *lode_space_text(const lode_space *s) { return s->text; }
lode_space_options lode_space_resolved(const lode_space *s) { return s->resolved; }
int lode_space_n_decisions(const lode_space *s) { return (int)s->n_decisions; }

const lode_decision *lode_space_decision(const lode_space *s, int i) {
    return i >= 0 && i < s->n_decisions ? &s->decision[i] : NULL;
}

int lode_space_find_decision(const lode_space *s, const char *name) {
    for (int i = 0; i < s->n_decisions; i++)
        if (strcmp(s->decision[i].name, name) == 0) return i;
    return -1;
}

int lode_space_find_option(const lode_space *s, int decision, const char *name) {
    const lode_decision *d = lode_space_decision(s, decision);
    for (int k = 0; d != NULL && k < d->n_options; k++)
        if (strcmp(d->option[k], name) == 0) return k;
    return -1;
}
