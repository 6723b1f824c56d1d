/* estimators_picture.h: the table of bench_estimators as an SVG: a row per estimator, a column of
   bars per quantity. Nothing but text is needed to draw it. */
#ifndef LODE_BENCH_ESTIMATORS_PICTURE_H
#define LODE_BENCH_ESTIMATORS_PICTURE_H
#include "core/memory.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

typedef struct estimator_row {
    const char *name, *group;
    double bias, noise; /* relative to the length of the true gradient */
    double cosine_step, cosine_mean;
    double paths;    /* forward passes of one option, per decision and step */
    double floor;    /* what of `bias` the number of draws alone explains */
    bool exact_bias; /* not resolved from 0 */
} estimator_row;

enum { PICTURE_LEFT = 255, PICTURE_COLUMN = 205, PICTURE_BAR = 120, PICTURE_ROW = 26 };
enum { PICTURE_TOP = 96, PICTURE_COLUMNS = 4 };

/* 0 .. 1 of a bar's width; logarithmic from `low` to `high`, or linear from 0 when low is 0. */
static double picture_place(double v, double low, double high) {
    double x = low > 0 ? (v > low ? log(v / low) / log(high / low) : 0) : v / high;
    return fmin(fmax(x, 0), 1);
}

static void picture_text(lode_text *t, double x, double y, const char *style, const char *what) {
    lode_text_add(t, "<text x=\"%.1f\" y=\"%.1f\" %s>%s</text>\n", x, y, style, what);
}

static void picture_bar(lode_text *t, int column, int row, double share, const char *color,
                        const char *value) {
    double x = PICTURE_LEFT + column * PICTURE_COLUMN, y = PICTURE_TOP + row * PICTURE_ROW;
    lode_text_add(t, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%d\" height=\"14\" fill=\"#f0f0f0\"/>\n",
                  x, y - 11, PICTURE_BAR);
    lode_text_add(t, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"14\" fill=\"%s\"/>\n", x,
                  y - 11, fmax(share * PICTURE_BAR, share > 0 ? 1 : 0), color);
    picture_text(t, x + PICTURE_BAR + 6, y + 1, "class=\"n\"", value);
}

/* A mark within a bar, at `share` of its width. */
static void picture_tick(lode_text *t, int column, int row, double share) {
    double x = PICTURE_LEFT + column * PICTURE_COLUMN + share * PICTURE_BAR;
    double y = PICTURE_TOP + row * PICTURE_ROW;
    lode_text_add(t,
                  "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"#222\" "
                  "stroke-width=\"2\"/>\n",
                  x, y - 13, x, y + 5);
}

static void picture_head(lode_text *t, int n_rows, const char *title, const char *about) {
    static const char *const head[PICTURE_COLUMNS][2] = {
        {"bias", "|E g - g*| / |g*|, log scale"},
        {"noise of one step", "sd g / |g*|, log scale"},
        {"direction", "cosine with g*: a step | mean (tick)"},
        {"paths run", "options per decision and step"}};
    int width = PICTURE_LEFT + PICTURE_COLUMNS * PICTURE_COLUMN;
    int height = PICTURE_TOP + n_rows * PICTURE_ROW + 20;
    lode_text_add(t,
                  "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
                  "viewBox=\"0 0 %d %d\">\n<style>text{font:13px sans-serif;fill:#222} "
                  ".t{font-size:17px;font-weight:bold} .h{font-weight:bold} "
                  ".s{font-size:11px;fill:#555} .n{font-size:12px}</style>\n"
                  "<rect width=\"%d\" height=\"%d\" fill=\"white\"/>\n",
                  width, height, width, height, width, height);
    picture_text(t, 14, 26, "class=\"t\"", title);
    picture_text(t, 14, 44, "class=\"s\"", about);
    for (int c = 0; c < PICTURE_COLUMNS; c++) {
        picture_text(t, PICTURE_LEFT + c * PICTURE_COLUMN, 64, "class=\"h\"", head[c][0]);
        picture_text(t, PICTURE_LEFT + c * PICTURE_COLUMN, 78, "class=\"s\"", head[c][1]);
    }
}

/* lode_text_take of the picture is the caller's; NULL when there is no memory. */
static char *estimators_picture(const estimator_row *row, int n, const char *title,
                                const char *about) {
    static const char *const colors[] = {"#4477aa", "#ee8866", "#44aa88", "#aa4488", "#888833"};
    lode_text t = {0};
    int color = -1;
    picture_head(&t, n, title, about);
    for (int i = 0; i < n; i++) {
        const estimator_row *r = &row[i];
        char value[64];
        if (i == 0 || strcmp(r->group, row[i - 1].group) != 0) color = (color + 1) % 5;
        picture_text(&t, 14, PICTURE_TOP + i * PICTURE_ROW + 1, "", r->name);
        snprintf(value, sizeof value, r->exact_bias ? "&lt; %.2g" : "%.2g",
                 r->exact_bias ? r->floor : r->bias);
        picture_bar(&t, 0, i, r->exact_bias ? 0 : picture_place(r->bias, 0.02, 2), colors[color],
                    value);
        snprintf(value, sizeof value, "%.2g", r->noise);
        picture_bar(&t, 1, i, picture_place(r->noise, 0.02, 20), colors[color], value);
        snprintf(value, sizeof value, "%.2f | %.2f", r->cosine_step, r->cosine_mean);
        picture_bar(&t, 2, i, picture_place(r->cosine_step, 0, 1), colors[color], value);
        picture_tick(&t, 2, i, picture_place(r->cosine_mean, 0, 1));
        snprintf(value, sizeof value, "%.2g", r->paths);
        picture_bar(&t, 3, i, picture_place(r->paths, 0, 3), colors[color], value);
    }
    lode_text_add(&t, "</svg>\n");
    return lode_text_take(&t);
}
#endif
