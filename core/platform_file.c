/* platform_file.c: the bytes of files: read, written whole, added to, mapped. */
#if defined(__APPLE__)
#define _DARWIN_C_SOURCE
#else
#define _GNU_SOURCE /* flock */
#endif
#include "core/memory.h"
#include "core/platform_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#ifndef O_CLOEXEC
#define O_CLOEXEC 0
#endif

lode_status platform_fail(const char *verb, const char *path) {
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

void platform_sync_directory_of(const char *path) {
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
