"""The API from outside: every operation of its document, figures, health, rights.

  test_api.py BRISK [NAME...]

The contract: each operation is called, and what comes back is what the document says; an operation without an example
here is called without what it needs, and must say so as the document does.
"""
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading

from api_lib import READER, TOKEN, Answer, Http, Node, judge
from cases import case, check, run
from serve_lib import Server, wait_until

BRISK = sys.argv[1]

# Operations with what they need: path parameters, body, fields, and the statuses that are good.
EXAMPLES = {
    "getEntry": ({"key": "contract"}, None, {}, {200}),
    "putEntry": ({"key": "contract"}, b"value", {"content-type": "application/octet-stream"}, {201, 204}),
    "deleteEntry": ({"key": "contract2"}, None, {}, {204, 404}),
    "invalidate": ({}, {"keys": ["contract3"]}, {}, {200}),
    "deleteEntries": ({}, None, {}, {400}),
    "getCurve": ({}, None, {}, {200}),
    "getMetricsText": ({}, None, {}, {200}),
    "getHealth": ({}, None, {}, {200}),
    "getKnob": ({"name": "serve.memory"}, None, {}, {200}),
    "setKnob": ({"name": "serve.degraded_is_ok"}, {"value": False}, {}, {200}),
}


def answer_fits(document, operation, answer, what):
    """Is the answer one of those that the document names?"""
    responses = operation["responses"]
    described = responses.get(str(answer.status))
    if described is None:
        check(answer.status >= 400, f"{what}: {answer.status} is not in the document")
        described = responses["default"]
    content = described.get("content")
    if content is None:
        check(answer.body == b"", f"{what}: {answer}")
        return
    kind = answer["content-type"].split(";")[0]
    found = [body for name, body in content.items() if name.split(";")[0] == kind]
    check(found, f"{what}: {answer['content-type']} is not in the document")
    if kind == "application/json" and "schema" in found[0]:
        judge(document, found[0]["schema"], answer.json(), what)


def call(http, method, path, operation):
    parameters, body, fields, good = EXAMPLES.get(operation["operationId"], ({}, None, {}, None))
    path = re.sub(r"\{(\w+)\}", lambda m: parameters.get(m.group(1), "none"), path)
    if body is None and "requestBody" in operation:
        body, fields = b"{}", {"content-type": "application/json"}
    what = f"{method.upper()} {path}"
    if "text/event-stream" in operation["responses"].get("200", {}).get("content", {}):
        return what, listen(http, path)
    answer = http.ask(method.upper(), path, body, fields)
    check(good is None or answer.status in good, f"{what}: {answer}")
    return what, answer


def listen(http, path):
    """The head of a stream and its first line; its connection is given up.  Or an error, whole."""
    own = Http(http.connection.port, http.token)
    own.connection.request("GET", path, headers={"authorization": "Bearer " + TOKEN})
    answer = own.connection.getresponse()
    fields = {name.lower(): value for name, value in answer.getheaders()}
    if fields["content-type"] != "text/event-stream":
        return Answer(answer.status, fields, answer.read())
    line = answer.readline()
    own.close()
    check(line == b"retry: 2000\n" or b":" in line, line)
    return Answer(answer.status, fields, b"")


@case
def every_operation_is_as_documented():
    with Node(BRISK) as node:
        http = node.http()
        document = http.ok("GET", "/v1/openapi.json").json()
        check(document["openapi"] == "3.1.0")
        http.ok("PUT", "/v1/cache/contract", b"value", status=201)
        for i in range(400):
            http.ask("GET", f"/v1/cache/{i}")  # the curve follows one key in some
        check(wait_until(lambda: len(http.ok("GET", "/v1/stats").json()["samples"]) > 0))
        called = 0
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                what, answer = call(http, method, path, operation)
                if "text/event-stream" in answer.fields.get("content-type", ""):
                    check(answer.status == 200, answer)
                else:
                    answer_fits(document, operation, answer, what)
                called += 1
                if operation.get("security") is not None:
                    refused = Http(node.port, "wrong-token-0123456789").ask(method.upper(), re.sub(r"\{\w+\}", "x", path))
                    check(refused.status == 401, f"{what}: {refused}")
                    answer_fits(document, operation, refused, what)
        check(called >= 20, called)
        for name in EXAMPLES:
            check(any(o["operationId"] == name for p in document["paths"].values() for o in p.values()), name)


@case
def the_judge_judges():
    """A validator that finds nothing wrong with anything would prove nothing."""
    from api_lib import fits

    document = {"components": {"schemas": {"N": {"type": "integer", "minimum": 3}}}}
    good = [({"$ref": "#/components/schemas/N"}, 3), ({"type": ["null", "string"]}, None), ({"enum": ["a"]}, "a"),
            ({"type": "array", "items": {"type": "boolean"}}, [True]), ({"type": "number"}, 1.5),
            ({"type": "object", "required": ["a"], "properties": {"a": {"const": 1}}}, {"a": 1, "b": 2})]
    bad = [({"$ref": "#/components/schemas/N"}, 2), ({"$ref": "#/components/schemas/N"}, 3.5), ({"type": "string"}, None),
           ({"enum": ["a"]}, "b"), ({"type": "integer"}, True), ({"type": "array", "items": {"type": "boolean"}}, [0]),
           ({"type": "object", "required": ["a"]}, {}), ({"properties": {"a": {"const": 1}}}, {"a": 2}),
           ({"properties": {}, "additionalProperties": False}, {"a": 2}), ({"unknown": 1}, 1)]
    for schema, value in good:
        check(fits(document, schema, value), (schema, value))
    for schema, value in bad:
        check(not fits(document, schema, value), (schema, value))


@case
def metrics_in_both_formats():
    with Node(BRISK) as node:
        http = node.http()
        node.resp().ok("SET", "a", "b")
        http.ok("PUT", "/v1/cache/a", b"x", status=204)
        plain = http.ok("GET", "/metrics")
        check(plain["content-type"].startswith("text/plain; version=0.0.4"), plain)
        text = plain.body.decode()
        check('serve_http_responses_total{class="2xx",route="api.cache"} 1' in text, text[:500])
        check('serve_command_calls_total{command="set"} 1' in text)
        open_metrics = http.ok("GET", "/metrics", None, {"accept": "application/openmetrics-text; version=1.0.0, */*;q=0.1"})
        check(open_metrics["content-type"].startswith("application/openmetrics-text"), open_metrics)
        check(open_metrics.body.endswith(b"# EOF\n"), open_metrics.body[-50:])
        check(http.ok("GET", "/metrics?format=openmetrics").body.endswith(b"# EOF\n"))
        judged = http.ok("GET", "/v1/metrics").json()
        times = [m for m in judged["metrics"] if m["name"] == "serve.http.time" and m["labels"] == {"route": "api.cache"}]
        check(len(times) == 1 and times[0]["count"] == 1 and times[0]["p99"] > 0, times)
        try:
            done = subprocess.run(["promtool", "check", "metrics"], input=plain.body, capture_output=True, timeout=60)
        except FileNotFoundError:
            print("promtool is not installed: its check is left out")
            return
        check(done.returncode == 0 or b"error" not in done.stderr.lower(), done)


@case
def series_and_events():
    with Node(BRISK) as node:
        http = node.http()
        heard = []
        listener = Http(node.port)
        listener.connection.request("GET", "/v1/events?topics=metrics", headers={"authorization": "Bearer " + TOKEN})
        stream = listener.connection.getresponse()
        check(stream.status == 200 and stream.getheader("content-type") == "text/event-stream")

        def hear():
            while len(heard) < 2:
                line = stream.readline()
                if line.startswith(b"data: "):
                    heard.append(json.loads(line[6:]))

        thread = threading.Thread(target=hear)
        thread.start()
        for i in range(200):
            http.ask("GET", f"/v1/cache/{i}")
        thread.join(30)
        check(len(heard) == 2, heard)
        check(all(e["http"].keys() >= {"count", "p50_ns", "p99_ns"} and len(e["grades"]["parts"]) == 4 for e in heard), heard)
        check(wait_until(lambda: sum(s["responses"] for s in http.ok("GET", "/v1/stats").json()["samples"]) >= 200))
        samples = http.ok("GET", "/v1/stats").json()["samples"]
        busy = max(samples, key=lambda s: s["responses"])
        check(busy["http"]["count"] > 0 and 0 < busy["http"]["p50_ns"] <= busy["http"]["p99_ns"], busy)
        check(sum(t["misses"] for s in samples for t in s["tiers"]) >= 200, "misses of the tier are told")
        check(all(a["time_s"] < b["time_s"] for a, b in zip(samples, samples[1:])), "in order")
        later = http.ok("GET", f"/v1/stats?since={int(samples[-1]['time_s']) + 1000}").json()
        check(later["samples"] == [], later)
        check(max(s["connections"]["h1"] for s in samples) >= 1)
        listener.close()
        grades = http.ok("GET", "/v1/grades").json()
        check(grades["grade"] in ("excellent", "good", "acceptable", "poor", "unacceptable"), grades)
        check(wait_until(lambda: b"serve_http_connections" in http.ok("GET", "/metrics").body))


@case
def what_is_logged_is_told():
    with Node(BRISK, settings=["serve.audit_file=/nonexistent/audit.jsonl"]) as node:
        listener = Http(node.port)
        listener.connection.request("GET", "/v1/events?topics=log", headers={"authorization": "Bearer " + TOKEN})
        stream = listener.connection.getresponse()
        node.http().ask("PATCH", "/v1/knobs/serve.degraded_is_ok", {"value": True})
        lines = iter(stream.readline, b"")
        told = json.loads(next(line for line in lines if line.startswith(b"data: "))[6:])
        check(told["level"] == "error" and told["area"] == "serve" and "the audit log lacks a line" in told["message"], told)
        check(told["time_s"] > 1.5e9 and told["lost"] == 0, told)
        listener.close()


@case
def health_ready_live():
    with Node(BRISK) as node:
        anybody = node.http(None)
        check(anybody.ok("GET", "/live").body == b"live\n")
        check(anybody.ok("GET", "/ready").body == b"ready\n")
        health = anybody.ok("GET", "/health").json()
        check(health["status"] == "healthy", health)
        check(anybody.get("/health/more").status == 404)
        check(anybody.ok("HEAD", "/health").body == b"")
        check(wait_until(lambda: {"memory", "errors", "tier.memory"} <= {c["name"] for c in anybody.ok("GET", "/health").json()["checks"]}))


@case
def the_node_itself():
    with Node(BRISK) as node:
        http = node.http()
        found = http.ok("GET", "/v1/node").json()
        check(found["health"] == "healthy" and found["problems"] == [] and found["curve"] == "empty", found)
        check(found["listeners"] == [f"127.0.0.1:{node.port}"], found)
        check(len(found["workers"]) >= 1 and sum(w["connections"] for w in found["workers"]) >= 1, found)
        check(wait_until(lambda: all(w["busy"] is not None for w in http.ok("GET", "/v1/node").json()["workers"])))
        sample = http.ok("GET", "/v1/stats").json()["samples"][-1]
        check(len(sample["loops"]) == len(found["workers"]) and sample["busy_most"] >= max(sample["loops"]) - 1e-3, sample)
        check(http.get("/v1/node/more").status == 404)
    with Node(BRISK, settings=["serve.curve=off"]) as node:
        check(node.http().ok("GET", "/v1/node").json()["curve"] == "off")


@case
def longer_stretches_of_time():
    with Node(BRISK) as node:
        http = node.http()
        for asked, step in ((1, 1), (59, 1), (60, 60), (299, 60), (300, 300), (1800, 1800), (86400, 1800)):
            found = http.ok("GET", f"/v1/stats?step={asked}").json()
            check(found["step_s"] == step and found["kept_s"] >= 900 * (step > 1) + 900, found)
            check(step == 1 or found["samples"] == [], "a minute that was none")
        for wrong in ("0", "-1", "86401", "x"):
            check(http.get(f"/v1/stats?step={wrong}").status == 400, wrong)


@case
def budgets_and_alerts():
    with tempfile.TemporaryDirectory(prefix="brisk-api-") as folder:
        path = os.path.join(folder, "budgets.yaml")
        with open(path, "w", encoding="ascii") as file:
            file.write("schema: 1\nbudgets:\n  - name: entries\n    metric: serve.tier.entries\n    labels: {tier: memory}\n"
                       "    statistic: value\n    critical: 3\n    for: 0s\n")
        with Node(BRISK, settings=[f"serve.budgets={path}"], env={"XDG_DATA_HOME": folder}) as node:
            http = node.http()
            check(http.ok("GET", "/v1/alerts").json()["alerts"] == [])
            listener = Http(node.port)
            listener.connection.request("GET", "/v1/events?topics=alerts", headers={"authorization": "Bearer " + TOKEN})
            stream = listener.connection.getresponse()
            for i in range(10):
                http.ok("PUT", f"/v1/cache/{i}", b"x", status=201)
            check(wait_until(lambda: http.ok("GET", "/v1/alerts").json()["alerts"] != []))
            alert = http.ok("GET", "/v1/alerts").json()["alerts"][0]
            check(alert["name"] == "entries" and alert["level"] == "critical", alert)
            while True:
                line = stream.readline()
                if line.startswith(b"data: "):
                    break
            told = json.loads(line[6:])
            check(told["name"] == "entries" and told["state"] == "firing", told)
            listener.close()
            check(http.ok("GET", "/v1/budgets").json()["budgets"][0]["value"] == 10)
            past = http.ok("GET", "/v1/alerts").json()["past"]
            check([(one["name"], one["state"], one["severity"]) for one in past] == [("entries", "firing", "critical")], past)
            for i in range(10):
                http.ok("DELETE", f"/v1/cache/{i}", status=204)
            check(wait_until(lambda: http.ok("GET", "/v1/alerts").json()["alerts"] == []))
            past = http.ok("GET", "/v1/alerts").json()["past"]
            check([one["state"] for one in past] == ["resolved", "firing"], past)
            check(past[0]["time_s"] > past[1]["time_s"] > 1.7e9, past)
        with open(path, "w", encoding="ascii") as file:
            file.write("budgets: [")
        try:
            Node(BRISK, settings=[f"serve.budgets={path}"])
            raise AssertionError("a damaged file was taken")
        except RuntimeError as error:
            check("budgets.yaml" in str(error), error)


@case
def history_is_shown():
    with tempfile.TemporaryDirectory(prefix="brisk-api-") as folder:
        there = {"XDG_DATA_HOME": folder}
        with Node(BRISK, env=there) as node:
            check(node.http().ok("GET", "/v1/benchmarks").json() == {"schema": 1, "kept": False, "benchmarks": []})
        os.makedirs(os.path.join(folder, "brisk"))
        with open(os.path.join(folder, "brisk", "history.sqlite3"), "wb") as file:
            file.write(b"this is no database" * 1000)
        with Node(BRISK, env=there) as node:
            answer = node.http().get("/v1/runs")
            check(answer.status in (200, 500) and "Traceback" not in answer.body.decode(), answer)


@case
def knobs_and_their_audit():
    with tempfile.TemporaryDirectory(prefix="brisk-api-") as folder:
        path = os.path.join(folder, "audit.jsonl")
        settings = [f"serve.audit_file={path}", "cache.shared.url=redis://me:secret@-of-mine@127.0.0.1:1/0"]
        with Node(BRISK, settings=settings, memory="64MiB") as node:
            http = node.http()
            everything = http.ok("GET", "/v1/knobs").body
            check(b"-of-mine" not in everything, "a password in a URL is hidden")
            knobs = {k["name"]: k for k in json.loads(everything)["knobs"]}
            check(knobs["cache.shared.url"]["source"] == "flag", knobs["cache.shared.url"])
            check(knobs["serve.pipeline"]["max"] == 64 and knobs["serve.pipeline"]["effect"] == "restart", knobs["serve.pipeline"])

            def change(name, value, status=200):
                answer = http.ask("PATCH", f"/v1/knobs/{name}", {"value": value})
                check(answer.status == status, answer)
                return answer.json()

            done = change("serve.memory", "32MiB")
            check(done["number"] == 32 << 20 and done["effect"] == "now", done)
            check(node.resp().ok("CONFIG", "GET", "maxmemory")[1] == b"%d" % (32 << 20), "it acts at once")
            check(change("serve.idle_timeout", "90s")["number"] == 90 * 10**9)
            check(node.resp().ok("CONFIG", "GET", "timeout")[1] == b"90")
            check("64" in change("serve.pipeline", 65, 400)["error"]["message"], "the range is told")
            change("serve.memory", "64TiB", 400)  # more than it was started with
            check(http.ok("GET", "/v1/knobs/serve.memory").json()["number"] == 32 << 20, "as before")
            change("serve.size_mode", "magic", 400)
            change("serve.memory", {"a": 1}, 400)
            change("no.such.knob", 1, 404)
            for body in (b"", b"{}", b"[1]", b'{"value": 1, "more": 2}', b"{"):
                check(http.ask("PATCH", "/v1/knobs/serve.memory", body).status == 400, body)
            check(http.ask("PATCH", "/v1/knobs", {"value": 1}).status == 400)
            check(node.http(READER).ask("PATCH", "/v1/knobs/serve.memory", {"value": 1}).status == 403)
            entries = http.ok("GET", "/v1/audit").json()["entries"]
            check(entries[-1]["name"] == "serve.memory" and entries[-1]["who"] == "tests", entries)
            check(entries[-1]["new"] == str(32 << 20) and entries[-1]["from"].startswith("127.0.0.1:"), entries)
            refused = [e for e in entries if e["outcome"] != "ok"]
            check(len(refused) == 3 and all(e["new"] is None for e in refused), refused)
        check(os.stat(path).st_mode & 0o7777 == 0o600)
        with open(path, encoding="utf-8") as file:
            lines = [json.loads(line) for line in file]
        check(len(lines) == len(entries) and lines[0]["name"] == "serve.memory", lines)


@case
def who_may_read():
    with Node(BRISK, settings=["serve.local_needs_token=on"]) as node:
        for path in ("/metrics", "/v1/metrics", "/v1/stats", "/v1/cache", "/v1/events", "/v1/runs"):
            check(node.http(None).get(path).status == 401, path)
            if path != "/v1/events":
                check(node.http(READER).get(path).status == 200, path)
        for path in ("/live", "/health", "/ready", "/v1/openapi.json"):
            check(node.http(None).get(path).status == 200, path)


@case
def a_token_is_made():
    with tempfile.TemporaryDirectory(prefix="brisk-api-") as folder:
        server = Server(BRISK, ["--memory", "16MiB"], env={"XDG_RUNTIME_DIR": folder})
        path = os.path.join(folder, "brisk", "token")
        check(path in server.announced, server.announced)
        check(os.stat(path).st_mode & 0o7777 == 0o600)
        with open(path, encoding="ascii") as file:
            token = file.read().strip()
        check(len(token) == 64)
        check(Http(server.port, token).ask("PUT", "/v1/cache/a", b"x").status == 201)
        check(Http(server.port, None).ask("PUT", "/v1/cache/a", b"x").status == 401)
        check(server.stop()[0] == 0)


@case
def a_unix_socket_reads():
    with tempfile.TemporaryDirectory(prefix="brisk-api-") as folder:
        path = os.path.join(folder, "s")
        with Node(BRISK, "--unix", path):
            for method, status in (("GET", b"404"), ("DELETE", b"401")):
                with socket.socket(socket.AF_UNIX) as s:
                    s.settimeout(30)
                    s.connect(path)
                    s.sendall(method.encode() + b" /v1/cache/a HTTP/1.1\r\nhost: whatever.example\r\n\r\n")
                    check(s.recv(100).split()[1] == status, method)


if __name__ == "__main__":
    sys.exit(run(sys.argv[2:], 16))
