"""The networks of a Lode space in PyTorch, read from the same YAML file.

Only what bench/compare_pytorch.py compares is here: chains of fixed layers and choices, one-input
cells, and the kinds of block those spaces use. A key that this reader does not know is an error, so
that a network is never quietly another one.
"""
import torch
import torch.nn as nn
import torch.nn.functional as F

ACTIVATIONS = {"relu": nn.ReLU, "relu6": nn.ReLU6, "hswish": nn.Hardswish, "swish": nn.SiLU}


def activation(name):
    return nn.Identity() if name == "none" else ACTIVATIONS[name](inplace=True)


def take(spec, **defaults):
    """The keys of a block, with defaults; other keys are an error."""
    known = set(defaults) | {"op", "at_shape_change"}
    unknown = set(spec) - known
    if unknown:
        raise ValueError(f"key {sorted(unknown)} of {spec} is not known here")
    return {k: spec.get(k, v) for k, v in defaults.items()}


def conv_bn(c_in, c_out, kernel=1, stride=1, groups=1, dilation=1, bias=False):
    pad = dilation * (kernel - 1) // 2
    return [nn.Conv2d(c_in, c_out, kernel, stride, pad, dilation, groups, bias),
            nn.BatchNorm2d(c_out)]


class Shuffle(nn.Module):
    def __init__(self, groups):
        super().__init__()
        self.groups = groups

    def forward(self, x):
        return F.channel_shuffle(x, self.groups)


class Conv(nn.Module):
    def __init__(self, spec, c_in, c_out, stride):
        super().__init__()
        k = take(spec, kernel=3, groups=1, dilation=1, bias=False, bn=True, act="relu",
                 order="conv_bn_act")
        body = conv_bn(c_in, c_out, k["kernel"], stride, k["groups"], k["dilation"], k["bias"])
        if not k["bn"]:
            body = body[:1]
        first = k["order"] == "act_conv_bn"
        # An activation in front works on what others still read: not in place.
        act = [activation(k["act"])] if not first else [ACTIVATIONS[k["act"]]()]
        self.body = nn.Sequential(*(act + body if first else body + act))

    def forward(self, x):
        return self.body(x)


class MBConv(nn.Module):
    def __init__(self, spec, c_in, c_out, stride):
        super().__init__()
        k = take(spec, kernel=3, expand=6, groups=1, act="relu", expand_conv="auto")
        hidden = int(k["expand"] * c_in)
        body = []
        if k["expand"] != 1 or k["expand_conv"] == "always":
            body += conv_bn(c_in, hidden, groups=k["groups"]) + [activation(k["act"])]
            if k["groups"] > 1:
                body += [Shuffle(k["groups"])]
        body += conv_bn(hidden, hidden, k["kernel"], stride, hidden) + [activation(k["act"])]
        body += conv_bn(hidden, c_out, groups=k["groups"])
        self.body = nn.Sequential(*body)
        self.residual = stride == 1 and c_in == c_out

    def forward(self, x):
        return self.body(x) + x if self.residual else self.body(x)


class Residual(nn.Module):
    def __init__(self, spec, c_in, c_out, stride):
        super().__init__()
        take(spec)
        self.body = nn.Sequential(nn.ReLU(), *conv_bn(c_in, c_out, 3, stride),
                                  nn.ReLU(inplace=True), *conv_bn(c_out, c_out, 3))
        if stride == 2:
            self.shortcut = nn.Sequential(nn.AvgPool2d(2, 2, 0, ceil_mode=True),
                                          nn.Conv2d(c_in, c_out, 1, bias=False))
        elif c_in != c_out:
            self.shortcut = nn.Sequential(nn.ReLU(), *conv_bn(c_in, c_out))
        else:
            self.shortcut = nn.Identity()

    def forward(self, x):
        return self.body(x) + self.shortcut(x)


def skip(spec, c_in, c_out, stride):
    take(spec)
    if stride != 1 or c_in != c_out:
        raise ValueError("skip cannot change the shape")
    return nn.Identity()


def avg_pool(spec, c_in, c_out, stride):
    k = take(spec, kernel=3, bn=False)
    pool = nn.AvgPool2d(k["kernel"], stride, k["kernel"] // 2, count_include_pad=False)
    return nn.Sequential(pool, nn.BatchNorm2d(c_in)) if k["bn"] else pool


def bn_act(spec, c_in, c_out, stride):
    return nn.Sequential(nn.BatchNorm2d(c_in), activation(take(spec, act="relu")["act"]))


def global_pool(spec, c_in, c_out, stride):
    take(spec)
    return nn.AdaptiveAvgPool2d(1)


def linear(spec, c_in, c_out, stride):
    take(spec, dropout=0)
    return nn.Sequential(nn.Flatten(), nn.Linear(c_in, c_out))


BLOCKS = {"conv": Conv, "mbconv": MBConv, "residual": Residual, "skip": skip, "avg_pool": avg_pool,
          "bn_act": bn_act, "global_pool": global_pool, "linear": linear}


def build(spec, c_in, c_out, stride):
    return BLOCKS[spec["op"]](spec, c_in, c_out, stride)


class Choice(nn.Module):
    """One decision: one option runs, or the weighted sum of all."""

    def __init__(self, options, c_in, c_out, stride):
        super().__init__()
        same = stride == 1 and c_in == c_out
        self.names, blocks = [], []
        for name, spec in options.items():
            other = spec.get("at_shape_change", "keep")
            if not same and other == "drop":
                continue
            if not same and isinstance(other, dict):
                spec = other
            self.names.append(name)
            blocks.append(None if spec["op"] == "none" else build(spec, c_in, c_out, stride))
        self.blocks = nn.ModuleList(b if b is not None else nn.Identity() for b in blocks)
        self.nothing = [b is None for b in blocks]

    def forward(self, x, chosen, weights):
        """chosen: an option's number, or None for all. weights: [K], or None. May return None."""
        if chosen is not None:
            if self.nothing[chosen]:
                return None
            y = self.blocks[chosen](x)
            return y if weights is None else y * weights[chosen]
        total = None
        for w, block, nothing in zip(weights, self.blocks, self.nothing):
            if not nothing:
                y = block(x) * w
                total = y if total is None else total + y
        return total


class Cell(nn.Module):
    """Nodes that sum edges from all states before; every cell shares its decisions."""

    def __init__(self, cell, options, c_in, c_out, stride):
        super().__init__()
        if cell.get("inputs", 1) != 1 or cell.get("output", "last") != "last" or \
                stride != 1 or c_in != c_out:
            raise ValueError("this cell is not known here")
        self.n = cell["nodes"]
        self.edges = nn.ModuleList(Choice(options, c_in, c_out, 1)
                                   for node in range(self.n) for _ in range(node + 1))

    def forward(self, x, chosen, weights):
        states, e = [x], 0
        for node in range(self.n):
            total = None
            for source in range(node + 1):
                y = None
                if states[source] is not None:
                    y = self.edges[e](states[source], chosen[e] if chosen else None,
                                      weights[e] if weights else None)
                e += 1
                total = y if total is None else total if y is None else total + y
            states.append(total if total is not None else torch.zeros_like(x))
        return states[-1]


class Network(nn.Module):
    def __init__(self, space):
        super().__init__()
        self.space = space
        self.size, channels = space["input"]["size"], space["input"]["channels"]
        self.channels, self.classes = channels, space.get("classes", 10)
        self.cells = space.get("code") == "cell"
        layers = []
        for item in space["layers"]:
            c_out = item.get("channels", self.classes if item.get("op") == "linear" else channels)
            for i in range(item.get("repeat", 1)):
                stride = item.get("stride", 1) if i == 0 else 1
                if "choice" in item:
                    layers.append(Choice(space["sets"][item["choice"]], channels, c_out, stride))
                elif "cell" in item:
                    cell = space["cells"][item["cell"]]
                    layers.append(Cell(cell, space["sets"][cell["set"]], channels, c_out, stride))
                else:
                    spec = {k: v for k, v in item.items()
                            if k not in ("name", "channels", "stride", "repeat")}
                    layers.append(build(spec, channels, c_out, stride))
                channels = c_out
        self.layers = nn.ModuleList(layers)

    def decisions(self):
        """The options' names of every decision."""
        if self.cells:
            return [e.names for e in next(m for m in self.layers if isinstance(m, Cell)).edges]
        return [m.names for m in self.layers if isinstance(m, Choice)]

    def parse(self, text):
        """An architecture as Lode prints it: names with commas, digits, or a cell's code."""
        names = self.decisions()
        if not names:
            return []
        if self.cells:
            words = [w.split("~")[0] for w in text.replace("+", "").split("|") if w]
        elif "," in text or len(names) == 1:
            words = text.split(",")
        else:
            words = [n[int(d)] for n, d in zip(names, text)]
        return [n.index(w) for n, w in zip(names, words)]

    def blocks(self):
        """Modules that a step runs as a whole: what torch.compile is given in supernets."""
        for i, m in enumerate(self.layers):
            if isinstance(m, (Choice, Cell)):
                choices = [m] if isinstance(m, Choice) else m.edges
                for c in choices:
                    for k in range(len(c.blocks)):
                        yield c.blocks, k
            else:
                yield self.layers, i

    def forward(self, x, chosen=None, weights=None):
        d = 0
        for m in self.layers:
            if isinstance(m, Choice):
                x = m(x, chosen[d] if chosen else None, weights[d] if weights else None)
                d += 1
            elif isinstance(m, Cell):
                x = m(x, chosen, weights)
            else:
                x = m(x)
        return x

    def used(self, chosen):
        """The modules on one path."""
        d = 0
        for m in self.layers:
            if isinstance(m, Choice):
                yield m.blocks[chosen[d]]
                d += 1
            elif isinstance(m, Cell):
                for e, k in zip(m.edges, chosen):
                    yield e.blocks[k]
            else:
                yield m

    def path(self, chosen):
        """The fixed network of an architecture."""
        if self.cells:
            raise ValueError("a cell's path is not a chain")
        return nn.Sequential(*self.used(chosen))

    def count(self, chosen):
        """(multiply-accumulates of convolutions and linear layers for one image, parameters)."""
        macs, handles = [0], []

        def hook(module, _, y):
            w = module.weight
            macs[0] += w[0].numel() * y[0].numel()

        for m in self.modules():
            if isinstance(m, (nn.Conv2d, nn.Linear)):
                handles.append(m.register_forward_hook(hook))
        self.eval()
        with torch.no_grad():
            self(torch.zeros(1, self.channels, self.size, self.size), chosen or None)
        for h in handles:
            h.remove()
        self.train()
        return macs[0], sum(p.numel() for m in self.used(chosen) for p in m.parameters())
