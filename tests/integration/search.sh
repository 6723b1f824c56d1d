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
"$LODE" search -c small.yaml -o whole --progress none >/dev/null 2>err; [ $? -eq 3 ] && grep -q -- "--resume" err || fail "overwrites a run"
"$LODE" search -c small.yaml -o whole --resume --progress none >/dev/null 2>err || { cat err; fail "resume of a finished run"; }

# A table measured once, so that nothing but the clock differs; then killed again and again.
cp whole/latency_ms.json table.json
"$LODE" search -c small.yaml -o straight --set cost.table=table.json --progress none >/dev/null 2>err || { cat err; fail "straight"; }
for i in $(seq 1 "${LODE_KILLS:-4}"); do
    resume=""; [ -f killed/recipe.yaml ] && resume=--resume
    "$LODE" search -c small.yaml -o killed --set cost.table=table.json --progress none $resume >/dev/null 2>&1 &
    pid=$!
    sleep "0.$((RANDOM % 9 + 1))"
    kill -9 $pid 2>/dev/null; wait $pid 2>/dev/null
done
"$LODE" search -c small.yaml -o killed --set cost.table=table.json --progress none --resume >/dev/null 2>err || { cat err; fail "resume after kills"; }
for f in supernet.safetensors probabilities.json subnets/base/weights.safetensors subnets/target1/weights.safetensors subnets/target2/weights.safetensors; do
    cmp -s "straight/$f" "killed/$f" || fail "$f differs after kill and resume"
done

"$LODE" search -c small.yaml -o never --set cost.table=table.json --target 'macs<=10' --progress none >/dev/null 2>err
[ $? -eq 4 ] && grep -q "smallest macs" err || { cat err; fail "infeasible target is not exit 4"; }
"$LODE" extract -r straight --target 'macs<=1e9' -o carved --progress none > out 2>err || { cat err; fail "extract"; }
grep -q "bit for bit" out || fail "extract says nothing of equality"
"$LODE" extract -r straight --target 'macs<=1' -o none --progress none >/dev/null 2>&1; [ $? -eq 4 ] || fail "extract: infeasible is not exit 4"
"$LODE" eval -m straight/subnets/target1 -d synthetic --set data.synthetic.test=128 --set data.batch=32 --rounds 3 --progress none > out 2>err || { cat err; fail "eval"; }
grep -q "latency" out || fail "eval prints no latency"

# Ctrl-C: a checkpoint first, exit 130; an unwritable directory: a message.
"$LODE" search -c small.yaml -o stopped --set cost.table=table.json --set supernet.epochs=20000 --progress none >/dev/null 2>err &
pid=$!; sleep 2; kill -TERM $pid; wait $pid; code=$?
[ $code -eq 143 ] || { cat err; fail "SIGTERM gives exit $code, want 143"; }
grep -q -- "--resume" err || fail "no hint how to go on"
"$LODE" search -c small.yaml -o /proc/nowhere --progress none >/dev/null 2>err; [ $? -ne 0 ] && grep -q "/proc/nowhere" err || fail "unwritable directory"
echo "search: ok"
