"""An HTTP server between an actor and object storage that may do anything."""

import asyncio
import re
from urllib.parse import unquote, urlsplit

from schemas.errors import ObjectMissing


class Mirror:
    """Serves a storage's objects over HTTP/1.1 on loopback, badly where it is told to."""

    def __init__(self, store) -> None:
        self.store = store
        self.port = 0
        self.asked: list[tuple[str, str]] = []
        """(key, Range header) of each request."""
        self.num_cookies = 0
        """Requests that came with cookies."""
        self.num_grants = 0
        self.cut_after_bytes: int | None = None
        """Bytes of a large body after which the connection is dropped."""
        self.first_answers: list[str] = []
        """Status lines, with headers, that answer the first requests instead."""
        self.replaced: dict[str, bytes] = {}
        """Objects that it serves other bytes for."""
        self.endless: set[str] = set()
        """Keys whose bodies never end."""
        self.stalls: set[str] = set()
        """Keys whose bodies stop in the middle, with the connection open."""
        self.knows_ranges = True
        self.etag = '"1"'
        self._news = asyncio.Condition()

    async def grant(self, keys):
        """What the coordinator would answer."""
        self.num_grants += len(keys)
        return [f"http://127.0.0.1:{self.port}/{key}" for key in keys]

    async def until_asked(self, key, asked):
        async with self._news:
            await self._news.wait_for(lambda: (key, asked) in self.asked)

    async def answer(self, reader, writer):
        try:
            await self._answer(reader, writer)
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def _answer(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        key = unquote(urlsplit(head.split(" ")[1]).path).lstrip("/")
        headers = dict(re.findall(r"(?m)^([a-z-]+): (.*?)\r$", head.lower()))
        async with self._news:
            self.asked.append((key, headers.get("range", "")))
            self.num_cookies += "cookie" in headers
            self._news.notify_all()
        if self.first_answers:
            status = self.first_answers.pop(0)
            writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())
            return await writer.drain()
        if headers.get("if-match", self.etag) != self.etag:
            writer.write(b"HTTP/1.1 412 Changed\r\nContent-Length: 0\r\n\r\n")
            return await writer.drain()
        if key in self.endless:
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            while True:
                writer.write(bytes(1 << 16))
                await writer.drain()
        try:
            data = self.replaced.get(key) or await self.store.get(key)
        except ObjectMissing:
            writer.write(b"HTTP/1.1 404 Missing\r\nContent-Length: 0\r\n\r\n")
            return await writer.drain()
        await self._send(writer, data, headers.get("range", ""))
        if key in self.stalls:
            await reader.read()

    async def _send(self, writer, data, asked):
        matched = re.match(r"bytes=(\d+)-", asked) if self.knows_ranges else None
        offset = int(matched[1]) if matched else 0
        writer.write(b"HTTP/1.1 206 Part\r\n" if matched else b"HTTP/1.1 200 OK\r\n")
        if matched:
            line = f"Content-Range: bytes {offset}-{len(data) - 1}/{len(data)}\r\n"
            writer.write(line.encode())
        body = data[offset:]
        writer.write(f"ETag: {self.etag}\r\nContent-Length: {len(body)}\r\n\r\n".encode())
        writer.write(body[: self.cut_after_bytes])
        await writer.drain()
