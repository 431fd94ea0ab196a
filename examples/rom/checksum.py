#!/usr/bin/env python3
"""Fill in the checksum of a linked LoROM image: checksum.py IN OUT.

The sum counts complement and checksum as FF FF 00 00, which is what the source leaves there.
"""
import pathlib
import sys

COMPLEMENT_AT = 0x7FDC


def main(source: str, target: str) -> int:
    rom = bytearray(pathlib.Path(source).read_bytes())
    if len(rom) & (len(rom) - 1) or len(rom) < 0x8000:
        print(f"{source}: {len(rom)} bytes is no power of two of at least 32 KiB", file=sys.stderr)
        return 1
    rom[COMPLEMENT_AT:COMPLEMENT_AT + 4] = b"\xff\xff\x00\x00"
    total = sum(rom) & 0xFFFF
    rom[COMPLEMENT_AT:COMPLEMENT_AT + 4] = (total ^ 0xFFFF).to_bytes(2, "little") + total.to_bytes(
        2, "little")
    pathlib.Path(target).write_bytes(rom)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
