/* fit_curve.c: how well each model predicts after so many rows: FILE.csv and FILE.svg.

   Held-out rows are the same for all. Fewer rows are a part of more; several draws of the rows to
   learn from show how much is luck. The picture has the mean of the draws. */
#include "core/json.h"
#include "core/memory.h"
#include "core/number.h"
#include "core/platform.h"
#include "tools/fit.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { CURVE_MAX_SIZES = CLI_MAX_LIST, CURVE_WIDTH = 380, CURVE_HEIGHT = 260, CURVE_TOP = 60 };

typedef struct curve {
    fit *f;
    const int64_t *size;
    int n_sizes, n_draws;
    /* means over the draws, [model][size]: RMSE, tau_b */
    double mean[FIT_MAX_MODELS][CURVE_MAX_SIZES][2];
    lode_text csv;
} curve;

static void curve_add_row(curve *c, int model, int size, int draw, const lode_predictor_info *i,
                          double seconds, json_t *list) {
    const double value[] = {i->held_out.rmse, i->held_out.mape, i->held_out.pearson,
                            i->held_out.tau_b};
    static const char *const key[] = {"rmse", "mape", "pearson", "tau_b"};
    char number[32];
    json_t *j = json_pack("{s:s, s:I, s:i}", "model", i->kind, "train", (json_int_t)c->size[size],
                          "draw", draw);
    lode_text_add(&c->csv, "%s,%lld,%d", i->kind, (long long)c->size[size], draw);
    for (int k = 0; k < 4; k++) {
        lode_text_add(&c->csv, ",%s", lode_f64_format(value[k], number));
        json_object_set_new(j, key[k], lode_json_number(value[k]));
    }
    lode_text_add(&c->csv, ",%lld,%lld,%.3f\n", (long long)i->test, (long long)i->epochs, seconds);
    json_array_append_new(list, j);
    c->mean[model][size][0] += value[0] / c->n_draws;
    c->mean[model][size][1] += value[3] / c->n_draws;
}

static lode_status curve_fit_all(curve *c, lode_predictor_part *part, json_t *list) {
    fit *f = c->f;
    for (int s = 0; s < c->n_sizes; s++)
        for (int m = 0; m < f->n_models; m++) {
            for (int draw = 0; draw < c->n_draws; draw++) {
                lode_predictor *p = NULL;
                lode_predictor_split split = f->split;
                double seconds = 0;
                split.train = c->size[s];
                split.draw = (uint64_t)draw;
                LODE_TRY(fit_one(f, f->model[m], &split, part, &p, &seconds));
                const lode_predictor_info info = lode_predictor_get_info(p);
                lode_predictor_destroy(p);
                curve_add_row(c, m, s, draw, &info, seconds, list);
            }
            cli_print(f->c, "%-8s %8lld %12.6g %8.4f\n", f->model[m], (long long)c->size[s],
                      c->mean[m][s][0], c->mean[m][s][1]);
        }
    return LODE_OK;
}

/* ---- the picture ---- */

typedef struct curve_axis {
    double low, high;
    bool log;
} curve_axis;

static double curve_place(const curve_axis *a, double v) {
    if (a->high <= a->low) return 0.5;
    if (a->log) return log(v / a->low) / log(a->high / a->low);
    return (v - a->low) / (a->high - a->low);
}

static curve_axis curve_range(const curve *c, int what) {
    curve_axis a = {INFINITY, -INFINITY, what == 0};
    for (int m = 0; m < c->f->n_models; m++)
        for (int s = 0; s < c->n_sizes; s++) {
            double v = what == 0 ? fmax(c->mean[m][s][0], 1e-12) : c->mean[m][s][1];
            a.low = fmin(a.low, v);
            a.high = fmax(a.high, v);
        }
    return a;
}

static void curve_panel(lode_text *t, const curve *c, int what, const char *title) {
    static const char *const colors[] = {"#4477aa", "#ee8866", "#44aa88", "#aa4488",
                                         "#888833", "#222222", "#66ccee", "#bb4422"};
    enum { N_COLORS = sizeof colors / sizeof *colors };
    const curve_axis y = curve_range(c, what);
    const curve_axis x = {(double)c->size[0], (double)c->size[c->n_sizes - 1], true};
    double left = 70 + what * (CURVE_WIDTH + 90), bottom = CURVE_TOP + CURVE_HEIGHT;
    lode_text_add(t, "<text x=\"%.0f\" y=\"%d\" class=\"h\">%s</text>\n", left, CURVE_TOP - 12,
                  title);
    lode_text_add(t,
                  "<rect x=\"%.0f\" y=\"%d\" width=\"%d\" height=\"%d\" fill=\"none\" "
                  "stroke=\"#999\"/>\n",
                  left, CURVE_TOP, CURVE_WIDTH, CURVE_HEIGHT);
    lode_text_add(t, "<text x=\"%.0f\" y=\"%.0f\" class=\"r\">%.3g</text>\n", left - 6, bottom,
                  y.low);
    lode_text_add(t, "<text x=\"%.0f\" y=\"%d\" class=\"r\">%.3g</text>\n", left - 6,
                  CURVE_TOP + 10, y.high);
    for (int s = 0; s < c->n_sizes; s++)
        lode_text_add(t, "<text x=\"%.0f\" y=\"%.0f\" class=\"m\">%lld</text>\n",
                      left + curve_place(&x, (double)c->size[s]) * CURVE_WIDTH, bottom + 18,
                      (long long)c->size[s]);
    for (int m = 0; m < c->f->n_models; m++) {
        const char *color = colors[m % N_COLORS];
        lode_text_add(t, "<polyline fill=\"none\" stroke-width=\"2\" stroke=\"%s\" points=\"",
                      color);
        for (int s = 0; s < c->n_sizes; s++)
            lode_text_add(t, "%.1f,%.1f ", left + curve_place(&x, (double)c->size[s]) * CURVE_WIDTH,
                          bottom - CURVE_HEIGHT *
                                       curve_place(&y, what == 0 ? fmax(c->mean[m][s][0], 1e-12)
                                                                 : c->mean[m][s][1]));
        lode_text_add(t, "\"/>\n");
        if (what == 0)
            lode_text_add(t, "<text x=\"%d\" y=\"%.0f\" fill=\"%s\">%s</text>\n", 70 + 110 * m,
                          bottom + 46, color, c->f->model[m]);
    }
}

static void curve_picture(const curve *c, lode_text *t) {
    int width = 2 * CURVE_WIDTH + 200, height = CURVE_TOP + CURVE_HEIGHT + 66;
    char title[128];
    lode_text_add(t,
                  "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
                  "viewBox=\"0 0 %d %d\">\n<style>text{font:13px sans-serif} .h{font-weight:bold} "
                  ".m{text-anchor:middle} .r{text-anchor:end}</style>\n"
                  "<rect width=\"%d\" height=\"%d\" fill=\"white\"/>\n",
                  width, height, width, height, width, height);
    lode_text_add(t,
                  "<text x=\"14\" y=\"22\" class=\"h\">%s, %s: held-out error after so many "
                  "rows</text>\n",
                  lode_space_name(c->f->space), c->f->info.column);
    snprintf(title, sizeof title, "RMSE, %s (log)", c->f->info.unit);
    curve_panel(t, c, 0, title);
    curve_panel(t, c, 1, "Kendall's tau_b");
    lode_text_add(t, "</svg>\n");
}

static lode_status curve_write(const curve *c, const char *output) {
    size_t n = strlen(output);
    if (n > 4 && strcmp(output + n - 4, ".csv") == 0) n -= 4;
    char *csv = lode_format("%.*s.csv", (int)n, output);
    char *svg = lode_format("%.*s.svg", (int)n, output);
    lode_text picture = {0};
    lode_status status = LODE_OK;
    LODE_GOTO(csv && svg ? LODE_OK : LODE_ERR_NO_MEMORY);
    curve_picture(c, &picture);
    LODE_GOTO(lode_text_status(&c->csv));
    LODE_GOTO(lode_text_status(&picture));
    LODE_GOTO(lode_file_write_atomic(csv, c->csv.s, c->csv.length));
    LODE_GOTO(lode_file_write_atomic(svg, picture.s, picture.length));
    cli_print(c->f->c, "written to %s and %s\n", csv, svg);
done:
    lode_free(csv);
    lode_free(svg);
    lode_text_deinit(&picture);
    return status;
}

lode_status fit_curve(fit *f, const int64_t *size, int n_sizes, int n_draws, json_t *result) {
    curve c = {.f = f, .size = size, .n_sizes = n_sizes, .n_draws = n_draws};
    lode_status status = LODE_OK;
    json_t *list = json_array();
    json_object_set_new(result, "curve", list);
    for (int s = 1; s < n_sizes; s++)
        if (size[s] <= size[s - 1])
            return cli_usage_error(f->c, "--curve: numbers of rows must grow");
    lode_predictor_part *part = LODE_NEW_ARRAY(lode_predictor_part, f->rows.n);
    if (!part) return LODE_ERR_NO_MEMORY;
    lode_text_add(&c.csv, "model,train,draw,rmse,mape,pearson,tau_b,held_out,epochs,seconds\n");
    cli_print(f->c, "%-8s %8s %12s %8s   mean of %d draws\n", "model", "rows",
              *f->info.unit ? f->info.unit : "RMSE", "tau_b", n_draws);
    LODE_GOTO(curve_fit_all(&c, part, list));
    if (f->output) LODE_GOTO(curve_write(&c, f->output));
done:
    lode_text_deinit(&c.csv);
    lode_free(part);
    return status;
}
