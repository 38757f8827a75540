#!/usr/bin/env python3
"""Debian's own check of packages has no complaint."""
import unittest

import lab

lab.require_programs("lintian")


class Lintian(unittest.TestCase):
    def test_has_no_complaint(self):
        found = lab.run("lintian", "--allow-root", "--info", *lab.PACKAGES.glob("*.deb"), check=False)
        tags = [line for line in found.stdout.splitlines() if line[:2] in ("E:", "W:", "I:")]
        self.assertEqual(tags, [])
        self.assertEqual(found.returncode, 0)


lab.main()
