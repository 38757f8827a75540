#!/usr/bin/env python3
"""Makes the lab's systems: a bare Debian, the same as a container's base, and one with systemd."""
import os
import resource
import shutil
import sys
import urllib.request

import lab

PODS = lab.WORK / "pods"
SETTINGS = """
[containers]
default_ulimits = ["nofile={files}:{files}", "nproc=32768:32768"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
[network]
network_backend = "netavark"
"""


def require():
    """Skips where real systems cannot be made or started."""
    if os.geteuid() != 0:
        lab.skip("needs root: it boots systemd and runs containers")
    lab.require_programs("debootstrap", "systemd-nspawn", "podman", "runc", "iptables", "ip", "dpkg-deb")
    if lab.run("unshare", "--mount", "--pid", "--net", "--fork", "true", check=False).returncode != 0:
        lab.skip("no namespaces can be made here")
    try:
        urllib.request.urlopen(lab.MIRROR + "/dists/bookworm/Release", timeout=20).close()
    except OSError as why:
        lab.skip(f"no network: {lab.MIRROR}: {why}")


def make_bare(root):
    lab.run("debootstrap", "--variant=minbase", "bookworm", root, lab.MIRROR)
    shutil.rmtree(root / "var/cache/apt/archives")
    (root / "etc/hosts").write_text("127.0.0.1 localhost\n::1 localhost\n")


def make_base_image(root):
    PODS.mkdir()
    # runc and limits that the machine itself has: a container may run where less is allowed, too.
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    (PODS / "containers.conf").write_text(SETTINGS.format(files=files))
    (PODS / "storage.conf").write_text(
        f'[storage]\ndriver = "overlay"\nrunroot = "{PODS}/run"\ngraphroot = "{PODS}/root"\n')
    archive = lab.WORK / "base.tar"
    lab.run("tar", "-c", "--numeric-owner", "-f", archive, "-C", root, ".")
    lab.podman("import", "--quiet", archive, lab.BASE)
    archive.unlink()


def make_machine(bare, root):
    """systemd, and what egalaxyd needs: the machine will have no network to fetch it from."""
    lab.run("cp", "-a", bare, root)
    shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
    depends = lab.run("dpkg-deb", "-f", lab.package("egalaxyd_*.deb"), "Depends").stdout
    libraries = [one.split()[0] for one in depends.split(",") if "|" not in one]
    lab.run("chroot", root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq", "-y",
            "install", "--no-install-recommends", "systemd", "systemd-sysv", "dbus", "man-db",
            "logrotate", *libraries)
    for unit in ("console-getty.service", "apt-daily.timer", "apt-daily-upgrade.timer",
                 "logrotate.timer"):
        (root / "etc/systemd/system" / unit).symlink_to("/dev/null")


lab.READY.unlink(missing_ok=True)
require()
lab.run(sys.executable, lab.HERE / "lab_down.py", lab.BUILD)  # what an interrupted run left
lab.WORK.mkdir()
make_bare(lab.WORK / "bare")
make_base_image(lab.WORK / "bare")
make_machine(lab.WORK / "bare", lab.Machine.ROOT)
lab.READY.touch()
