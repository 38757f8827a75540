#!/usr/bin/env python3
"""The packages for arm64, as on a Raspberry Pi, are cross-built from the same tree, warnings being errors,
and what is in them serves a page over qemu-user: in a Debian 12 of its own in BUILD/arm64, which is made
once and kept. It takes long, so it runs only when EGALAXYD_ARM64 is set: "programs" builds the packages and
tries them, "suite" builds the unit tests too and runs them. What qemu-user cannot show is Landlock and
seccomp, which it does not pass on."""
import os
import unittest

import lab
from debian_root import DebianRoot, build_packages

EXTENT = os.environ.get("EGALAXYD_ARM64", "")
WHOLE = EXTENT == "suite"
DEBIAN = DebianRoot("arm64", "bookworm")
TOOLS = "cmake ninja-build pkg-config crossbuild-essential-arm64 dpkg-dev file git".split()
TEST_LIBRARIES = "libgtest-dev libgmock-dev libbenchmark-dev".split()
# qemu-user knows neither MADV_DONTFORK nor SO_GET_FILTER nor all of TCP_INFO.
BEYOND_QEMU = ("TakenProcess.AWorkerWritesNoOtherSlotAndSeesAllOfThem", "TakenProcess.OneThatIsNoWorkerWritesNothing",
               "PlainTransportEnd.TheLastBytesAndTheEndAreOneSegment", "Both/Listening.KeepsThoseWhoCameAndNobodyElse/*")
QEMU = ("-t", "bookworm-backports", "qemu-user")  # openat2(2) came with 9.1

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
    DEBIAN.require()


def add_arm64(root):
    (root / "etc/apt/sources.list.d/backports.list").write_text(
        f"deb {lab.MIRROR} {DEBIAN.suite}-backports main\n")
    lab.run("chroot", root, "dpkg", "--add-architecture", "arm64")


def make_root():
    DEBIAN.make(add_arm64)
    libraries = [f"{name}:arm64" for name in (*build_packages(), *TEST_LIBRARIES) if name.startswith("lib")]
    DEBIAN.apt("install", *TOOLS, *libraries)
    DEBIAN.apt("install", *QEMU)


class Arm64(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        make_root()
        DEBIAN.run(BUILD.format(name="programs", flags="-O2 -DNDEBUG", testing="OFF", target="all"))
        cls.packed = DEBIAN.run(PACK)

    def test_the_packages_are_for_arm64(self):
        self.assertEqual(self.packed.count("ARM aarch64"), 2)
        self.assertEqual(self.packed.count("Architecture: arm64"), 2)
        self.assertRegex(self.packed, r"Depends: .*libpocofoundation80 \(>=")
        self.assertEqual(len(list((DEBIAN.path / "build/programs/packages").glob("*aarch64.tar.gz"))), 1)

    def test_the_programs_serve_and_store(self):
        said = DEBIAN.run(SERVE)
        self.assertIn("# Served", said)
        self.assertIn("# Uploaded", said)
        self.assertIn("/up/new.gmi", said)

    @unittest.skipUnless(WHOLE, "the unit tests: EGALAXYD_ARM64=suite")
    def test_the_unit_tests_pass(self):
        DEBIAN.run(BUILD.format(name="tests", flags="-O0", testing="ON", target="egalaxyd_unit_tests"))
        DEBIAN.run("cd /tmp && qemu-aarch64 /build/tests/bin/egalaxyd_unit_tests --gtest_brief=1 "
               f"--gtest_filter=-{':'.join(BEYOND_QEMU)}")


require()
lab.main()
