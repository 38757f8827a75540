#!/usr/bin/env python3
"""egalaxyctl on a terminal of 80 columns and 24 lines, and its help. The programs are those of
$EGALAXYD_BIN_DIR."""
import fcntl
import os
import pathlib
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import threading
import time
import unittest

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
COMMANDS = ("backup", "certificate create", "certificate install", "certificate list",
            "certificate show", "check", "completion", "get", "help", "identity create",
            "identity show", "limits", "limits clear", "log", "put", "reload", "stats", "status",
            "stop", "token", "uploads", "uploads diff", "uploads restore", "uploads show", "users",
            "users forget", "users show", "worker restart")


def columns(line):
    return len(re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", line))


class Terminal(unittest.TestCase):
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

    def line(self, words):
        socket = self.server.folder.path / "run/control.sock"
        return [program("egalaxyctl"), "--socket", socket, *words]

    def run_on_terminal(self, *words, until=None):
        """What it writes; of one that does not end, until that many seconds are over."""
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        running = subprocess.Popen(self.line(words), cwd=self.server.folder.path, stdin=slave,
                                   stdout=slave, stderr=subprocess.DEVNULL,
                                   env={**os.environ, "TERM": "xterm", "NO_COLOR": ""})
        os.close(slave)
        said, end = b"", time.monotonic() + (until or PATIENCE)
        while time.monotonic() < end:
            if not select.select([master], [], [], 0.1)[0]:
                continue
            try:
                said += os.read(master, 65536)
            except OSError:  # the other end is closed
                break
        if until:
            running.terminate()
        running.wait(PATIENCE)
        os.close(master)
        return said.decode().replace("\r\n", "\n")

    def run_in_pipe(self, *words):
        done = subprocess.run(self.line(words), cwd=self.server.folder.path, capture_output=True,
                              text=True, timeout=PATIENCE, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def assert_narrow(self, text):
        self.assertTrue(text)
        for line in text.split("\n"):
            self.assertLessEqual(columns(line), 80, text)

    def test_no_line_of_a_listing_is_wider_and_nothing_is_left_out(self):
        for words in (("certificate", "list"), ("status",), ("stats",), ("uploads",), ("users",),
                      ("uploads", "show", "1"), ("limits",)):
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

    def test_stats_that_are_watched_fit_80_columns_and_24_lines(self):
        said = self.run_on_terminal("stats", "--watch=1", until=1.6)
        frames = [frame for frame in said.split("\x1b[H\x1b[2J") if frame]
        self.assertTrue(frames)
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
            said = self.run_on_terminal("stats", "--watch=1", until=3)
        finally:
            stop.set()
            asking.join()
        frames = [re.sub(r"\x1b\[[0-9;]*m", "", frame)
                  for frame in said.split("\x1b[H\x1b[2J") if frame.count("\n") > 10]
        rows = [line.split() for line in frames[-1].split("\n")[2:13]]
        moved = [len(row) == 3 for row in rows]
        self.assertTrue(moved[0], frames[-1])
        self.assertEqual(moved, sorted(moved, reverse=True), frames[-1])

    def test_each_command_tells_of_its_own_options_alone(self):
        for words in COMMANDS:
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

    def test_metrics_say_what_they_are(self):
        said = self.run_in_pipe("stats", "--format", "prometheus")
        helps = re.findall(r"^# HELP (\S+) (.*)$", said, re.MULTILINE)
        self.assertGreater(len(helps), 20)
        for name, text in helps:
            self.assertGreater(len(text.split()), 3, name)
            self.assertNotIn("A total since", text, name)
        self.assertEqual(len({text for _, text in helps}), len(helps))


if __name__ == "__main__":
    unittest.main(verbosity=2)
