#!/usr/bin/env python3
"""`brisk bench load` from outside: servers that stall, fail, lie, go away, or have a knee.

    test_load.py BRISK
"""
import json
import socket
import subprocess
import sys
import threading
import time

BRISK = sys.argv[1]
failures = 0


def check(good, words):
    global failures
    if not good:
        failures += 1
        print("FAIL", words, file=sys.stderr)


def run(*args, code=0):
    done = subprocess.run([BRISK, "bench", "load", *args], capture_output=True, text=True, timeout=60,
                          check=False)
    check(done.returncode == code, f"{args}: exit {done.returncode}: {done.stderr}")
    return done


def load(*args, code=0):
    return json.loads(run("--json", "--warmup", "0s", *args, code=code).stdout or '{"steps": [{}]}')


class Server:
    """A thread for each connection; `serve(connection, number)` is the test's."""

    def __init__(self, serve):
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self.socket.getsockname()[1]
        self.count = 0
        self.serve = serve
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            connection, _ = self.socket.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.count += 1
            threading.Thread(target=self.one, args=(connection, self.count), daemon=True).start()

    def one(self, connection, number):
        try:
            self.serve(connection, number)
        except OSError:
            pass
        connection.close()


def http_server(answer):
    """Each request has an end that is seen; `answer(head)` gives the bytes."""

    def serve(connection, number):
        data = b""
        while True:
            while b"\r\n\r\n" not in data:
                more = connection.recv(65536)
                if not more:
                    return
                data += more
            head, data = data.split(b"\r\n\r\n", 1)
            given = answer(head)
            if given is None:
                return
            connection.sendall(given)

    return Server(serve)


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def test_stall():
    """A stall of 0.5 s: open loop sees it in many requests, closed loop in one for each connection."""
    began = [0.0]

    def answer(_head):
        now = time.monotonic()
        if began[0] == 0:
            began[0] = now
        if 0.5 < now - began[0] < 1.0:
            time.sleep(began[0] + 1.0 - now)
        return OK

    step = load(f"http://127.0.0.1:{http_server(answer).port}/", "-r", "200", "-c", "4", "-d", "2s")["steps"][0]
    check(step["answered"] == 400, f"all of them: {step}")
    # a quarter of them were due in the stall, evenly spread over its 500 ms
    check(step["latency_ns"]["p90"] > 200e6, f"open loop: {step['latency_ns']}")
    began[0] = 0.0
    step = load(f"http://127.0.0.1:{http_server(answer).port}/", "-u", "2", "--think", "5ms", "-d", "2s")["steps"][0]
    check(step["latency_ns"]["p90"] < 200e6, f"closed loop hides it: {step['latency_ns']}")
    check(step["latency_ns"]["max"] > 400e6, "but in the largest")


def test_errors():
    count = [0]

    def answer(_head):
        count[0] += 1
        if count[0] % 4 == 0:
            return b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"
        if count[0] % 10 == 1:
            return None  # closes
        return OK

    step = load(f"http://127.0.0.1:{http_server(answer).port}/", "-r", "400", "-c", "1", "-d", "1s")["steps"][0]
    errors = step["errors"]
    check(errors["refused"] > 20 and errors["closed"] > 5, f"apart: {step}")
    total = step["answered"] + sum(errors.values()) + step["timeouts"] + step["unsent"]
    check(total == 400, f"each is counted once: {total} {step}")
    check(step["first_error"], "the first one's words")

    def silent(connection, _number):
        connection.recv(100)
        time.sleep(3)

    step = load(f"http://127.0.0.1:{Server(silent).port}/", "-r", "20", "-c", "2", "-d", "400ms", "--timeout", "150ms",
                code=1)["steps"][0]
    check(step["timeouts"] >= 2 and step["answered"] == 0, f"timeouts: {step}")


def test_hostile():
    for bad in (b"SSH-2.0-x\r\n", b"HTTP/1.1 200 OK\r\n" + b"x" * 100000, b"\x00" * 9000,
                b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"):
        step = load(f"http://127.0.0.1:{http_server(lambda _h, b=bad: b).port}/", "-r", "50", "-c", "2", "-d", "60ms", "--timeout", "50ms",
                    code=0 if b"okHTTP" in bad else 1)["steps"][0]
        check(step["errors"]["protocol"] > 0, f"{bad[:20]}: {step}")
    for bad in (b"HTTP/1.1\r\n", b"$99999999999\r\n", b"*-5\r\n", b":1\r\n:2\r\n"):
        step = load(f"resp://127.0.0.1:{http_server_any(bad).port}", "-r", "50", "-c", "2", "-d", "60ms", "--timeout", "50ms",
                    code=0 if b":1" in bad else 1)["steps"][0]
        check(step["errors"]["protocol"] > 0, f"{bad[:20]}: {step}")


def http_server_any(given):
    def serve(connection, _number):
        while connection.recv(65536):
            connection.sendall(given)

    return Server(serve)


def test_keys_differ():
    seen = {}

    def serve(connection, number):
        while True:
            data = connection.recv(65536)
            if not data:
                return
            seen.setdefault(number, []).extend(line for line in data.split(b"\r\n") if line.startswith(b"key:"))
            connection.sendall(b"+OK\r\n" * data.count(b"GET"))

    step = load(f"resp://127.0.0.1:{Server(serve).port}", "-r", "400", "-c", "4", "-P", "4", "-d", "500ms")["steps"][0]
    check(step["answered"] == 200 and len(seen) == 4, f"all connections: {step}")
    check(len({tuple(keys[:10]) for keys in seen.values()}) == 4, "keys of their own")
    step = load(f"resp://127.0.0.1:{http_server_any(b'$-1' + bytes([13, 10])).port}", "-r", "100", "-c", "1", "-d",
                "200ms")["steps"][0]
    check(step["nulls"] == 20, f"nulls: {step}")
    check("errors 100 x" in step["grade"]["text"] and "unknown: response time p99" in step["grade"]["text"],
          f"a grade of what is known, without a p99 of 20 answers: {step['grade']}")


def test_knee():
    """A server that needs 4 ms for each request, one after the other: its knee is at 250 a second."""
    lock = threading.Lock()
    next_free = [0.0]

    def answer(_head):
        with lock:
            next_free[0] = max(next_free[0], time.monotonic()) + 0.004
            until = next_free[0]
        time.sleep(max(0.0, until - time.monotonic()))
        return OK

    report = load(f"http://127.0.0.1:{http_server(answer).port}/", "--ramp", "60..2000", "--steps", "5", "-c", "16", "-d",
                  "500ms", "--timeout", "300ms", "--p99", "200ms")
    knee = report["knee"]
    check(knee["found"] and 60 < knee["bad"] < 500, f"knee: {knee} {[(s['rate'], s['throughput']) for s in report['steps']]}")


def test_words():
    check("remote-ok" in run("http://192.0.2.1/", code=2).stderr, "another machine")
    check("refused" in run("http://127.0.0.1:1/", code=1).stderr, "refused")
    for args in (["ftp://x"], ["http://127.0.0.1/", "--ramp", "5"], ["http://127.0.0.1/", "--ramp", "..5"],
                 ["http://127.0.0.1/", "--ramp", "x..5"], ["http://127.0.0.1/", "--ramp", "5..6x"], ["http://127.0.0.1/", "--ramp", "10..5"],
                 ["http://127.0.0.1/", "--users", "1", "--rate", "1"], ["http://127.0.0.1/", "--command", "GET x"],
                 ["resp://127.0.0.1", "--body", "x"], ["resp://127.0.0.1", "--command", "GET {q}"],
                 ["resp://127.0.0.1", "--command", "GET 'x"], ["http://127.0.0.1/", "--header", "a\r\nb: c"],
                 ["http://127.0.0.1/", "--duration", "2h"], ["http://127.0.0.1/", "--distribution", "normal"]):
        run(*args, code=2)
    text = run(f"http://127.0.0.1:{http_server(lambda _h: OK).port}/", "-r", "500", "-d", "400ms", "--warmup", "0s").stdout
    check("200 of 200" in text and "from when a request was due" in text and "generator" in text, text)


# They wait more than they work, so all wait at once.
tests = [threading.Thread(target=test)
         for test in (test_words, test_stall, test_errors, test_hostile, test_keys_differ, test_knee)]
for thread in tests:
    thread.start()
for thread in tests:
    thread.join()
sys.exit(1 if failures else 0)
