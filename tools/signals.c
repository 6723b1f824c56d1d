/* signals.c: the first Ctrl-C or SIGTERM asks the work to stop (it writes its checkpoint first);
   the second ends the process. The one file of the command that needs POSIX. */
#define _POSIX_C_SOURCE 200809L
#include "tools/cli.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

static volatile sig_atomic_t signal_seen;

static void signals_handle(int number) {
    static const char text[] = "\nlode: stopping after this step; once more to stop at once\n";
    if (signal_seen) _exit(128 + number);
    signal_seen = number;
    ssize_t written = write(STDERR_FILENO, text, sizeof text - 1);
    (void)written; /* nothing can be done about it here */
}

void cli_signals_install(void) {
    struct sigaction action = {.sa_handler = signals_handle};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

int cli_signal_seen(void) { return signal_seen; }
bool cli_stderr_is_terminal(void) { return isatty(STDERR_FILENO) != 0; }
