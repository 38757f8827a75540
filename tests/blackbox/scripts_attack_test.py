#!/usr/bin/env python3
"""What scripts do against the server that runs them: they end with it or before it, and it goes on
answering. The programs are those of $EGALAXYD_BIN_DIR."""
import pathlib
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
        self.script("it", shell("prlimit --pid $$ --rttime=7:7\n"
                                f"(setsid sh -c 'echo $$ > {mark}; sleep 1000; sleep 1000' &)\n"
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


if __name__ == "__main__":
    unittest.main()
