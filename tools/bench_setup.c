/* bench_setup.c: a network in training, from the command's options. A bench runs what a recipe
   would run: our own settings come first, the user's --set after them. */
#include "core/memory.h"
#include "tools/bench.h"

#include <stdlib.h>
#include <string.h>

enum { SETUP_MAX_SETS = 96, SETUP_STORED_BATCHES = 8 };

typedef struct setup_sets {
    char *text[SETUP_MAX_SETS];
    int n;
    lode_status status;
} setup_sets;

static void setup_take(setup_sets *s, char *text) {
    if (s->status == LODE_OK && !text) s->status = LODE_ERR_NO_MEMORY;
    if (s->status == LODE_OK && s->n == SETUP_MAX_SETS)
        s->status = LODE_FAIL(LODE_ERR_INVALID, "more than %d settings", (int)SETUP_MAX_SETS);
    if (s->status == LODE_OK)
        s->text[s->n++] = text;
    else
        lode_free(text);
}

static void setup_add(setup_sets *s, const char *text) { setup_take(s, lode_strdup(text)); }

lode_status bench_request_read(cli *c, bench_request *r) {
    *r = (bench_request){.data = cli_get(c, "data", NULL),
                         .providers = cli_get(c, "providers", NULL),
                         .seed = cli_seed(c, 1)};
    r->n_set = cli_get_all(c, "set", &r->set);
    return cli_get_int(c, "batch", 64, 1, 4096, &r->batch);
}

/* ---- the recipe ---- */

static void setup_data(setup_sets *s, const bench_request *r) {
    if (!r->data) {
        setup_add(s, "data.name=synthetic");
        setup_add(s, "data.synthetic.stored=true");
        setup_take(s, lode_format("data.synthetic.train=%lld",
                                  (long long)(SETUP_STORED_BATCHES * r->batch)));
        setup_add(s, "data.synthetic.test=0");
        setup_add(s, "data.workers=0"); /* a copy; a thread for it would only wait for a core */
    } else {
        const char *colon = strchr(r->data, ':');
        size_t n = colon ? (size_t)(colon - r->data) : strlen(r->data);
        setup_take(s, lode_format("data.name=%.*s", (int)n, r->data));
        if (colon) setup_take(s, lode_format("data.path=%s", colon + 1));
        setup_add(s, "data.augment.pad=4");
        setup_add(s, "data.augment.flip=true");
    }
    setup_add(s, "data.valid=0");
}

/* Small steps, so that a few hundred of them on made-up images stay finite. */
static void setup_training(setup_sets *s, const char *section) {
    setup_take(s, lode_format("%s.epochs=100000", section));
    setup_take(s, lode_format("%s.schedule=constant", section));
    setup_take(s, lode_format("%s.lr=0.01", section));
}

/* Does the strategy train an architecture in turns of its own, on the split `arch`? */
static bool setup_has_turns(const char *strategy) {
    const lode_strategy_plugin *plugin;
    if (!strategy || lode_strategy_find(strategy, &plugin) != LODE_OK || !plugin->options)
        return false;
    for (int i = 0; i < plugin->options->n_rows; i++)
        if (strcmp(plugin->options->rows[i].name, "turns") == 0) return true;
    return false;
}

static lode_status setup_recipe(const bench_request *r, lode_recipe **out) {
    setup_sets s = {.n = 0};
    const char *strategy = r->arch ? NULL : r->strategy ? r->strategy : "gumbel";
    setup_take(&s, lode_format("space.name=%s", r->space));
    setup_data(&s, r);
    setup_training(&s, "train");
    setup_training(&s, "supernet");
    if (strategy && strcmp(strategy, "fixed") != 0) {
        setup_take(&s, lode_format("supernet.strategy=%s", strategy));
    } else {
        setup_add(&s, "search.supernet=false");
        setup_add(&s, "search.evaluator=none");
    }
    if (setup_has_turns(strategy)) {
        setup_add(&s, "data.arch_split=0.5");
        setup_add(&s, "arch.turns=alternate");
        setup_add(&s, "arch.warmup=0");
    }
    for (int i = 0; i < r->n_set; i++) setup_add(&s, r->set[i]);
    lode_status status = s.status;
    if (status == LODE_OK) status = lode_recipe_load(NULL, (const char *const *)s.text, s.n, out);
    for (int i = 0; i < s.n; i++) lode_free(s.text[i]);
    return status;
}

/* ---- opening ---- */

static lode_status setup_open_data(const bench_request *r, bench_job *j) {
    lode_data_options *o = &j->recipe->data;
    lode_space_options want = lode_space_resolved(j->space);
    if (o->size == 0) o->size = want.size;
    if (o->channels == 0) o->channels = want.channels;
    /* Ten made-up classes do for a network of a thousand: a texture each would be 600 MB at 224. */
    if (!r->data && o->classes == 0) o->classes = want.classes < 10 ? want.classes : 10;
    LODE_TRY(lode_data_open(o, r->seed, &j->data));
    if (r->data && lode_data_n_classes(j->data) != want.classes)
        return LODE_FAIL(LODE_ERR_CONFIG,
                         "%s has %d classes, space %s %lld (--set space.classes=%d)", r->data,
                         lode_data_n_classes(j->data), r->space, (long long)want.classes,
                         lode_data_n_classes(j->data));
    return LODE_OK;
}

static lode_status setup_open_net(const bench_request *r, bench_job *j) {
    LODE_TRY(lode_space_load(&j->recipe->space, &j->space));
    int n = lode_space_n_decisions(j->space);
    j->fixed = r->arch || n == 0;
    if (r->arch && n > 0) LODE_TRY(lode_arch_parse(j->space, r->arch, &j->arch));
    return lode_supernet_create(j->space, j->fixed ? &j->arch : NULL, LODE_F32, r->seed, &j->net);
}

static lode_status setup_open_trainer(const bench_request *r, bench_job *j) {
    const lode_runner *runner = lode_dispatch_runner(j->dispatch);
    const lode_train_options *options = j->fixed ? &j->recipe->train : &j->recipe->supernet;
    if (r->metered) {
        j->meter = LODE_NEW(bench_meter);
        if (!j->meter) return LODE_ERR_NO_MEMORY;
        bench_meter_init(j->meter, runner);
        runner = &j->meter->runner;
    }
    j->strategy_name = "fixed";
    if (!j->fixed) {
        const lode_strategy_plugin *plugin = j->recipe->strategy;
        if (!plugin)
            return LODE_FAIL(LODE_ERR_CONFIG,
                             "space %s leaves decisions: give an architecture for "
                             "the strategy fixed",
                             r->space);
        lode_strategy_setup s = {
            .net = j->net, .n_epochs = options->epochs, .options = j->recipe->strategy_options};
        LODE_TRY(lode_strategy_create(plugin, &s, &j->strategy));
        j->strategy_name = plugin->name;
    }
    lode_train_setup setup = {.phase = "bench",
                              .net = j->net,
                              .strategy = j->strategy,
                              .data = j->data,
                              .data_batch = j->batch,
                              .workers = (int)j->recipe->data.workers,
                              .runner = runner,
                              .options = options,
                              .seed = r->seed};
    LODE_TRY(lode_trainer_create(&setup, &j->trainer));
    lode_memory_plan plan;
    LODE_TRY(lode_trainer_plan(j->trainer, &plan));
    return lode_trainer_reserve(j->trainer, &plan);
}

lode_status bench_job_open(const bench_request *r, bench_job *j) {
    lode_dispatch_options dispatch = {.providers = r->providers};
    lode_status status = LODE_OK;
    memset(j, 0, sizeof *j);
    j->batch = r->batch;
    LODE_GOTO(setup_recipe(r, &j->recipe));
    LODE_GOTO(setup_open_net(r, j));
    LODE_GOTO(setup_open_data(r, j));
    LODE_GOTO(lode_dispatch_create(&dispatch, &j->dispatch));
    LODE_GOTO(setup_open_trainer(r, j));
done:
    if (status != LODE_OK) bench_job_close(j);
    return status;
}

void bench_job_close(bench_job *j) {
    lode_trainer_destroy(j->trainer);
    lode_strategy_destroy(j->strategy);
    lode_free(j->meter);
    lode_dispatch_destroy(j->dispatch);
    lode_data_close(j->data);
    lode_supernet_destroy(j->net);
    lode_space_release(j->space);
    lode_recipe_destroy(j->recipe);
    memset(j, 0, sizeof *j);
}

/* ---- what it is ---- */

lode_status bench_job_size(const bench_job *j, double *macs, int64_t *params) {
    *macs = 0;
    *params = 0;
    for (int i = 0; i < lode_supernet_n_parameters(j->net); i++) {
        const lode_parameter *p = lode_supernet_parameter(j->net, i);
        if (p->kind != LODE_PARAM_RUNNING) *params += lode_tensor_count(p->value);
    }
    if (!j->fixed) return LODE_OK;
    lode_cost *cost = NULL;
    LODE_TRY(lode_cost_open("macs", j->net, 1, &cost));
    lode_status status = lode_cost_hard(cost, &j->arch, macs);
    lode_cost_close(cost);
    return status;
}

char *bench_job_last_arch(const bench_job *j) {
    lode_step_record last = lode_trainer_last_step(j->trainer);
    lode_arch arch = {.n = lode_space_n_decisions(j->space)};
    if (j->fixed) return NULL;
    for (int d = 0; d < arch.n; d++) {
        uint64_t active = last.active[d];
        if (active == 0 || (active & (active - 1)) != 0) return NULL;
        while (!(active >> arch.option[d] & 1)) arch.option[d]++;
    }
    return lode_arch_code(j->space, &arch);
}

double bench_median(const double *v, int64_t n) {
    lode_summary s = {0};
    return n > 0 && lode_summarize(v, n, &s) == LODE_OK ? s.median : 0;
}

json_t *bench_summary_json(const double *ms, int64_t n) {
    lode_summary s = {0};
    if (n > 0 && lode_summarize(ms, n, &s) != LODE_OK) return NULL;
    return json_pack("{s:f, s:f, s:f}", "median", s.median, "min", s.min, "spread", s.spread);
}
