"""Makes recurrent.json: LSTM and GRU layers over a sequence, forward and backward, by PyTorch in float64.

    python tests/golden/make_recurrent.py            (from the source tree; writes next to itself)

Weights, inputs and gradients are multiples of 1/64 made by the formula `number`, which
tests/ops/test_recurrent.c repeats, so that the file holds results only.
"""
import json
import pathlib

import numpy as np
import torch

HERE = pathlib.Path(__file__).parent
T, N, D, H = 4, 2, 3, 5


def number(stream, *shape):
    """The stream's numbers in row-major order: -32..31 over 64."""
    i = np.arange(int(np.prod(shape)))
    return torch.tensor(((i * 37 + stream * 11) * 29 % 64 - 32) / 64.0, dtype=torch.float64).reshape(shape)


def layer(make, gates):
    net = make(D, H).double()
    for k, (p, shape) in enumerate(zip(net.parameters(), [(gates * H, D), (gates * H, H), (gates * H,), (gates * H,)])):
        p.data = number(k, *shape)
    x = number(4, T, N, D).requires_grad_()
    y, last = net(x)
    y.backward(number(5, T, N, H))
    state = torch.cat(last, 2)[0] if isinstance(last, tuple) else last[0]
    names = ["w_ih", "w_hh", "b_ih", "b_hh"]
    result = {"y": y, "state": state, "dx": x.grad, **{"d" + k: p.grad for k, p in zip(names, net.parameters())}}
    return {k: v.detach().flatten().tolist() for k, v in result.items()}


value = {"torch": torch.__version__, "command": "python tests/golden/make_recurrent.py",
         "lstm": layer(torch.nn.LSTM, 4), "gru": layer(torch.nn.GRU, 3)}
(HERE / "recurrent.json").write_text(json.dumps(value, indent=1) + "\n")
