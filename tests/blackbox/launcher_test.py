#!/usr/bin/env python3
"""The processes that run scripts: when there are any, what they hold, and that none is left. The
programs are those of $EGALAXYD_BIN_DIR."""
import contextlib
import json
import os
import pathlib
import pwd
import signal
import socket
import subprocess
import sys
import threading
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from capsule import (PATIENCE, Capsule, Folder, eventually, name_of, processes,  # noqa: E402
                     program)

PAGES = """
[sites.localhost."/"]
module = "directory"
root = "root"
"""
SCRIPTS = PAGES + """
[sites.localhost."/cgi"]
module = "cgi"
root = "cgi"
"""
NAME = "egalaxyd-launch"
OTHER = "nobody"  # an account that is there everywhere
GREETING = "#!/bin/sh\nprintf '20 text/plain\\r\\nhello\\n'\n"
SLEEPER = "#!/bin/sh\nsleep 1000 &\nsleep 1000\necho\n"


def targets(pid):
    """What its descriptors are."""
    found = []
    for link in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):  # closed meanwhile
            found.append(os.readlink(link))
    return found


def sockets(pid):
    """The numbers of those that it holds."""
    return {target[len("socket:["):-1] for target in targets(pid) if target.startswith("socket:")}


def listening():
    found = set()
    for table in ("tcp", "tcp6"):
        for line in pathlib.Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A":
                found.add(fields[9])
    return found


def status_of(pid):
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


class Case(unittest.TestCase):
    sites = SCRIPTS
    settings = {}
    account = None

    def setUp(self):
        self.folder = Folder()
        self.addCleanup(self.folder.remove)
        for name in ("root", "cgi"):
            (self.folder.path / name).mkdir()
        (self.folder.path / "root/index.gmi").write_text("# Page\n")
        self.script("greet", GREETING)
        self.script("sleep", SLEEPER)
        self.server = Capsule(self.sites, self.settings, self.folder, self.account)
        self.addCleanup(self.server.close)

    def script(self, name, text):
        file = self.folder.path / "cgi" / name
        file.write_text(text)
        file.chmod(0o755)

    def launchers(self):
        return [pid for pid in self.server.children() if name_of(pid) == NAME]

    def launcher(self):
        """The server may be ready before it has its name."""
        one, = eventually(lambda: len(self.launchers()) == 1 and self.launchers())
        return one

    def ctl(self, *words):
        return subprocess.run([program("egalaxyctl"), "--socket", self.folder.path / "run/control.sock",
                               *words], capture_output=True, text=True, check=False, timeout=PATIENCE)

    def scripts(self):
        return json.loads(self.ctl("scripts", "--json").stdout)["scripts"]

    def greets(self):
        return self.server.get("/cgi/greet").body == b"hello\n"

    def asked_to_sleep(self):
        """The script's process, once it runs."""
        client = threading.Thread(target=lambda: self.asleep.append(self.server.get("/cgi/sleep")))
        self.asleep = []
        client.start()
        self.addCleanup(client.join)
        self.assertTrue(eventually(lambda: any(each.get("pid") for each in self.scripts())))
        return self.scripts()[0]["pid"]


class Launchers(Case):
    def test_a_launcher_is_there_and_runs_scripts(self):
        self.server.start()
        self.assertTrue(self.greets())
        self.assertEqual(len(self.launchers()), 1)

    @unittest.skipUnless(os.geteuid() == 0, "only root sees the descriptors of the server's processes")
    def test_it_has_no_privilege_no_environment_and_no_listening_socket(self):
        self.server.start(environment={"SECRET": "1"})
        self.assertTrue(self.greets())  # it has its name before it has given up the rest
        launcher = self.launcher()
        status = status_of(launcher)
        self.assertEqual(int(status["CapPrm"], 16), 0)
        self.assertEqual(status["NoNewPrivs"], "1")
        self.assertNotIn("0", status["Uid"].split())
        self.assertEqual(pathlib.Path(f"/proc/{launcher}/environ").read_bytes(), b"")
        held = targets(launcher)
        self.assertEqual([name for name in held if "certificates" in name or "/db" in name], [])
        self.assertEqual(sockets(launcher) & listening(), set())

    @unittest.skipUnless(os.geteuid() == 0, "only root sees the descriptors of the server's processes")
    def test_workers_share_their_listening_sockets_alone(self):
        self.server.start()
        one, other = self.server.workers()
        self.assertEqual(sockets(one) & sockets(other), sockets(one) & listening())
        self.assertTrue(eventually(lambda: len(sockets(one)) == len(sockets(other))))
        self.assertEqual(sockets(one) & sockets(self.launcher()), set())

    def test_a_killed_one_is_replaced_and_found_by_all_workers(self):
        self.server.start()
        killed = self.launcher()
        os.kill(killed, signal.SIGKILL)
        self.assertTrue(eventually(lambda: killed not in self.launchers() and self.launchers()))
        # Whichever worker accepts: one may hear of the new one a moment after the other.
        self.assertTrue(eventually(lambda: all(self.greets() for _ in range(8))))

    def test_a_reload_brings_another(self):
        self.server.start()
        first = self.launcher()
        self.assertEqual(self.ctl("reload").returncode, 0)
        self.assertTrue(eventually(lambda: first not in self.launchers()))
        self.assertTrue(self.greets())
        self.assertEqual(len(self.launchers()), 1)

    def test_a_reload_without_scripts_ends_it(self):
        self.server.start()
        self.server.sites = PAGES
        self.server.write_config()
        self.assertEqual(self.ctl("reload").returncode, 0)
        self.assertTrue(eventually(lambda: not self.launchers()))
        self.assertEqual(self.server.get("/").status, 20)

    def test_a_reload_with_scripts_begins_it(self):
        self.server.sites = PAGES
        self.server.start()
        self.assertEqual(self.launchers(), [])
        self.server.sites = SCRIPTS
        self.server.write_config()
        self.assertEqual(self.ctl("reload").returncode, 0)
        self.assertTrue(self.greets())

    def test_the_end_of_the_master_ends_it(self):
        self.server.start()
        launcher = self.launcher()
        self.server.signal(signal.SIGKILL)
        self.assertTrue(eventually(lambda: name_of(launcher) != NAME))
        self.server.kill()

    def test_bodies_that_a_dead_worker_left_are_removed(self):
        self.server.start()
        left = self.folder.path / "state/spool/1-1"
        left.write_text("x")
        os.kill(self.server.workers()[0], signal.SIGKILL)
        self.assertTrue(eventually(lambda: not left.exists()))


class RunningScripts(Case):
    settings = {"server.drain_timeout": '"1s"'}

    def test_are_listed_and_can_be_ended(self):
        self.server.start()
        pid = self.asked_to_sleep()
        row, = self.scripts()
        self.assertEqual((row["mount"], row["script"], row["client"]), ("/cgi", "sleep", "127.0.0.0"))
        shown = self.ctl("scripts").stdout
        self.assertRegex(shown.splitlines()[0], r"^pid +mount +script +account +age +cpu +client$")
        self.assertIn(str(pid), shown)
        self.assertIn("no script is process 1", self.ctl("scripts", "stop", "1").stderr)
        done = self.ctl("scripts", "stop", str(pid))
        self.assertEqual((done.returncode, done.stdout), (0, f"script {pid} is being ended\n"))
        self.assertTrue(eventually(lambda: not self.scripts()))
        self.assertTrue(eventually(lambda: self.asleep))
        self.assertEqual(self.asleep[0].status, 42)

    def test_end_with_the_server(self):
        self.server.start()
        session = os.getsid(self.asked_to_sleep())
        self.assertEqual(self.server.stop(), [])
        self.assertTrue(eventually(lambda: not processes(group=session)))

    def test_end_with_their_launcher(self):
        self.server.start()
        session = os.getsid(self.asked_to_sleep())
        self.assertTrue(eventually(lambda: len(processes(group=session)) == 3))
        os.kill(self.launcher(), signal.SIGKILL)
        self.assertTrue(eventually(lambda: not processes(group=session)))
        self.assertTrue(eventually(lambda: self.asleep))
        self.assertEqual(self.asleep[0].status, 42)


class OfTheMastersAccount(Case):
    """Nobody's server: its scripts have its account, and could ask for what it may."""

    settings = {"server.user": '""'}

    def setUp(self):
        if os.geteuid() == 0:
            self.account = OTHER
        super().setUp()
        asks = f'"{program("egalaxyctl")}" --socket "{self.folder.path}/run/control.sock"'
        self.script("ask", f"#!/bin/sh\nprintf '20 text/plain\\r\\n'\n{asks} $QUERY_STRING 2>&1\n")

    def test_a_script_may_look_but_change_nothing(self):
        self.server.start()
        self.assertIn(b"serving", self.server.get("/cgi/ask?status").body)
        for command in ("reload", "stop"):
            said = self.server.get(f"/cgi/ask?{command}").body
            self.assertIn(b"a script may look, but change nothing", b" ".join(said.split()))
        owner = pwd.getpwnam(OTHER).pw_uid if os.geteuid() == 0 else os.geteuid()
        done = subprocess.run([program("egalaxyctl"), "--socket", self.folder.path / "run/control.sock",
                               "reload"], user=owner, capture_output=True, text=True, check=False,
                              cwd="/", timeout=PATIENCE)
        self.assertEqual(done.returncode, 0, done.stderr)


@unittest.skipIf(os.geteuid() != 0, "only root has several accounts")
class OfSystemd(Case):
    """A master that is not root, and a launcher of another account behind a socket."""

    SCRIPTS_ACCOUNT = "daemon"
    settings = {"server.user": '""', "dynamic.account": f'"{SCRIPTS_ACCOUNT}"'}
    account = OTHER

    def setUp(self):
        super().setUp()
        run = self.folder.path / "run"
        run.mkdir()
        master, scripts = pwd.getpwnam(OTHER), pwd.getpwnam(self.SCRIPTS_ACCOUNT)
        os.chown(run, master.pw_uid, master.pw_gid)
        path = run / f"launcher-{self.SCRIPTS_ACCOUNT}.sock"
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.addCleanup(listener.close)
        listener.bind(str(path))
        os.chown(path, 0, master.pw_gid)
        path.chmod(0o660)
        listener.listen()
        line = f'exec env LISTEN_PID=$$ LISTEN_FDS=1 "{program("egalaxyd-launcher")}" 3<&{listener.fileno()}'
        self.service = subprocess.Popen(["sh", "-c", line], pass_fds=[listener.fileno()], cwd="/",
                                        user=scripts.pw_uid, group=scripts.pw_gid, extra_groups=[])
        self.addCleanup(self.service.wait)
        self.addCleanup(self.service.terminate)
        self.script("who", "#!/bin/sh\nprintf '20 text/plain\\r\\n'\nid -un\n")

    def test_scripts_have_the_account_of_the_launcher(self):
        self.server.start()
        self.assertEqual(self.server.get("/cgi/who").body, b"daemon\n")
        self.assertEqual(self.launchers(), [], "the master needs none of its own")

    def test_it_serves_one_generation_after_the_other(self):
        self.server.start()
        for _ in range(2):
            self.assertEqual(self.ctl("reload").returncode, 0)
            self.assertEqual(self.server.get("/cgi/who").body, b"daemon\n")
        self.assertEqual(self.server.stop(), [])
        self.assertIsNone(self.service.poll())
        self.server.start()
        self.assertEqual(self.server.get("/cgi/who").body, b"daemon\n")

    def test_scripts_are_listed_and_end_with_the_server(self):
        self.server.start()
        session = os.getsid(self.asked_to_sleep())
        self.assertEqual(self.scripts()[0]["account"], self.SCRIPTS_ACCOUNT)
        self.server.kill()
        self.assertTrue(eventually(lambda: not processes(group=session)))


if __name__ == "__main__":
    unittest.main()
