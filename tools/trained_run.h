/* trained_run.h: a run directory with a trained supernet, opened to be judged or carved. */
#ifndef LODE_TOOLS_TRAINED_RUN_H
#define LODE_TOOLS_TRAINED_RUN_H
#include "ops/dispatch.h"
#include "search/recipe.h"

typedef struct trained_run {
    lode_recipe *recipe;
    lode_data *data;
    lode_space *space;
    lode_supernet *net; /* with the trained weights */
    lode_dispatch *dispatch;
} trained_run;

/* LODE_ERR_NOT_FOUND: there is no supernet.safetensors. Zero `out` before; close it in any case. */
lode_status trained_run_open(const char *directory, trained_run *out);
void trained_run_close(trained_run *r);
#endif
