#!/usr/bin/env python3
"""`brisk pkg resolve` from outside, against a small registry that can behave badly.

    test_resolve.py BRISK [CASE...]
"""
import gzip
import hashlib
import http.server
import json
import os
import pathlib
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time


def version(name, number, deps=None, **more):
    digest = hashlib.sha512(f"{name}@{number}".encode()).hexdigest()
    return {"name": name, "version": number, "dependencies": deps or {},
            "dist": {"tarball": f"http://registry.test/{name}/-/{name.split('/')[-1]}-{number}.tgz",
                     "integrity": "sha512-" + digest[:86] + "=="}, **more}


def document(name, *versions, **more):
    return {"name": name, "dist-tags": {"latest": versions[-1]["version"]},
            "versions": {v["version"]: v for v in versions}, **more}


class Registry(http.server.ThreadingHTTPServer):
    """Documents by name; `behave` (name to a function of the handler) answers instead of them."""
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, documents):
        super().__init__(("127.0.0.1", 0), Handler)
        self.documents = {d["name"]: d for d in documents}
        self.behave = {}
        self.asked = []
        self.seen = []  # (name, headers)
        self.max_age = 300
        self.delay = lambda: 0
        self.url = f"http://127.0.0.1:{self.server_address[1]}/"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request, client_address):
        pass  # clients that go away


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def document(self, doc):
        text = json.dumps(doc).encode()
        tag = '"' + hashlib.sha1(text).hexdigest() + '"'
        if self.headers.get("if-none-match") == tag:
            return self.answer(304, etag=tag, cache_control=f"max-age={self.server.max_age}")
        return self.answer(200, gzip.compress(text), etag=tag, content_encoding="gzip",
                           cache_control=f"max-age={self.server.max_age}")

    def do_GET(self):
        name = self.path[1:].replace("%2f", "/")
        server = self.server
        server.asked.append(name)
        server.seen.append((name, dict(self.headers)))
        time.sleep(server.delay())
        if name in server.behave:
            return server.behave[name](self)
        if name in server.documents:
            return self.document(server.documents[name])
        return self.answer(404, b"{}")


class Project:
    def __init__(self, brisk, folder):
        self.brisk = brisk
        self.folder = pathlib.Path(folder) / "project"
        self.folder.mkdir(parents=True)
        self.cache = pathlib.Path(folder) / "cache"
        home = pathlib.Path(folder) / "home"
        home.mkdir()
        self.env = {k: v for k, v in os.environ.items()
                    if not k.lower().startswith(("npm_config", "http_proxy", "https_proxy"))}
        self.env |= {"XDG_CACHE_HOME": str(self.cache), "HOME": str(home), "no_proxy": "*"}
        self.lock = self.folder / "package-lock.json"

    def manifest(self, deps, **more):
        text = json.dumps({"name": "made", "version": "1.0.0", "dependencies": deps, **more},
                          indent=2)
        (self.folder / "package.json").write_text(text + "\n")

    def forget(self, store=False):
        if self.lock.exists():
            self.lock.unlink()
        if store and self.cache.exists():
            subprocess.run(["rm", "-rf", str(self.cache)], check=True)

    def run(self, *args, status=0, registry=None, timeout=60):
        words = [self.brisk, "pkg", "resolve", str(self.folder), *args]
        words += ["--registry", registry.url] if registry else []
        done = subprocess.run(words, env=self.env, capture_output=True, text=True, check=False,
                              timeout=timeout)
        assert done.returncode == status, (args, done.returncode, done.stdout, done.stderr)
        return done

    def resolve(self, *args, **more):
        return json.loads(self.run("--json", *args, **more).stdout)

    def packages(self):
        return {path: entry.get("version")
                for path, entry in json.loads(self.lock.read_text())["packages"].items() if path}


def deep(levels=6, wide=4):
    """A registry in which each level is known only from the one above."""
    docs = []
    for level in range(levels):
        for i in range(wide):
            deps = {f"l{level + 1}-{j}": "^1.0.0" for j in range(wide)} if level + 1 < levels else {}
            docs.append(document(f"l{level}-{i}", version(f"l{level}-{i}", "1.0.0", deps),
                                 version(f"l{level}-{i}", "1.1.0", deps)))
    return docs, {f"l0-{i}": "^1.0.0" for i in range(wide)}


# --- good weather ---------------------------------------------------------------------------------


def case_plain(project):
    docs, deps = deep()
    docs += [document("@s/scoped", version("@s/scoped", "2.0.0"))]
    r = Registry(docs)
    project.manifest(deps | {"@s/scoped": "*"})
    first = project.resolve(registry=r)
    assert first["packages"] == 25 and first["written"], first
    assert sorted(r.asked) == sorted(set(r.asked)), "asked twice"
    assert "@s/scoped" in r.asked
    bytes_online = project.lock.read_bytes()
    again = project.resolve(registry=r)
    assert again["unchanged"] and not again["written"], again
    requests = len(r.asked)
    for args in ([], ["--offline"], ["--prefer-offline"], ["--offline", "--no-cache"],
                 ["--offline"]):
        project.forget()
        told = project.resolve(*args, registry=r)
        assert told["written"] and project.lock.read_bytes() == bytes_online, (args, told)
    assert len(r.asked) == requests, "asked though all was fresh"
    assert project.run("--offline", "--update", "--dry-run", registry=r).stdout.count("unchanged")


def case_rounds(project):
    """The second time everything that may be needed is asked for at once."""
    docs, deps = deep(8, 3)
    r = Registry(docs)
    r.max_age = 0
    project.manifest(deps)
    first = project.resolve(registry=r)
    assert first["fetch"]["rounds"] >= 7, first
    project.forget()
    second = project.resolve("--no-cache", registry=r)
    assert second["fetch"]["rounds"] <= 3, second
    assert second["fetch"]["confirmed"] == 24 and second["fetch"]["fetched"] == 0, second


def case_determinism(project):
    docs, deps = deep(5, 5)
    deps["l2-1"] = "1.0.0"
    r = Registry(docs)
    dice = random.Random(20260101)
    r.delay = lambda: dice.random() * 0.004
    project.manifest(deps)
    seen = set()
    for i in range(20):
        project.forget(store=i % 3 != 0)
        r.max_age = 0 if i % 2 else 300
        project.run(registry=r)
        seen.add(project.lock.read_bytes())
    assert len(seen) == 1, f"{len(seen)} different locks"


def case_two_at_once(project):
    docs, deps = deep(4, 4)
    r = Registry(docs)
    project.manifest(deps)
    words = [project.brisk, "pkg", "resolve", str(project.folder), "--registry", r.url]
    both = [subprocess.Popen(words, env=project.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            for _ in range(3)]
    for p in both:
        out, err = p.communicate(timeout=60)
        assert p.returncode == 0, (out, err)
    assert len(project.packages()) == 16
    project.run("--offline", "--update", registry=r)


def case_newer_wanted(project):
    """A fresh stored package lacks a version that is wanted: it is asked for once more."""
    a1, a2 = version("a", "1.0.0"), version("a", "2.0.0")
    r = Registry([document("a", a1)])
    project.manifest({"a": "^1.0.0"})
    project.run(registry=r)
    r.documents["a"] = document("a", a1, a2)
    project.manifest({"a": "^2.0.0"})
    told = project.resolve(registry=r)
    assert project.packages() == {"node_modules/a": "2.0.0"} and told["fetch"]["refetched"] == 1
    project.manifest({"a": "^3.0.0"})
    failed = project.run(registry=r, status=1)
    assert "^3.0.0" in failed.stderr and "a" in failed.stderr, failed.stderr
    assert project.packages() == {"node_modules/a": "2.0.0"}, "the old lock was touched"


def case_ages(project):
    now = time.time()
    when = [time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(now - days * 86400))
            for days in (30, 8, 2)]
    versions = [version("a", f"1.{i}.0") for i in range(3)]
    times = {f"1.{i}.0": when[i] for i in range(3)}
    r = Registry([document("a", *versions, time=times)])
    project.manifest({"a": "^1.0.0"})
    for age, wanted in (("7d", "1.1.0"), ("1w", "1.1.0"), ("1d", "1.2.0"), ("240h", "1.0.0")):
        project.forget()
        told = project.resolve("--min-age", age, registry=r)
        assert project.packages() == {"node_modules/a": wanted}, (age, project.packages())
        assert (told["too_young"] != []) == (wanted != "1.2.0"), told
    project.forget()
    told = project.run("--before", when[1][:10], registry=r)
    assert "too young: a 1.2.0" in told.stdout and "taken: 1.0.0" in told.stdout, told.stdout
    project.forget()
    assert "old enough" in project.run("--min-age", "400d", registry=r, status=1).stderr
    for wrong in (["--min-age", "7"], ["--min-age", "d"], ["--before", "soon"],
                  ["--resolution", "best"], ["--offline", "--prefer-offline"], ["--node-version", "x"], ["--node", "20.11.0"], ["--node", "http://127.0.0.1:1", "--offline", "--store", "x"]):
        project.run(*wrong, registry=r, status=2)


def case_absent(project):
    r = Registry([document("a", version("a", "1.0.0"))])
    project.manifest({"a": "1"}, optionalDependencies={"nowhere": "1"})
    project.run(registry=r)
    assert project.packages() == {"node_modules/a": "1.0.0"}
    lock = project.lock.read_bytes()
    project.forget()
    project.run("--offline", registry=r)
    assert project.lock.read_bytes() == lock, "offline forgot that there is no such package"
    project.manifest({"a": "1", "b-missing": "1", "c-missing": "1"})
    failed = project.run("--offline", registry=r, status=1)
    assert "b-missing" in failed.stderr and "c-missing" in failed.stderr, failed.stderr
    failed = project.run(registry=r, status=1)
    assert "b-missing" in failed.stderr and "no such package" in failed.stderr, failed.stderr
    assert project.lock.read_bytes() == lock


def case_conflict(project):
    r = Registry([document("host", version("host", "1.0.0"), version("host", "2.0.0")),
                  document("plug", version("plug", "1.0.0", peerDependencies={"host": "^1.0.0"}))])
    project.manifest({"host": "2.0.0", "plug": "1.0.0"})
    failed = project.run(registry=r, status=1)
    for word in ("plug", "host", "^1.0.0", "2.0.0"):
        assert word in failed.stderr, failed.stderr
    assert "there is no answer" in failed.stderr and not project.lock.exists()
    told = json.loads(project.run("--json", registry=r, status=1).stdout)
    assert told["proof"] and told["fix"]["change"] in ("version", "override"), told
    project.run("--legacy-peer-deps", registry=r)
    r.documents["top"] = document("top", version("top", "1.0.0", {"plug": "1"}))
    r.documents["plug"]["versions"]["1.0.0"]["peerDependencies"]["gone"] = "^1.0.0"
    r.documents["gone"] = document("gone", version("gone", "1.0.0",
                                                   peerDependencies={"host": "^2.0.0"}))
    project.forget(store=True)
    project.manifest({"host": "2.0.0", "top": "1.0.0"})
    for args in ([], [], ["--strict-peer-deps"], []):
        done = subprocess.run([project.brisk, "pkg", "resolve", str(project.folder), *args,
                               "--registry", r.url], env=project.env, capture_output=True,
                              text=True, check=False, timeout=60)
        assert done.returncode == (1 if args else 0), (args, done.stdout, done.stderr)


def case_missing_is_proved(project):
    """The way to what is not there, over nothing optional; each step as the packages declare it."""
    r = Registry([
        document("top", version("top", "1.0.0", {"middle": "^1.0.0"},
                                optionalDependencies={"opt": "1"})),
        document("opt", version("opt", "1.0.0", {"gone": "1"})),
        document("middle", version("middle", "1.0.0", {"gone": "^2.0.0", "old": "^1.0.0"}),
                 version("middle", "1.1.0", {"gone": "^2.0.0"})),
        document("old", version("old", "0.9.0"))])
    project.manifest({"top": "1"})
    told = json.loads(project.run("--json", registry=r, status=1).stdout)
    assert told["proof"] == [
        'Because the project depends on top "1", top 1.0.0 is what npm takes.',
        'Because top 1.0.0 depends on middle "^1.0.0", middle 1.1.0 is what npm takes.',
        'Because middle 1.1.0 depends on gone "^2.0.0", and the registry has no version of '
        'it: there is no answer.'], told
    r.documents["gone"] = document("gone", version("gone", "1.0.0"))
    project.forget(store=True)
    words = project.run(registry=r, status=1).stderr
    assert "has no version of it that fits: there is no answer" in words, words
    project.manifest({"top": "1"}, overrides={"gone": "1"})
    project.run(registry=r)
    project.forget(store=True)
    del r.documents["gone"]
    project.manifest({"opt": "1"}, dependencies={}, optionalDependencies={"opt": "1"})
    assert "proof" not in project.resolve(registry=r)  # what is optional may be missing


def case_folders_of_others_are_not_read(project):
    """A registry's package that names a folder gets a link, and nothing of what is there."""
    beside = project.folder.parent / "beside"
    beside.mkdir()
    (beside / "package.json").write_text(json.dumps(
        {"name": "secret", "version": "6.6.6", "dependencies": {"leak": "1"}}))
    r = Registry([document("a", version("a", "1.0.0", {"b": "file:../../../beside"}))])
    project.manifest({"a": "1"})
    project.run(registry=r)
    assert r.asked == ["a"] and "6.6.6" not in project.lock.read_text(), r.asked
    project.forget()
    project.manifest({"b": "file:../beside"})
    project.run(registry=r)
    assert "6.6.6" in project.lock.read_text()


def case_choices_are_proved(project):
    """Single versions could get along, but npm takes the latest peer and looks for no other."""
    r = Registry([
        document("a", version("a", "1.0.0", peerDependencies={"dom": "*", "core": "^1.0.0"})),
        document("dom", version("dom", "1.0.0", peerDependencies={"core": "^1.0.0"}),
                 version("dom", "2.0.0", peerDependencies={"core": "^2.0.0"})),
        document("core", version("core", "1.0.0"), version("core", "2.0.0"))])
    project.manifest({"a": "1.0.0"})
    told = json.loads(project.run("--json", registry=r, status=1).stdout)
    proof = " ".join(told["proof"])
    assert "by npm's choice, dom" in proof and "there is no answer" in proof, told
    project.manifest({"a": "1.0.0", "dom": "1.0.0"})
    project.run(registry=r)


def case_flat(project):
    r = Registry([document("a", version("a", "1.0.0", {"c": "^1"}), version("a", "1.1.0", {"c": "^2"})),
                  document("b", version("b", "1.0.0", {"c": "^1"})),
                  document("c", version("c", "1.0.0"), version("c", "2.0.0"))])
    project.manifest({"a": "^1.0.0", "b": "^1.0.0"})
    project.run(registry=r)
    assert len(project.packages()) == 4
    project.forget()
    project.run("--flat", registry=r)
    assert project.packages() == {"node_modules/a": "1.0.0", "node_modules/b": "1.0.0",
                                  "node_modules/c": "1.0.0"}
    project.manifest({"a": "1.1.0", "b": "^1.0.0"})
    assert "there is no answer" in project.run("--flat", registry=r, status=1).stderr


def case_trial(project):
    docs, deps = deep(3, 3)
    docs += [document("host", version("host", "1.0.0"), version("host", "2.0.0")),
             document("plug", version("plug", "1.0.0", {"broken": "1"},
                                      peerDependencies={"host": "^1.0.0"}))]
    r = Registry(docs)
    project.manifest(deps | {"plug": "1"})
    words = [project.brisk, "pkg", "test-resolution", str(project.folder), "--parallel", "--json",
             "--registry", r.url]
    for more, passes in ((["--cache-analysis"], 4), (["--packages", "2"], 1), (["--offline"], 1)):
        done = subprocess.run(words + more, env=project.env, capture_output=True, text=True,
                              check=False, timeout=60)
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)
        assert len(told["passes"]) == passes
        for p in told["passes"]:
            assert p["solved"] + p["proved"] + p["failed"] == told["packages"], told
            # "broken" does not exist, which is proved
        assert p["failed"] == 0 and p["proved"] == (told["packages"] == 4), told


# --- bad weather ----------------------------------------------------------------------------------


def refuse(project, behave, *says, **more):
    r = Registry([document("good", version("good", "1.0.0"))])
    r.behave["bad"] = behave
    project.forget(store=True)
    project.manifest({"good": "1", "bad": "1"})
    project.lock.write_text('{"name":"made","lockfileVersion":3,"packages":{}}')
    before = project.lock.read_bytes()
    failed = project.run(registry=r, status=1, **more)
    for word in ("bad", *says):
        assert word in failed.stderr, (word, failed.stderr)
    assert failed.stderr.count("\n") == 1 and project.lock.read_bytes() == before, failed.stderr
    assert "package.json" in os.listdir(project.folder) and len(os.listdir(project.folder)) == 2
    return r


def case_hostile_documents(project):
    def sends(text, **headers):
        return lambda h: h.answer(200, text if isinstance(text, bytes) else text.encode(), **headers)
    good = json.dumps(document("bad", version("bad", "1.0.0")))
    host = "127.0.0.1:"
    refuse(project, sends(json.dumps(document("evil", version("evil", "1.0.0")))), "evil", host)
    refuse(project, sends(good[:-20]), host)
    refuse(project, sends(""), host)
    refuse(project, sends("<html>"), host)
    refuse(project, sends("[" * 100000), host)
    refuse(project, sends(gzip.compress(good.encode())[:-9], content_encoding="gzip"), host)
    refuse(project, sends(good, content_encoding="gzip"), host)
    refuse(project, sends('{"name":"bad","versions":{}}'), "no version")
    refuse(project, sends('{"name":"bad","versions":{"not a version":{}}}'))
    refuse(project, sends('{"name":"bad","dist-tags":{"latest":"9.9.9"},"versions":{"2.0.0":{}}}'))
    refuse(project, lambda h: h.answer(304), "304")


def case_hostile_statuses(project):
    refuse(project, lambda h: h.answer(401), "401", "npmrc")
    refuse(project, lambda h: h.answer(403), "403", "npmrc")
    refuse(project, lambda h: h.answer(418), "418", "127.0.0.1")
    r = refuse(project, lambda h: h.answer(500), "500", "127.0.0.1")
    assert 2 <= r.asked.count("bad") <= 6, "not repeated, or too often"

    def closes(h):
        h.connection.shutdown(socket.SHUT_RDWR)
    refuse(project, closes, "127.0.0.1")
    once = []

    def busy(h):
        once.append(1)
        return (h.answer(429, retry_after="0") if len(once) == 1
                else h.document(document("bad", version("bad", "1.0.0"))))
    r = Registry([])
    r.behave["bad"] = busy
    project.forget(store=True)
    project.manifest({"bad": "1"})
    project.run(registry=r)
    assert len(once) == 2


def case_bomb(project):
    """A document that grows to more than may be: refused, and not by dying."""
    body = gzip.compress(b" " * (257 << 20), 1)
    refuse(project, lambda h: h.answer(200, body, content_encoding="gzip"))


def case_token_stays(project):
    """A redirection to another host does not get the token; no message has it."""
    secret = "npm_do-not-tell-0123456789"
    other = Registry([document("bad", version("bad", "1.0.0"))])
    r = Registry([])
    r.behave["bad"] = lambda h: h.answer(302, location=other.url + "bad")
    (project.folder / ".npmrc").write_text(
        f"registry={r.url}\n//127.0.0.1:{r.server_address[1]}/:_authToken={secret}\n")
    project.manifest({"bad": "1"})
    done = project.run()
    assert any(h.get("Authorization") == f"Bearer {secret}" for _, h in r.seen), r.seen
    assert other.seen and all("Authorization" not in h for _, h in other.seen), other.seen
    r.behave["bad"] = lambda h: h.answer(401)
    project.forget(store=True)
    failed = project.run(status=1)
    assert secret not in done.stdout + done.stderr + failed.stdout + failed.stderr


def case_interrupted(project):
    """Ctrl-C and a full disk leave the old lock."""
    r = Registry([])
    r.behave["slow"] = lambda h: time.sleep(30)
    project.manifest({"slow": "1"})
    project.lock.write_text('{"name":"made","lockfileVersion":3,"packages":{}}')
    before = project.lock.read_bytes()
    words = [project.brisk, "pkg", "resolve", str(project.folder), "--registry", r.url]
    p = subprocess.Popen(words, env=project.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while "slow" not in r.asked:
        time.sleep(0.01)
        assert p.poll() is None, p.communicate()
    p.send_signal(signal.SIGINT)
    p.communicate(timeout=20)
    assert p.returncode != 0 and project.lock.read_bytes() == before
    docs, deps = deep(4, 4)
    r = Registry(docs)
    project.manifest(deps)
    project.run("--dry-run", registry=r)
    script = f'ulimit -f 1; exec "{project.brisk}" pkg resolve "{project.folder}" --offline --no-cache'
    script += f' --registry {r.url}'
    done = subprocess.run(["sh", "-c", script], env=project.env, capture_output=True, text=True,
                          check=False, timeout=60)
    assert done.returncode == 1 and project.lock.read_bytes() == before, (done.stdout, done.stderr)
    assert sorted(os.listdir(project.folder)) == ["package-lock.json", "package.json"]


def main():
    cases = {name[5:]: f for name, f in globals().items() if name.startswith("case_")}
    for name in sys.argv[2:] or cases:
        begin = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            cases[name](Project(os.path.abspath(sys.argv[1]), folder))
        print(f"{name}: {time.monotonic() - begin:.2f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
