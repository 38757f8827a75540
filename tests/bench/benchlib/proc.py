"""Looking at processes through /proc: trees, CPU time, memory, sockets."""
import contextlib
import os
import threading

TICKS = os.sysconf("SC_CLK_TCK")
GONE = (FileNotFoundError, ProcessLookupError, PermissionError)


def _stat(pid):
    """Fields of /proc/PID/stat after the command name; [1] is the parent."""
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
        return file.read().rpartition(")")[2].split()


def children(pid):
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(*GONE):
                if int(_stat(name)[1]) == pid:
                    found.append(int(name))
    return sorted(found)


def tree(pid):
    """The process and all below it."""
    found = [pid]
    for member in found:
        found += children(member)
    return found


def state(pid):
    """'R', 'S', 'T', ...; '' when there is no such process."""
    try:
        return _stat(pid)[0]
    except GONE:
        return ""


def has_perf_events(pid):
    """Whether perf, which has this process, is at work by now."""
    with contextlib.suppress(*GONE):
        for fd in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(*GONE):
                if "perf_event" in os.readlink(f"/proc/{pid}/fd/{fd}"):
                    return True
    return False


def cpu_seconds(pid):
    """User and system time of the whole tree, of children that have ended too."""
    ticks = 0
    for member in tree(pid):
        with contextlib.suppress(*GONE):
            ticks += sum(int(field) for field in _stat(member)[11:15])
    return ticks / TICKS


def pss_bytes(pid):
    """Proportional set size of the whole tree: shared pages are counted once. Of egalaxyd's, which
    let nobody of their account look, for root alone."""
    return sum(map(own_pss_bytes, tree(pid)))


def own_pss_bytes(pid):
    """Of this process alone."""
    with contextlib.suppress(*GONE):
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
            return 1024 * sum(int(line.split()[1]) for line in file if line.startswith("Pss:"))
    return 0


def open_files(pid):
    """Of the whole tree."""
    total = 0
    for member in tree(pid):
        with contextlib.suppress(*GONE):
            total += len(os.listdir(f"/proc/{member}/fd"))
    return total


def socket_count(pid):
    count = 0
    with contextlib.suppress(*GONE):
        for name in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(*GONE):
                count += os.readlink(f"/proc/{pid}/fd/{name}").startswith("socket:")
    return count


class PeakMemory:
    """`with PeakMemory(pid) as peak: ...; peak.bytes`: the highest of samples, 20 a second."""

    def __init__(self, pid):
        self.bytes = 0
        self._pid = pid
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def _sample(self):
        while True:
            self.bytes = max(self.bytes, pss_bytes(self._pid))
            if self._stop.wait(0.05):
                return

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()
