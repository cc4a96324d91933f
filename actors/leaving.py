"""`actor leave`: forgets a run, and what was stored for it if that is wanted, too."""

import contextlib
import shutil
from pathlib import Path

from actors.instance_lock import LOCK, instance_lock
from actors.membership import MEMBERSHIPS, card_of, forget_membership, joined
from schemas.errors import UserError


def leave(home: Path, run: str, *, delete_data: bool) -> list[Path]:
    """Forget a run; returns what was removed. Nobody can work for it from here any more.

    With `delete_data`, finished groups that were not sent go too, and with the last run the
    policies too, and the home unless something else is in it. The key goes last: who is
    interrupted says the same again.

    Raises:
        UserError: this machine has not joined that run, or an actor works in the home.
        OSError: something cannot be removed.
    """
    runs = joined(home)
    if run not in runs:
        there = f"; it has joined {', '.join(runs)}" if runs else ""
        raise UserError(f"this machine has joined no run called {run[:80]!r}{there}")
    with instance_lock(home, advice="stop it first"):
        if not delete_data:
            return forget_membership(home, run)
        card = card_of(home, run)
        spool = home / "spool" / f"{card.run}-{card.run_key[:16]}"
        last = runs == [run] and not (home / "actor.key").exists()
        # With the last one goes what is of no one run. A home may be any folder that somebody has
        # named: what actors have not made there stays.
        removed = _remove([spool, *([home / "spool", home / "policies"] if last else [])])
        removed += forget_membership(home, run)
        if last:
            removed += _remove([home / MEMBERSHIPS])
        _remove_if_empty(home)
    return removed


def _remove(folders: list[Path]) -> list[Path]:
    there = [folder for folder in folders if folder.exists()]
    for folder in there:
        # The spool of a run may have gone with that of all.
        if folder.exists():
            shutil.rmtree(folder)
    return there


def _remove_if_empty(home: Path) -> None:
    if [path.name for path in home.iterdir()] in ([], [LOCK]):
        (home / LOCK).unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # a mount, or somebody's working directory
            home.rmdir()
