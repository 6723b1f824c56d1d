/* platform_process.c: signals to this process, and commands that it runs. */
#if defined(__APPLE__)
#define _DARWIN_C_SOURCE
#else
#define _GNU_SOURCE
#endif
#include "core/memory.h"
#include "core/platform.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

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
