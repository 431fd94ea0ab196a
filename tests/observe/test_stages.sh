#!/bin/sh
# brisk profile --stages and stages: a job's stages, questions, the history.  Argument: the program.
set -u
brisk=$1
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
export XDG_DATA_HOME="$dir/data" XDG_CACHE_HOME="$dir/cache" XDG_CONFIG_HOME="$dir/config" HOME="$dir"
bad=0

fail()
{
    echo "FAIL $*" >&2
    bad=1
}

# expect CODE PATTERN WHERE COMMAND...: exit code, and a pattern in out or err.
expect()
{
    code=$1 pattern=$2 where=$3
    shift 3
    "$brisk" "$@" >"$dir/out" 2>"$dir/err"
    got=$?
    [ "$got" -eq "$code" ] || fail "brisk $*: exit code $got, wanted $code: $(cat "$dir/err")"
    grep -q -- "$pattern" "$dir/$where" || fail "brisk $*: no '$pattern' on $where: $(cat "$dir/$where")"
}

head -c 262144 /dev/urandom >"$dir/a.bin"
printf 'PATCH\000\001\000\000\004ABCDEOF' >"$dir/m.ips"
set -- rom apply "$dir/a.bin" "$dir/m.ips" -o "$dir/o.bin"

expect 0 '^rom: .* ms, median of 6 runs$' err profile --stages -n 6 -- "$@" --no-cache
grep -q '^rom_patching .*\*' "$dir/err" || fail "no row of rom_patching on the critical path"
grep -q '^cache       answered 0 of 6 runs$' "$dir/err" || fail "no line about the cache"
grep -q '^file_writing:2x .* \.\. ' "$dir/err" || fail "no ranking with intervals: $(cat "$dir/err")"
grep -q 'o.bin: 262144 bytes' "$dir/out" || fail "the job's own output is not there"
[ "$(grep -c 'o.bin' "$dir/out")" -eq 1 ] || fail "the output of the further runs is there, too"

expect 0 '"schema": 1' out profile --stages --json --what-if rom_patching:2x,cores=4 -- brisk "$@" --no-cache
python3 - "$dir/out" <<'PY' || fail "the JSON is not what it should be"
import json, sys
profile = json.load(open(sys.argv[1]))
assert profile["workload"] == "rom" and profile["runs"] == 1 and profile["profiled"]
stages = {s["stage"]: s for s in profile["stages"]}
assert stages["rom_patching"]["after"] == ["conflict_detection"]
assert stages["file_writing"]["after"] == ["validation"]
assert stages["rom_loading"]["bytes"] >= 262144
assert all(s["ready_ns"] + s["wait_ns"] == s["start_ns"] for s in stages.values())
(answer,) = profile["what_if"]
assert answer["change"] == "rom_patching:2x,cores=4" and answer["gain_low"] is None
assert 0 <= answer["gain"] < 1 and answer["runs"] == 1
PY

expect 0 '^workers=4 ' err profile --what-if rom_patching:2x --what-if workers=4 -- "$@" --no-cache

# A job that the cache answers can be shown, but not asked.
"$brisk" "$@" >"$dir/out" 2>&1 || fail "rom apply: $(cat "$dir/out")"
expect 0 'answered 1 of 1 runs' err profile --stages -- "$@"
grep -q 'nothing can be asked: run the job with --no-cache' "$dir/err" || fail "nothing about the cache's answer"
expect 1 'no run in which every stage was computed' err profile --stages --what-if rom_patching:2x -- "$@"

# What the history kept, and opportunities in it.
expect 0 '^rom: ' out profile stages rom --what-if file_writing:cached --keep
grep -q 'file_writing:cached' "$dir/out" || fail "no answer from the history"
expect 0 '"key": *"whatif:rom:' out history export --kind opportunities
expect 1 'no such run' err profile stages nobody
expect 1 'no such run' err profile stages --run 99999

# A file of the engine.
"$brisk" --set engine.stage_log="$dir/log" "$@" --no-cache >"$dir/out" 2>&1 || fail "rom apply with a log"
expect 0 '^rom: ' out profile stages "$dir/log"
echo '{"schema":9}' >>"$dir/log"
expect 1 'log:2: is no stage table of schema 1' err profile stages "$dir/log"
expect 1 'No such file' err profile stages "$dir/nothing"

# Misuse.
expect 2 "'patching' is no change" err profile --stages --what-if patching -- "$@"
expect 2 'needs a job of brisk' err profile --stages
expect 2 '--runs is from 1' err profile --stages --runs 0 -- "$@"
expect 2 'belong to --stages' err profile --runs 3 -- true
expect 2 'stages needs a WORKLOAD' err profile stages
expect 1 'ran no job' err profile --stages -- version
expect 1 'the job failed (exit code 2)' err profile --stages -- rom apply
expect 1 "has no stage 'nobody'" err profile stages rom --what-if nobody:2x
exit $bad
