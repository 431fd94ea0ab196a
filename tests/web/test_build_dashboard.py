"""The pages that tools/build_dashboard.py makes: plain ones where there is no npm, and never silently.

  test_build_dashboard.py SOURCE_FOLDER

Nothing is fetched: each case makes npm unreachable or forbids it.
"""
import gzip
import os
import pathlib
import re
import stat
import subprocess
import sys
import tempfile

SOURCE = pathlib.Path(sys.argv[1])
MAKER = SOURCE / "tools" / "build_dashboard.py"
CASES = []


def case(function):
    CASES.append(function)
    return function


def check(condition, what="not so"):
    if not condition:
        raise AssertionError(what)


def make(folder, env):
    """Run the maker with an environment of its own; what it said, and the C file's text, if any."""
    out = pathlib.Path(folder) / "pages.c"
    done = subprocess.run([sys.executable, str(MAKER), str(SOURCE / "web"), str(pathlib.Path(folder) / "npm"), str(out)],
                          env=env, capture_output=True, text=True, timeout=120, check=False)
    return done, out.read_text() if out.exists() else None


def pages_of(text):
    """Name to content, as the C file says."""
    arrays = {number: bytes(int(byte) for byte in body.replace("\n", "").split(",") if byte.strip())
              for number, body in re.findall(r"page_(\d+)\[\] = \{\n(.*?)\n\};", text, re.DOTALL)}
    rows = re.findall(r'\{"([^"]+)", "([^"]+)", page_(\d+), (\d+)\}', text)
    for _, _, number, size in rows:
        check(len(arrays[number]) == int(size), "a size that is not so")
    return {name: gzip.decompress(arrays[number]).decode() for name, _, number, _ in rows}


def is_plain(text):
    pages = pages_of(text)
    check("dashboard_is_plain = true" in text)
    check(set(pages) == {"index.html", "app.css"}, set(pages))
    check("This build has no dashboard" in pages["index.html"] and "/health" in pages["index.html"])
    check("<script" not in pages["index.html"])


def fake_tools(folder, npm=None, node_version="v18.19.0"):
    """A PATH with nothing but what is given."""
    tools = pathlib.Path(folder) / "bin"
    tools.mkdir()
    scripts = {"node": f"#!/bin/sh\necho {node_version}\n"}
    if npm is not None:
        scripts["npm"] = f"#!/bin/sh\n{npm}\n"
    for name, text in scripts.items():
        (tools / name).write_text(text)
        (tools / name).chmod(stat.S_IRWXU)
    return str(tools)


@case
def no_npm_no_dashboard():
    with tempfile.TemporaryDirectory(prefix="brisk-web-") as folder:
        done, text = make(folder, {"PATH": fake_tools(folder)})
        check(done.returncode == 0 and "node and npm are not installed" in done.stderr, done)
        is_plain(text)


@case
def npm_is_left_alone_when_told_so():
    with tempfile.TemporaryDirectory(prefix="brisk-web-") as folder:
        mark = pathlib.Path(folder) / "called"
        tools = fake_tools(folder, f": > {mark}")
        done, text = make(folder, {"PATH": tools, "BRISK_DASHBOARD": "plain"})
        check(done.returncode == 0 and "BRISK_DASHBOARD=plain" in done.stderr and not mark.exists(), done)
        is_plain(text)


@case
def npm_that_fails_is_no_failure():
    with tempfile.TemporaryDirectory(prefix="brisk-web-") as folder:
        tools = fake_tools(folder, "echo there is no network >&2; exit 1")
        done, text = make(folder, {"PATH": f"{tools}:/bin"})
        check(done.returncode == 0 and "there is no network" in done.stderr, done)
        is_plain(text)


@case
def node_that_is_too_old():
    with tempfile.TemporaryDirectory(prefix="brisk-web-") as folder:
        tools = fake_tools(folder, "exit 1", node_version="v12.22.0")
        done, text = make(folder, {"PATH": f"{tools}:/bin"})
        check(done.returncode == 0 and "12.22.0 is older" in done.stderr, done)
        is_plain(text)


@case
def required_is_required():
    with tempfile.TemporaryDirectory(prefix="brisk-web-") as folder:
        done, text = make(folder, {"PATH": fake_tools(folder), "BRISK_DASHBOARD": "required"})
        check(done.returncode != 0 and text is None and "dashboard:" in done.stderr, done)


@case
def the_same_pages_each_time():
    texts = []
    for _ in range(2):
        with tempfile.TemporaryDirectory(prefix="brisk-web-") as folder:
            texts.append(make(folder, {"PATH": os.defpath, "BRISK_DASHBOARD": "plain"})[1])
    check(texts[0] == texts[1])


def main():
    failed = 0
    for one in CASES:
        try:
            one()
            print(f"ok {one.__name__}")
        except AssertionError as why:
            failed += 1
            print(f"FAILED {one.__name__}: {why}")
    print(f"{len(CASES) - failed} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0


sys.exit(main())
