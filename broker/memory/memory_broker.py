"""The in-memory twin of the message broker: the same contract, no server, no network.

A `MemoryServer` is the shared state; each `MemoryBroker` is one connection to it.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable

from broker.fence import WrongLastSequence, append_id, settle
from broker.interface import ConsumerState, Handler, Record, Stored, StreamSpec, StreamState
from broker.memory.server import Listener, MemoryServer, Servant
from broker.memory.stream import MemoryStream
from broker.subjects import matches
from broker.turnstile import Turnstile
from schemas.errors import (
    BrokerError,
    BrokerUnavailable,
    MessageTooLarge,
    NoResponders,
    PermissionDenied,
)
from schemas.wire import sha256_hex

__all__ = ["MemoryBroker", "MemoryServer"]


class MemoryDelivery:
    """A message in hand."""

    def __init__(self, server: MemoryServer, record: Record) -> None:
        self._server = server
        self.record = record

    async def ack(self) -> None:
        self._server.stream(self.record.stream).ack(self.record.sequence)
        self._server.wake()

    async def in_progress(self) -> None:
        stream = self._server.stream(self.record.stream)
        stream.in_progress(self.record.sequence, self._server.clock())


class MemoryBroker:
    """One connection; `may_publish` plays the server's permissions."""

    def __init__(
        self, server: MemoryServer, *, may_publish: Callable[[str], bool] = lambda subject: True
    ) -> None:
        self._server = server
        self._may_publish = may_publish
        self._turnstiles: list[Turnstile] = []
        self._at_close: list[Callable[[], None]] = []
        self._closed = False

    @property
    def connected(self) -> bool:
        return self._server.running and not self._closed

    @property
    def max_message_bytes(self) -> int:
        return self._server.max_message_bytes

    def _check_open(self) -> None:
        if self._closed:
            raise BrokerError("the connection is closed")
        self._server.check_running()

    async def ensure_stream(self, spec: StreamSpec, *, first_sequence: int = 1) -> None:
        self._check_open()
        if spec.name not in self._server.streams:
            created = self._server.wall_clock()
            made = MemoryStream(spec, created=created, first_sequence=first_sequence)
            self._server.streams[spec.name] = made
        found = self._server.streams[spec.name].spec
        for field in StreamSpec.__struct_fields__:
            is_, wanted = getattr(found, field), getattr(spec, field)
            if is_ != wanted:
                raise BrokerError(f"stream {spec.name} has {field} {is_!r}, wanted is {wanted!r}")

    async def remove_stream(self, stream: str) -> None:
        self._check_open()
        self._server.stream(stream)  # raises when there is none
        del self._server.streams[stream]

    async def state(self, stream: str) -> StreamState:
        followers = self._server.followers[stream]
        return self._server.stream(stream).state(num_followers=followers)

    async def streams(self) -> list[str]:
        self._server.check_running()
        return sorted(self._server.streams)

    async def spec(self, stream: str) -> StreamSpec:
        return self._server.stream(stream).spec

    async def subjects(self, stream: str, pattern: str = ">") -> dict[str, int]:
        return self._server.stream(stream).subjects(pattern)

    async def consumers(self, stream: str) -> list[ConsumerState]:
        return self._server.stream(stream).consumers()

    async def publish(self, subject: str, data: bytes, *, timeout_s: float = 5.0) -> Stored:
        self._deliver(subject, data)
        stored = self._store(subject, data, message_id=sha256_hex(data))
        self._answer()
        return stored

    def _deliver(self, subject: str, data: bytes) -> None:
        self._check_open()
        if not self._may_publish(subject):
            raise PermissionDenied(subject)
        if len(data) > self.max_message_bytes:
            raise MessageTooLarge(f"{len(data)} bytes, the server takes {self.max_message_bytes}")
        self._server.deliver(subject, data)

    def _store(
        self,
        subject: str,
        data: bytes,
        *,
        message_id: str,
        expected_stream: str | None = None,
        expected_last: int | None = None,
    ) -> Stored:
        for stream in self._server.streams.values():
            if any(matches(pattern, subject) for pattern in stream.spec.subjects):
                if expected_stream not in (None, stream.spec.name):
                    raise BrokerError(f"{subject} is stored by {stream.spec.name}")
                stored = stream.store(
                    subject,
                    data,
                    message_id=message_id,
                    now=self._server.clock(),
                    wall_time=self._server.wall_clock(),
                    expected_last=expected_last,
                )
                self._server.wake()
                return stored
        raise BrokerUnavailable(f"no stream stores {subject}")

    def _answer(self) -> None:
        if self._server.lose_this_answer():
            raise BrokerUnavailable("no answer in time")

    async def pull(
        self, stream: str, consumer: str, *, max_messages: int, max_bytes: int, timeout_s: float
    ) -> list[MemoryDelivery]:
        server = self._server
        end = time.monotonic() + timeout_s
        while True:
            self._check_open()
            queue = server.stream(stream)
            if queue.spec.consumer != consumer:
                raise BrokerError(f"stream {stream} has no consumer {consumer}")
            taken = queue.take(max_messages=max_messages, max_bytes=max_bytes, now=server.clock())
            left_s = end - time.monotonic()
            if taken or left_s <= 0:
                return [MemoryDelivery(server, record) for record in taken]
            expiry = queue.next_expiry()
            wait_s = left_s if expiry is None else min(left_s, expiry - server.clock())
            await server.change(max(wait_s, 0.0))

    async def purge(self, stream: str, *, before: int, pattern: str = ">") -> None:
        self._check_open()
        self._server.stream(stream).purge(before, pattern)
        self._server.wake()

    async def missing(self, stream: str, *, first: int, last: int) -> set[int]:
        return set(range(first, last + 1)) - self._server.stream(stream).records.keys()

    async def take_back(self, stream: str, consumer: str) -> None:
        self._server.stream(stream).take_back()
        self._server.wake()

    async def append(
        self, stream: str, subject: str, data: bytes, *, expected_last: int, timeout_s: float = 10.0
    ) -> int:
        self._deliver(subject, data)
        message_id = append_id(data, expected_last)
        try:
            self._store(
                subject,
                data,
                message_id=message_id,
                expected_stream=stream,
                expected_last=expected_last,
            )
        except WrongLastSequence:
            found = self._server.stream(stream).records.get(expected_last + 1)
            settle(stream, subject, data, expected_last=expected_last, found=found, refused=True)
        self._answer()
        return expected_last + 1

    async def read(
        self, stream: str, *, first: int = 1, last: int | None = None
    ) -> AsyncGenerator[Record]:
        records = self._server.stream(stream).records
        end = self._server.stream(stream).last_sequence if last is None else last
        for sequence in [sequence for sequence in records if first <= sequence <= end]:
            self._server.check_running()
            if sequence in records:
                yield records[sequence]

    async def follow(
        self, stream: str, *, first: int = 1, subject: str | None = None
    ) -> AsyncGenerator[Record]:
        following = first
        self._server.followers[stream] += 1
        try:
            while not self._closed:
                if not self._server.running:
                    await self._server.change()
                    continue
                log = self._server.stream(stream)
                if following > log.last_sequence:
                    await self._server.change()
                    continue
                record = log.records.get(following)
                following += 1
                if record is not None and matches(subject or ">", record.subject):
                    yield record
        finally:
            self._server.followers[stream] -= 1

    async def last(self, stream: str, subject: str) -> Record | None:
        records = self._server.stream(stream).records.values()
        return next((r for r in reversed(records) if matches(subject, r.subject)), None)

    async def get(self, stream: str, sequence: int) -> Record | None:
        return self._server.stream(stream).records.get(sequence)

    async def request(self, subject: str, data: bytes, *, timeout_s: float) -> bytes:
        self._deliver(subject, data)
        servants = [s for s in self._server.servants if matches(s.pattern, subject)]
        if not servants:
            raise NoResponders(f"nobody serves {subject}")
        reply: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        for servant in servants:
            servant.take(subject, data, reply)
        try:
            async with asyncio.timeout(timeout_s):
                return await reply
        except TimeoutError:
            raise BrokerUnavailable(f"no answer on {subject} in {timeout_s} s") from None

    async def serve(self, subject: str, handler: Handler) -> None:
        while not self._server.running:
            await self._server.change()
        turnstile = Turnstile()

        def take(subject: str, data: bytes, reply: asyncio.Future[bytes]) -> None:
            async def answer() -> None:
                found = await handler(subject, data)
                if self._server.running and not reply.done():
                    reply.set_result(found)

            turnstile.let_in(subject, answer)

        servant = Servant(subject, take)
        self._server.servants.append(servant)
        self._turnstiles.append(turnstile)
        self._at_close.append(lambda: self._server.servants.remove(servant))

    async def notify(self, subject: str, data: bytes) -> None:
        self._deliver(subject, data)

    def listen(self, subject: str) -> AsyncGenerator[tuple[str, bytes]]:
        listener = Listener(subject, asyncio.Queue())
        self._server.listeners.append(listener)
        self._at_close.append(lambda: listener.queue.put_nowait(None))
        return self._listen(listener)

    async def _listen(self, listener: Listener) -> AsyncGenerator[tuple[str, bytes]]:
        try:
            while (message := await listener.queue.get()) is not None:
                yield message
        finally:
            self._server.listeners.remove(listener)

    async def close(self) -> None:
        self._closed = True
        while self._at_close:
            self._at_close.pop()()
        for turnstile in self._turnstiles:
            await turnstile.close()
        self._server.wake()
