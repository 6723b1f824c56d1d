/* verb_info.c: `lode info`, `lode ops`, `lode manual`. */
#include "core/memory.h"
#include "core/parallel.h"
#include "core/platform.h"
#include "data/data.h"
#include "data/dataset.h"
#include "hwcost/cost.h"
#include "lode_build.h"
#include "ops/dispatch.h"
#include "search/searcher.h"
#include "supernet/space.h"
#include "tools/cli.h"
#include "train/strategy.h"

#include <stdio.h>
#include <string.h>

static json_t *info_providers(const cli *c) {
    json_t *list = json_array();
    cli_print(c, "providers\n");
    for (int i = 0; i < lode_n_providers(); i++) {
        const lode_provider *p = lode_provider_at(i);
        char text[128] = "";
        bool available = !p->available || p->available();
        if (p->describe) p->describe(text);
        cli_print(c, "  %-10s %s%s%d kernels%s\n", p->name, text, text[0] ? ", " : "", p->n_kernels,
                  available ? "" : " (not available on this machine)");
        json_array_append_new(list,
                              json_pack("{s:s, s:s, s:b, s:i}", "name", p->name, "about", text,
                                        "available", available, "kernels", p->n_kernels));
    }
    return list;
}

static json_t *info_datasets(const cli *c) {
    json_t *list = json_array();
    lode_data_options options;
    lode_data *data = NULL;
    cli_print(c, "datasets found\n");
    if (lode_data_options_init(&options) != LODE_OK) return list;
    options.name = "idx";
    if (lode_data_open(&options, 1, &data) == LODE_OK) {
        char *text = lode_data_describe(data);
        cli_print(c, "  fashion-mnist  %s\n", text ? text : "");
        json_array_append_new(list, json_string("fashion-mnist"));
        lode_free(text);
    } else
        cli_print(c, "  none: apt install dataset-fashion-mnist brings the default one\n");
    lode_data_close(data);
    lode_data_options_deinit(&options);
    return list;
}

static lode_status info_run(cli *c) {
    lode_cpu cpu = lode_cpu_get();
    char **spaces = NULL;
    int64_t n_spaces = 0;
    const char *isa = cpu.avx512 ? "avx512" : cpu.avx2 ? "avx2" : "base";
    cli_print(c, "lode %s (%s, %s)\n", LODE_VERSION, LODE_BUILD_TYPE, LODE_BUILD_COMPILER);
    cli_print(c, "cpu   %s, %d cores, %s, %.0f MHz\n", cpu.name, cpu.n_cores, isa, cpu.mhz);
    cli_print(c, "memory %.1f GiB available; threads %d\n",
              (double)lode_available_memory_bytes() / (1 << 30), lode_get_threads());
    json_t *providers = info_providers(c), *datasets = info_datasets(c);
    json_t *space_list = json_array();
    LODE_TRY(lode_space_names(&spaces, &n_spaces));
    cli_print(c, "spaces\n ");
    for (int64_t i = 0; i < n_spaces; i++) {
        cli_print(c, " %s", spaces[i]);
        json_array_append_new(space_list, json_string(spaces[i]));
    }
    cli_print(c, "\ncost models\n ");
    for (int i = 0; i < lode_n_cost_models(); i++) cli_print(c, " %s", lode_cost_model_at(i)->name);
    int n = 0;
    const lode_strategy_plugin *const *strategies = lode_strategy_plugins(&n);
    cli_print(c, "\nstrategies\n ");
    for (int i = 0; i < n; i++) cli_print(c, " %s", strategies[i]->name);
    cli_print(c, "\nsearchers\n ");
    for (int i = 0; i < lode_n_searchers(); i++) cli_print(c, " %s", lode_searcher_at(i)->name);
    cli_print(c, "\n");
    lode_names_free(spaces, n_spaces);
    cli_result(c, json_pack("{s:s, s:s, s:s, s:s, s:i, s:s, s:f, s:o, s:o, s:o}", "version",
                            LODE_VERSION, "build", LODE_BUILD_TYPE, "compiler", LODE_BUILD_COMPILER,
                            "cpu", cpu.name, "cores", cpu.n_cores, "isa", isa, "mhz", cpu.mhz,
                            "providers", providers, "datasets", datasets, "spaces", space_list));
    return LODE_OK;
}

const cli_verb cli_verb_info = {
    .name = "info",
    .about = "version, build, processor, providers, datasets, what is built in",
    .run = info_run,
};

static lode_status ops_run(cli *c) {
    json_t *list = json_array();
    cli_print(c, "%-18s", "operator");
    for (int p = 0; p < lode_n_providers(); p++) cli_print(c, " %-10s", lode_provider_at(p)->name);
    cli_print(c, "\n");
    for (int i = 0; i < lode_n_ops(); i++) {
        json_t *names = json_array();
        cli_print(c, "%-18s", lode_op_at(i)->name);
        for (int p = 0; p < lode_n_providers(); p++) {
            const lode_provider *provider = lode_provider_at(p);
            bool has = strcmp(provider->name, "reference") == 0;
            for (int k = 0; k < provider->n_kernels; k++)
                has = has || provider->kernels[k].op == lode_op_at(i);
            cli_print(c, " %-10s", has ? "yes" : "-");
            if (has) json_array_append_new(names, json_string(provider->name));
        }
        cli_print(c, "\n");
        json_array_append_new(
            list, json_pack("{s:s, s:o}", "name", lode_op_at(i)->name, "providers", names));
    }
    cli_result(c, list);
    return LODE_OK;
}

const cli_verb cli_verb_ops = {
    .name = "ops",
    .about = "operators and which providers have kernels for them",
    .run = ops_run,
};

static lode_status manual_run(cli *c) {
    if (cli_n_arguments(c) == 0) {
        cli_print_manual(NULL);
        return LODE_OK;
    }
    char name[80] = "";
    for (int i = 0; i < cli_n_arguments(c); i++) {
        size_t n = strlen(name);
        snprintf(name + n, sizeof name - n, "%s%s", i ? " " : "", cli_argument(c, i));
    }
    for (int i = 0; i < cli_n_verbs(); i++)
        if (strcmp(cli_verb_at(i)->name, name) == 0) {
            cli_print_manual(cli_verb_at(i));
            return LODE_OK;
        }
    return cli_usage_error(c, "no verb \"%s\"", name);
}

const cli_verb cli_verb_manual = {
    .name = "manual",
    .arguments = "[VERB]",
    .about = "the manual page of a verb, for man(1): lode manual search | man -l -",
    .run = manual_run,
};
