#!/bin/bash
# How well does each cost model predict this machine? A table, a calibrated roofline, and predictors fitted to
# measured networks, all against the same 100 random networks of each space (docs/results/this-machine.md).
#   bench/this_machine.sh DIR [SPACE ...]        five to eight minutes a space; leave the machine alone meanwhile
# What is there is not made again. LODE names the command (default build/lode), THREADS how many (1).
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
lode=$(realpath "${LODE:-$here/build/lode}") threads=${THREADS:-1}
mkdir -p "$1"; cd "$1"; shift
run() { "$lode" "$@" --threads "$threads" --progress none; }
[ -e calibrated.yaml ] || run cost calibrate -o calibrated.yaml --name calibrated --budget 40
[ $# -gt 0 ] || set -- fbnet-cifar nasbench-macro nasbench201
for space; do
    [ -e "$space.csv" ] || run cost measure -s "$space" -n 400 --rounds 15 -o "$space.csv"
    [ -e "$space.json" ] || run cost build -s "$space" -o "$space.json" --budget 40 --networks 24
    for model in mlp gbdt; do
        [ -e "$space-$model" ] || run cost fit -s "$space" -t "$space.csv" --column latency_ms --model $model --held-out 0.05 \
            -o "$space-$model"
    done
    [ -e "$space.txt" ] || run cost verify -s "$space" -n 100 --rounds 150 --cost "latency_ms=$space.json" \
        --cost latency_ms=./calibrated.yaml --cost "latency_ms=./$space-mlp" --cost "latency_ms=./$space-gbdt" \
        --rows "$space-verify.csv" > "$space.txt"
    cat "$space.txt"
done
