"""The data sets of predictor_tables.py: for every column what `lode cost fit` is told, and what is judged beside it.

Three are made here from published files. Once-for-all's tables of blocks have no networks beside them: 2,000 networks
drawn from its space are priced by the table's blocks, added up here and not by Lode. HAT's rows are Transformers by ten
numbers, which no space has: the numbers are read as features, and a row's architecture is no more than its name.
"""
import csv
import os
import subprocess
from collections import namedtuple

import numpy as np
from compare_transfer import load, rows, write

SETS = {
    "hwnasbench-nb201": "HW-NAS-Bench on NAS-Bench-201",
    "hwnasbench-fbnet": "HW-NAS-Bench on FBNet",
    "latbench": "LatBench and nn-Meter on NAS-Bench-201",
    "help-nb201": "HELP on NAS-Bench-201",
    "help-fbnet": "HELP on FBNet",
    "help-ofa": "HELP on Once-for-all",
    "ofa-blocks": "Once-for-all's tables of blocks",
    "hat": "HAT",
}
# device files that describe the device: quantity=device
ANALYTICAL = {"raspi4_ms": "latency_ms=raspberry-pi-4", "eyeriss_ms": "latency_ms=eyeriss", "fpga_ms": "latency_ms=zcu102",
              "v100_1_ms": "latency_ms=v100", "v100_32_ms": "latency_ms=v100", "v100_64_ms": "latency_ms=v100"}
# of HELP's 23, and 12 of Once-for-all
HELP_COLUMNS = {"help-nb201": ["1080ti_1_ms", "titan_rtx_256_ms", "gold_6226_ms", "pixel2_ms", "samsung_s7_ms"],
                "help-fbnet": ["1080ti_1_ms", "titan_rtx_64_ms", "gold_6226_ms", "pixel2_ms", "samsung_s7_ms"],
                "help-ofa": ["2080ti_1_ms", "2080ti_32_ms", "titan_rtx_64_ms", "v100_1_ms", "v100_32_ms", "v100_64_ms"]}
CELLS = ["linear", "mlp", "gbdt", "gcn", "gcn-alone"]  # kinds of predictor that a space of cells is for
CHAINS = ["linear", "mlp", "gbdt", "lstm"]

# costs: (way, spec) that are judged beside; kinds: of predictor
Job = namedtuple("Job", "set column words costs kinds")


def lode(a, *words):
    done = subprocess.run([a.lode, "cost", *words], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"lode cost {' '.join(words)}: {done.stderr}")
    return done.stdout


def job(name, column, space, table, kinds, tables=()):
    costs = [("table", "latency_ms=" + t) for t in tables] + [("macs", "macs")]
    words = ["-s", space, "-t", table]
    if column in ANALYTICAL:
        costs.append(("analytical", ANALYTICAL[column]))
    if column.startswith("v100"):
        words += ["--batch", column.split("_")[1]]
    return Job(name, column, words, costs, kinds)


def hwnasbench(a, work):
    at = lambda name: os.path.join(a.tables, "hwnasbench", name)
    four = ("raspi4_ms", "pixel3_ms", "eyeriss_ms", "fpga_ms")
    for c in four:
        yield job("hwnasbench-nb201", c, "nasbench201", at("nb201_cifar10.csv"), CELLS)
    for c in ("edgegpu_ms", "edgetpu_ms"):
        yield job("hwnasbench-nb201", c, "nasbench201", at("nb201_cifar10_edge_1999.csv"), CELLS)
    for c in four:
        lut = os.path.join(work, "fbnet-" + c + ".json")
        lode(a, "import", "-f", "hwnasbench", "--unit", "ms", "-s", "hwnasbench-fbnet", "--column", c, "-o", lut,
             at("fbnet_cifar100_lut.csv"))
        yield job("hwnasbench-fbnet", c, "hwnasbench-fbnet", at("fbnet_cifar100_5000.csv"), CHAINS, [lut])


def latbench(a, work):
    for c in ("jetson_nano_fp32_ms", "jetson_nano_fp16_ms", "edgetpu_int8_ms", "sd855_cpu_ms", "sd855_gpu_ms", "sd855_dsp_ms",
              "cortex_a76_cpu_ms", "adreno630_gpu_ms", "adreno640_gpu_ms", "myriad_vpu_ms", "gtx1080ti_fp32_ms"):
        yield job("latbench", c, "nasbench201", os.path.join(a.tables, "latbench", "nb201_12devices_1999.csv"), CELLS)


def help_tables(a, work):
    for name in ("nb201", "fbnet", "ofa"):
        space, columns, table = load(name, a.tables)  # the same reading as for transfer
        t = os.path.join(work, name + ".csv")
        write(t, space, columns, table)
        for c in HELP_COLUMNS["help-" + name]:
            yield job("help-" + name, c, space, t, CELLS if name == "nb201" else CHAINS)


# ---- Once-for-all's tables of blocks, at 224x224 and width 1.2 ----

STAGES = [(32, 2, 0), (48, 2, 1), (96, 2, 0), (136, 1, 1), (192, 2, 1)]  # channels, stride, squeeze-and-excite


def block_table(path, size):
    """(sum of the fixed parts, blocks by their shape); expand is the ratio, or the number of middle channels."""
    fixed, blocks = 0.0, {}
    for r in rows(path):
        shape = tuple(int(r[k] or 0) for k in ("in_h", "in_c", "out_c"))
        if r.get("resolution", str(size)) != str(size):
            continue
        if r["type"] in ("expanded_conv", "MBConv"):
            expand = int(r.get("mid_channels") or r.get("expand"))
            blocks[shape + (expand,) + tuple(int(r[k]) for k in ("kernel", "stride", "idskip", "se"))] = float(r["mean_ms"])
        elif shape[0] in (1, 7, size) and shape[1:] in ((3, 24), (192, 1152), (1152, 1152), (1152, 1536), (1536, 1000)):
            fixed += float(r["mean_ms"])
    return fixed, blocks


def price(arch, fixed, blocks, size, middle):
    """arch: a list of five lists of (kernel, expand)."""
    first = (size // 2, 24, 24, 24 if middle else 1, 3, 1, 1, 0)
    total, h, c = fixed + blocks[first], size // 2, 24
    for layers, (out, stride, se) in zip(arch, STAGES):
        for i, (kernel, expand) in enumerate(layers):
            s = stride if i == 0 else 1
            wide = int(c * expand + 4) // 8 * 8 if middle else expand
            total += blocks[(h, c, out, wide, kernel, s, int(s == 1 and c == out), se)]
            h, c = h // s, out
    return total


def ofa_blocks(a, work):
    at = lambda name: os.path.join(a.tables, "ofa_lut", name)
    rng, size = np.random.default_rng(1), 224
    archs = [[[(int(rng.choice([3, 5, 7])), int(rng.choice([3, 4, 6]))) for _ in range(rng.integers(2, 5))] for _ in STAGES]
             for _ in range(2000)]
    devices = {"note10_ms": ("note10_lookup_table.csv", True, ["--where", f"resolution={size}"]),
               "i7_8700k_ms": ("i7_8700k_mbv3.csv", False, [])}
    table = [{"arch": " ".join(" ".join([f"k{k}_e{e}" for k, e in s] + ["skip"] * (4 - len(s))) for s in x)} for x in archs]
    lut = {}
    for c, (name, middle, words) in devices.items():
        fixed, blocks = block_table(at(name), size)
        for r, x in zip(table, archs):
            r[c] = repr(price(x, fixed, blocks, size, middle))
        lut[c] = os.path.join(work, c + ".json")
        lode(a, "import", "-f", "ofa", "--unit", "ms", *words, "-o", lut[c], at(name))
    t = os.path.join(work, "ofa-blocks.csv")
    write(t, None, list(devices), table)
    for c in devices:
        yield job("ofa-blocks", c, "ofa-mobilenetv3", t, CHAINS, [lut[c]])


# ---- HAT ----

def hat(a, work):
    """Encoder and decoder together. NAS-Bench-Macro's codes name the rows; nothing of them is read."""
    folder = os.path.join(a.tables, "hat_latency")
    for name in sorted(n for n in os.listdir(folder) if n.endswith(".csv") and n != "published_models.csv"):
        table, seen = rows(os.path.join(folder, name)), set()
        features = [k for k in table[0] if not k.startswith("latency_")]
        t = os.path.join(work, name)
        with open(t, "w", newline="") as f:
            w = csv.writer(f, lineterminator="\n")
            w.writerow(["arch", *features, name[:-4] + "_ms"])
            for r in table:
                ten = tuple(r[k] for k in features)
                if ten not in seen:
                    code = np.base_repr(len(seen), 3).zfill(8)
                    w.writerow([code, *ten, repr(float(r["latency_mean_encoder"]) + float(r["latency_mean_decoder"]))])
                seen.add(ten)
        words = ["-s", "nasbench-macro", "-t", t, "--features", ",".join(features), "--set", "fit.encoding=none"]
        yield Job("hat", name[:-4] + "_ms", words, [], ["linear", "mlp", "gbdt"])


def jobs(a, work):
    return [j for s in (hwnasbench, latbench, help_tables, ofa_blocks, hat) for j in s(a, work)]
