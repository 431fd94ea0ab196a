#!/usr/bin/env python3
"""Real projects resolved by `brisk pkg resolve` against the corpus, served by bench_registry.

    test_resolve_corpus.py BRISK BENCH_REGISTRY CORPUS

The packages must be npm's, as multisets of name@version; online, offline, warm and with failures and
other orders of arrival the lock must be the same bytes; npm must take it.  Skips (exit 77) without
the corpus ($BRISK_CORPUS counts before CORPUS).
"""
import collections
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

SKIPPED = 77
PROJECTS = ("vite", "next", "alotta")


class Server:
    def __init__(self, program, snapshot, *options):
        self.process = subprocess.Popen(
            [program, "--docs", snapshot, "--until-stdin-closes", *options],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.url = self.process.stdout.readline().split()[-1]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(timeout=30)


def packages(lock):
    """(path, version) of everything that is not bundled, and the multiset of name@version."""
    places = {}
    for path, entry in json.loads(pathlib.Path(lock).read_text())["packages"].items():
        if path and not entry.get("link"):
            name = entry.get("name", path.split("node_modules/")[-1])
            places[path] = f"{name}@{entry['version']}"
    return places, collections.Counter(places.values())


class Bench:
    def __init__(self, brisk, corpus, folder):
        self.brisk = brisk
        self.corpus = corpus / "pkg"
        self.folder = pathlib.Path(folder)
        (self.folder / "home").mkdir()
        self.env = {k: v for k, v in os.environ.items() if not k.lower().startswith("npm_config")}
        self.env |= {"XDG_CACHE_HOME": str(self.folder / "cache"), "no_proxy": "*",
                     "HOME": str(self.folder / "home")}

    def project(self, name):
        place = self.folder / name
        if not place.exists():
            place.mkdir()
            shutil.copy(self.corpus / "projects" / name / "package.json", place)
        return place

    def resolve(self, name, url, *args, status=0, fresh=True):
        place = self.project(name)
        lock = place / "package-lock.json"
        if fresh and lock.exists():
            lock.unlink()
        done = subprocess.run([self.brisk, "pkg", "resolve", str(place), "--registry", url,
                               "--node-version", "20.20.2", "--json", *args],
                              env=self.env, capture_output=True, text=True, check=False,
                              timeout=120)
        assert done.returncode == status, (name, args, done.stdout, done.stderr)
        told = json.loads(done.stdout)
        return told, lock.read_bytes() if lock.exists() else b"", done.stderr

    def forget(self):
        shutil.rmtree(self.folder / "cache", ignore_errors=True)


def compare(bench, name):
    """Every difference is told; Jaccard index of the multisets."""
    ours, our_bag = packages(bench.folder / name / "package-lock.json")
    theirs, their_bag = packages(bench.corpus / "projects" / name / "package-lock.npm11.json")
    for path in sorted(ours.keys() | theirs.keys()):
        if ours.get(path) != theirs.get(path):
            print(f"  {name}: {path}: ours {ours.get(path)}, npm's {theirs.get(path)}")
    common = sum((our_bag & their_bag).values())
    return common / sum((our_bag | their_bag).values())


def npm_ci(bench, place, url):
    """What npm finds wrong: the snapshot lacks optional packages, which it tells of its own lock, too."""
    done = subprocess.run(["npm", "ci", "--ignore-scripts", "--dry-run", "--no-audit", "--no-fund",
                           "--registry", url], cwd=place, env=bench.env, capture_output=True,
                          text=True, check=False, timeout=120)
    wrong = [line for line in done.stderr.splitlines()
             if "from lock file" in line or "Invalid:" in line or "does not satisfy" in line]
    assert done.returncode == 0 or wrong, (done.stdout[-2000:], done.stderr[-2000:])
    return wrong


def check_npm(bench, name, url):
    if shutil.which("npm") is None:
        return print("  npm is not installed: its opinion is not asked")
    theirs = bench.folder / "npm's"
    shutil.copytree(bench.folder / name, theirs)
    shutil.copy(bench.corpus / "projects" / name / "package-lock.npm11.json",
                theirs / "package-lock.json")
    of_ours, of_theirs = npm_ci(bench, bench.folder / name, url), npm_ci(bench, theirs, url)
    shutil.rmtree(theirs)
    assert of_ours == of_theirs, (name, of_ours, of_theirs)
    return print(f"  npm ci: {len(of_ours)} complaints, the same of npm's own lock")


def check_project(bench, name, url):
    told, online, _ = bench.resolve(name, url)
    jaccard = compare(bench, name)
    print(f"{name}: {told['packages']} packages, Jaccard {jaccard:.5f}, "
          f"{told['fetch']['requests']} requests in {told['fetch']['rounds']} rounds")
    assert jaccard >= 0.998
    subprocess.run([bench.brisk, "pkg", "check", str(bench.folder / name)],
                   stdout=subprocess.DEVNULL, check=name != "alotta")
    check_npm(bench, name, url)
    for args in (["--offline"], ["--offline", "--no-cache"], [], ["--prefer-offline"]):
        told, again, _ = bench.resolve(name, url, *args)
        assert again == online, (name, args)
        assert told["fetch"]["requests"] == 0, told
    assert bench.resolve(name, url, fresh=False)[0]["unchanged"]
    return online


def check_trial(bench, url):
    done = subprocess.run([bench.brisk, "pkg", "test-resolution", str(bench.folder / "alotta"),
                           "--packages", "100", "--parallel", "--cache-analysis", "--json",
                           "--registry", url], env=bench.env, capture_output=True, text=True,
                          check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    passes = json.loads(done.stdout)["passes"]
    assert len(passes) == 4 and all(p["success"] >= 0.998 for p in passes), passes
    assert passes[0]["guessed"] == 0 and passes[3]["hit_rate"] == 1, passes


def check_success(bench, url):
    """Each package of each project alone, each project, each way to fail: solved, or proved impossible."""
    good = count = 0
    for name in PROJECTS:
        done = subprocess.run([bench.brisk, "pkg", "test-resolution", str(bench.folder / name),
                               "--packages", "100000", "--json", "--registry", url],
                              env=bench.env, capture_output=True, text=True, check=False,
                              timeout=250)
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)["passes"][-1]
        print(f"  {name} one by one: {told['solved']} solved, {told['proved']} proved, "
              f"{told['failed']} failed; first: {told.get('first_failure')}")
        good += told["solved"] + told["proved"] + 1  # and the project itself
        count += told["solved"] + told["proved"] + told["failed"] + 1
    print(f"success {good / count:.4f} of {count}")
    assert good / count >= 0.998


def main():
    corpus = pathlib.Path(os.environ.get("BRISK_CORPUS") or sys.argv[3])
    snapshot = corpus / "pkg/registry-snapshot.tar.zst"
    if not snapshot.exists():
        print(f"{snapshot} is missing: skipped")
        return SKIPPED
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(os.path.abspath(sys.argv[1]), corpus, folder)
        with Server(sys.argv[2], snapshot, "--level", "1") as server:
            locks = {name: check_project(bench, name, server.url) for name in PROJECTS}
            check_trial(bench, server.url)
            check_success(bench, server.url)
            told, _, words = bench.resolve("express-conflict", server.url, status=1)
            assert not told["ok"] and "mongoose-unique-validator" in words, words
            assert told["proof"] and told["fix"]["to"] == "2.0.0", told
            assert not (bench.folder / "express-conflict/package-lock.json").exists()
        for seed in range(4):  # other orders, and failures on the way
            bench.forget()
            with Server(sys.argv[2], snapshot, "--level", "1", "--delay", str(seed * 3),
                        "--fail-rate", "0.02", "--seed", str(seed)) as server:
                for name in ("vite", "alotta")[seed % 2:]:
                    # tarballs' addresses are the snapshot's, so only the port in ours would differ
                    assert bench.resolve(name, server.url)[1] == locks[name], (name, seed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
