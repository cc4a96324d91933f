"""A rank's own rows: from the archive, by range, each checked against its digest."""

import functools
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from broker import retry
from broker.objects.archive import Archive
from broker.parallel import run_all
from learner.trainer.portal import Portal
from schemas.batch import Row
from schemas.rollout import RolloutGroup
from schemas.wire import decode_own

_AT_ONCE = 16


class RowReader(Protocol):
    """What a replica needs of the archive."""

    def read(self, rows: Sequence[Row]) -> list[RolloutGroup]:
        """The groups of the rows, in their order; waits while the object storage is away.

        Raises:
            DigestMismatch: the archive holds other bytes than the batch says.
            ObjectMissing: it holds none.
        """
        ...


class ArchiveRows:
    """Reads through a portal, many rows at once."""

    def __init__(
        self,
        portal: Portal,
        archive: Archive,
        asking: Callable[[], AbstractContextManager[None]] = nullcontext,
        *,
        patience_s: float | None = None,
    ) -> None:
        """A storage that is away is waited for, `patience_s` at most (None: for ever).

        `asking()` is entered around each try, on the portal's loop.
        """
        self._portal = portal
        self._archive = archive
        self._asking = asking
        self._patience_s = patience_s

    def read(self, rows: Sequence[Row]) -> list[RolloutGroup]:
        """See `RowReader.read`."""
        return self._portal.call(self._read_all(rows))

    async def _read_all(self, rows: Sequence[Row]) -> list[RolloutGroup]:
        jobs = [functools.partial(self._read, row) for row in rows]
        return await run_all(jobs, at_once=_AT_ONCE)

    async def _read(self, row: Row) -> RolloutGroup:
        patience_s = self._patience_s
        limit = retry.until_available() if patience_s is None else retry.for_seconds(patience_s)
        return await limit(self._read_once, row)

    async def _read_once(self, row: Row) -> RolloutGroup:
        with self._asking():
            data = await self._archive.read(
                row.segment, offset=row.offset, length=row.length, sha256=row.sha256
            )
        return decode_own(data, RolloutGroup)
