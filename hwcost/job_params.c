/* job_params.c: see job_params.h. A row per member of a parameter struct. */
#include "hwcost/job_params.h"

#include "ops/op_util.h"

#include <stddef.h>
#include <string.h>

typedef enum job_type { JOB_I32, JOB_U32, JOB_I64, JOB_F64, JOB_ACT } job_type;

typedef struct job_field {
    const char *key;
    job_type type;
    size_t offset;
    int n; /* of an array; 0: a plain number */
} job_field;

#define AT(type, member) offsetof(lode_##type##_params, member)

static const job_field job_conv2d[] = {{"stride", JOB_I32, AT(conv2d, stride), 2},
                                       {"pad", JOB_I32, AT(conv2d, pad), 2},
                                       {"dilation", JOB_I32, AT(conv2d, dilation), 2},
                                       {"groups", JOB_I32, AT(conv2d, groups), 0},
                                       {NULL, 0, 0, 0}};
static const job_field job_conv_act[] = {{"stride", JOB_I32, AT(conv_act, conv.stride), 2},
                                         {"pad", JOB_I32, AT(conv_act, conv.pad), 2},
                                         {"dilation", JOB_I32, AT(conv_act, conv.dilation), 2},
                                         {"groups", JOB_I32, AT(conv_act, conv.groups), 0},
                                         {"act", JOB_ACT, AT(conv_act, act), 0},
                                         {NULL, 0, 0, 0}};
static const job_field job_batch_norm[] = {{"eps", JOB_F64, AT(batch_norm, eps), 0},
                                           {"act", JOB_ACT, AT(batch_norm, act), 0},
                                           {NULL, 0, 0, 0}};
static const job_field job_pool[] = {{"kernel", JOB_I32, AT(pool, kernel), 2},
                                     {"stride", JOB_I32, AT(pool, stride), 2},
                                     {"pad", JOB_I32, AT(pool, pad), 2},
                                     {"count_include_pad", JOB_I32, AT(pool, count_include_pad), 0},
                                     {"ceil_mode", JOB_I32, AT(pool, ceil_mode), 0},
                                     {NULL, 0, 0, 0}};
static const job_field job_concat[] = {{"dim", JOB_I32, AT(concat, dim), 0}, {NULL, 0, 0, 0}};
static const job_field job_scale[] = {{"factor", JOB_F64, AT(scale, factor), 0},
                                      {"shift", JOB_F64, AT(scale, shift), 0},
                                      {NULL, 0, 0, 0}};
static const job_field job_zero[] = {{"stride", JOB_I32, AT(zero, stride), 0},
                                     {"channels", JOB_I32, AT(zero, channels), 0},
                                     {NULL, 0, 0, 0}};
static const job_field job_slice[] = {{"dim", JOB_I32, AT(slice, dim), 0},
                                      {"begin", JOB_I64, AT(slice, begin), 0},
                                      {"end", JOB_I64, AT(slice, end), 0},
                                      {"step", JOB_I64, AT(slice, step), 0},
                                      {NULL, 0, 0, 0}};
static const job_field job_pad[] = {{"before", JOB_I64, AT(pad, before), LODE_MAX_DIMS},
                                    {"after", JOB_I64, AT(pad, after), LODE_MAX_DIMS},
                                    {"value", JOB_F64, AT(pad, value), 0},
                                    {NULL, 0, 0, 0}};
static const job_field job_shuffle[] = {{"groups", JOB_I32, AT(channel_shuffle, groups), 0},
                                        {NULL, 0, 0, 0}};
static const job_field job_grid[] = {{"height", JOB_I32, AT(grid, height), 0},
                                     {"width", JOB_I32, AT(grid, width), 0},
                                     {NULL, 0, 0, 0}};
static const job_field job_upsample[] = {{"height", JOB_I32, AT(upsample, height), 0},
                                         {"width", JOB_I32, AT(upsample, width), 0},
                                         {"align_corners", JOB_I32, AT(upsample, align_corners), 0},
                                         {NULL, 0, 0, 0}};
static const job_field job_leaky_relu[] = {{"slope", JOB_F64, AT(leaky_relu, slope), 0},
                                           {NULL, 0, 0, 0}};
static const job_field job_transpose[] = {{"perm", JOB_I32, AT(transpose, perm), LODE_MAX_DIMS},
                                          {NULL, 0, 0, 0}};
static const job_field job_reduce[] = {{"dims", JOB_U32, AT(reduce, dims), 0},
                                       {"keep", JOB_I32, AT(reduce, keep), 0},
                                       {NULL, 0, 0, 0}};
static const job_field job_matmul[] = {{"transpose_a", JOB_I32, AT(matmul, transpose_a), 0},
                                       {"transpose_b", JOB_I32, AT(matmul, transpose_b), 0},
                                       {NULL, 0, 0, 0}};
static const job_field job_layer_norm[] = {{"eps", JOB_F64, AT(layer_norm, eps), 0},
                                           {NULL, 0, 0, 0}};
/* The shape of the result says it. */
static const job_field job_nothing[] = {{NULL, 0, 0, 0}};

static const struct {
    const lode_op *op;
    const job_field *field;
} job_ops[] = {
    {&lode_op_conv2d, job_conv2d},
    {&lode_op_conv_act, job_conv_act},
    {&lode_op_batch_norm, job_batch_norm},
    {&lode_op_max_pool, job_pool},
    {&lode_op_avg_pool, job_pool},
    {&lode_op_concat, job_concat},
    {&lode_op_scale, job_scale},
    {&lode_op_zero, job_zero},
    {&lode_op_slice, job_slice},
    {&lode_op_pad, job_pad},
    {&lode_op_channel_shuffle, job_shuffle},
    {&lode_op_grid_subsample, job_grid},
    {&lode_op_grid_scatter, job_grid},
    {&lode_op_bilinear_upsample, job_upsample},
    {&lode_op_leaky_relu, job_leaky_relu},
    {&lode_op_transpose, job_transpose},
    {&lode_op_reduce_sum, job_reduce},
    {&lode_op_reduce_mean, job_reduce},
    {&lode_op_reduce_max, job_reduce},
    {&lode_op_matmul, job_matmul},
    {&lode_op_batch_matmul, job_matmul},
    {&lode_op_layer_norm, job_layer_norm},
    {&lode_op_reshape, job_nothing},
};

static json_t *job_number(const char *at, job_type type, int i) {
    int32_t word;
    uint32_t bits;
    int64_t whole;
    double real;
    switch (type) {
    case JOB_I32:
        memcpy(&word, at + (size_t)i * sizeof word, sizeof word);
        return json_integer(word);
    case JOB_U32:
        memcpy(&bits, at + (size_t)i * sizeof bits, sizeof bits);
        return json_integer((json_int_t)bits);
    case JOB_I64:
        memcpy(&whole, at + (size_t)i * sizeof whole, sizeof whole);
        return json_integer((json_int_t)whole);
    case JOB_F64:
        memcpy(&real, at + (size_t)i * sizeof real, sizeof real);
        return lode_json_number(real);
    case JOB_ACT:
        memcpy(&word, at, sizeof word);
        return json_string(lode_act_name((lode_act)word));
    }
    return NULL;
}

/* Arrays over dimensions are cut to those that the input has. */
static json_t *job_value(const lode_op_call *c, const job_field *f) {
    const char *at = (const char *)c->params + f->offset;
    if (f->n == 0) return job_number(at, f->type, 0);
    json_t *list = json_array();
    int n = f->n == LODE_MAX_DIMS ? c->x[0]->shape.n_dims : f->n;
    for (int i = 0; i < n; i++) json_array_append_new(list, job_number(at, f->type, i));
    return list;
}

lode_status job_params_json(const lode_op_call *c, json_t **out) {
    const job_field *field = c->op->params_size == 0 ? job_nothing : NULL;
    *out = NULL;
    for (size_t i = 0; field == NULL && i < sizeof job_ops / sizeof *job_ops; i++)
        if (job_ops[i].op == c->op) field = job_ops[i].field;
    if (field == NULL)
        return LODE_FAIL(LODE_ERR_UNSUPPORTED,
                         "a job for another device cannot hold the operator %s", c->op->name);
    if ((*out = json_object()) == NULL) return LODE_ERR_NO_MEMORY;
    for (; field->key != NULL; field++) json_object_set_new(*out, field->key, job_value(c, field));
    return LODE_OK;
}
