"""One server with scripts; each test makes the scripts that it asks for."""
import json
import pathlib
import re
import unittest

from capsule import PATIENCE, Capsule, Folder, eventually, name_of, processes
from titan_client import Conversation

PYTHON = "#!/usr/bin/python3 -IS\n"
# Tells all that it was given, as JSON.
ENV = PYTHON + """
import json, os, sys
sys.stdout.write("20 application/json\\r\\n" + json.dumps({
    "arguments": sys.argv, "variables": dict(os.environ), "folder": os.getcwd(),
    "body": sys.stdin.buffer.read().decode("latin-1")}))
"""


def shell(text):
    return "#!/bin/sh\n" + text


def mount(path, more="", root="cgi", host="localhost"):
    return f'[sites."{host}"."{path}"]\nmodule = "cgi"\nroot = "{root}"\n{more}\n'


class ScriptCase(unittest.TestCase):
    """Started once for each class that inherits. SITES, SETTINGS and ENVIRONMENT are the class's;
    "cgi" is the folder of its scripts, "marks" one that scripts may write to."""
    SITES = mount("/cgi-bin")
    SETTINGS = {}
    ENVIRONMENT = {}

    @classmethod
    def setUpClass(cls):
        cls.folder = Folder()
        cls.addClassCleanup(cls.folder.remove)
        cls.cgi = cls.folder.path / "cgi"
        cls.cgi.mkdir(mode=0o755)
        cls.marks = cls.folder.make("marks")
        cls.prepare()
        cls.server = Capsule(cls.SITES, {"log.level": '"debug"', **cls.SETTINGS}, cls.folder)
        cls.addClassCleanup(cls.server.close)
        cls.server.start(cls.ENVIRONMENT)

    @classmethod
    def prepare(cls):
        """What has to be there before the server is."""

    @classmethod
    def script(cls, name, text, mode=0o755):
        """A new one, or a new version of it."""
        file = cls.cgi / name
        for folder in reversed(file.relative_to(cls.cgi).parents[:-1]):
            (cls.cgi / folder).mkdir(mode=0o755, exist_ok=True)
        made = file.with_name(file.name + ".new")
        made.write_bytes(text if isinstance(text, bytes) else text.encode())
        made.chmod(mode)
        made.rename(file)
        return file

    def mark(self, name):
        """A file that a script of this test may make; not there yet."""
        file = self.marks / f"{self.id().rpartition('.')[2]}-{name}"
        self.assertFalse(file.exists())
        return file

    def ask(self, path, **options):
        return self.server.get(path, **options)

    def talk(self, path, **options):
        """A conversation that has asked for it."""
        talk = Conversation(self.server.port, **options)
        self.addCleanup(talk.socket.close)
        talk.say(self.server.url(path, "gemini").encode() + b"\r\n")
        return talk

    def told(self, path, **options):
        """What the script ENV says that it was given."""
        answer = self.ask(path, **options)
        self.assertEqual((answer.status, answer.end), (20, "close_notify"), answer)
        return json.loads(answer.body)

    def variables(self, path, **options):
        return self.told(path, **options)["variables"]

    def assert_refused(self, answer, status, meta=None):
        """An answer without body, whose text tells nothing of the machine."""
        self.assertEqual((answer.status, answer.end), (status, "close_notify"), answer)
        self.assertEqual(answer.body, b"")
        if meta is None:
            self.assertRegex(answer.meta, r"^[A-Z][a-z].*\w$")
        else:
            self.assertEqual(answer.meta, meta)
        for secret in (str(self.folder.path), "cgi-bin", "/bin/"):
            self.assertNotIn(secret, answer.meta)

    def assert_logged(self, pattern):
        self.assertTrue(eventually(lambda: re.search(pattern, self.server.log())),
                        f"{pattern}\n{self.server.log()[-4000:]}")

    def pid_in(self, mark):
        """Written there by a script."""
        self.assertTrue(eventually(lambda: mark.exists() and mark.read_text().endswith("\n")), mark)
        return int(mark.read_text())

    def assert_ends(self, pid, patience=PATIENCE):
        self.assertTrue(eventually(lambda: not lives(pid), patience), f"{pid} lives: {name_of(pid)}")

    def launchers(self):
        return [pid for pid in self.server.children() if name_of(pid) == "egalaxyd-launch"]

    def running(self):
        """Processes of scripts."""
        return [pid for launcher in self.launchers() for pid in processes(parent=launcher)]


def lives(pid):
    """Not of zombies."""
    try:
        status = pathlib.Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] not in "ZX"
