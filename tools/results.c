/* results.c: see results.h. */
#include "tools/results.h"

#include <stdio.h>

static const char *results_percent(double v, char out[16]) {
    if (v < 0)
        snprintf(out, 16, "-");
    else
        snprintf(out, 16, "%.2f %%", 100 * v);
    return out;
}

/* What discretizing cost, and what training gave back. */
static void results_print_gap(const cli *c, const lode_run_result *r) {
    bool any = false;
    for (int i = 0; i < r->n; i++) any = any || r->network[i].accuracy_supernet >= 0;
    if (!any) return;
    cli_print(c, "\nfrom the supernet to the network, accuracy on test:\n");
    cli_print(c, "%-14s %9s %10s %13s %10s\n", "network", "mixture", "cut out", "recalibrated",
              "trained");
    for (int i = 0; i < r->n; i++) {
        const lode_run_network *n = &r->network[i];
        char mixture[16], cut[16], recalibrated[16], trained[16];
        if (n->accuracy_supernet < 0) continue;
        cli_print(c, "%-14s %9s %10s %13s %10s\n", n->name,
                  results_percent(n->accuracy_mixture, mixture),
                  results_percent(n->accuracy_unrecalibrated, cut),
                  results_percent(n->accuracy_supernet, recalibrated),
                  results_percent(n->trained ? n->accuracy : -1, trained));
    }
}

/* Other costs, and what was decided of the device. */
static void results_print_device(const cli *c, const lode_run_result *r) {
    bool any = false;
    for (int i = 0; i < r->n; i++)
        any = any || r->network[i].device[0] != '\0' || r->network[i].costs[0] != '\0';
    if (!any) return;
    cli_print(c, "\n");
    for (int i = 0; i < r->n; i++) {
        const lode_run_network *n = &r->network[i];
        cli_print(c, "%-14s %s%s%s\n", n->name, n->costs,
                  n->costs[0] != '\0' && n->device[0] != '\0' ? "; device: " : "", n->device);
    }
}

void results_print(const cli *c, const lode_run_result *r) {
    cli_print(c, "\n%-14s %9s %10s %10s %10s %8s %8s  %s\n", "network", "test", "supernet",
              "predicted", "measured", "MACs", "params", "target");
    for (int i = 0; i < r->n; i++) {
        const lode_run_network *n = &r->network[i];
        char test[16], inherited[16], macs[16], params[16];
        cli_print(c, "%-14s %9s %10s %7.3f ms %7.3f ms %8s %8s  %s%s\n", n->name,
                  results_percent(n->accuracy, test),
                  results_percent(n->accuracy_supernet, inherited), n->latency_predicted,
                  n->latency_measured, cli_si(n->macs, macs), cli_si(n->params, params), n->target,
                  n->on_front ? " *" : "");
    }
    bool elsewhere = r->n > 0 && r->network[0].elsewhere;
    cli_print(c, "* on the front: no other network here is both more accurate and faster%s\n",
              elsewhere ? " (as predicted)" : "");
    if (elsewhere)
        cli_print(c, "predicted: of the device the recipe names (cost.table); measured: on this "
                     "machine\n");
    results_print_device(c, r);
    if (r->drift > 0)
        cli_print(
            c, "calls ran at %.2f times their time in the table when the networks were measured\n",
            r->drift);
    results_print_gap(c, r);
    cli_print(c, "\n");
}

json_t *results_json(const char *directory, const lode_run_result *r) {
    json_t *list = json_array();
    for (int i = 0; i < r->n; i++) {
        const lode_run_network *n = &r->network[i];
        json_array_append_new(
            list,
            json_pack("{s:s, s:s, s:s, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:b, s:s}", "name",
                      n->name, "role", n->role, "arch", n->arch, "accuracy", n->accuracy,
                      "accuracy_supernet", n->accuracy_supernet, "accuracy_supernet_unrecalibrated",
                      n->accuracy_unrecalibrated, "accuracy_mixture", n->accuracy_mixture,
                      "latency_ms_predicted", n->latency_predicted, "latency_ms_measured",
                      n->latency_measured, "macs", n->macs, "params", n->params, "on_front",
                      n->on_front, "target", n->target));
    }
    return json_pack("{s:s, s:f, s:f, s:o}", "directory", directory, "seconds", r->seconds,
                     "latency_drift", r->drift, "networks", list);
}
