#!/bin/bash
# Target seeking: a search for every limit on shared weights, all limits met and used up; killed and resumed; limits that
# nothing meets are told before anything is measured. labels: integration
set -uo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
fail() { echo "FAILED: $*"; exit 1; }
cat > seek.yaml <<'YAML'
seed: 3
data: {name: synthetic, size: 16, channels: 1, classes: 4, valid: 32, arch_split: 128, batch: 16, workers: 1, synthetic: {train: 256, test: 32}}
space: {name: fbnet-fashion, size: 16, classes: 4}
cost: {in_loss: [], build: {batch: 1, rounds: 3, networks: 0}}
supernet: {epochs: 1, lr: 0.05, eval_every: 0}
arch: {sample: hard, seek: equal, lr: 0.2, tau: 1, tau_end: 1}
search: {seek_each: true, seek_epochs: 8, within: 0.1, trials: 3, recalibrate: 32, retrain: none, measure_rounds: 3,
         baselines: ["base=k3_e6,k3_e6,k3_e6,k3_e6,k3_e6,k3_e6,k3_e6"],
         targets: ["macs<=0.5*baseline", "macs<=0.75*baseline", "params<=0.6*baseline"]}
YAML
"$LODE" search -c seek.yaml -o whole --progress none > out 2> err || { cat err; fail "search exits $?"; }
number() { sed -n "/\"$2\": *{/,/}/p" "$1" | grep -o "\"predicted\": *[0-9.e+-]*" | head -1 | sed 's/.*: *//'; }
for i in 1 2 3; do
    result=whole/subnets/target$i/result.json
    target=$(grep -o '"target": *"[^"]*"' "$result" | sed 's/.*: *"//; s/"//')
    cost=${target%%<=*} limit=${target##*<=} value=$(number "$result" "${target%%<=*}")
    awk -v c="$value" -v l="$limit" 'BEGIN { exit !(c <= l * 1.0001 && c >= 0.9 * l) }' ||
        fail "$target: $value is not within 10 % below"
    # the expected cost of the search itself came to the limit, not only the network that was picked
    expected=$(grep '"turn": *"arch"' "whole/seek/target$i.jsonl" | tail -1 | grep -o "\"expected_$cost\": *[0-9.e+-]*" | sed 's/.*: *//')
    awk -v c="$expected" -v l="$limit" 'BEGIN { exit !(c <= 1.2 * l && c >= 0.8 * l) }' || fail "$target: expected $expected"
    echo "target$i: $target, network $value, expected $expected"
    [ -s "whole/seek/target$i.json" ] || fail "no probabilities of target$i"
done

# Killed in the middle of the searches and resumed: the same probabilities and networks.
cp whole/latency_ms.json table.json
short=(-c seek.yaml --set cost.table=table.json --set search.seek_epochs=2 --progress none)
"$LODE" search "${short[@]}" -o straight > out 2> err || { cat err; fail "straight"; }
"$LODE" search "${short[@]}" -o killed > /dev/null 2>&1 &
pid=$!
for _ in $(seq 200); do [ -s killed/seek/target2.jsonl ] && break; sleep 0.05; done
kill -9 $pid 2>/dev/null || fail "it was over before it could be killed"
wait $pid 2>/dev/null
"$LODE" search "${short[@]}" -o killed --resume > out 2> err || { cat err; fail "resume"; }
for i in 1 2 3; do
    cmp -s "straight/seek/target$i.json" "killed/seek/target$i.json" || fail "probabilities of target$i differ after a kill"
    cmp -s "straight/subnets/target$i/arch.json" "killed/subnets/target$i/arch.json" || fail "network $i differs after a kill"
done

# Another limit later: its own search on the same weights.
"$LODE" extract -r straight --target 'macs<=0.65*baseline' -o carved --progress none > out 2> err || { cat err; fail "extract"; }
[ "$(ls straight/seek/*.json | wc -l)" -eq 4 ] || fail "extract has not sought"

# What nothing meets is told at once, with the smallest there is: no directory, no table.
"$LODE" search -c seek.yaml -o never --target 'macs<=10' --progress none > out 2> err
[ $? -eq 4 ] && grep -q "smallest macs" err && [ ! -e never ] || { cat err; fail "a limit that cannot be met"; }
"$LODE" search -c seek.yaml -o never --set cost.table=table.json --target 'latency_ms<=1e-9' --progress none > out 2> err
[ $? -eq 4 ] && grep -q "smallest latency_ms" err && [ ! -e never ] || { cat err; fail "a latency that cannot be reached"; }
"$LODE" extract -r straight --target 'params<=10' -o none --progress none > out 2> err
[ $? -eq 4 ] && grep -q "smallest params" err || { cat err; fail "extract of a limit that cannot be met"; }
"$LODE" search -c seek.yaml -o bad --set search.seek_each=false --progress none > out 2> err
[ $? -eq 3 ] && grep -q "search.seek_each" err || { cat err; fail "three targets for one search"; }
"$LODE" search -c seek.yaml -o bad --set arch.seek=none --progress none > out 2> err
[ $? -eq 3 ] && grep -q "arch.seek" err || { cat err; fail "seeking each without seeking"; }
"$LODE" search -c seek.yaml -o bad --set 'search.targets=[]' --progress none > out 2> err
[ $? -eq 3 ] && grep -q "search.targets" err && [ ! -e bad ] || { cat err; fail "seeking without a target"; }
"$LODE" train -c seek.yaml -o trained --set 'search.targets=[]' --set train.epochs=1 -a "$(printf 'k3_e1,%.0s' {1..6})k3_e1" --progress none > out 2> err ||
    { cat err; fail "the recipe of a search does not train a network"; }
echo "seek: ok"
