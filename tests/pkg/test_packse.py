#!/usr/bin/env python3
"""packse's scenarios through the solver: satisfiable or not, and which versions.

    test_packse.py SOLVE_TEXT SOURCE_ROOT

They are of Python's world.  What is mapped: releases ("1.2.3") and their specifiers, packages that
do not exist, extras (a package a[x] that needs a in the same version), requires-python (a version
for another Python cannot be chosen).  What is not, and why, is printed with each scenario left out.
Skips (77) without the corpus.
"""
import os
import pathlib
import re
import subprocess
import sys
import tomllib

LEFT_OUT = {
    "fork": "forks by environment markers are another kind of answer (several at once)",
    "local": "local versions (1.0+x) are of PEP 440 alone",
    "post": "post-releases are of PEP 440 alone",
    "prereleases": "PEP 440's opt-in by what the user wrote; npm's rule is in the set of a range",
    "tag_and_markers": "environment markers",
    "wheels": "which files a version has",
    "yanked": "PEP 592: like a pre-release, an opt-in by the user's own pin",
    "examples": "no scenario of their own",
}
OTHER_CHOICE = {"wrong-backtracking-basic": "also valid: a named first keeps its newest version"}


class Unmapped(Exception):
    pass


def release(text: str) -> tuple:
    if not re.fullmatch(r"\d+(\.\d+)*", text):
        raise Unmapped(f"version {text}")
    parts = [int(p) for p in text.split(".")]
    while len(parts) > 1 and parts[-1] == 0:
        parts.pop()
    return tuple(parts)


def fits(version: str, specifiers: str) -> bool:
    for spec in filter(None, (s.strip() for s in specifiers.split(","))):
        op, wanted = re.fullmatch(r"(==|!=|<=|>=|<|>|~=)\s*(.+)", spec).groups()
        if op == "~=" or "*" in wanted:
            raise Unmapped(f"specifier {spec}")
        a, b = release(version), release(wanted)
        if not {"==": a == b, "!=": a != b, "<=": a <= b, ">=": a >= b, "<": a < b, ">": a > b}[op]:
            return False
    return True


class Problem:
    def __init__(self, scenario: dict):
        self.packages = scenario.get("packages", {})
        environment = scenario.get("environment", {}).get("python", "3.12")
        self.python = scenario.get("resolver_options", {}).get("python", environment)
        self.numbers = {"": 0}
        self.versions = {"": ["0"]}
        self.needs = []
        for requirement in scenario["root"].get("requires", []):
            self.need("", 0, requirement)
        python = scenario["root"].get("requires_python")
        if python and not self.python_fits(python):
            self.needs.append((0, 0, None))

    def python_fits(self, specifiers: str) -> bool:
        """Upper bounds do not count, as packse says."""
        return fits(self.python, ",".join(s for s in specifiers.split(",") if "<" not in s))

    def number(self, name: str) -> int:
        if name in self.numbers:
            return self.numbers[name]
        self.numbers[name] = len(self.numbers)
        base, _, extra = name.rstrip("]").partition("[")
        entries = self.packages.get(base, {}).get("versions", {})
        self.versions[name] = sorted(entries, key=release)
        for index, text in enumerate(self.versions[name]):
            self.add_version(name, base, extra, index, entries[text])
        return self.numbers[name]

    def add_version(self, name: str, base: str, extra: str, index: int, entry: dict):
        unknown = set(entry) - {"requires", "extras", "requires_python"}
        if unknown:
            raise Unmapped(", ".join(sorted(unknown)))
        text = self.versions[name][index]
        if extra:
            self.need(name, index, f"{base}=={text}")
            for requirement in entry.get("extras", {}).get(extra, []):
                self.need(name, index, requirement)
            return
        if "requires_python" in entry and not self.python_fits(entry["requires_python"]):
            self.needs.append((self.numbers[name], index, None))
        for requirement in entry.get("requires", []):
            self.need(name, index, requirement)

    def need(self, name: str, index: int, requirement: str):
        if ";" in requirement:
            raise Unmapped("environment markers")
        base, extras, specifiers = re.fullmatch(r"([\w.-]+)(?:\[([^]]*)\])?\s*(.*)",
                                                requirement).groups()
        targets = [base] + [f"{base}[{e.strip()}]" for e in (extras or "").split(",") if e]
        for target in targets:
            number = self.number(target)
            values = [str(i) for i, v in enumerate(self.versions[target]) if fits(v, specifiers)]
            self.needs.append((self.numbers[name], index, f"{number} {' '.join(values)}"))

    def text(self) -> str:
        lines = [f"p {len(self.versions[name])}" for name in self.numbers]
        lines += [f"n {p} {v} : {term or ''}" for p, v, term in self.needs]
        return "\n".join(lines) + "\n"


def run(program: str, scenario: dict) -> tuple[bool, dict]:
    problem = Problem(scenario)
    out = subprocess.run([program], input=problem.text(), text=True, capture_output=True, check=True)
    words = out.stdout.split()
    chosen = {}
    for name, value in zip(problem.numbers, words[1:]):
        if value != "-" and name and "[" not in name:
            chosen[name] = problem.versions[name][int(value)]
    return words[0] == "solved", chosen


def check(program: str, path: pathlib.Path) -> str:
    """What is wrong, or nothing; raises Unmapped."""
    scenario = tomllib.loads(path.read_text())
    if path.parent.name in LEFT_OUT:
        raise Unmapped(LEFT_OUT[path.parent.name])
    solved, chosen = run(program, scenario)
    expected = scenario["expected"]
    if solved != expected["satisfiable"]:
        return f"{'solved' if solved else 'failed'}, which it should not be"
    wanted = expected.get("packages")
    if solved and wanted is not None and path.stem not in OTHER_CHOICE and chosen != wanted:
        return f"{chosen} instead of {wanted}"
    return ""


def main() -> int:
    program, root = sys.argv[1:]
    corpus = os.environ.get("BRISK_CORPUS") or f"{root}/../shared/corpus"
    paths = sorted(pathlib.Path(corpus, "pkg/packse/scenarios").glob("*/*.toml"))
    if not paths:
        print("the corpus is missing: skipped")
        return 77
    good = wrong = 0
    for path in paths:
        try:
            flaw = check(program, path)
        except Unmapped as why:
            print(f"left out: {path.parent.name}/{path.stem}: {why}")
            continue
        good += not flaw
        wrong += bool(flaw)
        if flaw:
            print(f"WRONG: {path.parent.name}/{path.stem}: {flaw}")
    print(f"{good} of {good + wrong} scenarios as expected, {len(paths) - good - wrong} left out")
    return 1 if wrong or good < 20 else 0


if __name__ == "__main__":
    sys.exit(main())
