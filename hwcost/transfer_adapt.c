/* transfer_adapt.c: a known model of many devices becomes one of a new device. See transfer.h.

   The regression is done in its weights. With p the row of the known devices' answers / sqrt(S) and
   features sqrt(c) x / sqrt(v), both centered on the samples (which is what a free offset b does),
   P the rows and y the centered targets:

       A = P'P + e I,  w = A^-1 P'y,  q = (y'y - y'P w) / e,  t = q / (n - 1)
       log likelihood = -(n - 1)/2 log q - 1/2 (log |A| + (n - 1 - columns) log e) + constant

   the restricted likelihood of b, with t at its best. c and e are tried on a grid of powers of ten,
   where a broad prior (a tenth of the squared distance of each logarithm from 0.01) keeps ten
   samples from saying too much. Leaving sample i out changes its error y_i - p_i w to that divided
   by 1 - 1/n - p_i A^-1 p_i'. */
#include "core/memory.h"
#include "core/platform.h"
#include "hwcost/predictor_file_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const double adapt_noise[] = {1e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1};
static const double adapt_own[] = {1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1};

typedef struct adapt {
    const lode_transfer *t;
    int64_t n;             /* samples */
    int s, f, q;           /* known devices, features, columns: s + f */
    double *x;             /* [n, f] */
    double *p;             /* [n, q] centered */
    double *y;             /* [n] standardized */
    double *mean;          /* [q] of the columns */
    double *gram, *target; /* [q, q], [q]: P'P, P'y at c = 1 */
    double *a, *w;         /* [q, q], [q]: factor and weights of the pair tried last */
    double yy;
} adapt;

static void adapt_deinit(adapt *a) {
    lode_free(a->x);
    lode_free(a->p);
    lode_free(a->y);
    lode_free(a->mean);
    lode_free(a->gram);
    lode_free(a->a);
}

/* The columns of `n` architectures, not centered: p [n, q]; x [n, f] is filled too. */
static lode_status adapt_columns(const lode_transfer *t, const lode_arch *arch, int64_t n,
                                 double *x, double *p) {
    int s = t->info.n_devices, f = lode_encoding_n(t->encoding), q = s + f;
    double *answer = lode_alloc((size_t)(n * s), sizeof *answer);
    lode_status status = answer ? LODE_OK : LODE_ERR_NO_MEMORY;
    if (status == LODE_OK) status = predictor_encode(t->encoding, arch, n, x);
    if (status == LODE_OK) status = t->plugin->predict(t->self, x, n, answer, NULL);
    for (int64_t i = 0; i < n && status == LODE_OK; i++) {
        for (int k = 0; k < s; k++) p[i * q + k] = answer[i * s + k] / sqrt(s);
        for (int k = 0; k < f; k++) p[i * q + s + k] = x[i * f + k] / sqrt(t->spread);
    }
    lode_free(answer);
    return status;
}

static void adapt_center(double *p, int64_t n, int q, double *mean) {
    for (int k = 0; k < q; k++) {
        mean[k] = 0;
        for (int64_t i = 0; i < n; i++) mean[k] += p[i * q + k] / (double)n;
        for (int64_t i = 0; i < n; i++) p[i * q + k] -= mean[k];
    }
}

/* Samples, standardized; p's targets. */
static lode_status adapt_init(adapt *a, const lode_transfer *t, const lode_arch *arch,
                              const double *value, int64_t n, lode_predictor *p) {
    a->t = t;
    a->n = n;
    a->s = t->info.n_devices;
    a->f = lode_encoding_n(t->encoding);
    a->q = a->s + a->f;
    int64_t q = a->q;
    a->x = LODE_NEW_ARRAY(double, n * a->f);
    a->p = LODE_NEW_ARRAY(double, n *q);
    a->y = LODE_NEW_ARRAY(double, n);
    a->mean = LODE_NEW_ARRAY(double, q);
    a->gram = LODE_NEW_ARRAY(double, q *q + q);
    a->a = LODE_NEW_ARRAY(double, q *q + q);
    if (!a->x || !a->p || !a->y || !a->mean || !a->gram || !a->a) return LODE_ERR_NO_MEMORY;
    a->target = a->gram + q * q;
    a->w = a->a + q * q;
    LODE_TRY(adapt_columns(t, arch, n, a->x, a->p));
    adapt_center(a->p, n, a->q, a->mean);
    double variance = 0;
    for (int64_t i = 0; i < n; i++) p->mean += value[i] / (double)n;
    for (int64_t i = 0; i < n; i++)
        variance += (value[i] - p->mean) * (value[i] - p->mean) / (double)n;
    if (!(p->info.smallest < p->info.largest && variance > 0))
        return LODE_FAIL(LODE_ERR_DATA,
                         "all %lld samples cost %g: nothing tells the device apart; "
                         "measure others",
                         (long long)n, p->info.smallest);
    p->scale = sqrt(variance);
    for (int64_t i = 0; i < n; i++) a->y[i] = (value[i] - p->mean) / p->scale;
    for (int64_t i = 0; i < n; i++) {
        const double *row = a->p + i * q;
        a->yy += a->y[i] * a->y[i];
        for (int64_t j = 0; j < q; j++) {
            a->target[j] += row[j] * a->y[i];
            if (row[j] == 0) continue;
            for (int64_t k = 0; k <= j; k++) a->gram[j * q + k] += row[j] * row[k];
        }
    }
    return LODE_OK;
}

/* Factor and weights at one pair; its log likelihood and prior. */
static double adapt_try(adapt *a, double own, double noise) {
    int64_t q = a->q;
    double determinant = 0, explained = 0, at = log10(own) + 2, e = log10(noise) + 2;
    for (int64_t j = 0; j < q; j++) {
        double dj = j < a->s ? 1 : sqrt(own);
        for (int64_t k = 0; k <= j; k++)
            a->a[j * q + k] = dj * (k < a->s ? 1 : sqrt(own)) * a->gram[j * q + k];
        a->a[j * q + j] += noise;
        a->w[j] = dj * a->target[j];
    }
    if (!predictor_factor(a->a, a->q)) return -INFINITY;
    predictor_substitute(a->a, a->w, a->q);
    for (int64_t j = 0; j < q; j++) {
        double dj = j < a->s ? 1 : sqrt(own);
        determinant += 2 * log(a->a[j * q + j]);
        explained += a->w[j] * dj * a->target[j];
    }
    double rest = fmax((a->yy - explained) / noise, 1e-12);
    double n = (double)(a->n - 1);
    return -0.5 * n * log(rest) - 0.5 * (determinant + (n - (double)q) * log(noise)) -
           0.1 * (at * at + e * e);
}

static void adapt_choose(adapt *a, double *own, double *noise) {
    double best = -INFINITY;
    *own = *noise = 1e-2;
    for (size_t i = 0; i < sizeof adapt_own / sizeof *adapt_own; i++)
        for (size_t j = 0; j < sizeof adapt_noise / sizeof *adapt_noise; j++) {
            double found = adapt_try(a, adapt_own[i], adapt_noise[j]);
            if (!(found > best)) continue;
            best = found;
            *own = adapt_own[i];
            *noise = adapt_noise[j];
        }
    adapt_try(a, *own, *noise);
}

/* Standardized root mean square of the errors of samples left out. */
static lode_status adapt_left_out(const adapt *a, double own, double *out) {
    int64_t q = a->q;
    double *row = LODE_NEW_ARRAY(double, 2 * q), sum = 0;
    if (!row) return LODE_ERR_NO_MEMORY;
    for (int64_t i = 0; i < a->n; i++) {
        double error = a->y[i], leverage = 1 / (double)a->n;
        for (int64_t j = 0; j < q; j++) {
            row[j] = row[q + j] = a->p[i * q + j] * (j < a->s ? 1 : sqrt(own));
            error -= row[j] * a->w[j];
        }
        predictor_substitute(a->a, row, a->q);
        for (int64_t j = 0; j < q; j++) leverage += row[j] * row[q + j];
        error /= fmax(1 - leverage, 1e-9);
        sum += error * error / (double)a->n;
    }
    lode_free(row);
    *out = sqrt(sum);
    return LODE_OK;
}

static lode_status adapt_finish(adapt *a, double own, lode_predictor *p,
                                lode_transfer_report *report) {
    double *w = LODE_NEW_ARRAY(double, a->q), b = 0;
    if (!w) return LODE_ERR_NO_MEMORY;
    for (int k = 0; k < a->q; k++) {
        b -= a->w[k] * a->mean[k] * (k < a->s ? 1 : sqrt(own));
        w[k] = a->w[k] * (k < a->s ? 1 / sqrt(a->s) : sqrt(own / a->t->spread));
    }
    for (int k = 0; k < a->s; k++) report->share[k] = w[k];
    lode_status status = a->t->plugin->combine(a->t->self, p->encoding, w, w + a->s, b, &p->self);
    lode_free(w);
    return status;
}

/* ---- what is asked for ---- */

static lode_status adapt_create(const lode_transfer *t, const lode_predictor_info *info,
                                lode_predictor **out) {
    LODE_TRY(predictor_create(t->plugin, lode_encoding_space(t->encoding), &t->options, 0, out));
    lode_predictor *p = *out;
    p->info = *info;
    snprintf(p->info.kind, sizeof p->info.kind, "%s", t->info.kind);
    lode_timestamp(p->info.created);
    return LODE_OK;
}

lode_status lode_transfer_adapt(const lode_transfer *t, const lode_predictor_rows *rows,
                                const lode_predictor_part *part, const lode_predictor_info *info,
                                lode_transfer_report *report, lode_predictor **out) {
    adapt a = {0};
    lode_predictor *p = NULL;
    lode_status status = LODE_OK;
    int64_t n = 0;
    *out = NULL;
    *report = (lode_transfer_report){.n_devices = t->info.n_devices};
    LODE_TRY(predictor_check_same_space(lode_encoding_space(t->encoding), rows->space));
    lode_arch *arch = LODE_NEW_ARRAY(lode_arch, rows->n + 1);
    double *value = LODE_NEW_ARRAY(double, rows->n + 1);
    LODE_GOTO(arch && value ? LODE_OK : LODE_ERR_NO_MEMORY);
    LODE_GOTO(adapt_create(t, info, &p));
    for (int64_t i = 0; i < rows->n; i++) {
        p->info.test += part[i] == LODE_PART_TEST;
        if (part[i] != LODE_PART_TRAIN && part[i] != LODE_PART_VALID) continue;
        arch[n] = rows->arch[i];
        value[n++] = rows->value[i];
    }
    if (n < 3) {
        status = LODE_FAIL(LODE_ERR_DATA, "%lld samples of the new device: want at least 3",
                           (long long)n);
        goto done;
    }
    p->info.train = n;
    p->info.smallest = p->info.largest = value[0];
    for (int64_t i = 1; i < n; i++) {
        p->info.smallest = fmin(p->info.smallest, value[i]);
        p->info.largest = fmax(p->info.largest, value[i]);
    }
    LODE_GOTO(adapt_init(&a, t, arch, value, n, p));
    adapt_choose(&a, &report->own, &report->noise);
    LODE_GOTO(adapt_left_out(&a, report->own, &report->left_out));
    report->left_out *= p->scale;
    LODE_GOTO(adapt_finish(&a, report->own, p, report));
    LODE_GOTO(predictor_judge(p, rows, part));
    *out = p;
    p = NULL;
done:
    adapt_deinit(&a);
    lode_free(arch);
    lode_free(value);
    lode_predictor_destroy(p);
    return status;
}

lode_status lode_transfer_known(const lode_transfer *t, int device, const lode_predictor_info *info,
                                lode_predictor **out) {
    const lode_transfer_device *d = &t->device[device];
    lode_predictor *p = NULL;
    *out = NULL;
    double *w = LODE_NEW_ARRAY(double, t->info.n_devices + lode_encoding_n(t->encoding));
    if (!w) return LODE_ERR_NO_MEMORY;
    w[device] = 1;
    lode_status status = adapt_create(t, info, &p);
    if (status == LODE_OK)
        status = t->plugin->combine(t->self, p->encoding, w, w + t->info.n_devices, 0, &p->self);
    lode_free(w);
    if (status != LODE_OK) {
        lode_predictor_destroy(p);
        return status;
    }
    p->mean = d->mean;
    p->scale = d->scale;
    p->info.train = t->info.train;
    p->info.valid = t->info.valid;
    p->info.test = t->info.test;
    p->info.epochs = t->info.epochs;
    p->info.smallest = d->smallest;
    p->info.largest = d->largest;
    p->info.held_out = d->held_out;
    *out = p;
    return LODE_OK;
}

/* ---- which architectures to measure ---- */

lode_status lode_transfer_suggest(const lode_transfer *t, const lode_arch *arch, int64_t n,
                                  int64_t want, int64_t *chosen) {
    enum { OWN = 2 }; /* c = 10^-OWN, and e the same: the middle of the prior */
    int s = t->info.n_devices, f = lode_encoding_n(t->encoding), q = s + f;
    const double own = pow(10, -OWN), noise = own;
    double *x = LODE_NEW_ARRAY(double, n *f + 1), *p = LODE_NEW_ARRAY(double, n *q + 1);
    double *open = LODE_NEW_ARRAY(double, n + 1), *mean = LODE_NEW_ARRAY(double, q);
    double *known = LODE_NEW_ARRAY(double, n *want + 1); /* [n, want] columns of a factor */
    lode_status status = LODE_OK;
    LODE_GOTO(x && p && open && mean && known ? LODE_OK : LODE_ERR_NO_MEMORY);
    if (want > n) {
        status = LODE_FAIL(LODE_ERR_CONFIG, "%lld architectures are wanted out of %lld",
                           (long long)want, (long long)n);
        goto done;
    }
    LODE_GOTO(adapt_columns(t, arch, n, x, p));
    adapt_center(p, n, q, mean);
    for (int64_t i = 0; i < n; i++)
        for (int k = 0; k < q; k++) {
            if (k >= s) p[i * q + k] *= sqrt(own);
            open[i] += p[i * q + k] * p[i * q + k];
        }
    for (int64_t m = 0; m < want; m++) {
        int64_t best = 0;
        for (int64_t i = 1; i < n; i++)
            if (open[i] > open[best]) best = i;
        double root = sqrt(open[best] + noise);
        for (int64_t i = 0; i < n; i++) {
            double k = 0;
            for (int j = 0; j < q; j++) k += p[i * q + j] * p[best * q + j];
            for (int64_t j = 0; j < m; j++) k -= known[i * want + j] * known[best * want + j];
            known[i * want + m] = k / root;
        }
        for (int64_t i = 0; i < n; i++) open[i] -= known[i * want + m] * known[i * want + m];
        chosen[m] = best;
        open[best] = -1; /* not twice */
    }
done:
    lode_free(x);
    lode_free(p);
    lode_free(open);
    lode_free(mean);
    lode_free(known);
    return status;
}
