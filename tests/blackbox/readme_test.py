#!/usr/bin/env python3
"""Walks README.md's first five minutes as a newcomer does: each command and each block of TOML is
taken from the README as it is, so that neither goes stale. In a network, a /srv and a home of its own:
the ports are those that the README promises. Skipped (77) where no such room may be made. The programs
are those of $EGALAXYD_BIN_DIR."""
import contextlib
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
SOURCE = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(SOURCE / "tests/support"))
from capsule import OFFENCES, PATIENCE, eventually, processes  # noqa: E402

INSIDE = "EGALAXYD_README_ROOM"
SKIPPED = 77
# A room of its own: hosts of the README lead here, /srv is empty, and nobody has a capability left.
ROOM = """ip link set lo up && mount -t tmpfs tmpfs /srv && mount --bind "$ROOM/hosts" /etc/hosts &&
exec setpriv --inh-caps=-all --ambient-caps=-all "$@" """


def enter_room():
    """Runs this file once more inside; the exit code."""
    room = tempfile.mkdtemp(prefix="egalaxyd-readme-")
    names = f"localhost example.org {socket.gethostname()}"
    pathlib.Path(room, "hosts").write_text(f"127.0.0.1 {names}\n::1 localhost\n")
    os.chmod(room, 0o755)  # workers of a server that is root look into it
    environment = {**os.environ, INSIDE: room, "ROOM": room}
    root = os.geteuid() == 0
    own = ["unshare", "--mount", "--net", *([] if root else ["--map-current-user", "--keep-caps"])]
    inner = [sys.executable, __file__, *sys.argv[1:]]
    try:
        may = subprocess.run([*own, "sh", "-c", ROOM, "sh", "true"], env=environment,
                             capture_output=True, text=True)
        if may.returncode != 0:
            print("no room of its own may be made here:", may.stderr)
            return SKIPPED
        return subprocess.run([*own, "sh", "-c", ROOM, "sh", *inner], env=environment).returncode
    finally:
        shutil.rmtree(room, ignore_errors=True)


def readme_section(title):
    text = (SOURCE / "README.md").read_text()
    return re.search(rf"^## {title}\n(.*?)(?=^## )", text, re.M | re.S).group(1)


def part(section, heading):
    """From **heading to the next one."""
    return re.search(rf"^\*\*{heading}.*?(?=^\*\*|\Z)", section, re.M | re.S).group(0)


def commands(text):
    """Lines that are to be typed, without their comments."""
    return [re.sub(r"\s+#.*", "", line).strip() for line in re.findall(r"^    (\S.*)$", text, re.M)]


def toml(text):
    return "\n".join(re.findall(r"^```toml\n(.*?)^```", text, re.M | re.S))


FIVE = readme_section("Five minutes")


class Newcomer(unittest.TestCase):
    def setUp(self):
        self.home = pathlib.Path(tempfile.mkdtemp(dir=os.environ[INSIDE]))
        os.chmod(self.home, 0o755)
        self.where = self.home
        programs = pathlib.Path(os.environ["EGALAXYD_BIN_DIR"]).resolve()
        self.environment = {
            "PATH": f"{programs}:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(self.home), "LANG": "C.UTF-8",
            "STATE_DIRECTORY": str(self.home / "state"), "RUNTIME_DIRECTORY": str(self.home / "run")}
        capsule = self.home / "my-capsule"
        shutil.copytree(SOURCE / "examples/capsule", capsule)
        os.chmod(capsule, 0o755)
        self.page = (capsule / "index.gmi").read_text()

    def tearDown(self):
        shutil.rmtree(self.home, ignore_errors=True)

    def run_command(self, command, expected=0, environment=()):
        if command.startswith("cd "):
            self.where = pathlib.Path(command[3:].replace("~", str(self.home), 1))
            return ""
        done = subprocess.run(["bash", "-c", command], cwd=self.where, capture_output=True, text=True,
                              timeout=PATIENCE * 2, env={**self.environment, **dict(environment)})
        self.assertEqual(done.returncode, expected, f"{command}\n{done.stdout}{done.stderr}")
        return done.stdout + done.stderr

    @contextlib.contextmanager
    def server(self, command):
        """What it has said by the time it serves."""
        said = self.where / "said"
        with open(said, "wb") as out:
            running = subprocess.Popen(["bash", "-c", "exec " + command], cwd=self.where, stdout=out,
                                       stderr=out, env=self.environment)
        try:
            def serves():
                asked = subprocess.run(["egalaxyctl", "status"], capture_output=True, env=self.environment)
                return running.poll() is not None or asked.returncode == 0
            self.assertTrue(eventually(serves, PATIENCE * 2), said.read_text())
            self.assertIsNone(running.poll(), said.read_text())
            yield eventually(lambda: "://" in said.read_text()) and said.read_text()
        finally:
            if running.poll() is None:
                running.send_signal(signal.SIGTERM)
            self.assertEqual(running.wait(PATIENCE * 2), 0, said.read_text())
        for offence in OFFENCES:
            self.assertNotIn(offence, said.read_text())
        self.assertEqual(processes(parent=running.pid), [])
        said.unlink()

    def get(self, url, expected=0, more=""):
        return self.run_command(f"egalaxyctl get '{url}' {more}", expected)

    def test_a_folder_is_served_under_the_urls_that_are_printed(self):
        step = part(FIVE, "Serve a folder")
        typed = commands(step)
        self.assertEqual([line.split()[0] for line in typed], ["cd", "egalaxyd"])
        variant = re.search(r"# or: (egalaxyd \S+)", step).group(1)
        for line in [*typed, variant]:
            if line.startswith("cd"):
                self.run_command(line)
                continue
            with self.server(line) as said:
                urls = re.findall(r"(?:gemini|spartan)://[^\s,;]+", said)
                self.assertTrue(any(url.startswith("gemini://") for url in urls), said)
                self.assertTrue(any(url.startswith("spartan://") for url in urls), said)
                for url in urls:
                    with self.subTest(url=url):
                        self.assertIn(self.page, self.get(url))

    def test_a_domain_of_ones_own_is_checked_dumped_and_served(self):
        step = part(FIVE, "Serve your own domain")
        self.run_command("cd ~/my-capsule")
        (self.where / "egalaxyd.toml").write_text(toml(step))
        served = pathlib.Path("/srv/gemini/example.org")
        (served / "new").mkdir(parents=True)
        (served / "index.gmi").write_text("# Mine\n")
        (served / "new/page.gmi").write_text("# Moved\n")
        typed = commands(step)
        self.assertEqual(typed, ["egalaxyd --check", "egalaxyd --dump", "egalaxyd"])
        self.run_command(typed[0])
        dump = self.run_command(typed[1])
        self.assertIn('[sites."example.org"."/old"]', dump)
        self.assertIn("[limits]", dump)  # "defaults included"
        with self.server(typed[2]):
            self.assertIn("# Mine", self.get("gemini://example.org/"))
            self.assertIn("# Moved", self.get("gemini://example.org/old/page.gmi"))
            head = self.get("gemini://example.org/old/page.gmi", more="--head")
            self.assertIn("31 /new/page.gmi\n", head)

    def test_members_and_uploads_work_as_pasted(self):
        parts = [part(FIVE, each) for each in ("Serve your own domain", "Members", "Uploads")]
        self.run_command("cd ~/my-capsule")
        for name in ("example.org", "members", "wiki"):
            folder = pathlib.Path("/srv/gemini") / name
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "index.gmi").write_text(f"# {name}\n")
            os.chmod(folder, 0o777)  # whichever account the workers have
        put = [line for line in commands(parts[2]) if " put " in line]
        self.assertEqual(len(put), 1)
        token, digest = self.run_command("egalaxyctl token").split()
        text = "\n".join(toml(each) for each in parts)
        (self.where / "egalaxyd.toml").write_text(text)
        self.run_command("egalaxyd --check")  # as pasted
        (self.where / "egalaxyd.toml").write_text(text + f'\ntokens = ["{digest}"]\n')
        self.run_command("egalaxyctl certificate create me.example --dir .")
        (self.where / "page.gmi").write_text("# Uploaded\n")
        with self.server("egalaxyd"):
            self.assertIn("60", self.get("gemini://example.org/members/", expected=self.refused))
            mine = "--cert me.example.crt --key me.example.key"
            self.assertIn("# members", self.get("gemini://example.org/members/", more=mine))
            self.get("gemini://example.org/members/ask?Alice", more=mine)
            self.assertIn("Alice", self.run_command("egalaxyctl users show $(egalaxyctl users | "
                                                    "grep -Eo '[0-9a-f]{16}' | head -n 1)"))
            self.run_command(put[0].replace("EGALAXYCTL_TOKEN=…", f"EGALAXYCTL_TOKEN={token}"))
            self.assertIn("# Uploaded", self.get("gemini://example.org/wiki/page.gmi"))
            self.run_command("egalaxyctl put page.gmi titan://example.org/wiki/other.gmi " + mine)
            self.assertIn("# Uploaded", self.get("gemini://example.org/wiki/other.gmi"))

    refused = 6  # a certificate is wanted: egalaxyctl(1)

    def test_bootstrap_run_serves_the_example(self):
        readme = (SOURCE / "README.md").read_text()
        get = re.search(r"`(build/release/bin/egalaxyctl get [^`]+)`", readme).group(1)
        tree = self.home / "tree"
        (tree / "build/release").mkdir(parents=True)
        (tree / "build/release/bin").symlink_to(pathlib.Path(os.environ["EGALAXYD_BIN_DIR"]).resolve())
        shutil.copytree(SOURCE / "examples/capsule", tree / "examples/capsule")
        run = re.search(r"^run\)\n(.*?)^  ;;", (SOURCE / "bootstrap").read_text(), re.M | re.S).group(1)
        script = "build_packages=; need() { :; }; build() { :; }; set -eu; set -- run\n" + run
        (tree / "run").write_text(script)
        self.where = tree
        with self.server("bash run"):
            self.assertIn(self.page, self.run_command(get))
            for url in re.findall(r"`((?:gemini|spartan)://[^`]+)`", readme.split("## Five minutes")[0]):
                self.assertIn(self.page, self.get(url))


if __name__ == "__main__":
    if INSIDE not in os.environ:
        sys.exit(enter_room())
    unittest.main()
