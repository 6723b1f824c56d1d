/* replay.c: runs a fuzz target without libFuzzer: over each file of a folder, then over the file
   with small injuries (cut short, bits flipped, bytes put in, a piece doubled), always the same
   ones. Usage: fuzz_<name> FOLDER [INJURIES] */
#include "core/platform.h"
#include "core/rng.h"
#include "fuzz.h"

#include <signal.h>

static const char *const alphabet = "\n\t {}[]:,-&*#\"'\\0189.eE+<~!%|>@`ax\xff";

/* buffer holds n + room bytes; returns the new length. */
static size_t replay_injure(lode_rng *r, uint8_t *buffer, size_t n, size_t room) {
    size_t at = n > 0 ? (size_t)lode_rng_below(r, (int64_t)n) : 0;
    size_t length = (size_t)lode_rng_below(r, 16);
    switch (lode_rng_below(r, 5)) {
    case 0:
        return at; /* cut short */
    case 1:
        if (n > 0) buffer[at] = (uint8_t)(buffer[at] ^ 1u << lode_rng_below(r, 8));
        return n;
    case 2:
        if (n > 0) buffer[at] = (uint8_t)alphabet[lode_rng_below(r, (int64_t)strlen(alphabet))];
        return n;
    case 3: /* a byte put in */
        if (room == 0) return n;
        memmove(buffer + at + 1, buffer + at, n - at);
        buffer[at] = (uint8_t)alphabet[lode_rng_below(r, (int64_t)strlen(alphabet))];
        return n + 1;
    default: /* a piece doubled */
        if (length > n - at) length = n - at;
        if (length > room) length = room;
        memmove(buffer + at + length, buffer + at, n - at);
        return n + length;
    }
}

/* What runs now, for the message of a crash. */
static struct {
    const uint8_t *bytes;
    size_t n;
} running;

static void replay_show_input(int signal_number) {
    fprintf(stderr, "replay: signal %d on these %zu bytes:\n", signal_number, running.n);
    fwrite(running.bytes, 1, running.n, stderr);
    fprintf(stderr, "\n");
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

static void replay_run(const uint8_t *bytes, size_t n) {
    int64_t blocks = lode_memory_get_stats().n_blocks;
    running.bytes = bytes;
    running.n = n;
    LLVMFuzzerTestOneInput(bytes, n);
    FUZZ_CHECK(lode_memory_get_stats().n_blocks == blocks);
}

static void replay_file(const char *path, int64_t injuries) {
    enum { ROOM = 64 };
    void *bytes;
    size_t n;
    FUZZ_CHECK(lode_file_read(path, &bytes, &n) == LODE_OK);
    replay_run(bytes, n);
    uint8_t *buffer = lode_alloc(n + ROOM, 1);
    FUZZ_CHECK(buffer != NULL);
    for (int64_t i = 0; i < injuries; i++) {
        lode_rng r = lode_rng_stream(lode_hash_bytes(bytes, n, 0), LODE_RNG_TEST, (uint64_t)i);
        memcpy(buffer, bytes, n);
        size_t m = n;
        for (int64_t k = lode_rng_below(&r, 4); k >= 0; k--)
            m = replay_injure(&r, buffer, m, n + ROOM - m);
        replay_run(buffer, m);
    }
    lode_free(buffer);
    lode_free(bytes);
}

int main(int argc, char **argv) {
    if (argc < 2) {
        fprintf(stderr, "usage: %s FOLDER [INJURIES]\n", argv[0]);
        return 2;
    }
    char **names;
    int64_t n;
    signal(SIGABRT, replay_show_input);
    signal(SIGSEGV, replay_show_input);
    int64_t injuries = argc > 2 ? atoll(argv[2]) : 200;
    if (lode_list_directory(argv[1], &names, &n) != LODE_OK || n == 0) {
        fprintf(stderr, "replay: no corpus in %s: %s\n", argv[1], lode_last_error());
        return 1;
    }
    for (int64_t i = 0; i < n; i++) {
        char *path = lode_path_join(argv[1], names[i]);
        FUZZ_CHECK(path != NULL);
        replay_file(path, injuries);
        lode_free(path);
    }
    lode_names_free(names, n);
    printf("%lld files, %lld injuries each\n", (long long)n, (long long)injuries);
    return 0;
}
