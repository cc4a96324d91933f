"""Batches in the order of LOG, one at a time, or word that it is time to stop."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from typing import TypeVar

import structlog

from broker import retry
from broker.interface import Broker, Record
from broker.logbook import Unreadable, log_item, opening_of
from schemas import names
from schemas.batch import Batch
from schemas.errors import BrokerError
from schemas.ledger import RunOpened
from schemas.wire import sha256_hex

logger = structlog.get_logger()

T = TypeVar("T")


class BatchFeed:
    """Follows one run's batches."""

    def __init__(self, broker: Broker, run: str) -> None:
        self._broker = broker
        self._run = run
        self._records: AsyncIterator[Record] | None = None
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Let `next` return None from the following call on, and the one that waits."""
        self._stopping.set()

    @property
    def stopping(self) -> bool:
        return self._stopping.is_set()

    async def seek(self, version: int) -> str | None:
        """Go to the batch behind the one that made `version`; returns that one's digest.

        Raises:
            BrokerError: the log has no batch for a version that was trained.
        """
        made_by = await self._batch(version) if version else None
        self._records = self._broker.follow(
            names.log_stream(self._run),
            first=made_by.sequence + 1 if made_by else 1,
            subject=names.batches_filter(self._run),
        )
        return sha256_hex(made_by.data) if made_by else None

    async def next(self) -> bytes | None:
        """The wire bytes of the next batch; None when it is time to stop."""
        assert self._records is not None, "seek comes first"
        while record := await self.unless_stopping(anext(self._records)):
            if self._is_batch(record):
                return record.data
        return None

    async def opening(self) -> RunOpened | None:
        """The first event of the run, once the coordinator has written it; None when it is time to
        stop.

        Raises:
            BrokerError: the log begins with something else.
        """
        stream, subject = names.log_stream(self._run), names.ledger_subject(self._run)
        records = self._broker.follow(stream, first=1, subject=subject)
        record = await self.unless_stopping(anext(records))
        if record is None:
            return None
        return opening_of(record)

    async def unless_stopping(self, work: Awaitable[T]) -> T | None:
        """What the work returns; None, and the work is cancelled, when it is time to stop."""
        working = asyncio.ensure_future(work)
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
            return None if self.stopping else working.result()
        finally:
            working.cancel()
            stopping.cancel()

    async def _batch(self, step: int) -> Record:
        """The first on its subject: what a stranger adds there comes behind it."""
        stream, subject = names.log_stream(self._run), names.batch_subject(self._run, step)
        last = await retry.until_available()(self._broker.last, stream, subject)
        if last is None:
            raise BrokerError(f"{stream} has no batch {step}, which was trained on")
        async for record in self._broker.follow(stream, subject=subject):
            if self._is_batch(record):
                return record
            if record.sequence >= last.sequence:
                break
        raise BrokerError(f"{stream} has no batch {step} that can be read")

    def _is_batch(self, record: Record) -> bool:
        """False, with a warning, for what no coordinator can have written."""
        content = log_item(self._run, record).content
        if isinstance(content, Unreadable):
            sequence, why = record.sequence, content.detail
            logger.warning("not-by-the-coordinator", sequence=sequence, why=why)
        return isinstance(content, Batch)
