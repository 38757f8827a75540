#!/usr/bin/env python3
"""The image serves through published ports, without any privilege, and keeps its certificate.

Built from the Dockerfile with the package that is there already in place of its first stage, which
compiles the same once more; EGALAXYD_WHOLE_IMAGE=1 leaves that stage in."""
import json
import os
import re
import shutil
import unittest

import lab
from benchlib.servers import free_port

CONTEXT = lab.WORK / "context"
IMAGE = "localhost/egalaxyd-test"


def without_first_stage(dockerfile):
    first, _, second = dockerfile.partition("\n\n")
    comment = first[:first.index("FROM ")]
    assert "AS build" in first and "COPY --from=build /packages " in second
    return comment + second.replace("COPY --from=build /packages ", "COPY packages ")


def make_context():
    shutil.rmtree(CONTEXT, ignore_errors=True)
    shutil.copytree(lab.SOURCE / "examples", CONTEXT / "examples")
    (CONTEXT / "packages").mkdir()
    for package in ("egalaxyd_*.deb", "egalaxyd-postgresql_*.deb"):
        shutil.copy(lab.package(package), CONTEXT / "packages")
    dockerfile = (lab.SOURCE / "Dockerfile").read_text()
    (CONTEXT / "Dockerfile").write_text(without_first_stage(dockerfile))
    return CONTEXT


class Image(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        context = lab.SOURCE if os.environ.get("EGALAXYD_WHOLE_IMAGE") else make_context()
        lab.podman("build", "--network=host", "--pull=never", "--format=docker",
                   "--build-arg", f"BASE={lab.BASE}", "--tag", IMAGE, context)
        lab.leave_network()

    def volume(self):
        name = lab.podman("volume", "create").stdout.strip()
        self.addCleanup(lab.podman, "volume", "rm", "-f", name)
        return name

    def start(self, volume, *options):
        """A container that answers; its id, and the ports where Gemini and Spartan are published."""
        gemini, spartan = free_port(), free_port()
        lines = lab.podman("run", "-d", "-p", f"{gemini}:1965", "-p", f"{spartan}:3000",
                           "-v", f"{volume}:/var/lib/egalaxyd", *options, IMAGE).stdout.splitlines()
        container = lines[-1]
        self.addCleanup(lab.podman, "rm", "-f", container, check=False)
        lab.eventually(lambda: lab.answers(gemini), "an answer through the published port")
        return container, gemini, spartan

    def stop(self, container):
        """Its exit code."""
        lab.podman("stop", "-t", "30", container)
        return lab.podman("inspect", "--format", "{{.State.ExitCode}}",
                        container).stdout.strip().splitlines()[-1]

    def test_serves_the_folder_through_the_published_ports(self):
        container, gemini, spartan = self.start(self.volume())
        status, page = lab.gemini("/", gemini)
        self.assertEqual(status.split(";")[0], "20 text/gemini")
        self.assertIn("# A capsule of your own", page)
        self.assertRegex(lab.spartan("/", spartan), "^2 text/gemini.*\r\n# A capsule of your own")
        self.assertEqual(self.stop(container), "0")

    def test_a_new_container_keeps_the_certificate_of_the_volume(self):
        request = b"gemini://localhost/\r\n"
        volume = self.volume()
        first, port, _ = self.start(volume)
        _, certificate = lab.exchange(request, port)
        self.assertEqual(self.stop(first), "0")
        _, port, _ = self.start(volume)
        self.assertEqual(lab.exchange(request, port)[1], certificate)

    def test_two_volumes_have_certificates_of_their_own(self):
        _, port, _ = self.start(self.volume())
        _, other, _ = self.start(self.volume())
        request = b"gemini://localhost/\r\n"
        self.assertNotEqual(lab.exchange(request, port)[1], lab.exchange(request, other)[1])

    def test_needs_no_privilege_and_writes_to_the_volume_alone(self):
        container, _, _ = self.start(self.volume(), "--read-only", "--cap-drop=ALL",
                                  "--security-opt=no-new-privileges")
        for field in ("Uid:\t1965\t1965\t1965\t1965", "CapEff:\t0000000000000000"):
            seen = lab.podman("exec", container, "grep", "-h", field.split()[0],
                            "/proc/1/status").stdout
            self.assertIn(field, seen)

    def test_the_health_check_passes(self):
        container, _, _ = self.start(self.volume())
        lab.podman("healthcheck", "run", container)

    def test_its_libraries_are_debians_and_their_versions_are_told(self):
        container, _, _ = self.start(self.volume())

        def inside(*command):
            return lab.podman("exec", container, *command).stdout

        for program in ("/usr/sbin/egalaxyd", "/usr/bin/egalaxyctl"):
            libraries = re.findall(r"=> (\S+)", inside("ldd", program))
            self.assertGreater(len(libraries), 10)
            for library in libraries:
                # /lib or /usr/lib: dpkg knows a file by one of them.
                owner = inside("sh", "-c", f"dpkg -S {library} $(realpath {library}) 2>/dev/null | "
                                           "head -n 1")
                self.assertRegex(owner, "^[a-z0-9.+-]+:", library)
        versions = json.loads(inside("egalaxyctl", "--json", "status"))["libraries"]
        for package, version in (("libssl3", "openssl"), ("libsqlite3-0", "sqlite")):
            installed = inside("dpkg-query", "-W", "-f", "${Version}", package).strip()
            self.assertEqual(installed.partition("-")[0], versions[version])

    def test_the_base_is_named_by_digest(self):
        dockerfile = (lab.SOURCE / "Dockerfile").read_text()
        self.assertRegex(dockerfile, r"ARG BASE=\S+@sha256:[0-9a-f]{64}\n")
        self.assertEqual(set(re.findall("(?m)^FROM (\\S+)", dockerfile)), {"${BASE}"})


lab.require()
lab.main()
