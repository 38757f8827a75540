#!/usr/bin/env python3
"""The packages for arm64, as on a Raspberry Pi, are cross-built from the same tree, warnings being errors,
and what is in them serves a page over qemu-user: in a Debian 12 of its own in BUILD/arm64, which is made
once and kept. It takes long, so it runs only when EGALAXYD_ARM64 is set: "programs" builds the packages and
tries them, "suite" builds the unit tests too and runs them. What qemu-user cannot show is Landlock and
seccomp, which it does not pass on."""
import os
import re
import shutil
import unittest
import urllib.request

import lab

EXTENT = os.environ.get("EGALAXYD_ARM64", "")
WHOLE = EXTENT == "suite"
SUITE = "bookworm"
ROOT = lab.BUILD / "arm64"
TOOLS = "cmake ninja-build pkg-config crossbuild-essential-arm64 dpkg-dev file git".split()
TEST_LIBRARIES = "libgtest-dev libgmock-dev libbenchmark-dev".split()
# qemu-user knows neither MADV_DONTFORK nor all of TCP_INFO.
BEYOND_QEMU = ("TakenProcess.AWorkerWritesNoOtherSlotAndSeesAllOfThem", "TakenProcess.OneThatIsNoWorkerWritesNothing",
               "PlainTransportEnd.TheLastBytesAndTheEndAreOneSegment")
QEMU = ("-t", "bookworm-backports", "qemu-user")  # openat2(2) came with 9.1

# Its own processes, its own loopback, the sources as they are here.
ENTER = """
set -e
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

# Each folder as one source, and tests without optimization: they are read by the compiler alone, and once.
BUILD = """
cmake -S /src -B /build/{name} -G Ninja -DCMAKE_TOOLCHAIN_FILE=/src/tests/packages/arm64.cmake \
  -DCMAKE_INSTALL_PREFIX=/usr -DCMAKE_BUILD_TYPE=Release -DCMAKE_CXX_FLAGS_RELEASE='{flags}' \
  -DEGALAXYD_WERROR=ON -DCMAKE_UNITY_BUILD=ON -DBUILD_TESTING={testing}
cmake --build /build/{name} -j $(nproc) --target {target}
"""

PACK = """
rm -rf /build/programs/packages /build/unpacked
SOURCE_DATE_EPOCH=1 cpack --config /build/programs/CPackConfig.cmake >/build/cpack.log || { cat /build/cpack.log; exit 1; }
dpkg-deb --extract /build/programs/packages/egalaxyd_*_arm64.deb /build/unpacked
file /build/unpacked/usr/sbin/egalaxyd /build/unpacked/usr/bin/egalaxyctl
dpkg-deb --field /build/programs/packages/egalaxyd_*_arm64.deb Architecture Depends
dpkg-deb --field /build/programs/packages/egalaxyd-dev_*_arm64.deb Architecture Depends
"""

# The service that the package brings, but for systemd; an upload too.
SERVE = """
export HOME=/tmp  # hosts' keys are known from here
ctl() { qemu-aarch64 /build/unpacked/usr/bin/egalaxyctl "$@"; }
mkdir -m 755 /tmp/capsule
mkdir -m 777 /tmp/up
printf '[server]\\nuser = "nobody"\\n[sites."localhost"."/"]\\nmodule = "directory"\\nroot = "capsule"\\n' >/tmp/t.toml
printf '[sites."localhost"."/up"]\\nmodule = "directory"\\nroot = "up"\\nupload = { anyone = true }\\n' >>/tmp/t.toml
echo '# Served' >/tmp/capsule/index.gmi
qemu-aarch64 /build/unpacked/usr/sbin/egalaxyd --check --config /tmp/t.toml
qemu-aarch64 /build/unpacked/usr/sbin/egalaxyd --config /tmp/t.toml --workers 1 --state-dir /tmp/state --runtime-dir /run/egalaxyd >/tmp/out 2>&1 &
server=$!
until ctl get gemini://localhost/ --timeout 120 2>/tmp/err; do
  kill -0 $server && [ $SECONDS -lt 300 ] || { cat /tmp/out /tmp/err; exit 1; }
  sleep 1
done
echo '# Uploaded' | ctl put - titan://localhost/up/new.gmi --timeout 120
ctl get spartan://localhost:3000/up/new.gmi --timeout 120
ctl uploads
kill $server
wait $server
"""


def require():
    if EXTENT not in ("programs", "suite"):
        lab.skip("packages for arm64 are only built with EGALAXYD_ARM64=programs or EGALAXYD_ARM64=suite")
    if os.geteuid() != 0:
        lab.skip("needs root: it installs a Debian 12")
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
        (unfinished / "etc/apt/sources.list.d/backports.list").write_text(
            f"deb {lab.MIRROR} {SUITE}-backports main\n")
        lab.run("chroot", unfinished, "dpkg", "--add-architecture", "arm64")
        unfinished.rename(ROOT)
    shutil.copy("/etc/resolv.conf", ROOT / "etc/resolv.conf")
    ours = re.search('build_packages="([^"]*)"', (lab.SOURCE / "bootstrap").read_text())[1].split()
    libraries = [f"{name}:arm64" for name in (*ours, *TEST_LIBRARIES) if name.startswith("lib")]
    for command in (("update",), ("install", *TOOLS, *libraries), ("install", *QEMU)):
        lab.run("nice", "chroot", ROOT, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq", "-y",
                "--no-install-recommends", *command)


def inside(script):
    return lab.run("unshare", "--mount", "--pid", "--net", "--fork", "--kill-child", "bash", "-c",
                   ENTER.format(root=ROOT, source=lab.SOURCE), "bash", script).stdout


class Arm64(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        make_root()
        inside(BUILD.format(name="programs", flags="-O2 -DNDEBUG", testing="OFF", target="all"))
        cls.packed = inside(PACK)

    def test_the_packages_are_for_arm64(self):
        self.assertEqual(self.packed.count("ARM aarch64"), 2)
        self.assertEqual(self.packed.count("Architecture: arm64"), 2)
        self.assertRegex(self.packed, r"Depends: .*libpocofoundation80 \(>=")
        self.assertEqual(len(list((ROOT / "build/programs/packages").glob("*aarch64.tar.gz"))), 1)

    def test_the_programs_serve_and_store(self):
        said = inside(SERVE)
        self.assertIn("# Served", said)
        self.assertIn("# Uploaded", said)
        self.assertIn("/up/new.gmi", said)

    @unittest.skipUnless(WHOLE, "the unit tests: EGALAXYD_ARM64=suite")
    def test_the_unit_tests_pass(self):
        inside(BUILD.format(name="tests", flags="-O0", testing="ON", target="egalaxyd_unit_tests"))
        inside("cd /tmp && qemu-aarch64 /build/tests/bin/egalaxyd_unit_tests --gtest_brief=1 "
               f"--gtest_filter=-{':'.join(BEYOND_QEMU)}")


require()
lab.main()
