/* energy.c: counters of powercap. */
#include "hwcost/energy.h"

#include "core/memory.h"
#include "core/platform.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ENERGY_MAX_ZONES = 16 };

typedef struct energy_zone {
    char *path; /* of energy_uj */
    double range, last, used;
} energy_zone;

struct lode_energy {
    int n;
    energy_zone zone[ENERGY_MAX_ZONES];
};

/* The files of /sys have no size, so they are not mapped. */
static bool energy_word(const char *directory, const char *name, char *out, int n) {
    char *path = directory ? lode_path_join(directory, name) : lode_strdup(name);
    FILE *f = path ? fopen(path, "r") : NULL;
    bool read = f && fgets(out, n, f) != NULL;
    if (f) fclose(f);
    lode_free(path);
    return read;
}

static bool energy_number(const char *directory, const char *name, double *out) {
    char word[64], *end;
    if (!energy_word(directory, name, word, sizeof word)) return false;
    *out = strtod(word, &end);
    return end != word && *out >= 0;
}

/* Adds the zone if it is a package whose counter can be read; *seen counts packages. */
static lode_status energy_add(lode_energy *e, const char *directory, int *seen) {
    char name[64];
    energy_zone z = {0};
    if (!energy_word(directory, "name", name, sizeof name) || strncmp(name, "package-", 8) != 0)
        return LODE_OK;
    ++*seen;
    if (e->n == ENERGY_MAX_ZONES || !energy_number(directory, "energy_uj", &z.last) ||
        !energy_number(directory, "max_energy_range_uj", &z.range))
        return LODE_OK;
    z.path = lode_path_join(directory, "energy_uj");
    if (!z.path) return LODE_ERR_NO_MEMORY;
    e->zone[e->n++] = z;
    return LODE_OK;
}

lode_status lode_energy_open(lode_energy **out) {
    const char *own = getenv("LODE_POWERCAP"), *root = own ? own : "/sys/class/powercap";
    char **names = NULL;
    int64_t n = 0;
    int seen = 0;
    lode_status status = LODE_OK;
    lode_energy *e = *out = LODE_NEW(lode_energy);
    if (!e) return LODE_ERR_NO_MEMORY;
    if (lode_is_directory(root)) LODE_GOTO(lode_list_directory(root, &names, &n));
    for (int64_t i = 0; i < n; i++) {
        char *zone = lode_path_join(root, names[i]);
        status = zone ? energy_add(e, zone, &seen) : LODE_ERR_NO_MEMORY;
        lode_free(zone);
        LODE_GOTO(status);
    }
    if (e->n == 0 || e->n < seen)
        LODE_GOTO(
            LODE_FAIL(LODE_ERR_UNSUPPORTED,
                      "energy: %s has %d packages and %d whose energy_uj this user may read; "
                      "it needs a kernel with powercap (RAPL), a machine that is not virtual, "
                      "and usually root. Leave energy out, or measure it with --runner",
                      root, seen, e->n));
done:
    lode_names_free(names, n);
    if (status != LODE_OK) {
        lode_energy_close(e);
        *out = NULL;
    }
    return status;
}

void lode_energy_close(lode_energy *e) {
    for (int i = 0; e && i < e->n; i++) lode_free(e->zone[i].path);
    lode_free(e);
}

lode_status lode_energy_read(lode_energy *e, double *mj) {
    *mj = 0;
    for (int i = 0; i < e->n; i++) {
        energy_zone *z = &e->zone[i];
        double now;
        if (!energy_number(NULL, z->path, &now))
            return LODE_FAIL(LODE_ERR_IO, "%s: cannot be read any more", z->path);
        z->used += now >= z->last ? now - z->last : now - z->last + z->range;
        z->last = now;
        *mj += 1e-3 * z->used;
    }
    return LODE_OK;
}
