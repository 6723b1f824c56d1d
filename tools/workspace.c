/* workspace.c: opening what verbs work on. */
#include "tools/workspace.h"

#include "core/memory.h"

#include <string.h>

static lode_status workspace_config(cli *c, lode_config **out) {
    const char *const *sets;
    int n = cli_get_all(c, "set", &sets);
    LODE_TRY(lode_config_load(NULL, out));
    for (int i = 0; i < n; i++) {
        lode_status status = lode_config_set(*out, sets[i]);
        if (status != LODE_OK) {
            lode_config_destroy(*out);
            *out = NULL;
            return status;
        }
    }
    return LODE_OK;
}

static lode_status workspace_open_space(cli *c, workspace *w) {
    const char *name = NULL;
    lode_space_options options;
    lode_config *config = NULL;
    lode_status status = LODE_OK;
    LODE_TRY(cli_need(c, "space", &name));
    LODE_GOTO(workspace_config(c, &config));
    LODE_GOTO(lode_config_read(config, &lode_space_option_table, &options));
    LODE_GOTO(lode_config_finish(config));
    options.name = name;
    LODE_GOTO(lode_space_load(&options, &w->space));
    w->owns_space = true;
done:
    lode_config_destroy(config);
    return status;
}

lode_status workspace_open(cli *c, bool with_net, workspace *w) {
    const char *subnet = cli_get(c, "model", NULL);
    const char *providers = cli_get(c, "providers", NULL);
    lode_dispatch_options dispatch = {.providers = providers};
    lode_status status = LODE_OK;
    memset(w, 0, sizeof *w);
    if (subnet) {
        LODE_GOTO(lode_subnet_load(subnet, &w->net));
        w->space = lode_supernet_space(w->net);
    } else {
        LODE_GOTO(workspace_open_space(c, w));
        if (with_net)
            LODE_GOTO(lode_supernet_create(w->space, NULL, LODE_F32, cli_seed(c, 1), &w->net));
    }
    LODE_GOTO(lode_dispatch_create(&dispatch, &w->dispatch));
done:
    if (status != LODE_OK) workspace_close(w);
    return status;
}

void workspace_close(workspace *w) {
    if (w->owns_space) lode_space_release(w->space);
    lode_supernet_destroy(w->net);
    lode_dispatch_destroy(w->dispatch);
    memset(w, 0, sizeof *w);
}

lode_status workspace_open_data(cli *c, const lode_supernet *net, lode_config **config,
                                lode_data_options *options, lode_data **out) {
    lode_status status = LODE_OK;
    char *name = NULL, *assignment = NULL;
    const char *spec = NULL, *colon;
    lode_space_options want = lode_space_resolved(lode_supernet_space(net));
    *out = NULL;
    LODE_GOTO(cli_need(c, "data", &spec));
    LODE_GOTO(workspace_config(c, config));
    colon = strchr(spec, ':');
    name = colon ? lode_strndup(spec, (size_t)(colon - spec)) : lode_strdup(spec);
    LODE_GOTO(name ? LODE_OK : LODE_ERR_NO_MEMORY);
    assignment = lode_format("data.name=%s", name);
    LODE_GOTO(assignment ? lode_config_set(*config, assignment) : LODE_ERR_NO_MEMORY);
    if (colon) {
        lode_free(assignment);
        assignment = lode_format("data.path=%s", colon + 1);
        LODE_GOTO(assignment ? lode_config_set(*config, assignment) : LODE_ERR_NO_MEMORY);
    }
    LODE_GOTO(lode_data_options_read(*config, options));
    if (options->size == 0) options->size = want.size;
    if (options->channels == 0) options->channels = want.channels;
    /* Made-up data have as many classes as one asks for. */
    if (options->classes == 0 && strcmp(name, "synthetic") == 0) options->classes = want.classes;
    LODE_GOTO(lode_config_finish(*config));
    LODE_GOTO(lode_data_open(options, cli_seed(c, 1), out));
    if (lode_data_n_classes(*out) != want.classes)
        status = LODE_FAIL(LODE_ERR_CONFIG, "data %s has %d classes, the network %lld", spec,
                           lode_data_n_classes(*out), (long long)want.classes);
done:
    if (status != LODE_OK) {
        lode_data_close(*out);
        *out = NULL;
    }
    lode_free(name);
    lode_free(assignment);
    return status;
}
