#!/bin/sh
# `brisk config`: where a value comes from, and errors that name file and line.
BRISK="$1"
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

knob() { # NAME: value and source as JSON tells them
    printf '%s' "$out" | python3 -c "
import json, sys
for k in json.load(sys.stdin)['knobs']:
    if k['name'] == '$1':
        print(k['value'], k['source'])"
}
expect_knob() { # WANTED
    run config --json
    [ "$(knob cache.disk.bytes)" = "$1" ] || fail "wanted $1, got $(knob cache.disk.bytes)"
}

run config
expect_status 0; expect_out_like "*cache.disk.bytes *(default)*cache.memory.bytes*"
run config cache.disk.bytes
expect_status 0; default="$out"
run config cache.dsik.bytes
expect_status 2; expect_err "brisk: no knob 'cache.dsik.bytes'; did you mean 'cache.disk.bytes'?"
run --set cache.disk.bytes=3GiB config cache.disk.bytes
expect_status 0; expect_out "3GiB"; [ "$default" != 3GiB ] || fail "the default is what was set"

mkdir -p "$XDG_CONFIG_HOME/brisk"
echo 'cache: {disk: {bytes: 5GiB}}' >"$XDG_CONFIG_HOME/brisk/brisk.yaml"
expect_knob "5368709120 user file"
echo 'cache: {disk: {bytes: 6GiB}}' >brisk.yaml
expect_knob "6442450944 project file"
echo 'cache: {disk: {bytes: 7GiB}}' >other.yaml
run --config other.yaml config cache.disk.bytes
expect_status 0; expect_out "7GiB"
BRISK_CACHE_DISK_BYTES=8GiB
export BRISK_CACHE_DISK_BYTES
expect_knob "8589934592 environment"
run --set cache.disk.bytes=9GiB config cache.disk.bytes
expect_status 0; expect_out "9GiB"
BRISK_CACHE_DISK_BYTES=many
run config
expect_status 1; expect_out ""; expect_err_like "brisk: *BRISK_CACHE_DISK_BYTES*"
unset BRISK_CACHE_DISK_BYTES

run --config missing.yaml config
expect_status 1; expect_err_like "brisk: *missing.yaml*"
printf 'cache:\n  disk:\n    btyes: 1\n' >brisk.yaml
run config
expect_status 1; expect_err_like "brisk: *brisk.yaml:3:*"
printf 'cache: {disk: {bytes: 0}}\n' >brisk.yaml
run config
expect_status 1; expect_err_like "brisk: *brisk.yaml:1:*"
printf 'cache: [\n' >brisk.yaml
run config
expect_status 1; expect_err_like "brisk: *brisk.yaml:*"
# What needs no engine does not care.
run version
expect_status 0

finish
