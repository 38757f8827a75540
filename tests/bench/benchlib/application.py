"""An application for measuring: answers every request over SCGI or FastCGI with the same page.

    python3 application.py scgi|fastcgi SOCKET PAGE

One thread, non-blocking; FastCGI connections stay open as the server likes.
"""
import asyncio
import pathlib
import struct
import sys

END_REQUEST, PARAMS, STDIN, STDOUT = 3, 4, 5, 6


def record(kind, number, content=b""):
    return struct.pack(">BBHHBx", 1, kind, number, len(content), 0) + content


async def scgi(reader, writer, answer):
    size = int((await reader.readuntil(b":"))[:-1])
    await reader.readexactly(size + 1)
    writer.write(answer)
    writer.close()


async def fastcgi(reader, writer, answer):
    while True:
        _, kind, number, size, padding = struct.unpack(">BBHHBx", await reader.readexactly(8))
        await reader.readexactly(size + padding)
        if kind == STDIN and size == 0:
            writer.write(record(STDOUT, number, answer) + record(STDOUT, number)
                         + record(END_REQUEST, number, bytes(8)))


async def main():
    kind, socket, page = sys.argv[1:]
    answer = b"20 text/gemini\r\n" + pathlib.Path(page).read_bytes()
    talk = {"scgi": scgi, "fastcgi": fastcgi}[kind]

    async def serve(reader, writer):
        try:
            await talk(reader, writer, answer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_unix_server(serve, socket, backlog=512)
    pathlib.Path(socket).chmod(0o777)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
