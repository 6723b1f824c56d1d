/* progress.c: one line on the terminal: stage, bar, rate, time left, metrics. */
#include "core/platform.h"
#include "tools/cli.h"

#include <stdio.h>
#include <string.h>

static void bar_time(double s, char out[24]) {
    if (!(s >= 0) || s > 359999)
        snprintf(out, 24, "--:--");
    else if (s >= 3600)
        snprintf(out, 24, "%d:%02d:%02d", (int)s / 3600, (int)s / 60 % 60, (int)s % 60);
    else
        snprintf(out, 24, "%d:%02d", (int)s / 60, (int)s % 60);
}

void cli_bar_clear(cli_bar *b) {
    if (b->dirty) fputs("\r\033[K", stderr);
    b->dirty = false;
}

void cli_bar_update(cli_bar *b, const char *stage, int64_t done, int64_t total,
                    const char *metrics) {
    if (!b->enabled) return;
    double now = lode_clock();
    if (strcmp(stage, b->stage) != 0 || done < b->first_done) {
        snprintf(b->stage, sizeof b->stage, "%s", stage);
        b->started = now;
        b->first_done = done > 0 ? done - 1 : 0;
        b->shown = 0;
    }
    if (now - b->shown < 0.1 && done < total) return;
    b->shown = now;
    char bar[21], left[24];
    double rate = now > b->started ? (double)(done - b->first_done) / (now - b->started) : 0;
    int full = total > 0 ? (int)(20 * done / total) : 0;
    for (int i = 0; i < 20; i++) bar[i] = i < full ? '=' : i == full ? '>' : ' ';
    bar[20] = '\0';
    bar_time(total > 0 && rate > 0 ? (double)(total - done) / rate : -1, left);
    int width = lode_terminal_width(2);
    char line[256];
    snprintf(line, sizeof line, "%s [%s] %lld/%lld  %.3g/s  left %s  %s", b->stage, bar,
             (long long)done, (long long)total, rate, left, metrics ? metrics : "");
    fprintf(stderr, "\r\033[K%.*s", width > 1 ? width - 1 : 79, line); /* a wrapped bar stays */
    b->dirty = true;
    fflush(stderr);
}
