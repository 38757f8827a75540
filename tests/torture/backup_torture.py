#!/usr/bin/env python3
"""A restore that is killed at any moment leaves nothing that a server takes for its state: an empty
folder, one that a start refuses in words, or all of it. The programs are those of $EGALAXYD_BIN_DIR.

    backup_torture.py [--rounds N]
"""
import contextlib
import os
import pathlib
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from capsule import UPLOAD_SITE, Capsule, Folder, program  # noqa: E402

ROUNDS = int(sys.argv.pop(sys.argv.index("--rounds") + 1)) if "--rounds" in sys.argv else 16
sys.argv = [word for word in sys.argv if word != "--rounds"]
UPLOADS = 40


class RestoreKilled(unittest.TestCase):
    def setUp(self):
        self.folder = Folder()
        self.addCleanup(self.folder.remove)
        self.folder.make("up")
        self.archive = self.folder.path / "saved.tar.zst"
        self.state = self.folder.path / "other"

    def save(self):
        server = Capsule(UPLOAD_SITE + "keep = 100\n", {}, self.folder)
        self.addCleanup(server.close)
        server.start()
        for _ in range(UPLOADS):
            self.assertEqual(server.put("/up/page", os.urandom(150_000).hex().encode()).status, 30)
        subprocess.run([program("egalaxyctl"), "--socket", self.folder.path / "run/control.sock",
                        "backup", self.archive], check=True, stdout=subprocess.DEVNULL)
        self.assertEqual(server.stop(), [])

    def restore(self, *words, kill_after=None):
        account = ("--user", "root") if os.geteuid() == 0 else ()
        process = subprocess.Popen(
            [program("egalaxyd"), "--restore", self.archive, "--state-dir", self.state, *account, *words],
            cwd=self.folder.path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            start_new_session=True)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(kill_after)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        return process.wait(), process.communicate()[1]

    def assert_whole(self):
        with contextlib.closing(sqlite3.connect(self.state / "db/egalaxyd.db")) as database:
            self.assertEqual(database.execute("PRAGMA integrity_check").fetchone(), ("ok",))
            self.assertEqual(database.execute("SELECT count(*) FROM uploads").fetchone(), (UPLOADS,))
        self.assertTrue(list((self.state / "certificates").glob("*.key")))

    def assert_refused_in_words(self):
        server = Capsule(UPLOAD_SITE, {"server.state_dir": f'"{self.state}"'}, self.folder)
        with self.assertRaises(RuntimeError) as refused:
            server.start()
        self.assertIn("a restore was interrupted", str(refused.exception))

    def test_at_any_moment(self):
        self.save()
        before = time.monotonic()
        self.assertEqual(self.restore()[0], 0)
        took = time.monotonic() - before
        self.assert_whole()
        found = {"empty": 0, "refused": 0, "whole": 0}
        for number in range(20 * ROUNDS):
            if number >= ROUNDS and found["refused"]:
                break
            with self.subTest(number=number):
                shutil.rmtree(self.state)
                before = time.monotonic()
                code, _ = self.restore(kill_after=took * (number % ROUNDS) / ROUNDS)
                if code == 0:  # it takes less than it took
                    took = min(took, time.monotonic() - before)
                names = {file.name for file in self.state.iterdir()} if self.state.exists() else set()
                if "restoring" in names:
                    found["refused"] += 1
                    if found["refused"] <= 3:
                        self.assert_refused_in_words()
                elif "db" in names:
                    found["whole"] += 1
                    self.assert_whole()
                    continue
                else:
                    found["empty"] += 1
                    self.assertNotEqual(code, 0)
                    self.assertLessEqual(names, {"egalaxyd.lock"})
                code, words = self.restore("--force")
                self.assertEqual(code, 0, words)
                self.assert_whole()
        print(found)
        self.assertTrue(found["refused"], "it was never killed in the middle")


if __name__ == "__main__":
    unittest.main()
