"""/v1/jobs over sockets: submit, wait, cancel, quotas, limits, streams, what is kept, the node's end.

  test_jobs.py BRISK MODULE_FOLDER [NAME...]

The workload `slow` (slow_module.c) takes as long as it is told.  Nothing asserts a time: what is
asserted is what had happened when something else did.
"""
import base64
import json
import os
import socket
import struct
import sys
import tempfile
import threading
import time

from api_lib import READER, TOKEN, Http, Node
from cases import case, check, run
from serve_lib import Client, wait_until

BRISK = sys.argv[1]
os.environ["BRISK_MODULE_PATH"] = sys.argv[2] + ":" + os.environ.get("BRISK_MODULE_PATH", "")
CACHE = tempfile.TemporaryDirectory(prefix="brisk-jobs-cache-")  # of the engines, begun empty
os.environ["XDG_CACHE_HOME"] = CACHE.name


def slow(**request):
    order = {name: request.pop(name) for name in ("class_", "priority", "deadline_ms", "no_cache") if name in request}
    job = {"workload": "slow", "request": request}
    job.update({name.rstrip("_"): value for name, value in order.items()})
    return job


def submit(http, job, status=202, **fields):
    return http.ok("POST", "/v1/jobs", job, {k.replace("_", "-"): v for k, v in fields.items()}, status=status)


def start(http, job):
    """Submit something that is not over at once; its id."""
    answer = submit(http, job)
    found = answer.json()
    check(answer["location"] == "/v1/jobs/" + found["id"] and answer["retry-after"] == "1", answer)
    return found["id"]


def status(http, job):
    return http.ok("GET", f"/v1/jobs/{job}").json()


def is_in(http, job, state):
    return wait_until(lambda: status(http, job)["status"] == state)


class Events:
    """A stream of events, read as it comes."""

    def __init__(self, port, path, fields=()):
        self.socket = socket.create_connection(("127.0.0.1", port), 30)
        head = [f"GET {path} HTTP/1.1", "host: localhost", "authorization: Bearer " + TOKEN, *fields, "", ""]
        self.socket.sendall("\r\n".join(head).encode())
        self.file = self.socket.makefile("rb")
        self.status = int(self.file.readline().split()[1])
        while self.file.readline() not in (b"\r\n", b""):
            pass
        self.left = b""

    def _line(self):
        while b"\n" not in self.left:
            size = int(self.file.readline() or b"0", 16)
            if size == 0:
                raise EOFError
            self.left += self.file.read(size)
            self.file.readline()
        line, self.left = self.left.split(b"\n", 1)
        return line.decode()

    def next(self):
        """(event, id, data), or None at the end."""
        found = {}
        try:
            while True:
                line = self._line()
                if line == "" and "data" in found:
                    return found.get("event"), found.get("id"), json.loads(found["data"])
                name, _, value = line.partition(": ")
                if name:
                    found[name] = value
        except EOFError:
            return None

    def close(self):
        self.socket.close()


class Socket:
    """A WebSocket, frame by frame."""

    def __init__(self, port, **fields):
        head = {"host": f"127.0.0.1:{port}", "authorization": "Bearer " + TOKEN, "connection": "upgrade", "upgrade": "websocket",
                "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==", "sec-websocket-version": "13"}  # fmt: skip
        head.update({k.replace("_", "-"): v for k, v in fields.items()})
        self.socket = socket.create_connection(("127.0.0.1", port), 30)
        self.socket.sendall(("GET /v1/ws HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in head.items() if v) + "\r\n").encode())
        self.file = self.socket.makefile("rb")
        self.status = int(self.file.readline().split()[1])
        self.fields = {}
        while (line := self.file.readline()) not in (b"\r\n", b""):
            name, _, value = line.decode().strip().partition(": ")
            self.fields[name] = value

    def send(self, data, first=0x81, pieces=1):
        data = json.dumps(data).encode() if isinstance(data, (dict, list)) else data
        mask, size = b"\x01\x02\x03\x04", len(data)
        head = bytes([first]) + (bytes([0x80 | size]) if size < 126 else bytes([0xFE]) + size.to_bytes(2, "big"))
        frame = head + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(data))
        for i in range(0, len(frame), -(-len(frame) // pieces)):
            self.socket.sendall(frame[i : i + -(-len(frame) // pieces)])

    def frame(self):
        first, size = self.file.read(2)
        if size >= 126:
            size = int.from_bytes(self.file.read(2 if size == 126 else 8), "big")
        return first, self.file.read(size)

    def next(self):
        """The next event; pings are passed over."""
        while True:
            first, data = self.frame()
            if first == 0x81:
                return json.loads(data)
            check(first == 0x89, (first, data))

    def closed(self):
        """The code of the close that comes; then the end."""
        while True:
            first, data = self.frame()
            if first == 0x88:
                check(self.file.read() == b"", "nothing follows a close")
                return int.from_bytes(data[:2], "big")


@case
def a_websocket():
    with Node(BRISK, settings=["serve.jobs.running=1"]) as node:
        http, ws = node.http(), Socket(node.port)
        check(ws.status == 101 and ws.fields["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", ws.fields)
        ws.send(b"hello?", 0x89)
        check(ws.frame() == (0x8A, b"hello?"))
        ws.send({"subscribe": ["jobs"]}, pieces=5)
        ws.send(b"now", 0x89)
        check(ws.frame() == (0x8A, b"now"))
        job = start(http, slow(ms=300, steps=3))
        seen = [ws.next() for _ in range(3)]
        check([(e["event"], e["data"]["id"], e["data"]["status"]) for e in seen] == [("jobs", job, s) for s in ("queued", "running", "succeeded")], seen)
        ws.send({"subscribe": []})
        job = start(http, slow(ms=400, steps=4))
        ws.send({"job": job})
        seen = [ws.next()]
        while seen[-1]["event"] != "end":
            seen.append(ws.next())
        check(all(e["data"]["id"] == job for e in seen) and seen[-1]["data"]["status"] == "succeeded", seen)
        check(len(seen) >= 2 and seen[0]["event"] == "progress", seen)
        for wrong in (b"{", b"[]", b"{}", {"job": "x"}, {"job": 1}, {"subscribe": ["x"]}, {"subscribe": 1}, {"subscribe": [1]}, {"subscribe": ["jobs"] * 100}):
            ws.send(wrong)
            check(ws.next()["event"] == "error", wrong)
        ws.send({"subscribe": ["metrics"]})
        check(ws.next()["event"] == "metrics")
        ws.send(b"\x03\xe8", 0x88)
        check(ws.closed() == 1000)


@case
def a_websocket_that_reads_nothing():
    with Node(BRISK) as node:
        ws, sent = Socket(node.port), 0
        ws.socket.settimeout(1)
        wrong = (b"\x81\x81\0\0\0\0{" * 4096)  # each has an answer ten times as long
        try:
            while sent < 64 << 20:
                sent += ws.socket.send(wrong)
        except TimeoutError:
            pass
        check(sent < 32 << 20, f"{sent} bytes were taken of somebody who reads nothing")
        ws.socket.settimeout(60)
        rest = wrong[sent % 7 : 7] if sent % 7 != 0 else b""  # of the frame that was cut
        writer = threading.Thread(target=lambda: (ws.socket.sendall(rest), ws.send(b"still there?", 0x89)))
        writer.start()
        answers = 0
        while (frame := ws.frame())[0] == 0x81:  # who reads again is listened to again, and nothing is lost
            check(json.loads(frame[1])["event"] == "error", frame)
            answers += 1
        writer.join()
        check(frame == (0x8A, b"still there?") and answers == (sent + len(rest)) // 7, (frame, answers, sent))


@case
def websockets_that_are_wrong():
    with Node(BRISK) as node:
        check(Socket(node.port, origin=f"http://127.0.0.1:{node.port}").status == 101)
        check(Socket(node.port, origin="http://evil.example").status == 403)
        check(Socket(node.port, sec_websocket_version="12").status == 426)
        check(Socket(node.port, sec_websocket_key="short").status == 400)
        check(Socket(node.port, upgrade=None).status == 400)
        check(Socket(node.port, authorization="Bearer wrong-wrong-wrong-wrong").status == 401)
        for data, first, code in ((b"a", 0x82, 1003), (b"a", 0xC1, 1002), (b"\xff", 0x81, 1007), (b"a", 0x83, 1002), (b"\x03", 0x88, 1002), (b"", 0x88, 1000)):
            ws = Socket(node.port)
            ws.send(data, first)
            check(ws.closed() == code, (data, first))
        ws = Socket(node.port)
        ws.socket.sendall(b"\x81\xff" + (1 << 20).to_bytes(8, "big") + b"\0\0\0\0")
        check(ws.closed() == 1009)
        ws = Socket(node.port)
        ws.socket.sendall(b"\x81\x01a")
        check(ws.closed() == 1002, "a client masks")
        for _ in range(20):
            gone = Socket(node.port)
            gone.send({"subscribe": ["metrics", "jobs"]})
            gone.socket.close()
        left = Socket(node.port)
        left.send({"subscribe": ["metrics", "jobs", "alerts", "log"]})
        check(left.next()["event"] == "metrics")


@case
def a_result_at_once_and_later():
    with Node(BRISK) as node:
        http = node.http()
        rom = base64.b64encode(b"0123456789").decode()
        patch = base64.b64encode(b"PATCH\0\0\x01\0\x02hiEOF").decode()
        job = {"workload": "rom", "request": {"rom": {"base64": rom}, "mods": [{"base64": patch}]}}
        found = submit(http, job, 200, prefer="respond-async, wait=20")
        check(found.body == b"0hi3456789" and found["content-type"] == "application/octet-stream", found)
        path = found["location"]
        state = http.ok("GET", path).json()
        check(state["status"] == "succeeded" and state["workload"] == "rom" and state["details"]["mods"] == 1, state)
        check(all(stage["state"] == "done" for stage in state["stages"]), state)
        check(state["result"]["etag"] == found["etag"] and state["result"]["bytes"] == 10, state)
        again = submit(http, job, 200, prefer="wait=20")
        check(again["etag"] == found["etag"] and again["location"] != path)
        check(http.ok("GET", again["location"]).json()["answered_by"] == "memory")
        result = http.ok("GET", path + "/result")
        check(result.body == found.body)
        check(http.ask("GET", path + "/result", fields={"if-none-match": found["etag"]}).status == 304)
        head = http.ok("HEAD", path + "/result")
        check(head["content-length"] == "10" and head.body == b"", head)
        trace = http.ok("GET", path + "/trace").json()
        check({"rom_loading", "rom_patching"} <= {event["name"] for event in trace["traceEvents"]})
        job = start(http, slow(ms=200))
        check(http.ask("GET", f"/v1/jobs/{job}/result").status in (200, 202))
        check(http.ask("GET", f"/v1/jobs/{job}/trace").status in (200, 409))
        check(http.ok("GET", f"/v1/jobs/{job}/result", fields={"prefer": "wait=20"}).body == b"")


@case
def parts_of_a_form():
    with Node(BRISK) as node:
        http = node.http()
        order = {"workload": "rom", "request": {"rom": {"part": "rom"}, "mods": [{"part": "m"}], "files": [{"part": "f", "name": "f.ips"}], "fix_checksums": "never"}}
        parts = {"job": json.dumps(order).encode(), "rom": bytes(range(256)) * 4, "f": b"PATCH\0\0\x01\0\x02hiEOF",
                 "m": b"mod: m\ncomponents:\n  - {name: a, patch: {file: f.ips}}\n"}  # fmt: skip
        body = b"".join(b'--xyz\r\ncontent-disposition: form-data; name="%s"; filename="a/b"\r\n\r\n%s\r\n' % (k.encode(), v) for k, v in parts.items()) + b"--xyz--\r\n"
        fields = {"content-type": "multipart/form-data; boundary=xyz", "prefer": "wait=20"}
        found = http.ok("POST", "/v1/jobs", body, fields)
        check(found.body == b"\0hi" + parts["rom"][3:], found)
        check(http.ask("POST", "/v1/jobs", body[:-9], fields).status == 400)
        check(http.ask("POST", "/v1/jobs", body.replace(b'"job"', b'"jab"'), fields).status == 400)
        found = http.ask("POST", "/v1/jobs", body, fields, chunked=True)
        check(found.status == 200 and found.body[:3] == b"\0hi", found)


@case
def wrong_input():
    with Node(BRISK, settings=["serve.jobs.body_max=4KiB"]) as node:
        http = node.http()
        for body, code, word in [
            (b"", 400, "empty"),
            (b"{", 400, "JSON"),
            (b"[]", 400, "object"),
            (b"{}", 400, "workload"),
            (b'{"workload":1}', 400, "string"),
            (b'{"workload":"slow","request":{},"more":1}', 400, "more"),
            (b'{"workload":"slow","workload":"slow"}', 400, "twice"),
            (b'{"workload":"slow","priority":8}', 400, "priority"),
            (b'{"workload":"slow","class":"best"}', 400, "class"),
            (b'{"workload":"slow","deadline_ms":0}', 400, "deadline_ms"),
            (b'{"workload":"../slow"}', 404, "slow"),
            (b'{"workload":"serve"}', 404, "serve"),
            (b'{"workload":"none"}', 404, "none"),
            (b'{"workload":"slow","request":{"ms":-1}}', 422, "ms"),
            (b'{"workload":"slow","request":{"x":1}}', 422, "x"),
            (b'{"workload":"rom","request":{"rom":{"path":"a"},"mods":[{"text":""}]}}', 403, "file"),
            (b'{"workload":"rom","request":{"rom":{"entry":"no"},"mods":[{"text":""}]}}', 422, "entry"),
            (b'{"workload":"slow","request":"' + b"x" * 5000 + b'"}', 413, ""),
        ]:
            answer = http.ask("POST", "/v1/jobs", body, {"content-type": "application/json"})
            check(answer.status == code, f"{body[:60]} {answer}")
            error = answer.json()["error"]
            check(word in error["message"], error)
            if code == 413:
                http = node.http()
        check(http.ask("POST", "/v1/jobs", b"x", {"content-type": "text/plain"}).status == 415)
        check(http.ask("PUT", "/v1/jobs", b"x").status == 405)
        check(http.ask("DELETE", "/v1/jobs").status == 405)
        check(http.get("/v1/jobs?limit=0").status == 400)
        for path in ("x", "00000000-1", "0" * 60, "%2e%2e", "-", "1-"):
            check(http.get("/v1/jobs/" + path).status == 404, path)
        job = start(http, slow(ms=100))
        check(http.get(f"/v1/jobs/{job}x").status == 404)
        check(http.get(f"/v1/jobs/{job}/nothing").status == 404)
        check(http.ask("POST", f"/v1/jobs/{job}", {}).status == 405)
        check(http.ask("DELETE", f"/v1/jobs/{job}/result").status == 405)
        check(http.ok("GET", "/v1/jobs").json()["jobs"][0]["id"] == job, "refused ones are not kept")
        check(len(http.ok("GET", "/v1/jobs").json()["jobs"]) == 1)


@case
def who_may():
    with Node(BRISK) as node:
        reader, nobody = node.http(READER), node.http(None)
        job = start(node.http(), slow(ms=50))
        check(reader.ask("POST", "/v1/jobs", slow(ms=1)).status == 403)
        check(reader.ask("DELETE", f"/v1/jobs/{job}").status == 403)
        check(reader.get(f"/v1/jobs/{job}").status == 200)
        check(reader.get("/v1/queue").status == 200)
        check(nobody.ask("POST", "/v1/jobs", slow(ms=1)).status == 401)
        check(nobody.ask("DELETE", f"/v1/jobs/{job}").status == 401)


@case
def a_failure_says_why():
    with Node(BRISK) as node:
        http = node.http()
        found = submit(http, slow(fail="no such luck", steps=2), 409, prefer="wait=20")
        error = found.json()["error"]
        check(error["message"] == "no such luck" and error["stage"] == "sleeping", error)
        check(error["details"] == {"why": [1, "two", None], "nested": {"x": True}}, error)
        state = http.ok("GET", found["location"]).json()
        check(state["status"] == "failed" and state["error"] == error, state)
        check(http.ask("GET", found["location"] + "/result").status == 409)


@case
def the_same_key_is_the_same_job():
    with Node(BRISK) as node:
        http, other = node.http(), node.http()
        first = submit(http, slow(ms=300), idempotency_key="k1").json()["id"]
        check(submit(http, slow(ms=300), idempotency_key="k1").json()["id"] == first)
        found = submit(other, slow(ms=300), 200, idempotency_key="k1", prefer="wait=20")
        check(found["location"].endswith(first))
        check(submit(http, slow(ms=300), 200, idempotency_key="k1")["location"].endswith(first), "also when it is over")
        refused = submit(http, slow(ms=301), 422, idempotency_key="k1").json()["error"]
        check(refused["code"] == "idempotency_key_reused", refused)
        check(submit(http, slow(ms=300), idempotency_key="k2").json()["id"] != first)
        check(http.ask("POST", "/v1/jobs", slow(), {"idempotency-key": "x" * 300}).status == 400)
        check(http.ask("POST", "/v1/jobs", {"workload": "none"}, {"idempotency-key": "k3"}).status == 404)
        check(http.ask("POST", "/v1/jobs", {"workload": "none"}, {"idempotency-key": "k3"}).status == 404)


@case
def cancel_waiting_and_running():
    with Node(BRISK, settings=["serve.jobs.running=1"]) as node:
        http = node.http()
        running = start(http, slow(ms=60000))
        check(is_in(http, running, "running"))
        waiting = start(http, slow(ms=60000))
        behind = start(http, slow(ms=60000))
        check(status(http, waiting)["position"] == 0 and status(http, behind)["position"] == 1)
        check(http.ok("DELETE", f"/v1/jobs/{waiting}").json()["status"] == "cancelled")
        check(status(http, behind)["position"] == 0)
        check(http.ask("GET", f"/v1/jobs/{waiting}/result").status == 410)
        check(http.get(f"/v1/jobs/{waiting}/trace").status == 404, "it did not run")
        http.ok("DELETE", f"/v1/jobs/{running}")
        check(is_in(http, running, "cancelled") and is_in(http, behind, "running"))
        http.ok("DELETE", f"/v1/jobs/{behind}")
        check(is_in(http, behind, "cancelled"))
        http.ok("DELETE", f"/v1/jobs/{behind}", status=204)
        check(http.get(f"/v1/jobs/{behind}").status == 404)
        check(http.ok("GET", "/v1/queue").json()["cancelled"] == 3)


@case
def deadlines():
    with Node(BRISK, settings=["serve.jobs.running=1"]) as node:
        http = node.http()
        running = start(http, slow(ms=60000))
        check(is_in(http, running, "running"))
        found = submit(http, slow(deadline_ms=100), 504, prefer="wait=20").json()
        check(found["status"] == "failed" and found["error"]["code"] == "BRISK_ERR_DEADLINE" and found["run_ns"] == 0, found)
        http.ok("DELETE", f"/v1/jobs/{running}")
        found = submit(http, slow(ms=60000, deadline_ms=100), 504, prefer="wait=20").json()
        check(found["error"]["code"] == "BRISK_ERR_DEADLINE" and found["run_ns"] > 0, found)
        check(http.ok("GET", "/v1/queue").json()["expired"] == 1)


@case
def clients_that_are_gone():
    with Node(BRISK, settings=["serve.jobs.running=1"]) as node:
        http = node.http()
        body = json.dumps(slow(ms=300)).encode()
        head = f"POST /v1/jobs HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {TOKEN}\r\nprefer: wait=60\r\n" f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n".encode()
        for sent in (len(head) + 10, len(head) + len(body)):
            for _ in range(3):
                with socket.create_connection(("127.0.0.1", node.port)) as one:
                    one.sendall((head + body)[:sent])
                    if sent == len(head) + len(body):
                        check(wait_until(lambda: len(http.ok("GET", "/v1/jobs").json()["jobs"]) > 0))
        check(wait_until(lambda: http.ok("GET", "/v1/queue").json()["succeeded"] >= 1))
        stream = Events(node.port, "/v1/jobs/" + start(http, slow(ms=500)) + "/events")
        check(stream.next()[0] == "progress")
        stream.close()
        check(wait_until(lambda: http.ok("GET", "/v1/queue").json()["running"] == 0))
        check(submit(http, slow(), 200, prefer="wait=20").body == b"")


@case
def a_stream_of_events():
    with Node(BRISK, settings=["serve.jobs.running=1"]) as node:
        http = node.http()
        blocker = start(http, slow(ms=60000))
        check(is_in(http, blocker, "running"))
        job = start(http, slow(ms=600, steps=6))
        two = [Events(node.port, f"/v1/jobs/{job}/events"), Events(node.port, f"/v1/jobs/{job}/events", ["last-event-id: 41"])]
        first = two[0].next()
        check(first[0] == "progress" and first[2]["status"] == "queued" and first[1] == "1", first)
        check(two[1].next()[1] == "42")
        http.ok("DELETE", f"/v1/jobs/{blocker}")
        for stream in two:
            seen = []
            while True:
                event = stream.next()
                seen.append(event)
                if event is None or event[0] == "end":
                    break
            check(seen[-1] is not None and seen[-1][2]["status"] == "succeeded", seen)
            check(stream.next() is None, "the stream ends")
            numbers = [int(event[1]) for event in seen]
            check(numbers == sorted(set(numbers)), numbers)
            done = [stage["items_done"] for event in seen[:-1] for stage in event[2].get("stages", []) if "items_done" in stage]
            check(any(0 < n < 6 for n in done), f"it was seen on its way: {done}")
        check(Events(node.port, f"/v1/jobs/{job}/events").next()[0] == "end", "also afterwards")
        check(Events(node.port, "/v1/jobs/00000000-1/events").status == 404)


@case
def the_queue_is_full():
    with Node(BRISK, settings=["serve.jobs.running=1", "serve.jobs.queue=3", "serve.jobs.client_queue=2"]) as node:
        http, other = node.http(), node.http()
        other.token = None
        jobs = [start(http, slow(ms=60000))]
        check(is_in(http, jobs[0], "running"))
        jobs += [start(http, slow(ms=60000)) for _ in range(2)]
        found = submit(http, slow(), 429)
        check(found.json()["error"]["code"] == "client_limit" and int(found["retry-after"]) >= 1, found)
        figures = http.ok("GET", "/v1/queue").json()
        check(figures["waiting"] == 2 and figures["refused_client"] == 1 and figures["running_max"] == 1, figures)
        for job in jobs:
            http.ok("DELETE", f"/v1/jobs/{job}")
        check(submit(http, slow(), 200, prefer="wait=20").body == b"")
    with Node(BRISK, settings=["serve.jobs.running=1", "serve.jobs.queue=1"]) as node:
        http = node.http()
        first = start(http, slow(ms=60000))
        check(is_in(http, first, "running"))
        second = start(http, slow(ms=60000))
        found = submit(http, slow(), 429)
        check(found.json()["error"]["code"] == "queue_full" and int(found["retry-after"]) >= 1, found)
        for job in (second, first):
            http.ok("DELETE", f"/v1/jobs/{job}")


@case
def a_heavy_job_starves_nobody():
    with Node(BRISK, settings=["serve.jobs.running=2"]) as node:
        http = node.http()
        heavy = [start(http, slow(ms=120000, class_="batch")) for _ in range(5)]
        check(is_in(http, heavy[0], "running"))
        for _ in range(50):
            check(submit(http, slow(ms=1), 200, prefer="wait=60").body == b"")
        check([status(http, job)["status"] for job in heavy] == ["running"] + ["queued"] * 4)
        figures = http.ok("GET", "/v1/queue").json()
        shown = {entry["class"]: entry for entry in figures["classes"]}
        check(shown["interactive"]["done"] == 50 and shown["batch"]["running"] == 1, shown)
        for job in reversed(heavy):
            http.ok("DELETE", f"/v1/jobs/{job}")


@case
def weights_quotas_and_classes():
    setting = "serve.workloads=[{name: slow, weight: 3, quota: 1, class: batch}, {name: rom, weight: 2}]"
    with Node(BRISK, settings=["serve.jobs.running=4", setting]) as node:
        http = node.http()
        jobs = [start(http, slow(ms=60000)) for _ in range(3)]
        check(is_in(http, jobs[0], "running"))
        check(status(http, jobs[0])["class"] == "batch")
        figures = http.ok("GET", "/v1/queue").json()
        shown = {entry["workload"]: entry for entry in figures["workloads"]}
        check(shown["slow"]["running"] == 1 and shown["slow"]["waiting"] == 2 and shown["slow"]["weight"] == 3, shown)
        check(shown["rom"]["weight"] == 2 and figures["running"] == 1, figures)
        for job in reversed(jobs):
            http.ok("DELETE", f"/v1/jobs/{job}")
        names = [entry["name"] for entry in http.ok("GET", "/v1/workloads").json()["workloads"]]
        check({"pkg", "rom"} <= set(names), names)
    for wrong in ("[{weight: 1}]", "[{name: a, weight: 0}]", "[{name: a, quota: x}]", "[{name: a}, {name: a}]", "[{name: a, class: best}]", "[{name: a, other: 1}]", "[a]"):
        try:
            with Node(BRISK, settings=["serve.workloads=" + wrong]):
                check(False, wrong)
        except RuntimeError as error:
            check("workloads" in str(error), error)


@case
def priorities():
    with Node(BRISK, settings=["serve.jobs.running=1"]) as node:
        http = node.http()
        blocker = start(http, slow(ms=60000))
        check(is_in(http, blocker, "running"))
        late = start(http, slow(priority=7))
        early = start(http, slow(priority=0))
        check(status(http, late)["position"] == 1 and status(http, early)["position"] == 0)
        http.ok("DELETE", f"/v1/jobs/{blocker}")
        check(is_in(http, late, "succeeded") and is_in(http, early, "succeeded"))


@case
def lists_and_what_is_kept():
    with Node(BRISK, settings=["serve.jobs.kept=5", "serve.jobs.kept_bytes=64KiB"]) as node:
        http = node.http()
        for i in range(8):
            submit(http, slow(class_="idle" if i % 2 else "batch"), 200, prefer="wait=20")
        jobs = http.ok("GET", "/v1/jobs").json()["jobs"]
        check(len(jobs) == 5 and [j["created_ms"] for j in jobs] == sorted((j["created_ms"] for j in jobs), reverse=True), jobs)
        check(len(http.ok("GET", "/v1/jobs?limit=2").json()["jobs"]) == 2)
        check({j["class"] for j in http.ok("GET", "/v1/jobs?class=idle&status=succeeded&workload=slow").json()["jobs"]} == {"idle"})
        check(http.ok("GET", "/v1/jobs?status=failed").json()["jobs"] == [])
        large = submit(http, slow(bytes=200000), 200, prefer="wait=20")
        check(len(large.body) == 200000)
        check(wait_until(lambda: http.get(large["location"]).status == 404), "more than all that is kept")
        found = http.get(large["location"]).json()["error"]["message"]
        check("submit it again" in found, found)
        check(http.ok("GET", "/v1/queue").json()["kept_bytes"] <= 65536)
    with Node(BRISK, settings=["serve.jobs.kept_for=1ms"]) as node:
        http = node.http()
        first = submit(http, slow(), 200, prefer="wait=20")
        time.sleep(0.01)
        submit(http, slow(), 200, prefer="wait=20")
        check(wait_until(lambda: http.get(first["location"]).status == 404))


@case
def entries_and_files():
    with tempfile.TemporaryDirectory(prefix="brisk-jobs-") as folder:
        os.mkdir(os.path.join(folder, "open"))
        with open(os.path.join(folder, "open", "a.rom"), "wb") as file:
            file.write(b"0123456789")
        with open(os.path.join(folder, "secret"), "wb") as file:
            file.write(b"secret")
        os.symlink("../secret", os.path.join(folder, "open", "link"))
        with Node(BRISK, settings=["serve.jobs.paths=" + os.path.join(folder, "open")]) as node:
            http = node.http()
            http.ok("PUT", "/v1/cache/patch", b"PATCH\0\0\x01\0\x02hiEOF", status=201)

            def patched(rom):
                job = {"workload": "rom", "request": {"rom": rom, "mods": [{"entry": "patch"}]}}
                return http.ask("POST", "/v1/jobs", job, {"prefer": "wait=20"})

            check(patched({"path": "a.rom"}).body == b"0hi3456789")
            for path in ("../secret", "link", "/etc/passwd", os.path.join(folder, "open", "a.rom")):
                check(patched({"path": path}).status == 403, path)
            check(patched({"path": "none"}).status == 422)


@case
def the_node_stops():
    node = Node(BRISK, settings=["serve.jobs.running=1", "serve.jobs.drain=20s"])
    http, answers = node.http(), []
    running = start(http, slow(ms=700))
    check(is_in(http, running, "running"))
    waiting = start(http, slow(ms=60000))

    def wait(job):
        answers.append((job, Http(node.port).ask("GET", f"/v1/jobs/{job}/result", fields={"prefer": "wait=60"}).status))

    threads = [threading.Thread(target=wait, args=(job,)) for job in (running, waiting)]
    stream = Events(node.port, f"/v1/jobs/{running}/events")
    check(stream.next()[0] == "progress")
    for thread in threads:
        thread.start()
    time.sleep(0.1)
    node.__exit__(None, None, None)
    for thread in threads:
        thread.join()
    check(dict(answers) == {running: 200, waiting: 410}, answers)
    node = Node(BRISK, settings=["serve.jobs.running=1", "serve.jobs.drain=10ms"])
    http = node.http()
    running = start(http, slow(ms=60000))
    check(is_in(http, running, "running"))
    node.__exit__(None, None, None)


@case
def another_run_of_the_node():
    with tempfile.TemporaryDirectory(prefix="brisk-jobs-") as folder:
        settings = ["cache.disk.path=" + folder]
        with Node(BRISK, settings=settings) as node:
            first = submit(node.http(), slow(ms=50, key="a", bytes=100), 200, prefer="wait=20")
        with Node(BRISK, settings=settings) as node:
            http = node.http()
            gone = http.get(first["location"])
            check(gone.status == 404 and "submit it again" in gone.json()["error"]["message"], gone)
            again = submit(http, slow(ms=50, key="a", bytes=100), 200, prefer="wait=20")
            check(again.body == first.body and again["etag"] == first["etag"])
            check(http.ok("GET", again["location"]).json()["answered_by"] == "disk")


@case
def a_batch():
    with Node(BRISK, settings=["serve.jobs.running=2"]) as node:
        http = node.http()
        http.ok("PUT", "/v1/cache/a", b"one", status=201)
        rom, patch = base64.b64encode(b"0123456789").decode(), base64.b64encode(b"PATCH\0\0\x01\0\x02hiEOF").decode()
        jobs = [slow(ms=400), {"workload": "none"}, {"workload": "rom", "request": {"rom": {"base64": rom}, "mods": [{"base64": patch}]}},
                slow(fail="no"), {"entry": "a"}, {"entry": "b"}, [], slow(bytes=3 << 20)]  # fmt: skip
        found = http.ok("POST", "/v1/batch", jobs)
        check(found["content-type"] == "application/x-ndjson", found)
        lines = [json.loads(line) for line in found.body.splitlines()]
        check(sorted(line["index"] for line in lines) == list(range(8)), lines)
        check(lines[-1]["index"] == 0, "the slow one is last")
        by = {line["index"]: line for line in lines}
        check([by[i]["status"] for i in range(8)] == [200, 404, 200, 409, 200, 404, 400, 200], by)
        check(base64.b64decode(by[2]["base64"]) == b"0hi3456789" and by[4]["base64"] == "b25l", by)
        check(by[3]["error"]["message"] == "no" and by[1]["error"]["code"] == "no_workload", by)
        check(by[7]["bytes"] == 3 << 20 and len(http.ok("GET", by[7]["url"]).body) == 3 << 20, by)
        check(http.ok("GET", "/v1/jobs/" + by[0]["job"]).json()["status"] == "succeeded")
        http.ok("PUT", "/v1/cache/large%2F1", b"x" * (4 << 20), status=201)
        lines = http.ok("POST", "/v1/batch", [{"entry": "large/1"}, {"entry": "a"}]).body.splitlines()
        by = {line["index"]: line for line in map(json.loads, lines)}
        check(by[1]["base64"] == "b25l" and by[0]["bytes"] == 4 << 20 and "base64" not in by[0], lines)
        check(http.ok("GET", by[0]["url"]).body == b"x" * (4 << 20), by[0])
        lines = http.ok("POST", "/v1/batch", [{"entry": "large/1"}] * 40).body.splitlines()
        codes = sorted(json.loads(line)["status"] for line in lines)
        check(codes == [200] * 16 + [413] * 24, "64 MiB of entries is all that a batch may bring")
        array = http.ok("POST", "/v1/batch", {"jobs": jobs[1:4]}, {"accept": "application/json"})
        check([line["index"] for line in sorted(array.json(), key=lambda line: line["index"])] == [0, 1, 2], array)
        check(http.ok("POST", "/v1/batch", [], {"accept": "application/json"}).json() == [])
        check(http.ok("POST", "/v1/batch", []).body == b"")
        for body, code in ((b"", 400), (b"{}", 400), (b"[", 400), (b"3", 400), (b"[" + b"{}," * 1000 + b"{}]", 413)):
            check(http.ask("POST", "/v1/batch", body).status == code, body[:10])
        check(http.ask("GET", "/v1/batch").status == 405)
        check(node.http(READER).ask("POST", "/v1/batch", []).status == 403)
        lines = http.ok("POST", "/v1/batch", [slow(ms=i % 3, bytes=i) for i in range(500)]).body.splitlines()
        check(sorted((json.loads(line)["index"], json.loads(line)["bytes"]) for line in lines) == [(i, i) for i in range(500)])


@case
def a_batch_whose_client_is_gone():
    with Node(BRISK, settings=["serve.jobs.running=1"]) as node:
        http = node.http()
        body = json.dumps([slow(ms=1), slow(ms=60000), slow(ms=60000)]).encode()
        with socket.create_connection(("127.0.0.1", node.port)) as one:
            one.sendall(b"POST /v1/batch HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer %s\r\ncontent-length: %d\r\n\r\n%s" % (TOKEN.encode(), len(body), body))
            check(b"200" in one.recv(65536))
            check(wait_until(lambda: [http.ok("GET", "/v1/queue").json()[k] for k in ("succeeded", "running")] == [1, 1]))
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # reset, not half closed
        check(wait_until(lambda: http.ok("GET", "/v1/queue").json()["cancelled"] == 2), "its jobs are cancelled")
        check(http.ok("GET", "/v1/queue").json()["succeeded"] == 1)


@case
def many_at_once():
    with Node(BRISK, settings=["serve.jobs.running=4"]) as node:
        failed = []

        def work(number):
            try:
                http = Http(node.port)
                for i in range(30):
                    job = slow(ms=i % 3, bytes=number, key=str(i % 5)) if i % 2 else slow(bytes=number)
                    check(len(submit(http, job, 200, prefer="wait=60").body) == number)
                    if i % 10 == 0:
                        job = submit(http, slow(ms=20)).json()["id"]
                        http.ask("DELETE", f"/v1/jobs/{job}")
                        http.ok("GET", "/v1/jobs")
                        http.ok("GET", "/v1/queue")
            except Exception as error:
                failed.append(error)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        check(not failed, failed)
        resp = Client(("127.0.0.1", node.port))
        check(resp.call("PING") == "PONG")
        metrics = resp.call("BRISK.METRICS")
        check(b"jobs_ended" in (metrics if isinstance(metrics, bytes) else str(metrics).encode()), metrics)


if __name__ == "__main__":
    sys.exit(run(sys.argv[3:]))
