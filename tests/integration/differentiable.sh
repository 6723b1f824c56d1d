#!/bin/bash
# The recipes of differentiable searches, cut to seconds on made-up images: each ends in a trained network that the space
# allows; a killed one resumes to the same bits, and so does one with another number of threads. labels: integration
set -uo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
recipes=$(cd "$(dirname "$0")/../../recipes" && pwd)
cd "$work"
fail() { echo "FAILED: $*"; exit 1; }
cut=(--set data.name=synthetic --set data.size=8 --set data.channels=3 --set data.classes=4 --set data.workers=0
     --set data.synthetic.train=128 --set data.synthetic.test=32 --set data.batch=32 --set data.mean='[0,0,0]'
     --set data.std='[1,1,1]' --set space.repeats=1 --set cost.build.rounds=3 --set threads=1
     --set supernet.epochs=2 --set supernet.batch=32
     --set train.epochs=1 --set train.batch=32 --set search.measure_rounds=3 --progress none)
for recipe in darts-first darts-second gdas xnas snas pc-darts; do
    more=(--set space.cell_channels=4); [ $recipe = pc-darts ] && more=(--set space.cell_channels=8 --set arch.warmup=1)
    table=() space=$(grep -o '^space: {name: [a-z0-9]*' "$recipes/$recipe.yaml" | cut -d' ' -f3)
    [ $recipe = pc-darts ] && space=$space-8
    [ -s "$space.json" ] && table=(--set cost.table="$space.json")
    "$LODE" search -c "$recipes/$recipe.yaml" "${cut[@]}" "${more[@]}" "${table[@]}" -o $recipe > out 2> err ||
        { tail -5 err; fail "$recipe exits $?"; }
    [ -s "$space.json" ] || cp $recipe/latency_ms.json "$space.json"
    json=$(ls $recipe/subnets/*/result.json) || fail "$recipe: no network"
    grep -q '"retrained": [0-9.]' $json || { cat $json; fail "$recipe: the network was not trained"; }
    grep -Eq '"turn": ?"weights"' $recipe/metrics.jsonl || fail "$recipe: no metrics"
    # weights of the network have all channels, whatever the supernet had
    "$LODE" eval -m "$(dirname $json)" -d synthetic --set data.classes=4 --set data.synthetic.test=32 --set data.batch=32 \
        --rounds 3 --progress none > out 2> err || { cat err; fail "$recipe: eval"; }
done
# the same run, killed once and resumed
again=(search -c "$recipes/darts-second.yaml" "${cut[@]}" --set space.cell_channels=4 --set cost.table=nasbench201.json
       --set supernet.epochs=30 --set supernet.checkpoint_steps=1)
"$LODE" "${again[@]}" -o straight > /dev/null 2> err || { cat err; fail "straight"; }
"$LODE" "${again[@]}" -o killed > /dev/null 2>&1 & pid=$!
for i in $(seq 400); do [ -s killed/metrics.jsonl ] && break; sleep 0.05; done # its first line comes before the first step
sleep 0.1; kill -9 $pid || fail "the run was over before the kill"
wait $pid 2> /dev/null
"$LODE" "${again[@]}" -o killed --resume > /dev/null 2> err || { cat err; fail "resume"; }
for f in supernet.safetensors probabilities.json; do cmp -s straight/$f killed/$f || fail "$f differs after a kill"; done
# the same run with another number of threads, to the network trained at the end
threads() { # count, directory, more options
    "$LODE" search -c "$recipes/gdas.yaml" "${cut[@]}" --set space.cell_channels=16 --set threads=$1 --set supernet.epochs=4 \
        --set train.epochs=2 -o $2 "${@:3}" > /dev/null 2> err || { cat err; fail "$1 threads"; }
}
threads 1 one
threads 2 two --set cost.table=one/latency_ms.json
for f in supernet.safetensors probabilities.json; do cmp -s one/$f two/$f || fail "$f differs with 2 threads"; done
weights=$(cd one && ls subnets/*/weights.safetensors) || fail "no network"
cmp -s one/$weights two/$weights || fail "the trained network differs with 2 threads"
# what a partial supernet cannot give
"$LODE" search -c "$recipes/pc-darts.yaml" "${cut[@]}" --set arch.warmup=1 --set space.cell_channels=8 --set search.evaluator=supernet -o never > /dev/null 2> err
[ $? -eq 3 ] && grep -q "search.evaluator none or train" err || { cat err; fail "weights inherited from a partial supernet"; }
echo "six recipes end in networks; a killed second order and two threads give the bits of one left alone"
