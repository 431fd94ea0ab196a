"""Answers of the proxy: compressed, shared while they come, counted."""
import gzip
import os
import socket
import threading
import time
import zlib

from cases import case, check
from origin_lib import Origin, answer
from proxy_lib import FRESH, Status, get, is_hit, node, run
from serve_lib import wait_until

WORDS = ("the quick brown fox jumps over the lazy dog and so on, again and again; " * 400).encode()
SLOW = ("serve.bandwidth.fixed=1000000",)  # a bit rate at which every coding is worth its time


# --- compressed ------------------------------------------------------------------------------


def plain(a):
    return gzip.decompress(a.body) if a["content-encoding"] == "gzip" else a.body


def varies(a):
    return "accept-encoding" in (a["vary"] or "").lower()


def page(request, connection):
    """What the target says: fields in the query."""
    fields = {"content_type": "text/html", "cache_control": FRESH, "etag": '"v1"'}
    for part in request.target.partition("?")[2].split("&"):
        name, _, value = part.partition("=")
        if name:
            fields[name] = value.replace("+", " ")
    if request["if-none-match"] is not None and '"v1"' in request["if-none-match"]:
        fields.pop("content_type")
        return answer(status="304 Not Modified", length=False, **fields)
    return answer(WORDS, **fields)


@case
def answers_are_compressed_for_who_takes_it():
    with Origin(page) as origin, node(upstreams=[origin.url], settings=SLOW) as n:
        for path in ("/a", "/private?cache_control=private"):
            for turn in range(3):
                a = get(n, path, accept_encoding="gzip")
                check(a["content-encoding"] == "gzip" and plain(a) == WORDS, (path, turn, a))
                check(len(a.body) < len(WORDS) // 4 and varies(a), a)
                check(a["etag"] == 'W/"v1-gzip"', a)
            a = get(n, path)
            check(a.body == WORDS and a["content-encoding"] is None and varies(a), a)
            check(a["etag"] == '"v1"', a)
        check(is_hit(get(n, "/a", accept_encoding="gzip")) and is_hit(get(n, "/a")))
        # HEAD says what GET would.
        h = n.http(token=None)
        a = h.ask("HEAD", "/a", fields={"accept-encoding": "gzip"})
        b = get(n, "/a", accept_encoding="gzip")
        for name in ("content-encoding", "content-length", "etag", "vary"):
            check(a[name] == b[name], (name, a, b))


@case
def what_may_not_be_transformed_is_not():
    packed = gzip.compress(WORDS)

    def handle(request, connection):
        if request.target == "/packed":
            return answer(packed, content_encoding="gzip", cache_control=FRESH, etag='"v1"')
        if request.target == "/small":
            return answer(b"x" * 255, cache_control=FRESH, etag='"v1"')
        return page(request, connection)

    with Origin(handle) as origin, node(upstreams=[origin.url], settings=SLOW) as n:
        for path in ("/a?cache_control=no-transform,+max-age=100", "/b?content_type=image/png",
                     "/c?cache_control=no-transform,+private"):  # fmt: skip
            for _ in range(2):
                a = get(n, path, accept_encoding="gzip")
                check(a.body == WORDS and a["content-encoding"] is None, (path, a))
                check(a["etag"] == '"v1"' and not varies(a), (path, a))
        for _ in range(2):
            a = get(n, "/packed", accept_encoding="gzip")
            check(a.body == packed and a["content-encoding"] == "gzip" and a["etag"] == '"v1"', a)
            a = get(n, "/d", accept_encoding="gzip", cache_control="no-transform")
            check(a.body == WORDS and a["content-encoding"] is None, a)
        for value in ("identity", "gzip;q=0", "identity;q=0, gzip;q=0", ""):
            a = get(n, "/d", accept_encoding=value)
            check(a.status == 200 and a.body == WORDS and a["content-encoding"] is None, (value, a))
        a = get(n, "/d", accept_encoding="gzip", range="bytes=4-8")
        check(a.status == 206 and a.body == WORDS[4:9] and a["content-encoding"] is None, a)
        check(a["etag"] == '"v1"', a)
        small = get(n, "/small", accept_encoding="gzip")
        check(small.body == b"x" * 255 and not varies(small) and small["etag"] == '"v1"', small)
    with Origin(page) as origin, node(upstreams=[origin.url], compress=False, settings=SLOW) as n:
        for _ in range(2):
            a = get(n, "/a", accept_encoding="gzip")
            check(a.body == WORDS and a["content-encoding"] is None and not varies(a), a)


@case
def tags_of_compressed_answers_are_known():
    """A client that has the compressed one is told that it is still good: from the cache, and by the upstream."""
    with Origin(page) as origin, node(upstreams=[origin.url], settings=SLOW) as n:
        for path in ("/a", "/private?cache_control=private"):
            tag = get(n, path, accept_encoding="gzip")["etag"]
            check(tag == 'W/"v1-gzip"', tag)
            for value in (tag, '"other", ' + tag, 'W/"v1-zstd"'):
                a = get(n, path, accept_encoding="gzip", if_none_match=value)
                check(a.status == 304 and a.body == b"" and a["etag"] == value.split(", ")[-1], a)
            check(get(n, path, if_none_match='"v1"')["etag"] == '"v1"')
            check(get(n, path, accept_encoding="gzip", if_none_match='W/"v2-gzip"').status == 200)
        check(varies(get(n, "/a", if_none_match=tag)), "as the whole answer would")
        asked = [r["if-none-match"] for r in origin.requests if r["if-none-match"]]
        check(asked[0] == 'W/"v1-gzip", W/"v1"', asked)


@case
def streams_are_compressed_as_they_come():
    go = threading.Event()

    def handle(request, connection):
        control = "private" if request.target.startswith("/own") else FRESH
        connection.sendall(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n"
            b"cache-control: %s\r\n\r\n" % control.encode() + b"%x\r\n%s\r\n" % (len(WORDS), WORDS)
        )
        go.wait(20)
        return b"3\r\nend\r\n0\r\n\r\n"

    with Origin(handle) as origin, node(upstreams=[origin.url], settings=SLOW) as n:
        for path in ("/own", "/shared"):
            go.clear()
            got = b""
            with socket.create_connection(("127.0.0.1", n.port), timeout=20) as s:
                s.sendall(b"GET %s HTTP/1.0\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n" % path.encode())
                while b"\r\n\r\n" not in got:
                    got += s.recv(65536)
                head, got = got.split(b"\r\n\r\n", 1)
                check(b"content-encoding: gzip" in head.lower(), head)
                reader = zlib.decompressobj(31)
                body = reader.decompress(got)
                while len(body) < len(WORDS):  # all that came, before the rest does
                    data = s.recv(65536)
                    check(data, "it ended")
                    body += reader.decompress(data)
                go.set()
                while data := s.recv(65536):
                    body += reader.decompress(data)
                check(body + reader.flush() == WORDS + b"end" and reader.eof, len(body))
        check(wait_until(lambda: is_hit(get(n, "/shared", host="x"))))
        a = get(n, "/shared", host="x", accept_encoding="gzip")
        check(plain(a) == WORDS + b"end" and is_hit(a), a)


# --- shared while they come ------------------------------------------------------------------


class Slow:
    """An upstream that sends the half of a body, and the rest when it is told; in chunks, or with its size."""

    def __init__(self, body, chunked, vary=None):
        self.body = body
        self.half = len(body) // 2
        self.chunked = chunked
        self.vary = vary
        self.go = threading.Event()
        self.cut = False

    def __call__(self, request, connection):
        fields = b"cache-control: max-age=1000\r\nsurrogate-key: s\r\n"
        if self.vary is not None:
            fields += b"vary: " + self.vary + b"\r\n"
        if self.chunked:
            fields += b"transfer-encoding: chunked\r\n"
        else:
            fields += b"content-length: %d\r\n" % len(self.body)
        connection.sendall(b"HTTP/1.1 200 OK\r\n" + fields + b"\r\n")
        connection.sendall(self.piece(self.body[: self.half]))
        self.go.wait(20)
        if self.cut:
            return None
        end = b"0\r\n\r\n" if self.chunked else b""
        return self.piece(self.body[self.half :]) + end

    def piece(self, data):
        return b"%x\r\n%s\r\n" % (len(data), data) if self.chunked else data


class Reader:
    """A client of HTTP/1.0: its body is what comes behind the head, to the end."""

    def __init__(self, n, path="/", fields=b""):
        self.socket = socket.create_connection(("127.0.0.1", n.port), timeout=20)
        self.socket.sendall(
            b"GET %s HTTP/1.0\r\nHost: 127.0.0.1:%d\r\n%s\r\n" % (path.encode(), n.port, fields)
        )
        self.got = b""

    def read(self, size):
        """Until `size` bytes of the body are there; -1: to the end.  What is there of it."""
        while True:
            head, _, body = self.got.partition(b"\r\n\r\n")
            self.head = head.decode("latin-1").lower()
            if 0 <= size <= len(body):
                return body
            try:
                data = self.socket.recv(65536)
            except ConnectionError:
                data = b""
            if not data:
                return body
            self.got += data


@case
def who_comes_meanwhile_is_given_what_there_is():
    body = os.urandom(400000)
    for chunked in (False, True):
        slow = Slow(body, chunked)
        with Origin(slow) as origin, node(upstreams=[origin.url], threads=2) as n:
            first = Reader(n)
            check(first.read(slow.half) == body[: slow.half])
            others = [Reader(n) for _ in range(6)]
            for other in others:  # before the body's end
                check(other.read(slow.half) == body[: slow.half], other.head)
                check("collapsed" in other.head and "surrogate" not in other.head, other.head)
            part = Reader(n, fields=b"Range: bytes=1-3\r\nIf-None-Match: \"x\"\r\n")
            gone = others.pop()
            gone.socket.close()
            slow.go.set()
            for one in (first, *others):
                check(one.read(-1) == body, (chunked, len(one.read(-1)), one.head))
            check(part.read(-1) in (body[1:4], body), part.head)
            check(wait_until(lambda: is_hit(get(n, "/"))))
            check(get(n, "/").body == body)


@case
def who_comes_meanwhile_sees_that_it_breaks_off():
    body = os.urandom(400000)
    for chunked in (False, True):
        slow = Slow(body, chunked)
        with Origin(slow) as origin, node(upstreams=[origin.url], threads=2, retries=0) as n:
            readers = [Reader(n) for _ in range(4)]
            for reader in readers:
                reader.read(slow.half)
            check(origin.count() == 1, origin.count())
            slow.cut = True
            slow.go.set()
            for reader in readers:
                check(reader.read(-1) == body[: slow.half], reader.head)
            slow.cut = False
            a = get(n, "/")
            check(a.body == body and not is_hit(a), "a half is not kept")


@case
def who_comes_meanwhile_gets_its_own_variant():
    body = os.urandom(200000)
    slow = Slow(body, True, vary=b"x-v")
    with Origin(slow) as origin, node(upstreams=[origin.url], threads=2) as n:
        first = Reader(n, fields=b"X-V: 1\r\n")
        first.read(slow.half)
        same = Reader(n, fields=b"X-V: 1\r\n")
        other = Reader(n, fields=b"X-V: 2\r\n")
        check(same.read(slow.half) == body[: slow.half] and "collapsed" in same.head, same.head)
        check(other.read(slow.half) == body[: slow.half] and "collapsed" not in other.head, other.head)
        check(origin.count() == 2, origin.count())
        slow.go.set()
        check(all(one.read(-1) == body for one in (first, same, other)))


@case
def what_grows_too_large_still_comes_whole():
    """Its size is not known: who was begun with gets all of it, slow ones too, and it is not kept."""
    body = os.urandom(6 << 20)
    slow = Slow(body, True)
    slow.half = 500000
    with Origin(slow) as origin, node(upstreams=[origin.url], threads=2, object_max="1MiB") as n:
        first = Reader(n)
        first.read(slow.half)
        second = Reader(n)
        check(second.read(slow.half)[:100] == body[:100] and origin.count() == 1)
        aside = Reader(n, fields=b"If-None-Match: \"x\"\r\n")  # it waits for the end
        gone = Reader(n)
        gone.read(slow.half)
        gone.socket.close()
        got = []
        threads = [
            threading.Thread(target=lambda r=reader: got.append(r.read(-1))) for reader in (second, first, aside)
        ]
        for thread in threads:
            thread.start()
        slow.go.set()
        for thread in threads:
            thread.join()
        check([one == body for one in got] == [True] * 3, [len(one) for one in got])
        check(origin.count() == 2 and not is_hit(get(n, "/")), origin.count())
        # The first has gone: it goes on for the others.
    slow = Slow(body, True)
    with Origin(slow) as origin, node(upstreams=[origin.url], object_max="4MiB") as n:
        first = Reader(n)
        first.read(1000)
        second = Reader(n)
        second.read(1000)
        first.socket.close()
        slow.go.set()
        check(second.read(-1) == body)
        # Nobody is left.
        slow.go.clear()
        reader = Reader(n, "/other")
        reader.read(1000)
        reader.socket.close()
        slow.go.set()
        check(get(n, "/third").body == body)


@case
def a_slow_follower_holds_nobody_back():
    body = os.urandom(6 << 20)
    slow = Slow(body, False)
    with Origin(slow) as origin, node(upstreams=[origin.url], threads=2) as n:
        first = Reader(n)
        first.read(1000)
        lazy = Reader(n)
        lazy.read(1000)
        quick = Reader(n)
        slow.go.set()
        check(first.read(-1) == body and quick.read(-1) == body)
        check(wait_until(lambda: is_hit(get(n, "/"))))
        check(lazy.read(-1) == body and origin.count() == 1)


@case
def a_silent_upstream_is_the_same_for_all_who_wait():
    hold = threading.Event()

    def handle(request, connection):
        if request.number == 1:
            hold.wait(20)
            return None
        return answer(b"good", cache_control=FRESH)

    with Origin(handle) as origin:
        with node(upstreams=[origin.url], first_byte_timeout="500ms", retries=0, threads=2) as n:
            readers = [Reader(n) for _ in range(4)]
            for reader in readers:
                reader.read(-1)
                check(reader.head.startswith("http/1.1 504 "), reader.head)
            check(origin.count() == 1, origin.count())
            hold.set()
            check(get(n, "/").body == b"good")


@case
def more_than_an_answer_poisons_nothing():
    """Longer than it says, or with another answer behind it: what is behind is nobody's, and not kept."""
    more = {
        "/long": b"HTTP/1.1 200 OK\r\ncache-control: max-age=99\r\ncontent-length: 4\r\n\r\ngoodpoison",
        "/two": answer(b"good", cache_control=FRESH) + answer(b"poison", cache_control=FRESH),
        "/chunks": b"HTTP/1.1 200 OK\r\ncache-control: max-age=99\r\ntransfer-encoding: chunked\r\n\r\n"
        b"4\r\ngood\r\n0\r\n\r\n" + answer(b"poison", cache_control=FRESH),
        "/bodiless": b"HTTP/1.1 204 No Content\r\ncache-control: max-age=99\r\n\r\npoison",
    }

    def handle(request, connection):
        return more.get(request.target) or answer(b"good", cache_control=FRESH)

    with Origin(handle) as origin, node(upstreams=[origin.url]) as n:
        for path in more:
            for i in range(3):
                a = get(n, path)
                check(a.body == (b"" if path == "/bodiless" else b"good"), (path, a))
                check(get(n, f"{path}/{i}").body == b"good", path)
            check(wait_until(lambda p=path: is_hit(get(n, p))), path)


# --- validated -------------------------------------------------------------------------------


@case
def what_lies_in_a_file_is_validated_too():
    body = os.urandom(3 << 20)
    state = {"down": False}

    def handle(request, connection):
        if state["down"]:
            return None
        if request["if-none-match"] == '"v1"':
            return answer(status="304 Not Modified", length=False, etag='"v1"', x_new="1",
                          cache_control=FRESH)  # fmt: skip
        return answer(body, etag='"v1"', cache_control="max-age=1")

    with Origin(handle) as origin, node(upstreams=[origin.url], retries=0, eject_after=0) as n:
        check(get(n, "/").body == body and get(n, "/down").body == body)
        time.sleep(2.1)
        a = get(n, "/")
        check(a.status == 200 and a.body == body and a["x-new"] == "1", (a.status, a.fields))
        check(Status(a["cache-status"]).has("fwd-status=304"), a.fields)
        check(origin.last()["if-none-match"] == '"v1"' and origin.count() == 3, origin.last().pairs)
        a = get(n, "/")
        check(is_hit(a) and a.body == body, a.fields)
        part = get(n, "/", range="bytes=1000000-1000004")
        check(part.status == 206 and part.body == body[1000000:1000005], part)
        state["down"] = True
        for _ in range(2):
            a = get(n, "/down")
            check(a.body == body and Status(a["cache-status"]).has("detail=stale-if-error"), a.fields)


@case
def a_head_renews_and_outdates_what_is_stored():
    state = {"etag": '"v1"', "size": 1}

    def handle(request, connection):
        fields = {"etag": state["etag"], "cache_control": FRESH, "x_number": request.number}
        if request.method == "HEAD":
            return answer(b"", length=False, content_length=state["size"], **fields)
        return answer(b"x", **fields)

    for size, etag, kept in ((1, '"v1"', True), (2, '"v1"', False), (1, '"v2"', False)):
        state.update(etag='"v1"', size=1)
        with Origin(handle) as origin, node(upstreams=[origin.url]) as n:
            get(n, "/")
            state.update(size=size, etag=etag)
            h = n.http(token=None)
            check(h.ask("HEAD", "/").fields["x-number"] == "1" and origin.count() == 1, "from the cache")
            time.sleep(0.2)  # until all tiers have it
            a = h.ask("HEAD", "/", fields={"cache-control": "no-cache"})
            check(a["x-number"] == "2" and origin.count() == 2, a)
            state.update(etag='"v1"', size=1)
            a = get(n, "/")
            check(is_hit(a) == kept and a["x-number"] == ("2" if kept else "3"), (size, etag, a))


# --- counted ---------------------------------------------------------------------------------


def figures(n):
    """Values of serve.proxy.* by name and labels without the mount."""
    found = {}
    for one in n.http().ok("GET", "/v1/metrics").json()["metrics"]:
        if one["name"].startswith("serve.proxy."):
            labels = {k: v for k, v in one["labels"].items() if k != "mount"}
            check(one["labels"]["mount"] == "/", one)
            value = one["value"] if one["kind"] == "gauge" else one["count"]
            found[(one["name"][len("serve.proxy.") :], *labels.values())] = value
    return found


@case
def what_happens_is_counted():
    def handle(request, connection):
        if request.target == "/broken":
            return None
        return answer(b"x", cache_control=FRESH if request.target == "/a" else "max-age=0", etag='"1"')

    with Origin(handle) as origin, node(upstreams=[origin.url], retries=1, threads=2) as n:
        for _ in range(4):
            get(n, "/a")
        for _ in range(2):
            get(n, "/stale")
        check(n.http(token=None).ask("POST", "/a", b"x").status == 200)
        check(get(n, "/broken").status == 502)
        check(get(n, "/none", cache_control="only-if-cached").status == 504)
        found = figures(n)
        wanted = {
            ("answers", "hit"): 3, ("answers", "uri-miss"): 3, ("answers", "stale"): 1,
            ("answers", "method"): 1, ("fetches",): 5, ("retries",): 1, ("time",): 4,
            ("failures", "broken"): 1, ("hedges",): 0, ("connections", "busy"): 0,
            ("upstream.requests", origin.url): 6, ("upstream.errors", origin.url): 1,
            ("upstream.well", origin.url): 1,
        }  # fmt: skip
        for name, value in wanted.items():
            check(found.get(name) == value, (name, value, found))
        check(found["connects",] + found["reuses",] == 6, found)
        text = n.http().get("/metrics").body.decode()
        check('serve_proxy_answers_total{cache="hit",mount="/"} 3' in text, text)
    with Origin(handle) as origin:
        with node(upstreams=[origin.url], cache=False, retries=0, eject_after=2) as n:
            get(n, "/a")
            for _ in range(3):
                get(n, "/broken")
            found = figures(n)
            check(found["answers", "none"] == 4, found)
            check(found["upstream.ejections", origin.url] == 1, found)
            check(found["upstream.well", origin.url] == 0, found)


if __name__ == "__main__":
    run()
