"""Carries TCP connections from the machine's loopback into a node: `python -m tools.lab.forwarder HOST PORT`.

It runs inside the node and inherits, as descriptor LISTENER_FD, a socket that listens in the machine's own network namespace:
a socket stays where it was made, so no process ever has to change its namespace, and the listener ends with the node.
"""

import asyncio
import socket
import sys

from tools.lab.boot import LISTENER_FD

_CHUNK_BYTES = 1 << 16


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(_CHUNK_BYTES):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass  # the other direction ends with it: both writers are closed by the caller
    finally:
        writer.close()


async def _forward(host: str, port: int) -> None:
    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection(host, port)
        except OSError:
            writer.close()  # nobody listens in the node: the caller sees its connection closed
            return
        await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))

    server = await asyncio.start_server(carry, sock=socket.socket(fileno=LISTENER_FD))
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_forward(sys.argv[1], int(sys.argv[2])))
