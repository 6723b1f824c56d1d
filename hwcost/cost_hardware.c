/* cost_hardware.c: a device of which the space decides keys (`hardware:`, supernet/space.h): the
   file is read once for each combination of their options, so that one that cannot be built is told
   before anything is searched. */
#include "core/memory.h"
#include "hwcost/cost_internal.h"

#include <string.h>

void cost_hardware_close(cost_hardware *h) {
    for (int i = 0; h->variant && i < h->n; i++) lode_hardware_close(h->variant[i]);
    lode_free(h->variant);
    *h = (cost_hardware){0};
}

int cost_hardware_of(const cost_hardware *h, const lode_arch *arch) {
    int at = 0;
    for (int i = 0; i < h->n_reads; i++)
        at = at * h->n_options[i] + (arch ? arch->option[h->decision[i]] : 0);
    return at;
}

/* Combination `at` as settings [n_reads]; option[] of a fixed network instead where it is given. */
static void hardware_settings(const cost_hardware *h, const lode_space *space, int at,
                              const lode_arch *fixed, lode_hardware_setting *out) {
    for (int i = h->n_reads - 1; i >= 0; i--) {
        const lode_decision *d = lode_space_decision(space, h->decision[i]);
        int option = fixed ? fixed->option[h->decision[i]] : at % h->n_options[i];
        out[i] = (lode_hardware_setting){d->key, d->text[option]};
        at /= h->n_options[i];
    }
}

static lode_status hardware_context(const cost_hardware *h, const lode_space *space, int at,
                                    const lode_arch *fixed) {
    lode_hardware_setting setting[COST_MAX_HARDWARE];
    lode_text list = {0};
    hardware_settings(h, space, at, fixed, setting);
    for (int k = 0; k < h->n_reads; k++)
        lode_text_add(&list, "%s%s %s", k ? ", " : "", setting[k].key, setting[k].value);
    lode_status status = lode_error_context("with %s", list.s ? list.s : "the device as it is");
    lode_text_deinit(&list);
    return status;
}

lode_status cost_hardware_context(const cost_hardware *h, const lode_space *space, int at) {
    return hardware_context(h, space, at, NULL);
}

static lode_status hardware_open_all(const char *file, const lode_space *space,
                                     const lode_arch *fixed, cost_hardware *h) {
    lode_hardware_setting setting[COST_MAX_HARDWARE];
    h->variant = LODE_NEW_ARRAY(lode_hardware *, h->n);
    if (!h->variant) return LODE_ERR_NO_MEMORY;
    for (int i = 0; i < h->n; i++) {
        hardware_settings(h, space, i, fixed, setting);
        if (lode_hardware_open_with(file, setting, h->n_reads, &h->variant[i]) == LODE_OK) continue;
        if (h->n_reads == 0) return lode_error_context("device %s", file);
        return hardware_context(h, space, i, fixed);
    }
    return LODE_OK;
}

lode_status cost_hardware_open(const char *file, lode_supernet *net, cost_hardware *out) {
    enum { MOST = 1024 };
    const lode_space *space = lode_supernet_space(net);
    lode_arch arch;
    bool fixed = lode_supernet_is_fixed(net, &arch);
    *out = (cost_hardware){.n = 1};
    for (int d = 0; d < lode_space_n_decisions(space); d++) {
        const lode_decision *decision = lode_space_decision(space, d);
        if (decision->kind != LODE_DECISION_HARDWARE) continue;
        if (out->n_reads == COST_MAX_HARDWARE || out->n * decision->n_options > MOST)
            return LODE_FAIL(LODE_ERR_CONFIG,
                             "space %s decides too much of the device: at most %d keys and %d "
                             "combinations",
                             lode_space_name(space), COST_MAX_HARDWARE, (int)MOST);
        out->decision[out->n_reads] = d;
        out->n_options[out->n_reads++] = decision->n_options;
        out->n *= decision->n_options;
    }
    if (fixed) out->n = 1;
    lode_status status = hardware_open_all(file, space, fixed ? &arch : NULL, out);
    if (fixed) out->n_reads = 0; /* one device, and nothing left to read */
    if (status != LODE_OK) cost_hardware_close(out);
    return status;
}
