"""What storing costs: uploads beside a bare loop and a bare TLS server that store likewise."""
import contextlib
import json
import pathlib
import statistics
import subprocess
import sys

from . import proc
from .cost import enter_all
from .crowd import cores
from .load import failures, run_load
from .servers import start_egalaxyd, start_store_floor
from .table import megabytes

CLIENTS, BODY_BYTES = 64, 2048
HUGE_BYTES = 2 * 1024**3
DISK_BAR, TLS_BAR, MEMORY_BAR = 0.5, 0.9, 1e6
CLIENT = pathlib.Path(__file__).resolve().parents[2] / "support" / "titan_client.py"


def upload_site(space, name, keys=""):
    """(TOML of a folder /up that takes uploads from anyone, the folder)"""
    folder = space.folder(name)
    folder.chmod(0o777)  # workers may run under another account
    return (f'[sites.localhost."/"]\nmodule = "directory"\nroot = "{space.capsule}"\n'
            f'[sites.localhost."/up"]\nmodule = "directory"\nroot = "{folder}"\n'
            f'[sites.localhost."/up".upload]\nanyone = true\n{keys}'), folder


def disk_rate(bench):
    """Files a second of the bare loop."""
    done = subprocess.run(
        [bench.bin / "egalaxyd_store_floor", "--dir", bench.space.folder("loop"), "--threads",
         str(CLIENTS), "--bytes", str(BODY_BYTES), "--seconds", str(bench.seconds)],
        capture_output=True, text=True, check=True)
    return json.loads(done.stdout)["per_second"]


def upload_rate(bench, server):
    """Acknowledged uploads a second."""
    result = run_load(bench.bin, server.url("/up/", scheme="titan"), upload=BODY_BYTES,
                      connections=CLIENTS, seconds=bench.seconds)
    if result["failed"]:
        raise RuntimeError(f"{server.name} failed uploads: {failures(result)}")
    return result["per_second"]


def uploads(bench):
    """The three in turn in each round, in another order each time."""
    table = bench.table
    sites, _ = upload_site(bench.space, "uploads")
    with contextlib.ExitStack() as stack:
        servers = enter_all(stack, table, "uploads", [
            lambda: start_egalaxyd(bench.bin, bench.space, workers=cores(), sites=sites),
            lambda: start_store_floor(bench.bin, bench.space, threads=CLIENTS)])
        if len(servers) < 2:
            return
        measures = {server.name: lambda server=server: upload_rate(bench, server)
                    for server in servers}
        measures["write, fsync, rename, fsync"] = lambda: disk_rate(bench)
        rates = {name: [] for name in measures}
        names = list(measures)
        for measure in measures.values():
            measure()  # warms up
        for number in range(bench.rounds):
            turn = number % len(names)
            for name in names[turn:] + names[:turn]:
                rates[name].append(measures[name]())
    table.raw["uploads"] = rates
    for name, each in rates.items():
        table.note(f"uploads: {name}", f"{statistics.median(each):.0f}/s "
                   f"({min(each):.0f} to {max(each):.0f})")
    judge_rates(table, {name: statistics.median(each) for name, each in rates.items()})


def judge_rates(table, rate):
    disk = rate["egalaxyd"] / rate["write, fsync, rename, fsync"]
    tls = rate["egalaxyd"] / rate["store floor"]
    table.judge(f"uploads: egalaxyd / bare loop, / bare TLS server, {CLIENTS} clients",
                f"{disk:.2f}, {tls:.2f}", f"at least {DISK_BAR:.2f}, or {TLS_BAR:.2f}",
                disk >= DISK_BAR or tls >= TLS_BAR)


def upload_memory(bench):
    """2 GiB in one upload."""
    table = bench.table
    sites, folder = upload_site(bench.space, "huge", 'max_size = "4GiB"\n')
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
    line = f"{server.url('/up/zeros', scheme='titan')};size={count}"
    done = subprocess.run(
        [sys.executable, CLIENT, "--port", str(server.gemini), "--zeros", str(count), "--timeout",
         "240", line], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"the upload of {count} bytes failed: {done.stdout}{done.stderr}")
