#!/usr/bin/env python3
"""The measuring tools still work: load against the floor, good and bad answers told apart.
Argument: the folder of the two programs."""
import contextlib
import pathlib
import socket
import sys
import types
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from benchlib import proc, programs  # noqa: E402
from benchlib.load import run_load  # noqa: E402
from benchlib.servers import (  # noqa: E402
    Workspace, start_egalaxyd, start_floor, start_store_floor)
from benchlib.uploads import upload_site  # noqa: E402

BIN = pathlib.Path(sys.argv.pop(1)).resolve()


class Smoke(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.space = Workspace()
        cls.addClassCleanup(cls.space.remove)
        cls.floor = start_floor(BIN, cls.space, workers=2)
        cls.addClassCleanup(cls.floor.stop)

    def load(self, scheme="gemini", **options):
        return run_load(BIN, self.floor.url(scheme=scheme), lid=20, **options)

    def test_every_gemini_request_is_answered_and_compared(self):
        result = self.load(requests=300, connections=16, processes=2, check_body=self.space.page)
        self.assertEqual((result["ok"], result["failed"]), (300, 0))
        self.assertEqual(result["body_bytes"], 300 * 2048)
        self.assertLessEqual(result["latency_ms"]["p50"], result["latency_ms"]["max"])

    def test_every_spartan_request_is_answered_and_compared(self):
        result = self.load("spartan", requests=300, connections=16, check_body=self.space.page)
        self.assertEqual((result["ok"], result["failed"]), (300, 0))

    def test_simultaneous_clients_are_all_answered(self):
        result = self.load(connections=100, simultaneous=True, sources=4, body_size=2048)
        self.assertEqual((result["ok"], result["failed"]), (100, 0))

    def test_a_wrong_body_is_a_failure(self):
        result = self.load(requests=5, check_body=self.space.key)
        self.assertEqual((result["ok"], result["failures"]["body"]), (0, 5))

    def test_a_body_that_ends_early_is_a_failure(self):
        result = self.load(requests=5, body_size=4096)
        self.assertEqual((result["ok"], result["failures"]["short"]), (0, 5))

    def test_a_port_without_a_server_is_a_refusal(self):
        with socket.socket() as held:  # nobody else listens there meanwhile
            held.bind(("127.0.0.1", 0))
            result = run_load(BIN, f"gemini://localhost:{held.getsockname()[1]}/", requests=5)
        self.assertEqual((result["ok"], result["failures"]["refused"]), (0, 5))

    def test_a_wrong_protocol_is_a_failure(self):
        result = run_load(BIN, self.floor.url(scheme="spartan"), requests=5, protocol="gemini",
                          timeout=30)
        self.assertEqual((result["ok"], result["failures"]["tls"]), (0, 5))

    def test_every_upload_is_stored_and_counted(self):
        with start_store_floor(BIN, self.space, threads=4) as floor:
            result = run_load(BIN, floor.url("/up/", scheme="titan"), requests=40, connections=8,
                              upload=2048, lid=20)
            self.assertEqual((result["ok"], result["failed"]), (40, 0))
            stored = [path for path in floor.folder.iterdir() if path.name != "output"]
            self.assertEqual([path.stat().st_size for path in stored], [2048] * 40)

    def test_spartan_uploads_are_stored_and_counted(self):
        sites, folder = upload_site(self.space, "spartan")
        with start_egalaxyd(BIN, self.space, sites=sites, spartan=True) as server:
            result = run_load(BIN, server.url("/spartan/", scheme="spartan"), requests=40,
                              connections=8, upload=2048, lid=20)
            self.assertEqual((result["ok"], result["failed"]), (40, 0))
            self.assertEqual([path.stat().st_size for path in folder.iterdir()], [2048] * 40)

    def test_scripts_and_applications_answer(self):
        bench = types.SimpleNamespace(bin=BIN, space=self.space)
        with contextlib.ExitStack() as stack:
            sites = "".join(programs.APPLICATION.format(kind=kind, socket=stack.enter_context(
                programs.application(bench, kind, None))) for kind in ("scgi", "fastcgi"))
            server = stack.enter_context(programs.start(bench, applications=sites))
            for path in ("/scgi/x", "/fastcgi/x"):
                result = run_load(BIN, server.url(path), requests=20, connections=4, lid=20,
                                  check_body=self.space.page)
                self.assertEqual((result["ok"], result["failed"]), (20, 0))
            with programs.Streams(server, "/cgi-bin/silent", 2):
                self.assertEqual(programs.script_processes(server), 2)

    def test_an_upload_that_is_not_acknowledged_is_a_failure(self):
        result = run_load(BIN, self.floor.url("/up/", scheme="titan"), requests=5, upload=100)
        self.assertEqual((result["ok"], result["failures"]["status"]), (0, 5))

    def test_stalled_clients_do_not_count_as_requests(self):
        stalls = [f"{kind}:5" for kind in ("silent", "half-hello", "trickle", "unread", "hello", "slow-finish")]
        result = self.load(requests=50, connections=4, stall=stalls)
        self.assertEqual((result["ok"], result["failed"]), (50, 0))

    def test_the_server_is_seen_from_outside(self):
        self.assertEqual(len(proc.tree(self.floor.pid)), 3)
        self.assertGreater(proc.pss_bytes(self.floor.pid), 1_000_000)
        before = proc.cpu_seconds(self.floor.pid)
        self.load(requests=400, connections=16)
        self.assertGreater(proc.cpu_seconds(self.floor.pid), before)


if __name__ == "__main__":
    unittest.main()
