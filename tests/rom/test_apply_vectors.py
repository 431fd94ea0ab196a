#!/usr/bin/env python3
"""Every IPS, UPS and BPS vector of the shared corpus through the program, cold and warm.

    test_apply_vectors.py BRISK CORPUS     exit 77 when the corpus is not there
"""
import csv
import hashlib
import os
import pathlib
import subprocess
import sys
import tempfile

SUFFIX = {"flips ips": "flips.ips", "flips bps": "flips.bps", "flips linear.bps":
          "flips.linear.bps", "rp.js ips": "rpjs.ips", "rp.js bps": "rpjs.bps",
          "rp.js ups": "rpjs.ups"}


def sha256(path: pathlib.Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def apply(brisk: str, env: dict, *args) -> str:
    done = subprocess.run([brisk, "rom", "apply", *map(str, args)], env=env,
                          capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stderr.strip() or f"exit {done.returncode}"


def main() -> int:
    brisk, corpus = sys.argv[1], pathlib.Path(os.environ.get("BRISK_CORPUS", sys.argv[2])) / "rom"
    if not (corpus / "VECTORS.tsv").exists():
        print(f"skipped: no vectors in {corpus}")
        return 77
    failures, tried = [], 0
    with tempfile.TemporaryDirectory() as folder:
        env = os.environ | {"XDG_CACHE_HOME": folder + "/cache"}
        out = pathlib.Path(folder) / "out"
        for row in csv.DictReader(open(corpus / "VECTORS.tsv"), delimiter="\t"):
            if row["tool"] not in SUFFIX:
                continue
            patch = corpus / "patches" / f"{row['pair']}.{SUFFIX[row['tool']]}"
            for how in (["--no-cache"], [], []):
                tried += 1
                out.unlink(missing_ok=True)
                said = apply(brisk, env, corpus / row["source"], patch, "-o", out, "--no-fsync",
                             *how)
                if said or sha256(out) != row["target_sha256"]:
                    failures.append(f"{patch.name} {how}: {said or 'another result'}")
    print("\n".join(failures))
    print(f"{tried} runs, {len(failures)} wrong")
    return 1 if failures or tried == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
