"""Golden values of every operator, forward and backward, computed by PyTorch in float64.

    python tests/golden/make_ops.py tests/golden/ops.safetensors

Needs numpy and PyTorch (any current version; which one stands in the file's metadata). Each case is
an operator, its parameters (the fields of its C struct), inputs, a gradient dy, and what PyTorch
says y and the inputs' gradients are. The file is in the safetensors layout; its metadata lists the
cases as JSON. tests/ops/test_ops_golden.c reads it. Random operators are checked against a second
implementation of their generator (Philox4x32-10) written here.
"""
import json
import struct
import sys
import zlib

import numpy as np
import torch
import torch.nn.functional as F

rng = np.random.RandomState(7)
cases, tensors = [], {}


def rand(*shape, low=-2.0, high=2.0, away=()):
    """Multiples of 1/512 (exact in float32) in (low, high), at least 0.02 from each kink."""
    x = rng.uniform(low, high, shape)
    for kink in away:
        near = np.abs(x - kink) < 0.02
        x = np.where(near, x + 0.05, x)
    return np.round(np.asarray(x) * 512) / 512


def distinct(*shape):
    n = int(np.prod(shape))
    return (rng.permutation(n).reshape(shape) - n // 2) / 8.0


def index(*shape, high, dtype=np.int64):
    return rng.randint(0, high, shape).astype(dtype)


NAMES = {np.dtype(np.float32): "F32", np.dtype(np.float64): "F64", np.dtype(np.int32): "I32",
         np.dtype(np.int64): "I64"}


def case(op, f, inputs, params=None, after=None, constant=()):
    """f takes torch tensors (None where absent) and returns y; gradients flow to float inputs that
    are not in `constant`. after: {input: f} for inputs that forward changes in place."""
    name = "%s.%d" % (op, sum(c["op"] == op for c in cases))
    x = [None if v is None else torch.tensor(v) for v in inputs]
    for i, v in enumerate(x):
        if v is not None and v.is_floating_point() and i not in constant:
            v.requires_grad_()
    y = f(*x)
    cases.append({"name": name, "op": op, "params": params or {}, "n_x": len(x)})
    for i, v in enumerate(inputs):
        if v is not None:
            v = np.asarray(v)
            tensors["%s.x%d" % (name, i)] = v.astype(np.float32) if v.dtype == np.float64 else v
    tensors[name + ".y"] = y.detach().numpy()
    for i, g in (after or {}).items():
        tensors["%s.after%d" % (name, i)] = g
    if not y.requires_grad:
        return
    dy = rand(*y.shape, low=-1, high=1)
    y.backward(torch.tensor(dy))
    tensors[name + ".dy"] = np.asarray(dy, np.float32)
    for i, v in enumerate(x):
        if v is not None and v.requires_grad:
            grad = v.grad if v.grad is not None else torch.zeros_like(v)
            tensors["%s.dx%d" % (name, i)] = grad.numpy()


# ---- a second Philox4x32-10 (Salmon et al. 2011) for dropout and noise ----
def philox_u32(seed, purpose, stream, position):
    block, mask = position // 4, 0xFFFFFFFF
    c = [block & mask, (purpose << 24 | block >> 32) & mask, stream & mask, stream >> 32]
    k = [seed & mask, seed >> 32]
    for _ in range(10):
        a, b = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(b >> 32) ^ c[1] ^ k[0], b & mask, (a >> 32) ^ c[3] ^ k[1], a & mask]
        k = [(k[0] + 0x9E3779B9) & mask, (k[1] + 0xBB67AE85) & mask]
    return c[position % 4]


def uniforms(p, n):
    return np.array([(philox_u32(p["seed"], p["purpose"], p["index"], p["position"] + i) + 0.5) /
                     2.0**32 for i in range(n)])


def activations():
    table = {
        "relu": (F.relu, [0]),
        "relu6": (F.relu6, [0, 6]),
        # F.hardsigmoid's gradient multiplies by 1/6 rounded to float32, whatever the dtype
        "hsigmoid": (lambda x: F.relu6(x + 3) / 6, [-3, 3]),
        "hswish": (lambda x: x * F.relu6(x + 3) / 6, [-3, 3]),
        "swish": (F.silu, []),
        "sigmoid": (torch.sigmoid, []),
        "tanh": (torch.tanh, []),
        "gelu": (F.gelu, []),
    }
    for op, (f, kinks) in table.items():
        case(op, f, [rand(3, 7, low=-8, high=8, away=kinks)])
        case(op, f, [rand(2, 3, 2, 4, low=-5, high=8, away=kinks)])
    case("leaky_relu", lambda x: F.leaky_relu(x, 0.1), [rand(4, 5, away=[0])], {"slope": 0.1})


def arithmetic():
    for op, f in {"add": torch.add, "sub": torch.sub, "mul": torch.mul, "div": torch.div}.items():
        low = 0.5 if op == "div" else -2
        case(op, f, [rand(2, 3, 4), rand(2, 3, 4, low=low)])
        case(op, f, [rand(2, 3, 2, 2), rand(1, 3, 1, 1, low=low)])
        case(op, f, [rand(3, 1), rand(4, low=low)])
    case("scale", lambda x: 1.5 * x - 0.25, [rand(2, 5)], {"factor": 1.5, "shift": -0.25})
    case("scale_rows", lambda x, s: x * s.reshape(-1, 1, 1, 1), [rand(3, 2, 2, 2), rand(3)])
    case("identity", lambda x: x.clone(), [rand(2, 3)])
    case("zero", lambda x: 0 * x[:, :, ::2, ::2], [rand(2, 3, 5, 4)], {"stride": 2})

    def mixture(w, *o):
        w = w.reshape(-1, w.shape[-1])
        return sum(w[:, k].reshape([-1] + [1] * (v.dim() - 1)) * v
                   for k, v in zip(present, o))

    present = [0, 1, 2]
    case("weighted_sum", mixture, [rand(3)] + [rand(2, 3, 2, 2) for _ in present],
         {"k": 3, "present": 0b111})
    present = [0, 2]
    case("weighted_sum", mixture, [rand(4)] + [rand(2, 5) for _ in present],
         {"k": 4, "present": 0b101})
    case("weighted_sum", mixture, [rand(3, 3)] + [rand(3, 2, 2, 1) for _ in present],
         {"k": 3, "present": 0b101})


def convolutions():
    def conv(x, w, b, stride=(1, 1), pad=(0, 0), dilation=(1, 1), groups=1):
        case("conv2d", lambda x, w, b=None: F.conv2d(x, w, b, stride, pad, dilation, groups),
             [x, w, b], {"stride": stride, "pad": pad, "dilation": dilation, "groups": groups})

    conv(rand(2, 3, 5, 5), rand(4, 3, 3, 3), rand(4), pad=(1, 1))
    conv(rand(2, 3, 7, 6), rand(2, 3, 3, 3), None, stride=(2, 2), pad=(1, 1))
    conv(rand(2, 4, 3, 3), rand(6, 4, 1, 1), None)
    conv(rand(2, 6, 5, 5), rand(6, 1, 3, 3), None, pad=(1, 1), groups=6)
    conv(rand(1, 4, 7, 7), rand(4, 1, 5, 5), rand(4), stride=(2, 2), pad=(2, 2), groups=4)
    conv(rand(1, 4, 6, 5), rand(6, 2, 3, 3), rand(6), pad=(2, 2), dilation=(2, 2), groups=2)
    conv(rand(1, 2, 5, 8), rand(3, 2, 3, 5), None, stride=(2, 1), pad=(0, 2))
    case("linear", F.linear, [rand(3, 5), rand(4, 5), rand(4)])
    case("linear", lambda x, w, b: F.linear(x, w), [rand(2, 3, 4), rand(2, 4), None])
    for ta in (0, 1):
        for tb in (0, 1):
            f = lambda a, b: (a.mT if ta else a) @ (b.mT if tb else b)
            flags = {"transpose_a": ta, "transpose_b": tb}
            case("matmul", f, [rand(*((4, 3) if ta else (3, 4))), rand(*((5, 4) if tb else (4, 5)))],
                 flags)
            case("batch_matmul", f, [rand(2, *((4, 3) if ta else (3, 4))),
                                     rand(1 if ta else 2, *((2, 4) if tb else (4, 2)))], flags)


def norms():
    def norm(x, affine, use_batch, momentum=0.1, eps=1e-5):
        C = x.shape[1]
        mean, var = rand(C, low=-1, high=1), rand(C, low=0.5, high=2)
        run = [torch.tensor(mean), torch.tensor(var)]

        def f(x, gamma, beta, m, v):
            return F.batch_norm(x, *run, gamma, beta, bool(use_batch), momentum, eps)

        f(*[torch.tensor(x), None, None, None, None])  # moves `run` when use_batch: read it, reset
        after = {3: run[0].numpy().copy(), 4: run[1].numpy().copy()}
        run = [torch.tensor(mean), torch.tensor(var)]
        case("batch_norm", f, [x, rand(C) if affine else None, rand(C) if affine else None, mean,
                               var],
             {"eps": eps, "momentum": momentum, "use_batch": use_batch, "update_running": 1},
             after=after, constant=(3, 4))

    norm(rand(3, 4, 3, 2), True, 1)
    norm(rand(5, 6), False, 1, momentum=0.25, eps=1e-3)
    norm(rand(2, 3, 2, 2), True, 0)
    norm(rand(2, 3, 2, 2), False, 0)
    case("layer_norm", lambda x, g, b: F.layer_norm(x, x.shape[-1:], g, b, 1e-5),
         [rand(3, 5), rand(5), rand(5)], {"eps": 1e-5})
    case("layer_norm", lambda x, g, b: F.layer_norm(x, x.shape[-1:], None, None, 1e-3),
         [rand(2, 2, 7), None, None], {"eps": 1e-3})


def pools():
    def pool(x, k, s, p, include=0, ceil=0):
        params = {"kernel": (k, k), "stride": (s, s), "pad": (p, p), "count_include_pad": include,
                  "ceil_mode": ceil}
        case("max_pool", lambda x: F.max_pool2d(x, k, s, p, 1, bool(ceil)), [x], params)
        case("avg_pool", lambda x: F.avg_pool2d(x, k, s, p, bool(ceil), bool(include)), [x], params)

    pool(distinct(2, 3, 6, 6), 2, 2, 0)
    pool(distinct(1, 2, 5, 7), 3, 1, 1)
    pool(distinct(1, 2, 7, 6), 3, 2, 1, include=1)
    pool(distinct(2, 2, 6, 5), 3, 2, 1, ceil=1)
    pool(distinct(1, 3, 5, 6), 2, 2, 1, include=1, ceil=1)
    pool(distinct(1, 2, 6, 4), 3, 2, 1, include=1, ceil=1)  # windows beyond the padded border
    case("global_avg_pool", lambda x: F.adaptive_avg_pool2d(x, 1), [rand(2, 3, 3, 4)])
    for h, w, corners in ((6, 8, 0), (5, 9, 1), (2, 3, 0), (1, 1, 1)):
        case("bilinear_upsample",
             lambda x: F.interpolate(x, (h, w), mode="bilinear", align_corners=bool(corners)),
             [rand(1, 2, 3, 4)], {"height": h, "width": w, "align_corners": corners})


def shapes():
    case("concat", lambda *x: torch.cat(x, 1), [rand(2, 1, 2, 2), rand(2, 3, 2, 2), rand(2, 2, 2, 2)],
         {"dim": 1})
    case("slice", lambda x: x[:, 1:6:2] * 1, [rand(2, 7)],
         {"dim": 1, "begin": 1, "end": 6, "step": 2})
    case("pad", lambda x: F.pad(x, (1, 2, 0, 1), value=0.5), [rand(1, 2, 2, 3)],
         {"before": (0, 0, 0, 1, 0, 0), "after": (0, 0, 1, 2, 0, 0), "value": 0.5})
    case("pad", lambda x: F.pad(x, (-1, 2)), [rand(2, 4)],
         {"before": (0, -1, 0, 0, 0, 0), "after": (0, 2, 0, 0, 0, 0), "value": 0.0})
    case("reshape", lambda x: x.reshape(3, -1) * 1, [rand(2, 6)],
         {"dim": (3, -1, 0, 0, 0, 0), "n_dims": 2})
    case("reshape", lambda x: x.reshape(2, 12) * 1, [rand(2, 3, 2, 2)],
         {"dim": (2, 12, 0, 0, 0, 0), "n_dims": 2})
    case("transpose", lambda x: x.permute(2, 0, 1).contiguous(), [rand(2, 3, 4)],
         {"perm": (2, 0, 1, 0, 0, 0)})
    case("channel_shuffle", lambda x: F.channel_shuffle(x, 3), [rand(2, 6, 2, 2)], {"groups": 3})
    for op, f, make in (("reduce_sum", torch.sum, rand), ("reduce_mean", torch.mean, rand),
                        ("reduce_max", torch.amax, distinct)):
        case(op, lambda x: f(x, dim=(0, 1, 2)), [make(2, 3, 4)], {"dims": 0, "keep": 0})
        case(op, lambda x: f(x, dim=(0, 2), keepdim=True), [make(2, 3, 4)],
             {"dims": 0b101, "keep": 1})
        case(op, lambda x: f(x, dim=(2, 3)), [make(2, 3, 2, 2)], {"dims": 0b1100, "keep": 0})


def losses():
    case("softmax", lambda x: F.softmax(x, -1), [rand(3, 7, low=-5, high=5)])
    case("log_softmax", lambda x: F.log_softmax(x, -1), [rand(2, 2, 5, low=-5, high=5)])

    def cross(x, labels, smoothing):
        case("cross_entropy",
             lambda x, q: F.cross_entropy(x, q.long() if not q.is_floating_point() else q,
                                          ignore_index=-1, label_smoothing=smoothing),
             [x, labels], {"smoothing": smoothing}, constant=(1,))

    cross(rand(5, 10), index(5, high=10), 0.0)
    cross(rand(5, 10), index(5, high=10, dtype=np.int32), 0.1)
    cross(rand(4, 6), np.array([0, -1, 5, -1]), 0.2)
    cross(rand(3, 4), np.array([[.5, .25, .25, 0], [0, 0, 1, 0], [.125, .125, .25, .5]]), 0.0)
    cross(rand(2, 3), np.array([[.5, .75, 0], [0, .25, .25]]), 0.0)  # sums are not 1
    cross(rand(2, 4), np.array([[.5, .25, .25, 0], [.125, .125, .25, .5]]), 0.1)
    for T in (1.0, 4.0):
        case("kl_div",
             lambda s, t: T * T * F.kl_div(F.log_softmax(s / T, -1), F.softmax(t / T, -1),
                                           reduction="batchmean"),
             [rand(3, 6), rand(3, 6)], {"temperature": T}, constant=(1,))
    case("mse", F.mse_loss, [rand(2, 5), rand(2, 5)])
    case("embedding", lambda t, i: F.embedding(i, t), [rand(6, 3), index(2, 4, high=6)])


def chance():
    p = {"seed": 0x123456789ABCDEF, "index": 0x1FFFFFFFF, "position": 3, "purpose": 4, "p": 0.4,
         "per_sample": 0}
    keep = torch.tensor(uniforms(p, 24).reshape(4, 6) >= 0.4)
    case("dropout", lambda x: x * keep / 0.6, [rand(4, 6)], p)
    rows = torch.tensor(uniforms(p, 8) >= 0.4).reshape(8, 1, 1, 1)
    case("dropout", lambda x: x * rows / 0.6, [rand(8, 2, 2, 1)], dict(p, per_sample=1))
    g = {"seed": 42, "index": 7, "position": 1021, "purpose": 7, "dim": (3, 5), "n_dims": 2}
    case("gumbel_noise", lambda x: torch.tensor(-np.log(-np.log(uniforms(g, 15)))).reshape(3, 5),
         [rand(1)], g)
    case("argmax_onehot",
         lambda x: F.one_hot(x.detach().argmax(-1), x.shape[-1]).to(x.dtype), [distinct(3, 5)])


def blocks():
    acts = [lambda x: x, F.relu, F.relu6, lambda x: x * F.relu6(x + 3) / 6, F.silu]

    def mbconv(N, C, H, W, M, O, K, stride, act, expands, residual):
        def norm(n):
            return [rand(n, low=0.5, high=1.5), rand(n, low=-0.5, high=0.5),
                    rand(n, low=-1, high=1), rand(n, low=0.5, high=2)]

        none = [None] * 4
        inputs = [rand(N, C, H, W), rand(M, 1, K, K, low=-1, high=1), rand(O, M, 1, 1),
                  rand(M, C, 1, 1) if expands else None]
        inputs += (norm(M) if expands else none) + norm(M) + norm(O)
        run = [None if v is None else torch.tensor(v) for v in inputs]

        def f(x, wd, wp, we, *norms):
            def bn(z, i):
                return F.batch_norm(z, run[6 + 4 * i], run[7 + 4 * i], norms[4 * i],
                                    norms[4 * i + 1], True, 0.25, 1e-3)

            a = acts[act](bn(F.conv2d(x, we), 0)) if expands else x
            a = acts[act](bn(F.conv2d(a, wd, None, stride, K // 2, 1, M), 1))
            y = bn(F.conv2d(a, wp), 2)
            return y + x if residual else y

        f(*[None if v is None else torch.tensor(v) for v in inputs])  # moves `run`, as in norms()
        running = [i for i in (6, 7, 10, 11, 14, 15) if inputs[i] is not None]
        after = {i: run[i].numpy().copy() for i in running}
        run = [None if v is None else torch.tensor(v) for v in inputs]
        case("mbconv", f, inputs, {"eps": 1e-3, "momentum": 0.25, "stride": stride, "act": act,
                                   "residual": residual, "update_running": 1},
             after=after, constant=running)

    mbconv(2, 3, 5, 4, 7, 3, 3, 1, 2, True, 1)
    mbconv(2, 4, 5, 6, 4, 6, 5, 2, 3, False, 0)
    mbconv(3, 2, 7, 7, 5, 3, 7, 2, 4, True, 0)


def inference():
    acts = [lambda x: x, F.relu, F.relu6, lambda x: x * F.relu6(x + 3) / 6, F.silu]

    def conv_act(x, w, b, r, act, stride=(1, 1), pad=(0, 0), dilation=(1, 1), groups=1):
        def f(x, w, b=None, r=None):
            y = acts[act](F.conv2d(x, w, b, stride, pad, dilation, groups))
            return y if r is None else y + r

        case("conv_act", f, [x, w, b, r],
             {"conv.stride": stride, "conv.pad": pad, "conv.dilation": dilation,
              "conv.groups": groups, "act": act})

    conv_act(rand(2, 3, 5, 5), rand(4, 3, 3, 3), rand(4), rand(2, 4, 5, 5), 0, pad=(1, 1))
    conv_act(rand(2, 3, 7, 6), rand(2, 3, 3, 3), rand(2), None, 2, stride=(2, 2), pad=(1, 1))
    conv_act(rand(2, 4, 3, 3), rand(6, 4, 1, 1), None, rand(2, 6, 3, 3), 1)
    conv_act(rand(2, 6, 5, 5), rand(6, 1, 3, 3), rand(6), None, 3, pad=(1, 1), groups=6)
    conv_act(rand(1, 4, 6, 5), rand(6, 2, 3, 3), rand(6), rand(1, 6, 6, 5), 4, pad=(2, 2),
             dilation=(2, 2), groups=2)


def sizes():
    def mask(widths, channels):
        return torch.tensor([[float(c < w) for c in range(channels)] for w in widths])

    for widths, channels, shape in (((2, 4), 4, (2,)), ((1, 3, 0), 5, (2, 3))):
        case("prefix_mask", lambda g: g @ mask(widths, channels).to(g.dtype), [rand(*shape)],
             {"width": widths, "n": len(widths), "channels": channels})
    case("step", lambda x: (x.detach() >= 0).to(x.dtype), [rand(2, 5, away=(0,))])
    case("l2_norm", lambda x: torch.linalg.vector_norm(x), [rand(3, 4)])
    case("l2_norm", lambda x: torch.linalg.vector_norm(x), [rand(2, 3, 2, 2)])

    def places(large, small):
        return torch.arange(small) * large // small

    def scatter(x, height, width):
        y = torch.zeros(*x.shape[:2], height, width, dtype=x.dtype)
        rows, columns = places(height, x.shape[2]), places(width, x.shape[3])
        y[:, :, rows[:, None], columns[None]] = x
        return y

    for H, W, h, w in ((4, 4, 2, 2), (8, 6, 6, 5)):
        case("grid_subsample", lambda x: x[:, :, places(H, h)][:, :, :, places(W, w)],
             [rand(2, 3, H, W)], {"height": h, "width": w})
        case("grid_scatter", lambda x: scatter(x, H, W), [rand(2, 3, h, w)],
             {"height": H, "width": W})


def recurrent():
    """PyTorch's own cells: with W_ih = 1 and W_hh = 0 their products are what the operators take."""
    def lstm(zx, zh, c):
        n, four = zx.shape
        h, after = torch.lstm_cell(zx + zh, (torch.zeros_like(c), c), torch.eye(four, dtype=zx.dtype),
                                   torch.zeros(four, four // 4, dtype=zx.dtype))
        return torch.cat([h, after], 1)

    def gru(zx, zh, h):
        n, three = zx.shape
        rows = [torch.gru_cell(zx[i:i + 1], h[i:i + 1], torch.eye(three, dtype=zx.dtype),
                               torch.zeros(three, three // 3, dtype=zx.dtype),
                               torch.zeros(three, dtype=zx.dtype), zh[i]) for i in range(n)]
        return torch.cat(rows)

    for n, h in ((2, 3), (1, 17)):
        case("lstm_gates", lstm, [rand(n, 4 * h), rand(n, 4 * h), rand(n, h)])
        case("gru_gates", gru, [rand(n, 3 * h), rand(n, 3 * h), rand(n, h)])


def save(path):
    entries, blob = {}, b""
    for name in sorted(tensors):
        v = np.ascontiguousarray(tensors[name])
        entries[name] = {"dtype": NAMES[v.dtype], "shape": list(np.shape(tensors[name])),
                         "data_offsets": [len(blob), len(blob) + v.nbytes]}
        blob += v.tobytes()
    entries["__metadata__"] = {
        "cases": json.dumps(cases, separators=(",", ":")),
        "command": "python tests/golden/make_ops.py tests/golden/ops.safetensors",
        "crc32": "%08x" % zlib.crc32(blob),
        "made_by": "PyTorch %s, numpy %s" % (torch.__version__.split("+")[0], np.__version__),
    }
    head = json.dumps(entries, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(head)) + head + blob)
    print("%s: %d cases of %d operators, %d bytes" %
          (path, len(cases), len({c["op"] for c in cases}), 8 + len(head) + len(blob)))


if __name__ == "__main__":
    torch.manual_seed(0)
    for group in (activations, arithmetic, convolutions, norms, pools, shapes, losses, chance,
                  blocks, inference, sizes, recurrent):
        group()
    save(sys.argv[1])
