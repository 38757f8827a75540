#!/usr/bin/env python3
"""Applications behind SCGI and FastCGI: what reaches them, what becomes of their answers, and of
applications that are slow, gone, wrong or many. The programs are those of $EGALAXYD_BIN_DIR."""
import contextlib
import hashlib
import io
import os
import pathlib
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import application as app  # noqa: E402
import spartan_client  # noqa: E402
from application import Application, page, read_fastcgi, read_scgi, record  # noqa: E402
from capsule import PATIENCE, Capsule, Folder, eventually  # noqa: E402
from titan_client import Conversation, exchange  # noqa: E402

MIB = 1024 * 1024
CRLF = b"\r\n"


class Case(unittest.TestCase):
    """One worker, so that what a worker keeps for itself can be counted."""
    module = "scgi"
    settings = {}
    keys = ""
    upload = "upload = { anyone = true, max_size = \"20MiB\" }\n"

    def setUp(self):
        self.folder = Folder()
        self.addCleanup(self.folder.remove)
        self.server = Capsule("", {"server.workers": "1", **self.settings}, self.folder)
        self.addCleanup(self.server.close)
        self.applications = []

    def application(self, talk, name="app.sock", place=None):
        made = Application(place or self.folder.path / name, talk)
        self.applications.append(made)
        self.addCleanup(made.close)
        return made

    def start(self, *names, keys="", to=None, more=""):
        to = to or [f"unix:{self.folder.path}/{name}" for name in names or ["app.sock"]]
        addresses = ", ".join(f'"{each}"' for each in to)
        self.server.sites = (f'[sites.localhost."/app"]\nmodule = "{self.module}"\n'
                             f"to = [{addresses}]\n" + self.keys + keys + self.upload + more)
        self.server.start()

    def get(self, path="/app", **options):
        return self.server.get(path, **options)

    def assertPage(self, answer, body):
        self.assertEqual((answer.status, answer.body, answer.end), (20, body, "close_notify"),
                         f"{answer.meta}\n{self.server.log()}")

    def assertLogged(self, pattern):
        self.assertTrue(eventually(lambda: re.search(pattern, self.server.log())),
                        f"{pattern}\n{self.server.log()}")

    def tearDown(self):
        for each in self.applications:
            self.assertEqual(each.failures, [])

    def in_parallel(self, *calls):
        """Their results, in that order."""
        results = [None] * len(calls)

        def run(number):
            results[number] = calls[number]()
        threads = [threading.Thread(target=run, args=(number,)) for number in range(len(calls))]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        return results


def scgi_page(text):
    def talk(connection):
        read_scgi(connection)
        connection.sendall(b"20 text/plain\r\n" + text.encode())
    return talk


def fastcgi_page(text):
    def talk(connection):
        while read_fastcgi(connection):
            connection.sendall(page("20 text/plain\r\n" + text))
    return talk


class Scgi(Case):
    def test_the_request_is_one_netstring_that_begins_with_its_length(self):
        heads, more = [], []

        def talk(connection):
            heads.append(app.read_scgi_head(connection))
            connection.sendall(b"20 text/plain\r\nok")
            more.append(connection.recv(1))  # nothing until it is closed
        self.application(talk)
        self.start(keys='env = { DATA = "/srv/data" }\n')
        with Conversation(self.server.port) as client:
            client.say(self.server.url("/app/a%20b/c?x=1%20y", "gemini").encode() + CRLF)
            self.assertTrue(client.listen(PATIENCE))
            client.reset()
        self.assertTrue(eventually(lambda: more))
        self.assertEqual(more, [b""])
        pairs = app.scgi_variables(heads[0])
        self.assertEqual(pairs[:2], [("CONTENT_LENGTH", "0"), ("SCGI", "1")])
        self.assertEqual(len(pairs), len(dict(pairs)), "a name comes twice")
        values = dict(pairs)
        expected = {
            "DATA": "/srv/data", "GATEWAY_INTERFACE": "CGI/1.1", "SERVER_PROTOCOL": "GEMINI",
            "SERVER_NAME": "localhost", "HOSTNAME": "localhost",
            "SERVER_PORT": str(self.server.port), "REQUEST_METHOD": "GET",
            "GEMINI_URL": self.server.url("/app/a%20b/c?x=1%20y", "gemini"),
            "GEMINI_URL_PATH": "/app/a%20b/c", "SCRIPT_NAME": "/app", "PATH_INFO": "/a b/c",
            "QUERY_STRING": "x=1%20y", "REMOTE_ADDR": "127.0.0.1", "REMOTE_HOST": "127.0.0.1",
            "TLS_VERSION": "TLSv1.3"}
        self.assertEqual({name: values.get(name) for name in expected}, expected)
        self.assertRegex(values["SERVER_SOFTWARE"], r"^egalaxyd/\d")
        self.assertFalse([name for name in values if name.startswith("TLS_CLIENT_")])

    def test_a_body_arrives_whole(self):
        bodies = []

        def talk(connection):
            variables, body = read_scgi(connection)
            bodies.append((variables, body))
            connection.sendall(b"20 text/plain\r\nthanks")
        self.application(talk)
        self.start()
        sent = os.urandom(MIB)
        answer = self.server.put("/app/page", sent, ";mime=text/markdown;token=a%20b")
        self.assertPage(answer, b"thanks")
        (variables, body), = bodies
        self.assertEqual(body, sent)
        self.assertEqual({name: variables[name] for name in (
            "CONTENT_LENGTH", "CONTENT_TYPE", "TITAN_TOKEN", "REQUEST_METHOD", "SERVER_PROTOCOL")},
            {"CONTENT_LENGTH": str(MIB), "CONTENT_TYPE": "text/markdown", "TITAN_TOKEN": "a b",
             "REQUEST_METHOD": "POST", "SERVER_PROTOCOL": "TITAN"})

    def test_a_page_arrives_whole(self):
        text = "".join(f"line {number}\n" for number in range(300_000))
        self.application(scgi_page(text))
        self.start()
        self.assertPage(self.get(), text.encode())

    def test_tcp_is_spoken_too(self):
        first = self.application(scgi_page("four"), place=("127.0.0.1", 0))
        self.start(to=[f"127.0.0.1:{first.port}"])
        self.assertPage(self.get(), b"four")

    def test_a_name_is_looked_up(self):
        first = self.application(scgi_page("named"), place=("127.0.0.1", 0))
        self.start(to=[f"localhost:{first.port}"])  # asked before it is looked up
        self.assertPage(self.get(), b"named")

    def test_one_that_answers_without_reading_is_heard(self):
        def talk(connection):
            app.read_scgi_head(connection)
            connection.sendall(b"20 text/plain\r\nearly")
        self.application(talk)
        self.start()
        self.assertPage(self.server.put("/app", bytes(4 * MIB)), b"early")
        self.assertLogged("whole request")

    def test_one_that_answers_while_the_body_is_on_its_way_is_heard_at_once(self):
        gate = threading.Event()
        self.addCleanup(gate.set)

        def talk(connection):
            app.read_scgi_head(connection)
            connection.sendall(b"20 text/plain\r\nearly\n")
            gate.wait(PATIENCE)
            read = 0
            while read < 4 * MIB:
                read += len(connection.recv(65536))
            connection.sendall(b"late\n")
        self.application(talk)
        self.start()
        with Conversation(self.server.port) as client:
            client.say(f"{self.server.url('/app')};size={4 * MIB}".encode() + CRLF + bytes(4 * MIB))
            self.assertTrue(client.listen(PATIENCE))
            gate.set()
            self.assertPage(client.read(), b"early\nlate\n")

    def test_one_that_stops_reading_is_waited_for_no_longer_than_for_its_header(self):
        gone = threading.Event()

        def talk(connection):
            app.read_scgi_head(connection)
            end = select.poll()
            end.register(connection, 0)  # the end alone
            if end.poll(PATIENCE * 1000):
                gone.set()
        self.application(talk)
        self.start(keys='header_timeout = "1s"\n')
        answer = self.server.put("/app", bytes(4 * MIB))
        self.assertEqual(answer.status, 42)
        self.assertLogged(r'scgi "/app" \(unix:.*app.sock\): no header within 1 s')
        self.assertTrue(gone.wait(PATIENCE))

    def test_one_that_closes_early_gave_no_answer(self):
        self.application(app.read_scgi_head)
        self.start()
        self.assertEqual(self.get().status, 42)
        self.assertEqual(self.server.put("/app", bytes(MIB)).status, 42)

    def test_the_first_line_does_not_wait_for_the_second(self):
        gate = threading.Event()
        self.addCleanup(gate.set)

        def talk(connection):
            read_scgi(connection)
            connection.sendall(b"20 text/plain\r\nfirst\n")
            gate.wait(PATIENCE)
            connection.sendall(b"second\n")
        self.application(talk)
        self.start()
        with Conversation(self.server.port) as client:
            client.say(self.server.url("/app", "gemini").encode() + CRLF)
            self.assertTrue(client.listen(PATIENCE))
            gate.set()
            self.assertPage(client.read(), b"first\nsecond\n")

    def waits_for_the_end(self, begins):
        """An application that says that, then waits until the connection is closed."""
        closed, asked = threading.Event(), threading.Event()

        def talk(connection):
            read_scgi(connection)
            connection.sendall(begins)
            asked.set()
            if connection.recv(1) == b"":
                closed.set()
        self.application(talk)
        self.start()
        return asked, closed

    def test_a_client_that_leaves_before_the_header_ends_the_connection(self):
        asked, closed = self.waits_for_the_end(b"")
        with Conversation(self.server.port) as client:
            client.say(self.server.url("/app", "gemini").encode() + CRLF)
            self.assertTrue(asked.wait(PATIENCE))
            client.reset()
        self.assertTrue(closed.wait(PATIENCE))

    def test_a_client_that_leaves_a_stream_ends_the_connection(self):
        asked, closed = self.waits_for_the_end(b"20 text/plain\r\nfirst\n")
        with Conversation(self.server.port) as client:
            client.say(self.server.url("/app", "gemini").encode() + CRLF)
            self.assertTrue(client.listen(PATIENCE))
            client.reset()
        self.assertTrue(closed.wait(PATIENCE))

    def test_an_upload_is_worked_on_though_its_client_has_left(self):
        asked, leave, done = threading.Event(), threading.Event(), threading.Event()

        def talk(connection):
            read_scgi(connection)
            asked.set()
            leave.wait(PATIENCE)
            connection.sendall(b"20 text/plain\r\n" + bytes(MIB))
            done.set()
        self.application(talk)
        self.start()
        with Conversation(self.server.port) as client:
            client.say(f"{self.server.url('/app')};size=5".encode() + CRLF + b"hello")
            self.assertTrue(asked.wait(PATIENCE))
            client.reset()
        leave.set()
        self.assertTrue(done.wait(PATIENCE))

    def test_an_upload_is_not_worked_on_for_ever(self):
        asked, closed = threading.Event(), threading.Event()

        def talk(connection):
            read_scgi(connection)
            connection.sendall(b"20 text/plain\r\nfirst\n")
            asked.set()
            if connection.recv(1) == b"":
                closed.set()
        self.application(talk)
        self.start(keys='timeout = "2s"\nidle_timeout = "off"\nheader_timeout = "2s"\n')
        with Conversation(self.server.port) as client:
            client.say(f"{self.server.url('/app')};size=5".encode() + CRLF + b"hello")
            self.assertTrue(asked.wait(PATIENCE))
            client.reset()
        self.assertTrue(closed.wait(PATIENCE))

    def test_what_an_application_sends_with_its_header_is_judged(self):
        said = []

        def talk(connection):
            read_scgi(connection)
            connection.sendall(said[-1])
        self.application(talk)
        self.start()
        for output, status, meta in ((b"51 gone\r\n", 51, "gone"), (b"30 /x\n", 30, "/x"),
                                     (b"Status: 404 No\r\n\r\n", 51, None),
                                     (b"hello\r\n", 42, None), (b"", 42, None), (b"20 te", 42, None),
                                     (b"Content-type: text/html\r\n\r\n<p>", 20, "text/html")):
            said.append(output)
            answer = self.get()
            self.assertEqual(answer.status, status, output)
            if meta is not None:
                self.assertEqual(answer.meta, meta)


class OverSpartan(Case):
    settings = {"listen.spartan": '["127.0.0.1:0"]'}
    upload = ""

    def ask(self, path, data=b""):
        with contextlib.redirect_stderr(io.StringIO()):
            return spartan_client.request("localhost", self.server.spartan_port, path, data, PATIENCE)

    def serve(self, answer=b"20 text/plain\r\nok", **options):
        """What the application is asked comes into the list."""
        asked = []

        def talk(connection):
            asked.append(read_scgi(connection))
            connection.sendall(answer)
        self.application(talk)
        self.start(**options)
        return asked

    def test_input_is_body_and_query(self):
        asked = self.serve()
        self.assertEqual(self.ask("/app/x", b"hello world"), (2, "text/plain", b"ok"))
        (variables, body), = asked
        self.assertEqual((body, variables["QUERY_STRING"], variables["REQUEST_METHOD"],
                          variables["SERVER_PROTOCOL"]), (b"hello world", "hello%20world", "POST", "SPARTAN"))
        self.assertEqual([name for name in variables if name.startswith("TLS_")], [])

    def test_a_long_or_binary_block_needs_a_right(self):
        asked = self.serve()
        for data in (b"x" * 1025, b"\0\1", b"\xff"):
            self.assertEqual(self.ask("/app", data)[0], 4)
        self.assertEqual(asked, [])

    def test_a_block_that_may_come_arrives_whole(self):
        asked = self.serve(keys='upload = { anyone = true, over = ["spartan"], max_size = "4MiB" }\n')
        for size in (1025, 2 * MIB):
            content = os.urandom(size)
            self.assertEqual(self.ask("/app", content)[0], 2)
            self.assertEqual(asked.pop()[1], content)

    def test_a_relative_redirect_is_one_to_a_path(self):
        self.serve(b"30 ../other%20page\r\n")
        self.assertEqual(self.ask("/app/x/y"), (3, "/app/other%20page", b""))


class Times(Case):
    def talk_after(self, begins):
        def talk(connection):
            read_scgi(connection)
            connection.sendall(begins)
            connection.recv(1)
        return talk

    def test_silence_before_the_header_is_42(self):
        self.application(self.talk_after(b"20 "))
        self.start(keys='header_timeout = "1s"\n')
        self.assertEqual(self.get().status, 42)
        self.assertLogged("header_timeout")

    def test_silence_in_the_middle_cuts_the_answer(self):
        self.application(self.talk_after(b"20 text/plain\r\nfirst\n"))
        self.start(keys='idle_timeout = "1s"\n')
        answer = self.get()
        self.assertEqual((answer.status, answer.body), (20, b"first\n"))
        self.assertNotEqual(answer.end, "close_notify")
        self.assertLogged("idle_timeout")

    def test_the_whole_is_limited(self):
        def talk(connection):
            read_scgi(connection)
            connection.sendall(b"20 text/plain\r\n")
            while True:
                connection.sendall(b"more\n")
                threading.Event().wait(0.05)
        self.application(talk)
        self.start(keys='header_timeout = "5s"\ntimeout = "5s"\n')
        answer = self.get()
        self.assertEqual(answer.status, 20)
        self.assertNotEqual(answer.end, "close_notify")
        self.assertLogged(r"took more than 5 s \(timeout\)")


class Places(Case):
    settings = {"dynamic.queue_timeout": '"1s"'}

    def setUp(self):
        super().setUp()
        self.gate, self.asked = threading.Event(), threading.Semaphore(0)
        self.addCleanup(self.gate.set)

        def talk(connection):
            read_scgi(connection)
            self.asked.release()
            self.gate.wait(PATIENCE)
            connection.sendall(b"20 text/plain\r\nok")
        self.app = self.application(talk)

    def ask_in_vain(self):
        answers = []
        thread = threading.Thread(target=lambda: answers.append(self.get()))
        thread.start()
        self.assertTrue(self.asked.acquire(timeout=PATIENCE))
        return thread, answers

    def test_who_finds_no_connection_free_waits_then_gets_41(self):
        self.start(keys="connections = 1\n")
        thread, answers = self.ask_in_vain()
        refused = self.get()
        self.assertEqual(refused.status, 41)
        self.assertGreater(refused.seconds, 0.8)
        self.assertLogged("no connection was free in time")
        self.gate.set()
        thread.join()
        self.assertPage(answers[0], b"ok")
        self.assertEqual(self.app.made, 1)

    def test_who_waits_gets_the_connection_that_becomes_free(self):
        self.server.settings["dynamic.queue_timeout"] = '"30s"'
        self.start(keys="connections = 1\n")
        thread, _ = self.ask_in_vain()
        waiting = threading.Thread(target=self.gate.set)
        answers = self.in_parallel(self.get, self.get, waiting.start)
        thread.join()
        for answer in answers[:2]:
            self.assertPage(answer, b"ok")

    def test_one_that_waits_and_leaves_keeps_nobody_back(self):
        self.server.settings["dynamic.queue_timeout"] = '"30s"'
        self.start(keys="connections = 1\n")
        thread, _ = self.ask_in_vain()
        with Conversation(self.server.port) as client:
            client.say(self.server.url("/app", "gemini").encode() + CRLF)
            client.reset()
        self.gate.set()
        thread.join()
        self.assertPage(self.get(), b"ok")


class Upstreams(Case):
    keys = 'retry_after = "1s"\n'

    def refusals(self):
        return self.server.log().count("b.sock): connect to")

    def test_they_take_turns(self):
        first, second = (self.application(scgi_page(name), name) for name in ("a.sock", "b.sock"))
        self.start("a.sock", "b.sock")
        for _ in range(6):
            self.assertEqual(self.get().status, 20)
        self.assertEqual((first.made, second.made), (3, 3))

    def start_with_one_that_dies(self):
        self.application(scgi_page("a"), "a.sock")
        second = self.application(scgi_page("b"), "b.sock")
        self.start("a.sock", "b.sock")
        second.close()
        for _ in range(12):
            self.assertPage(self.get(), b"a")
        self.assertTrue(eventually(lambda: self.refusals() >= 3), self.server.log())

    def test_one_that_dies_costs_nobody_an_answer_and_is_set_aside(self):
        self.keys = 'retry_after = "1h"\n'
        self.start_with_one_that_dies()
        self.assertEqual(self.refusals(), 3)

    def test_one_that_was_set_aside_comes_back(self):
        self.start_with_one_that_dies()
        (self.folder.path / "b.sock").unlink()
        self.application(scgi_page("b again"), "b.sock")
        self.assertTrue(eventually(lambda: self.get().body == b"b again"))

    def test_one_that_is_not_there_yet_is_43_and_then_answers_at_once(self):
        self.start()
        for _ in range(5):
            answer = self.get()
            self.assertEqual((answer.status, answer.meta), (43, "The application does not answer"))
        self.application(scgi_page("here"))
        self.assertPage(self.get(), b"here")

    def test_one_whose_line_is_full_is_given_up_in_time(self):
        full = socket.socket(socket.AF_UNIX)
        self.addCleanup(full.close)
        full.bind(str(self.folder.path / "full.sock"))
        os.chmod(self.folder.path / "full.sock", 0o666)
        full.listen(0)
        first = socket.socket(socket.AF_UNIX)
        self.addCleanup(first.close)
        first.connect(str(self.folder.path / "full.sock"))
        self.application(scgi_page("a"), "a.sock")
        self.start("full.sock", "a.sock", keys='connect_timeout = "1s"\n')
        answers = [self.get() for _ in range(2)]
        self.assertEqual([answer.body for answer in answers], [b"a", b"a"])

    def test_what_was_sent_to_one_is_not_sent_to_another(self):
        first = self.application(app.read_scgi_head, "a.sock")
        second = self.application(app.read_scgi_head, "b.sock")
        self.start("a.sock", "b.sock")
        self.assertEqual(self.get().status, 42)
        self.assertEqual(first.made + second.made, 1)


class Fastcgi(Case):
    module = "fastcgi"

    def answers(self, output, keys=""):
        """An application that says that once to each request, then closes."""
        def talk(connection):
            read_fastcgi(connection)
            connection.sendall(output)
        made = self.application(talk)
        self.start(keys=keys)
        return made

    def test_body_and_variables_arrive_whole(self):
        calls = []

        def talk(connection):
            head = app.read_fastcgi_head(connection)
            calls.append((head, app.read_stream(connection, app.STDIN)))
            connection.sendall(page("20 text/plain\r\nthanks"))
        self.application(talk)
        long = "x" * 300  # a length of four bytes
        self.start(keys=f'keep = 0\nroot = "/srv/www"\nscript_filename = "%root%%path%"\n'
                        f'env = {{ LONG = "{long}", EMPTY = "" }}\n')
        sent = os.urandom(MIB)
        self.assertPage(self.server.put("/app/a%20b.php", sent, ";mime=text/markdown"), b"thanks")
        (flags, pairs), body = calls[0]
        self.assertEqual(body, sent)
        self.assertEqual(flags, 0)
        self.assertEqual(len(pairs), len(dict(pairs)), "a name comes twice")
        values = dict(pairs)
        expected = {"LONG": long, "EMPTY": "", "CONTENT_LENGTH": str(MIB), "CONTENT_TYPE": "text/markdown",
                    "SCRIPT_FILENAME": "/srv/www/a b.php", "DOCUMENT_ROOT": "/srv/www",
                    "PATH_INFO": "/a b.php", "SCRIPT_NAME": "/app", "REQUEST_METHOD": "POST"}
        self.assertEqual({name: values.get(name) for name in expected}, expected)

    def test_records_of_any_size_with_padding_make_one_page(self):
        text = os.urandom(600_000)
        said = b"20 application/octet-stream\r\n" + text
        sizes = [1, 65535, 65535, 3, 65535]
        records, at = b"", 0
        while at < len(said):
            size = sizes[len(records) % len(sizes)]
            records += record(app.STDOUT, said[at:at + size], padding=len(records) % 256)
            at += size
        self.answers(records + record(app.STDOUT, b"") + app.end())
        self.assertPage(self.get(), text)

    def test_what_it_says_to_its_log_is_in_ours_and_not_on_the_page(self):
        self.answers(record(app.STDERR, b"a warning\nhalf ") + record(app.STDOUT, b"20 text/plain\r\nhel")
                     + record(app.STDERR, b"a line") + record(app.STDOUT, b"lo") + app.end())
        self.assertPage(self.get(), b"hello")
        self.assertLogged(r'fastcgi "/app" \(unix:.*\).*says: "a warning"')
        self.assertLogged("half a line")

    def test_an_unknown_record_is_skipped(self):
        self.answers(record(11, b"whatever") + page("20 text/plain\r\nok"))
        self.assertPage(self.get(), b"ok")

    def test_nonsense_is_42(self):
        self.answers(b"HTTP/1.1 200 OK\r\n\r\nhello")
        self.assertEqual(self.get().status, 42)
        self.assertLogged("protocol: a record of version 72")

    def test_a_record_of_another_request_is_42(self):
        self.answers(record(app.STDOUT, b"20 text/plain\r\n", request=2))
        self.assertEqual(self.get().status, 42)

    def test_one_that_has_no_room_is_41(self):
        self.answers(app.end(status=2))
        self.assertEqual(self.get().status, 41)

    def test_other_refusals_are_42(self):
        self.answers(app.end(status=3))
        self.assertEqual(self.get().status, 42)

    def test_an_exit_code_is_logged_behind_a_whole_answer(self):
        self.answers(record(app.STDOUT, b"20 text/plain\r\nhello") + app.end(code=3))
        self.assertPage(self.get(), b"hello")
        self.assertLogged("exited with code 3 after its answer")

    def test_an_answer_without_its_end_is_cut(self):
        self.answers(record(app.STDOUT, b"20 text/plain\r\nhello"))
        answer = self.get()
        self.assertEqual((answer.status, answer.body), (20, b"hello"))
        self.assertNotEqual(answer.end, "close_notify")
        self.assertLogged("closed the connection without END_REQUEST")

    def test_style_gmid_at_the_root(self):
        calls = []

        def talk(connection):
            while call := read_fastcgi(connection):
                calls.append(call[0])
                connection.sendall(page("20 text/plain\r\nok"))
        self.application(talk)
        self.folder.make("dir")
        (self.folder.path / "dir/file.txt").write_text("a file\n")
        self.server.sites = (
            f'[sites.localhost."/"]\nmodule = "fastcgi"\nto = ["unix:{self.folder.path}/app.sock"]\n'
            f'style = "gmid"\nroot = "{self.folder.path}/dir"\nenv = {{ MORE = "1" }}\n'
            '[sites.localhost."/dir"]\nmodule = "directory"\nroot = "dir"\n')
        self.server.start()
        for _ in range(10):
            self.assertPage(self.get("/"), b"ok")
        for values in calls:
            expected = {"AUTH_TYPE": "", "GATEWAY_INTERFACE": "CGI/1.1", "GEMINI_URL_PATH": "",
                        "PATH_INFO": "/", "PATH_TRANSLATED": f"{self.folder.path}/dir/",
                        "QUERY_STRING": "", "REQUEST_METHOD": "GET", "SCRIPT_NAME": "",
                        "SERVER_PORT": str(self.server.port), "SERVER_PROTOCOL": "GEMINI",
                        "MORE": "1"}
            self.assertEqual({name: values.get(name) for name in expected}, expected)
        self.assertPage(self.get("/foo"), b"ok")
        self.assertEqual(calls[-1]["PATH_INFO"], "/foo")
        self.assertPage(self.get("/dir/file.txt"), b"a file\n")


class Kept(Case):
    module = "fastcgi"
    keys = "keep = 2\n"

    def test_connections_are_used_again(self):
        made = self.application(fastcgi_page("ok"))
        self.start()
        for _ in range(10):
            self.assertPage(self.get(), b"ok")
        self.assertEqual(made.made, 1)

    def test_no_more_stay_than_may(self):
        gate, asked = threading.Event(), threading.Semaphore(0)

        def talk(connection):
            while read_fastcgi(connection):
                asked.release()
                gate.wait(PATIENCE)
                connection.sendall(page("20 text/plain\r\nok"))
        made = self.application(talk)
        self.start()

        def let_go():
            for _ in range(6):
                asked.acquire(timeout=PATIENCE)
            gate.set()
        answers = self.in_parallel(*[self.get] * 6, let_go)
        for answer in answers[:6]:
            self.assertPage(answer, b"ok")
        self.assertEqual(made.made, 6)
        self.assertTrue(eventually(lambda: made.open == 2))

    def test_none_stay_where_none_may(self):
        flags = []

        def talk(connection):
            while head := app.read_fastcgi_head(connection):
                flags.append(head[0])
                app.read_stream(connection, app.STDIN)
                connection.sendall(page("20 text/plain\r\nok"))
        made = self.application(talk)
        self.keys = "keep = 0\n"
        self.start()
        for _ in range(3):
            self.assertPage(self.get(), b"ok")
        self.assertEqual((made.made, set(flags)), (3, {0}))
        self.assertTrue(eventually(lambda: made.open == 0))

    def test_one_that_the_application_has_closed_costs_nothing(self):
        def talk(connection):
            read_fastcgi(connection)
            connection.sendall(page("20 text/plain\r\nok"))
        self.application(talk)
        self.start()
        for _ in range(5):
            self.assertPage(self.get(), b"ok")

    def test_one_that_closes_when_it_is_asked_is_asked_once_more(self):
        asked = []

        def talk(connection):
            read_fastcgi(connection)
            connection.sendall(page("20 text/plain\r\nok"))
            asked.append(app.read_fastcgi_head(connection))
        made = self.application(talk)
        self.start()
        self.assertPage(self.get(), b"ok")
        self.assertPage(self.get(), b"ok")
        self.assertTrue(asked[0])
        self.assertEqual(made.made, 2)

    def test_an_empty_answer_is_not_asked_for_again(self):
        calls = []

        def talk(connection):
            while call := read_fastcgi(connection):
                calls.append(call)
                connection.sendall(page("20 text/plain\r\nok") if len(calls) == 1 else app.end())
        self.application(talk)
        self.start()
        self.assertPage(self.get(), b"ok")
        self.assertEqual(self.get().status, 42)
        self.assertEqual(len(calls), 2)

    def test_a_body_is_sent_once(self):
        calls = []

        def talk(connection):
            while call := read_fastcgi(connection):
                calls.append(call)
                if len(calls) == 2:
                    return
                connection.sendall(page("20 text/plain\r\nok"))
        self.application(talk)
        self.start()
        self.assertPage(self.get(), b"ok")
        self.assertEqual(self.server.put("/app", b"hello").status, 42)
        self.assertEqual(len(calls), 2)

    def test_one_that_has_not_read_the_whole_body_is_not_used_again(self):
        def talk(connection):
            while app.read_fastcgi_head(connection):
                connection.sendall(page("20 text/plain\r\nearly"))
                while (left := app.read_record(connection)) and left[1]:
                    pass
        made = self.application(talk)
        self.start()
        self.assertPage(self.server.put("/app", bytes(8 * MIB)), b"early")
        self.assertPage(self.get(), b"early")
        self.assertEqual(made.made, 2)

    def test_one_on_which_more_than_the_answer_came_is_not_used_again(self):
        def talk(connection):
            while read_fastcgi(connection):
                connection.sendall(page("20 text/plain\r\nok") + record(app.STDOUT, b"more"))
        made = self.application(talk)
        self.start()
        for _ in range(3):
            self.assertPage(self.get(), b"ok")
        self.assertEqual(made.made, 3)

    def test_applications_take_turns_though_connections_are_kept(self):
        first, second = (self.application(fastcgi_page(name), name) for name in ("a.sock", "b.sock"))
        self.start("a.sock", "b.sock")
        bodies = [self.get().body for _ in range(6)]
        self.assertEqual(sorted(bodies), [b"a.sock"] * 3 + [b"b.sock"] * 3)
        self.assertEqual((first.made, second.made), (1, 1))


class Partners(Case):
    """Programs that others wrote; those that are missing are skipped."""

    def partner(self, name, *arguments, listening):
        """Runs it until the test ends; returns when its socket takes connections."""
        found = shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin")
        if not found:
            self.skipTest(f"{name} is not installed")
        with open(self.folder.path / "partner.log", "wb") as log:
            running = subprocess.Popen([found, *map(str, arguments)], stdin=subprocess.DEVNULL,
                                       stdout=log, stderr=log, start_new_session=True)
        self.addCleanup(running.wait, PATIENCE)
        self.addCleanup(os.killpg, running.pid, signal.SIGKILL)  # what is left is orphaned
        self.assertTrue(eventually(lambda: self.listens(listening) or running.poll() is not None))
        self.assertIsNone(running.poll(), (self.folder.path / "partner.log").read_text())
        os.chmod(listening, 0o666)

    def listens(self, path):
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(path)) == 0

    def php(self, children=2):
        """php-fpm over the pages in the folder."""
        path = self.folder.path
        config = path / "fpm.conf"
        config.write_text(
            f"[global]\nerror_log = {path}/fpm.log\ndaemonize = no\n"
            f"[www]\nlisten = {path}/php.sock\npm = static\npm.max_children = {children}\n"
            + ("user = nobody\ngroup = nogroup\n" if os.geteuid() == 0 else ""))
        self.partner("php-fpm8.2", "-n", "-y", config, *(["-R"] if os.geteuid() == 0 else []),
                     listening=path / "php.sock")

    def start_php(self, keys=""):
        self.module = "fastcgi"
        self.start("php.sock", keys=f'root = "{self.folder.path}"\n'
                                    'script_filename = "%root%%path%"\n' + keys)

    def page(self, name, text):
        (self.folder.path / name).write_text(text)
        (self.folder.path / name).chmod(0o755)

    def test_pages_of_php(self):
        self.page("hello.php", '<?php header("Content-type: text/gemini"); '
                  'echo "# Hello ", $_SERVER["REMOTE_ADDR"], " ", $_GET["name"], "\n"; '
                  'error_log("a word to the log");')
        self.page("moved.php", '<?php header("Location: /x");')
        self.page("body.php", '<?php header("Content-type: text/plain"); '
                  'echo sha1(file_get_contents("php://input"));')
        self.php()
        self.start_php()
        for _ in range(5):
            answer = self.get("/app/hello.php?name=Ann")
            self.assertPage(answer, b"# Hello 127.0.0.1 Ann\n")
            self.assertTrue(answer.meta.startswith("text/gemini"), answer.meta)
        answer = self.get("/app/moved.php")
        self.assertEqual((answer.status, answer.meta), (30, "/x"))
        self.assertEqual(self.get("/app/missing.php").status, 51)
        sent = os.urandom(MIB)
        self.assertPage(self.server.put("/app/body.php", sent), hashlib.sha1(sent).hexdigest().encode())
        self.assertLogged("a word to the log")

    def test_workers_do_not_keep_the_processes_of_php_from_each_other(self):
        self.page("hello.php", '<?php header("Content-type: text/plain"); echo "hello";')
        self.php(children=1)
        self.server.settings["server.workers"] = "4"
        self.start_php(keys='header_timeout = "5s"\n')
        for _ in range(20):
            self.assertPage(self.get("/app/hello.php"), b"hello")

    def test_scripts_of_fcgiwrap(self):
        self.page("env.cgi", "#!/bin/sh\nprintf 'Content-Type: text/plain\\r\\n\\r\\n'\n"
                  'echo "$SCRIPT_NAME $PATH_INFO"; cat\n')
        sock = self.folder.path / "wrap.sock"
        self.partner("fcgiwrap", "-s", f"unix:{sock}", listening=sock)
        self.module = "fastcgi"
        self.start("wrap.sock", keys=f'script_filename = "{self.folder.path}/env.cgi"\n')
        self.assertPage(self.server.put("/app/more", b"hello"), b"/app /more\nhello")
        for _ in range(3):
            self.assertPage(self.get(), b"/app \n")

    def test_scripts_of_uwsgi_over_scgi(self):
        self.page("env.cgi", "#!/bin/sh\nprintf 'Content-Type: text/plain\\r\\n\\r\\n'\n"
                  'echo "$QUERY_STRING"; head -c "$CONTENT_LENGTH"\n')
        sock = self.folder.path / "uwsgi.sock"
        self.partner("uwsgi-core", "--plugin", "cgi", "--scgi-socket", sock, "--scgi-modifier1", "9",
                     "--cgi", self.folder.path / "env.cgi", listening=sock)
        self.start("uwsgi.sock")
        self.assertPage(self.get("/app?x=1"), b"x=1\n")
        self.assertPage(self.server.put("/app", b"hello"), b"\nhello")


if __name__ == "__main__":
    unittest.main(verbosity=2)
