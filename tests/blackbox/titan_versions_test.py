#!/usr/bin/env python3
"""Earlier versions of files: kept, shown, compared and had back, by the real programs."""
import json
import os
import pathlib
import subprocess
import sys
import threading
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from capsule import Capsule, Folder, program, sha256  # noqa: E402

MIB = 1024 * 1024
SITES = """
[sites.localhost."/up"]
module = "directory"
root = "up"
[sites.localhost."/up".upload]
anyone = true
delete = true
max_size = "8MiB"
mime = ["*/*"]

[sites.localhost."/two"]
module = "directory"
root = "two"
[sites.localhost."/two".upload]
anyone = true
keep = 2

[sites.localhost."/off"]
module = "directory"
root = "off"
[sites.localhost."/off".upload]
anyone = true
keep = "off"

[sites.localhost."/little"]
module = "directory"
root = "little"
[sites.localhost."/little".upload]
anyone = true
max_size = "8KiB"
keep_size = "20KiB"
"""


class Versions(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = Folder()
        cls.addClassCleanup(cls.folder.remove)
        for name in ("up", "two", "off", "little"):
            cls.folder.make(name)
        cls.server = Capsule(SITES, {"server.workers": "2"}, cls.folder)
        cls.addClassCleanup(cls.server.close)
        cls.server.start()

    def put(self, path, body, status=30):
        answer = self.server.put(path, body)
        self.assertEqual(answer.status, status, answer)
        return self.records(path)[-1]["id"] if status in (20, 30) else None

    def delete(self, path):
        return self.put(path, b"", 20)

    def records(self, path):
        return sorted(self.server.uploads("path = ?", path), key=lambda record: record["id"])

    def ask(self, *words, code=0):
        run = subprocess.run([program("egalaxyctl"), "--socket", self.folder.path / "run/control.sock", *map(str, words)],
                             capture_output=True)
        self.assertEqual(run.returncode, code, run)
        return run.stdout if code in (0, 1) and not run.stderr else run.stderr

    def content(self, upload):
        return self.ask("uploads", "show", upload, "--content")

    def restore(self, upload):
        return json.loads(self.ask("uploads", "restore", upload, "--json"))["upload"]

    def file(self, path):
        return self.folder.path / path.lstrip("/")

    def test_an_upload_is_undone(self):
        first = self.put("/up/page", b"# First\n")
        second = self.put("/up/page", b"# Second\n")
        self.assertEqual(self.content(first), b"# First\n")
        self.assertEqual(self.content(second), b"# Second\n")
        restored = self.restore(first)
        self.assertEqual(self.server.get("/up/page").body, b"# First\n")
        record = self.records("/up/page")[-1]
        self.assertEqual((record["id"], record["outcome"], record["protocol"], record["sha256"]),
                         (restored, "replaced", "restore", sha256(b"# First\n")))
        self.assertEqual(self.content(second), b"# Second\n")
        self.restore(second)
        self.assertEqual(self.file("/up/page").read_bytes(), b"# Second\n")

    def test_a_deletion_is_undone(self):
        self.put("/up/gone", b"here\n")
        deletion = self.delete("/up/gone")
        self.assertFalse(self.file("/up/gone").exists())
        self.restore(deletion)
        self.assertEqual(self.file("/up/gone").read_bytes(), b"here\n")

    def test_a_page_that_was_written_by_hand_is_kept(self):
        self.file("/up/hand").write_bytes(b"by hand\n")
        self.file("/up/hand").chmod(0o666)
        self.put("/up/hand", b"uploaded\n")
        found, = (record for record in self.records("/up/hand") if record["outcome"] == "found")
        self.assertEqual(self.content(found["id"]), b"by hand\n")
        self.restore(found["id"])
        self.assertEqual(self.file("/up/hand").read_bytes(), b"by hand\n")

    def test_a_page_that_was_edited_since_its_upload_is_kept_as_it_was(self):
        self.put("/up/edited", b"uploaded\n")
        self.file("/up/edited").write_bytes(b"edited\n")
        last = self.put("/up/edited", b"again\n")
        diff = self.ask("uploads", "diff", last, code=1).decode()
        self.assertIn("-edited\n+again\n", diff)

    def test_differences_are_shown(self):
        first = self.put("/up/diff", b"one\ntwo\n")
        second = self.put("/up/diff", b"one\nthree\n")
        self.assertIn(b"-two\n+three\n", self.ask("uploads", "diff", second, code=1))
        self.assertIn(b"-two\n+three\n", self.ask("uploads", "diff", first, "--current", code=1))
        self.assertIn(b"+one\n+two\n", self.ask("uploads", "diff", first, code=1))
        self.assertEqual(self.ask("uploads", "diff", second, "--current"), b"no difference\n")

    def test_large_content_comes_back_byte_for_byte(self):
        body = os.urandom(5 * MIB + 17)
        first = self.put("/up/large", body)
        self.put("/up/large", os.urandom(MIB))
        self.assertEqual(sha256(self.content(first)), sha256(body))
        self.restore(first)
        self.assertEqual(sha256(self.file("/up/large").read_bytes()), sha256(body))

    def test_what_is_not_kept_is_said(self):
        ids = [self.put("/two/page", b"%d\n" % i) for i in range(4)]
        self.assertEqual([self.content(each) for each in ids[1:]], [b"1\n", b"2\n", b"3\n"])
        self.assertIn(b"not kept", self.ask("uploads", "show", ids[0], "--content", code=66))
        self.assertIn(b"has this content", self.ask("uploads", "restore", ids[3], code=1))
        self.assertIn(b"no upload 999999", self.ask("uploads", "restore", 999999, code=1))
        self.put("/off/page", b"1\n")
        last = self.put("/off/page", b"2\n")
        self.assertIn(b"not kept", self.ask("uploads", "diff", last, code=66))

    def test_an_upload_is_refused_where_its_version_would_have_no_room(self):
        for name in "abc":
            self.put(f"/little/{name}", b"x" * 8000)
        self.put("/little/a", b"y" * 8000)
        answer = self.server.put("/little/b", b"y" * 8000)
        self.assertEqual(answer.status, 40, answer)
        self.assertEqual(self.file("/little/b").read_bytes(), b"x" * 8000)
        self.put("/little/a", b"z" * 8000)  # whose older version may go

    def test_writers_of_one_page_lose_no_version(self):
        bodies = [b"%d " % i + b"x" * 70_000 * (i % 2) for i in range(16)]
        statuses = []

        def write(body):
            statuses.append(self.server.put("/up/busy", body).status)
        threads = [threading.Thread(target=write, args=(body,)) for body in bodies]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(statuses, [30] * len(bodies))
        records = self.records("/up/busy")
        self.assertEqual(len(records), len(bodies))
        self.assertEqual(sorted(self.content(record["id"]) for record in records), sorted(bodies))

    def test_forgotten_content_gives_its_room_back(self):
        for number in range(30):
            self.put("/two/large", b"%d " % number + os.urandom(100_000).hex().encode())

        self.put("/two/large", b"last\n")
        unused = "id / 1048576 IN (SELECT id FROM contents WHERE refs = 0)"
        self.assertEqual(self.server.rows("content_parts", unused), [])


if __name__ == "__main__":
    unittest.main()
