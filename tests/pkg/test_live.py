"""One small project against the registry that npm is configured for.  Skips without npm or network.

    test_live.py BRISK

It asks for two packages only, names no registry, and takes "no connection" and "too slow" for no network; everything
else that goes wrong is a failure.
"""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request

SKIPPED = 77
PATIENCE_S = 20


def skip(why: str) -> None:
    print(f"skipped: {why}")
    sys.exit(SKIPPED)


def registry() -> str:
    npm = shutil.which("npm")
    if npm is None:
        skip("there is no npm to say which registry is configured")
    try:
        said = subprocess.run([npm, "config", "get", "registry"], capture_output=True, text=True,
                              timeout=PATIENCE_S, check=False).stdout.strip()
    except subprocess.TimeoutExpired:
        skip("npm does not answer")
    if not said.startswith(("http://", "https://")):
        skip("no registry is configured")
    return said


def reach(url: str) -> None:
    try:
        with urllib.request.urlopen(url + "ms", timeout=PATIENCE_S) as answer:
            answer.read(1)
    except (urllib.error.URLError, OSError) as error:
        skip(f"the registry is not reached: {error}")


def main() -> int:
    brisk = str(pathlib.Path(sys.argv[1]).resolve())
    url = registry()
    reach(url)
    with tempfile.TemporaryDirectory(prefix="brisk-test-") as name:
        folder = pathlib.Path(name)
        (folder / "package.json").write_text(json.dumps(
            {"name": "live", "version": "1.0.0", "dependencies": {"debug": "^4.3.0"}}))
        environment = dict(os.environ, XDG_CACHE_HOME=str(folder / "cache"),
                           XDG_DATA_HOME=str(folder / "data"))

        def run(*words: str) -> str:
            done = subprocess.run([brisk, "pkg", *words], cwd=folder, env=environment, text=True,
                                  capture_output=True, timeout=120, check=False)
            if done.returncode != 0:
                raise SystemExit(f"{words} ended with {done.returncode}: {done.stderr}")
            return done.stdout

        run("resolve", "--registry", url)
        lock = json.loads((folder / "package-lock.json").read_text())
        packages = lock["packages"]
        assert {"", "node_modules/debug", "node_modules/ms"} <= set(packages), sorted(packages)
        for path in ("node_modules/debug", "node_modules/ms"):
            assert packages[path]["integrity"].startswith("sha"), packages[path]
        assert packages["node_modules/debug"]["version"].startswith("4."), packages
        run("check")
        before = (folder / "package-lock.json").read_bytes()
        (folder / "package-lock.json").unlink()
        run("resolve", "--registry", url, "--offline")
        assert (folder / "package-lock.json").read_bytes() == before, "offline gave another lock"
    return 0


if __name__ == "__main__":
    sys.exit(main())
