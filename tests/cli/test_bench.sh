#!/bin/sh
# `brisk bench`: figures, kept measurements, targets, failing and interrupted runs.
BRISK="$1"
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

run bench version --runs 3
expect_status 0; expect_err ""
expect_out_like "brisk version: 3 runs after 1 to warm up
  fastest  *
  average  *
  median   *
  slowest  *
  spread   *(median absolute deviation)"
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
sys.exit(not (d['schema'] == 1 and d['command'] == 'version' and len(d['runs_ns']) == 5))" ||
    fail "the kept file is not as it should be"
[ "$(find "$XDG_DATA_HOME" -type f | wc -l)" -eq 1 ] || fail "something else lies beside it"
run bench version --runs 5 --baseline one.A-b_2
expect_status 0; expect_err ""
expect_out_like "*against 'one.A-b_2' (20* UTC, brisk *): * x *er, * % * time; *noise (p = *)*"
run bench help --runs 2 --baseline one.A-b_2 --json
expect_status 0; expect_err "brisk: bench: note: the baseline is another command: 'version'"
expect_json "d['baseline']['name'] == 'one.A-b_2' and d['baseline']['runs'] == 5"
expect_json "d['baseline']['ratio'] > 0 and 0 <= d['baseline']['p'] <= 1"
# A baseline that was a hundred times slower is an improvement beyond noise, and the reverse.
sed 's/\([0-9]\{5,\}\)\(,*\)$/\100\2/; s/"when_s": .*/"when_s": 1700000000,/' "$file" \
    >"$XDG_DATA_HOME/brisk/bench/slow.json"
run bench version --runs 5 --baseline slow --json
expect_status 0; expect_json "d['baseline']['ratio'] > 10 and d['baseline']['beyond_noise']"
run bench version --runs 5 --baseline slow
expect_out_like "*against 'slow' (2023-11-14 22:13 UTC,* faster,* less time; more than noise*"
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
args = [sys.argv[1], "bench", "bench version --runs 10000", "--save", "never"]
child = subprocess.Popen(args, start_new_session=True)
time.sleep(0.3)
child.send_signal(number)
code = child.wait(timeout=20)
# What was killed may wait a moment for init; what was forgotten would run on for minutes.
for _ in range(100):
    try:
        os.killpg(child.pid, 0)
        time.sleep(0.1)
    except ProcessLookupError:
        break
else:
    sys.exit("a child is left")
sys.exit(0 if code == 128 + number else f"exit code {code}")
END
    [ ! -e "$XDG_DATA_HOME/brisk/bench/never.json" ] || fail "an interrupted measurement is kept"
done

finish
