"""`brisk serve` with its supervisor: death, replacement and end of what serves, under load.

  test_supervise.py BRISK [NAME...]

Every case starts a server of its own; times are waited for, never asserted.
"""
import contextlib
import os
import pwd
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

from cases import case, check, run
from serve_lib import Client, free_port, wait_until

BRISK = sys.argv[1]
with open(BRISK, "rb") as program:
    BYTES = program.read()
SANITIZED = b"__tsan_init" in BYTES or b"__asan_init" in BYTES # which has no sandbox


class Node:
    """A supervisor and what it starts; its words are kept."""

    def __init__(self, *args, settings=(), environment=None, prefix=(), pass_fds=()):
        self.port = free_port()
        command = [*prefix, BRISK]
        for setting in settings:
            command += ["--set", setting]
        command += ["serve", "--memory", "64MiB", *args]
        if not prefix:
            command += ["--listen", f"127.0.0.1:{self.port}"]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL,
                                        env=environment, pass_fds=pass_fds)
        self.words = ""
        self.reader = threading.Thread(target=self.read)
        self.reader.start()

    def read(self):
        for line in self.process.stderr:
            self.words += line.decode()

    def wait_for(self, words, count=1):
        check(wait_until(lambda: self.words.count(words) >= count or
                         self.process.poll() is not None), f"no '{words}': {self.words}")
        check(self.words.count(words) >= count, self.words)

    def workers(self):
        with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children",
                  encoding="ascii") as file:
            return [int(word) for word in file.read().split()]

    def client(self):
        return Client(("127.0.0.1", self.port), 30.0)

    def end(self, how=signal.SIGTERM, code=0):
        if self.process.poll() is None:
            self.process.send_signal(how)
        try:
            check(self.process.wait(60) == code, f"{self.process.returncode}: {self.words}")
        finally:
            if self.process.poll() is None:
                self.process.kill()
            self.reader.join()
            self.process.stderr.close()
        check("runtime error" not in self.words and "Sanitizer" not in self.words, self.words)


@contextlib.contextmanager
def node(*args, **keywords):
    it = Node(*args, **keywords)
    try:
        it.wait_for("ready at")
        yield it
    except BaseException:
        print(it.words, file=sys.stderr)
        it.process.kill()
        raise
    finally:
        if it.process.returncode is None:
            it.end()


class Load(threading.Thread):
    """Writes and reads keys whose values follow from their names; connects again when it must."""

    def __init__(self, port, name):
        super().__init__()
        self.port, self.name_of, self.over = port, name, False
        self.done = self.broken = self.wrong = self.missing = 0
        self.failure = None
        self.start()

    def value(self, i):
        return f"{self.name_of}-{i}-".encode() * 20

    def work(self, client):
        i = 0
        while not self.over:
            i = (i + 1) % 500
            reply = client.call("SET", f"{self.name_of}:{i}", self.value(i))
            back = client.call("GET", f"{self.name_of}:{i * 7 % 500}")
            self.wrong += reply != "OK"
            self.missing += back is None
            self.wrong += back is not None and back != self.value(i * 7 % 500)
            self.done += 1

    def run(self):
        try:
            while not self.over:
                try:
                    client = Client(("127.0.0.1", self.port), 30.0)
                    self.work(client)
                except (ConnectionError, BrokenPipeError):
                    self.broken += 1
        except Exception as error: # pylint: disable=broad-except
            self.failure = error

    def stop(self):
        self.over = True
        self.join()
        check(self.failure is None, self.failure)
        check(self.wrong == 0, f"{self.wrong} answers are wrong")


@case
def killed_under_load():
    """kill -9, several times: nothing corrupt, everybody goes on, the cache is warm."""
    with tempfile.TemporaryDirectory() as folder, \
            node("--disk", os.path.join(folder, "disk"), "--threads", "2") as it:
        first = it.client()
        for i in range(200):
            check(first.ok("SET", f"kept:{i}", f"value {i}" * 10) == "OK")
        loads = [Load(it.port, f"load{i}") for i in range(3)]
        check(wait_until(lambda: all(load.done > 200 for load in loads)))
        time.sleep(2.0) # what was written a while ago is on disk; what is on its way may be lost
        for count in range(1, 4):
            before = [load.done for load in loads]
            os.kill(it.workers()[0], signal.SIGKILL)
            it.wait_for("ready at", count + 1)
            check(wait_until(lambda: all(load.done > done + 100 for load, done in
                                         zip(loads, before))), "a client does not go on")
        for load in loads:
            load.stop()
            check(load.broken >= 1, "the kill was not noticed")
        check(it.words.count("signal 9 (Killed)") == 3, it.words)
        client = it.client()
        warm = sum(client.ok("GET", f"kept:{i}") == (f"value {i}" * 10).encode()
                   for i in range(200))
        check(warm == 200, f"{warm} of 200 entries are there after three deaths")


def http_requests(port, results, over):
    """One request after the other; connects again only when it was told to."""
    request = b"GET /v1/openapi.json HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n"
    try:
        connection = None
        while not over.is_set():
            if connection is None:
                connection = socket.create_connection(("127.0.0.1", port), 30)
            connection.sendall(request)
            data = b""
            while b"\r\n\r\n" not in data:
                more = connection.recv(65536)
                check(more, f"closed after {data!r}")
                data += more
            head, body = data.split(b"\r\n\r\n", 1)
            head = head.lower()
            check(head.startswith(b"http/1.1 200"), head)
            length = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
            while len(body) < length:
                more = connection.recv(65536)
                check(more, "closed within a body")
                body += more
            results["done"] += 1
            if b"connection: close" in head:
                results["told"] += 1
                connection.close()
                connection = None
        if connection is not None:
            connection.close()
    except Exception as error: # pylint: disable=broad-except
        results["failed"].append(repr(error))


@case
def replaced_under_load():
    """SIGUSR2: another process takes over, and no request fails."""
    with node("--threads", "2") as it:
        over = threading.Event()
        results = [{"done": 0, "told": 0, "failed": []} for _ in range(4)]
        threads = [threading.Thread(target=http_requests, args=(it.port, one, over))
                   for one in results]
        for thread in threads:
            thread.start()
        for count in range(2, 6):
            before = it.workers()
            done = sum(one["done"] for one in results)
            it.process.send_signal(signal.SIGUSR2)
            it.wait_for("ready at", count)
            check(wait_until(lambda: len(it.workers()) == 1 and it.workers() != before),
                  "the old one stays")
            check(wait_until(lambda: sum(one["done"] for one in results) > done + 50))
        over.set()
        for thread in threads:
            thread.join()
        check(all(one["failed"] == [] for one in results), results)
        check(sum(one["told"] for one in results) >= 8, results)
        check("signal" not in it.words and "code" not in it.words, it.words)


def ask_until_the_end(port, depth, result, over):
    """Commands, `depth` at a time: every one that was sent is answered, or all from one on are not, and no reset."""
    expected = b"+OK\r\n" * depth
    request = Client.encode("SET", "k", b"v" * 3000) * depth
    while not over.is_set():
        with socket.create_connection(("127.0.0.1", port), 30) as connection:
            got = b""
            try:
                while not over.is_set():
                    connection.sendall(request)
                    got = b""
                    while len(got) < len(expected):
                        more = connection.recv(65536)
                        if not more:
                            raise EOFError
                        got += more
                    result["answered"] += got == expected
            except EOFError:
                result["ended"] += 1
                result["wrong"] += not expected.startswith(got)
            except BrokenPipeError:
                result["ended"] += 1  # the end was there before this was sent
            except ConnectionResetError:
                result["reset"] += 1


@case
def answers_are_not_lost_to_a_replacement():
    with node() as it:
        over = threading.Event()
        result = {"answered": 0, "ended": 0, "wrong": 0, "reset": 0}
        clients = [threading.Thread(target=ask_until_the_end, args=(it.port, depth, result, over))
                   for depth in (1, 1, 3, 20)]
        for client in clients:
            client.start()
        for count in (2, 3):
            it.process.send_signal(signal.SIGUSR2)
            it.wait_for("ready at", count)
            check(wait_until(lambda: len(it.workers()) == 1))
        over.set()
        for client in clients:
            client.join()
        check(result["ended"] >= 4 and result["answered"] > 0, result)
        check(result["wrong"] == 0 and result["reset"] == 0, result)


@case
def nobody_is_lost_meanwhile():
    """Who connects while no worker lives waits, and is answered by the next."""
    with node() as it:
        for count in range(1, 4): # each pause is longer than the last
            os.kill(it.workers()[0], signal.SIGKILL)
            check(wait_until(lambda: not it.workers() or it.words.count("ended with") >= count))
            waiting = [it.client() for _ in range(20)]
            for client in waiting:
                client.send("PING")
            for client in waiting:
                check(client.read() == "PONG")
            it.wait_for("ready at", count + 1)


@case
def hangs_are_ended():
    with node(settings=["serve.hang_timeout=3s"]) as it:
        worker = it.workers()[0]
        os.kill(worker, signal.SIGSTOP)
        check(wait_until(lambda: "was not heard" in it.words), it.words)
        os.kill(worker, signal.SIGCONT)
        it.wait_for("ready at", 2)
        check(it.client().ok("PING") == "PONG")


@case
def ends_in_order():
    for how in (signal.SIGTERM, signal.SIGINT):
        with node() as it:
            client = it.client()
            check(client.ok("PING") == "PONG")
            worker = it.workers()[0]
            it.end(how)
            check(not os.path.exists(f"/proc/{worker}"), "the worker is still there")
    with node() as it:
        it.client().send("SHUTDOWN")
        check(wait_until(lambda: it.process.poll() is not None), it.words)
        it.end()


@case
def answers_what_it_has_at_the_end():
    """A request whose body is still on its way when the end is asked for is answered."""
    with node() as it:
        slow = socket.create_connection(("127.0.0.1", it.port), 30)
        slow.sendall(b"POST /v1/nothing HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 4\r\n\r\nab")
        idle = it.client()
        check(idle.ok("PING") == "PONG")
        it.process.send_signal(signal.SIGTERM)
        try:
            check(idle.socket.recv(1) == b"", "an idle one is closed")
        except ConnectionResetError:
            pass
        slow.sendall(b"cd")
        check(slow.recv(4096).startswith(b"HTTP/1.1 4"), "no answer")
        slow.close()
        it.process.wait(60)
        it.end()


@case
def second_signal_ends_at_once():
    with node(settings=["serve.drain_timeout=1h"]) as it:
        slow = socket.create_connection(("127.0.0.1", it.port), 30)
        slow.sendall(b"POST /v1/nothing HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 4\r\n\r\nab")
        check(it.client().ok("PING") == "PONG")
        worker = it.workers()[0]
        it.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        check(it.process.poll() is None and os.path.exists(f"/proc/{worker}"),
              "it does not wait for what is under way")
        it.end(code=1)
        check(not os.path.exists(f"/proc/{worker}"))


@case
def orphans_end():
    with node() as it:
        worker = it.workers()[0]
        it.process.kill()
        it.process.wait()
        check(wait_until(lambda: not os.path.exists(f"/proc/{worker}")), "it lives on")
        it.reader.join()


def with_file(config):
    """A node that has its settings from there alone."""
    it = Node.__new__(Node)
    it.port = free_port()
    it.process = subprocess.Popen([BRISK, "--config", config, "serve", "--memory", "64MiB",
                                   "--listen", f"127.0.0.1:{it.port}"], stderr=subprocess.PIPE)
    it.words = ""
    it.reader = threading.Thread(target=it.read)
    it.reader.start()
    return it


@case
def settings_that_need_another_process():
    """SIGHUP: files that were not served before are, without a failed request, when that is wanted."""
    with tempfile.TemporaryDirectory() as folder:
        config = os.path.join(folder, "brisk.yaml")
        with open(os.path.join(folder, "file.txt"), "w", encoding="ascii") as file:
            file.write("here it is")

        def get(port, path):
            with socket.create_connection(("127.0.0.1", port), 30) as connection:
                connection.sendall(f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n"
                                   "connection: close\r\n\r\n".encode())
                data = b""
                while more := connection.recv(65536):
                    data += more
                return data

        for replaces in ("no", "yes"):
            with open(config, "w", encoding="ascii") as file:
                file.write(f"serve: {{reload_replaces: {replaces}}}\n")
            it = with_file(config)
            it.wait_for("ready at")
            check(get(it.port, "/files/file.txt").startswith(b"HTTP/1.1 404"))
            over = threading.Event()
            result = {"done": 0, "told": 0, "failed": []}
            load = threading.Thread(target=http_requests, args=(it.port, result, over))
            load.start()
            with open(config, "w", encoding="ascii") as file:
                file.write(f"serve:\n  reload_replaces: {replaces}\n"
                           f"  static: [{{at: /files/, root: {folder}}}]\n")
            before = it.workers()
            it.process.send_signal(signal.SIGHUP)
            it.wait_for("serve.static has changed, for the next process")
            if replaces == "yes":
                it.wait_for("ready at", 2)
                check(wait_until(lambda: it.workers() != before and len(it.workers()) == 1))
                check(b"here it is" in get(it.port, "/files/file.txt"))
            else:
                it.wait_for("settings are read again")
                check(it.workers() == before)
            over.set()
            load.join()
            check(result["failed"] == [] and result["done"] > 0, result)
            it.end()


@case
def told_to_read_again():
    """`brisk node reload` says what came of it, and waits for the process that takes over."""
    with tempfile.TemporaryDirectory() as folder:
        config, tokens = os.path.join(folder, "brisk.yaml"), os.path.join(folder, "tokens")
        with open(tokens, "w", encoding="ascii") as file:
            file.write("an-operator-of-this-node change\n")
        os.chmod(tokens, 0o600)

        def settings(text):
            with open(config, "w", encoding="ascii") as file:
                file.write(f"serve:\n  token_file: {tokens}\n{text}")

        def reload(*args, token="an-operator-of-this-node"):
            return subprocess.run([BRISK, "node", "reload", *args, "--node", f"http://127.0.0.1:{it.port}"],
                                  env={**os.environ, "BRISK_TOKEN": token}, capture_output=True,
                                  timeout=60, check=False)

        settings("")
        it = with_file(config)
        it.wait_for("ready at")
        before = it.workers()
        client = it.client()
        settings("  clients_max: 77\n")
        done = reload()
        check(done.returncode == 0 and b"settings are read again" in done.stderr, done)
        check(client.ok("CONFIG", "GET", "maxclients")[1] == b"77")
        settings("  clients_max: many\n")
        done = reload("--replace")
        check(done.returncode == 1 and f"{config}:3: ".encode() in done.stderr, done)
        check(client.ok("CONFIG", "GET", "maxclients")[1] == b"77")  # as it was
        check(reload(token="a-stranger-from-elsewhere").returncode == 1)
        settings("  policy: lru\n")
        done = reload()
        check(done.returncode == 0 and b"serve.policy has changed, for the next process" in done.stderr, done)
        check(it.workers() == before)
        settings("  policy: fifo\n")
        done = reload("--replace")
        check(done.returncode == 0 and b"another process serves" in done.stderr, (done, it.words))
        check(wait_until(lambda: len(it.workers()) == 1) and it.workers() != before)
        check(b"serve.policy" not in reload().stderr)  # it is in force
        it.end()


@case
def a_new_one_that_cannot_start():
    with tempfile.TemporaryDirectory() as folder:
        config = os.path.join(folder, "brisk.yaml")
        with open(config, "w", encoding="ascii") as file:
            file.write("serve: {idle_timeout: 1h}\n")
        it = with_file(config)
        it.wait_for("ready at")
        client = it.client()
        with open(config, "w", encoding="ascii") as file:
            file.write("serve: {idle_timeout: never}\n")
        it.process.send_signal(signal.SIGUSR2)
        it.wait_for("the old one stays")
        check(f"{config}:1: " in it.words, it.words)
        check(client.ok("PING") == "PONG")
        it.end()
        done = subprocess.run([BRISK, "--set", "serve.policy=nonsense", "serve", "--listen",
                               f"127.0.0.1:{it.port}"], capture_output=True, timeout=60, check=False)
        check(done.returncode == 1 and b"no policy" in done.stderr, done.stderr)


def status_of(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)


@case
def rights_are_given_up():
    with node("--threads", "2") as it:
        worker = it.workers()[0]
        tasks = os.listdir(f"/proc/{worker}/task")
        check(len(tasks) >= 3, tasks)
        for task in tasks:
            status = status_of(f"{worker}/task/{task}")
            if not SANITIZED:
                check(status["Seccomp"] == "2", status)
            check(status["NoNewPrivs"] == "1", status)
        with open(f"/proc/{worker}/limits", encoding="ascii") as file:
            core = [line.split() for line in file if line.startswith("Max core file size")][0]
        check(core[4:6] == ["0", "0"], core)
    with node(settings=["serve.sandbox=off"]) as it:
        check(status_of(it.workers()[0])["Seccomp"] in "02")
    done = subprocess.run([BRISK, "--set", "serve.sandbox=perhaps", "serve", "-f", "-l",
                           "127.0.0.1:0"], capture_output=True, timeout=60, check=False)
    check(done.returncode == 1 and b"neither auto, on nor off" in done.stderr, done.stderr)


@case
def another_user():
    """Started as root it becomes somebody else, and does all it did."""
    nobody = pwd.getpwnam("nobody")
    if os.geteuid() != 0:
        done = subprocess.run([BRISK, "--set", "serve.user=root", "serve", "-l", "127.0.0.1:0"],
                              capture_output=True, timeout=60, check=False)
        check(done.returncode == 1 and b"cannot become" in done.stderr, done.stderr)
        return
    probe = subprocess.run(["setpriv", "--reuid", "nobody", "--clear-groups", BRISK, "version"],
                           capture_output=True, timeout=60, check=False)
    if probe.returncode != 0:
        print("skipped: nobody may not run what was built here")
        return
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        disk = os.path.join(folder, "disk")
        os.mkdir(disk)
        os.chown(disk, nobody.pw_uid, nobody.pw_gid)
        with node("--disk", disk, settings=["serve.user=nobody"]) as it:
            for pid in (it.process.pid, it.workers()[0]):
                status = status_of(pid)
                check(status["Uid"].split() == [str(nobody.pw_uid)] * 4, status)
                check(status["Gid"].split() == [str(nobody.pw_gid)] * 4, status)
                check("0" not in status["Groups"].split(), status)
                for kind in ("CapPrm", "CapEff", "CapBnd", "CapAmb"):
                    check(int(status[kind], 16) == 0, status)
            client = it.client()
            check(client.ok("SET", "a", b"b" * 1000) == "OK")
            os.kill(it.workers()[0], signal.SIGKILL)
            it.wait_for("ready at", 2)
            check(it.client().ok("PING") == "PONG")
            check(status_of(it.workers()[0])["Uid"].split()[1] == str(nobody.pw_uid))


@case
def systemd():
    """Sockets that are given, and what is said about it."""
    with tempfile.TemporaryDirectory() as folder:
        said = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        said.bind(os.path.join(folder, "notify"))
        said.settimeout(30)
        given = [socket.socket(), socket.socket(socket.AF_UNIX)]
        given[0].bind(("127.0.0.1", 0))
        path = os.path.join(folder, "socket")
        given[1].bind(path)
        for one in given:
            one.listen(16)
        port = given[0].getsockname()[1]
        environment = dict(os.environ, NOTIFY_SOCKET=os.path.join(folder, "notify"),
                           WATCHDOG_USEC="400000", LISTEN_FDS="2")
        # The shell puts the sockets where systemd does and has the process's own number.
        shell = f"exec 3<&{given[0].fileno()} 4<&{given[1].fileno()}; LISTEN_PID=$$ exec \"$@\""
        with node(environment=environment, prefix=["sh", "-c", shell, "sh"],
                  pass_fds=[one.fileno() for one in given]) as it:
            words = said.recv(256)
            while b"READY=1" not in words:
                words = said.recv(256)
            check(said.recv(256) == b"WATCHDOG=1")
            check(f"127.0.0.1:{port} unix:{path}" in it.words, it.words)
            for address in (("127.0.0.1", port), path):
                check(Client(address).ok("PING") == "PONG")
            it.process.send_signal(signal.SIGHUP)
            heard = []
            while not heard or heard[-1] != b"READY=1":
                heard.append(said.recv(256))
            check(any(word.startswith(b"RELOADING=1\nMONOTONIC_USEC=") for word in heard), heard)
            it.process.send_signal(signal.SIGTERM)
            while said.recv(256) != b"STOPPING=1":
                pass
            it.process.wait(60)
        check(os.path.exists(path), "the socket is systemd's")
        for one in given:
            one.close()
        said.close()


if __name__ == "__main__":
    sys.exit(run(sys.argv[2:]))
