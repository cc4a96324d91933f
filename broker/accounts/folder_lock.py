"""A lock between processes of one machine that change the same folder."""

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def locked(lock: Path) -> Iterator[None]:
    """Hold the lock, a file that is made, with its folder, if it is not there.

    It is gone with the process that holds it. Whoever has waited looks again at what is there.

    Raises:
        OSError: the file cannot be made.
    """
    lock.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with open(lock, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
