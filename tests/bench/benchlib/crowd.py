"""Many clients: at once, stalled, and for long."""
import contextlib
import os
import statistics
import time

from . import proc
from .cost import enter_all
from .load import failures, run_load
from .servers import NotStarted, start_egalaxyd, start_floor
from .table import megabytes

MEMORY_BAR = 64e6


def cores():
    return len(os.sched_getaffinity(0))


def connections(bench):
    table = bench.table
    for clients in bench.clients:
        starters = [lambda: start_floor(bench.bin, bench.space, workers=cores())]
        for workers in sorted({1, cores()}):
            starters.append(lambda n=workers: start_egalaxyd(
                bench.bin, bench.space, workers=n, name=f"egalaxyd, {n} worker{'s' * (n > 1)}"))
        for start in starters:
            try:
                with start() as server:
                    one_crowd(bench, server, clients)
            except NotStarted as error:
                table.skip(f"{clients:,} at once", str(error))


def one_crowd(bench, server, clients):
    """All connect, then all speak, then all are answered; memory is watched from outside."""
    idle, files = at_rest(bench, server)
    with proc.PeakMemory(server.pid) as peak:
        result = run_load(bench.bin, server.url(), connections=clients, simultaneous=True,
                          sources=16, timeout=120, lid=120, check_body=bench.space.page)
    case, table = f"{clients:,} at once: {server.name}", bench.table
    table.raw[case] = {"load": result, "idle_pss": idle, "peak_pss": peak.bytes}
    answered = (f"{result['ok']:,} in {result['seconds']:.1f} s, "
                f"failed: {failures(result)}")
    memory = f"{megabytes(peak.bytes)} (idle {megabytes(idle)})"
    if server.name == "floor":
        table.note(f"{case}, answered", answered)
        table.note(f"{case}, memory", memory)
        return
    table.judge(f"{case}, answered", answered, "all", result["ok"] == clients)
    table.judge(f"{case}, memory", memory, "at most 64 MB", peak.bytes <= MEMORY_BAR)
    if result["latency_ms"]:
        half, most = result["latency_ms"]["p50"] / 1e3, result["latency_ms"]["p99"] / 1e3
        figure, value = f"{case}, in order of arrival", f"p50 {half:.2f} s, p99 {most:.2f} s"
        if clients >= 10_000:
            table.judge(figure, value, "p50 0.4 to 0.6 of p99", 0.4 <= half / most <= 0.6)
        else:  # the first handshakes, which begin together, are much of so short a time
            table.note(figure, value)
    left, left_files = at_rest(bench, server, least=1.2 * idle)
    table.judge(f"{case}, memory afterwards", megabytes(left), "at most 1.20 x idle",
                left <= 1.2 * idle)
    table.judge(f"{case}, open files afterwards", f"{left_files} (before {files})", "the same",
                left_files == files)


def at_rest(bench, server, least=None, seconds=10):
    """(PSS, open files) of a server that has worked and has nothing to do: `seconds` after its last
    request, or when its memory has come down to `least`."""
    if least is None:
        run_load(bench.bin, server.url(), requests=200, connections=8)
        least, seconds = 0, 3
    until = time.monotonic() + seconds
    while time.monotonic() < until and proc.pss_bytes(server.pid) > least:
        time.sleep(0.1)
    return proc.pss_bytes(server.pid), proc.open_files(server.pid)


def stalled(bench, each=1250):
    """5,000 clients that hold everything up, and the p99 of the others."""
    table, space = bench.table, bench.space
    kinds = ("silent", "half-hello", "trickle", "unread")
    space.big  # made before anything is measured
    with contextlib.ExitStack() as stack:
        servers = enter_all(stack, table, "stalled", [
            lambda: start_egalaxyd(bench.bin, space, workers=cores())])
        if not servers:
            return
        server, p99, peak_bytes, closed, failed = servers[0], {0: [], each: []}, 0, 0, []
        for _ in range(min(3, bench.rounds)):
            for count in p99:
                stall = [f"{kind}:{count}" for kind in kinds] if count else []
                with proc.PeakMemory(server.pid) as peak:
                    result = run_load(bench.bin, server.url(), connections=4,
                                      seconds=2 * bench.seconds, check_body=space.page,
                                      stall=stall, stall_url=server.url("/big.bin"))
                peak_bytes = max(peak_bytes, peak.bytes)
                closed += result["stalls_closed"]
                if result["latency_ms"]:
                    p99[count].append(result["latency_ms"]["p99"])
                if result["failed"]:
                    failed.append(failures(result))
    table.raw["stalled"] = {"p99_ms": p99, "peak_pss": peak_bytes, "closed": closed}
    table.judge("stalled: other clients' failures", "; ".join(failed) or "none", "none", not failed)
    if not all(p99.values()):
        table.judge("stalled: p99", "nothing was answered", "at most 2.00 x", False)
        return
    without, beside = (statistics.median(values) for values in p99.values())
    table.judge(f"stalled: p99 beside {4 * each:,} of them",
                f"{beside:.1f} ms (without {without:.1f})", "at most 2.00 x",
                beside <= 2 * without)
    table.judge("stalled: memory", megabytes(peak_bytes), "at most 64 MB", peak_bytes <= MEMORY_BAR)
    table.note("stalled: closed by the server", f"{closed:,}")


def growth(bench, batches=5, requests=10_000):
    """The same page again and again: memory must settle."""
    table = bench.table
    with contextlib.ExitStack() as stack:
        servers = enter_all(stack, table, "growth", [
            lambda: start_egalaxyd(bench.bin, bench.space, workers=cores())])
        for server in servers:
            memory = []
            for _ in range(batches):
                run_load(bench.bin, server.url(), requests=requests, connections=64)
                memory.append(proc.pss_bytes(server.pid))
    if servers:
        table.raw["growth"] = memory
        grown = memory[-1] - memory[0]
        table.judge(f"growth: memory over {(batches - 1) * requests:,} requests",
                    f"{megabytes(grown)} ({megabytes(memory[0])} to {megabytes(memory[-1])})",
                    "at most 1.0 MB", grown <= 1e6)
