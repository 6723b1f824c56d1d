#!/usr/bin/env python3
"""Lode against PyTorch on this machine: the same networks, losses, batches and optimizers, taking
turns in one run, each turn in a process of its own.

    bench/compare_pytorch.py --venv build/pytorch          # makes the environment when it is not there
    bench/compare_pytorch.py --python VENV/bin/python --rows mbconv,mixture --rounds 3
    bench/compare_pytorch.py --list

The environment holds PyPI's torch, onnx, onnxscript, onnxruntime and pyyaml (made by hand:
python3 -m venv VENV && VENV/bin/pip install torch onnx onnxscript onnxruntime pyyaml; PyTorch's own
index https://download.pytorch.org/whl/cpu has a smaller wheel without CUDA: --index-url).
torch.compile needs a C++ compiler. docs/benchmarks.md says how to read the result, which goes to
docs/results/pytorch.md and .json.
"""
import argparse
import datetime
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
MODES = ["eager_nchw", "eager_nhwc", "compile"]
PACKAGES = ["torch", "numpy", "onnx", "onnxscript", "onnxruntime", "pyyaml"]


def space_path(name):
    for folder in ("bench/spaces", "spaces"):
        path = os.path.join(ROOT, folder, name + ".yaml")
        if os.path.exists(path):
            return path
    raise SystemExit(f"no space {name}")


def row(name, about, space, batch, strategy="fixed", arch=None, sample=None, steps=8, goal=None,
        memory_goal=None, variants=None):
    return dict(name=name, about=about, space=space_path(space), batch=batch, strategy=strategy,
                arch=arch, sample=sample, steps=steps, goal=goal, memory_goal=memory_goal,
                variants=variants or {"lode": []})


def all_rows():
    rows = []
    goals = {3: 2, 5: 3, 7: 3.5}
    for side in (32, 16, 8):
        for k, goal in goals.items():
            rows.append(row(f"mbconv-{side}-k{k}", f"MBConv e6 k{k} block, {side}x{side}",
                            f"mbconv-{side}", 64, arch=f"k{k}_e6", goal=goal))
    for side in (32, 16, 8):
        rows.append(row(f"mixture-{side}", f"mixture of 9 MBConv candidates, {side}x{side}",
                        f"mbconv-{side}", 64, "gumbel", sample="soft", steps=5, goal=3))
    remat = {"lode": [], "lode, remat: layer": ["--set", "supernet.remat=layer"]}
    rows.append(row("fbnet-cifar", "supernet fbnet-cifar, soft mixture", "fbnet-cifar", 64, "gumbel",
                    sample="soft", steps=2, goal=3, memory_goal=4, variants=remat))
    rows.append(row("nasbench-macro", "supernet nasbench-macro, single path", "nasbench-macro", 128,
                    "single_path", steps=12, goal=2, memory_goal=2))
    rows.append(row("nasbench201", "supernet nasbench201, one path (GDAS)", "nasbench201", 64,
                    "gumbel", sample="one_path", steps=12, goal=1.3, memory_goal=2))
    rows.append(row("resnet20", "ResNet-20 of 3x3 convolutions", "resnet20-cifar", 128, goal=1.3,
                    memory_goal=2))
    rows.append(row("mobilenet-v2", "MobileNetV2 at 224", "mobilenet-v2", 16, steps=4, goal=2,
                    memory_goal=2))
    for space, arch in (("fbnet-cifar", ",".join(["k3_e3", "k5_e6", "k3_e1_g2", "skip"] * 5)),
                        ("nasbench-macro", "12212212"), ("mobilenet-v2", None)):
        for batch in (1, 32):
            name = f"infer-{space}-{batch}"
            if space == "fbnet-cifar":
                arch = "k3_e3,k5_e6,k3_e1_g2,skip,k3_e6,k5_e3," \
                       "k5_e6,k3_e3,skip,k5_e1,k3_e6,k5_e3,k3_e1,k5_e6,k3_e3,k5_e1_g2,k3_e6,skip,k5_e6,k3_e6"
            rows.append(row(name, f"inference, {space}, against ONNX Runtime", space, batch,
                            "infer", arch, steps=40 if batch == 1 else 10, goal=1))
    return rows


# ---- processes ----

class Failed(Exception):
    pass


def run(command, text=None, timeout=None, environment=None):
    """(standard output, peak RSS in bytes) of a process; its standard error is shown on failure."""
    with tempfile.TemporaryFile("w+") as err, tempfile.TemporaryFile("w+") as out, \
            tempfile.TemporaryFile("w+") as source:
        source.write(text or "")
        source.seek(0)
        process = subprocess.Popen(command, stdin=source, stdout=out, stderr=err, cwd=HERE,
                                   env=environment, start_new_session=True)
        timer = threading.Timer(timeout, lambda: os.killpg(process.pid, 9)) if timeout else None
        if timer:
            timer.start()
        started = time.monotonic()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if timer:
            timer.cancel()
        out.seek(0)
        err.seek(0)
        if process.returncode != 0:
            lines = err.read().strip().splitlines()
            late = timeout and time.monotonic() - started >= timeout
            raise Failed(f"took longer than {timeout:.0f} s" if late else
                         lines[-1] if lines else f"exit code {process.returncode}")
        return out.read(), usage.ru_maxrss * 1024


def environment(options):
    e = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "KMP_", "MKL_", "GOMP_"))}
    e["OMP_NUM_THREADS"] = str(options.threads)
    if options.passive:
        e["OMP_WAIT_POLICY"] = "passive"
    return e


class Bench:
    def __init__(self, options):
        self.o = options
        self.env = environment(options)

    def worker(self, job, timeout=None):
        job = dict(job, threads=self.o.threads)
        out, peak = run([self.o.python, os.path.join(HERE, "pytorch_worker.py")], json.dumps(job),
                        timeout, self.env)
        return dict(json.loads(out.splitlines()[-1]), process_peak_rss_bytes=peak)

    def lode(self, verb, arguments, timeout=None):
        command = [self.o.lode, *verb.split(), *arguments, "--json"]
        if verb.startswith("bench"):
            command += ["--threads", str(self.o.threads)] + self.o.lode_option
        out, peak = run(command, None, timeout, self.env)
        return json.loads(out), peak

    # -- are they the same networks? --

    def check(self, r):
        """Same options in the same order, parameters and MACs on paths that meet every option."""
        archs = [r["arch"]] if r["arch"] else []
        names = self.worker({"do": "count", "space": r["space"], "archs": []})["decisions"]
        if names and not r["arch"]:
            for k in range(max(len(n) for n in names)):
                chosen = [n[(k + d) % len(n)] for d, n in enumerate(names)]
                archs.append(",".join(chosen))
        if not names:
            archs = [""]
        texts = []
        for a in archs:
            if "nasbench201" in r["space"] and a:
                w = a.split(",")
                a = f"|{w[0]}~0|+|{w[1]}~0|{w[2]}~1|+|{w[3]}~0|{w[4]}~1|{w[5]}~2|"
            texts.append(a)
        got = self.worker({"do": "count", "space": r["space"], "archs": texts})
        for text, (macs, params) in zip(texts, got["archs"]):
            want, _ = self.lode("cost show", ["-s", r["space"], "-a", text])
            if want["macs"]["value"] != macs or want["params"]["value"] != params:
                raise SystemExit(
                    f"{r['name']}: {text or 'the network'} has {macs} MACs and {params} parameters "
                    f"in PyTorch, {want['macs']['value']:.0f} and {want['params']['value']:.0f} in Lode")
        return {"paths": len(texts), "supernet_params": got["supernet_params"]}

    # -- one turn --

    def lode_step(self, r, extra):
        arguments = ["-s", r["space"], "--batch", str(r["batch"]), "--steps", str(self.steps(r)),
                     "--warmup", str(self.o.warmup), *extra]
        if r["strategy"] == "fixed":
            arguments += ["-a", r["arch"]] if r["arch"] else []
        else:
            arguments += ["--strategy", r["strategy"]]
        if r["sample"]:
            arguments += ["--set", f"arch.sample={r['sample']}"]
        out, peak = self.lode("bench step", arguments)
        return {"step_ms": {t["turn"]: t["step_ms"] for t in out},
                "step_arch": {t["turn"]: t["step_arch"] for t in out if t["step_arch"][0]},
                "peak_rss_bytes": peak, "peak_tensor_bytes": max(t["peak_tensor_bytes"] for t in out),
                "params": out[0]["params"]}

    def steps(self, r):
        return self.o.steps or r["steps"]

    def torch_step(self, r, mode, step_arch):
        job = {"do": "train", "mode": mode, "space": r["space"], "batch": r["batch"],
               "strategy": r["strategy"], "sample": r["sample"], "arch": r["arch"],
               "steps": self.steps(r), "warmup": self.o.warmup, "step_arch": step_arch}
        out = self.worker(job, self.o.compile_limit if mode == "compile" else self.o.limit)
        return {"step_ms": out["step_ms"], "peak_rss_bytes": out["process_peak_rss_bytes"],
                "rss_before": out["rss_before"], "prepare_s": out["prepare_s"],
                "params": out["params"]}

    def lode_infer(self, r):
        arguments = ["-s", r["space"], "--batch", str(r["batch"]), "--rounds",
                     str(max(3, self.steps(r))), "--warmup", str(max(2, self.o.warmup))]
        out, peak = self.lode("bench infer", arguments + (["-a", r["arch"]] if r["arch"] else []))
        o = out[0]
        return {"summary": {"infer": (o["median_ms"], o["min_ms"])}, "peak_rss_bytes": peak,
                "bn_folded": o["bn_folded"]}

    def onnx_infer(self, r, model):
        out = self.worker({"do": "onnxruntime", "onnx": model, "steps": self.steps(r),
                           "warmup": max(2, self.o.warmup)}, self.o.limit)
        return {"step_ms": out["step_ms"], "peak_rss_bytes": out["process_peak_rss_bytes"],
                "rss_before": out["rss_before"]}

    # -- all turns of a row --

    def measure(self, r):
        result = {"name": r["name"], "about": r["about"], "batch": r["batch"], "arch": r["arch"],
                  "strategy": r["strategy"], "sample": r["sample"], "goal": r["goal"],
                  "memory_goal": r["memory_goal"], "space": os.path.relpath(r["space"], ROOT),
                  "checked": self.check(r), "skipped": {}, "turns": [], "when": now(),
                  "load": os.getloadavg()[0]}
        with tempfile.TemporaryDirectory() as folder:
            takers = self.takers(r, os.path.join(folder, "model.onnx"))
            step_arch = {}
            for i in range(self.o.rounds):
                order = list(takers) if i == 0 else list(takers)[i % len(takers):] + \
                    list(takers)[:i % len(takers)]
                for who in order:  # Lode begins: it draws the paths
                    if who in result["skipped"]:
                        continue
                    try:
                        turn = takers[who](step_arch)
                    except Failed as e:
                        say(f"{r['name']}: {who} skipped: {e}")
                        result["skipped"][who] = str(e)
                        continue
                    if who == "lode" and "step_arch" in turn:
                        step_arch = turn["step_arch"]
                    result["turns"].append(dict(turn, who=who, round=i))
                    say(f"{r['name']}: round {i + 1}, {who}: {describe(turn)}")
        return result

    def takers(self, r, model):
        if r["strategy"] == "infer":
            try:
                self.worker({"do": "export", "space": r["space"], "arch": r["arch"],
                             "batch": r["batch"], "onnx": model}, self.o.limit)
            except Failed as e:
                raise SystemExit(f"{r['name']}: export to ONNX failed: {e}") from e
            return {"lode": lambda _: self.lode_infer(r),
                    "onnxruntime": lambda _: self.onnx_infer(r, model)}
        takers = {who: (lambda _, extra=extra: self.lode_step(r, extra))
                  for who, extra in r["variants"].items()}
        for mode in self.o.modes:
            takers[mode] = lambda archs, mode=mode: self.torch_step(r, mode, archs)
        return takers


# ---- numbers ----

def now():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")


def say(text):
    print(text, file=sys.stderr, flush=True)


def describe(turn):
    if "summary" in turn:
        return ", ".join(f"{k} {v[0]:.2f} ms" for k, v in turn["summary"].items())
    return ", ".join(f"{k} {statistics.median(v):.1f} ms" for k, v in turn["step_ms"].items()) + \
        f", {turn['peak_rss_bytes'] / 2**20:.0f} MiB"


def summarize(result):
    """Per participant and kind of turn: the median of all steps; and the best, which for steps that
    run different paths is the mean over steps of the best round of each."""
    who = {}
    for t in result["turns"]:
        w = who.setdefault(t["who"], {"ms": {}, "peak_rss_bytes": 0})
        w["peak_rss_bytes"] = max(w["peak_rss_bytes"], t["peak_rss_bytes"])
        w["rss_before"] = max(w.get("rss_before", 0), t.get("rss_before", 0))
        for kind, v in t.get("step_ms", {}).items():
            w["ms"].setdefault(kind, []).append(v)
        for kind, v in t.get("summary", {}).items():
            w.setdefault("summaries", {}).setdefault(kind, []).append(v)
    varied = result["strategy"] == "single_path" or result["sample"] == "one_path"
    for w in who.values():
        w["median_ms"], w["best_ms"] = {}, {}
        for kind, rounds in w.pop("ms").items():
            w["median_ms"][kind] = statistics.median([x for v in rounds for x in v])
            best = [min(v[i] for v in rounds) for i in range(len(rounds[0]))]
            w["best_ms"][kind] = statistics.mean(best) if varied else min(best)
        for kind, pairs in w.pop("summaries", {}).items():
            w["median_ms"][kind] = statistics.median(p[0] for p in pairs)
            w["best_ms"][kind] = min(p[1] for p in pairs)
        for key in ("median_ms", "best_ms"):
            if len(w[key]) > 1:
                w[key]["both"] = sum(w[key].values())
    result["who"] = who
    rivals = [k for k in who if not k.startswith("lode")]
    result["ratios"] = []
    for name in (k for k in who if k.startswith("lode")):
        for kind in who[name]["median_ms"]:
            if not rivals:
                continue
            by = {key: min(rivals, key=lambda m: who[m][key][kind]) for key in ("median_ms", "best_ms")}
            small = min(rivals, key=lambda m: who[m]["peak_rss_bytes"])
            result["ratios"].append({
                "lode": name, "kind": kind,
                "rival": by["median_ms"],
                "median": who[by["median_ms"]]["median_ms"][kind] / who[name]["median_ms"][kind],
                "rival_best": by["best_ms"],
                "best": who[by["best_ms"]]["best_ms"][kind] / who[name]["best_ms"][kind],
                "memory": who[small]["peak_rss_bytes"] / who[name]["peak_rss_bytes"],
                "memory_rival": small,
                "memory_net": min(who[m]["peak_rss_bytes"] - who[m]["rss_before"] for m in rivals)
                / who[name]["peak_rss_bytes"]})
    return result


def rounds(report):
    n = sorted({1 + max(t["round"] for t in r["turns"]) for r in report["rows"] if r["turns"]})
    load = [r["load"] for r in report["rows"] if "load" in r]
    text = f"{' or '.join(map(str, n))} rounds of each row"
    return text + (f" (load of the machine {min(load):.1f} to {max(load):.1f})" if load else "")


def cell(w, kind):
    return f"{w['median_ms'][kind]:.4g} ({w['best_ms'][kind]:.4g})" if w else "-"


def markdown(report):
    m = report["machine"]
    v = report["versions"]
    lines = [
        "# Lode and PyTorch on one machine", "",
        "Written by `bench/compare_pytorch.py`; what the columns mean stands in "
        "[../benchmarks.md](../benchmarks.md).", "",
        f"- {m['cpu']}, {m['cores']} cores, {report['threads']} threads, {m['system']}; {report['when']}",
        f"- Lode {v['lode']} ({v['commit']}), {v['compiler']}; float32",
        f"- PyTorch {v['torch']} ({v['torch_build']}), Python {v['python']}"
        + (f"; ONNX Runtime {v['onnxruntime']}" if "onnxruntime" in v else ""),
        f"- participants taking turns, {rounds(report)}; last run: `{report['command']}`"
        + ("; waiting threads sleep (`OMP_WAIT_POLICY=passive`)" if report.get("passive") else ""), "",
        "## Training steps", "",
        "Milliseconds of a step, median (best). Ratios are PyTorch's best mode over Lode: above 1, Lode "
        "is faster or smaller. Memory is the peak resident set of the process; in brackets PyTorch's "
        "without what it held before there was a network.", "",
        "| work | batch | turn | Lode | eager NCHW | eager NHWC | compiled | time ratio | goal | peak RSS, MiB: Lode / PyTorch | memory ratio | goal |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|"]
    for r in report["rows"]:
        if r["strategy"] == "infer":
            continue
        for q in r["ratios"]:
            who = r["who"]
            kind = q["kind"]
            last = kind in ("both",) or len(who[q["lode"]]["median_ms"]) == 1
            main = last or kind == "weights" and r["name"].startswith("mixture")
            name = r["about"] + (" (" + q["lode"][6:] + ")" if q["lode"] != "lode" else "")
            lines.append(
                f"| {name} | {r['batch']} | {kind} | {cell(who[q['lode']], kind)} | "
                + " | ".join(cell(who.get(k), kind) if k not in r["skipped"] or k in who else "skipped"
                             for k in MODES)
                + f" | **{q['median']:.2f}** ({q['best']:.2f}) | {r['goal'] if main else ''} | "
                f"{who[q['lode']]['peak_rss_bytes'] / 2**20:.0f} / {who[q['memory_rival']]['peak_rss_bytes'] / 2**20:.0f} | "
                f"**{q['memory']:.1f}** ({q['memory_net']:.1f}) | {r['memory_goal'] or '' if last else ''} |")
    lines += ["", "## Inference", "",
              "Milliseconds of a forward pass, median (best). ONNX Runtime folds batch normalisation "
              "into the convolutions; where Lode does not, the row says so.", "",
              "| network | batch | Lode | ONNX Runtime | time ratio | goal | Lode folds BN |",
              "|---|---|---|---|---|---|---|"]
    for r in report["rows"]:
        for q in r["ratios"] if r["strategy"] == "infer" else []:
            folded = any(t.get("bn_folded") for t in r["turns"])
            lines.append(f"| {r['space'].split('/')[-1][:-5]} | {r['batch']} | {cell(r['who']['lode'], 'infer')} | "
                         f"{cell(r['who']['onnxruntime'], 'infer')} | **{q['median']:.2f}** ({q['best']:.2f}) | "
                         f"{r['goal']} | {'yes' if folded else 'no'} |")
    skipped = [f"- {r['name']}: {k}: {why}" for r in report["rows"] for k, why in r["skipped"].items()]
    if skipped:
        lines += ["", "## Skipped", ""] + skipped
    lines += ["", f"Each network was checked before it ran: same parameters and multiply-accumulates in both on "
              f"{sum(r['checked']['paths'] for r in report['rows'])} architectures."]
    return "\n".join(lines) + "\n"


def write(report, output):
    """The rows are summed up anew, so that an old file gets the columns of today."""
    report["rows"] = [summarize(r) for r in report["rows"]]
    with open(output + ".json", "w") as f:
        json.dump(report, f, indent=1)
        f.write("\n")
    with open(output + ".md", "w") as f:
        f.write(markdown(report))


# ---- the environment ----

def python_of(options):
    if options.python:
        return options.python
    venv = os.path.abspath(options.venv or os.path.join(ROOT, "build", "pytorch"))
    python = os.path.join(venv, "bin", "python")
    if not os.path.exists(python):
        say(f"making {venv} with {' '.join(PACKAGES)}: some minutes and gigabytes")
        subprocess.check_call([sys.executable, "-m", "venv", venv])
        pip = [python, "-m", "pip", "install", "--quiet"]
        torch = ["--index-url", options.index_url] if options.index_url else []
        subprocess.check_call(pip + torch + ["torch"])
        subprocess.check_call(pip + PACKAGES[1:])
    return python


def machine():
    cpu = platform.processor()
    with open("/proc/cpuinfo") as f:
        for line in f:
            if line.startswith("model name"):
                cpu = line.split(":", 1)[1].strip()
                break
    return {"cpu": cpu, "cores": len(os.sched_getaffinity(0)), "system": platform.platform()}


def commit():
    out = subprocess.run(["git", "-C", ROOT, "describe", "--always", "--dirty"],
                         capture_output=True, text=True)
    return out.stdout.strip() or "unknown"


def read_options():
    p = argparse.ArgumentParser(description=__doc__.split("\n\n")[0],
                                formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    p.add_argument("--python", help="Python that has torch and the rest")
    p.add_argument("--venv", help="environment to use, made when it is not there (build/pytorch)")
    p.add_argument("--index-url", help="where pip takes torch from when it makes the environment")
    p.add_argument("--lode", default=os.path.join(ROOT, "build", "lode"), help="the command")
    p.add_argument("--lode-option", action="append", default=[], metavar="WORD",
                   help="one more word for lode bench, as --lode-option=--set --lode-option=x.y=z")
    p.add_argument("--rows", default="", help="words with commas: rows whose name contains one; all")
    p.add_argument("--modes", default=",".join(MODES), help="of PyTorch")
    p.add_argument("--rounds", type=int, default=2, help="turns of every participant")
    p.add_argument("--steps", type=int, default=0, help="timed steps of a turn; 0: as the row says")
    p.add_argument("--warmup", type=int, default=2, help="untimed steps before")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--passive", action="store_true",
                   help="threads of all participants sleep while they wait (OMP_WAIT_POLICY=passive): "
                        "for a machine that is not quiet, where a spinning thread steals the other's core")
    p.add_argument("--limit", type=float, default=900, help="seconds of one turn")
    p.add_argument("--compile-limit", type=float, default=1800, help="the same with torch.compile")
    p.add_argument("--output", default=os.path.join(ROOT, "docs", "results", "pytorch"),
                   help="without .md and .json")
    p.add_argument("--list", action="store_true", help="name the rows and stop")
    p.add_argument("--update", action="store_true",
                   help="keep the rows of OUTPUT.json that do not run now")
    p.add_argument("--render", action="store_true", help="write OUTPUT.md anew from OUTPUT.json and stop")
    p.add_argument("--check", action="store_true", help="compare the networks and stop")
    o = p.parse_args()
    o.modes = [m for m in o.modes.split(",") if m]
    unknown = set(o.modes) - set(MODES)
    if unknown or o.rounds < 1:
        p.error(f"--modes {unknown}" if unknown else "--rounds must be at least 1")
    return o


def main():
    options = read_options()
    words = [w for w in options.rows.split(",") if w]
    rows = [r for r in all_rows() if not words or any(w in r["name"] for w in words)]
    if not rows:
        raise SystemExit(f"no row is called like {options.rows}; --list names them")
    if options.list:
        for r in rows:
            print(f"{r['name']:24} batch {r['batch']:4}  {r['about']}")
        return
    if options.render:
        with open(options.output + ".json") as f:
            report = json.load(f)
        write(report, options.output)
        return
    options.python = python_of(options)
    bench = Bench(options)
    if options.check:
        for r in rows:
            c = bench.check(r)
            print(f"{r['name']:24} same MACs and parameters on {c['paths']} architectures")
        return
    if "compile" in options.modes and not (shutil.which("c++") or shutil.which("g++")):
        say("torch.compile skipped: there is no C++ compiler")
        options.modes.remove("compile")
    info, _ = bench.lode("info", [])
    options.output = os.path.abspath(options.output)
    report = {"when": now(),
              "command": " ".join(["bench/compare_pytorch.py"] + sys.argv[1:]),
              "machine": machine(), "threads": options.threads, "rounds": options.rounds,
              "passive": options.passive,
              "versions": dict(bench.worker({"do": "versions"}), lode=info.get("version", "?"),
                               compiler=info.get("compiler", "?"), commit=commit()),
              "rows": []}
    os.makedirs(os.path.dirname(options.output), exist_ok=True)
    old = {}
    if options.update and os.path.exists(options.output + ".json"):
        with open(options.output + ".json") as f:
            old = {r["name"]: r for r in json.load(f)["rows"]}
    for r in rows:
        old[r["name"]] = bench.measure(r)
        report["rows"] = [old[k["name"]] for k in all_rows() if k["name"] in old]
        write(report, options.output)  # after every row: a long run may be stopped
    print(markdown(report))


if __name__ == "__main__":
    try:
        main()
    except Failed as e:
        raise SystemExit(f"compare_pytorch: {e}") from e
