"""HTTP/1.1 over sockets: carriers, routes, what handlers may do.

  test_http.py HTTP_TEST_SERVER [NAME...]

Every case starts a server of its own; times are waited for, never asserted.
"""
import contextlib
import os
import re
import select
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import time

from cases import case, check, run
from serve_lib import wait_until

SERVER = sys.argv[1]
FILE = bytes(i % 251 for i in range(3000000))


class Answer:
    def __init__(self, status, fields, body):
        self.status = status
        self.fields = fields
        self.body = body

    def __getitem__(self, name):
        return self.fields.get(name)


class Connection:
    def __init__(self, port, timeout=30.0, tls=None):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout)
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_hostname="localhost")
        self.buffer = b""

    def send(self, data):
        self.socket.sendall(data if isinstance(data, bytes) else data.encode("latin-1"))

    def fill(self):
        data = self.socket.recv(1 << 20)
        if not data:
            raise ConnectionError("closed")
        self.buffer += data

    def line(self):
        while b"\r\n" not in self.buffer:
            self.fill()
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        check(b"\n" not in line and b"\r" not in line, f"a line is not clean: {line!r}")
        return line.decode("latin-1")

    def bytes(self, count):
        while len(self.buffer) < count:
            self.fill()
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    def rest(self):
        with contextlib.suppress(ConnectionError):
            while True:
                self.fill()
        data, self.buffer = self.buffer, b""
        return data

    def head(self):
        words = self.line().split(" ", 2)
        check(words[0] == "HTTP/1.1", words)
        fields = {}
        while (line := self.line()) != "":
            name, value = line.split(": ", 1)
            check(name == name.lower() and name not in fields, line)
            fields[name] = value
        return int(words[1]), fields

    def read(self, method="GET"):
        status, fields = self.head()
        body = b""
        if method == "HEAD" or status in (204, 304) or status < 200:
            pass
        elif fields.get("transfer-encoding") == "chunked":
            while (size := int(self.line(), 16)) > 0:
                body += self.bytes(size)
                check(self.line() == "", "a chunk is longer than it said")
            check(self.line() == "", "trailers")
        elif "content-length" in fields:
            body = self.bytes(int(fields["content-length"]))
        else:
            body = self.rest()
        return Answer(status, fields, body)

    def ask(self, method, target, body=None, fields=(), host="test"):
        lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", *fields]
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        self.send("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (body or b""))
        return self.read(method)

    def is_closed(self):
        try:
            return not self.buffer and self.socket.recv(1) == b""
        except ConnectionError:
            return True

    def close(self):
        self.socket.close()


class Serving:
    def __init__(self, *args):
        self.process = subprocess.Popen([SERVER, *args], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        line = self.process.stdout.readline().decode()
        if not line.startswith("ready "):
            self.process.wait()
            raise RuntimeError(f"not ready: {line}{self.process.stderr.read().decode()}")
        self.port = int(line.split()[1])

    def connect(self, timeout=30.0, tls=None):
        return Connection(self.port, timeout, tls)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.process.stdin.close()
        code = self.process.wait(60)
        words = self.process.stderr.read().decode()
        self.process.stdout.close()
        self.process.stderr.close()
        if kind is None:
            check(code == 0, f"exit code {code}: {words}")
            check("ERROR: " not in words and "runtime error" not in words, words)
        elif code != 0:
            print(f"the server ended with {code}: {words}", file=sys.stderr)


@case
def keeps_the_connection():
    with Serving() as server:
        c = server.connect()
        for _ in range(3):
            answer = c.ask("GET", "/hello")
            check(answer.status == 200 and answer.body == b"hello\n", answer.fields)
            check(answer["content-type"] == "text/plain" and answer["connection"] is None)
            check(len(answer["date"]) == 29 and answer["date"].endswith(" GMT"), answer["date"])
        answer = c.ask("HEAD", "/hello")
        check(answer.status == 200 and answer["content-length"] == "6")
        check(c.ask("GET", "/hello").body == b"hello\n", "HEAD has no body")
        answer = c.ask("GET", "/hello", fields=["Connection: close"])
        check(answer.body == b"hello\n" and answer["connection"] == "close" and c.is_closed())


@case
def http_1_0():
    with Serving() as server:
        c = server.connect()
        c.send("GET /hello HTTP/1.0\r\n\r\n")
        answer = c.read()
        check(answer.body == b"hello\n" and answer["connection"] == "close" and c.is_closed())
        c = server.connect()
        for _ in range(2):
            c.send("GET /hello HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n")
            answer = c.read()
            check(answer.body == b"hello\n" and answer["connection"] == "keep-alive")
        c.send("GET /stream?n=5 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        answer = c.read()
        check(answer.body == b"s" * 5000 and answer["transfer-encoding"] is None)


@case
def pipelining_is_in_order():
    with Serving() as server:
        c = server.connect()
        paths = ["/hello", "/later", "/show/a", "/stream?n=3", "/missing", "/hello?size=70000"] * 20
        c.send("".join(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n" for path in paths))
        wanted = [b"hello\n", b"later\n", None, b"s" * 3000, None, b"x" * 70000] * 20
        for path, body in zip(paths, wanted):
            answer = c.read()
            check(answer.status == (404 if path == "/missing" else 200), path)
            check(body is None or answer.body == body, path)


@case
def byte_by_byte():
    with Serving() as server:
        c = server.connect()
        request = (b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                   b"5\r\nabcde\r\n1;x=\"y\"\r\nf\r\n0\r\nA: b\r\n\r\n")
        for i in range(len(request)):
            c.send(request[i:i + 1])
        check(c.read().body == b"abcdef")
        for cut in range(1, len(request), 7):
            c.send(request[:cut])
            c.send(request[cut:] + request)
            check(c.read().body == b"abcdef" and c.read().body == b"abcdef", cut)


@case
def bodies_both_ways():
    with Serving() as server:
        c = server.connect()
        for size in (0, 1, 65535, 65536, 3000000):
            body = bytes(i % 256 for i in range(size))
            check(c.ask("POST", "/echo?sized", body).body == body, size)
            check(c.ask("PUT", "/echo", body).body == body, size)
        check(c.ask("POST", "/slow", b"x" * 500000).body == b"500000\n")


@case
def body_larger_than_sent_and_read():
    """The client sends everything before it reads: the handler has to wait for it."""
    with Serving() as server:
        import threading
        c = server.connect()
        body = b"0123456789abcdef" * (1 << 20)
        sender = threading.Thread(target=c.send, args=(
            b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body,))
        sender.start()
        check(c.read().body == body)
        sender.join()


@case
def expectations():
    with Serving() as server:
        c = server.connect()
        c.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        status, _ = c.head()
        # /echo begins its answer at once, so that the final head may come first
        check(status == 200 or status == 100, status)
        c = server.connect()
        c.send("POST /later HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        check(c.head()[0] == 100)
        c.send("abc")
        check(c.read().body == b"later\n")
        c.send("POST /later HTTP/1.1\r\nHost: x\r\nContent-Length: 2000\r\n"
               "Expect: 100-continue\r\n\r\n")
        answer = c.read()
        check(answer.status == 413 and answer["connection"] == "close" and c.is_closed())
        c = server.connect()
        c.send("POST /later HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: more\r\n\r\n")
        check(c.read().status == 417 and c.is_closed())


@case
def too_large_bodies():
    with Serving() as server:
        c = server.connect()
        answer = c.ask("POST", "/later", b"x" * 1001)
        check(answer.status == 413, answer.status)
        check(c.ask("GET", "/hello").status == 200, "a short body is read and dropped")
        c.send(b"POST /later HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
               b"3e8\r\n" + b"x" * 1000 + b"\r\n1\r\ny\r\n")
        check(c.read().status == 413 and c.is_closed())
        c = server.connect()
        c.send(b"POST /later HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000000\r\n\r\nabc")
        check(c.read().status == 413 and c.is_closed())


@case
def routes():
    with Serving() as server:
        c = server.connect()

        def show(target, **fields):
            return c.ask("GET", target, **fields).body.decode().split("\n")[0].split("|")

        check(show("/show")[1:4] == ["/show", "", ""])
        check(show("/show/a/b?x=%20")[1:4] == ["/show/a/b", "x=%20", "a/b"])
        check(show("/x/../show/./a%2fb%41")[1:4] == ["/show/a/bA", "", "a/bA"])
        check(show("/show/%2e%2e/show/..%2fshow/c")[1] == "/show/c")
        check(show("/show/a/..")[1] == "/show/")
        check(show("/show//a")[1:4] == ["/show//a", "", "/a"])
        check(show("http://test/show/abs?q")[1:5] == ["/show/abs", "q", "abs", "test"])
        for target in ("/showing", "/sho", "/Show"):
            check(c.ask("GET", target).status == 404, target)
        for target in ("/..", "/show/../../x", "/%2e%2e/%2e%2e/etc", "/show/%00", "/show/%zz",
                       "/show/%4", "/show/%"):
            check(c.ask("GET", target).status == 400, target)
        answer = c.ask("PUT", "/show")
        check(answer.status == 405 and answer["allow"] == "GET, HEAD, POST, OPTIONS")
        answer = c.ask("OPTIONS", "/hello")
        check(answer.status == 204 and answer["allow"] == "GET, HEAD, OPTIONS")
        check(c.ask("OPTIONS", "/show").status == 200, "the route's own")
        answer = c.ask("OPTIONS", "*")
        check(answer.status == 204 and "GET" in answer["allow"])
        check(c.ask("BREW", "/hello").status == 501)
        answer = c.ask("GET", "/v1/nothing", host="localhost")
        check(answer.status == 404 and answer["content-type"] == "application/json")
        check(b'"code": "not_found"' in answer.body)
        answer = c.ask("GET", "/v1/secret", host="localhost")
        check(answer.status == 401 and answer["www-authenticate"].startswith("Bearer"))


@case
def fields_of_the_hop_are_not_shown():
    with Serving() as server:
        c = server.connect()
        body = c.ask("GET", "/show", fields=[
            "Connection: keep-alive, X-Hop", "X-Hop: 1", "TE: trailers", "X-Kept: \t a b\t ",
            "Upgrade: h2c", "EMPTY:"]).body.decode()
        check(body.split("\n")[1:-1] == ["x-kept=a b", "empty="], body)
        body = c.ask("GET", "/show", fields=["Connection: upgrade", "Upgrade: a"]).body.decode()
        check("upgrade=a" in body)


@case
def heads_that_came_before():
    """The third time the same bytes are not read again: all answers are those of the first time."""
    with Serving("workers=1") as server:
        head = "GET /show/a%2fb?x=1 HTTP/1.1\r\nHoSt: test\r\nX-One: 1\r\nConnection: X-Hop\r\nX-Hop: 2\r\nX-Two:\t2 \r\n\r\n"
        c, other = server.connect(), server.connect()
        wanted = None
        for i in range(12):
            client = c if i % 3 else other
            client.send(head)
            answer = client.read()
            wanted = wanted or answer.body
            check(answer.status == 200 and answer.body == wanted, answer.body)
        check(wanted.decode().split("\n")[1:-1] == ["x-one=1", "x-two=2"], wanted)
        # Another by one byte, at each place where a byte says something.
        for old, new in (("X-Two:\t2", "X-Two:\t3"), ("x=1", "x=2"), ("HoSt: test", "HoSt: tesT"), ("a%2fb", "a%2fc"),
                         ("X-Hop: 2", "X-Hoq: 2")):
            c.send(head.replace(old, new))
            answer = c.read()
            check(answer.status == 200 and answer.body != wanted, (new, answer.body))
        for old, new in (("X-One:", "X-One :"), ("HoSt", "Ho\0t"), ("\tHTTP", " HTTP"), ("X-Two:\t2 \r\n", "X-Two:\t2 \n")):
            bad = head.replace(old, new)
            if bad != head:
                o = server.connect()
                o.send(bad)
                check(o.read().status == 400 and o.is_closed(), new)
        # Behind it: another request, a body, half a head; cut anywhere.
        c.send(head * 30 + "POST /show HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc" + head)
        for i in range(32):
            answer = c.read()
            check(answer.status == 200 and (i == 30 or answer.body == wanted), i)
        for at in range(1, len(head)):
            c.send(head + head[:at])
            check(c.read().body == wanted)
            c.send(head[at:])
            check(c.read().body == wanted, at)
        # With wishes about the connection, and bodies, each time anew.
        for _ in range(4):
            o = server.connect()
            check(o.ask("GET", "/show", fields=["Connection: close"])["connection"] == "close" and o.is_closed())
            o = server.connect()
            o.send("GET /show HTTP/1.0\r\n\r\n")
            check(o.read().status == 200 and o.is_closed())
            check(c.ask("POST", "/echo", b"four").body == b"four")
            check(c.ask("GET", "/later").body == b"later\n")
            check(c.ask("GET", "/stream?n=3").body == b"s" * 3000)
            check(c.ask("HEAD", "/hello")["content-length"] == "6")
            check(c.ask("GET", "/v1/secret", host="localhost").status == 401)
        # Who goes away in the middle of an answer leaves nothing behind.
        for _ in range(4):
            o = server.connect()
            o.send("GET /later HTTP/1.1\r\nHost: gone\r\n\r\n")
            o.close()
        many = "".join(f"GET /show/{i} HTTP/1.1\r\nHost: x\r\n\r\n" * 3 for i in range(100))
        c.send(many)
        for i in range(300):
            check(f"/show/{i // 3}|".encode() in c.read().body, i)


@case
def answers_from_elsewhere():
    with Serving() as server:
        c = server.connect()
        for _ in range(5):
            check(c.ask("GET", "/later").body == b"later\n")
            check(c.ask("POST", "/later", b"abc").body == b"later\n")


@case
def streams():
    with Serving() as server:
        c = server.connect()
        check(c.ask("GET", "/stream?n=4000").body == b"s" * 4000000)
        check(c.ask("HEAD", "/stream?n=5").body == b"")
        answer = c.ask("GET", "/hello")
        check(answer.body == b"hello\n")
        c.send("GET /stream?n=20&cut HTTP/1.1\r\nHost: x\r\n\r\n")
        data = c.rest()
        check(b"\r\n0\r\n" not in data and data.count(b"s" * 1000) == 19, "it is not whole")
        c = server.connect()
        c.send("GET /stream?n=3&cut HTTP/1.0\r\n\r\n")
        try:
            while c.socket.recv(65536):
                pass
            raise AssertionError("it looks whole")
        except ConnectionResetError:
            pass


@case
def files_and_values():
    with Serving() as server:
        c = server.connect()
        for path in ("/file", "/value"):
            check(c.ask("GET", path).body == FILE, path)
            check(c.ask("GET", path + "?from=1000&size=70000").body == FILE[1000:71000], path)
            check(c.ask("HEAD", path)["content-length"] == "3000000")
        c.send("GET /file HTTP/1.1\r\nHost: x\r\n\r\nGET /hello HTTP/1.1\r\nHost: x\r\n\r\n"
               "GET /value HTTP/1.1\r\nHost: x\r\n\r\n")
        check(c.read().body == FILE and c.read().body == b"hello\n" and c.read().body == FILE)
        c.send("GET /file?from=2999000&size=2000 HTTP/1.1\r\nHost: x\r\n\r\n")
        check(len(c.rest().split(b"\r\n\r\n", 1)[1]) == 1000, "shorter than it said: closed")


@case
def over_tls():
    """Heads, values and files in order, also for a client that reads late."""
    if shutil.which("openssl") is None:
        print("skipped: no openssl")
        return
    with tempfile.TemporaryDirectory() as folder:
        pem = os.path.join(folder, "pem")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", pem, "-out",
                        pem + ".cert", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"],
                       check=True, stderr=subprocess.DEVNULL)
        with open(pem, "a", encoding="ascii") as both, open(pem + ".cert", encoding="ascii") as cert:
            both.write(cert.read())
        context = ssl.create_default_context(cafile=pem + ".cert")
        context.set_alpn_protocols(["http/1.1"])
        with Serving(f"tls={pem}") as server:
            c = server.connect(tls=context)
            check(c.ask("GET", "/hello").body == b"hello\n")
            for path in ("/file", "/value"):
                check(c.ask("GET", path).body == FILE, path)
            paths = ["/file", "/hello", "/value?from=7&size=50000", "/later", "/file?from=5&size=10"] * 3
            c.send("".join(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n" for path in paths))
            time.sleep(0.3)
            for wanted in [FILE, b"hello\n", FILE[7:50007], b"later\n", FILE[5:15]] * 3:
                check(c.read().body == wanted, len(wanted))
            gone = server.connect(tls=context)
            gone.send("GET /file HTTP/1.1\r\nHost: x\r\n\r\n")
            gone.close()


@case
def goes_while_it_is_sent():
    with Serving() as server:
        for target in ("/file", "/value", "/stream?n=100000", "/never", "/later", "/hello?size=8000000"):
            c = server.connect()
            c.send(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n")
            if target not in ("/never", "/later"):
                c.socket.recv(100)
            c.close()
        c = server.connect()
        c.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc")
        c.close()


@case
def half_closed():
    """A client that says nothing more still gets its answers."""
    with Serving() as server:
        for target, body in (("/hello", b"hello\n"), ("/later", b"later\n"), ("/file", FILE)):
            c = server.connect()
            c.send(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n")
            c.socket.shutdown(socket.SHUT_WR)
            check(c.read().body == body and c.is_closed(), target)
        c = server.connect()
        c.send("GET /hello HTTP/1.1\r\nHos")
        c.socket.shutdown(socket.SHUT_WR)
        check(c.is_closed())


@case
def early_hints():
    with Serving() as server:
        c = server.connect()
        c.send("GET /hints HTTP/1.1\r\nHost: x\r\n\r\n")
        status, fields = c.head()
        check(status == 103 and fields == {"link": "</a.css>; rel=preload"}, fields)
        check(c.read().body == b"hinted\n")
        c.send("GET /hints HTTP/1.0\r\n\r\n")
        check(c.read().body == b"hinted\n", "HTTP/1.0 knows no such thing")


@case
def tunnels():
    with Serving() as server:
        c = server.connect()
        c.send("GET /tunnel HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nfirst")
        status, fields = c.head()
        check(status == 101 and fields == {"upgrade": "echo", "connection": "upgrade"}, fields)
        check(c.bytes(5) == b"first")
        c.send("GET / HTTP/1.1\r\n\r\n")
        check(c.bytes(18) == b"GET / HTTP/1.1\r\n\r\n", "bytes, not requests")
        c.send("bye")
        check(c.bytes(3) == b"bye" and c.is_closed())


@case
def first_bytes_choose():
    with Serving() as server:
        c = server.connect()
        c.send("PING\r\n")
        check(c.line() == "+PONG")
        c.send("SET /key HTTP\r\nGET /key\r\n")
        check(c.line() == "+OK" and c.line() == "$4" and c.line() == "HTTP")
        c = server.connect()
        c.send("\r\n\r\nGE")
        c.send("T /key\r\n")
        check(c.line() == "$4" and c.line() == "HTTP", "one line, two words: Redis's")
        c = server.connect()
        c.send("*1\r\n$4\r\nPI")
        c.send("NG\r\n")
        check(c.line() == "+PONG")
        c = server.connect()
        c.send("\r\nGET /hello HTT")
        c.send("P/1.1\r\nHost: x\r\n\r\n")
        check(c.read().body == b"hello\n")
        for request in ("GET / HTTP/2.0\r\n\r\n", "PRIX * HTTP/3.0\r\n\r\n"):
            c = server.connect()
            c.send(request)
            check(c.read().status in (400, 505) and c.is_closed())
        c = server.connect()
        c.send("GET /" + "a" * 20000 + " HTTP/1.1\r\n\r\n")
        check(c.read().status == 414)


@case
def gone_once_for_each():
    with Serving("workers=1") as server:
        c = server.connect()
        for _ in range(10):
            c.ask("GET", "/hello")
            c.ask("GET", "/later")
        check(c.ask("GET", "/gone").body == b"20 20\n")


SMUGGLED = "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"
POST = "POST /later HTTP/1.1\r\nHost: x\r\n"
CHUNKED = POST + "Transfer-Encoding: chunked\r\n\r\n"
PAYLOADS = {
    "two lengths that differ": POST + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    "two equal lengths": POST + "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    "a list of lengths": POST + "Content-Length: 5, 5\r\n\r\nhello",
    "a signed length": POST + "Content-Length: +5\r\n\r\nhello",
    "length and chunks": POST + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and length": POST + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "xchunked": POST + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunked is not last": POST + "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "chunked twice": POST + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a vertical tab before chunked": POST + "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "a space before the colon": POST + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "a folded line": POST + "X: a\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a bare CR": POST + "X: a\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a bare LF": POST + "X: a\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "LF alone": "GET /hello HTTP/1.1\nHost: x\n\n",
    "NUL in a field": POST + "X: a\0b\r\n\r\n",
    "a name that is none": POST + "X(a): b\r\n\r\n",
    "no name": POST + ": b\r\n\r\n",
    "no colon": POST + "abc\r\n\r\n",
    "no Host": "GET /hello HTTP/1.1\r\n\r\n",
    "two Hosts": "GET /hello HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
    "a wrong Host": "GET /hello HTTP/1.1\r\nHost: x/y@z\r\n\r\n",
    "another host in the target": "GET http://y/hello HTTP/1.1\r\nHost: x\r\n\r\n",
    "a chunk of 0x": CHUNKED + "0x5\r\nhello\r\n0\r\n\r\n",
    "a chunk of -1": CHUNKED + "-1\r\nhello\r\n0\r\n\r\n",
    "a chunk of +5": CHUNKED + "+5\r\nhello\r\n0\r\n\r\n",
    "a chunk with a blank": CHUNKED + "5 \r\nhello\r\n0\r\n\r\n",
    "a chunk too great": CHUNKED + "10000000000000005\r\nhello\r\n0\r\n\r\n",
    "a chunk with LF": CHUNKED + "5\nhello\r\n0\r\n\r\n",
    "a chunk longer than said": CHUNKED + "5\r\nhello!\r\n0\r\n\r\n",
    "an extension with LF": CHUNKED + "5;\n\r\nhello\r\n0\r\n\r\n",
    "a trailer that is none": CHUNKED + "0\r\nX : a\r\n\r\n",
    "chunks in HTTP/1.0": "POST /later HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two spaces": "GET  /hello HTTP/1.1\r\nHost: x\r\n\r\n",
    "a space in the target": "GET /hel lo HTTP/1.1\r\nHost: x\r\n\r\n",
    "a control character in the target": "GET /\x01 HTTP/1.1\r\nHost: x\r\n\r\n",
    "a star for GET": "GET * HTTP/1.1\r\nHost: x\r\n\r\n",
}


@case
def smuggling_is_refused():
    """400, the connection closed, and what follows is never taken for a request."""
    with Serving() as server:
        for name, payload in PAYLOADS.items():
            for before in ("", SMUGGLED):
                c = server.connect()
                c.send(before + payload + SMUGGLED)
                if before:
                    check(c.read().body == b"hello\n", name)
                answer = c.read()
                check(answer.status == 400 and answer["connection"] == "close",
                      f"{name}: {answer.status}")
                check(c.is_closed(), f"{name}: something follows")
                c.close()


@case
def what_a_head_may_be():
    with Serving("fields_max=5", "head_max=300", "line_max=100") as server:
        for request, status in (
                ("GET /" + "a" * 100 + " HTTP/1.1\r\nHost: x\r\n\r\n", 414),
                ("GET / HTTP/1.1\r\nHost: x\r\nA: " + "a" * 100 + "\r\n\r\n", 431),
                ("GET / HTTP/1.1\r\nHost: x\r\n" + ("A: " + "a" * 90 + "\r\n") * 4 + "\r\n", 431),
                ("GET / HTTP/1.1\r\nHost: x\r\n" + "A: a\r\n" * 5 + "\r\n", 431),
                ("GET /hello HTTP/1.1\r\nHost: x\r\n" + "A: a\r\n" * 4 + "\r\n", 200),
                ("GET / HTTP/1.3\r\nHost: x\r\n\r\n", 505)):
            c = server.connect()
            c.send(request)
            answer = c.read()
            check(answer.status == status, f"{answer.status}: {request[:40]}")
            check(status == 200 or c.is_closed())


@case
def slow_heads_are_ended():
    """A byte now and then does not keep a connection: neither in the first line, nor in a later head."""
    with Serving("head_ms=300", "idle_ms=60000") as server:
        first, second = server.connect(), server.connect()
        check(second.ask("GET", "/hello").status == 200)
        first.send("GET /hello HT")
        second.send("GET /hello HTTP/1.1\r\nHost: x\r\n")
        for _ in range(100):
            try:
                second.send("A: b\r\n")
                first.send("x")
            except OSError:
                break
            time.sleep(0.05)
        else:
            raise AssertionError("still taken")
        check(first.is_closed())
        with contextlib.suppress(ConnectionError):  # what it sent since may have reset it
            check(second.read().status == 408)


@case
def idle_connections_are_closed():
    with Serving("idle_ms=300", "head_ms=60000") as server:
        silent, idle, busy = server.connect(), server.connect(), server.connect()
        check(idle.ask("GET", "/hello").status == 200)
        busy.send("GET /never HTTP/1.1\r\nHost: x\r\n\r\n")
        check(silent.is_closed() and idle.is_closed(), "not closed")
        busy.socket.settimeout(0.3)
        try:
            busy.socket.recv(1)
            raise AssertionError("it waits for its answer, and that is not idle")
        except TimeoutError:
            pass


@case
def slow_bodies_are_ended():
    with Serving("body_ms=500", "min_rate=100") as server:
        c = server.connect()
        c.send("POST /later HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\n")
        fast = server.connect()
        fast.send("POST /later HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
        for i in range(200):
            try:
                if i % 4 == 0:
                    c.send("x")
                if i < 40:
                    fast.send("x" * 25)
            except OSError:
                break
            time.sleep(0.02)
            if i >= 40 and select.select([c.socket], [], [], 0)[0]:
                break
        answer = c.read()
        check(answer.status == 408 and answer["connection"] == "close", answer.status)
        check(fast.read().status == 200, "faster than the least")


@case
def slow_readers_are_ended():
    with Serving("write_ms=500", "min_rate=1000") as server:
        c = server.connect()
        c.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        c.send("GET /value HTTP/1.1\r\nHost: x\r\n\r\n" * 20)
        other = server.connect()
        check(wait_until(lambda: other.ask("GET", "/gone").body.split()[0] != b"0"))

        def is_reset():
            try:
                c.socket.send(b"")
                return c.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0
            except OSError:
                return True

        check(wait_until(is_reset), "who does not read is still there")
        slow = server.connect()
        slow.send("GET /file HTTP/1.1\r\nHost: x\r\n\r\n")
        head, got = slow.head(), len(slow.buffer)
        while got < 3000000:  # slower than it could be, faster than the least
            got += len(slow.socket.recv(100000))
            time.sleep(0.05)
        check(head[0] == 200)


@case
def so_many_requests_and_connections():
    with Serving("requests_max=3", "per_address=2", "local=1") as server:
        c = server.connect()
        for i in range(3):
            answer = c.ask("GET", "/hello")
            check((answer["connection"] == "close") == (i == 2), i)
        check(c.is_closed())
        first, second = server.connect(), server.connect()
        check(first.ask("GET", "/hello").status == 200 and second.ask("GET", "/hello").status == 200)
        check(server.connect().is_closed(), "a third one")
        first.close()

        def is_let_in():
            third = server.connect()
            try:
                return third.ask("GET", "/hello").status == 200
            except OSError:
                return False

        check(wait_until(is_let_in), "the first one's place is free")


@case
def draining():
    """Idle ones go, running ones finish with Connection: close, streams of events end."""
    with Serving() as server:
        idle, running, events, stream = (server.connect() for _ in range(4))
        check(idle.ask("GET", "/hello").status == 200)
        running.send("POST /later HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\na")
        events.send("GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
        check(events.head()[0] == 200)
        stream.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\nabc")
        check(stream.head()[0] == 200)
        server.process.stdin.write(b"d")
        server.process.stdin.flush()
        check(idle.is_closed())
        check(events.rest().endswith(b"0\r\n\r\n"), "the stream's end")
        running.send("bc")
        answer = running.read()
        check(answer.body == b"later\n" and answer["connection"] == "close" and running.is_closed())
        stream.send("def")
        check(stream.rest().endswith(b"def\r\n0\r\n\r\n"))


def llhttp_cases(folder):
    """Title, message and whether llhttp, by its default rules, finds an error in it."""
    for name in sorted(os.listdir(folder)):
        with open(os.path.join(folder, name), encoding="utf-8") as file:
            text = file.read()
        pattern = r"<!-- meta=(\{.*?\}) -->\s*```http\n(.*?)```\s*```log\n(.*?)```"
        for meta, message, log in re.findall(pattern, text, re.S):
            if '"type": "request"' not in meta or "pause" in meta or "pause" in log:
                continue
            message = message.removesuffix("\n")
            message = message.replace("\\\n", "").replace("\n", "\r\n")
            for escape, char in (("\\r", "\r"), ("\\n", "\n"), ("\\t", "\t"), ("\\f", "\f")):
                message = message.replace(escape, char)
            message = re.sub(r"\\x([0-9a-fA-F]{2})", lambda m: chr(int(m.group(1), 16)), message)
            codes = set(re.findall(r"error code=(\d+)", log)) - {"5", "6", "8", "22", "23"}  # not of syntax
            yield name, message, bool(codes)


@case
def what_llhttp_refuses():
    """Its cases, when they are there: what it refuses, by its rules of today, is refused here."""
    folder = os.path.join(os.environ.get("BRISK_CORPUS", "/nonexistent"), "net", "llhttp-http1", "request")
    if not os.path.isdir(folder):
        print("skipped: no cases of llhttp")
        return
    refused = taken = 0
    with Serving() as server:
        for name, message, wrong in llhttp_cases(folder):
            message = re.sub(r"(?i)\r\nhost: *[a-z0-9.:]+(?=\r\n)", "\r\nHost: any.test", message)
            first, found, rest = message.partition("\r\n")
            if "\r\nhost:" not in message.lower():
                message = first + "\r\nHost: any.test" + found + rest
            if not is_http(first):
                continue  # the Redis protocol's
            c = server.connect()
            with contextlib.suppress(BrokenPipeError):
                c.send(message.encode("utf-8", "surrogateescape"))
                c.socket.shutdown(socket.SHUT_WR)
            data = c.rest()
            c.close()
            statuses = [int(s) for s in re.findall(rb"HTTP/1.1 (\d+)", data)]
            bad = not statuses or statuses[-1] in (400, 414, 417, 431, 501, 505)
            check(bad or not wrong, f"{name}: taken: {message!r} {statuses}")
            refused += wrong
            taken += not wrong and not bad
    check(refused > 20 and taken > 20, f"{refused} {taken}")


def is_http(line):
    words = line.split(" ")
    return len(words) >= 3 and words[-1].startswith("HTTP/")


if __name__ == "__main__":
    sys.exit(run(sys.argv[2:]))
