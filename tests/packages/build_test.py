#!/usr/bin/env python3
"""The packages are built, and the same tree makes the same ones."""
import hashlib
import pathlib
import re
import shutil
import unittest

import lab

lab.require_programs("cpack", "dpkg-shlibdeps", "file", "objdump", "readelf")


def pack():
    lab.run("cpack", "--config", lab.BUILD / "CPackConfig.cmake", cwd=lab.BUILD)


def checksums():
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest()
            for file in lab.PACKAGES.iterdir() if file.is_file()}


class Build(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        shutil.rmtree(lab.PACKAGES, ignore_errors=True)
        pack()

    def test_the_same_tree_makes_the_same_packages(self):
        before = checksums()
        self.assertEqual(len(before), 4)
        pack()
        self.assertEqual(checksums(), before)

    def test_manuals_and_completions_are_where_debian_looks(self):
        deb = lab.package("egalaxyd_*.deb")
        listed = lab.run("dpkg-deb", "--contents", deb).stdout
        for file in ("man/man8/egalaxyd.8.gz", "man/man1/egalaxyctl.1.gz",
                     "man/man5/egalaxyd.toml.5.gz", "bash-completion/completions/egalaxyctl",
                     "zsh/vendor-completions/_egalaxyctl",
                     "fish/vendor_completions.d/egalaxyctl.fish"):
            self.assertIn(f" ./usr/share/{file}\n", listed)

    def listed(self, pattern):
        """The files of a package, as they lie on a machine."""
        lines = lab.run("dpkg-deb", "--contents", lab.package(pattern)).stdout.splitlines()
        return {line.split()[5].removeprefix(".").rstrip("/") for line in lines}

    def test_the_readme_speaks_of_the_package_and_names_what_is_there(self):
        tree = lab.WORK / "unpacked-readme"
        tree.mkdir(parents=True)
        self.addCleanup(shutil.rmtree, tree)
        lab.run("dpkg-deb", "--extract", lab.package("egalaxyd_*.deb"), tree)
        readme = (tree / "usr/share/doc/egalaxyd/README.md").read_text()
        for of_a_clone in ("bootstrap", "build/release", "git "):
            self.assertNotIn(of_a_clone, readme)
        there = self.listed("egalaxyd_*.deb") | self.listed("egalaxyd-dev_*.deb")
        named = set(re.findall(r"/(?:usr/share|etc)/[a-z./-]+[a-z]", readme))
        self.assertGreater(len(named), 4)
        self.assertLessEqual(named, there)
        self.assertLessEqual({"/usr/share/egalaxyd/capsule/manual/index.gmi",
                              "/usr/share/doc/egalaxyd-dev/examples/plugin/CMakeLists.txt"}, there)

    def unpacked(self, pattern, name):
        tree = lab.WORK / name
        tree.mkdir(parents=True)
        self.addCleanup(shutil.rmtree, tree)
        lab.run("dpkg-deb", "--extract", lab.package(pattern), tree)
        return tree

    def test_no_client_of_a_database_comes_with_the_server(self):
        tree = self.unpacked("egalaxyd_*.deb", "unpacked-server")
        for program in ("usr/sbin/egalaxyd", "usr/bin/egalaxyctl"):
            self.assertNotIn("libpq", lab.run("readelf", "-d", tree / program).stdout)
        fields = lab.run("dpkg-deb", "--field", lab.package("egalaxyd_*.deb"), "Depends").stdout
        self.assertNotIn("libpq", fields)

    def test_the_database_s_package_brings_its_module_and_a_step_of_the_unit(self):
        files = self.listed("egalaxyd-postgresql_*.deb")
        files -= {parent for file in files for parent in self.parents(file)}
        self.assertEqual({file.rpartition("/")[2] for file in files
                          if not file.startswith("/usr/share/doc")},
                         {"libegalaxyd_postgresql.so", "egalaxyd-postgresql.conf"})
        depends = lab.run("dpkg-deb", "--field", lab.package("egalaxyd-postgresql_*.deb"),
                          "Depends").stdout
        self.assertIn("libpq5", depends)
        self.assertRegex(depends, r"egalaxyd \(= ")

    @staticmethod
    def parents(file):
        return {str(parent) for parent in pathlib.PurePath(file).parents}

    def test_the_headers_suggest_a_compiler(self):
        fields = lab.run("dpkg-deb", "--field", lab.package("egalaxyd-dev_*.deb"), "Suggests").stdout
        self.assertIn("g++", fields)
        self.assertIn("cmake", fields)

    def test_a_launcher_whose_copies_scripts_begin_as_needs_glibc_alone(self):
        dynamic = lab.run("objdump", "-p", self.unpacked("egalaxyd_*.deb", "unpacked") / "usr/sbin/egalaxyd-launcher").stdout
        self.assertEqual(re.findall(r"NEEDED +(lib\S+)", dynamic), ["libc.so.6"])

    def test_the_debian_programs_look_for_libraries_where_debian_has_them(self):
        tree = self.unpacked("egalaxyd_*.deb", "unpacked")
        for program in ("usr/sbin/egalaxyd", "usr/sbin/egalaxyd-launcher", "usr/bin/egalaxyctl"):
            dynamic = lab.run("objdump", "-p", tree / program).stdout
            self.assertNotRegex(dynamic, "R(UN)?PATH")


lab.main()
