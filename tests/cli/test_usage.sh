#!/bin/sh
# Help, version, usage errors, exit codes and the care for standard streams.  $1 is the program.
BRISK="$1"
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

version=$("$BRISK" version | sed -n 's/^brisk \([0-9]*\.[0-9]*\.[0-9]*\)$/\1/p')
run version
expect_status 0; [ -n "$version" ] || fail "wanted brisk X.Y.Z"; expect_err ""
run --version
expect_status 0; expect_out "brisk $version"
run version --json
expect_status 0; expect_json "d['schema'] == 1 and d['version'] == '$version' and d['module_abi'] >= 1"
run version x
expect_status 2; expect_out ""
expect_err "brisk: version: takes at most 0 arguments, got 1
usage: brisk version [--json]"

run
expect_status 2; expect_out ""; expect_err_like "usage: brisk *version*bench*"
run help
expect_status 0; expect_err ""; expect_out_like "usage: brisk *cache*config*bench*Global options*"
case "$out" in *module-manifest*) fail "a hidden command is listed" ;; esac
help="$out"
run --help
expect_status 0; expect_out "$help"
run -h
expect_status 0; expect_out "$help"
for words in bench config help version "cache stats" "cache clear" "cache path"; do
    # shellcheck disable=SC2086
    run help $words
    expect_status 0; expect_out_like "usage: brisk $words*Global options*"
    page="$out"
    # shellcheck disable=SC2086
    run $words --help
    expect_status 0; expect_out "$page"; expect_err ""
    # shellcheck disable=SC2086
    run -h $words
    expect_status 0; expect_out "$page"
done
run cache
expect_status 2; expect_out ""
expect_err_like "brisk: cache: a command is missing
usage: brisk cache COMMAND*stats*clear*path*"
page=$(printf '%s\n' "$err" | tail -n +2)
run cache --help
expect_status 0; expect_out "$page"
run help cache
expect_status 0; expect_out "$page"

# No line of help is wider than a terminal.
for words in "" bench config help version cache "cache stats"; do
    # shellcheck disable=SC2086
    run help $words
    long=$(printf '%s\n' "$out" | grep -v '^usage:' | grep -vE '^  brisk' | awk 'length > 79' | head -n 1)
    [ -z "$long" ] || fail "line too long: $long"
done

run benhc
expect_status 2; expect_out ""
expect_err "brisk: no command 'benhc'; did you mean 'bench'?
try 'brisk help'"
run cache stast
expect_status 2
expect_err "brisk: no command 'cache stast'; did you mean 'cache stats'?
try 'brisk help cache'"
run qqqqqq
expect_status 2; expect_err "brisk: no command 'qqqqqq'
try 'brisk help'"
run help benhc
expect_status 2; expect_err_like "brisk: no command 'benhc'; did you mean 'bench'?*"
run help cache stast
expect_status 2; expect_err_like "*did you mean 'cache stats'?*"
run help a b c
expect_status 2

run version --jsn
expect_status 2
expect_err "brisk: version: unknown option '--jsn'; did you mean '--json'?
usage: brisk version [--json]"
run version --json=1
expect_status 2; expect_err_like "brisk: version: this option takes no value: '--json=1'*"
run version -z
expect_status 2; expect_err_like "brisk: version: unknown option '-z'*"
run --confg x version
expect_status 2; expect_err_like "brisk: unknown option '--confg'; did you mean '--config'?*"
run --config
expect_status 2; expect_err_like "brisk: option '--config' needs a value: FILE*"
run --set x version
expect_status 2; expect_err_like "brisk: --set takes KNOB=VALUE, not 'x'*"
run version -- --json
expect_status 2; expect_err_like "*at most 0 arguments*"
run -vq version
expect_status 0; expect_out "brisk $version"
run version -qvv --json
expect_status 0; expect_json "d['version'] == '$version'"
run bench
expect_status 2; expect_err_like "brisk: bench: takes at least 1 argument, got 0*"

# Hostile words: control characters do not reach the terminal, long ones are cut, none is a path.
run "$(printf 'a\033[31mb\tc')"
expect_status 2; expect_err_like "brisk: no command 'a\\\\x1b\[31mb\\\\x09c'*"
run "$(head -c 100000 /dev/zero | tr '\0' x)"
expect_status 2; expect_err_like "brisk: no command 'xxx*...'*"
[ "${#err}" -lt 400 ] || fail "a long word is repeated in full"
run "--$(head -c 100000 /dev/zero | tr '\0' y)"
expect_status 2; [ "${#err}" -lt 600 ] || fail "a long option is repeated in full"
for word in ../x /etc/passwd . .. '' ' ' 'a b' A %s%n 'x;y'; do
    run "$word"
    expect_status 2; expect_out ""; expect_err_like "brisk: no command '*"
done
run - ; expect_status 2
run --= ; expect_status 2
run --=x ; expect_status 2
i=0
set --
while [ $i -lt 200 ]; do
    set -- "$@" --set a=b
    i=$((i + 1))
done
run "$@" version
expect_status 2; expect_err_like "brisk: too many --set*"

# A setting is checked even where nothing asks for it.
for words in version "cache stats" "help"; do
    # shellcheck disable=SC2086 # words on purpose
    run --set nonsense=1 $words
    expect_status 2; expect_out ""; expect_err_like "brisk: *nonsense*"
    # shellcheck disable=SC2086 # words on purpose
    run --set cache.disk.bytes=lots $words
    expect_status 2; expect_out ""; expect_err_like "brisk: cache.disk.bytes: *"
done
run --set cache.disk.bytes=1GiB version
expect_status 0; expect_err ""
run bench --target 0 version ; expect_status 2; expect_err_like "brisk: bench: --target *"
run bench --runs 0 version ; expect_status 2; expect_err_like "brisk: bench: --runs *"

# A variable that looks like a knob and is none.
export BRISK_CACHE_DISK_BYTE=1 BRISK_LOG_LEVEL=1 BRISK_MODULE_PATH=
run cache path
expect_status 0
expect_err "brisk: warning: environment: BRISK_CACHE_DISK_BYTE is no knob; did you mean BRISK_CACHE_DISK_BYTES?"
run -q cache path
expect_status 0; expect_err ""
unset BRISK_CACHE_DISK_BYTE BRISK_LOG_LEVEL BRISK_MODULE_PATH

# What was asked for as JSON fails as JSON.
run --config missing.yaml cache stats --json
expect_status 1; expect_err_like "brisk: *missing.yaml*"
expect_json "'missing.yaml' in d['error']['message'] and d['error']['code'] and d['error']['stage'] is None"
run bench --json --runs 1 --warmup 0 -- config no.such.knob
expect_status 1; expect_json "'exit code' in d['error']['message']"

# Output that does not arrive is a failure; streams that are closed are no danger.
status=0; "$BRISK" help >/dev/full 2>"$work/.err" || status=$?
err=$(cat "$work/.err"); out=; called="brisk help >/dev/full"
expect_status 1; expect_err "brisk: cannot write the output: No space left on device"
status=0; "$BRISK" version >/dev/full 2>/dev/null || status=$?
called="brisk version >/dev/full"; expect_status 1
status=0; "$BRISK" version >&- 2>"$work/.err" || status=$?
err=$(cat "$work/.err"); called="brisk version >&-"
expect_status 1; expect_err_like "brisk: cannot write the output: *"
status=0; "$BRISK" version 2>&- >/dev/null || status=$?
called="brisk version 2>&-"; expect_status 0
status=0; "$BRISK" version <&- >/dev/null 2>&1 || status=$?
called="brisk version <&-"; expect_status 0
# A reader that goes away: no words, no signal.
{ status=0; "$BRISK" help --man 2>"$work/.err" || status=$?; echo "$status" >"$work/.status"; } |
    head -c 1 >/dev/null
err=$(cat "$work/.err"); called="brisk help --man | head -c 1"; expect_err ""
case $(cat "$work/.status") in 0 | 1) ;; *) fail "died of a closed pipe" ;; esac

finish
