"""A real egalaxyd in a folder of its own, for tests in Python; tests/support/capsule.h is its like.
The program is the one in $EGALAXYD_BIN_DIR. Standard library only."""
import contextlib
import hashlib
import os
import pathlib
import pwd
import random
import re
import shutil
import signal
import socket
import sqlite3
import ssl
import subprocess
import tempfile
import time

from titan_client import exchange

PATIENCE = 30  # seconds: far beyond what a busy machine with sanitizers needs
OFFENCES = ("left open", "AddressSanitizer", "ThreadSanitizer", "LeakSanitizer", "runtime error:",
            "stack smashing", "terminate called", "Assertion")  # what no server may have said
TEMPORARY = ".egalaxyd-"  # what the names of unfinished uploads begin with

# A folder "up" that takes uploads from anyone; add keys to the end.
UPLOAD_SITE = """
[sites.localhost."/up"]
module = "directory"
root = "up"
[sites.localhost."/up".upload]
anyone = true
"""


def program(name):
    return pathlib.Path(os.environ["EGALAXYD_BIN_DIR"]).resolve() / name


def uses_its_own_memory():
    """Whether what egalaxyd takes is its own: a sanitizer keeps what was freed."""
    return b"__asan_init" not in program("egalaxyd").read_bytes()


def eventually(state, patience=PATIENCE):
    """The first true value that `state` returns; its last value when `patience` runs out."""
    until = time.monotonic() + patience
    while True:
        found = state()
        if found or time.monotonic() >= until:
            return found
        time.sleep(0.01)


def free_port():
    """One that nobody uses, for a program that is told its port. The kernel gives none of these away, so
    no other test comes by it meanwhile."""
    while True:
        port = random.randrange(10_000, 20_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def listens(port):
    """Whether somebody does, on 127.0.0.1."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextlib.contextmanager
def silent_port():
    """One where nobody listens, nor anybody else can."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


def processes(parent=None, group=None):
    """Living ones of that parent, or of that process group. A dead one that nobody has waited for
    yet is none: process 1 may take a second for an orphan."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                fields = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
                if fields[0] != "Z" and (int(fields[1]) == parent or int(fields[2]) == group):
                    found.append(int(entry.name))
    return sorted(found)


def name_of(pid):
    """As ps shows it; "" when there is no such process."""
    with contextlib.suppress(OSError):
        return pathlib.Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


def make_certificate(folder, name, expired=False):
    """(certificate file, key file) of a self-signed P-256 certificate."""
    cert, key = folder / f"{name}.crt", folder / f"{name}.key"
    new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key]
    if not expired:
        _openssl("req", "-x509", *new_key, "-out", cert, "-days", "30", "-subj", f"/CN={name}")
    else:
        _openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", key)
        sign_as_expired(key, cert, name)
    return str(cert), str(key)


def sign_as_expired(key, certificate, name):
    """A self-signed certificate of that key, whose time is over. OpenSSL 3.5 makes none."""
    with tempfile.NamedTemporaryFile("w", suffix=".template") as template:
        template.write(f'cn = "{name}"\nactivation_date = "2024-01-01 00:00:00 UTC"\n'
                       'expiration_date = "2024-06-01 00:00:00 UTC"\n')
        template.flush()
        subprocess.run(["certtool", "--generate-self-signed", "--load-privkey", str(key),
                        "--template", template.name, "--outfile", str(certificate)],
                       check=True, capture_output=True)


def _openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


def fingerprint(certificate):
    """SHA-256 of the DER certificate, as a user's id is written."""
    pem = pathlib.Path(certificate[0]).read_text()
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def small_disk(test, folder):
    """Makes `folder` a disk of 1 MiB for the time of the test; skips it where that cannot be."""
    if os.geteuid() != 0:
        test.skipTest("only root can mount a small disk")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=777", "tmpfs", folder],
                             capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        test.skipTest(f"cannot mount a tmpfs: {mounted.stderr.strip()}")
    # A process that was told to end may have a file of it still.
    test.addCleanup(subprocess.run, ["umount", "--lazy", folder], check=True)
    return folder


class Folder:
    """Temporary, open to the workers' account, gone at the end."""

    def __init__(self):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="egalaxyd-")).resolve()
        self.path.chmod(0o755)

    def make(self, name):
        """A folder in which workers may write, whatever account they have."""
        made = self.path / name
        made.mkdir(parents=True, exist_ok=True)
        made.chmod(0o777)
        return made

    def remove(self):
        for path, folders, _ in os.walk(self.path):
            for name in folders:  # an ordinary user cannot empty what a test made read-only
                with contextlib.suppress(OSError):
                    os.chmod(os.path.join(path, name), 0o755)
        shutil.rmtree(self.path, ignore_errors=True)


class Capsule:
    """Serves `sites` (TOML) on a port of 127.0.0.1 that the kernel chose, two workers, no rate
    limit, unless `settings` ({"limits.upload_timeout": '"1s"'}) say otherwise. The folder is given
    to `account`, if there is one, and the server runs as it."""

    def __init__(self, sites, settings=None, folder=None, account=None):
        self._own_folder = None if folder else Folder()
        self.folder = folder or self._own_folder
        self.sites = sites
        self.settings = {
            "server.workers": "2", "server.state_dir": '"state"', "server.runtime_dir": '"run"',
            "server.drain_timeout": '"20s"', "listen.gemini": '["127.0.0.1:0"]',
            "listen.spartan": "[]", "rate_limit.enabled": "false",
            "rate_limit.exempt": "[]",
            "limits.handshake_timeout": '"30s"', "limits.request_timeout": '"30s"',
            **({"server.user": '"root"'} if os.geteuid() == 0 else {}), **(settings or {})}
        self.account = {}
        if account:
            entry = pwd.getpwnam(account)
            os.chown(self.folder.path, entry.pw_uid, entry.pw_gid)
            self.account = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
        self.port = self.titan_port = None
        self._process = None

    def write_config(self):
        file = self.folder.path / "egalaxyd.toml"
        file.write_text("".join(f"{key} = {value}\n" for key, value in self.settings.items())
                        + "\n" + self.sites)
        return file

    def start(self, environment=None):
        """Raises, with what the server said, when it does not become ready."""
        config = self.write_config()
        self._log_mark = len(self.log())
        with open(self.folder.path / "err", "ab") as err:
            self._process = subprocess.Popen(
                [program("egalaxyd"), "--config", config], cwd=self.folder.path,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=err,
                start_new_session=True, env={**os.environ, **(environment or {})}, **self.account)
        eventually(lambda: "ready: generation" in self.log_since_start() or not self.running())
        ports = dict((kind, int(port)) for port, kind in re.findall(
            r"listening on 127\.0\.0\.1:(\d+) for (.*)", self.log_since_start()))
        if not self.running() or "ready: generation" not in self.log_since_start():
            self.kill()
            raise RuntimeError("egalaxyd did not become ready:\n" + self.log_since_start())
        self.port, self.titan_port = ports["Gemini and Titan"], ports.get("Titan")
        self.spartan_port = ports.get("Spartan")
        return self

    def running(self):
        return self._process.poll() is None

    def children(self):
        return processes(parent=self._process.pid)

    def workers(self):
        return [pid for pid in self.children() if name_of(pid) == "egalaxyd-worker"]

    def signal(self, number):
        self._process.send_signal(number)

    def signal_all(self, number):
        """To the master and all its processes."""
        os.killpg(self._process.pid, number)

    def kill(self):
        """SIGKILL for the master and every worker, in one call."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(PATIENCE)
        eventually(lambda: not self._group_lives())

    def stop(self):
        """SIGTERM; complaints about how it went, none when all is well."""
        self._process.terminate()
        try:
            code = self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()
            return ["does not leave after SIGTERM"]
        wrong = [] if code == 0 else [f"exit code {code}"]
        if self._group_lives():
            wrong.append("a worker outlived the master")
            self.kill()
        return wrong + [f"the log speaks of {word!r}" for word in OFFENCES if word in self.log()]

    def _group_lives(self):
        return bool(processes(group=self._process.pid))

    def close(self):
        """For the end of a test class: stops what runs, removes the folder; raises when the server
        did not leave as it should."""
        wrong = []
        if self._process and self.running():
            wrong = self.stop()
        log = self.log()
        if self._own_folder:
            self._own_folder.remove()
        if wrong:
            raise AssertionError("; ".join(wrong) + ":\n" + log)

    def log(self):
        file = self.folder.path / "err"
        return file.read_text(errors="replace") if file.exists() else ""

    def log_since_start(self):
        return self.log()[self._log_mark:]

    def url(self, path, scheme="titan"):
        return f"{scheme}://localhost:{self.port}{path}"

    def get(self, path, **options):
        return exchange(self.port, self.url(path, "gemini"), **options)

    def put(self, path, body, parameters="", **options):
        """An upload with the size of `body`; the other parameters are the protocol's defaults."""
        return exchange(self.port, f"{self.url(path)};size={len(body)}{parameters}", body,
                        **options)

    def uploads(self, where="1", *values):
        """Rows of the upload records, oldest first, as dictionaries."""
        return self.rows("uploads", where, *values)

    def pending_uploads(self):
        """Rows of uploads that were announced and are neither settled nor dropped."""
        return self.rows("pending_uploads")

    def rows(self, table, where="1", *values, order="id"):
        database = sqlite3.connect(f"file:{self.folder.path}/state/db/egalaxyd.db?mode=ro", uri=True,
                                   timeout=PATIENCE)
        with contextlib.closing(database):
            database.row_factory = sqlite3.Row
            return [dict(row) for row in database.execute(
                f"SELECT * FROM {table} WHERE {where} ORDER BY {order}", values)]

    def temporary_files(self):
        # Not by rglob(), which fails where a folder goes meanwhile.
        return [os.path.join(folder, name) for folder, folders, files in os.walk(self.folder.path)
                for name in folders + files if name.startswith(TEMPORARY)]
