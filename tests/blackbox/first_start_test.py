#!/usr/bin/env python3
"""A first start as a person sees it: in a terminal, without a configuration file, by the account that
runs the tests. The programs are those of $EGALAXYD_BIN_DIR."""
import contextlib
import os
import pathlib
import pty
import re
import signal
import socket
import ssl
import subprocess
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from capsule import PATIENCE, Folder, eventually, program  # noqa: E402

CTRL_C = b"\x03"


class Terminal:
    """egalaxyd in a pseudo terminal, which is its whole screen and keyboard."""

    def __init__(self, folder, *arguments):
        self._shown = b""
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            os.execv(program("egalaxyd"), ["egalaxyd", *map(str, arguments)])
        os.set_blocking(self._fd, False)

    def shown(self):
        with contextlib.suppress(OSError):  # EAGAIN; EIO at the end
            while chunk := os.read(self._fd, 65536):
                self._shown += chunk
        return self._shown.decode(errors="replace").replace("\r\n", "\n")

    def shows(self, text):
        return eventually(lambda: text in self.shown())

    def press(self, keys):
        with contextlib.suppress(OSError):  # it has gone
            os.write(self._fd, keys)

    def kill(self):
        with contextlib.suppress(OSError):
            os.killpg(self.pid, signal.SIGKILL)
        with contextlib.suppress(OSError):
            os.waitpid(self.pid, 0)
        os.close(self._fd)


class FirstStart(unittest.TestCase):
    def setUp(self):
        self.folder = Folder()
        self.addCleanup(self.folder.remove)
        self.root = self.folder.path / "root"
        self.root.mkdir()
        (self.root / "notes.gmi").write_text("# Notes\n")
        self.places = ["--state-dir", self.folder.path / "state",
                       "--runtime-dir", self.folder.path / "run"]
        if os.geteuid() == 0:
            self.places += ["--user", "root"]

    def start(self, *arguments):
        terminal = Terminal(self.root, *self.places, "--gemini", "127.0.0.1:0", "--spartan", "off",
                            *arguments)
        self.addCleanup(terminal.kill)
        self.assertTrue(terminal.shows("Ctrl-C stops it"), terminal.shown())
        return terminal

    def port(self, terminal):
        return int(re.search(r"^gemini://127\.0\.0\.1:(\d+)/$", terminal.shown(), re.M)[1])

    def test_shows_one_block_after_all_log_lines(self):
        lines = self.start().shown().splitlines()
        begin = lines.index(f"Serving {self.root} at")
        self.assertIn("ready: generation 1", lines[begin - 1])
        block = "\n".join(lines[begin:])
        self.assertRegex(block, rf"""(?x)\A
            Serving\ {re.escape(str(self.root))}\ at\n
            (gemini://[^\s]+/\n)+
            Certificate\ {re.escape(str(self.folder.path))}/state/certificates/localhost\.crt,
            \ SHA-256\ [0-9a-f]{{64}}\n
            Ctrl-C\ stops\ it;\ again:\ at\ once\.\Z""")

    def test_says_that_other_names_and_addresses_work_where_they_do(self):
        text = "and by every other name and address of this machine.\n"
        self.assertNotIn(text, self.start().shown())
        self.places[1:4:2] = [self.folder.path / "other-state", self.folder.path / "other-run"]
        self.assertIn(text, self.start("--port", "0").shown())

    def test_ctrl_c_says_whom_it_waits_for_and_a_second_one_ends_it(self):
        terminal = self.start()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with socket.create_connection(("127.0.0.1", self.port(terminal)), PATIENCE) as plain, \
                context.wrap_socket(plain, server_hostname="localhost") as client:
            client.send(b"gemini://local")  # and never the rest
            terminal.press(CTRL_C)
            self.assertTrue(terminal.shows("begun: 1 request, uploads included; for 30 s at most"), terminal.shown())
            # Two within a few milliseconds count as one, as timeout(1) sends them.
            self.assertTrue(eventually(lambda: terminal.press(CTRL_C)
                                       or "ending all workers now" in terminal.shown()),
                            terminal.shown())
            self.assertTrue(terminal.shows("exit code 0"), terminal.shown())

    def test_ctrl_c_without_clients_waits_for_nobody(self):
        terminal = self.start()
        terminal.press(CTRL_C)
        self.assertTrue(terminal.shows("finish what they have begun: nothing"),
                        terminal.shown())
        self.assertTrue(terminal.shows("exit code 0"), terminal.shown())

    def run_to_its_end(self, *arguments, **environment):
        kept = {name: value for name, value in os.environ.items()
                if name not in ("HOME", "STATE_DIRECTORY", "RUNTIME_DIRECTORY", "XDG_STATE_HOME",
                                "XDG_RUNTIME_DIR")}
        return subprocess.run([program("egalaxyd"), "--gemini", "127.0.0.1:0", "--spartan", "off",
                               *map(str, arguments)], cwd=self.root, env={**kept, **environment},
                              capture_output=True, text=True, timeout=PATIENCE, check=False)

    def test_a_working_directory_that_has_gone_is_said(self):
        for name in ("egalaxyd", "egalaxyctl"):
            gone = self.folder.path / "gone"
            gone.mkdir()
            lost = subprocess.run(["sh", "-c", 'rmdir "$1" && exec "$2" --version', "sh", gone,
                                   program(name)], cwd=gone, capture_output=True, text=True,
                                  check=False)
            self.assertEqual(lost.returncode, 69, lost.stderr)
            self.assertIn("working directory", lost.stderr)

    @unittest.skipIf(os.geteuid() == 0, "root reads everything")
    def test_a_folder_that_may_not_be_read_names_the_account(self):
        self.root.chmod(0)
        self.addCleanup(self.root.chmod, 0o755)
        terminal = Terminal(self.folder.path, *self.places, "--port", "0", "--spartan", "off",
                            self.root)
        self.addCleanup(terminal.kill)
        self.assertTrue(terminal.shows(f"{self.root} cannot be read by "), terminal.shown())
        self.assertIn(f"(uid {os.geteuid()})", terminal.shown())

    @unittest.skipIf(os.geteuid() == 0, "root keeps its state in /var/lib")
    def test_a_home_that_cannot_be_written_or_is_not_there_names_the_option_that_helps(self):
        home = self.folder.path / "home"
        home.mkdir(mode=0o500)
        locked = self.run_to_its_end(HOME=str(home))
        self.assertEqual(locked.returncode, 77, locked.stderr)
        self.assertIn(str(home), locked.stderr)
        self.assertIn("--state-dir", locked.stderr)
        homeless = self.run_to_its_end()
        self.assertEqual(homeless.returncode, 78, homeless.stderr)
        self.assertIn("--state-dir", homeless.stderr)


if __name__ == "__main__":
    unittest.main()
