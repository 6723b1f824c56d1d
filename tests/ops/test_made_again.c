/* labels: unit, parity
   Outputs of mbconv that a weighted sum reads in backward are not kept but made again: the same
   gradients, bit by bit, for less memory. */
#include "core/parallel.h"
#include "ops/dispatch.h"
#include "ops/ops.h"
#include "support/support.h"

enum { K = 5, MOST = 64 };

typedef struct mixture_case {
    lode_shape x;
    int64_t out;
    bool per_sample, affine, weights_train, plain_dy;
} mixture_case;

static const mixture_case cases[] = {
    {{4, {3, 16, 9, 7}}, 16, false, true, true, false},
    {{4, {4, 8, 17, 16}}, 8, true, true, true, false},
    {{4, {5, 37, 6, 5}}, 37, true, false, true, false},
    {{4, {2, 24, 40, 40}}, 24, false, true, true, false}, /* many pieces of the sum's */
    {{4, {2, 8, 9, 9}}, 19, false, true, true, false},    /* no residual */
    {{4, {2, 8, 9, 9}}, 8, false, true, false, false},
    {{4, {3, 8, 5, 6}}, 8, true, true, true, true}, /* dy lies otherwise: the reference runs */
};

/* Tensors and their gradients, in the order in which they are asked for. */
typedef struct owner {
    lode_tensor *value[MOST], *grad[MOST];
    int n;
    lode_rng rng;
    lode_tape *tape;
} owner;

static lode_var *leaf(owner *o, lode_shape s, double lo, double hi) {
    lode_tensor *v = NULL;
    assert_ok(lode_tensor_create(
        NULL, LODE_F32, &s, s.n_dims == 4 && s.dim[2] > 3 ? LODE_CHANNELS_LAST : LODE_CONTIGUOUS,
        &v));
    assert_ok(lode_tensor_fill_uniform(v, &o->rng, lo, hi));
    assert_true(o->n < MOST);
    o->value[o->n] = v;
    return lode_tape_leaf(o->tape, v, &o->grad[o->n++]);
}

static lode_var *candidate(owner *o, const mixture_case *c, lode_var *x, int k) {
    int64_t C = c->x.dim[1], M = k == 0 ? C : C * k;
    lode_mbconv_inputs in = {.x = x};
    lode_mbconv_params p = {1e-5,        0.1, 1, k % 2 ? LODE_ACT_RELU6 : LODE_ACT_SWISH,
                            c->out == C, 0,   0, 0};
    in.depthwise = leaf(o, LODE_SHAPE4(M, 1, 3, 3), -0.5, 0.5);
    in.project = leaf(o, LODE_SHAPE4(c->out, M, 1, 1), -0.5, 0.5);
    if (k > 0) in.expand = leaf(o, LODE_SHAPE4(M, C, 1, 1), -0.5, 0.5);
    for (int i = k > 0 ? 0 : 1; i < 3 && c->affine; i++) {
        int64_t channels = i < 2 ? M : c->out;
        in.norm[i].gamma = leaf(o, LODE_SHAPE1(channels), 0.5, 1.5);
        in.norm[i].beta = leaf(o, LODE_SHAPE1(channels), -1, 1);
    }
    return lode_mbconv(o->tape, &in, p);
}

/* What the tape holds when backward begins. */
static int64_t run(owner *o, const mixture_case *c, const lode_runner *runner) {
    memset(o, 0, sizeof *o);
    o->rng = lode_rng_stream(3, LODE_RNG_TEST, 0);
    lode_tensor *dy = NULL;
    assert_ok(lode_tape_create(LODE_TRAIN, runner, &o->tape));
    lode_var *x = leaf(o, c->x, -2, 2), *option[K];
    lode_shape ws = c->per_sample ? LODE_SHAPE2(c->x.dim[0], K) : LODE_SHAPE1(K);
    lode_var *w = leaf(o, ws, 0, 1);
    if (!c->weights_train) w = lode_detach(o->tape, w);
    int64_t before = lode_device_get_stats(lode_cpu_device()).bytes_in_use;
    lode_scope scope = lode_tape_enter(o->tape, "mixture");
    for (int k = 0; k < K; k++) option[k] = candidate(o, c, x, k % 4);
    option[2] = c->out == c->x.dim[1] ? x : NULL; /* the identity, or an absent one */
    lode_var *y = lode_tape_leave(o->tape, scope, lode_weighted_sum(o->tape, option, K, w));
    assert_ok(lode_tape_status(o->tape));
    lode_shape s = y->value->shape;
    assert_ok(lode_tensor_create(NULL, LODE_F32, &s,
                                 c->plain_dy ? LODE_CONTIGUOUS : LODE_CHANNELS_LAST, &dy));
    assert_ok(lode_tensor_fill_uniform(dy, &o->rng, -1, 1));
    int64_t kept = lode_device_get_stats(lode_cpu_device()).bytes_in_use - before;
    assert_ok(lode_backward_from(o->tape, y, dy));
    lode_tensor_release(dy);
    lode_tape_destroy(o->tape);
    return kept;
}

static void owner_free(owner *o) {
    for (int i = 0; i < o->n; i++) {
        lode_tensor_release(o->value[i]);
        lode_tensor_release(o->grad[i]);
    }
}

static void same_bits_for_less(void **state) {
    (void)state;
    lode_dispatch *d = NULL;
    assert_ok(lode_dispatch_create(NULL, &d));
    lode_runner keeps = *lode_dispatch_runner(d);
    keeps.makes_again = NULL;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int threads = 1; threads <= 2; threads++) {
            const mixture_case *c = &cases[i];
            owner a, b;
            int before = lode_get_threads();
            lode_set_threads(threads);
            int64_t kept = run(&a, c, &keeps), less = run(&b, c, lode_dispatch_runner(d));
            lode_set_threads(before);
            int64_t y = c->x.dim[0] * c->out * c->x.dim[2] * c->x.dim[3] * 4;
            assert_true(kept - less >= (K - 1) * (y - 64));
            assert_int_equal(a.n, b.n);
            for (int k = 0; k < a.n; k++) {
                assert_int_equal(a.grad[k] != NULL, b.grad[k] != NULL);
                if (a.grad[k] == NULL) continue;
                assert_memory_equal(a.grad[k]->data, b.grad[k]->data, lode_tensor_bytes(a.grad[k]));
            }
            owner_free(&a);
            owner_free(&b);
        }
    lode_dispatch_destroy(d);
}

/* Nobody has to: a reference next to native kernels keeps what it reads. */
static void others_keep_theirs(void **state) {
    (void)state;
    lode_dispatch *d = NULL;
    assert_ok(lode_dispatch_create(NULL, &d));
    lode_provider other = {.name = "other"};
    const lode_runner *r = lode_dispatch_runner(d);
    lode_op_call sum = {.op = &lode_op_weighted_sum}, maker = {.op = &lode_op_mbconv};
    assert_false(r->makes_again(r->self, &sum, &maker));
    sum.provider = maker.provider = &other;
    assert_false(r->makes_again(r->self, &sum, &maker));
    assert_null(lode_reference_runner()->makes_again);
    lode_dispatch_destroy(d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_bits_for_less),
        cmocka_unit_test(others_keep_theirs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
