/* remote_build.c: a table, or times of whole networks, out of jobs (remote.h). */
#include "core/memory.h"
#include "core/platform.h"
#include "hwcost/profile_internal.h"
#include "hwcost/remote_internal.h"

#include <stdio.h>
#include <string.h>

/* The reference is there from the start; networks follow, then calls, then the floor. */
static lode_status build_add_network(remote_session *s, const lode_arch *arch, const char *prefix) {
    char *text = arch ? lode_arch_code(lode_supernet_space(s->net), arch) : lode_strdup("fixed");
    char *name = text ? lode_format("%s%s", prefix, text) : NULL;
    lode_free(text);
    return remote_add(s, LODE_JOB_NETWORK, name, arch, -1);
}

static bool build_has_call(const remote_session *s, const char *text) {
    for (int64_t i = 0; i < s->n; i++)
        if (s->job[i].kind == LODE_JOB_CALL && strcmp(s->job[i].name, text) == 0) return true;
    return false;
}

static lode_status build_add_calls(remote_session *s, const lode_arch *arch, int64_t n) {
    lode_tape *trace = NULL;
    lode_status status = lode_tape_create(LODE_TRACE, NULL, &trace);
    for (int64_t a = 0; status == LODE_OK && a < n; a++) {
        status = lode_supernet_trace_folded(s->net, arch ? &arch[a] : NULL, s->batch, trace);
        for (int i = 0; status == LODE_OK && i < lode_trace_n(trace); i++) {
            const lode_trace_call *c = lode_trace_get(trace, i);
            char *text = c->is_view ? NULL : lode_call_text(&c->call);
            if (c->is_view) continue;
            if (text && build_has_call(s, text))
                lode_free(text);
            else
                status = remote_add(s, LODE_JOB_CALL, text, arch ? &arch[a] : NULL, i);
        }
    }
    lode_tape_destroy(trace);
    return status;
}

/* ---- the reference of a table ---- */

lode_status lode_remote_hash(lode_supernet *net, const lode_arch *arch, int64_t batch,
                             uint64_t *out) {
    lode_tape *trace = NULL;
    LODE_TRY(lode_tape_create(LODE_TRACE, NULL, &trace));
    lode_status status = lode_supernet_trace_folded(net, arch, batch, trace);
    *out = 0;
    for (int i = 0; status == LODE_OK && i < lode_trace_n(trace); i++) {
        const lode_trace_call *c = lode_trace_get(trace, i);
        char *text = c->is_view ? NULL : lode_call_text(&c->call);
        if (text)
            *out = lode_hash_bytes(text, strlen(text) + 1, *out);
        else if (!c->is_view)
            status = LODE_ERR_NO_MEMORY;
        lode_free(text);
    }
    lode_tape_destroy(trace);
    return status;
}

/* A code that does not fit is left out: the table then has no reference, as if it were an old one.
 */
static lode_status build_keep_reference(const remote_session *s, double value,
                                        lode_table_reference *out) {
    const lode_arch *arch = s->job->arch;
    char *code = arch ? lode_arch_code(lode_supernet_space(s->net), arch) : lode_strdup("fixed");
    lode_status status = code ? LODE_OK : LODE_ERR_NO_MEMORY;
    if (code && strlen(code) < sizeof out->network && value > 0) {
        memcpy(out->network, code, strlen(code) + 1);
        out->value = value;
        status = lode_remote_hash(s->net, arch, s->batch, &out->hash);
    }
    lode_free(code);
    return status;
}

lode_status lode_remote_find_reference(const lode_table *table, lode_supernet *net,
                                       lode_arch *arch) {
    const lode_table_info info = lode_table_get_info(table);
    const char *space = lode_space_name(lode_supernet_space(net));
    const bool fixed = lode_supernet_is_fixed(net, NULL);
    uint64_t hash = 0;
    if (*info.reference.network == '\0' && *info.runner == '\0')
        return LODE_FAIL(LODE_ERR_UNSUPPORTED,
                         "the table was measured without a runner and keeps no reference network");
    if (*info.reference.network == '\0')
        return LODE_FAIL(LODE_ERR_UNSUPPORTED,
                         "the table keeps no reference network, as those that were built by an "
                         "earlier version do; `lode cost build` makes one that does");
    if (!fixed &&
        lode_arch_parse(lode_supernet_space(net), info.reference.network, arch) != LODE_OK)
        return lode_error_context("the table's reference network is none of space %s", space);
    LODE_TRY(lode_remote_hash(net, fixed ? NULL : arch, info.batch, &hash));
    return hash == info.reference.hash
               ? LODE_OK
               : LODE_FAIL(LODE_ERR_UNSUPPORTED,
                           "network %s of space %s has other calls here than the reference that "
                           "the table was measured by",
                           info.reference.network, space);
}

/* What must not change between a run and the one that resumes it. */
static json_t *build_about(const remote_session *s, const char *what, int64_t networks) {
    const lode_job_protocol *p = &s->remote->protocol;
    return json_pack(
        "{s:s, s:s, s:s, s:s, s:I, s:I, s:i, s:I, s:I, s:b, s:I, s:s}", "format", "lode-measuring",
        "what", what, "space", lode_space_name(lode_supernet_space(s->net)), "runner",
        s->remote->command, "seed", (json_int_t)s->seed, "batch", (json_int_t)s->batch, "threads",
        p->threads, "warmup", (json_int_t)p->warmup, "repeats", (json_int_t)p->repeats, "energy",
        p->energy, "networks", (json_int_t)networks, "reference", s->job->name);
}

/* ---- tables ---- */

typedef struct build {
    remote_session s;
    lode_arch *cover, *network;
    int64_t n_cover, n_networks;
    int64_t below; /* calls not slower than the floor */
} build;

/* A price of a job in the table's unit. */
static double build_value(const remote_job *j, bool energy) {
    return energy ? j->energy : j->latency.median;
}

static lode_status build_entries(build *b, bool energy, lode_table *table) {
    const remote_job *floor = &b->s.job[b->s.n - 1];
    b->below = 0;
    for (int64_t i = 0; i < b->s.n; i++) {
        const remote_job *j = &b->s.job[i];
        if (j->kind != LODE_JOB_CALL) continue;
        const double over = build_value(j, energy) - build_value(floor, energy);
        const double least = energy ? over : j->latency.min - floor->latency.median;
        lode_table_entry e = {.call = j->name,
                              .provider = "runner",
                              .median = over > 0 ? over : 0,
                              .min = least > 0 ? least : 0,
                              .spread = energy ? 0 : j->latency.spread,
                              .samples = j->n};
        b->below += over <= 0;
        LODE_TRY(lode_table_add(table, &e));
    }
    return LODE_OK;
}

static lode_status build_table(build *b, bool energy, lode_table **out) {
    const lode_remote *r = b->s.remote;
    lode_table_info info = {.form = LODE_FORM_FOLDED,
                            .batch = b->s.batch,
                            .threads = r->protocol.threads,
                            .warmup = r->protocol.warmup,
                            .rounds = r->protocol.repeats,
                            .slope = 1,
                            .fit_mape = -1,
                            .stolen = -1};
    double *measured = LODE_NEW_ARRAY(double, b->n_networks + 1);
    lode_status status = measured ? LODE_OK : LODE_ERR_NO_MEMORY;
    snprintf(info.quantity, sizeof info.quantity, energy ? "energy_mj" : "latency_ms");
    snprintf(info.unit, sizeof info.unit, energy ? "mJ" : "ms");
    snprintf(info.space, sizeof info.space, "%s", lode_space_name(lode_supernet_space(b->s.net)));
    snprintf(info.device, sizeof info.device, "%s", *b->s.device ? b->s.device : "behind a runner");
    snprintf(info.runner, sizeof info.runner, "%s", r->command);
    lode_timestamp(info.created);
    if (status == LODE_OK)
        status = build_keep_reference(&b->s, energy ? b->s.job->energy : b->s.own, &info.reference);
    if (status == LODE_OK) status = lode_table_create(&info, out);
    if (status == LODE_OK) status = build_entries(b, energy, *out);
    for (int64_t i = 0; i < b->n_networks; i++)
        if (measured) measured[i] = build_value(&b->s.job[1 + i], energy);
    if (status == LODE_OK && b->n_networks > 0)
        status = profile_fit(b->s.net, b->s.batch, b->network, b->n_networks, measured, -1, *out);
    lode_free(measured);
    return status;
}

static lode_status build_sample(build *b, const lode_profile_options *o) {
    lode_space *space = lode_supernet_space(b->s.net);
    lode_rng rng = lode_rng_stream(o->seed, LODE_RNG_MEASURE, 3);
    if (lode_supernet_is_fixed(b->s.net, NULL)) return LODE_OK;
    b->network = LODE_NEW_ARRAY(lode_arch, o->networks + 1);
    if (!b->network) return LODE_ERR_NO_MEMORY;
    for (; b->n_networks < o->networks; b->n_networks++)
        LODE_TRY(lode_space_sample(space, &rng, &b->network[b->n_networks]));
    return LODE_OK;
}

lode_status lode_remote_space(lode_supernet *net, lode_dispatch *dispatch,
                              const lode_profile_options *options, const lode_remote *remote,
                              const lode_progress *progress, lode_table **latency,
                              lode_table **energy) {
    build b = {.s = {.remote = remote,
                     .net = net,
                     .dispatch = dispatch,
                     .batch = options->batch,
                     .seed = options->seed,
                     .progress = progress}};
    json_t *about = NULL;
    lode_status status = LODE_OK;
    *latency = NULL;
    if (energy) *energy = NULL;
    LODE_GOTO(profile_cover_space(net, LODE_FORM_FOLDED, options->batch, options->seed, &b.cover,
                                  &b.n_cover));
    LODE_GOTO(build_sample(&b, options));
    LODE_GOTO(build_add_network(&b.s, b.cover, "reference "));
    for (int64_t i = 0; i < b.n_networks; i++)
        LODE_GOTO(build_add_network(&b.s, &b.network[i], ""));
    LODE_GOTO(build_add_calls(&b.s, b.cover, b.n_cover));
    LODE_GOTO(remote_add(&b.s, LODE_JOB_FLOOR, lode_strdup("floor"), NULL, -1));
    about = build_about(&b.s, "table", b.n_networks);
    LODE_GOTO(about ? LODE_OK : LODE_ERR_NO_MEMORY);
    LODE_GOTO(remote_measure(&b.s, about));
    LODE_GOTO(build_table(&b, false, latency));
    if (b.below > 0)
        lode_log(LODE_LOG_INFO,
                 "%lld calls take no longer than a run of next to nothing (%.4g ms) "
                 "and cost 0",
                 (long long)b.below, b.s.job[b.s.n - 1].latency.median);
    if (energy && remote->protocol.energy) LODE_GOTO(build_table(&b, true, energy));
done:
    if (status != LODE_OK) {
        lode_table_destroy(*latency);
        *latency = NULL;
        if (energy) lode_table_destroy(*energy);
        if (energy) *energy = NULL;
    }
    json_decref(about);
    remote_session_deinit(&b.s);
    lode_free(b.cover);
    lode_free(b.network);
    return status;
}

/* ---- whole networks ---- */

lode_status lode_remote_networks(lode_supernet *net, lode_dispatch *dispatch, const lode_arch *arch,
                                 int64_t n, int64_t batch, const lode_remote *remote,
                                 const lode_progress *progress, lode_remote_reference *reference,
                                 lode_summary *latency, double *energy) {
    const lode_arch *first = reference && reference->arch ? reference->arch : arch;
    remote_session s = {.remote = remote,
                        .net = net,
                        .dispatch = dispatch,
                        .batch = batch,
                        .seed = 2,
                        .progress = progress};
    json_t *about = NULL;
    lode_status status = LODE_OK;
    LODE_GOTO(build_add_network(&s, first, "reference "));
    for (int64_t i = 0; i < n; i++) {
        char number[24]; /* one architecture may be drawn twice */
        snprintf(number, sizeof number, "%lld ", (long long)i);
        LODE_GOTO(build_add_network(&s, arch ? &arch[i] : NULL, number));
    }
    about = build_about(&s, "networks", n);
    LODE_GOTO(about ? LODE_OK : LODE_ERR_NO_MEMORY);
    LODE_GOTO(remote_measure(&s, about));
    for (int64_t i = 0; i < n; i++) {
        latency[i] = s.job[1 + i].latency;
        if (energy) energy[i] = s.job[1 + i].energy;
    }
    if (reference) {
        reference->latency_ms = s.own;
        reference->energy_mj = s.job->energy;
    }
done:
    json_decref(about);
    remote_session_deinit(&s);
    return status;
}
