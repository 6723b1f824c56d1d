/* schedule.c: rates and temperatures as functions of the step.

   Warm-up and main part do not overlap: the first main step has the peak, as has the last warm-up
   step. The cosine is the one of PyTorch's CosineAnnealingLR read in closed form, so that a rate
   never depends on the rates before it. */
#include "train/schedule.h"

#include <math.h>

static const double schedule_pi = 3.14159265358979323846;

lode_status lode_schedule_check(const lode_schedule *s) {
    if (!(s->peak >= 0) || !(s->final >= 0) || isinf(s->peak) || isinf(s->final))
        return LODE_FAIL(LODE_ERR_CONFIG,
                         "schedule: rates must be finite and not negative, seen lr "
                         "%g and lr_final %g",
                         s->peak, s->final);
    if (s->warmup < 0 || s->total < 0)
        return LODE_FAIL(LODE_ERR_CONFIG, "schedule: %lld warm-up steps of %lld steps",
                         (long long)s->warmup, (long long)s->total);
    if (s->warmup > 0 && s->warmup >= s->total)
        return LODE_FAIL(LODE_ERR_CONFIG,
                         "schedule: the warm-up takes %lld steps and the whole run only %lld: "
                         "lower warmup or raise epochs",
                         (long long)s->warmup, (long long)s->total);
    if (s->kind == LODE_SCHEDULE_STEP && (s->every <= 0 || !(s->gamma > 0)))
        return LODE_FAIL(
            LODE_ERR_CONFIG,
            "schedule: step needs lr_every > 0 and lr_gamma > 0, seen %lld steps and %g",
            (long long)s->every, s->gamma);
    return LODE_OK;
}

double lode_schedule_at(const lode_schedule *s, int64_t step) {
    if (step < s->warmup) return s->peak * ((double)step + 1) / (double)s->warmup;
    int64_t main_steps = s->total - s->warmup, t = step - s->warmup;
    double p = main_steps > 0 && t < main_steps ? (double)t / (double)main_steps : 1;
    switch (s->kind) {
    case LODE_SCHEDULE_COSINE:
        return s->final + (s->peak - s->final) * (1 + cos(schedule_pi * p)) / 2;
    case LODE_SCHEDULE_LINEAR:
        return s->peak + (s->final - s->peak) * p;
    case LODE_SCHEDULE_STEP:
        return s->peak * pow(s->gamma, (double)(t / s->every));
    case LODE_SCHEDULE_CONSTANT:
        break;
    }
    return s->peak;
}

lode_status lode_temperature_check(const lode_temperature *t) {
    if (!(t->start > 0) || !(t->end > 0) || isinf(t->start))
        return LODE_FAIL(LODE_ERR_CONFIG, "temperature: must stay above 0, seen from %g to %g",
                         t->start, t->end);
    if (t->end > t->start)
        return LODE_FAIL(LODE_ERR_CONFIG, "temperature: ends at %g, above its start %g", t->end,
                         t->start);
    if (!(t->rate >= 0))
        return LODE_FAIL(LODE_ERR_CONFIG, "temperature: rate %g per epoch is negative", t->rate);
    return LODE_OK;
}

double lode_temperature_at(const lode_temperature *t, int64_t epoch) {
    double e = epoch > 0 ? (double)epoch : 0, last = t->n > 1 ? (double)(t->n - 1) : 1;
    switch (t->kind) {
    case LODE_TEMPERATURE_EXPONENTIAL: {
        double rate = t->rate > 0 ? t->rate : log(t->start / t->end) / last;
        return fmax(t->end, t->start * exp(-rate * e));
    }
    case LODE_TEMPERATURE_LINEAR:
        return fmax(t->end, t->start - (t->rate > 0 ? t->rate : (t->start - t->end) / last) * e);
    case LODE_TEMPERATURE_CONSTANT:
        break;
    }
    return t->start;
}
