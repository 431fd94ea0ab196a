"""`brisk serve` from outside: what Redis's suite does not ask.

  test_serve.py BRISK [NAME...]

Every case starts a server of its own; times are waited for, never asserted.
"""
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading

from cases import case, check, run
from serve_lib import Client, Error, Push, Server, free_port, wait_until

BRISK = sys.argv[1]
with open(BRISK, "rb") as program:
    BYTES = program.read()
SANITIZED = b"__tsan_init" in BYTES or b"__asan_init" in BYTES  # several times the memory


class Serving:
    def __init__(self, *args, settings=(), memory="64MiB"):
        self.server = Server(BRISK, ["--memory", memory, *args], settings)

    def __enter__(self):
        return self.server

    def __exit__(self, kind, value, trace):
        code, words = self.server.stop()
        if kind is None:
            check(code == 0, f"exit code {code}: {words}")
            check("ERROR: " not in words and "runtime error" not in words, words)
        elif code != 0:
            print(f"the server ended with {code}: {words}", file=sys.stderr)


@case
def starts_and_ends_in_order():
    with Serving("--threads", "2") as server:
        check(f"ready at 127.0.0.1:{server.port}" in server.announced, server.announced)
        client = server.client()
        check(client.ok("PING") == "PONG")
        client.send("SHUTDOWN")
        check(server.process.wait(30) == 0)


@case
def says_why_it_cannot_start():
    with Serving() as server:
        for args in (["--listen", f"127.0.0.1:{server.port}"], ["--listen", "nonsense"],
                     ["--memory", "100MiB", "--policy", "nonsense"], ["--memory", "0"],
                     ["--threads", "65"], ["--threads", "4294967297"],
                     ["--password-file", "/nonexistent"]):
            try:
                Server(BRISK, args).stop()
            except RuntimeError as error:
                check("brisk: " in str(error), str(error))
            else:
                raise AssertionError(f"started with {args}")


@case
def listens_at_several_addresses():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "s")
        other = free_port()
        with Serving("--listen", f"127.0.0.1:{other}", "--listen", f"unix:{path}") as server:
            for address in (("127.0.0.1", server.port), ("127.0.0.1", other), path):
                check(Client(address).ok("PING") == "PONG")
            check(f"127.0.0.1:{other} unix:{path}" in server.announced, server.announced)
        check(not os.path.exists(path), "the socket is still there")
        config = os.path.join(folder, "brisk.yaml")
        with open(config, "w", encoding="ascii") as file:
            file.write(f"serve:\n  listen:\n    - 127.0.0.1:{other}\n    - unix:{path}\n")
        with subprocess.Popen([BRISK, "--config", config, "serve", "-f"],
                              stderr=subprocess.PIPE) as process:
            check(b"ready at" in process.stderr.readline())
            check(Client(("127.0.0.1", other)).ok("PING") == "PONG")
            check(Client(path).ok("PING") == "PONG")
            process.terminate()
            check(process.wait(30) == 0)
        for value, words in (("[127.0.0.1:6380, {a: b}]", "serve.listen:1: HOST:PORT or unix:PATH"),
                             ("[]", "nothing to listen at"),
                             ("::1:6380", "not HOST:PORT"), ("127.0.0.1:70000", "not HOST:PORT")):
            done = subprocess.run([BRISK, "--set", f"serve.listen={value}", "serve"], timeout=30,
                                  capture_output=True, check=False)
            check(done.returncode == 1 and words in done.stderr.decode(), done.stderr)


@case
def reads_its_settings_again():
    with tempfile.TemporaryDirectory() as folder:
        config = os.path.join(folder, "brisk.yaml")

        def write(text):
            with open(config, "w", encoding="ascii") as file:
                file.write(text)

        write("serve:\n  idle_timeout: 77s\n  clients_max: 500\n")
        with subprocess.Popen([BRISK, "--config", config, "serve", "--foreground", "--listen",
                               "127.0.0.1:0"], stderr=subprocess.PIPE) as process:
            line = process.stderr.readline().decode()
            client = Client(("127.0.0.1", int(line.split("127.0.0.1:")[1].split(" ")[0])))

            def again(words, many=1):
                process.send_signal(signal.SIGHUP)
                for _ in range(many):
                    line = process.stderr.readline().decode()
                check(words in line, line)

            check(client.ok("CONFIG", "GET", "timeout") == [b"timeout", b"77"])
            write("serve:\n  idle_timeout: 88s\n  clients_max: 500\n")
            again("settings are read again")
            check(client.ok("CONFIG", "GET", "timeout") == [b"timeout", b"88"])
            write("serve:\n  idle_timeout: 99s\n  clients_max: many\n")
            again("settings stay as they were: " + config + ":3: serve.clients_max: 'many'")
            check(client.ok("CONFIG", "GET", "timeout") == [b"timeout", b"88"])
            write("serve: {backlog: 7}\n")
            again("settings are read again", many=2)
            check(client.ok("CONFIG", "GET", "timeout") == [b"timeout", b"0"], "the default")
            check(client.ok("CONFIG", "GET", "maxclients") == [b"maxclients", b"10000"])
            process.terminate()
            check(process.wait(30) == 0)


@case
def the_example_of_settings():
    """packaging/brisk.yaml is right, whole and with what stands in it as a comment."""
    here = os.path.dirname(os.path.abspath(__file__))
    with open(os.path.join(here, "../../packaging/brisk.yaml"), encoding="utf-8") as file:
        text = file.read()
    with tempfile.TemporaryDirectory() as folder:
        text = text.replace("127.0.0.1:6380", "127.0.0.1:0").replace("/run/brisk", folder)
        path = os.path.join(folder, "brisk.yaml")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        for command in (["config", "check"], ["serve", "--check"]):
            done = subprocess.run([BRISK, "--config", path, *command], capture_output=True,
                                  timeout=60, check=False)
            check(done.returncode == 0 and done.stdout == b"settings are right\n", done)
        with subprocess.Popen([BRISK, "--config", path, "serve", "-f"],
                              stderr=subprocess.PIPE) as process:
            line = process.stderr.readline()
            check(b"ready at" in line, line)
            check(Client(os.path.join(folder, "socket")).ok("PING") == "PONG")
            process.terminate()
            check(process.wait(30) == 0)
        # With all that stands there as a comment, but what needs files of others.
        whole = re.sub(r"(?m)^( *)# (?=( |- |\w+:))", r"\1", text)
        whole = "".join(line + "\n" for line in whole.splitlines()
                        if not re.match(r"  (tls_|password_file|token_file|user:)", line))
        whole = whole.replace("/srv/www", folder).replace("/var/cache/brisk", folder)
        check(all(word in whole for word in ("\n  static:", "\n  proxy:", "\n  workloads:")), whole)
        with open(path, "w", encoding="utf-8") as file:
            file.write(whole)
        with subprocess.Popen([BRISK, "--config", path, "serve", "-f"],
                              stderr=subprocess.PIPE) as process:
            line = process.stderr.readline()
            check(b"ready at" in line, line)
            process.terminate()
            check(process.wait(30) == 0)
        for wrong, words in (("serve: {modules: [nonsense]}", "nonsense"),
                             ("serve: {modules: nonsense}", ":1: a list of names"),
                             ("serve: {workers: 65}", "serve.workers is auto or from 1 to 64"),
                             ("serve: {static: {at: x}}", ":1: ")):
            with open(path, "w", encoding="utf-8") as file:
                file.write(wrong + "\n")
            done = subprocess.run([BRISK, "--config", path, "serve", "--check"],
                                  capture_output=True, timeout=60, check=False)
            if done.returncode == 0: # judged when the server is made
                done = subprocess.run([BRISK, "--config", path, "serve", "-f", "-l",
                                       "127.0.0.1:0"], capture_output=True, timeout=60, check=False)
            check(done.returncode == 1 and words in done.stderr.decode(), done)


@case
def memory_of_the_process_has_a_limit():
    if SANITIZED:
        return # their own memory would be counted
    with Serving(memory="256MiB", settings=["serve.memory_limit=128MiB"]) as server:
        client = server.client()
        value = b"v" * 65536
        for i in range(3000): # 188 MiB
            check(client.ok("SET", f"k{i}", value) == "OK")
        check(wait_until(lambda: server.rss() < 128 << 20), f"{server.rss()} bytes")
        kept = sum(client.ok("EXISTS", f"k{i}") for i in range(3000))
        check(0 < kept < 2000, f"{kept} are kept")


@case
def strangers_are_warned_of():
    for protected, words in (("true", "others are refused"), ("false", "anybody may read")):
        with subprocess.Popen([BRISK, "--set", f"serve.protected={protected}", "serve", "-f", "-l",
                               "0.0.0.0:0", "-l", "127.0.0.1:0"],
                              stderr=subprocess.PIPE) as process:
            check(b"ready at" in process.stderr.readline())
            line = process.stderr.readline().decode()
            check("brisk: 0.0.0.0:0 can be reached" in line and words in line, line)
            process.terminate()
            check(process.wait(30) == 0)
            check(process.stderr.read() == b"", "one address, one line")


@case
def without_descriptors_peers_are_told():
    server = Server(BRISK, ["--memory", "64MiB", "--threads", "2"],
                    wrapper=["prlimit", "--nofile=64:64"])
    try:
        first = server.client()
        many = [socket.create_connection(("127.0.0.1", server.port), 20) for _ in range(100)]
        for each in many:
            each.sendall(b"PING\r\n")
        ends = {b"": 0, b"+PONG\r\n": 0}
        for each in many:
            try:
                ends[each.recv(16)] += 1
            except ConnectionResetError: # closed before it had read what was sent
                ends[b""] += 1
        check(ends[b""] > 36 and ends[b"+PONG\r\n"] > 10, ends)
        check(first.ok("PING") == "PONG", "who was there stays")
        for each in many:
            each.close()
        check(wait_until(lambda: b"connected_clients:1\r" in first.ok("INFO", "clients")))
        check(server.client().ok("PING") == "PONG")
    finally:
        check(server.stop()[0] == 0)


@case
def connections_are_spread():
    with Serving("--threads", "3") as server:
        clients = [server.client() for _ in range(30)]
        for client in clients:
            check(client.ok("PING") == "PONG")
        # epoll's own description: the descriptors that each loop watches.
        watched = []
        for fd in os.listdir(f"/proc/{server.process.pid}/fdinfo"):
            with open(f"/proc/{server.process.pid}/fdinfo/{fd}", encoding="ascii") as file:
                count = file.read().count("tfd:")
            if count > 0:
                watched.append(count)
        check(sum(watched) >= 30 and max(watched) - min(watched) <= 4, watched)


@case
def unix_socket():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "s")
        with Serving("--unix", path) as server:
            client = Client(path)
            check(client.ok("SET", "a", "1") == "OK")
            check(server.client().ok("GET", "a") == b"1")
            check(b"flags=U" in client.ok("CLIENT", "INFO"))
        check(not os.path.exists(path), "the socket is still there")


@case
def password():
    with tempfile.NamedTemporaryFile("w", suffix=".pw") as file:
        file.write("s3cret\n")
        file.flush()
        with Serving("--password-file", file.name) as server:
            client = server.client()
            check("NOAUTH" in str(client.call("GET", "a")))
            check("WRONGPASS" in str(client.call("AUTH", "wrong")))
            check("WRONGPASS" in str(client.call("AUTH", "default", "s3cret ")))
            check("NOAUTH" in str(client.call("HELLO", "3")))
            check(client.ok("AUTH", "s3cret") == "OK")
            check(client.ok("SET", "a", "1") == "OK")
            other = server.client()
            check(other.ok("HELLO", "3", "AUTH", "default", "s3cret")[b"proto"] == 3)
            stranger = server.client()
            stranger.send_raw(b"*11\r\n")
            check("unauthenticated multibulk" in str(stranger.read()))
            stranger = server.client()
            stranger.send_raw(b"*2\r\n$3\r\nGET\r\n$16385\r\n")
            check("unauthenticated bulk" in str(stranger.read()))


@case
def another_certificate():
    """SIGHUP: new connections get the new one, old ones go on, a wrong one changes nothing."""
    import shutil
    import ssl
    import subprocess

    if shutil.which("openssl") is None:
        print("skipped: no openssl")
        return
    with tempfile.TemporaryDirectory() as folder:
        names = {}
        for name in ("first", "second"):
            cert, key = os.path.join(folder, name), os.path.join(folder, name + "-key")
            subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout",
                            key, "-out", cert, "-days", "2", "-subj", "/CN=localhost", "-addext",
                            "subjectAltName=DNS:localhost"], check=True, capture_output=True)
            names[name] = (cert, key, ssl.create_default_context(cafile=cert))
        cert, key = os.path.join(folder, "cert"), os.path.join(folder, "key")

        def put(name):
            shutil.copy(names[name][0], cert)
            shutil.copy(names[name][1], key)

        put("first")
        settings = [f"serve.tls_cert={cert}", f"serve.tls_key={key}"]
        with Serving("--threads", "2", settings=settings) as server:

            def again(words):
                server.process.send_signal(signal.SIGHUP)
                line = server.process.stderr.readline().decode()
                check(words in line, line)

            def connect(name):
                return Client(("127.0.0.1", server.port), 30.0, names[name][2])

            old = connect("first")
            check(old.ok("SET", "a", "1") == "OK")
            put("second")
            again("settings are read again")
            check(connect("second").ok("GET", "a") == b"1")
            check(old.ok("GET", "a") == b"1")
            try:
                connect("first")
                raise AssertionError("the old certificate is still there")
            except ssl.SSLError:
                pass
            with open(cert, "w", encoding="ascii") as file:
                file.write("nonsense")
            again("the certificate stays as it was: ")
            check(connect("second").ok("GET", "a") == b"1")


@case
def tls_and_plain_at_one_address():
    import shutil
    import ssl
    import subprocess

    if shutil.which("openssl") is None:
        print("skipped: no openssl")
        return
    with tempfile.TemporaryDirectory() as folder:
        cert, key = os.path.join(folder, "cert"), os.path.join(folder, "key")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key,
                        "-out", cert, "-days", "2", "-subj", "/CN=localhost", "-addext",
                        "subjectAltName=DNS:localhost"], check=True, capture_output=True)
        context = ssl.create_default_context(cafile=cert)
        settings = [f"serve.tls_cert={cert}", f"serve.tls_key={key}", "serve.output_high=1MiB"]
        with Serving("--threads", "2", settings=settings) as server:
            secure = Client(("127.0.0.1", server.port), 30.0, context)
            plain = server.client()
            value = os.urandom(3000000)
            check(secure.ok("SET", "large", value) == "OK")
            check(plain.ok("GET", "large") == value)
            for _ in range(10):
                secure.send("GET", "large")
            for _ in range(10):
                check(secure.read() == value)
            for i in range(1000):
                secure.send("SET", f"k{i}", i)
            for i in range(1000):
                check(secure.read() == "OK")
            secure.ok("HELLO", "3")
            secure.ok("CLIENT", "TRACKING", "ON")
            secure.ok("GET", "k5")
            plain.ok("SET", "k5", "x")
            check(secure.read() == [b"invalidate", [b"k5"]])
            broken = server.client()
            broken.send_raw(b"\x16\x03\x01\x00\x05hello" + b"x" * 100)
            try:
                while True:
                    broken._fill()
            except OSError:
                pass
            check(secure.ok("PING") == "PONG")


@case
def odd_keys_and_values():
    with Serving() as server:
        client = server.client()
        keys = [b"", b"\0", b"\0\0a", b"\xff" * 100, b"k" * 65535, b"a b\r\n"]
        for i, key in enumerate(keys):
            check(client.ok("SET", key, b"v%d" % i) == "OK", key[:20])
        for i, key in enumerate(keys):
            check(client.ok("GET", key) == b"v%d" % i, key[:20])
        check(sorted(client.ok("KEYS", "*")) == sorted(keys))
        check("longer" in str(client.call("SET", b"k" * 65536, "x")))
        for size in (0, 1, 511, 512, 513, 16384, 16385, 300000, 3000000):
            value = os.urandom(size)
            check(client.ok("SET", "v", value) == "OK", size)
            check(client.ok("GET", "v") == value, size)
            check(client.ok("STRLEN", "v") == size)
            check(client.ok("GETRANGE", "v", "0", "-1") == value)
            check(client.ok("APPEND", "v", "tail") == size + 4)
            check(client.ok("GET", "v") == value + b"tail")
        check("too large" in str(client.call("SET", "v", b"x" * (20 << 20))))
        check(client.ok("GET", "v") is None, "what could not be replaced is gone")


@case
def a_pipeline_cut_anywhere():
    with Serving() as server:
        client = server.client()
        data = b"".join(Client.encode("SET", f"k{i}", "x" * i) for i in range(200))
        data += b'set inline "a b\\x41"\r\nGET inline\r\n*0\r\n\r\n'
        data += Client.encode("GET", "k199")
        for step in (1, 7, 100, 1000):
            for at in range(0, len(data), step):
                client.send_raw(data[at : at + step])
            for _ in range(201):
                check(client.read() == "OK")
            check(client.read() == b"a bA")
            check(client.read() == b"x" * 199)


@case
def slow_reader_does_not_stop_others():
    settings = ["serve.output_high=1MiB", "serve.output_max=4MiB"]
    with Serving("--threads", "1", settings=settings) as server:
        client = server.client()
        client.ok("SET", "v", b"x" * 100000)
        slow = server.client()
        request = Client.encode("GET", "v") * 1000  # 100 MB of answers
        sender = threading.Thread(target=lambda: slow.send_raw(request))
        sender.start()
        for i in range(200):
            check(client.ok("SET", f"k{i}", "1") == "OK")
        check(SANITIZED or server.rss() < 400 << 20, server.rss())
        count = 0
        while count < 1000:
            check(slow.read() == b"x" * 100000)
            count += 1
        sender.join()
        check(slow.ok("PING") == "PONG")


@case
def a_subscriber_that_does_not_read_is_closed():
    settings = ["serve.output_high=1MiB", "serve.output_max=2MiB"]
    with Serving("--threads", "2", settings=settings) as server:
        client = server.client()
        deaf = server.client()
        deaf.ok("SUBSCRIBE", "c")
        for _ in range(400):
            client.ok("PUBLISH", "c", b"x" * 50000)
        check(wait_until(lambda: client.ok("PUBLISH", "c", "x") == 0), "still subscribed")
        check(SANITIZED or server.rss() < 400 << 20, server.rss())


def small_window(port):
    """A connection whose kernel takes little that is not read."""
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    one.settimeout(30)
    one.connect(("127.0.0.1", port))
    return one


def read_to_end(one):
    data = b""
    while part := one.recv(1 << 20):
        data += part
    return data


def http_get(port, path):
    with socket.create_connection(("127.0.0.1", port), 30) as one:
        one.sendall(b"GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" % path.encode())
        return read_to_end(one)


@case
def all_subscribers_together_are_bounded():
    import json

    settings = ["serve.output_max=32MiB", "serve.output_total=32MiB"]
    with Serving("--threads", "2", settings=settings) as server:
        publisher = server.client()
        deaf = []
        for _ in range(16):
            deaf.append(server.client())
            deaf[-1].ok("SUBSCRIBE", "c")
        reader = server.client()
        reader.ok("SUBSCRIBE", "c")
        most = 0
        for _ in range(24):
            publisher.ok("PUBLISH", "c", b"m" * 1000000)
            check(reader.read()[2] == b"m" * 1000000)
            stats = json.loads(publisher.ok("BRISK.STATS"))["server"]
            most = max(most, stats["output_bytes"])
        check(most < 100 << 20, most)


@case
def values_that_nobody_reads_are_bounded():
    import json

    size = 4 << 20

    def unread():
        return json.loads(watch.ok("BRISK.STATS"))["server"]["output_bytes"]

    with Serving("--memory", "64MiB", settings=["serve.output_total=32MiB"]) as server:
        watch = server.client()
        deaf = []
        most = 0
        for i in range(40):  # each of them another value, which the tier gives up for the next one
            watch.ok("SET", "k", bytes([i]) * size)
            deaf.append(small_window(server.port))
            deaf[-1].sendall(b"GET /v1/cache/k HTTP/1.1\r\nHost: localhost\r\n\r\n")
            check(len(deaf[-1].recv(1)) == 1)  # it is on its way
            most = max(most, unread())
        check(most >= 32 << 20, most)  # they are counted ...
        check(most <= (2 * 32 + 2 * 4) << 20, most)  # ... and no more than twice what may be unread, and one
        check(SANITIZED or server.rss() < 150 << 20, server.rss())
        reader = http_get(server.port, "/v1/cache/k")  # who reads is served all the same
        check(reader.endswith(bytes([39]) * size), len(reader))
        for one in deaf:
            one.close()
        check(wait_until(lambda: unread() == 0), unread())


@case
def a_value_is_counted_once():
    import json

    size = 4 << 20
    with Serving("--memory", "64MiB", settings=["serve.output_total=32MiB"]) as server:
        watch = server.client()
        watch.ok("SET", "k", b"v" * size)
        slow = [small_window(server.port) for _ in range(30)]
        for one in slow:
            one.sendall(b"GET /v1/cache/k HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            check(len(one.recv(1)) == 1)
        stats = json.loads(watch.ok("BRISK.STATS"))["server"]
        check(size <= stats["output_bytes"] < 2 * size, stats["output_bytes"])
        for one in slow:  # nobody was closed
            check(read_to_end(one).endswith(b"v" * size))


@case
def what_clients_have_kept_is_bounded():
    import json

    def kept():
        return json.loads(watch.ok("BRISK.STATS"))["server"]["input_bytes"]

    with Serving(settings=["serve.input_max=8MiB", "serve.input_total=16MiB"]) as server:
        watch = server.client()
        idle = kept()
        long = "x" * 60000
        for command in (("SUBSCRIBE",), ("PSUBSCRIBE",), ("WATCH",), ("BRISK.LOAD",)):
            client = server.client()
            refused = None
            for i in range(600):
                client.send(*command, f"{i}{long}")
                reply = client.read()
                if isinstance(reply, Error):
                    refused = reply
                    break
            check("OOM" in str(refused), command)
            check(watch.ok("PING") == "PONG")
            client.close()
            check(wait_until(lambda: kept() == idle), (command, kept(), idle))
        many = [server.client() for _ in range(6)]
        for client in many:
            client.ok("MULTI")
        replies = [client.call("SET", "k", long) for client in many for _ in range(80)]
        check(any(isinstance(reply, Error) for reply in replies))
        check(isinstance(server.client().call("CLIENT", "SETNAME", "n" * 200000), Error))
        for client in many:
            client.close()
        check(wait_until(lambda: kept() == idle), (kept(), idle))


@case
def patterns_that_go_back_for_ever():
    with Serving() as server:
        client, other = server.client(), server.client()
        for i in range(20):
            client.ok("SET", f"{i}" + "a" * 60000, "1")
        check("takes too long" in str(client.call("KEYS", "*" + "a" * 30000 + "b")))
        check("takes too long" in str(client.call("SCAN", "0", "COUNT", "1000", "MATCH",
                                                  "*" + "a" * 30000 + "b")))
        check(len(client.ok("KEYS", "1*a")) == 11)
        client.ok("PSUBSCRIBE", "*" + "a" * 30000 + "b", "a*")
        check(other.ok("PUBLISH", "a" * 60000, "x") == 1)


@case
def arguments_that_are_tables():
    settings = ["serve.input_max=4MiB", "serve.input_total=6MiB"]
    with Serving(settings=settings) as server:
        client, other = server.client(), server.client()
        try:
            client.send_raw(b"*1048576\r\n" + b"$0\r\n\r\n" * 300000)
            check(client.socket.recv(1) == b"", "not closed")
        except ConnectionError:
            pass
        check(other.ok("PING") == "PONG")


@case
def half_commands_hold_nobody():
    with Serving("--threads", "1") as server:
        halves = []
        for i in range(200):
            half = server.client()
            half.send_raw(b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$100000\r\n" + b"x" * (i * 10))
            halves.append(half)
        client = server.client()
        for i in range(100):
            check(client.ok("INCR", "n") == i + 1)
        halves[0].send_raw(b"x" * 100000 + b"\r\n")
        check(halves[0].read() == "OK")


@case
def an_unfinished_request_is_bounded():
    settings = ["serve.input_max=1MiB", "serve.input_total=8MiB"]
    with Serving("--threads", "1", settings=settings) as server:
        client = server.client()
        greedy = server.client()
        greedy.send_raw(b"*2\r\n$3\r\nGET\r\n$400000000\r\n")
        try:
            for _ in range(100):
                greedy.send_raw(b"x" * 100000)
            greedy.read()
            raise AssertionError("10 MB were taken")
        except OSError:
            pass
        check(client.ok("PING") == "PONG")
        check(b"client_query_buffer_limit_disconnections:1" in client.ok("INFO", "stats"))


@case
def garbage():
    with Serving("--threads", "2") as server:
        seed = int(os.environ.get("BRISK_SEED", "20260101"))
        print(f"BRISK_SEED={seed}")
        import random

        rng = random.Random(seed)
        parts = [b"*3\r\n", b"$3\r\n", b"SET\r\n", b"\r\n", b"*-1\r\n", b"$-1\r\n", b"*1048577\r\n",
                 b"GET a\r\n", b"\0", b'"', b"$536870913\r\n", b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n"]
        for _ in range(300):
            client = server.client(timeout=5)
            try:
                for _ in range(rng.randrange(1, 30)):
                    client.send_raw(rng.choice(parts) if rng.random() < 0.8 else rng.randbytes(20))
            except OSError:
                pass
            client.close()
        check(server.client().ok("PING") == "PONG")


@case
def thousands_of_connections():
    with Serving("--threads", "2", settings=["serve.clients_max=300"]) as server:
        last = server.client()
        for _ in range(10):
            clients = [server.client() for _ in range(200)]
            for client in clients:
                client.send("PING")
            for client in clients:
                check(client.read() == "PONG")
            for client in clients:
                client.close()
            check(wait_until(lambda: b"connected_clients:1\r" in last.ok("INFO", "clients")))
        clients = [server.client() for _ in range(310)]
        refused = 0
        for client in clients:
            try:
                client.send("PING")
                reply = client.read()
            except OSError:
                refused += 1
                continue
            refused += 1 if isinstance(reply, Error) else 0
        check(refused == 11, refused)
        for client in clients:
            client.close()


@case
def idle_connections_are_closed():
    with Serving(settings=["serve.idle_timeout=1s"]) as server:
        idle = server.client()
        subscriber = server.client()
        subscriber.ok("SUBSCRIBE", "c")
        check(idle.ok("PING") == "PONG")
        try:
            idle.read()
            raise AssertionError("it said something")
        except ConnectionError:
            pass
        check(server.client().ok("PUBLISH", "c", "x") == 1, "subscribers are not idle")


@case
def transactions_across_loops():
    with Serving("--threads", "2") as server:
        clients = [server.client() for _ in range(8)]

        def work(client):
            done = 0
            while done < 50:
                client.ok("WATCH", "n")
                n = int(client.ok("GET", "n") or 0)
                client.ok("MULTI")
                client.ok("SET", "n", n + 1)
                done += client.ok("EXEC") is not None

        threads = [threading.Thread(target=work, args=(client,)) for client in clients]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        check(clients[0].ok("GET", "n") == b"400")


@case
def one_flight_per_key():
    with Serving("--threads", "2") as server:
        first, second, third = (server.client() for _ in range(3))
        word, token = first.ok("BRISK.LOAD", "k")
        check(word == b"LEASE")
        second.send("BRISK.LOAD", "k")
        third.send("BRISK.LOAD", "k", "WAIT", "20000")
        check(wait_until(lambda: b"blocked_clients:2" in first.ok("INFO", "clients")))
        check(first.ok("SET", "k", "value") == "OK")
        check(second.read() == [b"HIT", b"value"])
        check(third.read() == [b"HIT", b"value"])
        # Who promised goes away: the next one is asked.
        check(first.ok("DEL", "k") == 1)
        check(first.ok("BRISK.LOAD", "k")[0] == b"LEASE")
        second.send("BRISK.LOAD", "k")
        check(wait_until(lambda: b"blocked_clients:1" in third.ok("INFO", "clients")))
        first.close()
        check(second.read()[0] == b"LEASE")
        # Nobody answers in time.
        check(third.ok("BRISK.LOAD", "k", "WAIT", "100") == [b"TIMEOUT"])
        third.send("BRISK.LOAD", "k", "WAIT", "60000")
        fourth = server.client()
        check(wait_until(lambda: b"blocked_clients:1" in fourth.ok("INFO", "clients")))
        number = None
        for line in fourth.ok("CLIENT", "LIST").split(b"\n"):
            if b"flags=b" in line:
                number = line.split(b" ")[0][3:]
        check(fourth.ok("CLIENT", "UNBLOCK", number, "ERROR") == 1)
        check("UNBLOCKED" in str(third.read()))
        # Stale while it is refreshed.
        check(second.ok("SET", "k", "old", "PX", "60000") == "OK")
        word, token, value = third.ok("BRISK.LOAD", "k", "REFRESH", "120000")
        check((word, value) == (b"REFRESH", b"old"))
        check(fourth.ok("BRISK.LOAD", "k", "REFRESH", "120000") == [b"STALE", b"old"])
        check(third.ok("BRISK.RELEASE", "k", token) == 1)
        check(third.ok("BRISK.RELEASE", "k", token) == 0)
        check(fourth.ok("BRISK.LOAD", "k") == [b"HIT", b"old"])


@case
def who_waits_and_goes_is_gone():
    with Serving("--threads", "2") as server:
        first = server.client()
        check(first.ok("BRISK.LOAD", "k", "LEASE", "600000")[0] == b"LEASE")
        for _ in range(20):
            other = server.client()
            other.send("BRISK.LOAD", "k", "WAIT", "3600000")
            other.close()
        check(wait_until(lambda: b"connected_clients:1\r" in first.ok("INFO", "clients")))
        check(wait_until(lambda: b"blocked_clients:0\r" in first.ok("INFO", "clients")))


@case
def many_watched_keys():
    with Serving() as server:
        client, other = server.client(), server.client(3.0 if not SANITIZED else 30.0)
        client.send("WATCH", *[f"k{i}" for i in range(200000)])
        check(other.ok("PING") == "PONG")
        check(client.read() == "OK")
        other.ok("SET", "k199999", "1")
        client.ok("MULTI")
        check(client.ok("EXEC") is None)


@case
def a_lease_ends():
    with Serving() as server:
        first, second = server.client(), server.client()
        check(first.ok("BRISK.LOAD", "k", "LEASE", "300")[0] == b"LEASE")
        check(second.ok("BRISK.LOAD", "k")[0] == b"LEASE")


@case
def tags_and_dependencies():
    with Serving("--threads", "2") as server:
        client, tracker = server.client(), server.client()
        for key in ("a", "b", "c", "user:1", "user:2"):
            client.ok("SET", key, key)
        check(client.ok("BRISK.TAG", "a", "t1", "t2") == 1)
        check(client.ok("BRISK.TAG", "b", "t2") == 1)
        check(client.ok("BRISK.TAG", "c", "t3", "DEPENDS", "a") == 1)
        check(client.ok("BRISK.TAG", "none", "t") == 0)
        tracker.ok("HELLO", "3")
        tracker.ok("CLIENT", "TRACKING", "ON")
        tracker.ok("GET", "b")
        check(client.ok("BRISK.INVALIDATE", "TAG", "t1") == "OK")
        check(client.ok("MGET", "a", "b") == [None, b"b"])
        message = tracker.read()
        check(isinstance(message, Push) and message == [b"invalidate", None], message)
        check(client.ok("BRISK.INVALIDATE", "TAG", "t2") == "OK")
        check(client.ok("EXISTS", "b") == 0)
        check(client.ok("INCR", "b") == 1, "an outdated value is not counted on")
        check(client.ok("BRISK.INVALIDATE", "PREFIX", "user:") == "OK")
        check(client.ok("MGET", "user:1", "user:2", "b") == [None, None, b"1"])
        client.ok("SET", "user:1", "new")
        check(client.ok("GET", "user:1") == b"new")
        check(client.ok("INCR", "user:n") == 1 and client.ok("APPEND", "user:2", "x") == 1)
        check(client.ok("MGET", "user:n", "user:2") == [b"1", b"x"], "made after the invalidation")
        client.ok("SET", "a", "1")
        client.ok("SET", "d", "1")
        client.ok("BRISK.TAG", "d", "t", "DEPENDS", "a")
        client.ok("SET", "a", "2")
        check(client.ok("GET", "d") is None, "what it depends on has changed")


@case
def warm_restart():
    with tempfile.TemporaryDirectory() as folder:
        with Serving("--disk", folder, "--threads", "2") as server:
            client = server.client()
            for i in range(2000):
                client.send("SET", f"k{i}", f"v{i}")
            for i in range(2000):
                check(client.read() == "OK")
            client.ok("SET", "large", b"L" * 2000000)
            client.ok("SET", "short", "x", "EX", "1000")
            client.ok("SET", "gone", "x")
            client.ok("DEL", "gone")
            client.ok("SET", "tagged", "x")
            client.ok("BRISK.TAG", "tagged", "t")
        with Serving("--disk", folder, "--threads", "2") as server:
            client = server.client()
            check(client.ok("DBSIZE") == 2003, client.ok("DBSIZE"))
            for i in range(2000):
                client.send("GET", f"k{i}")
            for i in range(2000):
                check(client.read() == b"v%d" % i, i)
            check(client.ok("GET", "large") == b"L" * 2000000)
            check(700 <= client.ok("TTL", "short") <= 1000)
            check(client.ok("GET", "gone") is None)
            check(client.ok("APPEND", "k1", "!") == 3)
            client.ok("MULTI")
            client.ok("GET", "tagged")
            client.ok("INCR", "n")
            check(client.ok("EXEC") == [b"x", 1])
            check(client.ok("BRISK.INVALIDATE", "TAG", "t") == "OK")
            check(client.ok("SET", "k0", "new", "KEEPTTL") == "OK")
        with Serving("--disk", folder) as server:
            client = server.client()
            check(client.ok("MGET", "k0", "k1", "tagged", "n") == [b"new", b"v1!", None, b"1"])
            check(client.ok("FLUSHALL") == "OK")
            check(client.ok("GET", "k5") is None)
        with Serving("--disk", folder) as server:
            check(server.client().ok("MGET", "k0", "k5") == [None, None])


@case
def more_than_fits_in_memory_is_on_disk():
    with tempfile.TemporaryDirectory() as folder:
        with Serving("--disk", folder, memory="16MiB") as server:
            client = server.client()
            count = 3000
            for i in range(count):
                client.send("SET", f"k{i}", b"%d" % i * 2000)
            for i in range(count):
                check(client.read() == "OK", i)
            for i in range(0, count, 7):
                check(client.ok("GET", f"k{i}") == b"%d" % i * 2000, i)
            check(SANITIZED or server.rss() < 300 << 20, server.rss())


def scanned(client, *more):
    """What SCAN shows, and how many steps that took."""
    keys, cursor, steps = [], b"0", 0
    while steps == 0 or cursor != b"0":
        cursor, some = client.ok("SCAN", cursor, *more)
        keys += some
        steps += 1
    return keys, steps


@case
def walks_see_what_is_on_disk():
    with tempfile.TemporaryDirectory() as folder:
        with Serving("--disk", folder, memory="1MiB") as server:
            client, other = server.client(), server.client()
            count = 6000
            names = {b"key:%d" % i for i in range(count)}
            for name in names:
                client.send("SET", name, b"x" * 1000)
            for _ in names:
                check(client.read() == "OK")
            check(b"keys=6000" not in client.ok("INFO", "keyspace"), "memory has not all of them")
            check(client.ok("DBSIZE") == count, client.ok("DBSIZE"))
            keys = client.ok("KEYS", "*")
            check(len(keys) == count and set(keys) == names, len(keys))
            check(len(client.ok("KEYS", "key:1?")) == 10)
            keys, steps = scanned(client, "COUNT", "100")
            check(len(keys) == count and set(keys) == names and steps > 20, (len(keys), steps))
            keys, _ = scanned(client, "MATCH", "key:59*", "COUNT", "1000")
            check(len(keys) == 111, len(keys))
            check(scanned(client, "TYPE", "list", "COUNT", "1000")[0] == [])
            check(len({client.ok("RANDOMKEY") for _ in range(200)} & names) > 150)
            # Everything is seen that is there all the time, while keys come from disk and go there.
            seen, cursor, turn = set(), b"0", 0
            while turn == 0 or cursor != b"0":
                cursor, some = client.ok("SCAN", cursor, "COUNT", "50")
                seen.update(some)
                other.ok("MGET", *[f"key:{(turn * 131 + i * 7) % count}" for i in range(40)])
                other.ok("SET", f"key:{turn * 977 % count}", b"y" * 1500)
                other.ok("SET", f"new:{turn}", "1")
                turn += 1
            check(names <= seen, len(names - seen))
            # What was said is seen at once, what was removed is not.
            for i in range(0, count, 2):
                client.send("DEL", f"key:{i}")
            client.send("KEYS", "key:*")
            client.send("DBSIZE")
            for i in range(0, count, 2):
                check(client.read() == 1)
            check(set(client.read()) == {b"key:%d" % i for i in range(1, count, 2)})
            check(client.read() == count // 2 + turn)
            client.ok("MULTI")
            client.ok("DBSIZE")
            client.ok("SCAN", "0")
            check(len(client.ok("EXEC")) == 2)
            check("invalid cursor" in str(client.call("SCAN", "x")))
            check("syntax" in str(client.call("SCAN", "0", "COUNT", "0")))
            other.send("SCAN", "0", "COUNT", "1000000")
            other.close()  # while it waits, or not: nobody else is concerned
            client.ok("FLUSHALL")
            check(client.ok("DBSIZE") == 0 and client.ok("KEYS", "*") == [])
            check(scanned(client)[0] == [] and client.ok("RANDOMKEY") is None)


@case
def eviction_tells_trackers():
    with Serving(memory="16MiB") as server:
        client, tracker = server.client(), server.client()
        client.ok("SET", "first", "x")
        tracker.ok("HELLO", "3")
        tracker.ok("CLIENT", "TRACKING", "ON")
        tracker.ok("GET", "first")
        for i in range(8000):
            client.send("SET", f"k{i}", b"x" * 4000)
        for i in range(8000):
            check(client.read() == "OK")
        check(tracker.read() == [b"invalidate", [b"first"]])


@case
def what_waits_runs_as_if_it_had_not():
    with tempfile.TemporaryDirectory() as folder:
        with Serving("--disk", folder) as server:
            check(server.client().ok("MSET", "n", "41", "m", "7", "o", "8") == "OK")
        with Serving("--disk", folder, "--threads", "2") as server:
            client, other = server.client(), server.client()
            # After a pause the disk is asked, too.
            client.ok("CLIENT", "PAUSE", "100000", "WRITE")
            other.send("INCR", "n")
            check(wait_until(lambda: b"blocked_clients:1" in client.ok("INFO", "clients")))
            client.ok("CLIENT", "UNPAUSE")
            check(other.read() == 42)
            # A reply that is not wanted stays away, however long it takes.
            for command in (("CLIENT", "REPLY", "SKIP"), ("GET", "m"), ("ECHO", "x")):
                other.send(*command)
            check(other.read() == b"x")
            other.ok("HELLO", "3")
            other.ok("CLIENT", "TRACKING", "ON", "OPTIN")
            other.ok("CLIENT", "CACHING", "YES")
            check(other.ok("GET", "o") == b"8")
            client.ok("SET", "o", "9")
            check(other.read() == [b"invalidate", [b"o"]])


@case
def what_follows_a_wait():
    with tempfile.TemporaryDirectory() as folder:
        with Serving("--disk", folder) as server:
            check(server.client().ok("MSET", "big", "b" * 1000000, "n", "41") == "OK")
        with Serving("--disk", folder) as server:
            client = server.client()
            client.send_raw(Client.encode("GET", "big") + Client.encode("PING") * 2)
            check([len(client.read()), client.read(), client.read()] == [1000000, "PONG", "PONG"])
            # Inline commands are not read a second time.
            client.send_raw(Client.encode("INCR", "n") + b'SET q "a b\\x41"\r\nGET q\r\n')
            check([client.read() for _ in range(3)] == [42, "OK", b"a bA"])


@case
def a_long_pipeline_of_slow_commands():
    with Serving() as server:
        client, other = server.client(), server.client()
        client.ok("MSET", "a", "ab" * 1000, "b", "ba" * 1000)
        count = 200
        client.send_raw(Client.encode("LCS", "a", "b", "LEN") * count)
        check(client.read() == 1999)
        figures = other.ok("INFO", "commandstats")
        check(int(figures.split(b"cmdstat_lcs:calls=")[1].split(b",")[0]) < count)
        for _ in range(count - 1):
            check(client.read() == 1999)


@case
def many_keys_at_once_from_disk():
    with tempfile.TemporaryDirectory() as folder:
        with Serving("--disk", folder, memory="1MiB") as server:
            client = server.client()
            count = 12000
            for i in range(count):
                client.send("SET", f"counter:{'x' * 20}:{i}", "1000")
            for i in range(count):
                check(client.read() == "OK")
            keys = [f"counter:{'x' * 20}:{i}" for i in range(0, count, 6)]
            check(client.ok("MGET", *keys).count(b"1000") == len(keys))
            client.ok("DEL", *[f"counter:{'x' * 20}:{i}" for i in range(count)])
            found = 0
            for i in range(count):
                client.send("EXISTS", f"counter:{'x' * 20}:{i}")
            for i in range(count):
                found += client.read()
            check(found == 0, f"{found} came back")


@case
def pause_and_unpause():
    with Serving("--threads", "2") as server:
        client, other = server.client(), server.client()
        check(client.ok("CLIENT", "PAUSE", "100000", "WRITE") == "OK")
        other.send("SET", "a", "1")
        check(client.ok("GET", "a") is None)
        check(wait_until(lambda: b"blocked_clients:1" in client.ok("INFO", "clients")))
        other.send("GET", "a")
        check(client.ok("CLIENT", "UNPAUSE") == "OK")
        check(other.read() == "OK")
        check(other.read() == b"1")


def metric(client, name, **labels):
    import json

    for value in json.loads(client.ok("BRISK.METRICS", "JSON"))["metrics"]:
        if value["name"] == name and value["labels"] == labels:
            return value
    return None


@case
def metrics():
    import shutil
    import subprocess

    with Serving("--threads", "2") as server:
        client, other = server.client(), server.client()
        for i in range(50):
            client.ok("SET", f"key{i}", "value")
            other.ok("GET", f"key{i}")
        client.ok("GET", "missing")
        client.call("INCR", "key1")
        client.call("NOPE")
        client.call("GET")
        times = metric(client, "serve.command.time", group="string")
        check(times["count"] == 102 and times["kind"] == "histogram" and times["unit"] == "ns")
        check(sum(times["buckets"][1::2]) == 102, "two workers, each with its own shard")
        check(0 < times["p50"] <= times["p99"] <= times["max"])
        check(metric(client, "serve.command.calls", command="get")["count"] == 51)
        check(metric(client, "serve.command.calls", command="lpush") is None, "never called")
        check(metric(client, "serve.command.failed", command="incr")["count"] == 1)
        check(metric(client, "serve.command.rejected", command="get")["count"] == 1)
        check(metric(client, "serve.command.busy", command="get")["count"] > 0)
        check(metric(client, "serve.errors")["count"] == 3, "and a wrong number of arguments is one")
        check(metric(client, "serve.errors.by_code", code="ERR")["count"] == 3)
        check(metric(client, "serve.hits")["count"] == 50)
        check(metric(client, "serve.misses")["count"] == 1)
        check(metric(client, "serve.tier.hits", tier="memory")["count"] >= 50)
        check(metric(client, "serve.tier.hits", tier="disk") is None, "no disk tier")
        check(metric(client, "serve.connections")["value"] == 2)
        check(metric(client, "serve.net.in")["count"] > 1000)
        check(abs(metric(client, "serve.hit_rate")["value"] - 50 / 51) < 1e-9)
        check(wait_until(lambda: metric(client, "serve.commands")["rates"]["1s"] is not None),
              "the server ticks")
        for form in ("PROMETHEUS", "openmetrics"):
            text = client.ok("BRISK.METRICS", form).decode()
            check('serve_command_time_seconds_count{group="string"} 102\n' in text, form)
            check(text.endswith("# EOF\n") == (form == "openmetrics"), form)
        text = client.ok("BRISK.METRICS")
        if shutil.which("promtool"):
            done = subprocess.run(["promtool", "check", "metrics"], input=text,
                                  capture_output=True, check=False)
            check(done.returncode == 0, done.stderr.decode())
        for wrong in (["XML"], ["JSON", "JSON"]):
            check("syntax" in str(client.call("BRISK.METRICS", *wrong)))
        client.ok("CONFIG", "RESETSTAT")
        check(metric(client, "serve.command.calls", command="get")["count"] == 0, "as INFO's")
        check(metric(client, "serve.errors.by_code", code="ERR")["count"] == 0, "likewise")
        check(b"errorstat_ERR" not in client.ok("INFO", "errorstats"))
        check(metric(client, "serve.command.time", group="string")["count"] == 102, "goes on")
        client.ok("GET", "key1")
        check(metric(client, "serve.command.time", group="string")["count"] == 103, "still lent")


@case
def metrics_of_what_ends():
    with Serving(settings=["serve.idle_timeout=1s"]) as server:
        client, idle = server.client(), server.client()
        idle.ok("PING")
        check(wait_until(lambda: metric(client, "serve.timeouts", kind="idle")["count"] == 1))
        check(metric(client, "serve.connections.closed", reason="idle")["count"] == 1)
        client.ok("BRISK.LOAD", "key")
        late = server.client()
        check(late.ok("BRISK.LOAD", "key", "WAIT", "50") == [b"TIMEOUT"])
        check(metric(late, "serve.timeouts", kind="load")["count"] == 1)
        check(metric(late, "serve.loads.leases")["count"] == 1)


@case
def statistics():
    with Serving() as server:
        client = server.client()
        client.ok("SET", "a", "1")
        import json

        stats = json.loads(client.ok("BRISK.STATS"))
        check(stats["schema"] == 1 and stats["memory"]["entries"] == 1)
        client.ok("HELLO", "3")
        check(client.ok("BRISK.STATS", "MAP")[b"memory"][b"entries"] == 1)
        check(client.ok("MEMORY", "USAGE", "a") > 0)
        check(b"cmdstat_set:calls=1" in client.ok("INFO", "commandstats"))
        client.ok("CONFIG", "SET", "slowlog-log-slower-than", "0")
        client.ok("GET", "a")
        check(client.ok("SLOWLOG", "GET", "1")[0][3] == [b"GET", b"a"])
        check(len(client.ok("COMMAND")) == client.ok("COMMAND", "COUNT"))
        check(b"summary" in client.ok("COMMAND", "DOCS", "get")[b"get"])


def program(*args):
    return subprocess.run([BRISK, *args], capture_output=True, text=True, check=False, timeout=60)


def ask_around(client, keys, rounds, size=1000):
    """Cache-aside, round and round."""
    for _ in range(rounds):
        for first in range(0, keys, 500):
            names = [f"key:{i}" for i in range(first, min(first + 500, keys))]
            for name in names:
                client.send("GET", name)
            missing = [name for name in names if client.read() is None]
            for name in missing:
                client.send("SET", name, b"v" * size)
            for name in missing:
                check(client.read() == "OK")


@case
def memory_of_the_right_size():
    with Serving("--threads", "1", settings=["serve.target_hit_rate=80"], memory="16MiB") as server:
        client = server.client()

        def info(name):
            words = client.ok("INFO", "brisk").decode()
            return dict(line.split(":", 1) for line in words.splitlines() if ":" in line)[name]

        check(info("memory_sizing") == "" and int(info("memory_bytes_max")) == 16 << 20)

        def shrunk():
            ask_around(client, 1500, 8)
            return int(info("memory_bytes_max")) < 4 << 20

        check(wait_until(shrunk), "not smaller")
        check(info("memory_sizing").startswith("target 80 % reached with "))
        check(client.ok("CONFIG", "GET", "serve.sizing")[1] == info("memory_sizing").encode())
        check(client.ok("CONFIG", "GET", "serve.target_hit_rate")[1] == b"80")

        # Without a target it has all of its memory again; a policy of the server's keeps it so.
        client.ok("CONFIG", "SET", "serve.target_hit_rate", "0")
        check(int(info("memory_bytes_max")) == 16 << 20 and info("memory_sizing") == "")
        client.ok("CONFIG", "SET", "serve.target_hit_rate", "80")
        client.ok("CONFIG", "SET", "maxmemory", "8mb", "serve.size_mode", "rule")
        check(int(info("memory_bytes_max")) == 8 << 20)
        check(client.ok("CONFIG", "GET", "serve.size_mode")[1] == b"rule")
        check(isinstance(client.call("CONFIG", "SET", "serve.target_hit_rate", "100"), Error))
        check(isinstance(client.call("CONFIG", "SET", "serve.size_mode", "guess"), Error))
    try:
        with Serving(settings=["serve.size_mode=guess"]):
            check(False, "started")
    except RuntimeError as error:
        check("neither curve nor rule" in str(error), str(error))


@case
def the_curve():
    import json

    with Serving("--threads", "1") as server:
        client = server.client()
        check("nothing was asked for yet" in str(client.call("BRISK.CURVE")))
        ask_around(client, 3000, 4)
        curve = json.loads(client.ok("BRISK.CURVE"))
        check(curve["schema"] == 1 and 8000 < curve["requests"] < 16000, curve)
        check(2000 < curve["keys"] < 4000 and curve["entries"] == 3000, curve)
        check(curve["size"] == curve["bytes_max"] == 64 << 20 and curve["resizes"] == 0)
        points = curve["curve"]
        check(points[0]["miss_ratio"] > 0.9 and points[0]["entries"] < points[-1]["entries"])
        check(all(0 <= point[p] <= 1 for point in points for p in ("miss_ratio", "lru", "lirs")))
        check(not curve["reachable"] and abs(curve["best_hit_rate"] - 0.75) < 0.1, curve)
        check(curve["hit_rate_target"] == 0.94 and curve["text"].startswith("target 94 % unreach"))
        curve = json.loads(client.ok("BRISK.CURVE", "TARGET", "0.6", "JSON"))
        check(curve["reachable"] and 1 << 20 <= curve["recommended"]["bytes"] < 8 << 20, curve)
        words = client.ok("BRISK.CURVE", "TEXT").decode()
        check("miss ratio, %" in words and "not enough: target 94 %" in words, words)
        for wrong in (["TARGET"], ["TARGET", "94"], ["TARGET", "nan"], ["TARGET", "0"], ["XML"]):
            check(isinstance(client.call("BRISK.CURVE", *wrong), Error), wrong)
        done = program("cache", "analyze", "--live", "--node", f"127.0.0.1:{server.port}")
        check(done.returncode == 0 and done.stdout == words, done)
        done = program("cache", "analyze", "--live", "--node", f"127.0.0.1:{server.port}", "--json",
                       "--hit-rate-target", "0.6")
        check(json.loads(done.stdout)["reachable"], done)
    with tempfile.TemporaryDirectory() as folder:
        secret = os.path.join(folder, "secret")
        path = os.path.join(folder, "socket")
        with open(secret, "w", encoding="ascii") as file:
            file.write("open sesame\n")
        with Serving("--unix", path, "--password-file", secret):
            done = program("cache", "analyze", "--live", "--node", path)
            check(done.returncode == 1 and "asks for a password" in done.stderr, done)
            done = program("cache", "analyze", "--live", "--node", path, "--password-file", secret)
            check(done.returncode == 1 and "nothing was asked for yet" in done.stderr, done)
    with Serving(settings=["serve.curve=off"]) as server:
        client = server.client()
        client.ok("GET", "a")
        check("serve.curve=off" in str(client.call("BRISK.CURVE")))
        client.ok("CONFIG", "SET", "serve.target_hit_rate", "90")
        client.ok("GET", "a")


@case
def recordings():
    import json

    with tempfile.TemporaryDirectory() as folder:
        with Serving("--threads", "2", settings=[f"serve.record_dir={folder}"]) as server:
            client = server.client()
            check(json.loads(client.ok("BRISK.RECORD", "STATUS"))["recording"] is False)
            check("nothing is being recorded" in str(client.call("BRISK.RECORD", "STOP")))
            for name in ("", ".", "..", ".hidden", "../up", "a/b", "/etc/passwd", "a b", "ü", "a" * 101,
                         b"a\0b"):
                reply = client.call("BRISK.RECORD", "START", name)
                check(isinstance(reply, Error) and "no path" in str(reply), (name, reply))
            for wrong in (["START"], ["START", "a", "BYTES"], ["START", "a", "BYTES", "1"],
                          ["START", "a", "X"], ["STOP", "a"], ["GO"]):
                check(isinstance(client.call("BRISK.RECORD", *wrong), Error), wrong)
            check(os.listdir(folder) == [])
            client.ok("SET", "before", "1")
            client.ok("BRISK.RECORD", "START", "day.rec", "KEYS", "BYTES", "1000000")
            check("is under way: day.rec" in str(client.call("BRISK.RECORD", "START", "b")))
            client.ok("GET", "one")
            client.ok("SET", "one", "12345")
            client.ok("SET", "one", "1", "NX")
            client.ok("MGET", "one", "two")
            client.ok("EXISTS", "one")
            client.ok("EXPIRE", "one", "100")
            client.ok("DEL", "one")
            client.ok("MULTI")
            client.ok("INCR", "n")
            client.ok("EXEC")
            status = json.loads(client.ok("BRISK.RECORD", "STATUS"))
            check(status["name"] == "day.rec" and status["noted"] == 7 and status["keys"], status)
            client.ok("BRISK.RECORD", "STOP")
            client.ok("GET", "after")
            done = program("cache", "record", "--print", os.path.join(folder, "day.rec"))
            rows = [line.split() for line in done.stdout.splitlines()]
            rows = [(row[1], row[3], row[-1]) for row in rows]
            check(rows == [("0", "miss", "one"), ("5", "put", "one"), ("5", "hit", "one"),
                           ("0", "miss", "two"), ("0", "remove", "one"), ("0", "miss", "n"),
                           ("1", "put", "n")], done)
            with open(os.path.join(folder, "other"), "w", encoding="ascii") as file:
                file.write("no recording at all, and longer than a head would be")
            check("not touched" in str(client.call("BRISK.RECORD", "START", "other")))
            node = ("--node", f"127.0.0.1:{server.port}")
            done = program("cache", "record", *node, "--start", "../end.rec")
            check(done.returncode == 1 and "no path" in done.stderr, done)
            done = program("cache", "record", *node, "--start", "cli.rec", "--keys", "--bytes", "1MiB")
            check(done.returncode == 0 and done.stdout + done.stderr == "", done)
            client.ok("GET", "one")
            done = program("cache", "record", *node, "--status")
            check(json.loads(done.stdout)["noted"] == 1, done)
            check(program("cache", "record", *node, "--stop").returncode == 0)
            done = program("cache", "record", *node, "--stop")
            check(done.returncode == 1 and "nothing is being recorded" in done.stderr, done)
            client.ok("BRISK.RECORD", "START", "end.rec")
            ask_around(client, 100, 2)
        done = program("cache", "analyze", "--json", os.path.join(folder, "end.rec"))
        check(json.loads(done.stdout)["requests"] == 200, done)
    with Serving() as server:
        reply = server.client().call("BRISK.RECORD", "START", "a")
        check("without serve.record_dir" in str(reply), reply)


if __name__ == "__main__":
    sys.exit(run(sys.argv[2:]))
