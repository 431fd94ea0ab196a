"""What a node knew before it was restarted: figures, alerts.

  test_api_past.py BRISK [NAME...]
"""
import os
import signal
import sys
import tempfile
import time

from api_lib import Node
from cases import case, check, run
from serve_lib import wait_until

BRISK = sys.argv[1]


def figures(folder, every="1s", file="figures"):
    return [f"serve.figures.file={os.path.join(folder, file)}", f"serve.figures.every={every}"]


def stats(http, query="step=60"):
    return http.ok("GET", f"/v1/stats?{query}").json()


def responses(http, query="step=60"):
    return sum(s["responses"] for s in stats(http, query)["samples"])


def kill(node):
    node.server.stop(signal.SIGKILL)
    node.folder.cleanup()


@case
def figures_survive_kill_9():
    with tempfile.TemporaryDirectory(prefix="brisk-past-") as folder:
        began = int(time.time())
        node = Node(BRISK, settings=figures(folder))
        http = node.http()
        for i in range(300):
            http.ask("GET", f"/v1/cache/{i}")
        check(wait_until(lambda: stats(http)["file"]["written"] and responses(http) >= 300), stats(http))
        kill(node)
        size = os.path.getsize(os.path.join(folder, "figures"))
        with Node(BRISK, settings=figures(folder)) as node:
            http = node.http()
            for step in (60, 300, 1800):
                check(responses(http, f"step={step}") >= 300, stats(http, f"step={step}"))
            check(stats(http, "step=1")["uptime_s"] < 100 and responses(http, "step=1") < 300, "seconds are this node's alone")
            check(responses(http, f"step=60&since={began + 3600}") == 0)
            check(responses(http, f"step=60&until={began - 61}") == 0)
            check(responses(http, f"step=60&since={began - 61}&until={began + 300}") >= 300)
            times = [s["time_s"] for s in stats(http)["samples"]]
            check(times == sorted(times) and len(times) <= 3, times)
        check(os.path.getsize(os.path.join(folder, "figures")) == size)


@case
def what_was_begun_is_kept_at_the_end():
    with tempfile.TemporaryDirectory(prefix="brisk-past-") as folder:
        with Node(BRISK, settings=figures(folder, every="60s")) as node:
            for i in range(100):
                node.http().ask("GET", f"/v1/cache/{i}")
        with Node(BRISK, settings=figures(folder, every="60s")) as node:
            check(responses(node.http()) >= 100, stats(node.http()))


@case
def two_nodes_and_one_file():
    with tempfile.TemporaryDirectory(prefix="brisk-past-") as folder:
        with Node(BRISK, settings=figures(folder)) as first:
            check(wait_until(lambda: stats(first.http())["file"]["written"]))
            with Node(BRISK, settings=figures(folder)) as second:
                http = second.http()
                check(wait_until(lambda: "another node" in stats(http)["file"]["text"]), stats(http))
                check(stats(http)["file"]["written"] is False)
                first.server.process.send_signal(signal.SIGTERM)
                first.server.process.wait(30)
                check(wait_until(lambda: stats(http)["file"]["written"]), stats(http))


@case
def a_node_that_cannot_write_says_so():
    with tempfile.TemporaryDirectory(prefix="brisk-past-") as folder:
        with open(os.path.join(folder, "figures"), "w", encoding="ascii") as file:
            file.write("a letter, not figures")
        with Node(BRISK, settings=figures(folder)) as node:
            http = node.http()
            check(wait_until(lambda: "left alone" in stats(http)["file"]["text"]), stats(http))
            check(stats(http)["file"]["written"] is False)
            check(wait_until(lambda: stats(http)["samples"] != []), "memory serves")
        with open(os.path.join(folder, "figures"), encoding="ascii") as file:
            check(file.read() == "a letter, not figures")
        with Node(BRISK, settings=["serve.figures.file="]) as node:
            check(stats(node.http())["file"] == {"written": False, "text": "none is configured"})


@case
def alerts_that_were():
    budget = ("schema: 1\nbudgets:\n  - name: entries\n    metric: serve.tier.entries\n    labels: {tier: memory}\n"
              "    statistic: value\n    critical: 3\n    for: 0s\n")
    with tempfile.TemporaryDirectory(prefix="brisk-past-") as folder:
        path = os.path.join(folder, "budgets.yaml")
        with open(path, "w", encoding="ascii") as file:
            file.write(budget)
        there = {"XDG_DATA_HOME": folder}
        began = int(time.time())
        node = Node(BRISK, settings=[f"serve.budgets={path}"], env=there)
        http = node.http()
        for i in range(10):
            http.ok("PUT", f"/v1/cache/{i}", b"x", status=201)
        check(wait_until(lambda: http.ok("GET", "/v1/alerts").json()["past"]))
        kill(node)
        with Node(BRISK, env=there) as node:
            http = node.http()

            def past(query=""):
                return http.ok("GET", f"/v1/alerts{query}").json()["past"]

            found = past()
            if found == [] and not os.path.exists(os.path.join(folder, "brisk", "history.sqlite3")):
                print("there is no SQLite here: alerts are not kept")
                return
            check([(a["name"], a["state"], a["severity"], a["limit"]) for a in found] == [("entries", "firing", "critical", 3)], found)
            check(http.ok("GET", "/v1/alerts").json()["alerts"] == [], "none fires now")
            check(past("?state=resolved") == [] and past("?state=firing") == found)
            check(past("?metric=serve.tier.entries&name=entries") == found and past("?metric=x") == [] and past("?name=x") == [])
            check(past(f"?since={began - 1}&until={began + 600}") == found)
            check(past(f"?since={began + 600}") == [] and past(f"?until={began - 10}") == [])


if __name__ == "__main__":
    sys.exit(run(sys.argv[2:], 16))
