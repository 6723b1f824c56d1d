/* config.h: options are described once, as rows beside the struct they fill; the rows give the YAML
   reader, --set, --help, the manual and the range checks.

       typedef struct { double lr; int64_t epochs; bool nesterov; const char *name; } sgd_options;
       static const lode_option rows[] = {
           {"lr", LODE_OPT_F64, offsetof(sgd_options, lr), "0.1", 0, 10, NULL, "peak learning
   rate"},
           ...
       };
       static const lode_option_table table = {"train.sgd", rows, 4};
       LODE_TRY(lode_config_read(config, &table, &options));

   Defaults, then the file, then --set. Keys nobody has read by lode_config_finish are errors with
   line number and the nearest known key. Strings and lists belong to the config. */
#ifndef LODE_CORE_CONFIG_H
#define LODE_CORE_CONFIG_H
#include "core/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- YAML as a tree with line numbers (also read directly, by spaces) ---- */
typedef enum lode_yaml_kind { LODE_YAML_SCALAR, LODE_YAML_LIST, LODE_YAML_MAP } lode_yaml_kind;
typedef struct lode_yaml lode_yaml;
struct lode_yaml {
    lode_yaml_kind kind;
    int line;           /* 1-based */
    const char *key;    /* within a map; else NULL */
    const char *scalar; /* kind SCALAR: its text */
    bool quoted;        /* kind SCALAR: was quoted, so never null */
    int n;              /* children of LIST and MAP */
    lode_yaml **item;   /* [n] */
    bool used;          /* somebody read it (set by the lookups below) */
};
/* One document of YAML 1.1: anchors, aliases and merge keys (<<) are expanded; keys are text and
   stand once in their map; own tags are refused. An empty text is an empty map. */
LODE_API lode_status lode_yaml_parse(const char *text, const char *name, lode_yaml **out);
LODE_API lode_status lode_yaml_read(const char *path, lode_yaml **out);
LODE_API void lode_yaml_destroy(lode_yaml *root);
/* Child of a map by key, marked used, or NULL. */
LODE_API lode_yaml *lode_yaml_get(lode_yaml *map, const char *key);
/* A plain (unquoted) empty scalar, "~" or "null". */
LODE_API bool lode_yaml_is_null(const lode_yaml *node);
/* Typed reads with messages "NAME:LINE: key `k`: ...". `def` when the key is absent; null only
   where `def` is NULL. min == max: no range. */
LODE_API lode_status lode_yaml_int(lode_yaml *map, const char *key, int64_t def, int64_t min,
                                   int64_t max, int64_t *out);
LODE_API lode_status lode_yaml_f64(lode_yaml *map, const char *key, double def, double min,
                                   double max, double *out);
LODE_API lode_status lode_yaml_bool(lode_yaml *map, const char *key, bool def, bool *out);
LODE_API lode_status lode_yaml_string(lode_yaml *map, const char *key, const char *def,
                                      const char **out);
/* Begins a story about this node, "NAME:LINE: key `k`: ...": LODE_ERR_CONFIG, which it returns. */
LODE_API lode_status lode_yaml_fail(const lode_yaml *node, const char *fmt, ...) LODE_PRINTF(2, 3);
/* The name given to parse/read for the tree this node belongs to (for messages). */
LODE_API const char *lode_yaml_name(const lode_yaml *node);
/* Marks the node and all below it as read, for code that walks `item` by itself. */
LODE_API void lode_yaml_mark_used(lode_yaml *node);
/* Another text for a plain scalar. */
LODE_API lode_status lode_yaml_set_scalar(lode_yaml *node, const char *text);
/* First map key below `root` that nobody read: an error naming it and the nearest of `known`
   (NULL-terminated, may be NULL) and of the keys that were looked up there in vain. */
LODE_API lode_status lode_yaml_check_used(const lode_yaml *root, const char *const *known);
/* The tree as YAML text; lode_free. */
LODE_API char *lode_yaml_dump(const lode_yaml *root);

/* ---- option tables ---- */
typedef enum lode_option_type {
    LODE_OPT_BOOL,       /* bool */
    LODE_OPT_INT,        /* int64_t */
    LODE_OPT_F64,        /* double */
    LODE_OPT_STRING,     /* const char *, NULL when default is NULL */
    LODE_OPT_ENUM,       /* int: index into `words`, "a|b|c" */
    LODE_OPT_F64_LIST,   /* lode_f64_list */
    LODE_OPT_STRING_LIST /* lode_string_list; a plain scalar is a list of one */
} lode_option_type;
typedef struct lode_f64_list {
    int n;
    const double *v;
} lode_f64_list;
typedef struct lode_string_list {
    int n;
    const char *const *v;
} lode_string_list;

typedef struct lode_option {
    const char *name; /* within its section: "lr" */
    lode_option_type type;
    size_t offset;     /* offsetof in the options struct */
    const char *def;   /* default: text as it is, else as in YAML, lists "[a, b]". NULL: no text, an
                          empty list; a bool, number or enum without default must be given */
    double min, max;   /* inclusive range of numbers; min == max: no check */
    const char *words; /* ENUM: "a|b|c"; else unit ("ms", "images") or NULL */
    const char *help;  /* one sentence */
} lode_option;
typedef struct lode_option_table {
    const char *section; /* "train", "train.sgd"; "" for the top level */
    const lode_option *rows;
    int n_rows;
} lode_option_table;

/* Fills `options` with the defaults of the table; what must be given becomes zero. A list with a
   default needs an owner, so it is an error here: use lode_config_read. */
LODE_API lode_status lode_options_default(const lode_option_table *table, void *options);
/* Sets one option from text, as given on a command line; no lists. A string keeps pointing to
   `text`. Messages begin with the section and name. */
LODE_API lode_status lode_options_assign(const lode_option_table *table, const char *name,
                                         const char *text, void *options);
/* The table as aligned text for --help, and as roff for the manual; lode_free, NULL without memory.
   Names are printed as "section.name"; a section of "--" gives "--name". */
LODE_API char *lode_options_help(const lode_option_table *table);
LODE_API char *lode_options_man(const lode_option_table *table);

typedef struct lode_config lode_config;
/* path NULL: an empty recipe. */
LODE_API lode_status lode_config_load(const char *path, lode_config **out);
LODE_API lode_status lode_config_parse(const char *text, const char *name, lode_config **out);
LODE_API void lode_config_destroy(lode_config *c);
/* "train.lr=0.1"; the value is YAML ("[1, 2]" is a list). Overrides the file. A number in the path
   picks an item of a list that is there: "space.stages.0.width=24". Before the first read. */
LODE_API lode_status lode_config_set(lode_config *c, const char *assignment);
LODE_API lode_status lode_config_read(lode_config *c, const lode_option_table *table,
                                      void *options);
/* The raw tree node at "a.b", marked used with everything below, or NULL. */
LODE_API lode_yaml *lode_config_node(lode_config *c, const char *dotted);
/* Fails on the first key nobody read. Call after all reads, before the work. */
LODE_API lode_status lode_config_finish(lode_config *c);
/* The resolved recipe as YAML: every option of every table read, with its value, and what else the
   recipe holds; read again, it gives the same options. lode_free. */
LODE_API char *lode_config_dump(const lode_config *c);

/* The nearest of `words` (n of them) to `s` by edit distance, NULL when none is near. */
LODE_API const char *lode_nearest_word(const char *s, const char *const *words, int n);
#endif
