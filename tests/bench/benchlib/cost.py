"""What a request costs the server: CPU, system calls, instructions, side by side."""
import collections
import contextlib
import os
import re
import signal
import statistics
import subprocess
import time

from . import proc
from .load import failures, run_load
from .servers import NotStarted, start_egalaxyd, start_floor, start_molly_brown
from .table import megabytes

AGATE = 0.86  # its CPU per request over the floor's; measured elsewhere, Debian does not have it


def split_cpus():
    """(server's, load's) sets of CPUs; None, None where there is only one."""
    cpus = sorted(os.sched_getaffinity(0))
    return ({cpus[0]}, set(cpus[1:])) if len(cpus) > 1 else (None, None)


def enter_all(stack, table, case, starters):
    """Starts what can be started; says what cannot."""
    servers = []
    for start in starters:
        try:
            servers.append(stack.enter_context(start()))
        except NotStarted as error:
            table.skip(case, str(error))
    return servers


def interleave(bench, servers, url_of, load_cpus, loads=None, **load):
    """{name: {"cost": [CPU seconds per request ...], "rate": [...], "p50": [...]}}; each round
    asks every server, in another order each time. `loads`: what differs, by name."""
    figures = {server.name: {"cost": [], "rate": [], "p50": []} for server in servers}
    for server in servers:
        run_load(bench.bin, url_of(server), requests=min(20, load.get("requests", 20)),
                 connections=4, cpus=load_cpus)
    for number in range(bench.rounds):
        turn = number % len(servers)
        for server in servers[turn:] + servers[:turn]:
            before = proc.cpu_seconds(server.pid)
            result = run_load(bench.bin, url_of(server), cpus=load_cpus,
                              **{**load, **(loads or {}).get(server.name, {})})
            spent = proc.cpu_seconds(server.pid) - before
            if result["failed"]:
                raise RuntimeError(f"{server.name} failed requests: {failures(result)}")
            mine = figures[server.name]
            mine["cost"].append(spent / result["ok"])
            mine["rate"].append(result["per_second"])
            mine["p50"].append(result["latency_ms"]["p50"])
    return figures


def ratio(figures, one, other):
    """The median of the rounds' ratios; None when one of the two did not run."""
    if one not in figures or other not in figures:
        return None
    return median_ratio(figures[one]["cost"], figures[other]["cost"])


def median_ratio(ones, others):
    """Of figures that were taken in turn: what slowed a whole round down slowed both."""
    return statistics.median(a / b for a, b in zip(ones, others))


def note_costs(table, case, figures, scale, unit):
    for name, mine in figures.items():
        cost = sorted(value * scale for value in mine["cost"])
        table.note(f"{case}: {name}", f"{statistics.median(cost):.1f} {unit} "
                   f"({cost[0]:.1f} to {cost[-1]:.1f}), {statistics.median(mine['rate']):.0f}/s")


def judge_ratio(table, case, value, other, bar):
    if value is not None:
        table.judge(f"{case}: egalaxyd / {other}", f"{value:.2f}", f"at most {bar:.2f}",
                    value <= bar)


def cpu(bench):
    table, (server_cpus, load_cpus) = bench.table, split_cpus()
    with contextlib.ExitStack() as stack:
        servers = enter_all(stack, table, "cpu", [
            lambda: start_egalaxyd(bench.bin, bench.space, cpus=server_cpus),
            lambda: start_floor(bench.bin, bench.space, cpus=server_cpus),
            lambda: start_floor(bench.bin, bench.space, cpus=server_cpus, stock=True),
            lambda: start_molly_brown(bench.space, cpus=server_cpus)])
        figures = interleave(bench, servers, lambda server: server.url(), load_cpus,
                             seconds=bench.seconds, connections=32, check_body=bench.space.page)
        table.raw["cpu"] = figures
        note_costs(table, "cpu per request", figures, 1e6, "us")
        ratios = {name: ratio(figures, "egalaxyd", name) for name in figures}
        judge_ratio(table, "cpu per request", ratios.get("floor"), "floor", 1.10)
        judge_ratio(table, "cpu per request", ratios.get("molly-brown"), "molly-brown", 1.0)
        stock = ratios.get("stock floor")
        if stock is not None:
            table.goal("cpu per request: egalaxyd / stock floor", f"{stock:.2f}",
                       f"{AGATE} as agate has it", stock <= AGATE)
        for server in servers:
            table.note(f"memory after that: {server.name}", megabytes(proc.pss_bytes(server.pid)))
        if bench.syscalls:
            for server in servers:
                count_syscalls(bench, server)
    if bench.instructions:
        count_instructions(bench)


def big_file(bench):
    table, (server_cpus, load_cpus) = bench.table, split_cpus()
    big = bench.space.big
    with contextlib.ExitStack() as stack:
        servers = enter_all(stack, table, "big file", [
            lambda: start_egalaxyd(bench.bin, bench.space, cpus=server_cpus),
            lambda: start_floor(bench.bin, bench.space, file=big, cpus=server_cpus),
            lambda: start_molly_brown(bench.space, cpus=server_cpus)])
        for server in servers:
            big_file_memory(bench, server, load_cpus)
        figures = interleave(bench, servers, lambda server: server.url("/big.bin"), load_cpus,
                             requests=8, connections=1, body_size=bench.space.BIG_BYTES)
    table.raw["big-file"] = figures
    note_costs(table, "100 MiB, cpu per file", figures, 1e3, "ms")
    judge_ratio(table, "100 MiB, cpu per byte", ratio(figures, "egalaxyd", "floor"), "floor", 1.15)


def big_file_memory(bench, server, load_cpus):
    """Warmed with another file where there is one (the floor has but the big one)."""
    run_load(bench.bin, server.url(), cpus=load_cpus, requests=4, connections=4)
    before = proc.pss_bytes(server.pid)
    with proc.PeakMemory(server.pid) as peak:
        run_load(bench.bin, server.url("/big.bin"), cpus=load_cpus, requests=8, connections=4,
                 check_body=bench.space.big)
    grown = max(0, peak.bytes - before)
    figure = f"100 MiB, memory above idle, 4 readers: {server.name}"
    if server.name == "egalaxyd":
        bench.table.judge(figure, megabytes(grown), "at most 1.0 MB", grown <= 1e6)
    else:
        bench.table.note(figure, megabytes(grown))


def count_syscalls(bench, server, requests=300):
    """Attaches perf to the running processes, so the start is not in the figures. Unlike strace it
    slows nothing down: a call that takes long makes CpuMeter read another clock."""
    summary = server.folder / "perf"
    pids = ",".join(map(str, proc.tree(server.pid)))
    figure = f"system calls per request: {server.name}"
    try:
        tracer = subprocess.Popen(["perf", "trace", "-s", "-m", "4096", "-o", summary, "-p", pids],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    except FileNotFoundError:
        bench.table.skip(figure, "perf is not installed (package linux-perf)")
        return
    try:
        while not proc.has_perf_events(tracer.pid):
            if tracer.poll() is not None:
                bench.table.skip(figure, "perf cannot attach: " + tracer.stderr.read().strip())
                return
            time.sleep(0.01)
        run_load(bench.bin, server.url(), requests=requests, connections=8)
        time.sleep(0.2)  # the last close() calls
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.communicate(timeout=20)
    calls = collections.Counter()  # a part of the report for each thread
    for name, count in re.findall(r"^   (\w+) +(\d+) +\d+ ", summary.read_text(), re.M):
        calls[name] += int(count) / requests
    total = calls.total()
    value = f"{total:.1f} (" + ", ".join(f"{name} {count:.1f}"
                                         for name, count in calls.most_common(6)) + ")"
    if server.name == "egalaxyd":
        bench.table.goal(figure, value, "at most 20", total <= 20)
    else:
        bench.table.note(figure, value)
    bench.table.raw[f"syscalls {server.name}"] = dict(calls)


class NotMeasured(Exception):
    """The server does not work under valgrind; the text says how it failed."""


def instructions(bench, start, requests):
    """Of the server's whole life with so many requests."""
    folder = bench.space.folder("callgrind")
    with start(["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/%p"]) as server:
        result = run_load(bench.bin, server.url(), requests=requests, connections=4, timeout=50)
        if result["failed"]:
            raise NotMeasured(f"under valgrind: {failures(result)}; {server.complaint()}")
    # One file per process; the first of the two lines with the same sum.
    return sum(int(re.search(r"^(?:summary|totals): (\d+)", file.read_text(), re.M)[1])
               for file in folder.iterdir())


def count_instructions(bench, few=20, many=120):
    """Under callgrind; two runs, so that start and end cancel out."""
    starters = {
        "egalaxyd": lambda wrap: start_egalaxyd(bench.bin, bench.space, wrap=wrap, sandbox="off"),
        "floor": lambda wrap: start_floor(bench.bin, bench.space, wrap=wrap)}
    per_request = {}
    for name, start in starters.items():
        try:
            totals = [instructions(bench, start, requests) for requests in (few, many)]
        except (NotStarted, NotMeasured) as error:
            bench.table.skip(f"instructions per request: {name}", str(error))
            continue
        per_request[name] = (totals[1] - totals[0]) / (many - few)
        bench.table.note(f"instructions per request: {name}", f"{per_request[name]:,.0f}")
    if len(per_request) == 2:
        bench.table.note("instructions per request: egalaxyd / floor",
                         f"{per_request['egalaxyd'] / per_request['floor']:.2f}")
    bench.table.raw["instructions"] = per_request
