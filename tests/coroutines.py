#!/usr/bin/env python3
"""A lambda that captures, written within a co_await expression, is destroyed twice by g++ 12: it is
given a name before, or stands in a function that returns what is awaited. This finds those that are
not. First, what it must find is shown to it."""

import pathlib
import re
import sys

FOLDERS = ["common", "worker", "master", "ctl", "examples", "tests"]
AWAIT = re.compile(r"\bco_await\b")
CAPTURES = re.compile(r"(?<![\w\])])\[[^\]\s][^\]]*\]\s*(\(|\{|mutable\b)")

WRONG = ["auto a = co_await lane.run([file] { return file->sum(); });",
         "if (auto a = co_await run([&](Storage& s) { return s.x(); }); !a) co_return a;"]
RIGHT = ["const auto sum = [file] { return file->sum(); };\nauto a = co_await lane.run(sum);",
         "auto a = co_await jobs[i].run(names[0]);",
         "auto a = co_await lane.run([] { return 1; });"]


def faults(text):
    """Lines on which an awaited expression begins that holds such a lambda."""
    text = re.sub(r"//[^\n]*", "", text)
    for found in AWAIT.finditer(text):
        expression = text[found.start():text.find(";", found.start())]
        if CAPTURES.search(expression):
            yield text.count("\n", 0, found.start()) + 1


def main():
    root = pathlib.Path(__file__).resolve().parent.parent
    if any(not list(faults(text)) for text in WRONG) or any(list(faults(text)) for text in RIGHT):
        return "this test finds what is right, or misses what is wrong"
    found = [f"{path.relative_to(root)}:{line}: a lambda that captures is awaited: name it first"
             for folder in FOLDERS for suffix in ("cpp", "h")
             for path in sorted((root / folder).rglob(f"*.{suffix}"))
             for line in faults(path.read_text())]
    print(*found, sep="\n", end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
