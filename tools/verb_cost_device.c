/* verb_cost_device.c: `lode cost devices | calibrate`: device files, shipped ones and one of this
   machine. */
#include "core/memory.h"
#include "hwcost/calibrate.h"
#include "tools/profile_options.h"
#include "tools/workspace.h"

#include <stdio.h>
#include <string.h>

/* ---- devices ---- */

static lode_status devices_print(cli *c, const char *name, json_t *list) {
    lode_hardware *h = NULL;
    lode_text quantities = {0};
    LODE_TRY(lode_hardware_open(name, &h));
    json_t *names = json_array();
    for (int i = 0; i < h->kind->n_quantities; i++) {
        lode_text_add(&quantities, " %s", h->kind->quantity[i]->name);
        json_array_append_new(names, json_string(h->kind->quantity[i]->name));
    }
    cli_print(c, "%-18s %-13s %-5s %s\n%39s%s\n", name, h->kind->name,
              lode_hardware_dtype_name(h->dtype), h->about, "", quantities.s ? quantities.s : "");
    json_array_append_new(list,
                          json_pack("{s:s, s:s, s:s, s:s, s:o}", "name", name, "kind",
                                    h->kind->name, "dtype", lode_hardware_dtype_name(h->dtype),
                                    "about", h->about, "quantities", names));
    lode_text_deinit(&quantities);
    lode_hardware_close(h);
    return LODE_OK;
}

static lode_status devices_run(cli *c) {
    char **names = NULL;
    int64_t n = 0;
    json_t *list = json_array();
    lode_status status = LODE_OK;
    LODE_GOTO(lode_hardware_names(&names, &n));
    for (int64_t i = 0; i < n; i++) LODE_GOTO(devices_print(c, names[i], list));
done:
    lode_names_free(names, n);
    cli_result(c, list);
    return status;
}

const cli_verb cli_verb_cost_devices = {
    .name = "cost devices",
    .about = "lists the device files there are, and what each can price",
    .details = "A device file is a text that describes a device in numbers with their sources. Its "
               "name goes behind the equals sign of a cost, --cost latency_ms=raspberry-pi-4; so "
               "does the path of a file of your own. docs/costs.md explains the keys.",
    .run = devices_run,
};

/* ---- calibrate ---- */

static const cli_option calibrate_options[] = {
    {"output", 'o', "FILE", "where the device file goes, .yaml (needed)"},
    {"name", 0, "NAME", "what the device is called (default: this-machine)"},
    {"space", 's', "SPACE", "fit to the calls of this space instead of Lode's own selection"},
    WORKSPACE_OPTION_SET,
    PROFILE_OPTIONS,
};

static lode_status calibrate_write(const lode_calibration *k, const char *name, const char *path) {
    char *body = lode_roofline_text(&k->roofline);
    char *text = body
                     ? lode_format("# Made by `lode cost calibrate`, %s: %lld calls of space %s at "
                                   "batch %lld,\n# %d threads, fitted with a mean error of %.1f %%."
                                   "\nname: %s\nabout: \"%s, %d threads, calibrated\"\n%s",
                                   k->info.created, (long long)k->n_calls, k->info.space,
                                   (long long)k->info.batch, k->info.threads, k->mape, name,
                                   k->info.device, k->info.threads, body)
                     : NULL;
    lode_status status = text ? lode_file_write_atomic(path, text, strlen(text))
                              : LODE_FAIL(LODE_ERR_NO_MEMORY, "no memory to write %s", path);
    lode_free(body);
    lode_free(text);
    return status;
}

/* The space given, or the one made for it. */
static lode_status calibrate_open(cli *c, workspace *w) {
    lode_dispatch_options dispatch = {.providers = NULL};
    if (cli_get(c, "space", NULL)) return workspace_open(c, true, w);
    memset(w, 0, sizeof *w);
    w->owns_space = true;
    lode_status status = lode_space_parse(lode_calibration_space(), "calibration", NULL, &w->space);
    if (status == LODE_OK)
        status = lode_supernet_create(w->space, NULL, LODE_F32, cli_seed(c, 1), &w->net);
    if (status == LODE_OK) status = lode_dispatch_create(&dispatch, &w->dispatch);
    if (status != LODE_OK) workspace_close(w);
    return status;
}

static lode_status calibrate_run(cli *c) {
    workspace w = {0};
    lode_profile_options o;
    lode_calibration k;
    const char *path = NULL, *name = cli_get(c, "name", "this-machine");
    lode_status status = LODE_OK;
    LODE_TRY(cli_need(c, "output", &path));
    LODE_TRY(profile_options_read(c, &o));
    LODE_TRY(calibrate_open(c, &w));
    LODE_GOTO(lode_calibrate(w.net, w.dispatch, &o, cli_progress(c), &k));
    LODE_GOTO(calibrate_write(&k, name, path));
    cli_print(c, "%s: %lld calls, %d threads, %s\n", path, (long long)k.n_calls, k.info.threads,
              k.info.device);
    cli_print(c, "peak %.1f GFLOP/s; ", k.roofline.peak_gflops);
    for (int l = 0; l < k.roofline.n_levels; l++)
        cli_print(c, "%s %.1f GB/s; ", k.roofline.level[l].name, k.roofline.level[l].gbps);
    cli_print(c, "mean error of the calls %.1f %%\n", k.mape);
    cli_result(c, json_pack("{s:s, s:I, s:f, s:f}", "device", path, "calls", (json_int_t)k.n_calls,
                            "peak_gflops", k.roofline.peak_gflops, "mape", k.mape));
done:
    workspace_close(&w);
    return status;
}

const cli_verb cli_verb_cost_calibrate = {
    .name = "cost calibrate",
    .about = "measures this machine and writes its device file",
    .details =
        "Times operator calls of all classes and sizes as they run in networks, and fits peak, "
        "efficiency and overhead of each class of work and the bandwidth of each level of memory. "
        "The file prices any space: --cost latency_ms=FILE. Compare it with whole networks by "
        "`lode cost verify`. Leave the machine alone meanwhile.",
    .options = calibrate_options,
    .n_options = (int)(sizeof calibrate_options / sizeof *calibrate_options),
    .run = calibrate_run,
};
