#!/bin/sh
# `brisk cache`: whole, missing and broken disk tiers.
BRISK="$1"
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

run cache path
expect_status 0; expect_out "$XDG_CACHE_HOME/brisk"
[ ! -e "$XDG_CACHE_HOME/brisk" ] || fail "asking for the path makes the folder"
run --set "cache.disk.path=$work/elsewhere" cache path
expect_status 0; expect_out "$work/elsewhere"
(
    unset XDG_CACHE_HOME
    run cache path
    expect_status 0; expect_out "$HOME/.cache/brisk"
    unset HOME
    run cache path
    expect_status 1; expect_out ""; expect_err_like "brisk: there is no place for a disk tier*"
    run cache stats
    expect_status 0; expect_out_like "*no disk tier*"
    [ "$failures" -eq 0 ]
) || failures=$((failures + 1))

run cache stats
expect_status 0; expect_out_like "tier *memory*disk*entries *0*disk tier in $XDG_CACHE_HOME/brisk"
run cache stats --json
expect_status 0
expect_json "d['schema'] == 1 and d['disk'] and d['path'] == '$XDG_CACHE_HOME/brisk'"
expect_json "[t['name'] for t in d['tiers']] == ['memory', 'disk']"
expect_json "all(t['entries'] == 0 and t['bytes_max'] > 0 for t in d['tiers'])"
run cache clear
expect_status 0; expect_out_like "dropped 0 entries, *, from $XDG_CACHE_HOME/brisk"
run cache stats x
expect_status 2

# Switched off, a file where the folder should be, rubbish inside.
run --set cache.disk.enabled=false cache stats
expect_status 0; expect_out_like "*no disk tier*"
run --set cache.disk.enabled=false cache clear
expect_status 0; expect_out_like "nothing to clear*"
echo x >file
run --set "cache.disk.path=$work/file" cache stats
expect_status 0; expect_out_like "*no disk tier: $work/file"; [ -n "$err" ] || fail "wanted a log line"
run --set "cache.disk.path=$work/file" cache stats --json
expect_status 0; expect_json "not d['disk'] and [t['name'] for t in d['tiers']] == ['memory']"
run --set "cache.disk.path=$work/file" cache clear
expect_status 0; expect_out_like "nothing to clear*"
[ "$(cat file)" = x ] || fail "the file was touched"

# Content that cannot be cleared is an error that says what to do.
mkdir odd odd/index
run --set "cache.disk.path=$work/odd" cache clear
expect_status 1; expect_out ""
expect_err_like "*$work/odd/index: is a folder*remove it*brisk: cannot clear $work/odd: *"
rmdir odd/index
run --set "cache.disk.path=$work/odd" cache clear
expect_status 0; expect_out_like "dropped 0 entries*"
ln -s nowhere link; mkdir own; echo mine >own/state
mv link odd/index.tmp
run --set "cache.disk.path=$work/odd" cache clear
expect_status 1; expect_err_like "*$work/odd/index.tmp: is a symbolic link*"
run --set "cache.disk.path=$work/own" cache clear
expect_status 1; expect_err_like "*$work/own/state: is no file of a cache*"
[ "$(cat own/state)" = mine ] || fail "the user's own file was touched"
touch own/00000001.seg
run --set "cache.disk.path=$work/own" --set cache.disk.enabled=false cache clear
expect_status 1; expect_err_like "brisk: cannot clear $work/own: cache.disk.enabled *"

for name in $(cd "$XDG_CACHE_HOME/brisk" && find . -type f); do
    head -c 100 /dev/urandom >"$XDG_CACHE_HOME/brisk/$name"
done
run cache stats
expect_status 0; expect_out_like "tier *memory*"
run --set cache.disk.bytes=x cache stats
expect_status 2; expect_out ""; expect_err_like "brisk: *cache.disk.bytes*"
run --set cache.dsik.bytes=1 cache stats
expect_status 2; expect_out ""; expect_err_like "brisk: *cache.disk.bytes*"

finish
