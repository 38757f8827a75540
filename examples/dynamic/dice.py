#!/usr/bin/env python3
"""An application that runs by itself and speaks SCGI: it rolls as many dice as the query says.

    dice.py [PORT]
"""
import random
import socketserver
import sys


class Roll(socketserver.StreamRequestHandler):
    def handle(self):
        length = b""
        while (byte := self.rfile.read(1)).isdigit():
            length += byte
        words = self.rfile.read(int(length)).decode().split("\0")
        self.rfile.read(1)  # the comma
        variables = dict(zip(words[::2], words[1::2]))
        self.wfile.write(self.answer(variables["QUERY_STRING"]).encode())

    def answer(self, query):
        if not query:
            return "10 How many dice?\r\n"
        if not query.isascii() or not query.isdigit() or len(query) > 3 or not 1 <= int(query) <= 100:
            return "59 A number from 1 to 100\r\n"
        dice = " ".join(str(random.randint(1, 6)) for _ in range(int(query)))
        return f"20 text/gemini\r\n# {dice}\n\n=> ?{query} Again\n"


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


with Server(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 4000), Roll) as server:
    server.serve_forever()
