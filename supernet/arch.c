/* arch.c: an architecture as text, JSON, hash and canonical form. */
#include "core/json.h"
#include "core/platform.h"
#include "supernet/space_internal.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

bool lode_arch_equal(const lode_arch *a, const lode_arch *b) {
    return a->n == b->n && memcmp(a->option, b->option, (size_t)a->n) == 0;
}

/* ---- canonical form ---- */
/* Could the options of layers i and j change places? Same options at the same shape. */
static bool arch_same_layers(const space_layer *a, const space_layer *b) {
    bool same = a->kind == SPACE_CHOICE && b->kind == SPACE_CHOICE &&
                a->n_options == b->n_options && a->site.in == b->site.in &&
                a->site.out == b->site.out && a->site.stride == b->site.stride &&
                space_size_same(&a->in_width, &b->in_width) &&
                space_size_same(&a->out_width, &b->out_width);
    for (int k = 0; same && k < a->n_options; k++)
        same = space_op_equal(&a->option[k], &b->option[k]);
    return same;
}

/* Identity layers commute with their neighbours: within a run of equal layers they go last. */
static lode_arch arch_skips_last(const lode_space *s, const lode_arch *a) {
    lode_arch c = *a;
    space_clear_unread(s, &c);
    for (int64_t i = 0, end; i < s->n_layers; i = end) {
        const space_layer *first = &s->layer[i];
        end = i + 1;
        if (first->kind != SPACE_CHOICE) continue;
        while (end < s->n_layers && arch_same_layers(first, &s->layer[end])) end++;
        int64_t to = i;
        int skip = -1;
        for (int64_t k = i; k < end; k++) {
            int option = a->option[s->layer[k].decision];
            if (first->option[option].kind->identity)
                skip = option;
            else
                c.option[s->layer[to++].decision] = (uint8_t)option;
        }
        while (to < end) c.option[s->layer[to++].decision] = (uint8_t)skip;
    }
    return c;
}

static lode_arch arch_listed(const lode_space *s, const lode_arch *a) {
    uint64_t number = 0;
    lode_arch c = *a;
    for (int i = 0; i < a->n; i++)
        number = number * (uint64_t)s->decision[i].n_options + a->option[i];
    number = s->canonical_of[number];
    for (int i = a->n - 1; i >= 0; i--) {
        c.option[i] = (uint8_t)(number % (uint64_t)s->decision[i].n_options);
        number /= (uint64_t)s->decision[i].n_options;
    }
    return c;
}

lode_arch lode_arch_canonical(const lode_space *s, const lode_arch *a) {
    if (s->canonical == SPACE_CANONICAL_SKIPS_LAST) return arch_skips_last(s, a);
    if (s->canonical_of != NULL) return arch_listed(s, a);
    lode_arch same = {.n = a->n};
    memcpy(same.option, a->option, (size_t)a->n);
    space_clear_unread(s, &same);
    return same;
}

uint64_t lode_arch_hash(const lode_space *s, const lode_arch *a) {
    lode_arch c = lode_arch_canonical(s, a);
    return lode_hash_bytes(c.option, (uint64_t)c.n, lode_hash_text(s->name));
}

/* ---- text ---- */
char *lode_arch_text(const lode_space *s, const lode_arch *a) {
    lode_text text = {0};
    lode_text_add(&text, "%s", "");
    for (int i = 0; i < a->n; i++)
        lode_text_add(&text, "%s%s", i > 0 ? "," : "", s->decision[i].option[a->option[i]]);
    return lode_text_take(&text);
}

char *lode_arch_code(const lode_space *s, const lode_arch *a) {
    lode_text text = {0};
    if (s->code == SPACE_CODE_CELL)
        arch_cell_write(s, a, &text);
    else if (s->code == SPACE_CODE_DIGITS)
        for (int i = 0; i < a->n; i++) lode_text_add(&text, "%d", a->option[i]);
    else
        return lode_arch_text(s, a);
    return lode_text_take(&text);
}

static lode_status arch_bad_option(const lode_space *s, int decision, const char *name) {
    const lode_decision *d = &s->decision[decision];
    const char *near = lode_nearest_word(name, d->option, d->n_options);
    if (near != NULL)
        return LODE_FAIL(LODE_ERR_INVALID,
                         "arch: decision `%s` has no option `%s`; did you mean `%s`?", d->name,
                         name, near);
    lode_text list = {0};
    for (int k = 0; k < d->n_options; k++)
        lode_text_add(&list, "%s%s", k > 0 ? ", " : "", d->option[k]);
    (void)LODE_FAIL(LODE_ERR_INVALID, "arch: decision `%s` has no option `%s`; there are %s",
                    d->name, name, list.s != NULL ? list.s : "others");
    lode_text_deinit(&list);
    return LODE_ERR_INVALID;
}

/* An option by name, or by number. */
static lode_status arch_set(const lode_space *s, int decision, const char *word, lode_arch *out) {
    int option = lode_space_find_option(s, decision, word);
    if (option < 0 && isdigit((unsigned char)word[0])) {
        char *end;
        long number = strtol(word, &end, 10);
        if (*end == '\0' && number < s->decision[decision].n_options) option = (int)number;
    }
    if (option < 0) return arch_bad_option(s, decision, word);
    out->option[decision] = (uint8_t)option;
    return LODE_OK;
}

static lode_status arch_parse_list(const lode_space *s, const char *text, lode_arch *out) {
    int n = 0;
    const char *from = text;
    if (s->n_decisions == 0 && text[0] == '\0') return LODE_OK;
    for (;; n++) {
        from += strspn(from, " \t\r\n");
        size_t length = strcspn(from, ", \t\r\n");
        const char *next = from + length + strspn(from + length, " \t\r\n");
        char word[64];
        if (n >= s->n_decisions || length >= sizeof word) break;
        memcpy(word, from, length);
        word[length] = '\0';
        LODE_TRY(arch_set(s, n, word, out));
        if (*next == '\0')
            return n + 1 == s->n_decisions ? LODE_OK
                                           : LODE_FAIL(LODE_ERR_INVALID,
                                                       "arch: %d options given, space `%s` has %d "
                                                       "decisions",
                                                       n + 1, s->name, (int)s->n_decisions);
        from = next + (*next == ',');
    }
    return LODE_FAIL(LODE_ERR_INVALID,
                     "arch: too many or too long options in \"%.80s\"; space "
                     "`%s` has %d decisions",
                     text, s->name, (int)s->n_decisions);
}

static bool arch_is_digits(const lode_space *s, const char *text) {
    size_t n = strlen(text);
    if (n < 2 || n != (size_t)s->n_decisions || strspn(text, "0123456789") != n) return false;
    for (int i = 0; i < s->n_decisions; i++)
        if (s->decision[i].n_options > 10) return false;
    return true;
}

static lode_status arch_parse_file(const lode_space *s, const char *path, lode_arch *out) {
    json_t *j;
    LODE_TRY(lode_json_read(path, &j));
    lode_status status = lode_arch_from_json(s, j, out);
    json_decref(j);
    return status != LODE_OK ? lode_error_context("%s", path) : LODE_OK;
}

lode_status lode_arch_parse(const lode_space *s, const char *text, lode_arch *out) {
    *out = (lode_arch){.n = (int)s->n_decisions};
    if (text[0] == '@') return arch_parse_file(s, text + 1, out);
    if (text[0] == '|') {
        LODE_TRY(arch_cell_parse(s, text, out));
    } else if (arch_is_digits(s, text)) {
        for (int i = 0; i < out->n; i++) {
            char digit[2] = {text[i], '\0'};
            LODE_TRY(arch_set(s, i, digit, out));
        }
    } else {
        LODE_TRY(arch_parse_list(s, text, out));
    }
    return lode_space_check(s, out);
}

/* ---- JSON ---- */
json_t *lode_arch_json(const lode_space *s, const lode_arch *a) {
    json_t *choices = json_object();
    for (int i = 0; i < a->n; i++)
        json_object_set_new(choices, s->decision[i].name,
                            json_string(s->decision[i].option[a->option[i]]));
    char *text = lode_arch_text(s, a);
    char *code = lode_arch_code(s, a);
    char hash[20];
    snprintf(hash, sizeof hash, "%016llx", (unsigned long long)lode_arch_hash(s, a));
    json_t *j = NULL;
    if (text != NULL && code != NULL)
        j = json_pack("{s:s, s:o, s:s, s:s, s:s}", "space", s->name, "choices", choices, "text",
                      text, "code", code, "hash", hash);
    else
        json_decref(choices);
    lode_free(text);
    lode_free(code);
    if (j == NULL) (void)LODE_FAIL(LODE_ERR_NO_MEMORY, "arch: no memory for its JSON");
    return j;
}

lode_status lode_arch_from_json(const lode_space *s, const json_t *j, lode_arch *out) {
    const char *space;
    *out = (lode_arch){.n = (int)s->n_decisions};
    if (json_is_string(j)) return lode_arch_parse(s, json_string_value(j), out);
    LODE_TRY(lode_json_get_string(j, "space", "architecture", &space));
    if (strcmp(space, s->name) != 0)
        return LODE_FAIL(LODE_ERR_INVALID, "arch: it belongs to space `%s`, not to `%s`", space,
                         s->name);
    const json_t *choices = json_object_get(j, "choices");
    if (!json_is_object(choices))
        return LODE_FAIL(LODE_ERR_DATA, "architecture: key `choices` is missing or no object");
    for (int i = 0; i < out->n; i++) {
        const char *word;
        LODE_TRY(lode_json_get_string(choices, s->decision[i].name, "choices", &word));
        LODE_TRY(arch_set(s, i, word, out));
    }
    if (json_object_size(choices) != (size_t)out->n)
        return LODE_FAIL(LODE_ERR_DATA, "architecture: %d choices for the %d decisions of `%s`",
                         (int)json_object_size(choices), out->n, s->name);
    return lode_space_check(s, out);
}
