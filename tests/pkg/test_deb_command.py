#!/usr/bin/env python3
"""`brisk pkg deb resolve` on lists that say what a terminal would obey.

    test_deb_command.py BRISK
"""
import json
import lzma
import os
import pathlib
import subprocess
import sys
import tempfile

PACKAGES = (
    b"Package: a\nVersion: 1\nArchitecture: amd64\n"
    b"Recommends: no\x1b[2Jwhere, gone\n\n"
    b"Package: b\nVersion: 1\nArchitecture: amd64\n"
    b"Depends: c (>= \x1b]0;x\x07)\n\n"
    b"Package: n\x00ul\nVersion: 1\nArchitecture: amd64\n\n"
    b"Package: bad\x1b[31m name\nVersion: 1\nArchitecture: amd64\n\n")


CHAIN = (
    b"Package: top\nVersion: 1\nArchitecture: amd64\nDepends: middle (>= 1) | other\n"
    b"Recommends: extra\n\n"
    b"Package: middle\nVersion: 2\nArchitecture: all\nDepends: virtual\n\n"
    b"Package: real\nVersion: 3\nArchitecture: amd64\nProvides: virtual\n\n"
    b"Package: extra\nVersion: 1\nArchitecture: amd64\nDepends: real\n\n"
    b"Package: alone\nVersion: 1\nArchitecture: amd64\n\n")


def run(folder: pathlib.Path, *args: str, code: int, what: str = "resolve") -> subprocess.CompletedProcess:
    done = subprocess.run(
        [os.path.abspath(sys.argv[1]), "pkg", "deb", what, "--lists", str(folder), *args],
        capture_output=True, check=False, timeout=60,
        env=dict(os.environ, XDG_CACHE_HOME=str(folder / "cache")))
    assert done.returncode == code, (args, done)
    for text in (done.stdout, done.stderr):
        assert not any(c < 0x20 and c != 0x0A for c in text), (args, text)
    return done


def check_why(folder: pathlib.Path) -> None:
    (folder / "x_Packages.xz").write_bytes(lzma.compress(CHAIN[:200]) + lzma.compress(CHAIN[200:]))
    assert run(folder, "real", "top", code=0, what="why").stdout == (
        b"top:amd64=1 depends on middle (>= 1) | other: middle:all=2\n"
        b"middle:all=2 depends on virtual: real:amd64=3\n")
    assert run(folder, "extra:amd64", "top", code=0, what="why").stdout == (
        b"top:amd64=1 recommends extra: extra:amd64=1\n")
    assert b"was asked for" in run(folder, "top", "top", code=0, what="why").stdout
    told = json.loads(run(folder, "real", "top", "--json", code=0, what="why").stdout)
    assert [s["relation"] for s in told["way"]] == ["middle (>= 1) | other", "virtual"], told
    assert b"not needed" in run(folder, "alone", "top", code=1, what="why").stderr
    assert b"not needed" in run(folder, "extra", "top", "--no-recommends", code=1,
                                what="why").stderr
    run(folder, "top", code=2, what="why")
    run(folder, "top", code=2, what="whence")
    packed = lzma.compress(CHAIN)
    for bad in packed[:-5], packed[:40] + b"\0" * 20 + packed[60:], b"no xz at all":
        (folder / "x_Packages.xz").write_bytes(bad)
        assert b"damaged" in run(folder, "top", code=1).stderr


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        check_why(pathlib.Path(name))
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "x\x1b[7m_Packages").write_bytes(PACKAGES)
        done = run(folder, "a", code=0)
        assert b"a:amd64=1\n" == done.stdout, done
        assert b"recommended, and not possible: no?[2Jwhere\n" in done.stderr, done
        assert b"left out; the first: x?[7m_Packages:" in done.stderr, done
        assert b"c (>= ?]0;x?)" in run(folder, "b", code=1).stdout
        run(folder, "z\x1b[1m", code=1)
        found = json.loads(run(folder, "a", "--json", code=0).stdout)
        assert found["unmet_recommends"][0] == "no\x1b[2Jwhere", found
    print("ok")
    return 0


if __name__ == "__main__":
    sys.exit(main())
