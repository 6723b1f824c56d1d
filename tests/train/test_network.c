/* labels: golden. Fifty training steps of a small MobileNetV2-like network from the same weights
   and batches as PyTorch: the loss of every step, the parameters and running statistics at the end,
   and the loss in evaluation. In f64 through the references nearly to the bit (16 steps), in f32
   through whatever kernels are preferred here within 1e-3. */
#include "golden_train.h"
#include "ops/dispatch.h"
#include "supernet/supernet.h"
#include "train/optimizer.h"
#include "train/schedule.h"

#include <math.h>

static const char space_text[] =
    "name: golden\n"
    "input: {channels: 3, size: 12}\n"
    "classes: 10\n"
    "layers:\n"
    "  - {name: stem, op: conv, kernel: 3, channels: 8, act: relu6}\n"
    "  - {name: b1, op: mbconv, kernel: 3, expand: 1, channels: 8, act: relu6}\n"
    "  - {name: b2, op: mbconv, kernel: 3, expand: 6, channels: 16, stride: 2, act: relu6}\n"
    "  - {name: b3, op: mbconv, kernel: 5, expand: 3, channels: 16, act: relu6}\n"
    "  - {name: b4, op: mbconv, kernel: 3, expand: 6, channels: 24, stride: 2, act: relu6}\n"
    "  - {name: head, op: conv, kernel: 1, channels: 32, act: relu6}\n"
    "  - {name: pool, op: global_pool}\n"
    "  - {name: classifier, op: linear}\n";

typedef struct golden {
    json_t *file;
    lode_space *space;
    lode_supernet *net;
    lode_dispatch *dispatch;
    lode_optimizer *optimizer;
    int64_t batch, size, classes;
    lode_dtype dtype;
} golden;

/* Weights of a parameter: the stream is 100 + its number in the file. */
static void fill_parameter(lode_parameter *p, int number) {
    int64_t n = lode_tensor_count(p->value), fan_in = n / p->value->shape.dim[0];
    if (p->kind != LODE_PARAM_WEIGHT) {
        bool one = p->kind == LODE_PARAM_NORM && strstr(p->name, ".gamma") != NULL;
        assert_ok(lode_tensor_fill(p->value, one ? 1 : 0));
        return;
    }
    for (int64_t i = 0; i < n; i++)
        lode_put(p->value, i,
                 golden_number((uint64_t)(100 + number), (uint64_t)i) * sqrt(6 / (double)fan_in));
}

static void golden_open(golden *g, lode_dtype dtype, const char *providers) {
    const char *name;
    json_t *shape;
    const lode_arch none = {0};
    lode_parameter *all[256];
    int number = 0, n;
    memset(g, 0, sizeof *g);
    g->file = golden_read("training_network.json");
    g->dtype = dtype;
    g->batch = (int64_t)golden_get(g->file, "batch", 0);
    g->size = (int64_t)golden_get(g->file, "size", 0);
    g->classes = (int64_t)golden_get(g->file, "classes", 0);
    assert_ok(lode_space_parse(space_text, "golden", NULL, &g->space));
    assert_ok(lode_supernet_create(g->space, &none, dtype, 1, &g->net));
    json_object_foreach(json_object_get(g->file, "parameters"), name, shape) {
        lode_parameter *p = lode_supernet_find(g->net, name);
        if (p == NULL) fail_msg("no parameter %s", name);
        assert_int_equal(p->value->shape.n_dims, json_array_size(shape));
        for (size_t d = 0; d < json_array_size(shape); d++)
            assert_int_equal(p->value->shape.dim[d], json_integer_value(json_array_get(shape, d)));
        fill_parameter(p, number++);
    }
    n = lode_supernet_n_parameters(g->net);
    for (int i = 0; i < n; i++) all[i] = lode_supernet_parameter(g->net, i);
    lode_optimizer_options o = lode_optimizer_defaults();
    o.momentum = golden_get(g->file, "momentum", 0);
    o.nesterov = true;
    o.weight_decay = golden_get(g->file, "weight_decay", 0);
    assert_ok(lode_optimizer_create(&o, all, n, &g->optimizer));
    assert_ok(lode_dispatch_create(&(lode_dispatch_options){.providers = providers}, &g->dispatch));
}

static void golden_close(golden *g) {
    lode_optimizer_destroy(g->optimizer);
    lode_dispatch_destroy(g->dispatch);
    lode_supernet_destroy(g->net);
    lode_space_release(g->space);
    json_decref(g->file);
}

static lode_tensor *images_of(const golden *g, int64_t step) {
    lode_tensor *x = NULL;
    int64_t n = 3 * g->size * g->size;
    assert_ok(lode_tensor_create(NULL, g->dtype, &LODE_SHAPE4(g->batch, 3, g->size, g->size),
                                 LODE_CHANNELS_LAST, &x));
    for (int64_t i = 0; i < g->batch * n; i++) {
        int64_t label = (i / n * 7 + step * 3) % g->classes;
        double v = golden_number((uint64_t)(4000 + label), (uint64_t)(i % n)) +
                   golden_number((uint64_t)(5000 + step), (uint64_t)i);
        lode_put(x, i, (float)v);
    }
    return x;
}

static lode_tensor *labels_of(const golden *g, int64_t step) {
    lode_tensor *y = NULL;
    assert_ok(lode_tensor_create(NULL, LODE_S32, &LODE_SHAPE1(g->batch), LODE_CONTIGUOUS, &y));
    for (int64_t i = 0; i < g->batch; i++)
        lode_put(y, i, (double)((i * 7 + step * 3) % g->classes));
    return y;
}

/* One forward; with lr >= 0 a training step. Returns the loss. */
static double golden_step(golden *g, int64_t step, double lr) {
    const bool train = lr >= 0;
    const lode_forward_options options = {.bn = train ? LODE_BN_TRAIN : LODE_BN_RUNNING};
    lode_tape *t = NULL;
    lode_tensor *x = images_of(g, step), *labels = labels_of(g, step);
    assert_ok(
        lode_tape_create(train ? LODE_TRAIN : LODE_EVAL, lode_dispatch_runner(g->dispatch), &t));
    lode_var *logits = lode_supernet_forward(t, g->net, lode_tape_constant(t, x), NULL, &options);
    lode_var *loss = lode_cross_entropy(t, logits, lode_tape_constant(t, labels),
                                        train ? golden_get(g->file, "label_smoothing", 0) : 0);
    assert_ok(lode_tape_status(t));
    double value = lode_at(loss->value, 0);
    if (train) {
        assert_ok(lode_backward(t, loss, 1));
        assert_ok(lode_optimizer_step(g->optimizer, lr, NULL));
        lode_optimizer_clear_grads(g->optimizer);
    }
    lode_tape_destroy(t);
    lode_tensor_release(x);
    lode_tensor_release(labels);
    return value;
}

static double sum_of(const golden *g, const char *name, const char *ending) {
    char full[96];
    snprintf(full, sizeof full, "%s%s", name, ending);
    lode_parameter *p = lode_supernet_find(g->net, full);
    assert_non_null(p);
    double sum = 0;
    for (int64_t i = 0; i < lode_tensor_count(p->value); i++) sum += lode_at(p->value, i);
    return sum;
}

static void run_equals(lode_dtype dtype, const char *providers, double tolerance) {
    golden g;
    golden_open(&g, dtype, providers);
    const json_t *run = json_object_get(g.file, lode_dtype_name(dtype));
    const json_t *want = json_object_get(run, "loss");
    const int64_t n = (int64_t)json_array_size(want);
    double worst = 0;
    const char *name;
    json_t *value;
    assert_true(n >= 16);
    const lode_schedule schedule = {.kind = LODE_SCHEDULE_COSINE,
                                    .peak = golden_get(g.file, "lr", 0),
                                    .total = (int64_t)golden_get(g.file, "steps", 0)};
    for (int64_t step = 0; step < n; step++) {
        double w = json_number_value(json_array_get(want, (size_t)step));
        double off = fabs(golden_step(&g, step, lode_schedule_at(&schedule, step)) / w - 1);
        if (!(off <= tolerance)) fail_msg("loss of step %lld is off by %g", (long long)step, off);
        worst = fmax(worst, off);
    }
    print_message("%s: %lld losses within %.2g of PyTorch's\n", lode_dtype_name(dtype),
                  (long long)n, worst);
    assert_near(golden_step(&g, n, -1), golden_get(run, "evaluation", 0), 2 * tolerance);
    json_object_foreach(json_object_get(run, "sums"), name, value)
        assert_near(sum_of(&g, name, ""), json_number_value(value), 20 * tolerance);
    json_object_foreach(json_object_get(run, "running"), name, value) {
        double mean = json_number_value(json_array_get(value, 0));
        double var = json_number_value(json_array_get(value, 1));
        assert_near(sum_of(&g, name, ".mean"), mean, 20 * tolerance);
        assert_near(sum_of(&g, name, ".var"), var, 20 * tolerance);
    }
    golden_close(&g);
}

static void double_precision_equals_torch(void **state) {
    (void)state;
    run_equals(LODE_F64, "reference", 1e-10);
}

static void preferred_kernels_equal_torch(void **state) {
    (void)state;
    run_equals(LODE_F32, NULL, 1e-3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(double_precision_equals_torch),
        cmocka_unit_test(preferred_kernels_equal_torch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
