#!/usr/bin/env python3
"""Roots that are away, closed or come later, and the server's own files below a root. The programs
are those of $EGALAXYD_BIN_DIR."""
import json
import os
import pathlib
import pwd
import shutil
import subprocess
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from capsule import PATIENCE, Capsule, Folder, eventually, free_port, program  # noqa: E402

WORKERS = "nobody"  # an account that is there everywhere
SITE = """
[sites.localhost."{path}"]
module = "directory"
root = "{root}"
"""
FILE = """
[sites.localhost."{path}"]
module = "file"
path = "{file}"
"""
UPLOAD = """
[sites.localhost."{path}".upload]
anyone = true
delete = true
over = ["titan", "spartan"]
"""


class Case(unittest.TestCase):
    settings = {}

    def setUp(self):
        self.folder = Folder()
        self.addCleanup(self.folder.remove)
        self.path = self.folder.path
        self.page("root/index.gmi", "# Page\n")
        self.server = Capsule("", self.settings, self.folder)
        self.addCleanup(self.server.close)

    def page(self, name, text):
        self.folder.make(str(pathlib.Path(name).parent))
        (self.path / name).write_text(text)

    def serve(self, *mounts):
        """Sites: "/" of the folder root, and each of (path, folder, further TOML)."""
        self.server.sites = SITE.format(path="/", root="root") + "".join(
            SITE.format(path=path, root=root) + more.format(path=path)
            for path, root, more in mounts)

    def check(self, *options, code=0):
        done = subprocess.run([program("egalaxyd"), "--check", "--config",
                               self.server.write_config(), *options], cwd=self.path,
                              capture_output=True, text=True, check=False, timeout=PATIENCE)
        self.assertEqual(done.returncode, code, done.stderr)
        return done.stderr + done.stdout

    def ctl(self, *words):
        return subprocess.run([program("egalaxyctl"), "--socket", self.path / "run/control.sock",
                               *words], capture_output=True, text=True, check=False)

    def away(self):
        """Path and sites of what `status` lists."""
        found = json.loads(self.ctl("--json", "status").stdout)["away"]
        return {each["path"]: each["sites"] for each in found}

    def becomes(self, path, status, body=None):
        def state():
            answer = self.server.get(path)
            return answer.status == status and (body is None or answer.body == body)
        self.assertTrue(eventually(state), f"{path}: {self.server.get(path)}\n{self.server.log()}")


class Away(Case):
    def test_a_missing_root_keeps_nothing_down_and_comes_back_by_itself(self):
        self.serve(("/one", "one", ""), ("/deep", "far/away/deep", ""), ("/up", "up", UPLOAD))
        self.server.sites += FILE.format(path="/f", file="nofolder/page.gmi")
        said = self.check()
        for root in ("one", "far/away/deep", "up"):
            self.assertIn(f"{root}: there is no such folder", said)
        self.assertIn("nofolder/page.gmi: there is no such file", said)
        self.assertIn("egalaxyd.toml: configuration OK", said)
        self.server.start()
        self.assertIn("one: there is no such folder", self.server.log())
        self.assertEqual(self.server.get("/").status, 20)
        for path in ("/one/", "/one/page.gmi", "/deep/", "/up/", "/f"):
            self.assertEqual(self.server.get(path).status, 41, path)
        self.assertEqual(self.server.put("/up/page", b"hello").status, 41)
        self.assertEqual(self.server.uploads(), [])
        self.assertEqual(self.away(), {
            str(self.path / "one"): ["localhost/one"],
            str(self.path / "far/away/deep"): ["localhost/deep"],
            str(self.path / "up"): ["localhost/up"],
            str(self.path / "nofolder/page.gmi"): ["localhost/f"]})
        self.assertIn(f"away: {self.path}/one (localhost/one): there is no such folder",
                      self.ctl("status").stdout)
        self.page("one/page.gmi", "one")
        self.page("far/away/deep/page.gmi", "deep")
        self.page("nofolder/page.gmi", "a file")
        self.folder.make("up")
        self.becomes("/one/page.gmi", 20, b"one")
        self.becomes("/deep/page.gmi", 20, b"deep")
        self.becomes("/f", 20, b"a file")
        self.assertTrue(eventually(lambda: self.server.put("/up/page", b"hello").status == 30))
        self.assertTrue(eventually(lambda: self.away() == {}))

    def test_a_reload_that_names_a_missing_root_succeeds_and_warns(self):
        self.serve()
        self.server.start()
        self.serve(("/later", "later", ""))
        self.server.write_config()
        reloaded = self.ctl("reload")
        self.assertEqual(reloaded.returncode, 0, reloaded.stderr)
        self.assertIn("later: there is no such folder", self.server.log())
        self.assertEqual(self.server.get("/later/").status, 41)
        self.page("later/index.gmi", "later")
        self.becomes("/later/", 20, b"later")

    def test_a_root_that_is_a_file_is_away(self):
        self.page("odd", "a file")
        self.serve(("/odd", "odd", ""))
        self.assertIn("odd: it is no folder", self.check())
        self.server.start()
        self.assertEqual(self.server.get("/odd/").status, 41)

    def test_what_cannot_pass_by_itself_is_refused(self):
        self.serve()
        self.server.sites += '[sites.localhost."/p"]\nmodule = "plugin"\nlibrary = "no.so"\nclass = "x"\n'
        self.assertIn("no.so", self.check(code=78))


@unittest.skipUnless(os.geteuid() == 0, "only root has workers of another account")
class Closed(Case):
    # Of two workers, each sees for itself that a folder was closed.
    settings = {"server.user": f'"{WORKERS}"', "server.workers": "1"}

    def setUp(self):
        super().setUp()
        self.page("home/gemini/page.gmi", "mine")
        self.page("home/gemini/one.gmi", "one")
        self.home = self.path / "home"
        self.serve(("/mine", "home/gemini", UPLOAD))
        self.server.sites += FILE.format(path="/one", file="home/gemini/one.gmi")

    def assert_closed(self):
        self.becomes("/mine/page.gmi", 41)
        self.becomes("/one", 41)
        self.assertEqual(self.server.put("/mine/new", b"hello").status, 41)
        self.assertFalse((self.home / "gemini/new").exists())
        self.assertEqual(self.server.get("/").status, 20)
        expected = {str(self.home / "gemini"): ["localhost/mine"],
                    str(self.home / "gemini/one.gmi"): ["localhost/one"]}
        self.assertTrue(eventually(lambda: self.away() == expected), self.away())

    def assert_open(self):
        self.becomes("/mine/page.gmi", 20, b"mine")
        self.becomes("/one", 20, b"one")
        self.assertTrue(eventually(lambda: self.server.put("/mine/new", b"hello").status == 30))
        (self.home / "gemini/new").unlink()
        self.assertTrue(eventually(lambda: self.away() == {}))

    def test_a_home_that_is_closed_at_the_start_is_served_once_it_is_open(self):
        for shut in (self.home, self.home / "gemini"):
            with self.subTest(shut.name):
                shut.chmod(0o700)
                self.assertIn("home/gemini: the account that serves may not enter it", self.check())
                self.server.start()
                self.assertIn("may not enter it", self.server.log_since_start())
                self.assert_closed()
                shut.chmod(0o777)
                self.assert_open()
                self.assertEqual(self.server.stop(), [])

    def test_a_home_that_is_closed_meanwhile_is_away_until_it_is_open(self):
        self.server.start()
        for shut in (self.home, self.home / "gemini"):
            self.assert_open()
            shut.chmod(0o700)
            self.assert_closed()
            shut.chmod(0o777)
        self.assert_open()

    def test_a_check_sees_with_the_accounts_eyes(self):
        (self.home / "gemini").chmod(0o755)
        os.chown(self.home / "gemini", 0, 0)
        self.assertIn("may not write to it: uploads fail", self.check())
        self.assertNotIn("uploads fail", self.check("--as", "root"))
        log = self.folder.make("logs")
        log.chmod(0o700)
        self.server.settings["log.target"] = '"logs/egalaxyd.log"'
        self.assertIn("log.target: ", self.check())
        self.assertNotIn("log.target: ", self.check("--as", "root"))
        self.assertFalse((log / "egalaxyd.log").exists())
        self.assertIn("no.such.account", self.check("--as", "no.such.account", code=78))

    def test_an_ordinary_user_sees_with_no_eyes_but_its_own(self):
        entry = pwd.getpwnam(WORKERS)
        config = self.server.write_config()
        (self.path / "state").mkdir(exist_ok=True)

        def look(user):
            return subprocess.run([program("egalaxyd"), "--check", "--config", config, "--as", user],
                                  user=entry.pw_uid, group=entry.pw_gid, extra_groups=(),
                                  capture_output=True, text=True, check=False)
        self.assertEqual(look("root").returncode, 77)
        self.assertIn("only root", look("root").stderr)
        self.assertEqual(look(WORKERS).returncode, 0, look(WORKERS).stderr)


class OwnFiles(Case):
    """A capsule that has the whole server in it."""

    def setUp(self):
        super().setUp()
        self.page("index.gmi", "# All\n")
        self.server.settings["log.target"] = '"egalaxyd.log"'
        self.server.sites = SITE.format(path="/", root=".") + "listing = true\nhidden = true\n"

    def start(self):
        """The log is a file here, which Capsule does not read."""
        port = free_port()
        self.server.settings["listen.gemini"] = f'["127.0.0.1:{port}"]'
        process = subprocess.Popen([program("egalaxyd"), "--config", self.server.write_config()],
                                   cwd=self.path, stdout=subprocess.PIPE, text=True)
        self.addCleanup(process.wait)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.terminate)
        self.assertIn("Serving", process.stdout.readline())
        self.server.port = port

    def test_are_told_of_and_not_served(self):
        self.server.sites += FILE.format(path="/f", file="egalaxyd.toml")
        self.assertIn("holds what is the server's own", self.check())
        self.start()
        (self.path / "link.gmi").symlink_to("egalaxyd.toml")
        (self.path / "folder").symlink_to("state")
        os.link(self.path / "egalaxyd.toml", self.path / "hard.gmi")
        shutil.copy(self.path / "egalaxyd.log", self.path / "egalaxyd.log.1")
        for path in ("/egalaxyd.toml", "/link.gmi", "/hard.gmi", "/egalaxyd.log", "/egalaxyd.log.1",
                     "/state/", "/state", "/state/db/egalaxyd.db", "/folder/db/egalaxyd.db",
                     "/state/egalaxyd.lock", "/run/", "/f"):
            self.assertEqual(self.server.get(path).status, 51, path)
        (self.path / "index.gmi").rename(self.path / "page.gmi")
        listing = self.server.get("/").body.decode()
        self.assertIn("page.gmi", listing)
        for name in ("egalaxyd", "link", "hard", "state", "run", "folder"):
            self.assertNotIn(f"./{name}", listing)

    def test_a_root_that_takes_uploads_may_not_hold_them(self):
        self.server.sites += UPLOAD.format(path="/")
        said = self.check(code=78)
        for own in ("the configuration file", "the log", "the state folder", "the run-time folder"):
            self.assertIn(own, said)
        started = subprocess.run([program("egalaxyd"), "--config", self.server.write_config()],
                                 cwd=self.path, capture_output=True, text=True, check=False,
                                 timeout=PATIENCE)
        self.assertEqual(started.returncode, 78, started.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
