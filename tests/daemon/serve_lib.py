"""A server under test, and a client that speaks RESP with nothing in between."""
import os
import signal
import socket
import subprocess
import time


class Error(Exception):
    """An error reply."""


class Push(list):
    """A push of RESP3."""


class Client:
    def __init__(self, address, timeout=10.0, tls=None):
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        self.socket.settimeout(timeout)
        self.socket.connect(address)
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_hostname="localhost")
        self.buffer = b""

    def close(self):
        self.socket.close()

    def send_raw(self, data):
        self.socket.sendall(data)

    @staticmethod
    def encode(*args):
        parts = [b"*%d\r\n" % len(args)]
        for arg in args:
            data = arg if isinstance(arg, bytes) else str(arg).encode()
            parts.append(b"$%d\r\n%s\r\n" % (len(data), data))
        return b"".join(parts)

    def send(self, *args):
        self.send_raw(self.encode(*args))

    def _fill(self):
        data = self.socket.recv(1 << 20)
        if not data:
            raise ConnectionError("closed")
        self.buffer += data

    def _line(self):
        while b"\r\n" not in self.buffer:
            self._fill()
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line

    def _bytes(self, count):
        while len(self.buffer) < count + 2:
            self._fill()
        data, self.buffer = self.buffer[:count], self.buffer[count + 2 :]
        return data

    def read(self):
        line = self._line()
        kind, rest = line[:1], line[1:]
        if kind == b"+":
            return rest.decode()
        if kind == b"-":
            return Error(rest.decode())
        if kind == b":":
            return int(rest)
        if kind in (b"$", b"="):
            count = int(rest)
            if count < 0:
                return None
            data = self._bytes(count)
            return data[4:] if kind == b"=" else data
        if kind in (b"*", b"~", b">"):
            count = int(rest)
            if count < 0:
                return None
            items = [self.read() for _ in range(count)]
            return Push(items) if kind == b">" else items
        if kind == b"%":
            return {self._hashable(self.read()): self.read() for _ in range(int(rest))}
        if kind == b"_":
            return None
        if kind == b"#":
            return rest == b"t"
        if kind == b",":
            return float(rest)
        raise ValueError(f"unknown type in {line!r}")

    @staticmethod
    def _hashable(value):
        return tuple(value) if isinstance(value, list) else value

    def call(self, *args):
        self.send(*args)
        return self.read()

    def ok(self, *args):
        reply = self.call(*args)
        if isinstance(reply, Error):
            raise reply
        return reply


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    """`brisk serve` with `args`, at a free port."""

    def __init__(self, brisk, args=(), settings=(), wrapper=(), env=None):
        self.port = free_port()
        command = [*wrapper, brisk]
        for setting in settings:
            command += ["--set", setting]
        command += ["serve", "--foreground", "--listen", f"127.0.0.1:{self.port}", *args]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, env={**os.environ, **(env or {})})
        words = line = self.process.stderr.readline().decode()
        while line and "ready at" not in line:  # warnings come before: of a sandbox, say
            line = self.process.stderr.readline().decode()
            words += line
        if not line:
            self.process.wait()
            raise RuntimeError(f"not ready: {words}")
        self.announced = line.strip()

    def client(self, timeout=30.0):
        return Client(("127.0.0.1", self.port), timeout)

    def rss(self):
        with open(f"/proc/{self.process.pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def stop(self, how=signal.SIGTERM, timeout=60):
        if self.process.poll() is None:
            self.process.send_signal(how)
        code = self.process.wait(timeout)
        words = self.process.stderr.read().decode()
        self.process.stderr.close()
        return code, words


def wait_until(what, seconds=20.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if what():
            return True
        time.sleep(0.02)
    return False
