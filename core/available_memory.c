/* available_memory.c: how much memory is left, from what Linux says in text files.

   Three may say no: the system as a whole (MemAvailable), a control group this process is in or one
   above it (containers, batch systems), and a limit on its address space. The least counts. A group
   is charged for cached files too, which go when memory gets short; those not in use lately
   (inactive_file) are therefore as good as free. */
#include "core/memory.h"
#include "core/platform.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The number behind the first line of `path` that begins with `key`, -1 when there is none. */
static double available_field(const char *path, const char *key) {
    char line[512];
    double value = -1;
    FILE *f = fopen(path, "r");
    if (f == NULL) return -1;
    while (value < 0 && fgets(line, sizeof line, f) != NULL) {
        size_t n = strlen(key);
        if (strncmp(line, key, n) != 0) continue;
        char *end = line + n, *at = end + strspn(end, ": \t");
        double v = strtod(at, &end);
        if (end == at) break; /* "unlimited" */
        value = v;
    }
    fclose(f);
    return value;
}

/* The two generations of control groups name things differently. */
typedef struct available_names {
    const char *root, *limit, *used, *idle;
} available_names;
static const available_names available_v1 = {"/sys/fs/cgroup/memory", "memory.limit_in_bytes",
                                             "memory.usage_in_bytes", "total_inactive_file "};
static const available_names available_v2 = {"/sys/fs/cgroup", "memory.max", "memory.current",
                                             "inactive_file "};

static double available_number(const available_names *n, const char *group, const char *file,
                               const char *key) {
    char *path = lode_format("%s%s/%s", n->root, group, file);
    double value = path != NULL ? available_field(path, key) : -1;
    lode_free(path);
    return value;
}

/* The least of `left` and what the group and those above it leave. `group` is cut to pieces. */
static double available_in_groups(const available_names *n, char *group, double left) {
    for (;;) {
        size_t length = strlen(group);
        while (length > 0 && group[length - 1] == '/') group[--length] = '\0';
        double limit = available_number(n, group, n->limit, "");
        double used = available_number(n, group, n->used, "");
        double idle = available_number(n, group, "memory.stat", n->idle);
        if (limit >= 0 && used >= 0) {
            double here = limit - used + (idle > 0 ? idle : 0);
            if (here < 0) here = 0;
            if (left < 0 || here < left) left = here;
        }
        char *slash = strrchr(group, '/');
        if (slash == NULL) return left;
        *slash = '\0';
    }
}

static double available_by_groups(double left) {
    char line[1024];
    FILE *f = fopen("/proc/self/cgroup", "r");
    if (f == NULL) return left;
    while (fgets(line, sizeof line, f) != NULL) { /* "4:memory:/a/b", "0::/a/b" */
        char *what = strchr(line, ':'), *group = what != NULL ? strchr(what + 1, ':') : NULL;
        if (group == NULL) continue;
        *group++ = '\0';
        group[strcspn(group, "\n")] = '\0';
        if (strcmp(what, ":memory") == 0) left = available_in_groups(&available_v1, group, left);
        if (strcmp(what, ":") == 0) left = available_in_groups(&available_v2, group, left);
    }
    fclose(f);
    return left;
}

int64_t lode_available_memory_bytes(void) {
    double kib = available_field("/proc/meminfo", "MemAvailable"),
           left = kib >= 0 ? kib * 1024 : -1;
    left = available_by_groups(left);
    double limit = available_field("/proc/self/limits", "Max address space");
    double held = available_field("/proc/self/status", "VmSize");
    if (limit >= 0 && held >= 0 && (left < 0 || limit - 1024 * held < left))
        left = limit > 1024 * held ? limit - 1024 * held : 0;
    return left >= 0 ? (int64_t)left : 0;
}

int64_t lode_rss_bytes(void) {
    double kib = available_field("/proc/self/status", "VmRSS");
    return kib >= 0 ? (int64_t)(kib * 1024) : 0;
}
