/* test_platform.c: clock, processor, files whole or not at all, directories, mappings, CRC. */
#include "core/platform.h"
#include "support/support.h"

#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>

static char *dir;

static int make_dir(void **state) {
    (void)state;
    dir = test_temp_dir();
    return 0;
}

static int remove_dir(void **state) {
    (void)state;
    test_remove_tree(dir);
    lode_free(dir);
    return 0;
}

static char *in_dir(const char *name) {
    char *path = lode_path_join(dir, name);
    assert_non_null(path);
    return path;
}

static void check_contents(const char *path, const char *wanted) {
    void *bytes;
    size_t n;
    assert_ok(lode_file_read(path, &bytes, &n));
    assert_int_equal(n, strlen(wanted));
    assert_string_equal(bytes, wanted); /* also proves the NUL behind the last byte */
    lode_free(bytes);
}

static int64_t count_names(const char *path) {
    char **names;
    int64_t n;
    assert_ok(lode_list_directory(path, &names, &n));
    lode_names_free(names, n);
    return n;
}

static void the_clock_goes_on(void **state) {
    (void)state;
    double a = lode_clock(), b = lode_clock();
    assert_true(a > 0 && b >= a && b < a + 60);
    char t[32];
    int y = 0, mo = 0, d = 0, h = 0, mi = 0, s = 0;
    lode_timestamp(t);
    assert_int_equal(strlen(t), 20);
    assert_int_equal(sscanf(t, "%d-%d-%dT%d:%d:%dZ", &y, &mo, &d, &h, &mi, &s), 6);
    assert_true(y >= 2024 && mo >= 1 && mo <= 12 && d >= 1 && d <= 31 && h < 24 && mi < 60);
}

static void the_machine_is_described(void **state) {
    (void)state;
    lode_cpu cpu = lode_cpu_get();
    assert_true(cpu.n_cores >= 1 && cpu.n_cores < 100000);
    assert_true(cpu.name[0] != '\0' && memchr(cpu.name, '\0', sizeof cpu.name) != NULL);
    assert_true(!cpu.avx512 || cpu.avx2);
    assert_true(cpu.mhz >= 0);
    assert_true(lode_process_id() > 0);
    assert_false(lode_is_terminal(-1));
    assert_int_equal(lode_terminal_width(-1), 0);
    assert_true(lode_available_memory_bytes() >= 0);
    int64_t before = lode_peak_rss_bytes();
    assert_true(before == 0 || (lode_rss_bytes() > 0 && lode_rss_bytes() <= before + (1 << 20)));
    size_t n = 64u << 20;
    volatile char *p = lode_alloc(n, 1);
    assert_non_null(p);
    for (size_t i = 0; i < n; i += 1024) p[i] = 1;
    assert_true(before == 0 || lode_peak_rss_bytes() >= before);
    assert_true(before == 0 || lode_peak_rss_bytes() >= (int64_t)n);
    lode_free((void *)(uintptr_t)p);
}

/* Far more than this machine has, and nothing of it is taken until it is written. */
static void addresses_cost_nothing(void **state) {
    (void)state;
    size_t n = (size_t)1 << 36;
    int64_t before = lode_rss_bytes();
    volatile char *p = lode_reserve_addresses(n);
    if (p == NULL) {
        print_message("the system reserves no addresses without memory: nothing to test\n");
        skip();
    }
    assert_int_equal(p[n / 2], 0);
    p[n / 3] = 1;
    assert_int_equal(p[n / 3], 1);
    assert_true(lode_rss_bytes() < before + (8 << 20));
    lode_release_addresses((void *)(uintptr_t)p, n);
    lode_release_addresses(NULL, 1);
}

static void commands_are_run(void **state) {
    (void)state;
    char *output = NULL;
    int code = -1;
    assert_ok(lode_run_command("printf 'a b\\n'; exit 3", &output, &code));
    assert_string_equal(output, "a b\n");
    assert_int_equal(code, 3);
    lode_free(output);
    assert_ok(lode_run_command("kill -9 $$", &output, &code));
    assert_int_equal(code, 128 + 9);
    assert_string_equal(output, "");
    lode_free(output);
    assert_ok(lode_run_command("no-such-command-here 2>/dev/null", &output, &code));
    assert_int_equal(code, 127);
    lode_free(output);
    assert_ok(lode_run_command("head -c 100000 /dev/zero | tr '\\0' x", &output, &code));
    assert_int_equal(strlen(output), 100000);
    lode_free(output);
    test_fail_allocation(1);
    lode_status status = lode_run_command("head -c 100000 /dev/zero | tr '\\0' x", &output, &code);
    test_fail_allocation(-1);
    assert_int_equal(status, LODE_ERR_NO_MEMORY);
    assert_null(output);
}

static void signals_are_caught_once(void **state) {
    (void)state;
    char *output;
    int code;
    assert_int_equal(lode_caught_signal(), 0);
    lode_catch_signals();
    char *kill_us = lode_format("kill -2 %lld", (long long)lode_process_id());
    assert_ok(lode_run_command(kill_us, &output, &code));
    assert_int_equal(lode_caught_signal(), SIGINT);
    lode_free(output);
    lode_free(kill_us);
    lode_catch_signals();
    assert_int_equal(lode_caught_signal(), 0);
    raise(SIGTERM);
    assert_int_equal(lode_caught_signal(), SIGTERM);
    assert_true(signal(SIGTERM, SIG_DFL) == SIG_DFL); /* a second one would have ended us */
    signal(SIGINT, SIG_DFL);
}

static void files_come_back(void **state) {
    (void)state;
    char *path = in_dir("a"), bytes[] = "some\0bytes";
    assert_false(lode_file_exists(path));
    assert_int_equal(lode_file_size(path), -1);
    assert_ok(lode_file_write_atomic(path, bytes, sizeof bytes));
    assert_true(lode_file_exists(path));
    assert_false(lode_is_directory(path));
    assert_int_equal(lode_file_size(path), sizeof bytes);
    void *read;
    size_t n;
    assert_ok(lode_file_read(path, &read, &n));
    assert_int_equal(n, sizeof bytes);
    assert_memory_equal(read, bytes, n);
    lode_free(read);
    assert_ok(lode_file_write_atomic(path, NULL, 0)); /* replaces; empty is fine */
    check_contents(path, "");
    assert_int_equal(count_names(dir), 1); /* nothing temporary stays */
    assert_ok(lode_file_remove(path));
    assert_ok(lode_file_remove(path));
    assert_false(lode_file_exists(path));
    lode_free(path);
}

static void large_files_come_back(void **state) {
    (void)state;
    size_t n = (3u << 20) + 17, m;
    unsigned char *bytes = lode_alloc(n, 1);
    char *path = in_dir("large");
    void *read;
    for (size_t i = 0; i < n; i++) bytes[i] = (unsigned char)(i * 7 + i / 256);
    assert_ok(lode_file_write_atomic(path, bytes, n));
    assert_ok(lode_file_read(path, &read, &m));
    assert_int_equal(m, n);
    assert_memory_equal(read, bytes, n);
    lode_free(read);
    lode_mapping map;
    assert_ok(lode_map_file(path, &map));
    assert_int_equal(map.n, n);
    assert_memory_equal(map.bytes, bytes, n);
    lode_unmap_file(&map);
    assert_null(map.bytes);
    assert_ok(lode_file_remove(path));
    lode_free(path);
    lode_free(bytes);
}

static void files_without_a_size_are_read(void **state) {
    (void)state;
    void *bytes;
    size_t n;
    if (!lode_file_exists("/proc/self/stat")) {
        print_message("[  SKIP  ] no /proc here\n");
        skip();
    }
    assert_ok(lode_file_read("/proc/self/stat", &bytes, &n));
    assert_true(n > 0);
    lode_free(bytes);
}

static void reading_fails_with_the_name(void **state) {
    (void)state;
    void *bytes;
    size_t n;
    lode_mapping map;
    assert_fails(lode_file_read("no/such", &bytes, &n), LODE_ERR_IO,
                 "cannot open no/such: No such");
    assert_null(bytes);
    assert_fails(lode_file_read(dir, &bytes, &n), LODE_ERR_IO, "is a directory");
    assert_fails(lode_map_file("no/such", &map), LODE_ERR_IO, "no/such");
    assert_fails(lode_map_file(dir, &map), LODE_ERR_IO, "not a regular file");
    assert_null(map.bytes);
}

static void writing_fails_and_leaves_the_old_file(void **state) {
    (void)state;
    char *path = in_dir("kept"), *below = in_dir("kept/below"), *absent = in_dir("no/such");
    assert_ok(lode_file_write_atomic(path, "old", 3));
    assert_fails(lode_file_write_atomic(absent, "x", 1), LODE_ERR_IO, "cannot create");
    assert_fails(lode_file_write_atomic(below, "x", 1), LODE_ERR_IO, "Not a directory");
    assert_fails(lode_file_write_atomic(dir, "x", 1), LODE_ERR_IO, "is a directory");
    check_contents(path, "old");
    assert_int_equal(count_names(dir), 1);
    lode_free(absent);
    lode_free(below);

    /* A disk that fills up in the middle: files may grow to 1000 bytes here. */
    struct rlimit before, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = 1000;
    char big[5000] = {0};
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    lode_status status = lode_file_write_atomic(path, big, sizeof big);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, SIG_DFL);
    assert_int_equal(status, LODE_ERR_IO);
    assert_non_null(strstr(lode_last_error(), "cannot write"));
    check_contents(path, "old");
    assert_int_equal(count_names(dir), 1);

    if (lode_file_exists("/dev/full"))
        assert_fails(lode_file_write_atomic("/dev/full", "x", 1), LODE_ERR_IO, "No space left");
    if (lode_file_exists("/dev/null")) assert_ok(lode_file_write_atomic("/dev/null", "x", 1));
    assert_ok(lode_file_remove(path));
    lode_free(path);
}

static void leftovers_of_killed_writers_are_taken_over(void **state) {
    (void)state;
    char *path = in_dir("f"), *tmp = in_dir("f.tmp");
    assert_ok(lode_file_write_atomic(tmp, "a long half of something never finished", 39));
    assert_ok(lode_file_write_atomic(path, "whole", 5));
    check_contents(path, "whole");
    assert_false(lode_file_exists(tmp));
    assert_ok(lode_file_remove(path));
    lode_free(path);
    lode_free(tmp);
}

enum { WRITERS = 4, ROUNDS = 20, PIECE = 20000 };

static void *write_often(void *p) {
    char *path = in_dir("shared"), *bytes = lode_alloc(PIECE, 1);
    memset(bytes, 'a' + *(int *)p, PIECE);
    for (int i = 0; i < ROUNDS; i++)
        if (lode_file_write_atomic(path, bytes, PIECE) != LODE_OK) *(int *)p = -1;
    lode_free(bytes);
    lode_free(path);
    return NULL;
}

/* Whoever reads, whenever, sees one writer's whole file. */
static void writers_of_one_file_take_turns(void **state) {
    (void)state;
    pthread_t thread[WRITERS];
    int number[WRITERS];
    char *path = in_dir("shared");
    assert_ok(lode_file_write_atomic(path, "", 0));
    for (int i = 0; i < WRITERS; i++) {
        number[i] = i;
        assert_int_equal(pthread_create(&thread[i], NULL, write_often, &number[i]), 0);
    }
    for (int i = 0; i < ROUNDS; i++) {
        void *bytes;
        size_t n;
        assert_ok(lode_file_read(path, &bytes, &n));
        assert_true(n == 0 || n == PIECE);
        for (size_t k = 1; k < n; k++) assert_true(((char *)bytes)[k] == ((char *)bytes)[0]);
        lode_free(bytes);
    }
    for (int i = 0; i < WRITERS; i++) {
        assert_int_equal(pthread_join(thread[i], NULL), 0);
        assert_int_equal(number[i], i);
    }
    assert_int_equal(count_names(dir), 1);
    assert_ok(lode_file_remove(path));
    lode_free(path);
}

static void lines_are_appended(void **state) {
    (void)state;
    char *path = in_dir("log.jsonl");
    assert_ok(lode_file_append_line(path, "one"));
    assert_ok(lode_file_append_line(path, ""));
    assert_ok(lode_file_append_line(path, "three"));
    check_contents(path, "one\n\nthree\n");
    assert_ok(lode_file_write_atomic(path, "whole\nhal", 9)); /* killed while writing "half" */
    assert_ok(lode_file_append_line(path, "next"));
    check_contents(path, "whole\nhal\nnext\n");
    assert_fails(lode_file_append_line("no/such", "x"), LODE_ERR_IO, "no/such");
    if (lode_file_exists("/dev/full"))
        assert_fails(lode_file_append_line("/dev/full", "x"), LODE_ERR_IO, "No space left");
    assert_ok(lode_file_remove(path));
    lode_free(path);
}

static void directories_are_made_listed_and_removed(void **state) {
    (void)state;
    char *deep = in_dir("x/y//z"), *again = in_dir("x/y/z/"), *file = in_dir("x/file");
    char *below = in_dir("x/file/sub/dir"), *x = in_dir("x");
    assert_ok(lode_make_directories(deep));
    assert_ok(lode_make_directories(again));
    assert_true(lode_is_directory(deep));
    assert_ok(lode_make_directories("."));
    assert_ok(lode_make_directories("/"));
    assert_ok(lode_make_directories(""));
    assert_ok(lode_file_write_atomic(file, "", 0));
    assert_fails(lode_make_directories(below), LODE_ERR_IO, "x/file: Not a directory");
    assert_fails(lode_file_remove(x), LODE_ERR_IO, "cannot remove");

    char **names;
    int64_t n;
    static const char *const wanted[] = {"A", "B.txt", "a", "b", "file", "y"};
    static const char *const made[] = {"x/b", "x/B.txt", "x/A", "x/a"};
    for (int i = 0; i < 4; i++) {
        char *path = in_dir(made[i]);
        assert_ok(lode_file_write_atomic(path, "", 0));
        lode_free(path);
    }
    assert_ok(lode_list_directory(x, &names, &n));
    assert_int_equal(n, 6);
    for (int i = 0; i < 6; i++) assert_string_equal(names[i], wanted[i]);
    lode_names_free(names, n);
    lode_names_free(NULL, 0);
    assert_ok(lode_list_directory(deep, &names, &n));
    assert_int_equal(n, 0);
    lode_names_free(names, n);
    assert_fails(lode_list_directory(file, &names, &n), LODE_ERR_IO, "x/file");
    assert_null(names);

    char *moved = in_dir("moved");
    assert_ok(lode_file_rename(file, moved));
    assert_false(lode_file_exists(file));
    assert_true(lode_file_exists(moved));
    assert_fails(lode_file_rename(file, moved), LODE_ERR_IO, "cannot rename");
    assert_ok(lode_file_remove(moved));
    test_remove_tree(x);
    assert_false(lode_file_exists(x));
    lode_free(moved);
    lode_free(x);
    lode_free(deep);
    lode_free(again);
    lode_free(file);
    lode_free(below);
}

static void temporary_directories_are_fresh(void **state) {
    (void)state;
    char *prefix = in_dir("t"), *a = NULL, *b = NULL, *c = prefix;
    assert_ok(lode_make_temp_directory(prefix, &a));
    assert_ok(lode_make_temp_directory(prefix, &b));
    assert_string_not_equal(a, b);
    assert_int_equal(strncmp(a, prefix, strlen(prefix)), 0);
    assert_true(lode_is_directory(a) && lode_is_directory(b));
    assert_fails(lode_make_temp_directory("no/such/t", &c), LODE_ERR_IO, "no/such/t");
    assert_null(c);
    assert_ok(lode_file_remove(a));
    assert_ok(lode_file_remove(b));
    lode_free(a);
    lode_free(b);
    lode_free(prefix);
}

static void paths_are_joined_with_one_slash(void **state) {
    (void)state;
    static const char *const known[][3] = {
        {"a", "b", "a/b"}, {"a/", "b", "a/b"}, {"a//", "/b", "a/b"}, {"/", "b", "/b"},
        {"", "b", "b"},    {"a", "", "a/"},    {"", "/b", "/b"},     {"a/b", "c/d", "a/b/c/d"},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        char *path = lode_path_join(known[i][0], known[i][1]);
        assert_string_equal(path, known[i][2]);
        lode_free(path);
    }
}

static void empty_files_are_mapped(void **state) {
    (void)state;
    char *path = in_dir("empty");
    lode_mapping map;
    assert_ok(lode_file_write_atomic(path, "", 0));
    assert_ok(lode_map_file(path, &map));
    assert_non_null(map.bytes);
    assert_int_equal(map.n, 0);
    lode_unmap_file(&map);
    lode_unmap_file(&map);
    assert_ok(lode_file_remove(path));
    lode_free(path);
}

static void crc_has_the_known_values(void **state) {
    (void)state;
    assert_int_equal(lode_crc32(0, "123456789", 9), 0xcbf43926u); /* the check value of CRC-32 */
    assert_int_equal(lode_crc32(0, "", 0), 0);
    uint32_t half = lode_crc32(0, "12345", 5);
    assert_int_equal(lode_crc32(half, "6789", 4), 0xcbf43926u);
}

static lode_status every_allocating_call(const char *file) {
    lode_status status;
    void *bytes = NULL;
    size_t n = 0;
    char **names = NULL, *made = NULL, *path = NULL;
    int64_t n_names = 0;
    LODE_GOTO(lode_file_write_atomic(file, "bytes", 5));
    LODE_GOTO(lode_file_append_line(file, "line"));
    LODE_GOTO(lode_file_read(file, &bytes, &n));
    LODE_GOTO(lode_make_directories(dir));
    LODE_GOTO(lode_list_directory(dir, &names, &n_names));
    LODE_GOTO(lode_make_temp_directory(file, &made));
    LODE_GOTO(lode_file_remove(made));
    path = lode_path_join(dir, "x");
    if (path == NULL) status = lode_last_status();
done:
    lode_free(bytes);
    lode_names_free(names, n_names);
    lode_free(made);
    lode_free(path);
    return status;
}

static void no_memory_is_a_status_and_no_leak(void **state) {
    (void)state;
    char *file = in_dir("file");
    int64_t blocks = lode_memory_get_stats().n_blocks, n = 0;
    for (;; n++) {
        test_fail_allocation(n);
        lode_status status = every_allocating_call(file);
        int64_t asked = test_fail_allocation(-1);
        assert_int_equal(lode_memory_get_stats().n_blocks, blocks);
        if (asked <= n) {
            assert_ok(status);
            break;
        }
        assert_int_equal(status, LODE_ERR_NO_MEMORY);
    }
    assert_true(n >= 8);
    assert_ok(lode_file_remove(file));
    lode_free(file);
}

static void commands_with_arguments(void **state) {
    (void)state;
    const char *const arguments[] = {"one two", "it's; $HOME"};
    lode_command_end end;
    lode_catch_signals(); /* forgets those of other tests */
    assert_ok(lode_run_with_arguments("printf '%s|' \"$@\"; echo to stderr >&2; exit 7", arguments,
                                      2, 0, &end));
    assert_int_equal(end.exit_code, 7);
    assert_false(end.timed_out);
    assert_string_equal(end.output, "one two|it's; $HOME|to stderr\n");
    lode_free(end.output);
    /* Of much output the end is kept. */
    assert_ok(lode_run_with_arguments("yes line | head -100000; echo last", NULL, 0, 0, &end));
    const size_t n = strlen(end.output);
    assert_true(n >= 4096 && n < 10000);
    assert_string_equal(end.output + n - 5, "last\n");
    lode_free(end.output);
    /* What takes too long is ended, with what it started, at once; what it wrote is there. */
    assert_ok(lode_run_with_arguments("echo begun; sleep 60 & sleep 60", NULL, 0, 0.3, &end));
    assert_true(end.timed_out && end.seconds < 20);
    assert_int_equal(end.exit_code, 137);
    assert_string_equal(end.output, "begun\n");
    lode_free(end.output);
    assert_ok(lode_run_with_arguments("exec ./no-such-program", NULL, 0, 0, &end));
    assert_int_equal(end.exit_code, 127);
    lode_free(end.output);
}

static void cpus_by_list(void **state) {
    (void)state;
    lode_catch_signals();
    static const char *const bad[] = {"", "a", "0,", "1-", "3-2", "-1", "0 1", "0;1", "0-"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_fails(lode_pin_cpus(bad[i]), LODE_ERR_INVALID, "want numbers and ranges");
    assert_fails(lode_pin_cpus("1000"), LODE_ERR_INVALID, "may not use CPU 1000");
    const int before = lode_cpu_get().n_cores;
    lode_command_end end;
    assert_ok(lode_run_with_arguments("awk '/Cpus_allowed_list/ {print $2}' /proc/self/status",
                                      NULL, 0, 0, &end));
    end.output[strcspn(end.output, ",-\n")] = '\0'; /* the first we may use */
    assert_ok(lode_pin_cpus(end.output));
    assert_int_equal(lode_cpu_get().n_cores, 1);
    assert_true(before >= 1);
    lode_free(end.output);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_clock_goes_on),
        cmocka_unit_test(the_machine_is_described),
        cmocka_unit_test(addresses_cost_nothing),
        cmocka_unit_test(commands_are_run),
        cmocka_unit_test(signals_are_caught_once),
        cmocka_unit_test(files_come_back),
        cmocka_unit_test(large_files_come_back),
        cmocka_unit_test(files_without_a_size_are_read),
        cmocka_unit_test(reading_fails_with_the_name),
        cmocka_unit_test(writing_fails_and_leaves_the_old_file),
        cmocka_unit_test(leftovers_of_killed_writers_are_taken_over),
        cmocka_unit_test(writers_of_one_file_take_turns),
        cmocka_unit_test(lines_are_appended),
        cmocka_unit_test(directories_are_made_listed_and_removed),
        cmocka_unit_test(temporary_directories_are_fresh),
        cmocka_unit_test(paths_are_joined_with_one_slash),
        cmocka_unit_test(empty_files_are_mapped),
        cmocka_unit_test(crc_has_the_known_values),
        cmocka_unit_test(no_memory_is_a_status_and_no_leak),
        cmocka_unit_test(commands_with_arguments),
        cmocka_unit_test(cpus_by_list),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
