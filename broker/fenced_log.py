"""A log that one process at a time may add to, in the hands of that process.

    take_over   folds the log, and writes a first record: from then on the writer before is fenced
    append      one record behind the last
    check_held  before a write elsewhere, where there is no fence

A record that no writer of this log can have written (an operator's stray publish, a forged reply
subject) is no fence. It is folded as one that changes nothing, so what was decided before it still
stands.

A record that was stored and cannot be read any more is no end, and no gap to pass over: what it
decided would be decided again. Nobody takes over such a log, or goes on with it.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NoReturn

import structlog

from broker import retry
from broker.interface import Broker, Record
from schemas.errors import BrokerUnavailable, Fenced, LogDamaged

logger = structlog.get_logger()


class FencedLog:
    """The end of a log, as its writer knows it. Servers that are away are waited for."""

    def __init__(
        self,
        broker: Broker,
        stream: str,
        *,
        fold: Callable[[Record], None],
        is_foreign: Callable[[Record], bool],
    ) -> None:
        """`fold` takes the records that others have written; what is appended here it never sees.

        `is_foreign`: no writer of this log can have written the record.
        """
        self._broker = broker
        self._stream = stream
        self._fold = fold
        self._is_foreign = is_foreign
        self.last_sequence = 0
        """Of the last record that was folded or written here."""

    async def take_over(self, write: Callable[[], Awaitable[None]]) -> None:
        """Fold the log, and have `write` append a first record.

        A conflict here means that the writer before this one wrote its last word in the meantime:
        that is folded too, and `write` is called again.

        Raises:
            LogDamaged: a record of the log is lost.
        """
        while True:
            await retry.until_available()(self._fold_all)
            try:
                return await write()
            except Fenced as conflict:
                logger.info("log-moved-at-start", expected=conflict.expected)

    async def append(self, subject: str, data: bytes) -> None:
        """Write one record.

        Raises:
            Fenced: another writer has taken over.
        """
        append = retry.until_available()
        self.last_sequence = await append(self._append_behind, subject, data)

    async def check_held(self) -> None:
        """Raises Fenced when another writer has taken over."""
        await retry.until_available()(self._check_held)

    async def _append_behind(self, subject: str, data: bytes) -> int:
        while True:
            try:
                return await self._broker.append(
                    self._stream, subject, data, expected_last=self.last_sequence
                )
            except Fenced:
                if not await self._pass_over():
                    raise

    async def _check_held(self) -> None:
        last = (await self._broker.state(self._stream)).last_sequence
        if last != self.last_sequence and not await self._pass_over():
            raise Fenced(self._stream, self.last_sequence)

    async def _pass_over(self) -> bool:
        """Fold what stands behind our last record if all of it is foreign.

        False: it is not, or nothing stands there. Nothing is folded before all of it is read: half
        of it folded would be half a fence.
        """
        found = [record async for record in self._behind()]
        if not all(self._is_foreign(record) for record in found):
            return False
        for record in found:
            self._fold_one(record)
        return bool(found)

    async def _fold_all(self) -> None:
        async for record in self._behind():
            self._fold_one(record)

    async def _behind(self) -> AsyncIterator[Record]:
        last = (await self._broker.state(self._stream)).last_sequence
        following = self.last_sequence + 1
        async for record in self._broker.read(self._stream, first=following, last=last):
            if record.sequence != following:
                await self._tell_lost(following, last)
            yield record
            following += 1
        if following <= last:
            await self._tell_lost(following, last)

    async def _tell_lost(self, sequence: int, last: int) -> NoReturn:
        """Raises LogDamaged, or BrokerUnavailable when another server answers now, cut off from the
        others, which never had the record."""
        if (await self._broker.state(self._stream)).last_sequence < last:
            raise BrokerUnavailable(f"{self._stream} is read from a server that is behind")
        raise LogDamaged(self._stream, sequence)

    def _fold_one(self, record: Record) -> None:
        self._fold(record)
        self.last_sequence = record.sequence
