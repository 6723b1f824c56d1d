#!/usr/bin/env python3
"""A runner for `lode cost build --runner`: measures jobs with ONNX Runtime on this machine.

    lode cost build -s SPACE -o table.json --runner "python3 runners/run_onnx.py"

Needs the packages onnxruntime, onnx and numpy (pip install onnxruntime onnx numpy). Every directory given as an
argument holds a job (docs/your-own-device.md); result.json is written into it. The network is built as an ONNX
model out of job.json, must give the result that Lode computed, and is then timed. LODE_ORT_PROVIDER names another
execution provider than the CPU's.
"""
import json
import os
import sys
import time

try:
    import numpy as np
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper
except ImportError as e:
    sys.exit(f"run_onnx.py: {e}; pip install onnxruntime onnx numpy")

TYPES = {"F32": (np.float32, TensorProto.FLOAT), "F64": (np.float64, TensorProto.DOUBLE)}


def read_tensors(path):
    """The safetensors layout: 8 bytes of length, a JSON header, the bytes."""
    with open(path, "rb") as f:
        header = json.loads(f.read(int.from_bytes(f.read(8), "little")))
        data = f.read()
    tensors = {}
    for name, t in header.items():
        if name != "__metadata__":
            begin, end = t["data_offsets"]
            tensors[name] = np.frombuffer(data[begin:end], TYPES[t["dtype"]][0]).reshape(t["shape"])
    return tensors


class Graph:
    """ONNX nodes out of Lode's calls."""

    def __init__(self, tensors, shapes):
        self.tensors, self.shapes = tensors, shapes
        self.nodes, self.constants, self.n = [], [], 0

    def fresh(self):
        self.n += 1
        return f"t{self.n}"

    def constant(self, values):
        name = self.fresh()
        self.constants.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def node(self, kind, inputs, output=None, **attributes):
        output = output or self.fresh()
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def activation(self, act, x, y):
        if act == "relu":
            self.node("Relu", [x], y)
        elif act == "relu6":
            self.node("Clip", [x, self.constant(np.float32(0)), self.constant(np.float32(6))], y)
        elif act == "hswish":
            self.node("HardSwish", [x], y)
        elif act == "hsigmoid":
            self.node("HardSigmoid", [x], y, alpha=1 / 6, beta=0.5)
        elif act == "swish":
            self.node("Mul", [x, self.node("Sigmoid", [x])], y)
        elif act in ("sigmoid", "tanh"):
            self.node(act.capitalize(), [x], y)
        else:
            self.node("Identity", [x], y)

    def conv(self, p, x, y, act="none"):
        (ph, pw), residual = p["pad"], x[3] if len(x) > 3 else None
        kernel = list(self.shapes[x[1]][2:])
        steps = [s for s, wanted in (("act", act not in ("none", "")), ("add", residual)) if wanted]
        out = self.node("Conv", [v for v in x[:3] if v], None if steps else y, kernel_shape=kernel,
                        strides=p["stride"], dilations=p["dilation"], group=p["groups"], pads=[ph, pw, ph, pw])
        if "act" in steps:
            last = steps[-1] == "act"
            acted = y if last else self.fresh()
            self.activation(act, out, acted)
            out = acted
        if residual:
            self.node("Add", [out, residual], y)

    def call(self, c):
        op, p, x, y, shape = c["op"], c["params"], c["inputs"], c["output"], c["shape"]
        if op in ("conv2d", "conv_act"):
            self.conv(p, x, y, p.get("act", "none"))
        elif op in ("relu", "relu6", "hswish", "hsigmoid", "swish", "sigmoid", "tanh", "identity"):
            self.activation(op, x[0], y)
        elif op == "batch_norm":
            channels = self.shapes[x[0]][1]
            gamma = x[1] or self.constant(np.ones(channels, np.float32))
            beta = x[2] or self.constant(np.zeros(channels, np.float32))
            act = p.get("act", "none")
            out = self.node("BatchNormalization", [x[0], gamma, beta, x[3], x[4]], y if act == "none" else None,
                            epsilon=p["eps"])
            if act != "none":
                self.activation(act, out, y)
        elif op in ("add", "sub", "mul", "div"):
            self.node(op.capitalize(), x, y)
        elif op == "concat":
            self.node("Concat", x, y, axis=p["dim"])
        elif op in ("max_pool", "avg_pool"):
            pads = p["pad"] * 2
            more = {} if op == "max_pool" else {"count_include_pad": p["count_include_pad"]}
            self.node("MaxPool" if op == "max_pool" else "AveragePool", x, y, kernel_shape=p["kernel"],
                      strides=p["stride"], pads=pads, ceil_mode=p["ceil_mode"], **more)
        elif op == "global_avg_pool":
            self.node("GlobalAveragePool", x, y)
        elif op == "linear":
            self.node("Gemm", [v for v in x if v], y, transB=1)
        elif op == "reshape":
            self.node("Reshape", [x[0], self.constant(np.array(shape, np.int64))], y)
        elif op == "scale":
            out = self.node("Mul", [x[0], self.constant(np.float32(p["factor"]))])
            self.node("Add", [out, self.constant(np.float32(p["shift"]))], y)
        elif op == "zero":
            self.node("ConstantOfShape", [self.constant(np.array(shape, np.int64))], y,
                      value=helper.make_tensor("zero", TensorProto.FLOAT, [1], [0.0]))
        elif op == "slice":
            ends = [self.constant(np.array([v], np.int64)) for v in (p["begin"], p["end"], p["dim"], p["step"])]
            self.node("Slice", [x[0], *ends], y)
        elif op == "pad":
            # Negative numbers crop; ONNX takes them the same way.
            pads = self.constant(np.array(p["before"] + p["after"], np.int64))
            self.node("Pad", [x[0], pads, self.constant(np.float32(p["value"]))], y)
        elif op == "grid_subsample":
            # Of H rows, row floor(i H / height) for each i.
            h, w = self.shapes[x[0]][2:]
            rows = self.constant(np.arange(p["height"], dtype=np.int64) * h // p["height"])
            columns = self.constant(np.arange(p["width"], dtype=np.int64) * w // p["width"])
            self.node("Gather", [self.node("Gather", [x[0], rows], axis=2), columns], y, axis=3)
        elif op == "channel_shuffle":
            n, ch, h, w = shape
            g = p["groups"]
            split = self.node("Reshape", [x[0], self.constant(np.array([n, g, ch // g, h, w], np.int64))])
            swapped = self.node("Transpose", [split], perm=[0, 2, 1, 3, 4])
            self.node("Reshape", [swapped, self.constant(np.array(shape, np.int64))], y)
        else:
            sys.exit(f"run_onnx.py: the operator {op} ({c['label']}) has no translation here; add one to Graph.call")


def build(job, tensors):
    shapes = {name: t.shape for name, t in tensors.items()}
    shapes.update({c["output"]: c["shape"] for c in job["calls"]})
    g = Graph(tensors, shapes)
    for c in job["calls"]:
        g.call(c)
    inputs = [helper.make_tensor_value_info(i["name"], TensorProto.FLOAT, i["shape"]) for i in job["inputs"]]
    output = helper.make_tensor_value_info(job["output"], TensorProto.FLOAT, shapes[job["output"]])
    weights = [numpy_helper.from_array(tensors[name], name) for name in job["weights"]]
    graph = helper.make_graph(g.nodes, "job", inputs, [output], weights + g.constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def measure(directory):
    with open(os.path.join(directory, "job.json")) as f:
        job = json.load(f)
    tensors = read_tensors(os.path.join(directory, "tensors.safetensors"))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = job["threads"]
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Threads that spin would keep the cores busy between two jobs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if job["threads"] > 1 else "0")
    provider = os.environ.get("LODE_ORT_PROVIDER", "CPUExecutionProvider")
    session = onnxruntime.InferenceSession(build(job, tensors).SerializeToString(), options, providers=[provider])
    feed = {i["name"]: tensors[i["name"]] for i in job["inputs"]}

    (y,) = session.run(None, feed)
    expected = tensors["expected"]
    error = np.abs(y.reshape(expected.shape) - expected).max() / max(1.0, np.abs(expected).max())
    if not error < 1e-3:
        sys.exit(f"run_onnx.py: {job['name']}: the result is off by {error:.2g} of its largest number")

    for _ in range(job["warmup"]):
        session.run(None, feed)
    times = []
    for _ in range(job["repeats"]):
        begun = time.perf_counter_ns()
        session.run(None, feed)
        times.append((time.perf_counter_ns() - begun) / 1e6)
    device = f"ONNX Runtime {onnxruntime.__version__}, {provider}"
    path = os.path.join(directory, "result.json")
    with open(path + ".tmp", "w") as f:
        json.dump({"latency_ms": times, "device": device}, f)
    os.replace(path + ".tmp", path)


if len(sys.argv) < 2:
    sys.exit(__doc__)
for job_directory in sys.argv[1:]:
    measure(job_directory)
