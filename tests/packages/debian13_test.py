#!/usr/bin/env python3
"""What we build on Debian 12 builds on Debian 13 too, where warnings are errors as well, and runs there:
in a system of its own in BUILD/debian13, which is made once and kept. It takes long, so it runs only when
EGALAXYD_DEBIAN13 is set: "programs" builds the programs, which serve a page, "suite" builds the tests too
and runs them all."""
import os
import unittest

import lab
from debian_root import DebianRoot, build_packages

EXTENT = os.environ.get("EGALAXYD_DEBIAN13", "")
WHOLE = EXTENT == "suite"
DEBIAN = DebianRoot("debian13", "trixie")
TEST_PACKAGES = ("libgtest-dev libgmock-dev libbenchmark-dev openssl gnutls-bin bombadillo tmux python3 "
                 "strace procps iproute2 git clang").split()

BUILD = """
cmake -S /src -B /build -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_CXX_FLAGS_RELEASE='-O2 -DNDEBUG' \
  -DEGALAXYD_WERROR=ON -DCMAKE_UNITY_BUILD=ON -DBUILD_TESTING={testing}
cmake --build /build -j $(nproc)
"""

SERVE = """
export HOME=/tmp  # whose known hosts go with the run, while the root is kept
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
    DEBIAN.require()


class Debian13(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        DEBIAN.make()
        DEBIAN.apt("install", *build_packages(), *(TEST_PACKAGES if WHOLE else ()))
        DEBIAN.run(BUILD.format(testing="ON" if WHOLE else "OFF"))

    def test_the_programs_serve(self):
        self.assertIn("# Debian 13", DEBIAN.run(SERVE.format(patience=lab.PATIENCE)))

    @unittest.skipUnless(WHOLE, "the whole suite: EGALAXYD_DEBIAN13=suite")
    def test_the_suite_passes(self):
        print(DEBIAN.run("ctest --test-dir /build -LE packages -j $(nproc) --output-on-failure"))


require()
lab.main()
