#!/usr/bin/env python3
"""Bad days of several hosts: each is a sentence that names the mend, wherever an operator looks, while pages
are served on. The sentences are those of the manual's chapter several-hosts."""
import contextlib
import json
import os
import pathlib
import pwd
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
import postgres
from capsule import (Capsule, Folder, eventually, free_port, listens, make_certificate, program,  # noqa: E402
                     small_disk)
from spartan_client import fetch

MANUAL = pathlib.Path(__file__).parents[2] / "examples/capsule/manual/several-hosts.gmi"
SITES = """
[sites.localhost]
root = "root"
[sites.localhost.upload]
anyone = true
"""
POOLER = """
[databases]
egalaxyd = host={host} port={port} dbname=egalaxyd user=egalaxyd
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen}
unix_socket_dir =
auth_type = any
auth_file = {folder}/users
pool_mode = transaction
{more}
"""


@unittest.skipUnless(postgres.programs(), "there is no PostgreSQL here")
class BadDays(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.files = Folder()
        cls.addClassCleanup(cls.files.remove)
        cls.served = make_certificate(cls.files.path, "localhost")
        cls.postgres = postgres.Postgres()
        cls.addClassCleanup(cls.postgres.close)
        cls.password = cls.files.path / "password"
        cls.say_password("secret\n")

    @classmethod
    def say_password(cls, text, mode=0o600):
        cls.password.write_text(text)
        cls.password.chmod(mode)

    def setUp(self):
        self.addCleanup(self.say_password, "secret\n")

    def capsule(self, url, password=None, host="one", patience="1s"):
        folder = Folder()
        self.addCleanup(folder.remove)
        (folder.make("root") / "index.gmi").write_text("hello\n")
        made = Capsule(SITES, {
            "server.workers": "1", "listen.spartan": '["127.0.0.1:0"]',
            "tls.certificate": f'"{self.served[0]}"', "tls.key": f'"{self.served[1]}"',
            "storage.engine": '"postgresql"', "storage.url": f'"{url}"', "storage.host": f'"{host}"',
            "storage.patience": f'"{patience}"',
            **({"storage.password": f'"{password}"'} if password else {})}, folder)
        self.addCleanup(made.close)
        return made

    def socket_url(self, role="egalaxyd", database="egalaxyd"):
        return self.postgres.socket_url().replace("egalaxyd@/egalaxyd", f"{role}@/{database}")

    def tcp_url(self, tls="sslmode=disable", role="egalaxyd"):
        return self.postgres.tcp_url().replace("sslmode=disable", tls).replace("egalaxyd@", f"{role}@")

    def check(self, capsule):
        return subprocess.run([program("egalaxyd"), "--config", capsule.write_config(), "--check"],
                              capture_output=True, text=True, check=False)

    def ctl(self, capsule, *words):
        return subprocess.run([program("egalaxyctl"), "--socket",
                               capsule.folder.path / "run/control.sock", *words],
                              capture_output=True, text=True, check=False)

    def storage(self, capsule):
        return json.loads(self.ctl(capsule, "status", "--json").stdout)["storage"]

    def upload(self, capsule):
        return capsule.put("/x.gmi", b"x", ";mime=text/gemini")

    def assert_stores(self, capsule):
        """storage.patience is short here: a busy machine may need longer than that."""
        self.assertTrue(eventually(lambda: self.upload(capsule).status == 30), capsule.log())

    def ask_until(self, sentence, ask):
        """What a program said when it said that."""
        asked = []

        def says():
            asked.append(ask())
            return sentence in asked[-1].stdout + asked[-1].stderr
        self.assertTrue(eventually(says), asked[-1])
        return asked[-1]

    def tells(self, sentence, url, password=None):
        """The check, the log, the status and the commands that need the database say it; pages are served and a
        client is told to try again."""
        self.assertIn(sentence, MANUAL.read_text(), "the manual has each sentence")
        capsule = self.capsule(url, password)
        # storage.patience is short: on a busy machine an answer may come too late, which is another sentence.
        checked = self.ask_until(sentence, lambda: self.check(capsule))
        self.assertEqual(checked.returncode, 0, checked.stderr)
        self.assertIn("the server starts without it", checked.stderr)
        capsule.start()
        self.assertTrue(eventually(lambda: self.storage(capsule)["state"] == "away"), capsule.log())
        self.assertTrue(eventually(lambda: sentence in self.storage(capsule).get("error", "")),
                        f"{self.storage(capsule)}")
        self.ask_until(sentence, lambda: self.ctl(capsule, "status"))
        for words in (["users"], ["uploads"], ["fleet"]):
            asked = self.ask_until(sentence, lambda words=words: self.ctl(capsule, *words))
            self.assertNotEqual(asked.returncode, 0, words)
        answer = self.upload(capsule)
        self.assertEqual((answer.status, answer.meta), (40, "The upload failed, try again"))
        page = fetch(f"spartan://localhost:{capsule.spartan_port}/")
        self.assertEqual((page[0], page[2]), (2, b"hello\n"))
        for line in ("the database is not available: ", "storage: ", "files do not follow the database: "):
            self.assertTrue(eventually(lambda line=line: any(
                line in each and sentence in each
                for each in capsule.log().replace('\\"', '"').splitlines())), f"{line}:\n{capsule.log()}")
        self.assertEqual(capsule.stop(), [])

    # Who may come in.

    def test_a_wrong_password(self):
        self.say_password("guess\n")
        self.tells("it refuses the password; write that of the role in storage.url into the file of storage.password",
                   self.tcp_url(), self.password)

    def test_no_password(self):
        self.tells("it asks for a password; name the file that has the role's in storage.password", self.tcp_url())

    def test_a_role_that_is_not_there(self):
        self.tells("it does not let this role in; look at the role in storage.url, and at pg_hba.conf there",
                   self.socket_url(role="stranger"))

    def test_a_password_file_that_cannot_be_used(self):
        missing = "write the password of the role in storage.url into it, mode 0600"
        others = "it is another account's: give it to the one that starts egalaxyd, or use sudo where this is egalaxyctl"
        for file, text, mode, owner, sentence in (
                ("/nowhere/password", "", 0o600, None, missing),
                (self.password, "secret\n", 0o644, None, "others may read it or replace it: chmod 0600"),
                (self.password, "secret\n", 0o600, "nobody", others),
                (self.password, "", 0o600, None, "its first line is empty")):
            self.assertIn(sentence, MANUAL.read_text())
            self.say_password(text, mode)
            if owner and os.geteuid() != 0:
                continue
            shutil.chown(self.password, owner or os.geteuid())
            checked = self.check(self.capsule(self.tcp_url(), file))
            self.assertEqual(checked.returncode, 78, checked.stderr)
            self.assertIn(sentence, checked.stderr)
        shutil.chown(self.password, os.geteuid())

    def test_a_database_that_is_not_there(self):
        self.tells("it has no such database; make it: CREATE DATABASE", self.socket_url(database="nothing"))

    def test_no_connection_is_left(self):
        self.postgres.sql("ALTER ROLE egalaxyd CONNECTION LIMIT 0")
        self.addCleanup(self.postgres.sql, "ALTER ROLE egalaxyd CONNECTION LIMIT -1")
        self.tells("it has no connection left; each host takes three for each worker, and one more: raise "
                   "max_connections there, or set server.workers", self.socket_url())

    # The way there.

    def test_nobody_listens(self):
        self.tells("nobody answers; look at host and port in storage.url, and whether PostgreSQL listens there",
                   f"postgresql://egalaxyd@127.0.0.1:{free_port()}/egalaxyd")

    def test_tls_does_not_come_about(self):
        sentence = "no TLS with it; look at sslmode and sslrootcert in storage.url, and at its certificate"
        self.tells(sentence, self.tcp_url("sslmode=require"), self.password)
        certificate, key = make_certificate(self.files.path, "database")
        for file, name in ((certificate, "server.crt"), (key, "server.key")):
            made = self.postgres.folder / "data" / name
            shutil.copy(file, made)
            made.chmod(0o600)
            if os.geteuid() == 0:
                shutil.chown(made, "postgres", "postgres")
        self.postgres.configure("ssl = on")
        self.addCleanup(self.postgres.configure, "ssl = off")
        for root in ("/nowhere/ca.crt", self.served[0]):
            self.tells(sentence, self.tcp_url(f"sslmode=verify-ca&sslrootcert={root}"), self.password)
        good = self.capsule(self.tcp_url(f"sslmode=verify-ca&sslrootcert={certificate}"), self.password).start()
        self.assert_stores(good)

    def pooler(self, more):
        """The url of a PgBouncer."""
        port = free_port()
        folder = self.files.make(f"pooler-{port}")
        (folder / "users").write_text('"egalaxyd" "secret"\n')
        (folder / "ini").write_text(POOLER.format(host=self.postgres.folder, port=self.postgres.port, listen=port,
                                                  folder=folder, more=more))
        # Root may not run it.
        account = {"user": pwd.getpwnam("postgres").pw_uid} if os.geteuid() == 0 else {}
        process = subprocess.Popen(["/usr/sbin/pgbouncer", "-q", folder / "ini"], stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL, **account)
        self.addCleanup(process.wait)
        self.addCleanup(process.terminate)
        self.assertTrue(eventually(lambda: listens(port)))
        return f"postgresql://egalaxyd@127.0.0.1:{port}/egalaxyd"

    @unittest.skipUnless(os.path.exists("/usr/sbin/pgbouncer"), "there is no PgBouncer here")
    def test_a_pooler_is_between(self):
        for more in ("", "ignore_startup_parameters = options"):
            self.tells("a pooler (PgBouncer) is between; let storage.url name PostgreSQL itself, or a proxy that "
                       "only passes on", self.pooler(more))

    def test_a_standby_alone(self):
        self.postgres.become_standby()
        self.addCleanup(self.postgres.become_primary)
        self.tells("it is a standby; let storage.url name each machine that may be the primary", self.socket_url())

    # What is there.

    def test_an_encoding_or_a_collation_that_sorts_otherwise(self):
        for name, encoding, locale in (("latin", "LATIN1", "C"), ("sorted", "UTF8", "C.UTF-8")):
            self.postgres.sql(f"CREATE DATABASE {name} TEMPLATE template0 OWNER egalaxyd ENCODING '{encoding}' "
                              f"LC_COLLATE '{locale}' LC_CTYPE '{locale}'", "postgres")
            self.tells_of_tables(f"database {name} has encoding {encoding} and collation {locale}; make it anew: "
                                 f"CREATE DATABASE {name} OWNER egalaxyd ENCODING 'UTF8' LC_COLLATE 'C'",
                                 self.socket_url(database=name), "make it anew: CREATE DATABASE")

    def tells_of_tables(self, sentence, url, manual):
        """As tells(); what only asks says that the tables are missing, since nobody could make them."""
        self.assertIn(manual, MANUAL.read_text())
        capsule = self.capsule(url)
        self.ask_until(sentence, lambda: self.check(capsule))
        capsule.start()
        self.assertTrue(eventually(lambda: sentence in self.storage(capsule).get("error", "")), capsule.log())
        self.ask_until("egalaxyd's tables are missing or of another version; it makes them when it starts, or logs "
                       "why it cannot", lambda: self.ctl(capsule, "users"))
        self.assertEqual(self.upload(capsule).status, 40)
        self.assertEqual(capsule.stop(), [])

    def test_a_role_that_may_not_make_the_tables(self):
        self.postgres.sql("CREATE ROLE weak LOGIN")
        self.postgres.sql("CREATE DATABASE owned OWNER egalaxyd", "postgres")
        self.tells_of_tables("role weak may not make the tables; as the database's owner: CREATE SCHEMA egalaxyd "
                             "AUTHORIZATION weak", self.socket_url("weak", "owned"),
                             "may not make the tables; as the database's owner: CREATE SCHEMA egalaxyd AUTHORIZATION")
        self.assert_stores(self.capsule(self.socket_url(database="owned")).start())
        self.tells("let storage.url name that one", self.socket_url("weak", "owned"))

    def versions(self, version, oldest):
        self.postgres.sql(f"UPDATE egalaxyd.schema_version SET version = {version}, oldest = {oldest}")

    def test_tables_of_another_program(self):
        first = self.capsule(self.socket_url()).start()
        self.assert_stores(first)
        self.assertEqual(first.stop(), [])
        self.addCleanup(self.versions, 1, 1)
        self.versions(2, 1)
        self.assert_stores(self.capsule(self.socket_url(), host="two").start())
        self.versions(3, 2)
        self.tells("its tables are of a newer egalaxyd (version 3, this program knows 1); upgrade egalaxyd on this "
                   "host", self.socket_url())

    # Days that pass.

    def test_no_synchronous_standby(self):
        def remark():
            return self.check(self.capsule(self.socket_url()))
        sentence = ("synchronous_standby_names is empty at the database: an acknowledged upload is on one machine "
                    "only")
        self.ask_until(sentence, remark)
        self.assertIn(sentence, MANUAL.read_text())
        capsule = self.capsule(self.socket_url()).start()
        self.assert_stores(capsule)
        self.postgres.configure("synchronous_standby_names = 'nobody'")
        self.addCleanup(self.postgres.configure, "synchronous_standby_names = ''")
        sentence = ("synchronous_standby_names is set at the database, but no standby is connected to it: uploads "
                    "wait until one is")
        self.ask_until(sentence, remark)
        self.assertIn(sentence, MANUAL.read_text())
        def unknown():  # a connection that is there hears of the change a moment later
            answer = self.upload(capsule)
            return (answer.status, answer.meta) == (40, "It may have been stored: look before you try again")
        self.assertTrue(eventually(unknown), capsule.log())
        sentence = ("the database does not answer a commit; look at it, and at the standby that it waits for "
                    "(synchronous_standby_names)")
        self.assertIn(sentence, MANUAL.read_text())
        self.assertTrue(eventually(lambda: sentence in capsule.log()), capsule.log())
        self.postgres.configure("synchronous_standby_names = ''")
        self.assert_stores(capsule)

    def test_the_primarys_disk_is_full(self):
        small = small_disk(self, self.files.make("disk"))
        shutil.chown(small, "postgres", "postgres")
        self.postgres.sql(f"CREATE TABLESPACE small LOCATION '{small}'")
        self.postgres.sql("CREATE DATABASE tight OWNER egalaxyd", "postgres")
        capsule = self.capsule(self.socket_url(database="tight")).start()
        self.assert_stores(capsule)
        self.addCleanup(self.postgres.sql, "DROP TABLESPACE small", "postgres")
        self.addCleanup(self.postgres.sql, "DROP DATABASE tight WITH (FORCE)", "postgres")
        self.postgres.sql("ALTER TABLE egalaxyd.content_parts SET TABLESPACE small", "tight")
        answer = capsule.put("/large.gmi", os.urandom(3_000_000), ";mime=text/gemini")
        self.assertEqual(answer.status, 40, answer)
        sentence = "no space left at the database; free some"
        self.assertIn(sentence, MANUAL.read_text())
        self.assertTrue(eventually(lambda: sentence in capsule.log()), capsule.log())
        self.assert_stores(capsule)

    def test_two_hosts_of_one_name(self):
        self.capsule(self.socket_url()).start()
        other = self.capsule(self.socket_url()).start()
        sentence = "another host calls itself one; set storage.host"
        self.assertIn("another host calls itself", MANUAL.read_text())
        self.assertTrue(eventually(lambda: sentence in other.log(), 60), other.log())

    def test_hosts_that_show_different_certificates(self):
        one, two = self.capsule(self.socket_url()), self.capsule(self.socket_url(), host="two")
        certificate, key = make_certificate(two.folder.path, "localhost")
        two.settings.update({"tls.certificate": f'"{certificate}"', "tls.key": f'"{key}"'})
        one.start()
        two.start()
        sentence = "configurations or certificates differ; make them the same, and reload"

        def hosts():
            return {row["name"] for row in json.loads(self.ctl(one, "fleet", "--json").stdout)["hosts"]}
        self.assertTrue(eventually(lambda: {"one", "two"} <= hosts()))
        self.assertTrue(eventually(lambda: sentence in self.ctl(one, "fleet").stdout))
        self.assertIn(sentence, MANUAL.read_text())


if __name__ == "__main__":
    unittest.main()
