"""A file that is still coming in, and the digest of what is in it so far."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from schemas.errors import UserError

_READ_BYTES = 1 << 20


class PartFile:
    """Bytes that came in stay over restarts: `resume` digests what is there, then more may come."""

    def __init__(self, path: Path) -> None:
        self.path = path
        # Closed at the end of the with block that this object is used in.
        self._file = open(path, "a+b")  # noqa: SIM115
        self._digest = hashlib.sha256()
        self.size = 0
        """Bytes that are in it."""

    def resume(self) -> None:
        """Read what earlier processes left, before anything is written."""
        self._file.seek(0)
        while data := self._file.read(_READ_BYTES):
            self._digest.update(data)
            self.size += len(data)

    def write(self, data: bytes) -> None:
        """Raises UserError when the disk is full."""
        with self._told():
            self._file.write(data)
        self._digest.update(data)
        self.size += len(data)

    def clear(self) -> None:
        """Begin again with an empty file."""
        self._file.truncate(0)
        self._digest = hashlib.sha256()
        self.size = 0

    def sha256(self) -> str:
        return self._digest.hexdigest()

    def finish(self, path: Path) -> None:
        """Make it durable and give it its name; readers may link it, and must not change it.

        Raises:
            UserError: the disk is full.
        """
        with self._told():
            self._file.flush()
            os.fchmod(self._file.fileno(), 0o444)
            os.fsync(self._file.fileno())
            os.replace(self.path, path)

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UserError(f"cannot write {self.path}: {error.strerror}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
