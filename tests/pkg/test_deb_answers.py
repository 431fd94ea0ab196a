#!/usr/bin/env python3
"""`brisk pkg deb` from outside: lists made here, answers, proofs, exit codes.

    test_deb_answers.py BRISK
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

LIST = """\
Package: app
Version: 1.0
Architecture: amd64
Depends: lib (>= 2), helper | other
Recommends: docs, nowhere
Size: 1000
Installed-Size: 3

Package: lib
Version: 2
Architecture: amd64
Depends: data

Package: data
Version: 1
Architecture: all
Depends: lib

Package: other
Version: 1
Architecture: all
Conflicts: mta

Package: docs
Version: 1
Architecture: all

Package: mail
Version: 1
Architecture: amd64
Provides: mta

Package: broken
Architecture: amd64

"""


class Brisk:
    def __init__(self, program: str, folder: pathlib.Path):
        self.program = program
        self.lists = folder / "lists"
        self.lists.mkdir()
        (self.lists / "x_binary-amd64_Packages").write_text(LIST)
        self.env = dict(os.environ, XDG_CACHE_HOME=str(folder / "cache"))

    def run(self, *args: str) -> subprocess.CompletedProcess:
        command = [self.program, "pkg", "deb", *args, "--lists", str(self.lists)]
        return subprocess.run(command, env=self.env, text=True, capture_output=True)


def check(what: bool, message: str, result: subprocess.CompletedProcess):
    if not what:
        print(f"{message}\n{result.args}\n{result.returncode}\n{result.stdout}{result.stderr}")
        sys.exit(1)


def check_answers(brisk: Brisk):
    first = brisk.run("resolve", "app")
    check(first.returncode == 0, "solved", first)
    packages = ["app:amd64=1.0", "data:all=1", "docs:all=1", "lib:amd64=2", "other:all=1"]
    check(sorted(first.stdout.split()) == packages, "what app needs", first)
    check("1 stanzas cannot be used" in first.stderr and "Packages:" in first.stderr,
          "says what was left out", first)
    check("recommended, and not possible: nowhere" in first.stderr, "says what is missing", first)
    again = brisk.run("resolve", "app")
    check(again.stdout == first.stdout and "stanzas" not in again.stderr, "from the index", again)
    few = brisk.run("resolve", "--no-recommends", "--order", "app")
    lines = few.stdout.splitlines()
    check(len(lines) == 3 and sorted(lines[0].split()) == ["data:all=1", "lib:amd64=2"] and
          lines[2] == "app:amd64=1.0", "dependencies first, cycles on one line", few)
    quiet = brisk.run("resolve", "app", "--quiet")
    check(quiet.returncode == 0 and quiet.stderr == "", "quiet", quiet)


def check_json(brisk: Brisk):
    result = brisk.run("resolve", "--json", "--order", "app")
    answer = json.loads(result.stdout)
    check(answer["schema"] == 1 and answer["solved"] is True, "an answer", result)
    asked = [p["name"] for p in answer["packages"] if p["asked"]]
    check(asked == ["app"] and sum(answer["group_sizes"]) == len(answer["packages"]) == 5,
          "packages", result)
    check(answer["fetch_bytes"] == 1000 and answer["unmet_recommends"] == ["nowhere"], "sums", result)
    result = brisk.run("resolve", "--json", "app", "mail")
    answer = json.loads(result.stdout)
    check(result.returncode == 1 and answer["solved"] is False and
          "other 1 conflicts with mta, which mail provides" in " ".join(answer["proof"]),
          "a proof as data", result)


def check_failures(brisk: Brisk):
    proof = brisk.run("resolve", "app", "mail")
    check(proof.returncode == 1 and proof.stdout.rstrip().endswith("there is no answer."), "proof",
          proof)
    missing = brisk.run("resolve", "nothing")
    check(missing.returncode == 1 and "there is no package 'nothing'" in missing.stderr, "missing",
          missing)
    for args in (["resolve"], ["remove", "app"], []):
        usage = brisk.run(*args)
        check(usage.returncode == 2 and usage.stderr != "", "usage", usage)
    empty = subprocess.run([brisk.program, "pkg", "deb", "resolve", "a", "--lists", "/nonexistent"],
                           env=brisk.env, text=True, capture_output=True)
    check(empty.returncode == 1 and "/nonexistent" in empty.stderr, "no lists", empty)


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        brisk = Brisk(sys.argv[1], pathlib.Path(folder))
        check_answers(brisk)
        check_json(brisk)
        check_failures(brisk)
    return 0


if __name__ == "__main__":
    sys.exit(main())
