"""`brisk node ...` against a node, and against none.

  test_node_commands.py BRISK [NAME...]
"""
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading

from api_lib import READER, TOKEN, Node
from cases import case, check, run
from serve_lib import free_port, wait_until

BRISK = sys.argv[1]


def brisk(*args, token=TOKEN, stdin=None, group="node", **environment):
    env = {**os.environ, **environment}
    env.pop("BRISK_TOKEN", None)
    if token is not None:
        env["BRISK_TOKEN"] = token
    return subprocess.run([BRISK, group, *args], capture_output=True, env=env, timeout=60, input=stdin)


@case
def tokens_stay_here():
    """A token that a node of this machine made goes to this machine, and nowhere in between."""
    with tempfile.TemporaryDirectory(prefix="brisk-node-") as home, socket.create_server(("127.0.0.1", 0)) as stranger:
        os.mkdir(os.path.join(home, "brisk"))
        with open(os.path.join(home, "brisk", "token"), "w", encoding="ascii") as file:
            file.write(TOKEN)
        stranger.settimeout(0.5)
        port = stranger.getsockname()[1]
        at = f"127.0.0.1:{port}"
        for url in (f"http://localhost:1@{at}", f"http://127.0.0.1:x@{at}/", f"localhost@{at}"):
            done = brisk("stats", "--node", url, token=None, XDG_RUNTIME_DIR=home)
            check(done.returncode != 0 and b"no name or password" in done.stderr and TOKEN.encode() not in done.stderr, done)
        done = brisk("stats", "--node", f"http://127.0.0.1:{free_port()}", token=None, XDG_RUNTIME_DIR=home, http_proxy=f"http://{at}")
        check(done.returncode != 0, done)
        try:
            stranger.accept()
            check(False, "somebody else was asked")
        except TimeoutError:
            pass


@case
def figures_knobs_and_jobs():
    with Node(BRISK) as node:
        there = ("--node", f"http://127.0.0.1:{node.port}/")
        check(wait_until(lambda: json.loads(brisk("stats", *there).stdout)["samples"] != []))
        done = brisk("health", *there)
        check(done.returncode == 0 and json.loads(done.stdout)["status"] == "healthy", done)
        check(b"serve_uptime" in brisk("metrics", *there).stdout)
        done = brisk("knobs", "serve.memory", "32MiB", *there)
        check(done.returncode == 0 and json.loads(done.stdout)["number"] == 32 << 20, done)
        check(json.loads(brisk("knobs", "serve.memory", *there).stdout)["source"] == "flag")
        check(b"serve.memory" in brisk("knobs", *there).stdout)
        done = brisk("knobs", "serve.pipeline", "65", *there)
        check(done.returncode == 1 and b"64" in done.stderr, done)
        check(brisk("knobs", "../health", *there).returncode == 2)
        check(json.loads(brisk("jobs", *there).stdout)["jobs"] == [])
        done = brisk("jobs", "none", *there)
        check(done.returncode == 1 and b"there is no such job" in done.stderr, done)
        check(brisk("cancel", "none", *there).returncode == 1 and brisk("result", "none", *there).returncode == 1)
        with tempfile.NamedTemporaryFile(suffix=".json") as file:
            file.write(b'{"workload": "there is none"}')
            file.flush()
            done = brisk("submit", file.name, *there)
            check(done.returncode == 1 and done.stderr.startswith(b"brisk: "), done)


@case
def tokens():
    with Node(BRISK) as node, tempfile.TemporaryDirectory(prefix="brisk-node-") as folder:
        there = ("--node", f"http://127.0.0.1:{node.port}")
        own = {"XDG_RUNTIME_DIR": folder, "XDG_STATE_HOME": folder, "HOME": folder}
        done = brisk("set", "a", "x", *there, group="cache", token=None, **own)
        check(done.returncode == 1 and b"needs a token" in done.stderr, done)
        done = brisk("set", "a", "x", *there, group="cache", token=READER)
        check(done.returncode == 1 and b"may read" in done.stderr, done)
        done = brisk("set", "a", "x", *there, group="cache", token="wrong-token-0123456789")
        check(done.returncode == 1 and b"not known" in done.stderr and b"wrong-token" not in done.stderr, done)
        check(brisk("set", "a", "x", "--token-file", node.token_file, *there, group="cache", token=None, **own).returncode == 0)
        done = brisk("get", "a", "--token-file", "/nonexistent", *there, group="cache")
        check(done.returncode == 1 and b"/nonexistent" in done.stderr, done)
        os.makedirs(os.path.join(folder, "brisk"))
        with open(os.path.join(folder, "brisk", "token"), "w", encoding="ascii") as file:
            file.write(TOKEN + "\n")
        check(brisk("set", "a", "y", *there, group="cache", token=None, **own).returncode == 0, "the one that is made for this user")


@case
def nobody_there():
    port = free_port()
    for url, code, words in ((f"http://127.0.0.1:{port}", 1, b"no connection"), ("ftp://127.0.0.1", 2, b"a node is http"),
                             ("http://", 2, b"a node is http"), ("http://:80", 2, b"a node is http"), ("", 2, b"a node is http"),
                             ("http://h/?a", 2, b"a node is http"), ("http://a b", 2, b"one word"), ("http://a\x1b[2J", 2, b"one word"),
                             ("http://127.0.0.1:1/" + "x" * 3000, 2, b"a node is http")):
        done = brisk("health", "--node", url)
        check(done.returncode == code and done.stdout == b"" and words in done.stderr and b"\x1b" not in done.stderr, (url, done))
    done = brisk("health", BRISK_NODE=f"http://127.0.0.1:{port}")
    check(done.returncode == 1 and str(port).encode() in done.stderr, done)


@case
def tokens_are_not_sent_in_the_clear():
    """Over a network http shows the token to everybody: refused, nothing is sent, and the words say what to do."""
    with tempfile.NamedTemporaryFile() as ca:
        for url in ("http://192.0.2.1:6380", "192.0.2.1", "http://node.invalid", "http://127.0.0.1.invalid/", "http://localhost.invalid",
                    "http://[2001:db8::1]:80", "http://0.0.0.0"):
            done = brisk("stats", "--node", url)
            check(done.returncode == 1 and b"in the clear" in done.stderr and b"--insecure-token" in done.stderr, (url, done))
            check(TOKEN.encode() not in done.stderr, done)
        for args in (("--node", "http://node.invalid", "--insecure-token"), ("--node", "https://node.invalid")):
            done = brisk("stats", *args)
            check(done.returncode == 1 and b"no such host" in done.stderr, done)
        done = brisk("stats", "--node", "http://node.invalid", token=None, HOME="/nonexistent", XDG_RUNTIME_DIR="", XDG_STATE_HOME="")
        check(done.returncode == 1 and b"no such host" in done.stderr, "without a token there is nothing to hide")
        done = brisk("stats", "--node", "https://127.0.0.1:1", "--ca", ca.name)
        check(done.returncode == 1 and b"127.0.0.1" in done.stderr, done)


class Stranger:
    """Answers one connection with `reply` (bytes, or a function that writes to the socket); what was asked is in .asked."""

    def __init__(self, reply):
        self.reply, self.asked = reply, b""
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        self.listener.settimeout(20)
        try:
            with self.listener.accept()[0] as link:
                self.asked = link.recv(65536)
                if callable(self.reply):
                    self.reply(link)
                else:
                    link.sendall(self.reply)
        except OSError:
            pass

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.listener.close()
        self.thread.join()


def endless(link):
    link.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n[")
    while True:
        link.sendall(b"1," * 500000)


@case
def strangers():
    """Who answers garbage, without end, or words for the terminal."""
    evil = json.dumps({"error": {"code": "x", "message": "\x1b]0;gotcha\x07 and \x9b31m" + "y" * 5000}}).encode()
    head = b"HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    for reply, words in ((b"\0\1\2 what is this\r\n\r\n", b""), (b"", b""), (endless, b"too large"),
                         (head % (500, len(evil)) + evil, b"gotcha"), (head % (500, 4) + b"[[[[", b"it answers 500"),
                         (head % (200, 1000) + b"{", b"")):
        with Stranger(reply) as stranger:
            done = brisk("stats", "--node", stranger.url)
        check(done.returncode == 1 and done.stdout == b"" and done.stderr.startswith(b"brisk: ") and words in done.stderr, (reply, done))
        check(b"\x1b" not in done.stderr and b"\x9b" not in done.stderr and len(done.stderr) < 700, done)
        check(b"GET /v1/stats" in stranger.asked, stranger.asked)


if __name__ == "__main__":
    sys.exit(run(sys.argv[2:]))
