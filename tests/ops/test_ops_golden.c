/* labels: unit, golden
   Every operator, forward and backward, against PyTorch: tests/golden/ops.safetensors, made by
   tests/golden/make_ops.py. The reference runs in f64 and must agree to 1e-12; the fastest provider
   runs in f32. The file says operator, parameters and inputs of each case; here stands only how a
   parameter struct is filled from its JSON. */
#include "core/json.h"
#include "support/hand.h"
#include "support/walk.h"
#include "tensor/tensor_io.h"

#include <math.h>

/* ---- parameters ---- */
typedef enum field_type { I32, I64, U64, F64 } field_type;
typedef struct field {
    const char *op, *name;
    field_type type;
    size_t offset;
} field;

#define FIELD(op, type, params, name)                                                              \
    { op, #name, type, offsetof(params, name) }
static const field fields[] = {
    FIELD("avg_pool", I32, lode_pool_params, kernel),
    FIELD("avg_pool", I32, lode_pool_params, stride),
    FIELD("avg_pool", I32, lode_pool_params, pad),
    FIELD("avg_pool", I32, lode_pool_params, count_include_pad),
    FIELD("avg_pool", I32, lode_pool_params, ceil_mode),
    FIELD("batch_matmul", I32, lode_matmul_params, transpose_a),
    FIELD("batch_matmul", I32, lode_matmul_params, transpose_b),
    FIELD("batch_norm", F64, lode_batch_norm_params, eps),
    FIELD("batch_norm", F64, lode_batch_norm_params, momentum),
    FIELD("batch_norm", I32, lode_batch_norm_params, use_batch),
    FIELD("batch_norm", I32, lode_batch_norm_params, update_running),
    FIELD("bilinear_upsample", I32, lode_upsample_params, height),
    FIELD("bilinear_upsample", I32, lode_upsample_params, width),
    FIELD("bilinear_upsample", I32, lode_upsample_params, align_corners),
    FIELD("channel_shuffle", I32, lode_channel_shuffle_params, groups),
    FIELD("concat", I32, lode_concat_params, dim),
    FIELD("conv_act", I32, lode_conv_act_params, conv.stride),
    FIELD("conv_act", I32, lode_conv_act_params, conv.pad),
    FIELD("conv_act", I32, lode_conv_act_params, conv.dilation),
    FIELD("conv_act", I32, lode_conv_act_params, conv.groups),
    FIELD("conv_act", I32, lode_conv_act_params, act),
    FIELD("conv2d", I32, lode_conv2d_params, stride),
    FIELD("conv2d", I32, lode_conv2d_params, pad),
    FIELD("conv2d", I32, lode_conv2d_params, dilation),
    FIELD("conv2d", I32, lode_conv2d_params, groups),
    FIELD("cross_entropy", F64, lode_cross_entropy_params, smoothing),
    FIELD("dropout", U64, lode_dropout_params, seed),
    FIELD("dropout", U64, lode_dropout_params, index),
    FIELD("dropout", U64, lode_dropout_params, position),
    FIELD("dropout", F64, lode_dropout_params, p),
    FIELD("dropout", I32, lode_dropout_params, purpose),
    FIELD("dropout", I32, lode_dropout_params, per_sample),
    FIELD("gumbel_noise", U64, lode_gumbel_params, seed),
    FIELD("gumbel_noise", U64, lode_gumbel_params, index),
    FIELD("gumbel_noise", U64, lode_gumbel_params, position),
    FIELD("gumbel_noise", I64, lode_gumbel_params, dim),
    FIELD("gumbel_noise", I32, lode_gumbel_params, purpose),
    FIELD("gumbel_noise", I32, lode_gumbel_params, n_dims),
    FIELD("kl_div", F64, lode_kl_div_params, temperature),
    FIELD("layer_norm", F64, lode_layer_norm_params, eps),
    FIELD("leaky_relu", F64, lode_leaky_relu_params, slope),
    FIELD("grid_scatter", I32, lode_grid_params, height),
    FIELD("grid_scatter", I32, lode_grid_params, width),
    FIELD("grid_subsample", I32, lode_grid_params, height),
    FIELD("grid_subsample", I32, lode_grid_params, width),
    FIELD("matmul", I32, lode_matmul_params, transpose_a),
    FIELD("matmul", I32, lode_matmul_params, transpose_b),
    FIELD("max_pool", I32, lode_pool_params, kernel),
    FIELD("max_pool", I32, lode_pool_params, stride),
    FIELD("max_pool", I32, lode_pool_params, pad),
    FIELD("max_pool", I32, lode_pool_params, count_include_pad),
    FIELD("max_pool", I32, lode_pool_params, ceil_mode),
    FIELD("mbconv", F64, lode_mbconv_params, eps),
    FIELD("mbconv", F64, lode_mbconv_params, momentum),
    FIELD("mbconv", I32, lode_mbconv_params, stride),
    FIELD("mbconv", I32, lode_mbconv_params, act),
    FIELD("mbconv", I32, lode_mbconv_params, residual),
    FIELD("mbconv", I32, lode_mbconv_params, update_running),
    FIELD("pad", I64, lode_pad_params, before),
    FIELD("pad", I64, lode_pad_params, after),
    FIELD("pad", F64, lode_pad_params, value),
    FIELD("prefix_mask", I32, lode_prefix_mask_params, width),
    FIELD("prefix_mask", I32, lode_prefix_mask_params, n),
    FIELD("prefix_mask", I32, lode_prefix_mask_params, channels),
    FIELD("reduce_max", I32, lode_reduce_params, dims),
    FIELD("reduce_max", I32, lode_reduce_params, keep),
    FIELD("reduce_mean", I32, lode_reduce_params, dims),
    FIELD("reduce_mean", I32, lode_reduce_params, keep),
    FIELD("reduce_sum", I32, lode_reduce_params, dims),
    FIELD("reduce_sum", I32, lode_reduce_params, keep),
    FIELD("reshape", I64, lode_reshape_params, dim),
    FIELD("reshape", I32, lode_reshape_params, n_dims),
    FIELD("scale", F64, lode_scale_params, factor),
    FIELD("scale", F64, lode_scale_params, shift),
    FIELD("slice", I64, lode_slice_params, begin),
    FIELD("slice", I64, lode_slice_params, end),
    FIELD("slice", I64, lode_slice_params, step),
    FIELD("slice", I32, lode_slice_params, dim),
    FIELD("transpose", I32, lode_transpose_params, perm),
    FIELD("weighted_sum", U64, lode_weighted_sum_params, present),
    FIELD("weighted_sum", I32, lode_weighted_sum_params, k),
    FIELD("zero", I32, lode_zero_params, stride),
    FIELD("zero", I32, lode_zero_params, channels),
};

static void put_number(field_type type, void *at, const json_t *v) {
    int32_t i32 = (int32_t)json_integer_value(v);
    int64_t i64 = json_integer_value(v);
    double f64 = json_number_value(v);
    if (type == I32)
        memcpy(at, &i32, sizeof i32);
    else if (type == F64)
        memcpy(at, &f64, sizeof f64);
    else
        memcpy(at, &i64, sizeof i64);
}

static void put_field(const field *f, unsigned char *params, const json_t *v) {
    size_t size = f->type == I32 ? 4 : 8, n = json_is_array(v) ? json_array_size(v) : 1;
    for (size_t i = 0; i < n; i++)
        put_number(f->type, params + f->offset + i * size,
                   json_is_array(v) ? json_array_get(v, i) : v);
}

/* Every key of the JSON must be a field of the operator. */
static void fill_params(const char *op, json_t *json, unsigned char *params) {
    const char *key;
    json_t *v;
    json_object_foreach(json, key, v) {
        bool known = false;
        for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
            if (strcmp(fields[i].op, op) == 0 && strcmp(fields[i].name, key) == 0) {
                put_field(&fields[i], params, v);
                known = true;
            }
        if (!known) fail_msg("%s has no parameter \"%s\"", op, key);
    }
}

/* ---- one case ---- */

typedef struct golden {
    lode_tensor_file *file;
    json_t *cases;
} golden;

static lode_tensor *stored(const golden *g, const char *name, const char *what, int i) {
    char full[96];
    lode_tensor *t = NULL;
    if (i < 0)
        snprintf(full, sizeof full, "%s.%s", name, what);
    else
        snprintf(full, sizeof full, "%s.%s%d", name, what, i);
    return lode_tensors_get(g->file, full, &t) == LODE_OK ? t : NULL;
}

/* As an operator wants it: floats in `dtype`, images channels-last. */
static lode_tensor *as_input(lode_tensor *t, lode_dtype dtype) {
    lode_tensor *out = NULL;
    if (t == NULL || lode_dtype_epsilon(t->dtype) <= 0) return t;
    lode_layout layout = t->shape.n_dims == 4 ? LODE_CHANNELS_LAST : LODE_CONTIGUOUS;
    assert_ok(lode_tensor_create(NULL, dtype, &t->shape, layout, &out));
    assert_ok(lode_tensor_copy(out, t));
    lode_tensor_release(t);
    return out;
}

/* `what` is "y", or "dx", "after" of input i. */
static void check_tensor(const golden *g, const char *name, const char *what, int i,
                         const lode_tensor *seen, double tolerance) {
    lode_tensor *want = stored(g, name, what, i);
    char who[96], a[128], b[128];
    if (i < 0)
        snprintf(who, sizeof who, "%s: %s", name, what);
    else
        snprintf(who, sizeof who, "%s: %s[%d]", name, what, i);
    if (want == NULL) fail_msg("%s is not in the file", who);
    if (seen == NULL) fail_msg("%s is absent", who);
    if (!lode_shape_equal(&want->shape, &seen->shape))
        fail_msg("%s is %s, not %s", who, lode_shape_print(&seen->shape, a),
                 lode_shape_print(&want->shape, b));
    double off = walk_distance(want, seen), limit = tolerance * fmax(1, walk_largest(want));
    if (off > limit) fail_msg("%s is off by %g, allowed is %g", who, off, limit);
    lode_tensor_release(want);
}

typedef struct golden_run {
    const char *name;
    const lode_op *op;
    unsigned char params[128];
    int n_x;
    lode_tensor *x[LODE_MAX_INPUTS];
    lode_var *v[LODE_MAX_INPUTS];
} golden_run;

static void load_case(const golden *g, json_t *json, lode_dtype dtype, golden_run *r) {
    memset(r, 0, sizeof *r);
    r->name = json_string_value(json_object_get(json, "name"));
    r->op = lode_op_find(json_string_value(json_object_get(json, "op")));
    r->n_x = (int)json_integer_value(json_object_get(json, "n_x"));
    assert_non_null(r->op);
    fill_params(r->op->name, json_object_get(json, "params"), r->params);
    for (int i = 0; i < r->n_x; i++) r->x[i] = as_input(stored(g, r->name, "x", i), dtype);
}

static void check_gradients(const golden *g, golden_run *r, lode_tape *t, lode_var *y,
                            double tolerance) {
    lode_tensor *dy = as_input(stored(g, r->name, "dy", -1), y->value->dtype);
    if (dy == NULL) return;
    if (lode_backward_from(t, y, dy) != LODE_OK) fail_msg("%s: %s", r->name, lode_last_error());
    for (int i = 0; i < r->n_x; i++)
        if (r->v[i] != NULL && r->v[i]->requires_grad)
            check_tensor(g, r->name, "dx", i, r->v[i]->grad, tolerance);
    lode_tensor_release(dy);
}

static void check_case(const golden *g, json_t *json, const lode_runner *runner, lode_dtype dtype,
                       double tolerance) {
    golden_run r;
    lode_tape *t = NULL;
    load_case(g, json, dtype, &r);
    assert_ok(lode_tape_create(LODE_TRAIN, runner, &t));
    for (int i = 0; i < r.n_x; i++) {
        if (r.x[i] == NULL) continue;
        lode_tensor *grad = stored(g, r.name, "dx", i);
        r.v[i] = grad != NULL ? lode_tape_leaf(t, r.x[i], NULL) : lode_tape_constant(t, r.x[i]);
        lode_tensor_release(grad);
    }
    lode_var *y = lode_apply(t, r.op, r.v, r.n_x, r.op->params_size > 0 ? r.params : NULL);
    if (y == NULL) fail_msg("%s: %s", r.name, lode_last_error());
    check_tensor(g, r.name, "y", -1, y->value, tolerance);
    for (int i = 0; i < r.n_x; i++) {
        lode_tensor *after = stored(g, r.name, "after", i);
        if (after != NULL) check_tensor(g, r.name, "after", i, r.x[i], tolerance);
        lode_tensor_release(after);
    }
    check_gradients(g, &r, t, y, tolerance);
    lode_tape_destroy(t);
    for (int i = 0; i < r.n_x; i++) lode_tensor_release(r.x[i]);
}

static golden golden_open(void) {
    golden g = {0};
    json_error_t error;
    assert_ok(lode_tensors_open(LODE_TEST_DIR "/golden/ops.safetensors", &g.file));
    g.cases = json_loads(lode_tensors_metadata(g.file, "cases"), 0, &error);
    assert_non_null(g.cases);
    return g;
}

static void golden_close(golden *g) {
    json_decref(g->cases);
    lode_tensors_close(g->file);
}

/* ---- tests ---- */

static void check_all(const lode_runner *runner, lode_dtype dtype, double tolerance) {
    golden g = golden_open();
    size_t i;
    json_t *json;
    json_array_foreach(g.cases, i, json) check_case(&g, json, runner, dtype, tolerance);
    golden_close(&g);
}

static void test_reference_in_f64(void **state) {
    (void)state;
    check_all(lode_reference_runner(), LODE_F64, 1e-12);
}

static void test_fastest_in_f32(void **state) {
    (void)state;
    lode_dispatch *d = NULL;
    assert_ok(lode_dispatch_create(NULL, &d));
    check_all(lode_dispatch_runner(d), LODE_F32, 5e-6);
    lode_dispatch_destroy(d);
}

static void test_every_operator_is_there(void **state) {
    (void)state;
    golden g = golden_open();
    for (int o = 0; o < lode_n_ops(); o++) {
        size_t i, n = 0;
        json_t *json;
        json_array_foreach(g.cases, i, json) n +=
            strcmp(json_string_value(json_object_get(json, "op")), lode_op_at(o)->name) == 0;
        if (n == 0) fail_msg("no golden values for %s", lode_op_at(o)->name);
    }
    golden_close(&g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reference_in_f64),
        cmocka_unit_test(test_fastest_in_f32),
        cmocka_unit_test(test_every_operator_is_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
