#!/usr/bin/env python3
"""The reverse proxy beside nginx and HAProxy, from its cache and passing everything on; prints JSON.

  bench_proxy BUILD [--rounds N] [--seconds S]

The origin is an nginx beside wrk on processor 1, every proxy has processor 0 and one worker; 1 KB, 64 connections,
connections to the origin are kept.  Figures as bench_http's: medians of rounds, the proxy's processor time for an
answer (utime + stime), ratios to the best peer of the same kind in the same run.  What is not installed is left out.
"""
import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile

from bench_http import SIZES, Server, add_ratios, free_port, measure, start_brisk, wait_for


def nginx_config(folder, name, port, more, server):
    path = os.path.join(folder, f"{name}.conf")
    with open(path, "w", encoding="ascii") as file:
        file.write(f"""daemon off; worker_processes 1; pid {folder}/{name}.pid; error_log {folder}/{name}.log;
events {{ worker_connections 1024; }}
http {{ access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000; open_file_cache max=100;
open_file_cache_valid 60s; default_type text/plain;
client_body_temp_path {folder}/{name}-b; proxy_temp_path {folder}/{name}-p; fastcgi_temp_path {folder}/{name}-f;
uwsgi_temp_path {folder}/{name}-u; scgi_temp_path {folder}/{name}-s; {more}
server {{ listen 127.0.0.1:{port}; {server} }} }}""")
    return ["nginx", "-c", path, "-p", folder]


class Origin:
    """On processor 1, beside the load."""

    def __init__(self, folder):
        self.port = free_port()
        command = nginx_config(folder, "origin", self.port, "", f"root {folder}/www; add_header Cache-Control max-age=3600;")
        self.process = subprocess.Popen(["taskset", "-c", "1", *command], stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
        wait_for(self.port)

    def stop(self):
        self.process.terminate()
        self.process.wait()


def start_nginx(folder, name, origin):
    port = free_port()
    upstream = f"upstream o {{ server 127.0.0.1:{origin.port}; keepalive 128; keepalive_requests 1000000000; }}"
    cache = f"proxy_cache_path {folder}/{name}-cache keys_zone=z:10m;" if name == "nginx-cache" else ""
    use = "proxy_cache z; proxy_cache_valid 200 1h;" if cache else "proxy_cache off;"
    command = nginx_config(folder, name, port, cache + upstream,
                           f'location / {{ proxy_pass http://o; proxy_http_version 1.1; proxy_set_header Connection ""; {use} }}')
    return Server(name, command, port)


def start_haproxy(folder, origin):
    port = free_port()
    path = os.path.join(folder, "haproxy.cfg")
    with open(path, "w", encoding="ascii") as file:
        file.write(f"""global
  nbthread 1
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  http-reuse always
listen l
  bind 127.0.0.1:{port}
  server o 127.0.0.1:{origin.port}
""")
    return Server("haproxy-pass", ["haproxy", "-db", "-f", path], port)


def start(build, folder, origin):
    """Proxies with a cache, and proxies without."""
    os.environ["XDG_CACHE_HOME"] = folder
    mount = f"upstreams: ['http://127.0.0.1:{origin.port}']"
    cached = [start_brisk(build, folder, "brisk-cache-hit", [f"serve.proxy=[{{at: /, {mount}}}]"])]
    passed = [start_brisk(build, folder, "brisk-pass", [f"serve.proxy=[{{at: /, {mount}, cache: false}}]"])]
    cached.append(start_nginx(folder, "nginx-cache", origin))
    passed.append(start_nginx(folder, "nginx-pass", origin))
    if shutil.which("haproxy") is not None:
        passed.append(start_haproxy(folder, origin))
    return cached, passed


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=2)
    options = parser.parse_args()
    for program in ("wrk", "nginx"):
        if shutil.which(program) is None:
            print(f"bench_proxy: {program} is not installed", file=sys.stderr)
            return 77
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        os.mkdir(os.path.join(folder, "www"))
        with open(os.path.join(folder, "www", "1k"), "wb") as file:
            file.write(b"x" * SIZES["1k"])
        running = []
        try:
            running.append(Origin(folder))
            cached, passed = start(options.build, folder, running[0])
            running += cached + passed
            figures = {kind: measure(servers, ["1k"], options.rounds, options.seconds)["1k"]
                       for kind, servers in (("cached", cached), ("passed", passed))}
            add_ratios(figures)
            print(json.dumps({"schema": 1, "rounds": options.rounds, "seconds": options.seconds,
                              "figures": figures}, indent=1))
        finally:
            for one in reversed(running):
                one.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
