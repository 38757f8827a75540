"""Workers that die or are replaced while clients are served."""
import contextlib
import os
import signal
import subprocess
import time

from . import proc
from .cost import enter_all
from .crowd import cores
from .load import Load, failures, run_load
from .servers import start_egalaxyd

CAPACITY_BAR_MS = 200


def serving(master, idle_sockets):
    """Workers that hold a client at this moment: more sockets than an idle worker has."""
    return [pid for pid in proc.children(master) if proc.socket_count(pid) > idle_sockets]


def wait_until(condition, seconds):
    """True when it came true in time; looks every millisecond."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if condition():
            return True
        time.sleep(0.001)
    return False


def kill_one(server, victim, idle_sockets, workers):
    """Stopped first, so that what it holds can be counted. (clients in its hands, ms until as many
    workers serve as before, or None)"""
    os.kill(victim, signal.SIGSTOP)
    wait_until(lambda: proc.state(victim) == "T", 1)
    held = proc.socket_count(victim) - idle_sockets
    began = time.monotonic()
    os.kill(victim, signal.SIGKILL)
    full = wait_until(
        lambda: len([pid for pid in serving(server.pid, idle_sockets) if pid != victim]) >= workers,
        10)
    return held, (time.monotonic() - began) * 1e3 if full else None


def kill(bench):
    """kill -9 of each worker in turn under load."""
    table, workers = bench.table, max(2, cores())
    with contextlib.ExitStack() as stack:
        starters = [lambda: start_egalaxyd(bench.bin, bench.space, workers=workers)]
        for server in enter_all(stack, table, "kill", starters):
            run_load(bench.bin, server.url(), requests=200, connections=16)
            victims = proc.children(server.pid)
            if not victims:
                raise RuntimeError("the server has no worker processes")
            idle_sockets = max(proc.socket_count(pid) for pid in victims)
            load = Load(bench.bin, server.url(), connections=64, seconds=3 + 2 * len(victims),
                        timeout=10, check_body=bench.space.page)
            stack.callback(load.cancel)
            held, delays = 0, []
            for victim in victims:
                time.sleep(2)
                in_hands, delay = kill_one(server, victim, idle_sockets, len(victims))
                held += in_hands
                delays.append(delay)
            judge_kill(table, server, load.result(), held, delays)


def judge_kill(table, server, result, held, delays):
    table.raw["kill"] = {"load": result, "held": held, "full_capacity_ms": delays}
    table.judge("kill: failed requests", f"{result['failed']} of {result['ok']:,} "
                f"({failures(result)})", f"at most {held}, in the workers' hands",
                result["failed"] <= held)
    table.judge("kill: the master lives on", f"pid {server.pid}", "same pid", server.alive())
    if None in delays:
        table.judge("kill: full capacity again", "never", f"within {CAPACITY_BAR_MS} ms", False)
        return
    table.judge("kill: full capacity again, slowest", f"{max(delays):.0f} ms",
                f"within {CAPACITY_BAR_MS} ms", max(delays) <= CAPACITY_BAR_MS)


def reload(bench):
    """SIGHUP twice, then `worker restart all`, under load."""
    table = bench.table
    with contextlib.ExitStack() as stack:
        starters = [lambda: start_egalaxyd(bench.bin, bench.space, workers=max(2, cores()))]
        for server in enter_all(stack, table, "reload", starters):
            run_load(bench.bin, server.url(), requests=200, connections=16)
            before = proc.children(server.pid)
            load = Load(bench.bin, server.url(), connections=64, seconds=9, timeout=10,
                        check_body=bench.space.page)
            stack.callback(load.cancel)
            for _ in range(2):
                time.sleep(2)
                os.kill(server.pid, signal.SIGHUP)
            time.sleep(2)
            replaced = not set(before) & set(proc.children(server.pid))
            restart = restart_all(bench, server)
            result = load.result()
            table.raw["reload"] = result
            table.judge("reload: workers replaced", "all" if replaced else "not all", "all",
                        replaced)
            table.note("reload: egalaxyctl worker restart all", restart)
            table.judge("reload: failed requests", f"{result['failed']} of {result['ok']:,} "
                        f"({failures(result)})", "none", result["failed"] == 0)


def restart_all(bench, server):
    program = bench.bin / "egalaxyctl"
    if not program.exists():
        return "skipped: not built"
    done = subprocess.run(
        [program, "--socket", server.folder / "run" / "control.sock", "worker", "restart", "all"],
        capture_output=True, text=True, timeout=30, check=False)
    return "done" if done.returncode == 0 else f"skipped: exit code {done.returncode}"
