"""The records of a log in a backup: one line of JSON each, in chunks that are written once.

    LOG/0000000000000001-0000000000000321-<sha256>.jsonl
    {"sequence":1,"subject":"ledger.demo","time":1800000001.25,"data":"<base64>"}

A chunk is named by its first and last sequence and the sha256 of its bytes. The time is the one at
which the server stored the record, which no restore can give back to a server.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
from msgspec import Struct

from broker.backup.folder import sha256_of
from broker.interface import Record
from schemas.atomic_file import write_atomically
from schemas.errors import BackupDamaged
from schemas.types import Count
from schemas.wire import sha256_hex

CHUNK_BYTES: Final = 4 << 20
"""A chunk is written once it holds so much: that is what reading a log takes in memory."""
_NAME: Final = re.compile(r"^(\d{16})-(\d{16})-([0-9a-f]{64})\.jsonl\Z")


class KeptRecord(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A record of a log as a backup keeps it."""

    sequence: Count
    subject: str
    time: float
    """Unix seconds on the server's clock, when it was stored."""
    data: bytes

    def as_record(self, stream: str) -> Record:
        return Record(
            stream=stream,
            sequence=self.sequence,
            subject=self.subject,
            data=self.data,
            time=self.time,
        )


class Chunk(NamedTuple):
    """A file of records."""

    first: int
    last: int
    sha256: str
    path: Path


_decoder: Final = msgspec.json.Decoder(KeptRecord)


def encode_record(record: Record) -> bytes:
    """Its line."""
    kept = KeptRecord(
        sequence=record.sequence, subject=record.subject, time=record.time, data=record.data
    )
    return msgspec.json.encode(kept) + b"\n"


def write_chunk(folder: Path, first: int, last: int, data: bytes) -> Chunk:
    """Write the lines of records `first` to `last`.

    Raises:
        OSError
    """
    sha256 = sha256_hex(data)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{first:016}-{last:016}-{sha256}.jsonl"
    write_atomically(path, data)
    return Chunk(first, last, sha256, path)


def keep_whole(folder: Path) -> list[Chunk]:
    """The chunks from the first record on that are whole and leave no gap; others are removed.

    What is behind a damaged one is read from the server again.
    """
    kept: list[Chunk] = []
    paths = sorted(folder.iterdir()) if folder.exists() else []
    for path in paths:
        chunk = _chunk(path)
        expected = kept[-1].last + 1 if kept else 1
        if chunk and chunk.first == expected and sha256_of(path) == chunk.sha256:
            kept.append(chunk)
        else:
            path.unlink()
    return kept


def read_chunks(chunks: list[Chunk]) -> Iterator[KeptRecord]:
    """Their records, one chunk in memory at a time.

    Raises:
        BackupDamaged: one holds other records than its name says.
    """
    for chunk in chunks:
        sequence = chunk.first
        for line in chunk.path.read_bytes().splitlines():
            try:
                record = _decoder.decode(line)
            except msgspec.MsgspecError as error:
                raise BackupDamaged(f"{chunk.path} is damaged: {error}") from None
            if record.sequence != sequence:
                raise BackupDamaged(f"{chunk.path} has {record.sequence} in place of {sequence}")
            yield record
            sequence += 1
        if sequence != chunk.last + 1:
            raise BackupDamaged(f"{chunk.path} ends before {sequence}")


def chunks_of(folder: Path, names: list[str]) -> list[Chunk]:
    """The chunks that a manifest names, without a gap.

    Raises:
        BackupDamaged: there is a gap.
    """
    found = [chunk for name in sorted(names) if (chunk := _chunk(folder / name))]
    expected = 1
    for chunk in found:
        if chunk.first != expected:
            raise BackupDamaged(f"{folder} has no records from {expected} to {chunk.first - 1}")
        expected = chunk.last + 1
    return found


def _chunk(path: Path) -> Chunk | None:
    matched = _NAME.match(path.name)
    return Chunk(int(matched[1]), int(matched[2]), matched[3], path) if matched else None
