#!/bin/bash
# Reads the #includes and names any arrow that points up or to a sibling (docs/architecture.md).
set -euo pipefail
cd "$(dirname "$0")/.."
awk '
BEGIN {
    split("core:0 tensor:1 autograd:2 data:2 ops:3 supernet:4 hwcost:5 quant:5 train:6 search:7 tools:9 tests:9 bench:9", a, " ")
    for (i in a) { split(a[i], kv, ":"); level[kv[1]] = kv[2] }
}
/^[ \t]*#[ \t]*include[ \t]*"/ {
    file = FILENAME; sub(/^\.\//, "", file); from = file; sub(/\/.*/, "", from)
    target = $0; sub(/^[^"]*"/, "", target); sub(/".*/, "", target); to = target
    if (to == "lode.h") { print file ":" FNR ": lode.h is for users of the library; include the headers needed"; bad = 1 }
    if (index(to, "/") == 0) next
    sub(/\/.*/, "", to)
    if (!(from in level) || !(to in level)) next
    if (from != to && level[to] >= level[from]) { print file ":" FNR ": room " from " may not look into " to " (" target ")"; bad = 1 }
    if (target ~ /_internal\.h$/ && from != to && level[from] < 9) { print file ":" FNR ": private header of another room: " target; bad = 1 }
}
END { if (bad) exit 1; print "layering: ok" }
' $(find core tensor autograd data ops supernet hwcost quant train search -name '*.[ch]' 2>/dev/null | sort)
