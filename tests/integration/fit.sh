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
python3 - <<'PY' || fail "json and rows"
import csv, json
j = json.load(open("out.json"))
models = {m["model"]: m for m in j["models"]}
assert j["unit"] == "ms" and j["rows"] == 728, j
assert models["linear"]["rmse"] < 1e-6 and models["mlp"]["rmse"] < 1e-3 and models["mlp"]["tau_b"] > 0.99, models
rows = list(csv.DictReader(open("rows.csv")))
assert len(rows) == 728 and {r["part"] for r in rows} == {"train", "valid", "test"}
test = [r for r in rows if r["part"] == "test"]
rmse = (sum((float(r["linear"]) - float(r["phone_ms"])) ** 2 for r in test) / len(test)) ** 0.5
assert len(test) == models["linear"]["test"] and abs(rmse - models["linear"]["rmse"]) < 1e-12
PY
# Architectures in another file, joined by a key.
awk -F, 'NR == 1 {print "index,arch"} NR > 1 {print NR "," $2}' table.csv > archs.csv
awk -F, 'NR == 1 {print "index,phone_ms"} NR > 1 {print NR "," $3}' table.csv > numbers.csv
fit --model linear --json > a.json 2> err || fail "once more"
"$LODE" cost fit -s nasbench-macro -t numbers.csv --join archs.csv --column phone_ms --model linear --json --progress none > b.json 2> err || { cat err; fail "join"; }
[ "$(sed 's/"seconds": [0-9.e-]*//' a.json)" = "$(sed 's/"seconds": [0-9.e-]*//' b.json)" ] || { diff a.json b.json; fail "joined rows are others"; }

# The learning curve: a row per model, number of rows and draw; the same files again.
fit --curve 20,60 --draws 2 -o curve > out 2> err || { cat err; fail "curve"; }
[ "$(grep -c '^linear,' curve.csv)" -eq 4 ] && [ "$(grep -c '^mlp,' curve.csv)" -eq 4 ] || { cat curve.csv; fail "rows of the curve"; }
python3 -c 'import xml.dom.minidom as m; assert len(m.parse("curve.svg").getElementsByTagName("polyline")) >= 4' || fail "picture"
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
python3 -c 'import json; m = json.load(open("out.json"))["models"][0]; assert m["rmse"] < 1e-6 and m["tau_b"] > 0.9 and m["train"] + m["valid"] < 1010, m' || fail "an additive device"
echo ok
