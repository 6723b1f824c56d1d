#!/bin/bash
# lode cost fit: a made-up table, and published ones where they are (else that part is skipped aloud): errors on
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
# Architectures in another file, joined by a key.
awk -F, 'NR == 1 {print "index,arch"} NR > 1 {print NR "," $2}' table.csv > archs.csv
awk -F, 'NR == 1 {print "index,phone_ms"} NR > 1 {print NR "," $3}' table.csv > numbers.csv
fit --model linear --json > a.json 2> err || fail "once more"
"$LODE" cost fit -s nasbench-macro -t numbers.csv --join archs.csv --column phone_ms --model linear --json --progress none > b.json 2> err || { cat err; fail "join"; }
[ "$(sed 's/"seconds": [0-9.e-]*//' a.json)" = "$(sed 's/"seconds": [0-9.e-]*//' b.json)" ] || { diff a.json b.json; fail "joined rows are others"; }

# The learning curve: a row per model, number of rows and draw; the same files again.
fit --curve 20,60 --draws 2 -o curve > out 2> err || { cat err; fail "curve"; }
[ "$(grep -c '^linear,' curve.csv)" -eq 4 ] && [ "$(grep -c '^mlp,' curve.csv)" -eq 4 ] || { cat curve.csv; fail "rows of the curve"; }
[ "$(grep -c '<polyline' curve.svg)" -ge 4 ] && tail -1 curve.svg | grep -q '^</svg>' || fail "picture"
fit --curve 20,60 --draws 2 -o again.csv > out 2> err || fail "curve again"
cmp -s <(cut -d, -f1-9 curve.csv) <(cut -d, -f1-9 again.csv) || fail "another curve"

refuse() { local code=$1 words=$2; shift 2; "$@" > out 2> err; local got=$?; [ "$got" -eq "$code" ] && grep -q -- "$words" err || { cat err; fail "$*: exit $got, want $code and \"$words\""; }; }
refuse 3 "no column laptop_ms" "$LODE" cost fit -s nasbench-macro -t table.csv --column laptop_ms
refuse 3 "nearest is linear" "$LODE" cost fit -s nasbench-macro -t table.csv --column phone_ms --model linea
refuse 2 "must grow" "$LODE" cost fit -s nasbench-macro -t table.csv --column phone_ms --curve 60,20
refuse 2 "one --model" "$LODE" cost fit -s nasbench-macro -t table.csv --column phone_ms -o x
refuse 3 "unknown\|fit.epoch" "$LODE" cost fit -s nasbench-macro -t table.csv --column phone_ms --set fit.epoch=3
refuse 3 "table.csv:2" "$LODE" cost fit -s nasbench201 -t table.csv --column phone_ms
refuse 3 "is of phone_ms" "$LODE" cost show -s nasbench-macro -a 12121201 --cost energy_mj=phone.predictor
[ -e x ] && fail "a file after a usage error"

tables="$LODE_SHARED/tables"
if [ ! -d "$tables/hwnasbench" ]; then echo "SKIPPED in part: no $tables/hwnasbench"; exit 0; fi
# An additive device: 1,000 rows are enough for a perfect order; ties are broken by rounding.
"$LODE" cost fit -s nasbench201 -t "$tables/hwnasbench/nb201_cifar10.csv" --column fpga_ms --train 1000 --model linear --json --progress none > out.json 2> err || { cat err; fail "fpga"; }
holds "$(number out.json linear rmse) < 1e-6 && $(number out.json linear tau_b) > 0.9"
holds "$(number out.json linear train) + $(number out.json linear valid) < 1010"
echo ok
