"""What the tests of the packages share: real systems, waiting, a client.

Everything lies in BUILD/packages-lab, where BUILD is the first argument of each test; lab_up.py makes
it, lab_down.py removes it. A test that cannot run here says why and exits with 77."""
import ctypes
import os
import pathlib
import shutil
import socket
import ssl
import subprocess
import sys
import unittest

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent
SOURCE = HERE.parents[1]
sys.path[:0] = [str(SOURCE / "tests/bench"), str(SOURCE / "tests/support")]
import capsule  # noqa: E402

BUILD = pathlib.Path(sys.argv.pop(1)).resolve()
PACKAGES = BUILD / "packages"
BIN = BUILD / "bin"
WORK = BUILD / "packages-lab"
BASE = "docker.io/library/debian:bookworm-slim"
MIRROR = "http://deb.debian.org/debian"
PATIENCE = 60  # seconds; for what happens within a second or two on an idle machine
READY = WORK / "ready"  # the lab is complete
NETNS = 0x40000000  # CLONE_NEWNET


def skip(reason):
    print(f"skipped: {reason}")
    sys.exit(77)


def require_programs(*names):
    missing = [name for name in names if shutil.which(name) is None]
    if missing:
        skip("not installed: " + ", ".join(missing))


def require():
    """Skips where lab_up.py could not make the lab."""
    if not READY.exists():
        skip("there is no lab; packages/Lab.Up says why")


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
    value = capsule.eventually(state, patience)
    if not value:
        raise AssertionError(f"not within {patience} s: {what}")
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


def podman(*arguments, check=True):
    """podman with images, containers and settings of its own, in WORK/pods."""
    return run("podman", *arguments, check=check,
               env={**os.environ, "CONTAINERS_CONF": str(WORK / "pods/containers.conf"),
                    "CONTAINERS_STORAGE_CONF": str(WORK / "pods/storage.conf")})


def leave_network():
    """From here on this process and its children have a loopback of their own, and nothing else: no
    port and no rule of a firewall meets the machine's."""
    _call("unshare", NETNS)
    run("ip", "link", "set", "lo", "up")


def _call(function, *arguments):
    if getattr(ctypes.CDLL(None, use_errno=True), function)(*arguments) != 0:
        raise OSError(ctypes.get_errno(), function)


# systemd-nspawn wants a /run that is a tmpfs, and would take the machine's whole tree of control
# groups for its own: it gets both in its own view of the files, with one hierarchy, as Debian has it.
BOOT = """
set -e
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/systemd /run/lock
for group in {groups}; do
  mkdir -p "$group"
  echo $$ >"$group/cgroup.procs"
done
umount --recursive --lazy /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
export SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1
exec systemd-nspawn --quiet --directory="{root}" --machine=egalaxyd-test --keep-unit --register=no \
  --private-network --console=read-only --capability=all --system-call-filter=bpf --boot
"""


class Machine:
    """Debian with systemd as its process 1, in WORK/machine; lab_up.py installed it. It has no
    network but its own loopback."""

    ROOT = WORK / "machine"
    # Where there is no hierarchy of that kind, there is no such folder.
    GROUPS = [folder / f"egalaxyd-test-{os.getpid()}"
              for folder in map(pathlib.Path, ("/sys/fs/cgroup/unified", "/sys/fs/cgroup/systemd",
                                               "/sys/fs/cgroup"))
              if (folder / "cgroup.procs").exists()]

    leader = None  # its process 1, as this system counts

    def boot(self):
        """From here on this process and its children are in the machine's network."""
        self._home = os.open("/proc/self/ns/net", os.O_RDONLY)
        script = BOOT.format(root=self.ROOT, groups=" ".join(map(str, self.GROUPS)))
        with open(WORK / "console", "wb") as console:
            self._nspawn = subprocess.Popen(
                ["unshare", "--mount", "--propagation", "private", "bash", "-c", script],
                stdin=subprocess.DEVNULL, stdout=console, stderr=console)
        self.leader = eventually(self._find_leader, "a systemd in the container")
        eventually(lambda: self._state() == "running", "a machine that is up")
        there = os.open(f"/proc/{self.leader}/ns/net", os.O_RDONLY)
        _call("setns", there, NETNS)
        os.close(there)

    def shut_down(self):
        """To be called after boot() even when that failed."""
        _call("setns", self._home, NETNS)
        os.close(self._home)
        try:
            if self.leader:
                self.run("systemctl", "poweroff", check=False)
                self._nspawn.wait(PATIENCE)
        finally:
            self._nspawn.kill()
            self._nspawn.wait()
            for group in self.GROUPS:
                run("find", group, "-depth", "-type", "d", "-exec", "rmdir", "{}", ";", check=False)

    def _find_leader(self):
        if self._nspawn.poll() is not None:
            raise AssertionError("no machine:\n" + (WORK / "console").read_text())
        children = pathlib.Path(f"/proc/{self._nspawn.pid}/task/{self._nspawn.pid}/children")
        for pid in children.read_text().split():
            if capsule.name_of(pid) == "systemd":
                return int(pid)
        return None

    def _state(self):
        return self.run("systemctl", "is-system-running", check=False).stdout.strip()

    def run(self, *command, check=True):
        enter = ("nsenter", "-t", self.leader, "--mount", "--uts", "--ipc", "--net", "--pid", "--root",
                 "--wd", "env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "TERM=dumb",
                 "SYSTEMD_PAGER=cat", "SYSTEMD_COLORS=0")
        return run(*enter, *command, check=check)

    def show(self, unit, name):
        return self.run("systemctl", "show", "--value", "--property", name, unit).stdout.strip()

    def read(self, file):
        """Its text; "" when it is not there (any more)."""
        return self.run("cat", file, check=False).stdout

    def path(self, inside):
        return self.ROOT / inside.lstrip("/")

    def journal(self, unit="egalaxyd"):
        return self.run("journalctl", "--no-pager", "-u", unit).stdout
