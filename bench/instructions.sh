#!/bin/bash
# instructions.sh [-i ISAS] [-p PROVIDERS] [WORDS ...]: instructions that our own kernels execute, one
# call of each, counted by callgrind: a number that does not depend on the machine's clock or its
# neighbors, so that two builds can be compared anywhere.
#
#   bench/instructions.sh                           the usual kernels, base and avx2
#   bench/instructions.sh -i avx2 "conv2d s1 p2"    calls whose text contains the words
#   bench/instructions.sh > before.txt; ...; bench/instructions.sh | diff before.txt -
#
# Needs valgrind (Debian: apt-get install valgrind) and build/lode (or $LODE).
#
# What it does not tell: valgrind knows no AVX-512, so that table is not counted (its loops are those
# of avx2, twice as wide); caches and bandwidth are not in it, and a kernel that waits for memory is
# not faster for having fewer instructions; one thread, so what threads cost is not there either.
# oneDNN's kernels are made at run time and differ under valgrind: only ours are counted. Numbers of
# two compilers differ.
set -euo pipefail
cd "$(dirname "$0")/.."
lode=${LODE:-build/lode}
isas="base avx2" providers="native portable"
while getopts "i:p:h" option; do
    case $option in
    i) isas=${OPTARG//,/ } ;;
    p) providers=${OPTARG//,/ } ;;
    *) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"; [ "$option" = h ] && exit 0 || exit 2 ;;
    esac
done
shift $((OPTIND - 1))
command -v valgrind >/dev/null || { echo "instructions: no valgrind; apt-get install valgrind" >&2; exit 1; }
[ -x "$lode" ] || { echo "instructions: no $lode; ./dev build makes it" >&2; exit 1; }
words=("$@")
[ ${#words[@]} -gt 0 ] || words=(
    "conv2d s1 p1 d1 g96 [1,96" "conv2d s1 p2 d1 g96 [1,96" "conv2d s2 p1 d1 g96 [64,96,32" "conv2d s1 p0 d1 g1 [1,16,28"
    "mbconv s1 relu6 residual [64,64,8,8] [384,1,5" "batch_norm batch [64,384,8,8]" "relu6 [64,96" "hswish [64,96"
    "weighted_sum 9of9 [9]" "max_pool" "avg_pool k3x3" "add [64,16")
filters=()
for w in "${words[@]}"; do filters+=(--filter "$w"); done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Each call runs twice, once to warm up; callgrind writes a file when a call returns, so that the
# second of each pair is the one that counts.
count() { # isa provider -> lines "key TAB instructions"
    local isa=$1 provider=$2 i=0
    if ! valgrind --tool=callgrind --collect-atstart=no --toggle-collect=bench_call_run --dump-after=bench_call_run \
        --callgrind-out-file="$work/out" "$lode" bench ops --isa "$isa" --threads 1 --repeats 1 \
        --providers "$provider" "${filters[@]}" > "$work/rows" 2> "$work/errors"; then
        grep -v '^==' "$work/errors" >&2 || cat "$work/errors" >&2
        exit 1
    fi
    while read -r name pass _ _ _ _ _ _ _ _ _ call; do
        [ "$name" = "$provider" ] || continue
        i=$((i + 2))
        printf '%s %s %s\t%s\n' "$provider" "$pass" "$call" "$(awk '/^totals:/ { print $2 }' "$work/out.$i")"
    done < "$work/rows"
    rm -f "$work"/out*
}

for isa in $isas; do
    for provider in $providers; do
        echo "instructions: counting $provider, $isa" >&2
        count "$isa" "$provider"
    done > "$work/table.$isa"
done
printf '%s instructions of one call, one thread: %s\n' "$(uname -m)" "$("$lode" --version)"
first=${isas%% *}
for isa in $isas; do printf '%14s ' "$isa"; done
printf ' kernel\n'
while IFS=$'\t' read -r key _; do
    for isa in $isas; do
        printf '%14s ' "$(awk -F '\t' -v k="$key" '$1 == k { print $2; exit }' "$work/table.$isa")"
    done
    printf ' %.110s\n' "$key"
done < "$work/table.$first"
