/* tiny.h: small spaces that have everything, and what the tests do with networks. */
#ifndef LODE_TESTS_SUPERNET_TINY_H
#define LODE_TESTS_SUPERNET_TINY_H
#include "ops/dispatch.h"
#include "supernet/supernet.h"
#include "support/support.h"

/* A chain: stride, groups with shuffle, squeeze-and-excite, every activation, skip both ways. */
#define TINY_CHAIN                                                                                 \
    "name: tiny-chain\ninput: {channels: 2, size: 7}\nclasses: 3\n"                                \
    "sets:\n  s:\n"                                                                                \
    "    a: {op: mbconv, kernel: 3, expand: 2, act: swish}\n"                                      \
    "    b: {op: mbconv, kernel: 5, expand: 1, expand_conv: always, groups: 2, act: hswish}\n"     \
    "    c: {op: mbconv, kernel: 3, expand: 1, se: 0.25, act: relu6}\n"                            \
    "    skip: {op: skip, at_shape_change: {op: conv, kernel: 1, act: none}}\n"                    \
    "layers:\n"                                                                                    \
    "  - {name: stem, op: conv, kernel: 3, channels: 4, act: swish}\n"                             \
    "  - {choice: s, channels: 4}\n"                                                               \
    "  - {choice: s, channels: 6, stride: 2, repeat: 2}\n"                                         \
    "  - {name: pool, op: global_pool}\n"                                                          \
    "  - {name: classifier, op: linear}\n"

/* Cells of two inputs with a reduction, every operation of a cell, and a cell of one input. */
#define TINY_CELLS                                                                                 \
    "name: tiny-cells\ninput: {channels: 2, size: 7}\nclasses: 3\nbn: {affine: false}\n"           \
    "init: {conv: uniform, linear_std: 0}\n"                                                       \
    "sets:\n  s:\n"                                                                                \
    "    none: {op: none}\n"                                                                       \
    "    max: {op: max_pool, bn: true}\n"                                                          \
    "    avg: {op: avg_pool}\n"                                                                    \
    "    skip: {op: skip, at_shape_change: {op: factorized_reduce}}\n"                             \
    "    sep: {op: sep_conv}\n"                                                                    \
    "    dil: {op: dil_conv}\n"                                                                    \
    "  t:\n    none: {op: none}\n    skip: {op: skip}\n    conv: {op: conv, order: act_conv_bn}\n" \
    "cells:\n"                                                                                     \
    "  normal: {inputs: 2, nodes: 2, set: s, output: concat, keep: 2}\n"                           \
    "  reduce: {inputs: 2, nodes: 2, set: s, output: concat, keep: 1}\n"                           \
    "  last: {inputs: 1, nodes: 2, set: t, output: last}\n"                                        \
    "layers:\n"                                                                                    \
    "  - {name: stem, op: conv, channels: 4, act: none}\n"                                         \
    "  - {cell: normal, channels: 2}\n"                                                            \
    "  - {cell: reduce, channels: 4, stride: 2}\n"                                                 \
    "  - {cell: normal, channels: 4}\n"                                                            \
    "  - {cell: last, channels: 8, repeat: 2}\n"                                                   \
    "  - {name: reduce1, op: residual, channels: 6, stride: 2}\n"                                  \
    "  - {name: end, op: bn_act, act: swish}\n"                                                    \
    "  - {name: pool, op: global_pool}\n"                                                          \
    "  - {name: classifier, op: linear}\n"

/* Widths of stages, of a layer alone, of what a pool passes on; residuals, skips, and a gate. */
#define TINY_WIDTHS                                                                                \
    "name: tiny-widths\ninput: {channels: 2, size: 7}\nclasses: 3\n"                               \
    "sets:\n  s:\n"                                                                                \
    "    a: {op: mbconv, kernel: 3, expand: 2, act: swish}\n"                                      \
    "    b: {op: mbconv, kernel: 5, expand: 1, act: relu6}\n"                                      \
    "    c: {op: mbconv, kernel: 3, expand: 8, se: 0.5, act: hswish}\n"                            \
    "    skip: {op: skip, at_shape_change: {op: conv, kernel: 1, act: none}}\n"                    \
    "layers:\n"                                                                                    \
    "  - {name: stem, op: conv, kernel: 3, channels: {choices: [2, 3, 5], decision: w1}, act: "    \
    "swish}\n"                                                                                     \
    "  - {choice: s, channels: {choices: [2, 3, 5], decision: w1}}\n"                              \
    "  - {choice: s, channels: {choices: [4, 6]}, stride: 2, repeat: 2}\n"                         \
    "  - {name: small, op: avg_pool}\n"                                                            \
    "  - {name: head, op: conv, kernel: 1, order: act_conv_bn, channels: {choices: [5, 8]}}\n"     \
    "  - {name: mid, op: conv, kernel: 1, bn: false, bias: true, channels: 6}\n"                   \
    "  - {name: pool, op: global_pool}\n"                                                          \
    "  - {name: classifier, op: linear}\n"

/* Hidden channels as numbers of their own, of options, of fixed layers and where widths are open;
   basic blocks with every shortcut; gates reduced over the input's channels. */
#define TINY_HIDDEN                                                                                \
    "name: tiny-hidden\ninput: {channels: 2, size: 7}\nclasses: 3\n"                               \
    "sets:\n  s:\n"                                                                                \
    "    a: {op: mbconv, hidden: {choices: [3, 5, 9]}, act: swish}\n"                              \
    "    b: {op: basic, hidden: {choices: [2, 7]}, act: relu6}\n"                                  \
    "    c: {op: mbconv, hidden: 6, se: 0.5, se_of: input}\n"                                      \
    "    skip: {op: skip, at_shape_change: drop}\n"                                                \
    "layers:\n"                                                                                    \
    "  - {name: stem, op: conv, channels: {choices: [2, 4], decision: w1}}\n"                      \
    "  - {choice: s, channels: {choices: [2, 4], decision: w1}}\n"                                 \
    "  - {choice: s, channels: {choices: [3, 5]}, stride: 2}\n"                                    \
    "  - {name: gated, op: mbconv, hidden: {choices: [8, 16]}, se: 0.75, se_of: input}\n"          \
    "  - {name: gates, op: mbconv, hidden: {choices: [8, 24]}, se: 0.75, act: hswish}\n"           \
    "  - {name: plain, op: basic, act: swish}\n"                                                   \
    "  - {name: down, op: basic, kernel: 1, hidden: 3, channels: {choices: [2, 6]}, stride: 2}\n"  \
    "  - {name: bare, op: basic, hidden: {choices: [1, 2, 4]}, channels: 4, shortcut: none}\n"     \
    "  - {name: wide, op: mbconv, expand: 1.5, se: 0.3, se_of: input, channels: {choices: [2, "    \
    "4]}}\n"                                                                                       \
    "  - {name: pool, op: global_pool}\n"                                                          \
    "  - {name: classifier, op: linear}\n"

/* Kernels and expansions too, of options and of a fixed layer. */
#define TINY_KERNELS                                                                               \
    "name: tiny-kernels\ninput: {channels: 2, size: 7}\nclasses: 3\n"                              \
    "sets:\n  s:\n"                                                                                \
    "    mb: {op: mbconv, kernel: {choices: [3, 5]}, expand: {choices: [1, 2, 4]}, act: relu6}\n"  \
    "    k3: {op: mbconv, kernel: 3, expand: {choices: [1.5, 2]}, act: swish}\n"                   \
    "    skip: {op: skip, at_shape_change: drop}\n"                                                \
    "layers:\n"                                                                                    \
    "  - {name: stem, op: conv, kernel: 3, channels: 4, act: swish}\n"                             \
    "  - {choice: s, channels: {choices: [3, 4]}, repeat: 2}\n"                                    \
    "  - {choice: s, channels: 5, stride: 2, repeat: 2}\n"                                         \
    "  - {name: last, op: mbconv, kernel: {choices: [1, 3, 5]}, se: 0.5, expand: {choices: [2, "   \
    "3]}}\n"                                                                                       \
    "  - {name: pool, op: global_pool}\n"                                                          \
    "  - {name: classifier, op: linear}\n"

/* The resolution too: sides that divide and such that do not, strides, skips, a pool. */
#define TINY_SIDES                                                                                 \
    "name: tiny-sides\ninput: {channels: 2, size: {choices: [4, 6, 8]}}\nclasses: 3\n"             \
    "sets:\n  s:\n"                                                                                \
    "    a: {op: mbconv, kernel: 3, expand: 2, act: swish}\n"                                      \
    "    skip: {op: skip, at_shape_change: {op: conv, kernel: 1, act: none}}\n"                    \
    "layers:\n"                                                                                    \
    "  - {name: stem, op: conv, kernel: 3, channels: 4, act: swish}\n"                             \
    "  - {choice: s, channels: {choices: [3, 5]}, repeat: 2}\n"                                    \
    "  - {name: half, op: avg_pool, stride: 2}\n"                                                  \
    "  - {choice: s, channels: 6}\n"                                                               \
    "  - {name: pool, op: global_pool}\n"                                                          \
    "  - {name: classifier, op: linear}\n"

static inline lode_space *tiny_space(const char *text) {
    lode_space *s;
    assert_ok(lode_space_parse(text, "tiny.yaml", NULL, &s));
    return s;
}

/* Standard normal input of the space's size. */
static inline lode_tensor *tiny_input(const lode_space *s, lode_dtype dtype, int64_t batch,
                                      uint64_t index) {
    lode_space_options r = lode_space_resolved(s);
    lode_tensor *x;
    lode_shape shape = LODE_SHAPE4(batch, r.channels, r.size, r.size);
    lode_rng rng = lode_rng_stream(7, LODE_RNG_TEST, index);
    assert_ok(lode_tensor_create(lode_cpu_device(), dtype, &shape, LODE_CHANNELS_LAST, &x));
    assert_ok(lode_tensor_fill_normal(x, &rng, 0, 1));
    return x;
}

/* Running statistics as after training, so that EVAL is not the identity. */
static inline void tiny_disturb(lode_supernet *net) {
    for (int i = 0; i < lode_supernet_n_parameters(net); i++) {
        lode_parameter *p = lode_supernet_parameter(net, i);
        lode_rng rng = lode_rng_stream(11, LODE_RNG_TEST, lode_hash_text(p->name));
        bool var = strstr(p->name, ".var") != NULL, mean = strstr(p->name, ".mean") != NULL;
        if (var || p->kind == LODE_PARAM_NORM)
            assert_ok(lode_tensor_fill_uniform(p->value, &rng, 0.5, 1.5));
        if (mean) assert_ok(lode_tensor_fill_normal(p->value, &rng, 0, 0.3));
    }
}

/* Logits of one architecture (NULL for a fixed network) on an EVAL tape; release them. */
static inline lode_tensor *tiny_logits(const lode_runner *runner, lode_supernet *net,
                                       const lode_arch *a, lode_tensor *x, lode_bn_mode bn) {
    lode_tape *t;
    lode_choice choice[LODE_MAX_DECISIONS];
    lode_forward_options options = {.bn = bn};
    if (a != NULL) lode_choice_from_arch(a, choice);
    assert_ok(lode_tape_create(LODE_EVAL, runner, &t));
    lode_var *y = lode_supernet_forward(t, net, lode_tape_constant(t, x), a != NULL ? choice : NULL,
                                        &options);
    assert_ok(lode_tape_status(t));
    lode_tensor *out = lode_take_value(y);
    lode_tape_destroy(t);
    return out;
}
#endif
