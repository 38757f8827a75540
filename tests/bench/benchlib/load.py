"""Calling egalaxyd_load."""
import json
import os
import subprocess


class LoadFailed(Exception):
    """The load generator itself gave up."""


class Load:
    """A load under way. Options are egalaxyd_load's, underscores for dashes."""

    def __init__(self, bin_dir, url, cpus=None, lid=60, **options):
        command = [str(bin_dir / "egalaxyd_load"), "--url", url, "--lid", str(lid)]
        for name, value in options.items():
            option = "--" + name.replace("_", "-")
            if value is True:
                command.append(option)
            elif isinstance(value, (list, tuple)):
                for item in value:
                    command += [option, str(item)]
            elif value is not None:
                command += [option, str(value)]
        self._lid = lid
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            preexec_fn=(lambda: os.sched_setaffinity(0, cpus)) if cpus else None)

    def running(self):
        return self._process.poll() is None

    def result(self):
        try:
            out, err = self._process.communicate(timeout=2 * self._lid + 30)
        except subprocess.TimeoutExpired:
            out, err = "", "does not end"
        finally:
            self.cancel()
        if not out.startswith("{"):
            raise LoadFailed(f"egalaxyd_load: {err.strip() or 'no report'}")
        return json.loads(out)

    def cancel(self):
        if self.running():
            self._process.kill()
            self._process.wait()


def run_load(bin_dir, url, **options):
    return Load(bin_dir, url, **options).result()


def failures(result):
    """"3 reset, 1 short", or "none"."""
    return ", ".join(f"{n} {kind}" for kind, n in result["failures"].items() if n) or "none"
