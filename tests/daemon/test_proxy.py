"""The caching reverse proxy from outside: real sockets, an origin that does as it is told."""
import json
import os
import shutil
import socket
import ssl
import struct
import subprocess
import tempfile
import threading
import time

from cases import case, check
from origin_lib import Origin, answer
from proxy_lib import BRISK, FRESH, Status, get, is_hit, node, run, text
from serve_lib import free_port, wait_until

# --- through ---------------------------------------------------------------------------------


@case
def bodies_go_both_ways():
    def echo(request, connection):
        if request.target == "/chunks":
            pieces = b"".join(
                b"%x\r\n%s\r\n" % (len(p), p)
                for p in (request.body[i : i + 7777] for i in range(0, len(request.body), 7777))
            )
            head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
            return head + pieces + b"0\r\nx-trailer: 1\r\n\r\n"
        return answer(request.body)

    with Origin(echo) as origin, node(upstreams=[origin.url], cache=False) as n:
        body = os.urandom(3 << 20)
        h = n.http(token=None)
        for path in ("/whole", "/chunks"):
            for chunked in (False, True):
                a = h.ask("POST", path, body, chunked=chunked)
                check(a.status == 200 and a.body == body, f"{path} {chunked} {len(a.body)}")
        check(h.ask("POST", "/whole", b"").body == b"")
        check(h.ask("PUT", "/whole", b"x").body == b"x")
        check(origin.connections == 1, f"{origin.connections} connections for one client")


@case
def heads_are_made_right():
    def show(request, connection):
        return answer(
            json.dumps(request.pairs).encode(),
            connection="x-hop, keep-alive",
            x_hop="1",
            keep_alive="timeout=5",
            x_end="2",
            set_cookie=["a=1", "b=2"],
            surrogate_key="k",
        )

    with Origin(show) as origin, node(upstreams=[origin.url], cache=False) as n:
        s = socket.create_connection(("127.0.0.1", n.port))
        s.sendall(
            b"GET /a/%2e?b=c HTTP/1.1\r\nHost: Example.org\r\nConnection: close, x-mine\r\n"
            b"X-Mine: 1\r\nX-Other: 2\r\nX-Forwarded-For: 192.0.2.7\r\nVia: 1.0 far\r\n"
            b"Forwarded: for=192.0.2.7\r\nTE: gzip\r\nProxy-Authorization: x\r\n\r\n"
        )
        got = b""
        while True:
            data = s.recv(65536)
            if not data:
                break
            got += data
        head, body = got.split(b"\r\n\r\n", 1)
        lines = head.decode().lower().split("\r\n")
        check("x-end: 2" in lines and "via: 1.1 brisk" in lines, head)
        check(lines.count("set-cookie: a=1") == 1 and "set-cookie: b=2" in lines, head)
        for gone in ("x-hop", "keep-alive", "surrogate-key"):
            check(not any(line.startswith(gone + ":") for line in lines), gone)
        asked = json.loads(body)
        names = [name for name, _ in asked]
        fields = dict(asked)
        check(origin.last().target == "/a/%2e?b=c", origin.last().target)
        check(fields["host"] == "Example.org" and fields["x-other"] == "2", fields)
        check("x-mine" not in names and "te" not in names, names)
        check("proxy-authorization" not in names and "connection" not in names, names)
        check(fields["via"] == "1.0 far, 1.1 brisk", fields)
        check(fields["x-forwarded-for"] == "192.0.2.7, 127.0.0.1", fields)
        check(fields["x-forwarded-proto"] == "http", fields)
        check(
            fields["forwarded"]
            == 'for=192.0.2.7, for=127.0.0.1;proto=http;host="Example.org"',
            fields,
        )
        check(len(names) == len(set(names)), names)


@case
def hosts_and_paths_as_configured():
    with Origin(text) as origin:
        mounts = [
            {"at": "/up", "upstreams": [origin.url], "host_header": "upstream", "cache": False},
            {"at": "/fix", "upstreams": [origin.url + "/base/"], "host_header": "fixed.example",
             "strip": True, "forwarded": False, "cache": False},
        ]  # fmt: skip
        with node(*mounts) as n:
            get(n, "/up/x")
            check(origin.last()["host"] == f"127.0.0.1:{origin.port}", origin.last().pairs)
            check(origin.last().target == "/up/x")
            get(n, "/fix/x?y=1")
            check(origin.last()["host"] == "fixed.example", origin.last().pairs)
            check(origin.last().target == "/base/x?y=1", origin.last().target)
            check(origin.last()["x-forwarded-for"] is None, origin.last().pairs)
            get(n, "/fix")
            check(origin.last().target == "/base/", origin.last().target)
            asked = origin.count()
            check(get(n, "/%66ix/x").status == 400)
            check(get(n, "/nowhere").status == 404)
            check(origin.count() == asked)


@case
def what_upstreams_are_told_of_clients():
    ours = {
        "x-forwarded-for": "127.0.0.1", "x-forwarded-proto": "http",
        "x-forwarded-host": "example.org", "forwarded": 'for=127.0.0.1;proto=http;host="example.org"',
    }  # fmt: skip
    theirs = {
        "x-forwarded-for": "192.0.2.7", "x-forwarded-proto": "gopher", "x-forwarded-host": "evil",
        "x-forwarded-scheme": "nothttps", "x-forwarded-port": "1", "forwarded": "for=192.0.2.7",
    }  # fmt: skip
    with Origin(text) as origin:
        mounts = [
            {"at": f"/{how}", "upstreams": [origin.url], "cache": False, "forwarded": value}
            for how, value in (("add", True), ("none", False), ("pass", "pass"))
        ]
        with node(*mounts) as n:

            def told(path, **fields):
                get(n, path, host="example.org", **fields)
                return {k: v for k, v in origin.last().pairs if "forwarded" in k}

            fields = {k.replace("-", "_"): v for k, v in theirs.items()}
            both = {k: f"{theirs[k]}, {v}" if k in ("x-forwarded-for", "forwarded") else v for k, v in ours.items()}
            check(told("/add") == ours, told("/add"))
            check(told("/add", **fields) == both, told("/add", **fields))
            check(told("/none", **fields) == {}, told("/none", **fields))
            check(told("/pass", **fields) == theirs, told("/pass", **fields))
            check(told("/pass") == {}, told("/pass"))
            # A quote that does not end would make the proxy's own words a part of the client's.
            for value in ('for="x', 'for="a\\"', '"', 'for="a";by="\\'):
                check(told("/add", forwarded=value) == ours, (value, told("/add", forwarded=value)))
            kept = told("/add", forwarded='for="a\\"b"')["forwarded"]
            check(kept == 'for="a\\"b", ' + ours["forwarded"], kept)


@case
def a_host_has_one_name():
    with Origin(text) as origin, node(
        {"at": "/", "host": "example.org", "upstreams": [origin.url]}
    ) as n:
        for host in ("example.org", "example.org.", "EXAMPLE.org.", "example.org.:80"):
            a = get(n, "/", host=host)
            check(a.body == b"1", (host, a))
        get(n, "/other", host="example.org.")
        check(origin.last()["host"] == "example.org", origin.last().pairs)
        get(n, "/other2", host="example.org.:80")
        check(origin.last()["host"] == "example.org:80", origin.last().pairs)
        check(get(n, "/", host="example.org..").body != b"1")


@case
def words_before_an_answer():
    """Of 1xx the known ones go through, without what is of one hop; 100 and others are the proxy's."""

    def handle(request, connection):
        connection.sendall(
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\nconnection: x-hop\r\nx-hop: 1\r\n\r\n"
            b"HTTP/1.1 199 What\r\nx-what: 1\r\n\r\n"
            b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\nkeep-alive: 1\r\nsurrogate-key: s\r\n\r\n"
        )
        return answer(b"body", cache_control=FRESH)

    for cache in (True, False):
        with Origin(handle) as origin, node(upstreams=[origin.url], cache=cache) as n:
            for version, wanted in ((b"1.1", [b"102", b"103", b"200"]), (b"1.0", [b"200"])):
                with socket.create_connection(("127.0.0.1", n.port)) as s:
                    s.sendall(b"GET /%s HTTP/%s\r\nHost: x\r\nConnection: close\r\n\r\n" % (version, version))
                    got = b""
                    while data := s.recv(65536):
                        got += data
                heads = got.split(b"\r\n\r\n")[:-1]
                check([head[9:12] for head in heads] == wanted, got)
                for gone in (b"x-hop", b"keep-alive: 1", b"surrogate", b"x-what"):
                    check(gone not in got, got)
                check((b"link: </a>" in got) == (version == b"1.1") and got.endswith(b"body"), got)


@case
def answers_without_a_body():
    def handle(request, connection):
        status = {"/204": "204 No Content", "/304": "304 Not Modified"}.get(request.target)
        if status is not None:
            return answer(status=status, length=False, etag='"x"')
        return answer(b"" if request.method == "HEAD" else b"12345", length=False,
                      content_length="5")  # fmt: skip

    with Origin(handle) as origin, node(upstreams=[origin.url], cache=False) as n:
        h = n.http(token=None)
        for _ in range(2):
            check(h.get("/204").status == 204)
            check(h.get("/304").status == 304)
            a = h.ask("HEAD", "/x")
            check(a.status == 200 and a["content-length"] == "5" and a.body == b"", a)
            check(h.get("/x").body == b"12345")
        check(origin.connections == 1, origin.connections)


@case
def unix_and_tls_upstreams():
    folder = tempfile.mkdtemp(prefix="brisk-proxy-")
    try:
        path = os.path.join(folder, "s")
        with Origin(text, path=path) as origin, node(upstreams=[origin.url]) as n:
            check(get(n, "/").body == b"1")
        if shutil.which("openssl") is None:
            print("no openssl: TLS upstreams are not tried")
            return
        cert = os.path.join(folder, "cert.pem")
        key = os.path.join(folder, "key.pem")
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
             "-nodes", "-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=localhost",
             "-addext", "subjectAltName=DNS:localhost"],
            check=True, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(cert, key)
        big = os.urandom(1 << 20)

        def handle(request, connection):
            return answer(big + request.body)

        with Origin(handle, tls=tls) as origin:
            with node(upstreams=[origin.url], ca=cert, cache=False) as n:
                h = n.http(token=None)
                for _ in range(3):
                    a = h.ask("POST", "/", b"abc" * 100000)
                    check(a.body == big + b"abc" * 100000, (a.status, len(a.body)))
                check(origin.connections == 1, origin.connections)
            with node(upstreams=[origin.url], cache=False) as n:
                check(get(n, "/").status == 502)  # nobody knows that authority
    finally:
        shutil.rmtree(folder)


# --- the cache -------------------------------------------------------------------------------


@case
def a_hit_asks_nobody():
    with Origin(text) as origin, node(upstreams=[origin.url]) as n:
        first = get(n, "/a")
        check(Status(first["cache-status"]).has("stored"), first)
        for _ in range(3):
            a = get(n, "/a")
            check(is_hit(a) and a.body == b"1" and int(a["age"]) >= 0, a)
        check(get(n, "/a?x").body == b"2")
        a = n.http(token=None).ask("HEAD", "/a")
        check(is_hit(a) and a["content-length"] == "1" and a.body == b"", a)
        check(get(n, "/b", cache_control="only-if-cached").status == 504)
        check(get(n, "/a", cache_control="only-if-cached").body == b"1")
        check(origin.count() == 2, origin.count())


@case
def stale_entries_are_validated():
    def handle(request, connection):
        if request["if-none-match"] == '"v1"':
            return answer(status="304 Not Modified", length=False, etag='"v1"', x_new="2",
                          cache_control=FRESH, x_old="changed")  # fmt: skip
        return answer(b"body", etag='"v1"', cache_control="max-age=0", x_old="1", x_kept="3")

    with Origin(handle) as origin, node(upstreams=[origin.url]) as n:
        get(n, "/")
        a = get(n, "/")
        check(a.status == 200 and a.body == b"body", a)
        check(Status(a["cache-status"]).has("fwd=stale"), a)
        check(Status(a["cache-status"]).has("fwd-status=304"), a)
        check((a["x-new"], a["x-old"], a["x-kept"]) == ("2", "changed", "3"), a)
        a = get(n, "/")
        check(is_hit(a) and a["x-new"] == "2" and a.body == b"body", a)
        check(get(n, "/", if_none_match='"v1"').status == 304)
        check(origin.count() == 2)
        check(get(n, "/", cache_control="no-cache").body == b"body")
        check(origin.count() == 3)


@case
def a_304_about_something_else_is_asked_again():
    def handle(request, connection):
        if request["if-none-match"] is not None:
            return answer(status="304 Not Modified", length=False, etag='"other"')
        return answer(b"%d" % request.number, etag='"v1"', cache_control="max-age=0")

    with Origin(handle) as origin, node(upstreams=[origin.url]) as n:
        check(get(n, "/").body == b"1")
        check(get(n, "/").body == b"3")


@case
def parts_of_what_is_stored():
    def handle(request, connection):
        return answer(b"0123456789", cache_control=FRESH, etag='"e"')

    with Origin(handle) as origin, node(upstreams=[origin.url]) as n:
        get(n, "/")
        for value, body, where in (
            ("bytes=2-4", b"234", "bytes 2-4/10"),
            ("bytes=7-", b"789", "bytes 7-9/10"),
            ("bytes=-2", b"89", "bytes 8-9/10"),
        ):
            a = get(n, "/", range=value)
            check(a.status == 206 and a.body == body and a["content-range"] == where, a)
        a = get(n, "/", range="bytes=10-")
        check(a.status == 416 and a["content-range"] == "bytes */10", a)
        check(get(n, "/", range="bytes=0-1", if_range='"x"').body == b"0123456789")
        check(get(n, "/", range="bytes=0-1", if_range='"e"').body == b"01")
        check(get(n, "/", range="bytes=0-1,3-4").status == 200)
        check(origin.count() == 1)


@case
def variants():
    def handle(request, connection):
        return answer(
            (request["accept-language"] or "none").encode(), vary="Accept-Language",
            cache_control=FRESH, etag='"%d"' % request.number,
        )  # fmt: skip

    with Origin(handle) as origin, node(upstreams=[origin.url]) as n:
        for language in ("de", "en", "en, de", "de"):
            check(get(n, "/", accept_language=language).body == language.encode())
        check(get(n, "/", accept_language="DE , en").body == b"en, de")
        check(get(n, "/").body == b"none")
        check(origin.count() == 4, origin.count())


@case
def unsafe_methods_invalidate():
    def handle(request, connection):
        if request.method != "GET":
            return answer(b"", status="500 No" if "fail" in request.target else "200 OK",
                          location="/other", content_location="http://elsewhere/far")  # fmt: skip
        return answer(b"%d" % request.number, cache_control=FRESH, vary="X-V")

    with Origin(handle) as origin, node(upstreams=[origin.url]) as n:
        h = n.http(token=None)
        for path in ("/a", "/other", "/fail"):
            get(n, path)
            get(n, path, x_v="2")
        h.ask("POST", "/a", b"x")
        for path, hit in (("/a", False), ("/other", False), ("/fail", True)):
            check(is_hit(get(n, path)) == hit, path)
            check(is_hit(get(n, path, x_v="2")) == hit, path)
        h.ask("DELETE", "/fail")
        check(is_hit(get(n, "/fail")))
        h.ask("M-SEARCH", "/a")
        check(not is_hit(get(n, "/a")))


@case
def nobody_finds_what_an_unsafe_method_outdated():
    """Tiers on disk are told in the background: the next request must not see that."""
    state = {"version": 0}

    def handle(request, connection):
        if request.method == "POST":
            state["version"] += 1
        return answer(b"%d" % state["version"], cache_control=FRESH, vary="X-V")

    with Origin(handle) as origin, node(upstreams=[origin.url], threads=2) as n:
        h = n.http(token=None)
        for i in range(60):
            check(h.ask("POST", "/", b"x").status == 200)
            check(h.get("/").body == b"%d" % (i + 1), "an outdated answer")
            check(get(n, "/", x_v="2").body == b"%d" % (i + 1), "an outdated variant")
        check(wait_until(lambda: is_hit(get(n, "/"))), "it is cached again")


@case
def purge():
    def handle(request, connection):
        key = {"/a": "one two", "/b": "two three", "/c": "four"}[request.target]
        return answer(b"%d" % request.number, cache_control=FRESH, surrogate_key=key, vary="X-V")

    with Origin(handle) as origin, node(upstreams=[origin.url]) as n:
        nobody = n.http(token=None)
        owner = n.http()
        for path in ("/a", "/b", "/c"):
            check("surrogate-key" not in get(n, path).fields)
            get(n, path, x_v="2")
            check(is_hit(get(n, path)) and is_hit(get(n, path, x_v="2")))
        check(nobody.ask("PURGE", "/a").status == 401)
        check(is_hit(get(n, "/a")))
        check(owner.ask("PURGE", "/a").status == 200)
        check(not is_hit(get(n, "/a")) and not is_hit(get(n, "/a", x_v="2")))
        check(is_hit(get(n, "/b")))
        a = owner.ask("PURGE", "/", fields={"surrogate-key": "nothing two"})
        check(a.status == 200 and a.json()["purged"], a)
        for path, hit in (("/a", False), ("/b", False), ("/c", True)):
            check(is_hit(get(n, path)) == hit, path)
        check(origin.count() == 10, origin.count())


@case
def what_is_purged_under_way_is_not_stored():
    go = threading.Event()

    def handle(request, connection):
        if request.number == 1:
            go.wait(20)
        return answer(b"%d" % request.number, cache_control=FRESH)

    with Origin(handle) as origin, node(upstreams=[origin.url]) as n:
        got = []
        thread = threading.Thread(target=lambda: got.append(get(n, "/")))
        thread.start()
        check(wait_until(lambda: origin.count() == 1))
        check(n.http().ask("PURGE", "/").status == 200)
        go.set()
        thread.join()
        check(got[0].body == b"1")
        check(get(n, "/").body == b"2")


@case
def one_question_for_many():
    go = threading.Event()

    def handle(request, connection):
        go.wait(20)
        if request.target == "/own":
            return answer(b"%d" % request.number, cache_control="private")
        return answer(b"x" * 100000, cache_control=FRESH)

    with Origin(handle) as origin, node(upstreams=[origin.url], threads=2) as n:
        for path, questions in (("/shared", 1), ("/own", 12)):
            go.clear()
            before = origin.count()
            got = []
            threads = [
                threading.Thread(target=lambda p=path: got.append(get(n, p))) for _ in range(12)
            ]
            for thread in threads:
                thread.start()
            check(wait_until(lambda: origin.count() > before))
            time.sleep(0.3)
            check(origin.count() == before + 1, origin.count())
            go.set()
            for thread in threads:
                thread.join()
            check(origin.count() == before + questions, (path, origin.count()))
            check(len(got) == 12 and all(a.status == 200 for a in got))
            if path == "/own":
                check(len({a.body for a in got}) == 12, "somebody got another one's answer")


@case
def who_waits_gets_no_other_variant():
    go = threading.Event()

    def handle(request, connection):
        go.wait(20)
        return answer(request["x-v"].encode(), cache_control=FRESH, vary="x-v")

    with Origin(handle) as origin, node(upstreams=[origin.url], threads=2) as n:
        got = []
        threads = [
            threading.Thread(target=lambda v=str(i % 3): got.append((v, get(n, "/", x_v=v))))
            for i in range(12)
        ]
        for thread in threads:
            thread.start()
        check(wait_until(lambda: origin.count() >= 1))
        time.sleep(0.3)
        check(origin.count() == 1, origin.count())
        go.set()
        for thread in threads:
            thread.join()
        check(len(got) == 12 and all(a.body == v.encode() for v, a in got), got)
        # An answer may come between a look and a question of another loop: then it is asked for once more.
        check(3 <= origin.count() <= 5, origin.count())


@case
def stale_while_revalidate_and_if_error():
    state = {"down": False, "slow": threading.Event()}

    def handle(request, connection):
        if state["down"] == "close":
            return None
        if state["down"]:
            return answer(b"sorry", status="503 Down")
        if request.target == "/swr" and request.number > 1:
            state["slow"].wait(20)
        control = {
            "/swr": "max-age=1, stale-while-revalidate=60",
            "/sie": "max-age=1, stale-if-error=60",
            "/strict": "max-age=1, must-revalidate, stale-if-error=60",
            "/default": "max-age=1",
        }[request.target]
        return answer(b"%d" % request.number, cache_control=control)

    with Origin(handle) as origin, node(upstreams=[origin.url], eject_after=0) as n:
        paths = ("/swr", "/sie", "/strict", "/default")
        first = {path: get(n, path).body for path in paths}
        time.sleep(1.2)
        a = get(n, "/swr")
        check(is_hit(a) and a.body == first["/swr"], a)
        state["slow"].set()
        check(wait_until(lambda: get(n, "/swr").body not in (first["/swr"],)), "it is renewed")
        state["down"] = True
        check(get(n, "/sie").body == first["/sie"])
        check(get(n, "/strict").status == 503)
        check(get(n, "/default").status == 503)
        state["down"] = "close"
        a = get(n, "/default")
        check(a.body == first["/default"], a)
        check(Status(a["cache-status"]).has("detail=stale-if-error"), a)
        check(get(n, "/strict").status == 502)


@case
def large_and_unknown_sizes():
    body = os.urandom(3 << 20)

    def handle(request, connection):
        if request.target.startswith("/chunked"):
            connection.sendall(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n"
                               b"cache-control: max-age=100\r\n\r\n")  # fmt: skip
            for i in range(0, len(body), 100000):
                piece = body[i : i + 100000]
                connection.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
            return b"0\r\n\r\n"
        if request.target.startswith("/close"):
            connection.sendall(b"HTTP/1.1 200 OK\r\ncache-control: max-age=100\r\n\r\n" + body)
            return None
        return answer(body, cache_control="max-age=100")

    with Origin(handle) as origin, node(upstreams=[origin.url], object_max="4MiB") as n:
        for path in ("/chunked", "/close", "/known"):
            check(get(n, path).body == body, path)
            check(wait_until(lambda p=path: is_hit(get(n, p))), path)
            check(get(n, path).body == body, path)
            a = get(n, path, range="bytes=1000000-1000009")
            check(a.status == 206 and a.body == body[1000000:1000010], path)
    with Origin(handle) as origin, node(upstreams=[origin.url], object_max="1MiB") as n:
        for path in ("/chunked", "/close", "/known"):
            check(get(n, path).body == body, path)
            a = get(n, path)
            check(a.body == body and not is_hit(a), path)


@case
def entries_survive_a_restart():
    with tempfile.TemporaryDirectory(prefix="brisk-proxy-") as folder:
        before = os.environ["XDG_CACHE_HOME"]
        os.environ["XDG_CACHE_HOME"] = folder
        try:
            with Origin(text) as origin:
                with node(upstreams=[origin.url]) as n:
                    check(get(n, "/a", host="x").body == b"1")
                    check(is_hit(get(n, "/a", host="x")))
                with node(upstreams=[origin.url]) as n:
                    a = get(n, "/a", host="x")
                    check(a.body == b"1" and is_hit(a), a)
                    check(n.http().ask("PURGE", "/a", fields={"host": "x"}).status == 200)
                with node(upstreams=[origin.url]) as n:
                    check(get(n, "/a", host="x").body == b"2")
        finally:
            os.environ["XDG_CACHE_HOME"] = before


# --- upstreams that fail ---------------------------------------------------------------------

HOSTILE = {
    "closes at once": b"",
    "half a head": b"HTTP/1.1 200 OK\r\ncontent-le",
    "short of its length": b"HTTP/1.1 200 OK\r\ncache-control: max-age=99\r\ncontent-length: 10\r\n\r\n12345",
    "a chunk cut off": b"HTTP/1.1 200 OK\r\ncache-control: max-age=99\r\n"
    b"transfer-encoding: chunked\r\n\r\n5\r\n12345\r\n5\r\n12",
    "no last chunk": b"HTTP/1.1 200 OK\r\ncache-control: max-age=99\r\n"
    b"transfer-encoding: chunked\r\n\r\n5\r\n12345\r\n",
    "a wrong chunk": b"HTTP/1.1 200 OK\r\ncache-control: max-age=99\r\n"
    b"transfer-encoding: chunked\r\n\r\n5\r\n12345\r\nzz\r\n1\r\n0\r\n\r\n",
    "length and chunks": b"HTTP/1.1 200 OK\r\ncache-control: max-age=99\r\ncontent-length: 5\r\n"
    b"transfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\ncache-control: max-age=99\r\ncontent-length: 5\r\n"
    b"content-length: 6\r\n\r\n123456",
    "a negative length": b"HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\n12345",
    "garbage": b"\x16\x03\x01\x02\x00garbage\r\n\r\n",
    "another version": b"HTTP/2.0 200 OK\r\ncontent-length: 0\r\n\r\n",
    "a status that is none": b"HTTP/1.1 20 OK\r\ncontent-length: 0\r\n\r\n",
    "a NUL in a field": b"HTTP/1.1 200 OK\r\nx: a\0b\r\ncontent-length: 0\r\n\r\n",
    "a bare CR": b"HTTP/1.1 200 OK\r\nx: a\rb\r\ncontent-length: 0\r\n\r\n",
    "a folded line": b"HTTP/1.1 200 OK\r\nx: a\r\n b\r\ncontent-length: 0\r\n\r\n",
    "switched protocols": b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n",
    "an endless head": b"HTTP/1.1 200 OK\r\n" + b"x-filler: " + b"y" * 1000000,
    "endless fields": b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 50000,
    "endless 1xx": b"HTTP/1.1 103 Early Hints\r\n\r\n" * 1000,
    "chunks of HTTP/1.0": b"HTTP/1.0 200 OK\r\ncache-control: max-age=99\r\n"
    b"transfer-encoding: chunked\r\n\r\n5\r\n12345\r\n0\r\n\r\n",
}


def outcome(n, path):
    """The status; "cut" for an answer that the client can see is not whole."""
    s = socket.create_connection(("127.0.0.1", n.port), timeout=20)
    s.sendall(b"GET %s HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n" % path.encode())
    got = b""
    try:
        while True:
            data = s.recv(65536)
            if not data:
                break
            got += data
    except ConnectionError:
        return "cut"
    finally:
        s.close()
    while got.startswith(b"HTTP/1.1 1"):
        got = got.split(b"\r\n\r\n", 1)[1]
    if b"\r\n\r\n" not in got:
        return "cut"
    head, body = got.lower().split(b"\r\n\r\n", 1)
    if b"transfer-encoding: chunked" in head:
        whole = body.endswith(b"0\r\n\r\n")
    else:
        whole = len(body) == int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
    return int(head.split(b" ")[1]) if whole else "cut"


@case
def nothing_broken_comes_through_or_stays():
    state = {"bytes": b""}

    def handle(request, connection):
        if state["bytes"] is not None:
            try:
                connection.sendall(state["bytes"])
            except OSError:
                pass
            return None
        return answer(b"good", cache_control=FRESH)

    for cache in (True, False):
        with Origin(handle) as origin:
            with node(upstreams=[origin.url], cache=cache, retries=0, eject_after=0) as n:
                for i, (name, data) in enumerate(HOSTILE.items()):
                    state["bytes"] = data
                    got = outcome(n, f"/{i}")
                    check(got in (502, "cut"), f"{name}: {got}")
                    state["bytes"] = None
                    a = get(n, f"/{i}")
                    check(a.body == b"good", f"after {name}: {a}")
                    check(not is_hit(a), f"{name} was stored")


@case
def bytes_behind_an_answer_are_nobodys():
    def handle(request, connection):
        if request.number == 1:
            connection.sendall(answer(b"one") + answer(b"poison"))
            time.sleep(0.2)
            return b""
        return answer(b"two")

    with Origin(handle) as origin, node(upstreams=[origin.url], cache=False) as n:
        check(get(n, "/1").body == b"one")
        check(get(n, "/2").body == b"two")
        time.sleep(0.3)
        check(get(n, "/3").body == b"two")
        check(origin.connections >= 2)


@case
def silence_is_a_timeout():
    hold = threading.Event()

    def handle(request, connection):
        if request.target == "/head":
            hold.wait(20)
            return None
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n12345")
        hold.wait(20)
        return None

    with Origin(handle) as origin:
        with node(
            upstreams=[origin.url], first_byte_timeout="300ms", idle_timeout="300ms", retries=0,
            cache=False,
        ) as n:  # fmt: skip
            check(outcome(n, "/head") == 504)
            check(outcome(n, "/body") == "cut")
            hold.set()


@case
def early_answers_to_long_bodies():
    def handle(request, connection):
        connection.sendall(answer(b"too large", status="413 No", connection="close"))
        time.sleep(0.1)
        return None

    with Origin(handle, read_body=False) as origin, node(upstreams=[origin.url]) as n:
        h = n.http(token=None)
        try:
            a = h.ask("POST", "/", b"x" * (8 << 20))
            check(a.status == 413 and a.body == b"too large", a)
        except (ConnectionError, BrokenPipeError):
            pass  # the answer was there, the client still wrote
        check(get(n, "/").status == 413)


@case
def kept_connections_that_end_are_no_failure():
    def handle(request, connection):
        connection.sendall(answer(b"%d" % request.number))
        return None if request.number % 2 == 1 else b""

    with Origin(handle) as origin, node(upstreams=[origin.url], cache=False) as n:
        h = n.http(token=None)
        for _ in range(40):
            check(h.get("/").status == 200)


@case
def posts_are_not_repeated():
    def handle(request, connection):
        return None if request.method == "POST" else answer(b"ok")

    with Origin(handle) as origin, node(upstreams=[origin.url], cache=False, retries=5) as n:
        check(n.http(token=None).ask("POST", "/", b"pay").status == 502)
        check(origin.count() == 1, "it was asked twice")


@case
def idempotent_requests_are_repeated():
    def handle(request, connection):
        return None if request.number < 3 else answer(b"ok")

    with Origin(handle) as origin, node(upstreams=[origin.url], cache=False, retries=2) as n:
        check(get(n, "/").body == b"ok")
        check(origin.count() == 3)


@case
def a_budget_bounds_repetition():
    def handle(request, connection):
        return None

    with Origin(handle) as origin:
        with node(upstreams=[origin.url], cache=False, retries=10, eject_after=0) as n:
            h = n.http(token=None)
            for _ in range(100):
                check(h.get("/").status == 502)
            # 100 questions, 10 retries to begin with, and a fifth of a retry for each question.
            check(100 <= origin.count() <= 100 + 10 + 20 + 2, origin.count())


@case
def dead_upstreams_are_left_alone():
    dead = f"http://127.0.0.1:{free_port()}"
    with Origin(text) as origin, node(upstreams=[dead, origin.url], cache=False) as n:
        h = n.http(token=None)
        check(all(h.get("/").status == 200 for _ in range(50)))
        check(h.ask("POST", "/", b"x" * 100000).status == 200, "nothing of it was sent")
    with node(upstreams=[dead], cache=False) as n:
        check(all(get(n, "/").status == 502 for _ in range(12)))


@case
def load_goes_by_weight():
    with Origin(text) as a, Origin(text) as b:
        upstreams = [{"url": a.url, "weight": 3}, b.url]
        with node(upstreams=upstreams, cache=False) as n:
            held = threading.Event()
            for origin in (a, b):
                origin.handle = lambda request, connection: held.wait(20) and answer(b"x")
            threads = [threading.Thread(target=get, args=(n, "/")) for _ in range(40)]
            for thread in threads:
                thread.start()
            check(wait_until(lambda: a.count() + b.count() == 40))
            held.set()
            for thread in threads:
                thread.join()
            check(25 <= a.count() <= 35, f"{a.count()} and {b.count()}")


@case
def hedges_help_against_silence():
    hold = threading.Event()

    def handle(request, connection):
        with lock:
            silent["first"] = silent["first"] or connection
        if connection is silent["first"]:
            hold.wait(20)
            return None
        return answer(b"quick")

    lock = threading.Lock()
    silent = {"first": None}
    with Origin(handle) as a, Origin(handle) as b:
        with node(upstreams=[a.url, b.url], cache=False, hedge_after="30ms") as n:
            check(get(n, "/").body == b"quick")
            check(a.count() + b.count() == 2)
            hold.set()
            # Nobody hedges what must not be done twice.
            silent["first"] = None
            hold.clear()
            threading.Timer(0.3, hold.set).start()
            check(n.http(token=None).ask("POST", "/", b"x").status == 502)


@case
def sick_upstreams_get_nothing():
    state = {"ill": True, "checks": 0}

    def sick(request, connection):
        if request.target == "/health":
            state["checks"] += 1
            return answer(b"", status="500 No" if state["ill"] else "200 OK")
        return answer(b"sick")

    def well(request, connection):
        return answer(b"well")

    with Origin(sick) as a, Origin(well) as b:
        health = {"path": "/health", "interval": "100ms", "healthy": 1, "unhealthy": 1}
        with node(upstreams=[a.url, b.url], cache=False, health=health) as n:
            check(wait_until(lambda: state["checks"] > 1), "checks wait for no request")
            check(wait_until(lambda: all(get(n, "/").body == b"well" for _ in range(20))))
            state["ill"] = False
            check(wait_until(lambda: any(get(n, "/").body == b"sick" for _ in range(20))))


@case
def a_slow_client_holds_its_upstream_back():
    sent = {"bytes": 0}

    def handle(request, connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (64 << 20))
        piece = b"x" * 65536
        for _ in range(1024):
            connection.sendall(piece)
            sent["bytes"] += len(piece)
        return b""

    with Origin(handle) as origin, node(upstreams=[origin.url], cache=False) as n:
        s = socket.create_connection(("127.0.0.1", n.port))
        s.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        time.sleep(0.5)
        before = sent["bytes"]
        check(before < 24 << 20, f"{before} bytes came in while nobody read")
        check(n.server.rss() < 120 << 20, n.server.rss())
        got = 0
        while got < 64 << 20:
            more = s.recv(1 << 20)
            check(more, "closed")
            got += len(more)
        # A client that goes takes its upstream's connection with it.
        s.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        s.recv(1000)
        s.close()
        check(wait_until(lambda: origin.closed >= 1), "the upstream is still read")


@case
def a_slow_reader_does_not_keep_others_waiting():
    body = os.urandom(6 << 20)

    def handle(request, connection):
        return answer(body, cache_control=FRESH)

    with Origin(handle) as origin, node(upstreams=[origin.url]) as n:
        s = socket.create_connection(("127.0.0.1", n.port))
        s.sendall(b"GET / HTTP/1.1\r\nhost: 127.0.0.1:%d\r\n\r\n" % n.port)
        time.sleep(0.2)
        check(get(n, "/").body == body)
        check(origin.count() == 1, origin.count())
        data = b""
        while len(data) < len(body):
            more = s.recv(1 << 20)
            check(more, "closed")
            data += more
        while not data.endswith(body[-100:]):
            more = s.recv(1 << 20)
            check(more, "closed")
            data += more
        check(data.endswith(body))


@case
def a_client_that_goes_leaves_its_entry():
    go = threading.Event()

    def handle(request, connection):
        go.wait(20)
        return answer(b"kept", cache_control=FRESH)

    with Origin(handle) as origin, node(upstreams=[origin.url]) as n:
        s = socket.create_connection(("127.0.0.1", n.port))
        s.sendall(b"GET / HTTP/1.1\r\nhost: 127.0.0.1:%d\r\n\r\n" % n.port)
        check(wait_until(lambda: origin.count() == 1))
        s.close()
        time.sleep(0.1)
        go.set()
        check(wait_until(lambda: is_hit(get(n, "/"))))
        check(origin.count() == 1, origin.count())


# --- hostile ---------------------------------------------------------------------------------


@case
def a_renewal_that_cannot_begin_ends_once():
    """The upstream is gone: connecting fails at once, behind an answer that was given from the cache."""
    with tempfile.TemporaryDirectory(prefix="brisk-proxy-") as folder:
        path = os.path.join(folder, "s")

        def handle(request, connection):
            return answer(b"x", cache_control="max-age=1, stale-while-revalidate=100")

        with Origin(handle, path=path) as origin, node(upstreams=[origin.url]) as n:
            for i in range(4):
                check(get(n, f"/{i}").body == b"x")
            origin.close()
            os.unlink(path)
            time.sleep(1.2)
            for _ in range(3):
                for i in range(4):
                    check(get(n, f"/{i}").body == b"x", "a stale one serves")
            with socket.create_connection(("127.0.0.1", n.port)) as a:
                # Two at once, each in need of a record of its own.
                with socket.create_connection(("127.0.0.1", n.port)) as b:
                    for s in (a, b):
                        s.sendall(b"GET /0 HTTP/1.1\r\nHost: x\r\n\r\nGET /miss HTTP/1.1\r\nHost: x\r\n\r\n")
                    for s in (a, b):
                        s.settimeout(10)
                        got = b""
                        while b" 502 " not in got:
                            data = s.recv(65536)
                            check(data, "the node still answers")
                            got += data


@case
def no_path_climbs_out_of_its_mount():
    with Origin(text) as origin, node(
        {"at": "/public", "upstreams": [origin.url]},
        {"at": "/own", "upstreams": [origin.url + "/base"], "strip": True},
        {"at": "/", "upstreams": [origin.url + "/base"]},
    ) as n:
        for target in (
            "/secret/..%2fpublic/x",
            "/secret/a%2fb/..%2f..%2f../public/x",
            "/secret/%2e%2e/public/x",
            "/secret/../public/x",
            "/own/../own/secret",
            "//../secret",
            "/a%2fb/../../secret",
            "/x/..",
        ):
            with socket.create_connection(("127.0.0.1", n.port)) as s:
                s.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
                check(s.recv(65536).startswith(b"HTTP/1.1 400 "), f"{target}: {origin.count()}")
        check(origin.count() == 0, f"{origin.last().target if origin.count() else ''}")
        for target in ("/public/a%2fb", "/public/x..y/...", "/public/x?y=../z"):
            check(get(n, target).status == 200 and origin.last().target == target, target)


@case
def one_clients_fields_do_not_switch_the_cache_off():
    with Origin(text) as origin, node(upstreams=[origin.url]) as n:
        def plain(path):
            return answer(b"x", last_modified="Wed, 01 Jan 2020 00:00:00 GMT")

        origin.handle = lambda request, connection: plain(request.target)
        check(get(n, "/a", authorization="Basic eDp5").status == 200)
        check(get(n, "/a").status == 200)
        check(is_hit(get(n, "/a")), "others' answers are stored all the same")
        origin.handle = lambda request, connection: answer(b"x", cache_control="private")
        check(get(n, "/b").status == 200)
        check("not-shared" in get(n, "/b")["cache-status"], "what the origin does not share is not waited for")


@case
def tags_outlive_validation():
    def handle(request, connection):
        if request["if-none-match"] is not None:
            return answer(status="304 Not Modified", length=False, etag='"1"', cache_control="max-age=1000")
        return answer(b"%d" % request.number, etag='"1"', cache_control="max-age=1", surrogate_key="k")

    with Origin(handle) as origin, node(upstreams=[origin.url]) as n:
        owner = n.http()
        check(get(n, "/").body == b"1")
        time.sleep(1.2)
        check(get(n, "/").body == b"1" and origin.count() == 2, "validated")
        check(is_hit(get(n, "/")))
        check(owner.ask("PURGE", "/other", fields={"surrogate-key": "k"}).status == 200)
        a = get(n, "/")
        check(a.body == b"3", f"the tag was forgotten: {a.body} {a['cache-status']} {origin.count()}")


@case
def a_head_says_no_length_that_it_does_not_know():
    def handle(request, connection):
        return answer(status="200 OK", length=False, transfer_encoding="chunked")

    with Origin(handle) as origin, node(upstreams=[origin.url], cache=False) as n:
        with socket.create_connection(("127.0.0.1", n.port)) as s:
            s.sendall(b"HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            got = b""
            while data := s.recv(65536):
                got += data
            check(got.startswith(b"HTTP/1.1 200 ") and b"content-length" not in got.lower(), got)


@case
def what_differs_by_address_is_not_shared():
    def handle(request, connection):
        return answer(b"%d" % request.number, cache_control=FRESH, vary=request.target[1:])

    with Origin(handle) as origin, node(upstreams=[origin.url]) as n:
        for name in ("X-Forwarded-For", "Forwarded"):
            get(n, "/" + name)
            check(not is_hit(get(n, "/" + name)), f"{name} is of the proxy, not of the client")
        get(n, "/X-Other")
        check(is_hit(get(n, "/X-Other")))


@case
def clients_that_leave_do_not_pile_up_fetches():
    """A leader goes on for the cache when its client has gone: as many as are allowed, not one a request."""
    def handle(request, connection):
        if request.target == "/ok":
            return answer(b"ok")
        connection.sendall(b"HTTP/1.1 200 OK\r\ncache-control: max-age=99\r\ncontent-length: 1000000\r\n\r\nx")
        connection.recv(1)  # until it is given up
        return None

    with Origin(handle) as origin, node(upstreams=[origin.url]) as n:
        for i in range(100):
            s = socket.create_connection(("127.0.0.1", n.port))
            s.sendall(f"GET /{i} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            check(s.recv(1000).startswith(b"HTTP/1.1 200 "))
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            s.close()  # with a reset: one that has only ended its side may still read
        few = wait_until(lambda: get(n, "/ok").body == b"ok" and len(origin.open) <= 66, 60)
        check(few, f"{len(origin.open)} connections for nobody")


@case
def wrong_settings_are_refused():
    for text_, words in (
        ("{at: /}", "a list of mounts"),
        ("[{at: /}]", "upstreams"),
        ("[{at: x, upstreams: ['http://127.0.0.1:1']}]", "begins with '/'"),
        ("[{at: /, upstreams: ['ftp://x']}]", "begins with http://"),
        ("[{at: /, upstreams: ['http://x:99999']}]", "port"),
        ("[{at: /, upstreams: ['http://127.0.0.1:1'], cach: true}]", "cach"),
        ("[{at: /, upstreams: ['http://127.0.0.1:1'], retries: 99}]", "too large"),
        ("[{at: /, upstreams: ['http://127.0.0.1:1'], hedge_after: 5}]", "percentile"),
        ("[{at: /, upstreams: ['http://127.0.0.1:1'], connect_timeout: 5}]", "duration"),
        ("[{at: /, upstreams: ['http://127.0.0.1:1'], health: {path: x}}]", "path"),
        ("[{at: /, upstreams: [{weight: 2}]}]", "url"),
        ("[{at: /, upstreams: ['http://127.0.0.1:1']}, {at: /, upstreams: ['http://127.0.0.1:1']}]",
         "serve.proxy"),
    ):  # fmt: skip
        result = subprocess.run(
            [BRISK, "--set", "serve.proxy=" + text_, "serve", "--listen", "127.0.0.1:0"],
            stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, timeout=60, check=False,
        )  # fmt: skip
        said = result.stderr.decode()
        check(result.returncode != 0 and words in said, f"{text_}: {result.returncode} {said}")


if __name__ == "__main__":
    run()
