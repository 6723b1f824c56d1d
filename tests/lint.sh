#!/bin/bash
# lint.sh [--changed | FILE ...]: formatting of the C files (all; those that differ from origin/main;
# those named), which must be right, and then the findings of clang-tidy, which are advice: read
# them, then decide. Needs build/compile_commands.json (`./dev build`).
set -euo pipefail
cd "$(dirname "$0")/.."
case "${1:-}" in
--changed) mapfile -t files < <({ git diff --name-only --diff-filter=d origin/main -- '*.c' '*.h'
                                  git ls-files --others --exclude-standard -- '*.c' '*.h'; } | sort -u) ;;
"") mapfile -t files < <(git ls-files '*.c' '*.h' ':!tests/golden') ;;
*) files=("$@") ;;
esac
[ ${#files[@]} -gt 0 ] || { echo "lint: no C file to read"; exit 0; }

clang-format --dry-run -Werror "${files[@]}" || { echo "lint: run clang-format -i on these" >&2; exit 1; }
echo "lint: ${#files[@]} files are formatted"

# Sources the build compiles; ops/native/simd is compiled several times with flags of its own.
mapfile -t sources < <(printf '%s\n' "${files[@]}" |
    grep -E '^(core|tensor|autograd|data|ops|supernet|hwcost|quant|train|search|tools|bench)/.*\.c$' |
    grep -vE '^ops/(native/simd|cuda)/' || true)
[ ${#sources[@]} -gt 0 ] || exit 0
[ -e build/compile_commands.json ] || { echo "lint: no build/compile_commands.json; ./dev build makes it" >&2; exit 1; }
findings=$(printf '%s\0' "${sources[@]}" | xargs -0 -n 4 -P "$(nproc)" clang-tidy -p build --quiet 2>/dev/null |
           grep -E '(warning|error):' | sort -u || true)
[ -z "$findings" ] || printf '%s\n' "$findings"
echo "lint: clang-tidy has read ${#sources[@]} sources, $(printf '%s' "$findings" | grep -c . || true) findings"
