/* remote.c: works off a list of jobs through the command, journals what comes back, and watches the
   reference (remote.h tells the idea). Results are taken the same way from the command and from the
   journal of an earlier run, so that a resumed measurement is in the same state as one that was
   never stopped. */
#include "core/memory.h"
#include "core/parallel.h"
#include "core/platform.h"
#include "hwcost/journal.h"
#include "hwcost/remote_internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    REMOTE_TRIES = 4,           /* of a job until its median is known well enough */
    REMOTE_ALL_TRIES = 8,       /* of a job, with those that a drift spoiled */
    REMOTE_REFERENCE_EVERY = 1, /* jobs: speeds may last for a tenth of a second only */
    REMOTE_MOST = 16            /* jobs for one run of the command */
};

void remote_session_deinit(remote_session *s) {
    for (int64_t i = 0; i < s->n; i++) {
        lode_free(s->job[i].name);
        lode_free(s->job[i].ms);
        lode_free(s->job[i].best_ms);
    }
    lode_free(s->job);
    lode_free(s->reference);
}

lode_status remote_add(remote_session *s, lode_job_kind kind, char *name, const lode_arch *arch,
                       int call) {
    void *items = s->job;
    lode_status status =
        name ? lode_grow(&items, &s->capacity, s->n + 1, sizeof *s->job) : LODE_ERR_NO_MEMORY;
    if (status != LODE_OK) {
        lode_free(name);
        return status;
    }
    s->job = items;
    s->job[s->n++] =
        (remote_job){.kind = kind, .name = name, .arch = arch, .call = call, .energy = -1};
    return LODE_OK;
}

/* ---- taking results ---- */

/* Was the device at its own speed, before and after the job? Unknown, so yes, until the reference
   comes around again. */
static bool remote_at_speed(const remote_session *s, const remote_job *j) {
    return j->since >= s->n_references ||
           lode_profile_at_speed(s->reference[j->since - 1], s->reference[j->since], s->own);
}

/* How much the reference changed from before a job to after it. */
static double remote_change(const remote_session *s, int64_t since) {
    return since < s->n_references ? fabs(log(s->reference[since] / s->reference[since - 1])) : 0;
}

static void remote_swap_best(remote_job *j) {
    const remote_job was = *j;
    j->ms = was.best_ms, j->n = was.best_n, j->capacity = was.best_capacity;
    j->since = was.best_since, j->energy = was.best_energy;
    j->best_ms = was.ms, j->best_n = was.n, j->best_capacity = was.capacity;
    j->best_since = was.since, j->best_energy = was.energy;
}

/* What was measured at another speed is measured again, a few times. */
static void remote_forget(remote_session *s) {
    for (int64_t i = 1; i < s->n; i++) {
        remote_job *j = &s->job[i];
        if (j->n == 0 || j->all_tries >= REMOTE_ALL_TRIES || remote_at_speed(s, j)) continue;
        if (j->best_n == 0 || remote_change(s, j->since) < remote_change(s, j->best_since))
            remote_swap_best(j);
        j->n = 0;
        j->tries = 0;
        j->done = false;
        s->drifted++;
    }
}

static lode_status remote_take_reference(remote_session *s, const double *ms, int64_t n) {
    lode_summary now;
    LODE_TRY(lode_summarize(ms, n, &now));
    LODE_TRY(lode_grow((void **)&s->reference, &s->reference_capacity, s->n_references + 1,
                       sizeof *s->reference));
    s->reference[s->n_references++] = now.median;
    s->due = 0;
    if (s->n_references < 2) return LODE_OK;
    LODE_TRY(lode_profile_own_speed(s->reference, s->reference + 1, s->n_references - 1, &s->own));
    remote_forget(s);
    return LODE_OK;
}

/* Samples of one speed only are put together. */
static lode_status remote_take(remote_session *s, remote_job *j, const double *ms, int64_t n,
                               double energy) {
    lode_summary now;
    if (j == s->job) LODE_TRY(remote_take_reference(s, ms, n));
    if (j->since != s->n_references || j == s->job) j->n = 0;
    LODE_TRY(lode_grow((void **)&j->ms, &j->capacity, j->n + n, sizeof *j->ms));
    memcpy(j->ms + j->n, ms, (size_t)n * sizeof *ms);
    j->n += n;
    j->energy = energy;
    j->since = s->n_references;
    j->tries++;
    j->all_tries++;
    LODE_TRY(lode_summarize(j->ms, j->n, &now));
    j->done = j->tries >= REMOTE_TRIES || s->remote->precision <= 0 ||
              100 * now.interval <= s->remote->precision;
    if (j != s->job) s->due++;
    return LODE_OK;
}

/* ---- the journal ---- */

static remote_job *remote_find(remote_session *s, const char *kind, const char *name) {
    for (int64_t i = 0; kind && name && i < s->n; i++)
        if (strcmp(s->job[i].name, name) == 0 && (strcmp(kind, "reference") == 0) == (i == 0) &&
            (i == 0 || strcmp(kind, lode_job_kind_name(s->job[i].kind)) == 0))
            return &s->job[i];
    return NULL;
}

static lode_status remote_replay_line(remote_session *s, const json_t *line) {
    const json_t *list = json_object_get(line, "latency_ms");
    const json_t *energy = json_object_get(line, "energy_mj");
    const char *device = json_string_value(json_object_get(line, "device"));
    const size_t n = json_array_size(list);
    remote_job *j = remote_find(s, json_string_value(json_object_get(line, "kind")),
                                json_string_value(json_object_get(line, "name")));
    if (!j || n == 0)
        return LODE_FAIL(LODE_ERR_DATA,
                         "%s: a line of it is no result of this measurement; remove "
                         "the file to begin anew",
                         s->remote->journal);
    double *ms = LODE_NEW_ARRAY(double, n);
    if (!ms) return LODE_ERR_NO_MEMORY;
    for (size_t i = 0; i < n; i++) ms[i] = json_number_value(json_array_get(list, i));
    if (device) snprintf(s->device, sizeof s->device, "%s", device);
    lode_status status =
        remote_take(s, j, ms, (int64_t)n, json_is_number(energy) ? json_number_value(energy) : -1);
    lode_free(ms);
    return status;
}

static lode_status remote_replay(remote_session *s, json_t *about) {
    json_t *lines = NULL;
    LODE_TRY(lode_journal_open(s->remote->journal, about, &lines));
    lode_status status = LODE_OK;
    for (size_t i = 0; status == LODE_OK && i < json_array_size(lines); i++)
        status = remote_replay_line(s, json_array_get(lines, i));
    if (status == LODE_OK && json_array_size(lines) > 0)
        lode_log(LODE_LOG_INFO, "%s: going on after %zu results", s->remote->journal,
                 json_array_size(lines));
    json_decref(lines);
    return status;
}

static lode_status remote_journal(const remote_session *s, const remote_job *j,
                                  const lode_job_result *r) {
    json_t *ms = json_array();
    for (int64_t i = 0; i < r->n; i++) json_array_append_new(ms, json_real(r->latency_ms[i]));
    json_t *line = json_pack("{s:s, s:s, s:o}", "kind",
                             j == s->job ? "reference" : lode_job_kind_name(j->kind), "name",
                             j->name, "latency_ms", ms);
    if (line && r->energy_mj >= 0) json_object_set_new(line, "energy_mj", json_real(r->energy_mj));
    if (line && *r->device) json_object_set_new(line, "device", json_string(r->device));
    return lode_journal_add(s->remote->journal, line);
}

/* ---- running the command ---- */

static lode_status remote_write(remote_session *s, const remote_job *j, const char *directory) {
    const lode_job_protocol *p = &s->remote->protocol;
    if (j->kind == LODE_JOB_FLOOR) return lode_job_write_floor(directory, s->dispatch, p);
    if (j->kind == LODE_JOB_NETWORK)
        return lode_job_write_network(directory, s->net, j->arch, s->batch, s->dispatch, j->name,
                                      p);
    lode_tape *trace = NULL;
    LODE_TRY(lode_tape_create(LODE_TRACE, NULL, &trace));
    lode_status status = lode_supernet_trace_folded(s->net, j->arch, s->batch, trace);
    if (status == LODE_OK) {
        const lode_trace_call *c = lode_trace_get(trace, j->call);
        const int input = lode_trace_get(trace, 0)->x_id[0]; /* the first call reads the image */
        uint64_t weights = 0;
        for (int k = 0; k < c->call.n_x; k++)
            if (c->call.x[k] && c->x_id[k] != input && lode_trace_given(trace, c->x_id[k]))
                weights |= (uint64_t)1 << k;
        status = lode_job_write_call(directory, &c->call, weights, s->dispatch, j->name, p);
    }
    lode_tape_destroy(trace);
    return status;
}

/* The last lines of a text, for a message. */
static const char *remote_last_words(const char *text) {
    size_t n = text ? strlen(text) : 0;
    while (n > 0 && text[n - 1] == '\n') n--;
    return n > 600 ? text + n - 600 : text && *text ? text : "(nothing)";
}

static lode_status remote_run(remote_session *s, char *const *directory, int64_t n) {
    const lode_remote *r = s->remote;
    lode_command_end end = {0};
    char *command = lode_format("%s \"$@\"", r->command);
    if (!command) return LODE_ERR_NO_MEMORY;
    lode_status status =
        lode_run_with_arguments(command, (const char *const *)directory, n, r->timeout_s, &end);
    if (status == LODE_OK && end.timed_out)
        status = LODE_FAIL(LODE_ERR_IO,
                           "the runner `%s` had not ended after %.0f s, with %lld job%s "
                           "(--runner-timeout gives it "
                           "more time, --runner-jobs fewer jobs at once). It wrote: %s\nits last "
                           "directory stays: %s",
                           r->command, r->timeout_s, (long long)n, n == 1 ? "" : "s",
                           remote_last_words(end.output), directory[n - 1]);
    else if (status == LODE_OK && end.exit_code != 0)
        status = LODE_FAIL(
            LODE_ERR_IO,
            "the runner `%s` ended with exit code %d. It wrote: %s\nto see it again: "
            "%s %s",
            r->command, end.exit_code, remote_last_words(end.output), r->command, directory[n - 1]);
    else if (status == LODE_OK && end.output && *end.output)
        lode_log(LODE_LOG_DEBUG, "runner: %s", end.output);
    lode_free(end.output);
    lode_free(command);
    return status;
}

static lode_status remote_read(remote_session *s, remote_job *j, const char *directory) {
    lode_job_result r;
    if (lode_job_read(directory, &s->remote->protocol, &r) != LODE_OK)
        return lode_error_context("the runner `%s`, job \"%s\"", s->remote->command, j->name);
    if (*r.device) snprintf(s->device, sizeof s->device, "%s", r.device);
    lode_status status = remote_journal(s, j, &r);
    if (status == LODE_OK) status = remote_take(s, j, r.latency_ms, r.n, r.energy_mj);
    lode_job_result_deinit(&r);
    return status;
}

/* Some jobs with one run of the command. Directories of a run that failed stay. */
static lode_status remote_chunk(remote_session *s, remote_job *const *jobs, int64_t n) {
    lode_status status = LODE_OK;
    char **directory = LODE_NEW_ARRAY(char *, n);
    LODE_GOTO(directory ? LODE_OK : LODE_ERR_NO_MEMORY);
    for (int64_t i = 0; i < n; i++) {
        char name[48];
        snprintf(name, sizeof name, "job%05lld-%lld", (long long)(jobs[i] - s->job), (long long)i);
        directory[i] = lode_path_join(s->remote->directory, name);
        LODE_GOTO(directory[i] ? LODE_OK : LODE_ERR_NO_MEMORY);
        lode_job_remove(directory[i]);
        LODE_GOTO(remote_write(s, jobs[i], directory[i]));
    }
    LODE_GOTO(remote_run(s, directory, n));
    for (int64_t i = 0; i < n; i++) {
        LODE_GOTO(remote_read(s, jobs[i], directory[i]));
        if (!s->remote->keep) lode_job_remove(directory[i]);
    }
done:
    for (int64_t i = 0; directory && i < n; i++) lode_free(directory[i]);
    lode_free(directory);
    return status;
}

/* ---- the order ---- */

static int64_t remote_n_done(const remote_session *s) {
    int64_t n = 0;
    for (int64_t i = 1; i < s->n; i++) n += s->job[i].done;
    return n;
}

/* The next jobs in a random order, the reference between them where it is due. *n 0: all is done.
 */
static void remote_next(remote_session *s, const int64_t *order, remote_job **jobs, int64_t *n) {
    int64_t most = s->remote->directories, due = s->due;
    bool first = s->n_references == 0;
    *n = 0;
    if (most > REMOTE_MOST) most = REMOTE_MOST;
    for (int64_t i = 0; i < s->n && *n < most; i++) {
        if (order[i] == 0 || s->job[order[i]].done) continue;
        if (first || due >= REMOTE_REFERENCE_EVERY) {
            jobs[(*n)++] = s->job;
            first = false;
            due = 0;
            if (*n == most) break;
        }
        jobs[(*n)++] = &s->job[order[i]];
        due++;
    }
    if (*n == 0 && s->due > 0) jobs[(*n)++] = s->job; /* ends the last interval */
}

static void remote_tell(const remote_session *s) {
    double most = s->own;
    int64_t slow = 0;
    for (int64_t i = 0; i < s->n_references; i++) most = fmax(most, s->reference[i]);
    for (int64_t i = 1; i < s->n; i++) slow += !remote_at_speed(s, &s->job[i]);
    if (s->drifted + slow == 0) return;
    lode_log(LODE_LOG_WARN,
             "the device's speed drifts: the reference network took %.4g ms at best and up to "
             "%.2f times that; %lld jobs were measured again for it, and %lld of %lld were never "
             "met at the device's own speed and are brought to it by the reference",
             s->own, most / s->own, (long long)s->drifted, (long long)slow, (long long)(s->n - 1));
}

/* Brings each job's times to the device's own speed. */
static lode_status remote_level(remote_session *s) {
    if (s->n_references < 2) s->own = s->reference[0];
    remote_tell(s);
    for (int64_t i = 0; i < s->n; i++) {
        remote_job *j = &s->job[i];
        if (i > 0 && j->best_n > 0 && !remote_at_speed(s, j) &&
            remote_change(s, j->best_since) < remote_change(s, j->since))
            remote_swap_best(j);
        const double before = s->reference[j->since - 1];
        const double after = s->reference[j->since < s->n_references ? j->since : j->since - 1];
        const double speed = s->own / (0.5 * (before + after));
        for (int64_t k = 0; k < j->n; k++) j->ms[k] *= speed;
        LODE_TRY(lode_summarize(j->ms, j->n, &j->latency));
    }
    return LODE_OK;
}

/* After a failure: what was measured is kept. A journal of nothing would only bind the next command
   to options that may have been the mistake. */
static void remote_leave_journal(const remote_session *s) {
    int64_t n = remote_n_done(s);
    if (n > 0)
        lode_log(LODE_LOG_WARN,
                 "%lld of %lld jobs are measured and kept in %s: the same command "
                 "goes on from there",
                 (long long)n, (long long)(s->n - 1), s->remote->journal);
    else
        (void)lode_file_remove(s->remote->journal); /* the failure's own message stays the last */
}

lode_status remote_measure(remote_session *s, json_t *about) {
    remote_job *jobs[REMOTE_MOST + 1];
    lode_rng rng = lode_rng_stream(s->seed, LODE_RNG_MEASURE, 500);
    lode_status status = LODE_OK;
    char text[96] = "";
    int64_t n, *order = lode_alloc((size_t)s->n, sizeof *order);
    LODE_GOTO(order ? LODE_OK : LODE_ERR_NO_MEMORY);
    lode_rng_permutation(&rng, order, s->n);
    LODE_GOTO(lode_make_directories(s->remote->directory));
    LODE_GOTO(remote_replay(s, about));
    for (;;) {
        lode_progress_update(s->progress, "measure", remote_n_done(s), s->n - 1, text);
        if (lode_progress_should_stop(s->progress))
            LODE_GOTO(LODE_FAIL(LODE_ERR_STOPPED, "measuring stopped on request; the same command "
                                                  "goes on"));
        remote_next(s, order, jobs, &n);
        if (n == 0) break;
        LODE_GOTO(remote_chunk(s, jobs, n));
        snprintf(text, sizeof text, "reference %.4g ms, %lld measured again for drift",
                 s->reference[s->n_references - 1], (long long)s->drifted);
    }
    LODE_GOTO(remote_level(s));
    if (!s->remote->keep && lode_file_remove(s->remote->directory) != LODE_OK) lode_error_clear();
done:
    if (status != LODE_OK && s->remote->journal && status != LODE_ERR_CONFIG)
        remote_leave_journal(s);
    lode_free(order);
    return status;
}
