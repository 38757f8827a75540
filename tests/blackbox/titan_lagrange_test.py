#!/usr/bin/env python3
"""Somebody edits the home page in Lagrange, with the request lines that Lagrange sends: it asks for the
page, for its source with ";edit", uploads it, and follows the redirect."""
import pathlib
import subprocess
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from capsule import Capsule, Folder, fingerprint, make_certificate, program, sha256  # noqa: E402
from titan_client import exchange, lagrange_line  # noqa: E402

TOKEN = "a token with spaces"
SITES = """
[sites.localhost."/"]
module = "directory"
root = "home"
[sites.localhost."/".upload]
tokens = ["sha256:{token}"]

[sites.localhost."/mine"]
module = "directory"
root = "mine"
[sites.localhost."/mine".upload]
fingerprints = ["{mine}"]
"""


class EditTheHomePage(unittest.TestCase):
    def setUp(self):
        self.folder = Folder()
        self.addCleanup(self.folder.remove)
        self.mine, self.other = (make_certificate(self.folder.path, name) for name in ("mine", "other"))
        for name in ("home", "mine"):
            index = self.folder.make(name) / "index.gmi"
            index.write_bytes(b"# Old\n")
            index.chmod(0o666)
        self.server = Capsule(SITES.format(token=sha256(TOKEN.encode()), mine=fingerprint(self.mine)),
                              folder=self.folder)
        self.addCleanup(self.server.close)
        self.server.start()

    def ask(self, line, body=b"", **options):
        answer = exchange(self.server.port, line, body, **options)
        return answer.status, answer.meta, answer.body

    def upload(self, path, page, token="", **options):
        line = lagrange_line(self.server.url(path), len(page), "text/gemini", token)
        return self.ask(line, page, **options)

    def assert_follows(self, answer, path, page, **options):
        self.assertEqual(answer[:2], (30, self.server.url(path, "gemini")))
        self.assertEqual(self.ask(answer[1], **options)[2], page)

    def test_with_a_token(self):
        self.assertEqual(self.ask(self.server.url("/", "gemini"))[2], b"# Old\n")
        self.assertEqual(self.ask(self.server.url("/") + ";edit"), (20, "text/gemini", b"# Old\n"))
        status, words, _ = self.upload("/", b"# New\n")
        self.assertEqual(status, 61)
        self.assertIn("token", words)
        self.assert_follows(self.upload("/", b"# New\n", TOKEN), "/", b"# New\n")

    def test_with_a_certificate(self):
        self.assertEqual(self.ask(self.server.url("/mine/") + ";edit")[0], 60)
        self.assertEqual(self.ask(self.server.url("/mine/") + ";edit", certificate=self.other)[0], 61)
        self.assertEqual(self.ask(self.server.url("/mine/") + ";edit", certificate=self.mine)[2],
                         b"# Old\n")
        self.assert_follows(self.upload("/mine/", b"# New\n", certificate=self.mine), "/mine/",
                            b"# New\n", certificate=self.mine)

    def test_a_mistake_is_undone(self):
        self.upload("/", b"# A mistake\n", TOKEN)
        found, = self.server.uploads("outcome = 'found'")
        subprocess.run([program("egalaxyctl"), "--socket", self.folder.path / "run/control.sock",
                        "uploads", "restore", str(found["id"])], check=True, capture_output=True)
        self.assertEqual(self.ask(self.server.url("/", "gemini"))[2], b"# Old\n")


if __name__ == "__main__":
    unittest.main()
