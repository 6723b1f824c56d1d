#!/bin/bash
# Conventions of the command: help, exit codes, --json on stdout alone, messages that help. labels: integration
set -uo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
failed=0
expect() { # code, words in stderr or stdout, command...
    local code=$1 words=$2; shift 2
    local out; out=$("$@" 2>&1); local got=$?
    if [ $got -ne "$code" ]; then echo "FAILED (exit $got, want $code): $*"; echo "$out"; failed=1; fi
    if ! grep -qF -- "$words" <<<"$out"; then echo "FAILED (no \"$words\"): $*"; echo "$out"; failed=1; fi
}
expect 0 "usage: lode VERB" "$LODE" --help
expect 2 "usage: lode VERB" "$LODE"
expect 2 "nearest is search" "$LODE" serch
expect 2 "nearest is --recipe" "$LODE" search --recip x
expect 2 "--recipe is needed" "$LODE" search
expect 2 "lode space show" "$LODE" space
expect 2 "whole number" "$LODE" space sample -s nasbench-macro -n ten
expect 0 "recipe section supernet" "$LODE" search --help
expect 0 ".TH LODE-SEARCH 1" "$LODE" manual search
for verb in search train extract eval "space list" "space show" "space check" "space sample" "cost build" \
            "cost show" "cost verify" "cost measure" "cost import" "cost devices" "cost calibrate" "bench ops" "bench step" "bench memory" "bench infer" "bench rank" ops info; do
    # shellcheck disable=SC2086
    expect 0 "usage: lode $verb" "$LODE" $verb --help
done
expect 0 "6561 architectures" "$LODE" space show -s nasbench-macro
expect 3 "nasbench-macro" "$LODE" space show -s nasbench-marco
expect 3 "mb3_k3" "$LODE" cost show -s nasbench-macro -a 9
printf 'seed: 1\nspace: {name: fbnet-fashion}\ntrian: {epochs: 1}\n' > typo.yaml
expect 3 "train" "$LODE" search -c typo.yaml -o typo
expect 3 "typo.yaml:3" "$LODE" search -c typo.yaml -o typo
expect 3 "missing.yaml" "$LODE" search -c missing.yaml -o x
for verb in "info" "ops" "space list" "space show -s nasbench201" "space sample -s darts -n 2" \
            "cost show -s nasbench-macro -a 22212220"; do
    # shellcheck disable=SC2086
    "$LODE" $verb --json 2>/dev/null | python3 -c 'import json,sys; json.load(sys.stdin)' 2>/dev/null ||
        { command -v python3 >/dev/null && { echo "FAILED: $verb --json is no JSON"; failed=1; }; }
done
# Devices, tables of others, and what is between measured shapes.
expect 0 "raspberry-pi-4" "$LODE" cost devices
expect 3 "did you mean \`raspberry-pi-4\`" "$LODE" cost show -s nasbench-macro -a 22212220 --cost latency_ms=rasberry-pi-4
expect 3 "it has latency_ms, peak_memory_bytes" "$LODE" cost show -s nasbench-macro -a 22212220 --cost energy_mj=nucleo-l4r5zi
expect 0 "peak_memory_bytes  32768 bytes" "$LODE" cost show -s nasbench201 -a 010100 --cost peak_memory_bytes=stm32f746-disco
expect 2 "--unit is needed" "$LODE" cost import -f fbnet f.csv -o f.json
printf 'layer' > f.csv; for o in k3_e1 k5_e1 k3_e3 k5_e3 k3_e6 skip; do printf ',%s_ms' $o >> f.csv; done; echo >> f.csv
for l in 0 1 2 3 4 5 6; do echo "$l,1,2,3,4,5,0.5" >> f.csv; done
expect 3 "is in ms, --unit says us" "$LODE" cost import -f fbnet --unit us f.csv -o f.json
expect 0 "42 entries, latency_ms in ms" "$LODE" cost import -f fbnet --unit ms -s fbnet-fashion f.csv -o f.json
expect 0 "latency_ms         9 ms" "$LODE" cost show -s fbnet-fashion -a k3_e1,k5_e1,k3_e1,k3_e1,k3_e3,skip,skip --cost latency_ms=f.json --cost macs
expect 1 "standard output" sh -c "'$LODE' space list > /dev/full"
exit $failed
