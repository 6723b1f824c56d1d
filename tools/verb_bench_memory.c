/* verb_bench_memory.c: `lode bench memory`: what a training step holds, phase by phase, and how
   often it asks for memory. Measured twice: as it is, and with layers computed again in backward.
 */
#include "core/memory.h"
#include "core/parallel.h"
#include "core/platform.h"
#include "tools/bench.h"

#include <string.h>

static const cli_option memory_options[] = {
    BENCH_OPTION_SPACE,
    BENCH_OPTION_ARCH,
    BENCH_OPTION_STRATEGY,
    BENCH_OPTION_DATA,
    BENCH_OPTION_SET,
    {"batch", 0, "N", "images per step (default 64)"},
    {"steps", 0, "N", "steps of every turn, of which the worst is shown (default 2)"},
    {"warmup", 0, "N", "steps of every turn before, which fill the caches (default 2)"},
    {"no-remat", 0, NULL, "leave out the second measurement, with remat: layer"},
    BENCH_OPTION_PROVIDERS,
};

/* The worst of some steps of one kind of turn; counts are those of the last. */
typedef struct memory_turn {
    int64_t n;
    int64_t idle; /* between steps: parameters, optimizer state, batches */
    int64_t kept, peak[BENCH_N_PHASES];
    int64_t calls, allocations, system_allocations, host_allocations;
    double macs, recomputed_macs;
} memory_turn;

static int64_t memory_max(int64_t a, int64_t b) { return a > b ? a : b; }

static int64_t memory_turn_peak(const memory_turn *t) {
    int64_t peak = 0;
    for (int p = 0; p < BENCH_N_PHASES; p++) peak = memory_max(peak, t->peak[p]);
    return peak;
}

static lode_status memory_step(bench_job *j, memory_turn turn[2]) {
    bool finished = false;
    lode_device_stats before = lode_device_get_stats(lode_cpu_device());
    int64_t host = lode_memory_get_stats().n_allocations;
    bench_meter_reset(j->meter);
    LODE_TRY(lode_trainer_run_steps(j->trainer, 1, &finished));
    bench_meter_finish(j->meter);
    lode_device_stats after = lode_device_get_stats(lode_cpu_device());
    const bench_meter *m = j->meter;
    memory_turn *t = &turn[lode_trainer_last_step(j->trainer).turn];
    t->n++;
    t->idle = before.bytes_in_use;
    t->kept = memory_max(t->kept, m->kept);
    for (int p = 0; p < BENCH_N_PHASES; p++) t->peak[p] = memory_max(t->peak[p], m->peak[p]);
    t->calls = m->calls[BENCH_FORWARD] + m->calls[BENCH_BACKWARD];
    t->allocations = after.n_allocations - before.n_allocations;
    t->system_allocations = after.n_system_allocations - before.n_system_allocations;
    t->host_allocations = lode_memory_get_stats().n_allocations - host;
    t->macs = m->macs;
    t->recomputed_macs = m->recomputed_macs;
    return LODE_OK;
}

static double memory_mib(int64_t bytes) { return (double)bytes / (1 << 20); }

static void memory_report(cli *c, const bench_job *j, const bench_request *r, lode_turn which,
                          const memory_turn *t, json_t *list) {
    const lode_train_options *o = j->fixed ? &j->recipe->train : &j->recipe->supernet;
    const char *remat = o->remat == LODE_REMAT_NONE ? "none" : "layer";
    const char *what = r->arch ? r->arch : j->strategy_name;
    cli_print(c, "%-16s %-12s %-8s %-6s %8.1f %8.1f %8.1f %8.1f %8.1f %6lld %6lld %7lld %5.2f\n",
              lode_space_name(j->space), what, lode_turn_name(which), remat, memory_mib(t->idle),
              memory_mib(t->peak[BENCH_FORWARD]), memory_mib(t->kept),
              memory_mib(t->peak[BENCH_BACKWARD]), memory_mib(t->peak[BENCH_OTHER]),
              (long long)t->allocations, (long long)t->system_allocations,
              (long long)t->host_allocations, t->macs > 0 ? t->recomputed_macs / t->macs : 0);
    json_array_append_new(
        list,
        json_pack("{s:s, s:s?, s:s, s:s, s:s, s:I, s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, "
                  "s:I, s:I, s:f, s:f}",
                  "space", lode_space_name(j->space), "arch", r->arch, "strategy", j->strategy_name,
                  "turn", lode_turn_name(which), "remat", remat, "batch", (json_int_t)j->batch,
                  "threads", lode_get_threads(), "idle_bytes", (json_int_t)t->idle,
                  "peak_forward_bytes", (json_int_t)t->peak[BENCH_FORWARD], "kept_bytes",
                  (json_int_t)t->kept, "peak_backward_bytes", (json_int_t)t->peak[BENCH_BACKWARD],
                  "peak_optimizer_bytes", (json_int_t)t->peak[BENCH_OTHER], "peak_tensor_bytes",
                  (json_int_t)memory_turn_peak(t), "calls", (json_int_t)t->calls, "allocations",
                  (json_int_t)t->allocations, "system_allocations",
                  (json_int_t)t->system_allocations, "host_allocations",
                  (json_int_t)t->host_allocations, "macs", t->macs, "recomputed_macs",
                  t->recomputed_macs));
}

static lode_status memory_measure(cli *c, const bench_request *r, json_t *list) {
    bench_job j;
    memory_turn turn[2] = {{.n = 0}, {.n = 0}};
    int64_t steps = 2, warmup = 2;
    lode_status status = LODE_OK;
    LODE_TRY(cli_get_int(c, "steps", 2, 1, 1000000, &steps));
    LODE_TRY(cli_get_int(c, "warmup", 2, 0, 1000000, &warmup));
    LODE_TRY(bench_job_open(r, &j));
    int turns = j.strategy && lode_strategy_n_parameters(j.strategy) > 0 ? 2 : 1;
    for (int64_t i = 0; i < turns * (warmup + steps); i++) {
        if (lode_progress_should_stop(cli_progress(c)))
            LODE_GOTO(LODE_FAIL(LODE_ERR_STOPPED, "measuring stopped on request"));
        if (i == turns * warmup) memset(turn, 0, sizeof turn);
        LODE_GOTO(memory_step(&j, turn));
    }
    for (int k = 0; k < 2; k++)
        if (turn[k].n > 0) memory_report(c, &j, r, (lode_turn)k, &turn[k], list);
done:
    bench_job_close(&j);
    return status;
}

/* As the user wants it, then with remat: layer (which the user's own --set may override). */
static lode_status memory_both(cli *c, const bench_request *r, json_t *list) {
    enum { MOST = 64 };
    const char *set[MOST] = {"supernet.remat=layer", "train.remat=layer"};
    bench_request again = *r;
    LODE_TRY(memory_measure(c, r, list));
    if (cli_flag(c, "no-remat")) return LODE_OK;
    if (r->n_set + 2 > MOST) return cli_usage_error(c, "more than %d --set", MOST - 2);
    for (int i = 0; i < r->n_set; i++) set[i + 2] = r->set[i];
    again.set = set;
    again.n_set = r->n_set + 2;
    return memory_measure(c, &again, list);
}

static lode_status memory_run(cli *c) {
    static const char *const defaults[] = {"fbnet-fashion", "nasbench201", "fbnet-cifar"};
    bench_request r;
    const char *const *given;
    const char *space[64];
    int n_space = cli_get_all(c, "space", &given);
    for (int i = 0; i < n_space; i++) space[i] = given[i]; /* before the list is gathered anew */
    json_t *list = json_array();
    cli_result(c, list); /* the frame owns it, whatever happens below */
    LODE_TRY(bench_request_read(c, &r));
    r.arch = cli_get(c, "arch", NULL);
    r.strategy = cli_get(c, "strategy", NULL);
    r.metered = true;
    cli_print(c, "%-45s %8s %8s %8s %8s %8s %21s %5s\n", "MiB of tensors", "between", "forward",
              "kept for", "backward", "optim.", "allocations", "again");
    cli_print(c, "%-16s %-12s %-8s %-6s %8s %8s %8s %8s %8s %6s %6s %7s %5s\n", "space", "strategy",
              "turn", "remat", "steps", "peak", "backward", "peak", "peak", "all", "system", "host",
              "MACs");
    for (int i = 0; i < n_space; i++) {
        r.space = space[i];
        LODE_TRY(memory_both(c, &r, list));
    }
    for (size_t i = 0; n_space == 0 && i < sizeof defaults / sizeof *defaults; i++) {
        r.space = defaults[i];
        LODE_TRY(memory_both(c, &r, list));
    }
    cli_print(c, "peak RSS of the process: %.1f MiB\n", (double)lode_peak_rss_bytes() / (1 << 20));
    return LODE_OK;
}

const cli_verb cli_verb_bench_memory = {
    .name = "bench memory",
    .about = "tensor bytes of a training step by phase, and allocations per step",
    .details =
        "Per kind of turn: bytes of tensors between steps (parameters, optimizer state, batches), "
        "the most in use during forward, what is in use when backward begins, the most during "
        "backward and during the optimizer; how many blocks a step asked the device for, how many "
        "segments that one asked the system for (0 once warm), and how many host blocks; "
        "and the MACs computed again in backward as a share of those of forward. Each network is "
        "measured as it is and with remat: layer.",
    .options = memory_options,
    .n_options = (int)(sizeof memory_options / sizeof *memory_options),
    .run = memory_run,
};
