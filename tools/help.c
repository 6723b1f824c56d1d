/* help.c: --help and manual pages, both from the same rows. */
#include "core/memory.h"
#include "lode_build.h"
#include "search/recipe.h"
#include "tools/cli.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

extern const cli_option cli_common[];
extern const int cli_n_common;

static void help_option(const cli_option *o) {
    char left[64];
    if (o->letter)
        snprintf(left, sizeof left, "-%c, --%s%s%s", o->letter, o->name, o->argument ? " " : "",
                 o->argument ? o->argument : "");
    else
        snprintf(left, sizeof left, "    --%s%s%s", o->name, o->argument ? " " : "",
                 o->argument ? o->argument : "");
    printf("  %-28s %s\n", left, o->help);
}

/* A section may stand in several tables, one for each strategy. */
static void help_section(const lode_option_table *table) {
    const char *strategy = lode_recipe_table_strategy(table);
    printf("%s", table->section[0] ? table->section : "(top level)");
    if (strategy) printf(" (supernet.strategy: %s)", strategy);
}

void cli_print_help(const cli_verb *v) {
    printf("lode %s: %s\n\nusage: lode %s [options]%s%s\n\n", v->name, v->about, v->name,
           v->arguments ? " " : "", v->arguments ? v->arguments : "");
    if (v->details) printf("%s\n\n", v->details);
    for (int i = 0; i < v->n_options; i++) help_option(&v->options[i]);
    for (int i = 0; i < cli_n_common; i++) help_option(&cli_common[i]);
    for (const lode_option_table *const *t = v->tables ? v->tables() : NULL; t && *t; t++) {
        char *text = lode_options_help(*t);
        if (text) {
            printf("\nrecipe section ");
            help_section(*t);
            printf(":\n%s", text);
        }
        lode_free(text);
    }
}

/* roff: dashes and leading dots need care */
static void manual_text(const char *s) {
    for (; *s; s++) {
        if (*s == '-')
            fputs("\\-", stdout);
        else if (*s == '\\')
            fputs("\\e", stdout);
        else
            putchar(*s);
    }
    putchar('\n');
}

static void manual_option(const cli_option *o) {
    printf(".TP\n\\fB");
    if (o->letter) printf("\\-%c\\fR, \\fB", o->letter);
    printf("\\-\\-%s\\fR", o->name);
    if (o->argument) printf(" \\fI%s\\fR", o->argument);
    putchar('\n');
    manual_text(o->help);
}

static void manual_header(const char *name, const char *about) {
    char upper[64];
    size_t n = 0;
    for (; name[n] && n < sizeof upper - 1; n++)
        upper[n] = (char)(name[n] == ' ' ? '-' : toupper((unsigned char)name[n]));
    upper[n] = '\0';
    printf(".TH %s 1 \"\" \"lode %s\" \"Lode\"\n.SH NAME\n", upper, LODE_VERSION);
    for (const char *s = name; *s; s++) fputs(*s == ' ' ? "\\-" : (char[]){*s, 0}, stdout);
    printf(" \\- ");
    manual_text(about);
}

static void manual_codes(void) {
    printf(".SH EXIT STATUS\n0 ok, 1 failed, 2 usage, 3 bad data or configuration, 4 infeasible "
           "constraint, 75 stopped but resumable, 130 or 143 after a signal.\n");
}

void cli_print_manual(const cli_verb *v) {
    char name[80];
    if (!v) {
        manual_header("lode", "native hardware-aware neural architecture search");
        printf(".SH SYNOPSIS\n\\fBlode\\fR \\fIVERB\\fR [\\fIoptions\\fR]\n.SH DESCRIPTION\n"
               "Lode trains weight\\-sharing supernets and carves from them a network for each "
               "device. Each verb has a manual page of its own.\n.SH VERBS\n");
        for (int i = 0; i < cli_n_verbs(); i++) {
            printf(".TP\n\\fB%s\\fR\n", cli_verb_at(i)->name);
            manual_text(cli_verb_at(i)->about);
        }
        manual_codes();
        return;
    }
    snprintf(name, sizeof name, "lode %s", v->name);
    manual_header(name, v->about);
    printf(".SH SYNOPSIS\n\\fBlode %s\\fR [\\fIoptions\\fR] %s\n", v->name,
           v->arguments ? v->arguments : "");
    if (v->details) {
        printf(".SH DESCRIPTION\n");
        manual_text(v->details);
    }
    printf(".SH OPTIONS\n");
    for (int i = 0; i < v->n_options; i++) manual_option(&v->options[i]);
    for (int i = 0; i < cli_n_common; i++) manual_option(&cli_common[i]);
    if (v->tables) printf(".SH RECIPE\n");
    for (const lode_option_table *const *t = v->tables ? v->tables() : NULL; t && *t; t++) {
        char *text = lode_options_man(*t);
        if (text) {
            printf(".SS ");
            help_section(*t);
            printf("\n%s", text);
        }
        lode_free(text);
    }
    manual_codes();
}
