#!/usr/bin/env python3
"""HTTP/2, plain and over TLS, beside h2o and nginx, in one interleaved run; prints JSON.

  bench_http2 BUILD [--rounds N] [--requests N] [--sizes 1k,100k] [--tls no,yes]

Servers have processor 0 and one worker, h2load processor 1, 8 connections and 32 requests at once on each.  A round
asks each server for each size once; figures are medians over rounds: answers a second, the server's processor time
for one (utime + stime), and ratios to the best peer of the same run.  brisk answers from its cache, the others from
files.  Servers that are not installed are left out.
"""
import argparse
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile

from bench_http import Server, free_port, processor_seconds

SIZES = {"1k": 1024, "100k": 102400}


def certificate(folder):
    pem = [os.path.join(folder, name) for name in ("cert.pem", "key.pem")]
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-days", "2", "-subj", "/CN=localhost", "-out", pem[0], "-keyout", pem[1]],
                   capture_output=True, check=True)
    return pem


def start_brisk(build, pem):
    port = free_port()
    command = [f"{build}/src/cli/brisk"]
    for setting in [f"serve.tls_cert={pem[0]}", f"serve.tls_key={pem[1]}", "serve.supervisor=false"]:
        command += ["--set", setting]
    command += ["serve", "--listen", f"127.0.0.1:{port}", "--threads", "1", "--memory", "256MiB"]
    os.environ["BRISK_MODULE_PATH"] = f"{build}/src/daemon"
    server = Server("brisk", command, port)
    with socket.create_connection(("127.0.0.1", port)) as s:
        for name, size in SIZES.items():
            s.sendall(b"*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$%d\r\n" % (len(name), name.encode(), size) + b"x" * size
                      + b"\r\n")
            s.recv(100)
    server.urls = {tls: f"{'https' if tls else 'http'}://127.0.0.1:{port}/v1/cache/" for tls in (False, True)}
    return server


def peer_urls(ports):
    return {tls: f"{'https' if tls else 'http'}://127.0.0.1:{ports[tls]}/" for tls in (False, True)}


def start_h2o(folder, pem):
    ports = {False: free_port(), True: free_port()}
    config = os.path.join(folder, "h2o.conf")
    with open(config, "w", encoding="ascii") as file:
        file.write(f"""num-threads: 1
http2-max-concurrent-requests-per-connection: 256
listen: {{host: 127.0.0.1, port: {ports[False]}}}
listen: {{host: 127.0.0.1, port: {ports[True]}, ssl: {{certificate-file: {pem[0]}, key-file: {pem[1]}}}}}
hosts: {{default: {{paths: {{/: {{file.dir: {folder}/www}}}}}}}}
""")
    server = Server("h2o", ["h2o", "-c", config], ports[True])
    server.urls = peer_urls(ports)
    return server


def start_nginx(folder, pem):
    ports = {False: free_port(), True: free_port()}
    config = os.path.join(folder, "nginx.conf")
    with open(config, "w", encoding="ascii") as file:
        file.write(f"""daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/nginx.log;
events {{ worker_connections 1024; }}
http {{ access_log off; keepalive_requests 1000000000; open_file_cache max=100; open_file_cache_valid 60s;
default_type text/plain; ssl_certificate {pem[0]}; ssl_certificate_key {pem[1]};
client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u;
scgi_temp_path {folder}/s;
server {{ listen 127.0.0.1:{ports[False]} http2; listen 127.0.0.1:{ports[True]} ssl http2; root {folder}/www; }} }}""")
    server = Server("nginx", ["nginx", "-c", config, "-p", folder], ports[True])
    server.urls = peer_urls(ports)
    return server


def run_h2load(server, tls, size, requests):
    before = processor_seconds(server.pids())
    text = subprocess.run(["taskset", "-c", "1", "h2load", "-t1", "-c8", "-m32", f"-n{requests}",
                           server.urls[tls] + size], stdout=subprocess.PIPE, check=True).stdout.decode()
    used = processor_seconds(server.pids()) - before
    good = re.search(r"status codes: (\d+) 2xx", text)
    if good is None or int(good.group(1)) != requests:
        raise RuntimeError(f"{server.name}: not all answers were good:\n{text}")
    return float(re.search(r", ([\d.]+) req/s", text).group(1)), used / requests * 1e6


def summarize(runs):
    medians = {name: [statistics.median(v) for v in zip(*values)] for name, values in runs.items()}
    peers = [v for name, v in medians.items() if name != "brisk"]
    result = {name: {"per_second": round(v[0]), "cpu_us": round(v[1], 3)} for name, v in medians.items()}
    if peers:
        result["brisk"]["rate_ratio"] = round(medians["brisk"][0] / max(p[0] for p in peers), 3)
        result["brisk"]["cpu_ratio"] = round(medians["brisk"][1] / min(p[1] for p in peers), 3)
    return result


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=400000)
    parser.add_argument("--sizes", default="1k,100k")
    parser.add_argument("--tls", default="no,yes")
    args = parser.parse_args()
    missing = [tool for tool in ("h2load", "taskset", "openssl") if shutil.which(tool) is None]
    if missing:
        print(f"not installed: {', '.join(missing)}", file=sys.stderr)
        return 77
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        os.mkdir(f"{folder}/www")
        for name, size in SIZES.items():
            with open(f"{folder}/www/{name}", "wb") as file:
                file.write(b"x" * size)
        pem = certificate(folder)
        servers = []
        try:
            servers.append(start_brisk(os.path.abspath(args.build), pem))
            servers += [start(folder, pem) for name, start in (("h2o", start_h2o), ("nginx", start_nginx))
                        if shutil.which(name) is not None]
            for size in args.sizes.split(","):
                requests = args.requests if size == "1k" else max(args.requests // 20, 1)
                for tls in args.tls.split(","):
                    runs = {server.name: [] for server in servers}
                    for _ in range(args.rounds):
                        for server in servers:
                            runs[server.name].append(run_h2load(server, tls == "yes", size, requests))
                    results[f"{size}{' tls' if tls == 'yes' else ''}"] = summarize(runs)
        finally:
            for server in servers:
                server.stop()
    print(json.dumps({"bench": "http2", "rounds": args.rounds, "results": results}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
