#!/usr/bin/env python3
"""Decode a pprof file by the published schema, with nothing of ours: pprof_check.py FILE

Checks what pprof's own CheckValid checks: string 0 is empty, numbers are unique and not 0, every
reference has its target, every sample has as many values as there are types.
"""
import gzip
import sys


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7


def fields(data):
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        if key & 7 == 0:
            value, at = varint(data, at)
        elif key & 7 == 2:
            size, at = varint(data, at)
            value = data[at : at + size]
            assert len(value) == size
            at += size
        else:
            raise AssertionError(f"type {key & 7}")
        yield key >> 3, value


def packed(value):
    if isinstance(value, int):
        return [value]
    out, at = [], 0
    while at < len(value):
        one, at = varint(value, at)
        out.append(one)
    return out


def main(path):
    top = {}
    for number, value in fields(gzip.open(path).read()):
        top.setdefault(number, []).append(value)
    strings = top[6]
    assert strings[0] == b""
    tables = {}
    for name, number in (("mapping", 3), ("location", 4), ("function", 5)):
        ids = [dict(fields(m)).get(1, 0) for m in top.get(number, [])]
        assert 0 not in ids and len(set(ids)) == len(ids), name
        tables[name] = set(ids)
    for m in top[1]:
        t = dict(fields(m))
        assert strings[t[1]] and strings[t[2]]
    for m in top[5]:
        assert strings[dict(fields(m))[2]]
    for m in top[4]:
        for number, value in fields(m):
            if number == 2:
                assert value in tables["mapping"]
            if number == 4:
                assert dict(fields(value))[1] in tables["function"]
    assert top[2]
    for m in top[2]:
        values = []
        for number, value in fields(m):
            if number == 1:
                assert all(i in tables["location"] for i in packed(value))
            elif number == 2:
                values += packed(value)
            elif number == 3:
                assert strings[dict(fields(value))[1]]
        assert len(values) == len(top[1])
    for comment in top.get(13, []):
        assert all(i < len(strings) for i in packed(comment))


if __name__ == "__main__":
    main(sys.argv[1])
