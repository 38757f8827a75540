#!/usr/bin/env python3
"""Two hosts do the same thing at the same moment, and it is as if one had been first. The programs are those of
$EGALAXYD_BIN_DIR; skipped (77) where one is missing.

    at_once_torture.py [AtOnce.test_…]
"""
import concurrent.futures
import hashlib
import pathlib
import sys
import unittest

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent
for folder in (HERE, HERE.parents[1] / "support", HERE.parents[2] / "examples/cluster"):
    sys.path.insert(0, str(folder))
from capsule import Folder, eventually, fingerprint, make_certificate, program  # noqa: E402
from one_machine import missing  # noqa: E402
from pair import Pair  # noqa: E402
from titan_client import exchange  # noqa: E402
from verify import await_files  # noqa: E402

SITES = """
[sites.localhost."/shared/quota"]
module = "directory"
root = "../srv/shared/quota"
[sites.localhost."/shared/quota".upload]
fingerprints = ["*"]
quota = "62KiB"

[sites.localhost."/say"]
module = "input"
as_meta = true
key = "said"
[sites.localhost."/tell"]
module = "input"
as_meta = true
key = "told"

[sites.localhost."/gate"]
module = "authenticated"
[sites.localhost."/gate".sites."/"]
module = "spy"
"""


class AtOnce(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = Folder()
        cls.addClassCleanup(cls.folder.remove)
        cls.pair = Pair(cls.folder.path, program("egalaxyd"), "\n[server]\nworkers = 2\n" + SITES)
        cls.addClassCleanup(cls.pair.stop)
        cls.pair.start()
        cls.one, cls.other = (make_certificate(cls.folder.path, name) for name in ("one", "other"))

    def ask(self, host, line, body=b"", **options):
        """That host itself, past HAProxy."""
        return exchange(self.pair.gemini, line, body, address=self.pair.network.address(host),
                        source=f"127.0.9.{host}", timeout=60, **options)

    def put(self, host, path, body, **options):
        return self.ask(host, f"titan://localhost:{self.pair.gemini}{path};mime=text/plain;size={len(body)}",
                        body, **options)

    def get(self, host, path, **options):
        return self.ask(host, f"gemini://localhost:{self.pair.gemini}{path}", **options)

    def both(self, jobs):
        """The results of `jobs`, functions that get the number of a host, done by 2 × 4 threads."""
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            return list(pool.map(lambda job: job[1](1 + job[0] % 2), enumerate(jobs)))

    def test_one_place(self):
        bodies = [f"line {number}\n".encode() * 100 for number in range(60)]
        answers = self.both([lambda host, body=body: self.put(host, "/shared/one.txt", body) for body in bodies])
        self.assertEqual({answer.status for answer in answers}, {30}, answers)
        rows = self.pair.sql("SELECT sha256, previous_sha256, latest FROM egalaxyd.uploads "
                             "WHERE path = '/shared/one.txt' AND outcome <> 'refused'")
        sums = {hashlib.sha256(body).hexdigest() for body in bodies}
        self.assertEqual({row[0] for row in rows}, sums)
        latest = [row[0] for row in rows if row[2] == "t"]
        self.assertEqual(len(latest), 1)
        # Each content was replaced once, by one upload, but for the latest.
        self.assertEqual(sorted(row[1] for row in rows), sorted({"", *sums} - set(latest)))
        self.assertEqual(await_files(self.pair, self.pair.numbers)[1], {})

    def test_one_quota(self):
        def fill(who, name):
            return [lambda host, at=at: self.put(host, f"/shared/quota/{name}-{at}.txt", b"x" * 1024,
                                                 certificate=who) for at in range(24)]
        alone = [job(1).status for job in fill(self.one, "alone")]
        together = [answer.status for answer in self.both(fill(self.other, "together"))]
        self.assertIn(30, alone)
        self.assertNotEqual(set(alone), {30})
        self.assertEqual(sorted(together), sorted(alone))

    def test_one_users_metadata(self):
        def say(key, number):
            return lambda host: (key, f"{number}", self.get(host, f"/{key}?{number}", certificate=self.one))
        last = {}
        for number in range(20):
            for key, word, answer in self.both([say("say", number), say("tell", number), say("say", number + 100),
                                                say("tell", number + 100)]):
                self.assertEqual(answer.status, 20, answer)
                last.setdefault(key, set()).add(word)
        kept = dict(self.pair.sql("SELECT m.key, convert_from(m.value, 'UTF8') FROM egalaxyd.metadata m "
                                  f"JOIN egalaxyd.user_keys k USING(user_id) WHERE lower(k.key) LIKE "
                                  f"'%{fingerprint(self.one)}%' OR m.user_id = '{fingerprint(self.one)}'"))
        self.assertIn(kept.get("said"), ("19", "119"), kept)
        self.assertIn(kept.get("told"), ("19", "119"), kept)

    def test_a_new_certificate(self):
        known = int(self.pair.sql("SELECT count(*) FROM egalaxyd.users")[0][0])
        guests = [make_certificate(self.folder.path, f"guest{number}") for number in range(8)]
        answers = self.both([lambda host, who=who: self.get(host, "/gate/", certificate=who)
                             for who in guests for _ in (1, 2)])
        self.assertEqual({answer.status for answer in answers}, {20}, answers)

        def counted():
            return self.pair.sql("SELECT (SELECT count(*) FROM egalaxyd.users), (SELECT count(*) FROM "
                                 "egalaxyd.users u WHERE NOT EXISTS (SELECT FROM egalaxyd.user_keys k WHERE "
                                 "k.user_id = u.id)), (SELECT count(*) FROM egalaxyd.user_keys k WHERE NOT EXISTS "
                                 "(SELECT FROM egalaxyd.users u WHERE u.id = k.user_id))")[0]
        wanted = [str(known + len(guests)), "0", "0"]
        self.assertTrue(eventually(lambda: counted() == wanted), f"{counted()} instead of {wanted}")


if __name__ == "__main__":
    if lacking := missing(program("egalaxyd"), without=("patroni", "etcd")):
        print(f"skipped: not installed: {lacking}")
        sys.exit(77)
    unittest.main()
