#!/bin/sh
# `brisk budget`: check a command, a process, a file of metrics, the machine; watch with a webhook that fails first.
BRISK="$1"
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/../cli/lib.sh"

cat >budgets.yaml <<'END'
schema: 1
budgets:
  - {name: run time, metric: process.time, target: 1us, warning: 5m, critical: 10m}
  - {name: memory, metric: process.memory.peak, critical: 4GiB}
  - {name: success, metric: process.exit, critical: 0}
  - {name: "patching <&>", stage: rom_patching, workload: rom, critical: 5m}
END
head -c 65536 /dev/zero >game.sfc
printf 'PATCH\000\001\000\000\004abcdEOF' >hack.ips

run budget check budgets.yaml -- "$BRISK" rom apply game.sfc hack.ips -o out.sfc --no-cache
expect_status 0
expect_out_like "good      run time: value of process.time is *; the target is missed
good      memory: value of process.memory.peak is *, at most 4 GiB
good      success: value of process.exit is 0, at most 0
good      patching <&>: p95 of rom_patching is *, at most 300 s"
cmp -s game.sfc out.sfc && fail "the command did not run"
run budget check budgets.yaml --json -- sh -c 'exit 3'
expect_status 1
expect_json "not d['kept'] and d['good'] == 2 and d['critical'] == 1 and d['schema'] == 1"
expect_json "[b['level'] for b in d['budgets']] == ['good', 'good', 'critical', 'unknown']"
expect_json "d['budgets'][2]['value'] == 3 and not d['budgets'][0]['on_target']"
run budget check budgets.yaml --junit -- sh -c 'kill -9 $$'
expect_status 1
printf '%s' "$out" | python3 -c "
import sys, xml.dom.minidom as x
d = x.parseString(sys.stdin.read())
s = d.getElementsByTagName('testsuite')[0]
c = d.getElementsByTagName('testcase')
sys.exit(not (s.getAttribute('failures') == '1' and s.getAttribute('tests') == '4'
              and c[3].getAttribute('name') == 'patching <&>'
              and c[2].getElementsByTagName('failure')[0].getAttribute('message').startswith('value of process.exit is 137')))" ||
    fail "the JUnit is not as it should be"
run budget check budgets.yaml -- /nowhere/program
expect_status 1; expect_err_like "brisk: /nowhere/program: No such file*"

cat >metrics.yaml <<'END'
budgets:
  - {name: errors, metric: req, bad: req.bad, statistic: error_rate, objective: 99%}
  - {name: p95, metric: time, labels: {route: /x}, statistic: p95, warning: 3ms, critical: 4ms}
END
cat >metrics.json <<'END'
{"schema": 1, "metrics": [
 {"name": "req", "kind": "counter", "unit": "", "labels": {}, "count": 1000, "rates": [null, null, null]},
 {"name": "req.bad", "kind": "counter", "unit": "", "labels": {}, "count": 9},
 {"name": "time", "kind": "histogram", "unit": "ns", "labels": {"route": "/x"}, "count": 7, "p50": 1, "p95": 3500000}]}
END
run budget check metrics.yaml --input metrics.json
expect_status 0
expect_out "good      errors: error_rate of req is 0.9 %, at most 1 %
warning   p95: p95 of time is 3.5 ms, above the warning limit of 3 ms (7 events)"
sed 's/"count": 9}/"count": 11}/' metrics.json >worse.json
run budget check metrics.yaml --input worse.json
expect_status 1; expect_out_like "critical  errors: error_rate of req is 1.1 %, above *"
printf '{"metrics": 1}' >bad.json
run budget check metrics.yaml --input bad.json
expect_status 1; expect_err_like "brisk: bad.json:1: an object with a list \"metrics\"*"

printf 'budgets:\n  - {name: m, metric: process.memory, critical: 1KiB}\n' >process.yaml
run budget check process.yaml --pid $$ --duration 10ms
expect_status 1; expect_out_like "critical  m: value of process.memory is * above the critical limit of 1 KiB*"
run budget check process.yaml --pid 999999999
expect_status 1; expect_err_like "brisk: process 999999999: there is none*"
printf 'budgets:\n  - {name: m, metric: machine.memory, labels: {kind: total}, direction: above, critical: 1MiB}\n' >machine.yaml
run budget check machine.yaml --duration 10ms
expect_status 0; expect_out_like "good      m: value of machine.memory is *, at least 1 MiB"

# Errors name file and line.
printf 'budgets:\n  - name: a\n    metrik: b\n' >wrong.yaml
run budget check wrong.yaml
expect_status 1; expect_err_like "brisk: wrong.yaml:3: *metrik*metric*"
run budget check none.yaml
expect_status 1; expect_err_like "brisk: none.yaml: No such file*"
run budget check
expect_status 2
run budget check budgets.yaml --pid 1 --input x
expect_status 2
run budget check budgets.yaml sh
expect_status 2; expect_err_like "*behind --"
run budget check budgets.yaml --json --junit
expect_status 2

# Watch: a webhook that fails once, then answers; the history keeps the alert.
cat >hook.py <<'END'
import http.server, json
class Hook(http.server.BaseHTTPRequestHandler):
    calls = 0
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        Hook.calls += 1
        self.send_response(503 if Hook.calls == 1 else 204)
        self.end_headers()
        if Hook.calls > 1:
            open("hooked.tmp", "w").write(json.dumps([json.loads(body), self.headers["Authorization"],
                                                      self.headers["Content-Type"]]))
            import os; os.rename("hooked.tmp", "hooked")
    def log_message(self, *words): pass
server = http.server.HTTPServer(("127.0.0.1", 0), Hook)
open("port.tmp", "w").write(str(server.server_port))
import os; os.rename("port.tmp", "port")
server.serve_forever()
END
python3 hook.py &
hook=$!
while [ ! -e port ]; do sleep 0.05; done
cat >watch.yaml <<END
sinks:
  - log
  - {webhook: 'http://127.0.0.1:$(cat port)/alert', retries: 3, timeout: 5s, bearer: secret-token}
budgets:
  - {name: tasks, metric: machine.tasks, critical: 1}
  - {name: quiet, metric: machine.tasks, critical: 100000000}
END
run budget watch watch.yaml --duration 4s --json
kill "$hook"
wait "$hook" 2>/dev/null
expect_status 1
expect_err_like "brisk: budget: firing: tasks: value of machine.tasks is *"
case "$err" in *secret-token*) fail "the token was told" ;; *) ;; esac
[ "$(printf '%s\n' "$out" | wc -l)" -eq 1 ] || fail "an alert was told more than once"
expect_json "d['state'] == 'firing' and d['budget'] == 'tasks' and d['severity'] == 'critical'"
python3 -c "
import json, sys
alert, token, kind = json.load(open('hooked'))
sys.exit(not (alert['budget'] == 'tasks' and token == 'Bearer secret-token' and kind == 'application/json'))" ||
    fail "the webhook did not get it"
run history list alerts --json
expect_json "len(d['alerts']) == 1 and d['alerts'][0]['budget'] == 'tasks' and d['alerts'][0]['state'] == 'firing'"
run history list alerts --name tasks --state resolved
expect_out "no alerts match"
# A metric that nobody recorded: told, and nothing judged is no success.
printf 'budgets:\n  - {name: typo, metric: process.tiem, critical: 1}\n' >typo.yaml
run budget check typo.yaml -- true
expect_status 1; expect_err_like "brisk: budget: 1 of 1 could not be judged: *"

finish
