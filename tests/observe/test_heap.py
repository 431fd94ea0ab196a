#!/usr/bin/env python3
"""`brisk profile --memory` on programs whose heap is known.

    test_heap.py BRISK LIBRARY VICTIM [C++ PROGRAM]

Estimates are of samples: bounds are several standard errors wide, seeds are fixed by BRISK_HEAP_SEED.
"""
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree

BRISK, LIBRARY, VICTIM, CXX = ([os.path.abspath(path) for path in sys.argv[1:]] + [None])[:4]
FAILED = 0
MIB = 1 << 20


def check(what, good, more=""):
    global FAILED
    if not good:
        FAILED += 1
        print(f"FAILED: {what} {more}", flush=True)


def run(*args, **more):
    env = dict(os.environ, BRISK_HEAP_SEED="7", NO_COLOR="1")
    env.update(more.pop("env", {}))
    return subprocess.run([BRISK, "profile", *args], capture_output=True, text=True, timeout=60, env=env, **more)


def profile(*args, **more):
    """The report as JSON, alone on standard output; what the program wrote is on standard error."""
    done = run("--memory", "--json", *args, **more)
    if done.returncode != 0 or not done.stdout.startswith("{\n"):
        check(f"{args} gives a report", False, (done.stdout[:200], done.stderr))
        return {"places": [], "live_bytes": 0, "said": "0"}
    report = json.loads(done.stdout)
    report["said"] = "".join(line for line in done.stderr.splitlines(True) if not line.startswith("brisk: "))
    return report


def place(report, name):
    found = [p for p in report["places"] if name in p["function"]]
    return found[0] if found else {"live_bytes": 0, "allocated_bytes": 0, "peak_bytes": 0, "leak_suspected": None,
                                   "function": None, "stack": []}


def near(what, got, want, share):
    check(what, abs(got - want) <= share * want, f"got {got}, want {want} +- {100 * share:.0f} %")


def test_known():
    r = profile("--interval", "64KiB", "--", VICTIM, "known", "100")
    truth = int(r["said"])
    near("live bytes", r["live_bytes"], truth, 0.10)
    kept = place(r, "place_kept")
    near("live bytes by place", kept["live_bytes"], truth, 0.10)
    check("source", kept.get("file", "").endswith("victim.c") and kept.get("line", 0) > 1, kept)
    check("what was freed", place(r, "place_freed")["live_bytes"] == 0)
    near("what was allocated", r["allocated_bytes"], 2 * truth, 0.10)
    near("malloc's own figure", r["malloc_used_bytes"], truth, 0.05)
    check("fragmentation", 0 <= r["fragmentation"] < 0.3, r["fragmentation"])
    check("error told", 0 < r["live_error_percent"] < 15, r["live_error_percent"])
    check("stack", kept["stack"][:2] == ["place_kept", "run_known"] and "main" in " ".join(kept["stack"]), kept)
    errors = []
    for seed in range(8):
        r = profile("--", VICTIM, "known", "100", env={"BRISK_HEAP_SEED": str(seed + 1)})
        errors.append(100 * (r["live_bytes"] - truth) / truth)
    errors.sort(key=abs)
    check("live bytes within 10 % by default", abs(errors[-1]) <= 10, errors)


def test_kinds():
    r = profile("--", VICTIM, "all")
    near("each function", r["live_bytes"], 9 * 3 * MIB, 0.01)
    check("nine samples of nine calls", len(r["places"]) == 9 and all(p["live_bytes"] == 3 * MIB for p in r["places"]),
          r["places"])
    r = profile("--interval", "16KiB", "--", VICTIM, "realloc")
    check("realloc: all freed", r["live_bytes"] == 0 and r["allocated_bytes"] > 100 * MIB, r["live_bytes"])
    for count in ("1", "2", "16"):
        r = profile("--interval", "4KiB", "--", VICTIM, "threads", count)
        check(f"{count} threads: all freed", r["live_bytes"] == 0 and r["samples"] > 1000, r["live_bytes"])
    r = profile("--interval", "8KiB", "--", VICTIM, "signal")
    # gcc folds place_freed and place_kept into one; 16 blocks of the program live, none of the handler's.
    check("signal handlers", r["samples"] >= 4020 and sum(p["live_blocks"] for p in r["places"]) == 16,
          (r["samples"], r["places"]))
    r = profile("--", VICTIM, "cancel")
    near("a thread is not cancelled inside of malloc", r["live_bytes"], 16 * MIB, 0.3)
    done = run("--memory", "-q", "--", VICTIM, "cancel")
    check("and leaves no lock", done.returncode == 0, (done.returncode, done.stderr))
    r = profile("--", VICTIM, "timer")
    near("a program with a fast timer", r["live_bytes"], 32 * MIB, 0.2)
    r = profile("--", VICTIM, "deep")
    lines = run("--memory", "-f", "collapsed", "--", VICTIM, "deep").stdout.splitlines()
    deepest = max((line.count("dive;") for line in lines), default=0)
    check("deep stacks are cut", 100 < deepest <= 128, deepest)
    other = [p for p in r["places"] if p["function"] == "place_kept"]
    check("a stack of its own", sum(p["live_bytes"] for p in other) == 16 * MIB, other)


def test_stale_folders():
    """A killed profiler leaves a folder; the next one takes it away, but not that of one that lives."""
    def folders():
        return {f for f in os.listdir("/dev/shm") if f.startswith("brisk-heap-")}

    before = folders()
    killed = subprocess.Popen([BRISK, "profile", "--memory", "--", "sleep", "1"], stderr=subprocess.DEVNULL)
    living = subprocess.Popen([BRISK, "profile", "--memory", "--", "sleep", "10"], stderr=subprocess.DEVNULL)
    end = time.monotonic() + 20
    while time.monotonic() < end and len([f for f in folders() - before if os.listdir(f"/dev/shm/{f}")]) < 2:
        time.sleep(0.02)  # until both commands have begun
    mine = {f for f in folders() - before if f.startswith(f"brisk-heap-{killed.pid}-")}
    others = {f for f in folders() - before if f.startswith(f"brisk-heap-{living.pid}-")}
    check("both have one", len(mine) == 1 and len(others) == 1, folders())
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    check("left behind", mine <= folders(), folders())
    strange = "/dev/shm/brisk-heap-1-2-strangeR"
    os.makedirs(strange, exist_ok=True)
    end = time.monotonic() + 20
    run("--memory", "--", "true")
    while time.monotonic() < end and mine & folders():  # while what it sampled has not ended
        time.sleep(0.1)
        run("--memory", "--", "true")
    check("taken away", not mine & folders(), folders())
    check("its neighbour's stays", others <= folders(), folders())
    check("what is not ours by name stays", os.path.isdir(strange), folders())
    os.rmdir(strange)
    check("that one ends well", living.wait(30) == 0, living.returncode)
    check("and takes its own", not others & folders(), folders())


def test_cxx():
    if CXX is None:
        print("skipped: no C++ compiler")
        return
    r = profile("--interval", "32KiB", "--", CXX)
    parts = place(r, "make_parts")
    near("new, through libstdc++", parts["peak_bytes"], 5000 * 4000, 0.2)
    near("strings", place(r, "make_names")["peak_bytes"], 10000 * 1100, 0.25)
    check("delete", r["live_bytes"] < MIB, r["live_bytes"])


def test_processes():
    r = profile("--interval", "32KiB", "--", VICTIM, "fork")
    check("children have profiles of their own", r["processes"] == 3, r["processes"])
    near("the largest is the one told", r["live_bytes"], 16 * MIB, 0.2)
    r = profile("--interval", "32KiB", "--", VICTIM, "exec")
    check("exec begins anew", r["processes"] == 2, r["processes"])
    done = run("--memory", "--json", "--", VICTIM, "kill")
    check("a killed program", done.returncode == 1 and "signal 9" in done.stderr, done.stderr)
    near("keeps its profile", json.loads(done.stdout)["live_bytes"] if done.stdout else 0, 16 * MIB, 0.3)
    done = run("--memory", "--", "sh", "-c", "exit 3")
    check("a program that allocates nothing, and fails", done.returncode == 1 and "exit code 3" in done.stderr and
          "nothing was sampled" in done.stderr, done.stderr)
    done = run("--memory", "--", "sh", "-c", "echo out")
    check("a program that allocates little", done.returncode == 0 and "65536 bytes" in done.stderr and
          done.stdout == "out\n", (done.returncode, done.stdout, done.stderr))
    done = run("--memory", "--json", "--interval", "1MiB", "--", "sh", "-c", "echo out")
    r = json.loads(done.stdout)
    check("likewise as JSON, which is all of standard output", done.returncode == 0 and r["sampled"] is False and
          r["interval_bytes"] == MIB and r["live_bytes"] == 0 and "out\n" in done.stderr, (r, done.stderr))
    done = run("--memory", "--json", "--", "sh", "-c", f"echo out; {VICTIM} known 40")
    check("the report alone", done.stdout.startswith("{") and json.loads(done.stdout)["peak_bytes"] > 0 and
          "out\n" in done.stderr, done.stdout[:200])
    done = run("--memory", "--", "/nonexistent/program")
    check("no program", done.returncode == 1 and "/nonexistent/program" in done.stderr, done.stderr)
    both = [subprocess.Popen([BRISK, "profile", "--memory", "--json", "--", VICTIM, "known", "40"],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    for one in both:
        out, _ = one.communicate(timeout=60)
        near("two at once", json.loads(out[out.find("{\n"):])["live_bytes"], 40 * MIB, 0.3)
    check("no folder is left", not [f for f in os.listdir("/dev/shm") if f.startswith("brisk-heap-")
                                    and os.stat(f"/dev/shm/{f}").st_mtime > BEGIN
                                    and not os.listdir(f"/dev/shm/{f}")], os.listdir("/dev/shm"))


def test_leaks():
    data = os.environ["XDG_DATA_HOME"]
    r = profile("--", VICTIM, "leak", "3000")
    leak = place(r, "place_leak")
    check("a planted leak is suspected", leak["leak_suspected"] is True and leak["leak_confidence"] > 0.6, leak)
    low = leak.get("growth_per_second_low")  # null when neighbours are too alike to tell
    check("with its interval", "growth_per_second_low" in leak and (low is None or low < leak["growth_per_second"]), leak)
    check("and nothing else", [p["function"] for p in r["places"] if p["leak_suspected"]] == ["place_leak"], r["places"])
    check("growth", leak.get("growth_bytes", 0) > 0.5 * leak["live_bytes"], leak)
    kept = pathlib.Path(data, "brisk", "history.sqlite3")
    done = subprocess.run([BRISK, "history", "list", "opportunities"], capture_output=True, text=True, timeout=60)
    check("kept in the history", kept.exists() or "libsqlite3" in run("--memory", "--", "true").stderr, done.stderr)
    r = profile("--", VICTIM, "cache", "3000")
    check("a full cache is no leak", not [p for p in r["places"] if p["leak_suspected"]], r["places"])


def test_files(folder):
    out = {end: str(folder / f"it{end}") for end in (".svg", ".html", ".pb.gz", ".collapsed", ".speedscope.json")}
    args = [word for path in out.values() for word in ("-o", path)]
    done = run("--memory", "--graph", *args, "--", VICTIM, "grow", "200")
    check("outputs", done.returncode == 0 and all(os.path.getsize(path) > 20 for path in out.values()), done.stderr)
    check("graph", "█" in done.stderr and "live +" in done.stderr, done.stderr)
    xml.etree.ElementTree.parse(out[".svg"])
    check("SVG names places", "place_leak" in pathlib.Path(out[".svg"]).read_text())
    collapsed = pathlib.Path(out[".collapsed"]).read_text()
    check("collapsed", "run_grow;place_leak " in collapsed, collapsed)
    check("speedscope", json.load(open(out[".speedscope.json"], encoding="utf-8"))["profiles"][0]["unit"] == "bytes")
    again = run("report", "--json", "--value", "inuse_space", out[".pb.gz"])
    check("pprof read again", again.returncode == 0 and "place_leak" in again.stdout, again.stderr)
    for words in (["--memory"], ["--memory", "--system"], ["--memory", "--pid", "1", "--", "x"],
                  ["--memory", "--interval", "0", "--", "x"], ["--memory", "--snapshot", "a/b", "--pid", "1"],
                  ["--memory", "-o", "x.none", "--", VICTIM, "known", "8"], ["--memory", "--value", "x", "--", VICTIM,
                                                                            "known", "8"]):
        done = run(*words, cwd=folder)
        check(f"usage {words}", done.returncode == 2 and done.stderr != "", done.stderr)
    full = run("--memory", "-o", "/dev/full/x.svg", "--", VICTIM, "known", "8")
    check("an output that can't be written", full.returncode == 1 and "/dev/full" in full.stderr, full.stderr)
    with open("/dev/full", "w", encoding="utf-8") as out_full:
        done = subprocess.run([BRISK, "profile", "--memory", "--json", "--", VICTIM, "all"], stdout=out_full,
                              stderr=subprocess.PIPE, text=True, timeout=60)
    check("standard output full", done.returncode == 1, done.stderr)


def preloaded(folder, *args, **env):
    return dict(os.environ, LD_PRELOAD=LIBRARY, BRISK_HEAP=str(folder), **env)


def test_by_hand(folder):
    env = preloaded(folder, BRISK_HEAP_GROWTH=str(8 * MIB), BRISK_HEAP_INTERVAL="32768")
    subprocess.run([VICTIM, "grow", "30"], env=env, check=True, timeout=60)
    dumps = sorted(str(f) for f in folder.glob("*-growth-*.heap"))
    check("a growing process writes its profile by itself", len(dumps) == 3, os.listdir(folder))
    live = []
    for dump in dumps:
        done = run("report", "--json", "--value", "inuse_space", dump)
        live.append(json.loads(done.stdout)["tables"][0]["total"] if done.returncode == 0 else 0)
    check("each time it has grown by that", all(abs(b - a - 8 * MIB) < 2 * MIB for a, b in zip([0] + live, live)), live)
    done = run("diff", "--value", "inuse_space", dumps[0], dumps[-1])
    check("their difference", done.returncode == 0 and "place_leak" in done.stdout, done.stdout + done.stderr)
    for name, change in (("cut", lambda b: b[:5000]), ("garbage", lambda b: b[:8] + os.urandom(len(b) - 8)),
                         ("empty", lambda b: b[:8])):
        bad = folder / name
        bad.write_bytes(change(pathlib.Path(dumps[0]).read_bytes()))
        done = run("report", str(bad))
        check(f"a file that is {name}", done.returncode in (0, 1) and (done.returncode == 0 or str(bad) in done.stderr),
              (done.returncode, done.stderr))
    done = subprocess.run([VICTIM, "known", "8"], env=preloaded("/nonexistent"), capture_output=True, text=True,
                          timeout=60)
    check("no folder: a word, and the program runs", done.returncode == 0 and done.stdout.strip().isdigit() and
          done.stderr.count("\n") == 1 and "nothing is sampled" in done.stderr, done.stderr)
    done = subprocess.run([VICTIM, "known", "8"], env=preloaded(folder, BRISK_HEAP_INTERVAL="-3 x"),
                          capture_output=True, text=True, timeout=60)
    check("settings that are nonsense", done.returncode == 0 and done.stderr == "", done.stderr)
    before = len(list(folder.iterdir()))
    subprocess.run([VICTIM, "fork"], env=preloaded(folder, BRISK_HEAP_FORK="stop"), check=True, timeout=60,
                   stdout=subprocess.DEVNULL)
    check("children may be left out", len(list(folder.iterdir())) == before + 2, before)


def test_full_disk(folder):
    """A file system of 1 MiB; needs the right to mount in a name space of one's own."""
    line = (f"mount -t tmpfs -o size=1m none {folder} && "
            f"LD_PRELOAD={LIBRARY} BRISK_HEAP={folder} {VICTIM} known 8 && ls {folder} | wc -l")
    done = subprocess.run(["unshare", "-rm", "sh", "-c", line], capture_output=True, text=True, timeout=60)
    if "nothing is sampled" not in done.stderr and done.returncode != 0:
        print("skipped: no mount in a name space of one's own:", done.stderr.strip())
        return
    check("a full disk", done.returncode == 0 and done.stdout.split()[-1] == "0" and "No space" in done.stderr,
          done.stdout + done.stderr)


def test_pid(folder):
    env = preloaded(folder, BRISK_HEAP_INTERVAL="32768")
    process = subprocess.Popen([VICTIM, "leak", "20000"], env=env)
    plain = subprocess.Popen([VICTIM, "leak", "20000"])
    try:
        time.sleep(1)
        for label in ("one", "two"):
            done = run("--memory", "--pid", str(process.pid), "--snapshot", label, cwd=folder)
            check(f"snapshot {label}", done.returncode == 0 and (folder / f"{label}.pb.gz").exists(), done.stderr)
            time.sleep(1)
        done = run("diff", "--value", "inuse_space", "--json", str(folder / "one.pb.gz"), str(folder / "two.pb.gz"))
        check("what grew between", done.returncode == 0 and "place_leak" in done.stdout, done.stderr)
        done = run("--memory", "--json", "--pid", str(process.pid), "--duration", "2500ms")
        check("a process that has the sampler", done.returncode == 0 and
              place(json.loads(done.stdout), "place_leak")["live_bytes"] > MIB, done.stderr)
        done = run("--memory", "--live", "--pid", str(process.pid), "--duration", "2200ms")
        check("live", done.returncode == 0 and done.stderr.count("place_leak") >= 2, done.stderr)
        done = run("--memory", "--json", "--pid", str(plain.pid), "--duration", "2500ms")
        told = json.loads(done.stdout) if done.returncode == 0 else {}
        check("one that has not", told.get("sampled") is False and told.get("growth_per_second", -1) > 0 and
              "LD_PRELOAD" in told.get("start_with", ""), done.stdout + done.stderr)
        done = run("--memory", "--pid", str(plain.pid), "--duration", "300ms")
        check("says how to start it", "without brisk's sampler" in done.stdout, done.stdout)
        done = run("--memory", "--pid", str(plain.pid), "--snapshot", "x", cwd=folder)
        check("no snapshot of it", done.returncode == 1 and "no sampler" in done.stderr, done.stderr)
    finally:
        for one in (process, plain):
            one.kill()
            one.wait()
    done = run("--memory", "--pid", str(plain.pid))
    check("a process that is gone", done.returncode == 1 and "no process" in done.stderr, done.stderr)


def test_signal(folder):
    process = subprocess.Popen([BRISK, "profile", "--memory", "--snapshot", "at", "--", VICTIM, "leak", "20000"],
                               cwd=folder, stderr=subprocess.PIPE, text=True)
    time.sleep(1.5)
    process.send_signal(signal.SIGUSR1)
    deadline = time.time() + 20
    while not (folder / "at-1.pb.gz").exists() and time.time() < deadline:
        time.sleep(0.1)
    check("a snapshot on SIGUSR1", (folder / "at-1.pb.gz").exists())
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    check("SIGTERM ends the command and reports", "place_leak" in err, err)


BEGIN = time.time()
with tempfile.TemporaryDirectory() as base:
    os.environ["XDG_DATA_HOME"] = base + "/data"
    os.environ["XDG_CONFIG_HOME"] = base + "/config"
    for test in (test_stale_folders, test_known, test_kinds, test_cxx, test_processes, test_leaks):
        test()
    for test in (test_files, test_by_hand, test_full_disk, test_pid, test_signal):
        where = pathlib.Path(base, test.__name__)
        where.mkdir()
        test(where)
print("ok" if FAILED == 0 else f"{FAILED} failed")
sys.exit(1 if FAILED else 0)
