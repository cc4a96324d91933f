"""Ends leases by an event, never by a clock alone.

A lease whose deadline has passed, or whose actor has started again without it, ends only after
everything that was stored by then has been judged: an answer that was in time counts, however long
it waited in the queue. Acked messages leave the queue, so all up to sequence N are judged when the
queue's first sequence is above N.

A clock may have been wrong when a lease was given. One that was behind gave it a deadline that has
passed; one that was ahead gave it one that no lease could have now, and it is overdue too: else it
would hold its place for as long as the clock was wrong. An actor keeps to neither, but counts from
the time in the reply.
"""

import asyncio
import time
from collections.abc import Iterable

from broker import retry
from broker.interface import Broker, StreamState
from learner.coordinator.bell import Bell
from learner.coordinator.log import RunLog
from schemas import ledger, names

_SWEEP_EVERY_S = 1.0
_CLOCK_SLACK_S = 60.0
"""So far may a clock be set back, or a take-over's be behind, and leases under way go on."""

Ending = type[ledger.LeaseExpired] | type[ledger.LeaseAbandoned]


class Endings:
    """Leases that are about to end, each with the sequence that must be judged before."""

    def __init__(self, broker: Broker, log: RunLog, bell: Bell) -> None:
        self._broker = broker
        self._log = log
        self._bell = bell
        self._marks: dict[int, tuple[Ending, str, int]] = {}

    async def run(self) -> None:
        """Sweep every second, for ever.

        Raises:
            Fenced: another coordinator has taken over.
        """
        while True:
            await asyncio.sleep(_SWEEP_EVERY_S)
            await self.sweep(time.time())

    async def sweep(self, now: float) -> None:
        """Mark what is overdue at `now` (Unix seconds), and end what has been waited for.

        Raises:
            Fenced: another coordinator has taken over.
        """
        state = self._log.state
        assert state.opened is not None
        latest = now + state.opened.settings.leases.lifetime_s + _CLOCK_SLACK_S
        overdue = [
            lease_id
            for lease_id, issued in state.open_leases.items()
            if not now <= issued.lease.deadline <= latest
        ]
        await self.mark(overdue, ledger.LeaseExpired)
        await self._settle()

    async def mark(self, lease_ids: Iterable[int], ending: Ending) -> None:
        """End these leases when everything stored by now has been judged."""
        unmarked = [lease_id for lease_id in lease_ids if lease_id not in self._marks]
        streams = {lease_id: self._stream(lease_id) for lease_id in unmarked}
        last = {stream: await self._state(stream) for stream in set(streams.values()) if stream}
        for lease_id, stream in streams.items():
            if stream:
                self._marks[lease_id] = (ending, stream, last[stream].last_sequence)

    async def _settle(self) -> None:
        still_open = self._log.state.open_leases
        self._marks = {lease: mark for lease, mark in self._marks.items() if lease in still_open}
        marks = dict(self._marks)  # More may be made while the streams and the lock are waited for.
        first = {
            stream: (await self._state(stream)).first_sequence
            for stream in {stream for _, stream, _ in marks.values()}
        }
        async with self._log.lock:
            due = [
                ending(lease_id=lease_id)
                for lease_id, (ending, stream, sequence) in marks.items()
                if first[stream] > sequence and lease_id in self._log.state.open_leases
            ]
            if due:
                await self._log.append(due)
                self._bell.ring()

    def _stream(self, lease_id: int) -> str | None:
        issued = self._log.state.open_leases.get(lease_id)
        return names.rollouts_stream(issued.lease.run, issued.lease.shard) if issued else None

    async def _state(self, stream: str) -> StreamState:
        return await retry.until_available()(self._broker.state, stream)
