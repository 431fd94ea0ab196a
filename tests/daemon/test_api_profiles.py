"""/v1/profiles of a real node: taken, listed, compared, refused.

  test_api_profiles.py BRISK [NAME...]
"""
import os
import sys
import threading

from api_lib import READER, Node
from cases import case, check, run
from serve_lib import wait_until

BRISK = sys.argv[1]


@case
def a_flame_graph_of_the_node():
    modules = os.path.join(os.path.dirname(BRISK), "..", "observe", "modules")
    there = {"BRISK_MODULE_PATH": os.environ.get("BRISK_MODULE_PATH", "") + ":" + os.path.realpath(modules)}
    with Node(BRISK, env=there) as node:
        http = node.http()
        for body in ('{"seconds": 0}', '{"seconds": 61}', '{"hertz": 1000}', '{"more": 1}', "[]", "{"):
            check(http.ask("POST", "/v1/profiles", body.encode()).status == 400, body)
        check(node.http(READER).ask("POST", "/v1/profiles", b"{}").status == 403)
        check(http.get("/v1/profiles/1").status == 404 and http.get("/v1/profiles/x").status == 404)
        taken = []
        for _ in range(2):
            answer = http.ok("POST", "/v1/profiles", {"seconds": 1, "hertz": 499}, status=202).json()
            check(answer["state"] == "running", answer)
            check(http.ask("POST", "/v1/profiles", b"{}").status == 409)
            check(http.get(f"/v1/profiles/{answer['id']}").status == 202)
            stop = []

            def load():
                client = node.resp()
                while not stop:
                    client.send_raw(client.encode("PING") * 500)
                    for _ in range(500):
                        client.read()

            thread = threading.Thread(target=load)
            thread.start()
            path = f"/v1/profiles/{answer['id']}"
            done = wait_until(lambda: http.get(path).json()["state"] != "running", 60)
            stop.append(1)
            thread.join()
            check(done)
            taken.append(http.ok("GET", path).json())
        check([p["id"] for p in http.ok("GET", "/v1/profiles").json()["profiles"]] == [2, 1])
        if taken[0]["state"] == "failed":
            check(taken[0]["why"] != "", taken[0])
            print("no profile can be taken here:", taken[0]["why"])
            return
        tree = taken[0]["tree"]
        check(tree["value"] == taken[0]["total"] > 0, "it worked, so there are samples")
        check(tree["value"] >= sum(c["value"] for c in tree["children"]))
        svg = http.ok("GET", "/v1/profiles/2?format=svg")
        check(svg["content-type"] == "image/svg+xml" and svg.body.startswith(b"<svg"), svg)
        text = http.ok("GET", "/v1/profiles/2?format=collapsed").body.decode()
        check(sum(int(line.rsplit(" ", 1)[1]) for line in text.splitlines()) == taken[1]["total"])
        both = http.ok("GET", "/v1/profiles/2?against=1").json()
        check(both["total_before"] == taken[0]["total"] and both["tree"]["before"] == taken[0]["total"], both["why"])
        check(http.get("/v1/profiles/2?against=9").status == 404)


if __name__ == "__main__":
    sys.exit(run(sys.argv[2:]))
