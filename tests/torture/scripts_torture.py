#!/usr/bin/env python3
"""Scripts that misbehave, clients that leave and processes that are killed, while static pages are
asked for all the time. Afterwards nothing is left: no process, no zombie, no descriptor, no body,
nothing counted. The programs are those of $EGALAXYD_BIN_DIR.

    scripts_torture.py [--scripts N] [--mebibytes N] [--seed S] [TEST ...]
    scripts_torture.py --long        1,000 scripts a test, 1 GiB to a slow reader
"""
import argparse
import contextlib
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import threading
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from capsule import PATIENCE, Capsule, Folder, eventually, name_of, program, uses_its_own_memory  # noqa: E402
from titan_client import Conversation, TimedOut  # noqa: E402

SCRIPTS, MEBIBYTES, SEED = 60, 48, random.randrange(2**32)
CLIENTS = 8  # at once
NAME = "egalaxyd-launch"
BOMB = 200  # processes more than its account has already
KILLS = 3
# /cgi is for clients that leave: one that closes looks like one that listens, until the script is silent.
SITES = """
[sites.localhost."/"]
module = "directory"
root = "root"
[sites.localhost."/cgi"]
module = "cgi"
root = "cgi"
processes = 64
header_timeout = "2s"
idle_timeout = "2s"
timeout = "{timeout}"
[sites.localhost."/cgi".upload]
anyone = true
max_size = "1MiB"
[sites.localhost."/patient"]
module = "cgi"
root = "cgi"
processes = 64
header_timeout = "{timeout}"
idle_timeout = "{timeout}"
timeout = "{timeout}"
[sites.localhost."/patient".upload]
anyone = true
max_size = "1MiB"
"""
SETTINGS = {"dynamic.requests_per_ip": "2000", "dynamic.processes": "64", "dynamic.queue": "1000",
            "dynamic.queue_timeout": '"20s"', "limits.connections_per_ip": "0",
            "server.drain_timeout": '"5s"'}
HEADER = "printf '20 text/plain\\r\\n'\n"
FILES = {
    "greet": HEADER + "echo hello\n",
    "stream": HEADER + "while echo line; do sleep 0.05; done\n",
    "page": HEADER + "for i in 1 2 3 4 5 6 7 8; do echo $i; sleep 0.1; done\n",
    "sleep": "sleep 1000\n",
    "stubborn": "trap '' PIPE TERM\n" + HEADER + "while :; do echo line; sleep 0.05; done 2>&-\n",
    "forks": HEADER + "sleep 1000 &\nsleep 1000 &\n(sleep 1000 & sleep 1000) &\nwait\n",
    "daemon": "setsid sh -c 'sleep 1000 & exec sleep 1000' <&- >&- 2>&- &\n" + HEADER + "echo begun\n",
    "bomb": "ulimit -p $(cat most)\n" + HEADER + "echo begun\n"
            "exec perl -e 'while (1) { defined fork or select undef, undef, undef, 0.01 }'\n",
    "bytes": "for b in 2 0 ' ' t e x t / p l a i n '\\r' '\\n' x; do printf \"$b\"; sleep 0.01; done\n",
    "deaf": HEADER + "echo heard nothing\n",
    "count": HEADER + "wc -c\n",
    "fails": "echo oops >&2\nexit 3\n",
    "dies": HEADER + "kill -SEGV $$\n",
    "noise": "head -c 100000 /dev/urandom\n",
    "flood": HEADER + "exec head -c {flood} /dev/zero\n",
}
BRIEF = ("greet", "bytes", "deaf", "fails", "dies", "noise", "count")
ENDLESS = ("stream", "sleep", "stubborn", "forks", "page")


def tree(pid):
    """(process, its state) of all below it, zombies too."""
    parents = {}
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                fields = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
                parents.setdefault(int(fields[1]), []).append((int(entry.name), fields[0]))
    found = list(parents.get(pid, ()))
    for member, _ in found:
        found += parents.get(member, ())
    return found


def descriptors(pid):
    with contextlib.suppress(OSError):  # it has just ended
        return len(os.listdir(f"/proc/{pid}/fd"))
    return 0


def account_of(pid):
    """Its number; of what has ended: -1."""
    with contextlib.suppress(OSError):
        for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("Uid:"):
                return int(line.split()[1])
    return -1


def memory(pid):
    """Bytes of its own, as far as they are in memory."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    return 0


class Pages(threading.Thread):
    """Asks for a static page again and again, until stop()."""

    def __init__(self, server):
        super().__init__(daemon=True)
        self.asking = threading.Lock()  # held while one is under way
        self.failed, self.seconds = [], []
        self._server, self._over = server, threading.Event()

    def run(self):
        while not self._over.wait(0.005):
            with self.asking:
                began = time.monotonic()
                try:
                    answer = self._server.get("/")
                    wrong = "" if answer.body == b"# Page\n" else repr(answer)
                except (OSError, TimedOut) as error:
                    wrong = repr(error)
                self.seconds.append(time.monotonic() - began)
                if wrong:
                    self.failed.append(wrong)

    def stop(self):
        self._over.set()
        self.join()


class Case(unittest.TestCase):
    timeout = "60s"

    def setUp(self):
        self.random = random.Random(f"{SEED} {self.id()}")
        self.folder = Folder()
        self.addCleanup(self.folder.remove)
        for name in ("root", "cgi"):
            (self.folder.path / name).mkdir()
        (self.folder.path / "root/index.gmi").write_text("# Page\n")
        for name, text in FILES.items():
            file = self.folder.path / "cgi" / name
            file.write_text("#!/bin/sh\n" + text.replace("{flood}", str(MEBIBYTES << 20)))
            file.chmod(0o755)
        self.server = Capsule(SITES.format(timeout=self.timeout), SETTINGS, self.folder)
        self.addCleanup(self.server.close)
        self.server.start()
        self.warm_up()
        self.pages = Pages(self.server)
        self.pages.start()
        self.addCleanup(self.pages.stop)

    def warm_up(self):
        """Until each worker has run scripts, so that what it keeps is there."""
        workers = {}
        while len(workers) < 2 or min(workers.values()) < 3:
            self.assertEqual(self.server.get("/patient/greet").status, 20)
            self.assertEqual(self.server.put("/patient/count", b"x").status, 20)
            workers = {row["pid"]: row["totals"]["scripts_started"] for row in self.stats()["workers"]}
        self.held = self.holds()

    def ctl(self, *words):
        done = subprocess.run([program("egalaxyctl"), "--socket", self.folder.path / "run/control.sock",
                               *words], capture_output=True, text=True, check=False, timeout=PATIENCE)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def stats(self):
        return json.loads(self.ctl("stats", "--format", "json"))

    def launchers(self):
        return [pid for pid in self.server.children() if name_of(pid) == NAME]

    def launcher(self):
        one, = eventually(lambda: len(self.launchers()) == 1 and self.launchers())
        return one

    def holds(self):
        """The most descriptors that a worker has, and those of the launcher."""
        return (max(map(descriptors, self.server.workers()), default=0),
                sum(map(descriptors, self.launchers())))

    def scripts(self):
        """Processes that a script is or has begun, wherever they hang: their environment tells."""
        mark, found = f"SCRIPT_FILENAME={self.folder.path}/".encode(), []
        for entry in pathlib.Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    if mark in (entry / "environ").read_bytes():
                        found.append(int(entry.name))
        return found

    def running(self, at_least=1):
        self.assertTrue(eventually(lambda: len(self.scripts()) >= at_least))

    def greets(self):
        with contextlib.suppress(OSError, TimedOut):
            return self.server.get("/patient/greet").body == b"hello\n"
        return False

    def ask(self, name, body=None, read=1, mount="patient", **connection):
        """A client that has asked and read for `read` seconds; it is to be closed."""
        talk = Conversation(self.server.port, **connection)
        if body is None:
            talk.say(f"gemini://localhost/{mount}/{name}\r\n".encode())
        else:
            talk.say(f"titan://localhost/{mount}/{name};size={len(body)}\r\n".encode() + body)
        talk.listen(read)
        return talk

    def vanish(self, talk, dice):
        """In one of the ways in which clients do."""
        how = dice.randrange(3)
        with contextlib.suppress(OSError, TimedOut):
            if how == 0:
                talk.reset()
            elif how == 1:
                talk.close_notify()
        talk.socket.close()

    @contextlib.contextmanager
    def left_at_random(self, least):
        """Requests by CLIENTS clients, each left at an instant of its own: for the time of the
        block, and at least so many. What has a body runs to its end."""
        over, asked = threading.Event(), []

        def client(number):
            mine = random.Random(f"{SEED} {self.id()} {number}")
            while not over.is_set() or len(asked) < least:
                name, patience = mine.choice(BRIEF + ENDLESS), mine.random() ** 2 * 0.3
                body = None if name in ENDLESS else mine.choice((None, b"x" * 100, b"x" * 200_000))
                asked.append(name)
                with contextlib.suppress(OSError, TimedOut):  # it was refused, or killed
                    self.vanish(self.ask(name, body, patience, "cgi"), mine)

        clients = [threading.Thread(target=client, args=(number,)) for number in range(CLIENTS)]
        for each in clients:
            each.start()
        try:
            yield
        finally:
            over.set()
            for each in clients:
                each.join()
            print(f"{self.id()}: {len(asked)} asked for", file=sys.stderr)

    def nothing_is_left(self):
        """Looked at while pages are asked for; then without."""
        began = time.monotonic()
        gone = eventually(lambda: not self.scripts())
        self.assertTrue(gone, [pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
                               for pid in self.scripts()])
        print(f"{self.id()}: scripts gone after {time.monotonic() - began:.2f} s", file=sys.stderr)
        self.assertTrue(eventually(lambda: self.pages.seconds))
        self.pages.stop()
        seconds = sorted(self.pages.seconds)
        print(f"{self.id()}: {len(seconds)} pages, p50 {seconds[len(seconds) // 2] * 1e3:.1f} ms, "
              f"p99 {seconds[len(seconds) * 99 // 100] * 1e3:.1f} ms", file=sys.stderr)
        self.assertEqual(self.pages.failed, [])
        pid = self.server._process.pid  # pylint: disable=protected-access
        self.assertTrue(eventually(lambda: not [1 for _, state in tree(pid) if state == "Z"]),
                        tree(pid))
        self.assertTrue(eventually(lambda: tree(self.launcher()) == []), tree(self.launcher()))
        spool = self.folder.path / "state/spool"
        self.assertTrue(eventually(lambda: not list(spool.iterdir())), list(spool.iterdir()))
        self.assertTrue(eventually(lambda: not any(self.stats()["gauges"].values())),
                        self.stats()["gauges"])
        self.assertTrue(eventually(lambda: self.server.temporary_files() == []))
        self.assertTrue(eventually(lambda: self.holds()[0] <= self.held[0]
                                   and self.holds()[1] <= self.held[1]), (self.held, self.holds()))
        self.assertTrue(self.greets())


class Leaving(Case):
    """Clients that go while scripts are started, run, or wait for a place."""

    def test_a_thousand_starts_and_clients_gone_leave_nothing(self):
        before = [memory(pid) for pid in self.server.workers() + self.launchers()]
        with self.left_at_random(SCRIPTS):
            pass
        self.nothing_is_left()
        after = [memory(pid) for pid in self.server.workers() + self.launchers()]
        print(f"{self.id()}: memory {before} then {after}", file=sys.stderr)
        for one, other in zip(before, after):
            self.assertLess(other, one + (8 << 20) if uses_its_own_memory() else 1 << 30)

    def test_one_that_ignores_pipe_and_term_is_killed(self):
        talk = self.ask("stubborn")
        self.running()
        talk.reset()
        self.nothing_is_left()

    def test_what_it_has_begun_goes_with_it(self):
        talk = self.ask("forks")
        self.running(at_least=4)
        talk.reset()
        self.nothing_is_left()

    def test_those_that_wait_for_a_place_are_forgotten(self):
        talks = [self.ask("sleep", read=0) for _ in range(80)]  # of 64 places
        self.assertTrue(eventually(lambda: self.stats()["gauges"]["scripts_queued"] >= 16))
        self.random.shuffle(talks)
        for talk in talks:
            talk.reset()
        self.nothing_is_left()


class Daemons(Case):
    timeout = "5s"

    def test_end_with_the_time_of_their_script(self):
        for _ in range(5):
            self.assertEqual(self.server.get("/patient/daemon").body, b"begun\n")
        self.running()
        self.nothing_is_left()


class Bomb(Case):
    """A script that begins more and more processes."""

    def test_stays_within_its_limit_and_goes_as_a_whole(self):
        account = account_of(self.launcher())
        if account == 0:
            self.skipTest("RLIMIT_NPROC does not bound root")
        most = BOMB + sum(account_of(int(task.parts[2])) == account
                          for task in pathlib.Path("/proc").glob("[0-9]*/task/*"))
        (self.folder.path / "cgi/most").write_text(str(most))
        talk = self.ask("bomb")
        begun = b"20 text/plain\r\nbegun\n"
        self.assertEqual(talk.hear(len(begun)), begun)
        self.running(at_least=BOMB // 2)
        given = len(self.pages.seconds)
        self.assertTrue(eventually(lambda: len(self.pages.seconds) >= given + 100))
        print(f"{self.id()}: {len(self.scripts())} processes", file=sys.stderr)
        talk.reset()
        self.nothing_is_left()


class Killing(Case):
    """kill -9 while scripts run and are asked for."""

    def test_a_launcher_is_replaced_and_its_scripts_end(self):
        times = []
        with self.left_at_random(SCRIPTS):
            for _ in range(KILLS):
                self.running()
                began, killed = time.monotonic(), self.launcher()
                os.kill(killed, signal.SIGKILL)
                self.assertTrue(eventually(self.greets))
                times.append(time.monotonic() - began)
                self.assertNotIn(killed, self.launchers())
        print(f"{self.id()}: full again after "
              + ", ".join(f"{each * 1e3:.0f} ms" for each in times), file=sys.stderr)
        self.nothing_is_left()

    def test_the_scripts_of_a_worker_end_with_it(self):
        with self.left_at_random(SCRIPTS):
            for _ in range(KILLS):
                self.running()
                victim = self.random.choice(self.server.workers())
                with self.pages.asking:  # so that no page is in its hands
                    os.kill(victim, signal.SIGKILL)
                self.assertTrue(eventually(lambda gone=victim: len(self.server.workers()) == 2
                                           and gone not in self.server.workers()))
        self.nothing_is_left()

    def test_nothing_outlives_the_master_but_what_it_was_asked_for(self):
        with self.left_at_random(SCRIPTS):
            self.running()
            began = time.monotonic()
            self.server.signal(signal.SIGKILL)
        self.assertTrue(eventually(lambda: not self.scripts()), self.scripts())
        print(f"{self.id()}: scripts gone after {time.monotonic() - began:.2f} s", file=sys.stderr)
        self.pages.stop()
        self.server.kill()
        self.server.start()
        self.warm_up()
        self.pages = Pages(self.server)
        self.pages.start()
        self.addCleanup(self.pages.stop)
        self.assertTrue(eventually(self.greets))
        self.nothing_is_left()


class Changing(Case):
    def reload_in_peace(self):
        """New workers inherit the roots that configurations which serve still have open."""
        for _ in range(2):
            self.assertTrue(eventually(lambda: len(self.server.workers()) == 2))
            self.ctl("reload")
        self.assertTrue(eventually(lambda: len(self.server.workers()) == 2))

    def test_reloads_cut_no_page_and_the_next_is_of_the_new_script(self):
        self.reload_in_peace()
        self.warm_up()
        pages, cut = [], []

        def client():
            for _ in range(4):
                answer = self.server.get("/patient/page")
                (pages if answer.body == b"1\n2\n3\n4\n5\n6\n7\n8\n" else cut).append(answer)

        clients = [threading.Thread(target=client) for _ in range(CLIENTS)]
        for each in clients:
            each.start()
        reloads = 0
        alive = lambda: any(each.is_alive() for each in clients)  # noqa: E731
        while eventually(lambda: self.scripts() or not alive()) and alive():
            self.ctl("reload")
            reloads += 1
        print(f"{self.id()}: {reloads} reloads, {len(pages)} pages", file=sys.stderr)
        self.assertEqual(cut, [])
        new = self.folder.path / "cgi/new"
        new.write_text("#!/bin/sh\n" + HEADER + "echo new\n")
        new.chmod(0o755)
        os.rename(new, self.folder.path / "cgi/page")
        self.assertEqual(self.server.get("/patient/page").body, b"new\n")
        self.reload_in_peace()
        self.nothing_is_left()

    def test_a_stop_ends_streams_with_its_drain(self):
        talks = [self.ask(name) for name in ("stream", "stubborn", "forks") * 4]
        self.running(at_least=12)
        self.pages.stop()
        began = time.monotonic()
        self.assertEqual(self.server.stop(), [])
        print(f"{self.id()}: stopped after {time.monotonic() - began:.1f} s of a drain of 5 s",
              file=sys.stderr)
        self.assertTrue(eventually(lambda: not self.scripts()), self.scripts())
        for talk in talks:
            talk.socket.close()


class Output(Case):
    def test_comes_whole_and_costs_no_memory_however_slowly_it_is_read(self):
        watched = self.server.workers() + self.launchers()
        before = list(map(memory, watched))
        size, got, most = MEBIBYTES << 20, 0, [0] * len(watched)
        with self.ask("flood", read=0, receive_buffer=32768, timeout=300) as talk:
            while not talk.answer.end:
                talk._wait(read=True)  # pylint: disable=protected-access
                talk._take()           # pylint: disable=protected-access
                got += len(talk._raw)  # pylint: disable=protected-access
                talk._raw.clear()      # pylint: disable=protected-access
                if got >> 20 != (got - 65536) >> 20:
                    most = list(map(max, most, map(memory, watched)))
                if got < size // 4:
                    time.sleep(0.001)  # a slow reader, not a wait
            self.assertEqual((talk.answer.end, got), ("close_notify", size + len("20 text/plain\r\n")))
        print(f"{self.id()}: memory {before}, at most {most}", file=sys.stderr)
        for one, other in zip(before, most):
            self.assertLess(other, one + (4 << 20) if uses_its_own_memory() else 1 << 30)
        self.nothing_is_left()

    def test_a_header_in_single_bytes_is_one(self):
        answers = [self.server.get("/patient/bytes") for _ in range(3)]
        self.assertEqual({(each.status, each.meta, each.body) for each in answers},
                         {(20, "text/plain", b"x")})
        self.nothing_is_left()

    def test_comes_of_a_script_that_does_not_read_its_body(self):
        for _ in range(5):
            self.assertEqual(self.server.put("/patient/deaf", b"x" * 900_000).body, b"heard nothing\n")
            self.assertEqual(self.server.put("/patient/count", b"x" * 900_000).body.strip(), b"900000")
        self.nothing_is_left()


def parse_arguments():
    global SCRIPTS, MEBIBYTES, SEED
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--long", action="store_true", help="--scripts 1000 --mebibytes 1024")
    parser.add_argument("--scripts", type=int, help=f"a test ({SCRIPTS})")
    parser.add_argument("--mebibytes", type=int, help=f"to a slow reader ({MEBIBYTES})")
    parser.add_argument("--seed", type=int, default=SEED, help="another one each time")
    asked, rest = parser.parse_known_args()
    SCRIPTS = asked.scripts or (1000 if asked.long else SCRIPTS)
    MEBIBYTES = asked.mebibytes or (1024 if asked.long else MEBIBYTES)
    SEED = asked.seed
    print(f"--seed {SEED}", file=sys.stderr)
    return [sys.argv[0], *rest]


if __name__ == "__main__":
    unittest.main(argv=parse_arguments())
