/* cli.c: parses a command line against the rows of its verb, runs it, maps failures to exit codes.
 */
#include "tools/cli.h"

#include "core/memory.h"
#include "core/parallel.h"
#include "core/platform.h"
#include "lode_build.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VERB(name) extern const cli_verb cli_verb_##name;
#include "tools/verbs.def"
#undef VERB

static const cli_verb *const cli_verbs[] = {
#define VERB(name) &cli_verb_##name,
#include "tools/verbs.def"
#undef VERB
};
#define CLI_N_VERBS ((int)(sizeof cli_verbs / sizeof *cli_verbs))

int cli_n_verbs(void) { return CLI_N_VERBS; }
const cli_verb *cli_verb_at(int i) { return cli_verbs[i]; }

const cli_option cli_common[] = {
    {"help", 'h', NULL, "show this help"},
    {"json", 0, NULL, "machine-readable result on stdout, everything else on stderr"},
    {"seed", 0, "N", "the one seed of everything random"},
    {"threads", 0, "N", "threads; 0 means one per core"},
    {"quiet", 'q', NULL, "errors only on stderr"},
    {"progress", 0, "auto|none", "progress bar: auto (on a terminal) or none"},
};
const int cli_n_common = (int)(sizeof cli_common / sizeof *cli_common);

#define CLI_MAX_VALUES 64
typedef struct cli_value {
    const cli_option *option;
    const char *value;
} cli_value;

struct cli {
    const cli_verb *verb;
    cli_value value[CLI_MAX_VALUES];
    int n_values;
    const char *argument[CLI_MAX_VALUES];
    int n_arguments;
    const char *gathered[CLI_MAX_VALUES]; /* scratch of cli_get_all */
    json_t *result;
    bool usage_error;
    int64_t seed, threads;
    int64_t thread_count[CLI_MAX_LIST];
    int n_thread_counts;
    cli_bar bar;
    lode_progress progress;
};

/* ---- answers ---- */

const char *cli_get(const cli *c, const char *name, const char *def) {
    for (int i = c->n_values - 1; i >= 0; i--)
        if (strcmp(c->value[i].option->name, name) == 0) return c->value[i].value;
    return def;
}

bool cli_flag(const cli *c, const char *name) { return cli_get(c, name, NULL) != NULL; }

int cli_get_all(const cli *c, const char *name, const char *const **values) {
    cli *mutable_c = (cli *)(uintptr_t)c; /* only the scratch list changes */
    int n = 0;
    for (int i = 0; i < c->n_values; i++)
        if (strcmp(c->value[i].option->name, name) == 0)
            mutable_c->gathered[n++] = c->value[i].value;
    *values = mutable_c->gathered;
    return n;
}

int cli_n_arguments(const cli *c) { return c->n_arguments; }
const char *cli_argument(const cli *c, int i) { return i < c->n_arguments ? c->argument[i] : NULL; }
bool cli_json(const cli *c) { return cli_flag(c, "json"); }
bool cli_quiet(const cli *c) { return cli_flag(c, "quiet"); }
const lode_progress *cli_progress(cli *c) { return &c->progress; }
uint64_t cli_seed(const cli *c, uint64_t def) { return c->seed >= 0 ? (uint64_t)c->seed : def; }
int cli_threads(const cli *c) { return (int)c->threads; }

lode_status cli_usage_error(cli *c, const char *fmt, ...) {
    char text[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    c->usage_error = true;
    return LODE_FAIL(LODE_ERR_INVALID, "%s; see lode %s --help", text, c->verb->name);
}

lode_status cli_need(cli *c, const char *name, const char **out) {
    *out = cli_get(c, name, NULL);
    return *out ? LODE_OK : cli_usage_error(c, "--%s is needed", name);
}

static lode_status cli_parse_int(cli *c, const char *name, const char *text, int64_t min,
                                 int64_t max, int64_t *out) {
    char *end = NULL;
    long long v = strtoll(text, &end, 10);
    if (end == text || *end != '\0' || v < min || v > max)
        return cli_usage_error(c, "--%s %s: want a whole number from %lld to %lld", name, text,
                               (long long)min, (long long)max);
    *out = v;
    return LODE_OK;
}

lode_status cli_get_int(const cli *c, const char *name, int64_t def, int64_t min, int64_t max,
                        int64_t *out) {
    const char *text = cli_get(c, name, NULL);
    *out = def;
    return text ? cli_parse_int((cli *)(uintptr_t)c, name, text, min, max, out) : LODE_OK;
}

lode_status cli_get_list(cli *c, const char *name, const char *def, int64_t min, int64_t max,
                         int64_t out[CLI_MAX_LIST], int *n) {
    const char *text = cli_get(c, name, def);
    *n = 0;
    for (const char *s = text; s; s = *s == ',' ? s + 1 : NULL) {
        char word[32];
        size_t length = strcspn(s, ",");
        if (*n == CLI_MAX_LIST)
            return cli_usage_error(c, "--%s %s: at most %d numbers", name, text, (int)CLI_MAX_LIST);
        snprintf(word, sizeof word, "%.*s", (int)(length < 31 ? length : 31), s);
        LODE_TRY(cli_parse_int(c, name, word, min, max, &out[(*n)++]));
        s += length;
    }
    return LODE_OK;
}

int cli_thread_counts(const cli *c, int out[CLI_MAX_LIST]) {
    for (int i = 0; i < c->n_thread_counts; i++) out[i] = (int)c->thread_count[i];
    return c->n_thread_counts;
}

void cli_print(const cli *c, const char *fmt, ...) {
    if (cli_json(c)) return;
    va_list args;
    va_start(args, fmt);
    vprintf(fmt, args);
    va_end(args);
}

void cli_result(cli *c, json_t *result) {
    json_decref(c->result);
    c->result = result;
}

const char *cli_si(double v, char out[16]) {
    static const struct {
        double scale;
        const char *suffix;
    } steps[] = {{1e12, "T"}, {1e9, "G"}, {1e6, "M"}, {1e3, "k"}, {1, ""}};
    for (int i = 0; i < 5; i++)
        if (v >= steps[i].scale || i == 4) {
            snprintf(out, 16,
                     v / steps[i].scale < 10 && i < 4 ? "%.2f%s"
                     : i < 4                          ? "%.1f%s"
                                                      : "%.3g%s",
                     v / steps[i].scale, steps[i].suffix);
            break;
        }
    return out;
}

/* ---- parsing ---- */

/* The verb whose name is the longest match of argv[1], argv[2]. */
static const cli_verb *cli_find_verb(int argc, char **argv, int *n_words) {
    for (int words = 2; words >= 1; words--) {
        char name[64] = "";
        if (argc <= words) continue;
        for (int i = 1; i <= words; i++) {
            size_t have = strlen(name);
            snprintf(name + have, sizeof name - have, "%s%s", i > 1 ? " " : "", argv[i]);
        }
        for (int v = 0; v < CLI_N_VERBS; v++)
            if (strcmp(cli_verbs[v]->name, name) == 0) {
                *n_words = words;
                return cli_verbs[v];
            }
    }
    return NULL;
}

static const cli_option *cli_find_option(const cli_verb *v, const char *name, size_t n,
                                         char letter) {
    for (int pass = 0; pass < 2; pass++) {
        const cli_option *rows = pass ? cli_common : v->options;
        int n_rows = pass ? cli_n_common : v->n_options;
        for (int i = 0; i < n_rows; i++) {
            if (letter ? rows[i].letter == letter
                       : strlen(rows[i].name) == n && strncmp(rows[i].name, name, n) == 0)
                return &rows[i];
        }
    }
    return NULL;
}

static lode_status cli_unknown_option(cli *c, const char *word) {
    const char *names[CLI_MAX_VALUES];
    int n = 0;
    for (int i = 0; i < c->verb->n_options; i++) names[n++] = c->verb->options[i].name;
    for (int i = 0; i < cli_n_common; i++) names[n++] = cli_common[i].name;
    const char *near = lode_nearest_word(word + strspn(word, "-"), names, n);
    return cli_usage_error(c, "unknown option %s%s%s", word, near ? "; nearest is --" : "",
                           near ? near : "");
}

static lode_status cli_parse_option(cli *c, int argc, char **argv, int *i) {
    const char *word = argv[*i];
    bool is_long = word[1] == '-';
    const char *equals = is_long ? strchr(word, '=') : NULL;
    size_t n = equals ? (size_t)(equals - word - 2) : strlen(word) - (is_long ? 2 : 1);
    const cli_option *o = is_long ? cli_find_option(c->verb, word + 2, n, 0)
                                  : cli_find_option(c->verb, NULL, 0, word[1]);
    if (!o) return cli_unknown_option(c, word);
    const char *value = "";
    if (!o->argument) {
        if (equals || (!is_long && word[2]))
            return cli_usage_error(c, "--%s takes no value", o->name);
    } else if (equals)
        value = equals + 1;
    else if (!is_long && word[2])
        value = word + 2;
    else if (*i + 1 < argc)
        value = argv[++*i];
    else
        return cli_usage_error(c, "--%s needs a value: %s", o->name, o->argument);
    if (c->n_values == CLI_MAX_VALUES) return cli_usage_error(c, "too many options");
    c->value[c->n_values++] = (cli_value){o, value};
    return LODE_OK;
}

static lode_status cli_parse(cli *c, int argc, char **argv, int first) {
    bool only_arguments = false;
    for (int i = first; i < argc; i++) {
        if (!only_arguments && strcmp(argv[i], "--") == 0)
            only_arguments = true;
        else if (!only_arguments && argv[i][0] == '-' && argv[i][1])
            LODE_TRY(cli_parse_option(c, argc, argv, &i));
        else {
            if (!c->verb->arguments) return cli_usage_error(c, "unexpected argument %s", argv[i]);
            if (c->n_arguments == CLI_MAX_VALUES) return cli_usage_error(c, "too many arguments");
            c->argument[c->n_arguments++] = argv[i];
        }
    }
    LODE_TRY(cli_get_int(c, "seed", -1, 0, INT64_MAX, &c->seed));
    LODE_TRY(cli_get_list(c, "threads", "0", 0, 1024, c->thread_count, &c->n_thread_counts));
    if (c->n_thread_counts > 1 && !c->verb->thread_lists)
        return cli_usage_error(c, "--threads %s: want one number", cli_get(c, "threads", ""));
    c->threads = c->thread_count[0];
    const char *progress = cli_get(c, "progress", "auto");
    if (strcmp(progress, "auto") != 0 && strcmp(progress, "none") != 0)
        return cli_usage_error(c, "--progress %s: want auto or none", progress);
    c->bar.enabled = strcmp(progress, "auto") == 0 && !cli_quiet(c) && lode_is_terminal(2);
    return LODE_OK;
}

/* ---- running ---- */

static void cli_log(void *self, lode_log_level level, const char *text) {
    static const char *const names[] = {"debug", "info", "warning", "error"};
    cli *c = self;
    cli_bar_clear(&c->bar);
    if (level == LODE_LOG_INFO)
        fprintf(stderr, "%s\n", text);
    else
        fprintf(stderr, "lode: %s: %s\n", names[level], text);
}

static void cli_update(void *self, const char *stage, int64_t done, int64_t total,
                       const char *metrics) {
    cli_bar_update(&((cli *)self)->bar, stage, done, total, metrics);
}

static bool cli_should_stop(void *self) {
    (void)self;
    return lode_caught_signal() != 0;
}

static int cli_exit_code(const cli *c, lode_status status) {
    if (c->usage_error) return 2;
    switch (status) {
    case LODE_OK:
        return 0;
    case LODE_ERR_STOPPED:
        return lode_caught_signal() ? 128 + lode_caught_signal() : 75;
    case LODE_ERR_INFEASIBLE:
        return 4;
    case LODE_ERR_DATA:
    case LODE_ERR_CONFIG:
    case LODE_ERR_INVALID:
    case LODE_ERR_SHAPE:
    case LODE_ERR_NOT_FOUND:
        return 3;
    default:
        return 1;
    }
}

static int cli_run(cli *c) {
    lode_set_log(cli_log, c, cli_quiet(c) ? LODE_LOG_ERROR : LODE_LOG_INFO);
    c->progress = (lode_progress){c, cli_update, cli_should_stop};
    lode_set_threads((int)c->threads);
    lode_catch_signals();
    lode_status status = c->verb->run(c);
    cli_bar_clear(&c->bar);
    if (status == LODE_OK && cli_json(c) && c->result) {
        char *text = json_dumps(c->result, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
        if (text) puts(text);
        free(text);
    }
    json_decref(c->result);
    int code = cli_exit_code(c, status);
    if (status != LODE_OK) fprintf(stderr, "lode: %s\n", lode_last_error());
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "lode: cannot write to standard output\n");
        if (code == 0) code = 1;
    }
    return code;
}

static void cli_print_usage(FILE *to) {
    fprintf(to,
            "lode %s: native hardware-aware neural architecture search\n\n"
            "usage: lode VERB [options]      lode VERB --help\n\n",
            LODE_VERSION);
    for (int i = 0; i < CLI_N_VERBS; i++)
        fprintf(to, "  %-14s %s\n", cli_verbs[i]->name, cli_verbs[i]->about);
    fprintf(to,
            "\nEvery verb: --help, --json, --seed N, --threads N, --quiet, --progress=auto|none.\n"
            "Exit codes: 0 ok, 1 failed, 2 usage, 3 bad data or configuration, 4 infeasible\n"
            "constraint, 75 stopped but resumable, 130/143 after a signal.\n");
}

static int cli_unknown_verb(const char *word) {
    const char *names[CLI_N_VERBS];
    for (int i = 0; i < CLI_N_VERBS; i++) names[i] = cli_verbs[i]->name;
    /* A group without its second word: list the group. */
    size_t n = strlen(word);
    bool group = false;
    for (int i = 0; i < CLI_N_VERBS; i++)
        if (strncmp(names[i], word, n) == 0 && names[i][n] == ' ') {
            fprintf(stderr, "  lode %-14s %s\n", names[i], cli_verbs[i]->about);
            group = true;
        }
    if (group) return 2;
    const char *near = lode_nearest_word(word, names, CLI_N_VERBS);
    fprintf(stderr, "lode: no verb \"%s\"%s%s; see lode --help\n", word,
            near ? "; nearest is " : "", near ? near : "");
    return 2;
}

int cli_main(int argc, char **argv) {
    if (argc < 2) {
        cli_print_usage(stderr);
        return 2;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        cli_print_usage(stdout);
        return 0;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("lode %s\n", LODE_VERSION);
        return 0;
    }
    int n_words = 0;
    cli c = {.verb = cli_find_verb(argc, argv, &n_words)};
    if (!c.verb) return cli_unknown_verb(argv[1]);
    lode_status status = cli_parse(&c, argc, argv, n_words + 1);
    if (cli_flag(&c, "help")) {
        cli_print_help(c.verb);
        return 0;
    }
    if (status != LODE_OK) {
        fprintf(stderr, "lode: %s\n", lode_last_error());
        return 2;
    }
    return cli_run(&c);
}
