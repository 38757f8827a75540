#!/usr/bin/env python3
"""What uploads may take, whose files they may change, and which names and contents they may bring.
The programs are those of $EGALAXYD_BIN_DIR."""
import contextlib
import pathlib
import shutil
import subprocess
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from capsule import Capsule, Folder, eventually, make_certificate, program  # noqa: E402
from titan_client import Conversation, exchange  # noqa: E402

BLOCK = 4096
RULES = {
    "deep": 'anyone = true\ndelete = true\ncreate_directories = true',
    "counted": f'anyone = true\ndelete = true\ncreate_directories = true\nquota = {6 * BLOCK}',
    "shallow": 'anyone = true\ncreate_directories = true\nnew_folders = 2\ndepth = 3',
    "kept": 'anyone = true\ndelete = true',
    "reserved": 'anyone = true\nquota = "1MiB"\nmime = ["text/*"]',
    "total": f'fingerprints = ["*"]\ndelete = true\ntotal_quota = {2 * BLOCK + 100}',
    "few": 'fingerprints = ["*"]\ndelete = true\nfiles = 2',
    "own": 'anyone = true\ndelete = true\noverwrite = "own"',
    "floor": 'anyone = true\ndelete = true\ncreate_directories = true\nmin_free = "1000000GiB"',
    "nofloor": 'anyone = true\nmin_free = "0"',
    "keys": 'anyone = true\ndelete = true',
}
KEY = "-----BEGIN PRIVATE KEY-----\n" + "A" * 64 + "\n-----END PRIVATE KEY-----\n"


def sites():
    return "".join(
        f'[sites.localhost."/{name}"]\nmodule = "directory"\nroot = "{name}"\nlisting = true\n'
        f'[sites.localhost."/{name}".upload]\n{rules}\n' for name, rules in RULES.items())


class Bounds(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = Folder()
        cls.addClassCleanup(cls.folder.remove)
        for name in RULES:
            cls.folder.make(name)
        cls.alice, cls.bob = (make_certificate(cls.folder.path, name) for name in ("alice", "bob"))
        certificate, key = make_certificate(cls.folder.path, "localhost")
        shutil.move(key, cls.folder.path / "keys/server.key")
        cls.server = Capsule(sites(), {"tls.certificate": f'"{certificate}"',
                                       "tls.key": '"keys/server.key"'}, cls.folder)
        cls.addClassCleanup(cls.server.close)
        cls.server.start()

    def put(self, path, body=b"x", **options):
        return self.server.put(path, body, leave=True, **options)

    def delete(self, path, **options):
        return self.put(path, b"", **options)

    def stored(self, path, body=b"x", **options):
        answer = self.put(path, body, **options)
        self.assertEqual(answer.status, 30, answer)

    def refused(self, status, words, answer):
        self.assertEqual(answer.status, status, answer)
        self.assertIn(words, answer.meta)
        self.assertEqual(self.server.temporary_files(), [])

    def file(self, path):
        return self.folder.path / path.lstrip("/")

    def ctl(self, *words):
        return subprocess.run(
            [program("egalaxyctl"), "--socket", self.folder.path / "run/control.sock", *words],
            capture_output=True, text=True, check=True).stdout

    # Folders.

    def test_an_upload_makes_eight_folders_at_most(self):
        chain = "/deep/many/" + "/".join("1234567")
        self.refused(50, "At most 8 folders", self.put(chain + "/8/page"))
        self.assertFalse(self.file("/deep/many").exists())
        self.stored(chain + "/page")
        self.stored(chain + "/8/9/page")
        self.assertEqual(self.server.get(chain + "/8/9/page").body, b"x")

    def test_folders_lie_no_deeper_than_allowed(self):
        self.refused(50, "at most 3 folders", self.put("/shallow/a/b/c/d/page"))
        self.stored("/shallow/a/b/page")
        self.stored("/shallow/a/b/c/page")
        self.refused(50, "at most 32 folders", self.put("/deep" + "/d" * 33 + "/page"))

    def test_a_deletion_removes_the_folders_that_it_empties(self):
        self.stored("/deep/go/a/b/page")
        self.stored("/deep/go/other")
        self.assertEqual(self.delete("/deep/go/a/b/page").status, 20)
        self.assertFalse(self.file("/deep/go/a").exists())
        self.assertTrue(self.file("/deep/go/other").exists())
        self.assertEqual(self.delete("/deep/go/other").status, 20)
        self.assertFalse(self.file("/deep/go").exists())
        self.assertTrue(self.file("/deep").exists())

    def test_folders_that_uploads_do_not_make_stay(self):
        self.folder.make("kept/inbox")
        self.stored("/kept/inbox/page")
        self.assertEqual(self.delete("/kept/inbox/page").status, 20)
        self.assertTrue(self.file("/kept/inbox").is_dir())

    def test_each_file_and_folder_counts_a_block(self):
        self.refused(50, "would exceed", self.put("/counted/1/2/3/4/5/page"))
        self.stored("/counted/1/2/3/4/page")
        self.refused(50, "would exceed", self.put("/counted/page"))
        self.assertEqual(self.delete("/counted/1/2/3/4/page").status, 20)
        self.stored("/counted/1/2/page")
        self.stored("/counted/1/page")
        self.refused(50, "would exceed", self.put("/counted/page"))

    # Room.

    def test_what_is_announced_is_reserved_before_it_is_written(self):
        size = 300_000
        with contextlib.ExitStack() as open_ones:
            answers, talks = [], []
            for number in range(8):
                talk = open_ones.enter_context(Conversation(self.server.port))
                talk.say(f"{self.server.url(f'/reserved/{number}')};size={size}\r\n".encode())
                # Either it has its place, or the answer is here.
                held = eventually(lambda talk=talk, number=number: talk.listen(0.05) or any(
                    row["path"] == f"/reserved/{number}"
                    for row in self.server.pending_uploads()))
                self.assertTrue(held)
                talks.append(talk)
            refused = [talk for talk in talks if talk.listen(0.05)]
            self.assertEqual(len(talks) - len(refused), 3)
            for talk in refused:
                answers.append(talk.read(leave=True))
                self.refused(50, "would exceed 1MiB", answers[-1])
            for talk in talks:
                if talk not in refused:
                    talk.say(b"x" * size)
                    self.assertEqual(talk.read().status, 30)
        self.assertEqual(len(list(self.file("/reserved").iterdir())), 3)

    def test_a_reservation_ends_with_its_upload(self):
        line = f"{self.server.url('/reserved/never')};size=100000"
        for _ in range(12):
            answer = exchange(self.server.port, line, b"x" * 1000, finish="close_notify",
                              leave=True)
            self.assertEqual(answer.status, 59, answer)
        self.assertTrue(eventually(lambda: not any(
            row["path"] == "/reserved/never" for row in self.server.pending_uploads())))

    def test_all_users_share_the_total_quota(self):
        self.stored("/total/a", b"x" * 50, certificate=self.alice)
        self.refused(40, "would exceed", self.put("/total/b", b"x" * 51, certificate=self.bob))
        self.stored("/total/b", b"x" * 50, certificate=self.bob)
        self.refused(40, "would exceed", self.put("/total/c", certificate=self.bob))
        self.stored("/total/a", b"y" * 50, certificate=self.bob)
        self.assertEqual(self.delete("/total/a", certificate=self.bob).status, 20)
        self.stored("/total/c", b"x" * 50, certificate=self.alice)

    def test_all_users_share_the_number_of_files(self):
        self.stored("/few/a", certificate=self.alice)
        self.stored("/few/b", certificate=self.bob)
        self.refused(40, "as many files", self.put("/few/c", certificate=self.alice))
        self.stored("/few/a", b"again", certificate=self.alice)
        self.assertEqual(self.delete("/few/b", certificate=self.bob).status, 20)
        self.stored("/few/c", certificate=self.alice)

    def test_some_of_the_disk_stays_free(self):
        (self.folder.path / "floor/old").write_bytes(b"old")
        self.refused(40, "no room", self.put("/floor/page"))
        self.refused(40, "no room", self.put("/floor/a/b/page"))
        self.assertEqual([path.name for path in self.file("/floor").iterdir()], ["old"])
        self.assertEqual(self.delete("/floor/old").status, 20)
        self.stored("/nofloor/page")

    # Whose files.

    def test_a_file_is_changed_by_who_uploaded_it_alone(self):
        self.stored("/own/a", b"first", certificate=self.alice)
        for size in (3, 100_000):
            self.refused(50, "not yours", self.put("/own/a", b"x" * size, certificate=self.bob))
            self.refused(50, "not yours", self.put("/own/a", b"x" * size))
        self.refused(50, "not yours", self.delete("/own/a", certificate=self.bob))
        self.assertEqual(self.server.get("/own/a").body, b"first")
        self.stored("/own/a", b"second", certificate=self.alice)
        self.stored("/own/a", b"x" * 100_000, certificate=self.alice)
        self.assertEqual(self.delete("/own/a", certificate=self.alice).status, 20)
        self.stored("/own/a", b"theirs now", certificate=self.bob)

    def test_a_file_of_nobody_is_not_changed(self):
        (self.folder.path / "own/planted").write_bytes(b"old")
        self.stored("/own/anonymous", b"old")
        for path in ("/own/planted", "/own/anonymous"):
            for who in ({"certificate": self.alice}, {}):
                for size in (0, 3, 100_000):
                    with self.subTest(path=path, size=size, who=who):
                        self.refused(50, "not yours", self.put(path, b"x" * size, **who))
            self.assertEqual(self.file(path).read_bytes(), b"old")

    # Names and contents.

    def test_no_name_lies(self):
        for path in ("/deep/page%E2%80%AEimg.gmi", "/deep/a%E2%80%8B/page", "/deep/%EF%BB%BFpage",
                     "/deep/pa%C2%ADge", "/deep/\u202epage"):
            with self.subTest(path):
                self.refused(59, "nobody can see", self.put(path))
        (self.folder.path / "deep/ly\u202eing").write_bytes(b"old")
        listing = self.server.get("/deep/").body.decode()
        self.assertIn("=> ./ly%E2%80%AEing ly\ufffding ", listing)
        self.assertEqual(self.delete("/deep/ly%E2%80%AEing").status, 20)
        shown = self.ctl("uploads")
        self.assertIn("ly\ufffding", shown)
        self.assertNotIn("\u202e", shown)
        self.assertNotIn("\u202e", self.server.log())

    def test_a_header_does_not_swallow_the_listing(self):
        (self.folder.path / "nofloor/HEADER.gmi").write_bytes(b"# Mine\n```\nart")
        self.assertIn("art\n```\n", self.server.get("/nofloor/").body.decode())

    def test_nobody_gets_a_key(self):
        key = self.folder.path / "keys/server.key"
        content = key.read_bytes()
        shutil.copy(key, self.folder.path / "keys/server.key~")
        for name in ("server.key", "server.key~"):
            (self.folder.path / "keys" / name).chmod(0o644)
        (self.folder.path / "keys/HEADER.gmi").symlink_to("server.key")
        (self.folder.path / "keys/index-of-all.gmi").symlink_to("server.key~")
        self.stored("/keys/notes.txt", KEY.encode())
        listing = self.server.get("/keys/")
        self.assertEqual((listing.status, b"PRIVATE KEY" in listing.body), (20, False))
        for name in ("server.key", "server.key~", "HEADER.gmi", "index-of-all.gmi", "notes.txt"):
            with self.subTest(name):
                self.assertNotIn(f"./{name}", listing.body.decode())
                for ask in (self.server.get(f"/keys/{name}"),
                            exchange(self.server.port, self.server.url(f"/keys/{name}") + ";edit")):
                    self.assertNotEqual(ask.status, 20, ask)
                    self.assertNotIn(b"PRIVATE", ask.body)
        # The server's own is not written to, nor is a link to it; another may be mended.
        for name in ("server.key", "HEADER.gmi"):
            for body in (b"x", b""):
                self.assertEqual(self.put(f"/keys/{name}", body).status, 50)
        self.assertEqual(key.read_bytes(), content)
        self.stored("/keys/notes.txt", b"no key")
        self.assertEqual(self.server.get("/keys/notes.txt").body, b"no key")


if __name__ == "__main__":
    unittest.main()
