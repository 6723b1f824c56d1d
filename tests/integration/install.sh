#!/bin/bash
# A ten-line program against the installed library, by pkg-config and by find_package. labels: install noasan
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cmake --install "$LODE_BUILD" --prefix "$work/usr" >/dev/null
cat > "$work/main.c" <<'C'
#include <lode/lode.h>
#include <stdio.h>
int main(void) {
    lode_space *space = NULL;
    lode_space_options options = {.name = "nasbench-macro"};
    if (lode_space_load(&options, &space) != LODE_OK) return fprintf(stderr, "%s\n", lode_last_error()), 1;
    printf("%s: %d decisions\n", lode_space_name(space), lode_space_n_decisions(space));
    lode_space_release(space);
    return 0;
}
C
cat > "$work/CMakeLists.txt" <<'C'
cmake_minimum_required(VERSION 3.22)
project(user LANGUAGES C)
find_package(lode 0.1 REQUIRED)
add_executable(main main.c)
target_link_libraries(main PRIVATE lode::lode)
C
lib=$(dirname "$(find "$work/usr" -name 'liblode.so')")
[ -e "$lib/liblode.so.0" ] || { echo "no versioned SONAME"; exit 1; }
export PKG_CONFIG_PATH="$lib/pkgconfig" LD_LIBRARY_PATH="$lib"
cc -std=c11 -Wall -Wextra -Werror "$work/main.c" -o "$work/by-pkg-config" $(pkg-config --cflags --libs lode)
"$work/by-pkg-config" | grep -q "nasbench-macro: 8 decisions"
cmake -S "$work" -B "$work/build" -DCMAKE_PREFIX_PATH="$work/usr" >/dev/null
cmake --build "$work/build" >/dev/null
"$work/build/main" | grep -q "nasbench-macro: 8 decisions"
"$work/usr/bin/lode" info >/dev/null
# Hidden visibility: every exported symbol is ours.
foreign=$(nm -D --defined-only "$lib/liblode.so" | awk '$2 ~ /[TDBRV]/ {print $3}' | grep -v '^lode_' | grep -v '^_' || true)
[ -z "$foreign" ] || { echo "exported without lode_ prefix: $foreign"; exit 1; }
[ -f "$work/usr/share/man/man1/lode-search.1" ] || { echo "no manual pages"; exit 1; }
echo "install: ok"
