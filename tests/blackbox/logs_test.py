#!/usr/bin/env python3
"""Where log lines go: access_target, the sites' own logs, rotation, full disks; what fail2ban reads.
The programs are those of $EGALAXYD_BIN_DIR."""
import configparser
import contextlib
import json
import os
import pathlib
import re
import signal
import socket
import ssl
import subprocess
import sys
import unittest
import urllib.parse

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "support"))
from capsule import PATIENCE, Capsule, Folder, eventually, program, small_disk  # noqa: E402

FAIL2BAN = HERE.parents[1] / "examples/fail2ban"
SITES = """
[sites."localhost"]
root = "root"
[sites."own.test"]
aliases = ["*.own.test"]
root = "root"
log = "own.log"
[sites."shared.test"]
root = "root"
log = "own.log"
"""


def say(port, line, host="localhost", source="127.0.0.1"):
    """The status that answers the line, sent from that address; an OSError where nobody does."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", port), PATIENCE, (source, 0)) as raw:
        with context.wrap_socket(raw, server_hostname=host) as client:
            client.sendall(line.encode() + b"\r\n")
            return int(client.recv(64)[:2])


class Case(unittest.TestCase):
    settings = {"log.access_target": '"access.log"'}
    sites = SITES

    def setUp(self):
        self.folder = Folder()
        self.addCleanup(self.folder.remove)
        self.path = self.folder.path
        self.folder.make("root")
        (self.path / "root/index.gmi").write_text("# Page\n")
        self.server = Capsule(self.sites, self.settings, self.folder)
        self.addCleanup(self.server.close)

    def ask(self, path, host="localhost"):
        return say(self.server.port, f"gemini://{host}:{self.server.port}{path}", host)

    def read(self, name):
        file = self.path / name
        return file.read_text() if file.exists() else ""

    def wait_for(self, text, name, times=1):
        self.assertTrue(eventually(lambda: self.read(name).count(text) >= times),
                        f"{text} is not in {name}:\n{self.read(name)}\n{self.server.log()}")
        self.assertEqual(self.read(name).count(text), times)

    def check(self, *options):
        done = subprocess.run([program("egalaxyd"), "--check", "--config", self.server.write_config(),
                               *options], cwd=self.path, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=PATIENCE, check=False)
        return done.returncode, done.stdout


class Places(Case):
    def test_lines_of_requests_go_where_they_belong(self):
        self.server.start()
        self.assertEqual(self.ask("/usual"), 51)
        self.assertEqual(self.ask("/own", "own.test"), 51)
        self.assertEqual(self.ask("/alias", "www.own.test"), 51)
        self.assertEqual(self.ask("/shared", "shared.test"), 51)
        self.assertEqual(self.ask("/stranger", "elsewhere.test"), 53)
        for path in ("/own", "/alias", "/shared"):
            self.wait_for(path + '"', "own.log")
        for path in ("/usual", "/stranger"):
            self.wait_for(path + '"', "access.log")
        self.assertEqual(self.read("access.log").count("\n"), 2)
        self.assertEqual(self.read("own.log").count("\n"), 3)
        self.assertNotIn("gemini 5", self.server.log())
        self.assertIn("ready: generation", self.server.log())

    @unittest.skipUnless(os.geteuid() == 0, "only root sees the descriptors of the server's processes")
    def test_a_worker_opens_each_file_once(self):
        self.server.start()
        for pid in self.server.workers():
            opened = []
            for entry in pathlib.Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(OSError):  # closed meanwhile
                    opened.append(os.readlink(entry))
            logs = sorted(pathlib.Path(name).name for name in opened if name.endswith(".log"))
            self.assertEqual(logs, ["access.log", "own.log"])

    def test_all_are_opened_anew_after_a_rotation(self):
        self.server.start()
        for turn in range(2):
            for name in ("access.log", "own.log"):
                (self.path / name).touch()
                (self.path / name).rename(self.path / f"{name}.{turn}")
            self.server.signal(signal.SIGUSR1)
            self.assertTrue(eventually(
                lambda: self.server.log().count("logs were reopened") == turn + 1))
            # Of two workers either may answer, and each may be a moment behind the master.
            def arrives(host, name):
                self.ask(f"/turn-{turn}", host)
                return f"/turn-{turn}" in self.read(name)
            self.assertTrue(eventually(lambda: arrives("localhost", "access.log")))
            self.assertTrue(eventually(lambda: arrives("own.test", "own.log")))

    def test_one_that_cannot_be_reopened_keeps_no_other_back(self):
        self.server.start()
        for name in ("access.log", "own.log"):
            (self.path / name).rename(self.path / (name + ".1"))
        (self.path / "access.log").mkdir()
        self.server.signal(signal.SIGUSR1)
        self.assertTrue(eventually(lambda: "logs were reopened" in self.server.log()))
        self.assertIn("the old log stays in use", self.server.log())
        self.assertTrue(eventually(lambda: self.ask("/next", "own.test") and self.read("own.log")))
        self.ask("/kept")
        self.wait_for("/kept", "access.log.1")

    def test_are_there_after_a_reload_and_a_killed_worker(self):
        self.server.start()
        self.server.sites = SITES.replace("own.log", "later.log", 1)
        self.server.write_config()
        self.server.signal(signal.SIGHUP)
        self.assertTrue(eventually(lambda: "ready: generation 2" in self.server.log()))
        for pid in self.server.workers():
            with contextlib.suppress(ProcessLookupError):  # an old one that has just left
                os.kill(pid, signal.SIGKILL)
        def asked(host):
            with contextlib.suppress(OSError, ValueError):  # one that was killed had accepted it
                return self.ask("/again", host) == 51
            return False
        for host in ("own.test", "shared.test"):
            self.assertTrue(eventually(lambda host=host: asked(host)))
        self.wait_for("own.test", "later.log")
        self.wait_for("shared.test", "own.log")

    def test_no_site_serves_one(self):
        self.server.sites = SITES.replace('"own.log"', '"root/own.log"')
        self.server.settings["log.access_target"] = '"root/access.log"'
        self.server.start()
        self.ask("/", "own.test")
        self.wait_for("own.test", "root/own.log")
        for name in ("own.log", "access.log", "own.log.1"):
            (self.path / "root" / name).touch()
            self.assertEqual(self.ask("/" + name), 51, name)

    def test_one_that_cannot_be_made_is_told_by_its_key_and_no_reload_takes_it(self):
        self.server.start()
        self.server.sites = SITES.replace("own.log", "no/such/own.log")
        code, said = self.check()
        self.assertEqual(code, 78, said)
        self.assertRegex(said, r'egalaxyd\.toml:\d+: sites\."own\.test"\.log: .*own\.log')
        self.server.signal(signal.SIGHUP)
        self.assertTrue(eventually(lambda: "reload failed" in self.server.log()))
        self.assertEqual(self.ask("/still", "own.test"), 51)
        self.wait_for("/still", "own.log")

    @unittest.skipUnless(os.geteuid() == 0, "only root looks with the eyes of another account")
    def test_a_check_looks_with_the_eyes_of_the_account(self):
        for name in ("access.log", "own.log"):
            (self.path / name).touch(mode=0o600)
        code, said = self.check("--as", "nobody")
        self.assertEqual(code, 0, said)
        for key in ("log.access_target", 'sites."own.test".log'):
            self.assertRegex(said, re.escape(key) + r": \S+: the account that serves may not write it")

    def test_a_full_disk_costs_its_lines_alone(self):
        small_disk(self, self.folder.make("small"))
        self.server.sites = SITES.replace("own.log", "small/own.log")
        self.server.start()
        self.addCleanup(self.server.stop)  # before the disk goes
        fill = self.path / "small/fill"
        with open(fill, "wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"x" * 4096)
            except OSError:
                pass
        long = "/" + "x" * 900  # a page of the disk may have room for some lines
        for _ in range(20):
            self.assertEqual(self.ask(long, "own.test"), 51)
        self.assertEqual(self.ask("/usual"), 51)
        self.wait_for("/usual", "access.log")
        fill.unlink()
        self.assertTrue(eventually(lambda: self.ask("/room", "own.test") == 51
                                   and "log lines were dropped" in self.read("small/own.log")))


class Denied(Case):
    settings = {"listen.deny": '["192.0.2.0/24", "127.0.0.0/8"]'}

    def stats(self):
        done = subprocess.run([program("egalaxyctl"), "--socket", self.path / "run/control.sock", "stats",
                               "--format", "json"], capture_output=True, text=True, check=True,
                              timeout=PATIENCE)
        return json.loads(done.stdout)

    def test_networks_are_not_heard_and_are_counted(self):
        self.server.start()
        with self.assertRaises(OSError):
            self.ask("/")
        self.assertTrue(eventually(lambda: '"connections_denied": 1' in json.dumps(self.stats())))
        self.assertNotIn("127.0.0.0", self.server.log())


class Fail2ban(Case):
    settings = {"log.access_target": '"access.log"', "log.format": '"combined"',
                "log.client_ip": '"full"'}

    def setUp(self):
        super().setUp()
        parser = configparser.RawConfigParser()
        parser.read(FAIL2BAN / "filter.d/egalaxyd.conf")
        self.filter = parser["Definition"]

    def offenders(self):
        """The addresses of which fail2ban would say that they failed, once for each line: it cuts
        the date out, then looks for the expression."""
        date = re.compile(self.filter["datepattern"].replace("{DATE}", r"[^\]]+"))
        fails = re.compile(self.filter["failregex"].replace("<ADDR>", "(?P<addr>[0-9a-fA-F:.]+)"))
        found = []
        for line in self.read("access.log").splitlines():
            match = date.search(line)
            self.assertTrue(match, line)
            rest = line[:match.start(1)] + line[match.end(1):]
            if failed := fails.search(rest):
                found.append(failed["addr"])
        return found

    def test_the_filter_finds_those_who_misbehave_and_nobody_else(self):
        self.server.start()
        url = f"gemini://localhost:{self.server.port}/"
        forged = '192.0.2.9 - - [22/Nov/2025:19:06:01 +0000] "x" 59 1 "-" "-"'
        asked = [("127.0.0.2", "GET / HTTP/1.0", 59), ("127.0.0.3", "gemini://elsewhere.test/", 53),
                 ("127.0.0.4", url, 20), ("127.0.0.5", url + "missing", 51),
                 ("127.0.0.6", url + urllib.parse.quote(forged), 51),
                 ("127.0.0.7", url + '" 59 1 "-" "-"', None),
                 ("127.0.0.8", forged, 59)]
        for address, line, status in asked:
            answered = say(self.server.port, line, source=address)
            self.assertIn(answered, (51, 59) if status is None else (status,), line)
        self.assertTrue(eventually(lambda: self.read("access.log").count("\n") == len(asked)))
        bad = {"127.0.0.2", "127.0.0.3", "127.0.0.8"}
        offenders = set(self.offenders())
        self.assertLessEqual(bad, offenders)
        self.assertLessEqual(offenders - bad, {"127.0.0.7"})

    def test_the_jail_reads_the_file_that_the_filter_speaks_of(self):
        jail = configparser.RawConfigParser()
        jail.read(FAIL2BAN / "jail.d/egalaxyd.conf")
        self.assertEqual(jail["egalaxyd"]["filter"], "egalaxyd")
        self.assertIn(f'access_target = "{jail["egalaxyd"]["logpath"]}"',
                      (FAIL2BAN / "filter.d/egalaxyd.conf").read_text())


if __name__ == "__main__":
    unittest.main(verbosity=2)
