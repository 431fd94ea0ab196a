"""ROMs and patches made from nothing, for tests and benchmarks: a LoROM game and BPS, UPS, IPS.

The encoders are linear and simple: equal stretches are read from the source, others are literal.
"""
import struct
import zlib


def crc32(data: bytes) -> int:
    return zlib.crc32(data) & 0xFFFFFFFF


def random_bytes(size: int, seed: int) -> bytes:
    """The same bytes for the same seed on every machine."""
    import random
    return random.Random(seed).randbytes(size)


def snes_checksum(rom: bytes, header: int = 0x7FC0) -> int:
    """Of a ROM whose size is a power of two."""
    fields = rom[header + 0x1C:header + 0x20]
    return (sum(rom) - sum(fields) + 0x1FE) & 0xFFFF


def fix_snes(rom: bytearray, header: int = 0x7FC0) -> bytearray:
    total = snes_checksum(rom, header)
    struct.pack_into("<HH", rom, header + 0x1C, total ^ 0xFFFF, total)
    return rom


def make_lorom(size: int, title: str = "TEST ROM", seed: int = 1) -> bytearray:
    rom = bytearray(random_bytes(size, seed))
    header = 0x7FC0
    rom[header:header + 21] = title.encode("ascii").ljust(21)
    rom[header + 0x15:header + 0x1C] = bytes([0x20, 0, (size // 1024).bit_length() - 1, 0, 1, 0, 0])
    rom[header + 0x3C:header + 0x3E] = b"\x00\x80"  # reset: $8000
    rom[0:4] = b"\x78\x18\xfb\xc2"  # sei, clc, xce, rep
    return fix_snes(rom)


def varint(value: int) -> bytes:
    """byuu's: seven bits at a time, one subtracted for each further byte."""
    out = bytearray()
    while True:
        low = value & 0x7F
        value >>= 7
        if value == 0:
            out.append(0x80 | low)
            return bytes(out)
        out.append(low)
        value -= 1


def runs(source: bytes, target: bytes, step: int = 4096):
    """(begin, end, equal) over the target; far quicker than byte by byte where much is equal."""
    common = min(len(source), len(target))
    at = 0
    while at < len(target):
        begin = at
        equal = at < common and source[at] == target[at]
        if equal:
            while at + step <= common and source[at:at + step] == target[at:at + step]:
                at += step
            while at < common and source[at] == target[at]:
                at += 1
        else:
            while at < common and source[at] != target[at]:
                at += 1
            if at >= common:
                at = len(target)
        yield begin, at, equal


def make_bps(source: bytes, target: bytes) -> bytes:
    body = bytearray(b"BPS1" + varint(len(source)) + varint(len(target)) + varint(0))
    for begin, end, equal in runs(source, target):
        body += varint((end - begin - 1) << 2 | (0 if equal else 1))
        if not equal:
            body += target[begin:end]
    body += struct.pack("<II", crc32(source), crc32(target))
    return bytes(body + struct.pack("<I", crc32(body)))


def make_ups(source: bytes, target: bytes) -> bytes:
    """XOR of both, each taken as zeros behind its end."""
    body = bytearray(b"UPS1" + varint(len(source)) + varint(len(target)))
    size = max(len(source), len(target))
    a, b = bytes(source).ljust(size, b"\0"), bytes(target).ljust(size, b"\0")
    last = 0
    for begin, end, equal in runs(a, b):
        if not equal:
            body += varint(begin - last) + bytes(x ^ y for x, y in zip(a[begin:end], b[begin:end]))
            body.append(0)
            last = end + 1
    body += struct.pack("<II", crc32(source), crc32(target))
    return bytes(body + struct.pack("<I", crc32(body)))


def make_ips(writes, cut=None) -> bytes:
    """`writes`: (offset, bytes) pairs."""
    body = b"PATCH"
    for offset, data in writes:
        body += offset.to_bytes(3, "big") + len(data).to_bytes(2, "big") + data
    return body + b"EOF" + (b"" if cut is None else cut.to_bytes(3, "big"))
