"""Small files that only their owner may read: keys and credentials."""

import os
from pathlib import Path

from schemas.errors import UserError

_MAX_BYTES = 4096


def write_private(path: Path, data: bytes) -> None:
    """Write a file with mode 0600 that was not there before.

    Raises:
        UserError: there is such a file already, or it cannot be written.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(descriptor)
    except FileExistsError:
        raise UserError(f"{path} is already there; a key is never overwritten") from None
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from None


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
