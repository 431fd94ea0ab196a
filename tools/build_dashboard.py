#!/usr/bin/env python3
"""Make the C file that holds the dashboard's pages, compressed.

    build_dashboard.py WEB WORK OUT.c

WEB is the source folder, WORK a folder of the build for npm's packages.  Without node, npm or the
network the plain page of WEB/plain is taken instead, and said so: the build never fails for it.
Set BRISK_DASHBOARD=required to make it fail, =plain to leave npm alone.
"""
import gzip
import os
import pathlib
import shutil
import subprocess
import sys

TYPES = {".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8",
         ".css": "text/css; charset=utf-8"}
NODE_MIN = 18
NPM_TIMEOUT_S = 300


class Unavailable(Exception):
    """Why there is no dashboard."""


def run(words: list[str], folder: pathlib.Path) -> str:
    try:
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=NPM_TIMEOUT_S,
                              stdin=subprocess.DEVNULL, check=False)
    except (OSError, subprocess.TimeoutExpired) as failure:
        raise Unavailable(f"{words[0]}: {failure}") from failure
    if done.returncode != 0:
        raise Unavailable(f"{' '.join(words[:2])} failed: {(done.stderr or done.stdout).strip()[-500:]}")
    return done.stdout


def fetch_packages(web: pathlib.Path, work: pathlib.Path) -> None:
    """npm's packages as the lock names them; kept while the lock is the same."""
    lock = (web / "package-lock.json").read_bytes()
    kept = work / "package-lock.json"
    if (work / "node_modules" / ".package-lock.json").exists() and kept.exists() and kept.read_bytes() == lock:
        return
    shutil.rmtree(work / "node_modules", ignore_errors=True)
    shutil.copy(web / "package.json", work)
    shutil.copy(web / "package-lock.json", work)
    run(["npm", "ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund"], work)


def build(web: pathlib.Path, work: pathlib.Path) -> pathlib.Path:
    if os.environ.get("BRISK_DASHBOARD") == "plain":
        raise Unavailable("BRISK_DASHBOARD=plain")
    if shutil.which("node") is None or shutil.which("npm") is None:
        raise Unavailable("node and npm are not installed")
    version = run(["node", "--version"], work).strip().lstrip("v")
    if int(version.split(".")[0]) < NODE_MIN:
        raise Unavailable(f"node {version} is older than {NODE_MIN}")
    fetch_packages(web, work)
    out = work / "pages"
    shutil.rmtree(out, ignore_errors=True)
    shutil.copy(web / "build.mjs", work)
    print(run(["node", "build.mjs", str(web), str(work / "node_modules"), str(out)], work).strip())
    return out


def pack(pages: pathlib.Path) -> list[tuple[str, str, bytes]]:
    found = []
    for page in sorted(pages.iterdir()):
        if page.suffix in TYPES:
            packed = page.with_name(page.name + ".gz")
            data = packed.read_bytes() if packed.exists() else gzip.compress(page.read_bytes(), 9, mtime=0)
            found.append((page.name, TYPES[page.suffix], data))
    return found


def write_c(files: list[tuple[str, str, bytes]], is_plain: bool, out: pathlib.Path) -> None:
    lines = ['/* Made by tools/build_dashboard.py. */', '#include "daemon/dashboard.h"', ""]
    for number, (_, _, data) in enumerate(files):
        lines.append(f"static const unsigned char page_{number}[] = {{")
        lines += ["    " + ",".join(str(byte) for byte in data[at:at + 32]) + "," for at in range(0, len(data), 32)]
        lines.append("};")
    lines.append("const dashboard_page dashboard_pages[] = {")
    for number, (name, kind, data) in enumerate(files):
        lines.append(f'    {{"{name}", "{kind}", page_{number}, {len(data)}}},')
    lines += ["};", f"const unsigned dashboard_page_count = {len(files)};",
              f"const bool dashboard_is_plain = {'true' if is_plain else 'false'};", ""]
    out.write_text("\n".join(lines))


def main() -> int:
    web, work, out = (pathlib.Path(word).resolve() for word in sys.argv[1:4])
    work.mkdir(parents=True, exist_ok=True)
    try:
        pages, is_plain = build(web, work), False
    except Unavailable as why:
        if os.environ.get("BRISK_DASHBOARD") == "required":
            sys.exit(f"dashboard: {why}")
        print(f"dashboard: a plain page instead of it: {why}", file=sys.stderr)
        pages, is_plain = web / "plain", True
    write_c(pack(pages), is_plain, out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
