"""Whether a request costs the same however much there is: clients, sites, addresses."""
import concurrent.futures
import contextlib
import socket

from .cost import enter_all, interleave, note_costs, split_cpus
from .load import run_load
from .servers import start_egalaxyd

GROWTH_BAR = 1.3
ADDRESSES = 100_000
PROXY = "127.0.0.99"


def compare(bench, case, servers, load_cpus, loads=None, **load):
    """CPU per request of the others beside that of the first; `loads`: what differs for each."""
    if len(servers) < 2:
        return
    table, names = bench.table, [server.name for server in servers]
    figures = interleave(bench, servers, lambda server: server.url(), load_cpus, loads=loads, **load)
    table.raw[case] = figures
    note_costs(table, case, figures, 1e6, "us")
    for name in names[1:]:
        ratios = sorted(one / first for one, first in
                        zip(figures[name]["cost"], figures[names[0]]["cost"]))
        middle = ratios[len(ratios) // 2]
        table.judge(f"{case}: {name} / {names[0]}", f"{middle:.2f}", f"at most {GROWTH_BAR:.2f}",
                    middle <= GROWTH_BAR)


def clients(bench, sizes=(10, 100, 1000, 10_000)):
    """The same server's cost per request with so many clients, each asking again and again."""
    server_cpus, load_cpus = split_cpus()
    with contextlib.ExitStack() as stack:
        servers = enter_all(stack, bench.table, "scale", [
            lambda n=n: start_egalaxyd(bench.bin, bench.space, cpus=server_cpus,
                                       name=f"{n:,} clients") for n in sizes])
        loads = {f"{n:,} clients": {"connections": n, "requests": 2000 + 2 * n, "sources": 16}
                 for n in sizes}
        compare(bench, "cpu per request", servers, load_cpus, loads=loads)


def sites(bench, sizes=(10, 1000, 10_000)):
    server_cpus, load_cpus = split_cpus()

    def start(count):
        toml = f'[sites.localhost]\nroot = "{bench.space.capsule}"\n'
        toml += "".join(f'[sites."s{n}.test"]\nroot = "{bench.space.capsule}"\n'
                        for n in range(count - 1))
        return start_egalaxyd(bench.bin, bench.space, cpus=server_cpus, sites=toml,
                              name=f"{count:,} sites")
    with contextlib.ExitStack() as stack:
        servers = enter_all(stack, bench.table, "scale", [lambda n=n: start(n) for n in sizes])
        compare(bench, "cpu per request", servers, load_cpus, seconds=bench.seconds,
                connections=32)


def addresses(bench):
    """One server has counted requests of so many addresses, which a proxy named, the other none."""
    server_cpus, load_cpus = split_cpus()
    limit = 'enabled = true\nrequests = 8000\nper = "1h"\nexempt = []'
    with contextlib.ExitStack() as stack:
        servers = enter_all(stack, bench.table, "scale", [
            lambda n=n: start_egalaxyd(
                bench.bin, bench.space, spartan=True, cpus=server_cpus, rate_limit=limit,
                listen=f'proxy_protocol_from = ["{PROXY}/32"]', name=f"{n:,} addresses")
            for n in (0, ADDRESSES)])
        if len(servers) == 2:
            with concurrent.futures.ThreadPoolExecutor(8) as pool:
                list(pool.map(lambda n: ask_as(servers[1], n), range(ADDRESSES), chunksize=1000))
        compare(bench, "cpu per request", servers, load_cpus, seconds=bench.seconds,
                connections=32, sources=16)  # each within its limit


def ask_as(server, number):
    """One Spartan request that a proxy hands on for an address of its own."""
    client = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
    with socket.socket() as proxy:
        proxy.bind((PROXY, 0))
        proxy.connect(("127.0.0.1", server.spartan))
        proxy.sendall(f"PROXY TCP4 {client} 127.0.0.1 1 {server.spartan}\r\n"
                      "localhost /page.gmi 0\r\n".encode())
        if not proxy.recv(64).startswith(b"2 "):
            raise RuntimeError(f"request {number} was not answered")


def readers(bench, slow=1000):
    """How long 100 MiB take a fast reader alone, and beside slow ones of the same file."""
    table, (server_cpus, load_cpus) = bench.table, split_cpus()
    bench.space.big  # made before anything is measured
    with contextlib.ExitStack() as stack:
        for server in enter_all(stack, table, "readers", [
                lambda: start_egalaxyd(bench.bin, bench.space, cpus=server_cpus)]):
            taken = {count: run_load(bench.bin, server.url("/big.bin"), cpus=load_cpus, requests=5,
                                     connections=1, body_size=bench.space.BIG_BYTES,
                                     stall=[f"sip:{count}"] if count else None,
                                     stall_url=server.url("/big.bin"))["latency_ms"]["p50"]
                     for count in (0, slow)}
    table.raw["readers"] = taken
    table.judge(f"100 MiB beside {slow:,} slow readers",
                f"{taken[slow]:.0f} ms (alone {taken[0]:.0f})", "at most 2.00 x",
                taken[slow] <= 2 * taken[0])
