#!/usr/bin/env python3
"""brisk bench load beside redis-benchmark (on brisk serve) and wrk (on nginx); prints JSON.

    bench_load BRISK [--seconds S] [--rounds N]

Server on processor 0, load on processor 1 (with one processor: both on it).  The tools take turns within each round,
so that what else the machine does hits all.  All are closed loops of 50 connections here, for that is what the peers
are: throughput, p50, p99, and the generator's own processor time for each request, medians of the rounds.

Then what only an open loop shows: the server is stopped for 300 ms in the middle of a run.  Many requests were due
then; a closed loop had 50 under way.

Without a peer its part is left out.
"""
import json
import os
import re
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

BRISK = sys.argv[1]
SECONDS = float(sys.argv[sys.argv.index("--seconds") + 1]) if "--seconds" in sys.argv else 2
ROUNDS = int(sys.argv[sys.argv.index("--rounds") + 1]) if "--rounds" in sys.argv else 3
USERS = 50
CPUS = sorted(os.sched_getaffinity(0))


def pin(cpu):
    return lambda: os.sched_setaffinity(0, {CPUS[min(cpu, len(CPUS) - 1)]})


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def start(command, port):
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=pin(0))
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return process
        except OSError:
            time.sleep(0.05)
    process.kill()
    sys.exit(f"bench_load: {command[0]} does not answer")


def run(command):
    """Output, and processor seconds of the load generator."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=pin(1), timeout=50, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return done.stdout, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def result(requests, rate, p50_us, p99_us, cpu):
    return {"per_second": rate, "p50_us": p50_us, "p99_us": p99_us, "generator_cpu_us": cpu / requests * 1e6}


def brisk(*words):
    out, cpu = run([BRISK, "bench", "load", *words, "--json", "--warmup", "0s", "-d", f"{SECONDS}s"])
    step = json.loads(out)["steps"][0]
    latency = step["latency_ns"]
    return result(step["answered"], step["throughput"], latency["p50"] / 1e3, latency["p99"] / 1e3, cpu)


def redis_benchmark(port, rate):
    out, cpu = run(["redis-benchmark", "-p", str(port), "-c", str(USERS), "-n", str(int(rate * SECONDS)), "-r", "100000",
                    "--csv", "GET", "key:__rand_int__"])
    row = out.strip().splitlines()[-1].replace('"', "").split(",")
    # name, rps, avg, min, p50, p95, p99, max in ms
    return result(rate * SECONDS, float(row[1]), float(row[4]) * 1e3, float(row[6]) * 1e3, cpu)


def wrk(url):
    out, cpu = run(["wrk", "-t1", f"-c{USERS}", f"-d{SECONDS:.0f}s", "--latency", url])
    unit = {"us": 1, "ms": 1e3, "s": 1e6}

    def quantile(name):
        match = re.search(rf"{name}%\s+([0-9.]+)(us|ms|s)", out)
        return float(match[1]) * unit[match[2]]

    requests = int(re.search(r"(\d+) requests in", out)[1])
    return result(requests, float(re.search(r"Requests/sec:\s+([0-9.]+)", out)[1]), quantile(50), quantile(99), cpu)


def medians(results):
    return {key: round(statistics.median(r[key] for r in results), 2) for key in results[0]}


def compare(ours, peer):
    """Interleaved, in turn first; medians, and the median of the ratios within rounds."""
    pairs = []
    for i in range(ROUNDS):
        if i % 2 == 0:
            a = ours()
            b = peer(a)
        else:
            b = peer(pairs[-1][0])
            a = ours()
        pairs.append((a, b))
    ratios = {key: round(statistics.median(a[key] / b[key] for a, b in pairs if b[key]), 3) for key in pairs[0][0]}
    return {"brisk": medians([a for a, _ in pairs]), "peer": medians([b for _, b in pairs]), "brisk_by_peer": ratios}


def stall(process, work):
    timer = threading.Timer(SECONDS / 2, process.send_signal, [signal.SIGSTOP])
    again = threading.Timer(SECONDS / 2 + 0.3, process.send_signal, [signal.SIGCONT])
    timer.start()
    again.start()
    done = work()
    again.join()
    return round(done["p99_us"])


def serve():
    port = free_port()
    server = start([BRISK, "serve", "--foreground", "--listen", f"127.0.0.1:{port}"], port)
    address = f"resp://127.0.0.1:{port}"
    run([BRISK, "bench", "load", address, "--rate", "50000", "-d", "2s", "-P", "16", "--command", "SET key:{n} {v}", "--json"])
    found = {}
    if shutil.which("redis-benchmark"):
        found["redis_benchmark"] = compare(lambda: brisk(address, "--users", str(USERS)),
                                           lambda a: redis_benchmark(port, a["per_second"]))
    rate = max(1000, int(brisk(address, "--users", str(USERS))["per_second"] * 0.3))
    found["rate"] = rate
    found["open_loop"] = brisk(address, "--rate", str(rate))
    found["stall_300_ms_p99_us"] = {"open_loop": stall(server, lambda: brisk(address, "--rate", str(rate)))}
    if shutil.which("redis-benchmark"):
        found["stall_300_ms_p99_us"]["redis_benchmark"] = stall(server, lambda: redis_benchmark(port, rate * 2.5))
    server.terminate()
    server.wait()
    return found


def nginx():
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if not program or not shutil.which("wrk"):
        return None
    folder = tempfile.mkdtemp(prefix="bench-load-")
    os.chmod(folder, 0o755)
    port = free_port()
    with open(f"{folder}/index.html", "w", encoding="ascii") as file:
        file.write("x" * 100)
    with open(f"{folder}/conf", "w", encoding="ascii") as file:
        file.write(f"daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error;\n"
                   "events { worker_connections 1024; }\n"
                   f"http {{ access_log off; keepalive_requests 1000000000; client_body_temp_path {folder}/b;\n"
                   f" proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u;\n"
                   f" scgi_temp_path {folder}/s; server {{ listen 127.0.0.1:{port}; root {folder}; }} }}\n")
    server = start([program, "-c", f"{folder}/conf"], port)
    url = f"http://127.0.0.1:{port}/index.html"
    found = compare(lambda: brisk(url, "--users", str(USERS)), lambda _: wrk(url))
    server.terminate()
    server.wait()
    shutil.rmtree(folder, ignore_errors=True)
    return found


print(json.dumps({"schema": 1, "seconds": SECONDS, "rounds": ROUNDS, "users": USERS, "processors": len(CPUS),
                  "resp": serve(), "http_wrk": nginx()}, indent=2))
