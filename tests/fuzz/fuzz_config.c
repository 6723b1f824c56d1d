/* fuzz_config.c: a recipe, a line "%%", and lines of --set. Whatever is accepted has values within
   its table's bounds, and its dump gives the same values again. */
#include "core/config.h"
#include "fuzz.h"

typedef struct options {
    bool flag;
    int64_t count;
    double rate;
    const char *name, *title;
    int mode;
    lode_f64_list steps;
    lode_string_list tags;
} options;

// clang-format off
static const lode_option rows[] = {
    {"flag",  LODE_OPT_BOOL,        offsetof(options, flag),  "true", 0, 0,     NULL,      "whether"},
    {"count", LODE_OPT_INT,         offsetof(options, count), "10",   1, 100,   NULL,      "how many"},
    {"rate",  LODE_OPT_F64,         offsetof(options, rate),  "0.1",  0, 10,    NULL,      "how fast"},
    {"name",  LODE_OPT_STRING,      offsetof(options, name),  NULL,   0, 0,     NULL,      "who"},
    {"title", LODE_OPT_STRING,      offsetof(options, title), "t",    0, 0,     NULL,      "what"},
    {"mode",  LODE_OPT_ENUM,        offsetof(options, mode),  "mul",  0, 0,     "add|mul", "how"},
    {"steps", LODE_OPT_F64_LIST,    offsetof(options, steps), "[1]",  0, 1,     NULL,      "where"},
    {"tags",  LODE_OPT_STRING_LIST, offsetof(options, tags),  NULL,   0, 0,     NULL,      "marks"},
};
// clang-format on
static const lode_option_table table = {"a.b", rows, sizeof rows / sizeof rows[0]};

static bool same_text(const char *a, const char *b) {
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static void check_same(const options *a, const options *b) {
    FUZZ_CHECK(a->flag == b->flag && a->count == b->count && a->rate == b->rate);
    FUZZ_CHECK(a->mode == b->mode && a->steps.n == b->steps.n && a->tags.n == b->tags.n);
    FUZZ_CHECK(same_text(a->name, b->name) && same_text(a->title, b->title));
    for (int i = 0; i < a->steps.n; i++) FUZZ_CHECK(a->steps.v[i] == b->steps.v[i]);
    for (int i = 0; i < a->tags.n; i++) FUZZ_CHECK(same_text(a->tags.v[i], b->tags.v[i]));
}

static void check_bounds(const options *o) {
    FUZZ_CHECK(o->count >= 1 && o->count <= 100 && o->rate >= 0 && o->rate <= 10);
    FUZZ_CHECK((o->mode == 0 || o->mode == 1) && o->title != NULL);
    for (int i = 0; i < o->steps.n; i++) FUZZ_CHECK(o->steps.v[i] >= 0 && o->steps.v[i] <= 1);
}

static void check_dump(lode_config *c, const options *o) {
    lode_config *again = NULL;
    options p;
    char *dump = lode_config_dump(c);
    FUZZ_CHECK(dump != NULL);
    FUZZ_CHECK(lode_config_parse(dump, "dump", &again) == LODE_OK);
    FUZZ_CHECK(lode_config_read(again, &table, &p) == LODE_OK);
    check_same(o, &p);
    char *second = lode_config_dump(again);
    FUZZ_CHECK(second != NULL && strcmp(dump, second) == 0);
    lode_free(dump);
    lode_free(second);
    lode_config_destroy(again);
}

/* Applies each line of `sets`, which it cuts up. */
static void set_lines(lode_config *c, char *sets) {
    while (sets != NULL) {
        char *end = strchr(sets, '\n');
        if (end != NULL) *end++ = '\0';
        lode_status status = lode_config_set(c, sets);
        FUZZ_CHECK_STORY(status);
        sets = end;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
    char *text = fuzz_text(bytes, n), *sets = strstr(text, "\n%%\n");
    if (sets != NULL) {
        *sets = '\0';
        sets += 4;
    }
    lode_config *c = NULL;
    options o;
    lode_status status = lode_config_parse(text, "fuzz.yaml", &c);
    FUZZ_CHECK_STORY(status);
    if (status == LODE_OK) {
        set_lines(c, sets);
        status = lode_config_read(c, &table, &o);
        FUZZ_CHECK_STORY(status);
    }
    if (status == LODE_OK) {
        check_bounds(&o);
        check_dump(c, &o);
        status = lode_config_finish(c);
        FUZZ_CHECK_STORY(status);
    }
    lode_config_destroy(c);
    lode_free(text);
    return 0;
}
