# lib.sh -- what the golden tests of the program share; sourced, with BRISK set to the program.
#
# Every test runs in a folder of its own that is removed afterwards, with empty configuration and
# an empty cache.  A check that fails is told at once and remembered; finish says the sum.
# shellcheck shell=sh

set -u
LC_ALL=C
export LC_ALL
failures=0
BRISK="$(cd "$(dirname "$BRISK")" && pwd)/$(basename "$BRISK")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
cd "$work" || exit 1
unset BRISK_MODULE_PATH
export HOME="$work/home" XDG_CACHE_HOME="$work/cache" XDG_CONFIG_HOME="$work/config"
export XDG_DATA_HOME="$work/data"
mkdir -p "$HOME" "$XDG_CONFIG_HOME"

# run ARGUMENTS...: the program's output in $out, its words in $err, its exit code in $status.
run() {
    status=0
    "$BRISK" "$@" >"$work/.out" 2>"$work/.err" || status=$?
    out=$(cat "$work/.out")
    err=$(cat "$work/.err")
    called="brisk $*"
}

fail() {
    failures=$((failures + 1))
    printf 'FAIL %s: %s\n' "$called" "$1" >&2
    printf '  exit %s\n  out: %s\n  err: %s\n' "$status" "$(echo "$out" | head -n 20)" \
        "$(echo "$err" | head -n 20)" >&2
}

expect_status() { [ "$status" -eq "$1" ] || fail "wanted exit code $1"; }
expect_out() { [ "$out" = "$1" ] || fail "wanted on standard output [$1]"; }
expect_err() { [ "$err" = "$1" ] || fail "wanted on standard error [$1]"; }
# A pattern of `case`.
expect_out_like() {
    # shellcheck disable=SC2254 # a pattern on purpose
    case "$out" in $1) ;; *) fail "wanted on standard output something like [$1]" ;; esac
}
expect_err_like() {
    # shellcheck disable=SC2254
    case "$err" in $1) ;; *) fail "wanted on standard error something like [$1]" ;; esac
}
# The output is JSON in which the Python expression about `d` holds.
expect_json() {
    printf '%s' "$out" | python3 -c "
import json, sys
d = json.load(sys.stdin)
sys.exit(0 if ($1) else 1)" || fail "wanted JSON with $1"
}

finish() {
    [ "$failures" -eq 0 ] || exit 1
    exit 0
}
