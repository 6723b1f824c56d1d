#!/bin/bash
# How well does each cost model predict this machine? A table, a calibrated roofline, and predictors fitted to
# measured networks, all against the same 100 random networks of each space (docs/results/this-machine.md).
#   bench/this_machine.sh DIR STAGE SPACE     STAGE: measure (table and rows), calibrate, fit, verify
#   bench/this_machine.sh DIR all             everything, about ten minutes
# Each stage is short, so that it can be run when the machine is quiet; files that are there are not made again.
# LODE names the command (default build/lode), THREADS how many (1).
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
lode=${LODE:-$here/build/lode} threads=${THREADS:-1}
spaces="fbnet-cifar nasbench-macro nasbench201"
dir=$1 stage=${2:-all} space=${3:-}
mkdir -p "$dir"; cd "$dir"
run() { "$lode" "$@" --threads "$threads" --progress none; }
case $space in fbnet-cifar) rows=300 rounds=30 ;; *) rows=200 rounds=15 ;; esac
case $stage in
measure)
    [ -e "$space.json" ] || run cost build -s "$space" -o "$space.json" --budget 45 --networks 24
    [ -e "$space.csv" ] || run cost measure -s "$space" -n "$rows" --rounds 7 -o "$space.csv" ;;
calibrate)
    [ -e calibrated.yaml ] || run cost calibrate -o calibrated.yaml --name calibrated --budget 60 ;;
fit)
    for model in mlp gbdt; do
        [ -e "$space-$model" ] || run cost fit -s "$space" -t "$space.csv" --column latency_ms --model $model --held-out 0.05 -o "$space-$model"
    done ;;
verify)
    run cost verify -s "$space" -n 100 --rounds "$rounds" --cost "latency_ms=$space.json" --cost latency_ms=./calibrated.yaml \
        --cost "latency_ms=$space-mlp" --cost "latency_ms=$space-gbdt" --rows "$space-verify.csv" | tee "$space.txt" ;;
all)
    "$0" "$PWD" calibrate
    for s in $spaces; do for t in measure fit verify; do (cd "$here" && "$here/bench/this_machine.sh" "$OLDPWD" $t "$s"); done; done ;;
*) echo "this_machine.sh: no stage $stage" >&2; exit 2 ;;
esac
