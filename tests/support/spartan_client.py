#!/usr/bin/env python3
"""A Spartan client for tests that behaves as the protocol's reference client does.

    spartan_client.py [--infile FILE] URL

The URL's query, percent-decoded, is the data block; --infile sends a file instead. Redirects are
followed on the same host and port, without the data. Header lines go to stderr as they come, the
body to stdout. Exit code: 0 for a page, else the status (4, 5); 70 when the server breaks the
protocol, 69 when it cannot be reached.
"""
import argparse
import pathlib
import re
import socket
import sys
import urllib.parse

DEFAULT_PORT = 300
MAX_LINE = 4096
MAX_REDIRECTS = 5
HEADER = re.compile(rb"(2 [!-~]+/[!-~]+(;.*)?|3 /.*|[45] [\t -~]+)\r\n")


class ProtocolError(Exception):
    """The server said something that Spartan does not allow."""


def request(host, port, path, data, patience):
    """(status, meta, body) of one request."""
    literal = ":" in host
    name = f"[{host}]" if literal else host.encode("idna").decode("ascii")
    with socket.create_connection((host, port), timeout=patience) as connection:
        connection.sendall(f"{name} {path} {len(data)}\r\n".encode("ascii"))
        try:
            connection.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass  # the answer may be there already
        with connection.makefile("rb") as answer:
            line = answer.readline(MAX_LINE)
            print(line.decode("ascii", "backslashreplace").rstrip("\r\n"), file=sys.stderr)
            if not HEADER.fullmatch(line):
                raise ProtocolError(f"not a header: {line!r}")
            status, meta = line[0] - ord("0"), line[2:-2].decode("ascii")
            body = answer.read()
    if status != 2 and body:
        raise ProtocolError(f"a body after status {status}")
    return status, meta, body


def fetch(url, data=None, patience=30):
    """As request(), of the page that the redirects lead to."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme != "spartan" or not parts.hostname:
        raise ValueError(f"not a spartan:// URL: {url}")
    if data is None:
        data = urllib.parse.unquote_to_bytes(parts.query)
    path = urllib.parse.quote(parts.path or "/", safe="/%:@!$&'()*+,;=~")
    for _ in range(MAX_REDIRECTS):
        answer = request(parts.hostname, parts.port or DEFAULT_PORT, path, data, patience)
        if answer[0] != 3:
            return answer
        path, data = answer[1], b""
    raise ProtocolError("too many redirects")


def main():
    parser = argparse.ArgumentParser(description="A Spartan client for tests.")
    parser.add_argument("--infile", type=pathlib.Path)
    parser.add_argument("url")
    arguments = parser.parse_args()
    try:
        status, _, body = fetch(arguments.url,
                                arguments.infile.read_bytes() if arguments.infile else None)
    except ProtocolError as error:
        print(f"spartan_client: {error}", file=sys.stderr)
        return 70
    except OSError as error:
        print(f"spartan_client: {error}", file=sys.stderr)
        return 69
    sys.stdout.buffer.write(body)
    return 0 if status == 2 else status


if __name__ == "__main__":
    sys.exit(main())
