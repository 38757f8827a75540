"""What storing costs: uploads beside a bare loop and a bare TLS server that store likewise."""
import contextlib
import json
import pathlib
import statistics
import subprocess
import sys

from . import proc
from .cost import enter_all, median_ratio
from .crowd import cores
from .load import failures, run_load
from .servers import start_egalaxyd, start_store_floor
from .table import megabytes

CLIENTS, BODY_BYTES = 64, 2048
HUGE_BYTES = 2 * 1024**3
DISK_BAR, TLS_BAR, VERSIONS_BAR, MEMORY_BAR = 0.5, 0.9, 0.8, 1e6
SUSTAINED_SECONDS = 4  # at first, a file system takes writes that it has to make up for later
CLIENT = pathlib.Path(__file__).resolve().parents[2] / "support" / "titan_client.py"


def upload_site(space, scheme="titan", keys='keep = "off"\n', name=None):
    """(TOML of a folder /titan or /spartan that takes uploads from anyone, the folder)"""
    name = name or scheme
    folder = space.folder(f"{name}-uploads")
    folder.chmod(0o777)  # workers may run under another account
    return (f'[sites.localhost."/{name}"]\nmodule = "directory"\nroot = "{folder}"\n'
            f'[sites.localhost."/{name}".upload]\nanyone = true\nover = ["{scheme}"]\n'
            f'{keys}'), folder


def seconds(bench):
    return max(bench.seconds, SUSTAINED_SECONDS)


def disk_rate(bench):
    """Files a second of the bare loop."""
    done = subprocess.run(
        [bench.bin / "egalaxyd_store_floor", "--dir", bench.space.folder("loop"), "--threads",
         str(CLIENTS), "--bytes", str(BODY_BYTES), "--seconds", str(seconds(bench))],
        capture_output=True, text=True, check=True)
    return json.loads(done.stdout)["per_second"]


def upload_rate(bench, server, scheme, name=None):
    """Acknowledged uploads a second."""
    result = run_load(bench.bin, server.url(f"/{name or scheme}/", scheme=scheme), upload=BODY_BYTES,
                      connections=CLIENTS, seconds=seconds(bench))
    if result["failed"]:
        raise RuntimeError(f"{server.name} failed uploads: {failures(result)}")
    return result["per_second"]


def rates_in_turn(bench, measures):
    """{name: [rate of each round]}"""
    rates = {name: [] for name in measures}
    names = list(measures)
    for measure in measures.values():
        measure()  # warms up
    for number in range(bench.rounds):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            rates[name].append(measures[name]())
    return rates


def note_rates(table, rates):
    for name, each in rates.items():
        table.note(f"uploads: {name}", f"{statistics.median(each):.0f}/s "
                   f"({min(each):.0f} to {max(each):.0f})")


def versions(bench):
    """Files that are replaced again and again, with and without their earlier versions kept."""
    table = bench.table
    names = ("versions on", "versions off")
    sites = "".join(upload_site(bench.space, keys=f"keep = {keep}\n", name=name.replace(" ", "-"))[0]
                    for name, keep in zip(names, ("20", '"off"')))
    with contextlib.ExitStack() as stack:
        for egalaxyd in enter_all(stack, table, "versions", [
                lambda: start_egalaxyd(bench.bin, bench.space, workers=cores(), sites=sites)]):
            rates = rates_in_turn(bench, {
                name: lambda name=name: upload_rate(bench, egalaxyd, "titan", name.replace(" ", "-"))
                for name in names})
            table.raw["versions"] = rates
            note_rates(table, rates)
            ratio = median_ratio(*(rates[name] for name in names))
            table.judge("uploads: versions on / off", f"{ratio:.2f}", f"at least {VERSIONS_BAR:.2f}",
                        ratio >= VERSIONS_BAR)


def uploads(bench):
    """All in turn in each round, in another order each time."""
    table = bench.table
    sites = "".join(upload_site(bench.space, scheme)[0] for scheme in ("titan", "spartan"))
    with contextlib.ExitStack() as stack:
        servers = enter_all(stack, table, "uploads", [
            lambda: start_egalaxyd(bench.bin, bench.space, workers=cores(), sites=sites,
                                   spartan=True),
            lambda: start_store_floor(bench.bin, bench.space, threads=CLIENTS)])
        if len(servers) < 2:
            return
        egalaxyd, floor = servers
        measures = {"titan": lambda: upload_rate(bench, egalaxyd, "titan"),
                    "store floor": lambda: upload_rate(bench, floor, "titan"),
                    "spartan": lambda: upload_rate(bench, egalaxyd, "spartan"),
                    "write, fsync, rename, fsync": lambda: disk_rate(bench)}
        rates = rates_in_turn(bench, measures)
    table.raw["uploads"] = rates
    note_rates(table, rates)
    # Like with like: the TLS server makes a handshake for each, the bare loop none.
    for one, other, bar in (("titan", "store floor", TLS_BAR),
                            ("spartan", "write, fsync, rename, fsync", DISK_BAR)):
        ratio = median_ratio(rates[one], rates[other])
        table.judge(f"uploads: {one} / {other}", f"{ratio:.2f}", f"at least {bar:.2f}",
                    ratio >= bar)


def upload_memory(bench):
    """2 GiB in one upload."""
    table = bench.table
    sites, folder = upload_site(bench.space, keys='max_size = "4GiB"\nkeep = "off"\n')
    with contextlib.ExitStack() as stack:
        for server in enter_all(stack, table, "upload memory", [
                lambda: start_egalaxyd(bench.bin, bench.space, workers=cores(), sites=sites)]):
            for _ in range(2 * cores()):  # warms up
                send_zeros(server, BODY_BYTES)
            before = proc.pss_bytes(server.pid)
            with proc.PeakMemory(server.pid) as peak:
                send_zeros(server, HUGE_BYTES)
            stored = (folder / "zeros").stat().st_size
            grown = max(0, peak.bytes - before)
            table.raw["upload memory"] = {"before": before, "peak": peak.bytes}
            table.judge("upload of 2 GiB: stored", f"{stored:,} bytes", "all",
                        stored == HUGE_BYTES)
            table.judge("upload of 2 GiB: memory above idle", megabytes(grown),
                        f"at most {megabytes(MEMORY_BAR)}", grown <= MEMORY_BAR)


def send_zeros(server, count):
    """With the tests' own client: it makes the bytes as it sends them."""
    line = f"{server.url('/titan/zeros', scheme='titan')};size={count}"
    done = subprocess.run(
        [sys.executable, CLIENT, "--port", str(server.gemini), "--zeros", str(count), "--timeout",
         "240", line], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"the upload of {count} bytes failed: {done.stdout}{done.stderr}")
