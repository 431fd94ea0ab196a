#!/usr/bin/env python3
"""What `brisk rom apply` says when it succeeds all the same, or nearly.

    test_apply_words.py BRISK
"""
import sys

from romtools import crc32, make_bps, make_ips, make_lorom, make_ups
from test_apply import Program, main, yaml_mod


def changed(rom: bytes, at: int = 0x300) -> bytes:
    hack = bytearray(rom)
    hack[at] ^= 0xFF
    return bytes(hack)


def test_forced_patches_warn(p: Program):
    rom = make_lorom(65536)
    other = make_lorom(65536, title="OTHER", seed=2)
    hack = changed(other)
    p.write("a.sfc", rom)
    p.write("p.bps", make_bps(other, hack))
    p.write("p.ups", make_ups(other, hack))
    for patch in ("p.bps", "p.ups"):
        for _ in range(2):  # computed, answered
            done = p.apply("a.sfc", patch, "-o", "out.sfc", "--force")
            assert f"CRC32 {crc32(other):08x}, this one has {crc32(rom):08x}" in done.stderr, done
            assert f"has CRC32 {crc32(p.read()):08x}, the patch declares {crc32(hack):08x}" \
                in done.stderr, done
            assert done.stderr.count("\n") == 1 and f"{patch}: warning" in done.stderr, done
    p.write("o.sfc", other)
    assert p.apply("o.sfc", "p.bps", "-o", "out.sfc", "--force").stderr == ""


def test_mods_of_one_name_are_told_apart(p: Program):
    p.write("a.sfc", make_lorom(65536))
    p.write("x.yaml", yaml_mod("same", ("0x300", b"\1")))
    p.write("y.yaml", yaml_mod("same", ("0x300", b"\2")))
    p.refuse("a.sfc", "x.yaml", "y.yaml", lines=2,
             says="same/c0 (x.yaml) wants 01, same/c0 (y.yaml) wants 02")


def test_writes_that_will_surprise(p: Program):
    p.write("a.sfc", make_lorom(65536))
    p.write("sum.yaml", yaml_mod("m", ("$00FFDE", b"\1\2")))
    for _ in range(2):
        done = p.apply("a.sfc", "sum.yaml", "-o", "out.sfc")
        assert "sum.yaml:4: warning: the checksum at $00FFDE is made right" in done.stderr, done
    done = p.apply("a.sfc", "sum.yaml", "-o", "out.sfc", "--fix-checksums", "never")
    assert done.stderr == "" and p.read()[0x7FDE:0x7FE0] == b"\1\2", done
    p.write("bank.yaml", yaml_mod("m", ("$80FFFF", b"\1\2"), ("$808000", b"\1\2"), ("0x7FFF", b"\1\2")))
    done = p.apply("a.sfc", "bank.yaml", "-o", "out.sfc")
    assert "bank.yaml:4: warning: 2 bytes at $80FFFF run over the end of the bank after 1" \
        in done.stderr, done
    assert done.stderr.count("\n") == 1 and "$018000" in done.stderr, done


def test_nothing_left_of_the_rom(p: Program):
    rom = make_lorom(65536)
    p.write("a.sfc", rom)
    p.write("cut.ips", b"PATCHEOF\0\0\0")
    p.write("none.bps", make_bps(rom, b""))
    p.write("none.ups", make_ups(rom, b""))
    for mod in ("cut.ips", "none.bps", "none.ups"):
        p.refuse("a.sfc", mod, says="would have 0 bytes")
        p.apply("a.sfc", mod, "-o", "out.sfc", "--force")
        assert p.read() == b""
        p.path("out.sfc").unlink()


def test_links_do_not_lead_out_of_the_folder(p: Program):
    rom = make_lorom(65536)
    p.write("a.sfc", rom)
    patch = make_ips([(0x300, b"\1")])
    p.write("secret.ips", patch)
    p.write("mods/inside/in.ips", patch)
    p.path("mods/sub").mkdir()
    p.path("mods/sub/up").symlink_to("../..")
    p.path("mods/near").symlink_to("inside")
    p.path("mods/far.ips").symlink_to(p.path("secret.ips"))
    p.path("mods/fd").symlink_to("/proc/self/cwd")

    def mod(file: str) -> str:
        p.write("mods/m.yaml", f"mod: m\ncomponents:\n  - name: c\n    patch: {{file: {file}}}\n")
        return "mods/m.yaml"

    for file in ("sub/up/secret.ips", "far.ips", "fd/secret.ips"):
        p.refuse("a.sfc", mod(file), says="leads out of the mod file's folder")
    for file in ("inside/in.ips", "near/in.ips"):
        p.apply("a.sfc", mod(file), "-o", "out.sfc")
        p.path("out.sfc").unlink()
    p.refuse("a.sfc", mod("inside"), says="mods/inside: is a folder")
    p.refuse("a.sfc", mod("none.ips"), says="mods/none.ips: No such file")


def test_small_words(p: Program):
    rom = make_lorom(65536)
    p.write("a.sfc", rom)
    p.write("odd.bin", bytes(70000))
    p.write("h.smc", bytes(512) + rom)
    p.write("m.yaml", yaml_mod("m", ("0x10", b"\1")))
    p.write("nes.yaml", yaml_mod("m", ("0x10", b"\1"), head="system: nes\n"))
    p.refuse("odd.bin", "nes.yaml", says="odd.bin is of an unknown system")
    done = p.apply("a.sfc", "m.yaml", "-o", "", status=2)
    assert "the name of the output is empty" in done.stderr, done
    done = p.apply("h.smc", "m.yaml", "-o", "out.sfc")
    assert f"CRC32 {crc32(p.read()):08x} with its copier header" in done.stdout, done
    done = p.apply("a.sfc", "m.yaml", "-o", "out.sfc")
    assert "copier header" not in done.stdout, done


if __name__ == "__main__":
    sys.exit(main(globals()))
