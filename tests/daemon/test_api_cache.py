"""/v1/cache over sockets: entries, conditions, ranges, life, tags, walks, and one brisk as another's shared tier.

  test_api_cache.py BRISK TIER_CLIENT [NAME...]

Every case starts a node of its own; times are waited for, never asserted.
"""
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading

import http2_lib as h2
from api_lib import READER, TOKEN, Http, Node
from cases import case, check, run
from serve_lib import wait_until

BRISK = sys.argv[1]
TIER_CLIENT = sys.argv[2]


@case
def entries_come_and_go():
    with Node(BRISK) as node:
        http = node.http()
        check(http.get("/v1/cache/a").status == 404)
        stored = http.ok("PUT", "/v1/cache/a", b"one", status=201)
        check(http.ok("PUT", "/v1/cache/a", b"one", status=204)["etag"] == stored["etag"])
        found = http.ok("GET", "/v1/cache/a")
        check(found.body == b"one" and found["etag"] == stored["etag"], found)
        check(found["content-type"] == "application/octet-stream", found)
        check(found["x-content-type-options"] == "nosniff", found)
        check("cache-control" not in found.fields, "it has no end")
        head = http.ok("HEAD", "/v1/cache/a")
        check(head["content-length"] == "3" and head["etag"] == stored["etag"] and head.body == b"", head)
        check(http.ok("PUT", "/v1/cache/a", b"two", status=204)["etag"] != stored["etag"])
        check(http.ok("GET", "/v1/cache/a").body == b"two")
        http.ok("DELETE", "/v1/cache/a", status=204)
        check(http.ask("DELETE", "/v1/cache/a").status == 404)
        http.ok("PUT", "/v1/cache/a", b"", status=201)
        check(http.ok("GET", "/v1/cache/a").body == b"")
        http.ok("PURGE", "/v1/cache/a", status=204)
        check(http.ask("PURGE", "/v1/cache/a").status == 404)
        check(http.ask("PATCH", "/v1/cache/a", b"").status == 405)
        options = http.ask("OPTIONS", "/v1/cache/a")
        check(options.status == 204 and "PUT" in options["allow"], options)
        check(not any(name.startswith("access-control") for name in options.fields), options)


def set_tokens(node, *lines):
    """The file of tokens, and that it is read again."""
    with open(node.token_file, "w", encoding="ascii") as file:
        file.write("".join(line + "\n" for line in lines))
    node.server.process.send_signal(signal.SIGHUP)


@case
def the_same_bytes_again():
    """A request in bytes that came before is judged and answered anew each time, whatever carries it."""
    change, read = f"{TOKEN} change tests", f"{READER} read reader"
    with Node(BRISK) as node:
        resp = node.resp()
        kept = {token: node.http(token) for token in (None, TOKEN, READER)}
        carrier = h2.Connection(node.port)

        def over_http1(method, token=None):
            answer = kept[token].ask(method, "/v1/cache/k")
            return answer.status, answer.body

        def over_http2(method, token=None):
            extra = [("authorization", "Bearer " + token)] if token is not None else []
            answer = carrier.wait(carrier.ask("/v1/cache/k", method, extra))
            return answer.status, answer.body

        for ask in (over_http1, over_http2):
            for i in range(8):
                resp.ok("SET", "k", b"value %d" % i)
                check(ask("GET") == (200, b"value %d" % i), "another writer's value")
                check(ask("GET") == (200, b"value %d" % i))
            resp.ok("SET", "k", b"brief", "PX", 50)
            check(wait_until(lambda: ask("GET")[0] == 404), "it ends")
            for _ in range(5):
                resp.ok("SET", "k", b"x")
                check(ask("DELETE", READER)[0] == 403 and ask("DELETE")[0] == 401, "rights")
                check(ask("GET")[0] == 200 and ask("DELETE", TOKEN)[0] == 204)
                check(ask("GET")[0] == 404 and ask("DELETE", TOKEN)[0] == 404)
            set_tokens(node, read)
            check(wait_until(lambda: ask("DELETE", TOKEN)[0] == 401), "a token that was taken back")
            check(ask("GET", READER)[0] == 404 and ask("GET", TOKEN)[0] == 401)
            set_tokens(node, read, change)
            check(wait_until(lambda: ask("DELETE", TOKEN)[0] == 404), "and given again")
        carrier.close()


@case
def the_same_keys_as_redis():
    with Node(BRISK) as node:
        http, resp = node.http(), node.resp()
        resp.ok("SET", "k", b"\x00\xffbinary", "PX", 100000)
        found = http.ok("GET", "/v1/cache/k")
        check(found.body == b"\x00\xffbinary", found)
        check(0 < int(found["cache-control"].removeprefix("max-age=")) <= 100, found)
        http.ok("PUT", "/v1/cache/k", b"new", status=204)
        check(resp.ok("GET", "k") == b"new" and resp.ok("TTL", "k") == -1)
        http.ok("PUT", "/v1/cache/k", b"brief", {"cache-control": "public, max-age=50"}, status=204)
        check(0 < resp.ok("TTL", "k") <= 50)
        resp.ok("WATCH", "k")
        http.ok("DELETE", "/v1/cache/k", status=204)
        resp.ok("MULTI")
        resp.ok("PING")
        check(resp.ok("EXEC") is None, "who watches a key hears of a change over HTTP")
        info = resp.ok("INFO", "stats").decode()
        http.ok("GET", "/v1/cache/missing", status=404)
        hits = lambda text: [int(line.split(":")[1]) for line in text.split("\r\n") if line.startswith("keyspace_")]
        before, after = hits(info), hits(resp.ok("INFO", "stats").decode())
        check(after[0] == before[0] and after[1] == before[1] + 1, (before, after))
        resp.ok("CONFIG", "SET", "notify-keyspace-events", "KEA")
        listener = node.resp()
        listener.ok("PSUBSCRIBE", "__keyevent@0__:*")
        http.ok("PUT", "/v1/cache/told", b"x", status=201)
        check(listener.read()[2:] == [b"__keyevent@0__:set", b"told"])


@case
def names_of_any_bytes():
    with Node(BRISK) as node:
        http, resp = node.http(), node.resp()
        names = {
            "/v1/cache/a%2Fb": b"a/b",
            "/v1/cache/a/b/c": b"a/b/c",
            "/v1/cache/a//b": b"a//b",
            "/v1/cache/x%20y%25": b"x y%",
            "/v1/cache/x/../y": b"x/../y",
            "/v1/cache/%C3%A9": "é".encode(),
            "/v1/cache/00ff0a?encoding=hex": b"\x00\xff\n",
            "/v1/cache/AP8K?encoding=base64url": b"\x00\xff\n",
            "/v1/cache/AP8?encoding=base64url": b"\x00\xff",
            "/v1/cache/6375727665?encoding=hex": b"curve",
            "/v1/cache/invalidate": b"invalidate",
        }
        for path, name in names.items():
            http.ask("PUT", path, name + b"!")
            check(resp.ok("GET", name) == name + b"!", path)
            check(http.ok("GET", path).body == name + b"!", path)
        for path in ("/v1/cache/0?encoding=hex", "/v1/cache/zz?encoding=hex", "/v1/cache/A?encoding=base64url",
                     "/v1/cache/AB?encoding=base64url", "/v1/cache/a?encoding=rot13", "/v1/cache/%zz"):
            check(http.get(path).status == 400, path)
        long = "a" * 12000
        http.ok("PUT", "/v1/cache/" + long, b"x", status=201)
        check(http.ok("GET", "/v1/cache/" + long).body == b"x")
        check(http.ask("PUT", "/v1/cache/", b"x").status == 400)


@case
def conditions():
    with Node(BRISK) as node:
        http = node.http()
        check(http.ask("PUT", "/v1/cache/a", b"x", {"if-match": "*"}).status == 412)
        tag = http.ok("PUT", "/v1/cache/a", b"x", {"if-none-match": "*"}, status=201)["etag"]
        check(http.ask("PUT", "/v1/cache/a", b"y", {"if-none-match": "*"}).status == 412)
        check(http.ask("PUT", "/v1/cache/a", b"y", {"if-match": '"other"'}).status == 412)
        check(http.ask("PUT", "/v1/cache/a", b"y", {"if-match": "W/" + tag}).status == 412, "weak is not enough")
        check(http.ok("GET", "/v1/cache/a").body == b"x")
        fresh = http.ok("PUT", "/v1/cache/a", b"y", {"if-match": '"1", ' + tag}, status=204)["etag"]
        for value in (fresh, "W/" + fresh, '"1",' + fresh, "*"):
            same = http.ok("GET", "/v1/cache/a", None, {"if-none-match": value}, status=304)
            check(same["etag"] == fresh and same.body == b"", same)
        check(http.ok("GET", "/v1/cache/a", None, {"if-none-match": tag}).body == b"y")
        check(http.ask("GET", "/v1/cache/a", None, {"if-match": tag}).status == 412)
        check(http.ask("GET", "/v1/cache/b", None, {"if-match": "*"}).status == 412)
        check(http.ask("DELETE", "/v1/cache/a", None, {"if-match": tag}).status == 412)
        http.ok("DELETE", "/v1/cache/a", None, {"if-match": fresh}, status=204)
        # Of many who store at once under a condition, one does.
        won = []

        def store(i):
            if Http(node.port).ask("PUT", "/v1/cache/race", b"%d" % i, {"if-none-match": "*"}).status == 201:
                won.append(i)

        threads = [threading.Thread(target=store, args=(i,)) for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        check(len(won) == 1 and http.ok("GET", "/v1/cache/race").body == b"%d" % won[0], won)


@case
def ranges_and_large_values():
    with Node(BRISK, memory="256MiB") as node:
        http = node.http()
        large = bytes(i * 7 % 251 for i in range(3_000_000))
        for size in (10, 20_000, len(large)):
            value = large[:size]
            tag = http.ask("PUT", "/v1/cache/v", value)["etag"]
            check(http.ok("GET", "/v1/cache/v").body == value)
            for spec, first, count in (("0-0", 0, 1), ("3-", 3, size - 3), ("-4", size - 4, 4), ("2-999999999", 2, size - 2)):
                part = http.ok("GET", "/v1/cache/v", None, {"range": "bytes=" + spec}, status=206)
                check(part.body == value[first : first + count], spec)
                check(part["content-range"] == f"bytes {first}-{first + count - 1}/{size}", part)
            bad = http.ok("GET", "/v1/cache/v", None, {"range": f"bytes={size}-"}, status=416)
            check(bad["content-range"] == f"bytes */{size}" and bad.body == b"", bad)
            check(http.ok("GET", "/v1/cache/v", None, {"range": "bytes=0-0", "if-range": '"x"'}).body == value)
            http.ok("GET", "/v1/cache/v", None, {"range": "bytes=0-0", "if-range": tag}, status=206)
            check(http.ok("GET", "/v1/cache/v", None, {"range": "lines=0-0"}).body == value)
        chunked = http.ask("PUT", "/v1/cache/c", large, chunked=True)
        check(chunked.status == 201 and http.ok("GET", "/v1/cache/c").body == large)
        empty = http.ask("PUT", "/v1/cache/e", b"", chunked=True)
        check(empty.status == 201 and http.ok("GET", "/v1/cache/e").body == b"")


@case
def what_is_too_much():
    with Node(BRISK, settings=["serve.bulk_max=1MiB", "serve.input_total=3MiB"]) as node:
        http = node.http()
        for chunked in (False, True):
            check(Http(node.port).ask("PUT", "/v1/cache/a", b"x" * (1 << 20), chunked=chunked).status < 300)
        refused = Http(node.port)
        try:
            check(refused.ask("PUT", "/v1/cache/b", b"x" * ((1 << 20) + 1)).status == 413)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it answered before all was sent
        check(http.get("/v1/cache/b").status == 404)
        # Unfinished requests of all: half of serve.input_total.
        held = [Http(node.port) for _ in range(3)]
        statuses = []
        for one in held:
            one.connection.putrequest("PUT", "/v1/cache/held")
            one.connection.putheader("authorization", "Bearer " + TOKEN)
            one.connection.putheader("content-length", str(1 << 20))
            one.connection.endheaders(b"x" * 1000)
        # One of them has come first, whichever loop it reached.
        sockets = {one.connection.sock: one for one in held}
        check(wait_until(lambda: len(select.select(list(sockets), [], [], 0)[0]) == 2), "two are answered")
        for sock in select.select(list(sockets), [], [], 0)[0]:
            statuses.append(sockets[sock].connection.getresponse().status)
        check(statuses == [503, 503], statuses)
        for one in held:
            one.close()
        check(wait_until(lambda: Http(node.port).ask("PUT", "/v1/cache/a", b"y" * (1 << 20)).status < 300))
        check(http.get("/v1/cache/held").status == 404, "half of a value is none")
        tags = " ".join(f"t{i}" for i in range(100))
        check(http.ask("PUT", "/v1/cache/a", b"x", {"surrogate-key": tags}).status == 400)
        check(http.ask("PUT", "/v1/cache/a", b"x", {"x-brisk-ttl-ms": "soon"}).status == 400)


@case
def life():
    with Node(BRISK) as node:
        http = node.http()
        http.ok("PUT", "/v1/cache/a", b"x", {"x-brisk-ttl-ms": "50"}, status=201)
        check(wait_until(lambda: http.get("/v1/cache/a").status == 404))
        http.ok("PUT", "/v1/cache/a", b"x", status=201)
        http.ok("PUT", "/v1/cache/a", b"x", {"cache-control": "no-store"}, status=204)
        check(http.get("/v1/cache/a").status == 404, "over at once")
        http.ok("PUT", "/v1/cache/a", b"x", {"cache-control": "max-age=1, s-maxage=900"}, status=201)
        age = int(http.ok("GET", "/v1/cache/a")["cache-control"].removeprefix("max-age="))
        check(800 < age <= 900, age)
        http.ok("PUT", "/v1/cache/a", b"x", {"cache-control": 'max-age="99999999999999999999999"'}, status=204)
        check(int(http.ok("GET", "/v1/cache/a")["cache-control"].removeprefix("max-age=")) > 10**9)


@case
def tags_prefixes_and_lists():
    with Node(BRISK) as node:
        http, resp = node.http(), node.resp()
        for i in range(10):
            http.ok("PUT", f"/v1/cache/p/{i}", b"x", {"surrogate-key": f"all odd{i % 2}"}, status=201)
        http.ok("PUT", "/v1/cache/q", b"x", status=201)
        done = http.ok("POST", "/v1/cache/invalidate", {"tags": ["odd1"], "keys": ["p/0", "nothing"]}).json()
        check(done == {"schema": 1, "keys": 1, "tags": 1, "prefixes": 0}, done)
        check([http.get(f"/v1/cache/p/{i}").status for i in range(5)] == [404, 404, 200, 404, 200])
        shown = http.ok("GET", "/v1/cache?prefix=p/").json()
        check(sorted(e["key"] for e in shown["entries"]) == ["p/2", "p/4", "p/6", "p/8"], shown)
        check(all(e["tagged"] and e["size"] == 1 and e["ttl_ms"] is None for e in shown["entries"]), shown)
        http.ok("POST", "/v1/cache/invalidate", {"prefixes": ["p/2", "p/4"]})
        http.ok("DELETE", "/v1/cache?prefix=p/6", status=204)
        check([http.get(f"/v1/cache/p/{i}").status for i in (2, 4, 6, 8)] == [404, 404, 404, 200])
        check(http.get("/v1/cache/q").status == 200)
        check(http.ask("DELETE", "/v1/cache").status == 400, "nobody empties a cache by mistake")
        http.ok("POST", "/v1/cache/invalidate", {"keys": ["71"], "encoding": "hex"})
        check(http.get("/v1/cache/q").status == 404)
        for body in ("", "[]", "{}", "{", '{"keys": 1}', '{"keys": [1]}', '{"keys": [""]}', '{"keys": ["0"], "encoding": "hex"}',
                     '{"keys": ["a"], "encoding": "rot13"}', '{"tags": ["a"], "tags": ["b"]}', "\xff"):
            answer = http.ask("POST", "/v1/cache/invalidate", body.encode("latin-1"))
            check(answer.status == 400 and answer.json()["error"]["code"] == "invalid", (body, answer))
        check(http.ask("POST", "/v1/cache/else", b"{}").status == 404)
        # A walk shows everything once or more, whatever the steps.
        for i in range(500):
            resp.ok("SET", b"\xff%d" % i if i % 50 == 0 else f"walk {i}", i)
        seen, cursor = {}, "0"
        while True:
            step = http.ok("GET", f"/v1/cache?limit=7&cursor={cursor}").json()
            for entry in step["entries"]:
                seen[entry["key"]] = entry["encoding"]
            cursor = step["cursor"]
            if cursor == "0":
                break
        check(sum(1 for key, how in seen.items() if how == "text" and key.startswith("walk")) == 490, len(seen))
        check(sum(1 for how in seen.values() if how == "hex") == 10, len(seen))
        shown = http.ok("GET", "/v1/cache?prefix=ff31&encoding=hex&limit=1000").json()
        check(shown["cursor"] == "0" and sorted(e["key"] for e in shown["entries"]) == ["ff313030", "ff313530"], shown)
        for query in ("limit=0", "limit=1001", "cursor=x", "cursor=99999999999999999999", "encoding=hex&prefix=f"):
            check(http.get("/v1/cache?" + query).status == 400, query)
        http.ok("DELETE", "/v1/cache?all=true", status=204)
        check(resp.ok("DBSIZE") == 0)


@case
def who_may():
    with Node(BRISK) as node:
        nobody, reader = node.http(None), node.http(READER)
        node.http().ok("PUT", "/v1/cache/a", b"x", status=201)
        for one in (nobody, reader):
            check(one.get("/v1/cache/a").status == 200)
        for method, path, body in (("PUT", "/v1/cache/a", b"y"), ("DELETE", "/v1/cache/a", None), ("PURGE", "/v1/cache/a", None),
                                   ("POST", "/v1/cache/invalidate", b"{}"), ("DELETE", "/v1/cache?all=true", None)):
            answer = nobody.ask(method, path, body)
            check(answer.status == 401 and answer["www-authenticate"].startswith("Bearer"), answer)
            check(reader.ask(method, path, body).status == 403, method)
        check(nobody.ask("GET", "/v1/cache/a", None, {"host": "evil.example"}).status == 403)
        check(nobody.ask("GET", "/v1/cache/a", None, {"x-forwarded-for": "10.0.0.1"}).status == 401)
        check(node.http().ask("PUT", "/v1/cache/a", b"y", {"origin": "http://evil.example"}).status == 403)
        check(node.http("wrong-token-0123456789").get("/v1/cache/a").status == 401)
        check(node.http().ok("GET", "/v1/cache/a").body == b"x")


@case
def what_is_on_disk_alone():
    with tempfile.TemporaryDirectory(prefix="brisk-api-") as folder:
        with Node(BRISK, "--disk", folder, memory="2MiB") as node:
            http = node.http()
            value = os.urandom(20_000)
            for i in range(300):  # three times what memory holds
                http.ok("PUT", f"/v1/cache/d{i}", b"%d" % i + value, status=201)
            for i in range(0, 300, 7):
                check(http.ok("GET", f"/v1/cache/d{i}").body == b"%d" % i + value, i)
            check(http.get("/v1/cache/none").status == 404)
            check(http.ask("PUT", "/v1/cache/d1", b"new", {"if-none-match": "*"}).status == 412, "it is on disk")
            http.ok("DELETE", "/v1/cache/d2", status=204)
            http.ok("POST", "/v1/cache/invalidate", {"keys": ["d3"]})
            check(http.get("/v1/cache/d2").status == 404 and http.get("/v1/cache/d3").status == 404)
            # Clients that go while the disk is asked leave nothing behind.
            for i in range(50):
                one = Http(node.port)
                one.connection.request("GET", f"/v1/cache/d{i * 5}", headers={"authorization": "Bearer " + TOKEN})
                one.close()
        with Node(BRISK, "--disk", folder, memory="2MiB") as node:
            http = node.http()
            check(http.ok("GET", "/v1/cache/d7").body == b"7" + value, "it survived")
            check(http.get("/v1/cache/d2").status == 404)


@case
def a_shared_tier():
    """One brisk is another's L3: put, get, ask again with the tag, remove, purge, large values, a wrong token."""
    with Node(BRISK) as node:
        for way in ("plain", "purge"):
            done = subprocess.run([TIER_CLIENT, f"http://127.0.0.1:{node.port}/v1/cache/l3", TOKEN, way],
                                  capture_output=True, text=True, timeout=60)
            check(done.returncode == 0, done.stdout + done.stderr)
        answers = node.resp().ok("BRISK.METRICS").decode()
        check('serve_http_responses_total{class="3xx",route="api.cache"}' in answers, "asked again with the tag: 304")
        shown = node.http().ok("GET", "/v1/cache?prefix=l3/").json()["entries"]
        check(len(shown) > 0 and all(len(e["key"]) == 35 for e in shown), shown)


@case
def the_engine_uses_it():
    """`brisk cache` of two machines (two local caches) share entries over a node."""
    with Node(BRISK) as node, tempfile.TemporaryDirectory(prefix="brisk-api-") as folder:
        secret = os.path.join(folder, "key")
        with open(secret, "w", encoding="ascii") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write("0123456789abcdef0123456789abcdef")
        token = os.path.join(folder, "token")
        with open(token, "w", encoding="ascii") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(TOKEN)

        def program(machine, *args, token_file=token):
            environment = {**os.environ, "XDG_CACHE_HOME": os.path.join(folder, machine)}
            settings = [f"cache.shared.url=http://127.0.0.1:{node.port}/v1/cache/l3", f"cache.shared.key_file={secret}",
                        f"cache.shared.token_file={token_file}"]
            command = [BRISK, *[word for s in settings for word in ("--set", s)], *args]
            return subprocess.run(command, capture_output=True, env=environment, timeout=60)

        done = program("one", "cache", "set", "greeting", "shared by two")
        check(done.returncode == 0, done)
        done = program("two", "cache", "get", "greeting", "--json")
        check(done.returncode == 0, done)
        found = json.loads(done.stdout)
        check(found["value"] == "shared by two" and found["tier"] == "http", found)
        check(json.loads(program("two", "cache", "get", "greeting", "--json").stdout)["tier"] == "disk", "it was kept")
        check(program("one", "cache", "invalidate", "greeting").returncode == 0)
        check(program("three", "cache", "get", "greeting").returncode == 1, "it is gone for others")
        done = program("four", "cache", "get", "greeting", token_file="/nonexistent")
        check(done.returncode == 1, done)


if __name__ == "__main__":
    sys.exit(run(sys.argv[3:]))
