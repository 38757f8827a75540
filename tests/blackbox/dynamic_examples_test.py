#!/usr/bin/env python3
"""examples/dynamic does what its README says: each program is asked, and the configuration is checked.
The programs are those of $EGALAXYD_BIN_DIR."""
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import threading
import unittest

sys.dont_write_bytecode = True
SOURCE = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(SOURCE / "tests/support"))
from capsule import (PATIENCE, Capsule, Folder, eventually, free_port, listens, make_certificate,  # noqa: E402
                     program)
from titan_client import Conversation  # noqa: E402


class Examples(unittest.TestCase):
    def setUp(self):
        self.folder = Folder()
        self.addCleanup(self.folder.remove)
        self.path = self.folder.path
        shutil.copytree(SOURCE / "examples/dynamic", self.path, dirs_exist_ok=True)
        self.ports = {"4000": free_port(), "9000": free_port()}
        text = (self.path / "egalaxyd.toml").read_text()
        text = text[text.index("[sites."):].replace("/tmp/egalaxyd-example", str(self.folder.make("data")))
        self.server = Capsule(self.with_ports(text), {}, self.folder)
        self.addCleanup(self.server.close)
        self.ann = make_certificate(self.path, "ann")

    def with_ports(self, text):
        return re.sub(r"127\.0\.0\.1:(\d+)", lambda found: f"127.0.0.1:{self.ports[found[1]]}", text)

    def run_beside(self, *command, port):
        running = subprocess.Popen(command, cwd=self.path, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                   start_new_session=True)
        self.addCleanup(running.wait, PATIENCE)
        self.addCleanup(os.killpg, running.pid, signal.SIGKILL)
        self.assertTrue(eventually(lambda: listens(port)))

    def get(self, path, status=20, **options):
        answer = self.server.get(path, **options)
        self.assertEqual(answer.status, status, f"{answer}\n{self.server.log()}")
        return answer.body.decode() if status == 20 else answer.meta

    def test_the_counter_counts_everybody(self):
        self.server.start()
        asked = [threading.Thread(target=self.get, args=("/cgi-bin/counter",)) for _ in range(5)]
        for each in asked:
            each.start()
        for each in asked:
            each.join()
        self.assertEqual(self.get("/cgi-bin/counter"), "# Visit number 6\n")

    def test_the_guestbook_is_signed_by_who_has_a_certificate(self):
        self.server.start()
        self.assertIn("Nobody has written", self.get("/cgi-bin/guestbook"))
        self.get("/cgi-bin/guestbook/sign", 60)
        self.get("/cgi-bin/guestbook/sign", 10, certificate=self.ann)
        self.assertEqual(self.get("/cgi-bin/guestbook/sign?hello%0A%3D%3E%20there", 30,
                                  certificate=self.ann), "/cgi-bin/guestbook")
        self.assertIn("* ann: hello => there\n", self.get("/cgi-bin/guestbook"))

    def test_the_chat_goes_on_while_somebody_listens(self):
        self.server.start()
        with Conversation(self.server.port) as reader:
            reader.say(self.server.url("/chat", "gemini").encode() + b"\r\n")
            self.assertTrue(reader.listen(PATIENCE))
            self.get("/chat/say?good%20evening", certificate=self.ann)
            self.assertTrue(reader.hears(b"ann: good evening\n"))
            reader.reset()

    def test_the_wiki_is_edited_over_titan(self):
        self.server.start()
        self.assertIn("yours to write", self.get("/wiki/Home"))
        refused = self.server.put("/wiki/Home", b"# Mine\n", ";mime=text/gemini")
        self.assertEqual(refused.status, 60)
        saved = self.server.put("/wiki/Home", b"# Mine\n", ";mime=text/gemini", certificate=self.ann)
        self.assertEqual((saved.status, saved.meta), (30, self.server.url("/wiki/Home", "gemini")))
        self.assertTrue(self.get("/wiki/Home").startswith("# Mine\n"))
        self.get("/wiki/no_such", 51)
        self.assertEqual(self.get("/wiki", 30), "/wiki/Home")

    def test_dice_are_rolled_over_scgi(self):
        self.run_beside(sys.executable, "dice.py", str(self.ports["4000"]), port=self.ports["4000"])
        self.server.start()
        self.get("/dice", 10)
        self.assertRegex(self.get("/dice?3"), r"^# [1-6] [1-6] [1-6]\n")
        self.get("/dice?many", 59)

    def test_pages_of_php(self):
        fpm = shutil.which("php-fpm8.2", path=os.environ["PATH"] + ":/usr/sbin")
        if not fpm:
            self.skipTest("php-fpm8.2 is not installed")
        config = self.path / "php-fpm.conf"
        config.write_text(self.with_ports(config.read_text()))
        self.run_beside(fpm, "-n", "--nodaemonize", "--fpm-config", str(config), port=self.ports["9000"])
        self.server.start()
        self.assertEqual(self.get("/php/hello.php?Ann%20B"), "# Hello, Ann B\n\nYou come from 127.0.0.1.\n")
        self.get("/php/none.php", 51)

    def test_what_is_not_there_is_told(self):
        self.server.start()
        self.get("/dice?3", 43)

    def test_the_configuration_is_in_order_as_it_lies(self):
        done = subprocess.run([program("egalaxyd"), "--check", "--config",
                               SOURCE / "examples/dynamic/egalaxyd.toml"],
                              capture_output=True, text=True, timeout=PATIENCE, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
