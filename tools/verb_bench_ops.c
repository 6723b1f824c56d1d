/* verb_bench_ops.c: `lode bench ops`: operator calls on every provider's kernels, forward and
   backward, beside what this machine can reach.

   Providers take turns call by call, so that a slow moment of the machine meets all alike. */
#include "core/memory.h"
#include "core/parallel.h"
#include "core/platform.h"
#include "hwcost/statistics.h"
#include "ops/native/roofline.h"
#include "ops/native/simd.h"
#include "tools/bench_ops.h"
#include "tools/cli.h"
#include "tools/workspace.h"

#include <stdlib.h>
#include <string.h>

static const cli_option ops_options[] = {
    {"space", 's', "SPACE", "the distinct calls of a space in training; default: every operator"},
    WORKSPACE_OPTION_SET,
    {"batch", 0, "N", "images per call, with --space (default 64)"},
    {"filter", 'f', "WORDS",
     "only calls whose text contains WORDS, such as \"conv2d s1 p2\"; may be repeated"},
    {"pass", 0, "NAME", "forward or backward; default: both"},
    {"budget", 0, "MS", "milliseconds for each call and pass (default 200)"},
    {"repeats", 0, "N", "exactly so many timed calls instead, and no roofline: for profilers"},
    {"isa", 0, "NAME", "instruction set of our own kernels: base, avx2, avx512; default: the best"},
    {"providers", 0, "LIST", "whose kernels; default: all, the reference where it is alone"},
};

enum { OPS_MAX_PROVIDERS = 8, OPS_MAX_REPEATS = 2000, OPS_MAX_FILTERS = 64 };

typedef struct ops_bench {
    cli *c;
    lode_roofline roof; /* gflops 0: not measured */
    const lode_provider *provider[OPS_MAX_PROVIDERS];
    int n_providers;
    bool named; /* the user said which */
    const char *filter[OPS_MAX_FILTERS];
    int n_filters; /* 0: all calls */
    bool pass[2];  /* forward, backward */
    int64_t repeats;
    double budget_s;
    double *ms; /* [OPS_MAX_PROVIDERS][OPS_MAX_REPEATS] */
    json_t *list;
} ops_bench;

static lode_status ops_read_providers(ops_bench *b) {
    const char *text = cli_get(b->c, "providers", NULL);
    b->named = text != NULL;
    for (int i = 0; !text && i < lode_n_providers(); i++)
        b->provider[b->n_providers++] = lode_provider_at(i);
    while (text && *text) {
        size_t n = strcspn(text, ",");
        const lode_provider *p = NULL;
        for (int i = 0; i < lode_n_providers(); i++)
            if (strlen(lode_provider_at(i)->name) == n &&
                strncmp(lode_provider_at(i)->name, text, n) == 0)
                p = lode_provider_at(i);
        if (!p || b->n_providers == OPS_MAX_PROVIDERS)
            return cli_usage_error(b->c,
                                   "--providers %.*s: there is none of that name; lode ops "
                                   "lists them",
                                   (int)n, text);
        b->provider[b->n_providers++] = p;
        text += n + (text[n] == ',');
    }
    return LODE_OK;
}

static lode_status ops_read(ops_bench *b) {
    const char *pass = cli_get(b->c, "pass", NULL), *isa = cli_get(b->c, "isa", NULL);
    int64_t ms = 200;
    const char *const *filters;
    b->n_filters = cli_get_all(b->c, "filter", &filters);
    for (int i = 0; i < b->n_filters; i++) b->filter[i] = filters[i];
    b->pass[0] = !pass || strcmp(pass, "forward") == 0;
    b->pass[1] = !pass || strcmp(pass, "backward") == 0;
    if (!b->pass[0] && !b->pass[1])
        return cli_usage_error(b->c, "--pass %s: want forward or backward", pass);
    LODE_TRY(cli_get_int(b->c, "budget", 200, 1, 1000000, &ms));
    LODE_TRY(cli_get_int(b->c, "repeats", 0, 0, OPS_MAX_REPEATS, &b->repeats));
    b->budget_s = 1e-3 * (double)ms;
    LODE_TRY(ops_read_providers(b));
    if (isa) LODE_TRY(lode_simd_select(isa));
    b->ms = LODE_NEW_ARRAY(double, OPS_MAX_PROVIDERS *OPS_MAX_REPEATS);
    return b->ms ? LODE_OK : LODE_ERR_NO_MEMORY;
}

/* ---- one call ---- */

/* Share of what the machine reaches: the least time that peak arithmetic and bandwidth allow, over
   the time taken. Data that fits the caches of all threads is held against their bandwidth. */
static double ops_share(const ops_bench *b, double flops, double bytes, double ms,
                        const char **bound) {
    double cache_bytes = 1e6 * b->roof.threads;
    double gbs = bytes < cache_bytes ? b->roof.cache_gbs : b->roof.memory_gbs;
    double compute = 1e-6 * flops / b->roof.gflops, move = 1e-6 * bytes / gbs;
    *bound = compute > move ? "compute" : "memory";
    return (compute > move ? compute : move) / ms;
}

static lode_status ops_report(ops_bench *b, const bench_call *call, const char *provider, int pass,
                              const double *ms, int64_t n) {
    static const char *const names[] = {"forward", "backward"};
    lode_summary s;
    const char *bound = "-";
    LODE_TRY(lode_summarize(ms, n, &s));
    double gflops = 1e-6 * call->flops[pass] / s.min, gbs = 1e-6 * call->bytes[pass] / s.min;
    double share =
        b->roof.gflops > 0 ? ops_share(b, call->flops[pass], call->bytes[pass], s.min, &bound) : 0;
    cli_print(b->c, "%-9s %-8s %9.4f %9.4f %5.0f %% %8.1f %8.1f %5.0f %% %-7s %s\n", provider,
              names[pass], s.min, s.median, 100 * s.spread, gflops, gbs, 100 * share, bound,
              call->text);
    json_array_append_new(
        b->list, json_pack("{s:s, s:s, s:s, s:s, s:i, s:f, s:f, s:f, s:I, s:f, s:f, s:f, s:s}",
                           "op", call->call.op->name, "call", call->text, "pass", names[pass],
                           "provider", provider, "threads", lode_get_threads(), "min_ms", s.min,
                           "median_ms", s.median, "spread", s.spread, "repeats", (json_int_t)n,
                           "gflops", gflops, "gbs", gbs, "roofline_share", share, "bound", bound));
    return LODE_OK;
}

typedef struct ops_kernel {
    const lode_kernel *kernel;
    const char *provider;
    void *workspace;
    size_t bytes;
} ops_kernel;

/* The kernels that can do it; the reference only when asked for or alone. */
static lode_status ops_find(const ops_bench *b, const bench_call *call, bool backward,
                            ops_kernel *out, int *n) {
    *n = 0;
    for (int i = 0; i < b->n_providers; i++) {
        const lode_provider *p = b->provider[i];
        if (bench_is_reference(p) && !b->named && *n > 0) continue;
        const lode_kernel *k = bench_call_kernel(call, p, backward);
        if (!k) continue;
        ops_kernel *o = &out[(*n)++];
        *o = (ops_kernel){k, p->name, NULL, 0};
        o->bytes = k->workspace ? k->workspace(&call->call, backward) : 0;
        o->workspace = lode_alloc_aligned(o->bytes ? o->bytes : 64, 64);
        if (!o->workspace) return LODE_ERR_NO_MEMORY;
    }
    return LODE_OK;
}

/* At least three times, but of what is very slow once. */
static bool ops_goes_on(const ops_bench *b, int64_t done, double seconds) {
    if (b->repeats > 0) return done < b->repeats;
    if (done < 3) return done == 0 || seconds < 5 * b->budget_s;
    return done < OPS_MAX_REPEATS && seconds < b->budget_s;
}

static lode_status ops_time(ops_bench *b, bench_call *call, int pass) {
    ops_kernel kernel[OPS_MAX_PROVIDERS];
    int n = 0;
    int64_t done = 0;
    lode_status status = LODE_OK;
    LODE_GOTO(ops_find(b, call, pass, kernel, &n));
    for (int p = 0; p < n; p++) /* warm: caches, prepared primitives, what backward reads */
        LODE_GOTO(
            bench_call_run(call, kernel[p].kernel, pass, kernel[p].workspace, kernel[p].bytes));
    double begin = lode_clock();
    for (; ops_goes_on(b, done, lode_clock() - begin); done++)
        for (int p = 0; p < n; p++) {
            double start = lode_clock();
            LODE_GOTO(
                bench_call_run(call, kernel[p].kernel, pass, kernel[p].workspace, kernel[p].bytes));
            b->ms[p * OPS_MAX_REPEATS + done] = 1e3 * (lode_clock() - start);
        }
    for (int p = 0; p < n; p++)
        LODE_GOTO(ops_report(b, call, kernel[p].provider, pass, b->ms + p * OPS_MAX_REPEATS, done));
done:
    for (int p = 0; p < n; p++) lode_free(kernel[p].workspace);
    return status;
}

/* Backward reads what a forward of the same provider left, statistics and masks; any provider's
   will do, for all leave the same. */
static lode_status ops_prepare(const ops_bench *b, bench_call *call) {
    ops_kernel kernel[OPS_MAX_PROVIDERS];
    int n = 0;
    lode_status status = ops_find(b, call, false, kernel, &n);
    if (status == LODE_OK && n > 0)
        status =
            bench_call_run(call, kernel[0].kernel, false, kernel[0].workspace, kernel[0].bytes);
    for (int p = 0; p < n; p++) lode_free(kernel[p].workspace);
    return status;
}

static lode_status ops_one(ops_bench *b, const lode_trace_call *traced) {
    bench_call call;
    lode_status status = LODE_OK;
    LODE_TRY(bench_call_open(traced, &call));
    if (b->pass[0]) LODE_GOTO(ops_time(b, &call, 0));
    if (b->pass[1] && !b->pass[0]) LODE_GOTO(ops_prepare(b, &call));
    if (b->pass[1]) LODE_GOTO(ops_time(b, &call, 1));
done:
    bench_call_close(&call);
    return status;
}

/* ---- where calls come from ---- */

typedef struct ops_seen {
    uint64_t *hash;
    int64_t n, capacity;
} ops_seen;

static lode_status ops_is_new(ops_seen *seen, const lode_op_call *c, bool *is_new) {
    uint64_t hash = lode_call_hash(c);
    *is_new = true;
    for (int64_t i = 0; i < seen->n; i++)
        if (seen->hash[i] == hash) *is_new = false;
    if (!*is_new) return LODE_OK;
    LODE_TRY(lode_grow((void **)&seen->hash, &seen->capacity, seen->n + 1, sizeof *seen->hash));
    seen->hash[seen->n++] = hash;
    return LODE_OK;
}

static bool ops_wants(const ops_bench *b, const char *text) {
    for (int i = 0; i < b->n_filters; i++)
        if (strstr(text, b->filter[i])) return true;
    return b->n_filters == 0;
}

static lode_status ops_of_trace(ops_bench *b, const lode_tape *trace, ops_seen *seen) {
    for (int i = 0; i < lode_trace_n(trace); i++) {
        const lode_trace_call *call = lode_trace_get(trace, i);
        bool is_new = false;
        if (call->is_view) continue; /* runs no kernel */
        LODE_TRY(ops_is_new(seen, &call->call, &is_new));
        if (!is_new) continue;
        char *text = lode_call_text(&call->call);
        bool wanted = text && ops_wants(b, text);
        lode_free(text);
        if (!wanted) continue;
        if (lode_progress_should_stop(cli_progress(b->c)))
            return LODE_FAIL(LODE_ERR_STOPPED, "measuring stopped on request");
        LODE_TRY(ops_one(b, call));
        lode_progress_update(cli_progress(b->c), "calls", i + 1, lode_trace_n(trace), "");
    }
    return LODE_OK;
}

/* So many architectures that each option of each decision occurs. */
static lode_status ops_of_space(ops_bench *b, lode_tape *trace, ops_seen *seen) {
    workspace w;
    int64_t batch = 64;
    int most = 1;
    lode_status status = LODE_OK;
    LODE_TRY(cli_get_int(b->c, "batch", 64, 1, 4096, &batch));
    LODE_TRY(workspace_open(b->c, true, &w));
    lode_arch arch = {.n = lode_space_n_decisions(w.space)};
    for (int d = 0; d < arch.n; d++)
        if (lode_space_decision(w.space, d)->n_options > most)
            most = lode_space_decision(w.space, d)->n_options;
    for (int k = 0; k < most; k++) {
        for (int d = 0; d < arch.n; d++)
            arch.option[d] = (uint8_t)((k + d) % lode_space_decision(w.space, d)->n_options);
        LODE_GOTO(lode_supernet_trace(w.net, &arch, batch, true, trace));
        LODE_GOTO(ops_of_trace(b, trace, seen));
    }
done:
    lode_tape_reset(trace); /* it looks at the network's weights */
    workspace_close(&w);
    return status;
}

static lode_status ops_run_threads(ops_bench *b, int threads) {
    lode_tape *trace = NULL;
    ops_seen seen = {NULL, 0, 0};
    lode_status status = LODE_OK;
    lode_set_threads(threads);
    if (b->repeats == 0) {
        LODE_TRY(lode_roofline_measure(1, &b->roof));
        cli_print(
            b->c, "%s, %d threads reach %.0f GFLOP/s, %.0f GB/s in cache, %.0f GB/s in memory\n",
            b->roof.isa, b->roof.threads, b->roof.gflops, b->roof.cache_gbs, b->roof.memory_gbs);
    }
    cli_print(b->c, "%-9s %-8s %9s %9s %7s %8s %8s %7s %-7s call\n", "provider", "pass", "min ms",
              "median", "spread", "GFLOP/s", "GB/s", "of roof", "bound");
    LODE_GOTO(lode_tape_create(LODE_TRACE, NULL, &trace));
    if (cli_get(b->c, "space", NULL)) {
        LODE_GOTO(ops_of_space(b, trace, &seen));
    } else {
        LODE_GOTO(bench_record_operators(trace));
        LODE_GOTO(ops_of_trace(b, trace, &seen));
    }
done:
    lode_free(seen.hash);
    lode_tape_destroy(trace);
    return status;
}

static json_t *ops_roof_json(const lode_roofline *r) {
    return json_pack("{s:s?, s:i, s:f, s:f, s:f}", "isa", r->isa, "threads", r->threads, "gflops",
                     r->gflops, "cache_gbs", r->cache_gbs, "memory_gbs", r->memory_gbs);
}

static lode_status ops_run(cli *c) {
    ops_bench b = {.c = c};
    int threads[CLI_MAX_LIST], n = cli_thread_counts(c, threads);
    json_t *roofs = json_array();
    b.list = json_array();
    cli_result(c, json_pack("{s:o, s:o}", "rooflines", roofs, "calls", b.list));
    lode_status status = ops_read(&b);
    for (int i = 0; i < n && status == LODE_OK; i++) {
        status = ops_run_threads(&b, threads[i]);
        json_array_append_new(roofs, ops_roof_json(&b.roof));
    }
    lode_free(b.ms);
    return status;
}

const cli_verb cli_verb_bench_ops = {
    .name = "bench ops",
    .about = "operator calls on every provider's kernels, beside this machine's limits",
    .details =
        "Every operator at the sizes of real networks, or with --space the distinct calls of a "
        "space, forward and backward, on each provider that has a kernel, taking turns. GFLOP/s "
        "and GB/s use the minimum time and the work that the shapes tell: bytes are what must move "
        "once. \"of roof\" is the least time that the measured peak and bandwidth allow over the "
        "minimum; above 100 % the data lay in a cache between the two that are measured.",
    .options = ops_options,
    .n_options = (int)(sizeof ops_options / sizeof *ops_options),
    .thread_lists = true,
    .run = ops_run,
};
