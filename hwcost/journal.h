/* journal.h: what was measured so far, so that a killed measurement goes on: a text file with one
   JSON object per line, the first of which says what is measured and how. */
#ifndef LODE_HWCOST_JOURNAL_H
#define LODE_HWCOST_JOURNAL_H
#include "core/json.h"

/* Begins PATH with `about`, or reads what is there: *lines becomes the array of the lines behind
   the first (json_decref; empty for a new one). A last line that was cut off is left out.
   LODE_ERR_CONFIG when it was begun with another `about`: names the first key that differs, and
   what to do. path NULL: no journal, no lines. */
LODE_API lode_status lode_journal_open(const char *path, json_t *about, json_t **lines);
/* Adds one line; consumes it. */
LODE_API lode_status lode_journal_add(const char *path, json_t *line);
/* The work is done and written elsewhere. */
LODE_API lode_status lode_journal_remove(const char *path);
#endif
