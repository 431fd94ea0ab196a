#!/usr/bin/env python3
"""Packuments through our reader against Python's JSON parser: the corpus's snapshot and mutations.

    test_packument.py PACKUMENT_SAYS CORPUS

A document that Python reads must be read, and every field of every version must be what the plain
rules below make of Python's value.  One that Python refuses may be read (what is stepped over is not
looked at).  Without the snapshot or without zstd only the made documents are tried.
"""
import base64
import datetime
import io
import json
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tarfile

UNKNOWN = -(1 << 63)
SEED = int(os.environ.get("BRISK_SEED", "20260101"))
STEP = 1 if "BRISK_LONG" in os.environ else 12
# Versions as they occur in the snapshot and in the made documents: strict, a "v" before them, or a
# pre-release without its hyphen.
VERSION = re.compile(r"[v=\s]*\d+\.\d+\.\d+(-?[a-z0-9.-]+)?(\+[a-z0-9.-]+)?\s*", re.I | re.A)


def text(value):
    """A string as UTF-8, lone surrogates replaced; anything else is nothing."""
    if not isinstance(value, str):
        return b""
    joined = value.encode("utf-16-le", "surrogatepass")
    return joined.decode("utf-16-le", "replace").encode()


def get(value, key):
    return value.get(key) if isinstance(value, dict) else None


DATE = re.compile(r"(\d{4})-(\d\d)-(\d\d)"
                  r"([T ](\d\d):(\d\d)(:(\d\d)(\.(\d+))?)?(Z|([+-])(\d\d):?(\d\d))?)?", re.A)


def millis(value):
    """As node reads it: the 30th of February is the 2nd of March."""
    found = DATE.fullmatch(value) if isinstance(value, str) else None
    if not found:
        return UNKNOWN
    year, month, day, _, hour, minute, _, second, _, fraction, _, sign, off_h, off_m = found.groups("0")
    year, month, day, hour, minute, second, off_h, off_m = map(
        int, (year, month, day, hour, minute, second, off_h, off_m))
    if not (1 <= month <= 12 and 1 <= day <= 31 and hour < 24 and minute < 60 and second < 60 and
            off_h < 24 and off_m < 60 and year > 0):
        return UNKNOWN
    days = datetime.date(year, month, 1).toordinal() + day - 1 - datetime.date(1970, 1, 1).toordinal()
    zone = (off_h * 60 + off_m) * (-1 if sign == "-" else 1)
    seconds = ((days * 24 + hour) * 60 + minute - zone) * 60 + second
    return seconds * 1000 + int((fraction + "00")[:3])


def dependencies(version):
    found = {}
    meta = get(version, "peerDependenciesMeta")
    for name, spec in (get(version, "peerDependencies") or {}).items() if isinstance(
            get(version, "peerDependencies"), dict) else ():
        if isinstance(spec, str):
            optional = get(get(meta, name), "optional") is True
            found[text(name), 1] = (text(spec), b"3" if optional else b"2")
    for field, kind in (("dependencies", b"0"), ("optionalDependencies", b"1")):
        deps = get(version, field)
        for name, spec in deps.items() if isinstance(deps, dict) else ():
            if isinstance(spec, str):
                found[text(name), 0] = (text(spec), kind)
    fields = [b"%d" % len(found)]
    for (name, _), (spec, kind) in sorted(found.items()):
        fields += [name, spec, kind]
    return fields


def texts(value):
    items = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    items = [text(item) for item in items if isinstance(item, str)]
    return [b"%d" % len(items)] + items


def integrity(dist):
    given = get(dist, "integrity")
    shasum = get(dist, "shasum")
    if isinstance(given, str) and given:
        return text(given)
    if isinstance(shasum, str) and re.fullmatch(r"[0-9a-fA-F]{40}", shasum):
        return b"sha1-" + base64.b64encode(bytes.fromhex(shasum))
    return b""


def flags(version, bundle):
    scripts = get(version, "scripts")
    script = version.get("hasInstallScript") is True or any(
        get(scripts, name) for name in ("preinstall", "install", "postinstall"))
    return (1 if script else 0) | (2 if version.get("_hasShrinkwrap") is True else 0) | (
        4 if version.get("deprecated") or version.get("deprecated") in ({}, []) and
        version.get("deprecated") is not None else 0) | (16 if bundle is True else 0)


def raw(value):
    """What npm sees in it; compared as a value, as bytes are not Python's."""
    return value if value else None


def expected(document, key, version):
    bundle = version["bundleDependencies"] if "bundleDependencies" in version else version.get(
        "bundledDependencies")
    licence = version.get("license")
    engines = version.get("engines")
    head = [text(key), b"%d" % flags(version, bundle), b"%d" % millis(get(document.get("time"), key)),
            text(get(engines, "node")), text(get(engines, "npm")),
            text(licence if isinstance(licence, str) else get(licence, "type")),
            text(version.get("deprecated"))]
    raws = [raw(engines), raw(version.get("bin")), raw(version.get("funding"))]
    tail = [integrity(version.get("dist")), text(get(version.get("dist"), "tarball"))]
    for value in (bundle, version.get("os"), version.get("cpu"), version.get("libc")):
        tail += texts(value)
    return head, raws, tail + dependencies(version)


class Says:
    def __init__(self, program):
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, name, document):
        self.process.stdin.write(b"%s %d\n" % (name.encode(), len(document)) + document)
        self.process.stdin.flush()
        head = self.process.stdout.readline().split()
        if not head:
            sys.exit(f"packument_says ended on {name}: {document[:2000]!r}")
        if head[0] == b"ERR":
            return None
        body = self.process.stdout.read(int(head[1]))
        return [record.split(b"\x1f")[:-1] for record in body.split(b"\x1e")[:-1]]


def same_raw(ours, value):
    if value is None:
        return ours == b""
    return ours != b"" and json.loads(ours.decode()) == value


def difference(document, answer):
    """The first thing that is wrong, or None."""
    versions = document.get("versions")
    versions = versions if isinstance(versions, dict) else {}
    wanted = {text(key): (key, value) for key, value in versions.items()
              if isinstance(value, dict) and VERSION.fullmatch(key)}
    head = answer[0]
    if int(head[1]) != len(wanted) or int(head[2]) < len(versions) - len(wanted):
        return f"{head[1:3]} versions, not {len(wanted)} of {len(versions)}"
    latest = get(document.get("dist-tags"), "latest")
    if head[3] != (text(latest) if text(latest) in wanted else b""):
        return f"latest is {head[3]}"
    for record in answer[1:]:
        if record[0] not in wanted:
            return f"version {record[0]}"
        first, raws, rest = expected(document, *wanted[record[0]])
        if record[:7] != first or record[10:] != rest:
            return f"{record[:7] + record[10:]} is not {first + rest}"
        if not all(same_raw(ours, value) for ours, value in zip(record[7:10], raws)):
            return f"{record[7:10]} is not {raws}"
    return None


def refuse(word):
    """NaN and Infinity are Python's own."""
    raise ValueError(word)


def judge(says, name, raw_document):
    answer = says.ask(name, raw_document)
    try:
        document = json.loads(raw_document.decode(), parse_constant=refuse)
    except (ValueError, RecursionError):
        return "unread" if answer is None else "lazy"
    named = isinstance(document, dict) and document.get("name") == name
    if answer is None:
        if named:
            sys.exit(f"{name}: refused, but Python reads it: {raw_document[:3000]!r}")
        return "unread"
    wrong = difference(document, answer) if named else "it has another name"
    if wrong:
        sys.exit(f"{name}: {wrong}\n{raw_document[:3000]!r}")
    return "same"


MADE = json.dumps({
    "name": "a", "dist-tags": {"latest": "1.0.1", "b": "2.0.0-0"},
    "versions": {
        "1.0.0": {"dependencies": {"b": "^1", "c": "1 || 2"}, "bin": "./a", "license": {"type": "M"},
                  "dist": {"shasum": "7b33a9fb54c605a3be46c1d3dbbc821acf1d2efb", "tarball": "t"}},
        "1.0.1": {"dependencies": {"b": "^1", "x": "1"}, "optionalDependencies": {"x": "2"},
                  "peerDependencies": {"b": "*", "p": "1"}, "deprecated": "\ud800 no",
                  "peerDependenciesMeta": {"p": {"optional": True}}, "os": ["q", 1, "!r"]},
        "2.0.0-0": {"engines": {"node": ">=4", "npm": "1"}, "funding": [{"url": "u"}],
                    "bundleDependencies": ["b"], "scripts": {"install": "x"}, "cpu": "c"},
        "no": {}, "3.0.0": None},
    "time": {"1.0.0": "2019-02-03T04:05:06.789Z", "1.0.1": "2020-02-29T23:59:59.001Z"}})
PIECES = [b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\", b"null", b"true", b"1", b"{}", b'""', b" ",
          b"\\u0041", b"\xc3", b"\n", b'"a":', b'"1.0.0":{},', b'"versions":', b"0", b"-", b"e"]


def mutated(document, dice):
    document = bytearray(document)
    for _ in range(dice.randrange(1, 4)):
        at = dice.randrange(len(document) + 1)
        length = dice.randrange(30)
        what = dice.randrange(4)
        if what == 0:
            del document[at:at + length]
        elif what == 1:
            document[at:at] = dice.choice(PIECES)
        elif what == 2:
            other = dice.randrange(len(document) + 1)
            document[at:at + length] = document[other:other + length]
        elif at < len(document):
            document[at] = dice.randrange(256)
    return bytes(document)


def snapshot(corpus):
    archive = corpus / "pkg/registry-snapshot.tar.zst"
    if not archive.exists() or not shutil.which("zstd"):
        print(f"{archive} or zstd is missing: only made documents")
        return
    tar = subprocess.run(["zstd", "-dc", archive], check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(tar)) as files:
        for i, member in enumerate(files):
            if member.isfile() and i % STEP == 0:
                name = member.name.removeprefix("./").removesuffix(".json").replace("%2f", "/")
                yield name, files.extractfile(member).read()


def main(program, corpus):
    says = Says(program)
    dice = random.Random(SEED)
    print(f"BRISK_SEED={SEED}")
    counts = {"same": 0, "unread": 0, "lazy": 0}
    for name, document in snapshot(pathlib.Path(os.environ.get("BRISK_CORPUS", corpus))):
        if judge(says, name, document) != "same":
            sys.exit(f"{name}: not read")
        counts["same"] += 1
        if len(document) < 20000:
            counts[judge(says, name, mutated(document, dice))] += 1
    for _ in range(6000):
        counts[judge(says, "a", mutated(MADE.encode(), dice))] += 1
    print(counts)
    if counts["same"] < 500 or counts["unread"] < 500:
        sys.exit("the mutations are not worth much")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
