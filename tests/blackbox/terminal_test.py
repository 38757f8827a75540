#!/usr/bin/env python3
"""egalaxyctl on a terminal of 80 columns and 24 lines, and its help. The programs are those of
$EGALAXYD_BIN_DIR."""
import fcntl
import json
import os
import pathlib
import pty
import re
import select
import socket
import struct
import subprocess
import sys
import termios
import threading
import time
import tomllib
import unicodedata
import unittest
import urllib.parse

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from capsule import PATIENCE, UPLOAD_SITE, Capsule, program  # noqa: E402

HOST = ".".join(["long" + "x" * 50] * 4)
PATH = "/up/" + "y" * 150 + ".gmi"
SITES = UPLOAD_SITE + f"""
[sites."{HOST}"]
root = "root"
[sites.localhost."/away"]
module = "directory"
root = "{'z' * 100}/{'z' * 100}"
"""


def commands():
    """All that there are: the rows of the help, without what a command takes."""
    said = subprocess.run([program("egalaxyctl"), "help"], check=True, capture_output=True, text=True).stdout
    rows = said[:said.index("\n-h, --help")].splitlines()
    return [re.match(r"  ([a-z]+(?= |$)(?: [a-z]+(?= |$))*)", row)[1] for row in rows
            if re.match("  [a-z]", row)]


def columns(line):
    """As a terminal counts them."""
    text = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", line)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
               for c in text)


def frames_of(said):
    """Those of `stats --watch` that are whole, without colours."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", said).replace("\r\n", "\n")
    return [frame for frame in text.split("\x1b[H\x1b[2J")[:-1] if frame]


def moved(frame):
    """Of each row, whether it has a rate."""
    return [len(line.split()) == 3 for line in frame.split("\n")[2:13]]


class Case(unittest.TestCase):
    def line(self, words):
        here = [] if "--socket" in words else ["--socket", self.server.folder.path / "run/control.sock"]
        return [program("egalaxyctl"), *here, *words]

    def run_on_terminal(self, *words, until=None):
        """What it writes, complaints too; of one that does not end, until `until` is true of it."""
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        running = subprocess.Popen(self.line(words), cwd=self.server.folder.path, stdin=slave,
                                   stdout=slave, stderr=slave,
                                   env={**os.environ, "TERM": "xterm", "NO_COLOR": "",
                                        "HOME": str(self.server.folder.path)})
        os.close(slave)
        said, end = b"", time.monotonic() + PATIENCE
        while time.monotonic() < end and not (until and until(said.decode(errors="replace"))):
            if not select.select([master], [], [], 0.1)[0]:
                continue
            try:
                said += os.read(master, 65536)
            except OSError:  # the other end is closed
                break
        if until:
            running.terminate()
        self.code = running.wait(PATIENCE)
        os.close(master)
        return said.decode().replace("\r\n", "\n")

    def run_in_pipe(self, *words):
        done = subprocess.run(self.line(words), cwd=self.server.folder.path, capture_output=True,
                              text=True, timeout=PATIENCE, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def assert_narrow(self, text, but=None):
        """Lines that match `but` may be wider."""
        self.assertTrue(text)
        for line in text.split("\n"):
            if columns(line) > 80 and not (but and re.match(but, line)):
                self.fail(f"{columns(line)} columns: {line!r}\nin\n{text}")


class Terminal(Case):
    @classmethod
    def setUpClass(cls):
        cls.server = Capsule(SITES, {"server.workers": "12", "rate_limit.enabled": "true",
                                     "rate_limit.requests": "8000"})
        cls.addClassCleanup(cls.server.close)
        cls.server.folder.make("root")
        cls.server.folder.make("up")
        cls.server.start()
        assert cls.server.put(PATH, b"# Long\n", ";mime=text/gemini").status == 30
        cls.server.get("/up/")

    def test_no_line_of_a_listing_is_wider_and_nothing_is_left_out(self):
        for words in (("certificate", "list"), ("status",), ("stats",), ("uploads",), ("users",),
                      ("uploads", "show", "1"), ("limits",), ("scripts",), ("upstreams",)):
            with self.subTest(words=words):
                self.assert_narrow(self.run_on_terminal(*words))
        for words, whole in ((("uploads",), PATH), (("uploads", "show", "1"), PATH),
                             (("certificate", "list"), HOST), (("status",), "z" * 100)):
            with self.subTest(words=words):
                said = re.sub(r"\s", "", self.run_on_terminal(*words))
                self.assertIn(whole, said)
                self.assertIn(whole, self.run_in_pipe(*words), "in a pipe no line is folded")

    def test_an_identity_is_shown_in_80_columns_and_its_line_can_be_pasted(self):
        said = self.run_on_terminal("identity", "create", "somebody")
        self.assert_narrow(said)
        self.assertRegex(said, r'fingerprints = \[\n *"SHA256:[0-9A-Fa-f]{64}"\n *\]')

    def test_the_lines_for_an_identity_can_be_pasted_however_long_its_name_is(self):
        for name in ("short", "n" * 50, "n" * 51, NAME):
            with self.subTest(name=name):
                said = self.run_on_terminal("identity", "create", name)
                self.assert_narrow(said)
                lines = said[said.index("\n\n"):said.index("\negalaxyctl get")].split("\n")
                pasted = tomllib.loads("\n".join(line for line in lines if line.startswith("  ")))
                self.assertEqual(pasted["people"][name], pasted["fingerprints"])
                self.assertEqual(pasted["people"]["fingerprints"], ["@" + name])

    def test_stats_that_are_watched_fit_80_columns_and_24_lines(self):
        frames = frames_of(self.run_on_terminal("stats", "--watch=1", until=lambda said: len(frames_of(said)) > 1))
        self.assertGreater(len(frames), 1)
        for frame in frames:
            self.assert_narrow(frame)
            self.assertLessEqual(frame.count("\n"), 23, frame)
        self.assertIn("connections", frames[0])

    def test_what_moved_comes_first(self):
        stop = threading.Event()

        def ask():
            while not stop.is_set():
                self.server.get("/missing")
        asking = threading.Thread(target=ask)
        asking.start()
        try:
            said = self.run_on_terminal(
                "stats", "--watch=1", until=lambda said: any(moved(frame)[0] for frame in frames_of(said)))
        finally:
            stop.set()
            asking.join()
        self.assertTrue(any(moved(frame)[0] for frame in frames_of(said)), said)
        for frame in frames_of(said):
            self.assertEqual(moved(frame), sorted(moved(frame), reverse=True), frame)

    def test_each_command_tells_of_its_own_options_alone(self):
        for words in commands():
            with self.subTest(words=words):
                said = self.run_in_pipe(*words.split(), "--help")
                self.assert_narrow(said)
                self.assertEqual(said, self.run_in_pipe("help", *words.split()))
                self.assertIn("\n  " + words, said)
        self.assertEqual(re.findall(r"--([a-z]+)", self.run_in_pipe("users", "--help")),
                         ["limit", "socket", "json", "limit"])
        self.assertNotIn("--", self.run_in_pipe("completion", "--help"))
        self.assert_narrow(self.run_in_pipe("help"))
        self.assertEqual(self.run_in_pipe("help"), self.run_in_pipe("--help"))

    def test_what_succeeds_says_so_in_one_line(self):
        for words in (("reload",), ("log", "debug"), ("worker", "restart", "0"),
                      ("limits", "clear"), ("uploads", "diff", "1", "--current")):
            with self.subTest(words=words):
                self.assertRegex(self.run_in_pipe(*words), r"\A[^\n]+\n\Z")

    def test_what_is_for_programs_is_not_folded(self):
        for words in (("status", "--json"), ("stats", "--format", "json")):
            with self.subTest(words=words):
                json.loads(self.run_on_terminal(*words))

    def test_metrics_say_what_they_are(self):
        said = self.run_in_pipe("stats", "--format", "prometheus")
        helps = re.findall(r"^# HELP (\S+) (.*)$", said, re.MULTILINE)
        self.assertGreater(len(helps), 20)
        for name, text in helps:
            self.assertGreater(len(text.split()), 3, name)
            self.assertNotIn("A total since", text, name)
        self.assertEqual(len({text for _, text in helps}), len(helps))


# What is somebody's content, or is to be pasted, stays on one line, however long that is.
AS_THEY_ARE = {
    "certificate create": r'(certificate|key) += ".*"$',
    "completion": "(?!egalaxyctl )",
    "get": "# A page ",
    "put": "gemini://localhost:",
    "token": "tokens = {",
    "uploads diff": "[-+]",
}
WIDE = "日本語の長い名前" * 8
NAME = "n" * 64
META = "This page has been withdrawn, and here is why: " + "it was too long. " * 50
LONG_SITES = SITES.replace('root = "root"', f'root = "root"\naliases = ["{"y" * 60}.{"z" * 60}.test"]') + f"""
[sites.localhost."/{WIDE}"]
module = "file"
path = "{WIDE}/{WIDE}.gmi"
[sites.localhost."/gone"]
module = "reply"
status = 52
meta = "{META}"
[sites.localhost."/ask"]
module = "input"
as_meta = true
key = "{"k" * 64}"
[sites.localhost."/page"]
module = "reply"
status = 20
meta = "text/gemini"
body = "# A page {"of many words " * 20}"
[people]
{NAME} = "PERSON"
"""


class EveryCommand(Case):
    """With all that can be long: names of hosts, files and people, in wide letters too, and what
    is wrong."""

    @classmethod
    def setUpClass(cls):
        cls.server = Capsule("", {
            "rate_limit.enabled": "true", "rate_limit.exempt": '["127.0.0.0/8"]',
            "rate_limit.requests": "1", "listen.spartan": '["127.0.0.1:0"]',
            "listen.proxy_protocol_from": '["127.0.0.2"]'})
        cls.addClassCleanup(cls.server.close)
        cls.path = cls.server.folder.path
        for name in ("root", "up", "made", "long/" + WIDE):
            cls.server.folder.make(name)
        cls.long = cls.path / "long" / WIDE
        person = cls.long / f"{WIDE[:21]}.pem"
        cls.ctl("identity", "create", WIDE[:21], "--dir", cls.long)
        shown = json.loads(cls.ctl("identity", "show", person, "--json"))
        cls.person = person
        cls.server.sites = LONG_SITES.replace("PERSON", shown["sha256"])
        cls.server.start()
        cls.fill()

    @classmethod
    def ctl(cls, *words):
        return subprocess.run(cls.line(cls, words), check=True, capture_output=True, text=True,
                              timeout=PATIENCE).stdout

    @classmethod
    def fill(cls):
        certificate = (str(cls.person), str(cls.person))
        assert cls.server.get("/ask?" + urllib.parse.quote(WIDE), certificate=certificate).status == 20
        cls.wide = "/up/" + urllib.parse.quote(WIDE) + ".gmi"
        for path in (PATH, cls.wide, cls.wide):
            body = f"# {WIDE * 4} {time.monotonic()}\n".encode()
            assert cls.server.put(path, body, ";mime=text/gemini", certificate=certificate).status == 30
        for number in range(3):
            for _ in range(3):
                with socket.create_connection(("127.0.0.1", cls.server.spartan_port), PATIENCE,
                                              ("127.0.0.2", 0)) as client:
                    client.sendall(f"PROXY TCP6 2001:db8:aaaa:bbb{number}:cccc:dddd:eeee:ffff ::1 1 2\r\n"
                                   "localhost / 0\r\n".encode())
                    client.recv(100)
        cls.user = json.loads(cls.ctl("--json", "users"))["users"][0]["id"]

    def cases(self):
        """Command lines for each command, of those that change something the last ones last."""
        nowhere, long = "/nowhere/" + "x" * 100, "x" * 120
        base = f"localhost:{self.server.port}"
        page = self.long / f"{WIDE}.gmi"
        page.write_text("# New\n")
        broken = self.long / "broken.toml"
        broken.write_text(f'[sites."{HOST}"]\nroot = "."\n{long} = true\n')
        pair = ("--cert", self.path / f"made/{HOST}.crt", "--key", self.path / f"made/{HOST}.key")
        return {
            "help": [(), (long,), ("certificate", long)],
            "certificate create": [(HOST, "--dir", self.path / "made"), (HOST, "--dir", self.path / "made"),
                                   (long + "." + long,), ("a.test", "--dir", self.long)],
            "certificate show": [(pair[1],), (page,), (nowhere,)],
            "certificate install": [(HOST, *pair), (HOST, *pair), (long, *pair), (HOST,),
                                    (HOST, "--cert", nowhere, "--key", nowhere)],
            "certificate list": [()],
            "certificate sync": [("--config", nowhere), ("--config", broken), (long,)],
            "check": [(), (broken,), (nowhere,)],
            "completion": [("bash",), ("zsh",), ("fish",), (long,)],
            "content import": [(long,), (long, "--config", broken)],
            "content verify": [(), ("--config", nowhere)],
            "fleet": [()],
            "storage copy": [(), ("--from", long), ("--from", "sqlite:/" + long),
                             ("--to", "sqlite:/" + long, "--config", broken)],
            "get": [(f"gemini://{base}/page", "--verbose"), (f"gemini://{base}/gone",),
                    (f"gemini://{base}/{long}", "--head"), (f"gemini://{long}.test/",),
                    (f"gemini://{HOST}.test:1/", "--connect", "127.0.0.1:1"), (long + "://x",),
                    (f"gemini://{base}/", "--cert", nowhere), (f"gemini://{base}/", "--connect", long)],
            "identity create": [(NAME,), (NAME,), ("ä" * 32, "--dir", self.long), (long,)],
            "identity show": [(self.person,), (f"{NAME}.pem",), (nowhere,)],
            "limits": [()],
            "limits clear": [(long,), ()],
            "log": [("debug",), (long,)],
            "put": [(page, f"titan://{base}{PATH}", "--verbose"),
                    (page, self.path / long, f"titan://{base}/up/"), (page, f"titan://{base}/{long}"),
                    (nowhere, f"titan://{base}{PATH}"), (page, f"titan://{base}{PATH}", "--mime", long),
                    ("--delete", f"titan://{base}/{self.wide}"),
                    (page, "--token", long, f"titan://{base}/gone")],
            "scripts": [()],
            "scripts stop": [("1",), (long,)],
            "stats": [(), ("--format", long), ("--watch=" + long,)],
            "token": [("--name", NAME), ("--name", long), ("--bytes", long)],
            "uploads": [(), ("--user", "@" + NAME), ("--path", self.wide), ("--since", long),
                        ("--limit", long)],
            "uploads diff": [("3",), (long,)],
            "uploads restore": [("2",), (long,)],
            "uploads show": [("1",), ("3",), (long,)],
            "upstreams": [()],
            "users": [(), ("--limit", long)],
            "users show": [(self.user,), (long,)],
            "users forget": [(long,), (self.user,)],
            "worker restart": [("0",), ("all",), (long,)],
            "backup": [(self.long / f"{WIDE}.tar.zst",), (nowhere + "/b",)],
            "reload": [(), self.break_configuration],
            "status": [(), ("--socket", nowhere), ("--socket", self.path / "none" / ("x" * 60)), (long,)],
            "stop": [("--socket", nowhere)],
        }

    def break_configuration(self):
        with open(self.path / "egalaxyd.toml", "a", encoding="utf-8") as file:
            file.write(f'[sites."{"x" * 60}.test"]\nroot = "root"\n' + f'{"wrong" * 30} = "{WIDE}"\n')
        return ()

    def test_no_line_is_wider_whatever_it_tells(self):
        cases = self.cases()
        self.assertEqual(set(cases), set(commands()), "each command has a case")
        wide = set()
        for command, lines in cases.items():
            for words in lines:
                words = words() if callable(words) else words
                with self.subTest(command=command, words=words):
                    said = self.run_on_terminal(*command.split(), *words)
                    self.assert_narrow(said, AS_THEY_ARE.get(command))
                    if any(columns(line) > 80 for line in said.split("\n")):
                        wide.add(command)
        self.assertEqual(wide, set(AS_THEY_ARE), "what is to be pasted is not folded")

    def test_a_line_that_is_none_is_refused_in_lines_that_fit(self):
        for words in ((), ("x" * 100, "y" * 100), ("--" + "x" * 100,), ("reload", "--" + "x" * 100),
                      ("reload", "x" * 100)):
            with self.subTest(words=words):
                self.assert_narrow(self.run_on_terminal(*words))
                self.assertEqual(self.code, 64)


if __name__ == "__main__":
    unittest.main(verbosity=2)
