#!/usr/bin/env python3
"""Other capsules shown behind this one: a second egalaxyd, and capsules that misbehave. The programs
are those of $EGALAXYD_BIN_DIR."""
import contextlib
import hashlib
import json
import os
import pathlib
import re
import signal
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from capsule import (PATIENCE, UPLOAD_SITE, Capsule, Folder, eventually, fingerprint,  # noqa: E402
                     free_port, make_certificate, program)
from fake_server import Host, read_line  # noqa: E402
from titan_client import Conversation, exchange  # noqa: E402

ORDINARY = "nobody"  # an account that is there everywhere
PAGES = """
[sites.localhost."/"]
module = "directory"
root = "root"
"""
HELLO = b"20 text/plain\r\nhello\n"
DOES_NOT_ANSWER = "The capsule behind this one does not answer"


def reset(connection):
    """Ends it as a capsule does that breaks down."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


class Hostile:
    """A capsule whose every connection is dealt with by `serve(connection, line)`, in a thread of its
    own; without `certificate` it speaks no TLS. It reads the request line unless `asks` says not to,
    and counts."""

    def __init__(self, serve, certificate=None, port=0, path=None, asks=True):
        self.serve, self.asks = serve, asks
        self.connections, self.served = 0, 0
        self.lines = []
        self._context = None
        if certificate:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(*certificate)
        if path:
            self._listener = socket.socket(socket.AF_UNIX)
            self._listener.bind(str(path))
            os.chmod(path, 0o777)
            self._listener.listen()
        else:
            self._listener = socket.create_server(("127.0.0.1", port))
            # What is small is sent at once, and not lost in a reset.
            self._listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.port = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection = self._listener.accept()[0]
                self.connections += 1
                self._threads.append(threading.Thread(target=self._take, args=(connection,),
                                                      daemon=True))
                self._threads[-1].start()

    def _take(self, connection):
        connection.settimeout(PATIENCE)
        with connection, contextlib.suppress(OSError, ValueError):
            if self._context:
                with self._context.wrap_socket(connection, server_side=True,
                                               suppress_ragged_eofs=False) as tls:
                    self._talk(tls)
            else:
                self._talk(connection)

    def _talk(self, connection):
        line = read_line(connection) if self.asks else b""
        self.lines.append(line)
        try:
            self.serve(connection, line)
        finally:
            self.served += 1

    def close(self):
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept()
        self._listener.close()
        for thread in self._threads:
            thread.join(PATIENCE)


def saying(answer):
    """Says it and closes without a close_notify."""
    return lambda connection, _: connection.sendall(answer)


class Case(unittest.TestCase):
    account = None

    def setUp(self):
        self.folder = Folder()
        self.addCleanup(self.folder.remove)
        self.certificate = make_certificate(self.folder.path, "localhost")

    def capsule(self, sites, settings=None, account=None):
        """A server that has not been started."""
        server = Capsule(sites, settings, account=account)
        self.addCleanup(server.close)
        return server

    def front(self, to, keys="", settings=None, path="/", start=True):
        """A server that shows the capsules `to` at `path`: ports of this machine, or addresses. Those
        may be slow on a busy machine."""
        named = [f"gemini://127.0.0.1:{each}" if isinstance(each, int) else each for each in to]
        patience = "" if "connect_timeout" in keys else f'\nconnect_timeout = "{PATIENCE}s"\n'
        server = self.capsule(f'[sites.localhost."{path}"]\nmodule = "proxy"\n'
                              f'to = {named}\n{keys}' + patience, settings, self.account)
        return server.start() if start else server

    def behind(self, sites=PAGES, settings=None, front_port=1965):
        """A second egalaxyd, whose folder "root" has a page."""
        server = self.capsule(sites, {"listen.public_ports": f"[{front_port}]", **(settings or {})})
        root = server.folder.make("root")
        (root / "index.gmi").write_text("# Behind\n")
        return server.start()

    def pair(self, sites=PAGES, behind_settings=None, keys="", settings=None):
        """(front, behind): the second believes in the first's port."""
        port = free_port()
        behind = self.behind(sites, behind_settings, port)
        front = self.front([behind.port], keys,
                           {"listen.gemini": f'["127.0.0.1:{port}"]', **(settings or {})})
        return front, behind

    def host(self, usual=HELLO, certificate=None):
        return self.enterContext(Host(certificate or self.certificate, usual))

    def hostile(self, serve, certificate=None, **options):
        """With TLS, unless `certificate` is False."""
        capsule = Hostile(serve, self.certificate if certificate is None else certificate, **options)
        self.addCleanup(capsule.close)
        return capsule

    def enterContext(self, manager):  # Python 3.11 has it
        self.addCleanup(manager.__exit__, None, None, None)
        return manager.__enter__()

    def assert_says(self, server, words):
        self.assertTrue(eventually(lambda: words in server.log()), server.log())


class Pages(Case):
    def test_a_page_is_the_one_of_the_capsule(self):
        front, behind = self.pair()
        content = os.urandom(300_000)
        (behind.folder.path / "root/picture.png").write_bytes(content)
        for path in ("/", "/index.gmi", "/picture.png", "/missing"):
            through, direct = front.get(path), behind.get(path)
            self.assertEqual((through.status, through.meta, through.body),
                             (direct.status, direct.meta, direct.body), path)
        self.assertEqual(front.get("/picture.png").body, content)
        self.assertEqual(front.get("/picture.png").end, "close_notify")

    def test_the_url_goes_on_unchanged(self):
        host = self.host()
        front = self.front([host.port])
        for path in ("/a%2Fb/%7Ec/%41?x%20y&z=%2F+%3f", "/", "/?", "/a//b/", "/%E2%82%AC"):
            self.assertEqual(front.get(path).body, b"hello\n", path)
            self.assertEqual(host.requests[-1].decode(), front.url(path, "gemini") + "\r\n")
        self.assertEqual(host.names[-1], "localhost")

    def test_an_input_is_asked_for_and_goes_on(self):
        host = self.host(b"10 Name?\r\n")
        front = self.front([host.port])
        answer = front.get("/search")
        self.assertEqual((answer.status, answer.meta), (10, "Name?"))
        host.usual = HELLO
        self.assertEqual(front.get("/search?Alice%20B").status, 20)
        self.assertTrue(host.requests[-1].endswith(b"/search?Alice%20B\r\n"))

    def test_host_upstream_asks_for_the_capsules_own_name(self):
        host = self.host()
        front = self.front([host.port], 'host = "upstream"\n')
        self.assertEqual(front.get("/a%2Fb?c").status, 20)
        self.assertEqual(host.requests[-1],
                         f"gemini://127.0.0.1:{host.port}/a%2Fb?c\r\n".encode())
        self.assertEqual(host.names[-1], None)  # an address is no name

    def test_server_name_is_what_tls_asks_for(self):
        host = self.host()
        front = self.front([host.port], 'server_name = "inner.test"\n')
        self.assertEqual(front.get("/").status, 20)
        self.assertEqual(host.names[-1], "inner.test")

    def test_a_failure_of_the_capsule_is_told(self):
        host = self.host(b"44 10\r\n")
        front = self.front([host.port])
        for said, status, meta in ((b"44 10", 44, "10"), (b"51 Not here", 51, "Not here"),
                                   (b"40 Later", 40, "Later"), (b"53 Not me", 53, "Not me")):
            host.usual = said + b"\r\n"
            answer = front.get("/")
            self.assertEqual((answer.status, answer.meta), (status, meta))

    def test_ten_mebibytes_come_whole(self):
        content = os.urandom(1 << 20) * 10
        capsule = self.hostile(saying(b"20 application/octet-stream\r\n" + content))
        front = self.front([capsule.port])
        answer = front.get("/")
        self.assertEqual(hashlib.sha256(answer.body).digest(), hashlib.sha256(content).digest())
        self.assertEqual(answer.end, "close_notify")


class Redirects(Case):
    def redirected(self, front, host, target, path="/"):
        host.usual = f"30 {target}\r\n".encode()
        answer = front.get(path)
        self.assertEqual(answer.status, 30)
        return answer.meta

    def test_one_to_the_capsules_own_address_becomes_ours(self):
        host = self.host()
        front = self.front([host.port], 'host = "upstream"\n')
        ours = f"gemini://localhost:{front.port}"
        self.assertEqual(self.redirected(front, host, f"gemini://127.0.0.1:{host.port}/x?y"),
                         ours + "/x?y")
        self.assertEqual(self.redirected(front, host, "/there"), "/there")
        self.assertEqual(self.redirected(front, host, "there"), "there")
        self.assertEqual(self.redirected(front, host, "gemini://example.org/x"),
                         "gemini://example.org/x")

    def test_a_stripped_mount_is_put_back(self):
        host = self.host()
        front = self.front([host.port], "strip = true\n", path="/old_stuff")
        ours = f"gemini://localhost:{front.port}"
        self.assertEqual(front.get("/old_stuff/a%2Fb?c").status, 20)
        self.assertEqual(host.requests[-1].decode(), f"{ours}/a%2Fb?c\r\n")
        self.assertEqual(front.get("/old_stuff").status, 20)
        self.assertEqual(host.requests[-1].decode(), f"{ours}/\r\n")
        self.assertEqual(self.redirected(front, host, "/x", "/old_stuff/y"), "/old_stuff/x")
        self.assertEqual(self.redirected(front, host, "x", "/old_stuff/y"), "x")
        self.assertEqual(self.redirected(front, host, ours + "/x", "/old_stuff/y"),
                         ours + "/old_stuff/x")
        self.assertEqual(self.redirected(front, host, f"gemini://127.0.0.1:{host.port}/x", "/old_stuff/y"),
                         ours + "/old_stuff/x")


class Trust(Case):
    """Both ends know whom they talk to."""

    def test_a_pinned_certificate_is_taken(self):
        host = self.host()
        front = self.front([host.port], f'fingerprints = ["{fingerprint(self.certificate)}"]\n')
        self.assertEqual(front.get("/").status, 20)

    def test_a_pinned_key_is_taken(self):
        der = subprocess.run(["openssl", "pkey", "-in", self.certificate[1], "-pubout", "-outform",
                              "DER"], check=True, capture_output=True).stdout
        host = self.host()
        front = self.front([host.port],
                           f'fingerprints = ["{hashlib.sha256(der).hexdigest()}"]\n')
        self.assertEqual(front.get("/").status, 20)

    def test_another_certificate_is_43_and_nothing_is_asked(self):
        host = self.host()
        front = self.front([host.port], f'fingerprints = ["{"ab" * 32}"]\n')
        answer = front.get("/secret")
        self.assertEqual((answer.status, answer.meta), (43, DOES_NOT_ANSWER))
        self.assert_says(front, f"its certificate, SHA-256 {fingerprint(self.certificate)}, is not "
                                "among fingerprints")
        self.assertEqual(host.requests, [])

    def authority(self):
        """(authority's certificate file, certificate of localhost that it signed)."""
        folder = self.folder.path
        authority = make_certificate(folder, "authority")
        request, key, signed = folder / "in.csr", folder / "in.key", folder / "in.crt"
        names = folder / "names"
        names.write_text("subjectAltName = DNS:localhost\n")
        for words in (["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                       "-keyout", key, "-out", request, "-subj", "/CN=localhost"],
                      ["x509", "-req", "-in", request, "-CA", authority[0], "-CAkey", authority[1],
                       "-CAcreateserial", "-days", "30", "-out", signed, "-extfile", names]):
            subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)
        return authority[0], (str(signed), str(key))

    def test_an_authority_tells_the_right_certificate_from_others(self):
        authority, signed = self.authority()
        right, other = self.host(certificate=signed), self.host()
        keys = f'ca = "{authority}"\n'
        self.assertEqual(self.front([right.port], keys).get("/").status, 20)
        front = self.front([other.port], keys)
        self.assertEqual(front.get("/").status, 43)
        self.assert_says(front, "its certificate is not accepted: ")
        front = self.front([right.port], keys + 'server_name = "other.test"\n')
        self.assertEqual(front.get("/").status, 43)
        self.assert_says(front, "its certificate is not accepted: hostname mismatch")

    def test_the_capsule_sees_our_certificate(self):
        own, other = (make_certificate(self.folder.path, name) for name in ("own", "other"))
        members = f"""
            [sites.localhost."/"]
            module = "authenticated"
            fingerprints = ["{fingerprint(own)}"]
            [sites.localhost."/".sites."/"]
            module = "directory"
            root = "root"
            """
        shown = 'certificate = "{}"\nkey = "{}"\n'
        port = free_port()
        behind = self.behind(members, front_port=port)
        listen = {"listen.gemini": f'["127.0.0.1:{port}"]'}
        front = self.front([behind.port], shown.format(*own), listen)
        self.assertEqual(front.get("/").body, b"# Behind\n")
        front.close()
        for keys, told in ((shown.format(*other), "answered 61"), ("", "answered 60")):
            front = self.front([behind.port], keys, listen)
            answer = front.get("/")
            self.assertEqual(answer.status, 43)
            self.assert_says(front, told)
            front.close()

    def test_a_capsule_that_asks_for_a_certificate_is_43(self):
        host = self.host(b"60 Certificate, please\r\n")
        front = self.front([host.port])
        for said in (b"60 Certificate, please\r\n", b"61 Not you\r\n", b"62 Too old\r\n"):
            host.usual = said
            answer = front.get("/", certificate=self.certificate)
            self.assertEqual(answer.status, 43)
            self.assertNotIn("ertificate", answer.meta)


class Sockets(Case):
    def test_a_unix_socket_without_tls(self):
        capsule = self.hostile(saying(HELLO), certificate=False, path=self.folder.path / "s")
        front = self.front([f"unix:{self.folder.path}/s"], "tls = false\n")
        self.assertEqual(front.get("/a%2Fb?c").body, b"hello\n")
        self.assertEqual(capsule.lines[-1].decode(), front.url("/a%2Fb?c", "gemini") + "\r\n")

    def test_a_unix_socket_with_tls(self):
        self.hostile(saying(HELLO), path=self.folder.path / "s")
        front = self.front([f"unix:{self.folder.path}/s"])
        self.assertEqual(front.get("/").body, b"hello\n")

    def test_an_address_without_tls(self):
        capsule = self.hostile(saying(HELLO), certificate=False)
        front = self.front([capsule.port], "tls = false\n")
        self.assertEqual(front.get("/").body, b"hello\n")


@unittest.skipUnless(os.geteuid() == 0, "only root has a server that is not its own")
class OrdinaryUser(Sockets):
    account = ORDINARY


class Visitors(Case):
    def test_the_capsule_hears_who_the_visitor_is(self):
        for version in ("v1", "v2"):
            front, behind = self.pair(
                behind_settings={"listen.proxy_protocol_from": '["127.0.0.1"]',
                                 "log.access_target": '"access.log"', "log.client_ip": '"full"'},
                keys=f'proxy_protocol = "{version}"\n')
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            with socket.create_connection(("127.0.0.1", front.port), PATIENCE,
                                          ("127.0.0.9", 0)) as raw:
                with context.wrap_socket(raw, server_hostname="localhost") as visitor:
                    visitor.sendall(front.url("/", "gemini").encode() + b"\r\n")
                    self.assertTrue(visitor.recv(64).startswith(b"20 "), behind.log())
            access = behind.folder.path / "access.log"
            self.assertTrue(eventually(lambda: access.exists() and "127.0.0.9" in access.read_text()),
                            access.exists() and access.read_text())

    def spartan(self, port, path, data=b""):
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as visitor:
            visitor.settimeout(PATIENCE)
            visitor.sendall(f"localhost {path} {len(data)}\r\n".encode() + data)
            with visitor.makefile("rb") as answer:
                return answer.read()

    def test_those_over_spartan_are_served_too(self):
        host = self.host()
        for titan in ("false", "true"):
            front = self.front([host.port], f"titan = {titan}\n",
                               {"listen.spartan": '["127.0.0.1:0"]'})
            asked = lambda *words: self.spartan(front.spartan_port, *words)
            host.usual = HELLO
            self.assertEqual(asked("/a%2Fb"), b"2 text/plain\r\nhello\n")
            self.assertEqual(host.requests[-1], b"gemini://localhost/a%2Fb\r\n")
            self.assertEqual(asked("/a", "grüß dich?".encode()), b"2 text/plain\r\nhello\n")
            self.assertEqual(host.requests[-1], b"gemini://localhost/a?gr%C3%BC%C3%9F%20dich%3F\r\n")
            count = len(host.requests)
            self.assertTrue(asked("/a", b"x" * 2000).startswith(b"4 "))
            self.assertTrue(asked("/a", b"\xff\x00").startswith(b"4 "))
            self.assertEqual(len(host.requests), count)
            host.usual = b"30 /there\r\n"
            self.assertEqual(asked("/a"), b"3 /there\r\n")
            host.usual = b"10 Name?\r\n"
            self.assertIn(b"=:", asked("/a"))
            host.usual = b"60 Certificate\r\n"
            self.assertTrue(asked("/a").startswith(b"5 "))


class Uploads(Case):
    def test_an_upload_arrives_whole(self):
        self.folder.make("up")
        sites = UPLOAD_SITE.replace('"up"\n[', f'"{self.folder.path}/up"\n[') + 'mime = ["*/*"]\n'
        front, behind = self.pair(sites, keys="titan = true\n")
        content = os.urandom(1 << 20)
        answer = front.put("/up/file.bin", content, ";mime=application/octet-stream")
        self.assertIn(answer.status, (20, 30), answer)
        self.assertEqual((self.folder.path / "up/file.bin").read_bytes(), content)
        spool = front.folder.path / "state/spool"
        self.assertTrue(eventually(lambda: not list(spool.iterdir())))

    def test_the_parameters_go_on_as_they_were_sent(self):
        host = self.host(b"20 text/plain\r\nkept\n")
        front = self.front([host.port], "titan = true\n")
        line = front.url("/a%2Fb") + ";size=5;mime=text/x;token=a%20b"
        self.assertEqual(exchange(front.port, line, b"hello").body, b"kept\n")
        self.assertEqual(host.requests[-1].decode(), line + "\r\n")
        self.assertEqual(host.bodies[-1], b"hello")
        self.assertEqual(exchange(front.port, front.url("/x") + ";size=0").body, b"kept\n")
        self.assertTrue(host.requests[-1].endswith(b"/x;size=0\r\n"))

    def test_where_titan_is_off_they_are_50(self):
        host = self.host()
        front = self.front([host.port])
        self.assertEqual(front.put("/x", b"hello").status, 50)
        self.assertEqual(host.requests, [])

    def test_a_capsule_may_refuse_before_it_has_all_of_it(self):
        def refuse(connection, _):
            connection.sendall(b"59 Not that\r\n")
            connection.unwrap()
        capsule = self.hostile(refuse)
        front = self.front([capsule.port], "titan = true\n")
        answer = front.put("/x", os.urandom(1 << 20))
        self.assertEqual((answer.status, answer.meta), (59, "Not that"), front.log())

    def test_one_that_breaks_off_asks_nobody(self):
        host = self.host()
        front = self.front([host.port], "titan = true\n")
        exchange(front.port, front.url("/x") + ";size=100000", b"hello", finish="reset")
        self.assertEqual(front.put("/y", b"hello").status, 20)
        self.assertEqual([b"/y;" in line for line in host.requests], [True])

    def test_a_slow_capsule_gets_all_of_it(self):
        got = []

        def slow(connection, line):
            size = int(re.search(rb";size=(\d+)", line)[1])
            body = b""
            while len(body) < size and (more := connection.recv(10_000)):
                body += more
                if len(body) % 3 == 0:
                    time.sleep(0.001)
            got.append(body)
            connection.sendall(HELLO)
        capsule = self.hostile(slow)
        front = self.front([capsule.port], "titan = true\n")
        content = os.urandom(3 << 20)
        self.assertEqual(front.put("/x", content).status, 20)
        self.assertEqual(got, [content])


class BadCapsules(Case):
    def test_the_end_needs_no_close_notify(self):
        for certificate in (None, False):
            capsule = self.hostile(saying(HELLO), certificate=certificate)
            front = self.front([capsule.port], f"tls = {str(certificate is None).lower()}\n")
            answer = front.get("/")
            self.assertEqual((answer.status, answer.body, answer.end), (20, b"hello\n", "close_notify"))

    def test_what_is_no_answer_is_43(self):
        capsule = self.hostile(None)
        front = self.front([capsule.port])
        for said, told in ((b"", "without a word"), (b"hello\r\n", "no header"),
                           (b"HTTP/1.1 200 OK\r\n\r\n", "no header"), (b"\0" * 5000, "no header"),
                           (b"2", "header"), (b"20 text/plain", "header"),
                           (b"99 what\r\n", "99"), (b"20 " + b"x" * 2000, "header"),
                           (b"30 bad\x01target\r\n", "bad redirect")):
            capsule.serve = saying(said)
            answer = front.get("/")
            self.assertEqual(answer.status, 43, said)
            self.assertEqual(answer.body, b"")
            self.assert_says(front, told)

    def test_one_that_says_nothing_is_43_in_time(self):
        capsule = self.hostile(lambda connection, _: connection.recv(1))
        front = self.front([capsule.port], 'header_timeout = "300ms"\n')
        self.assertEqual(front.get("/").status, 43)
        self.assert_says(front, "no header within 0.3 s (header_timeout)")
        self.assertTrue(eventually(lambda: capsule.served))

    def test_one_that_breaks_down_in_the_middle_shows_that(self):
        half_is_there = threading.Event()

        def break_down(connection, _):
            connection.sendall(b"20 text/plain\r\nhalf")
            half_is_there.wait(PATIENCE)  # a reset overtakes what has not been read
            reset(connection)
        for certificate in (None, False):
            half_is_there.clear()
            capsule = self.hostile(break_down, certificate=certificate)
            front = self.front([capsule.port], f"tls = {str(certificate is None).lower()}\n")
            with Conversation(front.port) as client:
                client.say(front.url("/", "gemini").encode() + b"\r\n")
                self.assertTrue(client.hears(b"half"))
                half_is_there.set()
                answer = client.read()
            self.assertEqual((answer.status, answer.body), (20, b"half"))
            self.assertNotEqual(answer.end, "close_notify")
            self.assert_says(front, "in the middle of its answer, which was cut")

    def test_silence_in_the_middle_is_cut(self):
        def fall_silent(connection, _):
            connection.sendall(b"20 text/plain\r\nhalf")
            connection.recv(1)
        capsule = self.hostile(fall_silent)
        front = self.front([capsule.port], 'idle_timeout = "300ms"\n')
        answer = front.get("/")
        self.assertEqual((answer.status, answer.body), (20, b"half"))
        self.assertNotEqual(answer.end, "close_notify")
        self.assertTrue(eventually(lambda: capsule.served))

    def test_one_that_speaks_no_tls_is_43(self):
        capsule = self.hostile(saying(b"20 text/plain\r\nhello\n"), certificate=False, asks=False)
        front = self.front([capsule.port])
        self.assertEqual(front.get("/").status, 43)
        self.assert_says(front, "in the TLS handshake it broke the connection")

    def test_one_that_does_not_shake_hands_is_43_in_time(self):
        capsule = self.hostile(lambda connection, _: connection.recv(1 << 20) and connection.recv(1),
                               certificate=False, asks=False)
        front = self.front([capsule.port], 'connect_timeout = "300ms"\n')
        answer = front.get("/")
        self.assertEqual((answer.status, answer.meta), (43, DOES_NOT_ANSWER))
        self.assert_says(front, "within 0.3 s (connect_timeout)")
        self.assertTrue(eventually(lambda: capsule.served))

    def test_a_header_in_single_bytes_is_read(self):
        def dribble(connection, _):
            for byte in HELLO:
                connection.sendall(bytes([byte]))
        front = self.front([self.hostile(dribble).port])
        self.assertEqual(front.get("/").body, b"hello\n")


class Streams(Case):
    def test_what_a_capsule_says_is_there_at_once(self):
        go_on = threading.Event()
        self.addCleanup(go_on.set)

        def stream(connection, _):
            connection.sendall(b"20 text/plain\r\none\n")
            go_on.wait(PATIENCE)
            connection.sendall(b"two\n")
        front = self.front([self.hostile(stream).port])
        with Conversation(front.port) as visitor:
            visitor.say(front.url("/", "gemini").encode() + b"\r\n")
            visitor.await_answer()
            go_on.set()
            answer = visitor.read()
        self.assertEqual((answer.body, answer.end), (b"one\ntwo\n", "close_notify"))

    def endless(self):
        """Counts what it could send."""
        self.sent = 0

        def stream(connection, _):
            connection.sendall(b"20 application/octet-stream\r\n")
            while True:
                connection.sendall(bytes(1 << 16))
                self.sent += 1 << 16
        return self.hostile(stream)

    def test_a_reader_that_stops_holds_the_capsule_up(self):
        capsule = self.endless()
        front = self.front([capsule.port], settings={"limits.write_timeout": '"2s"'})
        with Conversation(front.port, receive_buffer=4096) as visitor:
            visitor.say(front.url("/", "gemini").encode() + b"\r\n")
            self.assertTrue(eventually(lambda: self.sent))
            self.assertTrue(eventually(lambda: capsule.served))  # write_timeout
            self.assertLess(self.sent, 64 << 20)

    def test_a_visitor_that_leaves_ends_the_capsules_work(self):
        for resets in (False, True):
            capsule = self.endless()
            front = self.front([capsule.port])
            with Conversation(front.port) as visitor:
                visitor.say(front.url("/", "gemini").encode() + b"\r\n")
                visitor.await_answer()
                if resets:
                    visitor.reset()
            self.assertTrue(eventually(lambda: capsule.served))

    def test_one_that_leaves_before_the_answer_ends_it_too(self):
        capsule = self.hostile(lambda connection, _: connection.recv(1))
        front = self.front([capsule.port])
        with Conversation(front.port) as visitor:
            visitor.say(front.url("/", "gemini").encode() + b"\r\n")
            self.assertTrue(eventually(lambda: capsule.lines))
            visitor.reset()
        self.assertTrue(eventually(lambda: capsule.served))

    def test_a_reload_does_not_cut_a_page(self):
        go_on = threading.Event()
        self.addCleanup(go_on.set)

        def stream(connection, _):
            connection.sendall(b"20 text/plain\r\none\n")
            go_on.wait(PATIENCE)
            connection.sendall(b"two\n")
        front = self.front([self.hostile(stream).port])
        with Conversation(front.port) as visitor:
            visitor.say(front.url("/", "gemini").encode() + b"\r\n")
            visitor.await_answer()
            front.signal(signal.SIGHUP)
            self.assertTrue(eventually(lambda: "generation 2" in front.log()), front.log())
            go_on.set()
            self.assertEqual(visitor.read().body, b"one\ntwo\n")
        self.assertEqual(front.get("/").body, b"one\ntwo\n")


class Several(Case):
    def test_a_capsule_that_is_down_is_43_and_comes_back(self):
        port = free_port()
        front = self.front([port], 'retry_after = "1s"\n', {"server.workers": "1"})
        for _ in range(4):  # until the worker has set it aside
            answer = front.get("/")
            self.assertEqual((answer.status, answer.meta), (43, DOES_NOT_ANSWER))
        self.hostile(saying(HELLO), port=port)
        self.assertTrue(eventually(lambda: front.get("/").status == 20))

    def test_where_one_is_down_the_other_answers(self):
        other = self.host()
        front = self.front([free_port(), other.port])
        self.assertEqual({front.get("/").status for _ in range(20)}, {20})

    def test_where_one_is_not_who_it_should_be_the_other_answers(self):
        wrong = self.hostile(saying(HELLO), make_certificate(self.folder.path, "wrong"))
        right = self.host()
        front = self.front([wrong.port, right.port],
                           f'fingerprints = ["{fingerprint(self.certificate)}"]\n'
                           'retry_after = "1m"\n', {"server.workers": "1"})
        self.assertEqual({front.get("/").status for _ in range(20)}, {20})
        self.assertEqual(set(wrong.lines) - {b""}, set())
        asked = wrong.connections
        self.assertLessEqual(asked, 3)  # a worker sets it aside then
        for _ in range(10):
            front.get("/")
        self.assertEqual(wrong.connections, asked)

    def test_both_are_asked_in_turn(self):
        one, other = self.host(), self.host()
        front = self.front([one.port, other.port], settings={"server.workers": "1"})
        for _ in range(10):
            front.get("/")
        self.assertEqual((len(one.requests), len(other.requests)), (5, 5))

    def test_a_request_waits_for_a_connection_but_not_for_ever(self):
        go_on = threading.Event()
        self.addCleanup(go_on.set)

        def hold(connection, _):
            go_on.wait(PATIENCE)
            connection.sendall(HELLO)
        capsule = self.hostile(hold)
        front = self.front([capsule.port], "connections = 1\n",
                           {"server.workers": "1", "dynamic.queue_timeout": '"500ms"'})
        with Conversation(front.port) as first:
            first.say(front.url("/", "gemini").encode() + b"\r\n")
            self.assertTrue(eventually(lambda: capsule.lines))
            answer = front.get("/")
            self.assertEqual((answer.status, answer.meta), (41, "The server is busy, try again"))
            go_on.set()
            self.assertEqual(first.read().status, 20)
        self.assertEqual(front.get("/").status, 20)
        self.assertEqual(capsule.connections, 2)


class Loops(Case):
    def test_two_capsules_that_ask_each_other_soon_stop(self):
        ports = [free_port(), free_port()]
        one, other = (
            self.capsule(f'[sites."*"."/"]\nmodule = "proxy"\nto = ["gemini://127.0.0.1:{to}"]\n'
                         f'host = "upstream"\nconnect_timeout = "{PATIENCE}s"\n'
                         '[sites."*"."/here"]\nmodule = "reply"\nstatus = 52\n',
                         {"listen.gemini": f'["127.0.0.1:{own}"]', "dynamic.requests_per_ip": "4"})
            for own, to in (ports, reversed(ports)))
        other.start(), one.start()
        for _ in range(3):
            answer = one.get("/round")
            self.assertEqual((answer.status, answer.meta), (44, "5"))
        self.assert_says(one, "dynamic.requests_per_ip")
        for server in (one, other):
            self.assertEqual(server.get("/here").status, 52)
            self.assertLess(len(re.findall('"gemini://[^"]*/round"', server.log())), 20)


class Figures(Case):
    def upstreams(self, front):
        told = subprocess.run([program("egalaxyctl"), "--socket",
                               front.folder.path / "run/control.sock", "upstreams", "--json"],
                              capture_output=True, text=True, check=True, timeout=PATIENCE)
        return json.loads(told.stdout)["upstreams"]

    def test_the_operator_sees_how_capsules_are(self):
        go_on = threading.Event()
        self.addCleanup(go_on.set)

        def hold(connection, _):
            connection.sendall(HELLO)
            go_on.wait(PATIENCE)
        capsule, down = self.hostile(hold), free_port()
        front = self.front([capsule.port, down], settings={"server.workers": "1"}, path="/old")
        with Conversation(front.port) as visitor:
            visitor.say(front.url("/old", "gemini").encode() + b"\r\n")
            visitor.await_answer()
            self.assertTrue(eventually(lambda: self.upstreams(front)[0]["answered"]))
            up, other = self.upstreams(front)
            self.assertEqual((up["address"], up["host"], up["mount"], up["state"]),
                             (f"127.0.0.1:{capsule.port}", "localhost", "/old", "up"))
            self.assertEqual((up["connections"], up["answered"], up["failed"]), (1, 1, 0))
            self.assertEqual((other["answered"], other["failed"]), (0, 0))
            go_on.set()
            visitor.read()
        self.assertTrue(eventually(lambda: self.upstreams(front)[0]["connections"] == 0))
        for _ in range(8):
            self.assertEqual(front.get("/old").status, 20)
        other = self.upstreams(front)[1]
        self.assertEqual((other["state"], other["failed"], other["last_error"]),
                         ("aside", 3, "no connection"))
        self.assertLess(abs(other["since"] - time.time()), PATIENCE)

    def test_a_wrong_certificate_and_a_bad_answer_are_told_apart(self):
        wrong = self.host()
        front = self.front([wrong.port], f'fingerprints = ["{"ab" * 32}"]\n')
        front.get("/")
        self.assertEqual(self.upstreams(front)[0]["last_error"], "no TLS handshake")
        silent = self.hostile(saying(b""))
        front = self.front([silent.port])
        front.get("/")
        self.assertEqual(self.upstreams(front)[0]["last_error"], "no answer")
        self.assertEqual(self.upstreams(front)[0]["state"], "up")


class Configuration(Case):
    def test_a_loop_is_an_error(self):
        port = free_port()
        front = self.front([port], settings={"listen.gemini": f'["127.0.0.1:{port}"]'}, start=False)
        check = subprocess.run([program("egalaxyd"), "--check", "--config", front.write_config()],
                               cwd=front.folder.path, capture_output=True, text=True, check=False)
        self.assertNotEqual(check.returncode, 0)
        self.assertIn("egalaxyd.toml:", check.stdout + check.stderr)
        self.assertIn(f"127.0.0.1:{port}", check.stdout + check.stderr)


if __name__ == "__main__":
    unittest.main()
