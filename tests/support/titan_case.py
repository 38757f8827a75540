"""One server with every kind of `upload`; each test has pages of its own."""
import os
import unittest
import urllib.parse

from capsule import Capsule, Folder, fingerprint, make_certificate, sha256
from titan_client import exchange

TOKENS = ("plain-token-7f3a", "semi;colon=and&more", "schlüssel 9b2c", "100%25")
MIB = 1024 * 1024

SITES = """
[sites.localhost."/"]
module = "directory"
root = "root"
[sites.localhost."/old"]
module = "redirect"
to = "/open/new.gmi"

[sites.localhost."/open"]
module = "directory"
root = "open"
[sites.localhost."/open".upload]
anyone = true
delete = true

[sites.localhost."/big"]
module = "directory"
root = "big"
[sites.localhost."/big".upload]
anyone = true
max_size = "20MiB"
mime = ["text/*", "application/octet-stream"]

[sites.localhost."/small"]
module = "directory"
root = "small"
[sites.localhost."/small".upload]
anyone = true
max_size = "1KiB"

[sites.localhost."/gemtext"]
module = "directory"
root = "gemtext"
[sites.localhost."/gemtext".upload]
anyone = true
mime = ["text/gemini"]

[sites.localhost."/pictures"]
module = "directory"
root = "pictures"
[sites.localhost."/pictures".upload]
anyone = true
mime = ["image/png"]

[sites.localhost."/tokens"]
module = "directory"
root = "tokens"
[sites.localhost."/tokens".upload]
tokens = [{tokens}]

[people]
ann = "SHA256:{listed}"

[sites.localhost."/named"]
module = "directory"
root = "named"
[sites.localhost."/named".upload]
fingerprints = ["@ann"]
tokens = {{ "desk-1" = "sha256:{named}" }}

[sites.localhost."/either"]
module = "directory"
root = "either"
[sites.localhost."/either".upload]
fingerprints = ["{listed}"]
tokens = [{tokens}]

[sites.localhost."/listed"]
module = "directory"
root = "listed"
[sites.localhost."/listed".upload]
fingerprints = ["SHA256:{listed}", "{second}"]

[sites.localhost."/certified"]
module = "directory"
root = "certified"
[sites.localhost."/certified".upload]
fingerprints = ["*"]

[sites.localhost."/quota"]
module = "directory"
root = "quota"
[sites.localhost."/quota".upload]
fingerprints = ["*"]
delete = true
quota = "5KiB"

[sites.localhost."/parts"]
module = "directory"
root = "parts"
[sites.localhost."/parts".upload]
fingerprints = ["*"]
quota = "13KiB"

[sites.localhost."/keep"]
module = "directory"
root = "keep"
[sites.localhost."/keep".upload]
anyone = true

[sites.localhost."/parents"]
module = "directory"
root = "parents"
[sites.localhost."/parents".upload]
anyone = true
create_directories = true

[sites.localhost."/spartan"]
module = "directory"
root = "spartan"
[sites.localhost."/spartan".upload]
over = ["spartan"]
anyone = true

[sites.localhost."/gate"]
module = "authenticated"
[sites.localhost."/gate".sites."/"]
module = "directory"
root = "gate"
[sites.localhost."/gate".sites."/".upload]
anyone = true
"""

FOLDERS = ("root", "open", "big", "small", "gemtext", "pictures", "tokens", "either", "listed",
           "certified", "quota", "parts", "keep", "parents", "spartan", "gate", "named")


class TitanCase(unittest.TestCase):
    """Started once for each class that inherits."""

    @classmethod
    def setUpClass(cls):
        cls.folder = Folder()
        cls.addClassCleanup(cls.folder.remove)
        for name in FOLDERS:
            cls.folder.make(name)
        cls.outside = cls.folder.make("outside")
        cls.listed, cls.second, cls.stranger = (
            make_certificate(cls.folder.path, name) for name in ("listed", "second", "stranger"))
        cls.expired = make_certificate(cls.folder.path, "expired", expired=True)
        tokens = ", ".join(f'"sha256:{sha256(token.encode())}"' for token in TOKENS)
        cls.server = Capsule(
            SITES.format(tokens=tokens, named=sha256(b"named-2e8b"), listed=fingerprint(cls.listed),
                         second=fingerprint(cls.second)),
            {"log.level": '"trace"', "listen.titan": '["127.0.0.1:0"]'}, cls.folder)
        cls.addClassCleanup(cls.server.close)
        cls.server.start()

    # What is asked and what is expected.

    def line(self, path, parameters):
        return self.server.url(path) + parameters

    def ask(self, path, parameters, body=b"", **options):
        return exchange(self.server.port, self.line(path, parameters), body, **options)

    def file(self, path):
        return self.folder.path / urllib.parse.unquote(path).lstrip("/")

    def plant(self, path, content):
        self.file(path).write_bytes(content)
        self.file(path).chmod(0o666)

    def assert_closed_properly(self, answer):
        self.assertEqual((answer.end, answer.tcp, answer.send_error), ("close_notify", "fin", ""))

    def assert_stored(self, answer, path, body):
        self.assertEqual((answer.status, answer.meta),
                         (30, self.server.url(path, "gemini")), answer)
        self.assertEqual(answer.body, b"")
        self.assert_closed_properly(answer)
        self.assertEqual(self.file(path).read_bytes(), body)
        self.assertEqual(self.server.get(path).body, body)

    def assert_refused(self, answer, *statuses):
        self.assertIn(answer.status, statuses, answer)
        self.assertRegex(answer.meta, r"^[A-Z].*\w")
        self.assertNotIn(str(self.folder.path), answer.meta)
        self.assertEqual(answer.body, b"")
        self.assert_closed_properly(answer)

    def assert_absent(self, path):
        self.assertFalse(os.path.lexists(self.file(path)), path)
        self.assertEqual(self.server.temporary_files(), [])

    def records(self, path):
        return self.server.uploads("path = ?", urllib.parse.unquote(path))
