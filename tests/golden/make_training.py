"""Makes the golden files of the train room with PyTorch.

    python tests/golden/make_training.py            (from the source tree; writes next to itself)

training_optimizers.json   ten steps of each optimizer on formula-made gradients
training_schedules.json    learning rates of PyTorch's schedulers
training_network.json      losses of 50 SGD steps of a small MobileNetV2-like network

Weights, images and labels come from the formula `number` below, which the tests repeat in C, so that
the files hold results only.
"""
import json
import math
import pathlib
import platform

import numpy as np
import torch
import torch.nn.functional as F

HERE = pathlib.Path(__file__).parent
torch.set_num_threads(1)
torch.use_deterministic_algorithms(True)


def number(stream, i):
    """The i-th number of a stream, uniform in [-1, 1): a 32-bit mix, the same in C."""
    x = (np.asarray(i, dtype=np.uint64) * np.uint64(2654435761) + np.uint64(stream) * np.uint64(40503)) & np.uint64(0xFFFFFFFF)
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        x = ((x ^ (x >> np.uint64(shift))) * np.uint64(factor)) & np.uint64(0xFFFFFFFF)
    x ^= x >> np.uint64(16)
    return x.astype(np.float64) / 2.0**31 - 1.0


def made_by():
    return {"torch": torch.__version__, "python": platform.python_version(), "command": "python tests/golden/make_training.py"}


def write(name, value):
    (HERE / name).write_text(json.dumps(value, indent=1) + "\n")


# ---- optimizers ----
N, STEPS = 7, 10
OPTIMIZERS = [
    ("sgd", dict(lr=0.1), dict(momentum=0, nesterov=False)),
    ("sgd", dict(lr=0.1, momentum=0.9), dict(nesterov=False)),
    ("sgd", dict(lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.05), {}),
    ("adam", dict(lr=0.01, betas=(0.9, 0.999), weight_decay=0.05), {}),
    ("adam", dict(lr=0.01, betas=(0.5, 0.999), eps=1e-3), {}),
    ("adamw", dict(lr=0.01, betas=(0.9, 0.99), weight_decay=0.1), {}),
    ("rmsprop", dict(lr=0.01, alpha=0.99, weight_decay=0.05), dict(momentum=0)),
    ("rmsprop", dict(lr=0.01, alpha=0.9, momentum=0.9, eps=1e-3), {}),
]
CLASSES = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "rmsprop": torch.optim.RMSprop}


def optimizer_case(name, arguments, more, clip):
    w = torch.nn.Parameter(torch.tensor(number(1, np.arange(N)), dtype=torch.float32))
    optimizer = CLASSES[name]([w], **arguments)
    path = []
    for t in range(STEPS):
        w.grad = torch.tensor(number(2, np.arange(N) + 1000 * t), dtype=torch.float32)
        if clip:
            torch.nn.utils.clip_grad_norm_([w], clip)
        optimizer.step()
        path.append([float(v) for v in w.detach()])
    options = {k: v for k, v in arguments.items() if k != "betas"}
    if "betas" in arguments:
        options["beta1"], options["beta2"] = arguments["betas"]
    if "alpha" in options:
        options["rho"] = options.pop("alpha")
    return {"name": name, **options, **more, "clip": clip, "path": path}


def optimizers():
    cases = [optimizer_case(*c, 0) for c in OPTIMIZERS] + [optimizer_case(*OPTIMIZERS[2], 0.5)]
    write("training_optimizers.json", {"made_by": made_by(), "n": N, "cases": cases})


# ---- schedules ----
def schedule_case(kind, make, peak, total, **options):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=peak)
    scheduler = make(optimizer)
    rates = []
    for _ in range(total):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return {"kind": kind, "peak": peak, "total": total, **options, "rates": rates}


def schedules():
    s = torch.optim.lr_scheduler
    write("training_schedules.json", {"made_by": made_by(), "cases": [
        schedule_case("cosine", lambda o: s.CosineAnnealingLR(o, 20, 0.001), 0.1, 20, final=0.001),
        schedule_case("step", lambda o: s.StepLR(o, 6, 0.3), 0.1, 20, every=6, gamma=0.3),
        schedule_case("linear", lambda o: s.LinearLR(o, 1, 0.01, 20), 0.5, 20, final=0.005),
        schedule_case("constant", lambda o: s.ConstantLR(o, 1), 0.2, 5),
    ]})


# ---- a network ----
# (name, kernel, expansion, channels, stride); everything is followed by batch norm.
BLOCKS = [("b1", 3, 1, 8, 1), ("b2", 3, 6, 16, 2), ("b3", 5, 3, 16, 1), ("b4", 3, 6, 24, 2)]
STEM, HEAD, N_CLASSES, SIZE, BATCH, TRAIN_STEPS = 8, 32, 10, 12, 16, 50
F64_STEPS = 16  # enough to show any difference in meaning, and quick through our references
# A rate at which a change of 1e-7 in the weights stays below 3e-4 in the losses: single precision
# may cross a kink of ReLU6 earlier or later, and higher rates amplify that.
LR, MOMENTUM, DECAY, SMOOTHING = 0.005, 0.9, 1e-3, 0.1


class Network:
    """Parameters are numbered in the order in which they are first used, batch norm's two included."""

    def __init__(self, dtype):
        self.dtype, self.p, self.buffers = dtype, {}, {}

    def weight(self, name, shape):
        if name not in self.p:
            fan_in = math.prod(shape[1:])
            values = number(100 + len(self.p), np.arange(math.prod(shape))) * math.sqrt(6 / fan_in)
            self.p[name] = torch.nn.Parameter(torch.tensor(values.reshape(shape), dtype=self.dtype))
        return self.p[name]

    def conv(self, name, x, out, kernel, stride=1, groups=1):
        w = self.weight(name + ".weight", (out, x.shape[1] // groups, kernel, kernel))
        return F.conv2d(x, w, stride=stride, padding=kernel // 2, groups=groups)

    def bn(self, name, x, train):
        if name not in self.buffers:
            c = x.shape[1]
            self.p[name + ".gamma"] = torch.nn.Parameter(torch.ones(c, dtype=self.dtype))
            self.p[name + ".beta"] = torch.nn.Parameter(torch.zeros(c, dtype=self.dtype))
            self.buffers[name] = (torch.zeros(c, dtype=self.dtype), torch.ones(c, dtype=self.dtype))
        mean, var = self.buffers[name]
        return F.batch_norm(x, mean, var, self.p[name + ".gamma"], self.p[name + ".beta"], train)

    def mbconv(self, name, x, kernel, expand, out, stride, train):
        y, hidden = x, x.shape[1] * expand
        if expand != 1:
            y = F.relu6(self.bn(name + ".expand.bn", self.conv(name + ".expand", y, hidden, 1), train))
        y = self.conv(name + ".depthwise", y, hidden, kernel, stride, hidden)
        y = F.relu6(self.bn(name + ".depthwise.bn", y, train))
        y = self.bn(name + ".project.bn", self.conv(name + ".project", y, out, 1), train)
        return x + y if x.shape == y.shape else y

    def forward(self, x, train):
        x = F.relu6(self.bn("stem.bn", self.conv("stem.conv", x, STEM, 3), train))
        for block in BLOCKS:
            x = self.mbconv(block[0], x, *block[1:], train)
        x = F.relu6(self.bn("head.bn", self.conv("head.conv", x, HEAD, 1), train))
        x = x.mean((2, 3))
        w = self.weight("classifier.linear.weight", (N_CLASSES, HEAD))
        if "classifier.linear.bias" not in self.p:
            self.p["classifier.linear.bias"] = torch.nn.Parameter(torch.zeros(N_CLASSES, dtype=self.dtype))
        return F.linear(x, w, self.p["classifier.linear.bias"])


def batch_of(step, dtype):
    labels = (np.arange(BATCH) * 7 + step * 3) % N_CLASSES
    n = 3 * SIZE * SIZE
    noise = number(5000 + step, np.arange(BATCH * n)).reshape(BATCH, n)
    pattern = np.stack([number(4000 + k, np.arange(n)) for k in range(N_CLASSES)])
    x = (pattern[labels] + noise).reshape(BATCH, 3, SIZE, SIZE).astype(np.float32)
    return torch.tensor(x, dtype=dtype), torch.tensor(labels)


def train(dtype, steps):
    net = Network(dtype)
    net.forward(batch_of(0, dtype)[0], False)  # makes the parameters, leaves running statistics
    optimizer = torch.optim.SGD(net.p.values(), lr=LR, momentum=MOMENTUM, nesterov=True, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, TRAIN_STEPS)
    losses = []
    for step in range(steps):
        x, labels = batch_of(step, dtype)
        loss = F.cross_entropy(net.forward(x, True), labels, label_smoothing=SMOOTHING)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(float(loss.detach()))
    x, labels = batch_of(steps, dtype)
    evaluation = float(F.cross_entropy(net.forward(x, False), labels).detach())
    return net, losses, evaluation


def ending(net, losses, evaluation):
    return {"loss": losses, "evaluation": evaluation,
            "sums": {k: float(v.detach().sum()) for k, v in net.p.items()},
            "running": {k: [float(m.sum()), float(v.sum())] for k, (m, v) in net.buffers.items()}}


def network():
    net, *rest = train(torch.float64, F64_STEPS)
    write("training_network.json", {
        "made_by": made_by(), "lr": LR, "momentum": MOMENTUM, "weight_decay": DECAY, "label_smoothing": SMOOTHING,
        "batch": BATCH, "size": SIZE, "classes": N_CLASSES, "steps": TRAIN_STEPS,
        "parameters": {k: list(v.shape) for k, v in net.p.items()},
        "f64": ending(net, *rest), "f32": ending(*train(torch.float32, TRAIN_STEPS)),
    })


if __name__ == "__main__":
    network()
    optimizers()
    schedules()
