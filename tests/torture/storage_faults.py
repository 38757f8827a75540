#!/usr/bin/env python3
"""What was acknowledged is there and what was refused is not, when a disk fails, is slow or lacks a
call, and when the clock jumps: the real programs, with calls that fail as a test wishes
(faults.py). The programs are those of $EGALAXYD_BIN_DIR.

    storage_faults.py [--long] [TEST ...]
"""
import json
import os
import pathlib
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from capsule import (UPLOAD_SITE, Capsule, Folder, eventually, make_certificate,  # noqa: E402
                     program, sha256)
from faults import Faults  # noqa: E402
from titan_client import Conversation, TimedOut  # noqa: E402

LONG = "--long" in sys.argv
SITE = UPLOAD_SITE + 'delete = true\n'
DONE = ("stored", "replaced", "deleted")
UNKNOWN = "not known"  # whether an upload was stored, as the client is told


class Faulty(unittest.TestCase):
    def serve(self, workers=1, sites=SITE, settings=None, environment=None, **wishes):
        folder = Folder()
        self.addCleanup(folder.remove)
        folder.make("up")
        self.faults = Faults(folder.path)
        self.faults.set(**wishes)
        server = Capsule(sites, {"server.workers": str(workers), **(settings or {})}, folder)
        self.addCleanup(server.close)
        self.environment = {**self.faults.environment(), **(environment or {})}
        return server.start(self.environment)

    def ctl(self, server, *words):
        control = server.folder.path / "run/control.sock"
        asked = subprocess.run([program("egalaxyctl"), "--socket", control, "--json", *words],
                               capture_output=True, text=True, check=False)
        self.assertEqual(asked.returncode, 0, asked)
        return json.loads(asked.stdout)

    def uploads(self, server, path):
        """(what the operator is told of the file: the latest that is done, of what is pending)"""
        answer = self.ctl(server, "uploads", "--path", path)
        done = [row["sha256"] for row in answer["uploads"] if row["outcome"] in DONE]
        return (done[0] if done else ""), [row["sha256"] for row in answer["pending"]]

    def digest(self, server, path):
        file = server.folder.path / path.lstrip("/")
        return sha256(file.read_bytes()) if file.exists() else ""


class FsyncFails(Faulty):
    OLD, NEW = b"old\n" * 100, b"new\n" * 20_000

    def test_the_nth_of_an_upload(self):
        for no_exchange in (0, 1):
            server = self.serve(no_exchange=no_exchange)
            for old, new in ((b"", self.NEW), (self.OLD, self.NEW), (self.OLD, b"")):
                for number in range(1, 30):
                    with self.subTest(no_exchange=no_exchange, old=len(old), new=len(new),
                                      number=number):
                        path = f"/up/{no_exchange}-{len(old)}-{len(new)}-{number}"
                        if not self.fails_once(server, path, old, new, number):
                            break
                else:
                    self.fail("an upload takes many fsyncs")
            self.assertTrue(eventually(lambda: not server.temporary_files()))
            before = {file.name: sha256(file.read_bytes())
                      for file in (server.folder.path / "up").iterdir()}
            told = {name: self.uploads(server, f"/up/{name}")[0] for name in before}
            server.kill()
            server.start(self.environment)
            self.assertTrue(eventually(lambda: not server.pending_uploads()))
            for name, digest in before.items():
                self.assertEqual(self.digest(server, f"/up/{name}"), digest)
                self.assertEqual(self.uploads(server, f"/up/{name}")[0], digest)
                self.assertEqual(told[name], digest)

    def fails_once(self, server, path, old, new, number):
        """False when the upload took fewer."""
        if old:
            self.assertEqual(server.put(path, old).status, 30)
        self.faults.set(syncs=0, failures=1, fail_from=number)
        answer = server.put(path, new)
        counted = self.faults.get("syncs")
        self.faults.set(fail_from=0)
        there = self.digest(server, path)
        told, pending = self.uploads(server, path)
        old_sum, new_sum = (sha256(text) if text else "" for text in (old, new))
        if answer.status in (20, 30):
            self.assertEqual((there, told), (new_sum, new_sum))
        elif UNKNOWN in answer.meta:
            self.assertIn(there, (old_sum, new_sum))
            self.assertEqual((told, pending), (old_sum, [new_sum]))
            server.folder.path.joinpath(path.lstrip("/")).unlink(missing_ok=True)
        else:
            self.assertIn(answer.status, range(40, 60), answer)
            self.assertEqual((there, told), (old_sum, old_sum))
        return counted >= number

    def test_the_nth_of_an_upload_in_new_folders(self):
        server = self.serve(sites=SITE + "create_directories = true\n")
        for number in range(1, 40):
            with self.subTest(number=number):
                path = f"/up/{number}/a/b/c/page"
                if not self.fails_once(server, path, b"", self.NEW, number):
                    break
                stored = self.digest(server, path) != ""
                # Those of a refused one go with it, after its answer.
                self.assertTrue(eventually(
                    lambda number=number, stored=stored:
                    (server.folder.path / f"up/{number}").exists() == stored))
        else:
            self.fail("an upload takes many fsyncs")
        self.assertGreater(number, 7)

    def test_the_next_upload_is_well(self):
        server = self.serve()
        for number in range(1, 6):
            self.faults.set(syncs=0, failures=1, fail_from=number)
            server.put("/up/page", self.OLD)
            self.faults.set(fail_from=0)
            self.assertTrue(eventually(lambda: server.put("/up/page", self.NEW).status == 30))
            self.assertEqual(self.digest(server, "/up/page"), sha256(self.NEW))
            self.assertEqual(self.uploads(server, "/up/page")[0], sha256(self.NEW))

    @unittest.skipUnless(LONG, "takes as long as a client's patience; --long")
    def test_none_works_until_the_disk_is_mended(self):
        server = self.serve()
        for number in range(1, 6):
            path = f"/up/{number}"
            self.faults.set(syncs=0, failures=1_000_000, fail_from=number)
            answer = server.put(path, self.NEW)
            told, pending = self.uploads(server, path)
            if answer.status == 30:
                self.assertEqual(told, sha256(self.NEW))
            else:
                self.assertEqual(told, "")
                self.assertEqual(UNKNOWN in answer.meta, self.digest(server, path) != "")
                if UNKNOWN in answer.meta:
                    self.assertEqual(pending, [sha256(self.NEW)])
            self.faults.set(fail_from=0)
            self.assertTrue(eventually(lambda path=path: self.uploads(server, path)[0]
                                       == self.digest(server, path)))


class DeadWorkers(Faulty):
    QUOTA = SITE + 'quota = "120KiB"\n'

    def test_what_they_had_begun_counts_for_nobody(self):
        """Without a restart: each worker dies of its second upload, which was announced."""
        for dies, early in (("before it gives the name", 1), ("then", 0)):
            with self.subTest(dies=dies):
                server = self.serve(sites=self.QUOTA)
                for number in range(3):
                    self.assertEqual(server.put("/up/small", b"x" * 1000).status, 30)
                    self.faults.kill(server.workers()[0], at=1, early=early, only_names=1)
                    with self.assertRaises((OSError, AssertionError)):
                        self.assertIsNotNone(server.put(f"/up/{number}", b"x" * 30_000).status)
                    self.assertTrue(eventually(lambda: server.pending_uploads() == []))
                files = {f"/up/{file.name}": sha256(file.read_bytes())
                         for file in (server.folder.path / "up").iterdir()}
                for path, digest in files.items():
                    self.assertEqual(self.uploads(server, path)[0], digest)
                self.assertEqual(len(files), 1 if early else 4)

    def test_uploads_without_files_without_names(self):
        server = self.serve(no_tmpfile=1)
        for path, body in (("/up/a", b"small"), ("/up/b", b"x" * 300_000), ("/up/a", b"y" * 300_000),
                           ("/up/b", b"small")):
            self.assertEqual(server.put(path, body).status, 30)
            self.assertEqual(self.digest(server, path), sha256(body))
            self.assertEqual(self.uploads(server, path), (sha256(body), []))
        self.assertTrue(eventually(lambda: not server.temporary_files()))


class Clock(Faulty):
    DAY = 86_400

    def test_a_jump_deletes_nobodys_metadata(self):
        """A user of now, and a clock that is far ahead at the start or set later."""
        server = self.serve(sites=SITE, settings={"users.metadata_ttl": '"90d"'})
        who = make_certificate(server.folder.path, "who")
        self.assertEqual(server.put("/up/page", b"x", certificate=who).status, 30)
        database = server.folder.path / "state/db/egalaxyd.db"
        user = eventually(lambda: self.ctl(server, "users")["users"])[0]["id"]
        server.kill()
        with sqlite3.connect(database) as connection:
            connection.execute("INSERT INTO metadata VALUES(?, 'key', x'01', 1)", (user,))
        for ahead in (100 * self.DAY, -100 * self.DAY, 10_000 * self.DAY):
            with self.subTest(ahead=ahead):
                self.faults.set(ahead=ahead)
                server.start(self.environment)
                self.assertEqual(server.put("/up/page", b"y").status, 30)
                beats = time.monotonic() + 2.5  # its first look comes within two seconds
                while time.monotonic() < beats:
                    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
                        self.assertEqual(connection.execute(
                            "SELECT count(*) FROM metadata").fetchone()[0], 1)
                    time.sleep(0.2)
                self.faults.set(ahead=-ahead)
                self.assertEqual(server.put("/up/page", b"z").status, 30)
                self.assertEqual(self.uploads(server, "/up/page")[1], [])
                self.assertEqual(server.stop(), [])
        self.faults.set(ahead=0)


class SlowDisk(Faulty):
    def test_one_upload_a_second_beside_a_flood_is_not_starved(self):
        """The flood on one worker comes as fast as it does, whether or not answers come."""
        micros, seconds = (200_000, 20) if LONG else (100_000, 6)
        server = self.serve(workers=2, settings={
            "limits.connections_per_ip": "0", "limits.request_timeout": '"120s"'})
        busy, quiet = server.workers()[:2]
        flood = self.connect(server, busy, quiet, seconds * 20)
        now_and_then = self.connect(server, quiet, busy, seconds)
        self.faults.set(sync_micros=micros)
        waits, wrong = {"flood": [], "quiet": []}, []

        def put(kind, talk, path):
            began = time.monotonic()
            talk.say(f"{server.url(path)};size=100\r\n".encode() + b"x" * 100)
            answer = talk.read()
            waits[kind].append(time.monotonic() - began)
            if answer.status != 30:
                wrong.append((kind, answer))

        def at_a_rate(kind, talks, pause):
            threads = []
            for number, talk in enumerate(talks):
                threads.append(threading.Thread(target=put,
                                                args=(kind, talk, f"/up/{kind}{number}")))
                threads[-1].start()
                time.sleep(pause)
            for thread in threads:
                thread.join()
        both = [threading.Thread(target=at_a_rate, args=("flood", flood, 1 / 20)),
                threading.Thread(target=at_a_rate, args=("quiet", now_and_then, 1))]
        for thread in both:
            thread.start()
        for thread in both:
            thread.join()
        self.faults.set(sync_micros=0)
        print("; ".join(f"{kind}: {len(times)} uploads, the longest took {max(times):.2f} s"
                        for kind, times in waits.items())
              + f"; an fsync takes {micros / 1e6} s", file=sys.stderr)
        self.assertEqual(wrong, [])
        # Its own group and one of the flood's, whatever that takes here.
        self.assertLess(max(waits["quiet"]), 3 * max(waits["flood"]))

    def connect(self, server, worker, other, count):
        """Connections that `worker` has accepted. An idle server's go to one worker, so the other
        stands still meanwhile, never for long, since the kernel may wake just that one."""
        talks = []
        until = time.monotonic() + 60
        while len(talks) < count:
            if time.monotonic() > until:
                self.skipTest("the kernel gives all connections to the other worker")
            os.kill(other, signal.SIGSTOP)
            try:
                # If the kernel wakes the one that stands still, then for this.
                with socket.create_connection(("127.0.0.1", server.port)):
                    talk = Conversation(server.port, timeout=2)
            except (OSError, TimedOut):
                continue
            finally:
                os.kill(other, signal.SIGCONT)
            if self.socket_of(server.port, talk) in self.sockets(worker):
                talk.extend(120)
                talks.append(talk)
                self.addCleanup(talk.__exit__)
            else:
                talk.__exit__()
        return talks

    def socket_of(self, port, talk):
        """The inode of the server's end."""
        client = talk.socket.getsockname()[1]
        for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]:
            fields = line.split()
            if (int(fields[1].split(":")[1], 16), int(fields[2].split(":")[1], 16)) == (port, client):
                return f"socket:[{fields[9]}]"
        return None

    def sockets(self, worker):
        if os.geteuid() != 0:
            self.skipTest("only root may look at a worker's descriptors")
        found = set()
        for descriptor in pathlib.Path(f"/proc/{worker}/fd").iterdir():
            try:
                found.add(os.readlink(descriptor))
            except OSError:
                pass
        return found


if __name__ == "__main__":
    unittest.main(argv=[word for word in sys.argv if word != "--long"])
