#!/usr/bin/env python3
"""What `egalaxyd --check`, a start and a reload say of scripts, applications and proxied capsules.
The programs are those of $EGALAXYD_BIN_DIR."""
import os
import pathlib
import subprocess
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from capsule import PATIENCE, Capsule, Folder, program  # noqa: E402

PAGES = '[sites.localhost."/"]\nmodule = "directory"\nroot = "pages"\n'
SCRIPTS = '[sites.localhost."/bin"]\nmodule = "cgi"\nroot = "bin"\n'
SETTINGS = {"listen.spartan": "[]", "include": '["sites.d/*.toml"]', "server.user": '"nobody"'}
ROOT = os.geteuid() == 0


class ProgramsCheck(unittest.TestCase):
    def setUp(self):
        self.folder = Folder()
        self.addCleanup(self.folder.remove)
        self.path = self.folder.path
        for name in ("pages", "sites.d/bin"):
            self.folder.make(name)
        self.write("pages/index.gmi", "# Page\n")
        self.script = self.write("sites.d/bin/hello", "#!/bin/sh\necho 20; echo; echo hello\n")
        self.script.chmod(0o755)
        self.script.parent.chmod(0o755)
        self.server = Capsule(PAGES, SETTINGS, self.folder)
        self.addCleanup(self.server.close)

    def write(self, name, text):
        (self.path / name).write_text(text)
        return self.path / name

    def check(self):
        """What it says, and its exit code."""
        done = subprocess.run([program("egalaxyd"), "--check", "--config",
                               self.server.write_config()], cwd=self.path, capture_output=True,
                              text=True, check=False, timeout=PATIENCE)
        return done.stderr.splitlines(), done.returncode

    def says(self, line, text, further=""):
        """Checks an included file with scripts and more."""
        file = self.write("sites.d/programs.toml", SCRIPTS + further)
        said, code = self.check()
        self.assertIn(f"egalaxyd: {file}:{line}: {text}", said)
        self.assertEqual(code, 78, said)

    def test_what_is_wrong_is_told_with_file_line_and_key(self):
        self.says(4, 'sites.localhost."/bin".env.PATH: is a variable that the server sets for the '
                  "script's account; allowed: other names", 'env = { PATH = "/bin" }\n')
        self.says(4, 'sites.localhost."/bin".account: there is no account "no-such" on this '
                  "machine", 'account = "no-such"\n')
        self.says(6, 'sites.localhost."/old".to: found "b.example:1965", which is another machine: '
                  "set fingerprints or ca, so that it is known which capsule answers",
                  '[sites.localhost."/old"]\nmodule = "proxy"\nto = ["gemini://b.example"]\n')

    def test_scripts_that_everybody_may_write_fail_a_reload(self):
        self.server.start()
        self.write("sites.d/programs.toml", SCRIPTS)
        self.script.chmod(0o777)
        done = subprocess.run([program("egalaxyctl"), "--socket", self.path / "run/control.sock",
                               "reload"], capture_output=True, text=True, check=False,
                              timeout=PATIENCE)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn(f"everybody may write to {self.script}, and with that say what this server "
                      "runs: chmod o-w", done.stdout + done.stderr)
        self.assertEqual(self.server.get("/").body, b"# Page\n")

    def test_what_may_come_later_is_a_warning(self):
        file = self.write("sites.d/programs.toml",
                          '[sites.localhost."/app"]\nmodule = "scgi"\n'
                          f'to = ["unix:{self.path}/app.sock", "no-such-host.invalid:7"]\n')
        where = f'egalaxyd: warning: {file}:3: sites.localhost."/app".to: '
        said, _ = self.check()
        self.assertIn(f"{where}{self.path}/app.sock: there is no such socket yet; requests fail "
                      "meanwhile", said)
        self.assertTrue([each for each in said
                         if each.startswith(where + "no-such-host.invalid:7: ")], said)

    @unittest.skipUnless(ROOT, "only root gives scripts an account")
    def test_scripts_with_the_workers_account_are_warned_of(self):
        self.write("sites.d/programs.toml", SCRIPTS + 'account = "nobody"\n')
        said, _ = self.check()
        self.assertTrue([each for each in said if "scripts run as nobody, the workers' account" in
                         each], said)


if __name__ == "__main__":
    unittest.main()
