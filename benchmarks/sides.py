"""The queues that `benchmarks.queue` compares: each stores the same messages, then hands them over.

| side | stores | hands over |
|---|---|---|
| ours | `Publisher`, called by 16 tasks | `Hand`: pull, then one purge; acks where they are large |
| bare | `js.publish` of nats-py, called by 16 tasks | `fetch`, then `ack_sync` side by side |
| redis | XADD, 16 in a pipeline | XREADGROUP, then one XACK |
| socket | nothing: a thread sends | `recv_into` one buffer |

Ours pulls the next messages while it removes the last, as the coordinator does.
"""

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, NamedTuple, Protocol

import nats

from broker.bench.floor import socket_s
from broker.interface import StreamKind, StreamSpec
from broker.jetstream import NatsBroker
from broker.publisher import Publisher
from learner.coordinator.hand import Hand

WINDOW: Final = 16
"""Messages under way at once."""
_ROUND_BYTES: Final = 8 << 20
_ROUND_MESSAGES: Final = 64
"""What one pull brings at most, as the coordinator's settings have it."""
_TAKE_S: Final = 5.0
_CONSUMER: Final = "bench"


class Turn(NamedTuple):
    """What one side took for all messages."""

    publish_s: float
    pull_s: float


class Side(Protocol):
    """One queue."""

    async def turn(self, messages: Sequence[bytes]) -> Turn:
        """Store all messages, and then take all of them out again."""
        ...

    async def close(self) -> None: ...


def at_once(messages: Sequence[bytes]) -> int:
    """How many messages one pull may bring."""
    return max(1, min(_ROUND_MESSAGES, _ROUND_BYTES // len(messages[0])))


async def _spread(publish: Callable[[bytes], Awaitable[object]], messages: Sequence[bytes]) -> None:
    """Publish all of them from as many tasks as the window has room for."""
    left = iter(messages)

    async def work() -> None:
        for message in left:
            await publish(message)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(WINDOW):
            tasks.create_task(work())


class Ours:
    """Through `broker.publisher` and the coordinator's hand."""

    def __init__(self, broker: NatsBroker, num_replicas: int) -> None:
        self._broker = broker
        self._num_replicas = num_replicas

    @classmethod
    async def connect(cls, url: str, num_replicas: int = 1) -> "Ours":
        return cls(await NatsBroker.connect(url, name="bench"), num_replicas)

    async def turn(self, messages: Sequence[bytes]) -> Turn:
        word = uuid.uuid4().hex[:8]
        spec = StreamSpec(
            name=f"OURS_{word}",
            subjects=(f"ours.{word}",),
            kind=StreamKind.QUEUE,
            consumer=_CONSUMER,
            num_replicas=self._num_replicas,
        )
        await self._broker.ensure_stream(spec)
        publisher = Publisher(self._broker, max_messages=WINDOW)
        began = time.perf_counter()
        await _spread(lambda data: publisher.publish(spec.subjects[0], data), messages)
        published = time.perf_counter()
        hand = Hand(self._broker, spec.name, _CONSUMER, at_once(messages))
        await self._take_all(hand, len(messages), at_once(messages))
        turn = Turn(published - began, time.perf_counter() - published)
        assert (await self._broker.state(spec.name)).num_messages == 0
        return turn

    async def _take_all(self, hand: Hand, num_messages: int, batch: int) -> None:
        left = num_messages
        pulling = asyncio.create_task(hand.pull(max_messages=min(batch, left)))
        while left:
            deliveries = await pulling
            left -= len(deliveries)
            if left:
                pulling = asyncio.create_task(hand.pull(max_messages=min(batch, left)))
            await hand.release([delivery.record for delivery in deliveries])

    async def close(self) -> None:
        await self._broker.close()


class Bare:
    """nats-py alone."""

    def __init__(self, client: nats.NATS) -> None:
        self._client = client

    @classmethod
    async def connect(cls, url: str) -> "Bare":
        return cls(await nats.connect(url))

    async def turn(self, messages: Sequence[bytes]) -> Turn:
        stream, subject = f"BARE_{uuid.uuid4().hex[:8]}", f"bare.{uuid.uuid4().hex[:8]}"
        js = self._client.jetstream()
        await js.add_stream(name=stream, subjects=[subject], retention="workqueue", discard="new")
        began = time.perf_counter()
        await _spread(lambda data: js.publish(subject, data), messages)
        published = time.perf_counter()
        left, batch = len(messages), at_once(messages)
        subscription = await js.pull_subscribe(subject, _CONSUMER)
        while left:
            fetched = await subscription.fetch(min(batch, left), timeout=_TAKE_S)
            await asyncio.gather(*(message.ack_sync() for message in fetched))
            left -= len(fetched)
        turn = Turn(published - began, time.perf_counter() - published)
        await js.delete_stream(stream)
        return turn

    async def close(self) -> None:
        await self._client.close()


class Redis:
    """A Redis stream with a consumer group. What is acknowledged stays in the stream."""

    def __init__(self, client: Any) -> None:
        self._client = client

    @classmethod
    async def connect(cls, port: int) -> "Redis":
        import redis.asyncio  # pyright: ignore[reportMissingImports]

        return cls(redis.asyncio.Redis(host="127.0.0.1", port=port))

    async def turn(self, messages: Sequence[bytes]) -> Turn:
        client, stream = self._client, uuid.uuid4().hex
        await client.xgroup_create(stream, _CONSUMER, id="0", mkstream=True)
        began = time.perf_counter()
        for start in range(0, len(messages), WINDOW):
            pipeline = client.pipeline(transaction=False)
            for message in messages[start : start + WINDOW]:
                pipeline.xadd(stream, {"data": message})
            await pipeline.execute()
        published = time.perf_counter()
        left, batch = len(messages), at_once(messages)
        while left:
            [(_, taken)] = await client.xreadgroup(_CONSUMER, "one", {stream: ">"}, count=batch)
            await client.xack(stream, _CONSUMER, *(number for number, _ in taken))
            left -= len(taken)
        turn = Turn(published - began, time.perf_counter() - published)
        await client.unlink(stream)
        return turn

    async def close(self) -> None:
        await self._client.aclose()


class RawSocket:
    """One blocking socket on loopback: the floor that no queue passes."""

    async def turn(self, messages: Sequence[bytes]) -> Turn:
        elapsed = socket_s(messages)
        return Turn(elapsed, elapsed)

    async def close(self) -> None:
        """There is nothing to close."""
