#!/usr/bin/env python3
"""examples/cluster/up does what its README says: all of it comes up, an upload is on each host, and Ctrl-C leaves
nothing behind. The programs are those of $EGALAXYD_BIN_DIR; skipped (77) where one is missing."""
import contextlib
import os
import pathlib
import re
import select
import signal
import subprocess
import sys
import tempfile
import time
import unittest

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent
EXAMPLE = HERE.parents[2] / "examples/cluster"
for folder in (HERE.parents[1] / "support", EXAMPLE):
    sys.path.insert(0, str(folder))
from capsule import eventually, program  # noqa: E402
from one_machine import missing  # noqa: E402
from titan_client import exchange  # noqa: E402

PATIENCE = 120


def commands_with(word):
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if word in command:
                    found.append(command)
    return found


class Up(unittest.TestCase):
    def setUp(self):
        self.parent = tempfile.mkdtemp(prefix="egu-")
        os.chmod(self.parent, 0o755)
        self.addCleanup(subprocess.run, ["rm", "-rf", self.parent], check=True)
        # What runs in the background of a shell ignores Ctrl-C.
        self.process = subprocess.Popen([EXAMPLE / "up"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=False,
                                        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
                                        env={**os.environ, "TMPDIR": self.parent}, start_new_session=True)
        self.addCleanup(self.leave)

    def leave(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(PATIENCE)
        self.process.stdout.close()

    def said(self, words):
        """All that it has said, once these words are in it."""
        text, until = "", time.monotonic() + PATIENCE
        while words not in text and time.monotonic() < until:
            if select.select([self.process.stdout], [], [], 1)[0]:
                some = os.read(self.process.stdout.fileno(), 4096)
                if not some:
                    break
                text += some.decode()
        self.assertIn(words, text)
        return text

    def test_shows_the_whole(self):
        text = self.said("Ctrl-C stops all.")
        port = int((re.search(r"gemini://localhost:(\d+)/", text) or [0, 1965])[1])
        folder = pathlib.Path(re.search(r"^Files +(\S+)/h1", text, re.M)[1])
        answer = exchange(port, f"titan://localhost:{port}/shared/note.gmi;size=6", b"# Note", source="127.0.7.1")
        self.assertEqual(answer.status, 30, answer)
        files = [folder / f"h{number}/srv/shared/note.gmi" for number in (1, 2, 3)]
        self.assertTrue(eventually(lambda: all(file.exists() and file.read_bytes() == b"# Note" for file in files)))
        self.leaves_nothing(0)

    def leaves_nothing(self, code):
        """Although whoever waits presses Ctrl-C twice."""
        self.process.send_signal(signal.SIGINT)
        self.said("stopping ...")
        self.process.send_signal(signal.SIGINT)
        self.assertEqual(self.process.wait(PATIENCE), code)
        self.assertTrue(eventually(lambda: not commands_with(self.parent)), commands_with(self.parent))
        self.assertEqual(os.listdir(self.parent), [])

    def test_is_interrupted_while_it_starts(self):
        self.said("two standbys")
        self.leaves_nothing(0)

    def test_stops_when_its_terminal_goes(self):
        self.said("etcd and the first database")
        self.process.send_signal(signal.SIGHUP)
        self.assertEqual(self.process.wait(PATIENCE), 128 + signal.SIGHUP)
        self.assertTrue(eventually(lambda: not commands_with(self.parent)), commands_with(self.parent))

    def test_keeps_what_is_in_a_folder_that_is_there(self):
        kept = subprocess.run([EXAMPLE / "up", "--keep", self.parent], capture_output=True, text=True, check=False)
        self.assertEqual(kept.returncode, 73)
        self.assertIn("--keep wants a folder that is not there yet", kept.stderr)


if __name__ == "__main__":
    if lacking := missing(program("egalaxyd")):
        print(f"skipped: not installed: {lacking}")
        sys.exit(77)
    unittest.main()
