#!/usr/bin/env python3
"""egalaxyctl as a client: get and put over Gemini, Titan and Spartan, against a real egalaxyd and
against servers that misbehave. The programs are those of $EGALAXYD_BIN_DIR."""
import contextlib
import fcntl
import os
import pathlib
import pty
import select
import shutil
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
from capsule import (PATIENCE, Capsule, Folder, make_certificate, program,  # noqa: E402
                     sha256, silent_port)
from application import read_exactly  # noqa: E402
from fake_server import FakeServer, Host, answering, read_line  # noqa: E402

TOKEN = "semi;colon & sp\u00e4ce"
BIG = 20_000_000
SITES = """
[sites.localhost."/"]
module = "directory"
root = "root"
[sites.localhost."/old"]
module = "redirect"
to = "/page.gmi"
[sites.localhost."/round"]
module = "reply"
status = 30
meta = "/round"
[sites.localhost."/away"]
module = "redirect"
to = "https://example.org/"
[sites.localhost."/busy"]
module = "reply"
status = 41
meta = "Later"
[sites.localhost."/ask"]
module = "input"
[sites.localhost."/ask".sites."/"]
module = "spy"
[sites.localhost."/gate"]
module = "authenticated"
[sites.localhost."/gate".sites."/"]
module = "spy"
[sites.localhost."/up"]
module = "directory"
root = "up"
[sites.localhost."/up".upload]
over = ["titan", "spartan"]
anyone = true
delete = true
create_directories = true
max_size = "30MiB"
mime = ["text/*", "image/png", "application/octet-stream"]
[sites.localhost."/small"]
module = "directory"
root = "up"
[sites.localhost."/small".upload]
over = ["titan", "spartan"]
anyone = true
max_size = "1KiB"
mime = ["text/*", "application/octet-stream"]
[sites.localhost."/token"]
module = "directory"
root = "up"
[sites.localhost."/token".upload]
tokens = ["sha256:{token}"]
[sites.localhost."/certified"]
module = "directory"
root = "up"
[sites.localhost."/certified".upload]
fingerprints = ["*"]
"""


def fingerprint_in(file):
    """SHA-256 of the certificate in a file, whatever else is in it."""
    return sha256(subprocess.run(["openssl", "x509", "-in", file, "-outform", "DER"], check=True,
                                 capture_output=True).stdout)


def slow_until(seen):
    """What a Spartan server does that takes an upload slowly until its progress has been seen."""
    def take(connection):
        size = int(read_line(connection).split()[2])
        while size > 0:
            if not seen.is_set():
                seen.wait(0.02)
            size -= len(connection.recv(16384 if not seen.is_set() else 1 << 20))
        connection.sendall(b"3 /x\r\n")
    return take


class Client(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = Folder()
        cls.addClassCleanup(cls.folder.remove)
        cls.root = cls.folder.make("root")
        cls.up = cls.folder.make("up")
        (cls.root / "page.gmi").write_bytes(b"# A page\n")
        (cls.root / "dir").mkdir()
        (cls.root / "dir" / "index.gmi").write_bytes(b"# A folder\n")
        (cls.root / "big.bin").write_bytes(os.urandom(1_000_000))
        cls.certificate, cls.key = make_certificate(cls.folder.path, "someone")
        cls.big = cls.folder.path / "big"
        cls.big.write_bytes(os.urandom(BIG))
        cls.server = Capsule(SITES.replace("{token}", sha256(TOKEN.encode())),
                             {"listen.spartan": '["127.0.0.1:0"]'}, cls.folder)
        cls.addClassCleanup(cls.server.close)
        cls.server.start()
        cls.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        cls.tls.load_cert_chain(cls.certificate, cls.key)

    def ctl(self, *words, environment=None, **options):
        env = {name: value for name, value in os.environ.items()
               if name not in ("EGALAXYCTL_TOKEN", "NO_COLOR")}
        env["XDG_STATE_HOME"] = str(self.folder.path / "home")
        if "input" not in options:
            options.setdefault("stdin", subprocess.DEVNULL)
        return subprocess.run([program("egalaxyctl"), *map(str, words)], capture_output=True,
                              cwd=self.folder.path, timeout=PATIENCE, check=False,
                              env={**env, **(environment or {})}, **options)

    def on_terminal(self, *words, environment=None, until=None, out=None):
        """(exit code, what a terminal was sent). `until(text)` sees it grow; the standard output
        goes to the file `out` instead."""
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, 0x5414, struct.pack("HHHH", 25, 120, 0, 0))  # TIOCSWINSZ
        env = {**os.environ, "TERM": "xterm", "NO_COLOR": "",
               "XDG_STATE_HOME": str(self.folder.path / "home"), **(environment or {})}
        child = subprocess.Popen([program("egalaxyctl"), *map(str, words)], stdin=theirs,
                                 stdout=out or theirs, stderr=theirs, env=env, cwd=self.folder.path)
        os.close(theirs)
        text = b""
        end = time.monotonic() + PATIENCE
        with contextlib.suppress(OSError):  # EIO: nobody holds the other end any more
            while select.select([ours], [], [], max(0, end - time.monotonic()))[0]:
                got = os.read(ours, 65536)
                if not got:
                    break
                text += got
                if until:
                    until(text)
        os.close(ours)
        return child.wait(PATIENCE), text.decode()

    def gemini(self, path):
        return f"gemini://localhost:{self.server.port}{path}"

    def titan(self, path):
        return f"titan://localhost:{self.server.port}{path}"

    def spartan(self, path):
        return f"spartan://localhost:{self.server.spartan_port}{path}"

    def assert_ran(self, ran, code, out=None, err=None):
        self.assertEqual(ran.returncode, code, ran)
        if out is not None:
            self.assertEqual(ran.stdout, out, ran)
        if err is not None:
            self.assertIn(err, ran.stderr.decode(), ran)

    # get

    def test_a_page_comes_as_it_is(self):
        for url in (self.gemini, self.spartan):
            self.assert_ran(self.ctl("get", url("/page.gmi")), 0, b"# A page\n", "")
            big = self.ctl("get", url("/big.bin"))
            self.assert_ran(big, 0, (self.root / "big.bin").read_bytes())
            self.assertEqual(big.stderr, b"")

    def test_redirects_are_followed(self):
        for url in (self.gemini, self.spartan):
            self.assert_ran(self.ctl("get", url("/dir")), 0, b"# A folder\n")
            self.assert_ran(self.ctl("get", url("/old")), 0, b"# A page\n")
            self.assert_ran(self.ctl("get", url("/round")), 3, b"", "5 redirects are enough")
        self.assert_ran(self.ctl("get", self.gemini("/away")), 3, b"", "another scheme")

    def test_the_exit_code_is_the_kind_of_the_answer(self):
        for url, code, text in ((self.gemini("/none"), 5, "51 "), (self.spartan("/none"), 4, "4 "),
                                (self.gemini("/busy"), 4, "41 Later"),
                                (self.gemini("/ask"), 1, "10 "), (self.gemini("/gate"), 6, "60 ")):
            ran = self.ctl("get", url)
            self.assert_ran(ran, code, b"")
            self.assertTrue(ran.stderr.decode().startswith(text), ran)

    def test_head_prints_the_first_lines_alone(self):
        self.assert_ran(self.ctl("get", "--head", self.spartan("/dir")), 0,
                        b"3 /dir/\n2 text/gemini\n")
        ran = self.ctl("get", self.gemini("/none"), "--head")
        self.assert_ran(ran, 5, b"51 Not found\n")
        self.assertEqual(ran.stderr, b"")

    def test_a_query_is_spartans_data(self):
        ran = self.ctl("get", self.spartan("/ask?two%20words"))
        self.assert_ran(ran, 0)
        self.assertIn(b"input: two words", ran.stdout)

        def take(connection):
            asked = read_line(connection) + read_exactly(connection, 3)
            connection.sendall(b"2 text/plain\r\n")
            return asked
        with FakeServer(take) as server:
            self.assert_ran(self.ctl("get", f"spartan://localhost:{server.port}/a?b%0Ac"), 0)
        self.assertEqual(server.result, b"localhost /a 3\r\nb\nc")

    def test_a_certificate_is_shown(self):
        url = self.gemini("/gate")
        self.assert_ran(self.ctl("get", url, "--cert", self.certificate, "--key", self.key), 0)
        both = self.folder.path / "both.pem"
        both.write_text(pathlib.Path(self.certificate).read_text()
                        + pathlib.Path(self.key).read_text())
        ran = self.ctl("get", url, "--cert", both)
        self.assert_ran(ran, 0)
        self.assertIn(b"CN=someone", ran.stdout)
        self.assert_ran(self.ctl("get", url, "--cert", "missing.crt"), 66, b"", "missing.crt")

    def test_a_certificate_that_tls_refuses_is_the_users_mistake(self):
        weak = self.folder.path / "weak.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:512", "-nodes", "-subj", "/CN=weak",
                        "-keyout", weak, "-out", self.folder.path / "weak.crt"], check=True,
                       capture_output=True)
        for words in (("get", self.gemini("/gate")), ("put", self.big, self.titan("/up/weak"))):
            self.assert_ran(self.ctl(*words, "--cert", self.folder.path / "weak.crt", "--key", weak),
                            65, b"", "cannot use the certificate: ee key too small")

    def test_a_certificate_is_not_shown_where_a_redirect_leads(self):
        asking = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        asking.load_cert_chain(self.certificate, self.key)
        asking.load_verify_locations(self.certificate)
        asking.verify_mode = ssl.CERT_OPTIONAL

        def who(answer):
            def serve(connection):
                shown = bool(connection.getpeercert())
                answering(answer)(connection)
                return shown
            return serve
        with FakeServer(who(b"20 text/plain\r\n"), asking) as second:
            there = f"30 gemini://localhost:{second.port}/\r\n".encode()
            with FakeServer(who(there), asking) as first:
                self.assert_ran(self.ctl("get", f"gemini://localhost:{first.port}/", "--cert",
                                         self.certificate, "--key", self.key), 0)
        self.assertEqual((first.result, second.result), (True, False))

    def test_verbose_tells_about_the_connection(self):
        ran = self.ctl("get", "-v", self.gemini("/dir"))
        self.assertRegex(ran.stderr.decode(),
                         r"(?s)/dir: TLSv1.3 .*SHA-256 [0-9a-f]{64}.*/dir/: TLSv1.3 ")
        self.assert_ran(self.ctl("get", "-v", self.spartan("/page.gmi")), 0, b"# A page\n",
                        "without TLS")

    # get, where something is wrong

    def test_a_server_that_cannot_be_reached(self):
        with silent_port() as port:
            for scheme in ("gemini", "spartan"):
                self.assert_ran(self.ctl("get", f"{scheme}://localhost:{port}/"), 69, b"",
                                f"connect to localhost port {port}: Connection refused")
                self.assert_ran(self.ctl("get", f"{scheme}://nowhere.invalid/"), 69, b"",
                                "look up nowhere.invalid")

    def test_a_server_that_speaks_something_else(self):
        self.assert_ran(self.ctl("get", f"gemini://localhost:{self.server.spartan_port}/"), 76,
                        b"", "does not speak TLS")
        self.assert_ran(self.ctl("get", f"spartan://localhost:{self.server.port}/"), 69, b"",
                        "without an answer")
        for answer, why in ((b"HTTP/1.1 200 OK\r\n\r\n", "not Gemini"), (b"2 x\r\n", "not Gemini"),
                            (b"20 " + b"x" * 5000 + b"\r\n", "longer than"),
                            (b"x" * 5000, "longer than"), (b"20 text", "no whole line")):
            with FakeServer(answering(answer), self.tls) as server:
                self.assert_ran(self.ctl("get", f"gemini://localhost:{server.port}/"), 76, b"", why)
        with FakeServer(answering(b"20 text/plain\r\nx")) as server:
            self.assert_ran(self.ctl("get", f"spartan://localhost:{server.port}/"), 76, b"",
                            "not Spartan")

    def test_a_terminal_is_not_obeyed_by_a_server(self):
        with FakeServer(answering(b"51 \x1b[2Jgone\r\n"), self.tls) as server:
            self.assert_ran(self.ctl("get", f"gemini://localhost:{server.port}/"), 5, b"",
                            "51 ?[2Jgone")

    def test_a_spartan_redirect_stays_on_its_host(self):
        for to in (b"spartan://elsewhere.invalid/", b"//elsewhere.invalid/", b"gemini://localhost/"):
            with FakeServer(answering(b"3 " + to + b"\r\n")) as server:
                self.assert_ran(self.ctl("get", f"spartan://localhost:{server.port}/"), 3, b"",
                                "is not followed")

    def test_a_page_that_is_cut_short_fails(self):
        def cut(connection):
            read_line(connection)
            connection.sendall(b"20 text/plain\r\nhalf a pa")
        with FakeServer(cut, self.tls) as server:
            self.assert_ran(self.ctl("get", f"gemini://localhost:{server.port}/"), 69,
                            b"half a pa", "close_notify")

    def test_silence_ends_at_the_timeout(self):
        done = threading.Event()

        def silent(connection):
            read_line(connection)
            done.wait(PATIENCE)
        for scheme, context in (("gemini", self.tls), ("spartan", None), ("gemini", None)):
            done.clear()
            with FakeServer(silent, context) as server:
                self.assert_ran(self.ctl("get", "--timeout", "1",
                                         f"{scheme}://localhost:{server.port}/"), 69, b"",
                                "nothing happened for 1 s")
                done.set()

    # put

    def test_an_upload_is_stored_and_found_where_the_answer_says(self):
        source = self.folder.path / "note.gmi"
        source.write_bytes(b"# A note\n")
        for url in (self.titan, self.spartan):
            ran = self.ctl("put", source, url("/up/note%20x.gmi"))
            self.assert_ran(ran, 0)
            self.assertEqual((self.up / "note x.gmi").read_bytes(), b"# A note\n")
            self.assert_ran(self.ctl("get", ran.stdout.decode().strip()), 0, b"# A note\n")
            (self.up / "note x.gmi").unlink()
        self.assert_ran(self.ctl("put", "--head", source, self.spartan("/up/n.gmi")), 0,
                        b"3 /up/n.gmi\n")

    def test_a_large_upload_arrives_whole(self):
        for url in (self.titan, self.spartan):
            ran = self.ctl("put", self.big, url("/up/big"))
            self.assert_ran(ran, 0)
            self.assertEqual(ran.stderr, b"")
            self.assertEqual((self.up / "big").read_bytes(), self.big.read_bytes())
            (self.up / "big").unlink()

    def test_the_standard_input_is_sent_with_its_size(self):
        for url in (self.titan, self.spartan):
            self.assert_ran(self.ctl("put", "-", url("/up/in.txt"), input=b"x" * 300_000), 0)
            self.assertEqual((self.up / "in.txt").read_bytes(), b"x" * 300_000)
        with open(self.big, "rb") as file:
            file.seek(BIG - 10)
            self.assert_ran(self.ctl("put", "-", self.titan("/up/rest.txt"), stdin=file), 0)
        self.assertEqual((self.up / "rest.txt").read_bytes(), self.big.read_bytes()[-10:])

    def test_the_media_type_is_said_or_guessed(self):
        picture = self.folder.path / "dot.png"
        picture.write_bytes(b"\x89PNG")
        page = self.folder.path / "plain.txt"
        page.write_bytes(b"words\n")
        for number, (source, name, options, mime) in enumerate((
                (picture, "a.png", (), "image/png"), (page, "b.txt", (), "text/plain"),
                ("-", "c.gmi", (), "text/gemini"), ("-", "d", (), "application/octet-stream"),
                (page, "e.txt", ("--mime", "text/x-own"), "text/x-own"))):
            path = f"/up/type{number}{name}"
            self.assert_ran(self.ctl("put", source, self.titan(path), *options, input=b"x"), 0)
            self.assertEqual(self.server.uploads("path = ?", path)[0]["mime"], mime)
        ran = self.ctl("put", page, self.titan("/up/f.txt"), "--mime", "video/mp4")
        self.assert_ran(ran, 5, b"", "50 ")

    def test_a_token_comes_from_the_line_a_pipe_or_the_environment(self):
        page = self.folder.path / "t.gmi"
        page.write_bytes(b"# T\n")
        put = ("put", page, self.titan("/token/t.gmi"))
        self.assert_ran(self.ctl(*put), 6, b"", "token")
        self.assert_ran(self.ctl(*put, "--token", TOKEN), 0, err="everybody on this machine can see")
        for ran in (self.ctl(*put, "--token", "-", input=TOKEN.encode() + b"\n"),
                    self.ctl(*put, environment={"EGALAXYCTL_TOKEN": TOKEN})):
            self.assert_ran(ran, 0)
            self.assertEqual(ran.stderr, b"")
        self.assert_ran(self.ctl(*put, "--token=wrong", environment={"EGALAXYCTL_TOKEN": TOKEN}), 6)

    def test_a_certificate_may_write(self):
        page = self.folder.path / "c.gmi"
        page.write_bytes(b"# C\n")
        put = ("put", page, self.titan("/certified/c.gmi"))
        self.assert_ran(self.ctl(*put), 6, b"", "60 ")
        self.assert_ran(self.ctl(*put, "--cert", self.certificate, "--key", self.key), 0)

    def test_delete(self):
        (self.up / "gone.gmi").write_bytes(b"# Gone\n")
        (self.up / "gone.gmi").chmod(0o666)
        empty = self.folder.path / "empty"
        empty.write_bytes(b"")
        self.assert_ran(self.ctl("put", empty, self.titan("/up/gone.gmi")), 65, b"", "--delete")
        self.assertTrue((self.up / "gone.gmi").exists())
        self.assert_ran(self.ctl("put", "--delete", self.titan("/up/gone.gmi")), 0,
                        f"It has been deleted.\n=> {self.gemini('/up/')} Go on\n".encode())
        self.assertFalse((self.up / "gone.gmi").exists())
        self.assert_ran(self.ctl("put", "--delete", self.titan("/up/gone.gmi")), 5, b"", "51 ")

    def test_a_refusal_is_shown_that_comes_while_the_body_is_sent(self):
        for url, code in ((self.titan, 5), (self.spartan, 4)):
            self.assert_ran(self.ctl("put", self.big, url("/small/big")), code, b"", "too large")

    def test_a_refusal_is_shown_of_a_server_that_reads_no_body(self):
        left = threading.Event()

        def refuse(connection):
            read_line(connection)
            connection.sendall(b"50 No\r\n" if isinstance(connection, ssl.SSLSocket)
                               else b"4 No\r\n")
            left.wait(PATIENCE)
        for scheme, context, code in (("titan", self.tls, 5), ("spartan", None, 4)):
            left.clear()
            with FakeServer(refuse, context) as server:
                self.assert_ran(self.ctl("put", self.big, f"{scheme}://localhost:{server.port}/x"),
                                code, b"", "No")
                left.set()

    def test_a_refusal_is_shown_of_a_server_that_resets(self):
        def refuse(connection):
            line = read_line(connection)
            connection.sendall(b"4 No\r\n")
            return line  # closing with bytes unread is a reset
        with FakeServer(refuse) as server:
            self.assert_ran(self.ctl("put", self.big, f"spartan://localhost:{server.port}/x"), 4,
                            b"", "4 No")

    def test_a_file_that_shrinks_meanwhile_is_no_fault_of_the_server(self):
        shrinking = self.folder.path / "shrinking"

        def shrink(connection):
            read_line(connection)
            os.truncate(shrinking, 1)
            while connection.recv(65536):
                pass
        for scheme, context in (("titan", self.tls), ("spartan", None)):
            shrinking.touch()
            os.truncate(shrinking, 100_000_000)
            with FakeServer(shrink, context) as server:
                self.assert_ran(self.ctl("put", shrinking, f"{scheme}://localhost:{server.port}/x"),
                                74, b"", "the file became shorter")

    def test_a_server_that_stops_reading_ends_at_the_timeout(self):
        done = threading.Event()
        for scheme, context in (("titan", self.tls), ("spartan", None)):
            done.clear()
            with FakeServer(lambda connection: done.wait(PATIENCE), context) as server:
                self.assert_ran(self.ctl("put", self.big, "--timeout=1",
                                         f"{scheme}://localhost:{server.port}/x"), 69, b"",
                                "nothing happened for 1 s")
                done.set()

    # put, of several files

    def folder_of(self, name, files):
        """A folder with these files, {path: content}."""
        made = self.folder.path / name
        for path, content in files.items():
            (made / path).parent.mkdir(parents=True, exist_ok=True)
            (made / path).write_bytes(content)
        return made

    def test_what_is_in_a_folder_goes_below_the_url(self):
        source = self.folder_of("notes", {"index.gmi": b"# Notes\n", "sub/a b;c.txt": b"words\n",
                                          ".git/config": b"secret\n"})
        (source / "out.gmi").symlink_to(self.big)
        for url in (self.titan, self.spartan):
            ran = self.ctl("put", source, url("/up/notes/"))
            self.assert_ran(ran, 0, err="skipped " + str(source / ".git") + ": hidden")
            self.assertIn(b"out.gmi: a symbolic link", ran.stderr)
            self.assertIn(b"egalaxyctl: 2 of 2 files uploaded, 14 B; 2 skipped\n", ran.stderr)
            for where, content in zip(ran.stdout.decode().split(), (b"# Notes\n", b"words\n")):
                self.assert_ran(self.ctl("get", where), 0, content)
            self.assertEqual((self.up / "notes/sub/a b;c.txt").read_bytes(), b"words\n")
            shutil.rmtree(self.up / "notes")
        mime = self.server.uploads("path = ?", "/up/notes/sub/a b;c.txt")[0]["mime"]
        self.assertEqual(mime, "text/plain")

    def test_a_file_goes_below_a_url_that_ends_with_a_slash(self):
        source = self.folder_of("one", {"s\u00e4.gmi": b"# One\n"}) / "s\u00e4.gmi"
        ran = self.ctl("put", source, self.titan("/up/"))
        self.assert_ran(ran, 0)
        self.assertEqual((ran.stderr, (self.up / "s\u00e4.gmi").read_bytes()), (b"", b"# One\n"))

    def test_a_refusal_does_not_keep_the_others_back(self):
        source = self.folder_of("mixed", {"a.gmi": b"# A\n", "b.mp4": b"film", "c.gmi": b"",
                                          "d.gmi": b"# D\n"})
        ran = self.ctl("put", source, self.titan("/up/mixed/"))
        self.assert_ran(ran, 65, err=f"{source}/b.mp4: 50 ")
        self.assertIn(f"{source}/c.gmi is empty".encode(), ran.stderr)
        self.assertIn(b"2 of 4 files uploaded, 8 B; 2 failed\n", ran.stderr)
        self.assertEqual(sorted(os.listdir(self.up / "mixed")), ["a.gmi", "d.gmi"])
        (source / "c.gmi").unlink()
        self.assert_ran(self.ctl("put", source, self.titan("/up/mixed/")), 5)
        ran = self.ctl("put", "missing.gmi", source / "a.gmi", self.titan("/up/"))
        self.assert_ran(ran, 66, err="1 of 2 files uploaded, 4 B; 1 failed\n")

    def test_a_token_is_read_once_for_all(self):
        source = self.folder_of("tokens", {"a.gmi": b"# A\n", "b.gmi": b"# B\n"})
        self.assert_ran(self.ctl("put", source, self.titan("/token/"), "--token", "-",
                                 input=TOKEN.encode() + b"\n"), 0, err="2 of 2 files")
        ran = self.ctl("put", source, self.titan("/token/"), "--token", TOKEN)
        self.assertEqual(ran.stderr.count(b"everybody on this machine"), 1)

    def test_lines_that_name_no_place_for_each_file_are_refused(self):
        source = self.folder_of("several", {"a/x.gmi": b"1", "b/x.gmi": b"2"})
        self.assert_ran(self.ctl("put", source, self.titan("/up/x")), 64, b"", "ends with '/'")
        self.assert_ran(self.ctl("put", source / "a/x.gmi", self.big, self.titan("/up/x")), 64,
                        b"", "ends with '/'")
        self.assert_ran(self.ctl("put", "-", self.big, self.titan("/up/")), 64, b"", "alone")
        self.assert_ran(self.ctl("put", source / "a", source / "b", self.titan("/up/")), 65, b"",
                        "would both become")
        self.assert_ran(self.ctl("put", "--delete", self.big, self.titan("/up/x")), 64)
        (source / "none").mkdir()
        self.assert_ran(self.ctl("put", source / "none", self.titan("/up/")), 66, b"", "0 of 0")

    def test_a_server_that_asks_to_wait_is_asked_again(self):
        source = self.folder_of("slow", {"a.gmi": b"# A\n" * 99, "b.gmi": b"# B\n"})
        with Host((self.certificate, self.key), b"30 gemini://h/x\r\n") as host:
            host.answers = [b"44 1\r\n", b"44 0\r\n"]
            ran = self.ctl("put", source, host.url("/", "titan"))
            self.assert_ran(ran, 0, b"gemini://h/x\n" * 2, "a.gmi: the server asks to wait 1 s")
            self.assertEqual(host.bodies, [b"# A\n" * 99] * 3 + [b"# B\n"])
            host.answers = [b"44 601\r\n"]
            ran = self.ctl("put", source, host.url("/", "titan"))
            self.assert_ran(ran, 4, b"gemini://h/x\n", "a.gmi: 44 601\n")
            host.answers = [b"44 1\r\n"]
            self.assert_ran(self.ctl("put", "--delete", host.url("/x", "titan")), 0)
            host.answers = [b"44 1\r\n"]
            self.assert_ran(self.ctl("put", "-", host.url("/x", "titan"), input=b"piped"), 0)
            self.assertEqual(host.bodies[-2:], [b"piped"] * 2)

    def test_a_wait_ends_at_once_with_ctrl_c(self):
        source = self.folder_of("ended", {"a.gmi": b"# A\n"}) / "a.gmi"
        with Host((self.certificate, self.key), b"44 500\r\n") as host:
            child = subprocess.Popen(
                [program("egalaxyctl"), "put", source, host.url("/x", "titan")], stderr=subprocess.PIPE,
                # What runs in the background of a shell ignores it.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
                env={**os.environ, "XDG_STATE_HOME": str(self.folder.path / "home")})
            for act in (child.stderr.close, child.wait, child.kill):
                self.addCleanup(act)
            self.assertIn(b"wait 500 s", child.stderr.readline())
            child.send_signal(signal.SIGINT)
            self.assertEqual(child.wait(PATIENCE), -signal.SIGINT)

    def test_a_server_that_has_gone_is_not_asked_for_each_file(self):
        source = self.folder_of("gone", {f"{i}.gmi": b"x" for i in range(9)})
        with Host((self.certificate, self.key), b"") as host:
            ran = self.ctl("put", source, host.url("/", "titan"))
            self.assert_ran(ran, 69, b"", "0 of 9 files uploaded, 0 B; 3 failed; 6 not tried\n")
            self.assertEqual(len(host.requests), 3)

    def test_progress_counts_files(self):
        source = self.folder_of("large", {"a": b"x", "b": self.big.read_bytes()})
        seen = threading.Event()
        with FakeServer(slow_until(seen), connections=2) as server:
            code, text = self.on_terminal(
                "put", source, f"spartan://localhost:{server.port}/",
                until=lambda text: seen.set() if b"%" in text else None)
        self.assertEqual(code, 0, text)
        self.assertRegex(text, r"\r\x1b\[K2 of 2: \d+\.\d [KM]iB of 19\.1 MiB, \d+%, ")

    # Who the user is.

    def test_an_identity_is_made_and_used(self):
        ran = self.ctl("identity", "create", "Ada L\u00f6velace")
        self.assert_ran(ran, 0)
        file = self.folder.path / "Ada L\u00f6velace.pem"
        self.assertEqual(file.stat().st_mode & 0o7777, 0o600)
        line = f'fingerprints = ["SHA256:{fingerprint_in(file)}"]'
        self.assertIn(line, ran.stdout.decode())
        self.assertIn(b"Lagrange", ran.stdout)
        shown = self.ctl("identity", "show", file)
        self.assert_ran(shown, 0)
        self.assertIn(line, shown.stdout.decode())
        page = self.ctl("get", self.gemini("/gate"), "--cert", file)
        self.assert_ran(page, 0)
        self.assertIn("Ada L\u00f6velace", page.stdout.decode())
        subprocess.run(["openssl", "verify", "-purpose", "sslclient", "-CAfile", file, file],
                       check=True, capture_output=True)

    def test_an_identity_is_never_replaced_and_goes_nowhere_else(self):
        where = self.folder.make("identities")
        self.assert_ran(self.ctl("identity", "create", "me", "--dir", where), 0)
        before = (where / "me.pem").read_bytes()
        self.assert_ran(self.ctl("identity", "create", "me", "--dir", where), 73, b"", "is there")
        self.assertEqual((where / "me.pem").read_bytes(), before)
        for name in ("", ".", "..", "../me", "/tmp/me", "a/b", "a\nb", "\x1b[2J", ".me", "x" * 65,
                     "a\u202eb"):
            self.assert_ran(self.ctl("identity", "create", name, "--dir", where), 65, b"",
                            "cannot be the name of an identity")
        self.assertEqual(os.listdir(where), ["me.pem"])

    def test_a_key_is_found_beside_its_certificate(self):
        self.assert_ran(self.ctl("get", self.gemini("/gate"), "--cert", self.certificate), 0)
        alone = self.folder.path / "alone.crt"
        alone.write_text(pathlib.Path(self.certificate).read_text())
        ran = self.ctl("get", self.gemini("/gate"), "--cert", alone)
        self.assert_ran(ran, 66, b"", "alone.key")
        self.assertIn(b"neither in its own file nor beside it", ran.stderr)

    # What a terminal sees.

    def test_progress_is_drawn_on_a_terminal_and_wiped(self):
        seen = threading.Event()
        with FakeServer(slow_until(seen)) as server:
            code, text = self.on_terminal(
                "put", self.big, f"spartan://localhost:{server.port}/x",
                until=lambda text: seen.set() if b"%" in text else None)
        self.assertEqual(code, 0, text)
        self.assertRegex(text, r"\r\x1b\[K\d+\.\d [KM]iB of 19\.1 MiB, \d+%, \d+\.\d [KM]iB/s")
        self.assertTrue(text.endswith(f"\r\x1b[Kspartan://localhost:{server.port}/x\r\n"), text)
        self.assertNotIn("\n", text[:-2], "it stays in one line")

    def test_progress_of_a_page_that_goes_into_a_file(self):
        for to_file in (True, False):
            seen = threading.Event()

            def slow(connection, seen=seen, to_file=to_file):
                read_line(connection)
                connection.sendall(b"2 text/plain\r\n")
                end = time.monotonic() + (PATIENCE if to_file else 1.3)
                while not seen.is_set() and time.monotonic() < end:
                    connection.sendall(b"x" * 4096)
                    seen.wait(0.02)
            with FakeServer(slow) as server, open(self.folder.path / "got", "wb") as got:
                code, text = self.on_terminal(
                    "get", f"spartan://localhost:{server.port}/x", out=got if to_file else None,
                    until=lambda text, seen=seen: seen.set() if b"iB/s" in text else None)
            self.assertEqual(code, 0, text)
            if to_file:
                self.assertRegex(text, r"\r\x1b\[K\d+\.\d KiB, \d+\.\d KiB/s.*\r\x1b\[K$")
                self.assertEqual(set((self.folder.path / "got").read_bytes()), {ord("x")})
            else:
                self.assertEqual(set(text), {"x"}, "the page itself is on the terminal")

    def test_progress_is_not_drawn_elsewhere(self):
        release = threading.Event()

        def slow(connection):
            size = int(read_line(connection).split()[2])
            end = time.monotonic() + 1.3  # beyond the second after which it would be drawn
            while (left := end - time.monotonic()) > 0:
                size -= len(connection.recv(16384))
                release.wait(min(left, 0.02))
            while size > 0:
                size -= len(connection.recv(1 << 20))
            connection.sendall(b"3 /x\r\n")
        with FakeServer(slow) as server:
            ran = self.ctl("put", self.big, f"spartan://localhost:{server.port}/x")
        self.assert_ran(ran, 0)
        self.assertEqual(ran.stderr, b"")

    def test_colours_are_for_terminals_that_want_them(self):
        status = ("--socket", "run/control.sock", "status")
        code, text = self.on_terminal(*status)
        self.assertEqual(code, 0, text)
        self.assertIn("\x1b[32mready\x1b[0m", text)
        self.assertIn("\x1b[1mworker\x1b[0m", text)
        for environment in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
            self.assertNotIn("\x1b", self.on_terminal(*status, environment=environment)[1])
        self.assertNotIn(b"\x1b", self.ctl(*status).stdout)
        self.assertIn("\x1b[1mtotal\x1b[0m",
                      self.on_terminal("--socket", "run/control.sock", "stats")[1])

    # The command line.

    def test_a_misspelt_option_is_recognised(self):
        self.assert_ran(self.ctl("get", "--vrebose", "x"), 64, b"", "did you mean --verbose?")
        self.assert_ran(self.ctl("put", "--tokn=secret", "a", "b"), 64, b"",
                        "did you mean --token?")
        self.assert_ran(self.ctl("--qqqqqqqq"), 64, b"", "See egalaxyctl --help")

    def test_completion_in_bash(self):
        script = self.ctl("completion", "bash").stdout.decode()

        def complete(*words):
            listed = " ".join(f"'{word}'" for word in ("egalaxyctl", *words))
            ran = subprocess.run(
                ["bash", "-c", f"{script}\nCOMP_WORDS=({listed}); COMP_CWORD={len(words)}\n"
                 '_egalaxyctl; echo "${COMPREPLY[@]}"'], capture_output=True, text=True, check=True)
            return ran.stdout.split()
        self.assertEqual(complete("pu"), ["put"])
        self.assertEqual(complete("log", "de"), ["debug"])
        self.assertEqual(complete("put", "a.gmi", "--t"), ["--timeout", "--token", "--trust"])
        self.assertEqual(complete("get", "--c"), ["--cert", "--connect"])
        self.assertEqual(complete("identity", ""), ["create", "show"])
        self.assertEqual(complete("certificate", ""), ["create", "install", "list", "show", "sync"])


if __name__ == "__main__":
    unittest.main()
