/* option_help.c: option tables for the eye: --help and the manual.

       train.lr NUMBER         peak learning rate (0 to 10, default 0.1)
       train.schedule cosine|step
                               how the rate falls (default cosine) */
#include "core/config_internal.h"
#include "core/number.h"

#include <stdio.h>
#include <string.h>

enum { HELP_COLUMN = 32, HELP_WIDTH = 96 };

static char *help_name(const lode_option_table *table, const lode_option *row) {
    const char *dot = table->section[0] == '\0' || strcmp(table->section, "--") == 0 ? "" : ".";
    return lode_format("%s%s%s", table->section, dot, row->name);
}

static const char *help_value(const lode_option *row) {
    switch (row->type) {
    case LODE_OPT_BOOL:
        return "true|false";
    case LODE_OPT_INT:
        return "COUNT";
    case LODE_OPT_F64:
        return "NUMBER";
    case LODE_OPT_STRING:
        return "TEXT";
    case LODE_OPT_ENUM:
        return row->words;
    case LODE_OPT_F64_LIST:
        return "[NUMBER, ...]";
    case LODE_OPT_STRING_LIST:
        return "[TEXT, ...]";
    }
    return "";
}

/* Ends that nobody would reach are not worth telling. */
static void help_add_range(lode_text *t, const lode_option *row, const char **separator) {
    char low[32], high[32];
    bool has_low = row->min > -1e15, has_high = row->max < 1e15;
    if (row->min == row->max || (!has_low && !has_high)) return;
    lode_f64_format(row->min, low);
    lode_f64_format(row->max, high);
    if (has_low && has_high)
        lode_text_add(t, "%s%s to %s", *separator, low, high);
    else if (has_low)
        lode_text_add(t, "%sat least %s", *separator, low);
    else
        lode_text_add(t, "%sat most %s", *separator, high);
    *separator = ", ";
}

/* "peak learning rate (ms, 0 to 10, default 0.1)" */
static char *help_sentence(const lode_option *row) {
    lode_text t = {0};
    const char *separator = " (";
    bool must = row->def == NULL && (row->type == LODE_OPT_BOOL || row->type == LODE_OPT_INT ||
                                     row->type == LODE_OPT_F64 || row->type == LODE_OPT_ENUM);
    lode_text_add(&t, "%s", row->help);
    if (row->type != LODE_OPT_ENUM && row->words != NULL) {
        lode_text_add(&t, "%s%s", separator, row->words);
        separator = ", ";
    }
    help_add_range(&t, row, &separator);
    if (row->def != NULL && row->def[0] != '\0') {
        lode_text_add(&t, "%sdefault %s", separator, row->def);
        separator = ", ";
    } else if (must) {
        lode_text_add(&t, "%smust be given", separator);
        separator = ", ";
    }
    if (separator[0] == ',') lode_text_add(&t, ")");
    return lode_text_take(&t);
}

/* Breaks `s` at spaces into lines of HELP_WIDTH that start at HELP_COLUMN. */
static void help_add_wrapped(lode_text *t, const char *s) {
    size_t column = HELP_COLUMN;
    for (const char *word = s; *word != '\0';) {
        size_t n = strcspn(word, " ");
        if (column > HELP_COLUMN && column + 1 + n > HELP_WIDTH) {
            lode_text_add(t, "\n%*s", HELP_COLUMN, "");
            column = HELP_COLUMN;
        } else if (word != s) {
            lode_text_add(t, " ");
            column++;
        }
        lode_text_add_bytes(t, word, n);
        column += n;
        word += n + (word[n] == ' ');
    }
    lode_text_add(t, "\n");
}

static void help_add_row(lode_text *t, const char *name, const lode_option *row,
                         const char *sentence) {
    size_t before = t->length;
    lode_text_add(t, "  %s %s", name, help_value(row));
    size_t used = t->length - before;
    if (used + 2 > HELP_COLUMN)
        lode_text_add(t, "\n%*s", HELP_COLUMN, "");
    else
        lode_text_add(t, "%*s", (int)(HELP_COLUMN - used), "");
    help_add_wrapped(t, sentence);
}

/* In roff a backslash, and a point or quote that begins a line, are commands; a bare - is a
   hyphen. */
static void help_add_roff(lode_text *t, const char *s) {
    if (*s == '.' || *s == '\'') lode_text_add(t, "\\&");
    for (; *s != '\0'; s++) {
        if (*s == '\\')
            lode_text_add(t, "\\e");
        else if (*s == '-')
            lode_text_add(t, "\\-");
        else
            lode_text_add_bytes(t, s, 1);
    }
}

static void help_add_man_row(lode_text *t, const char *name, const lode_option *row,
                             const char *sentence) {
    lode_text_add(t, ".TP\n\\fB");
    help_add_roff(t, name);
    lode_text_add(t, "\\fR \\fI");
    help_add_roff(t, help_value(row));
    lode_text_add(t, "\\fR\n");
    help_add_roff(t, sentence);
    lode_text_add(t, "\n");
}

static char *help_table(const lode_option_table *table,
                        void (*add)(lode_text *t, const char *name, const lode_option *row,
                                    const char *sentence)) {
    lode_text t = {0};
    for (int i = 0; i < table->n_rows; i++) {
        const lode_option *row = &table->rows[i];
        char *name = help_name(table, row), *sentence = help_sentence(row);
        bool ok = name != NULL && sentence != NULL;
        if (ok) add(&t, name, row, sentence);
        lode_free(name);
        lode_free(sentence);
        if (ok) continue;
        lode_text_deinit(&t);
        return NULL;
    }
    return lode_text_take(&t);
}

char *lode_options_help(const lode_option_table *table) { return help_table(table, help_add_row); }

char *lode_options_man(const lode_option_table *table) {
    return help_table(table, help_add_man_row);
}
