"""What goes on while servers are killed: a publisher, a consumer, and a writer of a fenced log with
a follower, each as our daemons do it, so that nobody has to look after them. Only the waits for a
server that does not answer are shorter."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

from broker import retry
from broker.changes import Changes
from broker.fenced_log import FencedLog
from broker.interface import Broker, StreamKind, StreamSpec
from broker.jetstream import NatsBroker, follow, pull
from broker.publisher import Publisher

NUM_SENDERS = 4
MOST_AHEAD = 100
"""Messages by which a reader may be behind: the test is not to wait for what nobody needs."""
ACK_WAIT_S = 2.0
SIZE = 500


def make_impatient(monkeypatch) -> None:
    """Shorten what they wait for a node that has died without a word to them."""
    for call in (NatsBroker.append, NatsBroker.publish):
        monkeypatch.setitem(call.__kwdefaults__, "timeout_s", 2.0)
    monkeypatch.setattr(pull, "_ANSWER_S", 1.0)
    monkeypatch.setattr(pull, "_ACK_S", 1.0)
    monkeypatch.setattr(follow, "_HEARTBEAT_S", 0.5)
    monkeypatch.setattr(follow, "_SILENCE_S", 1.5)


class Traffic:
    """`async with` it; `flows` waits until everybody has done something; `settle` counts."""

    def __init__(
        self, connect: Callable[[], Awaitable[Broker]], name: str, *, num_replicas: int
    ) -> None:
        self._connect = connect
        self.queue, self.log = f"{name}-queue", f"{name}-log"
        self._num_replicas = num_replicas
        self.acked: dict[bytes, int] = {}
        """Their sequences."""
        self.received: dict[int, bytes] = {}
        """By sequence: what was delivered, and acked by the consumer."""
        self.appended: list[bytes] = []
        self.followed: list[bytes] = []
        self._num_sent = 0
        self._changes = Changes()
        self._stop = asyncio.Event()

    def _specs(self) -> list[StreamSpec]:
        queue = StreamSpec(
            name=self.queue,
            subjects=(f"{self.queue}.*",),
            kind=StreamKind.QUEUE,
            consumer="intake",
            ack_wait_s=ACK_WAIT_S,
            num_replicas=self._num_replicas,
        )
        log = StreamSpec(
            name=self.log,
            subjects=(f"{self.log}.*",),
            kind=StreamKind.LOG,
            num_replicas=self._num_replicas,
        )
        return [queue, log]

    async def __aenter__(self) -> "Traffic":
        self.brokers = [await self._connect() for _ in range(3)]
        sending, taking, writing = self.brokers
        for spec in self._specs():
            await retry.for_seconds(30)(sending.ensure_stream, spec)
        publisher = Publisher(sending, max_messages=NUM_SENDERS)
        self._senders = [
            asyncio.create_task(self._send(publisher, number)) for number in range(NUM_SENDERS)
        ]
        self._senders.append(asyncio.create_task(self._write(writing)))
        self._readers = [
            asyncio.create_task(self._take(taking)),
            asyncio.create_task(self._follow(taking)),
        ]
        return self

    async def __aexit__(self, *_: object) -> None:
        tasks = [*self._senders, *self._readers]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for broker in self.brokers:
            await broker.close()

    async def _send(self, publisher: Publisher, number: int) -> None:
        count = 0
        while not self._stop.is_set():
            await self._changes.until(lambda: len(self.acked) - len(self.received) < MOST_AHEAD)
            data = b"%d-%d" % (number, count) + bytes(SIZE)
            self._num_sent += 1
            self.acked[data] = (await publisher.publish(f"{self.queue}.a", data)).sequence
            count += 1
            self._changes.notify()

    async def _take(self, broker: Broker) -> None:
        pull, ack = retry.until_available(), retry.until_available()
        while True:
            taken = await pull(
                broker.pull, self.queue, "intake", max_messages=8, max_bytes=1 << 20, timeout_s=0.5
            )
            for delivery in taken:
                self.received[delivery.record.sequence] = delivery.record.data
            await asyncio.gather(*(ack(delivery.ack) for delivery in taken))
            self._changes.notify()

    async def _write(self, broker: Broker) -> None:
        log = FencedLog(broker, self.log, fold=lambda record: None, is_foreign=lambda record: False)

        async def append() -> None:
            data = b"entry %d" % len(self.appended)
            await log.append(f"{self.log}.x", data)
            self.appended.append(data)
            self._changes.notify()

        await log.take_over(append)
        while not self._stop.is_set():
            await self._changes.until(lambda: len(self.appended) - len(self.followed) < MOST_AHEAD)
            await append()

    async def _follow(self, broker: Broker) -> None:
        async for record in broker.follow(self.log):
            self.followed.append(record.data)
            self._changes.notify()

    @property
    def counts(self) -> tuple[int, int, int, int]:
        """Of the four."""
        return len(self.acked), len(self.received), len(self.appended), len(self.followed)

    async def flows(self, count: int = 20, *, timeout_s: float = 30.0) -> None:
        """Return once each of the four has done so much more. Fails when one of them has ended."""
        wanted = [done + count for done in self.counts]
        flowing = asyncio.create_task(
            self._changes.until(
                lambda: all(done >= want for done, want in zip(self.counts, wanted, strict=True))
            )
        )
        everybody = [*self._senders, *self._readers]
        done, _ = await asyncio.wait(
            [flowing, *everybody], timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED
        )
        if flowing not in done:
            flowing.cancel()
            assert not done, f"ended: {done}"
            raise AssertionError(f"nothing flows: {self.counts}, wanted {wanted}")

    async def settle(self) -> str:
        """Stop sending and let the rest be read; raises unless acked = stored = received, once
        each. Returns the counts in words."""
        self._stop.set()
        async with asyncio.timeout(60):
            await asyncio.gather(*self._senders)
            await self._changes.until(
                lambda: (
                    set(self.received.values()) >= set(self.acked)
                    and len(self.followed) >= len(self.appended)
                )
            )
            state = retry.until_available()
            queue = await state(self.brokers[0].state, self.queue)
            while queue.num_messages:
                await asyncio.sleep(0.1)
                queue = await state(self.brokers[0].state, self.queue)
        stored = [record.data async for record in self.brokers[0].read(self.log)]
        counts = (
            f"{self._num_sent} sent = {len(self.acked)} acked = {queue.last_sequence} stored = "
            f"{len(self.received)} received; {len(self.appended)} appended = {len(stored)} in the "
            f"log = {len(self.followed)} followed"
        )
        twice = [data[:9] for data, n in Counter(self.received.values()).items() if n > 1]
        assert not twice, (twice, counts)
        assert self.acked == {data: sequence for sequence, data in self.received.items()}, counts
        assert self._num_sent == len(self.acked) == queue.last_sequence, counts
        assert self.appended == stored == self.followed, counts
        return counts
