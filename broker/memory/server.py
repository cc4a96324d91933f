"""What the connections of the in-memory twin share: streams, subscriptions, a clock.

A test can take the server away (`stop`, `start`), lose the answers to writes that did happen
(`lose_answers`), and move its clock.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from broker.changes import Changes
from broker.memory.stream import MemoryStream
from broker.subjects import matches
from schemas.errors import BrokerError, BrokerUnavailable
from schemas.types import MAX_WIRE_BYTES


class Servant(NamedTuple):
    """Somebody who answers requests: `take` may start a task that resolves the future."""

    pattern: str
    take: Callable[[str, bytes, asyncio.Future[bytes]], None]


class Listener(NamedTuple):
    """Somebody who listens; None in the queue ends it."""

    pattern: str
    queue: asyncio.Queue[tuple[str, bytes] | None]


class MemoryServer:
    """Streams and subscriptions that outlive connections."""

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        max_message_bytes: int = MAX_WIRE_BYTES,
    ) -> None:
        self.max_message_bytes = max_message_bytes
        self.clock = clock
        self.wall_clock = wall_clock
        self.streams: dict[str, MemoryStream] = {}
        self.servants: list[Servant] = []
        self.listeners: list[Listener] = []
        self.followers: Counter[str] = Counter()
        """By stream."""
        self.running = True
        self._answers_to_lose = 0
        self._changes = Changes()

    def stop(self) -> None:
        """Go away: every call raises BrokerUnavailable, followers wait."""
        self.running = False
        self.wake()

    def start(self) -> None:
        """Come back with all that was stored."""
        self.running = True
        self.wake()

    def lose_answers(self, count: int) -> None:
        """Let the next `count` writes happen and raise BrokerUnavailable all the same."""
        self._answers_to_lose = count

    def lose_this_answer(self) -> bool:
        """Count down one write; True when its answer is to be lost."""
        lost = self._answers_to_lose > 0
        self._answers_to_lose -= lost
        return lost

    def wake(self) -> None:
        """Let everybody who waits look again."""
        self._changes.notify()

    async def change(self, timeout_s: float | None = None) -> None:
        """Wait until something changes, or the time is over."""
        await self._changes.next(timeout_s=timeout_s)

    def stream(self, name: str) -> MemoryStream:
        """Raises BrokerUnavailable when the server is away, BrokerError without such a stream."""
        self.check_running()
        if name not in self.streams:
            raise BrokerError(f"there is no stream {name}")
        return self.streams[name]

    def check_running(self) -> None:
        if not self.running:
            raise BrokerUnavailable("the server is away")

    def deliver(self, subject: str, data: bytes) -> None:
        """Hand a message to everybody who listens, whether a stream takes it or not."""
        for listener in self.listeners:
            if matches(listener.pattern, subject):
                listener.queue.put_nowait((subject, data))
