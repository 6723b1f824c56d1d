#!/bin/bash
# lint.sh [FILE ...]: formatting of the given (default: all) C files, which must be right, and then
# the findings of clang-tidy, which are advice. Needs build/compile_commands.json (`./dev build`).
set -uo pipefail
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || mapfile -t files < <(git ls-files '*.c' '*.h')
[ $# -gt 0 ] && files=("$@")

clang-format --dry-run -Werror "${files[@]}" || { echo "lint: run clang-format -i on these"; exit 1; }
echo "lint: ${#files[@]} files are formatted"

mapfile -t sources < <(printf '%s\n' "${files[@]}" | grep -E '^(core|tensor|autograd|data|ops|supernet|hwcost|quant|train|search|tools)/.*\.c$' |
                       grep -vE '^ops/(native/simd|cuda)/')
[ ${#sources[@]} -gt 0 ] || exit 0
printf '%s\0' "${sources[@]}" | xargs -0 -n 4 -P "$(nproc)" clang-tidy -p build --quiet 2>/dev/null |
    grep -E '(warning|error):' | sort -u
echo "lint: clang-tidy has read ${#sources[@]} sources"
