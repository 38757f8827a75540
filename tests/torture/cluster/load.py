"""Clients of a cluster, in processes of their own: uploaders that write a ticket for each upload with what
became of it, and readers of a page. Run as a program by Load; imported for what it counts with.

    load.py uploaders|readers GEMINI-PORT SPARTAN-PORT JOURNAL FIRST COUNT
"""
import collections
import contextlib
import hashlib
import json
import os
import pathlib
import random
import signal
import socket
import subprocess
import sys
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "support"))
from titan_client import TimedOut, exchange  # noqa: E402

UPLOADERS, READERS = 16, 4
UPLOADER_PROCESSES = 4       # Python runs one thread at a time
PLACES = 24                  # of each uploader, which are replaced from then on
UPLOAD_PATIENCE = 110        # beyond the server's
PAGE_PATIENCE = 20
PAGE_PAUSE = 0.1             # of one reader, so that the machine is not what is measured
MAYBE = "may have been stored"

# What became of an upload.
ACKNOWLEDGED, REFUSED, UNCERTAIN, UNANSWERED = "acknowledged", "refused", "uncertain", "unanswered"

Ticket = collections.namedtuple("Ticket", "path sha256 began ended outcome words")
Page = collections.namedtuple("Page", "began seconds good words")


# The clients.

def store_over_titan(port, path, body, source):
    answer = exchange(port, f"titan://localhost:{port}{path};mime=text/plain;size={len(body)}", body,
                      source=source, timeout=UPLOAD_PATIENCE)
    return answer.status or 0, answer.meta or f"{answer.end} {answer.tcp} {answer.send_error}"


def store_over_spartan(port, path, body, source):
    with socket.create_connection(("127.0.0.1", port), UPLOAD_PATIENCE, (source, 0)) as connection:
        connection.sendall(f"localhost {path} {len(body)}\r\n".encode() + body)
        with connection.makefile("rb") as answer:
            line = answer.readline(1100).decode(errors="replace").strip()
    status = int(line[0]) * 10 if line[:1].isdigit() else 0
    return status, line[2:] or "no answer"


def outcome(status, words):
    if status in (20, 30):
        return ACKNOWLEDGED
    if not status:
        return UNANSWERED
    return UNCERTAIN if MAYBE in words else REFUSED


def upload(number, gemini, spartan, write, leaving):
    """One uploader: each body is another one, so that its sum tells which upload it was."""
    source, count = f"127.0.7.{number + 1}", 0
    while not leaving.is_set():
        name = f"/shared/u{number}-{count % PLACES}.txt"
        body = f"{number} {count} {random.getrandbits(64)}\n".encode() * 40
        began = time.time()
        try:
            status, words = (store_over_spartan(spartan, name, body, source) if number % 2
                             else store_over_titan(gemini, name, body, source))
        except (OSError, TimedOut) as error:
            status, words = 0, f"{type(error).__name__}: {error}"
        become = outcome(status, words)
        write(Ticket(name, hashlib.sha256(body).hexdigest(), began, time.time(), become,
                     "" if become == ACKNOWLEDGED else f"{status} {words}"))
        count += 1
        if become != ACKNOWLEDGED:
            leaving.wait(0.2)  # as a person would, before the next try


def read_pages(number, gemini, write, leaving):
    count = 0
    while not leaving.wait(PAGE_PAUSE):
        count += 1
        began = time.time()
        try:
            answer = exchange(gemini, f"gemini://localhost:{gemini}/", timeout=PAGE_PATIENCE,
                              source=f"127.0.8.{(number * 50 + count) % 250 + 1}")
            good = (answer.status == 20 and answer.end == "close_notify"
                    and answer.body.startswith(b"# A capsule"))
            words = "" if good else f"{answer.status} {answer.meta} {answer.end} {answer.tcp}"
        except (OSError, TimedOut) as error:
            good, words = False, f"{type(error).__name__}: {error}"
        write(Page(began, time.time() - began, good, words))


def main():
    kind, gemini, spartan, journal, first, count = sys.argv[1:]
    leaving, turn = threading.Event(), threading.Lock()
    signal.signal(signal.SIGTERM, lambda *_: leaving.set())
    with open(journal, "a", encoding="utf-8") as file:
        def write(entry):
            with turn:
                file.write(json.dumps(entry) + "\n")
                file.flush()
        threads = [threading.Thread(target=upload if kind == "uploaders" else read_pages, args=(
            (number, int(gemini), int(spartan), write, leaving) if kind == "uploaders"
            else (number, int(gemini), write, leaving)))
            for number in range(int(first), int(first) + int(count))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


# Their side that a test holds.

class Load:
    """`with Load(folder, gemini, spartan) as load:` At the end of the block all have finished what they
    had begun."""

    def __init__(self, folder, gemini, spartan, uploaders=UPLOADERS, readers=READERS):
        self._folder, self._processes = pathlib.Path(folder), []
        for name in self._folder.glob("journal-*"):
            name.unlink()
        each = max(1, uploaders // UPLOADER_PROCESSES)
        self._parts = [("uploaders", first, min(each, uploaders - first)) for first in range(0, uploaders, each)]
        self._parts += [("readers", 0, readers)] if readers else []
        self._ports = (str(gemini), str(spartan))
        self._read, self.tickets, self.pages = collections.Counter(), [], []

    def __enter__(self):
        for kind, first, count in self._parts:
            self._processes.append(subprocess.Popen(
                [sys.executable, __file__, kind, *self._ports, self._folder / f"journal-{kind}-{first}",
                 str(first), str(count)], start_new_session=True))
        return self

    def __exit__(self, kind, *_):
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            try:
                process.wait(0 if kind else UPLOAD_PATIENCE + 20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.look()

    def look(self):
        """Reads what has been written since."""
        for part, first, _ in self._parts:
            name = self._folder / f"journal-{part}-{first}"
            with contextlib.suppress(FileNotFoundError), open(name, "rb") as file:
                file.seek(self._read[name])
                lines = file.read()
                lines = lines[:lines.rfind(b"\n") + 1]
                self._read[name] += len(lines)
                entries = [json.loads(line) for line in lines.splitlines()]
                if part == "readers":
                    self.pages += [Page(*entry) for entry in entries]
                else:
                    self.tickets += [Ticket(*entry) for entry in entries]

    def acknowledged(self, began_after=0.0):
        self.look()
        return sum(ticket.outcome == ACKNOWLEDGED and ticket.began >= began_after for ticket in self.tickets)

    def await_acknowledged(self, count, patience):
        """True once so many uploads that begin from here on are acknowledged."""
        since, until = time.time(), time.monotonic() + patience
        while self.acknowledged(since) < count:
            if time.monotonic() > until:
                return False
            time.sleep(0.05)
        return True

    def longest_gap(self):
        """Seconds in which no upload was acknowledged to anybody."""
        ends = sorted(ticket.ended for ticket in self.tickets if ticket.outcome == ACKNOWLEDGED)
        return max((after - before for before, after in zip(ends, ends[1:])), default=0.0)

    def page_p99(self, since=0.0, until=float("inf")):
        """Seconds; of the pages that were asked for in that time."""
        times = sorted(page.seconds for page in self.pages if since <= page.began < until)
        return times[min(len(times) - 1, int(len(times) * 0.99))] if times else 0.0


if __name__ == "__main__":
    main()
    os._exit(0)
