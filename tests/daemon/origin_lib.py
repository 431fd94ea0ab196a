"""An origin server that does what a test tells it to, byte by byte."""
import socket
import threading


class Request:
    def __init__(self, head, number):
        lines = head.decode("latin-1").split("\r\n")
        self.method, self.target, _ = lines[0].split(" ", 2)
        self.number = number
        self.body = b""
        self.pairs = []
        for line in lines[1:]:
            name, value = line.split(":", 1)
            self.pairs.append((name.lower(), value.strip()))

    def __getitem__(self, name):
        values = [value for key, value in self.pairs if key == name]
        return ", ".join(values) if values else None


def answer(body=b"", status="200 OK", length=True, **fields):
    """A whole answer; names of fields with '_' for '-'."""
    lines = [f"HTTP/1.1 {status}"]
    for name, value in fields.items():
        for one in value if isinstance(value, list) else [value]:
            lines.append(f"{name.replace('_', '-')}: {one}")
    if length:
        lines.append(f"content-length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


class Origin:
    """`handle(request, connection)` returns bytes to send, or None to close; it may send itself."""

    def __init__(self, handle, tls=None, path=None, read_body=True):
        self.handle = handle
        self.tls = tls
        self.read_body = read_body
        self.requests = []
        self.connections = 0
        self.closed = 0
        self.lock = threading.Lock()
        self.open = set()
        if path is not None:
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.bind(path)
            self.socket.listen(128)
            self.url = "unix:" + path
        else:
            self.socket = socket.create_server(("127.0.0.1", 0), backlog=128)
            scheme = "https" if tls is not None else "http"
            self.port = self.socket.getsockname()[1]
            name = "localhost" if tls is not None else "127.0.0.1"
            self.url = f"{scheme}://{name}:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            with self.lock:
                self.connections += 1
                self.open.add(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        raw = connection
        try:
            if self.tls is not None:
                connection = self.tls.wrap_socket(connection, server_side=True)
            self._serve_all(connection)
        except (OSError, ValueError):
            pass
        finally:
            with self.lock:
                self.closed += 1
                self.open.discard(raw)
            connection.close()

    def _serve_all(self, connection):
        rest = b""
        while True:
            while b"\r\n\r\n" not in rest:
                data = connection.recv(65536)
                if not data:
                    return
                rest += data
            head, rest = rest.split(b"\r\n\r\n", 1)
            with self.lock:
                request = Request(head, len(self.requests) + 1)
                self.requests.append(request)
            if self.read_body:
                request.body, rest = self._body(connection, request, rest)
            data = self.handle(request, connection)
            if data is None:
                return
            connection.sendall(data)

    @staticmethod
    def _body(connection, request, rest):
        def more():
            data = connection.recv(65536)
            if not data:
                raise OSError("cut short")
            return data

        if request["transfer-encoding"] == "chunked":
            body = b""
            while True:
                while b"\r\n" not in rest:
                    rest += more()
                size, rest = rest.split(b"\r\n", 1)
                size = int(size, 16)
                while len(rest) < size + 2:
                    rest += more()
                body += rest[:size]
                rest = rest[size + 2 :]
                if size == 0:
                    return body, rest
        size = int(request["content-length"] or 0)
        while len(rest) < size:
            rest += more()
        return rest[:size], rest[size:]

    def count(self):
        with self.lock:
            return len(self.requests)

    def last(self):
        with self.lock:
            return self.requests[-1]

    def close(self):
        self.socket.close()
        with self.lock:
            for connection in self.open:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
