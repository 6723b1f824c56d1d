#!/bin/bash
# Recipes that search network and device together, cut to seconds on made-up images: limits of both hold, what is decided of
# the device is told, networks are judged once whatever their device. labels: integration
set -uo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
fail() { echo "FAILED: $*"; exit 1; }
number() { sed -n "/\"$2\": *{/,/}/p" "$1" | grep -o "\"predicted\": *[0-9.e+-]*" | head -1 | sed 's/.*: *//'; }
below() { awk -v v="$1" -v l="$2" 'BEGIN { exit !(v > 0 && v <= l * 1.00001) }'; }

cut=(--set data.name=synthetic --set data.size=28 --set data.classes=4 --set data.channels=1 --set data.synthetic.train=128
     --set data.synthetic.test=32 --set data.limit=0
     --set data.limit=0
     --set data.batch=16 --set data.workers=1 --set data.valid=16 --set supernet.epochs=1
     --set search.trials=40 --set search.evolution.population=8 --set search.recalibrate=16 --set search.measure_rounds=3
     --set train.epochs=1 --progress none)
for recipe in fpga asic; do
    "$LODE" search -c "$LODE_SOURCE/recipes/codesign-$recipe.yaml" "${cut[@]}" -o $recipe > out 2> err || { cat err; fail "$recipe exits $?"; }
    result=$recipe/subnets/target1/result.json
    area=dsp most=128 latency=0.2 decided=tile.m
    [ $recipe = asic ] && area=area_mm2 most=7.1 latency=0.06 decided=dataflow
    below "$(number $result latency_ms)" $latency || fail "$recipe: latency $(number $result latency_ms) is above $latency"
    below "$(number $result $area)" $most || fail "$recipe: $area $(number $result $area) is above $most"
    grep -q "target1.*$area.*device: .*$decided" out || { cat out; fail "$recipe: the device is not told"; }
    echo "$recipe: $(grep '^target1.*device' out)"
done

# Without a limit devices are proposed like anything else; the same layers are judged the same, whatever the tiles.
"$LODE" search -c "$LODE_SOURCE/recipes/codesign-fpga.yaml" "${cut[@]}" -o free --set 'search.limits=[]' --set 'search.targets=[]' \
    --set search.retrain=none > out 2> err || { cat err; fail "a search without limits"; }
if command -v sqlite3 > /dev/null; then
    sqlite3 free/study.db "select arch, accuracy from trial where state='done'" > trials
    awk -F'|' '{ net = $1; sub(/,m[0-9]+,n[0-9]+$/, "", net); if (net in a) { again++; if (a[net] != $2) bad++ } a[net] = $2 }
               END { print again + 0, bad + 0 }' trials > again
    read -r n bad < again
    [ "$bad" -eq 0 ] || fail "$bad of $n networks seen again were judged differently"
    [ "$n" -gt 0 ] || fail "40 trials and no network twice"
    echo "$n of 40 trials are networks judged before"
    # With limits the device is fitted to the network: no network comes twice.
    [ "$(sqlite3 fpga/study.db "select count(*) from trial where state='done'")" -eq 40 ] || fail "not 40 trials"
    [ "$(sqlite3 fpga/study.db "select arch from trial where state='done'" | sed 's/,m[0-9]*,n[0-9]*$//' | sort -u | wc -l)" -eq 40 ] ||
        fail "a network is judged twice although its device is fitted"
fi

# Each limit can be met, both cannot: told with both.
"$LODE" search -c "$LODE_SOURCE/recipes/codesign-fpga.yaml" "${cut[@]}" -o never --set 'search.limits=[dsp<=8]' \
    --set 'search.targets=[latency_ms<=0.06]' > out 2> err
[ $? -eq 4 ] && grep -q 'dsp, of 2 limits\|latency_ms, of 2 limits\|latency_ms<=0.06 and dsp<=8' err || { cat err; fail "limits that exclude each other"; }
"$LODE" search -c "$LODE_SOURCE/recipes/codesign-fpga.yaml" "${cut[@]}" -o never2 --set 'search.limits=[dsp<=1]' > out 2> err
[ $? -eq 4 ] && grep -q 'search.limits.*smallest dsp' err || { cat err; fail "a limit below the space"; }
"$LODE" search -c "$LODE_SOURCE/recipes/codesign-fpga.yaml" "${cut[@]}" -o never3 --set 'search.limits=[area_mm2<=1]' > out 2> err
[ $? -eq 3 ] && grep -q 'search.limits.*no cost "area_mm2"' err || { cat err; fail "a limit of an unknown cost"; }

# Probabilities of a differentiable search steer to both limits.
sed '/^  evolution:/d' "$LODE_SOURCE/recipes/codesign-fpga.yaml" > policy.yaml
short=()
for ((i = 0; i < ${#cut[@]}; i++)); do [[ ${cut[i+1]:-} == search.evolution* ]] && ((++i)) || short+=("${cut[i]}"); done
"$LODE" search -c policy.yaml "${short[@]}" -o seek --set supernet.strategy=gumbel --set data.arch_split=32 \
    --set arch.seek=equal --set arch.warmup=0 --set search.searcher=policy --set search.discretize=argmax \
    --set search.trials=2 > out 2> err || { cat err; fail "seeking two limits"; }
below "$(number seek/subnets/target1/result.json dsp)" 128 || fail "seek: dsp"
below "$(number seek/subnets/target1/result.json latency_ms)" 0.2 || fail "seek: latency"
grep -q '"multiplier_dsp"' seek/metrics.jsonl || fail "no multiplier of the second limit"
echo "codesign: ok"
