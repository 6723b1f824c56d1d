/* platform_machine.c: clocks, processor, memory, terminal.

   Linux adds to POSIX what it alone tells (affinity, /proc, /sys). Where a system does not say, the
   answer is the header's "unknown". */
#if defined(__APPLE__)
#define _DARWIN_C_SOURCE
#else
#define _GNU_SOURCE /* sched_getaffinity */
#endif
#include "core/platform.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#if defined(__linux__)
#include <sched.h>
#endif

/* ---- clock ---- */

double lode_clock(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double lode_thread_clock(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void lode_timestamp(char out[32]) {
    time_t now = time(NULL);
    struct tm tm;
    gmtime_r(&now, &tm);
    strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

/* ---- processor and memory ---- */

/* The text after the colon of the first line of `path` that starts with `key`. */
static bool platform_proc_field(const char *path, const char *key, char *out, size_t size) {
    FILE *f = fopen(path, "re");
    if (f == NULL) return false;
    char line[512];
    bool found = false;
    while (!found && fgets(line, sizeof line, f) != NULL) {
        char *colon = strchr(line, ':');
        if (strncmp(line, key, strlen(key)) != 0 || colon == NULL) continue;
        colon += strspn(colon, ": \t");
        colon[strcspn(colon, "\n")] = '\0';
        snprintf(out, size, "%s", colon);
        found = true;
    }
    fclose(f);
    return found;
}

/* The first number in a small file such as those of control groups; -1 when there is none
   ("max"). `second` gets the next number. */
static double platform_read_numbers(const char *path, double *second) {
    char line[128] = "", *end = line;
    FILE *f = fopen(path, "re");
    if (f == NULL) return -1;
    if (fgets(line, sizeof line, f) == NULL) line[0] = '\0';
    fclose(f);
    double first = strtod(line, &end);
    if (end == line) return -1;
    if (second != NULL) *second = strtod(end, NULL);
    return first;
}

/* The first line of a small file; empty when there is none. */
static void platform_read_line(const char *path, char *line, size_t size) {
    FILE *f = fopen(path, "re");
    line[0] = '\0';
    if (f == NULL) return;
    if (fgets(line, (int)size, f) == NULL) line[0] = '\0';
    fclose(f);
}

static int platform_count_cores(void) {
    long n = sysconf(_SC_NPROCESSORS_ONLN);
#if defined(__linux__)
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) n = CPU_COUNT(&set);
    /* A container may own a share of more cores than it sees. */
    double period = -1, quota = platform_read_numbers("/sys/fs/cgroup/cpu.max", &period);
    if (quota > 0 && period > 0 && quota / period < (double)n) n = (long)(quota / period + 0.5);
#endif
    return n < 1 ? 1 : (int)n;
}

#if defined(__linux__)
/* "0-3,6" into set. */
static bool platform_parse_cpus(const char *list, cpu_set_t *set) {
    const char *at = list;
    CPU_ZERO(set);
    do {
        char *end;
        long first = strtol(at, &end, 10), last = first;
        if (end == at || *at == '-' || *at == '+') return false;
        at = end;
        if (*at == '-') {
            last = strtol(at + 1, &end, 10);
            if (end == at + 1) return false;
            at = end;
        }
        if (first < 0 || last < first || last >= CPU_SETSIZE) return false;
        for (long cpu = first; cpu <= last; cpu++) CPU_SET((size_t)cpu, set);
    } while (*at++ == ',');
    return at[-1] == '\0';
}
#endif

lode_status lode_pin_cpus(const char *list) {
#if defined(__linux__)
    cpu_set_t set, have;
    if (!platform_parse_cpus(list, &set))
        return LODE_FAIL(LODE_ERR_INVALID, "CPUs \"%s\": want numbers and ranges, e.g. 0,2-3",
                         list);
    if (sched_getaffinity(0, sizeof have, &have) == 0)
        for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++)
            if (CPU_ISSET(cpu, &set) && !CPU_ISSET(cpu, &have))
                return LODE_FAIL(LODE_ERR_INVALID, "CPUs \"%s\": this process may not use CPU %d",
                                 list, (int)cpu);
    if (sched_setaffinity(0, sizeof set, &set) != 0)
        return LODE_FAIL(LODE_ERR_IO, "CPUs \"%s\": %s", list, strerror(errno));
    return LODE_OK;
#else
    return LODE_FAIL(LODE_ERR_UNSUPPORTED, "CPUs \"%s\": this system cannot bind a process", list);
#endif
}

int64_t lode_cpu_cache_bytes(int level) {
    for (int i = 0; i < 8; i++) { /* caches of core 0: instructions and data of each level */
        char path[96], type[32] = "", size[32] = "", *unit;
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/level", i);
        double of = platform_read_numbers(path, NULL);
        if (of < 0) break;
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/type", i);
        platform_read_line(path, type, sizeof type);
        if ((int)of != level || strncmp(type, "Instruction", 11) == 0) continue;
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/size", i);
        platform_read_line(path, size, sizeof size);
        double n = strtod(size, &unit);
        if (*unit == 'K') n *= 1024;
        if (*unit == 'M') n *= 1024 * 1024;
        return (int64_t)n;
    }
    return 0;
}

lode_cpu lode_cpu_get(void) {
    lode_cpu cpu = {.name = "unknown"};
    cpu.n_cores = platform_count_cores();
    char field[128];
    if (!platform_proc_field("/proc/cpuinfo", "model name", cpu.name, sizeof cpu.name))
        platform_proc_field("/proc/cpuinfo", "Model", cpu.name, sizeof cpu.name);
    if (platform_proc_field("/proc/cpuinfo", "cpu MHz", field, sizeof field))
        cpu.mhz = strtod(field, NULL);
#if defined(__x86_64__) && defined(__GNUC__)
    __builtin_cpu_init();
    cpu.fma = __builtin_cpu_supports("fma");
    cpu.avx2 = __builtin_cpu_supports("avx2");
    cpu.avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                 __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
#endif
    return cpu;
}

int64_t lode_peak_rss_bytes(void) {
    struct rusage u;
    if (getrusage(RUSAGE_SELF, &u) != 0) return 0;
#if defined(__APPLE__)
    return (int64_t)u.ru_maxrss;
#else
    return (int64_t)u.ru_maxrss * 1024;
#endif
}

void *lode_reserve_addresses(size_t bytes) {
    int flags = MAP_PRIVATE | MAP_ANONYMOUS;
#if defined(MAP_NORESERVE)
    flags |= MAP_NORESERVE;
#endif
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
    return p != MAP_FAILED ? p : NULL;
}

void lode_release_addresses(void *p, size_t bytes) {
    if (p != NULL) munmap(p, bytes);
}

/* ---- terminal ---- */

bool lode_is_terminal(int fd) { return isatty(fd) == 1; }

int lode_terminal_width(int fd) {
    struct winsize w;
    return ioctl(fd, TIOCGWINSZ, &w) == 0 ? (int)w.ws_col : 0;
}

int64_t lode_process_id(void) { return (int64_t)getpid(); }
