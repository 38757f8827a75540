#!/usr/bin/env python3
"""A configuration that is spread over files, and listings in pages over Gemini and Spartan. The
programs are those of $EGALAXYD_BIN_DIR."""
import json
import pathlib
import socket
import subprocess
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from capsule import PATIENCE, Capsule, Folder, program  # noqa: E402

SITE = '[sites.localhost."/{name}"]\nmodule = "directory"\nroot = "{name}"\n'


class Include(unittest.TestCase):
    def setUp(self):
        self.folder = Folder()
        self.addCleanup(self.folder.remove)
        self.path = self.folder.path
        self.server = Capsule("", {"include": '["sites.d/*.toml"]',
                                   "listen.spartan": '["127.0.0.1:0"]'}, self.folder)
        self.addCleanup(self.server.close)
        self.site("a")

    def page(self, name, text):
        self.folder.make(str(pathlib.Path(name).parent))
        (self.path / name).write_text(text)

    def site(self, name, more=""):
        """A file of its own for /NAME, with its pages beside it."""
        self.page(f"sites.d/{name}/index.gmi", f"# {name}\n")
        self.page(f"sites.d/{name}.toml", SITE.format(name=name) + more)

    def run_program(self, name, *arguments, code=0):
        done = subprocess.run([program(name), *arguments], cwd=self.path, capture_output=True,
                              text=True, check=False, timeout=PATIENCE)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def ctl(self, *arguments, code=0):
        return self.run_program("egalaxyctl", "--socket", self.path / "run/control.sock",
                                *arguments, code=code)

    def status(self):
        return json.loads(self.ctl("--json", "status"))

    def test_a_reload_takes_up_files_that_came_and_went(self):
        self.server.start()
        self.assertEqual(self.server.get("/a/").body, b"# a\n")
        self.assertEqual(self.server.get("/b/").status, 51)
        self.assertEqual(self.status()["included"], 1)
        self.site("b")
        self.ctl("reload")
        self.assertEqual(self.server.get("/b/").body, b"# b\n")
        self.assertEqual(self.status()["included"], 2)
        self.assertIn("egalaxyd.toml and 2 included files", self.ctl("status"))
        (self.path / "sites.d/a.toml").rename(self.path / "sites.d/a.toml~")
        self.ctl("reload")
        self.assertEqual(self.server.get("/a/").status, 51)
        self.assertEqual(self.server.get("/b/").status, 20)

    def test_a_bad_file_is_named_and_leaves_the_rest_serving(self):
        self.server.start()
        self.page("sites.d/b.toml", SITE.format(name="b") + "listign = true\n")
        self.assertIn("sites.d/b.toml:4: sites.localhost.\"/b\".listign: unknown key",
                      self.ctl("reload", code=1))
        self.page("sites.d/b.toml", SITE.format(name="a"))
        said = self.ctl("reload", code=1)
        self.assertIn("sites.d/b.toml:2: ", said)
        self.assertIn("sites.d/a.toml:2 too", said)
        self.assertEqual(self.server.get("/a/").body, b"# a\n")

    def test_a_check_prints_each_file_and_a_dump_the_whole(self):
        self.site("b")
        config = self.server.write_config()
        said = self.run_program("egalaxyd", "--check", "--config", config)
        self.assertIn(f"{config}: configuration OK\n", said)
        for name in ("a", "b"):
            self.assertIn(f"{self.path}/sites.d/{name}.toml: included, OK\n", said)
        dump = self.run_program("egalaxyd", "--dump", "--config", config)
        self.page("whole/e.toml", dump)
        again = self.run_program("egalaxyd", "--dump", "--config", self.path / "whole/e.toml")
        self.assertEqual(again, dump)
        self.assertIn(f'root = "{self.path}/sites.d/b"', dump)

    def test_included_files_are_not_served(self):
        self.page("egalaxyd.d/index.gmi", "# x\n")
        self.site("b", "listing = true\nindex = []\n")
        self.page("sites.d/b.toml", SITE.format(name="b").replace('root = "b"', 'root = "."')
                  + "listing = true\nindex = []\nhidden = true\n")
        self.server.start()
        self.page("sites.d/later.toml", "secret")
        self.page("sites.d/b.toml~", "secret")
        for name in ("a.toml", "b.toml", "b.toml~", "later.toml"):
            self.assertEqual(self.server.get(f"/b/{name}").status, 51, name)
        self.assertNotIn(b"toml", self.server.get("/b/").body)
        self.assertIn(b"./a/", self.server.get("/b/").body)

    def spartan(self, path):
        with socket.create_connection(("127.0.0.1", self.server.spartan_port),
                                      PATIENCE) as connection:
            connection.sendall(f"localhost {path} 0\r\n".encode())
            with connection.makefile("rb") as answer:
                return answer.read()

    def test_a_large_folder_is_listed_in_pages(self):
        self.site("b", 'listing = { sort = "name", reverse = true, titles = true, page = 10 }\n'
                       "index = []\n")
        (self.path / "sites.d/b/index.gmi").unlink()
        for i in range(25):
            self.page(f"sites.d/b/{i:02}.gmi", f"# Post {i}\n")
        self.server.start()
        first = self.server.get("/b/").body.decode()
        self.assertIn("=> ./24.gmi Post 24  ", first)
        self.assertIn("=> ./;page=2 Next page\n", first)
        for page, least, most in ((1, 15, 24), (2, 5, 14), (3, 0, 4)):
            path = f"/b/;page={page}"
            body = self.server.get(path).body.decode()
            self.assertEqual([line.split()[1] for line in body.splitlines() if "Post" in line],
                             [f"./{i:02}.gmi" for i in range(most, least - 1, -1)])
            self.assertIn(body, self.spartan(path).decode())
        for bad in ("4", "0", "x"):
            self.assertEqual(self.server.get(f"/b/;page={bad}").status, 51)


if __name__ == "__main__":
    unittest.main(verbosity=2)
