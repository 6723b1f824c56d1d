/* embedding.c   y[..., :] = table[index[...], :]; table [V,D], index s32 or s64 of any shape.

   The gradient adds each dy row into its table row, in index order. */
#include "ops/example_internal.h"
#include "ops/op_util.h"

#include <string.h>

static lode_status embedding_forward(const lode_op_call *c) {
    lode_ref r = {0};
    int64_t V = c->x[0]->shape.dim[0], D = c->x[0]->shape.dim[1], n = lode_tensor_count(c->x[1]);
    const double *table = lode_ref_in(&r, c->x[0]), *index = lode_ref_in(&r, c->x[1]);
    double *y = lode_ref_out(&r, c->y);
    for (int64_t i = 0; lode_ref_ok(&r) && i < n; i++) {
        if (index[i] < 0 || index[i] >= (double)V) {
            lode_ref_fail(&r, LODE_FAIL(LODE_ERR_DATA,
                                        "embedding: index %.0f at position %lld, but the table has "
                                        "%lld rows",
                                        index[i], (long long)i, (long long)V));
            break;
        }
        memcpy(y + i * D, table + (int64_t)index[i] * D, (size_t)D * sizeof *y);
    }
    return lode_ref_end(&r);
}

static lode_status embedding_backward(const lode_op_call *c, const lode_tensor *dy,
                                      lode_tensor *const *dx) {
    if (dx[0] == NULL) return LODE_OK;
    lode_ref r = {0};
    int64_t D = dx[0]->shape.dim[1], n = lode_tensor_count(c->x[1]);
    const double *g = lode_ref_in(&r, dy), *index = lode_ref_in(&r, c->x[1]);
    double *gtable = lode_ref_out(&r, dx[0]);
    for (int64_t i = 0; lode_ref_ok(&r) && i < n; i++)
        for (int64_t j = 0; j < D; j++) gtable[(int64_t)index[i] * D + j] += g[i * D + j];
    return lode_ref_end(&r);
}

static lode_status embedding_infer(const lode_op_call *c, lode_inferred *out) {
    LODE_TRY(lode_check_float(c, 0, "table"));
    LODE_TRY(lode_check_dims(c, 0, "table", 2));
    LODE_TRY(lode_check_index(c, 1, "index"));
    lode_shape y = c->x[1]->shape;
    if (y.n_dims == LODE_MAX_DIMS)
        return LODE_FAIL(LODE_ERR_SHAPE, "embedding: index has %d dims, at most %d are possible",
                         y.n_dims, LODE_MAX_DIMS - 1);
    y.dim[y.n_dims++] = c->x[0]->shape.dim[1];
    lode_infer_y(out, c->x[0]->dtype, &y);
    return LODE_OK;
}

/* Of the table only the rows asked for are read. */
static void embedding_count(const lode_op_call *c, lode_op_count *out) {
    lode_count_copy(c, out);
    out->bytes_read = (double)lode_tensor_bytes(c->x[1]) + (double)lode_tensor_bytes(c->y);
}

static lode_status embedding_example(lode_op_example *e, lode_rng *rng, int k) {
    static const struct {
        int V, D;
        lode_shape index;
    } corner[] = {
        {5, 3, {1, {4}}}, {1, 1, {1, {3}}}, {7, 17, {2, {2, 3}}},
        {3, 4, {0, {0}}}, {2, 2, {1, {9}}}, {4, 5, {3, {1, 3, 2}}},
    };
    int64_t V = lode_example_between(rng, 1, 20), D = lode_example_between(rng, 1, 40);
    lode_shape index =
        LODE_SHAPE2(lode_example_between(rng, 1, 4), lode_example_between(rng, 1, 5));
    if (k < (int)(sizeof corner / sizeof *corner)) {
        V = corner[k].V;
        D = corner[k].D;
        index = corner[k].index;
    }
    LODE_TRY(lode_example_any_layout(e, rng, LODE_SHAPE2(V, D), k));
    return lode_example_index(e, rng, k % 2 == 0 ? LODE_S32 : LODE_S64, index, 0, V);
}

const lode_op lode_op_embedding = {
    .name = "embedding",
    .n_inputs = 2,
    .n_required = 2,
    .keeps = LODE_KEEP_X(1),
    .infer = embedding_infer,
    .reference = {.forward = embedding_forward, .backward = embedding_backward},
    .count = embedding_count,
    .example = embedding_example,
};

lode_var *lode_embedding(lode_tape *t, lode_var *table, lode_var *index) {
    return lode_apply(t, &lode_op_embedding, (lode_var *[]){table, index}, 2, NULL);
}
