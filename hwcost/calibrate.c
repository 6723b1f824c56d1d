/* calibrate.c: from measured calls to the numbers of a device file. */
#include "hwcost/calibrate.h"

#include "core/memory.h"
#include "core/parallel.h"
#include "core/platform.h"
#include "hwcost/cost_internal.h"
#include "ops/dispatch.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

const char *lode_calibration_space(void) {
    return "name: calibration\n"
           "about: calls of every class and size, for `lode cost calibrate`\n"
           "input: {channels: 3, size: 112}\n"
           "classes: 1000\n"
           "sets:\n"
           "  all:\n"
           "    conv3: {op: conv, kernel: 3}\n"
           "    conv5: {op: conv, kernel: 5}\n"
           "    conv1: {op: conv, kernel: 1}\n"
           "    mb3_e3: {op: mbconv, kernel: 3, expand: 3}\n"
           "    mb5_e6: {op: mbconv, kernel: 5, expand: 6}\n"
           "    mb7_e2: {op: mbconv, kernel: 7, expand: 2}\n"
           "    sep3: {op: sep_conv, kernel: 3}\n"
           "    pool: {op: avg_pool, at_shape_change: {op: conv, kernel: 1}}\n"
           "layers:\n"
           "  - {op: conv, kernel: 3, channels: 16, stride: 1}\n"
           "  - {choice: all, channels: 16}\n"
           "  - {choice: all, channels: 32, stride: 2, repeat: 2}\n"
           "  - {choice: all, channels: 8}\n" /* few channels at each size: small calls */
           "  - {choice: all, channels: 64, stride: 2, repeat: 2}\n"
           "  - {choice: all, channels: 16, repeat: 2}\n"
           "  - {choice: all, channels: 128, stride: 2, repeat: 2}\n"
           "  - {choice: all, channels: 32, repeat: 2}\n"
           "  - {choice: all, channels: 256, stride: 2, repeat: 2}\n"
           "  - {choice: all, channels: 64, repeat: 2}\n"
           "  - {op: conv, kernel: 1, channels: 1280}\n"
           "  - {op: global_pool}\n"
           "  - {op: linear}\n";
}

/* ---- the fit ---- */

enum {
    FIT_MAX = 3 * LODE_N_WORK_CLASSES + LODE_ROOFLINE_LEVELS,
    FIT_FEW = 4 /* fewer calls of a class do not tell its share of the peak from its overhead */
};

typedef struct fit {
    const lode_work *work;
    const double *us;
    int64_t n;
    lode_roofline *r;
    int n_free;
    double *free[FIT_MAX]; /* into *r */
    double most[FIT_MAX];
    double share[LODE_ROOFLINE_LEVELS]; /* of the bandwidth inside it, so no level is faster */
} fit;

static double fit_error(const fit *f) {
    double sum = 0;
    for (int l = 1; l < f->r->n_levels; l++)
        f->r->level[l].gbps = f->r->level[l - 1].gbps * f->share[l];
    for (int64_t i = 0; i < f->n; i++) {
        double d = log(lode_roofline_us(f->r, &f->work[i]) / f->us[i]);
        sum += d * d;
    }
    return sum;
}

static void fit_add(fit *f, double *value, double most) {
    f->free[f->n_free] = value;
    f->most[f->n_free++] = most;
}

/* First guesses: what the best call of each class, and through each level, reached. */
static void fit_guess(fit *f) {
    lode_roofline *r = f->r;
    double best[LODE_N_WORK_CLASSES] = {0}, least[LODE_N_WORK_CLASSES] = {0};
    int count[LODE_N_WORK_CLASSES] = {0};
    r->peak_gflops = 0;
    for (int l = 0; l < r->n_levels; l++) r->level[l].gbps = 0;
    for (int64_t i = 0; i < f->n; i++) {
        const lode_work *w = &f->work[i];
        double bytes[LODE_ROOFLINE_LEVELS], us = f->us[i];
        lode_roofline_bytes(r, w, bytes);
        for (int l = 0; l < r->n_levels; l++)
            r->level[l].gbps = fmax(r->level[l].gbps, bytes[l] / (1e3 * us));
        best[w->what] = fmax(best[w->what], w->flops / (1e3 * us));
        least[w->what] = count[w->what]++ ? fmin(least[w->what], us) : us;
        r->peak_gflops = fmax(r->peak_gflops, w->flops / (1e3 * us));
    }
    for (int l = r->n_levels - 2; l >= 0; l--)
        r->level[l].gbps = fmax(r->level[l].gbps, r->level[l + 1].gbps);
    fit_add(f, &r->level[0].gbps, 1e6);
    for (int l = 1; l < r->n_levels; l++) { /* 0: nothing crosses it, it keeps the inner speed */
        bool crossed = r->level[l].gbps > 0;
        f->share[l] = crossed ? r->level[l].gbps / r->level[l - 1].gbps : 1;
        if (!crossed) r->level[l].gbps = r->level[l - 1].gbps;
        if (crossed) fit_add(f, &f->share[l], 1);
    }
    for (int k = 0; k < LODE_N_WORK_CLASSES; k++) {
        bool known = count[k] > 0 && best[k] > 0;
        r->efficiency[k] = known ? best[k] / r->peak_gflops : 1;
        r->overlap[k] = known && count[k] >= FIT_FEW ? 0.5 : 1;
        if (known) fit_add(f, &r->efficiency[k], 1);
        if (count[k] < FIT_FEW) continue;
        r->overhead_us[k] = 0.3 * least[k];
        fit_add(f, &r->overhead_us[k], 1e9);
        if (known) fit_add(f, &r->overlap[k], 1);
    }
    for (int k = 0; k < LODE_N_WORK_CLASSES; k++)
        if (count[k] < FIT_FEW) r->overhead_us[k] = 0.3 * least[LODE_WORK_OTHER];
}

/* Tries one parameter larger and smaller by the step; keeps what is better. */
static bool fit_try(fit *f, int p, double step, double *error) {
    double kept = *f->free[p];
    for (int side = 0; side < 2; side++) {
        double v = side == 0 ? kept * (1 + step) : kept / (1 + step);
        *f->free[p] = fmin(v, f->most[p]);
        double e = fit_error(f);
        if (e < *error) {
            *error = e;
            return true;
        }
    }
    *f->free[p] = kept;
    return false;
}

/* All parameters at once, each by a random power of the step: what leads out of the valleys in
   which one parameter's loss is another's gain (bandwidth against overhead). */
static bool fit_try_all(fit *f, lode_rng *rng, double step, double *error) {
    double kept[FIT_MAX];
    for (int p = 0; p < f->n_free; p++) {
        kept[p] = *f->free[p];
        double v = kept[p] * pow(1 + step, 2 * lode_rng_uniform(rng) - 1);
        *f->free[p] = fmin(v, f->most[p]);
    }
    double e = fit_error(f);
    if (e < *error) {
        *error = e;
        return true;
    }
    for (int p = 0; p < f->n_free; p++) *f->free[p] = kept[p];
    return false;
}

static void fit_search(fit *f) {
    lode_rng rng = lode_rng_stream(1, LODE_RNG_MEASURE, 2);
    double error = fit_error(f);
    for (double step = 1; step > 1e-4;) {
        double before = error;
        for (int p = 0; p < f->n_free; p++) (void)fit_try(f, p, step, &error);
        for (int i = 0; i < 8 * f->n_free; i++) (void)fit_try_all(f, &rng, step, &error);
        if (error > before * (1 - 1e-3)) step /= 2;
    }
}

lode_status lode_calibrate_fit(const lode_work *work, const double *us, int64_t n, lode_roofline *r,
                               double *mape) {
    fit f = {.work = work, .us = us, .n = n, .r = r};
    double flops = 0;
    for (int64_t i = 0; i < n; i++) {
        if (!(us[i] > 0))
            return LODE_FAIL(LODE_ERR_INVALID, "calibrate: call %lld took %g us, want > 0",
                             (long long)i, us[i]);
        flops += work[i].flops;
    }
    if (!(flops > 0) || r->n_levels < 1)
        return LODE_FAIL(LODE_ERR_INVALID, "calibrate: no call does arithmetic, or no memory");
    fit_guess(&f);
    fit_search(&f);
    (void)fit_error(&f); /* leaves the bandwidths as the best shares have them */
    *mape = 0;
    for (int64_t i = 0; i < n; i++)
        *mape += 100 * fabs(lode_roofline_us(r, &work[i]) / us[i] - 1) / (double)n;
    return LODE_OK;
}

/* ---- measuring ---- */

typedef struct calibrate_calls {
    char **text;
    lode_work *work;
    double *us;
    int64_t n;
} calibrate_calls;

static void calibrate_free(calibrate_calls *c) {
    for (int64_t i = 0; c->text && i < c->n; i++) lode_free(c->text[i]);
    lode_free(c->text);
    lode_free(c->work);
    lode_free(c->us);
}

/* Takes ownership of `text`. */
static void calibrate_add(calibrate_calls *c, const lode_table *table, const lode_trace_call *call,
                          char *text) {
    const lode_table_entry *e = lode_table_find(table, text);
    bool known = !e || e->median <= 0;
    for (int64_t i = 0; !known && i < c->n; i++) known = strcmp(c->text[i], text) == 0;
    if (known) {
        lode_free(text);
        return;
    }
    lode_work_of(call, &c->work[c->n]);
    c->us[c->n] = 1e3 * e->median;
    c->text[c->n++] = text;
}

/* The works of the table's calls: from traces of architectures that show all of them. */
static lode_status calibrate_list(lode_supernet *net, const lode_table *table, calibrate_calls *c) {
    lode_arch *arch = NULL;
    int64_t n_arch = 0, capacity = lode_table_n(table);
    lode_tape *trace = NULL;
    lode_status status = LODE_OK;
    c->text = LODE_NEW_ARRAY(char *, capacity + 1);
    c->work = LODE_NEW_ARRAY(lode_work, capacity + 1);
    c->us = LODE_NEW_ARRAY(double, capacity + 1);
    LODE_GOTO(c->text && c->work && c->us ? LODE_OK : LODE_ERR_NO_MEMORY);
    LODE_GOTO(lode_tape_create(LODE_TRACE, NULL, &trace));
    LODE_GOTO(cost_cover(net, &arch, &n_arch));
    for (int64_t a = 0; a < n_arch || (a == 0 && n_arch == 0); a++) {
        LODE_GOTO(lode_supernet_trace_folded(net, n_arch ? &arch[a] : NULL,
                                             lode_table_get_info(table).batch, trace));
        for (int i = 0; i < lode_trace_n(trace); i++) {
            const lode_trace_call *call = lode_trace_get(trace, i);
            if (call->is_view) continue;
            char *text = lode_call_text(&call->call);
            LODE_GOTO(text ? LODE_OK : LODE_ERR_NO_MEMORY);
            calibrate_add(c, table, call, text);
        }
    }
done:
    lode_free(arch);
    lode_tape_destroy(trace);
    return status;
}

/* Private caches count once per thread. */
static void calibrate_levels(lode_roofline *r) {
    int threads = lode_get_threads();
    for (int level = 1; level <= 3; level++) {
        double kib = (double)lode_cpu_cache_bytes(level) / 1024 * (level < 3 ? threads : 1);
        if (kib <= 0 || (r->n_levels > 0 && kib <= r->level[r->n_levels - 1].kib)) continue;
        lode_roofline_level *l = &r->level[r->n_levels++];
        snprintf(l->name, sizeof l->name, "L%d", level);
        l->kib = kib;
    }
    snprintf(r->level[r->n_levels++].name, sizeof r->level[0].name, "DRAM");
}

lode_status lode_calibrate(lode_supernet *net, lode_dispatch *dispatch,
                           const lode_profile_options *options, const lode_progress *progress,
                           lode_calibration *out) {
    lode_profile_options o = *options;
    lode_table *table = NULL;
    calibrate_calls calls = {0};
    lode_status status = LODE_OK;
    memset(out, 0, sizeof *out);
    out->roofline.vector = 1;
    calibrate_levels(&out->roofline);
    o.networks = 0;
    LODE_GOTO(lode_profile_space(net, dispatch, &o, progress, &table));
    LODE_GOTO(calibrate_list(net, table, &calls));
    out->info = lode_table_get_info(table);
    out->n_calls = calls.n;
    LODE_GOTO(lode_calibrate_fit(calls.work, calls.us, calls.n, &out->roofline, &out->mape));
done:
    calibrate_free(&calls);
    lode_table_destroy(table);
    return status;
}
