#!/bin/bash
# From a trained supernet to networks by every rule: valid in spaces that keep edges, under the target, the same after a resume;
# what each step costs stands in result.json and in the table. labels: integration
set -uo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
fail() { echo "FAILED: $*"; exit 1; }
cat > cells.yaml <<'YAML'
name: small-cells
about: two types of cells whose nodes keep two edges and one
input: {channels: 1, size: 8}
classes: 4
sets:
  s:
    none: {op: none}
    skip: {op: skip, at_shape_change: {op: factorized_reduce}}
    sep: {op: sep_conv}
    pool: {op: avg_pool, bn: true}
cells:
  normal: {inputs: 2, nodes: 2, set: s, output: concat, keep: 2}
  reduce: {inputs: 2, nodes: 2, set: s, output: concat, keep: 1}
layers:
  - {name: stem, op: conv, channels: 4}
  - {cell: normal, channels: 4}
  - {cell: reduce, channels: 8, stride: 2}
  - {name: pool, op: global_pool}
  - {name: classifier, op: linear}
YAML
cat > small.yaml <<'YAML'
seed: 3
data: {name: synthetic, size: 8, channels: 1, classes: 4, valid: 0.2, arch_split: 0.3, batch: 32, workers: 0, synthetic: {train: 256, test: 64}}
space: {name: cells.yaml}
cost: {in_loss: [], build: {batch: 1, rounds: 3, networks: 0}}
supernet: {epochs: 2, lr: 0.05, eval_every: 0}
arch: {warmup: 0, lr: 0.1, noise: none}
search: {trials: 3, recalibrate: 64, measure_rounds: 3}
train: {epochs: 1, lr: 0.05, eval_every: 0}
YAML
search() { "$LODE" search -c small.yaml --progress none "$@" > out 2> err; }
search -o first || { cat err; fail "best_of"; }
cp first/latency_ms.json table.json
for rule in argmax sample top2; do
    search -o $rule --set cost.table=table.json --set search.discretize=$rule || { cat err; fail "$rule"; }
    json=$rule/subnets/policy-1/result.json
    [ -s "$json" ] || fail "$rule: no result.json"
    grep -q "\"rule\": \"$rule\"" "$json" || { cat "$json"; fail "$rule: the rule is not in result.json"; }
    for key in mixture cut_out recalibrated retrained; do
        grep -Eq "\"$key\": [0-9.]+" "$json" || { cat "$json"; fail "$rule: no number for $key"; }
    done
    [ "$(sqlite3 $rule/study.db 'select count(*) from trial')" -eq 1 ] || fail "$rule judges more than one"
    [ -s $rule/mixture.json ] || fail "$rule: no mixture.json"
done
grep -q "mixture    cut out  recalibrated    trained" out || { cat out; fail "the table of the gap"; }
[ "$(grep -o '"log_probability[a-z_]*": [-0-9.e]*' argmax/subnets/policy-1/result.json | cut -d' ' -f2 | sort -u | wc -l)" -eq 1 ] ||
    fail "argmax is not the most probable"
# The same weights, so the same mixture, whatever is cut out of it; and again on resuming.
cmp -s argmax/mixture.json top2/mixture.json || fail "mixtures of one supernet differ"
cp argmax/subnets/policy-1/weights.safetensors before.safetensors
rm -r argmax/subnets argmax/study.db*
search -o argmax --resume --set cost.table=table.json --set search.discretize=argmax || { cat err; fail "resume"; }
cmp -s argmax/subnets/policy-1/weights.safetensors before.safetensors || fail "not made again to the same bits"

# Under a target the rules' networks meet it.
limit=$(sqlite3 first/study.db "select cast(0.8 * max(json_extract(costs,'\$.macs')) as integer) from trial")
for rule in argmax sample top2; do
    search -o $rule-t --set cost.table=table.json --set search.discretize=$rule --target "macs<=$limit" ||
        { cat err; fail "$rule under a target"; }
    macs=$(grep -o '^ *"macs": [0-9]*' $rule-t/subnets/target1/result.json | grep -o '[0-9]*$' | tail -1)
    [ "$macs" -le "$limit" ] || fail "$rule: $macs MACs are above $limit"
done

# A strategy without probabilities has no mixture, and no argmax; top2 needs kept edges; argmax is one network.
sed -e 's/^arch:.*//' -e 's/epochs: 2/strategy: single_path, epochs: 2/' small.yaml > path.yaml
"$LODE" search -c path.yaml -o path --set cost.table=table.json --set search.searcher=random --progress none > out 2> err || { cat err; fail "single_path"; }
grep -q '"mixture": null' path/subnets/random-1/result.json || fail "single_path has a mixture"
bad() { local words=$1; shift; "$LODE" search "$@" --set cost.table=table.json --progress none > out 2> err
        [ $? -eq 3 ] && grep -q -- "$words" err || { cat err; fail "no message: $words"; }; }
bad "single_path: use best_of" -c path.yaml -o bad1 --set search.discretize=argmax
bad "searcher must be policy" -c small.yaml -o bad2 --set search.discretize=argmax --set search.searcher=random
bad "search.keep is 2" -c small.yaml -o bad3 --set search.discretize=top2 --set search.keep=2
bad "no cell with \`keep\`" -c small.yaml -o bad4 --set search.discretize=top2 --set space.name=fbnet-fashion
[ ! -e bad4 ] || fail "found late"
echo "discretize: ok"
