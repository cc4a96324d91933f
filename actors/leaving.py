"""`actor leave`: forgets a run, and what was stored for it if that is wanted, too."""

import contextlib
import shutil
from pathlib import Path

from actors.instance_lock import LOCK
from actors.membership import forget_membership, joined, load_membership
from schemas.errors import UserError


def leave(home: Path, run: str, *, delete_data: bool) -> list[Path]:
    """Forget a run; returns what was removed. Nobody can work for it from here any more.

    With `delete_data`, finished groups that were not sent go too, and with the last run the
    policies too, and the home unless something else is in it.

    Raises:
        UserError: this machine has not joined that run.
    """
    if run not in joined(home):
        raise UserError(f"this machine has joined no run called {run[:80]!r}")
    card = load_membership(home, run).card
    forget_membership(home, run)
    removed = [home / "memberships" / f"{run}.creds"]
    if delete_data:
        spool = home / "spool" / f"{card.run}-{card.run_key[:16]}"
        there = [path for path in (spool, *_of_all_runs(home)) if path.exists()]
        for path in there:
            shutil.rmtree(path)
        removed += there
        _remove_if_empty(home)
    return removed


def _of_all_runs(home: Path) -> list[Path]:
    """What is of no one run, once the home serves none any more.

    A home may be any folder that somebody has named: what actors have not made there stays.
    """
    if joined(home) or (home / "actor.key").exists():
        return []
    return [home / folder for folder in ("memberships", "spool", "policies")]


def _remove_if_empty(home: Path) -> None:
    if [path.name for path in home.iterdir()] in ([], [LOCK]):
        (home / LOCK).unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # a mount, or somebody's working directory
            home.rmdir()
