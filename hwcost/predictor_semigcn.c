/* predictor_semigcn.c   the graph network of predictor_gcn.c, which first learns the space without
   targets.

   An auto-encoder: from the embedding of a cell (the mean over the nodes of its graph) a linear
   layer has to say which option every edge has. It is trained on architectures drawn from the
   space, which cost nothing, before the network sees a target; afterwards both errors count,

       L = (error of f)^2 + fit.reconstruct * cross-entropy of the options

   After SemiNAS (Luo et al. 2020), whose weights 0.8 and 0.2 are the default's ratio, and the
   semi-supervised assessor of Tang et al. 2020. Deviations: the encoder is the graph network, where
   SemiNAS has an LSTM; no graph between architectures as the assessor has; no pseudo-labels.
   (methods F4) */
#include "hwcost/predictor_internal.h"
#include "ops/ops.h"

#include <math.h>

/* Options of the decision that has most. */
static int64_t semigcn_options(const lode_space *space) {
    int64_t most = 0;
    for (int d = 0; d < lode_space_n_decisions(space); d++)
        if (lode_space_decision(space, d)->n_options > most)
            most = lode_space_decision(space, d)->n_options;
    return most;
}

static lode_status semigcn_build(predictor_net *net) {
    const lode_space *space = lode_encoding_space(net->encoding);
    int64_t width = predictor_gcn_width(net), k = semigcn_options(space);
    int64_t columns = lode_space_n_decisions(space) * k;
    lode_tensor *split = NULL;
    LODE_TRY(predictor_gcn_add(net));
    LODE_TRY(predictor_net_add_linear(net, "out", 0, width, 1, 0));
    LODE_TRY(predictor_net_add_linear(net, "decoder", 0, width, columns, sqrt(1 / (double)width)));
    /* x SPLIT: a row of k for every decision */
    LODE_TRY(predictor_net_add_constant(
        net, "split", &LODE_SHAPE2(lode_encoding_n(net->encoding), columns), &split));
    for (int d = 0; d < lode_space_n_decisions(space); d++)
        for (int o = 0; o < lode_space_decision(space, d)->n_options; o++)
            lode_put(split, (lode_encoding_at(net->encoding, d) + o) * columns + d * k + o, 1);
    return LODE_OK;
}

static lode_var *semigcn_forward(const predictor_net *net, lode_tape *t, lode_var *const *w,
                                 lode_var *x) {
    lode_var *const *out = w + predictor_gcn_n_tensors(net);
    return lode_linear(t, predictor_gcn_embed(net, t, w, x), out[0], out[1]);
}

static lode_var *semigcn_decode(const predictor_net *net, lode_tape *t, lode_var *const *w,
                                lode_var *x, lode_var **options) {
    lode_var *const *decoder = w + predictor_gcn_n_tensors(net) + 2;
    const lode_space *space = lode_encoding_space(net->encoding);
    lode_shape rows = LODE_SHAPE2(-1, semigcn_options(space));
    *options = lode_reshape(t, lode_matmul(t, x, decoder[2], (lode_matmul_params){0}), &rows);
    return lode_reshape(
        t, lode_linear(t, predictor_gcn_embed(net, t, w, x), decoder[0], decoder[1]), &rows);
}

static const predictor_net_kind semigcn_kind = {.build = semigcn_build,
                                                .forward = semigcn_forward,
                                                .decode = semigcn_decode,
                                                .lr = 3,
                                                .decay = 0.01,
                                                .alone = true};

static lode_status semigcn_fit(predictor_job *job, void **self) {
    return predictor_net_fit(&semigcn_kind, job, self);
}

static lode_status semigcn_load(const lode_encoding *encoding,
                                const lode_predictor_options *options, lode_tensor_file *file,
                                void **self) {
    return predictor_net_load(&semigcn_kind, encoding, options, file, self);
}

const lode_predictor_plugin lode_predictor_semigcn = {
    .name = "semigcn",
    .about = "the graph network, trained as an auto-encoder of the space first (Luo et al. 2020; "
             "Tang et al. 2020)",
    .needs_options = true,
    .check = predictor_gcn_check,
    .fit = semigcn_fit,
    .load = semigcn_load,
    .tensors = predictor_net_tensors,
    .destroy = predictor_net_destroy,
    .predict = predictor_net_predict,
};
