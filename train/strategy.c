/* strategy.c: the table of strategies, the defaults of what a plug-in leaves out, and what every
   strategy ends in: probabilities, samples, the best architecture. */
#include "train/strategy.h"

#include "core/memory.h"

#include <math.h>
#include <string.h>

/* ---- the table ---- */
static const lode_strategy_plugin *const strategy_table[] = {
#define STRATEGY(name) &lode_strategy_##name,
#include "train/strategies.def"
#undef STRATEGY
};
enum { STRATEGY_N = sizeof strategy_table / sizeof strategy_table[0] };

const lode_strategy_plugin *const *lode_strategy_plugins(int *n) {
    *n = STRATEGY_N;
    return strategy_table;
}

lode_status lode_strategy_find(const char *name, const lode_strategy_plugin **out) {
    const char *names[STRATEGY_N];
    for (int i = 0; i < STRATEGY_N; i++) {
        names[i] = strategy_table[i]->name;
        if (strcmp(name, names[i]) == 0) {
            *out = strategy_table[i];
            return LODE_OK;
        }
    }
    const char *near = lode_nearest_word(name, names, STRATEGY_N);
    return LODE_FAIL(LODE_ERR_NOT_FOUND, "there is no strategy `%s`; %s `%s`", name,
                     near != NULL ? "the nearest is" : "one is",
                     near != NULL ? near : names[STRATEGY_N - 1]);
}

lode_status lode_strategy_options_read(lode_config *config, const lode_strategy_plugin *plugin,
                                       void **out) {
    *out = NULL;
    if (plugin->options == NULL) return LODE_OK;
    void *options = lode_calloc(1, plugin->options_size);
    if (options == NULL) return LODE_ERR_NO_MEMORY;
    lode_status status = config != NULL ? lode_config_read(config, plugin->options, options)
                                        : lode_options_default(plugin->options, options);
    if (status == LODE_OK)
        *out = options;
    else
        lode_free(options);
    return status;
}

const char *lode_turn_name(lode_turn turn) { return turn == LODE_TURN_ARCH ? "arch" : "weights"; }

/* ---- the object ---- */
struct lode_strategy {
    const lode_strategy_plugin *plugin;
    lode_strategy_setup setup;
    lode_space *space; /* the net's */
    void *default_options;
    void *self;
    bool fixed; /* the net has no decision left */
    lode_arch arch;
};

lode_status lode_strategy_create(const lode_strategy_plugin *plugin,
                                 const lode_strategy_setup *setup, lode_strategy **out) {
    *out = NULL;
    lode_status status = LODE_OK;
    lode_strategy *s = LODE_NEW(lode_strategy);
    if (s == NULL) return LODE_ERR_NO_MEMORY;
    s->plugin = plugin;
    s->setup = *setup;
    s->space = lode_supernet_space(setup->net);
    s->fixed = lode_supernet_is_fixed(setup->net, &s->arch);
    if (s->setup.options == NULL) {
        LODE_GOTO(lode_strategy_options_read(NULL, plugin, &s->default_options));
        s->setup.options = s->default_options;
    }
    if (!s->fixed && plugin->choose == NULL) {
        status = LODE_FAIL(LODE_ERR_CONFIG,
                           "strategy %s cannot choose, and the network is not fixed", plugin->name);
        goto done;
    }
    LODE_GOTO(plugin->create(&s->setup, &s->self));
    *out = s;
    return LODE_OK;
done:
    lode_error_context("strategy %s", plugin->name);
    lode_strategy_destroy(s);
    return status;
}

void lode_strategy_destroy(lode_strategy *s) {
    if (s == NULL) return;
    if (s->self != NULL) s->plugin->destroy(s->self);
    lode_free(s->default_options);
    lode_free(s);
}

const lode_strategy_plugin *lode_strategy_get_plugin(const lode_strategy *s) { return s->plugin; }
void *lode_strategy_self(const lode_strategy *s) { return s->self; }
lode_supernet *lode_strategy_net(const lode_strategy *s) { return s->setup.net; }

/* ---- the plug-in's answers ---- */
lode_epoch_plan lode_strategy_plan(lode_strategy *s, int64_t epoch) {
    lode_epoch_plan plan = {0};
    if (s->plugin->plan != NULL) s->plugin->plan(s->self, epoch, &plan);
    return plan;
}

int lode_strategy_n_passes(lode_strategy *s, const lode_step *step) {
    return s->plugin->n_passes != NULL ? s->plugin->n_passes(s->self, step) : 1;
}

lode_status lode_strategy_choose(lode_strategy *s, lode_tape *t, const lode_step *step,
                                 lode_choice *choice) {
    return s->fixed ? LODE_OK : s->plugin->choose(s->self, t, step, choice);
}

lode_var *lode_strategy_loss(lode_strategy *s, lode_tape *t, const lode_step *step,
                             lode_var *logits, lode_var *cross_entropy) {
    if (s->plugin->loss != NULL) return s->plugin->loss(s->self, t, step, logits, cross_entropy);
    if (step->n_passes == 1) return cross_entropy;
    return lode_scale(t, cross_entropy, 1.0 / step->n_passes, 0);
}

lode_status lode_strategy_after_step(lode_strategy *s, const lode_step *step, double loss) {
    return s->plugin->after_step != NULL ? s->plugin->after_step(s->self, step, loss) : LODE_OK;
}

int lode_strategy_n_parameters(const lode_strategy *s) {
    return s->plugin->n_parameters != NULL ? s->plugin->n_parameters(s->self) : 0;
}

lode_parameter *lode_strategy_parameter(const lode_strategy *s, int i) {
    return s->plugin->parameter(s->self, i);
}

lode_status lode_strategy_report(lode_strategy *s, const lode_step *step, json_t *line) {
    return s->plugin->report != NULL ? s->plugin->report(s->self, step, line) : LODE_OK;
}

json_t *lode_strategy_options_json(const lode_strategy *s) {
    return s->plugin->options != NULL ? lode_options_json(s->plugin->options, s->setup.options)
                                      : json_object();
}

/* ---- what it ends in ---- */
void lode_strategy_probabilities(const lode_strategy *s, int decision, double p[LODE_MAX_OPTIONS]) {
    int n = lode_space_decision(s->space, decision)->n_options;
    if (s->fixed) {
        for (int k = 0; k < n; k++) p[k] = k == s->arch.option[decision];
    } else if (s->plugin->probabilities != NULL) {
        s->plugin->probabilities(s->self, decision, p);
    } else {
        for (int k = 0; k < n; k++) p[k] = 1.0 / n;
    }
}

/* p[decision] as a constant [K]. */
static lode_var *strategy_constant(const lode_strategy *s, lode_tape *t, int decision) {
    double p[LODE_MAX_OPTIONS];
    lode_tensor *v = NULL;
    int n = lode_space_decision(s->space, decision)->n_options;
    lode_status status = lode_tensor_create(NULL, lode_supernet_dtype(s->setup.net),
                                            &LODE_SHAPE1(n), LODE_CONTIGUOUS, &v);
    if (status != LODE_OK) return lode_tape_fail(t, status);
    lode_strategy_probabilities(s, decision, p);
    for (int k = 0; k < n; k++) lode_put(v, k, p[k]);
    lode_var *var = lode_tape_constant(t, v);
    lode_tensor_release(v);
    return var;
}

lode_status lode_strategy_mixture(lode_strategy *s, lode_tape *t, lode_choice *choice) {
    if (s->fixed) return LODE_OK;
    if (s->plugin->probabilities == NULL)
        return LODE_FAIL(LODE_ERR_CONFIG, "strategy %s ends in no probabilities to mix by",
                         s->plugin->name);
    if (s->plugin->mixture != NULL) return s->plugin->mixture(s->self, t, choice);
    for (int d = 0; d < lode_space_n_decisions(s->space); d++) {
        int n = lode_space_decision(s->space, d)->n_options;
        choice[d] =
            (lode_choice){.active = (UINT64_C(1) << n) - 1, .weights = strategy_constant(s, t, d)};
    }
    return lode_tape_status(t);
}

double lode_strategy_edge_share(const lode_strategy *s, int decision) {
    return s->plugin->edge_share != NULL && !s->fixed ? s->plugin->edge_share(s->self, decision)
                                                      : 1;
}

double lode_strategy_entropy(const lode_strategy *s) {
    double sum = 0, p[LODE_MAX_OPTIONS];
    int n = lode_space_n_decisions(s->space), counted = 0;
    for (int d = 0; d < n; d++) {
        int k = lode_space_decision(s->space, d)->n_options;
        if (k < 2) continue;
        lode_strategy_probabilities(s, d, p);
        double h = 0;
        for (int i = 0; i < k; i++)
            if (p[i] > 0) h -= p[i] * log(p[i]);
        sum += h / log(k);
        counted++;
    }
    return counted > 0 ? sum / counted : 0;
}

json_t *lode_strategy_probabilities_json(const lode_strategy *s) {
    json_t *all = json_object();
    double p[LODE_MAX_OPTIONS];
    for (int d = 0; d < lode_space_n_decisions(s->space); d++) {
        const lode_decision *decision = lode_space_decision(s->space, d);
        json_t *one = json_object();
        lode_strategy_probabilities(s, d, p);
        for (int k = 0; k < decision->n_options; k++)
            json_object_set_new(one, decision->option[k], lode_json_number(p[k]));
        json_object_set_new(all, decision->name, one);
    }
    return all;
}

/* ---- on disk ---- */
lode_status lode_strategy_save(const lode_strategy *s, lode_state *state) {
    for (int i = 0; i < lode_strategy_n_parameters(s); i++) {
        const lode_parameter *p = lode_strategy_parameter(s, i);
        LODE_TRY(lode_state_add(state, p->value, "%s", p->name));
    }
    return s->plugin->save != NULL ? s->plugin->save(s->self, state) : LODE_OK;
}

lode_status lode_strategy_load(lode_strategy *s, lode_checkpoint *c) {
    for (int i = 0; i < lode_strategy_n_parameters(s); i++) {
        const lode_parameter *p = lode_strategy_parameter(s, i);
        LODE_TRY(lode_checkpoint_load(c, p->name, p->value));
    }
    return s->plugin->load != NULL ? s->plugin->load(s->self, c) : LODE_OK;
}
