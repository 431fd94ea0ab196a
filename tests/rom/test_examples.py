#!/usr/bin/env python3
"""Each example mod changes what it says: test_examples.py BRISK GAME LABELS MODS_DIR.

For every write the address must be a label of the linked game, the rest of the ROM must stay as
it was but for the header's checksum, and the changed place must disassemble (da65; all these
opcodes are the same on the 65816) to what the mod promises.
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

CHECKSUM = range(0x7FDC, 0x7FE0)

# mod: {label: (instruction or bytes before, after)}
PROMISES = {
    "infinite_magic": {"spend_magic": ("dec $22", "nop nop")},
    "infinite_health": {"spend_health": ("dec $20", "nop nop")},
    "max_rupees": {"spend_rupee": ("dec $24", "nop nop"), "start_rupees": (b"\x64\x00", b"\xe7\x03")},
    "intro_skip": {"intro_frames": (b"\xb4\x00", b"\x01\x00")},
    "quickstart": {"menu_wait": ("beq L80EB", "nop nop")},
    "2x_speed": {"logic_steps": (b"\x01", b"\x02")},
}


def disassemble(rom: bytes, address: int, size: int) -> str:
    with tempfile.NamedTemporaryFile(suffix=".bin") as piece:
        piece.write(rom[address - 0x8000:address - 0x8000 + size])
        piece.flush()
        text = subprocess.run(["da65", "--cpu", "65c02", "--start-addr", hex(address), piece.name],
                              check=True, capture_output=True, text=True).stdout
    lines = [re.sub(r";.*", "", line).split() for line in text.splitlines()]
    code = [" ".join(words) for words in lines
            if words and not words[0].startswith(".") and ":=" not in words]
    return " ".join(re.sub(r"^[A-Z]\w*:\s*", "", line) for line in code).strip()


def checksum_is_right(rom: bytes) -> bool:
    bare = bytearray(rom)
    bare[0x7FDC:0x7FE0] = b"\xff\xff\x00\x00"
    total = sum(bare) & 0xFFFF
    return rom[0x7FDC:0x7FE0] == (total ^ 0xFFFF).to_bytes(2, "little") + total.to_bytes(2, "little")


def check(name: str, game: bytes, patched: bytes, labels: dict[str, int]) -> list[str]:
    bad = []
    allowed = set(CHECKSUM)
    for label, (before, after) in PROMISES[name].items():
        address = labels[label]
        size = len(after) if isinstance(after, bytes) else 2
        allowed |= set(range(address - 0x8000, address - 0x8000 + size))
        for rom, want, when in ((game, before, "before"), (patched, after, "after")):
            got = (rom[address - 0x8000:address - 0x8000 + size] if isinstance(want, bytes)
                   else disassemble(rom, address, size))
            if got != want:
                bad.append(f"{name}: {label} {when}: wanted {want!r}, got {got!r}")
    stray = [i for i in range(len(game)) if game[i] != patched[i] and i not in allowed]
    if len(game) != len(patched) or stray:
        bad.append(f"{name}: also changed {[hex(i) for i in stray[:8]]}")
    if not checksum_is_right(patched):
        bad.append(f"{name}: checksum in the header is wrong")
    return bad


def main(brisk: str, game_path: str, labels_path: str, mods: str) -> int:
    if shutil.which("da65") is None:
        print("skipped: da65 is not installed")
        return 77
    game = pathlib.Path(game_path).read_bytes()
    labels = {m[2]: int(m[1], 16) for m in
              re.finditer(r"^al ([0-9A-F]+) \.(\w+)$", pathlib.Path(labels_path).read_text(), re.M)}
    found = {path.stem for path in pathlib.Path(mods).glob("*.yaml")}
    bad = [] if found == set(PROMISES) else [f"mods {sorted(found ^ set(PROMISES))} unexpected"]
    if not checksum_is_right(game):
        bad.append("the game's own checksum is wrong")
    with tempfile.TemporaryDirectory() as folder:
        env = dict(os.environ, XDG_CACHE_HOME=folder)
        jobs = [[name] for name in sorted(PROMISES)] + [sorted(PROMISES)]
        for names in jobs:
            out = pathlib.Path(folder) / "out.sfc"
            files = [str(pathlib.Path(mods) / f"{name}.yaml") for name in names]
            run = subprocess.run([brisk, "rom", "apply", game_path, *files, "-o", str(out)],
                                 env=env, capture_output=True, text=True)
            if run.returncode != 0:
                bad.append(f"{names}: exit {run.returncode}: {run.stderr.strip()}")
                continue
            patched = out.read_bytes()
            if len(names) == 1:
                bad += check(names[0], game, patched, labels)
            elif not checksum_is_right(patched):
                bad.append("all mods together: checksum in the header is wrong")
    print("\n".join(bad) if bad else f"{len(PROMISES)} mods do what they say")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
