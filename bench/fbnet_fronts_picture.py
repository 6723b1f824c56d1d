#!/usr/bin/env python3
"""Accuracy against measured latency of the networks that bench/fbnet_fronts.py found: RESULTS.csv becomes
RESULTS.svg. Chosen networks of a method are joined; what `random` trained beside is small.

    bench/fbnet_fronts_picture.py docs/results/fbnet-fronts
"""
import csv
import sys

COLORS = {"gumbel": "#4477aa", "darts": "#ee6677", "binary-gates": "#228833", "reinforce": "#ccbb44",
          "random": "#777777"}
WIDTH, HEIGHT, LEFT, TOP = 560, 340, 60, 60


def scale(values, length):
    low, high = min(values), max(values)
    low, high = low - 0.08 * (high - low), high + 0.08 * (high - low)
    return low, high, lambda v: length * (v - low) / (high - low)


def grid(low, high, step):
    first = int(low / step) + 1
    return [i * step for i in range(first, int(high / step) + 1)]


def main():
    prefix = sys.argv[1]
    with open(prefix + ".csv") as f:
        rows = [{"x": float(r["measured"]), "y": 100 * float(r["test"]), "method": r["method"],
                 "chosen": r["chosen"] == "1"} for r in csv.DictReader(f)]
    x_low, x_high, x_at = scale([r["x"] for r in rows], WIDTH)
    y_low, y_high, y_at = scale([r["y"] for r in rows], HEIGHT)
    width, height = LEFT + WIDTH + 150, TOP + HEIGHT + 60
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
           f'viewBox="0 0 {width} {height}">',
           '<style>text{font:13px sans-serif;fill:#222} .t{font-size:17px;font-weight:bold} '
           '.s{font-size:11px;fill:#555}</style>',
           f'<rect width="{width}" height="{height}" fill="white"/>',
           '<text x="14" y="26" class="t">fbnet-cifar: test accuracy after 10 epochs, by measured latency</text>',
           f'<rect x="{LEFT}" y="{TOP}" width="{WIDTH}" height="{HEIGHT}" fill="#f4f4f4"/>']
    for v in grid(x_low, x_high, 1):
        x = LEFT + x_at(v)
        out.append(f'<path d="M{x:.1f} {TOP}v{HEIGHT}" stroke="#dddddd"/><text x="{x:.1f}" '
                   f'y="{TOP + HEIGHT + 16}" class="s" text-anchor="middle">{v}</text>')
    for v in grid(y_low, y_high, 2):
        y = TOP + HEIGHT - y_at(v)
        out.append(f'<path d="M{LEFT} {y:.1f}h{WIDTH}" stroke="#dddddd"/><text x="{LEFT - 6}" '
                   f'y="{y + 4:.1f}" class="s" text-anchor="end">{v} %</text>')
    out.append(f'<text x="{LEFT + WIDTH / 2}" y="{TOP + HEIGHT + 38}" class="s" text-anchor="middle">'
               f'ms for 32 images, one thread</text>')
    for i, (method, color) in enumerate(COLORS.items()):
        points = [(LEFT + x_at(r["x"]), TOP + HEIGHT - y_at(r["y"]), r["chosen"]) for r in rows
                  if r["method"] == method]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y, chosen in points if chosen)
        out.append(f'<polyline points="{line}" fill="none" stroke="{color}" stroke-width="2"/>')
        out += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{5 if chosen else 2.5}" fill="{color}"/>'
                for x, y, chosen in points]
        y = TOP + 20 + 22 * i
        out.append(f'<circle cx="{LEFT + WIDTH + 20}" cy="{y - 4}" r="5" fill="{color}"/>'
                   f'<text x="{LEFT + WIDTH + 32}" y="{y}">{method}</text>')
    with open(prefix + ".svg", "w") as f:
        f.write("\n".join(out + ["</svg>"]) + "\n")


if __name__ == "__main__":
    main()
