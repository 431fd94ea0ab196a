"""HTTP/2 with raw frames: answers, bodies, limits, floods, order.

  test_http2.py HTTP2_SERVER [NAME...]

At the end every exchange that began must be gone, exactly once.  Times are waited for, never asserted.
"""
import json
import os
import shutil
import ssl
import struct
import subprocess
import sys
import tempfile

import http2_lib as h2
from http2_lib import Connection, frame, request

SERVER = sys.argv[1]
CASES = []


def case(function):
    CASES.append(function)
    return function


def check(condition, what="not so"):
    if not condition:
        raise AssertionError(what)


def pattern(size, at=0):
    return bytes(ord("a") + (at + i) % 23 for i in range(size))


PATTERN = pattern(3 << 20)


class Server:
    def __init__(self, *args):
        self.process = subprocess.Popen([SERVER, *args], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE)
        self.port = int(self.process.stdout.readline())

    def stop(self):
        self.process.stdin.close()
        code = self.process.wait(30)
        check(code == 0, f"the server ended with {code}")


def connect(server, **options):
    return Connection(server.port, **options)


def all_gone(server, **options):
    """Exchanges that began and are not gone; waits for those of connections that were closed."""
    c = connect(server, **options)
    for _ in range(200):
        counts = json.loads(c.get("/counts", extra=()).body)
        if counts["begun"] == counts["gone"]:
            break
        c.get("/later?ms=10")
    c.close()
    check(counts["begun"] == counts["gone"], counts)
    return counts


# --- answers -----------------------------------------------------------------------------------


@case
def whole_answers(server):
    c = connect(server, window=0x7fffffff)
    s = c.get("/hello")
    check(s.status == 200 and s.body == PATTERN[:1024] and s["content-length"] == "1024", s.fields)
    check(s["etag"] == '"5b1f-2c9a41"' and s["date"].endswith(" GMT"), s.fields)
    check(c.get("/bytes").body == b"a few bytes\n")
    for size in (0, 1, 16384, 16385, 1000000):
        for path in ("/big", "/file"):
            s = c.get(f"{path}?size={size}")
            check(s.status == 200 and s.body == PATTERN[:size], (path, size, len(s.body)))
            check(s["content-length"] == str(size))
    s = c.get("/nowhere")
    check(s.status == 404 and s.body)
    check(c.settings[h2.STREAMS] == 256 and c.settings[h2.NO_OLD_PRIORITIES] == 1, c.settings)


@case
def heads_without_bodies(server):
    c = connect(server)
    s = c.get("/hello", method="HEAD")
    check(s.status == 200 and s.body == b"" and s["content-length"] == "1024", s.fields)
    s = c.get("/big?size=5000000", method="HEAD")
    check(s.body == b"" and s["content-length"] == "5000000")
    s = c.get("/stream?size=5000000&known=1", method="HEAD")
    check(s.body == b"" and s["content-length"] == "5000000")
    s = c.get("/nothing?status=304")
    check(s.status == 304 and s.body == b"" and s["content-length"] == "77", s.fields)
    s = c.get("/nothing?status=204")
    check(s.status == 204 and s["content-length"] is None)
    s = c.get("/nothing?status=200")
    check(s.status == 200 and s["content-length"] == "0")
    s = c.get("/inform")
    check(s.status == 200 and dict(s.informs[0])[":status"] == "103", s.informs)
    check(dict(s.informs[0])["link"] == "</a.css>; rel=preload")


@case
def streams_of_pieces(server):
    c = connect(server, window=0x7fffffff)
    for size in (0, 1, 16384, 3 << 20):
        s = c.get(f"/stream?size={size}")
        check(s.body == PATTERN[:size] and s["content-length"] is None, (size, len(s.body)))
        s = c.get(f"/stream?size={size}&known=1")
        check(s.body == PATTERN[:size] and s["content-length"] == str(size))
    many = [c.ask("/stream?size=300000") for _ in range(20)]
    for stream in many:
        check(c.wait(stream).body == PATTERN[:300000])
    check(c.get("/abort").reset == h2.INTERNAL)
    check(c.get("/short").reset == h2.INTERNAL)
    s = c.get("/file?size=100000&shorter=1")
    check(s.reset == h2.INTERNAL and not s.ended)
    check(c.get("/later?ms=20").body == b"later\n")
    check(c.get("/bytes").status == 200)


@case
def requests_as_they_were(server):
    c = connect(server)
    cookies = [("cookie", "a=1"), ("x-y", "z"), ("cookie", "b=2"), ("cookie", "c=3")]
    s = c.get("/fields/a%20b/../c?q=%20", extra=[*cookies, ("te", "trailers"), ("priority", "u=1, i")])
    lines = s.body.decode().split("\n")
    check(lines[0] == "GET /fields/a%20b/../c?q=%20|/fields/c|q=%20|localhost|20|u=1,i=1", lines)
    check(sorted(lines[1:4]) == ["cookie: a=1; b=2; c=3", "priority: u=1, i", "x-y: z"], lines)
    fields = [f for f in request("/fields") if f[0] != ":authority"]
    stream, head = c.head([*fields, ("host", "there")])
    c.send(head)
    check(b"|there|" in c.wait(stream).body)
    stream, head = c.head([*request("/fields"), ("host", "localhost")])
    c.send(head)
    check(c.wait(stream).status == 200)
    stream, head = c.head([*request("/fields"), ("host", "elsewhere")])
    c.send(head)
    check(c.wait(stream).status == 400)
    check(c.get("/hello", method="BREW").status == 501)
    check(c.get("/hello", method="DELETE").status == 405)
    check(c.get("*", method="OPTIONS").status == 204)
    check(c.get("*").over)
    check(c.get("/%zz").status == 400)
    check(c.get("/../etc").status == 400)


@case
def malformed_requests_are_reset(server):
    base = request("/bytes")
    without = lambda name: [f for f in base if f[0] != name]
    bad = [
        without(":method"), without(":path"), without(":scheme"), [*base, (":path", "/x")],
        [*base, (":status", "200")], [*base, (":unknown", "x")],
        [("x", "y"), *base], [*base, ("X-Upper", "y")], [*base, ("connection", "close")],
        [*base, ("keep-alive", "1")], [*base, ("proxy-connection", "1")],
        [*base, ("transfer-encoding", "chunked")], [*base, ("upgrade", "h2c")],
        [*base, ("te", "gzip")], [*base, ("a b", "c")], [*base, ("x", "a\nb")],
        [*base, ("x", "a\rb")], [*base, ("x", "a\0b")], [*base, ("", "x")],
        [*base, ("content-length", "5x")], [*base, ("content-length", "-1")],
        [*base, ("content-length", "5"), ("content-length", "6")], [*base, ("content-length", "5")],
        [*without(":path"), (":path", "")], [*without(":path"), (":path", "bytes")],
        [*without(":path"), (":path", "*")], [*base, (":path ", "x")],
    ]
    c = connect(server)
    for fields in bad:
        stream, head = c.head(fields)
        c.send(head)
        s = c.wait(stream)
        check(s.reset == h2.PROTOCOL and s.fields is None, (fields, s.status, s.reset))
    check(c.get("/bytes").status == 200)


# --- bodies ------------------------------------------------------------------------------------


@case
def bodies_that_come(server):
    c = connect(server, window=0x7fffffff)
    for size in (0, 1, 16384, 100000):
        check(c.get("/count", method="POST", body=PATTERN[:size]).body == str(size).encode())
        s = c.get("/echo", method="POST", body=PATTERN[:size], extra=[("content-length", str(size))])
        check(s.body == PATTERN[:size] and s["content-length"] == str(size), (size, s.fields))
    # Trailers, and padding, which counts for the windows.
    stream, head = c.head(request("/count", "POST"), end=False)
    c.send(head, frame(h2.DATA, h2.PADDED, stream, b"\x05abc\0\0\0\0\0"),
           frame(h2.HEADERS, h2.END_HEADERS | h2.END_STREAM, stream, h2.block([("x-sum", "1")])))
    check(c.wait(stream).body == b"3")
    # More, or less, than was said.
    for said in (4, 6):
        s = c.get("/count", method="POST", body=b"abcde", extra=[("content-length", str(said))])
        check(s.reset == h2.PROTOCOL, s.status)
    # A route that takes no body, or a small one.
    check(c.get("/small", method="POST", body=b"abcdefghij").body == b"10")
    check(c.get("/small", method="POST", body=b"abcdefghijk").status == 413)
    s = c.get("/small", method="POST", body=None, extra=[("content-length", "11")])
    check(s.reset == h2.PROTOCOL)


@case
def large_bodies_are_stopped(server):
    """An answer to a large request does not wait for it; the rest is asked not to come."""
    c = connect(server)
    stream, head = c.head([*request("/small", "POST"), ("content-length", "1000000000")], end=False)
    c.send(head)
    c.until(lambda: c.of(stream).reset is not None)
    check(c.of(stream).status == 413 and c.of(stream).ended)
    check(c.of(stream).reset == h2.NO_ERROR)
    c.send(frame(h2.DATA, 0, stream, b"late"))  # was on its way
    check(c.get("/bytes").status == 200)
    # Neither for ever for a small one that does not come.
    stream, head = c.head([*request("/small", "POST"), ("content-length", "1000")], end=False)
    c.send(head)
    check(c.wait(stream).status == 413)
    stream, head = c.head([*request("/count", "POST"), ("expect", "100-continue")], end=False)
    c.send(head)
    c.until(lambda: c.of(stream).informs)
    check(dict(c.of(stream).informs[0])[":status"] == "100")
    c.put(stream, b"abc")
    check(c.wait(stream).body == b"3")


@case
def who_pauses_stops_the_client(server):
    c = connect(server)
    stream, head = c.head(request("/pause?ms=100", "POST"), end=False)
    window = c.settings.get(h2.WINDOW, 65535)
    c.send(head)
    c.until(lambda: h2.WINDOW in c.settings and 0 in c.updates)
    window = c.settings[h2.WINDOW]
    c.put(stream, PATTERN[:window], end=False)
    c.sync()
    check(c.updates.get(stream, 0) <= 16384, "the window was given back while nobody read")
    c.until(lambda: c.updates.get(stream, 0) >= window // 2)
    c.put(stream, PATTERN[window:window + 1000])
    check(c.wait(stream).body == str(window + 1000).encode())


@case
def echo_with_small_windows(server):
    """Both directions at once, each stopped by the other's windows."""
    c = connect(server, window=1000)
    body, sent = PATTERN[:600000], 0
    stream, head = c.head(request("/echo", "POST"), end=False)
    c.send(head)
    c.until(lambda: h2.WINDOW in c.settings and 0 in c.updates)
    start = c.settings[h2.WINDOW]
    given = 0
    while not c.of(stream).over:
        room = min(start + c.updates.get(stream, 0), 65535 + c.updates.get(0, 0)) - sent
        part = body[sent:sent + min(room, 16384)]
        if part:
            sent += len(part)
            c.send(frame(h2.DATA, h2.END_STREAM if sent == len(body) else 0, stream, part))
            continue
        got = len(c.of(stream).body)
        if got + 1000 > given:
            more = struct.pack(">I", 30000)
            c.send(frame(h2.WINDOW_UPDATE, 0, stream, more), frame(h2.WINDOW_UPDATE, 0, 0, more))
            given += 30000
        if not c.read():
            break
    check(c.of(stream).body == body, len(c.of(stream).body))


# --- what goes wrong ---------------------------------------------------------------------------


@case
def clients_that_leave(server):
    for path in ("/never", "/later?ms=50", "/stream?size=100000000", "/big?size=10000000"):
        c = connect(server)
        streams = [c.ask(path) for _ in range(5)]
        c.sync()
        c.send(frame(h2.RST_STREAM, 0, streams[0], struct.pack(">I", h2.CANCEL)))
        c.sync()
        c.close()
    c = connect(server)
    stream, head = c.head(request("/count", "POST"), end=False)
    c.send(head, frame(h2.DATA, 0, stream, b"abc"))
    c.sync()
    c.close()
    counts = all_gone(server)
    check(counts["begun"] > 10, counts)


@case
def broken_frames(server):
    """Each is the end of its connection, with the code that it deserves."""
    ping = frame(h2.PING, 0, 0, b"12345678")
    _, get = Connection.head(type("c", (), {"next": 1})(), request("/bytes"))
    cases = [
        (frame(h2.PING, 0, 0, b"1234567"), h2.SIZE),
        (frame(h2.PING, 0, 1, b"12345678"), h2.PROTOCOL),
        (frame(h2.SETTINGS, 0, 0, b"12345"), h2.SIZE),
        (frame(h2.SETTINGS, h2.ACK, 0, b"123456"), h2.SIZE),
        (frame(h2.SETTINGS, 0, 0, struct.pack(">HI", h2.WINDOW, 1 << 31)), h2.FLOW),
        (frame(h2.SETTINGS, 0, 0, struct.pack(">HI", h2.FRAME_SIZE, 1)), h2.PROTOCOL),
        (frame(h2.DATA, 0, 0, b"x"), h2.PROTOCOL),
        (frame(h2.DATA, 0, 1, b"x"), h2.PROTOCOL),
        (frame(h2.HEADERS, 5, 0, h2.block(request())), h2.PROTOCOL),
        (frame(h2.HEADERS, 5, 2, h2.block(request())), h2.PROTOCOL),
        (frame(h2.HEADERS, 5, 1, b"\xff\xff\xff\xff\xff\xff"), h2.COMPRESSION),
        (frame(h2.HEADERS, 5, 1, b"\xc8"), h2.COMPRESSION),
        (frame(h2.HEADERS, 13, 1, b"\x09abc"), h2.PROTOCOL),
        (frame(h2.HEADERS, 1, 1, h2.block(request())) + ping, h2.PROTOCOL),
        (frame(h2.CONTINUATION, 4, 1, b""), h2.PROTOCOL),
        (frame(h2.PUSH, 4, 1, b"\0\0\0\2"), h2.PROTOCOL),
        (frame(h2.RST_STREAM, 0, 1, b"\0\0\0\0"), h2.PROTOCOL),
        (frame(h2.RST_STREAM, 0, 0, b"\0\0\0\0"), h2.PROTOCOL),
        (frame(h2.WINDOW_UPDATE, 0, 0, b"\0\0\0\0"), h2.PROTOCOL),
        (frame(h2.WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff"), h2.FLOW),
        (frame(h2.WINDOW_UPDATE, 0, 1, b"\0\0\0\1"), h2.PROTOCOL),
        (frame(h2.PRIORITY, 0, 0, b"\0\0\0\1\0"), h2.PROTOCOL),
        (frame(h2.PRIORITY, 0, 3, b"\0\0\0\3\0"), h2.PROTOCOL),
        (frame(h2.PRIORITY, 0, 3, b"\0\0\0\1"), h2.SIZE),
        (frame(h2.PRIORITY_UPDATE, 0, 0, b"\0\0\0\0u=1"), h2.PROTOCOL),
        (frame(99, 0, 0, b"x" * 16385), h2.SIZE),
        (get + get, h2.CLOSED),
        (get + ping + frame(h2.DATA, 1, 1, b"x"), h2.CLOSED),
    ]
    for bytes_, code in cases:
        c = connect(server)
        c.send(bytes_)
        try:
            got = c.end()
        except TimeoutError:
            got = "nothing"
        check(got == code, (bytes_[:40], got, code))
    c = connect(server, start=False)
    c.send(h2.PREFACE, ping)
    check(c.end() == h2.PROTOCOL)
    c = connect(server, start=False)
    c.send(h2.PREFACE[:20] + b"XX\r\n", ping)
    check(c.end() in (None, h2.PROTOCOL))
    c = connect(server)
    c.send(frame(99, 255, 7, b"unknown"), frame(h2.PRIORITY, 0, 9, b"\0\0\0\1\0"))
    check(c.get("/bytes").status == 200)


@case
def any_cut(server):
    """The same frames, byte by byte and in pieces that fit nowhere."""
    for step in (1, 7, 13, 1000):
        c = connect(server, start=False)
        data = h2.PREFACE + frame(h2.SETTINGS) + frame(h2.PRIORITY, 0, 9, b"\0\0\0\1\0")
        for _ in range(3):
            stream, head = c.head(request("/count", "POST"), end=False)
            data += head + frame(h2.DATA, 0, stream, b"abcde") + frame(h2.DATA, 1, stream, b"fgh")
        for at in range(0, len(data), step):
            c.socket.sendall(data[at:at + step])
        for stream in (1, 3, 5):
            check(c.wait(stream).body == b"8", step)
        c.close()


# --- limits and floods -------------------------------------------------------------------------


@case
def heads_are_bounded(server):
    c = connect(server)
    s = c.get("/bytes", extra=[(f"x-{i}", "y") for i in range(95)])
    check(s.status == 200)
    s = c.get("/bytes", extra=[(f"x-{i}", "y") for i in range(101)])
    check(s.status == 431, s.status)
    check(c.get("/bytes", extra=[("x", "y" * 15000)]).status == 200)
    # In CONTINUATION frames, up to what a head may have; then an error; far beyond, a reset.
    for size, good in ((50000, True), (70000, False), (100000, False)):
        payload = h2.block([*request("/bytes"), *[(f"x-{i}", "y" * 9990) for i in range(size // 10000)]])
        parts = [payload[at:at + 16384] for at in range(0, len(payload), 16384)]
        stream = c.next
        c.next += 2
        c.send(frame(h2.HEADERS, 1, stream, parts[0]),
               *[frame(h2.CONTINUATION, 4 if i == len(parts) - 2 else 0, stream, p)
                 for i, p in enumerate(parts[1:])])
        s = c.wait(stream)
        check(s.status == (200 if good else 431), (size, s.status, s.reset))


@case
def compression_bombs(server):
    """A table's entry of 4 KB, named again and again: 64 MB of fields in 16 KB."""
    c = connect(server)
    name = b"\x40" + h2.number(1, 7) + b"x" + h2.number(4000, 7) + b"y" * 4000
    stream = c.next
    c.next += 2
    c.send(frame(h2.HEADERS, 5, stream, h2.block(request("/bytes")) + name + b"\xbe" * 12000))
    s = c.wait(stream)
    check(s.status == 431 or s.reset is not None, s.fields)
    check(c.get("/bytes").status == 200)


def flood(server, data, times, code=h2.CALM, prepare=None):
    c = connect(server)
    if prepare is not None:
        prepare(c)
    try:
        for _ in range(times):
            c.send(data)
        c.sync()
    except TimeoutError:
        raise
    except OSError:
        pass
    got = c.goaway if c.closed else c.end()
    check(c.closed and got in (code, None), ("flood", data[:20], got))
    c.close()


@case
def floods(server):
    ping = frame(h2.PING, 0, 0, b"12345678")
    for data in (ping, frame(h2.SETTINGS), frame(h2.SETTINGS, 0, 0, struct.pack(">HI", 3, 9)),
                 frame(h2.PRIORITY, 0, 9, b"\0\0\0\1\0"), frame(77, 0, 0, b""),
                 frame(h2.PRIORITY_UPDATE, 0, 0, b"\0\0\0\5u=1"),
                 frame(h2.WINDOW_UPDATE, 0, 0, b"\0\0\0\1"), frame(h2.PING, h2.ACK, 0, b"12345678")):
        flood(server, data * 100, 200)

    def post(c):
        c.send(c.head(request("/count", "POST"), end=False)[1])
    flood(server, frame(h2.DATA, 0, 1, b"") * 100, 200, prepare=post)


@case
def rapid_resets(server):
    c = connect(server)
    try:
        for _ in range(50):
            data = b""
            for _ in range(100):
                stream, head = c.head(request("/never"))
                data += head + frame(h2.RST_STREAM, 0, stream, struct.pack(">I", h2.CANCEL))
            c.send(data)
        c.sync()
    except TimeoutError:
        raise
    except OSError:
        pass
    if not c.closed:
        c.end()
    c.close()
    all_gone(server)


@case
def continuation_floods(server):
    c = connect(server)
    try:
        c.send(frame(h2.HEADERS, 1, 1, h2.block(request("/bytes"))))
        for _ in range(200):
            c.send(frame(h2.CONTINUATION, 0, 1, h2.block([("x", "y" * 1000)])))
        c.end()
    except TimeoutError:
        raise
    except OSError:
        c.closed = True
    check(c.closed)


@case
def streams_are_bounded(server):
    c = connect(server)
    c.until(lambda: c.settings)
    c.sync()
    streams = [c.ask("/never") for _ in range(256)]
    refused = c.ask("/bytes")
    s = c.of(refused)
    c.until(lambda: s.over or c.goaway is not None)
    check(s.reset == h2.REFUSED or c.goaway == h2.PROTOCOL, (s.reset, c.goaway))
    c.close()
    c = connect(server)
    for _ in range(20):
        many = [c.ask("/bytes") for _ in range(200)]
        for stream in many:
            check(c.wait(stream).status == 200)
    del streams
    c.close()
    all_gone(server)


@case
def the_next_handshake_is_short(server):
    c = connect(server)
    c.get("/bytes")
    session = getattr(c.socket, "session", None)
    if session is not None:
        check(c.socket.selected_alpn_protocol() == "h2" and not c.socket.session_reused)
        c.close()
        c = connect(server, session=session)
        check(c.get("/bytes").status == 200 and c.socket.session_reused)
    c.close()


# --- order -------------------------------------------------------------------------------------


def first_data(c, before):
    c.until(lambda: len(c.order) > before)
    return c.order[before]


@case
def urgent_answers_overtake(server):
    """While the connection's window is shut, the order is not decided; then the urgent is first."""
    def with_shut_window():
        c = connect(server, settings=[(h2.WINDOW, 1 << 20)])
        c.until(lambda: c.settings)
        filler = c.ask("/lazy")
        c.until(lambda: len(c.of(filler).body) >= 65535)
        return c

    opens = frame(h2.WINDOW_UPDATE, 0, 0, struct.pack(">I", 1 << 20))
    c = with_shut_window()
    lazy, urgent = c.ask("/lazy"), c.ask("/urgent")
    c.sync()
    before = len(c.order)
    c.send(opens)
    check(first_data(c, before) == urgent, "the route's default does not count")
    c.wait(lazy)
    c = with_shut_window()
    late, first = c.ask("/hello", extra=[("priority", "u=5")]), c.ask("/hello", extra=[("priority", "u=1")])
    c.sync()
    before = len(c.order)
    c.send(opens)
    check(first_data(c, before) == first, "the client's field does not count")
    c.wait(late)
    c = with_shut_window()
    one, two = c.ask("/lazy"), c.ask("/lazy")
    c.send(frame(h2.PRIORITY_UPDATE, 0, 0, struct.pack(">I", two) + b"u=2"))
    c.sync()
    before = len(c.order)
    c.send(opens)
    check(first_data(c, before) == two, "PRIORITY_UPDATE does not count")
    c.wait(one)
    # Incremental ones take turns, others do not.
    for field, turns in (("u=3, i", True), ("u=3", False)):
        c = with_shut_window()
        one, two = [c.ask("/big?size=200000", extra=[("priority", field)]) for _ in range(2)]
        c.sync()
        before = len(c.order)
        c.send(opens, frame(h2.WINDOW_UPDATE, 0, one, struct.pack(">I", 1 << 20)),
               frame(h2.WINDOW_UPDATE, 0, two, struct.pack(">I", 1 << 20)))
        c.wait(one)
        c.wait(two)
        order = c.order[before:]
        changes = sum(a != b for a, b in zip(order, order[1:]))
        check((changes > 5) == turns, (field, order))


# --- time, and the end: servers of their own ---------------------------------------------------


def certificate(folder, name="cert"):
    """A self-signed one; its files, or None."""
    pem = [os.path.join(folder, f) for f in ("cert.pem", "key.pem")]
    made = shutil.which("openssl") and subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "2", "-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:localhost",
         "-out", pem[0], "-keyout", pem[1]], capture_output=True, check=False).returncode == 0
    return pem if made else None


def time_limits():
    server = Server("head_ms=500", "body_ms=1000", "write_ms=1000", "idle_ms=1500")
    head, body, shut, reader, idle = [Connection(server.port) for _ in range(5)]
    head.send(frame(h2.HEADERS, 0, 1, h2.block(request("/bytes"))))  # no END_HEADERS
    body.send(body.head(request("/count", "POST"), end=False)[1])
    shut.ask("/big?size=1000000")  # more than its window, which stays shut
    reader.send(frame(h2.SETTINGS, 0, 0, struct.pack(">HI", h2.WINDOW, 0x7fffffff)),
                frame(h2.WINDOW_UPDATE, 0, 0, struct.pack(">I", 0x7fff0000)))
    reader.ask("/stream?size=100000000")  # and is not read
    check(head.end() is None or head.closed)
    check(body.wait(1).status == 408, body.of(1).status)
    check(shut.end() is None and len(shut.of(1).body) == 65535)
    check(idle.end() == h2.NO_ERROR)
    alive = Connection(server.port)
    check(alive.get("/bytes").status == 200)
    try:
        while reader.read():
            pass
    except OSError:
        pass
    check(len(reader.of(1).body) < 100000000)
    alive.close()
    all_gone(server)
    server.stop()


def goodbyes():
    server = Server("requests_max=3", "streams_max=10")
    c = Connection(server.port)
    for _ in range(3):
        check(c.get("/bytes").status == 200)
    check(c.end() == h2.NO_ERROR and c.last == 5, (c.goaway, c.last))
    check(c.settings[h2.STREAMS] == 10)
    # The server goes: what was asked is answered, also what was on its way.
    c, quiet = Connection(server.port), Connection(server.port)
    first = c.ask("/later?ms=400")
    c.sync()
    server.process.stdin.write(b"d")
    server.process.stdin.flush()
    c.until(lambda: c.goaway is not None)
    check(c.goaway == h2.NO_ERROR and c.last == 0x7fffffff, c.last)
    second = c.ask("/bytes")
    check(c.wait(second).status == 200 and c.wait(first).body == b"later\n")
    check(c.end() == h2.NO_ERROR and c.last == second, c.last)
    check(quiet.end() == h2.NO_ERROR)
    server.stop()


def reload_of_the_certificate():
    with tempfile.TemporaryDirectory() as folder:
        pem = certificate(folder, "one")
        if pem is None:
            return
        server = Server("cert=" + pem[0], "key=" + pem[1])

        def name(conn):
            return dict(x[0] for x in conn.socket.getpeercert()["subject"])["commonName"]

        def dial():
            tls = ssl.create_default_context(cafile=pem[0])
            tls.set_alpn_protocols(["h2"])
            return Connection(server.port, tls=tls)

        old = dial()
        check(name(old) == "one")
        certificate(folder, "two")
        server.process.stdin.write(b"r")
        server.process.stdin.flush()
        for _ in range(100):
            try:
                new = dial()
                break
            except ssl.SSLError:  # still the old one, which is not trusted any more
                continue
        check(name(new) == "two" and new.get("/bytes").status == 200)
        check(old.get("/bytes").status == 200)
        server.stop()


ALONE = [time_limits, goodbyes, reload_of_the_certificate]


def main():
    names = sys.argv[2:]
    failed = 0
    folder = tempfile.mkdtemp()
    pem = certificate(folder)
    runs = [()] + ([("cert=" + pem[0], "key=" + pem[1])] if pem is not None else [])
    global connect
    for args in runs:
        options = {}
        if args:
            tls = ssl.create_default_context(cafile=pem[0])
            tls.set_alpn_protocols(["h2", "http/1.1"])
            options["tls"] = tls
        connect = lambda s, **more: Connection(s.port, **{**options, **more})
        server = Server(*args)
        for run in CASES:
            if not names or run.__name__ in names:
                failed += not passes(run, server, " over TLS" if args else "")
            if server.process.poll() is not None:
                print(f"the server ended with {server.process.returncode}", file=sys.stderr)
                break
        if server.process.poll() is None:
            failed += not passes(all_gone, server)
            server.stop()
    connect = lambda s, **more: Connection(s.port, **more)
    for run in ALONE:
        if not names or run.__name__ in names:
            failed += not passes(run)
    shutil.rmtree(folder)
    return 1 if failed else 0


def passes(run, server=None, how=""):
    try:
        if server is not None:
            run(server)
        else:
            run()
        print(f"ok {run.__name__}{how}")
        return True
    except (AssertionError, OSError, KeyError, TypeError) as error:
        print(f"FAILED {run.__name__}{how}: {type(error).__name__}: {error}", file=sys.stderr)
        return False


if __name__ == "__main__":
    sys.exit(main())
