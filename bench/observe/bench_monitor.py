#!/usr/bin/env python3
"""What `brisk monitor` costs beside btop: processor time at one round a second, side by side; prints JSON.

    bench_monitor BRISK [--seconds S]

Both draw on terminals of 120 x 40 of their own at the same time; brisk watches a server that answers, too.  Processor
time is what the kernel counted for the process at its end (wait4), start and end included.
"""
import fcntl
import json
import os
import pty
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import time

BRISK = sys.argv[1]
SECONDS = float(sys.argv[sys.argv.index("--seconds") + 1]) if "--seconds" in sys.argv else 55


def start(words, env):
    master, slave = pty.openpty()
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))

    def child():
        os.setsid()
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)

    process = subprocess.Popen(words, stdin=slave, stdout=slave, stderr=slave, preexec_fn=child, env=env)
    os.close(slave)
    return process, master


def main():
    folder = tempfile.mkdtemp(prefix="bench-monitor-")
    env = os.environ | {"TERM": "xterm-256color", "LC_ALL": "C.UTF-8", "XDG_CONFIG_HOME": folder}
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    server = subprocess.Popen([BRISK, "serve", "--foreground", "--listen", f"127.0.0.1:{port}"], stderr=subprocess.DEVNULL)
    time.sleep(0.5)
    shown = {"brisk monitor": start([BRISK, "monitor", "--server", f"127.0.0.1:{port}"], env)}
    if shutil.which("btop"):
        os.makedirs(folder + "/btop")
        with open(folder + "/btop/btop.conf", "w", encoding="ascii") as file:
            file.write("update_ms = 1000\n")
        shown["btop"] = start(["btop"], env)
    sent = dict.fromkeys(shown, 0)
    end = time.monotonic() + SECONDS
    masters = {master: name for name, (_, master) in shown.items()}
    while time.monotonic() < end:
        for master in select.select(list(masters), [], [], 0.2)[0]:
            sent[masters[master]] += len(os.read(master, 1 << 16))
    result = {}
    for name, (process, master) in shown.items():
        process.send_signal(signal.SIGTERM if name != "btop" else signal.SIGKILL)
        _, _, usage = os.wait4(process.pid, 0)
        cpu = usage.ru_utime + usage.ru_stime
        result[name] = {"cpu_percent_of_a_core": round(100 * cpu / SECONDS, 3), "cpu_s": round(cpu, 4),
                        "bytes_per_second": round(sent[name] / SECONDS), "peak_kib": usage.ru_maxrss}
        os.close(master)
    server.terminate()
    server.wait()
    shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps({"schema": 1, "seconds": SECONDS, "result": result}, indent=2))


main()
