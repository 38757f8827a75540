#!/usr/bin/env python3
"""A Titan client that sends exactly what it is told and says how the conversation ended.

Built from the protocol's text, with Python's standard library; shares no code with the server.

    titan_client.py --port 1965 --text hello 'titan://localhost/page.gmi;size=5'
    titan_client.py --port 1965 --zeros 5000000 --read after 'titan://localhost/x;size=5000000'
    titan_client.py --port 1965 'gemini://localhost/page.gmi'
prints {"status": 30, "meta": "...", "body": "...", "end": "close_notify", ...}; see Answer.
"""
import argparse
import dataclasses
import json
import pathlib
import select
import socket
import ssl
import struct
import sys
import time
import urllib.parse

RECORD_BYTES = 16384  # the longest that TLS allows


def lagrange_line(url, size, mime="text/plain", token=""):
    """As Lagrange builds it: the media type as it is, the token encoded."""
    encoded = urllib.parse.quote(token, safe="-._~")
    return f"{url};mime={mime};size={size}" + (f";token={encoded}" if token else "")


def gmid_line(url, size, token=None, mime=None):
    """As gmid's `titan` builds it: both as they are."""
    return (f"{url};size={size}" + (f";token={token}" if token else "")
            + (f";mime={mime}" if mime else ""))


@dataclasses.dataclass
class Answer:
    """What came back. `status` is None when no whole header line came."""
    status: int = None
    meta: str = ""
    body: bytes = b""
    end: str = ""         # of TLS: close_notify, eof, reset, timeout, or tls: an alert's name
    tcp: str = ""         # after that: fin, reset, timeout
    send_error: str = ""  # what broke the sending: EPIPE, ECONNRESET
    sent: int = 0         # bytes after the request line that the system took
    answered_after: int = None  # `sent` when the answer's first byte was seen
    records: int = 0      # of TLS, that the answer came in
    seconds: float = 0.0  # from the request line to the end

    def json(self):
        shown = dataclasses.asdict(self)
        shown["body"] = self.body.decode("utf-8", "backslashreplace")
        return json.dumps(shown)


class TimedOut(Exception):
    """The other side did not let us go on in time."""


class Conversation:
    """One connection, all of it under our hands: TLS in memory, the socket beside it. Nothing is
    read before read() or an argument says so."""

    def __init__(self, port, address="127.0.0.1", sni="localhost", certificate=None, timeout=30,
                 receive_buffer=0, version=None, before=b"", source=""):
        """`certificate`: (certificate file, key file). `timeout`: seconds, of the whole. `before`:
        bytes that go out before TLS begins. `source`: the address to come from."""
        self._until = time.monotonic() + timeout
        self.answer = Answer()
        self._raw = bytearray()
        self._began = time.monotonic()
        self._line_sent = False
        self.socket = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(timeout)
        try:
            if source:
                self.socket.bind((source, 0))
            self.socket.connect((address, port))
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.socket.sendall(before)
            self.socket.setblocking(False)
            self._tls = self._start_tls(sni, certificate, version)
        except BaseException:
            self.socket.close()
            raise

    def extend(self, timeout):
        """The whole may take so many seconds from now on."""
        self._until = time.monotonic() + timeout

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def _start_tls(self, sni, certificate, version):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF  # which would pass for a close_notify
        context.set_ciphers("DEFAULT:@SECLEVEL=0")  # weak certificates are the server's to refuse
        if version:
            context.minimum_version = context.maximum_version = version
        if certificate:
            context.load_cert_chain(*certificate)
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(self._in, self._out, server_hostname=sni)
        while True:
            try:
                tls.do_handshake()
                self._flush()
                return tls
            except ssl.SSLWantReadError:
                self._flush()
                self._wait(read=True)
                got = self.socket.recv(65536)
                if not got:
                    raise ConnectionResetError("closed in the handshake") from None
                self._in.write(got)

    def _wait(self, read=False, write=False):
        """(readable, writable); raises TimedOut."""
        left = self._until - time.monotonic()
        ready = select.select([self.socket] if read else [], [self.socket] if write else [], [],
                              max(0, left))
        if not ready[0] and not ready[1]:
            raise TimedOut
        return bool(ready[0]), bool(ready[1])

    def _flush(self, reading=False):
        """Hands what TLS made to the system; looks for an answer meanwhile when told to. False
        when the connection takes no more."""
        data = memoryview(self._out.read())
        while data and not self.answer.send_error:
            readable, writable = self._wait(read=reading, write=True)
            if readable:
                reading = self._take()
            if writable:
                try:
                    data = data[self.socket.send(data):]
                except BlockingIOError:
                    pass
                except (BrokenPipeError, ConnectionResetError) as error:
                    self.answer.send_error = (
                        "EPIPE" if isinstance(error, BrokenPipeError) else "ECONNRESET")
        return not self.answer.send_error

    def say(self, data, record=RECORD_BYTES, reading=False):
        """Sends bytes in records of that size; false when the connection broke on the way. The
        first call's bytes hold the request line and do not count as sent."""
        if self.answer.send_error:
            return False
        line, self._line_sent = not self._line_sent, True
        view = memoryview(data)
        for at in range(0, len(view), record):
            piece = view[at:at + record]
            self._tls.write(piece)
            if not self._flush(reading):
                return False
            if not line:
                self.answer.sent += len(piece)
        return True

    def close_notify(self):
        """Ours; the other direction stays open."""
        try:
            self._tls.unwrap()
        except ssl.SSLError:
            pass  # theirs has not come
        self._flush()

    def fin(self):
        """TCP's end of our direction, without a close_notify."""
        self.socket.shutdown(socket.SHUT_WR)

    def reset(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def await_answer(self):
        """Returns when something of the answer, or the end, is there."""
        while not self._raw and not self.answer.end:
            self._wait(read=True)
            self._take()

    def hear(self, count):
        """The answer so far, when it has so many bytes or has ended."""
        while len(self._raw) < count and not self.answer.end:
            self._wait(read=True)
            self._take()
        return bytes(self._raw)

    def listen(self, seconds):
        """Waits so long for something of the answer or the end; true when it is there."""
        until = time.monotonic() + seconds
        while not self._raw and not self.answer.end and (left := until - time.monotonic()) > 0:
            if select.select([self.socket], [], [], left)[0]:
                self._take()
        return bool(self._raw or self.answer.end)

    def hears(self, words):
        """Waits for those bytes; false when the answer ends without them."""
        while words not in self._raw and not self.answer.end:
            self._wait(read=True)
            self._take()
        return words in self._raw

    def read(self, leave=False):
        """The answer, read to the end of TLS and of TCP. `leave`: TCP's end of our direction goes out
        between the two, so that the server need not wait for a body that does not come."""
        try:
            while not self.answer.end:
                self._wait(read=True)
                self._take()
            if leave and not self.answer.tcp:
                self.fin()
            self._await_tcp_end()
        except TimedOut:
            self.answer.end = self.answer.end or "timeout"
            self.answer.tcp = self.answer.tcp or "timeout"
        return self._finish()

    def _await_tcp_end(self):
        while not self.answer.tcp:
            self._wait(read=True)
            self._receive()

    def _receive(self):
        """One recv(); None when the stream has ended, which `tcp` then tells."""
        try:
            got = self.socket.recv(65536)
        except BlockingIOError:
            return b""
        except ConnectionResetError:
            self.answer.tcp = "reset"
            return None
        if not got:
            self.answer.tcp = "fin"
            return None
        return got

    def _take(self):
        """Takes what has come; false when TLS has ended."""
        got = self._receive()
        if got is None:
            self._in.write_eof()
        else:
            self._in.write(got)
        try:
            while data := self._tls.read(65536):
                if not self._raw:
                    self.answer.answered_after = self.answer.sent
                self._raw += data
                self.answer.records += 1
            self.answer.end = "close_notify"
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.answer.end = "close_notify"
        except (ssl.SSLEOFError, ssl.SSLSyscallError):
            self.answer.end = "reset" if self.answer.tcp == "reset" else "eof"
        except ssl.SSLError as error:
            self.answer.end = f"tls: {error.reason}"
        return not self.answer.end

    def _finish(self):
        answer = self.answer
        answer.seconds = time.monotonic() - self._began
        header, found, rest = bytes(self._raw).partition(b"\r\n")
        if found and len(header) >= 2 and header[:2].isdigit() and header[2:3] in (b"", b" "):
            answer.status = int(header[:2])
            answer.meta = header[3:].decode()
            answer.body = rest
        else:
            answer.body = bytes(self._raw)  # no answer as the protocol knows it
        return answer


def exchange(port, line, body=b"", records="one", read="after", finish="", later=b"",
             leave=False, **connection):
    """One request: `line` gets its CRLF here, `body` is bytes or an iterable of them.

    records: "one" (line and body share records), "apart", or a number: apart, the body in records
    of that many bytes. read: "after" the body, "while" it is sent, "before" it (the body is sent
    when something of the answer is there). finish, when all is sent: "" (just read),
    "close_notify", "fin", "reset" (nothing is read). later: bytes sent when the answer is there.
    leave: as Conversation.read().
    """
    with Conversation(port, **connection) as talk:
        try:
            _send(talk, line.encode("utf-8", "surrogateescape") if isinstance(line, str) else line,
                  body, records, read)
            if finish == "reset":
                talk.reset()
                talk.answer.end = talk.answer.tcp = "reset by us"
                return talk.answer
            if finish == "close_notify":
                talk.close_notify()
            elif finish == "fin":
                talk.fin()
            if later:
                talk.await_answer()
                talk.say(later)
        except TimedOut:
            talk.answer.send_error = talk.answer.send_error or "timeout"
        return talk.read(leave)


def _send(talk, line, body, records, read):
    pieces = [body] if isinstance(body, (bytes, bytearray)) else body
    if records == "one" and isinstance(body, (bytes, bytearray)) and read != "before":
        talk.say(line + b"\r\n" + body, reading=read == "while")
        talk.answer.sent = 0 if talk.answer.send_error else len(body)
        return
    talk.say(line + b"\r\n")
    if read == "before":
        talk.await_answer()
    size = records if isinstance(records, int) else RECORD_BYTES
    for piece in pieces:
        if not talk.say(piece, size, reading=read == "while"):
            return


def zeros(count, chunk=RECORD_BYTES):
    """`count` zero bytes, a chunk at a time."""
    block = bytes(chunk)
    while count > 0:
        yield block[:count] if count < chunk else block
        count -= chunk


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("line", help="the request line, without CRLF")
    parser.add_argument("--port", type=int, default=1965)
    parser.add_argument("--address", default="127.0.0.1")
    parser.add_argument("--sni", default="localhost", help='"" for none')
    parser.add_argument("--cert")
    parser.add_argument("--key")
    body = parser.add_mutually_exclusive_group()
    body.add_argument("--text", default="", help="the body")
    body.add_argument("--file", type=pathlib.Path, help="the body; - is stdin")
    body.add_argument("--zeros", type=int, help="so many zero bytes as the body")
    parser.add_argument("--records", default="one",
                        help="one: with the line, apart: after it, N: apart and N bytes each")
    parser.add_argument("--read", default="after", choices=("after", "while", "before"))
    parser.add_argument("--finish", default="", choices=("", "close_notify", "fin", "reset"))
    parser.add_argument("--later", default="", help="sent when the answer is there")
    parser.add_argument("--timeout", type=float, default=30)
    asked = parser.parse_args()
    if asked.zeros is not None:
        body = zeros(asked.zeros)
    elif asked.file:
        body = sys.stdin.buffer.read() if str(asked.file) == "-" else asked.file.read_bytes()
    else:
        body = asked.text.encode()
    answer = exchange(
        asked.port, asked.line, body, asked.records if asked.records in ("one", "apart")
        else int(asked.records), asked.read, asked.finish, asked.later.encode(),
        address=asked.address, sni=asked.sni or None, timeout=asked.timeout,
        certificate=(asked.cert, asked.key) if asked.cert else None)
    print(answer.json())
    return 0 if answer.status in (20, 30, 31) else 1


if __name__ == "__main__":
    sys.exit(main())
