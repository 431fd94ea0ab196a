#!/bin/sh
# `brisk bench`: figures, kept measurements, targets, failing and interrupted runs.
# shellcheck disable=SC2016 # commands with their own $ in quotes
BRISK="$1"
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/../cli/lib.sh"

run bench version --runs 3
expect_status 0; expect_err ""
expect_out_like "brisk version: 3 runs after 1 to warm up
  fastest  *
  average  *
  median   *
  p95      *
  slowest  *
  sigma    *(standard deviation)
  spread   *(median absolute deviation)
  user *, system *; peak memory *"
run bench --json --runs 4 --warmup 0 'version --json'
expect_status 0
expect_json "d['schema'] == 1 and d['command'] == ['version', '--json'] and d['runs'] == 4"
expect_json "len(d['runs_ns']) == 4 and d['runs_ns'] == sorted(d['runs_ns']) and d['warmup'] == 0"
expect_json "d['fastest_ns'] <= d['median_ns'] <= d['slowest_ns'] and d['fastest_ns'] > 0"
expect_json "d['fastest_ns'] <= d['average_ns'] <= d['slowest_ns']"
run bench -n1 --json -- version --json
expect_status 0; expect_json "d['command'] == ['version', '--json']"
run bench -n 1 --json "help 'ca'\"che\" st\\ats"
expect_status 0; expect_json "d['command'] == ['help', 'cache', 'stats']"

for bad in '' ' ' "a 'b" 'a "b' "a\\"; do
    run bench "$bad"
    expect_status 2; expect_out ""; expect_err_like "brisk: bench: no command, or an open quote*"
done
run bench version --runs 0
expect_status 2; expect_err "brisk: bench: --runs is 1..10000"
run bench version --runs 10001
expect_status 2
run bench version --runs x
expect_status 2; expect_err_like "brisk: bench: --runs takes a whole number, not 'x'*"
run bench version --runs -1
expect_status 2
run bench version --target soon
expect_status 2; expect_err_like "brisk: bench: --target takes a duration*"

# Keep and compare.
run bench version --runs 5 --save one.A-b_2
expect_status 0; expect_out_like "*kept as 'one.A-b_2'"
file="$XDG_DATA_HOME/brisk/bench/one.A-b_2.json"
python3 -c "
import json, sys
d = json.load(open('$file'))
b = d['benchmarks'][0]
sys.exit(not (d['schema'] == 2 and b['command'] == 'brisk version' and len(b['runs_ns']) == 5))" ||
    fail "the kept file is not as it should be"
[ "$(find "$XDG_DATA_HOME/brisk/bench" -type f | wc -l)" -eq 1 ] || fail "something else lies beside it"
run bench version --runs 5 --baseline one.A-b_2
expect_status 0; expect_err ""
expect_out_like "*against 'one.A-b_2' (20* UTC, brisk *): * x *er*, * % * time; *wall time *"
run bench help --runs 2 --baseline one.A-b_2 --json
expect_status 0; expect_err "brisk: bench: note: the baseline is another command: 'brisk version'"
expect_json "d['baseline']['name'] == 'one.A-b_2' and d['baseline']['runs'] == 5"
expect_json "d['baseline']['ratio'] > 0 and 0 <= d['baseline']['p'] <= 1"
run bench version --runs 8 --save one.A-b_2
cat >"$XDG_DATA_HOME/brisk/bench/old.json" <<'EOF'
{"schema": 1, "command": "version", "version": "0", "when_s": 1700000000,
 "runs_ns": [900000000, 910000000, 905000000, 901000000, 902000000, 903000000, 904000000]}
EOF
run bench version --runs 8 --baseline old --json
expect_status 0; expect_json "d['baseline']['ratio'] > 10 and d['verdict'] == 'faster'"
# A baseline that was a hundred times slower is an improvement beyond noise, and the reverse.
sed 's/\([0-9]\{5,\}\)\(,*\)$/\100\2/; s/"when_s": .*/"when_s": 1700000000,/' "$file" \
    >"$XDG_DATA_HOME/brisk/bench/slow.json"
run bench version --runs 8 --baseline slow --json
expect_status 0; expect_json "d['baseline']['ratio'] > 10 and d['baseline']['beyond_noise']"
run bench version --runs 8 --baseline slow
expect_out_like "*against 'slow' (2023-11-14 22:13 UTC,* faster *,* less time; faster*"
run bench version --runs 1 --baseline missing
expect_status 1; expect_out ""; expect_err_like "brisk: bench: *missing.json*"
for name in ../x a/b .hidden '' 'a b' "$(head -c 65 /dev/zero | tr '\0' x)"; do
    run bench version --save "$name"
    expect_status 2; expect_out ""; expect_err_like "brisk: bench: a name is *"
    run bench version --baseline "$name"
    expect_status 2
done
damage() { # a kept file that is none
    printf '%s' "$1" >"$XDG_DATA_HOME/brisk/bench/bad.json"
    run bench version --runs 1 --baseline bad
    expect_status 1; expect_out ""; expect_err_like "brisk: bench: *bad.json*"
}
damage ''
damage '{'
damage '[1, 2]'
damage '{"schema": 2, "command": "a", "version": "1", "when_s": 1, "runs_ns": [1]}'
damage '{"schema": 1, "command": "a", "version": "1", "when_s": 1, "runs_ns": []}'
damage '{"schema": 1, "command": "a", "version": "1", "when_s": 1, "runs_ns": [0]}'
damage '{"schema": 1, "command": "a", "version": "1", "when_s": 1, "runs_ns": [-5]}'
damage '{"schema": 1, "command": "a", "version": "1", "when_s": 1, "runs_ns": ["x"]}'
damage '{"schema": 1, "command": "a", "version": "1", "when_s": 1, "runs_ns": 7}'
damage '{"schema": 1, "command": "a", "version": "1", "when_s": 1, "runs_ns": [1], "x": 1}'
damage "$(head -c 2000000 /dev/zero | tr '\0' ' ')"
chmod 500 "$XDG_DATA_HOME/brisk/bench"
if ! touch "$XDG_DATA_HOME/brisk/bench/x" 2>/dev/null; then # not as root
    run bench version --runs 1 --save two
    expect_status 1; expect_err_like "brisk: bench: *two.json*"
fi
chmod 700 "$XDG_DATA_HOME/brisk/bench"
XDG_DATA_HOME="$work/file"
echo x >"$XDG_DATA_HOME"
run bench version --runs 1 --save two
expect_status 1; expect_out ""; expect_err_like "brisk: bench: *"
XDG_DATA_HOME="$work/data"

# Side by side: what takes twice as long is told apart, what is the same is not called different
# by much, and the parameters say which is which.
run bench --runs 12 --json --parameter t 0.005,0.030 'sleep {t}'
expect_status 0
expect_json "[b['parameters']['t'] for b in d['benchmarks']] == ['0.005', '0.030']"
expect_json "d['benchmarks'][1]['baseline']['verdict'] == 'slower' and d['verdict'] == 'slower'"
expect_json "0 < d['benchmarks'][1]['baseline']['ratio'] < 0.9"
expect_json "d['benchmarks'][1]['baseline']['ratio_low'] <= d['benchmarks'][1]['baseline']['ratio']"
expect_json "d['benchmarks'][1]['baseline']['paired'] and 'baseline' not in d['benchmarks'][0]"
expect_json "d['benchmarks'][1]['user_ns'] + d['benchmarks'][1]['system_ns'] < 20e6"
run bench --runs 6 --parameter=t=0.001 --parameter n 1..3 --name z 'sleep {t}' --json
expect_status 0
expect_json "[b['name'] for b in d['benchmarks']] == ['z t=0.001 n=%d' % n for n in (1, 2, 3)]"
run bench --runs 8 --name once --name twice 'sleep 0.004' 'sleep 0.03'
expect_status 0
expect_out_like "once: 8 runs*twice: 8 runs*against 'once', side by side:
  twice: * x slower *slower
    wall time *noise floor *could have been missed*fastest median: 'once', *"
run bench --runs 2 -- sleep 0.001
expect_status 0; expect_out_like "sleep 0.001: 2 runs*"
run bench --runs 2 sleep 0.001
expect_status 0; expect_out_like "sleep 0.001: 2 runs*"
run bench --runs 2 --json true -- sleep 0.001
expect_status 0; expect_json "[b['command'] for b in d['benchmarks']] == ['true', 'sleep 0.001']"
run bench --runs 2 --json -- 'sleep 0.001' 'sleep 0.002'
expect_status 0; expect_json "len(d['benchmarks']) == 2"
run bench --duration 100ms --json 'sleep 0.001'
expect_status 0; expect_json "2 <= d['runs'] <= 200"
run bench --duration 1h --runs 3 --json true
expect_status 0; expect_json "d['runs'] == 3"

# Before, between and after; a shell only when asked for.
run bench --runs 2 --warmup 1 --setup 'touch set up' --prepare 'cp set prepared' \
    --cleanup 'rm up' 'rm prepared'
expect_status 0; [ -e set ] || fail "--setup did not run"
[ ! -e up ] || fail "--cleanup did not run"
[ ! -e prepared ] || fail "--prepare did not run, or --cleanup did not"
run bench --runs 2 --shell 'test -e set && echo $((1 + 1)) >two'
expect_status 0; [ "$(cat two)" = 2 ] || fail "no shell"
run bench --runs 2 --show-output 'echo $HOME *'
expect_status 0; expect_err_like "*\$HOME \**"
run bench --runs 1 --prepare a --prepare b --prepare c true false
expect_status 2; expect_err_like "brisk: bench: 2 commands, but 3 --prepare*"
run bench --runs 1 --prepare false true
expect_status 1; expect_out ""; expect_err "brisk: bench: 'false' failed with exit code 1"
for bad in '1..' '2..1' '1..9:0' '1..999'; do
    run bench --parameter n "$bad" 'sleep {n}'
    [ "$status" -ne 0 ] || fail "accepted"
done
run bench --parameter 'a b=1' true
expect_status 2; expect_err_like "brisk: bench: --parameter 'a b=1': a name is *"
run bench --parameter n
expect_status 2
run bench --parameter n 1 --parameter n 2 true
expect_status 2; expect_err_like "*given twice*"
run bench --parameter a 1..200 --parameter b 1..200 true
expect_status 2; expect_err_like "*more than 256 commands*"

# Commands that are missing, fail, are killed, hang, or talk too much.
run bench ./nothing-here
expect_status 1; expect_out ""; expect_err "brisk: bench: './nothing-here': there is no such program, and no such command of brisk"
run bench 'nothing-here x'
expect_status 1; expect_err_like "brisk: bench: 'nothing-here': there is no such program*"
run bench "$work"
expect_status 1
printf 'garbage' >noexec; chmod +x noexec
run bench ./noexec
expect_status 1; expect_err_like "brisk: bench: cannot run './noexec': *"
run bench --runs 3 false
expect_status 1; expect_out ""; expect_err "brisk: bench: 'false' failed with exit code 1"
run bench --runs 3 --ignore-failure --json false
expect_status 0; expect_json "d['benchmarks'][0]['failed'] == 3 and d['benchmarks'][0]['exit_code'] == 1"
run bench --runs 3 --ignore-failure --shell 'kill -9 $$'
expect_status 0; expect_out_like "*warning: 3 of 3 runs failed; the last was ended by signal 9*"
run bench --runs 3 --shell 'kill -9 $$'
expect_status 1; expect_err_like "*was ended by signal 9"
run bench --runs 3 --timeout 100ms 'sleep 100'
expect_status 1; expect_out ""; expect_err "brisk: bench: 'sleep 100' took longer than --timeout"
run bench --runs 2 --shell 'head -c 3000000 /dev/zero; head -c 3000000 /dev/zero >&2'
expect_status 0; expect_err ""
run bench --runs 1 --warmup 0 --shell 'head -c 3000000 /dev/zero >&2; exit 3'
expect_status 1; expect_err_like "*failed with exit code 3"
[ "$(wc -c <"$work/.err")" -lt 70000 ] || fail "all of a huge output is repeated"
run bench --runs 1 --min-effect much true
expect_status 2; expect_err_like "brisk: bench: --min-effect takes a share *"

# Exports, which others read.
run bench --runs 4 --export-json h.json --export-google g.json --export-markdown t.md \
    --name 'a|b`c' --name two 'sleep 0.001' 'sleep 0.002'
expect_status 0
python3 - <<'EOF' || fail "an export is not as it should be"
import json
h = json.load(open("h.json"))["results"]
assert [r["command"] for r in h] == ["a|b`c", "two"] and len(h[0]["times"]) == 4
assert h[0]["min"] <= h[0]["median"] <= h[0]["max"] < 1 and h[0]["exit_codes"] == [0] * 4
g = json.load(open("g.json"))
assert len(g["benchmarks"]) == 8 and g["benchmarks"][7]["time_unit"] == "ns"
assert g["benchmarks"][7]["repetition_index"] == 3 and g["context"]["num_cpus"] > 0
t = open("t.md").read().splitlines()
assert len(t) == 4 and len({line.replace("\\|", "").count("|") for line in t}) == 1, t
EOF
run bench --runs 1 --export-json /nowhere/x true
expect_status 1; expect_err_like "brisk: bench: */nowhere*"

# Instructions, where valgrind is.
if command -v valgrind >/dev/null; then
    run bench --runs 1 --warmup 0 --instructions --json true true
    expect_status 0
    expect_json "all(b['instructions'] > 10000 for b in d['benchmarks'])"
    expect_json "abs(d['benchmarks'][1]['baseline']['instruction_change']) < 0.001"
fi

# The standard suite: every part is there, nothing is left behind, it can be kept and compared.
mkdir "tmp dir"
TMPDIR="$work/tmp dir"; export TMPDIR
run bench --comprehensive --duration 600ms --json --save suite
expect_status 0; expect_err ""
expect_json "{b['name'].split(':')[0] for b in d['benchmarks']} >= {'cache', 'executor', 'io', 'brisk'}"
expect_json "all(b['runs'] >= 2 and b['median_ns'] > 0 for b in d['benchmarks'])"
case "$out" in *'"rom: info"'*)
    expect_json "any(b['name'].startswith('rom: apply') for b in d['benchmarks'])" ;;
esac
[ -z "$(ls "$TMPDIR")" ] || fail "something is left of the suite"
run bench --comprehensive --duration 600ms --baseline suite
expect_status 0; expect_out_like "standard suite, brisk *against the baseline*cache: memory hit, 256 B *"
run bench --comprehensive true
expect_status 2; expect_err "brisk: bench: --comprehensive takes no command"
TMPDIR=/nowhere
run bench --comprehensive --duration 100ms
expect_status 1; expect_out ""; expect_err_like "brisk: bench: /nowhere/*"
unset TMPDIR

# Targets.
run bench version --runs 2 --target 1h
expect_status 0; expect_out_like "*target 3600 s: met by the median"
run bench version --runs 2 --target 1ns
expect_status 1; expect_out_like "*target 1 ns: not met by the median"
run bench version --runs 2 --target 1ns --json
expect_status 1; expect_json "d['target'] == {'ns': 1, 'met': False}"

# A run that fails: what it said, and no measurement.
run bench 'version --nonsense' --save never
expect_status 1; expect_out ""
expect_err_like "brisk: version: unknown option '--nonsense'*failed with exit code 2"
[ ! -e "$XDG_DATA_HOME/brisk/bench/never.json" ] || fail "a failed measurement is kept"

# Interrupted: every child is gone, the exit code says why, nothing is kept.  A child of a child
# must go, too, so the command that is measured is itself a measurement.
for signal in INT TERM HUP; do
    called="brisk bench 'bench version', then SIG$signal"
    python3 - "$BRISK" "$signal" <<'END' || fail "see above"
import os, signal, subprocess, sys, time
number = getattr(signal, "SIG" + sys.argv[2])
args = [sys.argv[1], "bench", "bench version --runs 10000", "sleep 0.01", "--save", "never"]
child = subprocess.Popen(args, start_new_session=True)
# Until the child's child runs, too, each a group of its own in the session.
def session():
    found = []
    for pid in os.listdir("/proc"):
        try:
            fields = open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()
            if int(fields[3]) == child.pid and fields[0] != "Z":
                found.append(pid)
        except (OSError, IndexError):
            pass
    return found
for _ in range(200):
    if len(session()) >= 3:
        break
    time.sleep(0.02)
child.send_signal(number)
code = child.wait(timeout=20)
# What was killed may wait a moment for init; what was forgotten would run on for minutes.
for _ in range(100):
    if not session():
        break
    time.sleep(0.1)
else:
    sys.exit("a child is left")
sys.exit(0 if code == 128 + number else f"exit code {code}")
END
    [ ! -e "$XDG_DATA_HOME/brisk/bench/never.json" ] || fail "an interrupted measurement is kept"
done

# What was measured until then is printed; the cleanup runs.
called="brisk bench, interrupted"
python3 - "$BRISK" <<'EOF' || fail "see above"
import os, signal, subprocess, sys, time
args = [sys.argv[1], "bench", "sleep 0.01", "sleep 0.011", "--runs", "5000", "--json",
        "--cleanup", "touch cleaned"]
child = subprocess.Popen(args, start_new_session=True, stdout=subprocess.PIPE)
time.sleep(0.7)
child.send_signal(signal.SIGINT)
out, _ = child.communicate(timeout=20)
import json
d = json.loads(out)
runs = [b["runs"] for b in d["benchmarks"]]
assert child.returncode == 130 and d["stopped_by_signal"] == 2, d
assert 1 <= runs[1] <= 100 and abs(runs[0] - runs[1]) <= 2 and os.path.exists("cleaned"), runs
EOF

finish
