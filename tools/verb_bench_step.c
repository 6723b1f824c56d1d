/* verb_bench_step.c: `lode bench step`: training steps of the real trainer, and where their time
   goes. */
#include "core/memory.h"
#include "core/parallel.h"
#include "core/platform.h"
#include "tools/bench.h"

#include <stdio.h>
#include <string.h>

static const cli_option step_options[] = {
    BENCH_OPTION_SPACE,
    BENCH_OPTION_ARCH,
    BENCH_OPTION_STRATEGY,
    BENCH_OPTION_DATA,
    BENCH_OPTION_SET,
    {"batch", 0, "N", "images per step (default 64)"},
    {"steps", 0, "N", "timed steps of every turn (default 5)"},
    {"warmup", 0, "N", "untimed steps of every turn before (default 2)"},
    BENCH_OPTION_PROVIDERS,
};

/* What is run when no space is named: every strategy. */
static const struct step_default {
    const char *space, *strategy;
} step_defaults[] = {
    {"fbnet-cifar", "single_path"},    {"fbnet-cifar", "gumbel"},
    {"nasbench-macro", "single_path"}, {"nasbench-macro", "gumbel"},
    {"nasbench201", "single_path"},    {"nasbench201", "gumbel"},
    {"fbnet-fashion", "single_path"},  {"fbnet-fashion", "gumbel"},
};

/* Milliseconds of the timed steps of one kind of turn. */
enum { STEP_TOTAL, STEP_WAIT, STEP_FORWARD, STEP_BACKWARD, STEP_OPTIMIZER, STEP_N_PARTS };
static const char *const step_part_name[STEP_N_PARTS] = {"total", "wait", "forward", "backward",
                                                         "optimizer"};
typedef struct step_turn {
    double *ms[STEP_N_PARTS]; /* [capacity] each */
    json_t *arch;             /* list of texts, or nulls */
    int64_t n;
} step_turn;

static void step_turn_deinit(step_turn *t) {
    for (int p = 0; p < STEP_N_PARTS; p++) lode_free(t->ms[p]);
    json_decref(t->arch);
}

static lode_status step_turn_init(step_turn *t, int64_t capacity) {
    memset(t, 0, sizeof *t);
    t->arch = json_array();
    for (int p = 0; p < STEP_N_PARTS; p++) {
        t->ms[p] = LODE_NEW_ARRAY(double, capacity);
        if (!t->ms[p]) return LODE_ERR_NO_MEMORY;
    }
    return t->arch ? LODE_OK : LODE_ERR_NO_MEMORY;
}

static lode_status step_once(const bench_job *j, step_turn turn[2], bool record) {
    bool finished = false;
    double start = lode_clock();
    LODE_TRY(lode_trainer_run_steps(j->trainer, 1, &finished));
    double total = lode_clock() - start;
    if (!record) return LODE_OK;
    lode_step_record r = lode_trainer_last_step(j->trainer);
    const double part[STEP_N_PARTS] = {total, r.wait, r.forward, r.backward, r.optimizer};
    step_turn *t = &turn[r.turn];
    char *arch = bench_job_last_arch(j);
    for (int p = 0; p < STEP_N_PARTS; p++) t->ms[p][t->n] = 1e3 * part[p];
    t->n++;
    json_array_append_new(t->arch, arch ? json_string(arch) : json_null());
    lode_free(arch);
    return LODE_OK;
}

static double step_share(const double *part, const double *total, int64_t n) {
    double a = 0, b = 0;
    for (int64_t i = 0; i < n; i++) {
        a += part[i];
        b += total[i];
    }
    return b > 0 ? a / b : 0;
}

/* One line of the table, one object of the list. */
static lode_status step_report(cli *c, const bench_job *j, const bench_request *r, int threads,
                               lode_turn which, const step_turn *t, json_t *list) {
    lode_summary s;
    double macs = 0;
    int64_t params = 0, peak = lode_device_get_stats(lode_cpu_device()).peak_bytes;
    double wait = step_share(t->ms[STEP_WAIT], t->ms[STEP_TOTAL], t->n);
    LODE_TRY(bench_job_size(j, &macs, &params));
    LODE_TRY(lode_summarize(t->ms[STEP_TOTAL], t->n, &s));
    cli_print(
        c,
        "%-16s %-12s %-8s %3d %4lld %9.1f %9.1f %5.0f %% %9.1f %9.1f %8.2f %6.2f %% %8.0f %8.1f\n",
        lode_space_name(j->space), r->arch ? r->arch : j->strategy_name, lode_turn_name(which),
        threads, (long long)j->batch, s.median, s.min, 100 * s.spread,
        bench_median(t->ms[STEP_FORWARD], t->n), bench_median(t->ms[STEP_BACKWARD], t->n),
        bench_median(t->ms[STEP_OPTIMIZER], t->n), 100 * wait, 1e3 * (double)j->batch / s.median,
        (double)peak / (1 << 20));
    json_t *row = json_pack(
        "{s:s, s:s?, s:s, s:s, s:i, s:I, s:I, s:f, s:I, s:f, s:f, s:I, s:I}", "space",
        lode_space_name(j->space), "arch", r->arch, "strategy", j->strategy_name, "turn",
        lode_turn_name(which), "threads", threads, "batch", (json_int_t)j->batch, "params",
        (json_int_t)params, "macs", macs, "steps", (json_int_t)t->n, "images_per_s",
        1e3 * (double)j->batch / s.median, "wait_share", wait, "peak_tensor_bytes",
        (json_int_t)peak, "peak_rss_bytes", (json_int_t)lode_peak_rss_bytes());
    json_t *ms = json_array();
    if (!row || !ms) {
        json_decref(row);
        json_decref(ms);
        return LODE_ERR_NO_MEMORY;
    }
    for (int p = 0; p < STEP_N_PARTS; p++) {
        char key[24];
        snprintf(key, sizeof key, "%s_ms", step_part_name[p]);
        json_object_set_new(row, key, bench_summary_json(t->ms[p], t->n));
    }
    for (int64_t i = 0; i < t->n; i++) json_array_append_new(ms, json_real(t->ms[STEP_TOTAL][i]));
    json_object_set_new(row, "step_ms", ms);
    json_object_set(row, "step_arch", t->arch);
    json_array_append_new(list, row);
    return LODE_OK;
}

static lode_status step_measure(cli *c, const bench_request *r, int threads, json_t *list) {
    bench_job j;
    step_turn turn[2] = {{.n = 0}, {.n = 0}};
    int64_t steps = 5, warmup = 2;
    lode_status status = LODE_OK;
    LODE_TRY(cli_get_int(c, "steps", 5, 1, 1000000, &steps));
    LODE_TRY(cli_get_int(c, "warmup", 2, 0, 1000000, &warmup));
    lode_set_threads(threads);
    LODE_TRY(bench_job_open(r, &j));
    bool alternate = j.strategy && lode_strategy_n_parameters(j.strategy) > 0;
    int turns = alternate ? 2 : 1;
    for (int k = 0; k < 2; k++) LODE_GOTO(step_turn_init(&turn[k], turns * steps));
    for (int64_t i = 0; i < turns * (warmup + steps); i++) {
        if (lode_progress_should_stop(cli_progress(c)))
            LODE_GOTO(LODE_FAIL(LODE_ERR_STOPPED, "measuring stopped on request"));
        if (i == turns * warmup) lode_device_reset_peak(lode_cpu_device());
        LODE_GOTO(step_once(&j, turn, i >= turns * warmup));
        lode_progress_update(cli_progress(c), lode_space_name(j.space), i + 1,
                             turns * (warmup + steps), j.strategy_name);
    }
    for (int k = 0; k < 2; k++)
        if (turn[k].n > 0)
            LODE_GOTO(step_report(c, &j, r, lode_get_threads(), (lode_turn)k, &turn[k], list));
done:
    for (int k = 0; k < 2; k++) step_turn_deinit(&turn[k]);
    bench_job_close(&j);
    return status;
}

static lode_status step_all_threads(cli *c, bench_request *r, json_t *list) {
    int threads[CLI_MAX_LIST], n = cli_thread_counts(c, threads);
    for (int i = 0; i < n; i++) LODE_TRY(step_measure(c, r, threads[i], list));
    return LODE_OK;
}

static lode_status step_run(cli *c) {
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
    if (r.arch && r.strategy && strcmp(r.strategy, "fixed") != 0)
        return cli_usage_error(c, "--arch makes a fixed network; leave out --strategy %s",
                               r.strategy);
    cli_print(c, "%-16s %-12s %-8s %3s %4s %9s %9s %7s %9s %9s %8s %8s %8s %8s\n", "space",
              "strategy", "turn", "thr", "n", "median ms", "minimum", "spread", "forward",
              "backward", "optimizer", "waiting", "images/s", "MiB");
    for (int i = 0; i < n_space; i++) {
        r.space = space[i];
        LODE_TRY(step_all_threads(c, &r, list));
    }
    for (size_t i = 0; n_space == 0 && i < sizeof step_defaults / sizeof *step_defaults; i++) {
        r.space = step_defaults[i].space;
        r.strategy = step_defaults[i].strategy;
        LODE_TRY(step_all_threads(c, &r, list));
    }
    cli_print(c, "peak RSS of the process: %.1f MiB\n", (double)lode_peak_rss_bytes() / (1 << 20));
    return LODE_OK;
}

const cli_verb cli_verb_bench_step = {
    .name = "bench step",
    .about = "time and peak memory of training steps, and where they go",
    .details =
        "Runs the trainer of lode search and lode train on supernets or, with --arch, on a fixed "
        "network, and times single steps: waiting for data, forward, backward, optimizer. Where a "
        "strategy trains weights and architecture in turns, both are shown. Times are medians over "
        "the steps beside the minimum and the spread (interquartile range over median); MiB is the "
        "most that tensors took during the timed steps. Data are made-up images kept in memory, "
        "or with --data a real dataset with padding, crops and flips. The peak RSS in --json is "
        "the process's: ask for one space at a time to compare it.",
    .options = step_options,
    .n_options = (int)(sizeof step_options / sizeof *step_options),
    .thread_lists = true,
    .run = step_run,
};
