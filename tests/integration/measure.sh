#!/bin/bash
# Measuring here: a killed lode cost build goes on from its rounds, other options are refused, small intervals end it
# early, CPUs can be chosen. labels: integration
set -uo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
fail() { echo "FAILED: $*"; exit 1; }
command=("$LODE" cost build -s fbnet-fashion --threads 1 --progress none)
build() { "${command[@]}" "$@"; }
lines() { [ -e "$1" ] && wc -l < "$1" || echo 0; }

# Killed in the middle: the rounds are there, a half line at the end does no harm, the same command goes on.
"${command[@]}" -o t.json --rounds 4000 --precision 0 > /dev/null 2>&1 & pid=$!
for _ in $(seq 600); do [ "$(lines t.json.partial)" -ge 6 ] && break; sleep 0.1; done
kill -9 $pid; wait $pid 2>/dev/null
[ -e t.json ] && fail "a table of a killed measurement"
rounds=$(($(wc -l < t.json.partial) - 1))
[ $rounds -ge 5 ] || fail "only $rounds rounds were kept"
head -c 40 <(tail -1 t.json.partial) >> t.json.partial
build -o t.json --rounds $((rounds + 3)) --precision 0 > out 2> err || { cat err; fail "going on"; }
grep -q "going on after $rounds rounds" err || { cat err; fail "it began anew"; }
[ -e t.json.partial ] && fail "the journal is left over"
grep -q '"calls"\|"entries"' t.json || fail "no entries"
"$LODE" cost show -s fbnet-fashion -a k3_e1,k5_e1,k3_e1,k3_e1,k3_e3,skip,skip --cost latency_ms=t.json > out 2> err || { cat err; fail "a call is missing"; }

# A stop on request keeps the rounds as well, and says so; what was begun otherwise is refused.
"${command[@]}" -o u.json --rounds 4000 --precision 0 > out 2> err & pid=$!
for _ in $(seq 600); do [ "$(lines u.json.partial)" -ge 3 ] && break; sleep 0.1; done
kill -TERM $pid; wait $pid; [ $? -eq 143 ] && grep -q "the same command goes on" err || { cat err; fail "stop on request"; }
build -o u.json --rounds 4000 --batch 2 > out 2> err; [ $? -eq 3 ] && grep -q "begun with batch 1, now it is 2" err || { cat err; fail "another batch"; }

# Anything is precise enough within 90 %: ten rounds of 200.
build -o v.json --rounds 200 --precision 90 > out 2> err || { cat err; fail "precision"; }
most=$(grep -o '"samples": [0-9]*' v.json | sed 's/.* //' | sort -n | tail -1)
build -o w.json --rounds 10 --precision 0 > out 2> err || fail "ten rounds"
least=$(grep -o '"samples": [0-9]*' w.json | sed 's/.* //' | sort -n | tail -1)
[ "$most" -le $((4 * least)) ] || fail "$most samples where ten rounds take $least"
cpu=$(awk '/Cpus_allowed_list/ {sub("[,-].*", "", $2); print $2}' /proc/self/status)
build -o x.json --rounds 3 --cpus "$cpu" > out 2> err || { cat err; fail "one CPU"; }
build -o y.json --rounds 3 --cpus x > out 2> err; [ $? -eq 3 ] && grep -q "want numbers and ranges" err || { cat err; fail "CPUs"; }
"$LODE" cost measure -s fbnet-fashion -n 12 --rounds 3 --threads 1 -o rows.csv > out 2> err || { cat err; fail "rows"; }
[ -e rows.csv.partial ] && fail "the journal of the rows is left over"
"$LODE" cost fit -s fbnet-fashion -t rows.csv --column latency_ms --model linear --held-out 0.2 -o p > out 2> err || { cat err; fail "fit"; }
"$LODE" cost verify -s fbnet-fashion -n 5 --rounds 3 --threads 1 --cost latency_ms=w.json --cost latency_ms=./p > out 2> err || { cat err; fail "verify"; }
[ "$(grep -c "5 networks, ms: MAPE" out)" -eq 2 ] || { cat out; fail "a line per cost"; }

# Energy by the processors' counters: told when there are none or they stand still, millijoules when they move.
energy() { LODE_POWERCAP="$PWD/cap" "$LODE" cost measure -s fbnet-fashion -n 2 --rounds 3 --threads 1 --energy -o "$1" > out 2> err; }
energy none.csv; [ $? -eq 1 ] && grep -q "0 packages" err && [ ! -e none.csv ] || { cat err; fail "energy without counters"; }
mkdir -p cap/intel-rapl:0 cap/intel-rapl:0:0
echo package-0 > cap/intel-rapl:0/name; echo core > cap/intel-rapl:0:0/name
echo 1000 > cap/intel-rapl:0/energy_uj; echo 3000000 > cap/intel-rapl:0/max_energy_range_uj
energy still.csv; [ $? -eq 1 ] && grep -q "did not move" err || { cat err; fail "energy of a counter that stands still"; }
(i=0; while :; do i=$(((i + 100000) % 3000000)); echo $i > cap/new; mv cap/new cap/intel-rapl:0/energy_uj; sleep 0.02; done) & pid=$!
energy moving.csv; status=$?
LODE_POWERCAP="$PWD/cap" "$LODE" cost build -s fbnet-fashion --threads 1 --rounds 3 --networks 3 --progress none -o l.json --energy e.json > out 2> err
built=$?; kill $pid; wait $pid 2>/dev/null
[ $status -eq 0 ] || { cat err; fail "energy"; }
awk -F, 'NR == 1 && $5 != "energy_mj" {exit 1} NR > 1 && !($5 > 0) {exit 1}' moving.csv || { cat moving.csv; fail "no millijoules"; }
[ $built -eq 0 ] && grep -q "e.json: energy_mj of" out && grep -q '"unit": "mJ"' e.json || { cat out err; fail "a table of energy"; }
[ "$(grep -c '"call"' e.json)" -eq "$(grep -c '"call"' l.json)" ] || fail "a call has no energy"
grep -q '"median": 0.0,' e.json && fail "a call without energy"
"$LODE" cost show -s fbnet-fashion -a k3_e1,k5_e1,k3_e1,k3_e1,k3_e3,skip,skip --cost energy_mj=e.json | grep -q "^energy_mj .* mJ" || fail "a price of energy"
LODE_POWERCAP="$PWD/nothing" "$LODE" cost build -s fbnet-fashion -o n.json --energy ne.json > out 2> err
[ $? -eq 1 ] && grep -q "0 packages" err && [ ! -e n.json ] || { cat err; fail "a table of energy without counters"; }
echo ok
