#!/usr/bin/env python3
"""Predictors of `lode cost fit` beside scikit-learn's gradient boosting and a perceptron made with PyTorch.

Same rows to learn from, same rows held out (lode writes them with --rows). The others learn from the rows lode
learns from and validates on; PyTorch's perceptron stops on the same validation rows as lode's. Needs numpy,
scikit-learn and torch:

    python3 -m venv venv && venv/bin/pip install numpy scikit-learn torch
    venv/bin/python bench/compare_predictors.py --lode build/lode --tables ../shared/tables -o docs/results/predictors.csv
"""
import argparse
import csv
import json
import os
import subprocess
import tempfile
import time

import numpy as np
import sklearn
import torch
from sklearn.ensemble import GradientBoostingRegressor

# file, column, file with the architectures
DEVICES = [
    ("hwnasbench/nb201_cifar10.csv", "raspi4_ms", None),
    ("hwnasbench/nb201_cifar10.csv", "pixel3_ms", None),
    ("hwnasbench/nb201_cifar10.csv", "eyeriss_ms", None),
    ("hwnasbench/nb201_cifar10.csv", "fpga_ms", None),
    ("help_latency/nb201_23devices.csv", "titan_rtx_256_ms", "nasbench201/nb201.csv"),
    ("help_latency/nb201_23devices.csv", "gold_6226_ms", "nasbench201/nb201.csv"),
    ("help_latency/nb201_23devices.csv", "pixel2_ms", "nasbench201/nb201.csv"),
    ("latbench/nb201_12devices_1999.csv", "cortex_a76_cpu_ms", None),
    ("latbench/nb201_12devices_1999.csv", "adreno640_gpu_ms", None),
    ("latbench/nb201_12devices_1999.csv", "jetson_nano_fp16_ms", None),
]


def tau_b(a, b):
    """Kendall's tau_b, every pair."""
    c = x = y = n = 0
    for i in range(1, len(a)):
        s, t = np.sign(a[i] - a[:i]), np.sign(b[i] - b[:i])
        c, x, y, n = c + (s * t).sum(), x + (s == 0).sum(), y + (t == 0).sum(), n + i
    return c / np.sqrt(float((n - x) * (n - y)))


def torch_mlp(x, y, xv, yv, seed):
    """Two hidden layers of 128, AdamW, cosine, the best of 200 epochs by validation."""
    torch.manual_seed(seed)
    net = torch.nn.Sequential(torch.nn.Linear(x.shape[1], 128), torch.nn.ReLU(), torch.nn.Linear(128, 128),
                              torch.nn.ReLU(), torch.nn.Linear(128, 1))
    opt = torch.optim.AdamW(net.parameters(), lr=3e-3, weight_decay=1e-2)
    sched = torch.optim.lr_scheduler.CosineAnnealingLR(opt, 200)
    x, y, xv, yv = (torch.tensor(v, dtype=torch.float32) for v in (x, y, xv, yv))
    best, state = float("inf"), None
    for _ in range(200):
        for rows in torch.randperm(len(x)).split(32):
            opt.zero_grad()
            torch.nn.functional.mse_loss(net(x[rows])[:, 0], y[rows]).backward()
            opt.step()
        sched.step()
        with torch.no_grad():
            loss = torch.nn.functional.mse_loss(net(xv)[:, 0], yv).item()
        if loss < best:
            best, state = loss, {k: v.clone() for k, v in net.state_dict().items()}
    net.load_state_dict(state)
    return lambda z: net(torch.tensor(z, dtype=torch.float32))[:, 0].detach().numpy().astype(float)


def others(path, seed):
    rows = list(csv.reader(open(path)))[1:]
    option = np.array([[int(v) for v in r[0].split()] for r in rows])
    y = np.array([float(r[1]) for r in rows])
    part = np.array([r[2] for r in rows])
    x = np.concatenate([np.eye(option[:, d].max() + 1)[option[:, d]] for d in range(option.shape[1])], 1)
    train, valid, test = part == "train", part == "valid", part == "test"
    both = train | valid
    mean, std = y[both].mean(), y[both].std()
    z = (y - mean) / std
    found = {}
    begun = time.time()
    g = GradientBoostingRegressor(n_estimators=500, random_state=seed).fit(x[both], z[both])
    found["sklearn-gbdt"] = (g.predict(x[test]) * std + mean, time.time() - begun)
    begun = time.time()
    f = torch_mlp(x[train], z[train], x[valid], z[valid], seed)
    found["torch-mlp"] = (f(x[test]) * std + mean, time.time() - begun)
    return {k: (float(np.sqrt(np.mean((p - y[test]) ** 2))), tau_b(p, y[test]), t) for k, (p, t) in found.items()}


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--lode", default="build/lode")
    a.add_argument("--tables", default="../shared/tables")
    a.add_argument("--train", default="100,1000")
    a.add_argument("--seed", type=int, default=1)
    a.add_argument("--others", help="an output of before: take scikit-learn's and PyTorch's rows from it")
    a.add_argument("-o", "--output", required=True)
    a = a.parse_args()
    torch.set_num_threads(1)
    known = list(csv.reader(open(a.others))) if a.others else []
    out = [["table", "column", "train", "model", "rmse", "tau_b", "seconds"]]
    for table, column, join in DEVICES:
        for n in a.train.split(","):
            with tempfile.TemporaryDirectory() as work:
                path = os.path.join(work, "rows.csv")
                command = [a.lode, "cost", "fit", "-s", "nasbench201", "-t", os.path.join(a.tables, table), "--column",
                           column, "--train", n, "--seed", str(a.seed), "--threads", "1", "--rows", path, "--json",
                           "--progress", "none", "--model", "linear", "--model", "gbdt", "--model", "mlp"]
                command += ["--join", os.path.join(a.tables, join)] if join else []
                j = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
                found = {m["model"]: (m["rmse"], m["tau_b"], m["seconds"]) for m in j["models"]}
                before = {r[3]: tuple(map(float, r[4:])) for r in known
                          if r[:3] == [table, column, n] and r[3] in ("sklearn-gbdt", "torch-mlp")}
                found.update(before or others(path, a.seed))
            for model, (rmse, tau, seconds) in found.items():
                out.append([table, column, n, model, f"{rmse:.6g}", f"{tau:.4f}", f"{seconds:.2f}"])
                print(*out[-1], flush=True)
            with open(a.output, "w", newline="") as f:
                csv.writer(f, lineterminator="\n").writerows(out)
    print("scikit-learn", sklearn.__version__, "torch", torch.__version__)


if __name__ == "__main__":
    main()
