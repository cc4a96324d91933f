"""The demo's own folder: fresh at every start, and held by one demo at a time."""

import contextlib
import fcntl
import shutil
from pathlib import Path
from typing import BinaryIO, Final

from broker.embedded.started import check_none_runs
from schemas.errors import UserError

_LOCK: Final = "demo.lock"


def servers_folder(path: Path) -> Path:
    """Where the servers of the demo in a folder keep what they store."""
    return path / "servers"


def take_folder(path: Path) -> BinaryIO:
    """Empty the folder of what an earlier demo left, and hold it while the result is open.

    Raises:
        UserError: another demo runs in it, servers of an earlier one do, or it holds something that
            is no demo's.
    """
    lock = path / _LOCK
    if path.exists() and any(path.iterdir()) and not lock.exists():
        raise UserError(f"{path} holds a run that is no demo's; choose another name with --name")
    path.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as undo:
        held = undo.enter_context(open(lock, "ab"))
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"a demo is running in {path}; choose another name with --name"
            ) from None
        check_none_runs(servers_folder(path))
        _empty(path)
        undo.pop_all()
    return held


def _empty(path: Path) -> None:
    for entry in path.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        elif entry.name != _LOCK:
            entry.unlink()
