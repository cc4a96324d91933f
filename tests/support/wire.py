"""NATS by hand: whatever bytes one likes, over a plain socket, with valid credentials or none."""

import asyncio
import base64
import contextlib
import json
import socket
from typing import Final, NamedTuple

from broker.accounts.credentials import Credentials

_SMALL_BYTES: Final = 1 << 16


class Heard(NamedTuple):
    subject: str
    reply_to: str
    head: bytes
    data: bytes


class Wire:
    """One connection of somebody who writes his own client."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self.heard: list[Heard] = []
        self.refusals: list[str] = []
        """What the server said with -ERR."""
        self.closed = asyncio.Event()
        """Set when the server has hung up."""
        self._pongs: asyncio.Queue[None] = asyncio.Queue()
        self._news = asyncio.Event()
        self._num_subscriptions = 0
        self._reading: asyncio.Task[None] | None = None

    @classmethod
    async def open(
        cls, port: int, credentials: Credentials | None = None, *, reads: bool = True
    ) -> "Wire":
        """Log in; whether the server takes it shows in `refusals` and `closed` after `settle`.

        One that does not read leaves whatever the server sends where it is.
        """
        plug = socket.create_connection(("127.0.0.1", port))
        if not reads:
            plug.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SMALL_BYTES)
        reader, writer = await asyncio.open_connection(sock=plug, limit=_SMALL_BYTES)
        greeting = json.loads((await reader.readline()).removeprefix(b"INFO "))
        options = {"verbose": False, "pedantic": False, "headers": True, "no_responders": True}
        options |= {"lang": "wire", "version": "1", "protocol": 1}
        if credentials:
            signature = credentials.key.sign(greeting["nonce"].encode())
            options["jwt"] = credentials.token
            options["sig"] = base64.b64encode(signature).decode()
        wire = cls(reader, writer)
        wire.write(b"CONNECT " + json.dumps(options).encode() + b"\r\n")
        if reads:
            wire._reading = asyncio.create_task(wire._read())
        return wire

    def write(self, data: bytes) -> None:
        self._writer.write(data)

    async def drain(self) -> None:
        with contextlib.suppress(ConnectionError):
            await self._writer.drain()

    def publish(self, subject: str, data: bytes = b"", *, reply_to: str = "", **headers) -> None:
        """`Nats_Msg_Id="1"` is the header `Nats-Msg-Id: 1`."""
        names = f"{subject} {reply_to}".strip()
        if not headers:
            self.write(f"PUB {names} {len(data)}\r\n".encode() + data + b"\r\n")
            return
        lines = "".join(f"{name.replace('_', '-')}: {text}\r\n" for name, text in headers.items())
        head = f"NATS/1.0\r\n{lines}\r\n".encode()
        sizes = f"{len(head)} {len(head) + len(data)}"
        self.write(f"HPUB {names} {sizes}\r\n".encode() + head + data + b"\r\n")

    def subscribe(self, subject: str, queue: str = "") -> None:
        self._num_subscriptions += 1
        self.write(f"SUB {subject} {queue} {self._num_subscriptions}\r\n".encode())

    async def settle(self) -> None:
        """Return when the server has dealt with all that was written, or has hung up."""
        self.write(b"PING\r\n")
        await self.drain()
        waits = [asyncio.create_task(self._pongs.get()), asyncio.create_task(self.closed.wait())]
        done, left = await asyncio.wait(waits, timeout=20, return_when=asyncio.FIRST_COMPLETED)
        for wait in left:
            wait.cancel()
        assert done, "the server says nothing"

    async def ask(self, subject: str, data: bytes = b"", *, inbox: str, **headers) -> bytes:
        """Publish, and return what is answered to the inbox, which a subscription covers."""
        num_heard = len(self.heard)
        self.publish(subject, data, reply_to=inbox, **headers)
        async with asyncio.timeout(20):
            while True:
                for heard in self.heard[num_heard:]:
                    if heard.subject == inbox:
                        return heard.data
                self._news.clear()
                await self._news.wait()

    async def close(self) -> None:
        if self._reading:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()

    async def _read(self) -> None:
        try:
            while line := await self._reader.readline():
                await self._take(line.rstrip(b"\r\n"))
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.closed.set()

    async def _take(self, line: bytes) -> None:
        kind, _, rest = line.partition(b" ")
        match kind:
            case b"PING":
                self.write(b"PONG\r\n")
            case b"PONG":
                self._pongs.put_nowait(None)
            case b"-ERR":
                self.refusals.append(rest.decode())
            case b"MSG" | b"HMSG":
                self.heard.append(await self._message(rest.decode().split(), kind == b"HMSG"))
                self._news.set()

    async def _message(self, parts: list[str], has_head: bool) -> Heard:
        size = int(parts.pop())
        size_of_head = int(parts.pop()) if has_head else 0
        whole = await self._reader.readexactly(size + 2)
        reply_to = parts[2] if len(parts) == 3 else ""
        return Heard(parts[0], reply_to, whole[:size_of_head], whole[size_of_head:size])
