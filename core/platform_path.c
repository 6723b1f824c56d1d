/* platform_path.c: names of files and directories. */
#if defined(__APPLE__)
#define _DARWIN_C_SOURCE
#else
#define _GNU_SOURCE
#endif
#include "core/memory.h"
#include "core/platform_internal.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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
