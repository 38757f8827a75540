#!/usr/bin/env python3
"""The tarball serves on a bare Debian: nothing installed, from a folder of its own."""
import re
import shutil
import subprocess
import unittest

import lab

ROOT = lab.WORK / "bare"
TREE = "/opt/any/where"
LOADER = "/lib64/ld-linux-x86-64.so.2"

# Its own processes, its own loopback, nothing of this machine.
SERVE = f"""
set -e
ip link set lo up
mount -t proc proc {ROOT}/proc
cp -r {ROOT}{TREE}/share/egalaxyd/capsule {ROOT}/srv/capsule
# Of a bare system's accounts "nobody" is the one for workers.
chroot {ROOT} {TREE}/sbin/egalaxyd --state-dir /srv/state --runtime-dir /srv/run \
  --gemini 127.0.0.1:1965 --gemini [::1]:1965 /srv/capsule >{ROOT}/root/out 2>&1 &
server=$!
until page=$(chroot {ROOT} {TREE}/bin/egalaxyctl get gemini://localhost/ 2>/dev/null); do
  kill -0 $server
  [ $SECONDS -lt {lab.PATIENCE} ]
done
printf '%s\\n' "$page"
chroot {ROOT} {TREE}/bin/egalaxyctl check {TREE}/share/egalaxyd/egalaxyd.toml
kill $server
wait $server
"""


class Tarball(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        shutil.rmtree(ROOT / "opt/any", ignore_errors=True)
        (ROOT / TREE[1:]).mkdir(parents=True)
        lab.run("tar", "-x", "-f", lab.package("egalaxyd-*.tar.gz"), "-C", ROOT / TREE[1:],
                "--strip-components=1")

    def test_all_but_glibc_comes_with_it(self):
        for program in ("sbin/egalaxyd", "bin/egalaxyctl"):
            listed = lab.run("chroot", ROOT, LOADER, "--list", f"{TREE}/{program}").stdout
            paths = re.findall(r"=> (\S+)", listed)
            self.assertGreater(len(paths), 10)
            others = [path for path in paths if not path.startswith(TREE)]
            self.assertEqual({path.rpartition("/")[2] for path in others} - {"libc.so.6", "libm.so.6"},
                             set(), listed)

    def test_it_says_that_its_libraries_get_no_updates(self):
        readme = (ROOT / TREE[1:] / "README").read_text()
        self.assertIn("do not get the system's updates", readme)
        self.assertIn("libssl3", readme)

    def test_it_serves_and_finds_its_own_server(self):
        served = lab.run("unshare", "--mount", "--pid", "--fork", "--kill-child", "--net", "bash",
                         "-c", SERVE, stdin=subprocess.DEVNULL)
        self.assertIn("# egalaxyd is running", served.stdout)
        self.assertIn("configuration OK", served.stdout)


lab.require()
lab.main()
