#!/usr/bin/env python3
"""[storage] engine = "postgresql": two servers over one database, which goes away and comes back."""
import json
import os
import signal
import subprocess
import sys
import threading
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
import postgres
from capsule import Capsule, Folder, eventually, fingerprint, make_certificate, program
from spartan_client import fetch

SITES = """
[sites.localhost."/"]
module = "directory"
root = "root"
[sites.localhost."/name"]
module = "input"
as_meta = true
key = "name"
"""
ELSEWHERE = """
[sites.localhost."/list"]
module = "directory"
root = "root/list"
listing = true
[sites.localhost."/old"]
module = "redirect"
to = "/"
[sites.localhost."/members"]
module = "authenticated"
[sites.localhost."/members".sites."/"]
module = "directory"
root = "root"
"""


def pages(folder):
    root = folder.make("root")
    (root / "index.gmi").write_text("hello\n")
    return folder


@unittest.skipUnless(postgres.programs(), "there is no PostgreSQL here")
class SharedDatabase(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.postgres = postgres.Postgres()
        cls.files = Folder()
        cls.served = make_certificate(cls.files.path, "localhost")  # all hosts have the same
        cls.ann = make_certificate(cls.files.path, "ann")

    @classmethod
    def tearDownClass(cls):
        cls.files.remove()
        cls.postgres.close()

    def setUp(self):
        self.addCleanup(self.postgres.start_anew)

    def capsule(self, host="one", **settings):
        folder = pages(Folder())
        self.addCleanup(folder.remove)
        made = Capsule(SITES, {
            "server.workers": "1", "listen.spartan": '["127.0.0.1:0"]',
            "tls.certificate": f'"{self.served[0]}"', "tls.key": f'"{self.served[1]}"',
            "storage.engine": '"postgresql"', "storage.url": f'"{self.postgres.socket_url()}"',
            "storage.host": f'"{host}"',
            **{key.replace("__", "."): value for key, value in settings.items()}}, folder)
        self.addCleanup(made.close)
        return made

    def ctl(self, capsule, *words):
        return subprocess.run([program("egalaxyctl"), "--socket",
                               capsule.folder.path / "run/control.sock", *words],
                              capture_output=True, text=True, check=False)

    def storage(self, capsule):
        return json.loads(self.ctl(capsule, "status", "--json").stdout)["storage"]

    def await_state(self, capsule, state):
        self.assertTrue(eventually(lambda: self.storage(capsule)["state"] == state),
                        f"{self.storage(capsule)}\n{capsule.log()}")

    def has_page(self, capsule):
        answer = fetch(f"spartan://localhost:{capsule.spartan_port}/")
        return answer[0] == 2 and answer[2] == b"hello\n"

    def keep(self, capsule, name):
        return capsule.get(f"/name?{name}", certificate=self.ann, timeout=60)

    def begin_to_keep(self, capsule, name):
        """An upload of metadata that the database does not answer yet: (thread, its answer)."""
        answers = []
        thread = threading.Thread(target=lambda: answers.append(self.keep(capsule, name)))
        thread.start()
        self.addCleanup(thread.join)
        self.assertTrue(eventually(lambda: self.storage(capsule)["waiting"] > 0), capsule.log())
        return thread, answers

    def names(self):
        return self.postgres.sql("SELECT convert_from(value, 'UTF8') FROM egalaxyd.metadata").split()

    def check(self, capsule):
        return subprocess.run([program("egalaxyd"), "--config", capsule.write_config(), "--check"],
                              capture_output=True, text=True, check=False)

    def test_two_hosts_keep_one_users_metadata(self):
        one, two = self.capsule("one").start(), self.capsule("two").start()
        self.assertEqual(self.keep(one, "Ann").status, 20, one.log())
        self.assertEqual(self.keep(two, "Anna").status, 20, two.log())
        self.assertEqual(self.names(), ["Anna"])
        self.await_state(one, "ok")
        self.assertEqual(self.storage(one)["lanes"], 2)
        self.assertIn(fingerprint(self.ann)[:8], self.ctl(one, "users").stdout)
        backup = self.ctl(one, "backup", one.folder.path / "backup")
        self.assertNotEqual(backup.returncode, 0)
        self.assertIn("pg_basebackup", backup.stderr)

    def test_what_needs_the_database_waits_for_it_and_pages_do_not(self):
        capsule = self.capsule().start()
        self.assertEqual(self.keep(capsule, "before").status, 20, capsule.log())
        self.postgres.stop()
        thread, answers = self.begin_to_keep(capsule, "meanwhile")
        self.assertTrue(self.has_page(capsule))
        self.await_state(capsule, "away")
        self.assertEqual(answers, [])
        self.postgres.start()
        thread.join()
        self.assertEqual(answers[0].status, 20, capsule.log())
        self.assertEqual(self.names(), ["meanwhile"])
        self.await_state(capsule, "ok")
        self.assertGreater(self.storage(capsule)["last_gap"]["seconds"], 0)

    def test_all_else_goes_on_while_the_database_is_away(self):
        capsule = self.capsule()
        (capsule.folder.make("root/list") / "one.gmi").write_text("one\n")
        capsule.sites += ELSEWHERE
        capsule.start()
        self.assertEqual(self.keep(capsule, "before").status, 20, capsule.log())
        before = self.visits(capsule)
        self.postgres.stop()
        self.assertEqual(capsule.get("/list/").status, 20)
        self.assertIn(capsule.get("/old").status, (30, 31))
        self.assertEqual(capsule.get("/members/").status, 60)
        self.await_state(capsule, "away")
        for words in (["users"], ["uploads"], ["fleet"], ["users", "show", fingerprint(self.ann)[:8]]):
            asked = self.ctl(capsule, *words)
            self.assertNotEqual(asked.returncode, 0, words)
            self.assertIn("the database is away: ", asked.stderr, words)
        for words in (["status"], ["stats"], ["limits"], ["reload"], ["check"]):
            self.assertEqual(self.ctl(capsule, *words).returncode, 0, words)
        self.assertTrue(self.has_page(capsule), "after the reload")
        for _ in range(3):
            self.assertEqual(capsule.get("/members/", certificate=self.ann).body, b"hello\n")
        self.postgres.start()
        self.await_state(capsule, "ok")
        self.assertTrue(eventually(lambda: self.visits(capsule) >= before + 3), "visits are kept, and counted then")

    def visits(self, capsule):
        return sum(user["visits"] for user in json.loads(self.ctl(capsule, "users", "--json").stdout)["users"])

    def test_patience_ends(self):
        capsule = self.capsule(storage__patience='"1s"').start()
        self.assertEqual(self.keep(capsule, "before").status, 20, capsule.log())
        self.postgres.stop()
        self.assertEqual(self.keep(capsule, "meanwhile").status, 40)
        self.assertTrue(self.has_page(capsule))

    def test_a_stop_does_not_wait_for_the_database(self):
        capsule = self.capsule(server__drain_timeout='"1s"').start()
        self.assertEqual(self.keep(capsule, "before").status, 20, capsule.log())
        self.postgres.stop()
        _, answers = self.begin_to_keep(capsule, "meanwhile")
        capsule.signal(signal.SIGTERM)
        self.assertTrue(eventually(lambda: not capsule.running()), capsule.log())
        self.assertTrue(eventually(lambda: answers))
        self.assertNotEqual(answers[0].status, 20)

    def test_starts_without_the_database_and_uses_it_once_it_is_there(self):
        self.postgres.sql("DROP SCHEMA IF EXISTS egalaxyd CASCADE")
        self.postgres.stop()
        capsule = self.capsule().start()
        self.assertTrue(self.has_page(capsule))
        self.await_state(capsule, "away")
        self.postgres.start()
        self.await_state(capsule, "ok")
        self.assertEqual(self.keep(capsule, "later").status, 20, capsule.log())
        self.assertEqual(self.names(), ["later"])

    def test_a_port_and_a_password_do_as_well(self):
        secret = self.files.path / "secret"
        secret.write_text("secret\n")
        secret.chmod(0o600)
        settings = {"storage__url": f'"{self.postgres.tcp_url()}"',
                    "storage__password": f'"{secret}"'}
        capsule = self.capsule(**settings).start()
        self.assertEqual(self.keep(capsule, "port").status, 20, capsule.log())
        self.assertEqual(self.names(), ["port"])
        secret.write_text("guess\n")
        self.assertIn("cannot be used now", self.check(self.capsule(**settings)).stderr)
        other = self.capsule("two", **settings).start()
        self.assertTrue(self.has_page(other))
        self.await_state(other, "away")
        self.assertIn("password", self.storage(other)["error"])
        secret.chmod(0o640)
        self.assertEqual(self.check(self.capsule(**settings)).returncode, 78)

    def test_a_check_tells_what_an_operator_may_not_have_meant(self):
        checked = self.check(self.capsule())
        self.assertEqual(checked.returncode, 0, checked.stderr)
        self.assertIn("on one machine only", checked.stderr)
        self.postgres.stop()
        checked = self.check(self.capsule())
        self.assertEqual(checked.returncode, 0, checked.stderr)
        self.assertIn("starts without it", checked.stderr)
        for url in ("postgresql://egalaxyd:hunter2@db/egalaxyd", "postgresql://db,db/egalaxyd",
                    "postgresql://db/egalaxyd?target_session_attrs=any", "mysql://db/egalaxyd"):
            checked = self.check(self.capsule(storage__url=f'"{url}"'))
            self.assertEqual(checked.returncode, 78, url)
            self.assertIn("storage.url", checked.stderr)
            self.assertNotIn("hunter2", checked.stderr)


if __name__ == "__main__":
    unittest.main()
