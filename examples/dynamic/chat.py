#!/usr/bin/env python3
"""A chat: /chat shows what is said, as it is said, until the reader leaves; /chat/say asks for a line."""
import os
import sys
import time
import urllib.parse

log = os.path.join(os.environ["DATA"], "chat")
script = os.environ["SCRIPT_NAME"]


def say(text):
    line = " ".join(urllib.parse.unquote(text).split())
    name = os.environ.get("REMOTE_USER") or "somebody"
    with open(log, "a", encoding="utf-8") as file:  # one short write, which nobody else's can divide
        file.write(f"{name}: {line}\n")


def listen():
    """The server ends this program when its reader has left."""
    sys.stdout.write(f"20 text/gemini\r\n# Chat\n\n=> {script}/say Say something\n\n")
    with open(log, "a+", encoding="utf-8") as file:
        file.seek(0)
        while True:
            sys.stdout.write(file.read())
            sys.stdout.flush()
            time.sleep(0.2)


if os.environ["PATH_INFO"] != "/say":
    listen()
elif not os.environ["QUERY_STRING"]:
    sys.stdout.write("10 What do you say?\r\n")
else:
    say(os.environ["QUERY_STRING"])
    sys.stdout.write(f"20 text/gemini\r\nSaid.\n=> {script}/say Say more\n")
