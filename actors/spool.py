"""Finished groups, kept on disk until the broker has acknowledged them.

One file per group holds its wire bytes; its name is `<lease id>.<subject>`, so the folder tells by
itself what is left to publish after a crash. A file appears under its name complete or not at all.
"""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import structlog
from msgspec import Struct

from broker.changes import Changes
from schemas.atomic_file import write_atomically
from schemas.errors import Rejected
from schemas.names import parse_rollouts_subject

_log = structlog.get_logger(__name__)


class Spooled(Struct, frozen=True, kw_only=True):
    """One finished group."""

    lease_id: int
    subject: str
    data: bytes
    """Wire bytes; also in memory, which the spool's bound covers."""


class Spool:
    """At most `max_bytes` of finished groups of one run."""

    def __init__(self, folder: Path, max_bytes: int, changes: Changes) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._changes = changes
        self._folder.mkdir(parents=True, exist_ok=True)
        self._groups = {spooled.lease_id: spooled for spooled in _read(folder)}
        self._inherited = frozenset(self._groups)

    def groups(self) -> tuple[Spooled, ...]:
        """All that is kept, in the order of the leases."""
        return tuple(self._groups[lease_id] for lease_id in sorted(self._groups))

    def inherited(self) -> tuple[int, ...]:
        """Leases of earlier processes whose groups are still kept, the latest last."""
        return tuple(sorted(self._inherited & self._groups.keys()))

    @property
    def full(self) -> bool:
        return sum(len(spooled.data) for spooled in self._groups.values()) >= self._max_bytes

    async def room(self) -> None:
        """Wait until the spool is not full."""
        await self._changes.until(lambda: not self.full)

    async def put(self, spooled: Spooled) -> None:
        """Keep a group. When the disk refuses, it is kept in memory alone, and that is said."""
        self._groups[spooled.lease_id] = spooled
        try:
            await asyncio.to_thread(
                write_atomically, self._folder / _file_name(spooled), spooled.data
            )
        except OSError as error:
            _log.warning(
                "group not on disk, a crash would lose it",
                lease_id=spooled.lease_id,
                problem=error.strerror,
            )

    def remove(self, spooled: Spooled) -> None:
        """Let a group go: the broker has it, or never will."""
        del self._groups[spooled.lease_id]
        (self._folder / _file_name(spooled)).unlink(missing_ok=True)
        self._changes.notify()


def _file_name(spooled: Spooled) -> str:
    return f"{spooled.lease_id}.{spooled.subject}"


def _read(folder: Path) -> Iterator[Spooled]:
    for path in folder.iterdir():
        if path.name.startswith("."):  # a crash left it unfinished
            path.unlink()
            continue
        lease_id, _, subject = path.name.partition(".")
        try:
            parse_rollouts_subject(subject)
            yield Spooled(lease_id=int(lease_id), subject=subject, data=path.read_bytes())
        except (Rejected, ValueError):
            _log.warning("not a spooled group, left alone", file=str(path))
