#!/usr/bin/env python3
"""What scripts, and a worker that was taken over, do against the launcher: they end, and the server
goes on answering. The programs are those of $EGALAXYD_BIN_DIR."""
import contextlib
import ctypes
import os
import pathlib
import re
import shutil
import socket
import struct
import subprocess
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from capsule import eventually  # noqa: E402
from script_case import PYTHON, ScriptCase, lives, mount, shell  # noqa: E402

HEADER = "printf '20 text/plain\\r\\n'\n"
# Each process leaves its place to a child in a session of its own, for as long as none is killed.
CHAIN = PYTHON + """
import os, sys
os.write(1, b"20 text/plain\\r\\n")
while True:
    if os.fork():
        os._exit(0)
    os.setsid()
    with open(sys.argv[0] + ".pid", "w") as mark:
        mark.write(f"{os.getpid()}\\n")
"""


class Hostile(ScriptCase):
    SITES = mount("/cgi-bin", 'timeout = "5s"\nheader_timeout = "5s"')
    SETTINGS = {"server.workers": "1"}

    def assert_answers(self):
        self.script("fine", shell(HEADER + "echo fine\n"))
        self.assertTrue(eventually(lambda: self.ask("/cgi-bin/fine").body == b"fine\n"))

    def test_processes_that_are_quicker_than_a_signal_end(self):
        self.script("chain", CHAIN)
        mark = self.marks / "chain.pid"
        self.cgi.chmod(0o755)
        text = CHAIN.replace('sys.argv[0] + ".pid"', repr(str(mark)))
        self.script("chain", text)
        self.assertEqual(self.ask("/cgi-bin/chain").status, 20)
        self.assertTrue(eventually(mark.exists))
        self.assertTrue(eventually(lambda: not self.running()), self.running())
        self.assert_answers()

    def test_one_that_kills_its_launcher_leaves_nothing(self):
        mark = self.mark("pid")
        self.script("it", shell(f"prlimit --rttime=7:7 setsid sh -c 'echo $$ > {mark}; sleep 1000; sleep 1000' &\n"
                                f"while ! test -s {mark}; do sleep 0.02; done\nkill -9 $PPID\nsleep 1000\n"))
        self.ask("/cgi-bin/it")
        self.assert_ends(self.pid_in(mark))
        self.assert_answers()

    def test_one_that_stops_its_launcher_stops_scripts_for_a_while_only(self):
        launcher, = eventually(lambda: len(self.launchers()) == 1 and self.launchers())
        self.script("it", shell("kill -STOP $PPID\nsleep 1000\n"))
        self.ask("/cgi-bin/it")
        self.assertTrue(eventually(lambda: not lives(launcher), 60), self.server.log()[-2000:])
        self.assert_answers()
        self.assert_logged("it does not answer any more")


@unittest.skipUnless(os.geteuid() == 0, "only root gives workers an account")
class SameAccount(ScriptCase):
    SETTINGS = {"server.workers": "1", "server.user": '"daemon"', "dynamic.account": '"daemon"'}

    def test_limits_and_priorities_of_others_stay_as_they_are(self):
        worker, = self.server.workers()
        launcher, = self.launchers()
        before = [pathlib.Path(f"/proc/{pid}/limits").read_text() for pid in (worker, launcher)]
        self.script("it", shell(HEADER + f"for pid in {worker} {launcher}; do\n"
                                "prlimit --pid $pid --nofile=3:3 && echo lowered\n"
                                "renice -n 19 $pid && echo nicer\ndone\n"
                                "renice -n 19 -u daemon && echo all nicer\n"
                                f"prlimit --pid {worker} --nofile >/dev/null && echo looked\n"
                                "ulimit -c 0 && prlimit --nofile=64 nice -n 3 true && echo own\n"))
        self.assertEqual(self.ask("/cgi-bin/it").body, b"looked\nown\n")
        self.assertEqual([pathlib.Path(f"/proc/{pid}/limits").read_text() for pid in (worker, launcher)], before)
        self.assertEqual(os.getpriority(os.PRIO_PROCESS, worker), 0)


def peers():
    """{inode: inode of the other end} of all Unix sockets."""
    told = subprocess.run(["ss", "-xnH"], capture_output=True, text=True, check=True).stdout
    return {int(words[5]): int(words[7]) for words in map(str.split, told.splitlines())}


def sockets_of(pid):
    """{inode: descriptor}"""
    found = {}
    with contextlib.suppress(OSError):  # it has ended
        for link in pathlib.Path(f"/proc/{pid}/fd").iterdir():
            target = os.readlink(link)
            if target.startswith("socket:["):
                found[int(target[len("socket:["):-1])] = int(link.name)
    return found


def taken_from(pid, descriptor):
    """A copy of another process's descriptor."""
    pidfd = os.pidfd_open(pid)
    try:
        return ctypes.CDLL(None).syscall(438, pidfd, descriptor, 0)  # pidfd_getfd(2)
    finally:
        os.close(pidfd)


@unittest.skipUnless(os.geteuid() == 0 and shutil.which("ss"), "needs root, and iproute2")
class TakenWorker(ScriptCase):
    SETTINGS = {"server.workers": "1"}

    def channel(self):
        """(the worker, its descriptor that leads to the launcher)"""
        for worker in self.server.workers():
            ends, others = sockets_of(self.launchers()[0]), peers()
            for inode, number in sockets_of(worker).items():
                if others.get(inode) in ends:
                    return worker, number
        return None

    def say(self, packet):
        """To the launcher, as the worker."""
        worker, number = eventually(self.channel)
        copy = taken_from(worker, number)
        if copy < 0:
            self.skipTest("nothing can be taken from another process here")
        with socket.socket(fileno=copy) as mine:
            mine.send(packet)
        return worker

    def test_it_runs_nothing_else_and_is_killed(self):
        def text(value):
            return struct.pack("=I", len(value)) + value
        run = struct.pack("=BII", 0, 1000, 0)
        for lie, why in ((run + text(b"../../bin/sh") + struct.pack("=I", 0) + 2 * text(b"") + bytes(8),
                          r'script "../../bin/sh"'),
                         (struct.pack("=BII", 0, 1000, 9) + text(b"x") + struct.pack("=I", 0)
                          + 2 * text(b"") + bytes(8), "a mount that it does not have"),
                         (run + text(b"x") + struct.pack("=IB", 1, 200) + text(b"/evil.so") + 2 * text(b"")
                          + bytes(8), "a variable that does not exist"),
                         (b"\xff", "nonsense")):
            with self.subTest(why=why):
                worker = self.say(lie)
                self.assert_ends(worker, 20)
                self.assert_logged("has told its launcher what no worker does [(]" + re.escape(why))
        self.script("fine", shell(HEADER + "echo fine\n"))
        self.assertTrue(eventually(lambda: self.ask("/cgi-bin/fine").body == b"fine\n"))


if __name__ == "__main__":
    unittest.main()
