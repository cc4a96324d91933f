"""The messages of one shard that the coordinator has in hand: pulled, and not yet acked.

A message whose ack wait ends comes again; one that is in hand already is recognised and not judged
twice. Its newer handle is kept, because that is the one that the server knows.
"""

import asyncio
import contextlib
from collections.abc import Sequence

from broker import retry
from broker.interface import Broker, Delivery
from schemas.errors import BrokerUnavailable

_PULL_TIMEOUT_S = 5.0
_MAX_ROUND_BYTES = 32 << 20
"""A slow reader is cut by the server at 64 MB outstanding."""
_IN_PROGRESS_EVERY_S = 5.0
"""A third of the queue's ack wait."""


class Hand:
    """Takes messages from a queue, keeps them, and lets them go."""

    def __init__(self, broker: Broker, stream: str, consumer: str, max_messages: int) -> None:
        self._broker = broker
        self.stream = stream
        self._consumer = consumer
        self._max_messages = max_messages
        self._held: dict[int, Delivery] = {}

    async def pull(
        self, *, max_messages: int | None = None, timeout_s: float = _PULL_TIMEOUT_S
    ) -> list[Delivery]:
        """Take messages in hand; what is in hand already is left out."""
        async for attempt in retry.until_available():
            with attempt:
                deliveries = await self._broker.pull(
                    self.stream,
                    self._consumer,
                    max_messages=max_messages or self._max_messages,
                    max_bytes=_MAX_ROUND_BYTES,
                    timeout_s=timeout_s,
                )
                return [delivery for delivery in deliveries if self._hold(delivery)]
        raise AssertionError("the retry has no limit")

    def _hold(self, delivery: Delivery) -> bool:
        """False for a redelivery of what is in hand."""
        sequence = delivery.record.sequence
        is_new = sequence not in self._held
        self._held[sequence] = delivery
        return is_new

    async def keep(self) -> None:
        """Restart the ack wait of what is in hand, for ever."""
        while True:
            await asyncio.sleep(_IN_PROGRESS_EVERY_S)
            with contextlib.suppress(BrokerUnavailable):  # Then it comes again, and is recognised.
                for delivery in list(self._held.values()):
                    await delivery.in_progress()

    async def acknowledge(self, sequences: Sequence[int]) -> None:
        """Remove messages from the queue; returns when the server has confirmed it.

        One confirmation does for all, since acks take effect in order. Where it does not come, each
        is asked for; and what a dying server loses of them comes again, with a verdict, and is
        acked then.
        """
        *others, last = [self._held[sequence] for sequence in sequences]
        try:
            for delivery in others:
                await delivery.send_ack()
            await last.ack()
        except BrokerUnavailable:
            await self._acknowledge_each(sequences)
        for sequence in sequences:
            del self._held[sequence]

    async def _acknowledge_each(self, sequences: Sequence[int]) -> None:
        async for attempt in retry.until_available():
            with attempt:
                # A second ack of one that went through changes nothing.
                await asyncio.gather(*(self._held[sequence].ack() for sequence in sequences))
