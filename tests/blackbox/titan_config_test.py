#!/usr/bin/env python3
"""What egalaxyd says of the keys of `upload`.
The programs are those of $EGALAXYD_BIN_DIR."""
import pathlib
import sys
import subprocess
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from capsule import UPLOAD_SITE, Capsule, Folder, program  # noqa: E402


class Configuration(unittest.TestCase):
    """What --check says of `upload`."""

    def setUp(self):
        self.folder = Folder()
        self.addCleanup(self.folder.remove)
        self.folder.make("up")

    def run_check(self, upload, option="--check"):
        server = Capsule(UPLOAD_SITE.replace("anyone = true", upload), folder=self.folder)
        return subprocess.run([program("egalaxyd"), option, "--config", server.write_config()],
                              capture_output=True, text=True, check=False, timeout=30)

    def test_accepted(self):
        for upload in ("anyone = true", 'fingerprints = ["*"]', f'tokens = ["sha256:{"0" * 64}"]',
                       f'fingerprints = ["SHA256:{"0" * 64}", "{"F" * 64}"]',
                       'over = ["titan", "spartan"]\nanyone = true',
                       'anyone = true\nmax_size = "1GiB"\nmime = ["text/*", "image/png"]\n'
                       'delete = true\ncreate_directories = true\nquota = "100MiB"',
                       'anyone = true\nquota = "off"\ntotal_quota = "1GiB"\nfiles = 100',
                       'anyone = true\noverwrite = "own"\nnew_folders = 1\ndepth = 1',
                       'anyone = true\nmin_free = "0"', 'anyone = true\nmin_free = "1GiB"'):
            with self.subTest(upload):
                done = self.run_check(upload)
                self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_refused(self):
        for upload, word in (
                ("", "anyone"), ("delete = true", "anyone"), ("anyone = false", "anyone"),
                ('over = ["titan", "spartan"]\nfingerprints = ["*"]', "anyone"),
                ('over = ["gopher"]\nanyone = true', "gopher"),
                ('fingerprints = ["abc"]', "upload.fingerprints: found something else"),
                ('tokens = ["secret"]', "sha256:"), ('tokens = ["sha256:abc"]', "sha256:"),
                ("anyon = true", "anyone"), ('anyone = true\nmax_sise = "1KiB"', "max_size"),
                ('anyone = true\nmax_size = "much"', "much"),
                ('anyone = true\nquota = "some"', "some"), ('anyone = "yes"', "anyone"),
                ('anyone = true\nquota = "1KiB"', "each file counts"),
                ('anyone = true\nmin_free = "100%"', "99%"), ('anyone = true\nfiles = 0', "files"),
                ('anyone = true\noverwrite = "none"', '"own"'),
                ('anyone = true\nmime = "text/*"', "mime"),
                ('anyone = true\nmime = ["text"]', "mime")):
            with self.subTest(upload):
                done = self.run_check(upload)
                said = done.stdout + done.stderr
                self.assertEqual(done.returncode, 78, said)
                self.assertIn(word, said)
                self.assertRegex(said, r"egalaxyd\.toml:\d+")

    def test_a_wrong_token_is_not_repeated(self):
        done = self.run_check('tokens = ["my-secret-token"]')
        self.assertNotIn("my-secret-token", done.stdout + done.stderr)

    def test_the_dump_holds_every_key(self):
        done = self.run_check("anyone = true", "--dump")
        self.assertEqual(done.returncode, 0, done.stderr)
        for key in ("over", "fingerprints", "tokens", "anyone", "max_size", "mime", "delete",
                    "overwrite", "create_directories", "new_folders", "depth", "quota",
                    "total_quota", "files", "min_free"):
            self.assertRegex(done.stdout, rf"(?m)^\s*{key} *= ")


if __name__ == "__main__":
    unittest.main()
