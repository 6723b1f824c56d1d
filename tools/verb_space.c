/* verb_space.c: `lode space list | show | check | sample`. */
#include "core/memory.h"
#include "core/platform.h"
#include "hwcost/cost.h"
#include "tools/cli.h"
#include "tools/workspace.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const cli_option space_options[] = {WORKSPACE_OPTION_SPACE, WORKSPACE_OPTION_SET};

static void space_count_text(double log10_count, char out[48]) {
    if (log10_count < 15)
        snprintf(out, 48, "%.0f", round(pow(10, log10_count)));
    else
        snprintf(out, 48, "%.2fe%d", pow(10, log10_count - floor(log10_count)), (int)log10_count);
}

/* ---- list ---- */

static lode_status list_run(cli *c) {
    char **names = NULL;
    int64_t n = 0;
    json_t *list = json_array();
    LODE_TRY(lode_space_names(&names, &n));
    for (int64_t i = 0; i < n; i++) {
        lode_space *space = NULL;
        char count[48];
        lode_space_options options = {.name = names[i]};
        lode_status status = lode_space_load(&options, &space);
        if (status != LODE_OK) {
            lode_names_free(names, n);
            json_decref(list);
            return status;
        }
        space_count_text(lode_space_log10_count(space), count);
        cli_print(c, "%-18s %3d decisions  %-12s architectures  %s\n", names[i],
                  lode_space_n_decisions(space), count, lode_space_about(space));
        json_array_append_new(list, json_pack("{s:s, s:i, s:f, s:s}", "name", names[i], "decisions",
                                              lode_space_n_decisions(space), "log10_architectures",
                                              lode_space_log10_count(space), "about",
                                              lode_space_about(space)));
        lode_space_release(space);
    }
    lode_names_free(names, n);
    cli_result(c, list);
    return LODE_OK;
}

const cli_verb cli_verb_space_list = {
    .name = "space list", .about = "the shipped search spaces", .run = list_run};

/* ---- show ---- */

static void show_range(cli *c, const char *name, double min, double max, json_t *out) {
    char a[16], b[16];
    cli_print(c, "%-8s %s to %s\n", name, cli_si(min, a), cli_si(max, b));
    json_object_set_new(out, name,
                        json_pack("{s:f, s:f, s:b}", "min", min, "max", max, "exact", 1));
}

static lode_status show_run(cli *c) {
    workspace w;
    char count[48];
    LODE_TRY(workspace_open(c, true, &w));
    lode_space_options o = lode_space_resolved(w.space);
    json_t *out = json_object();
    space_count_text(lode_space_log10_count(w.space), count);
    cli_print(c, "%s: %s\ninput %lldx%lldx%lld, %lld classes\n%d decisions, %s architectures\n",
              lode_space_name(w.space), lode_space_about(w.space), (long long)o.size,
              (long long)o.size, (long long)o.channels, (long long)o.classes,
              lode_space_n_decisions(w.space), count);
    json_object_set_new(out, "name", json_string(lode_space_name(w.space)));
    json_object_set_new(out, "decisions", json_integer(lode_space_n_decisions(w.space)));
    json_object_set_new(out, "log10_architectures", json_real(lode_space_log10_count(w.space)));
    lode_space_summary m;
    lode_status status = lode_space_summarize(w.space, &m);
    if (status == LODE_OK) {
        show_range(c, "macs", m.min_macs, m.max_macs, out);
        show_range(c, "params", m.min_params, m.max_params, out);
    }
    for (int d = 0; d < lode_space_n_decisions(w.space); d++) {
        const lode_decision *decision = lode_space_decision(w.space, d);
        cli_print(c, "  %-20s", decision->name);
        for (int k = 0; k < decision->n_options; k++) cli_print(c, " %s", decision->option[k]);
        cli_print(c, "\n");
    }
    cli_result(c, out);
    workspace_close(&w);
    return status;
}

const cli_verb cli_verb_space_show = {
    .name = "space show",
    .about = "layers, options, number of architectures, MACs and params ranges",
    .options = space_options,
    .n_options = 2,
    .run = show_run,
};

/* ---- check ---- */

static lode_status check_run(cli *c) {
    if (cli_n_arguments(c) == 0) return cli_usage_error(c, "which file?");
    for (int i = 0; i < cli_n_arguments(c); i++) {
        lode_space *space = NULL;
        lode_supernet *net = NULL;
        lode_tape *trace = NULL;
        lode_space_options options = {.name = cli_argument(c, i)};
        lode_arch arch;
        lode_rng rng = lode_rng_stream(cli_seed(c, 1), LODE_RNG_SEARCH, 0);
        lode_status status = LODE_OK;
        LODE_GOTO(lode_space_load(&options, &space));
        LODE_GOTO(lode_supernet_create(space, NULL, LODE_F32, 1, &net));
        LODE_GOTO(lode_tape_create(LODE_TRACE, NULL, &trace));
        for (int k = 0; k < 16; k++) { /* shapes fit on many paths */
            LODE_GOTO(lode_space_sample(space, &rng, &arch));
            LODE_GOTO(lode_supernet_trace(net, &arch, 1, false, trace));
        }
        cli_print(c, "%s: ok, %d decisions\n", cli_argument(c, i), lode_space_n_decisions(space));
    done:
        lode_tape_destroy(trace);
        lode_supernet_destroy(net);
        lode_space_release(space);
        LODE_TRY(status);
    }
    cli_result(c, json_pack("{s:b}", "ok", 1));
    return LODE_OK;
}

const cli_verb cli_verb_space_check = {
    .name = "space check",
    .arguments = "FILE...",
    .about = "reads space files, builds and traces sampled architectures",
    .run = check_run,
};

/* ---- sample ---- */

static const cli_option sample_options[] = {
    WORKSPACE_OPTION_SPACE, WORKSPACE_OPTION_SET, {"count", 'n', "N", "how many (default 10)"}};

static lode_status sample_run(cli *c) {
    workspace w;
    int64_t n = 10;
    LODE_TRY(cli_get_int(c, "count", 10, 1, 1000000, &n));
    LODE_TRY(workspace_open(c, true, &w));
    json_t *list = json_array();
    lode_status status = LODE_OK;
    lode_cost *macs = NULL, *params = NULL;
    lode_rng rng = lode_rng_stream(cli_seed(c, 1), LODE_RNG_SEARCH, 0);
    LODE_GOTO(lode_cost_open("macs", w.net, 1, &macs));
    LODE_GOTO(lode_cost_open("params", w.net, 1, &params));
    for (int64_t i = 0; i < n; i++) {
        lode_arch arch;
        double m = 0, p = 0;
        char a[16], b[16];
        LODE_GOTO(lode_space_sample(w.space, &rng, &arch));
        LODE_GOTO(lode_cost_hard(macs, &arch, &m));
        LODE_GOTO(lode_cost_hard(params, &arch, &p));
        char *text = lode_arch_code(w.space, &arch);
        LODE_GOTO(text ? LODE_OK : LODE_ERR_NO_MEMORY);
        cli_print(c, "%s  macs %s  params %s\n", text, cli_si(m, a), cli_si(p, b));
        json_array_append_new(list,
                              json_pack("{s:s, s:f, s:f}", "arch", text, "macs", m, "params", p));
        lode_free(text);
    }
done:
    lode_cost_close(macs);
    lode_cost_close(params);
    workspace_close(&w);
    cli_result(c, list);
    return status;
}

const cli_verb cli_verb_space_sample = {
    .name = "space sample",
    .about = "uniformly drawn architectures with their MACs and params",
    .options = sample_options,
    .n_options = 3,
    .run = sample_run,
};
