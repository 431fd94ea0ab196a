#!/usr/bin/env python3
"""brisk rom apply as a whole process, against cp of the same files in the same run.

    bench_rom.py BRISK [--rounds N] [--folder DIR]

Every round runs every case once, in an order that rotates, so that a disturbance of the machine
hits all of them; the output file is removed before each run, outside the time.  Wall time is from
posix_spawn to the end of wait4, so it holds the start of the process; `true` shows how much that
is.  Processor time is what the kernel counted for the process: it bears a busy machine better.  ROMs, mods and patches are made from a fixed seed.  Prints one JSON object.
"""
import argparse
import json
import os
import pathlib
import platform
import random
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tests" / "rom"))
from romtools import crc32, make_lorom, varint  # noqa: E402

MB = 1 << 20
HACK_EDITS = {4: 1000, 32: 8000}  # by size in MB


class Script:
    """Target and BPS actions grow together, so no search is needed to make a delta."""

    def __init__(self, source: bytes):
        self.source = source
        self.target = bytearray()
        self.actions = bytearray()
        self.source_cursor = 0
        self.target_cursor = 0

    def action(self, kind: int, size: int):
        self.actions += varint((size - 1) << 2 | kind)

    def jump(self, delta: int):
        self.actions += varint(abs(delta) << 1 | (delta < 0))

    def keep(self, size: int):
        at = len(self.target)
        if size > 0:
            self.action(0, size)
            self.target += self.source[at:at + size]

    def literal(self, data: bytes):
        self.action(1, len(data))
        self.actions += data
        self.target += data

    def move(self, begin: int, size: int):
        self.action(2, size)
        self.jump(begin - self.source_cursor)
        self.target += self.source[begin:begin + size]
        self.source_cursor = begin + size

    def fill(self, value: int, size: int):
        self.literal(bytes([value]))
        begin = len(self.target) - 1
        self.action(3, size)
        self.jump(begin - self.target_cursor)
        self.target += bytes([value]) * size
        self.target_cursor = begin + size

    def patch(self) -> bytes:
        head = b"BPS1" + varint(len(self.source)) + varint(len(self.target)) + varint(0)
        body = head + self.actions
        body += struct.pack("<II", crc32(self.source), crc32(self.target))
        return body + struct.pack("<I", crc32(body))


def make_hack(source: bytes, edits: int, seed: int) -> tuple[bytes, bytes]:
    """A hack of the same size: many small changes, some moved blocks, some erased ones."""
    rng = random.Random(seed)
    script = Script(source)
    places = sorted(rng.sample(range(0x10000, len(source) - 0x8000), edits))
    for place in places:
        if place <= len(script.target):
            continue
        script.keep(place - len(script.target))
        dice = rng.random()
        if dice < 0.95:
            script.literal(rng.randbytes(rng.randint(1, 48)))
        elif dice < 0.98:
            size = rng.randint(512, 8192)
            script.move(rng.randrange(len(source) - size), size)
        else:
            script.fill(rng.randrange(256), rng.randint(256, 4096))
    script.keep(len(source) - len(script.target))
    return bytes(script.target), script.patch()


def make_mod(rom: bytes) -> str:
    rng = random.Random(5)
    text = "mod: bench\nsystem: snes\ncomponents:\n"
    for i in range(20):
        at = 0x1000 + i * 0x100
        text += (f"  - name: c{i}\n    write: {{at: 0x{at:X}, expect: \"{rom[at:at + 4].hex(' ')}\","
                 f" bytes: \"{rng.randbytes(4).hex(' ')}\"}}\n")
    return text


def spawn(args: list[str], env: dict) -> int:
    null = [(os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0),
            (os.POSIX_SPAWN_OPEN, 2, "/dev/null", os.O_WRONLY, 0)]
    return os.posix_spawnp(args[0], args, env, file_actions=null)


def time_run(args: list[str], env: dict, output: pathlib.Path) -> tuple[float, float]:
    """Milliseconds of wall and of processor time; the run must succeed."""
    output.unlink(missing_ok=True)
    begin = time.perf_counter_ns()
    _, status, used = os.wait4(spawn(args, env), 0)
    end = time.perf_counter_ns()
    if status != 0:
        said = subprocess.run(args, env=env, capture_output=True, text=True, check=False)
        raise SystemExit(f"{args}: status {status}: {said.stderr}")
    return (end - begin) / 1e6, (used.ru_utime + used.ru_stime) * 1e3


def anonymous_peak(args: list[str], env: dict, output: pathlib.Path) -> int:
    """Largest RssAnon seen while it ran, polled without pause: memory that is not a mapped file."""
    output.unlink(missing_ok=True)
    pid = spawn(args, env)
    peak = 0
    while True:
        try:
            text = pathlib.Path(f"/proc/{pid}/status").read_text()
            peak = max(peak, int(text.split("RssAnon:")[1].split()[0]) * 1024)
        except (OSError, IndexError):
            pass
        if os.waitpid(pid, os.WNOHANG)[0] != 0:
            return peak


def summary(runs: list[tuple[float, float]]) -> dict:
    times = [wall for wall, _ in runs]
    quarters = statistics.quantiles(times, n=4)
    return {"median_ms": round(statistics.median(times), 3), "min_ms": round(min(times), 3),
            "p25_ms": round(quarters[0], 3), "p75_ms": round(quarters[2], 3),
            "cpu_median_ms": round(statistics.median(cpu for _, cpu in runs), 3)}


def prepare(folder: pathlib.Path, brisk: str) -> tuple[dict, dict]:
    """Files and cases: name -> (arguments, cp that it is compared with)."""
    cases, sizes = {}, {}
    out = str(folder / "out")
    for mb, edits in HACK_EDITS.items():
        rom, patch, copy = (folder / f"{mb}.{end}" for end in ("sfc", "bps", "hack"))
        source = bytes(make_lorom(mb * MB, seed=mb))
        target, delta = make_hack(source, edits, seed=mb)
        rom.write_bytes(source)
        copy.write_bytes(target)
        patch.write_bytes(delta)
        sizes[f"{mb}mb"] = {"rom": len(source), "bps": len(delta)}
        base = [brisk, "rom", "apply", str(rom), str(patch), "-o", out]
        cp = f"cp_{mb}mb"
        cases[cp] = (["cp", str(copy), out], None)
        cases[f"bps_{mb}mb"] = (base + ["--no-cache", "--no-fsync"], cp)
        cases[f"bps_{mb}mb_fsync"] = (base + ["--no-cache"], cp)
        cases[f"bps_{mb}mb_warm"] = (base + ["--no-fsync"], cp)
        if mb == 4:
            mod = folder / "mod.yaml"
            mod.write_text(make_mod(source))
            with_mod = [brisk, "rom", "apply", str(rom), str(mod), "-o", out, "--no-cache"]
            cases["mod_4mb"] = (with_mod + ["--no-fsync"], cp)
            cases["mod_4mb_fsync"] = (with_mod, cp)
        if shutil.which("flips"):
            cases[f"flips_{mb}mb"] = (["flips", "--apply", str(patch), str(rom), out], cp)
        if shutil.which("xdelta3"):
            delta3 = folder / f"{mb}.xdelta"
            subprocess.run(["xdelta3", "-e", "-f", "-s", rom, copy, delta3], check=True)
            cases[f"xdelta3_{mb}mb"] = (["xdelta3", "-d", "-f", "-s", str(rom), str(delta3), out],
                                        cp)
    cases["version"] = ([brisk, "version"], None)
    cases["true"] = (["true"], None)
    return cases, sizes


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("brisk")
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--folder", default=None, help="where ROMs and outputs live")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as temporary:
        folder = pathlib.Path(temporary)
        env = os.environ | {"XDG_CACHE_HOME": temporary}
        cases, sizes = prepare(folder, os.path.abspath(given.brisk))
        os.sync()
        out = folder / "out"
        times = {name: [] for name in cases}
        for args, _ in cases.values():  # warms page cache, program and the brisk cache
            time_run(args, env, out)
        names = list(cases)
        for i in range(given.rounds):
            for name in names[i % len(names):] + names[:i % len(names)]:
                times[name].append(time_run(cases[name][0], env, out))
        memory = {name: max(anonymous_peak(cases[name][0], env, out) for _ in range(5))
                  for name in ("bps_32mb", "bps_32mb_warm", "bps_4mb", "mod_4mb")}
        how = subprocess.run(cases["bps_32mb_warm"][0] + ["--profile"], env=env, check=True,
                             capture_output=True, text=True).stdout.splitlines()
    report = {
        "bench": "rom", "schema": 1, "rounds": given.rounds, "machine": platform.machine(),
        "cpus": os.cpu_count(), "kernel": platform.release(),
        "method": "whole process, wall, interleaved, output removed before each run",
        "inputs": sizes, "cases": {}, "anonymous_peak_bytes": memory,
        "warm_32mb": [line for line in how if line.startswith(("rom_patching", "file_writing"))
                      or "answered" in line.split(" (")[-1]][:3],
    }
    for name, (_, cp) in cases.items():
        row = summary(times[name])
        if cp is not None:
            beside = summary(times[cp])
            row["ratio_to_cp"] = round(row["median_ms"] / beside["median_ms"], 2)
            row["cpu_ratio_to_cp"] = round(row["cpu_median_ms"] / beside["cpu_median_ms"], 2)
        report["cases"][name] = row
    json.dump(report, sys.stdout, indent=1)
    print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
