"""A node that asks for certificates (serve.tls_ca): who shows one that the CA signed may change things without a token,
who shows none or a stranger's has no connection; over HTTP/1.1, HTTP/2 by ALPN and RESP.

  test_certificates.py BRISK
"""
import http.client
import os
import shutil
import ssl
import subprocess
import sys
import tempfile

from serve_lib import Client, Server


def check(condition, what="not so"):
    if not condition:
        raise AssertionError(what)


def openssl(*args):
    subprocess.run(["openssl", *args], capture_output=True, check=True)


def make(folder, name, ca=None):
    """A key and a certificate, of itself or signed by `ca`; their files."""
    cert, key = (os.path.join(folder, f"{name}.{kind}") for kind in ("pem", "key"))
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", f"/CN={name}", "-keyout", key]
    if ca is None:
        openssl("req", "-x509", *curve, "-days", "2", "-out", cert)
        return cert, key
    request = os.path.join(folder, f"{name}.csr")
    names = os.path.join(folder, "names")
    with open(names, "w", encoding="ascii") as file:
        file.write("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    openssl("req", *curve, "-out", request)
    openssl("x509", "-req", "-in", request, "-CA", ca[0], "-CAkey", ca[1], "-CAcreateserial", "-days", "2", "-extfile", names,
            "-out", cert)
    return cert, key


def trusting(ca, own=None):
    tls = ssl.create_default_context(cafile=ca[0])
    if own is not None:
        tls.load_cert_chain(*own)
    return tls


def ask(server, tls, method, target, body=None):
    c = http.client.HTTPSConnection("localhost", server.port, timeout=20, context=tls)
    c.connect()
    try:
        c.request(method, target, body)
        answer = c.getresponse()
        return answer.status, answer.read()
    finally:
        c.close()


def is_refused(ask_it):
    """The handshake ends, or with TLS 1.3 the first bytes after it."""
    try:
        ask_it()
    except (ssl.SSLError, ConnectionError, http.client.BadStatusLine):
        return True
    return False


def main():
    if shutil.which("openssl") is None:
        print("skipped: openssl is not installed")
        sys.exit(77)
    with tempfile.TemporaryDirectory() as folder:
        ca, foreign = make(folder, "ca"), make(folder, "foreign")
        node, friend = make(folder, "node", ca), make(folder, "friend", ca)
        stranger = make(folder, "stranger", foreign)
        settings = [f"serve.tls_cert={node[0]}", f"serve.tls_key={node[1]}", f"serve.tls_ca={ca[0]}"]
        server = Server(sys.argv[1], settings=settings, env={"XDG_RUNTIME_DIR": folder})
        try:
            known = trusting(ca, friend)
            check(ask(server, known, "PUT", "/v1/cache/k", b"value")[0] in (200, 201, 204), "a change with a certificate")
            check(ask(server, known, "GET", "/v1/cache/k") == (200, b"value"), "what was put")
            resp = Client(("127.0.0.1", server.port), tls=known)
            check(resp.ok("GET", "k") == b"value", "RESP with a certificate")
            resp.close()
            for who, tls in (("nobody", trusting(ca)), ("a stranger", trusting(ca, stranger))):
                check(is_refused(lambda t=tls: ask(server, t, "GET", "/v1/cache/k")), f"{who} over HTTP")
                check(is_refused(lambda t=tls: Client(("127.0.0.1", server.port), tls=t).ok("GET", "k")), f"{who} over RESP")
            h2 = trusting(ca, friend)
            h2.set_alpn_protocols(["h2"])
            with h2.wrap_socket(Client(("127.0.0.1", server.port)).socket, server_hostname="localhost") as s:
                check(s.selected_alpn_protocol() == "h2", "ALPN")
            check(ask(server, known, "GET", "/v1/cache/k")[0] == 200, "the node goes on")
            # Plain connections to a node with TLS stay what they were: this machine reads, a change needs a right.
            plain = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
            plain.request("PUT", "/v1/cache/k", b"other")
            check(plain.getresponse().status in (401, 403), "a change without anything")
            plain.close()
        finally:
            server.stop()
    print("certificates: ok")


main()
