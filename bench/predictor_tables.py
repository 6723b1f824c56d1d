#!/usr/bin/env python3
"""Learned, tabulated and analytical costs on published data sets: one table each, for docs/results/predictors-datasets.md.

For every column of a data set, with 100 and 1,000 rows to learn from, `lode cost fit` fits its kinds of predictor and
judges on the same held-out fifth what else prices these networks: published look-up tables (`lode cost import`), device
files that describe the device, counted operations; those as they are and through a line fitted to the learned rows.
The data sets are read in predictor_sets.py. Every finished fit is kept in the CSV; run again, only what is missing is
done. Needs numpy.

    bench/predictor_tables.py --lode build/lode --tables ../shared/tables -o docs/results/predictors-datasets.csv \\
        --page docs/results/predictors-datasets.md
"""
import argparse
import json
import os
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from compare_transfer import keep, rows  # noqa: E402
from predictor_sets import SETS, jobs, lode  # noqa: E402

ALONE = "-alone"  # a kind that learns all by itself, not what the regression leaves over
HEAD = ["set", "column", "train", "model", "rmse", "mape", "tau_b", "seconds"]
def fit(a, job, n, kinds):
    """Rows of the result."""
    command = ["fit", *job.words, "--column", job.column, "--train", str(n), "--seed", "1", "--threads", "1", "--json",
               "--progress", "none"]
    for kind in kinds:
        command += ["--model", kind.removesuffix(ALONE)]
    if kinds[0].endswith(ALONE):
        command += ["--set", "fit.ridge=false"]
    for _, spec in job.costs if kinds[0] == "linear" else []:  # once, with the first of them
        command += ["--beside", spec]
    j = json.loads(lode(a, *command))
    number = lambda m: [f"{m['rmse']:.6g}", f"{m['mape']:.4g}", f"{m['tau_b']:.4f}"]
    found = [[job.set, job.column, n, kind, *number(m), f"{m['seconds']:.2f}"] for kind, m in zip(kinds, j["models"])]
    for b in j.get("beside", []):
        way = next(w for w, spec in job.costs if spec == b["cost"])
        if way != "macs" or b["line"]:  # a count is no latency
            found.append([job.set, job.column, n, way + ("-line" if b["line"] else ""), *number(b), ""])
    return found


# ---- the page ----

WAYS = ["linear", "mlp", "gbdt", "gcn", "gcn-alone", "lstm", "table", "analytical", "analytical-line", "macs-line"]
LEARNED, ANALYTICAL = ["mlp", "gbdt", "gcn", "gcn-alone", "lstm"], ["analytical", "analytical-line", "macs-line"]
SAY = {"gcn-alone": "gcn, alone", "analytical-line": "analytical, line", "macs-line": "MACs, line"}


def order(result):
    """How often learned < table < analytical in RMSE, as a table. Table: the published one, else linear, which is the best
    that one price per option can be; analytical: the best of device file and counts, through a line or not."""
    s = ["\n## The order of surveys, counted\n",
         "| data set | rows | columns | learned nearer than table | even, within 2 % | table nearer | table nearer than analytical"
         " | the whole order |", "|---|---|---|---|---|---|---|---|"]
    for name, title in SETS.items():
        for n in ("1000", "100"):
            of = {}
            for r in result:
                if (r["set"], r["train"]) == (name, n):
                    of.setdefault(r["column"], {})[r["model"]] = float(r["rmse"])
            best = lambda m, ways: min((m[w] for w in ways if w in m), default=None)
            rows3 = [(best(m, LEARNED), m.get("table", m.get("linear")), best(m, ANALYTICAL)) for m in of.values()]
            rows3 = [r for r in rows3 if None not in r]
            if rows3:
                ahead = [l < 0.98 * t for l, t, _ in rows3]
                behind = [t < 0.98 * l for l, t, _ in rows3]
                near = [t < a for _, t, a in rows3]
                counts = [sum(ahead), len(rows3) - sum(ahead) - sum(behind), sum(behind), sum(near),
                          sum(x and y for x, y in zip(ahead, near))]
                s.append(f"| {title} | {n} | {len(rows3)} | " + " | ".join(map(str, counts)) + " |")
    return s


def page(result, path):
    s = order(result)
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
    a.add_argument("--kinds", default="linear+mlp+gbdt,gcn,gcn-alone,lstm", help="fitted together with +; those that a set is for")
    a.add_argument("--only", help="sets, with commas between")
    a.add_argument("-o", "--output", required=True)
    a.add_argument("--page", help="the Markdown page whose tables are written anew")
    a = a.parse_args()
    result = rows(a.output) if os.path.exists(a.output) else []
    with tempfile.TemporaryDirectory() as work:
        todo = jobs(a, work) if a.kinds else []
        for kinds in filter(None, a.kinds.split(",")):
            for job in todo:
                mine = [k for k in kinds.split("+") if k in job.kinds]
                if not mine or a.only and job.set not in a.only.split(","):
                    continue
                for n in a.train.split(","):
                    done = {r["model"] for r in result if (r["set"], r["column"], r["train"]) == (job.set, job.column, n)}
                    if set(mine) <= done:
                        continue
                    found = fit(a, job, n, mine)
                    result += [dict(zip(HEAD, map(str, r))) for r in found]
                    keep(result, HEAD, a.output)
                    print(job.set, job.column, n, *(f"{r[3]} {r[4]} {r[6]}" for r in found), flush=True)
    if a.page:
        page(result, a.page)


if __name__ == "__main__":
    main()
