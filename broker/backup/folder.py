"""What lies where in the folder of a backup.

    MANIFEST                    what it is of, and the sha256 of every file; written last
    LOG/, POLICIES/             the records of the two logs, in chunks
    objects/<key>               objects of the bucket, under their keys

Everything but the manifest is written once and named by its digest or signed, so that a backup that
is interrupted leaves the one before it whole, and the next one finds what is there.
"""

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from schemas.errors import UserError

LOGS: Final = ("POLICIES", "LOG")
"""In the order in which they are read: whatever POLICIES says is founded in LOG by then."""
OBJECTS: Final = "objects"


class BackupFolder:
    """One run's backup."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.manifest = path / "MANIFEST"

    def log(self, name: str) -> Path:
        """The folder of the chunks of LOG or POLICIES."""
        return self.path / name

    def object(self, key: str) -> Path:
        return self.path / OBJECTS / key

    def name(self, path: Path) -> str:
        """A file as the manifest names it."""
        return path.relative_to(self.path).as_posix()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Make the folder unless it is there, and keep others from writing into it.

        Raises:
            UserError: another backup is at work in it, or it is the folder of something else.
            OSError: it cannot be made.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        found = {path.name for path in self.path.iterdir()}
        if found and not found & {"MANIFEST", *LOGS}:
            raise UserError(f"{self.path} is not empty and holds no backup: name another folder")
        descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError:
            raise UserError(f"another backup into {self.path} is under way") from None
        finally:
            os.close(descriptor)


def sha256_of(path: Path) -> str:
    """The digest of a file's bytes; empty when there is no such file."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return ""
