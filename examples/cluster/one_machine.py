"""The whole cluster on one machine, out of the files beside this one: their addresses, ports, paths and
secrets are exchanged for those of this machine, nothing else. `up` shows it; tests/torture/cluster
kills, freezes and cuts off its parts. Standard library only.

As root, databases and etcd run as postgres, the rest as egalaxyd, or nobody where there is no such
account; else all runs as whoever starts it.
"""
import contextlib
import json
import os
import pathlib
import pwd
import random
import re
import secrets
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.request

FILES = pathlib.Path(__file__).resolve().parent
POSTGRES = pathlib.Path("/usr/lib/postgresql/15/bin")
PORTS = ("1965", "3000", "5432", "8008", "2379", "2380")  # as the files name them
PATIENCE = 90  # seconds that a part may take to come up on a busy machine


class Missing(Exception):
    """A program that is not installed; the text names it and its package."""


class Failed(Exception):
    """A part did not become what it should; the text has its last words."""


def missing(egalaxyd="egalaxyd", without=()):
    """What is not installed, in words; "" when all is there but for programs that are not needed."""
    needed = {egalaxyd: "egalaxyd", POSTGRES / "postgres": "postgresql-15", "patroni": "patroni",
              "etcd": "etcd-server", "haproxy": "haproxy", "openssl": "openssl"}
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    return ", ".join(f"{name} (package {package})" for name, package in needed.items()
                     if name not in without and not shutil.which(str(name), path=path))


def eventually(state, patience=PATIENCE, pause=0.05):
    """The first true value that `state` returns; its last value when `patience` runs out."""
    until = time.monotonic() + patience
    while True:
        found = state()
        if found or time.monotonic() >= until:
            return found
        time.sleep(pause)


def free_ports(count, wanted=()):
    """Ports that no address of this machine uses: first those of `wanted` that are free. Below the
    range that outgoing connections take theirs from."""
    found = []
    candidates = [*wanted, *random.sample(range(20000, 32000), 400)]
    for port in candidates:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("0.0.0.0", port))
            found.append(port)
        if len(found) == count:
            return found
    raise Failed("no free ports")


def descendants(pid):
    """The process and all below it that have not ended."""
    below = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                stat = pathlib.Path(f"/proc/{entry}/stat").read_text(errors="replace")
                state, parent = stat.rpartition(")")[2].split()[:2]
                if state != "Z":
                    below.setdefault(int(parent), []).append(int(entry))
                if int(entry) == pid and state == "Z":
                    return []
    found = [pid] if os.path.exists(f"/proc/{pid}") else []
    for member in found:
        found += below.get(member, [])
    return found


@contextlib.contextmanager
def uninterrupted():
    """Whoever asks us to end waits: a process that is being started must be known first, to be stopped."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came = []
    before = {number: signal.signal(number, lambda caught, _: came.append(caught))
              for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for number in came[:1]:
            signal.raise_signal(number)


def account(*names):
    """The words that have a command run as the first account that exists; none for an ordinary user."""
    if os.geteuid() != 0:
        return [], None
    for name in names:
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return ["setpriv", f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", "--clear-groups"], entry
    raise Missing(f"the account {names[0]}")


def left_in(session, words):
    """Processes of that session whose command line has the words: those whose parent has ended, too."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                command = pathlib.Path(f"/proc/{entry}/cmdline").read_bytes().replace(b"\0", b" ")
                if os.getsid(int(entry)) == session and words.encode() in command:
                    found.append(int(entry))
    return found


class Loopback:
    """Machines 1 to 3 are 127.0.1.1 to .3, the one in front 127.0.0.1."""
    front, etcd, everybody, proxies = "127.0.0.1", "127.0.1.1", "127.0.0.0/8", "127.0.0.1/32"

    def address(self, number):
        return f"127.0.1.{number}"

    def within(self, number):
        """The words that have a command run on that machine."""
        return []

    def make(self):
        pass

    def remove(self):
        pass


class Service:
    """A program that runs until it is stopped. What it says goes to `folder`/log."""

    def __init__(self, name, command, folder, environment=None, below=lambda: None):
        """`below` returns the process of another tree that belongs to it; None: there is none."""
        self.name, self.folder = name, folder
        self._command, self._environment, self._below = command, environment or {}, below
        self._process = None
        self._mark = 0

    def start(self):
        with open(self.folder / "log", "ab") as log, uninterrupted():
            self._mark = log.tell()
            self._process = subprocess.Popen(
                [str(word) for word in self._command], cwd=self.folder, stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, start_new_session=True, env={**os.environ, **self._environment})
        return self

    @property
    def pid(self):
        return self._process.pid

    def running(self):
        return self._process is not None and self._process.poll() is None

    def log(self):
        """What it has said since it was started."""
        with contextlib.suppress(OSError):
            return (self.folder / "log").read_bytes()[self._mark:].decode(errors="replace")
        return ""

    def last_words(self):
        return f"{self.name}:\n" + "\n".join(self.log().strip().splitlines()[-12:])

    def pids(self):
        roots = [self._process.pid] if self.running() else []
        if self._process:  # Patroni leaves a child that starts its database
            roots += left_in(self._process.pid, str(self.folder))
        return [*{pid for root in (*roots, self._below()) if root for pid in descendants(root)}]

    def signal(self, number):
        """To all of its processes, those included that they start meanwhile."""
        told = set()
        while new := set(self.pids()) - told:
            for pid in new:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
            told |= new

    def freeze(self):
        self.signal(signal.SIGSTOP)

    def thaw(self):
        self.signal(signal.SIGCONT)

    def kill(self):
        """All at once, as when a machine loses its power."""
        self.freeze()
        self.signal(signal.SIGKILL)
        if self._process:
            self._process.wait()
        eventually(lambda: not self.pids(), 10)

    def ask(self):
        """SIGTERM to the program itself."""
        if self.running():
            self.thaw()
            self._process.terminate()

    def stop(self, patience=20):
        """Asks, then insists."""
        self.ask()
        if self._process:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(patience)
        self.kill()


class Cluster:
    """`with Cluster(folder, bin) as cluster:` The folder must be reachable by the accounts."""

    def __init__(self, folder, egalaxyd, network=None, settings="", wanted_ports=(), machines=3):
        """`settings`: more TOML for each egalaxyd; `wanted_ports`: for Gemini and Spartan, where free."""
        self.folder, self.egalaxyd = pathlib.Path(folder).resolve(), egalaxyd
        self.network = network or Loopback()
        self._settings = settings
        self.numbers = range(1, machines + 1)
        gemini_and_spartan = free_ports(2, wanted_ports)
        self.ports = dict(zip(PORTS, gemini_and_spartan + free_ports(4)))
        self.superuser, self._replication, self._password = (secrets.token_hex(16) for _ in range(3))
        self._database, self._database_account = account("postgres")
        self._web, self._web_account = account("egalaxyd", "nobody")
        self.patroni, self.web = {}, {}
        self.etcd = self.haproxy = None

    @property
    def gemini(self):
        return int(self.ports["1965"])

    @property
    def spartan(self):
        return int(self.ports["3000"])

    # The files, as this machine needs them.

    def render(self, name, number=1):
        """The text of a file, for that machine."""
        text = (FILES / name).read_text()
        text = text.replace("h1=http://192.0.2.1:2380,h2=http://192.0.2.2:2380,h3=http://192.0.2.3:2380",
                            "h1=http://etcd:2380")
        text = text.replace("192.0.2.1:2379,192.0.2.2:2379,192.0.2.3:2379", "etcd:2379")
        own = re.sub(r"192\.0\.2\.1(?!\d)(?=.*# this machine's)", f"192.0.2.{number}", text)
        own = re.sub(r"\bh1\b(?=.*# this machine's)", f"h{number}", own)
        if name == "etcd.default":
            own = own.replace("192.0.2.1:", "etcd:")
        own = own.replace("192.0.2.0/24", self.network.proxies if name == "egalaxyd.toml"
                          else self.network.everybody)
        own = own.replace("192.0.2.10:", f"{self.network.front}:").replace("etcd:23", f"{self.network.etcd}:23")
        own = re.sub(r"192\.0\.2\.(\d)(?!\d)", lambda found: self.network.address(int(found[1])), own)
        own = re.sub(r"(?<=[\d.]:)(%s)\b" % "|".join(PORTS), lambda found: str(self.ports[found[1]]), own)
        own = own.replace("connect port 3000", f"connect port {self.spartan}")
        return self._exchange_paths(own, number)

    def _exchange_paths(self, text, number):
        machine = self.folder / f"h{number}"
        for theirs, ours in {
                "/var/lib/postgresql/15/egalaxyd": machine / "patroni/data",
                "/var/lib/postgresql/.pgpass-patroni": machine / "patroni/pgpass",
                "/usr/lib/postgresql/15/bin": POSTGRES,
                "/var/run/postgresql": machine / "patroni",
                "/etc/patroni/": f"{self.folder}/patroni/",
                "/var/lib/etcd/egalaxyd": self.folder / "etcd/data",
                "/run/haproxy/admin.sock": self.folder / "haproxy/admin.sock",
                "/srv/": f"{machine}/srv/",
                "superuser-secret": self.superuser, "replication-secret": self._replication,
                "mode: required": 'mode: "off"', "maxconn 20000": "maxconn 2000",
                "capsule.example.org": "localhost"}.items():
            text = text.replace(theirs, str(ours))
        return text

    def _write(self, path, text, mode=0o600, owner=None):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        if owner:
            os.chown(path, owner.pw_uid, owner.pw_gid)

    def _own_folder(self, name, owner):
        path = self.folder / name
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(0o700)
        if owner:
            os.chown(path, owner.pw_uid, owner.pw_gid)
        return path

    # Starting, part by part.

    def make_database_files(self):
        owner = self._database_account
        self._write(self.folder / "patroni/database.password", self._password + "\n", owner=owner)
        self._write(self.folder / "patroni/make-database", self.render("make-database"), 0o700, owner)
        self.folder.joinpath("patroni").chmod(0o755)
        if not (self.folder / "capsule.key").exists():
            subprocess.run(
                ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                 "-keyout", self.folder / "capsule.key", "-out", self.folder / "capsule.crt", "-days", "30",
                 "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"],
                check=True, capture_output=True)

    def start_etcd(self):
        folder = self._own_folder("etcd", self._database_account)
        environment = dict(line.split("=", 1) for line in self.render("etcd.default").splitlines()
                           if line.startswith("ETCD_"))
        self.etcd = Service("etcd", [*self._database, "etcd"], folder, environment)
        self.etcd.start()

    def add_patroni(self, number):
        folder = self._own_folder(f"h{number}/patroni", self._database_account)
        self._write(folder / "config.yml", self.render("patroni.yml", number), owner=self._database_account)
        self.patroni[number] = Service(
            f"patroni of h{number}",
            [*self.network.within(number), *self._database, "patroni", folder / "config.yml"], folder,
            {"HOME": str(folder)}, lambda: self.postmaster(number))
        self.patroni[number].start()

    def add_web(self, number):
        owner = self._web_account
        folder = self._own_folder(f"h{number}/egalaxyd", owner)
        for name in ("state", "run"):
            self._own_folder(f"h{number}/egalaxyd/{name}", owner)
        config = self.render("egalaxyd.toml", number) + self._settings
        for name in ("capsule", *re.findall(r"/srv/(shared[/\w]*)\"", config)):
            self._own_folder(f"h{number}/srv/{name}", owner)
        page = self.folder / f"h{number}/srv/capsule/index.gmi"
        self._write(page, "# A capsule on three hosts\n=> /shared/ What everybody uploads\n", 0o644, owner)
        self._write(folder / "egalaxyd.toml", config, owner=owner)
        self._write(folder / "database.password", self._password + "\n", owner=owner)
        for name in ("capsule.crt", "capsule.key"):
            self._write(folder / name, (self.folder / name).read_text(), owner=owner)
        self.web[number] = Service(
            f"egalaxyd of h{number}",
            [*self.network.within(number), *self._web, self.egalaxyd, "--config", folder / "egalaxyd.toml"],
            folder, {"STATE_DIRECTORY": str(folder / "state"), "RUNTIME_DIRECTORY": str(folder / "run")})
        self.web[number].start()

    def start_haproxy(self):
        folder = self._own_folder("haproxy", self._web_account)
        self._write(folder / "haproxy.cfg", self.render("haproxy.cfg"), owner=self._web_account)
        self.haproxy = Service("haproxy", [*self._web, "haproxy", "-db", "-f", folder / "haproxy.cfg"], folder,
                               {"PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin"})
        self.haproxy.start()

    def start(self, say=lambda words: None):
        """Everything; raises Failed with the last words of what does not come up."""
        self.network.make()
        self.make_database_files()
        say("etcd and the first database ...")
        self.start_etcd()
        self._expect(self.etcd, lambda: self._answers(f"http://{self.network.etcd}:{self.ports['2379']}/health"))
        self.add_patroni(1)
        self._expect(self.patroni[1], self.primary)
        say("two standbys, three hosts of egalaxyd, HAProxy ...")
        for number in self.numbers[1:]:
            self.add_patroni(number)
        self._expect(self.patroni[2], lambda: (
            self.synchronous_standby() and self.followed_by() == len(self.numbers) - 1))
        for number in self.numbers:
            self.add_web(number)
        for number in self.numbers:
            self.await_web(number)
        self.start_haproxy()
        self._expect(self.haproxy, lambda: self.hosts_up() == len(self.numbers))

    def await_web(self, number):
        self._expect(self.web[number], lambda: "ready: generation" in self.web[number].log())

    @staticmethod
    def _expect(service, state):
        if not eventually(lambda: state() or not service.running()) or not service.running():
            raise Failed("does not come up: " + service.last_words())

    def stop(self):
        parts = [self.haproxy, *self.web.values(), *self.patroni.values(), self.etcd]
        for part in parts[:-1]:  # at once; etcd last, since Patroni leaves by telling it
            if part:
                part.ask()
        for part in parts:
            if part:
                part.stop()
        self.network.remove()

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()

    # Looking.

    @staticmethod
    def _answers(url):
        with contextlib.suppress(OSError, ValueError):
            with urllib.request.urlopen(url, timeout=1) as answer:
                return answer.read()
        return b""

    def members(self):
        """{number: (role, state)} as the first Patroni that answers tells; {} where none does."""
        for number in self.numbers:
            url = f"http://{self.network.address(number)}:{self.ports['8008']}/cluster"
            with contextlib.suppress(ValueError, KeyError):
                return {int(member["name"][1:]): (member["role"], member["state"])
                        for member in json.loads(self._answers(url))["members"]}
        return {}

    def primary(self):
        """Its machine's number; None where there is none."""
        return next((number for number, member in self.members().items()
                     if member == ("leader", "running")), None)

    def synchronous_standby(self):
        return next((number for number, (role, state) in self.members().items()
                     if role == "sync_standby" and state in ("running", "streaming")), None)

    def followed_by(self):
        """How many standbys have all that the primary has, but for the last moment's."""
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            return int(self.sql("SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'")[0][0])
        return 0

    def postmaster(self, number):
        """The process of that machine's PostgreSQL; None where it does not run."""
        with contextlib.suppress(OSError, ValueError, IndexError):
            pid = int((self.folder / f"h{number}/patroni/data/postmaster.pid").read_text().split()[0])
            if pathlib.Path(f"/proc/{pid}/comm").read_text().strip() == "postgres":
                return pid
        return None

    def kill_postgres(self, number):
        """PostgreSQL alone, all of its processes; Patroni stays."""
        pids = descendants(self.postmaster(number))
        for sent in (signal.SIGSTOP, signal.SIGKILL):
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, sent)

    def sql(self, statement, number=None, patience=10):
        """Rows as lists of texts, from the primary or that machine; subprocess.CalledProcessError."""
        number = number or self.primary()
        done = subprocess.run(
            ["psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--field-separator=\t", "--set",
             "ON_ERROR_STOP=1", "--command", statement, self.database_url(number)],
            capture_output=True, text=True, check=True, timeout=patience,
            env={**os.environ, "PGPASSWORD": self.superuser, "PGCONNECT_TIMEOUT": "3"})
        return [line.split("\t") for line in done.stdout.splitlines()]

    def database_url(self, number):
        return f"postgresql://postgres@{self.network.address(number)}:{self.ports['5432']}/egalaxyd"

    def patronictl(self, *words):
        return subprocess.run(["patronictl", "-c", str(self.folder / "h1/patroni/config.yml"), *words],
                              capture_output=True, text=True, check=False, timeout=60)

    def ask_haproxy(self, words):
        """The answer of its socket; OSError while there is none."""
        with socket.socket(socket.AF_UNIX) as admin:
            admin.connect(str(self.folder / "haproxy/admin.sock"))
            admin.sendall(words.encode() + b"\n")
            with admin.makefile() as answer:
                return answer.read()

    def set_state(self, number, state):
        """"drain" takes a host out of HAProxy, "ready" lets it back in."""
        for backend in ("gemini-and-titan", "spartan"):
            self.ask_haproxy(f"set server {backend}/h{number} state {state}")

    def hosts_up(self):
        """How many hosts HAProxy takes for alive, for Gemini."""
        with contextlib.suppress(OSError):
            rows = [line.split(",") for line in self.ask_haproxy("show stat").splitlines()]
            return sum(row[0] == "gemini-and-titan" and row[1].startswith("h") and row[17].startswith("UP")
                       for row in rows if len(row) > 17)
        return 0
