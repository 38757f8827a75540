"""A Debian of its own in a folder: made once by debootstrap and kept, entered in namespaces of its own,
with the sources at /src and a folder for builds at /build."""
import os
import re
import shutil
import urllib.request

import lab

# Its own processes, its own loopback, the sources as they are here.
ENTER = """
set -e
mount --bind {root} {root}  # so that / is a mount inside, which unshare(1) wants
cd {root}
mkdir -p src build
mount -t proc proc proc
mount -t sysfs sysfs sys
mount --rbind /dev dev
mount -t tmpfs -o mode=1777 tmpfs tmp
mount -t tmpfs -o mode=755 tmpfs run
mount --bind -o ro {source} src
ip link set lo up
exec nice chroot . env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 bash -ec "$1"
"""


class DebianRoot:
    def __init__(self, name, suite):
        self.path, self.suite = lab.BUILD / name, suite

    def require(self):
        """Skips where none can be made."""
        if os.geteuid() != 0:
            lab.skip("needs root: it installs a Debian")
        lab.require_programs("debootstrap", "unshare", "ip")
        if lab.run("unshare", "--mount", "--pid", "--net", "--fork", "true", check=False).returncode != 0:
            lab.skip("no namespaces can be made here")
        try:
            urllib.request.urlopen(f"{lab.MIRROR}/dists/{self.suite}/Release", timeout=20).close()
        except OSError as why:
            lab.skip(f"no network: {lab.MIRROR}: {why}")

    def make(self, prepare=lambda root: None):
        """Unless it is there; `prepare` gets the folder before the first package is installed."""
        if not (self.path / "etc/debian_version").exists():
            unfinished = self.path.with_suffix(".unfinished")
            shutil.rmtree(unfinished, ignore_errors=True)
            lab.run("nice", "debootstrap", "--variant=minbase", self.suite, unfinished, lab.MIRROR)
            (unfinished / "etc/hosts").write_text("127.0.0.1 localhost\n::1 localhost\n")
            prepare(unfinished)
            unfinished.rename(self.path)
        shutil.copy("/etc/resolv.conf", self.path / "etc/resolv.conf")
        self.apt("update")

    def apt(self, *words):
        lab.run("nice", "chroot", self.path, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq",
                "-y", "--no-install-recommends", *words)

    def run(self, script):
        """What a script says inside."""
        return lab.run("unshare", "--mount", "--pid", "--net", "--fork", "--kill-child", "bash", "-c",
                       ENTER.format(root=self.path, source=lab.SOURCE), "bash", script).stdout


def build_packages():
    """Those that a build needs, as bootstrap names them."""
    return re.search('build_packages="([^"]*)"', (lab.SOURCE / "bootstrap").read_text())[1].split()
