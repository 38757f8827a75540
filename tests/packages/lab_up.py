#!/usr/bin/env python3
"""Makes the lab's systems: a bare Debian, the same as a container's base, and one with systemd."""
import shutil

import lab

lab.require()
lab.WORK.mkdir(exist_ok=True)
lab.pods("setup")


def export_base(root):
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    container = lab.pods("p", "create", lab.BASE).stdout.split()[-1]
    archive = lab.WORK / "base.tar"
    lab.pods("p", "export", "-o", archive, container)
    lab.pods("p", "rm", container)
    lab.run("tar", "-x", "-f", archive, "-C", root)
    archive.unlink()
    (root / "etc/hosts").write_text("127.0.0.1 localhost\n::1 localhost\n")


def install_systemd(root):
    """systemd, and what egalaxyd needs: the machine will have no network to fetch it from."""
    (root / "usr/sbin/policy-rc.d").unlink()
    shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
    depends = lab.run("dpkg-deb", "-f", lab.package("egalaxyd_*.deb"), "Depends").stdout
    libraries = [one.split()[0] for one in depends.split(",") if "|" not in one]
    apt = ["chroot", root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq"]
    lab.run(*apt, "update")
    lab.run(*apt, "install", "-y", "--no-install-recommends", "systemd", "systemd-sysv", "dbus",
            "man-db", *libraries)
    for unit in ("console-getty.service", "apt-daily.timer", "apt-daily-upgrade.timer"):
        (root / "etc/systemd/system" / unit).symlink_to("/dev/null")
    lab.Machine.STATE.mkdir(exist_ok=True)


export_base(lab.WORK / "bare")
export_base(lab.Machine.ROOT)
install_systemd(lab.Machine.ROOT)
