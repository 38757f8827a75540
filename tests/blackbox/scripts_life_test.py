#!/usr/bin/env python3
"""Scripts in time: streams, those that are slow, that stay and that leave something behind, their
number, and what becomes of them when clients, launchers, workers or the server go. The program is the
one of $EGALAXYD_BIN_DIR."""
import contextlib
import hashlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from capsule import Capsule, eventually, processes, program, uses_its_own_memory  # noqa: E402
from script_case import ENV, PYTHON, ScriptCase, lives, mount, shell  # noqa: E402
from titan_client import exchange  # noqa: E402

HEADER = "printf '20 text/plain\\r\\n'\n"
PAGE = '[sites.localhost."/"]\nmodule = "directory"\nroot = "root"\n'
MIB = 1024 * 1024


def noted(mark):
    """Shell: writes its number there."""
    return f"echo $$ > {mark}\n"


def until(mark):
    """Shell: waits for the file."""
    return f"while ! test -e {mark}; do sleep 0.02; done\n"


class LifeCase(ScriptCase):
    @classmethod
    def prepare(cls):
        (cls.folder.path / "root").mkdir(mode=0o755)
        (cls.folder.path / "root" / "index.gmi").write_text("# Page\n")

    def start_script(self, text, path="/cgi-bin", **options):
        """(conversation, process) of a script that runs; `text` is in shell, without the header."""
        pid = self.mark(f"pid{len(list(self.marks.iterdir()))}")
        self.script(pid.name, shell(noted(pid) + HEADER + text))
        talk = self.talk(f"{path}/{pid.name}", **options)
        return talk, self.pid_in(pid)

    def ctl(self, *words):
        return subprocess.run([program("egalaxyctl"), "--socket",
                               self.folder.path / "run" / "control.sock", *words],
                              capture_output=True, text=True, check=False, timeout=60)


class Streams(LifeCase):
    SITES = PAGE + mount("/cgi-bin") + mount("/impatient", 'idle_timeout = "3s"') + mount(
        "/patient", 'idle_timeout = "off"\ntimeout = "off"') + mount(
            "/short", 'timeout = "5s"\nheader_timeout = "5s"')
    SETTINGS = {"limits.write_timeout": '"5s"'}

    def test_what_is_said_arrives_while_more_is_to_come(self):
        go = self.mark("go")
        talk, _ = self.start_script("echo first\n" + until(go) + "echo second")
        said = b"20 text/plain\r\nfirst\n"
        self.assertEqual(talk.hear(len(said)), said)
        go.touch()
        self.assertEqual(talk.read().body, b"first\nsecond\n")

    def test_many_small_words_share_records(self):
        self.script("small", PYTHON + "import os\nos.write(1, b'20 text/plain\\r\\n')\n"
                    "for _ in range(3000):\n    os.write(1, b'x')\n")
        answer = self.ask("/cgi-bin/small")
        self.assertEqual(answer.body, b"x" * 3000)
        self.assertLess(answer.records, 1000)

    def test_a_big_answer_takes_no_memory(self):
        self.script("big", shell(HEADER + f"exec head -c {100 * MIB} /dev/zero"))
        before = self.memory()
        talk = self.talk("/cgi-bin/big")
        talk.hear(50 * MIB)
        self.assertLess(self.memory() - before, 32 * MIB if uses_its_own_memory() else 1024 * MIB)
        answer = talk.read()
        self.assertEqual(hashlib.sha256(answer.body).digest(), hashlib.sha256(bytes(100 * MIB)).digest())
        self.assertEqual(answer.end, "close_notify")

    def memory(self):
        """Of the workers, in bytes."""
        return sum(int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096
                   for pid in self.server.workers())

    def test_a_client_that_takes_nothing_holds_the_script_up_and_is_left(self):
        written = self.mark("written")
        pid = self.mark("pid")
        self.script("endless", PYTHON + f"""
import os
open({str(pid)!r}, "w").write(f"{{os.getpid()}}\\n")
counter = open({str(written)!r}, "wb")
os.write(1, b"20 text/plain\\r\\n")
while True:
    os.write(1, bytes(65536))
    counter.write(b"x")
    counter.flush()
""")
        self.talk("/cgi-bin/endless", receive_buffer=4096)
        self.assert_ends(self.pid_in(pid))
        self.assertLess(written.stat().st_size * 65536, 16 * MIB)
        self.assert_logged('/cgi-bin/endless".*ended="timeout"')

    def test_a_script_whose_client_has_left_ends(self):
        waits = "while :; do echo word 2> /dev/null; sleep 0.05; done"
        for name, text in (("by a broken pipe", "exec cat /dev/zero"), ("by TERM", "trap '' PIPE\n" + waits),
                           ("by KILL", "trap '' PIPE TERM\n" + waits)):
            with self.subTest(name):
                talk, pid = self.start_script(text)
                talk.hear(16)
                talk.socket.close()
                self.assert_ends(pid)

    def test_a_silent_script_whose_client_has_left_ends(self):
        for name, header in (("before the header", ""), ("after it", HEADER)):
            with self.subTest(name):
                pid = self.mark(name.replace(" ", "-"))
                self.script(pid.name, shell(noted(pid) + header + "exec sleep 1000"))
                talk = self.talk("/cgi-bin/" + pid.name)
                number = self.pid_in(pid)
                talk.reset()
                self.assert_ends(number)

    def test_a_client_that_has_said_all_gets_all(self):
        self.script("late", shell("sleep 0.2\n" + HEADER + "sleep 0.2\necho all"))
        for finish in ("close_notify", "fin"):
            self.assertEqual(self.ask("/cgi-bin/late", finish=finish).body, b"all\n", finish)

    def test_silence_in_the_answer_cuts_it(self):
        talk, pid = self.start_script("echo word\nexec sleep 1000", "/impatient")
        answer = talk.read()
        self.assertEqual((answer.status, answer.body, answer.end == "close_notify"), (20, b"word\n", False))
        self.assert_ends(pid)
        self.assert_logged(rf"\[{pid}\]: said nothing for 3 s \(idle_timeout\); its answer was cut")

    def test_an_answer_that_takes_too_long_is_cut(self):
        talk, pid = self.start_script("while :; do echo word; sleep 0.1; done", "/short")
        answer = talk.read()
        self.assertEqual((answer.status, answer.body[:5], answer.end == "close_notify"),
                         (20, b"word\n", False))
        self.assert_ends(pid)
        self.assert_logged(rf"\[{pid}\]: took more than 5 s \(timeout\); its answer was cut")

    def test_a_stream_without_limits_outlives_silence(self):
        talk, _ = self.start_script("sleep 3\necho word\nsleep 3\necho last", "/patient")
        self.assertEqual(talk.read().body, b"word\nlast\n")

    def test_what_a_script_leaves_behind_holds_nothing_up(self):
        child = self.mark("child")
        talk, pid = self.start_script(f"sleep 1000 &\necho $! > {child}\necho page", "/short")
        answer = talk.read()
        self.assertEqual((answer.body, answer.end), (b"page\n", "close_notify"))
        self.assert_ends(pid)
        self.assert_ends(self.pid_in(child))

    def test_a_daemon_is_found_when_the_time_is_over(self):
        daemon = self.mark("daemon")
        talk, _ = self.start_script(
            f"(setsid sh -c 'trap \"\" HUP TERM; echo $$ > {daemon}; sleep 1000; sleep 1000' "
            "> /dev/null 2>&1 < /dev/null &)\necho page", "/short")
        self.assertEqual(talk.read().body, b"page\n")
        self.assert_ends(self.pid_in(daemon))


class Limits(LifeCase):
    SITES = (PAGE + mount("/cgi-bin", "processes = 2") + mount("/other")
             + '[sites.localhost."/cgi-bin".upload]\nanyone = true\n')
    SETTINGS = {"dynamic.queue_timeout": '"5s"', "dynamic.requests_per_ip": "6"}

    def hang(self, path):
        talk, pid = self.start_script("exec sleep 1000", path)
        self.addCleanup(self.assert_ends, pid)
        self.addCleanup(lambda: talk.socket.fileno() >= 0 and talk.reset())
        return talk

    def test_a_full_mount_lets_others_live(self):
        self.script("env", ENV)
        held = [self.hang("/cgi-bin") for _ in range(2)]
        answer = self.ask("/cgi-bin/env")  # waits for a place
        self.assert_refused(answer, 41, "The server is busy, try again")
        self.assertGreater(answer.seconds, 4.5)
        self.assert_logged(r'warn +worker \d: cgi "/cgi-bin/env": it waited too long for a place')
        self.assertEqual(self.ask("/other/env").status, 20)
        self.assertEqual(self.ask("/").status, 20)
        waits = self.talk("/cgi-bin/env")
        held[0].reset()
        self.assertEqual(waits.read().status, 20)

    def test_a_client_that_no_longer_waits_loses_its_turn(self):
        held = [self.hang("/cgi-bin") for _ in range(2)]
        mark = self.mark("ran")
        self.script("ran", shell(f"touch {mark}\n" + HEADER))
        self.script("env", ENV)
        self.talk("/cgi-bin/ran").reset()
        waits = self.talk("/cgi-bin/env")
        self.assert_logged('/cgi-bin/ran".*ended="client left"')
        held[0].reset()
        self.assertEqual(waits.read().status, 20)
        self.assertFalse(mark.exists())

    def test_one_address_has_its_share(self):
        held = [self.hang("/other") for _ in range(6)]
        self.script("env", ENV)
        self.assert_refused(self.ask("/other/env"), 44, "5")
        self.assertEqual(self.ask("/").status, 20)
        held[0].reset()
        self.assertTrue(eventually(lambda: self.ask("/other/env").status == 20))

    @unittest.skipUnless(os.geteuid() == 0, "only root sees the descriptors of the server's processes")
    def test_many_runs_leave_nothing_behind(self):
        self.script("quick", shell(HEADER + "echo page"))
        self.script("killed", shell(HEADER + "kill -KILL $$"))
        self.ask("/other/quick")
        before = self.descriptors()
        for _ in range(50):
            self.assertEqual(self.ask("/other/quick").body, b"page\n")
            self.ask("/other/killed")
            self.assertEqual(self.server.put("/cgi-bin/quick", b"body").body, b"page\n")
        # Each of 150 would have left one; some of the first may have been open still.
        self.assertTrue(eventually(lambda: sum(self.descriptors()) < sum(before) + 50),
                        (before, self.descriptors()))
        self.assertTrue(eventually(lambda: not self.all_children()), self.all_children())
        self.assertEqual(list((self.folder.path / "state" / "spool").iterdir()), [])

    def descriptors(self):
        return [len(os.listdir(f"/proc/{pid}/fd"))
                for pid in (self.server._process.pid, *self.server.workers(), *self.launchers())]

    def all_children(self):
        """Of launchers, dead ones too."""
        return [pid for launcher in self.launchers()
                for pid in pathlib.Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()]

    def test_a_script_that_has_ended_gives_its_place_back_before_its_answer_is_read(self):
        self.script("page", shell(HEADER + "head -c 60000 /dev/zero"))
        self.script("env", ENV)
        talks = [self.talk("/cgi-bin/page", receive_buffer=4096) for _ in range(4)]
        self.assertEqual(self.ask("/cgi-bin/env").status, 20)
        for talk in talks:
            self.assertEqual(len(talk.read().body), 60000)


class Turns(LifeCase):
    SITES = mount("/cgi-bin", "processes = 1")
    SETTINGS = {"server.workers": "1", "listen.proxy_protocol_from": '["127.0.0.1"]',
                "dynamic.queue_timeout": '"60s"'}

    def visit(self, client, path):
        before = f"PROXY TCP4 {client} 127.0.0.1 40000 1965\r\n".encode()
        return self.talk(path, before=before, timeout=90)

    def test_a_client_that_asks_for_many_holds_up_no_other(self):
        gate, order = self.mark("gate"), self.mark("order")
        self.script("holds", shell(until(gate) + HEADER))
        self.script("notes", shell(f"echo $PATH_INFO >> {order}\n" + HEADER))
        talks = []
        for client, path in [("192.0.2.1", "holds"), ("192.0.2.1", "notes/1"), ("192.0.2.1", "notes/2"),
                             ("192.0.2.1", "notes/3"), ("192.0.2.2", "notes/other")]:
            talks.append(self.visit(client, f"/cgi-bin/{path}"))
            self.assertTrue(eventually(lambda: len(self.rows()) == len(talks)), self.rows())
        gate.touch()
        self.assertEqual([talk.read().status for talk in talks], [20] * 5)
        self.assertEqual(order.read_text().split(), ["/1", "/other", "/2", "/3"])

    def rows(self):
        return json.loads(self.ctl("scripts", "--json").stdout)["scripts"]


class Secrets(LifeCase):
    SITES = mount("/cgi-bin")

    def test_a_script_gets_at_nothing_of_the_servers(self):
        state, run = self.folder.path / "state", self.folder.path / "run"
        key = next((state / "certificates").glob("*.key"))
        for path in (key, state / "db" / "egalaxyd.db", f"/proc/{self.server.workers()[0]}/mem",
                     f"/proc/{self.server.workers()[0]}/environ", f"/proc/{self.server._process.pid}/mem"):
            self.script("reads", shell(HEADER + f"head -c 1 {path} | wc -c\nrm -f {path}\n"
                                       f"echo x 2> /dev/null > {path} && echo written"))
            self.assertEqual(self.ask("/cgi-bin/reads").body, b"0\n", path)
        self.assertTrue(key.exists() and (run / "control.sock").exists())

    def test_a_script_does_not_command_the_server(self):
        control = self.folder.path / "run" / "control.sock"
        ctl = program("egalaxyctl")
        for words in ("stop", "reload", "worker restart all", "scripts stop 1"):
            self.script("commands", shell(
                HEADER + f"{ctl} --socket {control} {words} > /dev/null 2>&1\necho $?"))
            self.assertNotEqual(self.ask("/cgi-bin/commands").body, b"0\n", words)
        self.script("escapes", shell(
            HEADER + f"(setsid sh -c 'sleep 0.2; {ctl} --socket {control} stop' > /dev/null 2>&1 &)"))
        self.ask("/cgi-bin/escapes")
        self.assertTrue(eventually(lambda: not self.running()))
        self.assertNotIn("stopping", self.server.log())
        self.assertTrue(self.server.running())

    def test_a_script_does_not_signal_the_server(self):
        pids = " ".join(str(pid) for pid in (self.server._process.pid, *self.server.workers()))
        self.script("kills", shell(HEADER + f"for pid in {pids}; do kill -KILL $pid 2> /dev/null; done"))
        workers = self.server.workers()
        if os.geteuid() != 0 and not kernel_scopes_signals():
            self.skipTest("this kernel lets a script signal what has its account")
        self.assertEqual(self.ask("/cgi-bin/kills").status, 20)
        self.assertEqual((self.server.running(), self.server.workers()), (True, workers))


def kernel_scopes_signals():
    """Landlock's ABI 6 (Linux 6.12)."""
    return tuple(int(part) for part in os.uname().release.split("-")[0].split(".")[:2]) >= (6, 12)


class Deaths(LifeCase):
    SITES = PAGE + mount("/cgi-bin")
    SETTINGS = {"server.drain_timeout": '"10s"'}

    def setUp(self):
        if not self.server.running():
            self.server.start()
        self.script("env", ENV)

    def test_a_launcher_that_dies_is_replaced(self):
        talk, pid = self.start_script("echo word\nexec sleep 1000")
        talk.hear(16)
        launcher, = eventually(lambda: len(self.launchers()) == 1 and self.launchers())
        os.kill(launcher, signal.SIGKILL)
        answer = talk.read()
        self.assertEqual((answer.status, answer.end == "close_notify"), (20, False))
        self.assert_ends(pid)
        self.assertEqual(self.ask("/").status, 20)
        self.assertTrue(eventually(lambda: self.ask("/cgi-bin/env").status == 20))
        self.assertNotIn(launcher, self.launchers())

    def test_nothing_but_scripts_suffers_from_a_launchers_death(self):
        wrong, statuses, over = [], set(), threading.Event()

        def load(path, allowed):
            while not over.is_set():
                answer = self.ask(path)
                statuses.add(answer.status)
                if answer.status not in allowed:
                    wrong.append(answer)

        threads = [threading.Thread(target=load, args=arguments) for arguments in (
            ("/", (20,)), ("/cgi-bin/env", (20, 41, 42)), ("/cgi-bin/env", (20, 41, 42)))]
        for thread in threads:
            thread.start()
        try:
            for _ in range(2):
                launcher, = eventually(lambda: len(self.launchers()) == 1 and self.launchers())
                os.kill(launcher, signal.SIGKILL)
                self.assertTrue(eventually(lambda: self.launchers() not in ([], [launcher])))
        finally:
            over.set()
            for thread in threads:
                thread.join()
        self.assertEqual(wrong, [])
        self.assertTrue(eventually(lambda: self.ask("/cgi-bin/env").status == 20))

    def test_a_worker_that_dies_takes_its_scripts_along(self):
        talk, pid = self.start_script("trap '' PIPE TERM\nwhile :; do echo word 2> /dev/null; sleep 0.1; done")
        talk.hear(16)
        for worker in self.server.workers():
            os.kill(worker, signal.SIGKILL)
        self.assert_ends(pid)
        self.assertTrue(eventually(self.served))

    def served(self):
        with contextlib.suppress(OSError):
            return self.ask("/cgi-bin/env").status == 20
        return False

    def test_a_reload_cuts_no_page(self):
        go = self.mark("go")
        talk, _ = self.start_script("echo old\n" + until(go) + "echo whole")
        talk.hear(16)
        self.server.sites += '[sites.localhost."/cgi-bin".env]\nPAGE = "new"\n'
        self.server.write_config()
        before = self.launchers()
        reloaded = self.ctl("reload")
        self.assertEqual(reloaded.returncode, 0, reloaded)
        self.assertEqual(self.variables("/cgi-bin/env")["PAGE"], "new")
        go.touch()
        answer = talk.read()
        self.assertEqual((answer.body, answer.end), (b"old\nwhole\n", "close_notify"))
        self.assertTrue(eventually(lambda: not set(before) & set(self.launchers())), "old launchers")

    def test_a_stop_waits_for_pages_but_not_for_streams(self):
        go = self.mark("go")
        page, _ = self.start_script("echo old\n" + until(go) + "echo whole")
        stream, pid = self.start_script("while :; do echo word; sleep 0.1; done")
        page.hear(16)
        stream.hear(16)
        self.server.signal(signal.SIGTERM)
        self.assert_logged("SIGTERM: stopping")
        go.touch()
        self.assertEqual(page.read().body, b"old\nwhole\n")
        self.assertNotEqual(stream.read().end, "close_notify")
        self.assertTrue(eventually(lambda: not self.server.running()))
        self.assert_ends(pid)
        self.assertEqual(self.server._process.wait(), 0)
        self.assertFalse(self.server._group_lives())

    def test_a_second_signal_waits_for_nothing(self):
        stream, pid = self.start_script("trap '' PIPE TERM\nwhile :; do echo word 2> /dev/null; sleep 0.1; done")
        stream.hear(16)
        self.server.signal(signal.SIGTERM)
        self.assert_logged("SIGTERM: stopping")

        def ended():  # what comes on the heels of the first is taken for the same
            self.server.signal(signal.SIGTERM)
            return "ending all workers now" in self.server.log()
        self.assertTrue(eventually(ended))
        self.assertTrue(eventually(lambda: not self.server.running()))
        self.assert_ends(pid)

    def test_a_master_that_dies_leaves_no_script(self):
        stream, pid = self.start_script("trap '' PIPE TERM\nwhile :; do echo word 2> /dev/null; sleep 0.1; done")
        stream.hear(16)
        launchers, workers = self.launchers(), self.server.workers()
        os.kill(self.server._process.pid, signal.SIGKILL)
        self.server._process.wait()
        for number in (pid, *launchers, *workers):
            self.assert_ends(number)


if __name__ == "__main__":
    unittest.main(verbosity=2)
