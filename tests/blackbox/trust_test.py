#!/usr/bin/env python3
"""Whom egalaxyctl trusts: keys of hosts on first use, remembered, and what becomes of others. The
program is the one of $EGALAXYD_BIN_DIR."""
import contextlib
import fcntl
import hashlib
import os
import pathlib
import re
import subprocess
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from capsule import (PATIENCE, Folder, make_certificate, program, sign_as_expired,  # noqa: E402
                     silent_port)
from fake_server import Host  # noqa: E402

STRANGER = 79


def openssl(*words, data=None):
    return subprocess.run(["openssl", *map(str, words)], input=data, check=True,
                          capture_output=True).stdout


def key_fingerprint(certificate):
    pem = openssl("x509", "-in", certificate[0], "-noout", "-pubkey")
    return hashlib.sha256(openssl("pkey", "-pubin", "-outform", "DER", data=pem)).hexdigest()


class Trust(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = Folder()
        cls.addClassCleanup(cls.folder.remove)
        cls.old = make_certificate(cls.folder.path, "old")
        cls.new = make_certificate(cls.folder.path, "new")
        cls.page = cls.folder.path / "page.gmi"
        cls.page.write_bytes(b"# A page\n")

    def setUp(self):
        self.home = self.folder.make("home-" + self.id().rpartition(".")[2])
        self.known = self.home / "egalaxyctl" / "known_hosts"
        stack = contextlib.ExitStack()
        self.addCleanup(stack.close)
        self.host = stack.enter_context(Host(self.old))

    def environment(self, **changes):
        env = {**os.environ, "XDG_STATE_HOME": str(self.home), "EGALAXYCTL_TOKEN": "secret",
               **changes}
        return {name: value for name, value in env.items() if value is not None}

    def ctl(self, *words, **changes):
        return subprocess.run([program("egalaxyctl"), *map(str, words)], capture_output=True,
                              stdin=subprocess.DEVNULL, cwd=self.folder.path, timeout=PATIENCE,
                              check=False, env=self.environment(**changes))

    def assert_ran(self, ran, code, err=None):
        self.assertEqual(ran.returncode, code, ran)
        if err is None:
            self.assertEqual(ran.stderr, b"", ran)
        else:
            self.assertIn(err, ran.stderr.decode(), ran)

    def get(self, *words, **changes):
        return self.ctl("get", self.host.url(), *words, **changes)

    def signed(self, name, key, *days):
        """A certificate of that key, self-signed."""
        request, certificate = self.folder.path / f"{name}.csr", self.folder.path / f"{name}.crt"
        openssl("req", "-new", "-key", key, "-out", request, "-subj", f"/CN={name}")
        openssl("x509", "-req", "-in", request, "-signkey", key, "-out", certificate, *days)
        return str(certificate), key

    def test_a_key_is_remembered_on_first_use(self):
        self.assert_ran(self.get(), 0)
        self.assertEqual(self.known.stat().st_mode & 0o7777, 0o600)
        self.assertIn(f"\nlocalhost {self.host.port} SHA256:{key_fingerprint(self.old)} ",
                      self.known.read_text())
        before = self.known.read_bytes()
        self.assert_ran(self.get(), 0)
        self.assert_ran(self.ctl("put", self.page, self.host.url("/x", "titan")), 0)
        self.assertEqual(self.known.read_bytes(), before)

    def test_a_stranger_gets_neither_token_nor_certificate_nor_request(self):
        self.assert_ran(self.get(), 0)
        self.host.requests.clear()
        self.host.certificate = self.new
        for words in (("get", self.host.url()), ("put", self.page, self.host.url("/x", "titan")),
                      ("put", "--delete", self.host.url("/x", "titan")),
                      ("get", self.host.url(), "--cert", self.new[0])):
            ran = self.ctl(*words)
            self.assert_ran(ran, STRANGER, "shows another key than the one that is known")
            self.assertRegex(ran.stderr.decode(), (
                rf"(?s)known: SHA256:{key_fingerprint(self.old)}, since 20\d\d-.*Z; its certificate's "
                rf"end: 20.*shown: SHA256:{key_fingerprint(self.new)}.*--trust"))
            self.assertEqual(ran.stdout, b"")
        self.assertEqual((self.host.requests, self.host.handshakes), ([], 1))
        self.assert_ran(self.get("--trust", "--cert", self.new[0]), 0)

    def test_a_new_key_is_taken_when_told_to(self):
        self.assert_ran(self.get(), 0)
        self.host.certificate = self.new
        self.assert_ran(self.get(), STRANGER, "--trust")
        self.assert_ran(self.ctl("put", self.page, self.host.url("/x", "titan"), "--trust"), 0)
        self.assert_ran(self.get(), 0)
        self.host.certificate = self.old
        self.assert_ran(self.get(), STRANGER, "--trust")

    def test_it_is_the_key_that_counts(self):
        self.assert_ran(self.get(), 0)
        expired = str(self.folder.path / "expired.crt")
        sign_as_expired(self.old[1], expired, "expired")
        for certificate in (self.signed("renewed", self.old[1], "-days", "300"),
                            (expired, self.old[1])):
            self.host.certificate = certificate
            self.assert_ran(self.get(), 0)
        self.host.certificate = self.new
        self.assert_ran(self.get(), STRANGER, key_fingerprint(self.old))

    def test_an_authority_changes_nothing(self):
        authority = make_certificate(self.folder.path, "authority")
        shown = []
        for name in ("leaf1", "leaf2"):
            key, request = self.folder.path / f"{name}.key", self.folder.path / f"{name}.csr"
            openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-keyout", key, "-out", request, "-subj", "/CN=localhost")
            leaf = self.folder.path / f"{name}.crt"
            openssl("x509", "-req", "-in", request, "-CA", authority[0], "-CAkey", authority[1],
                    "-CAcreateserial", "-days", "9", "-out", leaf)
            shown.append((leaf, key))
        self.host.certificate = shown[0]
        self.assert_ran(self.get(), 0)
        self.assert_ran(self.get(), 0)
        self.host.certificate = shown[1]
        self.assert_ran(self.get(), STRANGER, "--trust")

    def test_verbose_tells_since_when_a_key_is_known(self):
        self.assert_ran(self.get("-v"), 0, "key seen for the first time")
        self.assert_ran(self.get("-v"), 0, "a key is known since 20")

    def test_another_port_is_another_host(self):
        self.assert_ran(self.get(), 0)
        with Host(self.new) as other:
            self.assert_ran(self.ctl("get", other.url()), 0)
        self.assertEqual(len(re.findall(r"(?m)^localhost \d+ ", self.known.read_text())), 2)

    def test_trust_is_for_the_host_of_the_url_alone(self):
        with Host(self.old) as second:
            self.assert_ran(self.ctl("get", second.url()), 0)
            second.certificate = self.new
            second.requests.clear()
            self.host.usual = f"30 {second.url()}\r\n".encode()
            self.assert_ran(self.get("--trust"), STRANGER, f"localhost port {second.port}")
            self.assertEqual(second.requests, [])

    def test_a_stranger_ends_an_upload_of_several_files(self):
        source = self.folder.path / "several"
        source.mkdir()
        for name in "abc":
            (source / name).write_bytes(b"x")
        self.host.usual = b"30 /x\r\n"
        self.assert_ran(self.ctl("put", source, self.host.url("/", "titan")), 0, "3 of 3 files")
        self.host.certificate = self.new
        self.assert_ran(self.ctl("put", source, self.host.url("/", "titan")), STRANGER,
                        "1 failed; 2 not tried")
        self.assert_ran(self.ctl("put", source, self.host.url("/", "titan"), "--trust"), 0,
                        "3 of 3 files")

    def test_without_a_home_it_works_and_says_that_nothing_is_kept(self):
        for changes in ({"XDG_STATE_HOME": None, "HOME": None},
                        {"XDG_STATE_HOME": None, "HOME": "/dev/null"},
                        {"XDG_STATE_HOME": "relative", "HOME": ""}):
            ran = self.get(**changes)
            self.assert_ran(ran, 0, "is not remembered")
            self.assertEqual(ran.stdout, b"here\n")

    def test_one_that_holds_the_file_keeps_nobody_waiting_for_long(self):
        self.known.parent.mkdir()
        with open(str(self.known) + ".lock", "wb") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            self.assert_ran(self.get(), 0, "another process holds it")
        self.assert_ran(self.get(), 0)

    def test_a_damaged_file_is_said_and_stays(self):
        self.assert_ran(self.get(), 0)
        self.host.requests.clear()
        damaged = self.known.read_bytes()[:-5]
        self.known.write_bytes(damaged)
        for words in ((), ("--trust",)):
            self.assert_ran(self.get(*words), 65, "known_hosts: line 3 is not")
        self.assertEqual(self.known.read_bytes(), damaged)
        self.assertEqual(self.host.requests, [])

    @unittest.skipIf(os.geteuid() == 0, "root reads everything")
    def test_a_file_that_cannot_be_read_is_no_empty_one(self):
        self.assert_ran(self.get(), 0)
        self.known.chmod(0)
        self.assert_ran(self.get(), 77, "known_hosts: cannot be read")

    def test_several_at_once_remember_each_its_host(self):
        with contextlib.ExitStack() as stack:
            hosts = [stack.enter_context(Host(self.old)) for _ in range(6)]
            running = [subprocess.Popen([program("egalaxyctl"), "get", host.url()],
                                        stdout=subprocess.DEVNULL, env=self.environment())
                       for host in hosts for _ in range(2)]
            self.assertEqual([child.wait(PATIENCE) for child in running], [0] * 12)
        ports = re.findall(r"(?m)^localhost (\d+) SHA256:[0-9a-f]{64} ", self.known.read_text())
        self.assertEqual(sorted(map(int, ports)), sorted(host.port for host in hosts))

    # --connect

    def test_a_site_is_tried_before_its_name_leads_there(self):
        for at in (f"127.0.0.1:{self.host.port}", f"localhost:{self.host.port}"):
            ran = self.ctl("get", "gemini://capsule.invalid/x", "--connect", at)
            self.assert_ran(ran, 0)
        self.assertEqual(set(self.host.requests), {b"gemini://capsule.invalid/x\r\n"})
        self.assertEqual(set(self.host.names), {"capsule.invalid"})
        self.assertIn("\ncapsule.invalid 1965 SHA256:", self.known.read_text())
        self.host.certificate = self.new
        self.assert_ran(self.ctl("put", self.page, "titan://capsule.invalid/x", "--connect",
                                 f"127.0.0.1:{self.host.port}"), STRANGER,
                        "capsule.invalid port 1965")
        self.host.certificate = self.old
        url = f"gemini://capsule.invalid:{self.host.port}/"
        self.assert_ran(self.ctl("get", url, "--connect=127.0.0.1"), 0)

    def test_a_redirect_to_another_host_goes_by_its_name(self):
        self.host.usual = b"30 gemini://elsewhere.invalid/\r\n"
        self.assert_ran(self.ctl("get", "gemini://capsule.invalid/", "--connect",
                                 f"127.0.0.1:{self.host.port}"), 69, "look up elsewhere.invalid")
        self.assertEqual(len(self.host.requests), 1)

    def test_an_address_that_is_none_is_refused(self):
        for at in ("host:port", "127.0.0.1:99999", "a b", "[::1", "host/x", "u@host", "host?q"):
            self.assert_ran(self.get(f"--connect={at}"), 64, "--connect")
        with silent_port() as port:
            self.assert_ran(self.get("--connect", f"127.0.0.1:{port}"), 69,
                            f"connect to 127.0.0.1 port {port}")


if __name__ == "__main__":
    unittest.main()
