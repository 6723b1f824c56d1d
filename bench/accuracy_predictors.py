#!/usr/bin/env python3
"""Accuracy predictors of `lode cost fit` on NAS-Bench-201 and NAS-Bench-Macro: Kendall's tau_b and regret on held-out
networks after 20, 50, 100, 300 networks to learn from, over seeds. Needs nothing but Python.

    bench/accuracy_predictors.py --lode build/lode --tables ../shared/tables -o docs/results/accuracy-predictors
    bench/accuracy_predictors.py -o docs/results/accuracy-predictors --report

The first writes a row per fit to FILE.csv and leaves out what is there already, so that it can be stopped and run again.
The second makes FILE.svg of it and prints the table of docs/results/accuracy-predictors.md.
"""
import argparse
import csv
import json
import math
import os
import random
import subprocess
import tempfile
import time

SIZES = (20, 50, 100, 300)
# method: model, columns beside the architecture, options; spaces without such a column or without cells leave it out
RANK = ["fit.target=rank"]
METHODS = {
    "macs": ("linear", "macs", ["fit.encoding=none"]),
    "params": ("linear", "params", ["fit.encoding=none"]),
    "12 epochs": ("linear", "ep12", ["fit.encoding=none"]),
    "counts": ("kernel", "", ["fit.encoding=counts"]),
    "linear": ("linear", "", []),
    "gbdt": ("gbdt", "", []),
    "mlp": ("mlp", "", []),
    "mlp (OFA)": ("mlp", "", ["fit.ridge=false", "fit.hidden=400", "fit.layers=3"]),
    "lstm": ("lstm", "", []),
    "gcn": ("gcn", "", []),
    "semigcn": ("semigcn", "", []),
    "kernel": ("kernel", "", []),
    "gbdt + counts": ("gbdt", "", ["fit.encoding=both"]),
    "lstm + counts": ("lstm", "", ["fit.encoding=both"]),
    "kernel + counts": ("kernel", "", ["fit.encoding=both"]),
    "srm": ("kernel", "ep12", ["fit.encoding=counts"]),
    "kernel + all": ("kernel", "ep12", ["fit.encoding=both"]),
}
FIELDS = ["space", "train", "seed", "method", "tau_b", "pearson", "rmse", "regret10", "epochs", "seconds"]


NB201_ROWS = 4000  # of 15,625, drawn anew for every seed: answers for all would take longer than the fits


def prepare(tables, work, seed):
    """One CSV a space: arch, accuracy, macs, params and, where there is one, the accuracy after 12 epochs."""
    ep12 = {}
    with open(os.path.join(tables, "nasbench201", "nb201_ep12_and_nats.csv")) as f:
        for r in csv.DictReader(f):
            ep12[r["index"]] = r["c10_val_ep12"]
    paths = {s: os.path.join(work, s + ".csv") for s in ("nasbench201", "nasbench-macro")}
    with open(os.path.join(tables, "nasbench201", "nb201.csv")) as f, open(paths["nasbench201"], "w") as out:
        out.write("arch,accuracy,macs,params,ep12\n")
        for r in random.Random(seed).sample(list(csv.DictReader(f)), NB201_ROWS):
            out.write(f'{r["ops"]},{r["c10_test"]},{r["c10_macs"]},{r["c10_params"]},{ep12[r["index"]]}\n')
    # names of networks that are another's (identities commute) are left out: 3,969 are left
    with open(os.path.join(tables, "nasbench_macro", "nasbench_macro_cifar10.csv")) as f, \
            open(paths["nasbench-macro"], "w") as out:
        out.write("arch,accuracy,macs,params\n")
        for r in csv.DictReader(f):
            if r["arch"] == r["canonical"]:
                out.write(f'{r["arch"]},{r["mean_acc"]},{r["macs"]},{r["params"]}\n')
    return paths


def regret(path, model):
    """Of the best held-out network and the best of the ten that are predicted best, the difference."""
    with open(path) as f:
        rows = [(float(r[model]), float(r["accuracy"])) for r in csv.DictReader(f) if r["part"] == "test"]
    chosen = sorted(rows, reverse=True)[:10]
    return max(v for _, v in rows) - max(v for _, v in chosen)


def fit(a, work, space, path, method, size, seed):
    model, columns, options = METHODS[method]
    rows = os.path.join(work, "rows.csv")
    command = [a.lode, "cost", "fit", "-s", space, "-t", path, "--column", "accuracy", "--unit", "%", "--model", model,
               "--train", str(size), "--seed", str(seed), "--threads", "1", "--rows", rows, "--json", "--progress",
               "none", "--quiet"]
    if columns:
        command += ["--features", columns]
    for option in RANK + options:
        command += ["--set", option]
    m = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)["models"][0]
    return [space, size, seed, method, f'{m["tau_b"]:.5f}', f'{m["pearson"]:.5f}', f'{m["rmse"]:.5f}',
            f"{regret(rows, model):.5f}", m["epochs"], f'{m["seconds"]:.3f}']


def possible(space, method):
    model, columns, _ = METHODS[method]
    return space == "nasbench201" or not (columns == "ep12" or model in ("gcn", "semigcn"))


def run(a):
    done, path = set(), a.output + ".csv"
    if os.path.exists(path):
        with open(path) as f:
            done = {(r["space"], int(r["train"]), int(r["seed"]), r["method"]) for r in csv.DictReader(f)}
    with tempfile.TemporaryDirectory() as work, open(path, "a", newline="") as f:
        out = csv.writer(f, lineterminator="\n")
        if not done:
            out.writerow(FIELDS)
        for seed in range(1, a.seeds + 1):
            tables = prepare(a.tables, work, seed)
            for size in SIZES:
                for space, table in tables.items():
                    if space not in a.spaces.split(","):
                        continue
                    begun = time.time()
                    for method in METHODS:
                        if (space, size, seed, method) in done or not possible(space, method):
                            continue
                        out.writerow(fit(a, work, space, table, method, size, seed))
                        f.flush()
                    print(f"seed {seed}, {size} of {space}: {time.time() - begun:.1f} s", flush=True)


# ---- report ----

# t of 97.5 % for 2 .. 10 values
T = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365, 9: 2.306, 10: 2.262}


def interval(values):
    """Mean and half the width of its 95 % interval, by Student's t."""
    n, mean = len(values), sum(values) / len(values)
    if n < 2:
        return mean, 0.0
    std = math.sqrt(sum((v - mean) ** 2 for v in values) / (n - 1))
    return mean, T[n] * std / math.sqrt(n)


def load(path):
    """(space, method, size): rows, one a seed."""
    with open(path) as f:
        rows = list(csv.DictReader(f))
    found = {}
    for r in rows:
        found.setdefault((r["space"], r["method"], int(r["train"])), []).append(r)
    return found


def table(found, space, key, scale=1, digits=3):
    print(f"| method | {' | '.join(str(s) for s in SIZES)} |\n|---|{'---|' * len(SIZES)}")
    means = {(m, s): interval([scale * float(r[key]) for r in found[space, m, s]])
             for m in METHODS for s in SIZES if (space, m, s) in found}
    for method in METHODS:
        if not any((method, s) in means for s in SIZES):
            continue
        cells = []
        for s in SIZES:
            mean, half = means.get((method, s), (float("nan"), 0))
            cells.append(f"{mean:.{digits}f} ± {half:.{digits}f}")
        print(f"| {method} | {' | '.join(cells)} |")
    print()


COLORS = {"macs": "#999999", "12 epochs": "#555555", "counts": "#ccbb44", "linear": "#66ccee", "gbdt": "#228833",
          "mlp": "#4477aa", "lstm": "#ee6677", "gcn": "#aa3377", "semigcn": "#ee8866", "kernel": "#000000",
          "kernel + counts": "#117733", "srm": "#cc6600", "kernel + all": "#0000cc"}
WIDTH, HEIGHT, LEFT, TOP, GAP = 330, 300, 46, 64, 60


def panel(found, space, x0):
    def x(i):
        return x0 + 24 + i * (WIDTH - 48) / (len(SIZES) - 1)

    def y(tau):
        return TOP + HEIGHT * (1 - max(0.0, tau))

    out = [f'<text x="{x0}" y="{TOP - 10}" class="h">{space}</text>',
           f'<rect x="{x0}" y="{TOP}" width="{WIDTH}" height="{HEIGHT}" fill="#f4f4f4"/>']
    for i in range(6):
        out.append(f'<path d="M{x0} {y(i / 5)}h{WIDTH}" stroke="#dddddd"/><text x="{x0 - 6}" y="{y(i / 5) + 4}" '
                   f'class="s" text-anchor="end">{i / 5:.1f}</text>')
    for i, s in enumerate(SIZES):
        out.append(f'<text x="{x(i)}" y="{TOP + HEIGHT + 16}" class="s" text-anchor="middle">{s}</text>')
    for n, (method, color) in enumerate(COLORS.items()):
        points = [(x(i) + (n - len(COLORS) / 2) * 1.6, *interval([float(r["tau_b"]) for r in found[space, method, s]]))
                  for i, s in enumerate(SIZES) if (space, method, s) in found]
        for px, mean, half in points:
            out.append(f'<path d="M{px:.1f} {y(mean - half):.1f}V{y(mean + half):.1f}" stroke="{color}"/>')
        line = " ".join(f"{px:.1f},{y(mean):.1f}" for px, mean, _ in points)
        out.append(f'<polyline points="{line}" fill="none" stroke="{color}" stroke-width="1.8"/>')
    return out


def report(a):
    found = load(a.output + ".csv")
    spaces = sorted({space for space, _, _ in found})
    width, height = LEFT + len(spaces) * (WIDTH + GAP) + 120, TOP + HEIGHT + 40
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">',
           '<style>text{font:13px sans-serif;fill:#222} .t{font-size:17px;font-weight:bold} .h{font-weight:bold} '
           '.s{font-size:11px;fill:#555}</style>',
           f'<rect width="{width}" height="{height}" fill="white"/>',
           '<text x="14" y="26" class="t">Order of held-out accuracies: Kendall\'s tau_b by networks to learn from</text>']
    for i, space in enumerate(spaces):
        out += panel(found, space, LEFT + i * (WIDTH + GAP))
    for i, (method, color) in enumerate(COLORS.items()):
        x, y = LEFT + len(spaces) * (WIDTH + GAP) - 30, TOP + 12 + 22 * i
        out.append(f'<path d="M{x} {y}h18" stroke="{color}" stroke-width="3"/><text x="{x + 24}" y="{y + 4}">{method}'
                   f'</text>')
    with open(a.output + ".svg", "w") as f:
        f.write("\n".join(out + ["</svg>"]) + "\n")
    for space in spaces:
        seeds = {int(r["seed"]) for (s, _, _), rows in found.items() if s == space for r in rows}
        print(f"## {space}: tau_b, {len(seeds)} seeds\n")
        table(found, space, "tau_b")
        print(f"## {space}: regret of the best ten, %\n")
        table(found, space, "regret10", digits=2)


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--lode", default="build/lode")
    a.add_argument("--tables", default="../shared/tables")
    a.add_argument("--spaces", default="nasbench201,nasbench-macro")
    a.add_argument("--seeds", type=int, default=10)
    a.add_argument("--report", action="store_true", help="no fits: the picture and the table")
    a.add_argument("-o", "--output", required=True, metavar="FILE")
    a = a.parse_args()
    report(a) if a.report else run(a)


if __name__ == "__main__":
    main()
