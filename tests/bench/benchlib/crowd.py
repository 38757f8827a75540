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
    """Clients that hold everything up, by kind, and the p99 of the others beside and without."""
    bench.space.big  # made before anything is measured
    kinds = ("silent", "half-hello", "trickle", "unread")
    beside(bench, f"stalled: {4 * each:,} of all kinds", [f"{kind}:{each}" for kind in kinds])
    beside(bench, "stalled: 250 whole hellos of one address", ["hello:250"], stall_sources=1)
    beside(bench, "stalled: 5,000 whole hellos of 20 addresses", ["hello:5000"], stall_sources=20)
    beside(bench, "stalled: 500 that end their handshake late", ["slow-finish:500"],
           stall_sources=20)
    beside(bench, "stalled: 1,000 that read a trickle", ["sip:1000"], stall_sources=13)
    beside(bench, "stalled: 2,900 slow uploads of 13 addresses", ["upload:2900"], spartan=True,
           stall_sources=13)


def beside(bench, case, stall, spartan=False, **options):
    table, space = bench.table, bench.space
    sites = f'[sites.localhost]\nroot = "{space.capsule}"\n'
    if spartan:
        sites += 'upload = { anyone = true, over = ["spartan"] }\n'
    with contextlib.ExitStack() as stack:
        servers = enter_all(stack, table, case, [
            lambda: start_egalaxyd(bench.bin, space, workers=cores(), spartan=spartan,
                                   sites=sites)])
        if not servers:
            return
        server, peak_bytes, closed, failed = servers[0], 0, 0, []
        p99 = {"without": [], "beside": []}
        for _ in range(min(3, bench.rounds)):
            for name, figures in p99.items():
                stalls = {"stall": stall, "stall_url": server.url("/big.bin", "spartan" if spartan else "gemini"),
                          **options}
                with proc.PeakMemory(server.pid) as peak:
                    result = run_load(bench.bin, server.url(), connections=4,
                                      seconds=2 * bench.seconds, check_body=space.page,
                                      **(stalls if name == "beside" else {}))
                peak_bytes = max(peak_bytes, peak.bytes)
                closed += result["stalls_closed"]
                if result["latency_ms"]:
                    figures.append(result["latency_ms"]["p99"])
                if result["failed"]:
                    failed.append(failures(result))
    table.raw[case] = {"p99_ms": p99, "peak_pss": peak_bytes, "closed": closed}
    table.judge(f"{case}: other clients' failures", "; ".join(failed) or "none", "none", not failed)
    if not all(p99.values()):
        table.judge(f"{case}: p99", "nothing was answered", "at most 2.00 x", False)
        return
    without, with_them = (statistics.median(values) for values in p99.values())
    table.judge(f"{case}: p99 of the others", f"{with_them:.1f} ms (without {without:.1f})",
                "at most 2.00 x", with_them <= 2 * without)
    table.judge(f"{case}: memory", megabytes(peak_bytes), "at most 64 MB", peak_bytes <= MEMORY_BAR)
    table.note(f"{case}: closed by the server", f"{closed:,}")


def nagle(bench):
    """One page after the other, by a client that leaves TCP_NODELAY off, and by one that sets it."""
    table = bench.table
    with contextlib.ExitStack() as stack:
        servers = enter_all(stack, table, "one page", [
            lambda: start_egalaxyd(bench.bin, bench.space)])
        for server in servers:
            p50 = {}
            for name, options in (("with", {}), ("without", {"nagle": True})):
                result = run_load(bench.bin, server.url(), requests=200, connections=1,
                                  check_body=bench.space.page, **options)
                p50[name] = result["latency_ms"]["p50"]
            table.judge("latency of one page, client without TCP_NODELAY",
                        f"{p50['without']:.1f} ms (with {p50['with']:.1f})", "at most 10 ms more",
                        p50["without"] <= p50["with"] + 10)


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
