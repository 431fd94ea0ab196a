"""A node under test with its token, a plain HTTP client, and a small judge of JSON schemas."""
import http.client
import json
import os
import re
import tempfile

from cases import check
from serve_lib import Server

TOKEN = "token-of-the-tests-0123456789"
READER = "reader-of-the-tests-0123456789"


class Answer:
    def __init__(self, status, fields, body):
        self.status = status
        self.fields = fields
        self.body = body

    def __getitem__(self, name):
        return self.fields.get(name)

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"{self.status} {self.fields} {self.body[:300]!r}"


class Http:
    """One connection, kept; a token goes along unless it is None."""

    def __init__(self, port, token=TOKEN, timeout=30):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
        self.token = token

    def ask(self, method, path, body=None, fields=None, chunked=False):
        fields = dict(fields or {})
        if self.token is not None and "authorization" not in fields:
            fields["authorization"] = "Bearer " + self.token
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
            fields.setdefault("content-type", "application/json")
        if chunked:
            body = iter([body[i : i + 1000] for i in range(0, len(body), 1000)])
        self.connection.request(method, path, body, fields, encode_chunked=chunked)
        answer = self.connection.getresponse()
        found = {name.lower(): value for name, value in answer.getheaders()}
        return Answer(answer.status, found, answer.read())

    def get(self, path, **fields):
        return self.ask("GET", path, fields={k.replace("_", "-"): v for k, v in fields.items()})

    def ok(self, method, path, body=None, fields=None, status=200):
        answer = self.ask(method, path, body, fields)
        check(answer.status == status, f"{method} {path}: {answer}")
        return answer

    def close(self):
        self.connection.close()


class Node:
    """`brisk serve` with tokens of its own; a context."""

    def __init__(self, brisk, *args, settings=(), memory="64MiB", env=None):
        self.folder = tempfile.TemporaryDirectory(prefix="brisk-api-")
        self.token_file = os.path.join(self.folder.name, "tokens")
        with open(self.token_file, "w", encoding="ascii") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(f"{TOKEN} change tests\n{READER} read reader\n")
        settings = [f"serve.token_file={self.token_file}", *settings]
        self.server = Server(brisk, ["--memory", memory, *args], settings, env=env)
        self.port = self.server.port

    def http(self, token=TOKEN):
        return Http(self.port, token)

    def resp(self):
        return self.server.client()

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        code, words = self.server.stop()
        self.folder.cleanup()
        if kind is None:
            check(code == 0, f"exit code {code}: {words}")
            check("ERROR: " not in words and "runtime error" not in words, words)
        else:
            print(f"the node ended with {code}: {words}")


KINDS = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "null": type(None),
}


def is_kind(value, kind):
    if kind == "integer":
        return isinstance(value, int) and not isinstance(value, bool)
    if kind == "number":
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return isinstance(value, KINDS[kind])


def judge(document, schema, value, where="$"):
    """Raise when `value` is not what `schema` says; a part of JSON Schema, and nothing is ignored."""
    if schema is True:
        return
    for word in schema:
        check(word in WORDS, f"{where}: the schema has {word}, which is not judged")
    if "$ref" in schema:
        name = schema["$ref"].removeprefix("#/components/schemas/")
        judge(document, document["components"]["schemas"][name], value, where)
    if "type" in schema:
        kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        check(any(is_kind(value, kind) for kind in kinds), f"{where}: {value!r} is no {kinds}")
    if "const" in schema:
        check(value == schema["const"], f"{where}: {value!r} is not {schema['const']!r}")
    if "enum" in schema:
        check(value in schema["enum"], f"{where}: {value!r} is none of {schema['enum']}")
    for rule in schema.get("allOf", []):
        judge(document, rule, value, where)
    for word in ("anyOf", "oneOf"):
        if word in schema:
            check(any(fits(document, rule, value) for rule in schema[word]), f"{where}: {value!r} fits none")
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        check(value >= schema.get("minimum", value), f"{where}: {value} is too small")
        check(value <= schema.get("maximum", value), f"{where}: {value} is too large")
    if isinstance(value, str) and "pattern" in schema:
        check(re.search(schema["pattern"], value), f"{where}: {value!r} is not {schema['pattern']}")
    if isinstance(value, list):
        check(len(value) <= schema.get("maxItems", len(value)), f"{where}: too many")
        check(len(value) >= schema.get("minItems", 0), f"{where}: too few")
        for i, item in enumerate(value):
            judge(document, schema.get("items", True), item, f"{where}[{i}]")
    if isinstance(value, dict):
        for name in schema.get("required", []):
            check(name in value, f"{where}: there is no {name}")
        known = schema.get("properties", {})
        rest = schema.get("additionalProperties", True)
        for name, item in value.items():
            if name in known:
                judge(document, known[name], item, f"{where}.{name}")
            else:
                check(rest is not False, f"{where}: {name} is not in the schema")
                judge(document, rest, item, f"{where}.{name}")


WORDS = {
    "$ref", "type", "const", "enum", "allOf", "anyOf", "oneOf", "minimum", "maximum", "pattern", "items", "maxItems",
    "minItems", "required", "properties", "additionalProperties", "description", "format", "default", "title",
    "examples", "contentEncoding", "minLength", "maxLength", "nullable",
}  # fmt: skip


def fits(document, schema, value):
    try:
        judge(document, schema, value)
    except AssertionError:
        return False
    return True
