#!/usr/bin/env python3
"""How the probabilities of skip connections and of nothing moved in the searches of
bench/nasbench201_searches.py: RESULTS-epochs.csv becomes RESULTS.svg.

    bench/nasbench201_picture.py docs/results/nasbench201
"""
import csv
import sys

COLORS = {"gdas": "#4477aa", "gdas-sum": "#ee8866", "binary-gates": "#66ccee", "darts-first": "#ee6677",
          "darts-60-epochs": "#000000", "darts-second": "#aa3377", "xnas": "#228833", "gumbel-soft": "#ccbb44",
          "pc-darts": "#888888"}
PANELS = [("skip_probability", "skip_connect"), ("none_probability", "none"),
          ("entropy", "entropy, 1: undecided")]
WIDTH, HEIGHT, LEFT, TOP, GAP = 270, 200, 44, 70, 60


def mean_curves(path, column):
    """method: [(share of the search, mean over seeds)], methods without probabilities left out."""
    seen = {}
    with open(path) as f:
        for x in csv.DictReader(f):
            if x[column] and x["method"] in COLORS:
                epochs = seen.setdefault(x["method"], {})
                epochs.setdefault(int(x["epoch"]), []).append(float(x[column]))
    return {m: [(e / max(epochs), sum(v) / len(v)) for e, v in sorted(epochs.items())]
            for m, epochs in seen.items()}


def panel(path, column, title, x0):
    curves = mean_curves(path, column)
    top = 1 if column == "entropy" else max(y for c in curves.values() for _, y in c) * 1.1
    out = [f'<text x="{x0}" y="{TOP - 10}" class="h">{title}</text>',
           f'<rect x="{x0}" y="{TOP}" width="{WIDTH}" height="{HEIGHT}" fill="#f4f4f4"/>']
    for i in range(5):
        y = TOP + HEIGHT * i / 4
        out.append(f'<path d="M{x0} {y}h{WIDTH}" stroke="#dddddd"/><text x="{x0 - 6}" y="{y + 4}" '
                   f'class="s" text-anchor="end">{top * (1 - i / 4):.2f}</text>')
    if column != "entropy":
        y = TOP + HEIGHT * (1 - 0.2 / top)
        out.append(f'<path d="M{x0} {y:.1f}h{WIDTH}" stroke="#777777" stroke-dasharray="3 3"/>')
    for m, c in curves.items():
        points = " ".join(f"{x0 + WIDTH * x:.1f},{TOP + HEIGHT * (1 - y / top):.1f}" for x, y in c)
        out.append(f'<polyline points="{points}" fill="none" stroke="{COLORS[m]}" '
                   f'stroke-width="2"/>')
    out.append(f'<text x="{x0 + WIDTH / 2}" y="{TOP + HEIGHT + 16}" class="s" '
               f'text-anchor="middle">share of the search</text>')
    return out


def main():
    prefix = sys.argv[1]
    width = LEFT + len(PANELS) * (WIDTH + GAP)
    height = TOP + HEIGHT + 50
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
           f'viewBox="0 0 {width} {height}">',
           '<style>text{font:13px sans-serif;fill:#222} .t{font-size:17px;font-weight:bold} '
           '.h{font-weight:bold} .s{font-size:11px;fill:#555}</style>',
           f'<rect width="{width}" height="{height}" fill="white"/>',
           f'<text x="14" y="26" class="t">Searches in NAS-Bench-201: mean probability over the six '
           f'edges, by epoch</text>']
    for i, (column, title) in enumerate(PANELS):
        out += panel(prefix + "-epochs.csv", column, title, LEFT + i * (WIDTH + GAP))
    x = LEFT
    for m in mean_curves(prefix + "-epochs.csv", "entropy"):
        out.append(f'<path d="M{x:.0f} {height - 14}h18" stroke="{COLORS[m]}" stroke-width="3"/>'
                   f'<text x="{x + 24:.0f}" y="{height - 10}">{m}</text>')
        x += 34 + 7.4 * len(m)
    with open(prefix + ".svg", "w") as f:
        f.write("\n".join(out + ["</svg>"]) + "\n")


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    main()
