#!/usr/bin/env python3
"""`brisk pkg check`, `why`, `why-not`, `tree`, `order` and `diff` from outside: what they print, as
text and as JSON, and their exit codes.

    test_lock_commands.py BRISK CORPUS FILL_STORE
"""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree

LOCK = {
    "name": "shop", "version": "1.0.0", "lockfileVersion": 3, "requires": True,
    "packages": {
        "": {"name": "shop", "version": "1.0.0", "dependencies": {"a": "^1.0.0", "b": "^1.0.0"},
             "devDependencies": {"t": "*"}},
        "node_modules/a": {"version": "1.2.0", "dependencies": {"c": "^1.0.0", "d": "^1.0.0"}},
        "node_modules/b": {"version": "1.0.0", "dependencies": {"c": "^2.0.0"},
                           "peerDependencies": {"a": "^2.0.0"},
                           "optionalDependencies": {"fsevents": "*"}},
        "node_modules/b/node_modules/c": {"version": "2.5.0"},
        "node_modules/c": {"version": "1.5.0", "dependencies": {"d": "^1.0.0"}},
        "node_modules/d": {"version": "1.0.0", "dependencies": {"c": "^1.4.0"}},
        "node_modules/t": {"version": "3.0.0", "dev": True, "dependencies": {"gone": "^1.0.0"}},
    },
}


class Program:
    def __init__(self, brisk: str, folder: str) -> None:
        self.brisk = brisk
        self.folder = pathlib.Path(folder)

    def write(self, name: str, lock: object) -> None:
        (self.folder / name).write_text(lock if isinstance(lock, str) else json.dumps(lock))

    def run(self, *args: str, code: int = 0) -> subprocess.CompletedProcess:
        done = subprocess.run([self.brisk, "pkg", *args], cwd=self.folder, capture_output=True,
                              text=True, check=False, timeout=60,
                              env=dict(os.environ, XDG_CACHE_HOME=str(self.folder / "cache")))
        assert done.returncode == code, (args, done)
        return done

    def json(self, *args: str, code: int = 0) -> dict:
        document = json.loads(self.run(*args, "--json", code=code).stdout)
        assert document["schema"] == 1, document
        return document


def test_check(p: Program) -> None:
    out = p.run("check", code=1).stdout
    assert out == (
        "package-lock.json: 6 packages, 11 dependencies, 2 not satisfied\n"
        "  node_modules/b wants peer a ^2.0.0, finds a 1.2.0 in node_modules/a\n"
        "  node_modules/t wants gone ^1.0.0, finds nothing\n"), out
    found = p.json("check", code=1)
    assert (found["ok"], found["missing"], found["invalid"], found["optional_absent"]) == \
        (False, 1, 1, 1), found
    assert [(one["from"], one["name"], one["kind"], one["state"]) for one in found["problems"]] == \
        [("node_modules/b", "a", "peer", "invalid"), ("node_modules/t", "gone", "prod", "missing")]
    good = json.loads(json.dumps(LOCK))
    del good["packages"]["node_modules/t"]["dependencies"]
    del good["packages"]["node_modules/b"]["peerDependencies"]
    p.write("good.json", good)
    assert p.run("check", "good.json").stdout == \
        "good.json: 6 packages, 9 dependencies, all satisfied\n"


def test_check_beside_package_json(p: Program) -> None:
    good = json.loads(json.dumps(LOCK))
    del good["packages"]["node_modules/t"]["dependencies"]
    del good["packages"]["node_modules/b"]["peerDependencies"]
    p.write("package-lock.json", good)
    manifest = {"name": "shop", "dependencies": {"a": "^1.0.0", "b": "^1.0.0"},
                "devDependencies": {"t": "*"}}
    p.write("package.json", manifest)
    assert p.run("check").stdout.endswith("all satisfied\n")
    assert p.json("check")["manifest_compared"] is True
    manifest["dependencies"] = {"a": "^2.0.0", "x": "1"}
    p.write("package.json", manifest)
    out = p.run("check", code=1).stdout
    assert out == (
        "package-lock.json: 6 packages, 9 dependencies, all satisfied\n"
        "  package.json asks for a ^2.0.0, the lock says ^1.0.0\n"
        "  package.json asks for b no more\n"
        "  package.json asks for x 1, the lock does not\n"), out
    assert [one["name"] for one in p.json("check", code=1)["out_of_date"]] == ["a", "b", "x"]
    p.write("package.json", "{")
    assert "package.json" in p.run("check", code=1).stderr


def test_why(p: Program) -> None:
    out = p.run("why", "c").stdout
    assert out == (
        "c is in 2 places, in 2 versions\n\n"
        "c 2.5.0 in node_modules/b/node_modules/c\n"
        "  shop > b 1.0.0 (^1.0.0) > c (^2.0.0)\n"
        "c 1.5.0 in node_modules/c\n"
        "  shop > a 1.2.0 (^1.0.0) > c (^1.0.0)\n"
        "  shop > b 1.0.0 (^1.0.0) > peer a 1.2.0 (^2.0.0, which this is not) > c (^1.0.0)\n"
        "  shop > a 1.2.0 (^1.0.0) > d 1.0.0 (^1.0.0) > c (^1.4.0)\n"
        "  shop > b 1.0.0 (^1.0.0) > peer a 1.2.0 (^2.0.0, which this is not) > d 1.0.0 (^1.0.0) "
        "> c (^1.4.0)\n"), out
    out = p.run("why", "--limit", "1", "c@1").stdout
    assert out == ("c 1.5.0 in node_modules/c\n  shop > a 1.2.0 (^1.0.0) > c (^1.0.0)\n"
                   "  and in other ways (--limit shows more)\n"), out
    found = p.json("why", "t")
    assert [step["kind"] for step in found["packages"][0]["chains"][0]] == ["dev"], found
    done = p.run("why", "nothing", code=1)
    assert done.stderr == "brisk: package-lock.json: there is no nothing in it: nothing needs " \
        "one\n", done
    assert p.run("why", "c@not a range", code=2).stderr.startswith("brisk: c@not a range: \"not a")


def test_why_not(p: Program) -> None:
    out = p.run("why-not", "c@2").stdout
    assert out == (
        "c@2: 2 of 3 dependencies do not accept it\n"
        "  a 1.2.0 wants c ^1.0.0, has 1.5.0, in node_modules/a\n"
        "      from shop > a\n"
        "  d 1.0.0 wants c ^1.4.0, has 1.5.0, in node_modules/d\n"
        "      from shop > a 1.2.0 > d\n"), out
    assert p.json("why-not", "c@1.4.x")["dependents"][-1]["verdict"] == "allows"
    found = p.json("why-not", "c@>=1.0.0")
    assert found["forbidden"] is False
    assert {one["verdict"] for one in found["dependents"]} == {"partly"}, found
    assert "which version?" in p.run("why-not", "c", code=2).stderr
    assert "nothing in it asks for zzz" in p.run("why-not", "zzz@1", code=1).stderr


def test_tree(p: Program) -> None:
    assert p.run("tree").stdout == (
        "shop 1.0.0\n├─ a 1.2.0\n├─ b 1.0.0\n└─ dev t 3.0.0\n")
    out = p.run("tree", "--all").stdout
    assert out == (
        "shop 1.0.0\n"
        "├─ a 1.2.0\n"
        "│  ├─ c 1.5.0\n"
        "│  │  └─ d 1.0.0\n"
        "│  │     └─ c 1.5.0 (circular)\n"
        "│  └─ d 1.0.0 (again)\n"
        "├─ b 1.0.0\n"
        "│  ├─ peer a 1.2.0 (wants ^2.0.0) INVALID\n"
        "│  └─ c 2.5.0\n"
        "└─ dev t 3.0.0\n"
        "   └─ gone (wants ^1.0.0) MISSING\n"), out
    assert "dev" not in p.run("tree", "--all", "--prod").stdout
    assert p.run("tree", "--depth", "9", "d").stdout == (
        "d 1.0.0 in node_modules/d\n└─ c 1.5.0\n   └─ d 1.0.0 (circular)\n")
    rows = p.json("tree", "--depth", "2")["rows"]
    assert [(row["depth"], row["name"]) for row in rows[:4]] == \
        [(0, "shop"), (1, "a"), (2, "c"), (2, "d")], rows
    assert "there is no zzz in it" in p.run("tree", "zzz", code=1).stderr


def test_order(p: Program) -> None:
    out = p.run("order").stdout
    assert out == (
        "package-lock.json: 6 packages in 3 groups, at most 3 at once, 1 circle\n"
        "   1  3 at once: c 2.5.0, (c 1.5.0 + d 1.0.0, a circle), t 3.0.0\n"
        "   2  1 at once: a 1.2.0\n"
        "   3  1 at once: b 1.0.0\n"
        "critical path, 4 packages one after the other:\n"
        "  (c 1.5.0 + d 1.0.0, a circle) > a 1.2.0 > b 1.0.0\n"), out
    found = p.json("order")
    assert [len(group) for group in found["groups"]] == [3, 1, 1], found


def test_diff(p: Program) -> None:
    other = json.loads(json.dumps(LOCK))
    packages = other["packages"]
    packages["node_modules/a"]["version"] = "2.0.0"
    packages["node_modules/c"]["integrity"] = "sha512-x"
    packages["node_modules/t"] = {"version": "3.0.0", "peer": True}
    packages["node_modules/new"] = {"version": "0.1.0"}
    packages["node_modules/a/node_modules/d"] = packages.pop("node_modules/d")
    p.write("other.json", other)
    out = p.run("diff", "package-lock.json", "other.json").stdout
    assert out == (
        "1 other versions\n  node_modules/a  1.2.0 -> 2.0.0  (major)\n\n"
        "1 added\n  node_modules/new  0.1.0\n\n"
        "1 moved\n  node_modules/a/node_modules/d  1.0.0 was in node_modules/d\n\n"
        "1 needed otherwise\n  node_modules/t  dev -> peer\n"), out
    assert p.json("diff", ".", "other.json")["counts"]["moved"] == 1
    p.run("diff", "--exit-code", "package-lock.json", "other.json", code=1)
    assert p.run("diff", "--exit-code", ".", ".").stdout == \
        "the same packages in the same places\n"


def test_deep_trees_stay_small(p: Program) -> None:
    count = 3000
    packages = {f"node_modules/p{i}": {"version": "1.0.0", "dependencies": {f"p{i + 1}": "*"}}
                for i in range(count)}
    packages[""] = {"name": "r", "dependencies": {"p0": "*"}}
    p.write("chain.json", {"lockfileVersion": 3, "packages": packages})
    lines = p.run("tree", "--all", "--lock", "chain.json").stdout.splitlines()
    assert len(lines) == count + 2 and max(len(line) for line in lines) < 400, lines[-1]
    assert lines[count - 1].startswith("(2899)") and lines[count - 1].endswith(" p2998 1.0.0"), \
        lines[count - 1]
    p.write("glob.json", {"lockfileVersion": 3, "packages": {
        "": {"name": "r", "workspaces": ["*a*a*a*a*a*a*b"] * 9000},
        **{"a" * 200 + str(i): {"version": "1.0.0"} for i in range(3000)}}})
    assert "too many patterns" in p.run("check", "glob.json", code=1).stderr


def test_what_cannot_be_read(p: Program) -> None:
    (p.folder / "empty").mkdir()
    for command in (["check"], ["tree", "--lock"], ["order"], ["why", "a", "--lock"],
                    ["why-not", "a@1", "--lock"]):
        done = p.run(*command, "empty", code=1)
        assert done.stderr == "brisk: empty/package-lock.json: there is no lock; `brisk pkg " \
            "resolve` makes one\n", done
    p.write("bad.json", "{\n  \"lockfileVersion\": 3,\n  \"packages\": {\"/etc\": {}}\n}")
    done = p.run("check", "bad.json", code=1)
    assert done.stderr == "brisk: bad.json: line 3, column 16: a path with an empty part (or one " \
        "that begins or ends with a slash)\n", done
    p.write("esc.json", json.dumps({"lockfileVersion": 3, "packages": {
        "": {"name": "\x1b[31mred"}, "node_modules/a": {"version": "\x1b]0;x\x07"}}}))
    out = p.run("tree", "--lock", "esc.json").stdout
    assert "\x1b" not in out and out == "?[31mred\n", out
    assert "\x1b" not in p.run("check", "esc.json").stdout


def test_shrinkwrap_comes_first(p: Program) -> None:
    folder = p.folder / "both"
    folder.mkdir()
    (folder / "package-lock.json").write_text("{")
    (folder / "npm-shrinkwrap.json").write_text(json.dumps(LOCK))
    assert p.run("tree", "--lock", "both").stdout.startswith("shop 1.0.0\n")


def packument(name: str, **versions: dict) -> dict:
    made = {version.replace("_", ".")[1:]: one for version, one in versions.items()}
    for version, one in made.items():
        one.update(name=name, version=version)
    return {"name": name, "dist-tags": {"latest": list(made)[-1]}, "versions": made}


def fill_store(p: Program) -> None:
    """What is known: an hour old."""
    documents = [
        packument("a", v1_2_0={}, v1_3_0={"dependencies": {"c": "^1.0.0"}},
                  v2_0_0={"dependencies": {"c": "^2.0.0"}}),
        packument("b", v1_0_0={}),
        packument("c", v1_5_0={}, v1_6_0={}, v2_5_0={}),
        packument("d", v1_0_0={}, v1_1_0={}),
    ]
    for document in documents:
        p.write(document["name"] + ".doc", document)
    (p.folder / ".npmrc").write_text("registry=https://registry.test/\n")
    then = int(time.time() * 1000) - 3 * 3600 * 1000
    subprocess.run([os.path.abspath(sys.argv[3]), p.folder / "known", "https://registry.test/", str(then),
                    *p.folder.glob("*.doc")], check=True)


def test_outdated(p: Program) -> None:
    fill_store(p)
    out = p.run("outdated", "--store", "known").stdout
    assert out == (
        "package  current  wanted  latest  asked for\n"
        "a        1.2.0    1.3.0   2.0.0   ^1.0.0\n"
        "1 of 3 dependencies have a newer version\n"
        "as was known 3 hours ago or later; `brisk pkg resolve` asks again\n"
        "1 of them are not known\n"), out
    found = p.json("outdated", "--store", "known", "--all", "--exit-code", code=1)
    assert found["unknown"] == 2, found  # t, gone
    rows = {(one["name"], one["from"]): one for one in found["dependencies"]}
    c = rows["c", "node_modules/b"]
    assert (c["current"], c["wanted"], c["latest"], c["outdated"]) == \
        ("2.5.0", "2.5.0", "2.5.0", False), c
    d = rows["d", "node_modules/a"]
    assert (d["current"], d["wanted"], d["outdated"]) == ("1.0.0", "1.1.0", True), d
    assert rows["gone", "node_modules/t"]["known"] is False
    done = p.run("outdated", "--store", "absent", code=1)
    assert "absent" in done.stderr, done
    empty = p.run("outdated").stdout
    assert empty.endswith("nothing is known of these packages yet: `brisk pkg resolve` fetches "
                          "it\n"), empty


def test_why_not_names_what_would_do(p: Program) -> None:
    fill_store(p)
    out = p.run("why-not", "c@2", "--store", "known").stdout
    assert "      from shop > a\n      a 2.0.0 accepts it; who needs it does not accept that " \
        "version yet\n" in out, out
    assert "> d\n      d 1.1.0 does not ask for it any more; it is in the ranges of those who " \
        "need it\n" in out, out
    found = p.json("why-not", "c@2", "--store", "known")
    remedies = {one["name"]: one.get("remedy") for one in found["dependents"]}
    assert remedies["a"] == {"type": "accepts", "version": "2.0.0", "in_reach": False}, remedies
    assert remedies["b"] is None
    none = p.json("why-not", "c@7", "--store", "known")["dependents"]
    assert [one["remedy"]["type"] for one in none if one["name"] == "a"] == ["none"], none


def test_graph(p: Program) -> None:
    html = p.run("graph").stdout
    data = json.loads(html.split('<script id="data" type="application/json">')[1].split("</script>")[0])
    assert data["name"][0] == "shop" and len(data["name"]) == 7, data
    assert len({len(data[key]) for key in ("name", "version", "x", "y", "angle", "parent", "sector",
                                           "class", "size", "places", "marks")}) == 1
    assert "default-src 'none'" in html
    p.run("graph", "--svg", "-o", "out.svg", "package-lock.json")
    xml.etree.ElementTree.parse(p.folder / "out.svg")
    assert p.run("graph", "--svg").stdout == (p.folder / "out.svg").read_text()
    assert p.run("graph", "--dot").stdout.count(" -> ") == 9
    graph = json.loads(p.run("graph", "--json").stdout)
    assert graph["schema"] == 1 and len(graph["lines"]) == 9, graph
    assert graph["points"][0]["class"] == "project" and graph["points"][0]["parent"] == 0
    assert all(line["to"] < len(graph["points"]) for line in graph["lines"])
    assert "one of --html" in p.run("graph", "--svg", "--dot", code=2).stderr
    assert "none/out.svg" in p.run("graph", "-o", "none/out.svg", code=1).stderr


def test_npm_agrees(p: Program) -> None:
    """npm ls names the same dependencies, on the locks of the corpus."""
    corpus = pathlib.Path(os.environ.get("BRISK_CORPUS", sys.argv[2])) / "pkg/projects"
    if not corpus.is_dir() or shutil.which("npm") is None:
        print("skipped: no corpus or no npm")
        return
    for project in ("vite", "alotta"):
        folder = p.folder / project
        folder.mkdir()
        shutil.copy(corpus / project / "package.json", folder)
        shutil.copy(corpus / project / "package-lock.npm11.json", folder / "package-lock.json")
        done = subprocess.run(["npm", "ls", "--all", "--package-lock-only", "--json"], cwd=folder,
                              capture_output=True, text=True, check=False, timeout=120,
                              env=dict(os.environ, HOME=str(p.folder)))
        problems = json.loads(done.stdout).get("problems", [])
        theirs = {problem.split(" ")[1].rsplit("@", 1)[0] for problem in problems}
        ours = p.json("check", project, code=1 if theirs else 0)["problems"]
        assert {one["name"] for one in ours} == theirs, (project, theirs, ours)


def main() -> int:
    for name, test in list(globals().items()):
        if name.startswith("test_"):
            with tempfile.TemporaryDirectory() as folder:
                p = Program(os.path.abspath(sys.argv[1]), folder)
                p.write("package-lock.json", LOCK)
                test(p)
                print("ok", name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
