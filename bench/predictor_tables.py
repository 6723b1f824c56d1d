#!/usr/bin/env python3
"""Learned, tabulated and analytical costs on published data sets: one table each, for docs/results/predictors-*.md.

For every column of a data set, with 100 and 1,000 rows to learn from, `lode cost fit` fits its kinds of predictor and
judges on the same held-out fifth what else prices these networks: published look-up tables (`lode cost import`), device
files that describe the device, counted operations; those as they are and through a line fitted to the learned rows.
Every finished fit is kept in the CSV; run again, only what is missing is done. Needs numpy.

    bench/predictor_tables.py --lode build/lode --tables ../shared/tables -o docs/results/predictors-datasets.csv \\
        --page docs/results/predictors-datasets.md
"""
import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from compare_transfer import keep, load, rows, write  # noqa: E402  (the same reading of HELP's tables)

HEAD = ["set", "column", "train", "model", "rmse", "mape", "tau_b", "seconds"]
SETS = {
    "hwnasbench-nb201": "HW-NAS-Bench on NAS-Bench-201",
    "hwnasbench-fbnet": "HW-NAS-Bench on FBNet",
    "latbench": "LatBench and nn-Meter on NAS-Bench-201",
    "help-nb201": "HELP on NAS-Bench-201",
    "help-fbnet": "HELP on FBNet",
    "help-ofa": "HELP on Once-for-all",
}
# device files that describe the device: quantity=device, and its batch
ANALYTICAL = {"raspi4_ms": "latency_ms=raspberry-pi-4", "eyeriss_ms": "latency_ms=eyeriss", "fpga_ms": "latency_ms=zcu102",
              "v100_1_ms": "latency_ms=v100", "v100_32_ms": "latency_ms=v100", "v100_64_ms": "latency_ms=v100"}
HELP_COLUMNS = {"nb201": ["titan_rtx_256_ms", "1080ti_1_ms", "gold_6226_ms", "pixel2_ms", "samsung_s7_ms"],
                "ofa": ["v100_1_ms", "v100_32_ms", "v100_64_ms"],
                "fbnet": ["titan_rtx_64_ms", "gold_6226_ms", "pixel2_ms"]}


def jobs(a, work):
    """(set, column, words of the command, other costs): what to fit."""
    at = lambda *p: os.path.join(a.tables, *p)
    out = []
    t = at("hwnasbench", "nb201_cifar10.csv")
    for c in ("raspi4_ms", "pixel3_ms", "eyeriss_ms", "fpga_ms"):
        out.append(("hwnasbench-nb201", c, ["-s", "nasbench201", "-t", t], []))
    t = at("hwnasbench", "nb201_cifar10_edge_1999.csv")
    for c in ("edgegpu_ms", "edgetpu_ms"):
        out.append(("hwnasbench-nb201", c, ["-s", "nasbench201", "-t", t], []))
    t = at("hwnasbench", "fbnet_cifar100_5000.csv")
    for c in ("raspi4_ms", "pixel3_ms", "eyeriss_ms", "fpga_ms"):
        lut = os.path.join(work, "fbnet-" + c + ".json")
        lode(a, "import", "-f", "hwnasbench", "--unit", "ms", "-s", "hwnasbench-fbnet", "--column", c, "-o", lut,
             at("hwnasbench", "fbnet_cifar100_lut.csv"))
        out.append(("hwnasbench-fbnet", c, ["-s", "hwnasbench-fbnet", "-t", t], ["latency_ms=" + lut]))
    t = at("latbench", "nb201_12devices_1999.csv")
    for c in ("jetson_nano_fp32_ms", "jetson_nano_fp16_ms", "edgetpu_int8_ms", "sd855_cpu_ms", "sd855_gpu_ms", "sd855_dsp_ms",
              "cortex_a76_cpu_ms", "adreno630_gpu_ms", "adreno640_gpu_ms", "myriad_vpu_ms", "gtx1080ti_fp32_ms"):
        out.append(("latbench", c, ["-s", "nasbench201", "-t", t], []))
    for name in ("nb201", "ofa", "fbnet"):
        space, columns, table = load(name, a.tables)
        t = os.path.join(work, name + ".csv")
        write(t, space, columns, table)
        for c in columns:
            if c in HELP_COLUMNS[name]:
                out.append(("help-" + name, c, ["-s", space, "-t", t], []))
    return out


def lode(a, *words):
    done = subprocess.run([a.lode, "cost", *words], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"lode cost {' '.join(words)}: {done.stderr}")
    return done.stdout


def fit(a, name, column, words, tables, n, kinds):
    """Rows of the result."""
    costs = [("table", c) for c in tables] + [("macs", "macs")]
    if column in ANALYTICAL:
        costs.append(("analytical", ANALYTICAL[column]))
    command = ["fit", *words, "--column", column, "--train", str(n), "--seed", "1", "--threads", "1", "--json", "--progress", "none"]
    for kind in kinds:
        command += ["--model", kind]
    for _, c in costs if kinds[0] != "gcn" else []:
        command += ["--beside", c]
    parts = column.split("_")
    if parts[-2].isdigit() and int(parts[-2]) in (1, 32, 64, 256) and column.startswith("v100"):
        command += ["--batch", parts[-2]]
    j = json.loads(lode(a, *command))
    number = lambda m: [f"{m['rmse']:.6g}", f"{m['mape']:.4g}", f"{m['tau_b']:.4f}"]
    found = [[name, column, n, m["model"], *number(m), f"{m['seconds']:.2f}"] for m in j["models"]]
    for b in j.get("beside", []):
        way = next(w for w, c in costs if c == b["cost"])
        if way != "macs" or b["line"]:  # a count is no latency
            found.append([name, column, n, way + ("-line" if b["line"] else ""), *number(b), ""])
    return found


# ---- the page ----

WAYS = ["linear", "mlp", "gbdt", "gcn", "lstm", "table", "analytical", "analytical-line", "macs-line"]
SAY = {"analytical-line": "analytical, line", "macs-line": "MACs, line"}


def page(result, path):
    s = []
    for name, title in SETS.items():
        mine = [r for r in result if r["set"] == name]
        ways = [w for w in WAYS if any(r["model"] == w for r in mine)]
        for n in ("1000", "100"):
            here = [r for r in mine if r["train"] == n]
            if not here:
                continue
            s += [f"\n## {title}, {n} rows\n", "| column | " + " | ".join(SAY.get(w, w) for w in ways) + " |",
                  "|---|" + "---|" * len(ways)]
            for c in dict.fromkeys(r["column"] for r in here):
                of = {r["model"]: r for r in here if r["column"] == c}
                best = min((float(r["rmse"]) for w, r in of.items() if not w.startswith("table")), default=0)
                cell = lambda r: (f"**{float(r['rmse']):.3g}**" if float(r["rmse"]) == best else f"{float(r['rmse']):.3g}") + \
                    f", {float(r['mape']):.3g} %, {float(r['tau_b']):.3f}"
                s.append(f"| `{c}` | " + " | ".join(cell(of[w]) if w in of else "" for w in ways) + " |")
    begin = "<!-- tables: bench/predictor_tables.py -->\n"
    text = open(path).read() if os.path.exists(path) else begin
    with open(path, "w") as f:
        f.write(text[:text.index(begin) + len(begin)] + "\n".join(s) + "\n")


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--lode", default="build/lode")
    a.add_argument("--tables", default="../shared/tables")
    a.add_argument("--train", default="1000,100")
    a.add_argument("--kinds", default="linear+mlp+gbdt,gcn", help="fitted together with +; gcn takes minutes")
    a.add_argument("--only", help="sets, with commas between")
    a.add_argument("-o", "--output", required=True)
    a.add_argument("--page", help="the Markdown page whose tables are written anew")
    a = a.parse_args()
    result = rows(a.output) if os.path.exists(a.output) else []
    with tempfile.TemporaryDirectory() as work:
        todo = jobs(a, work) if a.kinds else []
        for kinds in filter(None, a.kinds.split(",")):
            for name, column, words, tables in todo:
                if a.only and name not in a.only.split(","):
                    continue
                if kinds == "gcn" and "nasbench201" not in words:
                    continue
                for n in a.train.split(","):
                    done = {r["model"] for r in result if (r["set"], r["column"], r["train"]) == (name, column, n)}
                    if set(kinds.split("+")) <= done:
                        continue
                    found = fit(a, name, column, words, tables, n, kinds.split("+"))
                    result += [dict(zip(HEAD, map(str, r))) for r in found]
                    keep(result, HEAD, a.output)
                    print(name, column, n, *(f"{r[3]} {r[4]} {r[6]}" for r in found), flush=True)
    if a.page:
        page(result, a.page)


if __name__ == "__main__":
    main()
