"""Commands of the program that work on another node: `brisk COMMAND ... --node URL`.

  test_remote.py BRISK [NAME...]

What a command writes is compared with what it writes here, wherever both can do the same.
"""
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time

from api_lib import READER, TOKEN, Node
from cases import case, check, run
from serve_lib import free_port

BRISK = sys.argv[1]


class Place:
    """A folder of its own for a call's files, cache and history."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="brisk-remote-")

    def path(self, name):
        return os.path.join(self.folder.name, name)

    def write(self, name, data):
        with open(self.path(name), "wb") as file:
            file.write(data if isinstance(data, bytes) else data.encode())
        return self.path(name)

    def read(self, name):
        with open(self.path(name), "rb") as file:
            return file.read()

    def brisk(self, *args, code=0, token=TOKEN, **environment):
        env = {**os.environ, "XDG_CACHE_HOME": self.path("cache"), "XDG_STATE_HOME": self.path("state"), **environment}
        env.pop("BRISK_TOKEN", None)
        if token is not None:
            env["BRISK_TOKEN"] = token
        done = subprocess.run([BRISK, *args], capture_output=True, env=env, timeout=60, check=False)
        check(done.returncode == code, (args, done))
        check(TOKEN.encode() not in done.stdout + done.stderr, "a token is shown")
        return done

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.folder.cleanup()


def patch(offset, data):
    return b"PATCH" + offset.to_bytes(3, "big") + len(data).to_bytes(2, "big") + data + b"EOF"


MOD = """mod: font
components:
  - name: letters
    patch: {file: font.ips}
  - name: one
    write: {at: 0x10, bytes: AB CD}
"""


@case
def roms():
    """The node makes the same bytes; what a mod file names goes along; nothing is written when it fails."""
    with Node(BRISK) as node, Place() as here:
        there = ("--node", f"http://127.0.0.1:{node.port}")
        rom = here.write("game.sfc", bytes(range(256)) * 256)
        os.mkdir(here.path("mods"))
        mods = here.write("a.ips", patch(100, b"one")), here.write("mods/b.yaml", MOD)
        here.write("mods/font.ips", patch(9000, b"letters"))
        here.brisk("rom", "apply", rom, *mods, "-o", here.path("here.sfc"))
        done = here.brisk("rom", "apply", rom, *mods, "-o", here.path("there.sfc"), *there)
        check(here.read("here.sfc") == here.read("there.sfc") and b"letters" in here.read("there.sfc"), "the same bytes")
        shape = re.compile(rb"(.*/(?:t?here).sfc): 65536 bytes, CRC32 [0-9a-f]{8}, 2 mods, [0-9.]+ ms \(by the node\)\n")
        check(shape.fullmatch(done.stdout) and done.stderr == b"", done)
        own = json.loads(here.brisk("rom", "apply", rom, *mods, "-o", here.path("here.sfc"), "--json").stdout)
        told = json.loads(here.brisk("rom", "apply", rom, *mods, "-o", here.path("there.sfc"), "--json", *there).stdout)
        for key in ("schema", "ok", "bytes", "crc32", "mods", "workload"):
            check(own[key] == told[key], (key, own[key], told[key]))
        check(told["how"] == "node" and told["output"] == here.path("there.sfc"), told)
        bad = here.write("bad.ips", b"PATCH\0\0")
        for args, code, words in (((rom, bad), 1, b"bad.ips"), ((rom, here.path("none.ips")), 1, b"none.ips"),
                                  ((rom, mods[0], "--dry-run"), 2, b"not for a node"), ((rom, mods[0], "--profile"), 2, b"not for a node")):
            done = here.brisk("rom", "apply", *args, "-o", here.path("no.sfc"), *there, code=code)
            check(words in done.stderr and done.stdout == b"" and not os.path.exists(here.path("no.sfc")), done)
        for token in (READER, "wrong-token-0123456789", None):
            done = here.brisk("rom", "apply", rom, mods[0], "-o", here.path("no.sfc"), *there, code=1, token=token, HOME="/nonexistent",
                              XDG_RUNTIME_DIR="/nonexistent")
            check(re.search(rb"40[13]: ", done.stderr) and not os.path.exists(here.path("no.sfc")), done)
        outside = here.write("mods/out.yaml", MOD.replace("font.ips", "../a.ips"))
        done = here.brisk("rom", "apply", rom, outside, "-o", here.path("no.sfc"), *there, code=1)
        check(not os.path.exists(here.path("no.sfc")), "a mod file reads beside itself only")


@case
def packages():
    with Node(BRISK) as node, Place() as here:
        there = ("--node", f"http://127.0.0.1:{node.port}")
        for name in ("a", "b"):
            os.mkdir(here.path(name))
            here.write(f"{name}/package.json", json.dumps({"name": "app", "version": "1.2.3", "license": "MIT"}))
        here.brisk("pkg", "resolve", here.path("a"))
        done = here.brisk("pkg", "resolve", here.path("b"), *there)
        check(here.read("a/package-lock.json") == here.read("b/package-lock.json"), "the same lock")
        check(re.fullmatch(rb".*/b/package-lock.json: 0 packages, written, [0-9.]+ ms \(by the node\)\n", done.stdout), done)
        done = here.brisk("pkg", "resolve", here.path("b"), "--update", "--json", *there)
        check(json.loads(done.stdout)["unchanged"] is True and json.loads(done.stdout)["written"] is False, done)
        here.write("b/package.json", json.dumps({"name": "app", "dependencies": {"no-such-name": "^1"}}))
        before = here.read("b/package-lock.json")
        done = here.brisk("pkg", "resolve", here.path("b"), "--offline", *there, code=1)
        check(b"no-such-name" in done.stderr and here.read("b/package-lock.json") == before, done)
        for args, words in ((("--node", "20.11.0"), b"--node-version"), (("--profile", *there), b"are the node's"),
                            (("--node", "ftp://x"), b"")):
            check(words in here.brisk("pkg", "resolve", here.path("b"), *args, code=2 if words else 1).stderr, args)


@case
def figures():
    with Node(BRISK) as node, Place() as here:
        there = ("--node", f"http://127.0.0.1:{node.port}")
        node.resp().ok("SET", "k", "v")
        told = json.loads(here.brisk("metrics", "--json", "--interval", "20ms", *there).stdout)
        over = json.loads(here.brisk("metrics", "--json", "--interval", "20ms", "--server", f"127.0.0.1:{node.port}").stdout)
        by_name = {name: {m["name"]: m for m in data["metrics"]} for name, data in (("http", told), ("resp", over))}
        check(by_name["http"]["serve.up"]["value"] == 1 and "machine.cpu.processors" in by_name["http"], "up, and this machine")
        own = {n for n in by_name["resp"] if n.startswith("serve.command.") or n.startswith("engine.")}
        check(own and own <= set(by_name["http"]), own - set(by_name["http"]))
        check(b"serve_up 1" in here.brisk("metrics", "--prometheus", *there).stdout, "text")
        for args, code in ((there + ("--server", "127.0.0.1:1"), 2), (("--node", "ftp://x"), 2), (("--node", f"http://127.0.0.1:{free_port()}"), 1),
                           (("--node", "http://192.0.2.1"), 1)):
            check(here.brisk("metrics", "--json", "--interval", "20ms", *args, code=code).stderr.startswith(b"brisk: metrics: "), args)
        budget = here.write("b.yaml", "budgets:\n  - {name: load, metric: serve.up, critical: 0.5}\n")
        done = here.brisk("budget", "watch", budget, "--duration", "1500ms", "--no-state", *there, code=1)
        check(b"critical" in done.stdout and b"load" in done.stdout, "it is up, and that is read")
        gone = ("--node", f"http://127.0.0.1:{free_port()}")
        done = here.brisk("budget", "watch", budget, "--duration", "1200ms", "--no-state", *gone)
        check(b"no connection" in done.stderr and b"critical" not in done.stdout, done)


@case
def entries():
    """Keys are those that Redis clients see; what is printed is what is printed of entries here."""
    with Node(BRISK) as node, Place() as here:
        there = ("--node", f"http://127.0.0.1:{node.port}")
        path = here.write("value", bytes(range(256)) * 100)
        for key, value, wanted in (("a", "one", b"one"), ("../x y/é%", "two", b"two"), ("file", "@" + path, bytes(range(256)) * 100)):
            done = here.brisk("cache", "set", key, value, *there)
            check(done.stdout.startswith(f"stored '{key}', ".encode()) and done.stdout.endswith(b", in node\n"), done)
            check(here.brisk("cache", "get", key, *there).stdout == wanted, key)
        check(node.resp().ok("GET", "../x y/é%".encode()) == b"two", "the same key for Redis")
        here.brisk("cache", "get", "file", "-o", here.path("copy"), *there)
        check(here.read("copy") == bytes(range(256)) * 100, "into a file")
        here.brisk("cache", "set", "t", "x", "--ttl", "90s", "--tag", "red", "--tag", "blue", *there)
        check(0 < node.resp().ok("TTL", "t") <= 90)
        told = json.loads(here.brisk("cache", "get", "t", "--json", *there).stdout)
        check({**told, "expires_at": 0} == {"schema": 1, "key": "t", "tier": "node", "bytes": 1, "expires_at": 0, "value": "x"}, told)
        check(0 < told["expires_at"] - time.time() <= 90, told)
        done = here.brisk("cache", "invalidate", "a", "--tag", "red", "--json", *there)
        check(json.loads(done.stdout) == {"schema": 1, "keys": 1, "prefixes": 0, "tags": 1}, done)
        check(here.brisk("cache", "invalidate", "file", *there).stdout == b"invalidated 1 key, 0 prefixes, 0 tags\n", "words")
        for key in ("a", "t", "file"):
            done = here.brisk("cache", "get", key, *there, code=1)
            check(done.stdout == b"" and b"there is no such entry" in done.stderr, done)
        for args in (("set", "t", "x", "--tag", "two words"), ("set", "t", "x", "--tier", "disk"), ("get", ""), ("get", "x" * 3000), ("invalidate",)):
            check(here.brisk("cache", *args, *there, code=2).stdout == b"", args)
        here.brisk("cache", "set", "t", "@/nonexistent", *there, code=1)
        check(b"may read" in here.brisk("cache", "set", "t", "x", *there, code=1, token=READER).stderr, "a reader")


@case
def tiers():
    with Node(BRISK) as node, Place() as here:
        there = ("--node", f"http://127.0.0.1:{node.port}")
        client = node.resp()
        client.ok("SET", "a", "1")
        client.ok("GET", "a")
        client.call("GET", "b")
        told = json.loads(here.brisk("cache", "stats", "--json", *there).stdout)
        own = json.loads(here.brisk("cache", "stats", "--json").stdout)
        check(set(told) == set(own) and set(told["tiers"][0]) == set(own["tiers"][0]), "the same members")
        memory = told["tiers"][0]
        check((memory["name"], memory["hits"], memory["misses"], memory["entries"]) == ("memory", 1, 1, 1), memory)
        check(memory["bytes_max"] == 64 << 20, memory)
        table = here.brisk("cache", "stats", *there).stdout.splitlines()
        check(table[0].split() == [b"tier", b"memory"] and [b"hits", b"1"] in [line.split() for line in table], table)
        here.brisk("cache", "stats", "--node", f"http://127.0.0.1:{free_port()}", code=1)


@case
def redis_protocol():
    """What is asked over the Redis protocol takes the same URL, since a node has both at one port; TLS it has not."""
    with Node(BRISK) as node, Place() as here:
        for where in (f"http://127.0.0.1:{node.port}", f"http://127.0.0.1:{node.port}/", f"127.0.0.1:{node.port}"):
            check(b"recording" in here.brisk("cache", "record", "--status", "--node", where).stdout, where)
        told = json.loads(here.brisk("monitor", "--json", "--node", f"http://127.0.0.1:{node.port}").stdout)
        check(told["server"]["up"] is True, told["server"])
        for url in (f"https://127.0.0.1:{node.port}", f"http://127.0.0.1:{node.port}/path", "ftp://127.0.0.1", "http://"):
            check(here.brisk("cache", "record", "--status", "--node", url, code=1).stdout == b"", url)
            here.brisk("monitor", "--json", "--node", url, code=1 if url.startswith("https") else 2)


@case
def profiles():
    """A running node's flame graph; nothing is left behind by a wrong one."""
    with Node(BRISK) as node, Place() as here:
        there = ("--node", f"http://127.0.0.1:{node.port}")
        stop = threading.Event()

        def load():
            client = node.resp()
            batch = b"".join(client.encode("SET", f"k{i}", "v" * 100) for i in range(500))
            while not stop.is_set():
                client.send_raw(batch)
                for _ in range(500):
                    client.read()

        thread = threading.Thread(target=load, daemon=True)
        thread.start()
        done = here.brisk("profile", "--duration", "1s", "-o", here.path("n.html"), "-o", here.path("n.collapsed"), "--json", *there)
        stop.set()
        thread.join()
        check(b";" in here.read("n.collapsed") and b"<html" in here.read("n.html")[:2000].lower(), "written")
        table = json.loads(done.stdout)["tables"][0]
        check((table["type"], table["unit"]) == ("cpu", "nanoseconds") and table["functions"], table)
        for args, code, words in ((("--pid", "1"), 2, b"--pid and --node"), (("--memory",), 2, b"--memory and --node"),
                                  (("--duration", "9999s"), 2, b"400"), (("--frequency", "0"), 2, b""), (("--frequency", "9999999"), 2, b"400")):
            done = here.brisk("profile", *args, *there, code=code)
            check(words in done.stderr, done)
        check(re.search(rb"40[13]: ", here.brisk("profile", "--duration", "1s", *there, token=READER, code=1).stderr), "changes something")
        here.brisk("profile", "--node", "ftp://x", code=2)


if __name__ == "__main__":
    sys.exit(run(sys.argv[2:]))
