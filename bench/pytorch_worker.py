"""One measurement of bench/compare_pytorch.py, in a process of its own: reads a job as JSON from
standard input, trains (or infers) in one of PyTorch's modes, writes JSON to standard output.

A step does what Lode's trainer does: zero the gradients, forward, cross entropy, backward, the
optimizer, and reads the loss. Batches wait in memory, in the layout the mode wants."""
import contextlib
import json
import os
import resource
import sys
import time

import torch
import torch.nn.functional as F
import yaml
from pytorch_networks import Network

TAU = 5.0  # of Gumbel-softmax: Lode's in the first epoch


def rss():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def load(job):
    with open(job["space"]) as f:
        space = yaml.safe_load(f)
    return Network(space)


def optimizer(parameters, fused, **kind):
    """Fused kernels where this version has them for the CPU, and where every step reaches every
    parameter: they take no gradient that is missing."""
    cls = torch.optim.SGD if "momentum" in kind else torch.optim.Adam
    if not fused:
        return cls(parameters, **kind)
    try:
        return cls(parameters, fused=True, **kind)
    except (RuntimeError, TypeError, ValueError):
        return cls(parameters, **kind)


class Training:
    def __init__(self, job):
        self.job = job
        torch.manual_seed(1)
        space = load(job)
        layout = torch.contiguous_format if job["mode"] == "eager_nchw" else torch.channels_last
        n, c, s = job["batch"], space.channels, space.size
        self.x = [torch.randn(n, c, s, s).contiguous(memory_format=layout) for _ in range(4)]
        self.y = [torch.randint(0, space.classes, (n,)) for _ in range(4)]
        self.fixed = job["strategy"] == "fixed"
        self.parse = space.parse
        self.names = space.decisions()
        self.net = space.path(space.parse(job["arch"] or "")) if self.fixed else space
        self.net.to(memory_format=layout)
        self.alphas = [torch.nn.Parameter(torch.zeros(len(k))) for k in self.names]
        self.gumbel = job["strategy"] == "gumbel"
        every = self.fixed or job["sample"] == "soft"
        self.weights_optimizer = optimizer(self.net.parameters(), every, lr=0.01, momentum=0.9,
                                           weight_decay=1e-4)
        if self.gumbel:
            self.arch_optimizer = optimizer(self.alphas, every, lr=0.01, betas=(0.9, 0.999),
                                            weight_decay=5e-4)
        self.run = self.net
        self.n = 0

    def compile(self):
        """A fixed network as a whole; of a supernet each block, since the path changes. Every block
        runs once here, so that no compilation meets the clock."""
        if self.job["mode"] != "compile":
            return
        import torch._dynamo
        for name in ("cache_size_limit", "recompile_limit", "accumulated_cache_size_limit",
                     "accumulated_recompile_limit"):
            if hasattr(torch._dynamo.config, name):
                setattr(torch._dynamo.config, name, 8192)
        if self.fixed:
            self.run = torch.compile(self.net)
            return
        for modules, i in list(self.net.blocks()):
            modules[i] = torch.compile(modules[i])
        for turn in ("weights", "arch") if self.gumbel else ("weights",):
            if self.gumbel:
                self.freeze(turn)
            for k in range(max(len(n) for n in self.names)):
                chosen = [k % len(n) for n in self.names]
                logits = self.net(self.x[0], *self.mixing(turn, chosen))
                self.backward(F.cross_entropy(logits, self.y[0]))
                if self.gumbel and self.job["sample"] == "soft":
                    break  # it ran them all
        self.net.zero_grad()

    @staticmethod
    def backward(loss):
        """A path may not reach the output: then an architecture step has no gradient."""
        if loss.requires_grad:
            loss.backward()

    def freeze(self, turn):
        for p in self.net.parameters():
            p.requires_grad_(turn == "weights")
        for p in self.alphas:
            p.requires_grad_(turn == "arch")

    def mixing(self, turn, chosen):
        """(chosen, weights) of this step."""
        if not self.gumbel:
            return chosen, None
        if self.job["sample"] == "one_path" and turn == "weights":
            return chosen, None
        w = []
        for a in self.alphas:
            noise = -torch.empty_like(a).exponential_().log()
            w.append(torch.softmax((a + noise) / TAU, 0))
        if self.job["sample"] == "soft":
            return None, w
        # one-hot forward, soft backward
        hard = [F.one_hot(torch.tensor(k), len(n)) - p.detach() + p
                for k, n, p in zip(chosen, self.names, w)]
        return chosen, hard

    def step(self, turn, arch):
        start = time.perf_counter()
        chosen = None if self.fixed or arch is None else self.parse(arch)
        opt = self.weights_optimizer if turn == "weights" else self.arch_optimizer
        x, y = self.x[self.n % 4], self.y[self.n % 4]
        self.n += 1
        opt.zero_grad(set_to_none=True)
        logits = self.run(x) if self.fixed else self.net(x, *self.mixing(turn, chosen))
        loss = F.cross_entropy(logits, y)
        self.backward(loss)
        opt.step()
        if not loss.item() < 1e9:
            raise RuntimeError("the loss is not finite")
        return 1e3 * (time.perf_counter() - start)


def train(job):
    before = rss()
    t = Training(job)
    begin = time.perf_counter()
    t.compile()
    turns = ["weights", "arch"] if t.gumbel else ["weights"]
    ms = {turn: [] for turn in turns}
    for i in range(-job["warmup"], job["steps"]):
        if i == 0:
            prepared = time.perf_counter() - begin
        for turn in turns:
            if len(turns) > 1:
                t.freeze(turn)
            archs = job["step_arch"].get(turn) or [job["arch"]]
            taken = t.step(turn, archs[i % len(archs)])
            if i >= 0:
                ms[turn].append(taken)
    return {"step_ms": ms, "rss_before": before, "peak_rss_bytes": rss(), "prepare_s": prepared,
            "params": sum(p.numel() for p in t.net.parameters())}


def count(job):
    net = load(job)
    return {"supernet_params": sum(p.numel() for p in net.parameters()),
            "decisions": net.decisions(), "archs": [net.count(net.parse(a)) for a in job["archs"]]}


def export(job):
    net = load(job)
    net.eval()
    chosen = net.parse(job["arch"] or "")
    path = net.path(chosen).eval()
    x = torch.randn(job["batch"], net.channels, net.size, net.size)
    with contextlib.redirect_stdout(sys.stderr):
        torch.onnx.export(path, (x,), job["onnx"], input_names=["x"], output_names=["y"])
    return {"onnx": os.path.getsize(job["onnx"])}


def onnxruntime(job):
    import numpy
    import onnxruntime as ort
    before = rss()
    options = ort.SessionOptions()
    options.intra_op_num_threads = job["threads"]
    if os.environ.get("OMP_WAIT_POLICY") == "passive":
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = ort.InferenceSession(job["onnx"], options, providers=["CPUExecutionProvider"])
    shape = session.get_inputs()[0].shape
    x = numpy.random.default_rng(1).standard_normal(shape, dtype=numpy.float32)
    ms = []
    for i in range(-job["warmup"], job["steps"]):
        start = time.perf_counter()
        session.run(None, {"x": x})
        if i >= 0:
            ms.append(1e3 * (time.perf_counter() - start))
    return {"step_ms": {"infer": ms}, "rss_before": before, "peak_rss_bytes": rss()}


def versions(job):
    out = {"python": sys.version.split()[0], "torch": torch.__version__,
           "torch_build": "CPU" if torch.version.cuda is None else f"CUDA {torch.version.cuda}, run on the CPU",
           "mkldnn": torch.backends.mkldnn.is_available()}
    with contextlib.suppress(ImportError):
        import onnxruntime as ort
        out["onnxruntime"] = ort.__version__
    return out


def main():
    job = json.load(sys.stdin)
    if job["do"] != "onnxruntime":
        torch.set_num_threads(job.get("threads", 2))
    print(json.dumps({"train": train, "count": count, "export": export,
                      "onnxruntime": onnxruntime, "versions": versions}[job["do"]](job)))


if __name__ == "__main__":
    main()
