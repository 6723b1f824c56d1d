#!/bin/bash
# Recipes that name methods run from end to end, cut to seconds on made-up images: each writes networks that meet their
# limits. labels: integration
set -uo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
fail() { echo "FAILED: $*"; exit 1; }
# A number of result.json: number FILE COST FIELD
number() { sed -n "/\"$2\": *{/,/}/p" "$1" | grep -o "\"$3\": *[0-9.e+-]*" | head -1 | sed 's/.*: *//'; }

cut=(--set data.name=synthetic --set data.size=16 --set data.classes=4 --set data.synthetic.train=128 --set data.synthetic.test=32
     --set data.batch=16 --set data.workers=1 --set space.width=0.25 --set data.valid=16
     --set supernet.epochs=2 --set supernet.eval_every=0 --set search.trials=2 --set search.recalibrate=16
     --set search.measure_rounds=3 --set train.epochs=1 --set train.batch=16 --set train.warmup=0
     --set cost.build.batch=1 --set cost.build.rounds=3 --set cost.build.networks=0)
arch=(--set data.arch_split=32 --set arch.warmup=1)
for recipe in proxylessnas-gates proxylessnas-r spos fairnas; do
    more=()
    [[ $recipe == proxylessnas-* ]] && more=("${arch[@]}")
    [[ $recipe == proxylessnas-r ]] && more+=(--set arch.samples=2 --set 'arch.target=[1.5e+6]' --target 'macs<=1.5e+6')
    "$LODE" search -c "$LODE_SOURCE/recipes/$recipe.yaml" "${cut[@]}" "${more[@]}" -o "$recipe" --progress none > out 2> err ||
        { cat err; fail "$recipe exits $?"; }
    result=$recipe/subnets/target1/result.json
    [ -s "$result" ] || fail "$recipe: no $result"
    target=$(grep -o '"target": *"[^"]*"' "$result" | sed 's/.*: *"//; s/"//')
    cost=${target%%<=*} limit=${target##*<=}
    awk -v c="$(number "$result" "$cost" predicted)" -v l="$limit" 'BEGIN { exit !(c > 0 && c <= l * 1.00001) }' ||
        fail "$recipe: $cost $(number "$result" "$cost" predicted) is above $limit"
    echo "$recipe: $target, $(number "$result" "$cost" predicted)"
done
grep -q '"multiplier_latency_ms"' proxylessnas-gates/metrics.jsonl || fail "no multiplier in the metrics of gates"
grep -q '"reward"' proxylessnas-r/metrics.jsonl || fail "no reward in the metrics of REINFORCE"
echo "recipes: ok"
