#!/bin/bash
# The demo of ./dev demo: recipes/fbnet-fashion.yaml with a budget of a few minutes. Options are passed on to `lode search`.
set -euo pipefail
cd "$(dirname "$0")/.."
out=${LODE_DEMO_DIR:-runs/demo}
rm -rf "$out"
start=$(date +%s)
build/lode info
build/lode search -c recipes/fbnet-fashion.yaml -o "$out" \
    --set data.limit=24000 --set cost.build.rounds=30 --set cost.build.networks=12 \
    --set supernet.epochs=5 --set arch.warmup=1 --set arch.lr=0.05 \
    --set search.trials=12 --set 'search.targets=["latency_ms<=0.5*baseline", "latency_ms<=0.75*baseline"]' \
    --set train.epochs=8 "$@"
echo "demo: finished in $(($(date +%s) - start)) s; networks under $out/subnets, table $out/latency_ms.json, front $out/pareto.csv"
