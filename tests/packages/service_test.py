#!/usr/bin/env python3
"""The Debian package in a real systemd: installed, reloaded, killed, frozen, stopped, removed."""
import re
import shutil
import ssl
import unittest

import lab
from benchlib.load import Load, failures

CONFIGURATION = """
[listen]
gemini = [":1965", ":965"]      # the second needs the capability

[rate_limit]
enabled = false

[log]
target = "journal"

[sites."localhost"."/"]
module = "directory"
root = "/srv/gemini/localhost"

[sites."localhost"."/srv"]
module = "directory"
root = "/srv/gemini/localhost"

[sites."localhost"."/srv".upload]
anyone = true

[sites."localhost"."/state"]
module = "directory"
root = "/var/lib/egalaxyd/notes"

[sites."localhost"."/state".upload]
anyone = true
"""
PLUGIN = """
[sites."localhost"."/guestbook"]
module = "plugin"
library = "/usr/lib/egalaxyd/guestbook.so"
class = "guestbook::Guestbook"
"""
AWAY = """
[sites."localhost"."/closed"]
module = "directory"
root = "/srv/gemini/alice/capsule"

[sites."localhost"."/later"]
module = "directory"
root = "/srv/gemini/bob/not/yet"
"""
SCRIPTS = CONFIGURATION + """
[sites."localhost"."/cgi"]
module = "cgi"
root = "/srv/cgi"
"""
SCRIPT = "#!/bin/sh\nprintf '20 text/plain\\r\\n'\nid -un\ngrep NoNewPrivs /proc/self/status\n"
LAUNCHER = "egalaxyd-launcher@egalaxyd-cgi"
FILE = "/etc/egalaxyd/egalaxyd.toml"
DROP_IN = "/run/systemd/system/egalaxyd.service.d/test.conf"

machine = lab.Machine()


def setUpModule():
    unittest.addModuleCleanup(machine.shut_down)
    machine.boot()
    shutil.copy(lab.package("egalaxyd_*.deb"), machine.path("/root/egalaxyd.deb"))


def install():
    machine.run("dpkg", "--install", "/root/egalaxyd.deb")


def uninstall(how="--purge"):
    machine.run("dpkg", how, "egalaxyd")
    shutil.rmtree(machine.path("/srv/gemini"), ignore_errors=True)


def master():
    return int(machine.show("egalaxyd.service", "MainPID"))


def workers():
    """Their process ids, as the machine counts them."""
    pid = master()
    children = machine.read(f"/proc/{pid}/task/{pid}/children").split()
    return {int(child) for child in children
            if machine.read(f"/proc/{child}/comm") == "egalaxyd-worker\n"}


def status_of(pid):
    """The lines of its /proc/PID/status as a dictionary."""
    lines = machine.read(f"/proc/{pid}/status").splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def configure(text):
    machine.path(FILE).write_text(text)
    for folder in ("/srv/gemini/localhost", "/var/lib/egalaxyd/notes"):
        machine.run("install", "-d", "-o", "egalaxyd", "-g", "egalaxyd", folder)
    machine.path("/srv/gemini/localhost/index.gmi").write_text("# Served from /srv\n")


def upload(path, body):
    request = f"titan://localhost{path};size={len(body)};mime=text/gemini\r\n".encode() + body
    return lab.exchange(request)[0].decode()


def load(seconds=10):
    return Load(lab.BIN, "gemini://localhost/", seconds=seconds, connections=8)


def served_certificate():
    return ssl.get_server_certificate(("127.0.0.1", 1965))


def serves_anew(old):
    """Whether another master than `old` answers."""
    return master() not in (0, old) and lab.answers()


class FreshlyInstalled(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        install()
        cls.addClassCleanup(uninstall)

    def test_is_enabled_and_serves_its_welcome_page(self):
        self.assertEqual(machine.show("egalaxyd.service", "UnitFileState"), "enabled")
        self.assertEqual(machine.show("egalaxyd.service", "ActiveState"), "active")
        self.assertIn("# egalaxyd is running", lab.gemini()[1])
        self.assertRegex(lab.spartan(), "^2 text/gemini.*\r\n# egalaxyd is running")

    def test_the_database_has_a_folder_of_its_own_beside_the_certificates(self):
        state = machine.run("find", "/var/lib/egalaxyd", "-mindepth", "1", "-maxdepth", "1",
                            "-printf", "%f %u %m\n").stdout.splitlines()
        self.assertLessEqual({"certificates egalaxyd 700", "db egalaxyd 700"}, set(state))
        self.assertTrue(machine.path("/var/lib/egalaxyd/db/egalaxyd.db").exists())

    def test_manuals_can_be_read(self):
        for page in ("egalaxyd", "egalaxyctl", "egalaxyd.toml"):
            self.assertIn("DESCRIPTION", machine.run("man", page).stdout)

    def test_systemd_has_no_complaint_about_the_units(self):
        verified = machine.run("systemd-analyze", "verify", "egalaxyd.service", "egalaxyd.socket",
                               LAUNCHER + ".service", LAUNCHER + ".socket")
        self.assertEqual(verified.stdout, "")

    def test_is_hardened(self):
        shown = machine.run("systemd-analyze", "security", "egalaxyd.service").stdout
        exposure = re.search(r"Overall exposure level for egalaxyd.service: ([\d.]+)", shown)
        self.assertLessEqual(float(exposure.group(1)), 2.0)

    def test_no_process_is_root_and_workers_have_no_capability(self):
        account = machine.run("id", "-u", "egalaxyd").stdout.strip()
        status = status_of(master())
        self.assertEqual(set(status["Uid"].split()), {account})
        self.assertEqual(status["CapPrm"], "0000000000000400")  # CAP_NET_BIND_SERVICE alone
        self.assertGreater(len(workers()), 0)
        for pid in workers():
            confined = status_of(pid)
            self.assertEqual(set(confined["Uid"].split()), {account})
            self.assertEqual(confined["NoNewPrivs"], "1")
            for held in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
                self.assertEqual(int(confined[held], 16), 0)
            # The worker's own filter, on top of the unit's.
            self.assertEqual(int(confined["Seccomp_filters"]), int(status["Seccomp_filters"]) + 1)


class Configured(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        install()
        cls.addClassCleanup(uninstall)
        configure(CONFIGURATION)
        machine.run("systemctl", "restart", "egalaxyd")

    def test_serves_ports_below_1024(self):
        answer, _ = lab.exchange(b"gemini://localhost:965/\r\n", port=965)
        self.assertIn(b"# Served from /srv", answer)

    def test_stores_uploads_below_srv_and_in_the_state_folder(self):
        for path, file in (("/srv/new.gmi", "/srv/gemini/localhost/new.gmi"),
                           ("/state/new.gmi", "/var/lib/egalaxyd/notes/new.gmi")):
            self.assertRegex(upload(path, b"# New\n"), "^30 gemini://localhost" + path)
            self.assertEqual(machine.path(file).read_text(), "# New\n")

    def test_serves_a_plug_in(self):
        library = machine.path("/usr/lib/egalaxyd/guestbook.so")
        library.parent.mkdir()
        self.addCleanup(shutil.rmtree, library.parent)
        shutil.copy(lab.BUILD / "example-plugin/build/guestbook.so", library)
        configure(CONFIGURATION + PLUGIN)
        machine.run("systemctl", "reload", "egalaxyd")
        self.addCleanup(configure, CONFIGURATION)
        lab.eventually(lambda: lab.gemini("/guestbook")[0].startswith("20 "), "a guestbook")

    def test_roots_that_are_closed_or_not_there_yet_keep_nothing_down_and_come_by_themselves(self):
        alice = machine.path("/srv/gemini/alice")
        (alice / "capsule").mkdir(parents=True)
        (alice / "capsule/index.gmi").write_text("# Alice\n")
        alice.chmod(0o700)  # root's: the server has an account of its own
        self.addCleanup(shutil.rmtree, alice)
        self.addCleanup(machine.run, "systemctl", "restart", "egalaxyd")
        self.addCleanup(configure, CONFIGURATION)
        configure(CONFIGURATION + AWAY)
        checked = machine.run("egalaxyd", "--check", "--config", FILE).stdout
        self.assertIn("may not enter it", checked)
        self.assertIn(f"{FILE}: configuration OK", checked)
        machine.run("systemctl", "restart", "egalaxyd")
        self.assertIn("# Served from /srv", lab.gemini()[1])
        for path in ("/closed/", "/later/"):
            self.assertRegex(lab.gemini(path)[0], "^41 ")
        self.assertIn("away: /srv/gemini/alice/capsule", machine.run("egalaxyctl", "status").stdout)
        later = machine.path("/srv/gemini/bob/not/yet")
        self.addCleanup(shutil.rmtree, machine.path("/srv/gemini/bob"), ignore_errors=True)
        later.mkdir(parents=True)
        (later / "index.gmi").write_text("# Bob\n")
        alice.chmod(0o755)
        for path, page in (("/closed/", "# Alice\n"), ("/later/", "# Bob\n")):
            lab.eventually(lambda: lab.gemini(path)[1] == page, page)
        alice.chmod(0o700)
        lab.eventually(lambda: lab.gemini("/closed/")[0].startswith("41 "), "a closed root")
        self.assertTrue(lab.answers())
        alice.chmod(0o755)
        lab.eventually(lambda: lab.gemini("/closed/")[1] == "# Alice\n", "an open root")

    def test_an_expired_certificate_is_told_of_and_serves_on(self):
        folder = machine.path("/etc/egalaxyd")
        lab.capsule.make_certificate(folder, "expired", expired=True)
        for made in folder.glob("expired.*"):
            made.chmod(0o644)
            self.addCleanup(made.unlink)
        self.addCleanup(machine.run, "systemctl", "restart", "egalaxyd")
        self.addCleanup(configure, CONFIGURATION)
        configure('[tls]\ncertificate = "expired.crt"\nkey = "expired.key"\n' + CONFIGURATION)
        checked = machine.run("egalaxyd", "--check", "--config", FILE).stdout
        self.assertIn("expired.crt: the certificate expired at ", checked)
        machine.run("systemctl", "restart", "egalaxyd")
        self.assertIn("# Served from /srv", lab.gemini()[1])
        self.assertIn("expired.crt: the certificate expired at ", machine.journal())

    def test_certbots_hook_hands_over_a_key_that_only_root_reads(self):
        """Its layout: archive/ with root's keys, live/ with links to the newest."""
        home = machine.path("/etc/letsencrypt")
        self.addCleanup(shutil.rmtree, home)
        self.addCleanup(machine.run, "systemctl", "restart", "egalaxyd")
        installed = "/var/lib/egalaxyd/certificates/localhost.pem"
        self.addCleanup(lambda: machine.path(installed).unlink(missing_ok=True))
        hook = home / "renewal-hooks/deploy/egalaxyd"
        hook.parent.mkdir(parents=True)
        hooks = "/usr/share/doc/egalaxyd/examples/hooks"
        machine.run("install", f"{hooks}/certbot-deploy", "/etc/letsencrypt/renewal-hooks/deploy/egalaxyd")
        for name in ("archive", "live"):
            (home / name / "localhost").mkdir(parents=True)
            (home / name).chmod(0o700)
        before = served_certificate()
        for renewal in (1, 2):
            cert, key = lab.capsule.make_certificate(home / "archive/localhost", "localhost")
            for made, file in ((cert, "fullchain"), (key, "privkey")):
                shutil.move(made, home / f"archive/localhost/{file}{renewal}.pem")
                link = home / f"live/localhost/{file}.pem"
                link.unlink(missing_ok=True)
                link.symlink_to(f"../../archive/localhost/{file}{renewal}.pem")
            (home / f"archive/localhost/privkey{renewal}.pem").chmod(0o600)
            said = machine.run("env", "RENEWED_LINEAGE=/etc/letsencrypt/live/localhost",
                               "RENEWED_DOMAINS=localhost web.test",
                               "/etc/letsencrypt/renewal-hooks/deploy/egalaxyd").stdout
            self.assertIn("localhost: installed, and served", said)
            after = served_certificate()
            self.assertNotEqual(after, before)
            before = after
        self.assertIn("localhost has another public key", machine.journal())
        shown = machine.run("stat", "--format=%U:%G %a", installed).stdout
        self.assertEqual(shown.strip(), "egalaxyd:egalaxyd 600")
        machine.run("systemctl", "restart", "egalaxyd")
        lab.eventually(lab.answers, "an answer after the restart")
        self.assertEqual(served_certificate(), before)

    def test_a_user_without_rights_is_told_how_to_get_them(self):
        asked = machine.run("runuser", "-u", "nobody", "--", "egalaxyctl", "reload", check=False)
        self.assertNotEqual(asked.returncode, 0)
        self.assertIn("nobody may not use /run/egalaxyd/control.sock", asked.stdout)
        self.assertIn("use sudo", asked.stdout)
        self.assertTrue(lab.answers())

    def test_reloads_under_load_without_a_failed_request(self):
        running = load()
        self.addCleanup(running.cancel)
        for _ in range(3):
            before = workers()
            machine.run("systemctl", "reload", "egalaxyd")
            lab.eventually(lambda: workers() and not workers() & before, "new workers alone")
        result = running.result()
        self.assertGreater(result["ok"], 0)
        self.assertEqual(failures(result), "none")

    def test_a_reload_with_a_broken_file_fails_and_changes_nothing(self):
        before = workers()
        machine.path(FILE).write_text(CONFIGURATION + "[nonsense]\n")
        self.addCleanup(configure, CONFIGURATION)
        reloaded = machine.run("systemctl", "reload", "egalaxyd", check=False)
        self.assertNotEqual(reloaded.returncode, 0)
        self.assertTrue(lab.answers())
        self.assertEqual(workers(), before)
        self.assertEqual(machine.show("egalaxyd.service", "ActiveState"), "active")

    def test_logrotate_rotates_its_logs_and_no_line_is_lost(self):
        self.addCleanup(machine.run, "systemctl", "restart", "egalaxyd")
        self.addCleanup(configure, CONFIGURATION)
        log = "/var/log/egalaxyd/access.log"
        configure(CONFIGURATION.replace("[log]", f'[log]\naccess_target = "{log}"'))
        machine.run("systemctl", "reload", "egalaxyd")
        for turn in range(1, 4):
            for number in range(5):
                self.assertRegex(lab.gemini(f"/rotated/{turn}/{number}")[0], "^51 ")
            # A worker may be a moment behind, and write one more line into the old file.
            lab.eventually(lambda: self.lines_of(log).count(f"/rotated/{turn}/") == 5, "five lines")
            machine.run("logrotate", "--force", "/etc/logrotate.d/egalaxyd")
            lab.eventually(lambda: machine.path(log).exists(), "a new log")
            owner = machine.run("stat", "-c", "%U %a", log).stdout.strip()
            self.assertEqual(owner, "egalaxyd 640")
        self.assertTrue(machine.path(log + ".2.gz").exists())
        self.assertEqual(self.lines_of(log).count("/rotated/"), 15)

    @staticmethod
    def lines_of(log):
        """The old ones too."""
        return machine.run("bash", "-c", f"zcat -f {log}*", check=False).stdout

    def test_a_killed_worker_is_replaced_by_the_master(self):
        first, before = master(), workers()
        machine.run("bash", "-c", f"kill -KILL {min(before)}")
        lab.eventually(lambda: len(workers()) == len(before) and min(before) not in workers(),
                       "as many workers as before")
        self.assertEqual(master(), first)
        self.assertTrue(lab.answers())

    def test_a_killed_master_is_started_again_by_systemd(self):
        first, orphans = master(), workers()
        machine.run("bash", "-c", f"kill -KILL {first}")
        lab.eventually(lambda: serves_anew(first), "another master")
        self.assertFalse(workers() & orphans)

    def test_a_frozen_master_is_replaced_by_the_watchdog(self):
        machine.run("mkdir", "-p", DROP_IN.rpartition("/")[0])
        machine.run("bash", "-c", f"printf '[Service]\\nWatchdogSec=5s\\n' >{DROP_IN}")
        self.addCleanup(machine.run, "bash", "-c", f"rm {DROP_IN} && systemctl daemon-reload && "
                        "systemctl restart egalaxyd")
        machine.run("systemctl", "daemon-reload")
        machine.run("systemctl", "restart", "egalaxyd")
        first = master()
        machine.run("bash", "-c", f"kill -STOP {first}")
        lab.eventually(lambda: serves_anew(first), "another master")
        self.assertIn("Watchdog timeout", machine.journal())

    def test_stops_and_stays_stopped(self):
        self.addCleanup(machine.run, "systemctl", "start", "egalaxyd")
        machine.run("systemctl", "stop", "egalaxyd")
        self.assertEqual(machine.show("egalaxyd.service", "ActiveState"), "inactive")
        self.assertEqual(machine.show("egalaxyd.service", "Result"), "success")
        self.assertFalse(lab.answers())


class WithTheSockets(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        install()
        cls.addClassCleanup(uninstall)
        configure(CONFIGURATION)
        machine.run("systemctl", "stop", "egalaxyd.service")
        machine.run("systemctl", "enable", "--now", "egalaxyd.socket")

    def test_the_first_connection_starts_the_server(self):
        machine.run("systemctl", "stop", "egalaxyd.service")
        self.assertEqual(machine.show("egalaxyd.service", "ActiveState"), "inactive")
        self.assertIn("# Served from /srv", lab.spartan())
        self.assertEqual(machine.show("egalaxyd.service", "ActiveState"), "active")
        self.assertIn("# Served from /srv", lab.gemini()[1])

    def test_restarts_under_load_without_a_failed_request(self):
        self.assertTrue(lab.answers())
        running = load()
        self.addCleanup(running.cancel)
        for _ in range(2):
            first = master()
            machine.run("systemctl", "restart", "egalaxyd.service")
            lab.eventually(lambda: serves_anew(first), "another master")
        self.assertEqual(failures(running.result()), "none")

    def test_upgrades_under_load_without_a_failed_request(self):
        self.assertTrue(lab.answers())
        running = load(seconds=20)
        self.addCleanup(running.cancel)
        first = master()
        install()
        lab.eventually(lambda: serves_anew(first), "another master")
        self.assertEqual(failures(running.result()), "none")


class WithScripts(unittest.TestCase):
    PAGE = b"gemini://localhost/cgi/who\r\n"

    @classmethod
    def setUpClass(cls):
        install()
        cls.addClassCleanup(uninstall)
        cls.addClassCleanup(shutil.rmtree, machine.path("/srv/cgi"))
        machine.path("/srv/cgi").mkdir()
        machine.path("/srv/cgi/who").write_text(SCRIPT)
        machine.path("/srv/cgi/who").chmod(0o755)
        configure(SCRIPTS)
        machine.run("systemctl", "restart", "egalaxyd")

    def says_who(self):
        return b"\negalaxyd-cgi\nNoNewPrivs:\t1\n" in lab.exchange(self.PAGE)[0]

    def test_run_in_the_unit_of_their_account(self):
        lab.eventually(self.says_who, "the script")
        self.assertEqual(machine.show(LAUNCHER + ".service", "ActiveState"), "active")
        launcher = int(machine.show(LAUNCHER + ".service", "MainPID"))
        self.assertEqual(int(status_of(launcher)["CapPrm"], 16), 0)

    def test_serve_on_after_a_reload_and_a_restart(self):
        machine.run("systemctl", "reload", "egalaxyd")
        lab.eventually(self.says_who, "the script")
        first = master()
        machine.run("systemctl", "restart", "egalaxyd")
        lab.eventually(lambda: serves_anew(first), "another master")
        lab.eventually(self.says_who, "the script")

    def test_a_killed_launcher_is_started_again(self):
        lab.eventually(self.says_who, "the script")
        machine.run("systemctl", "kill", "--signal=KILL", LAUNCHER + ".service")
        lab.eventually(self.says_who, "the script")

    def test_the_launcher_ends_with_the_server(self):
        self.addCleanup(machine.run, "systemctl", "start", "egalaxyd")
        lab.eventually(self.says_who, "the script")
        machine.run("systemctl", "stop", "egalaxyd")
        lab.eventually(lambda: machine.show(LAUNCHER + ".service", "ActiveState") != "active",
                       "the launcher's end")
        self.assertEqual(machine.show(LAUNCHER + ".socket", "ActiveState"), "active")


class BackedUp(unittest.TestCase):
    ARCHIVE = "/root/saved.tar.zst"
    PAGE = b"gemini://localhost/\r\n"

    def test_under_load_and_restored_into_another_installation(self):
        install()
        self.addCleanup(uninstall)
        self.addCleanup(machine.run, "rm", "-f", self.ARCHIVE)
        configure(CONFIGURATION)
        machine.run("systemctl", "restart", "egalaxyd")
        lab.eventually(lab.answers, "an answer")
        certificate = lab.exchange(self.PAGE)[1]
        for number in range(20):
            self.assertTrue(upload(f"/srv/saved-{number}", b"# Saved\n").startswith("30 "))
        running = load()
        self.addCleanup(running.cancel)
        self.assertIn("checked", machine.run("egalaxyctl", "backup", self.ARCHIVE).stdout)
        self.assertEqual(failures(running.result()), "none")
        self.assertEqual(machine.run("stat", "-c", "%a %U", self.ARCHIVE).stdout.strip(), "600 root")

        machine.run("dpkg", "--purge", "egalaxyd")
        install()  # with a certificate and a database of its own
        lab.eventually(lab.answers, "an answer")
        self.assertNotEqual(lab.exchange(self.PAGE)[1], certificate)
        restore = ("egalaxyd", "--system", "--restore", self.ARCHIVE)
        self.assertIn("already runs", machine.run(*restore, "--force", check=False).stdout)
        machine.run("systemctl", "stop", "egalaxyd")
        self.assertIn("--force", machine.run(*restore, check=False).stdout)
        machine.run(*restore, "--force")
        self.assertEqual(
            machine.run("find", "/var/lib/egalaxyd", "!", "-user", "egalaxyd").stdout.strip(), "")
        self.assertEqual(machine.path(FILE + ".restored").read_text(), CONFIGURATION)
        machine.run("mv", FILE + ".restored", FILE)
        machine.run("systemctl", "start", "egalaxyd")
        lab.eventually(lab.answers, "an answer")
        self.assertEqual(lab.exchange(self.PAGE)[1], certificate)
        listed = machine.run("egalaxyctl", "uploads", "--path", "/srv").stdout
        for number in range(20):
            self.assertIn(f"saved-{number}", listed)
        self.assertTrue(upload("/srv/after", b"# After\n").startswith("30 "))


class Removed(unittest.TestCase):
    """Files of the system that come and go by themselves are left out of the comparison."""

    VOLATILE = re.compile(r"/(proc|sys|dev|run|tmp|root|srv)(/|$)|/var/(log|cache|tmp|lib/dpkg|backups)/"
                          r"|/etc/(passwd|group|shadow|gshadow|subuid|subgid)-$|/etc/\.pwd\.lock$"
                          r"|/var/lib/systemd/(timers|coredump|random-seed)")

    def files(self):
        found = machine.run("find", "/", "-xdev").stdout.splitlines()
        return {path for path in found if not self.VOLATILE.match(path)}

    def test_removing_keeps_the_certificate_and_purging_leaves_nothing(self):
        before = self.files()
        install()
        self.addCleanup(uninstall)
        page = b"gemini://localhost/\r\n"
        certificate = lab.exchange(page)[1]
        machine.run("dpkg", "--remove", "egalaxyd")
        self.assertFalse(lab.answers())
        install()
        self.assertEqual(lab.exchange(page)[1], certificate)
        machine.run("dpkg", "--purge", "egalaxyd")
        self.assertFalse(lab.answers())
        self.assertEqual(self.files() - before, set())
        for account in ("egalaxyd", "egalaxyd-cgi"):
            self.assertNotEqual(machine.run("getent", "passwd", account, check=False).returncode, 0)

    def test_upgrading_keeps_the_configuration_and_serves_on(self):
        install()
        self.addCleanup(uninstall)
        configure(CONFIGURATION)
        first = master()
        install()
        self.assertTrue(serves_anew(first))
        self.assertIn("# Served from /srv", lab.gemini()[1])


lab.require()
lab.main()
