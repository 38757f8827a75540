#!/usr/bin/env python3
"""Nothing acknowledged is lost: uploads while everything is killed, at each step of the way, on a
full disk, and many at once. The program is that of $EGALAXYD_BIN_DIR.

    upload_torture.py [--rounds N] [--seed S] [TEST ...]
    upload_torture.py --rounds 100 KillEverything        100 times kill -9 of all processes
"""
import argparse
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
from capsule import UPLOAD_SITE, Capsule, Folder, eventually, program, sha256, small_disk  # noqa: E402
from faults import Faults  # noqa: E402

ROUNDS, SEED = 20, random.randrange(2**32)
UPLOADERS = 16
SITE = UPLOAD_SITE + 'delete = true\n'
DONE = ("stored", "replaced", "deleted")
KEPT = 20  # versions of a page, as upload.keep has it by default


def sealed(text):
    """A page that tells whether it is whole."""
    return sha256(text).encode() + b"\n" + text


def is_whole(page):
    seal, _, text = page.partition(b"\n")
    return seal == sha256(text).encode()


def run_all(threads):
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def put(server, path, body):
    """The answer's status; None when the connection ended without one."""
    try:
        return server.put(path, body).status
    except OSError:  # nobody listens, or the handshake was cut
        return None


class Served(unittest.TestCase):
    def serve(self, folder=None, settings=None):
        folder = folder or self.folder()
        server = Capsule(SITE, settings, folder)
        self.addCleanup(server.close)
        return server.start()

    def folder(self):
        folder = Folder()
        self.addCleanup(folder.remove)
        folder.make("up")
        return folder

    def assert_nothing_unfinished(self, server):
        self.assertTrue(eventually(lambda: not server.temporary_files()))
        # The note of an upload that failed goes after its answer.
        self.assertTrue(eventually(lambda: server.pending_uploads() == []))

    def assert_consistent(self, server):
        """Files and records tell the same, nothing is unfinished."""
        self.assert_nothing_unfinished(server)
        latest = {}
        for record in server.uploads():
            if record["outcome"] in DONE:
                latest[record["path"]] = record["sha256"]
        root = server.folder.path
        there = {f"/{path.relative_to(root)}": sha256(path.read_bytes())
                 for path in (root / "up").rglob("*") if path.is_file()}
        self.assertEqual({path: digest for path, digest in latest.items() if digest}, there)
        self.assert_versions(server)

    def assert_versions(self, server):
        """Each content that an upload replaced or deleted can be had back, byte for byte, and what is
        kept is counted right."""
        contents = {row["id"]: row for row in server.rows("contents", "refs > 0")}
        parts = {}
        for row in server.rows("content_parts"):
            parts[row["id"] >> 20] = parts.get(row["id"] >> 20, b"") + row["bytes"]
        for number, content in contents.items():
            self.assertEqual(sha256(parts.get(number, b"")), content["sha256"])
        versions = server.rows("versions", order="replaced_by")
        kept = {(row["path"], contents[row["content"]]["sha256"]) for row in versions}
        self.assertEqual(sum(content["refs"] for content in contents.values()), len(versions))
        self.assertEqual(sum(row["bytes"] for row in server.rows("version_sums", order="mount")),
                         sum(row["size"] + 4096 for row in versions))
        records = {}
        for record in server.uploads():
            if record["outcome"] in DONE:
                records.setdefault(record["path"], []).append(record["sha256"])
        for path, digests in records.items():
            for digest in digests[-KEPT - 1:-1]:
                self.assertTrue(digest in ("", digests[-1]) or (path, digest) in kept, (path, digest))


class Uploader(threading.Thread):
    """Replaces and deletes a page of its own, adds others, until the server is gone. `history`:
    {path: [(digest, acknowledged)]}, "" for a deletion."""

    def __init__(self, server, number, number_of_round):
        super().__init__()
        self.server, self.name_prefix = server, f"/up/{number}"
        self.random = random.Random(f"{SEED} {number} {number_of_round}")
        self.tag = f"{number} {number_of_round}"
        self.round = number_of_round
        self.history, self.wrong = {}, []

    def run(self):
        own_is_there = None  # unknown: another round may have left it
        for step in range(100_000):
            fresh = step % 3 == 2
            path = f"{self.name_prefix}-{self.round}-{step}" if fresh else f"{self.name_prefix}-own"
            delete = not fresh and own_is_there and self.random.random() < 0.2
            filler = self.random.randbytes(self.random.randrange(1, 40_000)).hex()
            body = b"" if delete else f"{self.tag} {step}\n{filler}".encode()
            status = put(self.server, path, body)
            good = status in ((20, 30) if delete else (30,))
            self.history.setdefault(path, []).append(("" if delete else sha256(body), good))
            if status is not None and not good:
                self.wrong.append((path, status))
            if not good:
                return
            if not fresh:
                own_is_there = not delete


class KillEverything(Served):
    def test_every_acknowledged_upload_is_there(self):
        server = self.serve()
        moments = random.Random(SEED)
        there = {}  # path: digest, after the rounds before
        acknowledged = 0
        for number in range(ROUNDS):
            with self.subTest(round=number, seed=SEED):
                uploaders = [Uploader(server, i, number) for i in range(UPLOADERS)]
                for uploader in uploaders:
                    uploader.start()
                threading.Event().wait(moments.uniform(0.02, 0.8))
                if number % 2:  # on a slow disk too
                    eventually(lambda: any(good for uploader in uploaders for attempts in
                                           list(uploader.history.values()) for _, good in attempts))
                server.kill()
                for uploader in uploaders:
                    uploader.join()
                server.start()
                self.assertEqual([wrong for uploader in uploaders for wrong in uploader.wrong], [])
                self.assert_consistent(server)
                for uploader in uploaders:
                    acknowledged += self.check(server, uploader.history, there)
                self.assertEqual(there, {path: digest for path, digest in there.items()
                                         if self.digest(server, path) == digest})
        print(f"{acknowledged} acknowledged uploads outlived {ROUNDS} times kill -9; seed {SEED}",
              file=sys.stderr)
        self.assertGreaterEqual(acknowledged, ROUNDS // 2)

    def digest(self, server, path):
        file = server.folder.path / path.lstrip("/")
        return sha256(file.read_bytes()) if file.exists() else ""

    def check(self, server, history, there):
        """Number of acknowledged uploads; brings `there` up to date."""
        count = 0
        for path, attempts in history.items():
            found = self.digest(server, path)
            acked = [index for index, (_, good) in enumerate(attempts) if good]
            possible = {digest for digest, _ in attempts[acked[-1] if acked else 0:]}
            if not acked:
                possible.add(there.get(path, ""))
            self.assertIn(found, possible, (path, attempts))
            there[path] = found
            records = [record["sha256"] for record in server.uploads("path = ?", path)
                       if record["outcome"] in DONE]
            for index in acked:
                digest = attempts[index][0]
                if digest:
                    self.assertEqual(records.count(digest), 1, (path, records))
                else:
                    self.assertIn("", records, path)
            count += len(acked)
        return count


class CrashAtEachStep(Served):
    """A worker dies at each call of an upload that changes what is on the disk: at the first, the
    second and so on, until the upload needs fewer. A write is then done by half."""
    OLD, NEW, LAST = sealed(b"old\n" * 100), sealed(b"new\n" * 10_000), sealed(b"last\n")

    def test_a_page_is_replaced_or_not(self):
        self.walk(self.OLD, self.NEW)

    def test_a_new_page_is_there_whole_or_not(self):
        self.walk(b"", self.NEW)

    def test_a_page_is_deleted_or_not(self):
        self.walk(self.OLD, b"")

    def test_a_page_in_new_folders_is_there_whole_or_not(self):
        self.walk(b"", self.NEW, folders="a/b/")

    def test_a_page_is_replaced_or_not_where_names_cannot_be_exchanged(self):
        self.walk(self.OLD, self.NEW, no_tmpfile=1, no_exchange=1)

    def test_a_new_page_is_there_whole_or_not_where_all_files_have_names(self):
        self.walk(b"", self.NEW, no_tmpfile=1)

    def walk(self, old, new, folders="", **lacks):
        folder = self.folder()
        self.faults = Faults(folder.path)
        self.faults.set(**lacks)
        server = Capsule(SITE + "create_directories = true\n", {"server.workers": "1"}, folder)
        self.addCleanup(server.close)
        server.start(self.faults.environment())
        for number in range(1, 100):
            with self.subTest(number=number):
                if not self.crash(server, f"/up/{folders}{number}", old, new, number, early=1):
                    break
        else:
            self.fail("an upload takes many steps")
        # All is done, but for the answer.
        self.crash(server, f"/up/{folders}done", old, new, number - 1, early=0)
        self.assertGreater(number, 10)
        print(f"a worker died at each of {number - 1} steps", file=sys.stderr)
        server.kill()
        server.start(self.faults.environment())
        for page in (*range(1, number), "done"):
            self.assert_page(server, f"/up/{folders}{page}", self.LAST)
        self.assert_consistent(server)
        self.assertEqual(server.stop(), [])

    def crash(self, server, path, old, new, number, early):
        """False when the upload was answered before the worker came to step `number`."""
        if old:
            self.assertEqual(put(server, path, old), 30)
        workers = server.workers()
        self.faults.kill(workers[0], number, early)
        answered = put(server, path, new) is not None
        self.faults.set(victim=0)
        changed = self.faults.get("renames") or (not old and self.faults.get("links"))
        if answered:
            self.assertTrue(changed)
        elif number % 2 == 0:  # the others die with it
            server.kill()
            server.start(self.faults.environment())
        else:
            self.assertTrue(eventually(lambda: server.workers() not in (workers, [])))
        self.assert_page(server, path, new if changed else old)
        self.assertTrue(eventually(lambda: server.temporary_files() == []))
        self.assert_consistent(server)
        # Nothing of the dead is in the way.
        self.assertTrue(eventually(lambda: put(server, path, self.LAST) == 30))
        return not answered

    def assert_page(self, server, path, expected):
        answer = server.get(path)
        self.assertEqual((answer.status, answer.body), (20, expected) if expected else (51, b""))


class RestoreAndKill(Served):
    """Everything is killed while versions are restored: the page is one of its contents, whole, and
    all of them can be had back afterwards."""

    def restore(self, server, upload):
        return subprocess.Popen(
            [program("egalaxyctl"), "--socket", server.folder.path / "run/control.sock", "uploads",
             "restore", str(upload)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def test_a_restored_page_is_whole_and_no_version_is_lost(self):
        server, moments = self.serve(), random.Random(SEED)
        bodies = [sealed(f"{n} ".encode() + b"x" * size)
                  for n, size in enumerate((10, 70_000, 3_000_000))]
        for body in bodies:
            self.assertEqual(put(server, "/up/page", body), 30)
        began = time.monotonic()
        self.assertIn(b"restored, as upload", self.restore(server, 1).communicate()[0])
        took, restored = time.monotonic() - began, 0
        for number in range(ROUNDS):
            with self.subTest(round=number, seed=SEED):
                upload = moments.choice(server.uploads("outcome IN ('stored', 'replaced')"))["id"]
                asked = self.restore(server, upload)
                threading.Event().wait(moments.uniform(0, 1.5 * took))
                server.kill()
                answer = asked.communicate()[0]
                server.start()
                self.assertTrue(eventually(lambda: server.temporary_files() == []))
                self.assert_consistent(server)
                page = (server.folder.path / "up/page").read_bytes()
                self.assertIn(page, bodies)
                if b"restored, as upload" in answer:
                    restored += 1
                    wanted, = server.uploads("id = ?", upload)
                    self.assertEqual(sha256(page), wanted["sha256"])
        print(f"{restored} of {ROUNDS} were restored before the kill", file=sys.stderr)


class ManyAtOnce(Served):
    def test_readers_see_only_whole_versions(self, replacements=1000, writers=8):
        server = self.serve()
        self.assertEqual(put(server, "/up/page", sealed(b"first")), 30)
        done, seen, wrong = threading.Event(), [], []

        def write(number):
            for count in range(replacements // writers):
                size = (1, 3000, 150_000)[count % 3]
                page = sealed(f"{number} {count} ".encode() + b"x" * size)
                status = put(server, "/up/page", page)
                if status != 30:
                    wrong.append(status)

        def read(fetch):
            while not done.is_set():
                page = fetch()
                seen.append(len(page))
                if not is_whole(page):
                    wrong.append(page)
        file = server.folder.path / "up/page"
        readers = [threading.Thread(target=read, args=(fetch,)) for fetch in
                   (lambda: server.get("/up/page").body, lambda: server.get("/up/page").body,
                    file.read_bytes)]
        for reader in readers:
            reader.start()
        try:
            run_all([threading.Thread(target=write, args=(n,)) for n in range(writers)])
        finally:
            done.set()
            for reader in readers:
                reader.join()
        self.assertEqual(wrong, [])
        self.assertGreater(len(set(seen)), 2)
        self.assertEqual(len(server.uploads("outcome = 'replaced'")), replacements)
        self.assert_nothing_unfinished(server)

    def test_writers_of_one_path_come_one_after_the_other(self, writers=64):
        server = self.serve()
        bodies = [sealed(f"{n} ".encode() + b"x" * (n * 1000)) for n in range(writers)]
        statuses = [None] * writers

        def write(number):
            statuses[number] = put(server, "/up/page", bodies[number])
        run_all([threading.Thread(target=write, args=(n,)) for n in range(writers)])
        self.assertEqual(statuses, [30] * writers)
        page = (server.folder.path / "up/page").read_bytes()
        self.assertIn(page, bodies)
        # Each was replaced by the next: the records are one chain, in the order of their ids.
        records = server.uploads()
        self.assertEqual([record["outcome"] for record in records],
                         ["stored"] + ["replaced"] * (writers - 1))
        chain = [record["sha256"] for record in records]
        self.assertEqual(sorted(chain), sorted(map(sha256, bodies)))
        self.assertEqual([record["previous_sha256"] for record in records], ["", *chain[:-1]])
        self.assertEqual(chain[-1], sha256(page))


class ManyFolders(Served):
    """Folders that come and go with their files."""
    SITE = SITE + "create_directories = true\n"

    def serve_folders(self):
        server = Capsule(self.SITE, folder=self.folder())
        self.addCleanup(server.close)
        return server.start()

    def assert_empty(self, server):
        self.assert_nothing_unfinished(server)
        up = server.folder.path / "up"
        self.assertTrue(eventually(lambda: not os.listdir(up)), os.listdir(up))

    def test_uploads_and_deletions_in_the_same_folders(self, writers=12, rounds=20):
        server, wrong = self.serve_folders(), []

        def write(number):
            choice = random.Random(f"{SEED} {number}")
            for count in range(rounds):
                depth = choice.randrange(1, 5)
                folders = "/".join(str(choice.randrange(2)) for _ in range(depth))
                path = f"/up/{folders}/p{number}"
                page = sealed(f"{number} {count}".encode() * choice.choice((1, 20_000)))
                answers = (put(server, path, page), server.get(path).body == page,
                           put(server, path, b""))
                if answers != (30, True, 20):
                    wrong.append((path, answers))
        run_all([threading.Thread(target=write, args=(n,)) for n in range(writers)])
        self.assertEqual(wrong, [])
        self.assert_empty(server)

    def test_many_new_folders_cost_others_nothing(self, attackers=4, uploads=20):
        server = self.serve_folders()
        done, slowest, wrong = threading.Event(), [0.0], []

        def attack(number):
            for count in range(uploads):
                path = f"/up/a{number}-{count}"
                if put(server, path + "/f" * 490 + "/x", b"x") != 50:
                    wrong.append(path)
                path += "/" + "/".join("abcdefg") + "/x"
                if put(server, path, b"x") != 30 or put(server, path, b"") != 20:
                    wrong.append(path)

        def honest():
            while not done.is_set():
                answer = server.put("/up/page", b"x")
                slowest[0] = max(slowest[0], answer.seconds)
                if answer.status != 30:
                    wrong.append(answer)
        other = threading.Thread(target=honest)
        other.start()
        try:
            run_all([threading.Thread(target=attack, args=(n,)) for n in range(attackers)])
        finally:
            done.set()
            other.join()
        print(f"beside them the slowest upload took {slowest[0]:.2f} s", file=sys.stderr)
        self.assertEqual(wrong, [])
        self.assertEqual(put(server, "/up/page", b""), 20)
        self.assert_empty(server)

    def test_what_was_acknowledged_is_there_after_a_kill(self):
        server, moments, there = self.serve_folders(), random.Random(SEED), {}
        for number in range(max(3, ROUNDS // 4)):
            def write(uploader, number=number):
                for count in range(10_000):
                    path = f"/up/{number}/{uploader}/{count % 7}/{count}/page"
                    page = sealed(path.encode())
                    if put(server, path, page) != 30:
                        return
                    there[path] = sha256(page)
            threads = [threading.Thread(target=write, args=(n,)) for n in range(UPLOADERS)]
            for thread in threads:
                thread.start()
            wanted = len(there) + moments.randrange(4, 40)
            self.assertTrue(eventually(lambda wanted=wanted: len(there) >= wanted, 60))
            server.kill()
            for thread in threads:
                thread.join()
            server.start()
            for path, digest in there.items():
                self.assertEqual(sha256((server.folder.path / path[1:]).read_bytes()), digest)
            self.assert_nothing_unfinished(server)
        self.assertGreater(len(there), 10)


class FullDisk(Served):
    def fill(self, server, sizes, attempts=15):
        """Uploads of many sizes to pages of their own; {path: digest} of what was acknowledged."""
        there, wrong = {}, []

        def write(number):
            choice = random.Random(f"{SEED} {number}")
            path = f"/up/{number}"
            for _ in range(attempts):
                body = choice.randbytes(choice.randrange(*sizes))
                status = put(server, path, body)
                if status == 30:
                    there[path] = sha256(body)
                elif status not in range(40, 60):
                    wrong.append((path, status))
        run_all([threading.Thread(target=write, args=(n,)) for n in range(UPLOADERS)])
        self.assertEqual(wrong, [])
        return there

    def assert_there(self, server, there):
        for path, digest in there.items():
            file = server.folder.path / path.lstrip("/")
            self.assertEqual(sha256(file.read_bytes()), digest, path)
        self.assert_consistent(server)

    def test_of_the_pages(self):
        folder = self.folder()
        small_disk(self, folder.path / "up")
        server = self.serve(folder)
        there = self.fill(server, (1000, 300_000))
        self.assert_there(server, there)
        self.assertIn(put(server, "/up/new", b"x" * 1_100_000), range(40, 60))
        server.kill()
        server.start()
        self.assert_there(server, there)

    def test_of_the_database(self):
        folder = self.folder()
        state = folder.make("state")
        small_disk(self, state)
        server = self.serve(folder)
        self.assertEqual(put(server, "/up/0", b"before"), 30)
        with open(state / "filler", "wb", buffering=0) as filler:
            try:
                while filler.write(b"x" * 4096):
                    pass
            except OSError:
                pass
        there = {"/up/0": sha256(b"before"), **self.fill(server, (1, 2000))}
        (state / "filler").unlink()
        self.assertTrue(eventually(lambda: put(server, "/up/after", b"after") == 30))
        self.assert_there(server, {**there, "/up/after": sha256(b"after")})


def parse_arguments():
    global ROUNDS, SEED
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"of killing ({ROUNDS})")
    parser.add_argument("--seed", type=int, default=SEED, help="another one each time")
    asked, rest = parser.parse_known_args()
    ROUNDS, SEED = asked.rounds, asked.seed
    return [sys.argv[0], *rest]


if __name__ == "__main__":
    unittest.main(argv=parse_arguments())
