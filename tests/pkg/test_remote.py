#!/usr/bin/env python3
"""`brisk pkg resolve --allow-remote`: git repositories and tarballs, made here, on this machine.

    test_remote.py BRISK

Where npm is installed its locks are compared with ours.  Skips what needs git where there is none.
"""
import base64
import gzip
import hashlib
import http.server
import io
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import threading

SKIPPED = 77


class Files(http.server.ThreadingHTTPServer):
    """Bytes by path; `asked` are the requests."""
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = {}
        self.asked = []
        self.secrets = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}/"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request, client_address):
        pass


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        name = self.path[1:]
        self.server.asked.append(name)
        self.server.secrets.append(self.headers.get("authorization"))
        body = self.server.files.get(name)
        self.send_response(200 if body is not None else 404)
        self.send_header("cache-control", "max-age=0" if "stale" in name else "max-age=300")
        self.send_header("content-length", str(len(body or b"")))
        self.end_headers()
        self.wfile.write(body or b"")


class Project:
    def __init__(self, brisk, folder):
        self.brisk = brisk
        self.top = pathlib.Path(folder)
        self.folder = self.top / "project"
        self.folder.mkdir(parents=True)
        (self.top / "home").mkdir()
        self.lock_path = self.folder / "package-lock.json"
        self.env = {k: v for k, v in os.environ.items()
                    if not k.lower().startswith(("npm_config", "http_proxy", "https_proxy", "git_"))}
        self.env |= {"XDG_CACHE_HOME": str(self.top / "cache"), "HOME": str(self.top / "home"),
                     "no_proxy": "*"}
        self.files = Files()

    def manifest(self, deps, **more):
        (self.folder / "package.json").write_text(json.dumps(
            {"name": "made", "version": "1.0.0", "dependencies": deps, **more}, indent=2) + "\n")

    def forget(self, cache=True):
        self.lock_path.unlink(missing_ok=True)
        if cache:
            shutil.rmtree(self.top / "cache", ignore_errors=True)

    def run(self, *args, status=0, allow=True):
        words = [self.brisk, "pkg", "resolve", str(self.folder), "--registry", self.files.url, *args]
        words += ["--allow-remote"] if allow else []
        done = subprocess.run(words, env=self.env, capture_output=True, text=True, check=False,
                              timeout=60)
        assert done.returncode == status, (args, done.returncode, done.stdout, done.stderr)
        return done

    def lock(self, *args, **more):
        self.run(*args, **more)
        return json.loads(self.lock_path.read_text())["packages"]

    def refused(self, spec, words, *args, status=1):
        self.manifest({"dep": spec})
        self.lock_path.unlink(missing_ok=True)
        said = self.run(*args, status=status).stderr
        assert words in said, (spec, said)
        assert not self.lock_path.exists()

    def git(self, *args, at="dep"):
        env = self.env | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_AUTHOR_NAME": "a",
                          "GIT_AUTHOR_EMAIL": "a@x.test", "GIT_COMMITTER_NAME": "a",
                          "GIT_COMMITTER_EMAIL": "a@x.test"}
        done = subprocess.run(["git", *args], cwd=self.top / at, env=env, capture_output=True,
                              text=True, check=False)
        assert done.returncode == 0, (args, done.stderr)
        return done.stdout.strip()

    def commit(self, at="dep", tag=None, files=None, **manifest):
        """The commit of a package.json."""
        (self.top / at).mkdir(exist_ok=True)
        if not (self.top / at / ".git").exists():
            self.git("init", "-q", "-b", "main", at=at)
        text = json.dumps({"name": "dep", **manifest})
        for name, content in {"package.json": text, **(files or {})}.items():
            path = self.top / at / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(content)
        self.git("add", "-A", at=at)
        self.git("commit", "-q", "-m", "x", at=at)
        if tag:
            self.git("tag", "-a", tag, "-m", tag, at=at)
        return self.git("rev-parse", "HEAD", at=at)

    def address(self, at="dep"):
        return f"git+file://{self.top / at}"


def tarball(*entries, packed=True, prefix="package/"):
    """A tar of (name, text) or whole TarInfos."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for entry in entries:
            info, data = (entry, b"") if isinstance(entry, tarfile.TarInfo) else \
                (tarfile.TarInfo(prefix + entry[0]), entry[1].encode())
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return gzip.compress(out.getvalue()) if packed else out.getvalue()


def integrity(data):
    return "sha512-" + base64.b64encode(hashlib.sha512(data).digest()).decode()


def package(**manifest):
    return ("package.json", json.dumps({"name": "dep", "version": "1.0.0", **manifest}))


# --- npm ------------------------------------------------------------------------------------------

def same_as_npm(p):
    """npm's lock of the project is ours; True where there is no npm."""
    npm = shutil.which("npm")
    if not npm:
        return
    ours = json.loads(p.lock_path.read_text())
    other = p.top / "npm"
    shutil.rmtree(other, ignore_errors=True)
    other.mkdir()
    for path in p.folder.iterdir():
        if path.name != "package-lock.json":
            (shutil.copytree if path.is_dir() else shutil.copy)(path, other / path.name)
    done = subprocess.run(
        [npm, "install", "--package-lock-only", "--ignore-scripts", "--no-audit", "--no-fund",
         "--registry", p.files.url, "--cache", str(p.top / "npm-cache")],
        cwd=other, env=p.env, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    theirs = json.loads((other / "package-lock.json").read_text())
    assert ours == theirs, (json.dumps(ours, indent=1), json.dumps(theirs, indent=1))


# --- git ------------------------------------------------------------------------------------------

def case_git_commits(p):
    first = p.commit(version="1.2.3", tag="v1.2.3", license="MIT")
    p.git("branch", "feature")
    second = p.commit(version="1.3.0", tag="release-1.3.0", license="MIT", bin="./x.js")
    last = p.commit(version="2.0.0", dependencies={}, scripts={"install": "true"})
    wanted = {"": last, "#main": last, "#v1.2.3": first, "#feature": first, "#" + first: first,
              "#semver:^1.0.0": second, "#semver:1.2.x": first, "#" + first[:9]: first}
    for fragment, commit in wanted.items():
        p.manifest({"dep": p.address() + fragment})
        p.forget()
        entry = p.lock()["node_modules/dep"]
        assert entry["resolved"] == f"{p.address()}#{commit}", (fragment, entry)
        assert "integrity" not in entry
        if fragment in ("", "#semver:^1.0.0"):
            same_as_npm(p)
    p.refused(p.address() + "#semver:^9.0.0", "no tag whose version fits")
    p.refused(p.address() + "#nowhere", "no branch, tag or commit")
    p.refused(p.address() + "#" + "0" * 40, "the commit is not in the repository")
    p.refused(p.address("none"), "git cannot list the branches")


def case_git_is_kept(p):
    commit = p.commit(version="1.0.0")
    p.manifest({"dep": p.address() + "#main"})
    p.lock()
    text = p.lock_path.read_bytes()
    shutil.move(p.top / "dep", p.top / "away")
    p.run(allow=False)  # the lock is enough
    assert p.lock_path.read_bytes() == text
    p.forget(cache=False)
    assert p.lock("--offline")["node_modules/dep"]["resolved"].endswith(commit)
    p.forget()
    said = p.run("--offline", status=1).stderr
    assert "--offline" in said and "resolve once without" in said, said


def case_git_moves_with_package_json(p):
    first = p.commit(version="1.0.0", tag="v1")
    second = p.commit(version="2.0.0", tag="v2")
    for tag, commit in ("v1", first), ("v2", second), ("v1", first):
        p.manifest({"dep": p.address() + "#" + tag})
        assert p.lock()["node_modules/dep"]["resolved"].endswith("#" + commit), tag


def case_git_scripts_are_named(p):
    p.commit(version="1.0.0", scripts={"prepare": "touch " + str(p.top / "ran")},
             files={"binding.gyp": "{}"})
    p.manifest({"dep": p.address()})
    said = p.run().stdout
    assert "not built: dep" in said, said
    assert not (p.top / "ran").exists()


def case_git_subfolder(p):
    p.commit(version="1.0.0", files={"sub/package.json": '{"name": "dep", "version": "3.0.0"}'})
    p.manifest({"dep": p.address() + "#main::path:sub"})
    assert p.lock()["node_modules/dep"]["version"] == "3.0.0"
    p.refused(p.address() + "#main::path:../..", "leads out of the repository")
    p.refused(p.address() + "#main::path:none", "not in the repository")


def case_git_hostile(p):
    p.commit(version="1.0.0")
    ran = p.top / "ran"
    for spec, words in [
            ("git+ssh://-oProxyCommand=touch%20x/x", "form that none has"),
            ("git+ssh://git@-oProxyCommand=x/x", "form that none has"),
            ("git+ssh://git@host.test:-x/y", "form that none has"),
            ("git+ssh://ext::sh", "helper"),
            ("git+file://" + str(p.top / "dep") + "#-upload-pack=touch", "no commit"),
            ("git+file://" + str(p.top / "dep") + "#--upload-pack=touch", "no commit"),
            ("git+file://" + str(p.top / "dep") + "#a b", "no commit"),
            ("git+file://" + str(p.top / "dep") + "#a..b", "no commit"),
            ("git+rsync://host.test/x", "only"), ("git+ftp://host.test/x", "only"),
            ("git+file://host/x", "absolute path")]:
        p.refused(spec, words)
    hook = p.top / "hook"
    hook.write_text(f"#!/bin/sh\ntouch {ran}\n")
    hook.chmod(0o755)
    for name in "post-checkout", "reference-transaction", "post-update", "pre-receive":
        shutil.copy(hook, p.top / "dep/.git/hooks" / name)
    p.env["GIT_DIR"] = str(p.top / "elsewhere")
    p.env["GIT_EXTERNAL_DIFF"] = str(hook)
    p.manifest({"dep": p.address()})
    assert p.lock()["node_modules/dep"]["version"] == "1.0.0"
    assert not ran.exists()


def case_git_link_is_no_manifest(p):
    p.commit(version="1.0.0")
    (p.top / "dep/package.json").unlink()
    (p.top / "dep/package.json").symlink_to("/etc/passwd")
    p.git("add", "-A")
    p.git("commit", "-q", "-m", "link")
    p.refused(p.address(), "has no package.json")


# --- tarballs -------------------------------------------------------------------------------------

def case_urls(p):
    p.files.files["dep.tgz"] = tarball(package(license="MIT", bin="x.js",
                                               devDependencies={"none": "1"}))
    url = p.files.url + "dep.tgz"
    p.manifest({"dep": url})
    entry = p.lock()["node_modules/dep"]
    assert entry["resolved"] == url
    assert entry["integrity"] == integrity(p.files.files["dep.tgz"])
    same_as_npm(p)
    p.files.asked.clear()
    p.forget(cache=False)
    p.lock()
    assert p.files.asked == []  # fresh
    p.run(allow=False)
    p.forget()
    assert "--allow-remote" in p.run(status=1, allow=False).stderr
    p.refused(url, "never fetched", "--offline")
    p.refused(p.files.url + "none.tgz", "answers 404")


def case_urls_stale(p):
    p.files.files["stale.tgz"] = tarball(package())
    p.manifest({"dep": p.files.url + "stale.tgz"})
    p.lock()
    p.files.files["stale.tgz"] = tarball(package(version="2.0.0"))
    p.forget(cache=False)
    assert p.lock("--prefer-offline")["node_modules/dep"]["version"] == "1.0.0"
    p.forget(cache=False)
    assert p.lock()["node_modules/dep"]["version"] == "2.0.0"


def case_secrets(p):
    p.files.files["a/dep.tgz"] = p.files.files["b/dep.tgz"] = tarball(package())
    host = p.files.url[len("http:"):]
    (p.folder / ".npmrc").write_text(f"{host}a/:_authToken=s3cret\n"
                                     f"@x:registry={p.files.url}a/\n")
    for place, sent in ("a", "Bearer s3cret"), ("b", None):
        p.manifest({"dep": f"{p.files.url}{place}/dep.tgz"})
        p.forget()
        p.files.secrets.clear()
        said = p.run()
        assert p.files.secrets == [sent], (place, p.files.secrets)
        assert "s3cret" not in said.stdout + said.stderr + p.lock_path.read_text()


def case_files(p):
    (p.folder / "lib").mkdir()
    data = tarball(package(version="1.1.0"))
    (p.folder / "lib/dep.tgz").write_bytes(data)
    p.manifest({"dep": "file:lib/dep.tgz"})
    entry = p.lock()["node_modules/dep"]
    assert entry["resolved"] == "file:lib/dep.tgz" and entry["integrity"] == integrity(data)
    same_as_npm(p)
    p.run(allow=False)
    (p.folder / "folder").mkdir()
    (p.folder / "folder/package.json").write_text(json.dumps(
        {"name": "folder", "version": "1.0.0", "dependencies": {"dep": "file:../lib/dep.tgz"}}))
    p.manifest({"folder": "file:folder"})
    p.forget()
    assert p.lock()["node_modules/dep"]["resolved"] == "file:lib/dep.tgz"
    same_as_npm(p)


def case_others_get_nothing_local(p):
    (p.folder / "secret.tgz").write_bytes(tarball(package()))
    p.commit(version="1.0.0")
    for spec in "file:../../secret.tgz", p.address():
        p.files.files["dep.tgz"] = tarball(package(dependencies={"inner": spec}))
        p.forget()
        p.refused(p.files.url + "dep.tgz", "is on this machine")


def damaged(data, at, byte):
    out = bytearray(data)
    out[at] = byte
    return bytes(out)


def case_hostile_tars(p):
    plain = tarball(package(), packed=False)
    link = tarfile.TarInfo("package/package.json")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    bad = {
        "empty": (b"", "tarball"),
        "no gzip": (b"\x1f\x8b" + b"x" * 40, "damaged"),
        "cut": (gzip.compress(plain)[:-30], "damaged"),
        "checksum": (damaged(plain, 0, ord("q")), "checksum"),
        "size": (tarball(package(), packed=False)[:530], "longer than what is left"),
        "none": (tarball(("readme", "x")), "without a package.json"),
        "traversal": (tarball(("../package/package.json", "{}"), prefix="package/"), "without"),
        "absolute": (tarball(package(), prefix="/x/"), "without"),
        "deep": (tarball(package(), prefix="package/x/"), "without"),
        "link": (tarball(link), "without"),
        "not json": (tarball(("package.json", "{")), "package.json"),
        "pax": (tarball_with_pax("99 path=x\n"), "pax"),
        "pax size": (tarball_with_pax("19 size=9999999999\n"), "longer"),
        "no number": (damaged_size(plain), "no number"),
    }
    for name, (data, words) in bad.items():
        p.files.files["x.tgz"] = data
        p.forget()
        try:
            p.refused(p.files.url + "x.tgz", words)
        except AssertionError as error:
            raise AssertionError(name) from error


def with_sum(header):
    header = bytearray(header)
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


def damaged_size(plain):
    header = bytearray(plain[:512])
    header[124:136] = b"9" * 12
    return with_sum(header) + plain[512:]


def tarball_with_pax(line):
    text = line.encode()
    info = tarfile.TarInfo("pax")
    info.type, info.size = tarfile.XHDTYPE, len(text)
    return info.tobuf(tarfile.USTAR_FORMAT) + text.ljust(512, b"\0") + tarball(package(), packed=False)


def case_good_tars(p):
    long = "d" * 180
    second = tarball(package(version="2.0.0"), packed=False)
    for data, number in [
            (tarball(package(), packed=False), "1.0.0"),
            (tarball(("x/" + long + "/" + long, ""), package()), "1.0.0"),
            (tarball(package(), prefix="owner-repo-0123/"), "1.0.0"),
            (tarball(package(), package(version="3.0.0")), "3.0.0"),
            (gzip.compress(second[:600]) + gzip.compress(second[600:]), "2.0.0")]:
        p.files.files["dep.tgz"] = data
        p.manifest({"dep": p.files.url + "dep.tgz"})
        p.forget()
        assert p.lock()["node_modules/dep"]["version"] == number


def main():
    cases = {name[5:]: case for name, case in globals().items() if name.startswith("case_")}
    if not shutil.which("git"):
        cases = {name: case for name, case in cases.items()
                 if not name.startswith("git") and name != "others_get_nothing_local"}
        print("without git: its cases are skipped")
    for name in sys.argv[2:] or cases:
        with tempfile.TemporaryDirectory() as folder:
            project = Project(sys.argv[1], folder)
            cases[name](project)
            project.files.shutdown()
            project.files.server_close()
        print(f"{name}: ok")
    return 0


if __name__ == "__main__":
    sys.exit(main())
