#!/usr/bin/env python3
"""`brisk metrics` from outside: its formats, a server's figures, StatsD, and a collector that understands OTLP.

    test_metrics_command.py BRISK FOLDER-OF-serve_lib
"""
import http.server
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

BRISK, LIB = sys.argv[1], sys.argv[2]
sys.path.insert(0, LIB)
import serve_lib  # noqa: E402

failures = 0


def check(good, words):
    global failures
    if not good:
        failures += 1
        print("FAIL", words, file=sys.stderr)


def run(*args, code=0):
    done = subprocess.run([BRISK, *args], capture_output=True, text=True, timeout=60, check=False)
    check(done.returncode == code, f"{args}: exit {done.returncode}: {done.stderr}")
    return done


def find(data, name, **labels):
    for metric in data["metrics"]:
        if metric["name"] == name and metric["labels"] == labels:
            return metric
    check(False, f"no metric {name} {labels}")
    return {"count": 0, "value": 0, "rates": {"1s": 0}}


def test_formats():
    out = run("metrics", "--json", "--interval", "1s").stdout
    data = json.loads(out)
    check(data["schema"] == 1, "schema")
    idle = find(data, "machine.cpu.time", state="idle")
    check(idle["kind"] == "counter" and idle["unit"] == "ns" and idle["count"] > 0, "idle")
    check(idle["rates"]["1s"] is not None, "a rate after the interval")
    check(0 <= find(data, "machine.cpu.busy")["value"] <= 1, "busy")
    check(find(data, "machine.memory", kind="total")["value"] > 1e6, "memory")
    text = run("metrics", "--prometheus").stdout
    check("# TYPE machine_cpu_time_seconds_total counter" in text, "prometheus")
    check(re.search(r'^machine_load\{minutes="1"\} [0-9.]+$', text, re.M), "load")
    if shutil.which("promtool"):
        done = subprocess.run(["promtool", "check", "metrics"], input=text, text=True,
                              capture_output=True, check=False)
        check(done.returncode == 0, f"promtool: {done.stdout}{done.stderr}")
    else:
        print("skipped: no promtool (Debian: prometheus)")
    check(run("metrics", "--openmetrics").stdout.endswith("# EOF\n"), "openmetrics")
    table = run("metrics", "--interval", "10ms").stdout
    check("machine.cpu.processors" in table and "{kind=total}" in table, "table")
    strict = [word for limit in ("excellent", "good", "acceptable", "poor")
              for word in ("--set", f"grade.resources.{limit}=1")]
    table = run(*strict, "metrics", "--interval", "10ms").stdout
    check(re.search(r"^grade: 0 unacceptable: .*memory 0 x", table, re.M),
          f"limits of grades are knobs: {table[-200:]}")
    lines = run("metrics", "--json", "--watch", "--interval", "20ms", "--count", "3").stdout
    check(len([json.loads(line) for line in lines.splitlines()]) == 3, "one object a line")


def test_words():
    check("statsd" in run("metrics", "nonsense", code=2).stderr, "the only argument")
    run("metrics", "--json", "--prometheus", code=2)
    run("metrics", "--listen", ":1", code=2)
    run("metrics", "--server", "nonsense", code=2)
    run("metrics", "--interval", "100000h", code=2)
    run("metrics", "--watch", "--interval", "0s", "--count", "2", code=2)
    run("metrics", "--otlp", "nonsense", code=2)
    run("metrics", "statsd", "--listen", "nonsense", code=2)
    port = serve_lib.free_port()
    check(str(port) in run("metrics", "--server", f"127.0.0.1:{port}", code=1).stderr, "nobody")
    run("metrics", "--password-file", "/nonexistent/x", "--server", "127.0.0.1:1", code=1)
    check("metrics" in run("help", "metrics").stdout, "help")
    with open("/dev/full", "w", encoding="ascii") as full:
        done = subprocess.run([BRISK, "metrics", "--json", "--interval", "10ms"], stdout=full,
                              stderr=subprocess.PIPE, check=False)
        check(done.returncode == 1, "a full device")


def test_server():
    server = serve_lib.Server(BRISK)
    client = server.client()
    for i in range(20):
        client.call("SET", f"key{i}", "value")
        client.call("GET", f"key{i}")
    client.call("GET", "missing")
    where = f"127.0.0.1:{server.port}"
    data = json.loads(run("metrics", "--json", "--interval", "10ms", "--server", where).stdout)
    check(find(data, "serve.keyspace_hits")["count"] == 20, "hits")
    check(find(data, "serve.keyspace_misses")["count"] == 1, "misses")
    check(find(data, "serve.keyspace_hits")["kind"] == "counter", "kind")
    check(find(data, "serve.used_memory")["unit"] == "bytes", "unit")
    server.stop()
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "password")
        with open(path, "w", encoding="ascii") as file:
            file.write("secret\n")
        server = serve_lib.Server(BRISK, ["--password-file", path])
        where = f"127.0.0.1:{server.port}"
        check("NOAUTH" in run("metrics", "--server", where, code=1).stderr, "without password")
        data = json.loads(run("metrics", "--json", "--interval", "10ms", "--server", where,
                              "--password-file", path).stdout)
        check(find(data, "serve.used_memory")["value"] > 0, "with password")
        server.stop()


def test_registry_of_a_server():
    server = serve_lib.Server(BRISK)
    client = server.client()
    for i in range(30):
        client.call("SET", f"key{i}", "value")
    where = f"127.0.0.1:{server.port}"
    out = run("metrics", "--json", "--watch", "--count", "2", "--interval", "50ms", "--server", where)
    lines = [json.loads(line) for line in out.stdout.splitlines()]
    times = [find(line, "serve.command.time", group="string") for line in lines]
    check([time["count"] for time in times] == [30, 30], f"histogram, and nothing twice: {times}")
    table = run("metrics", "--interval", "50ms", "--server", where).stdout.splitlines()
    check(re.match(r"grade: \d+ [a-z]+: slowest group's p99 100 x 0\.\d+, errors ", table[-1]),
          f"the grade and what it is made of: {table[-1]}")
    check(0 < times[0]["p50"] <= times[0]["p99"] <= times[0]["max"], "quantiles")
    check(find(lines[0], "serve.command.calls", command="set")["count"] == 30, "calls")
    check(find(lines[0], "serve.up")["value"] == 1, "up")
    text = run("metrics", "--prometheus", "--server", where).stdout
    check('serve_command_time_seconds_bucket{group="string",le="+Inf"} 30' in text, "buckets")
    if shutil.which("promtool"):
        done = subprocess.run(["promtool", "check", "metrics"], input=text, text=True,
                              capture_output=True, check=False)
        check(done.returncode == 0, f"promtool: {done.stdout}{done.stderr}")
    server.stop()


def test_budgets_of_a_server():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "budgets.yaml")
        with open(path, "w", encoding="ascii") as file:
            file.write("budgets:\n"
                       "  - {name: slow, metric: serve.command.time, labels: {group: string},"
                       " statistic: p99, critical: 1ns, minimum_events: 5, for: 0s}\n"
                       "  - {name: errors, metric: serve.commands, bad: serve.errors,"
                       " statistic: error_rate, critical: 90%, minimum_events: 5, for: 0s}\n")
        server = serve_lib.Server(BRISK)
        client = server.client()
        for i in range(100):
            client.call("NOPE")  # before anybody watched: in no window
        where = f"127.0.0.1:{server.port}"
        env = {**os.environ, "XDG_DATA_HOME": folder}

        def watch(duration):
            return subprocess.Popen([BRISK, "budget", "watch", "--server", where, "--duration",
                                     duration, path], env=env, text=True,
                                    stdout=subprocess.PIPE, stderr=subprocess.PIPE)

        watching = watch("2500ms")
        while watching.poll() is None:
            client.call("SET", "key", "value")
            time.sleep(0.05)
        out, err = watching.communicate()
        check(watching.returncode == 1, f"exit {watching.returncode}: {err}")
        check(out.count("firing: slow: ") == 1, f"one alert, told once: {out}")
        check("firing: errors" not in out, "what was before the watch is in no window")
        check("go on" not in err, "the first one")
        watching = watch("1200ms")
        out, err = watching.communicate()
        check("2 budgets go on from the last watch" in err, f"restored: {err}")
        check("firing" not in out, "an alert that goes on is not told as new")
        server.stop()
        watching = watch("2500ms")
        out, err = watching.communicate()
        check(err.count(str(server.port)) == 1, f"gone, told once: {err}")


def serve_once(answer):
    """The port of somebody who gives any question the same answer."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(4)

    def loop():
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            peer.recv(1000)
            try:
                peer.sendall(answer)
            except OSError:
                pass
            peer.close()

    threading.Thread(target=loop, daemon=True).start()
    return listener.getsockname()[1]


def info_and(text):
    """A brisk's INFO, and what it says when it is asked for its metrics."""
    info = b"# Server\r\nbrisk_version:0.1.0\r\n"
    return b"$%d\r\n%s\r\n$%d\r\n%s\r\n" % (len(info), info, len(text), text)


def test_hostile_servers():
    for answer in (b"", b"$", b"$-1\r\n", b"$99999999999\r\n", b"+OK\r\n", b"-ERR \x1b[31m\r\n",
                   b"$10\r\nab", b"\n", b"x" * 2000000, b"$5\r"):
        done = run("metrics", "--server", f"127.0.0.1:{serve_once(answer)}", code=1)
        check("\x1b" not in done.stderr, "an escape from a server")
    odd = b"# x\r\na:1\r\nb c:2\r\n:3\r\nlong" + b"g" * 5000 + b":1\r\nd:nan\r\ne:0x10\r\nf:-1.5\r\ntotal_g:-1\r\n"
    port = serve_once(b"$%d\r\n%s\r\n" % (len(odd), odd))
    data = json.loads(run("metrics", "--json", "--interval", "10ms", "--server",
                          f"127.0.0.1:{port}").stdout)
    names = {m["name"] for m in data["metrics"] if m["name"].startswith("serve.")}
    check(names == {"serve.a", "serve.f", "serve.up"}, f"odd lines: {names}")
    for text in (b"", b"nonsense", b"{", b"[1]", b'{"metrics": 3}', b'{"metrics": [' + b"[" * 5000):
        run("metrics", "--server", f"127.0.0.1:{serve_once(info_and(text))}", code=1)
    text = (b'{"metrics": [{"name": "machine.load1", "kind": "gauge", "value": 9999},'
            b'{"name": "serve.g", "kind": "gauge", "value": "x"}, 7, {"name": "serve.\\u001b[0m",'
            b'"kind": "gauge", "value": 1}, {"name": "serve.h", "kind": "histogram", "unit": "ns",'
            b'"labels": {"a": [1]}}, {"name": "serve.i", "kind": "histogram", "unit": "ns",'
            b'"buckets": [5, 2, 4, 1, 18446744073709551615, 3, 9, -1, 8]},'
            b'{"name": "serve.c", "kind": "counter", "count": -4}]}')
    port = serve_once(info_and(text))
    out = run("metrics", "--json", "--server", f"127.0.0.1:{port}").stdout
    mine = {m["name"]: m for m in json.loads(out)["metrics"]}
    check(mine["serve.g"]["value"] is None, "no number")
    check(mine["serve.i"]["count"] == 6, "values up to what is none")
    check("serve.c" not in mine and "serve.h" not in mine and "\x1b" not in out, "left out")
    check(mine.get("machine.load1", {}).get("value") != 9999, "only serve.*")


def test_statsd():
    process = subprocess.Popen([BRISK, "metrics", "statsd", "--listen", "127.0.0.1:0", "--json",
                                "--prefix", "app.", "--interval", "50ms"],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    line = process.stderr.readline()
    port = int(re.search(r"port (\d+)", line).group(1))
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sender.sendto(b"orders:3|c|#shop:north\ntook:12|ms\nnonsense", ("127.0.0.1", port))
    sender.sendto(b"orders:4|c|#shop:north", ("127.0.0.1", port))
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    check(process.returncode == 0, f"statsd: {err}")
    data = json.loads(out)
    check(find(data, "app.orders", shop="north")["count"] == 7, "orders")
    check(find(data, "app.took")["max"] == 12000000, "took")
    check(find(data, "statsd.bad")["count"] == 1, "bad")


class Collector(http.server.BaseHTTPRequestHandler):
    """Keeps what is posted as OTLP; checks what a collector would refuse."""

    posts: list = []
    status = 200

    def do_POST(self):  # noqa: N802
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.posts.append((self.path, self.headers["Content-Type"], json.loads(body)))
        self.send_response(self.status)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_):
        pass


def check_point(kind, point):
    check(point["timeUnixNano"].isdigit() and isinstance(point["attributes"], list), "a point")
    for attribute in point["attributes"]:
        check(isinstance(attribute["value"]["stringValue"], str), "an attribute")
    if kind == "exponentialHistogram":
        counts = [int(count) for count in point["positive"]["bucketCounts"]]
        check(int(point["count"]) == sum(counts) + int(point["zeroCount"]), "sum of buckets")
    else:
        check(("asInt" in point) != ("asDouble" in point), "one value")


def test_otlp():
    collector = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=collector.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{collector.server_port}"
    run("metrics", "--watch", "--count", "2", "--interval", "20ms", "--otlp", url)
    check(len(Collector.posts) == 2, "two rounds")
    path, content_type, body = Collector.posts[0]
    check(path == "/v1/metrics" and content_type == "application/json", f"{path} {content_type}")
    metrics = body["resourceMetrics"][0]["scopeMetrics"][0]["metrics"]
    names = {metric["name"] for metric in metrics}
    check({"machine.cpu.time", "machine.memory"} <= names, "names")
    for metric in metrics:
        kinds = [kind for kind in ("sum", "gauge", "exponentialHistogram") if kind in metric]
        check(len(kinds) == 1, "one kind")
        for point in metric[kinds[0]]["dataPoints"]:
            check_point(kinds[0], point)
    Collector.status = 503
    check("503" in run("metrics", "--interval", "10ms", "--otlp", url, code=1).stderr, "503")
    collector.shutdown()


for test in (test_formats, test_words, test_server, test_registry_of_a_server,
             test_budgets_of_a_server, test_hostile_servers, test_statsd, test_otlp):
    test()
print("failed" if failures else "passed", failures)
sys.exit(1 if failures else 0)
