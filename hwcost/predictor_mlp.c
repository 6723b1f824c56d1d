/* predictor_mlp.c   a multilayer perceptron on the encoding.

   h_1 = swish(x W_1 + b_1), h_i = swish(h_{i-1} W_i + b_i), f = h_L w + b. Swish instead of ReLU:
   the gradient with respect to probabilities is then continuous. The last layer begins at zero, so
   the network begins as the ridge regression. (methods D5, B4) */
#include "hwcost/predictor_internal.h"
#include "ops/ops.h"

#include <math.h>

static lode_status mlp_build(predictor_net *net) {
    const lode_encoding *e = net->encoding;
    int64_t in = lode_encoding_n(e);
    /* a row of options has few ones: one per decision that is read */
    int64_t ones =
        lode_encoding_n_options(e) > 0 ? lode_space_n_decisions(lode_encoding_space(e)) : 0;
    for (int i = 0; i < net->options.layers; i++) {
        int64_t fan = i == 0 ? ones + in - lode_encoding_n_binary(e) : in;
        LODE_TRY(predictor_net_add_linear(net, "layer", i, in, net->options.hidden,
                                          sqrt(2 / (double)fan)));
        in = net->options.hidden;
    }
    return predictor_net_add_linear(net, "layer", (int)net->options.layers, in, net->outputs, 0);
}

static lode_var *mlp_forward(const predictor_net *net, lode_tape *t, lode_var *const *w,
                             lode_var *x) {
    for (int i = 0; i < net->options.layers; i++)
        x = lode_swish(t, lode_linear(t, x, w[2 * i], w[2 * i + 1]));
    return lode_linear(t, x, w[2 * net->options.layers], w[2 * net->options.layers + 1]);
}

static const predictor_net_kind mlp_kind = {.build = mlp_build, .forward = mlp_forward};

static lode_status mlp_fit(predictor_job *job, void **self) {
    return predictor_net_fit(&mlp_kind, job, self);
}

static lode_status mlp_load(const lode_encoding *encoding, const lode_predictor_options *options,
                            lode_tensor_file *file, void **self) {
    return predictor_net_load(&mlp_kind, encoding, options, file, self);
}

const lode_predictor_plugin lode_predictor_mlp = {
    .name = "mlp",
    .about = "a multilayer perceptron on the encoding, on top of ridge regression",
    .fit = mlp_fit,
    .load = mlp_load,
    .tensors = predictor_net_tensors,
    .destroy = predictor_net_destroy,
    .predict = predictor_net_predict,
    .outputs = predictor_net_outputs,
    .combine = predictor_net_combine,
};
