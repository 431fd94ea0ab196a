"""What the tests of the proxy share: a node with mounts, and how their cases are run."""
import json
import os
import shutil
import sys
import tempfile

import cases
from api_lib import Node
from origin_lib import answer

BRISK = sys.argv[1]
FRESH = "max-age=1000"
AT_ONCE = 4  # they wait more than they work


def node(*mounts, threads=1, settings=(), **mount):
    if mount:
        mounts = [{"at": "/", **mount}]
    return Node(
        BRISK,
        "--threads",
        str(threads),
        settings=["serve.proxy=" + json.dumps(mounts), *settings],
    )


class Status(str):
    """A Cache-Status field."""

    def __init__(self, text):
        super().__init__()
        self.words = [word.strip() for word in text.split(";")]

    def has(self, word):
        return word in self.words


def get(n, path, **fields):
    h = n.http(token=None)
    try:
        return h.get(path, **fields)
    finally:
        h.close()


def is_hit(a):
    return "; hit" in (a["cache-status"] or "")


def text(request, connection):
    return answer(f"{request.number}".encode(), cache_control=FRESH)


def run():
    """The cases, with a cache folder of their own."""
    os.environ.setdefault("XDG_CACHE_HOME", tempfile.mkdtemp(prefix="brisk-proxy-"))
    try:
        sys.exit(cases.run(sys.argv[2:], AT_ONCE))
    finally:
        shutil.rmtree(os.environ["XDG_CACHE_HOME"], ignore_errors=True)
