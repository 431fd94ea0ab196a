#!/usr/bin/env python3
"""test_node.py SEMVER_SAYS -- the same random questions to our code and to npm's: semver, specs, picks,
JSON.

Skips (exit 77) where node or npm's own semver is not installed.  BRISK_SEED replays a run.
What is left out on purpose: numbers above 2^53, where node counts with doubles; keys like "7",
which JavaScript sorts to the front; halves of surrogate pairs in keys, which are all one for us.
"""
import json
import os
import random
import re
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
SKIPPED = 77
QUESTIONS = 20000
LONE = re.compile(r"(?<!\\)\\u[dD][89a-fA-F][0-9a-fA-F]{2}")  # halves, and pairs with them


def find_semver():
    """The folder of npm's own semver, or None."""
    npm = shutil.which("npm")
    if not shutil.which("node") or not npm:
        return None
    places = [os.path.join(os.path.dirname(os.path.realpath(npm)), "../node_modules/semver")]
    root = subprocess.run([npm, "root", "-g"], capture_output=True, text=True, check=False)
    places.append(os.path.join(root.stdout.strip(), "npm/node_modules/semver"))
    places.append("/usr/share/nodejs/semver")
    for place in places:
        if os.path.exists(os.path.join(place, "package.json")):
            return os.path.realpath(place)
    return None


class Maker:
    """Random versions, ranges and JSON: mostly well formed, sometimes a little off."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def one(self, *choices):
        return self.random.choice(choices)

    def number(self):
        return self.one("0", "0", "1", "1", "2", "3", "10", "00", "02", "34", "9007199254740991")

    def prerelease(self):
        parts = self.random.randint(1, 3)
        return ".".join(self.one("0", "1", "01", "10", "a", "alpha", "B", "-", "x-y", "1a", "")
                        if self.random.random() < 0.3 else self.one("0", "1", "alpha", "beta")
                        for _ in range(parts))

    def version(self, strict=0.7):
        r = self.random.random
        text = ".".join(self.number() for _ in range(3))
        if r() < 0.4:
            text += self.one("-", "-", "-", "", "-.") + self.prerelease()
        if r() < 0.1:
            text += "+" + self.one("build", "b.1", "", "a..b", "-")
        if r() > strict:
            text = self.one("v", "=", " ", "v ", "= v", "\u00a0", "") + text + self.one("", " ", ".4", "\t")
        return text

    def partial(self):
        r = self.random.random
        parts = [self.one("x", "X", "*") if r() < 0.15 else self.number()
                 for _ in range(self.one(1, 2, 3, 3, 3))]
        text = self.one("", "", "", "v", "=", "v=") + ".".join(parts)
        if len(parts) == 3 and r() < 0.3:
            text += self.one("-", "-", "-", "") + self.prerelease()
        if r() < 0.05:
            text += "+" + self.one("build", "b.1", "", "-")
        if r() < 0.03:
            text += self.one("*", ".5", "x", "~", "-")
        return text

    def comparator(self):
        r = self.random.random
        op = self.one("", "", "^", "^", "~", "~>", ">", "<", ">=", "<=", "=", "==", "> =", "><")
        return op + (self.one(" ", "  ", "\t", "v ", "= ") if r() < 0.12 else "") + self.partial()

    def simple(self):
        if self.random.random() < 0.15:
            return self.partial() + self.one(" - ", " - ", "  -  ", " -", "- ") + self.partial()
        text = self.one(" ", " ", "  ", "\n").join(
            self.comparator() for _ in range(self.one(1, 1, 1, 2, 2, 3)))
        return self.one(text, text, text, text, "", "*", "latest", text + " junk", " " + text)

    def range(self):
        return self.one("||", " || ", "||", "|").join(
            self.simple() for _ in range(self.one(1, 1, 1, 1, 2, 3)))

    def json(self, depth=0):
        kind = self.random.randint(0, 9 if depth < 4 else 6)
        if kind == 7:
            return "[" + self.one(",", " , ").join(
                self.json(depth + 1) for _ in range(self.random.randint(0, 4))) + "]"
        if kind > 7:
            return "{" + ",".join(re.sub(LONE, "", self.string()) + ":" + self.json(depth + 1)
                                  for _ in range(self.random.randint(0, 4))) + self.one("}", " }", "}", ",}")
        if kind > 3:
            return self.string()
        return self.one("null", "true", "false", "0", "-0", "1.5", "-12e3", "1E+2", "123456789012345678",
                        "01", "1.", "0.1", "5e-324", "nul", "1e400")

    def string(self):
        return '"k' + "".join(
            self.one("a", "b", "\u00e9", "\u20ac", "\U0001f600", "\\n", "\\\"", "\\\\", "\\/",
                     "\\u0041", "\\ud83d\\ude00", "\\ud83d", "\\ude00", "long text here") if self.random.random() < 0.9
            else self.one("\\x", "\t", "\\u12", "'") if self.random.random() < 0.1 else "z"
            for _ in range(self.random.randint(0, 4))) + '"'

    def name(self):
        return self.one("a", "left-pad", "@s/p", "@s/p", "@s/.p", ".a", "_a", "-a", "A", "a b", "a~", "@s",
                        "@/a", "@s/", "node_modules", "a/b", "@s/a/b", "a.tgz", "\u00e9", "x" * 214)

    def spec(self):
        r = self.random.random()
        if r < 0.25:
            return self.range()
        if r < 0.35:
            return self.one("latest", "next", "beta 1", "t%61g", " latest ", "a:b", "\u00e9", "", "(x)", "a@b")
        if r < 0.5:
            return self.one("npm:", "npm:", "npm:", "NPM:") + self.name()[:200] + self.one(
                "", "@", "@^1.2", "@latest", "@1.2.3", "@npm:b@1", "@file:x", "@x/y", "@a b", "@http://h/x")
        tail = self.one("", "", "#main", "#semver:^1.2", "#semver:%zz", "#a::b", "#path:x::main", "#a/b",
                        "#semver:^1::semver:2", "#x y", "#a@b:c")
        path = self.one("o/r", "o/r.git", "o", "o/", "", "o/r/tree/x", "o/r/archive/x.tgz", "o/r/x", "g/s/r",
                        "o/r/-/x", "o/r/get/x", "o/r/raw", "o/.git", "o/r/archive.tar.gz", "%zz/r", "o%20/r")
        if "/tree/" in path:
            tail = ""  # npm does not read the fragment of these, we do
        if r < 0.75:
            host = self.one("github.com", "www.github.com", "GitHub.com", "gitlab.com", "bitbucket.org",
                            "gist.github.com", "git.sr.ht", "h.test", "h.test:80", "github.com:443")
            user = self.one("", "", "git@", "u:p@")
            return self.one("git:", "git+ssh:", "git+https:", "git+http:", "ssh:", "http:", "https:",
                            "git+file:", "git+rsync:", "ftp:", "HTTPS:", "Git+SSH:") + "//" + user + host + \
                self.one("/", "/", "/", ":") + path + tail
        if r < 0.85:
            return self.one("github:", "gitlab:", "gist:", "bitbucket:", "sourcehut:", "", "", "git@github.com:",
                            "git@gitlab.com:", "git@h.test:", "foo:") + path + tail
        return self.one("file:", "file:", "FILE:", "file:/", "file://", "file:///", "", "./", "../", "/", "~/",
                        "file:~/", "file:/../") + self.one("a", "a/b", "b/../a", "a.tgz", "a.TAR.GZ", "a b", "a#b",
                                                           "a%20b", "a/", "./a", "x.tar", "a?b")

    def document(self):
        """A small packument whose times are days of 2020, some missing."""
        r = self.random.random
        versions, times = {}, {}
        for _ in range(self.random.randint(0, 8)):
            version = f"{self.one(0, 1, 1, 2)}.{self.one(0, 1, 2)}.{self.one(0, 1, 10)}" + \
                self.one("", "", "", "-beta.1", "-beta.2", "-rc")
            versions[version] = {"name": "p", "version": version}
            if r() < 0.25:
                versions[version]["deprecated"] = self.one("yes", "yes", "")
            if r() < 0.3:
                versions[version]["engines"] = {"node": self.one(">=10", "^12 || >=14", "<10", "junk", "*", ">=99", "")}
            if r() < 0.8:
                times[version] = f"2020-01-{self.random.randint(10, 20)}T00:00:00.000Z"
        tags = {tag: self.one(*versions) for tag in ("latest", "next", "old") if versions and r() < 0.8}
        document = {"name": "p", "dist-tags": tags, "versions": versions}
        if r() < 0.8:
            document["time"] = times
        return json.dumps(document), list(versions)

    def pick(self):
        document, versions = self.document()
        spec = self.one("*", "", "x", "latest", "next", "old", "none", "^1", "^1.0.0", "~1.1", "<2", ">=1 <2", "0.x",
                        "1.1 - 2", "^0.1.0 || ^2", "^1.0.0-beta", ">2", "a b", *versions, *versions,
                        *("^" + v for v in versions), *("=v" + v for v in versions))
        day = 1577836800000 + 86400000 * self.random.randint(8, 20)  # 2020-01-01 and some days
        return document, f"{spec};{self.one('', day)};{self.one('', 8, 12, 20)}"

    def question(self):
        op = self.one("v", "c", "h", "h", "h", "g", "l", "r", "r", "r", "m", "w", "j", "s", "s",
                      "p", "p")
        a, b = {
            "v": lambda: (self.version(0.4), ""),
            "c": lambda: (self.version(), self.version()),
            "h": lambda: (self.range(), self.version()),
            "g": lambda: (self.range(), self.version()),
            "l": lambda: (self.range(), self.version()),
            "r": lambda: (self.range(), ""),
            "m": lambda: (self.range(), self.range()),
            "w": lambda: (self.range(), self.range()),
            "j": lambda: (self.json(), ""),
            "p": self.pick,
            "s": lambda: (self.one("a", "a", "a", self.name()), self.spec()),
        }[op]()
        if op == "w" and a == b: # node says yes without reading them
            b += " 1"
        return op, self.random.randint(0, 1 if op in "vc" else 3), a, b


def answers(command, lines):
    done = subprocess.run(command, input=lines, capture_output=True, check=True)
    return done.stdout.decode("utf-8", "replace").split("\n")


def path_of(answer):
    """A spec's answer with its path as npm has it in the end."""
    words = answer.split(" ")
    if words[0] not in ("file", "directory"):
        return answer
    path = bytes.fromhex(words[3].strip('"')).decode("utf-8", "replace")
    return words[0] + " " + os.path.normpath(os.path.join("/where", os.path.expanduser(path)))


def same(op, ours, theirs):
    if op in "ps" and theirs == "none":
        return True
    if op == "s":
        return path_of(ours) == path_of(theirs)
    if op != "j" or ours == theirs:
        return ours == theirs
    return normal(ours) == normal(theirs)


def normal(text):
    """JSON answers: numbers are compared as numbers."""
    words = text.replace("number ", "").replace(",", " , ").replace(":", " : ")
    for sign in "[]{}":
        words = words.replace(sign, " " + sign + " ")
    result = []
    for word in words.split():
        try:
            result.append(repr(float(word.replace("Infinity", "inf"))))
        except ValueError:
            result.append(word)
    return result


def main():
    semver = find_semver()
    if semver is None:
        print("node or npm's semver is not installed: skipped")
        return SKIPPED
    seed = int(os.environ.get("BRISK_SEED", "20260101"))
    count = int(os.environ.get("BRISK_QUESTIONS", QUESTIONS))
    print(f"BRISK_SEED={seed}")
    maker = Maker(seed)
    questions = [maker.question() for _ in range(count)]
    lines = "".join(f"{op}\t{flags}\t{a.encode().hex()}\t{b.encode().hex()}\n"
                    for op, flags, a, b in questions).encode()
    ours = answers([sys.argv[1]], lines)
    theirs = answers(["node", os.path.join(HERE, "node_says.js"), semver], lines)
    if len(ours) != count + 1 or len(theirs) != count + 1:
        print(f"{len(ours)} and {len(theirs)} answers to {count} questions")
        return 1
    wrong = [(q, o, t) for q, o, t in zip(questions, ours, theirs) if not same(q[0], o, t)]
    for (op, flags, a, b), mine, node in wrong[:20]:
        print(f"{op} {flags} {a!r} {b!r}: {mine} instead of {node}")
    valid = sum(answer != "-" for answer in ours)
    print(f"{count} questions, {valid} of valid text, {len(wrong)} answered differently")
    return 1 if wrong or valid < count // 4 else 0


if __name__ == "__main__":
    sys.exit(main())
