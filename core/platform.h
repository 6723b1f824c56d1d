/* platform.h: clock, files, processor. All operating-system #ifdefs of Lode live in platform_*.c.
 */
#ifndef LODE_CORE_PLATFORM_H
#define LODE_CORE_PLATFORM_H
#include "core/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

LODE_API double lode_clock(void); /* seconds, monotonic */
/* Seconds of processor time the calling thread has had. Other programs' time is not in it, so what
   it lacks of lode_clock while the thread computes is what they took. */
LODE_API double lode_thread_clock(void);
LODE_API void lode_timestamp(char out[32]); /* UTC, "2026-01-31T12:00:00Z" */

typedef struct lode_cpu {
    char name[128]; /* as the system calls it */
    int n_cores;    /* usable by this process */
    bool avx2, avx512, fma;
    double mhz; /* current, 0 when unknown */
} lode_cpu;
LODE_API lode_cpu lode_cpu_get(void);
/* Of the data cache of a level (1, 2, 3) as one core sees it; 0 when there is none or unknown. */
LODE_API int64_t lode_cpu_cache_bytes(int level);
LODE_API int64_t lode_peak_rss_bytes(void); /* of this process; 0 when unknown */
/* Memory this process may still take before something gives way: what the system has available,
   what its control group (and those above) leaves, what its address space is limited to. 0 when
   unknown. */
LODE_API int64_t lode_available_memory_bytes(void);
LODE_API int64_t lode_rss_bytes(void); /* of this process now; 0 when unknown */
/* Addresses with nothing behind them: zeros when read, memory only where written. NULL: refused. */
LODE_API void *lode_reserve_addresses(size_t bytes);
LODE_API void lode_release_addresses(void *p, size_t bytes);
LODE_API int64_t lode_process_id(void);
/* From here on Ctrl-C (SIGINT) and SIGTERM only set a flag, so that work can be saved; a second one
   ends the process at once. */
LODE_API void lode_catch_signals(void);
LODE_API int lode_caught_signal(void); /* 2 SIGINT, 15 SIGTERM, 0 none */
/* Runs a shell command to its end. *output: what it wrote to stdout, lode_free; *exit_code: as the
   shell tells it, 128 + n after signal n. Fails only when it could not be run at all. */
LODE_API lode_status lode_run_command(const char *command, char **output, int *exit_code);
/* Runs `sh -c COMMAND` with `arguments` [n] as its positional parameters ("$@"), in a process group
   of its own. It ends by itself, or is ended (the whole group): timed_out after timeout_s seconds
   (0: no limit); LODE_ERR_STOPPED when a caught signal asks for it. *output: the last kilobytes of
   what it wrote to stdout and stderr, lode_free. */
typedef struct lode_command_end {
    char *output;
    int exit_code; /* as above */
    bool timed_out;
    double seconds;
} lode_command_end;
LODE_API lode_status lode_run_with_arguments(const char *command, const char *const *arguments,
                                             int64_t n, double timeout_s, lode_command_end *end);
/* From here on this process, and what it starts, runs on these CPUs only: "0", "0,2", "0-3,6".
   LODE_ERR_INVALID names what is wrong with the list, LODE_ERR_UNSUPPORTED where the system has no
   such thing. Before the first parallel loop. */
LODE_API lode_status lode_pin_cpus(const char *list);
LODE_API bool lode_is_terminal(int fd);   /* 1 stdout, 2 stderr */
LODE_API int lode_terminal_width(int fd); /* columns, 0 when unknown */

/* Whole file into fresh memory (lode_free), with a NUL after the last byte. */
LODE_API lode_status lode_file_read(const char *path, void **bytes, size_t *n);
/* Whole or not at all: writes the neighbour PATH.tmp, fsyncs, renames, fsyncs the directory. Two
   writers of one file take turns. Devices and pipes are written directly. */
LODE_API lode_status lode_file_write_atomic(const char *path, const void *bytes, size_t n);
/* Adds `line` and a newline; ends first what a killed writer left without one. */
LODE_API lode_status lode_file_append_line(const char *path, const char *line);
LODE_API bool lode_file_exists(const char *path);
LODE_API bool lode_is_directory(const char *path);
LODE_API int64_t lode_file_size(const char *path); /* -1 when absent */
LODE_API lode_status lode_make_directories(const char *path);
/* A fresh directory PREFIX.<six letters>; lode_free its path. */
LODE_API lode_status lode_make_temp_directory(const char *prefix, char **out);
LODE_API lode_status lode_file_remove(const char *path); /* or an empty directory; absent is fine */
LODE_API lode_status lode_file_rename(const char *from, const char *to);
/* Names in a directory, sorted bytewise, without "." and ".."; free with lode_names_free. */
LODE_API lode_status lode_list_directory(const char *path, char ***names, int64_t *n);
LODE_API void lode_names_free(char **names, int64_t n);
/* a/b joined with one slash, fresh memory. */
LODE_API char *lode_path_join(const char *a, const char *b);

/* Read-only mapping of a whole file. */
typedef struct lode_mapping {
    const uint8_t *bytes;
    size_t n;
} lode_mapping;
LODE_API lode_status lode_map_file(const char *path, lode_mapping *out);
LODE_API void lode_unmap_file(lode_mapping *m);

/* CRC-32 (zlib's polynomial), for checkpoints and containers. */
LODE_API uint32_t lode_crc32(uint32_t crc, const void *p, size_t n);
#endif
