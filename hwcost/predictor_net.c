/* predictor_net.c: a predictor that is a network: parameters, answers, files. See
   predictor_internal.h; predictor_train.c trains it. */
#include "core/memory.h"
#include "hwcost/predictor_internal.h"
#include "ops/ops.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum {
    NET_CHUNK = 256, /* rows that are answered at once */
    NET_JUDGES = 50  /* rows for validation that can tell two networks apart */
};

/* ---- parameters ---- */

static lode_status net_add(predictor_net *net, const char *name, lode_parameter_kind kind,
                           const lode_shape *shape, bool saved, lode_parameter **out) {
    if (net->n == PREDICTOR_MAX_TENSORS)
        return LODE_FAIL(LODE_ERR_UNSUPPORTED,
                         "predictor: more than %d tensors; fewer layers (fit.layers)",
                         PREDICTOR_MAX_TENSORS);
    LODE_TRY(lode_parameter_create(name, kind, LODE_F32, shape, out));
    net->saved[net->n] = saved;
    net->param[net->n++] = *out;
    return LODE_OK;
}

lode_status predictor_net_add(predictor_net *net, const char *name, const lode_shape *shape,
                              double std) {
    lode_parameter *p = NULL;
    lode_rng rng = lode_rng_stream(net->seed, LODE_RNG_INIT, lode_hash_text(name));
    LODE_TRY(net_add(net, name, shape->n_dims > 1 ? LODE_PARAM_WEIGHT : LODE_PARAM_BIAS, shape,
                     true, &p));
    return std > 0 ? lode_tensor_fill_normal(p->value, &rng, 0, std) : LODE_OK;
}

lode_status predictor_net_add_linear(predictor_net *net, const char *name, int i, int64_t in,
                                     int64_t out, double std) {
    char text[64];
    snprintf(text, sizeof text, "%s%d.weight", name, i);
    LODE_TRY(predictor_net_add(net, text, &LODE_SHAPE2(out, in), std));
    snprintf(text, sizeof text, "%s%d.bias", name, i);
    return predictor_net_add(net, text, &LODE_SHAPE1(out), 0);
}

lode_status predictor_net_add_constant(predictor_net *net, const char *name,
                                       const lode_shape *shape, lode_tensor **out) {
    lode_parameter *p = NULL;
    LODE_TRY(net_add(net, name, LODE_PARAM_RUNNING, shape, false, &p));
    *out = p->value;
    return LODE_OK;
}

/* ---- life ---- */

void predictor_net_destroy(void *self) {
    predictor_net *net = self;
    if (!net) return;
    lode_tape_destroy(net->tape);
    for (int i = 0; i < net->n; i++) {
        lode_parameter_destroy(net->param[i]);
        lode_tensor_release(net->wide[i]);
    }
    lode_free(net);
}

static lode_status net_create(const predictor_net_kind *kind, const lode_encoding *encoding,
                              const lode_predictor_options *options, int outputs, uint64_t seed,
                              predictor_net **out) {
    lode_parameter *p = NULL;
    lode_status status = LODE_OK;
    predictor_net *net = LODE_NEW(predictor_net);
    *out = NULL;
    if (!net) return LODE_ERR_NO_MEMORY;
    net->kind = kind;
    net->encoding = encoding;
    net->options = *options;
    net->seed = seed;
    net->outputs = outputs;
    LODE_GOTO(net_add(net, "ridge.weight", LODE_PARAM_RUNNING,
                      &LODE_SHAPE2(outputs, lode_encoding_n(encoding)), true, &p));
    LODE_GOTO(net_add(net, "ridge.bias", LODE_PARAM_RUNNING, &LODE_SHAPE1(outputs), true, &p));
    LODE_GOTO(kind->build(net));
    LODE_GOTO(lode_tape_create(LODE_TRAIN, NULL, &net->tape));
    *out = net;
    net = NULL;
done:
    predictor_net_destroy(net);
    return status;
}

/* What answers are made of: the parameters in f64. */
static lode_status net_widen(predictor_net *net) {
    for (int i = 0; i < net->n; i++) {
        const lode_tensor *value = net->param[i]->value;
        LODE_TRY(lode_tensor_create(NULL, LODE_F64, &value->shape, LODE_CONTIGUOUS, &net->wide[i]));
        LODE_TRY(lode_tensor_copy(net->wide[i], value));
    }
    return LODE_OK;
}

static lode_status net_set_ridge(predictor_net *net, const predictor_job *job) {
    int f = lode_encoding_n(net->encoding);
    double *w = LODE_NEW_ARRAY(double, (int64_t)job->outputs *(f + 1));
    if (!w) return LODE_ERR_NO_MEMORY;
    lode_status status = predictor_ridge_best(job, false, w); /* validation must stay unseen */
    for (int64_t o = 0; o < job->outputs && status == LODE_OK; o++) {
        const double *row = w + o * (f + 1);
        for (int i = 0; i < f; i++) lode_put(net->param[0]->value, o * f + i, row[i]);
        lode_put(net->param[1]->value, o, row[f]);
    }
    lode_free(w);
    return status;
}

/* Fits one network; *error: its mean squared error on the rows for validation. */
static lode_status net_fit_one(const predictor_net_kind *kind, predictor_job *job, bool ridge,
                               predictor_net **out, double *error) {
    predictor_net *net = NULL;
    const int64_t n = job->valid.n * job->outputs;
    double *y = LODE_NEW_ARRAY(double, n + 1);
    lode_status status = LODE_OK;
    *out = NULL;
    *error = 0;
    LODE_GOTO(y ? LODE_OK : LODE_ERR_NO_MEMORY);
    LODE_GOTO(net_create(kind, job->encoding, job->options, job->outputs, job->seed, &net));
    if (ridge) LODE_GOTO(net_set_ridge(net, job));
    LODE_GOTO(predictor_net_train(net, job));
    LODE_GOTO(net_widen(net));
    LODE_GOTO(predictor_net_predict(net, job->valid.x, job->valid.n, y, NULL));
    for (int64_t i = 0; i < n; i++) {
        const double e = y[i] - job->valid.y[i];
        *error += e * e / (double)n;
    }
    *out = net;
    net = NULL;
done:
    lode_free(y);
    predictor_net_destroy(net);
    return status;
}

/* With and without the regression; the one that validates better stays.

   Which is better depends on device and number of rows. A graph network that learns what the
   regression leaves over learns little: on LatBench's CPUs it stays where the regression is (1.24
   ms), while alone it finds which edges a tool removes (0.52 ms from 1000 rows). From 100 rows it
   does not, and the 15 for validation, which also choose its epoch, do not show that: they called
   it up to twice as good where it was a quarter worse. So it must be judged by NET_JUDGES. */
static lode_status net_fit_both(const predictor_net_kind *kind, predictor_job *job,
                                predictor_net **out) {
    predictor_net *above = NULL, *alone = NULL;
    double error_above, error_alone;
    predictor_job second = *job;
    lode_status status = LODE_OK;
    *out = NULL;
    LODE_GOTO(net_fit_one(kind, job, true, &above, &error_above));
    LODE_GOTO(net_fit_one(kind, &second, false, &alone, &error_alone));
    if (error_alone < error_above) {
        *job = second;
        *out = alone;
        alone = NULL;
    } else {
        *out = above;
        above = NULL;
    }
done:
    predictor_net_destroy(above);
    predictor_net_destroy(alone);
    return status;
}

lode_status predictor_net_fit(const predictor_net_kind *kind, predictor_job *job, void **self) {
    const int ridge = job->options->ridge;
    predictor_net *net = NULL;
    double error;
    *self = NULL;
    if (ridge == LODE_RIDGE_AUTO && kind->alone && job->valid.n >= NET_JUDGES)
        LODE_TRY(net_fit_both(kind, job, &net));
    else
        LODE_TRY(net_fit_one(kind, job, ridge != LODE_RIDGE_FALSE, &net, &error));
    *self = net;
    return LODE_OK;
}

/* As many as the regression below has. */
static lode_status net_find_outputs(lode_tensor_file *file, int *out) {
    lode_tensor *w = NULL;
    LODE_TRY(lode_tensors_get(file, "ridge.weight", &w));
    int64_t n = w->shape.n_dims == 2 ? w->shape.dim[0] : 0;
    lode_tensor_release(w);
    if (n < 1 || n > PREDICTOR_MAX_OUTPUTS)
        return LODE_FAIL(LODE_ERR_DATA,
                         "tensor ridge.weight: want [outputs, features], at most %d "
                         "outputs",
                         PREDICTOR_MAX_OUTPUTS);
    *out = (int)n;
    return LODE_OK;
}

lode_status predictor_net_load(const predictor_net_kind *kind, const lode_encoding *encoding,
                               const lode_predictor_options *options, lode_tensor_file *file,
                               void **self) {
    predictor_net *net = NULL;
    int outputs = 1;
    lode_status status = LODE_OK;
    *self = NULL;
    LODE_TRY(net_find_outputs(file, &outputs));
    LODE_TRY(net_create(kind, encoding, options, outputs, 0, &net));
    for (int i = 0; i < net->n; i++)
        if (net->saved[i])
            LODE_GOTO(lode_tensors_load_into(file, net->param[i]->name, net->param[i]->value));
    LODE_GOTO(net_widen(net));
    *self = net;
    net = NULL;
done:
    predictor_net_destroy(net);
    return status;
}

int64_t predictor_net_tensors(const void *self, lode_named_tensor items[PREDICTOR_MAX_TENSORS]) {
    const predictor_net *net = self;
    int64_t n = 0;
    for (int i = 0; i < net->n; i++)
        if (net->saved[i])
            items[n++] = (lode_named_tensor){net->param[i]->name, net->param[i]->value};
    return n;
}

/* ---- answers ---- */

lode_var *predictor_net_output(const predictor_net *net, lode_tape *t, lode_var *const *w,
                               lode_var *x) {
    lode_var *f = net->kind->forward(net, t, w + PREDICTOR_NET_FIRST, x);
    return lode_add(t, lode_linear(t, x, w[0], w[1]), f);
}

static lode_status net_predict_chunk(predictor_net *net, const double *x, int64_t n, double *y,
                                     double *dx) {
    int64_t f = lode_encoding_n(net->encoding);
    lode_tensor *rows = NULL, *ones = NULL, *grad = NULL;
    lode_var *w[PREDICTOR_MAX_TENSORS], *in, *out;
    lode_status status = LODE_OK;
    lode_tape_reset(net->tape);
    LODE_GOTO(lode_tensor_create(NULL, LODE_F64, &LODE_SHAPE2(n, f), LODE_CONTIGUOUS, &rows));
    memcpy(rows->data, x, (size_t)(n * f) * sizeof *x);
    for (int i = 0; i < net->n; i++) w[i] = lode_tape_constant(net->tape, net->wide[i]);
    in = dx ? lode_tape_leaf(net->tape, rows, &grad) : lode_tape_constant(net->tape, rows);
    out = predictor_net_output(net, net->tape, w, in);
    LODE_GOTO(lode_tape_status(net->tape));
    for (int64_t i = 0; i < n * net->outputs; i++) y[i] = lode_at(out->value, i);
    if (!dx) goto done;
    /* rows do not meet, so the gradient of their sum is each one's own */
    LODE_GOTO(lode_tensor_like(out->value, &ones));
    LODE_GOTO(lode_tensor_fill(ones, 1));
    LODE_GOTO(lode_backward_from(net->tape, out, ones));
    for (int64_t i = 0; i < n * f; i++) dx[i] = grad ? lode_at(grad, i) : 0;
done:
    lode_tape_reset(net->tape);
    lode_tensor_release(rows);
    lode_tensor_release(ones);
    lode_tensor_release(grad);
    return status;
}

lode_status predictor_net_predict(void *self, const double *x, int64_t n, double *y, double *dx) {
    predictor_net *net = self;
    int64_t f = lode_encoding_n(net->encoding);
    for (int64_t i = 0; i < n; i += NET_CHUNK) {
        int64_t m = n - i < NET_CHUNK ? n - i : NET_CHUNK;
        LODE_TRY(
            net_predict_chunk(net, x + i * f, m, y + i * net->outputs, dx ? dx + i * f : NULL));
    }
    return LODE_OK;
}

int predictor_net_outputs(const void *self) { return ((const predictor_net *)self)->outputs; }

/* ---- one output of several ---- */

/* to [1, n] = sum a[o] from[o, n], + r [n] unless NULL. */
static void net_mix(const predictor_net *net, const lode_tensor *from, const double *a,
                    const double *r, lode_tensor *to) {
    int64_t n = from->shape.dim[0] / net->outputs;
    if (from->shape.n_dims == 2) n = from->shape.dim[1];
    for (int64_t k = 0; k < n; k++) {
        double sum = r ? r[k] : 0;
        for (int o = 0; o < net->outputs; o++) sum += a[o] * lode_at(from, o * n + k);
        lode_put(to, k, sum);
    }
}

lode_status predictor_net_combine(const void *self, const lode_encoding *encoding, const double *a,
                                  const double *r, double b, void **out) {
    const predictor_net *net = self;
    predictor_net *one = NULL;
    lode_status status = LODE_OK;
    *out = NULL;
    LODE_TRY(net_create(net->kind, encoding, &net->options, 1, net->seed, &one));
    net_mix(net, net->param[0]->value, a, r, one->param[0]->value);
    net_mix(net, net->param[1]->value, a, &b, one->param[1]->value);
    for (int i = PREDICTOR_NET_FIRST; i < net->n; i++) {
        if (i >= net->n - 2)
            net_mix(net, net->param[i]->value, a, NULL, one->param[i]->value);
        else
            LODE_GOTO(lode_tensor_copy(one->param[i]->value, net->param[i]->value));
    }
    LODE_GOTO(net_widen(one));
    *out = one;
    one = NULL;
done:
    predictor_net_destroy(one);
    return status;
}
