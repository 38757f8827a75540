#!/usr/bin/env python3
"""The tools for hosts that share a database: certificates, copies from a single host and back, files
beside records, the fleet."""
import json
import os
import re
import sqlite3
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
import postgres
from capsule import Capsule, Folder, eventually, make_certificate, program

SITES = """
[sites.localhost]
root = "root"
[sites.localhost.upload]
anyone = true
delete = true
"""
SHA256 = re.compile(r"[0-9a-f]{64}")


@unittest.skipUnless(postgres.programs(), "there is no PostgreSQL here")
class SeveralHosts(unittest.TestCase):
    def setUp(self):
        self.postgres = postgres.Postgres()
        self.addCleanup(self.postgres.close)
        self.files = Folder()
        self.addCleanup(self.files.remove)

    def host(self, name, engine="postgresql", automatic=False):
        folder = Folder()
        self.addCleanup(folder.remove)
        (folder.make("root") / "index.gmi").write_text("hello\n")
        made = Capsule(SITES, {"server.workers": "1"}, folder)
        if not automatic:
            pair = make_certificate(folder.path, "localhost")
            made.settings.update({"tls.certificate": f'"{pair[0]}"', "tls.key": f'"{pair[1]}"'})
        self.use(made, engine, name)
        self.addCleanup(made.close)
        return made

    def use(self, capsule, engine, name):
        capsule.settings["storage.engine"] = f'"{engine}"'
        for key in ("storage.url", "storage.host"):
            capsule.settings.pop(key, None)
        if engine == "postgresql":
            capsule.settings.update({"storage.url": f'"{self.postgres.socket_url()}"',
                                     "storage.host": f'"{name}"'})

    def ctl(self, capsule, *words, code=0):
        done = subprocess.run([program("egalaxyctl"), *words], capture_output=True, text=True,
                              check=False, cwd=capsule.folder.path)
        self.assertEqual(done.returncode, code, f"{done.stdout}{done.stderr}")
        return done

    def tool(self, capsule, *words, code=0):
        return self.ctl(capsule, *words, "--config", str(capsule.write_config()), code=code)

    def certificate(self, capsule):
        return capsule.folder.path / "state/certificates/localhost.crt"

    def test_all_hosts_get_one_certificate(self):
        one, two = self.host("h1", automatic=True), self.host("h2", automatic=True)
        checked = subprocess.run([program("egalaxyd"), "--check", "--config", one.write_config()],
                                 capture_output=True, text=True, check=False)
        self.assertEqual(checked.returncode, 78)
        self.assertIn("egalaxyctl certificate sync", checked.stdout + checked.stderr)
        first = self.tool(one, "certificate", "sync").stdout
        self.assertIn("localhost: written", first)
        second = self.tool(two, "certificate", "sync").stdout
        self.assertEqual(SHA256.findall(first), SHA256.findall(second))
        self.assertEqual(self.certificate(one).read_bytes(), self.certificate(two).read_bytes())
        self.assertIn("localhost: same", self.tool(two, "certificate", "sync").stdout)
        two.start()

        self.postgres.stop()
        two.sites += '[sites."new.example"]\nroot = "root"\n'
        two.write_config()
        reloaded = self.ctl(two, "--socket", str(two.folder.path / "run/control.sock"), "reload", code=1)
        self.assertIn("egalaxyctl certificate sync", reloaded.stdout + reloaded.stderr)
        self.assertEqual(two.get("/").body, b"hello\n", "with the certificate that it has")
        away = self.tool(one, "certificate", "sync").stderr
        self.assertIn("stay as they are", away)
        self.tool(self.host("h3", automatic=True), "certificate", "sync", code=75)

    def test_a_host_with_another_certificate_keeps_it_and_is_told_of(self):
        one, two = self.host("h1", automatic=True), self.host("h2", "sqlite", automatic=True)
        self.tool(one, "certificate", "sync")
        two.start()
        self.assertEqual(two.stop(), [])
        own = self.certificate(two).read_bytes()
        self.assertEqual(self.tool(two, "certificate", "sync").stdout, "")
        self.use(two, "postgresql", "h2")
        told = self.tool(two, "certificate", "sync", code=78).stderr
        self.assertEqual(len(set(SHA256.findall(told))), 2, told)
        self.assertEqual(self.certificate(two).read_bytes(), own)

    def test_a_single_host_moves_into_the_database_and_back(self):
        host = self.host("h1", "sqlite").start()
        for name in ("one", "two", "three"):
            self.assertEqual(host.put(f"/{name}.gmi", name.encode(), ";mime=text/gemini").status, 30)
        self.assertEqual(host.put("/two.gmi", b"two again", ";mime=text/gemini").status, 30)
        state = host.folder.path / "state"
        source = f"sqlite:{state}/db/egalaxyd.db"
        self.use(host, "postgresql", "h1")
        running = self.tool(host, "storage", "copy", "--from", source, code=73).stderr
        self.assertIn("stop it first", running)
        self.assertEqual(host.stop(), [])
        (host.folder.path / "root/three.gmi").write_text("by hand")

        copied = self.tool(host, "storage", "copy", "--from", source)
        self.assertIn("4 upload records, 1 versions", copied.stdout)
        self.assertIn("localhost/three.gmi: another file", copied.stderr)
        host.start()
        fleet = lambda: json.loads(self.ctl(host, "--socket", str(host.folder.path / "run/control.sock"),
                                            "fleet", "--json").stdout)["hosts"]
        self.assertTrue(eventually(lambda: [row["name"] for row in fleet()] == ["h1"]), host.log())
        self.assertEqual(fleet()[0]["state"], "up")
        self.assertEqual(host.get("/two.gmi").body, b"two again")
        self.assertEqual(host.stop(), [])

        back = self.tool(host, "storage", "copy", "--to", f"sqlite:{state}/db/back.db")
        self.assertIn("4 upload records, 1 versions", back.stdout)
        self.tool(host, "storage", "copy", "--to", f"sqlite:{state}/db/back.db", code=73)
        rows = {}
        for name in ("egalaxyd", "back"):
            with sqlite3.connect(f"file:{state}/db/{name}.db?mode=ro", uri=True) as database:
                rows[name] = database.execute(
                    "SELECT id, time, path, sha256, outcome FROM uploads ORDER BY id").fetchall()
        self.assertEqual(rows["back"], rows["egalaxyd"])

    def test_files_that_were_changed_by_hand_are_found_and_stored(self):
        host = self.host("h1").start()
        self.assertEqual(host.put("/one.gmi", b"one", ";mime=text/gemini").status, 30, host.log())
        self.assertEqual(host.stop(), [])
        self.assertIn("1 files as the database", self.tool(host, "content", "verify").stdout)
        (host.folder.path / "root/one.gmi").write_text("another")
        differs = self.tool(host, "content", "verify", code=1).stdout
        self.assertIn("localhost/one.gmi ", differs)
        self.tool(host, "content", "import", str(host.folder.path / "root"))
        self.tool(host, "content", "verify")

    def test_lines_that_make_no_sense_are_refused(self):
        host = self.host("h1")
        for words in ([], ["--from", "/x"], ["--to", "sqlite:/x", "--merge"],
                      ["--from", "sqlite:/x", "--to", "sqlite:/y"]):
            self.tool(host, "storage", "copy", *words, code=64)
        self.use(host, "sqlite", "")
        told = self.tool(host, "storage", "copy", "--from", "sqlite:/x", code=65).stderr
        self.assertIn('storage.engine is "sqlite"', told)


if __name__ == "__main__":
    unittest.main()
