/* platform.c: what differs between operating systems, and nothing else.

   Written for POSIX; Linux adds what it alone tells (affinity, /proc, control groups). Where a
   system does not say, the answer is the header's "unknown". */
#if defined(__APPLE__)
#define _DARWIN_C_SOURCE
#else
#define _GNU_SOURCE /* sched_getaffinity, flock; implies POSIX 2008 */
#endif
#include "core/platform.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#if defined(__linux__)
#include <sched.h>
#endif

#include "core/memory.h"

#include <zlib.h>

#ifndef O_CLOEXEC
#define O_CLOEXEC 0
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

/* ---- signals and commands ---- */

static volatile sig_atomic_t platform_signal;

static void platform_on_signal(int number) { platform_signal = number; }

void lode_catch_signals(void) {
    struct sigaction action = {.sa_handler = platform_on_signal};
    sigemptyset(&action.sa_mask);
    action.sa_flags = (int)SA_RESETHAND | SA_RESTART; /* the second one is not caught */
    platform_signal = 0;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

int lode_caught_signal(void) { return platform_signal; }

lode_status lode_run_command(const char *command, char **output, int *exit_code) {
    char bytes[4096];
    lode_text text = {0};
    *output = NULL;
    *exit_code = -1;
    fflush(NULL); /* or the child would write our buffers again */
    FILE *pipe = popen(command, "r");
    if (pipe == NULL)
        return LODE_FAIL(LODE_ERR_IO, "cannot run `%s`: %s", command, strerror(errno));
    for (size_t n; (n = fread(bytes, 1, sizeof bytes, pipe)) > 0;)
        lode_text_add_bytes(&text, bytes, n);
    int code = pclose(pipe);
    if (code == -1) {
        lode_text_deinit(&text);
        return LODE_FAIL(LODE_ERR_IO, "cannot wait for `%s`: %s", command, strerror(errno));
    }
    *exit_code = WIFSIGNALED(code) ? 128 + WTERMSIG(code) : WEXITSTATUS(code);
    *output = lode_text_take(&text);
    return *output != NULL ? LODE_OK : LODE_ERR_NO_MEMORY;
}

/* ---- commands with arguments and a limit ---- */

enum { PLATFORM_OUTPUT_KEPT = 4096 };

/* The last PLATFORM_OUTPUT_KEPT bytes of a growing output. */
typedef struct platform_tail {
    char bytes[2 * PLATFORM_OUTPUT_KEPT];
    size_t n;
} platform_tail;

static void tail_add(platform_tail *t, const char *bytes, size_t n) {
    if (t->n + n > sizeof t->bytes) {
        size_t keep = t->n < PLATFORM_OUTPUT_KEPT ? t->n : PLATFORM_OUTPUT_KEPT;
        memmove(t->bytes, t->bytes + t->n - keep, keep);
        t->n = keep;
    }
    memcpy(t->bytes + t->n, bytes, n);
    t->n += n;
}

/* In the child, where only what is safe after fork may run. */
static void command_become(char *const *argv, const int *ends) {
    setpgid(0, 0);
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    dup2(ends[1], 1);
    dup2(ends[1], 2);
    close(ends[0]);
    close(ends[1]);
    execv("/bin/sh", argv);
    _exit(127);
}

/* Waits up to 50 ms for output and takes it; false at its end. */
static bool command_read(int fd, platform_tail *tail) {
    char bytes[PLATFORM_OUTPUT_KEPT];
    struct pollfd p = {fd, POLLIN, 0};
    if (poll(&p, 1, 50) <= 0) return true;
    ssize_t n = read(fd, bytes, sizeof bytes);
    if (n < 0) return errno == EINTR;
    tail_add(tail, bytes, (size_t)n);
    return n > 0;
}

/* Until the shell ends; what it leaves running in the background is ended with it. */
static lode_status command_wait(pid_t child, int fd, double timeout_s, platform_tail *tail,
                                lode_command_end *end) {
    const double begun = lode_clock();
    bool open = true, stopped = false;
    int code = 0;
    for (;;) {
        pid_t who = waitpid(child, &code, WNOHANG);
        end->seconds = lode_clock() - begun;
        if (who == child || (who < 0 && errno != EINTR)) break;
        if (!end->timed_out) end->timed_out = timeout_s > 0 && end->seconds > timeout_s;
        stopped = stopped || lode_caught_signal() != 0;
        if (end->timed_out || stopped) kill(-child, SIGKILL);
        if (open)
            open = command_read(fd, tail);
        else
            poll(NULL, 0, 10);
    }
    kill(-child, SIGKILL);
    for (int i = 0; open && i < 20; i++) open = command_read(fd, tail);
    end->exit_code = WIFSIGNALED(code) ? 128 + WTERMSIG(code) : WEXITSTATUS(code);
    return stopped ? LODE_FAIL(LODE_ERR_STOPPED, "stopped on request") : LODE_OK;
}

lode_status lode_run_with_arguments(const char *command, const char *const *arguments, int64_t n,
                                    double timeout_s, lode_command_end *end) {
    lode_status status = LODE_OK;
    int ends[2] = {-1, -1};
    char **argv = LODE_NEW_ARRAY(char *, n + 5), *text = lode_strdup(command);
    platform_tail *tail = LODE_NEW(platform_tail);
    *end = (lode_command_end){.exit_code = -1};
    LODE_GOTO(argv && text && tail ? LODE_OK : LODE_ERR_NO_MEMORY);
    argv[0] = lode_strdup("sh");
    argv[1] = lode_strdup("-c");
    argv[2] = text;
    argv[3] = lode_strdup("lode");
    for (int64_t i = 0; i < n; i++) argv[4 + i] = lode_strdup(arguments[i]);
    for (int64_t i = 0; i < n + 4; i++) LODE_GOTO(argv[i] ? LODE_OK : LODE_ERR_NO_MEMORY);
    fflush(NULL);
    pid_t child = pipe(ends) == 0 ? fork() : -1;
    if (child < 0)
        LODE_GOTO(LODE_FAIL(LODE_ERR_IO, "cannot run `%s`: %s", command, strerror(errno)));
    if (child == 0) command_become(argv, ends);
    setpgid(child, child); /* whoever is first */
    close(ends[1]);
    ends[1] = -1;
    status = command_wait(child, ends[0], timeout_s, tail, end);
    end->output = lode_strndup(tail->bytes, tail->n);
    if (status == LODE_OK && end->output == NULL) status = LODE_ERR_NO_MEMORY;
done:
    for (int i = 0; i < 2; i++)
        if (ends[i] >= 0) close(ends[i]);
    for (int64_t i = 0; argv != NULL && i < n + 4; i++)
        if (i != 2) lode_free(argv[i]);
    lode_free(argv);
    lode_free(text);
    lode_free(tail);
    return status;
}

/* ---- files ---- */

static lode_status platform_fail(const char *verb, const char *path) {
    int e = errno;
    lode_status status = e == ENOMEM ? LODE_ERR_NO_MEMORY : LODE_ERR_IO;
    return LODE_FAIL(status, "cannot %s %s: %s", verb, path, strerror(e));
}

/* Reads until `n` bytes or the end; -1 on errors. */
static ssize_t platform_read_all(int fd, char *p, size_t n) {
    size_t done = 0;
    while (done < n) {
        ssize_t k = read(fd, p + done, n - done);
        if (k == 0) break;
        if (k < 0 && errno == EINTR) continue;
        if (k < 0) return -1;
        done += (size_t)k;
    }
    return (ssize_t)done;
}

static bool platform_write_all(int fd, const char *p, size_t n) {
    while (n > 0) {
        ssize_t k = write(fd, p, n);
        if (k < 0 && errno == EINTR) continue;
        if (k < 0) return false;
        p += k;
        n -= (size_t)k;
    }
    return true;
}

/* Files such as pipes and those of /proc have no size beforehand, so the size is only a hint and
   reading goes on to the end. */
lode_status lode_file_read(const char *path, void **bytes, size_t *n) {
    lode_status status = LODE_OK;
    char *p = NULL;
    size_t size = 0;
    struct stat s;
    *bytes = NULL;
    *n = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return platform_fail("open", path);
    if (fstat(fd, &s) != 0) {
        status = platform_fail("inspect", path);
        goto done;
    }
    if (S_ISDIR(s.st_mode)) {
        status = LODE_FAIL(LODE_ERR_IO, "cannot read %s: it is a directory", path);
        goto done;
    }
    size_t capacity = s.st_size > 0 ? (size_t)s.st_size + 1 : 4096;
    for (;;) {
        char *grown = lode_realloc(p, capacity + 1, 1);
        if (grown == NULL) {
            status = lode_error_context("reading %s", path);
            goto done;
        }
        p = grown;
        ssize_t k = platform_read_all(fd, p + size, capacity - size);
        if (k < 0) {
            status = platform_fail("read", path);
            goto done;
        }
        size += (size_t)k;
        if (size < capacity) break;
        capacity *= 2;
    }
    p[size] = '\0';
    *bytes = p;
    *n = size;
    p = NULL;
done:
    lode_free(p);
    close(fd);
    return status;
}

/* Opens and locks PATH.tmp. The name is fixed, so what a killed writer left is taken over by the
   next; the lock keeps two writers of one file apart. Whoever waited for the lock may hold a file
   that was renamed meanwhile, and tries again. File systems without locks go unlocked. */
static int platform_open_temporary(const char *tmp) {
    for (;;) {
        int fd = open(tmp, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
        if (fd < 0) return -1;
        int locked;
        do locked = flock(fd, LOCK_EX);
        while (locked != 0 && errno == EINTR);
        struct stat mine, named;
        bool known = fstat(fd, &mine) == 0, there = stat(tmp, &named) == 0;
        bool same = known && there && mine.st_ino == named.st_ino && mine.st_dev == named.st_dev;
        if (same && ftruncate(fd, 0) == 0) return fd;
        int e = errno;
        close(fd);
        if (same || !known || (!there && e != ENOENT)) {
            errno = e;
            return -1;
        }
    }
}

static void platform_sync_directory_of(const char *path) {
    char dir[PATH_MAX];
    const char *slash = strrchr(path, '/');
    if (slash == NULL)
        snprintf(dir, sizeof dir, ".");
    else
        snprintf(dir, sizeof dir, "%.*s", slash == path ? 1 : (int)(slash - path), path);
    int fd = open(dir, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return; /* a directory that cannot be read can still be written */
    fsync(fd);
    close(fd);
}

/* Devices and pipes cannot be renamed onto. */
static lode_status platform_write_directly(const char *path, const void *bytes, size_t n) {
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) return platform_fail("open", path);
    lode_status status = LODE_OK;
    if (!platform_write_all(fd, bytes, n)) status = platform_fail("write", path);
    if (close(fd) != 0 && status == LODE_OK) status = platform_fail("write", path);
    return status;
}

lode_status lode_file_write_atomic(const char *path, const void *bytes, size_t n) {
    struct stat s;
    if (stat(path, &s) == 0 && !S_ISREG(s.st_mode)) {
        if (S_ISDIR(s.st_mode))
            return LODE_FAIL(LODE_ERR_IO, "cannot write %s: it is a directory", path);
        return platform_write_directly(path, bytes, n);
    }
    char *tmp = lode_format("%s.tmp", path);
    if (tmp == NULL) return LODE_ERR_NO_MEMORY;
    lode_status status = LODE_OK;
    int fd = platform_open_temporary(tmp);
    if (fd < 0) {
        status = platform_fail("create", tmp);
        goto done;
    }
    if (!platform_write_all(fd, bytes, n) || fsync(fd) != 0)
        status = platform_fail("write", tmp);
    else if (rename(tmp, path) != 0)
        status = platform_fail("rename to", path);
    else
        platform_sync_directory_of(path);
    if (status != LODE_OK) unlink(tmp);
    close(fd); /* also gives the lock back: only now may the next writer go on */
done:
    lode_free(tmp);
    return status;
}

/* One write of the whole line, so that lines of several writers do not mix. A line that a killed
   writer left unfinished is ended first: it stays one bad line and does not swallow this one. */
lode_status lode_file_append_line(const char *path, const char *line) {
    lode_status status = LODE_OK;
    char *text = NULL, last = '\n';
    int fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0) return platform_fail("open", path);
    off_t end = lseek(fd, 0, SEEK_END);
    if (end > 0 && pread(fd, &last, 1, end - 1) != 1) last = '\n';
    text = lode_format("%s%s\n", last == '\n' ? "" : "\n", line);
    if (text == NULL)
        status = LODE_ERR_NO_MEMORY;
    else if (!platform_write_all(fd, text, strlen(text)))
        status = platform_fail("append to", path);
    lode_free(text);
    if (close(fd) != 0 && status == LODE_OK) status = platform_fail("append to", path);
    return status;
}

bool lode_file_exists(const char *path) {
    struct stat s;
    return stat(path, &s) == 0;
}

bool lode_is_directory(const char *path) {
    struct stat s;
    return stat(path, &s) == 0 && S_ISDIR(s.st_mode);
}

int64_t lode_file_size(const char *path) {
    struct stat s;
    return stat(path, &s) == 0 ? (int64_t)s.st_size : -1;
}

lode_status lode_make_directories(const char *path) {
    char *p = lode_strdup(path);
    if (p == NULL) return LODE_ERR_NO_MEMORY;
    lode_status status = LODE_OK;
    for (char *at = p + 1; status == LODE_OK && p[0] != '\0'; at++) {
        char c = *at;
        if (c != '/' && c != '\0') continue;
        *at = '\0';
        if (mkdir(p, 0777) != 0 && !lode_is_directory(p)) {
            if (errno == EEXIST) errno = ENOTDIR;
            status = platform_fail("create directory", p);
        }
        *at = c;
        if (c == '\0') break;
    }
    lode_free(p);
    return status;
}

lode_status lode_make_temp_directory(const char *prefix, char **out) {
    *out = NULL;
    char *p = lode_format("%s.XXXXXX", prefix);
    if (p == NULL) return LODE_ERR_NO_MEMORY;
    if (mkdtemp(p) == NULL) {
        lode_status status = platform_fail("create temporary directory", p);
        lode_free(p);
        return status;
    }
    *out = p;
    return LODE_OK;
}

lode_status lode_file_remove(const char *path) {
    if (remove(path) == 0 || errno == ENOENT) return LODE_OK;
    return platform_fail("remove", path);
}

lode_status lode_file_rename(const char *from, const char *to) {
    if (rename(from, to) == 0) {
        platform_sync_directory_of(to);
        return LODE_OK;
    }
    int e = errno;
    return LODE_FAIL(LODE_ERR_IO, "cannot rename %s to %s: %s", from, to, strerror(e));
}

static int platform_compare_names(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

lode_status lode_list_directory(const char *path, char ***names, int64_t *n) {
    lode_status status = LODE_OK;
    char **list = NULL;
    int64_t count = 0, capacity = 0;
    *names = NULL;
    *n = 0;
    DIR *dir = opendir(path);
    if (dir == NULL) return platform_fail("open directory", path);
    for (;;) {
        errno = 0;
        struct dirent *entry = readdir(dir);
        if (entry == NULL) break;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        void *grown = list;
        LODE_GOTO(lode_grow(&grown, &capacity, count + 1, sizeof *list));
        list = grown;
        list[count] = lode_strdup(entry->d_name);
        if (list[count] == NULL) {
            status = LODE_ERR_NO_MEMORY;
            goto done;
        }
        count++;
    }
    if (errno != 0) {
        status = platform_fail("read directory", path);
        goto done;
    }
    if (count > 0) qsort(list, (size_t)count, sizeof *list, platform_compare_names);
    *names = list;
    *n = count;
    list = NULL;
    count = 0;
done:
    lode_names_free(list, count);
    closedir(dir);
    return status;
}

void lode_names_free(char **names, int64_t n) {
    for (int64_t i = 0; i < n; i++) lode_free(names[i]);
    lode_free(names);
}

char *lode_path_join(const char *a, const char *b) {
    size_t n = strlen(a);
    while (n > 1 && a[n - 1] == '/') n--;
    while (n > 0 && b[0] == '/') b++;
    return lode_format("%.*s%s%s", (int)n, a, n == 0 || a[n - 1] == '/' ? "" : "/", b);
}

lode_status lode_map_file(const char *path, lode_mapping *out) {
    static const uint8_t nothing[1];
    struct stat s;
    lode_status status = LODE_OK;
    *out = (lode_mapping){0};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return platform_fail("open", path);
    if (fstat(fd, &s) != 0)
        status = platform_fail("inspect", path);
    else if (!S_ISREG(s.st_mode))
        status = LODE_FAIL(LODE_ERR_IO, "cannot map %s: not a regular file", path);
    else if (s.st_size == 0)
        *out = (lode_mapping){nothing, 0};
    else {
        void *p = mmap(NULL, (size_t)s.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (p == MAP_FAILED)
            status = platform_fail("map", path);
        else
            *out = (lode_mapping){p, (size_t)s.st_size};
    }
    close(fd);
    return status;
}

void lode_unmap_file(lode_mapping *m) {
    union {
        const uint8_t *constant;
        void *plain;
    } p = {m->bytes}; /* munmap takes a pointer without const */
    if (m->n > 0) munmap(p.plain, m->n);
    *m = (lode_mapping){0};
}

uint32_t lode_crc32(uint32_t crc, const void *p, size_t n) {
    const unsigned char *bytes = p;
    uLong c = crc;
    while (n > 0) { /* zlib counts in unsigned int */
        uInt k = n > 1u << 30 ? 1u << 30 : (uInt)n;
        c = crc32(c, bytes, k);
        bytes += k;
        n -= k;
    }
    return (uint32_t)c;
}
