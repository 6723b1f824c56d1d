/* predictor_lstm.c   an LSTM over the decisions of an architecture, from input to output.

   After Peephole (Deng et al. 2017) and the surrogate of PNAS (Liu et al. 2018): one step a
   decision, in the order of the space: layers of a chain, edges of a cell, depth, kernel and
   expansion of elastic blocks. A step reads which option is chosen and which decision it is, both
   one-hot; the input weights are therefore an embedding of either. An option of the same name and
   kind is the same word wherever it stands, so that layers learn from each other. At probabilities
   a step reads the mean of the embeddings; where a decision is not read, no word at all. What is
   not an option (paths, counts, columns) joins the last state in front of one hidden layer:

       h = LSTM(words);   f = swish([h, rest] W + b) w + b

   fit.layers - 1 LSTM layers, at least one, of fit.hidden / 2 units; the forget gate begins open
   (bias 1). Deviations: one LSTM for all spaces; no epoch as an input (Peephole) and no ensemble
   (PNAS); squared error on what regression leaves over. (methods F1, F2, G3) */
#include "core/memory.h"
#include "hwcost/predictor_internal.h"
#include "ops/ops.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { LSTM_PICK, LSTM_OFFSET, LSTM_N_CONSTANTS, LSTM_TENSORS = 3 /* of a layer */ };

static int64_t lstm_units(const predictor_net *net) { return (net->options.hidden + 1) / 2; }
static int lstm_layers(const predictor_net *net) {
    return net->options.layers > 2 ? (int)net->options.layers - 1 : 1;
}
static int lstm_steps(const predictor_net *net) {
    return lode_space_n_decisions(lode_encoding_space(net->encoding));
}

/* The word of option k of decision d: the number of the first of its name and kind. Words are
   numbered as they are met; *n: how many so far. */
typedef struct lstm_words {
    int n;
    const char *text[LODE_MAX_DECISIONS * LODE_MAX_OPTIONS];
    lode_decision_kind kind[LODE_MAX_DECISIONS * LODE_MAX_OPTIONS];
} lstm_words;

static int lstm_word(lstm_words *w, const lode_decision *d, int k) {
    for (int i = 0; i < w->n; i++)
        if (w->kind[i] == d->kind && strcmp(w->text[i], d->option[k]) == 0) return i;
    w->text[w->n] = d->option[k];
    w->kind[w->n] = d->kind;
    return w->n++;
}

static int lstm_n_words(const lode_space *space, lstm_words *w) {
    w->n = 0;
    for (int d = 0; d < lode_space_n_decisions(space); d++)
        for (int k = 0; k < lode_space_decision(space, d)->n_options; k++)
            lstm_word(w, lode_space_decision(space, d), k);
    return w->n;
}

/* Steps = x PICK + OFFSET, [steps, words + steps]: the word, then which decision it is. */
static lode_status lstm_add_words(predictor_net *net, int64_t *width) {
    const lode_space *space = lode_encoding_space(net->encoding);
    int64_t steps = lstm_steps(net), features = lode_encoding_n(net->encoding);
    lode_tensor *pick = NULL, *offset = NULL;
    lode_status status = LODE_OK;
    lstm_words *words = LODE_NEW(lstm_words);
    if (!words) return LODE_ERR_NO_MEMORY;
    *width = lstm_n_words(space, words) + steps;
    LODE_GOTO(
        predictor_net_add_constant(net, "pick", &LODE_SHAPE2(features, steps * *width), &pick));
    LODE_GOTO(predictor_net_add_constant(net, "offset", &LODE_SHAPE1(steps * *width), &offset));
    for (int d = 0; d < steps; d++) {
        const lode_decision *decision = lode_space_decision(space, d);
        for (int k = 0; k < decision->n_options; k++) {
            int64_t row = lode_encoding_at(net->encoding, d) + k;
            lode_put(pick, row * steps * *width + d * *width + lstm_word(words, decision, k), 1);
        }
        lode_put(offset, d * *width + *width - steps + d, 1);
    }
done:
    lode_free(words);
    return status;
}

static lode_status lstm_add_layer(predictor_net *net, int i, int64_t in) {
    char name[32];
    int64_t h = lstm_units(net);
    snprintf(name, sizeof name, "lstm%d.input", i);
    /* two ones in a step's input, or as many units as below */
    LODE_TRY(
        predictor_net_add(net, name, &LODE_SHAPE2(4 * h, in), i == 0 ? 0.5 : 1 / sqrt((double)in)));
    snprintf(name, sizeof name, "lstm%d.state", i);
    LODE_TRY(predictor_net_add(net, name, &LODE_SHAPE2(4 * h, h), 1 / sqrt((double)h)));
    snprintf(name, sizeof name, "lstm%d.bias", i);
    LODE_TRY(predictor_net_add(net, name, &LODE_SHAPE1(4 * h), 0));
    for (int64_t j = h; j < 2 * h; j++) lode_put(net->param[net->n - 1]->value, j, 1);
    return LODE_OK;
}

static lode_status lstm_build(predictor_net *net) {
    int64_t in, h = lstm_units(net), rest = lode_encoding_n(net->encoding);
    rest -= lode_encoding_n_options(net->encoding);
    LODE_TRY(lstm_add_words(net, &in));
    for (int i = 0; i < lstm_layers(net); i++) {
        LODE_TRY(lstm_add_layer(net, i, in));
        in = h;
    }
    LODE_TRY(predictor_net_add_linear(net, "head", 0, h + rest, net->options.hidden,
                                      sqrt(2 / (double)(h + rest))));
    return predictor_net_add_linear(net, "head", 1, net->options.hidden, net->outputs, 0);
}

static lode_var *lstm_forward(const predictor_net *net, lode_tape *t, lode_var *const *w,
                              lode_var *x) {
    if (!x) return NULL;
    int64_t steps = lstm_steps(net), width = w[LSTM_OFFSET]->value->shape.dim[0] / steps;
    int64_t options = lode_encoding_n_options(net->encoding), n = lode_encoding_n(net->encoding);
    lode_var *step[LODE_MAX_DECISIONS], *joined[2];
    lode_var *all = lode_matmul(t, x, w[LSTM_PICK], (lode_matmul_params){0});
    all = lode_add(t, all, w[LSTM_OFFSET]);
    for (int64_t d = 0; d < steps; d++)
        step[d] = lode_slice(t, all, 1, d * width, (d + 1) * width, 1);
    w += LSTM_N_CONSTANTS;
    for (int i = 0; i < lstm_layers(net); i++, w += LSTM_TENSORS)
        lode_lstm(t, step, (int)steps, NULL, &(lode_recurrent){w[0], w[1], w[2], NULL}, step);
    joined[0] = step[steps - 1];
    if (options < n) joined[1] = lode_slice(t, x, 1, options, n, 1);
    lode_var *h = options < n ? lode_concat(t, joined, 2, 1) : joined[0];
    return lode_linear(t, lode_swish(t, lode_linear(t, h, w[0], w[1])), w[2], w[3]);
}

static const predictor_net_kind lstm_kind = {.build = lstm_build, .forward = lstm_forward};

static lode_status lstm_fit(predictor_job *job, void **self) {
    return predictor_net_fit(&lstm_kind, job, self);
}

static lode_status lstm_load(const lode_encoding *encoding, const lode_predictor_options *options,
                             lode_tensor_file *file, void **self) {
    return predictor_net_load(&lstm_kind, encoding, options, file, self);
}

const lode_predictor_plugin lode_predictor_lstm = {
    .name = "lstm",
    .about = "an LSTM over the decisions (Deng et al. 2017; Liu et al. 2018), on top of ridge "
             "regression",
    .needs_options = true,
    .fit = lstm_fit,
    .load = lstm_load,
    .tensors = predictor_net_tensors,
    .destroy = predictor_net_destroy,
    .predict = predictor_net_predict,
    .outputs = predictor_net_outputs,
    .combine = predictor_net_combine,
};
