"""The archive: wire bytes of accepted groups, written before the ledger names them.

A round of intake becomes one immutable segment, named by its bytes and by the term of the
coordinator that writes it. Readers ask for one group's slice and check its digest.

A segment that no entry names is garbage once its coordinator can write no entry any more: a later
term has begun. Whoever collects then is right whenever he comes to it, be it after he was replaced
himself: nobody ever writes under an earlier term again.
"""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from msgspec import Struct

from broker.store import Store
from schemas import names, wire
from schemas.errors import DigestMismatch


class Slice(NamedTuple):
    """Where one group lies in its segment, in bytes."""

    offset: int
    length: int


class Segment(Struct, frozen=True, kw_only=True):
    """What has been written."""

    name: str
    slices: tuple[Slice, ...]
    """Of the groups, in the order given."""


class Archive:
    """One run's archive in object storage."""

    def __init__(self, store: Store, run: str) -> None:
        self._store = store
        self._run = run

    async def write(self, groups: Sequence[bytes], *, term: int) -> Segment:
        """Write the groups as one segment; in one term the same groups make the same object.

        Raises:
            StoreUnavailable
        """
        assert groups, "a segment without groups would never be named"
        slices, offset = [], 0
        for group in groups:
            slices.append(Slice(offset, len(group)))
            offset += len(group)
        data = b"".join(groups)
        segment = Segment(name=f"{term}-{wire.sha256_hex(data)}", slices=tuple(slices))
        await self._store.put(names.segment_key(self._run, segment.name), data)
        return segment

    async def read(self, segment: str, *, offset: int, length: int, sha256: str) -> bytes:
        """One group's wire bytes.

        Raises:
            DigestMismatch: the slice is short or has other bytes.
            ObjectMissing, StoreUnavailable
        """
        key = names.segment_key(self._run, segment)
        data = await self._store.get(key, offset=offset, length=length)
        if wire.sha256_hex(data) != sha256:
            raise DigestMismatch(
                f"bytes {offset} to {offset + length} of {key} are not the group "
                f"that was accepted ({len(data)} bytes were there)"
            )
        return data

    async def collect(self, named: Collection[str], *, before_term: int) -> list[str]:
        """Remove segments of earlier terms that no entry names, and return their names.

        `named` holds the names of all segments that the ledger names up to the term's beginning.

        Raises:
            StoreUnavailable
        """
        removed = []
        for one in await self._store.list(names.archive_prefix(self._run)):
            match names.parse_segment_key(one.key):
                case (term, name) if term < before_term and name not in named:
                    await self._store.delete(one.key)
                    removed.append(name)
        return removed

    async def keep_refused(self, data: bytes) -> str:
        """Keep refused bytes for inspection, and return the digest that names them.

        Raises:
            StoreUnavailable
        """
        digest = wire.sha256_hex(data)
        await self._store.put(names.refused_key(self._run, digest), data)
        return digest

    async def read_refused(self, sha256: str) -> bytes:
        """The bytes of a refused message that was kept.

        Raises:
            DigestMismatch: they are others by now.
            ObjectMissing, StoreUnavailable
        """
        key = names.refused_key(self._run, sha256)
        data = await self._store.get(key)
        if wire.sha256_hex(data) != sha256:
            raise DigestMismatch(f"the {len(data)} bytes of {key} are not those that were refused")
        return data
