#!/usr/bin/env python3
"""test_npm.py IDEAL_SAYS -- small random projects, resolved by ours and by npm's own arborist.

Skips (exit 77) where node or npm is not installed.  BRISK_SEED replays a run; BRISK_CASES says how
many.  A case that differs is made smaller before it is printed.
"""
import os
import random
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
SKIPPED = 77
CASES = int(os.environ.get("BRISK_CASES", "120"))


def find_npm():
    """The folder of npm's own modules, or None."""
    npm = shutil.which("npm")
    if not shutil.which("node") or not npm:
        return None
    place = os.path.join(os.path.dirname(os.path.realpath(npm)), "../node_modules")
    if os.path.exists(os.path.join(place, "@npmcli/arborist/package.json")):
        return os.path.realpath(place)
    return None


class Maker:
    """Random registries: few names, few versions, many peers."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def range(self, top):
        r = self.random
        return r.choice(["*", "1", "2", "^1.0.0", ">=1", "1.0.0", f"{r.randint(1, top)}",
                         f"^{r.randint(1, top)}.0.0", "1|2".replace("|", "||"), "latest"])

    def deps(self, names, count, top, peers, dev=False):
        r = self.random
        words = []
        for name in r.sample(names, min(len(names), count)):
            kind = ""
            if r.random() < peers:
                kind = r.choice(["peer:", "peer:", "peer:", "popt:"])
            elif r.random() < 0.12:
                kind = "opt:"
            elif dev and r.random() < 0.3:
                kind = "dev:"
            words.append(f"{kind}{name}@{self.range(top)}")
        return " ".join(words)

    def case(self):
        r = self.random
        names = [f"n{chr(97 + i)}" for i in range(r.randint(3, 9))]
        top = r.randint(1, 3)
        peers = r.choice([0, 0.15, 0.4, 0.7])
        lines = [f"root {self.deps(names, r.randint(1, 4), top, 0.1 if peers else 0, True)}"]
        for name in names:
            for major in range(1, top + 1):
                for minor in range(r.choice([1, 1, 2])):
                    others = [n for n in names if n != name or r.random() < 0.1]
                    lines.append(f"pkg {name}@{major}.{minor}.0 "
                                 f"{self.deps(others, r.choice([0, 1, 1, 2, 3]), top, peers)}")
        if r.random() < 0.15:
            lines.append("opts " + r.choice(["legacy", "strict", "dedupe"]))
        if r.random() < 0.2:
            for i in range(r.randint(1, 2)):
                lines.append(f"ws packages/w{i} w{i}@1.0.0 "
                             f"{self.deps(names + ['w0'], r.randint(1, 3), top, 0.2, True)}")
        if r.random() < 0.2:
            for _ in range(r.randint(1, 3)):
                keys = [r.choice(names) + r.choice(["", "", "@1", "@2"])
                        for _ in range(r.choice([1, 1, 2]))]
                lines.append(f"over {'>'.join(keys)}={r.randint(1, top)}")
        if r.random() < 0.2:
            lines.append(f"again {self.deps(names, r.randint(1, 4), top, 0.1, True)}")
        return lines + ["run"]


def ask(command, cases):
    """An answer for each case."""
    text = "\n".join("\n".join(case) for case in cases) + "\n"
    with tempfile.TemporaryFile("w+") as file:  # node may not wait for a pipe
        file.write(text)
        file.seek(0)
        done = subprocess.run(command, stdin=file, capture_output=True, text=True, check=False,
                              timeout=500)
    answers = done.stdout.split("\n")[:-1]
    if done.returncode != 0 or len(answers) != len(cases):
        sys.exit(f"{command[0]}: exit {done.returncode}, {len(answers)} answers for {len(cases)} "
                 f"cases\n{done.stderr[-2000:]}")
    return answers


def same(ours, npms):
    """Both trees alike, or both impossible; where npm finds no end, or a
    tree that lacks something, anything."""
    if npms in ("endless", "broken"):
        return True
    if npms.startswith("error"):
        return ours.startswith("BRISK_ERR")
    return ours == npms


def smaller(case, differs):
    """Fewer lines, then fewer words, that still differ."""
    changed = True
    while changed:
        changed = False
        for i in range(1, len(case) - 1):
            less = case[:i] + case[i + 1:]
            if differs(less):
                case, changed = less, True
                break
        else:
            for i, line in enumerate(case[:-1]):
                words = line.split(" ")
                first = 2 if words[0] == "pkg" else 3 if words[0] == "ws" else 1
                for w in range(first, len(words)):
                    less = case[:i] + [" ".join(words[:w] + words[w + 1:])] + case[i + 1:]
                    if differs(less):
                        case, changed = less, True
                        break
                if changed:
                    break
    return case


def main():
    npm = find_npm()
    if npm is None:
        print("skipped: no node or npm")
        return SKIPPED
    seed = int(os.environ.get("BRISK_SEED", "20260101"))
    print(f"BRISK_SEED={seed}")
    maker = Maker(seed)
    cases = [maker.case() for _ in range(CASES)]
    with tempfile.TemporaryDirectory() as folder:
        npm_says = ["node", os.path.join(HERE, "npm_says.js"), npm, os.path.join(folder, "project")]
        ours = ask([sys.argv[1]], cases)
        theirs = ask(npm_says, cases)

        def differs(case):
            return not same(ask([sys.argv[1]], [case])[0], ask(npm_says, [case])[0])

        wrong = [i for i in range(CASES) if not same(ours[i], theirs[i])]
        for i in wrong[:int(os.environ.get("BRISK_SHOWN", "3"))]:
            case = smaller(cases[i], differs)
            print("\n".join(case))
            print("ours: " + ask([sys.argv[1]], [case])[0])
            print("npm:  " + ask(npm_says, [case])[0] + "\n")
        trees = sum(1 for t in theirs if not t.startswith(("E", "error", "endless", "broken")))
        print(f"{CASES} cases, {trees} trees, {theirs.count('ERESOLVE')} conflicts, "
              f"{theirs.count('endless') + theirs.count('broken')} where npm has no answer, "
              f"{len(wrong)} differ")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
