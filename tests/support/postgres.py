"""A throw-away PostgreSQL for tests in Python: a cluster of its own in /tmp, reached by a Unix socket
and a port of 127.0.0.1. It runs as the account postgres where the test is root."""
import contextlib
import os
import pathlib
import pwd
import shutil
import signal
import subprocess
import tempfile

from capsule import eventually, free_port

SETTINGS = """
listen_addresses = '127.0.0.1'
shared_buffers = 16MB
fsync = off
max_connections = 60
"""


def programs():
    """The folder with the newest initdb; None: there is no PostgreSQL here."""
    found = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/initdb"),
                   key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None


class Postgres:
    """Started, with the role egalaxyd (password "secret") and its empty database."""

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
        self.port = free_port()
        self._account = {}
        if os.geteuid() == 0:
            entry = pwd.getpwnam("postgres")
            os.chown(self.folder, entry.pw_uid, entry.pw_gid)
            self._account = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
        self.folder.chmod(0o755)
        self._process = None
        self._run("initdb", "-D", self.folder / "data", "-U", "postgres", "-E", "UTF8",
                  "--locale=C", "--no-sync", "-A", "trust")
        with open(self.folder / "data/postgresql.conf", "a", encoding="utf-8") as file:
            file.write(SETTINGS + f"port = {self.port}\nunix_socket_directories = '{self.folder}'\n")
        (self.folder / "data/pg_hba.conf").write_text(
            "local all postgres trust\nlocal all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n")
        self.start()
        self.sql("CREATE ROLE egalaxyd LOGIN PASSWORD 'secret'", "postgres")
        self.sql("CREATE DATABASE egalaxyd OWNER egalaxyd", "postgres")

    def _run(self, program, *arguments):
        done = subprocess.run([programs() / program, *map(str, arguments)], capture_output=True,
                              text=True, check=False, cwd="/", **self._account)
        if done.returncode != 0:
            raise RuntimeError(f"{program}: {done.stderr}")
        return done.stdout

    def start(self):
        with open(self.folder / "log", "ab") as log:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "QUIT", programs() / "postgres", "-D", self.folder / "data"], stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, cwd="/", start_new_session=True, **self._account)
        if not eventually(lambda: self._is_ready() or self._process.poll() is not None) or \
                self._process.poll() is not None:
            raise RuntimeError((self.folder / "log").read_text())

    def _is_ready(self):
        return subprocess.run([programs() / "pg_isready", "-q", "-h", self.folder, "-p",
                               str(self.port)], check=False).returncode == 0

    def stop(self):
        """Immediately, as a crash would."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(30)

    def configure(self, setting):
        """As a line of postgresql.conf, for connections from now on."""
        with open(self.folder / "data/postgresql.conf", "a", encoding="utf-8") as file:
            file.write(setting + "\n")
        loaded = "SELECT pg_conf_load_time()"
        before = self.sql(loaded)
        self._process.send_signal(signal.SIGHUP)
        eventually(lambda: self.sql(loaded) != before)

    def become_standby(self):
        """Of nobody: it reads, and takes no writes."""
        self.stop()
        (self.folder / "data/standby.signal").touch()
        self.start()

    def become_primary(self):
        self.stop()
        (self.folder / "data/standby.signal").unlink(missing_ok=True)
        self.start()

    def start_anew(self):
        """Where it was stopped."""
        if self._process.poll() is not None:
            self.start()

    def close(self):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def sql(self, statement, database="egalaxyd"):
        return self._run("psql", "-h", self.folder, "-p", self.port, "-U", "postgres", "-d", database,
                         "-X", "-q", "-At", "-c", statement).strip()

    def session(self):
        """A session that stays, and keeps its locks until close()."""
        return Session(["psql", "-h", self.folder, "-p", str(self.port), "-U", "postgres", "-d",
                        "egalaxyd", "-X", "-q", "-At"], self._account)

    def socket_url(self):
        return f"postgresql://egalaxyd@/egalaxyd?host={self.folder}&port={self.port}"

    def tcp_url(self):
        return f"postgresql://egalaxyd@localhost:{self.port}/egalaxyd?sslmode=disable"


class Session:
    def __init__(self, command, account):
        self._process = subprocess.Popen(
            [programs() / command[0], *command[1:]], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True, cwd="/", **account)

    def run(self, statements):
        """They are done when it returns."""
        self._process.stdin.write(f"{statements};\n\\echo done\n")
        self._process.stdin.flush()
        while self._process.stdout.readline() not in ("done\n", ""):
            pass

    def close(self):
        """What it holds is given up."""
        self._process.communicate()
