#!/usr/bin/env python3
"""Every search method of Lode in NAS-Bench-201: supernets trained here on CIFAR-10, the cells they end
in looked up in the benchmark's table.

    bench/nasbench201_searches.py --data CIFAR_DIRECTORY --table nb201.csv -o runs/nasbench201
    bench/nasbench201_searches.py ... --report            # only the tables of what has run
    bench/nasbench201_searches.py ... --check-identity    # same cell for 1 and 2 threads, twice, after a kill

A run is RUNS/METHOD-SEED. Finished ones are passed over, broken ones go on where they were: give the
same command again. Seed 1 of all methods comes first, so that a table of fewer seeds is complete early.
Results: OUTPUT.csv, a line per run, and OUTPUT-epochs.csv, how the probabilities moved. What all have in
common is bench/nasbench201_searches.yaml; docs/results/nasbench201.md shows what came out.
"""
import argparse
import concurrent.futures
import csv
import glob
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import time

import runs
from runs import finished, found, read_json

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
RECIPE = os.path.join(ROOT, "bench", "nasbench201_searches.yaml")

# Adam's architecture steps: one before or after every weight step, the same rate everywhere.
ADAM = ["arch.lr=0.01", "arch.every=1", "arch.warmup=0"]
DARTS = ADAM + ["arch.beta1=0.5", "arch.weight_decay=1e-3", "arch.init=0.001", "arch.turns=before"]
GUMBEL = ["supernet.strategy=gumbel", "arch.noise=batch", "arch.turns=alternate"]
# A path of one option per edge is three to eight times cheaper than a mixture, and learns less per
# epoch: these methods get the epochs that cost about what twelve of a mixture do, and a larger rate.
PATH = ["supernet.lr=0.1"]
# In the order in which they run. Options are what the methods' papers say, where the budget allows.
METHODS = {
    # the other half of the images judges 100 drawn cells after recalibration of their batch norm
    "spos": PATH + ["supernet.epochs=60", "supernet.strategy=single_path", "data.arch_split=0",
                    "data.valid=12500", "search.searcher=random", "search.discretize=best_of",
                    "search.evaluator=supernet", "search.trials=100", "search.recalibrate=2000",
                    "search.eval_batches=50"],
    "gdas": DARTS + GUMBEL + PATH + ["supernet.epochs=36", "arch.sample=one_path",
                                     "arch.temperature=linear", "arch.tau=10", "arch.tau_end=0.1"],
    # what did not run counts as in the code of its authors
    "gdas-sum": DARTS + GUMBEL + PATH + ["supernet.epochs=36", "arch.sample=one_path", "arch.skipped=sum",
                                         "arch.temperature=linear", "arch.tau=10", "arch.tau_end=0.1"],
    "binary-gates": ADAM + PATH + ["supernet.epochs=30", "supernet.strategy=binary_gates",
                                   "arch.paths=two", "arch.beta1=0", "arch.turns=alternate"],
    "darts-first": DARTS + ["supernet.strategy=darts", "arch.order=first"],
    "xnas": ["supernet.strategy=xnas", "arch.turns=before", "arch.every=1", "arch.warmup=0"],
    "gumbel-soft": DARTS + GUMBEL + ["arch.sample=soft", "arch.temperature=exponential",
                                     "arch.tau=5", "arch.tau_end=0.1"],
    # the first third of the epochs with frozen probabilities, as in the paper (15 of 50); its network
    # cannot inherit weights, so it gets an epoch of its own, which nobody looks at
    "pc-darts": DARTS + ["supernet.strategy=pc_darts", "space.partial=4", "arch.warmup=4",
                         "search.retrain=scratch", "train.epochs=1"],
    # as many steps on a fifth of the images, seen five times as often: what long searches come to
    "darts-60-epochs": DARTS + ["supernet.strategy=darts", "arch.order=first", "data.limit=5000",
                                "supernet.epochs=60"],
    # a step of its architecture costs four times as much: half the epochs
    "darts-second": DARTS + ["supernet.strategy=darts", "arch.order=second", "supernet.epochs=6"],
}
LAST = {"darts-60-epochs", "darts-second"}  # further seeds of these come last
IDENTITY = {"darts-first", "gdas", "binary-gates"}
SHORT = ["data.limit=2560", "supernet.epochs=2",
         "supernet.checkpoint_steps=7", "supernet.log_every=5"]


def command(args, method, seed, threads=1, more=()):
    pairs = [f"data.path={os.path.abspath(args.data)}", *METHODS[method], *more]
    return [args.lode, "search", "-c", RECIPE, "--seed", str(seed), "--threads", str(threads),
            "--progress", "none", *runs.options(pairs)]


def start(args, method, seed, run, **kw):
    return runs.start(command(args, method, seed, **kw), run, args.nice, ROOT)


def search(args, method, seed):
    run = os.path.join(args.output, f"{method}-{seed}")
    if runs.complete(command(args, method, seed), run, args.nice, ROOT):
        print(f"{method}, seed {seed}: {found(run)}, {runs.cpu_seconds(run):.0f} s of CPU time",
              flush=True)


def look_up(args, codes):
    """Published accuracy and place of each cell, under whatever name the table has it."""
    ask = [args.lode, "bench", "rank", "-s", "nasbench201", "-t", args.table, "--json"]
    for code in codes:
        ask += ["-a", code]
    text = subprocess.run(ask, check=True, capture_output=True, text=True, cwd=ROOT).stdout
    return json.loads(text)["networks"]


def report(args):
    done = [(m, s) for m in METHODS for s in range(1, args.seeds + 1)
            if finished(os.path.join(args.output, f"{m}-{s}"))]
    if not done:
        sys.exit(f"nothing has finished in {args.output}")
    folder = {r: os.path.join(args.output, f"{r[0]}-{r[1]}") for r in done}
    codes = [found(folder[r]) for r in done]
    accuracies = {}
    with open(args.csv + ".csv", "w") as f:
        out = csv.writer(f, lineterminator="\n")
        out.writerow(["method", "seed", "cell", "skips", "nones", "c10_test", "place", "of",
                      "percent_better", "cpu_seconds"])
        for r, code, x in zip(done, codes, look_up(args, codes)):
            accuracies.setdefault(r[0], []).append(x["published"])
            ops = re.findall(r"([a-z]\w+)~", code)
            out.writerow([*r, code, ops.count("skip_connect"), ops.count("none"),
                          round(x["published"], 2), x["place"], x["of"],
                          round(100 * (x["place"] - 1) / x["of"], 1),
                          runs.cpu_seconds(folder[r])])
    with open(args.csv + "-epochs.csv", "w") as f:
        out = csv.writer(f, lineterminator="\n")
        columns = ["accuracy", "entropy", "skip_share", "skip_probability", "none_share",
                   "none_probability"]
        out.writerow(["method", "seed", "epoch", *columns])
        for r in done:
            with open(os.path.join(folder[r], "metrics.jsonl")) as metrics:
                lines = [json.loads(line) for line in metrics]
            for x in {x["epoch"]: x for x in lines if x.get("turn") == "weights"}.values():
                out.writerow([*r, x["epoch"] + 1, *(round(x[c], 4) if c in x else ""
                                                    for c in columns)])
    with open(args.table) as f:
        space = [float(x["c10_test"]) for x in csv.DictReader(f)]
    print(f"random choice (mean of the space) {statistics.mean(space):.2f}, best {max(space):.2f}")
    for m, a in accuracies.items():
        print(f"{m:14} " + " ".join(f"{x:6.2f}" for x in a) + f"   mean {statistics.mean(a):.2f}")


def kill_and_resume(args, method, run):
    """Kills the search once it has a checkpoint, and lets it go on. False: it was too fast."""
    p = start(args, method, 1, run, more=SHORT)
    while p.poll() is None and not glob.glob(os.path.join(run, "checkpoint", "*.json")):
        time.sleep(0.02)
    p.send_signal(signal.SIGKILL)
    p.wait()
    in_time = not finished(run)
    start(args, method, 1, run, more=SHORT).wait()
    return in_time


def check_identity(args):
    """Short searches of one seed must end in the same bits of all probabilities."""
    failed = 0
    for method in [m for m in METHODS if m in IDENTITY and m in args.methods]:
        base = os.path.join(args.output, "identity", method)
        ways = {w: f"{base}-{w}" for w in ("once", "again", "2-threads", "killed")}
        for what, run in ways.items():
            subprocess.run(["rm", "-rf", run, run + ".log", run + ".out"], check=True)
            if what == "killed":
                in_time = kill_and_resume(args, method, run)
            else:
                start(args, method, 1, run, threads=2 if what == "2-threads" else 1,
                      more=SHORT).wait()
        for what in ("again", "2-threads", "killed"):
            same = all(finished(ways[w]) for w in ("once", what)) and (
                found(ways["once"]) == found(ways[what])) and (
                read_json(ways["once"], "probabilities.json")
                == read_json(ways[what], "probabilities.json"))
            ok = same and (what != "killed" or in_time)
            failed += not ok
            print(f"{'pass' if ok else 'FAIL'}  {method}: once and {what}", flush=True)
    return failed


def main():
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--data", required=True, help="directory of CIFAR-10's binary version")
    p.add_argument("--table", required=True, help="nb201.csv: columns ops and c10_test")
    p.add_argument("-o", "--output", default="runs/nasbench201", help="directory of the runs")
    p.add_argument("--csv", help="path of the results without .csv (default: OUTPUT/results)")
    p.add_argument("--lode", default=os.path.join(ROOT, "build", "lode"))
    p.add_argument("--methods", default=",".join(METHODS), help="default: %(default)s")
    p.add_argument("--seeds", type=int, default=3, help="seeds 1 to so many (default 3)")
    p.add_argument("--jobs", type=int, default=2, help="searches at once, a thread each (default 2)")
    p.add_argument("--nice", type=int, default=0, help="added to their niceness")
    p.add_argument("--report", action="store_true", help="search nothing")
    p.add_argument("--check-identity", action="store_true", help="about ten minutes")
    args = p.parse_args()
    args.methods = args.methods.split(",")
    args.output, args.table = os.path.abspath(args.output), os.path.abspath(args.table)
    args.csv = os.path.abspath(args.csv or os.path.join(args.output, "results"))
    unknown = set(args.methods) - set(METHODS)
    if unknown:
        p.error(f"no method {', '.join(sorted(unknown))}; there are {', '.join(METHODS)}")
    if args.check_identity:
        sys.exit(1 if check_identity(args) else 0)
    failures = []
    if not args.report:
        todo = [(m, s) for s in range(1, args.seeds + 1) for m in METHODS if m in args.methods]
        todo.sort(key=lambda job: job[0] in LAST and job[1] > 1)
        with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
            for job in [pool.submit(search, args, m, s) for m, s in todo]:
                if job.exception():
                    failures.append(str(job.exception()))
    report(args)
    if failures:
        sys.exit("\n".join(failures))


if __name__ == "__main__":
    main()
