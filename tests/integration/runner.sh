#!/bin/bash
# lode cost build | verify | measure --runner, with runners in shell whose costs are known: the table is exact; failures
# say what to do; a killed measurement goes on; speed that drifts; energy; ssh. labels: integration
set -uo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
fail() { echo "FAILED: $*"; exit 1; }

# A device that takes 0.5 ms for every run, 1 ms for each convolution and 0.25 ms for each other call, times $SLOW.
cat > device.sh <<'TEXT'
#!/bin/sh
for d in "$@"; do
    [ -s "$d/tensors.safetensors" ] || { echo "no tensors in $d"; exit 3; }
    awk -v slow="${SLOW:-1}" '
        /"op": "conv_act"/ {conv++} /"op":/ {all++} /"view": true/ {view++} /"kind": "floor"/ {all = -1e9}
        /"repeats":/ {n = $2 + 0}
        END {ms = slow * (all < 0 ? 0.5 : 0.5 + conv + 0.25 * (all - conv - view))
             printf "{\"latency_ms\": ["; for (i = 0; i < n; i++) printf "%s%.6f", i ? ", " : "", ms
             printf "], \"energy_mj\": %.6f, \"device\": \"made up\"}\n", 2 * ms}' "$d/job.json" > "$d/result.json"
done
TEXT
chmod +x device.sh
space=nasbench-macro
build() { "$LODE" cost build -s $space --progress none --networks 6 --repeats 8 "$@"; }

# Exact where the device is additive: constant 0.5, slope 1, no error; all jobs and the journal are gone.
build -o a.json --energy e.json --runner ./device.sh > out 2> err || { cat err; fail "build"; }
grep -q "network = 0.5000 ms + 1.0000 x sum of calls; MAPE 0.0 %" out || { cat out; fail "fit"; }
grep -q "energy_mj of" out && grep -q '"unit": "mJ"' e.json || fail "energy table"
grep -q '"device": "made up"' a.json && grep -q '"runner": "./device.sh"' a.json || fail "where it was measured"
[ -e a.json.jobs ] || [ -e a.json.partial ] && fail "something is left over"
grep -A3 '"call": "conv_act' a.json | grep '"median"' | sort -u | grep -q '"median": 1.0,$' || fail "a convolution is not 1 ms"
"$LODE" cost verify -s $space --cost latency_ms=a.json -n 5 --runner ./device.sh --runner-jobs 3 > out 2> err || { cat err; fail "verify"; }
grep -q "MAPE 0.00 %, bias +0.00 %" out || { cat out; fail "verify's error"; }
"$LODE" cost verify -s $space --cost energy_mj=e.json -n 5 --runner ./device.sh > out 2> err || { cat err; fail "verify energy"; }
grep -q "5 networks, mJ: MAPE 0.00 %" out || { cat out; fail "energy's error"; }
grep -q "the reference network takes 1.00 of its energy in the table now; predictions times that: MAPE 0.00 %" out || { cat out; fail "energy's drift"; }

# On a day when the device is 1.4 times slower the table has no error but that, and verify says so. Where there is nothing
# to tell it by, it says why.
"$LODE" cost verify --json -s $space --cost latency_ms=a.json -n 5 --runner "SLOW=1.4 ./device.sh" > slow.json 2> err || { cat err; fail "verify a slow device"; }
"$LODE" cost verify -s $space --cost latency_ms=a.json -n 5 --rows slow.csv --runner "SLOW=1.4 ./device.sh" > out 2> err || { cat err; fail "verify a slow device"; }
grep -q "5 networks, ms: MAPE 28.57 %, bias -28.57 %" out || { cat out; fail "raw error of a slow device"; }
grep -q "the reference network takes 1.40 of its time in the table now; predictions times that: MAPE 0.00 %, bias" out || { cat out; fail "levelled error"; }
awk '/"drift":/ && $2 + 0 == 1.4 {n++} /"mape":/ && $2 + 0 > 28.571 && $2 + 0 < 28.572 {n++} /"mape_without_drift":/ && $2 + 0 < 1e-4 {n++}
     END {exit n != 3}' slow.json || { cat slow.json; fail "levelled error in JSON"; }
unlevelled() { # words, table, options
    local words=$1 table=$2; shift 2
    "$LODE" cost verify "$@" --cost latency_ms=$table -n 2 --runner ./device.sh > out 2> err || { cat err; fail "verify without a reference"; }
    grep -q "$words" err && ! grep -q "in the table now" out || { cat out err; fail "want \"$words\" and no drift"; }
}
sed 's/"reference": {/"nothing": {/' a.json > old.json
unlevelled "keeps no reference network, as those that were built by an earlier version" old.json -s $space
sed 's/"hash": "./"hash": "f/; s/"hash": "ff/"hash": "0f/' a.json > other.json
unlevelled "has other calls here than the reference" other.json -s $space
sed 's/"network": "[0-9]*"/"network": "99"/' a.json > none.json
unlevelled "the table's reference network is none of space $space" none.json -s $space
# Given networks: as many as are named, in that order.
"$LODE" cost verify -s $space --cost latency_ms=a.json -a 22212220 -a 00000000 --runner "SLOW=1.4 ./device.sh" > out 2> err || { cat err; fail "verify -a"; }
[ "$(grep -c '^[0-9.]* .* [012]\{8\}$' out)" -eq 2 ] && grep -q "^2 networks, ms: MAPE 28.57" out || { cat out; fail "verify -a"; }
"$LODE" cost verify -s $space --cost latency_ms=a.json -a 22212220 -n 3 --runner ./device.sh > out 2> err; [ $? -eq 2 ] || fail "-a and -n"
"$LODE" cost measure -s $space -a 22212220 -o one.csv --runner ./device.sh > out 2> err || { cat err; fail "measure -a"; }
[ "$(wc -l < one.csv)" -eq 2 ] && grep -q "^22212220," one.csv || { cat one.csv; fail "measure -a"; }
"$LODE" cost measure -s $space -n 7 --energy -o rows.csv --runner ./device.sh > out 2> err || { cat err; fail "measure"; }
[ "$(head -1 rows.csv)" = arch,latency_ms,min_ms,spread,energy_mj ] && [ "$(wc -l < rows.csv)" -eq 8 ] || { cat rows.csv; fail "rows"; }
# One search by it: what it found was priced by this table.
"$LODE" cost show -s $space -a 22212220 --cost latency_ms=a.json | grep -q "^latency_ms" || fail "cost show"

# What goes wrong says what, where, and what to change.
refuse() { # code, words, runner, options
    local code=$1 words=$2 runner=$3; shift 3
    build -o bad.json --runner "$runner" "$@" > out 2> err; local got=$?
    [ $got -eq "$code" ] && grep -q -- "$words" err || { cat err; fail "$runner: exit $got, want $code and \"$words\""; }
    [ -e bad.json ] && fail "$runner: a table in spite of it"
    rm -rf bad.json.partial bad.json.jobs
}
result() { echo "for d in \"\$@\"; do echo '$1' > \"\$d/result.json\"; done" > part.sh; }
echo 'echo no phone is attached; exit 7' > seven.sh
refuse 1 "ended with exit code 7.*no phone is attached" "sh seven.sh"
echo 'true' > nothing.sh
refuse 3 "result.json is missing" "sh nothing.sh"
result '{"latency_ms": [1, NaN]}';          refuse 3 "NaN" "sh part.sh"
result '{"latency_ms": [1, 2]}';            refuse 3 "has 2 numbers, job.json asks for 8" "sh part.sh"
result '{"latency_ms": [1,2,3,4,5,6,7,-8]}'; refuse 3 "latency_ms\[7\] is not above 0" "sh part.sh"
result '{"latency_ms": 3}';                 refuse 3 "latency_ms is no list" "sh part.sh"
result '{"ms": [3]}';                       refuse 3 "latency_ms is missing" "sh part.sh"
result '{"latency_ms": [1,1,1,1,1,1,1,1]}'; refuse 3 "energy_mj is missing" "sh part.sh" --energy bad.energy
refuse 1 "had not ended after 1 s.*--runner-timeout" "sleep 60 #" --runner-timeout 1
refuse 1 "ended with exit code 127" "./no-such-runner"

# A measurement that is killed goes on, and ends in the same table.
same() { cmp -s <(grep -v '"created"\|"runner"' "$1") <(grep -v '"created"\|"runner"' "$2") || { diff "$1" "$2"; fail "$1 and $2 differ"; }; }
cat > dies.sh <<'TEXT'
n=$(cat runs 2>/dev/null || echo 0); echo $((n + 1)) > runs
[ $((n % 9)) -eq 7 ] && kill -9 $PPID
[ $((n % 9)) -eq 3 ] && exit 5
exec ./device.sh "$@"
TEXT
for _ in $(seq 60); do build -o c.json --runner-jobs 2 --runner "sh dies.sh" > out 2> err && break; done
[ -e c.json ] || { cat err; fail "never ended"; }
[ "$(cat runs)" -gt 15 ] || fail "dies.sh was not run often enough to say anything"
same a.json c.json
build -o d.json --runner "sh seven.sh" 2> /dev/null
[ -e d.json.partial ] && fail "a journal of nothing"
cat > third.sh <<'TEXT'
n=$(cat thirds 2>/dev/null || echo 0); echo $((n + 1)) > thirds
[ $n -lt 2 ] || exit 7
exec ./device.sh "$@"
TEXT
build -o d.json --runner "sh third.sh" 2> err; grep -q "jobs are measured and kept in d.json.partial" err || { cat err; fail "what was measured is kept"; }
build -o d.json --runner "sh third.sh" --repeats 9 2> err; [ $? -eq 3 ] && grep -q "begun with repeats 8, now it is 9" err || { cat err; fail "other options"; }

# From the 12th run on for a while the device takes twice the time. It is noticed, and the table is the same.
cat > drifts.sh <<'TEXT'
n=$(cat runs 2>/dev/null || echo 0); echo $((n + 1)) > runs
SLOW=1; [ "$n" -ge 12 ] && [ "$n" -lt 40 ] && SLOW=2
export SLOW; exec ./device.sh "$@"
TEXT
rm -f runs
build -o e.json --runner "sh drifts.sh" > out 2> err || { cat err; fail "drift"; }
grep -q "speed drifts" err || { cat err; fail "nobody told of the drift"; }
same a.json e.json

# Networks that take anything but what their calls say: told, kept in the table, told again by whoever opens it; with
# --strict there is no table, and the next try begins anew.
cat > wild.sh <<'TEXT'
./device.sh "$@"
for d in "$@"; do
    grep -q '"kind": "network"' "$d/job.json" || continue
    f=$(($(sed -n 's/.*"name": "//p' "$d/job.json" | cksum | cut -d' ' -f1) % 4 + 1))
    awk -v f=$f '{while (match($0, /[0-9]+\.[0-9]+/)) {printf "%s%.6f", substr($0, 1, RSTART - 1), f * substr($0, RSTART, RLENGTH)
                  $0 = substr($0, RSTART + RLENGTH)} print}' "$d/result.json" > new && mv new "$d/result.json"
done
TEXT
build -o wild.json --runner "sh wild.sh" > out 2> err && grep -q "do not rely on this table" err || { cat err; fail "no doubt"; }
grep -q '"doubt": "..*"' wild.json || fail "the table does not keep the doubt"
"$LODE" cost show -s $space -a 22212220 --cost latency_ms=wild.json > out 2> err; grep -q "wild.json is not to be relied on" err || { cat err; fail "a doubted table is opened silently"; }
build -o strict.json --strict --runner "sh wild.sh" > out 2> err; [ $? -eq 1 ] && grep -q -- "--strict: no table" err || { cat err; fail "--strict"; }
[ -e strict.json ] || [ -e strict.json.partial ] && fail "--strict leaves something"
build -o strict.json --strict --runner ./device.sh > out 2> err || { cat err; fail "--strict without a doubt"; }
same a.json strict.json

# Over ssh: the machine is a directory, ssh and scp are stand-ins that know it.
mkdir -p bin there
cat > bin/ssh <<'TEXT'
#!/bin/sh
while [ "$1" != pi@far ]; do [ $# -gt 0 ] || exit 255; shift; done
echo "$2" >> ../ssh.log 2>/dev/null || echo "$2" >> ssh.log
TMPDIR=$PWD/there sh -c "$2"
TEXT
cat > bin/scp <<'TEXT'
#!/bin/bash
args=(); while [ $# -gt 0 ]; do case $1 in -o) shift 2 ;; -*) shift ;; *) args+=("${1#pi@far:}"); shift ;; esac; done
exec cp -r "${args[@]}"
TEXT
chmod +x bin/*
export LODE_SSH_HOST=pi@far LODE_SSH_COMMAND="$work/device.sh"
PATH="$work/bin:$PATH" build -o f.json --runner "$LODE_SOURCE/runners/ssh.sh" --runner-jobs 16 > out 2> err || { cat err; fail "ssh"; }
same a.json f.json
[ -z "$(ls there)" ] || fail "something is left on the other machine"
LODE_SSH_COMMAND="sh $work/seven.sh" PATH="$work/bin:$PATH" build -o g.json --runner "$LODE_SOURCE/runners/ssh.sh" > out 2> err
[ $? -eq 1 ] && grep -q "no phone is attached" err && grep -q "failed on pi@far" err || { cat err; fail "what the far runner said"; }
LODE_SSH_HOST='' build -o h.json --runner "$LODE_SOURCE/runners/ssh.sh" 2> err; grep -q "set LODE_SSH_HOST" err || { cat err; fail "no host"; }
echo ok
