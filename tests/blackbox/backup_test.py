#!/usr/bin/env python3
"""egalaxyctl backup of a server under load, egalaxyd --restore into another one: what was acknowledged
before the backup began is there, to the byte. The programs are those of $EGALAXYD_BIN_DIR.

    backup_test.py [--pages N] [TEST ...]
"""
import contextlib
import os
import pathlib
import resource
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from capsule import (PATIENCE, Capsule, Folder, eventually, make_certificate, program,  # noqa: E402
                     sha256, small_disk)

# That each uploader stores before and after the backup.
PAGES = int(sys.argv.pop(sys.argv.index("--pages") + 1)) if "--pages" in sys.argv else 20
sys.argv = [word for word in sys.argv if word != "--pages"]
SITE = """
[sites.localhost."/up"]
module = "directory"
root = "up"
[sites.localhost."/up".upload]
anyone = true
keep = 1000
[sites.localhost."/ask"]
module = "input"
as_meta = true
key = "name"
[sites.localhost."/ask".sites."/"]
module = "spy"
"""


def restore(archive, state, *words, limit=resource.RLIM_INFINITY):
    account = ("--user", "root") if os.geteuid() == 0 and "--user" not in words else ()
    return subprocess.run(
        [program("egalaxyd"), "--restore", archive, "--state-dir", state, *account, *words],
        cwd=pathlib.Path(state).parent, capture_output=True, text=True, check=False,
        preexec_fn=lambda: limit_files(limit))


def limit_files(most):
    """Of this process, before it becomes another program: a write beyond `most` bytes fails."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))


class Uploader(threading.Thread):
    """Writes one page again and again; remembers what was acknowledged, and when."""

    def __init__(self, server, number):
        super().__init__()
        self.server, self.path = server, f"/up/{number}"
        self.acknowledged = []
        self.slowest = 0
        self.wrong = None
        self.ended = threading.Event()

    def run(self):
        while not self.ended.is_set():
            body = f"{self.path} {len(self.acknowledged)}\n".encode() * 300
            before = time.monotonic()
            answer = self.server.put(self.path, body)
            self.slowest = max(self.slowest, time.monotonic() - before)
            if answer.status != 30:
                self.wrong = answer
                return
            self.acknowledged.append(sha256(body))


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = Folder()
        self.addCleanup(self.folder.remove)
        self.folder.make("up")
        self.archive = self.folder.path / "saved.tar.zst"

    def serve(self, settings=None):
        server = Capsule(SITE, settings, self.folder)
        self.addCleanup(server.close)
        return server.start()

    def backup(self, file=None, code=0):
        asked = subprocess.run(
            [program("egalaxyctl"), "--socket", self.folder.path / "run/control.sock", "backup",
             file or self.archive], capture_output=True, text=True, check=False)
        self.assertEqual(asked.returncode, code, asked)
        return asked

    def rows(self, state, table):
        with contextlib.closing(sqlite3.connect(f"{state}/db/egalaxyd.db")) as database:
            return sorted(database.execute(f"SELECT * FROM {table}").fetchall())

    def assert_no_archive(self, file=None):
        file = file or self.archive
        self.assertEqual([each.name for each in file.parent.iterdir() if "saved" in each.name], [])


class UnderLoad(Case):
    def wait_for_more(self, loads):
        """Until each has stored some more pages, or has failed."""
        counts = [len(load.acknowledged) + PAGES for load in loads]
        self.assertTrue(eventually(
            lambda: all(load.wrong or len(load.acknowledged) >= count
                        for load, count in zip(loads, counts)), 4 * PATIENCE), "no load")

    def test_what_was_acknowledged_before_is_restored(self):
        server = self.serve()
        person = make_certificate(self.folder.path, "person")
        self.assertEqual(server.get("/ask?Anna", certificate=person).status, 20)
        loads = [Uploader(server, number) for number in range(4)]
        for load in loads:
            load.start()
        self.wait_for_more(loads)
        before = {load.path: list(load.acknowledged) for load in loads}
        slowest_alone = max(load.slowest for load in loads)
        begun = time.monotonic()
        self.backup()
        took = time.monotonic() - begun
        self.wait_for_more(loads)
        for load in loads:
            load.ended.set()
        for load in loads:
            load.join()
            self.assertIsNone(load.wrong)
        self.assertTrue(all(before.values()), "no load")
        print(f"backup of {self.archive.stat().st_size} bytes in {took:.2f} s; slowest of "
              f"{sum(len(load.acknowledged) for load in loads)} uploads: "
              f"{max(load.slowest for load in loads):.3f} s, before the backup {slowest_alone:.3f} s")
        self.assertEqual(stat.S_IMODE(self.archive.stat().st_mode), 0o600)
        self.assertEqual(server.stop(), [])

        state = self.folder.path / "other"
        restored = restore(self.archive, state, "--config", self.folder.path / "egalaxyd.toml")
        self.assertEqual(restored.returncode, 0, restored)
        for path, sums in before.items():
            there = [row[10 - 1] for row in sorted(self.rows(state, "uploads")) if row[4] == path]
            self.assertEqual(there[:len(sums)], sums)
        self.assertEqual(self.rows(state, "users"), self.rows(server.folder.path / "state", "users"))
        self.assertEqual(self.rows(state, "metadata"),
                         self.rows(server.folder.path / "state", "metadata"))
        self.assert_same_files(server.folder.path / "state/certificates", state / "certificates")
        self.assertEqual((self.folder.path / "egalaxyd.toml.restored").read_bytes(),
                         (self.folder.path / "egalaxyd.toml").read_bytes())
        self.assert_earlier_versions(state, before)

    def assert_same_files(self, one, other):
        self.assertEqual({file.name: file.read_bytes() for file in one.iterdir()},
                         {file.name: file.read_bytes() for file in other.iterdir()})
        self.assertEqual(stat.S_IMODE(other.stat().st_mode), 0o700)
        self.assertEqual({stat.S_IMODE(file.stat().st_mode) for file in other.iterdir()}, {0o600})

    def assert_earlier_versions(self, state, before):
        """From a second server with the restored state, through egalaxyctl."""
        settings = {"server.state_dir": f'"{state}"'}
        server = Capsule(SITE, settings, self.folder)
        self.addCleanup(server.close)
        server.start()
        socket = self.folder.path / "run/control.sock"
        ids = {row[0]: (row[4], row[9]) for row in self.rows(state, "uploads")}
        earlier = [(number, digest) for number, (path, digest) in ids.items()
                   if digest in before[path][:-1]]
        for number, digest in earlier[:5] + earlier[-5:]:
            shown = subprocess.run([program("egalaxyctl"), "--socket", socket, "uploads", "show",
                                    "--content", str(number)], capture_output=True, check=False)
            self.assertEqual(shown.returncode, 0, shown)
            self.assertEqual(sha256(shown.stdout), digest)


class Words(Case):
    def test_without_a_server_it_says_how(self):
        asked = subprocess.run([program("egalaxyctl"), "--socket", self.folder.path / "none", "backup",
                                self.archive], capture_output=True, text=True, check=False)
        self.assertEqual(asked.returncode, 69, asked)
        self.assertIn("copy the whole state folder", asked.stderr)
        self.assert_no_archive()

    def test_tar_reads_it_and_its_sums(self):
        if not shutil.which("zstd"):
            self.skipTest("no zstd")
        self.serve()
        self.backup()
        unpacked = self.folder.make("unpacked")
        subprocess.run(["tar", "--zstd", "-xf", self.archive, "-C", unpacked], check=True)
        subprocess.run(["sha256sum", "--quiet", "-c", "SHA256SUMS"], cwd=unpacked, check=True)
        self.assertIn(str(self.folder.path / "up"), (unpacked / "MANIFEST").read_text())

    def test_a_full_disk_leaves_no_archive_and_the_old_one(self):
        server = self.serve()
        for _ in range(30):
            self.assertEqual(server.put("/up/page", os.urandom(100_000).hex().encode()).status, 30)
        small = small_disk(self, self.folder.make("small")) / "saved.tar.zst"
        asked = self.backup(small, code=73)
        self.assertIn("No space left", asked.stderr)
        self.assert_no_archive(small)
        self.assertEqual(server.put("/up/page", b"still\n").status, 30)
        self.assertEqual(list((self.folder.path / "state/db").glob("backup.db*")), [])
        small.write_text("an older one")
        self.backup(small, code=73)
        self.assertEqual(small.read_text(), "an older one")

    def test_a_write_that_fails_leaves_no_archive(self):
        server = self.serve()
        for _ in range(5):
            self.assertEqual(server.put("/up/page", os.urandom(100_000).hex().encode()).status, 30)
        self.backup()
        size = self.archive.stat().st_size
        self.archive.unlink()
        for most in (0, 1, 4096, size // 2, size * 9 // 10):
            with self.subTest(most=most):
                asked = subprocess.run(
                    [program("egalaxyctl"), "--socket", self.folder.path / "run/control.sock", "backup",
                     self.archive], capture_output=True, text=True, check=False,
                    preexec_fn=lambda: limit_files(most))
                self.assertNotEqual(asked.returncode, 0)
                self.assertIn(str(self.archive), asked.stderr)
                self.assert_no_archive()

    def test_a_client_that_goes_costs_nothing(self):
        server = self.serve()
        for number in range(10):
            server.put("/up/page", os.urandom(100_000).hex().encode())
        for wait in (0, 0.01, 0.03, 0.1):
            asked = subprocess.Popen([program("egalaxyctl"), "--socket",
                                      self.folder.path / "run/control.sock", "backup", self.archive],
                                     stdout=subprocess.DEVNULL)
            time.sleep(wait)
            asked.kill()
            asked.wait()
        self.assertEqual(server.put("/up/page", b"still\n").status, 30)
        def saved():  # the process of one that was killed may not have ended
            return subprocess.run([program("egalaxyctl"), "--socket",
                                   self.folder.path / "run/control.sock", "backup", self.archive],
                                  capture_output=True, check=False).returncode == 0
        self.assertTrue(eventually(saved), server.log())
        database = self.folder.path / "state/db"
        self.assertTrue(eventually(lambda: not list(database.glob("backup.db*"))))

    def test_a_damaged_database_is_no_backup(self):
        server = self.serve()
        for number in range(5):
            server.put("/up/page", os.urandom(100_000).hex().encode())
        server.stop()
        database = self.folder.path / "state/db/egalaxyd.db"
        server.start()
        with open(database, "r+b") as file:
            pages = database.stat().st_size // 4096
            for page in range(3, pages):
                file.seek(page * 4096)
                file.write(b"\xff" * 64)
        asked = self.backup(code=1)
        self.assertIn("damaged", asked.stderr)
        self.assert_no_archive()
        server.kill()


class Stopped(Case):
    """A command of egalaxyctl that is ended while it writes a file leaves nothing of it."""

    def setUp(self):
        super().setUp()
        self.server = self.serve()
        for text in (b"one\n" * 1000, b"two\n" * 1000):
            self.assertEqual(self.server.put("/up/page", text).status, 30)
        self.made = self.folder.make("made")
        self.temporary = self.folder.make("temporary")
        self.given = self.folder.make("given")
        self.ctl("certificate", "create", "localhost", "--dir", self.given).check_returncode()

    def begin(self, *words, **options):
        environment = {**os.environ, "HOME": str(self.made), "TMPDIR": str(self.temporary)}
        return subprocess.Popen(
            [program("egalaxyctl"), "--socket", self.folder.path / "run/control.sock", *words],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)

    def ctl(self, *words, **options):
        running = self.begin(*words, **options)
        said = running.communicate(timeout=60)
        return subprocess.CompletedProcess(words, running.returncode, *said)

    def commands(self):
        """Each that writes files, with the bytes that it can write before it is stopped."""
        pair = ("--cert", self.given / "localhost.crt", "--key", self.given / "localhost.key")
        return [(10, "backup", self.made / "saved.tar.zst"),
                (10, "certificate", "create", "a.test", "--dir", self.made),
                (300, "certificate", "create", "a.test", "--dir", self.made),  # the key is written
                (10, "identity", "create", "Ann", "--dir", self.made),
                (10, "certificate", "install", "localhost", *pair),
                (10, "get", f"gemini://localhost:{self.server.port}/up/page"),
                (10, "uploads", "diff", "2")]

    def files(self):
        certificates = self.folder.path / "state/certificates"
        found = [file for folder in (self.made, self.temporary, certificates)
                 for file in folder.rglob("*") if file.is_file()]
        return sorted(str(file) for file in found
                      if not file.name.endswith((".lock", "known_hosts")))

    def test_at_a_limit_on_files_whether_it_is_a_signal_or_an_error(self):
        before = self.files()
        for most, *words in self.commands():
            for action in (signal.SIG_DFL, signal.SIG_IGN):
                with self.subTest(words=words[:2], most=most, action=action):
                    ended = self.ctl(*words, preexec_fn=lambda: (
                        signal.signal(signal.SIGXFSZ, action),
                        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most)),
                        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))))
                    if action == signal.SIG_DFL:
                        self.assertEqual(ended.returncode, -signal.SIGXFSZ, ended)
                    elif words[0] != "get":  # which only warns
                        self.assertGreater(ended.returncode, 0, ended)
                    self.assertEqual(self.files(), before)

    def test_by_a_signal_while_the_server_says_nothing(self):
        """The server is held, so that the command waits with its file begun."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            for folder, words in ((self.made, ("backup", self.made / "saved.tar.zst")),
                                  (self.temporary, ("uploads", "diff", "2"))):
                with self.subTest(words=words, number=number):
                    self.server.signal(signal.SIGSTOP)
                    try:
                        asked = self.begin(
                            *words, preexec_fn=lambda: signal.signal(number, signal.SIG_DFL))
                        self.assertTrue(eventually(lambda: list(folder.iterdir())))
                        asked.send_signal(number)
                        asked.communicate(timeout=60)
                        self.assertEqual(asked.returncode, -number)
                    finally:
                        self.server.signal(signal.SIGCONT)
                    self.assertEqual(list(folder.iterdir()), [])

    def test_what_is_compared_is_nobody_elses_to_read(self):
        self.server.signal(signal.SIGSTOP)
        try:
            asked = self.begin("uploads", "diff", "2", umask=0)
            self.assertTrue(eventually(lambda: list(self.temporary.iterdir())))
            modes = {stat.S_IMODE(file.stat().st_mode) for file in self.temporary.iterdir()}
        finally:
            self.server.signal(signal.SIGCONT)
        said, _ = asked.communicate(timeout=60)
        self.assertEqual(modes, {0o600})
        self.assertIn("+two", said)
        self.assertEqual(list(self.temporary.iterdir()), [])


class Restoring(Case):
    def saved(self):
        server = self.serve()
        self.assertEqual(server.put("/up/page", b"one\n").status, 30)
        self.backup()
        return server

    def test_only_into_an_empty_state_that_no_server_uses(self):
        server = self.saved()
        state = self.folder.path / "state"
        refused = restore(self.archive, state, "--force")
        self.assertEqual(refused.returncode, 73, refused)
        self.assertIn("already runs", refused.stderr)
        self.assertEqual(server.put("/up/page", b"two\n").status, 30)
        self.assertEqual(server.stop(), [])
        refused = restore(self.archive, state)
        self.assertEqual(refused.returncode, 73, refused)
        self.assertIn("--force", refused.stderr)
        self.assertEqual(len(self.rows(state, "uploads")), 2)
        forced = restore(self.archive, state, "--force")
        self.assertEqual(forced.returncode, 0, forced)
        self.assertEqual(len(self.rows(state, "uploads")), 1)
        aside = list(state.glob("replaced-*"))
        self.assertEqual(len(aside), 1, forced)
        self.assertEqual(len(self.rows(aside[0], "uploads")), 2)
        server.start()
        self.assertEqual(server.put("/up/page", b"three\n").status, 30)

    def test_what_is_broken_leaves_the_folder_empty(self):
        self.saved()
        whole = self.archive.read_bytes()
        state = self.folder.make("other")
        broken = self.folder.path / "broken.tar.zst"
        flipped = bytearray(whole)
        flipped[len(whole) // 2] ^= 1
        for content in (b"", b"nonsense" * 1000, whole[:len(whole) // 2], whole[:-1], whole + b"x",
                        whole + whole, bytes(flipped)):
            with self.subTest(size=len(content)):
                broken.write_bytes(content)
                refused = restore(broken, state)
                self.assertEqual(refused.returncode, 65, refused)
                self.assertEqual([file.name for file in state.iterdir()], ["egalaxyd.lock"])

    def test_a_write_that_fails_leaves_the_folder_empty(self):
        server = self.saved()
        for _ in range(5):
            server.put("/up/page", os.urandom(100_000).hex().encode())
        self.backup()
        state = self.folder.make("other")
        for most in (100, 4096, 100_000, 400_000):
            with self.subTest(most=most):
                refused = restore(self.archive, state, limit=most)
                self.assertNotIn(refused.returncode, (0, -signal.SIGXFSZ))
                self.assertEqual([file.name for file in state.iterdir()], ["egalaxyd.lock"])
        self.assertEqual(restore(self.archive, state).returncode, 0)

    def test_a_database_of_a_newer_version_is_refused(self):
        if not shutil.which("zstd"):
            self.skipTest("no zstd")
        self.saved()
        unpacked = self.folder.make("unpacked")
        subprocess.run(["tar", "--zstd", "-xf", self.archive, "-C", unpacked], check=True)
        with contextlib.closing(sqlite3.connect(unpacked / "db/egalaxyd.db")) as database:
            database.execute("PRAGMA user_version = 999")
            database.commit()
        names = [line.split("  ")[1] for line in (unpacked / "SHA256SUMS").read_text().splitlines()]
        (unpacked / "SHA256SUMS").write_text("".join(
            f"{sha256((unpacked / name).read_bytes())}  {name}\n" for name in names))
        newer = self.folder.path / "newer.tar.zst"
        subprocess.run(["tar", "--zstd", "--format=ustar", "-cf", newer, "-C", unpacked, *names,
                        "SHA256SUMS"], check=True)
        refused = restore(newer, self.folder.make("other"))
        self.assertEqual(refused.returncode, 65, refused)
        self.assertIn("999", refused.stderr)

    def test_the_workers_own_the_database_alone(self):
        if os.geteuid() != 0:
            self.skipTest("only root gives files to others")
        self.saved()
        state = self.folder.path / "other"
        done = restore(self.archive, state, "--user", "nobody")
        self.assertEqual(done.returncode, 0, done)
        nobody = (state / "db").stat().st_uid
        self.assertNotEqual(nobody, 0)
        self.assertEqual((state / "db/egalaxyd.db").stat().st_uid, nobody)
        self.assertEqual((state / "certificates").stat().st_uid, 0)
        # A state folder of another account, as the unit has it: all of it stays that account's.
        other = self.folder.path / "theirs"
        other.mkdir(mode=0o750)
        os.chown(other, nobody, -1)
        self.archive.chmod(0o600)
        done = restore(self.archive, other, "--user", "nobody")
        self.assertEqual(done.returncode, 0, done)
        self.assertEqual({file.lstat().st_uid for file in other.rglob("*")}, {nobody})


if __name__ == "__main__":
    unittest.main()
