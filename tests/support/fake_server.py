"""Servers of the small web that answer, or misbehave, as a test wishes. Standard library only."""
import contextlib
import re
import socket
import ssl
import threading

from capsule import PATIENCE


class FakeServer:
    """Lets `serve(connection)` deal with one connection, or with some one after the other, on a
    port that the kernel chose."""

    def __init__(self, serve, context=None, connections=1):
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.result = None
        self._thread = threading.Thread(target=self._run, args=(serve, context, connections),
                                        daemon=True)
        self._thread.start()

    def _run(self, serve, context, connections):
        for _ in range(connections):
            self._take(serve, context)

    def _take(self, serve, context):
        with contextlib.suppress(OSError):
            connection = self._listener.accept()[0]
            connection.settimeout(PATIENCE)
            with connection:
                if context:
                    with context.wrap_socket(connection, server_side=True,
                                             suppress_ragged_eofs=False) as tls:
                        self.result = serve(tls)
                else:
                    self.result = serve(connection)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._listener.close()
        self._thread.join(PATIENCE)


def read_line(connection):
    line = b""
    while not line.endswith(b"\r\n") and (byte := connection.recv(1)):
        line += byte
    return line


def answering(answer):
    """What reads a request line, says `answer` and ends, in order."""
    def serve(connection):
        line = read_line(connection)
        connection.sendall(answer)
        if isinstance(connection, ssl.SSLSocket):
            with contextlib.suppress(OSError):
                connection.unwrap()
        return line
    return serve


class Host:
    """A server that shows `certificate`, a (certificate file, key file) that a test may change,
    and answers requests one after the other: with each of `answers`, then with `usual`. Remembers
    the request lines, the bodies of uploads and the names that clients asked for, and counts the
    handshakes that came to their end. Asks for a certificate, but does without."""

    def __init__(self, certificate, usual=b"20 text/plain\r\nhere\n"):
        self.certificate = certificate
        self.usual = usual
        self.answers = []
        self.requests, self.bodies, self.names = [], [], []
        self.handshakes = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        while True:
            try:
                connection = self._listener.accept()[0]
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                connection.settimeout(PATIENCE)
                self._serve(connection)

    def _serve(self, connection):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.certificate)
        context.load_verify_locations(self.certificate[0])
        context.verify_mode = ssl.CERT_OPTIONAL
        context.sni_callback = lambda _, name, __: self.names.append(name)
        with context.wrap_socket(connection, server_side=True) as tls:
            self.handshakes += 1
            line = read_line(tls)
            if not line:
                return
            self.requests.append(line)
            size = re.search(rb";size=([0-9]+)", line)
            body = b""
            while size and len(body) < int(size[1]) and (more := tls.recv(65536)):
                body += more
            self.bodies.append(body)
            tls.sendall(self.answers.pop(0) if self.answers else self.usual)
            tls.unwrap()

    def url(self, path="/", scheme="gemini"):
        return f"{scheme}://localhost:{self.port}{path}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept()
        self._listener.close()
        self._thread.join(PATIENCE)
