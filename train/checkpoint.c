/* checkpoint.c: pairs of files, of which the manifest is the one that counts.

   The tensor file is written and synced first; the manifest, which holds its length and CRC, comes
   second. Dying before that leaves an orphan nobody looks at and the next save overwrites or
   removes; dying after it leaves a complete checkpoint. So there is no moment without one, and none
   in which half a checkpoint looks whole. */
#include "train/checkpoint.h"

#include "core/log.h"
#include "core/memory.h"
#include "core/platform.h"
#include "lode_build.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHECKPOINT_FORMAT = 1, CHECKPOINT_KEEP = 2, CHECKPOINT_DIGITS = 12 };
static const char *const checkpoint_word = "lode-checkpoint";

/* ---- the list ---- */
static lode_status state_take(lode_state *s, lode_tensor *tensor, char *name) {
    if (name == NULL) return LODE_ERR_NO_MEMORY;
    lode_status status = lode_grow((void **)&s->item, &s->capacity, s->n + 1, sizeof *s->item);
    if (status != LODE_OK) {
        lode_free(name);
        return status;
    }
    s->item[s->n++] = (lode_named_tensor){name, lode_tensor_retain(tensor)};
    return LODE_OK;
}

lode_status lode_state_add(lode_state *s, lode_tensor *tensor, const char *name_fmt, ...) {
    char small[1];
    va_list args, again;
    va_start(args, name_fmt);
    va_copy(again, args);
    int n = vsnprintf(small, sizeof small, name_fmt, args);
    va_end(args);
    char *name = n >= 0 ? lode_alloc((size_t)n + 1, 1) : NULL;
    if (name != NULL) vsnprintf(name, (size_t)n + 1, name_fmt, again);
    va_end(again);
    return state_take(s, tensor, name);
}

lode_status lode_state_add_numbers(lode_state *s, const char *name, const double *v, int n) {
    lode_tensor *t = NULL;
    LODE_TRY(lode_tensor_create(NULL, LODE_F64, &LODE_SHAPE1(n), LODE_CONTIGUOUS, &t));
    if (n > 0) memcpy(t->data, v, (size_t)n * sizeof *v);
    lode_status status = state_take(s, t, lode_strdup(name));
    lode_tensor_release(t);
    return status;
}

void lode_state_deinit(lode_state *s) {
    for (int64_t i = 0; i < s->n; i++) {
        lode_tensor_release(s->item[i].tensor);
        lode_free((void *)(uintptr_t)s->item[i].name); /* ours, made above */
    }
    lode_free(s->item);
    *s = (lode_state){0};
}

/* ---- names of files ---- */
static char *checkpoint_path(const char *directory, const char *phase, int64_t step,
                             const char *ending) {
    return lode_format("%s/%s-%0*" PRId64 ".%s", directory, phase, (int)CHECKPOINT_DIGITS, step,
                       ending);
}

/* The step of "<phase>-<digits>.<ending>", or -1. `ending` NULL: any. */
static int64_t checkpoint_step_of(const char *name, const char *phase, const char *ending) {
    size_t n = strlen(phase);
    if (strncmp(name, phase, n) != 0 || name[n] != '-') return -1;
    const char *digits = name + n + 1;
    if (strspn(digits, "0123456789") != CHECKPOINT_DIGITS || digits[CHECKPOINT_DIGITS] != '.')
        return -1;
    if (ending != NULL && strcmp(digits + CHECKPOINT_DIGITS + 1, ending) != 0) return -1;
    return strtoll(digits, NULL, 10);
}

static lode_status checkpoint_check_phase(const char *phase) {
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.";
    if (phase[0] == 0 || phase[strspn(phase, letters)] != 0)
        return LODE_FAIL(LODE_ERR_INVALID,
                         "checkpoint: a phase is named by letters, digits, `_` and `.`, seen `%s`",
                         phase);
    return LODE_OK;
}

/* Removes the files of `phase` below `before`; and those above `after`, which a run that started
   afresh must not leave to be found. */
static lode_status checkpoint_remove_outside(const char *directory, const char *phase,
                                             int64_t before, int64_t after) {
    char **names = NULL;
    int64_t n = 0;
    if (!lode_is_directory(directory)) return LODE_OK;
    LODE_TRY(lode_list_directory(directory, &names, &n));
    lode_status status = LODE_OK;
    /* Manifests sort before tensor files, so that what is half removed is no checkpoint. */
    for (int64_t i = 0; i < n && status == LODE_OK; i++) {
        int64_t step = checkpoint_step_of(names[i], phase, NULL);
        if (step < 0 || (step >= before && step <= after)) continue;
        char *path = lode_path_join(directory, names[i]);
        status = path != NULL ? lode_file_remove(path) : LODE_ERR_NO_MEMORY;
        lode_free(path);
    }
    lode_names_free(names, n);
    return status;
}

lode_status lode_checkpoint_remove(const char *directory, const char *phase) {
    return checkpoint_remove_outside(directory, phase, INT64_MAX, -1);
}

/* Steps of the manifests of `phase`, ascending; lode_free. */
static lode_status checkpoint_steps(const char *directory, const char *phase, int64_t **steps,
                                    int *n_steps) {
    char **names = NULL;
    int64_t n = 0;
    *steps = NULL;
    *n_steps = 0;
    if (!lode_is_directory(directory)) return LODE_OK;
    LODE_TRY(lode_list_directory(directory, &names, &n));
    lode_status status = LODE_ERR_NO_MEMORY;
    *steps = LODE_NEW_ARRAY(int64_t, n > 0 ? n : 1);
    if (*steps != NULL) {
        for (int64_t i = 0; i < n; i++) { /* sorted names: ascending steps */
            int64_t step = checkpoint_step_of(names[i], phase, "json");
            if (step >= 0) (*steps)[(*n_steps)++] = step;
        }
        status = LODE_OK;
    }
    lode_names_free(names, n);
    return status;
}

/* ---- writing ---- */
static lode_status checkpoint_sum(const char *path, int64_t *bytes, uint32_t *crc) {
    lode_mapping map = {0};
    LODE_TRY(lode_map_file(path, &map));
    *bytes = (int64_t)map.n;
    *crc = lode_crc32(0, map.bytes, map.n);
    lode_unmap_file(&map);
    return LODE_OK;
}

static json_t *checkpoint_manifest(const lode_checkpoint_info *info, const lode_state *state,
                                   int64_t bytes, uint32_t crc, const json_t *extra) {
    char seed[24];
    snprintf(seed, sizeof seed, "%" PRIu64, info->seed); /* JSON integers are signed */
    json_t *j =
        json_pack("{s:s, s:i, s:s, s:s, s:s, s:I, s:I, s:b, s:{s:I, s:I, s:I}}", "format",
                  checkpoint_word, "format_version", (int)CHECKPOINT_FORMAT, "lode", LODE_VERSION,
                  "phase", info->phase, "seed", seed, "epoch", (json_int_t)info->epoch, "step",
                  (json_int_t)info->step, "finished", (int)info->finished, "tensors", "n",
                  (json_int_t)state->n, "bytes", (json_int_t)bytes, "crc32", (json_int_t)crc);
    if (j != NULL && extra != NULL && json_object_set_new(j, "extra", json_deep_copy(extra)) != 0) {
        json_decref(j);
        j = NULL;
    }
    if (j == NULL) LODE_FAIL(LODE_ERR_NO_MEMORY, "checkpoint: no memory for the manifest");
    return j;
}

static lode_status checkpoint_write(const char *tensors, const char *manifest,
                                    const lode_checkpoint_info *info, const lode_state *state,
                                    const json_t *extra) {
    const char *metadata[] = {"format", checkpoint_word, "phase", info->phase, NULL};
    int64_t bytes = 0;
    uint32_t crc = 0;
    LODE_TRY(lode_file_remove(manifest)); /* the same step again: it no longer describes the file */
    LODE_TRY(lode_tensors_save(tensors, state->item, state->n, metadata));
    LODE_TRY(checkpoint_sum(tensors, &bytes, &crc));
    json_t *j = checkpoint_manifest(info, state, bytes, crc, extra);
    if (j == NULL) return LODE_ERR_NO_MEMORY;
    lode_status status = lode_json_write(manifest, j);
    json_decref(j);
    return status;
}

lode_status lode_checkpoint_save(const char *directory, const lode_checkpoint_info *info,
                                 const lode_state *state, const json_t *extra) {
    int64_t *steps = NULL, oldest = info->step;
    int n = 0;
    LODE_TRY(checkpoint_check_phase(info->phase));
    LODE_TRY(lode_make_directories(directory));
    char *tensors = checkpoint_path(directory, info->phase, info->step, "safetensors");
    char *manifest = checkpoint_path(directory, info->phase, info->step, "json");
    lode_status status = LODE_ERR_NO_MEMORY;
    if (tensors == NULL || manifest == NULL) goto done;
    LODE_GOTO(checkpoint_write(tensors, manifest, info, state, extra));
    LODE_GOTO(checkpoint_steps(directory, info->phase, &steps, &n));
    for (int i = n - 1, kept = 0; i >= 0 && kept < CHECKPOINT_KEEP; i--)
        if (steps[i] <= info->step) oldest = steps[i], kept++;
    status = checkpoint_remove_outside(directory, info->phase, oldest, info->step);
done:
    if (status != LODE_OK) lode_error_context("saving checkpoint %s", directory);
    lode_free(steps);
    lode_free(tensors);
    lode_free(manifest);
    return status;
}

/* ---- reading ---- */
struct lode_checkpoint {
    lode_checkpoint_info info;
    json_t *manifest;
    lode_tensor_file *tensors;
};

static lode_status checkpoint_read_info(const json_t *j, const char *path,
                                        lode_checkpoint_info *info) {
    const char *format = NULL, *phase = NULL, *seed = NULL;
    int64_t version = 0;
    LODE_TRY(lode_json_get_string(j, "format", path, &format));
    LODE_TRY(lode_json_get_int(j, "format_version", path, &version));
    if (strcmp(format, checkpoint_word) != 0 || version != CHECKPOINT_FORMAT)
        return LODE_FAIL(LODE_ERR_DATA,
                         "%s: format %s version %lld, this program reads %s version %d", path,
                         format, (long long)version, checkpoint_word, (int)CHECKPOINT_FORMAT);
    LODE_TRY(lode_json_get_string(j, "phase", path, &phase));
    LODE_TRY(lode_json_get_string(j, "seed", path, &seed));
    LODE_TRY(lode_json_get_int(j, "epoch", path, &info->epoch));
    LODE_TRY(lode_json_get_int(j, "step", path, &info->step));
    LODE_TRY(lode_json_get_bool(j, "finished", path, &info->finished));
    snprintf(info->phase, sizeof info->phase, "%s", phase);
    info->seed = strtoull(seed, NULL, 10);
    return LODE_OK;
}

static lode_status checkpoint_verify(const json_t *manifest, const char *manifest_path,
                                     const char *path) {
    const json_t *t = json_object_get(manifest, "tensors");
    int64_t bytes = 0, crc = 0, real_bytes = 0;
    uint32_t real_crc = 0;
    LODE_TRY(lode_json_get_int(t, "bytes", manifest_path, &bytes));
    LODE_TRY(lode_json_get_int(t, "crc32", manifest_path, &crc));
    LODE_TRY(checkpoint_sum(path, &real_bytes, &real_crc));
    if (bytes != real_bytes || crc != (int64_t)real_crc)
        return LODE_FAIL(
            LODE_ERR_DATA,
            "%s: %lld bytes with CRC %08llx, the manifest wants %lld bytes with %08llx", path,
            (long long)real_bytes, (unsigned long long)real_crc, (long long)bytes,
            (unsigned long long)crc);
    return LODE_OK;
}

static lode_status checkpoint_open_step(const char *directory, const char *phase, int64_t step,
                                        lode_checkpoint **out) {
    lode_status status = LODE_ERR_NO_MEMORY;
    char *tensors = checkpoint_path(directory, phase, step, "safetensors");
    char *manifest = checkpoint_path(directory, phase, step, "json");
    lode_checkpoint *c = LODE_NEW(lode_checkpoint);
    if (tensors == NULL || manifest == NULL || c == NULL) goto done;
    LODE_GOTO(lode_json_read(manifest, &c->manifest));
    LODE_GOTO(checkpoint_read_info(c->manifest, manifest, &c->info));
    LODE_GOTO(checkpoint_verify(c->manifest, manifest, tensors));
    LODE_GOTO(lode_tensors_open(tensors, &c->tensors));
    *out = c;
    c = NULL;
done:
    lode_checkpoint_close(c);
    lode_free(tensors);
    lode_free(manifest);
    return status;
}

lode_status lode_checkpoint_open(const char *directory, const char *phase, lode_checkpoint **out) {
    int64_t *steps = NULL;
    int n = 0;
    *out = NULL;
    LODE_TRY(checkpoint_check_phase(phase));
    LODE_TRY(checkpoint_steps(directory, phase, &steps, &n));
    lode_status status = LODE_OK;
    if (n == 0)
        status = LODE_FAIL(LODE_ERR_NOT_FOUND, "%s: no checkpoint of phase %s", directory, phase);
    for (int i = n - 1; i >= 0; i--) {
        status = checkpoint_open_step(directory, phase, steps[i], out);
        if (status == LODE_OK || status == LODE_ERR_NO_MEMORY) break;
        lode_log(LODE_LOG_WARN, "damaged checkpoint: %s%s", lode_last_error(),
                 i > 0 ? "; taking the one before" : "");
    }
    lode_free(steps);
    if (n == 0 || status == LODE_OK || status == LODE_ERR_NO_MEMORY) return status;
    return LODE_FAIL(LODE_ERR_DATA,
                     "all %d checkpoints in %s are damaged; remove them to start afresh. The last "
                     "one: %s",
                     n, directory, lode_last_error());
}

void lode_checkpoint_close(lode_checkpoint *c) {
    if (c == NULL) return;
    lode_tensors_close(c->tensors);
    json_decref(c->manifest);
    lode_free(c);
}

const lode_checkpoint_info *lode_checkpoint_get_info(const lode_checkpoint *c) { return &c->info; }
const json_t *lode_checkpoint_extra(const lode_checkpoint *c) {
    return json_object_get(c->manifest, "extra");
}
lode_tensor_file *lode_checkpoint_tensors(lode_checkpoint *c) { return c->tensors; }

bool lode_checkpoint_has(const lode_checkpoint *c, const char *name) {
    for (int64_t i = 0; i < lode_tensors_n(c->tensors); i++)
        if (strcmp(lode_tensors_name(c->tensors, i), name) == 0) return true;
    return false;
}

lode_status lode_checkpoint_load(lode_checkpoint *c, const char *name, lode_tensor *dst) {
    lode_status status = lode_tensors_load_into(c->tensors, name, dst);
    if (status != LODE_OK)
        lode_error_context("checkpoint of phase %s at step %lld", c->info.phase,
                           (long long)c->info.step);
    return status;
}

lode_status lode_checkpoint_load_numbers(lode_checkpoint *c, const char *name, double *v, int n) {
    lode_tensor *t = NULL;
    LODE_TRY(lode_tensor_wrap(v, LODE_F64, &LODE_SHAPE1(n), &t));
    lode_status status = lode_checkpoint_load(c, name, t);
    lode_tensor_release(t);
    return status;
}

lode_status lode_checkpoint_get(lode_checkpoint *c, const char *name, lode_tensor **out) {
    return lode_tensors_get(c->tensors, name, out);
}
