#!/bin/sh
# Every public header compiles alone, twice in a row, without a warning.
# $1 is the include folder, $2 the language (c11 or c++17), the rest is the compiler.
set -eu
include="$1"
case "$2" in
c11) language=c ;;
*) language=c++ ;;
esac
standard="$2"
shift 2
failed=0
count=0
for path in "$include"/brisk/*.h; do
    name="brisk/${path##*/}"
    printf '#include <%s>\n#include <%s>\ntypedef int alone;\n' "$name" "$name" |
        "$@" -std="$standard" -Wall -Wextra -Wpedantic -Wundef -Werror -fsyntax-only \
            -I "$include" -x "$language" - || {
        echo "$name does not compile alone as $standard" >&2
        failed=1
    }
    count=$((count + 1))
done
[ "$count" -gt 0 ] || failed=1
exit "$failed"
