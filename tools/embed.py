#!/usr/bin/env python3
"""A file as an array of C: tools/embed.py NAME INPUT OUTPUT.  The array ends in a NUL."""
import pathlib
import sys


def main(name: str, source: str, target: str) -> None:
    data = pathlib.Path(source).read_bytes() + b"\0"
    lines = [", ".join(str(b) for b in data[i : i + 24]) for i in range(0, len(data), 24)]
    guard = f"BRISK_EMBEDDED_{name.upper()}_H"
    pathlib.Path(target).write_text(
        f"/* Made by tools/embed.py. */\n#ifndef {guard}\n#define {guard}\n"
        f"static const unsigned char {name}[{len(data)}] = {{\n    " + ",\n    ".join(lines) + "};\n#endif\n"
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
