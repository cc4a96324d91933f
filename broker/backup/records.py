"""Brings the records of a log into a backup, from the last one that it has up to a sequence."""

from pathlib import Path
from typing import Final

from broker import retry
from broker.backup.chunks import (
    CHUNK_BYTES,
    Chunk,
    encode_record,
    keep_whole,
    read_chunks,
    write_chunk,
)
from broker.backup.progress import Progress
from broker.interface import Broker
from broker.parallel import run_in_thread
from schemas.errors import BrokerError, UserError

PATIENCE_S: Final = 30.0
"""With servers that are away: somebody sits there, and the next backup goes on from here."""


class LogCopy:
    """One log's chunks, as far as they go."""

    def __init__(self, broker: Broker, stream: str, folder: Path) -> None:
        self._broker = broker
        self._stream = stream
        self._folder = folder
        self._lines: list[bytes] = []
        self._num_bytes = 0
        """Of the lines that are in no chunk yet."""
        self.chunks: list[Chunk] = []
        self.num_fetched_bytes = 0

    async def bring(self, last: int, progress: Progress) -> None:
        """Read what is missing up to record `last`.

        Raises:
            UserError: the folder holds another log.
            BrokerUnavailable: what was read stays.
            OSError
        """
        self.chunks = await run_in_thread(keep_whole, self._folder)
        await self._check_same(last)
        progress.begin(f"records of {self._stream}", last)
        progress.advance(self._last_kept)
        try:
            await retry.for_seconds(PATIENCE_S)(self._read_on, last, progress)
        finally:
            self._write()

    @property
    def _last_kept(self) -> int:
        return self.chunks[-1].last if self.chunks else 0

    async def _check_same(self, last: int) -> None:
        """The chain of writers makes logs that agree in their last record one log."""
        if not self.chunks:
            return
        *_, kept = read_chunks(self.chunks[-1:])
        get = retry.for_seconds(PATIENCE_S)
        found = await get(self._broker.get, self._stream, kept.sequence)
        same = found is not None and (found.subject, found.data) == (kept.subject, kept.data)
        if not same or kept.sequence > last:
            raise UserError(
                f"{self._folder.parent} holds the backup of another run, or of another life of this"
                f" one: record {kept.sequence} of {self._stream} is not the one that the server "
                "has; name another folder"
            )

    async def _read_on(self, last: int, progress: Progress) -> None:
        following = self._last_kept + len(self._lines) + 1
        async for record in self._broker.read(self._stream, first=following, last=last):
            if record.sequence != following:
                break
            self._lines.append(encode_record(record))
            self._num_bytes += len(self._lines[-1])
            following += 1
            progress.advance(1)
            if self._num_bytes >= CHUNK_BYTES:
                await run_in_thread(self._write)
        if following <= last:
            raise BrokerError(f"{self._stream} has no record {following}, and goes on behind it")

    def _write(self) -> None:
        if not self._lines:
            return
        first = self._last_kept + 1
        last = first + len(self._lines) - 1
        self.chunks.append(write_chunk(self._folder, first, last, b"".join(self._lines)))
        self.num_fetched_bytes += self._num_bytes
        self._lines, self._num_bytes = [], 0
