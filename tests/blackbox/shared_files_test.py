#!/usr/bin/env python3
"""Uploads with [storage] engine = "postgresql": what is stored through one server is in the files of
the other."""
import contextlib
import os
import signal
import subprocess
import sys
import threading
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
import postgres
from capsule import Capsule, Folder, eventually, make_certificate, program, small_disk

SITES = """
[sites.localhost."/"]
module = "directory"
root = "root"

[sites.localhost."/up"]
module = "directory"
root = "up"
[sites.localhost."/up".upload]
anyone = true
delete = true
create_directories = true
max_size = "20MiB"
mime = ["text/*", "application/octet-stream"]
keep = 5

[sites.localhost."/few"]
module = "directory"
root = "few"
[sites.localhost."/few".upload]
anyone = true
quota = "50KiB"
"""


@unittest.skipUnless(postgres.programs(), "there is no PostgreSQL here")
class SharedFiles(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.postgres = postgres.Postgres()
        cls.files = Folder()
        cls.served = make_certificate(cls.files.path, "localhost")
        cls.one, cls.two = cls.capsule("one").start(), cls.capsule("two").start()

    @classmethod
    def tearDownClass(cls):
        cls.one.close()
        cls.two.close()
        cls.postgres.close()
        for folder in (cls.files, cls.one.folder, cls.two.folder):
            folder.remove()

    @classmethod
    def capsule(cls, host):
        folder = Folder()
        for name in ("root", "up", "few"):
            folder.make(name)
        return Capsule(SITES, {
            "tls.certificate": f'"{cls.served[0]}"', "tls.key": f'"{cls.served[1]}"',
            "storage.engine": '"postgresql"', "storage.url": f'"{cls.postgres.socket_url()}"',
            "storage.host": f'"{host}"'}, folder)

    def hosts(self):
        return self.one, self.two

    def put(self, host, path, body, parameters=""):
        answer = host.put(path, body, parameters, timeout=60)
        self.assertEqual(answer.status, 30, f"{answer}\n{host.log()}")

    def content(self, host, path):
        file = host.folder.path / path.lstrip("/")
        return file.read_bytes() if file.is_file() else None

    def await_content(self, path, body):
        for host in self.hosts():
            self.assertTrue(eventually(lambda: self.content(host, path) == body),
                            f"{path}: {self.content(host, path)!r:.80}\n{host.log()}")

    def ctl(self, host, *words):
        done = subprocess.run([program("egalaxyctl"), "--socket",
                               host.folder.path / "run/control.sock", *words],
                              capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr + host.log())
        return done.stdout

    def latest(self, path):
        """(id, sum) of the latest record."""
        found = self.postgres.sql("SELECT id, sha256 FROM egalaxyd.uploads WHERE latest AND "
                                  f"path = '{path}'")
        return found.split("|")

    def test_what_is_stored_replaced_and_deleted_through_one_is_so_on_the_other(self):
        self.put(self.one, "/up/deep/page", b"first")
        self.await_content("/up/deep/page", b"first")
        self.assertEqual(self.two.get("/up/deep/page").body, b"first")
        self.put(self.two, "/up/deep/page", b"second")
        self.await_content("/up/deep/page", b"second")
        self.assertEqual(self.one.put("/up/deep/page", b"").status, 20, self.one.log())
        self.await_content("/up/deep/page", None)
        for host in self.hosts():
            self.assertTrue(eventually(lambda: not (host.folder.path / "up/deep").exists()))

    def test_large_files_are_copied_whole(self):
        large = os.urandom(3_000_000)
        self.put(self.one, "/up/large", large, ";mime=application/octet-stream")
        self.await_content("/up/large", large)

    def test_what_only_the_other_host_has_yet_can_be_deleted(self):
        self.put(self.one, "/up/gone", b"here")
        self.assertEqual(self.two.put("/up/gone", b"").status, 20, self.two.log())
        self.await_content("/up/gone", None)
        self.assertEqual(self.two.put("/up/gone", b"").status, 51)

    def test_two_hosts_that_write_one_place_end_with_the_same_content(self):
        answers = []

        def write(host, number):
            answers.append(host.put("/up/race", b"%d" % number, timeout=60).status)

        threads = [threading.Thread(target=write, args=(self.hosts()[number % 2], number))
                   for number in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(answers, [30] * 20, self.one.log() + self.two.log())
        last = self.postgres.sql(
            "SELECT convert_from(bytes, 'UTF8') FROM egalaxyd.uploads JOIN egalaxyd.content_parts "
            "USING (content) WHERE latest AND path = '/up/race'")
        self.await_content("/up/race", last.encode())

    def test_a_quota_is_one_for_all_hosts(self):
        answers = []

        def write(host, number):
            answers.append(host.put(f"/few/{number}", b"x" * 4096, timeout=60).status)

        threads = [threading.Thread(target=write, args=(self.hosts()[number % 2], number))
                   for number in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        # Each counts 4 KiB and a block.
        self.assertEqual(sorted(answers), [30] * 6 + [50] * 6, self.one.log() + self.two.log())

    def test_earlier_content_comes_back_on_all_hosts(self):
        self.put(self.one, "/up/kept", b"first")
        first = self.latest("/up/kept")[0]
        self.put(self.two, "/up/kept", b"second")
        self.await_content("/up/kept", b"second")
        self.ctl(self.two, "uploads", "restore", first)
        self.await_content("/up/kept", b"first")
        self.assertEqual(self.ctl(self.one, "uploads", "show", first, "--content"), "first")

    def test_a_file_that_was_lost_or_changed_is_mended_at_the_next_start(self):
        self.put(self.one, "/up/mended", b"right")
        self.put(self.one, "/up/lost", b"there")
        self.await_content("/up/mended", b"right")
        self.await_content("/up/lost", b"there")
        self.two.kill()
        (self.two.folder.path / "up/lost").unlink()
        (self.two.folder.path / "up/mended").unlink()
        (self.two.folder.path / "up/mended").write_bytes(b"by hand")
        (self.two.folder.path / "up/own").write_bytes(b"nobody uploaded it")
        self.put(self.one, "/up/new", b"meanwhile")
        self.two.start()
        self.assertEqual(self.two.get("/up/new").body, b"meanwhile", "before it is served")
        self.await_content("/up/mended", b"right")
        self.await_content("/up/lost", b"there")
        self.assertEqual(self.content(self.two, "/up/own"), b"nobody uploaded it")
        self.assertTrue(eventually(lambda: not self.two.temporary_files()))

    def test_pages_are_served_while_the_database_is_away_and_followed_afterwards(self):
        self.put(self.one, "/up/away", b"before")
        self.await_content("/up/away", b"before")
        self.addCleanup(self.postgres.start_anew)
        self.postgres.stop()
        self.assertEqual(self.two.get("/up/away").body, b"before")
        self.postgres.start()
        self.put(self.one, "/up/away", b"afterwards")
        self.await_content("/up/away", b"afterwards")

    def test_a_host_whose_disk_is_full_goes_on_and_catches_up(self):
        small_disk(self, self.two.folder.make("up/small"))
        large = os.urandom(2_000_000)
        self.put(self.one, "/up/small/large", large, ";mime=application/octet-stream")
        self.put(self.one, "/up/small/little", b"little")
        self.await_content("/up/small/little", b"little")
        self.assertTrue(eventually(lambda: "cannot be put in place" in self.two.log()))
        self.put(self.one, "/up/small/large", b"less")
        self.await_content("/up/small/large", b"less")

    def test_hosts_report_themselves(self):
        def names():
            return self.postgres.sql("SELECT name FROM egalaxyd.hosts ORDER BY name").split()
        self.assertTrue(eventually(lambda: names() == ["one", "two"]), self.one.log())

    def freeze_in_an_upload(self, path):
        """Stops the first host in the middle of its transaction; the thread that uploads, None where
        the transaction ended before."""
        held = self.postgres.session()
        held.run("BEGIN; LOCK TABLE egalaxyd.content_parts IN SHARE MODE")
        body = os.urandom(8).hex().encode()
        upload = threading.Thread(target=self.put, args=(self.one, path, body))
        upload.start()
        self.assertTrue(eventually(lambda: self.sessions("wait_event_type = 'Lock'")))
        self.one.signal_all(signal.SIGSTOP)
        held.close()
        if eventually(lambda: self.sessions("wait_event_type = 'Lock'") == 0) and self.stands_still():
            return upload
        self.one.signal_all(signal.SIGCONT)
        upload.join()
        return None

    def sessions(self, where):
        return int(self.postgres.sql("SELECT count(*) FROM pg_stat_activity WHERE "
                                     f"application_name = 'egalaxyd' AND {where}"))

    def stands_still(self):
        return self.sessions("state = 'idle in transaction'") > 0

    def test_a_host_that_freezes_in_an_upload_hinders_no_upload_to_another_place(self):
        for path in ("/up/frozen", "/up/free"):
            self.put(self.one, path, b"before, of " + path.encode())
        for number in range(20):
            upload = self.freeze_in_an_upload("/up/frozen")
            if not upload:
                continue  # it gave up its wait, or the database did, on a slow machine
            self.put(self.two, "/up/free", b"%d" % number)
            in_time = self.stands_still()
            self.one.signal_all(signal.SIGCONT)
            upload.join()
            if in_time:
                return
        self.fail("the upload to another place came to its end with the frozen one alone\n" +
                  self.two.log())

    def test_what_was_answered_is_on_both_hosts_though_one_was_killed_meanwhile(self):
        stored = {}

        def write(number):
            path, body = f"/up/kill/{number % 10}", b"%d" % number
            with contextlib.suppress(OSError):  # it was killed
                if self.one.put(path, body, timeout=60).status == 30:
                    stored[path] = number

        def write_all(begin):
            for number in range(begin, 200, 10):
                write(number)

        threads = [threading.Thread(target=write_all, args=(begin,)) for begin in range(10)]
        for thread in threads:
            thread.start()
        self.assertTrue(eventually(lambda: len(stored) == 10), self.one.log())
        self.one.kill()
        for thread in threads:
            thread.join()
        self.one.start()
        for path, number in stored.items():
            latest = self.postgres.sql(
                "SELECT convert_from(bytes, 'UTF8') FROM egalaxyd.uploads JOIN "
                f"egalaxyd.content_parts USING (content) WHERE latest AND path = '{path}'")
            self.assertGreaterEqual(int(latest), number)
            self.await_content(path, latest.encode())
        self.assertTrue(eventually(lambda: not self.one.temporary_files()))


if __name__ == "__main__":
    unittest.main()
