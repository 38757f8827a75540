#!/usr/bin/env python3
"""clang's -Wthread-safety over every file that includes common/base/mutex.h itself: a member marked
EGALAXYD_GUARDED_BY is touched only with its mutex held. First, mistakes that it must find are shown to
it. The programs have no other mutexes. Prints what is wrong. Usage: thread_safety.py BUILD"""
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

ROOT = pathlib.Path(__file__).resolve().parents[1]
INCLUDE = '#include "common/base/mutex.h"'
SKIPPED = 77
PROGRAMS = ("common", "worker", "master", "ctl")
UNCHECKED = re.compile(r"std::(\w*mutex|condition_variable\w*)\b|guarded by \w*[mM]utex")

# Mistakes, one a line, in a class that is right otherwise.
WRONG = """
  void writes() { ++value_; }
  void reads() { if (value_ > 0) wake_.notifyOne(); }
  void writesAfterwards() { egalaxyd::MutexLock lock(mutex_); lock.unlock(); ++value_; }
  void calls() { addLocked(); }
  void locksTwice() { const egalaxyd::MutexLock a(mutex_); const egalaxyd::MutexLock b(mutex_); }
  void waitsWithout() { wake_.wait(mutex_); }
  void waitsUnmarked() { egalaxyd::MutexLock a(mutex_); wake_.wait(mutex_, [this] { return value_ > 0; }); }
""".strip("\n").splitlines()
RIGHT = (INCLUDE + """
struct Sample {
  void add() { const egalaxyd::MutexLock lock(mutex_); ++value_; }
  void addLocked() EGALAXYD_REQUIRES(mutex_) { ++value_; }
  void waits() {
    egalaxyd::MutexLock lock(mutex_);
    wake_.wait(mutex_, [this]() EGALAXYD_REQUIRES(mutex_) { return value_ > 0; });
    lock.unlock();
    lock.lock();
    addLocked();
  }
  egalaxyd::Mutex mutex_;
  egalaxyd::Condition wake_;
  int value_ EGALAXYD_GUARDED_BY(mutex_) = 0;
""").splitlines()
SAMPLE = "\n".join(RIGHT + WRONG + ["};"]) + "\n"


def flags(commands, file):
    """Where that file's includes are found, and its macros; a header has those of any other file."""
    entry = commands.get(file) or next(iter(commands.values()))
    return [one for one in shlex.split(entry["command"]) if one.startswith(("-D", "-I", "-std="))]


def clang(arguments, text=None):
    """What clang says; "" when it is content."""
    return subprocess.run(
        ["clang++", "-fsyntax-only", "-Wno-everything", "-Wthread-safety", "-Werror", *arguments],
        input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False).stdout


def files(*folders):
    for folder in folders:
        for file in sorted((ROOT / folder).rglob("*")):
            if file.suffix in (".h", ".cpp"):
                yield file, file.read_text()


def including():
    """A header is read with its source, where it has one."""
    for file, text in files(*PROGRAMS, "tests"):
        if INCLUDE in text.splitlines():
            source = file.with_suffix(".cpp")
            yield source if source.exists() else file


def unchecked():
    """Mutexes that clang knows nothing of."""
    for file, text in files(*PROGRAMS):
        if file != ROOT / "common/base/mutex.h" and (found := UNCHECKED.search(text)):
            yield f"{file.relative_to(ROOT)}: {found[0]}: use Mutex and EGALAXYD_GUARDED_BY\n"


def main(build):
    if shutil.which("clang++") is None:
        print("skipped: not installed: clang++")
        return SKIPPED
    commands = {pathlib.Path(entry["file"]): entry
                for entry in json.loads((build / "compile_commands.json").read_text())}
    trouble = list(unchecked())

    def check_file(file):
        return clang([*flags(commands, file), "-x", "c++", str(file)])

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        said = clang([*flags(commands, None), "-x", "c++", "-"], SAMPLE)
        found = {int(line) for line in re.findall(r"<stdin>:(\d+):\d+: error", said)}
        wanted = set(range(len(RIGHT) + 1, len(RIGHT) + 1 + len(WRONG)))
        if found != wanted:
            trouble.append(f"mistakes in lines {sorted(wanted)}, but found in {sorted(found)}:\n{said}")
        read = sorted(set(including()))
        trouble += [said for said in pool.map(check_file, read) if said]
    print(*trouble, f"{len(read)} files read", sep="\n")
    return 1 if trouble or not read else 0


sys.exit(main(pathlib.Path(sys.argv[1])))
