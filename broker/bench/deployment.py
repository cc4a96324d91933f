"""How fast messages go through the servers at hand: stored, fetched, and there and back.

A queue is made for it, set up as that of a run, and removed again with all that is in it; no run is
touched, save that the servers are busy meanwhile. The floor beside it is a bare socket on the
machine that asks, wherever the servers are.
"""

import asyncio
import os
import time
import uuid
from collections.abc import Sequence
from statistics import quantiles
from typing import Final

from msgspec import Struct

from broker.bench.floor import socket_s
from broker.interface import Broker, Delivery, StreamKind, StreamSpec
from broker.publisher import Publisher
from schemas.errors import BrokerUnavailable, UserError

NUM_UNDER_WAY: Final = 16
"""A wider window is not faster."""
_CONSUMER: Final = "bench"
_MAX_FETCHED: Final = 64
_MAX_FETCHED_BYTES: Final = 8 << 20
"""What one fetch brings at most, as in the coordinator's intake."""
_FETCH_S: Final = 5.0
_MAX_ROUND_TRIPS: Final = 100


class Pace(Struct, frozen=True, kw_only=True):
    """How one kind of work went."""

    messages_per_s: float
    mb_per_s: float
    """Millions of bytes."""
    p50_ms: float
    p99_ms: float


class Passage(Struct, frozen=True, kw_only=True):
    """What was measured."""

    num_messages: int
    num_bytes: int
    """Of each message."""
    num_under_way: int
    """Messages that are published at once."""
    num_replicas: int
    publish: Pace
    """Times are of one message, until the server has confirmed that it is stored."""
    fetch: Pace
    """Times are of one fetch, until the server has confirmed that its messages are removed."""
    round_trip: Pace
    """One message at a time: published, fetched, acked."""
    socket_mb_per_s: float
    """The same bytes through a bare socket of this machine."""


async def measure(
    broker: Broker, *, num_messages: int, num_bytes: int, num_replicas: int
) -> Passage:
    """Make a queue, send at least two messages through it in each way, and remove it.

    Raises:
        UserError: the servers take no message of this size.
        PermissionDenied: who asks may not make streams.
        BrokerError: the servers do not keep so many copies.
        BrokerUnavailable: they are away, or hand over nothing.
    """
    if num_bytes > broker.max_message_bytes:
        most = broker.max_message_bytes
        raise UserError(f"the servers take messages of {most} bytes at most, not of {num_bytes}")
    word = uuid.uuid4().hex[:12]
    spec = StreamSpec(
        name=f"BENCH_{word}",
        subjects=(f"bench.{word}",),
        kind=StreamKind.QUEUE,
        consumer=_CONSUMER,
        num_replicas=num_replicas,
    )
    messages = _make(num_messages, num_bytes)
    await broker.ensure_stream(spec)
    try:
        passing = _Passing(broker, spec)
        publish = await passing.publish(messages)
        fetch = await passing.fetch(messages)
        round_trip = await passing.there_and_back(
            _make(min(num_messages, _MAX_ROUND_TRIPS), num_bytes)
        )
    finally:
        await broker.remove_stream(spec.name)
    floor_s = await asyncio.to_thread(socket_s, messages)
    return Passage(
        num_messages=num_messages,
        num_bytes=num_bytes,
        num_under_way=NUM_UNDER_WAY,
        num_replicas=num_replicas,
        publish=publish,
        fetch=fetch,
        round_trip=round_trip,
        socket_mb_per_s=num_messages * num_bytes / 1e6 / floor_s,
    )


def _make(num_messages: int, num_bytes: int) -> list[bytes]:
    """Random bytes, no two alike: the same bytes twice are one message."""
    rest = os.urandom(max(0, num_bytes - 16))
    return [os.urandom(16) + rest for _ in range(num_messages)]


class _Passing:
    """The queue that messages go through."""

    def __init__(self, broker: Broker, spec: StreamSpec) -> None:
        self._broker = broker
        self._stream = spec.name
        self._subject = spec.subjects[0]

    async def publish(self, messages: Sequence[bytes]) -> Pace:
        publisher = Publisher(self._broker, max_messages=NUM_UNDER_WAY)
        left, times_s = iter(messages), list[float]()

        async def work() -> None:
            for message in left:
                began = time.perf_counter()
                await publisher.publish(self._subject, message)
                times_s.append(time.perf_counter() - began)

        began = time.perf_counter()
        async with asyncio.TaskGroup() as tasks:
            for _ in range(NUM_UNDER_WAY):
                tasks.create_task(work())
        return _pace(messages, time.perf_counter() - began, times_s)

    async def fetch(self, messages: Sequence[bytes]) -> Pace:
        left, times_s = len(messages), list[float]()
        began = time.perf_counter()
        while left:
            turned = time.perf_counter()
            deliveries = await self._pull(min(left, _MAX_FETCHED))
            # Messages come in the order in which they were stored.
            await self._broker.purge(self._stream, before=deliveries[-1].record.sequence + 1)
            left -= len(deliveries)
            times_s.append(time.perf_counter() - turned)
        return _pace(messages, time.perf_counter() - began, times_s)

    async def there_and_back(self, messages: Sequence[bytes]) -> Pace:
        times_s = list[float]()
        for message in messages:
            began = time.perf_counter()
            await self._broker.publish(self._subject, message)
            (delivery,) = await self._pull(1)
            await delivery.ack()
            times_s.append(time.perf_counter() - began)
        return _pace(messages, sum(times_s), times_s)

    async def _pull(self, max_messages: int) -> Sequence[Delivery]:
        deliveries = await self._broker.pull(
            self._stream,
            _CONSUMER,
            max_messages=max_messages,
            max_bytes=_MAX_FETCHED_BYTES,
            timeout_s=_FETCH_S,
        )
        if not deliveries:
            raise BrokerUnavailable(f"{self._stream} hands over nothing in {_FETCH_S:.0f} s")
        return deliveries


def _pace(messages: Sequence[bytes], elapsed_s: float, times_s: Sequence[float]) -> Pace:
    # One fetch may have brought all of them.
    enough_s = times_s if len(times_s) > 1 else [*times_s, *times_s]
    cuts_s = quantiles(enough_s, n=100, method="inclusive")
    return Pace(
        messages_per_s=len(messages) / elapsed_s,
        mb_per_s=sum(map(len, messages)) / 1e6 / elapsed_s,
        p50_ms=cuts_s[49] * 1000,
        p99_ms=cuts_s[98] * 1000,
    )
