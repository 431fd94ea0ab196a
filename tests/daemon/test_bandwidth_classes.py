#!/usr/bin/env python3
"""What connections of each class get, over real sockets: measured rates, Save-Data and ECT, real slow links.

    test_bandwidth_classes.py BRISK

A slow client needs no rights: with a receive buffer of 4 KiB, read 1 KiB at a time, TCP sees what a slow way looks like
(acknowledgements come late, for little).  The same client is of the low, medium or high class by where a node's limits
are.  Where namespaces and tc are there, a link of 600 kbit/s and one of 5 Mbit/s are made, and one that is only long.
"""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

from api_lib import Node
from cases import case, check, run
from http2_lib import Connection
from serve_lib import wait_until

BRISK = sys.argv[1]
FILLER = 48 * 1024  # bytes that show a rate
LINKS = ["</a.css>; rel=preload; as=style", "</next.html>; rel=prefetch"]
VARIANTS = {"high": b"high" * 500, "medium": b"medium" * 50, "low": b"low" * 9}
TEXT = b"".join(b"%d: some words of a text that is sent to many, %d of them\n" % (i, i * 7919 % 1009) for i in range(2000))
# Limits that put the slow client, whose rate is some 400 kbit/s, into each class.
SLOW = {"low": [], "medium": ["serve.bandwidth.low=20000"], "high": ["serve.bandwidth.low=10000", "serve.bandwidth.medium=20000"]}


class Site:
    """A folder, and nodes that serve it."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="brisk-bandwidth-")
        self.write("index.html", b"<!doctype html><title>page</title>")
        self.write("a.css", b"p { color: red }" * 100)
        self.write("next.html", b"<p>next" * 1000)
        self.write("text.txt", TEXT)
        self.write("filler.jpg", os.urandom(FILLER))
        for name, data in VARIANTS.items():
            self.write("photo.webp" if name == "high" else f"photo.{name}.webp", data)

    def write(self, name, data):
        with open(os.path.join(self.folder, name), "wb") as file:
            file.write(data)

    def node(self, settings=()):
        mount = (f"{{at: /, root: {self.folder}, cache_control: 'max-age=60', hints: ['{LINKS[0]}'], "
                 f"prefetch: ['{LINKS[1]}']}}")
        return Node(BRISK, "--threads", "1", settings=[f"serve.static=[{mount}]", *settings])


class Client:
    """HTTP/2 on one connection; a slow one reads little at a time."""

    def __init__(self, port, slow=False):
        self.slow = slow
        self.connection = Connection(port, receive=4096 if slow else None, window=0x7fffffff)

    def get(self, path, body=None, method="GET", **fields):
        extra = [(name.replace("_", "-"), value) for name, value in fields.items()]
        stream = self.connection.ask(path, method=method, extra=extra, body=body)
        while not self.connection.of(stream).over:
            if self.slow:
                time.sleep(0.01)
                self.connection.buffer += self.connection.socket.recv(1024)
                while len(self.connection.buffer) >= 9 + int.from_bytes(self.connection.buffer[:3], "big"):
                    self.connection.read()
            elif not self.connection.read():
                raise ConnectionError("closed")
        answer = self.connection.streams[stream]
        check(answer.status == 200, f"{path}: {answer.status} {answer.body[:200]}")
        return answer

    def close(self):
        self.connection.close()


def links_of(fields):
    return [value for name, value in fields if name == "link"]


def variant_of(answer):
    return [name for name, data in VARIANTS.items() if data == answer.body]


def judge(client, level, measured, **fields):
    """The picture, the links, and what is early, as the class has them; for its eyes only when it was measured."""
    picture = client.get("/photo.webp", **fields)
    check(variant_of(picture) == [level], f"{level}: {variant_of(picture)}, {len(picture.body)} bytes")
    private = "private" in picture["cache-control"]
    check(private == (measured and level != "high"), f"{level}: {picture['cache-control']}")
    page = client.get("/", **fields)
    wanted = {"high": LINKS, "medium": LINKS[:1], "low": []}[level]
    check(links_of(page.fields) == wanted, f"{level}: links {links_of(page.fields)}")
    early = [dict(one)[":status"] for one in page.informs]
    check(early == (["103"] if level == "high" else []), f"{level}: early {early}")
    if level == "high":
        check(links_of(page.informs[0]) == LINKS[:1], page.informs)


def squeezed(client, rounds=40, **fields):
    """How a text that is kept was sent: the coding and the bytes, once the best form was made."""
    sizes = []
    for _ in range(rounds):
        answer = client.get("/text.txt", accept_encoding="gzip, br, zstd", **fields)
        sizes.append((len(answer.body), answer["content-encoding"]))
        if len(sizes) > 6 and sizes[-1] == sizes[-6]:
            break
        time.sleep(0.05)  # better forms are made in the background
    return sizes[-1]


def batch(http, names, **fields):
    answer = http.ok("POST", "/v1/batch", [{"entry": name} for name in names],
                     {name.replace("_", "-"): value for name, value in fields.items()})
    lines = sorted((json.loads(line) for line in answer.body.splitlines()), key=lambda line: line["index"])
    return ["whole" if "result" in line or "base64" in line else "named" for line in lines], lines


@case
def hints_put_a_fast_connection_lower():
    """Save-Data and ECT, each on the same connection: never higher, and only for their own request."""
    with SITE.node() as node:
        client = Client(node.port)
        for level, fields in (("high", {}), ("low", {"save_data": "on"}), ("low", {"ect": "2g"}), ("medium", {"ect": "3g"}),
                              ("high", {"ect": "4g"}), ("high", {"save_data": "off"})):
            judge(client, level, False, **fields)
        client.close()


@case
def strength_of_compression():
    """What a slow client gets of a text that is kept is smaller, though the connection is as fast."""
    with SITE.node() as node:
        client = Client(node.port)
        fast = squeezed(client, rounds=1)
        saving = squeezed(client, save_data="on")
        check(saving[0] < fast[0] and saving[0] < len(TEXT) / 8, f"Save-Data: {saving}, otherwise {fast}")
        client.close()


@case
def batches_by_class():
    """Parts beyond 64 KiB, 256 KiB, 1 MiB are named, to be fetched when they are needed."""
    sizes = {"small": 1000, "middle": 100 << 10, "large": 300 << 10, "huge": 2 << 20}
    wanted = {"low": ["whole", "named", "named", "named"], "medium": ["whole", "whole", "named", "named"],
              "high": ["whole", "whole", "whole", "named"]}
    with SITE.node() as node:
        http = node.http()
        for name, size in sizes.items():
            http.ok("PUT", f"/v1/cache/{name}", os.urandom(size), status=201)
        for level, fields in (("high", {}), ("medium", {"ect": "3g"}), ("low", {"save_data": "on"})):
            found, lines = batch(http, sizes, **fields)
            check(found == wanted[level], f"{level}: {found}")
            part = http.ok("GET", lines[3]["url"])
            check(len(part.body) == sizes["huge"], "what is named cannot be fetched")


def files(node, figure):
    """A figure of the open-file cache."""
    for line in node.http().ok("GET", "/metrics").body.decode().splitlines():
        if line[0] != "#" and f"serve_files_{figure}" in line.split()[0]:
            return float(line.split()[1])
    raise AssertionError(f"there is no {figure}")


@case
def what_a_page_names_comes_to_memory():
    """For fast connections what hints and prefetch name is read before it is asked for."""
    with SITE.node() as node:
        client = Client(node.port)
        check(files(node, "known") == 0, "it has looked at files")
        client.get("/", save_data="on")
        client.get("/", ect="3g")
        time.sleep(0.2)
        before = files(node, "known")
        client.get("/")
        wait_until(lambda: files(node, "known") >= before + len(LINKS))
        check(files(node, "known") >= before + len(LINKS), f"{before} paths were known, now {files(node, 'known')}")
        misses = files(node, "misses")
        check(client.get("/a.css").body.startswith(b"p {") and client.get("/next.html").body.startswith(b"<p>next"))
        check(files(node, "misses") == misses, "they were read when they were asked for")
        client.close()


def measured(level):
    with SITE.node(SLOW[level]) as node:
        client = Client(node.port, slow=True)
        judge(client, "high", False)
        for _ in range(2):
            client.get("/filler.jpg")
            time.sleep(0.3)  # it is looked at four times a second
            judge(client, level, True)
        fast = Client(node.port)
        fast.get("/filler.jpg")
        judge(fast, "high", True)  # each connection has a class of its own
        fast.close()
        client.close()


@case
def a_slow_client_is_measured():
    """The same slow client is of each class, by the node's limits; nothing is known of it before it took something."""
    with ThreadPoolExecutor(len(SLOW)) as pool:
        list(pool.map(measured, SLOW))


@case
def a_slow_client_saves_bytes():
    """Compression and batches follow what was measured, too."""
    with SITE.node() as node:
        http = node.http()
        http.ok("PUT", "/v1/cache/middle", os.urandom(100 << 10), status=201)
        fast = Client(node.port)
        fast.get("/filler.jpg")
        before = squeezed(fast, rounds=1)
        client = Client(node.port, slow=True)
        client.get("/filler.jpg")
        time.sleep(0.3)
        after = squeezed(client)
        check(after[0] < before[0] and after[0] < len(TEXT) / 8, f"fast {before}, slow {after}")
        token = {"authorization": "Bearer " + http.token, "content_type": "application/json"}
        body = json.dumps([{"entry": "middle"}]).encode()
        check(b'"url"' in client.get("/v1/batch", method="POST", body=body, **token).body, "a large part was not left for later")
        found = json.loads(fast.get("/v1/batch", method="POST", body=body, **token).body)
        check("url" not in found, found.keys())
        client.close()
        fast.close()


def inside(kind):
    """In a network namespace of our own: the link is `lo`."""
    words = {"low": "tbf rate 600kbit burst 6kb latency 500ms", "medium": "tbf rate 5mbit burst 10kb latency 300ms",
             "high": "netem delay 75ms limit 10000"}[kind]
    with SITE.node() as node:
        subprocess.run(["tc", "qdisc", "add", "dev", "lo", "root", *words.split()], check=True)
        client = Client(node.port)
        client.get("/filler.jpg")
        time.sleep(0.3)
        judge(client, kind, True)
        client.close()
        subprocess.run(["tc", "qdisc", "del", "dev", "lo", "root"], check=True)


def linked(kind):
    """Run `inside` for this kind; why it was not, or None."""
    needed = "netem delay 1ms" if kind == "high" else "tbf rate 1mbit burst 6kb latency 50ms"
    setup = ("ip link set lo up && ip link set lo mtu 1500 && "
             f"tc qdisc add dev lo root {needed} && tc qdisc del dev lo root || exit 77; exec \"$@\"")
    words = ["unshare", "-rn", "sh", "-c", setup, "sh", sys.executable, __file__, BRISK, "inside", kind]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode == 77:
        return f"{kind}: no {needed.split()[0]} here: {done.stderr.strip()[-100:]}"
    check(done.returncode == 0, f"{kind}: {done.stdout} {done.stderr}")
    return None


@case
def real_links():
    """600 kbit/s, 5 Mbit/s, and a way that is only long (150 ms): slow start on it does not make it slow."""
    if any(shutil.which(tool) is None for tool in ("unshare", "tc", "ip")):
        print("  (skipped: needs unshare, ip and tc)")
        return
    with ThreadPoolExecutor(3) as pool:
        for why in filter(None, pool.map(linked, ("low", "medium", "high"))):
            print(f"  (skipped: {why})")


SITE = Site()
try:
    if sys.argv[2:3] == ["inside"]:
        inside(sys.argv[3])
    else:
        sys.exit(run(sys.argv[2:]))
finally:
    shutil.rmtree(SITE.folder, ignore_errors=True)
