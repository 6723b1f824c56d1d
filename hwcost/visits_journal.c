/* visits_journal.c: rounds of passes, a line each:

       {"total": [per visit], "before": [...], "after": [...], "stolen_ms": all so far, "wall_ms":
   ..., "calls": [{"call": ..., "provider": ..., "ms": [...], "visit": [of each]}]} */
#include "hwcost/journal.h"
#include "hwcost/visits_internal.h"

static json_t *visits_list(const double *values, int64_t n) {
    json_t *list = json_array();
    for (int64_t i = 0; i < n; i++) json_array_append_new(list, json_real(values[i]));
    return list;
}

/* Samples of a call that are of the last round: those at its end. */
static json_t *visits_call(const visits *w, const profile_sample *p) {
    int64_t first = p->n;
    while (first > 0 && p->pass[first - 1] >= (w->rounds - 1) * w->n) first--;
    json_t *pass = json_array();
    for (int64_t k = first; k < p->n; k++)
        json_array_append_new(pass, json_integer((json_int_t)(p->pass[k] % w->n)));
    return json_pack("{s:s, s:s, s:o, s:o}", "call", p->text, "provider", p->provider, "ms",
                     visits_list(p->ms + first, p->n - first), "visit", pass);
}

lode_status visits_write(const visits *w) {
    const int64_t at = (w->rounds - 1) * w->n;
    if (w->s->journal == NULL) return LODE_OK;
    json_t *calls = json_array();
    for (int64_t i = 0; w->timer && i < w->timer->n; i++)
        json_array_append_new(calls, visits_call(w, &w->timer->sample[i]));
    return lode_journal_add(w->s->journal,
                            json_pack("{s:o, s:o, s:o, s:f, s:f, s:o}", "total",
                                      visits_list(w->total + at, w->n), "before",
                                      visits_list(w->before + at, w->n), "after",
                                      visits_list(w->after + at, w->n), "stolen_ms", w->stolen_ms,
                                      "wall_ms", w->wall_ms, "calls", calls));
}

static bool visits_read_list(const json_t *line, const char *key, double *out, int64_t n) {
    const json_t *list = json_object_get(line, key);
    if ((int64_t)json_array_size(list) != n) return false;
    for (int64_t i = 0; i < n; i++) out[i] = json_number_value(json_array_get(list, (size_t)i));
    return true;
}

static lode_status visits_read_call(visits *w, const json_t *c) {
    const json_t *ms = json_object_get(c, "ms"), *visit = json_object_get(c, "visit");
    const char *text = NULL, *provider = NULL;
    LODE_TRY(lode_json_get_string(c, "call", w->s->journal, &text));
    LODE_TRY(lode_json_get_string(c, "provider", w->s->journal, &provider));
    for (size_t k = 0; k < json_array_size(ms); k++) {
        const int64_t i = (int64_t)json_integer_value(json_array_get(visit, k));
        w->timer->pass = w->rounds * w->n + (i >= 0 && i < w->n ? i : 0);
        LODE_TRY(
            profile_timer_add(w->timer, text, provider, json_number_value(json_array_get(ms, k))));
    }
    return LODE_OK;
}

static lode_status visits_read_round(visits *w, const json_t *line) {
    const json_t *calls = json_object_get(line, "calls");
    const int64_t at = w->rounds * w->n;
    if (w->rounds >= w->capacity || !json_is_array(calls) ||
        !visits_read_list(line, "total", w->total + at, w->n) ||
        !visits_read_list(line, "before", w->before + at, w->n) ||
        !visits_read_list(line, "after", w->after + at, w->n))
        return LODE_FAIL(LODE_ERR_DATA,
                         "%s: a line of it is no round of this measurement; remove "
                         "the file to begin anew",
                         w->s->journal);
    w->stolen_ms = json_number_value(json_object_get(line, "stolen_ms"));
    w->wall_ms = json_number_value(json_object_get(line, "wall_ms"));
    for (size_t i = 0; w->timer && i < json_array_size(calls); i++)
        LODE_TRY(visits_read_call(w, json_array_get(calls, i)));
    w->rounds++;
    return LODE_OK;
}

lode_status visits_resume(visits *w) {
    json_t *lines = NULL;
    if (w->s->journal == NULL) return LODE_OK;
    LODE_TRY(lode_journal_open(w->s->journal, w->s->about, &lines));
    lode_status status = LODE_OK;
    for (size_t i = 0; status == LODE_OK && i < json_array_size(lines); i++)
        status = visits_read_round(w, json_array_get(lines, i));
    if (status == LODE_OK && w->rounds > 0)
        lode_log(LODE_LOG_INFO, "%s: going on after %lld rounds", w->s->journal,
                 (long long)w->rounds);
    json_decref(lines);
    return status;
}
