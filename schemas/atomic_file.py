"""Files that are never seen half written, whatever ends the process or the machine."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


def write_atomically(path: Path, data: bytes) -> None:
    """Give a file these bytes, for good: a crash leaves what it had before, or all of them.

    Raises:
        OSError: it cannot be written, for instance because the disk is full.
    """
    with opened_atomically(path) as file:
        file.write(data)


@contextlib.contextmanager
def opened_atomically(path: Path) -> Iterator[BinaryIO]:
    """A file to write piece by piece; its name is given to it at the end, for good.

    Whatever is raised on the way leaves what was there before.

    Raises:
        OSError: as `write_atomically`.
    """
    # The dot tells readers of a folder what is not finished.
    staging = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(staging, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        staging.replace(path)
    except BaseException:
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
