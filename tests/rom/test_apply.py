#!/usr/bin/env python3
"""`brisk rom info` and `brisk rom apply` from outside: results, refusals, the cache, the disk.

    test_apply.py BRISK
"""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from romtools import (crc32, fix_snes, make_bps, make_ips, make_lorom, make_ups, random_bytes)

STAGES = ["rom_loading", "address_resolution", "patch_generation", "conflict_detection",
          "rom_patching", "validation", "file_writing"]


class Program:
    """The program in a folder of its own with a cache of its own."""

    def __init__(self, brisk: str, folder: pathlib.Path):
        self.brisk = brisk
        self.folder = folder
        self.env = os.environ | {"XDG_CACHE_HOME": str(folder / "cache")}
        self.env.pop("BRISK_CACHE_DISK_ENABLED", None)

    def path(self, name: str) -> pathlib.Path:
        return self.folder / name

    def write(self, name: str, data) -> pathlib.Path:
        path = self.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.encode() if isinstance(data, str) else bytes(data))
        return path

    def run(self, *args, status: int = 0):
        done = subprocess.run([self.brisk, "rom", *map(str, args)], cwd=self.folder, env=self.env,
                              capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == status, (args, done.returncode, done.stdout, done.stderr)
        return done

    def apply(self, *args, status: int = 0):
        return self.run("apply", *args, "--no-fsync", status=status)

    def refuse(self, *args, says: str, lines: int = 1, output: str = "out.sfc"):
        """Exit 1, `lines` lines on standard error that contain `says`, no output file."""
        before = sorted(os.listdir(self.folder))
        done = self.apply(*args, "-o", output, status=1)
        assert says.lower() in done.stderr.lower(), (says, done.stderr)
        assert lines is None or done.stderr.count("\n") == lines, done.stderr
        assert done.stdout == "", done.stdout
        assert sorted(os.listdir(self.folder)) in (before, sorted(before + ["cache"])), "left over"
        return done.stderr

    def read(self, name: str = "out.sfc") -> bytes:
        return self.path(name).read_bytes()


def yaml_mod(name: str, *writes, head: str = "") -> str:
    text = f"mod: {name}\n{head}components:\n"
    for i, (at, data) in enumerate(writes):
        text += f"  - name: c{i}\n    write: {{at: {at}, bytes: \"{data.hex(' ')}\"}}\n"
    return text


def test_info(p: Program):
    rom = make_lorom(65536)
    p.write("a.sfc", rom)
    p.write("headered.smc", bytes(512) + rom)
    text = p.run("info", "a.sfc").stdout
    for words in ("SNES", "LoROM", "TEST ROM", "65536 bytes", f"{crc32(rom):08x}", "(right)"):
        assert words in text, (words, text)
    done = p.run("info", "a.sfc", "missing", "headered.smc", "--json", status=1)
    assert done.stderr.count("\n") == 1 and "missing" in done.stderr, done.stderr
    files = json.loads(done.stdout)["files"]
    assert [f["path"] for f in files] == ["a.sfc", "missing", "headered.smc"]
    assert files[1]["error"]["code"] == "BRISK_ERR_NOT_FOUND" and "missing" in files[1]["error"]["message"]
    del files[1]
    assert files[1]["copier_header_bytes"] == 512 and files[1]["crc32"] == f"{crc32(rom):08x}"
    assert all(c["right"] for c in files[0]["checksums"])
    p.write("empty", b"")
    assert "empty" in p.run("info", "empty", status=1).stderr
    p.run("info", status=2)


def test_mod_file_fixes_the_checksum(p: Program):
    rom = make_lorom(65536)
    p.write("a.sfc", rom)
    p.write("m.yaml", yaml_mod("m", ("$008100", b"\xea\xea"), ("0x200", b"\x01\x02\x03")))
    done = p.apply("a.sfc", "m.yaml", "-o", "out.sfc")
    expected = bytearray(rom)
    expected[0x100:0x102] = b"\xea\xea"
    expected[0x200:0x203] = b"\x01\x02\x03"
    assert p.read() == bytes(fix_snes(expected))
    assert f"out.sfc: 65536 bytes, CRC32 {crc32(expected):08x}, 1 mod, checksum fixed, " \
        in done.stdout, done.stdout
    p.apply("a.sfc", "m.yaml", "-o", "never.sfc", "--fix-checksums", "never")
    expected[0x7FDC:0x7FE0] = rom[0x7FDC:0x7FE0]
    assert p.read("never.sfc") == bytes(expected)
    assert p.read("a.sfc") == bytes(rom), "the input was changed"


def test_cold_warm_and_uncached_are_the_same(p: Program):
    for size in (65536, 4 << 20):
        rom = make_lorom(size)
        target = bytearray(rom)
        target[size // 2:size // 2 + 1000] = random_bytes(1000, 7)
        p.write("a.sfc", rom)
        p.write("p.bps", make_bps(rom, target))
        p.write("m.yaml", yaml_mod("m", ("$008100", b"\xea")))
        for mods in (["p.bps"], ["m.yaml"], ["p.bps", "m.yaml"]):
            results, said = [], []
            for how in (["--no-cache"], [], [], ["--no-cache"]):
                done = p.apply("a.sfc", *mods, "-o", "out.sfc", "--json", *how)
                results.append(p.read())
                said.append(json.loads(done.stdout))
            assert len(set(results)) == 1, mods
            assert [said[i]["how"] for i in (0, 1, 3)] == ["computed"] * 3, said
            assert said[2]["crc32"] == said[1]["crc32"]
            if said[2]["how"] == "answered":
                assert said[2]["tier"] == "disk" and said[2]["placed_by"], said[2]
            else:  # a large entry may be declined when computing was cheaper, and says so
                assert size > 1 << 20, said[2]
                assert "computing won" in said[2]["stages"][4]["note"], said[2]
            assert [s["stage"] for s in said[0]["stages"]] == STAGES, said[0]["stages"]
        assert results[0] != bytes(target)


def test_damaged_entries_are_computed_again(p: Program):
    for size in (65536, 4 << 20):
        rom = make_lorom(size)
        p.write("a.sfc", rom)
        p.write("m.yaml", yaml_mod("m", ("$008100", b"\xea")))
        p.apply("a.sfc", "m.yaml", "-o", "good.sfc", "--no-cache")
        p.apply("a.sfc", "m.yaml", "-o", "out.sfc")
        damaged = 0
        for path in p.path("cache").rglob("*"):
            if path.is_file() and path.stat().st_size >= 4096:
                data = bytearray(path.read_bytes())
                for at in range(1000, len(data), 4001):
                    data[at] ^= 0x55
                path.chmod(0o600)
                path.write_bytes(data)
                damaged += 1
        assert damaged > 0
        for _ in range(2):
            p.path("out.sfc").unlink()
            p.apply("a.sfc", "m.yaml", "-o", "out.sfc")
            assert p.read() == p.read("good.sfc"), size
        shutil.rmtree(p.path("cache"))


def test_broken_cache_changes_nothing(p: Program):
    p.write("a.sfc", make_lorom(65536))
    p.write("m.yaml", yaml_mod("m", ("$008100", b"\xea")))
    p.apply("a.sfc", "m.yaml", "-o", "good.sfc", "--no-cache")
    shutil.rmtree(p.path("cache"), ignore_errors=True)
    p.write("cache", "a file where the folder should be")
    p.apply("a.sfc", "m.yaml", "-o", "out.sfc")
    assert p.read() == p.read("good.sfc")
    p.path("cache").unlink()


def test_conflicts_name_both_and_all(p: Program):
    p.write("a.sfc", make_lorom(65536))
    p.write("m.yaml", yaml_mod("one", ("$008100", b"\xea\xea"), ("0x300", b"\x01")))
    p.write("n.yaml", yaml_mod("two", ("$008101", b"\xea\x60"), ("0x300", b"\x02")))
    p.write("same.yaml", yaml_mod("three", ("$008100", b"\xea\xea\xea")))
    said = p.refuse("a.sfc", "m.yaml", "n.yaml", says="1 conflicting write", lines=2)
    assert "one/c1 wants 01, two/c1 wants 02" in said and "(0x300)" in said, said
    p.apply("a.sfc", "m.yaml", "same.yaml", "-o", "out.sfc")
    done = p.apply("a.sfc", "m.yaml", "n.yaml", "-o", "no.sfc", "--json", status=1)
    told = json.loads(done.stdout)
    assert told["result"] == "BRISK_ERR_CONFLICT"
    assert told["error"]["stage"] == "conflict_detection"
    assert told["error"]["code"] == "BRISK_ERR_CONFLICT"
    assert told["total"] == 1 and told["conflicts"][0]["first"] == "one/c1"
    p.write("twice.yaml", yaml_mod("t", ("0x300", b"\x01"), ("0x300", b"\x02")))
    p.refuse("a.sfc", "twice.yaml", says="t/c0 wants 01, t/c1 wants 02", lines=2)
    # Two hacks that each bring their own checksum do not contradict each other.
    rom = p.read("a.sfc")
    for i, at in enumerate((0x400, 0x500)):
        hack = bytearray(rom)
        hack[at] ^= 0xFF
        p.write(f"h{i}.bps", make_bps(rom, fix_snes(hack)))
    p.apply("a.sfc", "h0.bps", "h1.bps", "-o", "out.sfc")
    both = bytearray(rom)
    both[0x400] ^= 0xFF
    both[0x500] ^= 0xFF
    assert p.read() == bytes(fix_snes(both))
    p.refuse("a.sfc", "h0.bps", "h1.bps", "--fix-checksums", "never", says="h0.bps wants", lines=None,
             output="n.sfc")


def test_stacked_patches(p: Program):
    rom = make_lorom(65536)
    first = bytearray(rom)
    first[0x1000:0x1010] = random_bytes(16, 3)
    second = bytearray(first) + bytearray(random_bytes(65536, 9))
    second[0x1008:0x1018] = random_bytes(16, 4)
    p.write("a.sfc", rom)
    p.write("1.bps", make_bps(rom, first))
    for name, make in (("2.bps", make_bps), ("2.ups", make_ups)):
        p.write(name, make(first, second))
        p.apply("a.sfc", "1.bps", name, "-o", "out.sfc")
        assert p.read() == bytes(second), name
        said = p.refuse("a.sfc", name, says=name, output="no.sfc")
        assert f"{crc32(first):08X}" in said and f"{crc32(rom):08X}" in said, said
    p.write("m.yaml", yaml_mod("m", ("0x3000", b"\x11")))
    p.refuse("a.sfc", "m.yaml", "2.bps", says="made for a ROM with CRC32", output="no.sfc")
    p.apply("a.sfc", "1.bps", "2.bps", "m.yaml", "-o", "out.sfc")
    second[0x3000] = 0x11
    assert p.read()[0x3000] == 0x11 and p.read()[0x10000:] == bytes(second[0x10000:])
    # On top of a mod file: its result has the checksum fixed, and that is what was patched.
    p.apply("a.sfc", "m.yaml", "-o", "m.sfc")
    base = p.read("m.sfc")
    third = bytearray(base)
    third[0x5000] ^= 1
    p.write("3.bps", make_bps(base, third))
    p.apply("a.sfc", "m.yaml", "3.bps", "-o", "out.sfc")
    assert p.read() == bytes(third)


def test_wrong_rom(p: Program):
    rom = make_lorom(65536)
    p.write("a.sfc", rom)
    other = make_lorom(65536, title="OTHER", seed=2)
    p.write("p.bps", make_bps(other, random_bytes(100, 1)))
    p.refuse("a.sfc", "p.bps", says=f"{crc32(other):08x}")
    p.write("t.yaml", yaml_mod("m", ("0x10", b"\1"), head="target: {title: OTHER}\n"))
    p.refuse("a.sfc", "t.yaml", says="t.yaml:2: the mod is for a ROM with title 'OTHER'")
    p.write("c.yaml", yaml_mod("m", ("0x10", b"\1"), head="target: {crc32: 12345678}\n"))
    p.refuse("a.sfc", "c.yaml", says="CRC32 12345678")
    p.write("ok.yaml", yaml_mod("m", ("0x10", b"\1"),
                                head=f"target: {{crc32: [12345678, {crc32(rom):08X}]}}\n"))
    p.write("s.yaml", yaml_mod("m", ("0x10", b"\1"), head="system: nes\n"))
    p.refuse("a.sfc", "s.yaml", says="s.yaml:2: the mod is for NES")
    p.write("x.yaml", yaml_mod("m", ("0x10", b"\1"), head="system: vectrex\n"))
    p.refuse("a.sfc", "x.yaml", says="'vectrex' is not known")
    for mod in ("ok.yaml", ):
        p.apply("a.sfc", mod, "-o", "out.sfc")
    for mod in ("t.yaml", "c.yaml", "s.yaml"):
        p.apply("a.sfc", mod, "-o", "out.sfc", "--force")
        assert p.read()[0x10] == 1


def test_mod_file_errors(p: Program):
    rom = make_lorom(65536)
    p.write("a.sfc", rom)
    head = "mod: m\ncomponents:\n  - name: c\n"
    cases = [
        (head + "    write:\n      at: $7E0020\n      bytes: EA\n", "m.yaml:5: "),
        (head + "    write:\n      at: 0x10000\n      bytes: EA\n", "m.yaml:5: 1 byte at 0x10000 reaches"),
        (head + "    write:\n      at: 0xFFFF\n      bytes: EA EA\n", "m.yaml:5: 2 bytes at 0xFFFF"),
        (head + "    write:\n      at: $008000\n      expect: 00 01\n      bytes: EA\n",
         "m.yaml:5: expected 00 01 at $008000, but a.sfc has 78 18 there"),
        (head + "    write:\n      at: x\n      bytes: EA\n", "m.yaml:5: at: 'x' is no address"),
        (head + "    patch: {file: none.ips}\n", "none.ips"),
        (head + "    patch: {file: ../a.ips}\n", "m.yaml:4: file must lie"),
        ("mod: [\n", "m.yaml:"),
        ("", "m.yaml:1: not a mod file"),
    ]
    for text, says in cases:
        p.write("m.yaml", text)
        p.refuse("a.sfc", "m.yaml", says=says)
    p.write("m.yaml", b"\x00\x01 no patch, no text")
    p.write("junk", b"\x00\x01 no patch, no text")
    p.refuse("a.sfc", "m.yaml", says="m.yaml")
    p.refuse("a.sfc", "junk", says="junk")


def test_components_that_are_patches(p: Program):
    rom = make_lorom(65536)
    p.write("a.sfc", rom)
    hack = bytearray(rom)
    hack[0x600:0x610] = random_bytes(16, 5)
    p.write("mods/sub/h.bps", make_bps(rom, hack))
    p.write("mods/f.ips", make_ips([(0x700, b"\1\2\3"), (0x600, rom[0x600:0x610])]))
    p.write("mods/m.yaml", "mod: m\ncomponents:\n  - name: hack\n    patch: {file: sub/h.bps}\n"
            "  - name: font\n    patch: {file: f.ips}\n"
            "  - name: w\n    write: {at: 0x800, bytes: 01}\n")
    p.apply("a.sfc", "mods/m.yaml", "-o", "out.sfc")
    hack[0x700:0x703] = b"\1\2\3"
    hack[0x800] = 1
    assert p.read() == bytes(fix_snes(hack)), "an IPS record over unchanged bytes is no claim"
    p.write("mods/f.ips", make_ips([(0x600, b"zz")]))
    p.refuse("a.sfc", "mods/m.yaml", says="m/hack wants", lines=2, output="no.sfc")
    p.write("mods/f.ips", make_ips([(0x700, b"\1\2\4")]))
    p.apply("a.sfc", "mods/m.yaml", "-o", "out.sfc")
    assert p.read()[0x702] == 4, "the key knows the patches that a mod file names"


def test_many_large_patches(p: Program):
    rom = make_lorom(65536)
    p.write("a.sfc", rom)
    records = b"".join((i % 60000).to_bytes(3, "big") + b"\0\0\xff\xffA" for i in range(20000))
    p.write("rle.ips", b"PATCH" + records + b"EOF")

    def generated(*mods) -> str:
        done = p.apply("a.sfc", *mods, "-o", "out.sfc", "--no-cache", "--json")
        return next(s["note"] for s in json.loads(done.stdout)["stages"]
                    if s["stage"] == "patch_generation")

    def name(count: int, file: str = "rle.ips") -> str:
        return "mod: m\ncomponents:\n" + "".join(
            f"  - name: c{i}\n    patch: {{file: {file.format(i)}}}\n" for i in range(count))

    # What is named many times is generated once, and the result is the same.
    p.write("one.yaml", name(1))
    p.write("many.yaml", name(3000))
    note = generated("one.yaml")
    expected = p.read()
    for mods in (["many.yaml"], ["rle.ips"] * 60, ["many.yaml", "rle.ips", "one.yaml", "many.yaml"]):
        assert generated(*mods) == note, mods
        assert p.read() == expected
    os.remove(p.path("out.sfc"))

    # Different files are counted, before anything is generated.
    size = 1 << 20
    p.write("big.ips", b"PATCH" + b"".join((8 * i).to_bytes(3, "big") + b"\0\1A"
                                           for i in range(size)) + b"EOF")
    for i in range(5):
        os.link(p.path("big.ips"), p.path(f"big{i}.ips"))
    p.write("big.yaml", name(5, "big{}.ips"))
    p.refuse("a.sfc", "big.yaml", says="records together")
    # So is memory: 200 patches of 2 KiB that make 16 MiB each.
    for i in range(200):
        runs = b"".join((65536 * k).to_bytes(3, "big") + b"\0\0\xff\xff" + bytes([i])
                        for k in range(250))
        p.write(f"wide{i}.ips", b"PATCH" + runs + b"EOF")
    p.write("wide.yaml", name(200, "wide{}.ips"))
    p.refuse("a.sfc", "wide.yaml", says="bytes out of themselves")


def test_sizes(p: Program):
    rom = make_lorom(65536)
    p.write("a.sfc", rom)
    p.write("grow.ips", make_ips([(0x18000, b"\x77")]))
    p.write("cut.ips", make_ips([(0x100, b"\x78")], cut=0x9000))
    p.write("m.yaml", yaml_mod("m", ("0x8800", b"\1")))
    p.write("high.yaml", yaml_mod("m", ("0xA000", b"\1")))
    p.apply("a.sfc", "grow.ips", "-o", "out.sfc")
    assert len(p.read()) == 0x18001 and p.read()[0x10000:0x18000] == bytes(0x8000)
    p.apply("a.sfc", "cut.ips", "m.yaml", "-o", "out.sfc")
    assert len(p.read()) == 0x9000 and p.read()[0x8800] == 1
    p.refuse("a.sfc", "cut.ips", "high.yaml", says="cut.ips cuts the file to 36864", output="n.sfc")
    p.refuse("a.sfc", "cut.ips", "grow.ips", says="they cannot be merged", output="n.sfc")


def test_copier_header(p: Program):
    rom = make_lorom(65536)
    hack = bytearray(rom)
    hack[0x600:0x610] = random_bytes(16, 5)
    copier = bytes([0x5A]) * 512
    p.write("a.smc", copier + rom)
    p.write("p.bps", make_bps(rom, hack))
    p.write("m.yaml", yaml_mod("m", ("$008900", b"\1"), ("0x901", b"\2")))
    p.apply("a.smc", "p.bps", "-o", "out.sfc")
    assert p.read() == copier + hack
    p.apply("a.smc", "p.bps", "m.yaml", "-o", "out.sfc")
    hack[0x900:0x902] = b"\1\2"
    assert p.read() == copier + bytes(fix_snes(hack))
    # IPS counts the header; a right checksum that it breaks is made right, as without a header.
    hack = bytearray(rom)
    hack[0x300:0x302] = b"\xa5\x5a"
    p.write("p.ips", make_ips([(0x500, b"\xa5\x5a")]))
    p.apply("a.smc", "p.ips", "-o", "out.sfc")
    assert p.read() == copier + bytes(fix_snes(hack))
    p.write("own.ips", make_ips([(0x500, b"\xa5\x5a"), (0x200 + 0x7fdc, b"\1\2\3\4")]))
    hack[0x7fdc:0x7fe0] = b"\1\2\3\4"
    p.apply("a.smc", "own.ips", "-o", "out.sfc")
    assert p.read() == copier + bytes(hack)


def test_dry_run(p: Program):
    rom = make_lorom(65536)
    p.write("a.sfc", rom)
    p.write("m.yaml", yaml_mod("m", ("$008100", b"\xea\xea")))
    before = sorted(os.listdir(p.folder))
    text = p.apply("a.sfc", "m.yaml", "--dry-run").stdout
    old = rom[0x100:0x102].hex(" ").upper()
    for words in ("0x000100", "$008100", old, "EA EA", "m/c0", "1 write, 2 bytes", "expected time"):
        assert words in text, (words, text)
    told = json.loads(p.apply("a.sfc", "m.yaml", "--dry-run", "--json").stdout)
    assert told["writes"] == [{"file_offset": 0x100, "address": "$008100", "bytes": 2,
                               "old": rom[0x100:0x102].hex(), "new": "eaea", "component": "m/c0"}]
    assert sorted(os.listdir(p.folder)) in (before, sorted(before + ["cache"]))
    real = json.loads(p.apply("a.sfc", "m.yaml", "-o", "o.sfc", "--json").stdout)
    assert told["crc32"] == real["crc32"]
    hack = bytearray(rom)
    hack[0x300] ^= 1
    p.write("p.bps", make_bps(rom, hack))
    assert "p.bps" in p.apply("a.sfc", "p.bps", "-n").stdout


def test_file_size_limit(p: Program):
    """ulimit -f is an error that says so, computed or placed, and nothing is left behind."""
    p.write("a.sfc", make_lorom(65536))
    p.write("a.yaml", yaml_mod("m", ("0x10", b"\x01")))

    def limited(*args):
        before = sorted(os.listdir(p.folder))
        done = subprocess.run(["sh", "-c", 'ulimit -f 20; exec "$@"', "-", p.brisk, "rom", "apply",
                               "a.sfc", "a.yaml", "-o", "out.sfc", "--no-fsync", *args],
                              cwd=p.folder, env=p.env, capture_output=True, text=True, check=False,
                              timeout=60)
        assert done.returncode == 1 and "file too large" in done.stderr, done
        assert done.stdout == "" and "out.sfc" in done.stderr.splitlines()[-1], done
        assert sorted(os.listdir(p.folder)) == before, "left over"

    p.apply("a.sfc", "a.yaml", "-o", "b.sfc")
    limited("--no-cache")
    limited()


def test_output_is_never_an_input(p: Program):
    rom = make_lorom(65536)
    p.write("a.sfc", rom)
    p.write("m.yaml", yaml_mod("m", ("$008100", b"\xea\xea")))
    os.link(p.path("a.sfc"), p.path("hard.sfc"))
    os.symlink("a.sfc", p.path("soft.sfc"))
    for name in ("a.sfc", "hard.sfc", "soft.sfc", "./a.sfc", "m.yaml"):
        done = p.apply("a.sfc", "m.yaml", "-o", name, status=1)
        assert "is the same file as the input" in done.stderr, done.stderr
        done = p.apply("a.sfc", "m.yaml", "-o", "fresh.sfc", "--trace", name, status=1)
        assert "is the same file as the input" in done.stderr, done.stderr
        p.apply("a.sfc", "m.yaml", "--dry-run", "--trace", name, status=1)
    p.apply("a.sfc", "missing.yaml", "-o", "fresh.sfc", "--trace", "a.sfc", status=1)
    assert p.read("a.sfc") == bytes(rom) and not p.path("fresh.sfc").exists()
    for _ in range(2):  # new, then already there
        done = p.apply("a.sfc", "m.yaml", "-o", "fresh.sfc", "--trace", "./fresh.sfc", status=1)
        assert "is the output" in done.stderr, done.stderr
        assert "fresh.sfc was written, the trace was not" in done.stderr, done.stderr
        assert len(p.read("fresh.sfc")) == len(rom)
    os.remove(p.path("fresh.sfc"))
    # A trace that cannot be written is known before the work.
    for name, says in (("nodir/x", "no such file"), ("/dev/full", "not a regular file"), ("", "")):
        done = p.apply("a.sfc", "m.yaml", "-o", "fresh.sfc", "--trace", name, status=1)
        assert says in done.stderr.lower() and done.stdout == "", done
        assert not p.path("fresh.sfc").exists()


def test_output_places(p: Program):
    p.write("a.sfc", make_lorom(65536))
    p.write("m.yaml", yaml_mod("m", ("$008100", b"\xea\xea")))
    p.path("folder").mkdir()
    os.mkfifo(p.path("fifo"))
    p.refuse("a.sfc", "m.yaml", says="folder", output="folder")
    p.refuse("a.sfc", "m.yaml", says="fifo", output="fifo")
    p.refuse("a.sfc", "m.yaml", says="none/out.sfc", output="none/out.sfc")
    p.refuse("a.sfc", "m.yaml", says="/dev/full", output="/dev/full")
    p.refuse("fifo", "m.yaml", says="fifo")
    p.refuse("folder", "m.yaml", says="folder")
    p.refuse("a.sfc", "fifo", says="fifo")
    p.refuse("a.sfc", "missing.yaml", says="missing.yaml")
    p.refuse("m.yaml", "missing.yaml", says="missing.yaml")
    p.write("empty", b"")
    p.refuse("empty", "m.yaml", says="empty")
    p.refuse("a.sfc", "empty", says="empty")
    p.write("out.sfc", "what was there before")
    p.path("out.sfc").chmod(0o640)
    p.apply("a.sfc", "m.yaml", "-o", "out.sfc")
    assert len(p.read()) == 65536 and p.path("out.sfc").stat().st_mode & 0o777 == 0o640
    if os.geteuid() != 0:
        p.path("folder").chmod(0o500)
        p.refuse("a.sfc", "m.yaml", says="folder/o", output="folder/o")
        p.path("folder").chmod(0o700)
    limited = subprocess.run(["sh", "-c", "ulimit -f 16; trap '' XFSZ; exec \"$@\"", "sh", p.brisk,
                              "rom", "apply", "a.sfc", "m.yaml", "-o", "big.sfc", "--no-cache"],
                             cwd=p.folder, env=p.env, capture_output=True, text=True, check=False)
    assert limited.returncode == 1 and "big.sfc" in limited.stderr, limited
    assert not p.path("big.sfc").exists()


def test_damaged_patches(p: Program):
    rom = make_lorom(32768)
    hack = bytearray(rom)
    hack[0x300:0x304] = b"abcd"
    p.write("a.sfc", rom)
    for name, patch in (("p.bps", make_bps(rom, hack)), ("p.ups", make_ups(rom, hack)),
                        ("p.ips", make_ips([(0x300, b"abcd")]))):
        for size in (*range(0, len(patch), 3), len(patch) - 1):
            p.write(name, patch[:size])
            p.refuse("a.sfc", name, says=name)
        if name != "p.ips":
            for bit in range(0, len(patch) * 8, 61):
                flipped = bytearray(patch)
                flipped[bit // 8] ^= 1 << bit % 8
                p.write(name, flipped)
                p.refuse("a.sfc", name, says=name)


def test_interrupted_leaves_nothing(p: Program):
    rom = make_lorom(4 << 20)
    hack = bytearray(rom)
    hack[0x100000:0x100100] = bytes(256)
    p.write("a.sfc", rom)
    p.write("p.bps", make_bps(rom, hack))
    p.write("m.yaml", yaml_mod("m", ("$008100", b"\xea\xea")))
    inputs = sorted(os.listdir(p.folder))
    ended = set()
    for i in range(40):
        run = subprocess.Popen([p.brisk, "rom", "apply", "a.sfc", "p.bps", "m.yaml", "-o", "o.sfc",
                                "--no-cache"], cwd=p.folder, env=p.env, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
        time.sleep(i * 0.0005)
        run.send_signal(signal.SIGINT)
        ended.add(run.wait())
        if "o.sfc" in os.listdir(p.folder):
            assert len(p.read("o.sfc")) == len(rom), "a part of the output"
            p.path("o.sfc").unlink()
        assert sorted(os.listdir(p.folder)) in (inputs, sorted(inputs + ["cache"]))
    assert ended - {0}, "no run was interrupted"


def test_names_do_not_reach_the_terminal_raw(p: Program):
    rom = make_lorom(65536)
    escape, c1 = "\x1b[31m", "\u009b31m"
    for name in (f"a{escape}.sfc", f"a{c1}.sfc"):
        p.write(name, rom)
        p.write(f"{name}.ips", make_ips([(0x300, b"\x11")]))
        p.write("m.yaml", yaml_mod("m", ("0x300", b"\x12")))
        p.write("bad.yaml", "mod: x\ntarget: {title: NO}\ncomponents:\n"
                            " - {name: y, write: {at: 0x1, bytes: 01}}\n")
        said = [p.run("info", name), p.apply(name, "m.yaml", "-o", f"{name}.out"),
                p.apply(name, f"{name}.ips", "-n"),
                p.apply(name, f"{name}.ips", "m.yaml", "-o", "o", status=1),
                p.apply(name, "bad.yaml", "-o", "o", status=1)]
        for done in said:
            text = done.stdout + done.stderr
            assert "\x1b" not in text and "\u009b" not in text, text
            assert "?" in text, text
    p.write("title.yaml", 'mod: "a\\u009b31m"\ncomponents:\n - {name: y, write: {at: 0x1, bytes: 01}}\n')
    p.refuse(name, "title.yaml", says="control character")


def test_input_that_is_cut_meanwhile(p: Program):
    rom = make_lorom(16 << 20)
    hack = bytearray(rom)
    hack[0x100000:0x100100] = bytes(256)
    p.write("p.bps", make_bps(rom, hack))
    cut = 0
    for i in range(20):
        p.write("a.sfc", rom)
        run = subprocess.Popen([p.brisk, "rom", "apply", "a.sfc", "p.bps", "-o", "o.sfc",
                                "--no-cache", "--no-fsync"], cwd=p.folder, env=p.env,
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        time.sleep(0.001 + i * 0.0005)
        os.truncate(p.path("a.sfc"), 100)
        said = run.communicate(timeout=60)[1]
        assert run.returncode in (0, 1), (run.returncode, said)
        cut += "became shorter" in said
        if run.returncode == 1:
            assert said.count("\n") == 1 and not p.path("o.sfc").exists(), said
        p.path("o.sfc").unlink(missing_ok=True)
    print(f"  {cut} of 20 runs lost a page")


def test_usage_and_reports(p: Program):
    p.write("a.sfc", make_lorom(65536))
    p.write("m.yaml", yaml_mod("m", ("$008100", b"\xea\xea")))
    p.apply("a.sfc", status=2)
    p.apply("a.sfc", "m.yaml", status=2)
    p.apply("a.sfc", "m.yaml", "-o", "o", "--fix-checksums", "perhaps", status=2)
    text = p.apply("a.sfc", "m.yaml", "-o", "out.sfc", "--profile", "--trace", "t.json").stdout
    assert [line.split()[0] for line in text.splitlines()[2:9]] == STAGES, text
    events = json.loads(p.read("t.json"))
    names = [e["name"] for e in (events["traceEvents"] if isinstance(events, dict) else events)]
    assert "m/c0" in names and "rom_patching" in names, names
    for i in range(300):
        p.write(f"many/{i}.yaml", yaml_mod(f"m{i}", (f"0x{i:x}", b"\1")))
    done = p.apply("a.sfc", *[f"many/{i}.yaml" for i in range(300)], "-o", "o.sfc", status=1)
    assert "256" in done.stderr, done.stderr


def main(names: dict) -> int:
    failures = 0
    tests = [(name, f) for name, f in names.items() if name.startswith("test_")]
    for name, test in tests:
        with tempfile.TemporaryDirectory() as folder:
            try:
                test(Program(os.path.abspath(sys.argv[1]), pathlib.Path(folder)))
                print(f"ok {name}")
            except (AssertionError, LookupError, OSError, ValueError, subprocess.TimeoutExpired) as error:
                failures += 1
                line = error.__traceback__.tb_next.tb_lineno if error.__traceback__.tb_next else 0
                print(f"FAILED {name} (line {line}): {error}")
    print(f"{len(tests)} tests, {failures} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(globals()))
