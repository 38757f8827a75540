#!/usr/bin/env python3
"""A wiki: /wiki/NAME is a page, which is edited by uploading another over Titan."""
import os
import re
import sys

environ = os.environ
name = environ["PATH_INFO"].lstrip("/")
if not re.fullmatch(r"[A-Za-z0-9-]{1,64}", name):
    print("30 " + environ["SCRIPT_NAME"] + "/Home\r\n" if not name else "51 No such page\r\n", end="")
    sys.exit()
folder = os.path.join(environ["DATA"], "wiki")
page = os.path.join(folder, name + ".gmi")


def read():
    try:
        with open(page, encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return f"# {name}\n\nThis page is yours to write.\n"


def save(text):
    os.makedirs(folder, exist_ok=True)
    draft = f"{page}.{os.getpid()}"
    with open(draft, "wb") as file:
        file.write(text)
    os.replace(draft, page)  # a reader sees the old page or the new one


if environ["SERVER_PROTOCOL"] == "TITAN":
    save(sys.stdin.buffer.read())
    print("30 gemini" + environ["TITAN_URL"][len("titan"):] + "\r\n", end="")
elif environ.get("TITAN_EDIT"):
    print("20 text/gemini\r\n" + read(), end="")
else:
    print("20 text/gemini\r\n" + read() + "\nUpload another version to this address to change it.\n", end="")
