/* job.c: writing and reading job directories (job.h). Networks and calls are written from the same
   thing, a TRACE tape whose given values have contents; what it computes is run here once, so that
   the program on the device can tell whether it runs the same. */
#include "hwcost/job.h"

#include "core/memory.h"
#include "core/platform.h"
#include "hwcost/job_params.h"
#include "ops/replay.h"
#include "tensor/tensor_io.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define JOB_FORMAT  "lode-job"
#define JOB_VERSION 1

const char *lode_job_kind_name(lode_job_kind kind) {
    static const char *const names[] = {"floor", "call", "network"};
    return names[kind];
}

/* ---- writing ---- */

typedef struct job_writer {
    const char *directory, *name;
    lode_job_kind kind;
    const lode_job_protocol *protocol;
    const lode_tape *trace;
    lode_var *y;
    lode_tensor *x[LODE_MAX_INPUTS]; /* contents of inputs; those of weights are on the trace */
    lode_var *x_var[LODE_MAX_INPUTS];
    int n_x;
    lode_tensor *expected;
} job_writer;

typedef char job_name[16];
static const char *job_value_name(int id, job_name out) {
    snprintf(out, sizeof(job_name), "v%d", id);
    return out;
}

static json_t *job_shape(const lode_tensor *t) {
    json_t *list = json_array();
    for (int d = 0; d < t->shape.n_dims; d++)
        json_array_append_new(list, json_integer((json_int_t)t->shape.dim[d]));
    return list;
}

static lode_status job_call_json(const lode_trace_call *c, json_t *calls) {
    json_t *params = NULL, *inputs = json_array();
    job_name name;
    int n = c->call.n_x;
    lode_status status = job_params_json(&c->call, &params);
    if (status != LODE_OK) {
        json_decref(inputs);
        return status;
    }
    while (n > 0 && c->call.x[n - 1] == NULL) n--;
    for (int k = 0; k < n; k++)
        json_array_append_new(inputs, c->call.x[k] ? json_string(job_value_name(c->x_id[k], name))
                                                   : json_null());
    json_t *j =
        json_pack("{s:s, s:s, s:o, s:o, s:s, s:o, s:b}", "op", c->call.op->name, "label", c->label,
                  "params", params, "inputs", inputs, "output", job_value_name(c->y_id, name),
                  "shape", job_shape(c->call.y), "view", c->is_view);
    return json_array_append_new(calls, j) == 0 ? LODE_OK : LODE_ERR_NO_MEMORY;
}

static bool job_is_input(const job_writer *w, int id) {
    for (int i = 0; i < w->n_x; i++)
        if (lode_trace_id(w->x_var[i]) == id) return true;
    return false;
}

/* Inputs, then weights that some call reads, then the expected result. */
static lode_status job_tensors(const job_writer *w, json_t *weights) {
    const int n = lode_trace_n_values(w->trace);
    job_name *name = LODE_NEW_ARRAY(job_name, n + 1);
    lode_named_tensor *item = LODE_NEW_ARRAY(lode_named_tensor, n + 1);
    char *path = lode_path_join(w->directory, "tensors.safetensors");
    lode_status status = name && item && path ? LODE_OK : LODE_ERR_NO_MEMORY;
    int64_t n_items = 0;
    for (int id = 0; status == LODE_OK && id < n; id++) {
        lode_tensor *given = lode_trace_given(w->trace, id);
        for (int i = 0; i < w->n_x; i++)
            if (lode_trace_id(w->x_var[i]) == id) given = w->x[i];
        /* What was folded into others is on the trace no more; what has no contents is no weight.
         */
        if (given == NULL || given->data == NULL) continue;
        item[n_items] = (lode_named_tensor){job_value_name(id, name[n_items]), given};
        if (!job_is_input(w, id)) json_array_append_new(weights, json_string(name[n_items]));
        n_items++;
    }
    if (status == LODE_OK) {
        item[n_items] = (lode_named_tensor){"expected", w->expected};
        status = lode_tensors_save(path, item, n_items + 1, NULL);
    }
    lode_free(path);
    lode_free(item);
    lode_free(name);
    return status;
}

/* job.json last: a directory that has it is whole. */
static lode_status job_write(const job_writer *w) {
    job_name name;
    json_t *inputs = json_array(), *weights = json_array(), *calls = json_array();
    char *path = lode_path_join(w->directory, "job.json");
    json_t *j = NULL;
    lode_status status = path && inputs && weights && calls ? LODE_OK : LODE_ERR_NO_MEMORY;
    for (int i = 0; status == LODE_OK && i < w->n_x; i++)
        json_array_append_new(inputs, json_pack("{s:s, s:o, s:s}", "name",
                                                job_value_name(lode_trace_id(w->x_var[i]), name),
                                                "shape", job_shape(w->x[i]), "dtype",
                                                lode_dtype_name(w->x[i]->dtype)));
    for (int i = 0; status == LODE_OK && i < lode_trace_n(w->trace); i++)
        status = job_call_json(lode_trace_get(w->trace, i), calls);
    if (status == LODE_OK) status = lode_make_directories(w->directory);
    if (status == LODE_OK) status = job_tensors(w, weights);
    if (status == LODE_OK) {
        j = json_pack(
            "{s:s, s:i, s:s, s:s, s:I, s:I, s:i, s:b, s:O, s:s, s:O, s:O}", "format", JOB_FORMAT,
            "version", JOB_VERSION, "kind", lode_job_kind_name(w->kind), "name", w->name, "warmup",
            (json_int_t)w->protocol->warmup, "repeats", (json_int_t)w->protocol->repeats, "threads",
            w->protocol->threads, "energy", w->protocol->energy, "inputs", inputs, "output",
            job_value_name(lode_trace_id(w->y), name), "weights", weights, "calls", calls);
        status = j ? lode_json_write(path, j) : LODE_ERR_NO_MEMORY;
    }
    json_decref(j);
    json_decref(inputs);
    json_decref(weights);
    json_decref(calls);
    lode_free(path);
    return status == LODE_OK ? LODE_OK : lode_error_context("job %s", w->name);
}

/* The result of the trace on the inputs, as this machine computes it. */
static lode_status job_expect(job_writer *w, lode_dispatch *dispatch) {
    lode_replay *replay = NULL;
    lode_tensor *y = NULL;
    lode_status status = lode_replay_create(w->trace, w->x_var[0], w->y, dispatch, &replay);
    if (status == LODE_OK) status = lode_replay_run(replay, w->x[0], NULL, &y);
    if (status == LODE_OK) status = lode_tensor_clone(y, &w->expected);
    lode_replay_destroy(replay);
    return status;
}

static void job_writer_deinit(job_writer *w) {
    for (int i = 0; i < w->n_x; i++) lode_tensor_release(w->x[i]);
    lode_tensor_release(w->expected);
}

/* A dense tensor of the same shape. Ranges are such that results stay of the order of one, and
   variances positive. */
static lode_status job_fill(const lode_tensor *like, bool weight, lode_rng *rng,
                            lode_tensor **out) {
    const lode_layout layout =
        like->shape.n_dims == 4 && !weight ? LODE_CHANNELS_LAST : LODE_CONTIGUOUS;
    double each = 1;
    for (int d = 1; d < like->shape.n_dims; d++) each *= (double)like->shape.dim[d];
    LODE_TRY(lode_tensor_create(NULL, like->dtype, &like->shape, layout, out));
    if (weight && like->shape.n_dims == 1) return lode_tensor_fill_uniform(*out, rng, 0.5, 1.5);
    return lode_tensor_fill_normal(*out, rng, 0, weight ? 1 / sqrt(each) : 1);
}

lode_status lode_job_write_network(const char *directory, lode_supernet *net, const lode_arch *arch,
                                   int64_t batch, lode_dispatch *dispatch, const char *name,
                                   const lode_job_protocol *protocol) {
    job_writer w = {.directory = directory,
                    .name = name,
                    .kind = LODE_JOB_NETWORK,
                    .protocol = protocol,
                    .n_x = 1};
    lode_rng rng = lode_rng_stream(1, LODE_RNG_MEASURE, 1);
    lode_supernet *own = NULL;
    lode_tape *trace = NULL;
    lode_status status = LODE_OK;
    if (arch != NULL && lode_space_has_sizes(lode_supernet_space(net))) {
        LODE_GOTO(lode_supernet_extract(net, arch, &own));
        net = own;
        arch = NULL;
    }
    LODE_GOTO(lode_tape_create(LODE_TRACE, NULL, &trace));
    LODE_GOTO(lode_supernet_trace_deployed(net, arch, batch, trace, &w.x_var[0], &w.y));
    w.trace = trace;
    LODE_GOTO(job_fill(w.x_var[0]->value, false, &rng, &w.x[0]));
    LODE_GOTO(job_expect(&w, dispatch));
    LODE_GOTO(job_write(&w));
done:
    job_writer_deinit(&w);
    lode_tape_destroy(trace);
    lode_supernet_destroy(own);
    return status;
}

lode_status lode_job_write_call(const char *directory, const lode_op_call *call, uint64_t weights,
                                lode_dispatch *dispatch, const char *name,
                                const lode_job_protocol *protocol) {
    job_writer w = {
        .directory = directory, .name = name, .kind = LODE_JOB_CALL, .protocol = protocol};
    lode_rng rng = lode_rng_stream(1, LODE_RNG_MEASURE, 1);
    lode_var *x[LODE_MAX_INPUTS] = {NULL};
    lode_tape *trace = NULL;
    lode_status status = LODE_OK;
    LODE_GOTO(lode_tape_create(LODE_TRACE, NULL, &trace));
    w.trace = trace;
    for (int k = 0; k < call->n_x; k++) {
        lode_tensor *t = NULL;
        const bool weight = weights >> k & 1;
        if (call->x[k] == NULL) continue;
        LODE_GOTO(job_fill(call->x[k], weight, &rng, &t));
        x[k] = lode_tape_constant(trace, t);
        if (!weight) {
            w.x_var[w.n_x] = x[k];
            w.x[w.n_x++] = lode_tensor_retain(t);
        }
        lode_tensor_release(t);
    }
    w.y = lode_apply(trace, call->op, x, call->n_x, call->params);
    LODE_GOTO(lode_tape_status(trace));
    LODE_GOTO(job_expect(&w, dispatch));
    LODE_GOTO(job_write(&w));
done:
    job_writer_deinit(&w);
    lode_tape_destroy(trace);
    return status;
}

lode_status lode_job_write_floor(const char *directory, lode_dispatch *dispatch,
                                 const lode_job_protocol *protocol) {
    lode_tensor *x = NULL;
    lode_shape one = LODE_SHAPE2(1, 1);
    lode_rng rng = lode_rng_stream(1, LODE_RNG_MEASURE, 1);
    job_writer w = {.directory = directory,
                    .name = "floor",
                    .kind = LODE_JOB_FLOOR,
                    .protocol = protocol,
                    .n_x = 1};
    lode_tape *trace = NULL;
    lode_status status = LODE_OK;
    LODE_GOTO(lode_tensor_create(NULL, LODE_F32, &one, LODE_CONTIGUOUS, &x));
    w.x[0] = x;
    LODE_GOTO(lode_tensor_fill_normal(x, &rng, 0, 1));
    LODE_GOTO(lode_tape_create(LODE_TRACE, NULL, &trace));
    w.trace = trace;
    w.x_var[0] = lode_tape_constant(trace, x);
    w.y = lode_relu(trace, w.x_var[0]);
    LODE_GOTO(lode_tape_status(trace));
    LODE_GOTO(job_expect(&w, dispatch));
    LODE_GOTO(job_write(&w));
done:
    job_writer_deinit(&w);
    lode_tape_destroy(trace);
    return status;
}

/* ---- reading ---- */

static lode_status job_read_number(const json_t *v, const char *path, const char *key, size_t i,
                                   double *out) {
    *out = json_number_value(v);
    if (json_is_number(v) && isfinite(*out) && *out > 0) return LODE_OK;
    return LODE_FAIL(LODE_ERR_DATA, "%s: %s[%zu] is %s, want a number above 0", path, key, i,
                     json_is_number(v) ? "not above 0" : "no number");
}

static lode_status job_read_latency(const json_t *root, const char *path, int64_t repeats,
                                    lode_job_result *out) {
    const json_t *list = json_object_get(root, "latency_ms");
    const size_t n = json_array_size(list);
    if (!json_is_array(list))
        return LODE_FAIL(LODE_ERR_DATA,
                         "%s: latency_ms is %s, want a list of milliseconds, one per repeat", path,
                         list ? "no list" : "missing");
    if ((int64_t)n < repeats)
        return LODE_FAIL(LODE_ERR_DATA,
                         "%s: latency_ms has %zu numbers, job.json asks for %lld "
                         "repeats",
                         path, n, (long long)repeats);
    out->latency_ms = LODE_NEW_ARRAY(double, n);
    if (out->latency_ms == NULL) return LODE_ERR_NO_MEMORY;
    out->n = (int64_t)n;
    for (size_t i = 0; i < n; i++)
        LODE_TRY(
            job_read_number(json_array_get(list, i), path, "latency_ms", i, &out->latency_ms[i]));
    return LODE_OK;
}

/* A number, or a list of which the median counts. */
static lode_status job_read_energy(const json_t *root, const char *path, bool wanted,
                                   lode_job_result *out) {
    const json_t *v = json_object_get(root, "energy_mj");
    const size_t n = json_array_size(v);
    lode_summary summary;
    if (v == NULL && !wanted) return LODE_OK;
    if (json_is_number(v)) return job_read_number(v, path, "energy_mj", 0, &out->energy_mj);
    if (n == 0)
        return LODE_FAIL(LODE_ERR_DATA,
                         "%s: energy_mj is %s, want millijoules per pass: a number or a list%s",
                         path, v ? "neither" : "missing", v ? "" : " (--energy asks for it)");
    double *list = LODE_NEW_ARRAY(double, n);
    lode_status status = list ? LODE_OK : LODE_ERR_NO_MEMORY;
    for (size_t i = 0; status == LODE_OK && i < n; i++)
        status = job_read_number(json_array_get(v, i), path, "energy_mj", i, &list[i]);
    if (status == LODE_OK) status = lode_summarize(list, (int64_t)n, &summary);
    if (status == LODE_OK) out->energy_mj = summary.median;
    lode_free(list);
    return status;
}

lode_status lode_job_read(const char *directory, const lode_job_protocol *protocol,
                          lode_job_result *out) {
    char *path = lode_path_join(directory, "result.json");
    json_t *root = NULL;
    lode_status status = path ? LODE_OK : LODE_ERR_NO_MEMORY;
    *out = (lode_job_result){.energy_mj = -1};
    if (path && !lode_file_exists(path))
        status = LODE_FAIL(LODE_ERR_DATA,
                           "%s is missing: the program has to write it for every "
                           "directory it is given",
                           path);
    if (status == LODE_OK) status = lode_json_read(path, &root);
    if (status == LODE_OK && !json_is_object(root))
        status = LODE_FAIL(LODE_ERR_DATA, "%s: want an object {\"latency_ms\": [...]}", path);
    if (status == LODE_OK) status = job_read_latency(root, path, protocol->repeats, out);
    if (status == LODE_OK) status = job_read_energy(root, path, protocol->energy, out);
    const char *device = json_string_value(json_object_get(root, "device"));
    if (status == LODE_OK && device) snprintf(out->device, sizeof out->device, "%s", device);
    if (status != LODE_OK) lode_job_result_deinit(out);
    json_decref(root);
    lode_free(path);
    return status;
}

void lode_job_result_deinit(lode_job_result *r) {
    lode_free(r->latency_ms);
    r->latency_ms = NULL;
    r->n = 0;
}

void lode_job_remove(const char *directory) {
    char **names = NULL;
    int64_t n = 0;
    if (!lode_is_directory(directory) || lode_list_directory(directory, &names, &n) != LODE_OK) {
        lode_error_clear();
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        char *path = lode_path_join(directory, names[i]);
        if (path && lode_file_remove(path) != LODE_OK) lode_error_clear();
        lode_free(path);
    }
    lode_names_free(names, n);
    if (lode_file_remove(directory) != LODE_OK) lode_error_clear();
}
