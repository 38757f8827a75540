#!/usr/bin/env python3
"""What an acknowledged upload survives: everything killed at any instant, a crash at each step of
the write path, crowds on one path, full disks. The programs are those of $EGALAXYD_BIN_DIR.

    upload_torture.py                                    all of it, a few rounds
    upload_torture.py --rounds 100 KilledEverything      a hundred kills, about a second each
    upload_torture.py --seed 7                           the instants and bodies of another run
"""
import argparse
import collections
import contextlib
import os
import pathlib
import random
import subprocess
import sys
import threading
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from capsule import UPLOAD_SITE, Capsule, Folder, eventually, sha256  # noqa: E402
from titan_client import exchange  # noqa: E402

# The write path, in its order: what $EGALAXYD_CRASH_AT may name.
STEPS = ("created", "written", "synced", "announced", "renamed", "folder_synced", "recorded")
# From this one on the new file stands.
RENAMED = STEPS.index("renamed")

ROUNDS, SEED = 6, 1

SITES = UPLOAD_SITE + """delete = true
mime = ["text/*", "application/octet-stream"]
"""


class Torture(unittest.TestCase):
    def setUp(self):
        self.folder = Folder()
        self.addCleanup(self.folder.remove)
        self.up = self.folder.make("up")

    def serve(self, settings=None, environment=None):
        """Starts; as often as wanted, in the same folder."""
        server = Capsule(SITES, settings, self.folder)
        self.addCleanup(server.close)
        return server.start(environment)

    def accepted(self, server, path, body):
        answer = server.put(path, body)
        self.assertEqual(answer.status, 30, answer)

    def assert_settled(self, server):
        """Nothing unfinished is left, and the newest record of each path tells of its file."""
        self.assertTrue(eventually(lambda: not server.temporary_files()),
                        server.temporary_files())
        self.assertEqual(server.uploads("outcome = 'pending'"), [])
        newest = {record["path"]: record for record in
                  server.uploads("outcome IN ('stored', 'replaced', 'deleted')")}
        for path, record in newest.items():
            file = self.folder.path / path.lstrip("/")
            found = file.read_bytes() if file.exists() else b""
            if record["outcome"] == "deleted":
                self.assertFalse(file.exists(), record)
            else:
                self.assertEqual((len(found), sha256(found)), (record["size"], record["sha256"]),
                                 record)
        for file in self.up.iterdir():
            self.assertIn(f"/up/{file.name}", newest, "a file without a record")

    def run_together(self, jobs):
        """Every job in a thread of its own; the first exception is ours."""
        wrong = []

        def run(job):
            try:
                job()
            except BaseException as error:
                wrong.append(error)
        threads = [threading.Thread(target=run, args=(job,)) for job in jobs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if wrong:
            raise wrong[0]


class Attempt:
    """One upload of the journal, times as the uploader saw them."""

    def __init__(self, path, body):
        self.path, self.size, self.sha256 = path, len(body), sha256(body)
        self.began, self.ended, self.acknowledged = time.monotonic(), None, False


class Uploaders:
    """16 of them, each with pages of its own and some that they share, until stop()."""

    COUNT, OWN, SHARED = 16, 3, 2

    def __init__(self, port, seed):
        self.journal = [[] for _ in range(self.COUNT)]
        self.strange = []  # answers that are neither an acknowledgement nor a torn connection
        self._port, self._stop = port, threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(number, random.Random(f"{seed}/{number}")))
                         for number in range(self.COUNT)]
        for thread in self._threads:
            thread.start()

    def _run(self, number, chance):
        while not self._stop.is_set():
            shared = chance.random() < 0.25
            name = (f"shared{chance.randrange(self.SHARED)}" if shared
                    else f"{number}-{chance.randrange(self.OWN)}")
            body = chance.randbytes(chance.choice((1, 700, 5_000, 60_000)) + 16)
            attempt = Attempt(f"/up/{name}", body)
            self.journal[number].append(attempt)
            with contextlib.suppress(OSError):  # what a client of a killed server meets
                answer = exchange(
                    self._port, f"titan://localhost:{self._port}{attempt.path}"
                    f";mime=application/octet-stream;size={len(body)}", body)
                attempt.acknowledged = answer.status == 30
                if answer.status not in (30, None):
                    self.strange.append(answer)
            attempt.ended = time.monotonic()

    def acknowledged(self):
        return sum(attempt.acknowledged for each in self.journal for attempt in each)

    def stop(self):
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def by_path(self):
        paths = collections.defaultdict(list)
        for each in self.journal:
            for attempt in each:
                paths[attempt.path].append(attempt)
        return paths


class KilledEverything(Torture):
    def test_acknowledged_uploads_are_there(self):
        chance = random.Random(SEED)
        history = collections.defaultdict(list)
        total = 0
        server = self.serve()
        for number in range(ROUNDS):
            with self.subTest(round=number, seed=SEED):
                uploaders = Uploaders(server.port, f"{SEED}/{number}")
                try:
                    self.assertTrue(eventually(lambda: uploaders.acknowledged() >= 4),
                                    "no upload was acknowledged")
                    threading.Event().wait(chance.uniform(0, 0.7))  # the random instant
                finally:
                    server.kill()
                    uploaders.stop()
                self.assertEqual(uploaders.strange, [])
                total += uploaders.acknowledged()
                for path, attempts in uploaders.by_path().items():
                    history[path] += attempts
                server = self.serve()
                self.assert_all_there(server, history)
        print(f"{total} acknowledged uploads survived {ROUNDS} kills", file=sys.stderr)

    def assert_all_there(self, server, history):
        self.assert_settled(server)
        records = collections.Counter(
            (record["path"], record["sha256"], record["size"])
            for record in server.uploads("outcome IN ('stored', 'replaced')"))
        for path, attempts in history.items():
            done = [attempt for attempt in attempts if attempt.acknowledged]
            for attempt in done:
                self.assertEqual(records[path, attempt.sha256, attempt.size], 1,
                                 f"{path}: the record of an acknowledged upload")
            answer = server.get(path)
            if answer.status == 51:
                self.assertEqual(done, [], f"{path} was acknowledged and is not there")
                continue
            self.assertEqual((answer.status, answer.end), (20, "close_notify"), path)
            self.assertEqual(sha256(answer.body), sha256((self.up / path[4:]).read_bytes()))
            self.assert_may_stand(path, answer.body, attempts)

    def assert_may_stand(self, path, body, attempts):
        """It is one upload, whole, and no acknowledged one began after its end."""
        mine = [attempt for attempt in attempts if attempt.sha256 == sha256(body)]
        self.assertEqual(len(mine), 1, f"{path} holds what nobody sent: {len(body)} bytes")
        lost = [attempt for attempt in attempts
                if attempt.acknowledged and attempt.began > mine[0].ended]
        self.assertEqual(lost, [], f"{path} holds an older version than was acknowledged")


class CrashedAtEachStep(Torture):
    """The worker kills itself there."""

    def crash_at(self, step, passing=1):
        return {"EGALAXYD_CRASH_AT": f"{step}:{passing}"}

    def assert_crashed(self, server, path, body):
        answer = exchange(server.port, server.url(path) + f";size={len(body)}", body)
        self.assertIsNone(answer.status, "the worker should have crashed; is it built with tests?")

    def test_replacing(self):
        old, new = b"old " * 5_000, b"new " * 7_000
        for number, step in enumerate(STEPS):
            with self.subTest(step):
                path = f"/up/replaced-{step}"
                server = self.serve()
                self.accepted(server, path, old)
                self.assertEqual(server.stop(), [])
                server = self.serve({"server.workers": "1"}, self.crash_at(step))
                self.assert_crashed(server, path, new)
                expected = new if number >= RENAMED else old
                self.assertEqual(server.get(path).body, expected, "the workers that live on")
                server.kill()
                server = self.serve()
                self.assert_settled(server)
                self.assertEqual(server.get(path).body, expected)
                records = [(record["outcome"], record["sha256"], record["previous_sha256"])
                           for record in server.uploads("path = ? AND outcome != 'refused'", path)]
                stands = [("stored", sha256(old), "")]
                if number >= RENAMED:
                    stands.append(("replaced", sha256(new), sha256(old)))
                self.assertEqual([(outcome, digest, before or "")
                                  for outcome, digest, before in records], stands)
                server.kill()

    def test_storing(self):
        for number, step in enumerate(STEPS):
            with self.subTest(step):
                path = f"/up/stored-{step}"
                server = self.serve({"server.workers": "1"}, self.crash_at(step))
                self.assert_crashed(server, path, b"new")
                server.kill()
                server = self.serve()
                self.assert_settled(server)
                self.assertEqual(server.get(path).status, 20 if number >= RENAMED else 51)
                records = server.uploads("path = ? AND outcome = 'stored'", path)
                self.assertEqual(len(records), 1 if number >= RENAMED else 0)
                server.kill()

    def test_deleting(self):
        """Whichever steps it takes: the file is there with its record, or gone with that of its
        end."""
        crashes = 0
        for step in STEPS:
            with self.subTest(step):
                path = f"/up/deleted-{step}"
                server = self.serve()
                self.accepted(server, path, b"old")
                self.assertEqual(server.stop(), [])
                server = self.serve({"server.workers": "1"}, self.crash_at(step))
                answer = exchange(server.port, server.url(path) + ";size=0")
                crashes += answer.status is None
                server.kill()
                server = self.serve()
                self.assert_settled(server)
                self.assertIn(server.get(path).status, (51,) if answer.status else (20, 51))
                server.kill()
        self.assertGreater(crashes, 0, "no step of a deletion can crash")

    def test_the_other_writers_go_on(self):
        """Without a restart: neither a lock nor a file of the dead is in the way."""
        for step in STEPS:
            with self.subTest(step):
                path = f"/up/others-{step}"
                server = self.serve({"server.workers": "1"}, self.crash_at(step, 2))
                self.accepted(server, path, b"first")
                self.assert_crashed(server, path, b"second")
                self.accepted(server, path, b"third")  # the first passing of a new worker
                self.assertEqual(server.get(path).body, b"third")
                self.accepted_after_restart(server, path)

    def accepted_after_restart(self, server, path):
        server.kill()
        server = self.serve()
        self.assert_settled(server)
        self.assertEqual(server.get(path).body, b"third")
        server.kill()


class Crowds(Torture):
    REPLACEMENTS, READERS, WRITERS = 1000, 4, 64

    def version(self, number):
        return b"%08d" % number * (500 + number % 1500)

    def test_readers_see_whole_versions(self):
        server, over = self.serve(), threading.Event()
        self.accepted(server, "/up/page", self.version(0))
        acknowledged, reads = [0], []

        def write():
            try:
                for number in range(1, self.REPLACEMENTS + 1):
                    self.accepted(server, "/up/page", self.version(number))
                    acknowledged[0] = number
            finally:
                over.set()

        def read(fetch):
            while not over.is_set():
                least = acknowledged[0]
                body = fetch()
                number = int(body[:8])
                self.assertTrue(body == self.version(number), f"a mixture, {len(body)} bytes")
                self.assertGreaterEqual(number, least, "older than what was acknowledged")
                reads.append(number)

        def over_the_wire():
            answer = server.get("/up/page")
            self.assertEqual((answer.status, answer.end), (20, "close_notify"))
            return answer.body
        self.run_together([write, lambda: read((self.up / "page").read_bytes)]
                          + [lambda: read(over_the_wire)] * self.READERS)
        self.assertEqual(server.get("/up/page").body, self.version(self.REPLACEMENTS))
        self.assertEqual(len(server.uploads("outcome = 'replaced'")), self.REPLACEMENTS)
        self.assertGreater(len(set(reads)), 10, "the readers saw too little to judge")
        self.assert_settled(server)

    def test_writers_on_one_path_follow_each_other(self):
        server = self.serve()
        bodies = [b"%08d" % number * 2500 for number in range(self.WRITERS)]
        self.run_together([lambda body=body: self.accepted(server, "/up/one", body)
                           for body in bodies])
        records = server.uploads()
        self.assertEqual({record["sha256"] for record in records}, set(map(sha256, bodies)))
        self.assertEqual([record["outcome"] for record in records],
                         ["stored"] + ["replaced"] * (self.WRITERS - 1))
        # Each replaced the one before it: nobody wrote beside another.
        self.assertEqual([record["previous_sha256"] or "" for record in records],
                         [""] + [record["sha256"] for record in records[:-1]])
        self.assertEqual(sha256(server.get("/up/one").body), records[-1]["sha256"])
        self.assert_settled(server)


@unittest.skipIf(os.geteuid() != 0, "only root can mount a small disk")
class FullDisks(Torture):
    def mount(self, name, size):
        """A small disk at that place."""
        at = self.folder.make(name)
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=777", "tmpfs", at],
                              capture_output=True, text=True, check=False)
        if done.returncode != 0:
            self.skipTest(f"cannot mount a tmpfs: {done.stderr.strip()}")
        self.addCleanup(subprocess.run, ["umount", "--lazy", at], check=True)
        return at

    def fill(self, disk):
        """The rest of the disk, in one file."""
        file = disk / "ballast"
        with open(file, "wb", buffering=0) as ballast, contextlib.suppress(OSError):
            while ballast.write(b"x" * 4096):
                pass
        return file

    def assert_no_room(self, answer):
        self.assertIn(answer.status, range(40, 60), answer)
        self.assertRegex(answer.meta, r"^[A-Z].*\w")
        self.assertEqual(answer.end, "close_notify")

    def test_a_crowd_on_a_full_disk(self):
        disk = self.mount("up", "2m")
        server = self.serve()
        stands = [b""] * 16

        def upload(number):
            refused = 0
            for size in range(20_000, 1_000_000, 20_000):
                body = os.urandom(1000) * (size // 1000)
                answer = server.put(f"/up/{number}", body, ";mime=application/octet-stream")
                if answer.status == 30:
                    stands[number] = body
                else:
                    self.assert_no_room(answer)
                    refused += 1
                if refused == 5:
                    return
            self.fail("the disk was never full")
        self.run_together([lambda number=number: upload(number) for number in range(len(stands))])
        for number, body in enumerate(stands):
            self.assertTrue(server.get(f"/up/{number}").body == body, number)
        self.assert_settled(server)
        for file in disk.iterdir():
            file.unlink()
        self.accepted(server, "/up/0", b"there is room again")

    def test_no_room_for_the_record(self):
        """The old file stays: no file without a record either."""
        disk = self.mount("state", "8m")
        server = self.serve()
        self.accepted(server, "/up/page", b"old")
        ballast = self.fill(disk)
        answers = []
        for number in range(400):  # the database may have room in what it holds already
            answers.append(server.put("/up/page", b"new %d" % number))
            if answers[-1].status != 30:
                break
        self.assert_no_room(answers[-1])
        stands = b"new %d" % (len(answers) - 2) if len(answers) > 1 else b"old"
        self.assertEqual(server.get("/up/page").body, stands)
        self.assertEqual(server.temporary_files(), [])
        ballast.unlink()
        self.accepted(server, "/up/page", b"room again")
        self.assert_settled(server)


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__,
                                      formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=ROUNDS, help=f"kills ({ROUNDS})")
    options.add_argument("--seed", type=int, default=SEED, help=f"of all that is random ({SEED})")
    known, rest = options.parse_known_args()
    ROUNDS, SEED = known.rounds, known.seed
    unittest.main(argv=sys.argv[:1] + rest)
