/* bench_estimators: how good the gradients of the architecture are: bias, noise, direction, price.

   usage: bench_estimators [-n DRAWS] [-d DATASET] [-o PREFIX]

   The smallest network that has the question: three decisions of three options on 8x8 images, in
   f64, its weights trained for a while by single paths. All 27 architectures are run on one batch,
   so the gradient g* of E[L(a)], a drawn from softmax(alpha), is known to the last digit:

       g*_dk = sum_a p(a) L(a) (onehot(a_d)_k - p_dk)

   Each estimator then makes DRAWS steps at the same alpha, weights and batch. Writes PREFIX.csv and
   PREFIX.svg, and prints the table. The same seed gives the same numbers. */
#include "bench/estimators_picture.h"
#include "core/platform.h"
#include "ops/dispatch.h"
#include "train/trainer.h"

#include <stdlib.h>

enum { DECISIONS = 3, OPTIONS = 3, N = DECISIONS * OPTIONS, ARCHS = 27, SEED = 7 };
enum { TRAIN_STEPS = 400 };

static const char space_text[] = "name: estimators\n"
                                 "input: {channels: 1, size: 8}\n"
                                 "classes: 10\n"
                                 "sets:\n"
                                 "  s:\n"
                                 "    k3_e3: {op: mbconv, kernel: 3, expand: 3}\n"
                                 "    k5_e1: {op: mbconv, kernel: 5, expand: 1}\n"
                                 "    skip: {op: skip}\n"
                                 "layers:\n"
                                 "  - {name: stem, op: conv, kernel: 3, channels: 8, stride: 2}\n"
                                 "  - {choice: s, channels: 8, repeat: 3}\n"
                                 "  - {name: pool, op: global_pool}\n"
                                 "  - {name: classifier, op: linear}\n";

typedef struct world {
    const char *dataset;
    lode_data *data;
    lode_data_options data_options;
    lode_config *config;
    lode_space *space;
    lode_supernet *net;
    lode_dispatch *dispatch;
    lode_loader *loader;
    lode_batch batch;
    lode_tape *tape;
    double alpha[N], p[N]; /* [DECISIONS][OPTIONS] */
    double loss[ARCHS];    /* of every architecture */
    double truth[N], length;
} world;

/* Mean and spread of the gradients seen so far. */
typedef struct draws {
    int n;
    double sum[N], squares, cosines, paths;
} draws;

static void need(lode_status s) {
    if (s == LODE_OK) return;
    fprintf(stderr, "bench_estimators: %s: %s\n", lode_status_name(s), lode_last_error());
    exit(1);
}

static double dot(const double *a, const double *b) {
    double sum = 0;
    for (int i = 0; i < N; i++) sum += a[i] * b[i];
    return sum;
}

/* ---- the world ---- */

static void world_open(world *w) {
    char *recipe =
        lode_format("data: {name: %s, size: 8, channels: 1, valid: 0.1, arch_split: 0.2, "
                    "limit: 8000, batch: 64, workers: 0%s}\n",
                    w->dataset, strcmp(w->dataset, "synthetic") == 0 ? ", classes: 10" : "");
    need(recipe != NULL ? LODE_OK : LODE_ERR_NO_MEMORY);
    need(lode_config_parse(recipe, "bench_estimators", &w->config));
    lode_free(recipe);
    need(lode_data_options_read(w->config, &w->data_options));
    need(lode_data_open(&w->data_options, SEED, &w->data));
    need(lode_space_parse(space_text, "estimators", NULL, &w->space));
    need(lode_supernet_create(w->space, NULL, LODE_F64, SEED, &w->net));
    need(lode_dispatch_create(&(lode_dispatch_options){.deterministic = true}, &w->dispatch));
    need(lode_tape_create(LODE_TRAIN, lode_dispatch_runner(w->dispatch), &w->tape));
}

static void world_train(world *w) {
    const lode_strategy_plugin *paths = NULL;
    lode_strategy *strategy = NULL;
    lode_trainer *t = NULL;
    lode_train_options options = {0};
    bool finished = false;
    need(lode_options_default(&lode_train_option_table, &options));
    options.eval_split = "";
    need(lode_strategy_find("single_path", &paths));
    const lode_strategy_setup s = {.net = w->net, .n_epochs = options.epochs};
    need(lode_strategy_create(paths, &s, &strategy));
    const lode_train_setup setup = {.phase = "supernet",
                                    .net = w->net,
                                    .strategy = strategy,
                                    .data = w->data,
                                    .data_batch = w->data_options.batch,
                                    .runner = lode_dispatch_runner(w->dispatch),
                                    .options = &options,
                                    .seed = SEED};
    need(lode_trainer_create(&setup, &t));
    need(lode_trainer_run_steps(t, TRAIN_STEPS, &finished));
    lode_trainer_destroy(t);
    lode_strategy_destroy(strategy);
    for (int i = 0; i < lode_supernet_n_parameters(w->net); i++)
        lode_supernet_parameter(w->net, i)->frozen = true;
    need(lode_data_loader(w->data, "arch", LODE_DATA_EVAL, w->data_options.batch, 0, &w->loader));
    need(lode_loader_next(w->loader, &w->batch));
}

/* Cross entropy of the network that `choice` makes of the supernet, on w's batch. */
static lode_var *world_loss(world *w, const lode_choice *choice, lode_var **logits) {
    const lode_forward_options options = {.bn = LODE_BN_BATCH};
    *logits = lode_supernet_forward(w->tape, w->net, lode_batch_input(w->tape, &w->batch, LODE_F64),
                                    choice, &options);
    return lode_cross_entropy(w->tape, *logits, lode_tape_constant(w->tape, w->batch.labels), 0);
}

static int digit(int arch, int decision) { return arch / (int[]){1, 3, 9}[decision] % OPTIONS; }

static double probability(const world *w, int arch) {
    double p = 1;
    for (int d = 0; d < DECISIONS; d++) p *= w->p[d * OPTIONS + digit(arch, d)];
    return p;
}

/* to += factor * d ln p(arch) / d alpha. */
static void add_score(const world *w, int arch, double factor, double *to) {
    for (int d = 0; d < DECISIONS; d++)
        for (int k = 0; k < OPTIONS; k++)
            to[d * OPTIONS + k] += factor * ((k == digit(arch, d)) - w->p[d * OPTIONS + k]);
}

static void world_enumerate(world *w) {
    lode_rng rng = lode_rng_stream(SEED, LODE_RNG_TEST, 0);
    for (int i = 0; i < N; i++) w->alpha[i] = 0.5 * lode_rng_normal(&rng);
    for (int d = 0; d < DECISIONS; d++) {
        double *p = w->p + d * OPTIONS, sum = 0;
        for (int k = 0; k < OPTIONS; k++) sum += p[k] = exp(w->alpha[d * OPTIONS + k]);
        for (int k = 0; k < OPTIONS; k++) p[k] /= sum;
    }
    for (int a = 0; a < ARCHS; a++) {
        lode_choice choice[DECISIONS];
        lode_var *logits;
        lode_tape_reset(w->tape);
        for (int d = 0; d < DECISIONS; d++)
            choice[d] = (lode_choice){.active = UINT64_C(1) << digit(a, d)};
        lode_var *loss = world_loss(w, choice, &logits);
        need(lode_tape_status(w->tape));
        w->loss[a] = lode_at(loss->value, 0);
        add_score(w, a, probability(w, a) * w->loss[a], w->truth);
    }
    w->length = sqrt(dot(w->truth, w->truth));
}

static void world_close(world *w) {
    lode_tape_destroy(w->tape);
    lode_loader_destroy(w->loader);
    lode_supernet_destroy(w->net);
    lode_space_release(w->space);
    lode_data_close(w->data);
    lode_data_options_deinit(&w->data_options);
    lode_dispatch_destroy(w->dispatch);
    lode_config_destroy(w->config);
}

/* ---- estimators ---- */

static void draws_add(draws *d, const world *w, const double *g, double paths) {
    double length = sqrt(dot(g, g));
    for (int i = 0; i < N; i++) d->sum[i] += g[i];
    d->squares += length * length;
    if (length > 0) d->cosines += dot(g, w->truth) / (length * w->length);
    d->paths += paths;
    d->n++;
}

/* The gradient that a strategy of the library leaves in its parameters, one step after the other.
 */
static void run_strategy(world *w, const char *name, const char *arch, int n, draws *out) {
    const lode_strategy_plugin *plugin = NULL;
    lode_strategy *s = NULL;
    lode_config *config = NULL;
    void *options = NULL;
    char *text = lode_format("arch: %s\n", arch);
    need(text != NULL ? LODE_OK : LODE_ERR_NO_MEMORY);
    need(lode_config_parse(text, "bench_estimators", &config));
    need(lode_strategy_find(name, &plugin));
    need(lode_strategy_options_read(config, plugin, &options));
    const lode_strategy_setup setup = {.net = w->net, .n_epochs = 100, .options = options};
    need(lode_strategy_create(plugin, &setup, &s));
    for (int i = 0; i < N; i++)
        lode_put(lode_strategy_parameter(s, i / OPTIONS)->value, i % OPTIONS, w->alpha[i]);
    for (int i = 0; i < n; i++) {
        const lode_step step = {.turn = LODE_TURN_ARCH,
                                .seed = SEED,
                                .step = i,
                                .n_epochs = 100,
                                .n_passes = 1,
                                .batch = w->batch.n};
        lode_choice choice[DECISIONS] = {{0}};
        lode_var *logits;
        double g[N], paths = 0;
        lode_tape_reset(w->tape);
        need(lode_strategy_choose(s, w->tape, &step, choice));
        lode_var *ce = world_loss(w, choice, &logits);
        lode_var *loss = lode_strategy_loss(s, w->tape, &step, logits, ce);
        need(lode_tape_status(w->tape));
        for (int d = 0; d < DECISIONS; d++) {
            lode_parameter *p = lode_strategy_parameter(s, d);
            lode_tensor_release(p->grad);
            p->grad = NULL;
            for (int k = 0; k < OPTIONS; k++) paths += (choice[d].active >> k & 1) != 0;
        }
        need(lode_backward(w->tape, loss, 1));
        for (int k = 0; k < N; k++) {
            const lode_parameter *p = lode_strategy_parameter(s, k / OPTIONS);
            g[k] = p->grad != NULL ? lode_at(p->grad, k % OPTIONS) : 0;
        }
        draws_add(out, w, g, paths / DECISIONS);
    }
    lode_strategy_destroy(s);
    lode_free(options);
    lode_config_destroy(config);
    lode_free(text);
}

enum { BASELINE_NONE, BASELINE_MOVING, BASELINE_OTHERS };

/* The score function (REINFORCE): M architectures drawn, each loss compared with a baseline: none,
   the moving average of steps before (0.9), or the mean of the step's other draws. */
static void run_score(world *w, int samples, int baseline, int n, draws *out) {
    double p[ARCHS], average = 0;
    for (int a = 0; a < ARCHS; a++) p[a] = probability(w, a);
    for (int i = 0; i < n; i++) {
        lode_rng rng = lode_rng_stream(SEED, LODE_RNG_SAMPLE_ARCH, (uint64_t)i);
        double g[N] = {0}, sum = 0;
        int drawn[16];
        for (int m = 0; m < samples; m++) sum += w->loss[drawn[m] = lode_rng_pick(&rng, p, ARCHS)];
        for (int m = 0; m < samples; m++) {
            double loss = w->loss[drawn[m]], b = 0;
            if (baseline == BASELINE_MOVING) b = i > 0 ? average : loss;
            if (baseline == BASELINE_OTHERS) b = (sum - loss) / (samples - 1);
            add_score(w, drawn[m], (loss - b) / samples, g);
        }
        average = i > 0 ? 0.9 * average + 0.1 * sum / samples : sum / samples;
        draws_add(out, w, g, samples);
    }
}

static estimator_row summarize(const world *w, const char *name, const char *group,
                               const draws *d) {
    double mean[N], off[N];
    for (int i = 0; i < N; i++) {
        mean[i] = d->sum[i] / d->n;
        off[i] = mean[i] - w->truth[i];
    }
    double variance = fmax(d->squares / d->n - dot(mean, mean), 0);
    /* |mean - g*|^2 holds, beside the bias, the variance of the mean. */
    double own = variance / d->n, bias = sqrt(fmax(dot(off, off) - own, 0));
    double floor = 2 * sqrt(own) / w->length;
    return (estimator_row){.name = name,
                           .group = group,
                           .bias = bias / w->length,
                           .noise =
                               variance > 1e-12 * dot(mean, mean) ? sqrt(variance) / w->length : 0,
                           .cosine_step = d->cosines / d->n,
                           .cosine_mean = dot(mean, w->truth) / (sqrt(dot(mean, mean)) * w->length),
                           .paths = d->paths / d->n,
                           .floor = floor,
                           .exact_bias = bias / w->length < floor};
}

/* ---- the list ---- */

typedef struct estimator {
    const char *name, *group, *strategy, *arch; /* strategy NULL: the score function */
    int samples, baseline;
} estimator;

#define GUMBEL(kind, tau) "gumbel", "{sample: " kind ", tau: " tau ", tau_end: " tau "}", 0, 0
static const estimator estimators[] = {
    {"softmax mixture (DARTS)", "mixture", "darts", "{}", 0, 0},
    {"Gumbel mixture, tau 5", "mixture", GUMBEL("soft", "5")},
    {"Gumbel mixture, tau 1", "mixture", GUMBEL("soft", "1")},
    {"the same, noise per sample", "mixture", GUMBEL("soft, noise: sample", "1")},
    {"Gumbel mixture, tau 0.3", "mixture", GUMBEL("soft", "0.3")},
    {"Gumbel mixture, tau 0.1", "mixture", GUMBEL("soft", "0.1")},
    {"straight-through, tau 5", "one-hot", GUMBEL("hard", "5")},
    {"straight-through, tau 1", "one-hot", GUMBEL("hard", "1")},
    {"straight-through, tau 0.3", "one-hot", GUMBEL("hard", "0.3")},
    {"one path (GDAS), tau 1", "one path", GUMBEL("one_path", "1")},
    {"one path (GDAS), tau 0.3", "one path", GUMBEL("one_path", "0.3")},
    {"one path, as GDAS' code counts", "one path", GUMBEL("one_path, skipped: sum", "1")},
    {"binary gates, all paths", "gates", "binary_gates", "{paths: all}", 0, 0},
    {"binary gates, two paths", "gates", "binary_gates", "{paths: two}", 0, 0},
    {"REINFORCE, no baseline", "score", NULL, NULL, 1, BASELINE_NONE},
    {"REINFORCE, moving baseline", "score", NULL, NULL, 1, BASELINE_MOVING},
    {"REINFORCE, 3 draws, others' mean", "score", NULL, NULL, 3, BASELINE_OTHERS},
};
enum { ESTIMATORS = sizeof estimators / sizeof *estimators };

static void write_files(const world *w, const estimator_row *row, const char *prefix, int n) {
    char about[256], *svg, *path = lode_format("%s.svg", prefix);
    lode_text csv = {0};
    snprintf(about, sizeof about,
             "three decisions of three options, %s at 8x8, one batch of %d, alpha ~ N(0, 0.25), %d "
             "steps each (REINFORCE: 50 times as many)",
             strcmp(w->dataset, "idx") == 0 ? "Fashion-MNIST" : w->dataset, (int)w->batch.n, n);
    svg = estimators_picture(row, ESTIMATORS,
                             "Gradients of the architecture against the true gradient of E[L(a)]",
                             about);
    need(svg != NULL && path != NULL ? LODE_OK : LODE_ERR_NO_MEMORY);
    need(lode_file_write_atomic(path, svg, strlen(svg)));
    lode_free(svg);
    lode_free(path);
    lode_text_add(&csv, "estimator,bias,bias_resolved_from,noise,cosine_step,cosine_mean,paths\n");
    for (int i = 0; i < ESTIMATORS; i++)
        lode_text_add(&csv, "\"%s\",%.4g,%.4g,%.4g,%.4f,%.4f,%.4g\n", row[i].name, row[i].bias,
                      row[i].floor, row[i].noise, row[i].cosine_step, row[i].cosine_mean,
                      row[i].paths);
    path = lode_format("%s.csv", prefix);
    need(path != NULL ? lode_text_status(&csv) : LODE_ERR_NO_MEMORY);
    need(lode_file_write_atomic(path, csv.s, csv.length));
    lode_text_deinit(&csv);
    lode_free(path);
}

int main(int argc, char **argv) {
    world w = {.dataset = "idx"};
    estimator_row row[ESTIMATORS];
    const char *prefix = "estimators";
    int n = 400;
    for (int i = 1; i < argc; i += 2) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (value && strcmp(argv[i], "-n") == 0)
            n = atoi(value);
        else if (value && strcmp(argv[i], "-d") == 0)
            w.dataset = value;
        else if (value && strcmp(argv[i], "-o") == 0)
            prefix = value;
        else
            n = 0;
        if (n < 2) break;
    }
    if (n < 2) {
        fprintf(stderr, "usage: bench_estimators [-n DRAWS] [-d DATASET] [-o PREFIX]\n");
        return 2;
    }
    world_open(&w);
    world_train(&w);
    world_enumerate(&w);
    double best = INFINITY, worst = 0;
    for (int a = 0; a < ARCHS; a++) best = fmin(best, w.loss[a]), worst = fmax(worst, w.loss[a]);
    printf("losses of the 27 architectures: %.4f to %.4f; |g*| = %.4g\n\n", best, worst, w.length);
    printf("%-36s %9s %9s %9s %9s %9s %6s\n", "", "bias", "resolved", "noise", "cos step",
           "cos mean", "paths");
    for (int i = 0; i < ESTIMATORS; i++) {
        const estimator *e = &estimators[i];
        draws d = {0};
        if (e->strategy != NULL)
            run_strategy(&w, e->strategy, e->arch, n, &d);
        else
            run_score(&w, e->samples, e->baseline, 50 * n, &d);
        row[i] = summarize(&w, e->name, e->group, &d);
        printf("%-36s %9.3g %9.3g %9.3g %9.3f %9.3f %6.2f\n", row[i].name, row[i].bias,
               row[i].floor, row[i].noise, row[i].cosine_step, row[i].cosine_mean, row[i].paths);
        fflush(stdout);
    }
    write_files(&w, row, prefix, n);
    world_close(&w);
    return 0;
}
