"""Applications that speak SCGI and FastCGI, for tests: threads of the test's own that do exactly what
a function says. Built from the protocols' texts; shares no code with the server."""
import contextlib
import os
import socket
import struct
import threading

BEGIN, ABORT, END, PARAMS, STDIN, STDOUT, STDERR = 1, 2, 3, 4, 5, 6, 7


class Application:
    """Listens at `place`, a path or (host, port), and calls `talk(connection)` for each connection,
    in a thread of its own; the connection is closed behind it."""

    def __init__(self, place, talk):
        self.talk = talk
        self.made = 0  # connections, ever
        self.open = 0
        self.failures = []
        self._connections = set()
        self._lock = threading.Lock()
        if isinstance(place, tuple):
            family = socket.AF_INET6 if ":" in place[0] else socket.AF_INET
        else:
            family, place = socket.AF_UNIX, str(place)
        self._socket = socket.socket(family)
        if family != socket.AF_UNIX:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(place)
        if family == socket.AF_UNIX:
            os.chmod(place, 0o666)
        self._socket.listen(64)
        self.port = self._socket.getsockname()[1] if isinstance(place, tuple) else None
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                with self._lock:
                    self.made += 1
                    self.open += 1
                    self._connections.add(connection)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        try:
            self.talk(connection)
        except (OSError, EOFError):
            pass  # the other side has left
        except Exception as failure:  # for the test to see
            self.failures.append(failure)
        finally:
            with self._lock:
                self.open -= 1
                self._connections.discard(connection)
                connection.close()

    def close(self):
        """Nobody answers there any more; what is under way breaks off."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        with self._lock:
            for connection in self._connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)


def read_exactly(connection, size):
    got = bytearray()
    while len(got) < size:
        piece = connection.recv(size - len(got))
        if not piece:
            raise EOFError(f"{size - len(got)} bytes are missing")
        got += piece
    return bytes(got)


def read_scgi_head(connection):
    """The netstring's content."""
    digits = b""
    while (byte := read_exactly(connection, 1)) != b":":
        digits += byte
    content = read_exactly(connection, int(digits))
    assert read_exactly(connection, 1) == b","
    return content


def scgi_variables(head):
    """As pairs, in their order."""
    words = head.decode().split("\0")
    assert words.pop() == ""
    return list(zip(words[::2], words[1::2]))


def read_scgi(connection):
    """(variables, body)"""
    variables = dict(scgi_variables(read_scgi_head(connection)))
    return variables, read_exactly(connection, int(variables["CONTENT_LENGTH"]))


def read_record(connection):
    """(type, content); None when there are no more."""
    first = connection.recv(1)
    if not first:
        return None
    version, kind, request, size, padding = struct.unpack("!BBHHBx", first + read_exactly(connection, 7))
    assert (version, request) == (1, 1)
    content = read_exactly(connection, size)
    read_exactly(connection, padding)
    return kind, content


def read_fastcgi_head(connection):
    """(flags, variables as pairs); None when there are no more requests."""
    record = read_record(connection)
    if record is None:
        return None
    assert record[0] == BEGIN and len(record[1]) == 8
    role, flags = struct.unpack("!HB5x", record[1])
    assert role == 1
    return flags, _pairs(read_stream(connection, PARAMS))


def read_stream(connection, kind):
    got = bytearray()
    while True:
        of, content = read_record(connection)
        assert of == kind, of
        if not content:
            return bytes(got)
        got += content


def _pairs(stream):
    pairs = []
    while stream:
        lengths = []
        for _ in range(2):
            size = 1 if stream[0] < 128 else 4
            lengths.append(int.from_bytes(stream[:size], "big") & 0x7FFFFFFF)
            stream = stream[size:]
        name, value = lengths
        pairs.append((stream[:name].decode(), stream[name:name + value].decode()))
        stream = stream[name + value:]
    return pairs


def read_fastcgi(connection):
    """(variables, body); None when there are no more requests."""
    head = read_fastcgi_head(connection)
    return head and (dict(head[1]), read_stream(connection, STDIN))


def record(kind, content, padding=0, request=1, version=1):
    return struct.pack("!BBHHBx", version, kind, request, len(content), padding) + content + bytes(padding)


def end(code=0, status=0):
    return record(END, struct.pack("!IB3x", code, status))


def page(text):
    """A whole answer over FastCGI."""
    return record(STDOUT, text.encode()) + record(STDOUT, b"") + end()
