/* json.c: reading and writing JSON through jansson.

   Writing is our own few lines, because jansson 2.14 prints every double with 17 digits
   (0.10000000000000001), and results are read by people too: here a double has as many digits as it
   takes to read the same bits back. */
#include "core/json.h"

#include "core/memory.h"
#include "core/number.h"
#include "core/platform.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static lode_status json_parse_bytes(const char *text, size_t n, const char *name, json_t **out) {
    json_error_t e;
    *out = json_loadb(text, n, JSON_REJECT_DUPLICATES, &e);
    if (*out != NULL) return LODE_OK;
    if (json_error_code(&e) == json_error_out_of_memory)
        return LODE_FAIL(LODE_ERR_NO_MEMORY, "%s: no memory to parse it", name);
    return LODE_FAIL(LODE_ERR_DATA, "%s:%d:%d: %s", name, e.line, e.column, e.text);
}

lode_status lode_json_parse(const char *text, const char *name, json_t **out) {
    return json_parse_bytes(text, strlen(text), name, out);
}

lode_status lode_json_read(const char *path, json_t **out) {
    void *bytes;
    size_t n;
    *out = NULL;
    LODE_TRY(lode_file_read(path, &bytes, &n));
    lode_status status = json_parse_bytes(bytes, n, path, out);
    lode_free(bytes);
    return status;
}

/* ---- writing ---- */

static void json_add_string(lode_text *t, const char *s, size_t n) {
    lode_text_add_bytes(t, "\"", 1);
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s[i];
        if (c == '"' || c == '\\')
            lode_text_add(t, "\\%c", c);
        else if (c == '\n')
            lode_text_add(t, "\\n");
        else if (c == '\t')
            lode_text_add(t, "\\t");
        else if (c < 0x20 || c == 0x7f)
            lode_text_add(t, "\\u%04x", c);
        else
            lode_text_add_bytes(t, s + i, 1);
    }
    lode_text_add_bytes(t, "\"", 1);
}

/* With a point or exponent, so that a real stays a real when read again. */
static void json_add_real(lode_text *t, double x) {
    char s[32];
    lode_f64_format(x, s);
    lode_text_add(t, "%s%s", s, strpbrk(s, ".e") == NULL ? ".0" : "");
}

/* depth < 0: everything on one line. */
static void json_add_break(lode_text *t, int depth) {
    if (depth >= 0) lode_text_add(t, "\n%*s", 2 * depth, "");
}

static void json_add(lode_text *t, const json_t *v, int depth);

static void json_add_array(lode_text *t, const json_t *v, int depth) {
    size_t n = json_array_size(v);
    int inner = depth < 0 ? -1 : depth + 1;
    bool flat = true; /* numbers and words stand on one line */
    for (size_t i = 0; i < n && flat; i++) {
        const json_t *item = json_array_get(v, i);
        flat = !json_is_object(item) && !json_is_array(item);
    }
    lode_text_add_bytes(t, "[", 1);
    for (size_t i = 0; i < n; i++) {
        if (i > 0) lode_text_add(t, "%s", depth >= 0 && flat ? ", " : ",");
        if (!flat) json_add_break(t, inner);
        json_add(t, json_array_get(v, i), inner);
    }
    if (!flat) json_add_break(t, depth);
    lode_text_add_bytes(t, "]", 1);
}

static void json_add_object(lode_text *t, const json_t *v, int depth) {
    int inner = depth < 0 ? -1 : depth + 1;
    const char *separator = "";
    union {
        const json_t *constant;
        json_t *plain;
    } o = {v}; /* jansson's iterator asks for a pointer without const, and only reads */
    lode_text_add_bytes(t, "{", 1);
    for (void *i = json_object_iter(o.plain); i != NULL; i = json_object_iter_next(o.plain, i)) {
        const char *key = json_object_iter_key(i);
        lode_text_add(t, "%s", separator);
        json_add_break(t, inner);
        json_add_string(t, key, strlen(key));
        lode_text_add(t, depth < 0 ? ":" : ": ");
        json_add(t, json_object_iter_value(i), inner);
        separator = ",";
    }
    if (separator[0] != '\0') json_add_break(t, depth);
    lode_text_add_bytes(t, "}", 1);
}

static void json_add(lode_text *t, const json_t *v, int depth) {
    switch (json_typeof(v)) {
    case JSON_OBJECT:
        json_add_object(t, v, depth);
        break;
    case JSON_ARRAY:
        json_add_array(t, v, depth);
        break;
    case JSON_STRING:
        json_add_string(t, json_string_value(v), json_string_length(v));
        break;
    case JSON_INTEGER:
        lode_text_add(t, "%lld", (long long)json_integer_value(v));
        break;
    case JSON_REAL:
        json_add_real(t, json_real_value(v));
        break;
    case JSON_TRUE:
        lode_text_add(t, "true");
        break;
    case JSON_FALSE:
        lode_text_add(t, "false");
        break;
    case JSON_NULL:
        lode_text_add(t, "null");
        break;
    }
}

lode_status lode_json_write(const char *path, const json_t *value) {
    lode_text t = {0};
    json_add(&t, value, 0);
    lode_text_add(&t, "\n");
    lode_status status = lode_text_status(&t);
    if (status == LODE_OK) status = lode_file_write_atomic(path, t.s, t.length);
    lode_text_deinit(&t);
    return status;
}

char *lode_json_line(const json_t *value) {
    lode_text t = {0};
    json_add(&t, value, -1);
    return lode_text_take(&t);
}

json_t *lode_json_number(double x) { return isfinite(x) ? json_real(x) : json_null(); }

/* ---- typed members ---- */

static const char *json_type_name(const json_t *v) {
    static const char *const names[] = {"an object", "an array", "text",  "an integer",
                                        "a number",  "true",     "false", "null"};
    return names[json_typeof(v)];
}

static lode_status json_member(const json_t *o, const char *key, const char *what,
                               const json_t **out) {
    *out = NULL;
    if (!json_is_object(o)) return LODE_FAIL(LODE_ERR_DATA, "%s: not a JSON object", what);
    *out = json_object_get(o, key);
    if (*out == NULL) return LODE_FAIL(LODE_ERR_DATA, "%s: key `%s` is missing", what, key);
    return LODE_OK;
}

static lode_status json_wrong(const json_t *v, const char *key, const char *what,
                              const char *wanted) {
    return LODE_FAIL(LODE_ERR_DATA, "%s: key `%s` should be %s and is %s", what, key, wanted,
                     json_type_name(v));
}

lode_status lode_json_get_int(const json_t *o, const char *key, const char *what, int64_t *out) {
    const json_t *v = NULL;
    LODE_TRY(json_member(o, key, what, &v));
    if (!json_is_integer(v)) return json_wrong(v, key, what, "an integer");
    *out = (int64_t)json_integer_value(v);
    return LODE_OK;
}

lode_status lode_json_get_f64(const json_t *o, const char *key, const char *what, double *out) {
    const json_t *v = NULL;
    LODE_TRY(json_member(o, key, what, &v));
    if (!json_is_number(v)) return json_wrong(v, key, what, "a number");
    *out = json_number_value(v);
    return LODE_OK;
}

lode_status lode_json_get_bool(const json_t *o, const char *key, const char *what, bool *out) {
    const json_t *v = NULL;
    LODE_TRY(json_member(o, key, what, &v));
    if (!json_is_boolean(v)) return json_wrong(v, key, what, "true or false");
    *out = json_is_true(v);
    return LODE_OK;
}

lode_status lode_json_get_string(const json_t *o, const char *key, const char *what,
                                 const char **out) {
    const json_t *v = NULL;
    LODE_TRY(json_member(o, key, what, &v));
    if (!json_is_string(v)) return json_wrong(v, key, what, "text");
    *out = json_string_value(v);
    return LODE_OK;
}

lode_status lode_json_copy_string(const json_t *o, const char *key, const char *what, char *out,
                                  size_t n) {
    const char *text = NULL;
    LODE_TRY(lode_json_get_string(o, key, what, &text));
    if (strlen(text) >= n)
        return LODE_FAIL(LODE_ERR_DATA, "%s: key `%s` is longer than %zu characters", what, key,
                         n - 1);
    memcpy(out, text, strlen(text) + 1);
    return LODE_OK;
}
