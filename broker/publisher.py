"""Publishes with a bounded window, and keeps each message until the queue has it.

| consumes | produces | waits for |
|---|---|---|
| subject and bytes per call | stored messages | room in the window, the broker, room in the queue |
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import tenacity

from broker import retry
from broker.changes import Changes
from broker.interface import Broker, Stored
from schemas.errors import QueueFull

MAX_MESSAGES = 32
MAX_BYTES = 16 << 20
"""A wider window is not faster: the queue writes each message to the disk before it answers."""


class Publisher:
    """Publishes from any number of tasks; the same bytes are one message however often sent."""

    def __init__(
        self,
        broker: Broker,
        *,
        max_messages: int = MAX_MESSAGES,
        max_bytes: int = MAX_BYTES,
        on_full: Callable[[bool], None] = lambda full: None,
    ) -> None:
        """`on_full` is told when the queue turns a first message away (True), and when none is left
        that it has turned away (False)."""
        self._broker = broker
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._on_full = on_full
        self._changes = Changes()
        self._num_messages = 0
        self._num_bytes = 0
        self._turned_away: set[object] = set()

    async def publish(self, subject: str, data: bytes) -> Stored:
        """Return once the queue has the message, however long the broker is away or full.

        Raises:
            PermissionDenied, MessageTooLarge: no retry can help.
        """
        async with self._window(len(data)):
            try:
                # Most go through at once, and the books of a retry cost more than a small message.
                return await self._broker.publish(subject, data)
            except retry.NOT_STORED as error:
                return await self._go_on(subject, data, error)

    async def _go_on(self, subject: str, data: bytes, first_error: Exception) -> Stored:
        """Try again, after a first failure, until the queue has the message."""
        message = object()

        def note_outcome(attempt: tenacity.RetryCallState) -> None:
            note(attempt.outcome and attempt.outcome.exception())

        def note(error: BaseException | None) -> None:
            self._note(message, turned_away=isinstance(error, QueueFull))

        try:
            note(first_error)
            await asyncio.sleep(retry.full_jitter_s(1))
            return await retry.until_stored(note_outcome)(self._broker.publish, subject, data)
        finally:
            note(None)

    def _note(self, message: object, *, turned_away: bool) -> None:
        was_full = bool(self._turned_away)
        (self._turned_away.add if turned_away else self._turned_away.discard)(message)
        is_full = bool(self._turned_away)
        if is_full != was_full:
            self._on_full(is_full)

    @contextlib.asynccontextmanager
    async def _window(self, size: int) -> AsyncIterator[None]:
        if not self._has_room(size):
            await self._changes.until(lambda: self._has_room(size))
        self._num_messages += 1
        self._num_bytes += size
        try:
            yield
        finally:
            self._num_messages -= 1
            self._num_bytes -= size
            self._changes.notify()

    def _has_room(self, size: int) -> bool:
        if self._num_messages == 0:
            return True  # a message above the bound goes alone
        return self._num_messages < self._max_messages and (
            self._num_bytes + size <= self._max_bytes
        )
