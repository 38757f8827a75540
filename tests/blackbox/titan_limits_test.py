#!/usr/bin/env python3
"""Uploads against deadlines, rate limits, full disks and the end of the server.
The programs are those of $EGALAXYD_BIN_DIR."""
import os
import pathlib
import signal
import sys
import threading
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from capsule import UPLOAD_SITE, Capsule, Folder, eventually, small_disk  # noqa: E402
from titan_client import Conversation, exchange  # noqa: E402

MIB = 1024 * 1024

class OneServerEach(unittest.TestCase):
    """Behaviours that need settings, or an end, of their own."""

    def folder(self):
        folder = Folder()
        self.addCleanup(folder.remove)
        folder.make("up")
        return folder

    def serve(self, settings=None, folder=None):
        server = Capsule(UPLOAD_SITE, settings, folder or self.folder())
        self.addCleanup(server.close)
        return server.start()

    def trickle(self, server, name, size, piece, every):
        """The answer to a body of which `piece` goes out every so many seconds."""
        with Conversation(server.port) as talk:
            talk.say(f"{server.url('/up/' + name)};size={size}\r\n".encode())
            while talk.answer.sent < size and not talk.answer.end:
                if not talk.say(piece) or talk.listen(every):
                    break
            return talk.read()

    def assert_gave_up(self, server, answer, name, least, most):
        self.assertIn(answer.status, (59, None), answer)
        self.assertNotEqual(answer.end, "timeout")
        self.assertTrue(least <= answer.seconds <= most, answer.seconds)
        self.assertFalse((server.folder.path / "up" / name).exists())
        self.assertTrue(eventually(lambda: not server.temporary_files()))

    def test_a_body_that_takes_too_long(self):
        server = self.serve({"limits.upload_timeout": '"2s"'})
        answer = self.trickle(server, "slow", 1_000_000, b"x" * 2048, 0.1)
        self.assert_gave_up(server, answer, "slow", 1.9, 20)
        answer = exchange(server.port, server.url("/up/stalled") + ";size=10", b"abcd")
        self.assert_gave_up(server, answer, "stalled", 1.9, 20)
        self.assertEqual(server.put("/up/x", b"abc").status, 30)

    def test_what_came_for_an_earlier_deploy_is_not_acknowledged(self):
        folder = self.folder()
        app = folder.make("app")
        for release in ("r1", "r2"):
            folder.make(f"app/releases/{release}")

        def deploy(release):
            (app / "new").symlink_to(f"releases/{release}")
            (app / "new").rename(app / "current")

        deploy("r1")
        server = Capsule(UPLOAD_SITE.replace('"up"', '"app/current"'), None, folder)
        self.addCleanup(server.close)
        server.start()
        with Conversation(server.port) as talk:
            talk.say(server.url("/up/page").encode() + b";size=6\r\nabc")
            deploy("r2")
            talk.say(b"def")
            self.assertEqual(talk.read().status, 41)
        self.assertEqual(os.listdir(app / "releases/r1"), [])
        self.assertTrue(eventually(lambda: server.put("/up/page", b"abcdef").status == 30))
        self.assertEqual((app / "releases/r2/page").read_bytes(), b"abcdef")

    def test_a_body_that_drips(self):
        """Small pieces are read together, which must not keep the deadlines from being looked at."""
        server = self.serve({"limits.upload_timeout": '"2s"'})
        answer = self.trickle(server, "drip", 1_000_000, b"x", 0.3)
        self.assert_gave_up(server, answer, "drip", 1.9, 20)
        server = self.serve({"limits.upload_min_rate": '"1KiB"'})
        answer = self.trickle(server, "drip", 1_000_000, b"x" * 100, 0.2)
        self.assert_gave_up(server, answer, "drip", 8, 30)

    def test_a_body_that_moves_too_slowly(self):
        """Three at once, since the rate is watched over ten seconds."""
        server = self.serve({"limits.upload_min_rate": '"1KiB"'})
        answers = {}

        def run(name, *arguments):
            answers[name] = self.trickle(server, name, *arguments)
        threads = [threading.Thread(target=run, args=arguments) for arguments in (
            ("stalled", 1_000_000, b"x", 30), ("creeping", 1_000_000, b"x" * 100, 0.5),
            ("steady", 4 * 1024 * 15, b"x" * 1024, 0.25))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for name in ("stalled", "creeping"):
            self.assert_gave_up(server, answers[name], name, 8, 25)
        self.assertEqual(answers["steady"].status, 30, answers["steady"])

    def test_a_stalled_body_holds_nobody_up(self):
        server = self.serve({"server.workers": "1", "limits.upload_min_rate": '"1B"'})
        stalled = [Conversation(server.port, timeout=300) for _ in range(20)]
        try:
            for number, talk in enumerate(stalled):
                talk.say(f"{server.url(f'/up/{number}')};size=10\r\nabc".encode())
            for _ in range(5):
                self.assertEqual(server.put("/up/quick", b"abc").status, 30)
            self.assertEqual([talk.listen(0) for talk in stalled], [False] * 20)
        finally:
            for talk in stalled:
                talk.reset()

    def test_a_leaving_server_finishes_what_it_has_begun(self):
        server = self.serve({"server.workers": "1"})
        with Conversation(server.port) as talk:
            talk.say(f"{server.url('/up/last')};size=6\r\nabc".encode())
            # The worker has read it when it has answered a later connection.
            self.assertEqual(server.get("/up/none").status, 51)
            server.signal(signal.SIGTERM)
            self.assertTrue(eventually(lambda: "SIGTERM" in server.log()))
            talk.say(b"def")
            answer = talk.read()
        self.assertEqual(answer.status, 30, answer)
        self.assertEqual((server.folder.path / "up/last").read_bytes(), b"abcdef")
        self.assertEqual(server.stop(), [])

    def test_rate_limits_come_before_bodies(self):
        server = self.serve({"rate_limit.enabled": "true", "rate_limit.requests": "2",
                             "rate_limit.per": '"1h"'})
        for number in range(2):
            self.assertEqual(server.put(f"/up/{number}", b"abc").status, 30)
        answer = exchange(server.port, server.url("/up/2") + ";size=3")
        self.assertEqual(answer.status, 44)
        self.assertRegex(answer.meta, r"^\d+$")

    def serve_from_a_small_disk(self):
        folder = self.folder()
        disk = small_disk(self, folder.path / "up")
        return self.serve(folder=folder), disk

    def test_a_full_disk(self):
        server, disk = self.serve_from_a_small_disk()
        old = os.urandom(300_000)
        self.assertEqual(server.put("/up/page", old).status, 30)
        for _ in range(3):
            answer = server.put("/up/page", b"x" * (2 * MIB), records="apart")
            self.assertIn(answer.status, range(40, 60), answer)
            self.assertRegex(answer.meta, r"^[A-Z].*\w")
            self.assertEqual((answer.end, answer.send_error), ("close_notify", ""))
            self.assertEqual((disk / "page").read_bytes(), old)
            self.assertEqual(server.temporary_files(), [])
        self.assertEqual(server.put("/up/page", b"small").status, 30)
        self.assertEqual(server.get("/up/page").body, b"small")

    def test_two_uploads_that_fill_the_disk_together(self):
        server, disk = self.serve_from_a_small_disk()
        size = 700_000
        with Conversation(server.port) as first, Conversation(server.port) as second:
            for number, talk in enumerate((first, second)):
                talk.say(f"{server.url(f'/up/{number}')};size={size}\r\n".encode())
                talk.say(b"x" * (size // 2))
            for talk in (first, second):
                talk.say(b"x" * (size - size // 2))
            statuses = [first.read().status, second.read().status]
        self.assertLessEqual(statuses.count(30), 1)
        self.assertTrue(all(status == 30 or 40 <= status < 60 for status in statuses), statuses)
        stored = [path for path in disk.iterdir() if path.stat().st_size == size]
        self.assertEqual(len(stored), statuses.count(30))
        self.assertEqual(server.temporary_files(), [])


if __name__ == "__main__":
    unittest.main()
