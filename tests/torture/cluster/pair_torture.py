#!/usr/bin/env python3
"""The cluster's promises where a pair of databases is enough: for every build, in less than a minute. The
programs are those of $EGALAXYD_BIN_DIR; skipped (77) where one is missing.

    pair_torture.py [--rounds N] [Class]
"""
import pathlib
import sys
import time
import unittest

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent
for folder in (HERE, HERE.parents[1] / "support", HERE.parents[2] / "examples/cluster"):
    sys.path.insert(0, str(folder))
from capsule import Folder, eventually, program  # noqa: E402
from load import Load  # noqa: E402
from one_machine import missing  # noqa: E402
from pair import Pair  # noqa: E402
from verify import await_files, latest, verify_tickets  # noqa: E402

ROUNDS = int(sys.argv.pop(sys.argv.index("--rounds") + 1)) if "--rounds" in sys.argv else 2
sys.argv = [word for word in sys.argv if word != "--rounds"]
SETTINGS = '\n[server]\nworkers = 1\n'
RECOVERY = 90
ENOUGH = 24


class PairCase(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = Folder()
        cls.addClassCleanup(cls.folder.remove)
        cls.pair = Pair(cls.folder.path, program("egalaxyd"), SETTINGS)
        cls.addClassCleanup(cls.pair.stop)
        cls.pair.start()

    def judge(self, load):
        seconds, differing = await_files(self.pair, self.pair.numbers)
        verdict = verify_tickets(self.pair, load.tickets)
        print(f"gap {load.longest_gap():.1f} s; uploads {dict(verdict.counts)}; files equal after {seconds:.2f} s; "
              f"pages {len(load.pages)}", flush=True)
        self.assertEqual(verdict.missing, [], "acknowledged and missing")
        self.assertEqual(verdict.wrongly_there, [], "refused and there")
        self.assertEqual(verdict.overtaken, [], "not the latest")
        self.assertEqual(differing, {}, "files that are not the database's")
        self.assertEqual([page.words for page in load.pages if not page.good], [])
        self.assertEqual([ticket.words for ticket in load.tickets if ticket.outcome == "unanswered"], [])


class PrimaryKilled(PairCase):
    """kill -9 of the primary under load; the standby takes over, the other comes back as its standby."""

    def test_rounds(self):
        for number in range(ROUNDS):
            with self.subTest(number=number):
                with Load(self.folder.path, self.pair.gemini, self.pair.spartan, uploaders=8, readers=2) as load:
                    self.assertTrue(load.await_acknowledged(ENOUGH, RECOVERY), "no uploads")
                    self.pair.postgres[self.pair.leader].kill()
                    self.pair.promote()
                    self.pair.make_standby(self.pair.other())
                    self.assertTrue(load.await_acknowledged(ENOUGH, RECOVERY), "uploads do not go on")
                self.judge(load)


class Forgotten(PairCase):
    """The standby that takes over lacks what was acknowledged, by an operator's mistake: from then on
    nothing is written, and the log says why in one sentence."""

    def test_nothing_is_written_to_a_database_that_went_back(self):
        pair = self.pair
        pair.postgres[2].stop()
        pair.sql("ALTER SYSTEM SET synchronous_standby_names = ''")
        pair.sql("SELECT pg_reload_conf()")
        with Load(self.folder.path, pair.gemini, pair.spartan, uploaders=4, readers=0) as load:
            self.assertTrue(load.await_acknowledged(ENOUGH, RECOVERY), "no uploads")
            pair.postgres[1].kill()
            pair.run_postgres(2)
            pair.promote()
            pair.sql("ALTER SYSTEM SET synchronous_standby_names = ''")
            pair.sql("SELECT pg_reload_conf()")
            before = latest(pair)
            self.assertTrue(eventually(lambda: load.look() or self.refused_since(load, time.time() - 1), RECOVERY))
            struck = time.time()
        self.assertEqual([ticket for ticket in load.tickets
                          if ticket.outcome == "acknowledged" and ticket.began > struck], [])
        self.assertEqual(latest(pair), before)
        self.assertTrue(any("forgotten" in web.log() for web in pair.web.values()))

    @staticmethod
    def refused_since(load, moment):
        return [ticket for ticket in load.tickets if ticket.outcome == "refused" and ticket.ended > moment]


if __name__ == "__main__":
    if lacking := missing(program("egalaxyd"), without=("patroni", "etcd")):
        print(f"skipped: not installed: {lacking}")
        sys.exit(77)
    unittest.main()
