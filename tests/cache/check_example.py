#!/usr/bin/env python3
"""The example of the cache prints what it should, and docs/cache.md shows what stands in it.

  check_example.py run PROGRAM EXPECTED     runs it in a new folder
  check_example.py docs SOURCE PAGE         each ```c block of PAGE is a piece of SOURCE, in order

A piece of SOURCE begins with a comment that has [name] in it and ends before one with [end]; in
PAGE the block follows a line <!-- sample: name -->.
"""
import pathlib
import re
import subprocess
import sys
import tempfile
import textwrap

PIECE = re.compile(r"^([ \t]*)/\* \[(\w+)\] (.*?)^[ \t]*/\* \[end\] \*/", re.S | re.M)
BLOCK = re.compile(r"(?:<!-- sample: (\w+) -->\n)?```c\n(.*?)```", re.S)


def run(program: str, expected: str) -> int:
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [program, f"{folder}/cache"], capture_output=True, text=True, check=False, timeout=100
        )
    want = pathlib.Path(expected).read_text()
    if done.returncode == 0 and done.stdout == want and not done.stderr:
        return 0
    print(f"exit {done.returncode}\n{done.stderr}\n--- printed\n{done.stdout}--- expected\n{want}")
    return 1


def docs(source: str, page: str) -> int:
    pieces = {
        name: textwrap.dedent(f"{indent}/* {text}").strip()
        for indent, name, text in PIECE.findall(pathlib.Path(source).read_text())
    }
    bad = []
    used = set()
    for name, code in BLOCK.findall(pathlib.Path(page).read_text()):
        if not name:
            bad.append(f"a block without a name:\n{code}")
        elif name not in pieces:
            bad.append(f"{name}: not in {source}")
        elif code.strip() != pieces[name]:
            bad.append(f"{name}: differs; it should be\n{pieces[name]}\n")
        used.add(name)
    bad += [f"{name}: not shown" for name in sorted(set(pieces) - used)]
    print("\n".join(bad), end="\n" if bad else "")
    return 1 if bad or not used else 0


if __name__ == "__main__":
    sys.exit({"run": run, "docs": docs}[sys.argv[1]](*sys.argv[2:]))
