/* import.h: reads tables of other projects into foreign tables (foreign.h).

   An importer is a const struct in its own file plus a line in importers.def. The source is CSV
   with a header, or (ProxylessNAS, Once-for-all) the authors' YAML, a map of keys with `mean`. The
   unit must be given: sources rarely say it, and a wrong one is not noticed. Where columns name a
   unit it must be the same. */
#ifndef LODE_HWCOST_IMPORT_H
#define LODE_HWCOST_IMPORT_H
#include "hwcost/foreign.h"

typedef struct lode_import_options {
    const char *format;       /* an importer's name */
    const char *unit;         /* "ms"; must be given */
    const char *quantity;     /* NULL: latency_<unit>, energy_<unit> for mJ and uJ */
    const char *space;        /* choices: the space; NULL: the importer's */
    const char *device;       /* NULL: unknown */
    const char *column;       /* of the values; NULL: the only one that can be */
    const char *const *where; /* [n_where] "COLUMN=VALUE": only rows with that value */
    int n_where;
} lode_import_options;

/* Reads PATH. Rows that are no part of a network are errors, with file and line. */
LODE_API lode_status lode_import(const char *path, const lode_import_options *options,
                                 lode_foreign **out);

LODE_API int lode_n_importers(void);
LODE_API const char *lode_importer_name(int i);
LODE_API const char *lode_importer_about(int i);
#endif
