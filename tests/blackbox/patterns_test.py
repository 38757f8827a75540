#!/usr/bin/env python3
"""Redirects by pattern, types by pattern, and what other servers' files beside pages say. The programs
are those of $EGALAXYD_BIN_DIR."""
import pathlib
import subprocess
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import spartan_client  # noqa: E402
from capsule import PATIENCE, Capsule, Folder, eventually, program  # noqa: E402
from titan_client import exchange  # noqa: E402

SITES = r"""
[[sites.localhost.redirects]]
from = '^/log/(\d+)$'
to = "/gemlog/$1"

[[sites.localhost.redirects]]
from = '^/moved(.*)$'
to = "/$1/evil.example"
permanent = true

[[sites.localhost.redirects]]
from = '^/away/(.*)$'
to = "gemini://other.example:1966/$1"

[sites.localhost."/"]
module = "directory"
root = "agate"
hidden = true
sidecar = ".meta"
lang = "en"
files."notes/**/*.txt" = { mime = "text/gemini", lang = "de" }

[sites.localhost."/".upload]
anyone = true
over = ["titan", "spartan"]

[sites.localhost."/molly"]
module = "directory"
root = "molly"
sidecar = ".molly"
"""

# As a capsule of agate 3.3 has them.
AGATE = {
    ".meta": "# defaults\nindex.gmi: ;lang=en-GB\nLICENSE: text/plain;charset=UTF-8\n"
             "gone.gmi: 52 This file is no longer here, sorry.\n**/*.nl.gmi: ;lang=nl\n*.de.gmi: ;lang=de\n",
    "index.gmi": "# Home\n", "LICENSE": "MIT\n", "a.de.gmi": "# Hallo\n", "other.gmi": "# Other\n",
    "notes/a.txt": "# A\n", "notes/deep/er/b.txt": "# B\n", "sub/x.nl.gmi": "# Hoi\n",
    "sub/.meta": "y: text/html\n", "sub/y": "<p>\n", "gemlog/7": "# 7\n", "log/8": "# old\n",
}
MOLLY = {
    ".molly": 'DefaultLang = "fi"\n[MimeOverrides]\n"atom.xml" = "application/atom+xml"\n',
    "index.gmi": "# Koti\n", "atom.xml": "<feed/>\n", "sub/a.gmi": "# A\n", "later/a.gmi": "# A\n",
}


class Patterns(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = Folder()
        cls.addClassCleanup(cls.folder.remove)
        for root, files in (("agate", AGATE), ("molly", MOLLY)):
            for name, text in files.items():
                file = cls.folder.path / root / name
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text)
        for path in [cls.folder.path / "agate", *(cls.folder.path / "agate").rglob("*")]:
            path.chmod(0o777 if path.is_dir() else 0o666)
        cls.server = Capsule(SITES, {"listen.spartan": '["127.0.0.1:0"]'}, cls.folder)
        cls.addClassCleanup(cls.server.close)
        cls.server.start()

    def header(self, path):
        answer = self.server.get(path)
        return f"{answer.status} {answer.meta}"

    def spartan(self, path):
        answer = spartan_client.request("localhost", self.server.spartan_port, path, b"", PATIENCE)
        return f"{answer[0]} {answer[1]}"

    def test_a_pattern_redirects_before_the_paths(self):
        self.assertEqual(self.header("/log/7"), "30 /gemlog/7")
        self.assertEqual(self.header("/%6Cog/7?a%20b"), "30 /gemlog/7?a%20b")
        self.assertEqual(self.header("/log/x"), "51 Not found")
        self.assertEqual(self.header("/away/a/%C3%BC"), "30 gemini://other.example:1966/a/%C3%BC")
        self.assertEqual(self.spartan("/log/7"), "3 /gemlog/7")

    def test_no_capture_leads_to_another_host(self):
        self.assertEqual(self.header("/moved"), "31 /evil.example")
        self.assertEqual(self.header("/moved//x"), "31 /x/evil.example")
        self.assertEqual(self.header("/moved%5C"), "31 /%5C/evil.example")
        self.assertEqual(self.header("/moved%0D%0A20"), "51 Not found")

    def test_uploads_and_edits_are_not_redirected(self):
        file = self.folder.path / "agate/log/8"
        self.assertEqual(self.server.put("/log/8", b"# new\n").status, 30)
        self.assertEqual(file.read_text(), "# new\n")
        edited = exchange(self.server.port, self.server.url("/log/8") + ";edit")
        self.assertEqual((edited.status, edited.body), (20, b"# new\n"))
        self.assertEqual(self.header("/log/8"), "30 /gemlog/8")

    def test_agates_files_are_honoured(self):
        for path, header in {
                "/": "20 text/gemini; lang=en-GB", "/LICENSE": "20 text/plain; charset=UTF-8",
                "/gone.gmi": "52 This file is no longer here, sorry.",
                "/a.de.gmi": "20 text/gemini; lang=de", "/other.gmi": "20 text/gemini; lang=en",
                "/sub/x.nl.gmi": "20 text/gemini; lang=nl", "/sub/y": "20 text/html",
                "/notes/a.txt": "20 text/gemini; lang=de",
                "/notes/deep/er/b.txt": "20 text/gemini; lang=de",
                "/.meta": "51 Not found", "/sub/.meta": "51 Not found"}.items():
            self.assertEqual(self.header(path), header, path)
        self.assertEqual(self.spartan("/LICENSE"), "2 text/plain; charset=UTF-8")

    def test_molly_browns_files_are_honoured(self):
        for path, header in {
                "/molly/": "20 text/gemini; lang=fi", "/molly/sub/a.gmi": "20 text/gemini; lang=fi",
                "/molly/atom.xml": "20 application/atom+xml", "/molly/.molly": "51 Not found"}.items():
            self.assertEqual(self.header(path), header, path)

    def test_a_sidecar_is_not_written_and_its_changes_are_seen(self):
        before = (self.folder.path / "agate/sub/.meta").read_text()
        self.assertEqual(self.server.put("/sub/.meta", b"x: text/plain\n").status, 51)
        self.assertEqual((self.folder.path / "agate/sub/.meta").read_text(), before)
        (self.folder.path / "molly/later/.molly").write_text('DefaultLang = "sv"\n')
        self.assertTrue(eventually(
            lambda: self.header("/molly/later/a.gmi") == "20 text/gemini; lang=sv"))

    def test_what_is_wrong_is_told_with_its_line(self):
        wrong = self.folder.path / "wrong.toml"
        wrong.write_text("[sites.h]\nroot = 'agate'\n[[sites.h.redirects]]\nfrom = '^/(a'\nto = '/'\n")
        done = subprocess.run([program("egalaxyd"), "--check", "--config", wrong],
                              cwd=self.folder.path, capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 78)
        self.assertIn("wrong.toml:4: sites.h.redirects[1].from", done.stderr + done.stdout)
        self.assertIn("missing ): ^/(a", done.stderr + done.stdout)


if __name__ == "__main__":
    unittest.main(verbosity=2)
