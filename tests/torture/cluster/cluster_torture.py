#!/usr/bin/env python3
"""Bad days of examples/cluster, one after the other, under 16 uploaders and 4 readers that go through HAProxy.

    cluster_torture.py               all of it, some twelve minutes
    cluster_torture.py PrimaryHost   some: classes, or Class.test_name
    cluster_torture.py --bars        gaps and latencies are judged, too: for a quiet machine

Of each: what was acknowledged is there, what was refused is not, each host's files are the database's, and
no page fails. The programs are those of $EGALAXYD_BIN_DIR; skipped (77) where a program is missing.
"""
import atexit
import os
import pathlib
import sys
import time
import unittest

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent
for folder in (HERE, HERE.parents[1] / "support", HERE.parents[2] / "examples/cluster"):
    sys.path.insert(0, str(folder))
from capsule import Folder, program  # noqa: E402
from load import READERS, UPLOADERS, Load  # noqa: E402
from namespaces import Namespaces  # noqa: E402
from one_machine import Cluster, eventually, missing  # noqa: E402
from verify import await_files, verify_tickets  # noqa: E402

BARS = "--bars" in sys.argv
sys.argv = [word for word in sys.argv if word != "--bars"]
STEADY = 4            # seconds before a fault and after its mending
RECOVERY = 100        # seconds that a fault may keep uploads waiting before all is called lost
ENOUGH = 3 * UPLOADERS
FILES_BAR = 1.0       # seconds until each host's files are the database's
P99_BAR, P99_FLOOR = 2.0, 0.050  # of pages in a fault: times that before, or so many seconds
SETTINGS = '\n[server]\nworkers = 1\n'


class ClusterCase(unittest.TestCase):
    """One cluster for all tests of a class."""
    network = None

    @classmethod
    def setUpClass(cls):
        cls.folder = Folder()
        cls.addClassCleanup(cls.folder.remove)
        cls.cluster = Cluster(cls.folder.path, program("egalaxyd"), cls.network and cls.network(),
                              SETTINGS)
        cls.addClassCleanup(cls.cluster.stop)
        atexit.register(cls.cluster.stop)  # at Ctrl-C unittest cleans nothing up
        cls.cluster.start()

    def setUp(self):
        self.assertTrue(eventually(self.whole), f"not whole before the test: {self.cluster.members()}")

    def whole(self):
        return (self.cluster.primary() and self.cluster.synchronous_standby()
                and self.cluster.followed_by() == len(self.cluster.numbers) - 1
                and self.cluster.hosts_up() == len(self.cluster.numbers))

    def endure(self, name, fault, mend, gap, lost_pages=0, judge_pages=True, hold=0.0):
        """`gap`: the bar of seconds without an acknowledgement; `hold`: seconds until it is mended."""
        with Load(self.folder.path, self.cluster.gemini, self.cluster.spartan) as load:
            self.assertTrue(load.await_acknowledged(ENOUGH, RECOVERY), "no uploads before the fault")
            began = time.time()
            time.sleep(STEADY)
            struck = time.time()
            fault()
            time.sleep(hold)
            went_on = load.await_acknowledged(ENOUGH, RECOVERY)
            mend()
            self.assertTrue(went_on, f"uploads do not go on: {self.cluster.members()}")
            self.assertTrue(load.await_acknowledged(ENOUGH, RECOVERY), "no uploads after the mending")
            self.assertTrue(eventually(self.whole), f"does not become whole: {self.cluster.members()}")
            time.sleep(STEADY)
        self.judge(name, load, began, struck, gap, lost_pages, judge_pages)

    def judge(self, name, load, began, struck, gap, lost_pages, judge_pages):
        seconds, differing = await_files(self.cluster, self.cluster.numbers)
        verdict = verify_tickets(self.cluster, load.tickets)
        failed = [page.words for page in load.pages if not page.good]
        before, during = load.page_p99(began, struck), load.page_p99(struck)
        print(f"{name:24} gap {load.longest_gap():5.1f} s; uploads {dict(verdict.counts)}; missing "
              f"{len(verdict.missing)}; files equal after {seconds:.2f} s; pages {len(load.pages)}, failed "
              f"{len(failed)}, p99 {1000 * before:.0f} -> {1000 * during:.0f} ms", flush=True)
        self.assertEqual(verdict.missing, [], "acknowledged and missing")
        self.assertEqual(verdict.wrongly_there, [], "refused and there")
        self.assertEqual(verdict.overtaken, [], "not the latest")
        self.assertEqual(differing, {}, "files that are not the database's")
        self.assertLessEqual(len(failed), lost_pages, failed[:5])
        if not lost_pages:  # no host was taken away: nobody is left without an answer
            self.assertEqual([ticket.words for ticket in load.tickets if ticket.outcome == "unanswered"], [])
        if BARS:
            self.assertLessEqual(load.longest_gap(), gap)
            self.assertLessEqual(seconds, FILES_BAR)
            if judge_pages:
                self.assertLessEqual(during, max(P99_BAR * before, P99_FLOOR))


class WebHost(ClusterCase):
    """A host is gone: who was in its hands notices, nobody else does."""
    IN_HAND = READERS + 2  # requests of pages that one host may have at a moment

    def test_killed(self):
        web = self.cluster.web[1]

        def mend():
            web.start()
            self.cluster.await_web(1)
        self.endure("web host killed", web.kill, mend, 2, self.IN_HAND, judge_pages=False)

    def test_stopped(self):
        web = self.cluster.web[2]

        def mend():
            web.start()
            self.cluster.await_web(2)
        # It is back before HAProxy has missed it: pages wait until it has compared its files.
        self.endure("web host stopped", lambda: web.stop(60), mend, 2, judge_pages=False)

    def test_each_restarted_in_turn(self):
        """As an upgrade is done: out of HAProxy, stopped, started, let back in."""
        def restart_all():
            for number in self.cluster.numbers:
                self.cluster.set_state(number, "drain")
                self.cluster.web[number].stop(60)
                self.cluster.web[number].start()
                self.cluster.await_web(number)
                self.cluster.set_state(number, "ready")
                self.assertTrue(eventually(self.whole), f"h{number} does not come back")
        self.endure("each host restarted", restart_all, lambda: None, 2)

    def test_frozen_and_woken(self):
        web = self.cluster.web[3]
        self.endure("web host frozen", web.freeze, web.thaw, 10, self.IN_HAND, judge_pages=False, hold=8)


class Database(ClusterCase):
    def test_postgres_of_the_primary_killed(self):
        primary = self.cluster.primary()
        self.endure("postgres killed", lambda: self.cluster.kill_postgres(primary), lambda: None, 15)

    def test_host_of_the_primary_killed(self):
        host = self.cluster.patroni[self.cluster.primary()]
        self.endure("primary's host killed", host.kill, host.start, 30)

    def test_host_of_the_primary_frozen_and_woken(self):
        host = self.cluster.patroni[self.cluster.primary()]
        self.endure("primary's host frozen", host.freeze, host.thaw, 30, hold=30)

    def test_synchronous_standby_killed(self):
        host = self.cluster.patroni[self.cluster.synchronous_standby()]
        self.endure("standby's host killed", host.kill, host.start, 15)

    def test_synchronous_standby_frozen_and_woken(self):
        host = self.cluster.patroni[self.cluster.synchronous_standby()]
        self.endure("standby's host frozen", host.freeze, host.thaw, 30, hold=10)

    def test_switched_over(self):
        primary, standby = self.cluster.primary(), self.cluster.synchronous_standby()

        def switch():
            done = self.cluster.patronictl("switchover", "--force", "egalaxyd", "--candidate", f"h{standby}")
            self.assertIn("Successfully switched over", done.stdout, done.stderr)
        self.endure("switch-over", switch, lambda: self.assertNotEqual(self.cluster.primary(), primary), 5)


class Etcd(ClusterCase):
    def test_killed(self):
        self.endure("etcd killed", self.cluster.etcd.kill, self.cluster.etcd.start, 2, hold=25)

    def test_frozen_and_woken(self):
        self.endure("etcd frozen", self.cluster.etcd.freeze, self.cluster.etcd.thaw, 2, hold=25)


@unittest.skipIf(Namespaces.possible(), Namespaces.possible())
class Partition(ClusterCase):
    """A machine is cut off, with its database and its host of egalaxyd."""
    network = Namespaces

    def cut(self, number, name, gap):
        network = self.cluster.network
        self.endure(name, lambda: network.cut(number), lambda: network.mend(number), gap,
                    WebHost.IN_HAND + READERS * 4, judge_pages=False, hold=30)

    def test_machine_of_the_primary(self):
        self.cut(self.cluster.primary(), "primary cut off", 40)

    def test_machine_of_the_synchronous_standby(self):
        self.cut(self.cluster.synchronous_standby(), "standby cut off", 30)


if __name__ == "__main__":
    if lacking := missing(program("egalaxyd")):
        print(f"skipped: not installed: {lacking}")
        sys.exit(77)
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    unittest.main()
