"""h2spec, when it is there: all of its cases, plain and over TLS, with an early answer and a late one.

  test_h2spec.py HTTP2_SERVER
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile


def run(server, args, spec):
    process = subprocess.Popen([server, *args], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    port = process.stdout.readline().decode().strip()
    failed = 0
    for path in ("/", "/hello", "/later?ms=5"):
        command = [spec, "-h", "127.0.0.1", "-p", port, "-P", path, "-o", "5"]
        out = subprocess.run(command + (["-t", "-k"] if args else []), capture_output=True,
                             text=True, check=False).stdout
        counts = re.search(r"(\d+) tests, (\d+) passed, (\d+) skipped, (\d+) failed", out)
        print(path, "TLS" if args else "plain", counts.group(0) if counts else "no result")
        if counts is None or counts.group(1) != counts.group(2):
            print(out[out.find("Failures:"):], file=sys.stderr)
            failed += 1
    process.stdin.close()
    code = process.wait(30)
    if code != 0:
        print(f"the server ended with {code}", file=sys.stderr)
    return failed + (code != 0)


def main():
    spec = os.environ.get("BRISK_H2SPEC") or shutil.which("h2spec")
    if spec is None or shutil.which("openssl") is None:
        print("h2spec or openssl is not there")
        return 77
    with tempfile.TemporaryDirectory() as folder:
        pem = [os.path.join(folder, "cert.pem"), os.path.join(folder, "key.pem")]
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                        "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
                        "/CN=localhost", "-out", pem[0], "-keyout", pem[1]],
                       capture_output=True, check=True)
        failed = run(sys.argv[1], [], spec) + run(sys.argv[1], ["cert=" + pem[0], "key=" + pem[1]], spec)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
