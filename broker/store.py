"""The seam to object storage.

Two implementations pass the same contract tests: `broker.objects.s3` and `broker.memory.store`.
"""

from pathlib import Path
from typing import Protocol

from msgspec import Struct


class ObjectInfo(Struct, frozen=True, kw_only=True):
    key: str
    size: int
    modified: float
    """Unix seconds on the server's clock."""


class Store(Protocol):
    """A bucket. Every method raises StoreUnavailable when there is no usable answer in time."""

    async def put(self, key: str, data: bytes) -> None:
        """Write or overwrite; used for objects named by their own digest."""
        ...

    async def put_once(self, key: str, data: bytes) -> None:
        """Write if there is no object under the key (If-None-Match).

        Raises:
            ObjectExists: there is one, whatever its bytes.
        """
        ...

    async def put_file_once(self, key: str, path: Path, *, sha256: str) -> None:
        """As `put_once`, from a file, which is never whole in memory.

        Raises:
            DigestMismatch: the file has other bytes than those of this digest; nothing is written.
            ObjectExists, OSError
        """
        ...

    async def get(self, key: str, *, offset: int = 0, length: int | None = None) -> bytes:
        """The object's bytes, or `length` of them from `offset`.

        Raises:
            ObjectMissing
        """
        ...

    async def head(self, key: str) -> ObjectInfo | None:
        """None when there is no object."""
        ...

    async def list(self, prefix: str) -> list[ObjectInfo]:
        """All objects under a prefix, in the order of their keys."""
        ...

    async def delete(self, key: str) -> None:
        """Remove the object; does nothing when there is none."""
        ...

    def presign_get(self, key: str, *, lifetime_s: float) -> str:
        """A URL that anyone may GET, with ranges, for so long. No request is made."""
        ...

    async def close(self) -> None: ...
