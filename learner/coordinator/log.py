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

from broker.fenced_log import FencedLog
from broker.interface import Broker, Record
from broker.logbook import Unreadable, log_item
from learner.coordinator.state import RunState
from schemas import ledger
from schemas.batch import Batch
from schemas.names import batch_subject, ledger_subject, log_stream
from schemas.wire import encode_own, sha256_hex

logger = structlog.get_logger()

_MAX_ENTRY_BYTES = 1_000_000
"""A little under what a server takes by default."""


class RunLog:
    """Holds the state and the right to change it."""

    def __init__(self, broker: Broker, run: str, instance: str) -> None:
        self._run = run
        self._log = FencedLog(broker, log_stream(run), fold=self._fold, is_foreign=self._is_foreign)
        self.instance = instance
        self.state = RunState()
        self.term = 0
        """Sequence of the entry that this coordinator began with: above that of any before it."""
        self.lock = asyncio.Lock()

    async def start(self, opening: ledger.RunOpened) -> None:
        """Fold the log and write the first entry: RunOpened on an empty log, CoordinatorStarted."""

        async def write() -> None:
            started = ledger.CoordinatorStarted(
                instance=self.instance, host=socket.gethostname(), pid=os.getpid()
            )
            await self.append((started,) if self.state.opened else (opening, started))

        await self._log.take_over(write)
        self.term = self._log.last_sequence

    async def append(self, events: Sequence[ledger.LedgerEvent]) -> None:
        """Write the events and fold them: one entry, or several where one would be too large.

        Each event stands for itself, so a crash between two entries is one between two decisions.

        Raises:
            Fenced: another coordinator has taken over.
        """
        for entry, data in entries(self.instance, tuple(events)):
            await self._log.append(ledger_subject(self._run), data)
            self.state.apply_entry(entry)

    async def append_batch(self, batch: Batch) -> None:
        """Write one batch and fold it: the commit point of a step.

        Raises:
            Fenced: another coordinator has taken over.
        """
        data = encode_own(batch)
        await self._log.append(batch_subject(self._run, batch.step), data)
        self.state.apply_batch(batch, sha256_hex(data))

    def _is_foreign(self, record: Record) -> bool:
        return isinstance(log_item(self._run, record).content, Unreadable)

    def _fold(self, record: Record) -> None:
        """Fold one record that another coordinator wrote, or nobody like us.

        The latter is passed over with a warning: the log keeps it for ever, and a run must not end
        by it. `broker audit` tells of it.
        """
        item = log_item(self._run, record)
        match item.content:
            case Unreadable(detail=detail):
                logger.warning("not-by-the-coordinator", sequence=item.sequence, why=detail)
            case Batch() as batch:
                self.state.apply_batch(batch, item.sha256)
            case ledger.LedgerEntry() as entry:
                self.state.apply_entry(entry)


def entries(
    instance: str, events: tuple[ledger.LedgerEvent, ...]
) -> Iterator[tuple[ledger.LedgerEntry, bytes]]:
    """Few entries that hold these events in this order, found by halving; with their wire bytes."""
    entry = ledger.LedgerEntry(instance=instance, events=events)
    data = encode_own(entry)
    fits = len(data) <= _MAX_ENTRY_BYTES and len(events) <= ledger.MAX_ENTRY_EVENTS
    if fits or len(events) == 1:
        yield entry, data
        return
    middle = len(events) // 2
    yield from entries(instance, events[:middle])
    yield from entries(instance, events[middle:])
