"""Whether a cluster keeps what its clients were told. All are facts; what is judged is the test's."""
import collections
import contextlib
import hashlib
import time
import urllib.parse

from load import ACKNOWLEDGED, REFUSED, UNCERTAIN, UNANSWERED

Verdict = collections.namedtuple("Verdict", "missing wrongly_there overtaken counts")


def stored_sums(cluster):
    """The sums of all uploads that the database has ever taken, whether replaced since or not."""
    return {row[0] for row in cluster.sql("SELECT sha256 FROM egalaxyd.uploads WHERE outcome <> 'refused'", patience=60)}


def latest(cluster):
    """{path: sum, "" where it was deleted} of the folder that the hosts share."""
    return dict(cluster.sql("SELECT path, sha256 FROM egalaxyd.uploads WHERE latest AND path LIKE '/shared/%'",
                            patience=60))


def verify_tickets(cluster, tickets):
    """missing: acknowledged, and not there. wrongly_there: refused without a doubt, and there.
    overtaken: places whose latest content is neither the last acknowledged nor one that nobody can tell of."""
    there, now = stored_sums(cluster), latest(cluster)
    missing = [ticket for ticket in tickets if ticket.outcome == ACKNOWLEDGED and ticket.sha256 not in there]
    wrongly = [ticket for ticket in tickets if ticket.outcome == REFUSED and ticket.sha256 in there]
    # Who never got an answer may be carried out at any time after: it is as if he had asked late.
    possible = {ticket.path: {None} for ticket in tickets}
    for ticket in sorted(tickets, key=lambda ticket: ticket.began):
        if ticket.outcome == ACKNOWLEDGED:
            possible[ticket.path] = {ticket.sha256}
    for ticket in tickets:
        if ticket.outcome in (UNCERTAIN, UNANSWERED):
            possible[ticket.path].add(ticket.sha256)
    overtaken = [path for path, sums in possible.items() if now.get(urllib.parse.unquote(path)) not in sums]
    counts = collections.Counter(ticket.outcome for ticket in tickets)
    undecided = [ticket for ticket in tickets if ticket.outcome in (UNCERTAIN, UNANSWERED)]
    counts["undecided and there"] = sum(ticket.sha256 in there for ticket in undecided)
    return Verdict(missing, wrongly, overtaken, counts)


def differing_files(cluster, numbers, wanted):
    """{(number, path): what the file holds} where a host's files are not the database's."""
    wrong = {}
    for number in numbers:
        root = cluster.folder / f"h{number}/srv"
        for path, sha256 in wanted.items():
            found = ""
            with contextlib.suppress(FileNotFoundError):
                found = hashlib.sha256((root / path.lstrip("/")).read_bytes()).hexdigest()
            if found != sha256:
                wrong[number, path] = found
    return wrong


def await_files(cluster, numbers, patience=60):
    """(seconds until all files of those hosts are as the database has them, what still differs)"""
    began, wanted = time.monotonic(), latest(cluster)
    while True:
        looked = time.monotonic() - began
        wrong = differing_files(cluster, numbers, wanted)
        if not wrong or time.monotonic() - began > patience:
            return looked, wrong
        wanted = {path: wanted[path] for _, path in wrong}
        time.sleep(0.02)
