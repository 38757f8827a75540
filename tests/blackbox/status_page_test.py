#!/usr/bin/env python3
"""The status page: who may look, what it shows, what its process and its clients can cost. The
programs are those of $EGALAXYD_BIN_DIR."""
import base64
import contextlib
import hashlib
import http.client
import http.server
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import unittest

sys.dont_write_bytecode = True
ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "support"))
from capsule import (PATIENCE, Capsule, Folder, eventually, free_port, name_of, processes,  # noqa: E402
                     program)

SITE = '[sites.localhost]\nroot = "root"\n'
TOKEN, OTHER = "a token of its own", "another token"
CHROMIUM = shutil.which("chromium")
NAME = "egalaxyd-status"
MOST_CONNECTIONS = 4 + 16  # answered, and waiting for that


def digest(token):
    return '"sha256:' + hashlib.sha256(token.encode()).hexdigest() + '"'


class Case(unittest.TestCase):
    settings = {}

    def setUp(self):
        folder = Folder()
        self.addCleanup(folder.remove)
        (folder.make("root") / "index.gmi").write_text("# Hello\n")
        self.capsule = Capsule(SITE, {"status.listen": '["127.0.0.1:0"]', **self.settings}, folder)
        self.capsule.start()
        self.addCleanup(self.capsule.close)
        self.port = self.page_port()
        self.assertTrue(eventually(lambda: self.figures() or None) if not self.settings else True)

    def page_port(self):
        return int(re.findall(r"listening on 127\.0\.0\.1:(\d+) for the status page",
                              self.capsule.log())[-1])

    def ask(self, path, method="GET", port=None, **headers):
        """(status, headers, body); None where nobody answers."""
        client = http.client.HTTPConnection("127.0.0.1", port or self.port, timeout=PATIENCE)
        with contextlib.closing(client), contextlib.suppress(OSError, http.client.HTTPException):
            client.request(method, path, headers=headers)
            answer = client.getresponse()
            return answer.status, answer.headers, answer.read().decode()
        return None

    def status(self, path, **more):
        answer = self.ask(path, **more)
        return answer and answer[0]

    def figures(self):
        answer = self.ask("/status.json")
        return answer and answer[0] == 200 and json.loads(answer[2])["figures"]

    def page_pid(self):
        return next((pid for pid in self.capsule.children() if name_of(pid) == NAME), 0)

    def workers(self):
        return self.capsule.workers()

    def ctl(self, *arguments):
        done = subprocess.run([program("egalaxyctl"), "--socket",
                               self.capsule.folder.path / "run/control.sock", *arguments],
                              capture_output=True, text=True, check=False, timeout=PATIENCE)
        return done.returncode, done.stdout + done.stderr

    def reload(self, **settings):
        self.capsule.settings.update(
            {key.replace("_", "."): value for key, value in settings.items()})
        self.capsule.write_config()
        return self.ctl("reload")

    def gemini_works(self):
        return self.capsule.get("/").status == 20


class Page(Case):
    def test_shows_what_egalaxyctl_shows(self):
        self.assertTrue(self.gemini_works())
        self.assertTrue(eventually(
            lambda: "\negalaxyd_requests_total 1\n" in self.ask("/metrics")[2]))
        names = lambda text: re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE)  # noqa: E731
        code, metrics, text = self.ask("/metrics")
        self.assertEqual((code, metrics["Content-Type"]),
                         (200, "text/plain; version=0.0.4; charset=utf-8"))
        self.assertEqual(names(text), names(self.ctl("stats", "--format", "prometheus")[1]))
        self.assertEqual(self.ask("/healthz")[::2], (200, "ok\n"))
        listeners = json.loads(self.ctl("--json", "status")[1])["listeners"]
        self.assertIn({"address": f"127.0.0.1:{self.port}", "protocols": "the status page",
                       "listening": True}, listeners)

    @unittest.skipUnless(shutil.which("promtool"), "promtool is missing (package prometheus)")
    def test_promtool_accepts_it(self):
        check = subprocess.run(["promtool", "check", "metrics"], input=self.ask("/metrics")[2],
                               capture_output=True, text=True, check=False)
        self.assertEqual(check.returncode, 0, check.stderr)
        example = ROOT / "examples/prometheus/prometheus.yml"
        check = subprocess.run(["promtool", "check", "config", example], capture_output=True,
                               text=True, check=False)
        self.assertEqual(check.returncode, 0, check.stderr)

    def test_the_dashboard_asks_for_what_there_is(self):
        dashboard = json.loads((ROOT / "examples/grafana/egalaxyd.json").read_text())
        there = set(re.findall(r"^# TYPE (\S+)", self.ask("/metrics")[2], re.MULTILINE))
        asked = set()
        for panel in dashboard["panels"]:
            for target in panel.get("targets", []):
                asked |= set(re.findall(r"egalaxyd_\w+", target["expr"]))
        self.assertGreater(len(asked), 10)
        self.assertEqual(set(), {name for name in asked
                                 if name not in there and re.sub("_(sum|count)$", "", name) not in there})

    def test_needs_nobody_else_and_runs_nothing_else(self):
        code, headers, page = self.ask("/")
        self.assertEqual(code, 200)
        nonce = re.search(r"script-src 'nonce-([0-9a-f]{32})'", headers["Content-Security-Policy"])[1]
        self.assertEqual(page.count(f'nonce="{nonce}"'), page.count("<script") + page.count("<style"))
        self.assertNotIn(nonce, self.ask("/")[2])
        self.assertIn("default-src 'none'", headers["Content-Security-Policy"])
        self.assertEqual((headers["Cache-Control"], headers["X-Content-Type-Options"]),
                         ("no-store", "nosniff"))
        self.assertIsNone(headers["Access-Control-Allow-Origin"])
        self.assertEqual({"http://www.w3.org/2000/svg"}, set(re.findall(r"https?://[^'\" ]+", page)))
        code, headers, nothing = self.ask("/", method="HEAD")
        self.assertEqual((code, nothing), (200, ""))
        self.assertEqual(int(headers["Content-Length"]), len(page.encode()))

    def test_answers_no_foreign_page_and_nothing_but_questions(self):
        self.assertEqual(self.status("/status.json", Host="evil.example"), 421)
        self.assertEqual(self.status("/status.json", Host="localhost"), 200)
        self.assertEqual(self.status("/", method="POST"), 405)
        self.assertEqual(self.status("/nothing"), 404)

    def test_nonsense_ends_its_connection_alone(self):
        pid = self.page_pid()
        for line in (b"\r\n\r\n", b"\x16\x03\x01\x02\x00" * 100, b"GET / HTTP/9.9\r\n\r\n",
                     b"GET " + b"x" * 100_000 + b" HTTP/1.1\r\n\r\n",
                     b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 5000 + b"\r\n",
                     b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\n\r\n"):
            with contextlib.closing(socket.create_connection(("127.0.0.1", self.port))) as client:
                client.settimeout(PATIENCE)
                with contextlib.suppress(OSError):
                    client.sendall(line)
                    client.shutdown(socket.SHUT_WR)
                    while client.recv(4096):
                        pass
        self.assertEqual(self.status("/healthz"), 200)
        self.assertEqual(self.page_pid(), pid)

    def test_shows_the_last_faults(self):
        self.capsule.settings["limits.connections"] = '"nonsense"'
        self.capsule.write_config()
        self.assertEqual(self.ctl("reload")[0], 1)
        told = eventually(lambda: [fault for fault in self.figures()["faults"]
                                   if "reload failed" in fault["text"]])
        self.assertEqual((told[0]["level"], told[0]["process"]), ("error", "master"))
        self.assertIn("limits.connections", json.dumps(self.figures()["status"]["reload_failure"]))

    def test_its_process_is_small_and_confined(self):
        page = json.loads(self.ask("/status.json")[2])["page"]
        self.assertEqual(page["pid"], self.page_pid())
        fields = dict(line.split(":\t") for line in
                      pathlib.Path(f"/proc/{page['pid']}/status").read_text().splitlines())
        self.assertEqual(fields["NoNewPrivs"].strip(), "1")
        if "no seccomp" in self.capsule.log() or fields["Seccomp"].strip() == "0":
            self.skipTest("this build or kernel has no seccomp")
        self.assertEqual(fields["Seccomp"].strip(), "2")
        self.assertEqual(int(fields["CapEff"], 16), 0)
        self.assertLess(page["pss_kib"], 12 * 1024)
        self.assertLess(int(fields["Threads"]), 10)


class Life(Case):
    def test_a_process_that_is_killed_is_replaced_and_nobody_notices(self):
        pid, workers = self.page_pid(), self.workers()
        os.kill(pid, signal.SIGKILL)
        self.assertTrue(eventually(lambda: self.page_pid() not in (0, pid)))
        self.assertTrue(self.gemini_works())
        self.assertEqual(self.workers(), workers)
        self.assertTrue(eventually(lambda: self.status("/metrics") == 200))
        self.assertIn("killed by signal 9 (SIGKILL)", self.capsule.log())

    @unittest.skipUnless(os.geteuid() == 0, "only root sees the descriptors of the server's processes")
    def test_slow_clients_cost_a_bounded_number_of_connections_for_a_bounded_time(self):
        pid = self.page_pid()
        descriptors = lambda: len(os.listdir(f"/proc/{pid}/fd"))  # noqa: E731
        before = descriptors()
        slow = [socket.create_connection(("127.0.0.1", self.port)) for _ in range(60)]
        stop = threading.Event()

        def trickle():
            while not stop.wait(0.2):
                for client in slow:
                    with contextlib.suppress(OSError):
                        client.send(b"G")
        thread = threading.Thread(target=trickle)
        thread.start()
        try:
            self.assertTrue(eventually(lambda: descriptors() > before + 2))
            self.assertTrue(self.gemini_works())
            self.assertLessEqual(descriptors(), before + MOST_CONNECTIONS + 1)
            self.assertTrue(eventually(lambda: self.status("/healthz") == 200))
        finally:
            stop.set()
            thread.join()
            for client in slow:
                client.close()
        self.assertEqual(self.page_pid(), pid)
        self.assertTrue(eventually(lambda: descriptors() <= before + 1))

    def test_ends_with_its_master(self):
        master = self.capsule._process
        os.kill(master.pid, signal.SIGKILL)
        master.wait(PATIENCE)
        self.assertTrue(eventually(lambda: not processes(group=master.pid)))

    def test_moves_and_goes_with_a_reload(self):
        port, pid, old = free_port(), self.page_pid(), self.port
        self.assertEqual(self.reload(limits_connections="1000")[0], 0)
        self.assertEqual(self.page_pid(), pid, "what did not change stays")
        self.assertEqual(self.reload(status_listen=f'["127.0.0.1:{port}"]')[0], 0)
        self.assertTrue(eventually(lambda: self.status("/healthz", port=port) == 200))
        self.assertTrue(eventually(lambda: self.ask("/healthz", port=old) is None))
        self.port = port
        with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as taken:
            code, said = self.reload(status_listen=f'["127.0.0.1:{taken.getsockname()[1]}"]')
            self.assertEqual(code, 1)
            self.assertIn("is taken by", said)
            self.assertIn("status.listen", said)
        self.assertEqual(self.status("/healthz"), 200)
        self.assertEqual(self.reload(status_listen='[":0"]')[0], 1, "others may reach it")
        self.assertEqual(self.reload(status_listen="[]")[0], 0)
        self.assertTrue(eventually(lambda: not self.page_pid()))
        self.assertIsNone(self.ask("/healthz"))
        self.assertEqual(self.reload(status_listen=f'["127.0.0.1:{port}"]')[0], 0)
        self.assertTrue(eventually(lambda: self.status("/healthz") == 200))


class Token(Case):
    settings = {"status.token": digest(TOKEN)}

    def bearer(self, token, path="/metrics"):
        return self.status(path, Authorization=f"Bearer {token}")

    def test_is_asked_for_and_changes_with_a_reload(self):
        self.assertTrue(eventually(lambda: self.bearer(TOKEN) == 200))
        code, headers, _ = self.ask("/")
        self.assertEqual(code, 401)
        self.assertTrue(headers["WWW-Authenticate"].startswith("Basic "))
        basic = base64.b64encode(f"me:{TOKEN}".encode()).decode()
        self.assertEqual(self.status("/", Authorization=f"Basic {basic}"), 200)
        self.assertEqual(self.status("/", Authorization=f"Basic {basic}", Host="status.example"), 200)
        self.assertEqual(self.bearer(OTHER), 401)
        self.assertEqual(self.status("/metrics"), 401)
        self.assertIn(self.status("/healthz"), (200, 503))
        self.assertEqual(self.reload(status_token=digest(OTHER))[0], 0)
        self.assertTrue(eventually(lambda: self.bearer(OTHER) == 200))
        # The process that knew it may be about to end.
        self.assertTrue(eventually(lambda: self.bearer(TOKEN) == 401))

    def test_is_not_shown(self):
        dump = subprocess.run([program("egalaxyd"), "--config", self.capsule.write_config(), "--dump"],
                              capture_output=True, text=True, check=True).stdout
        self.assertIn('token = "(masked)"', dump)
        self.assertTrue(eventually(lambda: self.bearer(TOKEN, "/status.json") == 200))
        shown = self.ask("/status.json", Authorization=f"Bearer {TOKEN}")[2] + self.capsule.log()
        self.assertNotIn(TOKEN, shown)
        self.assertNotIn(hashlib.sha256(TOKEN.encode()).hexdigest(), shown)


@unittest.skipUnless(CHROMIUM, "chromium is not installed")
class Browser(Case):
    def dom(self, url):
        with tempfile.TemporaryDirectory() as profile:
            run = subprocess.run(
                [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                 "--enable-logging=stderr", f"--user-data-dir={profile}", "--window-size=390,844",
                 "--virtual-time-budget=9000", "--dump-dom", url],
                capture_output=True, text=True, check=False, timeout=4 * PATIENCE)
        said = [line for line in run.stderr.splitlines() if "CONSOLE" in line]
        return run.stdout, said

    def test_draws_the_page_and_breaks_no_rule_of_its_own(self):
        self.assertTrue(self.gemini_works())
        self.assertTrue(eventually(lambda: self.figures()["statistics"]["totals"]["requests"] == 1))
        page, said = self.dom(f"http://127.0.0.1:{self.port}/")
        self.assertEqual(said, [])
        self.assertRegex(page, r'class="pill (good|warn)"[^>]*>Serving')
        self.assertIn(f"127.0.0.1:{self.port}", page)
        self.assertEqual(page.count('role="img"'), 4, "a chart is there")
        self.assertIn('class="s-a"', page)
        self.assertNotIn('class="s-d"', page, "nothing has failed, so no red line")
        for text in ("Requests per second", "Time to the first byte", "1 in all", "2/2",
                     "the status page", "localhost"):
            self.assertIn(text, page)

    def test_says_when_the_server_has_gone(self):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                page = (ROOT / "master/status/page.html").read_bytes()
                self.send_response(200 if self.path == "/" else 503)
                self.send_header("Content-Type", "text/html")
                self.end_headers()
                self.wfile.write(page if self.path == "/" else b"")

            def log_message(self, *_):
                pass
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            page, _ = self.dom(f"http://127.0.0.1:{server.server_port}/")
            server.shutdown()
        self.assertRegex(page, r'class="pill bad"[^>]*>No answer')
        self.assertIn('class="gone"', page)
        self.assertIn("The server answers with 503.", page)


if __name__ == "__main__":
    unittest.main()
