/* results.h: the networks of a run as a table for people and as JSON. */
#ifndef LODE_TOOLS_RESULTS_H
#define LODE_TOOLS_RESULTS_H
#include "search/run.h"
#include "tools/cli.h"

void results_print(const cli *c, const lode_run_result *r);
json_t *results_json(const char *directory, const lode_run_result *r);
#endif
