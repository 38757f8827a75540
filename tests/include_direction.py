#!/usr/bin/env python3
"""Includes point one way: each folder knows those that its line in ARCHITECTURE.md, "Folders", names,
and nothing else. Prints every offender. Run from anywhere."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
PROGRAMS = ("common", "worker", "master", "ctl")
ROW = re.compile(r"^\| `([\w/]+)` \| .* \|(.*)\|$", re.MULTILINE)
INCLUDE = re.compile(r'^#include [<"]([^>"]+)[>"]', re.MULTILINE)
# Parsers and encoders are pure: they know neither sockets nor logs.
PURE, IMPURE = "worker/protocol", re.compile(r"(Poco/|sys/|spdlog|common/system/|common/loop/)")


def allowed():
    """What each folder may know, by folder; "common" stands for all of its folders."""
    rows = {folder: re.findall(r"`([\w/.]+)`", knows)
            for folder, knows in ROW.findall((ROOT / "ARCHITECTURE.md").read_text())}
    common = [folder for folder in rows if folder.startswith("common/")]
    return {folder: {known for name in knows for known in (common if name == "common" else [name])}
            for folder, knows in rows.items()}


def offences():
    table = allowed()
    for program in PROGRAMS:
        for file in sorted((ROOT / program).rglob("*")):
            if file.suffix not in (".h", ".cpp"):
                continue
            folder = str(file.relative_to(ROOT).parent)
            if folder not in table:
                yield f"{folder}: no line in ARCHITECTURE.md"
                continue
            for include in INCLUDE.findall(file.read_text()):
                own = include.split("/")[0] in PROGRAMS
                known = {str(pathlib.PurePath(include).parent), include} & (table[folder] | {folder})
                if (own and not known) or (folder == PURE and IMPURE.match(include)):
                    yield f"{file.relative_to(ROOT)} includes {include}"


found = sorted(set(offences()))
if found:
    print("includes against the direction:", *found, sep="\n")
sys.exit(bool(found))
