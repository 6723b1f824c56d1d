/* labels: unit, parity
   Every provider's conv2d against the reference: odd channels and sizes, all kernels, strides,
   dilations, groups, bias, operands and gradients of any stride, every instruction set; and the
   same bits at any number of threads where that is promised. */
#include "core/parallel.h"
#include "ops/dispatch.h"
#include "ops/native/simd.h"
#include "ops/ops.h"
#include "support/support.h"

#include <math.h>

typedef struct shape_case {
    int64_t n, c, h, w, o;
    int kh, kw, stride, pad, dilation, groups;
    bool bias;
} shape_case;

/* How tensors lie in memory. */
typedef enum lay { LAY_DENSE, LAY_SLICED, LAY_ROW_MAJOR, LAY_BROADCAST } lay;

typedef struct conv_case {
    lode_op_call call;
    lode_tensor *x[3], *dx[3], *y, *dy;
    lode_conv2d_params params;
} conv_case;

static lode_tensor *random_tensor(lode_shape s, lode_layout layout, lay how, uint64_t stream) {
    lode_tensor *whole = NULL, *t = NULL;
    lode_rng r = lode_rng_stream(11, LODE_RNG_TEST, stream);
    lode_shape big = s;
    if (how == LAY_SLICED) big.dim[1] += 3; /* channels 2 .. of a wider tensor */
    if (how == LAY_BROADCAST) big.dim[0] = 1;
    if (how == LAY_ROW_MAJOR) layout = LODE_CONTIGUOUS;
    assert_ok(lode_tensor_create(NULL, LODE_F32, &big, layout, &whole));
    assert_ok(lode_tensor_fill_uniform(whole, &r, -1, 1));
    if (how == LAY_SLICED)
        assert_ok(lode_tensor_slice(whole, 1, 2, 2 + s.dim[1], 1, &t));
    else if (how == LAY_BROADCAST)
        assert_ok(lode_tensor_broadcast_to(whole, &s, &t));
    else
        t = lode_tensor_retain(whole);
    lode_tensor_release(whole);
    return t;
}

/* Results lie between guards, so that a kernel that writes too far is seen. */
enum { GUARD = 1024 };

static lode_tensor *guarded(const lode_tensor *like) {
    int64_t n = lode_tensor_count(like);
    lode_tensor *whole = NULL, *t = NULL;
    lode_shape s = LODE_SHAPE1(n + 2 * GUARD);
    assert_ok(lode_tensor_create(NULL, LODE_F32, &s, LODE_CONTIGUOUS, &whole));
    assert_ok(lode_tensor_fill(whole, 12345));
    assert_ok(lode_tensor_view(whole, &like->shape, like->stride, GUARD, &t));
    lode_tensor_release(whole);
    return t;
}

static void check_guards(const lode_tensor *t, const char *who) {
    const float *p = t->data;
    int64_t n = lode_tensor_count(t);
    for (int64_t i = 0; i < GUARD; i++)
        if (p[i - GUARD] != 12345 || p[n + i] != 12345) fail_msg("%s wrote beyond its output", who);
}

static int64_t side(int64_t in, int k, const shape_case *s) {
    return (in + 2 * s->pad - s->dilation * (k - 1) - 1) / s->stride + 1;
}

static conv_case make_case(const shape_case *s, lay how) {
    conv_case c;
    memset(&c, 0, sizeof c);
    lode_shape y = LODE_SHAPE4(s->n, s->o, side(s->h, s->kh, s), side(s->w, s->kw, s));
    c.params = (lode_conv2d_params){
        {s->stride, s->stride}, {s->pad, s->pad}, {s->dilation, s->dilation}, s->groups, 0};
    c.x[0] = random_tensor(LODE_SHAPE4(s->n, s->c, s->h, s->w), LODE_CHANNELS_LAST,
                           how == LAY_BROADCAST ? LAY_DENSE : how, 0);
    c.x[1] = random_tensor(LODE_SHAPE4(s->o, s->c / s->groups, s->kh, s->kw), LODE_CONTIGUOUS,
                           how == LAY_SLICED && s->groups == 1 ? LAY_SLICED : LAY_DENSE, 1);
    if (s->bias) c.x[2] = random_tensor(LODE_SHAPE1(s->o), LODE_CONTIGUOUS, LAY_DENSE, 2);
    c.dy = random_tensor(y, LODE_CHANNELS_LAST, how, 3);
    for (int i = 0; i < 3; i++) {
        lode_tensor *like = NULL;
        if (!c.x[i]) continue;
        assert_ok(lode_tensor_like(c.x[i], &like));
        c.dx[i] = guarded(like);
        lode_tensor_release(like);
    }
    lode_tensor *like = NULL;
    assert_ok(lode_tensor_create(NULL, LODE_F32, &y, LODE_CHANNELS_LAST, &like));
    c.y = guarded(like);
    lode_tensor_release(like);
    return c;
}

static void bind(conv_case *c) {
    c->call = (lode_op_call){
        .op = &lode_op_conv2d, .params = &c->params, .n_x = 3, .x = c->x, .y = c->y, .train = true};
}

static void free_case(conv_case *c) {
    for (int i = 0; i < 3; i++) {
        lode_tensor_release(c->x[i]);
        lode_tensor_release(c->dx[i]);
    }
    lode_tensor_release(c->y);
    lode_tensor_release(c->dy);
}

static const lode_kernel *conv_kernel(const lode_provider *p) {
    for (int i = 0; i < p->n_kernels; i++)
        if (p->kernels[i].op == &lode_op_conv2d) return &p->kernels[i];
    return NULL;
}

/* Forward and backward on a workspace of just the size asked, full of NaN. */
static void run_kernel(const char *who, const lode_kernel *k, conv_case *c) {
    for (int backward = 0; backward < 2; backward++) {
        size_t bytes = k->workspace ? k->workspace(&c->call, backward) : 0;
        char *memory = lode_alloc_aligned(bytes + GUARD, 64);
        assert_non_null(memory);
        memset(memory, 0xff, bytes + GUARD);
        c->call.workspace = memory;
        c->call.workspace_bytes = bytes;
        if (backward)
            assert_ok(k->backward(&c->call, c->dy, c->dx));
        else
            assert_ok(k->forward(&c->call));
        for (size_t i = bytes; i < bytes + GUARD; i++)
            if (memory[i] != (char)0xff) fail_msg("%s wrote beyond its workspace", who);
        lode_free(memory);
    }
    check_guards(c->y, who);
    for (int g = 0; g < 3; g++)
        if (c->dx[g]) check_guards(c->dx[g], who);
}

static void compare(const char *who, const char *what, const shape_case *s, const lode_tensor *got,
                    const lode_tensor *want, double terms) {
    /* Terms are products of uniforms, at most 1: float rounding of their sum. */
    double tolerance = 2e-6 * sqrt(terms) + 1e-6;
    for (int64_t i = 0; i < lode_tensor_count(want); i++)
        if (!(fabs(lode_at(got, i) - lode_at(want, i)) <= tolerance))
            fail_msg("%s %s %s: x[%d,%d,%d,%d] o%d k%dx%d s%d p%d d%d g%d: element %d is %.9g, "
                     "wanted %.9g",
                     who, lode_simd_get()->name, what, (int)s->n, (int)s->c, (int)s->h, (int)s->w,
                     (int)s->o, s->kh, s->kw, s->stride, s->pad, s->dilation, s->groups, (int)i,
                     lode_at(got, i), lode_at(want, i));
}

static void check_against(const shape_case *s, lay how, const conv_case *want) {
    static const char *const names[] = {"dx", "dw", "db"};
    double outputs = (double)(s->n * side(s->h, s->kh, s) * side(s->w, s->kw, s));
    double terms = (double)(s->c / s->groups * s->kh * s->kw);
    double of_grad[] = {terms * (double)s->o / (double)s->c, outputs, outputs};
    for (int i = 0; i < lode_n_providers(); i++) {
        const lode_provider *p = lode_provider_at(i);
        const lode_kernel *k = conv_kernel(p);
        conv_case c = make_case(s, how);
        bind(&c);
        if (k && k->supports(&c.call)) {
            run_kernel(p->name, k, &c);
            compare(p->name, "y", s, c.y, want->y, terms);
            for (int g = 0; g < 3; g++)
                if (c.dx[g]) compare(p->name, names[g], s, c.dx[g], want->dx[g], of_grad[g]);
        }
        free_case(&c);
    }
}

static void check(const shape_case *s, lay how) {
    conv_case want = make_case(s, how);
    bind(&want);
    assert_ok(lode_op_conv2d.reference.forward(&want.call));
    assert_ok(lode_op_conv2d.reference.backward(&want.call, want.dy, want.dx));
    for (const char *const *name = lode_simd_names(); *name; name++)
        if (lode_simd_select(*name) == LODE_OK) check_against(s, how, &want);
    assert_ok(lode_simd_select(NULL));
    free_case(&want);
}

static void depthwise_of_all_kernels_strides_and_dilations(void **state) {
    (void)state;
    static const int64_t channels[] = {1, 3, 17, 24, 40, 96}, sizes[] = {7, 8, 14, 28};
    static const int kernels[] = {1, 3, 5, 7};
    int turn = 0; /* walks through channels and sizes, so that the product stays small */
    for (int k = 0; k < 4; k++)
        for (int stride = 1; stride <= 3; stride++)
            for (int dilation = 1; dilation <= 2; dilation++)
                for (int same = 0; same < 2; same++, turn++) {
                    int64_t c = channels[turn % 6], h = sizes[turn % 4], w = sizes[turn / 2 % 4];
                    int pad = same ? dilation * (kernels[k] - 1) / 2 : 0;
                    shape_case s = {1 + turn % 3, c,      h,   w,        c,      kernels[k],
                                    kernels[k],   stride, pad, dilation, (int)c, turn % 2};
                    if (side(h, s.kh, &s) < 1 || side(w, s.kw, &s) < 1) continue;
                    check(&s, LAY_DENSE);
                }
}

static void depthwise_of_odd_forms(void **state) {
    (void)state;
    static const shape_case cases[] = {
        {2, 20, 9, 5, 20, 3, 5, 1, 1, 1, 20, true},   /* oblong kernel */
        {1, 16, 3, 3, 16, 7, 7, 1, 3, 1, 16, false},  /* kernel beyond the image */
        {1, 5, 40, 70, 5, 9, 11, 2, 4, 1, 5, false},  /* more taps than a pass holds */
        {1, 3, 150, 130, 3, 7, 7, 1, 3, 1, 3, false}, /* several bands */
        {37, 33, 4, 4, 33, 3, 3, 2, 1, 1, 33, false}, /* several images in a piece */
        {1, 16, 5, 2, 16, 2, 2, 4, 0, 1, 16, false},  /* stride beyond the kernel */
        {2, 8, 6, 6, 16, 3, 3, 1, 1, 1, 8, true},     /* two outputs of each channel */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) check(&cases[i], LAY_DENSE);
}

static void dense_and_grouped(void **state) {
    (void)state;
    static const shape_case cases[] = {
        {2, 17, 8, 7, 24, 1, 1, 1, 0, 1, 1, false},  {3, 24, 7, 7, 40, 1, 1, 2, 0, 1, 1, true},
        {1, 1, 14, 14, 16, 3, 3, 2, 1, 1, 1, true},  {2, 3, 15, 13, 8, 3, 3, 1, 1, 1, 1, false},
        {1, 16, 9, 9, 33, 3, 3, 1, 2, 2, 1, false},  {2, 24, 6, 6, 24, 1, 1, 1, 0, 1, 2, true},
        {1, 40, 7, 8, 20, 3, 3, 2, 1, 1, 4, false},  {1, 6, 11, 11, 9, 5, 7, 3, 3, 1, 3, true},
        {2, 96, 4, 4, 17, 1, 1, 1, 0, 1, 1, false},  {1, 7, 5, 5, 5, 5, 5, 1, 0, 1, 1, false},
        {2, 3, 7, 9, 5, 1, 1, 2, 0, 1, 1, true},     {2, 18, 9, 7, 20, 1, 1, 3, 0, 1, 2, false},
        {70, 12, 1, 1, 10, 1, 1, 1, 0, 1, 1, true},  {1, 64, 20, 20, 48, 3, 3, 1, 1, 1, 1, false},
        {1, 130, 9, 9, 100, 1, 1, 1, 0, 1, 1, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) check(&cases[i], LAY_DENSE);
}

static void operands_of_any_stride(void **state) {
    (void)state;
    static const shape_case cases[] = {
        {2, 20, 9, 7, 20, 3, 3, 1, 1, 1, 20, true},
        {2, 12, 8, 8, 10, 1, 1, 1, 0, 1, 1, true},
        {2, 8, 8, 6, 12, 3, 3, 2, 1, 1, 2, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (lay how = LAY_SLICED; how <= LAY_BROADCAST; how++) check(&cases[i], how);
}

static void same_bits_on_any_number_of_threads(void **state) {
    (void)state;
    static const shape_case cases[] = {
        {5, 40, 14, 14, 40, 5, 5, 1, 2, 1, 40, true}, {33, 24, 7, 7, 24, 3, 3, 2, 1, 1, 24, true},
        {4, 32, 14, 14, 24, 1, 1, 1, 0, 1, 1, true},  {3, 12, 14, 14, 24, 3, 3, 1, 1, 1, 2, true},
        {1, 32, 16, 16, 48, 3, 3, 1, 1, 1, 1, true},  {1, 96, 14, 14, 24, 1, 1, 1, 0, 1, 1, false},
        {9, 16, 32, 32, 16, 3, 3, 1, 1, 1, 1, false}, {16, 64, 8, 8, 64, 3, 3, 1, 1, 1, 1, false},
        {17, 32, 16, 16, 64, 3, 3, 2, 1, 1, 1, true}, {12, 320, 4, 4, 640, 1, 1, 1, 0, 1, 1, false},
        {64, 8, 16, 16, 8, 3, 3, 1, 1, 1, 1, false},  {10, 3, 32, 32, 16, 3, 3, 1, 1, 1, 1, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int p = 0; p < lode_n_providers(); p++) {
            const lode_provider *provider = lode_provider_at(p);
            const lode_kernel *k = conv_kernel(provider);
            conv_case one = make_case(&cases[i], LAY_DENSE), many = make_case(&cases[i], LAY_DENSE);
            bind(&one);
            bind(&many);
            if (k && provider->same_bits_any_threads && k->supports(&one.call)) {
                lode_set_threads(1);
                run_kernel(provider->name, k, &one);
                for (int threads = 2; threads <= 4; threads++) {
                    lode_set_threads(threads);
                    run_kernel(provider->name, k, &many);
                    lode_set_threads(0);
                    assert_true(lode_tensor_equal_bits(one.y, many.y));
                    for (int g = 0; g < 3; g++)
                        assert_true(one.dx[g] == NULL ||
                                    lode_tensor_equal_bits(one.dx[g], many.dx[g]));
                }
            }
            free_case(&one);
            free_case(&many);
        }
}

/* Only some gradients wanted. */
static void gradients_one_at_a_time(void **state) {
    (void)state;
    static const shape_case cases[] = {
        {2, 20, 9, 7, 20, 3, 3, 1, 1, 1, 20, true},
        {2, 12, 8, 8, 10, 1, 1, 1, 0, 1, 1, true},
        {2, 8, 8, 6, 12, 3, 3, 2, 1, 1, 2, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int p = 0; p < lode_n_providers(); p++) {
            const lode_provider *provider = lode_provider_at(p);
            const lode_kernel *k = conv_kernel(provider);
            conv_case all = make_case(&cases[i], LAY_DENSE);
            bind(&all);
            if (k && k->supports(&all.call)) {
                run_kernel(provider->name, k, &all);
                for (int g = 0; g < 3; g++) {
                    conv_case one = make_case(&cases[i], LAY_DENSE);
                    bind(&one);
                    for (int o = 0; o < 3; o++) {
                        if (o == g) continue;
                        lode_tensor_release(one.dx[o]);
                        one.dx[o] = NULL;
                    }
                    run_kernel(provider->name, k, &one);
                    for (int64_t e = 0; e < lode_tensor_count(one.dx[g]); e++)
                        assert_near(lode_at(one.dx[g], e), lode_at(all.dx[g], e), 1e-5);
                    free_case(&one);
                }
            }
            free_case(&all);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(depthwise_of_all_kernels_strides_and_dilations),
        cmocka_unit_test(depthwise_of_odd_forms),
        cmocka_unit_test(dense_and_grouped),
        cmocka_unit_test(operands_of_any_stride),
        cmocka_unit_test(same_bits_on_any_number_of_threads),
        cmocka_unit_test(gradients_one_at_a_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
