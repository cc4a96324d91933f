"""Small files that are never seen half written, whatever ends the process or the machine."""

import os
from pathlib import Path


def write_atomically(path: Path, data: bytes) -> None:
    """Give a file these bytes, for good: a crash leaves what it had before, or all of them.

    Raises:
        OSError: it cannot be written, for instance because the disk is full.
    """
    # The dot tells readers of a folder what is not finished.
    staging = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(staging, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        staging.replace(path)
    except OSError:
        staging.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Put names that were given in a folder on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
