#!/usr/bin/env python3
"""`brisk profile` from outside: test_profile.py BRISK TARGET_FP TARGET_NO_FP TARGET_NO_DEBUG

Programs whose shares are known are profiled; what is written is read back by others' rules; the flame
graph is opened and clicked in headless Chromium when it is there.  Exit code 77: nothing can be sampled
here.
"""
import gzip
import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time

BRISK, FP, NO_FP, NO_DEBUG = (str(pathlib.Path(p).resolve()) for p in sys.argv[1:5])
failures = []


def run(*args, check=True, env=None):
    done = subprocess.run([str(a) for a in args], capture_output=True, text=True, timeout=120, env=env)
    if check and done.returncode != 0:
        failures.append(f"{args}: exit {done.returncode}: {done.stderr}")
    return done


def expect(what, good, more=""):
    if not good:
        failures.append(f"{what}: {more}")


def profile(*args):
    """The report as JSON."""
    done = run(BRISK, "profile", "--json", *args)
    return json.loads(done.stdout) if done.stdout else {}


def functions(report, kind="cpu"):
    table = next(t for t in report["tables"] if t["type"] == kind)
    return {f["function"]: f for f in table["functions"]}


def collapsed(*args):
    """Stacks and their values."""
    text = run(BRISK, "profile", "-q", "-f", "collapsed", *args).stdout
    return [(stack.split(";"), int(value)) for stack, value in (line.rsplit(" ", 1) for line in text.splitlines())]


def share(stacks, name):
    """Percent of all that is in a function or below it."""
    total = sum(value for _, value in stacks)
    return 100 * sum(value for stack, value in stacks if name in stack[1:]) / total if total else 0.0


def shares_are_found(target, *more):
    """70 to 30: the ratio of the two, so that what the kernel takes does not matter.  2 points; with
    2000 samples chance alone is within 3 in 997 of 1000 cases, so it may try again."""
    best = 100.0
    for _ in range(4):
        stacks = collapsed("-F", "1999", *more, "--", target, "spin", "1000")
        hot, cold = share(stacks, "hot_part"), share(stacks, "cold_part")
        if hot + cold > 85:
            best = min(best, abs(100 * hot / (hot + cold) - 70))
        if best <= 2:
            break
    expect(f"shares of {os.path.basename(target)} {more}", best <= 2, f"off by {best} points: {hot} {cold}")


def stacks_are_whole(target, *more):
    good = total = 0
    for stack, value in collapsed("-F", "999", *more, "--", target, "spin", "300"):
        if "hot_part" in stack or "cold_part" in stack:
            total += value
            good += value if stack.count("descend") == 13 and "main" in stack else 0
    expect(f"stacks of {os.path.basename(target)} {more}", total and good >= 0.97 * total, f"{good} of {total}")


def test_shares():
    shares_are_found(FP)
    shares_are_found(FP, "--stacks", "fp")
    shares_are_found(NO_FP)
    shares_are_found(NO_DEBUG)
    stacks_are_whole(FP)
    stacks_are_whole(FP, "--stacks", "fp")
    stacks_are_whole(NO_FP)


def test_report():
    d = profile("-F", "999", "--threshold", "0", "--", NO_FP, "spin", "500")
    expect("schema", d["schema"] == 1)
    expect("rate", 0.8 * 999 <= d["hertz_reached"] <= 1.05 * 999, d["hertz_reached"])
    expect("processor time", 0.45 <= d["cpu_seconds"] <= 1, d["cpu_seconds"])
    found = functions(d)
    expect("inlined", found.get("turn_inline", {}).get("inlined"), list(found)[:5])
    expect("source", found["turn_inline"].get("file", "").endswith("profile_target.c"), found["turn_inline"])
    callers = {c["function"] for c in found["turn_inline"]["callers"]}
    expect("callers", callers == {"hot_part", "cold_part"}, callers)
    expect("engine is told", any("perf events" in n for n in d["notes"]), d["notes"])


def test_waits():
    d = profile("--threshold", "0", "--", FP, "wait", "300")
    expect("blocked", 0.29 <= d["blocked_seconds"] <= 1.0, d["blocked_seconds"])
    if os.geteuid() == 0:
        text = run(BRISK, "profile", "-q", "--value", "off-cpu", "-f", "collapsed", "--", FP, "wait", "200").stdout
        waits = sum(int(l.rsplit(" ", 1)[1]) for l in text.splitlines() if ";long_wait;" in l)
        expect("stack of a wait", waits > 150e6, text[:300])


def test_processes():
    for more in ([], ["--engine", "timer"], ["--memory"]):
        done = run(BRISK, "profile", "-q", *more, "--", "sh", "-c", "grep SigIgn /proc/self/status; exec " + NO_FP + " spin 50",
                   check=False)
        ignored = [int(l.split()[1], 16) for l in done.stdout.splitlines() if l.startswith("SigIgn:")]
        expect(f"signals as they were {more}", ignored and ignored[0] & (1 << 12 | 1 << 24) == 0, (done.stdout, done.stderr))
    d = collapsed("--", FP, "exec", NO_FP, "spin", "300")
    expect("another program is executed", share(d, "descend") > 60, d[:5])
    done = run(BRISK, "profile", "--", FP, "die", "100", check=False)
    expect("a program that dies", done.returncode == 1 and "signal 9" in done.stderr and "hot_part" in done.stderr, done.stderr)
    d = collapsed("--", FP, "threads", "200")
    expect("threads", sum(v for _, v in d) > 0.55e9 and share(d, "run_thread") > 80, d[:5])
    d = collapsed("-F", "499", "--", FP, "jit", "200")
    expect("code made at run time", share(d, "made_at_run_time") > 80, d[:5])
    for name in pathlib.Path("/tmp").glob("perf-*.map"):
        if "made_at_run_time" in name.read_text():
            name.unlink()
    child = subprocess.Popen([NO_FP, "spin", "60000"])
    time.sleep(0.1)
    d = collapsed("-F", "499", "--pid", child.pid, "--duration", "400ms")
    expect("a process that runs", share(d, "hot_part") > 40, d[:5])
    other = subprocess.Popen([BRISK, "profile", "--json", "-F", "499", "--pid", str(child.pid)], stdout=subprocess.PIPE, text=True)
    time.sleep(0.4)
    child.send_signal(signal.SIGKILL)
    child.wait()
    out, _ = other.communicate(timeout=20)
    expect("a process that is killed meanwhile", functions(json.loads(out)).get("turn_inline"), out[:300])
    done = run(BRISK, "profile", "--duration", "300ms", "--", FP, "spin", "60000", check=False)
    expect("a duration ends the command", done.returncode == 0 and "hot_part" in done.stderr, done.stderr)


def test_timer():
    """The engine for where the kernel does not sample."""
    d = collapsed("--engine", "timer", "-F", "250", "--", NO_FP, "threads", "400")
    hot, cold = share(d, "hot_part"), share(d, "cold_part")
    expect("timer", hot + cold > 90 and abs(hot - 70) < 12 and share(d, "run_thread") > 90, d[:4])
    report = profile("--engine", "timer", "-F", "250", "--", FP, "spin", "200")
    expect("timer is told", any("timer in the program" in n for n in report["notes"]), report["notes"])
    expect("why is told", any("why not perf events" in n for n in report["notes"]), report["notes"])
    expect("nothing is left", not list(pathlib.Path("/dev/shm").glob("brisk-profile-*")))
    done = run(BRISK, "profile", "-q", "--engine", "timer", "-F", "250", "--", NO_FP, "errno", "300", check=False)
    expect("the handler leaves errno alone", done.returncode == 0, (done.returncode, done.stderr))
    # The timer outlives an exec, its handler does not: who is not sampled must not die of it.
    for words in (["env", "-u", "LD_PRELOAD", NO_FP, "spin", "200"],
                  ["sh", "-c", f"unset LD_PRELOAD; exec {NO_FP} spin 200"],
                  [NO_FP, "exec", "/usr/bin/env", "-u", "LD_PRELOAD", NO_FP, "spin", "200"]):
        done = run(BRISK, "profile", "--json", "--engine", "timer", "--", *words, check=False)
        expect(f"{words} lives", done.returncode == 0 and json.loads(done.stdout)["cpu_seconds"] > 0.19 if done.stdout else False,
               (done.returncode, done.stdout[:500], done.stderr))
    d = collapsed("--engine", "timer", "-F", "250", "--", NO_FP, "noexec", "300")
    expect("an exec that fails changes nothing", sum(v for _, v in d) > 200e6 and share(d, "hot_part") > 50, d[:4])


def test_timer_without_room():
    """/dev/shm of 1 MiB: an error, and not a SIGBUS in the program."""
    line = (f"mount -t tmpfs -o size=1m none /dev/shm && {BRISK} profile -q --engine timer -- {NO_FP} spin 200; echo $?; "
            "ls /dev/shm | wc -l")
    done = subprocess.run(["unshare", "-rm", "sh", "-c", line], capture_output=True, text=True, timeout=60)
    if not done.stdout:
        print("skipped: no mount in a name space of one's own:", done.stderr.strip(), file=sys.stderr)
        return
    expect("no room for the ring", done.stdout.split() == ["1", "0"] and "no room left" in done.stderr, done.stdout + done.stderr)


def test_keep(folder):
    """Hot spots become opportunities in the history; again, they are renewed, not doubled."""
    os.environ["XDG_DATA_HOME"] = str(folder)
    for _ in range(2):
        done = run(BRISK, "profile", "--keep", "-F", "499", "--", NO_FP, "spin", "300")
        expect("kept", "kept" in done.stderr, done.stderr)
    base = sqlite3.connect(next(folder.glob("brisk/*.sqlite3")))
    rows = base.execute("select category, gain_high, confidence, evidence from opportunities where key like '%turn_inline'").fetchall()
    expect("one opportunity", len(rows) == 1 and rows[0][0] == "hotspot" and rows[0][1] > 0.8 and rows[0][2] > 0.9, rows)
    expect("evidence", {"hot_part", "cold_part"} == set(json.loads(rows[0][3])["callers"]), rows)
    del os.environ["XDG_DATA_HOME"]


def test_io(folder):
    out = folder / "written"
    d = profile("--io", "--", sys.executable, "-c",
                f"import os, time\nf = open({str(out)!r}, 'wb', 0)\nfor i in range(40):\n f.write(b'x' * 1048576); time.sleep(0.01)\nos.fsync(f.fileno()); time.sleep(1)")
    files = {f["path"]: f for f in d["io"]["files"]}
    expect("bytes of a file", files.get(str(out), {}).get("written_bytes") == 40 << 20, files)
    expect("bytes of the process", d["io"]["written_bytes"] >= 40 << 20, d["io"])
    if os.geteuid() == 0:
        expect("calls", {c["name"] for c in d["io"]["calls"]} & {"fsync", "write"}, d["io"]["calls"])


def test_system():
    if os.geteuid() != 0:
        return
    child = subprocess.Popen([NO_FP, "spin", "60000"])
    d = profile("--system", "--duration", "1s")
    child.kill()
    child.wait()
    m = d["machine"]
    expect("states", abs(sum(m["cpu_percent"].values()) - 100) < 0.1, m["cpu_percent"])
    programs = {p["name"]: p["cpu_seconds"] for p in m["programs"]}
    expect("programs", programs.get(os.path.basename(NO_FP)[:15], 0) > 0.05, programs)
    expect("memory", 0 < m["memory_available_bytes"] <= m["memory_total_bytes"])


def test_errors():
    for args, words, code in (
        (("--", "/nonexistent/program"), "/nonexistent/program", 1),
        (("--pid", "4194300"), "no process", 1),
        ((), "give a COMMAND", 2),
        (("-F", "0", "--", "true"), "--frequency", 2),
        (("-o", "x.unknown", "--", "true"), "no format", 2),
        (("report", "/nonexistent"), "/nonexistent", 1),
        (("diff", "x"), "usage", 2),
        (("--", "false"), "exit code 1", 1),
    ):
        done = run(BRISK, "profile", *args, check=False)
        expect(args, done.returncode == code and words in done.stderr, f"{done.returncode} {done.stderr}")


def test_outputs_are_checked_first(folder):
    """What can't be written is said before the program runs, not when its time is spent."""
    ran = folder / "ran"
    for code, args in [(2, ("-f", "nosuch")), (2, ("-o", folder / "x.nosuch")), (2, ("--memory", "-o", folder / "x.nosuch")),
                       (1, ("-o", folder / "nosuch" / "x.html"))]:
        done = run(BRISK, "profile", *args, "--", "touch", ran, check=False)
        expect(f"{args}", done.returncode == code and not ran.exists(), f"exit {done.returncode}: {done.stderr}")
    done = run(BRISK, "profile", "-o", "/dev/full/x.html", "--", "touch", ran, check=False)
    expect("/dev/full", done.returncode == 1 and "/dev/full" in done.stderr and not ran.exists(), done.stderr)


def test_output_of_the_program():
    """With --json, or --format without a file, standard output is the report's alone."""
    words = ["sh", "-c", "echo from the program; exec " + shlex.join([NO_FP, "spin", "200"])]
    done = run(BRISK, "profile", "--json", "--", *words)
    expect("the report alone", json.loads(done.stdout)["schema"] == 1 and "from the program" in done.stderr)
    done = run(BRISK, "profile", "--engine", "timer", "--json", "--", *words)
    expect("likewise with a timer", json.loads(done.stdout)["schema"] == 1 and "from the program" in done.stderr)
    done = run(BRISK, "profile", "--format", "collapsed", "--", *words)
    expect("collapsed stacks alone", "from the program" not in done.stdout and "from the program" in done.stderr)
    done = run(BRISK, "profile", "--", *words)
    expect("else it is the program's", done.stdout == "from the program\n")


def test_programs_behind_dashes():
    """diff is a common program, and processes too short for a sample have used time, too."""
    done = run(BRISK, "profile", "--", "diff", BRISK, BRISK, check=False)
    expect("diff behind --", done.returncode == 0 and "wall" in done.stderr, done.stderr)
    report = profile("--", "sh", "-c", "i=0; while [ $i -lt 200 ]; do i=$((i+1)); /bin/true; done")
    expect("short processes", report.get("cpu_seconds", report.get("profile", {}).get("cpu_seconds", 0)) > 0.02, report)


def test_time_and_memory_are_not_compared(folder):
    (folder / "time.collapsed").write_text("a;b 10\n", encoding="ascii")
    heap = folder / "heap.pb.gz"
    # string table: "", inuse_space, bytes; one value type; one sample without places
    strings = b"".join(b"\x32" + bytes([len(s)]) + s for s in (b"", b"inuse_space", b"bytes"))
    heap.write_bytes(gzip.compress(b"\x0a\x04\x08\x01\x10\x02" + b"\x12\x03\x12\x01\x05" + strings))
    done = run(BRISK, "profile", "diff", folder / "time.collapsed", heap, check=False)
    expect("time and memory", done.returncode == 1 and "can't be compared" in done.stderr, done.stderr)
    run(BRISK, "profile", "diff", heap, heap)


def test_damaged_debug_information(folder):
    """DWARF that is rubbish costs lines and inlining, not names or the profile."""
    broken = folder / "broken"
    shutil.copy(NO_FP, broken)
    sections = run("readelf", "-SW", broken, check=False).stdout
    found = re.findall(r"\.(debug_info|debug_abbrev|debug_line|debug_str)\s+PROGBITS\s+\w+\s+(\w+)\s+(\w+)", sections)
    with open(broken, "r+b") as f:
        for _, offset, size in found:
            f.seek(int(offset, 16))
            f.write(os.urandom(int(size, 16)))
    broken.chmod(0o755)
    d = collapsed("--", broken, "spin", "200")
    expect("broken DWARF", found and share(d, "hot_part") > 40, d[:5])


def test_formats(folder):
    names = ["a.pb.gz", "a.html", "a.collapsed", "a.speedscope.json", "a.firefox.json", "a.trace.json"]
    outputs = [w for n in names for w in ("-o", folder / n)]
    run(BRISK, "profile", "-F", "499", *outputs, "--", NO_FP, "spin", "400")
    d = json.loads((folder / "a.speedscope.json").read_text())
    frames = len(d["shared"]["frames"])
    for p in d["profiles"]:
        expect("speedscope", len(p["samples"]) == len(p["weights"]) and all(i < frames for s in p["samples"] for i in s)
               and p["endValue"] == sum(p["weights"]) and p["type"] == "sampled" and p["unit"] == "nanoseconds", p["name"])
    d = json.loads((folder / "a.firefox.json").read_text())
    t = d["threads"][0]
    expect("firefox", t["stackTable"]["length"] == len(t["stackTable"]["frame"]) == len(t["stackTable"]["prefix"]) and
           all(p is None or p < i for i, p in enumerate(t["stackTable"]["prefix"])) and
           all(s is None or s < t["stackTable"]["length"] for s in t["samples"]["stack"]) and
           "hot_part" in t["stringArray"])
    d = json.loads((folder / "a.trace.json").read_text())["traceEvents"]
    slices = [e for e in d if e["ph"] == "X"]
    expect("chrome", slices and all(e["dur"] >= 0 and e["ts"] >= 0 for e in slices) and any(e["name"] == "hot_part" for e in slices))
    run(sys.executable, pathlib.Path(__file__).parent / "pprof_check.py", folder / "a.pb.gz")
    expect("gzip", b"hot_part" in gzip.decompress((folder / "a.pb.gz").read_bytes()))
    again = run(BRISK, "profile", "report", folder / "a.pb.gz", "-f", "collapsed").stdout
    expect("saved and read", again == (folder / "a.collapsed").read_text(), again[:200])
    run(BRISK, "profile", "-F", "499", "-q", "-o", folder / "b.pb.gz", "--", NO_FP, "wait", "50")
    d = json.loads(run(BRISK, "profile", "diff", folder / "b.pb.gz", folder / "a.pb.gz", "--json").stdout)
    change = next(f for f in d["functions"] if f["function"] == "turn_inline")
    expect("difference", change["points"] > 80, change)


CLICK = """
<script>
addEventListener("load", () => {
  const out = [], canvas = document.getElementById("graph"), r = canvas.getBoundingClientRect();
  const click = (x, y) => canvas.dispatchEvent(new MouseEvent("click", {clientX: r.left + x, clientY: r.top + y, bubbles: true}));
  const key = k => document.dispatchEvent(new KeyboardEvent("keydown", {key: k, bubbles: true}));
  const status = () => document.getElementById("status").textContent;
  out.push("ready=" + document.body.dataset.ready);
  click(r.width * 0.4, r.height - 18 * 1.5); out.push("clicked=" + status());
  key("Escape"); out.push("escaped=" + status());
  key("ArrowUp"); key("ArrowUp"); out.push("up=" + status());
  const s = document.getElementById("search"); s.value = "hot_part"; s.dispatchEvent(new Event("input"));
  out.push("found=" + document.getElementById("found").textContent);
  s.value = "("; s.dispatchEvent(new Event("input")); out.push("bad=" + document.getElementById("found").textContent);
  s.value = ""; s.dispatchEvent(new Event("input"));
  key("t"); out.push("table=" + document.querySelector("#tablebox td:last-child").textContent);
  key("t"); key("f"); out.push("flipped=" + status());
  document.body.setAttribute("data-log", out.join("|"));
});
</script></body>"""


def test_flame_graph(folder):
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        print("no chromium: the flame graph is not opened", file=sys.stderr)
        return
    page = (folder / "a.html").read_text()
    expect("self-contained", not re.search(r"(src|href)\\s*=|https?://", page))
    (folder / "clicked.html").write_text(page.replace("</body>", CLICK))
    dom = run(browser, "--headless", "--no-sandbox", "--disable-gpu", "--window-size=1200,700", f"--user-data-dir={folder}/browser",
              "--virtual-time-budget=4000", "--dump-dom", f"file://{folder}/clicked.html", check=False,
              env={**os.environ, "HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}).stdout
    log = re.search(r'data-log="([^"]*)"', dom)
    expect("page runs", log is not None, dom[-500:])
    if log:
        got = dict(part.split("=", 1) for part in log.group(1).split("|"))
        expect("nodes", int(got["ready"]) > 10, got)
        expect("click", os.path.basename(NO_FP)[:15] in got["clicked"], got)
        expect("escape", got["escaped"].startswith("all"), got)
        expect("keys", not got["up"].startswith("all"), got)
        share_found = float(got["found"].split()[0])
        expect("search", 60 <= share_found <= 80, got)
        expect("bad pattern", got["bad"] == "not a regular expression", got)
        expect("table", got["table"] == "turn_inline", got)


def main():
    probe = run(BRISK, "profile", "-q", "--", "true", check=False)
    if probe.returncode != 0:
        print(f"nothing can be sampled here: {probe.stderr}", file=sys.stderr)
        return 77
    test_shares()
    test_report()
    test_waits()
    test_processes()
    test_timer()
    test_timer_without_room()
    test_system()
    test_errors()
    test_programs_behind_dashes()
    test_output_of_the_program()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        test_outputs_are_checked_first(folder)
        test_time_and_memory_are_not_compared(folder)
        test_damaged_debug_information(folder)
        test_formats(folder)
        test_io(folder)
        test_keep(folder)
        test_flame_graph(folder)
    print("\n".join(failures), file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
