"""What the tests of the packages share: the lab's scripts, waiting, a client.

Everything lies in BUILD/packages-lab, where BUILD is the first argument of each test, and goes with
`lab_down.py`. Whoever cannot have a lab skips, with the reason, by exit code 77."""
import ctypes
import os
import pathlib
import shutil
import socket
import ssl
import subprocess
import sys
import time
import unittest

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent
SOURCE = HERE.parents[1]
sys.path.insert(0, str(SOURCE / "tests/bench"))

BUILD = pathlib.Path(sys.argv.pop(1)).resolve()
PACKAGES = BUILD / "packages"
BIN = BUILD / "bin"
WORK = BUILD / "packages-lab"
BASE = "docker.io/library/debian:bookworm-slim"
PATIENCE = 60  # seconds; for what happens within a second or two on an idle machine

SCRIPTS = pathlib.Path(os.environ.get("EGALAXYD_LAB", SOURCE.parent / "shared/lab"))
PROGRAMS = ("debootstrap", "systemd-nspawn", "podman", "runc", "iptables", "nsenter", "dpkg-deb")
NETNS = 0x40000000  # CLONE_NEWNET


def skip(reason):
    print(f"skipped: {reason}")
    sys.exit(77)


def require():
    """Skips where real systems cannot be started."""
    if os.geteuid() != 0:
        skip("needs root: it boots systemd and runs containers")
    if not (SCRIPTS / "systemd-boot.sh").exists():
        skip(f"no lab in {SCRIPTS}; EGALAXYD_LAB names its folder")
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        skip("not installed: " + ", ".join(missing))
    if subprocess.run(["unshare", "--mount", "--pid", "--fork", "true"],
                      capture_output=True, check=False).returncode != 0:
        skip("no namespaces can be made here")


def main():
    unittest.main(verbosity=2, module="__main__")


def run(*command, check=True, **options):
    """The finished command, its output as text; a failed one is an error that shows the output."""
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False, **options)
    if check and done.returncode != 0:
        raise AssertionError(f"{command} exited with {done.returncode}:\n{done.stdout}")
    return done


def eventually(state, what, patience=PATIENCE):
    """The first true value of `state`; asks again and again until then."""
    deadline = time.monotonic() + patience
    while not (value := state()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {patience} s: {what}")
        time.sleep(0.02)
    return value


def package(pattern):
    """The one file in PACKAGES that is named so."""
    found = list(PACKAGES.glob(pattern))
    assert len(found) == 1, f"{pattern} in {PACKAGES}: {found}"
    return found[0]


# ---- Clients -----------------------------------------------------------------------------------


def exchange(request, port=1965, host="localhost", timeout=PATIENCE):
    """What the server at 127.0.0.1:`port` answers to these bytes over TLS, and its certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", port), timeout) as plain:
        with context.wrap_socket(plain, server_hostname=host) as tls:
            tls.sendall(request)
            answer = b""
            while chunk := tls.recv(65536):
                answer += chunk
            return answer, tls.getpeercert(binary_form=True)


def gemini(path="/", port=1965):
    """Status line and body of that page of localhost."""
    answer, _ = exchange(f"gemini://localhost{path}\r\n".encode(), port)
    head, _, body = answer.partition(b"\r\n")
    return head.decode(), body.decode()


def spartan(path="/", port=3000):
    """The whole answer for that page of localhost."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as plain:
        plain.sendall(f"localhost {path} 0\r\n".encode())
        answer = b""
        while chunk := plain.recv(65536):
            answer += chunk
    return answer.decode()


def answers(port=1965):
    """Whether the server answers now; for eventually()."""
    try:
        return gemini("/", port)[0].startswith("20 ")
    except OSError:
        return False


# ---- Real systems ------------------------------------------------------------------------------


def pods(*arguments, check=True):
    """The lab's script for containers."""
    return run(SCRIPTS / "podman-build.sh", *arguments, check=check,
               env={**os.environ, "DIR": str(WORK / "pods")})


class Machine:
    """Debian with systemd as its process 1, in WORK/machine; lab_up.py installed it."""

    ROOT = WORK / "machine"
    STATE = WORK / "machine-state"

    def _lab(self, *arguments, check=True):
        return run(SCRIPTS / "systemd-boot.sh", *arguments, check=check,
                   env={**os.environ, "ROOT": str(self.ROOT), "STATE": str(self.STATE)})

    def boot(self):
        """From here on this process and its children are in the machine's network."""
        self._home = os.open("/proc/self/ns/net", os.O_RDONLY)
        self._lab("up")
        self.leader = int((self.STATE / "leader").read_text())
        there = os.open(f"/proc/{self.leader}/ns/net", os.O_RDONLY)
        self._join(there)
        os.close(there)

    def shut_down(self):
        self._join(self._home)
        os.close(self._home)
        self._lab("down", check=False)

    @staticmethod
    def _join(network):
        if ctypes.CDLL(None, use_errno=True).setns(network, NETNS) != 0:
            raise OSError(ctypes.get_errno(), "setns")

    def run(self, *command, check=True):
        return self._lab("exec", *command, check=check)

    def show(self, unit, name):
        return self.run("systemctl", "show", "--value", "--property", name, unit).stdout.strip()

    def read(self, file):
        """Its text; "" when it is not there (any more)."""
        return self.run("cat", file, check=False).stdout

    def path(self, inside):
        return self.ROOT / inside.lstrip("/")

    def journal(self, unit="egalaxyd"):
        return self.run("journalctl", "--no-pager", "-u", unit).stdout
