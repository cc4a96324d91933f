"""The messages of one shard that the coordinator has in hand: pulled, and not yet acked.

A message whose ack wait ends comes again; one that is in hand already is recognised and not judged
twice. Its newer handle is kept, because that is the one that the server knows. Another message
under the same sequence is not the one in hand.
"""

import asyncio
import contextlib
from collections.abc import Sequence

from broker import retry
from broker.interface import Broker, Delivery, Record
from schemas.errors import BrokerUnavailable

_PULL_TIMEOUT_S = 5.0
_MAX_ROUND_BYTES = 8 << 20
"""Several rounds are in memory at once. And a server cuts off who reads too slowly, at 64 MB."""
_READ_AGAIN_BYTES = 512 << 10
"""To read a larger message again takes longer than to ack the few of its size in a round."""
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

    async def take_back(self) -> None:
        """Let what a coordinator before this one had in hand come at once."""
        # Without it, it comes when its ack wait is over.
        with contextlib.suppress(BrokerUnavailable):
            await self._broker.take_back(self.stream, self._consumer)

    async def pull(
        self, *, max_messages: int | None = None, timeout_s: float = _PULL_TIMEOUT_S
    ) -> list[Delivery]:
        """Take messages in hand; what is in hand already is left out."""
        deliveries = await retry.until_available()(
            self._broker.pull,
            self.stream,
            self._consumer,
            max_messages=max_messages or self._max_messages,
            max_bytes=_MAX_ROUND_BYTES,
            timeout_s=timeout_s,
        )
        return [delivery for delivery in deliveries if self._hold(delivery)]

    def _hold(self, delivery: Delivery) -> bool:
        """False for a redelivery of what is in hand."""
        is_new = not self._holds(delivery.record)
        self._held[delivery.record.sequence] = delivery
        return is_new

    async def keep(self) -> None:
        """Restart the ack wait of what is in hand, for ever."""
        while True:
            await asyncio.sleep(_IN_PROGRESS_EVERY_S)
            with contextlib.suppress(BrokerUnavailable):  # Then it comes again, and is recognised.
                for delivery in list(self._held.values()):
                    await delivery.in_progress()

    async def release(self, judged: Sequence[Record]) -> None:
        """Remove messages whose verdicts are in the ledger; returns when the server has confirmed.

        What stands at the queue's front goes in one purge: every message below its end has its
        verdict, or was purged and gets none. The rest stands behind others that have none, and is
        acked; so are all where the last of the front is large.
        """
        await retry.until_available()(self._remove, judged)
        for record in judged:
            if self._holds(record):
                del self._held[record.sequence]

    def _holds(self, record: Record) -> bool:
        """Asked again after each wait for the server.

        One that lost power gives the sequences of its last messages to others: one that has come in
        the meantime is in hand in its own right.
        """
        held = self._held.get(record.sequence)
        return held is not None and held.record == record

    async def _remove(self, judged: Sequence[Record]) -> None:
        settled = {record.sequence: record for record in judged if self._holds(record)}
        end = first = (await self._broker.state(self.stream)).first_sequence
        while end in settled:
            end += 1
        if end > first and len(settled[end - 1].data) > _READ_AGAIN_BYTES:
            end = first
        last = await self._last_there(first, end)
        if last is not None:
            # If the last of the front is still what was judged, so are those below it. If not,
            # nothing is removed: what is still there comes again. Its data says so, as it does for
            # verdicts: two ways to read a message may spell a hostile subject differently.
            if last.data != settled[last.sequence].data:
                return
            await self._broker.purge(self.stream, before=last.sequence + 1)
        # A second ack of one that went through changes nothing.
        behind = [record for sequence, record in settled.items() if sequence >= end]
        await asyncio.gather(*(self._ack(record) for record in behind))

    async def _last_there(self, first: int, end: int) -> Record | None:
        """The last message of the front, which ends before `end`; what was purged is gone."""
        for sequence in range(end - 1, first - 1, -1):
            record = await self._broker.get(self.stream, sequence)
            if record is not None:
                return record
        return None

    async def _ack(self, record: Record) -> None:
        if self._holds(record):
            await self._held[record.sequence].ack()
