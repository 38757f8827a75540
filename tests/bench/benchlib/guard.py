"""Clients whose bytes are cheap to send and costly to deal with."""
import contextlib
import os
import pathlib
import socket
import ssl
import statistics
import threading

from .cost import enter_all
from .crowd import cores
from .load import failures, run_load
from .servers import start_egalaxyd

CORPUS = pathlib.Path(__file__).resolve().parents[2] / "fuzz/corpus/handshake_guard/costly-curve"


def vector(size, content):
    return len(content).to_bytes(size, "big") + content


def costly_chain(certificates=66):
    """A Certificate message of TLS 1.2 in its records: OpenSSL would decode it for 13 s."""
    message = CORPUS.read_bytes()[8:]  # behind the version, the header and the list's length
    own = 3 + int.from_bytes(message[:3], "big")
    entry = message[own:]
    body = b"\x0b" + vector(3, vector(3, entry * certificates))
    return b"".join(b"\x16\x03\x03" + vector(2, body[at:at + 16000])
                    for at in range(0, len(body), 16000))


def hello():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    out = ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), out, server_hostname="localhost").do_handshake()
    return out.read()


def attack(port, chain, stop):
    """One handshake after another, until `stop` is set."""
    while not stop.is_set():
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 5) as link:
            link.settimeout(20)
            link.sendall(hello())
            if link.recv(65536):
                link.sendall(chain)
            while link.recv(65536):
                pass
        stop.wait(0.05)


def nonsense(port, stop):
    """Lines that are refused, each over a connection of its own, from another address. This thread
    has only the CPU time that others leave: it would be on another machine."""
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    while not stop.is_set():
        with contextlib.suppress(OSError), socket.create_connection(
                ("127.0.0.1", port), 5, ("127.0.0.9", 0)) as plain:
            with context.wrap_socket(plain, server_hostname="localhost") as link:
                link.sendall(b"x" * 900 + b"\r\n")
                while link.recv(65536):
                    pass


def beside(bench, case, title, attackers, attack, **options):
    """4 busy clients alone, and beside `attackers` threads that run `attack(port, stop)`. The log's
    bytes for each second of the latter that are not of those clients; None when nothing ran."""
    table = bench.table
    with contextlib.ExitStack() as stack:
        servers = enter_all(stack, table, case, [
            lambda: start_egalaxyd(bench.bin, bench.space, workers=cores(), **options)])
        if not servers:
            return None
        server, p99, failed = servers[0], {False: [], True: []}, []
        for _ in range(min(3, bench.rounds)):
            for attacked in p99:
                stop = threading.Event()
                threads = [threading.Thread(target=attack, args=(server.gemini, stop))
                           for _ in range(attackers if attacked else 0)]
                for thread in threads:
                    thread.start()
                try:
                    result = run_load(bench.bin, server.url(), connections=4,
                                      seconds=2 * bench.seconds, check_body=bench.space.page)
                finally:
                    stop.set()
                    for thread in threads:
                        thread.join()
                if result["latency_ms"]:
                    p99[attacked].append(result["latency_ms"]["p99"])
                if result["failed"]:
                    failed.append(failures(result))
        with open(server.folder / "egalaxyd.log", "rb") as log:
            logged = sum(len(line) for line in log if b"gemini 20 " not in line)
    table.raw[case] = {"p99_ms": {str(key): value for key, value in p99.items()}}
    table.judge(f"{case}: other clients' failures", "; ".join(failed) or "none", "none", not failed)
    if not all(p99.values()):
        table.judge(f"{case}: p99", "nothing was answered", "at most 2.00 x", False)
        return None
    without, with_them = (statistics.median(values) for values in p99.values())
    table.judge(f"{case}: p99 beside {attackers} {title}",
                f"{with_them:.1f} ms (without {without:.1f})", "at most 2.00 x",
                with_them <= 2 * without)
    return logged / (len(p99[True]) * 2 * bench.seconds)


def costly(bench):
    """Twelve clients that bring chains of costly keys again and again."""
    chain = costly_chain()
    beside(bench, "costly", "costly handshakes", 12, lambda port, stop: attack(port, chain, stop))


def refusals(bench):
    """Four clients of one address whose lines are refused, as fast as they can."""
    logged = beside(bench, "refusals", "floods of refused lines", 4, nonsense,
                    rate_limit='exempt = ["127.0.0.1/32"]')
    if logged is not None:
        bench.table.judge("refusals: log", f"{logged / 1000:.1f} kB/s", "at most 10 kB/s",
                          logged <= 10_000)
