#!/bin/bash
# The recipes that search sizes by masking, whole, on made-up images and cut to seconds: search, extraction, training from
# scratch, resuming. labels: integration
set -uo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
recipes=$(cd "$(dirname "$0")/../../recipes" && pwd)
cd "$work"
fail() { echo "FAILED: $*"; exit 1; }
cut=(--progress none --set data.name=synthetic --set data.size=16 --set data.channels=3 --set data.classes=4 --set data.batch=32
     --set data.workers=1 --set data.synthetic.train=192 --set data.synthetic.test=64 --set data.valid=0.3
     --set space.size=16 --set space.classes=4 --set supernet.epochs=2 --set supernet.lr=0.05 --set supernet.checkpoint_steps=3
     --set search.trials=3
     --set search.recalibrate=64 --set search.measure_rounds=3 --set train.epochs=1 --set train.warmup=0 --set train.lr=0.05)

run() { # name, space, further options...
    local name=$1 space=$2; shift 2
    "$LODE" cost build -s "$space" --set space.size=16 --set space.classes=4 -o "$name.json" --rounds 3 --networks 2 --batch 2 \
        --progress none > out 2> err || { cat err; fail "$name: the table"; }
    local all=(search -c "$recipes/$name.yaml" "${cut[@]}" "$@" --set cost.table="$PWD/$name.json")
    "$LODE" "${all[@]}" -o "$name" > out 2> err || { local code=$?; cat err; fail "$name exits $code"; }
    for f in probabilities.json subnets/target1/weights.safetensors subnets/target1/result.json pareto.csv; do
        [ -s "$name/$f" ] || fail "$name: no $f"
    done
    "$LODE" extract -r "$name" -a "$architecture" -o "$name.carved" --progress none > out 2> err || { cat err; fail "$name: extract"; }
    grep -q "bit for bit" out || fail "$name: the extracted network is not the supernet's path"
    # A killed run goes on with the same bits.
    "$LODE" "${all[@]}" -o "$name.killed" > /dev/null 2>&1 &
    local pid=$!; sleep 1; kill -9 $pid 2>/dev/null; wait $pid 2>/dev/null
    local resume=""; [ -f "$name.killed/recipe.yaml" ] && resume=--resume
    "$LODE" "${all[@]}" -o "$name.killed" $resume > /dev/null 2> err || { cat err; fail "$name: resume"; }
    for f in supernet.safetensors probabilities.json subnets/target1/weights.safetensors; do
        cmp -s "$name.killed/$f" "$name/$f" || fail "$name: $f differs after kill and resume"
    done
    echo "$name: ok"
}

# space.size 16 makes r12, r14, r16 of the resolutions.
architecture=r14,c12,k5_e3,skip,c28,k3_e1,skip,k3_e6,k5_e6,c40,k3_e3,k5_e3,skip,skip,c192
run fbnetv2 fbnetv2-cifar --set arch.warmup=1 --set \
    'search.baselines=["largest=r16,c16,k3_e6,k3_e6,c32,k3_e6,k3_e6,k3_e6,k3_e6,c64,k3_e6,k3_e6,k3_e6,k3_e6,c256"]'
architecture=$("$LODE" space sample -s single-path-cifar -n 1 2>/dev/null | cut -d' ' -f1)
run single-path-nas single-path-cifar --set arch.ramp=1 --set 'search.targets=[latency_ms<=1000]'
