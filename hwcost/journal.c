/* journal.c: see journal.h. */
#include "hwcost/journal.h"

#include "core/memory.h"
#include "core/platform.h"

#include <stdlib.h>
#include <string.h>

/* "threads: 2, now 1" */
static lode_status journal_differs(const char *path, const json_t *was, json_t *now) {
    const char *key;
    json_t *value;
    json_object_foreach(now, key, value) {
        const json_t *old = json_object_get(was, key);
        if (json_equal(old, value)) continue;
        char *a = old ? json_dumps(old, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
        char *b = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
        lode_status status = LODE_FAIL(
            LODE_ERR_CONFIG,
            "%s holds a measurement that was begun with %s %s, now it is %s: give the same options "
            "to go on with it, or remove the file to begin anew",
            path, key, a ? a : "missing", b ? b : "?");
        free(a);
        free(b);
        return status;
    }
    return LODE_OK;
}

static lode_status journal_parse(const char *path, char *text, json_t *about, json_t *lines) {
    int64_t number = 0;
    for (char *line = text, *next; *line; line = next, number++) {
        json_t *j = NULL;
        char *end = strchr(line, '\n'), *name;
        if (!end) break; /* the writer was killed within it */
        *end = '\0';
        next = end + 1;
        if (!(name = lode_format("%s:%lld", path, (long long)number + 1)))
            return LODE_ERR_NO_MEMORY;
        lode_status status = lode_json_parse(line, name, &j);
        lode_free(name);
        /* A line that was cut off and ended by the next writer. */
        if (status == LODE_ERR_DATA && number > 0) {
            lode_error_clear();
            continue;
        }
        if (status == LODE_OK && number == 0) status = journal_differs(path, j, about);
        if (status == LODE_OK && number > 0) json_array_append(lines, j);
        json_decref(j);
        LODE_TRY(status);
    }
    return LODE_OK;
}

lode_status lode_journal_open(const char *path, json_t *about, json_t **lines) {
    void *text = NULL;
    size_t n;
    *lines = json_array();
    if (*lines == NULL) return LODE_ERR_NO_MEMORY;
    if (path == NULL) return LODE_OK;
    if (lode_file_size(path) <= 0) return lode_journal_add(path, json_incref(about));
    lode_status status = lode_file_read(path, &text, &n);
    if (status == LODE_OK && strchr(text, '\n') == NULL) { /* killed within the first line */
        status = lode_file_remove(path);
        if (status == LODE_OK) status = lode_journal_add(path, json_incref(about));
    } else if (status == LODE_OK)
        status = journal_parse(path, text, about, *lines);
    lode_free(text);
    if (status == LODE_OK) return LODE_OK;
    json_decref(*lines);
    *lines = NULL;
    return status;
}

lode_status lode_journal_add(const char *path, json_t *line) {
    char *text = path && line ? lode_json_line(line) : NULL;
    json_decref(line);
    if (path == NULL) return LODE_OK;
    lode_status status = text ? lode_file_append_line(path, text) : LODE_ERR_NO_MEMORY;
    lode_free(text);
    return status;
}

lode_status lode_journal_remove(const char *path) {
    return path ? lode_file_remove(path) : LODE_OK;
}
