"""Small files that only their owner may read: keys and credentials."""

import os
import tempfile
from glob import escape
from pathlib import Path

from broker.program.os_error import in_words
from schemas.atomic_file import sync_folder
from schemas.errors import UserError

_MAX_BYTES = 4096
_STAGING = ".unfinished"
"""What a kill leaves of a file, until the next call that writes it."""


def write_private(path: Path, data: bytes) -> None:
    """Write a file with mode 0600 that was not there before: whole, or not at all.

    Raises:
        UserError: there is such a file already, or it cannot be written.
    """
    try:
        staging = _stage(path, data)
        try:
            # Unlike a rename, a link never takes the place of a file.
            os.link(staging, path)
        except FileNotFoundError:
            # Another writer was faster, and removed this one's staging file as a leftover.
            if path.exists():
                raise FileExistsError from None
            raise
        finally:
            staging.unlink(missing_ok=True)
        for left_behind in path.parent.glob(f".{escape(path.name)}.*{_STAGING}"):
            left_behind.unlink(missing_ok=True)
        sync_folder(path.parent)
    except FileExistsError:
        raise UserError(f"{path} is already there; a key is never overwritten") from None
    except OSError as error:
        raise UserError(f"cannot write {path}: {in_words(error, str(path.parent))}") from None


def _stage(path: Path, data: bytes) -> Path:
    """Put the bytes on the disk, under a name beside the final one, for their owner alone."""
    descriptor, name = tempfile.mkstemp(_STAGING, f".{path.name}.", path.parent)
    staging = Path(name)
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(descriptor)
    except OSError:
        staging.unlink(missing_ok=True)
        raise
    return staging


def read_private(path: Path) -> bytes:
    """Read a file that nobody else can read.

    Raises:
        UserError: it cannot be read, or the group or others may read or write it.
    """
    try:
        with open(path, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            data = file.read(_MAX_BYTES)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    if mode & 0o077:
        raise UserError(f"others can read {path}, which must be private: chmod 600 {path}")
    return data
