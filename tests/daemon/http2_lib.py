"""Frames of HTTP/2 over a socket, one by one, right or wrong as the test wants them.

Heads are sent as literals (RFC 7541, 6.2.2); what comes is decoded with tables and Huffman's code.
"""
import socket
import struct

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
PRIORITY_UPDATE = 16
END_STREAM, END_HEADERS, PADDED, PRIORITISED, ACK = 1, 4, 8, 32, 1
NO_ERROR, PROTOCOL, INTERNAL, FLOW, TIMEOUT, CLOSED, SIZE, REFUSED, CANCEL, COMPRESSION, CONNECT, CALM = range(12)
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
TABLE_SIZE, PUSH_ON, STREAMS, WINDOW, FRAME_SIZE, HEAD_SIZE = range(1, 7)
NO_OLD_PRIORITIES = 9

STATIC = [
    (":authority", ""), (":method", "GET"), (":method", "POST"), (":path", "/"),
    (":path", "/index.html"), (":scheme", "http"), (":scheme", "https"), (":status", "200"),
    (":status", "204"), (":status", "206"), (":status", "304"), (":status", "400"),
    (":status", "404"), (":status", "500"), ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"), ("accept-language", ""), ("accept-ranges", ""),
    ("accept", ""), ("access-control-allow-origin", ""), ("age", ""), ("allow", ""),
    ("authorization", ""), ("cache-control", ""), ("content-disposition", ""),
    ("content-encoding", ""), ("content-language", ""), ("content-length", ""),
    ("content-location", ""), ("content-range", ""), ("content-type", ""), ("cookie", ""),
    ("date", ""), ("etag", ""), ("expect", ""), ("expires", ""), ("from", ""), ("host", ""),
    ("if-match", ""), ("if-modified-since", ""), ("if-none-match", ""), ("if-range", ""),
    ("if-unmodified-since", ""), ("last-modified", ""), ("link", ""), ("location", ""),
    ("max-forwards", ""), ("proxy-authenticate", ""), ("proxy-authorization", ""), ("range", ""),
    ("referer", ""), ("refresh", ""), ("retry-after", ""), ("server", ""), ("set-cookie", ""),
    ("strict-transport-security", ""), ("transfer-encoding", ""), ("user-agent", ""),
    ("vary", ""), ("via", ""), ("www-authenticate", "")]

# How many bits each symbol has, 'A' is 5; the code is canonical (RFC 7541, appendix B).
BITS = ("ISXXXXXXXTZXXZXXXXXXXXZXXXXXXXXXBFFHIBDGFFDGDBBBAAABBBBBBBCDKBHFIBCCCCCCCCCCCCCCCCCCCCCCDCDIOIJB"
        "KABABABBBACCBBBABCBAABCCCCCKGJIXPRPPRRRSRSSSSSTSTTRSTSSSSQRSRSSTRQPRRSSQSRRTQRSSQQRQSRSSPRRRSRRSVVPO"
        "RSRUVVVWWVTUOQVWWVWTQQVVXWWWPTPQRQQSRRUUTTVSVWVVWWWWWXWWWWWVZ")


def huffman_table():
    table, code, before = {}, 0, 0
    for bits, symbol in sorted((ord(c) - ord("A") + 5, i) for i, c in enumerate(BITS)):
        code <<= bits - before
        before = bits
        table[bits, code] = symbol
        code += 1
    return table


HUFFMAN = huffman_table()


def unhuffman(data):
    out, code, bits = bytearray(), 0, 0
    for byte in data:
        for shift in range(7, -1, -1):
            code = code << 1 | (byte >> shift & 1)
            bits += 1
            if (bits, code) in HUFFMAN:
                out.append(HUFFMAN[bits, code])
                code, bits = 0, 0
    return bytes(out)


class Decoder:
    def __init__(self):
        self.dynamic = []

    def entry(self, index):
        return STATIC[index - 1] if index <= 61 else self.dynamic[index - 62]

    @staticmethod
    def number(data, at, bits):
        mask = (1 << bits) - 1
        value = data[at] & mask
        at += 1
        if value == mask:
            shift = 0
            while True:
                value += (data[at] & 127) << shift
                shift += 7
                at += 1
                if data[at - 1] < 128:
                    break
        return value, at

    def text(self, data, at):
        huffman = data[at] & 128
        size, at = self.number(data, at, 7)
        raw = data[at:at + size]
        return (unhuffman(raw) if huffman else raw).decode("latin-1"), at + size

    def block(self, data):
        fields, at = [], 0
        while at < len(data):
            byte = data[at]
            if byte & 128:
                index, at = self.number(data, at, 7)
                fields.append(self.entry(index))
                continue
            if byte & 0xe0 == 0x20:
                _, at = self.number(data, at, 5)
                continue
            keep = byte & 64
            index, at = self.number(data, at, 6 if keep else 4)
            name = self.entry(index)[0] if index else None
            if name is None:
                name, at = self.text(data, at)
            value, at = self.text(data, at)
            fields.append((name, value))
            if keep:
                self.dynamic.insert(0, (name, value))
        return fields


def number(value, bits, first=0):
    mask = (1 << bits) - 1
    if value < mask:
        return bytes([first | value])
    out = bytearray([first | mask])
    value -= mask
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def block(fields):
    out = b""
    for name, value in fields:
        name, value = [t if isinstance(t, bytes) else t.encode("latin-1") for t in (name, value)]
        out += b"\x00" + number(len(name), 7) + name + number(len(value), 7) + value
    return out


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def request(path="/", method="GET", extra=(), scheme="http", authority="localhost"):
    return [(":method", method), (":scheme", scheme), (":path", path), (":authority", authority), *extra]


class Stream:
    def __init__(self):
        self.informs = []
        self.fields = None
        self.body = b""
        self.ended = False
        self.reset = None

    @property
    def status(self):
        return int(dict(self.fields)[":status"]) if self.fields is not None else None

    def __getitem__(self, name):
        return dict(self.fields).get(name)

    @property
    def over(self):
        return self.ended or self.reset is not None


class Connection:
    """`window` is what the server may send of a stream before it is given more; 0x7fffffff for all.
    `receive` is how much the kernel takes for us before it is read."""

    def __init__(self, port, settings=(), tls=None, start=True, timeout=20.0, window=None,
                 session=None, receive=None):
        self.socket = socket.socket()
        self.socket.settimeout(timeout)
        if receive is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
        self.socket.connect(("127.0.0.1", port))
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_hostname="localhost", session=session)
        self.buffer = b""
        self.decoder = Decoder()
        self.streams = {}
        self.order = []  # stream of each DATA frame
        self.goaway = None
        self.last = None  # stream that GOAWAY names
        self.closed = False
        self.acks = 0
        self.pings = []
        self.settings = {}
        self.updates = {}
        self.next = 1
        self.partial = None
        if start:
            settings = list(settings)
            if window is not None:
                settings.append((WINDOW, window))
            self.send(PREFACE, frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", *s) for s in settings)))
            if window is not None and window > 65535:
                self.send(frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 0x7fffffff - 65535)))

    def close(self):
        self.socket.close()

    def send(self, *frames):
        self.socket.sendall(b"".join(frames))

    def head(self, fields, stream=None, end=True, flags=END_HEADERS):
        """The frame of a request's head, and its stream."""
        if stream is None:
            stream = self.next
            self.next += 2
        return stream, frame(HEADERS, flags | (END_STREAM if end else 0), stream, block(fields))

    def ask(self, path="/", method="GET", extra=(), body=None, **more):
        stream, head = self.head(request(path, method, extra, **more), end=body is None)
        self.send(head)
        if body is not None:
            self.put(stream, body)
        return stream

    def put(self, stream, body, end=True, size=16384):
        for at in range(0, max(len(body), 1), size):
            part = body[at:at + size]
            last = end and at + size >= len(body)
            self.send(frame(DATA, END_STREAM if last else 0, stream, part))

    def of(self, stream):
        return self.streams.setdefault(stream, Stream())

    def read(self):
        """One frame; False when the connection is closed."""
        while True:
            if len(self.buffer) >= 9:
                size = int.from_bytes(self.buffer[:3], "big")
                if len(self.buffer) >= 9 + size:
                    break
            try:
                data = self.socket.recv(1 << 18)
            except TimeoutError:
                raise
            except OSError:  # reset, or TLS cut short
                data = b""
            if not data:
                self.closed = True
                return False
            self.buffer += data
        kind, flags = self.buffer[3], self.buffer[4]
        stream = int.from_bytes(self.buffer[5:9], "big")
        payload = self.buffer[9:9 + size]
        self.buffer = self.buffer[9 + size:]
        self.note(kind, flags, stream, payload)
        return True

    def note(self, kind, flags, stream, payload):
        if kind == HEADERS or kind == CONTINUATION:
            self.partial = (self.partial or b"") + payload
            self.headers_end = flags & END_STREAM if kind == HEADERS else self.headers_end
            if flags & END_HEADERS:
                fields = self.decoder.block(self.partial)
                self.partial = None
                s = self.of(stream)
                if dict(fields)[":status"].startswith("1"):
                    s.informs.append(fields)
                else:
                    s.fields = fields
                s.ended |= bool(self.headers_end)
        elif kind == DATA:
            s = self.of(stream)
            s.body += payload
            s.ended |= bool(flags & END_STREAM)
            self.order.append(stream)
        elif kind == RST_STREAM:
            self.of(stream).reset = int.from_bytes(payload, "big")
        elif kind == GOAWAY:
            self.last, self.goaway = struct.unpack(">II", payload[:8])
        elif kind == SETTINGS and flags & ACK:
            self.acks += 1
        elif kind == SETTINGS:
            for at in range(0, len(payload), 6):
                key, value = struct.unpack(">HI", payload[at:at + 6])
                self.settings[key] = value
            try:
                self.send(frame(SETTINGS, ACK))
            except OSError:
                pass  # it is seen when the rest is read
        elif kind == PING:
            self.pings.append((flags, payload))
        elif kind == WINDOW_UPDATE:
            self.updates[stream] = self.updates.get(stream, 0) + int.from_bytes(payload, "big")

    def until(self, condition):
        """Read until it holds; an error when the connection closes before."""
        while not condition():
            if not self.read():
                raise ConnectionError(f"closed; GOAWAY {self.goaway}")

    def wait(self, stream):
        """The answer, whole or reset."""
        self.until(lambda: self.of(stream).over)
        return self.streams[stream]

    def get(self, path, **more):
        return self.wait(self.ask(path, **more))

    def sync(self, mark=b"syncsync"):
        """All that was sent before is worked on."""
        self.send(frame(PING, 0, 0, mark))
        self.until(lambda: (ACK, mark) in self.pings)
        self.pings.remove((ACK, mark))

    def end(self):
        """Read to the end of the connection; the code of GOAWAY."""
        while self.read():
            pass
        return self.goaway
