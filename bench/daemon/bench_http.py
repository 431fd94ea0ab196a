#!/usr/bin/env python3
"""HTTP/1.1 from the cache and from files beside nginx and h2o, in one interleaved run; prints JSON.

  bench_http BUILD [--rounds N] [--seconds S] [--sizes 1k,100k,10m] [--servers brisk-cache,...]

Every server has processor 0 and one worker, wrk processor 1 and 64 connections (8 for 10m).  A round asks each server for each
size once; figures are medians over rounds: answers a second, the server's processor time for one (utime + stime of all
its threads), wrk's median latency, and ratios to the best peer of the same run.  Servers that are not installed are
left out.
"""
import argparse
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

SIZES = {"1k": 1024, "100k": 102400, "10m": 10485760}
CONNECTIONS = {"1k": 64, "100k": 64, "10m": 8}
TICK = os.sysconf("SC_CLK_TCK")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(port):
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.02)
    raise RuntimeError("a server does not start")


def processor_seconds(pids):
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            words = file.read().rsplit(")", 1)[1].split()
        total += int(words[11]) + int(words[12])
    return total / TICK


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return [int(word) for word in file.read().split()]


class Server:
    """One that answers /1k, /100k, /10m below `prefix` at `port`."""

    def __init__(self, name, command, port, prefix="/"):
        self.name, self.port, self.prefix = name, port, prefix
        self.process = subprocess.Popen(["taskset", "-c", "0", *command], stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
        wait_for(port)
        time.sleep(0.2)

    def pids(self):
        return [self.process.pid, *children(self.process.pid)]

    def resident(self):
        pages = 0
        for pid in self.pids():
            with open(f"/proc/{pid}/statm", encoding="ascii") as file:
                pages += int(file.read().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def start_brisk(build, folder, name, settings):
    port = free_port()
    command = [f"{build}/src/cli/brisk"]
    for setting in settings:
        command += ["--set", setting]
    command += ["serve", "--listen", f"127.0.0.1:{port}", "--threads", "1", "--memory", "256MiB"]
    os.environ["BRISK_MODULE_PATH"] = f"{build}/src/daemon"
    server = Server(name, command, port)
    if name == "brisk-cache":
        server.prefix = "/v1/cache/"
        with socket.create_connection(("127.0.0.1", port)) as s:
            for size, count in SIZES.items():
                s.sendall(b"*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$%d\r\n" % (len(size), size.encode(), count)
                          + b"x" * count + b"\r\n")
                s.recv(100)
    return server


def start_nginx(folder):
    port = free_port()
    config = os.path.join(folder, "nginx.conf")
    with open(config, "w", encoding="ascii") as file:
        file.write(f"""daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/nginx.log;
events {{ worker_connections 1024; }}
http {{ access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000; open_file_cache max=100;
open_file_cache_valid 60s; default_type text/plain;
client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u;
scgi_temp_path {folder}/s;
server {{ listen 127.0.0.1:{port}; root {folder}/www; }} }}""")
    return Server("nginx", ["nginx", "-c", config, "-p", folder], port)


def start_h2o(folder):
    port = free_port()
    config = os.path.join(folder, "h2o.conf")
    with open(config, "w", encoding="ascii") as file:
        file.write(f"""num-threads: 1
listen: {{host: 127.0.0.1, port: {port}}}
hosts: {{default: {{paths: {{/: {{file.dir: {folder}/www}}}}}}}}
""")
    return Server("h2o", ["h2o", "-c", config], port)


def run_wrk(server, size, seconds):
    before = processor_seconds(server.pids())
    text = subprocess.run(
        ["taskset", "-c", "1", "wrk", "-t1", f"-c{CONNECTIONS[size]}", f"-d{seconds}s", "--latency",
         f"http://127.0.0.1:{server.port}{server.prefix}{size}"],
        stdout=subprocess.PIPE, check=True).stdout.decode()
    used = processor_seconds(server.pids()) - before
    count = int(re.search(r"(\d+) requests in", text).group(1))
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", text).group(1))
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    if bad is not None:
        raise RuntimeError(f"{server.name} {size}: {text}")
    median, unit = re.search(r"50%\s+([\d.]+)(us|ms|s)", text).groups()
    scale = {"us": 1.0, "ms": 1000.0, "s": 1e6}[unit]
    return {"per_second": rate, "processor_us": used / max(count, 1) * 1e6, "median_us": float(median) * scale}


def measure(servers, sizes, rounds, seconds):
    runs = {(server.name, size): [] for server in servers for size in sizes}
    for _ in range(rounds):
        for size in sizes:
            for server in servers:
                runs[server.name, size].append(run_wrk(server, size, seconds))
    return {size: {server.name: {key: round(statistics.median(run[key] for run in runs[server.name, size]), 3)
                                 for key in runs[server.name, size][0]} for server in servers}
            for size in sizes}


def add_ratios(figures):
    for by_server in figures.values():
        peers = [f for name, f in by_server.items() if not name.startswith("brisk")]
        for name, f in by_server.items():
            if name.startswith("brisk") and peers:
                f["rate_to_best_peer"] = round(f["per_second"] / max(p["per_second"] for p in peers), 3)
                f["processor_to_best_peer"] = round(
                    f["processor_us"] / min(p["processor_us"] for p in peers), 3)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--sizes", default="1k,100k,10m")
    parser.add_argument("--servers", default="brisk-cache,brisk-files,nginx,h2o")
    options = parser.parse_args()
    if shutil.which("wrk") is None:
        print("bench_http: wrk is not installed", file=sys.stderr)
        return 77
    with tempfile.TemporaryDirectory() as folder:
        os.mkdir(os.path.join(folder, "www"))
        os.chmod(folder, 0o755)
        for size, count in SIZES.items():
            with open(os.path.join(folder, "www", size), "wb") as file:
                file.write(b"x" * count)
        servers = []
        try:
            for name in options.servers.split(","):
                if name == "brisk-cache":
                    servers.append(start_brisk(options.build, folder, name, []))
                elif name == "brisk-files":
                    servers.append(start_brisk(options.build, folder, name, [
                        f"serve.static=[{{at: /, root: {folder}/www}}]"]))
                elif shutil.which(name) is not None:
                    servers.append((start_nginx if name == "nginx" else start_h2o)(folder))
            figures = measure(servers, options.sizes.split(","), options.rounds, options.seconds)
            add_ratios(figures)
            print(json.dumps({"schema": 1, "rounds": options.rounds, "seconds": options.seconds,
                              "figures": figures,
                              "resident": {s.name: s.resident() for s in servers}}, indent=1))
        finally:
            for server in servers:
                server.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
