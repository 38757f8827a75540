#!/usr/bin/env python3
"""Takes the lab down: containers, images, systems."""
import shutil

import lab

if (lab.WORK / "pods").exists():
    lab.podman("rm", "--force", "--all", check=False)
    lab.run("umount", lab.WORK / "pods/root/overlay", check=False)
    lab.run("find", "/sys/fs/cgroup", "-depth", "-path", "*/libpod_parent*", "-type", "d",
            "-exec", "rmdir", "{}", ";", check=False)
shutil.rmtree(lab.WORK, ignore_errors=not lab.WORK.exists())
