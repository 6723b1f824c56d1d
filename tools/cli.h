/* cli.h: verbs of the command, their options, output and exit codes.

   A verb is a const struct in verb_<name>.c plus one line in verbs.def. Options are rows; --help
   and the manual page are made from them, and from the option tables of recipes. */
#ifndef LODE_TOOLS_CLI_H
#define LODE_TOOLS_CLI_H
#include "core/config.h"
#include "core/log.h"

#include <jansson.h>
#include <stdbool.h>

typedef struct cli_option {
    const char *name;     /* "recipe" for --recipe */
    char letter;          /* 'c' for -c, 0: none */
    const char *argument; /* "FILE"; NULL: a flag */
    const char *help;
} cli_option;

typedef struct cli cli;
typedef struct cli_verb {
    const char *name;      /* "search", "cost build" */
    const char *arguments; /* positional ones, for the usage line: "[NAME]" */
    const char *about;     /* one line */
    const char *details;   /* paragraphs for help and manual */
    const cli_option *options;
    int n_options;
    bool thread_lists; /* --threads 1,2: the verb runs with each (cli_thread_counts) */
    const lode_option_table *const *(*tables)(
        void); /* recipe sections to document, NULL-terminated; may be NULL */
    lode_status (*run)(cli *c);
} cli_verb;

/* ---- what the user gave ---- */
bool cli_flag(const cli *c, const char *name);
const char *cli_get(const cli *c, const char *name, const char *def); /* last one given */
int cli_get_all(const cli *c, const char *name, const char *const **values);
lode_status cli_get_int(const cli *c, const char *name, int64_t def, int64_t min, int64_t max,
                        int64_t *out);
int cli_n_arguments(const cli *c);
const char *cli_argument(const cli *c, int i);
/* Fails with the usage exit code. */
lode_status cli_usage_error(cli *c, const char *fmt, ...) LODE_PRINTF(2, 3);
/* The option's value, or a usage error saying that it is needed. */
lode_status cli_need(cli *c, const char *name, const char **out);

/* ---- output: results to stdout, the rest to stderr ---- */
const lode_progress *cli_progress(cli *c);
bool cli_json(const cli *c);
bool cli_quiet(const cli *c);
/* With --json: the verb's result (consumed). Printed once, at the end. */
void cli_result(cli *c, json_t *result);
/* Text for people: nothing with --json. */
void cli_print(const cli *c, const char *fmt, ...) LODE_PRINTF(2, 3);
/* Seed and thread count of the common options (threads are set already). */
uint64_t cli_seed(const cli *c, uint64_t def);
int cli_threads(const cli *c);
/* The numbers of --threads 1,2 (at most CLI_MAX_LIST; one number when it was not given). */
enum { CLI_MAX_LIST = 16 };
int cli_thread_counts(const cli *c, int out[CLI_MAX_LIST]);
/* "1,32": whole numbers with commas between. */
lode_status cli_get_list(cli *c, const char *name, const char *def, int64_t min, int64_t max,
                         int64_t out[CLI_MAX_LIST], int *n);

/* "12.3M", "4.56k", "789" */
const char *cli_si(double v, char out[16]);

/* ---- the table of verbs ---- */
int cli_n_verbs(void);
const cli_verb *cli_verb_at(int i);
void cli_print_help(const cli_verb *v);   /* to stdout */
void cli_print_manual(const cli_verb *v); /* roff to stdout; NULL: of the command as a whole */

/* Runs a command line; returns the exit code. */
int cli_main(int argc, char **argv);

/* progress.c */
typedef struct cli_bar {
    bool enabled;
    double started, shown;
    char stage[48];
    int64_t first_done; /* done when the stage began: resumed work does not count for the rate */
    bool dirty;         /* a bar stands on the terminal's last line */
} cli_bar;
void cli_bar_update(cli_bar *b, const char *stage, int64_t done, int64_t total,
                    const char *metrics);
void cli_bar_clear(cli_bar *b);

#endif
