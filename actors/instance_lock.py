"""One daemon per home: its key, spool and policies belong to one process at a time."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from schemas.errors import UserError

LOCK: Final = "lock"


@contextmanager
def instance_lock(home: Path) -> Iterator[None]:
    """Hold the home for as long as the block runs; the kernel frees it when the process dies.

    Raises:
        UserError: another process holds it, or the folder cannot be written.
    """
    try:
        home.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(home / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise UserError(f"cannot write to the actor's home {home}: {error.strerror}") from None
    try:
        _lock(descriptor, home)
        os.truncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, home: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(descriptor, 32, 0).decode(errors="replace") or "unknown"
        raise UserError(
            f"another actor (process {holder}) works in {home}; "
            "stop it first, or give this one a --home of its own"
        ) from None
