#!/usr/bin/env python3
"""Five ways to search fbnet-cifar for a latency limit, at equal CPU time: test accuracy after training from
scratch against latency measured on this machine.

    bench/fbnet_fronts.py --data CIFAR_DIRECTORY -o runs/fronts
    bench/fbnet_fronts.py ... --report          # measures what has been found, and writes the table

Every search seeks one limit (arch.seek: equal), so 5 methods times 3 limits; the network is then trained from
scratch with `lode train`. `random` searches nothing: networks drawn below the limit are trained instead, as
many as the time of a search allows, and the one with the best accuracy on held-out images is tested.
Finished runs are passed over, broken ones go on. What all have in common is bench/fbnet_fronts.yaml.
"""
import argparse
import concurrent.futures
import csv
import json
import os
import statistics
import subprocess
import sys

import runs

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
RECIPE = os.path.join(ROOT, "bench", "fbnet_fronts.yaml")
BASELINE = "largest=" + ",".join(["k3_e6"] * 20)
LIMITS = [0.3, 0.45, 0.6]  # shares of the latency of BASELINE

RANDOM_NETWORKS = 4  # as many trainings as take the time of a search and one training

# Epochs make the searches take about the same CPU time; the table of results says how long each took.
ADAM = ["arch.seek=equal", "arch.every=1", "arch.turns=alternate"]
METHODS = {
    "gumbel": ADAM + ["supernet.strategy=gumbel", "arch.sample=soft", "arch.lr=0.03", "arch.warmup=1",
                      "arch.tau=5", "arch.tau_end=0.5", "supernet.epochs=5"],
    "darts": ADAM + ["supernet.strategy=darts", "arch.order=first", "arch.lr=0.03", "arch.warmup=1",
                     "supernet.epochs=5"],
    "binary-gates": ADAM + ["supernet.strategy=binary_gates", "arch.paths=two", "arch.lr=0.02",
                            "arch.warmup=8", "supernet.epochs=40"],
    "reinforce": ADAM + ["supernet.strategy=reinforce", "arch.reward=accuracy", "arch.samples=4",
                         "arch.lr=0.02", "arch.warmup=12", "supernet.epochs=60"],
    "random": ["search.supernet=false", "search.searcher=random",
               f"search.keep={RANDOM_NETWORKS}", "search.trials=100"],  # most draws are above the limit
}
# All networks are trained on 22,500 images and judged on 5,000 others before they are tested.
TRAIN = ["data.limit=27500", "data.limit_test=0", "data.valid=5000", "data.arch_split=0"]


def lode(args, verb, seed, pairs):
    pairs = [f"data.path={os.path.abspath(args.data)}", *pairs]
    return [args.lode, verb, "-c", RECIPE, "--seed", str(seed), "--threads", "1", "--progress", "none",
            *runs.options(pairs)]


def search(args, method, limit):
    """Searches for the limit. The run's directory."""
    run = os.path.join(args.output, f"{method}-{limit}")
    pairs = METHODS[method] + [f"cost.table={args.cost}", f'search.baselines=["{BASELINE}"]',
                               f"search.targets=[latency_ms<={limit}*baseline]"]
    runs.complete(lode(args, "search", args.seed, pairs), run, args.nice, ROOT)
    return run


def networks(run):
    """result.json of the networks that a search has found, the baseline's left out."""
    folder = os.path.join(run, "subnets")
    results = [runs.read_json(folder, name, "result.json") for name in sorted(os.listdir(folder))]
    return [r for r in results if r["role"] != "baseline"]


def trained(run, i):
    """Where network i of a search is trained."""
    return f"{run}-network{i + 1}"


def one(args, method, limit):
    """A search and the training of what it found."""
    run = search(args, method, limit)
    for i, network in enumerate(networks(run)):
        command = lode(args, "train", args.seed, TRAIN) + ["--json", "-a", network["arch"]["code"]]
        runs.complete(command, trained(run, i), args.nice, ROOT)
    print(f"{method}, {limit}: done", flush=True)


def result(run, i, network):
    """What is known of a trained network."""
    out = runs.read_json(trained(run, i) + ".out")
    with open(os.path.join(trained(run, i), "metrics.jsonl")) as f:
        valid = [json.loads(line) for line in f if '"valid"' in line][-1]
    return {"code": network["arch"]["code"], "predicted": network["cost"]["latency_ms"]["predicted"],
            "macs": network["cost"]["macs"]["predicted"], "valid": valid["accuracy"],
            "test": out["test_accuracy"],
            "train_s": runs.cpu_seconds(trained(run, i))}


def all_results(args):
    """Every trained network of every finished search; of `random` the better ones are marked."""
    rows = []
    for method in METHODS:
        for limit in LIMITS:
            run = os.path.join(args.output, f"{method}-{limit}")
            if not runs.finished(run):
                continue
            found = networks(run)
            if not all(runs.finished(trained(run, i)) for i in range(len(found))):
                continue
            of_run = [{"method": method, "limit": limit, "search_s": runs.cpu_seconds(run),
                       **result(run, i, n)} for i, n in enumerate(found)]
            best = max(of_run, key=lambda r: r["valid"])
            rows += [{**r, "chosen": int(r is best)} for r in of_run]
    return rows


def measure(args, rows):
    """Adds `measured`, ms a batch: networks take turns, and each one's median over the turns counts."""
    times = {r["code"]: [] for r in rows}
    for turn in range(args.turns):
        for code in times:
            command = [args.lode, "bench", "infer", "-s", "fbnet-cifar", "--json", "--threads", "1",
                       "--batch", str(args.batch), "--rounds", "15", "-a", code,
                       *runs.options(["space.size=16", "space.width=0.5"])]
            out = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
            times[code].append(json.loads(out.stdout)[0]["median_ms"])
    for r in rows:
        r["measured"] = statistics.median(times[r["code"]])


def report(args):
    rows = all_results(args)
    if not rows:
        sys.exit(f"nothing has finished in {args.output}")
    measure(args, rows)
    with open(args.csv, "w") as f:
        out = csv.writer(f, lineterminator="\n")
        columns = ["method", "limit", "chosen", "test", "valid", "measured", "predicted", "macs",
                   "search_s", "train_s", "code"]
        out.writerow(columns)
        for r in rows:
            out.writerow([round(r[c], 4) if isinstance(r[c], float) else r[c] for c in columns])
    print("method         limit   test    measured predicted     MACs  search  train")
    for r in rows:
        if r["chosen"]:
            print(f"{r['method']:14} {r['limit']:5} {100 * r['test']:6.2f} % {r['measured']:7.3f} ms "
                  f"{r['predicted']:6.3f} ms {r['macs'] / 1e6:6.2f}M {r['search_s']:5.0f} s "
                  f"{r['train_s']:4.0f} s")


def build_cost(args):
    """The latency table that all searches use, measured once."""
    if not os.path.exists(args.cost):
        subprocess.run([args.lode, "cost", "build", "-s", "fbnet-cifar", "--threads", "1", "--batch",
                        str(args.batch), "--networks", "12", "-o", args.cost,
                        *runs.options(["space.size=16", "space.width=0.5"])], check=True, cwd=ROOT)


def main():
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--data", required=True, help="directory of CIFAR-10's binary version")
    p.add_argument("-o", "--output", default="runs/fronts", help="directory of the runs")
    p.add_argument("--cost", help="latency table (default: OUTPUT/latency_ms.json, measured first)")
    p.add_argument("--csv", help="where the results go (default: OUTPUT/results.csv)")
    p.add_argument("--lode", default=os.path.join(ROOT, "build", "lode"))
    p.add_argument("--methods", default=",".join(METHODS), help="default: %(default)s")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--batch", type=int, default=32, help="images a pass of the latency (default 32)")
    p.add_argument("--jobs", type=int, default=2, help="at once, a thread each (default 2)")
    p.add_argument("--nice", type=int, default=0, help="added to their niceness")
    p.add_argument("--turns", type=int, default=5, help="of measuring (default 5)")
    p.add_argument("--report", action="store_true", help="search nothing")
    args = p.parse_args()
    args.output = os.path.abspath(args.output)
    args.cost = os.path.abspath(args.cost or os.path.join(args.output, "latency_ms.json"))
    args.csv = os.path.abspath(args.csv or os.path.join(args.output, "results.csv"))
    methods = args.methods.split(",")
    if set(methods) - set(METHODS):
        p.error(f"there are methods {', '.join(METHODS)}")
    if not args.report:
        os.makedirs(args.output, exist_ok=True)
        build_cost(args)
        with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
            jobs = [pool.submit(one, args, m, limit) for limit in LIMITS for m in methods]
            failures = [str(j.exception()) for j in jobs if j.exception()]
        if failures:
            sys.exit("\n".join(failures))
    report(args)


if __name__ == "__main__":
    main()
