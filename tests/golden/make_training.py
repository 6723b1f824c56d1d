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


if __name__ == "__main__":
    optimizers()
    schedules()
