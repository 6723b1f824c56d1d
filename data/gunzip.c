/* gunzip.c: gzip members in memory to bytes in memory.

   Written over zlib's inflate rather than its gzopen: memory goes through Lode's allocator, and a
   damaged file is reported with the offset where it went wrong. */
#include "core/memory.h"
#include "core/platform.h"
#include "data/bytes_internal.h"

#include <limits.h>

#define ZLIB_CONST
#include <zlib.h>

static voidpf gunzip_allocate(voidpf self, uInt items, uInt size) {
    (void)self;
    return lode_alloc(items, size);
}

static void gunzip_release(voidpf self, voidpf p) {
    (void)self;
    lode_free(p);
}

/* The unpacked size stands in the last four bytes (modulo 2^32, of the last member): a good first
   guess, but only a guess. Deflate never packs better than 1032 to 1. */
static size_t gunzip_guess(const uint8_t *bytes, size_t n) {
    size_t guess = (size_t)bytes[n - 4] | (size_t)bytes[n - 3] << 8 | (size_t)bytes[n - 2] << 16 |
                   (size_t)bytes[n - 1] << 24;
    size_t most = n * 1032;
    return (guess < most ? guess : most) + 1; /* one more, so that the end is seen at once */
}

static lode_status gunzip_failed(const z_stream *z, const char *name, size_t n, int code) {
    size_t at = n - z->avail_in;
    if (code == Z_MEM_ERROR) return LODE_ERR_NO_MEMORY;
    if (code == Z_BUF_ERROR)
        return LODE_FAIL(LODE_ERR_DATA,
                         "%s: ends at offset %zu in the middle of its gzip data: truncated?", name,
                         at);
    return LODE_FAIL(LODE_ERR_DATA, "%s: damaged gzip data near offset %zu: %s", name, at,
                     z->msg != NULL ? z->msg : "wrong checksum or size");
}

lode_status lode_gunzip(const uint8_t *bytes, size_t n, const char *name, uint8_t **out,
                        size_t *n_out) {
    lode_status status = LODE_OK;
    z_stream z = {.zalloc = gunzip_allocate, .zfree = gunzip_release};
    *out = NULL;
    *n_out = 0;
    if (n < 18 || n > UINT_MAX)
        return LODE_FAIL(LODE_ERR_DATA, "%s: a gzip file has 18 bytes to 4 GiB, this one %zu", name,
                         n);
    z.next_in = bytes;
    z.avail_in = (uInt)n;
    if (inflateInit2(&z, 15 + 16) != Z_OK) /* 16: gzip, with its checksum */
        return LODE_FAIL(LODE_ERR_NO_MEMORY, "%s: no memory to unpack it", name);
    size_t capacity = 0, size = 0;
    uint8_t *p = NULL;
    for (;;) {
        if (size == capacity) {
            capacity = capacity == 0 ? gunzip_guess(bytes, n) : capacity * 2;
            uint8_t *grown = lode_realloc(p, capacity, 1);
            if (grown == NULL) {
                status = lode_error_context("unpacking %s", name);
                goto done;
            }
            p = grown;
        }
        size_t room = capacity - size < UINT_MAX ? capacity - size : UINT_MAX;
        z.next_out = p + size;
        z.avail_out = (uInt)room;
        int code = inflate(&z, Z_NO_FLUSH);
        size += room - z.avail_out;
        if (code == Z_STREAM_END && z.avail_in == 0) break;
        if (code == Z_STREAM_END)
            inflateReset(&z); /* another member follows, or inflate says what is wrong with it */
        else if ((code != Z_OK && code != Z_BUF_ERROR) || (z.avail_in == 0 && z.avail_out > 0)) {
            status = gunzip_failed(&z, name, n, code == Z_OK ? Z_BUF_ERROR : code);
            goto done;
        }
    }
    *out = p;
    *n_out = size;
    p = NULL;
done:
    inflateEnd(&z);
    lode_free(p);
    return status;
}

lode_status lode_read_unpacked(const char *path, uint8_t **out, size_t *n_out) {
    void *file = NULL;
    size_t n = 0;
    *out = NULL;
    *n_out = 0;
    LODE_TRY(lode_file_read(path, &file, &n));
    uint8_t *bytes = file;
    if (n < 2 || bytes[0] != 0x1f || bytes[1] != 0x8b) {
        *out = bytes;
        *n_out = n;
        return LODE_OK;
    }
    lode_status status = lode_gunzip(bytes, n, path, out, n_out);
    lode_free(file);
    return status;
}
