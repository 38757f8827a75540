"""Starting and stopping the servers that are compared."""
import contextlib
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time

START_SECONDS = 15


class NotStarted(Exception):
    """The server is not there or did not come up; the text says why."""


def free_port():
    """Below the ports that the kernel gives away, so that nobody comes by it meanwhile."""
    while True:
        port = random.randrange(10_000, 20_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class Workspace:
    """A temporary folder with a certificate, a capsule and room for logs; gone at the end."""

    BIG_BYTES = 100 * 1024 * 1024

    def __init__(self):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="egalaxyd-bench-"))
        self.root.chmod(0o755)  # workers may run under another account
        self.capsule = self.root / "capsule"
        self.capsule.mkdir()
        self.cert = self.root / "server.crt"
        self.key = self.root / "server.key"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
             "-nodes", "-keyout", self.key, "-out", self.cert, "-days", "30",
             "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"],
            check=True, capture_output=True)
        line = "=> gemini://localhost/gemlog/a-page.gmi A line of an ordinary page\n"
        self.page = self.capsule / "page.gmi"
        self.page.write_text((line * 40)[:2048])

    @property
    def big(self):
        path = self.capsule / "big.bin"
        if not path.exists():
            path.write_bytes(os.urandom(1024 * 1024) * (self.BIG_BYTES // (1024 * 1024)))
        return path

    def folder(self, name):
        path = pathlib.Path(tempfile.mkdtemp(prefix=name + "-", dir=self.root))
        path.chmod(0o755)
        return path

    def remove(self):
        shutil.rmtree(self.root, ignore_errors=True)


class Server:
    """A running server and how to ask it. Ends with its `with` block."""

    def __init__(self, name, command, folder, gemini=None, spartan=None, cpus=None):
        self.name, self.folder = name, folder
        self.gemini, self.spartan = gemini, spartan
        self.cpus = cpus
        self.output = folder / "output"
        with open(self.output, "wb") as output:
            self._process = subprocess.Popen(
                [str(part) for part in command], stdin=subprocess.DEVNULL, stdout=output,
                stderr=output, cwd=folder, start_new_session=True,
                preexec_fn=(lambda: os.sched_setaffinity(0, cpus)) if cpus else None)
        self.pid = self._process.pid

    def url(self, path="/page.gmi", scheme="gemini"):
        port = self.spartan if scheme == "spartan" else self.gemini
        return f"{scheme}://localhost:{port}{path}"

    def alive(self):
        return self._process.poll() is None

    def wait_for_port(self, port):
        """Returns when something accepts on `port`."""
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            if not self.alive():
                raise NotStarted(f"{self.name} ended at once: {self.last_words()}")
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.02)
        raise NotStarted(f"{self.name} does not listen on {port}: {self.last_words()}")

    def last_words(self):
        lines = self.output.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "no output"

    def complaint(self):
        """What a tool around the server had to say about it, else the server's own last words."""
        for line in self.output.read_text(errors="replace").splitlines():
            if "unhandled" in line:
                return line.strip()
        return self.last_words()

    def stop(self):
        """Asks, then insists; the session is the server's own, so nothing else is hit."""
        if self.alive():
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                pass
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def _up(server, port):
    try:
        server.wait_for_port(port)
    except BaseException:
        server.stop()
        raise
    return server


EGALAXYD_CONFIG = """\
[server]
workers = {workers}
user = "{user}"
state_dir = "{folder}/state"
runtime_dir = "{folder}/run"
sandbox = "{sandbox}"
[listen]
gemini = ["127.0.0.1:{gemini}"]
spartan = [{spartan}]
{listen}
[tls]
certificate = "{cert}"
key = "{key}"
[limits]
connections = 40000
connections_per_ip = 0
[rate_limit]
{rate_limit}
[log]
target = "{folder}/egalaxyd.log"
access = true
{storage}
{sites}
"""


def start_egalaxyd(bin_dir, space, workers=1, spartan=False, cpus=None, wrap=(), sandbox="auto",
                   sites=None, name="egalaxyd", listen="", rate_limit="enabled = false", storage=""):
    """With `wrap`, under another program: valgrind. `sites`: TOML, else the capsule alone; `listen`
    and `rate_limit`: more of these tables; `storage`: that table. `name`: in the answer."""
    program = bin_dir / "egalaxyd"
    if not program.exists():
        raise NotStarted(f"{program} is not built")
    folder = space.folder("egalaxyd")
    gemini, spartan_port = free_port(), free_port()
    config = folder / "egalaxyd.toml"
    config.write_text(EGALAXYD_CONFIG.format(
        workers=workers, user="root" if os.geteuid() == 0 else "", folder=folder,
        gemini=gemini, sandbox=sandbox,
        spartan=f'"127.0.0.1:{spartan_port}"' if spartan else "", cert=space.cert, key=space.key,
        listen=listen, rate_limit=rate_limit, storage=storage,
        sites=sites or f'[sites.localhost]\nroot = "{space.capsule}"'))
    server = Server(name, [*wrap, program, "--config", config], folder, gemini,
                    spartan_port if spartan else None, cpus)
    return _up(server, spartan_port if spartan else gemini)


def start_floor(bin_dir, space, workers=1, file=None, cpus=None, wrap=(), stock=False):
    """`stock`: with OpenSSL's order of ciphers instead of egalaxyd's."""
    gemini, spartan = free_port(), free_port()
    server = Server("stock floor" if stock else "floor",
                    [*wrap, bin_dir / "egalaxyd_floor", "--gemini", gemini,
                     "--spartan", spartan, "--cert", space.cert, "--key", space.key,
                     "--file", file or space.page, "--workers", workers,
                     *(["--stock"] if stock else [])],
                    space.folder("floor"), gemini, spartan, cpus)
    return _up(server, gemini)


def start_store_floor(bin_dir, space, threads):
    gemini, folder = free_port(), space.folder("store-floor")
    server = Server("store floor", [bin_dir / "egalaxyd_store_floor", "--dir", folder, "--threads",
                                    threads, "--gemini", gemini, "--cert", space.cert, "--key",
                                    space.key], folder, gemini)
    return _up(server, gemini)


def start_molly_brown(space, cpus=None, cgi=None):
    """`cgi`: a folder of scripts."""
    program = shutil.which("molly-brown")
    if not program:
        raise NotStarted("molly-brown is not installed (package molly-brown)")
    folder = space.folder("molly-brown")
    port = free_port()
    config = folder / "molly.conf"
    config.write_text(
        f'Port = {port}\nHostname = "localhost"\nCertPath = "{space.cert}"\n'
        f'KeyPath = "{space.key}"\nDocBase = "{space.capsule}"\n'
        f'AccessLog = "{folder}/access.log"\nErrorLog = "{folder}/error.log"\n'
        + (f'CGIPaths = [ "{cgi}" ]\n' if cgi else ""))
    return _up(Server("molly-brown", [program, "-c", config], folder, port, cpus=cpus), port)
