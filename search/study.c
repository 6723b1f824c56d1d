/* study.c: the journal and the one loop. See study.h. */
#include "search/study.h"

#include "core/json.h"
#include "core/memory.h"
#include "core/platform.h"

#include <math.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

#define STUDY_VERSION   "1"
#define STUDY_MAX_BATCH 64

struct lode_study {
    sqlite3 *db;
    char *path;
    lode_space *space;
    uint64_t seed;
};

static lode_status study_fail(const lode_study *s, const char *what) {
    int code = sqlite3_errcode(s->db);
    return LODE_FAIL(code == SQLITE_NOTADB || code == SQLITE_CORRUPT ? LODE_ERR_DATA : LODE_ERR_IO,
                     "study %s: %s: %s", s->path, what, sqlite3_errmsg(s->db));
}

static lode_status study_exec(lode_study *s, const char *sql) {
    return sqlite3_exec(s->db, sql, NULL, NULL, NULL) == SQLITE_OK ? LODE_OK : study_fail(s, sql);
}

static lode_status study_prepare(lode_study *s, const char *sql, sqlite3_stmt **out) {
    return sqlite3_prepare_v2(s->db, sql, -1, out, NULL) == SQLITE_OK ? LODE_OK
                                                                      : study_fail(s, sql);
}

/* ---- opening ---- */

/* Writes key = value when the key is new; otherwise the values must agree. */
static lode_status study_pin(lode_study *s, const char *key, const char *value) {
    sqlite3_stmt *q = NULL;
    lode_status status = LODE_OK;
    LODE_GOTO(study_prepare(s, "INSERT OR IGNORE INTO study VALUES(?1, ?2)", &q));
    sqlite3_bind_text(q, 1, key, -1, SQLITE_TRANSIENT);
    sqlite3_bind_text(q, 2, value, -1, SQLITE_TRANSIENT);
    LODE_GOTO(sqlite3_step(q) == SQLITE_DONE ? LODE_OK : study_fail(s, "write"));
    sqlite3_finalize(q);
    q = NULL;
    LODE_GOTO(study_prepare(s, "SELECT value FROM study WHERE key = ?1", &q));
    sqlite3_bind_text(q, 1, key, -1, SQLITE_TRANSIENT);
    LODE_GOTO(sqlite3_step(q) == SQLITE_ROW ? LODE_OK : study_fail(s, "read"));
    const char *have = (const char *)sqlite3_column_text(q, 0);
    if (!have || strcmp(have, value) != 0)
        status = LODE_FAIL(LODE_ERR_CONFIG,
                           "study %s: made with %s %s, now %s; use another output directory (-o)",
                           s->path, key, have ? have : "?", value);
done:
    sqlite3_finalize(q);
    return status;
}

lode_status lode_study_open(const char *path, lode_space *space, uint64_t seed, lode_study **out) {
    static const char *const schema =
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
        "CREATE TABLE IF NOT EXISTS study(key TEXT PRIMARY KEY, value TEXT NOT NULL);"
        "CREATE TABLE IF NOT EXISTS trial(id INTEGER PRIMARY KEY, arch TEXT NOT NULL, hash TEXT "
        "NOT "
        "NULL, state TEXT NOT NULL, origin TEXT NOT NULL, accuracy REAL, objectives TEXT NOT NULL, "
        "costs TEXT NOT NULL, created TEXT NOT NULL, UNIQUE(origin, hash));";
    *out = NULL;
    lode_status status = LODE_OK;
    char seed_text[32];
    lode_study *s = LODE_NEW(lode_study);
    if (!s) return LODE_ERR_NO_MEMORY;
    s->space = lode_space_retain(space);
    s->seed = seed;
    s->path = lode_strdup(path);
    LODE_GOTO(s->path ? LODE_OK : LODE_ERR_NO_MEMORY);
    LODE_GOTO(sqlite3_open(path, &s->db) == SQLITE_OK ? LODE_OK : study_fail(s, "open"));
    sqlite3_busy_timeout(s->db, 10000);
    LODE_GOTO(study_exec(s, schema));
    snprintf(seed_text, sizeof seed_text, "%llu", (unsigned long long)seed);
    LODE_GOTO(study_pin(s, "version", STUDY_VERSION));
    LODE_GOTO(study_pin(s, "space", lode_space_name(space)));
    LODE_GOTO(study_pin(s, "seed", seed_text));
    *out = s;
    s = NULL;
done:
    lode_study_close(s);
    return status;
}

void lode_study_close(lode_study *s) {
    if (!s) return;
    sqlite3_close(s->db);
    lode_space_release(s->space);
    lode_free(s->path);
    lode_free(s);
}

int64_t lode_study_n_trials(const lode_study *s) {
    sqlite3_stmt *q = NULL;
    int64_t n = 0;
    if (sqlite3_prepare_v2(s->db, "SELECT count(*) FROM trial", -1, &q, NULL) == SQLITE_OK &&
        sqlite3_step(q) == SQLITE_ROW)
        n = sqlite3_column_int64(q, 0);
    sqlite3_finalize(q);
    return n;
}

/* ---- rows ---- */

static void study_hash_text(const lode_study *s, const lode_arch *a, char out[20]) {
    snprintf(out, 20, "%016llx", (unsigned long long)lode_arch_hash(s->space, a));
}

static char *study_objectives_text(const lode_trial *t) {
    json_t *list = json_array();
    for (int i = 0; list && i < t->n_objectives; i++)
        json_array_append_new(list, lode_json_number(t->objective[i]));
    char *text = list ? lode_json_line(list) : NULL;
    json_decref(list);
    return text;
}

static char *study_costs_text(const lode_trial *t, lode_cost *const *cost, int n_costs) {
    json_t *o = json_object();
    for (int i = 0; o && i < n_costs; i++) {
        double value = 0;
        if (lode_cost_hard(cost[i], &t->arch, &value) == LODE_OK)
            json_object_set_new(o, lode_cost_name(cost[i]), lode_json_number(value));
    }
    char *text = o ? lode_json_line(o) : NULL;
    json_decref(o);
    return text;
}

lode_status lode_study_record(lode_study *s, const char *origin, lode_trial *t,
                              lode_cost *const *cost, int n_costs) {
    sqlite3_stmt *q = NULL;
    lode_status status = LODE_OK;
    char hash[20], now[32];
    char *arch = lode_arch_text(s->space, &t->arch);
    char *objectives = study_objectives_text(t), *costs = study_costs_text(t, cost, n_costs);
    LODE_GOTO(arch && objectives && costs
                  ? LODE_OK
                  : LODE_FAIL(LODE_ERR_NO_MEMORY, "study: no memory for a trial"));
    study_hash_text(s, &t->arch, hash);
    lode_timestamp(now);
    LODE_GOTO(study_prepare(s,
                            "INSERT INTO trial(arch, hash, state, origin, accuracy, objectives, "
                            "costs, created) VALUES(?1,?2,?3,?4,?5,?6,?7,?8) ON CONFLICT(origin, "
                            "hash) DO UPDATE SET state=?3, accuracy=?5, objectives=?6, costs=?7",
                            &q));
    sqlite3_bind_text(q, 1, arch, -1, SQLITE_TRANSIENT);
    sqlite3_bind_text(q, 2, hash, -1, SQLITE_TRANSIENT);
    sqlite3_bind_text(q, 3, lode_trial_state_name(t->state), -1, SQLITE_STATIC);
    sqlite3_bind_text(q, 4, origin, -1, SQLITE_TRANSIENT);
    if (t->state == LODE_TRIAL_DONE && t->n_objectives > 0)
        sqlite3_bind_double(q, 5, 1 - t->objective[0]);
    sqlite3_bind_text(q, 6, objectives, -1, SQLITE_TRANSIENT);
    sqlite3_bind_text(q, 7, costs, -1, SQLITE_TRANSIENT);
    sqlite3_bind_text(q, 8, now, -1, SQLITE_TRANSIENT);
    LODE_GOTO(sqlite3_step(q) == SQLITE_DONE ? LODE_OK : study_fail(s, "write a trial"));
    t->id = sqlite3_last_insert_rowid(s->db);
done:
    sqlite3_finalize(q);
    lode_free(arch);
    lode_free(objectives);
    lode_free(costs);
    return status;
}

static lode_trial_state study_state_from_name(const char *name) {
    for (int i = LODE_TRIAL_ASKED; i <= LODE_TRIAL_FAILED; i++)
        if (name && strcmp(name, lode_trial_state_name((lode_trial_state)i)) == 0)
            return (lode_trial_state)i;
    return LODE_TRIAL_FAILED;
}

/* Columns id, arch, state, objectives of the current row. */
static lode_status study_read_row(lode_study *s, sqlite3_stmt *q, lode_trial *t) {
    memset(t, 0, sizeof *t);
    json_t *list = NULL;
    t->id = sqlite3_column_int64(q, 0);
    t->state = study_state_from_name((const char *)sqlite3_column_text(q, 2));
    LODE_TRY(lode_arch_parse(s->space, (const char *)sqlite3_column_text(q, 1), &t->arch));
    LODE_TRY(lode_json_parse((const char *)sqlite3_column_text(q, 3), s->path, &list));
    for (size_t i = 0; i < json_array_size(list) && i < LODE_MAX_OBJECTIVES; i++) {
        const json_t *v = json_array_get(list, i);
        t->objective[t->n_objectives++] = json_is_number(v) ? json_number_value(v) : (double)NAN;
    }
    json_decref(list);
    return LODE_OK;
}

/* Answers from the journal; *found false when the architecture is new to this origin. */
static lode_status study_lookup(lode_study *s, const char *origin, const lode_arch *arch,
                                lode_trial *t, bool *found) {
    sqlite3_stmt *q = NULL;
    lode_status status = LODE_OK;
    char hash[20];
    *found = false;
    study_hash_text(s, arch, hash);
    LODE_GOTO(study_prepare(
        s, "SELECT id, arch, state, objectives FROM trial WHERE origin = ?1 AND hash = ?2", &q));
    sqlite3_bind_text(q, 1, origin, -1, SQLITE_TRANSIENT);
    sqlite3_bind_text(q, 2, hash, -1, SQLITE_TRANSIENT);
    int code = sqlite3_step(q);
    if (code == SQLITE_ROW) {
        LODE_GOTO(study_read_row(s, q, t));
        *found = true;
    } else if (code != SQLITE_DONE)
        status = study_fail(s, "look a trial up");
done:
    sqlite3_finalize(q);
    return status;
}

lode_status lode_study_best(lode_study *s, const char *origin, int max, lode_trial *best, int *n) {
    sqlite3_stmt *q = NULL;
    lode_status status = LODE_OK;
    *n = 0;
    LODE_GOTO(study_prepare(s,
                            "SELECT id, arch, state, objectives FROM trial WHERE (?1 IS NULL OR "
                            "origin = ?1) AND state = 'done' ORDER BY accuracy DESC, id LIMIT ?2",
                            &q));
    if (origin) sqlite3_bind_text(q, 1, origin, -1, SQLITE_TRANSIENT);
    sqlite3_bind_int(q, 2, max);
    int code;
    while ((code = sqlite3_step(q)) == SQLITE_ROW) LODE_GOTO(study_read_row(s, q, &best[(*n)++]));
    if (code != SQLITE_DONE) status = study_fail(s, "read trials");
done:
    sqlite3_finalize(q);
    return status;
}

/* ---- the loop ---- */

typedef struct study_counts {
    int64_t asks, evaluated, feasible, stale; /* stale: turns in a row that brought nothing new */
} study_counts;

static lode_status study_feasible(const lode_study_job *job, const lode_arch *arch, bool *out) {
    *out = true;
    for (int i = 0; i < job->n_limits; i++)
        for (int k = 0; k < job->n_costs; k++) {
            double value = 0;
            if (strcmp(lode_cost_name(job->cost[k]), job->limit[i].name) != 0) continue;
            LODE_TRY(lode_cost_hard(job->cost[k], arch, &value));
            if (value > job->limit[i].limit) *out = false;
        }
    return LODE_OK;
}

/* Sorts proposals: known ones are answered, infeasible ones marked; indices of the new ones go to
 * fresh[]. */
static lode_status study_admit(lode_study *s, const lode_study_job *job, int n, lode_arch *arch,
                               lode_trial *trial, int *fresh, int *n_fresh, study_counts *counts) {
    *n_fresh = 0;
    for (int i = 0; i < n; i++) {
        bool found = false, feasible = false;
        if (job->settle) LODE_TRY(job->settle(job->settle_self, &arch[i]));
        LODE_TRY(study_feasible(job, &arch[i], &feasible));
        if (!feasible && job->repair && counts->feasible == 0) {
            LODE_TRY(job->repair(job->repair_self, &arch[i]));
            LODE_TRY(study_feasible(job, &arch[i], &feasible));
        }
        if (feasible) counts->feasible++;
        LODE_TRY(study_lookup(s, job->origin, &arch[i], &trial[i], &found));
        if (found) continue;
        memset(&trial[i], 0, sizeof trial[i]);
        trial[i].arch = arch[i];
        trial[i].state = feasible ? LODE_TRIAL_ASKED : LODE_TRIAL_INFEASIBLE;
        bool twice = false;
        for (int j = 0; j < *n_fresh; j++)
            twice = twice || lode_arch_hash(s->space, &trial[fresh[j]].arch) ==
                                 lode_arch_hash(s->space, &arch[i]);
        if (feasible && !twice && counts->evaluated + *n_fresh < job->trials)
            fresh[(*n_fresh)++] = i;
    }
    return LODE_OK;
}

/* Trials still ASKED are duplicates within a turn, or came after the budget: they get their twin's
 * answer. */
static lode_status study_settle(lode_study *s, const lode_study_job *job, int n,
                                lode_trial *trial) {
    for (int i = 0; i < n; i++) {
        bool found = false;
        lode_trial known;
        if (trial[i].state != LODE_TRIAL_ASKED) continue;
        LODE_TRY(study_lookup(s, job->origin, &trial[i].arch, &known, &found));
        if (found)
            trial[i] = known;
        else
            trial[i].state = LODE_TRIAL_FAILED;
    }
    return LODE_OK;
}

static lode_status study_journal(lode_study *s, const lode_study_job *job, int n, const int *fresh,
                                 lode_trial *trial) {
    if (n == 0) return LODE_OK;
    LODE_TRY(study_exec(s, "BEGIN IMMEDIATE"));
    for (int j = 0; j < n; j++) {
        lode_status status =
            lode_study_record(s, job->origin, &trial[fresh[j]], job->cost, job->n_costs);
        if (status != LODE_OK) {
            sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
            return status;
        }
    }
    return study_exec(s, "COMMIT");
}

static lode_status study_evaluate(const lode_study_job *job, int n, const int *fresh,
                                  lode_trial *trial) {
    for (int j = 0; j < n; j++)
        LODE_TRY(job->evaluator->evaluate(job->evaluator->self, 1, &trial[fresh[j]]));
    return LODE_OK;
}

static lode_status study_turn(lode_study *s, const lode_study_job *job, uint64_t turn, int n,
                              study_counts *counts) {
    lode_arch arch[STUDY_MAX_BATCH];
    lode_trial trial[STUDY_MAX_BATCH];
    int fresh[STUDY_MAX_BATCH], n_fresh = 0;
    lode_rng rng = lode_rng_stream(s->seed ^ lode_hash_text(job->origin), LODE_RNG_SEARCH, turn);
    LODE_TRY(job->searcher->ask(job->searcher_self, &rng, n, arch));
    LODE_TRY(study_admit(s, job, n, arch, trial, fresh, &n_fresh, counts));
    LODE_TRY(study_evaluate(job, n_fresh, fresh, trial));
    LODE_TRY(study_journal(s, job, n_fresh, fresh, trial));
    LODE_TRY(study_settle(s, job, n, trial));
    if (job->searcher->tell) LODE_TRY(job->searcher->tell(job->searcher_self, n, trial));
    counts->asks += n;
    counts->evaluated += n_fresh;
    counts->stale = n_fresh ? 0 : counts->stale + 1;
    return LODE_OK;
}

static int64_t study_count_done(lode_study *s, const char *origin) {
    sqlite3_stmt *q = NULL;
    int64_t n = 0;
    if (study_prepare(s, "SELECT count(*) FROM trial WHERE origin = ?1", &q) == LODE_OK) {
        sqlite3_bind_text(q, 1, origin, -1, SQLITE_TRANSIENT);
        if (sqlite3_step(q) == SQLITE_ROW) n = sqlite3_column_int64(q, 0);
    }
    sqlite3_finalize(q);
    return n;
}

static lode_status study_nothing_feasible(const lode_study_job *job, int64_t asks) {
    lode_text list = {0};
    for (int i = 0; i < job->n_limits; i++)
        lode_text_add(&list, "%s%s<=%g", i > 0 ? " and " : "", job->limit[i].name,
                      job->limit[i].limit);
    lode_status status = LODE_FAIL(
        LODE_ERR_INFEASIBLE, "none of %lld proposed architectures meets %s; relax %s",
        (long long)asks, list.s ? list.s : "?", job->n_limits > 1 ? "one of them" : "the target");
    lode_text_deinit(&list);
    return status;
}

lode_status lode_study_run(lode_study *s, const lode_study_job *job) {
    int batch = job->batch > 0 && job->batch <= STUDY_MAX_BATCH ? job->batch : 8;
    int64_t max_asks = job->max_asks > 0 ? job->max_asks : 200 * job->trials;
    /* Proposals without anything new before it gives up: a tight limit needs many. */
    const int64_t patience = 20 * job->trials > 800 ? 20 * job->trials : 800;
    study_counts counts = {0};
    /* What the journal holds already counts as evaluated; replaying the turns answers it again. */
    counts.evaluated = study_count_done(s, job->origin);
    for (uint64_t turn = 0; counts.asks < max_asks; turn++) {
        char text[64];
        if (counts.evaluated >= job->trials) break;
        if (lode_progress_should_stop(job->progress))
            return LODE_FAIL(LODE_ERR_STOPPED, "search stopped on request; --resume goes on");
        LODE_TRY(study_turn(s, job, turn, batch, &counts));
        snprintf(text, sizeof text, "%lld proposed", (long long)counts.asks);
        lode_progress_update(job->progress, job->origin, counts.evaluated, job->trials, text);
        if (counts.stale * batch >= patience) break;
    }
    if (counts.evaluated == 0) return study_nothing_feasible(job, counts.asks);
    if (counts.evaluated < job->trials)
        lode_log(
            LODE_LOG_WARN,
            "%s: %lld architectures instead of %lld (search.trials): %lld proposals brought no "
            "other that is new%s",
            job->origin, (long long)counts.evaluated, (long long)job->trials,
            (long long)counts.asks, job->n_limits ? " and keeps the limit" : "");
    return LODE_OK;
}
