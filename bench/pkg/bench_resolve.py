#!/usr/bin/env python3
"""A project resolved as a whole process, by brisk and its peers, against one registry on loopback.

    bench_resolve [--docs ARCHIVE] [--project DIR] [--peers bun,pnpm] [--rounds N] [--delays 0,20]
                  [--modes cold,warm,offline,relock]

    cold     no cache, no lock                   offline  a cache, no lock, no network allowed
    warm     a cache, no lock                    relock   a cache and the lock of before

The registry is bench_registry: the same documents, ETags, gzip and delay for all, TLS with HTTP/2 or
1.1 as a program asks for, plain HTTP/1.1 for those that are better off with it.  Peers are looked for in
the folders of $BRISK_PEERS (like $PATH), then on $PATH; who is missing is left out and named.

Every round runs every program once, in an order that rotates, so that a disturbance of the machine
hits all of them; npm, which takes many seconds, runs in the first --slow-rounds only.  Wall time
is from spawn to the end of wait4; processor time and peak memory are what the kernel counted, for
the program and the children that it waited for.  Prints one JSON object: medians and ratios to bun.
"""
import argparse
import json
import os
import pathlib
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
CORPUS = pathlib.Path(os.environ.get("BRISK_CORPUS", ROOT.parent / "shared" / "corpus")) / "pkg"
LOCKS = ["package-lock.json", "pnpm-lock.yaml", "bun.lock", "yarn.lock"]
SLOW = {"npm"}
LIMIT_S = 120


def common(base):
    return ["--registry", base]


PEERS = {  # name: arguments by mode, and the scheme that it does best with
    "brisk": {"scheme": "https", "args": lambda mode, base, room:
              ["pkg", "resolve", "."] + (["--offline"] if mode == "offline" else [])},
    "bun": {"scheme": "http", "args": lambda mode, base, room:
            ["install", "--lockfile-only", "--ignore-scripts", "--no-progress"] + common(base)
            + ["--cache-dir", str(room / "cache")]
            + (["--offline"] if mode == "offline" else [])},
    "pnpm": {"scheme": "http", "args": lambda mode, base, room:
             ["install", "--lockfile-only", "--ignore-scripts", "--no-frozen-lockfile"]
             + common(base) + ["--cache-dir", str(room / "cache"), "--store-dir",
                               str(room / "store")]
             + (["--offline"] if mode == "offline" else [])},
    "npm": {"scheme": "http", "args": lambda mode, base, room:
            ["install", "--package-lock-only", "--ignore-scripts", "--no-audit", "--no-fund"]
            + common(base) + ["--cache", str(room / "cache")]
            + (["--offline"] if mode == "offline" else [])},
}


def find_program(name, brisk):
    if name == "brisk":
        return brisk if brisk and os.access(brisk, os.X_OK) else None
    path = os.pathsep.join(filter(None, [os.environ.get("BRISK_PEERS"), os.environ.get("PATH")]))
    return shutil.which(name, path=path)


class Registry:
    """bench_registry with its own certificate, until it is stopped."""

    def __init__(self, program, docs, delay_ms, cpu):
        self.ca = tempfile.NamedTemporaryFile(suffix=".pem")
        command = [program, "--docs", str(docs), "--signatures", "--until-stdin-closes", "--ca",
                   self.ca.name, "--delay", str(delay_ms)]
        command += ["--cpu", str(cpu)] if cpu is not None else []
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True)
        line = self.process.stdout.readline().split()
        if line[:2] != ["ready", "at"]:
            sys.exit("bench_resolve: the registry does not start")
        self.base = {"https": line[2], "http": line[3]}

    def requests(self):
        with urllib.request.urlopen(self.base["http"] + "-/stats") as answer:
            return json.load(answer)["requests"]

    def stop(self):
        self.process.stdin.close()
        self.process.wait()


def environment(name, room, registry):
    env = {k: v for k, v in os.environ.items() if not k.lower().startswith("npm_config_")}
    for variable in ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy"]:
        env.pop(variable, None)
    env.update(HOME=str(room / "home"), XDG_CACHE_HOME=str(room / "cache"), CI="1",
               XDG_CONFIG_HOME=str(room / "home"), XDG_DATA_HOME=str(room / "home"),
               BUN_INSTALL_CACHE_DIR=str(room / "cache"), NODE_EXTRA_CA_CERTS=registry.ca.name,
               NO_UPDATE_NOTIFIER="1", npm_config_update_notifier="false")
    env.pop("BRISK_CACHE_DIR", None)
    return env


def run(name, program, mode, room, registry):
    """One run; None when it fails."""
    base = registry.base[PEERS[name]["scheme"]]
    args = [program] + PEERS[name]["args"](mode, base, room)
    log = open(room / "log", "wb")
    before = registry.requests()
    begin = time.perf_counter_ns()
    process = subprocess.Popen(args, cwd=room / "project", env=environment(name, room, registry),
                               stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    guard = threading.Timer(LIMIT_S, process.kill)
    guard.start()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter_ns() - begin
    guard.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    log.close()
    if process.returncode != 0:
        text = (room / "log").read_text(errors="replace")[-300:]
        print(f"bench_resolve: {name} {mode} failed ({process.returncode}): {text}",
              file=sys.stderr)
        return None
    return {"wall_ms": wall / 1e6, "cpu_ms": (usage.ru_utime + usage.ru_stime) * 1e3,
            "peak_mb": usage.ru_maxrss / 1024, "requests": registry.requests() - before}


def prepare(room, project, registry, name, mode):
    """The folder as the mode wants it: what a run before has left, or less."""
    target = room / "project"
    target.mkdir(parents=True, exist_ok=True)
    (room / "home").mkdir(exist_ok=True)
    base = registry.base[PEERS[name]["scheme"]]
    (target / ".npmrc").write_text(f"registry={base}\ncafile={registry.ca.name}\n")
    shutil.copy(project / "package.json", target / "package.json")
    if mode == "cold":
        for folder in ["cache", "store", "home"]:
            shutil.rmtree(room / folder, ignore_errors=True)
        (room / "home").mkdir()
    if mode != "relock":
        for lock in LOCKS:
            (target / lock).unlink(missing_ok=True)


def summary(samples):
    walls = [s["wall_ms"] for s in samples]
    return {"rounds": len(samples), "wall_ms": round(statistics.median(walls), 1),
            "wall_min_ms": round(min(walls), 1),
            "cpu_ms": round(statistics.median(s["cpu_ms"] for s in samples), 1),
            "peak_mb": round(max(s["peak_mb"] for s in samples), 1),
            "requests": samples[-1]["requests"]}


def measure(opts, programs, delay):
    """Results by mode and program for one delay of the registry."""
    samples = {mode: {name: [] for name in programs} for mode in opts.modes}
    names = list(programs)
    registry = Registry(opts.registry, opts.docs, delay, opts.cpu)
    with tempfile.TemporaryDirectory(prefix="bench_resolve-") as folder:
        for turn in range(opts.rounds):
            for name in names[turn % len(names):] + names[:turn % len(names)]:
                if name in SLOW and turn >= opts.slow_rounds:
                    continue
                room = pathlib.Path(folder) / name
                for mode in ["cold", "warm", "offline", "relock"]:
                    if mode not in opts.modes:
                        continue
                    prepare(room, opts.project, registry, name, mode)
                    result = run(name, programs[name], mode, room, registry)
                    if result:
                        samples[mode][name].append(result)
    registry.stop()
    results = {}
    for mode, by_name in samples.items():
        results[mode] = {name: summary(s) for name, s in by_name.items() if s}
        bun = results[mode].get("bun")
        for values in results[mode].values():
            if bun:
                values["to_bun"] = round(values["wall_ms"] / bun["wall_ms"], 3)
    return results


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--brisk")
    parser.add_argument("--registry", required=True)
    parser.add_argument("--docs", type=pathlib.Path, default=CORPUS / "registry-snapshot.tar.zst")
    parser.add_argument("--project", type=pathlib.Path, default=CORPUS / "projects" / "alotta")
    parser.add_argument("--peers", default="brisk,bun,pnpm,npm")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--slow-rounds", type=int, default=1)
    parser.add_argument("--delays", default="0,20")
    parser.add_argument("--modes", default="cold,warm,offline,relock")
    parser.add_argument("--cpu", type=int, help="pin the registry to this processor")
    opts = parser.parse_args()
    opts.modes = opts.modes.split(",")
    if not os.access(opts.registry, os.X_OK) or not opts.docs.exists():
        print("bench_resolve: skipped: needs bench_registry (libnghttp2-dev) and the snapshot of "
              "packages ($BRISK_CORPUS)", file=sys.stderr)
        return 77
    programs = {}
    for name in opts.peers.split(","):
        program = find_program(name, opts.brisk)
        if program:
            programs[name] = program
        else:
            print(f"bench_resolve: no {name}: left out", file=sys.stderr)
    versions = {name: subprocess.run([path, "--version"], capture_output=True, text=True)
                .stdout.strip() for name, path in programs.items()}
    report = {"schema": 1, "project": opts.project.name, "machine": platform.machine(),
              "processors": os.cpu_count(), "versions": versions, "load": os.getloadavg()[0],
              "delays_ms": {delay: measure(opts, programs, float(delay))
                            for delay in opts.delays.split(",")}}
    json.dump(report, sys.stdout, indent=2)
    print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
