#!/usr/bin/env python3
"""What we build on Debian 12 builds on Debian 13 too, where warnings are errors as well, and runs there:
in a system of its own in BUILD/debian13, which is made once and kept. It takes long, so it runs only when
EGALAXYD_DEBIAN13 is set: "programs" builds the programs, which serve a page, "suite" builds the tests too
and runs them all."""
import os
import re
import shutil
import unittest
import urllib.request

import lab

EXTENT = os.environ.get("EGALAXYD_DEBIAN13", "")
WHOLE = EXTENT == "suite"
SUITE = "trixie"
ROOT = lab.BUILD / "debian13"
TEST_PACKAGES = ("libgtest-dev libgmock-dev libbenchmark-dev openssl gnutls-bin bombadillo tmux python3 "
                 "strace procps iproute2 git clang").split()

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

BUILD = """
cmake -S /src -B /build -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_CXX_FLAGS_RELEASE='-O2 -DNDEBUG' \
  -DEGALAXYD_WERROR=ON -DCMAKE_UNITY_BUILD=ON -DBUILD_TESTING={testing}
cmake --build /build -j $(nproc)
"""

SERVE = """
mkdir /tmp/capsule
echo '# Debian' $(cat /etc/debian_version) >/tmp/capsule/index.gmi
/build/bin/egalaxyd --user nobody --state-dir /tmp/state --runtime-dir /run/egalaxyd \
  --gemini 127.0.0.1:1965 /tmp/capsule >/tmp/out 2>&1 &
server=$!
until page=$(/build/bin/egalaxyctl get gemini://localhost/ 2>/tmp/err); do
  kill -0 $server && [ $SECONDS -lt {patience} ] || {{ cat /tmp/out /tmp/err; exit 1; }}
done
printf '%s\\n' "$page"
kill $server
wait $server
"""


def require():
    if EXTENT not in ("programs", "suite"):
        lab.skip("a Debian 13 is only made with EGALAXYD_DEBIAN13=programs or EGALAXYD_DEBIAN13=suite")
    if os.geteuid() != 0:
        lab.skip("needs root: it installs a Debian 13")
    lab.require_programs("debootstrap", "unshare", "ip")
    if lab.run("unshare", "--mount", "--pid", "--net", "--fork", "true", check=False).returncode != 0:
        lab.skip("no namespaces can be made here")
    try:
        urllib.request.urlopen(f"{lab.MIRROR}/dists/{SUITE}/Release", timeout=20).close()
    except OSError as why:
        lab.skip(f"no network: {lab.MIRROR}: {why}")


def make_root():
    if not (ROOT / "etc/debian_version").exists():
        unfinished = ROOT.with_suffix(".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        lab.run("nice", "debootstrap", "--variant=minbase", SUITE, unfinished, lab.MIRROR)
        (unfinished / "etc/hosts").write_text("127.0.0.1 localhost\n::1 localhost\n")
        unfinished.rename(ROOT)
    shutil.copy("/etc/resolv.conf", ROOT / "etc/resolv.conf")
    ours = re.search('build_packages="([^"]*)"', (lab.SOURCE / "bootstrap").read_text())[1].split()
    for command in (("update",), ("install", "-y", "--no-install-recommends", *ours,
                                  *(TEST_PACKAGES if WHOLE else ()))):
        lab.run("nice", "chroot", ROOT, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq", *command)


def inside(script):
    return lab.run("unshare", "--mount", "--pid", "--net", "--fork", "--kill-child", "bash", "-c",
                   ENTER.format(root=ROOT, source=lab.SOURCE), "bash", script).stdout


class Debian13(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        make_root()
        inside(BUILD.format(testing="ON" if WHOLE else "OFF"))

    def test_the_programs_serve(self):
        self.assertIn("# Debian 13", inside(SERVE.format(patience=lab.PATIENCE)))

    @unittest.skipUnless(WHOLE, "the whole suite: EGALAXYD_DEBIAN13=suite")
    def test_the_suite_passes(self):
        print(inside("ctest --test-dir /build -LE packages -j $(nproc) --output-on-failure"))


require()
lab.main()
