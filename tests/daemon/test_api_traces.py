"""/v1/traces: exchanges with their phases, jobs with their spans; traces that come from outside and go on.

  test_api_traces.py BRISK MODULE_FOLDER [NAME...]
"""
import os
import sys
import tempfile
import time

from api_lib import Node
from cases import case, check, run
from origin_lib import Origin, answer
from serve_lib import wait_until

BRISK = sys.argv[1]
os.environ["BRISK_MODULE_PATH"] = sys.argv[2] + ":" + os.environ.get("BRISK_MODULE_PATH", "")
CACHE = tempfile.TemporaryDirectory(prefix="brisk-traces-cache-")
os.environ["XDG_CACHE_HOME"] = CACHE.name
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"


def traces(http, query=""):
    return http.ok("GET", f"/v1/traces{query}").json()["traces"]


def one(http, found, query=""):
    return http.ok("GET", f"/v1/traces/{found['id']}{query}").json()


def check_tree(found):
    """Spans lie within their parents, the first is all."""
    spans = {s["id"]: s for s in found["spans"]}
    check(found["spans"][0]["parent"] == 0 and found["spans"][0]["duration_ns"] == found["duration_ns"], found)
    for s in found["spans"][1:]:
        over = spans[s["parent"]]
        check(over["start_ns"] <= s["start_ns"], (s, over))
        check(s["start_ns"] + s["duration_ns"] <= over["start_ns"] + over["duration_ns"] + 50_000_000, (s, over))


@case
def an_exchange_through_a_proxy():
    seen = []

    def handle(request, connection):
        seen.append(request["traceparent"])
        time.sleep(0.2)
        return answer(b"x" * 1000)

    with Origin(handle) as origin, Node(BRISK, settings=[f"serve.proxy=[{{at: /up/, upstreams: ['{origin.url}'], cache: false}}]"]) as node:
        http = node.http()
        http.ok("GET", "/up/slow?secret=1", None, {"traceparent": f"00-{TRACE}-{SPAN}-01"})
        http.ok("GET", "/up/plain")
        http.ok("GET", "/up/wrong", None, {"traceparent": f"00-{TRACE}-{SPAN}"})
        check(seen[1] is None and seen[2] is None, seen)
        found = [t for t in traces(http) if t["trace_id"] == TRACE]
        check(len(found) == 1 and found[0]["name"] == "GET /up/slow" and found[0]["outcome"] == "200", found)
        check(found[0]["parent_id"] == SPAN and found[0]["bytes_out"] == 1000, found)
        check(seen[0] == f"00-{TRACE}-{found[0]['span_id']}-01" and found[0]["span_id"] != SPAN, seen)
        whole = one(http, found[0])
        check_tree(whole)
        spans = {s["name"]: s for s in whole["spans"]}
        check(spans.keys() == {"request", "handler", "upstream", "send"}, whole)
        check(spans["upstream"]["duration_ns"] >= 150_000_000, "the upstream took 200 ms, as of the worker's rounds")
        chrome = one(http, found[0], "?format=chrome")
        check([e["name"] for e in chrome["traceEvents"]] == ["GET /up/slow", "handler", "upstream", "send"], chrome)
        check(all(e["ph"] == "X" and e["dur"] >= 0 for e in chrome["traceEvents"]), chrome)
        names = {t["name"] for t in traces(http, "?min_ms=100&kind=exchange")}
        check(names == {"GET /up/slow", "GET /up/plain", "GET /up/wrong"}, names)


@case
def a_body_that_comes_slowly():
    with Node(BRISK) as node:
        s = node.resp().socket
        s.sendall(b"POST /v1/cache/invalidate HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer token-of-the-tests-0123456789\r\n"
                  b"content-type: application/json\r\ncontent-length: 14\r\n\r\n")
        time.sleep(0.2)
        s.sendall(b'{"keys":["a"]}')
        check(s.recv(100).startswith(b"HTTP/1.1 200"))
        http = node.http()
        check(wait_until(lambda: traces(http, "?name=invalidate")))
        found = one(http, traces(http, "?name=invalidate")[0])
        check_tree(found)
        body = [x for x in found["spans"] if x["name"] == "body"]
        check(len(body) == 1 and body[0]["duration_ns"] >= 150_000_000, found)


@case
def a_job_and_its_stages():
    with Node(BRISK) as node:
        http = node.http()
        job = {"workload": "slow", "request": {"ms": 50, "steps": 5}}
        http.ok("POST", "/v1/jobs", job, {"prefer": "wait=30", "traceparent": f"00-{TRACE}-{SPAN}-00"})
        refused = http.ok("POST", "/v1/jobs", {"workload": "slow", "request": {"fail": "why"}}, {"prefer": "wait=30"}, status=409)
        found = traces(http, "?kind=job")
        check(len(found) == 2 and {t["outcome"] for t in found} == {"succeeded", "failed"}, (found, refused))
        done = found[0]
        check(done["name"] == "slow" and done["trace_id"] == TRACE and done["parent_id"] == SPAN, done)
        whole = one(http, done)
        check_tree(whole)
        check([s["name"] for s in whole["spans"]][:2] == ["job", "queue"] and len(whole["spans"]) > 3, whole)
        check(max(s["duration_ns"] for s in whole["spans"][2:]) >= 50_000_000, whole)
        chrome = one(http, done, "?format=chrome")
        check(len(chrome["traceEvents"]) == len(whole["spans"]), chrome)


@case
def what_is_asked_for_wrongly():
    with Node(BRISK) as node:
        http = node.http()
        for path, status in (("/1", 404), ("/x-1", 404), ("/" + "9" * 300, 404), ("/1?format=x", 400), ("?kind=x", 400), ("?min_ms=x", 400)):
            check(http.get("/v1/traces" + path).status == status, path)
        http.ok("GET", "/live")
        check(traces(http, "?since=4000000000") == [] and traces(http, "?until=1") == [])
        check(len(traces(http, "?limit=1")) == 1)


@case
def what_is_kept_is_bounded():
    with Node(BRISK) as node:
        http = node.http()
        for i in range(1000):
            http.ask("GET", f"/v1/cache/{i}", None, {"traceparent": f"00-{TRACE}-{SPAN}-01"})
        kept = [t for t in traces(http, "?limit=10000") if t["trace_id"] == TRACE]
        workers = len(http.ok("GET", "/v1/node").json()["workers"])
        check(64 <= len(kept) <= 64 * workers, len(kept))
        check(any(t["name"] == "GET /v1/cache/999" for t in kept), "the last ones")


if __name__ == "__main__":
    sys.exit(run(sys.argv[3:], 16))
