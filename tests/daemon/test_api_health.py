"""/health of real nodes in each state that there is, and back; what jobs' cache predicts.

  test_api_health.py BRISK MODULE_FOLDER [NAME...]
"""
import os
import sys
import tempfile

from api_lib import Node
from cases import case, check, run
from serve_lib import free_port, wait_until

BRISK = sys.argv[1]
os.environ["BRISK_MODULE_PATH"] = sys.argv[2] + ":" + os.environ.get("BRISK_MODULE_PATH", "")
CACHE = tempfile.TemporaryDirectory(prefix="brisk-health-cache-")
os.environ["XDG_CACHE_HOME"] = CACHE.name
HEALTH_REQUESTS_MIN = 20


def health(http):
    """Status of the answer, of the node, and the names of what is wrong."""
    answer = http.get("/health")
    found = answer.json()
    return answer.status, found["status"], [c["name"] for c in found["checks"] if c["status"] != "healthy"]


def slow(**request):
    return {"workload": "slow", "request": request}


def set_knob(http, name, value):
    check(http.ask("PATCH", f"/v1/knobs/{name}", {"value": value}).status == 200)


@case
def degraded_by_memory():
    with Node(BRISK, settings=["serve.memory_limit=1MiB"]) as node:  # less than any process has
        http = node.http()
        check(wait_until(lambda: health(http) == (503, "degraded", ["memory"])), health(http))
        found = [c for c in http.get("/health").json()["checks"] if c["name"] == "memory"][0]
        check(found["value"] > 0.9 == found["limit"] and "of 1 MiB" in found["text"], found)
        check(http.get("/ready").status == 200, "it answers, for all that")
        set_knob(http, "serve.degraded_is_ok", True)
        check(health(http) == (200, "degraded", ["memory"]), health(http))
        set_knob(http, "serve.degraded_is_ok", False)
        for _ in range(60):  # answers of an unwell node to those who look are no errors of its work
            check(health(http)[0] == 503)
        seen = http.ok("GET", "/v1/stats").json()["samples"][-1]["time_s"]
        check(wait_until(lambda: http.ok("GET", "/v1/stats").json()["samples"][-1]["time_s"] > seen + 1.5))
        check(health(http) == (503, "degraded", ["memory"]), health(http))


@case
def degraded_by_a_tier():
    with Node(BRISK, settings=[f"cache.shared.url=redis://127.0.0.1:{free_port()}/0", "cache.shared.unsealed=on"]) as node:
        http = node.http()
        check(health(http)[:2] == (200, "healthy"))
        for i in range(20):
            http.ok("POST", "/v1/jobs", slow(bytes=10, key=f"tier-{i}"), {"prefer": "wait=30"})
        check(wait_until(lambda: health(http)[:2] == (503, "degraded")), health(http))
        check([name for name in health(http)[2] if name.startswith("tier.engine.")], health(http))


@case
def unhealthy_by_errors():
    with Node(BRISK, settings=[f"serve.proxy=[{{at: /gone/, upstreams: ['http://127.0.0.1:{free_port()}'], retries: 0}}]"]) as node:
        http = node.http()
        for i in range(HEALTH_REQUESTS_MIN - 1):
            check(http.get(f"/gone/{i}").status >= 500)
        check(wait_until(lambda: sum(s["server_errors"] for s in http.ok("GET", "/v1/stats").json()["samples"]) == 19))
        check(http.get("/gone/last").status >= 500)
        check(wait_until(lambda: health(http) == (503, "unhealthy", ["errors"])), health(http))
        set_knob(http, "serve.degraded_is_ok", True)
        check(health(http)[0] == 503, "that is for degraded alone")
        for i in range(400):
            http.ask("GET", f"/v1/cache/{i}")  # 404 is no error of the node's
        check(wait_until(lambda: health(http) == (200, "healthy", [])), health(http))


@case
def jobs_that_were_asked_wrong_are_no_errors():
    with Node(BRISK) as node:
        http = node.http()
        for i in range(30):
            answer = http.ask("POST", "/v1/jobs", slow(fail=f"why {i}"), {"prefer": "wait=30"})
            check(answer.json()["status"] == "failed", answer)
        check(wait_until(lambda: sum(s["job_failures"] for s in http.ok("GET", "/v1/stats").json()["samples"]) == 30))
        check(health(http) == (200, "healthy", []), health(http))


@case
def unhealthy_by_its_queue():
    with Node(BRISK, settings=["serve.jobs.running=1", "serve.jobs.queue=2"]) as node:
        http = node.http()
        jobs = []
        for _ in range(8):
            answer = http.ask("POST", "/v1/jobs", slow(ms=60000, steps=100))
            if answer.status == 429:
                break
            jobs.append(answer.json()["id"])
        check(answer.status == 429, answer)
        check(health(http) == (503, "unhealthy", ["queue"]), health(http))
        check(http.get("/ready").status == 503)
        for job in jobs:
            http.ask("DELETE", f"/v1/jobs/{job}")
        check(wait_until(lambda: health(http) == (200, "healthy", [])), health(http))
        check(http.get("/ready").status == 200)


@case
def what_is_predicted():
    settings = ["cache.predict.enabled=on", "cache.memory.bytes=256KiB", "cache.memory.policy=lru", "cache.disk.zstd_level=0",
                "serve.jobs.running=1"]  # fmt: skip
    with Node(BRISK, settings=settings) as node:
        http = node.http()
        check(wait_until(lambda: http.ok("GET", "/v1/stats").json()["samples"]))
        first = http.ok("GET", "/v1/stats").json()["samples"][-1]
        check(first["prediction_precision"] is None and first["prefetches"] == 0, first)
        for _ in range(8):
            for i in range(60):
                http.ok("POST", "/v1/jobs", slow(bytes=20000, key=f"next-{i}"), {"prefer": "wait=30"})

        def last():
            return http.ok("GET", "/v1/stats").json()["samples"][-1]

        check(wait_until(lambda: last()["prefetches_used"] > 0), last())
        found = last()
        check(0 < found["prediction_precision"] <= 1 and found["prefetches_used"] <= found["prefetches"], found)
        check(b"predict_guesses_total" in http.ok("GET", "/metrics").body)


if __name__ == "__main__":
    sys.exit(run(sys.argv[3:], 16))
