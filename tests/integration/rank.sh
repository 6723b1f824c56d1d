#!/bin/bash
# A supernet's order beside a table made here: killed and gone on with, more samples later, other settings refused; looking up
# networks of NAS-Bench-201 by any of their names. labels: integration
set -uo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
fail() { echo "FAILED: $*"; exit 1; }
cat > tiny.yaml <<'YAML'
name: tiny
about: three layers of three options
input: {channels: 1, size: 8}
classes: 4
code: digits
canonical: skips_last
sets:
  s:
    skip: {op: skip}
    k3: {op: mbconv, kernel: 3, expand: 2}
    k5: {op: mbconv, kernel: 5, expand: 3}
layers:
  - {name: stem, op: conv, kernel: 3, channels: 8}
  - {choice: s, channels: 8, repeat: 3}
  - {name: pool, op: global_pool}
  - {name: classifier, op: linear}
YAML
cat > small.yaml <<'YAML'
seed: 3
data: {name: synthetic, size: 8, channels: 1, classes: 4, valid: 0.25, arch_split: 0.1, batch: 32, workers: 0, synthetic: {train: 256, test: 64}}
space: {name: tiny.yaml}
cost: {in_loss: [], build: {batch: 1, rounds: 3, networks: 0}}
supernet: {strategy: single_path, epochs: 2, lr: 0.05, eval_every: 0}
search: {searcher: random, trials: 2, recalibrate: 64, measure_rounds: 3}
train: {epochs: 1, lr: 0.05, eval_every: 0}
YAML
"$LODE" search -c small.yaml -o run --progress none > out 2> err || { cat err; fail "search"; }
# 27 rows, 15 different networks: accuracy is 50 plus the digits, so the order by MACs is nearly right.
{ echo "name,arch,mean_acc,note"
  for a in 0 1 2; do for b in 0 1 2; do for c in 0 1 2; do echo "n,$a$b$c,$((50 + a + b + c)).5,"; done; done; done; } > table.csv
rank() { "$LODE" bench rank -r run -t table.csv --progress none "$@"; }

rank -n 15 --json > whole.json 2> err || { cat err; fail "bench rank"; }
cp run/rank.csv whole.csv
[ "$(wc -l < whole.csv)" -eq 17 ] || { cat whole.csv; fail "15 rows wanted"; }
[ "$(sed 1,2d whole.csv | cut -d, -f1 | sort -u | wc -l)" -eq 15 ] || fail "a network twice"
rank -n 100 > out 2> err || { cat err; fail "more samples than networks"; }
cmp -s whole.csv run/rank.csv || fail "there are 15 different networks"
grep -q "^supernet" out && grep -q "^macs" out && grep -q "^params" out || { cat out; fail "no table"; }
awk '/^macs/ {exit !($2 > 0.6)}' out || { cat out; fail "MACs order these"; }
grep -Eq "random-1 .*mean_acc 5[0-9].5.*, place [0-9]+ of 15 \(best 56.5" out || { cat out; fail "found networks"; }

# Fewer first, then cut off within a line, then the rest: the same file and the same numbers.
rm run/rank.csv
rank -n 4 > out 2> err || fail "four"
truncate -s -7 run/rank.csv
rank -n 15 --json > again.json 2> err || { cat err; fail "after a kill"; }
cmp -s whole.csv run/rank.csv || { diff whole.csv run/rank.csv; fail "another file after a kill"; }
cmp -s whole.json again.json || fail "other numbers after a kill"
sed -n 3p whole.csv > first; sed -i '3s/,0\.[0-9]*,/,0.123,/' run/rank.csv
rank -n 15 > out 2> err; grep -q ',0.123,' run/rank.csv || fail "a judged row was judged again"

bad() { local code=$1 words=$2; shift 2; "$LODE" bench rank "$@" --progress none > out 2> err
        [ $? -eq "$code" ] && grep -q -- "$words" err || { cat err; fail "no message: $words"; }; }
bad 3 "other settings" -r run -t table.csv -n 4 --recalibrate 32
bad 3 "no column nosuch" -r run -t table.csv --accuracy-column nosuch
echo "n,99,1,"  >> table.csv
bad 3 "table.csv:29" -r run -t table.csv
bad 2 "either --run or --space" -t table.csv
bad 2 "needs a supernet" -s nasbench201 -t table.csv -n 3

# NAS-Bench-201: by digits, by its own code, and by another name of the same cell (nodes 1 and 2 exchanged).
cat > nb201.csv <<'CSV'
index,ops,rep,c10_test
0,333132,0,94.5
1,300300,1,80.25
CSV
"$LODE" bench rank -s nasbench201 -t nb201.csv -a 333132 -a '|nor_conv_3x3~0|+|none~0|none~1|+|nor_conv_3x3~0|none~1|none~2|' \
    -a 030300 -a 444444 > out 2> err || { cat err; fail "looking up"; }
[ "$(grep -c 'c10_test 80.2500, place 2 of 2 (best 94.5000)' out)" -eq 2 ] || { cat out; fail "names of one cell"; }
grep -q 'c10_test 94.5000, place 1 of 2' out && grep -q 'not in the table' out || { cat out; fail "found and not found"; }
if [ -d "${LODE_SHARED:-}/tables/nasbench201" ]; then
    "$LODE" bench rank -s nasbench201 -t "$LODE_SHARED/tables/nasbench201/nb201.csv" -a 333132 > out 2> err || { cat err; fail "the real table"; }
    grep -q "c10_test 94.3733, place 1 of 8050" out || { cat out; fail "the published optimum"; }
else
    echo "SKIP: no published table"
fi
echo "rank: ok"
