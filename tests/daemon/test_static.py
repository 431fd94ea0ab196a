"""Static files over real sockets: what is sent, what is hidden, what changes meanwhile.

    test_static.py BRISK

Every case names what it asks and what must come; bodies are compared byte by byte.
"""
import gzip
import os
import re
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

from serve_lib import Server

TEXT = ("".join(f"line {i} of a text that shrinks well when it is compressed\n" for i in range(400))).encode()


class Answer:
    def __init__(self, status, fields, body):
        self.status, self.fields, self.body = status, fields, body

    def all(self, name):
        return [value for key, value in self.fields if key == name]

    def get(self, name):
        values = self.all(name)
        return values[0] if values else None


class Client:
    """One HTTP/1.1 connection; writes what it is told, byte by byte."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), 20)
        self.buffer = b""

    def close(self):
        self.socket.close()

    def fill(self):
        data = self.socket.recv(1 << 18)
        if not data:
            raise ConnectionError("closed")
        self.buffer += data

    def take(self, count):
        while len(self.buffer) < count:
            self.fill()
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    def line(self):
        while b"\r\n" not in self.buffer:
            self.fill()
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line.decode("latin-1")

    def ask(self, path, method="GET", **fields):
        head = f"{method} {path} HTTP/1.1\r\nhost: x\r\n"
        for name, value in fields.items():
            head += f"{name.replace('_', '-')}: {value}\r\n"
        self.socket.sendall((head + "\r\n").encode("latin-1"))
        return self.read(method)

    def read(self, method="GET"):
        status = int(self.line().split(" ")[1])
        fields = []
        while True:
            line = self.line()
            if line == "":
                break
            name, value = line.split(": ", 1)
            fields.append((name, value))
        answer = Answer(status, fields, b"")
        if method == "HEAD" or status in (204, 304):
            return answer
        if answer.get("transfer-encoding") == "chunked":
            while True:
                size = int(self.line(), 16)
                answer.body += self.take(size)
                self.take(2)
                if size == 0:
                    return answer
        answer.body = self.take(int(answer.get("content-length")))
        return answer


def ask(port, path, method="GET", **fields):
    client = Client(port)
    try:
        return client.ask(path, method, **fields)
    finally:
        client.close()


def write(folder, name, data):
    path = os.path.join(folder, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(data)
    return path


def equal(got, wanted, what):
    if got != wanted:
        raise AssertionError(f"{what}: {repr(got)[:500]}, not {repr(wanted)[:500]}")


def expand(answer):
    coding = answer.get("content-encoding")
    if coding is None:
        return answer.body
    if coding == "gzip":
        return gzip.decompress(answer.body)
    if coding == "zstd" and shutil.which("zstd"):
        return subprocess.run(["zstd", "-dc"], input=answer.body, stdout=subprocess.PIPE, check=True).stdout
    return None


def make_site(root):
    write(root, "index.html", b"<html><body>top</body></html>\n")
    write(root, "a.txt", TEXT)
    write(root, "empty.txt", b"")
    write(root, "big.bin", os.urandom(3_000_001))
    write(root, "photo.webp", os.urandom(9000))
    write(root, "sub/index.html", b"sub\n")
    write(root, "plain/one.txt", b"one\n")
    write(root, "plain/<i>&\"'.txt", b"odd\n")
    write(root, ".secret", b"secret\n")
    write(root, "sub/.git/config", b"secret\n")
    write(root, ".well-known/security.txt", b"contact\n")
    write(root, "sp ace.txt", b"space\n")
    write(root, "q%3f.txt", b"percent\n")


def test_basics(port, root):
    page = ask(port, "/")
    equal((page.status, page.get("content-type")), (200, "text/html; charset=utf-8"), "/")
    equal(page.body, b"<html><body>top</body></html>\n", "/")
    text = ask(port, "/a.txt")
    equal((text.status, text.body, text.get("content-type")), (200, TEXT, "text/plain; charset=utf-8"), "a.txt")
    equal(text.get("accept-ranges"), "bytes", "a.txt")
    equal(text.get("cache-control"), "public, max-age=60", "a.txt")
    equal(text.get("x-content-type-options"), "nosniff", "a.txt")
    head = ask(port, "/a.txt", "HEAD")
    equal((head.status, head.get("content-length"), head.get("etag")), (200, str(len(TEXT)), text.get("etag")), "HEAD")
    with open(os.path.join(root, "big.bin"), "rb") as file:
        big = file.read()
    answer = ask(port, "/big.bin")
    equal((answer.status, len(answer.body), answer.body == big), (200, len(big), True), "big.bin")
    empty = ask(port, "/empty.txt")
    equal((empty.status, empty.body), (200, b""), "empty.txt")
    equal(ask(port, "/sp%20ace.txt").body, b"space\n", "a space")
    equal(ask(port, "/q%253f.txt").body, b"percent\n", "a percent sign in a name")
    equal(ask(port, "/none.txt").status, 404, "missing")
    equal(ask(port, "/a.txt/x").status, 404, "below a file")
    equal(ask(port, "/a.txt/").status, 404, "a file as a folder")
    equal(ask(port, "/a.txt", "POST", content_length=0).status, 405, "POST")
    equal(ask(port, "/a.txt", "DELETE").status, 405, "DELETE")


def test_folders(port, root):
    answer = ask(port, "/sub?x=1")
    equal((answer.status, answer.get("location")), (301, "/sub/?x=1"), "a folder without its slash")
    equal(ask(port, "/sub/").body, b"sub\n", "a folder's index")
    equal(ask(port, "//sub").get("location"), "/sub/", "no other host by a redirect")
    equal(ask(port, "/sub//").status, 200, "empty segments")
    page = ask(port, "/plain/")
    equal((page.status, page.get("content-type")), (200, "text/html; charset=utf-8"), "a listing")
    text = page.body.decode()
    assert "<i>" not in text and "&lt;i&gt;&amp;&quot;&#39;.txt" in text, text
    link = re.search(r'href="(\./[^"]*%3C[^"]*)"', text).group(1)
    equal(ask(port, "/plain/" + link[2:]).body, b"odd\n", "a listed link")
    assert ".secret" not in text


def test_hidden_and_escapes(port, root):
    outside = os.path.join(os.path.dirname(root), "outside")
    write(outside, "passwd", b"outside\n")
    os.symlink("../outside/passwd", os.path.join(root, "out"))
    os.symlink(os.path.join(outside, "passwd"), os.path.join(root, "absolute"))
    os.symlink("../outside", os.path.join(root, "outdir"))
    os.symlink("a.txt", os.path.join(root, "inside"))
    os.symlink("loop", os.path.join(root, "loop"))
    os.symlink("/proc/self/root", os.path.join(root, "magic"))
    os.mkfifo(os.path.join(root, "fifo"))
    unix = socket.socket(socket.AF_UNIX)
    unix.bind(os.path.join(root, "unix"))
    for path in (
        "/.secret", "/sub/.git/config", "/%2esecret", "/sub/%2Egit/config", "/out", "/absolute", "/outdir/passwd",
        "/outdir/", "/loop", "/magic/etc/passwd", "/fifo", "/unix", "/sub/..%2f.secret", "/..%5coutside",
        "/sub/%2e%2e%2f%2e%2e%2foutside/passwd", "/%2e%2e/outside/passwd", "/../outside/passwd",
        "/sub/../../outside/passwd", "/....//outside/passwd", "/sub/..;/..;/outside/passwd", "/%252e%252e/outside/passwd",
        "//etc/passwd", "/%2fetc%2fpasswd", "/sub/./../../outside/passwd", "/" + "a/" * 1500, "/" + "x" * 3000,
    ):
        answer = ask(port, path)
        if answer.status not in (400, 404, 414) or b"outside" in answer.body or b"secret" in answer.body:
            raise AssertionError(f"{path}: {answer.status} {answer.body!r}")
    equal(ask(port, "/a%00.txt").status, 400, "NUL")
    equal(ask(port, "/inside").body, TEXT, "a link within the root")
    equal(ask(port, "/.well-known/security.txt").body, b"contact\n", ".well-known")
    equal(ask(port, "/strict/inside").status, 404, "symlinks: never")
    equal(ask(port, "/strict/a.txt").body, TEXT, "symlinks: never, a file")
    unix.close()


def test_denied(port, root):
    if os.geteuid() == 0:
        return
    path = write(root, "locked.txt", b"x")
    os.chmod(path, 0)
    equal(ask(port, "/locked.txt").status, 403, "no permission")


def test_conditions(port, root):
    first = ask(port, "/a.txt")
    tag, date = first.get("etag"), first.get("last-modified")
    assert re.fullmatch(r'"[0-9a-f]{32}"', tag), tag
    same = ask(port, "/a.txt", if_none_match=tag)
    equal((same.status, same.get("etag"), same.get("cache-control")), (304, tag, "public, max-age=60"), "If-None-Match")
    equal(ask(port, "/a.txt", if_none_match='"x", W/' + tag).status, 304, "If-None-Match, a list")
    equal(ask(port, "/a.txt", "HEAD", if_none_match="*").status, 304, "If-None-Match: *")
    equal(ask(port, "/a.txt", if_none_match='"x"').status, 200, "another tag")
    equal(ask(port, "/a.txt", if_modified_since=date).status, 304, "If-Modified-Since")
    equal(ask(port, "/a.txt", if_modified_since=date, if_none_match='"x"').status, 200, "the tag goes first")
    equal(ask(port, "/a.txt", if_match='"x"').status, 412, "If-Match")
    equal(ask(port, "/a.txt", if_match=tag).status, 200, "If-Match that holds")
    equal(ask(port, "/a.txt", if_unmodified_since="Sun, 06 Nov 1994 08:49:37 GMT").status, 412, "If-Unmodified-Since")


def test_ranges(port, root):
    with open(os.path.join(root, "big.bin"), "rb") as file:
        big = file.read()
    for path, data in (("/a.txt", TEXT), ("/big.bin", big)):
        size = len(data)
        for range_, first, last in (
            ("bytes=0-0", 0, 0), ("bytes=10-19", 10, 19), (f"bytes={size - 1}-", size - 1, size - 1),
            ("bytes=-7", size - 7, size - 1), (f"bytes=5-{size * 2}", 5, size - 1), ("bytes=0-9,5-20", 0, 20),
        ):
            part = ask(port, path, range=range_)
            equal((part.status, part.get("content-range")), (206, f"bytes {first}-{last}/{size}"), range_)
            equal(part.body == data[first : last + 1], True, range_)
        none = ask(port, path, range=f"bytes={size}-")
        equal((none.status, none.get("content-range")), (416, f"bytes */{size}"), "behind the end")
        for nonsense in ("bytes=5-4", "items=0-1", "bytes=", "bytes=a-"):
            equal(ask(port, path, range=nonsense).status, 200, nonsense)
        many = ask(port, path, range="bytes=0-3, 100-199, -5")
        equal(many.status, 206, "several ranges")
        boundary = re.fullmatch(r"multipart/byteranges; boundary=(\w+)", many.get("content-type")).group(1)
        parts = many.body.split(b"\r\n--" + boundary.encode())
        equal((parts[0], parts[-1]), (b"", b"--\r\n"), "the frame of a multipart body")
        got = []
        for part in parts[1:-1]:
            head, body = part.split(b"\r\n\r\n", 1)
            place = re.search(rb"content-range: bytes (\d+)-(\d+)/(\d+)", head).groups()
            got.append((tuple(map(int, place)), body))
        equal([place for place, _ in got], [(0, 3, size), (100, 199, size), (size - 5, size - 1, size)], "parts")
        equal([body for _, body in got], [data[0:4], data[100:200], data[-5:]], "bytes of parts")
    tag = ask(port, "/a.txt").get("etag")
    equal(ask(port, "/a.txt", range="bytes=0-1", if_range=tag).status, 206, "If-Range that holds")
    equal(ask(port, "/a.txt", range="bytes=0-1", if_range='"x"').status, 200, "If-Range that does not")
    equal(ask(port, "/a.txt", range="bytes=0-1", accept_encoding="gzip").get("content-encoding"), None, "range, plain")
    equal(ask(port, "/a.txt", "HEAD", range="bytes=0-1").status, 200, "Range is for GET")


def test_codings(port, root):
    for coding in ("gzip", "zstd", "br"):
        answer = ask(port, "/a.txt", accept_encoding=coding)
        equal((answer.status, answer.get("content-encoding")), (200, coding), coding)
        assert len(answer.body) < len(TEXT) // 4
        assert "accept-encoding" in answer.get("vary")
        assert expand(answer) in (None, TEXT), coding
        assert re.fullmatch(rf'W/"[0-9a-f]{{32}}-{coding}"', answer.get("etag")), answer.get("etag")
        same = ask(port, "/a.txt", accept_encoding=coding, if_none_match=answer.get("etag"))
        equal((same.status, same.get("etag")), (304, answer.get("etag")), "304 of an encoded one")
        equal(ask(port, "/a.txt", accept_encoding=coding, range="bytes=0-1", if_range=answer.get("etag")).status, 200,
              "a range of an encoded one")
        head = ask(port, "/a.txt", "HEAD", accept_encoding=coding)
        equal((head.status, head.get("content-encoding")), (200, coding), "HEAD")
        assert 0 < int(head.get("content-length")) < len(TEXT) // 4
    plain = ask(port, "/a.txt", accept_encoding="identity")
    equal((plain.get("content-encoding"), plain.body), (None, TEXT), "identity")
    assert "accept-encoding" in plain.get("vary")
    equal(ask(port, "/a.txt", accept_encoding="gzip;q=0").get("content-encoding"), None, "gzip refused")
    equal(ask(port, "/a.txt", accept_encoding="identity;q=0, gzip").get("content-encoding"), "gzip", "only gzip")
    equal(ask(port, "/a.txt", accept_encoding="identity;q=0").status, 406, "nothing is acceptable")
    image = ask(port, "/photo.webp", accept_encoding="gzip, br, zstd")
    equal((image.get("content-encoding"), image.get("vary")), (None, None), "an image")
    noise = ask(port, "/big.bin", accept_encoding="gzip, br, zstd")
    equal(noise.get("content-encoding"), None, "noise is not compressed")


def test_stored(port, root):
    script = b"let x = 1;\n" * 500
    path = write(root, "app.js", script)
    for suffix, data in ((".gz", gzip.compress(script)), (".br", b"not brotli, but nobody looks"), (".zst", b"z" * 40)):
        beside = write(root, "app.js" + suffix, data)
        os.utime(beside, (time.time() + 5, time.time() + 5))
    stored = ask(port, "/app.js", accept_encoding="gzip")
    equal((stored.get("content-encoding"), gzip.decompress(stored.body)), ("gzip", script), "app.js.gz")
    equal(stored.get("content-type"), "text/javascript; charset=utf-8", "app.js.gz")
    least = ask(port, "/app.js", accept_encoding="gzip, br, zstd")
    equal((least.get("content-encoding"), least.body), ("br", b"not brotli, but nobody looks"), "the smallest")
    plain = ask(port, "/app.js")
    equal((plain.body, "accept-encoding" in ", ".join(plain.all("vary"))), (script, True), "app.js itself")
    assert len({answer.get("etag") for answer in (stored, least, plain)}) == 3
    # What is older than the file is of another version of it.
    path = write(root, "old.js", script)
    beside = write(root, "old.js.gz", gzip.compress(b"old"))
    os.utime(beside, (1, 1))
    answer = ask(port, "/old.js", accept_encoding="gzip")
    equal(gzip.decompress(answer.body) if answer.get("content-encoding") else answer.body, script, "old.js")


def test_variants(port, slow, root):
    for name, data in (("pic.webp", b"high" * 500), ("pic.low.webp", b"low"), ("pic.medium.webp", b"medium" * 9)):
        write(root, name, data)
    write(root, "only.png", b"high" * 500)
    write(root, "only.medium.png", b"medium")
    high = ask(port, "/pic.webp")
    equal((high.body, high.get("vary"), high.get("cache-control")), (b"high" * 500, "save-data, ect", "public, max-age=60"), "high")
    saving = ask(port, "/pic.webp", save_data="on")
    equal((saving.body, saving.get("vary"), saving.get("cache-control")), (b"low", "save-data, ect", "public, max-age=60"), "Save-Data")
    equal(ask(port, "/pic.webp", ect="3g").body, b"medium" * 9, "ECT: 3g")
    equal(ask(port, "/only.png", save_data="on").body, b"medium", "no low variant: the medium one")
    slowly = ask(slow, "/pic.webp")
    equal((slowly.body, "private" in slowly.get("cache-control")), (b"low", True), "a slow connection")


def test_links_follow_bandwidth(port, slow, root):
    """Hints and prefetch links go with pages to fast connections only."""
    links = ["</a.css>; rel=preload; as=style", "</n.html>; rel=prefetch"]
    equal(ask(port, "/strict/").all("link"), links, "fast")
    equal(ask(port, "/strict/", ect="3g").all("link"), links[:1], "medium")
    equal(ask(port, "/strict/", save_data="on").all("link"), [], "Save-Data")
    equal(ask(slow, "/strict/").all("link"), [], "slow")
    equal(ask(port, "/strict/a.txt").all("link"), [], "no page")


def test_strength_follows_bandwidth(port, slow, root):
    """Plain to a connection of 100 Gbit/s, brotli of some strength to one of 0.5 Mbit/s."""
    answer = ask(slow, "/a.txt", accept_encoding="gzip, br, zstd")
    equal(answer.get("content-encoding"), "br", "slow")


def test_changes(port, root):
    path = write(root, "live.txt", b"one")
    first = ask(port, "/live.txt")
    write(root, "live.new", b"two, longer")
    os.rename(os.path.join(root, "live.new"), path)
    second = ask(port, "/live.txt")
    equal((first.body, second.body), (b"one", b"two, longer"), "replaced")
    assert first.get("etag") != second.get("etag")
    write(root, "live.txt", b"xxx, longer")  # in place, the same length
    equal(ask(port, "/live.txt").body, b"xxx, longer", "written in place")
    os.unlink(path)
    equal(ask(port, "/live.txt").status, 404, "removed")
    write(root, "live.txt", b"again")
    equal(ask(port, "/live.txt").body, b"again", "there again")
    # The root itself: a release is switched by its name.
    link = os.path.join(os.path.dirname(root), "current")
    for release in ("r1", "r2"):
        write(os.path.join(os.path.dirname(root), release), "v.txt", release.encode())
    os.symlink("r2", link + ".new")
    equal(ask(port, "/release/v.txt").body, b"r1", "the first release")
    os.rename(link + ".new", link)
    equal(ask(port, "/release/v.txt").body, b"r2", "the second release")


def test_shrinks_while_sent(port, root):
    """A file that becomes shorter: the connection ends early, and nothing follows."""
    path = write(root, "shrinks.bin", b"x" * 40_000_000)
    client = Client(port)
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    client.socket.sendall(b"GET /shrinks.bin HTTP/1.1\r\nhost: x\r\n\r\n")
    while client.line() != "":
        pass
    os.truncate(path, 1_000_000)
    got = len(client.buffer)
    try:
        while True:
            data = client.socket.recv(1 << 20)
            if not data:
                break
            # The kernel sends pages of the file itself: behind its new end they are zero.
            equal(data.strip(b"x\0") == b"", True, "nothing but the file's bytes")
            got += len(data)
    except ConnectionError:
        pass
    client.close()
    assert 1_000_000 <= got < 40_000_000, got
    # It grows: what is sent is what its head said.
    client = Client(port)
    path = write(root, "grows.bin", b"y" * 3_000_000)
    client.socket.sendall(b"GET /grows.bin HTTP/1.1\r\nhost: x\r\n\r\n")
    with open(path, "ab") as file:
        file.write(b"z" * 500_000)
    answer = client.read()
    size = int(answer.get("content-length"))
    # A file grows page by page while it is written.
    assert 3_000_000 <= size <= 3_500_000 and len(answer.body) == size, size
    equal(client.ask("/empty.txt").status, 200, "the connection goes on")
    client.close()


def test_races(port, root):
    """Files that are replaced and folders that are swapped, all the time: whole answers, and none from outside."""
    stop = threading.Event()
    bodies = {bytes([65 + i]) * (1000 + 777 * i) for i in range(4)}
    outside = os.path.join(os.path.dirname(root), "outside")
    write(root, "race.txt", sorted(bodies)[0])
    write(root, "dir/passwd", b"inside\n")

    def replace():
        turn = 0
        while not stop.is_set():
            turn += 1
            write(root, "race.new", sorted(bodies)[turn % 4])
            os.rename(os.path.join(root, "race.new"), os.path.join(root, "race.txt"))
            os.rename(os.path.join(root, "dir"), os.path.join(root, "dir.was"))
            os.symlink(outside, os.path.join(root, "dir"))
            os.unlink(os.path.join(root, "dir"))
            os.rename(os.path.join(root, "dir.was"), os.path.join(root, "dir"))

    thread = threading.Thread(target=replace)
    thread.start()
    client = Client(port)
    try:
        for turn in range(400):
            answer = client.ask("/race.txt", **({"accept_encoding": "gzip"} if turn % 2 else {}))
            equal((answer.status, expand(answer) in bodies), (200, True), "one of the versions")
            answer = client.ask("/dir/passwd")
            if answer.status != 404 and answer.body != b"inside\n":
                raise AssertionError(f"from outside: {answer.status} {answer.body!r}")
    finally:
        stop.set()
        thread.join()
        client.close()


def test_dictionaries(port, root):
    """A second version of a script, compressed with the first (RFC 9842)."""
    if not shutil.which("zstd"):
        return
    import base64
    import hashlib

    first = os.urandom(20000).hex().encode()
    second = first[:30000] + b"/* changed */" + first[30000:]
    write(root, "lib/app.js", first)
    answer = ask(port, "/lib/app.js", accept_encoding="dcz")
    equal((answer.get("use-as-dictionary"), answer.body), ('match="/lib/*.js"', first), "the first version")
    write(root, "lib/app.js", second)
    name = ":" + base64.b64encode(hashlib.sha256(first).digest()).decode() + ":"
    end = time.monotonic() + 10
    while True:
        answer = ask(port, "/lib/app.js", accept_encoding="zstd, dcz", available_dictionary=name)
        if answer.get("content-encoding") == "dcz" or time.monotonic() > end:
            break
        time.sleep(0.02)  # the dictionary is hashed in the background
    equal(answer.get("content-encoding"), "dcz", "the second version")
    assert "available-dictionary" in answer.get("vary")
    equal(answer.body[:8], b"\x5e\x2a\x4d\x18\x20\x00\x00\x00", "its head")
    equal(answer.body[8:40], hashlib.sha256(first).digest(), "its hash")
    assert len(answer.body) < 500, len(answer.body)
    dictionary = write(root, "lib/.dict", first)
    expanded = subprocess.run(["zstd", "-dc", f"--patch-from={dictionary}"], input=answer.body[40:],
                              stdout=subprocess.PIPE, check=True).stdout
    equal(expanded == second, True, "expanded by zstd")
    for other in (":" + base64.b64encode(b"0" * 32).decode() + ":", "nonsense", "", ":====:"):
        answer = ask(port, "/lib/app.js", accept_encoding="dcz", available_dictionary=other)
        equal((answer.get("content-encoding"), answer.body == second), (None, True), f"dictionary {other}")


def test_dictionaries_outlive_the_process(brisk, base):
    """What a client was given before a restart is used at its first request after it; a damaged file is not."""
    import base64
    import hashlib

    root, kept = os.path.join(base, "lib-site"), os.path.join(base, "kept")
    settings = [f"serve.static=[{{at: /, root: {root}, dictionary: '/*.js'}}]", f"serve.encode.dictionary_folder={kept}",
                "serve.bandwidth.fixed=5000000"]
    first = os.urandom(20000).hex().encode()
    second = first[:30000] + b"/* changed */" + first[30000:]
    file = os.path.join(kept, hashlib.sha256(first).hexdigest())
    name = ":" + base64.b64encode(hashlib.sha256(first).digest()).decode() + ":"

    def started(ask_it):
        server = Server(brisk, settings=settings)
        try:
            return ask_it(server.port)
        finally:
            code, words = server.stop()
            equal(code, 0, words)

    def offer(port):
        equal(ask(port, "/app.js").body == first, True, "the first version")
        end = time.monotonic() + 10
        while not os.path.exists(file) and time.monotonic() < end:
            time.sleep(0.02)
        with open(file, "rb") as found:
            equal(found.read() == first, True, "what was kept")
        equal([oct(os.stat(path).st_mode & 0o077) for path in (kept,)], ["0o0"], "others' rights")

    def use(port):
        return ask(port, "/app.js", accept_encoding="zstd, dcz", available_dictionary=name)

    write(root, "app.js", first)
    started(offer)
    write(root, "app.js", second)
    answer = started(use)
    equal((answer.get("content-encoding"), answer.body[8:40]), ("dcz", hashlib.sha256(first).digest()), "after a restart")
    assert len(answer.body) < 500, len(answer.body)
    with open(file, "r+b") as damaged:
        damaged.write(b"?")
    answer = started(use)
    equal((answer.get("content-encoding") == "dcz", os.path.exists(file)), (False, False), "a damaged dictionary")


def test_many_at_once(port, root):
    """Heavy bodies, wanted by many at once, by clients that go away: all whole, and the server goes on."""
    data = b"".join(f"{i * 7919 % 100003} some words of a log\n".encode() for i in range(60000))
    write(root, "heavy.log", data)
    failures = []

    def one(coding, leave):
        try:
            client = Client(port)
            client.socket.sendall(f"GET /heavy.log HTTP/1.1\r\nhost: x\r\naccept-encoding: {coding}\r\n\r\n".encode())
            if not leave:
                body = expand(client.read())
                if body is not None and body != data:
                    failures.append(coding)
            client.close()
        except OSError as error:
            failures.append(error)

    threads = [threading.Thread(target=one, args=(("gzip", "zstd", "br")[i % 3], i % 4 == 3)) for i in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    equal(failures, [], "many at once")
    equal(ask(port, "/empty.txt").status, 200, "afterwards")


def test_clear_errors(brisk, root):
    for setting, wanted in (
        ("serve.static=[{at: /, root: /nonexistent/www}]", "/nonexistent/www: No such file or directory"),
        (f"serve.static=[{{at: /, root: {root}/a.txt}}]", "Not a directory"),
        ("serve.static=[{at: /}]", "a mount needs a 'root'"),
        (f"serve.static=[{{at: x, root: {root}}}]", "begins with '/'"),
        (f"serve.static=[{{at: /, roots: {root}}}]", "roots"),
        (f"serve.static=[{{at: /, root: {root}, symlinks: all}}]", "inside"),
        (f"serve.static=[{{at: /, root: {root}, revalidate: 3}}]", "revalidate"),
        (f"serve.static=[{{at: /, root: {root}}}, {{at: /, root: {root}}}]", "is there already"),
        ("serve.static=[1]", "a mount is written as"),
    ):
        try:
            server = Server(brisk, settings=[setting])
        except RuntimeError as error:
            assert wanted in str(error), f"{setting}: {error}"
        else:
            server.stop()
            raise AssertionError(f"{setting}: was accepted")


def test_no_descriptors(brisk, root):
    """The table of descriptors is full: 503 for what cannot be opened, what is in memory goes on, and it recovers."""
    for i in range(80):
        write(root, f"many/{i}.bin", bytes([i]) * 40000)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    wrapper = ["sh", "-c", 'ulimit -n 60; exec "$@"', "sh"]
    server = Server(brisk, ["--threads", "1"], wrapper=wrapper,
                    settings=[f"serve.static=[{{at: /, root: {root}}}]", "serve.files.small=1000"])
    equal(resource.getrlimit(resource.RLIMIT_NOFILE), before, "limits of the test itself")
    client = Client(server.port)
    seen = set()
    for i in range(80):
        answer = client.ask(f"/many/{i}.bin")
        seen.add(answer.status)
        if answer.status == 200:
            equal(answer.body == bytes([i]) * 40000, True, "a whole file")
    assert seen <= {200, 503} and 200 in seen, seen
    equal(client.ask("/many/79.bin").status, 200, "descriptors come back")
    client.close()
    server.stop()


def main(brisk):
    base = tempfile.mkdtemp(prefix="brisk-static-")
    root = os.path.join(base, "www")
    try:
        make_site(root)
        write(os.path.join(base, "r1"), "v.txt", b"r1")
        os.symlink("r1", os.path.join(base, "current"))
        common = 'cache_control: "public, max-age=60", revalidate: 0ms'
        mounts = (f"[{{at: /, root: {root}, listing: true, dictionary: '/lib/*.js', {common}}},"
                  f"{{at: /strict, root: {root}, symlinks: never, hints: ['</a.css>; rel=preload; as=style'], "
                  f"prefetch: ['</n.html>; rel=prefetch'], {common}}},"
                  f"{{at: /release, root: {base}/current, {common}}}]")
        server = Server(brisk, settings=[f"serve.static={mounts}", "serve.bandwidth.fixed=50000000"])
        slow = Server(brisk, settings=[f"serve.static={mounts}", "serve.bandwidth.fixed=500000"])
        try:
            for test in (test_basics, test_folders, test_hidden_and_escapes, test_denied, test_conditions, test_ranges,
                         test_codings, test_stored, test_changes, test_shrinks_while_sent, test_races,
                         test_dictionaries, test_many_at_once):
                test(server.port, root)
                print(f"ok {test.__name__}")
            for test in (test_variants, test_links_follow_bandwidth, test_strength_follows_bandwidth):
                test(server.port, slow.port, root)
                print(f"ok {test.__name__}")
        finally:
            code, words = server.stop()
            slow_code, slow_words = slow.stop()
        equal((code, slow_code), (0, 0), f"the server's end: {words} {slow_words}")
        test_dictionaries_outlive_the_process(brisk, base)
        print("ok test_dictionaries_outlive_the_process")
        for test in (test_clear_errors, test_no_descriptors):
            test(brisk, root)
            print(f"ok {test.__name__}")
    finally:
        shutil.rmtree(base, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1])
