#!/bin/sh
# `brisk bench compare`, the gate for builds, and `brisk bench history`.
# shellcheck disable=SC2016 # commands with their own $ in quotes
BRISK="$1"
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/../cli/lib.sh"

run bench compare
expect_status 2; expect_err_like "brisk: bench compare: option '--baseline' is missing*"
run bench compare --baseline nothing
expect_status 1; expect_out ""; expect_err_like "brisk: bench: *nothing.json*"
run bench compare --baseline .x
expect_status 2; expect_err_like "brisk: bench: a name is *"
run bench --save base --runs 12 --name short --name long 'sleep 0.002' 'sleep 0.03'
expect_status 0

# Its own commands once more; then commands that take far more and far less.
run bench compare --baseline base --runs 12 --fail-on 1000% --json
expect_status 0; expect_err ""
expect_json "[b['name'] for b in d['benchmarks']] == ['short', 'long'] and d['gate']['passed']"
expect_json "d['benchmarks'][1]['baseline']['name'] == 'base' and not d['benchmarks'][1]['baseline']['paired']"
expect_json "d['gate']['fail_on'] == 10 and d['gate']['failed'] == []"
run bench compare --baseline base --runs 12 --name short 'sleep 0.05' --fail-on 5% --junit j.xml --github
expect_status 1; expect_err_like "brisk: bench: 1 of 1 slower by the limit or more; measuring once more"
expect_out_like "::error title=short::slower: +*
*against 'base' *slower*FAILED: 'short' takes more time by 5.00 % or more, measured twice"
python3 - <<'EOF' || fail "the JUnit file is not as it should be"
import xml.etree.ElementTree as tree
suite = tree.parse("j.xml").getroot().find("testsuite")
assert suite.get("tests") == "1" and suite.get("failures") == "1" and suite.get("skipped") == "0"
case = suite.find("testcase")
assert case.get("name") == "short" and "slower" in case.find("failure").get("message")
EOF
run bench compare --baseline base --runs 12 --once --name long 'sleep 0.001' --json
expect_status 0; expect_json "d['verdict'] == 'faster' and d['gate']['passed']"
run bench compare --baseline base --runs 2 --name 'o<t>&"h	er' true --junit j.xml --github
expect_status 0; expect_out_like "*against 'base': it has no such benchmark*passed: *"
python3 -c "
import xml.etree.ElementTree as tree
suite = tree.parse('j.xml').getroot().find('testsuite')
assert suite.get('skipped') == '1' and suite.find('testcase').get('name') == 'o<t>&\"h er'" ||
    fail "names are not escaped"
for bad in 0 x -5% 2000% 5%x '' 1e3; do
    run bench compare --baseline base --fail-on "$bad" true
    expect_status 2
done

# Files of others, without measuring.
cat >h1.json <<'EOF'
{"results": [{"command": "a|b: #c", "mean": 1.0, "times": [1.0, 1.01, 1.02, 0.99, 0.98, 1.0, 1.005, 1.0]}]}
EOF
cat >h2.json <<'EOF'
{"results": [{"command": "a|b: #c", "mean": 1.3, "times": [1.3, 1.31, 1.32, 1.29, 1.28, 1.3, 1.305, 1.3e0]}]}
EOF
cat >g1.json <<'EOF'
{"context": {"num_cpus": 2}, "benchmarks": [
 {"name": "BM_x/8", "run_type": "iteration", "real_time": 1.0e+3, "cpu_time": 990.5, "time_unit": "us"},
 {"name": "BM_x/8", "run_type": "iteration", "real_time": 1.01e+3, "cpu_time": 991.5, "time_unit": "us"},
 {"name": "BM_x/8_mean", "run_type": "aggregate", "aggregate_name": "mean", "real_time": 1.0e+3, "cpu_time": 990.5, "time_unit": "us"}]}
EOF
run bench compare --baseline h1.json --now h2.json --json
expect_status 1; expect_err ""
expect_json "d['verdict'] == 'slower' and abs(d['benchmarks'][0]['baseline']['change']['estimate'] - 0.3) < 0.01"
expect_json "d['gate']['failed'] == ['a|b: #c'] and not d['gate']['measured_twice']"
run bench compare --baseline h1.json --now h2.json --fail-on 40%
expect_status 0
run bench compare --baseline h2.json --now h1.json
expect_status 0; expect_out_like "*1.3 x faster*faster*passed*"
run bench compare --baseline g1.json --now g1.json --json
expect_status 0; expect_json "[b['name'] for b in d['benchmarks']] == ['BM_x/8'] and d['benchmarks'][0]['median_ns'] == 1005000"
run bench compare --baseline h1.json --now h2.json true
expect_status 2
damage() { # a file that is none
    printf '%s' "$1" >bad.json
    run bench compare --baseline bad.json --now h1.json
    expect_status 1; expect_out ""; expect_err_like "brisk: bench: *bad.json*"
}
damage '{}'
damage '{"results": []}'
damage '{"results": [{"times": [1]}]}'
damage '{"results": [{"command": "a", "times": [0]}]}'
damage '{"results": [{"command": "a", "times": [1, nan]}]}'
damage '{"results": [{"command": "a", "times": [1e300]}]}'
damage '{"benchmarks": [{"name": "a", "real_time": 1, "time_unit": "weeks"}]}'
damage '{"benchmarks": [{"name": "a", "run_type": "aggregate", "real_time": 1}]}'
damage '{"schema": 2, "name": "a", "version": "1", "when_s": 1, "machine": "m", "fingerprint": "f", "benchmarks": [{"name": "a", "command": "a", "runs_ns": [1, 2], "cpu_ns": [1]}]}'
damage '{"schema": 3}'
sed 's/"fingerprint": "[^"]*"/"fingerprint": "other"/' "$XDG_DATA_HOME/brisk/bench/base.json" >moved.json
run bench compare --baseline moved.json --now base
expect_status 0; expect_err_like "brisk: bench: note: the baseline was measured on another machine: *"

# The history; where it changed is tested in test_bench_history.c, without a clock.
run bench history nothing
expect_status 1; expect_out ""
i=0
while [ $i -lt 6 ]; do
    run bench --save line --runs 1 --warmup 0 "sleep 0.00$i"
    [ "$status" -eq 0 ] || break
    i=$((i + 1))
done
expect_status 0
if [ -n "$err" ]; then
    expect_err_like "brisk: bench: warning: not in the history: *" # no libsqlite3 here
else
    run bench history line --json
    expect_status 0; expect_err ""
    expect_json "len(d['benchmarks']) == 1 and len(d['benchmarks'][0]['points']) == 6"
    run bench history line --last 5
    expect_status 0; expect_out_like "line: 6 points, 0 changes, on *"
    [ "$(printf '%s\n' "$out" | grep -c "|")" -eq 5 ] || fail "not five points"
    run bench history line
    expect_out_like "*changes are looked for from 10 points on"
    run bench history base --all-machines
    expect_status 0; expect_out_like "base/short: *base/long: *"
    run bench history line --metric instructions
    expect_status 1; expect_err_like "brisk: bench: history: nothing was kept of 'line'*"
fi
run bench history
expect_status 2
run bench history ../x
expect_status 2
run bench history line --min-change lots
expect_status 2

# A second word that is no command of bench is a command to measure.
run bench help --runs 1
expect_status 0; expect_out_like "brisk help: 1 run *"
run bench -- load x
expect_status 1; expect_err_like "*'load': there is no such program*"
run help bench
expect_status 0; expect_out_like "usage: brisk bench COMMAND...*More commands*bench compare*bench history*"
run help bench compare
expect_status 0; expect_out_like "usage: brisk bench compare *--fail-on*"

finish
