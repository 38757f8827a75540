"""What a database that several hosts share costs, beside SQLite: CPU of a page, memory, uploads."""
import contextlib
import pathlib
import statistics
import sys

from . import proc
from .cost import enter_all, interleave, note_costs, ratio, split_cpus
from .crowd import cores
from .servers import NotStarted, start_egalaxyd
from .table import megabytes
from .uploads import median_ratio, note_rates, rates_in_turn, upload_rate, upload_site

PAGE_BAR, UPLOADS_BAR, MEMORY_BAR = 1.02, 0.5, 1.5e6
TESTS = pathlib.Path(__file__).resolve().parents[2]
NAMES = ("sqlite", "postgresql")


@contextlib.contextmanager
def pair_of_databases(bench):
    """The [storage] of a PostgreSQL whose standby has all before a commit answers; both on this disk."""
    for folder in (TESTS / "torture/cluster", TESTS.parent / "examples/cluster"):
        sys.path.insert(0, str(folder))
    from one_machine import Failed, Missing, POSTGRES
    from pair import Pair
    if not (POSTGRES / "postgres").exists():
        raise NotStarted("PostgreSQL is not installed (package postgresql-15)")
    try:
        pair = Pair(bench.space.folder("pair"), bench.bin / "egalaxyd", fsync=True)
    except Missing as error:
        raise NotStarted(str(error)) from error
    try:
        pair.start_databases()
        yield f'[storage]\nengine = "postgresql"\nhost = "bench"\nurl = "{pair.both_url()}"'
    except Failed as error:
        raise NotStarted(str(error)) from error
    finally:
        pair.stop()


@contextlib.contextmanager
def both_engines(bench, case, options):
    """`options(name)`: of its start. [egalaxyd with SQLite, with PostgreSQL], or [] where that cannot be."""
    with contextlib.ExitStack() as stack:
        try:
            storage = stack.enter_context(pair_of_databases(bench))
        except NotStarted as error:
            bench.table.skip(case, str(error))
            yield []
            return
        servers = enter_all(stack, bench.table, case, [
            lambda: start_egalaxyd(bench.bin, bench.space, name=NAMES[0], **options(NAMES[0])),
            lambda: start_egalaxyd(bench.bin, bench.space, name=NAMES[1], storage=storage, **options(NAMES[1]))])
        yield servers if len(servers) == 2 else []


def worker_bytes(server):
    """PSS of a worker, on average."""
    return statistics.mean(proc.own_pss_bytes(pid) for pid in proc.children(server.pid))


def page(bench):
    """Pages need no database: the engine must not be felt."""
    table, (server_cpus, load_cpus) = bench.table, split_cpus()
    with both_engines(bench, "cluster", lambda name: {"cpus": server_cpus}) as servers:
        if not servers:
            return
        figures = interleave(bench, servers, lambda server: server.url(), load_cpus, seconds=bench.seconds,
                             connections=32, check_body=bench.space.page)
        table.raw["cluster"] = figures
        note_costs(table, "cpu per page", figures, 1e6, "us")
        value = ratio(figures, *reversed(NAMES))
        table.judge("cpu per page: postgresql / sqlite", f"{value:.3f}", f"at most {PAGE_BAR:.2f}", value <= PAGE_BAR)


def uploads(bench):
    """Each commit waits for two disks, which here are one; and memory after that."""
    table = bench.table

    def options(name):
        return {"workers": cores(), "sites": upload_site(bench.space, name=name)[0]}
    with both_engines(bench, "cluster-uploads", options) as servers:
        if not servers:
            return
        rates = rates_in_turn(bench, {server.name: lambda server=server: upload_rate(bench, server, "titan", server.name)
                                      for server in servers})
        table.raw["cluster-uploads"] = rates
        note_rates(table, rates)
        value = median_ratio(*(rates[name] for name in reversed(NAMES)))
        table.judge("uploads: postgresql with a standby / sqlite", f"{value:.2f}", f"at least {UPLOADS_BAR:.2f}",
                    value >= UPLOADS_BAR)
        grown = worker_bytes(servers[1]) - worker_bytes(servers[0])
        table.judge("memory of a worker: postgresql above sqlite", megabytes(grown),
                    f"at most {megabytes(MEMORY_BAR)}", grown <= MEMORY_BAR)
