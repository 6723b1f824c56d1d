#!/usr/bin/env python3
"""`lode cost adapt` on devices that were left out, beside fitting from the same samples alone, and beside HELP.

HELP's tables (Lee et al. 2021): 23 devices on NAS-Bench-201 and FBNet, 12 GPU settings on Once-for-all. Each device is
left out once; the others make a model (`lode cost fit --columns`); 10, 20, 50 rows of the left-out one adapt it. All are
judged on the same held-out fifth, which no model has seen. Then HELP's own split: its nine training devices alone, and its test
devices. Ways:

    adapt-mlp, adapt-linear     lode cost adapt on a model of that kind
    scratch-mlp, scratch-linear lode cost fit on the samples alone
    proxy                       the measured numbers of the known device that fits the samples best, in the new one's unit
                                (a line through the samples; measured, not predicted, so better than it can be in use)

Every finished device is kept in the CSV; run again, only what is missing is done: with --draws 1, then 3, all devices are
left out once before any is sampled again. Needs numpy.

    bench/compare_transfer.py --lode build/lode --tables ../shared/tables -o docs/results/transfer.csv --page docs/results/transfer.md
"""
import argparse
import csv
import json
import os
import re
import subprocess
import tempfile

import numpy as np

SAMPLES = (10, 20, 50)
HEAD = ["table", "device", "way", "samples", "draw", "rmse", "nrmse", "tau_b", "spearman"]
HELP_TRAIN = {"nb201": "1080ti_1,1080ti_32,1080ti_256,silver_4114,silver_4210r,samsung_a50,pixel3,essential_ph_1,samsung_s7",
              "fbnet": "1080ti_1,1080ti_32,1080ti_64,silver_4114,silver_4210r,samsung_a50,pixel3,essential_ph_1,samsung_s7"}
# rows that the known devices are learned from; HELP's own split has all that are not held out on FBNet, as HELP had
TRAIN = {"nb201": "900", "nb201-help": "900", "fbnet": "1000", "ofa": "1000", "fbnet-help": None}
# Spearman's correlation, HELP's tables 3 and 2: HELP with 10 samples; BRP-NAS with 900; MAC counts.
PUBLISHED = {"nb201": {"titan_rtx_256": (.987, .814, .950), "gold_6226": (.989, .796, .826), "pixel2": (.802, .666, .765),
                       "raspi4": (.890, .847, .846), "eyeriss": (.940, .811, .437), "fpga": (.985, .801, .900)},
             "fbnet": {"raspi4": (.887, None, None), "eyeriss": (.943, None, None), "fpga": (.892, None, None)}}
NAMES = {"nb201": "NAS-Bench-201", "fbnet": "FBNet", "ofa": "Once-for-all", "nb201-help": "NAS-Bench-201", "fbnet-help": "FBNet"}
COLUMNS = {"nb201": "23 devices", "fbnet": "23 devices", "ofa": "12 GPU settings"}  # that HELP's tables have


# ---- the tables as lode reads them: a column arch, then devices ----

def rows(path):
    with open(path, newline="") as f:
        return list(csv.DictReader(f))


def ofa_arch(r):
    """lode's text of a row: r204 k7_e6 ...; blocks behind a stage's depth are skipped."""
    blocks = []
    for stage in range(5):
        for i in range(4):
            at = 4 * stage + i
            blocks.append(f"k{r['ks'][at]}_e{r['e'][at]}" if i < int(r["d"][stage]) else "skip")
    return " ".join(["r" + r["r"]] + blocks)


def load(name, tables):
    """space, columns, rows as dicts with `arch`."""
    at = lambda *p: os.path.join(tables, *p)
    if name.startswith("nb201"):
        archs = {r["index"]: r for r in rows(at("nasbench201", "nb201.csv"))}
        t, seen = [], set()
        for r in rows(at("help_latency", "nb201_23devices.csv")):
            r["arch"], network = archs[r["index"]]["ops"], archs[r["index"]]["rep"]
            if network not in seen:  # isomorphic cells once: so ten samples are ten networks
                t.append(r)
            seen.add(network)
        space, more = "nasbench201", "nb201_cifar10.csv"
    elif name.startswith("fbnet"):
        t = rows(at("help_latency", "fbnet_cifar100_23devices.csv"))
        for r in t:
            r["arch"] = r["ops"]
        space, more = "hwnasbench-fbnet", "fbnet_cifar100_5000.csv"
    else:
        t = [r for r in rows(at("help_latency", "ofa_mbv3_12gpu.csv")) if r["r"] != "128"]
        for r in t:
            r["arch"] = ofa_arch(r)
        space = os.path.join(os.path.dirname(__file__), "spaces", "ofa-mobilenetv3-sizes.yaml")
    if name.endswith("-help"):  # HW-NAS-Bench's four devices too
        other = {r["index"]: r for r in rows(at("hwnasbench", more))}
        t = [dict(r, **{k: v for k, v in other[r["index"]].items() if k.endswith("_ms")}) for r in t if r["index"] in other]
    columns = [k for k in t[0] if k.endswith("_ms")]
    keep = np.random.default_rng(1).permutation(len(t))[:5000]  # enough to learn from and to judge on
    return space, columns, [t[i] for i in sorted(keep)]


def write(path, space, columns, table):
    with open(path, "w") as f:
        f.write(",".join(["arch"] + columns) + "\n")
        for r in table:
            f.write(",".join([r["arch"]] + [r[c] for c in columns]) + "\n")


def by_number(name):
    """For sorting: 1080ti_32 before 1080ti_256."""
    return [(int(p), "") if p.isdigit() else (-1, p) for p in re.findall(r"[0-9]+|[^0-9]+", name)]


# ---- how near ----

def ranks(v):
    order = np.argsort(v, kind="stable")
    out = np.empty(len(v))
    out[order] = np.arange(len(v), dtype=float)
    for x in np.unique(v):
        same = v == x
        out[same] = out[same].mean()
    return out


def tau_b(a, b):
    c = x = y = n = 0
    for i in range(1, len(a)):
        s, t = np.sign(a[i] - a[:i]), np.sign(b[i] - b[:i])
        c, x, y, n = c + (s * t).sum(), x + (s == 0).sum(), y + (t == 0).sum(), n + i
    return c / np.sqrt(float((n - x) * (n - y))) if n > x and n > y else 0.0


def judge(predicted, measured):
    rmse = float(np.sqrt(np.mean((predicted - measured) ** 2)))
    spearman = np.corrcoef(ranks(predicted), ranks(measured))[0, 1] if predicted.std() > 0 else 0.0
    return [f"{rmse:.6g}", f"{rmse / measured.std():.4f}", f"{tau_b(predicted, measured):.4f}", f"{spearman:.4f}"]


# ---- ways ----

def run(a, *words):
    done = subprocess.run([a.lode, "cost", *words, "--threads", "1", "--progress", "none", "--quiet"],
                          capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)}: {done.stderr}")


def read_rows(path, way):
    t = rows(path)
    number = list(t[0])[1]
    part = np.array([r["part"] for r in t])
    return part, np.array([float(r[number]) for r in t]), np.array([float(r[way]) for r in t])


def proxy(part, y, known):
    """The known device whose line through the samples has the least squares."""
    learn, best = part == "train", None
    for k in known.T:
        if k[learn].std() == 0:
            continue
        line = np.polyfit(k[learn], y[learn], 1)
        error = ((np.polyval(line, k[learn]) - y[learn]) ** 2).sum()
        if best is None or error < best[0]:
            best = (error, np.polyval(line, k))
    return best[1]


def device(a, name, space, columns, known, column, table, draws, work):
    """The rows of the result for one left-out column and some draws of samples."""
    path, out = os.path.join(work, "t.csv"), os.path.join(work, "rows.csv")
    write(path, space, columns, table)
    matrix = np.array([[float(r[c]) for c in known] for r in table])
    found = []
    train = TRAIN[name]
    for kind in ("mlp", "linear"):
        more = ["--train", train] if train else []
        run(a, "fit", "-s", space, "-t", path, "--columns", ",".join(known), "--model", kind, "-o", work + "/" + kind, *more)
    for n in SAMPLES:
        for draw in draws:
            common = ["-t", path, "--column", column, "--train", str(n), "--draw", str(draw), "--rows", out]
            add = lambda way, y, p, test: found.append([name, column[:-3], way, n, draw] + judge(p[test], y[test]))
            for kind in ("mlp", "linear"):
                run(a, "adapt", "--from", work + "/" + kind, "--held-out", "0.2", *common)
                part, y, p = read_rows(out, "adapted")
                add("adapt-" + kind, y, p, part == "test")
            add("proxy", y, proxy(part, y, matrix), part == "test")
            for kind in ("mlp", "linear"):
                run(a, "fit", "-s", space, "--model", kind, *common)
                part, y, p = read_rows(out, kind)
                add("scratch-" + kind, y, p, part == "test")
    return found


# ---- the page ----

def mean(result, name, dev, way, n, what):
    """Over the draws of a device; dev None: of these over the devices, so that each counts once."""
    v = {}
    for r in result:
        if r["table"] == name and dev in (None, r["device"]) and r["way"] == way and int(r["samples"]) == n:
            v.setdefault(r["device"], []).append(float(r[what]))
    return np.mean([np.mean(x) for x in v.values()]) if v else float("nan")


def page(result, path):
    s = []
    here = lambda *names: [n for n in names if any(r["table"] == n for r in result)]
    ways = ["adapt-mlp", "adapt-linear", "proxy", "scratch-mlp", "scratch-linear"]
    s.append("## Which devices\n\nThose that were left out; means have no others.\n")
    s.append("| table | left out | draws | devices |\n|---|---|---|---|")
    for name in here(*COLUMNS):
        draws = {}
        for r in result:
            if r["table"] == name:
                draws.setdefault(r["device"], set()).add(r["draw"])
        for n in sorted({len(d) for d in draws.values()}, reverse=True):
            which = [d for d in draws if len(draws[d]) == n]
            s.append(f"| {NAMES[name]} | {len(which)} of {COLUMNS[name]} | {n} | " + ", ".join(f"`{d}`" for d in which) + " |")
    s.append("\n## Mean over the devices left out\n\nKendall's tau_b, then RMSE as a share of the device's standard deviation.\n")
    s.append("| table | devices | samples | " + " | ".join(ways) + " |\n|---|---|---|" + "---|" * len(ways))
    for name in here(*COLUMNS):
        devices = {r["device"] for r in result if r["table"] == name}
        for n in SAMPLES:
            s.append(f"| {NAMES[name]} | {len(devices)} | {n} | " + " | ".join(
                f"{mean(result, name, None, w, n, 'tau_b'):.3f}, {mean(result, name, None, w, n, 'nrmse'):.3f}" for w in ways) + " |")
    s.append("\n## On how many devices\n\n`adapt-mlp` against the others, device by device, means over draws; *alone*: the better of "
             "both kinds.\n")
    s.append("| table | devices | samples | tau_b above `proxy` | RMSE below `proxy` | RMSE below alone | RMSE below 50 samples alone |\n"
             "|---|---|---|---|---|---|---|")
    for name in here(*COLUMNS):
        devices = list(dict.fromkeys(r["device"] for r in result if r["table"] == name))
        at = lambda d, w, n, what="rmse": mean(result, name, d, w, n, what)
        alone = lambda d, n: min(at(d, "scratch-mlp", n), at(d, "scratch-linear", n))
        for n in SAMPLES:
            counts = [sum(at(d, "adapt-mlp", n, "tau_b") > at(d, "proxy", n, "tau_b") for d in devices),
                      sum(at(d, "adapt-mlp", n) < at(d, "proxy", n) for d in devices),
                      sum(at(d, "adapt-mlp", n) < alone(d, n) for d in devices),
                      sum(at(d, "adapt-mlp", n) < alone(d, 50) for d in devices)]
            s.append(f"| {NAMES[name]} | {len(devices)} | {n} | " + " | ".join(map(str, counts)) + " |")
    s.append("\n## Beside HELP\n\nSpearman's correlation on HELP's test devices, known ones being HELP's nine training devices only "
             "(HELP chose its\ncheckpoint on four more). HELP's numbers, BRP-NAS's from 900 samples and the MAC counts' are the "
             "authors' (README of\ntheir repository), on all networks; ours on 1,000 of them at most.\n")
    s.append("| space | device | HELP, 10 | adapt-mlp, 10 | 20 | 50 | BRP-NAS, 900 | MACs |\n|---|---|---|---|---|---|---|---|")
    for name in here("nb201-help", "fbnet-help"):
        for dev, (h, b, m) in PUBLISHED[name[:-5]].items():
            own = " | ".join(f"{mean(result, name, dev, 'adapt-mlp', n, 'spearman'):.3f}" for n in SAMPLES)
            s.append(f"| {NAMES[name]} | `{dev}` | {h:.3f} | {own} | {'' if b is None else f'{b:.3f}'} | {'' if m is None else f'{m:.3f}'} |")
    for name in here(*COLUMNS):
        s.append(f"\n## {NAMES[name]}\n\ntau_b, then RMSE in ms, from 10, 20 and 50 samples: adapted (`adapt-mlp`), and the "
                 "better of `scratch-mlp` and\n`scratch-linear` for each number.\n")
        s.append("| left out | adapted, 10 | 20 | 50 | alone, 10 | 20 | 50 |\n|---|---|---|---|---|---|---|")
        for dev in dict.fromkeys(r["device"] for r in result if r["table"] == name):
            at = lambda w, n: (mean(result, name, dev, w, n, "tau_b"), mean(result, name, dev, w, n, "rmse"))
            mine = [at("adapt-mlp", n) for n in SAMPLES]
            alone = [(max(p[0], q[0]), min(p[1], q[1])) for p, q in ((at("scratch-mlp", n), at("scratch-linear", n)) for n in SAMPLES)]
            s.append(f"| `{dev}` | " + " | ".join(f"{t:.3f}, {e:.3g}" for t, e in mine + alone) + " |")
    begin = "<!-- tables: bench/compare_transfer.py -->\n"
    text = open(path).read() if os.path.exists(path) else begin
    with open(path, "w") as f:
        f.write(text[:text.index(begin) + len(begin)] + "\n" + "\n".join(s) + "\n")


def keep(result, head, path):
    """The CSV so far, whole or not at all."""
    with open(path + ".part", "w", newline="") as f:
        w = csv.DictWriter(f, head, lineterminator="\n")
        w.writeheader()
        w.writerows(result)
    os.replace(path + ".part", path)


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--lode", default="build/lode")
    a.add_argument("--tables", default="../shared/tables")
    a.add_argument("--draws", type=int, default=3)
    a.add_argument("--only", default="nb201-help,fbnet-help,nb201,ofa,fbnet")
    a.add_argument("--devices", help="only these are left out, with commas between")
    a.add_argument("-o", "--output", required=True)
    a.add_argument("--page", help="the Markdown page whose tables are written anew")
    a = a.parse_args()
    result = rows(a.output) if os.path.exists(a.output) else []
    done = {(r["table"], r["device"], int(r["draw"])) for r in result}
    for name in filter(None, a.only.split(",")):
        space, columns, table = load(name, a.tables)
        left = [d + "_ms" for d in PUBLISHED[name[:-5]]] if name.endswith("-help") else columns
        for column in left:
            draws = [d for d in range(a.draws) if (name, column[:-3], d) not in done]
            if not draws or a.devices and column[:-3] not in a.devices.split(","):
                continue
            known = [d + "_ms" for d in HELP_TRAIN[name[:-5]].split(",")] if name.endswith("-help") \
                else [c for c in columns if c != column]
            with tempfile.TemporaryDirectory() as work:
                found = device(a, name, space, columns, known, column, table, draws, work)
            result += [dict(zip(HEAD, map(str, r))) for r in found]
            result.sort(key=lambda r: (list(TRAIN).index(r["table"]), by_number(r["device"]), int(r["draw"])))
            keep(result, HEAD, a.output)
            print(name, column, *(f"{n}: {mean(result, name, column[:-3], 'adapt-mlp', n, 'tau_b'):.3f}" for n in SAMPLES), flush=True)
    if a.page:
        page(result, a.page)


if __name__ == "__main__":
    main()
