#!/bin/bash
# The main job on made-up images, cut to seconds: directory contents, hard targets, kill -9 and resume, infeasible target,
# extraction, evaluation. labels: integration
set -uo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
fail() { echo "FAILED: $*"; exit 1; }
cat > small.yaml <<'YAML'
seed: 3
data: {name: synthetic, size: 16, channels: 1, classes: 4, valid: 0.2, arch_split: 0.3, batch: 32, workers: 1, synthetic: {train: 512, test: 128}}
space: {name: fbnet-fashion, size: 16, classes: 4}
cost: {in_loss: [macs], build: {batch: 1, rounds: 3, networks: 0}}
supernet: {epochs: 3, lr: 0.05, eval_every: 0, checkpoint_steps: 3}
arch: {warmup: 1, loss: [add_linear], a: [0.1], target: [1e6]}
search: {trials: 4, recalibrate: 64, baselines: ["base=k3_e6,k3_e6,k3_e6,k3_e6,k3_e6,k3_e6,k3_e6"], targets: ["macs<=0.5*baseline", "macs<=0.7*baseline"], measure_rounds: 3}
train: {epochs: 2, lr: 0.05, eval_every: 0, checkpoint_steps: 3}
YAML
"$LODE" search -c small.yaml -o whole --progress none --json > whole.out 2> whole.err || { cat whole.err; fail "search exits $?"; }
for f in recipe.yaml run.json metrics.jsonl study.db pareto.csv latency_ms.json supernet.safetensors \
         subnets/target1/arch.json subnets/target1/weights.safetensors subnets/target1/result.json; do
    [ -s "whole/$f" ] || fail "no $f"
done
for key in arch space accuracy accuracy_supernet cost macs params seed dataset epochs; do
    grep -q "\"$key\"" whole/subnets/target1/result.json || fail "result.json lacks $key"
done
for network in base target1 target2; do
    grep -q '"measured"' "whole/subnets/$network/result.json" || fail "$network was not measured"
done
"$LODE" search -c small.yaml -o whole --progress none >/dev/null 2>err; [ $? -eq 3 ] && grep -q -- "--resume" err || fail "overwrites a run"
"$LODE" search -c small.yaml -o whole --resume --progress none >/dev/null 2>err || { cat err; fail "resume of a finished run"; }

# One device prices the latency, another the memory, which is a target without a gradient: nothing is measured before, the
# networks are timed at the end all the same.
"$LODE" search -c small.yaml --set cost.table=raspberry-pi-4 --set 'cost.models=["peak_memory_bytes=stm32f746-disco"]' \
    --set 'search.targets=["peak_memory_bytes<=0.8*baseline"]' -o devices --progress none > /dev/null 2>err || { cat err; fail "devices"; }
[ -e devices/latency_ms.json ] && fail "measures a table although a device is given"
grep -q '"peak_memory_bytes"' devices/subnets/target1/result.json || fail "no peak memory in the result"
grep -q '"measured"' devices/subnets/target1/result.json || fail "networks of a device's search are not timed"

# A table measured once, so that nothing but the clock differs; then killed again and again.
cp whole/latency_ms.json table.json
kills=${LODE_KILLS:-4} hits=0
same=(search -c small.yaml --set cost.table=table.json --set supernet.epochs=$((3 * kills)) --progress none)
"$LODE" "${same[@]}" -o straight >/dev/null 2>err || { cat err; fail "straight"; }
for i in $(seq 1 "$kills"); do
    resume=""; [ -f killed/recipe.yaml ] && resume=--resume
    "$LODE" "${same[@]}" -o killed $resume >/dev/null 2>&1 &
    pid=$!
    sleep "0.$((RANDOM % 9 + 1))"
    kill -9 $pid 2>/dev/null && hits=$((hits + 1)); wait $pid 2>/dev/null
done
[ $hits -gt 0 ] || fail "no kill met a living run"
"$LODE" "${same[@]}" -o killed --resume >/dev/null 2>err || { cat err; fail "resume after kills"; }
for f in supernet.safetensors probabilities.json subnets/base/weights.safetensors subnets/target1/weights.safetensors subnets/target2/weights.safetensors; do
    cmp -s "straight/$f" "killed/$f" || fail "$f differs after kill and resume"
done
echo "killed $hits times, resumed: supernet $(sha256sum < killed/supernet.safetensors | cut -c1-16), the bits of a run left alone"

"$LODE" search -c small.yaml -o never --set cost.table=table.json --target 'macs<=10' --progress none >/dev/null 2>err
[ $? -eq 4 ] && grep -q "smallest macs" err || { cat err; fail "infeasible target is not exit 4"; }
"$LODE" extract -r straight --target 'macs<=1e9' -o carved --progress none > out 2>err || { cat err; fail "extract"; }
grep -q "bit for bit" out || fail "extract says nothing of equality"
"$LODE" extract -r straight --target "macs<=0.6*baseline" -o carved2 --progress none > out 2>err || { cat err; fail "extract under a new target"; }
grep -q "extract macs<=" <(sqlite3 straight/study.db "select distinct origin from trial" 2>/dev/null || strings straight/study.db*) || fail "the new search is not in the study"
"$LODE" extract -r straight --target 'macs<=1' -o none --progress none >/dev/null 2>&1; [ $? -eq 4 ] || fail "extract: infeasible is not exit 4"
"$LODE" eval -m straight/subnets/target1 -d synthetic --set data.synthetic.test=128 --set data.batch=32 --rounds 3 --progress none > out 2>err || { cat err; fail "eval"; }
grep -q "latency" out || fail "eval prints no latency"

# Other costs: in the loss, as a limit, in the result; an unknown one and one given twice are told off.
"$LODE" search -c small.yaml -o other --set cost.table=table.json --set 'cost.models=[activation_bytes]' \
    --set 'cost.in_loss=[activation_bytes]' --target 'activation_bytes<=0.9*baseline' --progress none >/dev/null 2>err || { cat err; fail "another cost"; }
grep -q '"activation_bytes"' other/subnets/target1/result.json || fail "result.json lacks the other cost"
"$LODE" search -c small.yaml -o bad --set cost.table=table.json --set 'cost.models=[nosuch]' --progress none >/dev/null 2>err
[ $? -eq 3 ] && grep -q 'cost.models: "nosuch"' err || { cat err; fail "an unknown cost"; }
"$LODE" search -c small.yaml -o bad2 --set cost.table=table.json --set 'cost.models=[macs]' --progress none >/dev/null 2>err
[ $? -eq 3 ] && grep -q 'two costs "macs"' err || { cat err; fail "a cost given twice"; }

"$LODE" search -c small.yaml -o bad3 --set train.epochs=1 --set train.warmup=1 --progress none >/dev/null 2>err
[ $? -eq 3 ] && grep -q 'train.warmup' err && [ ! -e bad3/latency_ms.json ] || { cat err; fail "a schedule that cannot be is found late"; }

# Ctrl-C: a checkpoint first, exit 130; an unwritable directory: a message.
"$LODE" search -c small.yaml -o stopped --set cost.table=table.json --set supernet.epochs=20000 --progress none >/dev/null 2>err &
pid=$!; sleep 2; kill -TERM $pid; wait $pid; code=$?
[ $code -eq 143 ] || { cat err; fail "SIGTERM gives exit $code, want 143"; }
grep -q -- "--resume" err || fail "no hint how to go on"
"$LODE" search -c small.yaml -o /proc/nowhere --progress none >/dev/null 2>err; [ $? -ne 0 ] && grep -q "/proc/nowhere" err || fail "unwritable directory"
echo "search: ok"
