#!/usr/bin/env python3
"""The workers' account and the master who is root: what the account plants, moves and links leads
root nowhere. The programs are those of $EGALAXYD_BIN_DIR."""
import contextlib
import json
import os
import pathlib
import pwd
import shutil
import signal
import socket
import struct
import subprocess
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from capsule import PATIENCE, UPLOAD_SITE, Capsule, Folder, eventually, program  # noqa: E402
from titan_client import Conversation  # noqa: E402

SITES = UPLOAD_SITE + """
[sites.localhost."/"]
module = "directory"
root = "root"
"""
MAGIC = bytes.fromhex("d9d505f920a163d7")
WORKERS = "nobody"  # an account that is there everywhere
FILES = ("egalaxyd.db", "egalaxyd.db-wal", "egalaxyd.db-shm", "egalaxyd.db-journal")
# What a root master may keep: chown, dac_override, kill, setgid, setuid, setpcap, net_bind_service,
# and net_admin on kernels that ask for it.
KEPT = sum(1 << bit for bit in (0, 1, 5, 6, 7, 8, 10, 12))


def hot_journal(database, victim):
    """A journal that SQLite plays back when it opens `database`; then it deletes the file that the
    journal names, if that names no other journal."""
    name = str(victim).encode()
    header = MAGIC + struct.pack(">5I", 0, 7, database.stat().st_size // 4096, 512, 4096)
    return (header.ljust(512, b"\0") + struct.pack(">I", 0x40000) + name
            + struct.pack(">2I", len(name), sum(name)) + MAGIC)


def status_of(pid):
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def capabilities(pid, name):
    return int(status_of(pid)[name], 16)


def descriptors(pid):
    """What its descriptors are, e.g. "/var/log/x"."""
    found = set()
    for link in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            found.add(os.readlink(link))
    return found


def as_account(*command, groups=(), user=WORKERS):
    """The finished command of that account."""
    entry = pwd.getpwnam(user)
    return subprocess.run([str(part) for part in command], user=entry.pw_uid, group=entry.pw_gid,
                          extra_groups=groups, capture_output=True, text=True, check=False)


class Case(unittest.TestCase):
    settings = {}

    def setUp(self):
        self.folder = Folder()
        self.addCleanup(self.folder.remove)
        for name in ("up", "root"):
            self.folder.make(name)
        (self.folder.path / "root/index.gmi").write_text("# Page\n")
        self.server = Capsule(SITES, {"server.user": f'"{WORKERS}"', **self.settings}, self.folder)
        self.addCleanup(self.server.close)
        self.state = self.folder.path / "state"
        self.db = self.state / "db"

    def victim(self):
        file = self.folder.path / "victim"
        file.write_text("precious")
        return file

    def assert_untouched(self, file):
        self.assertEqual(file.read_text(), "precious")
        self.assertEqual(file.stat().st_uid, os.geteuid())

    def assert_serves(self):
        self.assertEqual(self.server.get("/").status, 20)

    def put(self, name="page"):
        answer = self.server.put(f"/up/{name}", b"hello")
        self.assertEqual(answer.status, 30, answer)

    def ctl(self, *words):
        return subprocess.run([program("egalaxyctl"), "--socket", self.folder.path / "run/control.sock",
                               *words], capture_output=True, text=True, check=False)

    def status(self):
        return json.loads(self.ctl("--json", "status").stdout)

    def fails(self, code):
        """What a start says that must end with that code."""
        done = subprocess.run([program("egalaxyd"), "--config", self.server.write_config()],
                              cwd=self.folder.path, capture_output=True, text=True, check=False,
                              timeout=PATIENCE)
        self.assertEqual(done.returncode, code, done.stderr)
        return done.stderr

    def make_old_layout(self):
        """As an older server left it that was killed: the database beside the certificates, its last
        records in the log alone, and all of it the workers'."""
        self.server.start()
        self.put("old")
        self.server.kill()
        self.assertGreater((self.db / "egalaxyd.db-wal").stat().st_size, 0)
        for file in self.db.iterdir():
            file.rename(self.state / file.name)
        self.db.rmdir()
        if os.geteuid() == 0:
            workers = pwd.getpwnam(WORKERS)
            for path in (self.state, *(self.state / name for name in FILES)):
                if path.exists():
                    os.chown(path, workers.pw_uid, workers.pw_gid)

    def assert_old_records(self):
        self.assertEqual([row["path"] for row in self.server.uploads()], ["/up/old"])


@unittest.skipUnless(os.geteuid() == 0, "only root has workers of another account")
class Root(Case):
    def test_a_planted_journal_deletes_nothing(self):
        victim = self.victim()
        self.server.start()
        self.put()
        self.assertEqual(self.server.stop(), [])
        planted = self.db / "egalaxyd.db-journal"
        planted.write_bytes(hot_journal(self.db / "egalaxyd.db", victim))
        shutil.chown(planted, WORKERS, "nogroup")
        self.server.start()
        self.assert_untouched(victim)
        self.assert_serves()

    def test_a_journal_planted_in_an_old_layout_deletes_nothing(self):
        victim = self.victim()
        self.make_old_layout()
        planted = self.state / "egalaxyd.db-journal"
        planted.write_bytes(hot_journal(self.state / "egalaxyd.db", victim))
        shutil.chown(planted, WORKERS, "nogroup")
        self.server.start()
        self.assert_untouched(victim)
        self.assert_serves()

    def test_the_account_changes_nothing_but_the_database(self):
        self.server.start()
        for folder in (self.state, self.folder.path / "run", self.state / "certificates"):
            self.assertEqual(folder.stat().st_uid, 0, folder)
        self.assertEqual(self.db.stat().st_uid, pwd.getpwnam(WORKERS).pw_uid)
        self.put()
        certificate = (self.state / "certificates/localhost.crt").read_bytes()
        for attack in (("mv", self.state / "certificates", self.state / "away"),
                       ("mv", self.state / "certificates", self.db / "away"),
                       ("mv", self.db, self.state / "away"),
                       ("cp", "/dev/null", self.state / "certificates/localhost.crt"),
                       ("ln", "-s", "/etc", self.state / "link"),
                       ("cat", self.state / "certificates/localhost.key"),
                       ("rm", "-f", self.folder.path / "run/control.sock"),
                       ("touch", self.folder.path / "run/file"),
                       ("touch", self.state / "egalaxyd.db")):
            self.assertNotEqual(as_account(*attack).returncode, 0, attack)
        self.assertEqual(self.ctl("reload").returncode, 0)
        self.assertEqual((self.state / "certificates/localhost.crt").read_bytes(), certificate)
        self.assert_serves()

    def test_a_link_in_the_place_of_the_database_leads_nowhere(self):
        elsewhere = self.folder.make("elsewhere")
        (elsewhere / "file").write_text("precious")
        self.state.mkdir()
        self.db.symlink_to(elsewhere)
        self.server.start()
        self.assert_serves()
        self.assertTrue(eventually(lambda: self.status()["storage"]["state"] == "degraded"))
        self.assertTrue(eventually(lambda: "db is no folder" in self.server.log()))
        self.assertEqual([file.name for file in elsewhere.iterdir()], ["file"])
        self.assertEqual(elsewhere.stat().st_uid, 0)
        self.assert_untouched(elsewhere / "file")

    def test_an_old_database_that_is_a_link_is_not_given_away(self):
        for link in (os.symlink, os.link):
            with self.subTest(link.__name__):
                victim = self.victim()
                self.state.mkdir(exist_ok=True)
                link(victim, self.state / "egalaxyd.db")
                os.lchown(self.state, 65534, 65534)
                self.server.start()
                self.assert_serves()
                self.assertIn("move it away", self.server.log_since_start())
                self.assert_untouched(victim)
                self.assertEqual(self.server.stop(), [])
                (self.state / "egalaxyd.db").unlink()

    def test_an_old_layout_is_moved_and_taken(self):
        self.make_old_layout()
        self.server.start()
        self.assert_old_records()
        self.put("new")
        self.assertEqual(self.state.stat().st_uid, 0)
        workers = pwd.getpwnam(WORKERS).pw_uid
        self.assertEqual({file.stat().st_uid for file in self.db.iterdir()}, {workers})
        self.assertFalse(any((self.state / name).exists() for name in FILES))

    def test_a_log_that_was_replaced_by_a_link_is_not_written(self):
        logs = self.folder.make("logs")
        log = logs / "egalaxyd.log"
        self.server.settings["log.target"] = '"logs/egalaxyd.log"'
        for link in (os.symlink, os.link):
            victim = self.victim()
            link(victim, log)
            self.assertIn("the log", self.fails(73))
            self.assert_untouched(victim)
            log.unlink()

    def test_a_lock_that_was_replaced_by_a_link_is_not_written(self):
        for link in (os.symlink, os.link):
            victim = self.victim()
            self.state.mkdir(exist_ok=True)
            link(victim, self.state / "egalaxyd.lock")
            self.fails(73)
            self.assert_untouched(victim)
            (self.state / "egalaxyd.lock").unlink()

    def test_the_master_keeps_what_it_uses_and_workers_nothing(self):
        port = next(p for p in range(700, 1000) if self._is_free(p))
        self.server.start()
        master = self.server._process.pid
        for name in ("CapPrm", "CapEff", "CapBnd"):
            self.assertEqual(capabilities(master, name) & ~KEPT, 0)
        self.assertEqual(capabilities(master, "CapInh"), 0)
        self.assert_confined(WORKERS)
        # A reload that binds a port below 1024, respawns, restarts, memory, a stop in haste.
        self.server.settings["listen.titan"] = f'["127.0.0.1:{port}"]'
        self.server.write_config()
        reloaded = self.ctl("reload")
        self.assertEqual(reloaded.returncode, 0, reloaded.stderr)
        killed = eventually(self.ready_workers)[0]
        os.kill(killed, signal.SIGKILL)
        self.assertTrue(eventually(lambda: killed not in (self.ready_workers() or [killed])))
        self.assertEqual(self.ctl("worker", "restart", "all").returncode, 0)
        self.assert_confined(WORKERS)
        self.assertTrue(eventually(lambda: all(
            worker.get("pss_kib", 0) > 0
            for worker in json.loads(self.ctl("--json", "stats").stdout)["workers"])))
        with Conversation(self.server.port) as talk:
            talk.say(b"gemini://localhost/")  # no line end: the workers wait for it
            self.server.signal(signal.SIGTERM)
            self.assertTrue(eventually(lambda: "SIGTERM: stopping" in self.server.log()))
            self.server.signal(signal.SIGTERM)
            self.assertTrue(eventually(lambda: not self.server.running(), 60))

    @staticmethod
    def _is_free(port):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                return False
        return True

    def ready_workers(self):
        """The processes of both, when both are ready and no others are there."""
        workers = self.status()["workers"]
        ready = [worker["pid"] for worker in workers if worker["state"] == "ready"]
        return ready if len(ready) == len(workers) == 2 else None

    def assert_confined(self, user):
        uid = str(pwd.getpwnam(user).pw_uid)
        for worker in eventually(self.ready_workers):
            status = status_of(worker)
            self.assertEqual(set(status["Uid"].split()), {uid})
            self.assertEqual(status["NoNewPrivs"], "1")
            for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
                self.assertEqual(int(status[name], 16), 0, name)

    def test_workers_that_stay_root_have_no_capability(self):
        self.server.settings["server.user"] = '"root"'
        self.server.settings["server.sandbox"] = '"off"'
        self.server.start()
        self.assert_confined("root")
        self.assertIn("workers run as root", self.server.log())
        self.put()

    def test_a_root_out_of_the_workers_reach_is_told_of(self):
        shut = self.folder.make("shut")
        (self.folder.path / "root").rename(shut / "root")
        shut.chmod(0o700)
        self.server.sites = SITES.replace('"root"', '"shut/root"')
        self.server.start()
        self.assertTrue(eventually(lambda: "shut/root is out of the workers' reach" in self.server.log()))

    def test_the_database_follows_the_account(self):
        for user in (WORKERS, "daemon", "root"):
            self.server.settings["server.user"] = f'"{user}"'
            self.server.start()
            self.put(user)
            self.assertEqual(self.db.stat().st_uid, pwd.getpwnam(user).pw_uid)
            self.assertEqual(self.server.stop(), [])


# In a view of the files of its own, in which the machine knows no other accounts.
ELSEWHERE = """
mount --bind "$1/passwd" /etc/passwd
mount --bind "$1/nsswitch.conf" /etc/nsswitch.conf
shift
exec "$@"
"""


@unittest.skipUnless(os.geteuid() == 0 and shutil.which("unshare"), "needs root and unshare")
class NoAccount(Case):
    def start_where(self, *accounts):
        """The server, in a machine that has root and these accounts."""
        known = pathlib.Path("/etc/passwd").read_text().splitlines()
        (self.folder.path / "passwd").write_text("".join(
            line + "\n" for line in known if line.split(":")[0] in ("root", *accounts)))
        (self.folder.path / "nsswitch.conf").write_text("passwd: files\ngroup: files\n")
        del self.server.settings["server.user"]
        said = self.folder.path / "err"
        with open(said, "ab") as err:
            started = subprocess.Popen(
                ["unshare", "--mount", "--propagation", "private", "sh", "-ec", ELSEWHERE, "sh",
                 self.folder.path, program("egalaxyd"), "--config", self.server.write_config()],
                cwd=self.folder.path, stdout=subprocess.DEVNULL, stderr=err, start_new_session=True)
        self.addCleanup(started.wait)
        self.addCleanup(lambda: started.poll() is None and os.killpg(started.pid, signal.SIGKILL))
        eventually(lambda: started.poll() is not None or "ready: generation" in said.read_text())
        return started, said.read_text()

    def test_workers_become_nobody_and_that_is_said(self):
        server, said = self.start_where("nobody")
        self.assertIsNone(server.poll(), said)
        self.assertIn('there is no account "egalaxyd": workers run as nobody', said)
        run = self.folder.path / "run"
        # Other programs have that group too: it may not command the server.
        for path in (run, run / "control.sock"):
            self.assertEqual((path.stat().st_uid, path.stat().st_gid), (0, os.getegid()), path)

    def test_without_any_the_server_refuses(self):
        server, said = self.start_where()
        self.assertEqual(server.poll(), 77, said)
        self.assertIn('say server.user = "root"', said)


@unittest.skipUnless(os.geteuid() == 0, "only root reopens a log for another account")
class Rotation(Case):
    settings = {"log.target": '"logs/egalaxyd.log"'}

    def test_a_link_planted_during_a_rotation_is_not_written(self):
        logs = self.folder.make("logs")
        log = logs / "egalaxyd.log"
        victim = self.victim()
        # Capsule reads what is on stderr: the log is followed by hand.
        server = subprocess.Popen([program("egalaxyd"), "--config", self.server.write_config()],
                                  cwd=self.folder.path, stdout=subprocess.PIPE, text=True)
        self.addCleanup(server.wait)
        self.addCleanup(server.terminate)
        self.assertIn("Serving", server.stdout.readline())
        for link in (os.symlink, os.link):
            log.rename(logs / "old")
            link(victim, log)
            server.send_signal(signal.SIGUSR1)
            self.assertTrue(eventually(lambda: "the old log stays in use" in (logs / "old").read_text()))
            self.assert_untouched(victim)
            log.unlink()
            (logs / "old").rename(log)
            log.write_text("")
        log.rename(logs / "old")
        server.send_signal(signal.SIGUSR1)
        self.assertTrue(eventually(lambda: log.exists() and "reopened" in log.read_text()))
        self.assertEqual(log.stat().st_uid, 0)
        server.stdout.close()


class Layout(Case):
    """For every user: the account is the master's own there, where it is not root."""

    def test_an_ordinary_start(self):
        self.server.start()
        self.put()
        self.assertEqual(self.db.stat().st_mode & 0o7777, 0o700)
        self.assertTrue((self.db / "egalaxyd.db").exists())
        self.assertEqual(self.server.stop(), [])
        self.server.start()
        self.assertEqual(len(self.server.uploads()), 1)

    def test_an_old_layout_is_moved(self):
        self.make_old_layout()
        self.server.start()
        self.assert_old_records()
        self.assertIn("the database was moved to", self.server.log())

    @unittest.skipUnless(shutil.which("strace"), "strace is not installed")
    def test_a_move_that_is_killed_at_any_step_is_ended_by_the_next_start(self):
        self.make_old_layout()
        saved = self.folder.path / "saved"
        shutil.copytree(self.state, saved)
        owner = self.state.stat()
        for step in range(1, 10):
            died = self.start_and_die_at(step)
            self.server.start()
            self.assert_old_records()
            self.server.kill()
            if not died:
                break
            shutil.rmtree(self.state)
            shutil.copytree(saved, self.state)
            for path in (self.state, *self.state.glob("egalaxyd.db*")):
                os.chown(path, owner.st_uid, owner.st_gid)
        self.assertGreater(step, 2, "steps of the move")

    def start_and_die_at(self, step):
        """Whether the start got as far as that renameat(2), which kills it."""
        said = self.folder.path / "traced"
        with open(said, "wb") as err:
            traced = subprocess.Popen(
                ["strace", "-o", "/dev/null", "-e", "trace=renameat", "-e",
                 f"inject=renameat:signal=SIGKILL:when={step}", program("egalaxyd"), "--config",
                 self.server.write_config()], cwd=self.folder.path, stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=err, start_new_session=True)
        eventually(lambda: traced.poll() is not None or b"ready: generation" in said.read_bytes())
        code = traced.poll()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(traced.pid, signal.SIGKILL)
        traced.wait()
        if code not in (None, -signal.SIGKILL):
            self.skipTest("strace may not inject here: " + said.read_text(errors="replace"))
        return code is not None


if __name__ == "__main__":
    unittest.main(verbosity=2)
