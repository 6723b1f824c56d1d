#!/bin/bash
# The bench verbs on small work: they run, tell what they promise, and refuse what is wrong. labels: integration
set -uo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
failed=0
expect() { # code, words, command...
    local code=$1 words=$2; shift 2
    local out; out=$("$@" 2>&1); local got=$?
    if [ $got -ne "$code" ]; then echo "FAILED (exit $got, want $code): $*"; echo "$out"; failed=1; fi
    if ! grep -qF -- "$words" <<<"$out"; then echo "FAILED (no \"$words\"): $*"; echo "$out"; failed=1; fi
}
json() { # python expression over d, command...
    local check=$1; shift
    command -v python3 >/dev/null || return 0
    "$@" --json 2>err | python3 -c "
import json, sys
d = json.load(sys.stdin)
assert $check, d" 2>why || { echo "FAILED: $*"; cat err why; failed=1; }
}
spaces=$LODE_SOURCE/bench/spaces
small=(--batch 2 --steps 2 --warmup 1)
for file in "$spaces"/*.yaml; do expect 0 "ok" "$LODE" space check "$file"; done

expect 0 "k5_e6" "$LODE" bench step -s "$spaces/mbconv-8.yaml" -a k5_e6 "${small[@]}"
json 'len(d) == 2 and [r["turn"] for r in d] == ["weights", "arch"] and all(len(r["step_ms"]) == 2 for r in d)' \
    "$LODE" bench step -s "$spaces/mbconv-8.yaml" "${small[@]}"
json '[r["threads"] for r in d] == [1, 2] and d[0]["params"] == 272410 and d[0]["macs"] == 40813184' \
    "$LODE" bench step -s "$spaces/resnet20-cifar.yaml" "${small[@]}" --threads 1,2
json 'all(len(a.split(",")) == 7 for a in d[0]["step_arch"]) and 0 <= d[0]["wait_share"] < 1' \
    "$LODE" bench step -s fbnet-fashion --strategy single_path "${small[@]}"
json 'len(d) == 4 and d[2]["recomputed_macs"] > 0 and d[0]["recomputed_macs"] == 0 and d[2]["kept_bytes"] < d[0]["kept_bytes"]' \
    "$LODE" bench memory -s "$spaces/mbconv-8.yaml" "${small[@]}"
json '[r["batch"] for r in d] == [1, 3] and d[0]["median_ms"] > 0' \
    "$LODE" bench infer -s nasbench-macro -a 22212220 --batch 1,3 --rounds 3
json 'set(c["pass"] for c in d["calls"]) == {"forward", "backward"} and all(c["repeats"] == 2 for c in d["calls"])' \
    "$LODE" bench ops --filter "conv2d s1 p1 d1 g96 [1,96" --repeats 2
json 'd["rooflines"][0]["gflops"] > 0 and all(c["roofline_share"] > 0 for c in d["calls"])' \
    "$LODE" bench ops --filter "softmax [12544" --budget 1
expect 2 "forward or backward" "$LODE" bench ops --pass sideways
expect 2 "none of that name" "$LODE" bench ops --providers natvie
expect 2 "whole number" "$LODE" bench infer -s nasbench-macro --batch 1,x
expect 2 "want one number" "$LODE" bench memory --threads 1,2
expect 2 "leave out --strategy" "$LODE" bench step -s nasbench-macro -a 00000000 --strategy gumbel
expect 3 "nasbench-macro" "$LODE" bench step -s nasbench-marco

# The comparison with PyTorch: its rows; and, with LODE_PYTHON naming a Python that has torch, that the
# networks are the same.
if command -v python3 >/dev/null; then
    expect 0 "mobilenet-v2" python3 "$LODE_SOURCE/bench/compare_pytorch.py" --list
    expect 1 "no row is called" python3 "$LODE_SOURCE/bench/compare_pytorch.py" --rows nothing --list
    if [ -n "${LODE_PYTHON:-}" ]; then
        expect 0 "same MACs" python3 "$LODE_SOURCE/bench/compare_pytorch.py" --python "$LODE_PYTHON" --lode "$LODE" \
            --rows mixture-8,nasbench201 --check
    else
        echo "skipped: the networks of compare_pytorch.py (LODE_PYTHON names no Python with torch)"
    fi
fi
exit $failed
