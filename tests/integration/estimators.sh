#!/bin/bash
# The program behind docs/estimators.md on made-up images: the same numbers twice, the unbiased estimators unbiased, a picture that is
# well-formed. labels: integration slow
set -uo pipefail
program=$LODE_BUILD/bench_estimators
[ -x "$program" ] || { echo "SKIP: built without benches"; exit 0; }
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
fail() { echo "FAILED: $*"; exit 1; }
"$program" -n 4 -d synthetic -o a > out || fail "the program"
"$program" -n 4 -d synthetic -o b > again || fail "the program, again"
cmp -s a.csv b.csv && cmp -s out again || fail "other numbers the second time"
[ "$(wc -l < a.csv)" -gt 15 ] || fail "too few estimators"
awk -F, ' # names hold commas, so fields are counted from the end
    /^"REINFORCE, (moving|3)/ { n++; bad += $(NF - 1) < 0.95 } END { exit bad > 0 || n != 2 }' a.csv || { cat a.csv; fail "REINFORCE's mean is not the gradient"; }
awk -F, '/^"softmax/ { exit !($(NF - 3) == 0 && $NF == 3) }' a.csv || { cat a.csv; fail "the mixture has no noise and runs all"; }
awk -F, '/two paths/ { exit !($NF == 2) }' a.csv || fail "two paths run"
python3 -c 'import xml.dom.minidom as m; m.parse("a.svg")' 2> /dev/null || ! command -v python3 > /dev/null || fail "the picture is no XML"
"$program" -n 1 > /dev/null 2>&1; [ $? -eq 2 ] || fail "usage"
echo "estimators: ok"
