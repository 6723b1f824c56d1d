/* verb_bench_infer.c: `lode bench infer`: inference of extracted networks. */
#include "core/memory.h"
#include "core/parallel.h"
#include "core/platform.h"
#include "hwcost/profile.h"
#include "tools/cli.h"
#include "tools/workspace.h"

#include <string.h>

static const cli_option infer_options[] = {
    WORKSPACE_OPTION_SPACE,
    WORKSPACE_OPTION_SET,
    {"model", 'm', "SUBNET", "a saved network (directory) instead of a space"},
    {"arch", 'a', "ARCH", "architecture to extract; default: drawn ones (--count)"},
    {"count", 'n', "N", "architectures drawn where none is given (default 3)"},
    {"batch", 0, "LIST", "images per forward pass (default 1,32)"},
    {"rounds", 0, "N", "timed passes (default 20)"},
    {"warmup", 0, "N", "untimed passes before (default 3)"},
    {"unfold", 0, NULL, "leave batch norms, activations and additions as calls of their own"},
    {"providers", 0, "LIST", "kernel providers allowed (native,onednn,portable,reference)"},
};

static lode_status infer_measure(cli *c, lode_supernet *net, lode_dispatch *dispatch,
                                 const char *arch, int64_t batch, json_t *list) {
    int64_t rounds = 20, warmup = 3, params = 0;
    lode_form form = cli_flag(c, "unfold") ? LODE_FORM_PLAIN : LODE_FORM_FOLDED;
    lode_summary s;
    lode_cost *cost = NULL;
    lode_arch path = {0};
    double macs = 0;
    LODE_TRY(cli_get_int(c, "rounds", 20, 3, 1000000, &rounds));
    LODE_TRY(cli_get_int(c, "warmup", 3, 0, 1000000, &warmup));
    lode_supernet_is_fixed(net, &path);
    LODE_TRY(lode_supernet_count_parameters(net, NULL, &params));
    LODE_TRY(lode_cost_open("macs", net, 1, &cost));
    lode_status status = lode_cost_hard(cost, &path, &macs);
    lode_cost_close(cost);
    LODE_TRY(status);
    LODE_TRY(lode_profile_network(net, NULL, form, dispatch, batch, warmup, rounds, &s));
    const char *space = lode_space_name(lode_supernet_space(net));
    cli_print(c, "%-16s %3d %4lld %10.3f %10.3f %6.0f %% %10.0f %9.1f  %s\n", space,
              lode_get_threads(), (long long)batch, s.median, s.min, 100 * s.spread,
              1e3 * (double)batch / s.median, 2e-6 * macs * (double)batch / s.min, arch);
    json_array_append_new(
        list, json_pack("{s:s, s:s, s:i, s:I, s:f, s:f, s:f, s:f, s:f, s:I, s:b, s:I}", "space",
                        space, "arch", arch, "threads", lode_get_threads(), "batch",
                        (json_int_t)batch, "median_ms", s.median, "min_ms", s.min, "spread",
                        s.spread, "images_per_s", 1e3 * (double)batch / s.median, "macs", macs,
                        "params", (json_int_t)params, "bn_folded", form == LODE_FORM_FOLDED,
                        "peak_rss_bytes", (json_int_t)lode_peak_rss_bytes()));
    return LODE_OK;
}

/* One network: every batch size at every number of threads. Kernels are prepared for a number of
   threads, so each gets a dispatch of its own. */
static lode_status infer_network(cli *c, lode_supernet *net, const char *arch, json_t *list) {
    int threads[CLI_MAX_LIST], n_threads = cli_thread_counts(c, threads), n_batches = 0;
    int64_t batch[CLI_MAX_LIST];
    LODE_TRY(cli_get_list(c, "batch", "1,32", 1, 4096, batch, &n_batches));
    for (int t = 0; t < n_threads; t++) {
        lode_dispatch_options options = {.providers = cli_get(c, "providers", NULL)};
        lode_dispatch *dispatch = NULL;
        lode_status status = LODE_OK;
        lode_set_threads(threads[t]);
        LODE_TRY(lode_dispatch_create(&options, &dispatch));
        for (int b = 0; b < n_batches && status == LODE_OK; b++)
            status = infer_measure(c, net, dispatch, arch, batch[b], list);
        lode_dispatch_destroy(dispatch);
        LODE_TRY(status);
    }
    return LODE_OK;
}

static lode_status infer_arch(cli *c, const workspace *w, const lode_arch *arch, json_t *list) {
    lode_supernet *net = NULL;
    lode_status status = LODE_OK;
    char *text = lode_arch_code(w->space, arch);
    LODE_GOTO(text ? LODE_OK : LODE_ERR_NO_MEMORY);
    LODE_GOTO(lode_supernet_create(w->space, arch, LODE_F32, cli_seed(c, 1), &net));
    LODE_GOTO(infer_network(c, net, text, list));
done:
    lode_supernet_destroy(net);
    lode_free(text);
    return status;
}

static lode_status infer_space(cli *c, const workspace *w, json_t *list) {
    const char *text = cli_get(c, "arch", NULL);
    int64_t n = 3;
    lode_arch arch = {0};
    lode_rng rng = lode_rng_stream(cli_seed(c, 1), LODE_RNG_MEASURE, 5);
    LODE_TRY(cli_get_int(c, "count", 3, 1, 1000, &n));
    if (text) {
        LODE_TRY(lode_arch_parse(w->space, text, &arch));
        return infer_arch(c, w, &arch, list);
    }
    if (lode_space_n_decisions(w->space) == 0) return infer_arch(c, w, &arch, list);
    for (int64_t i = 0; i < n; i++) {
        LODE_TRY(lode_space_sample(w->space, &rng, &arch));
        LODE_TRY(infer_arch(c, w, &arch, list));
    }
    return LODE_OK;
}

static lode_status infer_run(cli *c) {
    workspace w;
    json_t *list = json_array();
    cli_result(c, list); /* the frame owns it, whatever happens below */
    LODE_TRY(workspace_open(c, false, &w));
    cli_print(c, "%-16s %3s %4s %10s %10s %8s %10s %9s  architecture\n", "space", "thr", "n",
              "median ms", "minimum", "spread", "images/s", "GFLOP/s");
    lode_status status =
        w.net ? infer_network(c, w.net, cli_get(c, "model", ""), list) : infer_space(c, &w, list);
    workspace_close(&w);
    return status;
}

const cli_verb cli_verb_bench_infer = {
    .name = "bench infer",
    .about = "time of one forward pass of extracted networks",
    .details =
        "Median, minimum and spread of forward passes as a deployed network runs them (batch norms "
        "folded, every call prepared once), at batches of 1 and 32 or others, of a saved network "
        "or of architectures of a space (with fresh weights, which take the same time). GFLOP/s "
        "counts multiply-accumulates twice and uses the minimum.",
    .options = infer_options,
    .n_options = (int)(sizeof infer_options / sizeof *infer_options),
    .thread_lists = true,
    .run = infer_run,
};
