#!/bin/bash
# check_names.sh [FILE ...]: names and files that the pages of docs/ mention in `code` must be in the
# tree. The pages docs/add-*.md are left out: they show what is not there yet, and are compiled.
# So is what a page calls "mine" (dataset_mine.c): the reader's own.
set -uo pipefail
cd "$(dirname "$0")/../.."
pages=("$@")
[ $# -gt 0 ] || for page in docs/*.md; do [[ $page == docs/add-* ]] || pages+=("$page"); done
rooms='core|tensor|autograd|data|ops|supernet|hwcost|quant|train|search|tools|tests|bench|cmake|docs|spaces|recipes|runners'
words=$(mktemp); trap 'rm -f "$words"' EXIT
grep -rhoE '[A-Za-z_][A-Za-z0-9_]*' --include='*.c' --include='*.h' --include='*.def' --include='*.in' \
    core tensor autograd data ops supernet hwcost train search tools lode.h > "$words"
{ grep -rhoE '[A-Za-z_][A-Za-z0-9_]*' runners; ls runners | sed 's/[.].*//'; cat "$words"; } | sort -u -o "$words"
bad=0 n=0
for page in "${pages[@]}"; do
    while read -r name; do
        n=$((n + 1))
        grep -qxF -- "$name" "$words" || { echo "$page: \`$name\` is not in the code"; bad=1; }
    done < <(grep -oE '\b(lode|LODE|trainer|run|cli|net)_[A-Za-z0-9_]*[A-Za-z0-9]\b' "$page" | grep -v '_mine\b' | sort -u)
    while read -r path; do
        n=$((n + 1))
        [ -e "$path" ] || { echo "$page: there is no $path"; bad=1; }
    done < <(grep -oE "\\b($rooms)/[A-Za-z0-9_/-]+\\.(c|h|def|sh|md|yaml|cmake|py)\\b" "$page" | grep -v '_mine\.' | sort -u)
    while read -r link; do
        n=$((n + 1))
        [ -e "docs/$link" ] || { echo "$page: dead link to $link"; bad=1; }
    done < <(grep -oE '\]\([A-Za-z0-9_./-]+\.md' "$page" | sed 's/^](//' | sort -u)
done
[ $n -gt 0 ] || { echo "check_names: nothing to check in ${pages[*]}"; exit 1; }
[ $bad -eq 0 ] && echo "check_names: ${#pages[@]} pages, $n names: ok"
exit $bad
