"""Requests over HTTP/2 in bytes that came before, which are answered without nghttp2 (http2_direct.c).

  test_http2_direct.py HTTP2_SERVER [NAME...]

A block that came twice is known when it comes the third time.  /counts tells how many requests were answered
directly, so that no case passes because none was.
"""
import json
import shutil
import ssl
import struct
import sys
import tempfile

import http2_lib as h2
import test_http2 as base
from http2_lib import Connection, frame
from test_http2 import check

SIXTEEN_KIB = 16384
CASES = []
OPTIONS = {}


def case(function):
    CASES.append(function)
    return function


class Raw(Connection):
    """Keeps the blocks of heads as they came, and counts bytes of bodies."""

    def __init__(self, port, **options):
        self.blocks = {}
        self.received = 0
        super().__init__(port, **{**OPTIONS, **options})

    def note(self, kind, flags, stream, payload):
        if kind == h2.HEADERS:
            self.blocks.setdefault(stream, []).append(payload)
        if kind == h2.DATA:
            self.received += len(payload)
        super().note(kind, flags, stream, payload)

    def post(self, block, flags=h2.END_STREAM | h2.END_HEADERS, ask=True):
        """A request whose block is given; its stream."""
        stream = self.next
        self.next += 2
        head = frame(h2.HEADERS, flags, stream, block)
        if not ask:
            return stream, head
        self.send(head)
        return stream

    def known(self, path, times=3, **more):
        """Ask until the head is known; the answers."""
        return [self.get(path, **more) for _ in range(times)]


def counts(server):
    c = Raw(server.port)
    result = json.loads(c.get("/counts").body)
    c.close()
    return result


def literal(*fields):
    return h2.block(fields)


HELLO = literal(*h2.request("/hello"))


def window(stream, size):
    return frame(h2.WINDOW_UPDATE, 0, stream, struct.pack(">I", size))


# --- answers -----------------------------------------------------------------------------------


@case
def same_bytes_same_answers(server):
    before = counts(server)
    c = Raw(server.port, window=0x7fffffff)
    answers = c.known("/hello", 8)
    for s in answers:
        check(s.status == 200 and s.body == base.PATTERN[:1024] and s["content-length"] == "1024", s.fields)
        check(s["etag"] == '"5b1f-2c9a41"' and s["date"].endswith(" GMT"), s.fields)
    c.sync()
    after = counts(server)
    check(after["direct"] - before["direct"] == 6, (before, after))
    check(after["known"] > before["known"], after)
    c.close()
    for _ in range(200):
        if counts(server)["known"] == before["known"]:
            return
    raise AssertionError("heads of a connection that is gone are kept")


@case
def whatever_the_handler_does(server):
    c = Raw(server.port, window=0x7fffffff)
    paths = ["/hello", "/bytes", "/nothing", "/nothing?status=304", "/nothing?status=404", "/nothing?status=507",
             "/nowhere", "/big?size=0", f"/big?size={SIXTEEN_KIB}", f"/big?size={SIXTEEN_KIB + 1}",
             "/big?size=1000000", "/file?size=5000", "/file?size=0", "/later?ms=1", "/stream?size=100000", "/stream?size=0",
             "/stream?size=10&known=1", "/abort", "/short", "/inform", "/fields?x=%20"]
    for path in paths:
        for method in ("GET", "HEAD"):
            first, *others = c.known(path, 6, method=method, extra=[("x-field", "value"), ("cookie", "a=b")])
            for s in others:
                def shape(answer):
                    fields = [f for f in answer.fields or [] if f[0] != "date"]
                    return fields, answer.informs, answer.body, answer.ended, answer.reset
                check(shape(s) == shape(first), (path, method, shape(s), shape(first)))
    c.close()
    base.connect = lambda s, **more: Raw(s.port, **more)
    base.all_gone(server)


@case
def any_number_at_once(server):
    c = Raw(server.port, window=0x7fffffff)
    c.known("/hello")
    c.known("/later?ms=1")
    frames = [c.head(h2.request("/later?ms=1" if i % 7 == 3 else "/hello")) for i in range(200)]
    c.send(*[f for _, f in frames])
    for i, (stream, _) in enumerate(frames):
        s = c.wait(stream)
        check(s.status == 200 and len(s.body) == (6 if i % 7 == 3 else 1024), (i, s.fields))
    c.close()


@case
def any_cut_is_the_same(server):
    c = Raw(server.port, window=0x7fffffff)
    c.known("/hello")
    stream, head = c.head(h2.request("/hello"))
    for at in range(len(head)):
        c.send(head[at:at + 1])
    check(c.wait(stream).body == base.PATTERN[:1024])
    many = b"".join(c.head(h2.request("/hello"))[1] for _ in range(40))
    for at in range(0, len(many), 37):
        c.send(many[at:at + 37])
    for stream in range(stream + 2, c.next, 2):
        check(c.wait(stream).body == base.PATTERN[:1024])
    c.close()


# --- the table ---------------------------------------------------------------------------------

# ":method: GET", ":scheme: http", ":path" and ":authority" as literals, and the newest entry of the table.
def with_newest(path="/fields"):
    return b"\x82\x86\x04" + h2.number(len(path), 7) + path.encode() + b"\x01\x01h" + b"\xbe"


def adding(name, value):
    return (b"\x82\x86\x04\x06/bytes\x01\x01h" + b"\x40" + h2.number(len(name), 7) + name.encode() +
            h2.number(len(value), 7) + value.encode())


@case
def tables_that_change(server):
    """Each way to change the table between two requests of the same bytes."""
    def one_frame(c, block):
        c.wait(c.post(block))

    def priority(c, block):
        c.wait(c.post(b"\0\0\0\0\x10" + block, h2.END_STREAM | h2.END_HEADERS | h2.PRIORITISED))

    def padding(c, block):
        c.wait(c.post(b"\x03" + block + b"\0\0\0",
                      h2.END_STREAM | h2.END_HEADERS | h2.PADDED))

    def in_two_frames(c, block):
        stream, head = c.post(block[:20], h2.END_STREAM, ask=False)
        c.send(head, frame(h2.CONTINUATION, h2.END_HEADERS, stream, block[20:]))
        c.wait(stream)

    def in_two_writes(c, block):
        stream, head = c.post(block, ask=False)
        c.send(head[:30])
        while_sent = Raw(server.port)  # time for the first part to be read alone
        while_sent.get("/bytes")
        while_sent.close()
        c.send(head[30:])
        c.wait(stream)

    def with_a_body(c, block):
        stream = c.post(block, h2.END_HEADERS)
        c.put(stream, b"")
        c.wait(stream)

    def trailers(c, block):
        stream = c.post(literal(*h2.request("/count", "POST")), h2.END_HEADERS)
        c.send(frame(h2.HEADERS, h2.END_STREAM | h2.END_HEADERS, stream, block[block.index(b"\x40"):]))
        c.wait(stream)

    def refused(c, block):
        c.wait(c.post(block + literal(("connection", "close"))))

    for change in (one_frame, priority, padding, in_two_frames, in_two_writes, with_a_body, trailers, refused):
        c = Raw(server.port, window=0x7fffffff)
        change(c, adding("x-a", "1"))
        for _ in range(5):
            body = c.wait(c.post(with_newest())).body
            check(b"x-a: 1" in body, (change.__name__, body))
        change(c, adding("x-b", "22"))
        for _ in range(5):
            body = c.wait(c.post(with_newest())).body
            check(b"x-b: 22" in body and b"x-a" not in body, (change.__name__, body))
        c.close()
    # A table without room has no newest entry: the same bytes are an error now.
    c = Raw(server.port, window=0x7fffffff)
    one_frame(c, adding("x-a", "1"))
    for _ in range(4):
        c.wait(c.post(with_newest()))
    one_frame(c, b"\x20" + literal(*h2.request("/bytes")))
    c.post(with_newest())
    check(c.end() == h2.COMPRESSION, c.goaway)


@case
def who_shrinks_the_answers_table_is_told(server):
    """RFC 7541, 4.2: the next block begins with the new size, whoever encodes it."""
    c = Raw(server.port, window=0x7fffffff)
    c.known("/hello", 5)
    check(not any(0x20 <= b[0] < 0x40 for blocks in c.blocks.values() for b in blocks), c.blocks)
    c.send(frame(h2.SETTINGS, 0, 0, struct.pack(">HI", h2.TABLE_SIZE, 0)), *[
        c.head(h2.request("/hello"))[1] for _ in range(3)])
    first = c.next - 6
    for stream in range(first, c.next, 2):
        check(c.wait(stream).status == 200)
    check(c.blocks[first][0][0] == 0x20, c.blocks[first])
    c.close()


@case
def half_a_head_stands_between(server):
    """Nothing may stand between HEADERS and CONTINUATION, known or not."""
    for between in (lambda c: c.head(h2.request("/hello"))[1], lambda c: window(1, 5), lambda c: window(0, 5),
                    lambda c: frame(h2.RST_STREAM, 0, 1, struct.pack(">I", h2.CANCEL)),
                    lambda c: frame(h2.PRIORITY, 0, 1, b"\0\0\0\0\x10")):
        c = Raw(server.port)
        c.known("/hello", 5)
        head = c.post(literal(*h2.request("/bytes")), h2.END_STREAM, ask=False)[1]
        c.send(head, between(c))
        check(c.end() == h2.PROTOCOL, c.goaway)


# --- windows -----------------------------------------------------------------------------------


def exactly(c, size):
    """So many bytes of bodies came, and no more come (an answer to PING may overtake them)."""
    c.until(lambda: c.received >= size)
    c.sync()
    c.sync()
    check(c.received == size, (c.received, size))


@case
def the_connections_window_is_kept(server):
    """What is sent directly counts, whatever nghttp2 thinks of it."""
    c = Raw(server.port)
    before = counts(server)["direct"]
    c.known("/hello")
    streams = list(range(1, 7, 2)) + [c.ask("/hello") for _ in range(67)]
    exactly(c, 65535)
    check(counts(server)["direct"] - before > 40)
    check(sum(c.of(s).ended for s in streams) == 63)
    for more in (1, 10, 1000, 1024, 3000):
        at = c.received
        c.send(window(0, more))
        exactly(c, at + more)
    c.send(window(0, 1 << 20))
    for stream in streams:
        check(c.wait(stream).body == base.PATTERN[:1024])
    # A large body takes turns with many small ones, and all of them keep to the same window.
    large = c.ask("/big?size=2000000")
    c.send(window(large, 2000000))
    allowed = 65535 + 5035 + (1 << 20)
    for _ in range(200):
        c.ask("/hello")
        c.sync()
        check(c.received <= allowed, (c.received, allowed))
        if c.received == allowed:
            c.send(window(0, 50000))
            allowed += 50000
    c.send(window(0, 1 << 22))
    check(len(c.wait(large).body) == 2000000)
    for stream in range(large + 2, c.next, 2):
        check(c.wait(stream).body == base.PATTERN[:1024])
    c.close()


@case
def windows_that_grow_too_far(server):
    """The true window is what counts: up to 2^31 - 1, and not beyond."""
    most = 0x7fffffff
    c = Raw(server.port, window=most)  # the connection's is at its most
    c.known("/hello", 10)
    c.send(window(0, c.received))
    c.sync()
    check(c.get("/hello").status == 200)
    at = c.received
    for part in (100, 24, 900):
        c.send(window(0, part))
    c.sync()
    check(at == 11 * 1024)
    c.send(window(0, 1))
    check(c.end() == h2.FLOW, c.goaway)
    c = Raw(server.port)
    c.known("/hello", 5)
    c.send(window(0, 0))
    check(c.end() == h2.PROTOCOL, c.goaway)


@case
def a_streams_window_is_kept(server):
    c = Raw(server.port, window=1000)
    for _ in range(6):
        at, stream = c.received, c.ask("/hello")
        exactly(c, at + 1000)
        c.send(window(stream, 24))
        check(c.wait(stream).body == base.PATTERN[:1024])
    c.send(frame(h2.SETTINGS, 0, 0, struct.pack(">HI", h2.WINDOW, 0)))
    stream = c.ask("/hello")
    c.until(lambda: c.of(stream).fields is not None)
    c.sync()
    c.sync()
    check(c.of(stream).body == b"" and c.of(stream).status == 200)
    c.close()


# --- streams -----------------------------------------------------------------------------------


@case
def frames_that_come_late(server):
    c = Raw(server.port, window=0x7fffffff)
    c.known("/hello", 5)
    last = c.next - 2
    late = [window(last, 5), frame(h2.RST_STREAM, 0, last, struct.pack(">I", h2.CANCEL)),
            frame(h2.PRIORITY, 0, last, b"\0\0\0\0\x10"),
            frame(h2.PRIORITY_UPDATE, 0, 0, struct.pack(">I", last) + b"u=1"),
            frame(h2.PRIORITY_UPDATE, 0, 0, struct.pack(">I", last) + b"u=1" + b" " * 3000)]
    for one in late:
        c.send(one)
        c.sync()
    for byte in b"".join(late):
        c.send(bytes([byte]))
    c.sync()
    check(c.get("/hello").status == 200 and c.get("/fields").status == 200)
    c.close()
    for bad in (frame(h2.DATA, 0, 9, b"x"), frame(h2.HEADERS, 5, 9, literal(*h2.request("/hello"))),
                frame(h2.HEADERS, 5, 9, literal(*h2.request("/bytes")))):
        c = Raw(server.port)
        c.known("/hello", 5)
        c.send(bad)
        check(c.end() == h2.CLOSED and c.last == 9, (c.goaway, c.last))
    for bad, code in ((frame(h2.WINDOW_UPDATE, 0, 9, b"\0\0\1"), h2.SIZE), (frame(h2.RST_STREAM, 0, 9, b"\0"), h2.SIZE),
                      (frame(h2.PRIORITY, 0, 9, b"\0"), h2.SIZE), (window(11, 1), h2.PROTOCOL),
                      (frame(h2.RST_STREAM, 0, 11, b"\0\0\0\1"), h2.PROTOCOL)):
        c = Raw(server.port)
        c.known("/hello", 5)
        c.send(bad)
        check(c.end() == code and c.last == 9, (c.goaway, c.last, code))


@case
def late_frames_are_chatter(server):
    c = Raw(server.port)
    c.known("/hello", 5)
    try:
        for _ in range(40):
            c.send(frame(h2.RST_STREAM, 0, 9, b"\0\0\0\0") * 200)
    except OSError:
        pass
    check(c.end() in (h2.CALM, None) and c.closed, c.goaway)


@case
def numbers_go_up(server):
    """A known head on a stream that is below another, or even, is refused like any."""
    for number, code in ((7, h2.CLOSED), (12, h2.PROTOCOL), (0, h2.PROTOCOL)):
        c = Raw(server.port)
        c.known("/hello", 5)
        c.send(frame(h2.HEADERS, 5, 21, HELLO))
        check(c.wait(21).status == 200)
        c.send(frame(h2.HEADERS, 5, number, HELLO))
        check(c.end() == code and c.last == 21, (number, c.goaway, c.last))


@case
def many_heads(server):
    """More than there is room for: all answers are right."""
    c = Raw(server.port, window=0x7fffffff)
    for turn in range(4):
        for i in range(60):
            for _ in range(1 + turn):
                body = c.get(f"/fields?n={i}", extra=[("x-n", "y" * (i * 40))]).body
                check(f"n={i}|".encode() in body and b"x-n: " + b"y" * (i * 40) + b"\n" in body[:8000] or i * 40 > 2000,
                      (i, body))
    c.close()


# --- the end -----------------------------------------------------------------------------------


def goodbyes():
    server = base.Server("requests_max=7")
    c = Raw(server.port)
    for _ in range(7):
        check(c.get("/hello").status == 200)
    check(c.end() == h2.NO_ERROR and c.last == 13, (c.goaway, c.last))
    # The server goes: known heads that were on their way are answered, and named.
    c = Raw(server.port)
    c.known("/hello", 4)
    server.process.stdin.write(b"d")
    server.process.stdin.flush()
    c.until(lambda: c.goaway is not None)
    check(c.goaway == h2.NO_ERROR and c.last == 0x7fffffff, c.last)
    check(c.get("/hello").status == 200)
    check(c.end() == h2.NO_ERROR and c.last == 9, c.last)
    server.stop()


def main():
    names = sys.argv[2:]
    failed = 0
    folder = tempfile.mkdtemp()
    pem = base.certificate(folder)
    for args in [()] + ([("cert=" + pem[0], "key=" + pem[1])] if pem is not None else []):
        if args:
            OPTIONS["tls"] = ssl.create_default_context(cafile=pem[0])
            OPTIONS["tls"].set_alpn_protocols(["h2"])
        server = base.Server(*args)
        for run in CASES:
            if not names or run.__name__ in names:
                failed += not base.passes(run, server, " over TLS" if args else "")
            if server.process.poll() is not None:
                print(f"the server ended with {server.process.returncode}", file=sys.stderr)
                return 1
        server.stop()
    OPTIONS.clear()
    if not names or "goodbyes" in names:
        failed += not base.passes(goodbyes)
    shutil.rmtree(folder)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
