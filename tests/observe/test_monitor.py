#!/usr/bin/env python3
"""`brisk monitor` on terminals: golden screens, keys, resizing, signals, servers that die, come back, or lie.

    test_monitor.py BRISK FOLDER-OF-SCREENS [screens|servers]

BRISK_UPDATE_SCREENS=1 writes the golden screens anew; look at them before they are kept.  What changes from round
to round (clock, round trip, sparklines) is masked.
"""
import fcntl
import json
import os
import pty
import re
import select
import shutil
import signal
import socket
import sqlite3
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time

BRISK, SCREENS = os.path.abspath(sys.argv[1]), sys.argv[2]
FOLDER = tempfile.mkdtemp(prefix="brisk-monitor-")
ENV = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "LC_ALL", "LC_CTYPE", "LANG")}
ENV |= {"TZ": "UTC", "LANG": "C.UTF-8", "XDG_DATA_HOME": FOLDER + "/data", "TERM": "xterm-256color"}
failures = 0


def check(good, words):
    global failures
    if not good:
        failures += 1
        print("FAIL", words, file=sys.stderr)


# --- a terminal ------------------------------------------------------------------------------------


class Terminal:
    """Obeys what the monitor sends, and knows nothing else: an unknown sequence is a failure."""

    SEQUENCE = re.compile(r"\x1b\[([?;0-9]*)([A-Za-z])")

    def __init__(self, width, height):
        self.resize(width, height)
        self.modes = set()
        self.raw = ""
        self.rest = b""

    def resize(self, width, height):
        self.width, self.height = width, height
        self.clear()

    def clear(self):
        self.cells = [[" "] * self.width for _ in range(self.height)]
        self.x = self.y = 0

    def feed(self, data):
        data = self.rest + data
        text = data.decode("utf-8", "ignore")
        self.rest = b""
        for cut in (1, 2, 3):  # half a character at the end
            try:
                data.decode("utf-8")
                break
            except UnicodeDecodeError:
                data, self.rest = data[:-1], data[-1:] + self.rest
        text = data.decode("utf-8", "replace")
        open_at = text.rfind("\x1b")
        if open_at >= 0 and not self.SEQUENCE.match(text, open_at):
            self.rest = text[open_at:].encode() + self.rest
            text = text[:open_at]
        self.raw += text
        at = 0
        while at < len(text):
            if text[at] == "\x1b":
                match = self.SEQUENCE.match(text, at)
                check(match, f"unknown sequence {text[at:at + 20]!r}")
                if not match:
                    return
                self.obey(match[1], match[2])
                at = match.end()
            else:
                self.put(text[at])
                at += 1

    def put(self, char):
        if char in "\r\n":
            return
        check(char >= " ", f"control character {char!r}")
        if self.y < self.height and self.x < self.width:
            self.cells[self.y][self.x] = char
        self.x += 1

    def obey(self, parameters, command):
        if command == "H":
            self.y, self.x = (int(n) - 1 for n in parameters.split(";"))
        elif command == "J":
            self.clear()
        elif command in "hl" and parameters in ("?1049", "?25", "?7", "?2026"):
            (self.modes.add if command == "h" else self.modes.discard)(parameters)
        else:
            check(command == "m", f"unknown sequence {parameters}{command}")

    def text(self):
        return "\n".join("".join(row).rstrip() for row in self.cells)


class Monitor:
    def __init__(self, *args, size=(80, 24), env=None):
        self.terminal = Terminal(*size)
        self.master, slave = pty.openpty()
        self.slave = slave
        self.set_size(*size)
        self.before = termios.tcgetattr(slave)

        def child():
            os.setsid()
            fcntl.ioctl(slave, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen([BRISK, "monitor", "--interval", "200ms", *args], stdin=slave, stdout=slave,
                                        stderr=slave, env=ENV | (env or {}), preexec_fn=child)

    def set_size(self, width, height):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    def resize(self, width, height):
        self.terminal.resize(width, height)
        self.set_size(width, height)

    def read(self, seconds):
        ready, _, _ = select.select([self.master], [], [], seconds)
        if ready:
            try:
                self.terminal.feed(os.read(self.master, 1 << 16))
            except OSError:
                return False
        return bool(ready)

    def until(self, wanted, words, seconds=10):
        """Read until `wanted(screen)` holds; the screen."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            # a whole frame only
            if "?2026" not in self.terminal.modes and wanted(self.terminal.text()):
                return self.terminal.text()
            self.read(0.05)
        check(False, f"{words}:\n{self.terminal.text()}")
        return self.terminal.text()

    def rounds(self, count):
        """Let so many rounds pass."""
        end = time.monotonic() + count * 0.2
        while time.monotonic() < end:
            self.read(0.05)

    def press(self, keys):
        os.write(self.master, keys.encode())

    def end(self, code, words):
        end = time.monotonic() + 10
        while self.process.poll() is None and time.monotonic() < end:
            self.read(0.05)
        while self.read(0):
            pass
        check(self.process.poll() == code, f"{words}: exit {self.process.poll()}")
        check("?1049" not in self.terminal.modes and "?2026" not in self.terminal.modes, f"{words}: the screen is given back")
        check(self.terminal.raw.rstrip().count("\x1b[?25h") >= 1, f"{words}: the cursor is back")
        check(termios.tcgetattr(self.slave) == self.before, f"{words}: settings are restored")
        self.close()

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)
        os.close(self.slave)


# --- sources ---------------------------------------------------------------------------------------

PROC = {
    "stat": "cpu  1000 0 500 8000 100 0 0 0 0 0\ncpu0 500 0 250 4000 50 0 0 0 0 0\ncpu1 500 0 250 4000 50 0 0 0 0 0\n",
    "meminfo": "MemTotal: 8000000 kB\nMemFree: 1000000 kB\nMemAvailable: 6000000 kB\nBuffers: 0 kB\nCached: 0 kB\n"
               "Dirty: 0 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n",
    "loadavg": "0.50 0.25 0.10 1/100 4711\n",
    "diskstats": " 8 0 sda 100 0 1000 10 100 0 1000 10 0 10 20\n",
    "net/dev": "Inter-|\n face |\n  eth0: 1000 10 0 0 0 0 0 0 1000 10 0 0 0 0 0 0\n",
    "sys/kernel/hostname": "host\n",
    "pressure/cpu": "some avg10=12.50 avg60=1.00 avg300=0.10 total=1000\n",
}


def make_machine():
    for name, text in PROC.items():
        path = f"{FOLDER}/root/proc/{name}"
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="ascii") as file:
            file.write(text)
    return FOLDER + "/root"


def make_history():
    """A run through the spool, as programs leave it; the rest straight into the tables."""
    path = FOLDER + "/history.sqlite3"
    stages = [["rom_loading", "", 0, 2000000, 0, 0, 0, 1, "computed"],
              ["patch_generation", "rom_loading", 2500000, 9000000, 500000, 0, 1, 1, "computed"],
              ["conflict_detection", "rom_loading", 2000000, 4000000, 0, 0, 2, 0, "computed"],
              ["validation", "patch_generation", 0, 0, 0, 0, 0, 0, "answered"],
              ["file_writing", "validation", 12000000, 7000000, 0, 0, 0, 1, "computed"]]
    with open(path + "-spool", "w", encoding="ascii") as file:
        for i, duration in enumerate((30000000, 25000000, 20000000)):
            run = {"v": 1, "wall_ns": 1700000000000000000 + i * 10**9, "duration_ns": duration, "workload": "rom",
                   "command": "rom apply", "outcome": "ok", "answered_by": "disk" if i == 1 else "", "bytes": 0,
                   "stages": stages}
            file.write(json.dumps(run, separators=(",", ":")) + "\n")
    subprocess.run([BRISK, "history", "list", "--file", path], env=ENV, capture_output=True, check=False)
    subprocess.run([BRISK, "monitor", "--json", "--server", "none", "--interval", "100ms", "--history", path], env=ENV,
                   capture_output=True, check=False)
    db = sqlite3.connect(path)
    machine = db.execute("SELECT machine FROM runs").fetchone()[0]
    for state, budget in (("firing", "latency p99"), ("resolved", "memory")):
        db.execute('INSERT INTO alerts(wall_ns, budget, metric, severity, state, value, "limit", text, machine) '
                   "VALUES(1700000100000000000, ?, 'm', 'critical', ?, 12.5, 10, '', ?)", (budget, state, machine))
    for i, (gain, words) in enumerate(((0.25, "patch_generation could run on two workers"),
                                       (None, "an escape \x1b[2J in words"))):
        db.execute('INSERT INTO opportunities("key", created_ns, updated_ns, category, priority, gain, gain_low, gain_high, '
                   "confidence, complexity, description, evidence, source, subject, state, machine) "
                   "VALUES(?, 1, 1, 'parallelism', 'high', ?, 0.2, 0.3, 0.9, 'low', ?, '{}', 'stage profile', 'rom', "
                   "'open', ?)", (str(i), gain, words, machine))
    for i, value in enumerate((100e6, 110e6, 90e6, 140e6)):
        db.execute("INSERT INTO benchmarks(wall_ns, name, metric, unit, value, low, high, samples, label, machine, details) "
                   "VALUES(?, 'parse', 'wall', 'ns', ?, NULL, NULL, 10, '', ?, '')", (1700000000000000000 + i, value, machine))
    db.commit()
    db.close()
    return path


def bulk(text):
    data = text.encode()
    return b"$%d\r\n%s\r\n" % (len(data), data)


class Server:
    """Answers the three questions of a round, each time with a little more."""

    def __init__(self, answer=None, port=0):
        self.socket = socket.create_server(("127.0.0.1", port))
        self.port = self.socket.getsockname()[1]
        self.rounds = 0
        self.answer = answer or self.good
        self.connections = []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            self.connections.append(connection)
            threading.Thread(target=self.one, args=(connection,), daemon=True).start()

    def one(self, connection):
        try:
            while True:
                data = connection.recv(65536)
                if not data:
                    return
                if b"INFO" in data:
                    self.rounds += 1
                    given = self.answer(self.rounds)
                    if given is None:
                        connection.close()
                        return
                    connection.sendall(given)
        except OSError:
            pass

    def stop(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        for connection in self.connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    @staticmethod
    def good(n):
        info = (f"brisk_version:0.1.0\r\nuptime_in_seconds:7200\r\nconnected_clients:5\r\nused_memory:268435456\r\n"
                f"keyspace_hits:{300 * n}\r\nkeyspace_misses:{100 * n}\r\nevicted_keys:0\r\nmemory_target_hit_rate:90\r\n")
        memory = [b"hits", 200 * n, b"misses", 200 * n, b"entries", 12345, b"bytes_max", 1 << 30]
        disk = [b"hits", 100 * n, b"misses", 100 * n, b"bytes", 1 << 31, b"bytes_max", 1 << 32]

        def pairs(items):
            return b"*%d\r\n" % len(items) + b"".join(
                b":%d\r\n" % i if isinstance(i, int) else b"$%d\r\n%s\r\n" % (len(i), i) for i in items)

        stats = (b"*6\r\n" + bulk("policy") + bulk("auto:s3fifo") + bulk("memory") + pairs(memory) + bulk("disk") + pairs(disk))
        latency = b"*2\r\n" + bulk("get") + b"*4\r\n" + bulk("calls") + b":%d\r\n" % (400 * n) + bulk("histogram_usec")
        return bulk(info) + stats + latency + pairs([2, 300 * n, 16, 399 * n, 256, 400 * n])


# --- golden screens --------------------------------------------------------------------------------


def mask(text, width):
    """What changes becomes the same; rules and blanks, which make room for it, become short."""
    lines = text.split("\n")
    half = width // 2 - 1
    trends = 0
    for i, line in enumerate(lines):
        title = line[:4] in ("── T", "-- T")
        if title:
            trends = width if "Targets" not in line else half
        elif line[:2] in ("──", "--"):
            trends = 0
        elif trends and len(line) > 15:
            if "keys" not in line and i < len(lines) - 1:
                line = line[:15].ljust(15) + "~" + line[max(15, trends - 12):]
                line = re.sub(r"(round trip +~ *)[0-9.]+ [num]?s", r"\1TIME", line)
        line = re.sub(r"\d\d:\d\d:\d\d  every", "CLOCK  every", line)
        line = re.sub(r"round trip [0-9.]+ [num]?s", "round trip TIME", line)
        line = re.sub(r"127\.0\.0\.1:\d+", "ADDRESS", line)
        lines[i] = re.sub(r"  +", "  ", re.sub(r"[─]+|-{2,}", "─", line)).rstrip()
    return "\n".join(lines) + "\n"


def golden(name, text, width):
    path = f"{SCREENS}/{name}.txt"
    masked = mask(text, width)
    if os.environ.get("BRISK_UPDATE_SCREENS"):
        os.makedirs(SCREENS, exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(masked)
        print(f"== {name}\n{text}\n")
    with open(path, encoding="utf-8") as file:
        wanted = file.read()
    check(masked == wanted, f"screen {name}; wanted:\n{wanted}\ngot:\n{masked}")


def is_settled(text):
    return "75.0 %" in text and "FIRING" in text


ROOT = make_machine()
HISTORY = make_history()


def arguments(server):
    return ["--server", f"127.0.0.1:{server.port}", "--root", ROOT, "--history", HISTORY, "--target", "hit_rate=70%",
            "--target", "p99=8us"]


def test_screens():
    server = Server()
    m = Monitor(*arguments(server))
    golden("overview_80x24", m.until(is_settled, "settled"), 80)
    check("38;5;" in m.terminal.raw, "colours")
    titles = {"2": "Newest run", "3": "Trends", "4": "Budgets", "5": "Opportunities", "?": "Help"}
    for key, title in titles.items():
        m.press(key)
        name = title.lower().replace(" ", "_")
        golden(f"{name}_80x24", m.until(lambda t, w=title: t.split("\n")[1][3:].startswith(w), name), 80)
    m.press("?\t")  # back to 5, and round to 1
    m.until(is_settled, "Tab goes round")
    m.resize(120, 40)
    golden("overview_120x40", m.until(lambda t: is_settled(t) and "policy" in t, "larger"), 120)
    m.resize(40, 10)  # a panel's line is below the keys
    m.until(lambda t: t.split("\n")[9].startswith("1 all  2 run  3 trends  4 alerts  5 opp"), "keys on a small screen")
    m.resize(30, 8)
    m.rounds(2)
    m.resize(1, 1)
    m.rounds(2)
    m.resize(80, 24)
    golden("overview_80x24", m.until(is_settled, "back again"), 80)
    m.press("q")
    m.end(0, "q")
    m = Monitor(*arguments(server), env={"NO_COLOR": "1", "LANG": "C"})
    golden("ascii_80x24", m.until(is_settled, "ASCII"), 80)
    check("38;5;" not in m.terminal.raw, "NO_COLOR")
    check(m.terminal.text().isascii(), "ASCII only")
    m.press("q")
    m.end(0, "q without colours")


def test_keys():
    m = Monitor("--server", "none", "--root", ROOT)
    m.until(lambda t: "none asked" in t and "no history yet" in t, "no server, no history")
    m.press("p")
    m.until(lambda t: "PAUSED" in t, "paused")
    m.press("p+")
    m.until(lambda t: "PAUSED" not in t and "every 100 ms" in t, "more often")
    m.press("--")
    m.until(lambda t: "every 400 ms" in t, "less often")
    m.press("\x1b[A\x1bOB\x1b[<0;1;1M")  # arrows, mouse: nothing
    m.rounds(2)
    check(m.process.poll() is None, "arrows do not end it")
    m.press("\x03")
    m.end(0, "Ctrl-C")


def test_signals():
    for number, code in ((signal.SIGTERM, 0), (signal.SIGHUP, 0), (signal.SIGSEGV, -signal.SIGSEGV),
                         (signal.SIGABRT, -signal.SIGABRT)):
        m = Monitor("--server", "none", "--root", ROOT)
        m.until(lambda t: "Machine" in t, "drawn")
        m.process.send_signal(number)
        m.end(code, number.name)
    m = Monitor("--server", "none", "--root", ROOT)
    m.until(lambda t: "Machine" in t, "drawn")
    m.press("\x1a")
    end = time.monotonic() + 10
    stopped = False
    while not stopped and time.monotonic() < end:
        m.read(0.05)
        with open(f"/proc/{m.process.pid}/stat", encoding="ascii") as file:
            stopped = file.read().rsplit(")", 1)[1].split()[0] == "T"
    check(stopped, "Ctrl-Z stops it")
    while m.read(0.05):
        pass
    check("?1049" not in m.terminal.modes and termios.tcgetattr(m.slave) == m.before, "and gives the terminal back first")
    m.terminal.clear()
    m.process.send_signal(signal.SIGCONT)
    m.until(lambda t: "Machine" in t and "?1049" in m.terminal.modes, "goes on")
    m.press("q")
    m.end(0, "after Ctrl-Z")


def test_server_dies_and_comes_back():
    server = Server()
    m = Monitor("--server", f"127.0.0.1:{server.port}", "--root", ROOT)
    m.until(lambda t: "75.0 %" in t, "up")
    server.stop()
    m.until(lambda t: "DOWN" in t, "down")
    check("Machine" in m.terminal.text(), "the rest goes on")
    server = Server(port=server.port)
    m.until(lambda t: "DOWN" not in t and "75.0 %" in t, "up again")
    server.stop()
    m.press("q")
    m.end(0, "q")


def test_dumb_terminals():
    m = Monitor("--server", "none", "--root", ROOT, env={"TERM": "dumb"})
    end = time.monotonic() + 10
    while m.process.poll() is None and time.monotonic() < end:
        m.read(0.05)
    check(m.process.poll() == 0 and "Machine" in m.terminal.raw and "\x1b" not in m.terminal.raw,
          "TERM=dumb prints once, without sequences")
    m.close()


def test_hostile_servers():
    good = Server.good(1)
    for words, answer in (("nonsense", lambda n: b"HTTP/1.1 400 Bad\r\n\r\n"), ("closes", lambda n: None),
                          ("huge", lambda n: b"$99999999999\r\n"), ("endless", lambda n: b"$9000000\r\n" + b"x" * 9000000),
                          ("refuses", lambda n: b"-NOAUTH \x1b[2J no\r\n" * 3), ("unasked", lambda n: good + b":1\r\n")):
        server = Server(answer)
        m = Monitor("--server", f"127.0.0.1:{server.port}", "--root", ROOT)
        m.until(lambda t: "DOWN" in t, words)
        m.press("q")
        m.end(0, words)
        server.stop()
    server = Server(lambda n: good[:30])  # and no more
    m = Monitor("--server", f"127.0.0.1:{server.port}", "--root", ROOT)
    m.until(lambda t: "no answer in 3 s" in t, "slow")
    m.press("q")
    m.end(0, "slow")
    server = Server(lambda n: bulk("used_memory:-5\r\nbrisk_version:\x1b[31mred\r\n") + b"*1\r\n*-1\r\n" + b"+OK\r\n")
    m = Monitor("--server", f"127.0.0.1:{server.port}", "--root", ROOT)
    m.until(lambda t: "?[31mre" in t, "escapes are made plain")
    m.press("q")
    m.end(0, "odd")


def run(*args, code=0):
    done = subprocess.run([BRISK, "monitor", *args], capture_output=True, text=True, timeout=60, check=False, env=ENV,
                          stdin=subprocess.DEVNULL)
    check(done.returncode == code, f"{args}: exit {done.returncode}: {done.stderr}")
    return done.stdout


def test_without_terminal():
    server = Server()
    golden("once", run("--once", "--interval", "100ms", *arguments(server)), 100)
    data = json.loads(run("--json", "--interval", "100ms", *arguments(server)))
    check(data["schema"] == 1 and data["server"]["up"] and data["server"]["entries"] == 12345, "server")
    figures = data["figures"]
    check(figures["hit_rate"]["now"] == 0.75 and figures["hit_memory"]["now"] == 0.5, f"hits: {figures['hit_rate']}")
    check(figures["p99"]["now"] == 16000 and figures["p999"]["now"] == 256000, "latency")
    check(figures["memory"]["now"] == 0.25 and figures["process_cpu"]["now"] is None, "machine")
    grade = data["grade"]
    check(grade["grade"] == "excellent" and grade["text"].startswith("100 excellent: response time p99 100 x"), "grade")
    check([part["points"] for part in grade["parts"]] == [100, None, None, None, 100], "its parts")
    check([s["name"] for s in data["run"]["stages"]][:2] == ["rom_loading", "patch_generation"], "stages")
    check(data["runs"] == {"memory": 0, "disk": 1, "shared": 0, "computed": 2, "failed": 0}, "who answered")
    check(data["alerts"][0]["state"] == "firing" and data["opportunities"][0]["gain"] == 0.25, "alerts, opportunities")
    check([t["progress"] for t in data["targets"]] == [1.0, 0.5, 0.75 / 0.9], f"targets: {data['targets']}")
    check(data["run"]["id"] != 1 and json.loads(run("--json", "--interval", "100ms", "--run", "1",
                                                    *arguments(server)))["run"]["id"] == 1, "a run by its number")
    budgets = FOLDER + "/budgets.yaml"
    with open(budgets, "w", encoding="ascii") as file:
        file.write("schema: 1\nbudgets:\n  - {name: slow, metric: monitor.p99, statistic: value, warning: 1us, critical: 8us}\n"
                   "  - {name: small, metric: monitor.server_memory, statistic: value, critical: 1GiB}\n")
    levels = {b["name"]: b["level"] for b in json.loads(run("--json", "--interval", "100ms", "--budgets", budgets,
                                                             *arguments(server)))["budgets"]}
    check(levels == {"slow": "critical", "small": "good"}, f"budgets: {levels}")
    text = run("--once", "--interval", "100ms", "--budgets", budgets, *arguments(server))
    check("CRITICAL slow" in text and "kept     small" in text, f"budgets: {text}")
    with open(budgets, "a", encoding="ascii") as file:
        file.write("nonsense: 1\n")
    run("--once", "--budgets", budgets, code=2)
    report = FOLDER + "/report.txt"
    run("--interval", "100ms", "--count", "5", "--report", report, "--every", "200ms", *arguments(server))
    with open(report, encoding="utf-8") as file:
        text = file.read()
    check(text.count("rounds") >= 2 and "FIRING critical latency p99: 12.5" in text, f"reports: {text}")
    lines = FOLDER + "/report.jsonl"
    run("--interval", "100ms", "--count", "3", "--report", lines, "--every", "100ms", *arguments(server))
    with open(lines, encoding="utf-8") as file:
        check(len([json.loads(line) for line in file]) >= 2, "reports as JSON lines")
    run("--report", "/nonexistent/x", "--interval", "100ms", "--every", "100ms", "--server", "none", code=1)
    check(json.loads(run("--json", "--interval", "100ms", "--server", "none", "--pid",
                         str(os.getpid())))["figures"]["process_memory"]["now"] > 1e6, "a process")
    for args in (["--interval", "1ms"], ["--every", "1s"], ["--count", "0"], ["--server", "nonsense"],
                 ["--target", "nonsense"], ["--report", "x", "--every", "10ms"]):
        run(*args, code=2)
    run("--pid", "999999999", code=1)
    run("--once", "--report", FOLDER + "/report.log", "--interval", "100ms", "--server", "none")  # and ends


def test_tmux():
    if not shutil.which("tmux"):
        print("skipped: no tmux")
        return
    server = Server()
    tmux = ["tmux", "-S", FOLDER + "/tmux", "-f", "/dev/null"]
    words = " ".join([BRISK, "monitor", "--interval", "200ms", *arguments(server)])
    env = ENV | {"LC_ALL": "C.UTF-8"}
    subprocess.run([*tmux, "new-session", "-d", "-x", "80", "-y", "24", "-s", "m", "-e",
                    "LD_LIBRARY_PATH=" + ENV.get("LD_LIBRARY_PATH", ""), words],
                   env=env, check=True)
    text = ""
    end = time.monotonic() + 10
    while not is_settled(text) and time.monotonic() < end:
        time.sleep(0.2)
        text = subprocess.run([*tmux, "capture-pane", "-p", "-t", "m"], env=env, capture_output=True, text=True,
                              check=False).stdout.rstrip("\n")
    golden("overview_80x24", text, 80)
    subprocess.run([*tmux, "kill-server"], env=env, check=False)


GROUPS = {"screens": (test_screens, test_keys, test_signals, test_dumb_terminals, test_tmux),
          "servers": (test_server_dies_and_comes_back, test_hostile_servers, test_without_terminal)}
try:
    for test in [t for name, group in GROUPS.items() for t in group if name in (sys.argv[3:] or GROUPS)]:
        began = time.monotonic()
        test()
        print(f"{test.__name__}: {time.monotonic() - began:.1f} s")
finally:
    shutil.rmtree(FOLDER, ignore_errors=True)
sys.exit(1 if failures else 0)
