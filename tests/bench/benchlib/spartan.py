"""Spartan: the same pages without TLS, beside the floor without TLS."""
import contextlib

from . import proc
from .cost import enter_all, interleave, judge_ratio, note_costs, ratio, split_cpus
from .crowd import MEMORY_BAR, cores
from .load import failures, run_load
from .servers import start_egalaxyd, start_floor
from .table import megabytes


def compare(bench, case, path, scale, unit, bar, file=None, **load):
    """CPU per answer, side by side; with `bar` the ratio is judged."""
    table, (server_cpus, load_cpus) = bench.table, split_cpus()
    with contextlib.ExitStack() as stack:
        servers = enter_all(stack, table, case, [
            lambda: start_egalaxyd(bench.bin, bench.space, spartan=True, cpus=server_cpus),
            lambda: start_floor(bench.bin, bench.space, file=file, cpus=server_cpus)])
        figures = interleave(bench, servers, lambda server: server.url(path, "spartan"), load_cpus,
                             **load)
    table.raw[case] = figures
    note_costs(table, case, figures, scale, unit)
    value = ratio(figures, "egalaxyd", "floor")
    if bar:
        judge_ratio(table, case, value, "floor", bar)
    elif value is not None:
        table.note(f"{case}: egalaxyd / floor", f"{value:.2f}")


def page(bench):
    compare(bench, "spartan, cpu per request", "/page.gmi", 1e6, "us", 1.5, seconds=bench.seconds,
            connections=32, check_body=bench.space.page)


def big_file(bench):
    compare(bench, "spartan, 100 MiB, cpu per file", "/big.bin", 1e3, "ms", None,
            file=bench.space.big, requests=8, connections=1, body_size=bench.space.BIG_BYTES)


def many(bench, clients=10_000):
    """All connect, then all ask, then all are answered; memory is watched from outside."""
    with contextlib.ExitStack() as stack:
        servers = enter_all(stack, bench.table, "spartan-many", [
            lambda: start_egalaxyd(bench.bin, bench.space, workers=cores(), spartan=True)])
        for server in servers:
            idle = proc.pss_bytes(server.pid)
            with proc.PeakMemory(server.pid) as peak:
                result = run_load(bench.bin, server.url(scheme="spartan"), connections=clients,
                                  simultaneous=True, sources=16, timeout=60, lid=90,
                                  check_body=bench.space.page)
            case = f"spartan, {clients:,} at once"
            bench.table.raw[case] = {"load": result, "idle_pss": idle, "peak_pss": peak.bytes}
            bench.table.judge(f"{case}, answered", f"{result['ok']:,} in {result['seconds']:.1f} s, "
                              f"failed: {failures(result)}", "all", result["ok"] == clients)
            bench.table.judge(f"{case}, memory", f"{megabytes(peak.bytes)} (idle {megabytes(idle)})",
                              "at most 64 MB", peak.bytes <= MEMORY_BAR)
