#!/usr/bin/env python3
"""Thirty days of one project, resolved anew each day: how often is what is stored still right?

    test_trace.py BRISK CORPUS

The registry is the snapshot as it was at the end of each day, by its `time` fields; nothing stays
fresh over night, so that every package is asked about once a day.  A hit is a package whose document
need not be sent again.  Skips (exit 77) without the corpus ($BRISK_CORPUS counts before CORPUS) or zstd.
"""
import datetime
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import test_resolve

SKIPPED = 77
DAYS = 30
LEAST = 0.94


class Dated(dict):
    """Documents by name as they were at the end of `day`."""

    def __init__(self, folder):
        super().__init__()
        self.folder = folder
        self.day = ""
        self.raw = {}
        self.cut = {}

    def load(self, name):
        if name not in self.raw:
            path = self.folder / (name.replace("/", "%2f") + ".json")
            self.raw[name] = json.loads(path.read_text()) if path.exists() else None
        return self.raw[name]

    def __contains__(self, name):
        return bool(self[name])

    def __getitem__(self, name):
        doc = self.load(name)
        if doc is None:
            return None
        time = doc.get("time", {})
        there = [v for v in doc["versions"] if time.get(v, "")[:10] <= self.day]
        key = (name, len(there))
        if key not in self.cut:
            latest = doc["dist-tags"]["latest"]
            if latest not in there:
                stable = [v for v in there if "-" not in v] or there or [None]
                latest = max(stable, key=lambda v: time.get(v, "")) if there else None
            self.cut[key] = there and {"name": name, "dist-tags": {"latest": latest},
                                       "versions": {v: doc["versions"][v] for v in there}}
        return self.cut[key]


def last_day(documents, lock):
    names = {path.split("node_modules/")[-1] for path in json.loads(lock.read_text())["packages"]}
    days = [t[:10] for name in names - {""} for v, t in
            (documents.load(name) or {}).get("time", {}).items() if v[0].isdigit()]
    return datetime.date.fromisoformat(max(days))


def run(brisk, corpus, folder):
    subprocess.run(["tar", "--zstd", "-xf", corpus / "registry-snapshot.tar.zst", "-C", folder],
                   check=True)
    documents = Dated(pathlib.Path(folder))
    registry = test_resolve.Registry([])
    registry.documents = documents
    registry.max_age = 0
    project = test_resolve.Project(brisk, pathlib.Path(folder) / "room")
    shutil.copy(corpus / "projects/vite/package.json", project.folder)
    end = last_day(documents, corpus / "projects/vite/package-lock.npm11.json")
    asked = hits = solved = rounds = 0
    for day in range(DAYS, -1, -1):
        documents.day = (end - datetime.timedelta(days=day)).isoformat()
        words = [brisk, "pkg", "resolve", str(project.folder), "--update", "--json", "--registry",
                 registry.url]
        done = subprocess.run(words, env=project.env, capture_output=True, text=True, check=False,
                              timeout=60)
        told = json.loads(done.stdout)
        if day == DAYS:
            continue  # everything is new
        fetch = told["fetch"]
        asked += fetch["asked"] - fetch["missing"]
        hits += fetch["confirmed"] + fetch["from_store"]
        solved += told["ok"]
        rounds = max(rounds, fetch["rounds"])
        if not told["ok"]:
            print(f"  {documents.day}: {told['message'][:200]}")
    print(f"{DAYS} days, {solved} solved, {asked} packages, {hits} still right: {hits / asked:.4f}; "
          f"at most {rounds} rounds")
    assert hits / asked >= LEAST
    return 0


def main():
    corpus = pathlib.Path(os.environ.get("BRISK_CORPUS") or sys.argv[2]) / "pkg"
    if not (corpus / "registry-snapshot.tar.zst").exists() or shutil.which("zstd") is None:
        print("the corpus or zstd is missing: skipped")
        return SKIPPED
    with tempfile.TemporaryDirectory() as folder:
        (pathlib.Path(folder) / "room").mkdir()
        return run(os.path.abspath(sys.argv[1]), corpus, folder)


if __name__ == "__main__":
    sys.exit(main())
