#!/usr/bin/env python3
"""`brisk pkg deb resolve` on lists that say what a terminal would obey.

    test_deb_command.py BRISK
"""
import json
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


def run(folder: pathlib.Path, *args: str, code: int) -> subprocess.CompletedProcess:
    done = subprocess.run(
        [os.path.abspath(sys.argv[1]), "pkg", "deb", "resolve", "--lists", str(folder), *args],
        capture_output=True, check=False, timeout=60,
        env=dict(os.environ, XDG_CACHE_HOME=str(folder / "cache")))
    assert done.returncode == code, (args, done)
    for text in (done.stdout, done.stderr):
        assert not any(c < 0x20 and c != 0x0A for c in text), (args, text)
    return done


def main() -> int:
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
