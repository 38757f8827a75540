#!/usr/bin/env python3
"""What a power cut would show and a kill does not: the order in which an upload reaches the disk,
seen by strace. The programs are those of $EGALAXYD_BIN_DIR."""
import pathlib
import re
import shutil
import subprocess
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from capsule import UPLOAD_SITE, Capsule, Folder  # noqa: E402

CALLS = "fsync,fdatasync,rename,renameat,renameat2,linkat,unlink,unlinkat,write,writev,sendto,sendmsg"


@unittest.skipUnless(shutil.which("strace"), "strace is not installed")
class Durability(unittest.TestCase):
    def setUp(self):
        self.folder = Folder()
        self.addCleanup(self.folder.remove)
        self.up = self.folder.make("up")
        self.server = Capsule(UPLOAD_SITE + "delete = true\n", {"server.workers": "1"}, self.folder)
        self.addCleanup(self.server.close)
        self.server.start()

    def calls_of(self, act):
        """What the worker called meanwhile, a line each, with the paths of its descriptors."""
        trace = self.folder.path / "trace"
        worker, = self.server.workers()
        tracer = subprocess.Popen(["strace", "-f", "-y", "-s", "64", "-e", f"trace={CALLS}", "-o", trace,
                                   "-p", str(worker)], stderr=subprocess.PIPE, text=True)
        try:
            if "attached" not in tracer.stderr.readline():
                self.skipTest("strace may not attach here")
            act()
        finally:
            tracer.terminate()  # it lets go of the worker
            tracer.communicate(timeout=30)
        return trace.read_text(errors="replace").splitlines()

    def first(self, lines, pattern, after=-1):
        """Where the first line like that begins after that one."""
        for at, line in enumerate(lines):
            if at > after and re.search(pattern, line):
                return at
        self.fail(f"no {pattern} after line {after} of\n" + "\n".join(lines))

    def put(self, body):
        answer = self.server.put("/up/page", body)
        self.assertEqual(answer.status, 30, answer)

    def assert_order(self, lines, step):
        """`step`: how the name comes or goes. After it folder and record, then the answer."""
        named = self.first(lines, step)
        folder = self.first(lines, rf"f(data)?sync\(\d+<{re.escape(str(self.up))}>", named)
        record = self.first(lines, r"f(data)?sync\(\d+<[^>]*/egalaxyd\.db-wal>", named)
        answer = self.first(lines, r"(write|writev|sendto|sendmsg)\(\d+<(socket|TCP)[^>]*>",
                            max(folder, record))
        earlier = [line for line in lines[named:max(folder, record)]
                   if re.search(r"(write|writev|sendto|sendmsg)\(\d+<(socket|TCP)", line)]
        self.assertEqual(earlier, [], "something was said before all was safe")
        return named, answer

    def test_the_bytes_come_before_the_name_and_both_before_the_answer(self):
        for body in (b"first", b"second " * 10_000):
            lines = self.calls_of(lambda body=body: self.put(body))
            named, _ = self.assert_order(lines, r'(rename|renameat|renameat2|linkat)\(.*"page"')
            synced = self.first(lines, rf"f(data)?sync\(\d+<{re.escape(str(self.up))}/")
            self.assertLess(synced, named, "the name came before the bytes\n" + "\n".join(lines))

    def test_a_deletion_is_safe_before_it_is_acknowledged(self):
        self.put(b"old")

        def delete():
            answer = self.server.put("/up/page", b"")
            self.assertIn(answer.status, (20, 30), answer)
        self.assert_order(self.calls_of(delete), r'unlink(at)?\(.*"page"|rename(at2?)?\(.*"page"')


if __name__ == "__main__":
    unittest.main()
