/* test_config.c: option tables, recipes, --set, unknown keys, the resolved dump. */
#include "core/config.h"
#include "core/platform.h"
#include "support/support.h"

typedef struct demo {
    bool flag;
    int64_t count;
    double rate;
    const char *name, *title;
    int mode;
    lode_f64_list steps;
    lode_string_list tags;
} demo;

enum { MODE_ADD, MODE_MUL, MODE_NONE };

// clang-format off
static const lode_option demo_rows[] = {
    {"flag",  LODE_OPT_BOOL,        offsetof(demo, flag),  "true",       0, 0,  NULL, "whether"},
    {"count", LODE_OPT_INT,         offsetof(demo, count), "10",         1, 100, "images", "how many"},
    {"rate",  LODE_OPT_F64,         offsetof(demo, rate),  "0.1",        0, 10, NULL, "how fast"},
    {"name",  LODE_OPT_STRING,      offsetof(demo, name),  NULL,         0, 0,  NULL, "who"},
    {"title", LODE_OPT_STRING,      offsetof(demo, title), "no: title",  0, 0,  NULL, "what"},
    {"mode",  LODE_OPT_ENUM,        offsetof(demo, mode),  "mul",        0, 0,  "add|mul|none", "in which way"},
    {"steps", LODE_OPT_F64_LIST,    offsetof(demo, steps), "[0.5, 0.75]", 0, 1, NULL, "where"},
    {"tags",  LODE_OPT_STRING_LIST, offsetof(demo, tags),  NULL,         0, 0,  NULL, "marks"},
};
// clang-format on
enum { N_ROWS = sizeof demo_rows / sizeof demo_rows[0] };
static const lode_option_table demo_table = {"train.demo", demo_rows, N_ROWS};

typedef struct seed_options {
    int64_t seed;
} seed_options;
static const lode_option seed_rows[] = {
    {"seed", LODE_OPT_INT, offsetof(seed_options, seed), "1", 0, 0, NULL, "of everything"}};
static const lode_option_table seed_table = {"", seed_rows, 1};

static lode_config *parse(const char *text) {
    lode_config *c = NULL;
    assert_ok(lode_config_parse(text, "recipe.yaml", &c));
    return c;
}

static void check_defaults(const demo *d) {
    assert_true(d->flag);
    assert_int_equal(d->count, 10);
    assert_true(d->rate == 0.1);
    assert_null(d->name);
    assert_string_equal(d->title, "no: title");
    assert_int_equal(d->mode, MODE_MUL);
    assert_int_equal(d->steps.n, 2);
    assert_true(d->steps.v[0] == 0.5 && d->steps.v[1] == 0.75);
    assert_int_equal(d->tags.n, 0);
}

static void an_empty_recipe_gives_defaults(void **state) {
    (void)state;
    const char *const texts[] = {"", "# nothing\n", "train:\n", "train:\n  demo:\n", "train: {}\n"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        lode_config *c = parse(texts[i]);
        demo d;
        assert_ok(lode_config_read(c, &demo_table, &d));
        check_defaults(&d);
        assert_ok(lode_config_finish(c));
        lode_config_destroy(c);
    }
    lode_config *c = NULL;
    demo d;
    assert_ok(lode_config_load(NULL, &c));
    assert_ok(lode_config_read(c, &demo_table, &d));
    check_defaults(&d);
    lode_config_destroy(c);
    lode_config_destroy(NULL);
}

static const char full_text[] = "seed: 7\n"
                                "train:\n"
                                "  demo:\n"
                                "    flag: no\n"
                                "    count: 5e1\n"
                                "    rate: 1e-3\n"
                                "    name: \"null\"\n"
                                "    title: a title\n"
                                "    mode: none\n"
                                "    steps: [0, 0.1, 1]\n"
                                "    tags: [a, 'b c', \"1\"]\n";

static void check_full(const demo *d) {
    assert_false(d->flag);
    assert_int_equal(d->count, 50);
    assert_true(d->rate == 0.001);
    assert_string_equal(d->name, "null");
    assert_string_equal(d->title, "a title");
    assert_int_equal(d->mode, MODE_NONE);
    assert_int_equal(d->steps.n, 3);
    assert_true(d->steps.v[0] == 0 && d->steps.v[1] == 0.1 && d->steps.v[2] == 1);
    assert_int_equal(d->tags.n, 3);
    assert_string_equal(d->tags.v[0], "a");
    assert_string_equal(d->tags.v[1], "b c");
    assert_string_equal(d->tags.v[2], "1");
}

static void every_type_is_read(void **state) {
    (void)state;
    lode_config *c = parse(full_text);
    demo d;
    seed_options s;
    assert_ok(lode_config_read(c, &demo_table, &d));
    assert_ok(lode_config_read(c, &seed_table, &s));
    assert_int_equal(s.seed, 7);
    check_full(&d);
    assert_ok(lode_config_finish(c));
    lode_config_destroy(c);
}

static void a_file_is_read(void **state) {
    (void)state;
    char *dir = test_temp_dir(), *path = lode_path_join(dir, "r.yaml");
    lode_config *c = NULL;
    demo d;
    assert_ok(lode_file_write_atomic(path, full_text, sizeof full_text - 1));
    assert_ok(lode_config_load(path, &c));
    assert_ok(lode_config_read(c, &demo_table, &d));
    check_full(&d);
    lode_config_destroy(c);
    assert_ok(lode_file_remove(path));
    assert_fails(lode_config_load(path, &c), LODE_ERR_IO, "r.yaml");
    assert_null(c);
    lode_free(path);
    test_remove_tree(dir);
    lode_free(dir);
}

static void bad_values_say_where_and_what(void **state) {
    (void)state;
    static const struct {
        const char *text, *words;
    } bad[] = {
        {"flag: maybe", "recipe.yaml:3: key `flag`: `maybe` is neither true nor false"},
        {"flag:", "key `flag`: has no value"},
        {"count: 1.5", "key `count`: `1.5` is not a whole number"},
        {"count: 0", "key `count`: 0 is not between 1 and 100"},
        {"count: 101", "101 is not between 1 and 100"},
        {"count: 99999999999999999999", "is not a whole number"},
        {"count: 0x10", "`0x10` is not a whole number"},
        {"rate: fast", "`fast` is not a number"},
        {"rate: .nan", "`.nan` is not a number"},
        {"rate: -1e-9", "-1e-9 is not between 0 and 10"},
        {"rate: .inf", ".inf is not between 0 and 10"},
        {"rate: 1e999", "`1e999` is not a number"},
        {"rate: [1]", "should be one value and is a list"},
        {"rate: {a: 1}", "should be a value and is a section"},
        {"mode: ad", "`ad` is not one of add|mul|none; did you mean `add`?"},
        {"mode: zzz", "`zzz` is not one of add|mul|none"},
        {"mode: ''", "`` is not one of add|mul|none"},
        {"title: null", "key `title`: has no value"},
        {"steps: [0, 2]", "key `steps`: 2 is not between 0 and 1"},
        {"steps: [0, [1]]", "item 2 of the list is not a plain value"},
        {"steps: ~", "key `steps`: has no value"},
        {"tags: {a: b}", "should be a value and is a section"},
        {"tags: [a, ~]", "item 2 of the list is not a plain value"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char *text = lode_format("train:\n  demo:\n    %s\n", bad[i].text);
        lode_config *c = parse(text);
        demo d;
        assert_fails(lode_config_read(c, &demo_table, &d), LODE_ERR_CONFIG, bad[i].words);
        lode_config_destroy(c);
        lode_free(text);
    }
}

static void sections_must_be_sections(void **state) {
    (void)state;
    demo d;
    lode_config *c = parse("train: 5\n");
    assert_fails(lode_config_read(c, &demo_table, &d), LODE_ERR_CONFIG,
                 "recipe.yaml:1: key `train`: is a value, and should be a section with keys such "
                 "as `demo`");
    lode_config_destroy(c);
    c = parse("train:\n  demo: [a, b]\n");
    assert_fails(lode_config_read(c, &demo_table, &d), LODE_ERR_CONFIG,
                 "recipe.yaml:2: key `demo`: is a list");
    lode_config_destroy(c);
    assert_fails(lode_config_parse("- a\n", "recipe.yaml", &c), LODE_ERR_CONFIG, "sections");
    assert_null(c);
    assert_fails(lode_config_parse("word\n", "recipe.yaml", &c), LODE_ERR_CONFIG, "sections");
    assert_fails(lode_config_parse("a: [\n", "recipe.yaml", &c), LODE_ERR_CONFIG, "recipe.yaml:2");
}

static void unknown_keys_are_named(void **state) {
    (void)state;
    static const struct {
        const char *text, *words;
    } bad[] = {
        {"train:\n  demo:\n    coutn: 5\n", "recipe.yaml:3: key `coutn`: unknown key; did you "
                                            "mean `count`?"},
        {"trian:\n  demo:\n    count: 5\n", "recipe.yaml:1: key `trian`: unknown key; did you "
                                            "mean `train`?"},
        {"train:\n  dmeo:\n    count: 5\n", "recipe.yaml:2: key `dmeo`: unknown key; did you "
                                            "mean `demo`?"},
        {"train:\n  demo: {}\n  rate: 3\n", "recipe.yaml:3: key `rate`: unknown key; did you "
                                            "mean `train.demo.rate`?"},
        {"\nxylophone: 1\n", "recipe.yaml:2: key `xylophone`: unknown key"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        lode_config *c = parse(bad[i].text);
        demo d;
        assert_ok(lode_config_read(c, &demo_table, &d));
        assert_fails(lode_config_finish(c), LODE_ERR_CONFIG, bad[i].words);
        lode_config_destroy(c);
    }
}

static void set_overrides_the_file(void **state) {
    (void)state;
    lode_config *c = parse("train:\n  demo: {count: 3, rate: 2}\nlist: [{a: 1}, {a: 2}]\nempty:\n");
    demo d;
    assert_ok(lode_config_set(c, "train.demo.count=4"));
    assert_ok(lode_config_set(c, "train.demo.steps=[0.25]"));
    assert_ok(lode_config_set(c, "train.demo.tags=one"));
    assert_ok(lode_config_set(c, "train.demo.title=x=y"));
    assert_ok(lode_config_set(c, "list.1.a=3"));
    assert_ok(lode_config_set(c, "empty.now.has=keys"));
    assert_ok(lode_config_set(c, "section={}"));
    assert_ok(lode_config_read(c, &demo_table, &d));
    assert_int_equal(d.count, 4);
    assert_true(d.rate == 2);
    assert_int_equal(d.steps.n, 1);
    assert_true(d.steps.v[0] == 0.25);
    assert_int_equal(d.tags.n, 1);
    assert_string_equal(d.tags.v[0], "one");
    assert_string_equal(d.title, "x=y");
    assert_string_equal(lode_config_node(c, "list.1.a")->scalar, "3");
    assert_string_equal(lode_config_node(c, "list.0.a")->scalar, "1");
    assert_string_equal(lode_config_node(c, "empty.now.has")->scalar, "keys");
    assert_int_equal(lode_config_node(c, "section")->kind, LODE_YAML_MAP);
    assert_null(lode_config_node(c, "list.2"));
    assert_null(lode_config_node(c, "list.1.a.b"));
    assert_null(lode_config_node(c, "absent.too"));
    lode_config_destroy(c);
}

static void bad_sets_are_refused(void **state) {
    (void)state;
    lode_config *c = parse("seed: 3\nlist: [a]\n");
    static const struct {
        const char *assignment, *words;
    } bad[] = {
        {"seed", "--set seed: wants KEY=VALUE"},
        {"=3", "wants KEY=VALUE"},
        {"a..b=3", "`a..b` is not a path"},
        {"a.=3", "is not a path"},
        {".a=3", "is not a path"},
        {"seed.x=3", "--set seed.x=3: recipe.yaml:1: key `seed`: is no section"},
        {"list.1=3", "`1` is not one of the 1 items"},
        {"list.x=3", "`x` is not one of the 1 items"},
        {"seed=[1", "--set seed=[1: did not find"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_fails(lode_config_set(c, bad[i].assignment), LODE_ERR_CONFIG, bad[i].words);
    seed_options s;
    assert_ok(lode_config_read(c, &seed_table, &s));
    assert_int_equal(s.seed, 3);
    assert_ok(lode_config_set(c, "seed=many"));
    assert_fails(lode_config_read(c, &seed_table, &s), LODE_ERR_CONFIG,
                 "--set seed=many: key `seed`: `many` is not a whole number");
    assert_ok(lode_config_set(c, "seed="));
    assert_fails(lode_config_read(c, &seed_table, &s), LODE_ERR_CONFIG, "has no value");
    assert_ok(lode_config_set(c, "sed=4"));
    assert_ok(lode_config_set(c, "seed=4"));
    assert_ok(lode_config_read(c, &seed_table, &s));
    assert_non_null(lode_config_node(c, "list"));
    assert_fails(lode_config_finish(c), LODE_ERR_CONFIG, "--set sed=4: key `sed`: unknown key");
    lode_config_destroy(c);
}

static void a_node_is_marked_with_all_below(void **state) {
    (void)state;
    lode_config *c = parse("space:\n  stages:\n    - {width: 3}\nother: 1\n");
    lode_yaml *space = lode_config_node(c, "space");
    assert_non_null(space);
    assert_fails(lode_config_finish(c), LODE_ERR_CONFIG, "recipe.yaml:4: key `other`");
    assert_non_null(lode_config_node(c, "other"));
    assert_ok(lode_config_finish(c));
    lode_config_destroy(c);
}

/* What the dump says is what was read: dumping what a dump gives changes nothing. */
static void the_dump_reads_back_to_the_same(void **state) {
    (void)state;
    const char *const texts[] = {
        "", full_text,
        "space:\n- {a: [1, 2], b: {c: 'x: y'}}\n- '~'\ntrain: {demo: {name: '', tags: ['', 'a, b', "
        "'#', 'true', ' x ', \"new\\nline\"]}}\n"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        lode_config *c = parse(texts[i]), *again = NULL;
        demo a, b;
        seed_options s;
        assert_ok(lode_config_read(c, &seed_table, &s));
        assert_ok(lode_config_read(c, &demo_table, &a));
        assert_ok(lode_config_read(c, &demo_table, &a));
        char *dump = lode_config_dump(c);
        assert_non_null(dump);
        assert_ok(lode_config_parse(dump, "dump", &again));
        assert_ok(lode_config_read(again, &seed_table, &s));
        assert_ok(lode_config_read(again, &demo_table, &b));
        assert_true(a.flag == b.flag && a.count == b.count && a.rate == b.rate && a.mode == b.mode);
        assert_int_equal(a.name == NULL, b.name == NULL);
        if (a.name != NULL) assert_string_equal(a.name, b.name);
        assert_string_equal(a.title, b.title);
        assert_int_equal(a.steps.n, b.steps.n);
        assert_memory_equal(a.steps.v, b.steps.v, (size_t)a.steps.n * sizeof(double));
        assert_int_equal(a.tags.n, b.tags.n);
        for (int k = 0; k < a.tags.n; k++) assert_string_equal(a.tags.v[k], b.tags.v[k]);
        char *second = lode_config_dump(again);
        assert_string_equal(dump, second);
        lode_free(dump);
        lode_free(second);
        lode_config_destroy(c);
        lode_config_destroy(again);
    }
}

static void the_dump_is_what_a_person_would_write(void **state) {
    (void)state;
    lode_config *c = parse("# comment\ntrain:\n  demo:\n    rate: 0.10\n    tags: x\n");
    demo d;
    seed_options s;
    assert_ok(lode_config_set(c, "train.demo.count=20"));
    assert_ok(lode_config_read(c, &demo_table, &d));
    assert_ok(lode_config_read(c, &seed_table, &s));
    char *dump = lode_config_dump(c);
    assert_string_equal(dump, "train:\n"
                              "  demo:\n"
                              "    rate: 0.1\n"
                              "    tags: [x]\n"
                              "    count: 20\n"
                              "    flag: true\n"
                              "    name: null\n"
                              "    title: 'no: title'\n"
                              "    mode: mul\n"
                              "    steps: [0.5, 0.75]\n"
                              "seed: 1\n");
    lode_free(dump);
    lode_config_destroy(c);
}

typedef struct needy {
    int64_t n;
} needy;

static void options_without_default_must_be_given(void **state) {
    (void)state;
    const lode_option rows[] = {
        {"n", LODE_OPT_INT, offsetof(needy, n), NULL, 0, 0, NULL, "number of things"}};
    const lode_option_table table = {"part", rows, 1};
    lode_config *c = parse("");
    needy o = {3};
    assert_fails(lode_config_read(c, &table, &o), LODE_ERR_CONFIG,
                 "recipe.yaml: `part.n` must be given: number of things");
    assert_ok(lode_config_set(c, "part.n=5"));
    assert_ok(lode_config_read(c, &table, &o));
    assert_int_equal(o.n, 5);
    assert_ok(lode_options_default(&table, &o));
    assert_int_equal(o.n, 0);
    lode_config_destroy(c);
}

static void defaults_without_a_recipe(void **state) {
    (void)state;
    demo d;
    const lode_option_table plain = {"train.demo", demo_rows, 6};
    memset(&d, 0xff, sizeof d);
    assert_ok(lode_options_default(&plain, &d));
    assert_true(d.flag && d.count == 10 && d.rate == 0.1 && d.name == NULL && d.mode == MODE_MUL);
    assert_string_equal(d.title, "no: title");
    assert_fails(lode_options_default(&demo_table, &d), LODE_ERR_UNSUPPORTED,
                 "train.demo.steps: a list with a default");
    const lode_option wrong[] = {
        {"rate", LODE_OPT_F64, offsetof(demo, rate), "20", 0, 10, NULL, "too big by default"}};
    const lode_option_table wrong_table = {"x", wrong, 1};
    lode_config *c = parse("");
    assert_fails(lode_config_read(c, &wrong_table, &d), LODE_ERR_CONFIG, "default of `x.rate`: 20");
    lode_config_destroy(c);
}

static void single_options_are_assigned(void **state) {
    (void)state;
    demo d = {0};
    assert_ok(lode_options_assign(&demo_table, "rate", "0.5", &d));
    assert_ok(lode_options_assign(&demo_table, "name", "n", &d));
    assert_ok(lode_options_assign(&demo_table, "mode", "none", &d));
    assert_true(d.rate == 0.5 && d.mode == MODE_NONE);
    assert_string_equal(d.name, "n");
    assert_fails(lode_options_assign(&demo_table, "rate", "x", &d), LODE_ERR_CONFIG,
                 "train.demo.rate: `x` is not a number");
    assert_fails(lode_options_assign(&demo_table, "rat", "1", &d), LODE_ERR_NOT_FOUND, "`rat`");
    assert_fails(lode_options_assign(&demo_table, "tags", "1", &d), LODE_ERR_UNSUPPORTED, "list");
}

static void help_and_manual_show_every_row(void **state) {
    (void)state;
    char *help = lode_options_help(&demo_table), *man = lode_options_man(&demo_table);
    assert_non_null(help);
    assert_non_null(man);
    for (int i = 0; i < N_ROWS; i++) {
        char *name = lode_format("train.demo.%s", demo_rows[i].name);
        assert_non_null(strstr(help, name));
        assert_non_null(strstr(man, name));
        assert_non_null(strstr(help, demo_rows[i].help));
        assert_non_null(strstr(man, demo_rows[i].help));
        lode_free(name);
    }
    assert_non_null(strstr(help, "  train.demo.count COUNT        how many (images, 1 to 100, "
                                 "default 10)\n"));
    assert_non_null(strstr(help, "  train.demo.mode add|mul|none  in which way (default mul)\n"));
    assert_non_null(strstr(man, ".TP\n\\fBtrain.demo.rate\\fR \\fINUMBER\\fR\nhow fast (0 to 10, "
                                "default 0.1)\n"));
    lode_free(help);
    lode_free(man);

    const lode_option rows[] = {
        {"out-dir", LODE_OPT_STRING, 0, NULL, 0, 0, NULL,
         ".a sentence \\ that is a good deal longer than what fits upon one single line of a "
         "terminal, so that it has to be broken"},
        {"n", LODE_OPT_INT, 0, NULL, 1, 1e18, NULL, "things"}};
    const lode_option_table flags = {"--", rows, 2};
    help = lode_options_help(&flags);
    man = lode_options_man(&flags);
    assert_non_null(strstr(help, "  --out-dir TEXT "));
    assert_non_null(strstr(help, "things (at least 1, must be given)\n"));
    for (const char *line = help; *line != '\0';) {
        size_t n = strcspn(line, "\n");
        assert_true(n <= 96);
        line += n + 1;
    }
    assert_non_null(strstr(man, "\\fB\\-\\-out\\-dir\\fR"));
    assert_non_null(strstr(man, "\n\\&.a sentence \\e that"));
    lode_free(help);
    lode_free(man);
}

static void the_nearest_word_is_found(void **state) {
    (void)state;
    const char *const words[] = {"learning_rate", "batch_size", "epochs", "lr", "seed"};
    static const struct {
        const char *s, *nearest;
    } known[] = {
        {"learnin_rate", "learning_rate"},
        {"Learning-Rate", "learning_rate"},
        {"leraning_rate", "learning_rate"},
        {"batchsize", "batch_size"},
        {"epoch", "epochs"},
        {"rl", "lr"},
        {"lrr", "lr"},
        {"seeds", "seed"},
        {"xy", NULL},
        {"", NULL},
        {"temperature", NULL},
        {"sgd", NULL},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        const char *w = lode_nearest_word(known[i].s, words, 5);
        if (known[i].nearest == NULL)
            assert_null(w);
        else {
            assert_non_null(w);
            assert_string_equal(w, known[i].nearest);
        }
    }
    char big[200];
    memset(big, 'a', 199);
    big[199] = '\0';
    const char *const one[] = {big};
    assert_null(lode_nearest_word(big, words, 5));
    assert_null(lode_nearest_word("aaa", one, 1));
    assert_null(lode_nearest_word("aaa", NULL, 0));
}

/* Everything a recipe does, with each allocation failing in turn. */
static lode_status whole_run(void) {
    lode_config *c = NULL;
    demo d;
    lode_status status = lode_config_parse(full_text, "recipe.yaml", &c);
    if (status != LODE_OK) {
        assert_null(c);
        return status;
    }
    status = lode_config_set(c, "train.demo.tags=[x, y]");
    if (status == LODE_OK) status = lode_config_read(c, &demo_table, &d);
    char *dump = status == LODE_OK ? lode_config_dump(c) : NULL;
    char *help = dump != NULL ? lode_options_help(&demo_table) : NULL;
    if (status == LODE_OK && help == NULL) status = lode_last_status();
    lode_free(dump);
    lode_free(help);
    lode_config_destroy(c);
    return status;
}

static void no_memory_is_a_status_and_no_leak(void **state) {
    (void)state;
    int64_t blocks = lode_memory_get_stats().n_blocks, n = 0;
    for (;; n++) {
        test_fail_allocation(n);
        lode_status status = whole_run();
        int64_t asked = test_fail_allocation(-1);
        assert_int_equal(lode_memory_get_stats().n_blocks, blocks);
        if (asked <= n) {
            assert_int_equal(status, LODE_OK);
            break;
        }
        /* A missed key that cannot be noted costs only the hint. */
        assert_true(status == LODE_ERR_NO_MEMORY || status == LODE_OK);
    }
    assert_true(n > 100);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_recipe_gives_defaults),
        cmocka_unit_test(every_type_is_read),
        cmocka_unit_test(a_file_is_read),
        cmocka_unit_test(bad_values_say_where_and_what),
        cmocka_unit_test(sections_must_be_sections),
        cmocka_unit_test(unknown_keys_are_named),
        cmocka_unit_test(set_overrides_the_file),
        cmocka_unit_test(bad_sets_are_refused),
        cmocka_unit_test(a_node_is_marked_with_all_below),
        cmocka_unit_test(the_dump_reads_back_to_the_same),
        cmocka_unit_test(the_dump_is_what_a_person_would_write),
        cmocka_unit_test(options_without_default_must_be_given),
        cmocka_unit_test(defaults_without_a_recipe),
        cmocka_unit_test(single_options_are_assigned),
        cmocka_unit_test(help_and_manual_show_every_row),
        cmocka_unit_test(the_nearest_word_is_found),
        cmocka_unit_test(no_memory_is_a_status_and_no_leak),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
