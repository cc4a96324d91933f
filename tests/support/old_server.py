"""A server that says it is an old nats-server, and serves nobody."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

_NOBODY = b"NATS/1.0 503\r\n\r\n"


@contextlib.asynccontextmanager
async def old_server(version: str) -> AsyncIterator[str]:
    """Its URL, while it runs."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        said = {"server_id": "X", "server_name": "old", "version": version, "headers": True}
        info = {**said, "max_payload": 1 << 20, "proto": 1}
        writer.write(b"INFO " + json.dumps(info).encode() + b"\r\n")
        sid = b""
        while line := await reader.readline():
            word, *rest = line.split()
            if word == b"PING":
                writer.write(b"PONG\r\n")
            elif word == b"SUB":
                sid = rest[-1]
            elif word == b"PUB":
                await reader.readexactly(int(rest[-1]) + 2)
                size = len(_NOBODY)
                writer.write(b"HMSG %s %s %d %d\r\n%s\r\n" % (rest[1], sid, size, size, _NOBODY))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
