"""The rows of the answer: aligned for people, JSON for machines."""
import datetime
import json
import os
import platform
import subprocess

REACHED, MISSED = "reached", "MISSED"


class Table:
    def __init__(self):
        self.rows = []
        self.raw = {}

    def note(self, figure, value, verdict=""):
        """A figure without a bar."""
        self._add(figure, value, "", verdict)

    def judge(self, figure, value, bar, good):
        self._add(figure, value, bar, REACHED if good else MISSED)

    def goal(self, figure, value, bar, good):
        """A bar to come: not there yet is no failure."""
        self._add(figure, value, bar, REACHED if good else "not yet")

    def skip(self, figure, why):
        self._add(figure, "", "", f"skipped: {why}")

    def _add(self, figure, value, bar, verdict):
        self.rows.append({"figure": figure, "value": value, "bar": bar, "verdict": verdict})

    def missed(self):
        return [row for row in self.rows if row["verdict"] == MISSED]

    def text(self):
        keys = ("figure", "value", "bar", "verdict")
        rows = [dict(zip(keys, keys)), *self.rows]
        widths = [max(len(row[key]) for row in rows) for key in keys]
        lines = ["  ".join(row[key].ljust(width) for key, width in zip(keys, widths)).rstrip()
                 for row in rows]
        lines.insert(1, "  ".join("-" * width for width in widths))
        return "\n".join(lines)

    def write(self, path, about):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"about": about, "rows": self.rows, "raw": self.raw}, indent=1))


def machine():
    model = "unknown CPU"
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    openssl = subprocess.run(["openssl", "version"], capture_output=True, text=True, check=True)
    return {
        "cpu": model,
        "cores": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "openssl": openssl.stdout.split(" (")[0].strip(),
        "load_average": os.getloadavg()[0],
        "time": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
    }


def megabytes(count):
    return f"{count / 1e6:.1f} MB"
