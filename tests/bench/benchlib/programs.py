"""Scripts and applications: what they cost above the page they give, and others beside them."""
import contextlib
import os
import pathlib
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time

from . import proc
from .change import wait_until
from .cost import enter_all, interleave, note_costs, ratio, split_cpus
from .crowd import MEMORY_BAR, cores
from .load import Load, failures, run_load
from .servers import NotStarted, Server, start_egalaxyd, start_molly_brown
from .table import megabytes

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "support"))
from titan_client import Conversation  # noqa: E402

BARE = "/bin/sh -c :"  # as egalaxyd_bare_start has it
SCRIPT_NICE = 5
LAUNCHER = "egalaxyd-launch"
SITES = """\
[dynamic]
requests = 2000
requests_per_ip = 2000
processes = 600
queue = 200
queue_timeout = "1m"
[sites.localhost."/"]
module = "directory"
root = "{capsule}"
[sites.localhost."/cgi-bin"]
module = "cgi"
root = "{scripts}"
processes = {processes}
header_timeout = "2m"
idle_timeout = "2m"
"""
APPLICATION = """\
[sites.localhost."/{kind}"]
module = "{kind}"
to = ["unix:{socket}"]
"""
HEADER = "#!/bin/sh\nprintf '20 text/plain\\r\\n'\n"
SCRIPTS = {
    "hello": HEADER,
    "stream": HEADER + "echo first\nsleep 1\necho last\n",
    "silent": HEADER + "echo first\nexec sleep 1000\n",
    "hangs": "#!/bin/sh\nexec sleep 1000\n",
}


def scripts(space):
    """Their folder."""
    folder = space.capsule / "cgi-bin"
    folder.mkdir(exist_ok=True)
    for name, text in SCRIPTS.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return folder


def start(bench, processes=600, applications="", **options):
    """An egalaxyd that has the static page and SCRIPTS."""
    folder = scripts(bench.space)
    sites = SITES.format(capsule=bench.space.capsule, scripts=folder, processes=processes)
    return start_egalaxyd(bench.bin, bench.space, sites=sites + applications, **options)


def by_name(server, *names):
    """Processes of the server that are called so."""
    found = []
    for pid in proc.tree(server.pid):
        with contextlib.suppress(OSError):
            if pathlib.Path(f"/proc/{pid}/comm").read_text().strip() in names:
                found.append(pid)
    return found


def script_processes(server):
    """How many are below the launchers."""
    return sum(len(proc.tree(pid)) - 1 for pid in by_name(server, LAUNCHER))


class Streams:
    """So many clients that have asked for a script; answered by its first line where it has one."""

    def __init__(self, server, path, count, answered=True):
        self._server, self._path, self._count = server, path, count
        self._answered, self._talks = answered, []

    def __enter__(self):
        for _ in range(self._count):
            talk = Conversation(self._server.gemini, timeout=120)
            self._talks.append(talk)
            talk.say(self._server.url(self._path).encode() + b"\r\n")
            if len(self._talks) % 16 == 0:
                self._await()
        self._await()
        return self

    def _await(self):
        for talk in self._talks:
            if self._answered:
                talk.await_answer()

    def __exit__(self, *_):
        for talk in self._talks:
            talk.reset()
        if not wait_until(lambda: script_processes(self._server) == 0, 10):
            raise RuntimeError("scripts outlive their clients")


def bare_starts(bench, seconds, cpus):
    """(wall, CPU) seconds of one fork, exec and wait of BARE: the median, the mean; with the nice value
    and the CPUs that scripts have."""
    def be_a_script():
        os.nice(SCRIPT_NICE)
        if cpus:
            os.sched_setaffinity(0, cpus)

    done = subprocess.run([bench.bin / "egalaxyd_bare_start", str(seconds)], preexec_fn=be_a_script,
                          capture_output=True, text=True, check=True)
    wall, cpu = map(float, done.stdout.split())
    return wall, cpu


def cgi(bench):
    """One client after the other's end, so that a page's time is nothing but its work."""
    table, (server_cpus, load_cpus) = bench.table, split_cpus()
    pages = {"static": "/page.gmi", "script": "/cgi-bin/hello"}
    wall = {name: [] for name in ("bare", *pages)}
    cost = {name: [] for name in ("bare", *pages)}
    with contextlib.ExitStack() as stack:
        servers = enter_all(stack, table, "scripts", [
            lambda: start(bench, cpus=server_cpus),
            lambda: start_molly_brown(bench.space, cpus=server_cpus,
                                      cgi=scripts(bench.space))])
        if servers[0].name != "egalaxyd":
            return
        ours = servers[0]
        for number in range(bench.rounds):
            for name in list(wall)[number % 3:] + list(wall)[:number % 3]:
                if name == "bare":
                    seconds, spent = bare_starts(bench, bench.seconds / 2, server_cpus)
                else:
                    before = proc.cpu_seconds(ours.pid)
                    result = run_load(bench.bin, ours.url(pages[name]), cpus=load_cpus,
                                      seconds=bench.seconds, connections=1)
                    if result["failed"]:
                        raise RuntimeError(f"failed requests: {failures(result)}")
                    seconds = result["latency_ms"]["p50"] / 1e3
                    spent = (proc.cpu_seconds(ours.pid) - before) / result["ok"]
                wall[name].append(seconds)
                cost[name].append(spent)
        figures = interleave(bench, servers, lambda server: server.url("/cgi-bin/hello"), load_cpus,
                             seconds=bench.seconds, connections=16)
    table.raw["scripts"] = {"wall": wall, "cpu": cost, "throughput": figures}
    for what, values in (("time", wall), ("CPU", cost)):
        added = statistics.median(script - static - bare for script, static, bare in zip(
            values["script"], values["static"], values["bare"])) * 1e3
        median = {name: statistics.median(each) * 1e3 for name, each in values.items()}
        text = (f"{added:.2f} ms (script {median['script']:.2f}, static page "
                f"{median['static']:.2f}, fork+exec of {BARE} {median['bare']:.2f})")
        if what == "time":
            table.judge("scripts: time added to a bare start", text, "at most 0.50 ms", added <= 0.5)
        else:
            table.note("scripts: CPU added to a bare start", text)
    note_costs(table, "scripts, cpu per request", figures, 1e3, "ms")
    molly_brown = ratio(figures, "egalaxyd", "molly-brown")
    if molly_brown is not None:
        table.goal("scripts, cpu per request: egalaxyd / molly-brown", f"{molly_brown:.2f}",
                   "1.00 as molly-brown has it", molly_brown <= 1)


def first_byte(bench, times=20):
    """Of a page whose last line comes a second after its first."""
    with contextlib.ExitStack() as stack:
        for server in enter_all(stack, bench.table, "streams", [lambda: start(bench)]):
            delays = []
            for _ in range(times):
                with Conversation(server.gemini) as talk:
                    began = time.monotonic()
                    talk.say(server.url("/cgi-bin/stream").encode() + b"\r\n")
                    while b"first" not in talk._raw:  # pylint: disable=protected-access
                        talk._wait(read=True)         # pylint: disable=protected-access
                        talk._take()                  # pylint: disable=protected-access
                    delays.append((time.monotonic() - began) * 1e3)
            bench.table.raw["streams: first byte"] = delays
            bench.table.judge(
                "streams: first line of a page that goes on",
                f"{statistics.median(delays):.1f} ms, slowest of {times} {max(delays):.1f} ms",
                "within 50 ms", max(delays) <= 50)


@contextlib.contextmanager
def application(bench, kind, cpus):
    """The address of one that gives page.gmi."""
    folder = bench.space.folder(kind)
    path = folder / "socket"
    program = pathlib.Path(__file__).with_name("application.py")
    with Server(kind, [sys.executable, program, kind, path, bench.space.page], folder,
                cpus=cpus) as server:
        if not wait_until(lambda: answers(path), 10):
            raise NotStarted(f"{kind} application: {server.last_words()}")
        yield path


def answers(path):
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


def applications(bench):
    """CPU of the server alone: the application's is its own."""
    table, (server_cpus, load_cpus) = bench.table, split_cpus()
    kinds = ("scgi", "fastcgi")
    figures = {name: {"cost": [], "rate": []} for name in ("static", *kinds)}
    with contextlib.ExitStack() as stack:
        sites = "".join(APPLICATION.format(kind=kind, socket=stack.enter_context(
            application(bench, kind, load_cpus))) for kind in kinds)
        for server in enter_all(stack, table, "applications", [
                lambda: start(bench, applications=sites, cpus=server_cpus)]):
            pages = {"static": "/page.gmi", **{kind: f"/{kind}/x" for kind in kinds}}
            for number in range(bench.rounds):
                for name in list(pages)[number % 3:] + list(pages)[:number % 3]:
                    before = proc.cpu_seconds(server.pid)
                    result = run_load(bench.bin, server.url(pages[name]), cpus=load_cpus,
                                      seconds=bench.seconds, connections=16,
                                      check_body=bench.space.page)
                    if result["failed"]:
                        raise RuntimeError(f"{name}: failed requests: {failures(result)}")
                    figures[name]["rate"].append(result["per_second"])
                    figures[name]["cost"].append(
                        (proc.cpu_seconds(server.pid) - before) / result["ok"])
            table.raw["applications"] = figures
            note_costs(table, "applications, cpu per request", figures, 1e6, "us")
            for kind in kinds:
                value = ratio(figures, kind, "static")
                table.judge(f"applications, cpu per request: {kind} / static", f"{value:.2f}",
                            "at most 1.30", value <= 1.3)


def p99_beside(bench, server, streams):
    """({"without": [...], "beside": [...]} in ms, failures, the server's own memory beside)."""
    p99, failed, memory = {"without": [], "beside": []}, [], []
    for _ in range(min(5, bench.rounds)):
        for name, figures in p99.items():
            with streams() if name == "beside" else contextlib.nullcontext():
                if name == "beside":
                    memory.append(own_memory(server))
                result = run_load(bench.bin, server.url(), connections=4, seconds=bench.seconds,
                                  check_body=bench.space.page)
            figures.append(result["latency_ms"]["p99"])
            if result["failed"]:
                failed.append(failures(result))
    return p99, failed, max(memory)


def own_memory(server):
    """PSS of master, workers and launchers: not of the scripts."""
    below = {pid for launcher in by_name(server, LAUNCHER) for pid in proc.tree(launcher)[1:]}
    return sum(proc.own_pss_bytes(pid) for pid in proc.tree(server.pid) if pid not in below)


def judge_p99(bench, case, p99, failed, bar):
    without, beside = (statistics.median(values) for values in p99.values())
    bench.table.raw[case] = p99
    bench.table.judge(f"{case}: failures of static pages", "; ".join(failed) or "none", "none",
                      not failed)
    bench.table.judge(f"{case}: p99 of static pages", f"{beside:.1f} ms (without {without:.1f})",
                      f"at most {bar:.2f} x", beside <= bar * without)


def silent(bench, count=500):
    """Streams that say nothing more."""
    case = f"{count} silent streams"
    with contextlib.ExitStack() as stack:
        for server in enter_all(stack, bench.table, case, [
                lambda: start(bench, workers=cores())]):
            run_load(bench.bin, server.url(), requests=200, connections=16)
            idle = own_memory(server)
            p99, failed, memory = p99_beside(
                bench, server, lambda: Streams(server, "/cgi-bin/silent", count))
            judge_p99(bench, case, p99, failed, 2)
            bench.table.judge(f"{case}: memory of the server", f"{megabytes(memory)} (idle "
                              f"{megabytes(idle)})", "at most 64 MB", memory <= MEMORY_BAR)


def hanging(bench, limit=8):
    """Scripts that hang, as many as may run, and some that wait for a place."""
    case = f"{limit} scripts that hang at the limit"
    with contextlib.ExitStack() as stack:
        for server in enter_all(stack, bench.table, case, [
                lambda: start(bench, processes=limit, workers=cores())]):
            p99, failed, _ = p99_beside(
                bench, server, lambda: Streams(server, "/cgi-bin/hangs", limit + 2, answered=False))
            judge_p99(bench, case, p99, failed, 1.2)


def reloads(bench, times=20):
    """SIGHUP while clients take pages that last a second."""
    with contextlib.ExitStack() as stack:
        for server in enter_all(stack, bench.table, "streams: reloads", [
                lambda: start(bench, workers=cores())]):
            load = Load(bench.bin, server.url("/cgi-bin/stream"), connections=16, seconds=times + 2,
                        timeout=20, lid=times + 30, body_size=len("first\nlast\n"))
            stack.callback(load.cancel)
            replaced = 0
            for _ in range(times):
                before = by_name(server, LAUNCHER)
                os.kill(server.pid, signal.SIGHUP)
                replaced += wait_until(
                    lambda old=before: set(by_name(server, LAUNCHER)) - set(old), 5)
                time.sleep(1)
            result = load.result()
            bench.table.raw["streams: reloads"] = result
            bench.table.judge(f"streams: cut by {replaced} reloads", f"{result['failed']} of "
                              f"{result['ok']} ({failures(result)})", "none",
                              result["failed"] == 0 and replaced == times)


def launcher_killed(bench, times=5):
    """Until a script answers again, while others ask and the killed one has streams."""
    with contextlib.ExitStack() as stack:
        for server in enter_all(stack, bench.table, "launcher killed", [
                lambda: start(bench, workers=cores())]):
            load = Load(bench.bin, server.url(), connections=4, seconds=1.5 * times + 1, timeout=10,
                        check_body=bench.space.page)
            stack.callback(load.cancel)
            delays = []
            for _ in range(times):
                with Streams(server, "/cgi-bin/silent", 8):
                    time.sleep(1.2)  # one that dies young is started again later
                    began = time.monotonic()
                    os.kill(by_name(server, LAUNCHER)[0], signal.SIGKILL)
                    if not wait_until(lambda: greets(server), 10):
                        raise RuntimeError("no script runs again")
                    delays.append((time.monotonic() - began) * 1e3)
            result = load.result()
            bench.table.raw["launcher killed"] = delays
            bench.table.judge("launcher killed: scripts run again", f"{statistics.median(delays):.0f} "
                              f"ms, slowest of {times} {max(delays):.0f} ms", "within 200 ms",
                              max(delays) <= 200)
            bench.table.judge("launcher killed: failures of static pages",
                              f"{result['failed']} of {result['ok']:,} ({failures(result)})", "none",
                              result["failed"] == 0)


def greets(server):
    with Conversation(server.gemini) as talk:
        talk.say(server.url("/cgi-bin/hello").encode() + b"\r\n")
        return talk.read().status == 20
