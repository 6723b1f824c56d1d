#!/bin/bash
# lode cost fit and cost adapt: a made-up table, and published ones where they are (else that part is skipped aloud): errors on
# held-out rows, files as costs, what is refused. labels: integration
set -uo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
fail() { echo "FAILED: $*"; exit 1; }
# 3^6 rows of NAS-Bench-Macro: 1 ms and per layer 0, 2 or 5 tenths of its place; one number is missing.
{ echo "name,arch,phone_ms"
  for a in 0 1 2; do for b in 0 1 2; do for c in 0 1 2; do for d in 0 1 2; do for e in 0 1 2; do for f in 0 1 2; do
    awk -v s="$a$b$c$d$e${f}01" 'BEGIN {v = 1; split("0 2 5", p, " ");
        for (i = 1; i <= 8; i++) v += i * p[substr(s, i, 1) + 1] / 10; printf "n,%s,%s\n", s, v}'
  done; done; done; done; done; done; } > table.csv
sed -i '5s/,[^,]*$/,/' table.csv
fit() { "$LODE" cost fit -s nasbench-macro -t table.csv --column phone_ms --progress none --set fit.epochs=20 "$@"; }

fit --model linear -o phone.predictor > out 2> err || { cat err; fail "linear"; }
grep -q "^linear" out && grep -q "1 rows without a number" out && grep -q "exact expectation" out || { cat out; fail "linear's table"; }
"$LODE" cost show -s nasbench-macro -a 12121201 --cost phone_ms=phone.predictor > out 2> err || { cat err; fail "cost show"; }
# 1 + .2 + 1 + .6 + 2 + 1 + 3 + 0 + 1.6
grep -Eq "^phone_ms +10\.4(0000)? ms|^phone_ms +10.4 ms|^phone_ms +10\.[34]9*[0-9]* ms" out || { cat out; fail "price"; }
fit --json --rows rows.csv > out.json 2> err || { cat err; fail "all models"; }
# number FILE MODEL KEY: of a model in the result; the result is printed with a key on each line.
number() { awk -v want="\"$2\"," -v key="\"$3\":" '$1 == "\"model\":" {here = $2 == want}
    here && $1 == key {sub(",", "", $2); print $2; exit}' "$1"; }
holds() { awk "BEGIN {exit !($1)}" || fail "$1"; }
grep -q '"unit": "ms"' out.json && grep -q '"rows": 728' out.json || { cat out.json; fail "unit and rows"; }
holds "$(number out.json linear rmse) < 1e-6"
holds "$(number out.json mlp rmse) < 1e-3 && $(number out.json mlp tau_b) > 0.99"
[ "$(($(wc -l < rows.csv) - 1))" -eq 728 ] || fail "rows of rows.csv"
[ "$(tail -n +2 rows.csv | cut -d, -f3 | sort -u | tr '\n' ' ')" = "test train valid " ] || fail "parts of rows.csv"
# The held-out error again, from the rows.
awk -F, -v n="$(number out.json linear test)" -v rmse="$(number out.json linear rmse)" '
    NR == 1 {for (i = 1; i <= NF; i++) at[$i] = i}
    NR > 1 && $at["part"] == "test" {d = $at["linear"] - $at["phone_ms"]; sum += d * d; rows++}
    END {d = sqrt(sum / rows) - rmse; exit !(rows == n && d < 1e-12 && d > -1e-12)}' rows.csv || fail "held-out error"
# Other costs on the same rows: a device file, and the predictor itself, which must be as good as it said.
fit --model linear --beside phone_ms=phone.predictor --beside macs --json > out.json 2> err || { cat err; fail "beside"; }
[ "$(grep -c '"line":' out.json)" -eq 4 ] || { cat out.json; fail "two rows per cost beside"; }
awk '$1 == "\"rmse\":" {sub(",", "", $2); v[++n] = $2} END {exit !(n == 5 && v[2] - v[1] < 1e-9 && v[1] - v[2] < 1e-9 && v[4] > v[5])}' out.json || { cat out.json; fail "errors beside"; }
fit --model linear --beside latency_ms=raspberry-pi-4 > out 2> err && grep -q "through a line" out || { cat err; fail "device beside"; }
# Architectures in another file, joined by a key.
awk -F, 'NR == 1 {print "index,arch"} NR > 1 {print NR "," $2}' table.csv > archs.csv
awk -F, 'NR == 1 {print "index,phone_ms"} NR > 1 {print NR "," $3}' table.csv > numbers.csv
fit --model linear --json > a.json 2> err || fail "once more"
"$LODE" cost fit -s nasbench-macro -t numbers.csv --join archs.csv --column phone_ms --model linear --json --progress none > b.json 2> err || { cat err; fail "join"; }
[ "$(sed 's/"seconds": [0-9.e-]*//' a.json)" = "$(sed 's/"seconds": [0-9.e-]*//' b.json)" ] || { diff a.json b.json; fail "joined rows are others"; }

# A column beside the architecture that tells all; with it there is no cost.
awk -F, 'NR == 1 {print $0 ",early_ms"} NR > 1 {print $0 "," ($3 == "" ? 0 : $3 / 2 - 1)}' table.csv > early.csv
early() { "$LODE" cost fit -s nasbench-macro -t early.csv --column phone_ms --features early_ms --model linear --progress none "$@"; }
early --set fit.encoding=none --json -o early.predictor > out.json 2> err || { cat err; fail "features"; }
holds "$(number out.json linear rmse) < 1e-4 && $(number out.json linear tau_b) > 0.99"

# No rows for validation; ranks are learned as well as values, and order is all there is to them.
fit --model kernel --set fit.target=rank --set fit.encoding=both --validation 0 --json > out.json 2> err || { cat err; fail "ranks"; }
holds "$(number out.json kernel valid) == 0 && $(number out.json kernel tau_b) > 0.95"

# The learning curve: a row per model, number of rows and draw; the same files again.
fit --curve 20,60 --draws 2 -o curve > out 2> err || { cat err; fail "curve"; }
[ "$(grep -c '^linear,' curve.csv)" -eq 4 ] && [ "$(grep -c '^mlp,' curve.csv)" -eq 4 ] || { cat curve.csv; fail "rows of the curve"; }
[ "$(grep -c '<polyline' curve.svg)" -ge 4 ] && tail -1 curve.svg | grep -q '^</svg>' || fail "picture"
fit --curve 20,60 --draws 2 -o again.csv > out 2> err || fail "curve again"
cmp -s <(cut -d, -f1-9 curve.csv) <(cut -d, -f1-9 again.csv) || fail "another curve"

# Several devices in one model, and a new one from 12 samples: here a mixture of three known ones.
awk -F, 'NR == 1 {print "arch,a_ms,b_ms,c_ms,new_ms"}
    NR > 1 {split("", n); for (i = 1; i <= 8; i++) n[substr($2, i, 1)] += i
            print $2 "," n[0] + 1 "," 2 * n[1] + 3 "," n[2] * n[2] / 9 "," 5 + n[0] + n[1] + n[2] * n[2]}' table.csv > devices.csv
"$LODE" cost fit -s nasbench-macro -t devices.csv --columns '*_ms' --without new_ms --set fit.epochs=60 -o known.devices --progress none > out 2> err || { cat err; fail "columns"; }
grep -q "3 columns, mlp" out && grep -q "^c_ms" out && ! grep -q "^new_ms" out || { cat out; fail "what was fitted"; }
adapt() { "$LODE" cost adapt --from known.devices -t devices.csv --column new_ms --progress none "$@"; }
adapt --train 12 --held-out 0.2 --json -o new.predictor --rows adapted.csv > out.json 2> err || { cat err; fail "adapt"; }
grep -q '"samples": 1[2-9]' out.json && grep -q '"a_ms":' out.json || { cat out.json; fail "samples and shares"; }
awk '$1 == "\"tau_b\":" {found = $2 + 0} END {exit !(found > 0.9)}' out.json || { cat out.json; fail "adapted tau_b"; }
[ "$(head -1 adapted.csv)" = "options,new_ms,part,adapted" ] || fail "header of adapted.csv"
"$LODE" cost show -s nasbench-macro -a 12121201 --cost new_ms=new.predictor > out 2> err && grep -q "^new_ms" out || { cat err; fail "adapted cost"; }
"$LODE" cost adapt --from known.devices --known b_ms -o b.predictor > out 2> err || { cat err; fail "known"; }
"$LODE" cost show -s nasbench-macro -a 12121201 --cost b_ms=b.predictor > out 2> err && grep -q "^b_ms" out || { cat err; fail "known cost"; }
"$LODE" cost adapt --from known.devices --suggest 5 > out 2> err && [ "$(sort -u out | grep -c '^[012]*$')" -eq 5 ] || { cat out err; fail "suggest"; }
# The same by an LSTM; what it knows of devices and the new one's cost are files of that kind.
"$LODE" cost fit -s nasbench-macro -t devices.csv --columns '*_ms' --without new_ms --model lstm --set fit.epochs=60 -o lstm.devices --progress none > out 2> err || { cat err; fail "columns, lstm"; }
grep -q "3 columns, lstm" out && grep -q "^c_ms" out || { cat out; fail "what the LSTM was fitted to"; }
"$LODE" cost adapt --from lstm.devices -t devices.csv --column new_ms --progress none --train 12 --held-out 0.2 --json -o lstm.predictor > out.json 2> err || { cat err; fail "adapt, lstm"; }
awk '$1 == "\"tau_b\":" {found = $2 + 0} END {exit !(found > 0.9)}' out.json || { cat out.json; fail "adapted tau_b, lstm"; }
"$LODE" cost show -s nasbench-macro -a 12121201 --cost new_ms=lstm.predictor > out 2> err && grep -q "^new_ms" out || { cat err; fail "adapted cost, lstm"; }

refuse() { local code=$1 words=$2; shift 2; "$@" > out 2> err; local got=$?; [ "$got" -eq "$code" ] && grep -q -- "$words" err || { cat err; fail "$*: exit $got, want $code and \"$words\""; }; }
refuse 3 "no column laptop_ms" "$LODE" cost fit -s nasbench-macro -t table.csv --column laptop_ms
refuse 3 "nearest is linear" "$LODE" cost fit -s nasbench-macro -t table.csv --column phone_ms --model linea
refuse 2 "must grow" "$LODE" cost fit -s nasbench-macro -t table.csv --column phone_ms --curve 60,20
refuse 2 "one --model" "$LODE" cost fit -s nasbench-macro -t table.csv --column phone_ms -o x
refuse 3 "unknown\|fit.epoch" "$LODE" cost fit -s nasbench-macro -t table.csv --column phone_ms --set fit.epoch=3
refuse 3 "table.csv:2" "$LODE" cost fit -s nasbench201 -t table.csv --column phone_ms
refuse 3 "is of phone_ms" "$LODE" cost show -s nasbench-macro -a 12121201 --cost energy_mj=phone.predictor
refuse 3 "no column laptop_ms" "$LODE" cost fit -s nasbench-macro -t devices.csv --columns a_ms,laptop_ms
refuse 2 "only with --columns" "$LODE" cost fit -s nasbench-macro -t devices.csv --column a_ms --without b_ms
refuse 3 "nearest is b_ms" "$LODE" cost adapt --from known.devices --known bb_ms -o x
refuse 3 "cost fit --columns" "$LODE" cost adapt --from phone.predictor -t devices.csv --column new_ms
refuse 2 "needed\|--table" "$LODE" cost adapt --from known.devices --column new_ms
refuse 2 "--validation" early --validation half
refuse 3 "no column late_ms" "$LODE" cost fit -s nasbench-macro -t early.csv --column phone_ms --features late_ms
refuse 1 "fit.encoding" early --set fit.encoding=none --model lstm
refuse 1 "is no cost" "$LODE" cost show -s nasbench-macro -a 12121201 --cost phone_ms=early.predictor
[ -e x ] && fail "a file after a usage error"

tables="$LODE_SHARED/tables"
if [ ! -d "$tables/hwnasbench" ]; then echo "SKIPPED in part: no $tables/hwnasbench"; exit 0; fi
# An additive device: 1,000 rows are enough for a perfect order; ties are broken by rounding.
"$LODE" cost fit -s nasbench201 -t "$tables/hwnasbench/nb201_cifar10.csv" --column fpga_ms --train 1000 --model linear --json --progress none > out.json 2> err || { cat err; fail "fpga"; }
holds "$(number out.json linear rmse) < 1e-6 && $(number out.json linear tau_b) > 0.9"
holds "$(number out.json linear train) + $(number out.json linear valid) < 1010"
echo ok
