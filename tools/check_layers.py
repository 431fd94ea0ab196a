#!/usr/bin/env python3
"""Fail when a file includes a layer it may not see.  The tables are the architecture.

Private headers are included as "layer/name.h"; public ones as <brisk/name.h>, and each public
header belongs to a layer too, so that going through the public door does not hide a wrong arrow.
A workload sees the public headers, its own folder and nothing of its neighbours.
"""
import pathlib
import re
import sys

BELOW = ["base", "mem", "metrics", "wire"]  # each may see the ones before it
SIBLINGS = ["cache", "exec", "io", "tune"]  # see BELOW, never each other
ALLOWED = {layer: set(BELOW[:i]) for i, layer in enumerate(BELOW)}
ALLOWED |= {layer: set(BELOW) for layer in SIBLINGS}
ALLOWED["engine"] = set(BELOW) | set(SIBLINGS)
ALLOWED["observe"] = set(BELOW) | set(SIBLINGS) | {"engine"}
ALLOWED["daemon"] = set(BELOW) | set(SIBLINGS) | {"engine", "observe"}
ALLOWED["workload"] = set()  # public headers only, as an outsider's module
ALLOWED["cli"] = set()  # likewise
PUBLIC_ONLY = {"workload", "cli"}
HEADER_ONLY = {"base/cleanup.h", "base/assert.h"}  # macros, nothing to link

HEADERS = {  # layer: the public headers it implements
    "base": "base alloc err clock log rng hash knob yaml json file text version",
    "mem": "arena pool",
    "metrics": "hist histogram counter metrics events trace track service grade expose ticker",
    "wire": "json_read",
    "exec": "executor graph",
    "io": "http_client",
    "cache": "value cache memory background "
    "flight loader memo warm "
    "predict record ttl "
    "cache_sim mrc sizer sizing trace_file",
    "engine": "engine form workload module command shared node",
    "observe": "bench budget stats import history machine statsd otlp whatif",
}
OWNER = {header: layer for layer, headers in HEADERS.items() for header in headers.split()}
UMBRELLA = "brisk"  # includes every other one; for programs outside the library

INCLUDE = re.compile(r'^\s*#\s*include\s+(?:"([^"]+)"|<brisk/([^>]+)\.h>)', re.M)


def see_public(layer: str, header: str) -> str | None:
    """Why `layer` may not include <brisk/header.h>, or None."""
    if header == UMBRELLA:
        return None if layer in PUBLIC_ONLY else "is for users of the library"
    if header not in OWNER:
        return "has no owner in tools/check_layers.py"
    if layer in PUBLIC_ONLY or OWNER[header] in ALLOWED[layer] | {layer}:
        return None
    return f"belongs to '{OWNER[header]}', which '{layer}' must not see"


def see_private(layer: str, module: str | None, header: str) -> str | None:
    """Why a file of `layer` (of workload `module`) may not include "header", or None."""
    parts = header.split("/")
    if header in HEADER_ONLY:
        return None
    if len(parts) == 1:
        return 'is not named "layer/file.h"'
    if parts[0] == layer:
        if module is not None and len(parts) > 2 and parts[1] != module:
            return f"belongs to the workload '{parts[1]}'"
        return None
    if parts[0] in ALLOWED[layer]:
        return None
    return f"belongs to '{parts[0]}', which '{layer}' must not see"


def check_source(src: pathlib.Path, path: pathlib.Path) -> list[str]:
    parts = path.relative_to(src).parts
    layer = parts[0] if len(parts) > 1 else "base"  # src/version.c
    if layer not in ALLOWED:
        return [f"{path}: folder '{layer}' is no layer"]
    module = parts[1] if layer == "workload" and len(parts) > 2 else None
    bad = []
    for private, public in INCLUDE.findall(path.read_text()):
        why = see_private(layer, module, private) if private else see_public(layer, public)
        if why:
            bad.append(f"{path}: {private or f'<brisk/{public}.h>'} {why}")
    return bad


def check_public(path: pathlib.Path) -> list[str]:
    text = path.read_text()
    bad = []
    if re.search(r'^\s*#\s*include\s+"', text, re.M):
        bad.append(f"{path}: public headers include only <brisk/...> and ISO C")
    if path.stem == UMBRELLA:
        missing = set(OWNER) - {public for _, public in INCLUDE.findall(text)}
        bad += [f"{path}: <brisk/{header}.h> is missing" for header in sorted(missing)]
    elif path.stem not in OWNER:
        bad.append(f"{path}: has no owner in tools/check_layers.py")
    else:
        layer = OWNER[path.stem]
        whys = ((public, see_public(layer, public)) for _, public in INCLUDE.findall(text))
        bad += [f"{path}: <brisk/{public}.h> {why}" for public, why in whys if why]
    return bad


def main(root: pathlib.Path) -> int:
    bad = []
    for path in sorted((root / "src").rglob("*.[ch]")):
        bad += check_source(root / "src", path)
    for path in sorted((root / "include").rglob("*.h")):
        bad += check_public(path)
    print("\n".join(bad), end="\n" if bad else "")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".")))
