"""One daemon per home: its key, spool and policies belong to one process at a time."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from actors.identity import make_private
from broker.program.os_error import in_words
from schemas.errors import UserError

LOCK: Final = "lock"
_ADVICE: Final = "stop it first, or give this one a --home of its own"


@contextmanager
def instance_lock(home: Path, *, advice: str = _ADVICE) -> Iterator[None]:
    """Hold the home for as long as the block runs; the kernel frees it when the process dies.

    `advice` is for whom another one is in the way.

    Raises:
        UserError: another process holds it, or the folder cannot be written.
    """
    try:
        make_private(home)
        descriptor = os.open(home / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise UserError(f"cannot write to the actor's home: {in_words(error)}") from None
    try:
        _lock(descriptor, home, advice)
        os.truncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, home: Path, advice: str) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(descriptor, 32, 0).decode(errors="replace") or "unknown"
        raise UserError(f"another actor (process {holder}) works in {home}; {advice}") from None
