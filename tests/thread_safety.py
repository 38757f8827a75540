#!/usr/bin/env python3
"""clang's -Wthread-safety over every file that includes common/base/mutex.h itself: a member marked
EGALAXYD_GUARDED_BY is touched only with its mutex held. First, mistakes that it must find are shown to
it. Prints what clang says. Usage: thread_safety.py BUILD"""
import json
import os
import pathlib
import shlex
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

ROOT = pathlib.Path(__file__).resolve().parents[1]
INCLUDE = '#include "common/base/mutex.h"'
SKIPPED = 77

# Each has the rest of this class as its like.
SAMPLE = INCLUDE + """
#include <chrono>
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
  void test() { %s }
  egalaxyd::Mutex mutex_;
  egalaxyd::Condition wake_;
  int value_ EGALAXYD_GUARDED_BY(mutex_) = 0;
};
"""
RIGHT = "add(); waits(); const egalaxyd::MutexLock lock(mutex_); --value_;"
WRONG = {
    "a write without the mutex": "++value_;",
    "a read without the mutex": "if (value_ > 0) wake_.notifyOne();",
    "a write after unlock()": "egalaxyd::MutexLock lock(mutex_); lock.unlock(); ++value_;",
    "a call that requires the mutex": "addLocked();",
    "a mutex that is taken twice": "const egalaxyd::MutexLock a(mutex_); const egalaxyd::MutexLock b(mutex_);",
    "a wait without the mutex": "wake_.wait(mutex_);",
    "a condition that is not marked":
        "const egalaxyd::MutexLock a(mutex_); wake_.wait(mutex_, [this] { return value_ > 0; });",
}


def flags(commands, file):
    """Where that file's includes are found, and its macros; a header has those of any other file."""
    entry = commands.get(file) or next(iter(commands.values()))
    return [one for one in shlex.split(entry["command"]) if one.startswith(("-D", "-I", "-std="))]


def clang(arguments, text=None):
    """What clang says; "" when it is content."""
    return subprocess.run(
        ["clang++", "-fsyntax-only", "-Wno-everything", "-Wthread-safety", "-Werror", *arguments],
        input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False).stdout


def including():
    """A header is read with its source, where it has one."""
    for folder in ("common", "worker", "master", "ctl", "tests"):
        for file in sorted((ROOT / folder).rglob("*")):
            if file.suffix in (".h", ".cpp") and INCLUDE in file.read_text().splitlines():
                source = file.with_suffix(".cpp")
                yield source if source.exists() else file


def main(build):
    if shutil.which("clang++") is None:
        print("skipped: not installed: clang++")
        return SKIPPED
    commands = {pathlib.Path(entry["file"]): entry
                for entry in json.loads((build / "compile_commands.json").read_text())}
    trouble = []

    def check_sample(code):
        return clang([*flags(commands, None), "-x", "c++", "-"], SAMPLE % code)

    def check_file(file):
        return clang([*flags(commands, file), "-x", "c++", str(file)])

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        if said := check_sample(RIGHT):
            trouble.append("refused though it is right:\n" + said)
        for what, said in zip(WRONG, pool.map(check_sample, WRONG.values())):
            if "-Wthread-safety" not in said:
                trouble.append(f"not found: {what}\n{said}")
        files = sorted(set(including()))
        trouble += [said for said in pool.map(check_file, files) if said]
    print(*trouble, f"{len(files)} files read", sep="\n")
    return 1 if trouble or not files else 0


sys.exit(main(pathlib.Path(sys.argv[1])))
