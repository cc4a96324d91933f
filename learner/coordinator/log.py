"""The run's log as the coordinator has it: folded into the state at the start, and from then on
written here alone, each write fenced by the log's last sequence.

A write happens, is folded into the state, and only then returns: what has been decided is always in
the log first. Writes are serialised by the caller holding `lock`, because a decision is made from
the state that its write is fenced by.
"""

import asyncio
import os
import socket
from collections.abc import Iterator, Sequence

import structlog

from broker import retry
from broker.interface import Broker, Record
from broker.logbook import Unreadable, log_item
from learner.coordinator.state import RunState
from schemas import ledger
from schemas.batch import Batch
from schemas.errors import Fenced
from schemas.names import batch_subject, ledger_subject, log_stream
from schemas.wire import encode, sha256_hex

logger = structlog.get_logger()

_MAX_ENTRY_BYTES = 1_000_000
"""A little under what a server takes by default."""


class RunLog:
    """Holds the state and the right to change it."""

    def __init__(self, broker: Broker, run: str, instance: str) -> None:
        self._broker = broker
        self._run = run
        self._stream = log_stream(run)
        self.instance = instance
        self.state = RunState()
        self.term = 0
        """Sequence of the entry that this coordinator began with: above that of any before it."""
        self.lock = asyncio.Lock()

    async def start(self, opening: ledger.RunOpened) -> None:
        """Fold the log and write the first entry: RunOpened on an empty log, CoordinatorStarted.

        A conflict here means that the coordinator before this one wrote its last word in the
        meantime: fold that too, and try again.
        """
        while True:
            await retry.until_available()(self._fold)
            started = ledger.CoordinatorStarted(
                instance=self.instance, host=socket.gethostname(), pid=os.getpid()
            )
            events = (started,) if self.state.opened else (opening, started)
            try:
                await self.append(events)
            except Fenced as conflict:
                logger.info("log-moved-at-start", expected=conflict.expected)
            else:
                self.term = self.state.last_sequence
                return

    async def _fold(self) -> None:
        async for record in self._broker.read(self._stream, first=self.state.last_sequence + 1):
            fold_record(self.state, self._run, record)

    async def append(self, events: Sequence[ledger.LedgerEvent]) -> None:
        """Write the events and fold them: one entry, or several where one would be too large.

        Each event stands for itself, so a crash between two entries is one between two decisions.

        Raises:
            Fenced: another coordinator has taken over.
        """
        for entry, data in entries(self.instance, tuple(events)):
            sequence = await self._write(ledger_subject(self._run), data)
            self.state.apply_entry(entry, sequence)

    async def append_batch(self, batch: Batch) -> None:
        """Write one batch and fold it: the commit point of a step.

        Raises:
            Fenced: another coordinator has taken over.
        """
        data = encode(batch)
        sequence = await self._write(batch_subject(self._run, batch.step), data)
        self.state.apply_batch(batch, sha256_hex(data), sequence)

    async def _write(self, subject: str, data: bytes) -> int:
        return await retry.until_available()(self._write_behind, subject, data)

    async def _write_behind(self, subject: str, data: bytes) -> int:
        while True:
            try:
                return await self._broker.append(
                    self._stream, subject, data, expected_last=self.state.last_sequence
                )
            except Fenced:
                if not await self._pass_over():
                    raise

    async def _pass_over(self) -> bool:
        """Fold what lies behind our last record if nobody like us wrote it; False if somebody did.

        It changes nothing in the state, so what was decided from it still stands.
        """
        first = self.state.last_sequence + 1
        found = [record async for record in self._broker.read(self._stream, first=first)]
        if any(not isinstance(log_item(self._run, one).content, Unreadable) for one in found):
            return False
        for record in found:
            fold_record(self.state, self._run, record)
        return bool(found)


def entries(
    instance: str, events: tuple[ledger.LedgerEvent, ...]
) -> Iterator[tuple[ledger.LedgerEntry, bytes]]:
    """Few entries that hold these events in this order, found by halving; with their wire bytes."""
    entry = ledger.LedgerEntry(instance=instance, events=events)
    data = encode(entry)
    if len(data) <= _MAX_ENTRY_BYTES or len(events) == 1:
        yield entry, data
        return
    middle = len(events) // 2
    yield from entries(instance, events[:middle])
    yield from entries(instance, events[middle:])


def fold_record(state: RunState, run: str, record: Record) -> None:
    """Fold one record of LOG.

    What no coordinator can have written is passed over with a warning: the log keeps it for ever,
    and a run must not end by it. `broker audit` tells of it.
    """
    item = log_item(run, record)
    match item.content:
        case Unreadable(detail=detail):
            logger.warning("not-by-the-coordinator", sequence=item.sequence, why=detail)
            state.last_sequence = item.sequence
        case Batch() as batch:
            state.apply_batch(batch, item.sha256, item.sequence)
        case ledger.LedgerEntry() as entry:
            state.apply_entry(entry, item.sequence)
